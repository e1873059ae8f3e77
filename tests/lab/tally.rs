//! How often each match and target decided, on both sides: a match that only ever says yes is not tested.
//!
//! The simulator tells which rules it tested and which match of them said no; where the kernel's counters agree with the rest of
//! the outcome, so does the kernel.

use super::nft::names;
use nfwhy::node::Node;
use nfwhy::trace::{Hit, Outcome};
use nfwhy_parsers::nft::Stmt;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Yes and no per match.
    pub matches: BTreeMap<String, (u64, u64)>,
    /// Hits per target.
    pub targets: BTreeMap<String, u64>,
    /// Hits of rules per table and match, and per table and target.
    pub places: BTreeMap<String, std::collections::BTreeSet<&'static str>>,
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
        for (name, tables) in other.places {
            self.places.entry(name).or_default().extend(tables);
        }
    }
}

/// Options that say how the others are meant and cannot fail alone.
const MODIFIERS: [&str; 24] = [
    "--limit-iface-in",
    "--limit-iface-out",
    "--return-nomatch",
    "--update-counters",
    "--update-subcounters",
    "--dir",
    "--suppl-groups",
    "--mode",
    "--packet",
    "--limit-burst",
    "--hashlimit-burst",
    "--hashlimit-mode",
    "--hashlimit-name",
    "--hashlimit-srcmask",
    "--hashlimit-dstmask",
    "--hashlimit-htable-expire",
    "--connlimit-mask",
    "--connlimit-saddr",
    "--connlimit-daddr",
    "--name",
    "--mask",
    "--rsource",
    "--rdest",
    "--algo",
];

impl Tally {
    /// Counts an outcome that the kernel confirmed.
    pub fn add(&mut self, node: &Node<'_>, o: &Outcome) {
        for hit in o.hits() {
            if let Some((family, stmts)) = native(node, hit) {
                for s in stmts {
                    self.native(family, s, true);
                }
                continue;
            }
            let (table, text) = rule(node, hit);
            let r = Words::of(text);
            for name in r.header.iter().chain(r.matches.iter().flatten()) {
                self.matches.entry(name.clone()).or_default().0 += 1;
            }
            *self.targets.entry(r.target.clone()).or_default() += 1;
            self.places
                .entry(format!("target {}", r.target))
                .or_default()
                .insert(table);
            for name in r.matches.iter().flatten() {
                self.places.entry(name.clone()).or_default().insert(table);
            }
        }
        for m in &o.misses {
            if let Some((family, stmts)) = native(node, &m.hit) {
                let by = m.by.unwrap_or(0);
                for (i, s) in stmts.iter().enumerate().take(by + 1) {
                    self.native(family, s, i < by);
                }
                continue;
            }
            let r = Words::of(rule(node, &m.hit).1);
            let failed = match m.by {
                None => &r.header,
                Some(i) => {
                    let before = r.matches.iter().take(i).flatten();
                    for name in r.header.iter().chain(before) {
                        self.matches.entry(name.clone()).or_default().0 += 1;
                    }
                    let Some(m) = r.matches.get(i) else { continue };
                    m
                }
            };
            // Of several tests in one match it is not known which one failed.
            let tests = failed
                .iter()
                .filter(|n| !MODIFIERS.iter().any(|m| n.ends_with(m)));
            let whole = m.by.is_some() && is_whole(failed);
            if whole || tests.count() == 1 {
                for name in failed {
                    self.matches.entry(name.clone()).or_default().1 += 1;
                }
            }
        }
    }

