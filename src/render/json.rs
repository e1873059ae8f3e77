//! The contract's JSON, schema `nfwhy.trace/1`. A view of its own: the inner types stay free to change.

mod cause;
mod cluster;
mod observed;

pub use cause::line_text;
pub use cluster::write_cluster;

use cause::cause;

use super::reason;
use crate::explain::owners::{self, Claim};
use crate::explain::{self, Fate, Finding, Severity, missing, objects};
use crate::node::Node;
use crate::node::kube::{ServiceAt, Who};
use crate::trace::{Effect, Hit, Origin, Outcome, Rewrite, StepKind, Trace, View};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;

/// The schema's name.
pub const SCHEMA: &str = "nfwhy.trace/1";

#[derive(Serialize)]
struct Answer<'a> {
    schema: &'static str,
    /// Of a cluster: where the packet starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    packet: PacketView<'a>,
    outcomes: Vec<OutcomeView>,
    findings: Vec<FindingView>,
    missing: Vec<MissingView>,
    /// What captured packets show, one entry per node with captures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observed: Vec<observed::ObservedView>,
}

#[derive(Serialize)]
struct PacketView<'a> {
    src: Option<IpAddr>,
    dst: IpAddr,
    proto: String,
    sport: Option<u16>,
    dport: Option<u16>,
    iif: Option<&'a str>,
    origin: Option<&'static str>,
    mark: String,
    ct_state: &'static str,
    tos: u8,
    ttl: u8,
    flags: Vec<&'static str>,
    length: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    /// What Kubernetes calls the sender and the Service, where its objects were captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<NameView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceView>,
}

#[derive(Serialize)]
struct NameView {
    pod: Option<String>,
    node: Option<String>,
    this_node: Option<bool>,
}

#[derive(Serialize)]
struct ServiceView {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    asked_by: &'static str,
    policy: Option<&'static str>,
    file: String,
    line: u32,
}

#[derive(Serialize)]
struct OutcomeView {
    #[serde(serialize_with = "probability")]
    probability: Option<f64>,
    /// Left out where it is one to expect, which nearly all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<bool>,
    verdict: &'static str,
    reason: String,
    delivered: Option<Delivered>,
    dnat: Option<RewriteView>,
    snat: Option<RewriteView>,
    client_ip: Option<&'static str>,
    masq_mark: bool,
    out: Option<OutView>,
    /// What Kubernetes calls the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<NameView>,
    mark: String,
    assumptions: Vec<String>,
    hits: Vec<HitView>,
    reply: Option<ReplyView>,
    /// Of a cluster: the places it passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hops: Vec<cluster::HopView>,
}

/// What becomes of the receiver's answer.
#[derive(Serialize)]
struct ReplyView {
    verdict: &'static str,
    reason: String,
    delivered: Option<Delivered>,
    via: Option<OutView>,
    hits: Vec<HitView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hops: Vec<cluster::HopView>,
}

#[derive(Serialize)]
struct Delivered {
    src: Option<IpAddr>,
    sport: Option<u16>,
    dst: IpAddr,
    dport: Option<u16>,
    proto: String,
}

#[derive(Serialize)]
struct RewriteView {
    ip: Option<IpAddr>,
    port: Option<u16>,
    by: &'static str,
}

#[derive(Serialize)]
struct OutView {
    /// Not known of an answer that leaves another node.
    dev: Option<String>,
    via: Option<IpAddr>,
}

#[derive(Default, Serialize)]
struct HitView {
    family: &'static str,
    backend: &'static str,
    table: String,
    chain: String,
    rule: usize,
    /// Of native rules of nftables, where the listing shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<u64>,
    file: String,
    line: u32,
    /// Of rules that decide something: whose they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerView>,
}

#[derive(Serialize)]
struct OwnerView {
    product: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    meaning: &'static str,
}

impl From<Claim> for OwnerView {
    fn from(c: Claim) -> Self {
        Self {
            product: c.owner.name,
            meaning: c.meaning,
        }
    }
}

#[derive(Serialize)]
struct FindingView {
    /// Of a cluster: whose rules and settings it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    code: &'static str,
    severity: &'static str,
    title: String,
    causes: Vec<Value>,
    help: Vec<String>,
}

#[derive(Serialize)]
struct MissingView {
    what: String,
    command: String,
    /// Where it is to be run, of several nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The share of the answer that differs by it; what settles most comes first.
    settles: f64,
}

/// Ten digits are more than the kernel's 31 bits hold and hide the noise of binary fractions.
#[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option)] // serde's signature
fn probability<S: serde::Serializer>(p: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
    match p {
        None => s.serialize_none(),
        Some(p) => s.serialize_f64((p * 1e10).round() / 1e10),
    }
}

