//! A packet as a capture shows it, and its line.

use crate::common::Proto;
use std::fmt;
use std::net::IpAddr;

/// TCP's flags in the order of `tcpdump`'s letters, with their bits.
pub(super) const FLAGS: [(char, u8); 8] = [
    ('F', 1),
    ('S', 2),
    ('R', 4),
    ('P', 8),
    ('.', 16),
    ('U', 32),
    ('E', 64),
    ('W', 128),
];

/// When a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whether the day is known; else it is a time of some day.
    pub dated: bool,
    /// Nanoseconds since 1970, or since midnight.
    pub ns: i64,
}

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;

impl Time {
    /// Nanoseconds from `earlier` to this; `None` where only one of them has a day.
    pub fn since(self, earlier: Self) -> Option<i64> {
        (self.dated == earlier.dated).then(|| self.ns.saturating_sub(earlier.ns))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ns.div_euclid(SECOND);
        let fraction = self.ns.rem_euclid(SECOND);
        if self.dated {
            let (y, m, d) = date(seconds.div_euclid(DAY));
            write!(f, "{y:04}-{m:02}-{d:02} ")?;
        }
        let s = seconds.rem_euclid(DAY);
        write!(f, "{:02}:{:02}:{:02}.", s / 3600, s / 60 % 60, s % 60)?;
        if fraction % 1000 == 0 {
            write!(f, "{:06}", fraction / 1000)
        } else {
            write!(f, "{fraction:09}")
        }
    }
}

/// The date of a day since 1970 in the proleptic Gregorian calendar, the year beginning in March.
fn date(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let m = (5 * of_year + 2) / 153;
    let day = of_year - (153 * m + 2) / 5 + 1;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The device at which a packet was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dev {
    /// Not shown.
    #[default]
    Unknown,
    /// By its name.
    Name(String),
    /// By its ifindex.
    Index(u32),
}

/// Which way it went, as the kernel marks what it hands to packet sockets (`PACKET_HOST` and its like).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this host.
    In,
    /// From this host.
    Out,
    /// To all.
    Broadcast,
    /// To a group.
    Multicast,
    /// To another host, seen in promiscuous mode.
    Other,
}

impl Way {
    /// The column of `tcpdump -i any`.
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::Out => "Out",
            Self::Broadcast => "B",
            Self::Multicast => "M",
            Self::Other => "P",
        }
    }

    /// By that column.
    pub fn parse(s: &str) -> Option<Self> {
        [
            Self::In,
            Self::Out,
            Self::Broadcast,
            Self::Multicast,
            Self::Other,
        ]
        .into_iter()
        .find(|w| w.name() == s)
    }
}

/// What a segment of TCP tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Flags, bits as in the header.
    pub flags: u8,
    /// Sequence number.
    pub seq: Option<u32>,
    /// Number acknowledged.
    pub ack: Option<u32>,
    /// The option with time stamps: value and echo.
    pub stamp: Option<(u32, u32)>,
}

/// What an ICMP error says of the packet it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its source.
    pub src: Option<IpAddr>,
    /// Its destination.
    pub dst: Option<IpAddr>,
    /// Its protocol.
    pub proto: Option<Proto>,
    /// Its source port.
    pub sport: Option<u16>,
    /// Its destination port.
    pub dport: Option<u16>,
}

/// Kinds of ICMP errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Destination unreachable.
    Unreachable,
    /// Too big for a link on the way; it is tried again in smaller ones.
    TooBig,
    /// Lived too long.
    Exceeded,
    /// Another.
    Other,
}

impl Error {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Unreachable, "unreachable"),
        (Self::TooBig, "too big"),
        (Self::Exceeded, "time exceeded"),
        (Self::Other, "other"),
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(e, _)| *e == self)
            .map_or("", |(_, n)| n)
    }

    pub(super) fn parse(s: &str) -> Option<(Self, &str)> {
        Self::ALL
            .iter()
            .find_map(|(e, n)| Some((*e, s.strip_prefix(n)?)))
    }
}

