//! What the `rpfilter` match looks up, and with what: `rpfilter_mt` in `net/ipv4/netfilter/ipt_rpfilter.c` and `ip6t_rpfilter.c`.
//! All rows but those of a VRF were seen on Linux 6.18.

use crate::common::{Files, walk};
use nfwhy::trace::Outcome;

/// No way leads to the packet's source but by table 100, which sends everything out by x0.
fn node() -> Files {
    Files::new(&[
        "eth0 192.168.0.10/24 2001:db8::1/64",
        "cni0 10.244.0.1/24 2001:db8:7::1/64",
        "x0 10.5.0.1/24 2001:db8:5::1/64",
    ])
    .route("default dev x0 table 100 scope link\ndefault dev x0 table 100 metric 1024 pref medium")
}

/// Whether `-m rpfilter FLAGS` in raw holds; a rule before it marks.
#[track_caller]
fn holds(files: &Files, flags: &str, packet: &str) -> bool {
    let rules = format!(
        "-A PREROUTING -j MARK --set-xmark 0x80/0xffffffff\n-A PREROUTING -m rpfilter {flags} -j NOTRACK\n"
    );
    let files = files.clone();
    let s = if packet.contains("::") {
        files.table6("mangle", &rules)
    } else {
        files.table("mangle", &rules)
    }
    .snapshot();
    let ends = walk(&s, packet);
    // In a VRF the chain is passed twice; the first time counts.
    let second = |o: &Outcome| o.hits().nth(1).is_some_and(|h| h.rule == 1);
    let first = ends.first().is_some_and(second);
    assert!(ends.iter().all(|o| second(o) == first), "{packet} forks");
    first
}

