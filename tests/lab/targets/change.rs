//! Targets that change the packet, its mark, its connection's mark, or a set.

use super::super::matches::{FWD, IN, OUT, POST, PRE, Place};
use super::super::pool;
use super::super::prng::Prng;

pub fn mark(r: &mut Prng) -> String {
    let m = pool::mark(r);
    match r.below(6) {
        0 => format!(" -j MARK --set-mark {m}"),
        1 => format!(" -j MARK --or-mark {:#x}", r.one(&pool::MARKS)),
        2 => format!(
            " -j MARK --and-mark {:#x}",
            r.one(&[0xffff_bfffu32, 0xff, 0xc000])
        ),
        3 => " -j MARK --xor-mark 0x4000".into(),
        4 => format!(" -j MARK --set-xmark {:#x}/0x0", r.one(&[0x4000, 0x1])),
        _ => format!(" -j MARK --set-xmark {m}"),
    }
}

pub fn connmark(r: &mut Prng) -> String {
    let m = pool::mark(r);
    match r.below(12) {
        0 | 1 => format!(" -j CONNMARK --set-xmark {m}"),
        2 => format!(" -j CONNMARK --set-mark {m}"),
        3 => format!(" -j CONNMARK --or-mark {:#x}", r.one(&pool::MARKS)),
        4 => " -j CONNMARK --and-mark 0xc000".into(),
        5 => " -j CONNMARK --xor-mark 0x4000".into(),
        6 => " -j CONNMARK --save-mark --nfmask 0xffff --ctmask 0xffff".into(),
        7 => " -j CONNMARK --save-mark".into(),
        8 => " -j CONNMARK --save-mark --mask 0xc000".into(),
        9 => " -j CONNMARK --restore-mark --nfmask 0xc000 --ctmask 0xc000".into(),
        10 => " -j CONNMARK --restore-mark".into(),
        _ => " -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xc000".into(),
    }
}

/// `SET`. A later rule for the same packet sees what was added.
pub fn set(r: &mut Prng, p: &Place<'_>) -> String {
    let fit: Vec<_> = p
        .sets
        .iter()
        .filter(|s| s.v6 == Some(p.v6) && matches!(s.dims, ["ip"] | ["ip", "port"]))
        .filter(|s| !s.name.starts_with("list"))
        .collect();
    if fit.is_empty() {
        return mark(r);
    }
    let s = fit[r.below(fit.len())];
    let dir = r.one(&["src", "dst"]);
    let flags = vec![dir; s.dims.len()].join(",");
    match r.below(4) {
        0 | 1 => format!(" -j SET --add-set {} {flags}", s.name),
        2 => format!(" -j SET --add-set {} {flags} --exist", s.name),
        _ => format!(" -j SET --del-set {} {flags}", s.name),
    }
}

/// What only the mangle table takes.
pub fn mangle(r: &mut Prng, p: &Place<'_>) -> String {
    match r.below(12) {
        0 => format!(" -j DSCP --set-dscp {}", r.one(&["0x2e", "0x00", "0x04"])),
        1 => format!(" -j DSCP --set-dscp-class {}", r.one(&["EF", "CS1"])),
        2 | 3 => format!(
            " -j TOS {}",
            r.one(&[
                "--set-tos 0x10/0xff",
                "--set-tos 0x28/0x3f",
                "--set-tos 0x00/0xff",
                "--set-tos 0x10",
                "--or-tos 0x08",
                "--and-tos 0xf0",
                "--xor-tos 0x10"
            ])
        ),
        4 | 5 => {
            let (t, o) = if p.v6 { ("HL", "hl") } else { ("TTL", "ttl") };
            let what = r.one(&["set 1", "set 30", "inc 3", "dec 1", "set 64", "dec 64"]);
            format!(" -j {t} --{o}-{what}")
        }
        6 => {
            let how = if p.only(FWD | OUT | POST) && r.chance(50) {
                "--clamp-mss-to-pmtu"
            } else {
                "--set-mss 1000"
            };
            format!(" -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS {how}")
        }
        7 => " -j CHECKSUM --checksum-fill".into(),
        8 if p.only(FWD | OUT | POST) => " -j CLASSIFY --set-class 1:1".into(),
        9 if p.only(PRE | IN | FWD) => " -p tcp -j TCPOPTSTRIP --strip-options 8".into(),
        _ => mark(r),
    }
}
