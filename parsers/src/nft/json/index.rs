//! What a file holds: tables, chains, sets, and where rules and elements stand.
//!
//! Entries are found by their brackets first, and read one by one: what is wrong within one leaves the others alone. The time grows with
//! the length of the file, whatever is in it.

use super::context::{Context, excerpt};
use super::read::{Cursor, Data, Fault, Value};
use super::tables;
use crate::common::{Parsed, Span, Text};
use crate::nft::{Chain, Form, Place, RuleAt, Ruleset, Set, TableFamily};
use memchr::{memchr, memmem};
use std::collections::HashMap;

/// Finds the tables of a file of one or more JSON documents.
///
/// The elements of sets and the contents of rules are passed by; see [`super::elements`] and [`super::parse_rule`].
pub fn index(source: &str) -> Parsed<Ruleset<'_>> {
    let start = Place {
        line: 1,
        ..Place::default()
    };
    let mut index = Index {
        cx: Context::new(source, start, TableFamily::Inet),
        ruleset: Ruleset {
            form: Form::Json,
            ..Ruleset::default()
        },
        tables: HashMap::new(),
        chains: HashMap::new(),
        document: 0,
        last: None,
        xt: memmem::Finder::new("\"xt\""),
    };
    let mut pos = 0;
    for end in ends(source) {
        index.documents(pos, end);
        pos = end;
    }
    Parsed {
        value: index.ruleset,
        diagnostics: index.cx.diagnostics,
    }
}

/// Where the parts of a file end that cannot reach into each other: a line that starts with `{"nftables"` starts a document, however
/// broken the one before is.
fn ends(source: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    for key in memmem::find_iter(source.as_bytes(), b"\"nftables\"") {
        let before = source.get(..key).unwrap_or_default().trim_ascii_end();
        let Some(before) = before.strip_suffix('{') else {
            continue;
        };
        let line = before.trim_end_matches([' ', '\t']);
        if line.ends_with('\n') {
            ends.push(before.len());
        }
    }
    ends.push(source.len());
    ends
}

/// Stands for the document of a table without heading.
const UNTITLED: u32 = 0;

