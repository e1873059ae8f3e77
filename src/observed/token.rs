//! What tells that two sightings are of one packet: what no rule of netfilter or IPVS changes.

use nfwhy_parsers::Proto;
use nfwhy_parsers::tcpdump::{Packet, What};

/// Flags of TCP that count.
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A packet's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// The first segment of a direction: its number is drawn of 32 bits.
    Syn { seq: u32, ack: Option<u32> },
    /// IP's identification where it is not 0, with protocol and length.
    Datagram {
        id: u16,
        proto: Proto,
        length: Option<u32>,
    },
}

impl Token {
    /// `None` where nothing tells the packet from others.
    pub fn of(p: &Packet) -> Option<Self> {
        if let What::Tcp(t) = p.what {
            // Numbers of later segments are shown as distances.
            let first = t.flags & SYN != 0 && t.flags & RST == 0;
            let ack = t.ack.filter(|_| t.flags & ACK != 0);
            return first.then_some(Self::Syn { seq: t.seq?, ack });
        }
        let proto = p.proto?;
        if proto == Proto::TCP || matches!(p.what, What::Error { .. }) {
            return None;
        }
        Some(Self::Datagram {
            id: p.id.filter(|id| *id != 0)?,
            proto,
            length: p.length,
        })
    }

    /// Nanoseconds within which two sightings with the token are of one packet.
    pub fn window(self) -> i64 {
        match self {
            // It is sent again after a second, and after two more.
            Self::Syn { .. } => 20_000_000_000,
            Self::Datagram { .. } => 50_000_000,
        }
    }

    /// Whether two packets with this token are one.
    pub fn same(self, a: &Packet, b: &Packet) -> bool {
        match (a.time, b.time, self) {
            (Some(x), Some(y), _) => x.since(y).is_none_or(|d| d.abs() <= self.window()),
            (_, _, Self::Syn { .. }) => true,
            _ => false,
        }
    }
}

/// Whether a segment opens a connection.
pub(super) fn opens(p: &Packet) -> bool {
    p.tcp().is_some_and(|t| t.flags & (SYN | ACK | RST) == SYN)
}

/// Whether a segment accepts a connection.
pub(super) fn accepts(p: &Packet) -> bool {
    p.tcp()
        .is_some_and(|t| t.flags & (SYN | ACK | RST) == SYN | ACK)
}

/// Whether a segment refuses a connection: a reset that answers a SYN has the number 0 and acknowledges.
pub(super) fn refuses(p: &Packet) -> bool {
    p.tcp()
        .is_some_and(|t| t.flags & (SYN | ACK | RST) == RST | ACK && t.seq == Some(0))
}
