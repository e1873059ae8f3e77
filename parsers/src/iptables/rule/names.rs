//! Names that option values go by.

use crate::common::Range;
use crate::iptables::matches::{AddrTypes, ByteMask, CtStates, IcmpType};
use crate::iptables::targets::RejectWith;
use crate::iptables::value::{byte_mask, icmp, uint, whole};

/// The bits of a comma-separated list, each item by its name.
fn bits(text: &str, names: &[(&str, u16)]) -> Option<u16> {
    let mut all = 0;
    for item in text.split(',') {
        let (_, bit) = names.iter().find(|(n, _)| n.eq_ignore_ascii_case(item))?;
        all |= bit;
    }
    Some(all)
}

/// Connection states, in the order in which they are printed (`state_print` in `libxt_conntrack.c`).
pub(in crate::iptables) const STATES: &[(&str, u16)] = &[
    ("INVALID", CtStates::INVALID),
    ("NEW", CtStates::NEW),
    ("RELATED", CtStates::RELATED),
    ("ESTABLISHED", CtStates::ESTABLISHED),
    ("UNTRACKED", CtStates::UNTRACKED),
    ("SNAT", CtStates::SNAT),
    ("DNAT", CtStates::DNAT),
];

/// `--ctstate` and `--state`.
pub(super) fn states(text: &str) -> Option<CtStates> {
    // The two lists that make up nearly all of a node's rules.
    match text {
        "RELATED,ESTABLISHED" => Some(CtStates(CtStates::RELATED | CtStates::ESTABLISHED)),
        "NEW" => Some(CtStates(CtStates::NEW)),
        _ => bits(text, STATES).map(CtStates),
    }
}

/// `IPS_*` bits, in the order in which they are printed (`status_print` in `libxt_conntrack.c`).
pub(in crate::iptables) const STATUSES: &[(&str, u16)] = &[
    ("EXPECTED", 1),
    ("SEEN_REPLY", 2),
    ("ASSURED", 4),
    ("CONFIRMED", 8),
    ("NONE", 0),
];

/// `--ctstatus`.
pub(super) fn statuses(text: &str) -> Option<u16> {
    bits(text, STATUSES)
}

/// Address types by `RTN_*` number, in the order in which they are printed (`rtn_names` in `libxt_addrtype.c`).
pub(in crate::iptables) const ADDR_TYPES: &[(&str, u16)] = &[
    ("UNSPEC", 1),
    ("UNICAST", 1 << 1),
    ("LOCAL", 1 << 2),
    ("BROADCAST", 1 << 3),
    ("ANYCAST", 1 << 4),
    ("MULTICAST", 1 << 5),
    ("BLACKHOLE", 1 << 6),
    ("UNREACHABLE", 1 << 7),
    ("PROHIBIT", 1 << 8),
    ("THROW", 1 << 9),
    ("NAT", 1 << 10),
    ("XRESOLVE", 1 << 11),
];

/// `--src-type` and `--dst-type`.
pub(super) fn addr_types(text: &str) -> Option<AddrTypes> {
    if text == "LOCAL" {
        return Some(AddrTypes(1 << 2));
    }
    bits(text, ADDR_TYPES).map(AddrTypes)
}

/// TCP flags by their bit in the header, in the order in which they are printed.
pub(in crate::iptables) const TCP_FLAGS: &[(&str, u16)] = &[
    ("FIN", 1),
    ("SYN", 2),
    ("RST", 4),
    ("PSH", 8),
    ("ACK", 16),
    ("URG", 32),
];

/// One half of `--tcp-flags`: a list, `ALL` or `NONE`.
pub(super) fn tcp_flags(text: &str) -> Option<u8> {
    let all = match text {
        "ALL" => 0x3f,
        "NONE" => 0,
        _ => bits(text, TCP_FLAGS)?,
    };
    u8::try_from(all).ok()
}

