//! Lines of `ipset save` and `ipset list` to sets.

use super::member::{Unreadable, member};
use super::{IpSet, Method, header};
use crate::common::{Diagnostic, Parsed, Span, Text};
use crate::recognise::lines::{Line, Lines, is_cut, prompt};
use std::collections::HashMap;

/// What is known while the lines go by.
#[derive(Default)]
struct Reader<'a> {
    sets: Vec<IpSet<'a>>,
    diagnostics: Vec<Diagnostic>,
    by_name: HashMap<&'a str, usize>,
    /// Whether a name has a space in it, so that it does not end at the first one.
    spaced: bool,
    /// The set of the last `add` or of the listing under way.
    current: Option<usize>,
    /// Between `Members:` and the next blank line.
    in_members: bool,
    /// Per listed set: members seen but not understood, and whether `Members:` stood there.
    listing: HashMap<usize, (u32, bool)>,
    /// The last set that `add` named without a `create`.
    stranger: Option<&'a str>,
}

/// Reads the whole text.
pub(super) fn read(source: &str) -> Parsed<Vec<IpSet<'_>>> {
    let mut r = Reader::default();
    for line in Lines::new(source) {
        if line.text.starts_with("<ipsets") || line.text.starts_with("<?xml") {
            r.warn(
                &line,
                line.text,
                "XML output of ipset is not read",
                Some("capture `ipset save` instead"),
            );
            break;
        }
        r.line(&line);
    }
    r.finish()
}

impl<'a> Reader<'a> {
    fn warn(&mut self, line: &Line<'_>, at: &str, message: impl Into<String>, help: Option<&str>) {
        self.warn_at(line.number, line.span_of(at), message, help);
    }

    fn warn_at(&mut self, line: u32, span: Span, message: impl Into<String>, help: Option<&str>) {
        let d = Diagnostic::warning(line, span, message);
        self.diagnostics.push(match help {
            Some(h) => d.help(h),
            None => d,
        });
    }

    fn line(&mut self, line: &Line<'a>) {
        // The fast way: nearly every line of a large capture is one of these.
        if !self.in_members
            && let Some(rest) = line.text.strip_prefix("add ")
        {
            return self.add(line, rest);
        }
        let text = line.text.trim_ascii();
        if text.is_empty() {
            self.in_members = false;
            return;
        }
        if let Some(name) = text.strip_prefix("Name: ") {
            return self.listed(line, name.trim_ascii());
        }
        if self.in_members
            && let Some(i) = self.current
        {
            return self.listed_member(line, text, i);
        }
        if let Some(rest) = text.strip_prefix("create ") {
            return self.create(line, rest);
        }
        if let Some(rest) = text.strip_prefix("add ") {
            return self.add(line, rest);
        }
        if self.listed_header(line, text) {
            return;
        }
        self.junk(line, text);
    }

    /// A line that belongs to no set.
    fn junk(&mut self, line: &Line<'a>, text: &'a str) {
        if is_cut(text) {
            if let Some(set) = self.current.and_then(|i| self.sets.get_mut(i)) {
                let all = set.declared_entries.and_then(|n| usize::try_from(n).ok());
                if all.is_some_and(|n| set.members.len() >= n) {
                    return;
                }
                set.complete = false;
            }
            self.warn(
                line,
                text,
                "text was left out here",
                Some("capture the whole of `ipset save`"),
            );
        } else if prompt(text).is_none() && (text.starts_with('#') || text == "COMMIT") {
            // Comments and the end mark of a restore file.
        } else {
            self.warn(
                line,
                text,
                "not a line of `ipset save` or `ipset list`",
                None,
            );
        }
    }

    fn push(&mut self, line: &Line<'a>, name: &'a str, listed: bool) -> usize {
        let i = self.sets.len();
        self.spaced |= name.contains(' ');
        self.by_name.insert(name, i);
        self.sets.push(IpSet {
            name: Text::Borrowed(name),
            line: line.number,
            span: line.span(),
            type_name: Text::Borrowed(""),
            kind: None,
            family: None,
            timeout: None,
            netmask: None,
            bitmask: None,
            markmask: None,
            size: None,
            ip_range: None,
            port_range: None,
            counters: false,
            comment: false,
            skbinfo: false,
            header: Text::Borrowed(""),
            declared_entries: None,
            members: Vec::new(),
            complete: true,
            listed,
        });
        self.current = Some(i);
        i
    }

