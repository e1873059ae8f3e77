//! Elements of sets and their options.

use super::icmp;
use super::{Dim, Member, Method, Part, SetKind};
use crate::common::{Family, Proto, Range, Text, bits};
use crate::ipvs::names::service_port;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a member was not understood: the piece of text and a clause about it.
pub(super) type Unreadable<'a> = (&'a str, &'static str);

/// Reads a member: the element and the options behind it, without `add NAME`.
pub(super) fn member(
    text: &str,
    line: u32,
    kind: Option<SetKind>,
) -> Result<Member<'_>, Unreadable<'_>> {
    let text = text.trim_ascii();
    let end = text
        .bytes()
        .position(|b| b == b' ' || b == b'\t')
        .unwrap_or(text.len());
    let (element, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let parts = match kind {
        Some(kind) => parts(element, kind)?,
        None => Default::default(),
    };
    let mut m = Member {
        line,
        text: element,
        parts,
        nomatch: false,
        timeout: None,
        packets: None,
        bytes: None,
        comment: None,
        skb: None,
        placement: None,
    };
    if !rest.is_empty() {
        options(&mut m, rest)?;
    }
    Ok(m)
}

/// The next word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    let end = text
        .bytes()
        .position(|b| b == b' ' || b == b'\t')
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn options<'a>(m: &mut Member<'a>, mut rest: &'a str) -> Result<(), Unreadable<'a>> {
    loop {
        let (key, after) = word(rest);
        if key.is_empty() {
            return Ok(());
        }
        let before = rest.trim_ascii_start();
        rest = after;
        match key {
            "nomatch" => m.nomatch = true,
            "timeout" => m.timeout = Some(number(key, &mut rest)?),
            "packets" => m.packets = Some(number(key, &mut rest)?),
            "bytes" => m.bytes = Some(number(key, &mut rest)?),
            "comment" => m.comment = Some(Text::Borrowed(comment(key, &mut rest)?)),
            // `hash_netiface4_data_equal` (net/netfilter/ipset/ip_set_hash_netiface.c) compares a prefix for members with this
            // flag and the whole name for all others.
            "wildcard" => {
                for p in &mut m.parts {
                    if let Part::Iface { wildcard, .. } = p {
                        *wildcard = true;
                    }
                }
            }
            "skbmark" | "skbprio" | "skbqueue" => {
                let (value, after) = word(rest);
                if value.is_empty() {
                    return Err((key, "has no value"));
                }
                rest = after;
                let this = before.get(..before.len() - rest.len()).unwrap_or(before);
                m.skb = Some(match m.skb.take() {
                    None => Text::Borrowed(this),
                    Some(old) => Text::Owned(format!("{old} {this}")),
                });
            }
            "before" | "after" => {
                let (value, after) = word(rest);
                if value.is_empty() {
                    return Err((key, "has no value"));
                }
                rest = after;
                let this = before.get(..before.len() - rest.len()).unwrap_or(before);
                m.placement = Some(Text::Borrowed(this));
            }
            "-exist" | "-!" | "--exist" => {}
            _ => return Err((key, "is no option of a member")),
        }
    }
}

fn number<'a, T: std::str::FromStr>(key: &'a str, rest: &mut &'a str) -> Result<T, Unreadable<'a>> {
    let (value, after) = word(rest);
    *rest = after;
    if value.is_empty() {
        return Err((key, "has no value"));
    }
    value
        .parse()
        .map_err(|_| (value, "is no number that fits here"))
}

/// `"..."`: ipset knows no escapes and forbids quotes inside (`ipset_parse_comment` in lib/parse.c).
fn comment<'a>(key: &'a str, rest: &mut &'a str) -> Result<&'a str, Unreadable<'a>> {
    let text = rest.trim_ascii_start();
    if let Some(quoted) = text.strip_prefix('"') {
        let Some((inner, after)) = quoted.split_once('"') else {
            return Err((text, "has no closing quote"));
        };
        *rest = after;
        return Ok(inner);
    }
    let (value, after) = word(text);
    if value.is_empty() {
        return Err((key, "has no value"));
    }
    *rest = after;
    Ok(value)
}

