//! Whose rule it is, by the names programs give to their chains and comments; and which setting changes it.

use super::names;
use super::story::rule;
use crate::node::Node;
use crate::trace::Hit;
use nfwhy_parsers::iptables::Target;

/// A program that writes rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: &'static str,
    /// What makes it not rewrite a source, where there is such a thing.
    pub masquerade: Option<&'static str>,
}

/// Where a pattern is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    /// The chain's name begins with it.
    Chain,
    /// The rule's comment contains it.
    Comment,
    /// The table's name is it; tables of nftables have names of their own.
    Table,
}

const fn owner(name: &'static str, masquerade: &'static str) -> Owner {
    Owner {
        name,
        masquerade: Some(masquerade),
    }
}

const fn plain(name: &'static str) -> Owner {
    Owner {
        name,
        masquerade: None,
    }
}

const KUBE_PROXY: Owner = plain("kube-proxy");
const FLANNEL: Owner = owner(
    "flannel",
    // flannel-io/flannel#745 (0.8.0) and #1167 (what an upgrade leaves behind).
    "flannel: rules of a release before 0.8, which an upgrade leaves behind, masquerade what later ones return: delete them; or --ip-masq=false",
);
const FLANNEL_NFT: Owner = owner(
    "flannel",
    // flannel-io/flannel, pkg/trafficmngr/nftables/nftables.go.
    "flannel masquerades what pods send out of its Network (net-conf.json): --ip-masq=false, if what is outside knows the way to the pods",
);
const CALICO: Owner = owner(
    "Calico",
    "Calico: natOutgoing of the IPPool, or an IPPool (disabled: true) that covers the other side so that it is not masqueraded",
);
const IP_MASQ_AGENT: Owner = owner(
    "ip-masq-agent",
    "ip-masq-agent: list the pod and node CIDRs under nonMasqueradeCIDRs in its ConfigMap",
);
const PORTMAP: Owner = owner(
    "the portmap plugin",
    "portmap (hostPort): masqAll: false in the CNI configuration; only a pod's own subnet and localhost are then masqueraded",
);
const DOCKER: Owner = owner(
    "Docker",
    "Docker: --ip-masq=false, or com.docker.network.bridge.enable_ip_masquerade=false on the network",
);
const AWS: Owner = owner(
    "Amazon VPC CNI",
    "Amazon VPC CNI: AWS_VPC_K8S_CNI_EXTERNALSNAT=true, or AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS with the other side's CIDR",
);
const BRIDGE: Owner = owner(
    "the CNI plugin's ipMasq",
    "ipMasq: false in the CNI configuration of the network",
);
const KINDNET: Owner = owner(
    "kindnet",
    // kubernetes-sigs/kind, images/kindnetd: the list is the cluster's pod subnets, and kubernetes-sigs/kind#3287 (more of
    // them) was not merged.
    "kindnet returns for the cluster's podSubnet only (networking.podSubnet of the kind configuration)",
);
const CILIUM: Owner = owner(
    "Cilium",
    "Cilium: ipv4NativeRoutingCIDR with the other side's range, or enableIPv4Masquerade: false",
);
const WEAVE: Owner = owner("Weave Net", "Weave Net: NO_MASQ_LOCAL=1");
const ANTREA: Owner = owner(
    "Antrea",
    "Antrea: noSNAT: true in antrea-agent.conf (noEncap only)",
);
const KUBE_ROUTER: Owner = owner(
    "kube-router",
    "kube-router: --enable-pod-egress=false for what leaves the cluster, the annotation kube-router.io/service.local for Services",
);
const LIBVIRT: Owner = owner(
    "libvirt",
    "libvirt: <forward mode='route'/> in the network's XML",
);
const TAILSCALE: Owner = owner("Tailscale", "Tailscale: --snat-subnet-routes=false");
const FIREWALLD: Owner = owner("firewalld", "firewalld: --remove-masquerade in the zone");

