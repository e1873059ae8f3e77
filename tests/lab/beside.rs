//! One moment of a node in two snapshots: all packets get the same answers, rule for rule and finding for finding.

use super::place::place;
use nfwhy::capture::manifest::Manifest;
use nfwhy::capture::{Snapshot, write};
use nfwhy::explain::explain;
use nfwhy::node::Node;
use nfwhy::render::json;
use nfwhy::trace::{Outcome, Trace};
use serde_json::Value;
use std::fmt::{Debug, Write as _};
use std::path::PathBuf;

/// An end of a packet, without places in files.
fn end(node: &Node<'_>, o: &Outcome) -> String {
    let mut text = format!("{} {:?}", o.verdict.name(), o.probability);
    if let Some(v) = &o.delivered {
        let _ = write!(text, " {:?} {:?} {} {:?}", v.src, v.sport, v.dst, v.dport);
    }
    let dev = o.out.as_ref().map(|o| node.device(o.dev).name.clone());
    let via = o.out.as_ref().and_then(|o| o.via);
    let _ = write!(
        text,
        " {dev:?} {via:?} {:?} {:?} {:?} {} {:#x}",
        o.dnat, o.snat, o.client_ip_kept, o.masq_mark, o.mark
    );
    for h in o.hits() {
        let (backend, table, chain, rule) = place(node, h);
        let _ = write!(text, " {backend:?}/{table}/{chain}/{rule}");
    }
    text
}

/// Takes out where something stands in which file: other names, lines that one tool writes and another does not, and a route may stand in two.
fn without_places(node: &Node<'_>, v: &mut Value) {
    match v {
        Value::Object(m) => {
            m.retain(|k, _| !matches!(k.as_str(), "file" | "line" | "handle"));
            m.values_mut().for_each(|v| without_places(node, v));
        }
        Value::Array(a) => a.iter_mut().for_each(|v| without_places(node, v)),
        Value::String(s) => {
            for f in &node.files {
                let head = format!("{}:", f.name);
                while let Some(at) = s.find(&head) {
                    let line = &s[at + head.len()..];
                    let digits = line.chars().take_while(char::is_ascii_digit).count();
                    // One line of JSON holds all rules; chain and number follow then.
                    let rest = line.get(digits..).unwrap_or_default();
                    let rule = rest.find(')').and_then(|end| rest.get(..=end));
                    let rule = rule.filter(|r| r.starts_with(" (") && r.contains(", rule "));
                    let end = at + head.len() + digits + rule.map_or(0, str::len);
                    s.replace_range(at..end, "there");
                }
            }
        }
        _ => {}
    }
}

/// What there is to say about the packet.
fn findings(node: &Node<'_>, trace: &Trace) -> Vec<String> {
    let mut out = Vec::new();
    json::write(&mut out, node, trace, &explain(node, trace)).expect("memory takes it");
    let mut all: Value = serde_json::from_slice(&out).expect("an answer is JSON");
    let mut found = all["findings"].take();
    without_places(node, &mut found);
    let found = found.as_array().expect("findings are a list");
    found.iter().map(ToString::to_string).collect()
}

/// All ends of each packet, and what there is to say about it.
pub fn answers<P>(
    snapshot: &Snapshot,
    probes: &[P],
    ask: impl Fn(&Node<'_>, &P) -> Result<Trace, String>,
) -> Vec<Vec<String>> {
    let node = Node::new(snapshot);
    let one = |p: &P| match ask(&node, p) {
        Ok(t) => {
            let ends = t.outcomes.iter().map(|o| end(&node, o));
            ends.chain(findings(&node, &t)).collect()
        }
        Err(e) => vec![e],
    };
    probes.iter().map(one).collect()
}

/// A folder or archive for one capture.
fn scratch(seed: u64, name: &str) -> PathBuf {
    let path =
        std::env::temp_dir().join(format!("nfwhy-live-{}-{seed}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// The texts of a snapshot, by name.
fn texts(s: &Snapshot) -> Vec<(String, String)> {
    let all = s.files.iter().map(|f| (f.name.clone(), f.text.clone()));
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

/// What is answered otherwise from what was read live, from that written down as a folder and as an archive and read back, than from what
/// the commands printed at the same moment.
pub fn differences<P: Debug>(
    seed: u64,
    by_commands: &Snapshot,
    live: &Snapshot,
    probes: &[P],
    ask: impl Fn(&Node<'_>, &P) -> Result<Trace, String>,
) -> Vec<String> {
    let mut bad = Vec::new();
    for u in &live.unread {
        bad.push(format!(
            "seed {seed}: {} is not readable: {}",
            u.what, u.why
        ));
    }
    for r in &live.remarks {
        bad.push(format!("seed {seed}: {r}"));
    }
    let said = answers(by_commands, probes, &ask);
    let mut same = |what: &str, got: &[Vec<String>]| {
        assert_eq!(got.len(), said.len(), "an answer for each packet");
        for ((p, a), b) in probes.iter().zip(&said).zip(got) {
            if a != b {
                bad.push(format!(
                    "seed {seed}, {what}: {p:?}\n  commands {}\n  {what} {}",
                    a.join("\n    "),
                    b.join("\n    ")
                ));
            }
        }
    };
    same("live", &answers(live, probes, &ask));
    for name in ["node", "node.tar.gz"] {
        let path = scratch(seed, name);
        let manifest = write::manifest(live, Manifest::default());
        write::write(live, &manifest, &path).expect("a folder for temporary files");
        let back = Snapshot::read(&path).expect("what was just written");
        same(name, &answers(&back, probes, &ask));
        assert_eq!(texts(&back), texts(live), "seed {seed}, {name}");
        if path.is_dir() {
            std::fs::remove_dir_all(&path).expect("it is there");
        } else {
            std::fs::remove_file(&path).expect("it is there");
        }
    }
    bad
}
