//! Single rows of `iptables -L`, of this and older versions, against records made by hand and against iptables-save text.

use nfwhy_parsers::iptables::{ListingColumns, Match, Rule, RuleLine, Target, listing};
use nfwhy_parsers::{Diagnostic, Family, Masked, Span};

mod columns;
mod extras;
mod records;

const PLAIN: ListingColumns = ListingColumns {
    numbers: false,
    verbose: false,
    ipv6: false,
};
const VERBOSE: ListingColumns = ListingColumns {
    verbose: true,
    ..PLAIN
};

fn parse(row: &str, columns: ListingColumns, family: Family) -> (Rule<'_>, Vec<Diagnostic>) {
    let at = RuleLine {
        span: Span::new(0, row.len()),
        line: 1,
    };
    listing::parse_listing_rule(row, at, columns, family)
}

/// The rule of a `-v` row that must be understood as a whole.
fn read(row: &str) -> Rule<'_> {
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(diagnostics, [], "{row}");
    assert_eq!(rule.broken, None, "{row}");
    rule
}

/// The matches and the target of a row with these words behind the addresses.
fn extras<'a>(row: &'a mut String, target: &str, text: &str) -> (Vec<Match<'a>>, Target<'a>) {
    *row = format!(
        "    0     0 {target:<9}  all  --  *      *       0.0.0.0/0            0.0.0.0/0            {text}"
    );
    let rule = read(row);
    (rule.matches, rule.target)
}

fn one_match(text: &str, expected: &Match<'_>) {
    let mut row = String::new();
    let (matches, target) = extras(&mut row, "ACCEPT", text);
    assert_eq!(matches, std::slice::from_ref(expected), "{text}");
    assert_eq!(target, Target::Accept, "{text}");
}

fn one_target(name: &str, text: &str, expected: &Target<'_>) {
    let mut row = String::new();
    let (matches, target) = extras(&mut row, name, text);
    assert_eq!(matches, [], "{text}");
    assert_eq!(&target, expected, "{text}");
}

fn v4(addr: [u8; 4], len: u8) -> Masked {
    Masked::prefix(addr.into(), len)
}
