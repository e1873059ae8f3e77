//! Work that must grow with the text.

use nfwhy_parsers::iptables::{Form, ListingColumns, RuleLine, listing, rule, save};
use nfwhy_parsers::recognise::recognise;
use nfwhy_parsers::{Family, Span, conntrack, iproute, ipset, ipvs, nft, sysctl};
use std::fs;
use std::time::Duration;

/// Length of the text that the short one becomes.
const LEN: usize = 32 * 1024;

/// What a parser may take for it. Linear work takes a few milliseconds of a build with checks, quadratic work hundreds.
const MOST: Duration = Duration::from_millis(100);

/// Processor time of this thread; the wall clock tells of the other processes as well.
fn spent() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn rules_of_a_dump(text: &str) {
    for set in save::index_all(text).value {
        for at in set
            .tables
            .iter()
            .flat_map(|t| &t.chains)
            .flat_map(|c| &c.rules)
        {
            let (rule, _) = rule::parse_rule(text, *at, Form::Save, Family::V4);
            let _ = rule.display("X").to_string();
        }
    }
}

fn one_rule(text: &str) {
    let at = RuleLine {
        span: Span::new(0, text.len()),
        line: 1,
    };
    let (rule, _) = rule::parse_rule(text, at, Form::Save, Family::V6);
    let _ = rule.display("X").to_string();
}

fn one_row(text: &str) {
    let at = RuleLine {
        span: Span::new(0, text.len()),
        line: 1,
    };
    listing::parse_listing_rule(text, at, ListingColumns::default(), Family::V4);
}

fn rows_of_a_listing(text: &str) {
    let set = listing::index(text).value;
    let Form::Listing(columns) = set.form else {
        return;
    };
    for at in set
        .tables
        .iter()
        .flat_map(|t| &t.chains)
        .flat_map(|c| &c.rules)
    {
        listing::parse_listing_rule(text, *at, columns, Family::V4);
    }
}

fn nft_ruleset(text: &str) {
    for table in nft::text::index(text).value.tables {
        for set in &table.sets {
            if let Some(at) = set.elements {
                nft::text::elements(text, at, set, table.family);
            }
        }
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            nft::text::parse_rule(text, rule.at, table.family);
        }
    }
}

fn nft_rule(text: &str) {
    let at = nft::Place {
        span: Span::new(0, text.len()),
        line: 1,
    };
    nft::text::parse_rule(text, at, nft::TableFamily::Inet);
}

fn nft_json_ruleset(text: &str) {
    for table in nft::json::index(text).value.tables {
        for set in &table.sets {
            if let Some(at) = set.elements {
                nft::json::elements(text, at, set, table.family);
            }
        }
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            nft::json::parse_rule(text, rule.at, table.family);
        }
    }
}

fn nft_json_rule(text: &str) {
    let at = nft::Place {
        span: Span::new(0, text.len()),
        line: 1,
    };
    nft::json::parse_rule(text, at, nft::TableFamily::Inet);
}

const PARSERS: &[(&str, fn(&str))] = &[
    ("iptables-save", rules_of_a_dump),
    ("one rule", one_rule),
    ("iptables -L", rows_of_a_listing),
    ("one row", one_row),
    ("ipset", |t| drop(ipset::parse(t))),
    ("ipvs", |t| drop(ipvs::parse(t))),
    ("conntrack", |t| drop(conntrack::parse(t))),
    ("sysctl", |t| drop(sysctl::parse(t))),
    ("link", |t| drop(iproute::link::parse(t))),
    ("route", |t| drop(iproute::route::parse(t))),
    ("route -n", |t| drop(iproute::route::parse_route_n(t))),
    ("rule", |t| drop(iproute::rule::parse(t))),
    ("neigh", |t| drop(iproute::neigh::parse(t))),
    ("nexthop", |t| drop(iproute::nexthop::parse(t))),
    ("recognise", |t| {
        recognise(t.as_bytes());
    }),
    ("nft", nft_ruleset),
    ("one nft rule", nft_rule),
    ("nft -j", nft_json_ruleset),
    ("one nft -j rule", nft_json_rule),
];

/// The first byte picks the parser; the rest is head, unit and tail with NUL between them. The unit is repeated.
pub fn check(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else {
        return;
    };
    let Some((name, parse)) = PARSERS.get(usize::from(*which) % PARSERS.len()) else {
        return;
    };
    let mut parts = rest.splitn(3, |b| *b == 0);
    let [head, unit, tail] = [(); 3].map(|()| crate::text(parts.next().unwrap_or_default()));
    if unit.is_empty() || unit.len() > 1024 || head.len() + tail.len() > 4096 {
        return;
    }
    let text = format!("{head}{}{tail}", unit.repeat(LEN / unit.len()));
    let before = spent();
    parse(&text);
    let took = spent().saturating_sub(before);
    assert!(
        took < MOST,
        "{name}: {took:?} for {head:?}, {unit:?} again and again, {tail:?}"
    );
}
