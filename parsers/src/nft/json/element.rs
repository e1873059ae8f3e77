//! Elements of sets and maps.

use super::constant::part;
use super::context::Context;
use super::read::{Data, Value};
use super::stmt;
use crate::nft::types::Type;
use crate::nft::{Const, Element, ElementData, Part};

/// What is mapped to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mapped<'t> {
    /// It is a set.
    Nothing,
    Verdict,
    Value(&'t [Type]),
    Object,
}

/// The elements of an array, or a single one.
pub(super) fn elements<'a>(
    cx: &mut Context<'a>,
    v: &Value<'a>,
    key: &[Type],
    data: Mapped<'_>,
) -> Vec<Element<'a>> {
    v.list()
        .iter()
        .filter_map(|v| element(cx, v, key, data))
        .collect()
}

/// One element; `None`, and a report, where it is none.
pub(super) fn element<'a>(
    cx: &mut Context<'a>,
    v: &Value<'a>,
    types: &[Type],
    data: Mapped<'_>,
) -> Option<Element<'a>> {
    let (key, value) = match (data, v.array()) {
        (Mapped::Nothing, _) => (v, None),
        (_, Some([key, value])) => (key, Some(value)),
        _ => {
            cx.opaque(v, "an element of a map that is no pair");
            return None;
        }
    };
    let mut element = outer(cx, key, types)?;
    element.data = match value {
        None => None,
        Some(value) => Some(mapped(cx, value, data)?),
    };
    Some(element)
}

/// The key, and what is said of it: `{"elem": {"val": key, "timeout": ...}}`.
fn outer<'a>(cx: &mut Context<'a>, v: &Value<'a>, types: &[Type]) -> Option<Element<'a>> {
    let (val, inner) = match v.tagged() {
        Some(("elem", inner)) => (inner.get("val"), Some(inner)),
        _ => (Some(v), None),
    };
    let Some(val) = val else {
        cx.opaque(v, "an element without \"val\"");
        return None;
    };
    let mut element = Element {
        // What nothing else matches.
        key: match val.str() {
            Some(s) if s == "*" => Vec::new(),
            _ => parts(cx, val, types),
        },
        data: None,
        timeout: None,
        expires: None,
        comment: None,
        stmts: Vec::new(),
    };
    let Some(inner) = inner else {
        return Some(element);
    };
    element.timeout = inner.get("timeout").and_then(milliseconds);
    element.expires = inner.get("expires").and_then(milliseconds);
    element.comment = cx.text(inner, "comment");
    if let Data::Object(members) = &inner.data {
        for (key, value) in members {
            if !matches!(&**key, "val" | "timeout" | "expires" | "comment") {
                element.stmts.push(stmt::named(cx, key, value, value.raw));
            }
        }
    }
    Some(element)
}

/// Seconds as milliseconds.
pub(super) fn milliseconds(v: &Value<'_>) -> Option<u64> {
    v.u64()?.checked_mul(1000)
}

/// The components of a key, or of what a map maps to.
fn parts<'a>(cx: &mut Context<'a>, v: &Value<'a>, types: &[Type]) -> Vec<Part<'a>> {
    let one = std::slice::from_ref(v);
    let values = match v.tagged() {
        Some(("concat", inner)) => inner.list(),
        _ => one,
    };
    if values.len() != types.len() {
        let what = format!("{} components instead of {}", values.len(), types.len());
        cx.opaque(v, &what);
    }
    let types = types
        .iter()
        .copied()
        .chain(std::iter::repeat(Type::Invalid));
    let parts = values.iter().zip(types);
    parts.map(|(v, ty)| known(cx, v, ty)).collect()
}

/// A constant; its text, and a report, where it is not understood.
fn known<'a>(cx: &mut Context<'a>, v: &Value<'a>, ty: Type) -> Part<'a> {
    part(v, ty).unwrap_or_else(|| Part::One(Const::Text(cx.constant(v))))
}

fn mapped<'a>(cx: &mut Context<'a>, v: &Value<'a>, data: Mapped<'_>) -> Option<ElementData<'a>> {
    let (mapped, what) = match data {
        Mapped::Nothing => return None,
        Mapped::Value(types) => return Some(ElementData::Value(parts(cx, v, types))),
        Mapped::Verdict => (
            stmt::verdict(v).map(ElementData::Verdict),
            "a verdict that is not known",
        ),
        Mapped::Object => (
            v.str().cloned().map(ElementData::Object),
            "no name of an object",
        ),
    };
    if mapped.is_none() {
        cx.opaque(v, what);
    }
    mapped
}
