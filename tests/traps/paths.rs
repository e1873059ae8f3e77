//! Routes, the order of hooks, services as a whole, and captures that are cut. (Which source address is taken has tests of its
//! own.)

use crate::common::{Files, check};
use crate::{IN, OUT, node, services};

#[test]
fn a_throw_route_goes_on_with_the_next_rule() {
    let s = node()
        .rule("100: from all lookup 100")
        .route("throw 198.51.100.0/24 table 100\ndefault dev cali12 table 100 scope link")
        .snapshot();
    check(&s, OUT, &["forwarded out=eth0 table=main"]);
    check(
        &s,
        r#"{"src":"10.244.0.4","dst":"203.0.113.7","dport":443,"iif":"cni0"}"#,
        &["forwarded out=cali12 table=100"],
    );
}

#[test]
fn a_negated_policy_rule_applies_to_the_others() {
    let s = Files::new(&["eth0 192.168.0.10/24", "wg0 10.9.0.2/32"])
        .route("default via 192.168.0.1 dev eth0\ndefault dev wg0 table 51820 scope link")
        .rule(
            "32764: from all lookup main suppress_prefixlength 0
32765: not from all fwmark 0xca6c lookup 51820",
        )
        .snapshot();
    check(
        &s,
        r#"{"origin":"local","dst":"198.51.100.7","dport":443}"#,
        &["forwarded out=wg0 src=10.9.0.2 table=51820"],
    );
    check(
        &s,
        r#"{"origin":"local","dst":"198.51.100.7","dport":443,"mark":"0xca6c"}"#,
        &["forwarded out=eth0 src=192.168.0.10 table=main"],
    );
    // Routes other than the default still come first.
    check(
        &s,
        r#"{"origin":"local","dst":"192.168.0.7","dport":443}"#,
        &["forwarded out=eth0 table=main"],
    );
}

#[test]
fn no_default_route_and_no_address_is_an_answer() {
    let bare = Files::new(&["eth0"])
        .route("10.5.0.0/16 dev eth0 scope link")
        .table("nat", "-A POSTROUTING -j MASQUERADE")
        .snapshot();
    check(
        &bare,
        r#"{"src":"10.5.0.9","dst":"198.51.100.7","dport":443,"iif":"eth0"}"#,
        &["rejected why=no-route"],
    );
    check(
        &bare,
        r#"{"src":"10.5.0.9","dst":"10.5.1.7","dport":443,"iif":"eth0"}"#,
        &["dropped why=no-address:nat/POSTROUTING/1"],
    );
    let ecmp = Files::new(&["cni0 10.244.0.1/24", "eth0", "eth1 192.168.1.10/24"])
        .route("default\n\tnexthop via 192.168.0.1 dev eth0 weight 1 onlink\n\tnexthop via 192.168.1.1 dev eth1 weight 1")
        .table("nat", "-A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE")
        .snapshot();
    check(
        &ecmp,
        OUT,
        &[
            "forwarded out=eth0 via=192.168.0.1 src=10.244.0.1 p=1/2",
            "forwarded out=eth1 via=192.168.1.1 src=192.168.1.10 p=1/2",
        ],
    );
}

#[test]
fn filter_input_runs_before_nat_input() {
    let s = node()
        .table("filter", "-A INPUT -s 192.168.0.99/32 -j DROP")
        .table("nat", "-A INPUT -j SNAT --to-source 192.168.0.1")
        .snapshot();
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"192.168.0.10","dport":22,"iif":"eth0"}"#,
        &["dropped why=filter/INPUT/1 no=nat/INPUT/1"],
    );
    check(
        &s,
        r#"{"src":"192.168.0.98","dst":"192.168.0.10","dport":22,"iif":"eth0"}"#,
        &["local src=192.168.0.1 client=lost hit=nat/INPUT/1"],
    );
}

#[test]
fn forward_sees_the_port_of_the_container() {
    let s = services()
        .table(
            "filter",
            "-A FORWARD -p tcp -m tcp --dport 30080 -j DROP\n-A FORWARD -p tcp -m tcp --dport 8080 -j REJECT --reject-with tcp-reset",
        )
        .snapshot();
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"192.168.0.10","dport":30080,"iif":"eth0"}"#,
        &["rejected why=filter/FORWARD/2 no=filter/FORWARD/1"],
    );
}

