//! `-m set`: values from the packet, membership in the set (`net/netfilter/xt_set.c`, net/netfilter/ipset/).

use super::matches::{Tri, Unknown};
use super::region::{Region, host_bits};
use super::run::Run;
use crate::node::{Set, SetValue};
use crate::trace::{Missing, Port};
use nfwhy_parsers::common::{Masked, bits};
use nfwhy_parsers::ipset::{Dim, Method, Part};
use nfwhy_parsers::iptables::matches::SetMatch;
use nfwhy_parsers::{Family, Proto};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a lookup in a set says.
pub(super) enum Membership {
    /// Not in it.
    No,
    /// Member by its index.
    Yes,
    /// Cannot be told.
    Unknown(String),
}

impl Run<'_, '_> {
    pub(super) fn match_set(&mut self, m: &SetMatch<'_>) -> Tri {
        let node = self.node;
        let name = m.name.as_ref();
        let tuple = self.set_tuple_text(m);
        let Some(state) = node.sets.get(name) else {
            return Tri::Unknown(Self::unknown_set(
                name,
                &tuple,
                m.not,
                "it was not captured",
                // One command shows all of them where none was captured.
                if node.captured.sets {
                    None
                } else {
                    Some("ipset save")
                },
            ));
        };
        let set = &state.set;
        if let Some(f) = set.record.family
            && f != self.family
            && set.record.kind.is_some_and(|k| k.method != Method::List)
        {
            // `xt_set` refuses to load across families; a set without addresses has none.
            return Tri::of(m.not);
        }
        let found = self.membership(set, &m.src, m.return_nomatch, 0);
        if m.counters.is_some() {
            return Tri::Unknown(Self::unknown_set(
                name,
                &tuple,
                m.not,
                "the rule also asks for the member's counters",
                None,
            ));
        }
        match found {
            Membership::Yes => Tri::of(!m.not),
            Membership::No => Tri::of(m.not),
            Membership::Unknown(why) => {
                Tri::Unknown(Self::unknown_set(name, &tuple, m.not, &why, None))
            }
        }
    }

    fn unknown_set(
        name: &str,
        tuple: &str,
        not: bool,
        why: &str,
        command: Option<&str>,
    ) -> Unknown {
        let inside = format!("{tuple} is in set {name} ({why})");
        let outside = format!("{tuple} is not in set {name} ({why})");
        Unknown {
            // The fact is about the set, not about the rule: a negated rule asks the same question.
            fact: format!("set {name} {tuple}"),
            not,
            yes: inside,
            no: outside,
            missing: Some(Missing {
                what: format!("ipset {name}"),
                command: command.map_or_else(|| format!("ipset list {name}"), str::to_owned),
            }),
        }
    }

    /// The packet's values as `ipset test` would take them.
    pub(super) fn set_tuple_text(&self, m: &SetMatch<'_>) -> String {
        let dims = self
            .node
            .sets
            .get(m.name.as_ref())
            .and_then(|s| s.set.record.kind)
            .map(|k| k.dims);
        let mut out = Vec::new();
        for (i, src) in m.src.iter().enumerate() {
            let dim = dims.and_then(|d| d.get(i).copied().flatten());
            let addr = if *src { self.skb.src } else { self.skb.dst };
            let port = if *src { self.skb.sport } else { self.skb.dport };
            let port_text = || match (port.known(), self.skb.icmp) {
                (Some(n), _) => format!("{}:{n}", self.skb.proto),
                (None, Some((t, c))) => format!("{}:{t}/{c}", self.skb.proto),
                (None, None) => format!("{}:*", self.skb.proto),
            };
            out.push(match dim {
                Some(Dim::Port) => port_text(),
                Some(Dim::Iface) => {
                    let d = if *src { self.iif } else { self.oif };
                    d.map_or_else(|| "-".to_owned(), |d| self.node.device(d).name.clone())
                }
                Some(Dim::Mark) => format!("{:#x}", self.skb.mark),
                Some(Dim::Mac) => "mac".to_owned(),
                Some(Dim::Ip | Dim::Net | Dim::Set) => addr.to_string(),
                // The usual shape of a set nobody captured: address, port, address.
                None if i == 1 => port_text(),
                None => addr.to_string(),
            });
        }
        out.join(",")
    }

