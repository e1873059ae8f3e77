//! ipsets with an index for membership.

use super::Origin;
use nfwhy_parsers::common::bits;
use nfwhy_parsers::ipset::{Dim, IpSet, Method, Part};
use nfwhy_parsers::{Family, Proto};
use std::collections::HashMap;
use std::net::IpAddr;

/// A set that was captured.
#[derive(Debug)]
pub struct SetState<'a> {
    /// The record.
    pub set: Set<'a>,
    /// Where it was read.
    pub origin: Origin,
}

/// A set and its index.
#[derive(Debug)]
pub struct Set<'a> {
    /// What was captured.
    pub record: IpSet<'a>,
    /// Members by the exact value of the parts that are not networks; networks are then tried one by one.
    index: HashMap<Key, Vec<u32>>,
    /// Prefix lengths in use per dimension, longest first, for `net` dimensions.
    cidrs: [Vec<u8>; 3],
}

type Key = [(u8, u128); 3];

/// The value of one dimension taken from a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'v> {
    /// No such dimension.
    None,
    /// An address.
    Addr(IpAddr),
    /// Protocol and port, or ICMP type and code in the port (type in the high byte).
    Port(Proto, u16),
    /// MAC address.
    Mac([u8; 6]),
    /// The packet's mark.
    Mark(u32),
    /// Device name.
    Iface(&'v str),
}

const NONE: (u8, u128) = (0, 0);

impl<'a> Set<'a> {
    /// Indexes a captured set.
    pub fn new(record: IpSet<'a>) -> Self {
        let mut set = Self {
            record,
            index: HashMap::new(),
            cidrs: Default::default(),
        };
        let Some(kind) = set.record.kind else {
            return set;
        };
        if kind.method == Method::List {
            return set;
        }
        for (i, m) in set.record.members.iter().enumerate() {
            let n = u32::try_from(i).unwrap_or(u32::MAX);
            let mut key = [NONE; 3];
            for (d, part) in m.parts.iter().enumerate() {
                key[d] = match part {
                    Part::Net(a, len) => {
                        if !set.cidrs[d].contains(len) {
                            set.cidrs[d].push(*len);
                        }
                        (len.wrapping_add(1), net_key(*a, *len))
                    }
                    Part::Port(p, r) if r.lo == r.hi => {
                        (1, u128::from(p.map_or(0, |p| p.0)) << 16 | u128::from(r.lo))
                    }
                    Part::Icmp(p, t, c) => (
                        1,
                        u128::from(p.0) << 16 | u128::from(*t) << 8 | u128::from(*c),
                    ),
                    Part::Mac(m) => (1, mac_key(*m)),
                    Part::Mark(m) => (1, u128::from(*m)),
                    // Ranges and devices are looked at member by member.
                    Part::Range(..)
                    | Part::Port(..)
                    | Part::Iface { .. }
                    | Part::Set(_)
                    | Part::None => NONE,
                };
            }
            set.index.entry(key).or_default().push(n);
        }
        for c in &mut set.cidrs {
            c.sort_unstable_by(|a, b| b.cmp(a));
        }
        set
    }

