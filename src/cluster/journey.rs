//! There and back: the ways of a packet, each with those of its answer.

use super::Cluster;
use super::walk::{End, Hop, Memory, Way};
use crate::explain::{Fate, reply_of};
use crate::sim::SimError;
use crate::trace::{Origin, Outcome, Packet, Rewrite, StepKind, Verdict, View};

/// One way of the packet and what becomes of its answer.
#[derive(Clone, Debug)]
pub struct Journey {
    /// There.
    pub way: Way,
    /// And back; `None` where nothing arrived, or what arrived is itself an answer.
    pub back: Option<Back>,
}

/// The answer's way.
#[derive(Clone, Debug)]
pub struct Back {
    /// What the client makes of it.
    pub fate: Fate,
    /// Why, in words.
    pub reason: String,
    /// The way that shows it.
    pub way: Option<Way>,
    /// Others that it may go, of which the client makes the same.
    pub also: Vec<Way>,
}

impl Journey {
    /// The packet as its last receiver sees it.
    pub fn delivered(&self) -> Option<View> {
        if !self.arrives() {
            return None;
        }
        self.way.last()?.outcome()?.delivered
    }

    /// Whether anybody receives it, as far as it is known.
    pub fn arrives(&self) -> bool {
        matches!(self.way.end, End::Process | End::Pod | End::Beyond)
    }

    /// The verdict: the first node's, unless a later place keeps the packet.
    pub fn verdict(&self) -> Verdict {
        match &self.way.end {
            End::Stopped => self
                .way
                .stop()
                .and_then(Hop::outcome)
                .map_or(Verdict::Dropped, |o| o.verdict),
            End::Unknown(_) => Verdict::Unknown,
            _ => self
                .way
                .hops
                .first()
                .and_then(Hop::outcome)
                .map_or(Verdict::Unknown, |o| o.verdict),
        }
    }

    /// Outcomes of the packet itself, place by place.
    pub fn outcomes(&self) -> impl DoubleEndedIterator<Item = &Outcome> {
        self.way
            .hops
            .iter()
            .filter(|h| !h.outer)
            .filter_map(Hop::outcome)
    }

    /// The last that rewrote the destination.
    pub fn dnat(&self) -> Option<&Rewrite> {
        self.outcomes().rev().find_map(|o| o.dnat.as_ref())
    }

    /// The last that rewrote the source.
    pub fn snat(&self) -> Option<&Rewrite> {
        self.outcomes().rev().find_map(|o| o.snat.as_ref())
    }

    /// The client's address as the first place saw it.
    pub fn client_ip_kept(&self) -> Option<bool> {
        let seen = self.delivered()?;
        let kept = self.outcomes().all(|o| o.client_ip_kept != Some(false));
        Some(kept && seen.src.is_some())
    }
}

