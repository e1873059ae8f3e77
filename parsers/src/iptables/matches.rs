//! Match extensions as typed records; what is not known is [`Match::Opaque`].

use crate::common::{MarkMask, Masked, Neg, Proto, Range, Text};
use std::net::IpAddr;

/// The name of the match that nfwhy's own reading of a node gives to a rule in the tables of iptables-nft that has more to it than
/// iptables can say; nft lists it. It stays [`Match::Opaque`], and nothing is reported. No extension has this name.
pub const NATIVE: &str = "nft";

/// One `-m` match with its options.
#[derive(Clone, Debug, PartialEq)]
pub enum Match<'a> {
    /// `comment`, unescaped.
    Comment(Text<'a>),
    /// `tcp`.
    Tcp(Tcp),
    /// `udp` or `udplite`.
    Udp(Ports),
    /// `sctp`.
    Sctp(Sctp<'a>),
    /// `dccp` ports; types and options are kept as text.
    Dccp(Ports, Option<Text<'a>>),
    /// `icmp --icmp-type`.
    Icmp(Neg<IcmpType>),
    /// `icmp6 --icmpv6-type`.
    Icmp6(Neg<IcmpType>),
    /// `conntrack`.
    Conntrack(Box<Conntrack>),
    /// `state --state`.
    State(Neg<CtStates>),
    /// `mark --mark`.
    Mark(Neg<MarkMask>),
    /// `connmark --mark`.
    Connmark(Neg<MarkMask>),
    /// `addrtype`.
    Addrtype(Addrtype),
    /// `set --match-set`.
    Set(Box<SetMatch<'a>>),
    /// `statistic --mode random`: threshold of 2^31, as the kernel stores it.
    StatisticRandom(Neg<u32>),
    /// `statistic --mode nth --every N --packet P`.
    StatisticNth {
        /// `! --every`.
        not: bool,
        /// Every how many packets.
        every: u32,
        /// Initial counter.
        packet: u32,
    },
    /// `multiport`.
    Multiport(Multiport),
    /// `owner`.
    Owner(Owner<'a>),
    /// `recent`.
    Recent(Box<Recent<'a>>),
    /// `physdev`.
    Physdev(Box<Physdev<'a>>),
    /// `rpfilter`.
    Rpfilter(Rpfilter),
    /// `ipvs`.
    Ipvs(Box<IpvsMatch<'a>>),
    /// `nfacct --nfacct-name`: counts, always true.
    Nfacct(Text<'a>),
    /// `limit`.
    Limit(Limit<'a>),
    /// `connlimit`.
    Connlimit(Connlimit),
    /// `hashlimit`.
    Hashlimit(Box<Hashlimit<'a>>),
    /// `quota --quota`.
    Quota(Neg<u64>),
    /// `socket`.
    Socket(SocketMatch),
    /// `policy`, of `IPsec`.
    Policy(Box<PolicyMatch<'a>>),
    /// `esp --espspi`.
    Esp(Neg<Range<u32>>),
    /// `ah --ahspi`.
    Ah(Neg<Range<u32>>),
    /// `bpf`: not simulated.
    Bpf(Text<'a>),
    /// `u32 --u32`: not simulated beyond being kept.
    U32(Neg<Text<'a>>),
    /// `string`: payload; kept as text.
    String(Text<'a>),
    /// `length --length`, of the whole packet in bytes.
    Length(Neg<Range<u16>>),
    /// `dscp --dscp`.
    Dscp(Neg<u8>),
    /// `tos --tos value/mask`.
    Tos(Neg<ByteMask>),
    /// `ttl` (IPv4) or `hl` (IPv6).
    Ttl(TtlMatch),
    /// `iprange`.
    Iprange {
        /// `--src-range`.
        src: Option<Neg<Range<IpAddr>>>,
        /// `--dst-range`.
        dst: Option<Neg<Range<IpAddr>>>,
    },
    /// `mac --mac-source`.
    Mac(Neg<[u8; 6]>),
    /// `pkttype --pkt-type`.
    Pkttype(Neg<PacketType>),
    /// `time`: kept as text.
    Time(Text<'a>),
    /// `helper --helper`.
    Helper(Neg<Text<'a>>),
    /// `cpu --cpu`.
    Cpu(Neg<u32>),
    /// `devgroup --src-group/--dst-group`.
    Devgroup {
        /// Group of the input device.
        src: Option<Neg<MarkMask>>,
        /// Group of the output device.
        dst: Option<Neg<MarkMask>>,
    },
    /// `realm --realm`.
    Realm(Neg<MarkMask>),
    /// A known name with options not understood, or an unknown name.
    Opaque {
        /// After `-m`.
        name: Text<'a>,
        /// Its options as written.
        args: Text<'a>,
    },
}

/// `tcp` options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// `--sport`.
    pub sport: Option<Neg<Range<u16>>>,
    /// `--dport`.
    pub dport: Option<Neg<Range<u16>>>,
    /// `--tcp-flags MASK COMP`, bits as in the header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
    pub flags: Option<Neg<ByteMask>>,
    /// `--tcp-option N`.
    pub option: Option<Neg<u8>>,
}

/// Source and destination ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// `--sport`.
    pub sport: Option<Neg<Range<u16>>>,
    /// `--dport`.
    pub dport: Option<Neg<Range<u16>>>,
}

/// `sctp` options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sctp<'a> {
    /// Ports.
    pub ports: Ports,
    /// `--chunk-types`, as written after the option.
    pub chunks: Option<Neg<Text<'a>>>,
}

/// A byte that fits when `x & mask == value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteMask {
    /// The value.
    pub value: u8,
    /// The mask.
    pub mask: u8,
}

/// ICMP type and range of codes; `any` is `ty: None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpType {
    /// Type; `None` = any.
    pub ty: Option<u8>,
    /// Codes; 0..=255 where only the type is given.
    pub codes: Range<u8>,
}

/// Bits of `--ctstate`: as the kernel's `XT_CONNTRACK_STATE_*` (INVALID 1, ESTABLISHED 2, RELATED 4, NEW 8, SNAT 0x40, DNAT 0x80,
/// UNTRACKED 0x100).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtStates(pub u16);

impl CtStates {
    /// INVALID.
    pub const INVALID: u16 = 1;
    /// ESTABLISHED.
    pub const ESTABLISHED: u16 = 2;
    /// RELATED.
    pub const RELATED: u16 = 4;
    /// NEW.
    pub const NEW: u16 = 8;
    /// SNAT.
    pub const SNAT: u16 = 0x40;
    /// DNAT.
    pub const DNAT: u16 = 0x80;
    /// UNTRACKED.
    pub const UNTRACKED: u16 = 0x100;
}

/// `conntrack` options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// `--ctstate`.
    pub state: Option<Neg<CtStates>>,
    /// `--ctproto`.
    pub proto: Option<Neg<Proto>>,
    /// `--ctorigsrc`.
    pub orig_src: Option<Neg<Masked>>,
    /// `--ctorigdst`.
    pub orig_dst: Option<Neg<Masked>>,
    /// `--ctreplsrc`.
    pub reply_src: Option<Neg<Masked>>,
    /// `--ctrepldst`.
    pub reply_dst: Option<Neg<Masked>>,
    /// `--ctorigsrcport`.
    pub orig_sport: Option<Neg<Range<u16>>>,
    /// `--ctorigdstport`.
    pub orig_dport: Option<Neg<Range<u16>>>,
    /// `--ctreplsrcport`.
    pub reply_sport: Option<Neg<Range<u16>>>,
    /// `--ctrepldstport`.
    pub reply_dport: Option<Neg<Range<u16>>>,
    /// `--ctstatus`, bits as `IPS_*`: EXPECTED 1, `SEEN_REPLY` 2, ASSURED 4, CONFIRMED 8; NONE is 0.
    pub status: Option<Neg<u16>>,
    /// `--ctexpire` seconds.
    pub expire: Option<Neg<Range<u32>>>,
    /// `--ctdir`: true = ORIGINAL.
    pub dir_original: Option<bool>,
}

/// Bits of an address type: 1 << `RTN_*` (UNSPEC 0, UNICAST 1, LOCAL 2, BROADCAST 3, ANYCAST 4, MULTICAST 5, BLACKHOLE 6,
/// UNREACHABLE 7, PROHIBIT 8, THROW 9, NAT 10, XRESOLVE 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddrTypes(pub u16);

/// `addrtype` options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addrtype {
    /// `--src-type`.
    pub src: Option<Neg<AddrTypes>>,
    /// `--dst-type`.
    pub dst: Option<Neg<AddrTypes>>,
    /// `--limit-iface-in`.
    pub limit_in: bool,
    /// `--limit-iface-out`.
    pub limit_out: bool,
}

/// `set --match-set NAME FLAGS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMatch<'a> {
    /// `!`.
    pub not: bool,
    /// The set.
    pub name: Text<'a>,
    /// One per dimension: true = `src`.
    pub src: Vec<bool>,
    /// `--return-nomatch`.
    pub return_nomatch: bool,
    /// `! --update-counters`.
    pub no_update_counters: bool,
    /// `! --update-subcounters`.
    pub no_update_subcounters: bool,
    /// `--packets-eq 5` and the like, as written (with the `!`); counters of the element decide.
    pub counters: Option<Text<'a>>,
}

/// `multiport` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiport {
    /// `!`.
    pub not: bool,
    /// Which ports.
    pub which: MultiportWhich,
    /// At most 15 ports, a range counts as two.
    pub ports: Vec<Range<u16>>,
}

/// Which ports `multiport` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiportWhich {
    /// `--sports`.
    Source,
    /// `--dports`.
    Destination,
    /// `--ports`: either.
    Either,
}

/// `owner` options; names that are not numbers are kept as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner<'a> {
    /// `--uid-owner`.
    pub uid: Option<Neg<Range<u32>>>,
    /// `--gid-owner`.
    pub gid: Option<Neg<Range<u32>>>,
    /// `--socket-exists`.
    pub socket_exists: Option<Neg<()>>,
    /// `--suppl-groups`.
    pub suppl_groups: bool,
    /// A user or group name, which only the node can resolve; as written.
    pub unresolved: Option<Text<'a>>,
}

/// What `recent` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecentMode {
    /// `--set`.
    Set,
    /// `--rcheck`.
    Rcheck,
    /// `--update`.
    Update,
    /// `--remove`.
    Remove,
}

/// `recent` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent<'a> {
    /// `!`.
    pub not: bool,
    /// What it does.
    pub mode: RecentMode,
    /// `--seconds`.
    pub seconds: Option<u32>,
    /// `--hitcount`.
    pub hitcount: Option<u32>,
    /// `--reap`.
    pub reap: bool,
    /// `--rttl`.
    pub rttl: bool,
    /// `--name`, `DEFAULT` where none is written.
    pub name: Text<'a>,
    /// `--mask`.
    pub mask: Option<IpAddr>,
    /// `--rsource` (true) or `--rdest`.
    pub source: bool,
}

/// `physdev` options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Physdev<'a> {
    /// `--physdev-in`.
    pub in_dev: Option<Neg<Text<'a>>>,
    /// `--physdev-out`.
    pub out_dev: Option<Neg<Text<'a>>>,
    /// `--physdev-is-in`.
    pub is_in: Option<Neg<()>>,
    /// `--physdev-is-out`.
    pub is_out: Option<Neg<()>>,
    /// `--physdev-is-bridged`.
    pub is_bridged: Option<Neg<()>>,
}

/// `rpfilter` options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rpfilter {
    /// `--loose`.
    pub loose: bool,
    /// `--validmark`.
    pub validmark: bool,
    /// `--accept-local`.
    pub accept_local: bool,
    /// `--invert`.
    pub invert: bool,
}

/// `ipvs` options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpvsMatch<'a> {
    /// `--ipvs`.
    pub ipvs: Option<Neg<()>>,
    /// `--vproto`.
    pub vproto: Option<Neg<Proto>>,
    /// `--vaddr`.
    pub vaddr: Option<Neg<Masked>>,
    /// `--vport`.
    pub vport: Option<Neg<u16>>,
    /// `--vdir`: true = ORIGINAL.
    pub vdir_original: Option<Neg<bool>>,
    /// `--vmethod`: GATE, IPIP or MASQ.
    pub vmethod: Option<Neg<Text<'a>>>,
    /// `--vportctl`.
    pub vportctl: Option<Neg<u16>>,
}

