//! The answer to a packet that arrived: whether it comes back through this node, and what becomes of it here.

use super::place;
use crate::node::Node;
use crate::sim::{self, Conn, Limits, Tuple, WhatIf, simulate_what_if};
use crate::trace::{Origin, Outcome, Packet, Served, StepKind, TcpFlags, Trace, Verdict};
use nfwhy_parsers::Proto;
use std::net::IpAddr;

/// The answer to one outcome of a packet.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It passes this node, as simulated.
    Here(Box<Trace>),
    /// The receiver answers the client directly, from this address: this node undoes nothing.
    Elsewhere {
        /// The receiver's own address.
        from: IpAddr,
    },
    /// The receiver sees its own address as the client's: its kernel drops the packet as martian (`fib_validate_source`), or answers itself.
    FromItself,
    /// An eBPF datapath puts the service's address back, here or on the backend's node.
    Served(Served),
}

impl Answer {
    /// What the client makes of it.
    pub fn fate(&self, asked: &Packet) -> Fate {
        match self {
            Self::Elsewhere { .. } => Fate::BypassesNode,
            Self::FromItself => Fate::Dropped,
            Self::Served(_) => Fate::Ok,
            Self::Here(reply) => fate(asked, reply).0,
        }
    }
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The client gets it from the address and port it asked.
    Ok,
    /// It does not come back through this node, and where it ends is not known from what was captured.
    BypassesNode,
    /// The client gets it from an address or port it did not ask.
    WrongAddress,
    /// What becomes of it cannot be told.
    Unknown,
    /// This node drops it.
    Dropped,
    /// This node refuses it.
    Rejected,
}

impl Fate {
    /// The contract's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::BypassesNode => "bypasses-node",
            Self::WrongAddress => "wrong-address",
            Self::Unknown => "unknown",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
        }
    }

    /// What becomes of one outcome of an answer to `asked`.
    fn of(asked: &Packet, o: &Outcome) -> Self {
        match o.verdict {
            Verdict::Dropped => Self::Dropped,
            Verdict::Rejected => Self::Rejected,
            Verdict::Queued | Verdict::Unknown => Self::Unknown,
            Verdict::Forwarded | Verdict::Local => {
                let from = o.delivered.map(|d| (d.src, d.sport));
                let port = match from {
                    // Where a port was drawn on the way there, it is translated back with the address.
                    Some((_, p)) => {
                        p == asked.dport || p.known().is_none() || asked.dport.known().is_none()
                    }
                    None => false,
                };
                if port && from.is_some_and(|(src, _)| src == Some(asked.dst)) {
                    Self::Ok
                } else {
                    Self::WrongAddress
                }
            }
        }
    }
}

/// What becomes of an answer, and the outcome of it that shows it.
pub fn fate<'r>(asked: &Packet, reply: &'r Trace) -> (Fate, Option<&'r Outcome>) {
    let shown = reply.expected();
    let all: &[Outcome] = if shown.outcomes.len() == reply.outcomes.len() {
        &reply.outcomes
    } else {
        // Those to be expected stand first.
        reply
            .outcomes
            .get(..shown.outcomes.len())
            .unwrap_or(&reply.outcomes)
    };
    let mut fates: Vec<(Fate, &Outcome)> = all.iter().map(|o| (Fate::of(asked, o), o)).collect();
    fates.sort_by_key(|(f, _)| *f);
    let (Some((best, first)), Some((worst, last))) = (fates.first(), fates.last()) else {
        return (Fate::Unknown, None);
    };
    if best == worst {
        return (*best, Some(first));
    }
    // Both ends are possible: which, rests on chance or on what is not known.
    if fates.iter().all(|(_, o)| o.probability.is_some()) {
        (*worst, Some(last))
    } else {
        (Fate::Unknown, Some(last))
    }
}

/// Bounds of one answer: it has few forks.
const LIMITS: Limits = Limits {
    branches: 64,
    rules: 2_000_000,
};

/// Whether a packet is itself an answer.
pub(super) fn is_reply(outcome: &Outcome) -> bool {
    outcome
        .steps
        .iter()
        .any(|s| matches!(s.kind, StepKind::Conntrack { reply: true, .. }))
}

/// The answer to an outcome; `None` where nothing arrived, or the packet is an answer itself, or nothing can be told.
pub fn answer(node: &Node<'_>, trace: &Trace, outcome: &Outcome) -> Option<Answer> {
    answer_what_if(node, trace, outcome, &WhatIf::default())
}

