//! Expressions.

use super::constant::part;
use super::context::Context;
use super::element::{Mapped, elements};
use super::read::Value;
use super::words;
use crate::common::Text;
use crate::nft::TableFamily;
use crate::nft::expr::{
    BinOp, CT, Const, Expr, Fib, FibResult, META, MapRef, Part, RawBase, RelOp,
};
use crate::nft::fields;
use crate::nft::types::Type;
use crate::nft::typing::{type_of, types_of};
use std::borrow::Cow;

/// How many operands one list may have: they nest.
const OPERANDS: usize = 64;

/// An expression whose constants are of these types.
pub(super) fn expr<'a>(cx: &mut Context<'a>, v: &Value<'a>, types: &[Type]) -> Expr<'a> {
    let ty = types.first().copied().unwrap_or(Type::Invalid);
    if let Some(name) = v.str().and_then(set_name) {
        return Expr::SetRef(name);
    }
    let Some((kind, inner)) = v.tagged() else {
        return match part(v, ty) {
            Some(part) => Expr::Part(part),
            None => Expr::Opaque(cx.constant(v)),
        };
    };
    let known = match kind {
        "prefix" | "range" => part(v, ty).map(Expr::Part),
        "payload" => payload(inner),
        "meta" => meta(inner),
        "ct" => ct(inner, cx.family),
        "fib" => fib(inner),
        "rt" => words::rt(inner).map(Expr::Rt),
        "tcp option" => words::tcp_option(inner).map(Expr::TcpOption),
        "exthdr" | "ip option" | "sctp chunk" | "dccp option" => {
            words::exthdr(kind, inner).map(Expr::Exthdr)
        }
        "socket" | "osf" | "ipsec" | "tunnel" => words::other(kind, inner).map(Expr::Other),
        "numgen" => numgen(inner),
        "jhash" => jhash(cx, inner),
        "symhash" => symhash(inner),
        "concat" => Some(concat(cx, inner, types)),
        "set" => Some(Expr::Set(elements(cx, inner, types, Mapped::Nothing))),
        "map" => map(cx, inner, types),
        "&" | "|" | "^" | "<<" | ">>" => binary(cx, kind, inner, ty),
        // The key of a statement that changes a set.
        "elem" => inner.get("val").map(|v| expr(cx, v, types)),
        _ => None,
    };
    known.unwrap_or_else(|| Expr::Opaque(cx.opaque(v, "an expression that is not known")))
}

/// `@name`.
pub(super) fn set_name<'a>(s: &Text<'a>) -> Option<Text<'a>> {
    match s {
        Cow::Borrowed(s) => s.strip_prefix('@').map(Cow::Borrowed),
        Cow::Owned(s) => s.strip_prefix('@').map(|s| Cow::Owned(s.to_owned())),
    }
}

fn meta<'a>(v: &Value<'a>) -> Option<Expr<'a>> {
    let name = v.get_str("key")?;
    match META.iter().find(|(n, ..)| n == name) {
        Some((_, key, _)) => Some(Expr::Meta(*key)),
        // Of the bridge alone.
        None => matches!(&**name, "ibrpvid" | "ibrvproto" | "ibrhwaddr")
            .then(|| Expr::Other(Cow::Owned(format!("meta {name}")))),
    }
}

fn payload<'a>(v: &Value<'a>) -> Option<Expr<'a>> {
    if let Some(base) = v.get_str("base") {
        return Some(Expr::Raw {
            base: match &**base {
                "ll" => RawBase::Link,
                "nh" => RawBase::Network,
                "th" => RawBase::Transport,
                "ih" => RawBase::Inner,
                _ => return None,
            },
            offset: v.get("offset")?.u32()?,
            len: v.get("len")?.u32()?,
        });
    }
    let (header, field) = (v.get_str("protocol")?, v.get_str("field")?);
    if let Some(tunnel) = v.get_str("tunnel").filter(|t| *t != header) {
        return Some(Expr::Other(Cow::Owned(format!(
            "{tunnel} {header} {field}"
        ))));
    }
    match (fields::find(header, field), &**header) {
        (Some(field), _) => Some(Expr::Payload(field)),
        (None, "vxlan" | "geneve") => Some(Expr::Other(Cow::Owned(format!("{header} {field}")))),
        (None, _) => None,
    }
}

