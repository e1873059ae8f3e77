//! Words that tell nothing of a site: those of the phrases that programs write into comments, and of names they give.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Comments and log prefixes as programs write them, and words of names. What a finding rests on is among them.
const TEXT: &str = "
# kube-proxy, iptables and IPVS
kubernetes service portals; kubernetes postrouting rules; kubernetes service traffic requiring SNAT
kubernetes externally-visible service portals; kubernetes load balancer firewall; kubernetes forwarding rules
kubernetes forwarding conntrack rule; kubernetes forwarding conntrack pod source rule pod destination rule
kubernetes service nodeports; NOTE: this must be the last rule in this chain; kubernetes service cluster ip
kubernetes health check service ports; health check node port; kubernetes firewall for dropping marked packets
kubernetes ipvs access filter; kubernetes service ip external ip; kubernetes:
block incoming localnet connections; has no endpoints; has no local endpoints; cluster IP; external IP; loadbalancer IP
masquerade traffic for external destinations; masquerade LOCAL traffic for external destinations
route LOCAL traffic for external destinations; pod traffic for external destinations; local traffic
other traffic to will be dropped by KUBE-PROXY-FIREWALL; traffic not accepted by KUBE-FW; XLB; nodePort; hairpin
handle LoadBalancer ingress; Redirect pods trying to reach external loadbalancer VIP to clusterIP
Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose; Kubernetes service cluster ip + port for masquerade purpose
Kubernetes service external ip + port for masquerade and filter purpose; Kubernetes service lb portal
Kubernetes service load balancer ip + port with externalTrafficPolicy=local; for load balancer with loadBalancerSourceRanges
Kubernetes service load balancer ip + port + source IP for packet filter purpose; source cidr
Kubernetes nodeport TCP UDP SCTP port for masquerade purpose; with type 'hash ip:port'; externalTrafficPolicy
To kubernetes NodePort service; ClusterIP ExternalIP; mark for masquerade mark-for-masquerade
# kube-proxy, nftables
rules for kube-proxy; Active ClusterIPs; IPs that accept NodePort traffic; NodePort traffic
destinations that are subject to LoadBalancerSourceRanges; vmap to drop or reject packets to service nodeports with no endpoints
vmap to drop or reject packets to services with no endpoints; ClusterIP, ExternalIP and LoadBalancer IP traffic
helper for @no-endpoint-services / @no-endpoint-nodeports; Reject traffic to invalid ports of ClusterIPs
Drop traffic to unallocated ClusterIPs; short-circuit pod traffic; short-circuit local traffic; masquerade local traffic
no-endpoint-services no-endpoint-nodeports cluster-ips nodeport-ips firewall-ips service-ips service-nodeports
filter-prerouting filter-input filter-forward filter-output filter-output-post-dnat nat-prerouting nat-output nat-postrouting
reject-chain masquerading cluster-ips-check firewall-check nodeport-endpoints-check service-endpoints-check services
# NodeLocal DNS, kubelet
NodeLocal DNS Cache: skip conntrack allow DNS traffic; KUBE-KUBELET-CANARY; node-local-dns
# Calico
Return if profile accepted; Return if policy accepted; Drop if no profiles matched; Drop if no policies passed packet
Host endpoint policy accepted packet; Unknown interface; Policy explicitly accepted packet; Configured DefaultEndpointToHostAction
Drop VXLAN encapped packets originating in pods workloads; Drop IPinIP encapped packets originating in pods workloads
Start of tier default; End of tier default; Start of policies; Profile ingress egress; Policy ingress egress; knp kns ksa gnp np
Allow IPv4 IPv6 VXLAN IPIP packets from allowed hosts; Allow IPv4 VXLAN packets to allowed hosts
Drop IPv4 VXLAN packets from non-allowed hosts; Block IPIP VXLAN packets from non-Calico hosts; Wireguard
Mark-based routing, incoming outgoing; Accept packets from workload; Pre-approved; Fallthrough; DoNotTrack; NFLOG
Flows marked as; Jump to; Set mark; Clear; masq-ipam-pools all-ipam-pools; raw mangle nat filter calico tigera felix
# others
flanneld masq; flanneld forward; chain to manage traffic masquerading by flannel; chain to accept flannel traffic
rules for flannel-ipv4 flannel-ipv6; kind-masq-agent ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic
to our custom KIND-MASQ-AGENT IP-MASQ-AGENT chain; local traffic is not subject to MASQUERADE; outbound traffic is subject to
MASQUERADE (must be last in chain); AWS, primary ENI; AWS, outbound connections; AWS SNAT CHAIN; AWS CONNMARK CHAIN; AWS VPC CNI VPC CIDR
cilium: cilium-feeder; cilium masquerade non-cluster; cilium: ACCEPT for proxy traffic; TPROXY to host; any exclude no-track return
exclude xfrm marks from; cilium source and dst identity; cilium host->cluster snat loopback; CNI portfwd requiring masquerade
CNI portfwd masquerade mark; dnat name: id: bridge cbr0 kindnet aws-cni calico cilium flannel ptp crio containerd docker host-local
CNI firewall plugin rules; CNI firewall plugin admin overrides; cni_hostport cni_plugins_masquerade kindnet-ipmasq
kindnet-network-policies kube-network-policies docker-bridges ovn-kubernetes netavark libvirt_network firewalld
hostport_all masq_checks postrouting prerouting forward input output; kube-router default rule netpol jump target
rule to explicitly ACCEPT traffic that comply to network policies; generated by; completed on; iptables-legacy tables present, use
iptables-legacy-save to see them; Warning; UFW BLOCK ALLOW AUDIT LIMIT; DROP ACCEPT REJECT; IN OUT; denied; f2b sshd ssh; iptables:
save v1 nf_tables; IP Virtual Server version; antrea agent; weave; istio; linkerd; tailscale; podman; libvirt; docker; managed by
# words of names and of the tools
table ip ip6 inet arp bridge netdev filter nat mangle raw security chain set map type hook priority policy flags elements interval timeout
recent hashlimit connlimit connmark statistic iprange multiport owner physdev addrtype rpfilter tos dscp ttl hl ecn tcpmss cluster devgroup helper nfacct nth osf quota2 realm string time u32 bpf cgroup policy frag rt hbh ipv6header mh eui64 ipvs connbytes connlabel conntrack cpu comment dccp hash list bitmap netmask counters timeout log audit checksum classify clusterip connsecmark ct hmark idletimer led netmap nflog nfqueue notrack rateest secmark synproxy tcpoptstrip tee trace tproxy dnpt snpt
exists missing data key frag hbh rt0 rt2 rt4 srh sack sack0 sack1 sack2 sack3 sack-perm sack-permitted mptcp fastopen eol nop noop maxseg window md5sig unknown ipsec spi reqid rr lsrr ssrr ra expectation synproxy secmark last meter update delete add expires packets bytes over until rate burst second minute hour day week within fully-random random persistent numgen jhash symhash inc mod seed offset dup fwd queue bypass fanout options sequence ackseq doff urgptr csum type code mtu gateway id nexthdr hdrlength flowlabel hoplimit dscp pcp dei cfi operation htype ptype hlen plen present count path label labels zone direction original reply status expected assured confirmed event mark nftrace cgroupv2 level wildcard transparent osf kind length iifkind oifkind iiftype oiftype rtclassid classid tcpmss nexthop day hour sdif sdifname ibrname obrname ibrpvid ibrvproto broute counters quotas limits helpers typeof auto-merge constant hw-offload offload devices device owner persist dormant egress skb vxlan geneve gretap inner th nh ll ih
file pipe socket verdict ifname typeof size dynamic tcp udp sctp icmp icmpv6 dccp udplite esp ah gre ipip all saddr daddr sport dport mark ct state meta fib iif oif iifname
oifname iifgroup oifgroup skuid skgid l4proto nfproto protocol length pkttype cpu queue log limit quota counter accept drop reject return
jump goto continue dnat snat masquerade redirect tproxy notrack vmap vlan ether established related new invalid untracked local
unicast multicast broadcast anycast blackhole prohibit unreachable throw default main src dst dev via proto scope link global host site
in out input output forward forwarded pre post allow allowed deny denied block blocked banned blocklist allowlist denylist blacklist
whitelist bans ban allow-list block-list public private internal external home work trusted dmz zone zones user admin base fwd fw firewall
rules rule chains check checks hosts host hosts net nets network networks node nodes pod pods client clients server servers service
services port ports address addresses addr addrs ipv4 ipv6 v4 v6 banned4 banned6 ip4 ips inbound outbound ingress egress in4 in6 out4
out6 lan wan vpn mgmt management logging logdrop logaccept reject drops accepts wg tun before after track custom user-input user-output
user-forward limit-accept skip-to not the a an and of for from with may open connection connections only other others no my own any every
each this that is are be by on at as to if or it its new old test tests traffic packets packet source destination comment
http https dns dns-tcp metrics grpc ssh ntp dhcp bgp icmp ping ntpd
";

