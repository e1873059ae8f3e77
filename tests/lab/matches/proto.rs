//! The transport protocol and its own header.

use super::super::pool;
use super::super::prng::Prng;
use super::Place;

/// A protocol for `-p`, `! -p NAME`, or nothing.
pub fn name(r: &mut Prng, p: &Place<'_>) -> &'static str {
    let icmp = if p.v6 { "ipv6-icmp" } else { "icmp" };
    match r.below(46) {
        0..10 => "tcp",
        10..16 => "udp",
        16..18 => icmp,
        18 | 44 => "sctp",
        45 => "dccp",
        19 => r.one(&["udplite", "dccp"]),
        20 => r.one(&["esp", if p.v6 { "esp" } else { "ah" }]),
        21 => r.one(&["47", "all"]),
        22 | 23 => match r.below(6) {
            0 => "! -p tcp",
            1 => "! -p udp",
            2 if p.v6 => "! -p ipv6-icmp",
            2 => "! -p icmp",
            3 => "! -p 47",
            4 => "! -p sctp",
            _ => "! -p esp",
        },
        _ => "",
    }
}

/// Matches that go with a protocol.
pub fn of(r: &mut Prng, p: &Place<'_>, proto: &str) -> String {
    match proto {
        "tcp" | "udp" | "sctp" | "dccp" if r.chance(75) => ports(r, p, proto),
        "tcp" | "udp" | "sctp" | "dccp" | "udplite" => multiport(r),
        "esp" => spi(r, "esp"),
        "ah" => spi(r, "ah"),
        "icmp" | "ipv6-icmp" => icmp(r, p),
        _ => String::new(),
    }
}

fn ports(r: &mut Prng, p: &Place<'_>, proto: &str) -> String {
    let mut s = format!(" -m {proto}");
    let what = r.below(10);
    if what < 5 {
        s += &format!(" {}--dport {}", r.not(25), pool::port(r));
    }
    if (4..8).contains(&what) {
        s += &format!(" {}--sport {}", r.not(35), pool::sport(r));
    }
    if what < 8 {
        return s;
    }
    match proto {
        "tcp" if p.odd && r.chance(20) => {
            s += &format!(" {}--tcp-option {}", r.not(40), r.one(&[2, 5]));
        }
        "tcp" => {
            let not = r.not(40);
            s += &match r.below(5) {
                0 => format!(" {not}--syn"),
                1 => format!(" {not}--tcp-flags SYN,ACK,FIN,RST SYN"),
                2 => format!(" {not}--tcp-flags ALL NONE"),
                3 => format!(" {not}--tcp-flags SYN,RST SYN"),
                _ => format!(" {not}--tcp-flags FIN,ACK ACK"),
            };
        }
        "sctp" if p.odd => {
            let v = r.one(&["any INIT", "all DATA,INIT", "only INIT", "any DATA:Be"]);
            s += &format!(" {}--chunk-types {v}", r.not(30));
        }
        _ => s += &format!(" {}--dport 80:443", r.not(40)),
    }
    s
}

fn multiport(r: &mut Prng) -> String {
    let (which, list) = r.one(&[
        ("--sports", "1:1023,20000:24999"),
        ("--sports", "500,25000:65535"),
        ("--ports", "80,20000:22000,30080"),
        ("--ports", "443,1:1023"),
        ("--dports", "53,80,443"),
        ("--dports", "8080,30000:32767"),
        ("--dports", "5000"),
    ]);
    format!(" -m multiport {}{which} {list}", r.not(35))
}

fn spi(r: &mut Prng, name: &str) -> String {
    let v = r.one(&["256", "257", "0:256", "257:4294967295"]);
    format!(" -m {name} {}--{name}spi {v}", r.not(30))
}

fn icmp(r: &mut Prng, p: &Place<'_>) -> String {
    let not = r.not(30);
    if p.v6 {
        let t = r.one(&[
            "128",
            "129",
            "1",
            "3/0",
            "echo-request",
            "destination-unreachable",
            "no-route",
            "128/0",
        ]);
        return format!(" -m icmp6 {not}--icmpv6-type {t}");
    }
    let t = r.one(&[
        "8",
        "0",
        "3",
        "11/0",
        "echo-request",
        "3/1",
        "host-unreachable",
        "any",
        "13",
    ]);
    // `! --icmp-type any` is loaded as if it were never true.
    format!(" -m icmp {not}--icmp-type {t}")
}
