//! Datatypes: how wide a value is, and the names of its constants (`src/datatype.c` of nftables and the files of each type).

use crate::common::Proto;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A datatype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `ipv4_addr`.
    Ipv4Addr,
    /// `ipv6_addr`.
    Ipv6Addr,
    /// `ether_addr`.
    EtherAddr,
    /// `ether_type`.
    EtherType,
    /// `inet_proto`.
    InetProto,
    /// `inet_service`.
    InetService,
    /// `mark`.
    Mark,
    /// `ifname`; also other strings.
    Ifname,
    /// `iface_index`: printed as the device's name where it exists.
    IfaceIndex,
    /// `iface_type`.
    IfaceType,
    /// `ct_state`: flags.
    CtState,
    /// `ct_status`: flags.
    CtStatus,
    /// `ct_dir`.
    CtDir,
    /// `ct_label`: bits of 128. A constant is the number of its bit.
    CtLabel,
    /// `ct_event`: flags.
    CtEvent,
    /// `icmp_type`.
    IcmpType,
    /// `icmp_code`.
    IcmpCode,
    /// `icmpv6_type`.
    Icmp6Type,
    /// `icmpv6_code`.
    Icmp6Code,
    /// `icmpx_code`.
    IcmpxCode,
    /// `igmp_type`.
    IgmpType,
    /// `mh_type`.
    MhType,
    /// `arp_op`.
    ArpOp,
    /// `tcp_flag`: flags.
    TcpFlag,
    /// `dccp_pkttype`.
    DccpType,
    /// `fib_addrtype`.
    FibAddrtype,
    /// `nf_proto`.
    NfProto,
    /// `pkt_type`.
    PktType,
    /// `uid`.
    Uid,
    /// `gid`.
    Gid,
    /// `boolean`.
    Boolean,
    /// `realm`.
    Realm,
    /// `classid`.
    ClassId,
    /// `devgroup`.
    DevGroup,
    /// `dscp`.
    Dscp,
    /// `ecn`.
    Ecn,
    /// `time`, and spans of time.
    Time,
    /// `day`.
    Day,
    /// `hour`, in seconds.
    Hour,
    /// `integer` of so many bits.
    Integer(u8),
    /// Not known.
    Invalid,
}

