//! What nfwhy reads of `nf_tables` itself, beside what `nft -a list ruleset` prints of it: the same records.
//!
//! `NFWHY_LAB_NODES` random rule sets from `NFWHY_LAB_SEED` on; `NFWHY_LAB=require` and `off` as in `tests/kernel.rs`.
//! `NFWHY_LIVE_NFT` names more listings, with blanks between, that are loaded and compared.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "knobs come from the environment, and what is skipped is said"
)]

#[expect(dead_code, reason = "the lab's packets are sent in tests/kernel.rs")]
mod lab;
mod nft_listings;

use lab::sh;
use lab::wanted::{goes_on, knob};
use nft_listings::{differences, obstacle};
use nfwhy::capture::live::Reading;
use nix::sched::{CloneFlags, unshare};

/// The live text of this thread's namespace.
fn live() -> (String, Vec<String>) {
    let reading = Reading::of_nf_tables();
    assert_eq!(reading.unread, Vec::new());
    let nft = reading.outputs.into_iter().find(|o| o.name == "nft");
    (nft.expect("nf_tables was read").text, reading.remarks)
}

/// Both listings of this thread's namespace.
fn compared() -> Vec<String> {
    let want = sh::must(&["nft", "-a", "list", "ruleset"], "");
    let (got, remarks) = live();
    if std::env::var("NFWHY_LIVE_SHOW").is_ok() {
        eprintln!("--- nft\n{want}\n--- live\n{got}");
    }
    let mut all = differences(&want, &got);
    if !all.is_empty() {
        all.extend(remarks);
    }
    // What nft reads back of its own, it reads of ours.
    let reads = |text: &str| sh::run(&["nft", "-c", "-f", "-"], text);
    if got.contains("xt match") || got.contains("xt target") {
        return all;
    }
    let ours = reads(&got);
    if !ours.ok && reads(&want).ok {
        all.push(format!("nft does not take it: {}", ours.err));
    }
    all
}

#[test]
fn random_rule_sets_read_as_nft_lists_them() {
    if !goes_on(obstacle) {
        return;
    }
    let nodes = knob("NFWHY_LAB_NODES", 24);
    let seed = knob("NFWHY_LAB_SEED", 1);
    let mut bad = Vec::new();
    for n in 0..nodes {
        let seed = match knob("NFWHY_LAB_NODE", 0) {
            0 => seed.wrapping_mul(1_000_003).wrapping_add(n),
            one => one,
        };
        let (mut spec, ..) = lab::nft::draw::node(seed);
        let _netns = lab::netns::Netns::new().expect("a network namespace");
        spec.load();
        let found = compared();
        bad.extend(found.into_iter().map(|d| format!("seed {seed}: {d}")));
    }
    assert!(bad.is_empty(), "{}\n{} differ", bad.join("\n"), bad.len());
}

#[test]
fn captured_rule_sets_read_as_nft_lists_them() {
    if !goes_on(obstacle) {
        return;
    }
    let more = std::env::var("NFWHY_LIVE_NFT").unwrap_or_default();
    let own = ["kube-nftables", "calico-nftables", "legacy-and-nft"];
    let own = own.map(|s| format!("{}/snapshots/{s}/nft.txt", env!("CARGO_MANIFEST_DIR")));
    let mut loaded = 0;
    let mut bad = Vec::new();
    for path in own
        .iter()
        .map(String::as_str)
        .chain(more.split_whitespace())
    {
        let text = std::fs::read_to_string(path).expect(path);
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let said = sh::run(&["nft", "-f", "-"], &text);
        if !said.ok {
            eprintln!("{path} is not loaded: {}", said.err);
            continue;
        }
        loaded += 1;
        bad.extend(compared().into_iter().map(|d| format!("{path}: {d}")));
    }
    assert!(bad.is_empty(), "{}\n{} differ", bad.join("\n"), bad.len());
    assert!(loaded >= 2, "only {loaded} were loaded");
}
