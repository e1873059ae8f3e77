//! Findings about the answer to a packet that arrived.

use super::names::{self, full_rule};
use super::reply::{Answer, answer};
use super::story::{Called, story};
use super::{Case, Cause, Code, Finding, Rank, drops};
use crate::trace::{Effect, Hit, Trace, Verdict};
use std::net::IpAddr;

/// Answers are followed for so many outcomes; the others are alike but for the address.
const FOLLOWED: usize = 32;

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let mut list: Vec<(Rank, Finding)> = Vec::new();
    let mut elsewhere: Vec<IpAddr> = Vec::new();
    let mut add = |rank: Rank, f: Finding| match list
        .iter_mut()
        .find(|(_, g)| g.code == f.code && g.title == f.title)
    {
        Some((r, g)) => {
            *r = (*r).min(rank);
            for c in f.causes {
                g.blame(c);
            }
        }
        None => list.push((rank, f)),
    };
    for (o, s) in case.outcomes().take(FOLLOWED) {
        match answer(case.node, case.trace, o) {
            Some(Answer::Here(reply)) => {
                if let Some((certain, f)) = lost_answer(case, &reply, s) {
                    let sure = certain && o.probability.is_some();
                    add(if sure { Rank::Fails } else { Rank::MayFail }, f);
                } else {
                    if let Some(f) = not_undone(case, &reply) {
                        add(Rank::Fails, f);
                    }
                    if let Some((rank, f)) = super::way_out::finding(case, o, &reply) {
                        add(rank, f);
                    }
                }
            }
            Some(Answer::Elsewhere { from }) => elsewhere.push(from),
            Some(Answer::FromItself) => {
                let sure = o.probability.is_some();
                let rank = if sure { Rank::Fails } else { Rank::MayFail };
                add(rank, from_itself(o.delivered.map(|d| d.dst), s));
            }
            // See `ebpf`.
            Some(Answer::Served(_)) | None => {}
        }
    }
    elsewhere.sort();
    elsewhere.dedup();
    if !elsewhere.is_empty() {
        list.push((Rank::Remark, past_this_node(case, &elsewhere)));
    }
    list
}

/// A pod was sent to itself and nothing masqueraded it.
fn from_itself(who: Option<IpAddr>, request: &[Called]) -> Finding {
    let who = who.map_or_else(|| "the receiver".to_owned(), |a| a.to_string());
    let mut f = Finding::new(
        Code::AnswerDropped,
        format!(
            "{who} gets the packet with its own address as the source, so no answer leaves it: what is sent back to its sender has to be masqueraded"
        ),
    );
    f.blame_rules(super::path::destination_rules(request));
    f.advise(
        "kube-proxy marks such packets for masquerade in the chain of each endpoint (-s POD -j KUBE-MARK-MASQ): see whether that rule is there, and KUBE-POSTROUTING is reached",
    );
    f
}

/// The answer ends on this node; certain where all its outcomes do.
fn lost_answer(case: &Case<'_, '_>, reply: &Trace, request: &[Called]) -> Option<(bool, Finding)> {
    let fails = |v: Verdict| matches!(v, Verdict::Dropped | Verdict::Rejected);
    let o = reply.outcomes.iter().find(|o| fails(o.verdict))?;
    let certain = reply.outcomes.iter().all(|o| fails(o.verdict));
    // The request has passed: what is unknown to both is taken as it was there, so such a failure tells nothing.
    if !certain && o.probability.is_none() {
        return None;
    }
    let its = story(case.node, o);
    let why = drops::failure(case.node, &reply.packet, o, &its)?;
    let mut f = Finding::new(
        Code::AnswerDropped,
        format!(
            "the packet arrives, but its answer does not come back: {}",
            why.title
        ),
    );
    for c in why.causes {
        f.blame(c);
    }
    // What let the request pass where the answer fails.
    let table = f.causes.iter().find_map(|c| match c {
        Cause::Policy { table, .. } => Some(*table),
        Cause::Rule(Hit { table, .. }) => Some(*table),
        _ => None,
    });
    let passed = request
        .iter()
        .rev()
        .find(|c| Some(c.hit.table) == table && c.effect == Effect::Accept && !c.outer);
    if let Some(c) = passed {
        f.blame_rules([c.hit]);
        if no_rule_for_answers(case.node, c) {
            let mark = if super::marks::looks_at_mark(case.node, c.hit) {
                " for its mark"
            } else {
                ""
            };
            f.title = format!(
                "{}; {} accepted the request{mark}, and {} has no rule for RELATED,ESTABLISHED",
                f.title,
                full_rule(case.node, c.hit),
                names::chain(case.node, c.hit.table, c.hit.chain)
            );
        }
        f.advise(format!(
            "the request passed by {}, which the answer does not match: accept `-m conntrack --ctstate RELATED,ESTABLISHED`",
            full_rule(case.node, c.hit)
        ));
        f.blame_rules(c.stack.iter().rev().copied());
    }
    for h in why.help {
        if !(passed.is_some() && h.contains("marked packets only")) {
            f.advise(h);
        }
    }
    Some((certain, f))
}

/// Whether the chain that accepted a request accepts no answers as such.
fn no_rule_for_answers(node: &crate::node::Node<'_>, c: &Called) -> bool {
    use nfwhy_parsers::iptables::Match;
    use nfwhy_parsers::iptables::matches::CtStates;
    let Some(t) = node.netfilter.tables.get(c.hit.table) else {
        return false;
    };
    let established = |s: CtStates| s.0 & CtStates::ESTABLISHED != 0;
    !t.rules(c.hit.chain).iter().any(|r| {
        r.matches.iter().any(|m| match m {
            Match::State(n) => !n.not && established(n.value),
            Match::Conntrack(k) => k
                .state
                .as_ref()
                .is_some_and(|n| !n.not && established(n.value)),
            _ => false,
        })
    })
}

/// The answer leaves with another source than the client asked.
fn not_undone(case: &Case<'_, '_>, reply: &Trace) -> Option<Finding> {
    let o = reply
        .outcomes
        .iter()
        .find(|o| matches!(o.verdict, Verdict::Forwarded | Verdict::Local))?;
    let src = o.delivered?.src?;
    if src == case.trace.packet.dst {
        return None;
    }
    if let Some(f) = super::bridge::answer(case, reply, o, src) {
        return Some(f);
    }
    let mut f = Finding::new(
        Code::AnswerNotTranslated,
        format!(
            "the answer leaves with source {src}, not {}: the client does not know it and resets",
            case.trace.packet.dst
        ),
    );
    f.advise(
        "nothing on this node undoes the rewrite for the answer: the connection is not tracked",
    );
    Some(f)
}

fn past_this_node(case: &Case<'_, '_>, from: &[IpAddr]) -> Finding {
    let from: Vec<String> = from.iter().map(ToString::to_string).collect();
    let mut f = Finding::new(
        Code::AnswerElsewhere,
        format!(
            "{} would answer the client directly, not through this node: unless its node routes the answer back here, the client gets it from an address it did not ask ({})",
            names::list(&from, 3),
            case.trace.packet.dst
        ),
    );
    f.advise("the destination was rewritten here but the source was kept: only the masquerade or policy Local makes such a connection work");
    f
}
