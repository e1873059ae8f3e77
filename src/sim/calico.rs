//! Calico's eBPF datapath, where its maps were captured: services are looked up by a program at the device before netfilter sees the packet.
//!
//! What is cited is of projectcalico/calico, felix/bpf-gpl: `calico_nat_lookup` (`nat_lookup.h`), `calico_tc_process_ct_lookup` and `do_nat`
//! (tc.c). Policies are not simulated.

use super::path::Dst;
use super::run::{End, Flow, Run};
use crate::node::calico::{any_node, origin};
use crate::node::{DevId, Origin};
use crate::trace::{
    Back, ForkKind, NatKind, Out, Reason, Refused, Served, StepKind, Verdict, View,
};
use nfwhy_parsers::calico_bpf::{Frontend, Route};
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
            return self.calico_passes(at);
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

    /// `calico_nat_lookup`.
    fn calico_service(&mut self, at: At) -> Flow<Option<(Service, Backend)>> {
        let calico = &self.node.calico;
        let proto = self.skb.proto;
        let port = match self.skb.dport {
            crate::trace::Port::None => 0,
            p => match p.known() {
                Some(n) => n,
                None => return Ok(None),
            },
        };
        let (src, dst) = (self.skb.src, self.skb.dst);
        let mut found = calico.service(dst, port, proto, src);
        if found.is_none() && at == At::Workload {
            // Another node's node port is translated where it is asked.
            let host = calico.route(dst).is_some_and(|(r, _)| r.has(Route::HOST));
            let node_port = calico.service(any_node(self.family), port, proto, src);
            if host {
                found = node_port;
            } else if node_port.is_some() && !calico.knows_routes(self.family) {
                self.calico_lacks_routes(format!("{dst} is no node of the cluster"));
            }
        }
        let Some(index) = found else { return Ok(None) };
        let Some((f, _)) = calico.frontends.get(index) else {
            return Ok(None);
        };
        let f = f.clone();
        let service = Service {
            at: calico.place(index),
            affinity: f.affinity,
        };
        let refused = |why| Reason::Ebpf {
            why,
            at: service.at,
        };
        let Some(all) = f.count else {
            return Err(End::dropped(refused(Refused::Source)));
        };
        if f.flags & Frontend::EXCLUDE != 0 {
            self.step(StepKind::Note(
                "Calico leaves this service to others (nat-exclude)".to_owned(),
            ));
            return Ok(None);
        }
        let mut count = all;
        let local = f.flags & (Frontend::INTERNAL_LOCAL | Frontend::EXTERNAL_LOCAL);
        let inside = at != At::Host || self.calico_inside(src, local != 0);
        if inside && local & Frontend::INTERNAL_LOCAL != 0
            || !inside && local & Frontend::EXTERNAL_LOCAL != 0
        {
            count = f.local;
        }
        if count == 0 {
            // `calico_tc_process_ct_lookup`: ICMP port unreachable.
            let why = if all > 0 {
                Refused::NoLocalBackend
            } else {
                Refused::NoBackend
            };
            return Err(End::rejected(refused(why)));
        }
        if let Some(b) = self.calico_known(&f) {
            return Ok(Some((service, b)));
        }
        let taken = if f.flags & Frontend::MAGLEV == 0 {
            let weights = vec![1.0; usize::try_from(count.min(4096)).unwrap_or(1)];
            self.fork(
                ForkKind::Backend {
                    service: service.at,
                },
                &weights,
            )
        } else {
            self.assume(
                "Maglev chooses the backend by the connection's addresses and ports: any of them",
            );
            let weights = vec![1.0; usize::try_from(count.min(4096)).unwrap_or(1)];
            self.fork(
                ForkKind::Backend {
                    service: service.at,
                },
                &weights,
            )
        };
        let ordinal = u32::try_from(taken).unwrap_or(0);
        let calico = &self.node.calico;
        let Some((b, file)) = calico
            .backend(&f, ordinal)
            .and_then(|i| calico.backends.get(i))
        else {
            if calico.backends.is_empty() {
                self.taint(
                    "the Service has backends",
                    "Calico's backends",
                    "calico-node -bpf nat dump",
                );
                return Err(End::unknown("Calico's backends were not captured"));
            }
            return Err(End::rejected(refused(Refused::NoBackend)));
        };
        let backend = Backend {
            addr: b.addr,
            port: b.port,
            at: origin(*file, b.line),
        };
        if service.affinity.is_some_and(|a| a > 0) {
            self.assume(
                "the client has not asked before (the Service keeps clients with their backends)",
            );
        }
        Ok(Some((service, backend)))
    }

    /// Something is taken to be so because Calico's routes do not say.
    fn calico_lacks_routes(&mut self, what: String) {
        self.taint(
            format!("{what} (Calico's routes were not captured)"),
            "Calico's routes",
            "calico-node -bpf routes dump",
        );
    }

    /// Whether a source is of the cluster, for the policies of the Service.
    fn calico_inside(&mut self, src: IpAddr, matters: bool) -> bool {
        let calico = &self.node.calico;
        if let Some((r, _)) = calico.route(src) {
            return r.flags & (Route::HOST | Route::WORKLOAD) != 0;
        }
        if matters && !calico.knows_routes(self.family) {
            self.calico_lacks_routes(format!("{src} is neither a pod nor a node"));
        }
        false
    }

    /// The backend of a known connection, or of a client that stays with one.
    fn calico_known(&mut self, f: &Frontend) -> Option<Backend> {
        let calico = &self.node.calico;
        let (proto, src, dst) = (self.skb.proto, self.skb.src, self.skb.dst);
        let port = self.skb.dport.known()?;
        if let Some(sport) = self.skb.sport.known()
            && let Some((flow, file)) = calico.flow(proto, (src, sport), (dst, port))
        {
            let (addr, port) = flow.dst;
            let at = origin(*file, flow.line);
            let text = format!("Calico knows the connection ({})", self.node.place(at));
            self.step(StepKind::Note(text));
            return Some(Backend { addr, port, at });
        }
        if f.affinity == Some(0) {
            return None;
        }
        let (a, file) = calico
            .affinities
            .iter()
            .find(|(a, _)| a.client == src && a.proto == proto && a.service == (dst, port))?;
        let (addr, port) = a.backend;
        let at = origin(*file, a.line);
        self.assume("the client asks again before its affinity to a backend expires");
        Some(Backend { addr, port, at })
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

    /// Where a backend is: by Calico's routes, else by the kernel's.
    fn calico_where(&mut self, b: &Backend) -> Where {
        let calico = &self.node.calico;
        if let Some((r, _)) = calico.route(b.addr) {
            return match (r.has(Route::LOCAL), r.has(Route::WORKLOAD)) {
                (true, _) => Where::Here,
                (false, true) => r.next_hop.map_or(Where::Unknown, Where::Node),
                _ if r.has(Route::HOST) => Where::Node(b.addr),
                _ => Where::Unknown,
            };
        }
        if calico.knows_routes(self.family) {
            return Where::Unknown;
        }
        self.lacks("Calico's routes", "calico-node -bpf routes dump");
        self.assume(format!(
            "{} is where the kernel's routes lead to (Calico's were not captured)",
            b.addr
        ));
        self.wanted.clear();
        let mut key = self.key_out(self.family.unspecified());
        key.dst = b.addr;
        let Ok(l) = self.fib_lookup(&key) else {
            return Where::Unknown;
        };
        if l.ty == RouteType::Local {
            return Where::Here;
        }
        match l.nexthops.first() {
            Some(hop) => hop.via.map_or(Where::Here, Where::Node),
            None => Where::Unknown,
        }
    }

    /// How the client is answered from another node.
    fn calico_back(&mut self) -> Back {
        let calico = &self.node.calico;
        // `CALI_CT_FLAG_NP_NO_DSR`: bpfDSROptoutCIDRs.
        if calico
            .route(self.skb.src)
            .is_some_and(|(r, _)| r.has(Route::NO_DSR))
        {
            return Back::Tunnel;
        }
        let dsr = if let Some(mode) = calico.answers() {
            mode.dsr
        } else {
            self.lacks(
                "how Calico has clients outside answered",
                "kubectl get felixconfiguration default -o yaml",
            );
            self.fork_unknown(
                ForkKind::Unknown("Calico's bpfExternalServiceMode".to_owned()),
                "calico bpfExternalServiceMode",
                false,
                "bpfExternalServiceMode is DSR (not captured)",
                "bpfExternalServiceMode is Tunnel, Calico's default (not captured)",
            )
        };
        if dsr { Back::Direct } else { Back::Tunnel }
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

    /// `forward_or_drop` (fib_common.h): past netfilter to the next device; what is for the node itself goes up as any packet.
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
    fn calico_passes(&mut self, at: At) -> Flow {
        let calico = &self.node.calico;
        let route = |a: IpAddr| calico.route(a).map_or(0, |(r, _)| r.flags);
        let (src, dst) = (route(self.skb.src), route(self.skb.dst));
        let known = calico.knows_routes(self.family);
        if !known && at != At::Other {
            self.calico_lacks_routes(format!(
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
        Ok(())
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
