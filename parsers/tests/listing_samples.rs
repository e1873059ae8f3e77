//! Listings and iptables-save text of the same rules, as iptables 1.8.9 printed them: every row gives the record that the save line
//! gives.

use nfwhy_parsers::iptables::{Form, Match, Rule, RuleLine, Target, listing, rule, save};
use nfwhy_parsers::{Family, Text};
use std::collections::BTreeMap;

/// The rules of each table and chain.
type Rules<'a> = BTreeMap<(String, String), Vec<Rule<'a>>>;

fn listed(text: &str) -> Rules<'_> {
    let set = listing::index(text).value;
    let Form::Listing(columns) = set.form else {
        panic!("index of a listing gave another form");
    };
    let family = set.family.expect("the command lines tell the family");
    let mut rules = Rules::new();
    for table in &set.tables {
        for chain in &table.chains {
            let key = (table.name.to_string(), chain.name.to_string());
            let read = |at: &RuleLine| listing::parse_listing_rule(text, *at, columns, family).0;
            let before = rules.insert(key, chain.rules.iter().map(read).collect());
            assert!(before.is_none(), "chain {} is there twice", chain.name);
        }
    }
    rules
}

fn saved(text: &str, family: Family) -> Rules<'_> {
    let mut rules = Rules::new();
    for table in &save::index(text).value.tables {
        for chain in &table.chains {
            let key = (table.name.to_string(), chain.name.to_string());
            let read = |at: &RuleLine| rule::parse_rule(text, *at, Form::Save, family).0;
            rules.insert(key, chain.rules.iter().map(read).collect());
        }
    }
    rules
}

/// What the sample as a whole does not show.
#[derive(Clone, Copy, Default)]
struct Lacks {
    /// Listed without `-v`.
    devices: bool,
    /// Listed without `-n`: groups have names.
    numbers: bool,
    /// iptables-nft 1.8.9 prints a rule with `eui64` as if it had no match.
    eui64: bool,
}

/// What no listing shows, made alike in both records.
fn without_what_listings_lack<'a>(rule: &Rule<'a>, lacks: Lacks) -> Rule<'a> {
    let mut rule = rule.clone();
    rule.at = RuleLine::default();
    rule.counters = None;
    if lacks.devices {
        rule.iif = None;
        rule.oif = None;
    }
    if lacks.eui64 {
        let eui64 = |m: &Match<'_>| matches!(m, Match::Opaque { name, .. } if name == "eui64");
        rule.matches.retain(|m| !eui64(m));
    }
    for m in &mut rule.matches {
        match m {
            Match::Owner(owner) if lacks.numbers => {
                owner.gid = None;
                owner.unresolved = None;
            }
            Match::Hashlimit(limit) => limit.name = Text::Borrowed(""),
            Match::Quota(quota) => quota.not = false,
            // The end of time is what the tool writes for "no end".
            Match::Time(text) => {
                let kept = text.replace("--datestop 2038-01-19T03:14:07", "");
                *text = kept.split_whitespace().collect::<Vec<_>>().join(" ").into();
            }
            Match::Opaque { name, args } => {
                let shown = match &**name {
                    // How many hops, and how it is logged.
                    "osf" => args.split(" --ttl").next().unwrap_or_default().to_owned(),
                    // Quotes.
                    "connlabel" => args.replace('"', ""),
                    // Names.
                    "ipv6header" => String::new(),
                    _ => args.to_string(),
                };
                *args = shown.into();
            }
            _ => {}
        }
    }
    if let Target::Opaque { args, .. } = &mut rule.target {
        *args = Text::Borrowed("");
    }
    rule
}

/// Compares all rules; gives how many differ only where listings lack something, all of them counted.
fn check(listing: &str, save: &str, lacks: Lacks) -> usize {
    let listed = listed(listing);
    let family = listing::index(listing).value.family;
    let saved = saved(save, family.expect("the family is known"));
    let chains = |rules: &Rules<'_>| rules.keys().cloned().collect::<Vec<_>>();
    assert_eq!(chains(&listed), chains(&saved));
    let mut differences = Vec::new();
    let mut compared = 0;
    for (key, rows) in &listed {
        let lines = &saved[key];
        assert_eq!(rows.len(), lines.len(), "rules of {key:?}");
        for (number, (row, line)) in (1..).zip(rows.iter().zip(lines)) {
            let (row, line) = (
                without_what_listings_lack(row, lacks),
                without_what_listings_lack(line, lacks),
            );
            compared += 1;
            if row != line {
                differences.push(format!(
                    "{key:?} rule {number}\n  listed {row:?}\n  saved  {line:?}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    compared
}

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("data/listing/", $name, ".txt"))
    };
}

const ALL: Lacks = Lacks {
    devices: false,
    numbers: false,
    eui64: false,
};

#[test]
fn legacy_verbose() {
    let compared = check(sample!("legacy4.nvL"), sample!("legacy4.save"), ALL);
    assert_eq!(compared, 295);
}

#[test]
fn legacy_ipv6_verbose() {
    let compared = check(sample!("legacy6.nvL"), sample!("legacy6.save"), ALL);
    assert_eq!(compared, 81);
}

#[test]
fn nft_verbose() {
    let compared = check(sample!("nft4.nvL"), sample!("nft4.save"), ALL);
    assert_eq!(compared, 294);
}

#[test]
fn nft_ipv6_verbose() {
    let lacks = Lacks { eui64: true, ..ALL };
    let compared = check(sample!("nft6.nvL"), sample!("nft6.save"), lacks);
    assert_eq!(compared, 81);
}

#[test]
fn line_numbers_without_devices() {
    let lacks = Lacks {
        devices: true,
        eui64: true,
        ..ALL
    };
    let compared = check(sample!("legacy4.nL"), sample!("legacy4.save"), lacks);
    assert_eq!(compared, 295);
    let compared = check(sample!("nft6.nL"), sample!("nft6.save"), lacks);
    assert_eq!(compared, 81);
}

#[test]
fn names_instead_of_numbers() {
    let lacks = Lacks {
        numbers: true,
        ..ALL
    };
    let compared = check(sample!("legacy4.vL"), sample!("legacy4.save"), lacks);
    assert_eq!(compared, 295);
    let compared = check(sample!("legacy6.vL"), sample!("legacy6.save"), lacks);
    assert_eq!(compared, 81);
}

#[test]
fn rare_options() {
    let compared = check(sample!("rare4.nvL"), sample!("rare4.save"), ALL);
    assert_eq!(compared, 72);
}

#[test]
fn rare_ipv6_options() {
    let compared = check(sample!("rare6.nvL"), sample!("rare6.save"), ALL);
    assert_eq!(compared, 22);
}
