//! Names that `iptables -L` prints where `-n` is missing, and numbers that `-n` prints for names.

use crate::common::{Proto, Range};
use crate::iptables::matches::{ByteMask, IcmpType};

/// Services as Debian's `/etc/services` names them; only those that rules on nodes mention.
const PORTS: &[(&str, u16)] = &[
    ("tcpmux", 1),
    ("echo", 7),
    ("discard", 9),
    ("daytime", 13),
    ("chargen", 19),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("time", 37),
    ("whois", 43),
    ("tacacs", 49),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("epmap", 135),
    ("loc-srv", 135),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("bgp", 179),
    ("irc", 194),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("isakmp", 500),
    ("exec", 512),
    ("login", 513),
    ("shell", 514),
    ("syslog", 514),
    ("printer", 515),
    ("router", 520),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("rtsp", 554),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("domain-s", 853),
    ("rsync", 873),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("l2f", 1701),
    ("radius", 1812),
    ("radius-acct", 1813),
    ("nfs", 2049),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("iscsi-target", 3260),
    ("ipsec-nat-t", 4500),
    ("vxlan", 4789),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("xmpp-client", 5222),
    ("mdns", 5353),
    ("postgresql", 5432),
    ("amqp", 5672),
    ("x11", 6000),
    ("redis", 6379),
    ("http-alt", 8080),
    ("webcache", 8080),
    ("git", 9418),
    ("webmin", 10000),
    ("zabbix-agent", 10050),
    ("zabbix-trapper", 10051),
    ("amanda", 10080),
];

/// A port by number or by one of the usual service names.
pub(super) fn port(text: &str) -> Option<u16> {
    text.parse().ok().or_else(|| {
        PORTS
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, port)| *port)
    })
}

/// Protocols of `/etc/protocols` that [`Proto::parse`] leaves out.
const PROTOCOLS: &[(&str, u8)] = &[
    ("ggp", 3),
    ("st", 5),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("idrp", 45),
    ("rsvp", 46),
    ("skip", 57),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ax.25", 93),
    ("etherip", 97),
    ("encap", 98),
    ("ipcomp", 108),
    ("isis", 124),
    ("fc", 133),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
    ("ethernet", 143),
];

/// A protocol by name or number; `all` is 0.
pub(super) fn protocol(text: &str) -> Option<Proto> {
    if text == "all" {
        return Some(Proto(0));
    }
    Proto::parse(text).or_else(|| {
        PROTOCOLS
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, number)| Proto(*number))
    })
}

const ALL_CODES: Range<u8> = Range { lo: 0, hi: 255 };

const fn icmp(ty: u8) -> IcmpType {
    IcmpType {
        ty: Some(ty),
        codes: ALL_CODES,
    }
}

const fn icmp_code(ty: u8, code: u8) -> IcmpType {
    IcmpType {
        ty: Some(ty),
        codes: Range { lo: code, hi: code },
    }
}

/// `any`, which the kernel knows as type 255 (`icmp_type_code_match` in `net/netfilter/xt_tcpudp.c`).
pub(super) const ICMP_ANY: IcmpType = IcmpType {
    ty: None,
    codes: ALL_CODES,
};

/// As in iptables' `icmp_codes` (`libxtables/xtoptions.c`, `extensions/libipt_icmp.c`).
const ICMP: &[(&str, IcmpType)] = &[
    ("any", ICMP_ANY),
    ("echo-reply", icmp(0)),
    ("pong", icmp(0)),
    ("destination-unreachable", icmp(3)),
    ("network-unreachable", icmp_code(3, 0)),
    ("host-unreachable", icmp_code(3, 1)),
    ("protocol-unreachable", icmp_code(3, 2)),
    ("port-unreachable", icmp_code(3, 3)),
    ("fragmentation-needed", icmp_code(3, 4)),
    ("source-route-failed", icmp_code(3, 5)),
    ("network-unknown", icmp_code(3, 6)),
    ("host-unknown", icmp_code(3, 7)),
    ("network-prohibited", icmp_code(3, 9)),
    ("host-prohibited", icmp_code(3, 10)),
    ("TOS-network-unreachable", icmp_code(3, 11)),
    ("TOS-host-unreachable", icmp_code(3, 12)),
    ("communication-prohibited", icmp_code(3, 13)),
    ("host-precedence-violation", icmp_code(3, 14)),
    ("precedence-cutoff", icmp_code(3, 15)),
    ("source-quench", icmp(4)),
    ("redirect", icmp(5)),
    ("network-redirect", icmp_code(5, 0)),
    ("host-redirect", icmp_code(5, 1)),
    ("TOS-network-redirect", icmp_code(5, 2)),
    ("TOS-host-redirect", icmp_code(5, 3)),
    ("echo-request", icmp(8)),
    ("ping", icmp(8)),
    ("router-advertisement", icmp(9)),
    ("router-solicitation", icmp(10)),
    ("time-exceeded", icmp(11)),
    ("ttl-exceeded", icmp(11)),
    ("ttl-zero-during-transit", icmp_code(11, 0)),
    ("ttl-zero-during-reassembly", icmp_code(11, 1)),
    ("parameter-problem", icmp(12)),
    ("ip-header-bad", icmp_code(12, 0)),
    ("required-option-missing", icmp_code(12, 1)),
    ("timestamp-request", icmp(13)),
    ("timestamp-reply", icmp(14)),
    ("address-mask-request", icmp(17)),
    ("address-mask-reply", icmp(18)),
];

