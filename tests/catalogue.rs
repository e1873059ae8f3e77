//! The catalogue of findings: every code is used, listed in the README, and has a packet in snapshots/ that gives it and one like it
//! that does not.

use assert_cmd::Command;
use nfwhy::capture::Snapshot;
use nfwhy::explain::{Code, Severity, explain};
use nfwhy::node::Node;
use nfwhy::sim::simulate;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of snapshots/ and a flow of it.
type Case = (&'static str, &'static str);

/// A code, a packet that gives it, and a packet like it that does not.
const CASES: &[(Code, Case, Case)] = &[
    (
        Code::ClientIpLost,
        (
            "ipvs-etp-cluster",
            "outside client to the load balancer address",
        ),
        (
            "ipvs-etp-local",
            "outside client to the load balancer address",
        ),
    ),
    (
        Code::ClientIpKept,
        (
            "ipvs-etp-local",
            "outside client to the load balancer address",
        ),
        (
            "ipvs-etp-cluster",
            "outside client to the load balancer address",
        ),
    ),
    (
        Code::NoEndpoints,
        ("kube-iptables", "pod to a ClusterIP without endpoints"),
        (
            "kube-iptables",
            "pod to a ClusterIP with internal policy Local, no endpoint here",
        ),
    ),
    (
        Code::NoLocalEndpoints,
        (
            "kube-iptables",
            "outside client to a NodePort, policy Local, no endpoint here",
        ),
        (
            "kube-iptables",
            "outside client to a NodePort, policy Local, endpoint here",
        ),
    ),
    (
        Code::SourceRanges,
        (
            "kube-iptables",
            "refused client to a load balancer address with source ranges",
        ),
        (
            "kube-iptables",
            "allowed client to a load balancer address with source ranges",
        ),
    ),
    (
        Code::Unserved,
        (
            "ipvs-etp-cluster",
            "outside client to the load balancer address, a port without Service",
        ),
        (
            "ipvs-etp-cluster",
            "outside client to the load balancer address",
        ),
    ),
    (
        Code::DroppedByRule,
        (
            "calico-nftables",
            "a pod of another node that the NetworkPolicy refuses",
        ),
        (
            "calico-nftables",
            "a pod of another node that the NetworkPolicy admits",
        ),
    ),
    (
        Code::MarkedForDrop,
        (
            "azure-npm-marks",
            "contrast: pod that the policy does not admit, dropped by NPM's own mark",
        ),
        (
            "azure-npm-marks",
            "contrast: outside client to the hostPort, no mark is needed",
        ),
    ),
    (
        Code::DroppedByPolicy,
        (
            "legacy-and-nft",
            "outside client straight to a pod, another port",
        ),
        (
            "legacy-and-nft",
            "outside client straight to a pod, the port the firewall opens",
        ),
    ),
    (
        Code::Blackhole,
        (
            "calico-nftables",
            "outside client to an address of this node's block that no pod has",
        ),
        (
            "calico-nftables",
            "outside client straight to a pod without a policy",
        ),
    ),
    (
        Code::HairpinOff,
        (
            "bridge-hairpin-off",
            "a pod to its own Service, by its port",
        ),
        ("bridge-hairpin-off", "contrast: pod to pod"),
    ),
    (
        Code::AnswerBridged,
        (
            "bridge-without-netfilter",
            "a pod to the Service: answers of another pod of the bridge do not pass netfilter",
        ),
        (
            "bridge-without-netfilter",
            "contrast: a pod of another node to the same Service",
        ),
    ),
    (
        Code::RpFilter,
        (
            "ipvs-etp-cluster",
            "outside client to the NodePort of another network: comes in by ens3, its reverse route is ens4",
        ),
        ("ipvs-etp-cluster", "outside client to the NodePort"),
    ),
    (
        Code::Martian,
        (
            "aws-two-enis",
            "the node itself to a NodePort on 127.0.0.1 without route_localnet",
        ),
        ("kube-iptables", "node to its own NodePort"),
    ),
    (
        Code::AnswerElsewhere,
        (
            "metallb-vxlan",
            "the same client to the ClusterIP: its address lies in the pod network, so nothing masquerades it",
        ),
        (
            "metallb-vxlan",
            "client of another network to the ClusterIP",
        ),
    ),
    (
        Code::TwoBackends,
        (
            "two-backends-stale",
            "contrast: a Service that both copies send to the same pod",
        ),
        (
            "two-backends-stale",
            "pod of another node to the ClusterIP: the older copy in iptables-legacy sends it to a pod that is gone",
        ),
    ),
    (
        Code::MarkClash,
        (
            "tailscale-calico-marks",
            "tailnet peer to a host of the subnet that this node routes for",
        ),
        (
            "tailscale-calico-marks",
            "contrast: host of the subnet to a pod, which needs no mark",
        ),
    ),
    (
        Code::TwoRuleSets,
        (
            "two-backends-stale",
            "pod of another node to the ClusterIP: the older copy in iptables-legacy sends it to a pod that is gone",
        ),
        (
            "two-backends-stale",
            "contrast: a Service that both copies send to the same pod",
        ),
    ),
    (
        Code::LeftoverMode,
        (
            "ipvs-leftovers",
            "pod to a ClusterIP that the older rules translate before IPVS is asked",
        ),
        (
            "ipvs-leftovers",
            "contrast: pod to a ClusterIP of which the older rules know nothing",
        ),
    ),
    (
        Code::HostportBeforeService,
        (
            "hostport-before-service",
            "outside client to the Service's external address: the hostPort pod gets it",
        ),
        (
            "hostport-before-service",
            "contrast: outside client to the node's own address, which no Service has",
        ),
    ),
    (
        Code::ServiceBeforeHostport,
        (
            "hostport-after-service",
            "outside client to the Service's external address: the Service takes it, and the hostPort pod gets nothing there",
        ),
        (
            "hostport-after-service",
            "contrast: the hostPort at the node's own address",
        ),
    ),
    (
        Code::PortOfAnyAddress,
        (
            "ovn-nodeport-any-address",
            "pod to a host outside at a port that some Service has as nodePort",
        ),
        (
            "ovn-nodeport-any-address",
            "contrast: pod to a host outside at a nodePort whose rule asks for local addresses",
        ),
    ),
    (
        Code::DuplicateDnat,
        (
            "portmap-left-behind",
            "outside client to the hostPort: the rule of the deleted pod stands first",
        ),
        (
            "portmap-left-behind",
            "contrast: outside client to another hostPort",
        ),
    ),
    (
        Code::HandedToOvn,
        (
            "ovn-local-policy",
            "outside client to the load balancer address, policy Local: handed to OVN's 169.254.169.3",
        ),
        (
            "ovn-local-policy",
            "contrast: a Service with policy Cluster, translated to its ClusterIP",
        ),
    ),
    (
        Code::VirtualSource,
        (
            "ipvs-no-cluster-cidr",
            "the node itself to a ClusterIP, endpoint on another node: the source is the ClusterIP",
        ),
        (
            "ipvs-no-cluster-cidr",
            "contrast: the node itself to a ClusterIP, endpoint on this node",
        ),
    ),
    (
        Code::StrictArpOff,
        (
            "ipvs-leftovers",
            "outside client to the load balancer address: every node answers ARP for it",
        ),
        (
            "ipvs-no-cluster-cidr",
            "contrast: outside client to the load balancer address, with arp_ignore = 1",
        ),
    ),
    (
        Code::AnswerByAnotherDevice,
        (
            "two-cards",
            "the same client to the NodePort at that address, policy Local",
        ),
        ("two-cards", "contrast: client within the second network"),
    ),
    (
        Code::DroppedInvalid,
        (
            "calico-refusals",
            "an answer whose request went another way: INVALID",
        ),
        ("calico-refusals", "contrast: the port that it admits"),
    ),
    (
        Code::SpoofedSource,
        (
            "calico-refusals",
            "a pod that sends with another's address: Calico's reverse path filter in raw",
        ),
        ("calico-refusals", "contrast: the pod with its own address"),
    ),
    (
        Code::NoNeighbour,
        (
            "stale-neighbour",
            "outside client to the NodePort of a Service whose endpoint is gone",
        ),
        (
            "stale-neighbour",
            "contrast: outside client to the NodePort of the other Service",
        ),
    ),
    (
        Code::RejectedByRule,
        (
            "other-refusals",
            "pod to a port that no NetworkPolicy admits (kube-router)",
        ),
        ("other-refusals", "contrast: the port that is admitted"),
    ),
    (
        Code::Unreachable,
        (
            "other-refusals",
            "ClusterIP whose endpoint's network has an unreachable route",
        ),
        ("other-refusals", "ClusterIP without endpoints"),
    ),
    (
        Code::ForwardingOff,
        ("forwarding-off", "outside client to the NodePort"),
        (
            "forwarding-off",
            "contrast: the node itself to its NodePort, which is not forwarding",
        ),
    ),
    (
        Code::IpvsUntracked,
        (
            "ipvs-no-conntrack",
            "outside client to the NodePort, endpoint on another node: marked, and not masqueraded",
        ),
        (
            "ipvs-no-conntrack",
            "contrast: outside client straight to a pod",
        ),
    ),
    (
        Code::AddressOfAnotherNode,
        (
            "ipvs-refusals",
            "pod to another node's kubelet, whose address a Service has as its external one",
        ),
        (
            "ipvs-refusals",
            "contrast: pod to a Service's address that is no node's, at a port without Service",
        ),
    ),
    (
        Code::IpvsNoRealServer,
        (
            "ipvs-refusals",
            "pod to a ClusterIP whose virtual service is empty",
        ),
        (
            "ipvs-refusals",
            "contrast: pod to a ClusterIP with a real server",
        ),
    ),
    (
        Code::IpvsNotAsked,
        (
            "ipvs-refusals",
            "a real server sends what no connection of IPVS asked for",
        ),
        (
            "ipvs-refusals",
            "contrast: the same pod sends from a port that is no real server's",
        ),
    ),
    (
        Code::IpvsUnreachable,
        (
            "ipvs-refusals",
            "pod to a ClusterIP whose real server has no way",
        ),
        (
            "ipvs-refusals",
            "contrast: pod to a ClusterIP with a real server",
        ),
    ),
    (
        Code::AnswerDropped,
        (
            "docker-forward-drop",
            "outside client to the NodePort, pod on another node: the answer is dropped",
        ),
        (
            "docker-forward-drop",
            "contrast: outside client straight to a port that is accepted in both directions",
        ),
    ),
    (
        Code::NoRoute,
        (
            "kernel-refusals",
            "to an address of which this node has no route",
        ),
        (
            "kernel-refusals",
            "contrast: to a network that it has a route to",
        ),
    ),
    (
        Code::Prohibit,
        ("kernel-refusals", "to a network whose route is prohibit"),
        (
            "kernel-refusals",
            "contrast: to a network that it has a route to",
        ),
    ),
    (
        Code::Ttl,
        ("kernel-refusals", "a packet whose TTL ends here"),
        (
            "kernel-refusals",
            "contrast: to a network that it has a route to",
        ),
    ),
    (
        Code::TooBig,
        ("kernel-refusals", "a packet larger than the way out takes"),
        (
            "kernel-refusals",
            "contrast: a small packet on the same way",
        ),
    ),
    (
        Code::Queued,
        (
            "kernel-refusals",
            "a name server's packet, handed to a program by NFQUEUE",
        ),
        (
            "kernel-refusals",
            "contrast: to a network that it has a route to",
        ),
    ),
    (
        Code::NoSuchSource,
        (
            "kernel-refusals",
            "the node itself with an address that it does not have",
        ),
        (
            "kernel-refusals",
            "contrast: the node itself with its own address",
        ),
    ),
    (
        Code::NoRedirectAddress,
        (
            "kernel-refusals",
            "redirected at a device that has no address",
        ),
        (
            "kernel-refusals",
            "contrast: redirected at a device that has one",
        ),
    ),
    (
        Code::StaleConntrack,
        (
            "known-connections",
            "pod to the name server, a connection that names an endpoint which is gone",
        ),
        (
            "known-connections",
            "contrast: the same pod from a new port",
        ),
    ),
    (
        Code::KnownConnection,
        (
            "known-connections",
            "pod to the Service, a connection that stays with its endpoint",
        ),
        (
            "known-connections",
            "contrast: the same pod from a new port",
        ),
    ),
    (
        Code::Answer,
        (
            "known-connections",
            "the endpoint's answer to a client of the NodePort",
        ),
        ("known-connections", "contrast: the endpoint speaks first"),
    ),
    (
        Code::Unknown,
        (
            "sets-not-captured",
            "pod to a host outside: whether it is masqueraded is in a set that was not captured",
        ),
        (
            "sets-not-captured",
            "contrast: outside client to the node itself: no set is asked",
        ),
    ),
    (
        Code::ForeignAddress,
        (
            "old-external-ips",
            "outside client to the external IP, policy Local: masqueraded all the same, and with the other card's address",
        ),
        (
            "old-external-ips",
            "contrast: pod to a host outside at another port",
        ),
    ),
    (
        Code::NoMasqueradeAddress,
        (
            "no-address",
            "masqueraded where no device has a global address",
        ),
        ("no-address", "contrast: a port that is not masqueraded"),
    ),
    (
        Code::BpfProgram,
        (
            "no-address",
            "masqueraded where no device has a global address",
        ),
        ("no-address", "contrast: in by the device without a program"),
    ),
    (
        Code::EbpfDecides,
        (
            "calico-ebpf-tunnel",
            "client of the network to the announced address: the answer comes back through the tunnel",
        ),
        (
            "calico-ebpf-dsr",
            "contrast: client to the node itself, no Service",
        ),
    ),
    (
        Code::EbpfDsr,
        (
            "calico-ebpf-dsr",
            "client of the network to the announced address",
        ),
        (
            "calico-ebpf-tunnel",
            "client of the network to the announced address: the answer comes back through the tunnel",
        ),
    ),
    (
        Code::IpvsLoopback,
        (
            "ipvs-odd-sources",
            "the node itself from a loopback address to a ClusterIP, real server elsewhere",
        ),
        (
            "ipvs-odd-sources",
            "contrast: the node itself with its own address",
        ),
    ),
    (
        Code::ConnectionClash,
        (
            "known-connections",
            "a second pod to a peer that wants port 500: the first one's connection has the address and port",
        ),
        (
            "known-connections",
            "contrast: the second pod to another peer",
        ),
    ),
    (
        Code::ObservedOtherwise,
        (
            "observed-otherwise",
            "masqueraded now: then the client's own address left",
        ),
        (
            "observed-otherwise",
            "the port whose rules are those of then",
        ),
    ),
    (
        Code::AnswerNotTranslated,
        (
            "stateless-rewrite",
            "client to an address that a rule rewrites without conntrack: the answer keeps the pod's address",
        ),
        ("stateless-rewrite", "contrast: client straight to the pod"),
    ),
    (
        Code::BeyondScope,
        (
            "kube-ipv6",
            "outside client with a link-local source straight to a pod: not forwarded",
        ),
        ("kube-ipv6", "outside client to a ClusterIP"),
    ),
    (
        Code::KubeStaleRules,
        ("kube-stale", "a pod that has gone is still an endpoint"),
        ("kube-stale", "policy Local, and so are the rules"),
    ),
    (
        Code::KubeStalePolicy,
        ("kube-stale", "policy Local, masqueraded all the same"),
        ("kube-stale", "policy Local, and so are the rules"),
    ),
    (
        Code::KubePortMissing,
        ("kube-stale", "a Service that no rule takes"),
        (
            "kube-stale",
            "session affinity, and the endpoints are those of the rules",
        ),
    ),
    (
        Code::KubePortMissing,
        ("kube-stale", "a Service that no rule takes"),
        (
            "kube-stale",
            "internal policy Local: the endpoint elsewhere is rightly not there",
        ),
    ),
    (
        Code::KubeStalePolicy,
        ("kube-stale", "policy Local, masqueraded all the same"),
        ("kube-stale", "policy Local, and so are the rules"),
    ),
    (
        Code::KubeStaleRules,
        ("kube-stale", "a pod that has gone is still an endpoint"),
        (
            "kube-stale",
            "session affinity, and the endpoints are those of the rules",
        ),
    ),
];

