//! The trace as a tree: what outcomes have in common is printed once.

use super::fate::fate;
use super::paint::{Label, Line, Paper, columns};
use super::tree_line::{Text, matters, text};
use super::{Answer, Detail};
use crate::explain::marks::because_of_mark;
use crate::explain::names;
use crate::explain::story::{Called, story};
use crate::node::TableView;
use crate::render::escape;
use crate::trace::{Effect, Outcome, Step, StepKind, View};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Branches followed to their end; others end like one of these.
const BRANCHES: usize = 6;
const BRANCHES_IN_DETAIL: usize = 64;
/// Columns of the table's name and priority: at least, and at most.
const TABLE: usize = 14;
const WIDEST_TABLE: usize = 26;
/// Deeper jumps are not indented further.
const DEEPEST: usize = 6;

/// One outcome's way, without the forks themselves.
struct Way<'o> {
    outcome: &'o Outcome,
    letter: String,
    alike: usize,
    /// Index into the steps, whether it is shown, the step.
    steps: Vec<(usize, bool, &'o Step)>,
    story: Vec<Called>,
}

/// Writes the section.
pub(super) fn tree<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    let ways = ways(answer);
    header(paper, answer, &ways)?;
    let members: Vec<usize> = (0..ways.len()).collect();
    let mut printer = Printer {
        paper,
        answer,
        ways: &ways,
        table: table_columns(answer, &ways),
    };
    printer.branch(&members, 0, &Prefix::default())?;
    let shown: usize = ways.iter().map(|w| 1 + w.alike).sum();
    let left = answer.trace.outcomes.len().saturating_sub(shown);
    if left > 0 {
        let line = format!("and {left} outcomes more (--detail shows up to {BRANCHES_IN_DETAIL})");
        paper.line(&Line::new().add(Label::Faint, &line))?;
    }
    Ok(())
}

fn ways<'t>(answer: &Answer<'t, '_, '_>) -> Vec<Way<'t>> {
    let all = &answer.trace.outcomes;
    let detail = answer.detail == Detail::Detail;
    let chosen: Vec<(usize, usize)> = if detail {
        (0..all.len())
            .take(BRANCHES_IN_DETAIL)
            .map(|i| (i, 0))
            .collect()
    } else {
        answer
            .groups
            .iter()
            .filter_map(|g| Some((*g.members.first()?, g.members.len() - 1)))
            .take(BRANCHES)
            .collect()
    };
    chosen
        .into_iter()
        .filter_map(|(i, alike)| {
            let outcome = all.get(i)?;
            let story = story(answer.node, outcome);
            let shown = shown_steps(answer, outcome, &story);
            Some(Way {
                outcome,
                letter: answer.letter(i),
                alike,
                steps: outcome
                    .steps
                    .iter()
                    .enumerate()
                    .zip(shown)
                    .map(|((n, s), show)| (n, show, s))
                    .filter(|(_, _, s)| !matches!(s.kind, StepKind::Fork { .. }))
                    .collect(),
                story,
            })
        })
        .collect()
}

/// Which steps have a line: what matters, and the jumps that led there.
fn shown_steps(answer: &Answer<'_, '_, '_>, o: &Outcome, story: &[Called]) -> Vec<bool> {
    if answer.detail == Detail::Detail {
        return vec![true; o.steps.len()];
    }
    let mut show: Vec<bool> = o.steps.iter().map(matters).collect();
    let bits = bits_that_matter(answer, story);
    for c in story {
        let quiet = match c.effect {
            Effect::Mark { old, new } => old == new || bits.is_some_and(|b| (old ^ new) & b == 0),
            Effect::ConnMark { old, new } => old == new,
            // What lets a tunnel's outer packet pass is no news.
            Effect::Accept => c.outer,
            _ => false,
        };
        if quiet && let Some(s) = show.get_mut(c.step) {
            *s = false;
        }
    }
    for c in story {
        let named = answer.note(c.hit).is_some();
        if let Some(s) = show.get_mut(c.step) {
            *s |= named;
        }
    }
    // The jumps of shown rules.
    for (i, c) in story.iter().enumerate() {
        if show.get(c.step) != Some(&true) || c.effect == Effect::Jump && c.stack.is_empty() {
            continue;
        }
        for jump in &c.stack {
            let at = story.iter().take(i).rfind(|j| j.hit == *jump);
            if let Some(s) = at.and_then(|j| show.get_mut(j.step)) {
                *s = true;
            }
        }
    }
    // The tunnel's outer packet where no rule touches it.
    let mut at = o.steps.len();
    for (i, s) in o.steps.iter().enumerate().rev() {
        if let StepKind::Hook { outer, .. } = s.kind {
            let rules = o
                .steps
                .iter()
                .zip(&show)
                .take(at)
                .skip(i + 1)
                .any(|(s, v)| {
                    *v && matches!(s.kind, StepKind::Hit { .. } | StepKind::Policy { .. })
                });
            let quiet = outer && !rules;
            if quiet && let Some(v) = show.get_mut(i) {
                *v = false;
            }
            if quiet {
                for (s, v) in o.steps.iter().zip(show.iter_mut()).take(at).skip(i) {
                    if matches!(s.kind, StepKind::Conntrack { .. }) {
                        *v = false;
                    }
                }
            }
            at = i;
        }
    }
    show
}

