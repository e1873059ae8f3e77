//! Which rule set the bits another rule looks at.

use super::nft;
use super::story::{Called, rule};
use crate::node::{ChainId, Node};
use crate::trace::{Effect, Hit};
use nfwhy_parsers::iptables::{Match, Rule, Target};

/// Why a rule was hit, as far as the packet's mark is the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The bits it depends on.
    pub bits: u32,
    /// Indices into the story of the rules that set them, the latest first.
    pub setters: Vec<usize>,
    /// Bits the packet came with.
    pub arrived: u32,
}

/// The mark bits that made the packet reach rule `at` of a story, and who set them; `None` where no mark was needed.
pub fn because_of_mark(node: &Node<'_>, story: &[Called], at: usize) -> Option<Provenance> {
    let called = story.get(at)?;
    let mut bits = 0;
    for (level, hit) in called.path().enumerate() {
        bits |= wanted(node, hit, value_on_entry(story, at, level));
    }
    if bits == 0 {
        return None;
    }
    let mut left = bits;
    let mut setters = Vec::new();
    for (i, c) in story.iter().enumerate().take(at).rev() {
        if c.outer != called.outer {
            continue;
        }
        if let Effect::Mark { old, new } = c.effect {
            let set = new & !old & left;
            if set != 0 {
                setters.push(i);
                left &= !set;
            }
        }
    }
    Some(Provenance {
        bits,
        setters,
        arrived: left,
    })
}

/// The mark when the packet entered the chain of the `level`th rule on the way to rule `at`.
fn value_on_entry(story: &[Called], at: usize, level: usize) -> u32 {
    let Some(me) = story.get(at) else { return 0 };
    let earlier = story.get(..at).unwrap_or_default();
    if let Some(parent) = level.checked_sub(1).and_then(|l| me.stack.get(l)) {
        return earlier
            .iter()
            .rfind(|c| c.hit == *parent)
            .map_or(me.view.mark, |c| c.view.mark);
    }
    let base = |c: &Called| c.path().next().map(|h| (h.table, h.chain));
    earlier
        .iter()
        .rev()
        .take_while(|c| base(c) == base(me))
        .last()
        .map_or(me.view.mark, |c| c.view.mark)
}

/// The bits without which the packet would not have come to a rule: those it matches itself, and those that kept it from an
/// earlier rule which ends the chain (kube-proxy's `-m mark ! --mark 0x4000/0x4000 -j RETURN`).
fn wanted(node: &Node<'_>, hit: Hit, on_entry: u32) -> u32 {
    if let Some(t) = node.netfilter.nft(hit.table) {
        let rules = t.rules(hit.chain);
        let own = rules.get(hit.rule).map_or(0, |r| nft::mark_bits(r, false));
        let guards = rules
            .iter()
            .take(hit.rule)
            .filter(|r| nft::leaves_the_chain(r))
            .map(|r| nft::mark_bits(r, true))
            .filter(|b| on_entry & b == *b);
        return own | guards.fold(0, |a, b| a | b);
    }
    let Some(table) = node.netfilter.tables.get(hit.table) else {
        return 0;
    };
    let rules = table.rules(hit.chain);
    let own = rules.get(hit.rule).map_or(0, |r| mark_bits(r, false));
    let guards = rules
        .iter()
        .take(hit.rule)
        .filter(|r| leaves_the_chain(&r.target))
        .map(|r| mark_bits(r, true))
        .filter(|b| on_entry & b == *b)
        .fold(0, |a, b| a | b);
    own | guards
}

/// The bits a rule's mark match asks to be set (`negated` false) or, negated, lets pass when set.
fn mark_bits(r: &Rule<'_>, negated: bool) -> u32 {
    r.matches
        .iter()
        .map(|m| match m {
            Match::Mark(n) if n.not == negated => n.value.value & n.value.mask,
            _ => 0,
        })
        .fold(0, |a, b| a | b)
}

fn leaves_the_chain(t: &Target<'_>) -> bool {
    matches!(
        t,
        Target::Return | Target::Accept | Target::Drop | Target::Reject(_) | Target::Goto(_)
    )
}

/// Whether a chain does nothing but change marks: the rule that jumps there is then the one to name.
pub fn only_marks(node: &Node<'_>, table: usize, chain: ChainId) -> bool {
    if let Some(t) = node.netfilter.nft(table) {
        let rules = t.rules(chain);
        return !rules.is_empty() && rules.len() <= 4 && rules.iter().all(nft::only_marks);
    }
    let Some(t) = node.netfilter.tables.get(table) else {
        return false;
    };
    let short = t
        .chains
        .get(chain.0 as usize)
        .is_some_and(|c| !c.rules.is_empty() && c.rules.len() <= 4 && c.policy.is_none());
    short
        && t.rules(chain).iter().all(|r| {
            matches!(
                r.target,
                Target::Mark(_)
                    | Target::Connmark(_)
                    | Target::Return
                    | Target::None
                    | Target::Continue { .. }
            )
        })
}

/// The rule to name for a mark: the jump to a chain that only marks, or the rule itself.
pub fn decider(node: &Node<'_>, setter: &Called) -> Hit {
    match setter.stack.last() {
        Some(jump) if only_marks(node, setter.hit.table, setter.hit.chain) => *jump,
        _ => setter.hit,
    }
}

/// Whether a rule looks at the mark at all.
pub fn looks_at_mark(node: &Node<'_>, hit: Hit) -> bool {
    if let Some(t) = node.netfilter.nft(hit.table) {
        let rule = t.rules(hit.chain).get(hit.rule);
        return rule.is_some_and(|r| nft::mark_bits(r, false) | nft::mark_bits(r, true) != 0);
    }
    rule(node, hit).is_some_and(|r| r.matches.iter().any(|m| matches!(m, Match::Mark(_))))
}
