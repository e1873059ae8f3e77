//! What an eBPF datapath that is simulated does to a packet, and who answers the client.

use super::names::{self, endpoint};
use super::{Case, Cause, Code, Finding};
use crate::node::{Node, Origin};
use crate::trace::{Back, Outcome, Packet, Refused, Served, Trace};
use std::net::IpAddr;

/// How the answers of a service go to the client, as a clause of which the answer is the subject; the nodes are those of the backends.
pub fn served_back(packet: &Packet, answer: Back, nodes: &[IpAddr]) -> String {
    let asked = endpoint(packet.dst, packet.dport);
    match answer {
        Back::Direct => format!(
            "leaves {} for the client directly (DSR), with source {asked}: not through this node",
            some(nodes)
        ),
        Back::Tunnel => format!(
            "comes back from {} through the tunnel and leaves this node with source {asked}",
            some(nodes)
        ),
        Back::Here => {
            format!("has the source {asked}, which the eBPF datapath puts back on this node")
        }
    }
}

/// The nodes of the backends whose answers go a way, each once.
pub fn nodes_of(trace: &Trace, answer: Back) -> Vec<IpAddr> {
    let mut list: Vec<IpAddr> = trace
        .outcomes
        .iter()
        .filter_map(|o| o.served)
        .filter(|s| s.answer == answer)
        .filter_map(|s| s.node)
        .collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// What the datapath decided, and that the node sees requests only where it is so.
pub(super) fn findings<'c>(case: &'c Case<'c, '_>) -> impl Iterator<Item = Finding> + 'c {
    [direct(case), decides(case)].into_iter().flatten()
}

