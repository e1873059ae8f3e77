//! Calico's eBPF datapath, where its maps were captured: services are looked up by a program at the device before netfilter sees the packet.
//!
//! What is cited is of projectcalico/calico, felix/bpf-gpl: `calico_nat_lookup` (`nat_lookup.h`), `calico_tc_process_ct_lookup` and `do_nat`
//! (tc.c). Policies are not simulated.

mod answer;
mod conn;
mod service;
mod wrap;

pub use conn::{CalicoSeen, ServiceConn};
pub use wrap::VXLAN as CALICO_VXLAN;

use super::path::Dst;
use super::route::NoWay;
use super::run::{End, Flow, Run};
use crate::node::{DevId, Origin};
use crate::trace::{Back, NatKind, Reason, Refused, Served, StepKind};
use conn::Part;
use nfwhy_parsers::calico_bpf::Route;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// `CALI_SKB_MARK_SEEN`.
const SEEN: u32 = 0x0100_0000;
/// `CALI_SKB_MARK_SKIP_FIB`.
const SKIP_FIB: u32 = SEEN | 0x0010_0000;
/// `CALI_SKB_MARK_NAT_OUT`.
const NAT_OUT: u32 = SEEN | 0x0080_0000;
/// Of the VXLAN that carries requests to the backend's node (`CALI_VXLAN_VNI`, Felix' `VXLANPort`).
const VXLAN_PORT: u16 = 4789;

/// What a device is to Calico.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// `CALI_F_HEP`: the node's own.
    Host,
    /// `CALI_F_WEP`: a pod's.
    Workload,
    /// `CALI_F_TUNNEL`, `CALI_F_NAT_IF`.
    Other,
}

/// A backend that was found.
struct Backend {
    addr: IpAddr,
    port: u16,
    at: Origin,
}

/// A service that was found.
struct Service {
    at: Origin,
    affinity: Option<u32>,
}

/// Where an address is.
enum Where {
    /// On this node, or it is not the cluster's.
    Here,
    /// On another node.
    Node(IpAddr),
    Unknown,
}

impl Run<'_, '_> {
    /// `calico_tc_main` at a device's ingress.
    pub(super) fn calico_ingress(&mut self, dev: DevId) -> Flow {
        let seen = &self.packet.calico;
        let tunnel = seen.tunnel;
        if self.packet.conn.is_some() && seen.conn.is_none() && tunnel.is_none() {
            // `CALI_CT_ESTABLISHED`: known, and of no service.
            self.calico_marks(dev);
            return Ok(());
        }
        if !self.node.calico.knows_services(self.family) {
            if let Some((from, _)) = tunnel {
                self.calico_lacks_services();
                return Err(End::unknown(format!(
                    "Calico's program takes it out of the VXLAN from {from} and chooses a backend of its own (its maps were not captured)"
                )));
            }
            self.calico_unseen(Some(dev));
            self.calico_marks(dev);
            return Ok(());
        }
        let Some(at) = self.calico_at(dev) else {
            if tunnel.is_some() {
                return Err(End::unknown(format!(
                    "Calico has no program at {}, so nothing takes the packet out of its VXLAN",
                    self.node.device(dev).name
                )));
            }
            return Ok(());
        };
        self.calico_asks();
        if let Some(ends) = tunnel {
            self.calico_unwrap(dev, at, ends)?;
        }
        match (self.calico_known_answer(), tunnel) {
            (Some((conn, Part::Answer)), _) => return self.calico_answer(dev, at, &conn),
            (Some((conn, Part::Returned)), Some((from, _))) => {
                return self.calico_returned(dev, from, &conn);
            }
            _ => {}
        }
        let Some((service, backend)) = self.calico_service(at)? else {
            self.calico_passes(at);
            return Ok(());
        };
        if at == At::Host && tunnel.is_none() {
            self.calico_way_back(dev, service.at)?;
        }
        self.assume("Calico's policies let the packet pass (they are not simulated)");
        let client_outside = at == At::Host;
        let place = if client_outside {
            self.calico_where(&backend)
        } else {
            Where::Here
        };
        let loop_to_itself = self.skb.src == backend.addr;
        let asked = self.tuple();
        self.calico_translate(&service, &backend);
        if loop_to_itself {
            // `CALI_CT_FLAG_SVC_SELF`
            self.assume(
                "a pod that asks itself through a Service sees another source than its own",
            );
        }
        match place {
            Where::Unknown => {
                return Err(End::dropped(Reason::Ebpf {
                    why: Refused::NoRoute,
                    at: backend.at,
                }));
            }
            Where::Node(node) => return self.calico_forward(dev, &service, node, asked),
            Where::Here => {}
        }
        self.served = Some(Served {
            service: service.at,
            node: None,
            answer: Back::Here,
        });
        self.calico_keeps(asked, tunnel.map(|(from, _)| from), false);
        self.skb.mark |= SEEN;
        self.calico_redirect(dev)
    }

