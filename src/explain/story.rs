//! An outcome's hits with the jumps that led to each.

use crate::node::{Node, TableView};
use crate::trace::{Effect, Hit, NatKind, Outcome, StepKind, View};
use nfwhy_parsers::iptables::Target;

/// A rule that counted the packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// Index into the outcome's steps.
    pub step: usize,
    /// The rule.
    pub hit: Hit,
    /// What it did.
    pub effect: Effect,
    /// The jumps that led to its chain, outermost first.
    pub stack: Vec<Hit>,
    /// The packet as it came to the rule.
    pub view: View,
    /// The packet is the outer one of a tunnel.
    pub outer: bool,
}

impl Called {
    /// Whether the rule rewrote the source, and how.
    pub fn rewrote_source(&self) -> Option<(NatKind, View)> {
        match &self.effect {
            Effect::Nat { kind, to } if rewrites_source(*kind, &self.view, to) => {
                Some((*kind, *to))
            }
            _ => None,
        }
    }

    /// Whether the rule rewrote the destination.
    pub fn rewrote_destination(&self) -> bool {
        matches!(&self.effect, Effect::Nat { kind, to } if !rewrites_source(*kind, &self.view, to))
    }

    /// The jumps and the rule itself, outermost first.
    pub fn path(&self) -> impl Iterator<Item = Hit> + '_ {
        self.stack.iter().copied().chain(std::iter::once(self.hit))
    }
}

fn rewrites_source(kind: NatKind, before: &View, after: &View) -> bool {
    match kind {
        NatKind::Snat | NatKind::Masquerade => true,
        NatKind::Netmap => before.src != after.src,
        NatKind::Dnat
        | NatKind::Redirect
        | NatKind::Ipvs
        | NatKind::Conntrack
        | NatKind::Tproxy
        | NatKind::Ebpf => false,
    }
}

/// The hits of an outcome in order.
pub fn story(node: &Node<'_>, outcome: &Outcome) -> Vec<Called> {
    let mut list = Vec::new();
    let mut stack: Vec<Hit> = Vec::new();
    let mut in_outer = false;
    for (step, s) in outcome.steps.iter().enumerate() {
        match &s.kind {
            StepKind::Hook { outer, .. } => {
                in_outer = *outer;
                stack.clear();
            }
            StepKind::Chain { .. } => stack.clear(),
            StepKind::Hit { hit, depth, effect } => {
                // A goto leaves no way back, so depth alone does not tell the caller: the chain's name does.
                match stack.iter().rposition(|j| leads_to(node, *j, *hit)) {
                    Some(caller) => stack.truncate(caller + 1),
                    None => stack.truncate(*depth),
                }
                list.push(Called {
                    step,
                    hit: *hit,
                    effect: effect.clone(),
                    stack: stack.clone(),
                    view: s.view,
                    outer: in_outer,
                });
                if *effect == Effect::Jump {
                    stack.push(*hit);
                }
            }
            _ => {}
        }
    }
    list
}

/// Whether a jump leads to the chain of a hit.
fn leads_to(node: &Node<'_>, jump: Hit, hit: Hit) -> bool {
    if jump.table != hit.table {
        return false;
    }
    let Some(t) = node.netfilter.view(hit.table) else {
        return false;
    };
    let name = t.chain_name(hit.chain);
    if let TableView::Nft(t) = t {
        // A rule may choose among chains by a map: any of them it names may be meant.
        let rules = t.rules(jump.chain);
        return rules
            .get(jump.rule)
            .is_some_and(|r| super::nft::may_jump_to(t, r, name));
    }
    match rule(node, jump).map(|r| &r.target) {
        Some(Target::Jump(to) | Target::Goto(to)) => to.as_ref() == name,
        _ => false,
    }
}

/// The rule that rewrote the source of the packet itself, if one did.
pub fn rewriter(story: &[Called]) -> Option<usize> {
    story
        .iter()
        .rposition(|c| !c.outer && c.rewrote_source().is_some())
}

/// The rule of a story that ended it, where its last step is that rule.
pub fn last_of(story: &[Called], hit: Hit) -> Option<usize> {
    story.iter().rposition(|c| c.hit == hit)
}

/// The parsed rule of a hit.
pub fn rule<'n, 'a>(node: &'n Node<'a>, hit: Hit) -> Option<&'n nfwhy_parsers::iptables::Rule<'a>> {
    node.netfilter
        .tables
        .get(hit.table)?
        .rules(hit.chain)
        .get(hit.rule)
}
