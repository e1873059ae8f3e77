//! One row: its columns, and from them a rule.

use super::cursor::{is_any, masked};
use super::{extras, names};
use crate::common::{Diagnostic, Family, Masked, Neg, Proto, Span, Text, mask};
use crate::iptables::matches::Match;
use crate::iptables::targets::Target;
use crate::iptables::{ListingColumns, Rule, RuleLine};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The columns of a row as they stand there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a> {
    pub counters: Option<(u64, u64)>,
    /// Empty where the rule has no target.
    pub target: &'a str,
    pub proto: &'a str,
    pub opt: &'a str,
    /// Input and output device, where they are shown.
    pub devices: Option<(&'a str, &'a str)>,
    pub src: &'a str,
    pub dst: &'a str,
    /// All that follows the destination.
    pub extras: &'a str,
}

/// A counter: digits, or rounded with K, M, G or T, which are powers of 1000 (`xtables_print_num` in `libxtables/xtables.c`).
pub(super) fn count(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' => (text.strip_suffix('K')?, 1_000),
        b'M' => (text.strip_suffix('M')?, 1_000_000),
        b'G' => (text.strip_suffix('G')?, 1_000_000_000),
        b'T' => (text.strip_suffix('T')?, 1_000_000_000_000),
        _ => (text, 1),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn is_address(text: &str) -> bool {
    let text = text.strip_prefix('!').unwrap_or(text);
    text == "anywhere" || masked(text).is_some()
}

/// Splits a row as `columns` say; `None` where it is no row of that shape.
///
/// The target may be missing, and so may `opt` for IPv6 before 1.8.9 (`print_firewall` in `iptables/ip6tables.c` printed four blanks).
pub(super) fn split<'a>(row: &'a str, columns: ListingColumns) -> Option<Columns<'a>> {
    // Number, packets, bytes, target, protocol, opt, in, out, source, destination.
    let mut words: [&'a str; 10] = [""; 10];
    let mut ends = [0; 10];
    let mut len = 0;
    let mut at = 0;
    while len < words.len() {
        let tail = row.get(at..)?;
        let start = at + (tail.len() - tail.trim_start().len());
        let tail = row.get(start..)?;
        if tail.is_empty() {
            break;
        }
        let end = start + tail.find(char::is_whitespace).unwrap_or(tail.len());
        *words.get_mut(len)? = row.get(start..end)?;
        *ends.get_mut(len)? = end;
        len += 1;
        at = end;
    }
    let words = words.get(..len)?;
    let mut first = 0;
    if columns.numbers {
        let number = words.first()?;
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        first = 1;
    }
    let mut counters = None;
    if columns.verbose {
        counters = Some((count(words.get(first)?)?, count(words.get(first + 1)?)?));
        first += 2;
    }
    let shapes = [(true, true), (false, true), (true, false), (false, false)];
    shapes.into_iter().find_map(|(has_target, has_opt)| {
        let mut next = first;
        let mut take = || {
            let word = words.get(next).copied();
            next += 1;
            word
        };
        let target = if has_target { take()? } else { "" };
        let proto = take()?;
        let opt = if has_opt { take()? } else { "" };
        let devices = if columns.verbose {
            Some((take()?, take()?))
        } else {
            None
        };
        let (src, dst) = (take()?, take()?);
        let fits = if has_opt {
            matches!(opt, "--" | "-f" | "!f")
        } else {
            is_address(src)
                && is_address(dst)
                && names::protocol(proto.strip_prefix('!').unwrap_or(proto)).is_some()
        };
        let end = ends.get(next - 1).copied()?;
        fits.then_some(Columns {
            counters,
            target,
            proto,
            opt,
            devices,
            src,
            dst,
            extras: row.get(end..)?,
        })
    })
}

/// The same, also where a row has other columns than its heading says (listings pasted together).
pub(super) fn split_any(row: &str, columns: ListingColumns) -> Option<Columns<'_>> {
    split(row, columns).or_else(|| {
        [(true, true), (true, false), (false, true), (false, false)]
            .into_iter()
            .find_map(|(numbers, verbose)| {
                let columns = ListingColumns {
                    numbers,
                    verbose,
                    ..columns
                };
                split(row, columns)
            })
    })
}

/// The family that a row's addresses are of; `None` for names.
pub(super) fn family_of(columns: &Columns<'_>) -> Option<Family> {
    [columns.src, columns.dst]
        .into_iter()
        .find_map(|side| masked(side.strip_prefix('!').unwrap_or(side)).map(|m| Family::of(m.addr)))
}

