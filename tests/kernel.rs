//! The simulator beside the running kernel. `NFWHY_LAB_NODES`, `NFWHY_LAB_PACKETS` (per node) and `NFWHY_LAB_SEED` make the run
//! longer or another; `NFWHY_LAB=require` fails where no network namespaces can be made, `NFWHY_LAB=off` skips.

mod lab;

use lab::case::{Case, Figures};
use lab::prng::Prng;
use lab::spec::{Backend, Spec};
use lab::{kube, netns, rules, sets, sh, shrink, topology};
use nfwhy::node::Node;
use std::io::Write;
use std::time::Instant;

fn knob(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(otherwise)
}

/// Past the test harness's capture: a run of minutes shows where it stands.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

const TOOLS: [&[&str]; 6] = [
    &["iptables-legacy-save", "-V"],
    &["iptables-nft-save", "-V"],
    &["ipset", "-v"],
    &["conntrack", "-V"],
    &["nft", "-v"],
    &["ip", "-V"],
];

/// Why the lab cannot run here.
fn obstacle() -> Option<String> {
    if std::env::var("NFWHY_LAB").is_ok_and(|v| v == "off") {
        return Some("NFWHY_LAB=off".into());
    }
    for t in TOOLS {
        if !sh::exists(t) {
            return Some(format!("{} is not installed", t[0]));
        }
    }
    netns::obstacle()
}

/// A node of its seed.
fn draw(seed: u64) -> (Spec, bool, Prng) {
    let mut r = Prng::new(seed);
    let plain = r.chance(20);
    let mut spec = topology::make(&mut r, plain);
    let (set_specs, lines) = sets::make(&mut r);
    spec.sets = lines;
    let stateful = r.chance(10);
    let mood = rules::Mood {
        random: r.chance(25),
        stateful,
        rules: 12 + r.below(30),
    };
    if r.chance(25) {
        let backend = r.one(&[Backend::Legacy, Backend::Nft]);
        for v6 in [false, true] {
            spec.tables.extend(kube::make(&mut r, backend, v6));
        }
        return (spec, false, r);
    }
    spec.tables = rules::make(&mut r, &set_specs, mood);
    (spec, stateful, r)
}

