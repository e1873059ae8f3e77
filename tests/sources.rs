//! What is said of all sources at once, beside what is said of each: random sources on the snapshots and on random nodes fare as the
//! sweep says, to the last outcome.
//!
//! Where a rule tests single bits of the source a sweep is given up; then what one walk says of its neighbours is tried instead.
//!
//! `NFWHY_SOURCES_NODES` random nodes are swept, `NFWHY_SOURCES` sources asked on each; `NFWHY_LAB_SEED` makes it other ones, `NFWHY_LAB_NODE` (with
//! `NFWHY_SOURCES_NODES=1`) is one by the number that reports name.

#[path = "common/folders.rs"]
mod folders;
#[allow(dead_code, reason = "nodes are judged elsewhere")]
mod lab;
#[path = "sources/written.rs"]
mod written;

use folders::folders;
use lab::pool;
use lab::prng::Prng;
use lab::wanted::{knob, say};
use nfwhy::capture::Snapshot;
use nfwhy::cli::PacketSpec;
use nfwhy::explain::sources::{Question, Sources, SweepError, alike, fare, sweep};
use nfwhy::node::Node;
use nfwhy::trace::{Origin, Packet};
use nfwhy_parsers::common::bits;
use nfwhy_parsers::{Family, Proto};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Walks of a sweep. A test of single bits of the source may draw more lines, and then there is no sweep to be held against
/// anything.
const WALKS: usize = 3_000;

fn address(v6: bool, n: u128) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(n))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits((n & 0xffff_ffff) as u32))
    }
}

/// A source: an end of a range, one beside it, one within, an address that rules know, one near it, any.
fn source(r: &mut Prng, all: &Sources, v6: bool) -> IpAddr {
    let any = u128::from(r.next()) << 64 | u128::from(r.next());
    let kind = &all.kinds[r.below(all.kinds.len())];
    let span = kind.spans[r.below(kind.spans.len())];
    let n = match r.below(7) {
        0 => bits(span.first),
        1 => bits(span.last),
        2 => bits(span.first).wrapping_sub(1),
        3 => bits(span.last).wrapping_add(1),
        4 => bits(span.first) + any % span.width().saturating_add(1).max(1),
        5 => {
            let near = pool::addr(r, v6).parse::<IpAddr>().expect("an address");
            bits(near) ^ (any & ((1 << r.below(10)) - 1))
        }
        _ => any,
    };
    address(v6, n)
}

/// Whether no address is left out, and none is there twice. Ranges of classes are beside each other between the same ends, or lie apart.
fn is_whole(all: &Sources, v6: bool) -> bool {
    let mut spans: Vec<(u128, u128)> = all
        .kinds
        .iter()
        .flat_map(|k| &k.spans)
        .map(|s| (bits(s.first), bits(s.last)))
        .collect();
    spans.sort_unstable();
    let end = if v6 { u128::MAX } else { u32::MAX.into() };
    let mut behind = Some(0);
    for (first, last) in spans {
        if behind.is_none_or(|b| first > b) && behind.is_some() {
            return false;
        }
        if all.classes.is_empty() && behind != Some(first) {
            return false;
        }
        behind = behind.max(last.checked_add(1));
        if last == end {
            return true;
        }
    }
    false
}

/// How many sources were asked, and what differs.
fn differences(
    node: &Node<'_>,
    q: &Question,
    r: &mut Prng,
    sources: u64,
) -> Result<Vec<String>, SweepError> {
    let all = sweep(node, q)?;
    let v6 = q.packet.family() == Family::V6;
    let mut bad = Vec::new();
    if !is_whole(&all, v6) {
        bad.push("the ranges are not all addresses, each once".to_owned());
    }
    for _ in 0..sources {
        let src = source(r, &all, v6);
        let (from, alone) = fare(node, q, src);
        let kind = all.of(src).expect("every source is of a kind");
        let span = kind.spans.iter().find(|s| all.holds(s, src));
        let kinds = all.kinds.iter().flat_map(|k| &k.spans);
        if kinds.filter(|s| all.holds(s, src)).count() != 1 {
            bad.push(format!("{src} is not in one range"));
        }
        if alone.key() != kind.fare.key() || span.is_none_or(|s| s.from != from) {
            bad.push(format!(
                "{src} to {} {:?} in {:?}\n  alone: {from:?} {}\n  among others: {span:?} {}",
                q.packet.dst,
                q.packet.dport,
                q.dev,
                alone.key(),
                kind.fare.key()
            ));
        }
    }
    Ok(bad)
}

