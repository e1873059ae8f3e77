//! Small pools of values that rules and packets share, so that both answers of a match occur often.

use super::prng::Prng;

/// The node's own addresses, among which a node takes some.
pub const OWN4: [&str; 6] = [
    "10.1.0.1", "10.1.0.2", "10.2.0.1", "10.3.0.1", "10.9.9.9", "10.1.7.1",
];
/// The same for IPv6.
pub const OWN6: [&str; 6] = [
    "fd01::1",
    "fd01::2",
    "fd02::1",
    "fd03::1",
    "fd09::9",
    "fd01:7::1",
];
/// Hosts beyond the uplinks; the first half behind ext0.
pub const OUTSIDE4: [&str; 6] = [
    "10.1.0.50",
    "10.1.0.51",
    "192.0.2.7",
    "10.2.0.60",
    "10.2.0.61",
    "198.51.100.9",
];
/// The same for IPv6.
pub const OUTSIDE6: [&str; 6] = [
    "fd01::50",
    "fd01::51",
    "2001:db8::7",
    "fd02::60",
    "fd02::61",
    "2001:db8:1::9",
];
/// Pods; the first half behind pod0.
pub const POD4: [&str; 4] = ["10.3.0.10", "10.3.0.11", "10.3.0.20", "10.3.1.5"];
/// The same for IPv6.
pub const POD6: [&str; 4] = ["fd03::10", "fd03::11", "fd03::20", "fd03:1::5"];
/// Service addresses, which only rules know.
pub const VIP4: [&str; 2] = ["10.96.0.1", "10.96.0.10"];
/// The same for IPv6.
pub const VIP6: [&str; 2] = ["fd96::1", "fd96::10"];
/// Addresses behind routes that lead nowhere, and special ones.
pub const ODD4: [&str; 9] = [
    "10.8.0.1",
    "10.8.1.1",
    "10.8.2.1",
    "10.8.3.1",
    "127.0.0.1",
    "127.0.0.9",
    "10.1.0.255",
    "224.0.0.5",
    "255.255.255.255",
];
/// Destinations that are broadcasts.
pub const BROADCASTS: [&str; 2] = ["10.1.0.255", "255.255.255.255"];
/// The same for IPv6.
pub const ODD6: [&str; 7] = [
    "fd08::1",
    "fd08:1::1",
    "fd08:2::1",
    "fd08:3::1",
    "::1",
    "ff02::5",
    "fe80::5",
];

const NETS4: [&str; 12] = [
    "10.1.0.0/24",
    "10.2.0.0/24",
    "10.3.0.0/16",
    "10.3.0.0/28",
    "10.0.0.0/8",
    "10.96.0.0/12",
    "192.0.2.0/24",
    "10.1.0.48/29",
    "127.0.0.0/8",
    "10.0.0.0/255.0.255.0",
    "0.0.0.1/0.0.0.255",
    "10.8.0.0/16",
];
const NETS6: [&str; 9] = [
    "fd01::/64",
    "fd02::/64",
    "fd03::/16",
    "fd03::/120",
    "fd00::/8",
    "fd96::/108",
    "2001:db8::/32",
    "fe80::/10",
    "::1/::ff",
];

/// TCP and UDP ports that packets go to.
pub const PORTS: [u16; 6] = [53, 80, 443, 8080, 30080, 5000];
/// Marks.
pub const MARKS: [u32; 6] = [0, 1, 0x10, 0x4000, 0x8000, 0xc001];
/// TOS bytes.
pub const TOSES: [u8; 6] = [0, 0, 0x10, 0xb8, 0x28, 0x50];

/// Any address.
pub fn addr(r: &mut Prng, v6: bool) -> &'static str {
    let n = r.below(100);
    match (v6, n) {
        (false, 0..25) => r.one(&OWN4),
        (false, 25..50) => r.one(&OUTSIDE4),
        (false, 50..75) => r.one(&POD4),
        (false, 75..85) => r.one(&VIP4),
        (false, _) => r.one(&ODD4),
        (true, 0..25) => r.one(&OWN6),
        (true, 25..50) => r.one(&OUTSIDE6),
        (true, 50..75) => r.one(&POD6),
        (true, 75..85) => r.one(&VIP6),
        (true, _) => r.one(&ODD6),
    }
}

/// An address or a network.
pub fn net(r: &mut Prng, v6: bool) -> &'static str {
    if r.chance(50) {
        addr(r, v6)
    } else if v6 {
        r.one(&NETS6)
    } else {
        r.one(&NETS4)
    }
}

/// A network in prefix form, as sets take it.
pub fn prefix(r: &mut Prng, v6: bool) -> &'static str {
    if v6 {
        r.one(&NETS6[..8])
    } else {
        r.one(&[
            "10.1.0.0/24",
            "10.2.0.0/24",
            "10.3.0.0/16",
            "10.3.0.0/28",
            "10.0.0.0/8",
            "10.96.0.0/12",
            "192.0.2.0/24",
            "10.1.0.48/29",
            "10.3.0.10/32",
            "10.8.0.0/16",
        ])
    }
}

/// A range of addresses.
pub fn span(r: &mut Prng, v6: bool) -> String {
    let (a, b) = if v6 {
        r.one(&[
            ("fd01::1", "fd01::50"),
            ("fd03::10", "fd03::11"),
            ("fd02::", "fd03::ffff"),
            ("fd01::50", "fd01::50"),
        ])
    } else {
        r.one(&[
            ("10.1.0.1", "10.1.0.50"),
            ("10.3.0.10", "10.3.0.11"),
            ("10.2.0.0", "10.3.0.255"),
            ("10.1.0.50", "10.1.0.50"),
            ("10.1.0.0", "10.1.0.255"),
        ])
    };
    format!("{a}-{b}")
}

/// A device, sometimes by the beginning of its name.
pub fn device(r: &mut Prng) -> &'static str {
    r.one(&[
        "ext0", "ext1", "pod0", "pod1", "ext+", "pod+", "lo", "ext0", "pod0", "pod01", "ext",
    ])
}

/// A destination port or range of ports.
pub fn port(r: &mut Prng) -> String {
    match r.below(10) {
        0..6 => r.one(&PORTS).to_string(),
        6 => "80:443".into(),
        7 => "1024:65535".into(),
        8 => ":1023".into(),
        _ => "30000:32767".into(),
    }
}

/// A source port or range of ports.
pub fn sport(r: &mut Prng) -> String {
    r.one(&[
        "1:1023",
        "20000:24999",
        "25000:29999",
        "20000:65535",
        "1024:",
        "80",
        ":25000",
    ])
    .to_owned()
}

/// `value/mask`.
pub fn mark(r: &mut Prng) -> String {
    let v = r.one(&MARKS);
    match r.below(4) {
        0 => format!("{v:#x}"),
        1 => format!("{v:#x}/0xffff"),
        2 => format!("{v:#x}/{:#x}", r.one(&[0x4000u32, 0xc000, 0xf, 0x11, 0x1])),
        _ => format!("{:#x}/{:#x}", v & 0xc000, 0xc000),
    }
}
