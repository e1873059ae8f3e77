//! Programs that write rules, and what makes each of them leave a source alone.

/// A program that writes rules, makes devices or sets marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: &'static str,
    /// What makes it not rewrite a source, where there is such a thing.
    pub masquerade: Option<&'static str>,
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

pub(super) const KUBE_PROXY: Owner = plain("kube-proxy");
pub(super) const KUBELET: Owner = plain("kubelet");
pub(super) const FLANNEL: Owner = owner(
    "flannel",
    // flannel-io/flannel#745 (0.8.0) and #1167 (what an upgrade leaves behind).
    "flannel: rules of a release before 0.8, which an upgrade leaves behind, masquerade what later ones return: delete them; or --ip-masq=false",
);
pub(super) const FLANNEL_NFT: Owner = owner(
    "flannel",
    // flannel-io/flannel, pkg/trafficmngr/nftables/nftables.go.
    "flannel masquerades what pods send out of its Network (net-conf.json): --ip-masq=false, if what is outside knows the way to the pods",
);
pub(super) const CALICO: Owner = owner(
    "Calico",
    "Calico: natOutgoing of the IPPool, or an IPPool (disabled: true) that covers the other side so that it is not masqueraded",
);
pub(super) const IP_MASQ_AGENT: Owner = owner(
    "ip-masq-agent",
    "ip-masq-agent: list the pod and node CIDRs under nonMasqueradeCIDRs in its ConfigMap",
);
pub(super) const PORTMAP: Owner = owner(
    "the portmap plugin",
    "portmap (hostPort): masqAll: false in the CNI configuration; only a pod's own subnet and localhost are then masqueraded",
);
pub(super) const CNI_FIREWALL: Owner = plain("the CNI firewall plugin");
pub(super) const DOCKER: Owner = owner(
    "Docker",
    "Docker: --ip-masq=false, or com.docker.network.bridge.enable_ip_masquerade=false on the network",
);
pub(super) const PODMAN: Owner = owner(
    "Podman (netavark)",
    "Podman: a network without NAT (`podman network create --opt mode=unmanaged`, or --internal)",
);
pub(super) const AWS: Owner = owner(
    "Amazon VPC CNI",
    "Amazon VPC CNI: AWS_VPC_K8S_CNI_EXTERNALSNAT=true, or AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS with the other side's CIDR",
);
pub(super) const AZURE_CNI: Owner = plain("Azure CNI");
pub(super) const AZURE_NPM: Owner = plain("Azure NPM");
pub(super) const GKE: Owner = plain("GKE");
pub(super) const BRIDGE: Owner = owner(
    "the CNI plugin's ipMasq",
    "ipMasq: false in the CNI configuration of the network",
);
pub(super) const KINDNET: Owner = owner(
    "kindnet",
    // kubernetes-sigs/kind, images/kindnetd: the list is the cluster's pod subnets, and kubernetes-sigs/kind#3287 (more of
    // them) was not merged.
    "kindnet returns for the cluster's podSubnet only (networking.podSubnet of the kind configuration)",
);
pub(super) const KUBE_NETWORK_POLICIES: Owner = plain("kube-network-policies");
pub(super) const CILIUM: Owner = owner(
    "Cilium",
    "Cilium: ipv4NativeRoutingCIDR with the other side's range, or enableIPv4Masquerade: false",
);
pub(super) const WEAVE: Owner = owner("Weave Net", "Weave Net: NO_MASQ_LOCAL=1");
pub(super) const ANTREA: Owner = owner(
    "Antrea",
    "Antrea: noSNAT: true in antrea-agent.conf (noEncap only)",
);
pub(super) const OVN_KUBERNETES: Owner = plain("OVN-Kubernetes");
pub(super) const OPENSHIFT_SDN: Owner = plain("OpenShift SDN");
pub(super) const KUBE_ROUTER: Owner = owner(
    "kube-router",
    "kube-router: --enable-pod-egress=false for what leaves the cluster, the annotation kube-router.io/service.local for Services",
);
pub(super) const KUBE_OVN: Owner = plain("Kube-OVN");
pub(super) const ISTIO: Owner = plain("Istio");
pub(super) const LINKERD: Owner = plain("Linkerd");
pub(super) const NODE_LOCAL_DNS: Owner = plain("NodeLocal DNS");
pub(super) const METALLB: Owner = plain("MetalLB");
pub(super) const KEEPALIVED: Owner = plain("keepalived");
pub(super) const KUBE_VIP: Owner = plain("kube-vip");
pub(super) const LIBVIRT: Owner = owner(
    "libvirt",
    "libvirt: <forward mode='route'/> in the network's XML",
);
pub(super) const TAILSCALE: Owner = owner("Tailscale", "Tailscale: --snat-subnet-routes=false");
pub(super) const FIREWALLD: Owner =
    owner("firewalld", "firewalld: --remove-masquerade in the zone");
pub(super) const UFW: Owner = plain("ufw");
pub(super) const FAIL2BAN: Owner = plain("fail2ban");
pub(super) const BIRD: Owner = plain("BIRD");
pub(super) const KLIPPER: Owner = owner(
    "k3s servicelb",
    "k3s servicelb: externalTrafficPolicy: Local on the Service keeps the client's address on nodes that run a pod of it; or another load balancer (MetalLB, kube-vip) instead of servicelb",
);
