//! The client's address is lost to a rule: which, why, and what keeps it.

use super::marks::{because_of_mark, decider};
use super::names::{self, full_rule};
use super::objects::service_name;
use super::owners::{self, Marker, marker};
use super::source::{client, seen, who_sees};
use super::story::rewriter;
use super::{Case, Code, Finding, Severity, marking, place};
use crate::node::Node;
use crate::trace::{Hit, NatKind, Origin};
use std::fmt::Write as _;
use std::net::IpAddr;

pub(super) fn lost(case: &Case<'_, '_>, hit: Hit, members: &[usize]) -> Finding {
    let node = case.node;
    let mut deciders: Vec<Hit> = Vec::new();
    let mut bits = 0;
    let mut arrived = 0;
    let mut causes: Vec<Hit> = Vec::new();
    let mut kind = NatKind::Masquerade;
    let mut hits_for_name: Vec<Hit> = Vec::new();
    for i in members {
        let Some(story) = case.stories.get(*i) else {
            continue;
        };
        let Some(at) = rewriter(story) else { continue };
        let Some(c) = story.get(at) else { continue };
        if let Some((k, _)) = c.rewrote_source() {
            kind = k;
        }
        hits_for_name.extend(story.iter().map(|c| c.hit));
        let mut secondary: Vec<Hit> = c.stack.iter().rev().copied().collect();
        if let Some(p) = because_of_mark(node, story, at) {
            bits |= p.bits;
            arrived |= p.arrived;
            for s in p.setters.iter().filter_map(|s| story.get(*s)) {
                let d = decider(node, s);
                if !deciders.contains(&d) {
                    deciders.push(d);
                }
                secondary.push(s.hit);
                secondary.extend(s.stack.iter().rev());
            }
        }
        causes.extend(secondary);
    }
    let mut title = lost_title(case, hit, members, &deciders, bits, arrived);
    let view = members.iter().find_map(|i| {
        let s = case.stories.get(*i)?;
        Some(s.get(rewriter(s)?)?.view)
    });
    let why_not = view.filter(|_| deciders.is_empty());
    let why_not = why_not.and_then(|v| super::spared::clause(node, hit, &v));
    let severity = if expected(case, members) {
        Severity::Info
    } else {
        Severity::Warning
    };
    let why_not = why_not.filter(|_| severity != Severity::Info);
    if let Some(why) = &why_not {
        let _ = write!(title, "; {why}");
    }
    let mut f = Finding::new(Code::ClientIpLost, title).with_severity(severity);
    f.blame_rules(deciders.iter().copied());
    f.blame_rules([hit]);
    f.blame_rules(causes);
    for story in members.iter().filter_map(|i| case.stories.get(*i)) {
        f.blame_rules(super::path::destination_rules(story));
    }
    if case.trace.packet.origin == Origin::Local {
        return f;
    }
    if severity == Severity::Info {
        f.advise("as it should be: addresses of pods and containers are not known outside");
        let private = members
            .iter()
            .filter_map(|i| case.trace.outcomes.get(*i)?.delivered)
            .any(|d| is_private(d.dst));
        if let Some(help) = owners::of_rule(node, hit)
            .and_then(|o| o.masquerade)
            .filter(|_| private)
        {
            f.advise(format!(
                "if the other side knows the way to the pods: {help}"
            ));
        }
        return f;
    }
    let service = service_name(node, &case.trace.packet, &hits_for_name);
    for d in &deciders {
        if marking::is_old_external_ip(node, *d) {
            f.advise("this kube-proxy masquerades externalIPs whatever the policy says (kubernetes/kubernetes#62537; releases since 1.18 do not): upgrade, or use a NodePort or a load balancer's address with externalTrafficPolicy: Local");
            continue;
        }
        advise(&mut f, marker(node, *d), service.as_deref());
    }
    if deciders.is_empty() {
        advise_rewriter(node, &mut f, hit, kind);
    }
    if why_not.is_some()
        && let Some(h) = super::spared::help(node, hit)
    {
        f.advise(h);
    }
    f
}

/// Whether an address is of a network of one's own: there the way to pods may be known.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => a.is_private(),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

