//! The simple filters of a command line: hosts, nets, ports and protocols with `and`, `or` and `not`.

use crate::common::{Family, Masked, Proto, Range};
use std::net::IpAddr;

/// What of a packet a filter is asked about; what is not known may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Source.
    pub src: Option<IpAddr>,
    /// Destination.
    pub dst: Option<IpAddr>,
    /// IPv4 or IPv6.
    pub family: Option<Family>,
    /// Protocol.
    pub proto: Option<Proto>,
    /// Source port, the lowest and the highest it can be.
    pub sport: Option<(u16, u16)>,
    /// Destination port.
    pub dport: Option<(u16, u16)>,
}

/// Which end of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Src,
    Dst,
    Either,
    Both,
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    Net(Side, Masked),
    Port(Side, Range<u16>),
    Proto(Proto),
    Family(Family),
    Arp,
    /// Not understood.
    Other,
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

/// A filter of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Expr);

/// Terms of one filter; more are not a person's.
const TERMS: usize = 200;
/// Parentheses within each other.
const DEPTH: usize = 16;

impl Filter {
    /// Reads the words; `None` where there are none.
    pub fn parse(words: &[String]) -> Option<Self> {
        let mut list: Vec<String> = Vec::new();
        for w in words {
            let mut rest = w.as_str();
            while let Some(at) =
                rest.find(|c: char| matches!(c, '(' | ')' | '!') || c.is_whitespace())
            {
                let (a, b) = rest.split_at(at);
                list.extend((!a.is_empty()).then(|| a.to_owned()));
                let mut chars = b.chars();
                list.extend(
                    chars
                        .next()
                        .filter(|c| !c.is_whitespace())
                        .map(String::from),
                );
                rest = chars.as_str();
            }
            list.extend((!rest.is_empty()).then(|| rest.to_owned()));
            if list.len() > TERMS {
                return Some(Self(Expr::Other));
            }
        }
        if list.is_empty() {
            return None;
        }
        let mut p = Parser {
            words: &list,
            at: 0,
            before: Qualifiers::default(),
        };
        let e = p.expr(0);
        Some(Self(if p.at == list.len() {
            e.unwrap_or(Expr::Other)
        } else {
            Expr::Other
        }))
    }

    /// Whether a packet passes it; `None` where that cannot be told.
    pub fn passes(&self, asked: &Asked) -> Option<bool> {
        self.0.passes(asked)
    }
}

/// Kleene's `or`.
fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    or(a.map(|x| !x), b.map(|x| !x)).map(|x| !x)
}

impl Side {
    fn of(self, src: Option<bool>, dst: Option<bool>) -> Option<bool> {
        match self {
            Self::Src => src,
            Self::Dst => dst,
            Self::Either => or(src, dst),
            Self::Both => and(src, dst),
        }
    }
}

