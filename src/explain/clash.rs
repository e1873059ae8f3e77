//! Mark bits that two programs use, each for a purpose of its own.
//!
//! A mark is one number of 32 bits for all programs of a node. What one sets, another may take for its own, or clear.

use super::again::{end, without};
use super::marks::{because_of_mark, decider};
use super::names::full_rule;
use super::owners::{self, Owner};
use super::source::receiver;
use super::story::{Called, rule};
use super::{Case, Code, Finding, Rank, Severity};
use crate::node::Node;
use crate::trace::{Effect, Hit, Outcome, Verdict};
use nfwhy_parsers::iptables::{Match, Target};

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let mut list: Vec<Finding> = Vec::new();
    for (o, story) in case.outcomes().take(16) {
        // A foreign accept alone is the least of it.
        let found = taken(case, o, story, false)
            .or_else(|| undone(case, o, story))
            .or_else(|| taken(case, o, story, true));
        let Some(f) = found else { continue };
        match list.iter_mut().find(|g| g.title == f.title) {
            Some(g) => f.causes.into_iter().for_each(|c| g.blame(c)),
            None => list.push(f),
        }
    }
    list.into_iter().map(|f| (Rank::Fails, f)).collect()
}

fn owner(node: &Node<'_>, hit: Hit) -> Option<Owner> {
    owners::of_rule(node, hit)
}

/// Whether two programs agree on their bits: kubelet and kube-proxy share theirs.
fn same(a: Owner, b: Owner) -> bool {
    let kube = |o: Owner| matches!(o.name, "kube-proxy" | "kubelet");
    a.name == b.name || kube(a) && kube(b)
}

/// A rule of one program is hit because of bits that another has set.
fn taken(case: &Case<'_, '_>, o: &Outcome, story: &[Called], accepts: bool) -> Option<Finding> {
    let node = case.node;
    for (i, c) in story.iter().enumerate() {
        let decides = match &c.effect {
            // An accept keeps the packet from the rest of the chain: policies that stand there are not asked.
            Effect::Accept => accepts,
            Effect::Drop | Effect::Reject => !accepts,
            Effect::Nat { .. } => !accepts && c.rewrote_source().is_some(),
            _ => false,
        };
        if !decides || c.outer {
            continue;
        }
        let Some(mine) = owner(node, c.hit) else {
            continue;
        };
        let Some(p) = because_of_mark(node, story, i) else {
            continue;
        };
        // Who jumps to another's marking chain means that other's purpose: the rule that marks tells, not the jump.
        let strange = p
            .setters
            .iter()
            .filter_map(|s| story.get(*s))
            .find(|s| owner(node, s.hit).is_some_and(|w| !same(w, mine)));
        let Some(setter) = strange else { continue };
        let Some(theirs) = owner(node, setter.hit) else {
            continue;
        };
        let what = match (&c.effect, o.verdict) {
            (Effect::Nat { .. }, _) => {
                let src = o.delivered.and_then(|d| d.src);
                let src = src.map_or_else(|| "another address".to_owned(), |s| s.to_string());
                format!("rewrites the source to {src}")
            }
            (Effect::Reject, _) => "rejects the packet".to_owned(),
            (Effect::Accept, _) => {
                "accepts the packet, so that no rule behind it is asked".to_owned()
            }
            _ => "drops the packet".to_owned(),
        };
        let mut f = Finding::new(
            Code::MarkClash,
            format!(
                "{} and {} both use mark {:#x}: {} sets it, and {} takes it for {}'s own and {what}",
                theirs.name,
                mine.name,
                p.bits,
                full_rule(node, decider(node, setter)),
                full_rule(node, c.hit),
                mine.name,
            ),
        );
        if accepts {
            f = f.with_severity(Severity::Warning);
        }
        f.blame_rules([c.hit, decider(node, setter), setter.hit]);
        f.blame_rules(c.stack.iter().rev().copied());
        f.blame_rules(setter.stack.iter().rev().copied());
        advise(&mut f, theirs, mine, p.bits);
        return Some(f);
    }
    None
}

