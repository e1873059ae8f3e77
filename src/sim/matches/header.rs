//! The rule's own part, ports and ICMP types.

use super::{Tri, fact};
use crate::node::Table;
use crate::sim::run::Run;
use crate::trace::Port;
use nfwhy_parsers::Proto;
use nfwhy_parsers::common::{Neg, Range};
use nfwhy_parsers::iptables::Rule;
use nfwhy_parsers::iptables::matches::IcmpType;

/// A name with a trailing `+` fits every name that begins so (`ifname_compare`).
pub(super) fn iface_fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

impl Run<'_, '_> {
    /// `ip_packet_match`, `ip6_packet_match`.
    pub(in crate::sim) fn header_matches(&mut self, rule: &Rule<'_>) -> Tri {
        if let Some(n) = &rule.dst
            && self.in_net(&n.value, self.skb.dst) == n.not
        {
            return Tri::No;
        }
        if let Some(p) = rule.proto
            && p.value.0 != 0
            && (p.value == self.skb.proto) == p.not
        {
            return Tri::No;
        }
        let mut result = Tri::Yes;
        if let Some(n) = &rule.src {
            if self.skb.src_unknown {
                result = fact(&format!("the source after NAT is in {}", n.value), None).not(n.not);
            } else if self.in_net(&n.value, self.skb.src) == n.not {
                return Tri::No;
            }
        }
        for (want, have) in [(&rule.iif, self.iif), (&rule.oif, self.oif)] {
            let Some(n) = want else { continue };
            // No device compares as the empty name.
            let name = have.map_or("", |d| self.node.device(d).name.as_str());
            if iface_fits(&n.value, name) == n.not {
                return Tri::No;
            }
        }
        // No fragments are traced: conntrack's defragmentation comes before all tables but raw at -450.
        if rule.fragment.is_some_and(|f| !f.not) {
            return Tri::No;
        }
        result
    }

    pub(super) fn port(have: Port, want: Option<Neg<Range<u16>>>, what: &str) -> Tri {
        let Some(n) = want else { return Tri::Yes };
        if let Some(b) = have.within(&n.value) {
            Tri::of(b != n.not)
        } else {
            let r = if n.value.lo == n.value.hi {
                n.value.lo.to_string()
            } else {
                format!("{}-{}", n.value.lo, n.value.hi)
            };
            fact(&format!("the {what} port is in {r}"), None).not(n.not)
        }
    }

    pub(super) fn ports(&self, s: Option<Neg<Range<u16>>>, d: Option<Neg<Range<u16>>>) -> Tri {
        Self::port(self.skb.sport, s, "source").and(|| Self::port(self.skb.dport, d, "destination"))
    }

    /// As [`Self::ports`], but for what some releases of iptables-nft make of two inverted ports.
    pub(super) fn tcp_or_udp_ports(
        &mut self,
        t: &Table<'_>,
        s: Option<Neg<Range<u16>>>,
        d: Option<Neg<Range<u16>>>,
    ) -> Tri {
        let one_inverted =
            |n: Neg<Range<u16>>| n.not && n.value.lo == n.value.hi && n.value.lo != 0;
        let plain = self.ports(s, d);
        let (Some(sport), Some(dport)) = (
            s.filter(|n| one_inverted(*n)),
            d.filter(|n| one_inverted(*n)),
        ) else {
            return plain;
        };
        if !t.joins_inverted_ports() {
            return plain;
        }
        let yes = |n: Neg<Range<u16>>| Some(Neg::yes(n.value));
        let joined = self.ports(yes(sport), yes(dport)).not(true);
        if matches!((&plain, &joined), (Tri::No, Tri::Yes)) {
            self.assume(format!(
                "`! --sport {} ! --dport {}` was loaded by an iptables-nft of version 1.8.8 to 1.8.10, as its file says, and fits unless both ports are these",
                sport.value.lo, dport.value.lo
            ));
        }
        joined
    }

    pub(super) fn icmp(&self, n: Neg<IcmpType>, proto: Proto) -> Tri {
        if self.skb.proto != proto {
            return Tri::No;
        }
        let Some(ty) = n.value.ty else {
            return Tri::of(!n.not);
        };
        match self.skb.icmp {
            Some((t, c)) => Tri::of((t == ty && n.value.codes.contains(&c)) != n.not),
            None => fact(&format!("the ICMP type is {ty}"), None).not(n.not),
        }
    }
}
