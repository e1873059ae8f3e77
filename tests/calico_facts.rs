//! Facts of Calico's eBPF datapath, each from felix/bpf-gpl of projectcalico/calico, on nodes made of a few lines.

mod common;

use common::{Files, check, walk};
use nfwhy::trace::Back;

const PROGRAMS: &str = "xdp:\n\ntc:\neth0(2) clsact/ingress cali_tc_preambl:[5] id 5\npod0(3) clsact/ingress cali_tc_preambl:[6] id 6\n";
const ROUTES: &str = "10.1.0.1/32: local host\n10.1.0.2/32: remote host\n10.3.0.10/32: local workload in-pool idx 3\n10.4.0.0/26: remote workload in-pool nh 10.1.0.2\n";
const VIP: &str = r#"{"src":"10.1.0.50","sport":40000,"dst":"10.9.0.1","dport":80,"iif":"eth0"}"#;

fn node(services: &str) -> Files {
    Files::new(&["eth0 10.1.0.1/24", "pod0 10.3.0.1/24"])
        .route("10.4.0.0/26 via 10.1.0.2 dev eth0")
        .file("bpftool-net.txt", PROGRAMS)
        .file("nat.txt", services)
        .file("routes.txt", ROUTES)
}

const BOTH: &str = "10.9.0.1 port 80 proto 6 id 1 count 2 local 1\n\t1:0\t 10.3.0.10:8080\n\t1:1\t 10.4.0.7:8080\n";

#[test]
fn each_backend_is_as_likely_and_none_is_masqueraded() {
    let s = node(BOTH)
        .file("felix.txt", "FELIX_BPFEXTERNALSERVICEMODE=Tunnel\n")
        .snapshot();
    check(
        &s,
        VIP,
        &[
            "forwarded p=1/2 dst=10.3.0.10:8080 dnat_by=ebpf snat=- client=kept out=pod0 why=sent",
            "forwarded p=1/2 dst=10.4.0.7:8080 dnat_by=ebpf snat=- client=kept out=eth0 why=sent:vxlan",
        ],
    );
    let served: Vec<_> = walk(&s, VIP)
        .iter()
        .map(|o| o.served.map(|s| (s.answer, s.node)))
        .collect();
    let other = "10.1.0.2".parse().expect("an address");
    assert_eq!(
        served,
        [Some((Back::Here, None)), Some((Back::Tunnel, Some(other)))]
    );
}

/// The mode decides nothing but the answer; where it is not known both are shown.
#[test]
fn an_unknown_mode_forks_over_the_answer() {
    let backs: Vec<_> = walk(&node(BOTH).snapshot(), VIP)
        .iter()
        .filter_map(|o| o.served)
        .map(|s| s.answer)
        .collect();
    assert_eq!(backs, [Back::Here, Back::Tunnel, Back::Direct]);
}

/// `CALI_CT_FLAG_NP_NO_DSR`: clients in bpfDSROptoutCIDRs.
#[test]
fn a_client_that_opted_out_is_answered_through_the_node_it_asked() {
    let s = node(BOTH)
        .file("felix.txt", "bpfExternalServiceMode: DSR\n")
        .file("optout.txt", "10.1.0.48/28: remote no-dsr\n")
        .snapshot();
    let backs: Vec<_> = walk(&s, VIP).iter().filter_map(|o| o.served).collect();
    assert_eq!(backs[1].answer, Back::Tunnel);
    let other = VIP.replace("10.1.0.50", "10.1.0.70");
    let backs: Vec<_> = walk(&s, &other).iter().filter_map(|o| o.served).collect();
    assert_eq!(backs[1].answer, Back::Direct);
}

/// An LPM trie finds the longest prefix, and of the sources not listed an entry with a count of all ones refuses.
#[test]
fn source_ranges_are_found_by_the_longest_prefix() {
    let s = node(
        "10.9.0.1 port 80 proto 6 id 1 count 1 local 1 src 10.1.0.0/26\n\t1:0\t 10.3.0.10:8080\n10.9.0.1 port 80 proto 6 id 1 count -1 local 0\n",
    )
    .snapshot();
    check(&s, VIP, &["forwarded dst=10.3.0.10:8080"]);
    check(
        &s,
        &VIP.replace("10.1.0.50", "10.1.0.70"),
        &["dropped dnat=- why=ebpf:Source"],
    );
}

