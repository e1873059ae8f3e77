//! What becomes of the client's address.

use super::marks::{Provenance, because_of_mark};
use super::names::{self, device, full_rule};
use super::story::{Called, rewriter};
use super::{Case, Cause, Code, Finding, Rank, place, reply};
use crate::node::Node;
use crate::trace::{AddrChoice, Effect, Hit, Outcome, StepKind, Verdict};
use std::fmt::Write as _;
use std::net::IpAddr;

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let mut list = Vec::new();
    if let Some(f) = answers(case) {
        list.push((Rank::Source, f));
        return list;
    }
    let mut groups: Vec<(Option<Hit>, Vec<usize>)> = Vec::new();
    let mut kept = Vec::new();
    for (i, (o, story)) in case.outcomes().enumerate() {
        match o.client_ip_kept {
            Some(false) => {
                let hit = rewriter(story).and_then(|n| story.get(n)).map(|c| c.hit);
                match groups.iter_mut().find(|(h, _)| *h == hit) {
                    Some((_, members)) => members.push(i),
                    None => groups.push((hit, vec![i])),
                }
            }
            Some(true) => kept.push(i),
            None => {}
        }
    }
    for (hit, members) in groups {
        let f = match hit {
            Some(hit) => super::lost::lost(case, hit, &members),
            None if super::cilium::took_the_source(case, &members) => {
                super::cilium::lost(case, &members)
            }
            None => lost_by_connection(case, &members),
        };
        list.push((Rank::Source, f));
    }
    if !kept.is_empty() {
        list.push((Rank::Source, kept_finding(case, &kept)));
    }
    list
}

/// The addresses receivers see, each once.
pub(super) fn seen(case: &Case<'_, '_>, members: &[usize]) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for o in members.iter().filter_map(|i| case.trace.outcomes.get(*i)) {
        let s = match o.delivered.and_then(|d| d.src) {
            Some(ip) => ip.to_string(),
            None => "an address that was not captured".into(),
        };
        if !list.contains(&s) {
            list.push(s);
        }
    }
    list
}

pub(super) fn who_sees(case: &Case<'_, '_>, members: &[usize]) -> String {
    let outcomes = || members.iter().filter_map(|i| case.trace.outcomes.get(*i));
    receiver(case.node, outcomes())
}

/// What to call the receiver of some outcomes: a pod by its name, where all reach the same one.
pub fn receiver<'o>(
    node: &Node<'_>,
    outcomes: impl Iterator<Item = &'o Outcome> + Clone,
) -> String {
    let kind = kind_of_receiver(node, outcomes.clone());
    match super::objects::one_pod(node, outcomes) {
        Some(pod) if matches!(kind, "the pod" | "the receiver") => format!("the pod {pod}"),
        _ => kind.to_owned(),
    }
}

fn kind_of_receiver<'o>(
    node: &Node<'_>,
    mut outcomes: impl Iterator<Item = &'o Outcome>,
) -> &'static str {
    let mut pod = true;
    let mut local = true;
    let mut any = false;
    let mut container = true;
    for o in &mut outcomes {
        any = true;
        container &= o
            .out
            .as_ref()
            .is_some_and(|out| place::behind(node, out.dev) == "container");
        local &= o.verdict == Verdict::Local;
        pod &= o.verdict == Verdict::Forwarded
            && (o.dnat.is_some()
                || o.out
                    .as_ref()
                    .is_some_and(|out| place::to_local_pod(node, out)));
    }
    match (any, local, pod) {
        (true, true, _) => "the node",
        (true, false, true) if container => "the container",
        (true, false, true) => "the pod",
        _ => "the receiver",
    }
}

pub(super) fn client(case: &Case<'_, '_>) -> String {
    case.trace
        .packet
        .src
        .map(|s| s.to_string())
        .or_else(|| chosen_source(case).map(|s| s.to_string()))
        .unwrap_or_else(|| "the sender's address".into())
}

/// The source the kernel chose for a packet that names none.
fn chosen_source(case: &Case<'_, '_>) -> Option<IpAddr> {
    case.trace
        .outcomes
        .first()?
        .steps
        .iter()
        .find_map(|s| match s.kind {
            StepKind::Address { addr, .. } => addr,
            _ => None,
        })
}

fn lost_by_connection(case: &Case<'_, '_>, members: &[usize]) -> Finding {
    let mut f = Finding::new(
        Code::ClientIpLost,
        format!(
            "{} sees {}, not {}: the connection was set up so before; the nat rules are not asked again",
            who_sees(case, members),
            names::list(&seen(case, members), 3),
            client(case)
        ),
    );
    for o in members.iter().filter_map(|i| case.trace.outcomes.get(*i)) {
        for s in &o.steps {
            if let StepKind::Conntrack { at: Some(at), .. } = s.kind {
                f.blame(Cause::Conntrack { at });
            }
        }
    }
    f
}

