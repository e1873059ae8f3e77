//! `ip rule`: `print_rule` in iproute2 ip/iprule.c.

use super::super::attr::Numbers as _;
use super::dump::Message;
use super::names::Names;
use super::routes::type_name;
use super::text::{Attributes, Hex, bits, host, line};
use std::fmt::Write as _;

/// `RTM_NEWRULE`.
const NEWRULE: u16 = 32;
/// `struct fib_rule_hdr`.
const HEADER: usize = 12;

/// `FR_ACT_*` of `linux/fib_rules.h`.
const TO_TABLE: u8 = 1;
const GOTO: u8 = 2;
const NOP: u8 = 3;
/// `FIB_RULE_*` of the same.
const INVERT: u32 = 0x2;
const UNRESOLVED: u32 = 0x4;
const IIF_DETACHED: u32 = 0x8;
const OIF_DETACHED: u32 = 0x10;

/// The rules of a dump.
pub(crate) fn print(messages: &[Message], names: &Names) -> String {
    let mut out = String::with_capacity(messages.len() * 60);
    for m in messages.iter().filter(|m| m.kind == NEWRULE) {
        rule(&mut out, &m.payload, names);
    }
    out
}

fn selector(out: &mut String, family: u8, bytes: Option<&[u8]>, len: u8) {
    match bytes {
        Some(a) => {
            let _ = write!(out, "{}", host(family, a));
            if len != bits(family) {
                let _ = write!(out, "/{len}");
            }
        }
        None if len != 0 => {
            let _ = write!(out, "0/{len}");
        }
        None => out.push_str("all"),
    }
}

/// `struct fib_rule_port_range`, with the mask that newer kernels have beside it.
fn ports(out: &mut String, word: &str, range: Option<&[u8]>, mask: Option<u16>) {
    let Some((start, end)) = range.and_then(|r| Some((r.u16(0)?, r.u16(2)?))) else {
        return;
    };
    let _ = write!(out, " {word} {start}");
    if start != end {
        let _ = write!(out, "-{end}");
    }
    if let Some(mask) = mask.filter(|m| !matches!(*m, 0 | u16::MAX)) {
        let _ = write!(out, "/{mask:#x}");
    }
}

fn rule(out: &mut String, payload: &[u8], names: &Names) -> Option<()> {
    let [family, dst_len, src_len, tos, table, _, _, action] = *payload.first_chunk()?;
    let flags = payload.u32(8)?;
    // `FRA_*`, up to `FRA_SPORT_MASK` and others of newer kernels.
    let tb = Attributes::<40>::of(payload.get(HEADER..)?);
    let table = tb.u32(15).unwrap_or(table.into());
    let _ = write!(out, "{}:\t", tb.u32(6).unwrap_or(0));
    if flags & INVERT != 0 {
        out.push_str("not ");
    }
    out.push_str("from ");
    selector(out, family, tb.get(2), src_len);
    if tb.get(1).is_some() || dst_len != 0 {
        out.push_str(" to ");
        selector(out, family, tb.get(1), dst_len);
    }
    if tos != 0 {
        let _ = write!(out, " tos {}", names.field(tos));
    }
    if tb.get(10).is_some() || tb.get(16).is_some() {
        let _ = write!(out, " fwmark {}", Hex(tb.u32(10).unwrap_or(0).into()));
        if let Some(mask) = tb.u32(16).filter(|m| *m != u32::MAX) {
            let _ = write!(out, "/{}", Hex(mask.into()));
        }
    }
    for (attr, word, detached) in [(3, "iif", IIF_DETACHED), (17, "oif", OIF_DETACHED)] {
        if let Some(name) = tb.get(attr) {
            let _ = write!(out, " {word} {}", line(name));
            if flags & detached != 0 {
                out.push_str(" [detached]");
            }
        }
    }
    if tb.on(19) {
        out.push_str(" lookup [l3mdev-table]");
    }
    if let Some((start, end)) = tb.get(20).and_then(|r| Some((r.u32(0)?, r.u32(4)?))) {
        let _ = write!(out, " uidrange {start}-{end}");
    }
    if let Some(p) = tb.u8(22) {
        let _ = write!(out, " ipproto {}", names.ip_protocol(p));
    }
    ports(out, "sport", tb.get(23), tb.u16(SPORT_MASK));
    ports(out, "dport", tb.get(24), tb.u16(DPORT_MASK));
    if let Some(id) = tb.get(12).and_then(|b| b.be64(0)) {
        let _ = write!(out, " tun_id {id}");
    }
    newer(out, &tb);
    if table != 0 {
        let _ = write!(out, " lookup {}", names.table(table));
        if let Some(n) = tb.u32(14).filter(|n| *n != u32::MAX) {
            let _ = write!(out, " suppress_prefixlength {}", n.cast_signed());
        }
        if let Some(n) = tb.u32(13).filter(|n| *n != u32::MAX) {
            let _ = write!(out, " suppress_ifgroup {}", names.group(n));
        }
    }
    if let Some(flow) = tb.u32(11) {
        let (from, to) = (flow >> 16, flow & 0xffff);
        out.push_str(" realms ");
        if from != 0 {
            let _ = write!(out, "{}/", names.realm(from));
        }
        let _ = write!(out, "{}", names.realm(to));
    }
    match action {
        TO_TABLE => {}
        GOTO => {
            match tb.u32(4) {
                Some(n) => {
                    let _ = write!(out, " goto {n}");
                }
                None => out.push_str(" goto none"),
            }
            if flags & UNRESOLVED != 0 {
                out.push_str(" [unresolved]");
            }
        }
        NOP => out.push_str(" nop"),
        n => {
            let _ = write!(out, " {}", type_name(n));
        }
    }
    if let Some(p) = tb.u8(21).filter(|p| !matches!(p, 0 | 2)) {
        let _ = write!(out, " proto {}", names.protocol(p));
    }
    out.push('\n');
    Some(())
}

const DSCP: u16 = 25;
const FLOWLABEL: u16 = 26;
const FLOWLABEL_MASK: u16 = 27;
const SPORT_MASK: u16 = 28;
const DPORT_MASK: u16 = 29;
const DSCP_MASK: u16 = 30;

/// Selectors that iproute2 6.1 does not know and newer ones print in these words. They are printed: a rule without its selector would be
/// another rule.
fn newer(out: &mut String, tb: &Attributes<'_, 40>) {
    if let Some(dscp) = tb.u8(DSCP) {
        let _ = write!(out, " dscp {dscp}");
        if let Some(mask) = tb.u8(DSCP_MASK).filter(|m| *m != 0x3f) {
            let _ = write!(out, "/{mask:#x}");
        }
    }
    if let Some(label) = tb.get(FLOWLABEL).and_then(|b| b.be32(0)) {
        let _ = write!(out, " flowlabel {label:#x}");
        if let Some(mask) = tb.get(FLOWLABEL_MASK).and_then(|b| b.be32(0)) {
            let _ = write!(out, "/{mask:#x}");
        }
    }
}
