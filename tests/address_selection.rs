//! Which source address the kernel gives: MASQUERADE, a process of the node, and IPv6 beside them.
//!
//! `inet_select_addr` (`net/ipv4/devinet.c`), `nf_nat_masquerade_ipv4` and `_ipv6` (`net/netfilter/nf_nat_masquerade.c`),
//! `ipv6_dev_get_saddr` (`net/ipv6/addrconf.c`).

mod common;
#[path = "address_selection/ipv6.rs"]
mod ipv6;

use common::{Files, check};

/// A client's packet to a pod whose device has no address.
const TO_POD: &str = r#"{"src":"10.10.6.91","dst":"10.233.98.39","dport":80,"iif":"ens4"}"#;
const ENS3: &str = "ens3 10.10.1.142/24";
const ENS4: &str = "ens4 10.10.4.142/24";
const TUNL0: &str = "tunl0 kind=ipip 10.233.98.0/32";
const IPVS0: &str = "kube-ipvs0 down kind=dummy 172.19.100.2/32 172.19.100.3/32";
const POD: &str = "cali1 kind=veth";

/// A node with these devices that masquerades all that it forwards.
fn node(devices: &[&str]) -> Files {
    Files::new(devices)
        .route("10.233.98.39 dev cali1 scope link\ndefault via 10.10.4.1 dev ens4")
        .table("nat", "-A POSTROUTING -j MASQUERADE")
}

fn pod_sees(files: &Files, src: &str, how: &str) {
    check(
        &files.snapshot(),
        TO_POD,
        &[&format!(
            "forwarded out=cali1 src={src} client=lost snat_by=masquerade how={how} sure=yes p=1"
        )],
    );
}

#[test]
fn a_device_without_address_takes_the_first_global_one_in_device_order() {
    pod_sees(
        &node(&[ENS3, ENS4, TUNL0, IPVS0, POD]),
        "10.10.1.142",
        "fallback:ens3",
    );
}

#[test]
fn a_device_that_is_down_lends_its_address_all_the_same() {
    pod_sees(
        &node(&["ens3 down 10.10.1.142/24", ENS4, TUNL0, IPVS0, POD]),
        "10.10.1.142",
        "fallback:ens3",
    );
}

#[test]
fn the_src_of_the_pods_route_does_not_matter() {
    let files = Files::new(&[ENS3, ENS4, TUNL0, IPVS0, POD])
        .route("10.233.98.39 dev cali1 scope link src 10.10.4.142\ndefault via 10.10.4.1 dev ens4")
        .table("nat", "-A POSTROUTING -j MASQUERADE");
    pod_sees(&files, "10.10.1.142", "fallback:ens3");
}

#[test]
fn the_order_of_registration_decides_not_the_name() {
    pod_sees(
        &node(&[ENS4, ENS3, TUNL0, IPVS0, POD]),
        "10.10.4.142",
        "fallback:ens4",
    );
    pod_sees(
        &node(&[TUNL0, ENS3, ENS4, IPVS0, POD]),
        "10.233.98.0",
        "fallback:tunl0",
    );
}

#[test]
fn kube_ipvs0_registered_first_lends_a_virtual_address_though_down() {
    pod_sees(
        &node(&[IPVS0, ENS3, ENS4, TUNL0, POD]),
        "172.19.100.2",
        "fallback:kube-ipvs0",
    );
}

#[test]
fn addresses_of_narrower_scope_are_passed_over() {
    for ens3 in [
        "ens3 10.10.1.142/24,link",
        "ens3 10.10.1.142/24,site",
        "ens3 10.10.1.142/24,host",
    ] {
        pod_sees(
            &node(&[ens3, ENS4, TUNL0, IPVS0, POD]),
            "10.10.4.142",
            "fallback:ens4",
        );
    }
}

#[test]
fn a_device_without_address_is_passed_over() {
    pod_sees(
        &node(&["ens3", ENS4, TUNL0, IPVS0, POD]),
        "10.10.4.142",
        "fallback:ens4",
    );
}

