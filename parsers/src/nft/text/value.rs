//! Constants, read by their type.

use super::lex::{Tok, UNTYPED};
use super::parser::{Parser, short};
use super::scan::duration;
use crate::common::Text;
use crate::nft::{Const, Expr, Part, Type};
use std::borrow::Cow;

/// A constant, or the text of one that is none of its type.
pub(super) enum Value<'a> {
    Known(Part<'a>),
    Unknown(&'a str),
}

use Value::{Known, Unknown};

/// Where a constant stands, which tells how far flags go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// On the right of a comparison: `syn | ack`; `established, related` as one types it.
    Alone,
    /// Between operators: `tcp flags & syn | ack`.
    Operand,
    /// In an element: a comma and a blank end it.
    Listed,
}

impl<'a> Value<'a> {
    /// As an expression.
    pub fn expr(self) -> Expr<'a> {
        match self {
            Known(part) => Expr::Part(part),
            Unknown(text) => Expr::Opaque(text.into()),
        }
    }

    /// As a component of an element.
    pub fn part(self) -> Part<'a> {
        match self {
            Known(part) => part,
            Unknown(text) => Part::One(Const::Text(text.into())),
        }
    }
}

impl<'a> Parser<'a> {
    /// The constant here; one that is not known is reported.
    pub fn constant(&mut self, ty: Type, stands: Stands) -> Option<Value<'a>> {
        let start = self.lex.start;
        let value = match self.lex.tok {
            Tok::Str(s) => {
                self.lex.advance();
                self.string(s, start, ty)
            }
            Tok::Word(_) if ty.is_bitmask() => self.flags(ty, stands, start),
            Tok::Word(mut w) => {
                if let Some(comma) = w.find(',') {
                    self.lex.cut(comma.max(1));
                    w = w.get(..comma.max(1)).unwrap_or(w);
                }
                self.lex.advance();
                // A quote that is not closed.
                if w.starts_with('"') {
                    Unknown(w)
                } else {
                    plain(w, ty)
                }
            }
            Tok::LParen if ty.is_bitmask() => self.flags(ty, stands, start),
            _ => return None,
        };
        if let Unknown(text) = value {
            let message = format!("`{}` is no constant that is known here", short(text));
            let help = match ty {
                Type::Time | Type::Day | Type::Hour => {
                    "what depends on the time of day is left open"
                }
                _ => "`nft -n list ruleset` prints numbers instead of names",
            };
            self.report(start, self.lex.before, message, help);
        }
        Some(value)
    }

    /// What stands in quotes: names of devices; times and users, which nft quotes as well.
    fn string(&mut self, s: &'a str, start: usize, ty: Type) -> Value<'a> {
        match ty {
            Type::Ifname => Known(name(s)),
            Type::IfaceIndex | Type::Invalid => Known(Part::One(Const::Text(s.into()))),
            _ => {
                // `"09:00"-"17:00"`
                if self.lex.tok == Tok::Word("-")
                    && let Tok::Str(to) = self.lex.peek()
                {
                    self.lex.advance();
                    self.lex.advance();
                    return match (ty.number(s), ty.number(to)) {
                        (Some(lo), Some(hi)) if lo <= hi => Known(range(lo, hi)),
                        _ => Unknown(self.lex.since(start)),
                    };
                }
                ty.number(s)
                    .map_or(Unknown(s), |n| Known(Part::One(Const::Num(n))))
            }
        }
    }

    /// `established,related`, `fin | syn`, `(fin | syn)`: one number.
    fn flags(&mut self, ty: Type, stands: Stands, start: usize) -> Value<'a> {
        let (mut all, mut known) = (0, true);
        let paren = self.lex.tok == Tok::LParen;
        if paren {
            self.lex.advance();
        }
        while let Some(word) = self.lex.word_here() {
            self.lex.advance();
            if let Known(part @ Part::Range(..)) = plain(word, ty)
                && all == 0
                && !paren
            {
                return Known(part);
            }
            // libxtables words it `(fin|syn|rst)`.
            for flag in word.split([',', '|']) {
                match ty.number(flag) {
                    Some(bits) => all |= bits,
                    None => known = false,
                }
            }
            let more = match self.lex.tok {
                Tok::Word("|" | "or") => paren || stands != Stands::Operand,
                // `established, related`, as one types it.
                Tok::Comma => {
                    stands != Stands::Listed
                        && matches!(self.lex.peek(), Tok::Word(w) if ty.number(w).is_some())
                }
                _ => false,
            };
            if !more {
                break;
            }
            self.lex.advance();
        }
        if paren && self.lex.tok == Tok::RParen {
            self.lex.advance();
        }
        if known {
            Known(Part::One(Const::Num(all)))
        } else {
            Unknown(self.lex.since(start))
        }
    }
}

