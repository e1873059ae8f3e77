//! What stands behind some refusals: rules that refuse all that is left, and addresses that the node takes for its own.

use super::names;
use super::story::rule;
use super::{Code, Finding};
use crate::node::Node;
use crate::trace::{Hit, Packet};

/// A rule without conditions at the end of a chain refuses what is left.
pub(super) fn rest(node: &Node<'_>, hit: Hit) -> &'static str {
    if is_rest(node, hit) {
        ", which refuses all that no rule before it accepts"
    } else {
        ""
    }
}

pub(super) fn is_rest(node: &Node<'_>, hit: Hit) -> bool {
    use nfwhy_parsers::iptables::Match;
    let base = ["INPUT", "FORWARD", "OUTPUT"].contains(&names::chain(node, hit.table, hit.chain));
    base && node.netfilter.nft(hit.table).is_none()
        && rule(node, hit).is_some_and(|r| {
            r.src.is_none()
                && r.dst.is_none()
                && r.iif.is_none()
                && r.oif.is_none()
                && r.proto.is_none()
                && r.matches.iter().all(|m| matches!(m, Match::Comment(_)))
        })
}

/// kubernetes 1.10 ends KUBE-FIRE-WALL with a mark for all that is left, also for load balancers without source ranges
/// (pkg/proxy/ipvs/proxier.go).
pub(super) fn catch_all(node: &Node<'_>, packet: &Packet, by: Hit) -> Option<String> {
    if names::chain(node, by.table, by.chain) != "KUBE-FIRE-WALL" {
        return None;
    }
    let r = rule(node, by)?;
    if r.src.is_some() || r.dst.is_some() || !r.matches.is_empty() {
        return None;
    }
    let ranges = "KUBE-LOAD-BALANCER-SOURCE-CIDR";
    let set = &node.sets.get(ranges)?.set;
    let has = set.record.members.iter().any(|m| {
        m.parts
            .first()
            .is_some_and(|p| matches!(p, nfwhy_parsers::ipset::Part::Net(a, _) if *a == packet.dst))
    });
    Some(if has {
        format!(
            ": of {} only the networks in set {ranges} are admitted",
            packet.dst
        )
    } else {
        format!(
            ": it marks every load balancer address that has no entry in set {ranges}, also {}, whose Service has no source ranges; KUBE-FIREWALL drops it before IPVS is asked",
            packet.dst
        )
    })
}

/// A refusal in INPUT of an address that only kube-ipvs0 holds: the node takes the packet for its own.
pub(super) fn own_address(node: &Node<'_>, packet: &Packet, f: &mut Finding) {
    let Some(d) = node
        .devices
        .iter()
        .find(|d| d.name.starts_with("kube-ipvs") && d.addrs.iter().any(|a| a.local == packet.dst))
    else {
        return;
    };
    let here = format!(
        "{} is on {}, so this node takes packets to it for its own; only ports of Services go on from here",
        packet.dst, d.name
    );
    let gateway = node.fib(packet.family()).tables.values().any(|t| {
        t.iter()
            .any(|r| r.nexthops.iter().any(|n| n.via == Some(packet.dst)))
    });
    if !gateway {
        f.advise(here);
        return;
    }
    f.code = Code::AddressOfAnotherNode;
    f.title = format!(
        "{} is another node's address (a gateway of routes here), but {} holds it as a Service's external IP, so the packet never leaves this node; {}",
        packet.dst, d.name, f.title
    );
    f.help.insert(
        0,
        format!(
            "take {} out of the Service's externalIPs (or load balancer addresses): every node with kube-proxy in IPVS mode now takes that node's packets for its own",
            packet.dst
        ),
    );
}
