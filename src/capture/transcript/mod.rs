//! A pasted session as the files that a capture of the node would have been.
//!
//! Each kind of output becomes one text whose lines stand where they stood in the session, so that an answer names the session's own
//! lines. Of two outputs of the same thing the later one counts, and that is said.

mod gaps;
mod machines;
#[cfg(test)]
mod tests;
mod units;
mod usual;

use super::{Partial, Snapshot, SourceFile};
pub(super) use machines::{is_machine, machines};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Backend;
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::transcript::{self, Block, Part, Transcript};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use units::{Unit, has_addresses, split, without_counters};

/// Texts above this are dumps, and no session that somebody pasted.
const LIMIT: usize = 32 << 20;

/// What is read of a file of a known kind to see whether it is a session after all.
const LOOK: usize = 256 << 10;

/// Reads the text as a session, if it is one.
pub(super) fn read(name: &str, text: &str, kind: Kind, node: Option<&str>) -> Option<Snapshot> {
    if text.len() > LIMIT || matches!(kind, Kind::Empty | Kind::Binary) {
        return None;
    }
    if kind != Kind::Unknown {
        let mut end = text.len().min(LOOK);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if !is_session(&transcript::read(text.get(..end)?)) {
            return None;
        }
    }
    let t = transcript::read(text);
    if t.blocks.is_empty() {
        return None;
    }
    let mut snapshot = Session::new(name, count(text), t, node).into_snapshot();
    whole_for_tables(name, text, &mut snapshot);
    Some(snapshot)
}

/// What is said of Services and pods around tables belongs to them: pieces of YAML, selectors in commands. So the parser of tables
/// gets the whole text.
fn whole_for_tables(name: &str, text: &str, snapshot: &mut Snapshot) {
    let before = snapshot.files.len();
    snapshot.files.retain(|f| f.kind != Kind::KubeTable);
    if snapshot.files.len() < before {
        snapshot.files.push(SourceFile {
            name: name.to_owned(),
            kind: Kind::KubeTable,
            text: text.to_owned(),
            lossy: false,
        });
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.lines().count()).unwrap_or(u32::MAX / 2)
}

/// Prompts with outputs below, or outputs of several commands.
fn is_session(t: &Transcript<'_>) -> bool {
    let mut kinds: Vec<Kind> = Vec::new();
    for b in &t.blocks {
        if !kinds.contains(&b.kind) {
            kinds.push(b.kind);
        }
    }
    !kinds.is_empty() && (t.prompts || kinds.len() > 1)
}

struct Session<'t> {
    name: &'t str,
    blocks: Vec<Block<'t>>,
    changes: Vec<(transcript::Command, Option<String>)>,
    remarks: Vec<String>,
    partial: Vec<Partial>,
    /// How many lines the session has.
    lines: u32,
}

/// Which text of the snapshot a block goes into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Text {
    kind: u8,
    /// Of iptables: family, backend, table.
    of: String,
}

impl<'t> Session<'t> {
    fn new(name: &'t str, lines: u32, t: Transcript<'t>, node: Option<&str>) -> Self {
        let mut s = Self {
            name,
            blocks: t.blocks,
            changes: t.changes,
            remarks: Vec::new(),
            partial: Vec::new(),
            lines,
        };
        for b in s.blocks.iter_mut().filter(|b| b.kind == Kind::Route) {
            in_their_table(b);
        }
        s.choose(node);
        s
    }

