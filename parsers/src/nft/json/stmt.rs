//! Statements.

use super::context::Context;
use super::element::{Mapped, milliseconds};
use super::expr::{expr, map_ref, presence, relation, set_name};
use super::read::Value;
use super::{constant, nat, words};
use crate::common::{Span, Text};
use crate::nft::TableFamily;
use crate::nft::expr::{CtKey, RelOp};
use crate::nft::stmt::{Limit, Reject, Update, UpdateOp, Verdict};
use crate::nft::types::Type;
use crate::nft::typing::{beyond_prefix, settle_fib, types_of};
use crate::nft::{Expr, Place, Stmt};
use std::borrow::Cow;

/// A statement of a rule.
pub(super) fn stmt<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Stmt<'a> {
    // A statement that this nft has no JSON for stands there as text (`stmt_print_json`).
    if let Some(text) = v.str() {
        return printed(cx, v, text);
    }
    match v.tagged() {
        Some((kind, inner)) => named(cx, kind, inner, v.raw),
        None => Stmt::Opaque(cx.opaque(v, "no statement")),
    }
}

/// Text within JSON.
fn printed<'a>(cx: &mut Context<'a>, v: &Value<'a>, text: &Text<'a>) -> Stmt<'a> {
    // What has escapes does not stand there as it is.
    if matches!(text, Cow::Borrowed(_)) {
        let at = Place {
            span: Span::new(v.at + 1, v.at + 1 + text.len()),
            line: cx.line(v.at),
        };
        let (rule, diagnostics) = crate::nft::text::parse_rule(cx.source, at, cx.family);
        if let Ok([stmt]) = <[_; 1]>::try_from(rule.stmts) {
            cx.diagnostics.extend(diagnostics);
            return stmt;
        }
    }
    cx.opaque(v, "a statement that is not known");
    Stmt::Opaque(text.clone())
}

/// A statement `{"kind": inner}`; `raw` is what is kept of one that is not known.
pub(super) fn named<'a>(
    cx: &mut Context<'a>,
    kind: &str,
    inner: &Value<'a>,
    raw: &'a str,
) -> Stmt<'a> {
    let known = match kind {
        "match" => matching(cx, inner),
        "accept" | "drop" | "continue" | "break" | "return" | "jump" | "goto" => {
            verdict_of(kind, inner).map(Stmt::Verdict)
        }
        "vmap" => vmap(cx, inner),
        "counter" => counter(inner),
        "quota" => quota(inner),
        "limit" => limit(inner),
        "ct count" => connlimit(inner),
        "log" => words::log(inner).map(Stmt::Log),
        "mangle" => mangle(cx, inner),
        "dnat" | "snat" | "masquerade" | "redirect" => nat::nat(cx, kind, inner),
        "tproxy" => nat::tproxy(cx, inner),
        "notrack" => Some(Stmt::Notrack),
        "reject" => reject(cx.family, inner).map(Stmt::Reject),
        "queue" => words::queue(inner).map(Stmt::Queue),
        "set" => update(cx, inner, "set"),
        "map" => update(cx, inner, "map"),
        "flow" => inner
            .get_str("flowtable")
            .and_then(set_name)
            .map(Stmt::Flow),
        "ct helper" | "ct timeout" | "ct expectation" | "secmark" => {
            words::aside(kind, inner).map(Stmt::Aside)
        }
        // When something last came here.
        "last" => Some(Stmt::Aside(Cow::Borrowed("last"))),
        "reset" => words::reset(inner).map(Stmt::Aside),
        "xt" => xt(inner),
        "meter" => meter(cx, inner),
        "synproxy" => Some(match object(inner) {
            Some(name) => Stmt::Named(Cow::Borrowed("synproxy"), name),
            None => Stmt::Opaque(Cow::Borrowed(raw)),
        }),
        "tunnel" => object(inner).map(|name| Stmt::Named(Cow::Borrowed("tunnel"), name)),
        "fwd" | "dup" => Some(Stmt::Opaque(Cow::Borrowed(raw))),
        _ => None,
    };
    known.unwrap_or_else(|| {
        let message = format!(
            "a statement that is not known: {}",
            super::context::excerpt(raw)
        );
        cx.report(inner.span(), message);
        Stmt::Opaque(Cow::Borrowed(raw))
    })
}

