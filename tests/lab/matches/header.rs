//! What the IP header and the frame's header say.

use super::super::pool;
use super::super::prng::Prng;
use super::{FWD, IN, OUT, POST, PRE, Place};

/// `-s`, `-d`, `-i`, `-o` and `-f`.
pub fn addresses(r: &mut Prng, p: &Place<'_>) -> String {
    let mut out = String::new();
    if r.chance(20) {
        out += &format!(" {}-s {}", r.not(30), pool::net(r, p.v6));
    }
    if r.chance(25) {
        out += &format!(" {}-d {}", r.not(30), pool::net(r, p.v6));
    }
    if r.chance(12) && (!p.base || p.only(PRE | IN | FWD)) {
        out += &format!(" {}-i {}", r.not(25), pool::device(r));
    }
    if r.chance(12) && (!p.base || p.only(FWD | OUT | POST)) {
        out += &format!(" {}-o {}", r.not(25), pool::device(r));
    }
    if !p.v6 && r.chance(2) {
        out += &format!(" {}-f", r.not(60));
    }
    out
}

pub fn length(r: &mut Prng) -> String {
    let v = r.one(&["0:60", "100:500", "48", "1000:", "36:60", "28:65535"]);
    format!(" -m length {}--length {v}", r.not(30))
}

pub fn dscp(r: &mut Prng) -> String {
    match r.below(4) {
        0 => format!(
            " -m dscp {}--dscp-class {}",
            r.not(30),
            r.one(&["EF", "AF11", "CS0"])
        ),
        _ => format!(
            " -m dscp {}--dscp {}",
            r.not(40),
            r.one(&["0x2e", "0x0a", "0x00", "0x04"])
        ),
    }
}

pub fn tos(r: &mut Prng) -> String {
    let v = r.one(&["0x10/0x3f", "0xb8/0xff", "0x00/0xff", "0x28/0x38"]);
    format!(" -m tos {}--tos {v}", r.not(40))
}

pub fn ttl(r: &mut Prng, p: &Place<'_>) -> String {
    let (m, o) = if p.v6 { ("hl", "hl") } else { ("ttl", "ttl") };
    match r.below(4) {
        0 | 1 => format!(
            " -m {m} {}--{o}-eq {}",
            r.not(40),
            r.one(&[64, 63, 2, 1, 255])
        ),
        2 => format!(" -m {m} --{o}-lt {}", r.one(&[64, 3, 255])),
        _ => format!(" -m {m} --{o}-gt {}", r.one(&[64, 3, 1])),
    }
}

pub fn iprange(r: &mut Prng, p: &Place<'_>) -> String {
    let mut s = " -m iprange".to_owned();
    let which = r.below(5);
    if which >= 2 || which == 0 {
        s += &format!(" {}--src-range {}", r.not(30), pool::span(r, p.v6));
    }
    if which < 2 {
        s += &format!(" {}--dst-range {}", r.not(30), pool::span(r, p.v6));
    }
    s
}

pub fn mac(r: &mut Prng) -> String {
    let n = r.one(&[1, 2]);
    format!(" -m mac {}--mac-source 02:00:00:00:01:0{n}", r.not(40))
}

pub fn pkttype(r: &mut Prng) -> String {
    let t = r.one(&["unicast", "multicast", "broadcast", "unicast"]);
    format!(" -m pkttype {}--pkt-type {t}", r.not(30))
}
