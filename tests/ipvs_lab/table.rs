//! Connections that nothing tells of but conntrack's captured table.

use nfwhy::node::Node;
use nfwhy::sim::simulate;
use nfwhy::trace::{Outcome, Reason, Verdict};

use super::frame::has_ports;
use super::judge::{Figures, Fit, Hits, differences, hit_differences, hits, packet};
use super::outer::wrapping;
use super::probes::Probe;
use super::record::{Course, Seen};
use super::scenario::Scenario;

/// The later packet once more, of a connection that nothing tells of but the captured table.
pub(super) fn later(
    s: &Scenario,
    before: &nfwhy::capture::Snapshot,
    course: &Course,
    packets: &[(&'static str, Probe, &Seen)],
    fit: &Fit,
    did: &Hits,
    f: &mut Figures,
) -> Vec<String> {
    let (Some(table), Some(("later", p, seen)), false) =
        (&course.table, packets.last(), fit.unknown)
    else {
        return Vec::new();
    };
    // The table does not tell for which device a source was chosen, and what is untracked is not in it. A tunnel's packet that does
    // not arrive tells nothing. A ping of the simulator's has no id by which to find it.
    let elsewhere = |o: &Outcome| matches!(o.reason, Reason::MasqueradeElsewhere { .. });
    let off = ("ipv4/vs/conntrack".to_owned(), "0".to_owned());
    let untracked = |o: &Outcome| o.conn.as_ref().is_none_or(|c| c.untracked);
    let arrived = |q: &Probe| {
        wrapping(&Node::new(before), s, q)
            .is_ok_and(|w| w.is_none_or(|o| o.verdict == Verdict::Local))
    };
    if fit.ends.iter().any(elsewhere)
        || fit.ends.first().is_none_or(untracked)
        || s.sysctls.contains(&off)
        || !arrived(p)
        || !has_ports(p.wire.proto)
    {
        return Vec::new();
    }
    let mut snapshot = before.clone();
    snapshot.add("conntrack.txt".into(), table.clone().into_bytes());
    let node = Node::new(&snapshot);
    let mut left = did.clone();
    let earlier = packets.len() - 1;
    for (o, (_, q, _)) in fit.ends.iter().zip(packets).take(earlier) {
        let mut said = Hits::new();
        let wrap = wrapping(&node, s, q).ok().flatten();
        for x in wrap.iter().chain([o]) {
            hits(&node, x, &mut said);
        }
        for (k, n) in said {
            let have = left.entry(k).or_default();
            *have = have.saturating_sub(n);
        }
    }
    left.retain(|_, n| *n > 0);
    let answer = packet(&node, p, None)
        .and_then(|q| simulate(&node, &q).map_err(|e| e.to_string()))
        .and_then(|t| Ok((t, wrapping(&node, s, p)?)));
    let (trace, wrap) = match answer {
        Ok(x) => x,
        Err(e) => return vec![e],
    };
    let mut best: Option<Vec<String>> = None;
    for o in &trace.outcomes {
        let mut bad = differences(&node, p, o, seen);
        if bad.is_empty() {
            let mut said = Hits::new();
            for x in wrap.iter().chain([o]) {
                hits(&node, x, &mut said);
            }
            hit_differences(&node, &said, &left, &mut bad);
        }
        if best.as_ref().is_none_or(|b| bad.len() < b.len()) {
            best = Some(bad);
        }
    }
    let best = best.unwrap_or_default();
    if best.is_empty() {
        f.tally.count("packets", "later, by conntrack's table");
    }
    best
}
