//! A capture with its addresses and names replaced gives the same answers, and tells none of them.

#[path = "common/folders.rs"]
mod folders;

use folders::folders;
use nfwhy::capture::redact::{Report, redact};
use nfwhy::capture::{Snapshot, SourceFile};
use nfwhy::cli::PacketSpec;
use nfwhy::explain::explain;
use nfwhy::node::Node;
use nfwhy::render;
use nfwhy::sim::simulate;
use nfwhy_parsers::recognise::{Kind, recognise};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Each snapshot, and once more with the JSON of its `nft list ruleset` where it has that.
fn snapshots() -> Vec<(PathBuf, Snapshot)> {
    let mut all = Vec::new();
    for folder in folders("flows.toml") {
        let mut snapshot = Snapshot::read(&folder).expect("a snapshot");
        snapshot.leave_out_objects();
        let json = folder.join("json/nft.json");
        if let Ok(bytes) = fs::read(&json) {
            let mut other = snapshot.clone();
            other.files.retain(|f| f.kind != Kind::Nft);
            other.add("nft.json".to_owned(), bytes);
            all.push((json, other));
        }
        all.push((folder, snapshot));
    }
    all
}

fn redacted(snapshot: &Snapshot) -> (Snapshot, Report) {
    let mut files: Vec<(String, Kind, String)> = snapshot
        .files
        .iter()
        .map(|f| (f.name.clone(), f.kind, f.text.clone()))
        .collect();
    let report = redact(&mut files).expect("addresses to spare");
    let files = files.into_iter().map(|(name, kind, text)| SourceFile {
        name,
        kind,
        text,
        lossy: false,
    });
    let snapshot = Snapshot {
        files: files.collect(),
        ..snapshot.clone()
    };
    (snapshot, report)
}

/// A value with all addresses, also those before a port, and devices replaced.
fn mapped(report: &Report, v: &Value) -> Value {
    match v {
        Value::String(s) => Value::String(match s.parse() {
            Ok(ip) => report.address(ip).to_string(),
            Err(_) => report.name(s),
        }),
        Value::Array(a) => a.iter().map(|v| mapped(report, v)).collect(),
        Value::Object(o) => o
            .iter()
            .map(|(k, v)| (k.clone(), mapped(report, v)))
            .collect(),
        other => other.clone(),
    }
}

/// What an answer says of the packet: all of its outcomes, in their order.
fn outcomes(node: &Node<'_>, packet: &Value) -> Result<Vec<Value>, String> {
    let spec: PacketSpec = serde_json::from_value(packet.clone()).map_err(|e| e.to_string())?;
    let packet = spec.resolve(node).map_err(|_| "refused".to_owned())?;
    let trace = simulate(node, &packet).map_err(|e| e.to_string())?;
    let mut line = Vec::new();
    let findings = explain(node, &trace);
    render::json::write(&mut line, node, &trace, &findings).expect("memory");
    let answer: Value = serde_json::from_slice(&line).expect("our own JSON");
    let codes: Vec<&Value> = answer["findings"]
        .as_array()
        .expect("an array of findings")
        .iter()
        .map(|f| &f["code"])
        .collect();
    let outcomes = answer["outcomes"].as_array().expect("an array of outcomes");
    let essence = |o: &Value| {
        let keys = [
            "probability",
            "verdict",
            "delivered",
            "dnat",
            "snat",
            "client_ip",
            "masq_mark",
            "out",
            "mark",
        ];
        let mut out: serde_json::Map<String, Value> = keys
            .iter()
            .map(|k| ((*k).to_owned(), o[*k].clone()))
            .collect();
        let hits = o["hits"].as_array().into_iter().flatten().map(|h| {
            json!([
                h["family"],
                h["backend"],
                h["table"],
                h["rule"],
                h["line"],
                h["handle"]
            ])
        });
        out.insert("hits".to_owned(), hits.collect());
        Value::Object(out)
    };
    let mut all: Vec<Value> = outcomes.iter().map(essence).collect();
    all.push(json!(codes));
    Ok(all)
}

fn packets(folder: &Path) -> Vec<Value> {
    let folder = folder
        .ancestors()
        .find(|p| p.join("flows.toml").is_file())
        .expect("flows.toml");
    let text = fs::read_to_string(folder.join("flows.toml")).expect("flows.toml");
    let all: toml::Value = toml::from_str(&text).expect("TOML");
    let list = all["flow"].as_array().expect("a list of flows");
    list.iter()
        .map(|f| serde_json::to_value(&f["packet"]).expect("a packet"))
        .collect()
}

