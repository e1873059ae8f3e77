//! Packets: from outside, from pods, from other nodes' pods, from the node itself.

use std::net::IpAddr;

use super::frame::{ICMP, ICMPV6, SCTP, TCP, UDP, Wire};
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
    /// A process of the node that writes its own headers.
    Raw,
}

impl From {
    /// A process of the node.
    pub fn local(&self) -> bool {
        matches!(self, Self::Local { .. } | Self::Raw)
    }
}

/// A packet to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Where from.
    pub from: From,
    /// What.
    pub wire: Wire,
}

/// A destination: address, port, protocol.
type Target = (IpAddr, u16, u8);

fn targets(services: &[Service], marked: Option<&Marked>, p: &Places) -> Vec<Target> {
    let mut out = Vec::new();
    for s in services {
        out.push((s.cluster, s.port, s.proto));
        out.push((s.cluster, s.port, s.proto));
        for a in s.balancer.into_iter().chain(s.external) {
            out.push((a, s.port, s.proto));
            out.push((a, s.port, s.proto));
        }
        if let Some(n) = s.node_port {
            out.extend(p.node_ports()[..3].iter().map(|a| (*a, n, s.proto)));
        }
    }
    if let Some(m) = marked {
        out.extend([(m.addr, m.port, TCP); 3]);
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
                p.own,
                p.cluster[0],
                p.balancer[0],
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
        let (mut dst, mut dport, mut proto) = r.one(&all);
        match r.below(30) {
            0 | 1 => dport = 81,
            2 => proto = if proto == UDP { TCP } else { UDP },
            5 => (dst, dport, proto) = (p.node[1], 80, TCP),
            3 => {
                dst = r.one(&[p.pods[0], p.far_pods[0], p.clients[0], p.clients[1]]);
            }
            4 if r.chance(30) => {
                // As a process of the node would ask its own loopback address.
                dst = p.node_ports()[3];
            }
            _ => {}
        }
        let (mut from, mut src) = source(r, p, tunnel);
        let local = from.local();
        if local && proto == SCTP {
            // No socket of this kind is at hand.
            from = From::Raw;
            if src.is_unspecified() {
                src = p.node[1];
            }
        }
        let echo = r.chance(4);
        if echo {
            proto = if p.v6 { ICMPV6 } else { ICMP };
        }
        let mut sport = 20_000 + u16::try_from(n).unwrap_or(0);
        if r.chance(4) {
            // What a real server sends on its own.
            let own = r.one(&[80, 8080]);
            let known = |q: &Probe| q.wire.sport == own && q.wire.src == src && q.wire.dst == dst;
            if !out.iter().any(known) {
                sport = own;
            }
        }
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
                sport,
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

/// The receiver's answer to a packet that left, or that was delivered with another destination than it was sent to. `tunnel`:
/// what comes from other nodes' pods is wrapped.
pub fn reply(p: &Probe, seen: &Seen, tunnel: bool) -> Option<Probe> {
    let (left, from) = match (seen.left.as_slice(), seen.delivered.as_slice()) {
        ([(dev, bytes)], _) => {
            let (left, outer) = unwrapped(bytes)?;
            let from = match outer {
                Some(o) if tunnel => From::Tunnel(o.dst),
                _ => From::Device(*dev),
            };
            (left, from)
        }
        ([], [(_, bytes)]) => {
            let got = Wire::parse(bytes)?;
            if got.dst == p.wire.dst && got.dport == p.wire.dport {
                return None;
            }
            (got, From::Raw)
        }
        _ => return None,
    };
    if left.proto != p.wire.proto {
        return None;
    }
    let (flags, icmp) = match left.proto {
        TCP if left.flags == 2 => (0x12, (0, 0)),
        UDP => (0, (0, 0)),
        ICMP if from != From::Raw => (0, (0, 0)),
        ICMPV6 if from != From::Raw => (0, (129, 0)),
        _ => return None,
    };
    let echo = matches!(left.proto, ICMP | ICMPV6);
    Some(Probe {
        from,
        wire: Wire {
            src: left.dst,
            dst: left.src,
            sport: if echo { left.sport } else { left.dport },
            dport: if echo { 0 } else { left.sport },
            flags,
            icmp,
            seq: 5000,
            ack: left.seq.wrapping_add(1),
            ttl: 62,
            id: p.wire.id + 1,
            ..p.wire.clone()
        },
    })
}

/// Whether the receiver says nothing, and the sender goes on all the same.
pub fn unanswered(p: &Probe) -> bool {
    p.wire.id % 18 == 16
}

/// A later packet of the same connection, where one can be sent.
pub fn later(p: &Probe) -> Option<Probe> {
    if p.from.local() || p.wire.proto == SCTP {
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
