//! IPVS: `ip_vs_in_hook` and `ip_vs_out_hook` (`net/netfilter/ipvs/ip_vs_core.c`), `ip_vs_*_xmit` (`ip_vs_xmit.c`).

use super::conntrack::{Ct, IpvsConn};
use super::path::Dst;
use super::route::{NoWay, RouteKey};
use super::run::{End, Flow, Run};
use crate::node::{Forwarding, RealServer, VirtualKey, VirtualService};
use crate::trace::{CtState, ForkKind, NatKind, Out, Port, Reason, StepKind, TcpFlags, Verdict};
use nfwhy_parsers::Proto;
use nfwhy_parsers::iproute::route::RouteType;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// Requests to virtual services. Returns when the packet goes on through the hook; a packet sent to a real server
    /// elsewhere ends inside.
    pub(super) fn ipvs_in(&mut self) -> Flow {
        if self.skb.ipvs || self.outer {
            return Ok(());
        }
        if !matches!(self.skb.proto, Proto::TCP | Proto::UDP | Proto::SCTP) {
            return Ok(());
        }
        if !self.node.captured.ipvs {
            return self.ipvs_not_captured();
        }
        if let Some(c) = self.known_ipvs() {
            // `ip_vs_conn_in_get`.
            if c.opened == self.tuple() {
                return self.ipvs_send(c);
            }
            if self.is_ipvs_reply(c) {
                return Ok(());
            }
        }
        let Some(service) = self.find_service() else {
            if self.node.in_part.ipvs {
                return self.ipvs_not_captured();
            }
            return Ok(());
        };
        if let Some(server) = self.server_without_nat(service) {
            return self.ipvs_send(IpvsConn {
                service,
                server,
                opened: self.tuple(),
            });
        }
        // `tcp_conn_schedule`: a SYN without RST opens a connection, a SYN+ACK too.
        if self.skb.proto == Proto::TCP {
            let sloppy = self
                .node
                .sysctls
                .get("net/ipv4/vs/sloppy_tcp")
                .is_some_and(|(n, _)| n != 0);
            let f = self.skb.flags;
            if f.has(TcpFlags::RST) || !(f.has(TcpFlags::SYN) || sloppy) {
                return Ok(());
            }
        }
        let server = self.schedule(service)?;
        self.ipvs_send(IpvsConn {
            service,
            server,
            opened: self.tuple(),
        })
    }

    /// A device of kube-proxy's IPVS mode (or kube-router's) holds the virtual addresses: without ipvsadm's output nothing is
    /// known of what serves them. `NodePorts` are served at the node's other addresses.
    fn ipvs_not_captured(&mut self) -> Flow {
        let dst = self.skb.dst;
        let holds = |name: &str| name.starts_with("kube-ipvs") || name == "kube-dummy-if";
        let holders = || self.node.devices.iter().filter(|d| holds(&d.name));
        if self.watched(dst).is_some() {
            for a in holders().flat_map(|d| &d.addrs) {
                self.is_same(dst, a.local);
            }
        }
        let virtually = holders().find(|d| d.addrs.iter().any(|a| a.local == dst));
        let why = if let Some(d) = virtually {
            format!(
                "{dst} is on {}, so IPVS serves it; its real servers were not captured",
                d.name
            )
        } else {
            let uses_ipvs = holders().next().is_some();
            // A mark may name a service (`-f`), whatever the address that a route delivers here.
            let may_be = self.is_local_addr(dst) || self.skb.mark != 0;
            if !uses_ipvs || !may_be {
                return Ok(());
            }
            let (port, proto) = (self.skb.dport, self.skb.proto);
            let at = match port {
                Port::Known(n) => format!("{proto} {}", std::net::SocketAddr::new(dst, n)),
                _ => format!("{proto} {dst}"),
            };
            self.lacks("IPVS services", "ipvsadm -ln");
            let serves = self.fork_unknown(
                ForkKind::Unknown(format!("IPVS service {at}")),
                &format!("ipvs {at}"),
                false,
                &format!("IPVS has a service {at} (not captured)"),
                &format!("IPVS has no service {at} (not captured)"),
            );
            if !serves {
                return Ok(());
            }
            format!("IPVS serves {at}; its real servers were not captured")
        };
        self.lacks("IPVS services", "ipvsadm -ln");
        self.probability = None;
        self.assume(why.clone());
        Err(End::unknown(why))
    }

    /// `ip_vs_service_find`: by mark, by address and port, by address alone (port 0).
    fn find_service(&self) -> Option<usize> {
        let services = &self.node.ipvs.services;
        let family = self.family;
        let mark = self.skb.mark;
        if mark != 0
            && let Some(i) = services.iter().position(
                |s| matches!(s.key, VirtualKey::Fwmark { mark: m, family: f } if m == mark && f == family),
            )
        {
            return Some(i);
        }
        if let Some(r) = self.watched(self.skb.dst) {
            let port_fits = |p: u16| p == 0 || self.skb.dport.known() == Some(p);
            for s in services {
                if let VirtualKey::Addr { proto, addr, port } = s.key
                    && proto == self.skb.proto
                    && port_fits(port)
                {
                    r.meets(addr);
                }
            }
        }
        let want = |port: u16| {
            services.iter().position(|s| {
                s.key
                    == VirtualKey::Addr {
                        proto: self.skb.proto,
                        addr: self.skb.dst,
                        port,
                    }
            })
        };
        self.skb.dport.known().and_then(want).or_else(|| want(0))
    }

    fn schedule(&mut self, service: usize) -> Flow<usize> {
        let node = self.node;
        let s = &node.ipvs.services[service];
        if !s.complete {
            self.taint(
                "the virtual service has no further real servers (the capture is cut)",
                "all real servers",
                "ipvsadm -ln",
            );
        }
        let zero_port = matches!(s.key, VirtualKey::Addr { port: 0, .. }) && s.persistent.is_none();
        if s.servers.iter().any(|r| r.weight.is_none()) {
            self.assume(
                "every real server has a weight above 0 (the capture shows none)".to_owned(),
            );
        }
        // `ip_vs_sh_reassign` fills its table with max(weight, 1) places for each server, `ip_vs_dh_reassign` with one, whatever
        // the weight; `ip_vs_sh_get` and `ip_vs_dh_schedule` then refuse who meets a server of weight 0.
        let fallback = s.flags.iter().any(|f| f == "sh-fallback" || f == "flag-1");
        let refuses = s.scheduler == "dh" || s.scheduler == "sh" && !fallback;
        // `ip_vs_ovf_schedule` passes over who has more active connections than weight.
        let full = |r: &RealServer| {
            s.scheduler == "ovf" && r.active.unwrap_or(0) > r.weight.unwrap_or(u32::MAX)
        };
        let heaviest = s
            .servers
            .iter()
            .filter(|r| !full(r))
            .filter_map(|r| r.weight)
            .max()
            .unwrap_or(1);
        let weights: Vec<f64> = s
            .servers
            .iter()
            .map(|r| {
                let w = r.weight.unwrap_or(1);
                if zero_port || full(r) {
                    0.0
                } else if w == 0 {
                    // A table of hashes gives it a place all the same.
                    f64::from(u8::from(refuses))
                } else if matches!(s.scheduler.as_str(), "fo" | "ovf") {
                    // The heaviest: `ip_vs_fo_schedule`, too.
                    f64::from(u8::from(w >= heaviest))
                } else if by_weight(&s.scheduler) {
                    f64::from(w)
                } else {
                    1.0
                }
            })
            .collect();
        let usable = |w: Option<u32>| w.unwrap_or(1) > 0;
        if weights.iter().all(|w| *w == 0.0) || !s.servers.iter().any(|r| usable(r.weight)) {
            // `ip_vs_leave`: port unreachable from the virtual address.
            return Err(End::rejected(Reason::NoRealServer { service }));
        }
        if weights.iter().filter(|w| **w > 0.0).count() > 1 {
            self.assume(scheduling(s));
        }
        let taken = self.fork(ForkKind::Schedule { service }, &weights);
        if usable(s.servers[taken].weight) {
            Ok(taken)
        } else {
            Err(End::rejected(Reason::NoRealServer { service }))
        }
    }

    /// `ip_vs_nat_xmit`, `ip_vs_dr_xmit`, `ip_vs_tunnel_xmit`, `ip_vs_null_xmit`.
    fn ipvs_send(&mut self, c: IpvsConn) -> Flow {
        let node = self.node;
        let server = &node.ipvs.services[c.service].servers[c.server];
        let conntrack = self.ipvs_conntrack();
        self.enters(server.addr);
        if server.method == Forwarding::Local {
            self.step_ipvs(c);
            return Ok(());
        }
        let port = match (server.port, self.skb.dport) {
            (0, p) => p,
            (n, _) => Port::Known(n),
        };
        let mut found = self.route_to_server(server.addr).map(|l| (l, None));
        if let Ok((l, _)) = &found
            && server.method == Forwarding::Tunnel
        {
            found = self.route_of_its_source(l, server.addr);
        }
        let (l, source, local) = match found {
            Ok((l, source)) => {
                let local = matches!(l.ty, RouteType::Local | RouteType::Anycast);
                (l, source, local)
            }
            Err(way @ NoWay::NotCaptured) => {
                if server.method == Forwarding::Masq {
                    self.skb.dst = server.addr;
                    self.skb.dport = port;
                    self.step_ipvs(c);
                    self.note_dnat(NatKind::Ipvs);
                }
                return Err(way.end());
            }
            Err(_) => {
                return Err(End::rejected(Reason::RealServerUnreachable {
                    service: c.service,
                    server: server.addr,
                }));
            }
        };
        // `crosses_local_route_boundary`.
        if !local && self.skb.src.is_loopback() {
            return Err(End::dropped(Reason::IpvsLoopback));
        }
        if local && server.method != Forwarding::Masq && !self.is_local_addr(self.skb.dst) {
            // Only NAT may turn a packet that leaves into one for the node itself (IP_VS_RT_MODE_RDR).
            return Err(Self::martian(
                "IPVS cannot hand a packet on its way out to the node itself without NAT",
            ));
        }
        if server.method == Forwarding::Masq {
            self.skb.dst = server.addr;
            self.skb.dport = port;
            self.skb.ipvs = true;
            self.step_ipvs(c);
            self.note_dnat(NatKind::Ipvs);
            self.after_ipvs(c, conntrack, true);
        } else {
            self.skb.ipvs = true;
            self.step_ipvs(c);
            self.after_ipvs(c, conntrack, false);
        }
        if local {
            // NF_ACCEPT: the rest of the hook sees the packet with its new destination.
            self.ipvs_to_self(&l);
            return Ok(());
        }
        let hop = self.select_path(&l);
        let Some(hop) = hop else {
            return Err(End::unknown("the route to the real server has no device"));
        };
        // `decrement_ttl` in `__ip_vs_get_out_rt`.
        if self.skb.ttl <= 1 {
            return Err(End::rejected(Reason::Ttl));
        }
        self.skb.ttl -= 1;
        self.step(StepKind::Route(crate::trace::RouteStep {
            dst: server.addr,
            local: false,
            dev: Some(hop.dev),
            via: hop.via,
            table: node.fib(self.family).table_name(l.table),
            at: l.origin,
            reroute: true,
        }));
        let dst = Dst {
            dev: Some(hop.dev),
            via: hop.via,
            local: false,
            mtu: l.mtu.or(node.device(hop.dev).mtu),
        };
        if server.method == Forwarding::Tunnel {
            self.delivered = Some(self.view());
            self.out = Some(Out {
                dev: hop.dev,
                via: Some(server.addr),
            });
            self.ipvs_encapsulate(c, (source, server.addr), &l, dst)?;
            return Err(End::new(
                Verdict::Forwarded,
                Reason::Sent {
                    tunnel: Some("ipvs tunnel".into()),
                },
            ));
        }
        // OUTPUT by hand (`ip_vs_nat_send_or_cont`), without an ingress device; POSTROUTING then has it again.
        let iif = self.iif.take();
        self.forget_invalid();
        let dst = self.local_out(dst, true)?;
        self.iif = iif;
        self.output(&dst)
    }

    /// What conntrack found INVALID it sees anew in OUTPUT, with the real server's address in it: an ACK that did not fit its
    /// connection opens another one there, from the client to the real server (`nf_conntrack_in` skips only what has a connection or
    /// is UNTRACKED).
    fn forget_invalid(&mut self) {
        let invalid = |ct: &Ct| ct.state == CtState::Invalid;
        if self.ct.as_ref().is_some_and(invalid) {
            self.ct = None;
        }
    }

    fn ipvs_to_self(&mut self, l: &super::route::Lookup) {
        let table = self.node.fib(self.family).table_name(l.table);
        self.step(StepKind::Route(crate::trace::RouteStep {
            dst: self.skb.dst,
            local: true,
            dev: l.all_devs.first().copied(),
            via: None,
            table,
            at: l.origin,
            reroute: true,
        }));
    }

    fn step_ipvs(&mut self, c: IpvsConn) {
        let to = self.view();
        self.step(StepKind::Ipvs {
            service: c.service,
            server: c.server,
            to,
        });
    }

    /// The route of a real server is looked up by its address alone: no mark, no source (`do_output_route4`).
    fn route_to_server(&mut self, server: IpAddr) -> super::route::RouteResult {
        self.fib_lookup(&RouteKey::bare(server))
    }

    /// `net.ipv4.vs.conntrack` holds for both families.
    fn ipvs_conntrack(&mut self) -> bool {
        if self
            .ct
            .as_ref()
            .is_none_or(|ct| matches!(ct.state, CtState::Untracked))
        {
            return false;
        }
        self.sysctl_switch("net/ipv4/vs/conntrack", true)
    }

    /// `ip_vs_update_conntrack` or `ip_vs_notrack`.
    fn after_ipvs(&mut self, c: IpvsConn, conntrack: bool, nat: bool) {
        let tuple = self.tuple();
        // One-packet scheduling keeps no connection (`ip_vs_conn_hash`) and alters none of conntrack's (`ip_vs_update_conntrack`).
        let once = self.skb.proto == Proto::UDP && self.node.ipvs.services[c.service].ops;
        self.ipvs_conn = (!once).then_some(c);
        if !conntrack {
            self.untrack_for_ipvs(c, !once);
            return;
        }
        let Some(ct) = &mut self.ct else { return };
        if once {
            ct.ipvs = None;
            return;
        }
        ct.ipvs = Some(c);
        // Only an unconfirmed connection, only NAT, only the original direction.
        if !ct.confirmed && nat && !ct.is_reply && ct.state == CtState::New {
            ct.reply.src = tuple.dst;
            ct.reply.sport = tuple.dport;
        }
    }
}

/// Schedulers whose shares follow the weights: over many connections the others that look at load do so as well.
fn by_weight(scheduler: &str) -> bool {
    !matches!(scheduler, "rr" | "lc" | "nq" | "dh")
}

fn scheduling(s: &VirtualService) -> String {
    let name = &s.scheduler;
    if s.persistent.is_some() {
        return format!(
            "{name} picks any real server for a client not seen before, who then stays with it (persistent)"
        );
    }
    match name.as_str() {
        "sh" | "mh" | "dh" | "lblc" | "lblcr" => {
            format!("{name} ties each client to one real server, which one is not computed")
        }
        "rr" => "rr picks any real server".into(),
        "wrr" => "wrr picks by weight".into(),
        "ovf" => {
            "ovf picks the heaviest real server with no more active connections than weight".into()
        }
        "fo" => "fo picks the heaviest real server, and no other while that one is not overloaded"
            .into(),
        other => format!("{other} picks by load; over time by weight"),
    }
}
