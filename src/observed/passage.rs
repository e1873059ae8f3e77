//! What a trace predicts that captures would show.

use crate::node::DevId;
use crate::trace::{Origin, Outcome, Packet, Port, TcpFlags, Verdict, View};
use nfwhy_parsers::Proto;

/// A packet's passage through a node, with one of its ends.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Of the answer.
    pub reply: bool,
    /// Of a tunnel's outer packet.
    pub outer: bool,
    /// The device it comes in by; `None` = a process of the node sends it.
    pub origin: Option<DevId>,
    /// The packet as it comes.
    pub view: View,
    /// An echo reply.
    pub echo_reply: bool,
    /// How it ends.
    pub verdict: Verdict,
    /// Where it leaves, and as what.
    pub out: Option<(DevId, View)>,
    /// The prediction is one of a first packet, by rules alone: what is seen otherwise contradicts it.
    pub firm: bool,
    /// Which of the outcomes.
    pub outcome: usize,
}

impl Passage {
    /// The passage of a packet that ended so.
    pub fn of(packet: &Packet, o: &Outcome, outcome: usize, reply: bool) -> Self {
        let origin = match packet.origin {
            Origin::Device(d) => Some(d),
            Origin::Local => None,
        };
        let view = View {
            src: packet.src,
            sport: packet.sport,
            dst: packet.dst,
            dport: packet.dport,
            proto: packet.proto,
            mark: 0,
            iif: origin,
            oif: None,
        };
        let out = match (o.verdict, &o.out, o.delivered) {
            (Verdict::Forwarded, Some(out), Some(v)) => Some((out.dev, v)),
            _ => None,
        };
        // A program of an eBPF datapath may take a packet past what captures show.
        let told = !matches!(o.verdict, Verdict::Unknown | Verdict::Queued) && o.served.is_none();
        let first = packet.proto != Proto::TCP || packet.flags.has(TcpFlags::SYN);
        Self {
            reply,
            outer: false,
            origin,
            view,
            echo_reply: matches!(packet.icmp, Some((0 | 129, _))),
            verdict: o.verdict,
            out,
            firm: told && first && packet.ct_state.is_none(),
            outcome,
        }
    }
}

/// A point of the way at which a capture shows the packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Of the answer.
    pub reply: bool,
    /// Of a tunnel's outer packet.
    pub outer: bool,
    /// It leaves there; else it comes in.
    pub out: bool,
    /// The device.
    pub dev: DevId,
    /// The packet there.
    pub view: View,
    /// An echo reply.
    pub echo_reply: bool,
    /// The outcomes that come by there.
    pub outcomes: Vec<usize>,
}

impl Point {
    fn comes(p: &Passage) -> Option<Self> {
        Some(Self {
            reply: p.reply,
            outer: p.outer,
            out: false,
            dev: p.origin?,
            view: p.view,
            echo_reply: p.echo_reply,
            outcomes: vec![p.outcome],
        })
    }

    /// Where it leaves.
    pub(super) fn leaves(p: &Passage) -> Option<Self> {
        let (dev, view) = p.out?;
        Some(Self {
            reply: p.reply,
            outer: p.outer,
            out: true,
            dev,
            view,
            echo_reply: p.echo_reply,
            outcomes: vec![p.outcome],
        })
    }
}

/// Whether two views look alike to a capture.
fn alike(a: &View, b: &View) -> bool {
    a.src == b.src
        && a.dst == b.dst
        && a.proto == b.proto
        && a.sport == b.sport
        && a.dport == b.dport
}

/// All points, in the order of the way, each once.
pub(super) fn points(passages: &[Passage]) -> Vec<Point> {
    let mut list: Vec<Point> = Vec::new();
    let mut add = |p: Option<Point>| {
        let Some(p) = p else { return };
        let same = |q: &&mut Point| {
            q.reply == p.reply && q.out == p.out && q.dev == p.dev && alike(&q.view, &p.view)
        };
        match list.iter_mut().find(same) {
            Some(q) => {
                let new = p.outcomes.iter().filter(|o| !q.outcomes.contains(o));
                let new: Vec<usize> = new.copied().collect();
                q.outcomes.extend(new);
            }
            None => list.push(p),
        }
    };
    for reply in [false, true] {
        let of = || passages.iter().filter(move |p| p.reply == reply);
        of().for_each(|p| add(Point::comes(p)));
        of().for_each(|p| add(Point::leaves(p)));
    }
    list
}

/// Passages that begin alike: what is seen must be one of their ends.
#[derive(Debug)]
pub(super) struct Group<'p> {
    pub all: Vec<&'p Passage>,
    /// Where it comes in; `None` = it is sent here.
    pub comes: Option<Point>,
    pub leaves: Vec<Point>,
}

impl Group<'_> {
    /// Whether all that can happen is among the ends.
    pub fn firm(&self) -> bool {
        self.all.iter().all(|p| p.firm && !p.outer)
    }

    pub fn reply(&self) -> bool {
        self.all.first().is_some_and(|p| p.reply)
    }
}

/// The passages by their beginnings.
pub(super) fn groups(passages: &[Passage]) -> Vec<Group<'_>> {
    let mut list: Vec<Group<'_>> = Vec::new();
    for p in passages {
        let same = |g: &&mut Group<'_>| {
            g.all.first().is_some_and(|q| {
                q.reply == p.reply && q.origin == p.origin && alike(&q.view, &p.view)
            })
        };
        match list.iter_mut().find(same) {
            Some(g) => {
                g.all.push(p);
                g.leaves.extend(Point::leaves(p));
            }
            None => list.push(Group {
                all: vec![p],
                comes: Point::comes(p),
                leaves: Point::leaves(p).into_iter().collect(),
            }),
        }
    }
    list
}

/// The lowest and the highest that a port can be; of a client's that was not given it may be any.
pub(super) fn ports(p: Port) -> Option<(u16, u16)> {
    match p {
        Port::Known(n) => Some((n, n)),
        Port::Random { lo, hi } => Some((lo, hi)),
        Port::Ephemeral | Port::Unknown => Some((0, u16::MAX)),
        Port::None => None,
    }
}
