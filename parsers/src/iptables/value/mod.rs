//! Values of options: numbers, ports, addresses, marks, NAT ranges. Every parser takes what it understands from the front of
//! the text; [`whole`] demands all of it.

mod address;

use super::matches::{ByteMask, IcmpType};
use crate::common::{MarkMask, Range};
pub(crate) use address::{ip, ip_range, ipv4, ipv6, masked, nat, prefix_len};
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{map, map_opt, map_res, opt, verify};
use nom::error::{Error, ErrorKind};
use nom::multi::separated_list1;
use nom::sequence::preceded;
use nom::{Err, IResult, Parser};

type Res<'a, T> = IResult<&'a str, T>;

/// All of `text` by `parser`, or nothing.
#[inline]
pub(crate) fn whole<'a, T>(
    mut parser: impl Parser<&'a str, Output = T, Error = Error<&'a str>>,
    text: &'a str,
) -> Option<T> {
    match parser.parse(text) {
        Ok(("", value)) => Some(value),
        _ => None,
    }
}

fn fail<T>(i: &str, kind: ErrorKind) -> Res<'_, T> {
    Err(Err::Error(Error::new(i, kind)))
}

/// A number as `strtoul` with base 0 reads it, which is what xtables does (`xtables_strtoul`, libxtables/xtables.c):
/// decimal, `0x` hexadecimal or `0` octal.
#[inline]
pub(crate) fn number(i: &str) -> Res<'_, u64> {
    let (radix, digits) = match i.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, i.get(2..).unwrap_or_default()),
        [b'0', b'0'..=b'7', ..] => (8, i.get(1..).unwrap_or_default()),
        _ => (10, i),
    };
    let mut value = 0u64;
    let mut len = 0;
    for &byte in digits.as_bytes() {
        let Some(digit) = (byte as char).to_digit(radix) else {
            break;
        };
        let Some(next) = value
            .checked_mul(u64::from(radix))
            .and_then(|v| v.checked_add(u64::from(digit)))
        else {
            return fail(i, ErrorKind::TooLarge);
        };
        value = next;
        len += 1;
    }
    match digits.get(len..) {
        Some(rest) if len > 0 => Ok((rest, value)),
        _ => fail(i, ErrorKind::Digit),
    }
}

/// A number that fits `T`.
#[inline]
pub(crate) fn uint<T: TryFrom<u64>>(i: &str) -> Res<'_, T> {
    map_res(number, T::try_from).parse(i)
}

/// `lo`, `lo:hi`, `lo:` or `:hi`; one value must be written, and they must be in order.
pub(crate) fn range<'a, T: Copy + PartialOrd>(
    mut bound: impl FnMut(&'a str) -> Res<'a, T>,
    separator: char,
    lowest: T,
    highest: T,
) -> impl FnMut(&'a str) -> Res<'a, Range<T>> {
    move |i| {
        let (rest, lo) = match bound(i) {
            Ok((rest, lo)) => (rest, Some(lo)),
            Err(_) => (i, None),
        };
        let Ok((rest, _)) = char::<_, Error<&str>>(separator).parse(rest) else {
            return match lo {
                Some(lo) => Ok((rest, Range { lo, hi: lo })),
                None => fail(i, ErrorKind::Digit),
            };
        };
        let (rest, hi) = match bound(rest) {
            Ok((rest, hi)) => (rest, Some(hi)),
            Err(_) => (rest, None),
        };
        let (lo, hi) = match (lo, hi) {
            (None, None) => return fail(i, ErrorKind::Digit),
            (lo, hi) => (lo.unwrap_or(lowest), hi.unwrap_or(highest)),
        };
        if lo > hi {
            return fail(i, ErrorKind::Verify);
        }
        Ok((rest, Range { lo, hi }))
    }
}

/// Ports that `-n`-less hand-written rules name; iptables-save itself always prints numbers.
const SERVICES: &[(&str, u16)] = &[
    ("bgp", 179),
    ("bootpc", 68),
    ("bootps", 67),
    ("domain", 53),
    ("ftp", 21),
    ("ftp-data", 20),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap2", 143),
    ("imaps", 993),
    ("isakmp", 500),
    ("kerberos", 88),
    ("ldap", 389),
    ("ldaps", 636),
    ("mdns", 5353),
    ("mysql", 3306),
    ("nfs", 2049),
    ("ntp", 123),
    ("openvpn", 1194),
    ("pop3", 110),
    ("postgresql", 5432),
    ("smtp", 25),
    ("snmp", 161),
    ("ssh", 22),
    ("submission", 587),
    ("sunrpc", 111),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
];

/// A port by number or by one of the common service names.
#[inline]
pub(crate) fn port(i: &str) -> Res<'_, u16> {
    if i.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return uint(i);
    }
    map_opt(
        take_while1(|c: char| c.is_ascii_alphanumeric() || c == '-'),
        |name| {
            let found = SERVICES
                .binary_search_by(|(known, _)| known.cmp(&name))
                .ok()?;
            SERVICES.get(found).map(|(_, port)| *port)
        },
    )
    .parse(i)
}

/// `80`, `80:90`, `:90`, `1024:`.
#[inline]
pub(crate) fn ports(i: &str) -> Res<'_, Range<u16>> {
    range(port, ':', 0, u16::MAX)(i)
}

