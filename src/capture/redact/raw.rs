//! Rules that compare raw bits: u32, BPF programs, strings, and nft's raw payload.
//!
//! What is compared with bits that no address has, or with those of an address that redaction never changes, holds no address and stays.
//! A word that is an IPv4 address, whole or under a mask of its first bits, is rewritten like any other. The rest may hold an address.

use super::names::Names;
use super::trie::stays;
use nfwhy_parsers::recognise::Kind;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

mod bpf;
mod payload;
mod u32;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What stands at a place of a line.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// The number at this place is an IPv4 address of which so many bits count.
    Address(Range<usize>, u32, u8),
    /// It may hold an address.
    Opaque,
}

/// Bits of the network header that hold what an address is changed in: `free` in `trie` leaves the first bits of an address as they are.
fn touches(family: Option<Family>, from: u64, to: u64) -> bool {
    let over = |a: u64, b: u64| from < b && a < to;
    let four = over(12 * 8 + 8, 16 * 8) || over(16 * 8 + 8, 20 * 8);
    let six = over(8 * 8 + 16, 24 * 8) || over(24 * 8 + 16, 40 * 8);
    // Behind the header, options and the headers of other packets.
    match family {
        Some(Family::V4) => four || to > 20 * 8,
        Some(Family::V6) => six || to > 40 * 8,
        None => four || six || to > 20 * 8,
    }
}

/// A word of the IPv4 header at this bit that is an address.
fn is_address(family: Option<Family>, from: u64) -> bool {
    family == Some(Family::V4) && matches!(from, 96 | 128)
}

/// How many bits count under a mask without gaps; `None` under others.
fn prefix(mask: u32) -> Option<u8> {
    let len = mask.leading_ones();
    (len == mask.count_ones())
        .then(|| u8::try_from(len).ok())
        .flatten()
}

/// A decimal or hexadecimal number.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Where the text stands behind `word`, up to the end of its quotes or else of the word. All such places.
fn quoted<'l>(line: &'l str, word: &'l str) -> impl Iterator<Item = Range<usize>> + 'l {
    line.match_indices(word).map(move |(at, _)| {
        let start = at + word.len();
        let rest = line.get(start..).unwrap_or("");
        if let Some(inner) = rest.strip_prefix('"') {
            let mut escaped = false;
            let end = inner.bytes().position(|b| {
                let here = escaped;
                escaped = !here && b == b'\\';
                b == b'"' && !here
            });
            start + 1..start + 1 + end.unwrap_or(inner.len())
        } else {
            let len = rest
                .find(|c: char| c.is_ascii_whitespace())
                .unwrap_or(rest.len());
            start..start + len
        }
    })
}

/// The protocol of a file's lines.
pub struct Within {
    kind: Kind,
    family: Option<Family>,
}

impl Within {
    /// At the beginning of a file.
    pub fn new(name: &str, kind: Kind, text: &str) -> Self {
        let head = text.lines().next().unwrap_or("");
        let says = |program: &str| name.contains(program) || head.contains(program);
        let family = match kind {
            Kind::IptablesSave if says("ip6tables") => Some(Family::V6),
            Kind::IptablesSave if says("iptables") => Some(Family::V4),
            _ => None,
        };
        Self { kind, family }
    }

    /// That of the next line.
    pub fn line(&mut self, line: &str) -> Option<Family> {
        if self.kind == Kind::Nft
            && let Some(table) = line.strip_prefix("table ")
        {
            self.family = match table.split(' ').next() {
                Some("ip") => Some(Family::V4),
                Some("ip6") => Some(Family::V6),
                _ => None,
            };
        }
        self.family
    }
}

