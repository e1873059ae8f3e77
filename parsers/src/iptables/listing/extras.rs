//! The text behind the columns: comments, matches and the target's options, without any mark where one ends and the next begins.

use super::cursor::Cur;
use super::{matches, targets};
use crate::common::Text;
use crate::iptables::matches::Match;
use crate::iptables::targets::Target;
use std::collections::HashSet;

/// How many readings of one row's comments are tried. Only a row full of `*/` comes near.
const READINGS: usize = 2000;

/// What the text behind the columns says.
#[derive(Debug)]
pub(super) struct Extras<'a> {
    pub matches: Vec<Match<'a>>,
    pub target: Target<'a>,
    /// What was not understood: the rest of the row.
    pub unread: Option<&'a str>,
}

/// Reads `text`, which follows the destination, for a rule whose target column says `name`.
pub(super) fn parse<'a>(text: &'a str, name: &'a str) -> Extras<'a> {
    // The flag is printed before the matches (`print_firewall` in iptables/iptables.c).
    let (goto, cur) = match Cur(text).eat("[goto]") {
        Some(rest) => (true, rest),
        None => (false, Cur(text)),
    };
    match whole(cur, name, goto) {
        Some((matches, target)) => Extras {
            matches,
            target,
            unread: None,
        },
        None => partly(cur, name, goto),
    }
}

/// A reading that leaves nothing over.
///
/// A comment is printed as it is, so that its end may be any later `*/`. The first one after which all the rest can be read counts:
/// rules with two comments are common, comments that imitate a match are not.
fn whole<'a>(start: Cur<'a>, name: &'a str, goto: bool) -> Option<(Vec<Match<'a>>, Target<'a>)> {
    struct Choice<'a> {
        /// How many matches stand before the comment.
        before: usize,
        /// The comment's text and all that follows.
        text: &'a str,
        /// Where to look for its end next.
        from: usize,
    }
    let mut found: Vec<Match<'a>> = Vec::new();
    let mut choices: Vec<Choice<'a>> = Vec::new();
    // Lengths of what followed a comment's end that was tried: a second try would fail in the same way.
    let mut tried: HashSet<usize> = HashSet::new();
    let mut cur = start;
    for _ in 0..READINGS {
        loop {
            if let Some(target) = targets::parse(name, goto, cur) {
                return Some((found, target));
            }
            if let Some(after) = cur.prefix("/*") {
                choices.push(Choice {
                    before: found.len(),
                    text: after.0,
                    from: 0,
                });
                break;
            }
            let Some((read, rest)) = matches::parse(cur) else {
                break;
            };
            found.push(read);
            cur = rest;
        }
        loop {
            let choice = choices.last_mut()?;
            let end = choice
                .text
                .get(choice.from..)
                .and_then(|rest| rest.find("*/"))
                .map(|at| at + choice.from);
            let Some(end) = end else {
                choices.pop();
                continue;
            };
            choice.from = end + 2;
            let rest = choice.text.get(end + 2..)?;
            // `*/` ends a comment only where a space or the end of the row follows.
            if !(rest.is_empty() || rest.starts_with(char::is_whitespace))
                || !tried.insert(rest.len())
            {
                continue;
            }
            found.truncate(choice.before);
            found.push(comment(choice.text.get(..end)?));
            cur = Cur(rest);
            break;
        }
    }
    None
}

/// iptables puts one space on either side.
fn comment(inside: &str) -> Match<'_> {
    let text = inside.strip_prefix(' ').unwrap_or(inside);
    Match::Comment(Text::Borrowed(text.strip_suffix(' ').unwrap_or(text)))
}

/// As much as can be read from the left; the rest is one opaque match. If the row ends with what the target is known to print, the
/// target stands.
fn partly<'a>(start: Cur<'a>, name: &'a str, goto: bool) -> Extras<'a> {
    let mut found = Vec::new();
    let mut cur = start;
    loop {
        if let Some(after) = cur.prefix("/*") {
            let Some(end) = after.0.find("*/") else { break };
            let (Some(inside), Some(rest)) = (after.0.get(..end), after.0.get(end + 2..)) else {
                break;
            };
            found.push(comment(inside));
            cur = Cur(rest);
        } else if let Some((read, rest)) = matches::parse(cur) {
            found.push(read);
            cur = rest;
        } else {
            break;
        }
    }
    let rest = cur.0.trim();
    let mut target = targets::unread(name, goto, rest);
    let mut unread = rest;
    // Every word may be where the target's options begin.
    let mut at = 0;
    for _ in 0..READINGS {
        let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) else {
            break;
        };
        if let Some(read) = targets::parse(name, goto, Cur(tail)) {
            target = read;
            unread = rest.get(..at).unwrap_or(rest).trim_end();
            break;
        }
        let word = tail.find(char::is_whitespace).unwrap_or(tail.len());
        let space = tail
            .get(word..)
            .map_or(0, |t| t.len() - t.trim_start().len());
        at += word + space;
    }
    if !unread.is_empty() {
        let end = unread.find(char::is_whitespace).unwrap_or(unread.len());
        let (word, args) = unread.split_at(end);
        let (name, args) = if word == "/*" {
            ("comment", args)
        } else {
            (word, args)
        };
        found.push(Match::Opaque {
            name: Text::Borrowed(name),
            args: Text::Borrowed(args.trim_start()),
        });
    }
    Extras {
        matches: found,
        target,
        unread: (!unread.is_empty()).then_some(unread),
    }
}
