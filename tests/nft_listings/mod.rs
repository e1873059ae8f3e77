//! Two listings beside each other, as records.

mod known;

use crate::lab::{netns, sh};
use known::nft_errs;
use nfwhy_parsers::nft::expr::MapRef;
use nfwhy_parsers::nft::text::{elements, index, parse_rule};
use nfwhy_parsers::nft::{Expr, Place, Stmt};

/// Why nothing can be compared here.
pub fn obstacle() -> Option<String> {
    netns::obstacle().or_else(|| sh::missing(&[&["nft", "-v"]]))
}

/// What is in one of two listings alone, but for rules that nft is known to list otherwise than they are.
pub fn differences(want: &str, got: &str) -> Vec<String> {
    // What iptables-nft made is told by its own listing; nft words its extensions in many ways.
    let of_xt: Vec<String> = xt_tables(got);
    let (mut a, mut b) = (records(want, &of_xt), records(got, &of_xt));
    let wrong: Vec<String> = b
        .iter()
        .filter(|r| r.wrong)
        .map(|r| r.place.clone())
        .collect();
    a.retain(|r| !wrong.contains(&r.place));
    b.retain(|r| !wrong.contains(&r.place));
    let lines = |all: Vec<Record>| all.into_iter().map(|r| r.place + &r.text).collect();
    let (a, b): (Vec<String>, Vec<String>) = (lines(a), lines(b));
    let mut out = Vec::new();
    for line in &a {
        if !b.contains(line) {
            out.push(format!("nft:  {line}"));
        }
    }
    for line in &b {
        if !a.contains(line) {
            out.push(format!("live: {line}"));
        }
    }
    if out.is_empty() && a != b {
        out.push("the order differs".into());
    }
    out
}

/// Tables with extensions of iptables in them.
fn xt_tables(source: &str) -> Vec<String> {
    let mut name = "";
    let mut all = Vec::new();
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("table ") {
            name = rest.split(" {").next().unwrap_or(rest);
        } else if line.contains("xt match \"") || line.contains("xt target \"") {
            all.push(name.to_owned());
        }
    }
    all
}

/// What stands somewhere.
struct Record {
    /// Where: table, chain and handle of a rule.
    place: String,
    text: String,
    /// nft's listing of it is wrong.
    wrong: bool,
}

impl From<String> for Record {
    fn from(text: String) -> Self {
        Self {
            place: String::new(),
            text,
            wrong: false,
        }
    }
}

/// The records; rules and chains in their order.
fn records(source: &str, but: &[String]) -> Vec<Record> {
    let parsed = index(source);
    let mut out: Vec<Record> = parsed
        .diagnostics
        .iter()
        .map(|d| d.message.clone().into())
        .collect();
    for t in &parsed.value.tables {
        let name = format!("{} {}", t.family.name(), t.name);
        let mut inner: Vec<Record> = Vec::new();
        for c in &t.chains {
            inner.push(
                format!(
                    "{name} chain {} {:?} {:?} {:?}",
                    c.name, c.handle, c.base, c.comment
                )
                .into(),
            );
            for at in &c.rules {
                let (mut rule, diagnostics) = parse_rule(source, at.at, t.family);
                strip(&mut rule.stmts);
                let span = at.at.span;
                let text = source.get(span.start as usize..span.end as usize);
                let text = text.unwrap_or_default();
                let said: Vec<_> = diagnostics.iter().map(|d| &d.message).collect();
                let told = if said.is_empty() { "" } else { text };
                inner.push(Record {
                    place: format!("{name} {} {:?} ", c.name, at.handle),
                    wrong: nft_errs(&rule).is_some(),
                    text: format!("{rule:?} {said:?} {told}"),
                });
            }
        }
        for s in &t.sets {
            let mut bare = s.clone();
            bare.at = Place::default();
            bare.elements = None;
            inner.push(format!("{name} {bare:?}").into());
            let Some(at) = s.elements else { continue };
            let (all, diagnostics) = elements(source, at, s, t.family);
            let mut lines: Vec<String> = all
                .into_iter()
                .map(|mut e| {
                    strip(&mut e.stmts);
                    // Time goes on between the two listings.
                    e.expires = e.expires.map(|_| 0);
                    format!("{name} set {}: {e:?}", s.name)
                })
                .collect();
            lines.sort();
            inner.extend(lines.into_iter().map(Record::from));
            inner.extend(
                diagnostics
                    .iter()
                    .map(|d| Record::from(format!("{name} {}: {}", s.name, d.message))),
            );
        }
        for o in &t.objects {
            inner.push(format!("{name} {} {} {:?}", o.kind, o.name, o.handle).into());
        }
        if but.contains(&name) {
            continue;
        }
        out.push(format!("{name} {:?} {:?} {:?}", t.handle, t.dormant, t.comment).into());
        out.extend(inner);
    }
    out
}

/// Packets may pass between the two listings, and elements stand in any order.
fn strip(stmts: &mut [Stmt<'_>]) {
    for s in stmts {
        match s {
            Stmt::Counter(n) => *n = None,
            Stmt::Quota { used, .. } => *used = None,
            Stmt::Update(u) => {
                strip(&mut u.stmts);
                order(&mut u.key);
                u.data.iter_mut().for_each(order);
            }
            Stmt::Match { left, right, .. } => {
                order(left);
                order(right);
            }
            Stmt::Set { key, value } => {
                order(key);
                order(value);
            }
            Stmt::Vmap { key, map } => {
                order(key);
                order_map(map);
            }
            Stmt::Nat(nat) => {
                nat.addr.iter_mut().for_each(order);
                nat.port.iter_mut().for_each(order);
            }
            Stmt::Tproxy(addr, port) => {
                addr.iter_mut().for_each(order);
                port.iter_mut().for_each(order);
            }
            _ => {}
        }
    }
}

fn order(expr: &mut Expr<'_>) {
    match expr {
        Expr::Set(all) => all.sort_by_cached_key(|e| format!("{e:?}")),
        Expr::Concat(all) => all.iter_mut().for_each(order),
        Expr::Map { key, map } => {
            order(key);
            order_map(map);
        }
        Expr::Binary { left, right, .. } => {
            order(left);
            order(right);
        }
        Expr::Jhash { key, .. } => order(key),
        _ => {}
    }
}

fn order_map(map: &mut MapRef<'_>) {
    if let MapRef::Literal(all) = map {
        all.sort_by_cached_key(|e| format!("{e:?}"));
    }
}