    /// The most specific member that fits `values`, as the kernel's hash types find it: the longest prefix first, and a
    /// `nomatch` member hides the shorter ones (`mtype_test_cidrs` in `net/netfilter/ipset/ip_set_hash_gen.h`).
    pub fn find(&self, values: &[Value<'_>; 3], dims: usize) -> Option<usize> {
        let kind = self.record.kind?;
        let mut options: [Vec<(u8, u128)>; 3] = Default::default();
        for d in 0..3 {
            let Some(dim) = kind.dims[d] else {
                options[d].push(NONE);
                continue;
            };
            if d >= dims {
                return None;
            }
            match (values[d], dim) {
                (Value::Addr(a), Dim::Ip | Dim::Net) => {
                    for len in &self.cidrs[d] {
                        options[d].push((len.wrapping_add(1), net_key(a, *len)));
                    }
                    options[d].push(NONE);
                }
                (Value::Port(p, n), Dim::Port) => {
                    let proto = if kind.method == Method::Bitmap {
                        0
                    } else {
                        p.0
                    };
                    options[d].push((1, u128::from(proto) << 16 | u128::from(n)));
                    options[d].push(NONE);
                }
                (Value::Mac(m), Dim::Mac) => options[d].push((1, mac_key(m))),
                (Value::Mark(m), Dim::Mark) => {
                    let m = m & self.record.markmask.unwrap_or(u32::MAX);
                    options[d].push((1, u128::from(m)));
                }
                (Value::Iface(_), Dim::Iface) => options[d].push(NONE),
                _ => return None,
            }
        }
        for a in &options[0] {
            for b in &options[1] {
                for c in &options[2] {
                    let Some(list) = self.index.get(&[*a, *b, *c]) else {
                        continue;
                    };
                    for i in list {
                        if self.fits(*i as usize, values) {
                            return Some(*i as usize);
                        }
                    }
                    // hash:net,iface: the longest network that the set has decides, whatever its devices (`multi` in
                    // `mtype_test_cidrs`, IP_SET_HASH_WITH_MULTI). Members of bridge ports hash otherwise and are not met.
                    if kind.dims.contains(&Some(Dim::Iface))
                        && list.iter().any(|i| !self.is_bridge_port(*i as usize))
                    {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// What the members whose other dimensions fit have in dimension `d`: first and last address. An address that lies in the same of these
    /// as another one gets the same answer.
    pub fn intervals(&self, values: &[Value<'_>; 3], d: usize, mut each: impl FnMut(u128, u128)) {
        let Some(Value::Addr(a)) = values.get(d) else {
            return;
        };
        let family = Family::of(*a);
        for (i, m) in self.record.members.iter().enumerate() {
            let ends = match m.parts.get(d) {
                Some(Part::Net(n, len)) if Family::of(*n) == family => {
                    let lo = net_key(*n, *len);
                    (lo, last_of(*n, *len))
                }
                Some(Part::Range(lo, hi)) if Family::of(*lo) == family => (bits(*lo), bits(*hi)),
                _ => continue,
            };
            let mut inside = *values;
            if let Some(v) = inside.get_mut(d) {
                *v = match m.parts.get(d) {
                    Some(Part::Net(n, _) | Part::Range(n, _)) => Value::Addr(*n),
                    _ => continue,
                };
            }
            // The same address may stand for two dimensions.
            for (other, v) in inside.iter_mut().enumerate() {
                if other != d && *v == Value::Addr(*a) {
                    *v = match m.parts.get(other) {
                        Some(Part::Net(n, _) | Part::Range(n, _)) => Value::Addr(*n),
                        _ => *v,
                    };
                }
            }
            // Of a device's networks the longest decides, whatever the device.
            let any_device = m.parts.iter().any(|p| matches!(p, Part::Iface { .. }));
            if any_device || self.fits(i, &inside) {
                each(ends.0, ends.1);
            }
        }
    }

    fn is_bridge_port(&self, member: usize) -> bool {
        let port = |p: &Part<'_>| matches!(p, Part::Iface { physdev: true, .. });
        let members = &self.record.members;
        members
            .get(member)
            .is_some_and(|m| m.parts.iter().any(port))
    }

    fn fits(&self, member: usize, values: &[Value<'_>; 3]) -> bool {
        let Some(m) = self.record.members.get(member) else {
            return false;
        };
        m.parts.iter().zip(values).all(|(part, v)| match (part, v) {
            (Part::None, _) => true,
            (Part::Net(n, len), Value::Addr(a)) => {
                Family::of(*n) == Family::of(*a) && net_key(*n, *len) == net_key(*a, *len)
            }
            (Part::Range(lo, hi), Value::Addr(a)) => {
                Family::of(*lo) == Family::of(*a) && bits(*lo) <= bits(*a) && bits(*a) <= bits(*hi)
            }
            (Part::Port(p, r), Value::Port(q, n)) => p.is_none_or(|p| p == *q) && r.contains(n),
            (Part::Icmp(p, t, c), Value::Port(q, n)) => {
                p == q && u16::from(*t) << 8 | u16::from(*c) == *n
            }
            (Part::Mac(m), Value::Mac(x)) => m == x,
            (Part::Mark(m), Value::Mark(x)) => *m == x & self.record.markmask.unwrap_or(u32::MAX),
            // A bridge port; rules ask for the device itself (`hash_netiface4_kadt`).
            (Part::Iface { physdev: true, .. }, Value::Iface(_)) => false,
            (Part::Iface { name, wildcard, .. }, Value::Iface(x)) => {
                if *wildcard {
                    x.starts_with(name.as_ref())
                } else {
                    x == name
                }
            }
            _ => false,
        })
    }
}

/// The set's netmask applied to an address, as `ip_set_netmask` does for hash:ip and bitmap:ip.
pub fn net_key(a: IpAddr, len: u8) -> u128 {
    let f = Family::of(a);
    let drop = u32::from(f.bits().saturating_sub(len));
    if drop >= 128 {
        0
    } else {
        bits(a) >> drop << drop
    }
}

/// The last address of a network.
fn last_of(a: IpAddr, len: u8) -> u128 {
    let drop = u32::from(Family::of(a).bits().saturating_sub(len));
    let host = 1u128.checked_shl(drop).map_or(u128::MAX, |b| b - 1);
    bits(a) | host
}

fn mac_key(m: [u8; 6]) -> u128 {
    m.iter().fold(0, |a, b| a << 8 | u128::from(*b))
}