#[test]
fn a_device_in_a_vrf_lends_nothing_to_those_outside() {
    let files = node(&[
        "red kind=vrf table=10",
        "ens3 master=red table=10 10.10.1.142/24",
        ENS4,
        TUNL0,
        IPVS0,
        POD,
    ])
    .rule("1000: from all lookup [l3mdev-table]");
    pod_sees(&files, "10.10.4.142", "fallback:ens4");
}

#[test]
fn within_a_vrf_the_vrfs_own_address_comes_first_then_its_ports() {
    let devices = |vrf: &'static str| {
        Files::new(&[
            ENS4,
            "ens3 master=red table=10 10.10.1.142/24",
            vrf,
            "cali1 master=red table=10",
        ])
        .rule("1000: from all lookup [l3mdev-table]")
        .route("10.233.98.39 dev cali1 table 10 scope link")
        .table("nat", "-A POSTROUTING -o cali1 -j MASQUERADE")
    };
    let packet = r#"{"src":"10.10.1.9","dst":"10.233.98.39","dport":80,"iif":"ens3"}"#;
    check(
        &devices("red kind=vrf table=10").snapshot(),
        packet,
        &["forwarded out=cali1 src=10.10.1.142 how=fallback:ens3"],
    );
    // As l3mdev_master_ifindex_rcu says of a VRF, it is its own master and stands in for loopback.
    check(
        &devices("red kind=vrf table=10 10.99.0.1/32").snapshot(),
        packet,
        &["forwarded out=cali1 src=10.99.0.1 how=fallback:red"],
    );
}

#[test]
fn a_global_address_on_lo_comes_before_all_devices() {
    pod_sees(
        &node(&["lo 10.255.255.1/32", ENS3, ENS4, TUNL0, IPVS0, POD]),
        "10.255.255.1",
        "fallback:lo",
    );
}

#[test]
fn a_secondary_address_is_never_the_fall_back() {
    let ens3 = "ens3 10.10.1.200/24 10.10.1.142/24,secondary";
    pod_sees(
        &node(&[ens3, ENS4, TUNL0, IPVS0, POD]),
        "10.10.1.200",
        "fallback:ens3",
    );
}

#[test]
fn without_a_global_address_anywhere_the_packet_is_dropped() {
    let files = node(&["ens3", "ens4 169.254.7.1/24,link", "tunl0 kind=ipip", POD]);
    check(
        &files.snapshot(),
        TO_POD,
        &["dropped why=no-address:nat/POSTROUTING/1 src=- client=- out=- sure=yes p=1"],
    );
}

/// The way out has these addresses and the route this gateway.
fn out_device(addrs: &str, route: &str) -> Files {
    Files::new(&["ens3 10.50.0.1/24", &format!("ens4 {addrs}")])
        .route(route)
        .table("nat", "-A POSTROUTING -o ens4 -j MASQUERADE")
}

const OUTWARD: &str = r#"{"src":"10.50.0.9","dst":"192.0.2.7","dport":443,"iif":"ens3"}"#;

#[test]
fn the_address_on_the_gateways_subnet_wins_over_the_first() {
    check(
        &out_device(
            "10.77.0.1/24 10.10.4.142/24",
            "default via 10.10.4.1 dev ens4",
        )
        .snapshot(),
        OUTWARD,
        &["forwarded out=ens4 via=10.10.4.1 src=10.10.4.142 how=on-subnet sure=yes"],
    );
}

#[test]
fn a_gateway_on_no_subnet_gets_the_first_address() {
    check(
        &out_device(
            "10.77.0.1/24 10.88.0.1/24",
            "default via 10.10.4.1 dev ens4 onlink",
        )
        .snapshot(),
        OUTWARD,
        &["forwarded out=ens4 src=10.77.0.1 how=first-on-device sure=yes"],
    );
}

#[test]
fn the_routes_src_does_not_decide_and_a_secondary_is_not_taken() {
    check(
        &out_device(
            "10.10.4.200/24 10.10.4.142/24,secondary",
            "default via 10.10.4.1 dev ens4 src 10.10.4.142",
        )
        .snapshot(),
        OUTWARD,
        &["forwarded out=ens4 src=10.10.4.200 how=on-subnet sure=yes"],
    );
}

