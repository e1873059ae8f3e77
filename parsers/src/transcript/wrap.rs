//! Lines that a terminal or a mail client broke.

use super::{Block, Row};
use crate::recognise::Kind;

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
    // A terminal breaks every line at the same column.
    let width = block
        .lines
        .iter()
        .map(|l| l.text.chars().count())
        .max()
        .unwrap_or(0)
        .max(1);
    let mut joined: Vec<Row<'_>> = Vec::with_capacity(block.lines.len());
    // Lines that the last one of `joined` is made of, and the length of its last piece.
    let (mut pieces, mut piece) = (0u32, 0);
    for row in std::mem::take(&mut block.lines) {
        let length = row.text.chars().count();
        let glue = joined
            .last()
            .filter(|last| last.number + pieces == row.number && pieces < 40)
            .and_then(|last| glue(block.kind, last, &row, piece == width));
        if let (Some(glue), Some(last)) = (glue, joined.last_mut()) {
            let text = last.text.to_mut();
            text.push_str(glue);
            text.push_str(row.text.trim_start());
            pieces += 1;
        } else {
            joined.push(row);
            pieces = 1;
        }
        piece = length;
    }
    block.lines = joined;
}

/// What stands between a line and its rest; `None` where the next line is one of its own.
fn glue(kind: Kind, before: &Row<'_>, here: &Row<'_>, at_the_edge: bool) -> Option<&'static str> {
    if before.text.trim().is_empty() || starts_a_line(kind, &here.text) {
        return None;
    }
    if at_the_edge {
        // A terminal drops the blank at which it breaks.
        let option = kind == Kind::IptablesSave && is_option(here.text.trim_start());
        return Some(if option { " " } else { "" });
    }
    // Without the terminal's edge only the options of a rule tell that it goes on.
    (kind == Kind::IptablesSave && fits(kind, &before.text, here.text.trim())).then_some(" ")
}

/// `-m tcp`, `--dport 80`, `! -s`: not the rest of a word.
fn is_option(text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or_default();
    word == "!"
        || word.len() == 2 && word.starts_with('-') && text.len() > 2
        || word.len() > 3 && word.starts_with("--")
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
