//! The packet simulated once more without some rules, and what is different then.

use crate::node::Node;
use crate::sim::{Limits, WhatIf, simulate_what_if};
use crate::trace::{Hit, Outcome, Packet, Trace, Verdict};
use std::collections::BTreeSet;
use std::net::IpAddr;

const LIMITS: Limits = Limits {
    branches: 2_000,
    rules: 20_000_000,
};

/// The packet without these rules.
pub(super) fn without(node: &Node<'_>, packet: &Packet, rules: &[Hit]) -> Option<Trace> {
    let what_if = WhatIf {
        without: rules.to_vec(),
        ..WhatIf::default()
    };
    simulate_what_if(node, packet, &what_if, LIMITS).ok()
}

/// How an outcome ends, as far as sender and receiver notice.
pub(super) type End = (Verdict, Option<(IpAddr, Option<u16>)>, Option<IpAddr>);

/// How one outcome ends.
pub(super) fn end(o: &Outcome) -> End {
    let dnat = o.dnat.as_ref().and_then(|d| Some((d.ip?, d.port)));
    (o.verdict, dnat, o.delivered.and_then(|d| d.src))
}

/// The different ends of a trace.
pub(super) fn ends(t: &Trace) -> BTreeSet<End> {
    t.outcomes.iter().map(end).collect()
}
