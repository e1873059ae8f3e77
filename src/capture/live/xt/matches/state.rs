//! What remembers earlier packets, and what draws a number.

use super::super::words::{Words, dec, text};
use crate::capture::live::attr::Numbers as _;

/// `struct xt_statistic_info`
pub(super) fn statistic(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (mode, not) = (b.u16(0)?, b.u16(2)? & 1 != 0);
    match mode {
        0 => {
            w.raw("--mode random");
            w.option(not, "--probability");
            // Eleven digits of a fraction of 2^31.
            let parts = u64::from(b.u32(4)?);
            let digits = (u128::from(parts) * 100_000_000_000 + (1 << 30)) >> 31;
            let digits = u64::try_from(digits).ok()?;
            w.num(digits / 100_000_000_000);
            w.out.push('.');
            let rest = digits % 100_000_000_000;
            let len = if rest == 0 { 1 } else { rest.ilog10() + 1 };
            for _ in len..11 {
                w.out.push('0');
            }
            dec(w.out, rest);
        }
        1 => {
            w.raw("--mode nth");
            w.value(not, "--every", u64::from(b.u32(4)?) + 1);
            w.value(false, "--packet", b.u32(8)?);
        }
        _ => return None,
    }
    Some(())
}

/// `struct xt_recent_mtinfo` and `struct xt_recent_mtinfo_v1`
pub(super) fn recent(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    if revision > 1 {
        return None;
    }
    let (seconds, hits, what) = (b.u32(0)?, b.u32(4)?, b.u8(8)?);
    w.option(
        b.u8(9)? != 0,
        match what & 0xf {
            1 => "--rcheck",
            2 => "--set",
            4 => "--update",
            8 => "--remove",
            _ => return None,
        },
    );
    if seconds != 0 {
        w.value(false, "--seconds", seconds);
    }
    w.switch(what & 0x20 != 0, "--reap");
    if hits != 0 {
        w.value(false, "--hitcount", hits);
    }
    w.switch(what & 0x10 != 0, "--rttl");
    w.raw("--name");
    w.word(&text(b.get(10..210)?));
    if revision == 1 {
        w.raw("--mask ");
        w.addr(b.get(212..)?)?;
    }
    match b.u8(210)? {
        0 => w.raw("--rsource"),
        1 => w.raw("--rdest"),
        _ => {}
    }
    Some(())
}

