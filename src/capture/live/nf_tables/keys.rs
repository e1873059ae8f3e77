//! Expressions that give a value: `meta`, `ct`, `fib`, extension headers and the like.

use super::datatype::{Ty, integer, with_order};
use super::expr::{Ex, Kind, Needs};
use crate::capture::live::attr::{Numbers as _, find};
use nfwhy_parsers::nft::Type;
use std::fmt::Write as _;

/// A number of 32 bits in network order.
pub(super) fn be32(data: &[u8], kind: u16) -> Option<u32> {
    find(data, kind)?.be32(0)
}

/// `enum nft_meta_keys`: how nft calls them, what they hold, how many bits.
#[rustfmt::skip]
const META: &[(u32, &str, Type, u32)] = &[
    (0, "meta length", Type::Integer(32), 32),
    (1, "meta protocol", Type::EtherType, 16),
    (2, "meta priority", Type::ClassId, 32),
    (3, "meta mark", Type::Mark, 32),
    (4, "iif", Type::IfaceIndex, 32),
    (5, "oif", Type::IfaceIndex, 32),
    (6, "iifname", Type::Ifname, 128),
    (7, "oifname", Type::Ifname, 128),
    (8, "iiftype", Type::IfaceType, 16),
    (9, "oiftype", Type::IfaceType, 16),
    (10, "meta skuid", Type::Uid, 32),
    (11, "meta skgid", Type::Gid, 32),
    (12, "meta nftrace", Type::Integer(1), 8),
    (13, "rtclassid", Type::Realm, 32),
    (14, "meta secmark", Type::Integer(32), 32),
    (15, "meta nfproto", Type::NfProto, 8),
    (16, "meta l4proto", Type::InetProto, 8),
    (17, "ibrname", Type::Ifname, 128),
    (18, "obrname", Type::Ifname, 128),
    (19, "meta pkttype", Type::PktType, 8),
    (20, "meta cpu", Type::Integer(32), 32),
    (21, "iifgroup", Type::DevGroup, 32),
    (22, "oifgroup", Type::DevGroup, 32),
    (23, "meta cgroup", Type::Integer(32), 32),
    (24, "meta random", Type::Integer(32), 32),
    (25, "meta ipsec", Type::Boolean, 8),
    (26, "meta iifkind", Type::Ifname, 128),
    (27, "meta oifkind", Type::Ifname, 128),
    (28, "meta ibrpvid", Type::Integer(16), 16),
    (29, "meta ibrvproto", Type::EtherType, 16),
    (30, "meta time", Type::Time, 64),
    (31, "meta day", Type::Day, 8),
    (32, "meta hour", Type::Hour, 32),
    (33, "meta sdif", Type::IfaceIndex, 32),
    (34, "meta sdifname", Type::Ifname, 128),
];

/// A `meta` key.
pub(super) fn meta<'a>(key: u32) -> Option<Ex<'a>> {
    let (_, name, ty, bits) = META.iter().find(|(k, ..)| *k == key)?;
    let ty = match ty {
        // Random bits have no order; nft takes them as the network's (`meta_templates` in nftables `src/meta.c`).
        Type::Integer(n) => integer((*n).into(), key != 24),
        // The ether type stands in the packet's order (`nft_meta_get_eval`).
        ty => with_order(*ty),
    };
    Some(Ex::new(Kind::Meta(key, name), ty, *bits))
}

/// `enum nft_ct_keys`: name, type, bits; the order is the network's where the kernel takes the value from the tuple.
#[rustfmt::skip]
const CT: &[(u32, &str, Type, u32, bool)] = &[
    (0, "state", Type::CtState, 32, true),
    (1, "direction", Type::CtDir, 8, false),
    (2, "status", Type::CtStatus, 32, true),
    (3, "mark", Type::Mark, 32, true),
    (4, "secmark", Type::Integer(32), 32, true),
    (5, "expiration", Type::Time, 32, true),
    (6, "helper", Type::Ifname, 128, true),
    (7, "l3proto", Type::NfProto, 8, true),
    (8, "saddr", Type::Invalid, 0, false),
    (9, "daddr", Type::Invalid, 0, false),
    (10, "protocol", Type::InetProto, 8, false),
    (11, "proto-src", Type::InetService, 16, false),
    (12, "proto-dst", Type::InetService, 16, false),
    (13, "label", Type::CtLabel, 128, true),
    (14, "packets", Type::Integer(64), 64, true),
    (15, "bytes", Type::Integer(64), 64, true),
    (16, "avgpkt", Type::Integer(64), 64, true),
    (17, "zone", Type::Integer(16), 16, true),
    (18, "event", Type::CtEvent, 32, true),
    (19, "ip saddr", Type::Ipv4Addr, 32, false),
    (20, "ip daddr", Type::Ipv4Addr, 32, false),
    (21, "ip6 saddr", Type::Ipv6Addr, 128, false),
    (22, "ip6 daddr", Type::Ipv6Addr, 128, false),
    (23, "id", Type::Integer(32), 32, false),
];

