//! Tables and chains; rules are parsed when a packet enters their chain.

use super::nft::NftTable;
use super::{FileId, FileInfo, Origin};
use nfwhy_parsers::iptables::{self, Backend, Form, Match, Rule};
use nfwhy_parsers::nft::{self, Expr, Part, Stmt};
use nfwhy_parsers::{Diagnostic, Family};
use std::cell::OnceCell;

/// All tables of the node: those of iptables, both families and backends, and those of nftables.
///
/// A number that names a table counts through both lists, iptables' first.
#[derive(Debug, Default)]
pub struct Netfilter<'a> {
    /// iptables: in the order in which their hooks are taken to be registered, legacy before nft.
    pub tables: Vec<Table<'a>>,
    /// nftables: in the order of the listing, in which they were added.
    pub nft: Vec<NftTable<'a>>,
}

impl<'a> Netfilter<'a> {
    /// The table of a number.
    pub fn view(&self, table: usize) -> Option<TableView<'_, 'a>> {
        match self.tables.get(table) {
            Some(t) => Some(TableView::Xt(t)),
            None => self.nft(table).map(TableView::Nft),
        }
    }

    /// The nftables table of a number.
    pub fn nft(&self, table: usize) -> Option<&NftTable<'a>> {
        self.nft.get(table.checked_sub(self.tables.len())?)
    }

    /// The rule as nft lists it, where iptables-nft-save cannot say what it does.
    ///
    /// iptables-nft-save (1.8.9) leaves out of a rule what is no rule of iptables: look-ups in sets and maps, all but the last comparison of
    /// an address, all but the end of a range of addresses. Some programs put such rules into its tables with nft.
    pub fn native(&self, t: &Table<'a>, chain: ChainId, rule: usize) -> Option<(usize, ChainId)> {
        let number = t.twin?;
        let twin = self.nft(number)?;
        let own = t.chains.get(chain.0 as usize)?;
        let there = twin.chain(&own.name)?;
        let listed = twin.rules(there);
        // Of two moments: nothing can be said of single rules.
        if listed.len() != own.rules.len() {
            return None;
        }
        let native = is_native(listed.get(rule)?, t.rules(chain).get(rule)?);
        native.then_some((number, there))
    }

    /// The nftables tables with their numbers.
    pub fn nft_tables(&self) -> impl Iterator<Item = (usize, &NftTable<'a>)> {
        (self.tables.len()..).zip(&self.nft)
    }
}

/// A table of either kind.
#[derive(Clone, Copy, Debug)]
pub enum TableView<'s, 'a> {
    /// Of iptables.
    Xt(&'s Table<'a>),
    /// Of nftables.
    Nft(&'s NftTable<'a>),
}

impl<'s, 'a> TableView<'s, 'a> {
    /// `ip`, `ip6`, `inet`.
    pub fn family(self) -> &'static str {
        match self {
            Self::Xt(t) => match t.family {
                Family::V4 => "ip",
                Family::V6 => "ip6",
            },
            Self::Nft(t) => t.def.family.name(),
        }
    }

    /// `legacy` or `nft`.
    pub fn backend(self) -> &'static str {
        match self {
            Self::Xt(t) if t.backend == Backend::Legacy => "legacy",
            Self::Xt(_) | Self::Nft(_) => "nft",
        }
    }

    /// Its name: `nat`, `kube-proxy`.
    pub fn name(self) -> &'s str {
        match self {
            Self::Xt(t) => t.kind.name(),
            Self::Nft(t) => &t.def.name,
        }
    }

    /// A chain's name.
    pub fn chain_name(self, chain: ChainId) -> &'s str {
        let i = chain.0 as usize;
        match self {
            Self::Xt(t) => t.chains.get(i).map_or("?", |c| c.name.as_ref()),
            Self::Nft(t) => t.def.chains.get(i).map_or("?", |c| c.name.as_ref()),
        }
    }

    /// Where a chain is declared.
    pub fn chain_origin(self, chain: ChainId) -> Origin {
        let i = chain.0 as usize;
        let (file, line) = match self {
            Self::Xt(t) => (t.file, t.chains.get(i).map_or(0, |c| c.line)),
            Self::Nft(t) => (t.file, t.def.chains.get(i).map_or(0, |c| c.at.line)),
        };
        Origin { file, line }
    }

    /// A rule's own text.
    pub fn rule_text(self, chain: ChainId, rule: usize) -> &'a str {
        match self {
            Self::Xt(t) => t.rule_text(chain, rule),
            Self::Nft(t) => t.rule_text(chain, rule),
        }
    }

    /// Where a rule stands.
    pub fn rule_origin(self, chain: ChainId, rule: usize) -> Origin {
        match self {
            Self::Xt(t) => t.rule_origin(chain, rule),
            Self::Nft(t) => t.rule_origin(chain, rule),
        }
    }

    /// A rule's handle, where the listing shows it.
    pub fn handle(self, chain: ChainId, rule: usize) -> Option<u64> {
        match self {
            Self::Xt(_) => None,
            Self::Nft(t) => t.rule_at(chain, rule)?.handle,
        }
    }
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
    /// Of the program that printed it, such as `[1, 8, 9]`; `None` where its header does not tell.
    pub version: Option<[u32; 3]>,
    /// Read from a lossy listing rather than from `iptables-save`.
    pub from_listing: bool,
    /// File it was read from.
    pub file: FileId,
    /// Line of `*table`.
    pub line: u32,
    /// The number of the same table in `nft list ruleset`, where that was captured as well.
    pub twin: Option<usize>,
    /// In the order of the text.
    pub chains: iptables::Chains<'a>,
    /// Of each chain, its rules once a packet has entered it.
    parsed: Vec<OnceCell<Box<Parsed<'a>>>>,
    form: Form,
    source: &'a str,
}