impl Type {
    /// By the name that `type` of a set gives.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ipv4_addr" => Self::Ipv4Addr,
            "ipv6_addr" => Self::Ipv6Addr,
            "ether_addr" => Self::EtherAddr,
            "ether_type" => Self::EtherType,
            "inet_proto" => Self::InetProto,
            "inet_service" => Self::InetService,
            "mark" => Self::Mark,
            "ifname" | "string" => Self::Ifname,
            "iface_index" => Self::IfaceIndex,
            "iface_type" => Self::IfaceType,
            "ct_state" => Self::CtState,
            "ct_status" => Self::CtStatus,
            "ct_dir" => Self::CtDir,
            "ct_label" => Self::CtLabel,
            "ct_event" => Self::CtEvent,
            "icmp_type" => Self::IcmpType,
            "icmp_code" => Self::IcmpCode,
            "icmpv6_type" => Self::Icmp6Type,
            "icmpv6_code" => Self::Icmp6Code,
            "icmpx_code" => Self::IcmpxCode,
            "igmp_type" => Self::IgmpType,
            "mh_type" => Self::MhType,
            "arp_op" => Self::ArpOp,
            "tcp_flag" => Self::TcpFlag,
            "dccp_pkttype" => Self::DccpType,
            "fib_addrtype" => Self::FibAddrtype,
            "nf_proto" => Self::NfProto,
            "pkt_type" => Self::PktType,
            "uid" => Self::Uid,
            "gid" => Self::Gid,
            "boolean" => Self::Boolean,
            "realm" => Self::Realm,
            "classid" => Self::ClassId,
            "devgroup" => Self::DevGroup,
            "dscp" => Self::Dscp,
            "ecn" => Self::Ecn,
            "time" => Self::Time,
            "day" => Self::Day,
            "hour" => Self::Hour,
            _ => return None,
        })
    }

    /// Its width in bits; 0 for strings and [`Self::Invalid`].
    pub fn bits(self) -> u32 {
        match self {
            Self::Ipv6Addr | Self::CtLabel => 128,
            Self::Time => 64,
            Self::EtherAddr => 48,
            Self::Ipv4Addr
            | Self::Mark
            | Self::IfaceIndex
            | Self::CtState
            | Self::CtStatus
            | Self::CtEvent
            | Self::FibAddrtype
            | Self::Uid
            | Self::Gid
            | Self::Realm
            | Self::ClassId
            | Self::DevGroup
            | Self::Hour => 32,
            Self::EtherType | Self::InetService | Self::IfaceType | Self::ArpOp => 16,
            Self::InetProto
            | Self::CtDir
            | Self::IcmpType
            | Self::IcmpCode
            | Self::Icmp6Type
            | Self::Icmp6Code
            | Self::IcmpxCode
            | Self::IgmpType
            | Self::MhType
            | Self::TcpFlag
            | Self::NfProto
            | Self::PktType
            | Self::Day => 8,
            Self::Dscp => 6,
            Self::DccpType => 4,
            Self::Ecn => 2,
            Self::Boolean => 1,
            Self::Integer(n) => u32::from(n),
            Self::Ifname | Self::Invalid => 0,
        }
    }

    /// Whether its constants are flags: without an operator, any of them is asked for.
    pub fn is_bitmask(self) -> bool {
        matches!(
            self,
            Self::CtState | Self::CtStatus | Self::CtLabel | Self::CtEvent | Self::TcpFlag
        )
    }

    /// Whether its values are names of devices.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Ifname)
    }

    /// A constant of this type, by name or number. Not for strings, prefixes, ranges and lists.
    pub fn number(self, text: &str) -> Option<u128> {
        match self {
            Self::Ipv4Addr => return text.parse::<Ipv4Addr>().ok().map(|a| a.to_bits().into()),
            Self::Ipv6Addr => return text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits),
            Self::EtherAddr => return ether(text),
            Self::InetProto => return Proto::parse(text).map(|p| p.0.into()),
            Self::Realm => {
                if let Some((from, to)) = text.split_once('/') {
                    return Some(integer(from, 16)? << 16 | integer(to, 16)?);
                }
            }
            Self::ClassId => {
                if let Some((major, minor)) = text.split_once(':') {
                    let part = |t: &str| match t {
                        "" => Some(0),
                        t => u16::from_str_radix(t, 16).ok().map(u128::from),
                    };
                    return Some(part(major)? << 16 | part(minor)?);
                }
            }
            // `ct_label_type_parse` in nftables src/ct.c; names stand in a file that is not captured.
            Self::CtLabel if !text.starts_with("0x") => {
                return integer(text, 7).map(|bit| 1 << bit);
            }
            Self::Hour if text.contains(':') => return clock(text),
            _ => {}
        }
        let named = self.names().iter().find(|(n, _)| *n == text);
        named
            .map(|(_, n)| u128::from(*n))
            .filter(|n| self.bits() >= 128 || n >> self.bits() == 0)
            .or_else(|| integer(text, self.bits()))
    }

    /// The name of a constant, as `nft list ruleset` prints it; `None` where it prints a number.
    pub fn name_of(self, n: u128) -> Option<&'static str> {
        if matches!(self, Self::Integer(_)) {
            return None;
        }
        let named = self.names().iter().find(|(_, v)| u128::from(*v) == n);
        named.map(|(name, _)| *name)
    }

    /// Names of its constants.
    fn names(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::EtherType => &[
                ("ip", 0x0800),
                ("arp", 0x0806),
                ("ip6", 0x86dd),
                ("vlan", 0x8100),
                ("8021q", 0x8100),
                ("8021ad", 0x88a8),
            ],
            Self::IfaceType => &[
                ("ether", 1),
                ("ppp", 512),
                ("ipip", 768),
                ("ipip6", 769),
                ("loopback", 772),
                ("sit", 776),
                ("ipgre", 778),
            ],
            Self::CtState => &[
                ("invalid", 1),
                ("established", 2),
                ("related", 4),
                ("new", 8),
                ("untracked", 64),
            ],
            Self::CtStatus => &[
                ("expected", 1),
                ("seen-reply", 2),
                ("assured", 4),
                ("confirmed", 8),
                ("snat", 16),
                ("dnat", 32),
                ("dying", 512),
            ],
            Self::CtEvent => &[
                ("new", 1),
                ("related", 2),
                ("destroy", 4),
                ("reply", 8),
                ("assured", 16),
                ("protoinfo", 32),
                ("helper", 64),
                ("mark", 128),
                ("seqadj", 256),
                ("secmark", 512),
                ("label", 1024),
            ],
            Self::CtDir => &[("original", 0), ("reply", 1)],
            Self::IcmpType => &[
                ("echo-reply", 0),
                ("destination-unreachable", 3),
                ("source-quench", 4),
                ("redirect", 5),
                ("echo-request", 8),
                ("router-advertisement", 9),
                ("router-solicitation", 10),
                ("time-exceeded", 11),
                ("parameter-problem", 12),
                ("timestamp-request", 13),
                ("timestamp-reply", 14),
                ("info-request", 15),
                ("info-reply", 16),
                ("address-mask-request", 17),
                ("address-mask-reply", 18),
            ],
            Self::IcmpCode => &[
                ("net-unreachable", 0),
                ("host-unreachable", 1),
                ("prot-unreachable", 2),
                ("port-unreachable", 3),
                ("frag-needed", 4),
                ("net-prohibited", 9),
                ("host-prohibited", 10),
                ("admin-prohibited", 13),
            ],
            Self::Icmp6Type => &[
                ("destination-unreachable", 1),
                ("packet-too-big", 2),
                ("time-exceeded", 3),
                ("parameter-problem", 4),
                ("echo-request", 128),
                ("echo-reply", 129),
                ("mld-listener-query", 130),
                ("mld-listener-report", 131),
                ("mld-listener-done", 132),
                ("mld-listener-reduction", 132),
                ("nd-router-solicit", 133),
                ("nd-router-advert", 134),
                ("nd-neighbor-solicit", 135),
                ("nd-neighbor-advert", 136),
                ("nd-redirect", 137),
                ("router-renumbering", 138),
                ("ind-neighbor-solicit", 141),
                ("ind-neighbor-advert", 142),
                ("mld2-listener-report", 143),
            ],
            Self::Icmp6Code => &[
                ("no-route", 0),
                ("admin-prohibited", 1),
                ("addr-unreachable", 3),
                ("port-unreachable", 4),
                ("policy-fail", 5),
                ("reject-route", 6),
            ],
            Self::IcmpxCode => &[
                ("no-route", 0),
                ("port-unreachable", 1),
                ("host-unreachable", 2),
                ("admin-prohibited", 3),
            ],
            Self::IgmpType => &[
                ("membership-query", 0x11),
                ("membership-report-v1", 0x12),
                ("membership-report-v2", 0x16),
                ("membership-report-v3", 0x22),
                ("leave-group", 0x17),
            ],
            Self::MhType => &[
                ("binding-refresh-request", 0),
                ("home-test-init", 1),
                ("careof-test-init", 2),
                ("home-test", 3),
                ("careof-test", 4),
                ("binding-update", 5),
                ("binding-acknowledgement", 6),
                ("binding-error", 7),
                ("fast-binding-update", 8),
                ("fast-binding-acknowledgement", 9),
                ("fast-binding-advertisement", 10),
                ("experimental-mobility-header", 11),
                ("home-agent-switch-message", 12),
            ],
            Self::ArpOp => &[
                ("request", 1),
                ("reply", 2),
                ("rrequest", 3),
                ("rreply", 4),
                ("inrequest", 8),
                ("inreply", 9),
                ("nak", 10),
            ],
            Self::TcpFlag => &[
                ("fin", 1),
                ("syn", 2),
                ("rst", 4),
                ("psh", 8),
                ("ack", 16),
                ("urg", 32),
                ("ecn", 64),
                ("cwr", 128),
            ],
            Self::DccpType => &[
                ("request", 0),
                ("response", 1),
                ("data", 2),
                ("ack", 3),
                ("dataack", 4),
                ("closereq", 5),
                ("close", 6),
                ("reset", 7),
                ("sync", 8),
                ("syncack", 9),
            ],
            Self::FibAddrtype => &[
                ("unspec", 0),
                ("unicast", 1),
                ("local", 2),
                ("broadcast", 3),
                ("anycast", 4),
                ("multicast", 5),
                ("blackhole", 6),
                ("unreachable", 7),
                ("prohibit", 8),
                ("throw", 9),
                ("nat", 10),
                ("xresolve", 11),
            ],
            Self::NfProto => &[("ipv4", 2), ("ipv6", 10)],
            Self::PktType => &[
                ("host", 0),
                ("unicast", 0),
                ("broadcast", 1),
                ("multicast", 2),
                ("other", 3),
            ],
            Self::Uid | Self::Gid => &[("root", 0)],
            Self::Boolean => &[("exists", 1), ("missing", 0), ("true", 1), ("false", 0)],
            Self::ClassId => &[("none", 0), ("root", 0xffff_ffff)],
            Self::DevGroup => &[("default", 0)],
            Self::Realm => &[("cosmos", 0)],
            // nft 1.0 prints a traffic class that it shifts into place as bits with names:
            // `(@nh,8,8 & 0xfc) >> 2 map { cs1 : 1:1 }`.
            Self::Dscp | Self::Integer(_) => &[
                ("be", 0),
                ("lephb", 1),
                ("cs0", 0),
                ("cs1", 8),
                ("cs2", 16),
                ("cs3", 24),
                ("cs4", 32),
                ("cs5", 40),
                ("cs6", 48),
                ("cs7", 56),
                ("af11", 10),
                ("af12", 12),
                ("af13", 14),
                ("af21", 18),
                ("af22", 20),
                ("af23", 22),
                ("af31", 26),
                ("af32", 28),
                ("af33", 30),
                ("af41", 34),
                ("af42", 36),
                ("af43", 38),
                ("va", 44),
                ("ef", 46),
            ],
            Self::Ecn => &[("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)],
            Self::Day => &[
                ("Sunday", 0),
                ("Monday", 1),
                ("Tuesday", 2),
                ("Wednesday", 3),
                ("Thursday", 4),
                ("Friday", 5),
                ("Saturday", 6),
            ],
            _ => &[],
        }
    }
}

