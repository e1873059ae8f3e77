//! Tables of nftables.

use super::super::netfilter::{Netfilter, Table, TableKind};
use super::super::nft::NftTable;
use super::super::{FileId, Warning};
use super::{Builder, warning_of};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Backend;
use nfwhy_parsers::nft::expr::MapRef;
use nfwhy_parsers::nft::{self, Form, Stmt, TableFamily, Verdict};

impl<'a> Builder<'a> {
    pub(super) fn nft(
        &mut self,
        files: &[(FileId, &'a str)],
        iptables: &mut [Table<'a>],
    ) -> Vec<NftTable<'a>> {
        let mut tables: Vec<NftTable<'a>> = Vec::new();
        for (file, text) in files {
            self.captured.nft = true;
            let json = is_json(text);
            let parsed = if json {
                nft::json::index(text)
            } else {
                nft::text::index(text)
            };
            let set = self.take(*file, parsed);
            let form = if json { Form::Json } else { Form::Text };
            for def in set.tables {
                let same = |t: &NftTable<'_>| {
                    t.def.family == def.family && t.def.name == def.name && t.file != *file
                };
                if let Some(old) = tables.iter().position(same) {
                    // Text and JSON of one rule set: the lines of the text are the ones to point at.
                    if tables[old].form == Form::Json && form == Form::Text {
                        tables[old] = NftTable::new(def, form, *file, text);
                    }
                    continue;
                }
                tables.push(NftTable::new(def, form, *file, text));
            }
        }
        self.settle_backends(iptables, &tables);
        self.check_nft(&tables, iptables);
        tables
    }

    /// Finds the tables that iptables-nft-save and nft both show, and reports where they contradict each other.
    pub(super) fn twins(&mut self, netfilter: &mut Netfilter<'a>) {
        const EAGER_RULES: usize = 20_000;
        let first = netfilter.tables.len();
        for t in &mut netfilter.tables {
            let twin = netfilter.nft.iter().position(|n| shows(t, n));
            t.twin = twin.map(|i| first + i);
        }
        for t in &netfilter.tables {
            let Some(twin) = t.twin.and_then(|i| netfilter.nft(i)) else {
                continue;
            };
            for (id, chain) in twin.chain_ids().zip(&twin.def.chains) {
                let saved = t.chain(&chain.name);
                let mut warn = |line: u32, message: String, help: &str| {
                    self.warnings.push(Warning {
                        file: Some(twin.file),
                        line,
                        columns: None,
                        message,
                        help: Some(help.to_owned()),
                    });
                };
                let Some(saved) = saved else {
                    if chain.base.is_some() {
                        warn(
                            chain.at.line,
                            format!(
                                "iptables-nft-save does not show the base chain {} of table {}",
                                chain.name, twin.def.name
                            ),
                            "it is taken from here",
                        );
                    }
                    continue;
                };
                let rules = t.chains.get(saved.0 as usize).map_or(0, |c| c.rules.len());
                if rules != chain.rules.len() {
                    warn(
                        chain.at.line,
                        format!(
                            "chain {} has {} rules here and {rules} in {}; the latter are used",
                            chain.name,
                            chain.rules.len(),
                            self.files[usize::from(t.file.0)].name
                        ),
                        "capture both at the same moment",
                    );
                } else if t.rule_count() <= EAGER_RULES {
                    for rule in (0..rules).filter(|r| netfilter.native(t, saved, *r).is_some()) {
                        let place = t.rule_origin(saved, rule).line;
                        warn(
                            twin.rule_origin(id, rule).line,
                            format!(
                                "iptables-nft-save prints this rule without all it asks for ({}:{place})",
                                self.files[usize::from(t.file.0)].name
                            ),
                            "it is taken from here",
                        );
                    }
                }
            }
        }
    }

    /// As with iptables: a rule set of ordinary size is read whole, so that what is wrong in it is reported.
    fn check_nft(&mut self, tables: &[NftTable<'a>], iptables: &[Table<'a>]) {
        const EAGER_RULES: usize = 20_000;
        if tables.iter().map(NftTable::rule_count).sum::<usize>() > EAGER_RULES {
            return;
        }
        let shown = |t: &NftTable<'_>| iptables.iter().any(|x| shows(x, t));
        for t in tables.iter().filter(|t| !t.def.dormant && !shown(t)) {
            let text = self.files[usize::from(t.file.0)].text;
            for id in t.chain_ids() {
                for (i, rule) in t.rules(id).iter().enumerate() {
                    for name in jumps(rule) {
                        if t.chain(name).is_none() {
                            self.warnings.push(Warning {
                                file: Some(t.file),
                                line: t.rule_origin(id, i).line,
                                columns: None,
                                message: format!(
                                    "jumps to {name}, which is no chain of table {}",
                                    t.def.name
                                ),
                                help: Some("the listing is cut; capture it again".into()),
                            });
                        }
                    }
                }
                for d in t.diagnostics(id) {
                    self.warnings.push(warning_of(text, t.file, d));
                }
            }
            for i in 0..t.def.sets.len() {
                t.elements(i);
                for d in t.element_diagnostics(i) {
                    self.warnings.push(warning_of(text, t.file, d));
                }
            }
        }
    }
}

/// Whether a listing is JSON; a prompt, or the command, may stand before it.
fn is_json(text: &str) -> bool {
    let first = text.find("\"nftables\"");
    first.is_some_and(|at| text[..at].trim_end().ends_with('{'))
}

/// Whether iptables-save printed this very table.
fn shows(x: &Table<'_>, t: &NftTable<'_>) -> bool {
    let family = match t.def.family {
        TableFamily::Ip => Family::V4,
        TableFamily::Ip6 => Family::V6,
        _ => return false,
    };
    x.backend == Backend::Nft && x.family == family && TableKind::parse(&t.def.name) == Some(x.kind)
}

/// The chains that a rule jumps to.
fn jumps<'r>(rule: &'r nft::Rule<'_>) -> Vec<&'r str> {
    let mut out = Vec::new();
    let mut verdict = |v: &'r Verdict<'_>| {
        if let Verdict::Jump(to) | Verdict::Goto(to) = v {
            out.push(to.as_ref());
        }
    };
    for s in &rule.stmts {
        match s {
            Stmt::Verdict(v) => verdict(v),
            Stmt::Vmap {
                map: MapRef::Literal(list),
                ..
            } => {
                for e in list {
                    if let Some(nft::ElementData::Verdict(v)) = &e.data {
                        verdict(v);
                    }
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::is_json;

    #[test]
    fn json_is_known_behind_a_prompt() {
        assert!(is_json("{\"nftables\": [{\"metainfo\": {}}]}"));
        assert!(is_json("node1# nft -j list ruleset\n{ \"nftables\": []}\n"));
        assert!(!is_json(
            "table ip t {\n\tcomment \"of \\\"nftables\\\"\"\n}\n"
        ));
        assert!(!is_json("table ip t {\n}\n"));
    }
}
