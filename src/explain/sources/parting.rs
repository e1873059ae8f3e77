//! Where the ways of two packets part.

use super::{Kind, Question, Span, add, trace};
use crate::node::{ChainId, DevId, Node, Origin};
use crate::trace::{CtState, Effect, Hit, Outcome, Step, StepKind, Trace, Verdict};
use std::net::IpAddr;

/// A step as far as it decides something, without the packet's own addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A rule matched.
    Rule(Hit),
    /// A base chain came to its end.
    Policy {
        /// Index into the tables.
        table: usize,
        /// The chain.
        chain: ChainId,
        /// Whether it accepts.
        accept: bool,
    },
    /// conntrack's view.
    Conntrack {
        /// State.
        state: CtState,
        /// The packet is an answer.
        reply: bool,
    },
    /// A route.
    Route {
        /// The route.
        at: Origin,
        /// Its table.
        table: String,
        /// Device.
        dev: Option<DevId>,
        /// Gateway.
        via: Option<IpAddr>,
        /// To the node itself.
        local: bool,
    },
    /// The reverse path filter.
    RpFilter {
        /// Whether the packet passed.
        ok: bool,
        /// The device of the route back.
        reverse: Option<DevId>,
    },
    /// IPVS took it.
    Ipvs {
        /// Index into the services.
        service: usize,
        /// Index of the server.
        server: usize,
    },
}

fn decision(step: &Step) -> Option<Decision> {
    Some(match &step.kind {
        StepKind::Hit { hit, .. } => Decision::Rule(*hit),
        StepKind::Policy {
            table,
            chain,
            accept,
        } => Decision::Policy {
            table: *table,
            chain: *chain,
            accept: *accept,
        },
        StepKind::Conntrack { state, reply, .. } => Decision::Conntrack {
            state: *state,
            reply: *reply,
        },
        StepKind::Route(r) => Decision::Route {
            at: r.at,
            table: r.table.clone(),
            dev: r.dev,
            via: r.via,
            local: r.local,
        },
        StepKind::RpFilter { ok, reverse, .. } => Decision::RpFilter {
            ok: *ok,
            reverse: *reverse,
        },
        StepKind::Ipvs {
            service, server, ..
        } => Decision::Ipvs {
            service: *service,
            server: *server,
        },
        _ => return None,
    })
}

/// One side of a parting.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What comes next; `None` = the way ends here.
    pub next: Option<Decision>,
    /// What the rule did, where it is one.
    pub effect: Option<Effect>,
    /// How it ends.
    pub verdict: Verdict,
}

/// Where two ways part.
#[derive(Clone, Debug, PartialEq)]
pub struct Parting {
    /// Decisions that both have.
    pub common: usize,
    /// They come in by different devices.
    pub devices: bool,
    /// The first one's side, and the other's.
    pub sides: [Side; 2],
    /// Which of the two rules is to blame: the one that the other packet passes by; `None` where that is no rule.
    pub rule: Option<(usize, Hit)>,
}

/// Where the ways of two packets part; `None` where all decisions are the same.
pub fn parting(one: &Trace, other: &Trace) -> Option<Parting> {
    let (a, b) = (one.expected(), other.expected());
    let (a, b) = (a.outcomes.first()?, b.outcomes.first()?);
    let devices = one.packet.origin != other.packet.origin;
    let found = of_outcomes(a, b);
    match found {
        Some(p) => Some(Parting { devices, ..p }),
        None if devices => Some(Parting {
            common: 0,
            devices,
            sides: [side(a, &[]), side(b, &[])],
            rule: None,
        }),
        None => None,
    }
}

/// Pieces of a kind that are held against the others.
const PIECES: usize = 16;

/// Sources of a kind that part from the others at one place.
#[derive(Clone, Debug)]
pub struct Apart {
    /// Which, in order.
    pub spans: Vec<Span>,
    /// Where.
    pub parting: Option<Parting>,
    /// The walk of the first of them.
    pub walk: Trace,
}

