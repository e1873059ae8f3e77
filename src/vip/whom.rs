//! Whose the address is, who asks for it, and whose a hardware address is.

use super::{Answerer, At, Holder, MacSeen, OfNode, OfService, Place, RouteSeen};
use crate::node::kube::{Kube, addresses};
use crate::node::{DevId, Node};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::{Masked, bits};
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::kube::{Service, ServiceType};
use std::net::{IpAddr, Ipv4Addr};

/// A node's name in Kubernetes, or else that of its captures.
pub(super) fn node_name(p: &Place<'_, '_>) -> String {
    match &p.node.kube.this_node {
        Some(n) => n.clone(),
        None if p.name.is_empty() => "this node".to_owned(),
        None => p.name.to_owned(),
    }
}

/// The Service of an address, of the first place that knows one.
pub(super) fn service(places: &[Place<'_, '_>], addr: IpAddr) -> Option<OfService> {
    places.iter().enumerate().find_map(|(place, p)| {
        let kube = &p.node.kube;
        let of = kube.service_with(addr)?;
        let s = &of.object;
        let (_, kind) = addresses(s).find(|(a, _)| *a == addr)?;
        let at = At {
            place,
            origin: of.at(&s.meta),
        };
        let mut policy_at = at;
        if s.external_policy_line > 0 {
            policy_at.origin.line = s.external_policy_line;
        }
        Some(OfService {
            name: s.meta.full(),
            kind,
            policy: s
                .external_policy
                .filter(|_| !matches!(s.kind, ServiceType::ClusterIp)),
            at,
            policy_at,
            endpoints: endpoints(kube, s),
        })
    })
}

/// Ready endpoints by node.
fn endpoints(kube: &Kube, s: &Service) -> Option<Vec<(String, usize)>> {
    let mut seen: Vec<IpAddr> = Vec::new();
    let mut out: Vec<(String, usize)> = Vec::new();
    let mut known = false;
    let mut add = |ip: IpAddr, node: String| {
        if seen.contains(&ip) {
            return;
        }
        seen.push(ip);
        match out.iter_mut().find(|(n, _)| *n == node) {
            Some((_, count)) => *count += 1,
            None => out.push((node, 1)),
        }
    };
    for port in &s.ports {
        let Some(list) = kube.backends(s, port) else {
            continue;
        };
        known = true;
        for b in list.into_iter().filter(|b| b.ready) {
            // An endpoint whose node is not named may be anywhere.
            add(b.ip, b.node?);
        }
    }
    if !known {
        // Without slices: the pods that the selector selects.
        let mut pods = kube.selected(s).map(|p| &p.object).peekable();
        pods.peek()?;
        for p in pods {
            add(*p.ips.first()?, p.node.clone()?);
        }
    }
    Some(out)
}

/// Somebody who may ask at the device: in the subnet of the address, else in the first one, else the host behind a route of its own.
pub(super) fn asker(node: &Node<'_>, dev: DevId, target: IpAddr) -> Option<IpAddr> {
    let IpAddr::V4(target4) = target else {
        return None;
    };
    let d = node.device(dev);
    let fits = |a: &&crate::node::Addr| a.local.is_ipv4() && a.prefix_len < 31;
    let near = |a: &&crate::node::Addr| Masked::prefix(a.peer, a.prefix_len).contains(target);
    let subnet = d
        .addrs
        .iter()
        .filter(fits)
        .find(near)
        .or_else(|| d.addrs.iter().find(fits));
    let routes = || {
        node.fib4
            .tables
            .values()
            .flat_map(crate::node::FibTable::iter)
            .filter(|r| r.ty == RouteType::Unicast)
            .flat_map(|r| r.nexthops.iter().map(move |n| (r, n)))
            .filter(|(_, n)| n.dev == dev)
    };
    if let Some(a) = subnet {
        let inside = |ip: IpAddr| Masked::prefix(a.peer, a.prefix_len).contains(ip);
        let gateway = routes()
            .filter_map(|(_, n)| n.via)
            .filter(|via| inside(*via) && *via != target)
            .min();
        return gateway.or_else(|| free_host(node, a.peer, a.prefix_len, target4));
    }
    let gateway = routes().filter_map(|(_, n)| n.via).min();
    gateway.or_else(|| {
        routes()
            .filter(|(r, n)| n.via.is_none() && r.dst_len > 0)
            .map(|(r, _)| r.dst)
            .filter(|dst| *dst != target)
            .min()
    })
}

/// An address of the subnet that the node does not have itself.
fn free_host(node: &Node<'_>, net: IpAddr, len: u8, target: Ipv4Addr) -> Option<IpAddr> {
    let size = 1u32.checked_shl(32 - u32::from(len))?;
    let base = u32::try_from(bits(net)).ok()? & !(size - 1);
    (1..size - 1).rev().take(256).find_map(|i| {
        let ip = Ipv4Addr::from_bits(base + i);
        (ip != target && !node.has_own(IpAddr::V4(ip))).then_some(IpAddr::V4(ip))
    })
}