fn matching<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Stmt<'a>> {
    let json = v.get("left")?;
    let mut left = expr(cx, json, &[]);
    let value = v.get("right")?;
    if value.bool().is_some() {
        presence(&mut left);
    }
    if let Expr::Ct { key, .. } = &mut left
        && cx.family == TableFamily::Inet
    {
        // Older rules ask for an address of either family; text names the one that it is compared with.
        let v4 = value.raw.contains('.');
        *key = match *key {
            CtKey::Saddr if v4 => CtKey::Saddr4,
            CtKey::Daddr if v4 => CtKey::Daddr4,
            CtKey::Saddr => CtKey::Saddr6,
            CtKey::Daddr => CtKey::Daddr6,
            other => other,
        };
    }
    let types = types_of(&left, cx.family);
    let mut right = expr(cx, value, &types);
    if let Some(("prefix", inner)) = value.tagged()
        && let [ty] = *types
        && let Some(addr) = inner.get("addr").and_then(|a| constant::number(a, ty))
    {
        beyond_prefix(&mut left, &mut right, addr, ty.bits());
    }
    settle_fib(&mut left, &right);
    let op = match v.get_str("op") {
        Some(op) => relation(op, &types, &right)?,
        None => RelOp::Eq,
    };
    Some(Stmt::Match { left, op, right })
}

/// A verdict as a map's value.
pub(super) fn verdict<'a>(v: &Value<'a>) -> Option<Verdict<'a>> {
    let (kind, inner) = v.tagged()?;
    verdict_of(kind, inner)
}

fn verdict_of<'a>(kind: &str, v: &Value<'a>) -> Option<Verdict<'a>> {
    let target = || v.get_str("target").cloned();
    Some(match kind {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        // Both end the rule.
        "continue" | "break" => Verdict::Continue,
        "return" => Verdict::Return,
        "queue" => Verdict::Queue,
        "jump" => Verdict::Jump(target()?),
        "goto" => Verdict::Goto(target()?),
        _ => return None,
    })
}

fn vmap<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Stmt<'a>> {
    let key = expr(cx, v.get("key")?, &[]);
    let map = map_ref(cx, v.get("data")?, &key, Mapped::Verdict)?;
    Some(Stmt::Vmap { key, map })
}

/// `counter`, or its name.
fn counter<'a>(v: &Value<'a>) -> Option<Stmt<'a>> {
    if words::is_empty(v) {
        return Some(Stmt::Counter(None));
    }
    match object(v) {
        Some(name) => Some(Stmt::Named(Cow::Borrowed("counter"), name)),
        None => Some(Stmt::Counter(Some((
            v.get("packets")?.u64()?,
            v.get("bytes")?.u64()?,
        )))),
    }
}

/// The name of an object, or the map that gives it, as text.
fn object<'a>(v: &Value<'a>) -> Option<Text<'a>> {
    match v.tagged() {
        Some(("map", _)) => Some(Cow::Borrowed(v.raw)),
        _ => v.str().cloned(),
    }
}

/// So many bytes of a unit (`get_rate`).
fn bytes(n: &Value<'_>, unit: Option<&Text<'_>>) -> Option<u64> {
    let factor = match unit.map(|u| &**u) {
        None | Some("bytes") => 1,
        Some("kbytes") => 1 << 10,
        Some("mbytes") => 1 << 20,
        Some(_) => return None,
    };
    n.u64()?.checked_mul(factor)
}

fn is_inverted(v: &Value<'_>) -> bool {
    v.get("inv").and_then(Value::bool).unwrap_or(false)
}

fn quota<'a>(v: &Value<'a>) -> Option<Stmt<'a>> {
    if let Some(name) = object(v) {
        return Some(Stmt::Named(Cow::Borrowed("quota"), name));
    }
    Some(Stmt::Quota {
        over: is_inverted(v),
        bytes: bytes(v.get("val")?, v.get_str("val_unit"))?,
        used: match v.get("used") {
            Some(used) => Some(bytes(used, v.get_str("used_unit"))?),
            None => None,
        },
    })
}