/// A rate as so many a second, minute, hour or day; it is kept as the time between two packets, `scale` to the second. Gives the unit
/// in seconds.
fn rate(w: &mut Words<'_>, period: u64, scale: u64) -> u64 {
    const UNITS: [(&str, u64); 4] = [("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1)];
    if period == 0 {
        w.raw("inf");
        return 0;
    }
    // The last unit of which there is a whole number, or nearly.
    let fits = |unit: u64| {
        let whole = unit * scale;
        period <= whole && whole / period >= whole % period
    };
    let (mut name, mut unit) = ("day", 86400);
    for (next, seconds) in UNITS.into_iter().skip(1) {
        if !fits(seconds) {
            break;
        }
        (name, unit) = (next, seconds);
    }
    w.num(unit * scale / period);
    w.out.push('/');
    w.out.push_str(name);
    unit
}

/// `struct xt_rateinfo`
pub(super) fn limit(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    limited(w, b.u32(0)?.into(), b.u32(4)?);
    Some(())
}

/// ` --limit 5/min --limit-burst 2`; 5 is the burst that is not printed.
pub(in crate::capture::live) fn limited(w: &mut Words<'_>, average: u64, burst: u32) {
    w.raw("--limit");
    rate(w, average, 10_000);
    if burst != 5 {
        w.value(false, "--limit-burst", burst);
    }
}

/// `struct xt_hashlimit_mtinfo1`, `2` and `3`
pub(super) fn hashlimit(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let name = text(b.get(..if revision == 1 { 16 } else { 255 })?);
    let (average, burst, at): (u64, u64, usize) = if revision == 1 {
        (b.u32(20)?.into(), b.u32(24)?.into(), 28)
    } else {
        (b.u64(256)?, b.u64(264)?, 276)
    };
    let mode = b.u32(if revision == 1 { 16 } else { 272 })?;
    let (size, most, interval, expire) =
        (b.u32(at)?, b.u32(at + 4)?, b.u32(at + 8)?, b.u32(at + 12)?);
    let masks = if revision == 3 { 296 } else { at + 16 };
    let (source, dest) = (b.u8(masks)?, b.u8(masks + 1)?);
    w.raw(if mode & 0x10 != 0 {
        "--hashlimit-above"
    } else {
        "--hashlimit-upto"
    });
    let usual_expiry = if mode & 0x20 != 0 {
        byte_rate(w, average, burst)
    } else {
        let scale = if revision == 1 { 10_000 } else { 1_000_000 };
        let unit = rate(w, average, scale);
        w.value(false, "--hashlimit-burst", burst);
        unit * 1000
    };
    if mode & 0xf != 0 {
        w.raw("--hashlimit-mode");
        let names = [("srcip", 4), ("srcport", 8), ("dstip", 1), ("dstport", 2)];
        w.bits(mode, &names, "");
    }
    w.raw("--hashlimit-name");
    w.word(&name);
    for (name, value, usual) in [
        ("--hashlimit-htable-size", size, 0),
        ("--hashlimit-htable-max", most, 0),
        ("--hashlimit-htable-gcinterval", interval, 1000),
        ("--hashlimit-htable-expire", expire, usual_expiry),
    ] {
        if u64::from(value) != usual {
            w.value(false, name, value);
        }
    }
    let bits = w.family.bits();
    for (name, value) in [
        ("--hashlimit-srcmask", source),
        ("--hashlimit-dstmask", dest),
    ] {
        if value != bits {
            w.value(false, name, value);
        }
    }
    if revision == 3 && mode & 0x40 != 0 {
        w.raw("--hashlimit-rate-match");
        let interval = b.u32(292)?;
        if interval != 1 {
            w.value(false, "--hashlimit-rate-interval", interval);
        }
    }
    Some(())
}

/// A rate of bytes: the cost of 16 of them is a part of 2^32 (`cost_to_bytes` in `libxt_hashlimit.c`). Gives the usual expiry.
fn byte_rate(w: &mut Words<'_>, cost: u64, burst: u64) -> u64 {
    const UNITS: [(&str, u64); 3] = [("m", 1 << 20), ("k", 1 << 10), ("", 1)];
    let all = u64::from(u32::MAX);
    let rate = all.checked_div(cost).unwrap_or(all).wrapping_sub(1) << 4;
    let cost_of = |bytes: u64| {
        let sixteens = (bytes >> 4) & all;
        all.checked_div(sixteens.wrapping_add(1) & all)
    };
    let exact = |unit: u64| rate >= unit && cost_of(rate & !(unit - 1)) == Some(cost);
    let (name, unit) = UNITS
        .into_iter()
        .find(|(_, unit)| exact(*unit))
        .unwrap_or(("", 1));
    w.num(rate / unit);
    w.out.push_str(name);
    w.out.push_str("b/s");
    if burst == 0 {
        return 15_000;
    }
    let bytes = rate.wrapping_mul(burst);
    let (name, unit) = UNITS
        .into_iter()
        .find(|(_, unit)| bytes >= *unit)
        .unwrap_or(("", 1));
    w.value(false, "--hashlimit-burst", bytes / unit);
    w.out.push_str(name);
    w.out.push('b');
    60_000
}

/// `struct xt_quota_info`
pub(super) fn quota(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.value(b.u32(0)? & 1 != 0, "--quota", b.u64(8)?);
    Some(())
}

/// `struct xt_rateest_match_info`
pub(super) fn rateest(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let flags = b.u16(32)?;
    let (relative, delta) = (flags & 4 != 0, flags & 8 != 0);
    w.switch(delta, "--rateest-delta");
    w.raw(if relative { "--rateest1" } else { "--rateest" });
    w.word(&text(b.get(..16)?));
    let mode = match b.u16(34)? {
        1 => "--rateest-eq",
        2 => "--rateest-lt",
        3 => "--rateest-gt",
        _ => return None,
    };
    for (bit, one, two, plain, at) in [
        (
            0x10,
            "--rateest-bps1",
            "--rateest-bps2",
            "--rateest-bps",
            36,
        ),
        (
            0x20,
            "--rateest-pps1",
            "--rateest-pps2",
            "--rateest-pps",
            40,
        ),
    ] {
        if flags & bit == 0 {
            continue;
        }
        let (first, second) = (b.u32(at)?, b.u32(at + 8)?);
        let bytes = bit == 0x10;
        if delta {
            w.raw(one);
            estimated(w, first, bytes);
        }
        w.option(flags & 1 != 0, mode);
        w.raw(if delta { two } else { plain });
        // XT_RATEEST_MATCH_ABS
        if flags & 2 != 0 || delta {
            estimated(w, second, bytes);
        }
    }
    if relative {
        w.raw("--rateest2");
        w.word(&text(b.get(16..32)?));
    }
    Some(())
}

/// Packets as a number, bytes as bits (`rateest_print_rate` in `libxt_rateest.c`).
fn estimated(w: &mut Words<'_>, rate: u32, bytes: bool) {
    let bits = f64::from(rate) * 8.0;
    if !bytes {
        w.num(rate);
    } else if bits >= 1e9 {
        w.formatted(format_args!("{:.0}Mbit", bits / 1e6));
    } else if bits >= 1e6 {
        w.formatted(format_args!("{:.0}Kbit", bits / 1e3));
    } else {
        w.formatted(format_args!("{bits:.0}bit"));
    }
}
