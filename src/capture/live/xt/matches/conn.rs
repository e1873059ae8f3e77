//! Connections.

use super::super::words::{Words, dec, text};
use crate::capture::live::attr::Numbers as _;

/// `struct xt_mark_mtinfo1` and `struct xt_connmark_mtinfo1`
pub(super) fn mark(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let not = b.u8(8)? != 0;
    w.option(not, "--mark");
    w.mark(b.u32(0)?, b.u32(4)?);
    Some(())
}

/// In the order in which they are printed.
const STATES: &[(&str, u32)] = &[
    ("INVALID", 1),
    ("NEW", 8),
    ("RELATED", 4),
    ("ESTABLISHED", 2),
    ("UNTRACKED", 0x100),
    ("SNAT", 0x40),
    ("DNAT", 0x80),
];

const STATUSES: &[(&str, u32)] = &[
    ("EXPECTED", 1),
    ("SEEN_REPLY", 2),
    ("ASSURED", 4),
    ("CONFIRMED", 8),
];

/// `XT_CONNTRACK_STATE_ALIAS`
const ALIAS: u16 = 1 << 13;

/// `struct xt_conntrack_mtinfo1`, `2` and `3`: the first has 8-bit states, only the last has ranges of ports, in the machine's order.
pub(super) fn conntrack(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let (tested, inverted) = (b.u16(146)?, b.u16(148)?);
    let alias = tested & ALIAS != 0;
    w.out
        .push_str(if alias { " -m state" } else { " -m conntrack" });
    let (states, statuses) = if revision == 1 {
        (b.u8(150)?.into(), b.u8(151)?.into())
    } else {
        (b.u16(150)?, b.u16(152)?)
    };
    let not = |bit: u16| inverted & bit != 0;
    if tested & 1 != 0 {
        w.option(not(1), if alias { "--state" } else { "--ctstate" });
        w.bits(states.into(), STATES, "INVALID");
    }
    if tested & 2 != 0 {
        w.value(not(2), "--ctproto", b.u16(136)?);
    }
    for (bit, name, at) in [
        (4, "--ctorigsrc", 0),
        (8, "--ctorigdst", 32),
        (0x10, "--ctreplsrc", 64),
        (0x20, "--ctrepldst", 96),
    ] {
        if tested & bit != 0 {
            w.option(not(bit), name);
            w.short_net(b.get(at..at + 16)?, b.get(at + 16..at + 32)?)?;
        }
    }
    for (bit, name, at, high) in [
        (0x100, "--ctorigsrcport", 138, 154),
        (0x200, "--ctorigdstport", 140, 156),
        (0x400, "--ctreplsrcport", 142, 158),
        (0x800, "--ctrepldstport", 144, 160),
    ] {
        if tested & bit != 0 {
            let (lo, hi) = if revision == 3 {
                (b.u16(at)?, b.u16(high)?)
            } else {
                (b.be16(at)?, 0)
            };
            w.option(not(bit), name);
            w.range(lo, if hi == 0 { lo } else { hi }, ':');
        }
    }
    if tested & 0x40 != 0 {
        w.option(not(0x40), "--ctstatus");
        w.bits(statuses.into(), STATUSES, "NONE");
    }
    if tested & 0x80 != 0 {
        w.option(not(0x80), "--ctexpire");
        w.range(b.u32(128)?, b.u32(132)?, ':');
    }
    if tested & 0x1000 != 0 {
        w.raw("--ctdir");
        w.raw(if not(0x1000) { "REPLY" } else { "ORIGINAL" });
    }
    Some(())
}

/// `struct xt_state_info`
pub(super) fn state(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.raw("--state");
    w.bits(b.u32(0)?, STATES, "INVALID");
    Some(())
}

/// `struct xt_helper_info`
pub(super) fn helper(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u32(0)? != 0, "--helper");
    w.quoted(&text(b.get(4..34)?));
    Some(())
}

/// `struct xt_connbytes_info`: a range that ends before it begins is a negated one.
pub(super) fn connbytes(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (from, to) = (b.u64(0)?, b.u64(8)?);
    let not = from > to;
    let (lo, hi) = if not { (to, from) } else { (from, to) };
    w.option(not, "--connbytes");
    w.num(lo);
    if hi != 0 && hi != u64::MAX {
        w.out.push(':');
        dec(w.out, hi);
    }
    w.raw("--connbytes-mode");
    w.raw(["packets", "bytes", "avgpkt"].get(usize::from(b.u8(16)?))?);
    w.raw("--connbytes-dir");
    w.raw(["original", "reply", "both"].get(usize::from(b.u8(17)?))?);
    Some(())
}

/// `struct xt_connlabel_mtinfo`
pub(super) fn connlabel(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let options = b.u16(2)?;
    w.option(options & 1 != 0, "--label");
    w.out.push_str(" \"");
    dec(w.out, b.u16(0)?.into());
    w.out.push('"');
    w.switch(options & 2 != 0, "--set");
    Some(())
}

/// `struct xt_connlimit_info`
pub(super) fn connlimit(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let flags = b.u32(20)?;
    let upto = flags & 1 != 0;
    w.value(
        false,
        if upto {
            "--connlimit-upto"
        } else {
            "--connlimit-above"
        },
        b.u32(16)?,
    );
    // `count_bits6` adds up what each word begins with.
    let words = if w.is_v6() { 4 } else { 1 };
    let mut len = 0;
    for word in 0..words {
        len += b.be32(4 * word)?.leading_ones();
    }
    w.value(false, "--connlimit-mask", len);
    if revision == 1 {
        w.raw(if flags & 2 != 0 {
            "--connlimit-daddr"
        } else {
            "--connlimit-saddr"
        });
    }
    Some(())
}

/// `struct xt_cluster_match_info`
pub(super) fn cluster(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u32(12)? & 1 != 0, "--cluster-local-nodemask");
    w.formatted(format_args!("{:#010x}", b.u32(4)?));
    w.value(false, "--cluster-total-nodes", b.u32(0)?);
    w.raw("--cluster-hash-seed");
    w.formatted(format_args!("{:#010x}", b.u32(8)?));
    Some(())
}