    fn membership(
        &mut self,
        set: &Set<'_>,
        src: &[bool],
        return_nomatch: bool,
        depth: usize,
    ) -> Membership {
        use crate::node::SetState;
        let Some(kind) = set.record.kind else {
            return Membership::Unknown(format!(
                "its type {} is not modelled",
                set.record.type_name
            ));
        };
        if self.changed_sets.contains(set.record.name.as_ref()) {
            return Membership::Unknown("a rule before has changed it".into());
        }
        if kind.method == Method::List {
            // ipset refuses it (`IPSET_ERR_LOOP`).
            if depth > 0 {
                return Membership::Unknown("a list of sets is in a list of sets".into());
            }
            let mut unknown = None;
            for m in &set.record.members {
                let Part::Set(name) = &m.parts[0] else {
                    continue;
                };
                let node = self.node;
                let inner: Option<&SetState<'_>> = node.sets.get(name.as_ref());
                let Some(inner) = inner else {
                    unknown = Some(format!("its member set {name} was not captured"));
                    continue;
                };
                // A member set of the other family does not fit and is passed over.
                if inner.set.record.family.is_some_and(|f| f != self.family) {
                    continue;
                }
                match self.membership(&inner.set, src, return_nomatch, depth + 1) {
                    Membership::Yes => return Membership::Yes,
                    Membership::No => {}
                    Membership::Unknown(w) => unknown = Some(w),
                }
            }
            return match unknown {
                Some(w) => Membership::Unknown(w),
                None if !set.record.complete => {
                    Membership::Unknown("not all of its members were captured".into())
                }
                None => Membership::No,
            };
        }
        let dims = kind.dims.iter().flatten().count();
        if src.len() < dims {
            // The kernel refuses such a rule; fewer flags than dimensions never match.
            return Membership::No;
        }
        let mut values = [SetValue::None; 3];
        for (d, value) in values.iter_mut().enumerate().take(dims) {
            let from_src = src.get(d).copied().unwrap_or(false);
            let Some(dim) = kind.dims[d] else { continue };
            let v = match dim {
                Dim::Ip | Dim::Net => {
                    let a = if from_src { self.skb.src } else { self.skb.dst };
                    if from_src && self.skb.src_unknown {
                        return Membership::Unknown("the source after NAT is not known".into());
                    }
                    let a = match (dim, set.record.netmask) {
                        (Dim::Ip, Some(n)) => masked(a, Masked::prefix(a, n).mask),
                        _ => a,
                    };
                    let a = set.record.bitmask.map_or(a, |m| masked(a, m));
                    SetValue::Addr(a)
                }
                // Of protocols other than these a set of ports alone knows nothing (`ip_set_get_ip_port`).
                Dim::Port
                    if kind.method == Method::Bitmap
                        && !matches!(self.skb.proto, Proto::TCP | Proto::UDP) =>
                {
                    return Membership::No;
                }
                Dim::Port => match self.set_port(from_src) {
                    Ok(Some((p, n))) => SetValue::Port(p, n),
                    Ok(None) => return Membership::No,
                    Err(port) => {
                        // Not known which port: if no member has this address and protocol at all, the port does not matter.
                        let _ = port;
                        return self.membership_any_port(set, from_src, d);
                    }
                },
                Dim::Mac => match self.set_mac(from_src) {
                    Ok(m) => SetValue::Mac(m),
                    Err(answer) => return answer,
                },
                Dim::Mark => SetValue::Mark(self.skb.mark),
                Dim::Iface => {
                    let dev = if from_src { self.iif } else { self.oif };
                    match dev {
                        Some(dev) => SetValue::Iface(&self.node.device(dev).name),
                        None => return Membership::No,
                    }
                }
                Dim::Set => return Membership::No,
            };
            *value = v;
        }
        if let Some(r) = self.region {
            for (d, from_src) in src.iter().enumerate().take(dims) {
                let a = if *from_src {
                    self.skb.src
                } else {
                    self.skb.dst
                };
                if r.is(a) && matches!(kind.dims.get(d), Some(Some(Dim::Ip | Dim::Net))) {
                    note_set(r, set, &values, d, a);
                }
            }
        }
        match set.find(&values, dims) {
            Some(i) => {
                let nomatch = set.record.members.get(i).is_some_and(|m| m.nomatch);
                // `ip_set_test` turns the answer of a type that knows `nomatch` around: then only such a member is a match.
                let turned = return_nomatch && kind.dims.contains(&Some(Dim::Net));
                if nomatch == turned {
                    Membership::Yes
                } else {
                    Membership::No
                }
            }
            None if !set.record.complete => {
                Membership::Unknown("not all of its members were captured".into())
            }
            None => Membership::No,
        }
    }