    fn set_type(&mut self, line: &Line<'a>, i: usize, name: &'a str) {
        let kind = header::kind(name);
        if let Some(set) = self.sets.get_mut(i) {
            set.type_name = Text::Borrowed(name);
            set.kind = kind;
        }
        if kind.is_none() {
            self.warn(
                line,
                name,
                format!("set type `{name}` is not known"),
                Some("its members are kept as text; whether a packet is in the set stays unknown"),
            );
        }
    }

    fn set_header(&mut self, line: &Line<'a>, i: usize, text: &'a str) {
        let text = text.trim_ascii();
        let text = text
            .strip_suffix(" -exist")
            .or_else(|| text.strip_suffix(" -!"))
            .unwrap_or(text);
        let mut bad = Vec::new();
        if let Some(set) = self.sets.get_mut(i) {
            set.header = Text::Borrowed(text);
            header::options(set, text, |at, why| bad.push((at, why)));
        }
        for (at, why) in bad {
            self.warn(line, at, format!("`{at}` {why}"), None);
        }
    }

    fn create(&mut self, line: &Line<'a>, rest: &'a str) {
        let rest = rest.trim_ascii();
        // A name may contain spaces and nothing quotes it, so the type's form finds the end of the name.
        let mut at = None;
        let mut from = 0;
        while let Some(n) = rest.get(from..).and_then(|r| r.find(' ')) {
            let start = from + n + 1;
            let token = rest.get(start..).unwrap_or_default();
            let token = token.split(' ').next().unwrap_or_default();
            if header::kind(token).is_some() {
                at = Some((start, token));
                break;
            }
            if at.is_none()
                && (from == 0
                    || ["hash:", "bitmap:", "list:"]
                        .iter()
                        .any(|m| token.starts_with(m)))
            {
                at = Some((start, token));
            }
            from = start;
        }
        let Some((start, type_name)) = at.filter(|(_, t)| !t.is_empty()) else {
            self.warn(line, line.text, "`create` without a set type", None);
            return;
        };
        let name = rest.get(..start).unwrap_or_default().trim_ascii();
        let i = self.push(line, name, false);
        self.in_members = false;
        self.set_type(line, i, type_name);
        self.set_header(
            line,
            i,
            rest.get(start + type_name.len()..).unwrap_or_default(),
        );
    }