fn kept_finding(case: &Case<'_, '_>, members: &[usize]) -> Finding {
    let node = case.node;
    let outcomes = || members.iter().filter_map(|i| case.trace.outcomes.get(*i));
    let all_local = outcomes().all(|o| o.verdict == Verdict::Local);
    let who = who_sees(case, members);
    let mut title = if all_local {
        format!(
            "delivered to this node ({}), where the source is still {}",
            case.trace.packet.dst,
            client(case)
        )
    } else {
        format!(
            "{who} sees {} address {}",
            super::drops::whose(&case.trace.packet),
            client(case)
        )
    };
    let mut returns: Vec<Hit> = Vec::new();
    for story in members.iter().filter_map(|i| case.stories.get(*i)) {
        for c in story.iter().filter(|c| returns_before_mark(node, c)) {
            if !returns.contains(&c.hit) {
                returns.push(c.hit);
            }
        }
    }
    if let Some(why) = super::cilium::kept(case, members) {
        let _ = write!(title, "; {why}");
    } else if outcomes().any(|o| o.dnat.is_some()) && outcomes().all(|o| !o.masq_mark) {
        title.push_str("; no rule marks the packet for masquerade");
        if let Some(hit) = returns.first() {
            let _ = write!(title, ": {} returns before that", full_rule(node, *hit));
            if let Some(why) = names::remark(node, *hit) {
                let _ = write!(title, " ({why})");
            }
        }
    }
    if let Some(more) = super::handed::clause(case, members) {
        let _ = write!(title, "; {more}");
    }
    let mut f = Finding::new(Code::ClientIpKept, title);
    f.blame_rules(returns);
    // What decided: rewrites of the destination, and the rules that let it pass.
    for i in members {
        let Some(story) = case.stories.get(*i) else {
            continue;
        };
        let deciding = |c: &&Called| {
            !c.outer
                && (c.rewrote_destination() || matches!(c.effect, Effect::Accept | Effect::Notrack))
        };
        // A RETURN in nat may be what kept a later rule from rewriting the source.
        let spared = |c: &&Called| {
            !c.outer
                && c.effect == Effect::Return
                && names::table(node, c.hit.table) == "nat"
                && c.path()
                    .next()
                    .is_some_and(|b| names::chain(node, b.table, b.chain) == "POSTROUTING")
        };
        f.blame_rules(story.iter().filter(deciding).map(|c| c.hit));
        f.blame_rules(story.iter().filter(spared).map(|c| c.hit));
        if let Some(service) = case
            .trace
            .outcomes
            .get(*i)
            .and_then(super::path::ipvs_service)
        {
            f.blame(super::path::ipvs(node, service));
        }
    }
    if let Some(h) = super::handed::conditions(case, members) {
        f.advise(h);
    }
    if all_local {
        f.advise("whether a process listens there is not part of the capture: `ss -lntup`");
    }
    f
}

/// Whether the rule sends the packet back before a later rule of its chain would have marked it for masquerade.
fn returns_before_mark(node: &Node<'_>, c: &Called) -> bool {
    let Some(t) = node.netfilter.tables.get(c.hit.table) else {
        return false;
    };
    !c.outer
        && c.effect == Effect::Return
        && t.rules(c.hit.chain).iter().skip(c.hit.rule + 1).any(|r| {
            matches!(&r.target, nfwhy_parsers::iptables::Target::Jump(to) if to.contains("MARK-MASQ"))
        })
}

/// An answer on its way back: its source is translated as the connection says, which is no loss.
fn answers(case: &Case<'_, '_>) -> Option<Finding> {
    let o = case.trace.outcomes.iter().find(|o| reply::is_reply(o))?;
    let d = o.delivered?;
    let mut f = Finding::new(
        Code::Answer,
        format!(
            "an answer of a known connection: {} gets it from {}",
            names::destination(&d),
            names::source(&d)
        ),
    );
    for s in &o.steps {
        if let StepKind::Conntrack { at: Some(at), .. } = s.kind {
            f.blame(Cause::Conntrack { at });
        }
    }
    Some(f)
}

/// How the address that the receiver sees was chosen, as a clause: `tunl0 has 10.233.98.0`.
pub fn how_chosen(node: &Node<'_>, outcome: &Outcome) -> Option<(String, crate::node::Origin)> {
    let out = outcome.out.as_ref()?;
    // The outer packet of a tunnel comes behind it; its address is another matter.
    let (addr, how, at) = outcome.steps.iter().find_map(|s| match &s.kind {
        StepKind::Address { addr, how, at } if outcome.snat.is_some() => Some((*addr, how, *at)),
        _ => None,
    })?;
    let addr = addr?;
    if outcome.delivered.and_then(|d| d.src) != Some(addr) {
        return None;
    }
    // What the node sends has had its address chosen before, and perhaps for another device, which this one does not share it with.
    let held = node.devices.get(usize::from(out.dev.0));
    let held = held.is_some_and(|d| d.addrs.iter().any(|a| a.local == addr));
    let last = outcome.steps.iter().rev().find_map(|s| match &s.kind {
        StepKind::Address {
            addr: Some(a),
            how,
            at,
        } if *a == addr => Some((how, *at)),
        _ => None,
    });
    let (how, at) = last.filter(|_| !held).unwrap_or((how, at));
    let dev = device(node, out.dev);
    let text = match how {
        AddrChoice::OnSubnet => match out.via {
            Some(via) => format!("{addr} of {dev}, on the subnet of the next hop {via}"),
            None => format!("{addr} of {dev}, on the receiver's subnet"),
        },
        AddrChoice::FirstOnDevice => format!("{addr} is the first address of {dev}"),
        AddrChoice::Fallback(d) => format!(
            "{dev} has no address, so the first global one in device order: {addr} of {}",
            device(node, *d)
        ),
        AddrChoice::Rfc6724(d) => format!(
            "{addr} of {}, by source address selection (RFC 6724) for {}",
            device(node, *d),
            outcome
                .delivered
                .map_or_else(String::new, |d| d.dst.to_string())
        ),
        AddrChoice::PrefSrc => format!("{addr} is the route's src"),
        AddrChoice::Destination => format!("{addr} is the destination itself"),
    };
    Some((text, at))
}

/// Provenance of the mark that made the rewriting rule match, for display.
pub fn provenance(node: &Node<'_>, story: &[Called]) -> Option<Provenance> {
    because_of_mark(node, story, rewriter(story)?)
}
