//! Pods that pass on what they get: k3s' servicelb and other proxies behind a hostPort. What they do is decided in their own namespace.

use super::Case;
use super::names::{endpoint, full_rule};
use super::owners;
use crate::node::{Forwarding, Node, TableKind};
use crate::trace::{Effect, Hit, NatKind, Outcome, Port, StepKind};
use nfwhy_parsers::iptables::Target;
use std::net::IpAddr;

/// What there is to say of a packet that keeps its source, beyond that.
pub(super) fn clause(case: &Case<'_, '_>, members: &[usize]) -> Option<String> {
    let node = case.node;
    let i = *members.first()?;
    let story = case.stories.get(i)?;
    let o = case.trace.outcomes.get(i)?;
    if let Some((how, server)) = direct(node, o) {
        return Some(format!(
            "IPVS hands it on untranslated ({how}) to {server}, which answers the client itself with source {} (direct server return)",
            case.trace.packet.dst
        ));
    }
    let c = story.iter().find(|c| !c.outer && c.rewrote_destination())?;
    let owner = owners::of_rule(node, c.hit)?;
    if owner.name == "the portmap plugin" {
        let to = o.dnat.as_ref()?;
        let to = endpoint(to.ip?, to.port.map_or(Port::None, Port::Known));
        return Some(format!(
            "{} (hostPort) hands it to the pod {to}, and what that pod's own network namespace does with it is not in this capture",
            full_rule(node, c.hit)
        ));
    }
    if let Effect::Nat {
        kind: NatKind::Redirect | NatKind::Tproxy,
        to,
    } = &c.effect
    {
        let own = if owner.name == "Istio" {
            " (127.0.0.6 with Istio's REDIRECT)"
        } else {
            ""
        };
        return Some(format!(
            "{} ({}) redirects it to port {}, where a proxy opens a connection of its own: the program behind it sees the proxy's address{own}",
            full_rule(node, c.hit),
            owner.name,
            to.dport.known().map_or_else(String::new, |p| p.to_string()),
        ));
    }
    let src = case.trace.packet.src?;
    let hit = behind_host_port(node, src)?;
    Some(format!(
        "but {src} is itself the pod behind a hostPort ({}): of what it passes on for others, the client's address was lost in its own namespace",
        full_rule(node, hit)
    ))
}

/// What has to be so for a direct return to work, where IPVS hands a packet on that way.
pub(super) fn conditions(case: &Case<'_, '_>, members: &[usize]) -> Option<String> {
    let o = case.trace.outcomes.get(*members.first()?)?;
    let (_, server) = direct(case.node, o)?;
    Some(format!(
        "{server} has to hold {} itself (on a tunnel device or lo, without answering ARP for it, rp_filter 0 or 2), and the network has to let its node send with that source; otherwise forward by NAT",
        case.trace.packet.dst
    ))
}

/// A real server that is not reached by translation.
fn direct(node: &Node<'_>, o: &Outcome) -> Option<(&'static str, IpAddr)> {
    let (service, server) = o.steps.iter().find_map(|s| match s.kind {
        StepKind::Ipvs {
            service, server, ..
        } => Some((service, server)),
        _ => None,
    })?;
    let r = node.ipvs.services.get(service)?.servers.get(server)?;
    match r.method {
        Forwarding::Tunnel => Some(("by a tunnel", r.addr)),
        Forwarding::Route => Some(("by its hardware address", r.addr)),
        _ => None,
    }
}

/// The portmap rule that sends a hostPort to this address.
fn behind_host_port(node: &Node<'_>, addr: IpAddr) -> Option<Hit> {
    let tables = node.netfilter.tables.iter().enumerate();
    for (table, t) in tables.filter(|(_, t)| t.kind == TableKind::Nat) {
        for chain in t.chain_ids() {
            if !super::names::chain(node, table, chain).starts_with("CNI-DN-") {
                continue;
            }
            let to = |r: &nfwhy_parsers::iptables::Rule<'_>| matches!(&r.target, Target::Dnat(n) if n.addrs.is_some_and(|a| a.lo == addr));
            if let Some(rule) = t.rules(chain).iter().position(to) {
                return Some(Hit { table, chain, rule });
            }
        }
    }
    None
}
