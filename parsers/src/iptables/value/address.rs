//! Addresses, masks, ranges of addresses, and where NAT goes.

use super::{Res, dashed_ports, fail, uint, whole};
use crate::common::{Family, Masked, Range, mask};
use crate::iptables::targets::Nat;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{map, map_opt, map_res, opt};
use nom::error::ErrorKind;
use nom::sequence::{delimited, preceded};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A dotted quad.
#[inline]
pub(crate) fn ipv4(i: &str) -> Res<'_, Ipv4Addr> {
    let mut value = 0u32;
    let mut part = 0u32;
    let mut digits = 0;
    let mut dots = 0;
    let mut len = 0;
    for &byte in i.as_bytes() {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                part = part * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && dots < 3 && part < 256 => {
                value = value << 8 | part;
                (part, digits) = (0, 0);
                dots += 1;
            }
            _ => break,
        }
        len += 1;
    }
    if dots != 3 || digits == 0 || part > 255 {
        return fail(i, ErrorKind::Tag);
    }
    Ok((
        i.get(len..).unwrap_or_default(),
        Ipv4Addr::from_bits(value << 8 | part),
    ))
}

/// An IPv6 address without brackets.
pub(crate) fn ipv6(i: &str) -> Res<'_, Ipv6Addr> {
    map_res(
        take_while1(|c: char| c.is_ascii_hexdigit() || c == ':' || c == '.'),
        str::parse,
    )
    .parse(i)
}

/// An address of either family.
#[inline]
pub(crate) fn ip(i: &str) -> Res<'_, IpAddr> {
    match ipv4(i) {
        Ok((rest, addr)) => Ok((rest, IpAddr::V4(addr))),
        Err(_) => map(ipv6, IpAddr::V6).parse(i),
    }
}

/// `addr`, `addr/len` or `addr/mask`.
#[inline]
pub(crate) fn masked(i: &str) -> Res<'_, Masked> {
    let (rest, addr) = ip(i)?;
    let family = Family::of(addr);
    let Some(tail) = rest.strip_prefix('/') else {
        return Ok((rest, Masked::prefix(addr, family.bits())));
    };
    // `/24` and `/255.255.255.0` begin alike, so the longer form goes first only where its separator is there.
    let digits = |i| take_while1(|c: char| c.is_ascii_digit()).parse(i);
    let prefix: Res<'_, u8> = map_res(digits, str::parse).parse(tail);
    if let Ok((end, len)) = prefix
        && !end.starts_with(['.', ':'])
    {
        if len > family.bits() {
            return fail(i, ErrorKind::Verify);
        }
        return Ok((end, Masked::prefix(addr, len)));
    }
    let (end, mask) = ip(tail)?;
    if Family::of(mask) != family {
        return fail(i, ErrorKind::Verify);
    }
    Ok((end, Masked { addr, mask }))
}

/// `a-b`, or `a` alone.
pub(crate) fn ip_range(i: &str) -> Res<'_, Range<IpAddr>> {
    map_opt((ip, opt(preceded(char('-'), ip))), |(lo, hi)| {
        let hi = hi.unwrap_or(lo);
        (Family::of(lo) == Family::of(hi)).then_some(Range { lo, hi })
    })
    .parse(i)
}

/// Where NAT goes: `ip`, `ip-ip`, `ip:port`, `ip-ip:port-port/base`, `:port`, `[v6]:port`, `[v6-v6]:port`, `[v6]-[v6]:port` (as
/// `parse_to` in `libxt_NAT.c`; older versions wrote brackets around each end).
pub(crate) fn nat(i: &str) -> Res<'_, Nat> {
    let base = opt(preceded(char('/'), uint::<u16>));
    let (rest, addrs) = opt(nat_addrs).parse(i)?;
    let (rest, ports) = opt(preceded(char(':'), (dashed_ports, base))).parse(rest)?;
    // Nothing at all is not a destination.
    if addrs.is_none() && ports.is_none() {
        return fail(i, ErrorKind::Eof);
    }
    let nat = Nat {
        addrs,
        ports: ports.map(|(ports, _)| ports),
        base: ports.and_then(|(_, base)| base),
        ..Nat::default()
    };
    Ok((rest, nat))
}

