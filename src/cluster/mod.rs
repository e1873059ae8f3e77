//! Several nodes: who of them has which address, and a packet's way from one to the next, there and back.

mod ebpf;
mod fdb;
mod findings;
mod journey;
mod next;
mod observed;
mod start;
mod walk;

pub use findings::Found;
pub use journey::{Back, Journey};
pub use next::Entry;
pub use walk::{End, Hop, Memory, Way};

use crate::capture::cluster::{Captures, Member};
use crate::node::{DevId, Node};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::route::RouteType;
use std::net::IpAddr;

/// A node of the cluster, or a pod's namespace on one.
#[derive(Debug)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// Index of the node whose pod's namespace this is.
    pub within: Option<usize>,
    /// Its state.
    pub node: Node<'a>,
    /// Its captures.
    pub member: &'a Member,
}

/// All nodes, in the order of their captures.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Nodes and namespaces within them.
    pub places: Vec<Place<'a>>,
    /// Places that were found to answer for an address, though no device of theirs has it.
    pub announced: Vec<(IpAddr, usize)>,
}

/// An address at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Index of the place.
    pub place: usize,
    /// The device that has it.
    pub dev: DevId,
}

/// Devices that hold addresses for the sake of routes alone: every node of a cluster may have the same there.
fn is_for_show(node: &Node<'_>, dev: DevId) -> bool {
    let d = node.device(dev);
    d.is_loopback()
        || d.kind.as_deref() == Some("dummy")
        || matches!(d.name.as_str(), "kube-ipvs0" | "nodelocaldns")
}

impl<'a> Cluster<'a> {
    /// Builds every node.
    pub fn new(captures: &'a Captures) -> Self {
        let places = captures.members.iter().map(|member| Place {
            name: &member.name,
            within: member.within,
            node: Node::new(&member.snapshot),
            member,
        });
        Self {
            places: places.collect(),
            announced: Vec::new(),
        }
    }

    /// The place of a name.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|p| p.name == name)
    }

    /// The place that was found to answer for an address.
    pub fn announcer(&self, ip: IpAddr) -> Option<usize> {
        self.announced
            .iter()
            .find(|(a, _)| *a == ip)
            .map(|(_, p)| *p)
    }

    /// The name of a place.
    pub fn name(&self, place: usize) -> &'a str {
        self.places.get(place).map_or("", |p| p.name)
    }

    /// All that have the address on a device; those which many nodes have alike, on `kube-ipvs0` or a dummy, come last.
    pub fn holders(&self, ip: IpAddr) -> Vec<Owner> {
        let mut list: Vec<(bool, Owner)> = Vec::new();
        for (place, p) in self.places.iter().enumerate() {
            for dev in p.node.device_ids() {
                if p.node.device(dev).addrs.iter().any(|a| a.local == ip) {
                    list.push((is_for_show(&p.node, dev), Owner { place, dev }));
                }
            }
        }
        list.sort_by_key(|(show, o)| (*show, o.place));
        list.into_iter().map(|(_, o)| o).collect()
    }

    /// The one place that has the address on a device that carries packets.
    pub fn owner_of(&self, ip: IpAddr) -> Option<Owner> {
        let mut real = self
            .holders(ip)
            .into_iter()
            .filter(|o| !is_for_show(&self.places[o.place].node, o.dev));
        let first = real.next()?;
        real.all(|o| o.place == first.place).then_some(first)
    }

    /// The node whose pod has the address: the one with a route of that address alone to a device, without gateway.
    pub fn node_of_pod(&self, ip: IpAddr) -> Option<Owner> {
        let full = Family::of(ip).bits();
        let mut found = None;
        for (place, p) in self.places.iter().enumerate() {
            let routes = p
                .node
                .fib(Family::of(ip))
                .tables
                .values()
                .flat_map(|t| t.candidates(ip).flatten());
            for r in routes {
                let Some(hop) = r.nexthops.first() else {
                    continue;
                };
                if r.dst_len != full || hop.via.is_some() || r.ty != RouteType::Unicast {
                    continue;
                }
                let owner = Owner {
                    place,
                    dev: hop.dev,
                };
                match found {
                    Some(Owner { place: other, .. }) if other != place => return None,
                    _ => found = Some(owner),
                }
            }
        }
        found
    }

    /// The link with a hardware address. Calico's veths all have one and the same; that is nobody's.
    pub fn link_of_mac(&self, mac: &str) -> Option<Owner> {
        let mac = mac.to_ascii_lowercase();
        let mut found = None;
        for (place, p) in self.places.iter().enumerate() {
            for dev in p.node.device_ids() {
                let d = p.node.device(dev);
                let same = d
                    .mac
                    .as_deref()
                    .is_some_and(|m| m.eq_ignore_ascii_case(&mac));
                // Ports of a bond or bridge, and VLANs, bear their master's or parent's.
                if !same || d.is_loopback() {
                    continue;
                }
                match found {
                    None => found = Some(Owner { place, dev }),
                    Some(Owner { place: other, .. }) if other == place => {}
                    Some(_) => return None,
                }
            }
        }
        found
    }
}
