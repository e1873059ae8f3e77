//! One trace on a node with 10,000 Services x 5 endpoints, whole process, beside the programs that only parse the same file.
//!
//! `cargo bench --bench whole_process` prints medians of one run and their ratio. `iptables-legacy-restore --test` needs root
//! (it runs in a network namespace of its own); where it cannot run, only nfwhy's own figures are printed.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

#[path = "support/kube_node.rs"]
mod kube_node;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 7;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn time(mut run: impl FnMut() -> bool) -> Option<Duration> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        if !run() {
            return None;
        }
        times.push(start.elapsed());
    }
    Some(median(times))
}

fn trace(dir: &Path, to: &str) -> bool {
    Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .args(["trace", "--snapshot"])
        .arg(dir)
        .args(["--summary", "203.0.113.7", to])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn restore(file: &Path) -> bool {
    let Ok(input) = File::open(file) else {
        return false;
    };
    Command::new("unshare")
        .args(["-n", "iptables-legacy-restore", "--test"])
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Peak resident set of a child in kilobytes, as `/usr/bin/time` would tell; from `VmHWM` just before it ends is not to be had,
/// so the shell's own accounting is used where GNU time exists.
fn peak_kilobytes(dir: &Path, to: &str) -> Option<u64> {
    let out = Command::new("/usr/bin/time")
        .args([
            "-f",
            "%M",
            env!("CARGO_BIN_EXE_nfwhy"),
            "trace",
            "--snapshot",
        ])
        .arg(dir)
        .args(["--summary", "203.0.113.7", to])
        .stdout(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8_lossy(&out.stderr)
        .lines()
        .last()?
        .trim()
        .parse()
        .ok()
}

fn main() {
    // `cargo test --benches` passes --test: nothing to measure there.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("nfwhy-bench-{}", std::process::id()));
    kube_node::write_node(&dir, 10_000, 5).expect("a writable temporary folder");
    let save = dir.join("iptables-save.txt");
    let text = fs::read_to_string(&save).expect("the file just written");
    println!("{} lines, {} bytes", text.lines().count(), text.len());
    // The ClusterIP of the last Service: the packet passes every rule before it.
    let to = text
        .lines()
        .filter(|l| l.starts_with("-A KUBE-SERVICES -d "))
        .filter_map(|l| {
            let mut words = l.split(' ');
            let ip = words.nth(3)?.split('/').next()?;
            let port = l.split("--dport ").nth(1)?.split(' ').next()?;
            Some(format!("{ip}:{port}"))
        })
        .next_back()
        .unwrap_or_else(|| "10.96.0.1:443".into());
    let ours = time(|| trace(&dir, &to));
    let theirs = time(|| restore(&save));
    println!("nfwhy trace {to}: {ours:?}");
    println!("iptables-legacy-restore --test: {theirs:?}");
    if let (Some(o), Some(t)) = (ours, theirs) {
        println!("ratio: 1/{:.1}", t.as_secs_f64() / o.as_secs_f64());
    }
    println!("peak: {:?} kB", peak_kilobytes(&dir, &to));
    let _ = fs::remove_dir_all(&dir);
}
