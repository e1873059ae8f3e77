//! An answer that leaves by another network card than the request came by.

use super::names::device;
use super::path::line_of;
use super::{Case, Cause, Code, Finding, Rank, place};
use crate::node::{DevId, Node, PolicyAction};
use crate::trace::{Origin, Outcome, RouteStep, StepKind, Trace, Verdict};
use nfwhy_parsers::common::Masked;
use std::net::IpAddr;

/// The answer to outcome `o`, where it goes another way than the request came.
pub(super) fn finding(case: &Case<'_, '_>, o: &Outcome, reply: &Trace) -> Option<(Rank, Finding)> {
    let node = case.node;
    let Origin::Device(came) = case.trace.packet.origin else {
        return None;
    };
    if !to_the_world(node, came) {
        return None;
    }
    let back = reply
        .outcomes
        .iter()
        .find(|r| r.verdict == Verdict::Forwarded)?;
    // All of them go another way, not some next hop of several.
    let out = back.out.as_ref()?.dev;
    let elsewhere = |r: &Outcome| r.out.as_ref().is_some_and(|x| x.dev != came);
    if !reply.outcomes.iter().all(elsewhere) || !to_the_world(node, out) {
        return None;
    }
    let src = back.delivered?.src?;
    let asked = o.delivered?.dst;
    let route = back.steps.iter().rev().find_map(|s| match &s.kind {
        StepKind::Route(r) if r.dev == Some(out) => Some(r),
        _ => None,
    })?;
    let rule = rule_for(node, route, asked, case.trace.packet.dst);
    let (came, out) = (device(node, came), device(node, out));
    let owner = node
        .devices
        .iter()
        .find(|d| d.addrs.iter().any(|a| a.local == src))
        .map_or_else(String::new, |d| format!(", an address of {}", d.name));
    let why = match &rule {
        Some(r) => format!(
            "`ip rule` {} chose it{}",
            line_of(node, r.origin),
            if asked == case.trace.packet.dst {
                ""
            } else {
                " by the pod's address, before the translation was undone"
            }
        ),
        None => format!("table {} has no other way to the client", route.table),
    };
    let mut f = Finding::new(
        Code::AnswerByAnotherDevice,
        format!(
            "the answer leaves by {out}, not by {came} where the request came in, with source {src}{owner}: a router or cloud that checks sources drops it ({why})"
        ),
    );
    if let Some(r) = &rule {
        f.blame(Cause::Route { at: r.origin });
    }
    f.blame(Cause::Route { at: route.at });
    for story in case.stories {
        f.blame_rules(super::path::destination_rules(story));
    }
    f.advise(if asked == case.trace.packet.dst {
        format!("route what this node sends from {src} by {came}: `ip rule add from {src} lookup TABLE`, with a default route by {came} in that table")
    } else {
        format!("mark connections that come in by {came} (`-i {came} -j CONNMARK --set-mark`), restore the mark at the pod's device, and `ip rule add fwmark ... lookup main` before the rules for pods; Amazon VPC CNI does so with AWS_VPC_CNI_NODE_PORT_SUPPORT=true")
    });
    f.advise(format!(
        "or send the client to an address of this node that the route back uses ({out})"
    ));
    Some((Rank::Fails, f))
}

/// Neither a pod's device nor a tunnel nor loopback.
fn to_the_world(node: &Node<'_>, dev: DevId) -> bool {
    let d = node.device(dev);
    !place::leads_to_pods(node, dev)
        && d.tunnel().is_none()
        && !d.is_loopback()
        && !named_tunnel(&d.name)
}

/// Without `ip -d` a tunnel is known by its name.
fn named_tunnel(name: &str) -> bool {
    [
        "flannel",
        "vxlan",
        "tunl",
        "wg",
        "cilium_",
        "tun",
        "tailscale",
        "geneve",
        "ovn-k8s",
        "weave",
    ]
    .iter()
    .any(|p| name.starts_with(p))
}

/// The policy rule that led to the table, where it asks for the source.
fn rule_for<'n>(
    node: &'n Node<'_>,
    route: &RouteStep,
    pod: IpAddr,
    asked: IpAddr,
) -> Option<&'n crate::node::PolicyRule> {
    let fib = node.fib(nfwhy_parsers::Family::of(pod));
    fib.rules.iter().find(|r| {
        let from = r.from.is_some_and(|(a, len)| {
            let net = Masked::prefix(a, len);
            len > 0 && (net.contains(pod) || net.contains(asked))
        });
        let there = match r.action {
            PolicyAction::Lookup(t) => fib.table_name(t) == route.table,
            _ => false,
        };
        from && there
    })
}
