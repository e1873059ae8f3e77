//! Tables of nftables; rules and elements are parsed when a packet meets them.

use super::netfilter::ChainId;
use super::{FileId, Origin};
use nfwhy_parsers::nft::{self, Element, Form, Rule, RuleAt, TableFamily};
use nfwhy_parsers::{Diagnostic, Family};
use std::cell::OnceCell;
use std::collections::HashMap;

/// One table.
#[derive(Debug)]
pub struct NftTable<'a> {
    /// As read.
    pub def: nft::Table<'a>,
    /// File it was read from.
    pub file: FileId,
    /// Text or JSON.
    pub form: Form,
    names: OnceCell<HashMap<String, u32>>,
    rules: Vec<OnceCell<Box<Parsed<Rule<'a>>>>>,
    elements: Vec<OnceCell<Box<Parsed<Element<'a>>>>>,
    source: &'a str,
}

#[derive(Debug)]
struct Parsed<T> {
    items: Vec<T>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> NftTable<'a> {
    /// A table over indexed text.
    pub fn new(def: nft::Table<'a>, form: Form, file: FileId, source: &'a str) -> Self {
        let mut rules = Vec::new();
        rules.resize_with(def.chains.len(), OnceCell::new);
        let mut elements = Vec::new();
        elements.resize_with(def.sets.len(), OnceCell::new);
        Self {
            def,
            file,
            form,
            names: OnceCell::new(),
            rules,
            elements,
            source,
        }
    }

    /// Whether it sees packets of the family.
    pub fn sees(&self, family: Family) -> bool {
        match self.def.family {
            TableFamily::Ip => family == Family::V4,
            TableFamily::Ip6 => family == Family::V6,
            TableFamily::Inet | TableFamily::Netdev => true,
            TableFamily::Arp | TableFamily::Bridge => false,
        }
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<ChainId> {
        let names = self.names.get_or_init(|| {
            let chains = self.def.chains.iter().enumerate();
            chains
                .map(|(i, c)| (c.name.to_string(), u32::try_from(i).unwrap_or(u32::MAX)))
                .collect()
        });
        names.get(name).copied().map(ChainId)
    }

    /// A chain's rules, parsed at the first call.
    pub fn rules(&self, id: ChainId) -> &[Rule<'a>] {
        let index = id.0 as usize;
        let (Some(chain), Some(cell)) = (self.def.chains.get(index), self.rules.get(index)) else {
            return &[];
        };
        let parsed = cell.get_or_init(|| {
            let mut diagnostics = Vec::new();
            let mut items = Vec::with_capacity(chain.rules.len());
            for at in &chain.rules {
                let (rule, d) = match self.form {
                    Form::Text => nft::text::parse_rule(self.source, at.at, self.def.family),
                    Form::Json => nft::json::parse_rule(self.source, at.at, self.def.family),
                };
                items.push(rule);
                diagnostics.extend(d);
            }
            Box::new(Parsed { items, diagnostics })
        });
        &parsed.items
    }

    /// What parsing a chain's rules reported so far.
    pub fn diagnostics(&self, id: ChainId) -> &[Diagnostic] {
        let cell = self.rules.get(id.0 as usize).and_then(OnceCell::get);
        cell.map_or(&[], |parsed| &parsed.diagnostics)
    }

    /// A set or map by name: its place among the table's sets.
    pub fn set(&self, name: &str) -> Option<usize> {
        self.def.sets.iter().position(|s| s.name == name)
    }

    /// A set's elements, parsed at the first call.
    pub fn elements(&self, set: usize) -> &[Element<'a>] {
        let (Some(def), Some(cell)) = (self.def.sets.get(set), self.elements.get(set)) else {
            return &[];
        };
        let parsed = cell.get_or_init(|| {
            let (items, diagnostics) = match def.elements {
                None => (Vec::new(), Vec::new()),
                Some(at) => match self.form {
                    Form::Text => nft::text::elements(self.source, at, def, self.def.family),
                    Form::Json => nft::json::elements(self.source, at, def, self.def.family),
                },
            };
            Box::new(Parsed { items, diagnostics })
        });
        &parsed.items
    }

    /// What parsing a set's elements reported so far.
    pub fn element_diagnostics(&self, set: usize) -> &[Diagnostic] {
        let cell = self.elements.get(set).and_then(OnceCell::get);
        cell.map_or(&[], |parsed| &parsed.diagnostics)
    }

    /// The place of a rule.
    pub fn rule_at(&self, chain: ChainId, rule: usize) -> Option<RuleAt> {
        let chain = self.def.chains.get(chain.0 as usize)?;
        chain.rules.get(rule).copied()
    }

    /// The rule's own text.
    pub fn rule_text(&self, chain: ChainId, rule: usize) -> &'a str {
        self.rule_at(chain, rule)
            .map_or("", |r| r.at.span.of(self.source))
    }

    /// Where a rule stands.
    pub fn rule_origin(&self, chain: ChainId, rule: usize) -> Origin {
        Origin {
            file: self.file,
            line: self.rule_at(chain, rule).map_or(0, |r| r.at.line),
        }
    }

    /// All chains.
    pub fn chain_ids(&self) -> impl Iterator<Item = ChainId> + use<> {
        (0..u32::try_from(self.def.chains.len()).unwrap_or(u32::MAX)).map(ChainId)
    }

    /// Number of rules.
    pub fn rule_count(&self) -> usize {
        self.def.chains.iter().map(|c| c.rules.len()).sum()
    }
}