/// As in iptables' `extensions/libip6t_icmp6.c`.
const ICMP6: &[(&str, IcmpType)] = &[
    ("destination-unreachable", icmp(1)),
    ("no-route", icmp_code(1, 0)),
    ("communication-prohibited", icmp_code(1, 1)),
    ("beyond-scope", icmp_code(1, 2)),
    ("address-unreachable", icmp_code(1, 3)),
    ("port-unreachable", icmp_code(1, 4)),
    ("failed-policy", icmp_code(1, 5)),
    ("reject-route", icmp_code(1, 6)),
    ("packet-too-big", icmp(2)),
    ("time-exceeded", icmp(3)),
    ("ttl-exceeded", icmp(3)),
    ("ttl-zero-during-transit", icmp_code(3, 0)),
    ("ttl-zero-during-reassembly", icmp_code(3, 1)),
    ("parameter-problem", icmp(4)),
    ("bad-header", icmp_code(4, 0)),
    ("unknown-header-type", icmp_code(4, 1)),
    ("unknown-option", icmp_code(4, 2)),
    ("echo-request", icmp(128)),
    ("ping", icmp(128)),
    ("echo-reply", icmp(129)),
    ("pong", icmp(129)),
    ("mld-listener-query", icmp(130)),
    ("mld-listener-report", icmp(131)),
    ("mld-listener-done", icmp(132)),
    ("mld-listener-reduction", icmp(132)),
    ("router-solicitation", icmp(133)),
    ("router-advertisement", icmp(134)),
    ("neighbour-solicitation", icmp(135)),
    ("neighbor-solicitation", icmp(135)),
    ("neighbour-advertisement", icmp(136)),
    ("neighbor-advertisement", icmp(136)),
    ("redirect", icmp(137)),
];

/// An ICMP type by name.
pub(super) fn icmp_type(v6: bool, name: &str) -> Option<IcmpType> {
    let table = if v6 { ICMP6 } else { ICMP };
    table.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
}

/// SCTP chunk types (`sctp_chunk_names` in `extensions/libxt_sctp.c`); `-n` prints `0x%04X`.
pub(super) fn sctp_chunk(number: u32) -> Option<&'static str> {
    Some(match number {
        0 => "DATA",
        1 => "INIT",
        2 => "INIT_ACK",
        3 => "SACK",
        4 => "HEARTBEAT",
        5 => "HEARTBEAT_ACK",
        6 => "ABORT",
        7 => "SHUTDOWN",
        8 => "SHUTDOWN_ACK",
        9 => "ERROR",
        10 => "COOKIE_ECHO",
        11 => "COOKIE_ACK",
        12 => "ECN_ECNE",
        13 => "ECN_CWR",
        14 => "SHUTDOWN_COMPLETE",
        64 => "I_DATA",
        130 => "RE_CONFIG",
        132 => "PAD",
        193 => "ASCONF",
        128 => "ASCONF_ACK",
        192 => "FORWARD_TSN",
        194 => "I_FORWARD_TSN",
        _ => return None,
    })
}

/// DCCP packet types (`dccp_pkt_types` in `extensions/libxt_dccp.c`); 10 and above are all `INVALID`.
pub(super) fn dccp_type(number: u32) -> Option<&'static str> {
    Some(match number {
        0 => "REQUEST",
        1 => "RESPONSE",
        2 => "DATA",
        3 => "ACK",
        4 => "DATAACK",
        5 => "CLOSEREQ",
        6 => "CLOSE",
        7 => "RESET",
        8 => "SYNC",
        9 => "SYNCACK",
        10..=15 => "INVALID",
        _ => return None,
    })
}

/// A type of service by name; names imply the mask 0x3f (`tos_symbol_names` in `extensions/tos_values.c`).
pub(super) fn tos(name: &str) -> Option<ByteMask> {
    let value = match name {
        "Minimize-Delay" => 0x10,
        "Maximize-Throughput" => 0x08,
        "Maximize-Reliability" => 0x04,
        "Minimize-Cost" => 0x02,
        "Normal-Service" => 0x00,
        _ => return None,
    };
    Some(ByteMask { value, mask: 0x3f })
}

/// A syslog level by number or name (`extensions/libxt_LOG.c`).
pub(super) fn log_level(text: &str) -> Option<u32> {
    Some(match text {
        "emerg" | "panic" => 0,
        "alert" => 1,
        "crit" => 2,
        "err" | "error" => 3,
        "warn" | "warning" => 4,
        "notice" => 5,
        "info" => 6,
        "debug" => 7,
        _ => return text.parse().ok(),
    })
}

/// The number of a mobility header type, as iptables-save writes it (`mh_names` in `extensions/libip6t_mh.c`).
pub(super) fn mobility_header(name: &str) -> &str {
    match name {
        "binding-refresh-request" => "0",
        "home-test-init" => "1",
        "careof-test-init" => "2",
        "home-test" => "3",
        "careof-test" => "4",
        "binding-update" => "5",
        "binding-acknowledgement" => "6",
        "binding-error" => "7",
        _ => name,
    }
}