/// Codes without a case. The device for which a connection was masqueraded is in no listing, so no capture can hold one whose device
/// has changed: tests/traps/nat.rs has the fact.
const LACKING: &[Code] = &[Code::MasqueradeElsewhere];

/// The same of `nfwhy vip`: a cluster of snapshots/ and a question of its flows.vip.toml.
const VIP_CASES: &[(Code, Case, Case)] = &[
    (
        Code::VipTwoAnswer,
        ("vip-strict-arp-off", "10.80.8.102"),
        ("vip-strict-arp-on", "10.80.8.102"),
    ),
    (
        Code::VipAnnouncerSilent,
        ("vip-metallb", "10.80.8.105"),
        ("vip-metallb", "10.80.8.106"),
    ),
    (
        Code::VipNoLocalEndpoint,
        ("vip-metallb", "10.80.8.103"),
        ("vip-metallb", "10.80.8.106"),
    ),
    (
        Code::VipUnanswered,
        ("vip-metallb", "10.80.8.104"),
        ("vip-metallb", "10.80.8.102"),
    ),
];

/// The same of `nfwhy trace --cluster`: a cluster of snapshots/ and whom a client asks.
const CLUSTER_CASES: &[(Code, Case, Case)] = &[(
    Code::EbpfModesDiffer,
    ("cluster-calico-mixed", "10.10.100.200:80"),
    ("cluster-calico-tunnel", "10.10.100.200:80"),
)];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The codes that each flow of a folder gives.
fn codes(folder: &Path) -> BTreeMap<String, Vec<Code>> {
    let text = fs::read_to_string(folder.join("flows.toml"))
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let all: toml::Value = toml::from_str(&text).expect("TOML");
    let snapshot = Snapshot::read(folder).expect("a readable snapshot");
    let mut node = Node::new(&snapshot);
    let flows = all["flow"].as_array().expect("a list of flows");
    let mut out = BTreeMap::new();
    for f in flows {
        let name = f["name"].as_str().expect("a name").to_owned();
        let spec: nfwhy::cli::PacketSpec = f["packet"].clone().try_into().expect("a packet");
        if let Some(dev) = f["packet"].get("iif").and_then(toml::Value::as_str) {
            node.assume_device(dev);
        }
        let packet = spec
            .resolve(&node)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let trace = simulate(&node, &packet).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = explain(&node, &trace).iter().map(|f| f.code).collect();
        out.insert(name, found);
    }
    out
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "what is lacking is told, not failed for"
)]
fn every_code_has_a_packet_that_gives_it_and_one_like_it_that_does_not() {
    let mut folders: BTreeMap<&str, BTreeMap<String, Vec<Code>>> = BTreeMap::new();
    let mut bad = Vec::new();
    for (code, fires, quiet) in CASES {
        for ((folder, flow), fires) in [(fires, true), (quiet, false)] {
            let flows = folders
                .entry(folder)
                .or_insert_with(|| codes(&root().join("snapshots").join(folder)));
            match flows.get(*flow) {
                None => bad.push(format!("{folder} has no flow {flow}")),
                Some(found) if found.contains(code) != fires => {
                    bad.push(format!(
                        "{code} ({fires}): {folder}: {flow} gives {found:?}"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    for c in Code::ALL {
        let all = CASES.iter().chain(VIP_CASES).chain(CLUSTER_CASES);
        let cases = all.filter(|(of, ..)| of == c).count();
        match (cases, LACKING.contains(c)) {
            (0, false) => bad.push(format!("{c} has no case")),
            (1.., true) => bad.push(format!("{c} has a case: take it out of LACKING")),
            _ => {}
        }
    }
    if !LACKING.is_empty() {
        let names: Vec<&str> = LACKING.iter().map(|c| c.name()).collect();
        eprintln!("codes without a case: {}", names.join(", "));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn codes_of(args: &[&str], folder: &str) -> Vec<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .args(args)
        .arg(root().join("snapshots").join(folder))
        .output()
        .expect("the program runs");
    let v: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let list = v["findings"].as_array().expect("a list");
    let code = |f: &serde_json::Value| f["code"].as_str().map(str::to_owned);
    list.iter().filter_map(code).collect()
}

#[test]
fn every_code_of_vip_has_an_address_that_gives_it_and_one_that_does_not() {
    for (code, fires, quiet) in VIP_CASES {
        for ((folder, addr), fires) in [(fires, true), (quiet, false)] {
            let found = codes_of(&["vip", "--format", "json", addr, "--cluster"], folder);
            let found = found.iter().any(|c| c == code.name());
            assert_eq!(found, fires, "{code}: {folder} {addr}");
        }
    }
}

#[test]
fn every_code_of_several_nodes_has_an_address_that_gives_it_and_one_that_does_not() {
    for (code, fires, quiet) in CLUSTER_CASES {
        for ((folder, to), fires) in [(fires, true), (quiet, false)] {
            let args = ["trace", "--format", "json", "10.10.8.25", to, "--cluster"];
            let found = codes_of(&args, folder);
            assert!(!found.is_empty(), "{folder} {to}");
            let found = found.iter().any(|c| c == code.name());
            assert_eq!(found, fires, "{code}: {folder} {to}");
        }
    }
}

/// A text nobody gets is a text nobody keeps true.
#[test]
fn every_entry_is_used_by_a_finding_and_every_text_has_an_entry() {
    let folder = root().join("src/explain");
    let mut source = String::new();
    let entries = |of: &Path| fs::read_dir(of).expect("the sources");
    let others = ["src/vip", "src/cluster"].map(|f| root().join(f));
    for entry in entries(&folder).chain(others.iter().flat_map(|f| entries(f))) {
        let path = entry.expect("a readable entry").path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let is_code = path.extension().is_some_and(|e| e == "rs")
            && name != "catalogue.rs"
            && !name.starts_with("tests");
        if is_code {
            source += &fs::read_to_string(&path).expect("a readable source");
        }
    }
    let used = |c: &Code| {
        let name = format!("Code::{c:?}");
        source.match_indices(&name).any(|(at, _)| {
            let after = source.get(at + name.len()..).unwrap_or_default();
            !after.starts_with(|c: char| c.is_ascii_alphanumeric())
        })
    };
    let idle: Vec<&Code> = Code::ALL.iter().filter(|c| !used(c)).collect();
    assert!(idle.is_empty(), "no finding has {idle:?}");
    for entry in fs::read_dir(folder.join("catalogue")).expect("the texts") {
        let path = entry.expect("a readable entry").path();
        let name = path
            .file_stem()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let known = Code::of(name).is_some_and(|c| c.name() == name);
        assert!(known, "{} belongs to no code", path.display());
    }
}

/// The table in the README is made of the catalogue. With `NFWHY_WRITE_README=1` it is written there.
#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
#[test]
fn the_readme_lists_every_code() {
    const FROM: &str = "<!-- codes: made of src/explain/catalogue -->\n";
    const TO: &str = "<!-- end of codes -->\n";
    let mut table = String::from("| code | | meaning |\n|---|---|---|\n");
    for c in Code::ALL {
        let e = c.entry();
        let severity = match e.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        writeln!(table, "| `{c}` | {severity} | {} |", e.meaning()).expect("memory");
    }
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (before, rest) = readme.split_once(FROM).expect("the table's beginning");
    let (have, after) = rest.split_once(TO).expect("the table's end");
    if std::env::var_os("NFWHY_WRITE_README").is_some() {
        fs::write(&path, format!("{before}{FROM}{table}{TO}{after}")).expect("a writable README");
    } else {
        assert_eq!(have, table, "run this test with NFWHY_WRITE_README=1");
    }
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_nfwhy"))
        .arg("explain")
        .args(args)
        .output()
        .expect("the program runs");
    (
        out.status.code(),
        String::from_utf8(out.stdout).expect("UTF-8"),
        String::from_utf8(out.stderr).expect("UTF-8"),
    )
}

#[test]
fn the_program_lists_codes_and_prints_one_at_length() {
    let (status, list, err) = run(&[]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    for c in Code::ALL {
        let line = list.lines().find(|l| l.split(' ').next() == Some(c.name()));
        let line = line.unwrap_or_else(|| panic!("{c} is not listed"));
        assert!(line.ends_with(c.entry().meaning()), "{line}");
        assert!(line.chars().count() <= 100, "{line}");
    }
    let (status, text, _) = run(&["Client_IP_Lost"]);
    assert_eq!(status, Some(0));
    assert!(
        text.starts_with("client-ip-lost (warning): the receiver sees another source address"),
        "{text}"
    );
    assert!(text.contains("externalTrafficPolicy"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
}

#[test]
fn an_unknown_code_is_refused_with_near_ones() {
    let (status, out, err) = run(&["client-ip-lst"]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert!(err.contains("near ones are client-ip-lost, "), "{err}");
    let (status, _, err) = run(&["\u{1b}[31mzzzzzz"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("no finding has the code"), "{err}");
    assert!(!err.contains('\u{1b}'), "{err:?}");
}
