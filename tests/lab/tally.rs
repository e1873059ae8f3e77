//! How often each match and target decided, on both sides: a match that only ever says yes is not tested.

use nfwhy::node::{ChainId, Node};
use nfwhy::trace::{Effect, Hit, Outcome, StepKind};
use nfwhy_parsers::iptables::{Rule, Target};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Yes and no per match.
    pub matches: BTreeMap<String, (u64, u64)>,
    /// Hits per target.
    pub targets: BTreeMap<String, u64>,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (name, (yes, no)) in other.matches {
            let sum = self.matches.entry(name).or_default();
            sum.0 += yes;
            sum.1 += no;
        }
        for (name, n) in other.targets {
            *self.targets.entry(name).or_default() += n;
        }
    }
}

impl Tally {
    /// Counts an outcome that the kernel confirmed.
    pub fn add(&mut self, node: &Node<'_>, o: &Outcome) {
        // Where the walk stands in each chain that it will come back to.
        let mut stack: Vec<(usize, ChainId, usize)> = Vec::new();
        for s in &o.steps {
            match &s.kind {
                StepKind::Chain { table, chain, .. } => {
                    self.leave(node, &mut stack);
                    stack.push((*table, *chain, 0));
                }
                StepKind::Policy { .. } => self.leave(node, &mut stack),
                StepKind::Hit { hit, effect, .. } => self.hit(node, &mut stack, hit, effect),
                _ => {}
            }
        }
    }

    fn leave(&mut self, node: &Node<'_>, stack: &mut Vec<(usize, ChainId, usize)>) {
        while let Some((t, c, at)) = stack.pop() {
            self.missed(node, t, c, at, usize::MAX);
        }
    }

    fn hit(
        &mut self,
        node: &Node<'_>,
        stack: &mut Vec<(usize, ChainId, usize)>,
        hit: &Hit,
        effect: &Effect,
    ) {
        // Chains that came to their end before this hit.
        while let Some((t, c, at)) = stack.last().copied() {
            if t == hit.table && c == hit.chain && at <= hit.rule {
                break;
            }
            self.missed(node, t, c, at, usize::MAX);
            stack.pop();
        }
        let Some((t, c, at)) = stack.pop() else {
            return;
        };
        self.missed(node, t, c, at, hit.rule);
        let table = &node.netfilter.tables[hit.table];
        let Some(rule) = table.rules(hit.chain).get(hit.rule) else {
            return;
        };
        for name in names(rule, table.rule_text(hit.chain, hit.rule)) {
            self.matches.entry(name).or_default().0 += 1;
        }
        *self
            .targets
            .entry(target_name(table.rule_text(hit.chain, hit.rule)))
            .or_default() += 1;
        stack.push((t, c, hit.rule + 1));
        if *effect == Effect::Jump {
            let (name, goto) = match &rule.target {
                Target::Goto(name) => (name, true),
                Target::Jump(name) => (name, false),
                _ => return,
            };
            if goto {
                stack.pop();
            }
            if let Some(next) = table.chain(name) {
                stack.push((t, next, 0));
            }
        }
        if *effect == Effect::Return {
            stack.pop();
        }
    }

    /// Rules that were tested and said no; only a single match can be held responsible.
    fn missed(&mut self, node: &Node<'_>, table: usize, chain: ChainId, from: usize, to: usize) {
        let t = &node.netfilter.tables[table];
        for (i, rule) in t.rules(chain).iter().enumerate().take(to).skip(from) {
            let names = names(rule, t.rule_text(chain, i));
            if let [one] = names.as_slice() {
                self.matches.entry(one.clone()).or_default().1 += 1;
            }
        }
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (k, (y, n)) in &self.matches {
            let _ = writeln!(out, "  {k:<28} yes {y:>7}  no {n:>7}");
        }
        for (k, n) in &self.targets {
            let _ = writeln!(out, "  target {k:<21} hit {n:>7}");
        }
        out
    }
}

/// The matches of a rule by their options, the header's included.
fn names(rule: &Rule<'_>, text: &str) -> Vec<String> {
    let _ = rule;
    let words: Vec<&str> = text.split(' ').collect();
    let mut out = Vec::new();
    let mut module = "";
    let mut i = 0;
    while i < words.len() {
        let w = words[i];
        let not = if i > 0 && words[i - 1] == "!" {
            "! "
        } else {
            ""
        };
        match w {
            "-j" | "-g" => break,
            "-m" => module = words.get(i + 1).copied().unwrap_or_default(),
            "-s" | "-d" | "-i" | "-o" => out.push(format!("{not}{w}")),
            "-p" if not == "! " => out.push("! -p".into()),
            "-p" if !text.contains(&format!(
                "-m {}",
                words.get(i + 1).copied().unwrap_or_default()
            )) =>
            {
                out.push("-p".into());
            }
            _ if w.starts_with("--") && module != "comment" => {
                out.push(format!("{module} {not}{w}"));
            }
            _ => {}
        }
        i += 1;
    }
    out
}

fn target_name(text: &str) -> String {
    let mut words = text.split(' ').skip_while(|w| *w != "-j" && *w != "-g");
    let (Some(verb), Some(name)) = (words.next(), words.next()) else {
        return "(none)".into();
    };
    let known = name.chars().all(|c| c.is_ascii_uppercase());
    if known {
        name.to_owned()
    } else {
        verb.to_owned()
    }
}
