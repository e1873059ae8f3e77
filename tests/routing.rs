//! Policy rules, routes, and what the kernel refuses to forward.
//!
//! `fib_rules_lookup` (`net/core/fib_rules.c`), `fib_table_lookup` (`net/ipv4/fib_trie.c`), `ip_route_input_slow` and `ip_error`
//! (`net/ipv4/route.c`), `ip_forward` (`net/ipv4/ip_forward.c`).

mod common;
#[path = "routing/ipv6.rs"]
mod ipv6;
#[path = "routing/rpfilter.rs"]
mod rpfilter;
#[path = "routing/source.rs"]
mod source;

use common::{Files, check};

/// Two ways out and a network behind lan0.
fn node() -> Files {
    Files::new(&["lan0 10.1.0.1/24", "a0 10.2.0.1/24", "b0 10.3.0.1/24"])
        .route("default via 10.2.0.254 dev a0")
}

/// From the LAN to the world, which table 100 sends out by b0.
const OUT: &str =
    r#"{"src":"10.1.0.9","sport":40000,"dst":"198.51.100.7","dport":443,"iif":"lan0"}"#;

fn with_rule(rule: &str) -> common::Files {
    node()
        .rule(rule)
        .route("default via 10.3.0.254 dev b0 table 100")
}

fn goes(rule: &str, packet: &str, dev: &str) {
    check(
        &with_rule(rule).snapshot(),
        packet,
        &[&format!("forwarded out={dev} sure=yes p=1")],
    );
}

/// `OUT` with something changed.
fn out(extra: &str) -> String {
    OUT.replace('}', &format!(",{extra}}}"))
}

#[test]
fn rules_select_by_source_destination_and_negation() {
    goes("100: from 10.1.0.0/24 lookup 100", OUT, "b0");
    goes("100: from 10.9.0.0/24 lookup 100", OUT, "a0");
    goes("100: from all to 198.51.100.0/24 lookup 100", OUT, "b0");
    goes("100: not from 10.1.0.0/24 lookup 100", OUT, "a0");
    goes("100: not from 10.9.0.0/24 lookup 100", OUT, "b0");
    // The negation is of the whole rule.
    goes("100: not from 10.1.0.0/24 iif a0 lookup 100", OUT, "b0");
}

