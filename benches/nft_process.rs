//! One trace on a node in kube-proxy's nftables mode with 10,000 Services x 5 endpoints, whole process, beside `nft -c -f` on the same text.
//!
//! `cargo bench --bench nft_process` prints medians of one run and their ratio. `nft -c -f` needs root (it runs in a network namespace of
//! its own); where it cannot run, only nfwhy's own figures are printed.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

#[path = "support/kube_node.rs"]
mod kube_node;
#[path = "support/nft_node.rs"]
mod nft_node;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn median(runs: usize, mut run: impl FnMut() -> bool) -> Option<Duration> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        if !run() {
            return None;
        }
        times.push(start.elapsed());
    }
    times.sort();
    times.get(runs / 2).copied()
}

fn quiet(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn trace(dir: &Path) -> bool {
    quiet(
        Command::new(env!("CARGO_BIN_EXE_nfwhy"))
            .args(["trace", "--snapshot"])
            .arg(dir)
            // The last Service.
            .args(["--summary", "203.0.113.7", "10.96.39.16:80"]),
    )
}

fn main() {
    // `cargo test --benches` passes --test: nothing to measure there.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("nfwhy-nft-bench-{}", std::process::id()));
    // Devices and routes are those of the other bench's node.
    kube_node::write_node(&dir, 1, 1).expect("a writable temporary folder");
    fs::remove_file(dir.join("iptables-save.txt")).expect("the file just written");
    let text = nft_node::ruleset(10_000, 5);
    let file = dir.join("nft.txt");
    fs::write(&file, &text).expect("a writable temporary folder");
    println!("{} lines, {} bytes", text.lines().count(), text.len());
    let ours = median(7, || trace(&dir));
    let check = || {
        quiet(
            Command::new("unshare")
                .args(["-n", "nft", "-c", "-f"])
                .arg(&file),
        )
    };
    let theirs = median(3, check);
    println!("nfwhy trace: {ours:?}");
    println!("nft -c -f: {theirs:?}");
    if let (Some(o), Some(t)) = (ours, theirs) {
        println!("ratio: 1/{:.1}", t.as_secs_f64() / o.as_secs_f64());
    }
    let _ = fs::remove_dir_all(&dir);
}
