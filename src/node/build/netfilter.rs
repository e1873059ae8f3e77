//! Tables and chains.

use super::super::netfilter::{Netfilter, Table, TableKind};
use super::super::{FileId, Warning};
use super::same::told_by_name;
use super::{Builder, warning_of};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::{self, Backend, Form};
use std::borrow::Cow;

impl<'a> Builder<'a> {
    pub(super) fn netfilter(
        &mut self,
        saves: &[(FileId, &'a str)],
        listings: &[(FileId, &'a str)],
    ) -> Netfilter<'a> {
        let mut tables: Vec<Table<'a>> = Vec::new();
        // Those that name their backend first: the others are compared with them.
        let mut sets = Vec::new();
        for (file, text) in saves {
            let parsed = self.take(*file, iptables::save::index_all(text));
            sets.extend(parsed.into_iter().map(|set| (*file, set)));
        }
        for (file, text) in listings {
            let mut set = self.take(*file, iptables::listing::index(text));
            told_by_name(&mut set, self.file_name(*file));
            sets.push((*file, set));
        }
        sets.sort_by_key(|(_, s)| (s.form != Form::Save, s.backend.is_none()));
        for (file, set) in sets {
            self.add_rule_set(set, file, &mut tables);
        }
        tables.sort_by_key(|t| (t.backend, t.family, t.kind));
        for t in &tables {
            match t.family {
                Family::V4 => self.captured.iptables4 = true,
                Family::V6 => self.captured.iptables6 = true,
            }
        }
        // Of a live reading or a capture with a manifest: there are none, and that is known.
        for (file, text) in saves {
            if text.is_empty() {
                let name = &self.files[usize::from(file.0)].name;
                if name.contains("ip6tables") {
                    self.captured.iptables6 = true;
                } else {
                    self.captured.iptables4 = true;
                }
            }
        }
        let unseen = |family, program: &str| {
            let has = |t: &Table<'_>| t.family == family && t.backend == Backend::Legacy;
            let saves = saves.iter().map(|(_, text)| *text);
            !tables.iter().any(has)
                && saves.chain(listings.iter().map(|(_, t)| *t)).any(|t| {
                    // `xtables_save_main` and its like in iptables/ (nft backend).
                    t.contains(&format!("# Warning: {program}-legacy tables present"))
                })
        };
        self.captured.legacy_unseen4 = unseen(Family::V4, "iptables");
        self.captured.legacy_unseen6 = unseen(Family::V6, "ip6tables");
        self.check_rules(&tables);
        Netfilter {
            tables,
            nft: Vec::new(),
        }
    }

    pub(super) fn add_rule_set(
        &mut self,
        set: iptables::RuleSet<'a>,
        file: FileId,
        tables: &mut Vec<Table<'a>>,
    ) {
        let family = set.family.unwrap_or(Family::V4);
        let info = self.files[usize::from(file.0)].clone();
        let version = set.version;
        for t in set.tables {
            let name: Cow<'_, str> = if t.name.is_empty() {
                let guess = guess_table(&t);
                self.warn(
                    Some(file),
                    t.chains.first().map_or(0, |c| c.line),
                    format!(
                        "the text does not name the table; its chains are those of table {guess}"
                    ),
                );
                Cow::Borrowed(guess)
            } else {
                t.name.clone()
            };
            let Some(kind) = TableKind::parse(&name) else {
                self.warn(
                    Some(file),
                    t.line,
                    format!("table {name} is not one of raw, mangle, nat, filter, security; it is left out"),
                );
                continue;
            };
            let line = t.line;
            let backend = match set.backend {
                Some(b) => b,
                None => self.backend_of(file, family, kind, tables),
            };
            let table = Table::new(
                t,
                kind,
                family,
                backend,
                set.form,
                version.as_deref(),
                (file, &info),
            );
            let old = tables
                .iter()
                .position(|o| o.kind == kind && o.family == family && o.backend == backend);
            let Some(old) = old else {
                tables.push(table);
                continue;
            };
            // The same table twice: a save beats a listing, else the later one is the newer one.
            let keep_old = (tables[old].form_is_save() && set.form != Form::Save)
                || (tables[old].file == file && table.rule_count() == 0);
            let same = tables[old].rule_count() == table.rule_count();
            if !same && set.form == Form::Save {
                let other = self.files[usize::from(tables[old].file.0)].name.clone();
                self.warn(
                    Some(file),
                    line,
                    format!("table {} is captured again (also in {other}:{}) and has {} rules instead of {}; the {} is used", kind.name(), tables[old].line, table.rule_count(), tables[old].rule_count(), if keep_old { "first" } else { "last" }),
                );
            }
            let was = tables[old].file;
            if tables[old].form_is_save() && set.form != Form::Save {
                self.replaced(file, was);
            }
            if !keep_old {
                tables[old] = table;
            }
        }
    }

    /// Rules are parsed when a packet enters their chain. A rule set of ordinary size is read whole at once all the same, so
    /// that what is wrong in it is reported whichever chains the packet takes.
    pub(super) fn check_rules(&mut self, tables: &[Table<'a>]) {
        const EAGER_RULES: usize = 20_000;
        if tables.iter().map(Table::rule_count).sum::<usize>() > EAGER_RULES {
            return;
        }
        for t in tables {
            let text = self.files[usize::from(t.file.0)].text;
            for id in t.chain_ids() {
                for rule in t.rules(id) {
                    self.check_jump(t, rule);
                }
                for d in t.diagnostics(id) {
                    self.warnings.push(warning_of(text, t.file, d));
                }
            }
        }
    }

    pub(super) fn check_jump(&mut self, t: &Table<'a>, rule: &iptables::Rule<'a>) {
        let (iptables::Target::Jump(name) | iptables::Target::Goto(name)) = &rule.target else {
            return;
        };
        if t.chain(name).is_some() {
            return;
        }
        self.warnings.push(Warning {
            file: Some(t.file),
            line: rule.at.line,
            columns: None,
            message: format!("jumps to {name}, which is neither a chain of table {} in this file nor a known target", t.kind.name()),
            help: Some("the dump is cut, or the target is an extension; the rule's effect is unknown".into()),
        });
    }
}

impl Table<'_> {
    /// Of `iptables -L`, which shows one table and may show one chain.
    pub(super) fn is_listing(&self) -> bool {
        self.from_listing
    }

    fn form_is_save(&self) -> bool {
        !self.from_listing
    }
}

/// `-S` and listings do not name the table; its built-in chains tell.
fn guess_table(t: &iptables::Table<'_>) -> &'static str {
    let has = |n: &str| t.chains.iter().any(|c| c.name == n && c.policy.is_some());
    match (
        has("PREROUTING"),
        has("FORWARD"),
        has("POSTROUTING"),
        has("INPUT"),
    ) {
        (true, true, _, _) | (_, true, true, _) => "mangle",
        (true, _, true, _) | (_, false, true, _) => "nat",
        (true, false, false, false) => "raw",
        (_, true, _, _) => "filter",
        _ => {
            let nat = t.chains.iter().any(|c| {
                matches!(
                    c.name.as_ref(),
                    "KUBE-MARK-MASQ" | "KUBE-POSTROUTING" | "KUBE-LOAD-BALANCER" | "KUBE-NODE-PORT"
                ) || c.name.starts_with("KUBE-SVC-")
                    || c.name.starts_with("KUBE-SEP-")
                    || c.name == "PREROUTING"
            });
            if nat { "nat" } else { "filter" }
        }
    }
}
