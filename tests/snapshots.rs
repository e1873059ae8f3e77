//! Every folder under snapshots/: its flows are traced, held against what flows.toml expects, and the answers against the reviewed
//! ones beside it.

#[path = "common/folders.rs"]
mod folders;

use folders::folders;
use nfwhy::capture::Snapshot;
use nfwhy::explain::explain;
use nfwhy::node::Node;
use nfwhy::render;
use nfwhy::sim::simulate;
use nfwhy::trace::Trace;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
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
    packet: toml::Value,
    /// Version of the kernel that confirmed it.
    #[serde(rename = "kernel")]
    _kernel: Option<String>,
    /// Code of the first finding.
    finding: Option<String>,
    /// Codes that no finding may have.
    #[serde(default)]
    no_finding: Vec<String>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    verdict: Option<OneOrByServer>,
    dnat: Option<Vec<String>>,
    masq_mark: Option<bool>,
    seen: Option<BTreeMap<String, String>>,
    client_ip: Option<String>,
    out: Option<OneOrByServer>,
    decided_by: Option<Vec<(String, String, toml::Value)>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrByServer {
    One(String),
    ByServer(BTreeMap<String, String>),
}

fn text<'v>(v: &'v Value, path: &str) -> Option<&'v str> {
    v.pointer(path).and_then(Value::as_str)
}

fn server(o: &Value) -> String {
    text(o, "/dnat/ip").unwrap_or("null").to_owned()
}

fn endpoint(o: &Value) -> Option<String> {
    let ip = text(o, "/dnat/ip")?;
    let port = o.pointer("/dnat/port")?;
    Some(if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    })
}

/// What of an answer is not as expected.
fn differences(e: &Expect, answer: &Value) -> Vec<String> {
    let mut bad = Vec::new();
    let outcomes: Vec<&Value> = answer["outcomes"]
        .as_array()
        .expect("an array of outcomes")
        .iter()
        // Of a session: what is not shown is as its owner makes it.
        .filter(|o| o["expected"] != false)
        .collect();
    let set = |f: &dyn Fn(&Value) -> Option<String>| -> BTreeSet<String> {
        outcomes.iter().filter_map(|o| f(o)).collect()
    };
    let verdicts = set(&|o| text(o, "/verdict").map(str::to_owned));
    match &e.verdict {
        Some(OneOrByServer::One(v)) if v == "passed" => {
            let servers = set(&endpoint);
            let ok = verdicts.iter().all(|x| x == "forwarded" || x == "local");
            if !ok || !servers.is_empty() {
                bad.push(format!(
                    "verdicts {verdicts:?}, servers {servers:?}; expected passed"
                ));
            }
        }
        Some(OneOrByServer::One(v)) if verdicts != BTreeSet::from([v.clone()]) => {
            bad.push(format!("verdicts {verdicts:?}; expected {v}"));
        }
        Some(OneOrByServer::ByServer(want)) => {
            let have: BTreeMap<String, String> = outcomes
                .iter()
                .filter_map(|o| Some((server(o), text(o, "/verdict")?.to_owned())))
                .collect();
            if have != *want {
                bad.push(format!("verdicts {have:?}; expected {want:?}"));
            }
        }
        Some(OneOrByServer::One(_)) | None => {}
    }
    if let Some(want) = &e.dnat {
        let have = set(&endpoint);
        if have != want.iter().cloned().collect() {
            bad.push(format!("dnat {have:?}; expected {want:?}"));
        }
        if !want.is_empty() && outcomes.iter().any(|o| endpoint(o).is_none()) {
            bad.push("an outcome without dnat".into());
        }
    }
    if let Some(want) = e.masq_mark {
        let have = outcomes.iter().any(|o| o["masq_mark"] == Value::Bool(true));
        if have != want {
            bad.push(format!("masq_mark {have}; expected {want}"));
        }
    }
    if let Some(want) = &e.seen {
        let have: BTreeMap<String, String> = outcomes
            .iter()
            .map(|o| {
                (
                    server(o),
                    text(o, "/delivered/src").unwrap_or("null").to_owned(),
                )
            })
            .collect();
        if have != *want {
            bad.push(format!("seen {have:?}; expected {want:?}"));
        }
    }
    if let Some(want) = &e.client_ip {
        let have = set(&|o| text(o, "/client_ip").map(str::to_owned));
        if have != BTreeSet::from([want.clone()]) {
            bad.push(format!("client_ip {have:?}; expected {want}"));
        }
    }
    if let Some(want) = &e.out {
        for o in &outcomes {
            let want = match want {
                OneOrByServer::One(w) => Some(w.as_str()),
                OneOrByServer::ByServer(m) => m.get(&server(o)).map(String::as_str),
            };
            if text(o, "/out/dev") != want {
                bad.push(format!("out {:?}; expected {want:?}", text(o, "/out/dev")));
            }
        }
    }
    for (table, chain, rule) in e.decided_by.iter().flatten() {
        let Some(rule) = rule.as_integer() else {
            continue;
        };
        let among = |hits: &Value| {
            hits.as_array().is_some_and(|hits| {
                hits.iter().any(|h| {
                    h["table"] == table.as_str()
                        && h["chain"] == chain.as_str()
                        && h["rule"] == rule
                })
            })
        };
        // By the packet itself or by its answer.
        let hit = outcomes
            .iter()
            .any(|o| among(&o["hits"]) || among(&o["reply"]["hits"]));
        if !hit {
            bad.push(format!("{table} {chain}:{rule} was not hit"));
        }
    }
    bad
}

