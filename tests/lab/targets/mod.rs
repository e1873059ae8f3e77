//! Every target that a hook allows.

mod change;
mod nat;

use super::matches::{PRE, Place};
use super::prng::Prng;

/// A target, with jumps only to chains from `first` on, so that nothing goes in circles.
pub fn target(r: &mut Prng, p: &Place<'_>, all: &[(String, u8)], first: usize) -> String {
    let n = r.below(100);
    if n < 35 {
        let fit: Vec<&String> = all
            .iter()
            .skip(first)
            .filter(|(_, h)| p.hooks & !h == 0)
            .map(|(c, _)| c)
            .collect();
        if !fit.is_empty() {
            let verb = if r.chance(25) { "-g" } else { "-j" };
            return format!(" {verb} {}", fit[r.below(fit.len())]);
        }
    }
    if p.table == "mangle"
        && r.chance(12)
        && let Some(t) = tproxy(r, p)
    {
        return t;
    }
    match n {
        0..42 => " -j RETURN".into(),
        42..50 => " -j ACCEPT".into(),
        50..54 if p.table != "nat" => " -j DROP".into(),
        54..60 if p.table == "filter" => reject(r, p),
        60..63 => String::new(),
        63..68 => change::mark(r),
        68..72 => change::connmark(r),
        72..76 => onlooker(r, p),
        76 if p.stateful => r
            .one(&[
                " -j NFQUEUE --queue-num 9",
                " -j NFQUEUE --queue-num 9 --queue-bypass",
            ])
            .into(),
        77 if p.stateful => change::set(r, p),
        _ => special(r, p),
    }
}

/// Targets that only look.
fn onlooker(r: &mut Prng, p: &Place<'_>) -> String {
    match r.below(12) {
        0..3 => " -j NFLOG --nflog-group 9".into(),
        3 => " -j NFLOG --nflog-group 9 --nflog-prefix \"a b\" --nflog-size 20".into(),
        4..6 => " -j LOG --log-prefix \"lab \"".into(),
        6 => " -j LOG --log-level 4 --log-tcp-options --log-ip-options --log-uid".into(),
        7 => format!(" -j AUDIT --type {}", r.one(&["accept", "drop", "reject"])),
        8 => " -j IDLETIMER --timeout 600 --label lab".into(),
        _ if p.table == "raw" => " -j TRACE".into(),
        // The kernel takes it in the mangle or the security table, not in both.
        9 if p.table == "security" => " -j CONNSECMARK --save".into(),
        _ => " -j NFLOG --nflog-group 9".into(),
    }
}

fn special(r: &mut Prng, p: &Place<'_>) -> String {
    match p.table {
        "raw" => match r.below(6) {
            0 => " -j CT --notrack".into(),
            1 => " -j NOTRACK".into(),
            2 => " -j ACCEPT".into(),
            3 if p.odd => r
                .one(&[
                    " -j CT --zone 5",
                    " -j CT --zone-orig 5",
                    " -j CT --zone-reply 5",
                    " -j CT --zone mark",
                ])
                .into(),
            3 | 4 => r
                .one(&[
                    " -p tcp -j CT --helper ftp",
                    " -p udp -j CT --helper tftp",
                    " -j CT --ctevents new,destroy",
                    " -j CT",
                ])
                .into(),
            _ => change::mark(r),
        },
        "mangle" => change::mangle(r, p),
        "nat" => nat::nat(r, p),
        _ => change::mark(r),
    }
}

fn reject(r: &mut Prng, p: &Place<'_>) -> String {
    let with = match (p.v6, r.below(9)) {
        (_, 0 | 1) => return " -p tcp -j REJECT --reject-with tcp-reset".into(),
        (false, 2) => " --reject-with icmp-admin-prohibited",
        (false, 3) => " --reject-with icmp-host-unreachable",
        (false, 4) => " --reject-with icmp-net-unreachable",
        (false, 5) => " --reject-with icmp-proto-unreachable",
        (false, 6) => " --reject-with icmp-net-prohibited",
        (false, 7) => " --reject-with icmp-host-prohibited",
        (true, 2) => " --reject-with icmp6-adm-prohibited",
        (true, 3) => " --reject-with icmp6-no-route",
        (true, 4) => " --reject-with icmp6-addr-unreachable",
        (true, 5) => " --reject-with icmp6-policy-fail",
        (true, 6) => " --reject-with icmp6-reject-route",
        _ => "",
    };
    format!(" -j REJECT{with}")
}

/// `TPROXY`, of which a capture does not tell whether a socket takes the packet.
fn tproxy(r: &mut Prng, p: &Place<'_>) -> Option<String> {
    (p.odd && p.only(PRE)).then(|| {
        format!(
            " -p {} -j TPROXY --on-port {} --tproxy-mark {}",
            r.one(&["tcp", "udp"]),
            r.one(&[0, 8080, 15001]),
            r.one(&["0x1/0x1", "0x0/0x0"])
        )
    })
}
