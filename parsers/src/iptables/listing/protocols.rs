//! What the matches of the transport protocols print.

use super::cursor::{Cur, byte, number, range};
use super::matches::Read;
use super::names;
use crate::common::{Neg, Range, Text};
use crate::iptables::matches::{ByteMask, IcmpType, Match, Ports, Sctp, Tcp};

/// `spt:N`, `dpts:!A:B` (`print_ports` in `extensions/libxt_tcp.c`); names without `-n`.
fn port_item<'a>(cur: Cur<'a>, side: &str) -> Option<(Neg<Range<u16>>, Cur<'a>)> {
    let cur = cur.prefix(side)?;
    let cur = cur
        .0
        .strip_prefix("s:")
        .or_else(|| cur.0.strip_prefix(':'))?;
    Cur(cur).neg(|text| range(text, ':', names::port))
}

pub(super) fn ports(cur: Cur<'_>) -> (Ports, Cur<'_>) {
    let mut ports = Ports::default();
    let mut cur = cur;
    if let Some((item, rest)) = port_item(cur, "spt") {
        ports.sport = Some(item);
        cur = rest;
    }
    if let Some((item, rest)) = port_item(cur, "dpt") {
        ports.dport = Some(item);
        cur = rest;
    }
    (ports, cur)
}

pub(super) fn tcp(cur: Cur<'_>) -> Read<'_> {
    let (ports, mut cur) = ports(cur);
    let mut tcp = Tcp {
        sport: ports.sport,
        dport: ports.dport,
        ..Tcp::default()
    };
    if let Some(after) = cur.prefix("option=") {
        let (option, rest) = after.neg(byte)?;
        tcp.option = Some(option);
        cur = rest;
    }
    if let Some(after) = cur.prefix("flags:") {
        let (flags, rest) = after.neg(tcp_flags)?;
        tcp.flags = Some(flags);
        cur = rest;
    }
    Some((Match::Tcp(tcp), cur))
}

/// `MASK/COMP` in hexadecimal, or comma lists of names without `-n`.
fn tcp_flags(text: &str) -> Option<ByteMask> {
    let bits = |text: &str| -> Option<u8> {
        if text.starts_with("0x") {
            return byte(text);
        }
        text.split(',').try_fold(0, |bits, name| {
            Some(
                bits | match name {
                    "FIN" => 0x01,
                    "SYN" => 0x02,
                    "RST" => 0x04,
                    "PSH" => 0x08,
                    "ACK" => 0x10,
                    "URG" => 0x20,
                    "ALL" => 0x3f,
                    "NONE" => 0,
                    _ => return None,
                },
            )
        })
    };
    let (mask, value) = text.split_once('/')?;
    Some(ByteMask {
        value: bits(value)?,
        mask: bits(mask)?,
    })
}

/// Chunks are printed as `0x0000:Be` with `-n` (`print_chunk` in `extensions/libxt_sctp.c`).
pub(super) fn sctp(cur: Cur<'_>) -> (Match<'_>, Cur<'_>) {
    let (ports, cur) = ports(cur);
    let chunks = || -> Option<(Neg<Text<'_>>, Cur<'_>)> {
        let (how, rest) = cur.neg_word()?;
        if !matches!(how.value, "any" | "all" | "only") {
            return None;
        }
        let (list, rest) = rest.word()?;
        let mut names = Vec::new();
        for chunk in list.split(',') {
            let (code, flags) = match chunk.split_once(':') {
                Some((code, flags)) => (code, format!(":{flags}")),
                None => (chunk, String::new()),
            };
            let name = number(code).and_then(names::sctp_chunk);
            names.push(format!("{}{flags}", name.unwrap_or(code)));
        }
        let value = format!("{} {}", how.value, names.join(",")).into();
        let not = how.not;
        Some((Neg { not, value }, rest))
    };
    match chunks() {
        Some((chunks, rest)) => {
            let chunks = Some(chunks);
            (Match::Sctp(Sctp { ports, chunks }), rest)
        }
        None => (
            Match::Sctp(Sctp {
                ports,
                chunks: None,
            }),
            cur,
        ),
    }
}

pub(super) fn dccp(cur: Cur<'_>) -> (Match<'_>, Cur<'_>) {
    let (ports, mut cur) = ports(cur);
    let mut text = String::new();
    if let Some((types, rest)) = cur.neg_word() {
        let mut names: Vec<&str> = Vec::new();
        let known = types.value.split(',').all(|ty| {
            let name = match ty.parse() {
                Ok(number) => names::dccp_type(number),
                Err(_) => (0..=10)
                    .filter_map(names::dccp_type)
                    .find(|name| *name == ty),
            };
            match name {
                // All types above 9 are one name.
                Some(name) if names.last() != Some(&name) => names.push(name),
                Some(_) => {}
                None => return false,
            }
            true
        });
        if known {
            let not = if types.not { "! " } else { "" };
            text = format!("{not}--dccp-types {}", names.join(","));
            cur = rest;
        }
    }
    if let Some((option, rest)) = cur.prefix("option=").and_then(Cur::neg_word) {
        let not = if option.not { "! " } else { "" };
        let space = if text.is_empty() { "" } else { " " };
        text = format!("{text}{space}{not}--dccp-option {}", option.value);
        cur = rest;
    }
    let text = (!text.is_empty()).then(|| text.into());
    (Match::Dccp(ports, text), cur)
}

/// After `icmp`: `type 3 code 4`, ` !type 3`, or a name without `-n` (`print_icmptype` in `extensions/libipt_icmp.c`).
pub(super) fn icmp(cur: Cur<'_>, v6: bool) -> Option<(Neg<IcmpType>, Cur<'_>)> {
    let (not, cur) = cur.bang();
    let (word, mut rest) = cur.word()?;
    if word != "type" {
        let value = names::icmp_type(v6, word)?;
        return Some((Neg { not, value }, rest));
    }
    let (ty, after) = rest.word()?;
    rest = after;
    let mut codes = names::ICMP_ANY.codes;
    if let Some((code, after)) = rest.eat("code").and_then(Cur::word) {
        codes = range(code, '-', |c| c.parse().ok())?;
        rest = after;
    } else if let Some((list, after)) = rest.eat("codes").and_then(Cur::word) {
        codes = range(list, '-', |c| c.parse().ok())?;
        rest = after;
    }
    let ty: u8 = ty.parse().ok()?;
    let value = if ty == 255 && !v6 {
        names::ICMP_ANY
    } else {
        IcmpType {
            ty: Some(ty),
            codes,
        }
    };
    Some((Neg { not, value }, rest))
}
