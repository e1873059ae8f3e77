//! Header fields that nft knows by name (`src/proto.c` of nftables).

use super::types::Type;
use std::fmt;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// Ethernet.
    Ether,
    /// 802.1Q.
    Vlan,
    /// ARP.
    Arp,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ICMP.
    Icmp,
    /// `ICMPv6`.
    Icmp6,
    /// IGMP.
    Igmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    Udplite,
    /// SCTP.
    Sctp,
    /// DCCP.
    Dccp,
    /// ESP.
    Esp,
    /// AH.
    Ah,
    /// `IPComp`.
    Comp,
    /// GRE.
    Gre,
    /// `th`: whichever transport header there is.
    Th,
}

impl Header {
    /// The IP protocol number that a rule with this header asks for as well; `None` for headers below and for `th`.
    pub fn proto(self) -> Option<u8> {
        Some(match self {
            Self::Icmp => 1,
            Self::Igmp => 2,
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Dccp => 33,
            Self::Gre => 47,
            Self::Esp => 50,
            Self::Ah => 51,
            Self::Icmp6 => 58,
            Self::Comp => 108,
            Self::Sctp => 132,
            Self::Udplite => 136,
            Self::Ether | Self::Vlan | Self::Arp | Self::Ip | Self::Ip6 | Self::Th => return None,
        })
    }
}

/// A field of a header. Offsets and lengths are in bits, from the header's first.
#[derive(PartialEq, Eq)]
pub struct FieldDef {
    /// Of which header.
    pub header: Header,
    /// As nft calls both: `ip`, `daddr`.
    pub names: (&'static str, &'static str),
    /// First bit.
    pub offset: u32,
    /// Number of bits.
    pub len: u32,
    /// What it holds.
    pub ty: Type,
}

impl fmt::Debug for FieldDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.names.0, self.names.1)
    }
}

/// A field, by its place in the table.
pub type Field = &'static FieldDef;

/// The field of this name: `find("tcp", "dport")`.
pub fn find(header: &str, field: &str) -> Option<Field> {
    FIELDS.iter().find(|f| f.names == (header, field))
}

/// Whether nft knows a header of this name.
pub fn is_header(name: &str) -> bool {
    FIELDS.iter().any(|f| f.names.0 == name)
}

const fn f(
    header: Header,
    names: (&'static str, &'static str),
    offset: u32,
    len: u32,
    ty: Type,
) -> FieldDef {
    FieldDef {
        header,
        names,
        offset,
        len,
        ty,
    }
}

use Header as H;
use Type as T;

