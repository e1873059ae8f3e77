use super::{Addresses, Fixed, Seed, Shape, range_lens, stays};
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};

fn ip(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is an address"))
}

fn all(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| ip(t)).collect()
}

fn mapping(list: &[IpAddr], seed: u64) -> Addresses {
    let mut a = Addresses::new(Seed(seed, 7), HashSet::new());
    for x in list {
        a.insert(*x, Shape::default());
    }
    a
}

fn bits(a: IpAddr) -> u128 {
    match a {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    }
}

#[test]
fn order_and_common_prefixes_stay_and_no_image_is_an_original() {
    let lists = [
        all(&[
            "10.0.0.1",
            "10.0.0.10",
            "10.0.1.7",
            "10.96.0.1",
            "10.233.98.0",
            "10.233.98.39",
            "172.16.0.1",
            "172.20.3.4",
            "172.1.2.3",
            "192.0.2.1",
            "192.168.0.1",
            "192.168.77.64",
            "192.168.77.66",
            "203.0.113.9",
        ]),
        all(&[
            "fd00:20::11",
            "fd00:20::12",
            "fd00:244:0:1::2",
            "fd00:244:0:2::2",
            "2001:db8:10::11",
            "2a01:4f8:1:2:8c1f:5aff:fe00:602",
            "2a01:4f8:1:2::1",
            "fe80::8c1f:5aff:fe00:602",
            "fe80::42:aff:fe00:100b",
        ]),
    ];
    for list in &lists {
        for seed in 0..50 {
            let m = mapping(list, seed);
            let images: Vec<IpAddr> = list.iter().map(|a| m.map(*a, None).0).collect();
            let before: BTreeSet<IpAddr> = list.iter().copied().collect();
            for (x, fx) in list.iter().zip(&images) {
                assert!(!before.contains(fx), "{x} -> {fx}");
                for (y, fy) in list.iter().zip(&images) {
                    assert_eq!(x.cmp(y), fx.cmp(fy), "{x} {y}");
                    let (a, b) = (bits(*x) ^ bits(*y), bits(*fx) ^ bits(*fy));
                    assert_eq!(a.leading_zeros(), b.leading_zeros(), "{x} {y}");
                }
            }
        }
    }
}

#[test]
fn the_last_octet_and_what_is_private_stay() {
    let list = all(&["10.1.2.3", "172.16.9.8", "192.168.1.2", "100.64.1.1"]);
    let m = mapping(&list, 3);
    for x in &list {
        let (IpAddr::V4(x), IpAddr::V4(y)) = (*x, m.map(*x, None).0) else {
            panic!("the family stays");
        };
        assert_eq!(x.octets()[3], y.octets()[3]);
        assert_eq!(x.is_private(), y.is_private(), "{x} -> {y}");
        assert_eq!(x.octets()[0], y.octets()[0]);
    }
}

#[test]
fn a_full_network_changes_its_last_octet() {
    let list: Vec<IpAddr> = (0..=255)
        .map(|n| IpAddr::V4(Ipv4Addr::new(192, 168, n, 5)))
        .collect();
    let m = mapping(&list, 1);
    for x in &list {
        let (y, moved) = m.map(*x, None);
        assert!(moved && !list.contains(&y), "{x} -> {y}");
    }
}

#[test]
fn what_cannot_be_moved_says_so() {
    let list: Vec<IpAddr> = (0..=65535u32)
        .map(|n| IpAddr::V4(Ipv4Addr::from_bits(0xc0a8_0000 + n)))
        .collect();
    let m = mapping(&list, 1);
    assert!(!m.map(ip("192.168.3.4"), None).1);
}

#[test]
fn special_addresses_stay() {
    let list = all(&[
        "0.0.0.0",
        "127.0.0.1",
        "169.254.25.10",
        "224.0.0.5",
        "255.255.255.255",
        "255.255.255.0",
        "::",
        "::1",
        "fe80::",
        "fe80::1",
        "ff02::1",
    ]);
    let m = mapping(&list, 9);
    for x in &list {
        assert_eq!(m.map(*x, None), (*x, false), "{x}");
        assert!(stays(*x, None), "{x}");
    }
    assert!(stays(ip("192.168.0.0"), Some(16)) && !stays(ip("192.168.0.0"), Some(17)));
    assert!(!stays(ip("10.0.0.0"), None));
}