impl Cluster<'_> {
    /// Follows a packet there and back.
    pub fn journeys(&self, place: usize, packet: &Packet) -> Result<Vec<Journey>, SimError> {
        let ways = self.ways(place, packet, &Memory::default())?;
        let mut list = Vec::with_capacity(ways.len());
        for way in ways {
            let mut j = Journey { way, back: None };
            // The wire shows whom the process is connected to in truth.
            let mut wire = packet.clone();
            if j.connected()
                && let Some(v) = j
                    .way
                    .hops
                    .first()
                    .and_then(Hop::outcome)
                    .and_then(|o| o.delivered)
            {
                (wire.dst, wire.dport) = (v.dst, v.dport);
            }
            j.back = self.back(place, &wire, &j.way);
            let passes = self.who_answers(&j);
            if let (Some(b), Some(text)) = (j.back.as_mut(), passes)
                && b.fate == Fate::Ok
            {
                b.reason = format!("{}, {text}", b.reason);
            }
            if let Some(b) = j.back.as_mut()
                && b.fate == Fate::Ok
                && (wire.dst, wire.dport) != (packet.dst, packet.dport)
            {
                let endpoint = crate::explain::names::endpoint;
                b.reason = format!(
                    "the process gets it from {}, to which Calico connected it instead of {}",
                    endpoint(wire.dst, wire.dport),
                    endpoint(packet.dst, packet.dport)
                );
            }
            list.push(j);
        }
        Ok(list)
    }

    /// The answer to what arrived by a way.
    fn back(&self, start: usize, asked: &Packet, way: &Way) -> Option<Back> {
        let hop = way.last()?;
        let o = hop.outcome()?;
        let is_reply =
            |s: &crate::trace::Step| matches!(s.kind, StepKind::Conntrack { reply: true, .. });
        if o.steps.iter().any(is_reply) {
            return None;
        }
        let origin = match (&way.end, &o.out) {
            (End::Process, _) => Origin::Local,
            (End::Pod, Some(out)) => Origin::Device(out.dev),
            // Whoever it is beyond, their answer comes by the way the packet went if it is for an address of the place.
            (End::Beyond, Some(out)) => {
                let src = o.delivered?.src?;
                let ours = super::walk::has(self, hop.place, src)
                    || asked.origin == Origin::Local
                    || self.places.get(hop.place).is_some_and(|p| {
                        crate::explain::place::from_local_pod(&p.node, &hop.trace.packet)
                    });
                if !ours && o.dnat.is_some() {
                    return Some(Back {
                        fate: Fate::BypassesNode,
                        reason: format!(
                            "{} answers the client directly, not through {}",
                            o.delivered?.dst,
                            self.name(hop.place)
                        ),
                        way: None,
                        also: Vec::new(),
                    });
                }
                Origin::Device(out.dev)
            }
            _ => return None,
        };
        let mut reply = reply_of(&hop.trace.packet, o, origin)?;
        // The connection of this place is among them; others may have changed since.
        reply.conn.clone_from(&o.conn);
        let Ok(ways) = self.ways(hop.place, &reply, &way.memory) else {
            return Some(Back {
                fate: Fate::Unknown,
                reason: "its way forks more often than is followed".to_owned(),
                way: None,
                also: Vec::new(),
            });
        };
        let mut fates: Vec<(Fate, String, Way)> = ways
            .into_iter()
            .map(|w| {
                let (fate, reason) = self.fate(start, asked, &w);
                (fate, reason, w)
            })
            .collect();
        fates.sort_by_key(|(f, _, _)| *f);
        let sure = fates.iter().all(|(_, _, w)| w.probability.is_some());
        let one = fates.first().map(|f| f.0) == fates.last().map(|f| f.0);
        // Both ends are possible: which, rests on chance or on what is not known.
        if !one {
            let (fate, reason, way) = fates.pop()?;
            return Some(Back {
                fate: if sure { fate } else { Fate::Unknown },
                reason,
                way: Some(way),
                also: Vec::new(),
            });
        }
        let mut alike = fates.into_iter();
        let (fate, reason, way) = alike.next()?;
        Some(Back {
            fate,
            reason,
            way: Some(way),
            also: alike.map(|(_, _, w)| w).collect(),
        })
    }

    /// What the client makes of an answer that went this way.
    fn fate(&self, start: usize, asked: &Packet, way: &Way) -> (Fate, String) {
        let Some(hop) = way.stop() else {
            return (Fate::Unknown, "it has no way".to_owned());
        };
        let at = self.name(hop.place);
        match &way.end {
            End::Unknown(why) => return (Fate::Unknown, why.clone()),
            End::Stopped => {
                let rejected = hop
                    .outcome()
                    .is_some_and(|o| o.verdict == Verdict::Rejected);
                let fate = if rejected {
                    Fate::Rejected
                } else {
                    Fate::Dropped
                };
                return (fate, format!("{at} does not let it pass"));
            }
            End::Process | End::Pod | End::Beyond => {}
        }
        let Some(seen) = way.last().and_then(Hop::outcome).and_then(|o| o.delivered) else {
            return (Fate::Unknown, format!("it is lost at {at}"));
        };
        let for_client = match (&way.end, asked.origin) {
            (End::Process, Origin::Local) => hop.place == start,
            // An address of a node that was masqueraded with, and no connection there.
            (End::Process, Origin::Device(_)) => asked.src == Some(seen.dst),
            (_, Origin::Local) => false,
            (_, Origin::Device(_)) => asked.src == Some(seen.dst),
        };
        if !for_client {
            return (
                Fate::Dropped,
                format!(
                    "it ends at {}, where no connection is waiting for it",
                    if way.end == End::Process {
                        at.to_owned()
                    } else {
                        seen.dst.to_string()
                    }
                ),
            );
        }
        let port = seen.sport == asked.dport
            || seen.sport.known().is_none()
            || asked.dport.known().is_none();
        let from = crate::explain::names::source(&seen);
        if port && seen.src == Some(asked.dst) {
            (
                Fate::Ok,
                format!("the client gets it from {from}, which it asked"),
            )
        } else {
            let asked = crate::explain::names::endpoint(asked.dst, asked.dport);
            (
                Fate::WrongAddress,
                format!("the client gets it from {from}, but asked {asked}"),
            )
        }
    }
}