/// `limit` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit<'a> {
    /// `--limit`, as written (`3/hour`).
    pub rate: Text<'a>,
    /// `--limit-burst`, 5 where none is written.
    pub burst: u32,
}

/// `connlimit` options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connlimit {
    /// true = `--connlimit-upto`, false = `--connlimit-above`.
    pub upto: bool,
    /// The number.
    pub limit: u32,
    /// `--connlimit-mask`, prefix length.
    pub mask: u8,
    /// `--connlimit-daddr` instead of `--connlimit-saddr`.
    pub daddr: bool,
}

/// `hashlimit` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashlimit<'a> {
    /// true = `--hashlimit-upto`, false = `--hashlimit-above`.
    pub upto: bool,
    /// The rate as written (`10/sec`, `512kb/s`).
    pub rate: Text<'a>,
    /// `--hashlimit-burst`, as written.
    pub burst: Option<Text<'a>>,
    /// `--hashlimit-name`.
    pub name: Text<'a>,
    /// The remaining options as written.
    pub rest: Text<'a>,
}

/// `socket` options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketMatch {
    /// `--transparent`.
    pub transparent: bool,
    /// `--nowildcard`.
    pub nowildcard: bool,
    /// `--restore-skmark`.
    pub restore_skmark: bool,
}

/// `policy` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMatch<'a> {
    /// `--dir`: true = in.
    pub dir_in: bool,
    /// `--pol`: true = ipsec, false = none.
    pub ipsec: bool,
    /// `--strict` and the elements, as written.
    pub rest: Text<'a>,
}

/// `ttl` / `hl` comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlMatch {
    /// `--ttl-eq`.
    Eq(u8),
    /// `! --ttl-eq`.
    Ne(u8),
    /// `--ttl-lt`.
    Lt(u8),
    /// `--ttl-gt`.
    Gt(u8),
}

/// `pkttype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    /// To this host.
    Unicast,
    /// Broadcast.
    Broadcast,
    /// Multicast.
    Multicast,
}
