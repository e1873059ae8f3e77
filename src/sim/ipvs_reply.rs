//! Replies of IPVS's real servers: `ip_vs_out_hook` and `handle_response` (`net/netfilter/ipvs/ip_vs_core.c`).

use super::run::{End, Flow, Run};
use crate::node::{Forwarding, VirtualKey};
use crate::trace::{ForkKind, Hook, Reason, StepKind, TcpFlags};
use nfwhy_parsers::Proto;

impl Run<'_, '_> {
    /// Replies of real servers get the virtual address back, and a route of their own.
    pub(super) fn ipvs_out(&mut self, hook: Hook) -> Flow {
        if self.skb.ipvs || self.outer {
            return Ok(());
        }
        let Some(c) = self.known_ipvs().filter(|c| self.is_ipvs_reply(*c)) else {
            return self.ipvs_unasked();
        };
        self.skb.src = c.opened.dst;
        self.skb.sport = c.opened.dport;
        let to = self.view();
        self.step(StepKind::IpvsReply { to });
        self.reroute_reply(hook)?;
        self.skb.ipvs = true;
        // `handle_response`: a connection that was made without conntrack takes its replies out of it as well (`ip_vs_notrack`),
        // so that no nat chain runs for them.
        if !self.sysctl_switch("net/ipv4/vs/conntrack", true) {
            self.untrack_for_ipvs(c, true);
        }
        Ok(())
    }

    /// `ip_vs_route_me_harder`: a reply goes out as the node's own packets from the virtual address do, unless
    /// `net.ipv4.vs.snat_reroute` is off. What was routed to the node itself stays.
    fn reroute_reply(&mut self, hook: Hook) -> Flow {
        if hook == Hook::Input || self.oif.is_none_or(|d| self.node.device(d).is_loopback()) {
            return Ok(());
        }
        let reroutes = self
            .node
            .sysctls
            .get("net/ipv4/vs/snat_reroute")
            .is_none_or(|(n, _)| n != 0);
        if reroutes {
            // `handle_response` frees the packet and says nothing.
            let dst = self.route_again_silently()?;
            self.rerouted = Some(dst);
        }
        Ok(())
    }

    /// What a real server sends without having been asked: with `net.ipv4.vs.nat_icmp_send` it is told that nobody wants it
    /// (`ip_vs_out_hook`).
    fn ipvs_unasked(&mut self) -> Flow {
        let on = self.node.sysctls.get("net/ipv4/vs/nat_icmp_send");
        let (src, port) = (self.skb.src, self.skb.sport.known());
        if on.is_none_or(|(n, _)| n == 0)
            || !matches!(self.skb.proto, Proto::TCP | Proto::UDP | Proto::SCTP)
            || self.skb.proto == Proto::TCP && self.skb.flags.has(TcpFlags::RST)
        {
            return Ok(());
        }
        let captured = self.node.captured.ipvs && !self.node.in_part.ipvs;
        if let (false, Some(port)) = (captured, port) {
            let at = std::net::SocketAddr::new(src, port);
            self.lacks("IPVS services", "ipvsadm -ln");
            let is_one = self.fork_unknown(
                ForkKind::Unknown(format!("IPVS real server {at}")),
                &format!("ipvs real server {at}"),
                false,
                &format!("{at} is a real server of IPVS (not captured)"),
                &format!("{at} is no real server of IPVS (not captured)"),
            );
            return if is_one {
                Err(End::rejected(Reason::IpvsNotAsked))
            } else {
                Ok(())
            };
        }
        // `ip_vs_has_real_service`: those of NAT only (`ip_vs_rs_hash`).
        let proto = self.skb.proto;
        if let Some(r) = self.watched(src) {
            for s in self.node.ipvs.services.iter().flat_map(|v| &v.servers) {
                if Some(s.port) == port {
                    r.meets(s.addr);
                }
            }
        }
        let is_one = self.node.ipvs.services.iter().any(|v| {
            let serves = match v.key {
                VirtualKey::Addr { proto: p, .. } => p == proto,
                VirtualKey::Fwmark { .. } => true,
            };
            serves
                && v.servers
                    .iter()
                    .any(|s| s.addr == src && Some(s.port) == port && s.method == Forwarding::Masq)
        });
        if is_one {
            return Err(End::rejected(Reason::IpvsNotAsked));
        }
        Ok(())
    }
}
