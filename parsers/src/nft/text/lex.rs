//! Words of a rule.

use super::scan::string_end;

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tok<'a> {
    /// Anything up to a blank or one of the others. A comma with something behind it is part of it: `established,related`.
    Word(&'a str),
    /// `"..."`, without its quotes.
    Str(&'a str),
    /// `{`.
    Open,
    /// `}`.
    Close,
    /// `,`.
    Comma,
    /// `(`.
    LParen,
    /// `)`.
    RParen,
    /// `;`.
    Semi,
    /// There is no more.
    End,
}

/// Steps through words; `tok` is the one it stands at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    source: &'a str,
    limit: usize,
    /// The word.
    pub tok: Tok<'a>,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub stop: usize,
    /// One past the last byte of the word before it.
    pub before: usize,
}

impl<'a> Lexer<'a> {
    /// At the first word of `start..limit`; at the end where that is not within the text.
    pub fn new(source: &'a str, start: usize, limit: usize) -> Self {
        let within = source.get(start..limit).is_some();
        let mut lexer = Self {
            source,
            limit: if within { limit } else { source.len() },
            tok: Tok::End,
            start,
            stop: if within { start } else { source.len() },
            before: start.min(source.len()),
        };
        lexer.advance();
        lexer
    }

    /// On to the next word; gives the one it stood at.
    pub fn advance(&mut self) -> Tok<'a> {
        let was = self.tok;
        self.before = self.stop;
        let bytes = self.source.as_bytes();
        let mut at = self.stop;
        while at < self.limit && bytes.get(at).is_some_and(|b| blank(*b)) {
            at += 1;
        }
        self.start = at;
        let single = |tok| (tok, at + 1);
        let (tok, stop) = match bytes.get(at) {
            _ if at >= self.limit => (Tok::End, self.limit),
            None => (Tok::End, self.limit),
            Some(b'{') => single(Tok::Open),
            Some(b'}') => single(Tok::Close),
            Some(b'(') => single(Tok::LParen),
            Some(b')') => single(Tok::RParen),
            Some(b';') => single(Tok::Semi),
            Some(b',') => single(Tok::Comma),
            Some(b'"') => match string_end(self.source, at + 1, self.limit) {
                Some(end) => (
                    Tok::Str(self.source.get(at + 1..end - 1).unwrap_or_default()),
                    end,
                ),
                // Not closed: an ordinary word, which nothing knows.
                None => self.word(at),
            },
            Some(_) => self.word(at),
        };
        (self.tok, self.stop) = (tok, stop);
        was
    }

    fn word(&self, at: usize) -> (Tok<'a>, usize) {
        let rest = self
            .source
            .as_bytes()
            .get(at..self.limit)
            .unwrap_or_default();
        let mut len = 1;
        while let Some(b) = rest.get(len) {
            match b {
                b'{' | b'}' | b'(' | b')' | b'"' | b';' => break,
                b if blank(*b) => {
                    if !rest
                        .get(len..)
                        .is_some_and(|r| r.starts_with(UNTYPED.as_bytes()))
                    {
                        break;
                    }
                    len += UNTYPED.len();
                    continue;
                }
                b',' => match rest.get(len + 1) {
                    None | Some(b'}' | b'"' | b'{') => break,
                    Some(b) if blank(*b) => break,
                    Some(_) => {}
                },
                _ => {}
            }
            len += 1;
        }
        let text = self.source.get(at..at + len).unwrap_or_default();
        (Tok::Word(text), at + len)
    }

    /// The word here is only its first `len` bytes; the next one begins behind them.
    pub fn cut(&mut self, len: usize) {
        if let Tok::Word(w) = self.tok
            && let Some(first) = w.get(..len)
            && len > 0
        {
            self.tok = Tok::Word(first);
            self.stop = self.start + len;
        }
    }

    /// Takes the first `len` bytes of the word here; what is left of it comes next.
    pub fn skip(&mut self, len: usize) {
        self.cut(len);
        self.advance();
    }

    /// The word here, if it is a plain one.
    pub fn word_here(&self) -> Option<&'a str> {
        match self.tok {
            Tok::Word(w) => Some(w),
            _ => None,
        }
    }

    /// The next word without moving on.
    pub fn peek(&self) -> Tok<'a> {
        let mut next = *self;
        next.advance();
        next.tok
    }

    /// Whether the word here is this one; goes behind it if so.
    pub fn eat(&mut self, word: &str) -> bool {
        let here = self.tok == Tok::Word(word);
        if here {
            self.advance();
        }
        here
    }

    /// The text from `start` up to the last word that was taken.
    pub fn since(&self, start: usize) -> &'a str {
        self.source.get(start..self.before).unwrap_or_default()
    }

    /// The text from `start` to the end.
    pub fn rest(&self, start: usize) -> &'a str {
        self.source.get(start..self.limit).unwrap_or_default()
    }

    /// To the end.
    pub fn finish(&mut self) {
        (self.tok, self.start, self.stop) = (Tok::End, self.limit, self.limit);
    }
}

/// What nft 1.0 prints behind a number whose type it has lost: `ct original proto-dst 0x50 [invalid type]`.
pub(super) const UNTYPED: &str = " [invalid type]";

fn blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Tok<'_>> {
        let mut lexer = Lexer::new(text, 0, text.len());
        let mut all = Vec::new();
        while lexer.tok != Tok::End {
            all.push(lexer.advance());
        }
        all
    }

    #[test]
    fn a_comma_within_a_word_is_part_of_it() {
        use Tok::{Close, Comma, Open, Str, Word};
        assert_eq!(
            words("ct state established,related { 1, 2,\n\t3 } log prefix \"a, b\""),
            [
                Word("ct"),
                Word("state"),
                Word("established,related"),
                Open,
                Word("1"),
                Comma,
                Word("2"),
                Comma,
                Word("3"),
                Close,
                Word("log"),
                Word("prefix"),
                Str("a, b")
            ]
        );
    }

    #[test]
    fn what_is_not_closed_is_a_word() {
        assert_eq!(words("\"eth0"), [Tok::Word("\"eth0")]);
        assert_eq!(
            words("x\"eth0\""),
            [Tok::Word("x"), Tok::Str("eth0")],
            "a quote ends a word"
        );
    }

    #[test]
    fn a_word_can_be_cut() {
        let mut lexer = Lexer::new("10.0.0.1:80 drop", 0, 16);
        lexer.skip(8);
        assert_eq!(lexer.tok, Tok::Word(":80"));
        assert_eq!(lexer.peek(), Tok::Word("drop"));
    }
}
