//! Every folder under snapshots/ with a cluster.toml: its flows are followed through the nodes and back, held against what is expected, and the
//! answers against the reviewed ones beside it.

#[path = "common/folders.rs"]
mod folders;

use folders::folders;
use nfwhy::capture::cluster::Captures;
use nfwhy::cluster::Cluster;
use nfwhy::node::Node;
use nfwhy::render;
use nfwhy::sim::simulate;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flows {
    flow: Vec<Flow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    name: String,
    /// The node where it starts; else the one that is found.
    on: Option<String>,
    packet: toml::Value,
    #[serde(default)]
    expect: Expect,
}

/// What is keyed is keyed by the real server, `null` where there is none.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    verdict: Option<BTreeMap<String, String>>,
    dnat: Option<BTreeSet<String>>,
    seen: Option<BTreeMap<String, String>>,
    client_ip: Option<String>,
    reply: Option<BTreeMap<String, String>>,
    /// The node of the receiver.
    at: Option<BTreeMap<String, String>>,
    /// The first findings.
    findings: Option<Vec<String>>,
}

fn load(folder: &Path) -> (Captures, Flows) {
    let captures = Captures::read(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let text = std::fs::read_to_string(folder.join("cluster.toml")).expect("cluster.toml");
    let flows = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    (captures, flows)
}

/// Finds out who answers for the addresses that are asked, as the program does.
fn announce<'a>(cluster: &mut Cluster<'a>, beside: &Node<'a>, flows: &Flows) {
    for flow in &flows.flow {
        let to = flow.packet.get("dst").and_then(toml::Value::as_str);
        let to = to.and_then(|s| s.parse().ok()).expect("dst");
        if cluster.announcer(to).is_none()
            && let Some(place) = nfwhy::vip::announcer(cluster, beside, to)
        {
            cluster.announced.push((to, place));
        }
    }
}

/// The answer as JSON and as text.
fn followed(cluster: &Cluster<'_>, flow: &Flow) -> (Value, String) {
    let spec: nfwhy::cli::PacketSpec = flow.packet.clone().try_into().expect("a packet");
    let field = |k: &str| flow.packet.get(k).and_then(toml::Value::as_str);
    let place = if let Some(name) = &flow.on {
        cluster.by_name(name).expect("a node of the cluster")
    } else {
        let from = field("src").and_then(|s| s.parse().ok());
        let to = field("dst").and_then(|s| s.parse().ok()).expect("dst");
        let starts = cluster.starts(from, to, field("iif"));
        assert_eq!(starts.len(), 1, "{}: may start at {starts:?}", flow.name);
        starts[0]
    };
    let node = &cluster.places[place].node;
    let packet = spec
        .resolve(node)
        .unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let first = simulate(node, &packet).unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let journeys = cluster
        .journeys(place, &packet)
        .unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let findings = cluster.findings(place, &first, &journeys);
    let mut line = Vec::new();
    render::json::write_cluster(&mut line, cluster, place, &first, &journeys, &findings)
        .expect("memory");
    let mut text = Vec::new();
    let options = render::text::Options::default();
    render::text::write_cluster(
        &mut text, cluster, place, &first, &journeys, &findings, &options,
    )
    .expect("memory");
    (
        serde_json::from_slice(&line).expect("our own JSON"),
        String::from_utf8(text).expect("UTF-8"),
    )
}

fn text(v: &Value, path: &str) -> String {
    v.pointer(path)
        .and_then(Value::as_str)
        .unwrap_or("null")
        .to_owned()
}

