//! What a rule looks at: header fields, `meta`, `ct`, `fib` and the like, with the type of what they give.

use super::lex::Tok;
use super::parser::{DEPTH, Parser};
use crate::common::Text;
use crate::nft::expr::{CT, CtKey, Fib, FibResult, META, Meta, RawBase};
use crate::nft::{Expr, TableFamily, Type, fields};

/// An expression and the type of what it gives.
pub(super) type Typed<'a> = (Expr<'a>, Type);

/// Keys that nft prints without `meta`, or did once (`meta_key_unqualified` in `src/parser_bison.y`).
const UNQUALIFIED: &[&str] = &[
    "mark",
    "iif",
    "iifname",
    "iiftype",
    "oif",
    "oifname",
    "oiftype",
    "skuid",
    "skgid",
    "nftrace",
    "rtclassid",
    "ibriport",
    "obriport",
    "ibrname",
    "obrname",
    "pkttype",
    "cpu",
    "iifgroup",
    "oifgroup",
    "cgroup",
];

impl<'a> Parser<'a> {
    /// The key here. `None` with the lexer untouched where the word begins none.
    pub fn key(&mut self, depth: u8) -> Option<Typed<'a>> {
        let first = self.lex.word_here()?;
        let start = self.lex.start;
        let next = self.lex.peek();
        let sub = |word: &str| next == Tok::Word(word);
        match first {
            "meta" => {
                self.lex.advance();
                self.meta()
            }
            "ct" => {
                self.lex.advance();
                self.ct()
            }
            "fib" => {
                self.lex.advance();
                self.fib()
            }
            "numgen" | "symhash" | "jhash" => self.generator(first, depth),
            "tcp" | "sctp" | "dccp" | "ip" if sub("option") || sub("chunk") => self.option(start),
            "exthdr" | "hbh" | "frag" | "dst" | "mh" | "srh" | "rt0" | "rt2" => {
                self.extension(first, start)
            }
            "rt" => self.rt(start),
            "socket" | "osf" | "ipsec" | "tunnel" => self.other(first, start),
            "vxlan" | "geneve" | "gretap" => self.inner(start, depth),
            "gre" if matches!(next, Tok::Word(w) if fields::is_header(w)) => {
                self.inner(start, depth)
            }
            _ if first.starts_with('@') && first.contains(',') => self.raw(first),
            _ if UNQUALIFIED.contains(&first) => self.meta(),
            _ => self.field(first),
        }
    }

    fn field(&mut self, header: &str) -> Option<Typed<'a>> {
        if !fields::is_header(header) {
            return None;
        }
        let mut ahead = self.lex;
        ahead.advance();
        let name = ahead.word_here()?;
        ahead.advance();
        let field = if let Some(f) = fields::find(header, name) {
            f
        } else {
            // `arp saddr ip`.
            let second = ahead.word_here()?;
            let both = fields::FIELDS.iter().find(|f| {
                f.names.0 == header && f.names.1.split_once(' ') == Some((name, second))
            })?;
            ahead.advance();
            both
        };
        self.lex = ahead;
        Some((Expr::Payload(field), field.ty))
    }

    /// `@th,16,16`.
    fn raw(&mut self, word: &str) -> Option<Typed<'a>> {
        let mut parts = word.strip_prefix('@')?.split(',');
        let base = match parts.next()? {
            "ll" => RawBase::Link,
            "nh" => RawBase::Network,
            "th" => RawBase::Transport,
            "ih" => RawBase::Inner,
            _ => return None,
        };
        let offset = parts.next()?.parse().ok()?;
        let len = parts.next()?.parse().ok()?;
        if parts.next().is_some() {
            return None;
        }
        self.lex.advance();
        let bits = u8::try_from(len).ok().filter(|n| *n <= 128);
        let ty = bits.map_or(Type::Invalid, Type::Integer);
        Some((Expr::Raw { base, offset, len }, ty))
    }

    /// Behind `meta`, or at a key without it.
    fn meta(&mut self) -> Option<Typed<'a>> {
        let word = self.lex.word_here()?;
        let known = META.iter().find(|(n, ..)| *n == word);
        let (expr, ty) = match (known, word) {
            (Some((_, key, ty)), _) => (Expr::Meta(*key), *ty),
            // Of the bridge alone.
            (_, "ibrpvid") => (Expr::Other("meta ibrpvid".into()), Type::Integer(16)),
            (_, "ibrvproto") => (Expr::Other("meta ibrvproto".into()), Type::EtherType),
            (_, "ibrhwaddr") => (Expr::Other("meta ibrhwaddr".into()), Type::EtherAddr),
            _ => return None,
        };
        self.lex.advance();
        Some((expr, ty))
    }

    /// Behind `ct`: `[original|reply] [ip|ip6] KEY`.
    fn ct(&mut self) -> Option<Typed<'a>> {
        let reply = match self.lex.word_here()? {
            "original" => Some(false),
            "reply" => Some(true),
            _ => None,
        };
        if reply.is_some() {
            self.lex.advance();
        }
        let family = match self.lex.word_here()? {
            word @ ("ip" | "ip6") => Some(word),
            _ => None,
        };
        if family.is_some() {
            self.lex.advance();
        }
        let word = self.lex.word_here()?;
        let (_, key, ty) = CT.iter().find(|(n, ..)| match family {
            None => *n == word,
            Some(f) => n.split_once(' ') == Some((f, word)),
        })?;
        let ty = match key {
            CtKey::Saddr | CtKey::Daddr => self.addresses(None),
            _ => *ty,
        };
        self.lex.advance();
        let key = key.normal(self.family);
        Some((Expr::Ct { reply, key }, ty))
    }

    /// The type of addresses, by what a statement says of the family or by the table's.
    pub fn addresses(&self, family: Option<crate::common::Family>) -> Type {
        match (family, self.family) {
            (Some(crate::common::Family::V4), _) | (None, TableFamily::Ip) => Type::Ipv4Addr,
            (Some(crate::common::Family::V6), _) | (None, TableFamily::Ip6) => Type::Ipv6Addr,
            _ => Type::Invalid,
        }
    }

    /// Behind `fib`: `saddr . iif oif`.
    fn fib(&mut self) -> Option<Typed<'a>> {
        let mut fib = Fib {
            result: FibResult::Oif,
            saddr: false,
            daddr: false,
            mark: false,
            iif: false,
            oif: false,
        };
        loop {
            let flag = match self.lex.word_here()? {
                "saddr" => &mut fib.saddr,
                "daddr" => &mut fib.daddr,
                "mark" => &mut fib.mark,
                "iif" => &mut fib.iif,
                "oif" => &mut fib.oif,
                _ => return None,
            };
            *flag = true;
            self.lex.advance();
            if !self.lex.eat(".") {
                break;
            }
        }
        let (result, ty) = match self.lex.word_here()? {
            "oif" => (FibResult::Oif, Type::IfaceIndex),
            "oifname" => (FibResult::Oifname, Type::Ifname),
            "type" => (FibResult::Type, Type::FibAddrtype),
            "check" => (FibResult::Check, Type::Boolean),
            _ => return None,
        };
        self.lex.advance();
        fib.result = result;
        // Before nft 1.1 the question whether there is a route is printed as one for the device.
        if result != FibResult::Type && matches!(self.lex.word_here(), Some("exists" | "missing")) {
            fib.result = FibResult::Check;
            return Some((Expr::Fib(fib), Type::Boolean));
        }
        Some((Expr::Fib(fib), ty))
    }

    /// `numgen random mod 3 offset 1`, `jhash ip saddr mod 4 seed 0x1`, `symhash mod 2`.
    fn generator(&mut self, which: &str, depth: u8) -> Option<Typed<'a>> {
        self.lex.advance();
        let random = which == "numgen" && {
            let random = self.lex.eat("random");
            if !random {
                self.keyword("inc")?;
            }
            random
        };
        let key = if which == "jhash" {
            if depth >= DEPTH {
                return None;
            }
            Some(Box::new(self.concat(&[], depth + 1)?.0))
        } else {
            None
        };
        self.keyword("mod")?;
        let modulus = self.number()?;
        let (mut seed, mut offset) = (None, 0);
        if key.is_some() && self.lex.eat("seed") {
            let word = self.word()?;
            let n = Type::Integer(32).number(word)?;
            seed = Some(u32::try_from(n).ok()?);
        }
        if self.lex.eat("offset") {
            offset = self.number()?;
        }
        let expr = match (which, key) {
            (_, Some(key)) => Expr::Jhash {
                key,
                modulus,
                seed,
                offset,
            },
            ("symhash", None) => Expr::Symhash { modulus, offset },
            (_, None) => Expr::Numgen {
                random,
                modulus,
                offset,
            },
        };
        Some((expr, Type::Integer(32)))
    }

    /// `tcp option maxseg size`, `sctp chunk data tsn`, `dccp option 5`, `ip option rr addr`.
    fn option(&mut self, start: usize) -> Option<Typed<'a>> {
        let header = self.word()?;
        self.lex.advance();
        let kind = self.lex.word_here()?;
        self.lex.advance();
        let words = |p: &Self| p.lex.since(start);
        let known = match header {
            "tcp" => tcp_option(kind, self.lex.word_here()),
            "ip" => match self.lex.word_here() {
                Some("addr") => Some(Type::Ipv4Addr),
                Some("type" | "length" | "ptr") => Some(Type::Integer(8)),
                Some("value") => Some(Type::Integer(16)),
                _ => None,
            },
            "sctp" => match self.lex.word_here() {
                Some("type" | "flags") => Some(Type::Integer(8)),
                Some(
                    "length"
                    | "num-outbound-streams"
                    | "num-inbound-streams"
                    | "stream"
                    | "ssn"
                    | "num-gap-ack-blocks"
                    | "num-dup-tsns",
                ) => Some(Type::Integer(16)),
                Some(
                    "init-tag" | "a-rwnd" | "initial-tsn" | "tsn" | "ppid" | "cum-tsn-ack"
                    | "lowest-tsn" | "seqno" | "new-cum-tsn",
                ) => Some(Type::Integer(32)),
                _ => None,
            },
            _ => None,
        };
        // Without a field: whether it is there.
        let ty = known.unwrap_or(Type::Boolean);
        if known.is_some() && !kind.starts_with('@') {
            self.lex.advance();
        }
        let text = words(self);
        let expr = if header == "tcp" {
            Expr::TcpOption(behind(text, "option"))
        } else {
            Expr::Exthdr(text.into())
        };
        Some((expr, ty))
    }

    /// `frag more-fragments`, `exthdr frag`.
    fn extension(&mut self, first: &str, start: usize) -> Option<Typed<'a>> {
        self.lex.advance();
        let field = self.word()?;
        let ty = match field {
            _ if first == "exthdr" => Type::Boolean,
            "nexthdr" => Type::InetProto,
            "type" if first == "mh" => Type::MhType,
            "type" | "hdrlength" | "seg-left" | "last-entry" | "flags" => Type::Integer(8),
            "reserved" | "tag" | "checksum" => Type::Integer(16),
            "frag-off" => Type::Integer(13),
            "reserved2" => Type::Integer(2),
            "more-fragments" => Type::Integer(1),
            "id" => Type::Integer(32),
            _ if field.starts_with("addr") || field.starts_with("sid") => Type::Ipv6Addr,
            _ => return None,
        };
        Some((Expr::Exthdr(self.lex.since(start).into()), ty))
    }

    /// `rt classid`, `rt ip nexthop`; also the routing header's fields.
    fn rt(&mut self, start: usize) -> Option<Typed<'a>> {
        self.lex.advance();
        let family = match self.lex.word_here()? {
            "ip" => Some(Type::Ipv4Addr),
            "ip6" => Some(Type::Ipv6Addr),
            _ => None,
        };
        if family.is_some() {
            self.lex.advance();
        }
        let ty = match self.word()? {
            "classid" => Type::Realm,
            "nexthop" => family.unwrap_or_else(|| self.addresses(None)),
            "mtu" => Type::Integer(16),
            "ipsec" => Type::Boolean,
            "nexthdr" => {
                return Some((Expr::Exthdr(self.lex.since(start).into()), Type::InetProto));
            }
            "hdrlength" | "type" | "seg-left" => {
                return Some((Expr::Exthdr(self.lex.since(start).into()), Type::Integer(8)));
            }
            _ => return None,
        };
        Some((Expr::Rt(behind(self.lex.since(start), "rt")), ty))
    }

    /// `socket mark`, `socket cgroupv2 level 2`, `osf ttl loose name`, `ipsec in spnum 1 ip saddr`.
    fn other(&mut self, first: &str, start: usize) -> Option<Typed<'a>> {
        self.lex.advance();
        let ty = loop {
            let ty = match (first, self.word()?) {
                ("socket", "transparent" | "wildcard") => Type::Integer(1),
                ("socket", "mark") => Type::Mark,
                ("socket", "cgroupv2") => {
                    self.keyword("level")?;
                    self.number::<u32>()?;
                    Type::Ifname
                }
                ("osf", "ttl") => {
                    self.word()?;
                    continue;
                }
                ("osf", "name" | "version") => Type::Ifname,
                ("ipsec", "in" | "out") => continue,
                ("ipsec", "spnum") => {
                    self.number::<u32>()?;
                    continue;
                }
                ("ipsec", family @ ("ip" | "ip6")) => {
                    self.word()?;
                    if family == "ip" {
                        Type::Ipv4Addr
                    } else {
                        Type::Ipv6Addr
                    }
                }
                ("ipsec", "reqid" | "spi") | ("tunnel", "id") => Type::Integer(32),
                ("tunnel", "path") => Type::Boolean,
                _ => return None,
            };
            break ty;
        };
        Some((Expr::Other(self.lex.since(start).into()), ty))
    }

    /// `vxlan vni`, `vxlan ip saddr`: of a packet within this one.
    fn inner(&mut self, start: usize, depth: u8) -> Option<Typed<'a>> {
        self.lex.advance();
        let ty = match self.lex.word_here()? {
            "vni" => Type::Integer(24),
            "flags" => Type::Integer(8),
            "type" => Type::EtherType,
            word if fields::is_header(word) && depth < DEPTH => {
                let (_, ty) = self.key(depth + 1)?;
                return Some((Expr::Other(self.lex.since(start).into()), ty));
            }
            _ => return None,
        };
        self.lex.advance();
        Some((Expr::Other(self.lex.since(start).into()), ty))
    }

    /// Whether nft can write into it.
    pub fn settable(expr: &Expr<'_>) -> bool {
        matches!(
            expr,
            Expr::Meta(
                Meta::Mark
                    | Meta::Priority
                    | Meta::Pkttype
                    | Meta::Nftrace
                    | Meta::Secmark
                    | Meta::Rtclassid
                    | Meta::Length
            ) | Expr::Ct { .. }
                | Expr::Payload(_)
                | Expr::Raw { .. }
                | Expr::TcpOption(_)
                | Expr::Exthdr(_)
        )
    }
}

/// `text` without its first words up to `word`.
fn behind<'a>(text: &'a str, word: &str) -> Text<'a> {
    let rest = text.split_once(word).map_or(text, |(_, rest)| rest);
    Text::Borrowed(rest.trim_ascii())
}

/// The type of a field of a TCP option (`src/tcpopt.c`).
fn tcp_option(kind: &str, field: Option<&str>) -> Option<Type> {
    if kind.starts_with('@') {
        let len = kind.rsplit(',').next()?.parse().ok()?;
        return Some(Type::Integer(len));
    }
    Some(match field? {
        "kind" | "length" | "count" => Type::Integer(8),
        "subtype" => Type::Integer(4),
        "size" => Type::Integer(16),
        "left" | "right" | "tsval" | "tsecr" => Type::Integer(32),
        // nft 1.0 prints so what it has no name for.
        "unknown" => Type::Invalid,
        _ => return None,
    })
}
