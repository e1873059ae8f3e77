//! Targets of the nat table.

use super::super::matches::{IN, OUT, POST, PRE, Place};
use super::super::pool;
use super::super::prng::Prng;

/// One that the hooks allow; nothing where they allow none.
pub fn nat(r: &mut Prng, p: &Place<'_>) -> String {
    if p.only(PRE | OUT) {
        return match r.below(12) {
            0..4 => format!(" -j DNAT --to-destination {}", addr(r, p.v6)),
            4..7 => {
                let a = with_port(addr(r, p.v6), r.one(&["53", "80", "443", "8080", "5000"]));
                format!(" {} -j DNAT --to-destination {a}", proto(r))
            }
            7 => format!(
                " {} -j REDIRECT --to-ports {}",
                proto(r),
                r.one(&["8080", "8080", "8080-8090", "8080-8090 --random"])
            ),
            8 => " -j REDIRECT".into(),
            9 => netmap(r, p),
            _ => dnat(r, p.v6),
        };
    }
    if p.only(POST) {
        return match r.below(13) {
            0..5 => " -j MASQUERADE".into(),
            5 => format!(
                " {} -j MASQUERADE {}",
                proto(r),
                r.one(&["--random-fully", "--random"])
            ),
            6 => format!(
                " {} -j MASQUERADE --to-ports {}",
                proto(r),
                r.one(&["7777", "1024-2000", "1024-2000 --random", "20000-29999"])
            ),
            7 => {
                let a = if p.v6 { "fd01::2" } else { "10.1.0.2" };
                format!(" {} -j SNAT --to-source {}", proto(r), with_port(a, "7777"))
            }
            8 | 9 => format!(" -j SNAT --to-source {}", addr(r, p.v6)),
            10 => netmap(r, p),
            _ => snat(r, p.v6),
        };
    }
    if p.only(IN) {
        return match r.below(4) {
            0 => snat(r, p.v6),
            1 => netmap(r, p),
            _ => format!(" -j SNAT --to-source {}", addr(r, p.v6)),
        };
    }
    String::new()
}

fn proto(r: &mut Prng) -> &'static str {
    r.one(&["-p tcp", "-p tcp", "-p udp", "-p udp", "-p sctp"])
}

/// An address that a packet can be sent to.
fn addr(r: &mut Prng, v6: bool) -> &'static str {
    loop {
        let a = pool::addr(r, v6);
        let unfit = [
            "255.255.255.255",
            "224.0.0.5",
            "10.1.0.255",
            "ff02::5",
            "fe80::5",
        ];
        if !unfit.contains(&a) {
            break a;
        }
    }
}

fn with_port(a: &str, port: &str) -> String {
    if a.contains(':') {
        format!("[{a}]:{port}")
    } else {
        format!("{a}:{port}")
    }
}

/// The rarer forms of `DNAT`.
fn dnat(r: &mut Prng, v6: bool) -> String {
    let (a, range) = if v6 {
        ("fd03::10", "fd03::10-fd03::11")
    } else {
        ("10.3.0.10", "10.3.0.10-10.3.0.11")
    };
    let proto = proto(r);
    match r.below(8) {
        0 => format!(" -j DNAT --to-destination {range}"),
        1 => format!(" -j DNAT --to-destination {range} --persistent"),
        2 => format!(
            " {proto} -j DNAT --to-destination {}",
            with_port(range, "8080")
        ),
        3 => format!(
            " {proto} -j DNAT --to-destination {}",
            with_port(a, "8080-8090")
        ),
        4 => format!(" {proto} -j DNAT --to-destination :8080"),
        5 => format!(" {proto} -j DNAT --to-destination {a} --random"),
        // Port 80 becomes 8080, port 81 8081: a map, not a choice.
        6 => format!(
            " {proto} -m {} --dport 80:90 -j DNAT --to-destination {}",
            &proto[3..],
            with_port(a, "8080-8090/80")
        ),
        _ => format!(
            " {proto} -j DNAT --to-destination {} --random",
            with_port(a, "8080-8090")
        ),
    }
}

/// The rarer forms of `SNAT`.
fn snat(r: &mut Prng, v6: bool) -> String {
    let (a, range) = if v6 {
        ("fd01::1", "fd01::1-fd01::2")
    } else {
        ("10.1.0.1", "10.1.0.1-10.1.0.2")
    };
    let proto = proto(r);
    match r.below(7) {
        0 => format!(" -j SNAT --to-source {range}"),
        1 => format!(" -j SNAT --to-source {range} --persistent"),
        2 => format!(" {proto} -j SNAT --to-source {}", with_port(a, "1024-2000")),
        3 => format!(
            " {proto} -j SNAT --to-source {} --random",
            with_port(a, "20000-29999")
        ),
        4 => format!(" {proto} -j SNAT --to-source {a} --random-fully"),
        5 => format!(" {proto} -j SNAT --to-source {a} --random"),
        _ => format!(" {proto} -j SNAT --to-source :20000-24999"),
    }
}

fn netmap(r: &mut Prng, p: &Place<'_>) -> String {
    let to = if p.v6 {
        r.one(&["fd03::/64", "fd02::/64"])
    } else {
        r.one(&["10.3.0.0/24", "10.2.0.0/24"])
    };
    format!(" -j NETMAP --to {to}")
}
