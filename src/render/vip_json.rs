//! Who answers for an address, as JSON: schema `nfwhy.vip/1`. And the answer to a packet of protocol `arp`.

use super::vip_words as words;
use crate::explain::Severity;
use crate::node::{DevId, Node};
use crate::sim::{Said, Setting};
use crate::trace::Missing;
use crate::vip::{At, OfNode, Place, Report};
use nfwhy_parsers::kube::Policy;
use nfwhy_parsers::speaker::What;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::IpAddr;

/// The schema's name.
pub const VIP_SCHEMA: &str = "nfwhy.vip/1";

/// Writes the answer on one line.
pub fn write_vip(out: &mut impl Write, places: &[Place<'_, '_>], r: &Report) -> io::Result<()> {
    let service = r.service.as_ref().map(|s| {
        json!({
            "name": s.name,
            "asked_by": s.kind.name(),
            "policy": match s.policy {
                Some(Policy::Local) => Some("Local"),
                Some(Policy::Cluster) => Some("Cluster"),
                None => None,
            },
            "endpoints": s.endpoints.as_ref().map(|list| list.iter()
                .map(|(node, ready)| json!({"node": node, "ready": ready})).collect::<Vec<_>>()),
            "at": at(places, s.at),
        })
    });
    let answered_by: Vec<Value> = r
        .answerers
        .iter()
        .map(|a| {
            let by = if a.since.is_some() {
                "speaker"
            } else {
                "kernel"
            };
            json!({"node": a.node, "by": by, "pod": a.pod, "device": a.dev, "since": a.since})
        })
        .collect();
    let value = json!({
        "schema": VIP_SCHEMA,
        "address": r.addr,
        "answers": r.answered,
        "title": words::headline(places, r),
        "answered_by": answered_by,
        "service": service,
        "nodes": r.nodes.iter().map(|n| node(places, r, n)).collect::<Vec<_>>(),
        "holders": r.holders.iter().map(|h| json!({
            "pod": h.pod, "node": h.node, "since": h.since, "protocol": h.protocol,
            "overtaken": h.overtaken, "at": at(places, h.at),
        })).collect::<Vec<_>>(),
        "log": r.history.iter().map(|t| json!({
            "event": match t.what { What::Announced => "announced", What::Withdrawn => "withdrawn" },
            "pod": t.pod, "node": t.node, "time": t.time, "protocol": t.protocol,
            "reason": t.reason, "at": at(places, t.at),
        })).collect::<Vec<_>>(),
        "seen": r.macs.iter().map(|m| json!({
            "mac": m.mac, "by": m.by, "at": at(places, m.at),
            "node": m.owner.map(|(p, _)| name_of(places, r, p)),
            "device": m.owner.map(|(p, d)| places[p].node.device(d).name.clone()),
        })).collect::<Vec<_>>(),
        "routes": r.routes.iter().map(|x| json!({
            "at": at(places, x.at),
            "via": x.hops.iter().map(|(via, node)| json!({"ip": via, "node": node})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "findings": r.findings.iter().map(|f| json!({
            "code": f.code.name(),
            "severity": match f.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            "title": f.title,
            "causes": f.causes.iter().map(|c| {
                let mut v = at(places, c.at);
                if let Some((name, value)) = &c.setting {
                    v["sysctl"] = json!(name);
                    v["value"] = json!(value);
                }
                v
            }).collect::<Vec<_>>(),
            "help": f.help,
        })).collect::<Vec<_>>(),
        "missing": missing(&r.missing),
    });
    writeln!(out, "{value}")
}

fn name_of(places: &[Place<'_, '_>], r: &Report, place: usize) -> String {
    let of = r.nodes.iter().find(|n| n.place == place);
    of.map_or_else(|| places[place].name.to_owned(), |n| n.name.clone())
}

fn at(places: &[Place<'_, '_>], at: At) -> Value {
    let p = &places[at.place];
    json!({
        "capture": words::capture(places, at),
        "file": p.node.file_name(at.origin.file),
        "line": at.origin.line,
    })
}

fn missing(list: &[Missing]) -> Vec<Value> {
    list.iter()
        .map(|m| json!({"what": m.what, "command": m.command}))
        .collect()
}

fn node(places: &[Place<'_, '_>], r: &Report, n: &OfNode) -> Value {
    let node = places[n.place].node;
    let announces = r
        .holders
        .iter()
        .any(|h| h.node.as_ref() == Some(&n.name) && !h.overtaken);
    json!({
        "name": n.name,
        "capture": places[n.place].name,
        "answers": n.answers(),
        "announces": announces,
        "endpoints": n.endpoints,
        "devices": n.devices.iter().map(|d| {
            let mut v = d.likeliest().map_or(Value::Null, |s| said(node, s, d.asker));
            v["device"] = json!(node.device(d.dev).name);
            v["to_pods"] = json!(d.to_pods);
            v["on_link"] = json!(d.on_link);
            v["asker"] = json!(d.asker);
            v
        }).collect::<Vec<_>>(),
    })
}

fn said(node: &Node<'_>, s: &Said, asker: Option<IpAddr>) -> Value {
    json!({
        "answers": s.answers,
        "reason": words::why(node, s, asker),
        "settings": s.settings.iter().map(|x| setting(node, x)).collect::<Vec<_>>(),
        "assumptions": s.assumptions,
    })
}

fn setting(node: &Node<'_>, s: &Setting) -> Value {
    json!({
        "sysctl": s.name,
        "value": s.value,
        "file": node.file_name(s.at.file),
        "line": s.at.line,
    })
}

/// Writes the answer to a packet of protocol `arp` on one line, in the schema of packets.
pub fn write_arp(
    out: &mut impl Write,
    node: &Node<'_>,
    asker: Option<IpAddr>,
    target: IpAddr,
    dev: DevId,
    all: &[Said],
) -> io::Result<()> {
    let outcomes: Vec<Value> = all
        .iter()
        .map(|s| {
            json!({
                "probability": (all.len() == 1 && s.answers.is_some()).then_some(1.0),
                "expected": s.expected,
                "verdict": words::verdict(s.answers),
                "reason": words::why(node, s, asker),
                "assumptions": s.assumptions,
                "hits": [],
            })
        })
        .collect();
    let mut lacks: Vec<Missing> = Vec::new();
    for m in all.iter().flat_map(|s| &s.missing) {
        if !lacks.contains(m) {
            lacks.push(m.clone());
        }
    }
    let first = all.first();
    let causes: Vec<Value> = first
        .into_iter()
        .flat_map(|s| &s.settings)
        .map(|s| setting(node, s))
        .collect();
    let value = json!({
        "schema": super::json::SCHEMA,
        "packet": {"src": asker, "dst": target, "proto": "arp", "iif": node.device(dev).name},
        "answers": first.and_then(|s| s.answers),
        "outcomes": outcomes,
        "causes": causes,
        "findings": [],
        "missing": missing(&lacks),
    });
    writeln!(out, "{value}")
}

/// The same as one line of text.
pub fn arp_line(
    node: &Node<'_>,
    asker: Option<IpAddr>,
    target: IpAddr,
    dev: DevId,
    all: &[Said],
) -> String {
    let name = &node.device(dev).name;
    let who = asker.map_or_else(|| "a host".to_owned(), |a| a.to_string());
    let said = all.first().map_or_else(
        || "unknown".to_owned(),
        |s| {
            format!(
                "{}: {}",
                words::verdict(s.answers),
                words::why(node, s, asker)
            )
        },
    );
    format!(
        "{} {who} asks for {target} at {name}: {said}",
        words::protocol(target)
    )
}
