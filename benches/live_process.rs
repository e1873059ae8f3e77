//! One trace that reads the node itself, whole process, beside the program that prints the same node's rules: a node with 10,000 Services x 5
//! endpoints, in iptables-legacy and in `nf_tables`.
//!
//! `cargo bench --bench live_process` prints medians of one run and their ratio. It needs root and a network namespace of its own. Loading the
//! rules into `nf_tables` takes minutes: `cargo bench --bench live_process -- legacy` leaves that out.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

#[path = "support/kube_node.rs"]
mod kube_node;

use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Both by turns, so that a busy moment meets both.
fn by_turns(
    runs: usize,
    ours: impl Fn() -> bool,
    theirs: impl Fn() -> bool,
) -> Option<[Duration; 2]> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (times, run) in [(&mut a, &ours as &dyn Fn() -> bool), (&mut b, &theirs)] {
            let start = Instant::now();
            if !run() {
                return None;
            }
            times.push(start.elapsed());
        }
    }
    Some([median(a), median(b)])
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn main() {
    // `cargo test --benches` passes --test: nothing to measure there.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let legacy_alone = std::env::args().any(|a| a == "legacy");
    if let Err(e) = unshare(CloneFlags::CLONE_NEWNET) {
        println!("no network namespace, so nothing is measured: {e}");
        return;
    }
    let dir = std::env::temp_dir().join(format!("nfwhy-live-bench-{}", std::process::id()));
    kube_node::write_node(&dir, 10_000, 5).expect("a writable temporary folder");
    let save = dir.join("iptables-save.txt");
    for line in ["link set lo up", "addr add 10.10.1.142/24 dev lo"] {
        assert!(
            succeeds(Command::new("ip").args(line.split(' '))),
            "ip {line}"
        );
    }
    let ipset = dir.join("ipset.txt");
    if let Ok(sets) = File::open(&ipset) {
        assert!(succeeds(Command::new("ipset").arg("restore").stdin(sets)));
    }
    for (backend, runs) in [("legacy", 7), ("nft", 3)] {
        if legacy_alone && backend != "legacy" {
            continue;
        }
        let input = File::open(&save).expect("the file just written");
        if !succeeds(Command::new(format!("iptables-{backend}-restore")).stdin(input)) {
            println!("iptables-{backend}-restore does not take the rules");
            continue;
        }
        let ours = || {
            succeeds(Command::new(env!("CARGO_BIN_EXE_nfwhy")).args([
                "trace",
                "--summary",
                "--in",
                "lo",
                "203.0.113.7",
                "10.96.0.1:443",
            ]))
        };
        let theirs = || succeeds(&mut Command::new(format!("iptables-{backend}-save")));
        match by_turns(runs, ours, theirs) {
            Some([a, b]) => println!(
                "{backend}: nfwhy trace {a:?}, iptables-{backend}-save {b:?}, ratio {:.2}",
                a.as_secs_f64() / b.as_secs_f64()
            ),
            None => println!("{backend}: one of the two failed"),
        }
        let clear = ["-F", "-X"].map(|flag| {
            ["nat", "filter", "mangle", "raw"].map(|t| {
                succeeds(Command::new(format!("iptables-{backend}")).args(["-t", t, flag]))
            })
        });
        println!("cleared: {}", clear.iter().flatten().all(|c| *c));
    }
    let _ = fs::remove_dir_all(&dir);
}
