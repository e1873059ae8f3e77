//! Whose rule it is, by the names programs give to their chains and comments; and which setting changes it.
//!
//! The names are data, in `owners/`: a program is added there.

mod claim;
mod products;
mod table;

pub use claim::{Claim, of_cause, of_device, of_mark, of_mark_here, of_rule_in_full, of_set};
pub use products::Owner;

use super::names;
use super::story::rule;
use crate::node::Node;
use crate::trace::Hit;
use nfwhy_parsers::iptables::Target;
use products::{DOCKER, FLANNEL, KLIPPER, WEAVE};
use table::{In, PATTERNS};

/// The owner of a chain, by its name.
pub fn of_chain(name: &str) -> Option<Owner> {
    find(In::Chain, name).map(|c| c.owner)
}

/// The pattern that fits a name, the longest where several do.
fn find(place: In, text: &str) -> Option<Claim> {
    let length = |pattern: &str| match (place, pattern.strip_suffix('*')) {
        (In::Comment, _) => text.contains(pattern).then_some(pattern.len()),
        (_, Some(prefix)) => text.starts_with(prefix).then_some(prefix.len()),
        // A whole name fits better than its own beginning.
        (_, None) => (text == pattern).then_some(pattern.len() + 1),
    };
    PATTERNS
        .iter()
        .filter(|(p, ..)| *p == place)
        .filter_map(|(_, pattern, owner, meaning)| {
            Some((
                length(pattern)?,
                Claim {
                    owner: *owner,
                    meaning,
                },
            ))
        })
        // Of two that fit equally the earlier counts.
        .reduce(|a, b| if b.0 > a.0 { b } else { a })
        .map(|(_, claim)| claim)
}

/// The owner of a rule: by its chain, its comment, or its shape.
pub fn of_rule(node: &Node<'_>, hit: Hit) -> Option<Owner> {
    by_name(node, hit)
        .map(|c| c.owner)
        .or_else(|| by_shape(node, hit))
}

/// What table, chain or comment of a rule say.
fn by_name(node: &Node<'_>, hit: Hit) -> Option<Claim> {
    let chain = names::chain(node, hit.table, hit.chain);
    let native = node.netfilter.nft(hit.table);
    native
        .and_then(|t| {
            let named = find(In::Table, &format!("{} {chain}", t.def.name))?;
            // Calico's chains keep their names behind that of the table they would be in: `filter-cali-tw-…`.
            let inner = chain.split_once('-').and_then(|(_, c)| find(In::Chain, c));
            let inner = inner.filter(|c| named.meaning.is_empty() && c.owner == named.owner);
            Some(inner.unwrap_or(named))
        })
        .or_else(|| find(In::Chain, chain))
        .or_else(|| names::comment(node, hit).and_then(|c| find(In::Comment, c)))
}

/// flannel before 0.20 wrote bare rules into POSTROUTING: `! -s POD_NET -d POD_NET -j MASQUERADE`
/// (flannel-io/flannel, network/iptables.go, `MasqRules`). Docker's bears no comment either: `-s NET ! -o BRIDGE`.
fn by_shape(node: &Node<'_>, hit: Hit) -> Option<Owner> {
    let r = rule(node, hit)?;
    // weave-npc's refusal stands in FORWARD itself (weaveworks/weave, npc/controller.go).
    let weave = |d: Option<&nfwhy_parsers::Neg<nfwhy_parsers::Text<'_>>>| {
        d.is_some_and(|o| !o.not && o.value == "weave")
    };
    if weave(r.oif.as_ref()) || weave(r.iif.as_ref()) {
        return Some(WEAVE);
    }
    if !matches!(r.target, Target::Masquerade(_)) {
        return None;
    }
    let has = |prefix: &str| node.devices.iter().any(|d| d.name.starts_with(prefix));
    let same = match (&r.src, &r.dst) {
        (Some(s), Some(d)) => s.not && !d.not && s.value == d.value,
        _ => false,
    };
    // Its host-gw and cloud backends have no device of their own; nobody else writes this pair of rules.
    let pair = same && hit.rule > 0 && {
        let before = Hit {
            rule: hit.rule - 1,
            ..hit
        };
        rule(node, before).is_some_and(|b| b.src == r.src && matches!(b.target, Target::Return))
    };
    if pair || has("flannel") {
        let multicast = r
            .dst
            .as_ref()
            .is_some_and(|d| d.not && d.value.addr.is_multicast());
        if same || (multicast && r.oif.is_none()) {
            return Some(FLANNEL);
        }
    }
    // k3s-io/klipper-lb, `entry`: in the pod's own namespace, where nothing else is.
    if r.src.is_none()
        && r.oif.is_none()
        && r.dst.as_ref().is_some_and(|d| !d.not)
        && klipper(node, hit, r)
    {
        return Some(KLIPPER);
    }
    let bridge = r
        .oif
        .as_ref()
        .is_some_and(|o| o.not && (o.value.starts_with("docker") || o.value.starts_with("br-")));
    (bridge && r.src.is_some()).then_some(DOCKER)
}

