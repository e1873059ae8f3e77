//! Constants of each type, from the pools that the packets share, and the expressions that have that type.

use super::super::matches::{FWD, IN, OUT, POST, PRE};
use super::super::pool;
use super::super::prng::Prng;
use super::Place;

/// Types of sets' components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ty {
    /// `ipv4_addr`, or `ipv6_addr`.
    Addr,
    /// `inet_service`.
    Port,
    /// `inet_proto`.
    Proto,
    /// `ifname`.
    If,
    /// `mark`.
    Mark,
    /// `ether_addr`.
    Mac,
}

/// Addresses and networks that do not overlap.
const APART4: [&str; 13] = [
    "10.1.0.1",
    "10.1.0.2",
    "10.1.0.48/29",
    "10.2.0.0/24",
    "10.3.0.0/28",
    "10.3.0.20",
    "10.3.1.0/24",
    "10.96.0.0/28",
    "192.0.2.0/24",
    "10.8.0.0/16",
    "127.0.0.0/8",
    "198.51.100.1-198.51.100.20",
    "10.9.0.0-10.9.255.255",
];
const APART6: [&str; 12] = [
    "fd01::1",
    "fd01::2",
    "fd01::50/125",
    "fd02::/64",
    "fd03::/123",
    "fd03::20",
    "fd03:1::/64",
    "fd96::/108",
    "2001:db8::/48",
    "fd08::/32",
    "::1",
    "2001:db8:1::1-2001:db8:1::ff",
];
/// Port ranges that do not overlap.
const APART_PORTS: [&str; 8] = [
    "53",
    "80",
    "443",
    "5000-5010",
    "8080",
    "20000-24999",
    "25000-29999",
    "30000-32767",
];
const PROTOS: [&str; 9] = [
    "tcp",
    "udp",
    "icmp",
    "ipv6-icmp",
    "sctp",
    "udplite",
    "gre",
    "47",
    "dccp",
];
const DEVICES: [&str; 5] = ["ext0", "ext1", "pod0", "pod1", "lo"];

/// Several different constants of a type; of an interval set, ranges that do not overlap.
pub fn several(r: &mut Prng, ty: Ty, v6: bool, interval: bool, most: usize) -> Vec<String> {
    let pool: Vec<String> = match (ty, interval) {
        (Ty::Addr, true) if v6 => APART6.iter().map(ToString::to_string).collect(),
        (Ty::Addr, true) => APART4.iter().map(ToString::to_string).collect(),
        (Ty::Addr, false) => (0..most * 2).map(|_| addr(r, v6).to_owned()).collect(),
        (Ty::Port, true) => APART_PORTS.iter().map(ToString::to_string).collect(),
        (Ty::Port, false) => pool::PORTS.iter().map(ToString::to_string).collect(),
        (Ty::Proto, _) => PROTOS.iter().map(ToString::to_string).collect(),
        (Ty::If, true) => ["\"ext*\"", "\"pod0\"", "\"lo\"", "\"pod1\""]
            .iter()
            .map(ToString::to_string)
            .collect(),
        (Ty::If, false) => DEVICES.iter().map(|d| format!("\"{d}\"")).collect(),
        (Ty::Mark, true) => [
            "0x0",
            "0x1-0xf",
            "0x10",
            "0x4000-0x7fff",
            "0x8000",
            "0xc001",
        ]
        .iter()
        .map(ToString::to_string)
        .collect(),
        (Ty::Mark, false) => pool::MARKS.iter().map(|m| format!("{m:#x}")).collect(),
        (Ty::Mac, _) => [
            "02:00:00:00:01:01",
            "02:00:00:00:01:02",
            "02:00:00:00:00:01",
        ]
        .iter()
        .map(ToString::to_string)
        .collect(),
    };
    let mut out: Vec<String> = Vec::new();
    for _ in 0..=r.below(most) {
        let one = pool[r.below(pool.len())].clone();
        let same = |x: &String| *x == one || ty == Ty::Proto && is_gre(x) && is_gre(&one);
        if !out.iter().any(same) {
            out.push(one);
        }
    }
    out
}

fn is_gre(x: &str) -> bool {
    matches!(x, "gre" | "47")
}

/// An address.
pub fn addr(r: &mut Prng, v6: bool) -> &'static str {
    pool::addr(r, v6)
}

/// An address, network or range.
pub fn net(r: &mut Prng, v6: bool) -> String {
    match r.below(4) {
        0 | 1 => addr(r, v6).to_owned(),
        2 => loop {
            let p = pool::prefix(r, v6);
            if !p.ends_with("/32") || v6 {
                break p.to_owned();
            }
        },
        _ => pool::span(r, v6),
    }
}

/// Keys of elements, one for each: components by ` . `.
pub fn keys(r: &mut Prng, types: &[Ty], v6: bool, interval: bool, most: usize) -> Vec<String> {
    let first = several(r, types[0], v6, interval, most);
    first
        .into_iter()
        .map(|k| {
            let mut out = k;
            for ty in &types[1..] {
                let more = several(r, *ty, v6, interval, 1);
                out += " . ";
                out += &more[0];
            }
            out
        })
        .collect()
}

/// The name of a type in a set's declaration.
pub fn name(ty: Ty, v6: bool) -> &'static str {
    match ty {
        Ty::Addr if v6 => "ipv6_addr",
        Ty::Addr => "ipv4_addr",
        Ty::Port => "inet_service",
        Ty::Proto => "inet_proto",
        Ty::If => "ifname",
        Ty::Mark => "mark",
        Ty::Mac => "ether_addr",
    }
}

/// An expression of the type.
pub fn expr(r: &mut Prng, ty: Ty, v6: bool, p: &Place<'_>) -> String {
    let ip = if v6 { "ip6" } else { "ip" };
    match ty {
        Ty::Addr => match r.below(12) {
            0 => format!(
                "ct {} {ip} {}",
                r.pick(&["original", "reply"]),
                r.pick(&["saddr", "daddr"])
            ),
            1..6 => format!("{ip} saddr"),
            _ => format!("{ip} daddr"),
        },
        Ty::Port => r
            .one(&[
                "th dport",
                "th dport",
                "tcp dport",
                "udp dport",
                "tcp dport",
                "th sport",
                "sctp dport",
                "tcp sport",
                "udp sport",
            ])
            .to_owned(),
        Ty::Proto => match r.below(4) {
            0 if v6 => "ip6 nexthdr".into(),
            0 => "ip protocol".into(),
            _ => "meta l4proto".into(),
        },
        Ty::If if p.only(PRE | IN) => "iifname".into(),
        Ty::If if p.only(OUT | POST) => r.one(&["oifname", "oifname", "oifname", "iifname"]).into(),
        Ty::If => r.one(&["iifname", "oifname"]).into(),
        Ty::Mark => r.one(&["meta mark", "meta mark", "ct mark"]).into(),
        Ty::Mac if p.only(PRE | IN | FWD) => "ether saddr".into(),
        Ty::Mac => "ether saddr".into(),
    }
}

/// The key of a set: one expression per component. A second address is the other one.
pub fn key(r: &mut Prng, types: &[Ty], v6: bool, p: &Place<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for ty in types {
        let mut e = expr(r, *ty, v6, p);
        // In a concatenation the transport is told by a component before, or not at all.
        if *ty == Ty::Port && types.contains(&Ty::Proto) {
            r.pick(&["th dport", "th dport", "th sport"])
                .clone_into(&mut e);
        }
        if *ty == Ty::Proto && types.len() > 1 {
            "meta l4proto".clone_into(&mut e);
        }
        parts.push(e);
    }
    parts.join(" . ")
}