/// Namespaces, Services and ports that every cluster has.
const EVERYWHERE: &[&str] = &[
    "default",
    "kube-system",
    "kubernetes",
    "kube-dns",
    "coredns",
    "http",
    "https",
    "dns",
    "dns-tcp",
    "metrics",
    "grpc",
    "tcp",
    "udp",
    "sctp",
    "knp",
    "kns",
    "ksa",
    "gnp",
    "np",
];

static WORDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let parts = |w: &str| -> Vec<String> { w.split(['-', '_']).map(str::to_owned).collect() };
    let lower = TEXT.to_ascii_lowercase();
    let cut = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let words = lower.split(cut).filter(|w| !w.is_empty());
    words
        .flat_map(|w| {
            let mut all = parts(w);
            all.push(w.to_owned());
            all
        })
        .collect()
});

/// Whether a word is one that programs write.
pub fn known(word: &str) -> bool {
    WORDS.contains(&word.to_ascii_lowercase())
}

/// Whether all parts of a name are such words or numbers.
pub fn known_name(name: &str) -> bool {
    known(name)
        || name
            .split(['-', '_', '.'])
            .all(|p| p.bytes().all(|b| b.is_ascii_digit()) || known(p))
}

/// Whether a part of a Service's name says nothing.
pub fn everywhere(part: &str) -> bool {
    EVERYWHERE.contains(&part) || part.bytes().all(|b| b.is_ascii_digit())
}

