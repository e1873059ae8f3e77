//! Source validation: `rp_filter` and martians, as seen on Linux 6.18 (`__fib_validate_source` in `net/ipv4/fib_frontend.c`).

use crate::common::{Files, check};
use crate::{OUT, node};
use nfwhy::capture::Snapshot;

#[test]
fn rp_filter_strict_wants_the_way_back_loose_any_way() {
    let via_b0 = r#"{"src":"198.51.100.7","dst":"10.1.0.9","dport":80,"iif":"b0"}"#;
    let mode = |all: u8, one: u8| {
        node()
            .sysctl(&format!(
                "net.ipv4.conf.all.rp_filter = {all}\nnet.ipv4.conf.b0.rp_filter = {one}"
            ))
            .snapshot()
    };
    check(&mode(0, 0), via_b0, &["forwarded out=lan0"]);
    check(&mode(0, 1), via_b0, &["dropped why=rp_filter:1:a0"]);
    check(&mode(1, 0), via_b0, &["dropped why=rp_filter:1:a0"]);
    // The larger of both counts, so 2 beats 1.
    check(&mode(1, 2), via_b0, &["forwarded out=lan0"]);
    check(&mode(2, 1), via_b0, &["forwarded out=lan0"]);
    let right_way = r#"{"src":"198.51.100.7","dst":"10.1.0.9","dport":80,"iif":"a0"}"#;
    check(&mode(1, 1), right_way, &["forwarded out=lan0"]);
    // Loose still wants some route.
    let unroutable = Files::new(&["lan0 10.1.0.1/24", "b0 10.3.0.1/24"]);
    let loose = unroutable.clone().sysctl("net.ipv4.conf.all.rp_filter = 2");
    check(&loose.snapshot(), via_b0, &["dropped why=rp_filter:2:-"]);
    check(&unroutable.snapshot(), via_b0, &["forwarded out=lan0"]);
}

#[test]
fn rp_filter_on_a_device_without_address_is_strict_even_when_loose() {
    // `no_addr` in `__fib_validate_source`: straight to last_resort, where any rp_filter drops.
    let files = |rp: u8| {
        Files::new(&["lan0 10.1.0.1/24", "a0 10.2.0.1/24", "b0"])
            .route("default via 10.2.0.254 dev a0")
            .sysctl(&format!("net.ipv4.conf.all.rp_filter = {rp}"))
            .snapshot()
    };
    let packet = r#"{"src":"198.51.100.7","dst":"10.1.0.9","dport":80,"iif":"b0"}"#;
    check(&files(2), packet, &["dropped why=rp_filter:2:a0"]);
    check(&files(0), packet, &["forwarded out=lan0"]);
}

#[test]
fn rp_filter_counts_any_next_hop_of_the_way_back() {
    let s = Files::new(&["lan0 10.1.0.1/24", "a0 10.2.0.1/24", "b0 10.3.0.1/24"])
        .route("default\n\tnexthop via 10.2.0.254 dev a0 weight 3\n\tnexthop via 10.3.0.254 dev b0 weight 1")
        .sysctl("net.ipv4.conf.all.rp_filter = 1")
        .snapshot();
    check(
        &s,
        r#"{"src":"198.51.100.7","dst":"10.1.0.9","dport":80,"iif":"b0"}"#,
        &["forwarded out=lan0"],
    );
}

/// A pod with an address of a second interface, whose replies a rule by source sends out there.
fn second_interface() -> Files {
    Files::new(&["eth0 10.0.1.5/24", "eth1 10.0.3.5/24,noprefixroute", "eni0"])
        .route(
            "default via 10.0.1.1 dev eth0
10.0.3.77 dev eni0 scope link
default via 10.0.3.1 dev eth1 table 2",
        )
        .rule("512: from all to 10.0.3.77 lookup main\n1536: from 10.0.3.77 lookup 2")
        .table(
            "nat",
            "-A PREROUTING -p tcp -m tcp --dport 30500 -j DNAT --to-destination 10.0.3.77:8080",
        )
}

const NODE_PORT: &str =
    r#"{"src":"10.0.9.9","sport":40000,"dst":"10.0.1.5","dport":30500,"iif":"eth0"}"#;

