//! The ordinary commands, run in the network namespace of the calling thread.

use std::io::Write;
use std::process::{Command, Stdio};

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// It ended with 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command with `input` as its standard input. A child starts in the namespaces of the thread that makes it.
pub fn run(line: &[&str], input: &str) -> Said {
    let mut child = Command::new(line[0])
        .args(&line[1..])
        // Namespaces of other users' nodes must not wait for each other at one lock file.
        .env("XTABLES_LOCKFILE", lock_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{} cannot be run: {e}", line[0]));
    if let Some(mut stdin) = child.stdin.take() {
        // A command that refuses its first line may be gone before the last one is written.
        let _ = stdin.write_all(input.as_bytes());
    }
    let out = child
        .wait_with_output()
        .unwrap_or_else(|e| panic!("{} cannot be waited for: {e}", line[0]));
    Said {
        ok: out.status.success(),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// Standard output of a command that must succeed.
pub fn must(line: &[&str], input: &str) -> String {
    let said = run(line, input);
    assert!(said.ok, "{line:?} failed: {}\n{input}", said.err);
    said.out
}

/// Whether a command exists and answers.
pub fn exists(line: &[&str]) -> bool {
    Command::new(line[0])
        .args(&line[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Of some commands, each as it is asked whether it is there, the first that is not.
#[allow(dead_code, reason = "a test that needs one tool alone asks for that")]
pub fn missing(tools: &[&[&str]]) -> Option<String> {
    let first = tools.iter().find(|t| !exists(t))?;
    Some(format!("{} is not installed", first[0]))
}

fn lock_file() -> String {
    let mut p = std::env::temp_dir();
    // One for each node: nodes are made in threads of their own.
    let thread = nix::unistd::gettid();
    p.push(format!("nfwhy-lab-{}-{thread}.lock", std::process::id()));
    p.display().to_string()
}
