//! `fib` (`net/ipv4/netfilter/nft_fib_ipv4.c`, `net/ipv6/netfilter/nft_fib_ipv6.c`).

use super::super::route::NoWay;
use super::super::run::Run;
use super::At;
use super::value::Val;
use crate::node::DevId;
use crate::sim::RouteKey;
use crate::trace::Hook;
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::nft::expr::{Fib, FibResult};
use std::borrow::Cow;
use std::net::IpAddr;

impl<'n> Run<'_, 'n> {
    pub(super) fn nft_fib(&mut self, at: At<'_, 'n>, f: Fib) -> Val<'static> {
        let dev = if f.iif {
            self.iif
                .filter(|_| !(self.skb.local && at.hook == Hook::Output))
        } else if f.oif {
            self.oif
        } else {
            None
        };
        if !f.daddr && self.skb.src_unknown {
            return Val::unknown("the route to the source after NAT");
        }
        match f.result {
            FibResult::Type => {
                let addr = if f.daddr { self.skb.dst } else { self.skb.src };
                Val::Num(match self.family {
                    Family::V4 => u128::from(self.addr_type4(addr, dev).number()),
                    Family::V6 => self.fib6_type(f, dev),
                })
            }
            FibResult::Oif | FibResult::Oifname | FibResult::Check => {
                let found = match self.family {
                    Family::V4 => self.fib4_dev(at, f, dev),
                    Family::V6 => self.fib6_dev(at, f, dev),
                };
                if f.result == FibResult::Check {
                    return Val::Num(found.is_some().into());
                }
                let name = found.map(|d| self.node.device(d).name.clone());
                Val::Text(Cow::Owned(name.unwrap_or_default()))
            }
        }
    }

    /// `nft_fib_can_skip`: what the node has sent to itself came in rightly. Before 6.15 this held in PREROUTING alone.
    fn fib_looped(&self, at: At<'_, 'n>) -> Option<DevId> {
        let dev = self
            .iif
            .filter(|_| matches!(at.hook, Hook::Prerouting | Hook::Input))?;
        self.node.device(dev).is_loopback().then_some(dev)
    }

    fn fib4_dev(&mut self, at: At<'_, 'n>, f: Fib, dev: Option<DevId>) -> Option<DevId> {
        if let Some(lo) = self.fib_looped(at) {
            return Some(lo);
        }
        let (src, dst) = (self.skb.src, self.skb.dst);
        let zero = |a: IpAddr| matches!(a, IpAddr::V4(a) if a.octets()[0] == 0);
        let limited = |a: IpAddr| matches!(a, IpAddr::V4(a) if a.is_broadcast());
        let near = |a: IpAddr| matches!(a, IpAddr::V4(a) if a.octets()[..3] == [224, 0, 0]);
        if zero(src) && (limited(dst) || near(dst)) {
            return self.iif.or(self.oif);
        }
        // get_saddr: nobody routes back from there.
        let back = |a: IpAddr| {
            if a.is_multicast() || limited(a) || zero(a) {
                Family::V4.unspecified()
            } else {
                a
            }
        };
        let (to, from) = if f.daddr { (dst, src) } else { (src, dst) };
        let iif = (!f.daddr && f.iif && at.hook == Hook::Forward)
            .then_some(self.oif)
            .flatten();
        let l3 = dev.filter(|_| f.iif).and_then(|d| self.node.l3_master(d));
        let key = RouteKey {
            src: back(from),
            tos: self.skb.tos,
            mark: if f.mark { self.skb.mark } else { 0 },
            iif,
            oif: l3,
            l3,
            // Ports are not told (`nft_fib4_eval`).
            proto: Some(self.skb.proto),
            ..RouteKey::bare(to)
        };
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(NoWay::NotCaptured) => return dev,
            Err(_) => return None,
        };
        if l.ty == RouteType::Local {
            return None;
        }
        match dev {
            None => l.all_devs.first().copied(),
            Some(d) => self.uses_dev(&l, d).then_some(d),
        }
    }

    /// `nft_fib6_flowi_init`.
    fn fib6_key(&self, f: Fib, dev: Option<DevId>) -> RouteKey {
        let (to, from) = if f.daddr {
            (self.skb.dst, self.skb.src)
        } else {
            (self.skb.src, self.skb.dst)
        };
        // `IPV6_ADDR_LINKLOCAL`, which ::1 is not.
        let oif = if super::super::masq::scope6(to) == 2 {
            dev.or(self.iif).or(self.oif)
        } else {
            dev.filter(|d| f.iif && self.node.l3_master(*d).is_some())
        };
        RouteKey {
            src: if from.is_multicast() {
                Family::V6.unspecified()
            } else {
                from
            },
            tos: self.skb.tos,
            mark: if f.mark { self.skb.mark } else { 0 },
            oif,
            l3: oif.and_then(|d| self.node.l3_master(d)),
            proto: Some(self.skb.proto),
            ..RouteKey::bare(to)
        }
    }

    fn fib6_dev(&mut self, at: At<'_, 'n>, f: Fib, dev: Option<DevId>) -> Option<DevId> {
        if let Some(lo) = self.fib_looped(at) {
            return Some(lo);
        }
        let key = self.fib6_key(f, dev);
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(NoWay::NotCaptured) => return dev,
            Err(_) => return None,
        };
        if matches!(l.ty, RouteType::Local | RouteType::Anycast) {
            return None;
        }
        // By the hash of a flow that is not the packet's: it has no ports (`ip6_pol_route_lookup`: `fib6_select_path`).
        let by = self.select_path(&l).map(|n| n.dev)?;
        let fits = dev.is_none_or(|d| d == by || self.node.l3_master(by) == Some(d));
        fits.then_some(by)
    }

    /// `__nft_fib6_eval_type`.
    fn fib6_type(&mut self, f: Fib, dev: Option<DevId>) -> u128 {
        let key = self.fib6_key(f, dev);
        let on_dev = dev.is_some_and(|d| {
            self.has_address(d, key.dst);
            let addrs = &self.node.device(d).addrs;
            addrs.iter().any(|a| a.local == key.dst && !a.tentative)
        });
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(NoWay::Blackhole(_)) => return u128::from(RouteType::Blackhole.number()),
            Err(NoWay::Prohibit(_)) => return u128::from(RouteType::Prohibit.number()),
            Err(_) => return u128::from(RouteType::Unreachable.number()),
        };
        match l.ty {
            RouteType::Anycast => u128::from(RouteType::Anycast.number()),
            _ if on_dev => u128::from(RouteType::Local.number()),
            RouteType::Local if dev.is_none() => u128::from(RouteType::Local.number()),
            _ if key.dst.is_multicast() => u128::from(RouteType::Multicast.number()),
            _ if key.dst.is_unspecified() => 0,
            _ => u128::from(RouteType::Unicast.number()),
        }
    }
}