/// The same where the lines are too many for a sweep: what one walk says of others.
fn differences_nearby(node: &Node<'_>, q: &Question, r: &mut Prng, sources: u64) -> Vec<String> {
    let v6 = q.packet.family() == Family::V6;
    let mut bad = Vec::new();
    for _ in 0..sources {
        let near = bits(pool::addr(r, v6).parse::<IpAddr>().expect("an address"));
        let any = u128::from(r.next()) << 64 | u128::from(r.next());
        let src = address(v6, near ^ (any & ((1 << r.below(12)) - 1)));
        let (span, said) = alike(node, q, src);
        let within = any.rotate_right(32) % span.width().saturating_add(1).max(1);
        for other in [
            span.first,
            span.last,
            address(v6, bits(span.first) + within),
        ] {
            let (from, alone) = fare(node, q, other);
            if alone.key() != said.key() || from != span.from {
                bad.push(format!(
                    "{other} to {} in {:?}\n  alone: {}\n  as {src}: {span:?} {}",
                    q.packet.dst,
                    q.dev,
                    alone.key(),
                    said.key()
                ));
            }
        }
    }
    bad
}

fn question(node: &Node<'_>, r: &mut Prng, packet: Packet) -> Question {
    let dev = r
        .chance(60)
        .then(|| r.below(node.devices.len().max(1)))
        .and_then(|n| node.device_ids().nth(n));
    Question {
        packet: Packet {
            src: None,
            origin: Origin::Local,
            ..packet
        },
        dev,
        walks: WALKS,
    }
}

