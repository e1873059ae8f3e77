//! `iptables -L` listings: lossy columns back to rules.

use super::RuleSet;
use crate::common::Parsed;

/// Finds chains and rule lines of `iptables [-t TABLE] -L [-n] [-v] [-x] [--line-numbers]` output.
pub fn index(source: &str) -> Parsed<RuleSet<'_>> {
    let _ = source;
    Parsed::default()
}
