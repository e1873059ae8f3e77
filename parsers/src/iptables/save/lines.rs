//! Where logical lines end: at a line feed that does not stand inside quotes.
//!
//! xtables prints comments and log prefixes as they are, so a line feed in one of them is printed raw (`xtables_save_string`,
//! libxtables/xtables.c).

use memchr::{memchr, memchr2, memchr3};

/// One logical line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// First byte.
    pub start: usize,
    /// One past the last byte, without the line end.
    pub end: usize,
    /// Number of its first physical line, from 1.
    pub number: u32,
    /// A quote opens and does not close.
    pub unclosed: bool,
}

/// Iterates over the logical lines of a text.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    pos: usize,
    number: u32,
}

/// Longest quoted string that may hold a line feed: 255 bytes (`XT_MAX_COMMENT_LEN` less its terminator), each perhaps escaped.
const LONGEST: usize = 512;

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            pos: 0,
            number: 1,
        }
    }

    /// From the byte after an opening quote: one past the closing one, and how many line feeds are between. A quote that
    /// closes on a later line counts only where a blank or the line's end follows, as it does after every string that
    /// xtables prints; without this, one cut-off line would take in its neighbour, and that one the next.
    #[inline]
    fn closing(&self, open: usize) -> Option<(usize, u32)> {
        let rest = self.bytes.get(open..)?;
        let at = memchr3(b'"', b'\\', b'\n', rest)?;
        if rest.get(at) == Some(&b'"') {
            return Some((open + at + 1, 0));
        }
        self.closing_slowly(open, open + at)
    }

    /// The same from the first byte that needs thought.
    #[cold]
    fn closing_slowly(&self, open: usize, mut at: usize) -> Option<(usize, u32)> {
        loop {
            at += memchr2(b'"', b'\\', self.bytes.get(at..)?)?;
            if self.bytes.get(at) == Some(&b'"') {
                break;
            }
            at += 2;
        }
        let inside = self.bytes.get(open..at)?;
        let feeds = memchr::memchr_iter(b'\n', inside).count();
        if feeds == 0 {
            return Some((at + 1, 0));
        }
        let ends_word = matches!(
            self.bytes.get(at + 1),
            None | Some(b' ' | b'\t' | b'\r' | b'\n')
        );
        (ends_word && inside.len() <= LONGEST)
            .then(|| (at + 1, u32::try_from(feeds).unwrap_or(u32::MAX)))
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    #[inline]
    fn next(&mut self) -> Option<Line> {
        let start = self.pos;
        if start >= self.bytes.len() {
            return None;
        }
        let number = self.number;
        self.number += 1;
        let mut line = Line {
            start,
            end: self.bytes.len(),
            number,
            unclosed: false,
        };
        let mut at = start;
        while let Some(found) = self.bytes.get(at..).and_then(|b| memchr2(b'\n', b'"', b)) {
            at += found;
            if self.bytes.get(at) == Some(&b'\n') {
                line.end = at;
                break;
            }
            if let Some((after, feeds)) = self.closing(at + 1) {
                at = after;
                self.number = self.number.saturating_add(feeds);
            } else {
                line.unclosed = true;
                let rest = self.bytes.get(at..).unwrap_or_default();
                line.end = memchr(b'\n', rest).map_or(self.bytes.len(), |feed| at + feed);
                break;
            }
        }
        self.pos = line.end + 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, u32)]) {
        let got: Vec<_> = Lines::new(text)
            .map(|l| (text.get(l.start..l.end).unwrap_or("?"), l.number))
            .collect();
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn line_feeds_inside_quotes_do_not_end_a_line() {
        check("", &[]);
        check("\n", &[("", 1)]);
        check("a\nb", &[("a", 1), ("b", 2)]);
        check("a \"x\ny\" b\nc\n", &[("a \"x\ny\" b", 1), ("c", 3)]);
        check("a \"x\\\"\ny\"\r\nc", &[("a \"x\\\"\ny\"\r", 1), ("c", 3)]);
        check("\"x\ny\"\n\"\n\"", &[("\"x\ny\"", 1), ("\"\n\"", 3)]);
    }

    #[test]
    fn a_cut_off_line_does_not_take_in_the_next() {
        check(
            "-A X --comment \"ab\n-A X --comment \"cd ef\" -j Y\n-A Z\n",
            &[
                ("-A X --comment \"ab", 1),
                ("-A X --comment \"cd ef\" -j Y", 2),
                ("-A Z", 3),
            ],
        );
        assert!(Lines::new("a \"b\nc").next().is_some_and(|l| l.unclosed));
        let long = format!("\"{}\n\" x", "a".repeat(600));
        assert_eq!(Lines::new(&long).count(), 2);
    }
}
