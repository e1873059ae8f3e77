//! Source validation: `__fib_validate_source` (`net/ipv4/fib_frontend.c`) and the rpfilter match.

use super::route::{Lookup, NoWay, RouteKey};
use super::run::{End, Flow, Run};
use crate::node::DevId;
use crate::trace::{ForkKind, Port, Reason, StepKind};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::iptables::matches::Rpfilter;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// IPv4 only; IPv6 has no `rp_filter`. `-EINVAL` is a martian whatever `rp_filter` says, `-EXDEV` is `rp_filter`'s own.
    /// `out` is the device of the way out, where the packet is to be forwarded.
    pub(super) fn validate_source(&mut self, dev: DevId, out: Option<DevId>) -> Flow {
        let src = self.skb.src;
        let all = self.all_conf("rp_filter");
        let one = self.dev_conf(dev, "rp_filter");
        let known = match (all, one) {
            (Some(a), Some(b)) => Some(a.max(b)),
            // One alone decides once it is strict... the maximum counts and 2 is the largest.
            (Some(2), None) | (None, Some(2)) => Some(2),
            _ => None,
        };
        // What goes back out by the same device is looked up in full where redirects may be sent (`fib_validate_source`; the
        // setting is on by default).
        let redirected = out == Some(dev)
            && (self.all_conf("send_redirects").unwrap_or(1) != 0
                || self.dev_conf(dev, "send_redirects").unwrap_or(1) != 0);
        if known == Some(0) && !redirected {
            // Without rp_filter only the node's own addresses are refused as sources, and with policy routing not by the local
            // table alone but by the full lookup.
            if self.or_conf_value(dev, "accept_local") {
                return Ok(());
            }
            if !self.has_policy_routing() {
                // `inet_lookup_ifaddr_rcu`: the addresses themselves, not all of 127.0.0.0/8.
                let own = self.node.device_ids().any(|d| self.has_address(d, src));
                let own = own || (!src.is_loopback() && self.is_local_addr(src));
                if own && !self.or_conf(dev, "accept_local") {
                    return Err(Self::martian(
                        "the source is an address of this node (accept_local=0)",
                    ));
                }
                return Ok(());
            }
        }
        let vmark = self.or_conf_value(dev, "src_valid_mark");
        let mut key = RouteKey {
            dst: src,
            src: self.skb.dst,
            tos: self.skb.tos,
            mark: if vmark { self.skb.mark } else { 0 },
            // `flowi4_iif = oif ? : LOOPBACK_IFINDEX`, and oif is the way out (`__mkroute_input`), so `iif` in a policy rule
            // means the device by which a reply would come in.
            iif: out.or_else(|| self.node.l3_master(dev)),
            oif: None,
            prefer: None,
            l3: self.node.l3_master(dev),
            proto: Some(self.skb.proto),
            sport: self.skb.dport,
            dport: self.skb.sport,
            uid: 0,
            any_link: false,
        };
        if !self.dissects_flows() {
            // As in `__fib_validate_source`.
            key.proto = None;
            (key.sport, key.dport) = (Port::None, Port::None);
        }
        let found = self.fib_lookup(&key);
        let no_addr = !self
            .node
            .device(dev)
            .addrs
            .iter()
            .any(|a| a.local.is_ipv4());
        let mode = |me: &mut Self, at_stake: i64| -> i64 {
            known.unwrap_or_else(|| me.rp_mode(dev, at_stake))
        };
        let l = match found {
            Ok(l) => l,
            // The walk says already that the routes are missing.
            Err(NoWay::NotCaptured) => return Ok(()),
            Err(_) => {
                let m = mode(self, 2);
                return self.rp_verdict(m, None, m == 0);
            }
        };
        if l.ty != RouteType::Unicast {
            let local_ok = l.ty == RouteType::Local && self.or_conf(dev, "accept_local");
            if !local_ok {
                return Err(Self::martian(if l.ty == RouteType::Local {
                    "the source is an address of this node (accept_local=0)"
                } else {
                    "the source is a broadcast or multicast address"
                }));
            }
        }
        if self.uses_dev(&l, dev) {
            return Ok(());
        }
        let reverse = l.all_devs.first().copied();
        if no_addr {
            let m = mode(self, 2);
            return self.rp_verdict(m, reverse, m == 0);
        }
        let m = mode(self, 1);
        if m == 1 {
            return self.rp_verdict(1, reverse, false);
        }
        // Loose: any route to the source will do, and there is one.
        self.rp_verdict(m, reverse, true)
    }

    /// `fib_info_nh_uses_dev`; a local source on loopback counts as well.
    pub(super) fn uses_dev(&self, l: &Lookup, dev: DevId) -> bool {
        l.all_devs
            .iter()
            .any(|d| *d == dev || self.node.l3_master(*d).is_some_and(|m| m == dev))
            || (l.ty == RouteType::Local && self.node.device(dev).is_loopback())
    }

    fn rp_verdict(&mut self, mode: i64, reverse: Option<DevId>, ok: bool) -> Flow {
        self.step(StepKind::RpFilter { mode, reverse, ok });
        if ok {
            return Ok(());
        }
        Err(End::dropped(Reason::RpFilter { mode, reverse }))
    }

    /// `rp_filter` was not captured and decides now; `at_stake` is the mode that would drop.
    fn rp_mode(&mut self, dev: DevId, at_stake: i64) -> i64 {
        let name = self.node.device(dev).name.clone();
        let what = format!("net.ipv4.conf.{{all,{name}}}.rp_filter");
        self.lacks(
            format!("sysctl {what}"),
            format!("sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.{name}.rp_filter"),
        );
        let strict = if at_stake == 1 {
            "1 (strict)"
        } else {
            "1 or 2"
        };
        let drops = self.fork_unknown(
            ForkKind::Unknown(what.clone()),
            &what,
            false,
            &format!("rp_filter of {name} is {strict} (not captured)"),
            &format!(
                "rp_filter of {name} is {} (not captured)",
                if at_stake == 1 { "0 or 2" } else { "0" }
            ),
        );
        i64::from(drops)
    }

    fn or_conf_value(&self, dev: DevId, key: &str) -> bool {
        self.all_conf(key).unwrap_or(0) != 0 || self.dev_conf(dev, key).unwrap_or(0) != 0
    }

    pub(super) fn martian(why: &'static str) -> End {
        End::dropped(Reason::Martian { why })
    }

    /// `fib_validate_source` looks routes up in full where there is any rule beyond the three defaults (`fib4_has_custom_rules`),
    /// or any local route the kernel did not make itself (`fib_has_custom_local_routes`, set by `inet_rtm_newroute`).
    fn has_policy_routing(&self) -> bool {
        let fib = self.node.fib(Family::V4);
        fib.custom_local
            || fib.rules.len() != 3
            || fib.rules.iter().any(|r| {
                r.from.is_some() || r.to.is_some() || r.fwmark.is_some() || r.iif.is_some()
            })
    }

    /// `rpfilter_mt` (`net/ipv4/netfilter/ipt_rpfilter.c` and `ip6t_rpfilter.c)`: whether the match's own test holds, before
    /// `--invert`.
    pub(super) fn match_rpfilter(&mut self, m: Rpfilter) -> bool {
        // Looped-back packets pass (`rpfilter_is_loopback`).
        let from_outside = |d: &DevId| !self.node.device(*d).is_loopback();
        let Some(dev) = self.iif.filter(from_outside) else {
            return !m.invert;
        };
        let src = self.skb.src;
        let dst = self.skb.dst;
        let ok = match self.family {
            Family::V4 => {
                let near = matches!(dst, IpAddr::V4(d) if d.is_broadcast() || d.octets()[..3] == [224, 0, 0]);
                if src.is_unspecified() && near {
                    return !m.invert;
                }
                let key = RouteKey {
                    src: match dst {
                        d if is_multicast_or_broadcast(d) => Family::V4.unspecified(),
                        d => d,
                    },
                    tos: self.skb.tos,
                    mark: if m.validmark { self.skb.mark } else { 0 },
                    l3: self.node.l3_master(dev),
                    any_link: true,
                    ..RouteKey::bare(src)
                };
                match self.fib_lookup(&key) {
                    Err(way) => way == NoWay::NotCaptured,
                    Ok(l)
                        if l.ty != RouteType::Unicast
                            && !(l.ty == RouteType::Local && m.accept_local) =>
                    {
                        false
                    }
                    Ok(l) => self.uses_dev(&l, dev) || m.loose,
                }
            }
            Family::V6 => {
                // "not routable" (`rpfilter_mt`).
                if src.is_unspecified() {
                    return !m.invert;
                }
                let key = RouteKey {
                    src: if is_multicast_or_broadcast(dst) {
                        Family::V6.unspecified()
                    } else {
                        dst
                    },
                    tos: self.skb.tos,
                    mark: if m.validmark { self.skb.mark } else { 0 },
                    l3: self.node.l3_master(dev),
                    proto: Some(self.skb.proto),
                    ..RouteKey::bare(src)
                };
                self.reverse6(m, key, dev)
            }
        };
        ok != m.invert
    }

    /// `rpfilter_lookup_reverse6` (`net/ipv6/netfilter/ip6t_rpfilter.c`).
    fn reverse6(&mut self, m: Rpfilter, key: RouteKey, dev: DevId) -> bool {
        let bound = RouteKey {
            oif: Some(dev),
            ..key
        };
        if super::masq::scope6(key.dst) <= 2 {
            // RT6_LOOKUP_F_IFACE: no other device will do.
            return match self.fib_lookup(&bound) {
                Err(way) => way == NoWay::NotCaptured,
                Ok(l) if matches!(l.ty, RouteType::Local | RouteType::Anycast) => m.accept_local,
                Ok(_) => true,
            };
        }
        let wanted = RouteKey {
            prefer: (!m.loose).then_some(dev),
            ..key
        };
        let l = match self.fib_lookup(&wanted) {
            Err(way) => return way == NoWay::NotCaptured,
            Ok(l) => l,
        };
        match l.ty {
            RouteType::Local => m.accept_local,
            RouteType::Anycast => false,
            _ => {
                m.loose
                    || l.nexthops
                        .first()
                        .is_some_and(|n| n.dev == dev || self.node.l3_master(n.dev) == Some(dev))
            }
        }
    }
}

fn is_multicast_or_broadcast(a: IpAddr) -> bool {
    a.is_multicast() || matches!(a, IpAddr::V4(x) if x.is_broadcast())
}
