//! Addresses, devices, sets, sockets: what is asked of the node about the packet.

use super::super::pool;
use super::super::prng::Prng;
use super::super::sets::SetSpec;
use super::{FWD, IN, OUT, POST, PRE, Place};

pub fn addrtype(r: &mut Prng, p: &Place<'_>) -> String {
    let types = if p.v6 {
        // IPv6 refuses the others (`addrtype_mt_checkentry_v1`).
        [
            "LOCAL",
            "UNICAST",
            "ANYCAST",
            "MULTICAST",
            "UNREACHABLE",
            "LOCAL",
            "UNICAST",
            "LOCAL",
            "LOCAL",
            "LOCAL,UNREACHABLE",
            "UNSPEC",
            "ANYCAST,UNREACHABLE",
            "UNICAST,LOCAL",
            "MULTICAST,LOCAL",
        ]
    } else {
        [
            "LOCAL",
            "UNICAST",
            "LOCAL",
            "BROADCAST",
            "MULTICAST",
            "BLACKHOLE",
            "UNREACHABLE",
            "PROHIBIT",
            "THROW",
            "LOCAL,BROADCAST",
            "ANYCAST",
            "UNSPEC",
            "NAT",
            "XRESOLVE",
        ]
    };
    let mut s = " -m addrtype".to_owned();
    let which = r.below(4);
    if which != 0 {
        s += &format!(" {}--dst-type {}", r.not(30), r.one(&types));
    }
    if which == 0 || which == 3 {
        s += &format!(" {}--src-type {}", r.not(30), r.one(&types));
    }
    if r.chance(25) {
        if p.only(PRE | IN | FWD) && !(p.only(FWD) && r.chance(50)) {
            s += " --limit-iface-in";
        } else if p.only(FWD | OUT | POST) {
            s += " --limit-iface-out";
        }
    }
    s
}

pub fn set(r: &mut Prng, p: &Place<'_>) -> String {
    let fit: Vec<&SetSpec> = p
        .sets
        .iter()
        .filter(|s| s.v6.is_none_or(|v6| v6 == p.v6))
        .collect();
    if fit.is_empty() {
        return String::new();
    }
    let s = fit[r.below(fit.len())];
    let mut flags = Vec::new();
    for dim in s.dims {
        flags.push(match *dim {
            // The source address of a frame is there only on the way in.
            "mac" => "src",
            "iface" if p.only(PRE | IN) => "src",
            "iface" if p.only(OUT | POST) => "dst",
            _ => r.one(&["src", "dst", "dst"]),
        });
    }
    let extra = if s.nomatch && r.chance(25) {
        " --return-nomatch"
    } else if r.chance(15) {
        " ! --update-counters"
    } else if s.name.starts_with("list") && r.chance(20) {
        " ! --update-subcounters"
    } else if p.odd && s.name == "hipc" {
        r.one(&[" --packets-gt 1", " ! --packets-eq 0", " --bytes-lt 1000"])
    } else {
        ""
    };
    format!(
        " -m set {}--match-set {} {}{extra}",
        r.not(30),
        s.name,
        flags.join(",")
    )
}

pub fn owner(r: &mut Prng, p: &Place<'_>) -> String {
    if !p.only(OUT | POST) {
        return format!(" -m mark {}--mark {}", r.not(30), pool::mark(r));
    }
    let not = r.not(30);
    match r.below(8) {
        0 => format!(" -m owner {not}--uid-owner 1000"),
        1 => format!(" -m owner {not}--uid-owner 0-999"),
        2 => format!(" -m owner {not}--gid-owner 0"),
        3 => format!(" -m owner {not}--gid-owner 1000-1001"),
        4 => format!(" -m owner {not}--gid-owner 1000 --suppl-groups"),
        5 => format!(
            " -m owner {not}--uid-owner root {}--gid-owner 1000",
            r.not(30)
        ),
        _ => format!(" -m owner {not}--socket-exists"),
    }
}

pub fn rpfilter(r: &mut Prng, p: &Place<'_>) -> String {
    if !p.only(PRE) || !matches!(p.table, "raw" | "mangle") {
        return addrtype(r, p);
    }
    let mut s = " -m rpfilter".to_owned();
    for (o, percent) in [
        ("--loose", 35),
        ("--validmark", 35),
        ("--accept-local", 30),
        ("--invert", 50),
    ] {
        if r.chance(percent) {
            s += " ";
            s += o;
        }
    }
    s
}

pub fn devgroup(r: &mut Prng, p: &Place<'_>) -> String {
    let g = r.one(&["0x0", "0x5", "0x4/0x4"]);
    if p.only(PRE | IN | FWD) {
        format!(" -m devgroup {}--src-group {g}", r.not(30))
    } else if p.only(FWD | OUT | POST) {
        format!(" -m devgroup {}--dst-group {g}", r.not(30))
    } else {
        String::new()
    }
}

pub fn policy(r: &mut Prng, p: &Place<'_>) -> String {
    let dir = if p.only(PRE | IN | FWD) {
        "in"
    } else if p.only(FWD | OUT | POST) {
        "out"
    } else {
        return String::new();
    };
    let pol = r.one(&[
        "none",
        "none",
        "ipsec",
        "ipsec --proto esp --mode tunnel",
        "ipsec --strict --reqid 1",
    ]);
    format!(" -m policy --dir {dir} --pol {pol}")
}

/// `physdev`; no device of the lab is a bridge port.
pub fn physdev(r: &mut Prng, p: &Place<'_>) -> String {
    let not = r.not(50);
    let dev = r.one(&["ext0", "ext+", "pod0"]);
    // The kernel refuses to look for output ports where there are none yet (`physdev_mt_check`).
    let out = p.only(FWD | POST);
    match r.below(6) {
        0 | 1 => format!(" -m physdev {not}--physdev-is-in"),
        2 => format!(" -m physdev {not}--physdev-is-bridged"),
        3 => format!(" -m physdev {not}--physdev-in {dev}"),
        4 if out => format!(" -m physdev {not}--physdev-out {dev}"),
        _ if out => format!(" -m physdev {not}--physdev-is-out"),
        _ => format!(" -m physdev {not}--physdev-in {dev}"),
    }
}

/// `realm`.
pub fn realm(r: &mut Prng, p: &Place<'_>) -> String {
    if !p.only(IN | FWD | OUT | POST) {
        return String::new();
    }
    format!(
        " -m realm {}--realm {}",
        r.not(30),
        r.one(&["0x0", "0x1", "0x5/0xf", "0x0/0xff"])
    )
}
