//! What a rule does.

use super::super::matches::{FWD, IN, OUT, PRE};
use super::super::prng::Prng;
use super::matches::Said;
use super::sets::{Data, value, verdict};
use super::values::{Ty, keys};
use super::{Place, nat, values};

/// The rest of a rule: a counter, and what it does. `to` are the chains that it may jump to.
pub fn rest(r: &mut Prng, p: &Place<'_>, said: &mut Said, to: &[String]) -> String {
    let log = if r.chance(6) {
        r.pick(&[
            "log prefix \"a b: \" ",
            "log group 5 ",
            "log level debug flags tcp options ",
            "log ",
        ])
    } else {
        ""
    };
    let comment = if r.chance(5) {
        r.pick(&[" comment \"a comment\"", " comment \"drop; accept\""])
    } else {
        ""
    };
    let what = one(r, p, said, to);
    format!("{log}{what}{comment}")
}

fn one(r: &mut Prng, p: &Place<'_>, said: &mut Said, to: &[String]) -> String {
    if p.mood.stateful && r.chance(12) {
        return dynamic(r, p, said);
    }
    if p.kind == "nat" && r.chance(40) {
        let n = nat::any(r, p, said);
        if !n.is_empty() {
            return n;
        }
    }
    match r.below(40) {
        0..9 if !to.is_empty() => format!(
            "counter {} {}",
            r.pick(&["jump", "jump", "goto"]),
            r.one(to)
        ),
        9..14 => vmap(r, p, said),
        14..18 => format!("counter {}", mark(r, p, said)),
        18..20 => format!("counter {}", ct_mark(r)),
        20..22 => format!("counter {}", mangle(r, said.v6)),
        22 if p.hooks != 0 && p.only(PRE | OUT) && (p.early || r.chance(20)) => {
            "counter notrack".to_owned()
        }
        23 if p.mood.odd && p.hooks != 0 && p.only(PRE | OUT) && p.early => {
            format!(
                "counter ct {}zone set {}",
                r.pick(&["", "original ", "reply "]),
                r.pick(&["7", "8"])
            )
        }
        24..26 if p.kind != "nat" && p.hooks != 0 && p.only(PRE | IN | FWD | OUT) => {
            reject(r, p, said)
        }
        26..28 => "counter drop".into(),
        28..33 => "counter accept".into(),
        33..35 => "counter return".into(),
        35 => "counter continue".into(),
        36 => format!(
            "counter {}",
            r.pick(&[
                "meta nftrace set 1",
                "meta priority set 1:2",
                "ct event set new,destroy"
            ])
        ),
        _ => "counter".into(),
    }
}

fn mark(r: &mut Prng, p: &Place<'_>, said: &Said) -> String {
    let ip = if said.v6 { "ip6" } else { "ip" };
    match r.below(10) {
        0..3 => format!(
            "meta mark set {}",
            r.pick(&["0x1", "0x10", "0x4000", "0x8000", "0x0"])
        ),
        3 => "meta mark set meta mark or 0x4000".into(),
        4 => format!(
            "meta mark set meta mark {}",
            r.pick(&["and 0xffff00ff", "xor 0x4000", "& 0xbfff"])
        ),
        5 => "meta mark set ct mark".into(),
        6 => {
            let list: Vec<String> = keys(r, &[Ty::Addr], said.v6, true, 4)
                .into_iter()
                .map(|k| format!("{k} : {}", value(r, Data::Mark, said.v6, &[])))
                .collect();
            let side = r.pick(&["saddr", "daddr"]);
            format!("meta mark set {ip} {side} map {{ {} }}", list.join(", "))
        }
        7 if p.mood.random => "meta mark set numgen random mod 3 offset 1".into(),
        8 => match named(r, p, said, Data::Mark) {
            Some((key, name)) => format!("meta mark set {key} map @{name}"),
            None => "meta mark set 0x1".into(),
        },
        _ => r
            .pick(&[
                "meta mark set (meta mark & 0xffff) | 0x10000",
                "meta mark set mark and 0x0 xor 0x11",
            ])
            .to_owned(),
    }
}

fn ct_mark(r: &mut Prng) -> String {
    r.pick(&[
        "ct mark set 0x4000",
        "ct mark set meta mark",
        "ct mark set ct mark or 0x10",
        "ct mark set meta mark and 0xff",
        "ct mark set 0x1",
        "ct mark set ct mark xor 0x11",
    ])
    .to_owned()
}

fn mangle(r: &mut Prng, v6: bool) -> String {
    let ip = if v6 { "ip6" } else { "ip" };
    match r.below(4) {
        0 => format!("{ip} dscp set {}", r.pick(&["ef", "cs0", "af11", "0x04"])),
        1 => format!("{ip} ecn set {}", r.pick(&["ce", "not-ect", "ect0"])),
        _ => format!(
            "{ip} {} set {}",
            if v6 { "hoplimit" } else { "ttl" },
            r.pick(&["64", "1", "2", "255", "33"])
        ),
    }
}

