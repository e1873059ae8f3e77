//! All sources of packets to a load balancer's address told apart, whole process, beside one trace: a node with 10,000 Services x 5 endpoints.
//!
//! `cargo bench --bench sources_process` prints medians of one run and their ratio, for a Service of each traffic policy; two seconds is the bound
//! that is promised.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

#[path = "support/kube_node.rs"]
mod kube_node;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 7;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn run(args: &[&str], dir: &Path, to: &[&str]) -> Duration {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_nfwhy"))
            .args(args)
            .arg("--snapshot")
            .arg(dir)
            .args(to)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|s| s.success()), "{args:?} {to:?}");
        start.elapsed()
    });
    median(times.collect())
}

fn main() {
    // `cargo test --benches` passes --test: nothing to measure there.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("nfwhy-sources-bench-{}", std::process::id()));
    kube_node::write_node(&dir, 10_000, 5).expect("a writable temporary folder");
    let text = fs::read_to_string(dir.join("iptables-save.txt")).expect("the file just written");
    let balancers: Vec<String> = text
        .lines()
        .filter(|l| l.contains(" loadbalancer IP\"") && l.starts_with("-A KUBE-SERVICES -d "))
        .filter_map(|l| {
            let ip = l.split(' ').nth(3)?.split('/').next()?;
            let port = l.split("--dport ").nth(1)?.split(' ').next()?;
            Some(format!("{ip}:{port}"))
        })
        .collect();
    println!(
        "{} lines, {} load balancers",
        text.lines().count(),
        balancers.len()
    );
    for to in balancers.iter().take(1).chain(balancers.last()) {
        let all = run(&["sources"], &dir, &[to]);
        let one = run(&["trace", "--summary"], &dir, &["203.0.113.7", to]);
        let ratio = all.as_secs_f64() / one.as_secs_f64();
        println!("nfwhy sources {to}: {all:?}; nfwhy trace: {one:?}; ratio {ratio:.1}");
        let bound = all < Duration::from_secs(2);
        println!(
            "{}",
            if bound {
                "within two seconds"
            } else {
                "TOO SLOW"
            }
        );
    }
    let _ = fs::remove_dir_all(&dir);
}
