//! Translations.

use super::super::matches::{IN, OUT, POST, PRE};
use super::super::prng::Prng;
use super::Place;
use super::matches::Said;
use super::sets::{Data, target, value};
use super::stmts::named;
use super::values::{Ty, keys};

/// One that the hooks of the chain allow; empty if there is none.
pub fn any(r: &mut Prng, p: &Place<'_>, said: &mut Said) -> String {
    if p.hooks == 0 {
        return String::new();
    }
    let text = if p.only(PRE | OUT) {
        if r.chance(30) {
            redirect(r, said)
        } else {
            dnat(r, p, said)
        }
    } else if p.only(POST) {
        if r.chance(55) {
            masquerade(r, said)
        } else {
            snat(r, p, said)
        }
    } else if p.only(POST | IN) {
        snat(r, p, said)
    } else {
        String::new()
    };
    if text.is_empty() {
        return text;
    }
    // A counter behind a translation never counts.
    match text.rsplit_once('\u{1f}') {
        Some((matches, nat)) => format!("{matches} counter {nat}"),
        None => format!("counter {text}"),
    }
}

/// Ports are of a transport: the match for it, where the rule has none yet.
fn with_transport(r: &mut Prng, said: &mut Said, nat: &str) -> String {
    match said.proto {
        Some("tcp" | "udp" | "sctp" | "dccp" | "udplite") => nat.to_owned(),
        Some(_) => String::new(),
        None => {
            let (text, proto) = r.one(&[
                ("meta l4proto tcp", "tcp"),
                ("meta l4proto { tcp, udp }", "tcp"),
                ("meta l4proto udp", "udp"),
                ("tcp dport { 80, 443, 8080 }", "tcp"),
            ]);
            said.proto = Some(proto);
            format!("{text}\u{1f}{nat}")
        }
    }
}

fn at(v6: bool, addr: &str, port: &str) -> String {
    if v6 {
        format!("[{addr}]:{port}")
    } else {
        format!("{addr}:{port}")
    }
}

/// `ip` or `ip6` in inet tables.
fn of(p: &Place<'_>, v6: bool) -> &'static str {
    match (p.family, v6) {
        ("inet", true) => "ip6 ",
        ("inet", false) => "ip ",
        _ => "",
    }
}

fn dnat(r: &mut Prng, p: &Place<'_>, said: &mut Said) -> String {
    let v6 = said.v6;
    let ip = if v6 { "ip6" } else { "ip" };
    let of = of(p, v6);
    let flags = r.pick(&["", "", "", "", " random", " persistent"]);
    let to = target(r, v6);
    match r.below(14) {
        0..4 => format!("dnat {of}to {to}{flags}"),
        4..7 => {
            let port = r.pick(&["8080", "80", "8080-8090", "53"]);
            let nat = format!("dnat {of}to {}{flags}", at(v6, to, port));
            with_transport(r, said, &nat)
        }
        7 => {
            let (lo, hi) = if v6 { ("fd03::10", "fd03::11") } else { ("10.3.0.10", "10.3.0.11") };
            format!("dnat {of}to {lo}-{hi}{flags}")
        }
        8 => {
            let family = if p.family == "inet" { of } else { "" };
            let nat = format!("dnat {family}to :{}", r.pick(&["8080", "80", "5000-5010"]));
            with_transport(r, said, &nat)
        }
        9 if p.mood.random => format!(
            "dnat {of}to numgen {} mod 2 map {{ 0 : {}, 1 : {} }}",
            r.pick(&["random", "inc"]),
            target(r, v6),
            target(r, v6)
        ),
        10 => {
            let list: Vec<String> = keys(r, &[Ty::Addr], v6, true, 5)
                .into_iter()
                .map(|k| format!("{k} : {}", value(r, Data::Addr, v6, &[])))
                .collect();
            format!("dnat {of}to {ip} {} map {{ {} }}", r.pick(&["daddr", "saddr"]), list.join(", "))
        }
        11 => {
            let list: Vec<String> = keys(r, &[Ty::Addr, Ty::Port], v6, false, 5)
                .into_iter()
                .map(|k| format!("{k} : {}", value(r, Data::AddrPort, v6, &[])))
                .collect();
            format!("dnat {ip} to {ip} daddr . tcp dport map {{ {} }}", list.join(", "))
        }
        12 => match named(r, p, said, r_data(p)) {
            Some((key, name)) => format!("dnat {ip} to {key} map @{name}"),
            None => format!("dnat {of}to {to}"),
        },
        // Of IPv4 the kernel takes three quarters of the new address from what lies on its stack (`nft_nat_setup_netmap`): the
        // connection is another one each time.
        _ if v6 => "dnat ip6 prefix to ip6 daddr map { fd96::/108 : fd03::/108, fd01::10/124 : fd03::10/124 }".into(),
        _ => format!("dnat {of}to {to}"),
    }
}

/// What a named map of addresses gives.
fn r_data(p: &Place<'_>) -> Data {
    if p.sets.iter().any(|s| s.data == Data::AddrPort) {
        Data::AddrPort
    } else {
        Data::Addr
    }
}

fn redirect(r: &mut Prng, said: &mut Said) -> String {
    match r.below(6) {
        0 | 1 => "redirect".into(),
        2 => with_transport(r, said, "redirect to :8080"),
        3 => with_transport(r, said, "redirect to :8080-8090"),
        4 => with_transport(r, said, "redirect to :5000 random"),
        _ if said.proto.is_none_or(|p| p == "tcp") => {
            said.proto = Some("tcp");
            "redirect to :tcp dport map { 80 : 8080, 443 : 5000, 8080 : 80 }".into()
        }
        _ => "redirect".into(),
    }
}

fn masquerade(r: &mut Prng, said: &mut Said) -> String {
    match r.below(7) {
        0..3 => "masquerade".into(),
        3 => "masquerade random".into(),
        4 => "masquerade fully-random".into(),
        5 => with_transport(r, said, "masquerade to :20000-24999"),
        _ => "masquerade persistent".into(),
    }
}

fn snat(r: &mut Prng, p: &Place<'_>, said: &mut Said) -> String {
    let v6 = said.v6;
    let ip = if v6 { "ip6" } else { "ip" };
    let of = of(p, v6);
    let to = if v6 {
        r.one(&["fd01::1", "fd02::1", "fd01::99"])
    } else {
        r.one(&["10.1.0.1", "10.2.0.1", "10.1.0.99"])
    };
    match r.below(9) {
        0..3 => format!(
            "snat {of}to {to}{}",
            r.pick(&["", "", " random", " fully-random", " persistent"])
        ),
        3 | 4 => {
            let nat = format!(
                "snat {of}to {}",
                at(v6, to, r.pick(&["20000-24999", "30000", "1024-2000"]))
            );
            with_transport(r, said, &nat)
        }
        5 if v6 => format!("snat {of}to fd01::90-fd01::91"),
        5 => format!("snat {of}to 10.1.0.90-10.1.0.91"),
        6 => {
            let list: Vec<String> = keys(r, &[Ty::Addr], v6, true, 5)
                .into_iter()
                .map(|k| format!("{k} : {}", value(r, Data::Addr, v6, &[])))
                .collect();
            format!("snat {of}to {ip} saddr map {{ {} }}", list.join(", "))
        }
        7 if v6 => "snat ip6 prefix to ip6 saddr map { fd03::/108 : fd02::/108 }".into(),
        _ => format!("snat {of}to {to}"),
    }
}
