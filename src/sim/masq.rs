//! Which address the kernel takes: for MASQUERADE, for REDIRECT, for a socket that names none.

use super::run::Run;
use crate::node::{Addr, DevId, Device, Origin};
use crate::trace::AddrChoice;
use nfwhy_parsers::Family;
use nfwhy_parsers::common::bits;
use nfwhy_parsers::iproute::Scope;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};

/// What the search found.
pub(super) enum Found {
    Addr {
        addr: IpAddr,
        how: AddrChoice,
        at: Origin,
    },
    None,
    /// Addresses that would decide were not captured.
    NotCaptured(String),
}

fn v4(d: &Device) -> impl Iterator<Item = &Addr> {
    d.addrs.iter().filter(|a| a.local.is_ipv4())
}

impl Run<'_, '_> {
    /// The source MASQUERADE gives.
    pub(super) fn masquerade_address(&mut self, out: DevId, next_hop: IpAddr) -> Found {
        match self.family {
            Family::V4 => {
                // `rt_nexthop` (include/net/route.h): an IPv6 gateway is no next hop here, the destination is.
                let next_hop = match next_hop {
                    IpAddr::V4(_) => next_hop,
                    IpAddr::V6(_) => self.skb.dst,
                };
                self.inet_select_addr(out, Some(next_hop), Scope::GLOBAL)
            }
            // IPv6 selects for the destination, not for the next hop (`nf_nat_masquerade_ipv6`).
            Family::V6 => self.ipv6_source(Some(out), self.skb.dst),
        }
    }

    /// `inet_select_addr` (net/ipv4/devinet.c).
    pub(super) fn inet_select_addr(
        &mut self,
        dev: DevId,
        dst: Option<IpAddr>,
        scope: Scope,
    ) -> Found {
        let node = self.node;
        if !node.captured.addr4 {
            return Found::NotCaptured("an address of this node that was not captured".into());
        }
        let d = node.device(dev);
        // `localnet_scope`: with route_localnet an address of scope host passes for one of scope link.
        let local_scope = if self.or_conf_quiet(dev, "route_localnet") {
            Scope::LINK
        } else {
            Scope::HOST
        };
        let mut first: Option<&Addr> = None;
        for a in v4(d) {
            if a.secondary || a.scope.min(local_scope) > scope {
                continue;
            }
            if dst.is_some_and(|n| self.in_same_net(a.peer, n, a.prefix_len)) {
                return Found::Addr {
                    addr: a.local,
                    how: AddrChoice::OnSubnet,
                    at: a.origin,
                };
            }
            first = first.or(Some(a));
        }
        if let Some(a) = first {
            return Found::Addr {
                addr: a.local,
                how: AddrChoice::FirstOnDevice,
                at: a.origin,
            };
        }
        // What the device itself has not is looked for on all others.
        if node.in_part.links {
            let what = if d.known {
                "the first global address in device order, which is not known (not all devices are shown)".to_owned()
            } else {
                format!("an address of {}, which is not shown", d.name)
            };
            return Found::NotCaptured(what);
        }
        let master = node.l3_master(dev);
        // The VRF device stands in for loopback.
        let order = master
            .into_iter()
            .chain(node.device_ids().filter(|x| node.l3_master(*x) == master));
        for x in order {
            let found = v4(node.device(x))
                .find(|a| !a.secondary && a.scope != Scope::LINK && a.scope <= scope);
            if let Some(a) = found {
                return Found::Addr {
                    addr: a.local,
                    how: AddrChoice::Fallback(x),
                    at: a.origin,
                };
            }
        }
        Found::None
    }

    /// `IN_DEV_ORCONF` without a remark: the setting matters only to devices with loopback addresses.
    fn or_conf_quiet(&self, dev: DevId, key: &str) -> bool {
        self.all_conf(key).unwrap_or(0) != 0 || self.dev_conf(dev, key).unwrap_or(0) != 0
    }

    /// `nf_nat_redirect_ipv4` and `_ipv6` (`net/netfilter/nf_nat_redirect.c`).
    pub(super) fn redirect_address(&self) -> Option<IpAddr> {
        let d = self.node.device(self.iif?);
        match self.family {
            Family::V4 => v4(d).next().map(|a| a.local),
            Family::V6 => {
                // A destination of global scope has no scope bits to compare: then any address will do, the first of the
                // list (`nf_nat_redirect_ipv6_usable`).
                let want = scope6(self.skb.dst);
                d.addrs
                    .iter()
                    .find(|a| {
                        a.local.is_ipv6()
                            && (!a.tentative || a.optimistic)
                            && (want == GLOBAL6 || scope6(a.local) == want)
                    })
                    .map(|a| a.local)
            }
        }
    }

    /// `ipv6_dev_get_saddr` (net/ipv6/addrconf.c): RFC 6724 over all devices of the same VRF.
    pub(super) fn ipv6_source(&mut self, out: Option<DevId>, dst: IpAddr) -> Found {
        let node = self.node;
        if !node.captured.addr6 || node.in_part.links {
            return Found::NotCaptured("an IPv6 address of this node that was not captured".into());
        }
        if let Some(r) = self.watched(dst) {
            r.alone();
        }
        let dst_scope = scope6(dst);
        let multicast = matches!(dst, IpAddr::V6(a) if a.is_multicast());
        let master = out.and_then(|o| node.l3_master(o));
        let only_out = out.filter(|o| {
            multicast || dst_scope <= 2 || self.or_conf_quiet(*o, "use_oif_addrs_only")
        });
        let mut best: Option<(DevId, &Addr)> = None;
        for dev in node.device_ids() {
            if let Some(o) = only_out {
                if dev != o {
                    continue;
                }
            } else if node.l3_master(dev) != master {
                continue;
            }
            for a in &node.device(dev).addrs {
                if a.local.is_ipv4() || (a.tentative && !a.optimistic) {
                    continue;
                }
                let better = best.is_none_or(|(bd, b)| {
                    compare((a, Some(dev) == out), (b, Some(bd) == out), dst, dst_scope)
                        == Ordering::Greater
                });
                if better {
                    best = Some((dev, a));
                }
            }
        }
        match best {
            Some((dev, a)) => Found::Addr {
                addr: a.local,
                how: AddrChoice::Rfc6724(dev),
                at: a.origin,
            },
            None => Found::None,
        }
    }
}

