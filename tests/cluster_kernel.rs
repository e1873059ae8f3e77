//! Packets through several nodes beside the running kernel: nodes in network namespaces, linked by a bridge and a VXLAN, random rules on each.
//! `NFWHY_CLUSTERS` and `NFWHY_CLUSTER_PACKETS` (per cluster) make the run longer; the other knobs are those of tests/kernel.rs.

#![expect(clippy::disallowed_methods, reason = "knobs come from the environment")]

mod cluster_lab;
#[allow(dead_code, reason = "one node alone is judged in tests/kernel.rs")]
mod lab;

use cluster_lab::{Figures, Made};
use lab::prng::Prng;
use lab::run::{knob, nodes, say};
use lab::{netns, sh};

const TOOLS: [&[&str]; 6] = [
    &["iptables-legacy-save", "-V"],
    &["iptables-nft-save", "-V"],
    &["ipset", "-v"],
    &["nft", "-v"],
    &["bridge", "-V"],
    &["ip", "-V"],
];

/// Why the lab cannot run here.
fn obstacle() -> Option<String> {
    if std::env::var("NFWHY_LAB").is_ok_and(|v| v == "off") {
        return Some("NFWHY_LAB=off".into());
    }
    if !nix::unistd::Uid::effective().is_root() {
        return Some("only root makes such networks".into());
    }
    netns::obstacle().or_else(|| {
        let missing = TOOLS.iter().find(|t| !sh::exists(t))?;
        Some(format!("{} is not installed", missing[0]))
    })
}

/// Judges the cluster of a seed.
fn judge(seed: u64, packets: u16) -> (Vec<String>, Figures) {
    let mut f = Figures::default();
    let mut r = Prng::new(seed);
    let count = 2 + r.below(2);
    let made = Made::new(&mut r, count, &mut f);
    let found = made.judge(&mut r, packets, &mut f);
    let found = found
        .into_iter()
        .map(|d| format!("seed {seed}: {d}"))
        .collect();
    (found, f)
}

#[test]
fn packets_through_several_nodes_go_as_on_this_kernel() {
    if let Some(why) = obstacle() {
        assert!(
            std::env::var("NFWHY_LAB").as_deref() != Ok("require"),
            "NFWHY_LAB=require, but: {why}"
        );
        say(&format!("skipped: {why}"));
        return;
    }
    let packets = u16::try_from(knob("NFWHY_CLUSTER_PACKETS", 60)).unwrap_or(60);
    let mut all = Figures::default();
    let mut bad: Vec<String> = Vec::new();
    nodes(
        knob("NFWHY_CLUSTERS", 4),
        |seed| judge(seed, packets),
        |(found, f)| {
            all += f;
            for d in &found {
                if bad.len() < 5 || knob("NFWHY_LAB_VERBOSE", 0) != 0 {
                    say(d);
                }
            }
            bad.extend(found);
        },
    );
    say(&format!("{all:?}\n{} divergences", bad.len()));
    assert!(all.arrived > 0, "nothing arrived");
    assert!(bad.is_empty(), "{} divergences", bad.len());
}
