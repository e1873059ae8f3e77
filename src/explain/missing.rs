//! What was not captured, by how much of the answer it would settle.
//!
//! The outcomes of a trace are the leaves of a tree whose forks are choices of chance and questions that nothing captured answers. A
//! question settles as much as its two sides differ in what becomes of the packet, times how likely the packet comes to be asked it;
//! sides of a question are taken to be equally likely. So nothing has to be simulated again.

use crate::trace::{Missing, Outcome, Trace, Verdict, View};
use std::collections::HashMap;
use std::net::IpAddr;

/// Something that was not captured, and what knowing it would change.
#[derive(Clone, Debug, PartialEq)]
pub struct Lack<'t> {
    /// What, and the command that shows it.
    pub missing: &'t Missing,
    /// The share of the answer in which the verdict or the fate of the client's address differs by it, 0 to 1.
    pub decides: f64,
    /// The share in which anything of the packet differs: where it goes, what it looks like.
    pub changes: f64,
}

impl Lack<'_> {
    /// Whether the answer depends on it at all.
    pub fn matters(&self) -> bool {
        self.decides > 0.0 || self.changes > 0.0
    }
}

/// All that outcomes lack, what settles most first.
pub fn ranked(trace: &Trace) -> Vec<Lack<'_>> {
    let mut tree = Tree {
        outcomes: &trace.outcomes,
        ends: Vec::new(),
        settled: HashMap::new(),
    };
    let all: Vec<usize> = (0..trace.outcomes.len()).collect();
    tree.visit(&all, 0, 1.0);
    let mut list: Vec<Lack<'_>> = tree
        .settled
        .into_iter()
        .map(|(missing, (decides, changes))| Lack {
            missing,
            decides: decides.min(1.0),
            changes: changes.min(1.0),
        })
        .collect();
    list.sort_by(|a, b| {
        b.decides
            .total_cmp(&a.decides)
            .then(b.changes.total_cmp(&a.changes))
            .then(a.missing.cmp(b.missing))
    });
    list
}

/// Commands in the order of [`ranked`], each with what it would show; without those that would change nothing.
pub fn commands(trace: &Trace) -> Vec<(&str, Vec<String>)> {
    let mut list: Vec<(&str, Vec<String>)> = Vec::new();
    for l in ranked(trace).iter().filter(|l| l.matters()) {
        let m = l.missing;
        match list.iter_mut().find(|(c, _)| *c == m.command) {
            Some((_, what)) => what.push(m.what.clone()),
            None => list.push((&m.command, vec![m.what.clone()])),
        }
    }
    list
}

/// How a packet ends, for a comparison.
#[derive(Clone, Copy, PartialEq)]
struct End {
    verdict: Verdict,
    client_ip_kept: Option<bool>,
    delivered: Option<View>,
    out: Option<(crate::node::DevId, Option<IpAddr>)>,
}

impl End {
    fn of(o: &Outcome) -> Self {
        Self {
            verdict: o.verdict,
            client_ip_kept: o.client_ip_kept,
            delivered: o.delivered,
            out: o.out.as_ref().map(|x| (x.dev, x.via)),
        }
    }

    fn decided_alike(&self, other: &Self) -> bool {
        (self.verdict, self.client_ip_kept) == (other.verdict, other.client_ip_kept)
    }
}

/// Shares of ends, by their number in `Tree::ends`.
type Shares = Vec<(usize, f64)>;

struct Tree<'t> {
    outcomes: &'t [Outcome],
    ends: Vec<End>,
    /// What each missing thing decides and changes.
    settled: HashMap<&'t Missing, (f64, f64)>,
}