fn neg<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Neg<T>> {
    let (not, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    read(text).map(|value| Neg { not, value })
}

/// An address column, `0.0.0.0/0` where it does not restrict.
fn address(text: &str, family: Family) -> Option<Neg<Masked>> {
    neg(text, |text| match text {
        "anywhere" => Some(Masked {
            addr: family.unspecified(),
            mask: mask(family, 0),
        }),
        // Fixed by RFC 6761, so that the name can be trusted on any node.
        "localhost" => Some(Masked::prefix(
            match family {
                Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            },
            family.bits(),
        )),
        _ => masked(text).filter(|m| Family::of(m.addr) == family),
    })
}

/// A device column: `*`, or `any` without `-n`, does not restrict.
fn device(text: &str) -> Option<Neg<Text<'_>>> {
    let (not, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let value = Text::Borrowed(text);
    (not || !matches!(text, "*" | "any")).then_some(Neg { not, value })
}

/// Parses one row of `iptables [-t TABLE] -L [-n] [-v] [-x] [--line-numbers]`; total, as
/// [`parse_rule`](crate::iptables::rule::parse_rule) is.
///
/// The record is the one that the same rule gives as iptables-save text, with these differences, because a listing does not show more:
/// counters are rounded without `-x`; `iif` and `oif` are `None` without `-v`; a hashlimit has no name; `quota` never has its `!`;
/// adjacent matches of the same extension may be one; texts that are kept as written are rebuilt as iptables-save writes them.
pub fn parse_listing_rule(
    source: &str,
    at: RuleLine,
    columns: ListingColumns,
    family: Family,
) -> (Rule<'_>, Vec<Diagnostic>) {
    let mut rule = Rule {
        at,
        counters: None,
        src: None,
        dst: None,
        iif: None,
        oif: None,
        proto: None,
        fragment: None,
        matches: Vec::new(),
        target: Target::None,
        broken: None,
    };
    let row = at.span.of(source);
    let Some(row_columns) = split_any(row, columns) else {
        let why = "not a row of an iptables listing".to_owned();
        return broken(rule, &why, "");
    };
    if row_columns.target.starts_with('-') {
        let why = format!(
            "`{}` is not the name of a target or chain",
            row_columns.target
        );
        return broken(rule, &why, "");
    }
    let proto = neg(row_columns.proto, names::protocol);
    let Some(proto) = proto else {
        let why = format!("unknown protocol `{}`", row_columns.proto);
        return broken(rule, &why, NUMERIC);
    };
    let sides = [row_columns.src, row_columns.dst].map(|side| address(side, family));
    let [Some(src), Some(dst)] = sides else {
        let side = if sides.first().is_some_and(Option::is_none) {
            row_columns.src
        } else {
            row_columns.dst
        };
        let why = format!("`{side}` is not an address");
        return broken(rule, &why, NUMERIC);
    };
    rule.counters = row_columns.counters;
    let restricts = |side: &Neg<Masked>| side.not || !is_any(&side.value);
    rule.src = Some(src).filter(restricts);
    rule.dst = Some(dst).filter(restricts);
    // Protocol 0 is no test, `!` or not (`ip_packet_match` in net/ipv4/netfilter/ip_tables.c).
    rule.proto = Some(proto).filter(|p| p.value != Proto(0));
    if let Some((iif, oif)) = row_columns.devices {
        rule.iif = device(iif);
        rule.oif = device(oif);
    }
    rule.fragment = match row_columns.opt {
        "-f" => Some(Neg::yes(())),
        "!f" => Some(Neg {
            not: true,
            value: (),
        }),
        _ => None,
    };
    let extras = extras::parse(row_columns.extras, row_columns.target);
    rule.matches = extras.matches;
    rule.target = extras.target;
    let mut diagnostics = Vec::new();
    // `text` is a part of the row.
    let span_of = |text: &str| {
        let offset = (text.as_ptr() as usize).wrapping_sub(row.as_ptr() as usize);
        let start = at.span.start as usize + offset.min(row.len());
        Span::new(start, start + text.len())
    };
    if let Some(unread) = extras.unread {
        let why = if unread.starts_with("/*") {
            "the comment has no end: the row is cut".to_owned()
        } else {
            format!("not understood: `{}`", clip(unread))
        };
        diagnostics.push(
            Diagnostic::warning(at.line, span_of(unread), why)
                .help("iptables-save shows this rule in full"),
        );
    }
    if rule.matches.iter().any(|m| matches!(m, Match::Quota(_))) {
        // `quota_print` in extensions/libxt_quota.c does not look at the flag.
        let why = "a listing does not show whether quota stands behind a `!`";
        diagnostics.push(
            Diagnostic::warning(at.line, span_of(row_columns.extras.trim()), why)
                .help("iptables-save shows this rule in full"),
        );
    }
    (rule, diagnostics)
}

const NUMERIC: &str = "list with -n, so that numbers are printed instead of names";

/// A rule of which nothing is known.
fn broken<'a>(mut rule: Rule<'a>, why: &str, help: &str) -> (Rule<'a>, Vec<Diagnostic>) {
    let diagnostic = Diagnostic::warning(rule.at.line, rule.at.span, why);
    rule.broken = Some(why.into());
    let diagnostic = match help {
        "" => diagnostic,
        _ => diagnostic.help(help),
    };
    (rule, vec![diagnostic])
}

/// Enough of a text to recognise it.
fn clip(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}
