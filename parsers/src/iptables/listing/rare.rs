//! What the rarer matches print, and those that are only kept.

use super::cursor::{Cur, addresses, byte, dscp, masked, number, range};
use super::kept;
use super::matches::{Read, neg_mark};
use super::names;
use super::rebuilt::{bpf, policy, string, time};
use super::targets::byte_mask;
use crate::common::{Neg, Text};
use crate::iptables::matches::{Connlimit, Hashlimit, IpvsMatch, Match, PacketType, TtlMatch};
use std::fmt::Write as _;

/// Reads the match `cur` stands at, if it is one of these.
pub(super) fn parse(cur: Cur<'_>) -> Read<'_> {
    let (not, after) = cur.bang();
    let (word, rest) = after.word()?;
    match word {
        "#conn" => connlimit(rest),
        _ if word.starts_with("#conn/") => connlimit(after.prefix("#conn")?),
        "quota:" => {
            let (value, rest) = rest.word()?;
            let value = value.parse().ok()?;
            Some((Match::Quota(Neg { not, value }), rest.eat("bytes")?))
        }
        "policy" => policy(rest.eat("match")?),
        "esp" => {
            let (spis, rest) = spis(rest)?;
            Some((Match::Esp(spis), rest))
        }
        "ah" => ah(rest),
        "match" => bpf(rest.eat("bpf")?),
        "u32" => {
            let (not, rest) = rest.bang();
            let (text, rest) = rest.quoted()?;
            let value = Text::Borrowed(text);
            Some((Match::U32(Neg { not, value }), rest))
        }
        "STRING" => string(rest.eat("match")?),
        "length" => {
            let (value, rest) = rest.neg(|t| range(t, ':', |n| n.parse().ok()))?;
            Some((Match::Length(value), rest))
        }
        "DSCP" => {
            let (value, rest) = rest.eat("match")?.neg(dscp)?;
            Some((Match::Dscp(value), rest))
        }
        // The value sticks to the word (`tos_mt_print` in extensions/libxt_tos.c).
        "tos" => {
            let (value, rest) = rest
                .prefix("match")?
                .neg(|t| names::tos(t).or_else(|| byte_mask(t)))?;
            Some((Match::Tos(value), rest))
        }
        "TTL" => ttl(rest.eat_all("match TTL")?),
        "HL" => ttl(rest.eat_all("match HL")?),
        "source" | "destination" => iprange(after),
        "MAC" => {
            let (value, rest) = rest.neg(mac)?;
            Some((Match::Mac(value), rest))
        }
        "PKTTYPE" => pkttype(rest),
        "TIME" => time(rest),
        "helper" => {
            let (not, rest) = rest.eat("match")?.bang();
            let (name, rest) = rest.quoted()?;
            let value = Text::Borrowed(name);
            Some((Match::Helper(Neg { not, value }), rest))
        }
        "cpu" => {
            let (value, rest) = rest.neg(number)?;
            Some((Match::Cpu(value), rest))
        }
        "src-group" | "dst-group" => devgroup(cur),
        "realm" => {
            let (value, rest) = neg_mark(rest)?;
            let not = not != value.not;
            let value = value.value;
            Some((Match::Realm(Neg { not, value }), rest))
        }
        "ipvs" | "vproto" | "vaddr" | "vport" | "vdir" | "vmethod" | "vportctl" => ipvs(cur),
        "nfacct-name" => {
            let (name, rest) = rest.word()?;
            Some((Match::Nfacct(Text::Borrowed(name.trim_matches('"'))), rest))
        }
        _ => kept::parse(not, word, rest),
    }
}

/// `src/24 <= 10`; older versions print `/24 < 10` for the same.
fn connlimit(cur: Cur<'_>) -> Read<'_> {
    let (side, cur) = cur.word()?;
    let (side, mask) = side.split_once('/')?;
    let (how, cur) = cur.word()?;
    let (limit, rest) = cur.word()?;
    let upto = match how {
        ">" => false,
        "<=" | "<" => true,
        _ => return None,
    };
    let value = Connlimit {
        upto,
        limit: limit.parse().ok()?,
        mask: mask.parse().ok()?,
        daddr: match side {
            "src" | "" => false,
            "dst" => true,
            _ => return None,
        },
    };
    Some((Match::Connlimit(value), rest))
}

/// After `limit:`; the name is not printed (`hashlimit_mt_print` in `extensions/libxt_hashlimit.c`).
pub(super) fn hashlimit(cur: Cur<'_>) -> Read<'_> {
    let (upto, cur) = if let Some(cur) = cur.eat_all("up to") {
        (true, cur)
    } else if let Some(cur) = cur.eat("above") {
        (false, cur)
    } else {
        (true, cur.eat("avg")?)
    };
    let (rate, mut cur) = cur.word()?;
    let mut burst = None;
    if let Some((value, rest)) = cur.eat("burst").and_then(Cur::word) {
        burst = Some(Text::Borrowed(value));
        cur = rest;
    }
    let mut others = String::new();
    while let Some((key, mut rest)) = cur.word() {
        let value = match key {
            "rate-match" => None,
            "mode" | "htable-size" | "htable-max" | "htable-gcinterval" | "htable-expire"
            | "srcmask" | "dstmask" | "rate-interval" => {
                let (value, after) = rest.word()?;
                rest = after;
                Some(value)
            }
            _ => break,
        };
        if !others.is_empty() {
            others.push(' ');
        }
        let _ = write!(others, "--hashlimit-{key}");
        if let Some(value) = value {
            let value = value.replace('-', ",");
            let _ = write!(others, " {value}");
        }
        cur = rest;
    }
    let value = Hashlimit {
        upto,
        rate: Text::Borrowed(rate),
        burst,
        name: Text::Borrowed(""),
        rest: others.into(),
    };
    Some((Match::Hashlimit(Box::new(value)), cur))
}

/// `spi:N`, `spis:!A:B`.
fn spis(cur: Cur<'_>) -> Option<(Neg<crate::common::Range<u32>>, Cur<'_>)> {
    let cur = cur.prefix("spi")?;
    let text = cur
        .0
        .strip_prefix("s:")
        .or_else(|| cur.0.strip_prefix(':'))?;
    Cur(text).neg(|t| range(t, ':', number))
}

/// IPv6 prints `length:` without a space before it (`ah_print` in `extensions/libip6t_ah.c`).
fn ah(cur: Cur<'_>) -> Read<'_> {
    if let Some((spis, rest)) = spis(cur) {
        return Some((Match::Ah(spis), rest));
    }
    let mut args = String::new();
    let mut cur = cur;
    while let Some((mut word, rest)) = cur.word() {
        if !["spi", "length:", "reserved"]
            .iter()
            .any(|known| word.starts_with(known))
        {
            break;
        }
        if let Some(at) = word.find("length:").filter(|at| *at > 0) {
            kept::option(&mut args, "ahspi", word.get(..at)?)?;
            word = word.get(at..)?;
        }
        if word == "reserved" {
            kept::option(&mut args, "ahres", ":")?;
        } else if word.starts_with("length:") {
            kept::option(&mut args, "ahlen", word)?;
        } else {
            kept::option(&mut args, "ahspi", word)?;
        }
        cur = rest;
    }
    (!args.is_empty()).then_some((kept::opaque("ah", args), cur))
}

fn ttl(cur: Cur<'_>) -> Read<'_> {
    let (how, cur) = cur.word()?;
    let (value, rest) = cur.word()?;
    let value = byte(value)?;
    let value = match how {
        "==" => TtlMatch::Eq(value),
        "!=" => TtlMatch::Ne(value),
        "<" => TtlMatch::Lt(value),
        ">" => TtlMatch::Gt(value),
        _ => return None,
    };
    Some((Match::Ttl(value), rest))
}

fn iprange(start: Cur<'_>) -> Read<'_> {
    let (mut src, mut dst) = (None, None);
    let mut cur = start;
    loop {
        let (source, after) = if let Some(after) = cur.eat_all("source IP range") {
            (true, after)
        } else if let Some(after) = cur.eat_all("destination IP range") {
            (false, after)
        } else {
            break;
        };
        // The source is printed first: after a destination it belongs to the next match.
        if dst.is_some() || source && src.is_some() {
            break;
        }
        let (value, rest) = after.neg(addresses)?;
        if source {
            src = Some(value);
        } else {
            dst = Some(value);
        }
        cur = rest;
    }
    (src.is_some() || dst.is_some()).then_some((Match::Iprange { src, dst }, cur))
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut out {
        let part = parts.next().filter(|p| p.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(out)
}

fn pkttype(cur: Cur<'_>) -> Read<'_> {
    let (how, cur) = cur.word()?;
    let (ty, rest) = cur.word()?;
    let not = match how {
        "=" => false,
        "!=" => true,
        _ => return None,
    };
    let value = match ty {
        "unicast" => PacketType::Unicast,
        "broadcast" => PacketType::Broadcast,
        "multicast" => PacketType::Multicast,
        _ => return None,
    };
    Some((Match::Pkttype(Neg { not, value }), rest))
}

fn devgroup(start: Cur<'_>) -> Read<'_> {
    let (mut src, mut dst) = (None, None);
    let mut cur = start;
    loop {
        let (not, after) = cur.bang();
        let (slot, after) = if let Some(after) = after.eat("src-group") {
            (&mut src, after)
        } else if let Some(after) = after.eat("dst-group") {
            (&mut dst, after)
        } else {
            break;
        };
        if slot.is_some() {
            break;
        }
        let (value, rest) = neg_mark(after)?;
        *slot = Some(Neg {
            not: not != value.not,
            value: value.value,
        });
        cur = rest;
    }
    (src.is_some() || dst.is_some()).then_some((Match::Devgroup { src, dst }, cur))
}

/// A run of `[!] KEY VALUE` (`ipvs_mt_dump` in `extensions/libxt_ipvs.c`); `vdir` is negated like the rest.
fn ipvs(start: Cur<'_>) -> Read<'_> {
    let mut value = IpvsMatch::default();
    let mut cur = start;
    loop {
        let (not, after) = cur.bang();
        let Some((key, after)) = after.word() else {
            break;
        };
        if key == "ipvs" && value.ipvs.is_none() {
            value.ipvs = Some(Neg { not, value: () });
            cur = after;
            continue;
        }
        let Some((text, rest)) = after.word() else {
            break;
        };
        match key {
            "vproto" if value.vproto.is_none() => {
                let text = names::protocol(text)?;
                value.vproto = Some(Neg { not, value: text });
            }
            "vaddr" if value.vaddr.is_none() => {
                let text = masked(text)?;
                value.vaddr = Some(Neg { not, value: text });
            }
            "vport" if value.vport.is_none() => {
                let text = names::port(text)?;
                value.vport = Some(Neg { not, value: text });
            }
            "vdir" if value.vdir_original.is_none() => {
                let original = match text {
                    "ORIGINAL" => true,
                    "REPLY" => false,
                    _ => return None,
                };
                let value_of = Neg {
                    not,
                    value: original,
                };
                value.vdir_original = Some(value_of);
            }
            "vmethod" if value.vmethod.is_none() => {
                let text = Text::Borrowed(text);
                value.vmethod = Some(Neg { not, value: text });
            }
            "vportctl" if value.vportctl.is_none() => {
                let text = names::port(text)?;
                value.vportctl = Some(Neg { not, value: text });
            }
            _ => break,
        }
        cur = rest;
    }
    (value != IpvsMatch::default()).then(|| (Match::Ipvs(Box::new(value)), cur))
}
