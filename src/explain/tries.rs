//! What a change would do, by simulating the packet again without the rules to blame.

use super::marks::{because_of_mark, decider};
use super::names::{self, endpoint, full_rule};
use super::owners::{self, Marker, marker};
use super::place::to_local_pod;
use super::story::{rewriter, rule, story};
use crate::node::Node;
use crate::sim::{Limits, WhatIf, simulate_what_if};
use crate::trace::{Hit, Origin, Outcome, Packet, Port, Reason, Trace, Verdict};
use nfwhy_parsers::iptables::Target;
use std::fmt::Write as _;

/// A change, and what it would do to this packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// The change: `externalTrafficPolicy: Local`, `without nat POSTROUTING:4`.
    pub change: String,
    /// What the simulation gives then.
    pub effect: String,
    /// The rules taken as absent.
    pub without: Vec<Hit>,
    /// Whether the receiver would then see the client's own address, where it receives the packet.
    pub client_ip_kept: Option<bool>,
}

const LIMITS: Limits = Limits {
    branches: 2_000,
    rules: 20_000_000,
};

/// Changes that bear on what happened.
pub fn tries(node: &Node<'_>, trace: &Trace) -> Vec<Try> {
    let mut deciders: Vec<Hit> = Vec::new();
    let mut rewriters: Vec<Hit> = Vec::new();
    let mut droppers: Vec<Hit> = Vec::new();
    // What rests on an unknown would rest on it in a simulated change as well.
    if trace.outcomes.iter().any(|o| o.probability.is_none()) {
        return Vec::new();
    }
    for o in trace.outcomes.iter().take(256) {
        if let Reason::Rule(hit) = o.reason
            && matches!(o.verdict, Verdict::Dropped | Verdict::Rejected)
        {
            push(&mut droppers, hit);
        }
        let own = trace.packet.origin == Origin::Local;
        if own || o.client_ip_kept != Some(false) || super::reply::is_reply(o) {
            continue;
        }
        let s = story(node, o);
        let Some(at) = rewriter(&s) else { continue };
        let set: Vec<Hit> = because_of_mark(node, &s, at)
            .iter()
            .flat_map(|p| p.setters.iter().filter_map(|i| s.get(*i)))
            .map(|c| decider(node, c))
            .collect();
        if set.is_empty() {
            if let Some(c) = s.get(at) {
                push(&mut rewriters, c.hit);
            }
        } else {
            for h in set {
                push(&mut deciders, h);
            }
        }
    }
    let mut list = Vec::new();
    let external: Vec<Hit> = deciders
        .iter()
        .copied()
        .filter(|h| marker(node, *h) == Marker::External)
        .collect();
    if !external.is_empty() {
        list.extend(local_policy(node, &trace.packet, external.clone()));
    }
    let others = deciders
        .iter()
        .chain(&rewriters)
        .filter(|h| !external.contains(h) && marker(node, **h) != Marker::Hairpin);
    for h in others.chain(&droppers).take(2) {
        list.extend(without(node, &trace.packet, *h));
    }
    list
}

fn push(list: &mut Vec<Hit>, hit: Hit) {
    if !list.contains(&hit) {
        list.push(hit);
    }
}

fn again(node: &Node<'_>, packet: &Packet, without: &[Hit]) -> Option<Trace> {
    let what_if = WhatIf {
        without: without.to_vec(),
        ..WhatIf::default()
    };
    simulate_what_if(node, packet, &what_if, LIMITS).ok()
}

