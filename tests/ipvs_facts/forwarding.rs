//! The way to a real server, and what wraps a packet on it.

use super::common::{Files, check, hits, walk_one};
use super::{NEXT, TO_V, VIP, counted, node};
use nfwhy::node::Node;

/// `crosses_local_route_boundary`: without NAT a packet on its way out cannot become one for the node itself.
#[test]
fn only_nat_turns_a_packet_on_its_way_out_back() {
    let local = r#"{"dst":"172.19.100.2","dport":80,"sport":40000,"origin":"local"}"#;
    let services = "TCP 172.19.100.2:80 rr\n-> 10.10.4.142:80 Route 1";
    check(&node("", services).snapshot(), local, &["dropped"]);
    check(&node(VIP, services).snapshot(), local, &["local"]);
}

/// `ip_vs_tunnel_xmit`: the outer packet has a connection of its own and passes OUTPUT and POSTROUTING, nat included.
#[test]
fn outer_packets_of_an_ipvs_tunnel_pass_the_hooks() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1").snapshot();
    let o = walk_one(&s, TO_V, None);
    assert_eq!(
        hits(&Node::new(&s), &o),
        ["filter/OUTPUT/1", "nat/POSTROUTING/2"]
    );
    check(
        &s,
        TO_V,
        &["forwarded out=ens4 src=10.10.6.91:40000 dst=172.19.100.2:80"],
    );
}

/// `ip_vs_tunnel_xmit`: the outer packet keeps IPVS's flag, which a tunnel device would take off (`skb_scrub_packet`); nat rules
/// see the first one only.
#[test]
fn outer_packets_of_an_ipvs_tunnel_are_ipvs_and_meet_nat_once() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1")
        .table("raw", "-A OUTPUT -m ipvs --ipvs\n")
        .snapshot();
    let first = walk_one(&s, TO_V, None);
    let two = ["raw/OUTPUT/1", "nat/POSTROUTING/2"];
    assert_eq!(counted(&s, &first, &two), [true, true]);
    let next = walk_one(&s, NEXT, first.conn.as_ref());
    assert_eq!(counted(&s, &next, &two), [true, false]);
}

/// `ip_vs_tunnel_xmit`: the outer packet leaves with the address that the way to the real server gives it.
#[test]
fn the_outer_packet_of_a_tunnel_has_an_address_of_its_way() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1")
        .table(
            "raw",
            "-A OUTPUT -s 10.10.4.142/32 -d 10.10.4.143/32 -p ipencap\n-A OUTPUT ! -s 10.10.4.142/32 -p ipencap\n",
        )
        .snapshot();
    let end = "forwarded out=ens4 hit=raw/OUTPUT/1 no=raw/OUTPUT/2";
    check(&s, TO_V, &[end]);
}

/// `decrement_ttl` (`net/netfilter/ipvs/ip_vs_xmit.c`): what IPVS sends on has made a hop.
#[test]
fn ipvs_takes_one_off_the_ttl() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Masq 1").snapshot();
    let with = |ttl: u8| TO_V.replacen('{', &format!("{{\"ttl\":{ttl},"), 1);
    assert_eq!(walk_one(&s, &with(2), None).ttl, 1);
    check(&s, &with(1), &["rejected why=ttl"]);
}

/// `ip_vs_prepare_tunneled_skb`: the outer packet has the TOS and the TTL of the one within, also of what came in by a device.
#[test]
fn the_outer_packet_of_ipvs_has_tos_and_ttl_of_the_inner_one() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1")
        .table(
            "raw",
            "-A OUTPUT -p ipencap -m dscp --dscp 0x0a\n-A OUTPUT -p ipencap -m ttl --ttl-eq 59\n",
        )
        .snapshot();
    let packet = TO_V.replacen('{', "{\"tos\":40,\"ttl\":60,", 1);
    let end = "forwarded out=ens4 hit=raw/OUTPUT/1 hit=raw/OUTPUT/2";
    check(&s, &packet, &[end]);
}

