//! Where a packet goes that has left a place: to another place, by a link or a tunnel, or out of what was captured.

use super::Cluster;
use super::fdb::FarEnd;
use crate::explain::place::to_local_pod;
use crate::node::{DevId, Device};
use crate::sim::{self, CALICO_VXLAN};
use crate::trace::{Envelope, Outcome, Packet, Port, StepKind, Verdict};
use nfwhy_parsers::common::bits;
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// How a packet came to a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// It starts there.
    Start,
    /// Straight over a link.
    Link,
    /// Routers that were not captured lie between.
    Routed {
        /// The first of them.
        via: IpAddr,
    },
    /// Out of a tunnel.
    Tunnel {
        /// `ipip`, `vxlan`, ...
        kind: String,
        /// Outer source, where known.
        src: Option<IpAddr>,
        /// Outer destination, where known.
        dst: Option<IpAddr>,
    },
}

/// What becomes of a packet that has left a place.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// It comes in at another.
    Enters {
        place: usize,
        dev: DevId,
        entry: Entry,
        /// What that rests on.
        assumed: Option<String>,
    },
    /// Calico's program wraps it for that of another, which unwraps it before the kernel there sees it.
    ByCalico {
        place: usize,
        dev: DevId,
        src: IpAddr,
        dst: IpAddr,
    },
    /// It leaves by a tunnel whose outer packet comes in at another place.
    Wrapped(Tunnel),
    /// It reaches a pod of the node.
    Pod,
    /// It leaves what was captured.
    Beyond,
    /// It cannot be told.
    Unknown(String),
}

/// A packet within another.
#[derive(Clone, Debug)]
pub(super) struct Tunnel {
    pub kind: String,
    /// Outer source.
    pub src: Option<IpAddr>,
    /// Outer destination.
    pub dst: IpAddr,
    /// Where it is unwrapped.
    pub place: usize,
    /// The device of the outer packet there.
    pub dev: DevId,
    /// Port of UDP tunnels.
    pub port: Option<u16>,
    /// Destination port of the packet under way, which rules may have changed.
    pub dport: Port,
    /// Their source port: a hash of what is inside, of the range that processes' ports come from (`udp_flow_src_port`).
    pub sport: Port,
    /// VNI.
    pub id: Option<u32>,
    /// What of it does not follow from the packet within.
    pub envelope: Envelope,
    /// Its protocol.
    pub proto: Proto,
    /// Its length.
    pub length: u32,
    /// It has passed the sender's hooks already, within the walk of the packet within.
    pub sent: bool,
}

/// The port of VXLAN where the device does not show it (IANA).
const VXLAN_PORT: u16 = 4789;

