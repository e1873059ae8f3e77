//! Chains, tables and what stands between them in listings as people paste them.

use nfwhy_parsers::iptables::{Backend, Form, ListingColumns, Policy, RuleSet, listing};
use nfwhy_parsers::{Family, Parsed};

const TITLES: &str =
    " pkts bytes target     prot opt in     out     source               destination         \n";
const ROW: &str =
    "    1    60 ACCEPT     all  --  *      *       0.0.0.0/0            192.0.2.1           \n";

/// Each table as `name: CHAIN=rules ...`.
fn shape(set: &RuleSet<'_>) -> Vec<String> {
    set.tables
        .iter()
        .map(|table| {
            let chains: Vec<String> = table
                .chains
                .iter()
                .map(|chain| format!("{}={}", chain.name, chain.rules.len()))
                .collect();
            format!("{}: {}", table.name, chains.join(" "))
        })
        .collect()
}

fn messages<T>(parsed: &Parsed<T>) -> Vec<String> {
    parsed
        .diagnostics
        .iter()
        .map(|d| format!("{}: {}", d.line, d.message))
        .collect()
}

#[test]
fn chains_policies_and_counters() {
    let text = format!(
        "Chain INPUT (policy DROP 12K packets, 3456M bytes)\n{TITLES}{ROW}{ROW}\nChain blue (2 references)\n{TITLES}"
    );
    let parsed = listing::index(&text);
    assert_eq!(messages(&parsed), [""; 0]);
    let set = parsed.value;
    assert_eq!(shape(&set), [": INPUT=2 blue=0"]);
    let chains = &set.tables[0].chains;
    assert_eq!(chains[0].policy, Some(Policy::Drop));
    assert_eq!(chains[0].counters, Some((12_000, 3_456_000_000)));
    assert_eq!(chains[0].line, 1);
    assert!(chains[0].declared && set.tables[0].committed);
    assert_eq!(chains[1].policy, None);
    assert_eq!(chains[1].counters, None);
    assert_eq!(chains[1].line, 6);
    assert_eq!(chains[0].rules[1].line, 4);
    assert_eq!(format!("{}\n", chains[0].rules[1].span.of(&text)), ROW);
    assert_eq!(set.family, Some(Family::V4));
    assert_eq!(set.backend, None);
    let columns = ListingColumns {
        verbose: true,
        ..ListingColumns::default()
    };
    assert_eq!(set.form, Form::Listing(columns));
}

#[test]
fn ipv6_is_told_by_the_addresses() {
    let text = "Chain INPUT (policy ACCEPT)\nnum  target     prot opt source               destination\n1    ACCEPT     tcp      fd00::/8             ::/0                 tcp dpt:22\n";
    let parsed = listing::index(text);
    assert_eq!(
        messages(&parsed),
        ["2: interfaces are not shown without -v"]
    );
    assert_eq!(parsed.value.family, Some(Family::V6));
    let columns = ListingColumns {
        numbers: true,
        verbose: false,
        ipv6: true,
    };
    assert_eq!(parsed.value.form, Form::Listing(columns));
    assert_eq!(shape(&parsed.value), [": INPUT=1"]);
}

#[test]
fn commands_name_tables() {
    let text = format!(
        "root@node-1:~# iptables-legacy -t nat -nvL\nChain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}{ROW}\n\
         root@node-1:~# sudo iptables -nvL --line-numbers -t mangle\nChain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}\n\
         $ iptables -L -n -v\nChain INPUT (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}\n\
         $ iptables -t nat -nvL KUBE-SERVICES\nChain KUBE-SERVICES (2 references)\n{TITLES}{ROW}"
    );
    let parsed = listing::index(&text);
    assert_eq!(messages(&parsed), [""; 0]);
    assert_eq!(
        shape(&parsed.value),
        [
            "nat: PREROUTING=1 KUBE-SERVICES=1",
            "mangle: PREROUTING=0",
            "filter: INPUT=0"
        ]
    );
    assert_eq!(parsed.value.backend, Some(Backend::Legacy));
}