/// All of them.
pub static FIELDS: &[FieldDef] = &[
    f(H::Ether, ("ether", "daddr"), 0, 48, T::EtherAddr),
    f(H::Ether, ("ether", "saddr"), 48, 48, T::EtherAddr),
    f(H::Ether, ("ether", "type"), 96, 16, T::EtherType),
    f(H::Vlan, ("vlan", "pcp"), 0, 3, T::Integer(3)),
    f(H::Vlan, ("vlan", "dei"), 3, 1, T::Integer(1)),
    f(H::Vlan, ("vlan", "cfi"), 3, 1, T::Integer(1)),
    f(H::Vlan, ("vlan", "id"), 4, 12, T::Integer(12)),
    f(H::Vlan, ("vlan", "type"), 16, 16, T::EtherType),
    f(H::Arp, ("arp", "htype"), 0, 16, T::Integer(16)),
    f(H::Arp, ("arp", "ptype"), 16, 16, T::EtherType),
    f(H::Arp, ("arp", "hlen"), 32, 8, T::Integer(8)),
    f(H::Arp, ("arp", "plen"), 40, 8, T::Integer(8)),
    f(H::Arp, ("arp", "operation"), 48, 16, T::ArpOp),
    f(H::Arp, ("arp", "saddr ether"), 64, 48, T::EtherAddr),
    f(H::Arp, ("arp", "saddr ip"), 112, 32, T::Ipv4Addr),
    f(H::Arp, ("arp", "daddr ether"), 144, 48, T::EtherAddr),
    f(H::Arp, ("arp", "daddr ip"), 192, 32, T::Ipv4Addr),
    f(H::Ip, ("ip", "version"), 0, 4, T::Integer(4)),
    f(H::Ip, ("ip", "hdrlength"), 4, 4, T::Integer(4)),
    f(H::Ip, ("ip", "dscp"), 8, 6, T::Dscp),
    f(H::Ip, ("ip", "ecn"), 14, 2, T::Ecn),
    f(H::Ip, ("ip", "length"), 16, 16, T::Integer(16)),
    f(H::Ip, ("ip", "id"), 32, 16, T::Integer(16)),
    // With the three flags (`IPHDR_FIELD("frag-off", frag_off)` in src/proto.c).
    f(H::Ip, ("ip", "frag-off"), 48, 16, T::Integer(16)),
    f(H::Ip, ("ip", "ttl"), 64, 8, T::Integer(8)),
    f(H::Ip, ("ip", "protocol"), 72, 8, T::InetProto),
    f(H::Ip, ("ip", "checksum"), 80, 16, T::Integer(16)),
    f(H::Ip, ("ip", "saddr"), 96, 32, T::Ipv4Addr),
    f(H::Ip, ("ip", "daddr"), 128, 32, T::Ipv4Addr),
    f(H::Ip6, ("ip6", "version"), 0, 4, T::Integer(4)),
    f(H::Ip6, ("ip6", "dscp"), 4, 6, T::Dscp),
    f(H::Ip6, ("ip6", "ecn"), 10, 2, T::Ecn),
    f(H::Ip6, ("ip6", "flowlabel"), 12, 20, T::Integer(20)),
    f(H::Ip6, ("ip6", "length"), 32, 16, T::Integer(16)),
    f(H::Ip6, ("ip6", "nexthdr"), 48, 8, T::InetProto),
    f(H::Ip6, ("ip6", "hoplimit"), 56, 8, T::Integer(8)),
    f(H::Ip6, ("ip6", "saddr"), 64, 128, T::Ipv6Addr),
    f(H::Ip6, ("ip6", "daddr"), 192, 128, T::Ipv6Addr),
    f(H::Icmp, ("icmp", "type"), 0, 8, T::IcmpType),
    f(H::Icmp, ("icmp", "code"), 8, 8, T::IcmpCode),
    f(H::Icmp, ("icmp", "checksum"), 16, 16, T::Integer(16)),
    f(H::Icmp, ("icmp", "id"), 32, 16, T::Integer(16)),
    f(H::Icmp, ("icmp", "sequence"), 48, 16, T::Integer(16)),
    f(H::Icmp, ("icmp", "gateway"), 32, 32, T::Integer(32)),
    f(H::Icmp, ("icmp", "mtu"), 48, 16, T::Integer(16)),
    f(H::Icmp6, ("icmpv6", "type"), 0, 8, T::Icmp6Type),
    f(H::Icmp6, ("icmpv6", "code"), 8, 8, T::Icmp6Code),
    f(H::Icmp6, ("icmpv6", "checksum"), 16, 16, T::Integer(16)),
    f(
        H::Icmp6,
        ("icmpv6", "parameter-problem"),
        32,
        32,
        T::Integer(32),
    ),
    f(H::Icmp6, ("icmpv6", "mtu"), 32, 32, T::Integer(32)),
    f(H::Icmp6, ("icmpv6", "id"), 32, 16, T::Integer(16)),
    f(H::Icmp6, ("icmpv6", "sequence"), 48, 16, T::Integer(16)),
    f(H::Icmp6, ("icmpv6", "max-delay"), 32, 16, T::Integer(16)),
    f(H::Icmp6, ("icmpv6", "taddr"), 64, 128, T::Ipv6Addr),
    f(H::Icmp6, ("icmpv6", "daddr"), 192, 128, T::Ipv6Addr),
    f(H::Igmp, ("igmp", "type"), 0, 8, T::IgmpType),
    f(H::Igmp, ("igmp", "mrt"), 8, 8, T::Integer(8)),
    f(H::Igmp, ("igmp", "checksum"), 16, 16, T::Integer(16)),
    f(H::Igmp, ("igmp", "group"), 32, 32, T::Integer(32)),
    f(H::Tcp, ("tcp", "sport"), 0, 16, T::InetService),
    f(H::Tcp, ("tcp", "dport"), 16, 16, T::InetService),
    f(H::Tcp, ("tcp", "sequence"), 32, 32, T::Integer(32)),
    f(H::Tcp, ("tcp", "ackseq"), 64, 32, T::Integer(32)),
    f(H::Tcp, ("tcp", "doff"), 96, 4, T::Integer(4)),
    f(H::Tcp, ("tcp", "reserved"), 100, 4, T::Integer(4)),
    f(H::Tcp, ("tcp", "flags"), 104, 8, T::TcpFlag),
    f(H::Tcp, ("tcp", "window"), 112, 16, T::Integer(16)),
    f(H::Tcp, ("tcp", "checksum"), 128, 16, T::Integer(16)),
    f(H::Tcp, ("tcp", "urgptr"), 144, 16, T::Integer(16)),
    f(H::Udp, ("udp", "sport"), 0, 16, T::InetService),
    f(H::Udp, ("udp", "dport"), 16, 16, T::InetService),
    f(H::Udp, ("udp", "length"), 32, 16, T::Integer(16)),
    f(H::Udp, ("udp", "checksum"), 48, 16, T::Integer(16)),
    f(H::Udplite, ("udplite", "sport"), 0, 16, T::InetService),
    f(H::Udplite, ("udplite", "dport"), 16, 16, T::InetService),
    f(H::Udplite, ("udplite", "csumcov"), 32, 16, T::Integer(16)),
    f(H::Udplite, ("udplite", "checksum"), 48, 16, T::Integer(16)),
    f(H::Sctp, ("sctp", "sport"), 0, 16, T::InetService),
    f(H::Sctp, ("sctp", "dport"), 16, 16, T::InetService),
    f(H::Sctp, ("sctp", "vtag"), 32, 32, T::Integer(32)),
    f(H::Sctp, ("sctp", "checksum"), 64, 32, T::Integer(32)),
    f(H::Dccp, ("dccp", "sport"), 0, 16, T::InetService),
    f(H::Dccp, ("dccp", "dport"), 16, 16, T::InetService),
    f(H::Dccp, ("dccp", "type"), 67, 4, T::DccpType),
    f(H::Esp, ("esp", "spi"), 0, 32, T::Integer(32)),
    f(H::Esp, ("esp", "sequence"), 32, 32, T::Integer(32)),
    f(H::Ah, ("ah", "nexthdr"), 0, 8, T::InetProto),
    f(H::Ah, ("ah", "hdrlength"), 8, 8, T::Integer(8)),
    f(H::Ah, ("ah", "reserved"), 16, 16, T::Integer(16)),
    f(H::Ah, ("ah", "spi"), 32, 32, T::Integer(32)),
    f(H::Ah, ("ah", "sequence"), 64, 32, T::Integer(32)),
    f(H::Comp, ("comp", "nexthdr"), 0, 8, T::InetProto),
    f(H::Comp, ("comp", "flags"), 8, 8, T::Integer(8)),
    f(H::Comp, ("comp", "cpi"), 16, 16, T::Integer(16)),
    f(H::Gre, ("gre", "flags"), 0, 5, T::Integer(5)),
    f(H::Gre, ("gre", "version"), 13, 3, T::Integer(3)),
    f(H::Gre, ("gre", "protocol"), 16, 16, T::EtherType),
    f(H::Th, ("th", "sport"), 0, 16, T::InetService),
    f(H::Th, ("th", "dport"), 16, 16, T::InetService),
];
