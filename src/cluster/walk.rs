//! A packet's way through several places.

use super::Cluster;
use super::next::{Entry, Next, Tunnel};
use crate::node::DevId;
use crate::sim::{
    self, CALICO_VXLAN, CalicoSeen, Conn, Limits, ServiceConn, SimError, WhatIf, simulate_what_if,
};
use crate::trace::{CtState, Origin, Outcome, Packet, Port, Reason, TcpFlags, Trace, Verdict};
use std::net::IpAddr;

/// A packet's passage through one place.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Index of the place.
    pub place: usize,
    /// How it came there.
    pub entry: Entry,
    /// The packet there, and the one outcome that is followed.
    pub trace: Trace,
    /// It is the outer packet of a tunnel.
    pub outer: bool,
}

impl Hop {
    /// What became of it here.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.trace.outcomes.first()
    }
}

/// Where a way ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// At a process of the place of the last hop.
    Process,
    /// At a pod of the place of the last hop, whose own namespace was not captured.
    Pod,
    /// It leaves what was captured.
    Beyond,
    /// The last hop keeps it.
    Stopped,
    /// It cannot be told.
    Unknown(String),
}

/// One way of a packet, from its first place to its end.
#[derive(Clone, Debug)]
pub struct Way {
    /// The places passed, outer packets of tunnels among them.
    pub hops: Vec<Hop>,
    /// How it ends.
    pub end: End,
    /// Probability; `None` where it rests on an unknown.
    pub probability: Option<f64>,
    /// What it rests on beyond what the places themselves assume.
    pub assumed: Vec<String>,
    /// What the places remember of it.
    pub memory: Memory,
}

/// What places remember of packets that passed.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Connections by place.
    pub conns: Vec<(usize, Conn)>,
    /// Connections of Calico's programs by place.
    pub services: Vec<(usize, ServiceConn)>,
    /// Outer packets of UDP tunnels that a place has sent, by their destination.
    pub sent: Vec<(usize, IpAddr)>,
}

impl Way {
    /// The last hop of the packet itself.
    pub fn last(&self) -> Option<&Hop> {
        self.hops.iter().rev().find(|h| !h.outer)
    }

    /// The last hop, be it of the packet or of a tunnel's outer one.
    pub fn stop(&self) -> Option<&Hop> {
        self.hops.last()
    }
}

/// Ways followed for one packet.
const WAYS: usize = 512;
/// Places that one packet passes; more are a loop.
const HOPS: usize = 24;
/// Bounds of a place after the first.
const LIMITS: Limits = Limits {
    branches: 2000,
    rules: 50_000_000,
};