struct Index<'a> {
    cx: Context<'a>,
    ruleset: Ruleset<'a>,
    /// By family and name: the place in the rule set, and the document that it is of.
    tables: HashMap<(TableFamily, Text<'a>), (usize, u32)>,
    /// By table and name, likewise.
    chains: HashMap<(usize, Text<'a>), (usize, u32)>,
    document: u32,
    /// Table and chain of the rule before: rules of one chain stand together.
    last: Option<(usize, usize)>,
    /// Finds `"xt"`.
    xt: memmem::Finder<'static>,
}

impl<'a> Index<'a> {
    /// Reads the documents between two offsets, and passes what else stands there.
    fn documents(&mut self, start: usize, end: usize) {
        let source = self.cx.source.get(..end).unwrap_or_default();
        let mut cursor = Cursor::new(source, start);
        // From where on there are lines that are no JSON.
        let mut other: Option<usize> = None;
        while let Some(byte) = cursor.peek() {
            let at = cursor.pos;
            if byte == b'{' {
                if let Some(from) = other.take() {
                    self.passed(from, at);
                }
                self.document += 1;
                self.last = None;
                if let Err(mut fault) = self.nftables(&mut cursor) {
                    // What stands behind may be of this document; only another one counts again.
                    fault.at = fault.at.min(source.trim_ascii_end().len());
                    self.cx.fault(fault);
                    return;
                }
            } else {
                // A prompt, a warning, a byte order mark: the line does not count.
                other = other.or(Some(at));
                let rest = source.get(at..).unwrap_or_default();
                cursor.pos = match memchr(b'\n', rest.as_bytes()) {
                    _ if rest.starts_with('\u{feff}') => {
                        other = None;
                        at + '\u{feff}'.len_utf8()
                    }
                    Some(n) => at + n + 1,
                    None => source.len(),
                };
            }
        }
        if let Some(from) = other {
            self.passed(from, source.len());
        }
    }

    fn passed(&mut self, from: usize, to: usize) {
        let text = self
            .cx
            .source
            .get(from..to)
            .unwrap_or_default()
            .trim_ascii_end();
        let message = format!(
            "passed over, no JSON: {}",
            excerpt(text.lines().next().unwrap_or_default())
        );
        self.cx.report(Span::new(from, from + text.len()), message);
    }

    /// `{"nftables": [...]}`.
    fn nftables(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Fault> {
        let mut seen = false;
        cursor.members(|cursor, key| {
            let is_list = cursor.peek() == Some(b'[');
            if key != "nftables" || !is_list || seen {
                let at = cursor.skip()?;
                let message = format!("\"{}\" instead of a list \"nftables\"", excerpt(&key));
                self.cx.report(Span::new(at, cursor.pos), message);
                return Ok(());
            }
            seen = true;
            cursor.items(|cursor| {
                cursor.peek();
                let start = *cursor;
                match self.entry(cursor) {
                    Ok(()) => Ok(()),
                    Err(fault) => {
                        // Where its brackets end, the next one starts.
                        *cursor = start;
                        cursor.skip()?;
                        self.cx.fault(fault);
                        Ok(())
                    }
                }
            })
        })
    }

    /// `{"chain": {...}}`.
    fn entry(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Fault> {
        let start = cursor.pos;
        let mut read = None;
        let mut more = false;
        cursor.members(|cursor, kind| {
            cursor.peek();
            let at = cursor.pos;
            let head = if kind == "rule" {
                Head::Rule(rule(cursor, &self.xt)?)
            } else {
                let passed = match &*kind {
                    "set" | "map" | "meter" => "elem",
                    _ => "",
                };
                let (v, apart) = head(cursor, passed)?;
                Head::Other(kind, v, apart)
            };
            more |= read.is_some();
            read.get_or_insert((head, Span::new(at, cursor.pos)));
            Ok(())
        })?;
        let span = Span::new(start, cursor.pos);
        if more {
            self.cx
                .report(span, "an entry with more than one thing in it");
        }
        let Some((head, span)) = read else {
            self.cx.report(span, "an entry with nothing in it");
            return Ok(());
        };
        let line = self.cx.line(span.start as usize);
        let at = Place { span, line };
        match head {
            Head::Rule(head) => self.rule(&head, at),
            Head::Other(kind, v, apart) => self.add(kind, &v, apart, at),
        }
        Ok(())
    }

    fn add(&mut self, kind: Text<'a>, v: &Value<'a>, apart: Option<Span>, at: Place) {
        if kind == "metainfo" {
            return;
        }
        let family = v.get_str("family").and_then(|f| TableFamily::parse(f));
        let table = v.get_str(if kind == "table" { "name" } else { "table" });
        let (Some(family), Some(table)) = (family, table) else {
            self.cx
                .opaque(v, &format!("{} of no table", excerpt(&kind)));
            return;
        };
        self.cx.family = family;
        if kind == "table" {
            return self.table(v, (family, table.clone()), at);
        }
        let Some(name) = v.get_str("name").cloned() else {
            self.cx
                .opaque(v, &format!("{} without a name", excerpt(&kind)));
            return;
        };
        let Some(t) = self.table_of(family, table, at) else {
            return;
        };
        match &*kind {
            "chain" => self.chain(v, t, name, at),
            "set" | "map" | "meter" => {
                let elements = apart.map(|span| Place {
                    span,
                    line: self.cx.line(span.start as usize),
                });
                let set = tables::set(&mut self.cx, v, name, at, elements);
                if let Some(table) = self.ruleset.tables.get_mut(t) {
                    // `nft -j list set` again and again.
                    let same = |s: &Set<'_>| s.name == set.name;
                    if table.handle.is_none() && table.sets.iter().any(same) {
                        self.cx
                            .report(at.span, "a set that is there already; the first one stands");
                        return;
                    }
                    table.sets.push(set);
                }
            }
            _ => {
                let object = tables::object(kind, v, name, at);
                if let Some(table) = self.ruleset.tables.get_mut(t) {
                    table.objects.push(object);
                }
            }
        }
    }

    fn table(&mut self, v: &Value<'a>, name: (TableFamily, Text<'a>), at: Place) {
        if self.tables.contains_key(&name) {
            self.cx
                .opaque(v, "a table that is there already; the first one stands");
            return;
        }
        let table = tables::table(&mut self.cx, v, name.clone(), at);
        self.tables
            .insert(name, (self.ruleset.tables.len(), self.document));
        self.ruleset.tables.push(table);
    }

    /// The table that an entry is of: of the same document, or one that `nft list chain` and the like leave out.
    fn table_of(&mut self, family: TableFamily, name: &Text<'a>, at: Place) -> Option<usize> {
        if let Some((t, document)) = self.tables.get(&(family, name.clone())) {
            // What another document says of a table has been said by the first, unless that had no heading of it.
            return (*document == self.document || *document == UNTITLED).then_some(*t);
        }
        let message = format!("table {} {name} is not in the file", family.name());
        self.cx.report(at.span, message);
        let t = self.ruleset.tables.len();
        self.tables.insert((family, name.clone()), (t, UNTITLED));
        self.ruleset
            .tables
            .push(tables::bare(family, name.clone(), at));
        Some(t)
    }

    fn chain(&mut self, v: &Value<'a>, t: usize, name: Text<'a>, at: Place) {
        if self.chains.contains_key(&(t, name.clone())) {
            self.cx
                .opaque(v, "a chain that is there already; the first one stands");
            return;
        }
        let chain = tables::chain(&mut self.cx, v, name.clone(), at);
        if let Some(table) = self.ruleset.tables.get_mut(t) {
            self.chains
                .insert((t, name), (table.chains.len(), self.document));
            table.chains.push(chain);
        }
    }

    fn rule(&mut self, head: &RuleHead<'a>, at: Place) {
        let family = head.family.as_deref().and_then(TableFamily::parse);
        let (Some(family), Some(table), Some(chain)) = (family, &head.table, &head.chain) else {
            self.cx.report(at.span, "a rule of no chain");
            return;
        };
        let place = match self.last {
            Some(place) if self.is(place, family, table, chain) => Some(place),
            _ => self.place(family, table, chain, at),
        };
        self.last = place;
        let rule = RuleAt {
            at,
            handle: head.handle,
        };
        if let Some((t, c)) = place
            && let Some(table) = self.ruleset.tables.get_mut(t)
            && let Some(chain) = table.chains.get_mut(c)
        {
            // What the text says above a table that has one (`has_xt_stmts` in nftables).
            table.of_iptables |= head.xt;
            chain.rules.push(rule);
        }
    }

    /// Whether this is the place of that chain.
    fn is(&self, (t, c): (usize, usize), family: TableFamily, table: &str, chain: &str) -> bool {
        self.ruleset.tables.get(t).is_some_and(|t| {
            t.family == family
                && t.name == table
                && t.chains.get(c).is_some_and(|c| c.name == chain)
        })
    }

    /// Where the chain of a rule stands; one that is not there is made up.
    fn place(
        &mut self,
        family: TableFamily,
        table: &Text<'a>,
        chain: &Text<'a>,
        at: Place,
    ) -> Option<(usize, usize)> {
        let t = self.table_of(family, table, at)?;
        if let Some((c, document)) = self.chains.get(&(t, chain.clone())) {
            return (*document == self.document).then_some((t, *c));
        }
        let message = format!("chain {} {table} {chain} is not in the file", family.name());
        self.cx.report(at.span, message);
        let table = self.ruleset.tables.get_mut(t)?;
        let c = table.chains.len();
        self.chains.insert((t, chain.clone()), (c, self.document));
        table.chains.push(Chain {
            name: chain.clone(),
            handle: None,
            comment: None,
            base: None,
            at,
            rules: Vec::new(),
        });
        Some((t, c))
    }
}

/// What an entry is, without rules' and sets' contents.
enum Head<'a> {
    Rule(RuleHead<'a>),
    Other(Text<'a>, Value<'a>, Option<Span>),
}

/// Where a rule belongs.
#[derive(Default)]
struct RuleHead<'a> {
    family: Option<Text<'a>>,
    table: Option<Text<'a>>,
    chain: Option<Text<'a>>,
    handle: Option<u64>,
    /// Whether there is an extension of iptables in it.
    xt: bool,
}

fn rule<'a>(cursor: &mut Cursor<'a>, xt: &memmem::Finder<'_>) -> Result<RuleHead<'a>, Fault> {
    let mut head = RuleHead::default();
    cursor.members(|cursor, key| {
        match &*key {
            "family" => head.family = Some(cursor.string()?),
            "table" => head.table = Some(cursor.string()?),
            "chain" => head.chain = Some(cursor.string()?),
            "handle" => head.handle = cursor.value()?.u64(),
            "expr" => {
                let start = cursor.skip()?;
                let text = cursor.since(start);
                head.xt = xt.find_iter(text.as_bytes()).any(|at| is_key(text, at));
            }
            _ => {
                cursor.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(head)
}

/// Whether `"xt"` there is the key of an object, and no text.
fn is_key(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().trim_ascii_end();
    let behind = text.get(at + 4..).unwrap_or_default().trim_ascii_start();
    before.ends_with('{') && behind.starts_with(':')
}

/// An entry's value without one of its members, and where that stands; nothing for an empty list.
fn head<'a>(cursor: &mut Cursor<'a>, passed: &str) -> Result<(Value<'a>, Option<Span>), Fault> {
    if passed.is_empty() || cursor.peek() != Some(b'{') {
        return Ok((cursor.value()?, None));
    }
    let at = cursor.pos;
    let mut members = Vec::new();
    let mut apart = None;
    cursor.members(|cursor, key| {
        if key == passed {
            let start = cursor.skip()?;
            let text = cursor.since(start);
            let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
            if inside.is_none_or(|t| !t.trim_ascii().is_empty()) {
                apart = Some(Span::new(start, cursor.pos));
            }
        } else {
            members.push((key, cursor.value()?));
        }
        Ok(())
    })?;
    let v = Value {
        raw: cursor.since(at),
        at,
        data: Data::Object(members),
    };
    Ok((v, apart))
}
