//! Which service and backend, where that is, and how it answers.

use super::{At, Backend, Service, Where};
use crate::node::calico::{any_node, origin};
use crate::sim::run::{End, Flow, Run};
use crate::trace::{ForkKind, Reason, Refused, StepKind};
use nfwhy_parsers::calico_bpf::{Frontend, Route};
use nfwhy_parsers::iproute::route::RouteType;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// `calico_nat_lookup`.
    pub(super) fn calico_service(&mut self, at: At) -> Flow<Option<(Service, Backend)>> {
        // `from_tun`: another node that was asked sent it here.
        let tunnelled = self.packet.calico.tunnel.is_some();
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
        if found.is_none() && (at == At::Workload || tunnelled) {
            // Another node's node port is translated where it is asked. What comes from another node for an address that the routes do not
            // know is taken for a node port.
            let host = match calico.route(dst) {
                Some((r, _)) => r.has(Route::HOST),
                None => tunnelled,
            };
            let node_port = calico.service(any_node(self.family), port, proto, src);
            if host {
                found = node_port;
            } else if node_port.is_some() && !calico.knows_routes(self.family) {
                self.calico_lacks_routes(&format!("{dst} is no node of the cluster"));
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
        if tunnelled
            || inside && local & Frontend::INTERNAL_LOCAL != 0
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
    pub(super) fn calico_lacks_routes(&mut self, what: &str) {
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
            self.calico_lacks_routes(&format!("{src} is neither a pod nor a node"));
        }
        false
    }

    /// The backend of a known connection, or of a client that stays with one.
    fn calico_known(&mut self, f: &Frontend) -> Option<Backend> {
        let calico = &self.node.calico;
        let (proto, src, dst) = (self.skb.proto, self.skb.src, self.skb.dst);
        if let Some(c) = &self.packet.calico.conn
            && c.has_asked(self.packet)
        {
            let (addr, at) = (c.served.dst, c.at);
            let port = c.served.dport.known().unwrap_or(0);
            return Some(Backend { addr, port, at });
        }
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

    /// Where a backend is: by Calico's routes, else by the kernel's.
    pub(super) fn calico_where(&mut self, b: &Backend) -> Where {
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
}
