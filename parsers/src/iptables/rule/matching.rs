//! Options of matches. [`start`] makes the record that `-m NAME` stands for, [`option`] gives it one option after the other,
//! in whatever order they come.

use super::cursor::{Cursor, Fault, Kind};

use super::matching_more as more;
use super::names;
use crate::common::{Masked, Neg, Proto, Range, Text};
use crate::iptables::matches::{
    Addrtype, ByteMask, Conntrack, Hashlimit, IpvsMatch, Limit, Match, Multiport, MultiportWhich,
    Owner, Physdev, PolicyMatch, Ports, Recent, RecentMode, Rpfilter, Sctp, SetMatch, SocketMatch,
    Tcp, TtlMatch,
};
use crate::iptables::value::{
    COSMOS, DEFAULT_GROUP, ip_range, mac, mark, masked, named_mark, port_list, ports, range, uint,
    whole,
};
use std::borrow::Cow;

const NO_MARK: crate::common::MarkMask = crate::common::MarkMask { value: 0, mask: 0 };
const ALL_SPIS: Range<u32> = Range {
    lo: 0,
    hi: u32::MAX,
};

/// The match named `name` without options, and whether it needs one to mean anything.
pub(super) fn start(name: &str) -> Option<(Match<'_>, bool)> {
    let none = Cow::Borrowed("");
    Some(match name {
        "comment" => (Match::Comment(none), true),
        "tcp" => (Match::Tcp(Tcp::default()), false),
        "udp" | "udplite" => (Match::Udp(Ports::default()), false),
        "conntrack" => (Match::Conntrack(Box::<Conntrack>::default()), true),
        "mark" => (Match::Mark(Neg::yes(NO_MARK)), true),
        "addrtype" => (Match::Addrtype(Addrtype::default()), true),
        "set" => {
            let set = SetMatch {
                not: false,
                name: none,
                src: Vec::new(),
                return_nomatch: false,
                no_update_counters: false,
                no_update_subcounters: false,
                counters: None,
            };
            (Match::Set(Box::new(set)), true)
        }
        "statistic" => (Match::StatisticRandom(Neg::yes(0)), true),
        "multiport" => {
            let multiport = Multiport {
                not: false,
                which: MultiportWhich::Either,
                ports: Vec::new(),
            };
            (Match::Multiport(multiport), true)
        }
        "recent" => {
            let recent = Recent {
                not: false,
                mode: RecentMode::Set,
                seconds: None,
                hitcount: None,
                reap: false,
                rttl: false,
                name: Cow::Borrowed("DEFAULT"),
                mask: None,
                source: true,
            };
            (Match::Recent(Box::new(recent)), true)
        }
        "sctp" => (Match::Sctp(Sctp::default()), false),
        "dccp" => (Match::Dccp(Ports::default(), None), false),
        "icmp" => (Match::Icmp(Neg::yes(names::ANY_ICMP)), false),
        "icmp6" | "icmpv6" => (Match::Icmp6(Neg::yes(names::ANY_ICMP)), true),
        "state" => (Match::State(Neg::yes(<_>::default())), true),
        "connmark" => (Match::Connmark(Neg::yes(NO_MARK)), true),
        "owner" => (Match::Owner(Owner::default()), true),
        "physdev" => (Match::Physdev(Box::<Physdev<'_>>::default()), true),
        "rpfilter" => (Match::Rpfilter(Rpfilter::default()), false),
        "ipvs" => (Match::Ipvs(Box::<IpvsMatch<'_>>::default()), true),
        "nfacct" => (Match::Nfacct(none), true),
        // Defaults: XT_LIMIT_AVG "3/hour", XT_LIMIT_BURST 5 in libxt_limit.c.
        "limit" => {
            let limit = Limit {
                rate: Cow::Borrowed("3/hour"),
                burst: 5,
            };
            (Match::Limit(limit), false)
        }
        "connlimit" => {
            // The mask of a rule without one is the whole address, set once the rule's family is known.
            let connlimit = crate::iptables::matches::Connlimit {
                upto: false,
                limit: 0,
                mask: u8::MAX,
                daddr: false,
            };
            (Match::Connlimit(connlimit), true)
        }
        "hashlimit" => {
            let hashlimit = Hashlimit {
                upto: false,
                rate: none.clone(),
                burst: None,
                name: none.clone(),
                rest: none,
            };
            (Match::Hashlimit(Box::new(hashlimit)), true)
        }
        "quota" => (Match::Quota(Neg::yes(0)), true),
        "socket" => (Match::Socket(SocketMatch::default()), false),
        "policy" => {
            let policy = PolicyMatch {
                dir_in: false,
                ipsec: false,
                rest: none,
            };
            (Match::Policy(Box::new(policy)), true)
        }
        "esp" => (Match::Esp(Neg::yes(ALL_SPIS)), false),
        "ah" => (Match::Ah(Neg::yes(ALL_SPIS)), false),
        "bpf" => (Match::Bpf(none), true),
        "u32" => (Match::U32(Neg::yes(none)), true),
        "string" => (Match::String(none), true),
        "length" => (Match::Length(Neg::yes(Range { lo: 0, hi: 0 })), true),
        "dscp" => (Match::Dscp(Neg::yes(0)), true),
        "tos" => (Match::Tos(Neg::yes(ByteMask { value: 0, mask: 0 })), true),
        "ttl" | "hl" => (Match::Ttl(TtlMatch::Eq(0)), true),
        "iprange" => {
            let iprange = Match::Iprange {
                src: None,
                dst: None,
            };
            (iprange, true)
        }
        "mac" => (Match::Mac(Neg::yes([0; 6])), true),
        "pkttype" => (
            Match::Pkttype(Neg::yes(crate::iptables::matches::PacketType::Unicast)),
            true,
        ),
        "time" => (Match::Time(none), false),
        "helper" => (Match::Helper(Neg::yes(none)), true),
        "cpu" => (Match::Cpu(Neg::yes(0)), true),
        "devgroup" => {
            let devgroup = Match::Devgroup {
                src: None,
                dst: None,
            };
            (devgroup, true)
        }
        "realm" => (Match::Realm(Neg::yes(NO_MARK)), true),
        _ => return None,
    })
}

/// The match that `-p NAME` loads by itself once one of its options is met (`should_load_proto` in iptables/xshared.c).
pub(super) fn implicit(proto: Proto) -> Option<&'static str> {
    Some(match proto {
        Proto::TCP => "tcp",
        Proto::UDP | Proto::UDPLITE => "udp",
        Proto::ICMP => "icmp",
        Proto::ICMPV6 => "icmp6",
        Proto::SCTP => "sctp",
        Proto::DCCP => "dccp",
        Proto(50) => "esp",
        Proto(51) => "ah",
        _ => return None,
    })
}

fn port_option(ports_of: &mut Ports, option: &str, at: &mut Cursor<'_>) -> Result<bool, Fault> {
    let slot = match option {
        "--sport" | "--source-port" => &mut ports_of.sport,
        "--dport" | "--destination-port" => &mut ports_of.dport,
        _ => return Ok(false),
    };
    *slot = Some(at.neg(PORTS, |s| whole(ports, s))?);
    Ok(true)
}

pub(super) const PORTS: &str = "a port or a range of ports";
pub(super) const MARK: &str = "a mark: a number, or value/mask";
pub(super) const ADDRESS: &str = "an address with an optional mask";
const TYPE: &str = "an ICMP type";
const STATES: &str = "a list of connection states";

/// Gives `m` the option at the cursor. False where `m` has no such option; nothing is consumed then.
#[inline]
pub(super) fn option<'a>(m: &mut Match<'a>, at: &mut Cursor<'a>) -> Result<bool, Fault> {
    let name = at.option.raw;
    match m {
        Match::Comment(text) => match name {
            "--comment" => *text = at.text()?,
            _ => return Ok(false),
        },
        Match::Tcp(tcp) => return tcp_option(tcp, name, at),
        Match::Udp(ports) => return port_option(ports, name, at),
        Match::Conntrack(ct) => return conntrack(ct, name, at),
        Match::Mark(value) | Match::Connmark(value) => match name {
            "--mark" => *value = at.neg(MARK, |s| whole(mark, s))?,
            _ => return Ok(false),
        },
        Match::Addrtype(types) => match name {
            "--src-type" => types.src = Some(at.neg("an address type", names::addr_types)?),
            "--dst-type" => types.dst = Some(at.neg("an address type", names::addr_types)?),
            "--limit-iface-in" => types.limit_in = true,
            "--limit-iface-out" => types.limit_out = true,
            _ => return Ok(false),
        },
        Match::Set(set) => return set_option(set, name, at),
        Match::StatisticRandom(_) | Match::StatisticNth { .. } => {
            return more::statistic(m, name, at);
        }
        Match::Multiport(multiport) => {
            multiport.which = match name {
                "--dports" | "--destination-ports" => MultiportWhich::Destination,
                "--sports" | "--source-ports" => MultiportWhich::Source,
                "--ports" | "--port" => MultiportWhich::Either,
                _ => return Ok(false),
            };
            let list = at.neg("a list of at most 15 ports", |s| whole(port_list, s))?;
            (multiport.not, multiport.ports) = (list.not, list.value);
        }
        Match::Recent(recent) => return more::recent(recent, name, at),
        Match::Sctp(sctp) => match name {
            "--chunk-types" => {
                let mut words: Text<'_> = Cow::Borrowed("");
                let first = at.argument()?;
                let second = at.argument()?;
                super::cursor::append(&mut words, at.lex.text(), first.start, second.end);
                if !is_chunk_list(&words) {
                    return Err(Fault::at(&second, Kind::Value(CHUNKS)));
                }
                sctp.chunks = Some(Neg {
                    not: at.not,
                    value: words,
                });
            }
            _ => return port_option(&mut sctp.ports, name, at),
        },
        Match::Dccp(ports, rest) => match name {
            "--dccp-types" | "--dccp-option" => at.keep(rest.get_or_insert_default(), 1)?,
            _ => return port_option(ports, name, at),
        },
        Match::Icmp(ty) => match name {
            "--icmp-type" => *ty = at.neg(TYPE, names::icmp_type)?,
            _ => return Ok(false),
        },
        Match::Icmp6(ty) => match name {
            "--icmpv6-type" => *ty = at.neg(TYPE, names::icmp6_type)?,
            _ => return Ok(false),
        },
        Match::State(states) => match name {
            "--state" => *states = at.neg(STATES, names::states)?,
            _ => return Ok(false),
        },
        Match::Owner(owner) => return more::owner(owner, name, at),
        Match::Physdev(physdev) => return more::physdev(physdev, name, at),
        Match::Rpfilter(rpfilter) => match name {
            "--loose" => rpfilter.loose = true,
            "--validmark" => rpfilter.validmark = true,
            "--accept-local" => rpfilter.accept_local = true,
            "--invert" => rpfilter.invert = true,
            _ => return Ok(false),
        },
        Match::Ipvs(ipvs) => return more::ipvs(ipvs, name, at),
        Match::Nfacct(text) => match name {
            "--nfacct-name" => *text = at.text()?,
            _ => return Ok(false),
        },
        Match::Limit(limit) => match name {
            "--limit" => limit.rate = at.text()?,
            "--limit-burst" => limit.burst = at.value("a number", |s| whole(uint, s))?,
            _ => return Ok(false),
        },
        Match::Connlimit(connlimit) => return more::connlimit(connlimit, name, at),
        Match::Hashlimit(hashlimit) => return more::hashlimit(hashlimit, name, at),
        Match::Quota(quota) => match name {
            "--quota" => *quota = at.neg("a number of bytes", |s| whole(uint, s))?,
            _ => return Ok(false),
        },
        Match::Socket(socket) => match name {
            "--transparent" => socket.transparent = true,
            "--nowildcard" => socket.nowildcard = true,
            "--restore-skmark" => socket.restore_skmark = true,
            _ => return Ok(false),
        },
        Match::Policy(policy) => return more::policy(policy, name, at),
        Match::Esp(spis) => match name {
            "--espspi" => *spis = at.neg("an SPI or a range of them", spi_range)?,
            _ => return Ok(false),
        },
        Match::Ah(spis) => match name {
            "--ahspi" => *spis = at.neg("an SPI or a range of them", spi_range)?,
            _ => return Ok(false),
        },
        Match::Bpf(kept) => match name {
            "--bytecode" | "--object-pinned" => at.keep(kept, 1)?,
            _ => return Ok(false),
        },
        Match::U32(text) => match name {
            "--u32" => {
                let value = at.text()?;
                *text = Neg { not: at.not, value };
            }
            _ => return Ok(false),
        },
        Match::String(kept) => match name {
            "--algo" | "--from" | "--to" | "--string" | "--hex-string" => at.keep(kept, 1)?,
            "--icase" => at.keep(kept, 0)?,
            _ => return Ok(false),
        },
        Match::Length(length) => match name {
            "--length" => {
                *length = at.neg("a length or a range of lengths", |s| {
                    whole(range(uint, ':', 0, u16::MAX), s)
                })?;
            }
            _ => return Ok(false),
        },
        Match::Dscp(value) => match name {
            "--dscp" => *value = at.neg("a DSCP below 64", names::dscp)?,
            "--dscp-class" => *value = at.neg("a DSCP class", names::dscp_class)?,
            _ => return Ok(false),
        },
        Match::Tos(value) => match name {
            "--tos" => *value = at.neg("a TOS value or value/mask", names::tos)?,
            _ => return Ok(false),
        },
        Match::Ttl(ttl) => {
            let make: fn(u8) -> TtlMatch = match name {
                "--ttl-eq" | "--ttl" | "--hl-eq" | "--hl" => TtlMatch::Eq,
                "--ttl-lt" | "--hl-lt" => TtlMatch::Lt,
                "--ttl-gt" | "--hl-gt" => TtlMatch::Gt,
                _ => return Ok(false),
            };
            let value = at.neg("a number below 256", |s| whole(uint, s))?;
            *ttl = match make(value.value) {
                TtlMatch::Eq(n) if value.not => TtlMatch::Ne(n),
                // `! --ttl-lt` does not exist: the record has no room for it, nor has iptables.
                made => made,
            };
        }
        Match::Iprange { src, dst } => {
            let slot = match name {
                "--src-range" => src,
                "--dst-range" => dst,
                _ => return Ok(false),
            };
            *slot = Some(at.neg("an address or a range of them", |s| whole(ip_range, s))?);
        }
        Match::Mac(addr) => match name {
            "--mac-source" => *addr = at.neg("a MAC address", |s| whole(mac, s))?,
            _ => return Ok(false),
        },
        Match::Pkttype(ty) => match name {
            "--pkt-type" => *ty = at.neg("unicast, broadcast or multicast", more::packet_type)?,
            _ => return Ok(false),
        },
        Match::Time(kept) => match name {
            "--datestart" | "--datestop" | "--timestart" | "--timestop" | "--monthdays"
            | "--weekdays" => at.keep(kept, 1)?,
            "--contiguous" | "--kerneltz" | "--utc" | "--localtz" => at.keep(kept, 0)?,
            _ => return Ok(false),
        },
        Match::Helper(text) => match name {
            "--helper" => {
                let value = at.text()?;
                *text = Neg { not: at.not, value };
            }
            _ => return Ok(false),
        },
        Match::Cpu(cpu) => match name {
            "--cpu" => *cpu = at.neg("a number", |s| whole(uint, s))?,
            _ => return Ok(false),
        },
        Match::Devgroup { src, dst } => {
            let slot = match name {
                "--src-group" => src,
                "--dst-group" => dst,
                _ => return Ok(false),
            };
            *slot = Some(at.neg("a device group: value or value/mask", |s| {
                named_mark(s, DEFAULT_GROUP)
            })?);
        }
        Match::Realm(realm) => match name {
            "--realm" => {
                *realm = at.neg("a realm: value or value/mask", |s| named_mark(s, COSMOS))?;
            }
            _ => return Ok(false),
        },
        Match::Opaque { .. } => return Ok(false),
    }
    Ok(true)
}

fn spi_range(text: &str) -> Option<Range<u32>> {
    whole(range(uint, ':', 0, u32::MAX), text)
}

fn tcp_option(tcp: &mut Tcp, name: &str, at: &mut Cursor<'_>) -> Result<bool, Fault> {
    match name {
        "--dport" | "--destination-port" => {
            tcp.dport = Some(at.neg(PORTS, |s| whole(ports, s))?);
        }
        "--sport" | "--source-port" => tcp.sport = Some(at.neg(PORTS, |s| whole(ports, s))?),
        "--tcp-flags" => {
            let mask = at.value("a list of TCP flags", names::tcp_flags)?;
            let value = at.value("a list of TCP flags", names::tcp_flags)?;
            tcp.flags = Some(Neg {
                not: at.not,
                value: ByteMask { value, mask },
            });
        }
        // SYN set, and FIN, RST and ACK clear (parse_tcp_flags in libxt_tcp.c).
        "--syn" => {
            tcp.flags = Some(Neg {
                not: at.not,
                value: ByteMask {
                    value: 0x02,
                    mask: 0x17,
                },
            });
        }
        "--tcp-option" => {
            tcp.option = Some(at.neg("the number of a TCP option", |s| whole(uint, s))?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Conntrack prints plain addresses without `/32`, and both families look alike to it.
fn ct_address(at: &mut Cursor<'_>) -> Result<Option<Neg<Masked>>, Fault> {
    at.neg(ADDRESS, |s| whole(masked, s)).map(Some)
}

fn ct_port(at: &mut Cursor<'_>) -> Result<Option<Neg<Range<u16>>>, Fault> {
    at.neg(PORTS, |s| whole(ports, s)).map(Some)
}

fn conntrack(ct: &mut Conntrack, name: &str, at: &mut Cursor<'_>) -> Result<bool, Fault> {
    match name {
        "--ctstate" => ct.state = Some(at.neg(STATES, names::states)?),
        "--ctproto" => ct.proto = Some(at.neg("a protocol", Proto::parse)?),
        "--ctorigsrc" => ct.orig_src = ct_address(at)?,
        "--ctorigdst" => ct.orig_dst = ct_address(at)?,
        "--ctreplsrc" => ct.reply_src = ct_address(at)?,
        "--ctrepldst" => ct.reply_dst = ct_address(at)?,
        "--ctorigsrcport" => ct.orig_sport = ct_port(at)?,
        "--ctorigdstport" => ct.orig_dport = ct_port(at)?,
        "--ctreplsrcport" => ct.reply_sport = ct_port(at)?,
        "--ctrepldstport" => ct.reply_dport = ct_port(at)?,
        "--ctstatus" => {
            ct.status = Some(at.neg("a list of connection statuses", names::statuses)?);
        }
        "--ctexpire" => {
            ct.expire = Some(at.neg("a number of seconds or a range", spi_range)?);
        }
        "--ctdir" => {
            let dir = at.neg("ORIGINAL or REPLY", more::original)?;
            ct.dir_original = Some(dir.value != dir.not);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn set_option<'a>(set: &mut SetMatch<'a>, name: &str, at: &mut Cursor<'a>) -> Result<bool, Fault> {
    match name {
        // `--set` is what it was called before ipset 6.
        "--match-set" | "--set" => {
            set.name = at.text()?;
            set.not = at.not;
            set.src = at.value("a list of src and dst", directions)?;
        }
        "--return-nomatch" => set.return_nomatch = true,
        // Without `!` it says what is so anyway.
        "--update-counters" => set.no_update_counters = at.not,
        "--update-subcounters" => set.no_update_subcounters = at.not,
        "--packets-eq" | "--packets-lt" | "--packets-gt" | "--bytes-eq" | "--bytes-lt"
        | "--bytes-gt" => at.keep(set.counters.get_or_insert_default(), 1)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn directions(text: &str) -> Option<Vec<bool>> {
    let mut all = Vec::with_capacity(3);
    for item in text.split(',') {
        all.push(match item {
            "src" => true,
            "dst" => false,
            _ => return None,
        });
    }
    // IPSET_DIM_MAX in include/uapi/linux/netfilter/ipset/ip_set.h.
    (all.len() <= 6).then_some(all)
}

const CHUNKS: &str = "`all`, `any` or `only`, and a list of chunk types";

/// `any DATA:B,INIT`: how many of them, and which (`extensions/libxt_sctp.c`).
fn is_chunk_list(text: &str) -> bool {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | ',');
    matches!(words[..], ["all" | "any" | "only", list] if list.chars().all(known))
}
