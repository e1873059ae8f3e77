//! What the common matches print; the others are in [`super::rare`].

use super::cursor::{Cur, mark, masked, number, range};
use super::names;
use super::protocols::{dccp, icmp, ports, sctp, tcp};
use crate::common::{MarkMask, Neg, Range, Text};
use crate::iptables::matches::{
    AddrTypes, Addrtype, Conntrack, CtStates, Limit, Match, Multiport, MultiportWhich, Owner,
    Physdev, Recent, RecentMode, Rpfilter, SetMatch, SocketMatch,
};

/// One match and what follows it.
pub(super) type Read<'a> = Option<(Match<'a>, Cur<'a>)>;

/// Reads the match `cur` stands at.
pub(super) fn parse(cur: Cur<'_>) -> Read<'_> {
    let (not, after) = cur.bang();
    let (word, rest) = after.word()?;
    match word {
        "tcp" if !not => tcp(rest),
        "udp" | "udplite" if !not => {
            let (ports, rest) = ports(rest);
            Some((Match::Udp(ports), rest))
        }
        "sctp" if !not => Some(sctp(rest)),
        "dccp" if !not => Some(dccp(rest)),
        "icmptype" | "icmp" if !not => {
            let (ty, rest) = icmp(after.prefix("icmp")?, false)?;
            Some((Match::Icmp(ty), rest))
        }
        "ipv6-icmptype" | "ipv6-icmp" if !not => {
            let (ty, rest) = icmp(after.prefix("ipv6-icmp")?, true)?;
            Some((Match::Icmp6(ty), rest))
        }
        "state" => {
            let (states, rest) = rest.neg(states)?;
            let not = not != states.not;
            let value = states.value;
            Some((Match::State(Neg { not, value }), rest))
        }
        "mark" | "MARK" if !not => {
            let (value, rest) = rest.eat("match")?.neg(mark)?;
            Some((Match::Mark(value), rest))
        }
        "connmark" | "CONNMARK" if !not => {
            let (value, rest) = rest.eat("match")?.neg(mark)?;
            Some((Match::Connmark(value), rest))
        }
        "ADDRTYPE" if !not => addrtype(rest.eat("match")?),
        "match-set" => set(not, rest),
        "statistic" if !not => statistic(rest.eat("mode")?),
        "multiport" if !not => multiport(rest),
        "owner" => owner(cur),
        "recent:" => recent(not, rest),
        "PHYSDEV" if !not => physdev(rest.eat("match")?),
        "rpfilter" if !not => Some(rpfilter(rest)),
        "limit:" if !not => limit(rest).or_else(|| super::rare::hashlimit(rest)),
        "socket" if !not => Some(socket(rest)),
        _ if word.starts_with("ct") => conntrack(cur),
        _ => super::rare::parse(cur),
    }
}

fn states(text: &str) -> Option<CtStates> {
    let bits = text.split(',').try_fold(0, |bits, name| {
        Some(
            bits | match name {
                "INVALID" => CtStates::INVALID,
                "ESTABLISHED" => CtStates::ESTABLISHED,
                "RELATED" => CtStates::RELATED,
                "NEW" => CtStates::NEW,
                "SNAT" => CtStates::SNAT,
                "DNAT" => CtStates::DNAT,
                "UNTRACKED" => CtStates::UNTRACKED,
                _ => return None,
            },
        )
    })?;
    Some(CtStates(bits))
}

/// `IPS_*` of `include/uapi/linux/netfilter/nf_conntrack_common.h`.
fn statuses(text: &str) -> Option<u16> {
    text.split(',').try_fold(0, |bits, name| {
        Some(
            bits | match name {
                "EXPECTED" => 1,
                "SEEN_REPLY" => 2,
                "ASSURED" => 4,
                "CONFIRMED" => 8,
                "NONE" => 0,
                _ => return None,
            },
        )
    })
}

/// A run of `[!] ctKEY VALUE`. Two matches that follow each other become one: nothing shows where the first ends, and both must
/// hold either way. A key seen again starts the next.
fn conntrack(start: Cur<'_>) -> Read<'_> {
    fn put<T>(slot: &mut Option<Neg<T>>, not: bool, value: Option<T>) -> bool {
        match value {
            Some(value) if slot.is_none() => {
                *slot = Some(Neg { not, value });
                true
            }
            _ => false,
        }
    }
    let ports = |text| range(text, ':', names::port);
    let mut ct = Conntrack::default();
    let mut cur = start;
    loop {
        let (not, after) = cur.bang();
        let Some((key, after)) = after.word() else {
            break;
        };
        let Some((text, rest)) = after.word() else {
            break;
        };
        let fits = match key {
            "ctstate" => put(&mut ct.state, not, states(text)),
            "ctproto" => put(&mut ct.proto, not, names::protocol(text)),
            "ctorigsrc" => put(&mut ct.orig_src, not, masked(text)),
            "ctorigdst" => put(&mut ct.orig_dst, not, masked(text)),
            "ctreplsrc" => put(&mut ct.reply_src, not, masked(text)),
            "ctrepldst" => put(&mut ct.reply_dst, not, masked(text)),
            "ctorigsrcport" => put(&mut ct.orig_sport, not, ports(text)),
            "ctorigdstport" => put(&mut ct.orig_dport, not, ports(text)),
            "ctreplsrcport" => put(&mut ct.reply_sport, not, ports(text)),
            "ctrepldstport" => put(&mut ct.reply_dport, not, ports(text)),
            "ctstatus" => put(&mut ct.status, not, statuses(text)),
            "ctexpire" => put(&mut ct.expire, not, range(text, ':', number)),
            "ctdir" if ct.dir_original.is_none() => match text {
                "ORIGINAL" | "REPLY" => {
                    ct.dir_original = Some((text == "ORIGINAL") != not);
                    true
                }
                _ => false,
            },
            _ => false,
        };
        if !fits {
            break;
        }
        cur = rest;
    }
    (ct != Conntrack::default()).then(|| (Match::Conntrack(Box::new(ct)), cur))
}

fn address_types(text: &str) -> Option<AddrTypes> {
    const NAMES: [&str; 12] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
        "NAT",
        "XRESOLVE",
    ];
    let bits = text.split(',').try_fold(0, |bits, name| {
        let bit = NAMES.iter().position(|n| *n == name)?;
        Some(bits | 1 << bit)
    })?;
    Some(AddrTypes(bits))
}

fn addrtype(start: Cur<'_>) -> Read<'_> {
    let mut value = Addrtype::default();
    let mut cur = start;
    while let Some((key, rest)) = cur.word() {
        cur = match key {
            "src-type" if value.src.is_none() => {
                let (types, rest) = rest.neg(address_types)?;
                value.src = Some(types);
                rest
            }
            "dst-type" if value.dst.is_none() => {
                let (types, rest) = rest.neg(address_types)?;
                value.dst = Some(types);
                rest
            }
            "limit-in" => {
                value.limit_in = true;
                rest
            }
            "limit-out" => {
                value.limit_out = true;
                rest
            }
            _ => break,
        };
    }
    (value.src.is_some() || value.dst.is_some()).then_some((Match::Addrtype(value), cur))
}

fn set(not: bool, cur: Cur<'_>) -> Read<'_> {
    let (name, cur) = cur.word()?;
    let (dimensions, mut cur) = cur.word()?;
    let src = dimensions
        .split(',')
        .map(|d| match d {
            "src" => Some(true),
            "dst" => Some(false),
            _ => None,
        })
        .collect::<Option<Vec<bool>>>()?;
    let mut set = SetMatch {
        not,
        name: Text::Borrowed(name),
        src,
        return_nomatch: false,
        no_update_counters: false,
        no_update_subcounters: false,
        counters: None,
    };
    let mut counters = String::new();
    loop {
        let (not, after) = cur.bang();
        let Some((key, rest)) = after.word() else {
            break;
        };
        cur = match (not, key) {
            (false, "return-nomatch") => {
                set.return_nomatch = true;
                rest
            }
            (true, "update-counters") => {
                set.no_update_counters = true;
                rest
            }
            (true, "update-subcounters") => {
                set.no_update_subcounters = true;
                rest
            }
            (
                _,
                "packets-eq" | "packets-lt" | "packets-gt" | "bytes-eq" | "bytes-lt" | "bytes-gt",
            ) => {
                let (value, rest) = rest.word()?;
                let space = if counters.is_empty() { "" } else { " " };
                let bang = if not { "! " } else { "" };
                counters = format!("{counters}{space}{bang}--{key} {value}");
                rest
            }
            _ => break,
        };
    }
    set.counters = (!counters.is_empty()).then(|| counters.into());
    Some((Match::Set(Box::new(set)), cur))
}

fn statistic(cur: Cur<'_>) -> Read<'_> {
    let (mode, cur) = cur.word()?;
    let (not, cur) = cur.bang();
    match mode {
        "random" => {
            let (value, rest) = cur.eat("probability")?.word()?;
            let value = threshold(value)?;
            Some((Match::StatisticRandom(Neg { not, value }), rest))
        }
        "nth" => {
            let (every, mut cur) = cur.eat("every")?.word()?;
            let mut packet = 0;
            if let Some((value, rest)) = cur.eat("packet").and_then(Cur::word) {
                packet = value.parse().ok()?;
                cur = rest;
            }
            let every = every.parse().ok()?;
            Some((Match::StatisticNth { not, every, packet }, cur))
        }
        _ => None,
    }
}

/// A probability as the kernel stores it: `lround(0x80000000 * p)` (`statistic_parse` in `extensions/libxt_statistic.c`).
fn threshold(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.get(..fraction.len().min(18))?;
    let whole: u128 = whole.parse().ok().filter(|w| *w <= 1)?;
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = match fraction {
        "" => 0,
        _ => fraction.parse().ok()?,
    };
    let value = ((whole * scale + digits) * (1 << 31) + scale / 2) / scale;
    u32::try_from(value).ok().filter(|v| *v <= 1 << 31)
}

fn multiport(cur: Cur<'_>) -> Read<'_> {
    let (which, cur) = cur.word()?;
    let which = match which {
        "sports" => MultiportWhich::Source,
        "dports" => MultiportWhich::Destination,
        "ports" => MultiportWhich::Either,
        _ => return None,
    };
    let (list, rest) = cur.neg_word()?;
    let ports = list
        .value
        .split(',')
        .map(|text| range(text, ':', names::port))
        .collect::<Option<Vec<_>>>()?;
    Some((
        Match::Multiport(Multiport {
            not: list.not,
            which,
            ports,
        }),
        rest,
    ))
}

/// A run of `[!] owner UID match N`, `owner GID match N`, `owner socket exists`, `incl. suppl. groups`.
fn owner(start: Cur<'_>) -> Read<'_> {
    let mut owner = Owner::default();
    let mut cur = start;
    loop {
        if let Some(rest) = cur.eat_all("incl. suppl. groups") {
            owner.suppl_groups = true;
            cur = rest;
            continue;
        }
        let (not, after) = cur.bang();
        let Some(after) = after.eat("owner") else {
            break;
        };
        if let Some(rest) = after.eat_all("socket exists") {
            owner.socket_exists = Some(Neg { not, value: () });
            cur = rest;
            continue;
        }
        let (key, slot, after) = if let Some(after) = after.eat_all("UID match") {
            ("uid", &mut owner.uid, after)
        } else if let Some(after) = after.eat_all("GID match") {
            ("gid", &mut owner.gid, after)
        } else {
            break;
        };
        if slot.is_some() {
            break;
        }
        let (value, rest) = after.neg_word()?;
        let not = not != value.not;
        if let Some(value) = range(value.value, '-', number) {
            *slot = Some(Neg { not, value });
        } else if value.value == "root" {
            // The one name that means the same on every node.
            let value = Range { lo: 0, hi: 0 };
            *slot = Some(Neg { not, value });
        } else if !value
            .value
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        {
            return None;
        } else {
            let bang = if not { "! " } else { "" };
            let text = format!("{bang}--{key}-owner {}", value.value);
            owner.unresolved = Some(match owner.unresolved.take() {
                Some(before) => format!("{before} {text}").into(),
                None => text.into(),
            });
        }
        cur = rest;
    }
    (owner != Owner::default()).then_some((Match::Owner(owner), cur))
}

/// The side ends it, in newer versions the mask (`recent_print` in `extensions/libxt_recent.c`).
fn recent(not: bool, cur: Cur<'_>) -> Read<'_> {
    let (mode, mut cur) = cur.word()?;
    let mode = match mode {
        "SET" => RecentMode::Set,
        "CHECK" => RecentMode::Rcheck,
        "UPDATE" => RecentMode::Update,
        "REMOVE" => RecentMode::Remove,
        _ => return None,
    };
    let mut recent = Recent {
        not,
        mode,
        seconds: None,
        hitcount: None,
        reap: false,
        rttl: false,
        name: Text::Borrowed("DEFAULT"),
        mask: None,
        source: true,
    };
    while let Some((key, rest)) = cur.word() {
        let flag = match key {
            "reap" => &mut recent.reap,
            "TTL-Match" => &mut recent.rttl,
            _ => {
                if !matches!(key, "seconds:" | "hit_count:" | "name:" | "side:" | "mask:") {
                    break;
                }
                let (value, rest) = rest.word()?;
                match key {
                    "seconds:" => recent.seconds = Some(number(value)?),
                    "hit_count:" => recent.hitcount = Some(number(value)?),
                    "name:" => recent.name = Text::Borrowed(value),
                    "mask:" => recent.mask = Some(value.parse().ok()?),
                    _ => recent.source = value == "source",
                }
                cur = rest;
                continue;
            }
        };
        *flag = true;
        cur = rest;
    }
    Some((Match::Recent(Box::new(recent)), cur))
}

fn physdev(start: Cur<'_>) -> Read<'_> {
    let mut value = Physdev::default();
    let mut cur = start;
    loop {
        let (not, after) = cur.bang();
        let Some((key, after)) = after.word() else {
            break;
        };
        cur = match key {
            "--physdev-in" | "--physdev-out" => {
                let (name, rest) = after.word()?;
                let name = Some(Neg {
                    not,
                    value: Text::Borrowed(name),
                });
                if key == "--physdev-in" {
                    value.in_dev = name;
                } else {
                    value.out_dev = name;
                }
                rest
            }
            _ => {
                let slot = match key {
                    "--physdev-is-in" => &mut value.is_in,
                    "--physdev-is-out" => &mut value.is_out,
                    "--physdev-is-bridged" => &mut value.is_bridged,
                    _ => break,
                };
                *slot = Some(Neg { not, value: () });
                after
            }
        };
    }
    (value != Physdev::default()).then(|| (Match::Physdev(Box::new(value)), cur))
}

fn rpfilter(start: Cur<'_>) -> (Match<'_>, Cur<'_>) {
    let mut value = Rpfilter::default();
    let mut cur = start;
    while let Some((key, rest)) = cur.word() {
        match key {
            "loose" => value.loose = true,
            "validmark" => value.validmark = true,
            "accept-local" => value.accept_local = true,
            "invert" => value.invert = true,
            _ => break,
        }
        cur = rest;
    }
    (Match::Rpfilter(value), cur)
}

fn socket(start: Cur<'_>) -> (Match<'_>, Cur<'_>) {
    let mut value = SocketMatch::default();
    let mut cur = start;
    while let Some((key, rest)) = cur.word() {
        match key {
            "--transparent" => value.transparent = true,
            "--nowildcard" => value.nowildcard = true,
            "--restore-skmark" => value.restore_skmark = true,
            _ => break,
        }
        cur = rest;
    }
    (Match::Socket(value), cur)
}

/// `avg RATE burst N`; a `mode` after it makes it the first revision of `hashlimit`.
fn limit(cur: Cur<'_>) -> Read<'_> {
    let (rate, cur) = cur.eat("avg")?.word()?;
    let (burst, rest) = cur.eat("burst")?.word()?;
    if rest.eat("mode").is_some() {
        return None;
    }
    Some((
        Match::Limit(Limit {
            rate: Text::Borrowed(rate),
            burst: burst.parse().ok()?,
        }),
        rest,
    ))
}

/// `VALUE[/MASK]` after an optional `!` as a masked value, for the matches that print it so.
pub(super) fn neg_mark(cur: Cur<'_>) -> Option<(Neg<MarkMask>, Cur<'_>)> {
    cur.neg(mark)
}