#[test]
fn a_tos_selector_looks_at_three_bits_of_ipv4_and_at_all_of_ipv6() {
    let tos = |n: u8| out(&format!(r#""tos":{n}"#));
    goes("100: from all tos 0x10 lookup 100", &tos(0x10), "b0");
    goes("100: from all tos 0x10 lookup 100", &tos(0xb0), "b0");
    goes("100: from all tos 0x10 lookup 100", &tos(0xb8), "a0");
    goes("100: from all tos 0xb0 lookup 100", &tos(0xb0), "a0");
    let six = Files::new(&["lan0 fd01::1/64", "a0 fd02::1/64", "b0 fd03::1/64"])
        .route("default via fd02::fe dev a0 metric 1024 pref medium\ndefault via fd03::fe dev b0 table 100 metric 1024 pref medium")
        .rule6("100: from all tos 0x10 lookup 100")
        .snapshot();
    let packet = |n: u8| {
        format!(r#"{{"src":"fd01::9","dst":"2001:db8::7","dport":80,"iif":"lan0","tos":{n}}}"#)
    };
    check(&six, &packet(0x10), &["forwarded out=b0"]);
    check(&six, &packet(0xb0), &["forwarded out=a0"]);
}

#[test]
fn rules_select_by_the_masked_mark() {
    let marked = |m: &str| out(&format!(r#""mark":"{m}""#));
    goes("100: from all fwmark 0x1 lookup 100", &marked("0x1"), "b0");
    goes("100: from all fwmark 0x1 lookup 100", &marked("0x3"), "a0");
    goes(
        "100: from all fwmark 0x1/0x1 lookup 100",
        &marked("0x3"),
        "b0",
    );
    goes(
        "100: from all fwmark 0x80000000/0xff000000 lookup 100",
        &marked("0x80001234"),
        "b0",
    );
    goes(
        "100: from all fwmark 0/0xff lookup 100",
        &marked("0x100"),
        "b0",
    );
    goes(
        "100: not from all fwmark 0x1/0x1 lookup 100",
        &marked("0x3"),
        "a0",
    );
}

#[test]
fn rules_select_by_device() {
    goes("100: from all iif lan0 lookup 100", OUT, "b0");
    goes("100: from all iif b0 lookup 100", OUT, "a0");
    // lo is the device of what the node sends itself.
    goes("100: from all iif lo lookup 100", OUT, "a0");
    let local = r#"{"origin":"local","dst":"198.51.100.7","dport":443}"#;
    goes("100: from all iif lo lookup 100", local, "b0");
    // No output device is asked for on either way.
    goes("100: from all oif b0 lookup 100", OUT, "a0");
    goes("100: from all oif b0 lookup 100", local, "a0");
    goes("100: from all iif gone [detached] lookup 100", OUT, "a0");
}

#[test]
fn rules_select_by_tos_protocol_and_ports() {
    goes(
        "100: from all tos 0x10 lookup 100",
        &out(r#""tos":16"#),
        "b0",
    );
    goes("100: from all tos 0x10 lookup 100", OUT, "a0");
    // ECN is not part of it.
    goes(
        "100: from all tos 0x10 lookup 100",
        &out(r#""tos":19"#),
        "b0",
    );
    goes("100: from all ipproto tcp lookup 100", OUT, "b0");
    goes("100: from all ipproto udp lookup 100", OUT, "a0");
    goes("100: from all ipproto tcp dport 443 lookup 100", OUT, "b0");
    goes(
        "100: from all ipproto tcp dport 440-443 lookup 100",
        OUT,
        "b0",
    );
    goes("100: from all ipproto tcp dport 80 lookup 100", OUT, "a0");
    goes(
        "100: from all ipproto tcp sport 40000 lookup 100",
        OUT,
        "b0",
    );
    goes(
        "100: from all ipproto tcp sport 1-1023 lookup 100",
        OUT,
        "a0",
    );
}

#[test]
fn rules_select_by_user() {
    let by =
        |uid: u32| format!(r#"{{"origin":"local","dst":"198.51.100.7","dport":443,"uid":{uid}}}"#);
    let rule = "100: from all uidrange 1000-1999 lookup 100";
    goes(rule, &by(1337), "b0");
    goes(rule, &by(0), "a0");
    // What is forwarded counts as root's.
    goes("100: from all uidrange 0-0 lookup 100", OUT, "b0");
}

#[test]
fn a_port_not_told_forks_where_a_rule_asks_for_it() {
    let s = with_rule("100: from all ipproto tcp sport 33000 lookup 100").snapshot();
    check(
        &s,
        r#"{"src":"10.1.0.9","dst":"198.51.100.7","dport":443,"iif":"lan0"}"#,
        &["forwarded out=a0 p=?", "forwarded out=b0 p=?"],
    );
}

#[test]
fn suppress_prefixlength_refuses_what_is_too_short() {
    let files = |n: u32| {
        node()
            .rule(&format!(
                "100: from all lookup 100 suppress_prefixlength {n}"
            ))
            .route(
                "default dev b0 table 100 scope link\n198.51.100.0/24 dev b0 table 100 scope link",
            )
            .snapshot()
    };
    check(&files(0), OUT, &["forwarded out=b0 table=100"]);
    check(&files(23), OUT, &["forwarded out=b0 table=100"]);
    check(&files(24), OUT, &["forwarded out=a0 table=main"]);
    let other = r#"{"src":"10.1.0.9","dst":"203.0.113.7","dport":443,"iif":"lan0"}"#;
    check(&files(0), other, &["forwarded out=a0 table=main"]);
}

#[test]
fn goto_skips_and_an_unresolved_one_does_nothing() {
    goes(
        "100: from all goto 300\n200: from all blackhole\n300: from all lookup 100",
        OUT,
        "b0",
    );
    check(
        &with_rule("100: from all goto 250 [unresolved]\n200: from all blackhole\n300: from all lookup 100")
            .snapshot(),
        OUT,
        &["dropped why=blackhole"],
    );
    goes("100: from all nop\n300: from all lookup 100", OUT, "b0");
}

#[test]
fn rules_that_refuse() {
    for (action, end) in [
        ("blackhole", "dropped why=blackhole"),
        ("unreachable", "rejected why=unreachable"),
        ("prohibit", "rejected why=prohibit"),
    ] {
        let s = node()
            .rule(&format!("100: from 10.1.0.0/24 {action}"))
            .snapshot();
        check(&s, OUT, &[end]);
    }
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
            .rule("100: from all lookup 100")
            .route(&format!("{ty} 198.51.100.0/24 table 100"))
            .snapshot();
        check(&s, OUT, &[end]);
    }
    let none = Files::new(&["lan0 10.1.0.1/24"]).snapshot();
    check(&none, OUT, &["rejected why=no-route"]);
}

#[test]
fn the_longest_prefix_wins_then_tos_then_the_lower_metric() {
    let s = node()
        .route(
            "198.51.100.0/24 via 10.3.0.254 dev b0 metric 50
198.51.100.0/24 via 10.2.0.254 dev a0 metric 100
198.51.0.0/16 dev lan0 scope link
203.0.113.0/24 via 10.2.0.254 dev a0
203.0.113.0/24 tos 0x10 via 10.3.0.254 dev b0 metric 900",
        )
        .snapshot();
    check(&s, OUT, &["forwarded out=b0"]);
    let other = |tos: u8| {
        format!(r#"{{"src":"10.1.0.9","dst":"203.0.113.7","dport":443,"iif":"lan0","tos":{tos}}}"#)
    };
    check(&s, &other(16), &["forwarded out=b0"]);
    check(&s, &other(0), &["forwarded out=a0"]);
}

#[test]
fn next_hops_share_by_weight() {
    let s = Files::new(&["lan0 10.1.0.1/24", "a0 10.2.0.1/24", "b0 10.3.0.1/24"])
        .route("default\n\tnexthop via 10.2.0.254 dev a0 weight 3\n\tnexthop via 10.3.0.254 dev b0 weight 1")
        .snapshot();
    check(
        &s,
        OUT,
        &[
            "forwarded out=a0 via=10.2.0.254 p=3/4",
            "forwarded out=b0 via=10.3.0.254 p=1/4",
        ],
    );
}

#[test]
fn dead_next_hops_are_not_used_and_linkdown_ones_only_where_ignored() {
    let files = |flag: &str| {
        Files::new(&["lan0 10.1.0.1/24", "a0 10.2.0.1/24", "b0 10.3.0.1/24"]).route(&format!(
            "default\n\tnexthop via 10.2.0.254 dev a0 weight 1 {flag}\n\tnexthop via 10.3.0.254 dev b0 weight 1"
        ))
    };
    check(
        &files("dead linkdown").snapshot(),
        OUT,
        &["forwarded out=b0 p=1"],
    );
    check(
        &files("linkdown").snapshot(),
        OUT,
        &["forwarded out=a0 p=1/2", "forwarded out=b0 p=1/2"],
    );
    let ignoring = files("linkdown").sysctl("net.ipv4.conf.a0.ignore_routes_with_linkdown = 1");
    check(&ignoring.snapshot(), OUT, &["forwarded out=b0 p=1"]);
    // A single route that cannot be used gives way to the one behind it.
    let behind = node()
        .route("198.51.100.0/24 via 10.3.0.254 dev b0 metric 5 dead linkdown\n198.51.100.0/24 dev lan0 scope link metric 9")
        .snapshot();
    check(&behind, OUT, &["forwarded out=lan0"]);
}

#[test]
fn onlink_gateways_and_named_tables() {
    let s = node()
        .rule("100: from 10.1.0.0/24 lookup uplink")
        .route("default via 192.0.2.1 dev b0 table uplink onlink")
        .snapshot();
    check(&s, OUT, &["forwarded out=b0 via=192.0.2.1 table=uplink"]);
}

#[test]
fn a_mark_set_in_output_routes_again() {
    let s = with_rule("100: from all fwmark 0x1/0x1 lookup 100")
        .table(
            "mangle",
            "-A OUTPUT -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x1/0x1",
        )
        .table("nat", "-A POSTROUTING -o b0 -j MASQUERADE")
        .snapshot();
    // The source was chosen before.
    check(
        &s,
        r#"{"origin":"local","dst":"198.51.100.7","dport":443}"#,
        &["forwarded out=b0 src=10.3.0.1 snat_by=masquerade"],
    );
    check(
        &s,
        r#"{"origin":"local","dst":"198.51.100.7","dport":80}"#,
        &["forwarded out=a0 src=10.2.0.1 snat=-"],
    );
}

#[test]
fn without_forwarding_nothing_is_forwarded_and_nothing_answered() {
    let off = "net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.forwarding = 0";
    check(
        &node().sysctl(off).snapshot(),
        OUT,
        &["dropped why=forwarding-off"],
    );
    // The ingress device's own switch decides.
    let one = node().sysctl("net.ipv4.conf.lan0.forwarding = 0");
    check(&one.snapshot(), OUT, &["dropped why=forwarding-off"]);
    let other = node().sysctl("net.ipv4.conf.a0.forwarding = 0");
    check(&other.snapshot(), OUT, &["forwarded out=a0"]);
    // No route would be answered by a router.
    let s = Files::new(&["lan0 10.1.0.1/24"]).sysctl(off).snapshot();
    check(&s, OUT, &["dropped why=forwarding-off"]);
    // To the node itself it does not matter.
    check(
        &node().sysctl(off).snapshot(),
        r#"{"src":"10.1.0.9","dst":"10.2.0.1","dport":22,"iif":"lan0"}"#,
        &["local"],
    );
}

#[test]
fn a_ttl_of_one_is_answered_before_forward() {
    let s = node().table("filter", "-A FORWARD -j DROP").snapshot();
    check(
        &s,
        &out(r#""ttl":1"#),
        &["rejected why=ttl no=filter/FORWARD/1"],
    );
    check(&s, &out(r#""ttl":2"#), &["dropped why=filter/FORWARD/1"]);
    // Delivery does not mind.
    check(
        &s,
        r#"{"src":"10.1.0.9","dst":"10.1.0.1","dport":22,"iif":"lan0","ttl":1}"#,
        &["local"],
    );
}

#[test]
fn a_packet_larger_than_the_way_out_is_answered() {
    let s = Files::new(&["lan0 10.1.0.1/24", "a0 10.2.0.1/24 mtu=1400"])
        .route("default via 10.2.0.254 dev a0")
        .snapshot();
    check(&s, &out(r#""length":1401"#), &["rejected why=too-big:1400"]);
    check(&s, &out(r#""length":1400"#), &["forwarded out=a0"]);
}

/// `fib4_rules_early_flow_dissect` in `ip_route_me_harder`: the ports are looked for only where some policy rule asks for them of
/// packets that are not the node's own; a rule with `iif lo` alone does not make the kernel look.
#[test]
fn the_reroute_after_output_knows_the_ports_where_a_rule_asks_for_them() {
    let s = |rule: &str| {
        node()
            .rule(rule)
            .table(
                "nat",
                "-A OUTPUT -p tcp -j DNAT --to-destination 10.99.0.7:80",
            )
            .snapshot()
    };
    let sent = r#"{"origin":"local","dst":"10.99.0.8","sport":40000,"dport":443}"#;
    let refused = s("100: from all ipproto tcp dport 80 unreachable");
    check(&refused, sent, &["dropped why=unreachable"]);
    for rule in ["ipproto tcp", "sport 40000", "dport 80"] {
        let refused = s(&format!("100: from all to 10.99.0.7 {rule} unreachable"));
        check(&refused, sent, &["dropped why=unreachable"]);
    }
    let other = s("100: from all iif lo ipproto tcp dport 80 unreachable");
    check(&other, sent, &["forwarded"]);
}

/// A table that has no routes has none; only where not all tables were captured it may have some.
#[test]
fn an_empty_table_is_no_riddle_where_all_were_captured() {
    let rule = "100: from all lookup 200";
    let s = node().rule(rule);
    check(&s.snapshot(), OUT, &["forwarded out=a0 sure=yes"]);
    // `ip route` alone shows table main.
    let main = s
        .without("ip-route")
        .file("ip-route.txt", "default via 10.2.0.254 dev a0\n10.1.0.0/24 dev lan0 proto kernel scope link src 10.1.0.1\n");
    check(&main.snapshot(), OUT, &["forwarded out=a0 sure=no"]);
}

/// Whose an address is, is asked of table local; without a rule for it nothing is the node's own.
#[test]
fn without_a_rule_for_table_local_nothing_is_local() {
    let s = node()
        .without("ip-addr")
        .without("ip-route")
        .without("ip-rule")
        .file("ip-route.txt", "10.1.0.0/24 dev lan0\n")
        .file("ip-rule.txt", "32766:\tfrom all lookup main\n")
        .snapshot();
    check(&s, OUT, &["rejected why=no-route"]);
}

/// `ip_route_connect`: a connecting TCP socket looks up once more with the source it was given; UDP keeps its first way.
#[test]
fn tcp_asks_again_with_the_source_it_got() {
    let s = with_rule("100: from 10.2.0.1 lookup 100").snapshot();
    let sent = |proto: &str| {
        format!(
            r#"{{"origin":"local","dst":"198.51.100.7","proto":"{proto}","sport":40000,"dport":443}}"#
        )
    };
    check(&s, &sent("tcp"), &["forwarded out=b0 src=10.2.0.1:40000"]);
    check(&s, &sent("udp"), &["forwarded out=a0 src=10.2.0.1:40000"]);
}

/// `ipt_mangle_out`: mark and TOS are what IPv4 routes again for, not the TTL. (The first look-up of UDP has no source yet, so the
/// rule is met by the second alone.)
#[test]
fn mark_and_tos_set_in_output_route_again_and_the_ttl_does_not() {
    for (target, out) in [
        ("MARK --set-xmark 0x1/0x1", "b0"),
        ("TOS --set-tos 0x10/0xff", "b0"),
        ("DSCP --set-dscp 0x04", "b0"),
        ("TTL --ttl-set 9", "a0"),
        ("CONNMARK --set-xmark 0x1/0x1", "a0"),
        ("ACCEPT", "a0"),
    ] {
        let s = with_rule("100: from 10.2.0.1 lookup 100")
            .table("mangle", &format!("-A OUTPUT -j {target}"))
            .snapshot();
        let sent =
            r#"{"origin":"local","dst":"198.51.100.7","proto":"udp","sport":40000,"dport":443}"#;
        check(&s, sent, &[&format!("forwarded out={out}")]);
    }
}

/// `nf_route_table_hook4`: a chain of type route may write addresses, either of which routes again.
#[test]
fn addresses_that_a_route_chain_writes_route_again() {
    for (statement, out) in [
        ("ip daddr set 10.3.0.9", "b0"),
        ("ip saddr set 10.1.0.1", "b0"),
        ("counter", "a0"),
    ] {
        let s = with_rule("100: from 10.1.0.1 lookup 100")
            .file(
                "nft.txt",
                &format!(
                    "table ip t {{\n\tchain c {{\n\t\ttype route hook output priority mangle; policy accept;\n\t\t{statement}\n\t}}\n}}\n"
                ),
            )
            .snapshot();
        let sent = r#"{"origin":"local","src":"10.2.0.1","dst":"198.51.100.7","proto":"udp","sport":40000,"dport":443}"#;
        check(&s, sent, &[&format!("forwarded out={out}")]);
    }
}

/// The sender learns that the second look-up found no way, but `tcp_connect` does not look.
#[test]
fn without_a_way_after_output_udp_is_told_and_tcp_is_not() {
    let s = node()
        .rule("100: from all fwmark 0x1/0x1 unreachable")
        .table("mangle", "-A OUTPUT -j MARK --set-xmark 0x1/0x1");
    let sent = |proto: &str| {
        format!(
            r#"{{"origin":"local","dst":"198.51.100.7","proto":"{proto}","sport":40000,"dport":443}}"#
        )
    };
    for (proto, end) in [("tcp", "dropped"), ("udp", "rejected")] {
        check(
            &s.snapshot(),
            &sent(proto),
            &[&format!("{end} why=unreachable")],
        );
    }
    // Where no routes were captured nobody knows.
    let blind = s.without("ip-route").without("ip-rule").file(
        "rule.txt",
        "0:\tfrom all lookup local\n32766:\tfrom all fwmark 0/0x1 lookup main\n",
    );
    check(&blind.snapshot(), &sent("tcp"), &["unknown"]);
}

/// Nor does the reverse look-up of `rp_filter` know protocol and ports then (`__fib_validate_source`).
#[test]
fn rp_filter_knows_the_protocol_where_a_rule_asks_for_it() {
    let s = |rule: &str| {
        node()
            .sysctl("net.ipv4.conf.all.rp_filter = 2")
            .rule(rule)
            .snapshot()
    };
    let to_node = r#"{"src":"10.1.0.9","dst":"10.1.0.1","dport":80,"iif":"lan0"}"#;
    let lo_alone = s("130: from all iif lo ipproto tcp blackhole");
    check(&lo_alone, to_node, &["local"]);
    let both = "130: from all iif lo ipproto tcp blackhole\n140: from all ipproto udp lookup main";
    check(&s(both), to_node, &["dropped"]);
}