fn by_x0(src: &str, dst: &str, more: &str) -> String {
    format!(r#"{{"src":"{src}","dst":"{dst}","sport":40000,"dport":80{more},"iif":"x0"}}"#)
}

const SRC4: &str = "8.8.8.8";
const DST4: &str = "10.244.0.4";
const SRC6: &str = "2001:4860::8";
const DST6: &str = "2001:db8:7::4";

/// By IPv4: the TOS, the destination as source, no device of either side, no protocol and no ports.
#[test]
fn of_ipv4_the_lookup_knows_tos_and_source() {
    let tos = r#","tos":16"#;
    for (rule, dst, more, strict, validmark) in [
        ("", DST4, "", false, false),
        ("from all tos 0x10", DST4, tos, true, true),
        ("from all tos 0x10", DST4, "", false, false),
        ("from 10.244.0.4", DST4, "", true, true),
        ("from 10.244.0.5 to 8.8.8.8", DST4, "", false, false),
        ("from all iif lo", DST4, "", true, true),
        ("from all iif x0", DST4, "", false, false),
        ("from all oif x0", DST4, "", false, false),
        ("from all ipproto tcp", DST4, "", false, false),
        ("from all dport 40000", DST4, "", false, false),
        ("from all fwmark 0x80", DST4, "", false, true),
        // Nobody answers from a group or a broadcast.
        ("from 0.0.0.0", "224.0.0.1", "", true, true),
        ("from 224.0.0.1", "224.0.0.1", "", false, false),
        ("from 0.0.0.0", "255.255.255.255", "", true, true),
        ("from 255.255.255.255", "255.255.255.255", "", false, false),
    ] {
        let files = match rule {
            "" => node(),
            rule => node().rule(&format!("100: {rule} lookup 100")),
        };
        let packet = by_x0(SRC4, dst, more);
        assert_eq!(holds(&files, "", &packet), strict, "{rule} for {packet}");
        let said = holds(&files, "--validmark", &packet);
        assert_eq!(said, validmark, "{rule} for {packet} by mark");
    }
}

/// Without an address yet a client may ask all hosts, and those of its link.
#[test]
fn of_ipv4_no_source_is_one_to_the_link_alone() {
    for (src, dst, fits) in [
        ("0.0.0.0", "224.0.0.1", true),
        ("0.0.0.0", "224.0.0.251", true),
        ("0.0.0.0", "224.0.1.1", false),
        ("0.0.0.0", "239.1.1.1", false),
        ("0.0.0.0", "255.255.255.255", true),
        ("0.0.0.0", "10.244.0.4", false),
        ("8.8.8.8", "224.0.0.1", false),
        ("8.8.8.8", "255.255.255.255", false),
    ] {
        let packet = by_x0(src, dst, "");
        assert_eq!(holds(&node(), "", &packet), fits, "{packet}");
        assert_eq!(holds(&node(), "--invert", &packet), !fits, "{packet}");
    }
}

/// `FIB_LOOKUP_IGNORE_LINKSTATE`: a way back whose link is down is one.
#[test]
fn of_ipv4_the_link_of_the_way_back_may_be_down() {
    let packet = by_x0("10.77.0.3", DST4, "");
    let route = |flags: &str| node().route(&format!("10.77.0.0/24 dev cni0 scope link {flags}"));
    for flags in ["", "linkdown", "dead linkdown"] {
        assert!(holds(&route(flags), "--loose", &packet), "{flags}");
    }
    let off = Files::new(&["cni0 down", "x0 10.5.0.1/24"])
        .route("10.77.0.0/24 dev cni0 scope link dead linkdown");
    assert!(!holds(&off, "--loose", &packet));
    let ignored = route("linkdown").sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown = 1");
    assert!(holds(&ignored, "--loose", &packet));
}

/// By IPv6: the traffic class, the protocol, the device as way out, and the destination as source where it is a host's.
#[test]
fn of_ipv6_the_lookup_knows_class_source_device_and_protocol() {
    let class = r#","tos":16"#;
    for (rule, dst, more, strict, loose, validmark) in [
        ("", DST6, "", false, false, false),
        ("from 2001:db8:7::4", DST6, "", true, true, true),
        ("from all iif lo", DST6, "", true, true, true),
        ("from all oif x0", DST6, "", true, false, true),
        ("from all ipproto tcp", DST6, "", true, true, true),
        ("from all ipproto udp", DST6, "", false, false, false),
        ("from all dport 40000", DST6, "", false, false, false),
        ("from all tos 0x10", DST6, class, true, true, true),
        ("from all tos 0x10", DST6, "", false, false, false),
        ("from all fwmark 0x80", DST6, "", false, false, true),
        ("from ff02::1", "ff02::1", "", false, false, false),
        ("from all", "ff02::1", "", true, true, true),
    ] {
        let files = match rule {
            "" => node(),
            rule => node().rule6(&format!("100: {rule} lookup 100")),
        };
        let packet = by_x0(SRC6, dst, more);
        for (flags, fits) in [("", strict), ("--loose", loose), ("--validmark", validmark)] {
            let said = holds(&files, flags, &packet);
            assert_eq!(said, fits, "{rule}, {flags} for {packet}");
        }
    }
}

/// Own addresses, link-local ones, and the addresses of other links.
#[test]
fn of_ipv6_sources_are_looked_up_by_what_they_are() {
    let files = node().route("fe80::/64 dev x0 metric 256 pref medium");
    for (src, strict, loose, own) in [
        ("2001:db8:5::1", false, false, true),
        ("2001:db8:5::9", true, true, true),
        ("2001:db8:7::1", false, false, true),
        ("2001:db8:7::9", false, true, false),
        ("fe80::99", true, true, true),
    ] {
        let packet = by_x0(src, DST6, "");
        for (flags, fits) in [("", strict), ("--loose", loose), ("--accept-local", own)] {
            assert_eq!(holds(&files, flags, &packet), fits, "{flags} for {packet}");
        }
    }
    // A link-local source is on its own link or nowhere, however loosely asked.
    let elsewhere = node().route("fe80::/64 dev cni0 metric 256 pref medium");
    let packet = by_x0("fe80::99", DST6, "");
    assert!(!holds(&elsewhere, "--loose", &packet));
}

/// `flowi_l3mdev`: the lookup is in the VRF of the device (`l3mdev_fib_rule_match`), which is the way in and not the way out to
/// rules (`l3mdev_fib_rule_iif_match`).
#[test]
fn in_a_vrf_the_lookup_is_the_vrfs() {
    let files = |rule: &str, rule6: &str| {
        Files::new(&[
            "red kind=vrf table=10",
            "x0 master=red table=10 10.5.0.1/24 2001:db8:5::1/64",
        ])
        .route("8.8.8.0/24 dev x0 table 10 scope link\n2001:4860::/32 dev x0 table 10 metric 1024 pref medium")
        .rule(rule)
        .rule6(rule6)
    };
    for (rule, fits) in [
        ("1000: from all lookup [l3mdev-table]", true),
        ("1000: from all iif red lookup 10", true),
        ("1000: from all iif x0 lookup 10", false),
        ("1000: from all iif lo lookup 10", true),
        ("1000: from all oif lo lookup 10", false),
    ] {
        let node = files(rule, rule);
        for packet in [by_x0(SRC4, DST4, ""), by_x0(SRC6, DST6, "")] {
            assert_eq!(
                holds(&node, "--loose", &packet),
                fits,
                "{rule} for {packet}"
            );
        }
    }
}

/// `vrf_ip_rcv`: PREROUTING is passed by the device, then by its VRF; elsewhere once.
#[test]
fn a_vrf_sees_its_packets_once_more() {
    let s = Files::new(&[
        "red kind=vrf table=10",
        "x0 master=red table=10 10.5.0.1/24",
        "y0 10.6.0.1/24",
    ])
    .rule("1000: from all lookup [l3mdev-table]")
    .table(
        "raw",
        "-A PREROUTING -i x0\n-A PREROUTING -i red\n-A PREROUTING -i y0\n",
    )
    .snapshot();
    for (dev, dst, rules) in [
        ("x0", "10.5.0.1", &[0, 1][..]),
        ("red", "10.5.0.1", &[1]),
        ("y0", "10.6.0.1", &[2]),
    ] {
        let packet = format!(r#"{{"src":"192.0.2.9","dst":"{dst}","dport":80,"iif":"{dev}"}}"#);
        let ends = walk(&s, &packet);
        let hits: Vec<usize> = ends[0].hits().map(|h| h.rule).collect();
        assert_eq!(hits, rules, "{dev}");
    }
}
