//! Index of `iptables-save` and `iptables -S` text.

mod header;
mod joined;
mod lines;

use super::chains::Chains;
use super::lex::{Lexer, is_blank};
use super::rule::counters;
use super::value::{ipv4, ipv6};
use super::{Policy, RuleLine, RuleSet, Table};
use crate::common::{Diagnostic, Family, Parsed, Span, Text};
use header::Header;
use lines::{Line, Lines};

/// Finds tables, chains and rule lines without parsing the rules.
///
/// Takes the output of `iptables-save` and `ip6tables-save`, with and without `-c`, of `iptables -S`, and several of them one after the
/// other; of a file with both families or both backends, told by their headers, this is the first: see [`index_all`].
/// Nothing is fatal. Lines that are no part of a dump, chains that are not declared and tables without `COMMIT` are reported.
pub fn index(source: &str) -> Parsed<RuleSet<'_>> {
    let mut all = index_all(source);
    let more = all.value.len().saturating_sub(1);
    let value = if all.value.is_empty() {
        RuleSet::default()
    } else {
        all.value.swap_remove(0)
    };
    if more > 0 {
        let what = format!("rule sets of another family or backend follow: {more}");
        let note = Diagnostic::warning(1, Span::new(0, 0), what)
            .help("put each program's output into a file of its own");
        all.diagnostics.push(note);
    }
    Parsed {
        value,
        diagnostics: all.diagnostics,
    }
}

/// As [`index`], with one rule set for each change of family or backend between the headers.
pub fn index_all(source: &str) -> Parsed<Vec<RuleSet<'_>>> {
    let mut reader = Reader {
        source,
        sets: Vec::new(),
        header: None,
        table: None,
        implied: Implied::Heads,
        diagnostics: Vec::new(),
        unreported: 0,
    };
    for line in Lines::new(source) {
        reader.line(line);
    }
    reader.finish()
}

/// A table being read.
struct Open<'a> {
    name: &'a str,
    line: u32,
    /// Where its `*name` stands; what a missing `COMMIT` is reported at.
    span: Span,
    /// Without `*name`: `-S` output.
    bare: bool,
    committed: bool,
    chains: Chains<'a>,
}

/// How far a table of `-S` output has come: it prints policies and chains first, so one of these after a rule starts the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Implied {
    Heads,
    Rules,
}

struct Reader<'a> {
    source: &'a str,
    sets: Vec<RuleSet<'a>>,
    /// Of the set being read.
    header: Option<Header<'a>>,
    table: Option<Open<'a>>,
    implied: Implied,
    diagnostics: Vec<Diagnostic>,
    /// Diagnostics beyond [`MOST`].
    unreported: usize,
}

/// A file that is no dump at all need not be reported line by line.
const MOST: usize = 1000;
/// Rule lines longer than this are looked through for a second rule; comments are at most 255 bytes.
const LONG: usize = 1024;

impl<'a> Reader<'a> {
    #[inline]
    fn line(&mut self, line: Line) {
        let bytes = self.source.as_bytes();
        let (mut start, mut end) = (line.start, line.end);
        while start < end && bytes.get(start).is_some_and(|b| is_blank(*b)) {
            start += 1;
        }
        while end > start && bytes.get(end - 1).is_some_and(|b| is_blank(*b)) {
            end -= 1;
        }
        if line.unclosed {
            self.report(
                line.number,
                (start, end),
                "a quote opens and does not close",
                "the line is cut off: capture the dump again",
            );
        }
        let text = self.source.get(start..end).unwrap_or_default();
        if text.len() <= LONG && text.starts_with("-A ") {
            self.rule(text, 3, start, line.number);
        } else {
            self.other(text, start, line.number);
        }
    }

    /// A line that is not plainly one rule: it may be several.
    fn other(&mut self, text: &'a str, start: usize, number: u32) {
        let suspicious = match text.as_bytes().first() {
            None => return,
            Some(b'-' | b'[') => text.len() > LONG,
            // `# Completed on DATE` is the longest that is printed in one piece.
            Some(b'#') => text.len() > 100,
            Some(b':' | b'*' | b'C') => true,
            Some(_) => text.contains(" -A ") || text.contains("COMMIT"),
        };
        if suspicious {
            let parts = joined::entries(text);
            if parts.len() > 1 {
                self.report(
                    number,
                    (start, start + text.len()),
                    &format!("{} entries of a dump stand on one line", parts.len()),
                    "they are read one by one; line numbers are those of the file",
                );
                for (from, to) in parts {
                    let part = text.get(from..to).unwrap_or_default();
                    self.entry(part, start + from, number);
                }
                return;
            }
        }
        self.entry(text, start, number);
    }

