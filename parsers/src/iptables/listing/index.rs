//! Chains and rows of a listing, and the commands between them.

use super::row::{count, family_of, split_any};
use crate::common::{Diagnostic, Family, Parsed, Span, Text};
use crate::iptables::{
    Backend, Chain, Chains, Form, ListingColumns, Policy, RuleLine, RuleSet, Table,
};

/// Finds chains and rule lines of `iptables [-t TABLE] -L [-n] [-v] [-x] [--line-numbers]` output.
///
/// A table has a name only where a command line in the text tells (`# iptables -t nat -nvL`). Without one, a new table begins where a
/// chain name is seen again, and where a built-in chain follows that the tools would have printed earlier in the same table. The
/// spans of rows are whole lines; a row whose comment holds newlines spans several.
pub fn index(source: &str) -> Parsed<RuleSet<'_>> {
    let mut index = Index::default();
    let mut offset = 0;
    for (number, line) in (1..).zip(source.split_inclusive('\n')) {
        let text = line.strip_suffix('\n').unwrap_or(line);
        let text = text.strip_suffix('\r').unwrap_or(text);
        index.line(Line {
            text,
            start: offset,
            number,
        });
        offset += line.len();
    }
    index.finish()
}

#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    text: &'a str,
    start: usize,
    number: u32,
}

impl Line<'_> {
    fn end(self) -> usize {
        self.start + self.text.len()
    }

    fn warning(self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.number, Span::new(self.start, self.end()), message)
    }
}

/// Where rows go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nowhere: between chains.
    #[default]
    Outside,
    /// Into the current chain.
    Chain,
}

#[derive(Debug, Default)]
struct Index<'a> {
    set: RuleSet<'a>,
    diagnostics: Vec<Diagnostic>,
    place: Place,
    /// The table of [`Self::set`] that the current chain is in.
    table: usize,
    columns: Option<ListingColumns>,
    mixed_columns: bool,
    /// The table that the last command asked for.
    asked: Option<&'a str>,
    /// The last row has a comment that does not end on its line.
    open_comment: bool,
    /// A row without a chain was reported.
    orphans: bool,
}

/// Built-in chains come first in a table, in the order of their hooks.
fn hook_rank(name: &str) -> Option<usize> {
    ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
        .iter()
        .position(|n| *n == name)
}

impl<'a> Index<'a> {
    fn columns(&self) -> ListingColumns {
        self.columns.unwrap_or_default()
    }

    fn line(&mut self, line: Line<'a>) {
        let text = line.text.trim();
        if let Some(chain) = heading(text) {
            self.chain(chain, line);
            return;
        }
        if text.is_empty() {
            self.place = Place::Outside;
            return;
        }
        if let Some(columns) = column_titles(text) {
            self.titles(columns, line);
            return;
        }
        if let Some(row) = split_any(line.text, self.columns()) {
            if self.set.family.is_none() {
                self.set.family = family_of(&row);
            }
            self.row(line);
            return;
        }
        if self.open_comment && self.place == Place::Chain {
            self.continuation(line);
            return;
        }
        self.other(text, line);
    }

    fn chain(&mut self, mut chain: Chain<'a>, line: Line<'a>) {
        chain.line = line.number;
        self.place = Place::Chain;
        self.open_comment = false;
        self.orphans = false;
        let wanted = self.asked.unwrap_or_default();
        let fits = |table: &Table<'_>| {
            table.name == wanted && table.chains.iter().all(|c| c.name != chain.name)
        };
        let known = if self.asked.is_some() {
            self.set.tables.iter().rposition(fits)
        } else {
            // Only the last one can still be going on.
            let last = self.set.tables.len().checked_sub(1);
            last.filter(|at| {
                self.set
                    .tables
                    .get(*at)
                    .is_some_and(|t| fits(t) && follows(t, &chain))
            })
        };
        self.table = known.unwrap_or_else(|| {
            self.set.tables.push(Table {
                name: Text::Borrowed(wanted),
                line: line.number,
                committed: true,
                chains: Chains::default(),
            });
            self.set.tables.len() - 1
        });
        if let Some(table) = self.set.tables.get_mut(self.table) {
            table.chains.push(chain);
        }
    }

    fn titles(&mut self, columns: ListingColumns, line: Line<'a>) {
        match self.columns {
            None => {
                self.columns = Some(columns);
                if !columns.verbose {
                    self.diagnostics.push(
                        line.warning("interfaces are not shown without -v")
                            .help("list with -nvL, or better: iptables-save"),
                    );
                }
            }
            Some(before) if before != columns && !self.mixed_columns => {
                self.mixed_columns = true;
                self.diagnostics
                    .push(line.warning("listings with different columns in one text"));
            }
            Some(_) => {}
        }
    }

    fn current(&mut self) -> Option<&mut Chain<'a>> {
        self.set.tables.get_mut(self.table)?.chains.last_mut()
    }

    fn row(&mut self, line: Line<'a>) {
        self.open_comment = opens_comment(line.text);
        let at = RuleLine {
            span: Span::new(line.start, line.end()),
            line: line.number,
        };
        if self.place == Place::Chain
            && let Some(chain) = self.current()
        {
            chain.rules.push(at);
        } else if !self.orphans {
            self.orphans = true;
            self.diagnostics.push(
                line.warning("a rule without a `Chain` heading above it is not used")
                    .help("list whole chains, or use iptables-save"),
            );
        }
    }

    /// More of a comment that holds a newline.
    fn continuation(&mut self, line: Line<'a>) {
        let end = line.end();
        if let Some(rule) = self.current().and_then(|chain| chain.rules.last_mut()) {
            rule.span = Span::new(rule.span.start as usize, end);
        }
        self.open_comment = !line.text.contains("*/") || opens_comment(line.text);
    }

    fn other(&mut self, text: &'a str, line: Line<'a>) {
        let in_chain = self.place == Place::Chain;
        self.open_comment = false;
        if let Some(command) = command(text) {
            self.place = Place::Outside;
            self.asked = Some(command.table);
            self.set.family = self.set.family.or(command.family);
            self.set.backend = self.set.backend.or(command.backend);
            return;
        }
        if let Some(name) = text.strip_prefix("Table: ") {
            self.place = Place::Outside;
            self.asked = Some(name.trim());
            return;
        }
        if text.starts_with("# Warning:") {
            // On stderr: anywhere between the lines, and the rows go on.
            self.diagnostics.push(line.warning(text));
            return;
        }
        if text.chars().all(|c| matches!(c, '.' | '…' | '[' | ']')) {
            // What follows is kept: the heading above is still its own.
            if in_chain {
                let message = format!("rules of chain {} are left out here", self.name());
                self.diagnostics
                    .push(line.warning(message).help("capture the whole listing"));
            }
            return;
        }
        self.place = Place::Outside;
        let message = if in_chain {
            format!("the listing of chain {} breaks off here", self.name())
        } else {
            "not part of a listing".to_owned()
        };
        self.diagnostics.push(line.warning(message));
    }

    fn name(&mut self) -> String {
        self.current()
            .map(|chain| chain.name.to_string())
            .unwrap_or_default()
    }

    fn finish(mut self) -> Parsed<RuleSet<'a>> {
        let mut columns = self.columns();
        columns.ipv6 = self.set.family == Some(Family::V6);
        self.set.form = Form::Listing(columns);
        Parsed {
            value: self.set,
            diagnostics: self.diagnostics,
        }
    }
}

