//! The packet that is traced.

use crate::node::DevId;
use nfwhy_parsers::{Family, Proto, Range};
use std::fmt;
use std::net::IpAddr;

/// A port, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// This one.
    Known(u16),
    /// The client's choice, not given: one of 32768 to 60999 (the default of `net.ipv4.ip_local_port_range`).
    Ephemeral,
    /// The kernel's choice in NAT.
    Random {
        /// The lowest it can be.
        lo: u16,
        /// The highest.
        hi: u16,
    },
    /// Not given.
    Unknown,
    /// The protocol has none.
    None,
}

impl Port {
    /// The number, if it is known.
    pub fn known(self) -> Option<u16> {
        match self {
            Self::Known(n) => Some(n),
            _ => None,
        }
    }

    /// Whether it lies in a range; `None` where that cannot be told.
    pub fn within(self, r: &Range<u16>) -> Option<bool> {
        let over = |lo: u16, hi: u16| {
            if r.lo <= lo && hi <= r.hi {
                Some(true)
            } else if r.hi < lo || hi < r.lo {
                Some(false)
            } else {
                None
            }
        };
        match self {
            Self::Known(n) => Some(r.contains(&n)),
            Self::Ephemeral => over(32768, 60999),
            Self::Random { lo, hi } => over(lo, hi),
            Self::Unknown => over(0, 65535),
            Self::None => Some(false),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, ":{n}"),
            Self::Ephemeral | Self::Random { .. } | Self::Unknown => f.write_str(":*"),
            Self::None => Ok(()),
        }
    }
}

/// TCP flags, bits as in the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// FIN.
    pub const FIN: u8 = 1;
    /// SYN.
    pub const SYN: u8 = 2;
    /// RST.
    pub const RST: u8 = 4;
    /// PSH.
    pub const PSH: u8 = 8;
    /// ACK.
    pub const ACK: u8 = 16;
    /// URG.
    pub const URG: u8 = 32;
    /// Names and bits.
    pub const NAMES: [(&'static str, u8); 8] = [
        ("fin", 1),
        ("syn", 2),
        ("rst", 4),
        ("psh", 8),
        ("ack", 16),
        ("urg", 32),
        ("ece", 64),
        ("cwr", 128),
    ];

    /// Whether all of `bits` are set.
    pub fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    /// The set flags' names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(_, b)| self.0 & b != 0)
            .map(|(n, _)| n)
    }
}

/// What conntrack takes the packet for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtState {
    /// First packet.
    New,
    /// Of a known connection.
    Established,
    /// Expected by another connection.
    Related,
    /// Of no connection and opening none.
    Invalid,
    /// Not tracked.
    Untracked,
}

impl CtState {
    /// The contract's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        }
    }

    /// By the contract's word.
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s.to_ascii_lowercase().as_str() {
            "new" => Self::New,
            "established" => Self::Established,
            "related" => Self::Related,
            "invalid" => Self::Invalid,
            "untracked" => Self::Untracked,
            _ => return None,
        })
    }
}

/// Where the packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// In by a device.
    Device(DevId),
    /// A process of the node.
    Local,
}

/// A packet with everything filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Source; `None` only for a locally sent packet whose source the kernel chooses.
    pub src: Option<IpAddr>,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol.
    pub proto: Proto,
    /// Source port.
    pub sport: Port,
    /// Destination port.
    pub dport: Port,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// Where it comes from.
    pub origin: Origin,
    /// Mark on arrival (or `SO_MARK`).
    pub mark: u32,
    /// Conntrack state, where the user gives it.
    pub ct_state: Option<CtState>,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TCP flags.
    pub flags: TcpFlags,
    /// Length of the IP packet in bytes.
    pub length: u32,
    /// Source MAC address.
    pub mac: Option<[u8; 6]>,
    /// User of the sending process.
    pub uid: Option<u32>,
    /// Group of the sending process.
    pub gid: Option<u32>,
    /// The connection it belongs to, where an earlier trace made it.
    pub conn: Option<crate::sim::Conn>,
    /// What Calico's programs know of it beside its headers.
    pub calico: crate::sim::CalicoSeen,
}

impl Packet {
    /// Of its destination.
    pub fn family(&self) -> Family {
        Family::of(self.dst)
    }
}

impl Packet {
    /// A packet of which only the destination is known, for questions about routes.
    pub(crate) fn plain(dst: IpAddr) -> Self {
        Self {
            src: None,
            dst,
            proto: Proto::TCP,
            sport: Port::Unknown,
            dport: Port::Unknown,
            icmp: None,
            origin: Origin::Local,
            mark: 0,
            ct_state: None,
            tos: 0,
            ttl: 64,
            flags: TcpFlags::default(),
            length: 40,
            mac: None,
            uid: None,
            gid: None,
            conn: None,
            calico: crate::sim::CalicoSeen::default(),
        }
    }
}
