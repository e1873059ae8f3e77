//! Programs, payload, time, processor and the like.

use super::super::words::{Words, dec, text};
use crate::capture::live::attr::Numbers as _;

/// `struct xt_bpf_info` and `struct xt_bpf_info_v1`
pub(super) fn bpf(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let (len, program) = match revision {
        0 => (b.u16(0)?, b.get(4..)?),
        1 => match b.u16(0)? {
            0 => (b.u16(2)?, b.get(8..)?),
            1 => {
                w.raw("--object-pinned");
                w.word(&text(b.get(8..520)?));
                return Some(());
            }
            _ => return None,
        },
        _ => return None,
    };
    w.raw("--bytecode");
    w.out.push_str(" \"");
    dec(w.out, len.into());
    for i in 0..usize::from(len) {
        let instruction = program.get(8 * i..8 * i + 8)?;
        w.out.push(',');
        dec(w.out, instruction.u16(0)?.into());
        w.num(instruction.u8(2)?);
        w.num(instruction.u8(3)?);
        w.num(instruction.u32(4)?);
    }
    w.out.push('"');
    Some(())
}

/// `struct xt_cgroup_info_v0`, `v1` and `v2`
pub(super) fn cgroup(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let (path, class) = match revision {
        0 => {
            w.value(b.u32(4)? != 0, "--cgroup", b.u32(0)?);
            return Some(());
        }
        1 => (b.get(4..4100)?, b.u32(4100)?),
        2 => (b.get(4..516)?, b.u32(4)?),
        _ => return None,
    };
    if b.u8(0)? != 0 {
        w.option(b.u8(2)? != 0, "--path");
        w.quoted(&text(path));
    }
    if b.u8(1)? != 0 {
        w.value(b.u8(3)? != 0, "--cgroup", class);
    }
    Some(())
}

/// `struct xt_cpu_info`
pub(super) fn cpu(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.value(b.u32(4)? != 0, "--cpu", b.u32(0)?);
    Some(())
}

/// `struct xt_osf_info`
pub(super) fn osf(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let flags = b.u32(36)?;
    w.option(flags & 8 != 0, "--genre");
    w.word(&text(b.get(..32)?));
    if flags & 2 != 0 {
        w.value(false, "--ttl", b.u32(44)?);
    }
    if flags & 4 != 0 {
        w.value(false, "--log", b.u32(40)?);
    }
    Some(())
}

/// `struct xt_string_info`
pub(super) fn string(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let flags = b.u8(149)?;
    let pattern = b.get(20..148)?.get(..usize::from(b.u8(148)?))?;
    let printable = |c: &u8| (0x20..0x7f).contains(c);
    // Revision 0 has nothing but this flag, as a byte that is not 0.
    let not = if revision == 0 {
        flags != 0
    } else {
        flags & 1 != 0
    };
    if pattern.iter().all(printable) && pattern.last() != Some(&b'\\') {
        w.option(not, "--string");
        w.out.push_str(" \"");
        for c in pattern {
            if matches!(c, b'"' | b'\\') {
                w.out.push('\\');
            }
            w.out.push(char::from(*c));
        }
        w.out.push('"');
    } else {
        w.option(not, "--hex-string");
        w.out.push_str(" \"|");
        for c in pattern {
            for nibble in [c >> 4, c & 0xf] {
                w.out
                    .push(char::from_digit(nibble.into(), 16).unwrap_or('?'));
            }
        }
        w.out.push_str("|\"");
    }
    w.raw("--algo");
    w.word(&text(b.get(4..20)?));
    let (from, to) = (b.u16(0)?, b.u16(2)?);
    if from != 0 {
        w.value(false, "--from", from);
    }
    if to != u16::MAX {
        w.value(false, "--to", to);
    }
    w.switch(revision > 0 && flags & 2 != 0, "--icase");
    Some(())
}

const DAYS: &[(&str, u32)] = &[
    ("Mon", 1 << 1),
    ("Tue", 1 << 2),
    ("Wed", 1 << 3),
    ("Thu", 1 << 4),
    ("Fri", 1 << 5),
    ("Sat", 1 << 6),
    ("Sun", 1 << 7),
];

/// `struct xt_time_info`
pub(super) fn time(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (start, stop) = (b.u32(8)?, b.u32(12)?);
    if (start, stop) != (0, 86_399) {
        for (name, at) in [("--timestart", start), ("--timestop", stop)] {
            w.raw(name);
            clock(w, at);
        }
    }
    let (month, week, flags) = (b.u32(16)?, b.u8(20)?, b.u8(21)?);
    if month != 0xffff_fffe {
        w.raw("--monthdays");
        let mut between = ' ';
        for day in (1..=31).filter(|day| month >> day & 1 != 0) {
            w.out.push(between);
            dec(w.out, day);
            between = ',';
        }
    }
    if week != 0xfe {
        w.raw("--weekdays");
        w.bits(week.into(), DAYS, "");
    }
    for (name, at) in [("--datestart", b.u32(0)?), ("--datestop", b.u32(4)?)] {
        if at != 0 {
            w.raw(name);
            date(w, at);
        }
    }
    w.switch(flags & 1 != 0, "--kerneltz");
    w.switch(flags & 2 != 0, "--contiguous");
    Some(())
}

/// ` 08:30:00`
fn clock(w: &mut Words<'_>, seconds: u32) {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    w.formatted(format_args!("{h:02}:{m:02}:{s:02}"));
}

/// ` 2026-11-22T10:00:00` from seconds since 1970.
fn date(w: &mut Words<'_>, seconds: u32) {
    let leap =
        |year: u32| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut days, time) = (seconds / 86400, seconds % 86400);
    let mut year = 1970;
    while days >= 365 + u32::from(leap(year)) {
        days -= 365 + u32::from(leap(year));
        year += 1;
    }
    let february = 28 + u32::from(leap(year));
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    let day = days + 1;
    let (h, m, s) = (time / 3600, time / 60 % 60, time % 60);
    w.formatted(format_args!(
        "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}"
    ));
}

/// `struct xt_u32`: up to 11 tests of 180 bytes, each of up to 11 places and 11 ranges of values.
pub(super) fn u32(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    const TEST: usize = 180;
    let (tests, not) = (b.u8(1980)?, b.u8(1981)? != 0);
    w.option(not, "--u32");
    w.out.push_str(" \"");
    for i in 0..usize::from(tests) {
        let test = b.get(..1980)?.get(TEST * i..TEST * (i + 1))?;
        if i > 0 {
            w.out.push_str("&&");
        }
        let (places, values) = test.split_at_checked(88)?;
        for place in 0..usize::from(test.u8(176)?) {
            let at = places.get(8 * place..8 * place + 8)?;
            if place > 0 {
                w.out
                    .push_str(["&", "<<", ">>", "@"].get(usize::from(at.u8(4)?))?);
            }
            w.plain_hex(at.u32(0)?);
        }
        w.out.push('=');
        for value in 0..usize::from(test.u8(177)?) {
            let at = values.get(..88)?.get(8 * value..8 * value + 8)?;
            if value > 0 {
                w.out.push(',');
            }
            let (lo, hi) = (at.u32(0)?, at.u32(4)?);
            w.plain_hex(lo);
            if lo != hi {
                w.out.push(':');
                w.plain_hex(hi);
            }
        }
    }
    w.out.push('"');
    Some(())
}