#[test]
fn tables_without_names_are_told_apart() {
    let heading = |name: &str, built_in: bool| {
        let about = if built_in {
            "policy ACCEPT 0 packets, 0 bytes"
        } else {
            "1 references"
        };
        format!("Chain {name} ({about})\n{TITLES}\n")
    };
    // filter, then nat: no name comes twice before OUTPUT.
    let text = [
        ("INPUT", true),
        ("FORWARD", true),
        ("OUTPUT", true),
        ("PREROUTING", true),
        ("OUTPUT", true),
        ("POSTROUTING", true),
        ("KUBE-SERVICES", false),
        ("PREROUTING", true),
        ("KUBE-SERVICES", false),
        ("KUBE-SERVICES", false),
    ]
    .map(|(name, built_in)| heading(name, built_in))
    .concat();
    assert_eq!(
        shape(&listing::index(&text).value),
        [
            ": INPUT=0 FORWARD=0 OUTPUT=0",
            ": PREROUTING=0 OUTPUT=0 POSTROUTING=0 KUBE-SERVICES=0",
            ": PREROUTING=0 KUBE-SERVICES=0",
            ": KUBE-SERVICES=0"
        ]
    );
}

#[test]
fn cuts_and_prompts_are_reported() {
    let text = format!(
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}{ROW}...\n{ROW}root@node-1:~# uptime\n{ROW}{ROW}\nChain OUTPUT (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}{ROW}"
    );
    let parsed = listing::index(&text);
    assert_eq!(shape(&parsed.value), [": INPUT=2 OUTPUT=1"]);
    assert_eq!(
        messages(&parsed),
        [
            "4: rules of chain INPUT are left out here",
            "6: the listing of chain INPUT breaks off here",
            "7: a rule without a `Chain` heading above it is not used"
        ]
    );
}

#[test]
fn warnings_between_rows_do_not_end_a_chain() {
    let text = format!(
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}{ROW}# Warning: iptables-legacy tables present, use iptables-legacy to see them\n{ROW}"
    );
    let parsed = listing::index(&text);
    assert_eq!(shape(&parsed.value), [": INPUT=2"]);
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.diagnostics[0].line, 4);
}

#[test]
fn a_comment_may_hold_newlines() {
    let first = "    1    60 ACCEPT     all  --  *      *       0.0.0.0/0            192.0.2.1            /* two";
    let text = format!(
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}{first}\n  lines */ mark match 0x1\n{ROW}"
    );
    let parsed = listing::index(&text);
    assert_eq!(messages(&parsed), [""; 0]);
    let rules = &parsed.value.tables[0].chains[0].rules;
    assert_eq!(rules.len(), 2);
    assert!(rules[0].span.of(&text).ends_with("lines */ mark match 0x1"));
    let columns = ListingColumns {
        verbose: true,
        ..ListingColumns::default()
    };
    let (rule, diagnostics) = listing::parse_listing_rule(&text, rules[0], columns, Family::V4);
    assert_eq!(diagnostics, []);
    assert_eq!(rule.matches.len(), 2);
}

#[test]
fn mixed_columns_are_read_and_reported() {
    let plain = "target     prot opt source               destination         \nDROP       all  --  0.0.0.0/0            192.0.2.9           \n";
    let text = format!(
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n{TITLES}{ROW}\nChain OUTPUT (policy ACCEPT)\n{plain}"
    );
    let parsed = listing::index(&text);
    assert_eq!(shape(&parsed.value), [": INPUT=1 OUTPUT=1"]);
    assert_eq!(
        messages(&parsed),
        ["6: listings with different columns in one text"]
    );
    let Form::Listing(columns) = parsed.value.form else {
        panic!("a listing has the form of a listing");
    };
    let at = parsed.value.tables[0].chains[1].rules[0];
    let (rule, diagnostics) = listing::parse_listing_rule(&text, at, columns, Family::V4);
    assert_eq!(diagnostics, []);
    assert_eq!(rule.broken, None);
    assert_eq!(rule.counters, None);
}

#[test]
fn exact_counters_and_carriage_returns() {
    let text = "Chain INPUT (policy ACCEPT 5 packets, 300 bytes)\r\nnum      pkts      bytes target     prot opt in     out     source               destination         \r\n1    12345678 98765432 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0           \r\n";
    let parsed = listing::index(text);
    assert_eq!(messages(&parsed), [""; 0]);
    let Form::Listing(columns) = parsed.value.form else {
        panic!("a listing has the form of a listing");
    };
    assert!(columns.numbers && columns.verbose);
    let at = parsed.value.tables[0].chains[0].rules[0];
    let (rule, _) = listing::parse_listing_rule(text, at, columns, Family::V4);
    assert_eq!(rule.counters, Some((12_345_678, 98_765_432)));
}