/// A chain's rules, and what parsing them reported.
#[derive(Debug)]
struct Parsed<'a> {
    rules: Vec<Rule<'a>>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Table<'a> {
    /// A table over indexed text.
    pub fn new(
        parsed: iptables::Table<'a>,
        kind: TableKind,
        family: Family,
        backend: Backend,
        form: Form,
        version: Option<&str>,
        file: (FileId, &FileInfo<'a>),
    ) -> Self {
        let mut cells = Vec::new();
        cells.resize_with(parsed.chains.len(), OnceCell::new);
        Self {
            kind,
            family,
            backend,
            version: version.and_then(numbers),
            from_listing: form != Form::Save,
            file: file.0,
            line: parsed.line,
            twin: None,
            chains: parsed.chains,
            parsed: cells,
            form,
            source: file.1.text,
        }
    }

    /// Whether `! --sport A ! --dport B` is one comparison of both ports, so that it fits unless both are as named: from the first
    /// release with native port matches (1.8.8) until this was mended (1.8.11; `add_nft_tcpudp` in iptables/nft.c).
    pub fn joins_inverted_ports(&self) -> bool {
        self.backend == Backend::Nft
            && self
                .version
                .is_some_and(|v| ([1, 8, 8]..[1, 8, 11]).contains(&v))
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<ChainId> {
        let index = self.chains.find(name)?;
        u32::try_from(index).ok().map(ChainId)
    }

    /// A chain's rules, parsed at the first call.
    pub fn rules(&self, id: ChainId) -> &[Rule<'a>] {
        let index = id.0 as usize;
        let (Some(chain), Some(cell)) = (self.chains.get(index), self.parsed.get(index)) else {
            return &[];
        };
        let parsed = cell.get_or_init(|| {
            let mut diagnostics = Vec::new();
            let rules = chain
                .rules
                .iter()
                .map(|at| {
                    let (rule, d) =
                        iptables::rule::parse_rule(self.source, *at, self.form, self.family);
                    diagnostics.extend(d);
                    rule
                })
                .collect();
            Box::new(Parsed { rules, diagnostics })
        });
        &parsed.rules
    }

    /// What parsing a chain reported so far.
    pub fn diagnostics(&self, id: ChainId) -> &[Diagnostic] {
        self.parsed
            .get(id.0 as usize)
            .and_then(OnceCell::get)
            .map_or(&[], |parsed| &parsed.diagnostics)
    }

    /// The rule's own text.
    pub fn rule_text(&self, chain: ChainId, rule: usize) -> &'a str {
        self.chains
            .get(chain.0 as usize)
            .and_then(|c| c.rules.get(rule))
            .map_or("", |l| l.span.of(self.source))
    }

    /// Where a rule stands.
    pub fn rule_origin(&self, chain: ChainId, rule: usize) -> Origin {
        Origin {
            file: self.file,
            line: self
                .chains
                .get(chain.0 as usize)
                .and_then(|c| c.rules.get(rule))
                .map_or(0, |l| l.line),
        }
    }

    /// All chains.
    pub fn chain_ids(&self) -> impl Iterator<Item = ChainId> + use<> {
        (0..u32::try_from(self.chains.len()).unwrap_or(u32::MAX)).map(ChainId)
    }

    /// Number of rules.
    pub fn rule_count(&self) -> usize {
        self.chains.iter().map(|c| c.rules.len()).sum()
    }
}

/// Whether a rule holds what iptables has no words for. nft translates matches of iptables back, though the kernel runs them as they are:
/// `iprange` to a range, `multiport` to a set or, for `--ports`, to one of concatenations, lists of `addrtype` and others to sets.
fn is_native(listed: &nft::Rule<'_>, saved: &Rule<'_>) -> bool {
    let has = |f: fn(&Match<'_>) -> bool| saved.matches.iter().any(f);
    // Said by who read it.
    if has(|m| matches!(m, Match::Opaque { name, .. } if name == iptables::matches::NATIVE)) {
        return true;
    }
    let lists = has(|m| {
        matches!(
            m,
            Match::Multiport(_)
                | Match::Addrtype(_)
                | Match::Conntrack(_)
                | Match::State(_)
                | Match::Dccp(..)
                | Match::Hashlimit(_)
                | Match::Time(_)
                | Match::Opaque { .. }
        )
    });
    let iprange = has(|m| matches!(m, Match::Iprange { .. }));
    let mut addresses: Vec<&Expr<'_>> = Vec::new();
    listed.stmts.iter().any(|s| match s {
        Stmt::Vmap { .. } => true,
        Stmt::Update(_) => !lists,
        Stmt::Match { left, right, .. } => {
            let address = matches!(left, Expr::Payload(f) if f.names.1.ends_with("addr"));
            let again = address && addresses.contains(&left);
            addresses.extend(address.then_some(left));
            match (left, right) {
                (Expr::Map { .. }, _) | (_, Expr::SetRef(_)) => true,
                (Expr::Concat(_), _) | (_, Expr::Set(_)) => !lists,
                (Expr::Payload(f), Expr::Part(Part::Range(lo, hi)))
                    if f.names.1.ends_with("addr") =>
                {
                    !iprange && !is_prefix(*lo, *hi)
                }
                _ => again && !iprange,
            }
        }
        _ => false,
    })
}

/// Whether a range is a prefix.
fn is_prefix(lo: u128, hi: u128) -> bool {
    let wild = lo ^ hi;
    wild & wild.wrapping_add(1) == 0 && lo & wild == 0
}

/// `1.8.9` or `1.8.9-2`.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    Some([
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next().and_then(Result::ok).unwrap_or(0),
    ])
}
