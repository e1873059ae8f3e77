//! Connections that IPVS knows: its own table (`net/netfilter/ipvs/ip_vs_conn.c`), and what conntrack tells of it
//! (`ip_vs_nfct.c`).

use super::conntrack::{Ct, IpvsConn, Tuple};
use super::run::Run;
use crate::node::{Forwarding, RealServer, VirtualKey};
use crate::trace::{CtState, ForkKind, Port, StepKind};

impl Run<'_, '_> {
    /// A captured connection to a service whose real servers are reached without NAT: IPVS knows which one has it, conntrack does
    /// not.
    pub(super) fn server_without_nat(&mut self, service: usize) -> Option<usize> {
        let known = |ct: &Ct| ct.at.is_some() && !ct.is_reply;
        if !self.ct.as_ref().is_some_and(known) && !self.misfits_its_connection() {
            return None;
        }
        let weights: Vec<f64> = self.node.ipvs.services[service]
            .servers
            .iter()
            .map(|s| f64::from(u8::from(s.method != Forwarding::Masq)))
            .collect();
        if weights.iter().all(|w| *w == 0.0) {
            return None;
        }
        self.assume("IPVS still knows the connection; which real server has it was not captured");
        Some(self.fork(ForkKind::Schedule { service }, &weights))
    }

    /// Whether the packet opened a captured connection in which conntrack finds it INVALID (`nf_conntrack_tcp_packet`): an ACK before
    /// any answer has none there, and IPVS looks into its own table.
    fn misfits_its_connection(&self) -> bool {
        if self
            .ct
            .as_ref()
            .is_none_or(|ct| ct.state != CtState::Invalid)
        {
            return false;
        }
        let tuple = self.tuple();
        self.node.conntrack.iter().any(|e| {
            e.proto == self.skb.proto
                && self.is_tuple(&Tuple::of(&e.orig), &tuple)
                && (e.reply.src, e.reply.sport) == (e.orig.dst, e.orig.dport)
        })
    }

    pub(super) fn known_ipvs(&self) -> Option<IpvsConn> {
        if let Some(c) = self.ct.as_ref().and_then(|ct| ct.ipvs) {
            return Some(c);
        }
        // IPVS has a table of its own: conntrack may not know the packet.
        let ipvs = self.packet.conn.as_ref()?.ipvs?;
        (ipvs.opened == self.tuple() || self.is_ipvs_reply(ipvs)).then_some(ipvs)
    }

    /// `ip_vs_conn_out_get`: what answers the client from the real server's address with NAT, from the virtual one without.
    pub(super) fn is_ipvs_reply(&self, c: IpvsConn) -> bool {
        // A client may be its own real server: what opened the connection is a request (`ip_vs_conn_in_get` finds it).
        if c.opened == self.tuple() {
            return false;
        }
        let (client, port) = (c.opened.src, c.opened.sport);
        let to_client = (client.is_unspecified() || self.skb.dst == client)
            && (port.known().is_none() || self.skb.dport == port);
        self.ipvs_server(c).is_some_and(|s| {
            let from = match (s.method, s.port) {
                (Forwarding::Masq, 0) => (s.addr, self.skb.sport),
                (Forwarding::Masq, n) => (s.addr, Port::Known(n)),
                _ => (c.opened.dst, c.opened.dport),
            };
            to_client && (self.skb.src, self.skb.sport) == from
        })
    }

    pub(super) fn ipvs_server(&self, c: IpvsConn) -> Option<&RealServer> {
        let service = self.node.ipvs.services.get(c.service)?;
        service.servers.get(c.server)
    }

    /// A captured entry that answers from a real server of what it was opened to: IPVS has changed it (`ip_vs_update_conntrack`),
    /// and NAT does nothing to its destination.
    pub(super) fn recognise_ipvs(&self, ct: &mut Ct) {
        if !ct.dst_nat {
            return;
        }
        let (real, port) = (ct.reply.src, ct.reply.sport);
        let (vip, vport) = (ct.orig.dst, ct.orig.dport);
        let rank = |key: &VirtualKey| match *key {
            VirtualKey::Addr { proto, addr, port } => (proto == self.skb.proto
                && addr == vip
                && (port == 0 || Port::Known(port) == vport))
                .then_some(0),
            VirtualKey::Fwmark { family, .. } => (family == self.family).then_some(1),
        };
        let found = self
            .node
            .ipvs
            .services
            .iter()
            .enumerate()
            .filter_map(|(service, v)| {
                let rank = rank(&v.key)?;
                let server = v.servers.iter().position(|s| {
                    s.method == Forwarding::Masq
                        && s.addr == real
                        && (s.port == 0 || Port::Known(s.port) == port)
                })?;
                Some((rank, service, server))
            })
            .min();
        if let Some((_, service, server)) = found {
            ct.dst_nat = false;
            ct.ipvs = Some(IpvsConn {
                service,
                server,
                opened: ct.orig,
            });
        }
    }

    /// `ip_vs_notrack`. `kept`: IPVS has the connection in its own table.
    pub(super) fn untrack_for_ipvs(&mut self, c: IpvsConn, kept: bool) {
        let orig = match (&self.packet.conn, &self.ct) {
            // A reply, too, belongs to the connection that IPVS knows.
            (Some(known), _) if known.ipvs.is_some() => known.orig,
            (_, Some(ct)) => ct.orig,
            _ => self.tuple(),
        };
        let mut ct = Ct::fresh(orig, CtState::Untracked);
        ct.ipvs = kept.then_some(c);
        // What has no connection stays as it is: INVALID.
        let invalid = |ct: &Ct| ct.state == CtState::Invalid;
        if self.ct.as_ref().is_some_and(invalid) {
            ct.state = CtState::Invalid;
            self.ct = Some(ct);
            return;
        }
        self.ct = Some(ct);
        self.step(StepKind::Conntrack {
            state: CtState::Untracked,
            reply: false,
            at: None,
        });
    }
}
