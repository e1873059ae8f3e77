//! `addrtype`.

use super::super::run::Run;
use super::{Tri, fact};
use crate::sim::RouteKey;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::iptables::matches::Addrtype;
use std::net::IpAddr;

impl Run<'_, '_> {
    pub(in crate::sim) fn match_addrtype(&mut self, a: &Addrtype) -> Tri {
        let dev = if a.limit_in {
            self.iif
        } else if a.limit_out {
            self.oif
        } else {
            None
        };
        let (src, dst) = (self.skb.src, self.skb.dst);
        if let Some(n) = a.src {
            if self.skb.src_unknown {
                return fact("the source after NAT is of the type asked", None).not(n.not);
            }
            if self.addr_type_in(src, n.value.0, dev) == n.not {
                return Tri::No;
            }
        }
        if let Some(n) = a.dst
            && self.addr_type_in(dst, n.value.0, dev) == n.not
        {
            return Tri::No;
        }
        Tri::Yes
    }

    pub(in crate::sim) fn addr_type_in(
        &mut self,
        addr: IpAddr,
        mask: u16,
        dev: Option<crate::node::DevId>,
    ) -> bool {
        let bit = |t: RouteType| 1_u16 << t.number();
        match addr {
            IpAddr::V4(_) => mask & bit(self.addr_type4(addr, dev)) != 0,
            IpAddr::V6(a) => {
                // `match_type6` (net/netfilter/xt_addrtype.c).
                if mask & bit(RouteType::Multicast) != 0 && !a.is_multicast() {
                    return false;
                }
                if mask & bit(RouteType::Unicast) != 0 && (a.is_multicast() || a.is_unspecified()) {
                    return false;
                }
                if mask & 1 != 0 && !a.is_unspecified() {
                    return false;
                }
                let asks = [RouteType::Local, RouteType::Anycast, RouteType::Unreachable];
                if asks.into_iter().all(|t| mask & bit(t) == 0) {
                    return true;
                }
                mask & self.route6_types(addr, dev) != 0
            }
        }
    }

    /// `match_lookup_rt6`.
    pub(in crate::sim) fn route6_types(
        &mut self,
        addr: IpAddr,
        dev: Option<crate::node::DevId>,
    ) -> u16 {
        const LOCAL: u16 = 1 << 2;
        const ANYCAST: u16 = 1 << 4;
        const UNREACHABLE: u16 = 1 << 7;
        let mut out = 0;
        if let Some(d) = dev
            && self.has_address(d, addr)
        {
            out |= LOCAL;
        }
        let key = RouteKey {
            oif: dev,
            ..RouteKey::bare(addr)
        };
        match self.fib_lookup(&key) {
            Err(_) => out | UNREACHABLE,
            Ok(l) => {
                match l.ty {
                    RouteType::Local if dev.is_none() => out |= LOCAL,
                    RouteType::Anycast => out |= ANYCAST,
                    _ => {}
                }
                out
            }
        }
    }
}
