//! `dnat`, `snat`, `masquerade`, `redirect` (`nft_nat_eval`, `net/netfilter/nft_nat.c`; `nft_masq.c`, `nft_redir.c`).

use super::super::chain::TargetVerdict;
use super::super::run::{End, Flow, Run};
use super::At;
use super::value::Val;
use crate::trace::NatKind;
use nfwhy_parsers::Family;
use nfwhy_parsers::common::{Masked, Range};
use nfwhy_parsers::iptables::targets::Nat as Target;
use nfwhy_parsers::nft::Expr;
use nfwhy_parsers::nft::stmt::{Nat, NatKind as Kind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A number as an address of the family.
pub(super) fn address(family: Family, n: u128) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(n).ok()?)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(n)),
    })
}

fn span(v: &Val<'_>) -> Option<(u128, u128)> {
    match v {
        Val::Num(n) => Some((*n, *n)),
        Val::Span(lo, hi) => Some((*lo, *hi)),
        _ => None,
    }
}

impl<'n> Run<'_, 'n> {
    /// Translates; `None` where the statement is for the other family.
    pub(super) fn nft_nat<'s>(
        &mut self,
        at: At<'s, 'n>,
        n: &'s Nat<'n>,
    ) -> Flow<Option<TargetVerdict<'s>>>
    where
        'n: 's,
    {
        if n.family.is_some_and(|f| f != self.family) {
            return Ok(None);
        }
        let mut addr = match &n.addr {
            None => None,
            Some(e) => match self.nft_nat_value(at, e)? {
                None => return Ok(None),
                v => v,
            },
        };
        let mut port = match &n.port {
            None => None,
            Some(e) => match self.nft_nat_value(at, e)? {
                None => return Ok(None),
                v => v,
            },
        };
        // A map to `addr . port`.
        if let Some(Val::Many(mut list)) = addr.take_if(|v| matches!(v, Val::Many(_))) {
            if list.len() == 2 {
                port = list.pop();
            }
            addr = list.pop();
        }
        let odd = || {
            End::unknown(format!(
                "{} translates to something that is not known",
                self.place(at.hit)
            ))
        };
        let addrs = match &addr {
            None => None,
            Some(v) => {
                let ends = span(v).and_then(|(lo, hi)| {
                    Some((address(self.family, lo)?, address(self.family, hi)?))
                });
                let (lo, hi) = ends.ok_or_else(odd)?;
                Some(Range { lo, hi })
            }
        };
        let ports = match &port {
            None => None,
            Some(v) => {
                let ends = span(v)
                    .and_then(|(lo, hi)| Some((u16::try_from(lo).ok()?, u16::try_from(hi).ok()?)));
                let (lo, hi) = ends.ok_or_else(odd)?;
                Some(Range { lo, hi })
            }
        };
        if n.prefix
            && let Some(r) = addrs
        {
            return Ok(Some(self.netmap(netmap(r), at.hit, at.depth, at.hook)));
        }
        let target = Target {
            addrs,
            ports,
            base: None,
            random: n.random,
            random_fully: n.fully_random,
            persistent: n.persistent,
            more: false,
        };
        let v = match n.kind {
            Kind::Dnat => self.nat_as_written(&target, NatKind::Dnat, at.hit, at.depth, at.hook)?,
            Kind::Snat => self.nat_as_written(&target, NatKind::Snat, at.hit, at.depth, at.hook)?,
            Kind::Masquerade => self.masquerade(&target, at.hit, at.depth)?,
            Kind::Redirect => self.redirect(&target, at.hit, at.depth, at.hook)?,
        };
        Ok(Some(v))
    }

    fn nft_nat_value<'s>(&mut self, at: At<'s, 'n>, e: &'s Expr<'n>) -> Flow<Option<Val<'s>>>
    where
        'n: 's,
    {
        if let Expr::Concat(list) = e
            && let [one] = list.as_slice()
        {
            return self.nft_eval(at, one);
        }
        self.nft_eval(at, e)
    }
}

/// A range that is a prefix, as address and mask.
fn netmap(r: Range<IpAddr>) -> Masked {
    let mask = match (r.lo, r.hi) {
        (IpAddr::V4(lo), IpAddr::V4(hi)) => {
            IpAddr::V4(Ipv4Addr::from_bits(!(lo.to_bits() ^ hi.to_bits())))
        }
        (IpAddr::V6(lo), IpAddr::V6(hi)) => {
            IpAddr::V6(Ipv6Addr::from_bits(!(lo.to_bits() ^ hi.to_bits())))
        }
        (lo, _) => lo,
    };
    Masked { addr: r.lo, mask }
}