/// `fib_info_update_nhc_saddr`: the outer packet's source is chosen for the scope of the route to the real server.
#[test]
fn the_outer_source_may_be_of_scope_link() {
    use nfwhy::trace::StepKind;
    let s = Files::new(&[
        "ens4 10.10.4.142/24",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
        "cali1 169.254.7.1/32,link",
    ])
    .route("default via 10.10.4.1 dev ens4\n10.233.98.39 dev cali1 scope link")
    .ipvs("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Tunnel 1")
    .snapshot();
    let o = walk_one(&s, TO_V, None);
    let source = o.steps.iter().find_map(|s| match s.kind {
        StepKind::Encapsulated { src, .. } => src,
        _ => None,
    });
    assert_eq!(source, Some([169, 254, 7, 1].into()));
}

/// `ip_vs_tunnel_xmit_v6`: the outer packet is IPv6 in IPv6, 40 bytes longer, and has an address of its way.
#[test]
fn the_outer_packet_of_an_ipv6_tunnel() {
    let s = Files::new(&[
        "ens4 2001:db8:4::142/64 fe80::4/64,link",
        "kube-ipvs0 down kind=dummy 2001:db8:100::2/128,deprecated",
    ])
    .route("default via fe80::1 dev ens4 metric 1024 pref medium")
    .table6(
        "raw",
        "-A OUTPUT -s 2001:db8:4::142/128 -d 2001:db8:4::143/128 -p ipv6 -m length --length 100\n-A OUTPUT -p ipv6\n",
    )
    .ipvs("TCP [2001:db8:100::2]:80 rr\n-> [2001:db8:4::143]:80 Tunnel 1")
    .snapshot();
    let packet = r#"{"src":"2001:db8:6::91","sport":40000,"dst":"2001:db8:100::2","dport":80,"iif":"ens4","length":60}"#;
    check(
        &s,
        packet,
        &["forwarded out=ens4 hit=raw/OUTPUT/1 hit=raw/OUTPUT/2"],
    );
}

/// `ip_tunnel_xmit` routes the outer packet by the device's mark, not by the packet's.
#[test]
fn a_mark_does_not_route_the_packet_that_wraps() {
    let s = Files::new(&[
        "ens3 10.10.1.142/24",
        "ens4 10.10.4.142/24",
        "tunl0 kind=ipip 10.233.98.0/32",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
    ])
    .route(
        "default via 10.10.4.1 dev ens4
10.233.110.0/26 via 10.10.4.141 dev tunl0 proto bird onlink
default via 10.10.1.1 dev ens3 table 100
10.233.110.0/26 via 10.10.4.141 dev tunl0 onlink table 100",
    )
    .rule("100: from all fwmark 0x4000/0x4000 lookup 100")
    .table("nat", "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n")
    .table(
        "filter",
        "-A OUTPUT -o ens3 -p ipencap\n-A OUTPUT -o ens4 -p ipencap\n",
    )
    .ipvs("TCP 172.19.100.2:80 rr\n-> 10.233.110.33:80 Masq 1")
    .snapshot();
    let o = walk_one(&s, TO_V, None);
    assert_eq!(
        counted(&s, &o, &["filter/OUTPUT/1", "filter/OUTPUT/2"]),
        [false, true]
    );
}

/// `ip -6 rule` without an address in it and without a default table is told by the name of its file.
#[test]
fn ip_6_rules_are_told_by_the_file() {
    let s = Files::new(&["ens3 fd10:1::142/64", "ens4 fd10:4::142/64"])
        .route("default via fd10:4::1 dev ens4 metric 1024 pref medium\ndefault via fd10:1::1 dev ens3 table 100 metric 1024 pref medium")
        .without("ip-rule")
        .file(
            "ip-6-rule.txt",
            "0:\tfrom all lookup local\n100:\tfrom all iif lo lookup 100\n32766:\tfrom all lookup main\n",
        )
        .snapshot();
    check(
        &s,
        r#"{"dst":"fd72::1","dport":80,"origin":"local"}"#,
        &["forwarded out=ens3"],
    );
}

