//! What a finding rests on.

use super::OwnerView;
use crate::explain::{Cause, names, owners};
use crate::node::{Node, Origin as Place};
use serde_json::{Map, Value, json};

pub(super) fn cause(node: &Node<'_>, c: &Cause) -> Value {
    let mut m = Map::new();
    let at = match c {
        Cause::Rule(h) => {
            m.insert("table".into(), json!(names::table(node, h.table)));
            m.insert("chain".into(), json!(names::chain(node, h.table, h.chain)));
            m.insert("rule".into(), json!(h.rule + 1));
            let t = node.netfilter.view(h.table);
            if let Some(handle) = t.and_then(|t| t.handle(h.chain, h.rule)) {
                m.insert("handle".into(), json!(handle));
            }
            names::place_of(node, *h)
        }
        Cause::Policy { table, chain } => {
            m.insert("table".into(), json!(names::table(node, *table)));
            m.insert("chain".into(), json!(names::chain(node, *table, *chain)));
            m.insert("policy".into(), json!("DROP"));
            let t = node.netfilter.view(*table);
            t.map_or_else(Place::default, |t| t.chain_origin(*chain))
        }
        Cause::Sysctl { name, value, at } => {
            m.insert("sysctl".into(), json!(name));
            m.insert("value".into(), json!(value));
            *at
        }
        Cause::Route { at } => {
            m.insert("route".into(), json!(line_text(node, *at)));
            *at
        }
        Cause::Set { name, at } => {
            m.insert("set".into(), json!(name));
            *at
        }
        Cause::Ipvs { at, .. } => {
            m.insert("ipvs".into(), json!(line_text(node, *at)));
            *at
        }
        Cause::Conntrack { at } => {
            m.insert("conntrack".into(), json!(line_text(node, *at)));
            *at
        }
        Cause::Object { name, at } => {
            m.insert("object".into(), json!(name));
            *at
        }
        Cause::Packet { at } => {
            m.insert("packet".into(), json!(line_text(node, *at)));
            *at
        }
        Cause::Map { at } => {
            m.insert("map".into(), json!(line_text(node, *at)));
            *at
        }
        Cause::Program { at } => {
            m.insert("program".into(), json!(line_text(node, *at)));
            *at
        }
    };
    if at.line > 0 {
        m.insert("file".into(), json!(node.file_name(at.file)));
        m.insert("line".into(), json!(at.line));
    }
    if let Some(claim) = owners::of_cause(node, c) {
        m.insert("owner".into(), json!(OwnerView::from(claim)));
    }
    Value::Object(m)
}

/// The line of an origin as captured.
pub fn line_text<'a>(node: &Node<'a>, at: Place) -> &'a str {
    if at.line == 0 {
        return "";
    }
    node.files
        .get(usize::from(at.file.0))
        .and_then(|f| f.text.lines().nth(at.line as usize - 1))
        .map_or("", str::trim)
}
