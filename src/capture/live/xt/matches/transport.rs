//! Ports, types and parameter indexes of transport protocols.

use super::super::words::{Words, dec};
use crate::capture::live::attr::Numbers as _;

/// ` --sport 1:2`; nothing where all ports fit.
pub(in crate::capture::live) fn ports(
    w: &mut Words<'_>,
    not: bool,
    name: &str,
    (lo, hi): (u16, u16),
) {
    if (lo, hi) != (0, u16::MAX) || not {
        w.option(not, name);
        w.range(lo, hi, ':');
    }
}

/// The names of TCP's flags, in the order in which they are printed (`print_tcpf` in `libxt_tcp.c`).
const FLAGS: &[(&str, u32)] = &[
    ("FIN", 1),
    ("SYN", 2),
    ("RST", 4),
    ("PSH", 8),
    ("ACK", 16),
    ("URG", 32),
];

/// ` --tcp-flags SYN,ACK SYN`.
pub(in crate::capture::live) fn flags(w: &mut Words<'_>, not: bool, mask: u8, value: u8) {
    w.option(not, "--tcp-flags");
    w.bits(mask.into(), FLAGS, "NONE");
    w.bits(value.into(), FLAGS, "NONE");
}

/// `struct xt_tcp`
pub(super) fn tcp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let inverted = b.u8(11)?;
    ports(w, inverted & 1 != 0, "--sport", (b.u16(0)?, b.u16(2)?));
    ports(w, inverted & 2 != 0, "--dport", (b.u16(4)?, b.u16(6)?));
    let (option, mask, value) = (b.u8(8)?, b.u8(9)?, b.u8(10)?);
    let (not_flags, not_option) = (inverted & 4 != 0, inverted & 8 != 0);
    if option != 0 || not_option {
        w.value(not_option, "--tcp-option", option);
    }
    if mask != 0 || not_flags {
        flags(w, not_flags, mask, value);
    }
    Some(())
}

/// `struct xt_udp`
pub(super) fn udp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let inverted = b.u8(8)?;
    ports(w, inverted & 1 != 0, "--sport", (b.u16(0)?, b.u16(2)?));
    ports(w, inverted & 2 != 0, "--dport", (b.u16(4)?, b.u16(6)?));
    Some(())
}

/// Ports of `struct xt_sctp_info` and `struct xt_dccp_info`.
fn tested_ports(w: &mut Words<'_>, b: &[u8], tested: u32, inverted: u32) -> Option<()> {
    for (bit, name, at) in [(1, "--sport", 4), (2, "--dport", 0)] {
        if tested & bit != 0 {
            w.option(inverted & bit != 0, name);
            w.range(b.u16(at)?, b.u16(at + 2)?, ':');
        }
    }
    Some(())
}

/// Types of SCTP chunks, and the letters of their flags, the highest bit first.
const CHUNKS: &[(&str, u8, &[u8; 8])] = &[
    ("DATA", 0, b"----IUBE"),
    ("INIT", 1, b"--------"),
    ("INIT_ACK", 2, b"--------"),
    ("SACK", 3, b"--------"),
    ("HEARTBEAT", 4, b"--------"),
    ("HEARTBEAT_ACK", 5, b"--------"),
    ("ABORT", 6, b"-------T"),
    ("SHUTDOWN", 7, b"--------"),
    ("SHUTDOWN_ACK", 8, b"--------"),
    ("ERROR", 9, b"--------"),
    ("COOKIE_ECHO", 10, b"--------"),
    ("COOKIE_ACK", 11, b"--------"),
    ("ECN_ECNE", 12, b"--------"),
    ("ECN_CWR", 13, b"--------"),
    ("SHUTDOWN_COMPLETE", 14, b"-------T"),
    ("I_DATA", 64, b"----IUBE"),
    ("ASCONF_ACK", 128, b"--------"),
    ("RE_CONFIG", 130, b"--------"),
    ("PAD", 132, b"--------"),
    ("FORWARD_TSN", 192, b"--------"),
    ("ASCONF", 193, b"--------"),
    ("I_FORWARD_TSN", 194, b"--------"),
];