#[test]
fn without_a_gateway_the_translated_destination_is_the_next_hop() {
    let files = out_device("10.77.0.1/24 10.10.4.142/24", "192.0.2.0/24 dev ens4 scope link")
        .table(
            "nat",
            "-A PREROUTING -d 192.0.2.7/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.10.4.9:8443",
        );
    check(
        &files.snapshot(),
        OUTWARD,
        &["forwarded out=ens4 via=- src=10.10.4.142 dst=10.10.4.9:8443 how=on-subnet sure=yes"],
    );
}

#[test]
fn an_ipv6_gateway_is_no_next_hop_for_an_ipv4_address() {
    // `rt_nexthop` gives rt_gw4 only, else the destination (include/net/route.h).
    let files = Files::new(&["ens3 10.50.0.1/24", "ens4 10.77.0.1/24 192.0.2.1/24"])
        .route("192.0.2.7 via inet6 fe80::1 dev ens4")
        .table("nat", "-A POSTROUTING -o ens4 -j MASQUERADE");
    let ends = ["forwarded out=ens4 src=192.0.2.1 how=on-subnet"];
    check(&files.snapshot(), OUTWARD, &ends);
}

#[test]
fn a_scope_link_address_on_the_way_out_is_no_masquerade_address() {
    check(
        &out_device(
            "169.254.1.1/24,link 10.10.4.142/24",
            "default via 169.254.1.9 dev ens4",
        )
        .snapshot(),
        OUTWARD,
        &["forwarded out=ens4 src=10.10.4.142 how=first-on-device sure=yes"],
    );
}

#[test]
fn a_peer_address_counts_by_the_peers_subnet() {
    // `inet_ifa_match` compares with ifa_address, which is the peer's.
    let addr = "\
3: ppp0: <POINTOPOINT,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 3
    link/ppp
    inet 10.77.0.1/24 scope global ppp0
       valid_lft forever preferred_lft forever
    inet 10.88.0.1 peer 10.10.4.1/32 scope global ppp0
       valid_lft forever preferred_lft forever
";
    let files = Files::new(&["ens3 10.50.0.1/24"])
        .route("default via 10.10.4.1 dev ppp0")
        .table("nat", "-A POSTROUTING -o ppp0 -j MASQUERADE")
        .file("ppp.txt", addr);
    check(
        &files.snapshot(),
        OUTWARD,
        &["forwarded out=ppp0 src=10.88.0.1 how=on-subnet"],
    );
}

#[test]
fn masquerade_keeps_a_free_port_and_random_fully_changes_it() {
    let packet = r#"{"src":"10.50.0.9","dst":"192.0.2.7","sport":40000,"dport":443,"iif":"ens3"}"#;
    let files = out_device("10.10.4.142/24", "default via 10.10.4.1 dev ens4");
    check(
        &files.snapshot(),
        packet,
        &["forwarded src=10.10.4.142:40000"],
    );
    let random = Files::new(&["ens3 10.50.0.1/24", "ens4 10.10.4.142/24"])
        .route("default via 10.10.4.1 dev ens4")
        .table("nat", "-A POSTROUTING -o ens4 -j MASQUERADE --random-fully");
    check(&random.snapshot(), packet, &["forwarded src=10.10.4.142:*"]);
}

#[test]
fn masquerade_takes_the_gateways_subnet_where_others_take_the_first() {
    let files = Files::new(&[
        "cni0 10.244.0.1/24",
        "eth0 192.168.0.10/24 192.168.0.11/24,secondary 172.20.0.5/24",
    ])
    .route("default via 172.20.0.1 dev eth0")
    .table(
        "nat",
        "-A POSTROUTING -s 10.244.0.0/16 -o eth0 -j MASQUERADE",
    );
    check(
        &files.snapshot(),
        r#"{"src":"10.244.0.7","dst":"192.0.2.7","dport":443,"iif":"cni0"}"#,
        &["forwarded out=eth0 src=172.20.0.5 how=on-subnet"],
    );
}

