//! The same rules captured by more than one command: which of them counts, and what the text leaves open.

use super::super::FileId;
use super::super::netfilter::{Table, TableKind};
use super::super::nft::NftTable;
use super::Builder;
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::{Backend, Form, RuleSet};
use nfwhy_parsers::nft::TableFamily;
use std::collections::BTreeSet;

/// What the tables' texts did not tell.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Tables whose backend was taken for legacy, as before there was another.
    guessed: Vec<(FileId, Family, TableKind)>,
    /// Listings that a save replaces, and the save.
    replaced: BTreeSet<(FileId, FileId)>,
}

/// What a file's name tells of a listing whose text does not: `iptables_-t_nat_-nvL` of sos, `ip6tablesnat` of Rancher.
///
/// A listing of empty chains looks the same for both families, and those of `filter` and `security` look alike.
pub(super) fn told_by_name(set: &mut RuleSet<'_>, name: &str) {
    let name = name
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let six = ["ip6tables", "ip6_tables", "iptables6", "ipv6_tables"];
    if set.family.is_none() && six.iter().any(|n| name.contains(n)) {
        set.family = Some(Family::V6);
        if let Form::Listing(columns) = &mut set.form {
            columns.ipv6 = true;
        }
    }
    if set.backend.is_none() {
        set.backend = if name.contains("legacy") {
            Some(Backend::Legacy)
        } else if name.contains("iptables-nft") || name.contains("ip6tables-nft") {
            Some(Backend::Nft)
        } else {
            None
        };
    }
    let [table] = set.tables.as_mut_slice() else {
        return;
    };
    if table.name.is_empty() {
        let after_tool = name.rsplit("tables").next().unwrap_or_default();
        let mut words = name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .chain([after_tool]);
        let known = ["raw", "mangle", "nat", "filter", "security"];
        if let Some(found) = words.find_map(|w| known.into_iter().find(|k| *k == w)) {
            table.name = found.into();
        } else {
            // `iptables_-vnxL`, `iptables.txt`: without -t it is filter, as the chains must bear out.
            let stem = name.split('.').next().unwrap_or_default();
            let plain = matches!(stem, "iptables" | "ip6tables") || stem.contains("tables_-");
            let has = |chain: &str| table.chains.iter().any(|c| c.name == chain);
            if plain && has("FORWARD") && !has("PREROUTING") && !has("POSTROUTING") {
                table.name = "filter".into();
            }
        }
    }
}

impl<'a> Builder<'a> {
    /// The backend of a table whose text does not name it: that of the same table in a text that does, else legacy.
    pub(super) fn backend_of(
        &mut self,
        file: FileId,
        family: Family,
        kind: TableKind,
        known: &[Table<'a>],
    ) -> Backend {
        let same = |t: &&Table<'a>| (t.family, t.kind) == (family, kind);
        let mut backends = known.iter().filter(same).map(|t| t.backend);
        if let (Some(one), None) = (backends.next(), backends.next()) {
            return one;
        }
        self.doubts.guessed.push((file, family, kind));
        Backend::Legacy
    }

    /// Notes that a listing's table is not used, since a save shows it.
    pub(super) fn replaced(&mut self, listing: FileId, save: FileId) {
        if listing != save {
            self.doubts.replaced.insert((listing, save));
        }
    }

    /// Tables of iptables-nft whose text does not say so: nft shows them, with the same chains.
    pub(super) fn settle_backends(&mut self, tables: &mut [Table<'a>], nft: &[NftTable<'a>]) {
        for (file, family, kind) in std::mem::take(&mut self.doubts.guessed) {
            let other =
                |t: &&Table<'a>| (t.family, t.kind, t.backend) == (family, kind, Backend::Nft);
            if tables.iter().any(|t| other(&t)) {
                continue;
            }
            let mine = |t: &&mut Table<'a>| (t.file, t.family, t.kind) == (file, family, kind);
            let Some(table) = tables.iter_mut().find(mine) else {
                continue;
            };
            let shown = |n: &NftTable<'a>| {
                let ip = match n.def.family {
                    TableFamily::Ip => Family::V4,
                    TableFamily::Ip6 => Family::V6,
                    _ => return false,
                };
                ip == family
                    && TableKind::parse(&n.def.name) == Some(kind)
                    && table.chains.iter().any(|c| n.chain(&c.name).is_some())
                    // nft has no base chain where nothing was ever put into it.
                    && table
                        .chains
                        .iter()
                        .all(|c| c.rules.is_empty() || n.chain(&c.name).is_some())
            };
            if nft.iter().any(shown) {
                table.backend = Backend::Nft;
            }
        }
        tables.sort_by_key(|t| (t.backend, t.family, t.kind));
        self.say_replaced();
    }

    fn say_replaced(&mut self) {
        let replaced = std::mem::take(&mut self.doubts.replaced);
        let name = |id: &FileId| self.file_name(*id).to_owned();
        let names = |ids: BTreeSet<FileId>| ids.iter().map(name).collect::<Vec<_>>().join(", ");
        if replaced.is_empty() {
            return;
        }
        let listings = names(replaced.iter().map(|(l, _)| *l).collect());
        let saves = names(replaced.iter().map(|(_, s)| *s).collect());
        self.warn(
            None,
            0,
            format!("tables listed in {listings} are in {saves} as well, which leaves nothing out; those listings are not used"),
        );
    }
}
