//! Which node of a cluster answers for an address that none of them has on a device.

use super::{Asked, Place, answer};
use crate::cluster::Cluster;
use crate::node::Node;
use std::net::IpAddr;

/// The one place that answers for an address, by what lies beside the captures: speakers' logs, what arping saw.
pub fn announcer<'a>(cluster: &Cluster<'a>, beside: &Node<'a>, addr: IpAddr) -> Option<usize> {
    let within = |n: &Node<'_>| !n.seen.announcements.is_empty() || !n.seen.replies.is_empty();
    let told = within(beside) || cluster.places.iter().any(|p| within(&p.node));
    if !told || cluster.owner_of(addr).is_some() {
        return None;
    }
    let nodes: Vec<usize> = (0..cluster.places.len())
        .filter(|p| cluster.places[*p].within.is_none())
        .collect();
    let mut places: Vec<Place<'_, '_>> = nodes
        .iter()
        .map(|p| Place {
            name: cluster.places[*p].name,
            node: &cluster.places[*p].node,
        })
        .collect();
    places.push(Place {
        name: "",
        node: beside,
    });
    let asked = Asked {
        addr,
        from: None,
        dev: None,
    };
    let report = answer(&places, &asked);
    let place_of = |name: &str| {
        let node = report.nodes.iter().find(|n| n.name == name)?;
        nodes.get(node.place).copied()
    };
    let mut found: Vec<usize> = Vec::new();
    let by_name = report.answerers.iter().filter_map(|a| a.node.as_deref());
    for p in by_name.filter_map(place_of) {
        if !found.contains(&p) {
            found.push(p);
        }
    }
    if found.is_empty() {
        let seen = report.macs.iter().filter_map(|m| m.owner);
        found.extend(seen.filter_map(|(p, _)| nodes.get(p).copied()));
        found.dedup();
    }
    match found.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}