fn asked(dst: &str, proto: Proto, port: u16) -> String {
    let port = match proto {
        Proto::ICMP | Proto::ICMPV6 => String::new(),
        _ => format!(r#","dport":{port}"#),
    };
    format!(
        r#"{{"dst":"{dst}","proto":{}{port},"origin":"local"}}"#,
        proto.0
    )
}

fn packet(node: &Node<'_>, text: &str) -> Option<Packet> {
    let spec: PacketSpec = serde_json::from_str(text).expect("a packet");
    spec.resolve(node).ok()
}

/// What differs on one random node, and how many sweeps were bounded.
fn on_random_node(seed: u64, sources: u64) -> (usize, usize, Vec<String>) {
    let (spec, _, mut r) = if seed.is_multiple_of(3) {
        lab::nft::draw::node(seed)
    } else {
        lab::draw::node(seed)
    };
    let snapshot = written::snapshot(&spec);
    let node = Node::new(&snapshot);
    let (mut sweeps, mut bounded, mut bad) = (0, 0, Vec::new());
    for v6 in [false, true] {
        for _ in 0..2 {
            let dst = pool::addr(&mut r, v6);
            let icmp = if v6 { Proto::ICMPV6 } else { Proto::ICMP };
            let proto = r.one(&[Proto::TCP, Proto::TCP, Proto::UDP, icmp]);
            let Some(p) = packet(&node, &asked(dst, proto, r.one(&pool::PORTS))) else {
                continue;
            };
            let q = question(&node, &mut r, p);
            match differences(&node, &q, &mut r, sources / 4) {
                Ok(found) => {
                    sweeps += 1;
                    bad.extend(found.iter().take(3).map(|f| format!("node {seed}: {f}")));
                }
                Err(e @ SweepError::TooMany { .. }) => {
                    if knob("NFWHY_LAB_VERBOSE", 0) != 0 {
                        say(&format!("node {seed}: {e}"));
                    }
                    bounded += 1;
                    let found = differences_nearby(&node, &q, &mut r, sources / 4);
                    bad.extend(found.iter().take(3).map(|f| format!("node {seed}: {f}")));
                }
            }
        }
    }
    (sweeps, bounded, bad)
}

#[test]
fn on_random_nodes_each_source_fares_as_the_sweep_says() {
    let (nodes, sources) = (knob("NFWHY_SOURCES_NODES", 24), knob("NFWHY_SOURCES", 400));
    let (mut sweeps, mut bounded, mut bad) = (0, 0, Vec::new());
    lab::run::nodes(
        nodes,
        |seed| on_random_node(seed, sources),
        |(n, b, found)| {
            sweeps += n;
            bounded += b;
            bad.extend(found);
        },
    );
    for line in bad.iter().take(12) {
        say(line);
    }
    say(&format!(
        "{nodes} nodes, {sweeps} sweeps, {} sources, {bounded} sweeps given up, {} differ",
        (sweeps + bounded) as u64 * (sources / 4),
        bad.len()
    ));
    assert!(bad.is_empty(), "{} sources fare otherwise", bad.len());
    assert!(
        bounded * 3 <= sweeps,
        "of {sweeps} sweeps {bounded} were given up"
    );
}

#[test]
fn on_the_snapshots_each_source_fares_as_the_sweep_says() {
    let folders = folders("flows.toml");
    let sources = knob("NFWHY_SOURCES", 400);
    let (mut sweeps, mut bounded, mut bad) = (0u64, 0, Vec::new());
    for (i, folder) in folders.iter().enumerate() {
        let snapshot = Snapshot::read(folder).expect("a snapshot");
        let node = Node::new(&snapshot);
        let mut r = Prng::new(knob("NFWHY_LAB_SEED", 1) + i as u64);
        let flows = std::fs::read_to_string(folder.join("flows.toml")).expect("flows");
        let flows: toml::Value = toml::from_str(&flows).expect("flows");
        let flows = flows["flow"].as_array().expect("flows").clone();
        for _ in 0..2 {
            let mut flow = flows[r.below(flows.len())]["packet"].clone();
            let table = flow.as_table_mut().expect("a packet");
            for key in ["src", "sport", "iif", "origin", "ct_state", "flags", "mac"] {
                table.remove(key);
            }
            table.insert("origin".into(), "local".into());
            let text = serde_json::to_string(&flow).expect("JSON");
            let Some(p) = packet(&node, &text) else {
                continue;
            };
            let q = question(&node, &mut r, p);
            match differences(&node, &q, &mut r, sources / 2) {
                Ok(found) => {
                    sweeps += 1;
                    bad.extend(
                        found
                            .iter()
                            .take(3)
                            .map(|f| format!("{}: {f}", folder.display())),
                    );
                }
                Err(SweepError::TooMany { by, .. }) => {
                    say(&format!("{}: given up: {by}", folder.display()));
                    bounded += 1;
                }
            }
        }
    }
    for line in bad.iter().take(12) {
        say(line);
    }
    say(&format!(
        "{} snapshots, {sweeps} sweeps, {} sources, {bounded} given up, {} differ",
        folders.len(),
        sweeps * (sources / 2),
        bad.len()
    ));
    assert!(bad.is_empty(), "{} sources fare otherwise", bad.len());
}

/// What the program says of a snapshot.
fn said(name: &str, args: &[&str]) -> String {
    let out = assert_cmd::Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .env("NO_COLOR", "1")
        .args(["sources", "--snapshot"])
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("snapshots")
                .join(name),
        )
        .args(args)
        .output()
        .expect("the program runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Remote pods see the tunnel's address, the local one the first device's, and the node itself is seen by some.
#[test]
fn answers_of_the_article() {
    insta::assert_snapshot!(
        "etp-cluster",
        said("ipvs-etp-cluster", &["172.19.100.2:80"])
    );
    insta::assert_snapshot!("etp-local", said("ipvs-etp-local", &["172.19.100.2:80"]));
    let by_one = said("ipvs-etp-cluster", &["--in", "ens4", "172.19.100.2:80"]);
    insta::assert_snapshot!("etp-cluster-ens4", by_one);
    for line in by_one.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

/// Pods behind the Service are masqueraded to reach themselves, the cluster's others are not, those outside are.
#[test]
fn answers_of_ipv6() {
    insta::assert_snapshot!("ipv6", said("kube-ipv6", &["[fd00:96::1207]:80"]));
}

#[test]
fn answers_of_nftables() {
    insta::assert_snapshot!("nftables", said("kube-nftables", &["198.51.100.40:80"]));
}

#[test]
fn two_sources_side_by_side() {
    let pair = ["172.19.100.2:80", "--compare", "10.10.6.91", "10.233.98.39"];
    insta::assert_snapshot!("compare", said("ipvs-etp-cluster", &pair));
    let pair = [
        "--in",
        "ens4",
        "172.19.100.2:80",
        "--compare",
        "10.10.6.91",
        "10.10.1.7",
    ];
    insta::assert_snapshot!("compare-rp-filter", said("ipvs-etp-cluster", &pair));
}

#[test]
fn json_has_its_schema_and_every_address() {
    let text = said("ipvs-etp-local", &["172.19.100.2:80", "--format", "json"]);
    let v: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(v["schema"], "nfwhy.sources/1");
    let kinds = v["kinds"].as_array().expect("kinds");
    let ends: Vec<bool> = kinds.iter().map(|k| k["all_others"] == true).collect();
    assert_eq!(ends.iter().filter(|a| **a).count(), 1);
    let of = |a: &str| {
        let a: IpAddr = a.parse().expect("an address");
        let within = |r: &serde_json::Value| {
            let end = |k: &str| r[k].as_str().and_then(|t| t.parse::<IpAddr>().ok());
            end("first") <= Some(a) && Some(a) <= end("last")
        };
        let held =
            |k: &&serde_json::Value| k["ranges"].as_array().is_some_and(|l| l.iter().any(within));
        kinds.iter().find(held).cloned().expect("a kind")
    };
    assert_eq!(of("10.10.6.91")["outcomes"][0]["client_ip_kept"], true);
    let hairpin = of("10.233.98.39");
    assert_eq!(hairpin["outcomes"][0]["client_ip_kept"], false);
    assert_eq!(hairpin["outcomes"][0]["seen_as"], "10.10.1.142");
    assert_eq!(hairpin["ranges"][0]["prefix"], "10.233.98.39/32");
    assert_eq!(hairpin["parts"]["matched"], true);
}
