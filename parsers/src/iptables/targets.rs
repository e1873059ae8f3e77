//! Target extensions as typed records; what is not known is [`Target::Opaque`].

use crate::common::{MarkMask, Range, Text};
use crate::iptables::matches::ByteMask;
use std::net::IpAddr;

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Target<'a> {
    /// No `-j`: the rule only counts.
    None,
    /// `-j CHAIN`: a user chain (or an unknown target without options; the table tells).
    Jump(Text<'a>),
    /// `-g CHAIN`.
    Goto(Text<'a>),
    /// `ACCEPT`.
    Accept,
    /// `DROP`.
    Drop,
    /// `RETURN`.
    Return,
    /// `QUEUE`.
    Queue,
    /// `NFQUEUE`, options as written; `bypass` tells whether a missing listener lets packets pass.
    Nfqueue {
        /// `--queue-bypass`.
        bypass: bool,
        /// All options as written.
        args: Text<'a>,
    },
    /// `REJECT`.
    Reject(RejectWith),
    /// `MARK`: new mark = (old & !mask) ^ value.
    Mark(MarkMask),
    /// `CONNMARK`.
    Connmark(Connmark),
    /// `DNAT`.
    Dnat(Nat),
    /// `SNAT`.
    Snat(Nat),
    /// `MASQUERADE`; only ports and flags are used.
    Masquerade(Nat),
    /// `REDIRECT`; only ports and flags are used.
    Redirect(Nat),
    /// `NETMAP --to`.
    Netmap(crate::common::Masked),
    /// `NOTRACK`, or `CT` with its options.
    Ct(Box<CtTarget<'a>>),
    /// `TPROXY`.
    Tproxy {
        /// `--on-ip`.
        ip: Option<IpAddr>,
        /// `--on-port`; 0 = the packet's own.
        port: u16,
        /// `--tproxy-mark value/mask`.
        mark: MarkMask,
    },
    /// `DSCP --set-dscp`.
    Dscp(u8),
    /// `TOS --set-tos value/mask`: new = (old & !mask) ^ value.
    Tos(ByteMask),
    /// `TTL` or `HL`.
    Ttl(TtlTarget),
    /// Targets that do not change where a packet goes: `LOG`, `NFLOG`, `ULOG`, `TCPMSS`, `CHECKSUM`, `TRACE`, `AUDIT`, `CLASSIFY`,
    /// `TCPOPTSTRIP`, `TEE`, `RATEEST`, `IDLETIMER`, `LED`, `SECMARK`, `CONNSECMARK`, `ECN`.
    Continue {
        /// The target's name.
        name: Text<'a>,
        /// Its options as written.
        args: Text<'a>,
    },
    /// `SET --add-set/--del-set/--map-set`, options as written.
    Set(Text<'a>),
    /// Known by name only: any effect.
    Opaque {
        /// After `-j`.
        name: Text<'a>,
        /// Its options as written.
        args: Text<'a>,
    },
}

/// What `REJECT` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectWith {
    /// `icmp-net-unreachable`.
    IcmpNet,
    /// `icmp-host-unreachable`.
    IcmpHost,
    /// `icmp-port-unreachable`, IPv4's default.
    IcmpPort,
    /// `icmp-proto-unreachable`.
    IcmpProto,
    /// `icmp-net-prohibited`.
    IcmpNetProhibited,
    /// `icmp-host-prohibited`.
    IcmpHostProhibited,
    /// `icmp-admin-prohibited`.
    IcmpAdminProhibited,
    /// `tcp-reset`.
    TcpReset,
    /// `icmp6-no-route`.
    Icmp6NoRoute,
    /// `icmp6-adm-prohibited`.
    Icmp6AdmProhibited,
    /// `icmp6-addr-unreachable`.
    Icmp6Addr,
    /// `icmp6-port-unreachable`, IPv6's default.
    Icmp6Port,
    /// `icmp6-policy-fail`.
    Icmp6PolicyFail,
    /// `icmp6-reject-route`.
    Icmp6RejectRoute,
}

/// `CONNMARK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connmark {
    /// `--set-xmark v/m`: ctmark = (ctmark & !m) ^ v.
    Set(MarkMask),
    /// `--save-mark`: ctmark = (ctmark & !ct) ^ (nfmark & nf).
    Save {
        /// `--nfmask`.
        nf: u32,
        /// `--ctmask`.
        ct: u32,
    },
    /// `--restore-mark`: nfmark = (nfmark & !nf) ^ (ctmark & ct).
    Restore {
        /// `--nfmask`.
        nf: u32,
        /// `--ctmask`.
        ct: u32,
    },
}

/// What NAT targets say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// Addresses; `None` keeps the address.
    pub addrs: Option<Range<IpAddr>>,
    /// Ports; `None` keeps the port where it is free.
    pub ports: Option<Range<u16>>,
    /// Base port of a shifted port map (`--to-destination :80-90/100`).
    pub base: Option<u16>,
    /// `--random`.
    pub random: bool,
    /// `--random-fully`.
    pub random_fully: bool,
    /// `--persistent`.
    pub persistent: bool,
    /// Further `--to-destination`/`--to-source` (kernels before 2.6.11): more than one is not simulated.
    pub more: bool,
}

/// `CT` and `NOTRACK`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CtTarget<'a> {
    /// Written as `NOTRACK`.
    pub spelled_notrack: bool,
    /// `--notrack`.
    pub notrack: bool,
    /// `--helper`.
    pub helper: Option<Text<'a>>,
    /// `--zone`, `--zone-orig`, `--zone-reply` as written, `mark` included.
    pub zone: Option<Text<'a>>,
    /// Any other options as written.
    pub rest: Text<'a>,
}

/// `TTL` / `HL` target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlTarget {
    /// `--ttl-set`.
    Set(u8),
    /// `--ttl-inc`.
    Inc(u8),
    /// `--ttl-dec`.
    Dec(u8),
}
