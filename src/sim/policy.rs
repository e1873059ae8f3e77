//! Whether a policy rule is for a packet (`net/core/fib_rules.c`).

use super::route::RouteKey;
use super::run::Run;
use crate::node::{DevId, Origin, PolicyRule};
use crate::trace::{ForkKind, Port};
use nfwhy_parsers::Range;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// Whether some rule asks for protocol or ports of packets that are not the node's own (`fib_rule_requires_fldissect`,
    /// `include/net/fib_rules.h`): only then are they looked for where the packet is all there is to go by.
    pub(super) fn dissects_flows(&self) -> bool {
        self.node.fib(self.family).rules.iter().any(|r| {
            let of_lo = matches!(r.iif, Some(Ok(d)) if self.node.device(d).is_loopback());
            !of_lo && (r.ipproto.is_some() || r.sport.is_some() || r.dport.is_some())
        })
    }

    /// `fib_rule_match` with `fib4_rule_match` / `fib6_rule_match`.
    pub(super) fn rule_applies(&mut self, r: &PolicyRule, key: &RouteKey) -> bool {
        let dev = |want: &Option<Result<DevId, String>>, have: Option<DevId>, lo_for_none: bool| {
            match want {
                None => true,
                // Detached: the device does not exist.
                Some(Err(_)) => false,
                Some(Ok(d)) => match have {
                    Some(h) => h == *d || key.l3 == Some(*d),
                    // The VRF counts as the way in where it is not known by the way out (`l3mdev_fib_rule_iif_match`).
                    None => {
                        lo_for_none && (self.node.device(*d).is_loopback() || key.l3 == Some(*d))
                    }
                },
            }
        };
        let net = |want: Option<(IpAddr, u8)>, have: IpAddr| {
            want.is_none_or(|(a, len)| len == 0 || self.in_same_net(a, have, len))
        };
        let mut ok = dev(&r.iif, key.iif, true)
            && dev(&r.oif, key.oif.or(key.prefer), false)
            && r.fwmark.is_none_or(|m| (m.value ^ key.mark) & m.mask == 0)
            && (!r.l3mdev || key.l3.is_some())
            && r.uidrange.is_none_or(|u| u.contains(&key.uid))
            && net(r.from, key.src)
            && net(r.to, key.dst)
            && r.tos.is_none_or(|t| key.tos_fits(t))
            && r.ipproto.is_none_or(|p| key.proto == Some(p));
        if ok {
            for (want, have, what) in [
                (r.sport, key.sport, "source"),
                (r.dport, key.dport, "destination"),
            ] {
                let Some(range) = want else { continue };
                ok &= self.port_fits(range, have, what, r.origin);
            }
        }
        ok != r.not
    }

    fn port_fits(&mut self, range: Range<u16>, have: Port, what: &str, at: Origin) -> bool {
        if let Some(known) = have.within(&range) {
            return known;
        }
        let place = self.node.place(at);
        let span = if range.lo == range.hi {
            range.lo.to_string()
        } else {
            format!("{}-{}", range.lo, range.hi)
        };
        self.fork_unknown(
            ForkKind::Unknown(format!("{what} port, {place}")),
            &format!("{what} port in {span}"),
            false,
            &format!("the {what} port is in {span} ({place})"),
            &format!("the {what} port is not in {span} ({place})"),
        )
    }
}
