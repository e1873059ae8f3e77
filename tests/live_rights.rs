//! What reading the node itself needs, and what it leaves behind: who may not read is told so, and nothing on the node is another afterwards.
//! Needs root, network namespaces, iptables, ipset and nft; `NFWHY_LAB=require` fails where they are absent, `NFWHY_LAB=off` skips.

#[path = "lab/wanted.rs"]
#[allow(dead_code, reason = "shared with the labs")]
mod wanted;

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NOBODY: u32 = 65534;

fn run(words: &[&str]) -> Option<String> {
    let out = Command::new(words[0]).args(&words[1..]).output().ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

fn must(words: &[&str]) -> String {
    run(words).unwrap_or_else(|| panic!("{} fails", words.join(" ")))
}

/// Runs in a network namespace of its own, where that is possible.
fn in_a_namespace(f: impl FnOnce() + Send) {
    let missing = || {
        ["iptables-legacy", "nft", "ipset"]
            .into_iter()
            .find(|t| run(&[t, if *t == "ipset" { "-v" } else { "-V" }]).is_none())
    };
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let goes_on = wanted::goes_on(|| {
                if !nix::unistd::geteuid().is_root() {
                    Some("it needs root".to_owned())
                } else if let Err(e) = unshare(CloneFlags::CLONE_NEWNET) {
                    Some(format!("no network namespaces: {e}"))
                } else {
                    missing().map(|t| format!("{t} is not installed"))
                }
            });
            if goes_on {
                f();
            }
        });
        inside
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e));
    });
}

/// A folder that everybody may read, with the program in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nfwhy-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a temporary folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("our own");
        wanted::copy_program(Path::new(env!("CARGO_BIN_EXE_nfwhy")), &path.join("nfwhy"));
        Self(path)
    }

    fn nfwhy(&self, user: u32, words: &[&str]) -> Output {
        Command::new(self.0.join("nfwhy"))
            .args(words)
            .uid(user)
            .gid(user)
            .current_dir(&self.0)
            .env("PATH", "/nonexistent")
            .output()
            .expect("the program runs")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A node with rules of every kind.
fn make() {
    for line in [
        "ip link set lo up",
        "ip addr add 10.1.0.1/24 dev lo",
        "iptables-legacy -A INPUT -p tcp --dport 80 -j DROP",
        "ipset create S hash:ip",
        "ipset add S 10.9.9.9",
        "nft add table inet t",
        "nft add chain inet t c { type filter hook input priority 0 ; }",
        "nft add rule inet t c counter",
    ] {
        must(&line.split(' ').collect::<Vec<_>>());
    }
}

const PACKET: [&str; 2] = ["10.1.0.50", "10.1.0.1:80"];

#[test]
fn who_may_not_read_gets_a_list_and_no_answer() {
    in_a_namespace(|| {
        make();
        let scratch = Scratch::new("rights");
        let out = scratch.nfwhy(NOBODY, &["trace", PACKET[0], PACKET[1]]);
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "", "no answer");
        for what in [
            "iptables-legacy rules (IPv4)",
            "nftables rules",
            "ipsets",
            "flows of conntrack",
            "as root",
        ] {
            assert!(said.contains(what), "{what}: {said}");
        }
        // What can be read is written down, and what cannot is not there: it is not empty.
        let out = scratch.nfwhy(NOBODY, &["capture", "-o", "node"]);
        assert_eq!(out.status.code(), Some(2));
        let folder = scratch.0.join("node");
        for (name, there) in [("ip-addr", true), ("nft", false), ("ipset-save", false)] {
            assert_eq!(folder.join(name).exists(), there, "{name}");
        }
        let text = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        let unread = manifest["unread"].as_array().expect("a list").len();
        assert!(unread >= 5, "{text}");
        // As root the same packet has an answer, and it is another one than the routes alone give.
        let out = scratch.nfwhy(0, &["trace", "--format", "minimal", PACKET[0], PACKET[1]]);
        let said = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(0), "{said}");
        assert!(said.contains("dropped"), "{said}");
    });
}

/// All that reading could change, as other programs see it.
fn state() -> Vec<(&'static str, String)> {
    let file = |p: &str| fs::read_to_string(Path::new("/proc/thread-self/net").join(p));
    let mut all = vec![
        (
            "modules",
            fs::read_to_string("/proc/modules").unwrap_or_default(),
        ),
        ("tables", file("ip_tables_names").unwrap_or_default()),
        ("tables6", file("ip6_tables_names").unwrap_or_default()),
        ("nft", must(&["nft", "-a", "list", "ruleset"])),
        ("sets", must(&["ipset", "list"])),
    ];
    // Asking for tables that are there makes none.
    if !all[1].1.is_empty() {
        let rules = must(&["iptables-legacy-save", "-c"]);
        let bare = |l: &&str| !l.starts_with('#');
        let rules: Vec<&str> = rules.lines().filter(bare).collect();
        all.push(("legacy", rules.join("\n")));
    }
    all
}

