//! The text and the JSON of one rule set must be one set of records.

use nfwhy_parsers::nft::{self, Place, Stmt, TableFamily};
use std::collections::BTreeMap;

use super::super::sh;
use super::listing;

/// Where the two forms of the thread's rule set differ.
pub fn differences() -> Vec<String> {
    let text = listing::text(&sh::must(&["nft", "list", "ruleset"], ""));
    let json = listing::json(&sh::must(&["nft", "-j", "list", "ruleset"], ""));
    let a = records(&text, false);
    let b = records(&json, true);
    let mut out = Vec::new();
    for (key, left) in &a {
        match b.get(key) {
            None => out.push(format!("{key}: only in text: {left}")),
            Some(right) if left != right => {
                out.push(format!("{key}:\n   text {left}\n   json {right}"));
            }
            Some(_) => {}
        }
    }
    for (key, right) in &b {
        if !a.contains_key(key) {
            out.push(format!("{key}: only in JSON: {right}"));
        }
    }
    out
}

/// All records by name, without places, handles and counters.
fn records(source: &str, json: bool) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let parsed = if json {
        nft::json::index(source)
    } else {
        nft::text::index(source)
    };
    for d in &parsed.diagnostics {
        out.insert(format!("diagnostic {}", out.len()), format!("{d:?}"));
    }
    for t in &parsed.value.tables {
        let name = format!("{} {}", t.family.name(), t.name);
        // What iptables-nft made is taken from its own listing.
        if t.of_iptables
            || matches!(
                t.name.as_ref(),
                "filter" | "nat" | "mangle" | "raw" | "security"
            ) && t.family != TableFamily::Inet
        {
            continue;
        }
        out.insert(name.clone(), format!("{:?} {:?}", t.dormant, t.comment));
        for c in &t.chains {
            out.insert(
                format!("{name} chain {}", c.name),
                format!("{:?} {:?}", c.base, c.comment),
            );
            for (i, at) in c.rules.iter().enumerate() {
                let (mut rule, diagnostics) = if json {
                    nft::json::parse_rule(source, at.at, t.family)
                } else {
                    nft::text::parse_rule(source, at.at, t.family)
                };
                strip(&mut rule.stmts);
                let bad = reported(&diagnostics);
                out.insert(
                    format!("{name} {}:{}", c.name, i + 1),
                    format!("{rule:?}{bad}"),
                );
            }
        }
        for s in &t.sets {
            let mut bare = s.clone();
            bare.at = Place::default();
            bare.handle = None;
            bare.elements = None;
            out.insert(format!("{name} set {}", s.name), format!("{bare:?}"));
            let Some(at) = s.elements else { continue };
            let (elements, diagnostics) = if json {
                nft::json::elements(source, at, s, t.family)
            } else {
                nft::text::elements(source, at, s, t.family)
            };
            let mut lines: Vec<String> = elements
                .into_iter()
                .map(|mut e| {
                    strip(&mut e.stmts);
                    // Time goes on between the two listings.
                    e.expires = e.expires.map(|_| 0);
                    format!("{e:?}")
                })
                .collect();
            lines.sort();
            let bad = reported(&diagnostics);
            out.insert(
                format!("{name} elements {}", s.name),
                format!("{}{bad}", lines.join("\n")),
            );
        }
        for o in &t.objects {
            out.insert(format!("{name} {} {}", o.kind, o.name), String::new());
        }
    }
    out
}

/// That something is not understood; the two say so in words of their own.
fn reported(diagnostics: &[nfwhy_parsers::Diagnostic]) -> &'static str {
    if diagnostics.is_empty() {
        ""
    } else {
        " reported"
    }
}

fn strip(stmts: &mut [Stmt<'_>]) {
    for s in stmts {
        match s {
            Stmt::Counter(n) => *n = None,
            Stmt::Quota { used, .. } => *used = None,
            Stmt::Update(u) => strip(&mut u.stmts),
            _ => {}
        }
    }
}
