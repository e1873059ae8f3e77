//! nft's numbers of datatypes, and the order of their bytes (`enum datatypes` in nftables `include/datatype.h`).

use nfwhy_parsers::nft::Type;

/// How bytes of a register are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ty {
    /// What it is.
    pub ty: Type,
    /// In this machine's order, not in the network's.
    pub host: bool,
}

/// Bits of each part in the number of a concatenation (`TYPE_BITS`).
const PART: u32 = 6;

/// Number, name, type, whether in this machine's order.
#[rustfmt::skip]
const TYPES: &[(u32, &str, Type, bool)] = &[
    (2, "nf_proto", Type::NfProto, true),
    (3, "bitmask", Type::Invalid, true),
    (4, "integer", Type::Integer(32), false),
    (5, "string", Type::Ifname, true),
    (6, "ll_addr", Type::Invalid, false),
    (7, "ipv4_addr", Type::Ipv4Addr, false),
    (8, "ipv6_addr", Type::Ipv6Addr, false),
    (9, "ether_addr", Type::EtherAddr, false),
    (10, "ether_type", Type::EtherType, false),
    (11, "arp_op", Type::ArpOp, false),
    (12, "inet_proto", Type::InetProto, false),
    (13, "inet_service", Type::InetService, false),
    (14, "icmp_type", Type::IcmpType, false),
    (15, "tcp_flag", Type::TcpFlag, false),
    (16, "dccp_pkttype", Type::DccpType, false),
    (17, "mh_type", Type::MhType, false),
    (18, "time", Type::Time, true),
    (19, "mark", Type::Mark, true),
    (20, "iface_index", Type::IfaceIndex, true),
    (21, "iface_type", Type::IfaceType, true),
    (22, "realm", Type::Realm, true),
    (23, "classid", Type::ClassId, true),
    (24, "uid", Type::Uid, true),
    (25, "gid", Type::Gid, true),
    (26, "ct_state", Type::CtState, true),
    (27, "ct_dir", Type::CtDir, false),
    (28, "ct_status", Type::CtStatus, true),
    (29, "icmpv6_type", Type::Icmp6Type, false),
    (30, "ct_label", Type::CtLabel, true),
    (31, "pkt_type", Type::PktType, true),
    (32, "icmp_code", Type::IcmpCode, false),
    (33, "icmpv6_code", Type::Icmp6Code, false),
    (34, "icmpx_code", Type::IcmpxCode, false),
    (35, "devgroup", Type::DevGroup, true),
    (36, "dscp", Type::Dscp, false),
    (37, "ecn", Type::Ecn, false),
    (38, "fib_addrtype", Type::FibAddrtype, true),
    (39, "boolean", Type::Boolean, true),
    (40, "ct_event", Type::CtEvent, true),
    (41, "ifname", Type::Ifname, true),
    (42, "igmp_type", Type::IgmpType, false),
    (43, "time", Type::Time, true),
    (44, "hour", Type::Hour, true),
    (45, "day", Type::Day, true),
    (46, "cgroupsv2", Type::Invalid, true),
];

/// The numbers of a concatenation's parts, first one first.
pub(super) fn parts(number: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut rest = number;
    while rest != 0 && all.len() < 6 {
        all.push(rest & ((1 << PART) - 1));
        rest >>= PART;
    }
    all.reverse();
    all
}

/// A part's name and how it is read.
pub(super) fn of(number: u32) -> Option<(&'static str, Ty)> {
    let (_, name, ty, host) = TYPES.iter().find(|(n, ..)| *n == number)?;
    Some((
        name,
        Ty {
            ty: *ty,
            host: *host,
        },
    ))
}

/// The order in which values of a type stand in registers.
pub(super) fn with_order(ty: Type) -> Ty {
    let host = TYPES
        .iter()
        .find(|(_, _, t, _)| *t == ty)
        .is_some_and(|(_, _, _, host)| *host);
    Ty { ty, host }
}

/// A number of so many bits, in the network's order or this machine's.
pub(super) fn integer(bits: u32, host: bool) -> Ty {
    let bits = u8::try_from(bits.min(128)).unwrap_or(128);
    Ty {
        ty: Type::Integer(bits),
        host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_concatenation() {
        // ipv4_addr . inet_proto . inet_service
        assert_eq!(parts(0x7_30d), vec![7, 12, 13]);
        assert_eq!(parts(7), vec![7]);
        assert_eq!(parts(0), Vec::<u32>::new());
        assert_eq!(parts(u32::MAX).len(), 6);
    }
}