fn parts(element: &str, kind: SetKind) -> Result<[Part<'_>; 3], Unreadable<'_>> {
    let mut out: [Part<'_>; 3] = Default::default();
    if element.is_empty() {
        return Err((element, "is empty"));
    }
    if kind.method == Method::List {
        out[0] = Part::Set(Text::Borrowed(element));
        return Ok(out);
    }
    let dims = kind.dims.iter().flatten().count();
    let mut rest = Some(element);
    for (i, (slot, dim)) in out
        .iter_mut()
        .zip(kind.dims.into_iter().flatten())
        .enumerate()
    {
        let Some(text) = rest else {
            // bitmap:ip,mac takes an address without MAC, which is filled in by the first packet (`bitmap_ipmac_do_add`).
            if kind.method == Method::Bitmap && dim == Dim::Mac {
                break;
            }
            return Err((element, "has too few parts for the set's type"));
        };
        let this = if i + 1 < dims {
            let (a, b) = cut_at(text, b',').map_or((text, None), |(a, b)| (a, Some(b)));
            rest = b;
            a
        } else {
            text
        };
        *slot = part(this, dim, kind.method)?;
    }
    Ok(out)
}

fn part(text: &str, dim: Dim, method: Method) -> Result<Part<'_>, Unreadable<'_>> {
    match dim {
        Dim::Ip | Dim::Net => net(text).ok_or((text, "is no address, network or range")),
        Dim::Port => port(text, method).ok_or((text, "is no protocol and port")),
        Dim::Mac => mac(text).map(Part::Mac).ok_or((text, "is no MAC address")),
        Dim::Mark => mark(text).map(Part::Mark).ok_or((text, "is no mark")),
        Dim::Iface => iface(text).ok_or((text, "is no device name")),
        Dim::Set => Ok(Part::Set(Text::Borrowed(text))),
    }
}

/// An address of either family.
#[inline]
pub(crate) fn addr(text: &str) -> Option<IpAddr> {
    if let Some(a) = dotted(text.as_bytes()) {
        return Some(IpAddr::V4(a));
    }
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// Four decimal numbers without leading zeros. Large sets are mostly these, so this spares the general parser.
#[inline]
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut bits, mut part, mut digits, mut dots) = (0u32, 0u32, 0u32, 0u32);
    for b in text {
        if b.is_ascii_digit() {
            if digits > 0 && part == 0 {
                return None;
            }
            part = part * 10 + u32::from(b - b'0');
            digits += 1;
            if part > 255 {
                return None;
            }
        } else if *b == b'.' && digits > 0 && dots < 3 {
            bits = bits << 8 | part;
            (part, digits) = (0, 0);
            dots += 1;
        } else {
            return None;
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from_bits(bits << 8 | part))
}

/// `text` before and after the first `mark`. For pieces of a few bytes a plain loop is faster than a searcher.
#[inline]
pub(crate) fn cut_at(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == mark)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The network a prefix names; bits behind the prefix are cleared, as ipset does (`ip_set_netmask`).
fn masked(a: IpAddr, len: u8) -> IpAddr {
    match a {
        IpAddr::V4(x) => {
            let keep = u32::MAX
                .checked_shl(32 - u32::from(len.min(32)))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(x.to_bits() & keep))
        }
        IpAddr::V6(x) => {
            let keep = u128::MAX
                .checked_shl(128 - u32::from(len.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(x.to_bits() & keep))
        }
    }
}

fn net(text: &str) -> Option<Part<'_>> {
    if let Some((a, n)) = cut_at(text, b'/') {
        let a = addr(a)?;
        let len: u8 = n.parse().ok()?;
        return (len <= Family::of(a).bits()).then(|| Part::Net(masked(a, len), len));
    }
    if let Some(a) = addr(text) {
        return Some(Part::Net(a, Family::of(a).bits()));
    }
    ip_range(text).map(|r| Part::Range(r.lo, r.hi))
}

/// `a-b`, both of one family, in order.
pub(super) fn ip_range(text: &str) -> Option<Range<IpAddr>> {
    let (lo, hi) = text.split_once('-')?;
    let (lo, hi) = (addr(lo)?, addr(hi)?);
    (Family::of(lo) == Family::of(hi) && bits(lo) <= bits(hi)).then_some(Range { lo, hi })
}

/// `80`, `80-90`, or a name.
pub(super) fn port_range(text: &str) -> Option<Range<u16>> {
    if let Ok(p) = text.parse() {
        return Some(Range { lo: p, hi: p });
    }
    if let Some(p) = service_port(text) {
        return Some(Range { lo: p, hi: p });
    }
    let (lo, hi) = text.split_once('-')?;
    let (lo, hi) = (lo.parse().ok()?, hi.parse().ok()?);
    (lo <= hi).then_some(Range { lo, hi })
}

/// `tcp:80`, `udp:1-5`, `icmp:echo-request`, `vrrp:0`; without protocol TCP (`ipset_parse_proto_port` in lib/parse.c). A bitmap keeps
/// the port alone.
fn port(text: &str, method: Method) -> Option<Part<'_>> {
    let (proto, rest) = match cut_at(text, b':') {
        Some((p, rest)) => (Proto::parse(p)?, rest),
        None => (Proto::TCP, text),
    };
    if method == Method::Bitmap {
        return port_range(rest).map(|r| Part::Port(None, r));
    }
    match proto {
        Proto::ICMP | Proto::ICMPV6 => {
            let (t, c) = icmp::type_code(rest, proto == Proto::ICMPV6)?;
            Some(Part::Icmp(proto, t, c))
        }
        _ => port_range(rest).map(|r| Part::Port(Some(proto), r)),
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut n = 0;
    for p in text.split([':', '-']) {
        if p.len() > 2 {
            return None;
        }
        *out.get_mut(n)? = u8::from_str_radix(p, 16).ok()?;
        n += 1;
    }
    (n == 6).then_some(out)
}

/// A number, hexadecimal with `0x`.
pub(super) fn mark(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn iface(text: &str) -> Option<Part<'_>> {
    let (name, physdev) = match text.strip_prefix("physdev:") {
        Some(n) => (n, true),
        None => (text, false),
    };
    // IFNAMSIZ is 16 with the terminating NUL.
    (!name.is_empty() && name.len() < 16).then_some(Part::Iface {
        name: Text::Borrowed(name),
        physdev,
        wildcard: false,
    })
}
