//! The same for IPv6, packet by packet on Linux 6.18: no `rp_filter`, one switch for all devices, silence in other places.

use crate::common::{Files, check};

fn node() -> Files {
    Files::new(&[
        "r0 2001:db8:c::1/64 fe80::2/64,link",
        "a0 2001:db8:5::1/64",
        "b0 2001:db8:7::1/64",
    ])
    .route("default via 2001:db8:5::fe dev a0 metric 1024 pref medium")
}

const OUT: &str =
    r#"{"src":"2001:db8:c::2","sport":40000,"dst":"2001:db8:99::7","dport":443,"iif":"r0"}"#;

fn from(src: &str) -> String {
    OUT.replace("2001:db8:c::2", src)
}

fn to(dst: &str) -> String {
    OUT.replace("2001:db8:99::7", dst)
}

#[test]
fn routes_that_refuse_or_pass_on() {
    for (ty, end) in [
        ("blackhole", "dropped why=blackhole"),
        ("unreachable", "rejected why=unreachable"),
        ("prohibit", "rejected why=prohibit"),
        ("throw", "forwarded out=a0 table=main"),
    ] {
        let s = node()
            .rule6("100: from all lookup 100")
            .route(&format!(
                "{ty} 2001:db8:99::/48 dev lo table 100 metric 1024 pref medium"
            ))
            .snapshot();
        check(&s, OUT, &[end]);
    }
    let none = Files::new(&["r0 2001:db8:c::1/64"]).snapshot();
    check(&none, OUT, &["rejected why=no-route"]);
}

#[test]
fn rules_select_and_refuse() {
    let files = |rule: &str| {
        node()
            .rule6(rule)
            .route("default via 2001:db8:7::fe dev b0 table 100 metric 1024 pref medium")
            .snapshot()
    };
    for (rule, dev) in [
        ("100: from 2001:db8:c::/64 lookup 100", "b0"),
        ("100: not from 2001:db8:c::/64 lookup 100", "a0"),
        ("100: from all iif r0 lookup 100", "b0"),
        ("100: from all fwmark 0x1/0x1 lookup 100", "a0"),
        (
            "100: from all to 2001:db8:99::/48 ipproto tcp dport 443 lookup 100",
            "b0",
        ),
        ("100: from all lookup 100 suppress_prefixlength 0", "a0"),
    ] {
        check(&files(rule), OUT, &[&format!("forwarded out={dev}")]);
    }
    for (action, end) in [
        ("blackhole", "dropped why=blackhole"),
        ("unreachable", "rejected why=unreachable"),
        ("prohibit", "rejected why=prohibit"),
    ] {
        check(
            &files(&format!("100: from all iif r0 {action}")),
            OUT,
            &[end],
        );
    }
}

