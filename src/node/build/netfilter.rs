//! Tables and chains.

use super::super::netfilter::{Netfilter, Table, TableKind};
use super::super::{FileId, Warning};
use super::{Builder, warning_of};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::{self, Backend, Form};
use std::borrow::Cow;

impl Table<'_> {
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
