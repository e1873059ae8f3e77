//! Matches: what is compared, how, with what, and which of them others imply.

use super::elements::{self, Part};
use super::expr::{Ex, Kind, Needs, Op};
use super::lift::{Lift, Step};
use super::print::Env;
use super::protocols::{raw, run};
use super::read::Set;
use super::value::{self, Reads};
use super::words::{put, reads, set_text};
use nfwhy_parsers::nft::Type;
use nfwhy_parsers::nft::fields::Header;
use std::borrow::Cow;

/// `enum nft_cmp_ops`, and two for flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Any of the flags is set.
    Any,
    /// None of them is.
    None,
}

impl Cmp {
    pub fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Eq,
            1 => Self::Ne,
            2 => Self::Lt,
            3 => Self::Le,
            4 => Self::Gt,
            5 => Self::Ge,
            _ => return None,
        })
    }
}

/// The right side.
#[derive(Clone, Debug)]
pub(super) enum Right<'a> {
    Value(Cow<'a, [u8]>),
    Range(Cow<'a, [u8]>, Cow<'a, [u8]>),
    Set(&'a Set<'a>),
}

/// A match.
#[derive(Clone, Debug)]
pub(super) struct Match<'a> {
    pub left: Ex<'a>,
    pub op: Cmp,
    pub right: Right<'a>,
}

impl Match<'_> {
    /// In words.
    pub fn put(&self, out: &mut String, env: &Env<'_>) -> Option<()> {
        if let Some((flags, value, mask)) = self.flags() {
            put(out, flags, env)?;
            out.push_str(if self.op == Cmp::Ne { " != " } else { " " });
            value::one(out, value, reads(flags), env.devices)?;
            out.push_str(" / ");
            return value::one(out, mask, reads(flags), env.devices);
        }
        put(out, &self.left, env)?;
        let reads = reads(&self.left);
        let binary = matches!(inner(&self.left).kind, Kind::Binary(..));
        let single = matches!(self.right, Right::Value(_));
        let op = match self.op {
            Cmp::Eq if single && (binary || reads.ty.ty.is_bitmask()) => " == ",
            Cmp::Eq | Cmp::Any => " ",
            Cmp::Ne => " != ",
            Cmp::Lt => " < ",
            Cmp::Le => " <= ",
            Cmp::Gt => " > ",
            Cmp::Ge => " >= ",
            Cmp::None => " ! ",
        };
        out.push_str(op);
        match &self.right {
            Right::Set(set) => set_text(out, set, &self.left, env),
            Right::Range(from, to) => match &self.left.kind {
                Kind::Concat(_) => {
                    let parts = elements::ordered(elements::of_expression(&self.left));
                    elements::parts_text(out, from, Some(to), &parts, env)
                }
                _ => value::range(out, from, to, reads, env.devices),
            },
            Right::Value(v) => match &self.left.kind {
                Kind::Concat(_) => {
                    let parts: Vec<Part> = elements::of_expression(&self.left);
                    elements::parts_text(out, v, None, &parts, env)
                }
                _ if reads.ty.ty == Type::Ifname && v.last().is_some_and(|b| *b != 0) => {
                    value::begins(out, v)
                }
                _ if binary && (reads.ty.ty.is_bitmask() || number_like(reads)) => {
                    super::words::mask(out, v, reads, env)
                }
                _ => value::one(out, v, reads, env.devices),
            },
        }
    }
}

impl<'a> Match<'a> {
    /// Flags of which some are asked for and must be so: `tcp flags syn / syn,ack`.
    fn flags(&self) -> Option<(&Ex<'a>, &[u8], &[u8])> {
        let Kind::Binary(Op::And, flags, mask) = &self.left.kind else {
            return None;
        };
        let ty = flags.ty.ty;
        match &self.right {
            Right::Value(v)
                if matches!(self.op, Cmp::Eq | Cmp::Ne)
                    && ty.is_bitmask()
                    && ty != Type::CtLabel
                    && !matches!(flags.kind, Kind::Binary(..) | Kind::Swap(_)) =>
            {
                let mask = mask.bytes()?;
                // The words are for lists.
                let many = |bytes: &[u8]| bytes.iter().map(|b| b.count_ones()).sum::<u32>() > 1;
                many(mask).then_some((flags, &**v, mask))
            }
            _ => None,
        }
    }
}

fn number_like(reads: Reads) -> bool {
    matches!(reads.ty.ty, Type::Integer(_))
}

