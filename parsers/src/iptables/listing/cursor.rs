//! Reading along a row: a cursor over the text that is left, and the values that extensions print.

use crate::common::{Family, MarkMask, Masked, Neg, Range, bits, mask};
use std::net::IpAddr;

/// The text that is still to be read. Copying it is how a reader looks ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cur<'a>(pub &'a str);

impl<'a> Cur<'a> {
    /// Whether nothing but white space is left.
    pub fn is_end(self) -> bool {
        self.0.trim_start().is_empty()
    }

    /// The next word; `None` at the end.
    pub fn word(self) -> Option<(&'a str, Self)> {
        let text = self.0.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        (!word.is_empty()).then_some((word, Self(rest)))
    }

    /// Past `word`, if that is the next word as a whole.
    pub fn eat(self, word: &str) -> Option<Self> {
        let (next, rest) = self.word()?;
        (next == word).then_some(rest)
    }

    /// Past several words in this order.
    pub fn eat_all(self, words: &str) -> Option<Self> {
        words.split(' ').try_fold(self, Self::eat)
    }

    /// Past `prefix`, which may be the beginning of a word (`to:`).
    pub fn prefix(self, prefix: &str) -> Option<Self> {
        self.0.trim_start().strip_prefix(prefix).map(Self)
    }

    /// Past a `!`, apart from the value or glued to it.
    pub fn bang(self) -> (bool, Self) {
        match self.prefix("!") {
            Some(rest) => (true, rest),
            None => (false, self),
        }
    }

    /// A word after an optional `!`.
    pub fn neg_word(self) -> Option<(Neg<&'a str>, Self)> {
        let (not, cur) = self.bang();
        let (value, cur) = cur.word()?;
        Some((Neg { not, value }, cur))
    }

    /// A word after an optional `!`, as `read` understands it.
    pub fn neg<T>(self, read: impl FnOnce(&'a str) -> Option<T>) -> Option<(Neg<T>, Self)> {
        let (word, cur) = self.neg_word()?;
        let value = read(word.value)?;
        Some((
            Neg {
                not: word.not,
                value,
            },
            cur,
        ))
    }

    /// The inside of `"..."`, backslashes kept as they stand.
    pub fn quoted(self) -> Option<(&'a str, Self)> {
        let text = self.prefix("\"")?.0;
        let mut escaped = false;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'"' if !escaped => {
                    return Some((text.get(..at)?, Self(text.get(at + 1..)?)));
                }
                _ => escaped = byte == b'\\' && !escaped,
            }
        }
        None
    }
}

/// A number, decimal or `0x` hexadecimal.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The same for a byte.
pub(super) fn byte(text: &str) -> Option<u8> {
    number(text).and_then(|n| u8::try_from(n).ok())
}

/// A DSCP: six bits.
pub(super) fn dscp(text: &str) -> Option<u8> {
    byte(text).filter(|value| *value < 64)
}

/// `VALUE[/MASK]`.
pub(super) fn mark(text: &str) -> Option<MarkMask> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, number(mask)?),
        None => (text, u32::MAX),
    };
    Some(MarkMask {
        value: number(value)?,
        mask,
    })
}

/// `A` or `A<separator>B`, each read by `read`.
pub(super) fn range<T: Copy + PartialOrd>(
    text: &str,
    separator: char,
    read: impl Fn(&str) -> Option<T>,
) -> Option<Range<T>> {
    let (lo, hi) = text.split_once(separator).unwrap_or((text, text));
    let (lo, hi) = (read(lo)?, read(hi)?);
    (lo <= hi).then_some(Range { lo, hi })
}

/// `ADDR`, `ADDR/LENGTH` or `ADDR/MASK`.
pub(super) fn masked(text: &str) -> Option<Masked> {
    let (addr, suffix) = match text.split_once('/') {
        Some((addr, suffix)) => (addr, Some(suffix)),
        None => (text, None),
    };
    let addr: IpAddr = addr.parse().ok()?;
    let family = Family::of(addr);
    let mask = match suffix {
        None => mask(family, family.bits()),
        Some(suffix) => match suffix.parse::<u8>() {
            Ok(len) => (len <= family.bits()).then(|| mask(family, len))?,
            Err(_) => suffix
                .parse()
                .ok()
                .filter(|m: &IpAddr| Family::of(*m) == family)?,
        },
    };
    Some(Masked { addr, mask })
}

/// `ADDR` or `ADDR-ADDR`.
pub(super) fn addresses(text: &str) -> Option<Range<IpAddr>> {
    range(text, '-', |a| a.parse().ok()).filter(|r| Family::of(r.lo) == Family::of(r.hi))
}

/// Whether every address of the family fits.
pub(super) fn is_any(m: &Masked) -> bool {
    bits(m.mask) == 0
}

/// A word in quotes as iptables-save would write it: bare where it is made of letters, digits, `_` and `-` only
/// (`xtables_save_string` in `libxtables/xtables.c`).
pub(super) fn save_string(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