/// Decimal, or hexadecimal behind `0x`; `None` where it does not fit into `bits`.
fn integer(text: &str, bits: u32) -> Option<u128> {
    let n = match text.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u128::from_str_radix(hex, 16).ok()?,
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
        _ => return None,
    };
    (bits >= 128 || n >> bits == 0).then_some(n)
}

fn ether(text: &str) -> Option<u128> {
    let mut n = 0;
    let mut parts = 0;
    for part in text.split(':') {
        if part.len() > 2 || part.starts_with('+') {
            return None;
        }
        n = n << 8 | u128::from(u8::from_str_radix(part, 16).ok()?);
        parts += 1;
    }
    (parts == 6).then_some(n)
}

/// `HH:MM` or `HH:MM:SS`, in seconds.
fn clock(text: &str) -> Option<u128> {
    let mut parts = text.trim_matches('"').split(':');
    let mut next = |most: u128| integer(parts.next()?, 8).filter(|n| *n <= most);
    let (hours, minutes) = (next(24)?, next(59)?);
    let seconds = next(59).unwrap_or(0);
    Some((hours * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_same() {
        for (ty, name, number) in [
            (Type::InetProto, "tcp", 6),
            (Type::InetProto, "253", 253),
            (Type::Ipv4Addr, "10.0.0.1", 0x0a00_0001),
            (Type::EtherAddr, "02:00:00:00:00:0a", 0x0200_0000_000a),
            (Type::Mark, "0x00004000", 0x4000),
            (Type::CtState, "untracked", 64),
            (Type::Realm, "1/2", 0x1_0002),
            (Type::ClassId, "1:a", 0x1_000a),
            (Type::Hour, "08:30", 30600),
            (Type::Boolean, "missing", 0),
            (Type::Integer(4), "15", 15),
            (Type::Integer(8), "cs1", 8),
            (Type::CtLabel, "3", 8),
            (Type::CtEvent, "destroy", 4),
        ] {
            assert_eq!(ty.number(name), Some(number), "{ty:?} {name}");
        }
    }

    #[test]
    fn numbers_have_the_names_that_nft_prints() {
        for (ty, number, name) in [
            (Type::CtState, 2, Some("established")),
            (Type::EtherType, 0x0800, Some("ip")),
            (Type::PktType, 0, Some("host")),
            (Type::Dscp, 46, Some("ef")),
            (Type::Dscp, 47, None),
            (Type::Integer(8), 46, None),
            (Type::Mark, 1, None),
        ] {
            assert_eq!(ty.name_of(number), name, "{ty:?} {number}");
        }
    }

    #[test]
    fn what_does_not_fit_is_no_constant() {
        for (ty, text) in [
            (Type::InetService, "65536"),
            (Type::Integer(4), "16"),
            (Type::Integer(4), "ef"),
            (Type::Ipv4Addr, "10.0.0.256"),
            (Type::EtherAddr, "02:00:00:00:00"),
            (Type::Mark, "-1"),
            (Type::Mark, "0x+1"),
            (Type::CtState, "newer"),
            (Type::Hour, "08:99"),
        ] {
            assert_eq!(ty.number(text), None, "{ty:?} {text}");
        }
    }
}