#[test]
fn rp_filter_looks_back_from_the_translated_destination() {
    let strict = second_interface().sysctl("net.ipv4.conf.all.rp_filter = 1");
    check(
        &strict.snapshot(),
        NODE_PORT,
        &["dropped why=rp_filter:1:eth1 hit=nat/PREROUTING/1"],
    );
    let loose = second_interface().sysctl("net.ipv4.conf.all.rp_filter = 2");
    check(
        &loose.snapshot(),
        NODE_PORT,
        &["forwarded out=eni0 dst=10.0.3.77:8080"],
    );
    // Without the rule by source the way back is eth0.
    let s = Files::new(&["eth0 10.0.1.5/24", "eth1 10.0.3.5/24,noprefixroute", "eni0"])
        .route("default via 10.0.1.1 dev eth0\n10.0.3.77 dev eni0 scope link")
        .table(
            "nat",
            "-A PREROUTING -p tcp -m tcp --dport 30500 -j DNAT --to-destination 10.0.3.77:8080",
        )
        .sysctl("net.ipv4.conf.all.rp_filter = 1")
        .snapshot();
    check(&s, NODE_PORT, &["forwarded out=eni0"]);
}

#[test]
fn rp_filter_minds_the_mark_only_with_src_valid_mark() {
    let marked = second_interface()
        .rule("1024: from all fwmark 0x80/0x80 lookup main")
        .table(
            "mangle",
            "-A PREROUTING -i eth0 -j MARK --set-xmark 0x80/0x80",
        )
        .sysctl("net.ipv4.conf.all.rp_filter = 1");
    check(
        &marked.snapshot(),
        NODE_PORT,
        &["dropped why=rp_filter:1:eth1"],
    );
    for key in ["all", "eth0"] {
        let s = marked
            .clone()
            .sysctl(&format!("net.ipv4.conf.{key}.src_valid_mark = 1"))
            .snapshot();
        check(&s, NODE_PORT, &["forwarded out=eni0"]);
    }
}

#[test]
fn rp_filter_not_captured_forks_only_where_it_decides() {
    let files = node().without("sysctl").file(
        "sysctl.txt",
        "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.forwarding = 1\n",
    );
    let s = files.snapshot();
    check(
        &s,
        r#"{"src":"198.51.100.7","dst":"10.1.0.9","dport":80,"iif":"b0"}"#,
        &[
            "forwarded out=lan0 p=? sure=no",
            "dropped why=rp_filter:1:a0 p=? sure=no",
        ],
    );
    check(&s, OUT, &["forwarded out=a0 p=1"]);
}

#[test]
fn martians_are_dropped() {
    let s = node().snapshot();
    for packet in [
        r#"{"src":"224.0.0.5","dst":"10.1.0.9","dport":80,"iif":"a0"}"#,
        r#"{"src":"255.255.255.255","dst":"10.1.0.9","dport":80,"iif":"a0"}"#,
        r#"{"src":"0.0.0.0","dst":"10.1.0.9","dport":80,"iif":"a0"}"#,
        r#"{"src":"0.0.0.0","dst":"10.2.0.255","dport":80,"iif":"a0"}"#,
        r#"{"src":"127.0.0.1","dst":"10.1.0.9","dport":80,"iif":"a0"}"#,
        r#"{"src":"10.2.0.7","dst":"127.0.0.1","dport":80,"iif":"a0"}"#,
        r#"{"src":"10.2.0.7","dst":"0.0.0.0","dport":80,"iif":"a0"}"#,
        // The node's own address as a source from outside.
        r#"{"src":"10.1.0.1","dst":"10.1.0.9","dport":80,"iif":"a0"}"#,
    ] {
        check(&s, packet, &["dropped why=martian"]);
    }
    // Who has no address asks who has none: a broadcast as of old.
    let nobody = r#"{"src":"0.0.0.0","dst":"0.0.0.0","dport":80,"iif":"a0"}"#;
    check(&s, nobody, &["local"]);
}