/// A word of this type: one value, a prefix, a range.
pub(super) fn plain(word: &str, ty: Type) -> Value<'_> {
    match ty {
        Type::Ifname => return Known(name(word)),
        Type::IfaceIndex if !word.bytes().all(|b| b.is_ascii_digit()) => {
            return Known(Part::One(Const::Text(word.into())));
        }
        Type::Invalid => {
            return match guess(word).map(|ty| plain(word, ty)) {
                Some(known @ Known(_)) => known,
                _ => Known(Part::One(Const::Text(word.into()))),
            };
        }
        _ => {}
    }
    let number = |text| scalar(text, ty);
    if let Some(n) = number(word) {
        return Known(Part::One(Const::Num(n)));
    }
    if let Some((addr, len)) = word.split_once('/')
        && let (Some(addr), Ok(len)) = (number(addr), len.parse::<u32>())
        && let Some(part) = prefix(addr, len, ty.bits())
    {
        return Known(part);
    }
    // Names hold hyphens too, so each of them may be the one between the ends.
    for (at, _) in word.match_indices('-').take(8) {
        let (from, to) = (word.get(..at), word.get(at + 1..));
        if let (Some(lo), Some(hi)) = (from.and_then(number), to.and_then(number))
            && lo <= hi
        {
            return Known(range(lo, hi));
        }
    }
    Unknown(word)
}

fn scalar(word: &str, ty: Type) -> Option<u128> {
    let word = word.strip_suffix(UNTYPED).unwrap_or(word);
    match ty {
        // In seconds, as JSON has it (`time_type_json` in nftables `src/json.c`).
        Type::Time if word.ends_with(|c: char| c.is_ascii_alphabetic()) => {
            duration(word).map(|ms| u128::from(ms / 1000))
        }
        _ => ty.number(word),
    }
}

/// A range; one value where its ends are the same.
pub(super) fn range<'a>(lo: u128, hi: u128) -> Part<'a> {
    if lo == hi {
        Part::One(Const::Num(lo))
    } else {
        Part::Range(lo, hi)
    }
}

/// The values that begin with the first `len` bits of `addr`.
pub(super) fn prefix<'a>(addr: u128, len: u32, bits: u32) -> Option<Part<'a>> {
    let host = bits.checked_sub(len)?;
    let mask = if host >= 128 {
        u128::MAX
    } else {
        (1 << host) - 1
    };
    Some(range(addr & !mask, addr | mask))
}

/// A name of a device, or the beginning of names.
pub(super) fn name(text: &str) -> Part<'_> {
    if let Some(stem) = text.strip_suffix("\\*") {
        return Part::One(Const::Text(Cow::Owned(format!("{stem}*"))));
    }
    match text.strip_suffix('*') {
        Some(stem) => Part::Wild(stem.into()),
        None => Part::One(Const::Text(Text::Borrowed(text))),
    }
}

/// The type of a constant that stands where no type is known.
pub(super) fn guess(word: &str) -> Option<Type> {
    let first = word.split(['-', '/']).next().unwrap_or_default();
    if !first.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') {
        return None;
    }
    if first.starts_with(|c: char| c.is_ascii_digit()) && Type::Integer(128).number(first).is_some()
    {
        return Some(Type::Integer(128));
    }
    [Type::Ipv4Addr, Type::EtherAddr, Type::Ipv6Addr]
        .into_iter()
        .find(|ty| ty.number(first).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, ty: Type, expected: &Part<'_>) {
        match plain(word, ty) {
            Known(part) => assert_eq!(&part, expected, "{word}"),
            Unknown(_) => panic!("{word} is not known"),
        }
    }

    #[test]
    fn prefixes_and_ranges() {
        let net = 0x0a00_0000;
        check(
            "10.0.0.0/8",
            Type::Ipv4Addr,
            &Part::Range(net, net | 0xff_ffff),
        );
        check("10.0.0.0/32", Type::Ipv4Addr, &Part::One(Const::Num(net)));
        check("0.0.0.0/0", Type::Ipv4Addr, &Part::Range(0, 0xffff_ffff));
        check("::/0", Type::Ipv6Addr, &Part::Range(0, u128::MAX));
        check(
            "10.0.0.0-10.0.0.1",
            Type::Invalid,
            &Part::Range(net, net + 1),
        );
        check("80-90", Type::InetService, &Part::Range(80, 90));
        check("80-80", Type::InetService, &Part::One(Const::Num(80)));
        check("echo-reply-8", Type::IcmpType, &Part::Range(0, 8));
        check("1:a", Type::ClassId, &Part::One(Const::Num(0x1_000a)));
        check("1:a-1:b", Type::ClassId, &Part::Range(0x1_000a, 0x1_000b));
        check("1m-1h", Type::Time, &Part::Range(60, 3600));
        for word in ["90-80", "10.0.0.0/33", "80/17"] {
            assert!(matches!(plain(word, Type::Ipv4Addr), Unknown(_)), "{word}");
            assert!(
                matches!(plain(word, Type::InetService), Unknown(_)),
                "{word}"
            );
        }
    }

    #[test]
    fn names_of_devices() {
        assert_eq!(name("cali*"), Part::Wild("cali".into()));
        assert_eq!(name("cali\\*"), Part::One(Const::Text("cali*".into())));
        assert_eq!(name("lo"), Part::One(Const::Text("lo".into())));
    }
}
