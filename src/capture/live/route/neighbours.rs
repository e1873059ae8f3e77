//! `ip neigh`: `print_neigh` in iproute2 ip/ipneigh.c.

use super::super::attr::Numbers as _;
use super::dump::Message;
use super::names::Names;
use super::text::{Attributes, Devices, hardware, host};
use std::fmt::Write as _;

/// `RTM_NEWNEIGH`.
const NEWNEIGH: u16 = 28;
/// `struct ndmsg`.
const HEADER: usize = 12;
/// `NTF_*` of linux/neighbour.h.
const PROXY: u8 = 0x8;
const EXT_LEARNED: u8 = 0x10;
const OFFLOADED: u8 = 0x20;
const ROUTER: u8 = 0x80;
/// `NTF_EXT_MANAGED`.
const EXT_MANAGED: u32 = 1;
/// `NUD_*`, in the order in which they are printed.
const STATES: [(u16, &str); 8] = [
    (0x1, "INCOMPLETE "),
    (0x2, "REACHABLE "),
    (0x4, "STALE "),
    (0x8, "DELAY "),
    (0x10, "PROBE "),
    (0x20, "FAILED "),
    (0x40, "NOARP "),
    (0x80, "PERMANENT "),
];
/// What `ip neigh` leaves out unless asked for: NOARP.
const SHOWN: u16 = 0xff & !0x40;

/// The entries of a dump that `ip neigh` shows.
pub(crate) fn print(messages: &[Message], devices: &Devices, names: &Names) -> String {
    let mut out = String::with_capacity(messages.len() * 70);
    for m in messages.iter().filter(|m| m.kind == NEWNEIGH) {
        neighbour(&mut out, &m.payload, devices, names);
    }
    out
}

fn neighbour(out: &mut String, payload: &[u8], devices: &Devices, names: &Names) -> Option<()> {
    let (family, index) = (payload.u8(0)?, payload.u32(4)?);
    let (state, flags) = (payload.u16(8)?, payload.u8(10)?);
    let tb = Attributes::<16>::of(payload.get(HEADER..)?);
    if state & SHOWN == 0 && flags & (PROXY | EXT_LEARNED) == 0 {
        return None;
    }
    if let Some(a) = tb.get(1) {
        let _ = write!(out, "{} ", host(family, a));
    }
    if index != 0 {
        let _ = write!(out, "dev {} ", devices.name(index));
    }
    if let Some(a) = tb.get(2) {
        out.push_str("lladdr ");
        hardware(out, a, devices.0.get(&index).map_or(0xffff, |d| d.kind));
        out.push(' ');
    }
    let managed = tb.u32(15).unwrap_or(0) & EXT_MANAGED != 0;
    for (on, word) in [
        (flags & ROUTER != 0, "router "),
        (flags & PROXY != 0, "proxy "),
        (managed, "managed "),
        (flags & EXT_LEARNED != 0, "extern_learn "),
        (flags & OFFLOADED != 0, "offload "),
    ] {
        if on {
            out.push_str(word);
        }
    }
    for (bit, word) in STATES {
        if state & bit != 0 {
            out.push_str(word);
        }
    }
    if let Some(p) = tb.u8(12).filter(|p| *p != 0) {
        let _ = write!(out, "proto {} ", names.protocol(p));
    }
    out.push('\n');
    Some(())
}
