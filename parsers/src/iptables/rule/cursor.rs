//! The place in a rule line: the option being read, its `!`, its arguments, and what can be wrong with them.

use crate::common::{Diagnostic, Family, Neg, Span, Text};
use crate::iptables::RuleLine;
use crate::iptables::lex::{Lexer, Token};
use std::borrow::Cow;

/// Help for lines and rules that end too early.
pub(super) const CUT: &str = "the line is cut off: capture the dump again";

/// What is wrong with a line; offsets are within the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// The line ends where a value is due.
    Missing,
    /// The line ends inside quotes.
    Unclosed,
    /// The value is not `what`.
    Value(&'static str),
    /// Anything else: the message follows the quoted word, then a line of help.
    Other(&'static str, &'static str),
}

impl Fault {
    pub fn at(token: &Token<'_>, kind: Kind) -> Self {
        Self {
            start: token.start,
            end: token.end,
            kind,
        }
    }

    /// The message, with the offending word in it.
    pub fn message(&self, line: &str) -> String {
        let word = line.get(self.start..self.end).unwrap_or_default();
        match self.kind {
            Kind::Missing => format!("`{word}` lacks its value"),
            Kind::Unclosed => format!("`{word}` has no closing quote"),
            Kind::Value(what) => format!("`{word}` is not {what}"),
            Kind::Other(what, _) => format!("`{word}` {what}"),
        }
    }

    /// As a diagnostic; `line` is the text of the rule.
    pub fn diagnostic(&self, at: RuleLine, line: &str) -> Diagnostic {
        let help = match self.kind {
            Kind::Missing | Kind::Unclosed => CUT,
            Kind::Value(_) => "compare with the output of iptables-save on the node",
            Kind::Other(_, help) => help,
        };
        let base = at.span.start as usize;
        let before = line.as_bytes().get(..self.start).unwrap_or_default();
        let newlines = memchr::memchr_iter(b'\n', before).count();
        Diagnostic::warning(
            at.line
                .saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX)),
            Span::new(base + self.start, base + self.end),
            self.message(line),
        )
        .help(help)
    }
}

/// The words of one line, and the option among them that is being read.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub lex: Lexer<'a>,
    pub family: Family,
    /// Whether `!` stands before the option, or, as before 1.4.3, before its value.
    pub not: bool,
    /// The option itself.
    pub option: Token<'a>,
    /// Where the option starts, `!` included.
    pub from: usize,
}

impl<'a> Cursor<'a> {
    /// The next argument of the option.
    #[inline]
    pub fn argument(&mut self) -> Result<Token<'a>, Fault> {
        let mut next = self.lex.next();
        if next.is_some_and(|token| token.raw == "!" && !token.is_quoted()) {
            self.not = !self.not;
            next = self.lex.next();
        }
        match next {
            Some(token) if token.is_unclosed() => Err(Fault::at(&token, Kind::Unclosed)),
            Some(token) => Ok(token),
            None => Err(Fault::at(&self.option, Kind::Missing)),
        }
    }

    /// The next argument as text.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Fault> {
        Ok(self.argument()?.text())
    }

    /// The next argument through `parse`; `what` names it where it does not fit.
    #[inline]
    pub fn value<T>(
        &mut self,
        what: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Fault> {
        let token = self.argument()?;
        match parse(token.raw) {
            Some(value) => Ok(value),
            None => Err(Fault::at(&token, Kind::Value(what))),
        }
    }

    /// As [`Self::value`], with the option's `!`.
    #[inline]
    pub fn neg<T>(
        &mut self,
        what: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Neg<T>, Fault> {
        let value = self.value(what, parse)?;
        Ok(Neg {
            not: self.not,
            value,
        })
    }

    /// The option, alone, with its `!`.
    pub fn flag(&self) -> Neg<()> {
        Neg {
            not: self.not,
            value: (),
        }
    }

    /// Appends the option and `arguments` words after it to `kept`, as they are written.
    pub fn keep(&mut self, kept: &mut Text<'a>, arguments: usize) -> Result<(), Fault> {
        for _ in 0..arguments {
            self.argument()?;
        }
        append(kept, self.lex.text(), self.from, self.lex.pos());
        Ok(())
    }
}

/// Appends `line[from..to]` to `kept`, which stays borrowed as long as its parts are neighbours in the line.
pub(super) fn append<'a>(kept: &mut Text<'a>, line: &'a str, from: usize, to: usize) {
    let part = line.get(from..to).unwrap_or_default();
    if kept.is_empty() {
        *kept = Cow::Borrowed(part);
        return;
    }
    if let Cow::Borrowed(before) = kept {
        // Where the kept part stands in the line; out of range if it is not of this line.
        let start = (before.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        let gap = start
            .checked_add(before.len())
            .and_then(|end| line.get(end..from));
        if gap.is_some_and(|gap| gap.trim().is_empty()) {
            *kept = Cow::Borrowed(line.get(start..to).unwrap_or_default());
            return;
        }
    }
    let kept = kept.to_mut();
    kept.push(' ');
    kept.push_str(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_stay_borrowed() {
        let line = "--a 1  --b 2 -s x --c 3";
        let mut kept = Cow::Borrowed("");
        append(&mut kept, line, 0, 5);
        append(&mut kept, line, 7, 12);
        assert!(matches!(kept, Cow::Borrowed("--a 1  --b 2")));
        append(&mut kept, line, 18, 23);
        assert_eq!(kept, "--a 1  --b 2 --c 3");
    }
}
