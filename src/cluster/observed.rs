//! Captured packets of every place held against the ways.

use super::{Cluster, Hop, Journey};
use crate::observed::{Observed, Passage, hold};
use crate::trace::Trace;

impl Cluster<'_> {
    /// What the captures of each place show that has some; `first` is the trace at the place where the packet starts.
    pub fn observed(
        &self,
        place: usize,
        first: &Trace,
        journeys: &[Journey],
    ) -> Vec<(usize, Observed)> {
        let with_captures = self
            .places
            .iter()
            .enumerate()
            .filter(|(_, p)| !p.node.traffic.is_empty());
        with_captures
            .map(|(at, p)| {
                let mut passages = Vec::new();
                // All ends at the first place, also those that are not followed.
                if at == place {
                    let all = first.outcomes.iter().enumerate();
                    passages.extend(all.map(|(i, o)| Passage::of(&first.packet, o, i, false)));
                }
                for (i, j) in journeys.iter().enumerate() {
                    let ways = [
                        (Some(&j.way), false),
                        (j.back.as_ref().and_then(|b| b.way.as_ref()), true),
                    ];
                    for (way, reply) in ways {
                        let hops = way.into_iter().flat_map(|w| w.hops.iter());
                        let here = hops.filter(|h| h.place == at);
                        passages.extend(here.filter_map(|h| of_hop(h, i, reply)));
                    }
                }
                (at, hold(&p.node, &passages))
            })
            .collect()
    }
}

fn of_hop(hop: &Hop, journey: usize, reply: bool) -> Option<Passage> {
    let mut p = Passage::of(&hop.trace.packet, hop.outcome()?, journey, reply);
    p.outer = hop.outer;
    Some(p)
}
