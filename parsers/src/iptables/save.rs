//! Index of `iptables-save` and `iptables -S` text.

use super::RuleSet;
use crate::common::Parsed;

/// Finds tables, chains and rule lines without parsing the rules.
pub fn index(source: &str) -> Parsed<RuleSet<'_>> {
    let _ = source;
    Parsed::default()
}