/// Beginnings of chains that programs make; the site has no word in them.
const OWN: &[&str] = &[
    "KUBE-",
    "cali",
    "FLANNEL-",
    "AWS-",
    "DOCKER",
    "CILIUM_",
    "OLD_CILIUM_",
    "WEAVE",
    "ANTREA-",
    "AZURE-NPM",
    "OVN-KUBE-",
    "OPENSHIFT-",
    "NETAVARK",
    "ISTIO_",
    "PROXY_INIT",
    "LIBVIRT_",
    "IP-MASQ",
    "KIND-MASQ",
    "CNI-",
    "ts-",
    "ufw",
    "__set",
    "__map",
    "filter-cali",
    "nat-cali",
    "mangle-cali",
    "raw-cali",
    "6-KUBE-",
];

/// Whether a chain or set is a program's own.
pub fn programs_own(name: &str) -> bool {
    OWN.iter().any(|p| name.starts_with(p))
}

/// Beginnings of the names of devices of pods and containers; an identifier stands behind them.
const MADE: &[&str] = &[
    "cali", "vethwe", "veth", "lxc", "azv", "eni", "tap", "gke", "enx", "br-", "vnet",
];

/// Devices that are called alike everywhere, but for a number.
const COMMON: &[&str] = &[
    "lo",
    "eth",
    "wlan",
    "bond",
    "team",
    "br",
    "docker",
    "cni",
    "cbr",
    "tunl",
    "ip6tnl",
    "sit",
    "gre",
    "gretap",
    "erspan",
    "vxlan",
    "geneve",
    "flannel",
    "flannel.",
    "flannel-v6.",
    "flannel-wg",
    "kube-ipvs",
    "kube-bridge",
    "kube-dummy-if",
    "nodelocaldns",
    "dummy",
    "wg",
    "tun",
    "tap",
    "virbr",
    "vlan",
    "ib",
    "ppp",
    "cilium_host",
    "cilium_net",
    "cilium_vxlan",
    "cilium_geneve",
    "cilium_wg",
    "lxc_health",
    "weave",
    "antrea-gw",
    "antrea-egress",
    "antrea-tun",
    "ovs-system",
    "br-int",
    "br-ex",
    "br-tun",
    "ovn-k8s-mp",
    "genev_sys_",
    "vxlan_sys_",
    "tailscale",
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "wg-v6.cali",
    "bpfin.cali",
    "bpfout.cali",
    "egress.calico",
    "podman",
    "cni-podman",
    "ifb",
    "ip_vti",
    "ip6_vti",
    "ip6gre",
    "teql",
    "all",
    "default",
    "docker_gwbridge",
    "lxdbr",
    "kindnet",
    "any",
    "none",
    "if",
    "vrf",
    "pod",
    "veth",
    "eni",
];