#[test]
fn every_flow_ends_as_before_with_other_addresses() {
    let mut compared = 0;
    for (folder, snapshot) in snapshots() {
        let (other, report) = redacted(&snapshot);
        let (before, after) = (Node::new(&snapshot), Node::new(&other));
        for packet in packets(&folder) {
            let expected = outcomes(&before, &packet)
                .map(|o| o.iter().map(|v| mapped(&report, v)).collect::<Vec<_>>());
            let have = outcomes(&after, &mapped(&report, &packet));
            assert_eq!(have, expected, "{}: {packet}", folder.display());
            compared += usize::from(have.is_ok());
        }
        assert_eq!(report.left, Vec::<String>::new(), "{}", folder.display());
    }
    assert!(compared > 50, "{compared} flows");
}

#[test]
fn files_are_recognised_and_read_as_before() {
    for (folder, snapshot) in snapshots() {
        let (other, _) = redacted(&snapshot);
        for (a, b) in snapshot.files.iter().zip(&other.files) {
            assert_eq!(recognise(b.text.as_bytes()), a.kind, "{}", a.name);
            // A map of Calico's in bytes is written as its program shows it.
            if !(a.kind == Kind::CalicoBpf && a.text.contains("\"0x")) {
                assert_eq!(a.text.lines().count(), b.text.lines().count(), "{}", a.name);
            }
        }
        let warnings = |snapshot: &Snapshot| {
            let mut text = Vec::new();
            render::write_warnings(&mut text, &Node::new(snapshot), true).expect("memory");
            String::from_utf8(text).expect("UTF-8")
        };
        assert_eq!(
            warnings(&other),
            warnings(&snapshot),
            "{}",
            folder.display()
        );
    }
}

/// What is an address of a site, whatever prefix it stands in.
fn tells(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => {
            let o = a.octets();
            !(o[0] == 0 || o[0] == 127 || o[0] == 255 || a.is_link_local() || a.is_multicast())
        }
        IpAddr::V6(a) => {
            let local =
                a.segments()[..4] == [0xfe80, 0, 0, 0] && a.to_bits() & 0xffff_ffff_ffff_0000 == 0;
            !(a.to_bits() <= 1 || a.is_multicast() || local)
        }
    }
}

/// Whole networks that everybody has.
const COMMON: &[&str] = &[
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fd00::/8",
    "2001::/16",
    "2001:0:0:0:0:0:0:0/16",
    "2001:db8::/32",
];

/// All addresses and MACs of a text, found without the scanner under test.
fn originals(text: &str) -> BTreeSet<String> {
    let mut text = text.replace("__", " ").to_ascii_lowercase();
    for net in COMMON {
        for before in [' ', '\n', ',', '"'] {
            text = text.replace(&format!("{before}{net}"), " ");
        }
        // JSON has the length elsewhere.
        let base = net.split('/').next().unwrap_or("");
        text = text.replace(&format!("\"{base}\""), " ");
    }
    let mut out = BTreeSet::new();
    // A range of ports without an address, `to::8080`, and the prefix of mapped addresses.
    text = text.replace("/v1::", " ").replace("/v2::", " ");
    text = text.replace("to::", " ").replace("::ffff:10.0.0.0", " ");
    let mut at = 0;
    for word in text.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':')) {
        let mask = at > 0 && text.as_bytes()[at - 1] == b'/' && word.contains("ffff");
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
        if mask {
            continue;
        }
        let forms = [
            word,
            word.trim_matches(':'),
            word.trim_end_matches('.'),
            word.rsplit_once(':').map_or("", |(a, _)| a),
        ];
        let ip = forms.iter().find_map(|w| w.parse::<IpAddr>().ok());
        if let Some(ip) = ip.filter(|ip| tells(*ip)) {
            out.insert(ip.to_string());
        }
        let groups: Vec<&str> = word.split(':').collect();
        let mac = groups.len() == 6 && groups.iter().all(|g| g.len() == 2);
        let first = u8::from_str_radix(groups[0], 16).unwrap_or(1);
        if mac && first & 1 == 0 && word != "00:00:00:00:00:00" {
            out.insert(word.to_owned());
        }
    }
    // Within words: `endpoint-...__fd00.1..5/80` of kube-proxy.
    for word in text.split([' ', '/', '\n']) {
        let colons = word.replace('.', ":");
        if word.parse::<Ipv4Addr>().is_err()
            && let Ok(ip) = colons.parse::<Ipv6Addr>()
            && word.contains("..")
        {
            out.insert(ip.to_string());
        }
    }
    out
}

