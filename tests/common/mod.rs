//! Nodes made of a few lines of text, and what becomes of packets on them.
//!
//! A test says what the node is with [`Files`], and what is expected with [`check`] (how packets end) or [`passages`]
//! (which chains saw what). Nothing else here touches the simulator, so a change of its interface is a change of this file.
#![allow(
    dead_code,
    reason = "every test program uses a part of what they share"
)]

mod files;

pub use files::Files;

use nfwhy::capture::Snapshot;
use nfwhy::cli::PacketSpec;
use nfwhy::node::{DevId, Node};
use nfwhy::sim::{Conn, simulate};
use nfwhy::trace::{AddrChoice, Outcome, Port, Reason, StepKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The ends of a packet, given as the JSON of the contract.
pub fn walk(snapshot: &Snapshot, packet: &str) -> Vec<Outcome> {
    walk_in(snapshot, packet, None)
}

/// The ends of a packet of a connection that an earlier packet made.
pub fn walk_in(snapshot: &Snapshot, packet: &str, conn: Option<&Conn>) -> Vec<Outcome> {
    let node = Node::new(snapshot);
    let spec: PacketSpec =
        serde_json::from_str(packet).unwrap_or_else(|e| panic!("{packet} is no packet: {e}"));
    let mut resolved = spec
        .resolve(&node)
        .unwrap_or_else(|e| panic!("{packet} is refused: {e}"));
    resolved.conn = conn.cloned();
    match simulate(&node, &resolved) {
        Ok(trace) => trace.outcomes,
        Err(e) => panic!("{packet} is not answered: {e}"),
    }
}

/// The one end of a packet whose path does not fork.
pub fn walk_one(snapshot: &Snapshot, packet: &str, conn: Option<&Conn>) -> Outcome {
    let mut outcomes = walk_in(snapshot, packet, conn);
    let outcome = outcomes.pop().expect("a packet has an end");
    assert!(outcomes.is_empty(), "{packet} forks");
    outcome
}

/// What is wrong with the input, one message a line; a node of a test usually has nothing wrong.
pub fn warnings(snapshot: &Snapshot) -> Vec<String> {
    Node::new(snapshot)
        .warnings
        .iter()
        .map(|w| {
            let file = w.file.map(|f| Node::new(snapshot).file_name(f).to_owned());
            format!("{}:{}: {}", file.unwrap_or_default(), w.line, w.message)
        })
        .collect()
}

/// Holds the ends of a packet against what is expected, one line per end in the order of the choices.
///
/// A line is the verdict and `key=value` for what is to be checked; other facts of the end are free:
///
/// | key | value |
/// |---|---|
/// | `src`, `dst` | `IP` or `IP:PORT` of the packet as delivered; port `*` where the kernel picks it |
/// | `out`, `via` | device and gateway it left by; `-` for none |
/// | `snat`, `dnat` | new address, `-` for none; `snat_by`, `dnat_by` who did it |
/// | `mark`, `masq` | final mark (`0x…`); whether a masquerade mark was set (`yes`, `no`) |
/// | `client` | `kept`, `lost`, `-` |
/// | `p` | probability: `1/3`, `0.25`, `?` where it rests on an unknown |
/// | `why` | the reason, see [`reason`] |
/// | `how` | how the last address was chosen, see [`choice`] |
/// | `hit`, `no` | `TABLE/CHAIN/N`: a rule that was (or was not) hit; may be repeated |
/// | `table` | routing table of the last route that was looked up |
/// | `sure` | `yes` where nothing is assumed and nothing is missing |
#[track_caller]
pub fn check(snapshot: &Snapshot, packet: &str, expected: &[&str]) {
    check_in(snapshot, packet, None, expected);
}

/// [`check`] for a packet of a known connection.
#[track_caller]
pub fn check_in(snapshot: &Snapshot, packet: &str, conn: Option<&Conn>, expected: &[&str]) {
    let outcomes = walk_in(snapshot, packet, conn);
    let node = Node::new(snapshot);
    let mut wrong = String::new();
    if outcomes.len() != expected.len() {
        let _ = writeln!(
            wrong,
            "{} ends instead of {}",
            outcomes.len(),
            expected.len()
        );
    }
    for (i, (outcome, line)) in outcomes.iter().zip(expected).enumerate() {
        for d in differences(&node, outcome, line) {
            let _ = writeln!(wrong, "end {}: {d}", i + 1);
        }
    }
    if wrong.is_empty() {
        return;
    }
    for outcome in &outcomes {
        let _ = writeln!(wrong, "have: {}", describe(&node, outcome));
    }
    for w in warnings(snapshot) {
        let _ = writeln!(wrong, "warning: {w}");
    }
    panic!("{packet}\n{wrong}");
}

fn differences(node: &Node<'_>, outcome: &Outcome, line: &str) -> Vec<String> {
    let facts = facts(node, outcome);
    let hits = hits(node, outcome);
    let mut out = Vec::new();
    for word in line.split_ascii_whitespace() {
        let Some((key, value)) = word.split_once('=') else {
            if outcome.verdict.name() != word {
                out.push(format!("{} instead of {word}", outcome.verdict.name()));
            }
            continue;
        };
        match key {
            "hit" if !hits.iter().any(|h| h == value) => out.push(format!("{value} is not hit")),
            "no" if hits.iter().any(|h| h == value) => out.push(format!("{value} is hit")),
            "hit" | "no" => {}
            "p" => {
                if !same_probability(outcome.probability, value) {
                    out.push(format!("p={:?} instead of {value}", outcome.probability));
                }
            }
            _ => match facts.get(key) {
                None => panic!("{key} is no fact of an outcome"),
                Some(have) => {
                    // A port is compared only where one is expected.
                    let bare = have.rsplit_once(':').map_or(have.as_str(), |(a, _)| a);
                    let ported = matches!(key, "src" | "dst");
                    if have != value && !(ported && bare.trim_matches(['[', ']']) == value) {
                        out.push(format!("{key}={have} instead of {value}"));
                    }
                }
            },
        }
    }
    out
}

fn same_probability(have: Option<f64>, want: &str) -> bool {
    let number = |t: &str| -> f64 {
        t.parse()
            .unwrap_or_else(|_| panic!("p={t} is not a number"))
    };
    match (have, want) {
        (None, "?") => true,
        (None, _) | (Some(_), "?") => false,
        (Some(p), want) => {
            let want = want
                .split_once('/')
                .map_or_else(|| number(want), |(a, b)| number(a) / number(b));
            (p - want).abs() < 1e-6
        }
    }
}

fn facts(node: &Node<'_>, o: &Outcome) -> BTreeMap<&'static str, String> {
    let mut f = BTreeMap::new();
    let none = || "-".to_owned();
    let end = |a: Option<IpAddr>, p: Port| match (a, p) {
        (None, _) => "?".to_owned(),
        (Some(a), Port::None) => a.to_string(),
        (Some(IpAddr::V4(a)), Port::Known(n)) => format!("{a}:{n}"),
        (Some(IpAddr::V6(a)), Port::Known(n)) => format!("[{a}]:{n}"),
        (Some(IpAddr::V4(a)), _) => format!("{a}:*"),
        (Some(IpAddr::V6(a)), _) => format!("[{a}]:*"),
    };
    let d = o.delivered;
    f.insert("src", d.map_or_else(none, |d| end(d.src, d.sport)));
    f.insert("dst", d.map_or_else(none, |d| end(Some(d.dst), d.dport)));
    f.insert(
        "out",
        o.out.as_ref().map_or_else(none, |x| dev(node, x.dev)),
    );
    f.insert(
        "via",
        o.out
            .as_ref()
            .and_then(|x| x.via)
            .map_or_else(none, |v| v.to_string()),
    );
    for (address, by, rewrite) in [("snat", "snat_by", &o.snat), ("dnat", "dnat_by", &o.dnat)] {
        f.insert(
            address,
            rewrite.as_ref().map_or_else(none, |r| {
                r.ip.map_or_else(|| "?".to_owned(), |a| a.to_string())
            }),
        );
        f.insert(
            by,
            rewrite
                .as_ref()
                .map_or_else(none, |r| r.by.name().to_owned()),
        );
    }
    f.insert("mark", format!("{:#x}", o.mark));
    f.insert("masq", if o.masq_mark { "yes" } else { "no" }.to_owned());
    f.insert(
        "client",
        match o.client_ip_kept {
            None => "-",
            Some(true) => "kept",
            Some(false) => "lost",
        }
        .to_owned(),
    );
    f.insert("why", reason(node, &o.reason));
    let how = o.steps.iter().rev().find_map(|s| match &s.kind {
        StepKind::Address { how, .. } => Some(choice(node, how)),
        _ => None,
    });
    f.insert("how", how.unwrap_or_else(none));
    let table = o.steps.iter().rev().find_map(|s| match &s.kind {
        StepKind::Route(r) => Some(r.table.clone()),
        _ => None,
    });
    f.insert("table", table.unwrap_or_else(none));
    let sure = o.assumptions.is_empty() && o.missing.is_empty();
    f.insert("sure", if sure { "yes" } else { "no" }.to_owned());
    f
}

fn describe(node: &Node<'_>, o: &Outcome) -> String {
    let mut line = format!("{} p={:?}", o.verdict.name(), o.probability);
    for (k, v) in facts(node, o) {
        let _ = write!(line, " {k}={v}");
    }
    let _ = write!(line, "\n      hits {}", hits(node, o).join(" "));
    if !o.assumptions.is_empty() {
        let _ = write!(line, "\n      assumes {}", o.assumptions.join("; "));
    }
    for m in &o.missing {
        let _ = write!(line, "\n      lacks {}", m.what);
    }
    line
}

/// The rules that were hit, `TABLE/CHAIN/N` with N from 1.
pub fn hits(node: &Node<'_>, o: &Outcome) -> Vec<String> {
    o.hits().map(|h| rule_name(node, h)).collect()
}

fn rule_name(node: &Node<'_>, h: &nfwhy::trace::Hit) -> String {
    let t = node.netfilter.view(h.table).expect("a hit is of a table");
    format!("{}/{}/{}", t.name(), t.chain_name(h.chain), h.rule + 1)
}

/// A reason in one word.
pub fn reason(node: &Node<'_>, r: &Reason) -> String {
    match r {
        Reason::Sent { tunnel: None } => "sent".into(),
        Reason::Sent { tunnel: Some(t) } => format!("sent:{t}"),
        Reason::Delivered => "delivered".into(),
        Reason::Rule(h) => rule_name(node, h),
        Reason::Policy { table, chain } => {
            let t = node.netfilter.view(*table).expect("a policy is of a table");
            format!("{}/{}/policy", t.name(), t.chain_name(*chain))
        }
        Reason::NoRoute => "no-route".into(),
        Reason::RouteType { what, .. } => (*what).to_owned(),
        Reason::ForwardingOff { .. } => "forwarding-off".into(),
        Reason::HairpinOff { .. } => "hairpin_off".into(),
        Reason::RpFilter { mode, reverse } => format!(
            "rp_filter:{mode}:{}",
            reverse.map_or_else(|| "-".to_owned(), |d| dev(node, d))
        ),
        Reason::Martian { .. } => "martian".into(),
        Reason::Ttl => "ttl".into(),
        Reason::NoMasqAddress(h) => format!("no-address:{}", rule_name(node, h)),
        Reason::NoRedirectAddress(h) => format!("no-redirect-address:{}", rule_name(node, h)),
        Reason::NoRealServer { .. } => "no-real-server".into(),
        Reason::RealServerUnreachable { .. } => "real-server-unreachable".into(),
        Reason::MasqueradeElsewhere { .. } => "masquerade-elsewhere".into(),
        Reason::ConnectionClash { .. } => "clash".into(),
        Reason::IpvsNotAsked => "ipvs-not-asked".into(),
        Reason::IpvsLoopback => "ipvs-loopback".into(),
        Reason::TooBig { mtu } => format!("too-big:{mtu}"),
        Reason::NoSuchSource => "no-such-source".into(),
        Reason::BeyondScope => "beyond-scope".into(),
        Reason::Ebpf { why, .. } => format!("ebpf:{why:?}"),
        Reason::Unknown(_) => "unknown".into(),
    }
}

/// How an address was chosen, in one word.
pub fn choice(node: &Node<'_>, how: &AddrChoice) -> String {
    match how {
        AddrChoice::OnSubnet => "on-subnet".into(),
        AddrChoice::FirstOnDevice => "first-on-device".into(),
        AddrChoice::Fallback(d) => format!("fallback:{}", dev(node, *d)),
        AddrChoice::Rfc6724(d) => format!("rfc6724:{}", dev(node, *d)),
        AddrChoice::PrefSrc => "route-src".into(),
        AddrChoice::Destination => "destination".into(),
    }
}

fn dev(node: &Node<'_>, d: DevId) -> String {
    node.device(d).name.clone()
}

/// What a packet meets: per hook, the tables whose chain saw it, and how it looked to them.
///
/// Counted are hits of the first rule of each built-in chain, so the node must have one that every packet matches
/// ([`Files::count_passages`]). `names` gives addresses short names. A line reads
/// `raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0`.
pub fn passages(snapshot: &Snapshot, o: &Outcome, names: &[(&str, &str)]) -> Vec<String> {
    let node = Node::new(snapshot);
    let short = |a: Option<IpAddr>| {
        let full = a.map_or_else(|| "?".to_owned(), |a| a.to_string());
        names
            .iter()
            .find(|(_, long)| *long == full)
            .map_or(full, |(short, _)| (*short).to_owned())
    };
    let device = |d: Option<DevId>| d.map_or_else(|| "-".to_owned(), |d| dev(&node, d));
    let mut out: Vec<(Vec<&'static str>, String)> = Vec::new();
    for s in &o.steps {
        let StepKind::Hit { hit, depth: 0, .. } = &s.kind else {
            continue;
        };
        let Some(t) = node.netfilter.tables.get(hit.table) else {
            continue;
        };
        let chain = &t.chains[hit.chain.0 as usize];
        if hit.rule != 0 || chain.policy.is_none() {
            continue;
        }
        let rest = format!(
            "{} in={} out={} {}>{} m={:#x}",
            chain.name,
            device(s.view.iif),
            device(s.view.oif),
            short(s.view.src),
            short(Some(s.view.dst)),
            s.view.mark
        );
        match out.last_mut() {
            // The same chain of the same table again is another pass.
            Some((tables, same)) if *same == rest && !tables.contains(&t.kind.name()) => {
                tables.push(t.kind.name());
            }
            _ => out.push((vec![t.kind.name()], rest)),
        }
    }
    out.into_iter()
        .map(|(tables, rest)| format!("{} {rest}", tables.join(" ")))
        .collect()
}

/// Holds the passages of an outcome against those expected.
#[track_caller]
pub fn check_passages(snapshot: &Snapshot, o: &Outcome, names: &[(&str, &str)], expected: &[&str]) {
    let have = passages(snapshot, o, names);
    assert!(
        have == expected,
        "the packet passed\n  {}\ninstead of\n  {}\nand ended as {}",
        have.join("\n  "),
        expected.join("\n  "),
        describe(&Node::new(snapshot), o)
    );
}