/// Whether the namespace is that of a pod of k3s' servicelb: one port translated to the address that is masqueraded, and no chains.
fn klipper(node: &Node<'_>, hit: Hit, masquerade: &nfwhy_parsers::iptables::Rule<'_>) -> bool {
    let Some(t) = node.netfilter.tables.get(hit.table) else {
        return false;
    };
    let bare = t.chains.iter().all(|c| c.policy.is_some());
    let Some(pre) = t.chain("PREROUTING").filter(|_| bare) else {
        return false;
    };
    t.rules(pre).iter().any(|r| match &r.target {
        Target::Dnat(n) => n.addrs.is_some_and(|a| {
            masquerade
                .dst
                .as_ref()
                .is_some_and(|d| d.value.addr == a.lo && d.value.contains(a.lo))
        }),
        _ => false,
    })
}

/// Why kube-proxy or another marks a packet for masquerade, by the chain of the rule that jumps to the marking chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Traffic from outside to a Service whose policy is Cluster.
    External,
    /// A `ClusterIP` asked from outside of the pod network.
    ClusterIp,
    /// A pod that reaches itself through a Service.
    Hairpin,
    /// A hostPort.
    HostPort,
    /// Not known.
    Other,
}

/// By chain, as kube-proxy names them in its modes (pkg/proxy/iptables/proxier.go, pkg/proxy/ipvs/proxier.go).
const MARKERS: &[(&str, Marker)] = &[
    ("KUBE-EXT-", Marker::External),
    ("KUBE-XLB-", Marker::External),
    ("KUBE-FW-", Marker::External),
    ("KUBE-FIRE-WALL", Marker::External),
    ("KUBE-NODEPORTS", Marker::External),
    ("KUBE-NODE-PORT", Marker::External),
    ("KUBE-LOAD-BALANCER", Marker::External),
    ("KUBE-SEP-", Marker::Hairpin),
    ("KUBE-SVC-", Marker::ClusterIp),
    ("KUBE-SVL-", Marker::ClusterIp),
    ("CNI-HOSTPORT-", Marker::HostPort),
    ("CNI-DN-", Marker::HostPort),
    // pkg/proxy/nftables/proxier.go.
    ("external-", Marker::External),
    ("endpoint-", Marker::Hairpin),
    ("service-", Marker::ClusterIp),
];

/// Sets of kube-proxy's IPVS mode that rules of KUBE-SERVICES match before they mark.
const MARKER_SETS: &[(&str, Marker)] = &[
    ("KUBE-CLUSTER-IP", Marker::ClusterIp),
    ("KUBE-EXTERNAL-IP", Marker::External),
    ("KUBE-LOAD-BALANCER", Marker::External),
    ("KUBE-NODE-PORT", Marker::External),
];

