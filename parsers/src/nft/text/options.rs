//! Statements that count, limit, log, or answer.

use super::lex::Tok;
use super::parser::Parser;
use super::scan::{byte_unit, duration};
use crate::nft::expr::Expr;
use crate::nft::stmt::{Limit, Reject, Update, UpdateOp};
use crate::nft::{Stmt, Type};

impl<'a> Parser<'a> {
    /// `counter packets 0 bytes 0`.
    pub fn counter(&mut self) -> Option<Stmt<'a>> {
        self.lex.advance();
        if !self.lex.eat("packets") {
            return Some(Stmt::Counter(None));
        }
        let packets = self.number()?;
        self.keyword("bytes")?;
        Some(Stmt::Counter(Some((packets, self.number()?))))
    }

    /// `counter name "x"`, `quota name ip saddr map { ... }`.
    pub fn named(&mut self, kind: &'a str, depth: u8) -> Option<Stmt<'a>> {
        self.lex.advance();
        self.lex.advance();
        Some(Stmt::Named(kind.into(), self.object(depth)?.into()))
    }

    /// The name of an object, or a map that gives one, as text.
    fn object(&mut self, depth: u8) -> Option<&'a str> {
        let before = self.lex;
        if matches!(before.tok, Tok::Word(_)) && self.concat(&[], depth).is_some() {
            return Some(self.lex.since(before.start));
        }
        self.lex = before;
        self.name()
    }

    /// `limit rate over 10/second burst 5 packets`, `limit rate 1 mbytes/second burst 10 kbytes`.
    pub fn limit(&mut self) -> Option<Stmt<'a>> {
        self.lex.advance();
        self.keyword("rate")?;
        let over = self.lex.eat("over");
        let (count, time) = match self.lex.word_here()?.split_once('/') {
            Some(both) => both,
            None => (self.word()?, ""),
        };
        let count: u64 = count.parse().ok()?;
        let (factor, time) = if time.is_empty() {
            let (unit, time) = self.lex.word_here()?.split_once('/')?;
            (Some(byte_unit(unit)?), time)
        } else {
            (None, time)
        };
        let per = match time {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 86400,
            "week" => 604_800,
            _ => return None,
        };
        self.lex.advance();
        // `limit_burst_pkts` and `limit_burst_bytes` in nftables `src/parser_bison.y`.
        let mut burst: u64 = if factor.is_some() { 0 } else { 5 };
        if self.lex.eat("burst") {
            burst = self.number()?;
            let unit = self.word()?;
            if unit != "packets" {
                burst = burst.checked_mul(byte_unit(unit)?)?;
            }
        }
        Some(Stmt::Limit(Limit {
            over,
            rate: count.checked_mul(factor.unwrap_or(1))?,
            per,
            burst,
            bytes: factor.is_some(),
        }))
    }

    /// `quota over 25 mbytes used 1 kbytes`.
    pub fn quota(&mut self) -> Option<Stmt<'a>> {
        self.lex.advance();
        let over = self.lex.eat("over");
        if !over {
            self.lex.eat("until");
        }
        let bytes = self.bytes()?;
        let used = if self.lex.eat("used") {
            Some(self.bytes()?)
        } else {
            None
        };
        Some(Stmt::Quota { over, bytes, used })
    }

    fn bytes(&mut self) -> Option<u64> {
        let n: u64 = self.number()?;
        let unit = byte_unit(self.lex.word_here()?)?;
        self.lex.advance();
        n.checked_mul(unit)
    }

    /// `log prefix "x" group 2 snaplen 100 level info flags tcp sequence,options`.
    pub fn log(&mut self, start: usize) -> Option<Stmt<'a>> {
        self.lex.advance();
        loop {
            match self.lex.tok {
                Tok::Word("prefix") => {
                    self.lex.advance();
                    self.name()?;
                }
                Tok::Word("level") => {
                    self.lex.advance();
                    self.word()?;
                }
                Tok::Word("group" | "snaplen" | "queue-threshold") => {
                    self.lex.advance();
                    self.number::<u32>()?;
                }
                Tok::Word("flags") => {
                    self.lex.advance();
                    if matches!(self.word()?, "tcp" | "ip") {
                        self.word()?;
                    }
                }
                _ => return Some(Stmt::Log(options(self.lex.since(start)).into())),
            }
        }
    }

    /// `queue flags bypass,fanout to 0-3`; before nft 1.0 `queue num 0-3 bypass,fanout`.
    pub fn queue(&mut self, start: usize, depth: u8) -> Option<Stmt<'a>> {
        self.lex.advance();
        loop {
            match self.lex.tok {
                Tok::Word("to" | "num") => {
                    self.lex.advance();
                    self.concat(&[Type::Integer(16)], depth)?;
                }
                Tok::Word("flags") => {
                    self.lex.advance();
                    self.word()?;
                }
                Tok::Word("bypass" | "fanout" | "bypass,fanout" | "fanout,bypass") => {
                    self.lex.advance();
                }
                _ => return Some(Stmt::Queue(options(self.lex.since(start)).into())),
            }
        }
    }

    /// `reject with icmp port-unreachable`; before nft 1.0.3 `with icmp type ...`.
    pub fn reject(&mut self) -> Option<Stmt<'a>> {
        self.lex.advance();
        if !self.lex.eat("with") {
            return Some(Stmt::Reject(Reject::Default));
        }
        let kind = self.word()?;
        if kind == "tcp" {
            self.keyword("reset")?;
            return Some(Stmt::Reject(Reject::TcpReset));
        }
        self.lex.eat("type");
        let code = self.lex.word_here()?;
        let number = |ty: Type| u8::try_from(ty.number(code)?).ok();
        let reject = match kind {
            "icmp" => Reject::Icmp(number(Type::IcmpCode)?),
            "icmpv6" => Reject::Icmpv6(number(Type::Icmp6Code)?),
            "icmpx" => Reject::Icmpx(number(Type::IcmpxCode)?),
            _ => return None,
        };
        self.lex.advance();
        Some(Stmt::Reject(reject.normal(self.family)))
    }

    /// `add @s { KEY timeout 1m STATEMENTS : DATA }`; older `set add KEY @s` and `meter s size 10 { KEY STATEMENTS }`.
    pub fn update(&mut self, first: &str, depth: u8) -> Option<Stmt<'a>> {
        self.lex.advance();
        let old = first == "set";
        let verb = if old { self.word()? } else { first };
        let mut op = match verb {
            "add" | "meter" => UpdateOp::Add,
            "update" => UpdateOp::Update,
            "delete" => UpdateOp::Delete,
            _ => return None,
        };
        let mut set = "";
        if !old {
            let name = self.word()?;
            set = if verb == "meter" {
                name.strip_prefix('@').unwrap_or(name)
            } else {
                name.strip_prefix('@')?
            };
            if verb == "meter" && self.lex.eat("size") {
                self.number::<u32>()?;
            }
            self.expect(Tok::Open)?;
        }
        let (key, _) = self.concat(&[], depth)?;
        let (mut data, mut timeout, mut stmts) = (None, None, Vec::new());
        loop {
            match self.lex.tok {
                Tok::Word("timeout") => {
                    self.lex.advance();
                    let ms = duration(self.lex.word_here()?)?;
                    self.lex.advance();
                    timeout = Some(ms);
                }
                Tok::Word("expires") => {
                    self.lex.advance();
                    self.word()?;
                }
                Tok::Word("comment") => {
                    self.lex.advance();
                    self.name()?;
                }
                Tok::Word(":") if !old => {
                    self.lex.advance();
                    data = Some(self.mapped(depth)?);
                }
                Tok::Word("counter" | "limit" | "quota" | "ct" | "last") => {
                    stmts.push(self.stmt(depth)?);
                }
                Tok::Word(name) if old => {
                    set = name.strip_prefix('@')?;
                    self.lex.advance();
                    break;
                }
                Tok::Close if !old => {
                    self.lex.advance();
                    break;
                }
                _ => return None,
            }
        }
        // A meter that forgets refreshes what it knows (`netlink_gen_meter_stmt` in nftables `src/netlink_linearize.c`).
        if verb == "meter" && timeout.is_some() {
            op = UpdateOp::Update;
        }
        Some(Stmt::Update(Box::new(Update {
            op,
            set: set.into(),
            key,
            data,
            timeout,
            stmts,
        })))
    }

    /// What an element is mapped to: an expression, or a constant of a type that only the map's heading tells.
    fn mapped(&mut self, depth: u8) -> Option<Expr<'a>> {
        self.concat(&[Type::Invalid; 8], depth).map(|(e, _)| e)
    }

    /// Whether `ct` or `meta` here give an object to the packet: `ct helper set "ftp"`.
    pub fn sets_object(&self, kind: Tok<'_>) -> bool {
        let mut ahead = self.lex;
        ahead.advance();
        ahead.advance();
        let Tok::Word("set") = ahead.tok else {
            return false;
        };
        match kind {
            Tok::Word("helper" | "timeout" | "expectation") => true,
            Tok::Word("secmark") => matches!(ahead.peek(), Tok::Str(_)),
            _ => false,
        }
    }

    /// What has no bearing on where the packet goes.
    pub fn aside(&mut self, start: usize, depth: u8) -> Option<Stmt<'a>> {
        match self.word()? {
            "last" => {
                // `last used never`, or a time: what JSON has no more of than its name.
                if self.lex.eat("used") {
                    self.word()?;
                }
                return Some(Stmt::Aside("last".into()));
            }
            "reset" => {
                self.concat(&[], depth)?;
            }
            _ => {
                self.lex.advance();
                self.lex.advance();
                self.object(depth)?;
            }
        }
        Some(Stmt::Aside(self.lex.since(start).into()))
    }

    /// `dup to 10.0.0.1 device "eth0"`, `fwd ip to ...`, `synproxy mss 1460 wscale 7 timestamp sack-perm`.
    pub fn elsewhere(&mut self, first: &str, start: usize, depth: u8) -> Option<Stmt<'a>> {
        self.lex.advance();
        if first == "synproxy" {
            loop {
                match self.lex.word_here() {
                    Some("mss" | "wscale") => {
                        self.lex.advance();
                        self.number::<u32>()?;
                    }
                    Some("timestamp" | "sack-perm") => {
                        self.lex.advance();
                    }
                    _ => break,
                }
            }
        } else {
            if matches!(self.lex.word_here(), Some("ip" | "ip6")) {
                self.lex.advance();
            }
            if self.lex.eat("to") {
                self.concat(&[Type::Invalid], depth)?;
            }
            if self.lex.eat("device") {
                self.concat(&[Type::Ifname], depth)?;
            }
        }
        Some(Stmt::Opaque(self.lex.since(start).into()))
    }
}

/// Text without its first word.
fn options(text: &str) -> &str {
    text.split_once([' ', '\t'])
        .map_or("", |(_, rest)| rest.trim_ascii())
}
