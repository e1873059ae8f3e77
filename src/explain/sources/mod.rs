//! From here, not from there: what becomes of a packet, for every source that it may have.
//!
//! The sweep begins at the lowest address. One walk tells what becomes of it, and up to which address all others fare alike
//! ([`Region`]); the next walk begins behind that. So the answer is exact, and takes as many walks as there are lines drawn on the way.
//!
//! What tests bits that do not stand together (`-s 0.0.0.1/0.0.0.255`) draws lines everywhere. Then the addresses are put into classes by such tests
//! first ([`Class`]), and each class is swept as if it were all there is.

mod class;
mod parting;
mod sweep;
#[cfg(test)]
mod tests;

pub use class::Class;
pub use parting::{Apart, Decision, Parting, Side, apart, parting};
pub use sweep::sweep;

use super::reply::{self, Fate};
use crate::node::{DevId, Node};
use crate::sim::{self, Limits, Region, SimError, WayBack, WhatIf, simulate_what_if};
use crate::trace::{Origin, Out, Outcome, Packet, Port, Reason, Trace, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::bits;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use thiserror::Error;

/// Walks in one sweep, where nothing else is asked for.
pub const WALKS: usize = 200_000;

/// Answers are followed for so many outcomes of a walk.
const REPLIES: usize = 128;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The packet; its source and where it comes from are put in.
    pub packet: Packet,
    /// The device by which all of them come in; `None` = each by that of the route back to it.
    pub dev: Option<DevId>,
    /// Bound of the walks.
    pub walks: usize,
}

/// Where a source's packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Incoming {
    /// By this device.
    Device(DevId),
    /// The node itself sends them.
    Node,
    /// No route leads back, so nobody knows.
    Nowhere,
}

/// Whom the receiver takes for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// The client.
    Client,
    /// Another address.
    Other(IpAddr),
    /// It cannot be told.
    Unknown,
}

/// One end of a packet, without its source.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// How it ends.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Where it was delivered.
    pub server: Option<(IpAddr, Port)>,
    /// By which device and gateway it left.
    pub out: Option<Out>,
    /// Whom the receiver sees.
    pub seen: Option<Seen>,
    /// What becomes of the answer.
    pub reply: Option<Fate>,
    /// Probability; `None` where it rests on an unknown.
    pub probability: Option<f64>,
    /// Whether every unknown was taken for what it is expected to be.
    pub expected: bool,
}

/// What becomes of packets from a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Fare {
    /// They end so.
    Ends(Vec<End>),
    /// It is not known where they come in.
    Nowhere,
    /// There is no answer.
    Unanswered(String),
}

impl Fare {
    /// What is the same for sources that fare alike. Probabilities are compared to nine digits.
    pub fn key(&self) -> String {
        match self {
            Self::Ends(ends) => {
                let mut keys: Vec<String> = ends
                    .iter()
                    .map(|e| {
                        let p = e.probability.map(|p| format!("{p:.9}"));
                        let (server, out) = (e.server, e.out.as_ref().map(|o| (o.dev, o.via)));
                        format!(
                            "{:?} {:?} {server:?} {out:?} {:?} {:?} {p:?} {}",
                            e.verdict, e.reason, e.seen, e.reply, e.expected
                        )
                    })
                    .collect();
                keys.sort_unstable();
                keys.dedup();
                keys.join("\n")
            }
            Self::Nowhere => "nowhere".into(),
            Self::Unanswered(why) => format!("unanswered {why}"),
        }
    }

    /// The ends that are to be expected.
    pub fn expected(&self) -> Vec<&End> {
        let Self::Ends(ends) = self else {
            return Vec::new();
        };
        let some: Vec<&End> = ends.iter().filter(|e| e.expected).collect();
        if some.is_empty() {
            ends.iter().collect()
        } else {
            some
        }
    }
}

/// Sources without a gap, or all of a class between two ends, that fare alike and come in alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub first: IpAddr,
    /// The last one.
    pub last: IpAddr,
    /// Where they come in.
    pub from: Incoming,
    /// Those of a class alone: an index into [`Sources::classes`].
    pub class: Option<usize>,
}

impl Span {
    /// Number of addresses less one.
    pub fn width(&self) -> u128 {
        bits(self.last) - bits(self.first)
    }
}

/// All sources that fare alike.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What becomes of them.
    pub fare: Fare,
    /// Which they are, in order.
    pub spans: Vec<Span>,
    /// The same, in the pieces that were walked: within one all goes the same way for the same reasons.
    pub pieces: Vec<Span>,
    /// The packet of one of them.
    pub packet: Packet,
}

impl Kind {
    /// Whether its sources are none that a packet may have where it comes in (multicast, 127.0.0.0/8, the node's own addresses).
    pub fn is_impossible(&self) -> bool {
        match &self.fare {
            Fare::Ends(ends) => ends
                .iter()
                .all(|e| matches!(e.reason, Reason::Martian { .. })),
            _ => false,
        }
    }

    /// About how many there are.
    fn size(&self, classes: &[Class]) -> u128 {
        self.spans.iter().fold(0, |n: u128, s| {
            let bits = s.class.and_then(|c| classes.get(c)).map_or(0, Class::fixed);
            n.saturating_add(s.width() >> bits).saturating_add(1)
        })
    }
}

/// All sources there are.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What was asked.
    pub question: Question,
    /// Kinds of sources; the one with most addresses comes last.
    pub kinds: Vec<Kind>,
    /// Classes that tests of scattered bits make; mostly none.
    pub classes: Vec<Class>,
    /// Walks it took.
    pub walks: usize,
}