fn ct<'a>(v: &Value<'a>, family: TableFamily) -> Option<Expr<'a>> {
    let key = v.get_str("key")?;
    let (_, key, _) = CT.iter().find(|(n, ..)| n == key)?;
    let reply = match v.get_str("dir").map(|d| &**d) {
        None => None,
        Some("original") => Some(false),
        Some("reply") => Some(true),
        Some(_) => return None,
    };
    let key = key.normal(family);
    Some(Expr::Ct { reply, key })
}

fn fib<'a>(v: &Value<'a>) -> Option<Expr<'a>> {
    let mut fib = Fib {
        result: match &**v.get_str("result")? {
            "oif" => FibResult::Oif,
            "oifname" => FibResult::Oifname,
            "type" => FibResult::Type,
            "check" => FibResult::Check,
            _ => return None,
        },
        saddr: false,
        daddr: false,
        mark: false,
        iif: false,
        oif: false,
    };
    for flag in v.get("flags").map(Value::list).unwrap_or_default() {
        match &**flag.str()? {
            "saddr" => fib.saddr = true,
            "daddr" => fib.daddr = true,
            "mark" => fib.mark = true,
            "iif" => fib.iif = true,
            "oif" => fib.oif = true,
            _ => return None,
        }
    }
    Some(Expr::Fib(fib))
}

/// A number in a member; 0 where there is none.
fn or_zero(v: &Value<'_>, key: &str) -> Option<u32> {
    v.get(key).map_or(Some(0), Value::u32)
}

fn numgen<'a>(v: &Value<'a>) -> Option<Expr<'a>> {
    Some(Expr::Numgen {
        random: match &**v.get_str("mode")? {
            "random" => true,
            "inc" => false,
            _ => return None,
        },
        modulus: v.get("mod")?.u32()?,
        offset: or_zero(v, "offset")?,
    })
}

fn jhash<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Expr<'a>> {
    Some(Expr::Jhash {
        modulus: v.get("mod")?.u32()?,
        seed: v.get("seed").and_then(Value::u32),
        offset: or_zero(v, "offset")?,
        key: Box::new(expr(cx, v.get("expr")?, &[])),
    })
}

fn symhash<'a>(v: &Value<'a>) -> Option<Expr<'a>> {
    Some(Expr::Symhash {
        modulus: v.get("mod")?.u32()?,
        offset: or_zero(v, "offset")?,
    })
}

fn concat<'a>(cx: &mut Context<'a>, v: &Value<'a>, types: &[Type]) -> Expr<'a> {
    let types = types.iter().map(std::slice::from_ref);
    let types = types.chain(std::iter::repeat(&[][..]));
    let parts = v.list().iter().zip(types);
    Expr::Concat(parts.map(|(v, ty)| expr(cx, v, ty)).collect())
}

fn map<'a>(cx: &mut Context<'a>, v: &Value<'a>, types: &[Type]) -> Option<Expr<'a>> {
    let key = expr(cx, v.get("key")?, &[]);
    let map = map_ref(cx, v.get("data")?, &key, Mapped::Value(types))?;
    Some(Expr::Map {
        key: Box::new(key),
        map: Box::new(map),
    })
}

