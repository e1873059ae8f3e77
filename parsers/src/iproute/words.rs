//! Lines and words of iproute2's text, with byte offsets, and the small values that stand in them.

use super::{Scope, TableRef};
use crate::common::{Diagnostic, Family, Span, Text};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

/// One line of the source, without its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// From 1.
    pub no: u32,
    /// Offset of the first byte in the source.
    pub start: usize,
    /// The line; a comment behind it is cut off.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// The line's span without surrounding blanks.
    pub fn span(&self) -> Span {
        let trimmed = self.text.trim_start();
        let lead = self.text.len() - trimmed.len();
        Span::new(
            self.start + lead,
            self.start + lead + trimmed.trim_end().len(),
        )
    }

    /// A warning about the whole line.
    pub fn warning(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.no, self.span(), message)
    }

    /// Its words.
    pub fn words(&self) -> Words<'a> {
        Words {
            line: *self,
            pos: 0,
            start: 0,
        }
    }

    /// The parts of a line that `ip -o` joined with a backslash; a line without one is its only part.
    ///
    /// `-o` sets `_SL_` to a backslash (iproute2 ip/ip.c main), and what follows it on a line of its own starts with a blank.
    pub fn parts(self) -> impl Iterator<Item = Line<'a>> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let from = next?;
            let rest = self.text.get(from..)?;
            let mut end = rest.len();
            next = None;
            for (i, _) in rest.match_indices('\\') {
                if rest[i + 1..].starts_with([' ', '\t']) {
                    end = i;
                    next = Some(from + i + 1);
                    break;
                }
            }
            Some(Line {
                no: self.no,
                start: self.start + from,
                text: &rest[..end],
            })
        })
    }
}

/// The lines of `source`. A comment (` # ...`, as people write behind pasted lines) is cut off.
pub(super) fn lines(source: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    source.split('\n').zip(1u32..).map(move |(raw, no)| {
        let at = start;
        start += raw.len() + 1;
        let text = raw.strip_suffix('\r').unwrap_or(raw);
        Line {
            no,
            start: at,
            text: without_comment(text),
        }
    })
}

fn without_comment(text: &str) -> &str {
    for i in memchr::memchr_iter(b'#', text.as_bytes()) {
        let before = i.checked_sub(1).and_then(|i| text.as_bytes().get(i));
        if before.is_some_and(u8::is_ascii_whitespace) {
            return &text[..i];
        }
    }
    text
}

/// The words of a line.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    line: Line<'a>,
    pos: usize,
    start: usize,
}

impl<'a> Words<'a> {
    /// The next word without taking it.
    pub fn peek(&self) -> Option<&'a str> {
        self.clone().next()
    }

    /// Takes the next word if it is `word`.
    pub fn eat(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let hit = ahead.next() == Some(word);
        if hit {
            *self = ahead;
        }
        hit
    }

    /// Where in the line the word taken last starts.
    pub fn word_start(&self) -> usize {
        self.start
    }

    /// Where in the line the word taken last ends.
    pub fn word_end(&self) -> usize {
        self.pos
    }

    /// The line's text between two offsets.
    pub fn slice(&self, start: usize, end: usize) -> &'a str {
        self.line.text.get(start..end).unwrap_or_default()
    }

    /// A warning that points at the word taken last.
    pub fn warning(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(
            self.line.no,
            Span::new(self.line.start + self.start, self.line.start + self.pos),
            message,
        )
    }

    /// The value behind the keyword `key`, which was taken last; a warning where the line ends or `read` refuses it.
    pub fn value<T>(
        &mut self,
        key: &str,
        diagnostics: &mut Vec<Diagnostic>,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let Some(word) = self.next() else {
            diagnostics.push(self.warning(format!("the line ends after `{key}`")).help(
                "the output looks cut; capture it again without a pager or a narrow terminal",
            ));
            return None;
        };
        let value = read(word);
        if value.is_none() {
            diagnostics.push(self.warning(format!("`{word}` is no value for `{key}`")));
        }
        value
    }

    /// The word behind the keyword `key`.
    pub fn text(&mut self, key: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Text<'a>> {
        self.value(key, diagnostics, |w| Some(Cow::Borrowed(w)))
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.line.text.as_bytes();
        let start = self.pos
            + bytes
                .get(self.pos..)?
                .iter()
                .position(|b| !b.is_ascii_whitespace())?;
        let end = bytes
            .get(start..)?
            .iter()
            .position(u8::is_ascii_whitespace)
            .map_or(bytes.len(), |n| start + n);
        self.start = start;
        self.pos = end;
        self.line.text.get(start..end)
    }
}

/// Collects what has no field of its own: borrowed while it is one stretch of the line, owned else.
#[derive(Debug, Default)]
pub(super) struct Rest<'a> {
    text: Option<Text<'a>>,
    end: usize,
}

impl<'a> Rest<'a> {
    /// Adds the stretch `start..` up to the word taken last.
    pub fn push(&mut self, words: &Words<'a>, start: usize) {
        let end = words.word_end();
        let new = words.slice(start, end);
        self.text = Some(match self.text.take() {
            None => Cow::Borrowed(new),
            Some(Cow::Borrowed(old)) if words.slice(self.end, start) == " " => {
                Cow::Borrowed(words.slice(self.end - old.len(), end))
            }
            Some(old) => Cow::Owned(format!("{old} {new}")),
        });
        self.end = end;
    }

    /// Adds a word that does not stand in this line.
    pub fn push_word(&mut self, word: &'a str) {
        append(&mut self.text, word);
        // No stretch of the line ends there, so that the next one is not joined to it in place.
        self.end = usize::MAX;
    }

    /// What was collected.
    pub fn finish(self) -> Option<Text<'a>> {
        self.text
    }
}

