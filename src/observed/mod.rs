//! Captured packets held against the way that a trace predicts.
//!
//! A capture is of another time than the rules, and may show some of the packets only. So what agrees is counted, what contradicts is
//! told with the packets that do, and what is not there counts only where the capture would have shown it. Of two sightings it is known
//! that they are one packet where something says so that no rule changes: TCP's first sequence number, or IP's identification.

mod absent;
mod answers;
mod otherwise;
mod passage;
mod sight;
mod token;

pub use otherwise::{Kind, Otherwise};
pub use passage::{Passage, Point};

use crate::node::{Node, Origin};
use crate::trace::Port;
use nfwhy_parsers::tcpdump::Time;
use sight::Captures;
use std::collections::HashSet;
use std::net::IpAddr;
use token::Token;

/// A packet that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Where it stands.
    pub at: Origin,
    /// When it was seen.
    pub time: Option<Time>,
    /// The line is the number of a packet of a binary capture.
    pub binary: bool,
}

/// Packets that were seen at one point of the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// The point.
    pub point: Point,
    /// How many.
    pub count: usize,
    /// The first of them; `None` = there is none.
    pub first: Option<Sight>,
    /// The last of them.
    pub last: Option<Sight>,
    /// How many of them are known to be the traced packet's as it came in.
    pub tied: usize,
    /// Some of them do not show their device, and fit another point as well.
    pub doubtful: bool,
}

/// What captures show of a way.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// How many packets were captured.
    pub packets: usize,
    /// How many of them belong to the traced packet's connection, or may.
    pub belong: usize,
    /// The points of the way.
    pub steps: Vec<Step>,
    /// What contradicts.
    pub otherwise: Vec<Otherwise>,
    /// Why nothing follows from what was not seen; empty where all points were, or where it does.
    pub silent: Option<&'static str>,
}

impl Observed {
    /// The address that masquerades the packet, where packets that it sent are not known to be the traced one's.
    pub fn others(&self) -> Option<IpAddr> {
        let drawn = |s: &&Step| {
            let v = &s.point.view;
            matches!(v.sport, Port::Random { .. } | Port::Unknown) && !s.point.reply
        };
        self.steps
            .iter()
            .filter(drawn)
            .find(|s| s.point.out && s.count > 0 && s.tied == 0)
            .and_then(|s| s.point.view.src)
    }
}

/// Tokens of packets as they came in.
fn tokens_in(seen: &Captures<'_, '_>, points: &[Point]) -> HashSet<Token> {
    points
        .iter()
        .filter(|p| !p.out)
        .flat_map(|p| seen.at(p))
        .filter_map(|i| Token::of(seen.all.get(i)?.packet))
        .collect()
}

/// Holds what a node's captures show against the passages of a packet and of its answer.
pub fn hold(node: &Node<'_>, passages: &[Passage]) -> Observed {
    let seen = Captures::new(node);
    let points = passage::points(passages);
    let mut out = Observed {
        packets: seen.count(),
        ..Observed::default()
    };
    let mut of_packet: Vec<u32> = vec![0; seen.all.len()];
    for point in &points {
        for i in seen.at(point) {
            of_packet[i] += 1;
        }
    }
    let tokens = tokens_in(&seen, &points);
    for point in points {
        let mut step = Step {
            point,
            count: 0,
            tied: 0,
            first: None,
            last: None,
            doubtful: false,
        };
        for i in seen.at(&step.point) {
            let Some(s) = seen.all.get(i) else { continue };
            step.count += 1;
            step.first.get_or_insert(s.sight());
            step.last = Some(s.sight());
            step.tied += usize::from(Token::of(s.packet).is_some_and(|t| tokens.contains(&t)));
            step.doubtful |= s.dev.is_none() && of_packet.get(i).is_some_and(|n| *n > 1);
        }
        out.steps.push(step);
    }
    let mut found = otherwise::Found::default();
    for group in passage::groups(passages) {
        otherwise::translated(&seen, &group, &mut found);
        otherwise::by_another_device(&seen, &group, &mut found);
        absent::never_leaves(&seen, &group, &mut found);
    }
    answers::answers(&seen, passages, &mut found);
    for (i, n) in of_packet.iter_mut().enumerate() {
        *n += u32::from(found.touched.contains(&i));
    }
    out.belong = of_packet.iter().filter(|n| **n > 0).count();
    out.otherwise = found.list;
    if out.steps.iter().any(|s| s.count == 0) {
        out.silent = absent::why_silent(&seen);
    }
    out
}

#[cfg(test)]
mod tests;
