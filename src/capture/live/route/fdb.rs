//! `bridge fdb show`: `print_fdb` in iproute2 bridge/fdb.c.

use super::super::attr::Numbers as _;
use super::dump::Message;
use super::text::{AF_INET, AF_INET6, Attributes, Devices, hardware, host};
use std::fmt::Write as _;

/// `RTM_NEWNEIGH`.
const NEWNEIGH: u16 = 28;
/// `struct ndmsg`.
const HEADER: usize = 12;
/// Of `ndm_family`.
pub(super) const AF_BRIDGE: u8 = 7;

/// The entries of a dump.
pub(crate) fn print(messages: &[Message], devices: &Devices) -> String {
    let mut out = String::with_capacity(messages.len() * 60);
    for m in messages.iter().filter(|m| m.kind == NEWNEIGH) {
        entry(&mut out, &m.payload, devices);
    }
    out
}

fn entry(out: &mut String, payload: &[u8], devices: &Devices) -> Option<()> {
    let (family, index) = (payload.u8(0)?, payload.u32(4)?);
    let (state, flags) = (payload.u16(8)?, payload.u8(10)?);
    if family != AF_BRIDGE {
        return None;
    }
    let tb = Attributes::<16>::of(payload.get(HEADER..)?);
    if let Some(a) = tb.get(2) {
        hardware(out, a, devices.0.get(&index).map_or(0xffff, |d| d.kind));
        out.push(' ');
    }
    if index != 0 {
        let _ = write!(out, "dev {} ", devices.name(index));
    }
    if let Some(a) = tb.get(1) {
        let family = if a.len() == 16 { AF_INET6 } else { AF_INET };
        let _ = write!(out, "dst {} ", host(family, a));
    }
    if let Some(n) = tb.u16(5).filter(|n| *n != 0) {
        let _ = write!(out, "vlan {n} ");
    }
    // Of all numbers this one is in the network's order.
    if let Some(n) = tb.u16(6) {
        let _ = write!(out, "port {} ", u16::from_be(n));
    }
    for (attr, word) in [(7, "vni"), (11, "src_vni")] {
        if let Some(n) = tb.u32(attr) {
            let _ = write!(out, "{word} {n} ");
        }
    }
    let elsewhere = tb.u32(10);
    if let Some(n) = tb.u32(8) {
        if elsewhere.is_some() {
            let _ = write!(out, "via ifindex {n} ");
        } else {
            let _ = write!(out, "via {} ", devices.name(n));
        }
    }
    for (n, word) in [(tb.u32(13), "nhid"), (elsewhere, "link-netnsid")] {
        if let Some(n) = n {
            let _ = write!(out, "{word} {n} ");
        }
    }
    let locked = tb.u32(15).unwrap_or(0) & 2 != 0;
    // `NTF_*`, in the order in which they are printed.
    for (on, word) in [
        (flags & 0x2 != 0, "self "),
        (flags & 0x80 != 0, "router "),
        (flags & 0x10 != 0, "extern_learn "),
        (flags & 0x20 != 0, "offload "),
        (flags & 0x4 != 0, "master "),
        (flags & 0x40 != 0, "sticky "),
        (locked, "locked "),
    ] {
        if on {
            out.push_str(word);
        }
    }
    if let Some(n) = tb.u32(9) {
        let _ = write!(out, "master {} ", devices.name(n));
    }
    // `state_n2a`: the first of these.
    match state {
        s if s & 0x80 != 0 => out.push_str("permanent"),
        s if s & 0x40 != 0 => out.push_str("static"),
        s if s & 0x4 != 0 => out.push_str("stale"),
        s if s & 0x2 != 0 => {}
        s => {
            let _ = write!(out, "state={s:#x}");
        }
    }
    out.push('\n');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Message, NEWNEIGH, print};
    use crate::capture::live::route::Devices;

    /// Of Linux 6.18, beside what `bridge fdb show` of iproute2 6.1 printed, with devices by number.
    const ENTRIES: &[(&str, &str)] = &[
        (
            "0700000002000000c00002010a000200020000000006000008000d000a00000014000300000000000d0000000d00000000000000",
            "02:00:00:00:00:06 dev if2 nhid 10 self permanent\n",
        ),
        (
            "0700000002000000c00012010a0002000200000000030000080001000a00000214000300000000000e0000000e00000000000000",
            "02:00:00:00:00:03 dev if2 dst 10.0.0.2 self extern_learn permanent\n",
        ),
        (
            "0700000002000000c00002010a0002000000000000000000080001000a0000031400030000000000020000000e00000000000000",
            "00:00:00:00:00:00 dev if2 dst 10.0.0.3 self permanent\n",
        ),
        (
            "0700000002000000c00002010a0002000200000000020000080001000a0000020600060012b60000080007000c000000080008000700000014000300000000000e0000000e00000000000000",
            "02:00:00:00:00:02 dev if2 dst 10.0.0.2 port 4790 vni 12 via if7 self permanent\n",
        ),
        (
            "0700000007000000800000000a0002007ac06bd8bc2d0000080009000500000008000f00000000001400030000000000100000001000000000000000",
            "7a:c0:6b:d8:bc:2d dev if7 master if5 permanent\n",
        ),
    ];

    fn message(hex: &str) -> Message {
        let digit = |i: usize| {
            hex.get(i..i + 2)
                .and_then(|d| u8::from_str_radix(d, 16).ok())
        };
        Message {
            kind: NEWNEIGH,
            payload: (0..hex.len()).step_by(2).filter_map(digit).collect(),
        }
    }

    #[test]
    fn entries_are_printed_as_bridge_prints_them() {
        for (hex, text) in ENTRIES {
            assert_eq!(print(&[message(hex)], &Devices::default()), *text);
        }
    }

    #[test]
    fn entries_that_are_cut_anywhere_print_something_or_nothing() {
        for (hex, _) in ENTRIES {
            for end in 0..hex.len() / 2 {
                let mut m = message(hex);
                m.payload.truncate(end);
                let text = print(&[m], &Devices::default());
                assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
            }
        }
    }
}