impl<'t> Tree<'t> {
    /// Visits the outcomes that agree in their first `depth` branches, which are come to with probability `weight`; gives the shares of
    /// their ends.
    fn visit(&mut self, members: &[usize], depth: usize, weight: f64) -> Shares {
        let outcomes = self.outcomes;
        let Some(first) = members.first().and_then(|i| outcomes.get(*i)) else {
            return Vec::new();
        };
        let Some(fork) = first.branches.get(depth) else {
            return self.leaf(first, weight);
        };
        let mut sides: Vec<(usize, f64, Vec<usize>)> = Vec::new();
        for i in members {
            let Some(branch) = outcomes.get(*i).and_then(|o| o.branches.get(depth)) else {
                continue;
            };
            match sides.iter_mut().find(|(taken, ..)| *taken == branch.taken) {
                Some((_, _, list)) => list.push(*i),
                None => sides.push((branch.taken, branch.probability.unwrap_or(0.5), vec![*i])),
            }
        }
        let shares: Vec<Shares> = sides
            .iter()
            .map(|(_, p, list)| self.visit(list, depth + 1, weight * p))
            .collect();
        if let (None, [a, b]) = (fork.probability, shares.as_slice()) {
            let decides = weight * self.apart(a, b, End::decided_alike);
            let mut changes = weight * self.apart(a, b, |x, y| x == y);
            // Sides whose shares agree may still be told apart by another question within them.
            if changes == 0.0 && !self.same_ends(&sides, depth + 1) {
                changes = f64::MIN_POSITIVE;
            }
            for m in fork.told_by.iter().filter_map(|m| first.missing.get(*m)) {
                let settled = self.settled.entry(m).or_default();
                settled.0 += decides;
                settled.1 += changes;
            }
        }
        let mut all: Shares = Vec::new();
        for (side, (_, p, _)) in shares.iter().zip(&sides) {
            for (end, share) in side {
                add(&mut all, *end, share * p);
            }
        }
        all
    }

    /// An outcome. What it lacks without having forked over it is not told by any other: it may end in any way.
    fn leaf(&mut self, o: &'t Outcome, weight: f64) -> Shares {
        for (i, m) in o.missing.iter().enumerate() {
            let forked = o.branches.iter().any(|b| b.told_by.contains(&i));
            let settled = self.settled.entry(m).or_default();
            if !forked && o.probability.is_none() {
                settled.0 += weight;
                settled.1 += weight;
            }
        }
        let end = End::of(o);
        let at = self.ends.iter().position(|e| *e == end);
        let at = at.unwrap_or_else(|| {
            self.ends.push(end);
            self.ends.len() - 1
        });
        vec![(at, 1.0)]
    }

    /// The share in which two sides end otherwise, where ends that are `alike` count as one.
    fn apart(&self, a: &Shares, b: &Shares, alike: impl Fn(&End, &End) -> bool) -> f64 {
        let mut kinds: Vec<(&End, f64)> = Vec::new();
        for (sign, side) in [(1.0, a), (-1.0, b)] {
            for (end, share) in side {
                let Some(end) = self.ends.get(*end) else {
                    continue;
                };
                match kinds.iter_mut().find(|(e, _)| alike(e, end)) {
                    Some((_, sum)) => *sum += sign * share,
                    None => kinds.push((end, sign * share)),
                }
            }
        }
        let apart = kinds.iter().map(|(_, d)| d.abs()).sum::<f64>() / 2.0;
        // Sums of binary fractions.
        if apart < 1e-9 { 0.0 } else { apart }
    }

    /// Whether both sides ask the same from `depth` on, and end alike for the same answers.
    fn same_ends(&self, sides: &[(usize, f64, Vec<usize>)], depth: usize) -> bool {
        type Answers = Vec<(u64, usize)>;
        let ends = |list: &[usize]| -> Vec<(Answers, End)> {
            let own = list.iter().filter_map(|i| self.outcomes.get(*i));
            let mut ends: Vec<(Answers, End)> = own
                .map(|o| {
                    let later = o.branches.get(depth..).unwrap_or_default();
                    let mut answers: Answers = later.iter().map(|b| (b.over, b.taken)).collect();
                    answers.sort_unstable();
                    (answers, End::of(o))
                })
                .collect();
            ends.sort_by(|a, b| a.0.cmp(&b.0));
            ends
        };
        match sides {
            [(_, _, a), (_, _, b)] => ends(a) == ends(b),
            _ => true,
        }
    }
}

fn add(shares: &mut Shares, end: usize, share: f64) {
    match shares.iter_mut().find(|(e, _)| *e == end) {
        Some((_, sum)) => *sum += share,
        None => shares.push((end, share)),
    }
}