fn lost_title(
    case: &Case<'_, '_>,
    hit: Hit,
    members: &[usize],
    deciders: &[Hit],
    bits: u32,
    arrived: u32,
) -> String {
    let node = case.node;
    let by = format!(
        "{}{}",
        full_rule(node, hit),
        super::drops::by_owner(node, hit)
    );
    let head = format!(
        "{} sees {}, not {}: {by} rewrites the source",
        who_sees(case, members),
        names::list(&seen(case, members), 3),
        client(case)
    );
    if !deciders.is_empty() {
        let who: Vec<String> = deciders
            .iter()
            .map(|d| match owners::of_rule(node, *d) {
                Some(o) if owners::of_rule(node, hit) != Some(o) => {
                    format!("{} ({})", full_rule(node, *d), o.name)
                }
                _ => full_rule(node, *d),
            })
            .collect();
        let of_whom = deciders
            .first()
            .and_then(|d| marking::cluster_ip_clause(node, *d));
        let of_whom = of_whom.map_or_else(String::new, |c| format!(" ({c})"));
        return format!(
            "{head} because {} set mark {bits:#x}{of_whom}",
            names::list(&who, 3)
        );
    }
    if bits != 0 && arrived != 0 {
        let used: Vec<String> = owners::of_mark_here(node, arrived)
            .iter()
            .map(ToString::to_string)
            .collect();
        let used = if used.is_empty() {
            String::new()
        } else {
            format!(" (used here by {})", names::list(&used, 3))
        };
        return format!("{head} because the packet came with mark {arrived:#x}{used}");
    }
    let masq_mark = members
        .iter()
        .filter_map(|i| case.trace.outcomes.get(*i))
        .any(|o| o.masq_mark);
    let kube = owners::of_rule(node, hit).is_some_and(|o| o.name == "kube-proxy");
    let dnat = members
        .iter()
        .filter_map(|i| case.trace.outcomes.get(*i))
        .any(|o| o.dnat.is_some());
    match (kube, masq_mark, dnat) {
        (true, ..) => format!("{head}, without any mark"),
        (false, false, true) => format!("{head}; not kube-proxy, which did not mark the packet"),
        (false, true, _) => format!("{head}, before kube-proxy's own masquerade is reached"),
        (false, false, false) => head,
    }
}

/// Leaving the cluster with the node's address is as it should be; so is what the node itself sends.
fn expected(case: &Case<'_, '_>, members: &[usize]) -> bool {
    case.trace.packet.origin == Origin::Local
        || members
            .iter()
            .filter_map(|i| case.trace.outcomes.get(*i))
            .all(|o| {
                o.dnat.is_none()
                    && place::from_local_pod(case.node, &case.trace.packet)
                    && o.out.as_ref().is_some_and(|out| {
                        // Tunnels lead to other nodes of the cluster.
                        let tunnel = case.node.device(out.dev).tunnel().is_some();
                        !tunnel && !place::to_local_pod(case.node, out)
                    })
            })
}

fn advise(f: &mut Finding, m: Marker, service: Option<&str>) {
    let of = service.map_or_else(
        || "the Service".to_owned(),
        |s| s.split(':').take(1).collect::<String>(),
    );
    f.advise(match m {
        Marker::External => format!(
            "externalTrafficPolicy: Local on {of} keeps the client IP; only nodes that run a ready pod of it then answer"
        ),
        Marker::ClusterIp => format!(
            "the client is outside of kube-proxy's --cluster-cidr (or --masquerade-all is set), and ClusterIPs are always masqueraded for such: use a NodePort or load balancer of {of} with externalTrafficPolicy: Local"
        ),
        Marker::Hairpin => {
            "a pod that reaches itself through a Service has to be masqueraded: nothing to change".to_owned()
        }
        Marker::HostPort => {
            "hostPort masquerades the pod's own subnet and localhost only; a client outside of it keeps its address".to_owned()
        }
        Marker::Other => return,
    });
}

fn advise_rewriter(node: &Node<'_>, f: &mut Finding, hit: Hit, kind: NatKind) {
    if let Some(help) = owners::of_rule(node, hit).and_then(|o| o.masquerade) {
        f.advise(help);
        return;
    }
    if names::chain(node, hit.table, hit.chain).starts_with("KUBE-POSTROUTING") {
        f.advise(
            "a pod that reaches itself through a Service has to be masqueraded: nothing to change",
        );
        return;
    }
    f.advise(format!(
        "the rule {} names no owner: let it except this traffic (a RETURN before it{})",
        full_rule(node, hit),
        if kind == NatKind::Masquerade {
            ", or `! -d` the pod network in it"
        } else {
            ""
        }
    ));
}