/// Without what turns its bytes around.
pub(super) fn inner<'e, 'a>(ex: &'e Ex<'a>) -> &'e Ex<'a> {
    match &ex.kind {
        Kind::Swap(inner) => inner,
        _ => ex,
    }
}

impl<'a> Lift<'a> {
    /// Adds a match.
    pub fn relate(&mut self, left: Ex<'a>, op: Cmp, right: Right<'a>) -> Option<()> {
        if let (Kind::Payload { base, offset }, Right::Value(v), Cmp::Eq | Cmp::Ne) =
            (&left.kind, &right, op)
        {
            let (base, offset, v) = (*base, *offset, v.clone());
            return self.expand(base, offset, op, &v, left);
        }
        if let Kind::Binary(Op::And, l, r) = &left.kind
            && let Some(mask) = r.bytes()
        {
            let (l, mask) = ((**l).clone(), mask.to_vec());
            if self.masked(&l, &mask, op, &right).is_some() {
                return Some(());
            }
        }
        let left = self.settle(left);
        if let Right::Value(v) = &right
            && left.ty.ty != Type::Ifname
            && let Some(missing) = left.bits.checked_sub(u32::try_from(v.len()).ok()? * 8)
            && missing >= 8
            && matches!(left.kind, Kind::Words(..) | Kind::Meta(..))
        {
            if !matches!(op, Cmp::Eq | Cmp::Ne) {
                return None;
            }
            let right = beginning(v, missing, left.bits)?;
            return self.push(left, op, right);
        }
        self.push(left, op, right)
    }

    /// A comparison of masked bits. `None` where nft has no shorter way to say it.
    fn masked(&mut self, left: &Ex<'a>, mask: &[u8], op: Cmp, right: &Right<'a>) -> Option<()> {
        let whole = match left.kind {
            Kind::Payload { base, offset } => self.named(base, offset, left.bits),
            _ => left.clone(),
        };
        let ty = whole.ty.ty;
        if let Right::Value(v) = right {
            let outside = v.iter().zip(mask).any(|(v, m)| v & !m != 0);
            if ty.is_bitmask()
                && matches!(op, Cmp::Eq | Cmp::Ne)
                && v.iter().all(|b| *b == 0)
                && mask.iter().any(|b| *b != 0)
            {
                self.imply(&whole);
                let op = if op == Cmp::Eq { Cmp::None } else { Cmp::Any };
                let right = Right::Value(mask.to_vec().into());
                return self.push(whole, op, right);
            }
            // The kernel compares all bits: with some outside of the mask it never holds, which no prefix says.
            if outside {
                return None;
            }
            let mut ordered = mask.to_vec();
            if whole.ty.host && cfg!(target_endian = "little") {
                ordered.reverse();
            }
            let none = mask.iter().all(|b| *b == 0);
            let prefix = none || run(&ordered).is_some_and(|(first, _)| first == 0);
            if matches!(ty, Type::Ipv4Addr | Type::Ipv6Addr | Type::Mark)
                && matches!(op, Cmp::Eq | Cmp::Ne)
                && prefix
                && !matches!(
                    whole.kind,
                    Kind::Raw { .. } | Kind::Swap(_) | Kind::Binary(..)
                )
            {
                self.imply(&whole);
                let to: Vec<u8> = v.iter().zip(mask).map(|(v, m)| v | !m).collect();
                return self.push(whole, op, Right::Range(v.clone(), to.into()));
            }
        }
        let field = self.picked(Op::And, left, mask)?;
        self.imply(&field);
        self.push(field, op, right.clone())
    }

    /// Bytes of the packet compared with others: one field, several, or the beginning of one.
    fn expand(&mut self, base: u8, offset: u32, op: Cmp, v: &[u8], left: Ex<'a>) -> Option<()> {
        let len = u32::try_from(v.len()).ok()?.checked_mul(8)?;
        let fields = self.protocols.expand(base, offset, len);
        // Of several fields, all must be as given; that not all are is no match of one field.
        let Some(fields) = fields.filter(|f| f.len() == 1 || op == Cmp::Eq) else {
            let left = match self.protocols.expand(base, offset, len) {
                Some(_) => raw(base, offset, len),
                None => self.settle(left),
            };
            return self.push(left, op, Right::Value(v.to_vec().into()));
        };
        let mut at = 0;
        for (field, bits) in fields {
            let ty = super::datatype::with_order(field.ty);
            let field = Ex::new(Kind::Field(field), ty, field.len);
            let value = slice(v, at, bits);
            at += bits;
            self.imply(&field);
            let missing = field.bits.checked_sub(bits)?;
            let right = if missing == 0 {
                Right::Value(value.into())
            } else {
                beginning(&value, missing, field.bits)?
            };
            self.push(field, op, right)?;
        }
        Some(())
    }