    fn into_snapshot(mut self) -> Snapshot {
        let mut texts: BTreeMap<Text, (Kind, Vec<usize>)> = BTreeMap::new();
        let mut table = BTreeMap::new();
        for (i, b) in self.blocks.iter().enumerate() {
            let of = match b.kind {
                Kind::IptablesListing | Kind::IptablesSave => {
                    let c = b.command.as_ref();
                    let v6 = c.and_then(|c| c.family) == Some(Family::V6)
                        || c.and_then(|c| c.family).is_none() && is_v6(b);
                    let backend = match c.and_then(|c| c.backend) {
                        Some(Backend::Nft) => "nft",
                        Some(Backend::Legacy) => "legacy",
                        None => "",
                    };
                    let named = c
                        .filter(|c| c.kind == Some(b.kind))
                        .and_then(|c| c.table.clone());
                    // Chains that an author shows without a command are of the table shown last.
                    let last: &mut Option<String> = table.entry((b.kind as u8, v6)).or_default();
                    if named.is_some() {
                        last.clone_from(&named);
                    }
                    let whole = b.lines.iter().any(|l| l.text.starts_with('*'));
                    let t = if whole {
                        "*".to_owned()
                    } else {
                        last.clone().unwrap_or_default()
                    };
                    format!("{}{backend} {t}", if v6 { "6" } else { "4" })
                }
                Kind::Unknown => continue,
                Kind::Route | Kind::Rule => {
                    let c = b.command.as_ref().filter(|c| c.kind == Some(b.kind));
                    let v6 = c.and_then(|c| c.family) == Some(Family::V6);
                    String::from(if v6 { "6" } else { "" })
                }
                Kind::Kube | Kind::KubeTable | Kind::CalicoBpf | Kind::Cilium | Kind::Tcpdump => {
                    format!("{i:06}")
                }
                _ => String::new(),
            };
            let key = Text {
                kind: b.kind as u8,
                of,
            };
            texts
                .entry(key)
                .or_insert_with(|| (b.kind, Vec::new()))
                .1
                .push(i);
        }
        let mut snapshot = Snapshot::default();
        for (text, (kind, blocks)) in &texts {
            let units = self.units(*kind, blocks);
            let rows: Vec<(u32, String)> = units.into_iter().flat_map(|u| u.rows).collect();
            if *kind == Kind::IptablesSave && text.of.ends_with(' ') {
                self.filtered_rules(rows, &text.of, &mut snapshot);
                continue;
            }
            let rows = self.headed(*kind, &text.of, blocks, rows);
            snapshot.files.push(SourceFile {
                name: self.name.to_owned(),
                kind: *kind,
                text: at_their_lines(rows),
                lossy: false,
            });
            self.completeness(*kind, blocks);
        }
        self.outdated();
        snapshot.remarks = self.remarks;
        snapshot.partial = self.partial;
        snapshot
    }

    /// The outputs of a kind in pieces; of what is shown again, the later one.
    fn units(&mut self, kind: Kind, blocks: &[usize]) -> Vec<Unit> {
        let mut units: Vec<Option<Unit>> = Vec::new();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        // A later listing of the whole makes earlier ones history.
        let mut from = 0;
        for (n, i) in blocks.iter().enumerate() {
            let b = &self.blocks[*i];
            let whole = b.cut.is_none()
                && b.command
                    .as_ref()
                    .is_some_and(|c| c.part == Part::Whole && c.kind == Some(kind));
            if whole
                && matches!(
                    kind,
                    Kind::Route | Kind::Rule | Kind::Nexthop | Kind::RouteN
                )
            {
                let same = |j: &usize| {
                    self.blocks[*j].command.as_ref().map(|c| words(&c.text))
                        == b.command.as_ref().map(|c| words(&c.text))
                };
                if blocks[..n].iter().all(same) {
                    from = n;
                }
            }
        }
        if from > 0 {
            let old = &self.blocks[blocks[0]];
            let new = &self.blocks[blocks[from]];
            self.remarks.push(format!(
                "{}: {} is shown more than once; lines {} count, not {}",
                self.name,
                old.command
                    .as_ref()
                    .map_or("an output", |c| c.text.as_str()),
                lines_of(new),
                lines_of(old)
            ));
        }
        let mut again: Vec<String> = Vec::new();
        for i in &blocks[from..] {
            for u in split(&self.blocks[*i], *i) {
                let old = by_key.get(&u.key).copied().filter(|_| !u.key.is_empty());
                if let Some(before) = old.and_then(|at| units.get_mut(at)) {
                    let Some(known) = before else { continue };
                    if known.block == *i {
                        known.rows.extend(u.rows);
                        continue;
                    }
                    // `ip link` shows no addresses; what `ip addr` showed before stays.
                    if kind == Kind::Link && has_addresses(known) && !has_addresses(&u) {
                        continue;
                    }
                    let texts = |u: &Unit| -> Vec<String> {
                        u.rows
                            .iter()
                            .map(|(_, t)| without_counters(kind, t))
                            .filter(|t| !t.is_empty())
                            .collect()
                    };
                    if texts(known) != texts(&u) {
                        again.push(format!(
                            "{} (line {}, not {})",
                            u.key,
                            u.rows.first().map_or(0, |r| r.0),
                            known.rows.first().map_or(0, |r| r.0)
                        ));
                    }
                    *before = None;
                }
                by_key.insert(u.key.clone(), units.len());
                units.push(Some(u));
            }
        }
        if !again.is_empty() {
            self.remarks.push(format!(
                "{}: shown more than once, the later one counts: {}",
                self.name,
                list(&again)
            ));
        }
        units.into_iter().flatten().collect()
    }