/// A `ct` key: of one direction, or of the connection. `v6`: the family of its table or of the packets, where that is known; `many`: the
/// table sees both.
pub(super) fn ct<'a>(
    key: u32,
    direction: Option<u8>,
    v6: Option<bool>,
    many: bool,
) -> Option<Ex<'a>> {
    let (_, name, ty, bits, host) = CT.iter().find(|(k, ..)| *k == key)?;
    let (ty, bits, needs) = match (ty, v6) {
        (Type::Invalid, Some(false)) | (Type::Ipv4Addr, _) => {
            (Type::Ipv4Addr, 32, Needs::Connection(false))
        }
        (Type::Invalid, Some(true)) | (Type::Ipv6Addr, _) => {
            (Type::Ipv6Addr, 128, Needs::Connection(true))
        }
        (Type::Invalid, None) => return None,
        (ty, _) => (*ty, *bits, Needs::Nothing),
    };
    let direction = match direction {
        None => "",
        Some(0) => "original ",
        Some(1) => "reply ",
        Some(_) => return None,
    };
    // In tables of both families the family is part of the words.
    let family = match (key, ty) {
        (8 | 9, Type::Ipv4Addr) if many => "ip ",
        (8 | 9, Type::Ipv6Addr) if many => "ip6 ",
        _ => "",
    };
    let text = format!("ct {direction}{family}{name}");
    Some(within(text, Ty { ty, host: *host }, bits, needs))
}

/// `fib`: result and flags (`enum nft_fib_flags`).
pub(super) fn fib<'a>(result: u32, flags: u32) -> Option<Ex<'a>> {
    let mut text = String::from("fib ");
    let names = ["saddr", "daddr", "mark", "iif", "oif"];
    let mut first = true;
    for (bit, name) in names.iter().enumerate() {
        if flags >> bit & 1 == 1 {
            if !first {
                text.push_str(" . ");
            }
            text.push_str(name);
            first = false;
        }
    }
    let (name, ty, bits) = match result {
        1 => (" oif", Type::IfaceIndex, 32),
        2 => (" oifname", Type::Ifname, 128),
        3 => (" type", Type::FibAddrtype, 32),
        _ => return None,
    };
    text.push_str(name);
    // `NFTA_FIB_F_PRESENT`: one byte that says whether there is a route (`nft_fib_store_result` in net/netfilter/nft_fib.c).
    if flags & 0x20 != 0 {
        return Some(Ex::words(text, with_order(Type::Boolean), 8));
    }
    Some(Ex::words(text, with_order(ty), bits))
}

/// `rt` (`enum nft_rt_keys`).
pub(super) fn rt<'a>(key: u32) -> Option<Ex<'a>> {
    let (text, ty, bits) = match key {
        0 => ("rt classid", with_order(Type::Realm), 32),
        1 => ("rt ip nexthop", with_order(Type::Ipv4Addr), 32),
        2 => ("rt ip6 nexthop", with_order(Type::Ipv6Addr), 128),
        3 => ("rt mtu", integer(16, true), 16),
        4 => ("rt ipsec", with_order(Type::Boolean), 8),
        _ => return None,
    };
    Some(Ex::words(text, ty, bits))
}

/// `socket` (`enum nft_socket_keys`).
pub(super) fn socket<'a>(key: u32, level: u32) -> Option<Ex<'a>> {
    Some(match key {
        0 => Ex::words("socket transparent", integer(1, true), 8),
        1 => Ex::words("socket mark", with_order(Type::Mark), 32),
        2 => Ex::words("socket wildcard", integer(1, true), 8),
        3 => {
            // The group's number, whose path only the file system tells.
            let text = format!("socket cgroupv2 level {level}");
            Ex::words(text, integer(64, true), 64)
        }
        _ => return None,
    })
}

