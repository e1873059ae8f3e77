//! Whom kube-proxy masquerades by a rule that marks: all, those outside of a network, or all that ask an external IP.

use super::names;
use super::owners::{Marker, marker};
use super::story::rule;
use crate::node::Node;
use crate::trace::Hit;

/// Why kube-proxy masquerades a client of a `ClusterIP`, by the shape of the rule that marks: `! -s CIDR`, or for all.
pub(super) fn cluster_ip_clause(node: &Node<'_>, decider: Hit) -> Option<String> {
    if is_old_external_ip(node, decider) {
        return Some(
            "external IPs are masqueraded whatever the policy, by this release".to_owned(),
        );
    }
    if marker(node, decider) != Marker::ClusterIp {
        return None;
    }
    let r = rule(node, decider)?;
    let own = names::chain(node, decider.table, decider.chain);
    match &r.src {
        Some(s) if s.not => Some(format!(
            "every client outside of kube-proxy's --cluster-cidr {}",
            s.value
        )),
        // Other ways to tell local traffic look at devices (--detect-local-mode).
        None if r.iif.is_none() && own.starts_with("KUBE-S") && !from_local(r) => {
            Some("every client: kube-proxy runs with --masquerade-all".to_owned())
        }
        _ => None,
    }
}

/// Whether the rule itself tells local traffic by something else than the source's network.
fn from_local(r: &nfwhy_parsers::iptables::Rule<'_>) -> bool {
    use nfwhy_parsers::iptables::Match;
    r.matches.iter().any(|m| match m {
        Match::Physdev(_) => true,
        Match::Addrtype(a) => a.src.is_some(),
        Match::Set(s) => s.src.contains(&true),
        _ => false,
    })
}

/// A rule that marks all that is sent to external IPs, of a release that knows no policy for them.
pub(super) fn is_old_external_ip(node: &Node<'_>, hit: Hit) -> bool {
    use nfwhy_parsers::iptables::Match;
    let Some(r) = rule(node, hit) else {
        return false;
    };
    if names::chain(node, hit.table, hit.chain) != "KUBE-SERVICES" {
        return false;
    }
    let known = |set: &str| node.sets.contains_key(set);
    r.matches.iter().any(|m| match m {
        Match::Set(s) => s.name == "KUBE-EXTERNAL-IP" && !known("KUBE-EXTERNAL-IP-LOCAL"),
        Match::Comment(c) => c.ends_with("external IP"),
        _ => false,
    })
}