#[test]
fn reading_changes_nothing() {
    in_a_namespace(|| {
        let scratch = Scratch::new("traces");
        let read = || {
            for words in [
                &["trace", "--in", "lo", PACKET[0], PACKET[1]][..],
                &["capture", "-o", "node"],
                &["netns"],
            ] {
                let out = scratch.nfwhy(0, words);
                let said = String::from_utf8_lossy(&out.stderr);
                assert_eq!(out.status.code(), Some(0), "{words:?}: {said}");
            }
            fs::remove_dir_all(scratch.0.join("node")).expect("a capture");
        };
        // Where there is nothing, nothing comes to be: the kernel makes a table of iptables-legacy when it is asked for one.
        let before = state();
        read();
        assert_eq!(state(), before);
        make();
        let before = state();
        assert!(
            before
                .iter()
                .any(|(what, t)| *what == "legacy" && t.contains("DROP"))
        );
        read();
        assert_eq!(state(), before);
    });
}

/// The files of a capture but for what it says of itself.
fn files(folder: &Path) -> Vec<(String, String)> {
    let name = |p: &Path| {
        p.file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned()
    };
    let all = fs::read_dir(folder)
        .expect("a capture")
        .map(|e| e.expect("a file").path());
    let mut all: Vec<_> = all
        .filter(|p| name(p) != "manifest.json")
        .map(|p| (name(&p), fs::read_to_string(&p).expect("a text")))
        .collect();
    all.sort();
    all
}

/// Nothing in a folder but the program, and the libraries that it was linked with.
fn jail(scratch: &Scratch) {
    let program = scratch.0.join("nfwhy").display().to_string();
    // A program that is all in one file has none.
    for word in run(&["ldd", &program])
        .unwrap_or_default()
        .split_whitespace()
    {
        if let Some(inside) = word.strip_prefix('/') {
            let to = scratch.0.join(inside);
            fs::create_dir_all(to.parent().expect("a folder")).expect("our own");
            wanted::copy_program(Path::new(word), &to);
        }
    }
}

#[test]
fn a_folder_without_procfs_is_no_obstacle_to_root() {
    in_a_namespace(|| {
        make();
        let scratch = Scratch::new("jail");
        jail(&scratch);
        let folder = scratch.0.display().to_string();
        let inside = |words: &[&str]| {
            let mut line = vec!["chroot", &folder];
            line.extend(words);
            let out = Command::new(line[0]).args(&line[1..]).output();
            let out = out.expect("chroot runs");
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            (out.status.code(), said)
        };
        let out = scratch.nfwhy(0, &["capture", "-o", "outside"]);
        assert_eq!(out.status.code(), Some(0));
        let outside = files(&scratch.0.join("outside"));
        let text = |name: &str| outside.iter().find(|(n, _)| n == name).map(|(_, t)| t);
        let rules = text("iptables-legacy-save").expect("rules of iptables-legacy");
        assert!(rules.contains("--dport 80 -j DROP"), "{rules}");
        assert!(text("sysctl").is_some_and(|t| t.contains("net.ipv4.conf.lo.")));

        let (before, mounts) = (state(), fs::read("/proc/thread-self/mountinfo"));
        let (status, said) = inside(&["/nfwhy", "capture", "-o", "/inside"]);
        if said.contains("no mount of its own") {
            // A kernel before 5.2, or a sandbox that refuses it.
            wanted::say(&format!("skipped: {said}"));
            return;
        }
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(files(&scratch.0.join("inside")), outside);
        assert_eq!(state(), before);
        let now = fs::read("/proc/thread-self/mountinfo").expect("procfs");
        assert_eq!(now, mounts.expect("procfs"), "no mount is left");

        // Who may not mount is told what cannot be read.
        let user = format!("--userspec={NOBODY}:{NOBODY}");
        let said = Command::new("chroot")
            .args([&*user, &folder, "/nfwhy", "trace", PACKET[0], PACKET[1]])
            .output()
            .expect("chroot runs");
        assert_eq!(said.status.code(), Some(2));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("/proc is not mounted here"), "{said}");

        // Another namespace's files are those of that namespace.
        unshare(CloneFlags::CLONE_NEWNS).expect("root may");
        must(&["mount", "--make-rprivate", "/"]);
        let handle = scratch.0.join("ns");
        fs::write(&handle, "").expect("our own");
        let handle = handle.display().to_string();
        must(&["mount", "--bind", "/proc/self/ns/net", &handle]);
        unshare(CloneFlags::CLONE_NEWNET).expect("root may");
        let (status, said) = inside(&["/nfwhy", "capture", "--netns", "/ns", "-o", "/entered"]);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(files(&scratch.0.join("entered")), outside);
        let (status, said) = inside(&["/nfwhy", "capture", "-o", "/empty"]);
        assert_eq!(status, Some(0), "{said}");
        assert_ne!(files(&scratch.0.join("empty")), outside);
        must(&["umount", &handle]);
    });
}