    /// Rules that a filter let through: which table they are of, and what their owner always writes beside them.
    fn filtered_rules(&mut self, rows: Vec<(u32, String)>, of: &str, snapshot: &mut Snapshot) {
        for (table, rows) in usual::by_table(rows) {
            let added = usual::left_out(table, &rows);
            let mut rows = self.headed(Kind::IptablesSave, &format!("{of}{table}"), &[], rows);
            let first = rows.first().map_or(0, |r| r.0);
            let from = self.lines + 1;
            if !added.is_empty() {
                self.remarks.push(format!(
                    "{}: of table {table} only some rules are shown; those of kube-proxy that lead to them and on from them are taken to be as it always writes them ({})",
                    self.name,
                    list(&chains(&added))
                ));
            }
            let assumed_from = (!added.is_empty()).then_some(from);
            rows.extend((from..).zip(added));
            snapshot.files.push(SourceFile {
                name: self.name.to_owned(),
                kind: Kind::IptablesSave,
                text: at_their_lines(rows),
                lossy: false,
            });
            self.partial.push(Partial {
                kind: Kind::IptablesSave,
                file: self.name.to_owned(),
                line: first,
                why: "a filter let some rules through".to_owned(),
                assumed_from,
            });
        }
    }

    /// What the parsers learn from a command: the table.
    fn headed(
        &self,
        kind: Kind,
        of: &str,
        blocks: &[usize],
        mut rows: Vec<(u32, String)>,
    ) -> Vec<(u32, String)> {
        rows.sort_by_key(|r| r.0);
        let Some(first) = rows.first().map(|r| r.0) else {
            return rows;
        };
        let (family, table) = of.split_once(' ').unwrap_or((of, ""));
        let program = match (family.starts_with('6'), family.get(1..)) {
            (true, Some("legacy")) => "ip6tables-legacy",
            (true, Some("nft")) => "ip6tables-nft",
            (true, _) => "ip6tables",
            (false, Some("legacy")) => "iptables-legacy",
            (false, Some("nft")) => "iptables-nft",
            (false, _) => "iptables",
        };
        match kind {
            Kind::IptablesListing if !table.is_empty() && first > 1 => {
                rows.insert(0, (first - 1, format!("# {program} -t {table} -nvL")));
            }
            Kind::IptablesSave if !table.is_empty() && table != "*" && first > 1 => {
                rows.insert(0, (first - 1, format!("*{table}")));
                if first > 2 {
                    rows.insert(0, (first - 2, format!("# Generated by {program}-save")));
                }
            }
            Kind::Rule if of == "6" && first > 1 => {
                rows.insert(0, (first - 1, "# ip -6 rule".to_owned()));
            }
            // Its options name the namespace, or the map.
            Kind::KubeTable | Kind::CalicoBpf | Kind::Cilium => {
                let c = blocks
                    .first()
                    .and_then(|i| self.blocks.get(*i)?.command.as_ref());
                if let Some(c) = c.filter(|c| c.line < first) {
                    rows.insert(0, (c.line, format!("# {}", c.text)));
                }
            }
            // Its options tell the device and the filter.
            Kind::Tcpdump => {
                if let Some(b) = blocks.first().and_then(|i| self.blocks.get(*i)) {
                    rows = capture(b, rows);
                }
            }
            Kind::Route if of == "6" && first > 1 => {
                rows.insert(0, (first - 1, "# ip -6 route".to_owned()));
            }
            _ => {}
        }
        rows
    }
}