pub(super) fn served<'c>(
    case: &'c Case<'c, '_>,
) -> impl Iterator<Item = (&'c Outcome, Served)> + 'c {
    let outcomes = case.trace.outcomes.iter();
    outcomes.filter_map(|o| Some((o, o.served?)))
}

/// Nodes by their addresses, where those are known.
pub(super) fn some(nodes: &[IpAddr]) -> String {
    if nodes.is_empty() {
        return "the backend's node".to_owned();
    }
    let texts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names::list(&texts, 3)
}

fn decides(case: &Case<'_, '_>) -> Option<Finding> {
    if case.node.datapath() == "Cilium" {
        return super::cilium::decides(case);
    }
    let (_, first) = served(case).next()?;
    let packet = &case.trace.packet;
    let asked = endpoint(packet.dst, packet.dport);
    let mut backends: Vec<String> = served(case)
        .filter_map(|(o, _)| o.delivered.map(|d| endpoint(d.dst, d.dport)))
        .collect();
    backends.sort();
    backends.dedup();
    let to = names::list(&backends, 4);
    let tunnelled = nodes_of(case.trace, Back::Tunnel);
    let forwarded = served(case).any(|(_, s)| s.node.is_some());
    let when = if packet.origin == crate::trace::Origin::Local {
        "as the process connects"
    } else {
        "before netfilter"
    };
    let mut title = format!("Calico's eBPF datapath translates {asked} to {to} {when}");
    if forwarded {
        title += " and forwards what is for other nodes in VXLAN with the client's address";
    }
    let sure = nodes_of(case.trace, Back::Direct).is_empty();
    if !tunnelled.is_empty() && sure {
        title += &format!(
            "; answers come back from {} through the tunnel and leave this node",
            some(&tunnelled)
        );
    }
    let mut f = Finding::new(Code::EbpfDecides, title);
    f.blame(Cause::Map { at: first.service });
    if let Some(mode) = case.node.calico.answers()
        && forwarded
    {
        f.blame(Cause::Map { at: mode.at });
    }
    f.advise("rules of kube-proxy in netfilter, if there are any, do not see such packets: see `calico-node -bpf nat dump` and `calico-node -bpf conntrack dump`");
    Some(f)
}

fn direct(case: &Case<'_, '_>) -> Option<Finding> {
    let nodes = nodes_of(case.trace, Back::Direct);
    if case.node.datapath() == "Cilium" {
        return super::cilium::direct(case, &nodes);
    }
    if nodes.is_empty() {
        return None;
    }
    let packet = &case.trace.packet;
    let sure = served(case).all(|(_, s)| s.answer != Back::Tunnel);
    let condition = if sure {
        ""
    } else {
        "if bpfExternalServiceMode is DSR, "
    };
    let mut f = Finding::new(
        Code::EbpfDsr,
        format!(
            "{condition}this node sees only the requests: Calico's eBPF datapath answers the client from {} directly (DSR), with source {}",
            some(&nodes),
            endpoint(packet.dst, packet.dport)
        ),
    );
    if let Some(mode) = case.node.calico.answers() {
        f.blame(Cause::Map { at: mode.at });
    }
    f.advise("count the traffic where the backends are; the answers never pass the node that announces the address");
    f.advise("`bpfExternalServiceMode: Tunnel` in the FelixConfiguration brings them back through this node");
    Some(f)
}

/// The finding for a packet that the datapath refused.
pub(super) fn refused(node: &Node<'_>, packet: &Packet, why: Refused, at: Origin) -> Finding {
    let asked = endpoint(packet.dst, packet.dport);
    let place = node.place(at);
    let whose = node.datapath();
    let (code, title, help) = match why {
        Refused::NoBackend => (
            Code::NoEndpoints,
            format!("{asked} has no backend in {whose}'s eBPF service ({place})"),
            "kubectl get endpointslices: no pod of the Service is ready",
        ),
        Refused::NoLocalBackend => (
            Code::NoLocalEndpoints,
            format!(
                "{asked} has no backend on this node, and {whose}'s eBPF service is to use no other (policy Local, {place})"
            ),
            "send the client to a node that has an endpoint, or set the policy to Cluster",
        ),
        Refused::Source => (
            Code::SourceRanges,
            format!(
                "{} is not among the sources that {whose}'s eBPF service {asked} is for ({place})",
                packet
                    .src
                    .map_or_else(|| "the source".to_owned(), |s| s.to_string())
            ),
            "kubectl get svc -o jsonpath='{.spec.loadBalancerSourceRanges}'",
        ),
        Refused::NoRoute => (
            Code::NoRoute,
            format!("Calico's eBPF routes do not say where the backend is ({place})"),
            "calico-node -bpf routes dump",
        ),
        Refused::Stranger => (
            Code::DroppedByRule,
            format!(
                "{asked} comes in Calico's VXLAN from a node that Calico's routes here do not know as one ({place})"
            ),
            "calico-node -bpf routes dump: each node is there as `remote host`; the address that a node sends from is the one Felix found for it (IP autodetection)",
        ),
        Refused::NoWayBack => (
            Code::RpFilter,
            format!(
                "no route of this node leads back to {}, which Calico's eBPF program asks for (bpfEnforceRPF: Loose, its default)",
                packet
                    .src
                    .map_or_else(|| "the source".to_owned(), |s| s.to_string())
            ),
            "a route to the client, or bpfEnforceRPF: Disabled in the FelixConfiguration",
        ),
        other => match super::cilium::refused(other, &asked, &place) {
            Some(said) => said,
            None => (
                Code::NoRoute,
                format!("the eBPF datapath does not say where the backend is ({place})"),
                "bpftool net",
            ),
        },
    };
    let mut f = Finding::new(code, title);
    f.blame(Cause::Map { at });
    f.advise(help);
    f
}

/// Whether a program at a device is one whose doing is known: of the datapath whose maps were captured.
pub(super) fn is_simulated(case: &Case<'_, '_>, program: &crate::node::Program) -> bool {
    let family = case.trace.packet.family();
    program.is_calicos() && case.node.calico.knows_services(family)
        || program.is_ciliums() && case.node.cilium.knows_services(family)
}
