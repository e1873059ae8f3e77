//! Dumps and listings of iptables.

use super::{place, reports};
use nfwhy_parsers::iptables::{
    Form, ListingColumns, Match, Rule, RuleLine, Target, listing as l, rule, save as s,
};
use nfwhy_parsers::{Family, Span};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn whole(text: &str) -> RuleLine {
    RuleLine {
        span: Span::new(0, text.len()),
        line: 1,
    }
}

/// A rule that was read, printed, is the same rule, and prints the same.
#[track_caller]
fn comes_back(first: &Rule<'_>, family: Family) {
    let printed = first.display("X").family(family).counters().to_string();
    if first.broken.is_some() {
        return;
    }
    // It is printed last, where an option it kept may be one of a match before it.
    if matches!(first.target, Target::Opaque { .. }) {
        return;
    }
    // Old kernels took several ranges; the first is kept.
    if matches!(&first.target, Target::Dnat(nat) | Target::Snat(nat) if nat.more) {
        return;
    }
    let (mut again, _) = rule::parse_rule(&printed, whole(&printed), Form::Save, family);
    again.at = first.at;
    assert_eq!(&again, first, "printed {printed:?}");
    let twice = again.display("X").family(family).counters().to_string();
    assert_eq!(twice, printed);
}

fn rule_line(text: &str, at: RuleLine) {
    for family in FAMILIES {
        let (rule, diagnostics) = rule::parse_rule(text, at, Form::Save, family);
        assert!(rule.broken.is_none() || !diagnostics.is_empty());
        reports(text, &diagnostics);
        assert_eq!(rule.at, at);
        comes_back(&rule, family);
    }
}

pub fn save(text: &str) {
    let parsed = s::index_all(text);
    reports(text, &parsed.diagnostics);
    for table in parsed.value.iter().flat_map(|set| &set.tables) {
        for chain in &table.chains {
            for at in &chain.rules {
                place(text, at.line, at.span);
                rule_line(text, *at);
            }
        }
    }
    // The first one may have no header; it is part of all of them.
    let first = s::index(text);
    reports(text, &first.diagnostics);
    assert!(parsed.value.first().is_none_or(|set| *set == first.value));
    rule_line(text, whole(text));
}

const COLUMNS: [ListingColumns; 4] = [
    columns(false, false),
    columns(false, true),
    columns(true, false),
    columns(true, true),
];

const fn columns(numbers: bool, verbose: bool) -> ListingColumns {
    ListingColumns {
        numbers,
        verbose,
        ipv6: false,
    }
}

/// Whether a quote stands within a word. iptables-save writes names as they are, and what the listing's parser rebuilds is so too:
/// such a name does not read back.
fn quote_in_a_word(row: &str) -> bool {
    row.split_ascii_whitespace()
        .any(|word| word.trim_matches('"').contains('"'))
}

/// Reads the row for both families; `of` is the one it is of, if that is known.
fn row(text: &str, at: RuleLine, columns: ListingColumns, of: Option<Family>) {
    for family in FAMILIES {
        let (rule, diagnostics) = l::parse_listing_rule(text, at, columns, family);
        assert!(rule.broken.is_none() || !diagnostics.is_empty());
        reports(text, &diagnostics);
        assert_eq!(rule.at, at);
        // What is kept as a listing writes it is no text of iptables-save.
        let opaque = matches!(rule.target, Target::Opaque { .. })
            || rule
                .matches
                .iter()
                .any(|m| matches!(m, Match::Opaque { .. }));
        let plain = diagnostics.is_empty() && !opaque && !quote_in_a_word(at.span.of(text));
        if plain && of == Some(family) {
            comes_back(&rule, family);
        }
    }
}

pub fn listing(text: &str) {
    let parsed = l::index(text);
    reports(text, &parsed.diagnostics);
    let Form::Listing(columns) = parsed.value.form else {
        panic!("index of a listing gave another form");
    };
    for chain in parsed.value.tables.iter().flat_map(|t| &t.chains) {
        for at in &chain.rules {
            place(text, at.line, at.span);
            row(text, *at, columns, parsed.value.family);
        }
    }
    for columns in COLUMNS {
        row(text, whole(text), columns, None);
    }
}
