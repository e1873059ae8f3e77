//! `-m u32`: words of a packet, shifted and masked, compared with numbers (`u32_match_it` in `net/netfilter/xt_u32.c`).

use super::{Family, Part, is_address, number, prefix, touches};

/// What the numbers of `text`, which stands at `start`, are.
pub(super) fn parts(text: &str, start: usize, family: Option<Family>) -> Vec<Part> {
    let mut out = Vec::new();
    let mut at = start;
    for test in text.split("&&") {
        out.extend(one(test, at, family).unwrap_or_else(|| vec![Part::Opaque]));
        at += test.len() + 2;
    }
    out
}

/// `LOCATION=VALUES`; `None` where it may hold an address.
fn one(test: &str, start: usize, family: Option<Family>) -> Option<Vec<Part>> {
    let (location, values) = test.split_once('=')?;
    let location: String = location.chars().filter(|c| *c != ' ').collect();
    if let Some((base, rest)) = location.rsplit_once('@') {
        // Behind the length of the IPv4 header stand ports, or as little of another protocol.
        let to_transport = ["0x0>>0x16&0x3c", "0>>22&0x3C", "0>>22&0x3c"].contains(&base);
        let (from, _) = word(rest)?;
        let known = family == Some(Family::V4) && to_transport && from <= 4;
        return known.then(Vec::new);
    }
    let (from, mask) = word(&location)?;
    let bit = u64::from(from) * 8;
    let touched = (0..32u32).any(|n| {
        let counts = mask >> (31 - n) & 1 == 1;
        let b = bit + u64::from(n);
        counts && touches(family, b, b + 1)
    });
    if !touched {
        return Some(Vec::new());
    }
    let len = prefix(mask).filter(|l| *l >= 8)?;
    if !is_address(family, bit) || location.contains(['<', '>']) {
        return None;
    }
    let mut parts = Vec::new();
    let mut at = start + test.find('=')? + 1;
    for value in values.split(',') {
        let bare = value.trim();
        let bits = number(bare)?;
        // What is set behind the mask never matches.
        if bits & !mask != 0 {
            return None;
        }
        let lead = value.len() - value.trim_start().len();
        parts.push(Part::Address(at + lead..at + lead + bare.len(), bits, len));
        at += value.len() + 1;
    }
    Some(parts)
}

/// Where a word is loaded, and which of its bits are left.
fn word(location: &str) -> Option<(u32, u32)> {
    let end = location.find(['&', '<', '>']).unwrap_or(location.len());
    let (from, mut rest) = location.split_at_checked(end)?;
    let from = number(from)?;
    // Bits of the word that are left, and how far they were shifted to the right, or to the left where below zero.
    let mut left = u32::MAX;
    let mut shifted = 0i64;
    while !rest.is_empty() {
        let (op, tail) = ["&", "<<", ">>"]
            .iter()
            .find_map(|op| Some((*op, rest.strip_prefix(op)?)))?;
        let end = tail.find(['&', '<', '>']).unwrap_or(tail.len());
        let (n, next) = tail.split_at_checked(end)?;
        let n = number(n)?;
        let moved = |bits: u32, by: i64| -> u32 {
            let by = u32::try_from(by.unsigned_abs()).unwrap_or(32);
            if by > 31 { 0 } else { bits << by }
        };
        match op {
            "&" if shifted >= 0 => left &= moved(n, shifted),
            "&" => left &= n.checked_shr(u32::try_from(-shifted).ok()?).unwrap_or(0),
            ">>" => {
                shifted = shifted.checked_add(i64::from(n.min(64)))?;
                if shifted > 0 {
                    left &= moved(u32::MAX, shifted);
                }
            }
            _ => {
                shifted = shifted.checked_sub(i64::from(n.min(64)))?;
                if shifted < 0 {
                    left &= u32::MAX
                        .checked_shr(u32::try_from(-shifted).ok()?)
                        .unwrap_or(0);
                }
            }
        }
        rest = next;
    }
    Some((from, left))
}
