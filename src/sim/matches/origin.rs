//! Where a packet comes from and who saw it before: `owner`, `physdev`, `ipvs`, `recent`.

use super::super::conntrack::Ct;
use super::super::run::Run;
use super::{Tri, fact};
use crate::node::Forwarding;
use crate::trace::{CtState, Port};
use nfwhy_parsers::common::{Neg, Range};
use nfwhy_parsers::iptables::matches::{IpvsMatch, Owner, Physdev, Recent, RecentMode};

impl Run<'_, '_> {
    /// `owner_mt`: packets that no socket of this node sent match only `! --socket-exists` and inverted ids.
    pub(in crate::sim) fn match_owner(&self, o: &Owner<'_>) -> Tri {
        let inverted_all = o.uid.is_none_or(|n| n.not)
            && o.gid.is_none_or(|n| n.not)
            && o.socket_exists.is_none_or(|n| n.not);
        if !self.skb.local {
            // `(info->match ^ info->invert) == 0` (net/netfilter/xt_owner.c); `--suppl-groups` is a bit that nothing inverts.
            return Tri::of(inverted_all && !o.suppl_groups && o.unresolved.is_none());
        }
        if o.socket_exists.is_some_and(|n| n.not) {
            return Tri::No;
        }
        let id = |want: Option<Neg<Range<u32>>>, have: Option<u32>, what: &str| match (want, have) {
            (None, _) => Tri::Yes,
            (Some(n), Some(x)) => Tri::of(n.value.contains(&x) != n.not),
            (Some(n), None) => {
                let r = if n.value.lo == n.value.hi {
                    n.value.lo.to_string()
                } else {
                    format!("{}-{}", n.value.lo, n.value.hi)
                };
                fact(&format!("the sending process has {what} {r}"), None).not(n.not)
            }
        };
        // A process has further groups, of which a packet does not tell.
        let in_range = |n: Neg<Range<u32>>| self.skb.gid.is_some_and(|g| n.value.contains(&g));
        let gid = match o.gid {
            Some(n) if o.suppl_groups && !in_range(n) => id(Some(n), None, "a group"),
            gid => id(gid, self.skb.gid, "group id"),
        };
        let out = id(o.uid, self.skb.uid, "user id").and(|| gid);
        match &o.unresolved {
            None => out,
            Some(name) => out.and(|| fact(&format!("the sending process belongs to {name}"), None)),
        }
    }

    /// Bridge ports are known to iptables only through `br_netfilter` (`physdev_mt`, `net/netfilter/xt_physdev.c`).
    pub(in crate::sim) fn match_physdev(&mut self, p: &Physdev<'_>) -> Tri {
        let through_bridge = match self.iif {
            Some(d) if self.node.device(d).is_bridge() => self.bridge_calls(d),
            _ => Some(false),
        };
        let Some(through) = through_bridge else {
            return fact(
                "the packet came through a bridge port that iptables sees (br_netfilter)",
                Some((
                    "sysctl net.bridge.bridge-nf-call-iptables",
                    "sysctl net.bridge",
                )),
            );
        };
        if !through {
            // No bridge information: only what is inverted or absent fits.
            let bad = [p.is_in, p.is_out, p.is_bridged]
                .into_iter()
                .flatten()
                .any(|n| !n.not);
            let named = [&p.in_dev, &p.out_dev]
                .into_iter()
                .flatten()
                .any(|n| !n.not);
            return Tri::of(!bad && !named);
        }
        // Before it is known where it goes, and where it is routed, it is not bridged and has no output port.
        let bridged = self.bridged;
        if [p.is_bridged, p.is_out]
            .into_iter()
            .flatten()
            .any(|n| n.not == bridged)
            || p.is_in.is_some_and(|n| n.not)
        {
            return Tri::No;
        }
        let out = match &p.out_dev {
            None => Tri::Yes,
            Some(n) if !bridged => Tri::of(n.not),
            Some(n) => fact(
                &format!("the packet leaves by bridge port {}", n.value),
                None,
            )
            .not(n.not),
        };
        let by = match (&p.in_dev, self.port) {
            (None, _) => Tri::Yes,
            (Some(n), Some(port)) => {
                let fits = super::header::iface_fits(&n.value, &self.node.device(port).name);
                Tri::of(fits != n.not)
            }
            (Some(n), None) => {
                fact(&format!("the packet came by bridge port {}", n.value), None).not(n.not)
            }
        };
        out.and(|| by)
    }