/// `Greater` when `a` is the better source, in the order of `ipv6_get_saddr_eval`'s rules.
fn compare(a: (&Addr, bool), b: (&Addr, bool), dst: IpAddr, dst_scope: u8) -> Ordering {
    let (a, a_out) = a;
    let (b, b_out) = b;
    // Rule 1: the destination itself.
    let r = (a.local == dst).cmp(&(b.local == dst));
    if r != Ordering::Equal {
        return r;
    }
    // Rule 2: appropriate scope; one at least as wide as the destination's, and of those the narrowest.
    let dist = |x: &Addr| {
        // ::1 counts as of link-local scope (`__ipv6_addr_type`, "addr-select 3.4").
        let s = scope6(x.local).max(2);
        if s >= dst_scope {
            -i32::from(s)
        } else {
            i32::from(s) - 128
        }
    };
    let r = dist(a).cmp(&dist(b));
    if r != Ordering::Equal {
        return r;
    }
    // Rule 3: not deprecated.
    let r = b.deprecated.cmp(&a.deprecated);
    if r != Ordering::Equal {
        return r;
    }
    // Rule 5: the outgoing device.
    let r = a_out.cmp(&b_out);
    if r != Ordering::Equal {
        return r;
    }
    // Rule 6: same label as the destination.
    let want = label(dst);
    let r = (label(a.local) == want).cmp(&(label(b.local) == want));
    if r != Ordering::Equal {
        return r;
    }
    // Rule 7: public addresses, as use_tempaddr <= 1 prefers (IPV6_PREFER_SRC_TMP is off).
    let r = b.temporary.cmp(&a.temporary);
    if r != Ordering::Equal {
        return r;
    }
    // Rule 8: longest matching prefix, within the address's own prefix length.
    let common = |x: &Addr| {
        let n = (bits(x.local) ^ bits(dst)).leading_zeros();
        n.min(u32::from(x.prefix_len))
    };
    common(a)
        .cmp(&common(b))
        .then(b.optimistic.cmp(&a.optimistic))
}

/// `IPV6_ADDR_SCOPE_GLOBAL`.
const GLOBAL6: u8 = 14;

/// Scope as `ipv6_addr_scope`: 1 node, 2 link, 5 site, 14 global.
pub(super) fn scope6(a: IpAddr) -> u8 {
    let IpAddr::V6(a) = a else { return 14 };
    if a.is_multicast() {
        return a.octets()[1] & 0xf;
    }
    if a.is_loopback() {
        return 1;
    }
    match a.segments()[0] & 0xffc0 {
        0xfe80 => 2,
        0xfec0 => 5,
        _ => 14,
    }
}

/// The default label table (`ip6addrlbl_init_table` in net/ipv6/addrlabel.c).
fn label(a: IpAddr) -> u32 {
    let IpAddr::V6(a) = a else { return 4 };
    let s = a.segments();
    if a.is_loopback() {
        0
    } else if s[..6] == [0, 0, 0, 0, 0, 0xffff] {
        4
    } else if s[..6] == [0; 6] && a != Ipv6Addr::UNSPECIFIED {
        3
    } else if s[0] == 0x2001 && s[1] == 0 {
        6
    } else if s[0] == 0x2001 && s[1] & 0xfff0 == 0x10 {
        7
    } else if s[0] == 0x2002 {
        2
    } else if s[0] & 0xfe00 == 0xfc00 {
        5
    } else if s[0] & 0xffc0 == 0xfec0 {
        11
    } else if s[0] == 0x3ffe {
        12
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels and scopes of RFC 6724 and `ip6addrlbl_init_table`.
    #[test]
    fn labels_and_scopes() {
        for (text, want, scope) in [
            ("::1", 0, 1),
            ("::ffff:10.0.0.1", 4, 14),
            ("::10.0.0.1", 3, 14),
            ("::", 1, 14),
            ("2001::1", 6, 14),
            ("2001:1::1", 1, 14),
            ("2001:10::1", 7, 14),
            ("2001:1f::1", 7, 14),
            ("2001:20::1", 1, 14),
            ("2001:db8::1", 1, 14),
            ("2002:a00::1", 2, 14),
            ("fc00::1", 5, 14),
            ("fdff::1", 5, 14),
            ("fe00::1", 1, 14),
            ("fe80::1", 1, 2),
            ("febf::1", 1, 2),
            ("fec0::1", 11, 5),
            ("3ffe::1", 12, 14),
            ("ff02::1", 1, 2),
            ("ff0e::1", 1, 14),
            ("10.0.0.1", 4, 14),
        ] {
            let a: IpAddr = text.parse().expect("an address");
            assert_eq!((label(a), scope6(a)), (want, scope), "{text}");
        }
    }
}