/// `do_output_route4` with `IP_VS_RT_MODE_CONNECT`: the way to the real server gives the outer packet its source, and is looked up
/// again with it. A rule for that source sends what it wraps elsewhere. What is not wrapped goes by the address alone, and IPv6
/// looks the way up once (`__ip_vs_route_output_v6`).
#[test]
fn a_rule_for_the_outer_source_takes_the_wrapped_packet_elsewhere() {
    let way = |method: &str, rule: &str| {
        Files::new(&[
            "ens3 10.10.1.142/24",
            "ens4 10.10.4.142/24",
            "kube-ipvs0 down kind=dummy 172.19.100.2/32",
            "cali1",
        ])
        .route(
            "default via 10.10.4.1 dev ens4
10.233.98.39 dev cali1 scope link src 10.10.4.142
default via 10.10.1.1 dev ens3 table 100
prohibit default table 101",
        )
        .rule(rule)
        .ipvs(&format!(
            "TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 {method} 1"
        ))
        .snapshot()
    };
    for (method, rule, end) in [
        (
            "Tunnel",
            "100: from 10.10.4.142 lookup 100",
            "forwarded out=ens3",
        ),
        (
            "Tunnel",
            "100: from 10.10.1.142 lookup 100",
            "forwarded out=cali1",
        ),
        (
            "Tunnel",
            "100: from 10.10.4.142 lookup 101",
            "rejected why=real-server-unreachable",
        ),
        (
            "Masq",
            "100: from 10.10.4.142 lookup 100",
            "forwarded out=cali1",
        ),
        (
            "Route",
            "100: from 10.10.4.142 lookup 100",
            "forwarded out=cali1",
        ),
    ] {
        check(&way(method, rule), TO_V, &[end]);
    }
    let s = Files::new(&[
        "ens3 2001:db8:1::142/64",
        "ens4 2001:db8:4::142/64",
        "kube-ipvs0 down kind=dummy 2001:db8:100::2/128,deprecated",
    ])
    .route(
        "default via 2001:db8:4::1 dev ens4 metric 1024 pref medium
default via 2001:db8:1::1 dev ens3 table 100 metric 1024 pref medium",
    )
    .rule6("100: from 2001:db8:4::142 lookup 100")
    .ipvs("TCP [2001:db8:100::2]:80 rr\n-> [2001:db8:9::143]:80 Tunnel 1")
    .snapshot();
    check(
        &s,
        r#"{"src":"2001:db8:6::91","sport":40000,"dst":"2001:db8:100::2","dport":80,"iif":"ens4","length":60}"#,
        &["forwarded out=ens4"],
    );
}

/// Of several next hops that give the outer packet the same source one is picked, not one for the source and another for the way.
#[test]
fn next_hops_of_one_source_are_picked_from_once() {
    let s = Files::new(&[
        "ens4 10.10.4.142/24",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
    ])
    .route(
        "default proto static
	nexthop via 10.10.4.1 dev ens4 weight 1
	nexthop via 10.10.4.2 dev ens4 weight 1",
    )
    .ipvs("TCP 172.19.100.2:80 rr\n-> 10.20.0.9:80 Tunnel 1")
    .snapshot();
    let end = "forwarded out=ens4 p=1/2";
    check(&s, TO_V, &[end, end]);
}

/// `__ip_vs_route_output_v6` asks `ipv6_dev_get_saddr` for the outer packet's source, whatever `src` the route has; IPv4 goes by `src`.
#[test]
fn the_outer_source_heeds_src_of_the_route_with_ipv4_alone() {
    let s = Files::new(&[
        "ens3 2001:db8:1::142/64",
        "ens4 2001:db8:4::142/64",
        "kube-ipvs0 down kind=dummy 2001:db8:100::2/128,deprecated",
    ])
    .route("2001:db8:9::/64 via 2001:db8:4::1 dev ens4 src 2001:db8:1::142 metric 1024 pref medium")
    .table6("raw", "-A OUTPUT -s 2001:db8:4::142/128 -p ipv6\n")
    .ipvs("TCP [2001:db8:100::2]:80 rr\n-> [2001:db8:9::143]:80 Tunnel 1")
    .snapshot();
    let packet = r#"{"src":"2001:db8:6::91","sport":40000,"dst":"2001:db8:100::2","dport":80,"iif":"ens4","length":60}"#;
    check(&s, packet, &["forwarded out=ens4 hit=raw/OUTPUT/1"]);
    let s = Files::new(&[
        "ens3 10.10.1.142/24",
        "ens4 10.10.4.142/24",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
    ])
    .route("10.20.0.0/24 via 10.10.4.1 dev ens4 src 10.10.1.142")
    .table("raw", "-A OUTPUT -s 10.10.1.142/32 -p ipencap\n")
    .ipvs("TCP 172.19.100.2:80 rr\n-> 10.20.0.9:80 Tunnel 1")
    .snapshot();
    check(&s, TO_V, &["forwarded out=ens4 hit=raw/OUTPUT/1"]);
}