/// `namespace/name` of the rules' comments, and devices of pods.
fn names(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for word in
        text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | ';' | '@' | '{' | '}'))
    {
        let word = word.trim_end_matches(':');
        let lower = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_lowercase() || b"-.:0123456789".contains(&b))
                && s.bytes().any(|b| b.is_ascii_lowercase())
        };
        if let Some((ns, name)) = word.split_once('/')
            && lower(ns)
            && lower(name)
            && !matches!(ns, "default" | "kube-system" | "link" | "tcx")
            && !ns.starts_with("net.")
            && !ns.starts_with("0x")
            // Where bpftool says that a program hangs.
            && !matches!(word.split_once('/'), Some(("tcx" | "clsact", "ingress" | "egress")))
            // Keys and versions of Kubernetes' objects.
            && ![".org", ".sh", ".io"].iter().any(|e| ns.ends_with(e))
        {
            out.insert(word.to_owned());
        }
        let pod = word
            .strip_prefix("cali")
            .or_else(|| word.strip_prefix("veth"))
            .or_else(|| word.strip_prefix("eni"));
        if pod.is_some_and(|id| id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit())) {
            out.insert(word.to_owned());
        }
        if let Some((_, hash)) = word.rsplit_once('-')
            && hash.len() == 16
            && hash
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        {
            out.insert(hash.to_owned());
        }
    }
    out
}

#[test]
fn no_address_mac_or_name_is_left() {
    let (mut addresses, mut named) = (0, 0);
    for (folder, snapshot) in snapshots() {
        let (other, _) = redacted(&snapshot);
        let all = |s: &Snapshot| {
            s.files
                .iter()
                .map(|f| f.text.as_str())
                .collect::<Vec<_>>()
                .join("\n")
        };
        let (before, after) = (all(&snapshot), all(&other));
        let (a, b) = (originals(&before), originals(&after));
        let both: Vec<&String> = a.intersection(&b).collect();
        assert!(both.is_empty(), "{}: {both:?}", folder.display());
        let (x, y) = (names(&before), names(&after));
        let both: Vec<&String> = x.intersection(&y).collect();
        assert!(both.is_empty(), "{}: {both:?}", folder.display());
        addresses += a.len();
        named += x.len();
    }
    assert!(
        addresses > 300 && named > 100,
        "{addresses} addresses, {named} names"
    );
}

/// How many warnings reading a file gives.
fn warnings(text: &str, kind: Kind) -> usize {
    let snapshot = Snapshot {
        files: vec![SourceFile {
            name: "file".to_owned(),
            kind,
            text: text.to_owned(),
            lossy: false,
        }],
        ..Snapshot::default()
    };
    let mut out = Vec::new();
    render::write_warnings(&mut out, &Node::new(&snapshot), true).expect("memory");
    let out = String::from_utf8_lossy(&out);
    out.lines().filter(|l| l.starts_with("warning: ")).count()
}

/// Files of the parsers' tests: no two of them are of one node, so each is redacted alone.
#[test]
fn the_parsers_files_keep_their_kind_and_tell_no_address() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("parsers/tests/data");
    let mut folders = vec![root];
    let (mut seen, mut bad) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("a file");
            let kind = recognise(&bytes);
            // A redacted capture leaves them out.
            if matches!(kind, Kind::Kube | Kind::KubeTable) {
                continue;
            }
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            let mut files = [(path.display().to_string(), kind, text.clone())];
            let report = match redact(&mut files) {
                Ok(report) => report,
                Err(e) => {
                    bad.push(e.to_string());
                    continue;
                }
            };
            seen += 1;
            let [(name, _, new)] = &files;
            if recognise(new.as_bytes()) != kind {
                bad.push(format!("{name}: another kind"));
            }
            let (had, has) = (warnings(&text, kind), warnings(new, kind));
            if had != has {
                bad.push(format!("{name}: {had} warnings, then {has}"));
            }
            let (a, b) = (originals(&text), originals(new));
            let both: Vec<&String> = a
                .intersection(&b)
                .filter(|a| !report.left.iter().any(|l| l.contains(a.as_str())))
                .collect();
            if !both.is_empty() {
                bad.push(format!("{name}: {both:?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(seen > 5, "{seen} files");
}