/// What the raw bits of a line are.
fn parts(line: &str, kind: Kind, family: Option<Family>) -> Vec<(Vec<Part>, &'static str)> {
    let mut all = Vec::new();
    let text = |r: &Range<usize>| line.get(r.clone()).unwrap_or("");
    match kind {
        Kind::IptablesSave => {
            for r in quoted(line, "--u32 ") {
                let found = u32::parts(text(&r), r.start, family);
                all.push((
                    found,
                    "a test of raw words (u32), which may hold an address",
                ));
            }
            for r in quoted(line, "--bytecode ") {
                let found = bpf::parts(text(&r), r.start, family);
                all.push((found, "a BPF program, which may hold an address"));
            }
        }
        Kind::IptablesListing => {
            for (word, what) in [
                (
                    "u32 ",
                    "a test of raw words (u32), which may hold an address",
                ),
                ("match bpf ", "a BPF program, which may hold an address"),
            ] {
                if line.contains(word) {
                    all.push((vec![Part::Opaque], what));
                }
            }
        }
        Kind::Nft => all.extend(payload::parts(line, family)),
        _ => {}
    }
    all
}

/// What in a line may hold an address and is not rewritten, or is by chance the number of an address that occurs.
pub fn may_hold(
    line: &str,
    kind: Kind,
    family: Option<Family>,
    known: impl Fn(IpAddr) -> bool,
) -> Vec<&'static str> {
    let by_chance = |parts: &[Part]| {
        let rewritten = |n: u32| {
            parts
                .iter()
                .any(|p| matches!(p, Part::Address(_, bits, _) if *bits == n))
        };
        let words = line.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter_map(number).any(|n| {
            let ip = IpAddr::V4(Ipv4Addr::from_bits(n));
            !rewritten(n) && !stays(ip, None) && known(ip)
        })
    };
    let all = parts(line, kind, family).into_iter();
    all.filter(|(parts, _)| parts.contains(&Part::Opaque) || by_chance(parts))
        .map(|(_, what)| what)
        .collect()
}

/// Addresses among the raw bits of a line: where, and how many of their bits count where not all do.
pub fn found(
    line: &str,
    kind: Kind,
    family: Option<Family>,
) -> Vec<(Range<usize>, IpAddr, Option<u8>)> {
    let all = parts(line, kind, family).into_iter();
    // What cannot be rewritten whole is left whole.
    all.filter(|(parts, _)| !parts.contains(&Part::Opaque))
        .flat_map(|(parts, _)| parts)
        .filter_map(|p| match p {
            Part::Address(at, bits, len) => {
                let ip = IpAddr::V4(Ipv4Addr::from_bits(bits));
                Some((at, ip, Some(len).filter(|l| *l < 32)))
            }
            Part::Opaque => None,
        })
        .collect()
}

/// The line with those addresses replaced by their images, and what strings are searched for; `None` where there is none.
pub fn rewrite(
    line: &str,
    kind: Kind,
    images: &[(Range<usize>, IpAddr)],
    names: &Names,
) -> Option<String> {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (at, image) in images {
        let IpAddr::V4(new) = image else { continue };
        let new = new.to_bits();
        let text = match line.get(at.clone())?.strip_prefix("0x") {
            Some(hex) => format!("0x{new:0width$x}", width = hex.len()),
            None => new.to_string(),
        };
        edits.push((at.clone(), text));
    }
    if kind == Kind::IptablesSave {
        strings(line, names, &mut edits);
    }
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(at, _)| at.start);
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    for (at, text) in edits {
        out += line.get(done..at.start)?;
        out += &text;
        done = at.end;
    }
    out += line.get(done..)?;
    Some(out)
}

/// Strings that are searched for in payload: no answer rests on them, so others of their length take their place.
fn strings(line: &str, names: &Names, edits: &mut Vec<(Range<usize>, String)>) {
    for at in quoted(line, "--string ") {
        let old = line.get(at.clone()).unwrap_or("");
        // What is escaped cannot be told from its end.
        let new = names.digest(old);
        edits.push((at, new));
    }
    for at in quoted(line, "--hex-string ") {
        let old = line.get(at.clone()).unwrap_or("");
        let mut within = false;
        let drawn = names.digest_hex(old);
        let new = old.chars().zip(drawn.chars()).map(|(c, d)| {
            if c == '|' {
                within = !within;
                return c;
            }
            match c {
                ' ' if within => c,
                _ => d,
            }
        });
        edits.push((at, new.collect()));
    }
}

#[cfg(test)]
mod tests;