impl Cluster<'_> {
    /// All ways of a packet that starts at a place. `memory`: of packets of the same connection that went before.
    pub fn ways(
        &self,
        place: usize,
        packet: &Packet,
        memory: &Memory,
    ) -> Result<Vec<Way>, SimError> {
        let mut done = Vec::new();
        let start = Way {
            hops: Vec::new(),
            end: End::Beyond,
            probability: Some(1.0),
            assumed: Vec::new(),
            memory: memory.clone(),
        };
        self.enter(start, place, packet.clone(), &Entry::Start, &mut done)?;
        Ok(done)
    }

    fn enter(
        &self,
        way: Way,
        place: usize,
        mut packet: Packet,
        entry: &Entry,
        done: &mut Vec<Way>,
    ) -> Result<(), SimError> {
        let Some(p) = self.places.get(place) else {
            return Ok(());
        };
        if way.hops.len() >= HOPS {
            done.push(Way {
                end: End::Unknown("it goes round in circles".to_owned()),
                ..way
            });
            return Ok(());
        }
        let known = fitting(&way.memory.conns, place, &packet);
        if packet.conn.is_none() {
            packet.conn = known
                .and_then(|i| way.memory.conns.get(i))
                .map(|(_, c)| c.clone());
        }
        let served = way
            .memory
            .services
            .iter()
            .position(|(at, c)| *at == place && c.has(&packet));
        packet.calico.conn = served
            .and_then(|i| way.memory.services.get(i))
            .map(|(_, c)| c.clone());
        let limits = if way.hops.is_empty() {
            Limits::default()
        } else {
            LIMITS
        };
        let what_if = WhatIf {
            followed: true,
            ..WhatIf::default()
        };
        let trace = simulate_what_if(&p.node, &packet, &what_if, limits)?;
        let trace = trace.expected().into_owned();
        for o in super::ebpf::one_per_node(trace.outcomes) {
            if done.len() >= WAYS {
                return Err(SimError::TooManyBranches {
                    limit: WAYS,
                    places: vec![format!("{}, behind which it goes on", p.name)],
                });
            }
            let mut way = way.clone();
            way.probability = way.probability.zip(o.probability).map(|(a, b)| a * b);
            if let Some(conn) = &o.conn {
                match known.and_then(|i| way.memory.conns.get_mut(i)) {
                    Some(slot) => slot.1 = conn.clone(),
                    None => way.memory.conns.push((place, conn.clone())),
                }
            }
            if let Some(conn) = &o.calico {
                match served.and_then(|i| way.memory.services.get_mut(i)) {
                    Some(slot) => slot.1 = conn.clone(),
                    None => way.memory.services.push((place, conn.clone())),
                }
            }
            way.hops.push(Hop {
                place,
                entry: entry.clone(),
                trace: Trace {
                    packet: packet.clone(),
                    outcomes: vec![o.clone()],
                },
                outer: false,
            });
            self.leave(way, place, &packet, &o, done)?;
        }
        Ok(())
    }

    fn leave(
        &self,
        mut way: Way,
        place: usize,
        packet: &Packet,
        o: &Outcome,
        done: &mut Vec<Way>,
    ) -> Result<(), SimError> {
        let end = match o.verdict {
            Verdict::Local => End::Process,
            Verdict::Dropped | Verdict::Rejected => End::Stopped,
            Verdict::Queued => End::Unknown("a program in user space decides".to_owned()),
            Verdict::Unknown => End::Unknown(match &o.reason {
                Reason::Unknown(why) => format!("on {}: {why}", self.name(place)),
                _ => "what becomes of it there is not known".to_owned(),
            }),
            Verdict::Forwarded => match self.next(place, packet, o) {
                Next::Pod => End::Pod,
                Next::Beyond => End::Beyond,
                Next::Unknown(why) => End::Unknown(why),
                Next::Enters {
                    place: to,
                    dev,
                    entry,
                    assumed,
                } => {
                    way.assumed.extend(assumed);
                    let next = self.passed_on(place, packet, o, dev);
                    return self.enter(way, to, next, &entry, done);
                }
                Next::ByCalico {
                    place: to,
                    dev,
                    src,
                    dst,
                } => {
                    let mut next = self.passed_on(place, packet, o, dev);
                    next.calico.tunnel = Some((src, dst));
                    let entry = Entry::Tunnel {
                        kind: CALICO_VXLAN.to_owned(),
                        src: Some(src),
                        dst: Some(dst),
                    };
                    return self.enter(way, to, next, &entry, done);
                }
                Next::Wrapped(t) => return self.through(&way, place, packet, o, &t, done),
            },
        };
        way.end = end;
        done.push(way);
        Ok(())
    }

    /// The packet as it comes in by `dev` of the next place.
    fn passed_on(&self, place: usize, packet: &Packet, o: &Outcome, dev: DevId) -> Packet {
        let mut next = packet.clone();
        if let Some(v) = &o.delivered {
            next.src = v.src.or(packet.src);
            next.sport = v.sport;
            next.dst = v.dst;
            next.dport = v.dport;
        }
        next.origin = Origin::Device(dev);
        next.mark = 0;
        next.ct_state = None;
        next.tos = o.tos;
        next.ttl = o.ttl;
        next.uid = None;
        next.gid = None;
        next.conn = None;
        next.calico = CalicoSeen::default();
        next.mac = o.out.as_ref().and_then(|out| {
            let mac = self.places.get(place)?.node.device(out.dev).mac.as_deref();
            bytes(mac?)
        });
        next
    }

    /// Through a tunnel: the outer packet leaves the one node and is unwrapped by the other.
    fn through(
        &self,
        way: &Way,
        place: usize,
        packet: &Packet,
        o: &Outcome,
        t: &Tunnel,
        done: &mut Vec<Way>,
    ) -> Result<(), SimError> {
        // VXLAN's outer packet is sent like one of a process of the node (`udp_tunnel_xmit_skb`), and so is one of another family than the packet
        // within. That of IPIP has passed the hooks already, within the walk.
        if t.sent {
            return self.unwrapped(way, place, packet, o, t, done);
        }
        let mut outer = outer_packet(t);
        outer.mark = o.mark;
        let Some(p) = self.places.get(place) else {
            return Ok(());
        };
        let what_if = WhatIf {
            tunnel: o.out.as_ref().map(|out| out.dev),
            ..WhatIf::default()
        };
        let trace = simulate_what_if(&p.node, &outer, &what_if, LIMITS)?;
        for sent in trace.expected().into_owned().outcomes {
            let mut way = way.clone();
            way.probability = way.probability.zip(sent.probability).map(|(a, b)| a * b);
            let mut t = t.clone();
            let passed = sent.verdict == Verdict::Forwarded;
            let unlike = sent.delivered.is_some_and(|v| v.dst != t.dst);
            let flow = (place, t.dst);
            if t.port.is_none() {
                // There is one flow between two nodes.
            } else if way.memory.sent.contains(&flow) {
                // Its source port is a hash that the packet may bear since before its addresses were translated: the same as then, or not.
                way.probability = None;
                way.assumed.push(format!(
                    "the {} packet to {} is of another flow than the one that {} sent before",
                    t.kind, t.dst, p.name
                ));
            } else {
                way.memory.sent.push(flow);
            }
            if let Some(v) = &sent.delivered {
                t.src = v.src.or(t.src);
                t.sport = v.sport;
                t.dport = v.dport;
            }
            (t.envelope.tos, t.envelope.ttl) = (sent.tos, sent.ttl);
            way.hops.push(Hop {
                place,
                entry: Entry::Start,
                trace: Trace {
                    packet: outer.clone(),
                    outcomes: vec![sent],
                },
                outer: true,
            });
            if passed && !unlike {
                self.unwrapped(&way, place, packet, o, &t, done)?;
                continue;
            }
            way.end = if passed {
                End::Unknown(format!("rules send the {} packet elsewhere", t.kind))
            } else {
                End::Stopped
            };
            done.push(way);
        }
        Ok(())
    }

    /// The outer packet comes to the other end, and what is within it goes on there.
    fn unwrapped(
        &self,
        way: &Way,
        place: usize,
        packet: &Packet,
        o: &Outcome,
        t: &Tunnel,
        done: &mut Vec<Way>,
    ) -> Result<(), SimError> {
        let Some(far) = self.places.get(t.place) else {
            return Ok(());
        };
        let mut outer = outer_packet(t);
        outer.origin = Origin::Device(t.dev);
        let trace = simulate_what_if(&far.node, &outer, &WhatIf::default(), LIMITS)?;
        for mut come in trace.expected().into_owned().outcomes {
            let mut way = way.clone();
            way.probability = way.probability.zip(come.probability).map(|(a, b)| a * b);
            let (verdict, mark) = (come.verdict, come.mark);
            // Rules may have sent it to another port of the node.
            let port = come.delivered.and_then(|v| v.dport.known());
            let ours = verdict == Verdict::Local && port == t.port;
            let inside = self.unwraps(t).filter(|_| ours);
            let tos = sim::unwrapped_tos(come.tos, o.tos);
            if inside.is_some() && tos.is_none() {
                // `ip_tunnel_rcv`, `vxlan_rcv`, `ipip6_rcv`, `__ip6_tnl_rcv`.
                come.verdict = Verdict::Dropped;
                come.reason = Reason::Martian {
                    why: "the tunnel's packet is marked as congested (ECN), and the one within does not know of that",
                };
            }
            let verdict = come.verdict;
            way.hops.push(Hop {
                place: t.place,
                entry: Entry::Link,
                trace: Trace {
                    packet: outer.clone(),
                    outcomes: vec![come],
                },
                outer: true,
            });
            let Some((dev, tos)) = inside.zip(tos) else {
                way.end = match verdict {
                    Verdict::Dropped | Verdict::Rejected => End::Stopped,
                    Verdict::Local => End::Unknown(format!(
                        "no device of {} that is up takes {} packets from {}",
                        far.name,
                        t.kind,
                        t.src.map_or_else(|| "there".to_owned(), |s| s.to_string())
                    )),
                    _ => End::Unknown(format!("the {} packet does not end there", t.kind)),
                };
                done.push(way);
                continue;
            };
            let mut next = self.passed_on(place, packet, o, dev);
            // The mark stays on what is unwrapped within one namespace (`skb_scrub_packet`, net/core/skbuff.c).
            next.mark = mark;
            next.tos = tos;
            if t.port.is_none() {
                next.mac = None;
            }
            let entry = Entry::Tunnel {
                kind: t.kind.clone(),
                src: t.src,
                dst: Some(t.dst),
            };
            self.enter(way, t.place, next, &entry, done)?;
        }
        Ok(())
    }
}