    /// The set that `rest` starts with, and what follows the name.
    fn named(&self, rest: &'a str) -> Option<(usize, &'a str)> {
        if !self.spaced {
            // Members follow one another, so the last set is nearly always the right one.
            if let Some(i) = self.current {
                let name = self.sets.get(i).map(|s| s.name.as_ref())?;
                if let Some(after) = rest.strip_prefix(name).and_then(|r| r.strip_prefix(' ')) {
                    // A newer set of the same name is the one meant.
                    return Some((i, after));
                }
            }
            let (name, after) = rest.split_once(' ')?;
            return self.by_name.get(name).map(|i| (*i, after));
        }
        let mut best: Option<(usize, &'a str)> = None;
        for (n, _) in rest.match_indices(' ') {
            let (Some(name), Some(after)) = (rest.get(..n), rest.get(n + 1..)) else {
                continue;
            };
            if let Some(i) = self.by_name.get(name) {
                best = Some((*i, after));
            }
            if name.contains('"') || name.len() > 64 {
                break;
            }
        }
        best
    }

    fn add(&mut self, line: &Line<'a>, rest: &'a str) {
        let Some((i, text)) = self.named(rest) else {
            let name = rest.split_ascii_whitespace().next().unwrap_or_default();
            if !rest.trim_ascii().contains(' ') {
                if let Some(set) = self.by_name.get(name).and_then(|i| self.sets.get_mut(*i)) {
                    set.complete = false;
                }
                self.warn(line, line.text, "`add` without a member", None);
            } else if self.stranger != Some(name) {
                self.stranger = Some(name);
                self.warn(
                    line,
                    name,
                    format!("members of set `{name}`, which was not created before"),
                    Some("the `create` line is missing; capture the whole of `ipset save`"),
                );
            }
            return;
        };
        self.current = Some(i);
        let Some(set) = self.sets.get_mut(i) else {
            return;
        };
        if set.type_name.is_empty() {
            return self.untyped(line, i);
        }
        match member(text, line.number, set.kind) {
            Ok(m) => set.members.push(m),
            Err(e) => self.unreadable(line, i, e),
        }
    }

    fn untyped(&mut self, line: &Line<'a>, i: usize) {
        if let Some(set) = self.sets.get_mut(i) {
            set.complete = false;
        }
        self.warn(
            line,
            line.text,
            "a member of a set without a type",
            Some("capture `ipset save`"),
        );
    }

    fn unreadable(&mut self, line: &Line<'a>, i: usize, (at, why): Unreadable<'a>) {
        let mut name = String::new();
        if let Some(set) = self.sets.get_mut(i) {
            set.complete = false;
            name = set.name.to_string();
        }
        let help = if is_cut(line.text) {
            "the line was cut off; capture the whole of `ipset save`"
        } else {
            "capture with `ipset save` (without `-resolve`)"
        };
        let message = if at.is_empty() {
            format!("member of set `{name}` {why}")
        } else {
            format!("member of set `{name}`: `{at}` {why}")
        };
        self.warn(line, at, message, Some(help));
    }

    fn listed(&mut self, line: &Line<'a>, name: &'a str) {
        let i = self.push(line, name, true);
        self.in_members = false;
        self.listing.insert(i, (0, false));
    }

    /// `Type:` and the lines after it; false for a line that is none of them.
    fn listed_header(&mut self, line: &Line<'a>, text: &'a str) -> bool {
        let Some(i) = self.current.filter(|i| self.listing.contains_key(i)) else {
            return false;
        };
        let Some((key, value)) = text.split_once(':') else {
            return false;
        };
        let value = value.trim_ascii();
        match key {
            // Members are read by the type, so it is told once.
            "Type" if self.sets.get(i).is_some_and(|s| s.type_name.is_empty()) => {
                self.set_type(line, i, value);
            }
            "Type" => return false,
            "Header" => self.set_header(line, i, value),
            "Revision" | "Size in memory" | "References" | "Default binding" | "Bindings" => {}
            "Number of entries" => match value.parse() {
                Ok(n) => {
                    if let Some(set) = self.sets.get_mut(i) {
                        set.declared_entries = Some(n);
                    }
                }
                Err(_) => self.warn(
                    line,
                    value,
                    format!("`{value}` is no number of entries"),
                    None,
                ),
            },
            "Members" => {
                self.in_members = true;
                if let Some(l) = self.listing.get_mut(&i) {
                    l.1 = true;
                }
            }
            _ => return false,
        }
        true
    }

    fn listed_member(&mut self, line: &Line<'a>, text: &'a str, i: usize) {
        let Some(set) = self.sets.get_mut(i) else {
            return;
        };
        let list = set.kind.is_some_and(|k| k.method == Method::List);
        let other = !list && (text.starts_with("create ") || text.starts_with("add "));
        if other {
            self.in_members = false;
            return self.line(line);
        }
        let full = set
            .declared_entries
            .is_some_and(|n| usize::try_from(n).is_ok_and(|n| set.members.len() >= n));
        if set.type_name.is_empty() {
            return self.untyped(line, i);
        }
        // In a list:set any word reads as a member.
        if is_cut(text) && full {
            // All are there: what is left out here is something else.
            self.in_members = false;
            return;
        }
        if is_cut(text) || list && full && prompt(text).is_some() {
            return self.junk(line, text);
        }
        match member(text, line.number, set.kind) {
            Ok(m) => set.members.push(m),
            // All members are there, or a prompt stands here: this is the terminal's.
            Err(_) if full || prompt(text).is_some() => self.junk(line, text),
            Err(e) => {
                if let Some(l) = self.listing.get_mut(&i) {
                    l.0 += 1;
                }
                self.unreadable(line, i, e);
            }
        }
    }

    fn finish(mut self) -> Parsed<Vec<IpSet<'a>>> {
        let mut late = Vec::new();
        for (i, set) in self.sets.iter_mut().enumerate() {
            let Some((bad, has_members)) = self.listing.get(&i) else {
                continue;
            };
            let help = format!("capture `ipset save {}`", set.name);
            if set.type_name.is_empty() {
                set.complete = false;
                late.push((
                    set.line,
                    set.span,
                    format!("listing of set `{}` has no `Type:`", set.name),
                    help,
                ));
            } else if !has_members {
                if set.declared_entries != Some(0) {
                    set.complete = false;
                    late.push((
                        set.line,
                        set.span,
                        format!("members of set `{}` are not listed", set.name),
                        help,
                    ));
                }
            } else if let Some(n) = set.declared_entries {
                let seen = u32::try_from(set.members.len())
                    .unwrap_or(u32::MAX)
                    .saturating_add(*bad);
                if seen < n {
                    set.complete = false;
                    let message = format!("set `{}` has {n} entries, {seen} are listed", set.name);
                    late.push((set.line, set.span, message, help));
                }
            }
        }
        for (line, span, message, help) in late {
            self.warn_at(line, span, message, Some(&help));
        }
        self.diagnostics.sort_by_key(|d| d.line);
        Parsed {
            value: self.sets,
            diagnostics: self.diagnostics,
        }
    }
}