/// `ipsec in spnum 1 ip saddr` (`enum nft_xfrm_keys`).
pub(super) fn xfrm<'a>(direction: u8, spnum: u32, key: u32) -> Option<Ex<'a>> {
    let direction = match direction {
        0 => "in",
        1 => "out",
        _ => return None,
    };
    let mut text = format!("ipsec {direction} ");
    if spnum != 0 {
        let _ = write!(text, "spnum {spnum} ");
    }
    let (name, ty, bits) = match key {
        1 => ("ip daddr", with_order(Type::Ipv4Addr), 32),
        2 => ("ip6 daddr", with_order(Type::Ipv6Addr), 128),
        3 => ("ip saddr", with_order(Type::Ipv4Addr), 32),
        4 => ("ip6 saddr", with_order(Type::Ipv6Addr), 128),
        5 => ("reqid", integer(32, true), 32),
        6 => ("spi", integer(32, false), 32),
        _ => return None,
    };
    text.push_str(name);
    Some(Ex::words(text, ty, bits))
}

/// `osf name`: the operating system by the fingerprint of its SYN.
fn osf<'a>(data: &[u8]) -> Option<Ex<'a>> {
    let ttl = match find(data, 2).and_then(|v| v.u8(0)).unwrap_or_default() {
        0 => "",
        1 => "ttl loose ",
        2 => "ttl skip ",
        _ => return None,
    };
    let what = match be32(data, 3).unwrap_or_default() & 1 {
        0 => "name",
        _ => "version",
    };
    let text = format!("osf {ttl}{what}");
    Some(Ex::words(text, with_order(Type::Ifname), 128))
}

/// `numgen`: a number in turn or at random.
fn numgen<'a>(data: &[u8]) -> Option<Ex<'a>> {
    let kind = match be32(data, 3)? {
        0 => "inc",
        1 => "random",
        _ => return None,
    };
    let mut text = format!("numgen {kind} mod {}", be32(data, 2)?);
    offset(&mut text, be32(data, 4));
    Some(Ex::words(text, integer(32, true), 32))
}

/// ` offset 1`.
pub(super) fn offset(text: &mut String, offset: Option<u32>) {
    if let Some(n) = offset.filter(|n| *n != 0) {
        let _ = write!(text, " offset {n}");
    }
}

/// Expressions that give one value of nothing but the packet; destination register and value.
///
/// `None` for expressions of other kinds and for those that are not known.
pub(super) fn of<'a>(
    name: &[u8],
    data: &[u8],
    v6: Option<bool>,
    many: bool,
) -> Option<(u32, Ex<'a>)> {
    let at = |kind| be32(data, kind);
    Some(match name {
        b"meta" => (at(1)?, meta(at(2)?)?),
        b"ct" => {
            let direction = find(data, 3).and_then(|v| v.u8(0));
            (at(1)?, ct(at(2)?, direction, v6, many)?)
        }
        b"fib" => (at(1)?, fib(at(2)?, at(3)?)?),
        b"rt" => (at(1)?, rt(at(2)?)?),
        b"socket" => (at(2)?, socket(at(1)?, at(3).unwrap_or_default())?),
        b"xfrm" => {
            let direction = find(data, 3)?.u8(0)?;
            (at(1)?, xfrm(direction, at(4).unwrap_or_default(), at(2)?)?)
        }
        b"osf" => (at(1)?, osf(data)?),
        b"numgen" => (at(1)?, numgen(data)?),
        b"exthdr" => {
            let dreg = at(1)?;
            (dreg, super::exthdr::of(data)?)
        }
        b"tunnel" => match at(1)? {
            0 => (
                at(2)?,
                Ex::words("tunnel path", with_order(Type::Boolean), 8),
            ),
            1 => (at(2)?, Ex::words("tunnel id", integer(32, true), 32)),
            _ => return None,
        },
        b"payload" => {
            let base = u8::try_from(at(2)?).ok()?;
            let offset = at(3)?.checked_mul(8)?;
            let bits = at(4)?.checked_mul(8)?;
            let ty = integer(bits, false);
            (at(1)?, Ex::new(Kind::Payload { base, offset }, ty, bits))
        }
        _ => return None,
    })
}

/// Words that look into a header.
pub(super) fn within<'a>(text: String, ty: Ty, bits: u32, needs: Needs) -> Ex<'a> {
    Ex::new(Kind::Words(text.into(), needs), ty, bits)
}
