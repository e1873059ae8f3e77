//! Elements of sets and maps, named and literal ones.

use super::datatype::{integer, of, parts};
use super::expr::{Ex, Kind};
use super::print::{Env, reads};
use super::read::{Data, Element, Set};
use super::value::{self, Reads};
use super::{stmt, userdata};
use nfwhy_parsers::nft::Type;
use std::fmt::Write as _;

/// `NFT_SET_*`.
pub(super) const ANONYMOUS: u32 = 1;
pub(super) const INTERVAL: u32 = 4;
pub(super) const MAP: u32 = 8;
const VERDICT: u32 = 0xffff_ff00;
const END: u32 = 1;

/// A part of a key or of a value: how it is read, and how many bytes it has. The last byte of its registers may be padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub reads: Reads,
    pub bytes: usize,
}

/// The parts of a key, by the expression that looks for it.
pub(super) fn of_expression(ex: &Ex<'_>) -> Vec<Part> {
    let part = |ex: &Ex<'_>| Part {
        reads: reads(ex),
        bytes: usize::try_from(ex.bits.div_ceil(8)).unwrap_or(0),
    };
    match &ex.kind {
        Kind::Concat(all) => all.iter().map(part).collect(),
        _ => vec![part(ex)],
    }
}

/// The parts of a key or value by nft's number of its type and its length in bytes.
pub(super) fn of_type(number: u32, len: u32, host: Option<bool>) -> Option<Vec<Part>> {
    let numbers = parts(number);
    let single = numbers.len() == 1;
    let mut all = Vec::new();
    for number in numbers {
        let (_, mut ty) = of(number)?;
        let mut bytes = ty.ty.bits().div_ceil(8);
        if ty.ty == Type::Ifname {
            bytes = 16;
        }
        if single {
            bytes = len;
        }
        if userdata::vague(ty.ty) {
            ty = integer(bytes.saturating_mul(8), host.unwrap_or(ty.host));
        }
        all.push(Part {
            reads: ty.into(),
            bytes: usize::try_from(bytes).ok()?,
        });
    }
    (!all.is_empty()).then_some(all)
}

/// Parts of a key in a set of intervals: numbers stand in the network's order, so that they can be compared (`netlink_gen_concat_key`
/// in nftables `src/netlink.c`).
pub(super) fn ordered(mut all: Vec<Part>) -> Vec<Part> {
    for part in &mut all {
        if part.reads.ty.ty != Type::Ifname {
            part.reads.ty.host = false;
        }
    }
    all
}

/// What a map gives.
#[derive(Clone, Debug)]
pub(super) enum Gives {
    Nothing,
    Verdict,
    Object,
    /// Values, or from which to which.
    Values(Vec<Part>, bool),
}

impl Gives {
    /// What this set maps to.
    pub fn of(set: &Set<'_>, env: &Env<'_>) -> Option<Self> {
        if set.object_type.is_some() {
            return Some(Self::Object);
        }
        if set.flags & MAP == 0 {
            return Some(Self::Nothing);
        }
        let number = set.data_type?;
        if number == VERDICT || number == 1 {
            return Some(Self::Verdict);
        }
        let interval = userdata::data_interval(set.userdata);
        if let Some(ex) = userdata::type_of(set.userdata, 4, env.v6()) {
            return Some(Self::Values(of_expression(&ex), interval));
        }
        let host = userdata::host_order(set.userdata, 1);
        let len = if interval {
            set.data_len / 2
        } else {
            set.data_len
        };
        Some(Self::Values(of_type(number, len, host)?, interval))
    }
}

/// `{ A, B : C }`.
pub(super) fn literal(out: &mut String, set: &Set<'_>, key: &[Part], env: &Env<'_>) -> Option<()> {
    out.push_str("{ ");
    list(out, set, key, &Gives::of(set, env)?, env, ", ")?;
    out.push_str(" }");
    Some(())
}

/// The elements, each behind the other.
pub(super) fn list(
    out: &mut String,
    set: &Set<'_>,
    key: &[Part],
    gives: &Gives,
    env: &Env<'_>,
    between: &str,
) -> Option<()> {
    let mut first = true;
    for (from, to, e) in spans(set) {
        if !first {
            out.push_str(between);
        }
        first = false;
        if e.flags & 2 != 0 {
            out.push('*');
        } else {
            parts_text(out, &from, to.as_deref(), key, env)?;
        }
        details(out, set, e, env)?;
        given(out, e, gives, env)?;
    }
    Some(())
}

type Span<'e, 'a> = (Vec<u8>, Option<Vec<u8>>, &'e Element<'a>);

