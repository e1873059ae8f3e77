//! Sources as JSON, schema `nfwhy.sources/1`.

use super::json::write_line;
use super::ranges::prefix;
use super::reason;
use crate::explain::names::{device, full_rule};
use crate::explain::sources::{
    Decision, Fare, Incoming, Kind, Parting, Seen, Sources, Span, apart, parting, trace,
};
use crate::node::Node;
use crate::trace::Trace;
use serde::Serialize;
use std::io::{self, Write};
use std::net::IpAddr;

/// The schema's name.
pub const SCHEMA: &str = "nfwhy.sources/1";

#[derive(Serialize)]
struct Answer<'n> {
    schema: &'static str,
    dst: IpAddr,
    proto: String,
    dport: Option<u16>,
    /// The device asked for.
    iif: Option<&'n str>,
    /// Walks it took.
    walks: usize,
    kinds: Vec<KindView<'n>>,
}

#[derive(Serialize)]
struct KindView<'n> {
    /// The kind with most addresses.
    all_others: bool,
    ranges: Vec<RangeView<'n>>,
    outcomes: Vec<EndView<'n>>,
    /// Why there are no outcomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<String>,
    /// Where they part from the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<PartingView>,
    /// Where others of them part, if elsewhere: the widest ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    more_parts: Vec<PartingView>,
}

#[derive(Serialize)]
struct RangeView<'n> {
    first: IpAddr,
    last: IpAddr,
    prefix: Option<String>,
    iif: Option<&'n str>,
    /// `device`, `local` or `unknown`.
    origin: &'static str,
    /// Only those with these bits are meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bits: Vec<BitsView>,
}

#[derive(Serialize)]
struct BitsView {
    mask: IpAddr,
    value: IpAddr,
    /// Whether the bits are that, or are not.
    equal: bool,
}

#[derive(Serialize)]
struct EndView<'n> {
    verdict: &'static str,
    reason: String,
    server: Option<IpAddr>,
    port: Option<u16>,
    out: Option<&'n str>,
    via: Option<IpAddr>,
    client_ip_kept: Option<bool>,
    seen_as: Option<IpAddr>,
    reply: Option<&'static str>,
    probability: Option<f64>,
    expected: bool,
}

#[derive(Serialize)]
struct PartingView {
    /// Which sources it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<[IpAddr; 2]>,
    /// Decisions that both ways have.
    common: usize,
    other_device: bool,
    /// The rule that one side matches and the other passes by.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Whether it is these that match it.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<bool>,
    /// What comes next for these, and for the others.
    next: [String; 2],
}

/// Writes the sources on one line.
pub fn write(out: &mut impl Write, node: &Node<'_>, all: &Sources) -> io::Result<()> {
    let example = |k: &Kind| trace(node, &all.question, k.packet.src?);
    let base = all.kinds.last().and_then(example);
    let count = all.kinds.len();
    let kinds = all
        .kinds
        .iter()
        .enumerate()
        .map(|(i, k)| {
            let others = i + 1 == count;
            let own = if others { None } else { base.as_ref() };
            let groups = own.map_or_else(Vec::new, |b| apart(node, &all.question, k, b).0);
            let mut parts = groups
                .iter()
                .filter_map(|a| a.parting.as_ref().map(|p| parts_view(node, p, &a.spans)));
            KindView {
                all_others: others,
                ranges: ranges(node, all, k),
                outcomes: ends(node, k),
                unanswered: match &k.fare {
                    Fare::Ends(_) => None,
                    Fare::Nowhere => Some("no route leads back to them".to_owned()),
                    Fare::Unanswered(why) => Some(why.clone()),
                },
                parts: parts.next(),
                more_parts: parts.collect(),
            }
        })
        .collect();
    let p = &all.question.packet;
    write_line(
        out,
        &Answer {
            schema: SCHEMA,
            dst: p.dst,
            proto: p.proto.contract_name(),
            dport: p.dport.known(),
            iif: all.question.dev.map(|d| device(node, d)),
            walks: all.walks,
            kinds,
        },
    )
}

#[derive(Serialize)]
struct Pair {
    schema: &'static str,
    sources: [Option<IpAddr>; 2],
    parts: Option<PartingView>,
}

/// Writes where two packets part.
pub fn write_parting(out: &mut impl Write, node: &Node<'_>, pair: [&Trace; 2]) -> io::Result<()> {
    let [a, b] = pair;
    write_line(
        out,
        &Pair {
            schema: SCHEMA,
            sources: [a.packet.src, b.packet.src],
            parts: parting(a, b).map(|p| parts_view(node, &p, &[])),
        },
    )
}

fn parts_view(node: &Node<'_>, p: &Parting, of: &[Span]) -> PartingView {
    let next = |d: Option<&Decision>| super::text::next(node, d);
    let [a, b] = &p.sides;
    PartingView {
        ranges: of.iter().map(|s| [s.first, s.last]).collect(),
        common: p.common,
        other_device: p.devices,
        rule: p.rule.map(|(_, h)| full_rule(node, h)),
        matched: p.rule.map(|(who, _)| who == 0),
        next: [next(a.next.as_ref()), next(b.next.as_ref())],
    }
}

fn ranges<'n>(node: &'n Node<'_>, all: &Sources, k: &Kind) -> Vec<RangeView<'n>> {
    k.spans
        .iter()
        .map(|s| RangeView {
            first: s.first,
            last: s.last,
            prefix: prefix(s.first, s.last).map(|n| format!("{}/{n}", s.first)),
            iif: match s.from {
                Incoming::Device(d) => Some(device(node, d)),
                _ => None,
            },
            origin: match s.from {
                Incoming::Device(_) => "device",
                Incoming::Node => "local",
                Incoming::Nowhere => "unknown",
            },
            bits: s
                .class
                .and_then(|c| all.classes.get(c))
                .map(|c| c.told_by(s.first))
                .unwrap_or_default()
                .into_iter()
                .map(|(mask, value, equal)| BitsView { mask, value, equal })
                .collect(),
        })
        .collect()
}

fn ends<'n>(node: &'n Node<'_>, k: &Kind) -> Vec<EndView<'n>> {
    let Fare::Ends(list) = &k.fare else {
        return Vec::new();
    };
    list.iter()
        .map(|e| EndView {
            verdict: e.verdict.name(),
            reason: reason(node, &e.reason),
            server: e.server.map(|(a, _)| a),
            port: e.server.and_then(|(_, p)| p.known()),
            out: e.out.as_ref().map(|o| device(node, o.dev)),
            via: e.out.as_ref().and_then(|o| o.via),
            client_ip_kept: e.seen.map(|s| s == Seen::Client),
            seen_as: match e.seen {
                Some(Seen::Other(a)) => Some(a),
                _ => None,
            },
            reply: e.reply.map(crate::explain::Fate::name),
            probability: e.probability,
            expected: e.expected,
        })
        .collect()
}
