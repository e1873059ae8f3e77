//! What the packet carries beside its bytes, and questions to the routing tables.

use super::super::matches::{FWD, IN, OUT, POST, PRE};
use super::super::pool;
use super::super::prng::Prng;
use super::Place;
use super::matches::{Said, literal, ne};
use super::values::{Ty, several};

/// `meta`.
pub fn any(r: &mut Prng, p: &Place<'_>, said: &Said) -> String {
    let not = ne(r);
    match r.below(26) {
        0..5 => mark(r, "meta mark"),
        5..8 => format!("{} {not}{}", name(r, p), pattern(r)),
        8 => format!(
            "{} {not}{}",
            name(r, p),
            literal(&several(r, Ty::If, false, true, 4))
        ),
        9 | 10 => {
            let which = if p.only(PRE | IN) {
                "iif"
            } else if p.only(OUT | POST) {
                "oif"
            } else {
                r.one(&["iif", "oif"])
            };
            let dev = r.pick(&["\"ext0\"", "\"pod0\"", "\"lo\"", "{ \"ext1\", \"pod1\" }"]);
            format!("{which} {not}{dev}")
        }
        11 => format!(
            "meta {} {}",
            r.pick(&["iiftype", "oiftype"]),
            // nft takes `iiftype ether` for what `ether saddr` needs, and does not list it; of other single types it dies.
            r.pick(&["!= loopback", "!= ether", "{ ether, loopback }"])
        ),
        12..14 if said.proto.is_none() => format!(
            // nft does not list `meta l4proto 47` before another protocol.
            "meta l4proto {}",
            r.pick(&[
                "!= tcp",
                "!= 47",
                "{ tcp, udp, sctp }",
                "!= { icmp, ipv6-icmp }"
            ])
        ),
        14 if p.family == "inet" => {
            format!("meta nfproto {}", if said.v6 { "ipv6" } else { "ipv4" })
        }
        15 => format!("meta protocol {}", if said.v6 { "ip6" } else { "ip" }),
        16 | 17 => format!(
            "meta pkttype {not}{}",
            r.pick(&["host", "broadcast", "multicast", "{ broadcast, multicast }"])
        ),
        18 | 19 => format!(
            "meta skuid {not}{}",
            r.pick(&["0", "1000", "0-999", "{ 0, 5 }"])
        ),
        20 => format!("meta skgid {not}{}", r.pick(&["0", "1000", "500-2000"])),
        21 => format!(
            "meta length {}",
            r.pick(&["< 60", "100-500", "!= 48", "> 1000", "28-65535"])
        ),
        22 => format!(
            "meta {} {not}{}",
            if p.only(PRE | IN) {
                "iifgroup"
            } else {
                r.pick(&["iifgroup", "oifgroup"])
            },
            r.pick(&["5", "default", "{ 5, 7 }"])
        ),
        23 => format!(
            "meta {} {not}\"{}\"",
            r.pick(&["iifkind", "oifkind"]),
            r.pick(&["veth", "dummy"])
        ),
        24 if p.only(PRE | IN | FWD) => {
            format!("meta ipsec {}", r.pick(&["missing", "exists"]))
        }
        24 => "rt classid 0".into(),
        _ => mark(r, "meta mark"),
    }
}

/// A mark and how it is compared.
pub fn mark(r: &mut Prng, key: &str) -> String {
    let v = r.one(&pool::MARKS);
    match r.below(7) {
        0 | 1 => format!("{key} {}{v:#x}", ne(r)),
        2 | 3 => {
            let m = r.one(&[0x4000u32, 0xc000, 0xf, 0x11, 0x1]);
            format!("{key} & {m:#x} {} {:#x}", r.pick(&["==", "!="]), v & m)
        }
        4 => format!(
            "{key} {}{}",
            ne(r),
            literal(&several(r, Ty::Mark, false, true, 4))
        ),
        5 => format!("{key} {} {v:#x}", r.pick(&["<", ">", "<=", ">="])),
        _ => format!("{key} {}0x1-0x4000", ne(r)),
    }
}

fn name(r: &mut Prng, p: &Place<'_>) -> &'static str {
    match () {
        () if r.chance(5) => r.one(&["iifname", "oifname"]),
        () if p.only(PRE | IN) => "iifname",
        () if p.only(OUT | POST) => r.one(&["oifname", "oifname", "iifname"]),
        () => r.one(&["iifname", "oifname"]),
    }
}

fn pattern(r: &mut Prng) -> &'static str {
    r.one(&[
        "\"ext0\"",
        "\"ext1\"",
        "\"pod0\"",
        "\"pod1\"",
        "\"ext*\"",
        "\"pod*\"",
        "\"lo\"",
        "\"pod01\"",
        "\"ext\"",
        "\"ext\\*\"",
    ])
}

/// `fib`, as far as the hooks allow it (`nft_fib_validate`).
pub fn fib(r: &mut Prng, p: &Place<'_>) -> String {
    let back = p.only(PRE | IN | FWD);
    let dir = if back {
        r.pick(&["", "", " . iif"])
    } else if p.only(OUT | POST | FWD) {
        r.pick(&["", "", " . oif"])
    } else {
        ""
    };
    let mark = r.pick(&["", "", " . mark"]);
    let addr = r.pick(&["saddr", "daddr"]);
    let not = ne(r);
    if !back || r.chance(60) {
        return format!(
            "fib {addr}{mark}{dir} type {not}{}",
            r.pick(&[
                "local",
                "unicast",
                "{ local, broadcast, multicast }",
                "broadcast",
                "blackhole",
                "unreachable",
                "prohibit",
                "{ unspec, unicast }",
                "anycast"
            ])
        );
    }
    match r.below(6) {
        0..3 => format!(
            "fib {addr}{mark}{dir} oif {}",
            r.pick(&["missing", "exists"])
        ),
        3 => format!(
            "fib {addr}{mark}{dir} oif {not}{}",
            r.pick(&["\"ext0\"", "\"pod0\"", "0"])
        ),
        _ => format!(
            "fib {addr}{mark}{dir} oifname {not}{}",
            r.pick(&["\"ext0\"", "\"pod*\"", "{ \"ext1\", \"pod0\" }"])
        ),
    }
}