/// What kind of marking a rule does.
pub fn marker(node: &Node<'_>, hit: Hit) -> Marker {
    use nfwhy_parsers::iptables::Match;
    let chain = names::chain(node, hit.table, hit.chain);
    if let Some((_, m)) = MARKERS.iter().find(|(p, _)| chain.starts_with(p)) {
        return *m;
    }
    let Some(r) = rule(node, hit) else {
        return Marker::Other;
    };
    let by_set = r.matches.iter().find_map(|m| match m {
        Match::Set(s) => MARKER_SETS
            .iter()
            .find(|(p, _)| s.name.trim_start_matches("6-").starts_with(p)),
        _ => None,
    });
    if let Some((_, m)) = by_set {
        return *m;
    }
    // Releases before KUBE-EXT mark in KUBE-SERVICES itself and say in the comment what for.
    match names::comment(node, hit) {
        Some(c) if c.contains("cluster IP") => Marker::ClusterIp,
        Some(c) if c.contains("external IP") || c.contains("loadbalancer") => Marker::External,
        _ => Marker::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::table::{In, MARKS, PATTERNS};
    use super::{find, of_chain};

    #[test]
    fn chains_have_owners() {
        for (chain, owner) in [
            ("KUBE-POSTROUTING", Some("kube-proxy")),
            ("KUBE-ROUTER-SERVICES", Some("kube-router")),
            ("cali-nat-outgoing", Some("Calico")),
            ("IP-MASQ-AGENT", Some("ip-masq-agent")),
            ("KIND-MASQ-AGENT", Some("kindnet")),
            ("CNI-HOSTPORT-MASQ", Some("the portmap plugin")),
            ("CNI-4c2a", Some("the CNI plugin's ipMasq")),
            ("AWS-SNAT-CHAIN-0", Some("Amazon VPC CNI")),
            ("NETAVARK-HOSTPORT-DNAT", Some("Podman (netavark)")),
            ("POSTROUTING", None),
        ] {
            assert_eq!(of_chain(chain).map(|o| o.name), owner, "{chain}");
        }
    }

    #[test]
    fn the_longest_pattern_tells_the_meaning() {
        for (place, text, meaning) in [
            (In::Chain, "KUBE-MARK-MASQ", "masquerade mark"),
            (In::Chain, "KUBE-SVC-ABC", "endpoints of a Service"),
            (In::Chain, "KUBE-NODEPORTS", "NodePorts"),
            (In::Chain, "KUBE-FW-ABC", "loadBalancerSourceRanges"),
            (In::Chain, "CNI-DN-0ffd", "hostPorts of one pod"),
            (
                In::Table,
                "kube-proxy masquerading",
                "masquerade of marked packets",
            ),
            (
                In::Table,
                "kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80",
                "endpoints of a Service",
            ),
            (In::Table, "flannel-ipv4 postrtg", "masquerade of pods"),
            (
                In::Set,
                "KUBE-NODE-PORT-LOCAL-TCP",
                "NodePorts, policy Local",
            ),
            (In::Set, "cali40masq-ipam-pools", "IPPools with natOutgoing"),
            (In::Device, "br-3f2a", "bridge of containers"),
            (In::Device, "br-ex", "bridge to outside"),
            (In::Comment, "AWS, SNAT", "SNAT of what leaves the VPC"),
        ] {
            assert_eq!(
                find(place, text).map(|c| c.meaning),
                Some(meaning),
                "{text}"
            );
        }
        assert_eq!(find(In::Device, "eth0"), None);
        assert_eq!(find(In::Chain, "KUBE"), None);
    }

    /// A pattern that says nothing new, or stands twice, is a mistake in the table.
    #[test]
    fn every_pattern_is_found_by_its_own_name() {
        for (place, pattern, owner, meaning) in PATTERNS {
            let found = find(*place, &pattern.replace('*', "~"));
            let found = found.map(|c| (c.owner.name, c.meaning));
            assert_eq!(found, Some((owner.name, *meaning)), "{pattern}");
            assert!(meaning.len() <= 40 && !meaning.ends_with('.'), "{meaning}");
        }
    }

    #[test]
    fn marks_lie_within_their_masks_and_stand_once() {
        for (i, (value, mask, owner, meaning)) in MARKS.iter().enumerate() {
            assert!(
                value & mask == *value && *value != 0,
                "{value:#x}/{mask:#x}"
            );
            assert!(!meaning.is_empty(), "{value:#x}");
            let twice = MARKS
                .iter()
                .skip(i + 1)
                .any(|(v, m, o, _)| (v, m, o) == (value, mask, owner));
            assert!(!twice, "{value:#x} of {}", owner.name);
        }
    }
}