/// Adds words to a text, with one blank between.
pub(super) fn append<'a>(text: &mut Option<Text<'a>>, more: &'a str) {
    *text = Some(match text.take() {
        None => Cow::Borrowed(more),
        Some(old) => Cow::Owned(format!("{old} {more}")),
    });
}

/// The same text, owned.
pub(super) fn own(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

/// The same text, owned, where there is one.
pub(super) fn own_opt(text: Option<Text<'_>>) -> Option<Text<'static>> {
    text.map(own)
}

/// An address with a prefix length: `10.0.0.0/8`, `10.0.0.1` (all bits), `0/8` (`print_route` without `RTA_DST` in
/// iproute2 ip/iproute.c).
pub(super) fn prefix(word: &str) -> Option<(IpAddr, u8)> {
    let (addr, len) = match word.split_once('/') {
        Some((a, l)) => (a, Some(l)),
        None => (word, None),
    };
    let ip = match addr {
        "0" if len.is_some() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => addr.parse().ok()?,
    };
    let bits = Family::of(ip).bits();
    let len = match len {
        None => bits,
        Some(l) => l.parse().ok().filter(|l| *l <= bits)?,
    };
    Some((ip, len))
}

/// A number as C's `%#x` prints it: `0x4000`, or `0`, or decimal.
pub(super) fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

/// A table by number or by one of the names every `rt_tables` has (iproute2 `lib/rt_names.c` `rtnl_rttable_tab`).
pub(super) fn table(word: &str) -> TableRef<'_> {
    match word {
        "local" => TableRef::LOCAL,
        "main" => TableRef::MAIN,
        "default" => TableRef::DEFAULT,
        "unspec" => TableRef::Id(0),
        _ => number(word).map_or(TableRef::Name(Cow::Borrowed(word)), TableRef::Id),
    }
}

/// A scope by number or name (iproute2 `lib/rt_names.c` `rtnl_rtscope_tab`).
pub(super) fn scope(word: &str) -> Option<Scope> {
    Some(match word {
        "global" => Scope::GLOBAL,
        "site" => Scope::SITE,
        "link" => Scope::LINK,
        "host" => Scope::HOST,
        "nowhere" => Scope::NOWHERE,
        _ => Scope(u8::try_from(number(word)?).ok()?),
    })
}

/// Names of `etc/iproute2/rt_dsfield`, which `ip` prints instead of `0x%02x`.
const DSFIELDS: &[(&str, u8)] = &[
    ("default", 0x00),
    ("AF11", 0x28),
    ("AF12", 0x30),
    ("AF13", 0x38),
    ("AF21", 0x48),
    ("AF22", 0x50),
    ("AF23", 0x58),
    ("AF31", 0x68),
    ("AF32", 0x70),
    ("AF33", 0x78),
    ("AF41", 0x88),
    ("AF42", 0x90),
    ("AF43", 0x98),
    ("CS1", 0x20),
    ("CS2", 0x40),
    ("CS3", 0x60),
    ("CS4", 0x80),
    ("CS5", 0xa0),
    ("CS6", 0xc0),
    ("CS7", 0xe0),
    ("EF", 0xb8),
];

/// A DS field: `0x10`, `CS1`, and the names older `rt_dsfield` files had. Bare digits are hexadecimal, as in iproute2
/// `lib/rt_names.c` `rtnl_dsfield_a2n`.
pub(super) fn dsfield(word: &str) -> Option<u8> {
    if let Some((_, v)) = DSFIELDS.iter().find(|(n, _)| *n == word) {
        return Some(*v);
    }
    match word {
        "lowdelay" => Some(0x10),
        "throughput" => Some(0x08),
        "reliability" => Some(0x04),
        _ => u8::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok(),
    }
}

/// The DS field as `ip` prints it (iproute2 `lib/rt_names.c` `rtnl_dsfield_n2a`).
pub(super) fn dsfield_name(value: u8) -> Text<'static> {
    match DSFIELDS.iter().find(|(_, v)| *v == value) {
        Some((n, _)) => Cow::Borrowed(*n),
        None => Cow::Owned(format!("{value:#04x}")),
    }
}

/// Takes `encap TYPE ...`, whose keyword was taken last, up to the words of the route itself.
///
/// An encapsulation is followed by the route's `tos`, `via` or `dev` (iproute2 ip/iproute.c `print_route`); its own words
/// include `tos` (type ip) and `table` (seg6local), see `ip/iproute_lwtunnel.c`.
pub(super) fn encap<'a>(words: &mut Words<'a>) -> Option<Text<'a>> {
    let mut own_tos = words.peek() == Some("ip");
    let mut stretch = Rest::default();
    while let Some(word) = words.peek() {
        match word {
            "via" | "dev" => break,
            "tos" if !own_tos => break,
            "tos" => own_tos = false,
            _ => {}
        }
        words.next();
        stretch.push(words, words.word_start());
    }
    stretch.finish()
}

/// Whether the text is JSON.
pub(super) fn is_json(source: &str) -> bool {
    source.trim_start().starts_with(['[', '{'])
}

/// Help for a line that is a complaint of `ip` rather than its output.
pub(super) fn not_understood(line: &Line<'_>, what: &str) -> Diagnostic {
    let text = line.text.trim();
    let complaint = [
        "RTNETLINK answers",
        "Error:",
        "Device \"",
        "Cannot ",
        "Object \"",
        "Dump terminated",
        "Command ",
        "Usage:",
        "bash:",
        "sh:",
    ]
    .iter()
    .any(|p| text.starts_with(p));
    let d = line.warning(format!("this is no {what}"));
    if complaint {
        d.help("the command failed there; run it again, as root")
    } else {
        d
    }
}
