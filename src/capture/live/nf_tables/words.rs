//! Expressions in words.

use super::datatype::integer;
use super::elements::{self, ANONYMOUS, INTERVAL, Part};
use super::expr::{Ex, Kind, Op};
use super::print::Env;
use super::read::Set;
use super::value::{self, Reads};
use nfwhy_parsers::nft::Type;
use std::fmt::Write as _;

/// How constants beside an expression are read.
pub(super) fn reads(ex: &Ex<'_>) -> Reads {
    match &ex.kind {
        Kind::Swap(inner) => {
            let mut reads = reads(inner);
            reads.ty.host = !reads.ty.host;
            reads
        }
        Kind::Binary(_, left, _) => reads(left),
        Kind::Map(_, set) => {
            let known = elements::of_type(set.data_type.unwrap_or(0), set.data_len, None);
            let part = known.and_then(|p| p.first().copied());
            part.map_or(ex.ty.into(), |p: Part| p.reads)
        }
        _ => Reads {
            ty: ex.ty,
            shift: ex.shift,
        },
    }
}

/// The expression.
pub(super) fn put(out: &mut String, ex: &Ex<'_>, env: &Env<'_>) -> Option<()> {
    match &ex.kind {
        Kind::Const(bytes) => value::one(out, bytes, reads(ex), env.devices)?,
        Kind::Field(f) => {
            let _ = write!(out, "{} {}", f.names.0, f.names.1);
        }
        Kind::Payload { base, offset } => raw(out, *base, *offset, ex.bits)?,
        Kind::Raw { base, offset, len } => raw(out, *base, *offset, *len)?,
        Kind::Meta(_, name) => out.push_str(name),
        // Bytes of a header whose field no mask told.
        Kind::Words(text, _) if text.contains(" @") && text.starts_with("frag") => return None,
        Kind::Words(text, _) => out.push_str(text),
        Kind::Binary(op, left, right) => binary(out, *op, left, right, env)?,
        Kind::Swap(inner) => put(out, inner, env)?,
        Kind::Map(key, set) => {
            put(out, key, env)?;
            out.push_str(" map ");
            set_text(out, set, key, env)?;
        }
        Kind::Jhash(key, behind) => {
            out.push_str("jhash ");
            put(out, key, env)?;
            out.push_str(behind);
        }
        Kind::Concat(parts) => {
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    out.push_str(" . ");
                }
                put(out, part, env)?;
            }
        }
    }
    Some(())
}

fn raw(out: &mut String, base: u8, offset: u32, len: u32) -> Option<()> {
    let name = match base {
        0 => "ll",
        1 => "nh",
        2 => "th",
        3 => "ih",
        _ => return None,
    };
    let _ = write!(out, "@{name},{offset},{len}");
    Some(())
}

fn binary(out: &mut String, op: Op, left: &Ex<'_>, right: &Ex<'_>, env: &Env<'_>) -> Option<()> {
    let loose = |ex: &Ex<'_>| match ex.kind {
        Kind::Binary(inner, ..) => inner.binds() > op.binds(),
        _ => false,
    };
    operand(out, left, loose(left), env)?;
    let _ = write!(out, " {} ", op.sign());
    match &right.kind {
        Kind::Const(bytes) if matches!(op, Op::Shl | Op::Shr) => {
            value::one(out, bytes, integer(32, true).into(), env.devices)
        }
        Kind::Const(bytes) => mask(out, bytes, reads(left), env),
        _ => operand(out, right, matches!(right.kind, Kind::Binary(..)), env),
    }
}

fn operand(out: &mut String, ex: &Ex<'_>, parens: bool, env: &Env<'_>) -> Option<()> {
    if parens {
        out.push('(');
    }
    put(out, ex, env)?;
    if parens {
        out.push(')');
    }
    Some(())
}

/// A mask, or bits that are set: flags stand in parentheses, names of numbers make no sense.
pub(super) fn mask(out: &mut String, bytes: &[u8], reads: Reads, env: &Env<'_>) -> Option<()> {
    let ty = reads.ty.ty;
    if ty.is_bitmask() && ty != Type::CtLabel {
        let start = out.len();
        value::one(out, bytes, reads, env.devices)?;
        let text = out.split_off(start);
        if text.contains(',') {
            let _ = write!(out, "({})", text.replace(',', " | "));
        } else {
            out.push_str(&text);
        }
        return Some(());
    }
    match ty {
        Type::Ipv4Addr | Type::Ipv6Addr | Type::EtherAddr | Type::Mark => {
            value::one(out, bytes, reads, env.devices)
        }
        _ => {
            let n = value::number(bytes, reads.ty.host)?.checked_shr(reads.shift)?;
            let _ = write!(out, "0x{n:x}");
            Some(())
        }
    }
}

/// `@name` or `{ ... }`, looked into by a key.
pub(super) fn set_text(out: &mut String, set: &Set<'_>, key: &Ex<'_>, env: &Env<'_>) -> Option<()> {
    if set.flags & ANONYMOUS == 0 {
        let _ = write!(out, "@{}", set.name);
        return Some(());
    }
    let mut parts = elements::of_expression(key);
    if set.flags & INTERVAL != 0 {
        parts = elements::ordered(parts);
    }
    elements::literal(out, set, &parts, env)
}