/// `struct xt_sctp_info`
pub(super) fn sctp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (tested, inverted) = (b.u32(284)?, b.u32(288)?);
    tested_ports(w, b, tested, inverted)?;
    if tested & 4 == 0 {
        return Some(());
    }
    w.option(inverted & 4 != 0, "--chunk-types");
    w.raw(match b.u32(264)? {
        1 => "any",
        2 => "all",
        4 => "only",
        _ => return None,
    });
    let map = b.get(8..264)?;
    if map.iter().all(|byte| *byte == 0) {
        w.raw("NONE");
        return Some(());
    }
    if map.iter().all(|byte| *byte == 0xff) {
        w.raw("ALL");
        return Some(());
    }
    let mut between = ' ';
    for kind in 0..=u8::MAX {
        let word = map.u32(usize::from(kind / 32) * 4)?;
        if word >> (kind % 32) & 1 == 0 {
            continue;
        }
        w.out.push(between);
        between = ',';
        let known = CHUNKS.iter().find(|(_, number, _)| *number == kind);
        let (name, _, letters) = known?;
        w.out.push_str(name);
        chunk_flags(w, b, kind, **letters)?;
    }
    Some(())
}

/// `:Be`: a small letter for a flag that is clear.
fn chunk_flags(w: &mut Words<'_>, b: &[u8], kind: u8, letters: [u8; 8]) -> Option<()> {
    for entry in 0..usize::try_from(b.u32(280)?).ok()?.min(4) {
        let at = 268 + 3 * entry;
        let (of, value, mask) = (b.u8(at)?, b.u8(at + 1)?, b.u8(at + 2)?);
        if of != kind || mask == 0 {
            continue;
        }
        w.out.push(':');
        for (place, letter) in letters.iter().enumerate() {
            let bit = 0x80u8 >> place;
            if mask & bit != 0 {
                let letter = if value & bit != 0 {
                    *letter
                } else {
                    letter.to_ascii_lowercase()
                };
                w.out.push(letter.into());
            }
        }
    }
    Some(())
}

/// By number.
const DCCP: [&str; 11] = [
    "REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC",
    "SYNCACK", "INVALID",
];

/// `struct xt_dccp_info`
pub(super) fn dccp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (tested, inverted) = (b.u16(8)?.into(), b.u16(10)?.into());
    tested_ports(w, b, tested, inverted)?;
    if tested & 4 != 0 {
        let types = b.u16(12)?;
        w.option(inverted & 4 != 0, "--dccp-types");
        let mut between = ' ';
        for (number, name) in DCCP.iter().enumerate() {
            // The types from 10 on, which are all invalid, have one name (`DCCP_PKT_INVALID`).
            let set = if number == 10 {
                types >> 10 != 0
            } else {
                types >> number & 1 != 0
            };
            if set {
                w.out.push(between);
                w.out.push_str(name);
                between = ',';
            }
        }
    }
    if tested & 8 != 0 {
        w.value(inverted & 8 != 0, "--dccp-option", b.u8(14)?);
    }
    Some(())
}

/// `struct xt_multiport` and `struct xt_multiport_v1`
pub(super) fn multiport(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let not = match revision {
        0 => false,
        1 => b.u8(47)? != 0,
        _ => return None,
    };
    w.option(
        not,
        match b.u8(0)? {
            0 => "--sports",
            1 => "--dports",
            2 => "--ports",
            _ => return None,
        },
    );
    let mut between = ' ';
    for i in 0..usize::from(b.u8(1)?) {
        w.out.push(between);
        dec(w.out, b.get(2..32)?.u16(2 * i)?.into());
        // Whether it is the first of a range.
        let first = revision == 1 && b.get(32..47)?.u8(i)? != 0;
        between = if first { ':' } else { ',' };
    }
    Some(())
}

/// `struct ipt_icmp`
pub(super) fn icmp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let any = b.u8(0)? == 0xff;
    w.option(b.u8(3)? & 1 != 0, "--icmp-type");
    if any {
        w.raw("any");
        return Some(());
    }
    icmp_type(w, b)
}

/// `struct ip6t_icmp`
pub(super) fn icmp6(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u8(3)? & 1 != 0, "--icmpv6-type");
    icmp_type(w, b)
}

fn icmp_type(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.num(b.u8(0)?);
    let codes = (b.u8(1)?, b.u8(2)?);
    if codes != (0, 0xff) {
        w.out.push('/');
        dec(w.out, codes.0.into());
    }
    Some(())
}

/// Two 32-bit numbers, and at `inverted` whether the range is inverted.
pub(super) fn spi(w: &mut Words<'_>, b: &[u8], inverted: usize, name: &str) -> Option<()> {
    let (lo, hi) = (b.u32(0)?, b.u32(4)?);
    let not = b.u8(inverted)? & 1 != 0;
    if (lo, hi) != (0, u32::MAX) || not {
        w.option(not, name);
        w.range(lo, hi, ':');
    }
    Some(())
}

/// `struct xt_ipcomp`
pub(super) fn ipcomp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    spi(w, b, 8, "--ipcompspi")?;
    w.switch(b.u8(9)? != 0, "--compres");
    Some(())
}
