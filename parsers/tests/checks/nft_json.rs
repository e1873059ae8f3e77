//! `nft -j list ruleset`.

use super::{place, reports};
use nfwhy_parsers::nft::{Place, Ruleset, Set, SetData, TableFamily, Type, json};
use nfwhy_parsers::{Parsed, Span};
use serde_json::Value;

pub fn nft_json(text: &str) {
    let Parsed { value, diagnostics } = json::index(text);
    reports(text, &diagnostics);
    // Finding the line of each place is work.
    let mut left = 64;
    let mut at = |p: Place| {
        if left > 0 {
            left -= 1;
            place(text, p.line, p.span);
            assert!(p.line > 0, "{p:?}");
        }
    };
    for table in &value.tables {
        at(table.at);
        table.objects.iter().for_each(|o| at(o.at));
        for set in &table.sets {
            at(set.at);
            assert!(!set.key.is_empty());
            if let Some(p) = set.elements {
                at(p);
                let (elements, diagnostics) = json::elements(text, p, set, table.family);
                reports(text, &diagnostics);
                assert!(elements.len() <= text.len());
            }
        }
        for chain in &table.chains {
            at(chain.at);
            for rule in &chain.rules {
                at(rule.at);
                let (_, diagnostics) = json::parse_rule(text, rule.at, table.family);
                reports(text, &diagnostics);
            }
        }
    }
    if diagnostics.is_empty() {
        complete(text, &value);
    }
    // A place that something else gave.
    let whole = Place {
        span: Span::new(0, text.len()),
        line: 1,
    };
    let (_, diagnostics) = json::parse_rule(text, whole, TableFamily::Inet);
    reports(text, &diagnostics);
    for data in [
        None,
        Some(SetData::Verdict),
        Some(SetData::Object("counter".into())),
        Some(SetData::Value(vec![Type::Ipv4Addr, Type::InetService])),
    ] {
        let set = Set {
            name: "s".into(),
            handle: None,
            comment: None,
            key: vec![Type::Ipv4Addr],
            data,
            interval: false,
            constant: false,
            timeout: None,
            size: None,
            at: whole,
            elements: Some(whole),
        };
        let (_, diagnostics) = json::elements(text, whole, &set, TableFamily::Ip);
        reports(text, &diagnostics);
    }
}

/// Without reports, whatever another parser finds is there.
fn complete(text: &str, found: &Ruleset<'_>) {
    let Ok(known) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let entries = known["nftables"].as_array().cloned().unwrap_or_default();
    let count = |kind: &str| entries.iter().filter(|e| e.get(kind).is_some()).count();
    let tables = &found.tables;
    assert_eq!(tables.len(), count("table"), "{text:?}");
    let chains: usize = tables.iter().map(|t| t.chains.len()).sum();
    assert_eq!(chains, count("chain"), "{text:?}");
    let rules = tables.iter().flat_map(|t| &t.chains).map(|c| c.rules.len());
    assert_eq!(rules.sum::<usize>(), count("rule"), "{text:?}");
}