/// Hardware addresses that were seen to have the address.
pub(super) fn macs(places: &[Place<'_, '_>], addr: IpAddr) -> Vec<MacSeen> {
    let mut out: Vec<MacSeen> = Vec::new();
    let mut add = |m: MacSeen| {
        let again = |o: &MacSeen| o.mac == m.mac && o.by == m.by && o.at.place == m.at.place;
        if !out.iter().any(again) {
            out.push(m);
        }
    };
    for (place, p) in places.iter().enumerate() {
        let at = |origin| At { place, origin };
        for r in p.node.seen.replies.iter().filter(|r| r.addr == addr) {
            add(MacSeen {
                owner: r.mac.as_deref().and_then(|m| link_of(places, m)),
                mac: r.mac.clone(),
                by: "arping",
                at: at(r.origin),
            });
        }
        let entries = p.node.neighbours.iter();
        for n in entries.filter(|n| n.addr == addr && !n.proxy) {
            let Some(mac) = &n.mac else { continue };
            let mac = mac.to_ascii_lowercase();
            add(MacSeen {
                owner: link_of(places, &mac),
                mac: Some(mac),
                by: "ip neigh",
                at: at(n.origin),
            });
        }
    }
    out
}

/// The one node with a link of that hardware address; of its devices the one with addresses. A bond, its ports and its VLANs share one.
fn link_of(places: &[Place<'_, '_>], mac: &str) -> Option<(usize, DevId)> {
    let mut found: Option<(usize, DevId)> = None;
    for (i, p) in places.iter().enumerate() {
        for id in p.node.device_ids() {
            let d = p.node.device(id);
            let same = d
                .mac
                .as_deref()
                .is_some_and(|m| m.eq_ignore_ascii_case(mac));
            if !same || d.is_loopback() {
                continue;
            }
            match found {
                Some((other, _)) if other != i => return None,
                Some((_, before)) if !p.node.device(before).addrs.is_empty() => {}
                _ => found = Some((i, id)),
            }
        }
    }
    found
}

/// Routes of the address alone to other hosts, as a router has them of speakers that announce by BGP.
pub(super) fn routes(places: &[Place<'_, '_>], addr: IpAddr) -> Vec<RouteSeen> {
    let owner = |ip: IpAddr| {
        let p = places.iter().find(|p| p.node.has_own(ip))?;
        Some(node_name(p))
    };
    let mut out = Vec::new();
    for (place, p) in places.iter().enumerate() {
        let tables = p.node.fib(Family::of(addr)).tables.values();
        for r in tables.flat_map(|t| t.candidates(addr).flatten()) {
            let hops: Vec<(IpAddr, Option<String>)> = r
                .nexthops
                .iter()
                .filter_map(|n| n.via)
                .map(|via| (via, owner(via)))
                .collect();
            let alone = r.dst_len == Family::of(addr).bits() && r.ty == RouteType::Unicast;
            if alone && !hops.is_empty() {
                out.push(RouteSeen {
                    at: At {
                        place,
                        origin: r.origin,
                    },
                    hops,
                });
            }
        }
    }
    out
}

/// All that answer: speakers that hold the address by layer 2, and nodes whose kernel answers.
pub(super) fn answerers(
    places: &[Place<'_, '_>],
    nodes: &[OfNode],
    holders: &[Holder],
) -> Vec<Answerer> {
    let mut out: Vec<Answerer> = holders
        .iter()
        .rev()
        .filter(|h| h.is_layer2() && !h.overtaken)
        .map(|h| Answerer {
            node: h.node.clone(),
            pod: h.pod.clone(),
            dev: None,
            since: Some(h.since.clone()),
        })
        .collect();
    for n in nodes {
        let dev = n.outside().find(|d| d.answers() == Some(true));
        let Some(dev) = dev else { continue };
        let name = places[n.place].node.device(dev.dev).name.clone();
        match out.iter_mut().find(|a| a.node.as_ref() == Some(&n.name)) {
            Some(a) => a.dev = Some(name),
            None => out.push(Answerer {
                node: Some(n.name.clone()),
                pod: None,
                dev: Some(name),
                since: None,
            }),
        }
    }
    out
}

/// Whether some node has the address on a device for others than the node itself: not kube-proxy's, not lo, no dummy.
pub(super) fn real_holder<'r>(places: &[Place<'_, '_>], nodes: &'r [OfNode]) -> Option<&'r OfNode> {
    nodes.iter().find(|n| {
        n.has.is_some_and(|(dev, _)| {
            let d = places[n.place].node.device(dev);
            !d.is_loopback()
                && d.kind.as_deref() != Some("dummy")
                && !d.name.starts_with("kube-")
                && !d.name.starts_with("nodelocaldns")
        })
    })
}

/// Whether the family of an address has ARP.
pub(super) fn protocol(addr: IpAddr) -> &'static str {
    match Family::of(addr) {
        Family::V4 => "ARP",
        Family::V6 => "neighbour discovery",
    }
}
