//! Random tables: chains, jumps, gotos, returns, policies, and every target that a hook allows.

use super::matches::{FWD, IN, OUT, POST, PRE, Place, some};
use super::pool;
use super::prng::Prng;
use super::sets::SetSpec;
use super::spec::{Backend, Rule, Table};

const HOOKS: [(&str, u8); 5] = [
    ("PREROUTING", PRE),
    ("INPUT", IN),
    ("FORWARD", FWD),
    ("OUTPUT", OUT),
    ("POSTROUTING", POST),
];

/// What kinds of rules a node has.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// Rules that draw numbers.
    pub random: bool,
    /// Rules that keep state.
    pub stateful: bool,
    /// Rules per table, at most.
    pub rules: usize,
}

/// All tables of a node. Those of nft come first: of two hooks with the same number the one registered later runs first, and
/// legacy is to run before nft.
pub fn make(r: &mut Prng, sets: &[SetSpec], mood: Mood) -> Vec<Table> {
    let mut out = Vec::new();
    let nft = r.chance(55);
    let legacy = !nft || r.chance(55);
    for (backend, on) in [(Backend::Nft, nft), (Backend::Legacy, legacy)] {
        for v6 in [false, true] {
            for name in ["raw", "mangle", "nat", "filter", "security"] {
                let percent = match name {
                    "filter" => 100,
                    "nat" => 80,
                    "security" => 25,
                    _ => 50,
                };
                // There is always something to capture.
                let keep = name == "filter" && backend == Backend::Legacy;
                if on && r.chance(percent) {
                    out.push(table(r, backend, v6, name, sets, mood));
                } else if keep {
                    out.push(Table {
                        backend,
                        v6,
                        name,
                        chains: base_chains(name)
                            .map(|(c, _)| (c.to_owned(), Some("ACCEPT")))
                            .collect(),
                        rules: Vec::new(),
                    });
                }
            }
        }
    }
    out
}

fn base_chains(table: &str) -> impl Iterator<Item = (&'static str, u8)> + use<> {
    let hooks = match table {
        "raw" => PRE | OUT,
        "mangle" => PRE | IN | FWD | OUT | POST,
        "nat" => PRE | IN | OUT | POST,
        _ => IN | FWD | OUT,
    };
    HOOKS.into_iter().filter(move |(_, h)| hooks & h != 0)
}

fn table(
    r: &mut Prng,
    backend: Backend,
    v6: bool,
    name: &'static str,
    sets: &[SetSpec],
    mood: Mood,
) -> Table {
    let mut t = Table {
        backend,
        v6,
        name,
        chains: Vec::new(),
        rules: Vec::new(),
    };
    let mut all: Vec<(String, u8)> = Vec::new();
    for (chain, hook) in base_chains(name) {
        // nat chains that drop by policy are refused by nobody and used by nobody.
        let policy = if name != "nat" && r.chance(8) {
            "DROP"
        } else {
            "ACCEPT"
        };
        t.chains.push((chain.to_owned(), Some(policy)));
        all.push((chain.to_owned(), hook));
    }
    let whole = all.iter().fold(0, |a, (_, h)| a | h);
    let base = all.len();
    for i in 0..2 + r.below(5) {
        let hooks = match (name, r.below(4)) {
            ("nat", 0 | 1) => PRE | OUT,
            ("nat", _) => POST,
            (_, 0) => whole,
            _ => all[r.below(base)].1 | all[r.below(base)].1,
        };
        let chain = format!("C{i}");
        t.chains.push((chain.clone(), None));
        all.push((chain, hooks));
    }
    // Every base chain gets some, and so do the others.
    for (i, (chain, hooks)) in all.iter().enumerate() {
        let n = 1 + r.below((mood.rules / all.len()).max(2));
        for _ in 0..n {
            let place = Place {
                v6,
                table: name,
                hooks: *hooks,
                base: i < base,
                sets,
                random: mood.random,
                stateful: mood.stateful,
            };
            let mut matches = some(r, &place);
            let target = target(r, &place, &all, i.max(base - 1) + 1);
            if target.contains("-p ") && matches.contains("-p ") {
                // A rule names its protocol once.
                matches.clear();
            }
            t.rules.push(Rule {
                chain: chain.clone(),
                text: format!("{matches}{target}").trim().to_owned(),
            });
        }
    }
    t.rules
        .sort_by_key(|rule| all.iter().position(|(c, _)| *c == rule.chain));
    t
}

