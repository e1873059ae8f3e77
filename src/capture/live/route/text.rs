//! Small values as iproute2 prints them.

use super::super::attr::{Numbers as _, attrs};
use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Attributes by their number; the first of a kind counts, as in `parse_rtattr` of iproute2's lib/libnetlink.c.
pub(super) struct Attributes<'a, const N: usize>([Option<&'a [u8]>; N]);

impl<'a, const N: usize> Attributes<'a, N> {
    /// Those in `bytes`, as far as their numbers lie below `N`.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut all = [None; N];
        for (kind, value) in attrs(bytes) {
            if let Some(slot @ None) = all.get_mut(usize::from(kind)) {
                *slot = Some(value);
            }
        }
        Self(all)
    }
    /// The bytes of one.
    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.get(usize::from(kind)).copied().flatten()
    }
    /// 8 bit.
    pub(super) fn u8(&self, kind: u16) -> Option<u8> {
        self.get(kind)?.u8(0)
    }
    /// 16 bit.
    pub(super) fn u16(&self, kind: u16) -> Option<u16> {
        self.get(kind)?.u16(0)
    }
    /// 32 bit.
    pub(super) fn u32(&self, kind: u16) -> Option<u32> {
        self.get(kind)?.u32(0)
    }
    /// A number of whatever width it has.
    pub(super) fn number(&self, kind: u16) -> Option<u64> {
        let bytes = self.get(kind)?;
        match bytes.len() {
            1 => bytes.u8(0).map(u64::from),
            2 | 3 => bytes.u16(0).map(u64::from),
            4..=7 => bytes.u32(0).map(u64::from),
            _ => bytes.u64(0),
        }
    }
    /// Whether it is there and its first byte is not 0.
    pub(super) fn on(&self, kind: u16) -> bool {
        self.u8(kind).is_some_and(|n| n != 0)
    }
}

/// Address families.
pub(super) const AF_INET: u8 = 2;
/// IPv6.
pub(super) const AF_INET6: u8 = 10;
/// MPLS.
pub(super) const AF_MPLS: u8 = 28;

/// An address of that family: the bytes that are there.
pub(super) fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => {
            let four: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
            Some(IpAddr::V4(Ipv4Addr::from(four)))
        }
        AF_INET6 => {
            let sixteen: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(sixteen)))
        }
        _ => None,
    }
}

/// Prints an address as `inet_ntop` does: Rust prints all but an IPv4-compatible one alike.
pub(super) struct Host(pub(super) Option<IpAddr>);

impl Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(IpAddr::V6(a)) => {
                let [.., b0, b1, b2, b3] = a.octets();
                if a.segments().iter().take(6).all(|s| *s == 0) && (b0, b1) != (0, 0) {
                    write!(f, "::{b0}.{b1}.{b2}.{b3}")
                } else {
                    write!(f, "{a}")
                }
            }
            Some(a) => write!(f, "{a}"),
            None => f.write_str("???"),
        }
    }
}

/// Prints the address in these bytes; `format_host` of lib/utils.c.
pub(super) fn host(family: u8, bytes: &[u8]) -> Host {
    Host(address(family, bytes))
}

/// `af_bit_len` of lib/utils.c.
pub(super) fn bits(family: u8) -> u8 {
    match family {
        AF_INET6 => 128,
        AF_INET => 32,
        AF_MPLS => 20,
        _ => 0,
    }
}

/// `%#x`: 0 has no prefix.
pub(super) struct Hex(pub(super) u64);

impl Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 {
            f.write_str("0")
        } else {
            write!(f, "{:#x}", self.0)
        }
    }
}

/// `%g`: six digits that count, no zeros behind them.
pub(super) fn general(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    // The exponent after rounding to six digits is what decides the form (C, fprintf).
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let bare = |s: &str| -> String {
        if s.contains('.') {
            s.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            s.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        bare(&format!("{value:.decimals$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", bare(mantissa), exponent.unsigned_abs())
    }
}

/// `ARPHRD_*` of `linux/if_arp.h`, as `lib/ll_types.c` names them.
const LINK_TYPES: [(u16, &str); 27] = [
    (1, "ether"),
    (2, "eether"),
    (3, "ax25"),
    (6, "ieee802"),
    (24, "ieee1394"),
    (32, "infiniband"),
    (256, "slip"),
    (280, "can"),
    (512, "ppp"),
    (513, "hdlc"),
    (519, "rawip"),
    (768, "ipip"),
    (769, "tunnel6"),
    (772, "loopback"),
    (776, "sit"),
    (777, "ip/ddp"),
    (778, "gre"),
    (779, "pimreg"),
    (801, "ieee802.11"),
    (802, "ieee802.11/prism"),
    (803, "ieee802.11/radiotap"),
    (804, "ieee802.15.4"),
    (820, "phonet"),
    (823, "gre6"),
    (824, "netlink"),
    (0xfffe, "none"),
    (0xffff, "void"),
];

/// The word behind `link/`.
pub(super) fn link_type(out: &mut String, kind: u16) {
    match LINK_TYPES
        .iter()
        .find(|(n, name)| *n == kind && *name != "rawip")
    {
        Some((_, name)) => out.push_str(name),
        None => {
            let _ = write!(out, "[{kind}]");
        }
    }
}

/// A hardware address; that of a tunnel is an IP address (`ll_addr_n2a` of `lib/ll_addr.c`).
pub(super) fn hardware(out: &mut String, bytes: &[u8], kind: u16) {
    let ip = match (bytes.len(), kind) {
        (4, 768 | 776 | 778) => address(AF_INET, bytes),
        (16, 769 | 823) => address(AF_INET6, bytes),
        _ => None,
    };
    if ip.is_some() {
        let _ = write!(out, "{}", Host(ip));
        return;
    }
    for (i, byte) in bytes.iter().take(32).enumerate() {
        let colon = if i == 0 { "" } else { ":" };
        let _ = write!(out, "{colon}{byte:02x}");
    }
}

/// Text of the kernel's as one line of words can hold it: what people put into an alias or a label may break a line.
pub(super) fn line(bytes: &[u8]) -> String {
    bytes.text().replace(|c: char| c.is_control(), "?")
}

/// A device as routes and others name it.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) flags: u32,
    pub(super) kind: u16,
}

/// The devices by ifindex.
#[derive(Debug, Default)]
pub(crate) struct Devices(pub(super) HashMap<u32, Device>);

impl Devices {
    /// Their indices, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.keys().copied()
    }

    /// The name, or `if7`; `*` for none (`ll_index_to_name` of `lib/ll_map.c`).
    pub(crate) fn name(&self, index: u32) -> impl Display + '_ {
        struct Name<'a>(Option<&'a str>, u32);
        impl Display for Name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match (self.0, self.1) {
                    (Some(name), _) => f.write_str(name),
                    (None, 0) => f.write_str("*"),
                    (None, n) => write!(f, "if{n}"),
                }
            }
        }
        Name(self.0.get(&index).map(|d| d.name.as_str()), index)
    }
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn numbers_have_six_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (120.0, "120"),
            (0.5, "0.5"),
            (1.04, "1.04"),
            (999_999.5, "1e+06"),
            (1_234_567.0, "1.23457e+06"),
            (0.00001, "1e-05"),
            (12.345_678, "12.3457"),
        ] {
            assert_eq!(general(value), text);
        }
    }
}
