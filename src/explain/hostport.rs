//! A published port (hostPort, Docker's `-p`) that takes a Service's packets, or the reverse.

use super::again::without;
use super::names::{self, full_rule};
use super::owners::{self, Owner};
use super::story::{Called, story};
use super::{Case, Code, Finding, Rank};
use crate::node::{Node, TableKind};
use crate::trace::{Hit, NatKind, Outcome, Trace};

/// Programs that publish a container's port on the node.
const PUBLISHERS: &[&str] = &["the portmap plugin", "Docker", "Podman (netavark)"];

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let node = case.node;
    for (o, s) in case.outcomes().take(8) {
        let Some(c) = s.iter().find(|c| !c.outer && c.rewrote_destination()) else {
            continue;
        };
        let Some(who) = owners::of_rule(node, c.hit) else {
            continue;
        };
        if PUBLISHERS.contains(&who.name) {
            return before_service(case, o, c, who).into_iter().collect();
        }
        if who.name == "kube-proxy" && publishes(node) {
            return after_service(case, s, c).into_iter().collect();
        }
    }
    Vec::new()
}

/// Whether the node has chains of a publisher at all: the packet is not simulated again for nothing.
fn publishes(node: &Node<'_>) -> bool {
    node.netfilter
        .tables
        .iter()
        .any(|t| t.kind == TableKind::Nat && t.chain("CNI-HOSTPORT-DNAT").is_some())
}

fn base(c: &Called) -> Hit {
    c.path().next().unwrap_or(c.hit)
}

fn before_service(
    case: &Case<'_, '_>,
    o: &Outcome,
    c: &Called,
    who: Owner,
) -> Option<(Rank, Finding)> {
    let node = case.node;
    let then = without(node, &case.trace.packet, &[base(c)])?;
    let service = service_that_takes(node, &then)?;
    let to = o.dnat.as_ref()?;
    let packet = &case.trace.packet;
    let mut f = Finding::new(
        Code::HostportBeforeService,
        format!(
            "{} ({}) takes {} {} before {service} is asked, and sends it to {}: {} stands first",
            full_rule(node, c.hit),
            who.name,
            packet.proto,
            names::endpoint(packet.dst, packet.dport),
            to.ip.map_or_else(String::new, |ip| names::endpoint(
                ip,
                to.port
                    .map_or(crate::trace::Port::None, crate::trace::Port::Known)
            )),
            full_rule(node, base(c)),
        ),
    );
    f.blame_rules([c.hit]);
    f.blame_rules(c.stack.iter().rev().copied());
    f.advise("KUBE-SERVICES has to stand before it in PREROUTING and OUTPUT: portmap 0.7.5 and later append their rule (containernetworking/plugins#269); with kube-proxy in IPVS mode the rules of KUBE-SERVICES have to accept first");
    f.advise(format!(
        "a pod with hostPort {} runs on this node: give it another hostPort, or the Service another port",
        packet.dport.known().map_or_else(String::new, |p| p.to_string())
    ));
    Some((Rank::Fails, f))
}

/// What takes the packet in a trace, if it is a Service.
fn service_that_takes(node: &Node<'_>, t: &Trace) -> Option<String> {
    t.outcomes.iter().find_map(|o| {
        let d = o.dnat.as_ref()?;
        if d.by == NatKind::Ipvs {
            let at = super::path::ipvs_service(o)?;
            return Some(format!(
                "the virtual service {}",
                super::path::service_name(node, at)
            ));
        }
        let s = story(node, o);
        let c = s.iter().find(|c| !c.outer && c.rewrote_destination())?;
        let kube = owners::of_rule(node, c.hit).is_some_and(|w| w.name == "kube-proxy");
        let hits: Vec<Hit> = c.path().collect();
        kube.then(|| {
            names::service_of(node, &hits)
                .map_or_else(|| "a Service".to_owned(), |s| format!("the Service {s}"))
        })
    })
}

/// kube-proxy takes what a hostPort is for as well: mostly as it should be, worth knowing for who waits at the hostPort.
fn after_service(case: &Case<'_, '_>, s: &[Called], c: &Called) -> Option<(Rank, Finding)> {
    let node = case.node;
    let then = without(node, &case.trace.packet, &[base(c)])?;
    let (other, hit) = then.outcomes.iter().find_map(|o| {
        let s = story(node, o);
        let c = s.iter().find(|c| !c.outer && c.rewrote_destination())?;
        let who = owners::of_rule(node, c.hit)?;
        PUBLISHERS.contains(&who.name).then_some((who, c.hit))
    })?;
    let hits: Vec<Hit> = s.iter().map(|c| c.hit).collect();
    let mut f = Finding::new(
        Code::ServiceBeforeHostport,
        format!(
            "{} would take this port as well ({}), but the Service {}is asked first",
            full_rule(node, hit),
            other.name,
            names::service_of(node, &hits).map_or_else(String::new, |s| format!("{s} ")),
        ),
    );
    f.blame_rules([hit, c.hit]);
    f.advise("the pod with the hostPort gets nothing that is sent to this address");
    Some((Rank::Remark, f))
}
