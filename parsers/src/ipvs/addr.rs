//! Addresses with ports as ipvsadm and the kernel print them.

use super::names::service_port;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `10.0.0.1:80`, `[fd00::1]:80`, `10.0.0.1:https`; with `hex` `0A000001:0050` and `[fd00:...]:0050`. The port may be missing.
pub(super) fn endpoint(text: &str, hex: bool) -> Option<(IpAddr, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (a, rest) = rest.split_once(']')?;
        let a: Ipv6Addr = a.parse().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(p) => Some(port(p, hex)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return Some((IpAddr::V6(a), port));
    }
    let (a, p) = match text.split_once(':') {
        Some((a, p)) => (a, Some(p)),
        None => (text, None),
    };
    if let Ok(a) = a.parse::<Ipv4Addr>() {
        let port = match p {
            Some(p) => Some(port(p, false)?),
            None => None,
        };
        return Some((IpAddr::V4(a), port));
    }
    if looks_hex(text) {
        let a = u32::from_str_radix(a, 16).ok()?;
        let port = u16::from_str_radix(p?, 16).ok()?;
        return Some((IpAddr::V4(Ipv4Addr::from_bits(a)), Some(port)));
    }
    // `ipvsadm -A -t fd00::1` without a port needs no brackets.
    text.parse::<Ipv6Addr>().ok().map(|a| (IpAddr::V6(a), None))
}

/// Whether `text` is eight hexadecimal digits, a colon and four more, as in `/proc/net/ip_vs`.
pub(super) fn looks_hex(text: &str) -> bool {
    text.len() == 13
        && text.bytes().enumerate().all(|(i, b)| {
            if i == 8 {
                b == b':'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}

fn port(text: &str, hex: bool) -> Option<u16> {
    if hex {
        return u16::from_str_radix(text, 16).ok();
    }
    text.parse().ok().or_else(|| service_port(text))
}
