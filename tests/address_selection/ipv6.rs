//! IPv6, as seen on Linux 6.18, packet by packet (`ipv6_get_saddr_eval` in `net/ipv6/addrconf.c`).

use crate::common::{Files, check};

/// The client's packet leaves by r1, whose addresses and those of the others are given.
fn v6(devices: &[&str], dst: &str) -> Files {
    let client = ["r0 fe80::2/64,link"];
    let all: Vec<&str> = client.iter().chain(devices).copied().collect();
    Files::new(&all)
        .route(&format!(
            "2001:db8:c::/64 dev r0 metric 1024 pref medium\n{dst} dev r1 metric 1024 pref medium"
        ))
        .table6("nat", "-A POSTROUTING -o r1 -j MASQUERADE")
}

fn v6_source(devices: &[&str], dst: &str, expected: &str) {
    let packet = format!(r#"{{"src":"2001:db8:c::2","dst":"{dst}","dport":80,"iif":"r0"}}"#);
    check(&v6(devices, dst).snapshot(), &packet, &[expected]);
}

#[test]
fn a_global_address_elsewhere_beats_a_link_local_one_on_the_way_out() {
    v6_source(
        &["x0 2001:db8:a::1/64", "r1 fe80::3/64,link"],
        "2001:db8:5::5",
        "forwarded out=r1 src=2001:db8:a::1 how=rfc6724:x0 sure=yes",
    );
}

#[test]
fn without_any_global_address_the_link_local_one_is_taken() {
    v6_source(
        &["x0 fe80::9/64,link", "r1 fe80::3/64,link"],
        "2001:db8:5::5",
        "forwarded src=fe80::3 how=rfc6724:r1",
    );
    v6_source(
        &["x0 fe80::9/64,link", "r1"],
        "2001:db8:5::5",
        "forwarded src=fe80::2 how=rfc6724:r0",
    );
}

#[test]
fn the_way_out_beats_label_and_prefix() {
    v6_source(
        &["x0 2001:db8:5::99/64", "r1 fd00:b::1/64"],
        "2001:db8:5::5",
        "forwarded src=fd00:b::1 how=rfc6724:r1",
    );
}

#[test]
fn a_deprecated_address_is_passed_over_even_on_the_way_out() {
    v6_source(
        &["x0 2001:db8:5::99/64", "r1 fd00:b::1/64,deprecated"],
        "2001:db8:5::5",
        "forwarded src=2001:db8:5::99 how=rfc6724:x0",
    );
}

#[test]
fn a_tentative_address_does_not_count() {
    v6_source(
        &["x0 2001:db8:a::1/64", "r1 2001:db8:5::1/64,tentative"],
        "2001:db8:5::5",
        "forwarded src=2001:db8:a::1 how=rfc6724:x0",
    );
}

#[test]
fn the_label_tells_unique_local_from_global() {
    let devices = ["x0 2001:db8:a::1/64", "y0 fd00:a::1/64", "r1"];
    v6_source(&devices, "2001:db8:5::5", "forwarded src=2001:db8:a::1");
    v6_source(&devices, "fd00:5::5", "forwarded src=fd00:a::1");
}

#[test]
fn the_longer_common_prefix_wins_then_the_first() {
    v6_source(
        &["x0 2001:db8:a::1/64", "y0 2001:db8:5::99/64", "r1"],
        "2001:db8:5::5",
        "forwarded src=2001:db8:5::99 how=rfc6724:y0",
    );
    // The list of a device begins with what was added last.
    let r1 = ["r1 2001:db8:7::1/64 2001:db8:6::1/64"];
    v6_source(&r1, "2001:db8:6::5", "forwarded src=2001:db8:6::1");
    v6_source(&r1, "2001:db8:5::5", "forwarded src=2001:db8:7::1");
}

#[test]
fn a_public_address_beats_a_temporary_one() {
    v6_source(
        &["r1 2001:db8:5::77/64,temporary 2001:db8:9::1/64"],
        "2001:db8:5::5",
        "forwarded src=2001:db8:9::1",
    );
}

#[test]
fn only_the_way_out_where_it_is_told_so() {
    let files = v6(&["x0 2001:db8:a::1/64", "r1"], "2001:db8:5::5")
        .sysctl("net.ipv6.conf.r1.use_oif_addrs_only = 1");
    check(
        &files.snapshot(),
        r#"{"src":"2001:db8:c::2","dst":"2001:db8:5::5","dport":80,"iif":"r0"}"#,
        &["dropped why=no-address:nat/POSTROUTING/1"],
    );
}

#[test]
fn a_process_takes_the_routes_src_else_the_same_choice() {
    let devices = ["x0 2001:db8:a::1/64", "r1 2001:db8:6::1/64"];
    let files = Files::new(&devices).route(
        "2001:db8:5::5 dev r1 src 2001:db8:a::1 metric 1024 pref medium\ndefault dev r1 metric 1024 pref medium",
    );
    let s = files.snapshot();
    check(
        &s,
        r#"{"origin":"local","dst":"2001:db8:5::5","dport":80}"#,
        &["forwarded src=2001:db8:a::1 how=route-src"],
    );
    check(
        &s,
        r#"{"origin":"local","dst":"2001:db8:77::5","dport":80}"#,
        &["forwarded src=2001:db8:6::1 how=rfc6724:r1"],
    );
}

#[test]
fn a_tentative_address_is_none_yet() {
    v6_source(
        &["x0 2001:db8:a::1/64", "r1 2001:db8:5::9/64,tentative"],
        "2001:db8:5::5",
        "forwarded src=2001:db8:a::1 how=rfc6724:x0",
    );
}

/// Without any IPv6 address there is nothing to masquerade with, and that is known.
#[test]
fn a_node_without_an_address_drops_what_it_should_masquerade() {
    let s = Files::new(&["r0 192.0.2.1/24", "r1 192.0.3.1/24", "x0 fe80::9/64,link"])
        .route("2001:db8:5::/64 dev r1 metric 1024 pref medium")
        .sysctl("net.ipv6.conf.r1.use_oif_addrs_only = 1")
        .table6("nat", "-A POSTROUTING -o r1 -j MASQUERADE")
        .snapshot();
    let packet = r#"{"src":"2001:db8:c::2","dst":"2001:db8:5::5","dport":80,"iif":"r0"}"#;
    check(
        &s,
        packet,
        &["dropped why=no-address:nat/POSTROUTING/1 sure=yes p=1"],
    );
}

/// `nf_nat_redirect_ipv6`: the first usable IPv6 address of the device; for a link-local destination one of that scope.
#[test]
fn redirect_takes_the_devices_first_usable_address() {
    let to = |device: &str, dst: &str| {
        let s = Files::new(&[device, "x0 2001:db8:9::1/64"])
            .table6("nat", "-A PREROUTING -p tcp -j REDIRECT --to-ports 8080")
            .snapshot();
        let packet = format!(r#"{{"src":"2001:db8:c::2","dst":"{dst}","dport":80,"iif":"r0"}}"#);
        (s, packet)
    };
    for (device, dst, expected) in [
        (
            "r0 192.0.2.1/24 2001:db8:1::1/64",
            "2001:db8:5::5",
            "[2001:db8:1::1]:8080",
        ),
        (
            "r0 2001:db8:1::1/64,tentative 2001:db8:1::2/64",
            "2001:db8:5::5",
            "[2001:db8:1::2]:8080",
        ),
        (
            "r0 2001:db8:1::1/64 fe80::7/64,link",
            "fe80::99",
            "[fe80::7]:8080",
        ),
        (
            "r0 2001:db8:1::1/64 fe80::7/64,link",
            "2001:db8:5::5",
            "[2001:db8:1::1]:8080",
        ),
    ] {
        let (s, packet) = to(device, dst);
        check(&s, &packet, &[&format!("local dst={expected}")]);
    }
}

/// The routes imply which addresses are the node's own, not which of them are chosen.
#[test]
fn without_the_addresses_nobody_knows_which_is_taken() {
    let files = v6(&["r1 2001:db8:b::1/64"], "2001:db8:5::5").without("ip-addr");
    let packet = r#"{"src":"2001:db8:c::2","dst":"2001:db8:5::5","dport":80,"iif":"r0"}"#;
    check(
        &files.snapshot(),
        packet,
        &["forwarded out=r1 src=? snat=? snat_by=masquerade sure=no"],
    );
}

/// `ipv6_dev_get_saddr`: to groups, to the link, and where the device says so, the addresses of other devices are none.
#[test]
fn to_a_group_or_the_link_only_the_devices_own_addresses_count() {
    let files = Files::new(&[
        "x0 2001:db8:a::1/64 fe80::7/64,link",
        "r1 2001:db8:b::1/64",
        "y0 fe80::9/64,link",
    ])
    .route(
        "fe80::/64 dev r1 metric 10 pref medium
ff00::/8 dev y0 table local proto kernel metric 256 pref medium
2001:db8:77::/64 dev y0 metric 1024 pref medium",
    );
    let to = |dst: &str| {
        format!(r#"{{"origin":"local","dst":"{dst}","proto":"udp","sport":40000,"dport":53}}"#)
    };
    for (dst, src) in [
        ("fe80::5", "2001:db8:b::1"),
        ("ff0e::5", "fe80::9"),
        ("ff02::5", "fe80::9"),
        ("2001:db8:77::5", "2001:db8:a::1"),
    ] {
        check(
            &files.snapshot(),
            &to(dst),
            &[&format!("forwarded src={src}")],
        );
    }
    for setting in ["all", "y0"] {
        let own = files
            .clone()
            .sysctl(&format!("net.ipv6.conf.{setting}.use_oif_addrs_only = 1"));
        check(
            &own.snapshot(),
            &to("2001:db8:77::5"),
            &["forwarded src=fe80::9"],
        );
    }
}
