//! What people send in place of a snapshot: the repository's snapshots, laid out as the collectors lay theirs out, give the same
//! answers.

#[path = "bundles/collectors.rs"]
mod collectors;
#[path = "bundles/hostile.rs"]
mod hostile;
#[path = "bundles/packed.rs"]
mod packed;
#[path = "bundles/twice.rs"]
mod twice;

use packed::Packed;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A packet and the snapshot it is asked of.
const CASES: &[(&str, &[&str])] = &[
    (
        "ipvs-etp-cluster",
        &["--in", "ens4", "10.10.6.91", "172.19.100.2:80"],
    ),
    ("kube-ipv6", &["--from-node", "[fd00:10:96::1]:443"]),
    ("kube-iptables", &["--from-node", "10.96.0.1:443"]),
];

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("snapshots")
        .join(name)
}

/// What the program did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// `nfwhy trace` with something on its standard input.
fn nfwhy(args: &[&str], input: &[u8]) -> Ran {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .arg("trace")
        .args(args)
        .write_stdin(input)
        .timeout(std::time::Duration::from_secs(120))
        .output()
        .expect("the program runs");
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("the answer is UTF-8"),
        err: String::from_utf8(output.stderr).expect("messages are UTF-8"),
    };
    assert!(matches!(ran.code, 0..=2), "{args:?}: {}", ran.err);
    ran
}

/// The answer in JSON, without the places of what it names: files are called otherwise in a bundle.
#[track_caller]
fn answer(path: &str, packet: &[&str], input: &[u8]) -> (Value, String) {
    let mut args = vec!["-s", path, "--format", "json"];
    args.extend(packet);
    let ran = nfwhy(&args, input);
    assert_eq!(ran.code, 0, "{args:?}: {}{}", ran.out, ran.err);
    let mut value = serde_json::from_str(&ran.out).expect("JSON");
    without_places(&mut value);
    (value, ran.err)
}

fn without_places(v: &mut Value) {
    match v {
        Value::Object(map) => {
            map.retain(|k, _| !matches!(k.as_str(), "file" | "place" | "line"));
            map.values_mut().for_each(without_places);
        }
        Value::Array(list) => list.iter_mut().for_each(without_places),
        // Some are within a sentence.
        Value::String(text) => {
            let words = text.split(' ').map(|w| match w.rsplit_once(':') {
                Some((_, n))
                    if w.starts_with('(') && n.trim_end_matches(')').parse::<u32>().is_ok() =>
                {
                    "()"
                }
                _ => w,
            });
            *text = words.collect::<Vec<_>>().join(" ");
        }
        _ => {}
    }
}

/// The plain snapshot's answer.
fn plain(name: &str, packet: &[&str]) -> Value {
    let path = snapshot(name);
    answer(&path.to_string_lossy(), packet, &[]).0
}

/// Fails with status 2 and says this.
#[track_caller]
fn fails(path: &str, says: &[&str]) {
    let ran = nfwhy(&["-s", path, "10.0.0.1", "10.0.0.2:80"], &[]);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    for s in says {
        assert!(ran.err.contains(s), "no {s:?} in {}", ran.err);
    }
}
