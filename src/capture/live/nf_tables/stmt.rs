//! Statements in words.

use super::expr::{Ex, Kind};
use super::keys::be32;
use super::lift::Lift;
use super::print::Env;
use super::read::{Expression, Set, counters, list, text};
use super::words::{put, set_text};
use super::{nat, value};
use crate::capture::live::attr::{Numbers as _, find};
use nfwhy_parsers::nft::Type;
use std::fmt::Write as _;

/// A verdict by the kernel's number (`include/uapi/linux/netfilter/nf_tables.h`).
pub(super) fn verdict(out: &mut String, code: i32, chain: Option<&str>) -> Option<()> {
    let word = match code {
        0 => "drop",
        1 => "accept",
        -1 => "continue",
        -2 => "break",
        -5 => "return",
        -3 | -4 => {
            let word = if code == -3 { "jump" } else { "goto" };
            let _ = write!(out, "{word} {}", chain?);
            return Some(());
        }
        // With the number of the queue in the upper half.
        n if n & 0xff == 3 => "queue",
        _ => return None,
    };
    out.push_str(word);
    Some(())
}

/// A statement that has no registers but what it reads.
pub(super) fn statement<'a>(lift: &mut Lift<'a>, e: Expression<'a>) -> Option<()> {
    let d = e.data;
    let mut out = String::new();
    match e.name {
        b"nat" => nat::nat(lift, &mut out, d)?,
        b"masq" => nat::simple(lift, &mut out, "masquerade", d, (1, 2, 3))?,
        b"redir" => nat::simple(lift, &mut out, "redirect", d, (3, 1, 2))?,
        b"tproxy" => nat::tproxy(lift, &mut out, d)?,
        b"dup" => nat::dup(lift, &mut out, d)?,
        b"fwd" => nat::fwd(lift, &mut out, d)?,
        b"reject" => reject(lift, &mut out, d)?,
        b"log" => log(&mut out, d)?,
        b"queue" => queue(lift, &mut out, d)?,
        b"notrack" => out.push_str("notrack"),
        b"dynset" => dynset(lift, &mut out, d)?,
        b"objref" => object(lift, &mut out, d)?,
        b"flow_offload" => {
            let _ = write!(out, "flow add @{}", text(find(d, 1)?));
        }
        b"synproxy" => {
            out.push_str("synproxy");
            let flags = be32(d, 3)?;
            if flags & 1 != 0 {
                let _ = write!(out, " mss {}", find(d, 1)?.be16(0)?);
            }
            if flags & 2 != 0 {
                let _ = write!(out, " wscale {}", find(d, 2)?.u8(0)?);
            }
            out.push_str(synproxy(flags));
        }
        b"match" | b"target" => {
            let kind = if e.name == b"match" {
                "match"
            } else {
                "target"
            };
            let name = text(find(d, 1)?);
            if name.contains('"') {
                return None;
            }
            let _ = write!(out, "xt {kind} \"{name}\"");
        }
        _ => stateful(&mut out, e, lift.env)?,
    }
    lift.say(out)
}

/// `timestamp`, `sack-perm` (`NF_SYNPROXY_OPT_*`).
pub(super) fn synproxy(flags: u32) -> &'static str {
    match (flags & 8 != 0, flags & 4 != 0) {
        (true, true) => " timestamp sack-perm",
        (true, false) => " timestamp",
        (false, true) => " sack-perm",
        (false, false) => "",
    }
}

/// Statements that keep state and read no register: those that may stand in an element as well.
pub(super) fn stateful(out: &mut String, e: Expression<'_>, _env: &Env<'_>) -> Option<()> {
    let d = e.data;
    match e.name {
        b"counter" => {
            let (packets, bytes) = counters(d)?;
            let _ = write!(out, "counter packets {packets} bytes {bytes}");
        }
        b"limit" => {
            out.push_str("limit ");
            limit(out, d)?;
        }
        b"quota" => {
            out.push_str("quota ");
            quota(out, d)?;
        }
        b"connlimit" => {
            let over = be32(d, 2).unwrap_or_default() & 1 == 1;
            let over = if over { "over " } else { "" };
            let _ = write!(out, "ct count {over}{}", be32(d, 1)?);
        }
        b"last" => {
            out.push_str("last used ");
            if be32(d, 1).unwrap_or_default() == 0 {
                out.push_str("never");
            } else {
                value::duration(out, find(d, 2)?.be64(0)?);
            }
        }
        _ => return None,
    }
    Some(())
}