#[test]
fn the_routes_src_decides_for_a_process_but_not_for_masquerade() {
    let files = Files::new(&[
        "cni0 10.244.0.1/24",
        "eth0 192.168.0.10/24 192.168.0.11/24,secondary",
    ])
    .route("default via 192.168.0.1 dev eth0 src 192.168.0.11")
    .table(
        "nat",
        "-A POSTROUTING -s 10.244.0.0/16 -o eth0 -j MASQUERADE",
    );
    let s = files.snapshot();
    check(
        &s,
        r#"{"origin":"local","dst":"192.0.2.7","dport":443}"#,
        &["forwarded out=eth0 src=192.168.0.11 how=route-src snat=-"],
    );
    check(
        &s,
        r#"{"src":"10.244.0.7","dst":"192.0.2.7","dport":443,"iif":"cni0"}"#,
        &["forwarded out=eth0 src=192.168.0.10 how=on-subnet snat_by=masquerade"],
    );
}

#[test]
fn a_process_reaches_a_cluster_ip_from_that_address_itself() {
    let files = Files::new(&[
        "eth0 192.168.0.10/24",
        "kube-ipvs0 down kind=dummy 10.96.0.1/32 10.96.0.10/32",
        "cali1",
    ])
    .route("10.244.0.7 dev cali1 scope link")
    .ipvs("TCP 10.96.0.10:53 rr\n-> 10.244.0.7:53 Masq 1");
    check(
        &files.snapshot(),
        r#"{"origin":"local","dst":"10.96.0.10","dport":53}"#,
        &["forwarded out=cali1 src=10.96.0.10 dst=10.244.0.7:53 snat=- dnat_by=ipvs"],
    );
}

#[test]
fn a_process_without_route_src_takes_the_scope_of_the_route() {
    // `fib_info_update_nhc_saddr` (`net/ipv4/fib_semantics.c`) passes the route's scope on: a link route allows link addresses.
    let files = Files::new(&["eth0 169.254.7.1/16,link 192.168.0.10/24"])
        .route("default via 192.168.0.1 dev eth0\n169.254.9.0/24 dev eth0 scope link");
    let s = files.snapshot();
    check(
        &s,
        r#"{"origin":"local","dst":"169.254.9.9","dport":80}"#,
        &["forwarded src=169.254.7.1 how=first-on-device"],
    );
    check(
        &s,
        r#"{"origin":"local","dst":"192.0.2.7","dport":80}"#,
        &["forwarded src=192.168.0.10 how=on-subnet"],
    );
}

#[test]
fn a_scope_host_address_serves_no_process_either() {
    // localnet_scope is RT_SCOPE_HOST unless route_localnet is set: min(host, host) is still narrower than a link route's.
    let files = Files::new(&["eth0 10.9.9.9/32,host", "eth1 192.168.0.10/24"])
        .route("10.5.0.0/24 dev eth0 scope link");
    let packet = r#"{"origin":"local","dst":"10.5.0.7","dport":80}"#;
    check(
        &files.snapshot(),
        packet,
        &["forwarded out=eth0 src=192.168.0.10 how=fallback:eth1"],
    );
    let localnet = files.sysctl("net.ipv4.conf.eth0.route_localnet = 1");
    check(
        &localnet.snapshot(),
        packet,
        &["forwarded out=eth0 src=10.9.9.9 how=first-on-device"],
    );
}

#[test]
fn a_process_to_the_nodes_own_address_uses_that_address() {
    let s = Files::new(&[ENS3, ENS4]).snapshot();
    check(
        &s,
        r#"{"origin":"local","dst":"10.10.4.142","dport":22}"#,
        &["local src=10.10.4.142 dst=10.10.4.142:22"],
    );
}

#[test]
fn a_foreign_source_cannot_be_sent_from() {
    let s = Files::new(&[ENS3])
        .route("default via 10.10.1.1 dev ens3")
        .snapshot();
    check(
        &s,
        r#"{"origin":"local","src":"198.51.100.1","dst":"192.0.2.7","dport":22}"#,
        &["rejected why=no-such-source"],
    );
}