/// The mark bits that the rules of `why` depend on; `None` where they depend on none.
fn bits_that_matter(answer: &Answer<'_, '_, '_>, story: &[Called]) -> Option<u32> {
    let bits = (0..story.len())
        .filter(|i| {
            story.get(*i).is_some_and(|c| {
                answer.note(c.hit).is_some()
                    && matches!(
                        c.effect,
                        Effect::Nat { .. } | Effect::Drop | Effect::Reject | Effect::Accept
                    )
            })
        })
        .filter_map(|i| because_of_mark(answer.node, story, i))
        .map(|p| p.bits)
        .fold(0, |a, b| a | b);
    (bits != 0).then_some(bits)
}

fn header<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
    ways: &[Way<'_>],
) -> io::Result<()> {
    let hooks = ways
        .iter()
        .map(|w| {
            w.outcome
                .steps
                .iter()
                .filter(|s| matches!(s.kind, StepKind::Hook { outer: false, .. }))
                .count()
        })
        .max()
        .unwrap_or(0);
    let tested = ways.iter().map(|w| w.outcome.tested).max().unwrap_or(0);
    let is_hit = |s: &Step| matches!(s.kind, StepKind::Hit { .. });
    let hits = ways
        .iter()
        .map(|w| w.steps.iter().filter(|(_, _, s)| is_hit(s)).count())
        .max()
        .unwrap_or(0);
    let folded = ways
        .iter()
        .map(|w| w.steps.iter().filter(|(_, v, s)| !v && is_hit(s)).count())
        .max()
        .unwrap_or(0);
    let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut text = format!(
        "{}, {} tested, {} hit",
        plural(hooks as u64, "hook"),
        plural(tested, "rule"),
        hits
    );
    if folded > 0 && answer.detail != Detail::Detail {
        let _ = write!(text, ", {folded} of them folded (--detail shows all)");
    }
    let line = Line::new()
        .add(Label::Heading, "trace")
        .to(super::MARGIN)
        .add(Label::Faint, &text);
    paper.line(&line)
}

/// What stands before the lines of a branch.
#[derive(Clone, Debug, Default)]
struct Prefix(String);

struct Printer<'p, 'w, 'x, 't, 'n, 'a, W: Write> {
    paper: &'p mut Paper<'w, W>,
    answer: &'x Answer<'t, 'n, 'a>,
    ways: &'x [Way<'t>],
    /// Columns of the table's name and priority.
    table: usize,
}

/// `nat -100`, `kube-proxy -110`.
fn base_label(answer: &Answer<'_, '_, '_>, table: usize, priority: i32) -> String {
    let node = answer.node;
    match node.netfilter.view(table) {
        // The same name twice in one trace.
        Some(v @ TableView::Xt(t)) if names::in_both(node, t) => {
            format!("{} {} {priority}", v.backend(), v.name())
        }
        Some(v @ TableView::Nft(_)) if v.family() == "inet" => {
            format!("inet {} {priority}", v.name())
        }
        _ => format!("{} {priority}", names::table(node, table)),
    }
}

/// Wide enough for the tables that are shown; those of nftables have names of their own.
fn table_columns(answer: &Answer<'_, '_, '_>, ways: &[Way<'_>]) -> usize {
    let mut most = 0;
    for way in ways {
        let mut label = 0;
        for (_, shown, step) in &way.steps {
            match step.kind {
                StepKind::Chain {
                    table, priority, ..
                } => label = columns(&base_label(answer, table, priority)),
                StepKind::Hit { .. } | StepKind::Policy { .. } if *shown => most = most.max(label),
                _ => {}
            }
        }
    }
    (most + 3).clamp(TABLE, WIDEST_TABLE)
}

