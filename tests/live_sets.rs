//! Sets, flows and IPVS as the kernel tells them beside what the ordinary commands print.
//!
//! `NFWHY_LIVE_NODES` is how many random namespaces are made, `NFWHY_LAB_SEED` where they begin; `NFWHY_LAB=require` fails where none
//! can be made.

#![expect(clippy::disallowed_methods, reason = "knobs come from the environment")]
#![expect(dead_code, reason = "the lab has more than this test needs")]

mod lab;

use lab::prng::Prng;
use lab::{netns, sets, sh};
use nfwhy::capture::live::Reading;
use nfwhy_parsers::common::{Span, Text};
use nfwhy_parsers::ipset::{self, IpSet};
use nix::sched::{CloneFlags, unshare};

fn knob(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(otherwise)
}

/// Whether this cannot run here; says so, or fails where it must run.
fn skip() -> bool {
    let why = if std::env::var("NFWHY_LAB").is_ok_and(|v| v == "off") {
        Some("NFWHY_LAB=off".into())
    } else {
        netns::obstacle().or_else(|| {
            let tools: [&[&str]; 3] = [&["ipset", "-v"], &["conntrack", "-V"], &["ip", "-V"]];
            let missing = tools.iter().find(|t| !sh::exists(t))?;
            Some(format!("{} is not installed", missing[0]))
        })
    };
    let Some(why) = why else {
        return false;
    };
    assert!(
        std::env::var("NFWHY_LAB").as_deref() != Ok("require"),
        "the lab cannot run: {why}"
    );
    eprintln!("skipped: {why}");
    true
}

/// The text of a source, which must have been read.
fn live(name: &str) -> String {
    let reading = Reading::of_this_namespace();
    let found = reading.outputs.iter().find(|o| o.name == name);
    found
        .unwrap_or_else(|| panic!("no {name}: {:?}", reading.unread))
        .text
        .clone()
}

/// Records of sets without what belongs to the text, in an order of their own. The hash's size and seed stay.
fn plain(text: &str) -> Vec<IpSet<'_>> {
    let parsed = ipset::parse(text);
    assert!(
        parsed.diagnostics.is_empty(),
        "{:?}\n{text}",
        parsed.diagnostics
    );
    let mut sets = parsed.value;
    for s in &mut sets {
        s.line = 0;
        s.span = Span::default();
        for m in &mut s.members {
            m.line = 0;
        }
        s.members.sort_by_key(|m| format!("{m:?}"));
        // Seconds go by between the two readings.
        for m in &mut s.members {
            if let Some(t) = m.timeout.as_mut().filter(|t| **t > 0) {
                *t = 0;
            }
        }
    }
    sets.sort_by_key(|s| s.name.clone());
    sets
}

/// Seconds left of each member, in the order of [`plain`].
fn seconds(text: &str) -> Vec<(String, u32)> {
    let mut out: Vec<(String, u32)> = ipset::parse(text)
        .value
        .iter()
        .flat_map(|s| {
            let name = s.name.to_string();
            s.members
                .iter()
                .filter_map(move |m| Some((format!("{name} {}", m.text), m.timeout?)))
        })
        .collect();
    out.sort();
    out
}

/// Compares sets with `ipset save`; the number of sets and members.
fn same_sets(what: &str) -> (usize, usize) {
    let text = sh::must(&["ipset", "save"], "");
    let ours = live("ipset-save");
    let (a, b) = (plain(&ours), plain(&text));
    assert_eq!(a, b, "{what}\nlive:\n{ours}\nipset save:\n{text}");
    for ((n, x), (m, y)) in seconds(&ours).iter().zip(&seconds(&text)) {
        assert_eq!(n, m);
        // 0 is for ever; and what ends within a second may be gone.
        assert!(
            x.abs_diff(*y) <= 2 && (*x == 0) == (*y == 0),
            "{what} {n}: {x} {y}"
        );
    }
    // The tool takes our text as its own.
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        let restored = sh::run(&["ipset", "restore"], &ours);
        assert!(restored.ok, "{what}: {}\n{ours}", restored.err);
        let again = sh::must(&["ipset", "save"], "");
        let strip = |t| {
            let mut s = plain(t);
            // A new seed, if the text had none.
            s.iter_mut().for_each(|s| s.header = Text::Borrowed(""));
            s
        };
        assert_eq!(strip(&again), strip(&ours), "{what}: restored");
    }
    (a.len(), a.iter().map(|s| s.members.len()).sum())
}

fn fresh() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
}

#[test]
fn random_sets_are_those_of_ipset_save() {
    if skip() {
        return;
    }
    let (from, nodes) = (knob("NFWHY_LAB_SEED", 1), knob("NFWHY_LIVE_NODES", 12));
    let (mut all_sets, mut all_members) = (0, 0);
    for seed in from..from + nodes {
        fresh();
        let (_, lines) = sets::make(&mut Prng::new(seed));
        // The tool refuses a member now and then, and the generator does not mind.
        let script: String = lines
            .iter()
            .map(|l| format!("ipset -exist {l}\n"))
            .collect();
        sh::run(&["sh"], &script);
        let (s, m) = same_sets(&format!("seed {seed}"));
        all_sets += s;
        all_members += m;
    }
    eprintln!("{nodes} namespaces, {all_sets} sets, {all_members} members are equal");
    assert!(all_members > 0);
}
