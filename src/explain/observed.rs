//! What captured packets show of the traced one.

use super::{Answer, Cause, Code, Finding, answer};
use crate::node::Node;
use crate::observed::{Observed, Otherwise, Passage, hold};
use crate::trace::Trace;

/// Answers are followed for so many outcomes.
const ANSWERS: usize = 64;

/// The captures of a node held against a trace; `None` where it has none.
pub fn of_node(node: &Node<'_>, trace: &Trace) -> Option<Observed> {
    (!node.traffic.is_empty()).then(|| hold(node, &passages(node, trace)))
}

/// The passages of a packet and of its answers through one node, with all their ends.
pub fn passages(node: &Node<'_>, trace: &Trace) -> Vec<Passage> {
    let mut list = Vec::new();
    for (i, o) in trace.outcomes.iter().enumerate() {
        list.push(Passage::of(&trace.packet, o, i, false));
    }
    for (i, o) in trace.outcomes.iter().enumerate().take(ANSWERS) {
        if let Some(Answer::Here(back)) = answer(node, trace, o) {
            let back = back.as_ref();
            list.extend(
                back.outcomes
                    .iter()
                    .map(|r| Passage::of(&back.packet, r, i, true)),
            );
        }
    }
    list
}

/// A finding for each contradiction.
pub fn findings(observed: &Observed) -> impl Iterator<Item = Finding> + '_ {
    observed.otherwise.iter().map(finding)
}

fn finding(o: &Otherwise) -> Finding {
    let mut title = o.title.clone();
    if o.count > 1 {
        title += &format!(" ({} times)", o.count);
    }
    let mut f = Finding::new(Code::ObservedOtherwise, title);
    for s in &o.shown_by {
        f.blame(Cause::Packet { at: s.at });
    }
    for h in &o.help {
        f.advise(h.clone());
    }
    f
}
