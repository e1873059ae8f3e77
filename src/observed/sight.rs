//! Packets of a node's captures, and whether they fit a point of the way.

use super::Sight;
use super::passage::{Point, ports};
use crate::node::{DevId, Node, Traffic};
use crate::trace::{Port, View};
use nfwhy_parsers::Proto;
use nfwhy_parsers::iproute::link::Peer;
use nfwhy_parsers::tcpdump::{Packet, Way, What};

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'n> {
    pub of: &'n Traffic,
    pub packet: &'n Packet,
    /// The name of its device, where that is shown.
    pub dev: Option<&'n str>,
    /// The device, where the node has it.
    pub id: Option<DevId>,
}

impl Seen<'_> {
    pub fn sight(&self) -> Sight {
        Sight {
            at: self.of.origin(self.packet),
            time: self.packet.time,
            binary: self.of.binary,
        }
    }

    /// Whether it went out; `None` where that is not shown.
    pub fn out(&self) -> Option<bool> {
        self.packet.way.map(|w| w == Way::Out)
    }

    /// As the outermost packet of the node's own namespace.
    pub fn plain(&self) -> bool {
        self.packet.depth == 0 && !self.of.is_elsewhere()
    }
}

/// All of a node's.
pub(super) struct Captures<'n, 'a> {
    pub node: &'n Node<'a>,
    pub all: Vec<Seen<'n>>,
    /// Devices that pass packets to each other below IP: each has the least of its family.
    family: Vec<usize>,
}

impl<'n, 'a> Captures<'n, 'a> {
    pub fn new(node: &'n Node<'a>) -> Self {
        let mut all = Vec::new();
        for of in &node.traffic {
            for packet in &of.section.packets {
                let dev = of.dev_name(node, packet).filter(|_| !of.is_elsewhere());
                all.push(Seen {
                    of,
                    packet,
                    dev,
                    id: dev.and_then(|d| node.device_by_name(d)),
                });
            }
        }
        Self {
            node,
            all,
            family: families(node),
        }
    }

    pub fn count(&self) -> usize {
        self.all.iter().filter(|s| s.packet.depth == 0).count()
    }

    /// The packets that were seen at a point.
    pub fn at<'s>(&'s self, point: &'s Point) -> impl Iterator<Item = usize> + 's {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, s)| self.agrees(point, s))
            .map(|(i, _)| i)
    }

    /// Whether a packet agrees with a point, as far as it shows.
    pub fn agrees(&self, point: &Point, s: &Seen<'_>) -> bool {
        if !fits(point, s.packet) {
            return false;
        }
        // In a pod's namespace it has another device and the other way.
        if s.of.is_elsewhere() {
            return s.packet.depth == 0 && point.out != point.reply;
        }
        let way = s.out().is_none_or(|out| out == point.out);
        // Within a tunnel's packet it is at the device below the tunnel's.
        if s.packet.depth > 0 {
            return way && self.node.device(point.dev).tunnel().is_some();
        }
        way && self.device_agrees(point.dev, s)
    }

    /// Whether a packet was seen at a device or at one that passes packets to it, as far as it shows.
    pub fn device_agrees(&self, dev: DevId, s: &Seen<'_>) -> bool {
        match (s.dev, s.id) {
            (None, _) => true,
            (Some(_), Some(id)) => self.related(dev, id),
            (Some(name), None) => self.node.device(dev).name == name,
        }
    }

    pub fn related(&self, a: DevId, b: DevId) -> bool {
        let of = |d: DevId| self.family.get(usize::from(d.0));
        a == b || of(a).is_some() && of(a) == of(b)
    }
}

/// Bridges, bonds and their ports, VLANs and their parents, both ends of a veth: a packet is seen at several of them.
fn families(node: &Node<'_>) -> Vec<usize> {
    let mut family: Vec<usize> = (0..node.devices.len()).collect();
    let mut join = |a: usize, b: usize| {
        let (Some(x), Some(y)) = (family.get(a).copied(), family.get(b).copied()) else {
            return;
        };
        let (low, high) = (x.min(y), x.max(y));
        for f in family.iter_mut().filter(|f| **f == high) {
            *f = low;
        }
    };
    for (i, d) in node.devices.iter().enumerate() {
        // A tunnel's packets are others than those of the device below it, and a VRF's ports are apart.
        if d.tunnel().is_some() {
            continue;
        }
        if let Some(m) = d.master
            && !node.device(m).is_vrf()
        {
            join(i, usize::from(m.0));
        }
        if let Peer::Name(n) = &d.peer
            && let Some(p) = node.device_by_name(n)
        {
            join(i, usize::from(p.0));
        }
    }
    family
}

/// Whether a port can be a known one.
pub(super) fn port_fits(p: Port, seen: Option<u16>) -> bool {
    match (ports(p), seen) {
        (Some((lo, hi)), Some(n)) => (lo..=hi).contains(&n),
        // A port that is not shown, or none.
        (_, None) | (None, _) => true,
    }
}

fn proto_fits(proto: Proto, p: &Packet) -> bool {
    p.proto == Some(proto)
}

/// Whether a packet looks as it would at a point.
pub(super) fn fits(point: &Point, p: &Packet) -> bool {
    let echo = match p.what {
        What::Error { .. } => false,
        What::Echo { reply, .. } => reply == point.echo_reply,
        _ => true,
    };
    echo && looks(&point.view, p)
}

/// Whether a packet has a view's addresses and ports.
pub(super) fn looks(v: &View, p: &Packet) -> bool {
    proto_fits(v.proto, p)
        && v.dst == p.dst
        && v.src.is_none_or(|s| s == p.src)
        && port_fits(v.sport, p.sport)
        && port_fits(v.dport, p.dport)
}
