//! Tables, chains, sets, and the place of every rule, found line by line.

use super::scan::{heading_handle, string_end};
use crate::common::{Diagnostic, Parsed, Span};
use crate::nft::{Form, Object, Place, Ruleset, Table, TableFamily};
use crate::recognise::lines::prompt;
use memchr::{memchr, memchr_iter, memchr3};

/// Finds what a listing holds. Rules and elements are not read.
pub fn index(source: &str) -> Parsed<Ruleset<'_>> {
    let mut scanner = Scanner::new(source);
    let mut ruleset = Ruleset {
        form: Form::Text,
        tables: Vec::new(),
    };
    let mut junk = false;
    while let Some(line) = scanner.next() {
        if line.text.is_empty() || prompt(line.text).is_some() {
            continue;
        }
        if let Some(comment) = line.text.strip_prefix('#') {
            scanner.managed.extend(of_iptables(comment));
            continue;
        }
        let heading = heading(line.text).filter(|h| h.words.starts_with("table "));
        if let Some(h) = heading
            && let Some((family, name)) = table_name(h.words)
        {
            junk = false;
            let table = scanner.table(line, h, family, name);
            ruleset.tables.push(table);
        } else {
            // One report for lines that follow each other.
            if !junk {
                scanner.report(
                    line,
                    "this is no part of a rule set".into(),
                    "`nft list ruleset` prints tables only",
                );
            }
            junk = true;
        }
    }
    // nft writes the warnings to its standard error: they may stand anywhere.
    for table in &mut ruleset.tables {
        table.of_iptables = scanner.managed.contains(&(table.family, &*table.name));
    }
    Parsed {
        value: ruleset,
        diagnostics: scanner.diagnostics,
    }
}

/// `Warning: table ip nat is managed by iptables-nft, do not touch!`
fn of_iptables(comment: &str) -> Option<(TableFamily, &str)> {
    let rest = comment.trim_ascii().strip_prefix("Warning: table ")?;
    let (table, _) = rest.split_once(" is managed by iptables-nft")?;
    let (family, name) = table.split_once(' ')?;
    Some((TableFamily::parse(family)?, name))
}

fn table_name(words: &str) -> Option<(TableFamily, &str)> {
    let mut words = words.split_ascii_whitespace().skip(1);
    let (family, name) = (words.next()?, words.next()?);
    Some((TableFamily::parse(family)?, name)).filter(|_| words.next().is_none())
}

/// A line without the blanks around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub text: &'a str,
    /// First byte of `text`.
    pub start: usize,
    /// Number of the line, from 1.
    pub number: u32,
}

impl Line<'_> {
    pub fn place(&self) -> Place {
        Place {
            span: Span::new(self.start, self.start + self.text.len()),
            line: self.number,
        }
    }
}

/// `chain x { # handle 3`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading<'a> {
    /// What stands before the brace.
    pub words: &'a str,
    pub handle: Option<u64>,
    /// The brace is closed on the same line.
    pub closed: bool,
}

/// Kinds of objects; the name follows.
const OBJECTS: &[&str] = &[
    "counter ",
    "quota ",
    "limit ",
    "ct helper ",
    "ct timeout ",
    "ct expectation ",
    "synproxy ",
    "secmark ",
    "flowtable ",
    "tunnel ",
];

/// A line that opens a brace with nothing but a comment behind it.
pub(super) fn heading(text: &str) -> Option<Heading<'_>> {
    let brace = memchr(b'{', text.as_bytes())?;
    let words = text.get(..brace)?.trim_ascii_end();
    let behind = text.get(brace + 1..)?.trim_ascii();
    let closed = behind == "}";
    if !closed && !behind.is_empty() && !behind.starts_with('#') {
        return None;
    }
    Some(Heading {
        words,
        handle: heading_handle(behind),
        closed,
    })
}

/// Whether a line in a chain, in a set, in a rule's braces can only be the heading of something else.
fn opens_another(text: &str) -> bool {
    let begins = match text.as_bytes().first() {
        Some(b'c') => text.starts_with("chain "),
        Some(b't') => text.starts_with("table "),
        Some(b's') => text.starts_with("set "),
        Some(b'm') => text.starts_with("map "),
        _ => false,
    };
    begins && heading(text).is_some_and(|h| h.words.split_ascii_whitespace().count() <= 3)
}

