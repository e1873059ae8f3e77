//! The same for a cluster: outcomes are those of the whole way, each with the places it passed.

use super::{
    Answer, Delivered, FindingView, HitView, MissingView, OutView, OutcomeView, REPLIES, ReplyView,
    delivered, finding, missing_of, outcome, packet, rewrite, write_line,
};
use crate::cluster::{Back, Cluster, End, Entry, Found, Hop, Journey};
use crate::render::reason;
use crate::trace::Trace;
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;

/// One place that a packet passed.
#[derive(Serialize)]
pub(super) struct HopView {
    node: String,
    /// `start`, `link`, `routed`, `tunnel`.
    entry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<TunnelView>,
    #[serde(rename = "in")]
    dev: Option<String>,
    /// The packet is the outer one of a tunnel.
    outer: bool,
    packet: Delivered,
    verdict: &'static str,
    reason: String,
    delivered: Option<Delivered>,
    out: Option<OutView>,
    hits: Vec<HitView>,
}

#[derive(Serialize)]
struct TunnelView {
    kind: String,
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
}

/// One line of JSON. `first` is the trace at the place where the packet starts.
pub fn write_cluster(
    out: &mut impl Write,
    cluster: &Cluster<'_>,
    place: usize,
    first: &Trace,
    journeys: &[Journey],
    findings: &[Found],
) -> io::Result<()> {
    let Some(p) = cluster.places.get(place) else {
        return Ok(());
    };
    let mut outcomes: Vec<OutcomeView> = Vec::with_capacity(journeys.len());
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    for j in journeys {
        let Some(mut v) = whole(cluster, j) else {
            continue;
        };
        let probability = v.probability.take();
        let key = serde_json::to_vec(&v)?;
        let at = *seen.entry(key).or_insert(outcomes.len());
        if let Some(x) = outcomes.get_mut(at) {
            x.probability = x.probability.zip(probability).map(|(a, b)| a + b);
        } else {
            v.probability = probability;
            if outcomes.len() < REPLIES {
                v.reply = j.back.as_ref().map(|b| reply(cluster, b));
            }
            outcomes.push(v);
        }
    }
    let named = |(place, f): &Found| -> Option<FindingView> {
        let at = cluster.places.get(*place)?;
        let mut v = finding(&at.node, f);
        v.node = Some(at.name.to_owned());
        Some(v)
    };
    // What matters for the first place comes first, and settles what it settles there.
    let of = |place: usize, trace: &Trace| {
        let node = cluster.name(place).to_owned();
        missing_of(trace).into_iter().map(move |m| MissingView {
            node: Some(node.clone()),
            ..m
        })
    };
    let mut lacking: Vec<MissingView> = of(place, first).collect();
    for hop in hops_of(journeys) {
        for m in of(hop.place, &hop.trace) {
            if !lacking
                .iter()
                .any(|l| (&l.what, &l.node) == (&m.what, &m.node))
            {
                lacking.push(m);
            }
        }
    }
    let answer = Answer {
        schema: super::SCHEMA,
        node: Some(p.name),
        packet: packet(&p.node, first),
        outcomes,
        findings: findings.iter().filter_map(named).collect(),
        missing: lacking,
        observed: cluster
            .observed(place, first, journeys)
            .iter()
            .filter_map(|(at, o)| {
                let p = cluster.places.get(*at)?;
                Some(super::observed::view(&p.node, o, Some(p.name)))
            })
            .collect(),
    };
    write_line(out, &answer)
}

fn hops_of(journeys: &[Journey]) -> impl Iterator<Item = &Hop> {
    journeys.iter().flat_map(|j| {
        let back = j.back.iter().flat_map(|b| b.way.iter().chain(&b.also));
        j.way.hops.iter().chain(back.flat_map(|w| w.hops.iter()))
    })
}

