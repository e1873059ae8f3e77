//! `dnat`, `snat`, `masquerade`, `redirect`, `tproxy`.

use super::context::Context;
use super::expr::expr;
use super::read::Value;
use crate::common::Family;
use crate::nft::expr::Expr;
use crate::nft::stmt::{Nat, NatKind, Stmt};
use crate::nft::types::Type;

pub(super) fn nat<'a>(cx: &mut Context<'a>, kind: &str, v: &Value<'a>) -> Option<Stmt<'a>> {
    let mut nat = Nat {
        kind: match kind {
            "dnat" => NatKind::Dnat,
            "snat" => NatKind::Snat,
            "masquerade" => NatKind::Masquerade,
            _ => NatKind::Redirect,
        },
        family: family(v)?,
        addr: None,
        port: None,
        random: false,
        fully_random: false,
        persistent: false,
        prefix: false,
    };
    for flag in v.get("flags").map(Value::list).unwrap_or_default() {
        match &**flag.str()? {
            "random" => nat.random = true,
            "fully-random" => nat.fully_random = true,
            "persistent" => nat.persistent = true,
            "netmap" => nat.prefix = true,
            _ => return None,
        }
    }
    for flag in v.get("type_flags").map(Value::list).unwrap_or_default() {
        match &**flag.str()? {
            "prefix" => nat.prefix = true,
            // nft 1.0.2: the map that is there gives address and port.
            "interval" | "concat" => {}
            _ => return None,
        }
    }
    nat.addr = v.get("addr").map(|a| addr(cx, a, nat.family));
    nat.port = v.get("port").map(|p| expr(cx, p, &[Type::InetService]));
    Some(Stmt::Nat(nat))
}

/// `ip` or `ip6`; `None` where it is neither.
#[expect(clippy::option_option, reason = "no family, and one that is not known")]
fn family(v: &Value<'_>) -> Option<Option<Family>> {
    match v.get("family").map(Value::str) {
        None => Some(None),
        Some(Some(f)) if f == "ip" => Some(Some(Family::V4)),
        Some(Some(f)) if f == "ip6" => Some(Some(Family::V6)),
        Some(_) => None,
    }
}

/// An address, or a map to addresses, or to addresses with ports.
fn addr<'a>(cx: &mut Context<'a>, v: &Value<'a>, family: Option<Family>) -> Expr<'a> {
    let literal = v.get("map").and_then(|m| m.get("data")?.get("set"));
    let first = literal.and_then(|s| s.list().first()?.array()?.get(1));
    let (one, with_port) = match first {
        Some(data) => match data.get("concat") {
            Some(c) => (c.list().first().unwrap_or(data), true),
            None => (data, false),
        },
        None => (v, false),
    };
    let ty = match family {
        Some(Family::V4) => Type::Ipv4Addr,
        Some(Family::V6) => Type::Ipv6Addr,
        None => cx.address_type(one),
    };
    if with_port {
        expr(cx, v, &[ty, Type::InetService])
    } else {
        expr(cx, v, &[ty])
    }
}

pub(super) fn tproxy<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Stmt<'a>> {
    let family = family(v)?;
    let address = v.get("addr").map(|a| addr(cx, a, family));
    let port = v.get("port").map(|p| expr(cx, p, &[Type::InetService]));
    Some(Stmt::Tproxy(address, port))
}
