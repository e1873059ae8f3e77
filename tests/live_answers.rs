//! Random nodes read from the kernel, beside the same nodes as the commands print them: all packets get the same answers, rule for rule. So do a
//! capture of what was read, and a node that is read without any command at hand.
//!
//! Nodes that differ are left in target/live-cases. `NFWHY_LIVE_NODES` and `NFWHY_LAB_SEED` make the run longer or another;
//! `NFWHY_LAB_NODE` (with `NFWHY_LIVE_NODES=1`) is one node by the number that reports name; `NFWHY_LAB=require` fails where no network namespaces can be made,
//! `NFWHY_LAB=off` skips.

#[path = "lab/beside.rs"]
mod beside;
#[allow(dead_code, reason = "nodes are judged elsewhere")]
mod lab;
#[path = "live_answers/redacted.rs"]
mod redacted;

use lab::netns::Netns;
use lab::packets::Packets;
use lab::probe::Probe;
use lab::spec::Spec;
use lab::wanted::{goes_on, knob, say};
use lab::{judge, netns, place, run, sh};
use nfwhy::capture::live::Reading;
use nfwhy::capture::manifest::Manifest;
use nfwhy::capture::{Snapshot, write};
use std::path::PathBuf;

/// Why the test cannot run here.
fn obstacle() -> Option<String> {
    let tools: [&[&str]; 4] = [
        &["iptables-legacy-save", "-V"],
        &["iptables-nft-save", "-V"],
        &["ipset", "-v"],
        &["nft", "-V"],
    ];
    netns::obstacle().or_else(|| sh::missing(&tools))
}

/// What differs on the node of a seed, and how many packets were asked about.
fn compare(seed: u64, packets: usize) -> (usize, Vec<String>) {
    let (spec, _, mut r) = if seed.is_multiple_of(3) {
        lab::nft::draw::node(seed)
    } else {
        lab::draw::node(seed)
    };
    // The thread is in the node's namespace from here on.
    let _node = Netns::new().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    lab::nfacct::make();
    let mut spec = spec;
    spec.load();
    let mut drawn = Packets::new();
    let probes: Vec<Probe> = (0..packets).map(|_| drawn.any(&mut r)).collect();
    // Quotas, timeouts and the like move on between two readings, by packets of the node itself.
    let mut bad = Vec::new();
    for _ in 0..3 {
        bad = side_by_side(seed, &spec, &probes);
        if bad.is_empty() {
            break;
        }
    }
    (probes.len(), bad)
}

/// Reads the namespace of the thread twice, and asks both.
fn side_by_side(seed: u64, spec: &Spec, probes: &[Probe]) -> Vec<String> {
    let mut by_commands = Snapshot::default();
    for (name, text) in spec.capture() {
        by_commands.add(name, text.into_bytes());
    }
    let live = Snapshot::from_reading(Reading::of_this_namespace(None));
    let mut bad = beside::differences(seed, &by_commands, &live, probes, |node, p| {
        judge::ask(node, p, None)
    });
    bad.extend(redacted::wrong(seed, &live, probes));
    if !bad.is_empty() {
        for (name, snapshot) in [("commands", &by_commands), ("live", &live)] {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/live-cases");
            std::fs::create_dir_all(&folder).expect("a folder for reports");
            let path = folder.join(format!("{seed}-{name}"));
            let _ = std::fs::remove_dir_all(&path);
            let manifest = write::manifest(snapshot, Manifest::default());
            write::write(snapshot, &manifest, &path).expect("a folder for reports");
        }
    }
    bad
}

#[test]
fn a_node_read_live_answers_as_its_capture_by_commands() {
    if !goes_on(obstacle) {
        return;
    }
    let nodes = knob("NFWHY_LIVE_NODES", 12);
    let (mut done, mut packets, mut bad) = (0u64, 0, Vec::new());
    let each = |(n, found): (usize, Vec<String>)| {
        done += 1;
        packets += n;
        for line in &found {
            say(line);
        }
        bad.extend(found);
        if done.is_multiple_of(50) {
            say(&format!(
                "{done} nodes, {packets} packets, {} differ",
                bad.len()
            ));
        }
    };
    run::nodes(nodes, |seed| compare(seed, 20), each);
    say(&format!(
        "{done} nodes, {packets} packets, {} differ",
        bad.len()
    ));
    say(&redacted::tally());
    assert_eq!(done, nodes, "all nodes were compared");
    assert!(bad.is_empty(), "{} answers differ", bad.len());
}
