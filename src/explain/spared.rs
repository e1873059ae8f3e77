//! What the rules before a masquerade except from it, and that this packet is not among it.

use super::names::{self, short_rule};
use super::owners;
use super::story::rule;
use crate::node::Node;
use crate::trace::{Hit, View};
use nfwhy_parsers::iptables::Target;

/// Programs whose masquerade is meant for what leaves the cluster, with exceptions listed before it.
const WITH_EXCEPTIONS: &[(&str, &str)] = &[
    ("ip-masq-agent", "nonMasqueradeCIDRs"),
    ("kindnet", "the cluster's podSubnet"),
    ("flannel", "this node's subnet"),
];

/// Why no exception held, as a clause for the title.
pub(super) fn clause(node: &Node<'_>, hit: Hit, view: &View) -> Option<String> {
    let who = owners::of_rule(node, hit)?;
    let (_, what) = WITH_EXCEPTIONS.iter().find(|(n, _)| *n == who.name)?;
    let table = node.netfilter.tables.get(hit.table)?;
    let mut nets: Vec<String> = Vec::new();
    let mut rules: Vec<String> = Vec::new();
    for (i, r) in table.rules(hit.chain).iter().enumerate().take(hit.rule) {
        let h = Hit { rule: i, ..hit };
        // Exceptions of others in a shared chain say nothing of this one.
        let own = names::chain(node, hit.table, hit.chain) != "POSTROUTING"
            || owners::of_rule(node, h).is_none_or(|o| o == who);
        let Some(d) = r.dst.as_ref().filter(|d| own && !d.not) else {
            continue;
        };
        // Only those that fail by their destination alone.
        let by_source = r
            .src
            .as_ref()
            .is_some_and(|s| view.src.is_some_and(|a| s.value.contains(a) == s.not));
        if matches!(r.target, Target::Return | Target::Accept)
            && !d.value.contains(view.dst)
            && !by_source
        {
            nets.push(d.value.to_string());
            rules.push(short_rule(node, h));
        }
    }
    match nets.as_slice() {
        [] if who.name == "ip-masq-agent" => Some(format!(
            "{} has no RETURN before it ({what} is empty), so what comes in and is forwarded to a pod is masqueraded as well",
            names::chain(node, hit.table, hit.chain)
        )),
        [] => None,
        nets => Some(format!(
            "the exception before it ({}) is for {} only, not for {}",
            names::list(&rules, 2),
            names::list(nets, 3),
            view.dst
        )),
    }
}

/// What else is to be said where an exception names the wrong network.
pub(super) fn help(node: &Node<'_>, hit: Hit) -> Option<&'static str> {
    let who = owners::of_rule(node, hit)?;
    rule(node, hit)?;
    (who.name == "flannel").then_some(
        "flannel writes the exception for the subnet it leased last: where it names another node's, restart flannel after deleting its old rules",
    )
}
