//! `ipvsadm -ln`, `ipvsadm-save -n` (`ipvsadm -Sn`) and `/proc/net/ip_vs`.
//!
//! The forms are those of `print_service_entry` in ipvsadm.c (1.31) and of `ip_vs_info_seq_show` in
//! `net/netfilter/ipvs/ip_vs_ctl.c`.

mod addr;
mod listing;
pub(crate) mod names;
mod read;
mod save;

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
    /// `rr`, `sh`, ...; empty where the listing has no such column (`--stats`, `--rate`).
    pub scheduler: Text<'a>,
    /// Scheduler flags (`sh-port`, `sh-fallback`, `flag-1`, ...).
    pub flags: Vec<Text<'a>>,
    /// Persistence timeout in seconds. `/proc/net/ip_vs` has ticks of the kernel's clock; 250 per second are assumed there.
    pub persistent: Option<u32>,
    /// Granularity of the persistence: an IPv4 mask or an IPv6 prefix length as a mask. `None`: single addresses.
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
    /// Its port; 0 for a service on every port, or of a firewall mark, that keeps the packet's port.
    pub port: u16,
    /// How it is reached. `Masq` where the listing has no such column (`--stats`, `--rate`, `--thresholds`,
    /// `--persistent-conn`), which is reported.
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
///
/// Without `-n` the port names that are common are understood; host names are not, and are reported.
pub fn parse(source: &str) -> Parsed<Vec<VirtualService<'_>>> {
    read::read(source)
}