impl Sources {
    /// The kind that an address is of.
    pub fn of(&self, a: IpAddr) -> Option<&Kind> {
        let here = |k: &&Kind| k.spans.iter().any(|s| self.holds(s, a));
        self.kinds.iter().find(here)
    }

    /// Whether an address is one of a span.
    pub fn holds(&self, s: &Span, a: IpAddr) -> bool {
        let of_class = |c: usize| self.classes.get(c).is_some_and(|c| c.holds(bits(a)));
        bits(s.first) <= bits(a) && bits(a) <= bits(s.last) && s.class.is_none_or(of_class)
    }
}

/// Why the sources are not told apart.
#[derive(Clone, Debug, Error)]
pub enum SweepError {
    /// A test of the source has too many places where it changes.
    #[error(
        "the sources fall into more than {walks} pieces (at {at} so far): most are drawn by {by}; ask of one source instead (nfwhy trace)"
    )]
    TooMany {
        /// The bound.
        walks: usize,
        /// How far it got.
        at: IpAddr,
        /// What draws the lines.
        by: String,
    },
}

/// What becomes of packets from one source.
pub fn fare(node: &Node<'_>, question: &Question, src: IpAddr) -> (Incoming, Fare) {
    fare_what_if(node, question, src, &WhatIf::default())
}

fn fare_what_if(
    node: &Node<'_>,
    question: &Question,
    src: IpAddr,
    what_if: &WhatIf,
) -> (Incoming, Fare) {
    let (from, packet) = packet(node, question, src, what_if);
    let Some(packet) = packet else {
        return (from, Fare::Nowhere);
    };
    let fare = match simulate_what_if(node, &packet, what_if, Limits::default()) {
        Ok(trace) => ends(node, &trace, what_if),
        Err(SimError::TooManyBranches { limit, .. }) => {
            Fare::Unanswered(format!("the path forks into more than {limit} branches"))
        }
    };
    (from, fare)
}

/// What becomes of packets from one source, and the others that fare alike for the same reasons all along their way.
pub fn alike(node: &Node<'_>, question: &Question, src: IpAddr) -> (Span, Fare) {
    let (span, fare, _) = watched(node, question, Region::around(src), src);
    (span, fare)
}

fn watched(
    node: &Node<'_>,
    question: &Question,
    region: Region,
    src: IpAddr,
) -> (Span, Fare, Rc<Region>) {
    let region = Rc::new(region);
    let what_if = WhatIf {
        region: Some(Rc::clone(&region)),
        ..WhatIf::default()
    };
    let (from, fare) = fare_what_if(node, question, src, &what_if);
    let span = Span {
        first: region.first(),
        last: region.last(),
        from,
        class: None,
    };
    (span, fare, region)
}

/// The packet of a source; `None` where it is not known where it comes in.
fn packet(
    node: &Node<'_>,
    question: &Question,
    src: IpAddr,
    what_if: &WhatIf,
) -> (Incoming, Option<Packet>) {
    let from = match question.dev {
        Some(d) => Incoming::Device(d),
        None => match sim::way_back_what_if(node, src, question.packet.dst, what_if) {
            WayBack::Local => Incoming::Node,
            WayBack::Device(d) => Incoming::Device(d),
            WayBack::None => Incoming::Nowhere,
        },
    };
    let origin = match from {
        Incoming::Device(d) => Origin::Device(d),
        Incoming::Node => Origin::Local,
        Incoming::Nowhere => return (from, None),
    };
    let packet = Packet {
        src: Some(src),
        origin,
        ..question.packet.clone()
    };
    (from, Some(packet))
}

/// The walk of one source, to be shown.
pub fn trace(node: &Node<'_>, question: &Question, src: IpAddr) -> Option<Trace> {
    let what_if = WhatIf::default();
    let packet = packet(node, question, src, &what_if).1?;
    simulate_what_if(node, &packet, &what_if, Limits::default()).ok()
}

fn ends(node: &Node<'_>, trace: &Trace, what_if: &WhatIf) -> Fare {
    let src = trace.packet.src;
    let end = |(i, o): (usize, &Outcome)| {
        let seen = match (o.client_ip_kept, o.delivered.and_then(|d| d.src)) {
            (None, _) => None,
            (Some(true), _) => Some(Seen::Client),
            (_, Some(a)) => Some(Seen::Other(a)),
            (_, None) => Some(Seen::Unknown),
        };
        let reply = if i < REPLIES {
            reply::answer_what_if(node, trace, o, what_if).map(|a| a.fate(&trace.packet))
        } else {
            None
        };
        End {
            verdict: o.verdict,
            reason: without_source(&o.reason, src),
            server: o.delivered.map(|d| (d.dst, d.dport)),
            out: o.out.clone(),
            seen,
            reply,
            probability: o.probability,
            expected: o.expected,
        }
    };
    Fare::Ends(trace.outcomes.iter().enumerate().map(end).collect())
}

/// A sentence may name the source.
fn without_source(reason: &Reason, src: Option<IpAddr>) -> Reason {
    match (reason, src) {
        (Reason::Unknown(why), Some(src)) => {
            Reason::Unknown(why.replace(&src.to_string(), "the source"))
        }
        _ => reason.clone(),
    }
}

fn address(family: Family, n: u128) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(n).ok()?)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(n)),
    })
}

/// Adds a span behind the others, which may go on in it.
fn add(spans: &mut Vec<Span>, span: Span) {
    if let Some(end) = spans.last_mut()
        && (end.from, end.class) == (span.from, span.class)
        && bits(end.last).checked_add(1) == Some(bits(span.first))
    {
        end.last = span.last;
    } else {
        spans.push(span);
    }
}
