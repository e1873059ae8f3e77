//! What changes the packet, its mark, or the mark of its connection.

use super::super::words::{Words, dec};
use crate::capture::live::attr::Numbers as _;

/// `struct xt_connmark_tginfo1` and `struct xt_connmark_tginfo2`
pub(super) fn connmark(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let (mark, ct, nf) = (b.u32(0)?, b.u32(4)?, b.u32(8)?);
    // The second has direction and width of a shift before the mode.
    let mode_at = if revision == 1 { 12 } else { 14 };
    match b.u8(mode_at)? {
        0 => {
            w.raw("--set-xmark");
            w.hex_masked(mark, ct);
        }
        mode @ (1 | 2) => {
            w.raw(if mode == 1 {
                "--save-mark"
            } else {
                "--restore-mark"
            });
            w.raw("--nfmask");
            w.hex(nf);
            w.raw("--ctmask");
            w.hex(ct);
        }
        _ => return None,
    }
    if revision == 2 {
        let shift = b.u8(13)?;
        if shift != 0 {
            let name = ["--left-shift-mark", "--right-shift-mark"].get(usize::from(b.u8(12)?))?;
            w.value(false, name, shift);
        }
    }
    Some(())
}

/// `struct ipt_TTL_info` and `struct ip6t_HL_info`
pub(super) fn ttl(w: &mut Words<'_>, b: &[u8], names: [&str; 3]) -> Option<()> {
    w.value(false, names.get(usize::from(b.u8(0)?))?, b.u8(1)?);
    Some(())
}

/// `struct xt_tcpoptstrip_target_info`
pub(super) fn tcpoptstrip(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let map = b.get(..32)?;
    if map.iter().all(|byte| *byte == 0) {
        return Some(());
    }
    w.raw("--strip-options");
    let mut between = ' ';
    for option in 0..=u8::MAX {
        let word = map.u32(usize::from(option / 32) * 4)?;
        if word >> (option % 32) & 1 != 0 {
            w.out.push(between);
            dec(w.out, option.into());
            between = ',';
        }
    }
    Some(())
}

/// `struct ipt_ECN_info`
pub(super) fn ecn(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (what, ect) = (b.u8(0)?, b.u8(1)?);
    let bits = b.u8(2)?;
    let bits = if cfg!(target_endian = "big") {
        bits.reverse_bits()
    } else {
        bits
    };
    let (ece, cwr) = (bits & 1, bits >> 1 & 1);
    if what == 0x30 && ece == 0 && cwr == 0 {
        w.raw("--ecn-tcp-remove");
        return Some(());
    }
    for (bit, name, value) in [
        (0x10, "--ecn-tcp-ece", ece),
        (0x20, "--ecn-tcp-cwr", cwr),
        (1, "--ecn-ip-ect", ect),
    ] {
        if what & bit != 0 {
            w.value(false, name, value);
        }
    }
    Some(())
}

/// `struct xt_hmark_info`
pub(super) fn hmark(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let flags = b.u32(40)?;
    for (bit, name, at) in [(0, "--hmark-src-prefix", 0), (1, "--hmark-dst-prefix", 16)] {
        if flags >> bit & 1 != 0 {
            w.value(false, name, w.prefix_len(b.get(at..at + 16)?)?);
        }
    }
    for (bit, name, value, digits) in [
        (6, "--hmark-sport-mask", b.be16(32)?.into(), 4),
        (7, "--hmark-dport-mask", b.be16(34)?.into(), 4),
        (3, "--hmark-spi-mask", b.be32(32)?, 8),
        (4, "--hmark-sport", b.be16(36)?.into(), 4),
        (5, "--hmark-dport", b.be16(38)?.into(), 4),
        (2, "--hmark-spi", b.be32(36)?, 8),
        (8, "--hmark-proto-mask", b.u16(44)?.into(), 2),
        (9, "--hmark-rnd", b.u32(48)?, 8),
    ] {
        if flags >> bit & 1 != 0 {
            w.raw(name);
            w.formatted(format_args!("0x{value:0digits$x}"));
        }
    }
    for (bit, name, at) in [(10, "--hmark-mod", 52), (11, "--hmark-offset", 56)] {
        if flags >> bit & 1 != 0 {
            w.value(false, name, b.u32(at)?);
        }
    }
    w.switch(flags >> 12 & 1 != 0, "--hmark-tuple ct");
    Some(())
}
