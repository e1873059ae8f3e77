//! Addresses, devices, sets and sockets.

use super::super::words::{Words, text};
use crate::capture::live::attr::Numbers as _;
use nfwhy_parsers::Proto;

/// By `RTN_*` number.
const TYPES: &[(&str, u32)] = &[
    ("UNSPEC", 1),
    ("UNICAST", 1 << 1),
    ("LOCAL", 1 << 2),
    ("BROADCAST", 1 << 3),
    ("ANYCAST", 1 << 4),
    ("MULTICAST", 1 << 5),
    ("BLACKHOLE", 1 << 6),
    ("UNREACHABLE", 1 << 7),
    ("PROHIBIT", 1 << 8),
    ("THROW", 1 << 9),
    ("NAT", 1 << 10),
    ("XRESOLVE", 1 << 11),
];

/// `struct xt_addrtype_info` and `struct xt_addrtype_info_v1`
pub(super) fn addrtype(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let (source, dest) = (b.u16(0)?, b.u16(2)?);
    let flags = match revision {
        0 => u32::from(b.u32(4)? != 0) | u32::from(b.u32(8)? != 0) << 1,
        1 => b.u32(4)?,
        _ => return None,
    };
    for (types, bit, name) in [(source, 1, "--src-type"), (dest, 2, "--dst-type")] {
        if types != 0 {
            w.option(flags & bit != 0, name);
            w.bits(types.into(), TYPES, "UNSPEC");
        }
    }
    w.switch(flags & 4 != 0, "--limit-iface-in");
    w.switch(flags & 8 != 0, "--limit-iface-out");
    Some(())
}

/// `struct ipt_iprange_info` and `struct xt_iprange_mtinfo`
pub(super) fn iprange(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let size = match revision {
        0 => 4,
        1 => 16,
        _ => return None,
    };
    let flags = b.u8(4 * size)?;
    for (bit, inverted, name, at) in [
        (1, 0x10, "--src-range", 0),
        (2, 0x20, "--dst-range", 2 * size),
    ] {
        if flags & bit != 0 {
            w.option(flags & inverted != 0, name);
            w.out.push(' ');
            w.addr(b.get(at..)?)?;
            w.out.push('-');
            w.addr(b.get(at + size..)?)?;
        }
    }
    Some(())
}

/// A set's name and its dimensions.
fn name_of_set(w: &mut Words<'_>, index: u16, dims: impl Iterator<Item = bool>) -> Option<()> {
    let mut name = String::new();
    w.sets.append(index, &mut name)?;
    w.word(&name);
    let mut between = ' ';
    for source in dims {
        w.out.push(between);
        w.out.push_str(if source { "src" } else { "dst" });
        between = ',';
    }
    Some(())
}

/// `struct xt_set_info`: index, dimensions, a bit for each that is a source, counted from 1.
pub(in super::super) fn set_info(w: &mut Words<'_>, name: &str, not: bool, b: &[u8]) -> Option<()> {
    let (index, dim, flags) = (b.u16(0)?, b.u8(2)?, b.u8(3)?);
    w.option(not, name);
    let dims = (1..=dim.min(6)).map(|i| flags >> i & 1 != 0);
    name_of_set(w, index, dims)
}

/// `struct xt_set_info_v0`: index, and a word of flags for each dimension.
pub(in super::super) fn set_info_v0(
    w: &mut Words<'_>,
    name: &str,
    not: bool,
    b: &[u8],
) -> Option<()> {
    w.option(not, name);
    let flags: Vec<u32> = (0..6).map_while(|i| b.u32(4 + 4 * i)).collect();
    let dims = flags.iter().take_while(|f| **f != 0).map(|f| f & 1 != 0);
    name_of_set(w, b.u16(0)?, dims)
}

/// `struct xt_set_info_match_v0`, `v1` (of revisions 1 and 2), `v3` and `v4`
pub(super) fn set(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    if revision == 0 {
        return set_info_v0(w, "--match-set", b.u32(4)? & 4 != 0, b);
    }
    if revision > 4 {
        return None;
    }
    let own = b.u8(3)?;
    set_info(w, "--match-set", own & 1 != 0, b)?;
    if revision < 3 {
        w.switch(revision == 2 && own & 0x80 != 0, "--return-nomatch");
        return Some(());
    }
    let flags = b.u32(40)?;
    w.switch(flags & 1 << 7 != 0, "--return-nomatch");
    w.switch(flags & 1 << 3 != 0, "! --update-counters");
    w.switch(flags & 1 << 4 != 0, "! --update-subcounters");
    // `struct ip_set_counter_match0` has the operator first.
    let (value_at, op_at) = if revision == 3 { (8, 0) } else { (0, 8) };
    for (at, eq, lt, gt) in [
        (8, "--packets-eq", "--packets-lt", "--packets-gt"),
        (24, "--bytes-eq", "--bytes-lt", "--bytes-gt"),
    ] {
        let (not, name) = match b.u8(at + op_at)? {
            0 => continue,
            1 => (false, eq),
            2 => (true, eq),
            3 => (false, lt),
            4 => (false, gt),
            _ => return None,
        };
        w.value(not, name, b.u64(at + value_at)?);
    }
    Some(())
}

/// `struct xt_owner_match_info`
pub(super) fn owner(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (tested, inverted) = (b.u8(16)?, b.u8(17)?);
    if tested & 4 != 0 {
        w.option(inverted & 4 != 0, "--socket-exists");
    }
    for (bit, name, at) in [(1, "--uid-owner", 0), (2, "--gid-owner", 8)] {
        if tested & bit != 0 {
            w.option(inverted & bit != 0, name);
            w.range(b.u32(at)?, b.u32(at + 4)?, '-');
        }
    }
    if tested & 8 != 0 {
        w.option(inverted & 8 != 0, "--suppl-groups");
    }
    Some(())
}