/// What is within the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// TCP.
    Tcp(Tcp),
    /// An echo request of ICMP, or the answer to one.
    Echo {
        /// An answer.
        reply: bool,
        /// Identifier.
        id: u16,
        /// Sequence number.
        seq: u16,
    },
    /// An ICMP error.
    Error {
        /// Of which kind.
        kind: Error,
        /// About which packet.
        about: About,
    },
    /// Anything else.
    Other,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its line, from 1; of a binary capture its number.
    pub line: u32,
    /// When it was seen.
    pub time: Option<Time>,
    /// Where.
    pub dev: Dev,
    /// Which way it went.
    pub way: Option<Way>,
    /// IP's identification.
    pub id: Option<u16>,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol; `None` where the line does not tell.
    pub proto: Option<Proto>,
    /// Source port.
    pub sport: Option<u16>,
    /// Destination port.
    pub dport: Option<u16>,
    /// What is within.
    pub what: What,
    /// Bytes of payload.
    pub length: Option<u32>,
    /// It was within another packet: how many tunnels around it.
    pub depth: u8,
}

impl Packet {
    /// A packet of which only the ends are known.
    pub fn between(src: IpAddr, dst: IpAddr) -> Self {
        Self {
            line: 0,
            time: None,
            dev: Dev::Unknown,
            way: None,
            id: None,
            ttl: None,
            src,
            dst,
            proto: None,
            sport: None,
            dport: None,
            what: What::Other,
            length: None,
            depth: 0,
        }
    }

    /// TCP's part.
    pub fn tcp(&self) -> Option<&Tcp> {
        match &self.what {
            What::Tcp(t) => Some(t),
            _ => None,
        }
    }
}

/// `address.port`, as `tcpdump -n` prints it.
struct End(IpAddr, Option<u16>);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        self.1.map_or(Ok(()), |p| write!(f, ".{p}"))
    }
}

/// What stands before the first packet of a line: time, device, way.
pub struct Head<'p>(pub &'p Packet);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = self.0;
        if let Some(t) = p.time {
            write!(f, "{t} ")?;
        }
        match &p.dev {
            Dev::Unknown => {}
            Dev::Name(n) => write!(f, "{n} ")?,
            Dev::Index(i) => write!(f, "#{i} ")?,
        }
        match p.way {
            Some(w) => write!(f, "{} ", w.name()),
            // A device without a way would be read as something else.
            None if p.dev != Dev::Unknown => f.write_str("? "),
            None => Ok(()),
        }
    }
}

/// The packet itself, as `tcpdump -v` prints it but on one line: what is within a tunnel follows it there.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.src.is_ipv4() { "IP " } else { "IP6 " })?;
        let proto = self.proto.map_or(0, |p| p.0);
        if self.id.is_some() || self.ttl.is_some() || self.proto.is_some() {
            f.write_str("(")?;
            if let Some(t) = self.ttl {
                write!(f, "ttl {t}, ")?;
            }
            if let Some(i) = self.id {
                write!(f, "id {i}, ")?;
            }
            write!(f, "proto ({proto})) ")?;
        }
        let (src, dst) = (End(self.src, self.sport), End(self.dst, self.dport));
        write!(f, "{src} > {dst}: ")?;
        match &self.what {
            What::Tcp(t) => {
                f.write_str("Flags [")?;
                let mut any = false;
                for (c, bit) in FLAGS {
                    if t.flags & bit != 0 {
                        write!(f, "{c}")?;
                        any = true;
                    }
                }
                f.write_str(if any { "]" } else { "none]" })?;
                if let Some(n) = t.seq {
                    write!(f, ", seq {n}")?;
                }
                if let Some(n) = t.ack {
                    write!(f, ", ack {n}")?;
                }
                if let Some((v, e)) = t.stamp {
                    write!(f, ", options [TS val {v} ecr {e}]")?;
                }
            }
            What::Echo { reply, id, seq } => {
                let which = if *reply { "reply" } else { "request" };
                let comma = if self.src.is_ipv4() { "ICMP" } else { "ICMP6," };
                write!(f, "{comma} echo {which}, id {id}, seq {seq}")?;
            }
            What::Error { kind, about } => {
                write!(f, "ICMP error {}", kind.name())?;
                if let (Some(src), Some(dst)) = (about.src, about.dst) {
                    let quoted = Self {
                        proto: about.proto,
                        sport: about.sport,
                        dport: about.dport,
                        ..Self::between(src, dst)
                    };
                    write!(f, " about {quoted}")?;
                    return Ok(());
                }
            }
            What::Other => f.write_str("other")?,
        }
        match self.length {
            Some(n) => write!(f, ", length {n}"),
            None => Ok(()),
        }
    }
}
