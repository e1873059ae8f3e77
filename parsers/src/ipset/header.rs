//! Types of sets and the options they were created with.

use super::member::{addr, ip_range, mark, port_range};
use super::{Dim, IpSet, Method, SetKind};
use crate::common::{Family, Range, mask};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `hash:ip,port` and its like; also the names ipset 4 used and later versions still take (lib/ipset_*.c, `alias`).
pub(super) fn kind(name: &str) -> Option<SetKind> {
    use Dim::{Ip, Mac, Net, Port, Set};
    let short = |method, a, b, c| {
        Some(SetKind {
            method,
            dims: [a, b, c],
        })
    };
    match name {
        "iphash" => return short(Method::Hash, Some(Ip), None, None),
        "nethash" => return short(Method::Hash, Some(Net), None, None),
        "ipporthash" => return short(Method::Hash, Some(Ip), Some(Port), None),
        "ipportiphash" => return short(Method::Hash, Some(Ip), Some(Port), Some(Ip)),
        "ipportnethash" => return short(Method::Hash, Some(Ip), Some(Port), Some(Net)),
        "ipmap" => return short(Method::Bitmap, Some(Ip), None, None),
        "macipmap" => return short(Method::Bitmap, Some(Ip), Some(Mac), None),
        "portmap" => return short(Method::Bitmap, Some(Port), None, None),
        "setlist" => return short(Method::List, Some(Set), None, None),
        _ => {}
    }
    let (method, dims) = name.split_once(':')?;
    let method = match method {
        "hash" => Method::Hash,
        "bitmap" => Method::Bitmap,
        "list" => Method::List,
        _ => return None,
    };
    let mut out = [None; 3];
    for (n, d) in dims.split(',').enumerate() {
        *out.get_mut(n)? = Some(match d {
            "ip" => Dim::Ip,
            "net" => Dim::Net,
            "port" => Dim::Port,
            "mac" => Dim::Mac,
            "mark" => Dim::Mark,
            "iface" => Dim::Iface,
            "set" => Dim::Set,
            _ => return None,
        });
    }
    // A list holds sets and nothing else does.
    ((method == Method::List) == (out == [Some(Dim::Set), None, None]))
        .then_some(SetKind { method, dims: out })
}

/// Reads the options into `set`; calls `bad` with every piece not understood and a clause about it.
pub(super) fn options<'a>(
    set: &mut IpSet<'_>,
    header: &'a str,
    mut bad: impl FnMut(&'a str, &'static str),
) {
    let mut words = header.split_ascii_whitespace();
    while let Some(key) = words.next() {
        match key {
            "counters" => set.counters = true,
            "comment" => set.comment = true,
            "skbinfo" => set.skbinfo = true,
            "forceadd" | "-exist" | "-!" => {}
            "family" | "timeout" | "netmask" | "bitmask" | "markmask" | "size" | "maxelem"
            | "range" | "hashsize" | "bucketsize" | "initval" | "probes" | "resize" | "gc"
            | "from" | "to" | "network" => {
                let Some(value) = words.next() else {
                    bad(key, "has no value");
                    return;
                };
                if !option(set, key, value) {
                    bad(value, "is no value of this option");
                }
            }
            _ => bad(key, "is no option of a set"),
        }
    }
}

fn option(set: &mut IpSet<'_>, key: &str, value: &str) -> bool {
    fn store<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
        let ok = value.is_some();
        if ok {
            *slot = value;
        }
        ok
    }
    match key {
        "family" => {
            let f = match value {
                "inet" | "ipv4" | "-4" => Some(Family::V4),
                "inet6" | "ipv6" | "-6" => Some(Family::V6),
                _ => None,
            };
            store(&mut set.family, f)
        }
        "timeout" => store(&mut set.timeout, value.parse().ok()),
        "netmask" => store(&mut set.netmask, value.parse().ok().filter(|n| *n <= 128)),
        "bitmask" => store(&mut set.bitmask, addr(value)),
        "markmask" => store(&mut set.markmask, mark(value)),
        "size" | "maxelem" => store(&mut set.size, value.parse().ok()),
        "range" => {
            if set.kind.is_some_and(|k| k.dims[0] == Some(Dim::Port)) {
                return store(&mut set.port_range, port_range(value));
            }
            let whole = || {
                let (a, n) = value.split_once('/')?;
                network(addr(a)?, n.parse().ok()?)
            };
            store(&mut set.ip_range, ip_range(value).or_else(whole))
        }
        // Sizes and seeds of the hash table say nothing about membership.
        _ => true,
    }
}

/// First and last address of a network.
fn network(a: IpAddr, len: u8) -> Option<Range<IpAddr>> {
    let family = Family::of(a);
    if len > family.bits() {
        return None;
    }
    Some(match (a, mask(family, len)) {
        (IpAddr::V4(a), IpAddr::V4(m)) => Range {
            lo: IpAddr::V4(a & m),
            hi: IpAddr::V4(a | Ipv4Addr::from_bits(!m.to_bits())),
        },
        (IpAddr::V6(a), IpAddr::V6(m)) => Range {
            lo: IpAddr::V6(a & m),
            hi: IpAddr::V6(a | Ipv6Addr::from_bits(!m.to_bits())),
        },
        _ => return None,
    })
}