fn limit<'a>(v: &Value<'a>) -> Option<Stmt<'a>> {
    if let Some(name) = object(v) {
        return Some(Stmt::Named(Cow::Borrowed("limit"), name));
    }
    let unit = |key| v.get_str(key).filter(|u| **u != "packets");
    let is_bytes = unit("rate_unit").is_some();
    Some(Stmt::Limit(Limit {
        over: is_inverted(v),
        rate: bytes(v.get("rate")?, unit("rate_unit"))?,
        per: match &**v.get_str("per")? {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 86400,
            "week" => 604_800,
            _ => return None,
        },
        burst: match v.get("burst") {
            Some(burst) => bytes(burst, unit("burst_unit"))?,
            // What a rule without `burst` gets.
            None if is_bytes => 0,
            None => 5,
        },
        bytes: is_bytes,
    }))
}

fn connlimit<'a>(v: &Value<'a>) -> Option<Stmt<'a>> {
    Some(Stmt::Connlimit {
        over: is_inverted(v),
        count: v.get("val")?.u32()?,
    })
}

fn mangle<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Stmt<'a>> {
    let key = expr(cx, v.get("key")?, &[]);
    let types = types_of(&key, cx.family);
    let value = expr(cx, v.get("value")?, &types);
    Some(Stmt::Set { key, value })
}

fn reject(family: TableFamily, v: &Value<'_>) -> Option<Reject> {
    if words::is_empty(v) {
        return Some(Reject::Default);
    }
    let code = |ty: Type| {
        let code = v.get("expr")?;
        let n = match code.str() {
            Some(name) => ty.number(name)?,
            None => code.number()?,
        };
        u8::try_from(n).ok()
    };
    let reject = match &**v.get_str("type")? {
        "tcp reset" => Reject::TcpReset,
        "icmp" => Reject::Icmp(code(Type::IcmpCode)?),
        "icmpv6" => Reject::Icmpv6(code(Type::Icmp6Code)?),
        "icmpx" => Reject::Icmpx(code(Type::IcmpxCode)?),
        _ => return None,
    };
    Some(reject.normal(family))
}

fn update<'a>(cx: &mut Context<'a>, v: &Value<'a>, set: &str) -> Option<Stmt<'a>> {
    let op = match &**v.get_str("op")? {
        "add" => UpdateOp::Add,
        "update" => UpdateOp::Update,
        "delete" => UpdateOp::Delete,
        _ => return None,
    };
    let set = v.get_str(set).and_then(set_name)?;
    let elem = v.get("elem")?;
    let timeout = elem.get("elem").and_then(|e| e.get("timeout"));
    let key = expr(cx, elem, &[]);
    let data = v.get("data").map(|d| expr(cx, d, &[]));
    let stmts = v.get("stmt").map(Value::list).unwrap_or_default();
    Some(Stmt::Update(Box::new(Update {
        op,
        set,
        key,
        data,
        timeout: timeout.and_then(milliseconds),
        stmts: stmts.iter().map(|v| stmt(cx, v)).collect(),
    })))
}

/// `meter s size 10 { KEY timeout 1m STATEMENT }`.
fn meter<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Stmt<'a>> {
    let elem = v.get("key")?;
    let timeout = elem.get("elem").and_then(|e| e.get("timeout"));
    let timeout = timeout.and_then(milliseconds);
    let key = expr(cx, elem, &[]);
    let stmts = v.get("stmt").map(Value::list).unwrap_or_default();
    Some(Stmt::Update(Box::new(Update {
        // One that forgets refreshes what it knows (`netlink_gen_meter_stmt` in nftables `src/netlink_linearize.c`).
        op: match timeout {
            Some(_) => UpdateOp::Update,
            None => UpdateOp::Add,
        },
        set: v.get_str("name").cloned().unwrap_or_default(),
        key,
        data: None,
        timeout,
        stmts: stmts.iter().map(|v| stmt(cx, v)).collect(),
    })))
}

/// nft before 1.0.3 tells of an extension only that there is one.
fn xt<'a>(v: &Value<'a>) -> Option<Stmt<'a>> {
    Some(Stmt::Xt(
        v.get_str("type")?.clone(),
        v.get_str("name")?.clone(),
    ))
}
