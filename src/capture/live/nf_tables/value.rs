//! Constants, as nft words them by their type.

use super::datatype::Ty;
use nfwhy_parsers::common::Proto;
use nfwhy_parsers::nft::Type;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Names of devices by index.
pub(super) type Devices = HashMap<u32, String>;

/// A number from bytes; `None` for more than 16 of them.
pub(super) fn number(bytes: &[u8], host: bool) -> Option<u128> {
    if bytes.len() > 16 {
        return None;
    }
    let add = |n: u128, b: &u8| n << 8 | u128::from(*b);
    Some(if host && cfg!(target_endian = "little") {
        bytes.iter().rev().fold(0, add)
    } else {
        bytes.iter().fold(0, add)
    })
}

/// How constants beside something are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    /// Their type.
    pub ty: Ty,
    /// How far the bits of interest lie from the lowest one.
    pub shift: u32,
}

impl From<Ty> for Reads {
    fn from(ty: Ty) -> Self {
        Self { ty, shift: 0 }
    }
}

impl Reads {
    fn number(self, bytes: &[u8]) -> Option<u128> {
        Some(
            number(bytes, self.ty.host)?
                .checked_shr(self.shift)
                .unwrap_or(0),
        )
    }
}

/// One constant.
pub(super) fn one(out: &mut String, bytes: &[u8], reads: Reads, devices: &Devices) -> Option<()> {
    if reads.ty.ty == Type::Ifname {
        return string(out, bytes);
    }
    if reads.ty.ty == Type::Time && bytes.len() == 8 {
        date(out, reads.number(bytes)?);
        return Some(());
    }
    print(out, reads.number(bytes)?, reads.ty.ty, devices);
    Some(())
}

/// From one to another.
pub(super) fn range(
    out: &mut String,
    from: &[u8],
    to: &[u8],
    reads: Reads,
    devices: &Devices,
) -> Option<()> {
    if from == to {
        return one(out, from, reads, devices);
    }
    if reads.ty.ty == Type::Ifname {
        return wildcard(out, from, to);
    }
    if reads.ty.ty == Type::Time {
        one(out, from, reads, devices)?;
        out.push('-');
        return one(out, to, reads, devices);
    }
    let (lo, hi) = (reads.number(from)?, reads.number(to)?);
    let bits = reads.ty.ty.bits();
    if matches!(reads.ty.ty, Type::Ipv4Addr | Type::Ipv6Addr)
        && let Some(len) = prefix(lo, hi, bits)
    {
        print(out, lo, reads.ty.ty, devices);
        let _ = write!(out, "/{len}");
        return Some(());
    }
    // The names of constants hold hyphens themselves: nft prints numbers here (`range_expr_print` in nftables `src/expression.c`).
    let ty = match reads.ty.ty {
        ty @ (Type::Ipv4Addr
        | Type::Ipv6Addr
        | Type::EtherAddr
        | Type::Mark
        | Type::Hour
        | Type::Day
        | Type::ClassId
        | Type::IfaceIndex) => ty,
        _ => Type::Integer(128),
    };
    print(out, lo, ty, devices);
    out.push('-');
    print(out, hi, ty, devices);
    Some(())
}

/// The length of the prefix that covers exactly these.
pub(super) fn prefix(lo: u128, hi: u128, bits: u32) -> Option<u32> {
    let differs = lo ^ hi;
    let host = 128 - differs.leading_zeros();
    let ones = if host == 128 {
        u128::MAX
    } else {
        (1 << host) - 1
    };
    (differs == ones && lo & ones == 0)
        .then(|| bits.checked_sub(host))
        .flatten()
}

/// Devices whose names begin alike: every byte behind the beginning goes from 0 to 255.
fn wildcard(out: &mut String, from: &[u8], to: &[u8]) -> Option<()> {
    if from.len() != to.len() {
        return None;
    }
    let same = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let free = |bytes: &[u8], all| {
        bytes
            .get(same..)
            .is_some_and(|b| b.iter().all(|b| *b == all))
    };
    if !free(from, 0) || !free(to, 0xff) {
        return None;
    }
    begins(out, from.get(..same)?)
}

/// `"cali*"`.
pub(super) fn begins(out: &mut String, stem: &[u8]) -> Option<()> {
    quoted(out, stem, "*")
}

/// A name up to its NUL. A star at its end is no wildcard.
fn string(out: &mut String, bytes: &[u8]) -> Option<()> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let name = bytes.get(..end)?;
    match name.strip_suffix(b"*") {
        Some(stem) => quoted(out, stem, "\\*"),
        None => quoted(out, name, ""),
    }
}

/// Text in quotes. nft has no way to write a quote within.
fn quoted(out: &mut String, bytes: &[u8], behind: &str) -> Option<()> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.contains(['"', '\n']) {
        return None;
    }
    let _ = write!(out, "\"{text}{behind}\"");
    Some(())
}

