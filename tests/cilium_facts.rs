//! Facts of Cilium's eBPF datapath, each from bpf/ of cilium/cilium, on nodes made of a few lines.

mod common;

use common::{Files, check, walk};
use nfwhy::trace::Back;

const PROGRAMS: &str = "xdp:\n\ntc:\neth0(2) tcx/ingress cil_from_netdev prog_id 5 link_id 1\n";
const VIP: &str = r#"{"src":"10.1.0.50","sport":40000,"dst":"10.9.0.1","dport":80,"iif":"eth0"}"#;
const BOTH: &str = "SERVICE ADDRESS   BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.9.0.1:80/TCP   0.0.0.0:0 (1) (0) [LoadBalancer]\n                  10.3.0.10:8080/TCP (1) (1)\n                  10.4.0.7:8080/TCP (1) (2)\n";
const ENDPOINTS: &str = "IP ADDRESS      LOCAL ENDPOINT INFO\n10.1.0.1:0      (localhost)\n10.3.0.10:0     id=7 flags=0x0000 ifindex=3\n";

fn node(services: &str, config: &str) -> Files {
    let config =
        format!("kube-proxy-replacement: \"true\"\nenable-bpf-masquerade: \"true\"\n{config}");
    Files::new(&["eth0 10.1.0.1/24", "lxc1 10.3.0.1/24"])
        .route("10.4.0.0/24 via 10.1.0.2 dev eth0")
        .file("bpftool-net.txt", PROGRAMS)
        .file("lb.txt", services)
        .file("endpoints.txt", ENDPOINTS)
        .file("cilium-config.txt", &config)
}

fn answers(f: &Files, packet: &str) -> Vec<Option<Back>> {
    let ends = walk(&f.snapshot(), packet);
    ends.iter().map(|o| o.served.map(|s| s.answer)).collect()
}

/// `tail_nodeport_nat_egress_ipv4` (lib/nodeport.h): only requests for other nodes get `IPV4_DIRECT_ROUTING` as their source.
#[test]
fn in_mode_snat_the_pod_here_sees_the_client_and_the_pod_there_this_node() {
    let s = node(BOTH, "bpf-lb-mode: snat\n").snapshot();
    check(
        &s,
        VIP,
        &[
            "forwarded p=1/2 dst=10.3.0.10:8080 src=10.1.0.50 client=kept",
            "forwarded p=1/2 dst=10.4.0.7:8080 src=10.1.0.1 client=lost out=eth0 via=10.1.0.2",
        ],
    );
}

/// `nodeport_uses_dsr` (lib/nodeport.h): hybrid is DSR for TCP and SNAT for what is not.
#[test]
fn hybrid_is_direct_for_tcp_alone() {
    let udp = BOTH.replace("/TCP", "/UDP");
    let packet = VIP.replace('{', r#"{"proto":"udp","#);
    let (here, direct) = (Some(Back::Here), Some(Back::Direct));
    assert_eq!(
        answers(&node(BOTH, "bpf-lb-mode: hybrid\n"), VIP),
        [here, direct]
    );
    assert_eq!(
        answers(&node(&udp, "bpf-lb-mode: hybrid\n"), &packet),
        [here, here]
    );
}

/// `DROP_IS_CLUSTER_IP` in `nodeport_lb4` (lib/nodeport.h).
#[test]
fn a_cluster_ip_is_not_for_clients_outside() {
    let services = BOTH.replace("LoadBalancer", "ClusterIP, non-routable");
    let s = node(&services, "bpf-lb-mode: snat\n").snapshot();
    for o in walk(&s, VIP) {
        assert_eq!(format!("{:?}", o.verdict), "Dropped");
    }
}

/// `lb4_lookup_service` (lib/lb.h): `scope_switch` is false for what comes from outside.
#[test]
fn the_entry_of_internal_scope_is_not_for_clients_outside() {
    let services = "SERVICE ADDRESS   BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.9.0.1:80/TCP   0.0.0.0:0 (1) (0) [LoadBalancer, Local, two-scopes]\n                  10.3.0.10:8080/TCP (1) (1)\n10.9.0.1:80/TCP/i   0.0.0.0:0 (2) (0) [LoadBalancer, Local, two-scopes]\n                  10.4.0.7:8080/TCP (2) (1)\n";
    let s = node(services, "bpf-lb-mode: snat\n").snapshot();
    check(&s, VIP, &["forwarded dst=10.3.0.10:8080 client=kept"]);
}
