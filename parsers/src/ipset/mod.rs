//! `ipset save` and `ipset list`.
//!
//! Facts about the text were seen with ipset 7.17 on Linux 6.18; facts about matching cite the kernel.

mod header;
mod icmp;
pub(crate) mod member;
mod print;
mod read;

use crate::common::{Family, Parsed, Proto, Range, Span, Text};
use std::net::IpAddr;

/// One set.
#[derive(Clone, Debug, PartialEq)]
pub struct IpSet<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Line of `create` or `Name:`, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// `hash:ip,port`.
    pub type_name: Text<'a>,
    /// The type as far as it is known; `None` for a type not modelled.
    pub kind: Option<SetKind>,
    /// `family inet` / `inet6`; `None` where it is not written: hash types are IPv4 then.
    pub family: Option<Family>,
    /// Seconds; the set has timeouts at all when this is `Some`.
    pub timeout: Option<u32>,
    /// `netmask N`, a prefix length.
    pub netmask: Option<u8>,
    /// `bitmask ADDR`: addresses are compared under this mask, which need not be a prefix (hash:ip and others, since ipset 7.17).
    pub bitmask: Option<IpAddr>,
    /// `markmask`.
    pub markmask: Option<u32>,
    /// `size` of a list:set, `maxelem` of a hash.
    pub size: Option<u32>,
    /// `range` of a bitmap: addresses.
    pub ip_range: Option<Range<IpAddr>>,
    /// `range` of a bitmap:port.
    pub port_range: Option<Range<u16>>,
    /// The set was created with `counters`.
    pub counters: bool,
    /// The set was created with `comment`.
    pub comment: bool,
    /// The set was created with `skbinfo`.
    pub skbinfo: bool,
    /// Header options as written, without name and type.
    pub header: Text<'a>,
    /// `Number of entries:` of a listing.
    pub declared_entries: Option<u32>,
    /// The members in the order of the text.
    pub members: Vec<Member<'a>>,
    /// False where the text shows that members are missing (fewer than declared, a `...`, an unreadable member, `-t`).
    pub complete: bool,
    /// True when it came from `ipset list`, false from `ipset save`.
    pub listed: bool,
}

/// Storage method of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `hash`.
    Hash,
    /// `bitmap`.
    Bitmap,
    /// `list`.
    List,
}

/// One dimension of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// `ip`.
    Ip,
    /// `net`.
    Net,
    /// `port`.
    Port,
    /// `mac`.
    Mac,
    /// `mark`.
    Mark,
    /// `iface`.
    Iface,
    /// `set`.
    Set,
}

/// A set type: `hash:ip,port,net` is Hash with [Ip, Port, Net].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetKind {
    /// hash, bitmap or list.
    pub method: Method,
    /// The dimensions; the unused ones are `None`.
    pub dims: [Option<Dim>; 3],
}

/// A member of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// Line, from 1.
    pub line: u32,
    /// The element as written, without options.
    pub text: &'a str,
    /// One part per dimension, in the order of the type.
    pub parts: [Part<'a>; 3],
    /// `nomatch`.
    pub nomatch: bool,
    /// Remaining seconds; 0 = permanent.
    pub timeout: Option<u32>,
    /// `packets`.
    pub packets: Option<u64>,
    /// `bytes`.
    pub bytes: Option<u64>,
    /// `comment "..."`.
    pub comment: Option<Text<'a>>,
    /// `skbmark`, `skbprio`, `skbqueue` as written.
    pub skb: Option<Text<'a>>,
    /// `before`/`after` of list:set entries as written.
    pub placement: Option<Text<'a>>,
}

/// One part of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Part<'a> {
    /// No such dimension.
    #[default]
    None,
    /// An address or network; bits behind the prefix are zero.
    Net(IpAddr, u8),
    /// A range of addresses (bitmaps; also ranges in hand-written files).
    Range(IpAddr, IpAddr),
    /// Protocol (`None` in bitmap:port) and ports.
    Port(Option<Proto>, Range<u16>),
    /// ICMP or `ICMPv6` type and code.
    Icmp(Proto, u8, u8),
    /// MAC address.
    Mac([u8; 6]),
    /// Mark.
    Mark(u32),
    /// Device name.
    Iface {
        /// The name without `physdev:`. A `+` at its end is part of the name: `cali+` alone matches a device of just that name.
        name: Text<'a>,
        /// `physdev:` stood before it.
        physdev: bool,
        /// The member has the option `wildcard`: every device whose name starts with `name` fits (`hash_netiface4_data_equal` in
        /// `net/netfilter/ipset/ip_set_hash_netiface.c`).
        wildcard: bool,
    },
    /// Name of a set in a list:set.
    Set(Text<'a>),
}

/// The name that ipset prints for an ICMP or `ICMPv6` type and code, where it has one.
pub fn icmp_name(proto: Proto, kind: u8, code: u8) -> Option<&'static str> {
    icmp::name(proto == Proto::ICMPV6, kind, code)
}

/// Reads `ipset save` or `ipset list` output (or a mixture, several sets, with other text between).
///
/// `add` needs the `create` before it. A member that cannot be read is left out, reported, and makes its set incomplete; so does
/// an option that is not known, since it might turn the member's meaning round.
pub fn parse(source: &str) -> Parsed<Vec<IpSet<'_>>> {
    read::read(source)
}
