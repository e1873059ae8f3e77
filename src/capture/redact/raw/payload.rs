//! nft's raw payload: `@nh,96,32`, and in JSON `{"base": "nh", "offset": 96, "len": 32}`.

use super::{Family, Part, is_address, number, touches};
use std::ops::Range;

const BASES: &[(&str, &str)] = &[
    (
        "nh",
        "raw bits of the network header, which may be an address",
    ),
    ("ll", "raw bits of the link header, which may be an address"),
    (
        "th",
        "raw bits of the transport header, which may be an address",
    ),
    ("ih", "raw bits of the payload, which may be an address"),
];

/// Two hardware addresses.
const LINK: u64 = 96;
/// Ports, or as little of another protocol.
const TRANSPORT: u64 = 64;

/// What the raw bits of a line are.
pub(super) fn parts(line: &str, family: Option<Family>) -> Vec<(Vec<Part>, &'static str)> {
    let mut out = Vec::new();
    for (base, what) in BASES {
        for (at, word) in line.match_indices(&format!("@{base},")) {
            let from = at + word.len();
            out.push((text(line, from, base, family), *what));
        }
    }
    for (at, key) in line.match_indices("\"base\": \"") {
        let rest = line.get(at + key.len()..).unwrap_or("");
        let base = rest.split('"').next().unwrap_or("");
        let what = BASES.iter().find(|(b, _)| *b == base);
        let what = what.map_or("raw bits of a header, which may be an address", |(_, w)| w);
        let object = rest.split('}').next().unwrap_or("");
        let value = |key: &str| -> Option<u64> {
            let (_, rest) = object.split_once(&format!("\"{key}\": "))?;
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
        };
        let plain = value("offset")
            .zip(value("len"))
            .is_some_and(|(from, len)| !holds(base, from, len, family));
        let parts = if plain {
            Vec::new()
        } else {
            vec![Part::Opaque]
        };
        out.push((parts, what));
    }
    out
}

/// Whether these bits may be of an address.
fn holds(base: &str, from: u64, len: u64, family: Option<Family>) -> bool {
    let Some(to) = from.checked_add(len) else {
        return true;
    };
    match base {
        "nh" => touches(family, from, to),
        "ll" => from < LINK,
        "th" => to > TRANSPORT,
        _ => true,
    }
}

fn text(line: &str, from: usize, base: &str, family: Option<Family>) -> Vec<Part> {
    let rest = line.get(from..).unwrap_or("");
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ','));
    let (place, tail) = rest
        .split_at_checked(end.unwrap_or(rest.len()))
        .unwrap_or((rest, ""));
    let read = place.split_once(',').and_then(|(a, b)| {
        let numbers: Option<(u64, u64)> = a.parse().ok().zip(b.trim_end_matches(',').parse().ok());
        numbers
    });
    let Some((bit, len)) = read else {
        return vec![Part::Opaque];
    };
    if !holds(base, bit, len, family) {
        return Vec::new();
    }
    let start = from + place.len();
    if base == "nh"
        && len == 32
        && is_address(family, bit)
        && let Some((at, bits)) = compared(tail, start)
    {
        return vec![Part::Address(at, bits, 32)];
    }
    vec![Part::Opaque]
}

/// The one number that is compared for equality, and where it stands.
fn compared(tail: &str, start: usize) -> Option<(Range<usize>, u32)> {
    let rest = tail.strip_prefix(' ')?;
    let ops = ["== ", "!= "];
    let value = ops
        .iter()
        .find_map(|op| rest.strip_prefix(op))
        .unwrap_or(rest);
    let at = start + (tail.len() - value.len());
    let end = value
        .find(|c: char| c.is_ascii_whitespace())
        .unwrap_or(value.len());
    let word = value.get(..end)?;
    let more = value.get(end..).unwrap_or("").trim_start();
    let part = more.starts_with(['-', '/', ',', '.', '|', '^', '&', '>', '<', ':']);
    (!part).then_some(())?;
    Some((at..at + end, number(word)?))
}