/// `ipv4_is_zeronet` is of one address since Linux 5.3: the others of 0.0.0.0/8 are hosts.
#[test]
fn addresses_of_0_0_0_0_8_are_hosts_but_for_the_first() {
    let types = "-A PREROUTING -m addrtype --src-type UNICAST\n-A PREROUTING -m addrtype --src-type BROADCAST\n";
    let s = node().table("raw", types).snapshot();
    for (src, dst, end) in [
        (
            "0.1.2.3",
            "10.1.0.9",
            "forwarded out=lan0 hit=raw/PREROUTING/1",
        ),
        (
            "10.2.0.7",
            "0.1.2.3",
            "forwarded out=a0 hit=raw/PREROUTING/1",
        ),
        ("0.1.2.3", "255.255.255.255", "local hit=raw/PREROUTING/1"),
        ("0.0.0.0", "255.255.255.255", "local hit=raw/PREROUTING/2"),
    ] {
        let packet = format!(r#"{{"src":"{src}","dst":"{dst}","dport":80,"iif":"a0"}}"#);
        check(&s, &packet, &[end]);
    }
}

#[test]
fn accept_local_and_route_localnet_lift_their_ban() {
    let own = r#"{"src":"10.1.0.1","dst":"10.1.0.9","dport":80,"iif":"a0"}"#;
    let s = node()
        .sysctl("net.ipv4.conf.a0.accept_local = 1")
        .snapshot();
    check(&s, own, &["forwarded out=lan0"]);
    let loopback = r#"{"src":"10.2.0.7","dst":"127.0.0.1","dport":80,"iif":"a0"}"#;
    let s = node()
        .sysctl("net.ipv4.conf.all.route_localnet = 1")
        .snapshot();
    check(&s, loopback, &["local dst=127.0.0.1:80"]);
}

#[test]
fn broadcasts_are_delivered_and_their_sources_validated() {
    let s = node().sysctl("net.ipv4.conf.all.rp_filter = 1").snapshot();
    let to = |src: &str, dst: &str| {
        format!(r#"{{"src":"{src}","dst":"{dst}","proto":"udp","dport":67,"iif":"a0"}}"#)
    };
    check(&s, &to("10.2.0.7", "10.2.0.255"), &["local"]);
    check(&s, &to("0.0.0.0", "255.255.255.255"), &["local"]);
    check(
        &s,
        &to("10.3.0.7", "10.2.0.255"),
        &["dropped why=rp_filter:1:b0"],
    );
}

#[test]
fn only_groups_that_all_hosts_join_are_surely_delivered() {
    let s = node().snapshot();
    let to = |dst: &str| {
        format!(r#"{{"src":"10.2.0.7","dst":"{dst}","proto":"udp","dport":5353,"iif":"a0"}}"#)
    };
    check(&s, &to("224.0.0.1"), &["local p=1"]);
    check(
        &s,
        &to("224.0.0.251"),
        &["local p=? sure=no", "dropped p=? sure=no"],
    );
}

#[test]
fn a_local_route_of_ones_own_makes_every_source_be_looked_up() {
    // `fib_has_custom_local_routes` in `fib_validate_source`: a broadcast address as source is found out only then.
    let odd = r#"{"src":"10.1.0.255","dst":"198.51.100.7","dport":80,"iif":"b0"}"#;
    let quiet = |files: Files| files.sysctl("net.ipv4.conf.all.rp_filter = 0").snapshot();
    check(&quiet(node()), odd, &["forwarded out=a0"]);
    check(
        &quiet(node().route("local 10.96.0.10 dev lo table local scope host")),
        odd,
        &["dropped"],
    );
    // So do rules of one's own, however many there are.
    for (rule, end) in [
        ("from all lookup main", "forwarded out=a0"),
        ("from all iif lo lookup main", "dropped"),
        ("from all fwmark 0x1 lookup main", "dropped"),
        ("from 192.0.2.0/24 lookup main", "dropped"),
        ("from all to 192.0.2.0/24 lookup main", "dropped"),
    ] {
        let rules =
            format!("0:\tfrom all lookup local\n100:\t{rule}\n32766:\tfrom all lookup main\n");
        let files = node().without("ip-rule").file("ip-rule.txt", &rules);
        check(&quiet(files), odd, &[end]);
    }
}

/// `IN_DEV_ORCONF`: on for all devices or on for this one.
#[test]
fn route_localnet_is_on_for_all_or_for_the_device() {
    let odd = r#"{"src":"198.51.100.7","dst":"127.0.0.9","dport":80,"iif":"b0"}"#;
    for (all, one, end) in [
        ("0", "0", "dropped"),
        ("1", "0", "local"),
        ("0", "1", "local"),
        ("1", "1", "local"),
    ] {
        let s = node()
            .sysctl(&format!(
                "net.ipv4.conf.all.route_localnet = {all}\nnet.ipv4.conf.b0.route_localnet = {one}\nnet.ipv4.conf.all.rp_filter = 0"
            ))
            .snapshot();
        check(&s, odd, &[end]);
    }
}

/// `rpfilter_mt` of IPv4 (`net/ipv4/netfilter/ipt_rpfilter.c`), by what it looks up: the source, with the destination as source.
#[test]
fn rpfilter_looks_the_source_up_as_an_answer_would_be_routed() {
    let s = |flags: &str, more: &dyn Fn(Files) -> Files| {
        let files = node()
            .sysctl("net.ipv4.conf.all.rp_filter = 0\nnet.ipv4.conf.all.accept_local = 1")
            .table(
                "raw",
                &format!("-A PREROUTING -m rpfilter {flags} --invert"),
            );
        more(files).snapshot()
    };
    let plain: &dyn Fn(Files) -> Files = &|files| files;
    let says_no = |s: &Snapshot, packet: &str| {
        let ends = crate::common::walk(s, packet);
        let hit = |o: &nfwhy::trace::Outcome| o.hits().next().is_some();
        assert!(ends.iter().all(|o| hit(o) == ends.first().is_some_and(hit)));
        ends.first().is_some_and(hit)
    };
    let by_b0 =
        |src: &str| format!(r#"{{"src":"{src}","dst":"198.51.100.7","dport":80,"iif":"b0"}}"#);
    // The node's own addresses are no sources but where that is allowed, and then as strictly as others.
    assert!(says_no(&s("", plain), &by_b0("10.3.0.1")));
    assert!(!says_no(&s("--accept-local", plain), &by_b0("10.3.0.1")));
    assert!(says_no(&s("--accept-local", plain), &by_b0("10.2.0.1")));
    assert!(!says_no(
        &s("--accept-local --loose", plain),
        &by_b0("10.2.0.1")
    ));
    assert!(says_no(&s("--loose", plain), &by_b0("10.2.0.1")));
    // A policy rule for the destination is one for the answer's source.
    let refuse: &dyn Fn(Files) -> Files =
        &|files| files.rule("100: from 198.51.100.0/24 blackhole");
    assert!(!says_no(&s("", plain), &by_b0("10.3.0.9")));
    assert!(says_no(&s("", refuse), &by_b0("10.3.0.9")));
    // To a group or a broadcast no answer has that source.
    let group = by_b0("10.3.0.9").replace("198.51.100.7", "224.0.0.1");
    let rule: &dyn Fn(Files) -> Files = &|files| files.rule("100: from 224.0.0.0/4 blackhole");
    assert!(!says_no(&s("", rule), &group));
    // A client without an address, and what loops back, pass.
    let dhcp = r#"{"src":"0.0.0.0","dst":"255.255.255.255","proto":"udp","sport":68,"dport":67,"iif":"b0"}"#;
    assert!(!says_no(&s("", plain), dhcp));
    let to_self = r#"{"origin":"local","dst":"10.1.0.1","dport":80}"#;
    assert!(!says_no(&s("", plain), to_self));
}

/// `fib_info_nh_uses_dev`: an own address as source is as good by another device as any source, strictly not at all.
#[test]
fn an_own_address_as_source_has_its_device_too() {
    let s = node()
        .sysctl("net.ipv4.conf.all.accept_local = 1\nnet.ipv4.conf.all.rp_filter = 1")
        .snapshot();
    let packet =
        |src: &str| format!(r#"{{"src":"{src}","dst":"198.51.100.7","dport":80,"iif":"b0"}}"#);
    check(&s, &packet("10.3.0.1"), &["forwarded"]);
    check(&s, &packet("10.2.0.1"), &["dropped why=rp_filter:1:a0"]);
}

/// One half of a setting tells, where the other was not captured and is off.
#[test]
fn one_of_two_settings_is_enough() {
    let odd = r#"{"src":"198.51.100.7","dst":"127.0.0.9","dport":80,"iif":"b0"}"#;
    for (value, end) in [("1", "local"), ("0", "dropped")] {
        let s = node()
            .without("sysctl")
            .file(
                "sysctl.txt",
                &format!(
                    "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.route_localnet = {value}\nnet.ipv4.conf.all.rp_filter = 0\nnet.ipv4.conf.b0.rp_filter = 0\nnet.ipv4.conf.all.accept_local = 0\n"
                ),
            )
            .snapshot();
        check(&s, odd, &[end]);
    }
}
