//! Words of a rule line, split and unquoted as `iptables-restore` does (`add_param_to_argv` in iptables/xshared.c): a word ends
//! at a blank or at a closing quote; inside quotes a backslash makes the next character literal.

use crate::common::Text;
use memchr::memchr2;
use std::borrow::Cow;

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// Without any quote.
    Plain,
    /// `"..."` without a backslash: [`Token::raw`] is the inside.
    Quoted,
    /// With a backslash, or with a quote that opens within the word: [`Token::raw`] is all of it.
    Escaped,
    /// The closing quote is missing.
    Unclosed,
}

/// One word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    /// The word; of a plainly quoted one, the inside of its quotes.
    pub raw: &'a str,
    /// Offset of its first byte, quotes included, in the text given to [`Lexer::new`].
    pub start: usize,
    /// One past its last byte, quotes included.
    pub end: usize,
    quoting: Quoting,
}

impl<'a> Token<'a> {
    /// Whether quotes are part of it: a quoted `!` or `-j` is a value, never an operator.
    pub fn is_quoted(&self) -> bool {
        self.quoting != Quoting::Plain
    }

    /// The first `len` bytes as a word of their own; of a word without quotes.
    pub fn first(&self, len: usize) -> Self {
        Self {
            raw: self.raw.get(..len).unwrap_or_default(),
            end: self.start + len,
            ..*self
        }
    }

    /// Whether its closing quote is missing.
    pub fn is_unclosed(&self) -> bool {
        self.quoting == Quoting::Unclosed
    }

    /// What the word means, without quotes and backslashes; allocates only where it has a backslash.
    pub fn text(&self) -> Text<'a> {
        match self.quoting {
            Quoting::Plain | Quoting::Quoted => Cow::Borrowed(self.raw),
            Quoting::Escaped | Quoting::Unclosed => Cow::Owned(unescape(self.raw)),
        }
    }
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut inside = false;
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => inside = !inside,
            '\\' if inside => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    out
}

/// Splits a text into words.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
}

#[inline]
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, pos: 0 }
    }

    /// The text given to [`Lexer::new`].
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// One past the last byte of the last word.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// The same text, read on from `pos`.
    pub fn back_to(&self, pos: usize) -> Self {
        Self {
            text: self.text,
            pos,
        }
    }

    /// An empty word at the start, for where no word has been read yet.
    pub fn nothing(text: &'a str) -> Token<'a> {
        Token {
            raw: text.get(..0).unwrap_or_default(),
            start: 0,
            end: 0,
            quoting: Quoting::Plain,
        }
    }

    /// The next word, without moving on.
    pub fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    fn token(&mut self, start: usize, end: usize, quoting: Quoting) -> Token<'a> {
        self.pos = end;
        // A plainly quoted word is given without its quotes, which are one byte each.
        let inside = match quoting {
            Quoting::Quoted => start + 1..end - 1,
            _ => start..end,
        };
        Token {
            raw: self.text.get(inside).unwrap_or_default(),
            start,
            end,
            quoting,
        }
    }

    /// A word in which a quote opens at `open`.
    fn quoted(&mut self, start: usize, open: usize) -> Token<'a> {
        let bytes = self.text.as_bytes();
        let mut quoting = if open == start {
            Quoting::Quoted
        } else {
            Quoting::Escaped
        };
        let mut at = open + 1;
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found;
            if bytes.get(at) == Some(&b'"') {
                return self.token(start, at + 1, quoting);
            }
            quoting = Quoting::Escaped;
            // The escaped character may be longer than a byte; its tail holds neither quote nor backslash.
            at += 2;
        }
        self.token(start, bytes.len(), Quoting::Unclosed)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.text.as_bytes().get(self.pos..)?;
        let start = self.pos + rest.iter().position(|&b| !is_blank(b))?;
        let word = self.text.as_bytes().get(start..)?;
        let len = word
            .iter()
            .position(|&b| is_blank(b) || b == b'"')
            .unwrap_or(word.len());
        if word.get(len) == Some(&b'"') {
            return Some(self.quoted(start, start + len));
        }
        Some(self.token(start, start + len, Quoting::Plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[&str]) {
        let words: Vec<_> = Lexer::new(input).map(|t| t.text().into_owned()).collect();
        assert_eq!(words, expected, "{input}");
    }

    #[test]
    fn words_split_as_restore_splits_them() {
        check("", &[]);
        check("  -A  X\t-j Y \r\n", &["-A", "X", "-j", "Y"]);
        check(
            r#"--comment "two words" -j A"#,
            &["--comment", "two words", "-j", "A"],
        );
        check(r#""" x"#, &["", "x"]);
        check(r#""a\"b\\c\'d" e"#, &[r#"a"b\c'd"#, "e"]);
        check("\"line one\nline two\" x", &["line one\nline two", "x"]);
        check(r#""abc"def"#, &["abc", "def"]);
        check(r#"a"b c"d"#, &["ab c", "d"]);
        check(r"a\b", &[r"a\b"]);
        check("\"\\ä\" ü", &["ä", "ü"]);
    }

    #[test]
    fn a_missing_quote_is_told() {
        let token = Lexer::new(r#"x "abc def\"#).nth(1);
        assert!(token.is_some_and(|t| t.is_unclosed() && t.is_quoted() && t.start == 2));
        assert!(Lexer::new("\"").next().is_some_and(|t| t.is_unclosed()));
        assert!(Lexer::new("\"a\"").next().is_some_and(|t| !t.is_unclosed()));
    }
}