/// A target, with jumps only to chains from `first` on, so that nothing goes in circles.
fn target(r: &mut Prng, p: &Place<'_>, all: &[(String, u8)], first: usize) -> String {
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
    match n {
        0..42 => " -j RETURN".into(),
        42..50 => " -j ACCEPT".into(),
        50..54 if p.table != "nat" => " -j DROP".into(),
        54..60 if p.table == "filter" => reject(r, p),
        60..64 => String::new(),
        64..69 => mark(r),
        69..72 => connmark(r),
        72..74 => " -j NFLOG --nflog-group 9".into(),
        74 => " -j LOG --log-prefix \"lab \"".into(),
        75 if p.stateful => " -j NFQUEUE --queue-num 9".into(),
        76 if p.stateful => " -j NFQUEUE --queue-num 9 --queue-bypass".into(),
        _ => special(r, p),
    }
}

fn special(r: &mut Prng, p: &Place<'_>) -> String {
    match p.table {
        "raw" => match r.below(4) {
            0 => " -j CT --notrack".into(),
            1 => " -j NOTRACK".into(),
            2 => " -j ACCEPT".into(),
            _ => mark(r),
        },
        "mangle" => match r.below(5) {
            0 => format!(" -j DSCP --set-dscp {}", r.one(&["0x2e", "0x00", "0x04"])),
            1 => format!(
                " -j TOS --set-tos {}",
                r.one(&["0x10/0xff", "0x28/0x3f", "0x00/0xff"])
            ),
            2 => {
                let (t, o) = if p.v6 { ("HL", "hl") } else { ("TTL", "ttl") };
                let what = r.one(&["set 1", "set 30", "inc 3", "dec 1", "set 64"]);
                format!(" -j {t} --{o}-{what}")
            }
            3 => " -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000".into(),
            _ => mark(r),
        },
        "nat" => nat(r, p),
        _ => mark(r),
    }
}

fn mark(r: &mut Prng) -> String {
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

fn connmark(r: &mut Prng) -> String {
    match r.below(5) {
        0 | 1 => format!(" -j CONNMARK --set-xmark {}", pool::mark(r)),
        2 => " -j CONNMARK --save-mark --nfmask 0xffff --ctmask 0xffff".into(),
        3 => " -j CONNMARK --save-mark".into(),
        _ => " -j CONNMARK --restore-mark --nfmask 0xc000 --ctmask 0xc000".into(),
    }
}

fn reject(r: &mut Prng, p: &Place<'_>) -> String {
    let with = match (p.v6, r.below(4)) {
        (_, 0) => return " -p tcp -j REJECT --reject-with tcp-reset".into(),
        (false, 1) => " --reject-with icmp-admin-prohibited",
        (false, 2) => " --reject-with icmp-host-unreachable",
        (true, 1) => " --reject-with icmp6-adm-prohibited",
        _ => "",
    };
    format!(" -j REJECT{with}")
}

fn nat(r: &mut Prng, p: &Place<'_>) -> String {
    let to = |r: &mut Prng| loop {
        let a = pool::addr(r, p.v6);
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
    };
    let with_port = |a: &str, port: u16| {
        if p.v6 {
            format!("[{a}]:{port}")
        } else {
            format!("{a}:{port}")
        }
    };
    if p.only(PRE | OUT) {
        return match r.below(10) {
            0..4 => format!(" -j DNAT --to-destination {}", to(r)),
            4..7 => {
                let a = with_port(to(r), r.one(&pool::PORTS));
                format!(
                    " {} -j DNAT --to-destination {a}",
                    r.one(&["-p tcp", "-p udp"])
                )
            }
            7 => " -p tcp -j REDIRECT --to-ports 8080".into(),
            8 => " -j REDIRECT".into(),
            _ => netmap(r, p),
        };
    }
    if p.only(POST) {
        return match r.below(10) {
            0..6 => " -j MASQUERADE".into(),
            6 => " -p tcp -j MASQUERADE --random-fully".into(),
            7 => {
                let a = if p.v6 { "fd01::2" } else { "10.1.0.2" };
                format!(" -p tcp -j SNAT --to-source {}", with_port(a, 7777))
            }
            8 => format!(" -j SNAT --to-source {}", to(r)),
            _ => netmap(r, p),
        };
    }
    if p.only(IN) {
        return format!(" -j SNAT --to-source {}", to(r));
    }
    String::new()
}

fn netmap(r: &mut Prng, p: &Place<'_>) -> String {
    let to = if p.v6 {
        r.one(&["fd03::/64", "fd02::/64"])
    } else {
        r.one(&["10.3.0.0/24", "10.2.0.0/24"])
    };
    format!(" -j NETMAP --to {to}")
}