/// Policy Local: no mark, and only receivers on this node.
fn local_policy(node: &Node<'_>, packet: &Packet, jumps: Vec<Hit>) -> Option<Try> {
    let t = again(node, packet, &jumps)?;
    // Outcomes to one endpoint are one endpoint.
    let mut seen: Vec<(bool, Option<std::net::IpAddr>, Option<u16>)> = Vec::new();
    let (here, away): (Vec<&Outcome>, Vec<&Outcome>) = t
        .outcomes
        .iter()
        .filter(|o| {
            let Some(d) = &o.dnat else { return false };
            let key = (o.delivered.is_some(), d.ip, d.port);
            let new = !seen.contains(&key);
            if new {
                seen.push(key);
            }
            new
        })
        .partition(|o| {
            o.verdict == Verdict::Local || o.out.as_ref().is_some_and(|out| to_local_pod(node, out))
        });
    let change = "externalTrafficPolicy: Local".to_owned();
    if here.is_empty() {
        return Some(Try {
            change,
            effect: format!(
                "{} on this node, so it would drop the packet; nodes that run a pod would answer and keep the client IP",
                match away.len() {
                    0 => "no endpoint is".to_owned(),
                    1 => "the one endpoint is not".to_owned(),
                    n => format!("none of the {n} endpoints is"),
                }
            ),
            without: jumps,
            client_ip_kept: None,
        });
    }
    let mut effect = effect_of(&here);
    match away.len() {
        0 => {}
        1 => effect.push_str("; the one remote endpoint would no longer be chosen on this node"),
        n => {
            let _ = write!(
                effect,
                "; the {n} remote endpoints would no longer be chosen on this node"
            );
        }
    }
    let kept = here.iter().all(|o| o.client_ip_kept == Some(true));
    if !kept && let Some(o) = here.iter().find(|o| o.client_ip_kept == Some(false)) {
        let s = story(node, o);
        if let Some(c) = rewriter(&s).and_then(|i| s.get(i)) {
            let _ = write!(
                effect,
                " - then {} rewrites the source instead",
                full_rule(node, c.hit)
            );
        }
    }
    Some(Try {
        change,
        effect,
        without: jumps,
        client_ip_kept: Some(kept),
    })
}

fn without(node: &Node<'_>, packet: &Packet, hit: Hit) -> Option<Try> {
    let t = again(node, packet, &[hit])?;
    let all: Vec<&Outcome> = t.outcomes.iter().collect();
    // Without kube-proxy's own refusal the packet still finds no endpoint: nothing is learnt from that.
    let kube = owners::of_rule(node, hit).is_some_and(|o| o.name == "kube-proxy");
    let native = node.netfilter.nft(hit.table);
    let refuses = match native.and_then(|t| t.rules(hit.chain).get(hit.rule)) {
        Some(r) => super::nft::refuses(r),
        None => {
            rule(node, hit).is_some_and(|r| matches!(r.target, Target::Drop | Target::Reject(_)))
        }
    };
    if kube && refuses && (native.is_some() || all.iter().all(|o| o.dnat.is_none())) {
        return None;
    }
    // Another rule refuses it then: leaving this one out mends nothing.
    if refuses && all.iter().all(|o| o.delivered.is_none()) {
        return None;
    }
    let delivered = all.iter().filter(|o| o.delivered.is_some());
    let kept = delivered
        .map(|o| o.client_ip_kept)
        .reduce(|a, b| if a == b { a } else { Some(false) })
        .flatten();
    Some(Try {
        change: format!("without {}", full_rule(node, hit)),
        effect: effect_of(&all),
        without: vec![hit],
        client_ip_kept: kept,
    })
}

/// `10.1.1.1:80 would see 10.2.2.2`, for receivers that see the same.
fn effect_of(outcomes: &[&Outcome]) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for o in outcomes {
        let (key, who) = match (o.verdict, o.delivered) {
            (Verdict::Forwarded | Verdict::Local, Some(d)) => {
                let sees = d
                    .src
                    .map_or_else(|| "an address not captured".into(), |s| s.to_string());
                let port = if o.dnat.is_some() {
                    d.dport
                } else {
                    Port::None
                };
                (format!("would see {sees}"), endpoint(d.dst, port))
            }
            (v, _) => (format!("would be {}", v.name()), "the packet".into()),
        };
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, list)) => {
                if !list.contains(&who) {
                    list.push(who);
                }
            }
            None => groups.push((key, vec![who])),
        }
    }
    groups
        .iter()
        .map(|(key, who)| format!("{} {key}", names::list(who, 3)))
        .collect::<Vec<_>>()
        .join("; ")
}
