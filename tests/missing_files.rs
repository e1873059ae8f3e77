//! A capture with one file missing must not give another certain answer: what the file would have told stays the same for other
//! reasons, or becomes unknown and names the command that shows it.

#[path = "common/folders.rs"]
mod folders;

use folders::folders;
use nfwhy::capture::Snapshot;
use nfwhy::cli::PacketSpec;
use nfwhy::node::Node;
use nfwhy::render;
use nfwhy::sim::simulate;
use nfwhy_parsers::recognise::Kind;
use serde_json::Value;
use std::fs;
use std::path::Path;

struct Flow {
    name: String,
    packet: PacketSpec,
    /// The device it names.
    iif: Option<String>,
}

fn flows(folder: &Path) -> Vec<Flow> {
    let text = fs::read_to_string(folder.join("flows.toml")).expect("flows.toml");
    let all: toml::Value = toml::from_str(&text).expect("TOML");
    let list = all["flow"].as_array().expect("a list of flows");
    list.iter()
        .map(|f| {
            let name = f["name"].as_str().expect("a name").to_owned();
            let iif = f["packet"].get("iif").and_then(toml::Value::as_str);
            Flow {
                name,
                iif: iif.map(str::to_owned),
                packet: f["packet"].clone().try_into().expect("a packet"),
            }
        })
        .collect()
}

/// The answer without findings, which take long where hundreds of branches are open; or why there is none.
fn answer(node: &Node<'_>, spec: &PacketSpec) -> Result<Value, String> {
    let packet = spec.resolve(node).map_err(|e| e.to_string())?;
    let trace = simulate(node, &packet).map_err(|e| e.to_string())?;
    let mut line = Vec::new();
    render::json::write(&mut line, node, &trace, &[]).expect("memory");
    Ok(serde_json::from_slice(&line).expect("our own JSON"))
}

/// What an outcome says of the packet. Where rules were read, and what is said beside it, may differ.
fn essence(o: &Value) -> Value {
    let keys = [
        "verdict",
        "delivered",
        "dnat",
        "snat",
        "client_ip",
        "masq_mark",
        "out",
        "mark",
    ];
    let of = |k: &&str| ((*k).to_owned(), o[*k].clone());
    Value::Object(keys.iter().map(of).collect())
}

fn outcomes(answer: &Value) -> &[Value] {
    answer["outcomes"].as_array().expect("a list of outcomes")
}

/// An outcome with its share, rounded.
fn certain(o: &Value) -> Option<(Value, i64)> {
    #[allow(clippy::cast_possible_truncation)]
    let share = (o["probability"].as_f64()? * 1e6).round() as i64;
    Some((essence(o), share))
}

fn same(a: &Value, b: &Value) -> bool {
    let of = |v: &Value| outcomes(v).iter().map(certain).collect::<Vec<_>>();
    let (a, mut b) = (of(a), of(b));
    a.len() == b.len()
        && a.iter().all(|x| {
            let at = b.iter().position(|y| x == y);
            at.map(|i| b.swap_remove(i)).is_some()
        })
}

/// The commands any of which shows what was in a file.
fn commands(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::IptablesSave | Kind::IptablesListing => {
            &["iptables-save", "ip6tables-save", "iptables-legacy-save"]
        }
        Kind::Nft => &["nft list ruleset"],
        Kind::Ipset => &["ipset list", "ipset save"],
        Kind::Ipvs => &["ipvsadm"],
        Kind::Link => &["ip -d addr"],
        Kind::Route | Kind::RouteN => &["ip route", "ip -6 route"],
        Kind::Rule => &["ip rule", "ip -6 rule"],
        Kind::Neigh => &["ip neigh"],
        Kind::Sysctl => &["sysctl"],
        Kind::Conntrack => &["conntrack"],
        Kind::Programs => &["bpftool net"],
        Kind::CalicoBpf => &["calico-node -bpf", "kubectl get felixconfiguration"],
        Kind::Cilium => &["cilium-dbg ", "get cm cilium-config"],
        // Where a packet is asked for by names.
        Kind::Kube | Kind::KubeTable => &["kubectl get"],
        other => panic!("a snapshot holds a file of kind {other:?}: name its command here"),
    }
}