#[test]
fn random_nodes_do_as_the_kernel_does() {
    if let Some(why) = obstacle() {
        assert!(
            std::env::var("NFWHY_LAB").is_ok_and(|v| v != "require")
                || std::env::var("NFWHY_LAB").is_err(),
            "the kernel lab cannot run: {why}"
        );
        say(&format!("skipped: {why}"));
        return;
    }
    let nodes = knob("NFWHY_LAB_NODES", 40);
    let packets = knob("NFWHY_LAB_PACKETS", 120);
    let seed = knob("NFWHY_LAB_SEED", 1);
    let most = knob("NFWHY_LAB_CASES", 3);
    let verbose = knob("NFWHY_LAB_VERBOSE", 0) != 0;
    let start = Instant::now();
    let mut all = Figures::default();
    let mut bad: Vec<String> = Vec::new();
    let mut signatures = std::collections::BTreeMap::<String, u64>::new();
    for n in 0..nodes {
        let node_seed = seed.wrapping_mul(1_000_003).wrapping_add(n);
        let (spec, fresh, mut r) = draw(node_seed);
        let mut case = match Case::new(&spec, fresh) {
            Ok(c) => c,
            Err(e) => panic!("seed {node_seed}: {e}"),
        };
        if verbose {
            for line in &case.refused {
                say(&format!("refused: {line}"));
            }
        }
        let snapshot = case.snapshot.clone();
        let node = Node::new(&snapshot);
        for w in &node.warnings {
            say(&format!(
                "warning in {node_seed}: {} (line {})",
                w.message, w.line
            ));
        }
        let mut f = Figures {
            nodes: 1,
            ..Figures::default()
        };
        f.rules.0 = case.spec.tables.iter().map(|t| t.rules.len() as u64).sum();
        f.rules.1 = case.refused.len() as u64;
        let count = if fresh { packets / 8 } else { packets };
        let probes: Vec<_> = (0..count).map(|_| case.packets.any(&mut r)).collect();
        let mut found = case.judge(&node, &probes, &mut f);
        if !fresh {
            for p in probes
                .iter()
                .take(usize::try_from(packets / 12).unwrap_or(0))
            {
                found.extend(case.follow(&node, p, &mut f));
            }
            for p in probes.iter().take(10) {
                if let Some(e) = case.shares(&node, p, 80, &mut f) {
                    bad.push(format!("seed {node_seed}: {e}"));
                    break;
                }
            }
        }
        drop(case);
        all.join(&f);
        for d in found {
            let sign = signature(&d.what);
            if verbose {
                say(&format!(
                    "seed {node_seed}: {:?}\n  {:?}\n  {}",
                    d.probe,
                    d.seen,
                    d.what.join("\n  ")
                ));
            }
            let times = signatures.entry(sign.clone()).or_default();
            *times += 1;
            if *times > 1 || signatures.len() as u64 > most {
                continue;
            }
            let name = format!("{node_seed}-{}", signatures.len());
            let p = d.first.clone().unwrap_or_else(|| d.probe.clone());
            let mut text = format!(
                "seed {node_seed}: {:?}\n  {:?}\n  {}\n",
                d.probe,
                d.seen,
                d.what.join("\n  ")
            );
            match shrink::shrink(&spec, fresh, &p, d.first.is_some()) {
                Some((small, d)) => {
                    let dir = shrink::write(&small, &d, &name);
                    text += &format!(
                        "shrunk to {}:\n  {:?}\n  {}\n  {:?}\n",
                        dir.display(),
                        d.probe,
                        d.what.join("\n  "),
                        d.seen
                    );
                    for t in &small.spec.tables {
                        text += &format!("{:?} v6={}\n{}", t.backend, t.v6, t.text());
                    }
                    for line in small.spec.sysctls.iter().map(|(a, b)| format!("{a}={b}")) {
                        text += &format!("  {line}\n");
                    }
                    for line in small
                        .spec
                        .ip
                        .iter()
                        .chain(&small.spec.ip6)
                        .chain(&small.spec.sets)
                    {
                        text += &format!("  {line}\n");
                    }
                }
                None => text += "not to be seen again in a node of its own\n",
            }
            say(&text);
            bad.push(text);
        }
    }
    let secs = start.elapsed().as_secs_f64();
    say(&format!(
        "{} nodes, {} packets ({} singly, {} forking, {} followed) in {secs:.1} s, {:.0} packets/s; unknown {}; rules {} (refused {}); {:?}\n{}",
        all.nodes,
        all.packets,
        all.singly,
        all.forking,
        all.followed,
        all.packets as f64 / secs,
        all.unknown,
        all.rules.0,
        all.rules.1,
        all.verdicts,
        if verbose || nodes > 100 {
            all.tally.text()
        } else {
            String::new()
        }
    ));
    for (s, n) in &signatures {
        say(&format!("{n} x {s}"));
    }
    assert!(
        bad.is_empty() && signatures.is_empty(),
        "{} kinds of divergences",
        signatures.len()
    );
}

/// What is alike in divergences of one cause, roughly: the verdicts and reason, or the options of the first rule.
fn signature(what: &[String]) -> String {
    let Some(line) = what.iter().find(|l| !l.starts_with("none of")) else {
        return String::new();
    };
    if line.starts_with("verdict") {
        let reason = line.split(['(', '{', ' ']).nth(4).unwrap_or_default();
        let words: Vec<&str> = line.split([' ', ',']).collect();
        let kernel = words.last().copied().unwrap_or_default();
        return format!(
            "verdict {} {reason} {kernel}",
            words.get(2).copied().unwrap_or_default()
        );
    }
    line.split(|c: char| c.is_whitespace())
        .filter(|w| w.starts_with('-') || w.chars().all(|c| c.is_ascii_alphabetic()))
        .collect::<Vec<_>>()
        .join(" ")
}