/// `rate over 10/minute burst 5 packets`.
pub(super) fn limit(out: &mut String, d: &[u8]) -> Option<()> {
    let rate = find(d, 1)?.be64(0)?;
    let unit = match find(d, 2)?.be64(0)? {
        1 => "second",
        60 => "minute",
        3600 => "hour",
        86400 => "day",
        604_800 => "week",
        _ => return None,
    };
    let burst = be32(d, 3).unwrap_or_default();
    let over = be32(d, 5).unwrap_or_default() & 1 == 1;
    let over = if over { "over " } else { "" };
    if be32(d, 4).unwrap_or_default() == 0 {
        let _ = write!(out, "rate {over}{rate}/{unit}");
        // What nft takes where none is written.
        if burst != 5 {
            let _ = write!(out, " burst {burst} packets");
        }
        return Some(());
    }
    let (n, bytes) = amount(rate);
    let _ = write!(out, "rate {over}{n} {bytes}/{unit}");
    if burst != 0 {
        let (n, bytes) = amount(burst.into());
        let _ = write!(out, " burst {n} {bytes}");
    }
    Some(())
}

/// `over 25 mbytes used 1 kbytes`.
pub(super) fn quota(out: &mut String, d: &[u8]) -> Option<()> {
    if be32(d, 2).unwrap_or_default() & 1 == 1 {
        out.push_str("over ");
    }
    let (n, unit) = amount(find(d, 1)?.be64(0)?);
    let _ = write!(out, "{n} {unit}");
    let used = find(d, 4).and_then(|v| v.be64(0)).unwrap_or_default();
    if used != 0 {
        let (n, unit) = amount(used);
        let _ = write!(out, " used {n} {unit}");
    }
    Some(())
}

/// Bytes in the largest unit that leaves no rest.
fn amount(bytes: u64) -> (u64, &'static str) {
    if bytes != 0 && bytes.is_multiple_of(1 << 20) {
        (bytes >> 20, "mbytes")
    } else if bytes != 0 && bytes.is_multiple_of(1 << 10) {
        (bytes >> 10, "kbytes")
    } else {
        (bytes, "bytes")
    }
}

/// `log prefix "x" group 2 ...`.
fn log(out: &mut String, d: &[u8]) -> Option<()> {
    out.push_str("log");
    if let Some(prefix) = find(d, 2) {
        let prefix = text(prefix);
        if prefix.contains(['"', '\n']) {
            return None;
        }
        let _ = write!(out, " prefix \"{prefix}\"");
    }
    let be16 = |kind| find(d, kind).and_then(|v| v.be16(0));
    if let Some(group) = be16(1) {
        let _ = write!(out, " group {group}");
    }
    if let Some(len) = be32(d, 3).filter(|len| *len != 0) {
        let _ = write!(out, " snaplen {len}");
    }
    if let Some(n) = be16(4).filter(|n| *n != 0) {
        let _ = write!(out, " queue-threshold {n}");
    }
    let levels = [
        "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit",
    ];
    if let Some(level) = be32(d, 5).filter(|level| *level != 4) {
        let _ = write!(out, " level {}", levels.get(usize::try_from(level).ok()?)?);
    }
    let flags = be32(d, 6).unwrap_or_default();
    if flags & 0x2f == 0x2f {
        out.push_str(" flags all");
        return Some(());
    }
    match flags & 3 {
        1 => out.push_str(" flags tcp sequence"),
        2 => out.push_str(" flags tcp options"),
        3 => out.push_str(" flags tcp sequence,options"),
        _ => {}
    }
    for (bit, name) in [(4, "ip options"), (8, "skuid"), (32, "ether")] {
        if flags & bit != 0 {
            let _ = write!(out, " flags {name}");
        }
    }
    Some(())
}

/// `queue flags bypass to 0-3`.
fn queue<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    let be16 = |kind| find(d, kind).and_then(|v| v.be16(0));
    out.push_str("queue");
    match be16(3).unwrap_or_default() & 3 {
        1 => out.push_str(" flags bypass"),
        2 => out.push_str(" flags fanout"),
        3 => out.push_str(" flags bypass,fanout"),
        _ => {}
    }
    out.push_str(" to ");
    if let Some(register) = be32(d, 4) {
        let ex = lift.registers.get(register)?.clone();
        let ex = lift.settle(ex);
        let number = Ex::words("", super::datatype::integer(16, true), 16);
        return lift.beside(out, &ex, &number);
    }
    let (first, count) = (be16(1)?, be16(2).unwrap_or(1));
    let _ = match count {
        0 | 1 => write!(out, "{first}"),
        n => write!(out, "{first}-{}", first.saturating_add(n - 1)),
    };
    Some(())
}

