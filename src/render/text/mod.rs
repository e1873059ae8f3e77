//! The answer for a terminal: the verdict, the rule that caused it, what to try, and the trace that proves it.

mod cluster;
mod fate;
mod groups;
mod head;
mod minimal;
mod observed;
mod paint;
mod parting;
mod rule;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod tree_line;
mod vip;
mod why;

pub use cluster::{minimal_cluster, write_cluster};
pub use minimal::minimal;
pub(super) use parting::next;
pub use parting::write_parting;
pub use sources::write_sources;
pub use vip::vip;

use crate::explain::story::{Called, story};
use crate::explain::{Code, Finding, Severity, missing, tries};
use crate::node::Node;
use crate::trace::{Hit, Trace};
use groups::{Group, groups};
use paint::{Label, Line, Paper};
use std::io::{self, Write};

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The verdict, the cause and what to try; no trace.
    Summary,
    /// And the trace, folded to what matters.
    #[default]
    Normal,
    /// And every rule that was hit, every branch.
    Detail,
}

/// How an answer is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns.
    pub width: usize,
    /// Whether to colour.
    pub colour: bool,
    /// How much is shown.
    pub detail: Detail,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 100,
            colour: false,
            detail: Detail::Normal,
        }
    }
}

/// Column at which text begins after a section's word.
const MARGIN: usize = 9;

/// What is shown, worked out once.
struct Answer<'t, 'n, 'a> {
    node: &'n Node<'a>,
    trace: &'t Trace,
    findings: &'t [Finding],
    groups: Vec<Group>,
    /// The rules of `why`, numbered from 1 in this order.
    notes: Vec<Hit>,
    detail: Detail,
}

impl<'t> Answer<'t, '_, '_> {
    /// The number by which `why` and the trace name the same rule.
    fn note(&self, hit: Hit) -> Option<usize> {
        self.notes.iter().position(|h| *h == hit).map(|i| i + 1)
    }

    /// The letter of the group an outcome is in.
    fn letter(&self, outcome: usize) -> String {
        self.groups
            .iter()
            .position(|g| g.members.contains(&outcome))
            .map_or_else(String::new, groups::letter)
    }

    /// One story per group.
    fn stories(&self) -> Vec<Vec<Called>> {
        self.groups
            .iter()
            .filter_map(|g| g.first(&self.trace.outcomes))
            .map(|o| story(self.node, o))
            .collect()
    }

    /// Assumptions, each with the groups that rest on it; `None` for all of them.
    fn assumptions(&self) -> Vec<(Option<String>, &'t str)> {
        let all = &self.trace.outcomes;
        let mut seen: Vec<&'t str> = Vec::new();
        let mut list = Vec::new();
        for a in all.iter().flat_map(|o| o.assumptions.iter()) {
            if seen.contains(&a.as_str()) {
                continue;
            }
            seen.push(a);
            let letters: Vec<String> = self
                .groups
                .iter()
                .enumerate()
                .filter(|(_, g)| {
                    g.members
                        .iter()
                        .any(|i| all.get(*i).is_some_and(|o| o.assumptions.contains(a)))
                })
                .map(|(n, _)| groups::letter(n))
                .collect();
            let who = (letters.len() < self.groups.len()).then(|| letters.join(", "));
            list.push((who, a.as_str()));
        }
        list
    }
}

/// Writes the answer.
///
/// `findings` are those of [`crate::explain::explain`] for the same trace. Nothing of the input reaches `out` unescaped.
pub fn write(
    out: &mut impl Write,
    node: &Node<'_>,
    trace: &Trace,
    findings: &[Finding],
    options: &Options,
) -> io::Result<()> {
    let all = trace;
    let trace = all.expected();
    let trace = trace.as_ref();
    let mut answer = Answer {
        node,
        trace,
        findings,
        groups: groups(&trace.outcomes),
        notes: Vec::new(),
        detail: options.detail,
    };
    answer.notes = why::numbered(&answer);
    let mut paper = Paper::new(out, options.width, options.colour);
    let paper = &mut paper;
    head::packet(paper, &answer)?;
    head::verdict(paper, &answer)?;
    table::outcomes(paper, &answer)?;
    why::why(paper, &answer)?;
    if findings.first().is_none_or(|f| f.code != Code::Unserved) {
        why::answers(paper, &answer)?;
    }
    why::also(paper, &answer)?;
    let tries = if worth_trying(findings) {
        tries(node, trace)
    } else {
        Vec::new()
    };
    why::advice(paper, &answer, &tries)?;
    if options.detail != Detail::Summary {
        paper.blank()?;
        tree::tree(paper, &answer)?;
    }
    if let Some(o) = crate::explain::observed::of_node(node, all) {
        observed::observed(paper, node, &o, None, options.detail)?;
    }
    resting(paper, &answer, all)
}

/// What the answer rests on, and what would settle it.
fn resting<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
    all: &Trace,
) -> io::Result<()> {
    let assumed = answer.assumptions();
    paper.blank()?;
    let limit = if answer.detail == Detail::Detail {
        usize::MAX
    } else {
        6
    };
    for (i, (who, a)) in assumed.iter().take(limit).enumerate() {
        let head = if i == 0 { "assumed" } else { "" };
        let text = match who {
            Some(w) => format!("{w}: {a}"),
            None => (*a).to_owned(),
        };
        paper.prose((Label::Heading, head), (Label::Plain, &text), MARGIN)?;
    }
    more(paper, assumed.len(), limit)?;
    let other = all.outcomes.len() - answer.trace.outcomes.len();
    if other > 0 {
        let text = format!("{other} more outcomes where one of these does not hold: --format json");
        let line = Line::new().to(MARGIN).add(Label::Faint, &text);
        paper.line(&line)?;
    }
    let missing = missing::commands(all);
    if missing.is_empty() {
        let nothing = if all.outcomes.iter().all(|o| o.missing.is_empty()) {
            "nothing on these paths"
        } else {
            "nothing that would change what becomes of the packet"
        };
        let line = Line::new()
            .add(Label::Heading, "unknown")
            .to(MARGIN)
            .add(Label::Faint, nothing);
        return paper.line(&line);
    }
    for (i, (command, what)) in missing.iter().take(limit).enumerate() {
        let head = if i == 0 { "unknown" } else { "" };
        let text = format!("{}: run {command}", crate::explain::names::list(what, 3));
        paper.prose((Label::Unsure, head), (Label::Plain, &text), MARGIN)?;
    }
    more(paper, missing.len(), limit)
}

/// Whether rules left out could mend what the first finding says: not where the packet is well, or the trouble is another.
fn worth_trying(findings: &[Finding]) -> bool {
    findings.first().is_none_or(|f| {
        let other = matches!(
            f.code,
            Code::AnswerDropped | Code::Unserved | Code::StaleConntrack
        );
        !other && f.severity != Severity::Info
    })
}

/// `and 4 more`, where a list was cut.
fn more<W: Write>(paper: &mut Paper<'_, W>, all: usize, shown: usize) -> io::Result<()> {
    if all <= shown {
        return Ok(());
    }
    let line = Line::new()
        .to(MARGIN)
        .add(Label::Faint, &format!("and {} more", all - shown));
    paper.line(&line)
}
