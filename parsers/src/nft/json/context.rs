//! What every part of a rule's reader shares: the source, the table's family, the reports.

use super::read::{Data, Fault, Value};
use crate::common::{Diagnostic, Span, Text};
use crate::nft::types::Type;
use crate::nft::{Place, TableFamily};
use memchr::memchr_iter;
use std::borrow::Cow;

/// Counts lines up to an offset. What lies between two of them is the work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pos: usize,
    line: u32,
}

impl Lines {
    /// Counts from a place whose line is known.
    pub fn from(start: Place) -> Self {
        Self {
            pos: start.span.start as usize,
            line: start.line,
        }
    }

    /// The line of the byte at `pos`.
    pub fn at(&mut self, source: &str, pos: usize) -> u32 {
        let (from, to) = (self.pos.min(pos), self.pos.max(pos));
        let between = source.as_bytes().get(from..to).unwrap_or_default();
        let lines = u32::try_from(memchr_iter(b'\n', between).count()).unwrap_or(u32::MAX);
        self.line = if pos < self.pos {
            self.line.saturating_sub(lines)
        } else {
            self.line.saturating_add(lines)
        };
        self.pos = pos;
        self.line
    }
}

pub(super) struct Context<'a> {
    pub source: &'a str,
    pub family: TableFamily,
    pub diagnostics: Vec<Diagnostic>,
    lines: Lines,
}

impl<'a> Context<'a> {
    pub fn new(source: &'a str, at: Place, family: TableFamily) -> Self {
        Self {
            source,
            family,
            diagnostics: Vec::new(),
            lines: Lines::from(at),
        }
    }

    pub fn line(&mut self, pos: usize) -> u32 {
        self.lines.at(self.source, pos)
    }

    pub fn report(&mut self, span: Span, message: impl Into<String>) {
        let line = self.line(span.start as usize);
        self.diagnostics
            .push(Diagnostic::warning(line, span, message));
    }

    pub fn fault(&mut self, fault: Fault) {
        self.report(Span::new(fault.at, fault.at), fault.what);
    }

    /// Reports a value that is not understood and gives its text.
    pub fn opaque(&mut self, v: &Value<'a>, what: &str) -> Text<'a> {
        self.report(v.span(), format!("{what}: {}", excerpt(v.raw)));
        Cow::Borrowed(v.raw)
    }

    /// Reports a constant that is none of its type and gives its text.
    pub fn constant(&mut self, v: &Value<'a>) -> Text<'a> {
        let text = self.opaque(v, "a constant that is not known");
        if let Some(d) = self.diagnostics.last_mut() {
            d.help = Some("`nft -jn list ruleset` prints numbers instead of names".into());
        }
        match v.str() {
            Some(s) => s.clone(),
            None => text,
        }
    }

    /// The string in a member, or nothing; a member of another kind is reported.
    pub fn text(&mut self, v: &Value<'a>, key: &str) -> Option<Text<'a>> {
        let member = v.get(key)?;
        match &member.data {
            Data::Str(s) => Some(s.clone()),
            Data::Null => None,
            _ => {
                self.opaque(member, &format!("\"{key}\" is no string"));
                None
            }
        }
    }

    /// The type of an address that stands there as text.
    pub fn address_type(&self, v: &Value<'_>) -> Type {
        let known = crate::nft::typing::address(self.family);
        if known != Type::Invalid {
            return known;
        }
        let mut v = v;
        loop {
            match &v.data {
                Data::Str(s) if s.contains(':') => return Type::Ipv6Addr,
                Data::Str(s) if s.contains('.') => return Type::Ipv4Addr,
                // `{"prefix": {"addr": A}}`, `{"range": [A, B]}`: the first of them.
                Data::Object(o) => match o.first() {
                    Some((_, inner)) => v = inner,
                    None => return Type::Invalid,
                },
                Data::Array(a) => match a.first() {
                    Some(inner) => v = inner,
                    None => return Type::Invalid,
                },
                _ => return Type::Invalid,
            }
        }
    }
}

/// As much of a text as fits into a message, on one line.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 60;
    let mut out = String::new();
    // Blanks count little, and there may be many of them.
    for word in text.split_ascii_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let left = MOST.saturating_sub(out.len());
        match word.char_indices().nth(left) {
            Some((end, _)) => {
                out.push_str(word.get(..end).unwrap_or_default());
                out.push_str("...");
                return out;
            }
            None => out.push_str(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(excerpt("{\n  \"a\":\t1 }"), "{ \"a\": 1 }");
        assert_eq!(excerpt(&"ü".repeat(100)), "ü".repeat(60) + "...");
        assert!(excerpt(&"ab ".repeat(100)).len() < 70);
    }

    #[test]
    fn lines_are_counted_in_either_direction() {
        let source = "a\nb\nc\nd";
        let mut lines = Lines::from(Place {
            span: Span::new(2, 7),
            line: 2,
        });
        assert_eq!(lines.at(source, 6), 4);
        assert_eq!(lines.at(source, 4), 3);
        assert_eq!(lines.at(source, 2), 2);
    }
}
