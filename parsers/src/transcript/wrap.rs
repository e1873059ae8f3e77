//! Lines that a terminal or a mail client broke.

use super::Block;
use crate::recognise::Kind;
use std::borrow::Cow;

/// Narrower than any terminal that output is copied from.
const NARROW: usize = 50;

/// Whether a line that is nothing by itself may be the rest of the one before.
pub(super) fn may_continue(block: &Block<'_>, text: &str) -> bool {
    let wraps = matches!(
        block.kind,
        Kind::IptablesSave | Kind::IptablesListing | Kind::Route | Kind::Conntrack | Kind::Link
    );
    let Some(last) = block.lines.last() else {
        return false;
    };
    let t = text.trim();
    wraps
        && last.text.chars().count() >= NARROW
        && !t.is_empty()
        && !t.contains(|c: char| !c.is_ascii())
        && fits(block.kind, &last.text, t)
}

/// Whether a rule's rest looks like one: options and their values, no sentence.
fn fits(kind: Kind, before: &str, rest: &str) -> bool {
    let open = |t: &str| t.bytes().filter(|b| *b == b'"').count() % 2 == 1;
    match kind {
        Kind::IptablesSave => {
            before.trim_start().starts_with(['-', '['])
                && (open(before)
                    || rest.split_whitespace().any(|w| w.starts_with('-'))
                    || !rest.contains(' '))
        }
        Kind::IptablesListing => {
            before
                .rfind("/*")
                .is_some_and(|at| !before[at..].contains("*/"))
                || !rest.ends_with(['.', ':', '?'])
        }
        _ => !rest.ends_with(['.', ':', '?']) && rest.split_whitespace().count() < 12,
    }
}

/// Joins what belongs together. A joined line has the number of its first.
pub(super) fn join(block: &mut Block<'_>) {
    if !matches!(
        block.kind,
        Kind::IptablesSave | Kind::IptablesListing | Kind::Route | Kind::Conntrack | Kind::Link
    ) {
        return;
    }
    let mut i = 1;
    // A terminal breaks every line at the same column.
    let width = block
        .lines
        .iter()
        .map(|l| l.text.chars().count())
        .max()
        .unwrap_or(0);
    while i < block.lines.len() {
        let (before, here) = (&block.lines[i - 1], &block.lines[i]);
        if here.number != before.number + 1 && !is_joined(before.text.as_ref(), width) {
            i += 1;
            continue;
        }
        if starts_a_line(block.kind, &here.text) || before.text.trim().is_empty() {
            i += 1;
            continue;
        }
        let hard = before.text.chars().count() % width.max(1) == 0 && !before.text.ends_with(' ');
        // Without the terminal's edge only the options of a rule tell that it goes on.
        let options =
            block.kind == Kind::IptablesSave && fits(block.kind, &before.text, here.text.trim());
        if !(hard || options) {
            i += 1;
            continue;
        }
        let glue = if hard { "" } else { " " };
        let joined = format!("{}{glue}{}", before.text, here.text.trim_start());
        block.lines[i - 1].text = Cow::Owned(joined);
        block.lines.remove(i);
    }
}

fn is_joined(text: &str, width: usize) -> bool {
    text.chars().count() > width
}

/// Whether a line of the format can begin so.
fn starts_a_line(kind: Kind, text: &str) -> bool {
    let t = text.trim();
    if t.is_empty() || t.starts_with('#') || crate::recognise::lines::is_cut(t) {
        return true;
    }
    match kind {
        Kind::IptablesSave => {
            t.starts_with(['*', ':', '['])
                || t == "COMMIT"
                || [
                    "-A ",
                    "-I ",
                    "-N ",
                    "-P ",
                    "Warning",
                    "iptables",
                    "ip6tables",
                ]
                .iter()
                .any(|p| t.starts_with(p))
        }
        Kind::IptablesListing => {
            let mut words = t.split_whitespace();
            t.starts_with("Chain ")
                || t.starts_with("pkts")
                || t.starts_with("num")
                || t.starts_with("target")
                || t.starts_with("Table:")
                || text.starts_with(' ')
                // Counters, or a target and a protocol.
                || words.next().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit()))
                    && words.next().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit()))
                || t.split_whitespace().any(|w| w == "--")
                || t.split_whitespace().filter(|w| w.contains("0.0.0.0/0") || w.contains("::/0") || *w == "anywhere").count() >= 1
        }
        _ => {
            let mut c = crate::recognise::classify::Classifier::default();
            !matches!(c.vote(text), crate::recognise::classify::Vote::Other)
                || text.starts_with(' ')
        }
    }
}