    /// The frame's source, or its destination, which is the device's own address. What came in by no Ethernet device has neither
    /// (`bitmap_ipmac_kadt`, `hash_mac4_kadt`).
    fn set_mac(&mut self, from_src: bool) -> Result<[u8; 6], Membership> {
        let Some(dev) = self.iif else {
            return Err(Membership::No);
        };
        let d = self.node.device(dev);
        if d.link_type.as_deref().is_some_and(|t| t != "ether") {
            return Err(Membership::No);
        }
        let mac = if from_src {
            self.skb.mac
        } else if self.came_to_many() {
            None
        } else {
            d.mac.as_deref().and_then(mac_of)
        };
        mac.ok_or_else(|| {
            let end = if from_src { "source" } else { "destination" };
            Membership::Unknown(format!("the {end} MAC address is not given"))
        })
    }

    /// The port is not known: no member of this protocol means no, else it cannot be told.
    fn membership_any_port(&self, set: &Set<'_>, from_src: bool, dim: usize) -> Membership {
        let port = if from_src {
            self.skb.sport
        } else {
            self.skb.dport
        };
        let any = set.record.members.iter().any(|m| match &m.parts[dim] {
            Part::Port(p, r) => {
                p.is_none_or(|p| p == self.skb.proto) && port.within(r) != Some(false)
            }
            _ => false,
        });
        if any || !set.record.complete {
            Membership::Unknown("the port is not given".into())
        } else {
            Membership::No
        }
    }

    /// `ip_set_get_ip4_port`: ports of TCP, SCTP, UDP; type and code of ICMP; 0 for other protocols. `Err` = not known which.
    fn set_port(&self, from_src: bool) -> Result<Option<(Proto, u16)>, Port> {
        let p = self.skb.proto;
        match p {
            Proto::TCP | Proto::UDP | Proto::SCTP | Proto::UDPLITE => {
                let port = if from_src {
                    self.skb.sport
                } else {
                    self.skb.dport
                };
                match port {
                    Port::Known(n) => Ok(Some((p, n))),
                    other => Err(other),
                }
            }
            Proto::ICMP | Proto::ICMPV6 => {
                Ok(self.skb.icmp.map(|(t, c)| (p, u16::from_be_bytes([t, c]))))
            }
            p => Ok(Some((p, 0))),
        }
    }
}

/// Members behind a mask with gaps that are told one by one.
const SCATTERED: usize = 8;

/// What of a set the watched address, as dimension `d`, can be told by.
fn note_set(r: &Region, set: &Set<'_>, values: &[SetValue<'_>; 3], d: usize, a: IpAddr) {
    let family = Family::of(a);
    let all = host_bits(family.bits());
    let ip = set.record.kind.is_some_and(|k| k.dims[d] == Some(Dim::Ip));
    let netmask = set.record.netmask.filter(|_| ip);
    let mask = netmask.map_or(all, |n| bits(Masked::prefix(a, n).mask))
        & set.record.bitmask.map_or(all, bits);
    let free = mask.trailing_zeros().min(u32::from(family.bits()));
    let host = host_bits(u8::try_from(free).unwrap_or(128));
    if mask | host != all {
        // A mask with gaps: what looks alike lies scattered.
        let mut members = Vec::new();
        set.intervals(values, d, |lo, hi| members.push((lo, hi)));
        if members.len() <= SCATTERED && members.iter().all(|(lo, hi)| lo == hi) {
            for (member, _) in members {
                r.masked(member, mask);
            }
        } else {
            r.above(free);
        }
        return;
    }
    set.intervals(values, d, |lo, hi| {
        // Members are compared with the masked address.
        let first = if lo & host == 0 {
            Some(lo)
        } else {
            (lo | host).checked_add(1)
        };
        if let Some(first) = first
            && first <= hi
        {
            r.between(first, hi | host);
        }
    });
}

/// `02:00:00:00:00:01`.
fn mac_of(text: &str) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut bytes = text.split(':');
    for b in &mut out {
        *b = u8::from_str_radix(bytes.next()?, 16).ok()?;
    }
    Some(out)
}

fn masked(a: IpAddr, mask: IpAddr) -> IpAddr {
    match (a, mask) {
        (IpAddr::V4(a), IpAddr::V4(k)) => {
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & k.to_bits()))
        }
        (IpAddr::V6(a), IpAddr::V6(k)) => {
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & k.to_bits()))
        }
        (a, _) => a,
    }
}