/// What of the findings is not as the flow says.
fn wrong_findings(flow: &Flow, answer: &Value) -> Vec<String> {
    let codes: Vec<&str> = answer["findings"]
        .as_array()
        .expect("an array of findings")
        .iter()
        .filter_map(|f| text(f, "/code"))
        .collect();
    let mut bad = Vec::new();
    if let Some(want) = &flow.finding
        && codes.first() != Some(&want.as_str())
    {
        bad.push(format!("findings {codes:?}; the first should be {want}"));
    }
    for code in &flow.no_finding {
        if codes.contains(&code.as_str()) {
            bad.push(format!("findings {codes:?}; {code} should not be there"));
        }
    }
    // Rules that decided belong to the first finding's causes.
    if flow.finding.is_some() {
        let causes = answer.pointer("/findings/0/causes");
        let causes = causes
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for (table, chain, rule) in flow.expect.decided_by.iter().flatten() {
            let named = causes.iter().any(|c| {
                c["table"] == table.as_str()
                    && c["chain"] == chain.as_str()
                    && rule
                        .as_integer()
                        .map_or(!c["policy"].is_null(), |n| c["rule"] == n)
            });
            if !named {
                bad.push(format!(
                    "the first finding does not name {table} {chain}:{rule}"
                ));
            }
        }
    }
    bad
}

fn traced(node: &Node<'_>, flow: &Flow) -> (Trace, Value, String) {
    let spec: nfwhy::cli::PacketSpec = flow
        .packet
        .clone()
        .try_into()
        .unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let packet = spec
        .resolve(node)
        .unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let trace = simulate(node, &packet).unwrap_or_else(|e| panic!("{}: {e}", flow.name));
    let mut line = Vec::new();
    render::json::write(&mut line, node, &trace, &explain(node, &trace)).expect("memory");
    let line = String::from_utf8(line).expect("JSON is UTF-8");
    let value = serde_json::from_str(&line).expect("our own JSON");
    (trace, value, line)
}

/// The node, with the devices by which packets come in, where a session does not show them all.
fn node<'s>(snapshot: &'s Snapshot, flows: &Flows) -> Node<'s> {
    let mut node = Node::new(snapshot);
    for flow in &flows.flow {
        if let Some(dev) = flow.packet.get("iif").and_then(toml::Value::as_str) {
            node.assume_device(dev);
        }
    }
    node
}