    /// Counts a step of a native rule.
    fn native(&mut self, family: &'static str, s: &Stmt<'_>, yes: bool) {
        let name = names::of(s);
        let tests = matches!(
            s,
            Stmt::Match { .. }
                | Stmt::Vmap { .. }
                | Stmt::Limit(_)
                | Stmt::Quota { .. }
                | Stmt::Connlimit { .. }
                | Stmt::Update(_)
        );
        if tests {
            let sum = self.matches.entry(name.clone()).or_default();
            if yes {
                sum.0 += 1;
            } else {
                sum.1 += 1;
            }
            self.places.entry(name).or_default().insert(family);
        } else if !matches!(s, Stmt::Counter(_)) {
            *self.targets.entry(name.clone()).or_default() += 1;
            self.places
                .entry(format!("target {name}"))
                .or_default()
                .insert(family);
        }
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (k, (y, n)) in &self.matches {
            let places = self.places.get(k).map_or(String::new(), places);
            let _ = writeln!(out, "  {k:<40} yes {y:>7}  no {n:>7}  {places}");
        }
        for (k, n) in &self.targets {
            let places = self
                .places
                .get(&format!("target {k}"))
                .map_or(String::new(), places);
            let _ = writeln!(out, "  target {k:<46} hit {n:>7}  {places}");
        }
        let list = |what: &str, names: Vec<&str>, out: &mut String| {
            let _ = writeln!(out, "  {what}: {}", names.join(", "));
        };
        let count = |k: &str| self.matches.get(k).copied().unwrap_or_default();
        let rows: Vec<String> = super::expected::matches();
        let pick = |test: &dyn Fn((u64, u64)) -> bool| {
            rows.iter()
                .map(String::as_str)
                .filter(|k| test(count(k)))
                .collect()
        };
        list("never tested", pick(&|c| c == (0, 0)), &mut out);
        list("never yes", pick(&|(y, n)| y == 0 && n > 0), &mut out);
        list("never no", pick(&|(y, n)| y > 0 && n == 0), &mut out);
        let hit = super::expected::TARGETS.iter().copied();
        let missing = hit.filter(|t| !self.targets.contains_key(*t)).collect();
        list("targets never hit", missing, &mut out);
        out
    }
}

fn places(p: &std::collections::BTreeSet<&'static str>) -> String {
    p.iter().copied().collect::<Vec<_>>().join(" ")
}

/// Matches whose options are one question.
fn is_whole(names: &[String]) -> bool {
    names.first().is_some_and(|n| {
        [
            "rpfilter",
            "recent",
            "hashlimit",
            "policy",
            "statistic",
            "string",
            "set",
        ]
        .iter()
        .any(|m| n.starts_with(&format!("{m} ")))
    })
}

/// The steps of a native rule, and its table's family.
fn native<'n>(node: &'n Node<'_>, hit: &Hit) -> Option<(&'static str, &'n [Stmt<'n>])> {
    let t = node.netfilter.nft(hit.table)?;
    let rule = t.rules(hit.chain).get(hit.rule)?;
    Some((t.def.family.name(), &rule.stmts))
}

fn rule<'n>(node: &Node<'n>, hit: &Hit) -> (&'static str, &'n str) {
    let t = &node.netfilter.tables[hit.table];
    (t.kind.name(), t.rule_text(hit.chain, hit.rule))
}

/// A rule's options: those of its own, those of each match, and its target with its options.
#[derive(Default)]
struct Words {
    header: Vec<String>,
    matches: Vec<Vec<String>>,
    target: String,
}

impl Words {
    fn of(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let mut out = Self::default();
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
                "-j" | "-g" => {
                    out.target = target_name(w, &words[i + 1..]);
                    return out;
                }
                "-m" => {
                    module = words.get(i + 1).copied().unwrap_or_default();
                    out.matches.push(Vec::new());
                }
                "-s" | "-d" | "-i" | "-o" | "-p" | "-f" if out.matches.is_empty() => {
                    out.header.push(format!("{not}{w}"));
                }
                _ if w.starts_with("--") && module != "comment" => {
                    if let Some(m) = out.matches.last_mut() {
                        m.push(format!("{module} {not}{w}"));
                        if w == "--match-set" {
                            // By the set's name, which tells its type.
                            m.push(format!("set {not}{}", words.get(i + 1).unwrap_or(&"")));
                        }
                    }
                }
                _ => {}
            }
            i += 1;
        }
        "(none)".clone_into(&mut out.target);
        out
    }
}

/// `-j` or `-g` for chains; targets with the names of their options, and what REJECT says.
fn target_name(verb: &str, rest: &[&str]) -> String {
    let Some(name) = rest.first() else {
        return "(none)".into();
    };
    if !name.chars().all(|c| c.is_ascii_uppercase()) {
        return verb.to_owned();
    }
    let mut out = (*name).to_owned();
    for (i, w) in rest.iter().enumerate() {
        if w.starts_with("--") {
            out += " ";
            out += w;
        }
        if *w == "--reject-with" {
            out += " ";
            out += rest.get(i + 1).copied().unwrap_or_default();
        }
    }
    out
}
