//! `nft -j list ruleset` (libnftables-json(5)), as nft 1.0.2 to 1.1 prints it.
//!
//! [`index`] looks at what stands around rules and elements and passes these by; [`parse_rule`] and [`elements`] read them.
//! The records are those of the text form. What JSON does not say: milliseconds of timeouts; before nft 1.1 the comments of tables and
//! chains, the devices of netdev chains, how wide the integers of a set are, `flags dormant` (see [`tables`]).

mod constant;
mod context;
mod element;
mod expr;
mod index;
mod nat;
mod read;
mod stmt;
mod tables;
mod words;

pub use index::index;

use super::{Element, Place, Rule, Set, SetData, TableFamily};
use crate::common::{Diagnostic, Span};
use context::Context;
use element::Mapped;
use read::{Cursor, Value};

/// Reads the rule that stands at `at`, as [`index`] found it.
pub fn parse_rule<'a>(
    source: &'a str,
    at: Place,
    family: TableFamily,
) -> (Rule<'a>, Vec<Diagnostic>) {
    let mut cx = Context::new(source, at, family);
    let mut rule = Rule {
        stmts: Vec::new(),
        comment: None,
    };
    if let Some(v) = value(&mut cx, at) {
        rule.comment = cx.text(&v, "comment");
        let stmts = v.get("expr").map(Value::list).unwrap_or_default();
        rule.stmts = stmts.iter().map(|v| stmt::stmt(&mut cx, v)).collect();
    }
    (rule, cx.diagnostics)
}

/// Reads the elements of `set`, which stand at `at`.
pub fn elements<'a>(
    source: &'a str,
    at: Place,
    set: &Set<'_>,
    family: TableFamily,
) -> (Vec<Element<'a>>, Vec<Diagnostic>) {
    let mut cx = Context::new(source, at, family);
    let data = match &set.data {
        None => Mapped::Nothing,
        Some(SetData::Verdict) => Mapped::Verdict,
        Some(SetData::Value(types)) => Mapped::Value(types),
        Some(SetData::Object(_)) => Mapped::Object,
    };
    let elements = match value(&mut cx, at) {
        Some(v) => element::elements(&mut cx, &v, &set.key, data),
        None => Vec::new(),
    };
    (elements, cx.diagnostics)
}

/// The value at a place, reported where it is none.
fn value<'a>(cx: &mut Context<'a>, at: Place) -> Option<Value<'a>> {
    let Span { start, end } = at.span;
    let source = cx.source.get(..end as usize)?;
    match Cursor::new(source, start as usize).value() {
        Ok(v) => Some(v),
        Err(fault) => {
            cx.fault(fault);
            None
        }
    }
}
