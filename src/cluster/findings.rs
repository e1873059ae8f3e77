//! Findings of a packet's way through several places, each with the place whose rules it names.

use super::walk::{End, Hop};
use super::{Cluster, Journey};
use crate::explain::{Code, Fate, Finding, Severity, explain};
use crate::trace::{Trace, Verdict};

/// A finding, and the index of the place that its causes are of.
pub type Found = (usize, Finding);

/// Findings about the answer that one place alone makes: here it is known what becomes of it.
const OF_ONE_PLACE: &[Code] = &[
    Code::AnswerElsewhere,
    Code::AnswerNotTranslated,
    Code::AnswerDropped,
    Code::ObservedOtherwise,
];

/// Those that say what the answer of another place is expected to be; here its way is known.
const OF_A_DATAPATH: &[Code] = &[Code::EbpfDsr, Code::EbpfDecides];

impl Cluster<'_> {
    /// What there is to say of a packet's journeys from a place; `first` is its trace there.
    pub fn findings(&self, place: usize, first: &Trace, journeys: &[Journey]) -> Vec<Found> {
        let mut list: Vec<Found> = Vec::new();
        for j in journeys {
            self.stops_later(j, &mut list);
        }
        for j in journeys {
            self.broken_answer(first, j, &mut list);
        }
        let Some(p) = self.places.get(place) else {
            return list;
        };
        let datapath = self.datapath(first, journeys);
        for f in explain(&p.node, first) {
            let told = !datapath.is_empty() && OF_A_DATAPATH.contains(&f.code);
            if !OF_ONE_PLACE.contains(&f.code) && !told {
                list.push((place, f));
            }
        }
        list.extend(datapath);
        for j in journeys.iter().filter(|j| j.arrives()) {
            self.changed_later(j, &mut list);
        }
        for (place, seen) in self.observed(place, first, journeys) {
            let Some(p) = self.places.get(place) else {
                continue;
            };
            for mut f in crate::explain::observed::findings(&p.node, &seen) {
                f.title = format!("on {}: {}", self.name(place), f.title);
                add(&mut list, place, f);
            }
        }
        // What keeps the packet or its answer from arriving first; equal ones stay in order.
        list.sort_by_key(|(_, f)| std::cmp::Reverse(f.severity));
        list
    }

    /// A later place keeps the packet.
    fn stops_later(&self, j: &Journey, list: &mut Vec<Found>) {
        let (End::Stopped, Some(hop)) = (&j.way.end, j.way.stop()) else {
            return;
        };
        if j.way.hops.len() < 2 {
            return;
        }
        let Some((place, mut f)) = self.of_hop(hop) else {
            return;
        };
        f.title = format!("on {}: {}", self.name(place), f.title);
        if hop.outer {
            f.title += " (the tunnel's outer packet)";
        }
        add(list, place, f);
    }

    /// The first finding of a hop's own place.
    fn of_hop(&self, hop: &Hop) -> Option<Found> {
        let p = self.places.get(hop.place)?;
        let fails = |f: &Finding| !OF_ONE_PLACE.contains(&f.code);
        let f = explain(&p.node, &hop.trace).into_iter().find(fails)?;
        Some((hop.place, f))
    }

    /// The client gets no answer, or not from whom it asked.
    fn broken_answer(&self, first: &Trace, j: &Journey, list: &mut Vec<Found>) {
        let Some(back) = &j.back else { return };
        let asked = crate::explain::names::endpoint(first.packet.dst, first.packet.dport);
        let stop = back.way.as_ref().and_then(super::Way::stop);
        match back.fate {
            Fate::WrongAddress => {
                let seen = back
                    .way
                    .as_ref()
                    .and_then(super::Way::last)
                    .and_then(Hop::outcome)
                    .and_then(|o| o.delivered);
                let from = seen.map_or_else(
                    || "another address".to_owned(),
                    |v| crate::explain::names::source(&v),
                );
                let at = stop.map_or(0, |h| h.place);
                let f = Finding {
                    code: Code::AnswerNotTranslated,
                    severity: Severity::Error,
                    title: format!(
                        "the answer leaves by {} and reaches the client from {from}, not {asked}: the client does not know it and resets",
                        self.name(at)
                    ),
                    causes: Vec::new(),
                    help: vec![format!(
                        "{} rewrote the destination and kept the source, so the receiver answers the client past it: masquerade there (policy Cluster), or send only to endpoints of the node itself (policy Local)",
                        self.rewriter(j)
                    )],
                };
                add(list, at, f);
            }
            Fate::Dropped | Fate::Rejected => {
                let Some(hop) = stop else { return };
                let kept = hop
                    .outcome()
                    .is_some_and(|o| matches!(o.verdict, Verdict::Dropped | Verdict::Rejected));
                let inner = if kept { self.of_hop(hop) } else { None };
                let why = inner
                    .as_ref()
                    .map_or_else(|| back.reason.clone(), |(_, f)| f.title.clone());
                let f = Finding {
                    code: Code::AnswerDropped,
                    severity: Severity::Error,
                    title: format!(
                        "the packet arrives, but its answer does not come back: on {}, {why}",
                        self.name(hop.place)
                    ),
                    causes: inner
                        .as_ref()
                        .map_or_else(Vec::new, |(_, f)| f.causes.clone()),
                    help: inner.map_or_else(Vec::new, |(_, f)| f.help),
                };
                add(list, hop.place, f);
            }
            Fate::BypassesNode => {
                let at = j.way.last().map_or(0, |h| h.place);
                let f = Finding {
                    code: Code::AnswerElsewhere,
                    severity: Severity::Warning,
                    title: format!(
                        "{}, and its node was not captured: unless that routes the answer back, the client gets it from an address it did not ask ({asked})",
                        back.reason
                    ),
                    causes: Vec::new(),
                    help: vec!["add the capture of the node that the packet goes on to".to_owned()],
                };
                add(list, at, f);
            }
            Fate::Ok | Fate::Unknown => {}
        }
    }

    /// The name of the last place that rewrote the destination.
    fn rewriter(&self, j: &Journey) -> &str {
        let rewrote = |h: &&Hop| !h.outer && h.outcome().is_some_and(|o| o.dnat.is_some());
        let hop = j.way.hops.iter().rev().find(rewrote);
        hop.map_or("a node", |h| self.name(h.place))
    }

    /// A later place takes the client's address away.
    fn changed_later(&self, j: &Journey, list: &mut Vec<Found>) {
        for hop in j.way.hops.iter().skip(1).filter(|h| !h.outer) {
            let Some(p) = self.places.get(hop.place) else {
                continue;
            };
            if hop.outcome().is_none_or(|o| o.snat.is_none()) {
                continue;
            }
            for mut f in explain(&p.node, &hop.trace) {
                if f.code == Code::ClientIpLost {
                    f.title = format!("on {}: {}", p.name, f.title);
                    add(list, hop.place, f);
                }
            }
        }
    }
}

fn add(list: &mut Vec<Found>, place: usize, f: Finding) {
    let same = |(p, g): &&mut Found| *p == place && g.code == f.code && g.title == f.title;
    if let Some((_, g)) = list.iter_mut().find(same) {
        for c in f.causes {
            if !g.causes.contains(&c) {
                g.causes.push(c);
            }
        }
    } else {
        list.push((place, f));
    }
}