    fn entry(&mut self, text: &'a str, start: usize, number: u32) {
        match text.as_bytes() {
            [] => {}
            [b'-', b'A', b' ' | b'\t', ..] => self.rule(text, 3, start, number),
            [b'[', ..] => match counted(text) {
                Some(chain) => self.rule(text, chain, start, number),
                None => self.junk(text, start, number),
            },
            [b':', ..] => self.chain(text, start, number),
            [b'*', ..] => self.open(text, start, number),
            [b'#', ..] => self.comment(text),
            b"COMMIT" => {
                if let Some(table) = &mut self.table {
                    table.committed = true;
                }
                self.close();
            }
            [b'-', b'P' | b'N', b' ' | b'\t', ..] => self.head(text, start, number),
            [b'-', ..] => self.report(
                number,
                (start, start + text.len()),
                "a command, not a line of a dump",
                "give the output of iptables-save, which holds the result of such commands",
            ),
            _ => self.junk(text, start, number),
        }
    }

    fn junk(&mut self, text: &str, start: usize, number: u32) {
        self.report(
            number,
            (start, start + text.len()),
            "not a line of iptables-save",
            "if it is the tail of the line before, the paste broke that line: join them",
        );
    }

    fn report(&mut self, line: u32, (start, end): (usize, usize), what: &str, help: &str) {
        if self.diagnostics.len() >= MOST {
            self.unreported += 1;
            return;
        }
        self.diagnostics
            .push(Diagnostic::warning(line, Span::new(start, end), what).help(help));
    }

    /// A rule whose chain's name starts `chain` bytes into `text`.
    #[inline]
    fn rule(&mut self, text: &'a str, chain: usize, start: usize, number: u32) {
        let rest = text.get(chain..).unwrap_or_default().trim_start();
        let len = rest.bytes().position(is_blank).unwrap_or(rest.len());
        let name = rest.get(..len).unwrap_or_default();
        if name.is_empty() || name.starts_with('-') {
            return self.junk(text, start, number);
        }
        let at = RuleLine {
            span: Span::new(start, start + text.len()),
            line: number,
        };
        self.implied = Implied::Rules;
        if self.bare_table().chains.append(name, at) {
            let from = start + text.len() - rest.len();
            self.report(
                number,
                (from, from + len),
                &format!("chain `{name}` is not declared"),
                "the dump is incomplete: nfwhy takes it for a user chain, or a built-in one with policy ACCEPT",
            );
        }
    }