impl Expr {
    fn passes(&self, a: &Asked) -> Option<bool> {
        match self {
            Self::Net(side, net) => {
                let is = |ip: Option<IpAddr>| ip.map(|ip| net.contains(ip));
                side.of(is(a.src), is(a.dst))
            }
            Self::Port(side, r) => {
                if a.proto.is_some_and(|p| !p.has_ports()) {
                    return Some(false);
                }
                let is = |p: Option<(u16, u16)>| {
                    let (lo, hi) = p?;
                    if r.lo <= lo && hi <= r.hi {
                        Some(true)
                    } else if r.hi < lo || hi < r.lo {
                        Some(false)
                    } else {
                        None
                    }
                };
                let hit = side.of(is(a.sport), is(a.dport));
                if a.proto.is_none() && hit == Some(true) {
                    return None;
                }
                hit
            }
            Self::Proto(p) => a.proto.map(|x| x == *p),
            Self::Family(f) => a.family.map(|x| x == *f),
            Self::Arp => Some(false),
            Self::Other => None,
            Self::Not(e) => e.passes(a).map(|x| !x),
            Self::And(x, y) => and(x.passes(a), y.passes(a)),
            Self::Or(x, y) => or(x.passes(a), y.passes(a)),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Qualifiers {
    side: Option<Side>,
    kind: Option<Kind>,
    proto: Option<Proto>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
}

struct Parser<'w> {
    words: &'w [String],
    at: usize,
    /// Those of the term before: `host a or b`.
    before: Qualifiers,
}

impl<'w> Parser<'w> {
    fn peek(&self) -> Option<&'w str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn take(&mut self, any: &[&str]) -> bool {
        let yes = self.peek().is_some_and(|w| any.contains(&w));
        self.at += usize::from(yes);
        yes
    }

    /// `and` and `or` bind alike, from the left (pcap-filter(7)).
    fn expr(&mut self, depth: usize) -> Option<Expr> {
        let mut left = self.term(depth)?;
        loop {
            let Some(w) = self.peek() else {
                return Some(left);
            };
            if w == ")" {
                return Some(left);
            }
            if self.take(&["or", "||"]) {
                let right = self.term(depth)?;
                left = Expr::Or(Box::new(left), Box::new(right));
            } else {
                // Two terms without a word between are not a filter.
                if !self.take(&["and", "&&"]) {
                    return None;
                }
                let right = self.term(depth)?;
                left = Expr::And(Box::new(left), Box::new(right));
            }
        }
    }

    fn term(&mut self, depth: usize) -> Option<Expr> {
        if depth > DEPTH {
            return None;
        }
        if self.take(&["not", "!"]) {
            return Some(Expr::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take(&["("]) {
            let e = self.expr(depth + 1)?;
            return self.take(&[")"]).then_some(e);
        }
        self.primitive()
    }

    fn primitive(&mut self) -> Option<Expr> {
        let mut q = Qualifiers::default();
        let mut family = None;
        let mut any = false;
        loop {
            let w = self.peek()?;
            match w {
                "src" | "dst" => {
                    self.at += 1;
                    let mut side = if w == "src" { Side::Src } else { Side::Dst };
                    let other = if w == "src" { "dst" } else { "src" };
                    if matches!(self.peek(), Some("or" | "and"))
                        && self.words.get(self.at + 1).is_some_and(|n| n == other)
                    {
                        side = if self.take(&["or"]) {
                            Side::Either
                        } else {
                            self.at += 1;
                            Side::Both
                        };
                        self.at += 1;
                    }
                    q.side = Some(side);
                }
                "host" => q.kind = Some(self.next(Kind::Host)),
                "net" => q.kind = Some(self.next(Kind::Net)),
                "port" => q.kind = Some(self.next(Kind::Port)),
                "portrange" => q.kind = Some(self.next(Kind::PortRange)),
                "ip" | "ip6" | "arp" | "tcp" | "udp" | "icmp" | "icmp6" | "sctp" => {
                    self.at += 1;
                    match w {
                        "ip" => family = Some(Expr::Family(Family::V4)),
                        "ip6" => family = Some(Expr::Family(Family::V6)),
                        "arp" => family = Some(Expr::Arp),
                        "icmp6" => q.proto = Some(Proto::ICMPV6),
                        name => q.proto = Proto::parse(name),
                    }
                    let more = matches!(
                        self.peek(),
                        Some("src" | "dst" | "host" | "net" | "port" | "portrange")
                    );
                    if !more {
                        self.before = Qualifiers::default();
                        return family.or(q.proto.map(Expr::Proto));
                    }
                }
                _ => break,
            }
            any = true;
        }
        if any {
            self.before = q;
        } else {
            q = self.before;
        }
        let id = self.peek()?;
        self.at += 1;
        let side = q.side.unwrap_or(Side::Either);
        let e = match q.kind.unwrap_or(Kind::Host) {
            Kind::Host => Expr::Net(side, whole(id.parse().ok()?)),
            Kind::Net => {
                let (a, len) = match id.split_once('/') {
                    Some((a, len)) => (a.parse().ok()?, len.parse().ok()?),
                    None if self.take(&["mask"]) => return self.odd(1),
                    None => (id.parse().ok()?, 255),
                };
                if len > Family::of(a).bits() {
                    return self.odd(0);
                }
                Expr::Net(side, Masked::prefix(a, len))
            }
            Kind::Port => {
                let Some(n) = super::port(id) else {
                    return self.odd(0);
                };
                Expr::Port(side, Range { lo: n, hi: n })
            }
            Kind::PortRange => {
                let (lo, hi) = id.split_once('-')?;
                Expr::Port(
                    side,
                    Range {
                        lo: lo.parse().ok()?,
                        hi: hi.parse().ok()?,
                    },
                )
            }
        };
        let e = match q.proto {
            Some(p) => Expr::And(Box::new(Expr::Proto(p)), Box::new(e)),
            None => e,
        };
        Some(match family {
            Some(f) => Expr::And(Box::new(f), Box::new(e)),
            None => e,
        })
    }

    fn next(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    /// A term that is not understood, with so many words more.
    #[expect(clippy::unnecessary_wraps, reason = "it ends a term as the others do")]
    fn odd(&mut self, more: usize) -> Option<Expr> {
        self.at += more;
        Some(Expr::Other)
    }
}

fn whole(a: IpAddr) -> Masked {
    Masked::prefix(a, Family::of(a).bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(src: &str, sport: u16, dst: &str, dport: u16) -> Asked {
        Asked {
            src: src.parse().ok(),
            dst: dst.parse().ok(),
            family: Some(Family::V4),
            proto: Some(Proto::TCP),
            sport: Some((sport, sport)),
            dport: Some((dport, dport)),
        }
    }

    #[track_caller]
    fn check(filter: &str, a: &Asked, expected: Option<bool>) {
        let f = Filter::parse(&[filter.to_owned()]).expect("words");
        assert_eq!(f.passes(a), expected, "{filter}: {f:?}");
    }

    #[test]
    fn filters_let_through_what_they_name() {
        let a = asked("10.0.0.1", 4000, "10.0.0.2", 443);
        let yes = [
            "host 10.0.0.1",
            "10.0.0.2",
            "host 10.9.9.9 or 10.0.0.2",
            "host 10.9.9.9 or host 10.0.0.2",
            "src 10.0.0.1 and dst port 443",
            "tcp port 443",
            "tcp and (port 80 or port 443)",
            "not port 22",
            "! arp",
            "net 10.0.0.0/24",
            "portrange 4000-4001",
            "ip host 10.0.0.1 and tcp",
            "src or dst host 10.0.0.2",
            "tcp dst port https",
        ];
        for f in yes {
            check(f, &a, Some(true));
        }
        let no = [
            "host 10.0.0.3",
            "udp port 443",
            "arp",
            "icmp or udp",
            "dst host 10.0.0.1",
            "src and dst net 10.0.0.1/32",
            "ip6",
            "tcp port 444 or 445",
        ];
        for f in no {
            check(f, &a, Some(false));
        }
        for f in [
            "vlan 5",
            "tcp[tcpflags] & tcp-syn != 0",
            "host",
            "host node1",
            "(((((",
        ] {
            check(f, &a, None);
        }
        check("vlan 5 or host 10.0.0.1", &a, None);
        check("port nobody or host 10.0.0.1", &a, Some(true));
    }

    #[test]
    fn what_is_not_known_may_be_anything() {
        let a = Asked {
            dst: None,
            dport: None,
            ..asked("10.0.0.1", 4000, "10.0.0.2", 443)
        };
        check("host 10.0.0.1", &a, Some(true));
        check("host 10.0.0.3", &a, None);
        check("src host 10.0.0.3", &a, Some(false));
        check("port 443", &a, None);
        check("src port 443", &a, Some(false));
    }
}