/// `struct xt_physdev_info`
pub(super) fn physdev(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (inverted, tested) = (b.u8(64)?, b.u8(65)?);
    for (bit, name, device) in [
        (8, "--physdev-is-in", None),
        (1, "--physdev-in", Some(0)),
        (0x10, "--physdev-is-out", None),
        (2, "--physdev-out", Some(32)),
        (4, "--physdev-is-bridged", None),
    ] {
        if tested & bit == 0 {
            continue;
        }
        w.option(inverted & bit != 0, name);
        if let Some(at) = device {
            w.word(&text(b.get(at..at + 16)?));
        }
    }
    Some(())
}

/// `struct xt_rpfilter_info`
pub(super) fn rpfilter(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let flags = b.u8(0)?;
    w.switch(flags & 1 != 0, "--loose");
    w.switch(flags & 2 != 0, "--validmark");
    w.switch(flags & 4 != 0, "--accept-local");
    w.switch(flags & 8 != 0, "--invert");
    Some(())
}

/// `struct xt_devgroup_info`
pub(super) fn devgroup(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let flags = b.u32(0)?;
    for (bit, name, at) in [(1, "--src-group", 4), (4, "--dst-group", 12)] {
        if flags & bit != 0 {
            w.option(flags & bit << 1 != 0, name);
            w.mark(b.u32(at)?, b.u32(at + 4)?);
        }
    }
    Some(())
}

/// `struct xt_realm_info`
pub(super) fn realm(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u8(8)? != 0, "--realm");
    w.mark(b.u32(0)?, b.u32(4)?);
    Some(())
}

/// A byte of bit fields, the first field in the lowest bit.
fn fields(byte: u8) -> u8 {
    if cfg!(target_endian = "big") {
        byte.reverse_bits()
    } else {
        byte
    }
}

/// `struct xt_policy_info`
pub(super) fn policy(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    const ELEMENT: usize = 76;
    let (flags, len) = (b.u16(304)?, b.u16(306)?);
    w.raw("--dir");
    w.raw(if flags & 1 != 0 { "in" } else { "out" });
    w.raw("--pol");
    w.raw(if flags & 4 != 0 { "none" } else { "ipsec" });
    w.switch(flags & 8 != 0, "--strict");
    for i in 0..usize::from(len) {
        w.switch(i > 0, "--next");
        policy_element(w, b.get(..304)?.get(i * ELEMENT..(i + 1) * ELEMENT)?)?;
    }
    Some(())
}

/// `struct xt_policy_elem`
fn policy_element(w: &mut Words<'_>, e: &[u8]) -> Option<()> {
    let (tested, inverted) = (fields(e.u8(74)?), fields(e.u8(75)?));
    let not = |bit: u8| inverted & bit != 0;
    if tested & 0x20 != 0 {
        w.value(not(0x20), "--reqid", e.u32(68)?);
    }
    if tested & 0x10 != 0 {
        w.option(not(0x10), "--spi");
        w.hex(e.u32(64)?);
    }
    if tested & 4 != 0 {
        w.option(not(4), "--proto");
        w.protocol(Proto(e.u8(72)?));
    }
    if tested & 8 != 0 {
        w.option(not(8), "--mode");
        w.raw(["transport", "tunnel"].get(usize::from(e.u8(73)?))?);
    }
    for (bit, name, at) in [(2, "--tunnel-dst", 32), (1, "--tunnel-src", 0)] {
        if tested & bit != 0 {
            w.option(not(bit), name);
            w.short_net(e.get(at..at + 16)?, e.get(at + 16..at + 32)?)?;
        }
    }
    Some(())
}

/// `struct xt_socket_mtinfo1`, `2` and `3`; revision 0 has none.
pub(super) fn socket(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let flags = match revision {
        0 => 0,
        1..=3 => b.u8(0)?,
        _ => return None,
    };
    w.switch(flags & 1 != 0, "--transparent");
    w.switch(flags & 2 != 0, "--nowildcard");
    w.switch(flags & 4 != 0, "--restore-skmark");
    Some(())
}

/// `struct xt_ipvs_mtinfo`
pub(super) fn ipvs(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (inverted, tested) = (b.u8(38)?, b.u8(39)?);
    let not = |bit: u8| inverted & bit != 0;
    // All others imply it.
    if tested == 1 {
        w.option(not(1), "--ipvs");
    }
    if tested & 2 != 0 {
        w.value(not(2), "--vproto", b.u8(34)?);
    }
    if tested & 4 != 0 {
        w.option(not(4), "--vaddr");
        w.short_net(b.get(..16)?, b.get(16..32)?)?;
    }
    if tested & 8 != 0 {
        w.value(not(8), "--vport", b.be16(32)?);
    }
    if tested & 0x10 != 0 {
        w.raw("--vdir");
        w.raw(if not(0x10) { "REPLY" } else { "ORIGINAL" });
    }
    if tested & 0x20 != 0 {
        w.option(not(0x20), "--vmethod");
        w.raw(match b.u8(35)? {
            0 => "MASQ",
            2 => "IPIP",
            3 => "GATE",
            _ => return None,
        });
    }
    if tested & 0x40 != 0 {
        w.value(not(0x40), "--vportctl", b.be16(36)?);
    }
    Some(())
}