/// A number of this type.
pub(super) fn print(out: &mut String, n: u128, ty: Type, devices: &Devices) {
    let low = u32::try_from(n & u128::from(u32::MAX)).unwrap_or(0);
    let _ = match ty {
        Type::Ipv4Addr => write!(out, "{}", Ipv4Addr::from_bits(low)),
        Type::Ipv6Addr => write!(out, "{}", Ipv6Addr::from_bits(n)),
        Type::EtherAddr => {
            let [_, _, rest @ ..] = u64::try_from(n).unwrap_or(0).to_be_bytes();
            let [a, b, c, d, e, f] = rest;
            write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
        }
        Type::InetProto => match u8::try_from(n) {
            Ok(p) => write!(out, "{}", Proto(p)),
            Err(_) => write!(out, "{n}"),
        },
        Type::Mark => write!(out, "0x{n:08x}"),
        Type::Realm => write!(out, "{n}"),
        Type::IfaceIndex => match devices.get(&low) {
            Some(name) if !name.contains('"') => write!(out, "\"{name}\""),
            _ => write!(out, "{n}"),
        },
        Type::ClassId => match ty.name_of(n) {
            Some(name) => write!(out, "{name}"),
            None => write!(out, "{:x}:{:x}", low >> 16, low & 0xffff),
        },
        Type::Hour => write!(out, "\"{:02}:{:02}:{:02}\"", n / 3600, n / 60 % 60, n % 60),
        Type::Day => match ty.name_of(n) {
            Some(name) => write!(out, "\"{name}\""),
            None => write!(out, "{n}"),
        },
        Type::Time => {
            duration(out, u64::try_from(n).unwrap_or(u64::MAX));
            Ok(())
        }
        Type::CtLabel => {
            let bits = (0..128).filter(|bit| n >> bit & 1 == 1);
            list(out, bits.map(|bit| bit.to_string()));
            Ok(())
        }
        _ if ty.is_bitmask() => {
            flags(out, n, ty);
            Ok(())
        }
        Type::EtherType | Type::FibAddrtype | Type::Dscp => match ty.name_of(n) {
            Some(name) => write!(out, "{name}"),
            None => write!(out, "0x{n:x}"),
        },
        _ => match ty.name_of(n) {
            Some(name) => write!(out, "{name}"),
            None => write!(out, "{n}"),
        },
    };
}

/// `established,related`; `0x0` for none.
fn flags(out: &mut String, n: u128, ty: Type) {
    let mut rest = n;
    let mut words = Vec::new();
    for bit in 0..ty.bits().min(64) {
        let flag = 1 << bit;
        if rest & flag != 0
            && let Some(name) = ty.name_of(flag)
        {
            words.push(name.to_owned());
            rest &= !flag;
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(format!("0x{rest:x}"));
    }
    list(out, words.into_iter());
}

fn list(out: &mut String, words: impl Iterator<Item = String>) {
    for (i, word) in words.enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&word);
    }
}

/// A span of milliseconds: `1d2h3m4s5ms`.
pub(super) fn duration(out: &mut String, ms: u64) {
    let start = out.len();
    let mut rest = ms;
    for (unit, of) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if rest >= of {
            let _ = write!(out, "{}{unit}", rest / of);
            rest %= of;
        }
    }
    if out.len() == start {
        out.push_str("0s");
    }
}

/// A moment, of nanoseconds since 1970, in UTC, which is the kernel's own measure; nft prints it in the zone of its environment.
fn date(out: &mut String, ns: u128) {
    let seconds = u64::try_from(ns / 1_000_000_000).unwrap_or(0);
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Years from March on, in eras of 400 of them.
    let z = days + 719_468;
    let (era, day) = (z / 146_097, z % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let mp = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let _ = write!(
        out,
        "\"{year}-{month:02}-{of_month:02} {:02}:{:02}:{:02}\"",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::live::nf_tables::datatype::with_order;

    fn said(bytes: &[u8], ty: Type) -> Option<String> {
        let mut out = String::new();
        one(&mut out, bytes, with_order(ty).into(), &Devices::new())?;
        Some(out)
    }

    #[test]
    fn constants_by_their_type() {
        let mark = 0x4000u32.to_ne_bytes();
        let state = 6u32.to_ne_bytes();
        for (bytes, ty, expected) in [
            (&[10, 0, 0, 1][..], Type::Ipv4Addr, "10.0.0.1"),
            (&[0, 80], Type::InetService, "80"),
            (&[6], Type::InetProto, "tcp"),
            (&mark, Type::Mark, "0x00004000"),
            (&state, Type::CtState, "established,related"),
            (b"eth0\0\0\0\0\0\0\0\0\0\0\0\0", Type::Ifname, "\"eth0\""),
            (b"a*\0", Type::Ifname, "\"a\\*\""),
        ] {
            assert_eq!(said(bytes, ty).as_deref(), Some(expected));
        }
        assert_eq!(said(&[0; 17], Type::Ipv6Addr), None);
    }

    #[test]
    fn ranges_and_prefixes() {
        assert_eq!(prefix(0x0a00_0000, 0x0aff_ffff, 32), Some(8));
        assert_eq!(prefix(0x0a00_0001, 0x0aff_ffff, 32), None);
        assert_eq!(prefix(0, u128::MAX, 128), Some(0));
        let mut out = String::new();
        let reads = with_order(Type::Ifname).into();
        let devices = Devices::new();
        range(&mut out, b"cali\0\0", b"cali\xff\xff", reads, &devices);
        assert_eq!(out, "\"cali*\"");
        assert_eq!(range(&mut out, b"a\0", b"b\xff", reads, &devices), None);
    }

    #[test]
    fn moments() {
        for (seconds, expected) in [
            (0, "\"1970-01-01 00:00:00\""),
            (1_561_136_400, "\"2019-06-21 17:00:00\""),
            (1_709_164_800, "\"2024-02-29 00:00:00\""),
        ] {
            let mut out = String::new();
            date(&mut out, seconds * 1_000_000_000);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn spans_of_time() {
        for (ms, expected) in [(0, "0s"), (90_061_001, "1d1h1m1s1ms"), (30_000, "30s")] {
            let mut out = String::new();
            duration(&mut out, ms);
            assert_eq!(out, expected);
        }
    }
}
