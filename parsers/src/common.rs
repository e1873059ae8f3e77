//! What every parser shares: spans, diagnostics, borrowed text, addresses with masks.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Text that is borrowed from the source where it stands there unchanged.
pub type Text<'a> = Cow<'a, str>;

/// A half-open byte range `start..end` of the source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span from byte offsets; offsets beyond 4 GiB are clamped.
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    /// The text the span covers; empty where the span lies outside of `source` or splits a character.
    pub fn of(self, source: &str) -> &str {
        source
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something was not understood; the rest stands.
    Warning,
    /// The input as a whole cannot be used.
    Error,
}

/// Something a parser could not make sense of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Warning or error.
    pub severity: Severity,
    /// Line number, from 1.
    pub line: u32,
    /// The bytes to point at.
    pub span: Span,
    /// What is wrong, in one clause.
    pub message: String,
    /// What to do about it, if there is something to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A warning without help.
    pub fn warning(line: u32, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            line,
            span,
            message: message.into(),
            help: None,
        }
    }

    /// The same with a line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a parser returns: what it read, and what it could not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed<T> {
    /// The records.
    pub value: T,
    /// What was not understood, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Length of an address in bits: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// `0.0.0.0` or `::`.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// The address as a number: the low 32 bits for IPv4, all 128 for IPv6.
pub fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// A prefix length as an address mask of the family.
pub fn mask(family: Family, prefix_len: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(
            u32::MAX
                .checked_shl(32 - u32::from(prefix_len.min(32)))
                .unwrap_or(0),
        )),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(
            u128::MAX
                .checked_shl(128 - u32::from(prefix_len.min(128)))
                .unwrap_or(0),
        )),
    }
}

/// An address and a mask, which need not be a prefix (`-s 10.0.0.0/255.0.255.0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Masked {
    /// The address as written.
    pub addr: IpAddr,
    /// The mask, of the same family.
    pub mask: IpAddr,
}

impl Masked {
    /// An address with a prefix length.
    pub fn prefix(addr: IpAddr, prefix_len: u8) -> Self {
        Self {
            addr,
            mask: mask(Family::of(addr), prefix_len),
        }
    }

    /// The prefix length, or `None` for a mask with holes.
    pub fn prefix_len(&self) -> Option<u8> {
        match self.mask {
            IpAddr::V4(m) => {
                let n = m.to_bits().leading_ones();
                (m.to_bits().count_ones() == n).then(|| u8::try_from(n).unwrap_or(32))
            }
            IpAddr::V6(m) => {
                let n = m.to_bits().leading_ones();
                (m.to_bits().count_ones() == n).then(|| u8::try_from(n).unwrap_or(128))
            }
        }
    }

    /// Whether `addr` is inside; an address of the other family never is.
    #[inline]
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, self.mask, addr) {
            (IpAddr::V4(a), IpAddr::V4(m), IpAddr::V4(x)) => {
                (a.to_bits() ^ x.to_bits()) & m.to_bits() == 0
            }
            (IpAddr::V6(a), IpAddr::V6(m), IpAddr::V6(x)) => {
                (a.to_bits() ^ x.to_bits()) & m.to_bits() == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len() {
            Some(n) => write!(f, "{}/{n}", self.addr),
            None => write!(f, "{}/{}", self.addr, self.mask),
        }
    }
}

/// A value that may be negated with `!`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neg<T> {
    /// Whether `!` stands before it.
    pub not: bool,
    /// The value.
    pub value: T,
}

impl<T> Neg<T> {
    /// A value without `!`.
    pub fn yes(value: T) -> Self {
        Self { not: false, value }
    }
}

/// A closed range; `lo == hi` for a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range<T> {
    /// First value.
    pub lo: T,
    /// Last value.
    pub hi: T,
}

impl<T: PartialOrd> Range<T> {
    /// Whether `x` lies inside.
    #[inline]
    pub fn contains(&self, x: &T) -> bool {
        self.lo <= *x && *x <= self.hi
    }
}

/// Value and mask, as in marks: a number `x` fits when `x & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MarkMask {
    /// The value.
    pub value: u32,
    /// The mask; `0xffff_ffff` where none is written.
    pub mask: u32,
}

/// IP protocol number (`tcp` = 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Proto(pub u8);

impl Proto {
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// `ICMPv6`.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    /// As `/etc/protocols` of Debian's netbase has them, which is where iptables takes the names it prints from (`getprotobynumber`).
    const NAMES: &'static [(&'static str, u8)] = &[
        ("icmp", 1),
        ("igmp", 2),
        ("ggp", 3),
        ("ipencap", 4),
        ("st", 5),
        ("tcp", 6),
        ("egp", 8),
        ("igp", 9),
        ("pup", 12),
        ("udp", 17),
        ("hmp", 20),
        ("xns-idp", 22),
        ("rdp", 27),
        ("iso-tp4", 29),
        ("dccp", 33),
        ("xtp", 36),
        ("ddp", 37),
        ("idpr-cmtp", 38),
        ("ipv6", 41),
        ("ipv6-route", 43),
        ("ipv6-frag", 44),
        ("idrp", 45),
        ("rsvp", 46),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("skip", 57),
        ("ipv6-icmp", 58),
        ("ipv6-nonxt", 59),
        ("ipv6-opts", 60),
        ("rspf", 73),
        ("vmtp", 81),
        ("eigrp", 88),
        ("ospf", 89),
        ("ax.25", 93),
        ("ipip", 94),
        ("etherip", 97),
        ("encap", 98),
        ("pim", 103),
        ("ipcomp", 108),
        ("vrrp", 112),
        ("l2tp", 115),
        ("isis", 124),
        ("sctp", 132),
        ("fc", 133),
        ("mobility-header", 135),
        ("udplite", 136),
        ("mpls-in-ip", 137),
        ("manet", 138),
        ("hip", 139),
        ("shim6", 140),
        ("wesp", 141),
        ("rohc", 142),
        ("ethernet", 143),
    ];

    /// By name as iptables and `/etc/protocols` spell it, or by number.
    pub fn parse(s: &str) -> Option<Self> {
        match s {
            "tcp" => return Some(Self::TCP),
            "udp" => return Some(Self::UDP),
            "icmpv6" | "icmp6" => return Some(Self::ICMPV6),
            "mh" => return Some(Self(135)),
            "ip" => return Some(Self(0)),
            _ => {}
        }
        if let Some((_, n)) = Self::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(s)) {
            return Some(Self(*n));
        }
        s.parse().ok().map(Self)
    }

    /// The usual name (`tcp`, `ipv6-icmp`), if there is one.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES
            .iter()
            .find(|(_, n)| *n == self.0)
            .map(|(s, _)| *s)
    }

    /// The name in nfwhy's own JSON: `tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, else the number.
    pub fn contract_name(self) -> String {
        match self {
            Self::TCP => "tcp".into(),
            Self::UDP => "udp".into(),
            Self::SCTP => "sctp".into(),
            Self::ICMP => "icmp".into(),
            Self::ICMPV6 => "icmpv6".into(),
            Self(n) => n.to_string(),
        }
    }

    /// Whether the protocol has 16-bit ports at the start of its header.
    pub fn has_ports(self) -> bool {
        matches!(
            self,
            Self::TCP | Self::UDP | Self::SCTP | Self::DCCP | Self::UDPLITE
        )
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(n) => f.write_str(n),
            None => write!(f, "{}", self.0),
        }
    }
}