fn differences(e: &Expect, answer: &Value) -> Vec<String> {
    let outcomes = answer["outcomes"].as_array().expect("outcomes");
    let by_server = |path: &str| -> BTreeMap<String, String> {
        outcomes
            .iter()
            .map(|o| (text(o, "/dnat/ip"), text(o, path)))
            .collect()
    };
    let mut bad = Vec::new();
    let mut held = |what: &str, have: BTreeMap<String, String>, want: &Option<BTreeMap<_, _>>| {
        if let Some(want) = want
            && have != *want
        {
            bad.push(format!("{what} {have:?}; expected {want:?}"));
        }
    };
    held("verdict", by_server("/verdict"), &e.verdict);
    held("seen", by_server("/delivered/src"), &e.seen);
    held("reply", by_server("/reply/verdict"), &e.reply);
    let at = outcomes
        .iter()
        .map(|o| {
            let hops = o["hops"].as_array().expect("hops");
            (
                text(o, "/dnat/ip"),
                hops.last().map_or(String::new(), |h| text(h, "/node")),
            )
        })
        .collect();
    held("at", at, &e.at);
    if let Some(want) = &e.dnat {
        let have: BTreeSet<String> = outcomes
            .iter()
            .map(|o| format!("{}:{}", text(o, "/dnat/ip"), o["dnat"]["port"]))
            .collect();
        if have != *want {
            bad.push(format!("dnat {have:?}; expected {want:?}"));
        }
    }
    if let Some(want) = &e.client_ip
        && outcomes.iter().any(|o| text(o, "/client_ip") != *want)
    {
        bad.push(format!("client_ip is not {want} everywhere"));
    }
    if let Some(want) = &e.findings {
        let found = answer["findings"].as_array().expect("findings");
        let have: Vec<String> = found.iter().map(|f| text(f, "/code")).collect();
        if !have.starts_with(want) {
            bad.push(format!("findings {have:?}; expected {want:?} first"));
        }
    }
    bad
}

#[test]
fn every_flow_of_every_cluster_ends_as_expected() {
    let mut bad = Vec::new();
    let mut flows_seen = 0;
    for folder in folders("cluster.toml") {
        let (captures, flows) = load(&folder);
        let beside = captures.beside_as_snapshot();
        let beside = Node::new(&beside);
        let mut cluster = Cluster::new(&captures);
        announce(&mut cluster, &beside, &flows);
        for flow in &flows.flow {
            flows_seen += 1;
            let (answer, _) = followed(&cluster, flow);
            for d in differences(&flow.expect, &answer) {
                bad.push(format!("{}: {}: {d}", folder.display(), flow.name));
            }
        }
    }
    assert!(flows_seen > 0, "no flows found");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn clusters_read_without_a_warning() {
    for folder in folders("cluster.toml") {
        let (captures, _) = load(&folder);
        assert_eq!(captures.skipped, [], "{}", folder.display());
        for p in Cluster::new(&captures).places {
            let mut text = Vec::new();
            render::write_warnings(&mut text, &p.node, true).expect("memory");
            assert_eq!(
                String::from_utf8_lossy(&text),
                "",
                "{} {}",
                folder.display(),
                p.name
            );
        }
    }
}

/// The answers a user gets, reviewed.
#[test]
fn answers_are_the_reviewed_ones() {
    for folder in folders("cluster.toml") {
        let (captures, flows) = load(&folder);
        let beside = captures.beside_as_snapshot();
        let beside = Node::new(&beside);
        let mut cluster = Cluster::new(&captures);
        announce(&mut cluster, &beside, &flows);
        let mut all = String::new();
        let mut json = String::new();
        for flow in &flows.flow {
            let (mut answer, text) = followed(&cluster, flow);
            all += &format!("## {}\n\n{text}\n\n", flow.name);
            shorten(&mut answer);
            json += &format!("## {}\n{answer:#}\n\n", flow.name);
        }
        let long: Vec<&str> = all
            .lines()
            .filter(|l| l.chars().count() > 100 && !l.starts_with("## "))
            .collect();
        assert_eq!(long, Vec::<&str>::new(), "{}", folder.display());
        insta::with_settings!({
            snapshot_path => &folder,
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!("answers-text", all);
            insta::assert_snapshot!("answers-json", json);
        });
    }
}

/// The rules hit are long and shown by the single nodes' answers.
fn shorten(v: &mut Value) {
    match v {
        Value::Object(m) => {
            for (k, x) in m.iter_mut() {
                if k == "hits" {
                    let n = x.as_array().map_or(0, Vec::len);
                    *x = Value::String(format!("{n} rules"));
                } else {
                    shorten(x);
                }
            }
        }
        Value::Array(a) => a.iter_mut().for_each(shorten),
        _ => {}
    }
}
