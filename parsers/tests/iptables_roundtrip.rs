//! Lines that iptables 1.8.9 itself printed, parsed and printed again: they come back byte for byte.
//!
//! `data/iptables/{legacy,nft}{4,6}.txt` are what each backend saved of one list of rules, with every match, target and option
//! that the programs take; `forms*.txt` hold `given ==> saved` pairs.

use nfwhy_parsers::Family;
use nfwhy_parsers::Span;
use nfwhy_parsers::iptables::{Form, Match, Rule, RuleLine, Target, rule, save};

/// Every rule of the text, with its own line and its chain.
fn rules(text: &str) -> Vec<(Rule<'_>, &str, String)> {
    let mut all = Vec::new();
    for set in save::index_all(text).value {
        let family = set.family.expect("the family is known");
        for chain in set.tables.iter().flat_map(|table| &table.chains) {
            for at in &chain.rules {
                let (rule, _) = rule::parse_rule(text, *at, set.form, family);
                let printed = rule.display(&chain.name).family(family).counters();
                let printed = printed.to_string();
                all.push((rule, at.span.of(text), printed));
            }
        }
    }
    all
}

/// All rules come back, `count` of them, and only those named in `opaque` are opaque.
fn check(text: &str, count: usize, opaque: &[&str]) {
    assert_eq!(save::index_all(text).diagnostics, []);
    let rules = rules(text);
    assert_eq!(rules.len(), count);
    let mut names: Vec<String> = Vec::new();
    for (rule, line, printed) in &rules {
        assert_eq!(rule.broken, None, "{line}");
        assert_eq!(printed, line);
        for m in &rule.matches {
            if let Match::Opaque { name, .. } = m {
                names.push(name.to_string());
            }
        }
        if let Target::Opaque { name, .. } = &rule.target {
            names.push(name.to_string());
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names, opaque);
}

const OPAQUE4: &[&str] = &[
    "HMARK",
    "cgroup",
    "cluster",
    "connbytes",
    "connlabel",
    "ecn",
    "ipcomp",
    "osf",
    "tcpmss",
];
const OPAQUE6: &[&str] = &[
    "ah",
    "dst",
    "eui64",
    "frag",
    "hbh",
    "ipv6header",
    "mh",
    "rt",
];

#[test]
fn legacy_ipv4() {
    check(include_str!("data/iptables/legacy4.txt"), 359, OPAQUE4);
}

#[test]
fn nft_ipv4() {
    check(include_str!("data/iptables/nft4.txt"), 349, OPAQUE4);
}

#[test]
fn legacy_ipv6() {
    check(include_str!("data/iptables/legacy6.txt"), 79, OPAQUE6);
}

#[test]
fn nft_ipv6() {
    check(include_str!("data/iptables/nft6.txt"), 79, OPAQUE6);
}

#[test]
fn counters_line_feeds_and_two_programs() {
    check(include_str!("data/iptables/two-programs.txt"), 5, &[]);
}

#[test]
fn list_rules_prints_counters_within_the_line() {
    let text = include_str!("data/iptables/list-rules-v.txt");
    let rules = rules(text);
    assert_eq!(rules.len(), 284);
    for (rule, line, _) in &rules {
        assert_eq!(rule.counters, Some((0, 0)), "{line}");
        let chain = line.split(' ').nth(1).expect("a chain");
        let printed = rule.display(chain).to_string();
        assert_eq!(printed, line.replacen(" -c 0 0", "", 1));
    }
}

/// What was given comes out as what iptables-save made of it.
fn check_forms(text: &str, family: Family, count: usize) {
    let mut seen = 0;
    for pair in text.lines() {
        let (given, saved) = pair.split_once(" ==> ").expect("given ==> saved");
        let at = RuleLine {
            span: Span::new(0, given.len()),
            line: 1,
        };
        let (rule, diagnostics) = rule::parse_rule(given, at, Form::Save, family);
        assert_eq!(diagnostics, [], "{given}");
        let printed = rule.display("X").family(family).to_string();
        assert_eq!(printed, format!("-A X {saved}"), "{given}");
        seen += 1;
    }
    assert_eq!(seen, count);
}

#[test]
fn other_forms_come_out_canonical() {
    check_forms(include_str!("data/iptables/forms4.txt"), Family::V4, 71);
}

#[test]
fn other_ipv6_forms_come_out_canonical() {
    check_forms(include_str!("data/iptables/forms6.txt"), Family::V6, 21);
}