/// One line of JSON.
pub fn write(
    out: &mut impl Write,
    node: &Node<'_>,
    trace: &Trace,
    findings: &[Finding],
) -> io::Result<()> {
    let mut outcomes: Vec<OutcomeView> = Vec::with_capacity(trace.outcomes.len());
    // Ends that differ in nothing but the way the dice fell are one.
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    for o in &trace.outcomes {
        let mut v = outcome(node, o);
        let replies = outcomes.len() < REPLIES;
        let p = v.probability.take();
        let mut key = serde_json::to_vec(&v)?;
        key.push(u8::from(p.is_some()));
        let at = *seen.entry(key).or_insert(outcomes.len());
        if let Some(x) = outcomes.get_mut(at) {
            x.probability = x.probability.zip(p).map(|(a, b)| a + b);
        } else {
            v.probability = p;
            if replies {
                v.reply = reply(node, trace, o);
            }
            outcomes.push(v);
        }
    }
    let answer = Answer {
        schema: SCHEMA,
        node: None,
        packet: packet(node, trace),
        outcomes,
        findings: findings.iter().map(|f| finding(node, f)).collect(),
        missing: missing_of(trace),
        observed: explain::observed::of_node(node, trace)
            .iter()
            .map(|o| observed::view(node, o, None))
            .collect(),
    };
    write_line(out, &answer)
}

/// What was not captured.
fn missing_of(trace: &Trace) -> Vec<MissingView> {
    missing::ranked(trace)
        .into_iter()
        .map(|l| MissingView {
            what: l.missing.what.clone(),
            command: l.missing.command.clone(),
            node: None,
            // Four digits are more than such a measure is worth.
            settles: (l.decides.max(l.changes) * 1e4).round() / 1e4,
        })
        .collect()
}

/// Answers are followed for so many outcomes.
const REPLIES: usize = 128;

fn reply(node: &Node<'_>, trace: &Trace, o: &Outcome) -> Option<ReplyView> {
    match explain::answer(node, trace, o)? {
        explain::Answer::Elsewhere { from } => Some(ReplyView {
            verdict: Fate::BypassesNode.name(),
            reason: format!("{from} answers the client directly, not through this node"),
            delivered: None,
            via: None,
            hits: Vec::new(),
            hops: Vec::new(),
        }),
        explain::Answer::FromItself => Some(ReplyView {
            verdict: Fate::Dropped.name(),
            reason: "the receiver sees its own address as the client's: no answer leaves it"
                .to_owned(),
            delivered: None,
            via: None,
            hits: Vec::new(),
            hops: Vec::new(),
        }),
        explain::Answer::Served(served) => {
            let p = &trace.packet;
            Some(ReplyView {
                verdict: Fate::Ok.name(),
                reason: explain::served_back(p, served.answer, served.node.as_slice()),
                // The client gets it from the address it asked.
                delivered: p.src.map(|dst| Delivered {
                    src: Some(p.dst),
                    sport: p.dport.known(),
                    dst,
                    dport: p.sport.known(),
                    proto: p.proto.contract_name(),
                }),
                via: served.node.map(|n| OutView {
                    dev: None,
                    via: Some(n),
                }),
                hits: Vec::new(),
                hops: Vec::new(),
            })
        }
        explain::Answer::Here(back) => {
            let (fate, o) = explain::fate(&trace.packet, &back);
            let view = o.map(|o| outcome(node, o));
            let (reason, delivered, via, hits) = match view {
                Some(v) => (v.reason, v.delivered, v.out, v.hits),
                None => (String::from("it has no outcome"), None, None, Vec::new()),
            };
            Some(ReplyView {
                verdict: fate.name(),
                reason,
                delivered,
                via,
                hits,
                hops: Vec::new(),
            })
        }
    }
}

/// JSON escapes what is below U+0020 on its own; what else a terminal would act on is escaped here.
struct Terminal;

impl serde_json::ser::Formatter for Terminal {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some((i, c)) = rest
            .char_indices()
            .find(|(_, c)| super::acts_on_terminal(*c))
        {
            out.write_all(&rest.as_bytes()[..i])?;
            write!(out, "\\u{:04x}", u32::from(c))?;
            rest = &rest[i + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

pub(super) fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut *out, Terminal,
    ))?;
    out.write_all(b"\n")
}

/// One line for a packet that has no answer.
pub fn write_error(out: &mut impl Write, error: &str) -> io::Result<()> {
    write_line(out, &json!({ "error": error }))
}