/// Whether a table may go on with `chain`: user chains follow the built-in ones, which follow the order of hooks.
fn follows(table: &Table<'_>, chain: &Chain<'_>) -> bool {
    if chain.policy.is_none() {
        return true;
    }
    table
        .chains
        .last()
        .is_none_or(|last| last.policy.is_some() && hook_rank(&last.name) < hook_rank(&chain.name))
}

/// Whether the last `/*` has no end behind it.
fn opens_comment(text: &str) -> bool {
    text.rfind("/*")
        .and_then(|at| text.get(at + 2..))
        .is_some_and(|rest| !rest.contains("*/"))
}

/// `Chain NAME (policy ACCEPT 1 packets, 2 bytes)` or `Chain NAME (3 references)`.
fn heading(text: &str) -> Option<Chain<'_>> {
    let rest = text.strip_prefix("Chain ")?;
    let (name, about) = rest.split_once(" (")?;
    let mut chain = Chain {
        name: Text::Borrowed(name.trim()),
        declared: true,
        ..Chain::default()
    };
    let mut words = about.trim_end_matches(')').split([' ', ',', ')']);
    if words.next()? != "policy" {
        return about.contains("reference").then_some(chain);
    }
    chain.policy = match words.next()? {
        "ACCEPT" => Some(Policy::Accept),
        "DROP" => Some(Policy::Drop),
        _ => None,
    };
    let mut numbers = words.filter_map(count);
    if let (Some(packets), Some(bytes)) = (numbers.next(), numbers.next()) {
        chain.counters = Some((packets, bytes));
    }
    Some(chain)
}

/// The line of column titles.
fn column_titles(text: &str) -> Option<ListingColumns> {
    let mut words = text.split_whitespace().peekable();
    let numbers = words.next_if_eq(&"num").is_some();
    let verbose = words.next_if_eq(&"pkts").is_some();
    if verbose {
        words.next_if_eq(&"bytes")?;
    }
    let wanted: &[&str] = if verbose {
        &[
            "target",
            "prot",
            "opt",
            "in",
            "out",
            "source",
            "destination",
        ]
    } else {
        &["target", "prot", "opt", "source", "destination"]
    };
    words.eq(wanted.iter().copied()).then_some(ListingColumns {
        numbers,
        verbose,
        ipv6: false,
    })
}

struct Command<'a> {
    table: &'a str,
    family: Option<Family>,
    backend: Option<Backend>,
}

/// A command line that lists rules, behind whatever prompt.
fn command(text: &str) -> Option<Command<'_>> {
    let mut words = text.split_whitespace();
    let tool = words.find_map(|word| {
        let word = word.trim_start_matches(['#', '$', '>']);
        let name = word.rsplit('/').next().unwrap_or(word);
        (name.starts_with("iptables") || name.starts_with("ip6tables")).then_some(name)
    })?;
    if tool.ends_with("-save") || tool.ends_with("-restore") {
        return None;
    }
    let mut table = "filter";
    let mut lists = false;
    while let Some(word) = words.next() {
        if matches!(word, "-t" | "--table") {
            table = words.next()?;
        } else if let Some(name) = word.strip_prefix("--table=") {
            table = name;
        } else if word.starts_with("--") {
            lists |= word.starts_with("--list") && word != "--list-rules";
        } else if let Some(name) = word.strip_prefix("-t") {
            table = name;
        } else if let Some(flags) = word.strip_prefix('-') {
            lists |= flags.contains('L');
        }
    }
    let backend = if tool.contains("legacy") {
        Some(Backend::Legacy)
    } else if tool.contains("nft") {
        Some(Backend::Nft)
    } else {
        None
    };
    let family = if tool.starts_with("ip6") {
        Family::V6
    } else {
        Family::V4
    };
    lists.then_some(Command {
        table,
        family: Some(family),
        backend,
    })
}