/// Where the sources of a kind part from the others, whose walk is given: the widest pieces first, and how many are left out.
pub fn apart(
    node: &Node<'_>,
    question: &Question,
    kind: &Kind,
    others: &Trace,
) -> (Vec<Apart>, usize) {
    let mut pieces: Vec<&Span> = kind.pieces.iter().collect();
    pieces.sort_by_key(|s| std::cmp::Reverse(s.width()));
    let left_out = pieces.len().saturating_sub(PIECES);
    pieces.truncate(PIECES);
    let mut all: Vec<Apart> = Vec::new();
    for piece in pieces {
        let Some(walk) = trace(node, question, piece.first) else {
            continue;
        };
        let parting = parting(&walk, others);
        let sent = |t: &Trace| t.packet.origin == crate::trace::Origin::Local;
        let at = all
            .iter_mut()
            .find(|a| sent(&a.walk) == sent(&walk) && alike(a.parting.as_ref(), parting.as_ref()));
        match at {
            Some(a) => a.spans.push(*piece),
            None => all.push(Apart {
                spans: vec![*piece],
                parting,
                walk,
            }),
        }
    }
    for a in &mut all {
        a.spans.sort_by_key(|s| s.first);
        let mut joined = Vec::new();
        for s in a.spans.drain(..) {
            add(&mut joined, s);
        }
        a.spans = joined;
    }
    (all, left_out)
}

/// Whether two partings are for the same reason.
fn alike(a: Option<&Parting>, b: Option<&Parting>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_none() && b.is_none();
    };
    let own = |p: &Parting| {
        let [own, _] = &p.sides;
        own.next.clone()
    };
    match (a.rule, b.rule) {
        (None, None) => a.devices == b.devices && own(a) == own(b),
        (one, other) => one == other,
    }
}

fn side(o: &Outcome, rest: &[(Decision, Effect)]) -> Side {
    Side {
        next: rest.first().map(|(d, _)| d.clone()),
        effect: rest.first().map(|(_, e)| e.clone()),
        verdict: o.verdict,
    }
}

fn decisions(o: &Outcome) -> Vec<(Decision, Effect)> {
    o.steps
        .iter()
        .filter_map(|s| {
            let effect = match &s.kind {
                StepKind::Hit { effect, .. } => effect.clone(),
                _ => Effect::None,
            };
            Some((decision(s)?, effect))
        })
        .collect()
}

fn of_outcomes(a: &Outcome, b: &Outcome) -> Option<Parting> {
    let (left, right) = (decisions(a), decisions(b));
    let same = |(x, y): &(&(Decision, Effect), &(Decision, Effect))| x.0 == y.0;
    let common = left.iter().zip(&right).take_while(same).count();
    let (l, r) = (
        left.get(common..).unwrap_or_default(),
        right.get(common..).unwrap_or_default(),
    );
    if l.is_empty() && r.is_empty() {
        return None;
    }
    Some(Parting {
        common,
        devices: false,
        rule: to_blame(l.first(), r.first()),
        sides: [side(a, l), side(b, r)],
    })
}

/// The rule that one packet matches and the other passes by. Of two rules of one chain it is the first; a rule that was entered
/// beside something else is it anyway.
fn to_blame(
    a: Option<&(Decision, Effect)>,
    b: Option<&(Decision, Effect)>,
) -> Option<(usize, Hit)> {
    let hit = |d: Option<&(Decision, Effect)>| match d {
        Some((Decision::Rule(h), _)) => Some(*h),
        _ => None,
    };
    // Where a way ends here, it is for no rule's sake: a rule that drops is a decision of its own.
    let ends = |d: Option<&(Decision, Effect)>| {
        matches!(d, None | Some((Decision::RpFilter { ok: false, .. }, _)))
    };
    if ends(a) || ends(b) {
        return None;
    }
    match (hit(a), hit(b)) {
        (Some(x), Some(y)) if (x.table, x.chain) == (y.table, y.chain) => {
            if x.rule < y.rule {
                Some((0, x))
            } else {
                Some((1, y))
            }
        }
        // One is in a chain that the other has left, or never entered: the deeper one's rule matched.
        (Some(x), _) => Some((0, x)),
        (None, Some(y)) => Some((1, y)),
        (None, None) => None,
    }
}
