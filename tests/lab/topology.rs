//! Random addresses, routes, policy rules and settings.

use super::netns::DEVICES;
use super::pool;
use super::prng::Prng;
use super::spec::Spec;

/// Fills in all but sets and tables.
pub fn make(r: &mut Prng, plain: bool) -> Spec {
    let mut s = Spec::default();
    settings(r, &mut s, plain);
    addresses(r, &mut s, plain);
    routes(r, &mut s, plain);
    if !plain && r.chance(50) {
        policy(r, &mut s);
    }
    s
}

fn settings(r: &mut Prng, s: &mut Spec, plain: bool) {
    let mut set = |path: String, value: u32| s.sysctls.push((path, value.to_string()));
    let on = |r: &mut Prng| u32::from(plain || r.chance(92));
    set("ipv4/ip_forward".into(), on(r));
    set("ipv6/conf/all/forwarding".into(), on(r));
    if plain {
        return;
    }
    set("ipv4/conf/all/rp_filter".into(), r.one(&[0, 0, 0, 1, 2]));
    for dev in DEVICES {
        if r.chance(30) {
            set(format!("ipv4/conf/{dev}/rp_filter"), r.one(&[0, 1, 2]));
        }
        if r.chance(5) {
            set(format!("ipv4/conf/{dev}/forwarding"), 0);
        }
        for (key, percent) in [
            ("route_localnet", 15),
            ("accept_local", 15),
            ("src_valid_mark", 15),
        ] {
            if r.chance(percent) {
                set(format!("ipv4/conf/{dev}/{key}"), 1);
            }
        }
    }
    for key in ["route_localnet", "accept_local", "src_valid_mark"] {
        if r.chance(8) {
            set(format!("ipv4/conf/all/{key}"), 1);
        }
    }
    if r.chance(15) {
        set("netfilter/nf_conntrack_tcp_loose".into(), 0);
    }
}

fn addresses(r: &mut Prng, s: &mut Spec, plain: bool) {
    let mut v4 = vec![
        "10.1.0.1/24 dev ext0".to_owned(),
        "10.2.0.1/24 dev ext1".to_owned(),
    ];
    let mut v6 = vec![
        "fd01::1/64 dev ext0".to_owned(),
        "fd02::1/64 dev ext1".to_owned(),
    ];
    for (line4, line6, percent) in [
        ("10.1.0.2/24 dev ext0", "fd01::2/64 dev ext0", 40),
        ("10.9.9.9/32 dev lo", "fd09::9/128 dev lo", 30),
        ("10.3.0.1/24 dev pod0", "fd03::1/64 dev pod0", 25),
        ("10.3.0.1/32 dev pod1", "fd03::1/128 dev pod1", 20),
        ("10.1.7.1/32 dev ext0", "fd01:7::1/128 dev ext0", 20),
        ("10.1.7.1/24 dev ext1", "fd01:7::1/64 dev ext1", 10),
        (
            "10.4.0.1 peer 10.4.0.2/30 dev pod1",
            "fd04::1 peer fd04::2/126 dev pod1",
            10,
        ),
        (
            "169.254.1.1/32 dev pod0 scope link",
            "fe80::1/64 dev pod0",
            15,
        ),
        (
            "10.9.8.8/32 dev ext1 scope host",
            "fd09:8::8/128 dev ext1 preferred_lft 0",
            10,
        ),
        (
            "10.5.0.1/24 dev ext1 noprefixroute",
            "fd05::1/64 dev ext1 noprefixroute",
            10,
        ),
    ] {
        if r.chance(if plain { percent / 3 } else { percent }) {
            v4.push(line4.into());
        }
        if r.chance(if plain { percent / 3 } else { percent }) {
            v6.push(line6.into());
        }
    }
    if r.chance(25) && !plain {
        // The order of addresses on a device, and which is primary, is the order of their making.
        let n = v4.len();
        v4.swap(0, n - 1);
        let n = v6.len();
        v6.swap(0, n - 1);
    }
    if r.chance(6) && !plain {
        v4.retain(|l| !l.starts_with("10.2.0.1"));
    }
    if r.chance(40) {
        s.ip.push("link set dev pod0 group 5".into());
    }
    s.ip.extend(v4.into_iter().map(|l| format!("addr add {l}")));
    s.ip6
        .extend(v6.into_iter().map(|l| format!("addr add {l} nodad")));
}

