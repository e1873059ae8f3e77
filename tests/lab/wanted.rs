//! What the environment wants of tests that need more than the program: how far they go, and whether they run at all.

use std::io::Write as _;

/// A setting of the environment.
#[expect(clippy::disallowed_methods, reason = "knobs come from the environment")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A number from the environment.
pub fn knob(name: &str, otherwise: u64) -> u64 {
    setting(name)
        .and_then(|v| v.parse().ok())
        .unwrap_or(otherwise)
}

/// Past the test harness's capture: a run of minutes shows where it stands.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether a test runs here. What is in its way is said past the harness's capture; with `NFWHY_LAB=require` the test fails by it.
/// `NFWHY_LAB=off` wants none of these tests.
pub fn goes_on(obstacle: impl FnOnce() -> Option<String>) -> bool {
    let wanted = setting("NFWHY_LAB").unwrap_or_default();
    let why = if wanted == "off" {
        Some("NFWHY_LAB=off".to_owned())
    } else {
        obstacle()
    };
    let Some(why) = why else { return true };
    assert!(wanted != "require", "NFWHY_LAB=require, but: {why}");
    say(&format!("skipped: {why}"));
    false
}

/// Copies a program that is to be run: by another process, for a child that a thread makes meanwhile would hold the copy open for writing, and the
/// kernel runs no such file (`ETXTBSY`).
#[allow(dead_code, reason = "few tests run a copy")]
pub fn copy_program(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp").arg(from).arg(to).status();
    assert!(
        done.is_ok_and(|s| s.success()),
        "no copy of {}",
        from.display()
    );
}