/// `80,443,8000:8999`, at most 15 slots of which a range takes two (`XT_MULTI_PORTS`, `parse_multi_ports` in `libxt_multiport.c`).
pub(crate) fn port_list(i: &str) -> Res<'_, Vec<Range<u16>>> {
    verify(separated_list1(char(','), ports), |list: &Vec<_>| {
        let slots = list
            .iter()
            .map(|r: &Range<u16>| if r.lo == r.hi { 1 } else { 2 });
        slots.sum::<usize>() <= 15
    })
    .parse(i)
}

/// `value` or `value/mask`; without a mask, all bits.
#[inline]
pub(crate) fn mark(i: &str) -> Res<'_, MarkMask> {
    map((uint, opt(preceded(char('/'), uint))), |(value, mask)| {
        MarkMask {
            value,
            mask: mask.unwrap_or(u32::MAX),
        }
    })
    .parse(i)
}

/// What `/etc/iproute2/group` calls the group 0 that every device is in at first.
pub(crate) const DEFAULT_GROUP: &str = "default";
/// What `/etc/iproute2/rt_realms` calls realm 0.
pub(crate) const COSMOS: &str = "cosmos";

/// As [`mark`], or the name that iproute2's own files give to 0, which is printed where these files are there.
pub(crate) fn named_mark(text: &str, zero: &str) -> Option<MarkMask> {
    if text == zero {
        return Some(MarkMask {
            value: 0,
            mask: u32::MAX,
        });
    }
    whole(mark, text)
}

/// `value` or `value/mask` of one byte; without a mask, all bits.
pub(crate) fn byte_mask(i: &str) -> Res<'_, ByteMask> {
    map((uint, opt(preceded(char('/'), uint))), |(value, mask)| {
        ByteMask {
            value,
            mask: mask.unwrap_or(u8::MAX),
        }
    })
    .parse(i)
}

/// `type` or `type/code`, by number.
pub(crate) fn icmp(i: &str) -> Res<'_, IcmpType> {
    map((uint, opt(preceded(char('/'), uint))), |(ty, code)| {
        IcmpType {
            ty: Some(ty),
            codes: code.map_or(Range { lo: 0, hi: 255 }, |code| Range {
                lo: code,
                hi: code,
            }),
        }
    })
    .parse(i)
}

/// `00:11:22:aa:bb:cc`.
pub(crate) fn mac(i: &str) -> Res<'_, [u8; 6]> {
    let byte = map_res(take_while1(|c: char| c.is_ascii_hexdigit()), |s: &str| {
        u8::from_str_radix(s, 16)
    });
    map_res(separated_list1(char(':'), byte), <[u8; 6]>::try_from).parse(i)
}

/// `lo` or `lo-hi`.
pub(crate) fn dashed_ports(i: &str) -> Res<'_, Range<u16>> {
    map_opt(
        (port_number, opt(preceded(char('-'), port_number))),
        |(lo, hi)| {
            let hi = hi.unwrap_or(lo);
            (lo <= hi).then_some(Range { lo, hi })
        },
    )
    .parse(i)
}

fn port_number(i: &str) -> Res<'_, u16> {
    uint(i)
}

/// `--probability` as the kernel keeps it: `lround(0x80000000 * p)` (`statistic_parse` in `libxt_statistic.c`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product lies in 0..=2^31"
)]
pub(crate) fn probability(text: &str) -> Option<u32> {
    let p: f64 = text.parse().ok()?;
    (0.0..=1.0)
        .contains(&p)
        .then(|| (f64::from(0x8000_0000u32) * p).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_sorted() {
        assert!(SERVICES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(whole(port, "domain"), Some(53));
        assert_eq!(whole(port, "nosuchservice"), None);
    }

    #[test]
    fn numbers_as_strtoul() {
        let table = [
            ("0", Some(0)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("10", Some(10)),
            ("0x", None),
            ("", None),
            ("-1", None),
            ("18446744073709551616", None),
            ("12a", None),
        ];
        for (text, expected) in table {
            assert_eq!(whole(number, text), expected, "{text}");
        }
    }

    #[test]
    fn port_ranges() {
        let table = [
            ("80", Some((80, 80))),
            ("80:90", Some((80, 90))),
            (":90", Some((0, 90))),
            ("1024:", Some((1024, 65535))),
            ("http:https", Some((80, 443))),
            ("90:80", None),
            (":", None),
            ("65536", None),
            ("80-90", None),
        ];
        for (text, expected) in table {
            let got = whole(ports, text).map(|r| (r.lo, r.hi));
            assert_eq!(got, expected, "{text}");
        }
        let full = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15";
        assert_eq!(whole(port_list, full).map(|l| l.len()), Some(15));
        assert_eq!(whole(port_list, &format!("{full},16")), None);
        assert_eq!(
            whole(port_list, "1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16"),
            None
        );
    }

    #[test]
    fn probabilities_as_the_kernel_keeps_them() {
        assert_eq!(probability("1.0"), Some(0x8000_0000));
        assert_eq!(probability("0.5"), Some(0x4000_0000));
        assert_eq!(probability("0.33333333349"), Some(715_827_883));
        assert_eq!(probability("0"), Some(0));
        for text in ["1.1", "-0.1", "nan", "x", ""] {
            assert_eq!(probability(text), None, "{text}");
        }
    }
}
