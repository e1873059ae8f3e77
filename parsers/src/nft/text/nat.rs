//! Translations.

use super::lex::Tok;
use super::parser::{Parser, short};
use super::value::{Value, plain, range};
use crate::common::Family;
use crate::nft::stmt::{Nat, NatKind};
use crate::nft::{Const, Expr, Part, Stmt, Type};
use std::net::Ipv6Addr;

impl<'a> Parser<'a> {
    /// `dnat [ip|ip6] [prefix] to ADDR[:PORT] [random,persistent]`.
    pub fn nat(&mut self, first: &str, depth: u8) -> Option<Stmt<'a>> {
        self.lex.advance();
        let kind = match first {
            "snat" => NatKind::Snat,
            "dnat" => NatKind::Dnat,
            "masquerade" => NatKind::Masquerade,
            _ => NatKind::Redirect,
        };
        let mut nat = Nat {
            kind,
            family: self.family_word(),
            addr: None,
            port: None,
            random: false,
            fully_random: false,
            persistent: false,
            prefix: false,
        };
        // nft before 1.0 says what the map gives: `dnat ip addr . port to`, `dnat ip interval to`.
        if self.lex.eat("addr") {
            self.keyword(".")?;
            self.keyword("port")?;
        }
        self.lex.eat("interval");
        nat.prefix = self.lex.eat("prefix");
        let to = self.lex.eat("to");
        if to || matches!(kind, NatKind::Snat | NatKind::Dnat) {
            (nat.addr, nat.port) = self.target(nat.family, depth)?;
        }
        loop {
            let word = match self.lex.tok {
                Tok::Word(w) => w,
                Tok::Comma if nat.random || nat.fully_random || nat.persistent => {
                    self.lex.advance();
                    continue;
                }
                _ => break,
            };
            let known = |f: &str| matches!(f, "random" | "fully-random" | "persistent");
            if !word.split(',').all(known) {
                break;
            }
            for flag in word.split(',') {
                match flag {
                    "random" => nat.random = true,
                    "fully-random" => nat.fully_random = true,
                    _ => nat.persistent = true,
                }
            }
            self.lex.advance();
        }
        Some(Stmt::Nat(nat))
    }

    /// `tproxy [ip|ip6] to ADDR[:PORT]`.
    pub fn tproxy(&mut self, depth: u8) -> Option<Stmt<'a>> {
        self.lex.advance();
        let family = self.family_word();
        self.keyword("to")?;
        let (addr, port) = self.target(family, depth)?;
        Some(Stmt::Tproxy(addr, port))
    }

    fn family_word(&mut self) -> Option<Family> {
        let mut ahead = self.lex;
        let family = match ahead.word_here()? {
            "ip" => Family::V4,
            "ip6" => Family::V6,
            _ => return None,
        };
        ahead.advance();
        // `dnat ip saddr map ...` of old is an expression.
        if !matches!(
            ahead.word_here(),
            Some("to" | "prefix" | "addr" | "interval")
        ) {
            return None;
        }
        self.lex = ahead;
        Some(family)
    }

    /// `ADDR`, `ADDR:PORT`, `:PORT`; either may be an expression.
    fn target(
        &mut self,
        family: Option<Family>,
        depth: u8,
    ) -> Option<(Option<Expr<'a>>, Option<Expr<'a>>)> {
        let ty = self.addresses(family);
        let mut addr = None;
        if let Some(word) = self.lex.word_here()
            && let Some(len) = address(word)
        {
            let start = self.lex.start;
            self.lex.skip(len);
            let text = word.get(..len)?;
            addr = Some(self.address(text, start, ty));
        } else if !matches!(self.lex.tok, Tok::Word(w) if w.starts_with(':')) {
            addr = Some(self.concat(&[ty, Type::InetService], depth)?.0);
        }
        let mut port = None;
        if let Some(word) = self.lex.word_here()
            && word.starts_with(':')
        {
            self.lex.skip(1);
            port = Some(self.concat(&[Type::InetService], depth)?.0);
        }
        Some((addr, port))
    }

    /// `10.0.0.1-10.0.0.9`, `[2001:db8::1]-[2001:db8::9]`.
    fn address(&mut self, text: &'a str, start: usize, ty: Type) -> Expr<'a> {
        let part = if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let (from, to) = inner.split_once("]-[").unwrap_or((inner, inner));
            let number = |t| Type::Ipv6Addr.number(t);
            number(from)
                .zip(number(to))
                .filter(|(lo, hi)| lo <= hi)
                .map(|(lo, hi)| range(lo, hi))
        } else {
            match plain(text, ty) {
                Value::Known(Part::One(Const::Text(_))) | Value::Unknown(_) => None,
                Value::Known(part) => Some(part),
            }
        };
        if let Some(part) = part {
            return Expr::Part(part);
        }
        let message = format!("`{}` is no address", short(text));
        let help = "where the packet goes is left open";
        self.report(start, start + text.len(), message, help);
        Expr::Opaque(text.into())
    }
}

/// How much of the word is an address, a range of them or a prefix; `None` where it is a key or a port.
fn address(word: &str) -> Option<usize> {
    if word.starts_with('[') {
        // Up to the last bracket; `:PORT` may stand behind it.
        return Some(word.rfind(']')? + 1);
    }
    let port = word.starts_with(':') && !word.starts_with("::");
    if port || word.starts_with('@') || !word.contains(['.', ':']) || word == "." {
        return None;
    }
    if !word.contains('.') || word.split('-').next()?.parse::<Ipv6Addr>().is_ok() {
        return Some(word.len());
    }
    Some(word.find(':').unwrap_or(word.len()))
}
