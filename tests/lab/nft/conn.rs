//! `ct`.

use super::super::prng::Prng;
use super::matches::{literal, ne};
use super::meta;
use super::values::{Ty, net, several};

/// A question about the connection.
pub fn any(r: &mut Prng, v6: bool) -> String {
    let ip = if v6 { "ip6" } else { "ip" };
    let not = ne(r);
    let way = r.pick(&["original", "reply"]);
    match r.below(20) {
        0..7 => format!(
            "ct state {}",
            r.pick(&[
                "new",
                "established,related",
                "{ new, established }",
                "!= new",
                "invalid",
                "invalid,untracked",
                "untracked",
                "! established",
                "new,established,related",
                "!= { established, related }",
                "& (new|established) == new",
                "== new",
            ])
        ),
        7 | 8 => format!(
            "ct status {}",
            r.pick(&[
                "dnat",
                "snat",
                "! dnat",
                "& dnat == dnat",
                "dnat,snat",
                "assured",
                "confirmed",
                "seen-reply",
                "! confirmed",
                "expected",
                "!= 0",
            ])
        ),
        9..11 => meta::mark(r, "ct mark"),
        11 => format!("ct direction {not}{}", r.pick(&["original", "reply"])),
        12 | 13 => format!(
            "ct {way} {ip} {} {not}{}",
            r.pick(&["saddr", "daddr"]),
            net(r, v6)
        ),
        14 => format!(
            "ct {way} {ip} daddr {not}{}",
            literal(&several(r, Ty::Addr, v6, true, 4))
        ),
        15 => format!(
            "meta l4proto {{ tcp, udp }} ct {way} {} {not}{}",
            r.pick(&["proto-src", "proto-dst"]),
            r.pick(&["80", "8080", "20000-24999", "{ 53, 443, 25000-29999 }"])
        ),
        16 => format!(
            "ct {}zone {not}{}",
            r.pick(&["", "original ", "reply "]),
            r.pick(&["0", "7"])
        ),
        17 | 18 => format!("ct direction {not}reply"),
        _ => format!("ct helper {not}\"ftp\""),
    }
}