impl<W: Write> Printer<'_, '_, '_, '_, '_, '_, W> {
    /// Prints what the members have in common from step `at` on, then each branch.
    fn branch(&mut self, members: &[usize], at: usize, prefix: &Prefix) -> io::Result<()> {
        let Some(first) = members.first().and_then(|m| self.ways.get(*m)) else {
            return Ok(());
        };
        let mut n = at;
        let mut base = String::new();
        while let Some((index, _, step)) = first.steps.get(n) {
            let same = members.iter().all(|m| {
                self.ways
                    .get(*m)
                    .and_then(|w| w.steps.get(n))
                    .is_some_and(|(_, _, s)| same(s, step))
            });
            if !same {
                break;
            }
            let show = members.iter().any(|m| {
                self.ways
                    .get(*m)
                    .and_then(|w| w.steps.get(n))
                    .is_some_and(|s| s.1)
            });
            if let StepKind::Chain {
                table, priority, ..
            } = step.kind
            {
                base = base_label(self.answer, table, priority);
            }
            if show {
                let called = first.story.iter().find(|c| c.step == *index);
                if let Some(mut t) = text(self.answer, step, called) {
                    if matches!(step.kind, StepKind::Hit { .. } | StepKind::Policy { .. }) {
                        t.table = std::mem::take(&mut base);
                    }
                    self.print(&t, prefix)?;
                }
            }
            n += 1;
        }
        let mut parts: Vec<(Option<&Step>, Vec<usize>)> = Vec::new();
        for m in members {
            let next = self
                .ways
                .get(*m)
                .and_then(|w| w.steps.get(n))
                .map(|(_, _, s)| *s);
            let part = parts.iter_mut().find(|(s, _)| match (s, next) {
                (Some(a), Some(b)) => same(a, b),
                (None, None) => true,
                _ => false,
            });
            match part {
                Some((_, list)) => list.push(*m),
                None => parts.push((next, vec![*m])),
            }
        }
        if let [(None, ends)] = parts.as_slice() {
            return self.ends(ends, prefix);
        }
        let last = parts.len().saturating_sub(1);
        for (i, (next, list)) in parts.iter().enumerate() {
            let (mark, rest) = if i == last {
                ("`- ", "   ")
            } else {
                ("|- ", "|  ")
            };
            self.title(list, &format!("{}{mark}", prefix.0))?;
            let inner = Prefix(format!("{}{rest}", prefix.0));
            if next.is_none() {
                self.ends(list, &inner)?;
            } else {
                self.branch(list, n, &inner)?;
            }
        }
        Ok(())
    }

    /// `A, B  10.0.0.1:80 | 10.0.0.2:80`.
    fn title(&mut self, members: &[usize], mark: &str) -> io::Result<()> {
        let mut letters: Vec<String> = Vec::new();
        let mut targets: Vec<String> = Vec::new();
        for w in members.iter().filter_map(|m| self.ways.get(*m)) {
            if !letters.contains(&w.letter) {
                letters.push(w.letter.clone());
            }
            if let Some(d) = w.outcome.delivered.filter(|_| w.outcome.dnat.is_some()) {
                let t = names::destination(&d);
                if !targets.contains(&t) {
                    targets.push(t);
                }
            }
        }
        let line = Line::new()
            .add(Label::Faint, mark)
            .add(Label::Heading, &letters.join(", "))
            .add(Label::Plain, "  ")
            .add(Label::Plain, &names::list(&targets, 3));
        self.paper.line(&line)
    }

    fn ends(&mut self, members: &[usize], prefix: &Prefix) -> io::Result<()> {
        let mut said: Vec<String> = Vec::new();
        for w in members.iter().filter_map(|m| self.ways.get(*m)) {
            let mut end = fate(self.answer.node, w.outcome);
            if let Some(out) = &w.outcome.out {
                let _ = write!(end, " by {}", names::device(self.answer.node, out.dev));
            }
            if w.alike > 0 {
                let _ = write!(end, " (and {} alike)", w.alike);
            }
            if said.contains(&end) {
                continue;
            }
            let t = Text {
                head: "END".into(),
                what: end.clone(),
                ..Text::default()
            };
            said.push(end);
            self.print(&t, prefix)?;
        }
        Ok(())
    }

    fn print(&mut self, t: &Text, prefix: &Prefix) -> io::Result<()> {
        let width = self.paper.width;
        let mut line = Line::new().add(Label::Faint, &prefix.0);
        let start = columns(&prefix.0);
        if t.head.is_empty() {
            line = line
                .to(start + 2)
                .add(Label::Faint, &super::rule::fit(&t.table, self.table - 3, 1))
                .to(start + self.table)
                .to(start + self.table + 2 * t.depth.min(DEEPEST));
        } else {
            line = line.add(Label::Heading, &t.head);
            let column = start + if t.what.is_empty() { 0 } else { self.table };
            if line.width() + 1 < column {
                line = line.to(column);
            } else {
                line = line.add(Label::Plain, " ");
            }
        }
        let note = columns(&escape(&t.note));
        let gap = usize::from(note > 0) * 2;
        let room = width.saturating_sub(line.width() + note + gap);
        line = line.add(Label::Rule, &super::rule::fit(&t.what, room.max(8), 1));
        if note > 0 {
            let column = (width * 62 / 100).min(width.saturating_sub(note));
            line = line.add(Label::Plain, "  ").to(column);
            line = line.add(Label::Effect, &t.note);
        }
        self.paper.line(&line)
    }
}

/// Steps are the same when they look the same; ports the kernel picks do not tell them apart.
fn same(a: &Step, b: &Step) -> bool {
    let key = |v: &View| (v.src, v.dst, v.dport, v.mark);
    a.kind == b.kind && key(&a.view) == key(&b.view)
}