/// The connection of a place that the packet belongs to.
fn fitting(conns: &[(usize, Conn)], place: usize, packet: &Packet) -> Option<usize> {
    let port = |a: Port, b: Port| match (a, b) {
        (Port::Known(x), Port::Known(y)) => x == y,
        (Port::None, Port::None) => true,
        (Port::None, _) | (_, Port::None) => false,
        _ => true,
    };
    conns.iter().position(|(at, c)| {
        let meets = |t: &crate::sim::Tuple, unknown: bool| {
            Some(t.src) == packet.src
                && (t.dst == packet.dst || unknown)
                && port(t.sport, packet.sport)
                && port(t.dport, packet.dport)
        };
        *at == place
            && c.proto == packet.proto
            && (meets(&c.orig, false) || meets(&c.reply, c.src_unknown))
    })
}

/// A tunnel's outer packet.
fn outer_packet(t: &Tunnel) -> Packet {
    Packet {
        src: t.src,
        dst: t.dst,
        proto: t.proto,
        // The source port is a hash of what is inside, of the range that processes' ports come from (`udp_flow_src_port`).
        sport: t.sport,
        dport: t.dport,
        icmp: None,
        origin: Origin::Local,
        mark: 0,
        // UDP's ports differ each way, so no answer is ever seen; of the others there is one flow between two nodes.
        ct_state: t.port.is_none().then_some(CtState::Established),
        tos: t.envelope.tos,
        ttl: t.envelope.ttl,
        flags: TcpFlags::default(),
        length: t.length,
        mac: None,
        uid: None,
        gid: None,
        conn: None,
        calico: CalicoSeen::default(),
    }
}

fn bytes(mac: &str) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut parts = mac.split(':');
    for o in &mut out {
        *o = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// Whether an address is one of the place's devices that carry packets.
pub(super) fn has(cluster: &Cluster<'_>, place: usize, ip: IpAddr) -> bool {
    cluster.holders(ip).iter().any(|o| o.place == place)
}
