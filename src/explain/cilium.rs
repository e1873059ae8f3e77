//! What Cilium's datapath does to the client's address, and who answers the client.

use super::ebpf::{served, some};
use super::names::{self, endpoint};
use super::source::{client, seen, who_sees};
use super::{Case, Cause, Code, Finding};
use crate::node::Node;
use crate::node::cilium::Mode;
use crate::trace::{Back, NatKind, Outcome, Refused};

/// The setting that tells how requests go to other nodes, as a cause.
fn blame_mode(node: &Node<'_>, f: &mut Finding) {
    if let Some((_, at)) = node.cilium.mode() {
        f.blame(Cause::Map { at });
    }
}

fn by_cilium(o: &Outcome) -> bool {
    o.served.is_some() && o.snat.as_ref().is_some_and(|s| s.by == NatKind::Ebpf)
}

/// Whether it was the datapath that put its address in the client's place.
pub(super) fn took_the_source(case: &Case<'_, '_>, members: &[usize]) -> bool {
    let mut list = members.iter().filter_map(|i| case.trace.outcomes.get(*i));
    list.any(by_cilium)
}

/// The client's address is lost to it.
pub(super) fn lost(case: &Case<'_, '_>, members: &[usize]) -> Finding {
    let node = case.node;
    let mode = node.cilium.mode();
    let name = match mode {
        Some((Mode::Hybrid, _)) => "hybrid: only TCP is sent on with the client's",
        Some((Mode::ByService, _)) => "by the Service's annotation",
        _ if !node.cilium.tells_mode() => "is not set, which is snat",
        _ => "snat",
    };
    let head = format!(
        "{} sees {}, not {}",
        who_sees(case, members),
        names::list(&seen(case, members), 3),
        client(case)
    );
    let title = if mode.is_some() {
        format!(
            "{head}: Cilium's eBPF datapath sends requests to other nodes with its own address (bpf-lb-mode {name})"
        )
    } else {
        format!(
            "{head}, if bpf-lb-mode is snat: then Cilium's eBPF datapath sends requests to other nodes with its own address"
        )
    };
    let mut f = Finding::new(Code::ClientIpLost, title);
    blame_mode(node, &mut f);
    for o in members.iter().filter_map(|i| case.trace.outcomes.get(*i)) {
        if let Some(s) = o.served {
            f.blame(Cause::Map { at: s.service });
        }
    }
    if mode.is_none() {
        f.advise("`kubectl -n kube-system get cm cilium-config -o yaml` (bpf-lb-mode) or `cilium-dbg status --verbose` (Mode) settles it");
    }
    f.advise("externalTrafficPolicy: Local: the node that is asked serves by its own pods alone, which see the client");
    f.advise(
        "loadBalancer.mode: dsr (or hybrid, for TCP alone) of Cilium's chart keeps it; the network then has to let nodes answer with the Service's address",
    );
    f
}

/// Why it is kept, as a clause.
pub(super) fn kept(case: &Case<'_, '_>, members: &[usize]) -> Option<String> {
    let outcomes = || members.iter().filter_map(|i| case.trace.outcomes.get(*i));
    if case.node.datapath() != "Cilium" || !outcomes().any(|o| o.served.is_some()) {
        return None;
    }
    let direct = outcomes().any(|o| o.served.is_some_and(|s| s.answer == Back::Direct));
    Some(if direct {
        match case.node.cilium.mode() {
            Some(_) => "Cilium's eBPF datapath sends requests on as they came (DSR)".to_owned(),
            None => "Cilium's eBPF datapath sends requests on as they came, if bpf-lb-mode is dsr"
                .to_owned(),
        }
    } else if outcomes().all(|o| o.snat.is_none()) && !inside(case) {
        "Cilium's eBPF datapath leaves it to pods of this node".to_owned()
    } else {
        "Cilium's eBPF datapath leaves it to clients in the cluster".to_owned()
    })
}

/// Whether the client is in the cluster: a pod, or a process of this node.
fn inside(case: &Case<'_, '_>) -> bool {
    match case.trace.packet.origin {
        crate::trace::Origin::Local => true,
        crate::trace::Origin::Device(d) => case.node.device(d).is_ciliums_pod(),
    }
}

/// What it decided.
pub(super) fn decides(case: &Case<'_, '_>) -> Option<Finding> {
    let (_, first) = served(case).next()?;
    let packet = &case.trace.packet;
    let asked = endpoint(packet.dst, packet.dport);
    let mut backends: Vec<String> = served(case)
        .filter_map(|(o, _)| {
            let d = o.dnat.as_ref()?;
            let port = d.port.map_or(packet.dport, crate::trace::Port::Known);
            Some(endpoint(d.ip?, port))
        })
        .collect();
    backends.sort();
    backends.dedup();
    if backends.is_empty() {
        return None;
    }
    let when = if packet.origin == crate::trace::Origin::Local {
        "as the process connects"
    } else if inside(case) {
        "as the pod connects"
    } else {
        "before netfilter"
    };
    let title = format!(
        "Cilium's eBPF datapath translates {asked} to {} {when}",
        names::list(&backends, 4)
    );
    let mut f = Finding::new(Code::EbpfDecides, title);
    f.blame(Cause::Map { at: first.service });
    if served(case).any(|(o, s)| by_cilium(o) || s.answer == Back::Direct) {
        blame_mode(case.node, &mut f);
    }
    f.advise("rules of kube-proxy in netfilter, if there are any, do not see such packets: see `cilium-dbg bpf lb list` and `cilium-dbg service list` in the agent's pod");
    Some(f)
}

/// The backend's node answers the client.
pub(super) fn direct(case: &Case<'_, '_>, nodes: &[std::net::IpAddr]) -> Option<Finding> {
    served(case).find(|(_, s)| s.answer == Back::Direct)?;
    let packet = &case.trace.packet;
    let sure = case.node.cilium.mode().is_some();
    let condition = if sure { "" } else { "if bpf-lb-mode is dsr, " };
    let title = format!(
        "{condition}this node sees only the requests: Cilium's eBPF datapath has {} answer the client directly (DSR), with source {}",
        some(nodes),
        endpoint(packet.dst, packet.dport)
    );
    let mut f = Finding::new(Code::EbpfDsr, title);
    blame_mode(case.node, &mut f);
    f.advise(
        "count the traffic where the backends are; the answers never pass the node that was asked",
    );
    f.advise("loadBalancer.mode: snat of Cilium's chart brings them back through this node, and the pods then see its address");
    Some(f)
}

/// Refusals that are Cilium's alone: the code, the title and what to do.
pub(super) fn refused(
    why: Refused,
    asked: &str,
    place: &str,
) -> Option<(Code, String, &'static str)> {
    Some(match why {
        Refused::Inside => (
            Code::Unserved,
            format!(
                "{asked} is for clients in the cluster alone: Cilium's eBPF datapath drops what comes from outside ({place})"
            ),
            "ask a node port or the load balancer's address; bpf-lb-external-clusterip: true lets ClusterIPs in from outside",
        ),
        Refused::NoPort => (
            Code::Unserved,
            format!(
                "no Service takes this port at {asked}: Cilium's eBPF datapath drops it ({place})"
            ),
            "kubectl get svc -A",
        ),
        Refused::Elsewhere => (
            Code::NoLocalEndpoints,
            format!("the pod whose host port {asked} is runs on another node ({place})"),
            "ask the node that runs the pod",
        ),
        _ => return None,
    })
}
