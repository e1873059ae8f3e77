//! The state of reading one rule or one set's elements.

use super::lex::{Lexer, Tok};
use crate::common::{Diagnostic, Span};
use crate::nft::{Place, TableFamily};
use memchr::memchr_iter;

/// How deep expressions may be nested. nft prints at most a few levels.
pub(super) const DEPTH: u8 = 16;

/// How many operators one expression may have.
pub(super) const OPERATORS: usize = 64;

/// Reads words; every `Option` of its methods is `None` where they are not understood, with the lexer at the word that is to blame.
pub(super) struct Parser<'a> {
    pub lex: Lexer<'a>,
    pub family: TableFamily,
    pub diagnostics: Vec<Diagnostic>,
    source: &'a str,
    /// Of this byte the number of its line is known.
    counted: (usize, u32),
}

impl<'a> Parser<'a> {
    pub fn new(source: &'a str, at: Place, family: TableFamily) -> Self {
        let (start, end) = (at.span.start as usize, at.span.end as usize);
        Self {
            lex: Lexer::new(source, start, end),
            family,
            diagnostics: Vec::new(),
            source,
            counted: (start.min(source.len()), at.line),
        }
    }

    /// Reports something about these bytes.
    pub fn report(&mut self, start: usize, end: usize, message: String, help: &str) {
        let line = self.line(start);
        let d = Diagnostic::warning(line, Span::new(start, end.max(start)), message);
        self.diagnostics.push(d.help(help));
    }

    /// Reports the word here.
    pub fn report_here(&mut self, message: String, help: &str) {
        self.report(self.lex.start, self.lex.stop, message, help);
    }

    /// Counts on from the last line that was asked for, so that many reports cost no more than one walk through the text.
    fn line(&mut self, at: usize) -> u32 {
        let (known, line) = self.counted;
        let count = |from: usize, to: usize| {
            let text = self.source.as_bytes().get(from..to).unwrap_or_default();
            u32::try_from(memchr_iter(b'\n', text).count()).unwrap_or(u32::MAX)
        };
        let line = if at >= known {
            line.saturating_add(count(known, at))
        } else {
            line.saturating_sub(count(at, known)).max(1)
        };
        self.counted = (at, line);
        line
    }

    /// A word that must be there.
    pub fn word(&mut self) -> Option<&'a str> {
        let word = self.lex.word_here()?;
        self.lex.advance();
        Some(word)
    }

    /// A number that must be there.
    pub fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        let n = self.lex.word_here().and_then(integer)?;
        self.lex.advance();
        Some(n)
    }

    /// `tok` must be there.
    pub fn expect(&mut self, tok: Tok<'_>) -> Option<()> {
        (self.lex.tok == tok).then(|| {
            self.lex.advance();
        })
    }

    /// The word must be there.
    pub fn keyword(&mut self, word: &str) -> Option<()> {
        self.lex.eat(word).then_some(())
    }

    /// A name: a plain word or one in quotes.
    pub fn name(&mut self) -> Option<&'a str> {
        match self.lex.tok {
            Tok::Word(w) | Tok::Str(w) => {
                self.lex.advance();
                Some(w)
            }
            _ => None,
        }
    }
}

fn integer<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| word.parse().ok())
        .flatten()
}

/// What the word is called in a report.
pub(super) fn describe(tok: Tok<'_>) -> String {
    match tok {
        Tok::Word(w) => format!("`{}`", short(w)),
        Tok::Str(s) => format!("`\"{}\"`", short(s)),
        Tok::Open => "`{`".into(),
        Tok::Close => "`}`".into(),
        Tok::Comma => "`,`".into(),
        Tok::LParen => "`(`".into(),
        Tok::RParen => "`)`".into(),
        Tok::Semi => "`;`".into(),
        Tok::End => "the end".into(),
    }
}

/// No more of a word than fits on a line.
pub(super) fn short(word: &str) -> &str {
    match word.char_indices().nth(60) {
        Some((end, _)) => word.get(..end).unwrap_or(word),
        None => word,
    }
}
