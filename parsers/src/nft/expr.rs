//! Expressions: what a rule looks at, and what it compares that with.

use super::fields::Field;
use super::types::Type;
use super::{Element, TableFamily};
use crate::common::Text;

/// A constant of a known type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Const<'a> {
    /// A number: addresses, ports, marks, flags. As one reads it, whatever its order of bytes in the packet is.
    Num(u128),
    /// The name of an interface, or another string. A `*` at the end that stands for anything is [`Part::Wild`]; `\*` is a plain star.
    Text(Text<'a>),
}

/// A constant, or many of them that lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// One.
    One(Const<'a>),
    /// A range or a prefix, both ends included. A prefix of full length is [`Part::One`].
    Range(u128, u128),
    /// Strings that begin so: `"cali*"` without its star.
    Wild(Text<'a>),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr<'a> {
    /// A constant or a range, read as the type that it is compared with. Flags (`established,related`, `syn | ack`) are one number.
    Part(Part<'a>),
    /// `ip daddr . meta l4proto . th dport`; on the right side its constants.
    Concat(Vec<Expr<'a>>),
    /// A header field: `ip daddr`, `tcp dport`, `th dport`.
    Payload(Field),
    /// `@nh,96,32`: so many bits from there.
    Raw {
        /// From which header.
        base: RawBase,
        /// Offset in bits.
        offset: u32,
        /// Length in bits.
        len: u32,
    },
    /// `tcp option maxseg size`: option kind and field, as words.
    TcpOption(Text<'a>),
    /// `exthdr frag`, `hbh nexthdr`, ...: IPv6 extension headers and IP options, as words.
    Exthdr(Text<'a>),
    /// `meta KEY`; unqualified keys (`mark`, `iif`) too.
    Meta(Meta),
    /// `ct [original|reply] KEY`.
    Ct {
        /// `original` (false) or `reply` (true).
        reply: Option<bool>,
        /// What of it.
        key: CtKey,
    },
    /// `fib saddr . iif oif`.
    Fib(Fib),
    /// `rt classid`, `rt nexthop`, `rt mtu`, ...
    Rt(Text<'a>),
    /// `socket transparent`, `socket mark`, `osf name`, `ipsec in reqid`, ...: the words.
    Other(Text<'a>),
    /// `numgen random|inc mod N offset M`.
    Numgen {
        /// `random`, or `inc`.
        random: bool,
        /// `mod`.
        modulus: u32,
        /// `offset`.
        offset: u32,
    },
    /// `jhash EXPR mod N seed S offset M`.
    Jhash {
        /// What is hashed.
        key: Box<Expr<'a>>,
        /// `mod`.
        modulus: u32,
        /// `seed`; `None` = drawn when the rule was loaded.
        seed: Option<u32>,
        /// `offset`.
        offset: u32,
    },
    /// `symhash mod N offset M`.
    Symhash {
        /// `mod`.
        modulus: u32,
        /// `offset`.
        offset: u32,
    },
    /// `@name`.
    SetRef(Text<'a>),
    /// `{ ... }`.
    Set(Vec<Element<'a>>),
    /// `EXPR map @name` or `EXPR map { ... }`.
    Map {
        /// What is looked up.
        key: Box<Expr<'a>>,
        /// Where.
        map: Box<MapRef<'a>>,
    },
    /// `A & B` and the like.
    Binary {
        /// Which.
        op: BinOp,
        /// Left.
        left: Box<Expr<'a>>,
        /// Right.
        right: Box<Expr<'a>>,
    },
    /// Not understood: as written.
    Opaque(Text<'a>),
}

/// The elements that a rule looks into.
#[derive(Clone, Debug, PartialEq)]
pub enum MapRef<'a> {
    /// `@name`.
    Named(Text<'a>),
    /// `{ ... }`.
    Literal(Vec<Element<'a>>),
}

/// From where [`Expr::Raw`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RawBase {
    /// `@ll`: the link layer header.
    Link,
    /// `@nh`: the network header.
    Network,
    /// `@th`: the transport header.
    Transport,
    /// `@ih`: what follows the transport header.
    Inner,
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinOp {
    /// `&`, `and`.
    And,
    /// `|`, `or`.
    Or,
    /// `^`, `xor`.
    Xor,
    /// `<<`.
    Shl,
    /// `>>`.
    Shr,
}

/// How a match compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelOp {
    /// `==`; also membership in a set, and lying in a range or prefix.
    Eq,
    /// `!=`: the opposite.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `>`.
    Gt,
    /// `>=`.
    Ge,
    /// No operator (JSON: `in`) with flags on the right: any of them is set.
    Any,
    /// `!` with flags on the right: none of them is set.
    None,
}

/// Keys of `meta` (`meta_templates` in nftables `src/meta.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meta {
    /// `length`.
    Length,
    /// `protocol`: the ether type.
    Protocol,
    /// `nfproto`.
    Nfproto,
    /// `l4proto`.
    L4proto,
    /// `priority`.
    Priority,
    /// `mark`.
    Mark,
    /// `iif`: an index; nft prints the name.
    Iif,
    /// `iifname`.
    Iifname,
    /// `iiftype`.
    Iiftype,
    /// `oif`.
    Oif,
    /// `oifname`.
    Oifname,
    /// `oiftype`.
    Oiftype,
    /// `skuid`.
    Skuid,
    /// `skgid`.
    Skgid,
    /// `nftrace`.
    Nftrace,
    /// `rtclassid`.
    Rtclassid,
    /// `secmark`.
    Secmark,
    /// `pkttype`.
    Pkttype,
    /// `cpu`.
    Cpu,
    /// `iifgroup`.
    Iifgroup,
    /// `oifgroup`.
    Oifgroup,
    /// `cgroup`.
    Cgroup,
    /// `random`.
    Random,
    /// `ipsec`: whether it came by `IPsec`.
    Ipsec,
    /// `iifkind`, `oifkind`: not told apart further than by name.
    Iifkind,
    /// `oifkind`.
    Oifkind,
    /// `ibrname`, and obsolete `ibriport`.
    Ibrname,
    /// `obrname`.
    Obrname,
    /// `sdif`.
    Sdif,
    /// `sdifname`.
    Sdifname,
    /// `time`.
    Time,
    /// `day`.
    Day,
    /// `hour`.
    Hour,
}

/// Names of [`Meta`] keys, with what they hold.
pub const META: &[(&str, Meta, Type)] = &[
    ("length", Meta::Length, Type::Integer(32)),
    ("protocol", Meta::Protocol, Type::EtherType),
    ("nfproto", Meta::Nfproto, Type::NfProto),
    ("l4proto", Meta::L4proto, Type::InetProto),
    ("priority", Meta::Priority, Type::ClassId),
    ("mark", Meta::Mark, Type::Mark),
    ("iif", Meta::Iif, Type::IfaceIndex),
    ("iifname", Meta::Iifname, Type::Ifname),
    ("iiftype", Meta::Iiftype, Type::IfaceType),
    ("oif", Meta::Oif, Type::IfaceIndex),
    ("oifname", Meta::Oifname, Type::Ifname),
    ("oiftype", Meta::Oiftype, Type::IfaceType),
    ("skuid", Meta::Skuid, Type::Uid),
    ("skgid", Meta::Skgid, Type::Gid),
    ("nftrace", Meta::Nftrace, Type::Boolean),
    ("rtclassid", Meta::Rtclassid, Type::Realm),
    ("secmark", Meta::Secmark, Type::Integer(32)),
    ("pkttype", Meta::Pkttype, Type::PktType),
    ("cpu", Meta::Cpu, Type::Integer(32)),
    ("iifgroup", Meta::Iifgroup, Type::DevGroup),
    ("oifgroup", Meta::Oifgroup, Type::DevGroup),
    ("cgroup", Meta::Cgroup, Type::Integer(32)),
    ("random", Meta::Random, Type::Integer(32)),
    ("ipsec", Meta::Ipsec, Type::Boolean),
    ("secpath", Meta::Ipsec, Type::Boolean),
    ("iifkind", Meta::Iifkind, Type::Ifname),
    ("oifkind", Meta::Oifkind, Type::Ifname),
    ("ibrname", Meta::Ibrname, Type::Ifname),
    ("ibriport", Meta::Ibrname, Type::Ifname),
    ("obrname", Meta::Obrname, Type::Ifname),
    ("obriport", Meta::Obrname, Type::Ifname),
    ("sdif", Meta::Sdif, Type::IfaceIndex),
    ("sdifname", Meta::Sdifname, Type::Ifname),
    ("time", Meta::Time, Type::Time),
    ("day", Meta::Day, Type::Day),
    ("hour", Meta::Hour, Type::Hour),
];

/// Keys of `ct` (`ct_templates` in nftables `src/ct.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtKey {
    /// `state`.
    State,
    /// `direction`.
    Direction,
    /// `status`.
    Status,
    /// `mark`.
    Mark,
    /// `expiration`.
    Expiration,
    /// `helper`.
    Helper,
    /// `l3proto`.
    L3proto,
    /// `saddr`.
    Saddr,
    /// `daddr`.
    Daddr,
    /// `ip saddr`: of a connection of IPv4 alone.
    Saddr4,
    /// `ip daddr`.
    Daddr4,
    /// `ip6 saddr`: of a connection of IPv6 alone.
    Saddr6,
    /// `ip6 daddr`.
    Daddr6,
    /// `protocol`.
    Protocol,
    /// `proto-src`.
    ProtoSrc,
    /// `proto-dst`.
    ProtoDst,
    /// `label`.
    Label,
    /// `bytes`.
    Bytes,
    /// `packets`.
    Packets,
    /// `avgpkt`.
    Avgpkt,
    /// `zone`.
    Zone,
    /// `event`.
    Event,
    /// `secmark`.
    Secmark,
    /// `id`.
    Id,
    /// `count`: written as the statement `ct count`.
    Count,
}

impl CtKey {
    /// The one key that there is in a table of one family: text names the family there, JSON does not always.
    #[must_use]
    pub fn normal(self, family: TableFamily) -> Self {
        match (self, family) {
            (Self::Saddr4, TableFamily::Ip) | (Self::Saddr6, TableFamily::Ip6) => Self::Saddr,
            (Self::Daddr4, TableFamily::Ip) | (Self::Daddr6, TableFamily::Ip6) => Self::Daddr,
            (key, _) => key,
        }
    }
}

/// Names of [`CtKey`]s, with what they hold. Addresses without `ip` or `ip6` before them are of the table's family.
pub const CT: &[(&str, CtKey, Type)] = &[
    ("state", CtKey::State, Type::CtState),
    ("direction", CtKey::Direction, Type::CtDir),
    ("status", CtKey::Status, Type::CtStatus),
    ("mark", CtKey::Mark, Type::Mark),
    ("expiration", CtKey::Expiration, Type::Time),
    ("helper", CtKey::Helper, Type::Ifname),
    ("l3proto", CtKey::L3proto, Type::NfProto),
    ("saddr", CtKey::Saddr, Type::Invalid),
    ("daddr", CtKey::Daddr, Type::Invalid),
    ("ip saddr", CtKey::Saddr4, Type::Ipv4Addr),
    ("ip daddr", CtKey::Daddr4, Type::Ipv4Addr),
    ("ip6 saddr", CtKey::Saddr6, Type::Ipv6Addr),
    ("ip6 daddr", CtKey::Daddr6, Type::Ipv6Addr),
    ("protocol", CtKey::Protocol, Type::InetProto),
    ("proto-src", CtKey::ProtoSrc, Type::InetService),
    ("proto-dst", CtKey::ProtoDst, Type::InetService),
    ("label", CtKey::Label, Type::CtLabel),
    ("bytes", CtKey::Bytes, Type::Integer(64)),
    ("packets", CtKey::Packets, Type::Integer(64)),
    ("avgpkt", CtKey::Avgpkt, Type::Integer(64)),
    ("zone", CtKey::Zone, Type::Integer(16)),
    ("event", CtKey::Event, Type::CtEvent),
    ("secmark", CtKey::Secmark, Type::Integer(32)),
    ("id", CtKey::Id, Type::Integer(32)),
];

/// A question to the routing tables (`net/netfilter/nft_fib.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags of `struct nft_fib`"
)]
pub struct Fib {
    /// What is asked for.
    pub result: FibResult,
    /// `saddr`.
    pub saddr: bool,
    /// `daddr`.
    pub daddr: bool,
    /// `mark`: with the packet's mark.
    pub mark: bool,
    /// `iif`: the route must be by the ingress device.
    pub iif: bool,
    /// `oif`.
    pub oif: bool,
}

/// What `fib` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FibResult {
    /// `oif`: an index, 0 where there is no route.
    Oif,
    /// `oifname`: a name, empty where there is no route.
    Oifname,
    /// `type`.
    Type,
    /// `check` (nft 1.1; older ones print `oif` compared with `exists`, `missing`): whether there is a route.
    Check,
}