#[test]
fn a_pod_that_reaches_itself_through_its_service_is_masqueraded() {
    check(
        &services().snapshot(),
        r#"{"src":"10.244.0.4","dst":"10.96.0.10","dport":80,"iif":"cni0"}"#,
        &["forwarded out=cni0 src=10.244.0.1 dst=10.244.0.4:8080 masq=yes hit=nat/KUBE-SEP-A/1"],
    );
}

#[test]
fn policy_local_without_local_endpoints_still_serves_pods_and_the_node() {
    let s = services()
        .table(
            "filter",
            "-A FORWARD -d 172.19.100.9/32 -p tcp -m tcp --dport 80 -j DROP",
        )
        .snapshot();
    check(
        &s,
        r#"{"src":"10.244.1.9","dst":"172.19.100.9","dport":80,"iif":"cali12"}"#,
        &["forwarded dst=10.244.0.4:8080 src=10.244.1.9 masq=no"],
    );
    check(
        &s,
        r#"{"origin":"local","dst":"172.19.100.9","dport":80}"#,
        &["forwarded dst=10.244.0.4:8080 src=10.244.0.1 masq=yes"],
    );
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"172.19.100.9","dport":80,"iif":"eth0"}"#,
        &["dropped why=filter/FORWARD/1 dnat=-"],
    );
}

#[test]
fn a_draining_real_server_gets_no_new_connection() {
    let s = Files::new(&[
        "eth0 192.168.0.10/24",
        "kube-ipvs0 down kind=dummy 10.96.0.10/32",
        "cni0 10.244.0.1/24",
    ])
    .ipvs("TCP 10.96.0.10:80 rr\n-> 10.244.0.4:8080 Masq 0\n-> 10.244.0.5:8080 Masq 1")
    .snapshot();
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.96.0.10","dport":80,"iif":"eth0"}"#,
        &["forwarded dst=10.244.0.5:8080 p=1"],
    );
}

#[test]
fn a_dump_without_built_in_chains_is_read_as_far_as_it_goes() {
    let cut = "\
# Generated by iptables-save v1.8.9 on Sun Nov  2 10:00:00 2025
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -s 192.168.0.99/32 -j DROP
COMMIT
";
    let s = node()
        .without("iptables-save")
        .file("iptables.txt", cut)
        .snapshot();
    check(&s, IN, &["dropped why=filter/FORWARD/1"]);
    // INPUT is missing: that it is empty is said.
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"192.168.0.10","dport":22,"iif":"eth0"}"#,
        &["local sure=no"],
    );
}

/// IP sees a frame come in by the bridge, bond or team that its port belongs to, and by the device itself where it is of a VRF.
#[test]
fn frames_come_in_by_the_master_of_a_port() {
    let s = |kind: &str| {
        crate::common::Files::new(&[
            &format!("up0 kind={kind} 192.168.0.10/24"),
            "port0 master=up0",
            "cni0 10.244.0.1/24",
        ])
        .table("filter", "-A FORWARD -i up0\n-A FORWARD -i port0\n")
        .snapshot()
    };
    let packet = r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80,"iif":"port0"}"#;
    for kind in ["bridge", "bond", "team"] {
        let end = "forwarded out=cni0 hit=filter/FORWARD/1 no=filter/FORWARD/2";
        check(&s(kind), packet, &[end]);
    }
    let end = "no=filter/FORWARD/1 hit=filter/FORWARD/2";
    check(&s("macvlan"), packet, &[&format!("forwarded {end}")]);
}

/// Bridge ports are known while `br_netfilter` hands the bridge's packets to iptables (`physdev_mt`).
#[test]
fn physdev_knows_bridge_ports_only_through_br_netfilter() {
    let s = |setting: &str, matches: &str| {
        crate::common::Files::new(&[
            "br0 kind=bridge 192.168.0.10/24",
            "port0 master=br0",
            "cni0 10.244.0.1/24",
        ])
        .sysctl(setting)
        .table(
            "filter",
            &format!("-A FORWARD -m physdev {matches} -j DROP"),
        )
        .snapshot()
    };
    let packet = r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80,"iif":"port0"}"#;
    let on = "net.bridge.bridge-nf-call-iptables = 1";
    let off = "net.bridge.bridge-nf-call-iptables = 0";
    for (setting, matches, ends) in [
        (on, "--physdev-is-in", &["dropped"][..]),
        (on, "! --physdev-is-in", &["forwarded"]),
        (on, "--physdev-is-out", &["forwarded"]),
        (on, "! --physdev-is-out", &["dropped"]),
        (on, "--physdev-is-bridged", &["forwarded"]),
        (on, "! --physdev-is-bridged", &["dropped"]),
        (on, "--physdev-out port0", &["forwarded"]),
        (off, "--physdev-is-in", &["forwarded"]),
        (off, "! --physdev-is-in", &["dropped"]),
        (off, "--physdev-in port0", &["forwarded"]),
    ] {
        check(&s(setting, matches), packet, ends);
    }
    // What came by no bridge has none.
    let elsewhere = r#"{"src":"10.244.0.9","dst":"192.168.0.99","dport":80,"iif":"cni0"}"#;
    for (matches, end) in [
        ("--physdev-is-in", "forwarded"),
        ("! --physdev-is-in", "dropped"),
        ("--physdev-in port0", "forwarded"),
    ] {
        check(&s(on, matches), elsewhere, &[end]);
    }
}