    /// A program was there, whatever it did (`forward_or_drop`: "make sure that each pkt has SEEN mark").
    fn calico_marks(&mut self, dev: DevId) {
        let name = &self.node.device(dev).name;
        let mut there = self.node.programs.iter();
        if there.any(|p| p.is_calicos() && p.hook.sees_incoming() && p.device == *name) {
            self.skb.mark |= SEEN;
        }
    }

    /// `hep_rpf_check` (rpf.h), loose as Felix' `BPFEnforceRPF` is by default: a route leads back to the source, by whatever device.
    fn calico_way_back(&mut self, dev: DevId, service: Origin) -> Flow {
        let mut key = self.key_in(dev);
        (key.src, key.dst) = (key.dst, key.src);
        (key.sport, key.dport) = (key.dport, key.sport);
        let found = match self.fib_lookup(&key) {
            Ok(l) => l.ty == RouteType::Unicast,
            Err(NoWay::NotCaptured) => true,
            Err(_) => false,
        };
        if found {
            return Ok(());
        }
        Err(End::dropped(Reason::Ebpf {
            why: Refused::NoWayBack,
            at: service,
        }))
    }

    fn calico_lacks_services(&mut self) {
        let (what, command) = self.calico_services_of();
        self.lacks(what, command);
        self.wanted.clear();
    }

    /// What shows the services of the packet's family.
    fn calico_services_of(&self) -> (&'static str, &'static str) {
        match self.family {
            Family::V4 => ("Calico's eBPF services", "calico-node -bpf nat dump"),
            Family::V6 => (
                "Calico's eBPF services of IPv6",
                "calico-node -bpf -6 nat dump",
            ),
        }
    }

    /// Calico's program is there, and its maps are not known.
    fn calico_unseen(&mut self, dev: Option<DevId>) {
        let name = dev.map(|d| &self.node.device(d).name);
        let mut there = self.node.programs.iter();
        // What a process connects to is translated wherever the packet would leave.
        if there.any(|p| {
            p.is_calicos() && p.hook.sees_incoming() && name.is_none_or(|n| p.device == *n)
        }) {
            let (what, command) = self.calico_services_of();
            self.taint(
                "Calico's eBPF program knows no service there (its maps were not captured)",
                what,
                command,
            );
        }
    }

    /// Translates what a process of this node connects to (`calico_connect_v4` in connect.h, felix/bpf-gpl).
    pub(super) fn calico_connect(&mut self) -> Flow {
        let calico = &self.node.calico;
        if self.packet.conn.is_some() || !matches!(self.skb.proto, Proto::TCP | Proto::UDP) {
            return Ok(());
        }
        if !calico.knows_services(self.family) {
            self.calico_unseen(None);
            return Ok(());
        }
        self.calico_asks();
        let Some((service, backend)) = self.calico_service(At::Workload)? else {
            return Ok(());
        };
        self.assume(
            "Calico translates what processes of this node connect to (bpfConnectTimeLoadBalancing, its default for TCP)",
        );
        self.calico_translate(&service, &backend);
        self.served = Some(Served {
            service: service.at,
            node: None,
            answer: Back::Here,
        });
        Ok(())
    }