/// `reject with icmp port-unreachable`.
fn reject(lift: &mut Lift<'_>, out: &mut String, d: &[u8]) -> Option<()> {
    out.push_str("reject");
    let code = find(d, 2).and_then(|v| v.u8(0)).unwrap_or_default();
    let number = u128::from(code);
    let family = lift.env.family;
    match be32(d, 1)? {
        0 => {
            use nfwhy_parsers::nft::fields::Header;
            let v6 = match family {
                2 => false,
                10 => true,
                _ => match lift.protocols.network {
                    Some(Header::Ip) => false,
                    Some(Header::Ip6) => true,
                    _ => return None,
                },
            };
            // In these families the answer says the packet's own.
            if matches!(family, 1 | 5 | 7) {
                let network = if v6 { Header::Ip6 } else { Header::Ip };
                lift.imply_network(network);
            }
            let (name, ty, usual) = if v6 {
                ("icmpv6", Type::Icmp6Code, 4)
            } else {
                ("icmp", Type::IcmpCode, 3)
            };
            if matches!(family, 2 | 10) && code == usual {
                return Some(());
            }
            let _ = write!(out, " with {name} ");
            value::print(out, number, ty, lift.env.devices);
        }
        1 => {
            // The words ask for TCP themselves.
            if matches!(family, 2 | 10) {
                lift.imply_tcp();
            }
            out.push_str(" with tcp reset");
        }
        2 if code == 1 => {}
        2 => {
            out.push_str(" with icmpx ");
            value::print(out, number, Type::IcmpxCode, lift.env.devices);
        }
        _ => return None,
    }
    Some(())
}

/// `add @set { KEY timeout 1m STATEMENTS : DATA }`.
fn dynset<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    let name = text(find(d, 1)?);
    let set: &'a Set<'a> = lift.env.sets.get(name.as_ref())?;
    let op = match be32(d, 3)? {
        0 => "add",
        1 => "update",
        2 => "delete",
        _ => return None,
    };
    let key = lift.registers.key(be32(d, 4)?, set.key_len)?;
    let key = lift.settle(key);
    let _ = write!(out, "{op} @{name} {{ ");
    put(out, &key, lift.env)?;
    if let Some(ms) = find(d, 6).and_then(|v| v.be64(0)).filter(|ms| *ms != 0) {
        out.push_str(" timeout ");
        value::duration(out, ms);
    }
    let one = find(d, 7).and_then(super::read::expression);
    for e in one.into_iter().chain(list(find(d, 10).unwrap_or_default())) {
        out.push(' ');
        stateful(out, e, lift.env)?;
    }
    if let Some(register) = be32(d, 5) {
        let data = lift.registers.key(register, set.data_len)?;
        let data = lift.settle(data);
        out.push_str(" : ");
        let parts = super::elements::of_type(set.data_type?, set.data_len, None)?;
        match (&data.kind, data.bytes()) {
            (_, Some(v)) => super::elements::parts_text(out, v, None, &parts, lift.env)?,
            (Kind::Concat(all), _) => {
                for (i, (ex, part)) in all.iter().zip(&parts).enumerate() {
                    if i > 0 {
                        out.push_str(" . ");
                    }
                    match ex.bytes() {
                        Some(v) => value::one(out, v, part.reads, lift.env.devices)?,
                        None => put(out, ex, lift.env)?,
                    }
                }
            }
            _ => put(out, &data, lift.env)?,
        }
    }
    out.push_str(" }");
    Some(())
}

/// An object by its name, or the one that a map gives.
fn object<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    let named = find(d, 2);
    let set: Option<&'a Set<'a>> =
        find(d, 4).and_then(|name| lift.env.sets.get(text(name).as_ref()).copied());
    let kind = match set {
        Some(set) => set.object_type?,
        None => be32(d, 1)?,
    };
    let before = match kind {
        1 => "counter name ",
        2 => "quota name ",
        3 => "ct helper set ",
        4 => "limit name ",
        7 => "ct timeout set ",
        8 => "meta secmark set ",
        9 => "ct expectation set ",
        10 => "synproxy name ",
        _ => return None,
    };
    out.push_str(before);
    match (set, named) {
        (Some(set), _) => {
            let key = lift.registers.key(be32(d, 3)?, set.key_len)?;
            let key = lift.settle(key);
            put(out, &key, lift.env)?;
            out.push_str(" map ");
            set_text(out, set, &key, lift.env)
        }
        (None, Some(name)) => {
            let _ = write!(out, "\"{}\"", text(name));
            Some(())
        }
        _ => None,
    }
}