/// More special patterns stand before the general ones.
const PATTERNS: &[(In, &str, Owner)] = &[
    (In::Chain, "KUBE-ROUTER-", KUBE_ROUTER),
    (In::Chain, "KUBE-POD-FW-", KUBE_ROUTER),
    (In::Chain, "KUBE-NWPLCY-", KUBE_ROUTER),
    (In::Chain, "KIND-MASQ-AGENT", KINDNET),
    (In::Chain, "IP-MASQ", IP_MASQ_AGENT),
    (In::Chain, "KUBE-", KUBE_PROXY),
    (In::Chain, "cali", CALICO),
    (In::Chain, "FLANNEL-", FLANNEL),
    (In::Chain, "CNI-HOSTPORT-", PORTMAP),
    (In::Chain, "CNI-DN-", PORTMAP),
    (In::Chain, "CNI-SN-", PORTMAP),
    (In::Chain, "CNI-FORWARD", plain("the CNI firewall plugin")),
    (In::Chain, "CNI-ADMIN", plain("the CNI firewall plugin")),
    (In::Chain, "CNI-", BRIDGE),
    (In::Chain, "AWS-", AWS),
    (In::Chain, "DOCKER", DOCKER),
    (In::Chain, "CILIUM_", CILIUM),
    (In::Chain, "OLD_CILIUM_", CILIUM),
    (In::Chain, "WEAVE", WEAVE),
    (In::Chain, "ANTREA-", ANTREA),
    (In::Chain, "AZURE-NPM", plain("Azure NPM")),
    (In::Chain, "OVN-KUBE-", plain("OVN-Kubernetes")),
    (In::Chain, "OPENSHIFT-", plain("OpenShift SDN")),
    (In::Chain, "NETAVARK", plain("Podman (netavark)")),
    (In::Chain, "ISTIO_", plain("Istio")),
    (In::Chain, "PROXY_INIT", plain("Linkerd")),
    (In::Chain, "LIBVIRT_", LIBVIRT),
    (In::Chain, "ts-", TAILSCALE),
    (In::Chain, "f2b-", plain("fail2ban")),
    (In::Chain, "ufw", plain("ufw")),
    (In::Chain, "POST_", FIREWALLD),
    (In::Chain, "FWDI_", FIREWALLD),
    (In::Chain, "IN_", FIREWALLD),
    (In::Table, "kube-proxy", KUBE_PROXY),
    (In::Table, "calico", CALICO),
    (In::Table, "flannel-ipv4", FLANNEL_NFT),
    (In::Table, "flannel-ipv6", FLANNEL_NFT),
    (In::Table, "cni_hostport", PORTMAP),
    (In::Table, "cni_plugins_masquerade", BRIDGE),
    (In::Table, "kindnet-ipmasq", KINDNET),
    (In::Table, "kindnet-network-policies", plain("kindnet")),
    (
        In::Table,
        "kube-network-policies",
        plain("kube-network-policies"),
    ),
    (In::Table, "docker-bridges", DOCKER),
    (In::Table, "ovn-kubernetes", plain("OVN-Kubernetes")),
    (In::Table, "netavark", plain("Podman (netavark)")),
    (In::Table, "libvirt_network", LIBVIRT),
    (In::Table, "firewalld", FIREWALLD),
    (In::Comment, "flanneld", FLANNEL),
    (In::Comment, "ip-masq-agent", IP_MASQ_AGENT),
    (In::Comment, "kind-masq-agent", KINDNET),
    (In::Comment, "cali:", CALICO),
    (In::Comment, "AWS", AWS),
    (In::Comment, "cilium", CILIUM),
    (In::Comment, "kubernetes", KUBE_PROXY),
    (In::Comment, "CNI", BRIDGE),
    (In::Comment, "name: \"", BRIDGE),
];

/// The owner of a chain, by its name.
pub fn of_chain(name: &str) -> Option<Owner> {
    find(In::Chain, name)
}

fn find(place: In, text: &str) -> Option<Owner> {
    PATTERNS
        .iter()
        .find(|(p, pattern, _)| {
            *p == place
                && match place {
                    In::Chain => text.starts_with(pattern),
                    In::Comment => text.contains(pattern),
                    In::Table => text == *pattern,
                }
        })
        .map(|(_, _, o)| *o)
}

/// The owner of a rule: by its chain, its comment, or its shape.
pub fn of_rule(node: &Node<'_>, hit: Hit) -> Option<Owner> {
    let native = node.netfilter.nft(hit.table);
    native
        .and_then(|t| find(In::Table, &t.def.name))
        .or_else(|| of_chain(names::chain(node, hit.table, hit.chain)))
        .or_else(|| names::comment(node, hit).and_then(|c| find(In::Comment, c)))
        .or_else(|| by_shape(node, hit))
}

/// flannel before 0.20 wrote bare rules into POSTROUTING: `! -s POD_NET -d POD_NET -j MASQUERADE`
/// (flannel-io/flannel, network/iptables.go, `MasqRules`). Docker's bears no comment either: `-s NET ! -o BRIDGE`.
fn by_shape(node: &Node<'_>, hit: Hit) -> Option<Owner> {
    let r = rule(node, hit)?;
    if !matches!(r.target, Target::Masquerade(_)) {
        return None;
    }
    let has = |prefix: &str| node.devices.iter().any(|d| d.name.starts_with(prefix));
    if has("flannel") {
        let same = match (&r.src, &r.dst) {
            (Some(s), Some(d)) => s.not && !d.not && s.value == d.value,
            _ => false,
        };
        let multicast = r
            .dst
            .as_ref()
            .is_some_and(|d| d.not && d.value.addr.is_multicast());
        if same || (multicast && r.oif.is_none()) {
            return Some(FLANNEL);
        }
    }
    let bridge = r
        .oif
        .as_ref()
        .is_some_and(|o| o.not && (o.value.starts_with("docker") || o.value.starts_with("br-")));
    (bridge && r.src.is_some()).then_some(DOCKER)
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
    use super::{In, PATTERNS, find, of_chain};

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
            ("POSTROUTING", None),
        ] {
            assert_eq!(of_chain(chain).map(|o| o.name), owner, "{chain}");
        }
        assert_eq!(
            find(In::Comment, "AWS SNAT CHAIN").map(|o| o.name),
            Some("Amazon VPC CNI")
        );
    }

    #[test]
    fn no_pattern_is_hidden_by_an_earlier_one() {
        for (i, (place, pattern, _)) in PATTERNS.iter().enumerate() {
            let hidden = PATTERNS
                .iter()
                .take(i)
                .any(|(p, earlier, _)| p == place && pattern.starts_with(earlier));
            assert!(!hidden, "{pattern}");
        }
    }
}
