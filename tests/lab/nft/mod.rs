//! Random rule sets of `nft` itself: tables of the families ip, ip6 and inet.
//!
//! [`native`] loads a table, [`counters`] reads what its rules counted, [`listing`] takes the lab's own tables out of a capture, [`equal`] holds text and JSON
//! against each other, [`names`] gives the names that the tally counts by. The rest draws: [`tables`] of [`sets`], [`matches`] ([`meta`],
//! [`conn`]), [`stmts`] and [`nat`] over [`values`]; [`kube`] as kube-proxy writes them.

pub mod conn;
pub mod counters;
pub mod draw;
pub mod equal;
pub mod kube;
pub mod listing;
pub mod matches;
pub mod meta;
pub mod names;
pub mod nat;
pub mod native;
pub mod sets;
pub mod stmts;
pub mod tables;
pub mod values;

use sets::SetDef;

/// Where a rule will stand.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// `ip`, `ip6`, `inet`.
    pub family: &'static str,
    /// `filter`, `nat`, `route`; empty for chains that all of them may reach.
    pub kind: &'static str,
    /// Hooks from which its chain can be reached.
    pub hooks: u8,
    /// Its base chain runs before conntrack.
    pub early: bool,
    /// Sets of the table.
    pub sets: &'a [SetDef],
    /// Chains that verdicts of maps may lead to.
    pub leaves: &'a [String],
    /// The node's mood.
    pub mood: super::rules::Mood,
}

impl Place<'_> {
    /// Whether all hooks from which the rule can be reached are among `hooks`.
    pub fn only(&self, hooks: u8) -> bool {
        self.hooks & !hooks == 0
    }
}