#[test]
fn a_route_for_a_source_prefix_beats_one_for_any() {
    let s = node()
        .route("2001:db8:99::/48 from 2001:db8:c::/64 via 2001:db8:7::fe dev b0 metric 1024 pref medium
2001:db8:99::/48 via 2001:db8:5::fe dev a0 metric 1024 pref medium")
        .snapshot();
    check(&s, OUT, &["forwarded out=b0"]);
    check(&s, &from("2001:db8:e::2"), &["forwarded out=a0"]);
}

#[test]
fn the_lower_metric_wins_and_next_hops_share_by_weight() {
    let s = node()
        .route(
            "2001:db8:99::/48 via 2001:db8:7::fe dev b0 metric 40 pref medium
2001:db8:99::/48 via 2001:db8:5::fe dev a0 metric 50 pref medium
2001:db8:55::/48 metric 1024 pref medium
\tnexthop via 2001:db8:5::2 dev a0 weight 3
\tnexthop via 2001:db8:7::9 dev b0 weight 1",
        )
        .snapshot();
    check(&s, OUT, &["forwarded out=b0"]);
    check(
        &s,
        &to("2001:db8:55::7"),
        &["forwarded out=a0 p=3/4", "forwarded out=b0 p=1/4"],
    );
}

#[test]
fn no_source_is_validated() {
    let s = node().sysctl("net.ipv4.conf.all.rp_filter = 1").snapshot();
    // Neither one that belongs elsewhere nor one of the node's own.
    check(&s, &from("2001:db8:7::77"), &["forwarded out=a0"]);
    check(&s, &from("2001:db8:7::1"), &["forwarded out=a0"]);
}

#[test]
fn martians_are_dropped_and_link_local_sources_answered() {
    let s = node()
        .table6("mangle", "-A PREROUTING -j ACCEPT")
        .snapshot();
    // These do not even reach PREROUTING (`ip6_rcv_core`).
    for packet in [
        from("::1"),
        from("ff02::1"),
        to("::1"),
        to("::"),
        to("ff01::1"),
        to("ff00::1"),
    ] {
        check(&s, &packet, &["dropped why=martian no=mangle/PREROUTING/1"]);
    }
    check(
        &s,
        &from("::"),
        &["dropped why=martian hit=mangle/PREROUTING/1"],
    );
    check(&s, &from("fe80::9"), &["rejected why=beyond-scope"]);
}

#[test]
fn one_switch_forwards_for_all_devices() {
    let off = node().sysctl("net.ipv6.conf.all.forwarding = 0");
    check(&off.snapshot(), OUT, &["dropped why=forwarding-off"]);
    // A missing route is answered all the same.
    let s = Files::new(&["r0 2001:db8:c::1/64"])
        .sysctl("net.ipv6.conf.all.forwarding = 0")
        .snapshot();
    check(&s, OUT, &["rejected why=no-route"]);
    let one = node().sysctl("net.ipv6.conf.r0.forwarding = 0");
    check(&one.snapshot(), OUT, &["forwarded out=a0"]);
}

#[test]
fn a_hop_limit_of_one_is_answered() {
    let s = node().table6("filter", "-A FORWARD -j DROP").snapshot();
    check(
        &s,
        &OUT.replace('}', r#","ttl":1}"#),
        &["rejected why=ttl no=filter/FORWARD/1"],
    );
}

#[test]
fn anycast_and_joined_groups_are_delivered() {
    let s = node()
        .route("anycast 2001:db8:5:: dev a0 table local proto kernel metric 0 pref medium")
        .snapshot();
    check(&s, &to("2001:db8:5::"), &["local p=1"]);
    check(&s, &to("ff02::1"), &["local p=1"]);
    // Which other groups are joined is not in a snapshot.
    check(
        &s,
        &to("ff05::99"),
        &["local p=? sure=no", "dropped p=? sure=no"],
    );
}

/// `rpfilter_lookup_reverse6` names the device as the way out without binding the lookup to it: policy rules with `oif` fit, and
/// among the routes of the longest prefix the device's own is taken.
#[test]
fn rpfilter_asks_for_a_route_by_the_device() {
    let s = node()
        .table6("raw", "-A PREROUTING -m rpfilter --invert -j DROP")
        .rule6("110: from all oif r0 lookup 100")
        .route("2001:db8:c::/64 dev b0 table 100 metric 1024 pref medium")
        .snapshot();
    check(&s, OUT, &["dropped hit=raw/PREROUTING/1"]);
    let own = |metric: u32| {
        node()
            .table6("raw", "-A PREROUTING -m rpfilter --invert -j DROP")
            .route(&format!(
                "2001:db8:e::/64 dev b0 metric 10 pref medium\n2001:db8:e::/64 dev r0 metric {metric} pref medium"
            ))
            .snapshot()
    };
    let from_e = OUT.replace("2001:db8:c::2", "2001:db8:e::2");
    for metric in [5, 20] {
        check(&own(metric), &from_e, &["forwarded out=a0"]);
    }
}

/// The flow label that `rpfilter_lookup_reverse6` looks up with holds the traffic class as well.
#[test]
fn rpfilter_asks_with_the_traffic_class() {
    let s = node()
        .table6("raw", "-A PREROUTING -m rpfilter --invert -j DROP")
        .rule6("100: not from all tos 0x10 blackhole")
        .snapshot();
    let with = |tos: u8| OUT.replace('}', &format!(r#","tos":{tos}}}"#));
    check(&s, &with(0x10), &["forwarded no=raw/PREROUTING/1"]);
    check(&s, &with(0), &["dropped hit=raw/PREROUTING/1"]);
}

/// `ip6t_mangle_out` compares the flow label with the traffic class in it: what `TOS` changes is routed again.
#[test]
fn a_traffic_class_set_in_output_routes_again() {
    let s = node()
        .table6("mangle", "-A OUTPUT -p udp -j TOS --set-tos 0x10/0xff")
        .rule6("100: from all tos 0x10 lookup 100")
        .route("default via 2001:db8:7::fe dev b0 table 100 metric 1024 pref medium")
        .snapshot();
    let sent =
        r#"{"origin":"local","dst":"2001:db8:99::7","proto":"PROTO","sport":40000,"dport":53}"#;
    // The source stays as the first lookup chose it.
    check(
        &s,
        &sent.replace("PROTO", "udp"),
        &["forwarded out=b0 src=2001:db8:5::1"],
    );
    check(&s, &sent.replace("PROTO", "tcp"), &["forwarded out=a0"]);
}

/// `ip6t_mangle_out` compares the hop limit as well.
#[test]
fn a_hop_limit_set_in_output_routes_again() {
    for (target, out) in [
        ("HL --hl-set 9", "b0"),
        ("MARK --set-xmark 0x1/0x1", "b0"),
        ("ACCEPT", "a0"),
    ] {
        // The first look-up has no source yet.
        let s = node()
            .table6("mangle", &format!("-A OUTPUT -j {target}"))
            .rule6("100: from 2001:db8:5::1 lookup 100")
            .route("default via 2001:db8:7::fe dev b0 table 100 metric 1024 pref medium")
            .snapshot();
        let sent =
            r#"{"origin":"local","dst":"2001:db8:99::7","proto":"udp","sport":40000,"dport":53}"#;
        check(&s, sent, &[&format!("forwarded out={out}")]);
    }
}

/// All hosts join `ff02::1` and the groups of their own addresses' solicited nodes; of the others nobody knows.
#[test]
fn groups_that_all_hosts_join_are_surely_delivered() {
    let s = node().snapshot();
    for (group, ends) in [
        ("ff02::1", &["local p=1"][..]),
        ("ff02::1:ff00:1", &["local p=1"]),
        ("ff02::1:ff00:2", &["local p=1"]),
        ("ff02::1:ff00:3", &["local p=?", "dropped p=?"]),
        ("ff02::1:ff12:1", &["local p=?", "dropped p=?"]),
        ("ff02::1:ff00:1:1", &["local p=?", "dropped p=?"]),
        ("ff02::2", &["local p=?", "dropped p=?"]),
        ("ff02:1::1", &["local p=?", "dropped p=?"]),
        ("ff05::1", &["local p=?", "dropped p=?"]),
        ("ff05::1:ff00:1", &["local p=?", "dropped p=?"]),
        ("ff02::2:ff00:1", &["local p=?", "dropped p=?"]),
    ] {
        check(&s, &to(group), ends);
    }
}

/// `ip6_forward`: what has no source yet stays on its link.
#[test]
fn sources_that_are_no_hosts_are_not_forwarded() {
    let s = node().snapshot();
    check(&s, &from("::"), &["dropped why=martian"]);
    check(&s, &from("ff02::5"), &["dropped why=martian"]);
    check(&s, &from("2001:db8:c::9"), &["forwarded"]);
}

/// `ip6_route_me_harder`, too, knows the protocol only where a rule asks for it of packets that are not the node's own.
#[test]
fn the_reroute_knows_the_protocol_where_a_rule_asks_for_it() {
    let s = |rule: &str| {
        node()
            .table6(
                "nat",
                "-A OUTPUT -p udp -j DNAT --to-destination [2001:db8:99::8]:53",
            )
            .rule6(rule)
            .route("2001:db8:99::8 dev b0 table 100 metric 1024 pref medium")
            .snapshot()
    };
    let sent =
        r#"{"origin":"local","dst":"2001:db8:99::7","proto":"udp","sport":40000,"dport":80}"#;
    check(
        &s("100: from all iif lo ipproto udp lookup 100"),
        sent,
        &["forwarded out=a0"],
    );
    check(
        &s("100: from all ipproto udp lookup 100"),
        sent,
        &["forwarded out=b0"],
    );
}

/// `rpfilter_mt`: what has no source yet passes, inverted or not.
#[test]
fn rpfilter_lets_pass_what_has_no_source() {
    let s = node()
        .table6("raw", "-A PREROUTING -m rpfilter --invert")
        .snapshot();
    check(&s, &from("::"), &["dropped no=raw/PREROUTING/1"]);
}

/// `rt6_need_strict`: a link-local destination is on the link that the packet came in by, or nowhere.
#[test]
fn link_local_destinations_are_on_the_link_the_packet_came_by() {
    let files = |dev: &str| {
        Files::new(&["r0 2001:db8:c::1/64", "a0 2001:db8:5::1/64"])
            .route(&format!("fe80::/64 dev {dev} metric 256 pref medium"))
            .snapshot()
    };
    let packet = to("fe80::77");
    check(&files("a0"), &packet, &["rejected why=no-route"]);
    check(&files("r0"), &packet, &["forwarded out=r0"]);
    // The node's own packets go where the route leads.
    let own = r#"{"origin":"local","dst":"fe80::77","proto":"udp","dport":53}"#;
    check(&files("a0"), own, &["forwarded out=a0"]);
}

/// `rt6_need_strict`: what NAT put there is looked up on the device the packet came in by, and `::1` is lo's.
#[test]
fn a_packet_translated_to_loopback_is_looked_up_on_its_device() {
    for (to, route, end) in [
        ("::1", "", "rejected why=no-route"),
        (
            "::1",
            "default via fe80::1 dev eth0 metric 1024 pref medium",
            "forwarded out=eth0",
        ),
    ] {
        let mut files = Files::new(&["eth0 2001:db8::10/64", "cni0 2001:db8:4::1/64"]).table6(
            "nat",
            &format!("-A PREROUTING -i eth0 -j DNAT --to-destination {to}"),
        );
        if !route.is_empty() {
            files = files.route(route);
        }
        let packet =
            r#"{"src":"2001:db8::99","sport":40000,"dst":"2001:db8:4::5","dport":80,"iif":"eth0"}"#;
        check(&files.snapshot(), packet, &[end]);
    }
}