/// The lines of a `tcpdump` below its command line, with the namespace where a shell was in one, and with the line that cuts them.
fn capture(b: &Block<'_>, mut rows: Vec<(u32, String)>) -> Vec<(u32, String)> {
    let first = rows.first().map_or(0, |r| r.0);
    let c = b.command.as_ref().filter(|c| c.kind == Some(b.kind));
    let (line, text) = match c {
        Some(c) if c.line < first => (c.line, c.text.clone()),
        _ => (first.saturating_sub(1), "tcpdump".to_owned()),
    };
    let there = c.is_some_and(|c| c.place != transcript::Place::Here);
    let command = match &b.place {
        transcript::Place::Namespace(n) if !there => Some(format!("# ip netns exec '{n}' {text}")),
        _ => c.map(|_| format!("# {text}")),
    };
    if let Some(cut) = b.cut
        && rows.iter().all(|r| r.0 != cut)
    {
        rows.push((cut, "...".to_owned()));
    }
    rows.extend(command.filter(|_| line > 0).map(|c| (line, c)));
    rows.sort_by_key(|r| r.0);
    rows
}

/// `ip route show table 100` prints its routes without the table.
fn in_their_table(b: &mut Block<'_>) {
    let c = b.command.as_ref().filter(|c| c.kind == Some(b.kind));
    let Some(t) = c.and_then(|c| c.table.clone()) else {
        return;
    };
    for row in &mut b.lines {
        if !row.text.trim().is_empty()
            && !row.text.contains(" table ")
            && !row.text.starts_with([' ', '\t'])
        {
            let _ = write!(row.text.to_mut(), " table {t}");
        }
    }
}

/// The chains of rules, each once.
fn chains(rules: &[String]) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for r in rules {
        let chain = r.split_whitespace().nth(1).unwrap_or_default();
        if !list.iter().any(|c| c == chain) {
            list.push(chain.to_owned());
        }
    }
    list
}

/// Objects of the cluster, whoever printed them.
fn is_of_the_cluster(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Kube | Kind::KubeTable | Kind::Speaker | Kind::Arping
    )
}

fn is_v6(b: &Block<'_>) -> bool {
    b.lines.iter().any(|l| l.text.contains("::/0"))
        && !b.lines.iter().any(|l| l.text.contains("0.0.0.0/0"))
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn lines_of(b: &Block<'_>) -> String {
    let (a, z) = (b.first_line(), b.last_line());
    if a == z {
        a.to_string()
    } else {
        format!("{a}-{z}")
    }
}

fn list(items: &[String]) -> String {
    const SHOWN: usize = 6;
    if items.len() <= SHOWN {
        items.join(", ")
    } else {
        format!(
            "{} and {} more",
            items[..SHOWN].join(", "),
            items.len() - SHOWN
        )
    }
}

/// The rows at their own lines, nothing between.
fn at_their_lines(rows: Vec<(u32, String)>) -> String {
    let mut out = String::new();
    let mut line = 1;
    for (number, text) in rows {
        while line < number {
            out.push('\n');
            line += 1;
        }
        out.push_str(&text);
        out.push('\n');
        line += 1;
    }
    out
}