fn is_pasted(folder: &Path) -> bool {
    folder.join("session.txt").is_file()
}

fn load(folder: &Path) -> (Snapshot, Flows) {
    let snapshot = Snapshot::read(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let text = std::fs::read_to_string(folder.join("flows.toml")).expect("flows.toml");
    let flows = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    (snapshot, flows)
}

#[test]
fn every_flow_of_every_snapshot_ends_as_expected() {
    let mut bad = Vec::new();
    let mut flows_seen = 0;
    for folder in folders("flows.toml") {
        let (snapshot, flows) = load(&folder);
        let node = node(&snapshot, &flows);
        for flow in &flows.flow {
            flows_seen += 1;
            let (_, answer, _) = traced(&node, flow);
            let mut all = differences(&flow.expect, &answer);
            all.extend(wrong_findings(flow, &answer));
            for d in all {
                bad.push(format!("{}: {}: {d}", folder.display(), flow.name));
            }
        }
    }
    assert!(flows_seen > 0, "no flows found");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Snapshots are complete captures: nothing in them is unread. Of pasted sessions something is; it is part of the reviewed answers.
#[test]
fn snapshots_read_without_a_warning() {
    for folder in folders("flows.toml").into_iter().filter(|f| !is_pasted(f)) {
        let (snapshot, _) = load(&folder);
        let node = Node::new(&snapshot);
        let mut text = Vec::new();
        render::write_warnings(&mut text, &node, true).expect("memory");
        assert_eq!(String::from_utf8_lossy(&text), "", "{}", folder.display());
    }
}

/// The answers a user gets, reviewed: the first flows whole, the others without their trace.
#[test]
fn answers_are_the_reviewed_ones() {
    const WHOLE: usize = 3;
    for folder in folders("flows.toml") {
        let (snapshot, flows) = load(&folder);
        let node = node(&snapshot, &flows);
        let mut text = Vec::new();
        if is_pasted(&folder) {
            writeln!(text, "## what is said of the input\n").expect("memory");
            render::write_warnings(&mut text, &node, false).expect("memory");
            writeln!(text).expect("memory");
        }
        let mut json = String::new();
        for (i, flow) in flows.flow.iter().enumerate() {
            let (trace, mut answer, _) = traced(&node, flow);
            writeln!(text, "## {}\n", flow.name).expect("memory");
            let options = render::text::Options {
                detail: if i < WHOLE {
                    render::text::Detail::Normal
                } else {
                    render::text::Detail::Summary
                },
                ..render::text::Options::default()
            };
            render::text::write(&mut text, &node, &trace, &explain(&node, &trace), &options)
                .expect("memory");
            writeln!(text, "\n").expect("memory");
            for o in answer["outcomes"].as_array_mut().into_iter().flatten() {
                if let Some(hits) = o.pointer_mut("/reply/hits") {
                    let n = hits.as_array().map_or(0, Vec::len);
                    *hits = Value::String(format!("{n} rules"));
                }
            }
            if i > 0 {
                // The rules hit are long and shown by the first; the rest of the contract for all.
                for o in answer["outcomes"].as_array_mut().into_iter().flatten() {
                    let hits = o["hits"].as_array().map_or(0, Vec::len);
                    o["hits"] = Value::String(format!("{hits} rules"));
                }
            }
            json += &format!("## {}\n{answer:#}\n\n", flow.name);
        }
        let text = String::from_utf8(text).expect("answers are UTF-8");
        let long: Vec<&str> = text
            .lines()
            .filter(|l| {
                l.chars().count() > 100 && !l.starts_with("## ") && !l.starts_with("warning: ")
            })
            .collect();
        assert_eq!(long, Vec::<&str>::new(), "{}", folder.display());
        insta::with_settings!({
            snapshot_path => &folder,
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!("answers-text", text);
            insta::assert_snapshot!("answers-json", json);
        });
    }
}