fn reject(r: &mut Prng, p: &Place<'_>, said: &Said) -> String {
    let with = match r.below(6) {
        0 => "",
        1 if said.proto.is_none_or(|p| p == "tcp") => {
            let tcp = if said.proto.is_none() {
                "meta l4proto tcp "
            } else {
                ""
            };
            return format!("{tcp}counter reject with tcp reset");
        }
        2 | 3 if p.family == "inet" => r.pick(&[
            " with icmpx type port-unreachable",
            " with icmpx type admin-prohibited",
            " with icmpx type no-route",
            " with icmpx type host-unreachable",
        ]),
        _ if said.v6 => r.pick(&[
            " with icmpv6 type no-route",
            " with icmpv6 type admin-prohibited",
            " with icmpv6 type addr-unreachable",
            " with icmpv6 type port-unreachable",
            " with icmpv6 type policy-fail",
            " with icmpv6 type reject-route",
        ]),
        _ => r.pick(&[
            " with icmp type host-unreachable",
            " with icmp type net-unreachable",
            " with icmp type prot-unreachable",
            " with icmp type port-unreachable",
            " with icmp type net-prohibited",
            " with icmp type host-prohibited",
            " with icmp type admin-prohibited",
        ]),
    };
    format!("counter reject{with}")
}

/// A named set or map of the rule's family: its key and name.
pub fn named(r: &mut Prng, p: &Place<'_>, said: &Said, data: Data) -> Option<(String, String)> {
    let fit: Vec<_> = p
        .sets
        .iter()
        .filter(|s| s.data == data && s.v6.is_none_or(|v6| v6 == said.v6))
        .collect();
    if fit.is_empty() {
        return None;
    }
    let s = fit[r.below(fit.len())];
    let v6 = s.v6.unwrap_or(said.v6);
    Some((values::key(r, &s.types, v6, p), s.name.clone()))
}

/// Verdicts by a map.
fn vmap(r: &mut Prng, p: &Place<'_>, said: &Said) -> String {
    if r.chance(45)
        && !p.leaves.is_empty()
        && let Some((key, name)) = named(r, p, said, Data::Verdict)
    {
        return format!("counter {key} vmap @{name}");
    }
    let arm = |r: &mut Prng, keys: &[&str]| {
        let mut out = Vec::new();
        for k in keys {
            if r.chance(70) {
                out.push(format!("{k} : {}", verdict(r, p.leaves)));
            }
        }
        if out.is_empty() {
            out.push(format!("{} : {}", keys[0], verdict(r, p.leaves)));
        }
        out.join(", ")
    };
    let (key, list) = match r.below(9) {
        0 | 1 => (
            "ct state".to_owned(),
            arm(
                r,
                &["new", "established", "related", "invalid", "untracked"],
            ),
        ),
        2 => (
            "meta l4proto".to_owned(),
            arm(r, &["tcp", "udp", "icmp", "ipv6-icmp", "sctp"]),
        ),
        3 => (
            r.pick(&["iifname", "oifname"]).to_owned(),
            arm(r, &["\"ext0\"", "\"pod*\"", "\"lo\"", "\"ext1\""]),
        ),
        4 => (
            "meta mark".to_owned(),
            arm(r, &["0x0", "0x1-0xf", "0x4000", "0x8000"]),
        ),
        5 if p.mood.random => (
            r.pick(&["numgen random mod 3", "numgen inc mod 3", "symhash mod 3"])
                .to_owned(),
            arm(r, &["0", "1", "2"]),
        ),
        6 => (
            if p.hooks != 0 && p.only(PRE | IN) {
                "fib daddr type"
            } else {
                "fib saddr type"
            }
            .to_owned(),
            arm(
                r,
                &["local", "unicast", "broadcast", "multicast", "blackhole"],
            ),
        ),
        _ => {
            let types: &[Ty] = r.one(&[
                &[Ty::Addr][..],
                &[Ty::Port][..],
                &[Ty::Addr, Ty::Proto, Ty::Port][..],
                &[Ty::Proto, Ty::Port][..],
                &[Ty::Addr, Ty::If][..],
            ]);
            let interval = r.chance(60);
            let list: Vec<String> = keys(r, types, said.v6, interval, 5)
                .into_iter()
                .map(|k| format!("{k} : {}", verdict(r, p.leaves)))
                .collect();
            (values::key(r, types, said.v6, p), list.join(", "))
        }
    };
    format!("counter {key} vmap {{ {list} }}")
}

/// `add`, `update`, `delete` of an element.
fn dynamic(r: &mut Prng, p: &Place<'_>, said: &Said) -> String {
    let fit: Vec<_> = p
        .sets
        .iter()
        .filter(|s| s.dynamic && s.v6.is_none_or(|v6| v6 == said.v6))
        .collect();
    if fit.is_empty() {
        return "counter".into();
    }
    let s = fit[r.below(fit.len())];
    let key = values::key(r, &s.types, s.v6.unwrap_or(said.v6), p);
    let op = r.pick(&["add", "update", "update", "delete"]);
    let more = match op {
        "delete" => "",
        _ => r.pick(&[
            "",
            "",
            "",
            " limit rate 1/second burst 1 packets",
            " limit rate over 1/second burst 5 packets",
            " counter",
        ]),
    };
    let end = r.pick(&["", "", " accept", " drop"]);
    format!("{op} @{} {{ {key}{more} }} counter{end}", s.name)
}