fn packet<'a>(node: &'a Node<'_>, trace: &Trace) -> PacketView<'a> {
    let p = &trace.packet;
    PacketView {
        src: p.src,
        dst: p.dst,
        proto: p.proto.contract_name(),
        sport: p.sport.known(),
        dport: p.dport.known(),
        iif: match p.origin {
            Origin::Device(d) => Some(node.device(d).name.as_str()),
            Origin::Local => None,
        },
        origin: (p.origin == Origin::Local).then_some("local"),
        mark: format!("{:#x}", p.mark),
        ct_state: ct_state(trace),
        tos: p.tos,
        ttl: p.ttl,
        flags: p.flags.names().collect(),
        length: p.length,
        icmp_type: p.icmp.map(|i| i.0),
        icmp_code: p.icmp.map(|i| i.1),
        sender: objects::sender(node, p).map(called),
        service: objects::asked(node, p).map(|s| service(node, &s)),
    }
}

/// What conntrack took the packet for, else what was asked for, else a new connection's.
fn ct_state(trace: &Trace) -> &'static str {
    let seen = trace
        .outcomes
        .iter()
        .flat_map(|o| &o.steps)
        .find_map(|s| match s.kind {
            StepKind::Conntrack { state, .. } => Some(state),
            _ => None,
        });
    seen.or(trace.packet.ct_state)
        .map_or("new", crate::trace::CtState::name)
}

fn outcome(node: &Node<'_>, o: &Outcome) -> OutcomeView {
    OutcomeView {
        probability: o.probability,
        expected: (!o.expected).then_some(false),
        verdict: o.verdict.name(),
        reason: reason(node, &o.reason),
        delivered: o.delivered.as_ref().map(delivered),
        dnat: o.dnat.as_ref().map(rewrite),
        snat: o.snat.as_ref().map(rewrite),
        client_ip: o
            .client_ip_kept
            .map(|kept| if kept { "kept" } else { "lost" }),
        masq_mark: o.masq_mark,
        out: o.out.as_ref().map(|x| OutView {
            dev: Some(node.device(x.dev).name.clone()),
            via: x.via,
        }),
        receiver: objects::receiver(node, o).map(called),
        mark: format!("{:#x}", o.mark),
        assumptions: o.assumptions.clone(),
        hits: o
            .steps
            .iter()
            .filter_map(|s| match &s.kind {
                StepKind::Hit { hit: h, effect, .. } => Some(hit(node, *h, effect)),
                _ => None,
            })
            .collect(),
        reply: None,
        hops: Vec::new(),
    }
}

fn called(w: Who) -> NameView {
    NameView {
        pod: w.pod,
        node: w.node,
        this_node: w.here,
    }
}

fn service(node: &Node<'_>, s: &ServiceAt<'_>) -> ServiceView {
    ServiceView {
        name: s.name(),
        kind: s.service.kind.name(),
        asked_by: s.kind.name(),
        policy: objects::policy(s).map(|(_, p)| p.name()),
        file: node.file_name(s.at.file).to_owned(),
        line: s.at.line,
    }
}

fn delivered(v: &View) -> Delivered {
    Delivered {
        src: v.src,
        sport: v.sport.known(),
        dst: v.dst,
        dport: v.dport.known(),
        proto: v.proto.contract_name(),
    }
}

fn rewrite(r: &Rewrite) -> RewriteView {
    RewriteView {
        ip: r.ip,
        port: r.port,
        by: r.by.name(),
    }
}

fn hit(node: &Node<'_>, h: Hit, effect: &Effect) -> HitView {
    let Some(t) = node.netfilter.view(h.table) else {
        return HitView::default();
    };
    let at = t.rule_origin(h.chain, h.rule);
    HitView {
        family: t.family(),
        backend: t.backend(),
        table: t.name().to_owned(),
        chain: t.chain_name(h.chain).to_owned(),
        rule: h.rule + 1,
        handle: t.handle(h.chain, h.rule),
        file: node.file_name(at.file).to_owned(),
        line: at.line,
        owner: decides(effect)
            .then(|| owners::of_rule_in_full(node, h))
            .flatten()
            .map(OwnerView::from),
    }
}

/// Whether a rule did more than lead on to others.
fn decides(effect: &Effect) -> bool {
    match effect {
        Effect::None | Effect::Jump | Effect::Return => false,
        Effect::Mark { old, new } | Effect::ConnMark { old, new } => old != new,
        Effect::Nat { .. } | Effect::Accept | Effect::Drop | Effect::Reject | Effect::Notrack => {
            true
        }
    }
}

fn finding(node: &Node<'_>, f: &Finding) -> FindingView {
    FindingView {
        node: None,
        code: f.code.name(),
        severity: match f.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        title: f.title.clone(),
        causes: f.causes.iter().map(|c| cause(node, c)).collect(),
        help: f.help.clone(),
    }
}
