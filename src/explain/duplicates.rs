//! Two rules for the same port with different targets: the first wins, and it is often the one that should be gone.

use super::again::without;
use super::names::{self, endpoint, full_rule};
use super::owners::{self, Owner};
use super::story::{Called, rule, story};
use super::{Case, Code, Finding, Rank, Severity, place};
use crate::node::Node;
use crate::trace::{Hit, Outcome, Port};
use nfwhy_parsers::iptables::Match;

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    case.outcomes().take(4).find_map(|(o, s)| {
        let c = s.iter().find(|c| !c.outer && c.rewrote_destination())?;
        let who = owners::of_rule(node, c.hit);
        if balances(node, c) || who.is_some_and(|w| SPREADERS.contains(&w.name)) {
            return None;
        }
        let then = without(node, &case.trace.packet, &[c.hit])?;
        let other = then.outcomes.iter().find_map(|p| second(node, p, who))?;
        let (hit, to, reached) = other;
        let mine = target(o)?;
        if to == mine || hit.table != c.hit.table {
            return None;
        }
        Some((
            Rank::Fails,
            finding(case, o, c, who, (hit, &to, reached), &mine),
        ))
    })
}

/// These spread connections over several rules on purpose.
const SPREADERS: &[&str] = &[
    "kube-proxy",
    "OVN-Kubernetes",
    "Antrea",
    "OpenShift SDN",
    "Istio",
    "Linkerd",
];

/// Whether chance or state chooses on the way to the rule.
fn balances(node: &Node<'_>, c: &Called) -> bool {
    c.path().filter_map(|h| rule(node, h)).any(|r| {
        r.matches.iter().any(|m| {
            matches!(
                m,
                Match::StatisticRandom(_) | Match::StatisticNth { .. } | Match::Recent(_)
            )
        })
    }) || node.netfilter.nft(c.hit.table).is_some()
}

fn target(o: &Outcome) -> Option<String> {
    let d = o.dnat.as_ref()?;
    Some(endpoint(d.ip?, d.port.map_or(Port::None, Port::Known)))
}

/// The rule that takes the packet when the first is gone, if it is the same program's.
fn second(node: &Node<'_>, o: &Outcome, who: Option<Owner>) -> Option<(Hit, String, bool)> {
    let s = story(node, o);
    let c = s.iter().find(|c| !c.outer && c.rewrote_destination())?;
    if owners::of_rule(node, c.hit) != who || balances(node, c) {
        return None;
    }
    Some((c.hit, target(o)?, leads_to_pod(node, o)))
}

fn leads_to_pod(node: &Node<'_>, o: &Outcome) -> bool {
    o.out
        .as_ref()
        .is_some_and(|out| place::to_local_pod(node, out))
}

fn finding(
    case: &Case<'_, '_>,
    o: &Outcome,
    c: &Called,
    who: Option<Owner>,
    (hit, to, reached): (Hit, &str, bool),
    mine: &str,
) -> Finding {
    let node = case.node;
    let packet = &case.trace.packet;
    let first_stale = reached && !leads_to_pod(node, o);
    let stale = if first_stale {
        format!("; no pod of this node has {mine}, so the first is left over")
    } else {
        String::new()
    };
    let mut f = Finding::new(
        Code::DuplicateDnat,
        format!(
            "two rules{} take {} {}: {} sends it to {mine} and wins, {} with {to} is never reached{stale}",
            who.map_or_else(String::new, |w| format!(" of {}", w.name)),
            packet.proto,
            endpoint(packet.dst, packet.dport),
            full_rule(node, c.hit),
            full_rule(node, hit),
        ),
    );
    if first_stale {
        f = f.with_severity(Severity::Error);
    }
    f.blame_rules([c.hit]);
    f.blame_rules(c.stack.iter().rev().copied());
    f.blame_rules([hit]);
    let jump = c.stack.last().map(|j| names::short_rule(node, *j));
    f.advise(format!(
        "find out which pod has {mine}: if none, {}{} was not removed with its pod; delete it{}",
        full_rule(node, c.hit),
        who.map_or_else(String::new, |w| format!(" ({})", w.name)),
        jump.map_or_else(String::new, |j| format!(" and the jump {j}"))
    ));
    f
}
