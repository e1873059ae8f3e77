//! Packets: from outside, from pods, from other nodes' pods, from the node itself.

use std::net::IpAddr;

use super::frame::{ICMP, ICMPV6, TCP, UDP, Wire};
use super::places::{Places, UPLINK};
use super::prng::Prng;
use super::record::Seen;
use super::services::{Marked, Service};

/// Packets of a scenario.
const COUNT: usize = 12;

/// Where a packet comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// A device, by its index.
    Device(usize),
    /// By tunl0, wrapped by this node.
    Tunnel(IpAddr),
    /// A process of the node.
    Local {
        /// `SO_MARK`.
        mark: u32,
        /// Bound to the packet's source.
        bound: bool,
    },
}

/// A packet to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Where from.
    pub from: From,
    /// What.
    pub wire: Wire,
}

/// A destination: address, port, UDP.
type Target = (IpAddr, u16, bool);

fn targets(services: &[Service], marked: Option<&Marked>, p: &Places) -> Vec<Target> {
    let mut out = Vec::new();
    for s in services {
        out.push((s.cluster, s.port, s.udp));
        out.push((s.cluster, s.port, s.udp));
        for a in s.balancer.into_iter().chain(s.external) {
            out.push((a, s.port, s.udp));
            out.push((a, s.port, s.udp));
        }
        if let Some(n) = s.node_port {
            out.push((p.node[0], n, s.udp));
            out.push((p.node[1], n, s.udp));
        }
    }
    if let Some(m) = marked {
        out.extend([(m.addr, m.port, false); 3]);
    }
    out
}

fn source(r: &mut Prng, p: &Places, tunnel: bool) -> (From, IpAddr) {
    let far = r.below(2);
    match r.below(20) {
        0..=4 => (From::Device(UPLINK), p.clients[0]),
        5 => (From::Device(UPLINK), p.clients[1]),
        6 => (From::Device(0), p.clients[2]),
        7 => (From::Device(0), p.clients[0]),
        8..=10 => (From::Device(2), p.pods[0]),
        11 | 12 => (From::Device(3), p.pods[1]),
        13 => (From::Device(2), p.pods[1]),
        14 | 15 if tunnel => (From::Tunnel(p.far_nodes[far]), p.far_pods[far]),
        14 | 15 => (From::Device(UPLINK), p.far_pods[far]),
        16 => {
            let src = r.one(&[
                p.node[0],
                p.node[1],
                if p.v6 {
                    [0, 0, 0, 0, 0, 0, 0, 1].into()
                } else {
                    [127, 0, 0, 1].into()
                },
            ]);
            (
                From::Local {
                    mark: 0,
                    bound: true,
                },
                src,
            )
        }
        _ => {
            let mark = r.one(&[0, 0, 0, 0, 0x4000, 0x8000]);
            let any = if p.v6 {
                [0u16; 8].into()
            } else {
                [0u8; 4].into()
            };
            (From::Local { mark, bound: false }, any)
        }
    }
}

/// Draws the packets of a scenario.
pub fn draw(
    r: &mut Prng,
    p: &Places,
    services: &[Service],
    marked: Option<&Marked>,
    tunnel: bool,
) -> Vec<Probe> {
    let all = targets(services, marked, p);
    let mut out = Vec::new();
    for n in 0..COUNT {
        let (mut dst, mut dport, mut udp) = r.one(&all);
        match r.below(30) {
            0 => dport = 81,
            1 => udp = !udp,
            2 => dst = r.one(&[p.pods[0], p.far_pods[0], p.clients[0]]),
            _ => {}
        }
        let (from, src) = source(r, p, tunnel);
        let local = matches!(from, From::Local { .. });
        let echo = r.chance(3);
        let proto = match (echo, p.v6, udp) {
            (true, true, _) => ICMPV6,
            (true, false, _) => ICMP,
            (_, _, true) => UDP,
            _ => TCP,
        };
        let flags = if local || r.chance(80) {
            2
        } else {
            r.one(&[0x12, 0x12, 0x10, 0x10, 0x04, 0x14, 0x11, 0x18])
        };
        let id = u32::try_from(n).unwrap_or(0) * 3 + 1;
        out.push(Probe {
            from,
            wire: Wire {
                src,
                dst,
                proto,
                sport: 20_000 + u16::try_from(n).unwrap_or(0),
                dport: if echo { 0 } else { dport },
                icmp: match proto {
                    ICMP => (8, 0),
                    ICMPV6 => (128, 0),
                    _ => (0, 0),
                },
                flags: if proto == TCP { flags } else { 0 },
                seq: 1000,
                ack: 0,
                tos: 0,
                ttl: 63,
                id,
                payload: if proto == TCP { 0 } else { 16 },
                split: false,
            },
        });
    }
    out
}

/// A packet that left, out of the tunnel that wraps it, and what wraps it.
pub fn unwrapped(bytes: &[u8]) -> Option<(Wire, Option<Wire>)> {
    let outer = Wire::parse(bytes)?;
    let head = if outer.dst.is_ipv4() { 20 } else { 40 };
    // A destination option (the encapsulation limit) may stand between (`ip6_tnl_xmit`).
    match outer.proto {
        4 | 41 => Some((Wire::parse(bytes.get(head..)?)?, Some(outer))),
        60 if bytes.get(head) == Some(&41) => {
            let skip = 8 + usize::from(*bytes.get(head + 1)?) * 8;
            Some((Wire::parse(bytes.get(head + skip..)?)?, Some(outer)))
        }
        _ => Some((outer, None)),
    }
}

/// The answer of the receiver to a packet that left with another destination than it was sent to.
pub fn reply(p: &Probe, seen: &Seen) -> Option<Probe> {
    let [(dev, bytes)] = seen.left.as_slice() else {
        return None;
    };
    let (left, outer) = unwrapped(bytes)?;
    if left.dst == p.wire.dst || left.proto != p.wire.proto {
        return None;
    }
    let flags = match left.proto {
        TCP if left.flags == 2 => 0x12,
        UDP => 0,
        _ => return None,
    };
    Some(Probe {
        from: match outer {
            Some(o) => From::Tunnel(o.dst),
            None => From::Device(*dev),
        },
        wire: Wire {
            src: left.dst,
            dst: left.src,
            sport: left.dport,
            dport: left.sport,
            flags,
            seq: 5000,
            ack: left.seq.wrapping_add(1),
            ttl: 62,
            id: p.wire.id + 1,
            ..p.wire.clone()
        },
    })
}

/// A later packet of the same connection, where one can be sent.
pub fn later(p: &Probe) -> Option<Probe> {
    if matches!(p.from, From::Local { .. }) {
        return None;
    }
    Some(Probe {
        from: p.from.clone(),
        wire: Wire {
            flags: if p.wire.proto == TCP { 0x10 } else { 0 },
            seq: p.wire.seq + 1,
            ack: 5001,
            id: p.wire.id + 2,
            ..p.wire.clone()
        },
    })
}