/// What was not captured at all is said to be so, each by its command.
#[test]
fn files_that_are_missing_are_named() {
    let files = || crate::common::Files::new(&["eth0 192.168.0.10/24", "cni0 10.244.0.1/24"]);
    let packet = r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80,"iif":"eth0"}"#;
    for (file, command) in [
        ("iptables-save", "iptables-save"),
        ("ip-route", "ip route show table all"),
        ("ip-rule", "ip rule"),
        ("ip-addr", "ip -d addr"),
    ] {
        let ends = crate::common::walk(&files().without(file).snapshot(), packet);
        for o in &ends {
            let told = o.missing.iter().any(|m| m.command == command);
            assert!(told, "{file}: {:?}", o.missing);
            assert_eq!(o.probability, None, "{file}");
        }
    }
    let ends = crate::common::walk(&files().snapshot(), packet);
    assert!(
        ends.iter()
            .all(|o| o.missing.is_empty() && o.probability == Some(1.0))
    );
}

/// `ip_forward` looks at the frame: what came to many is not sent on, whatever NAT made of its address.
#[test]
fn a_multicast_frame_is_not_forwarded_by_dnat() {
    let s = crate::node()
        .table(
            "nat",
            "-A PREROUTING -d 224.0.0.5/32 -j DNAT --to-destination 10.244.0.4",
        )
        .snapshot();
    let packet = crate::IN.replace("10.244.0.4", "224.0.0.5");
    check(&s, &packet, &["dropped why=martian dnat=10.244.0.4"]);
}

/// Routes of IPv6 alone do not tell which addresses are the node's.
#[test]
fn addresses_of_ipv6_that_are_missing_are_named() {
    let s = crate::common::Files::new(&["eth0 2001:db8::1/64"])
        .without("ip-addr")
        .without("ip-route")
        .file(
            "route6.txt",
            "2001:db8:7::/64 dev cni0 metric 1024 pref medium\ndefault via fe80::1 dev eth0 metric 1024 pref medium\n",
        )
        .snapshot();
    let packet = r#"{"src":"2001:db8:9::9","dst":"2001:db8:7::5","dport":80,"iif":"eth0"}"#;
    for o in crate::common::walk(&s, packet) {
        let told = o.missing.iter().any(|m| m.command == "ip -d addr");
        assert!(told, "{:?}", o.missing);
    }
}

/// A node may have no IPv6 address but routes: where its addresses of IPv4 were captured, that is all there is.
#[test]
fn a_node_without_addresses_of_ipv6_is_one() {
    let addr = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff
    inet 192.168.0.10/24 brd 192.168.0.255 scope global eth0
       valid_lft forever preferred_lft forever
";
    let files = |routes: &str| {
        crate::common::Files::new(&["eth0"])
            .without("ip-addr")
            .without("ip-route")
            .file("ip-addr.txt", addr)
            .file("ip-6-route.txt", routes)
            .snapshot()
    };
    let packet = r#"{"src":"2001:db8:9::9","dst":"2001:db8:7::5","dport":80,"iif":"eth0"}"#;
    for (routes, told) in [
        (
            "2001:db8:7::/64 dev eth0 metric 1024 pref medium\ndefault via fe80::1 dev eth0 metric 1024 pref medium\n",
            false,
        ),
        ("", true),
    ] {
        for o in crate::common::walk(&files(routes), packet) {
            let asked = o.missing.iter().any(|m| m.command == "ip -d addr");
            assert_eq!(asked, told, "{routes}: {:?}", o.missing);
        }
    }
}
