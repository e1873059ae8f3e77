//! Connections.

use super::super::pool;
use super::super::prng::Prng;
use super::Place;

/// `state`, the old form.
pub fn state(r: &mut Prng) -> String {
    format!(" -m state {}--state {}", r.not(30), states(r, false))
}

/// `helper`; no flow of the lab has one.
pub fn helper(r: &mut Prng) -> String {
    format!(
        " -m helper {}--helper {}",
        r.not(40),
        r.one(&["ftp", "\"\""])
    )
}

fn states(r: &mut Prng, nat: bool) -> String {
    let all: &[&str] = &[
        "NEW",
        "ESTABLISHED",
        "RELATED",
        "INVALID",
        "UNTRACKED",
        "DNAT",
        "SNAT",
    ];
    let mut out: Vec<&str> = Vec::new();
    for _ in 0..=r.below(2) {
        let s = r.pick(if nat { all } else { &all[..5] });
        if !out.contains(&s) {
            out.push(s);
        }
    }
    out.join(",")
}

/// `conntrack`: mostly one option, so that the counts show what it says, sometimes several.
pub fn conntrack(r: &mut Prng, p: &Place<'_>) -> String {
    let mut s = " -m conntrack".to_owned();
    let mut had = Vec::new();
    let many = if r.chance(25) { 1 + r.below(3) } else { 0 };
    for _ in 0..=many {
        let (name, text) = option(r, p);
        if !had.contains(&name) {
            had.push(name);
            s += &text;
        }
    }
    s
}

fn option(r: &mut Prng, p: &Place<'_>) -> (&'static str, String) {
    let not = r.not(30);
    match r.below(24) {
        0..9 => ("state", format!(" {not}--ctstate {}", states(r, true))),
        9 => {
            let v = r.one(&["tcp", "udp", "17", "132", "47"]);
            ("proto", format!(" {not}--ctproto {v}"))
        }
        10 => ("os", format!(" {not}--ctorigsrc {}", pool::net(r, p.v6))),
        11 => ("od", format!(" {not}--ctorigdst {}", pool::net(r, p.v6))),
        12 => ("rs", format!(" {not}--ctreplsrc {}", pool::net(r, p.v6))),
        13 => ("rd", format!(" {not}--ctrepldst {}", pool::net(r, p.v6))),
        14 => ("osp", format!(" {not}--ctorigsrcport {}", pool::sport(r))),
        15 | 16 => ("odp", format!(" {not}--ctorigdstport {}", pool::port(r))),
        17 => ("rsp", format!(" {not}--ctreplsrcport {}", pool::port(r))),
        18 => ("rdp", format!(" {not}--ctrepldstport {}", pool::sport(r))),
        19..21 => {
            let v = r.one(&[
                "NONE",
                "SEEN_REPLY",
                "CONFIRMED",
                "ASSURED",
                "EXPECTED",
                "SEEN_REPLY,CONFIRMED",
            ]);
            ("status", format!(" {not}--ctstatus {v}"))
        }
        21 if p.odd => {
            let v = r.one(&["10:40", "100:1000000", "0"]);
            ("expire", format!(" {not}--ctexpire {v}"))
        }
        _ => (
            "dir",
            format!(" --ctdir {}", r.one(&["ORIGINAL", "REPLY", "ORIGINAL"])),
        ),
    }
}
