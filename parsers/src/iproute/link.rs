//! `ip addr` and `ip -d link`.

mod address;
mod json;
mod text;

use super::Scope;
use super::words::is_json;
use crate::common::{Parsed, Span, Text};
use std::net::IpAddr;

/// A device, with its addresses where the command shows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Link<'a> {
    /// Line, from 1; 0 in JSON where it is not known.
    pub line: u32,
    /// That line (or the JSON object).
    pub span: Span,
    /// ifindex; 0 in the brief form (`-br`), which does not show it.
    pub index: u32,
    /// Name without `@peer`.
    pub name: Text<'a>,
    /// What stands behind `@`.
    pub peer: Peer<'a>,
    /// `link-netnsid N` or `link-netns NAME`; JSON has only the number.
    pub peer_netns: Option<Text<'a>>,
    /// `UP`, `LOWER_UP`, `NOARP`, `NO-CARRIER`, ...
    pub flags: Vec<Text<'a>>,
    /// MTU.
    pub mtu: Option<u32>,
    /// `state UP`.
    pub state: Option<Text<'a>>,
    /// `master NAME`.
    pub master: Option<Text<'a>>,
    /// `group default`; names are kept.
    pub group: Option<Text<'a>>,
    /// `link/ether`: `ether`, `ipip`, `loopback`, ...
    pub link_type: Option<Text<'a>>,
    /// Hardware address (an IPv4 address for tunnels).
    pub address: Option<Text<'a>>,
    /// From `-d`: `veth`, `vxlan`, `ipip`, `dummy`, `bridge`, `vrf`, ...
    pub kind: Option<Text<'a>>,
    /// From `-d`: `bridge`, `bond`, `vrf` for an enslaved device.
    pub slave_kind: Option<Text<'a>>,
    /// Details of the kind.
    pub info: LinkInfo<'a>,
    /// `altname`s.
    pub altnames: Vec<Text<'a>>,
    /// `xdp id N`, `xdpgeneric id N` and the like: how the program is attached, and its id.
    pub xdp: Option<Text<'a>>,
    /// True where the command shows addresses (`ip addr`), so that none listed means none there (`ip -4 addr` and
    /// `ip -6 addr` show those of one family, which the output does not tell).
    pub shows_addresses: bool,
    /// Addresses, in the order shown, which is the kernel's.
    pub addresses: Vec<Address<'a>>,
}

/// What stands behind `@` in a device's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Peer<'a> {
    /// Nothing.
    #[default]
    None,
    /// `@NONE`: a tunnel without lower device.
    Unbound,
    /// `@eth0`.
    Name(Text<'a>),
    /// `@if5`: in another namespace.
    Index(u32),
}

/// A field of a tunnel's outer packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// `inherit`: that of the packet within.
    Inherit,
    /// The device's own.
    Own(u8),
}

impl Outer {
    /// As it is printed: `inherit`, `64`, `0x10`.
    pub(crate) fn read(word: &str) -> Option<Self> {
        if word == "inherit" {
            return Some(Self::Inherit);
        }
        let n = match word.strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16),
            None => word.parse(),
        };
        n.ok().map(Self::Own)
    }
}

/// Details by kind, where `-d` or `-j -d` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo<'a> {
    /// VXLAN, GENEVE or VLAN id.
    pub id: Option<u32>,
    /// Tunnel source.
    pub local: Option<IpAddr>,
    /// Tunnel destination or group.
    pub remote: Option<IpAddr>,
    /// Lower device of a tunnel (`dev eth0`).
    pub dev: Option<Text<'a>>,
    /// VXLAN destination port.
    pub dstport: Option<u16>,
    /// VXLAN: `nolearning` gives Some(false), its absence Some(true).
    pub learning: Option<bool>,
    /// Table of a VRF, also shown for its ports.
    pub table: Option<u32>,
    /// `external` / collect metadata.
    pub external: bool,
    /// TOS or traffic class of a tunnel's outer packets, where the device says any.
    pub tos: Option<Outer>,
    /// Their TTL or hop limit; `None` also for `auto`.
    pub ttl: Option<Outer>,
    /// Bridge: `nf_call_iptables`.
    pub nf_call_iptables: Option<bool>,
    /// Bridge: `nf_call_ip6tables`.
    pub nf_call_ip6tables: Option<bool>,
    /// Port of a bridge: `hairpin on`.
    pub hairpin: Option<bool>,
    /// The words behind the kind as written; only from text.
    pub rest: Option<Text<'a>>,
}

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// The local address.
    pub local: IpAddr,
    /// `inet A peer B/len`.
    pub peer: Option<IpAddr>,
    /// Prefix length (of the peer where there is one).
    pub prefix_len: u8,
    /// `brd`.
    pub broadcast: Option<IpAddr>,
    /// `scope`; where it is not shown (`-br`), what the kernel gives by default: host for loopback, link for link-local
    /// IPv6, else global.
    pub scope: Scope,
    /// `secondary` (IPv4; `temporary` for IPv6 is a flag of its own).
    pub secondary: bool,
    /// `tentative`.
    pub tentative: bool,
    /// `deprecated`.
    pub deprecated: bool,
    /// `dadfailed`.
    pub dadfailed: bool,
    /// `temporary`.
    pub temporary: bool,
    /// `mngtmpaddr`, `noprefixroute`, `dynamic`, `nodad`, `home`, `optimistic`, ...
    pub flags: Vec<Text<'a>>,
    /// The label, the word at the end of the line (`eth0:1`).
    pub label: Option<Text<'a>>,
    /// `metric N`.
    pub metric: Option<u32>,
}

/// Reads `ip addr`, `ip link`, with or without `-d`, `-s`, `-o`, `-br`, `-4`, `-6`, as text or JSON.
///
/// Devices keep the order of the text, which is the kernel's. What people do to a listing when they paste it is accepted:
/// comments behind a line, `# ` before a device's first line, gaps, and `...` for what they left out (with a diagnostic).
pub fn parse(source: &str) -> Parsed<Vec<Link<'_>>> {
    if is_json(source) {
        json::parse(source)
    } else {
        text::parse(source)
    }
}

impl Link<'_> {
    fn new(line: u32, span: Span) -> Self {
        Link {
            line,
            span,
            index: 0,
            name: Text::Borrowed(""),
            peer: Peer::None,
            peer_netns: None,
            flags: Vec::new(),
            mtu: None,
            state: None,
            master: None,
            group: None,
            link_type: None,
            address: None,
            kind: None,
            slave_kind: None,
            info: LinkInfo::default(),
            altnames: Vec::new(),
            xdp: None,
            shows_addresses: false,
            addresses: Vec::new(),
        }
    }

    /// Whether the kind has an `id` of its own among its details.
    fn kind_has_id(&self) -> bool {
        matches!(self.kind.as_deref(), Some("vxlan" | "vlan" | "geneve"))
    }
}