impl Cluster<'_> {
    /// Where what left `place` goes.
    pub(super) fn next(&self, place: usize, packet: &Packet, o: &Outcome) -> Next {
        let (Some(p), Verdict::Forwarded, Some(out), Some(seen)) =
            (self.places.get(place), o.verdict, &o.out, &o.delivered)
        else {
            return Next::Beyond;
        };
        let dev = p.node.device(out.dev);
        let wrapped = o.steps.iter().rev().find_map(|s| match &s.kind {
            StepKind::Encapsulated { kind, src, dst } => Some((kind.clone(), *src, *dst)),
            _ => None,
        });
        if let Some((kind, src, dst)) = wrapped {
            if kind == CALICO_VXLAN {
                return self.by_calico(place, src, dst);
            }
            let mut next = self.wrapped(place, kind, (src, dst), dev, None, (packet, o));
            if let Next::Wrapped(t) = &mut next {
                // What eBPF programs wrap passes no hooks.
                let by_device = matches!(t.kind.as_str(), "ipip" | "sit" | "gre" | "ip6tnl");
                t.sent = o.envelope.is_some() || !by_device;
            }
            return next;
        }
        let hop = out.via.unwrap_or(seen.dst);
        match dev.tunnel() {
            Some("vxlan") => match self.far_end(place, dev, out.dev, hop) {
                FarEnd::At { addr, port, how } => {
                    let port = port.or(dev.info.dstport).unwrap_or(VXLAN_PORT);
                    let local = dev.info.local.filter(|l| !l.is_unspecified());
                    let ends = (local, addr);
                    match self.wrapped(place, "vxlan".into(), ends, dev, Some(port), (packet, o)) {
                        Next::Unknown(why) => Next::Unknown(format!("{why} ({how})")),
                        other => other,
                    }
                }
                FarEnd::Unknown(why) => Next::Unknown(why),
            },
            Some(kind) => self.by_other_tunnel(place, kind, dev, seen.dst),
            None => self.by_link(place, out.dev, hop, seen.dst, to_local_pod(&p.node, out)),
        }
    }

    /// Calico's own VXLAN: its program at the other node's device takes the packet out before anything of the kernel there sees it.
    fn by_calico(&self, place: usize, src: Option<IpAddr>, dst: IpAddr) -> Next {
        let Some(src) = src else {
            return Next::Unknown(format!(
                "this node's own address is not in Calico's routes, so who sends the {CALICO_VXLAN} packet to {dst} is not known"
            ));
        };
        match self.owner_of(dst).filter(|o| o.place != place) {
            Some(o) => Next::ByCalico {
                place: o.place,
                dev: self.arrival(o.place, o.dev, src),
                src,
                dst,
            },
            None => Next::Unknown(format!(
                "it goes to {dst} in Calico's own VXLAN, and no captured node has that address"
            )),
        }
    }

    /// A tunnel packet on its way between two ends, with a packet within that left as it did.
    fn wrapped(
        &self,
        place: usize,
        kind: String,
        (src, dst): (Option<IpAddr>, IpAddr),
        dev: &Device,
        port: Option<u16>,
        (inner, o): (&Packet, &Outcome),
    ) -> Next {
        let Some(owner) = self.owner_of(dst).filter(|o| o.place != place) else {
            return Next::Unknown(format!(
                "the {kind} packet goes to {dst}, which no other captured node has"
            ));
        };
        let dev_in = src.map_or(owner.dev, |src| self.arrival(owner.place, owner.dev, src));
        let made = sim::envelope(dev, &kind, o.tos, o.ttl);
        let proto = match port {
            Some(_) => Proto::UDP,
            None => sim::protocol(&kind, Family::of(inner.dst)),
        };
        let length = inner
            .length
            .saturating_add(sim::around(dev, &kind, Family::of(dst)));
        Next::Wrapped(Tunnel {
            envelope: o.envelope.unwrap_or(made),
            proto,
            length,
            sent: false,
            kind,
            src,
            dst,
            place: owner.place,
            dev: dev_in,
            port,
            dport: port.map_or(Port::None, Port::Known),
            sport: port.map_or(Port::None, |_| Port::Ephemeral),
            id: dev.info.id,
        })
    }

    /// Tunnels of which no more is followed than that they end at the destination's node.
    fn by_other_tunnel(&self, place: usize, kind: &str, dev: &Device, dst: IpAddr) -> Next {
        let owner = self
            .owner_of(dst)
            .or_else(|| self.node_of_pod(dst))
            .filter(|o| o.place != place);
        let far = owner.and_then(|o| {
            let node = &self.places.get(o.place)?.node;
            let dev = node
                .device_ids()
                .find(|d| node.device(*d).tunnel() == Some(kind))?;
            Some((o.place, dev))
        });
        match far {
            Some((place, dev_in)) => Next::Enters {
                place,
                dev: dev_in,
                entry: Entry::Tunnel {
                    kind: kind.to_owned(),
                    src: None,
                    dst: None,
                },
                assumed: Some(format!(
                    "{} leads to {}, which has {dst}; the {kind} packet around it is not followed",
                    dev.name,
                    self.name(place)
                )),
            },
            None => Next::Unknown(format!(
                "{} is of kind {kind}, and no other captured node with such a device has {dst}",
                dev.name
            )),
        }
    }

    fn by_link(&self, place: usize, out: DevId, hop: IpAddr, dst: IpAddr, pod: bool) -> Next {
        let Some(p) = self.places.get(place) else {
            return Next::Beyond;
        };
        let own = |family: Family| {
            p.node
                .device(out)
                .addrs
                .iter()
                .map(|a| a.local)
                .find(|a| Family::of(*a) == family)
        };
        let straight = self.owner_of(hop).filter(|o| o.place != place);
        if let Some(o) = straight {
            let dev = own(Family::of(hop)).map_or(o.dev, |from| self.arrival(o.place, o.dev, from));
            return Next::Enters {
                place: o.place,
                dev,
                entry: Entry::Link,
                assumed: None,
            };
        }
        // Out of a pod's namespace: Calico's gateway 169.254.1.1 is nobody's address.
        if let Some(host) = p.within
            && let Some(own) = own(Family::of(dst))
            && let sim::WayBack::Device(dev) = sim::way_back(&self.places[host].node, own, dst)
        {
            return Next::Enters {
                place: host,
                dev,
                entry: Entry::Link,
                assumed: None,
            };
        }
        if pod {
            return Next::Pod;
        }
        let far = self
            .owner_of(dst)
            .or_else(|| self.node_of_pod(dst))
            .filter(|o| o.place != place);
        let Some(o) = far else {
            return Next::Beyond;
        };
        // A router's way ends where the other node's own way back to it begins.
        let from = own(Family::of(dst)).unwrap_or(hop);
        let dev = match sim::way_back(&self.places[o.place].node, from, dst) {
            sim::WayBack::Device(d) => d,
            _ => o.dev,
        };
        Next::Enters {
            place: o.place,
            dev,
            entry: Entry::Routed { via: hop },
            assumed: Some(format!(
                "{hop} hands packets for {dst} to {}",
                self.name(o.place)
            )),
        }
    }

    /// The device by which something from `from` comes in that was sent to an address of `dev`: the one on the sender's subnet.
    fn arrival(&self, place: usize, dev: DevId, from: IpAddr) -> DevId {
        let Some(p) = self.places.get(place) else {
            return dev;
        };
        let on = |d: DevId| {
            p.node.device(d).addrs.iter().any(|a| {
                let family = Family::of(a.local);
                let drop = u32::from(family.bits().saturating_sub(a.prefix_len));
                family == Family::of(from)
                    && a.prefix_len < family.bits()
                    && drop < 128
                    && bits(a.local) >> drop == bits(from) >> drop
            })
        };
        if on(dev) {
            return dev;
        }
        p.node.device_ids().find(|d| on(*d)).unwrap_or(dev)
    }

    /// The device that unwraps a tunnel's packet: `ip_tunnel_lookup` (`net/ipv4/ip_tunnel.c`) asks for both ends, the remote one, the local
    /// one, and then takes the device that names neither; VXLAN goes by its id.
    pub(super) fn unwraps(&self, t: &Tunnel) -> Option<DevId> {
        let node = &self.places.get(t.place)?.node;
        let named = |a: Option<IpAddr>| a.filter(|a| !a.is_unspecified());
        let fits = |d: &Device| {
            let (local, remote) = (named(d.info.local), named(d.info.remote));
            if d.is_up() == Some(false) || d.tunnel() != Some(t.kind.as_str()) {
                return None;
            }
            if t.kind == "vxlan" {
                return (d.info.id == t.id || d.info.external).then_some(0);
            }
            match (local, remote) {
                (Some(l), Some(r)) => (l == t.dst && Some(r) == t.src).then_some(0),
                (None, Some(r)) => (Some(r) == t.src).then_some(1),
                (Some(l), None) => (l == t.dst).then_some(2),
                (None, None) => Some(3),
            }
        };
        node.device_ids()
            .filter_map(|d| Some((fits(node.device(d))?, d)))
            .min_by_key(|(rank, d)| (*rank, d.0))
            .map(|(_, d)| d)
    }
}