/// A rule of one program is missed, because another has changed bits that it asks for.
fn undone(case: &Case<'_, '_>, o: &Outcome, story: &[Called]) -> Option<Finding> {
    let node = case.node;
    for (i, c) in story.iter().enumerate() {
        let Effect::Mark { old, new } = c.effect else {
            continue;
        };
        let (Some(mine), false) = (owner(node, c.hit), c.outer) else {
            continue;
        };
        let before = story.get(..i)?;
        let setter = before.iter().rev().find(|s| match s.effect {
            // Its bits are cleared, or others are set beside them where its own rules compare all of them at once.
            Effect::Mark { old: o, new: n } => {
                let set = n & !o;
                owner(node, s.hit).is_some_and(|w| !same(w, mine))
                    && !s.outer
                    && set != 0
                    && (set & old & !new != 0 || asked_with(node, story, set, new & !old))
            }
            _ => false,
        });
        let Some(setter) = setter else { continue };
        let theirs = owner(node, setter.hit)?;
        let bits = match setter.effect {
            Effect::Mark { old: o, new: n } => n & !o,
            _ => 0,
        };
        let else_how = without(node, &case.trace.packet, &[c.hit])?;
        let now = end(o);
        if else_how.outcomes.iter().any(|o| end(o) == now) {
            continue;
        }
        let then = else_how.outcomes.first()?;
        // The rule that then is hit for the bits.
        let stories = super::story::story(node, then);
        let missed = stories.iter().enumerate().find_map(|(j, s)| {
            let p = because_of_mark(node, &stories, j)?;
            let theirs = owner(node, s.hit).is_some_and(|w| w.name == theirs.name);
            let decides = !matches!(s.effect, Effect::Mark { .. } | Effect::Jump | Effect::None);
            let new = !story.iter().any(|c| c.hit == s.hit);
            (theirs && decides && new && p.bits & bits != 0).then_some(s.hit)
        });
        let missed = missed.or_else(|| {
            let guard = |s: &&Called| {
                s.effect == Effect::Return
                    && owner(node, s.hit).is_some_and(|w| w.name == theirs.name)
            };
            story.get(i..)?.iter().find(guard).map(|s| s.hit)
        });
        let never = missed.map_or_else(
            || format!("{}'s own rules", theirs.name),
            |h| full_rule(node, h),
        );
        let cleared = bits & old & !new;
        let how = if cleared != 0 {
            format!("clears it before {never} asks for it")
        } else {
            format!(
                "sets {:#x} beside it, so that {never}, which compares both, does not match",
                new & !old
            )
        };
        let mut f = Finding::new(
            Code::MarkClash,
            format!(
                "{} and {} both use mark {bits:#x}: {} sets it, and {} {how}; {}",
                theirs.name,
                mine.name,
                full_rule(node, decider(node, setter)),
                full_rule(node, c.hit),
                consequence(case, o, then),
            ),
        );
        f.blame_rules([c.hit, decider(node, setter), setter.hit]);
        f.blame_rules(c.stack.iter().rev().copied());
        f.blame_rules(setter.stack.iter().rev().copied());
        if matches!(o.verdict, Verdict::Dropped | Verdict::Rejected)
            && let crate::trace::Reason::Rule(h) = o.reason
        {
            f.blame_rules([h]);
        }
        advise(&mut f, theirs, mine, bits);
        return Some(f);
    }
    None
}

/// Whether some rule on the way asks for `bits` with a mask that holds `others` as well.
fn asked_with(node: &Node<'_>, story: &[Called], bits: u32, others: u32) -> bool {
    others != 0
        && story.iter().any(|c| {
            let Some(t) = node.netfilter.tables.get(c.hit.table) else {
                return false;
            };
            let chain = match rule(node, c.hit).map(|r| &r.target) {
                Some(Target::Jump(to) | Target::Goto(to)) => t.chain(to),
                _ => Some(c.hit.chain),
            };
            chain.is_some_and(|chain| {
                t.rules(chain).iter().any(|r| {
                    r.matches.iter().any(|m| match m {
                        Match::Mark(n) => {
                            let (v, m) = (n.value.value, n.value.mask);
                            !n.not && v & bits != 0 && m & others & !v != 0 && m != u32::MAX
                        }
                        _ => false,
                    })
                })
            })
        })
}

fn consequence(case: &Case<'_, '_>, now: &Outcome, then: &Outcome) -> String {
    let src = |o: &Outcome| {
        o.delivered
            .and_then(|d| d.src)
            .map_or_else(|| "?".to_owned(), |s| s.to_string())
    };
    match (now.verdict, then.verdict) {
        (Verdict::Dropped | Verdict::Rejected, _) => {
            format!("the packet is {}", now.verdict.name())
        }
        (_, Verdict::Dropped | Verdict::Rejected) => "the packet passes".to_owned(),
        _ if now.snat.is_none() && then.snat.is_some() => format!(
            "so the packet is not masqueraded: {} sees {}, not {}",
            receiver(case.node, std::iter::once(now)),
            src(now),
            src(then)
        ),
        _ => format!(
            "{} sees {} instead of {}",
            receiver(case.node, std::iter::once(now)),
            src(now),
            src(then)
        ),
    }
}

/// How each program is told to use other bits.
const BITS_OF: &[(&str, &str)] = &[
    (
        "Calico",
        "Calico: `iptablesMarkMask` (nftablesMarkMask) of FelixConfiguration, a mask without those bits (0xff000000)",
    ),
    (
        "kube-proxy",
        "kube-proxy: `iptables.masqueradeBit` in its configuration (--iptables-masquerade-bit)",
    ),
    (
        "the portmap plugin",
        "portmap: `markMasqBit` in the CNI configuration",
    ),
    (
        "Azure NPM",
        "Azure NPM: upgrade, later releases mark with a mask and other bits (Azure/azure-container-networking#1313)",
    ),
    (
        "Tailscale",
        "Tailscale: its bits 0xff0000 are fixed; --netfilter-mode=off and rules of your own avoid them",
    ),
];

fn advise(f: &mut Finding, a: Owner, b: Owner, bits: u32) {
    let known = |o: Owner| BITS_OF.iter().find(|(n, _)| *n == o.name).map(|(_, h)| *h);
    f.advise(format!(
        "one of the two has to leave {bits:#x} to the other"
    ));
    for h in [a, b].into_iter().filter_map(known) {
        f.advise(h);
    }
}