/// The elements with the ends of their intervals, in order.
fn spans<'e, 'a>(set: &'e Set<'a>) -> Vec<Span<'e, 'a>> {
    let mut all: Vec<&Element<'_>> = set.elements.iter().collect();
    // Ends before beginnings at the same place.
    all.sort_by(|a, b| {
        let rank = |e: &Element<'_>| (e.flags & 2, e.flags & END == 0);
        (a.flags & 2, a.key, rank(a)).cmp(&(b.flags & 2, b.key, rank(b)))
    });
    let single = set.flags & INTERVAL != 0 && all.iter().all(|e| e.key_end.is_none());
    if !single {
        return all
            .into_iter()
            .map(|e| (e.key.to_vec(), e.key_end.map(<[u8]>::to_vec), e))
            .collect();
    }
    let mut out: Vec<Span<'_, '_>> = Vec::new();
    let mut began: Option<&Element<'_>> = None;
    for e in all {
        if let Some(b) = began.take() {
            let to = if e.flags & 2 == 0 {
                before(e.key)
            } else {
                vec![0xff; b.key.len()]
            };
            out.push((b.key.to_vec(), Some(to), b));
        }
        if e.flags & 2 != 0 {
            out.push((Vec::new(), None, e));
        } else if e.flags & END == 0 {
            began = Some(e);
        }
    }
    if let Some(b) = began {
        out.push((b.key.to_vec(), Some(vec![0xff; b.key.len()]), b));
    }
    out
}

/// One less.
fn before(key: &[u8]) -> Vec<u8> {
    let mut out = key.to_vec();
    for b in out.iter_mut().rev() {
        let (n, borrowed) = b.overflowing_sub(1);
        *b = n;
        if !borrowed {
            break;
        }
    }
    out
}

/// `A . B`, of bytes in registers.
pub(super) fn parts_text(
    out: &mut String,
    from: &[u8],
    to: Option<&[u8]>,
    parts: &[Part],
    env: &Env<'_>,
) -> Option<()> {
    let mut at = 0usize;
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push_str(" . ");
        }
        // What stands alone may be shorter than its register.
        let end = if parts.len() == 1 {
            from.len()
        } else {
            at.checked_add(part.bytes)?
        };
        let lo = from.get(at..end)?;
        match to {
            Some(to) => value::range(out, lo, to.get(at..end)?, part.reads, env.devices)?,
            // A comma would begin another element.
            None if part.reads.ty.ty.is_bitmask() => {
                let mut flags = String::new();
                value::one(&mut flags, lo, part.reads, env.devices)?;
                out.push_str(&flags.replace(',', " | "));
            }
            None => value::one(out, lo, part.reads, env.devices)?,
        }
        at = at.checked_add(part.bytes.checked_next_multiple_of(4)?)?;
    }
    Some(())
}

/// Behind the key: statements, timeout, comment.
fn details(out: &mut String, set: &Set<'_>, e: &Element<'_>, env: &Env<'_>) -> Option<()> {
    for expression in &e.expressions {
        out.push(' ');
        stmt::stateful(out, *expression, env)?;
    }
    match e.timeout {
        Some(0) => out.push_str(" timeout never"),
        Some(ms) if set.timeout != Some(ms) => {
            out.push_str(" timeout ");
            value::duration(out, ms);
        }
        _ => {}
    }
    if let Some(ms) = e.expiration {
        out.push_str(" expires ");
        value::duration(out, ms);
    }
    if let Some(text) = userdata::comment(e.userdata) {
        let _ = write!(out, " comment \"{text}\"");
    }
    Some(())
}

/// ` : VALUE`.
fn given(out: &mut String, e: &Element<'_>, gives: &Gives, env: &Env<'_>) -> Option<()> {
    if matches!(gives, Gives::Nothing) {
        return Some(());
    }
    out.push_str(" : ");
    match (gives, &e.data, &e.object) {
        (Gives::Verdict, Some(Data::Verdict { code, chain }), _) => {
            stmt::verdict(out, *code, chain.as_deref())
        }
        (Gives::Object, _, Some(name)) => {
            let _ = write!(out, "\"{name}\"");
            Some(())
        }
        (Gives::Values(parts, false), Some(Data::Value(v)), _) => {
            parts_text(out, v, None, parts, env)
        }
        (Gives::Values(parts, true), Some(Data::Value(v)), _) => {
            let (from, to) = v.split_at_checked(v.len() / 2)?;
            parts_text(out, from, Some(to), parts, env)?;
            // That it is a range is to be seen of each.
            let ty = parts.first().map(|p| p.reads.ty.ty);
            if from == to
                && parts.len() == 1
                && let Some(ty @ (Type::Ipv4Addr | Type::Ipv6Addr)) = ty
            {
                let _ = write!(out, "/{}", ty.bits());
            }
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_less() {
        assert_eq!(before(&[0, 1, 0]), vec![0, 0, 255]);
        assert_eq!(before(&[0]), vec![255]);
    }

    #[test]
    fn ends_close_what_began() {
        let element = |key: &'static [u8], flags| Element {
            key,
            flags,
            ..Element::default()
        };
        let set = Set {
            flags: INTERVAL,
            elements: vec![
                element(&[0, 90], END),
                element(&[0, 80], 0),
                element(&[0, 100], 0),
                element(&[0, 0], END),
            ],
            ..Set::default()
        };
        let found: Vec<_> = spans(&set).into_iter().map(|(a, b, _)| (a, b)).collect();
        assert_eq!(
            found,
            vec![
                (vec![0, 80], Some(vec![0, 89])),
                (vec![0, 100], Some(vec![255, 255])),
            ]
        );
    }
}