fn nat_addrs(i: &str) -> Res<'_, Range<IpAddr>> {
    // A leading colon is the port's, but `::1` is an address.
    if i.starts_with(':') && !i.starts_with("::") {
        return fail(i, ErrorKind::Tag);
    }
    let bracketed = |i| delimited(char('['), ip_range, char(']')).parse(i);
    alt((
        map_opt((bracketed, char('-'), bracketed), |(a, _, b)| {
            (Family::of(a.lo) == Family::of(b.hi)).then_some(Range { lo: a.lo, hi: b.hi })
        }),
        bracketed,
        ip_range,
    ))
    .parse(i)
}

/// A prefix length as the whole of a `connlimit` mask, which IPv4 may also give as an address.
pub(crate) fn prefix_len(text: &str, family: Family) -> Option<u8> {
    if let Some(len) = whole(uint::<u8>, text) {
        return (len <= family.bits()).then_some(len);
    }
    let addr = whole(ip, text)?;
    let masked = Masked { addr, mask: addr };
    masked.prefix_len().filter(|len| mask(family, *len) == addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_masks() {
        let table = [
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.0/255.255.0.0", Some("10.0.0.0/16")),
            ("10.0.0.0/255.0.255.0", Some("10.0.0.0/255.0.255.0")),
            ("fd00::/64", Some("fd00::/64")),
            ("fd00::/ffff::ffff", Some("fd00::/ffff::ffff")),
            ("::ffff:1.2.3.4", Some("::ffff:1.2.3.4/128")),
            ("10.0.0.0/33", None),
            ("10.0.0.256", None),
            ("10.0.0", None),
            ("10.0.0.1.2", None),
            ("10.0.0.0/ffff::", None),
            ("fd00::/129", None),
            ("a.b.c.d", None),
            ("", None),
        ];
        for (text, expected) in table {
            let got = whole(masked, text).map(|m| m.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn nat_ranges() {
        let addrs = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        let table = [
            ("10.0.0.1", addrs("10.0.0.1", "10.0.0.1"), None, None),
            (
                "10.0.0.1:80",
                addrs("10.0.0.1", "10.0.0.1"),
                Some((80, 80)),
                None,
            ),
            (
                "10.0.0.1-10.0.0.9:80-90/1000",
                addrs("10.0.0.1", "10.0.0.9"),
                Some((80, 90)),
                Some(1000),
            ),
            (":8080", None, Some((8080, 8080)), None),
            ("fd00::1", addrs("fd00::1", "fd00::1"), None, None),
            ("::1", addrs("::1", "::1"), None, None),
            (
                "[fd00::1]:80",
                addrs("fd00::1", "fd00::1"),
                Some((80, 80)),
                None,
            ),
            (
                "[fd00::1-fd00::9]:80-90",
                addrs("fd00::1", "fd00::9"),
                Some((80, 90)),
                None,
            ),
            (
                "[fd00::1]-[fd00::9]:80",
                addrs("fd00::1", "fd00::9"),
                Some((80, 80)),
                None,
            ),
        ];
        for (text, addrs, ports, base) in table {
            let got = whole(nat, text).unwrap_or_default();
            assert_eq!(
                got.addrs.map(|r| (r.lo.to_string(), r.hi.to_string())),
                addrs,
                "{text}"
            );
            assert_eq!(got.ports.map(|r| (r.lo, r.hi)), ports, "{text}");
            assert_eq!(got.base, base, "{text}");
        }
        for text in [
            "",
            ":",
            "10.0.0.1:",
            "10.0.0.1-fd00::1",
            "host:80",
            "[fd00::1:80",
            "10.0.0.1:90-80",
        ] {
            assert_eq!(whole(nat, text), None, "{text}");
        }
    }
}
