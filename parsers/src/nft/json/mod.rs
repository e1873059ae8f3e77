//! `nft -j list ruleset` (libnftables-json(5)), as nft 1.0.2 to 1.1 prints it.
//!
//! [`index`] looks at what stands around rules and elements and passes these by; [`parse_rule`] and [`elements`] read them.
//! The records are those of the text form. What JSON does not say: milliseconds of timeouts; before nft 1.1 the comments of tables and
//! chains, the devices of netdev chains, how wide the integers of a set are, `flags dormant` (see `tables`).

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

use super::{Element, Place, Rule, Set, SetData, Stmt, TableFamily};
use crate::common::{Diagnostic, Span};
use context::Context;
use element::Mapped;
use read::{Cursor, Value};

/// Reads the rule that stands at `at`, as [`index`] found it.
///
/// One that is no JSON is a [`Stmt::Opaque`] as a whole.
pub fn parse_rule(source: &str, at: Place, family: TableFamily) -> (Rule<'_>, Vec<Diagnostic>) {
    let mut cx = Context::new(source, at, family);
    let mut rule = Rule {
        stmts: Vec::new(),
        comment: None,
    };
    match cursor(source, at).value() {
        Ok(v) => {
            rule.comment = cx.text(&v, "comment");
            let stmts = v.get("expr").map(Value::list).unwrap_or_default();
            rule.stmts = stmts.iter().map(|v| stmt::stmt(&mut cx, v)).collect();
        }
        Err(fault) => {
            cx.fault(fault);
            rule.stmts.push(Stmt::Opaque(at.span.of(source).into()));
        }
    }
    (rule, cx.diagnostics)
}

/// Reads the elements of `set`, which stand at `at`. One that is not understood is left out and reported.
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
    let mut elements = Vec::new();
    let mut add = |cursor: &mut Cursor<'a>| {
        let start = *cursor;
        match cursor.value() {
            Ok(v) => elements.extend(element::element(&mut cx, &v, &set.key, data)),
            Err(fault) => {
                // Where its brackets end, the next one starts.
                *cursor = start;
                cursor.skip()?;
                cx.fault(fault);
            }
        }
        Ok(())
    };
    let mut cursor = cursor(source, at);
    // nft writes a list of one without brackets, where it takes it as input.
    let read = match cursor.peek() {
        Some(b'[') => cursor.items(add),
        _ => add(&mut cursor),
    };
    if let Err(fault) = read {
        cx.fault(fault);
    }
    (elements, cx.diagnostics)
}

/// Reads what stands at a place; offsets are those of the source.
fn cursor(source: &str, at: Place) -> Cursor<'_> {
    let Span { start, end } = at.span;
    let before = source.get(..end as usize).unwrap_or(source);
    Cursor::new(before, start as usize)
}