/// Whether a device's name says nothing of the site.
pub fn common_device(name: &str) -> bool {
    let by_slot = ["eno", "ens", "enp", "wlp", "wls", "ib"].iter().any(|p| {
        name.starts_with(p) && name.len() <= 12 && name.bytes().any(|b| b.is_ascii_digit())
    });
    let number = |rest: &str| {
        rest.len() <= 6
            && rest
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':'))
    };
    by_slot
        || COMMON
            .iter()
            .any(|p| name.strip_prefix(p).is_some_and(number))
}

/// The beginning of a name with an identifier behind it.
pub fn made_prefix(name: &str) -> Option<&'static str> {
    let made = MADE.iter().find(|p| name.starts_with(**p))?;
    let id = name.get(made.len()..)?;
    let hex = id.len() >= 4 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (hex && id.bytes().any(|b| b.is_ascii_alphanumeric())).then_some(made)
}

/// Whether the beginning of devices' names says nothing of the site.
pub fn plain_stem(stem: &str) -> bool {
    let id = |made: &&str| {
        let rest = stem.strip_prefix(*made);
        rest.is_some_and(|r| r.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    // What Cilium's own devices begin with.
    stem == "cilium_" || MADE.iter().any(id) || common_device(stem) || known(stem) || stem.len() < 3
}

/// Beginnings of chains and sets of Calico that are named after a device, policy or profile.
const HEADS: &[&str] = &[
    "cali-tw-",
    "cali-fw-",
    "cali-th-",
    "cali-fh-",
    "cali-thfw-",
    "cali-fhfw-",
    "cali-pi-",
    "cali-po-",
    "cali-pri-",
    "cali-pro-",
    "cali-gi-",
    "cali-go-",
    "cali40s-",
    "cali60s-",
    "cali-sm-",
    "cali-tpi-",
    "cali-tpo-",
];

/// A chain or set of Calico that is named after a device, policy or profile: what comes before that name, and it.
pub fn calico(word: &str) -> Option<(&str, &str)> {
    let bare = ["filter-", "nat-", "mangle-", "raw-"]
        .iter()
        .find_map(|p| word.strip_prefix(p))
        .unwrap_or(word);
    let rest = HEADS.iter().find_map(|h| bare.strip_prefix(h))?;
    let head = word.get(..word.len() - rest.len())?;
    (!rest.is_empty() && !common_device(rest)).then_some((head, rest))
}