    /// Adds a match of settled parts, and learns from it.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it ends steps that may fail before"
    )]
    fn push(&mut self, left: Ex<'a>, op: Cmp, right: Right<'a>) -> Option<()> {
        if let Right::Value(hi) = &right
            && op == Cmp::Le
            && let Some(Step::Match(Match {
                left: before,
                op: Cmp::Ge,
                right: Right::Value(lo),
            })) = self.steps.last()
            && before.same(&left)
            && let Some(order) = order(&left, lo, hi)
            && order
        {
            let right = Right::Range(lo.clone(), hi.clone());
            self.steps.pop();
            let op = Cmp::Eq;
            self.steps.push(Step::Match(Match { left, op, right }));
            return Some(());
        }
        if op == Cmp::Eq
            && let Right::Value(v) = &right
        {
            self.learn(&left, v);
            if let Kind::Words(_, Needs::Connection(v6)) = left.kind {
                let network = if v6 { Header::Ip6 } else { Header::Ip };
                self.imply_network(network);
            }
        }
        self.steps.push(Step::Match(Match { left, op, right }));
        Some(())
    }
}

/// Whether one value is not above another.
fn order(left: &Ex<'_>, lo: &[u8], hi: &[u8]) -> Option<bool> {
    let host = reads(left).ty.host;
    Some(value::number(lo, host)? <= value::number(hi, host)?)
}

/// All values of so many bits that begin with these, with so many missing.
fn beginning<'a>(value: &[u8], missing: u32, bits: u32) -> Option<Right<'a>> {
    let from = value::number(value, false)?.checked_shl(missing)?;
    let to = from | 1u128.checked_shl(missing)?.wrapping_sub(1);
    Some(Right::Range(
        bytes(from, bits).into(),
        bytes(to, bits).into(),
    ))
}

/// So many bits from one on, as bytes whose last bit is the last one.
fn slice(v: &[u8], at: u32, len: u32) -> Vec<u8> {
    let bit = |i: u32| {
        let byte = usize::try_from(i / 8).ok().and_then(|at| v.get(at));
        byte.is_some_and(|b| b >> (7 - i % 8) & 1 == 1)
    };
    let mut n = 0u128;
    for i in at..at.saturating_add(len.min(128)) {
        n = n << 1 | u128::from(bit(i));
    }
    bytes(n, len)
}

/// A number as bytes, in network order.
fn bytes(n: u128, bits: u32) -> Vec<u8> {
    let len = usize::try_from(bits.div_ceil(8)).unwrap_or(16).min(16);
    let all = n.to_be_bytes();
    all.get(16 - len..).unwrap_or_default().to_vec()
}

/// A value that is what stands at a place of the packet, masked and with bits turned: mask and turned bits.
pub(super) fn affine(value: &Ex<'_>, base: u8, offset: u32) -> Option<(Vec<u8>, Vec<u8>)> {
    match &value.kind {
        Kind::Payload { base: b, offset: o } if (*b, *o) == (base, offset) => {
            let len = usize::try_from(value.bits / 8).ok()?;
            (len <= 64).then(|| (vec![0xff; len], vec![0; len]))
        }
        Kind::Binary(op, left, right) => {
            let (mut mask, mut xor) = affine(left, base, offset)?;
            for ((m, x), b) in mask.iter_mut().zip(&mut xor).zip(right.bytes()?) {
                match op {
                    Op::And => {
                        *m &= b;
                        *x &= b;
                    }
                    Op::Or => {
                        *m &= !b;
                        *x |= b;
                    }
                    Op::Xor => *x ^= b,
                    Op::Shl | Op::Shr => return None,
                }
            }
            Some((mask, xor))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_bytes() {
        assert_eq!(slice(&[0x45, 0xb8], 4, 4), vec![5]);
        assert_eq!(slice(&[0x45, 0xb8], 8, 6), vec![0x2e]);
        assert_eq!(slice(&[1, 2, 3, 4], 8, 16), vec![2, 3]);
        assert_eq!(slice(&[], 0, 8), vec![0]);
    }
}
