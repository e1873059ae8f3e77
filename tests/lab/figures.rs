//! What a run has judged, in numbers.

use nfwhy::node::Node;
use nfwhy::trace::Outcome;
use std::collections::BTreeMap;

use super::tally::Tally;

/// Figures over nodes.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Nodes.
    pub nodes: u64,
    /// Packets sent and judged.
    pub packets: u64,
    /// Of these, judged one by one.
    pub singly: u64,
    /// Packets with more than one end.
    pub forking: u64,
    /// Packets for which an end is unknown to the simulator.
    pub unknown: u64,
    /// Replies and later packets.
    pub followed: u64,
    /// Batches whose packets were judged again one by one.
    pub again: u64,
    /// Rules loaded, and refused by the tools.
    pub rules: (u64, u64),
    /// Records that differ between the text and the JSON of a rule set.
    pub unlike: u64,
    /// By verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// What decided.
    pub tally: Tally,
}

impl Figures {
    /// In words; with the counts per match if asked for.
    pub fn text(&self, counts: bool) -> String {
        let tally = if counts {
            self.tally.text()
        } else {
            String::new()
        };
        format!(
            "{tally}{} nodes, {} packets ({} singly, {} with several ends, {} replies and later ones; {} batches again one by one), \
             {} unknown, {} rules ({} refused by the tools), {:?}",
            self.nodes,
            self.packets,
            self.singly,
            self.forking,
            self.followed,
            self.again,
            self.unknown,
            self.rules.0,
            self.rules.1,
            self.verdicts
        )
    }
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.packets += other.packets;
        self.singly += other.singly;
        self.forking += other.forking;
        self.unknown += other.unknown;
        self.followed += other.followed;
        self.again += other.again;
        self.rules.0 += other.rules.0;
        self.rules.1 += other.rules.1;
        self.unlike += other.unlike;
        for (verdict, n) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += n;
        }
        self.tally += other.tally;
    }
}

/// Counts an end that the kernel confirmed.
pub fn count(node: &Node<'_>, o: &Outcome, f: &mut Figures) {
    *f.verdicts.entry(o.verdict.name()).or_default() += 1;
    f.tally.add(node, o);
}