/// The same with something changed.
pub fn answer_what_if(
    node: &Node<'_>,
    trace: &Trace,
    outcome: &Outcome,
    what_if: &WhatIf,
) -> Option<Answer> {
    if let Some(served) = outcome.served {
        let arrives = matches!(outcome.verdict, Verdict::Forwarded | Verdict::Local);
        return arrives.then_some(Answer::Served(served));
    }
    outcome.conn.as_ref()?;
    let delivered = outcome.delivered.as_ref()?;
    if is_reply(outcome) {
        return None;
    }
    let origin = match outcome.verdict {
        Verdict::Local => Origin::Local,
        Verdict::Forwarded => {
            let out = outcome.out.as_ref()?;
            if let Some(r) = &what_if.region
                && outcome.dnat.is_some()
            {
                r.meets(delivered.dst);
            }
            if outcome.dnat.is_some() && delivered.src == Some(delivered.dst) {
                return Some(Answer::FromItself);
            }
            if outcome.dnat.is_some() && !comes_back(node, trace, outcome, what_if) {
                return Some(Answer::Elsewhere {
                    from: delivered.dst,
                });
            }
            match trace.packet.origin {
                // Who reaches itself is behind the port that it asked by.
                Origin::Device(port)
                    if node.device(port).master == Some(out.dev)
                        && trace.packet.src == Some(delivered.dst) =>
                {
                    Origin::Device(port)
                }
                _ => Origin::Device(out.dev),
            }
        }
        Verdict::Dropped | Verdict::Rejected | Verdict::Queued | Verdict::Unknown => return None,
    };
    let packet = reply_of(&trace.packet, outcome, origin)?;
    let trace = simulate_what_if(node, &packet, what_if, LIMITS).ok()?;
    Some(Answer::Here(Box::new(trace)))
}

/// The receiver's answer to `request`, which ended so, as it comes to the node from `origin`.
pub(crate) fn reply_of(request: &Packet, outcome: &Outcome, origin: Origin) -> Option<Packet> {
    let delivered = outcome.delivered.as_ref()?;
    let Some(conn) = &outcome.conn else {
        // What Calico's programs send on themselves conntrack has not seen.
        let known = outcome.calico.as_ref()?;
        return reply_packet(request, known.served.inverted(), None, origin);
    };
    let mut packet = reply_packet(request, conn.reply, Some(conn), origin)?;
    // What conntrack does not know it does not keep either: the receiver answers what it saw.
    if conn.untracked {
        packet.src = Some(delivered.dst);
        packet.sport = delivered.dport;
        if let Some(to) = delivered.src {
            packet.dst = to;
            packet.dport = delivered.sport;
        }
    }
    Some(packet)
}

/// A receiver answers the address it saw: one of this node, or one that this node is the way to.
fn comes_back(node: &Node<'_>, trace: &Trace, outcome: &Outcome, what_if: &WhatIf) -> bool {
    let Some(src) = outcome.delivered.and_then(|d| d.src) else {
        return true;
    };
    outcome.client_ip_kept == Some(false)
        || trace.packet.origin == Origin::Local
        || sim::way_back_what_if(node, src, trace.packet.dst, what_if) == sim::WayBack::Local
        || outcome
            .out
            .as_ref()
            .is_some_and(|o| place::to_local_pod(node, o))
        || place::from_local_pod(node, &trace.packet)
}

fn reply_packet(
    request: &Packet,
    reply: Tuple,
    conn: Option<&Conn>,
    origin: Origin,
) -> Option<Packet> {
    let icmp = match request.proto {
        Proto::ICMP => match request.icmp {
            Some((8, c)) => Some((0, c)),
            _ => return None,
        },
        Proto::ICMPV6 => match request.icmp {
            Some((128, c)) => Some((129, c)),
            _ => return None,
        },
        _ => None,
    };
    let flags = if request.proto == Proto::TCP {
        TcpFlags(TcpFlags::SYN | TcpFlags::ACK)
    } else {
        TcpFlags::default()
    };
    Some(Packet {
        src: Some(reply.src),
        dst: reply.dst,
        proto: request.proto,
        sport: reply.sport,
        dport: reply.dport,
        icmp,
        origin,
        mark: 0,
        ct_state: None,
        tos: 0,
        ttl: 64,
        flags,
        length: request.length.min(60),
        mac: None,
        uid: None,
        gid: None,
        conn: conn.cloned(),
        calico: crate::sim::CalicoSeen::default(),
    })
}
