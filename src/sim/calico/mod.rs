//! Calico's eBPF datapath, where its maps were captured: services are looked up by a program at the device before netfilter sees the packet.
//!
//! What is cited is of projectcalico/calico, felix/bpf-gpl: `calico_nat_lookup` (`nat_lookup.h`), `calico_tc_process_ct_lookup` and `do_nat`
//! (tc.c). Policies are not simulated.

mod service;

use super::path::Dst;
use super::run::{End, Flow, Run};
use crate::node::calico::origin;
use crate::node::{DevId, Origin};
use crate::trace::{Back, NatKind, Out, Reason, Refused, Served, StepKind, Verdict, View};
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
        if self.packet.conn.is_some() {
            return Ok(());
        }
        if !self.node.calico.knows_services(self.family) {
            self.calico_unseen(Some(dev));
            return Ok(());
        }
        let Some(at) = self.calico_at(dev) else {
            return Ok(());
        };
        self.calico_asks();
        let proto = self.skb.proto;
        if let (Some(sport), Some(dport)) = (self.skb.sport.known(), self.skb.dport.known()) {
            let (src, dst) = ((self.skb.src, sport), (self.skb.dst, dport));
            let calico = &self.node.calico;
            if let Some((f, file)) = calico.answered(proto, src, dst) {
                let (f, place) = (f.clone(), origin(*file, f.line));
                return self.calico_answer(dev, at, &f, place);
            }
        }
        let Some((service, backend)) = self.calico_service(at)? else {
            self.calico_passes(at);
            return Ok(());
        };
        self.assume("Calico's policies let the packet pass (they are not simulated)");
        let client_outside = at == At::Host;
        let place = if client_outside {
            self.calico_where(&backend)
        } else {
            Where::Here
        };
        let loop_to_itself = self.skb.src == backend.addr;
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
            Where::Node(node) => return self.calico_forward(dev, &service, node),
            Where::Here => {}
        }
        self.served = Some(Served {
            service: service.at,
            node: None,
            answer: Back::Here,
        });
        self.skb.mark |= SEEN;
        self.calico_redirect(dev)
    }

    /// Calico's program is there, and its maps are not known.
    fn calico_unseen(&mut self, dev: Option<DevId>) {
        let name = dev.map(|d| &self.node.device(d).name);
        let mut there = self.node.programs.iter();
        // What a process connects to is translated wherever the packet would leave.
        if there.any(|p| {
            p.is_calicos() && p.hook.sees_incoming() && name.is_none_or(|n| p.device == *n)
        }) {
            let (what, command) = match self.family {
                Family::V4 => ("Calico's eBPF services", "calico-node -bpf nat dump"),
                Family::V6 => (
                    "Calico's eBPF services of IPv6",
                    "calico-node -bpf -6 nat dump",
                ),
            };
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

    /// `do_nat`, `encap_needed`: the request goes to the backend's node in VXLAN, as it came from the client.
    fn calico_forward(&mut self, dev: DevId, service: &Service, node: IpAddr) -> Flow {
        let answer = self.calico_back();
        self.served = Some(Served {
            service: service.at,
            node: Some(node),
            answer,
        });
        self.calico_wrap(dev, node)
    }

    /// The packet as it is goes to another node in VXLAN.
    fn calico_wrap(&mut self, dev: DevId, node: IpAddr) -> Flow {
        let inner = self.view();
        let host = self.node.calico.host(self.family);
        self.outer = true;
        (self.skb.dst, self.skb.proto) = (node, Proto::UDP);
        self.skb.dport = crate::trace::Port::Known(VXLAN_PORT);
        if let Some(h) = host {
            self.skb.src = h;
        }
        let way = self.calico_way(dev)?;
        self.step(StepKind::Encapsulated {
            kind: "vxlan".to_owned(),
            src: host,
            dst: node,
        });
        self.calico_sent(inner, &way, Some("vxlan"))
    }

    fn calico_sent(&mut self, inner: View, way: &Dst, tunnel: Option<&str>) -> Flow {
        let Some(dev) = way.dev else {
            return Err(End::unknown("the packet has no device to leave by"));
        };
        self.delivered = Some(View {
            oif: Some(dev),
            ..inner
        });
        self.out = Some(Out { dev, via: way.via });
        self.at_device(dev, true)?;
        Err(End::new(
            Verdict::Forwarded,
            Reason::Sent {
                tunnel: tunnel.map(str::to_owned),
            },
        ))
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

    /// The answer of a backend to a known connection.
    fn calico_answer(
        &mut self,
        dev: DevId,
        at: At,
        f: &nfwhy_parsers::calico_bpf::Flow,
        place: Origin,
    ) -> Flow {
        let Some((addr, port)) = f.service else {
            return Ok(());
        };
        let dsr = match f.dsr.filter(|_| f.forwarded.is_some()) {
            Some(true) => true,
            _ => self.node.calico.answers().is_some_and(|a| a.dsr),
        };
        // `do_nat`, CALI_CT_ESTABLISHED_SNAT: through the tunnel it goes with the service's address already.
        self.skb.src = addr;
        self.skb.sport = crate::trace::Port::Known(port);
        let to = self.view();
        self.step(StepKind::Ebpf {
            service: place,
            backend: place,
            answer: true,
            to,
        });
        self.note_snat(NatKind::Ebpf);
        self.skb.mark |= SEEN;
        match f.tunnel {
            Some(node) if at == At::Workload && !dsr => self.calico_wrap(dev, node),
            _ => self.calico_redirect(dev),
        }
    }
}