/// What is wrong with an answer from a capture without a file of that kind.
fn judged(whole: &Value, part: &Result<Value, String>, kind: Kind) -> Option<String> {
    let names = |text: &str| commands(kind).iter().any(|c| text.contains(c));
    let part = match part {
        Ok(p) => p,
        Err(e) if names(e) => return None,
        Err(e) => return Some(format!("refused, without the command: {e}")),
    };
    if same(whole, part) {
        return None;
    }
    let known: Vec<Value> = outcomes(part)
        .iter()
        .filter(|o| !o["probability"].is_null())
        .filter(|o| !outcomes(whole).iter().any(|w| certain(w) == certain(o)))
        .map(essence)
        .collect();
    if let Some(o) = known.first() {
        return Some(format!("another certain answer: {o}"));
    }
    if outcomes(part).iter().all(|o| !o["probability"].is_null()) {
        return Some("an outcome is gone and nothing is unknown".into());
    }
    let missing = part["missing"].as_array().expect("a list");
    let named = missing
        .iter()
        .any(|m| names(m["command"].as_str().unwrap_or_default()));
    (!named).then(|| format!("the command is not named: {}", part["missing"]))
}

/// A folder `json` beside the files holds the same rules as `nft -j list ruleset` prints them.
#[test]
fn json_of_the_same_rules_gives_the_same_answers() {
    let mut compared = 0;
    for folder in folders("flows.toml")
        .iter()
        .filter(|f| f.join("json").is_dir())
    {
        let whole = Snapshot::read(folder).expect("a readable snapshot");
        let mut other = Snapshot::read(folder).expect("a readable snapshot");
        other.files.retain(|f| f.kind != Kind::Nft);
        let json = Snapshot::read(&folder.join("json")).expect("a readable snapshot");
        other.files.extend(json.files);
        let (text, json) = (Node::new(&whole), Node::new(&other));
        assert!(json.warnings.is_empty(), "{}", folder.display());
        for flow in flows(folder) {
            let [a, b] = [&text, &json].map(|node| {
                let mut a = answer(node, &flow.packet).unwrap_or_else(|e| panic!("{e}"));
                for o in a["outcomes"].as_array_mut().into_iter().flatten() {
                    // It names the place.
                    o["reason"] = Value::Null;
                    let mut hits = o["hits"].as_array().cloned().unwrap_or_default();
                    let back = o.pointer("/reply/hits").and_then(Value::as_array);
                    hits.extend(back.cloned().unwrap_or_default());
                    o["reply"]["hits"] = Value::Null;
                    o["reply"]["reason"] = Value::Null;
                    for h in &mut hits {
                        let h = h.as_object_mut().expect("a rule");
                        // Where it was read; and the text does not number its rules.
                        h.remove("file");
                        h.remove("line");
                        h.remove("handle");
                    }
                    o["hits"] = Value::Array(hits);
                }
                a
            });
            assert_eq!(a, b, "{}: {}", folder.display(), flow.name);
            compared += 1;
        }
    }
    assert!(compared > 0, "no folder has rules as JSON");
}

#[test]
fn a_missing_file_never_gives_another_certain_answer() {
    let mut bad = Vec::new();
    let mut compared = 0;
    for folder in folders("flows.toml") {
        let whole = Snapshot::read(&folder).expect("a readable snapshot");
        let flows = flows(&folder);
        let mut node = Node::new(&whole);
        for dev in flows.iter().filter_map(|f| f.iif.as_deref()) {
            node.assume_device(dev);
        }
        let answers: Vec<Value> = flows
            .iter()
            .map(|f| answer(&node, &f.packet).unwrap_or_else(|e| panic!("{}: {e}", f.name)))
            .collect();
        for gone in 0..whole.files.len() {
            let mut part = Snapshot::read(&folder).expect("a readable snapshot");
            let file = part.files.remove(gone);
            // Nothing that iptables prints tells of tables of nftables beside its own, and most nodes have none.
            if file.kind == Kind::Nft && part.files.iter().any(|f| f.kind == Kind::IptablesSave) {
                continue;
            }
            // A packet is the first of its connection where nothing says otherwise: without the table it is another packet.
            if file.kind == Kind::Conntrack {
                continue;
            }
            let mut node = Node::new(&part);
            for dev in flows.iter().filter_map(|f| f.iif.as_deref()) {
                node.assume_device(dev);
            }
            for (flow, before) in flows.iter().zip(&answers) {
                compared += 1;
                if let Some(why) = judged(before, &answer(&node, &flow.packet), file.kind) {
                    let folder = folder.display();
                    bad.push(format!(
                        "{folder} without {}: {}: {why}",
                        file.name, flow.name
                    ));
                }
            }
        }
    }
    assert!(compared > 100, "only {compared} compared");
    assert!(bad.is_empty(), "{}\n{} wrong", bad.join("\n"), bad.len());
}
