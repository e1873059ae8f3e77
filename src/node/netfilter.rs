//! Tables and chains; rules are parsed when a packet enters their chain.

use super::{FileId, FileInfo, Origin};
use nfwhy_parsers::iptables::{self, Backend, Form, Policy, Rule, RuleLine};
use nfwhy_parsers::{Diagnostic, Family, Text};
use std::cell::OnceCell;
use std::collections::HashMap;

/// All iptables tables of the node, both families and backends.
#[derive(Debug, Default)]
pub struct Netfilter<'a> {
    /// The tables in the order in which their hooks are taken to be registered: legacy before nft.
    pub tables: Vec<Table<'a>>,
}

/// Which built-in table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKind {
    /// `raw`.
    Raw,
    /// `mangle`.
    Mangle,
    /// `nat`.
    Nat,
    /// `filter`.
    Filter,
    /// `security`.
    Security,
}

impl TableKind {
    /// By name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "raw" => Self::Raw,
            "mangle" => Self::Mangle,
            "nat" => Self::Nat,
            "filter" => Self::Filter,
            "security" => Self::Security,
            _ => return None,
        })
    }

    /// The table's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Filter => "filter",
            Self::Security => "security",
        }
    }
}

/// A chain's place in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub u32);

/// One table of one family and backend.
#[derive(Debug)]
pub struct Table<'a> {
    /// Which.
    pub kind: TableKind,
    /// Family.
    pub family: Family,
    /// legacy or nft.
    pub backend: Backend,
    /// Read from a lossy listing rather than from `iptables-save`.
    pub from_listing: bool,
    /// File it was read from.
    pub file: FileId,
    /// Line of `*table`.
    pub line: u32,
    /// In the order of the text.
    pub chains: Vec<Chain<'a>>,
    by_name: HashMap<Text<'a>, ChainId, NameHasher>,
    form: Form,
    source: &'a str,
}

/// A chain.
#[derive(Debug)]
pub struct Chain<'a> {
    /// Name.
    pub name: Text<'a>,
    /// Policy of a base chain.
    pub policy: Option<Policy>,
    /// Whether a declaration was seen.
    pub declared: bool,
    /// Line of the declaration.
    pub line: u32,
    /// The rule lines.
    pub lines: Vec<RuleLine>,
    rules: OnceCell<Vec<Rule<'a>>>,
    diagnostics: OnceCell<Vec<Diagnostic>>,
}

/// FNV-1a: chain names are short and come from the node itself, so flooding is no concern and speed is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher;

impl std::hash::BuildHasher for NameHasher {
    type Hasher = Fnv;
    fn build_hasher(&self) -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

/// State of [`NameHasher`].
#[derive(Debug)]
pub struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for c in &mut chunks {
            let mut w = [0u8; 8];
            w.copy_from_slice(c);
            self.0 = (self.0 ^ u64::from_le_bytes(w)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 ^= self.0 >> 29;
        }
        for b in chunks.remainder() {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl<'a> Table<'a> {
    /// A table over indexed text.
    pub fn new(
        parsed: iptables::Table<'a>,
        kind: TableKind,
        family: Family,
        backend: Backend,
        form: Form,
        file: (FileId, &FileInfo<'a>),
    ) -> Self {
        let mut t = Self {
            kind,
            family,
            backend,
            from_listing: form != Form::Save,
            file: file.0,
            line: parsed.line,
            chains: Vec::with_capacity(parsed.chains.len()),
            by_name: HashMap::with_capacity_and_hasher(parsed.chains.len(), NameHasher),
            form,
            source: file.1.text,
        };
        for c in parsed.chains {
            let id = ChainId(u32::try_from(t.chains.len()).unwrap_or(u32::MAX));
            t.by_name.entry(c.name.clone()).or_insert(id);
            t.chains.push(Chain {
                name: c.name,
                policy: c.policy,
                declared: c.declared,
                line: c.line,
                lines: c.rules,
                rules: OnceCell::new(),
                diagnostics: OnceCell::new(),
            });
        }
        t
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<ChainId> {
        self.by_name.get(name).copied()
    }

    /// A chain's rules, parsed at the first call.
    pub fn rules(&self, id: ChainId) -> &[Rule<'a>] {
        let Some(chain) = self.chains.get(id.0 as usize) else {
            return &[];
        };
        chain.rules.get_or_init(|| {
            let mut diagnostics = Vec::new();
            let rules = chain
                .lines
                .iter()
                .map(|at| {
                    let (rule, d) =
                        iptables::rule::parse_rule(self.source, *at, self.form, self.family);
                    diagnostics.extend(d);
                    rule
                })
                .collect();
            // The cell is empty: it is set only here, once per chain.
            let _ = chain.diagnostics.set(diagnostics);
            rules
        })
    }

    /// What parsing a chain reported so far.
    pub fn diagnostics(&self, id: ChainId) -> &[Diagnostic] {
        self.chains
            .get(id.0 as usize)
            .and_then(|c| c.diagnostics.get())
            .map_or(&[], Vec::as_slice)
    }

    /// The rule's own text.
    pub fn rule_text(&self, chain: ChainId, rule: usize) -> &'a str {
        self.chains
            .get(chain.0 as usize)
            .and_then(|c| c.lines.get(rule))
            .map_or("", |l| l.span.of(self.source))
    }

    /// Where a rule stands.
    pub fn rule_origin(&self, chain: ChainId, rule: usize) -> Origin {
        Origin {
            file: self.file,
            line: self
                .chains
                .get(chain.0 as usize)
                .and_then(|c| c.lines.get(rule))
                .map_or(0, |l| l.line),
        }
    }

    /// All chains.
    pub fn chain_ids(&self) -> impl Iterator<Item = ChainId> + use<> {
        (0..u32::try_from(self.chains.len()).unwrap_or(u32::MAX)).map(ChainId)
    }

    /// Number of rules.
    pub fn rule_count(&self) -> usize {
        self.chains.iter().map(|c| c.lines.len()).sum()
    }
}
