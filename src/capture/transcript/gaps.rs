//! What a session does not show, and what it shows of a moment that has passed.

use super::{Session, lines_of, list};
use crate::capture::Partial;
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::transcript::Part;

impl Session<'_> {
    /// Says of a kind that not all of it is shown.
    pub(super) fn completeness(&mut self, kind: Kind, blocks: &[usize]) {
        let counts = matches!(
            kind,
            Kind::Link
                | Kind::IptablesSave
                | Kind::Route
                | Kind::RouteN
                | Kind::Rule
                | Kind::Ipvs
                | Kind::Nft
                | Kind::Neigh
        );
        if !counts {
            return;
        }
        let mut why = None;
        for i in blocks {
            let b = &self.blocks[*i];
            let c = b.command.as_ref().filter(|c| c.kind == Some(kind));
            match (c, b.cut) {
                (_, Some(line)) => why = Some((line, "text is cut out here".to_owned())),
                // `iptables -t nat -S`, `iptables-save -t nat`: the other tables are not shown.
                (Some(c), None) if kind == Kind::IptablesSave && c.table.is_some() => {
                    why = Some((c.line, format!("`{}` shows one table only", c.text)));
                }
                (Some(c), None) if c.part == Part::Whole => return,
                (Some(c), None) => {
                    why = Some((c.line, format!("`{}` shows some of it only", c.text)));
                }
                (None, None) => {
                    why = why.or_else(|| {
                        Some((b.first_line(), "no command stands above it".to_owned()))
                    });
                }
            }
        }
        if let Some((line, why)) = why {
            self.partial.push(Partial {
                kind,
                file: self.name.to_owned(),
                line,
                why,
                assumed_from: None,
            });
        }
    }

    /// Commands that change what was shown before and is not shown again.
    pub(super) fn outdated(&mut self) {
        let Some((last, _)) = self.changes.last() else {
            return;
        };
        let mut stale: Vec<String> = Vec::new();
        for kind in last.changes {
            let of_kind = || self.blocks.iter().filter(|b| b.kind == *kind);
            let after = of_kind().any(|b| b.first_line() > last.line);
            let before: Vec<String> = of_kind()
                .filter(|b| b.last_line() < last.line)
                .map(lines_of)
                .collect();
            if !after && !before.is_empty() {
                stale.push(format!("{} (lines {})", what(*kind), list(&before)));
            }
        }
        if !stale.is_empty() {
            self.remarks.push(format!(
                "{}:{}: `{}` may have changed what is shown before it and not again: {}",
                self.name,
                last.line,
                shortened(&last.text),
                stale.join(", ")
            ));
        }
    }
}

fn shortened(text: &str) -> String {
    let mut s: String = text.chars().take(60).collect();
    if s.len() < text.len() {
        s.push_str("...");
    }
    s
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::IptablesSave | Kind::IptablesListing => "iptables rules",
        Kind::Ipset => "ipsets",
        Kind::Ipvs => "IPVS",
        Kind::Nft => "nft rules",
        Kind::Link => "devices",
        Kind::Route | Kind::RouteN => "routes",
        Kind::Rule => "ip rules",
        Kind::Sysctl => "settings",
        _ => "the rest",
    }
}
