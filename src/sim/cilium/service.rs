//! Which service and which of its backends.

use super::{Backend, CONFIG_MAP, IPCACHE_LIST, LB_LIST, SOURCE_RANGES, Service};
use crate::node::cilium::Service as Known;
use crate::sim::run::{End, Flow, Run};
use crate::trace::{ForkKind, Reason, Refused, StepKind};
use nfwhy_parsers::cilium::{Flags, Kind, Prefix};
use nfwhy_parsers::{Masked, Proto};
use std::net::IpAddr;

/// A service, and the backend that was drawn; without one its proxy takes the packet.
type Found = Option<(Service, Option<Backend>)>;

impl<'s> Run<'s, '_> {
    pub(super) fn cilium_port(&self) -> Option<u16> {
        // `lb4_extract_tuple`: others are no service's.
        matches!(self.skb.proto, Proto::TCP | Proto::UDP | Proto::SCTP)
            .then(|| self.skb.dport.known())
            .flatten()
    }

    /// `nodeport_lb4`: for clients outside the entry of external scope.
    pub(super) fn cilium_outside(&mut self) -> Flow<Found> {
        let cilium = &self.node.cilium;
        let Some(port) = self.cilium_port() else {
            return Ok(None);
        };
        let (dst, proto) = (self.skb.dst, self.skb.proto);
        let Some(s) = cilium.service(dst, port, proto, false) else {
            // `LB_SVC_WILDCARD_DPORT`: an address of services takes no other port.
            if let Some(all) = cilium.service(dst, 0, Proto(0), false) {
                return Err(Self::cilium_refuses(Refused::NoPort, all.at));
            }
            self.cilium_is_none(dst, port);
            return Ok(None);
        };
        let service = self.cilium_found(s);
        let allowed = self.cilium_source_ok(s);
        if !allowed {
            return Err(Self::cilium_refuses(Refused::Source, s.at));
        }
        if s.flags.has(Flags::L7) {
            return Ok(Some((service, None)));
        }
        let backend = self.cilium_draw(s)?;
        if s.flags.has(Flags::NON_ROUTABLE) || s.bare && s.flags.kind == Kind::ClusterIp {
            // `DROP_IS_CLUSTER_IP`, unless bpf-lb-external-clusterip makes it routable.
            let external = cilium.is_on("bpf-lb-external-clusterip") == Some(true);
            if !(s.bare && external) {
                return Err(Self::cilium_refuses(Refused::Inside, s.at));
            }
        }
        Ok(Some((service, Some(backend))))
    }

    /// `lb4_lookup_service` with `east_west`, `sock4_skip_xlate` and `sock4_wildcard_lookup`: for clients in the cluster the entry of internal
    /// scope, where there are two.
    pub(super) fn cilium_inside(&mut self) -> Flow<Found> {
        let cilium = &self.node.cilium;
        let Some(port) = self.cilium_port() else {
            return Ok(None);
        };
        let (dst, proto) = (self.skb.dst, self.skb.proto);
        let mut found = cilium.service(dst, port, proto, false);
        if let Some(s) = found
            && matches!(s.flags.kind, Kind::ExternalIps | Kind::HostPort)
            && !self.cilium_is_host(dst)
        {
            self.step(StepKind::Note(format!(
                "Cilium translates no {} of another machine for clients in the cluster ({})",
                s.flags.kind.name(),
                self.node.place(s.at)
            )));
            found = None;
        } else if found.is_none() {
            found = self.cilium_node_port(dst, port, proto);
        }
        let Some(s) = found else {
            self.cilium_is_none(dst, port);
            return Ok(None);
        };
        let s = if s.flags.has(Flags::TWO_SCOPES) {
            match cilium.service(s.key.addr, s.key.port, proto, true) {
                Some(inner) => inner,
                None => return Ok(None),
            }
        } else {
            s
        };
        let service = self.cilium_found(s);
        if s.flags.has(Flags::L7) {
            return Ok(Some((service, None)));
        }
        Ok(Some((service, Some(self.cilium_draw(s)?))))
    }

    /// A node port of any node is translated where it is asked; its entry has the address `0.0.0.0`.
    fn cilium_node_port(&mut self, dst: IpAddr, port: u16, proto: Proto) -> Option<&'s Known> {
        let node = self.node;
        let cilium = &node.cilium;
        let s = cilium.service(self.family.unspecified(), port, proto, false)?;
        if self.cilium_is_host(dst) {
            return Some(s);
        }
        let known = cilium.prefix(dst).map(|p| {
            matches!(
                p.identity,
                Prefix::HOST | Prefix::REMOTE_NODE | Prefix::API_SERVER
            )
        });
        let node = known.or_else(|| self.node.kube.node_by_ip(dst).map(|_| true));
        if node.is_none() {
            self.taint(
                format!("{dst} is no node of the cluster (Cilium's addresses were not captured)"),
                "whose address it is to Cilium",
                IPCACHE_LIST,
            );
        }
        node.filter(|yes| *yes).map(|_| s)
    }

    /// No service was found; where only some are shown, that is not sure.
    fn cilium_is_none(&mut self, dst: IpAddr, port: u16) {
        if self.node.cilium.in_part {
            self.taint(
                format!("Cilium has no service at port {port} of {dst} (not all are shown)"),
                "Cilium's services",
                LB_LIST,
            );
        }
    }

    fn cilium_found(&mut self, s: &Known) -> Service {
        if s.bare {
            self.lacks("the flags of Cilium's services", LB_LIST);
            self.assume(
                "the service is for all sources and keeps no client with its backend (its flags were not captured)",
            );
            self.wanted.clear();
        }
        Service {
            at: s.at,
            flags: s.flags,
            proxy: s.proxy,
        }
    }

    /// `lb4_src_range_ok`.
    fn cilium_source_ok(&mut self, s: &Known) -> bool {
        if !s.flags.has(Flags::SOURCE_RANGE) {
            return true;
        }
        let cilium = &self.node.cilium;
        let src = self.skb.src;
        let deny = s.flags.has(Flags::DENY);
        let mut ranges = cilium.ranges_of(s).peekable();
        if ranges.peek().is_some() {
            let within = ranges.any(|r| Masked::prefix(r.net.0, r.net.1).contains(src));
            return within != deny;
        }
        self.lacks("the sources of Cilium's services", SOURCE_RANGES);
        self.fork_unknown(
            ForkKind::Unknown(format!("whether {src} is among the Service's sources")),
            &format!("cilium source {src} {}", s.id),
            true,
            &format!("the Service is for {src} (its sources were not captured)"),
            &format!("the Service is not for {src} (its sources were not captured)"),
        )
    }

    /// `lb4_local`: a backend by chance.
    fn cilium_draw(&mut self, s: &Known) -> Flow<Backend> {
        let list = s.taking();
        if list.is_empty() {
            let why = if s.flags.has(Flags::LOCAL) && !s.key.internal
                || s.flags.has(Flags::INTERNAL_LOCAL)
            {
                Refused::NoLocalBackend
            } else {
                Refused::NoBackend
            };
            return Err(self.cilium_no_backend(why, s));
        }
        if s.is_cut() {
            self.taint(
                "the backends that are not shown are not chosen",
                "Cilium's backends",
                LB_LIST,
            );
        }
        if s.flags.has(Flags::AFFINITY) {
            self.assume(
                "the client has not asked before (the Service keeps clients with their backends)",
            );
        }
        if self
            .node
            .cilium
            .setting("bpf-lb-algorithm")
            .is_some_and(|(w, _)| w.starts_with("maglev"))
        {
            self.assume(
                "Maglev chooses the backend by the connection's addresses and ports: any of them",
            );
        }
        let weights = vec![1.0; list.len().min(4096)];
        let taken = self.fork(ForkKind::Backend { service: s.at }, &weights);
        let b = list.get(taken).copied();
        match b.and_then(|b| Some((b.to?, b.at))) {
            Some(((addr, port), at)) => Ok(Backend { addr, port, at }),
            None => Err(Self::cilium_refuses(Refused::NoBackend, s.at)),
        }
    }

    /// `DROP_NO_SERVICE`; with `SERVICE_NO_BACKEND_RESPONSE`, the default since 1.15, an ICMP error.
    fn cilium_no_backend(&mut self, why: Refused, s: &Known) -> End {
        let cilium = &self.node.cilium;
        let reason = Reason::Ebpf { why, at: s.at };
        let rejects = match cilium.setting("service-no-backend-response") {
            Some((word, _)) => word != "drop",
            None if cilium.knows_config_map() => {
                self.assume("the release answers nothing for a Service without backends (service-no-backend-response is not set)");
                false
            }
            None => {
                self.lacks(
                    "what Cilium answers for a Service without backends",
                    CONFIG_MAP,
                );
                self.fork_unknown(
                    ForkKind::Unknown("Cilium's service-no-backend-response".to_owned()),
                    "cilium service-no-backend-response",
                    true,
                    "service-no-backend-response is reject, the default since Cilium 1.15 (not captured)",
                    "service-no-backend-response is drop, or Cilium is older than 1.15 (not captured)",
                )
            }
        };
        if rejects {
            End::rejected(reason)
        } else {
            End::dropped(reason)
        }
    }

    /// Whether an address is this node's.
    pub(super) fn cilium_is_host(&self, addr: IpAddr) -> bool {
        if let Some(e) = self.node.cilium.endpoint(addr) {
            return e.host;
        }
        let mut addrs = self.node.devices.iter().flat_map(|d| &d.addrs);
        addr.is_loopback() || addrs.any(|a| a.local == addr)
    }
}