/// `@name`, or elements.
pub(super) fn map_ref<'a>(
    cx: &mut Context<'a>,
    v: &Value<'a>,
    key: &Expr<'a>,
    data: Mapped<'_>,
) -> Option<MapRef<'a>> {
    if let Some(name) = v.str().and_then(set_name) {
        return Some(MapRef::Named(name));
    }
    let (Some(("set", inner)), Some(_)) = (v.tagged(), v.get("set")) else {
        return None;
    };
    let types = types_of(key, cx.family);
    // How many values an element gives is told by the first one where the rule does not.
    let first = inner.list().first().and_then(|e| e.array()?.get(1));
    let width = match (data, first.and_then(Value::tagged)) {
        (Mapped::Value([_, ..]), _) | (_, None) => 1,
        (_, Some(("concat", c))) => c.list().len(),
        _ => 1,
    };
    let unknown = vec![Type::Invalid; width];
    let data = match data {
        Mapped::Value([]) => Mapped::Value(&unknown),
        data => data,
    };
    Some(MapRef::Literal(elements(cx, inner, &types, data)))
}

/// A list of operands; more than two stand for operations from the left.
fn binary<'a>(cx: &mut Context<'a>, op: &str, operands: &Value<'a>, ty: Type) -> Option<Expr<'a>> {
    let op = match op {
        "&" => BinOp::And,
        "|" => BinOp::Or,
        "^" => BinOp::Xor,
        "<<" => BinOp::Shl,
        _ => BinOp::Shr,
    };
    let operands = operands.array()?;
    if operands.len() > OPERANDS {
        return None;
    }
    let (first, rest) = operands.split_first().filter(|(_, r)| !r.is_empty())?;
    let mut left = expr(cx, first, &[ty]);
    // What is looked at tells the type of a mask.
    let ty = match type_of(&left, cx.family) {
        Type::Invalid => ty,
        known => known,
    };
    let ty = match op {
        BinOp::Shl | BinOp::Shr => Type::Integer(32),
        _ => ty,
    };
    for operand in rest {
        // `ip dscp | 0x40`: as wide as what it is written into.
        let wide = operand.number().is_some() && part(operand, ty).is_none();
        let ty = if wide { Type::Integer(128) } else { ty };
        let right = expr(cx, operand, &[ty]);
        left = join(op, left, right);
    }
    Some(left)
}

/// `left op right`; of two numbers, what comes out.
fn join<'a>(op: BinOp, left: Expr<'a>, right: Expr<'a>) -> Expr<'a> {
    let number = |e: &Expr<'_>| match e {
        Expr::Part(Part::One(Const::Num(n))) => Some(*n),
        _ => None,
    };
    if let (Some(a), Some(b)) = (number(&left), number(&right)) {
        let by = u32::try_from(b).unwrap_or(u32::MAX);
        let n = match op {
            BinOp::And => a & b,
            BinOp::Or => a | b,
            BinOp::Xor => a ^ b,
            BinOp::Shl => a.checked_shl(by).unwrap_or(0),
            BinOp::Shr => a.checked_shr(by).unwrap_or(0),
        };
        return Expr::Part(Part::One(Const::Num(n)));
    }
    Expr::Binary {
        op,
        left: Box::new(left),
        right: Box::new(right),
    }
}

/// The left side of a match whose right side is a truth value: an option without a name is printed as its first byte
/// (`exthdr_expr_json` in nftables `src/json.c`).
pub(super) fn presence(left: &mut Expr<'_>) {
    if let Expr::TcpOption(words) = left {
        let kind = words.strip_prefix('@').and_then(|w| w.strip_suffix(",0,8"));
        if let Some(kind) = kind.map(str::to_owned) {
            *words = Cow::Owned(kind);
        }
    }
}

/// An operator as JSON spells it.
pub(super) fn relation(op: &str, left: &[Type], right: &Expr<'_>) -> Option<RelOp> {
    Some(match op {
        "==" => RelOp::Eq,
        "!=" => RelOp::Ne,
        "<" => RelOp::Lt,
        "<=" => RelOp::Le,
        ">" => RelOp::Gt,
        ">=" => RelOp::Ge,
        "!" => RelOp::None,
        "in" => match (left, right) {
            (_, Expr::Set(_) | Expr::SetRef(_)) => RelOp::Eq,
            ([ty], _) if ty.is_bitmask() => RelOp::Any,
            _ => RelOp::Eq,
        },
        _ => return None,
    })
}