/// Types and codes of `--icmp-type` (`icmp_codes` in `extensions/libxt_icmp.h`); no code means all of them.
const ICMP: &[(&str, u8, Option<u8>)] = &[
    ("echo-reply", 0, None),
    ("pong", 0, None),
    ("destination-unreachable", 3, None),
    ("network-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("source-route-failed", 3, Some(5)),
    ("network-unknown", 3, Some(6)),
    ("host-unknown", 3, Some(7)),
    ("network-prohibited", 3, Some(9)),
    ("host-prohibited", 3, Some(10)),
    ("TOS-network-unreachable", 3, Some(11)),
    ("TOS-host-unreachable", 3, Some(12)),
    ("communication-prohibited", 3, Some(13)),
    ("host-precedence-violation", 3, Some(14)),
    ("precedence-cutoff", 3, Some(15)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("network-redirect", 5, Some(0)),
    ("host-redirect", 5, Some(1)),
    ("TOS-network-redirect", 5, Some(2)),
    ("TOS-host-redirect", 5, Some(3)),
    ("echo-request", 8, None),
    ("ping", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, Some(0)),
    ("ttl-zero-during-reassembly", 11, Some(1)),
    ("parameter-problem", 12, None),
    ("ip-header-bad", 12, Some(0)),
    ("required-option-missing", 12, Some(1)),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
    ("address-mask-request", 17, None),
    ("address-mask-reply", 18, None),
];

/// Types and codes of `--icmpv6-type` (`icmpv6_codes` in `extensions/libxt_icmp.h`).
const ICMP6: &[(&str, u8, Option<u8>)] = &[
    ("destination-unreachable", 1, None),
    ("no-route", 1, Some(0)),
    ("communication-prohibited", 1, Some(1)),
    ("beyond-scope", 1, Some(2)),
    ("address-unreachable", 1, Some(3)),
    ("port-unreachable", 1, Some(4)),
    ("failed-policy", 1, Some(5)),
    ("reject-route", 1, Some(6)),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("ttl-exceeded", 3, None),
    ("ttl-zero-during-transit", 3, Some(0)),
    ("ttl-zero-during-reassembly", 3, Some(1)),
    ("parameter-problem", 4, None),
    ("bad-header", 4, Some(0)),
    ("unknown-header-type", 4, Some(1)),
    ("unknown-option", 4, Some(2)),
    ("echo-request", 128, None),
    ("ping", 128, None),
    ("echo-reply", 129, None),
    ("pong", 129, None),
    ("router-solicitation", 133, None),
    ("router-advertisement", 134, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-solicitation", 135, None),
    ("neighbour-advertisement", 136, None),
    ("neighbor-advertisement", 136, None),
    ("redirect", 137, None),
];

fn icmp_name(text: &str, names: &[(&str, u8, Option<u8>)]) -> Option<IcmpType> {
    let (_, ty, code) = names.iter().find(|(n, ..)| n.eq_ignore_ascii_case(text))?;
    Some(IcmpType {
        ty: Some(*ty),
        codes: code.map_or(Range { lo: 0, hi: 255 }, |c| Range { lo: c, hi: c }),
    })
}

/// Any type: what `-m icmp` means without an option.
pub(super) const ANY_ICMP: IcmpType = IcmpType {
    ty: None,
    codes: Range { lo: 0, hi: 255 },
};

/// `--icmp-type`. Type 255 means any (`icmp_type_code_match` in `net/ipv4/netfilter/ip_tables.c`), whatever the code.
pub(super) fn icmp_type(text: &str) -> Option<IcmpType> {
    if text.eq_ignore_ascii_case("any") {
        return Some(ANY_ICMP);
    }
    let found = whole(icmp, text).or_else(|| icmp_name(text, ICMP))?;
    Some(if found.ty == Some(255) {
        ANY_ICMP
    } else {
        found
    })
}

/// `--icmpv6-type`.
pub(super) fn icmp6_type(text: &str) -> Option<IcmpType> {
    whole(icmp, text).or_else(|| icmp_name(text, ICMP6))
}

/// `--reject-with` by name and alias (`reject_table` in `libipt_REJECT.c` and `libip6t_REJECT.c`); the first name of a kind is
/// the one that is printed.
pub(in crate::iptables) const REJECTS: &[(&str, RejectWith)] = &[
    ("icmp-port-unreachable", RejectWith::IcmpPort),
    ("icmp-host-unreachable", RejectWith::IcmpHost),
    ("icmp-net-unreachable", RejectWith::IcmpNet),
    ("icmp-proto-unreachable", RejectWith::IcmpProto),
    ("icmp-net-prohibited", RejectWith::IcmpNetProhibited),
    ("icmp-host-prohibited", RejectWith::IcmpHostProhibited),
    ("icmp-admin-prohibited", RejectWith::IcmpAdminProhibited),
    ("tcp-reset", RejectWith::TcpReset),
    ("icmp6-port-unreachable", RejectWith::Icmp6Port),
    ("icmp6-no-route", RejectWith::Icmp6NoRoute),
    ("icmp6-adm-prohibited", RejectWith::Icmp6AdmProhibited),
    ("icmp6-addr-unreachable", RejectWith::Icmp6Addr),
    ("icmp6-policy-fail", RejectWith::Icmp6PolicyFail),
    ("icmp6-reject-route", RejectWith::Icmp6RejectRoute),
    ("net-unreach", RejectWith::IcmpNet),
    ("host-unreach", RejectWith::IcmpHost),
    ("proto-unreach", RejectWith::IcmpProto),
    ("net-prohib", RejectWith::IcmpNetProhibited),
    ("host-prohib", RejectWith::IcmpHostProhibited),
    ("admin-prohib", RejectWith::IcmpAdminProhibited),
    ("tcp-rst", RejectWith::TcpReset),
    ("no-route", RejectWith::Icmp6NoRoute),
    ("adm-prohibited", RejectWith::Icmp6AdmProhibited),
    ("addr-unreach", RejectWith::Icmp6Addr),
    ("policy-fail", RejectWith::Icmp6PolicyFail),
    ("reject-route", RejectWith::Icmp6RejectRoute),
];

/// `--reject-with`; `port-unreach` is an alias in both families.
pub(super) fn reject(text: &str, v6: bool) -> Option<RejectWith> {
    if text == "port-unreach" {
        return Some(if v6 {
            RejectWith::Icmp6Port
        } else {
            RejectWith::IcmpPort
        });
    }
    REJECTS.iter().find(|(n, _)| *n == text).map(|(_, r)| *r)
}

/// `Minimize-Delay` and the like (`tos_symbol_names` in `extensions/tos_values.c`); they are compared under the mask 0x3f.
const TOS: &[(&str, u8)] = &[
    ("Minimize-Delay", 0x10),
    ("Maximize-Throughput", 0x08),
    ("Maximize-Reliability", 0x04),
    ("Minimize-Cost", 0x02),
    ("Normal-Service", 0x00),
];

/// `--tos` and `--set-tos`.
pub(super) fn tos(text: &str) -> Option<ByteMask> {
    whole(byte_mask, text).or_else(|| {
        let (_, value) = TOS.iter().find(|(n, _)| n.eq_ignore_ascii_case(text))?;
        Some(ByteMask {
            value: *value,
            mask: 0x3f,
        })
    })
}

/// `--dscp` and `--set-dscp`: six bits.
pub(super) fn dscp(text: &str) -> Option<u8> {
    whole(uint::<u8>, text).filter(|value| *value < 64)
}

/// `--dscp-class`: `BE`, `EF`, `CS0`..`CS7`, `AF11`..`AF43` (RFC 2474, 2597, 3246).
pub(super) fn dscp_class(text: &str) -> Option<u8> {
    let upper = text.to_ascii_uppercase();
    match upper.as_bytes() {
        b"BE" => Some(0),
        b"EF" => Some(0x2e),
        [b'C', b'S', n @ b'0'..=b'7'] => Some((n - b'0') << 3),
        [b'A', b'F', class @ b'1'..=b'4', drop @ b'1'..=b'3'] => {
            Some((class - b'0') << 3 | (drop - b'0') << 1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names() {
        assert_eq!(states("related,ESTABLISHED"), Some(CtStates(6)));
        assert_eq!(states("NEW,"), None);
        assert_eq!(statuses("NONE"), Some(0));
        assert_eq!(addr_types("UNICAST,LOCAL"), Some(AddrTypes(6)));
        assert_eq!(tcp_flags("ALL"), Some(0x3f));
        assert_eq!(tcp_flags("SYN,ACK"), Some(0x12));
        assert_eq!(tcp_flags("SYN,XXX"), None);
    }

    #[test]
    fn classes_of_service() {
        assert_eq!(dscp_class("AF31"), Some(0x1a));
        assert_eq!(dscp_class("cs6"), Some(0x30));
        assert_eq!(dscp_class("AF44"), None);
        assert_eq!(dscp("64"), None);
        let delay = ByteMask {
            value: 0x10,
            mask: 0x3f,
        };
        assert_eq!(tos("Minimize-Delay"), Some(delay));
    }

    #[test]
    fn icmp_255_is_any() {
        assert_eq!(icmp_type("255/3"), Some(ANY_ICMP));
        assert_eq!(icmp_type("any"), Some(ANY_ICMP));
        assert_eq!(icmp6_type("255").and_then(|t| t.ty), Some(255));
    }
}