/// The outcome of the whole way: the first place's, and what the later ones made of it.
fn whole(cluster: &Cluster<'_>, j: &Journey) -> Option<OutcomeView> {
    let first = j.way.hops.first()?;
    let node = &cluster.places.get(first.place)?.node;
    let mut v = outcome(node, first.outcome()?);
    v.probability = j.way.probability;
    v.verdict = j.verdict().name();
    v.reason = ending(cluster, j);
    v.delivered = j.delivered().as_ref().map(delivered);
    v.dnat = j.dnat().map(rewrite);
    v.snat = j.snat().map(rewrite);
    v.client_ip = j
        .client_ip_kept()
        .map(|kept| if kept { "kept" } else { "lost" });
    v.masq_mark = j.outcomes().any(|o| o.masq_mark);
    let more = j.way.hops.iter().skip(1).filter_map(Hop::outcome);
    for a in more.flat_map(|o| &o.assumptions).chain(&j.way.assumed) {
        if !v.assumptions.contains(a) {
            v.assumptions.push(a.clone());
        }
    }
    v.hops = hops(cluster, &j.way.hops);
    Some(v)
}

/// How it ended, and where.
fn ending(cluster: &Cluster<'_>, j: &Journey) -> String {
    let Some(hop) = j.way.stop() else {
        return String::new();
    };
    let name = cluster.name(hop.place);
    match (&j.way.end, cluster.places.get(hop.place), hop.outcome()) {
        (End::Unknown(why), _, _) => why.clone(),
        (End::Process, _, _) => format!("delivered to {name}"),
        (End::Pod, _, _) => format!("delivered to a pod of {name}"),
        (End::Beyond | End::Stopped, Some(p), Some(o)) => {
            format!("on {name}: {}", reason(&p.node, &o.reason))
        }
        _ => String::new(),
    }
}

fn reply(cluster: &Cluster<'_>, b: &Back) -> ReplyView {
    let way = b.way.as_ref();
    let last = way.and_then(|w| w.last());
    let end = last.and_then(|h| Some((cluster.places.get(h.place)?, h.outcome()?)));
    let view = end.map(|(p, o)| outcome(&p.node, o));
    let list = way.map_or_else(Vec::new, |w| hops(cluster, &w.hops));
    let (delivered, via) = view.map_or((None, None), |v| (v.delivered, v.out));
    let hits = way.map_or_else(Vec::new, |w| {
        let of = |h: &Hop| Some(outcome(&cluster.places.get(h.place)?.node, h.outcome()?).hits);
        w.hops.iter().filter_map(of).flatten().collect()
    });
    ReplyView {
        verdict: b.fate.name(),
        reason: b.reason.clone(),
        delivered,
        via,
        hits,
        hops: list,
    }
}

fn hops(cluster: &Cluster<'_>, list: &[Hop]) -> Vec<HopView> {
    let view = |h: &Hop| -> Option<HopView> {
        let p = cluster.places.get(h.place)?;
        let o = outcome(&p.node, h.outcome()?);
        let asked = packet(&p.node, &h.trace);
        let (entry, tunnel) = match &h.entry {
            Entry::Start => ("start", None),
            Entry::Link => ("link", None),
            Entry::Routed { .. } => ("routed", None),
            Entry::Tunnel { kind, src, dst } => {
                let tunnel = TunnelView {
                    kind: kind.clone(),
                    src: *src,
                    dst: *dst,
                };
                ("tunnel", Some(tunnel))
            }
        };
        Some(HopView {
            node: p.name.to_owned(),
            entry,
            tunnel,
            dev: asked.iif.map(str::to_owned),
            outer: h.outer,
            packet: Delivered {
                src: asked.src,
                sport: asked.sport,
                dst: asked.dst,
                dport: asked.dport,
                proto: asked.proto,
            },
            verdict: o.verdict,
            reason: o.reason,
            delivered: o.delivered,
            out: o.out,
            hits: o.hits,
        })
    };
    list.iter().filter_map(view).collect()
}