    /// The open table, or one without a name for `-S` output.
    #[inline]
    fn bare_table(&mut self) -> &mut Open<'a> {
        self.table.get_or_insert_with(|| Open {
            name: "",
            line: 0,
            span: Span::default(),
            bare: true,
            committed: true,
            chains: Chains::default(),
        })
    }

    /// `:CHAIN POLICY [packets:bytes]`.
    fn chain(&mut self, text: &'a str, start: usize, number: u32) {
        let mut words = text.get(1..).unwrap_or_default().split_ascii_whitespace();
        let (Some(name), Some(word)) = (words.next(), words.next()) else {
            return self.junk(text, start, number);
        };
        let counted = words.next().and_then(counters);
        self.declare(name, word, counted, (start, text.len()), number);
    }

    /// `-P CHAIN POLICY [-c packets bytes]` or `-N CHAIN`.
    fn head(&mut self, text: &'a str, start: usize, number: u32) {
        let mut words = text.split_ascii_whitespace();
        let policy = words.next() == Some("-P");
        let name = words.next();
        let word = if policy { words.next() } else { Some("-") };
        let (Some(name), Some(word)) = (name, word) else {
            return self.junk(text, start, number);
        };
        let bare = self.table.as_ref().is_some_and(|t| t.bare);
        if bare && self.implied == Implied::Rules {
            self.close();
        }
        self.implied = Implied::Heads;
        let counted = match (words.next(), words.next(), words.next()) {
            (Some("-c"), Some(packets), Some(bytes)) => {
                packets.parse().ok().zip(bytes.parse().ok())
            }
            _ => None,
        };
        self.declare(name, word, counted, (start, text.len()), number);
    }

    fn declare(
        &mut self,
        name: &'a str,
        policy: &str,
        counted: Option<(u64, u64)>,
        (start, len): (usize, usize),
        number: u32,
    ) {
        let policy = match policy {
            "ACCEPT" => Some(Policy::Accept),
            "DROP" => Some(Policy::Drop),
            "-" => None,
            other => {
                self.report(
                    number,
                    (start, start + len),
                    &format!("`{other}` is not a policy"),
                    "a built-in chain has ACCEPT or DROP, a user chain has -",
                );
                None
            }
        };
        let chains = &mut self.bare_table().chains;
        let (index, _) = chains.find_or_add(name);
        let Some(chain) = chains.get_mut(index) else {
            return;
        };
        if chain.declared {
            self.report(
                number,
                (start, start + len),
                &format!("chain `{name}` is declared twice"),
                "two dumps may have been put into one file: the rules of both are read",
            );
            return;
        }
        (chain.policy, chain.counters, chain.line, chain.declared) =
            (policy, counted, number, true);
    }

    /// `*TABLE`.
    fn open(&mut self, text: &'a str, start: usize, number: u32) {
        self.close();
        self.table = Some(Open {
            name: text.get(1..).unwrap_or_default().trim(),
            line: number,
            span: Span::new(start, start + text.len()),
            bare: false,
            committed: false,
            chains: Chains::for_text(self.source.len().saturating_sub(start)),
        });
    }

    /// `# Generated by ...` may start another rule set; other comments say nothing.
    fn comment(&mut self, text: &'a str) {
        let Some(header) = header::header(text) else {
            return;
        };
        self.close();
        let same = |old: &Header<'_>| old.family == header.family && old.backend == header.backend;
        if self.header.as_ref().is_some_and(same) {
            return;
        }
        // Tables before the first header are a rule set of their own.
        if self.header.is_some() || !self.sets.is_empty() {
            self.sets.push(RuleSet::default());
        }
        self.header = Some(header);
        self.identify();
    }

    /// Gives the last rule set what its header says.
    fn identify(&mut self) {
        if self.sets.is_empty() {
            self.sets.push(RuleSet::default());
        }
        if let (Some(set), Some(header)) = (self.sets.last_mut(), self.header) {
            set.family = Some(header.family);
            set.backend = header.backend;
            set.version = header.version.map(Text::from);
        }
    }

    /// Puts the open table into the last rule set.
    fn close(&mut self) {
        let Some(open) = self.table.take() else {
            return;
        };
        if !open.committed && self.diagnostics.len() < MOST {
            let what = format!("table `{}` has no COMMIT", open.name);
            let note = Diagnostic::warning(open.line, open.span, what)
                .help("the dump is cut off, and rules may be missing: capture it again");
            self.diagnostics.push(note);
        }
        if self.sets.is_empty() {
            self.sets.push(RuleSet::default());
        }
        if let Some(set) = self.sets.last_mut() {
            set.tables.push(Table {
                name: Text::from(open.name),
                line: open.line,
                committed: open.committed,
                chains: open.chains,
            });
        }
    }

    fn finish(mut self) -> Parsed<Vec<RuleSet<'a>>> {
        self.close();
        // A header with nothing after it is no rule set, unless it is all there is.
        if self.sets.iter().any(|set| !set.tables.is_empty()) {
            self.sets.retain(|set| !set.tables.is_empty());
        }
        for set in &mut self.sets {
            if set.family.is_none() {
                set.family = family_of(set, self.source);
            }
        }
        if self.unreported > 0 {
            let what = format!("{} more lines are not understood", self.unreported);
            let end = self.source.len();
            self.diagnostics
                .push(Diagnostic::warning(0, Span::new(end, end), what));
        }
        // A missing COMMIT is found after the lines that follow it.
        self.diagnostics.sort_by_key(|d| d.span.start);
        Parsed {
            value: self.sets,
            diagnostics: self.diagnostics,
        }
    }
}

/// Of `[packets:bytes] -A CHAIN ...`: where the chain's name starts.
#[inline]
fn counted(text: &str) -> Option<usize> {
    let end = memchr::memchr(b']', text.as_bytes())?;
    let rest = text.get(end + 1..)?;
    let option = rest.trim_start();
    option
        .starts_with("-A ")
        .then(|| text.len() - option.len() + 3)
}

/// The family that the addresses of the rules are of; the first that shows one decides.
fn family_of(set: &RuleSet<'_>, source: &str) -> Option<Family> {
    let rules = set
        .tables
        .iter()
        .flat_map(|table| &table.chains)
        .flat_map(|chain| &chain.rules);
    // Rules without addresses come in any number, but not this many before the first with one.
    rules.take(5000).find_map(|rule| {
        let mut words = Lexer::new(rule.span.of(source));
        while let Some(word) = words.next() {
            if word.is_quoted() {
                continue;
            }
            match word.raw {
                "-s" | "-d" => {
                    let addr = words.find(|w| w.raw != "!")?.raw;
                    if ipv4(addr).is_ok() {
                        return Some(Family::V4);
                    }
                    if ipv6(addr).is_ok() {
                        return Some(Family::V6);
                    }
                }
                "icmp6" | "--icmpv6-type" | "ipv6-icmp" => return Some(Family::V6),
                "--icmp-type" => return Some(Family::V4),
                raw if raw.starts_with("icmp6-") => return Some(Family::V6),
                _ => {}
            }
        }
        None
    })
}
