//! Where the objects of Kubernetes and the rules of this node say different things: kube-proxy has not followed, or one of them was
//! captured later.

use super::known::named_now;
use super::marks::{because_of_mark, decider};
use super::names::{self, endpoint, full_rule};
use super::objects::{asked, policy};
use super::owners::{Marker, marker};
use super::place::from_local_pod;
use super::story::{rewriter, rule};
use super::{Case, Cause, Code, Finding, Rank};
use crate::node::kube::{AddressKind, Backend, ServiceAt};
use crate::node::{Node, Origin as Place};
use crate::trace::{CtState, Hit, NatKind, Origin, Port, StepKind, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Match;
use nfwhy_parsers::kube::Policy;
use std::net::IpAddr;

/// So many endpoints are looked for in the rules.
const LOOKED_FOR: usize = 8;

/// Advice of other findings that the objects show to be followed already is replaced.
pub(super) fn findings(case: &Case<'_, '_>, found: &mut [(Rank, Finding)]) -> Vec<(Rank, Finding)> {
    let Some(asked) = asked(case.node, &case.trace.packet) else {
        return Vec::new();
    };
    if asked.service.listed || !judged_by_rules(case) || !served_by_kube_proxy(case.node) {
        return Vec::new();
    }
    let has = |code: Code| found.iter().any(|(_, f)| f.code == code);
    let mut list = Vec::new();
    if let Some(f) = port_missing(case, &asked) {
        // Another finding may name the ports that the rules do know.
        list.push((Rank::Fails, f));
        return list;
    }
    let refusals = [
        Code::NoEndpoints,
        Code::NoLocalEndpoints,
        Code::IpvsNoRealServer,
    ];
    let refused = refusals.into_iter().any(has);
    let policy = other_policy(case, &asked, has(Code::NoLocalEndpoints));
    let endpoints = other_endpoints(case, &asked, refused);
    if let Some(f) = &policy {
        instead(found, &[Code::ClientIpLost, Code::NoLocalEndpoints], f);
    }
    if let Some(f) = &endpoints {
        instead(found, &refusals, f);
    }
    list.extend(
        policy
            .into_iter()
            .chain(endpoints)
            .map(|f| (Rank::MayFail, f)),
    );
    list
}

fn instead(found: &mut [(Rank, Finding)], codes: &[Code], by: &Finding) {
    for (_, f) in found.iter_mut().filter(|(_, f)| codes.contains(&f.code)) {
        f.help.clone_from(&by.help);
    }
}

/// The rules of now decided: no known connection, and nothing that was not captured.
fn judged_by_rules(case: &Case<'_, '_>) -> bool {
    let fresh = |o: &crate::trace::Outcome| {
        o.probability.is_some()
            && o.dnat.as_ref().is_none_or(|d| d.by != NatKind::Conntrack)
            && o.steps.iter().all(|s| match s.kind {
                StepKind::Conntrack { state, reply, .. } => {
                    !reply && matches!(state, CtState::New | CtState::Untracked)
                }
                _ => true,
            })
    };
    case.trace.outcomes.iter().all(fresh)
}

/// Where something else serves Services (eBPF), the absence of rules says nothing.
fn served_by_kube_proxy(node: &Node<'_>) -> bool {
    node.programs.is_empty() && node.cilium.services.is_empty() && node.has_kube_proxy()
}

fn object(asked: &ServiceAt<'_>, line: u32) -> Cause {
    Cause::Object {
        name: format!("Service {}", asked.service.meta.full()),
        at: Place { line, ..asked.at },
    }
}

/// A port of the object that no rule and no virtual service takes.
fn port_missing(case: &Case<'_, '_>, asked: &ServiceAt<'_>) -> Option<Finding> {
    let packet = &case.trace.packet;
    let through = case.trace.outcomes.iter().all(|o| {
        o.dnat.is_none()
            && matches!(o.verdict, Verdict::Forwarded | Verdict::Local)
            && o.delivered.is_some_and(|d| d.dst == packet.dst)
    });
    // A NodePort is served on some addresses of a node alone (--nodeport-addresses).
    if !through || asked.kind == AddressKind::NodePort {
        return None;
    }
    let mut f = Finding::new(
        Code::KubePortMissing,
        format!(
            "{} has {} {} at {}, but no rule and no virtual service of this node takes it",
            asked.name(),
            asked.port.proto,
            asked.port.port,
            packet.dst
        ),
    );
    f.blame(object(asked, asked.at.line));
    f.advise("kube-proxy of this node does not follow: see its log, and whether the objects were captured later than the rules");
    Some(f)
}

/// The policy of the object is not that of the rules.
fn other_policy(case: &Case<'_, '_>, asked: &ServiceAt<'_>, no_local: bool) -> Option<Finding> {
    let (field, says) = policy(asked)?;
    let packet = &case.trace.packet;
    // Nodes and pods are not treated as clients outside.
    let inside = |src: IpAddr| case.node.kube.within(src);
    if asked.kind == AddressKind::Cluster
        || packet.origin == Origin::Local
        || from_local_pod(case.node, packet)
        || packet.src.is_none_or(inside)
    {
        return None;
    }
    let (other, hit) = match says {
        Policy::Local => (Policy::Cluster, marked_as_cluster(case)?),
        Policy::Cluster => (Policy::Local, taken_as_local(case, no_local)?),
    };
    let mut f = Finding::new(
        Code::KubeStalePolicy,
        format!(
            "{} says {field}: {}, but the rules of this node are those of {}: {}",
            asked.service.meta.full(),
            says.name(),
            other.name(),
            full_rule(case.node, hit)
        ),
    );
    let line = asked.service.external_policy_line;
    f.blame(object(asked, if line > 0 { line } else { asked.at.line }));
    f.blame_rules([hit]);
    f.advise("kube-proxy of this node has not followed the change, or the rules were captured before it: capture both again, and see its log");
    Some(f)
}

/// The rule that marked a packet for masquerade as policy Cluster does.
fn marked_as_cluster(case: &Case<'_, '_>) -> Option<Hit> {
    let node = case.node;
    case.outcomes().find_map(|(_, story)| {
        let p = because_of_mark(node, story, rewriter(story)?)?;
        let mut setters = p.setters.iter().filter_map(|i| story.get(*i));
        setters.find_map(|c| {
            let d = decider(node, c);
            (marker(node, d) == Marker::External).then_some(d)
        })
    })
}

/// The rule that treats a packet as policy Local does: chains of local endpoints, kube-proxy's sets of such addresses, or a refusal for
/// want of them (pkg/proxy/iptables/proxier.go, pkg/proxy/ipvs/ipset.go).
fn taken_as_local(case: &Case<'_, '_>, no_local: bool) -> Option<Hit> {
    let node = case.node;
    let by_set = |hit: Hit| {
        rule(node, hit).is_some_and(|r| {
            r.matches.iter().any(|m| match m {
                Match::Set(s) => s.name.contains("-LOCAL") && s.name.contains("KUBE-"),
                _ => false,
            })
        })
    };
    let local = |hit: Hit| {
        let chain = names::chain(node, hit.table, hit.chain);
        chain.starts_with("KUBE-XLB-") || chain.starts_with("KUBE-SVL-") || by_set(hit)
    };
    let mut stories = case.stories.iter();
    stories
        .find_map(|s| s.iter().map(|c| c.hit).find(|h| local(*h)))
        .or_else(|| {
            case.trace.outcomes.iter().find_map(|o| match o.reason {
                crate::trace::Reason::Rule(hit) if no_local => Some(hit),
                _ => None,
            })
        })
}

/// Endpoints of the object that no rule names, and endpoints of the rules that are none.
fn other_endpoints(case: &Case<'_, '_>, asked: &ServiceAt<'_>, refused: bool) -> Option<Finding> {
    let node = case.node;
    let family = Family::of(case.trace.packet.dst);
    let mut all = node.kube.backends(asked.service, asked.port)?;
    all.retain(|b| Family::of(b.ip) == family);
    let mut chosen: Vec<(IpAddr, u16, Vec<Hit>)> = Vec::new();
    for (o, story) in case.outcomes() {
        let Some((ip, port)) = o.dnat.as_ref().and_then(|d| Some((d.ip?, d.port?))) else {
            continue;
        };
        if !chosen.iter().any(|(i, p, _)| (*i, *p) == (ip, port)) {
            let rules = super::path::destination_rules(story).collect();
            chosen.push((ip, port, rules));
        }
    }
    if chosen.is_empty() && !refused {
        return None;
    }
    let usable = usable(node, asked, &all);
    let known = |b: &Backend| chosen.iter().any(|(i, p, _)| (*i, *p) == (b.ip, b.port));
    let unnamed: Vec<&Backend> = match &usable {
        Some(list) if !node.kube.hinted(asked.service) => list
            .iter()
            .filter(|b| !known(b))
            .take(LOOKED_FOR)
            .filter(|b| !named_now(node, b.ip))
            .copied()
            .collect(),
        _ => Vec::new(),
    };
    let some_ready = all.iter().any(|b| b.ready);
    let stale: Vec<_> = chosen
        .iter()
        .filter(
            |(ip, port, _)| match all.iter().find(|b| (b.ip, b.port) == (*ip, *port)) {
                Some(b) => some_ready && !b.ready,
                None => true,
            },
        )
        .collect();
    if unnamed.is_empty() && stale.is_empty() {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    let at = |ip, port| endpoint(ip, Port::Known(port));
    if !unnamed.is_empty() {
        let list: Vec<String> = unnamed.iter().map(|b| called(b)).collect();
        parts.push(format!("no rule names its ready {}", names::list(&list, 3)));
    }
    if !stale.is_empty() {
        let list: Vec<String> = stale.iter().map(|(ip, port, _)| at(*ip, *port)).collect();
        let are = if stale.len() == 1 {
            "is no ready endpoint"
        } else {
            "are no ready endpoints"
        };
        parts.push(format!(
            "the rules send to {}, which {are} of it",
            names::list(&list, 3)
        ));
    }
    let mut f = Finding::new(
        Code::KubeStaleRules,
        format!(
            "the rules of this node do not fit the endpoints of {}: {}",
            asked.name(),
            parts.join("; ")
        ),
    );
    let mut slices: Vec<Place> = all.iter().map(|b| b.at).collect();
    slices.extend(
        node.kube
            .slices_of(asked.service)
            .first()
            .map(|s| s.at(&s.object.meta)),
    );
    slices.dedup();
    for at in slices.into_iter().take(2) {
        f.blame(Cause::Object {
            name: format!("endpoints of {}", asked.service.meta.full()),
            at,
        });
    }
    for (_, _, rules) in &stale {
        f.blame_rules(rules.iter().copied());
    }
    f.advise("kube-proxy of this node does not follow, or the objects were captured at another time: see its log, and capture both again");
    Some(f)
}

/// `10.244.1.7:80 (default/web-1)`.
fn called(b: &Backend) -> String {
    let at = endpoint(b.ip, Port::Known(b.port));
    match &b.pod {
        Some(pod) => format!("{at} ({pod})"),
        None => at,
    }
}

/// Those that kube-proxy takes (pkg/proxy/topology.go, `CategorizeEndpoints`): the ready ones, else those that serve while they
/// terminate; of policy Local those of this node. `None` where it is not known which node this is.
fn usable<'b>(
    node: &Node<'_>,
    asked: &ServiceAt<'_>,
    all: &'b [Backend],
) -> Option<Vec<&'b Backend>> {
    let local = matches!(policy(asked), Some((_, Policy::Local)));
    let this = node.kube.this_node.as_deref();
    if local && this.is_none() {
        return None;
    }
    let near = |b: &&Backend| !local || b.node.as_deref() == this;
    let ready: Vec<&Backend> = all.iter().filter(|b| b.ready).filter(near).collect();
    if !ready.is_empty() {
        return Some(ready);
    }
    let draining = all.iter().filter(|b| b.draining);
    Some(draining.filter(near).collect())
}
