//! `nft -j list ruleset` as records.

use nfwhy_parsers::nft::{Element, Rule, Ruleset, json};
use nfwhy_parsers::{Diagnostic, Parsed};

/// A file, and everything in it read.
struct All<'a> {
    ruleset: Ruleset<'a>,
    /// Of each rule, in the order of tables and chains.
    rules: Vec<Rule<'a>>,
    /// Of each set that has some.
    elements: Vec<Vec<Element<'a>>>,
    diagnostics: Vec<Diagnostic>,
}

fn all(source: &str) -> All<'_> {
    let Parsed { value, diagnostics } = json::index(source);
    let mut all = All {
        ruleset: value,
        rules: Vec::new(),
        elements: Vec::new(),
        diagnostics,
    };
    for table in &all.ruleset.tables {
        for set in &table.sets {
            if let Some(at) = set.elements {
                let (elements, diagnostics) = json::elements(source, at, set, table.family);
                all.elements.push(elements);
                all.diagnostics.extend(diagnostics);
            }
        }
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            let (rule, diagnostics) = json::parse_rule(source, rule.at, table.family);
            all.rules.push(rule);
            all.diagnostics.extend(diagnostics);
        }
    }
    all
}

#[test]
fn kube_proxy() {
    for (source, chains, rules, elements) in [
        (
            include_str!("data/nft/json-kube-clusteripgeneral.json"),
            33,
            57,
            9,
        ),
        (
            include_str!("data/nft/json-kube-loadbalancer.json"),
            20,
            30,
            8,
        ),
        (
            include_str!("data/nft/json-kube-overallrules.json"),
            32,
            57,
            24,
        ),
    ] {
        let all = all(source);
        assert_eq!(all.diagnostics, []);
        let [table] = &*all.ruleset.tables else {
            panic!("{} tables", all.ruleset.tables.len());
        };
        let found = (
            table.chains.len(),
            all.rules.len(),
            all.elements.iter().map(Vec::len).sum::<usize>(),
        );
        assert_eq!(found, (chains, rules, elements));
    }
}