/// `calico_nat_lookup`: who is local is told by the route of the source, and each policy is for one side.
#[test]
fn policy_local_is_for_outsiders_or_for_insiders() {
    let with = |flag: &str| {
        node(&format!(
            "10.9.0.1 port 80 proto 6 id 1 count 1 local 0 flags {flag}\n\t1:0\t 10.4.0.7:8080\n"
        ))
        .snapshot()
    };
    let pod = r#"{"src":"10.4.0.9","sport":40000,"dst":"10.9.0.1","dport":80,"iif":"eth0"}"#;
    let refused = "rejected why=ebpf:NoLocalBackend";
    let tunnel = "forwarded dst=10.4.0.7:8080";
    check(&with("external-local"), VIP, &[refused]);
    check(&with("external-local"), pod, &[tunnel, tunnel]);
    check(&with("internal-local"), VIP, &[tunnel, tunnel]);
    check(&with("internal-local"), pod, &[refused]);
}

#[test]
fn a_known_connection_keeps_its_backend_and_a_client_its_affinity() {
    let flow = "TCP 10.1.0.50:40000 -> 10.9.0.1:80 -> 10.3.0.10:8080  Active ago 1s ESTABLISHED\n";
    let s = node(BOTH).file("ct.txt", flow).snapshot();
    check(&s, VIP, &["forwarded p=1 dst=10.3.0.10:8080"]);
    let aff = "client 10.1.0.50 svc proto 6 10.9.0.1:80 -> 10.3.0.10:8080 ts 1h0m0s\n";
    let s = node(BOTH).file("aff.txt", aff).snapshot();
    check(&s, VIP, &["forwarded p=1 dst=10.3.0.10:8080"]);
}

/// `do_nat`, `CALI_CT_ESTABLISHED_SNAT`, on the backend's node.
#[test]
fn the_backend_answers_through_the_tunnel_or_directly() {
    let flow = "TCP 10.8.0.5:40000 -> 10.9.0.1:80 -> 10.3.0.10:8080 external client, service forwarded to/from 10.1.0.2  Active ago 1s SYN-SENT\n";
    // A pod's device is known by its name.
    let make = |mode: &str| {
        Files::new(&["eth0 10.1.0.1/24", "cali1 10.3.0.1/24"])
            .route("default via 10.1.0.254 dev eth0")
            .file("bpftool-net.txt", &PROGRAMS.replace("pod0", "cali1"))
            .file("nat.txt", BOTH)
            .file("routes.txt", ROUTES)
            .file("ct.txt", flow)
            .file("felix.txt", &format!("bpfExternalServiceMode: {mode}\n"))
            .snapshot()
    };
    let answer = r#"{"src":"10.3.0.10","sport":8080,"dst":"10.8.0.5","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    check(
        &make("DSR"),
        answer,
        &[
            "forwarded src=10.9.0.1:80 dst=10.8.0.5:40000 out=eth0 via=10.1.0.254 snat_by=ebpf why=sent",
        ],
    );
    check(
        &make("Tunnel"),
        answer,
        &[
            "forwarded src=10.9.0.1:80 dst=10.8.0.5:40000 out=eth0 via=- snat_by=ebpf why=sent:vxlan",
        ],
    );
}

/// Calico's own tool is in its pod, which has the node's network.
#[test]
fn a_session_asks_calicos_pod_for_the_maps() {
    let session = format!(
        "root@n1:~# ip addr\n2: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500 state UP\n    inet 10.1.0.1/24 scope global eth0\nroot@n1:~# ip route show table all\n10.1.0.0/24 dev eth0 proto kernel scope link src 10.1.0.1\nroot@n1:~# kubectl -n calico-system exec calico-node-x7k2p -c calico-node -- calico-node -bpf nat dump\n{BOTH}root@n1:~# kubectl -n calico-system exec calico-node-x7k2p -c calico-node -- calico-node -bpf routes dump\n{ROUTES}root@n1:~# kubectl get felixconfiguration default -o yaml | grep bpfExt\n  bpfExternalServiceMode: DSR\n"
    );
    let mut snapshot = nfwhy::capture::Snapshot::default();
    snapshot.add("session.txt".to_owned(), session.into_bytes());
    assert_eq!(snapshot.remarks.len(), 1, "{:?}", snapshot.remarks);
    let backs: Vec<_> = walk(&snapshot, VIP)
        .iter()
        .filter_map(|o| o.served)
        .map(|s| s.answer)
        .collect();
    assert!(backs.contains(&Back::Direct), "{backs:?}");
}

/// Without the maps netfilter's answer is not certain.
#[test]
fn programs_without_maps_make_the_answer_unsure() {
    let s = Files::new(&["eth0 10.1.0.1/24", "pod0 10.3.0.1/24"])
        .file("bpftool-net.txt", PROGRAMS)
        .snapshot();
    let all = walk(
        &s,
        r#"{"src":"10.1.0.50","sport":40000,"dst":"10.3.0.10","dport":80,"iif":"eth0"}"#,
    );
    assert!(all.iter().all(|o| o.probability.is_none()));
    assert!(
        all[0]
            .missing
            .iter()
            .any(|m| m.command == "calico-node -bpf nat dump")
    );
}
