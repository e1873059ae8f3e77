//! Counters, quotas and other objects of a table.

use super::keys::be32;
use super::read::{Object, counters, text};
use super::{stmt, value};
use crate::capture::live::attr::{Numbers as _, attrs, find};
use nfwhy_parsers::common::Proto;
use std::fmt::Write as _;

/// `NFT_OBJECT_*` as nft calls them.
pub(super) fn kind(number: u32) -> &'static str {
    match number {
        1 => "counter",
        2 => "quota",
        3 => "ct helper",
        4 => "limit",
        6 => "tunnel",
        7 => "ct timeout",
        8 => "secmark",
        9 => "ct expectation",
        10 => "synproxy",
        _ => "unknown",
    }
}

/// What stands between its braces.
pub(super) fn body(out: &mut String, o: &Object<'_>) {
    let mut text = String::new();
    let said = match o.kind {
        1 => counter(&mut text, o.data),
        2 => line(&mut text, |t| stmt::quota(t, o.data)),
        3 => helper(&mut text, o.data),
        4 => line(&mut text, |t| stmt::limit(t, o.data)),
        7 => timeout(&mut text, o.data),
        8 => secmark(&mut text, o.data),
        9 => expectation(&mut text, o.data),
        10 => synproxy(&mut text, o.data),
        _ => None,
    };
    if said.is_some() {
        out.push_str(&text);
    }
}

fn line(out: &mut String, text: impl FnOnce(&mut String) -> Option<()>) -> Option<()> {
    out.push_str("\t\t");
    text(out)?;
    out.push('\n');
    Some(())
}

fn counter(out: &mut String, d: &[u8]) -> Option<()> {
    let (packets, bytes) = counters(d)?;
    let _ = writeln!(out, "\t\tpackets {packets} bytes {bytes}");
    Some(())
}

fn family(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    })
}

fn helper(out: &mut String, d: &[u8]) -> Option<()> {
    let name = text(find(d, 1)?);
    let l4 = Proto(find(d, 3)?.u8(0)?);
    let _ = writeln!(out, "\t\ttype \"{name}\" protocol {l4}");
    let l3 = find(d, 2).and_then(|v| v.be16(0)).and_then(family);
    let _ = writeln!(out, "\t\tl3proto {}", l3?);
    Some(())
}

/// States of a protocol by the number of their attribute (`enum ctattr_timeout_tcp`, `enum ctattr_timeout_udp`), and nft's names.
const TCP: &[&str] = &[
    "syn_sent",
    "syn_recv",
    "established",
    "fin_wait",
    "close_wait",
    "last_ack",
    "time_wait",
    "close",
    "syn_sent2",
    "retrans",
    "unack",
];
const UDP: &[&str] = &["unreplied", "replied"];

fn timeout(out: &mut String, d: &[u8]) -> Option<()> {
    let l4 = Proto(find(d, 2)?.u8(0)?);
    let l3 = find(d, 1).and_then(|v| v.be16(0)).and_then(family)?;
    let _ = writeln!(out, "\t\tprotocol {l4}\n\t\tl3proto {l3}");
    let names = match l4.0 {
        6 => TCP,
        17 => UDP,
        _ => return Some(()),
    };
    let mut words = Vec::new();
    for (state, v) in attrs(find(d, 3)?) {
        let name = names.get(usize::from(state).checked_sub(1)?)?;
        words.push(format!("{name} : {}", v.be32(0)?));
    }
    let _ = writeln!(out, "\t\tpolicy = {{ {} }}", words.join(", "));
    Some(())
}

fn secmark(out: &mut String, d: &[u8]) -> Option<()> {
    let _ = writeln!(out, "\t\t\"{}\"", text(find(d, 1)?));
    Some(())
}

fn expectation(out: &mut String, d: &[u8]) -> Option<()> {
    let l4 = Proto(find(d, 2)?.u8(0)?);
    let port = find(d, 3)?.be16(0)?;
    let _ = write!(out, "\t\tprotocol {l4}\n\t\tdport {port}\n\t\ttimeout ");
    value::duration(out, find(d, 4)?.u32(0)?.into());
    let size = find(d, 5)?.u8(0)?;
    let l3 = find(d, 1).and_then(|v| v.be16(0)).and_then(family)?;
    let _ = writeln!(out, "\n\t\tsize {size}\n\t\tl3proto {l3}");
    Some(())
}

fn synproxy(out: &mut String, d: &[u8]) -> Option<()> {
    let flags = be32(d, 3)?;
    if flags & 1 != 0 {
        let _ = writeln!(out, "\t\tmss {}", find(d, 1)?.be16(0)?);
    }
    if flags & 2 != 0 {
        let _ = writeln!(out, "\t\twscale {}", find(d, 2)?.u8(0)?);
    }
    let rest = stmt::synproxy(flags).trim_start();
    if !rest.is_empty() {
        let _ = writeln!(out, "\t\t{rest}");
    }
    Some(())
}
