//! The simulator beside the running kernel. `NFWHY_LAB_NODES`, `NFWHY_LAB_PACKETS` (per node) and `NFWHY_LAB_SEED` make the run
//! longer or another; `NFWHY_LAB=require` fails where no network namespaces can be made, `NFWHY_LAB=off` skips;
//! `NFWHY_LAB_NODE` (with `NFWHY_LAB_NODES=1`) is one node by the number that reports name.
//! `NFWHY_LAB_THREADS` nodes are judged at a time.
//! `NFWHY_LAB_CASES` is how many kinds of divergences are shrunk, `NFWHY_LAB_VERBOSE=1` shows all of them and the counts.

#![expect(
    clippy::disallowed_methods,
    reason = "knobs come from the environment, and the figures tell packets per second"
)]

mod lab;

use lab::case::{Case, Divergence};
use lab::draw::node as draw;
use lab::figures::Figures;
use lab::prng::Prng;
use lab::probe::From;
use lab::run::nodes as run_nodes;
use lab::spec::Spec;
use lab::wanted::{self, knob, say};
use lab::{netns, sh, shrink};
use nfwhy::node::Node;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

const TOOLS: [&[&str]; 6] = [
    &["iptables-legacy-save", "-V"],
    &["iptables-nft-save", "-V"],
    &["ipset", "-v"],
    &["conntrack", "-V"],
    &["nft", "-v"],
    &["ip", "-V"],
];

/// Set where the test has started itself in a user namespace, in which there is but one user.
const INSIDE: &str = "NFWHY_LAB_INSIDE";

/// Why the lab cannot run here.
fn obstacle() -> Option<String> {
    // The namespaces first: some tools answer root only.
    netns::obstacle().or_else(|| sh::missing(&TOOLS))
}

/// Runs this test once more as root of a user namespace of its own; whether it could be started at all.
fn again_as_root(test: &str) -> bool {
    let become_root = ["unshare", "--map-root-user", "--net"];
    if std::env::var(INSIDE).is_ok() || !sh::exists(&[&become_root[..], &["true"]].concat()) {
        return false;
    }
    let me = std::env::current_exe().expect("the test's own program");
    let status = std::process::Command::new(become_root[0])
        .args(&become_root[1..])
        .arg(me)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare was there a moment ago");
    assert!(status.success(), "in a user namespace of its own: {status}");
    true
}

/// How a node is drawn of a seed.
type Draw = fn(u64) -> (Spec, bool, Prng);

/// Makes the node of a seed and judges its packets.
fn judge(
    draw: Draw,
    seed: u64,
    packets: usize,
    f: &mut Figures,
) -> (Vec<Divergence>, Option<String>) {
    let (spec, fresh, mut r) = draw(seed);
    let mut case = Case::new(&spec, fresh).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let snapshot = case.snapshot.clone();
    let node = Node::new(&snapshot);
    f.nodes += 1;
    f.rules.0 += case
        .spec
        .tables
        .iter()
        .map(|t| t.rules.len() as u64)
        .chain(case.spec.native.iter().map(|t| t.rules.len() as u64))
        .sum::<u64>();
    f.rules.1 += case.refused.len() as u64;
    if knob("NFWHY_LAB_VERBOSE", 0) != 0 {
        for r in &case.refused {
            say(&format!("seed {seed}, refused: {r}"));
        }
    }
    let count = if fresh { packets / 8 } else { packets };
    let mut probes: Vec<_> = (0..count).map(|_| case.packets.any(&mut r)).collect();
    if std::env::var(INSIDE).is_ok() {
        for p in &mut probes {
            if let From::Local { uid, gid, .. } = &mut p.from {
                (*uid, *gid) = (0, 0);
            }
        }
    }
    if !case.spec.native.is_empty() {
        let unlike = lab::nft::equal::differences();
        f.unlike += unlike.len() as u64;
        for line in unlike {
            say(&format!("seed {seed}, text and JSON: {line}"));
        }
    }
    let mut found = case.judge(&node, &probes, f);
    let mut share = None;
    if !fresh {
        let leaving: Vec<_> = probes
            .iter()
            .filter(|p| lab::judge::leaves(&node, p))
            .collect();
        for p in leaving.into_iter().take(packets / 12) {
            found.extend(case.follow(&node, p, f));
        }
        // Counters and hashes go their own way: several of them in one path are no independent draws.
        let turns = ["numgen inc", "jhash", "symhash"];
        let mut native = case.spec.native.iter().flat_map(|t| &t.rules);
        let in_turn = native.any(|r| turns.iter().any(|t| r.text.contains(t)));
        let drawn = probes.iter().find(|p| !in_turn && case.is_drawn(&node, p));
        share = drawn.and_then(|p| case.shares(&node, p, 60, f));
    }
    (found, share.map(|s| format!("seed {seed}: {s}")))
}