fn routes(r: &mut Prng, s: &mut Spec, plain: bool) {
    let default4 = r.one(&[
        "default via 10.1.0.254",
        "default via 10.1.0.254",
        "default via 10.1.0.254 src 10.1.0.1",
        "default via 10.2.0.254 metric 50",
        "default nexthop via 10.1.0.254 weight 1 nexthop via 10.2.0.254 weight 2",
        "default dev ext1",
        "default via 172.20.0.1 dev ext0 onlink",
        "prohibit default",
    ]);
    let default6 = r.one(&[
        "default via fd01::fe",
        "default via fd01::fe",
        "default via fd02::fe metric 50",
        "default nexthop via fd01::fe nexthop via fd02::fe",
        "default dev ext1",
        "default via fd01::fe src fd01::1",
        "prohibit default",
    ]);
    let (default4, default6) = if plain {
        ("default via 10.1.0.254", "default via fd01::fe")
    } else {
        (default4, default6)
    };
    if plain || r.chance(88) {
        s.ip.push(format!("route add {default4}"));
    }
    if plain || r.chance(88) {
        s.ip6.push(format!("route add {default6}"));
    }
    for (line4, line6, percent) in [
        ("10.3.0.10 dev pod0", "fd03::10 dev pod0", 90),
        ("10.3.0.11 dev pod0", "fd03::11 dev pod0", 80),
        ("10.3.0.20 dev pod1", "fd03::20 dev pod1", 90),
        (
            "10.3.1.0/24 via 10.3.0.20 dev pod1 onlink",
            "fd03:1::/64 via fd03::20 dev pod1 onlink",
            60,
        ),
        (
            "198.51.100.0/24 via 10.2.0.254",
            "2001:db8:1::/48 via fd02::fe",
            60,
        ),
        ("blackhole 10.8.0.0/24", "blackhole fd08::/64", 60),
        ("prohibit 10.8.1.0/24", "prohibit fd08:1::/64", 60),
        ("unreachable 10.8.2.0/24", "unreachable fd08:2::/64", 60),
        ("throw 10.8.3.0/24", "throw fd08:3::/64", 50),
        (
            "10.3.0.0/28 dev pod1 metric 9",
            "fd03::/124 dev pod1 metric 9",
            20,
        ),
        (
            "10.3.0.10 dev pod1 metric 5",
            "fd03::10 dev pod1 metric 5",
            15,
        ),
        (
            "192.0.2.0/24 tos 0x10 via 10.2.0.254",
            "2001:db8::/48 from fd01::/64 via fd02::fe",
            25,
        ),
        ("local 10.96.0.10 dev lo", "local fd96::10 dev lo", 10),
    ] {
        let n = if plain && !line4.contains("pod") {
            0
        } else {
            percent
        };
        if r.chance(if plain && n >= 80 { 100 } else { n }) {
            s.ip.push(format!("route add {line4}"));
        }
        if r.chance(if plain && n >= 80 { 100 } else { n }) {
            s.ip6.push(format!("route add {line6}"));
        }
    }
}

fn policy(r: &mut Prng, s: &mut Spec) {
    for line in [
        "default via 10.2.0.254 table 100",
        "10.3.0.0/24 dev pod1 table 100",
        "throw 10.1.0.0/24 table 100",
        "10.1.0.0/24 dev ext1 table 101",
        "prohibit 10.3.0.20 table 101",
        "0.0.0.0/1 via 10.1.0.254 table 102",
        "unreachable default table 103",
    ] {
        if r.chance(70) {
            s.ip.push(format!("route add {line}"));
        }
    }
    for line in [
        "default via fd02::fe table 100",
        "fd03::/64 dev pod1 table 100",
        "throw fd01::/64 table 100",
        "fd01::/64 dev ext1 table 101",
        "prohibit fd03::20 table 101",
        "::/1 via fd01::fe table 102",
        "unreachable default table 103",
    ] {
        if r.chance(70) {
            s.ip6.push(format!("route add {line}"));
        }
    }
    for v6 in [false, true] {
        for i in 0..=r.below(4) {
            let line = rule(r, v6, 100 + 10 * i);
            if v6 { &mut s.ip6 } else { &mut s.ip }.push(line);
        }
    }
}

fn rule(r: &mut Prng, v6: bool, priority: usize) -> String {
    let mut line = String::from("rule add");
    if r.chance(15) {
        line += " not";
    }
    for _ in 0..=r.below(2) {
        let part = match r.below(10) {
            0 => format!("from {}", pool::prefix(r, v6)),
            1 => format!("from {}", pool::addr(r, v6)),
            2 => format!("to {}", pool::prefix(r, v6)),
            3 => format!("iif {}", r.one(&["ext0", "pod0", "lo", "gone0"])),
            4 => format!("oif {}", r.one(&["ext0", "pod0"])),
            5 => format!("fwmark {}", pool::mark(r)),
            6 => "tos 0x10".into(),
            7 => format!("ipproto {}", r.one(&["tcp", "udp"])),
            8 => format!("ipproto tcp dport {}", r.one(&["80", "80-443"])),
            _ => "uidrange 1000-1000".into(),
        };
        let key = part.split(' ').next().unwrap_or_default().to_owned();
        if !line.contains(&format!(" {key} ")) {
            line += " ";
            line += &part;
        }
    }
    line += &match r.below(10) {
        0 => format!(" priority {priority} goto {}", priority + 20),
        1 => format!(" priority {priority} blackhole"),
        2 => format!(" priority {priority} prohibit"),
        3 => format!(" priority {priority} unreachable"),
        4 => format!(
            " priority {priority} lookup main suppress_prefixlength {}",
            r.one(&[0, 24])
        ),
        n => format!(
            " priority {priority} lookup {}",
            [100, 101, 102, 103, 254][n - 5]
        ),
    };
    line
}