#[test]
fn ranges_keep_what_lies_between_their_ends() {
    let mut m = Addresses::new(Seed(5, 5), HashSet::new());
    m.insert_range(ip("10.1.3.7"), ip("10.1.9.200"), false);
    let f = |t: &str| m.map(ip(t), None).0;
    for (x, within) in [
        ("10.1.3.6", false),
        ("10.1.3.8", true),
        ("10.1.8.255", true),
        ("10.1.9.201", false),
        ("10.1.200.1", false),
        ("10.200.1.1", false),
    ] {
        let y = f(x);
        let found = f("10.1.3.7") <= y && y <= f("10.1.9.200");
        assert_eq!(found, within, "{x} -> {y}");
    }
    assert_ne!(f("10.1.3.7"), ip("10.1.3.7"));
}

#[test]
fn under_a_mask_with_gaps_the_bits_stay() {
    let mut m = Addresses::new(Seed(5, 5), HashSet::new());
    let shape = Shape {
        fixed: Some(Fixed {
            below: 16,
            from: 16,
            mask: u128::MAX,
        }),
        ..Shape::default()
    };
    m.insert(ip("10.7.0.5"), shape);
    let (IpAddr::V4(a), IpAddr::V4(b)) = (
        m.map(ip("10.7.0.5"), None).0,
        m.map(ip("10.7.99.5"), None).0,
    ) else {
        panic!("the family stays");
    };
    assert_eq!((a.octets()[1], b.octets()[2]), (b.octets()[1], 99));
}

#[test]
fn embedded_addresses_of_ipv4_map_alike() {
    let m = mapping(&all(&["10.1.2.3", "::ffff:10.1.2.3"]), 2);
    let IpAddr::V4(a) = m.map(ip("10.1.2.3"), None).0 else {
        panic!("the family stays");
    };
    assert_eq!(m.map(ip("::ffff:10.1.2.3"), None).0, a.to_ipv6_mapped());
}

/// Numbers without a pattern.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// An address close to others.
    fn address(&mut self, six: bool) -> IpAddr {
        let n = self.next();
        let few =
            |shift: u64, of: &[u64]| of[usize::try_from(n >> shift & 0xff).unwrap_or(0) % of.len()];
        if six {
            let high = few(0, &[0xfd00, 0x2a01, 0x2001]) << 48
                | few(8, &[0, 1, 0x244, 0xf000]) << 32
                | few(16, &[0, 1, 0x8000]);
            let low = few(
                24,
                &[0, 1, 2, 0x10, 0x8c1f_5aff_fe00_0602, 0x0242_0aff_fe00_100b],
            );
            return IpAddr::V6((u128::from(high) << 64 | u128::from(low)).into());
        }
        let high = few(0, &[10, 10, 172, 192, 100, 8]) << 24;
        let next = few(8, &[0, 1, 16, 64, 168, 96, 233]) << 16;
        let third = few(16, &[0, 1, 2, 4, 77, 128, 255]) << 8;
        IpAddr::V4(Ipv4Addr::from_bits(
            u32::try_from(high | next | third | n >> 24 & 7).unwrap_or(0),
        ))
    }
}

/// Also of addresses that do not occur, and of the ends of ranges.
#[test]
fn what_holds_an_address_holds_its_image() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..400 {
        let six = round % 2 == 1;
        let most = if six { 128 } else { 32 };
        let mut m = Addresses::new(Seed(numbers.next(), numbers.next()), HashSet::new());
        let nets: Vec<(IpAddr, u8)> = (0..12)
            .map(|_| {
                let len = 8 + u8::try_from(numbers.next() % (most - 7)).unwrap_or(0);
                (numbers.address(six), len)
            })
            .collect();
        let ranges: Vec<(IpAddr, IpAddr)> = (0..4)
            .map(|_| {
                let (a, b) = (numbers.address(six), numbers.address(six));
                (a.min(b), a.max(b))
            })
            .collect();
        for (a, len) in &nets {
            let cut = super::cut(bits(*a), *len);
            let net = if six {
                IpAddr::V6(cut.into())
            } else {
                IpAddr::V4(super::back4(cut))
            };
            let shape = Shape {
                len: Some(*len),
                ..Shape::default()
            };
            m.insert(net, shape);
        }
        for (a, b) in &ranges {
            m.insert_range(*a, *b, false);
        }
        for _ in 0..60 {
            let x = numbers.address(six);
            let y = m.map(x, None).0;
            for (a, len) in &nets {
                let net = m.map(*a, Some(*len)).0;
                let (before, after) = (bits(x) ^ bits(*a), bits(y) ^ bits(net));
                let within = |d: u128| d.leading_zeros() >= u32::from(*len);
                assert_eq!(within(before), within(after), "{x} {a}/{len}");
            }
            for (a, b) in &ranges {
                let (first, last) = range_lens(*a, *b);
                let (low, high) = (m.map(*a, Some(first)).0, m.map(*b, Some(last)).0);
                assert_eq!(*a <= x && x <= *b, low <= y && y <= high, "{x} in {a}-{b}");
            }
        }
    }
}