/// Walks over the lines.
pub(super) struct Scanner<'a> {
    pub source: &'a str,
    /// The next byte.
    pos: usize,
    /// Number of its line, from 1.
    number: u32,
    pub diagnostics: Vec<Diagnostic>,
    /// Tables of which nft warns that they are iptables'.
    managed: Vec<(TableFamily, &'a str)>,
}

impl<'a> Scanner<'a> {
    fn new(source: &'a str) -> Self {
        let mut scanner = Self {
            source,
            pos: 0,
            number: 1,
            diagnostics: Vec::new(),
            managed: Vec::new(),
        };
        if source.starts_with('\u{feff}') {
            scanner.pos = '\u{feff}'.len_utf8();
        }
        scanner
    }

    /// The next line.
    pub fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.source.get(self.pos..).filter(|r| !r.is_empty())?;
        let len = memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let line = rest.get(..len).unwrap_or_default().trim_ascii_end();
        let text = line.trim_ascii_start();
        let found = Line {
            text,
            start: self.pos + line.len() - text.len(),
            number: self.number,
        };
        self.pos = (self.pos + len + 1).min(self.source.len());
        self.number = self.number.saturating_add(1);
        Some(found)
    }

    /// Back to the start of this line.
    pub fn back(&mut self, line: Line<'_>) {
        self.pos = line.start;
        self.number = line.number;
    }

    /// On to behind this byte, which lies beyond the line that was read last.
    pub fn go_to_line_behind(&mut self, line: Line<'_>, end: usize) {
        let bytes = self.source.as_bytes();
        let rest = bytes.get(end..).unwrap_or_default();
        let stop = end + memchr(b'\n', rest).unwrap_or(rest.len());
        let lines = memchr_iter(b'\n', bytes.get(line.start..stop).unwrap_or_default()).count();
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        self.number = line.number.saturating_add(lines).saturating_add(1);
        self.pos = (stop + 1).min(self.source.len());
    }

    pub fn report(&mut self, line: Line<'_>, message: String, help: &str) {
        let d = Diagnostic::warning(line.number, line.place().span, message);
        self.diagnostics.push(d.help(help));
    }

    /// The text ends before something is closed.
    fn report_end(&mut self, what: &str) {
        let end = self.source.len();
        let lines = self.number.saturating_sub(1).max(1);
        let d = Diagnostic::warning(lines, Span::new(end, end), format!("{what} is not closed"));
        self.diagnostics
            .push(d.help("the listing is cut off: capture it again"));
    }

    /// The next line of a body; `None` where it is closed. What is opened within it closes it as well.
    pub fn body(&mut self, what: &str) -> Option<Line<'a>> {
        loop {
            let Some(line) = self.next() else {
                self.report_end(what);
                return None;
            };
            match line.text.as_bytes().first() {
                None => {}
                Some(b'}') => return None,
                // `# Warning: XT match x not found`. Others begin a rule: `# match-set x src`.
                Some(b'#') if line.text.starts_with("# Warning: ") => {
                    let comment = line.text.trim_start_matches('#');
                    self.managed.extend(of_iptables(comment));
                }
                Some(b'c' | b't' | b's' | b'm') if opens_another(line.text) => {
                    self.report(line, format!("{what} is not closed before this"), LOST);
                    self.back(line);
                    return None;
                }
                _ => return Some(line),
            }
        }
    }

    /// One past the end of what begins on this line and goes on over further ones while braces are open.
    pub fn extent(&self, line: Line<'_>) -> usize {
        let bytes = self.source.as_bytes();
        let mut stop = line.start + line.text.len();
        let mut at = line.start;
        let mut depth = 0usize;
        loop {
            let text = bytes.get(at..stop).unwrap_or_default();
            let Some(found) = memchr3(b'"', b'{', b'}', text).map(|i| at + i) else {
                if depth == 0 {
                    return stop;
                }
                match self.line_behind(stop) {
                    Some(next) => (at, stop) = (stop, next),
                    None => return stop,
                }
                continue;
            };
            at = found + 1;
            match bytes.get(found) {
                Some(b'{') => depth += 1,
                Some(b'}') => depth = depth.saturating_sub(1),
                _ => {
                    if let Some(end) = string_end(self.source, at, bytes.len()) {
                        at = end;
                        if end > stop {
                            let rest = bytes.get(end..).unwrap_or_default();
                            stop = end + memchr(b'\n', rest).unwrap_or(rest.len());
                        }
                    }
                }
            }
        }
    }

    /// The end of the line behind this one's end; `None` where that cannot go on with it.
    fn line_behind(&self, stop: usize) -> Option<usize> {
        let bytes = self.source.as_bytes();
        let start = stop + memchr(b'\n', bytes.get(stop..)?)? + 1;
        let rest = bytes.get(start..).filter(|r| !r.is_empty())?;
        let end = start + memchr(b'\n', rest).unwrap_or(rest.len());
        let text = self.source.get(start..end)?.trim_ascii();
        (!text.is_empty() && !opens_another(text)).then_some(end)
    }

    fn table(
        &mut self,
        line: Line<'a>,
        heading: Heading<'a>,
        family: TableFamily,
        name: &'a str,
    ) -> Table<'a> {
        let mut table = Table {
            family,
            name: name.into(),
            dormant: false,
            handle: heading.handle,
            comment: None,
            at: line.place(),
            of_iptables: false,
            chains: Vec::new(),
            sets: Vec::new(),
            objects: Vec::new(),
        };
        let what = format!("table {} {name}", family.name());
        if heading.closed {
            return table;
        }
        loop {
            let Some(line) = self.next() else {
                self.report_end(&what);
                break;
            };
            if line.text.is_empty() {
                continue;
            }
            if line.text.starts_with('}') {
                table.at.span.end = Span::new(0, line.start + 1).end;
                return table;
            }
            if line.text.starts_with("table ") && opens_another(line.text) {
                self.report(line, format!("{what} is not closed before this"), LOST);
                self.back(line);
                break;
            }
            self.member(line, &mut table);
        }
        table.at.span.end = Span::new(0, self.pos).end;
        table
    }

    /// A line of a table: something that opens, or its flags and comment.
    fn member(&mut self, line: Line<'a>, table: &mut Table<'a>) {
        if let Some(h) = heading(line.text) {
            if let Some(name) = h.words.strip_prefix("chain ") {
                let chain = self.chain(line, h, name.trim_ascii(), table.family);
                table.chains.push(chain);
                return;
            }
            if let Some((kind, name)) = h.words.split_once(' ')
                && matches!(kind, "set" | "map" | "meter")
            {
                let set = self.set(line, h, name.trim_ascii(), table.family);
                table.sets.push(set);
                return;
            }
            if let Some(kind) = OBJECTS.iter().find(|k| h.words.starts_with(**k)) {
                let end = self.extent(line);
                let mut at = line.place();
                at.span.end = Span::new(0, end).end;
                table.objects.push(Object {
                    kind: kind.trim_ascii_end().into(),
                    name: h.words.get(kind.len()..).unwrap_or_default().into(),
                    handle: h.handle,
                    at,
                });
                self.go_to_line_behind(line, end);
                return;
            }
        }
        if let Some(flags) = line.text.strip_prefix("flags ") {
            table.dormant = flags.split([',', ' ', ';']).any(|flag| flag == "dormant");
        } else if let Some(comment) = comment(line.text) {
            table.comment = Some(comment.into());
        } else if let Some(comment) = line.text.strip_prefix('#') {
            self.managed.extend(of_iptables(comment));
        } else {
            self.report(
                line,
                "this is no chain, no set and no object".into(),
                "what it holds is left out",
            );
            let end = self.extent(line);
            self.go_to_line_behind(line, end);
        }
    }
}

const LOST: &str = "a line is lost: capture the listing again";

/// `comment "..."`.
pub(super) fn comment(text: &str) -> Option<&str> {
    let text = text.strip_prefix("comment ")?.trim_ascii();
    let text = text.strip_suffix(';').unwrap_or(text).trim_ascii_end();
    text.strip_prefix('"')?.strip_suffix('"')
}