    /// Tells the region of addresses that this walk answers for what the maps compare.
    fn calico_asks(&self) {
        let calico = &self.node.calico;
        for a in [self.skb.src, self.skb.dst] {
            let Some(r) = self.watched(a) else { continue };
            for (f, _) in &calico.frontends {
                r.meets(f.addr);
                if let Some((net, len)) = f.src {
                    r.net(net, len);
                }
            }
            for (b, _) in &calico.backends {
                r.meets(b.addr);
            }
            for (route, _) in &calico.routes {
                r.net(route.addr, route.len);
            }
            for (a, _) in &calico.affinities {
                r.meets(a.client);
            }
            for (f, _) in &calico.flows {
                r.meets(f.src.0);
                r.meets(f.dst.0);
            }
        }
    }

    /// What a device is to Calico; `None` where it has no program there.
    fn calico_at(&mut self, dev: DevId) -> Option<At> {
        let node = self.node;
        let d = node.device(dev);
        let name = d.name.as_str();
        // `interfacePrefix`, whose default is `cali`.
        let at = if name.starts_with("cali") {
            At::Workload
        } else if matches!(name, "bpfin.cali" | "bpfout.cali" | "lo") || d.tunnel().is_some() {
            At::Other
        } else {
            At::Host
        };
        if node.captured.programs {
            let mut there = node.programs.iter().filter(|p| p.device == name);
            return there
                .any(|p| p.hook.sees_incoming() && (p.is_calicos() || p.name.is_none()))
                .then_some(at);
        }
        // A port's program is the master's matter.
        if d.master.is_some() {
            return None;
        }
        self.lacks("eBPF programs at devices", "bpftool net");
        self.assume(format!(
            "Calico's eBPF program is attached to {name} (not captured)"
        ));
        self.wanted.clear();
        Some(at)
    }

    fn calico_translate(&mut self, service: &Service, backend: &Backend) {
        self.skb.dst = backend.addr;
        if self.skb.dport.known().is_some() {
            self.skb.dport = crate::trace::Port::Known(backend.port);
        }
        let to = self.view();
        self.step(StepKind::Ebpf {
            service: service.at,
            backend: backend.at,
            answer: false,
            to,
        });
        self.note_dnat(NatKind::Ebpf);
    }

    /// `bpf_fib_lookup`: the kernel's routes, without its hooks.
    fn calico_way(&mut self, dev: DevId) -> Flow<Dst> {
        let key = self.key_in(dev);
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(way) => return Err(way.end()),
        };
        if l.ty == RouteType::Local {
            self.route_step(&l, None, true, false);
            return Ok(Dst {
                dev: None,
                via: None,
                local: true,
                mtu: None,
            });
        }
        self.take_way(&l, false)
    }

    /// `forward_or_drop` (`fib_common.h`): past netfilter to the next device; what is for the node itself goes up as any packet.
    fn calico_redirect(&mut self, dev: DevId) -> Flow {
        let steps = self.steps.len();
        let way = self.calico_way(dev)?;
        if way.local {
            self.steps.truncate(steps);
            return Ok(());
        }
        if self.skb.ttl <= 1 {
            return Err(End::rejected(Reason::Ttl));
        }
        self.skb.ttl -= 1;
        self.oif = way.dev;
        self.leave(&way)
    }

    /// No service: the node's own stack has it, with Calico's mark, by which its rules let it pass.
    fn calico_passes(&mut self, at: At) {
        let calico = &self.node.calico;
        let route = |a: IpAddr| calico.route(a).map_or(0, |(r, _)| r.flags);
        let (src, dst) = (route(self.skb.src), route(self.skb.dst));
        let known = calico.knows_routes(self.family);
        if !known && at != At::Other {
            self.calico_lacks_routes(&format!(
                "what Calico marks {} with changes nothing",
                self.skb.dst
            ));
        }
        let mark = match at {
            // `cali_rt_flags_should_perform_nat_outgoing`
            At::Workload if src & Route::NAT_OUT != 0 && dst & Route::IN_POOL == 0 => NAT_OUT,
            At::Host if dst & Route::LOCAL == 0 => SKIP_FIB,
            _ => SEEN,
        };
        self.skb.mark |= mark;
        self.assume("Calico's policies let the packet pass (they are not simulated)");
        self.step(StepKind::Note(format!(
            "Calico's eBPF program knows no service there and sets mark {mark:#x}"
        )));
    }
}
