//! Ranges of addresses, as one writes them.

use crate::explain::sources::{Class, Incoming, Kind, Span};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::bits;
use std::net::IpAddr;

/// The prefix that has exactly these addresses.
pub(super) fn prefix(first: IpAddr, last: IpAddr) -> Option<u8> {
    let width = u32::from(Family::of(first).bits());
    let (lo, hi) = (bits(first), bits(last));
    let host = lo ^ hi;
    let free = 128 - host.leading_zeros();
    let all = host == 1u128.checked_shl(free).map_or(u128::MAX, |b| b - 1);
    (all && lo & host == 0)
        .then(|| width.checked_sub(free).and_then(|n| u8::try_from(n).ok()))
        .flatten()
}

/// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1-10.0.0.7`.
pub(super) fn range(first: IpAddr, last: IpAddr) -> String {
    if first == last {
        return first.to_string();
    }
    match prefix(first, last) {
        Some(len) => format!("{first}/{len}"),
        None => format!("{first}-{last}"),
    }
}

/// Ranges, each with the class whose addresses alone are meant.
pub(super) type Ranges = Vec<(IpAddr, IpAddr, Option<usize>)>;

/// A kind's ranges, those that touch each other as one.
pub(super) fn joined(spans: &[Span]) -> Ranges {
    let mut out = Ranges::new();
    for s in spans {
        match out.last_mut() {
            Some((_, last, class))
                if *class == s.class && bits(*last).checked_add(1) == Some(bits(s.first)) =>
            {
                *last = s.last;
            }
            _ => out.push((s.first, s.last, s.class)),
        }
    }
    out
}

/// As [`range`], with the bits that tell its class: `10.0.0.0/8 (& 0.0.0.255 = 0.0.0.1)`.
pub(super) fn of_class(
    classes: &[Class],
    (a, b, class): (IpAddr, IpAddr, Option<usize>),
) -> String {
    let told = class.and_then(|c| classes.get(c)).map(|c| c.told_by(a));
    let bits: Vec<String> = told
        .unwrap_or_default()
        .iter()
        .map(|(mask, value, is)| format!("& {mask} {} {value}", if *is { "=" } else { "!=" }))
        .collect();
    if bits.is_empty() {
        range(a, b)
    } else {
        format!("{} ({})", range(a, b), bits.join(", "))
    }
}

/// As [`range`], those of a kind, without the others where they are many.
pub(super) fn listed(classes: &[Class], kind: &Kind, limit: usize) -> String {
    let all = joined(&kind.spans);
    let mut text: Vec<String> = all
        .iter()
        .take(if all.len() > limit + 1 {
            limit
        } else {
            all.len()
        })
        .map(|r| of_class(classes, *r))
        .collect();
    if all.len() > text.len() {
        text.push(format!("{} more ranges", all.len() - text.len()));
    }
    text.join(", ")
}

/// Where a kind comes in, each once, in the order of the ranges.
pub(super) fn incoming(spans: &[Span]) -> Vec<Incoming> {
    let mut out: Vec<Incoming> = Vec::new();
    for s in spans {
        if !out.contains(&s.from) {
            out.push(s.from);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first: &str, last: &str) -> String {
        let a = |t: &str| t.parse().expect("an address");
        range(a(first), a(last))
    }

    #[test]
    fn the_bits_of_a_class_stand_beside_its_range() {
        let a = |t: &str| t.parse().expect("an address");
        let test = crate::sim::BitTest {
            mask: 0xff,
            value: 1,
        };
        let classes = [true, false].map(|is| Class {
            tests: vec![(test, is)],
        });
        let text = |class| of_class(&classes, (a("10.0.0.0"), a("10.255.255.255"), class));
        assert_eq!(text(None), "10.0.0.0/8");
        assert_eq!(text(Some(0)), "10.0.0.0/8 (& 0.0.0.255 = 0.0.0.1)");
        assert_eq!(text(Some(1)), "10.0.0.0/8 (& 0.0.0.255 != 0.0.0.1)");
    }

    #[test]
    fn a_prefix_is_written_as_one() {
        assert_eq!(text("10.0.0.0", "10.255.255.255"), "10.0.0.0/8");
        assert_eq!(text("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
        assert_eq!(text("10.0.0.1", "10.0.0.1"), "10.0.0.1");
        assert_eq!(text("10.0.0.1", "10.0.0.2"), "10.0.0.1-10.0.0.2");
        assert_eq!(text("10.0.0.2", "10.0.0.3"), "10.0.0.2/31");
        assert_eq!(text("10.0.0.8", "10.0.0.10"), "10.0.0.8-10.0.0.10");
        assert_eq!(
            text("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            "::/0"
        );
        assert_eq!(
            text("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            "fe80::/10"
        );
    }
}