    /// `ipvs_mt` (`net/netfilter/xt_ipvs.c`).
    pub(in crate::sim) fn match_ipvs(&self, m: &IpvsMatch<'_>) -> Tri {
        let alone = m.vproto.is_none()
            && m.vaddr.is_none()
            && m.vport.is_none()
            && m.vdir_original.is_none()
            && m.vmethod.is_none()
            && m.vportctl.is_none();
        if let Some(n) = m.ipvs
            && alone
        {
            // `--ipvs` alone asks the skb's own flag; beside others it says nothing that they do not say.
            return Tri::of(self.skb.ipvs != n.not);
        }
        if !self.skb.ipvs
            || m.vproto
                .is_some_and(|n| (self.skb.proto == n.value) == n.not)
        {
            return Tri::No;
        }
        // `conn_out_get` with source and destination swapped: packets of the client, with its own address still, towards the
        // real server. Replies have the virtual address in them by now, and are never found.
        let found = self
            .ipvs_conn
            .and_then(|c| Some((c, self.ipvs_server(c)?)))
            .filter(|(c, s)| {
                let o = c.opened;
                let to = match (s.method, s.port) {
                    (Forwarding::Masq, 0) => (s.addr, o.dport),
                    (Forwarding::Masq, n) => (s.addr, Port::Known(n)),
                    _ => (o.dst, o.dport),
                };
                (self.skb.src, self.skb.sport) == (o.src, o.sport)
                    && (self.skb.dst, self.skb.dport) == to
            });
        let Some((c, server)) = found else {
            return Tri::No;
        };
        let svc = &self.node.ipvs.services[c.service];
        if m.vaddr
            .is_some_and(|n| self.in_net(&n.value, c.opened.dst) == n.not)
            || m.vport
                .is_some_and(|n| (c.opened.dport == Port::Known(n.value)) == n.not)
        {
            return Tri::No;
        }
        if let Some(n) = m.vportctl {
            // The template of a persistent service, which has the service's port (`ip_vs_sched_persist`).
            let port = match svc.key {
                crate::node::VirtualKey::Addr { port, .. } => port,
                crate::node::VirtualKey::Fwmark { .. } => 0,
            };
            if (svc.persistent.is_some() && port == n.value) == n.not {
                return Tri::No;
            }
        }
        if let Some(n) = m.vdir_original {
            let tracked = |ct: &&Ct| !matches!(ct.state, CtState::Untracked | CtState::Invalid);
            let fits = |ct: &Ct| (n.value != ct.is_reply) != n.not;
            if !self.ct.as_ref().filter(tracked).is_some_and(fits) {
                return Tri::No;
            }
        }
        if let Some(n) = &m.vmethod {
            let have = match server.method {
                Forwarding::Masq => "MASQ",
                Forwarding::Tunnel => "IPIP",
                Forwarding::Route => "GATE",
                Forwarding::Local => "LOCAL",
            };
            if (have == n.value) == n.not {
                return Tri::No;
            }
        }
        Tri::Yes
    }

    /// `recent_mt` (`net/netfilter/xt_recent.c`), the lists empty at first: a client never seen.
    pub(in crate::sim) fn match_recent(&mut self, r: &Recent<'_>) -> bool {
        let addr = if r.source { self.skb.src } else { self.skb.dst };
        let key = (r.name.to_string(), addr);
        let known = self.recent.contains(&key);
        if r.mode != RecentMode::Set && !known {
            self.assume(format!("{addr} is not in the recent list {}", r.name));
        }
        let found = match r.mode {
            RecentMode::Set => {
                self.recent.insert(key);
                true
            }
            RecentMode::Remove => self.recent.remove(&key),
            RecentMode::Rcheck | RecentMode::Update => {
                // One stamp, of this very packet.
                known && r.hitcount.unwrap_or(0) <= 1
            }
        };
        found != r.not
    }
}
