//! What captured packets show of the traced one.

use super::{Answer, Cause, Code, Finding, answer};
use crate::node::Node;
use crate::observed::{Observed, Otherwise, Passage, Sight, hold};
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
pub fn findings(node: &Node<'_>, observed: &Observed) -> Vec<Finding> {
    observed
        .otherwise
        .iter()
        .map(|o| finding(node, o))
        .collect()
}

/// Where a packet stands: `dump.txt:12`, `dump.pcap packet 12`.
pub fn place(node: &Node<'_>, s: Sight) -> String {
    if s.binary {
        format!("{} packet {}", node.file_name(s.at.file), s.at.line)
    } else {
        node.place(s.at)
    }
}

fn finding(node: &Node<'_>, o: &Otherwise) -> Finding {
    let mut title = o.title.clone();
    if let Some(s) = o.shown_by.first() {
        let times = match o.count {
            0 | 1 => String::new(),
            n => format!(", {n} packets"),
        };
        title += &format!(" ({}{times})", place(node, *s));
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