/// A divergence in words, with the smallest node that shows it.
fn report(draw: Draw, seed: u64, name: &str, d: &Divergence) -> String {
    let (spec, fresh, _) = draw(seed);
    let p = d.first.as_ref().unwrap_or(&d.probe);
    let mut text = told(&format!("seed {seed}"), d);
    let Some((small, d)) = shrink::shrink(&spec, fresh, p, d.first.is_some()) else {
        return text + "not to be seen again in a node of its own\n";
    };
    let dir = shrink::write(&small, &d, name);
    text += &told(&format!("shrunk to {}", dir.display()), &d);
    for t in &small.spec.tables {
        let _ = write!(text, "{:?} v6={}\n{}", t.backend, t.v6, t.text());
    }
    for t in &small.spec.native {
        text += &t.text();
    }
    for (path, value) in &small.spec.sysctls {
        let _ = writeln!(text, "  {path}={value}");
    }
    let s = &small.spec;
    for line in s.ip.iter().chain(&s.ip6).chain(&s.sets) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn told(what: &str, d: &Divergence) -> String {
    format!(
        "{what}: {:?}\n  {:?}\n  {}\n",
        d.probe,
        d.seen,
        d.what.join("\n  ")
    )
}

/// Whether the test goes on here; if not, why is said, or the test is run again as root of a user namespace.
fn goes_on(test: &str) -> bool {
    let mut again = false;
    let here = wanted::goes_on(|| {
        obstacle().filter(|why| {
            again = why.starts_with("no network namespaces") && again_as_root(test);
            !again
        })
    });
    here && !again
}

#[test]
fn flows_share_next_hops_and_addresses_as_they_are_said_to() {
    if !goes_on("flows_share_next_hops_and_addresses_as_they_are_said_to") {
        return;
    }
    for v6 in [false, true] {
        let bad = lab::hashes::misfits(v6).unwrap_or_else(|e| panic!("v6={v6}: {e}"));
        assert_eq!(bad, Vec::<String>::new());
    }
}

#[test]
fn random_nodes_do_as_the_kernel_does() {
    if goes_on("random_nodes_do_as_the_kernel_does") {
        run(draw, 24);
    }
}

#[test]
fn nodes_of_nft_do_as_the_kernel_does() {
    if goes_on("nodes_of_nft_do_as_the_kernel_does") {
        run(lab::nft::draw::node, 24);
    }
}

/// Draws nodes and judges their packets.
fn run(draw: Draw, nodes: u64) {
    let nodes = knob("NFWHY_LAB_NODES", nodes);
    let packets = usize::try_from(knob("NFWHY_LAB_PACKETS", 80)).unwrap_or(0);
    let most = usize::try_from(knob("NFWHY_LAB_CASES", 3)).unwrap_or(0);
    let verbose = knob("NFWHY_LAB_VERBOSE", 0) != 0;
    let start = Instant::now();
    let mut f = Figures::default();
    let mut bad = Vec::new();
    let mut kinds = BTreeMap::<String, u64>::new();
    let judged = |seed| {
        let mut f = Figures::default();
        let (found, share) = judge(draw, seed, packets, &mut f);
        (seed, f, found, share)
    };
    let each = |(seed, of_node, found, share): (u64, Figures, Vec<Divergence>, Option<String>)| {
        let hundreds = f.nodes / 100;
        f += of_node;
        if f.nodes / 100 > hundreds {
            say(&format!("{} nodes, {} packets", f.nodes, f.packets));
        }
        bad.extend(share);
        for d in found {
            let kind = signature(&d.what);
            let times = kinds.entry(kind).or_default();
            *times += 1;
            if verbose {
                say(&told(&format!("seed {seed}"), &d));
            }
            if *times == 1 && kinds.len() <= most {
                say(&report(draw, seed, &format!("{seed}-{}", kinds.len()), &d));
            }
        }
    };
    run_nodes(nodes, judged, each);
    let millis = u64::try_from(start.elapsed().as_millis())
        .unwrap_or(1)
        .max(1);
    say(&format!(
        "{} {} packets/s",
        f.text(verbose),
        f.packets * 1000 / millis
    ));
    if f.unlike > 0 {
        bad.push(format!("{} records of text and JSON differ", f.unlike));
    }
    for (kind, n) in &kinds {
        bad.push(format!("{n} x {kind}"));
    }
    assert!(
        bad.is_empty(),
        "the kernel does otherwise:\n{}",
        bad.join("\n")
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
