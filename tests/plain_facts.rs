//! Small facts that the simulator states and nothing else asks for: each of these was bent without a test's noticing.

mod common;

use common::{Files, check, walk};

const IN: &str = r#"{"src":"10.1.0.50","sport":40000,"dst":"10.3.0.10","dport":80,"iif":"eth0"}"#;

fn node() -> Files {
    Files::new(&["eth0 10.1.0.1/24", "pod0 10.3.0.1/24"])
}

/// The side on which a rule counts is the side that assumes what it asks for.
#[test]
fn what_a_rule_asks_for_is_assumed_where_it_counts() {
    for (proto, option, ends) in [
        ("esp", "-m esp --espspi 5", 2),
        ("ah", "-m ah --ahspi 5", 2),
        (
            "esp",
            "-m esp --espspi 5 -m mac --mac-source 02:00:00:00:00:99",
            3,
        ),
    ] {
        let s = node()
            .table("filter", &format!("-A FORWARD -p {proto} {option}"))
            .snapshot();
        let number = if proto == "ah" { "51" } else { "50" };
        let packet =
            format!(r#"{{"src":"10.1.0.50","dst":"10.3.0.10","proto":"{number}","iif":"eth0"}}"#);
        let all = walk(&s, &packet);
        assert_eq!(all.len(), ends, "{option}");
        for end in &all {
            let said = end.assumptions.join("; ");
            let counts = end.hits().next().is_some();
            assert_eq!(counts, !said.contains("not"), "{proto}: {said}");
        }
        check(&s, IN, &["forwarded no=filter/FORWARD/1 sure=yes"]);
    }
}

#[test]
fn a_service_of_ipvs_that_was_not_captured_is_named_with_its_port() {
    let s = Files::new(&[
        "eth0 10.1.0.1/24 10.1.0.9/24",
        "kube-ipvs0 down kind=dummy 10.96.0.1/32",
    ])
    .snapshot();
    let packet = IN.replace("10.3.0.10", "10.1.0.9");
    let ends = walk(&s, &packet);
    let said: Vec<String> = ends.iter().flat_map(|e| e.assumptions.clone()).collect();
    assert!(
        said.iter()
            .any(|a| a.contains("tcp 10.1.0.9:80 (not captured)")),
        "{said:?}"
    );
}

/// Group names are those of /etc/iproute2/group; `default` is 0.
#[test]
fn a_device_of_another_group_is_not_of_group_0() {
    let s = Files::new(&["eth0 10.1.0.1/24 group=5", "pod0 10.3.0.1/24"])
        .table(
            "filter",
            "-A FORWARD -m devgroup --src-group 0x0
             -A FORWARD -m devgroup --src-group 0x5
             -A FORWARD -m devgroup --dst-group 0x0",
        )
        .snapshot();
    check(
        &s,
        IN,
        &["forwarded no=filter/FORWARD/1 hit=filter/FORWARD/2 hit=filter/FORWARD/3 sure=yes"],
    );
}

/// `mac_mt` (`net/netfilter/xt_mac.c`): a device without Ethernet frames gives no address to compare; one that has them gives one that is not known.
#[test]
fn a_source_address_of_the_frame_is_unknown_only_where_there_is_a_frame() {
    let rule = "-A FORWARD -m mac --mac-source 02:00:00:00:00:99";
    let s = node().table("filter", rule).snapshot();
    assert_eq!(walk(&s, IN).len(), 2);
    let s = Files::new(&["eth0 10.1.0.1/24 kind=ipip", "pod0 10.3.0.1/24"])
        .table("filter", rule)
        .snapshot();
    check(&s, IN, &["forwarded no=filter/FORWARD/1"]);
}

/// Only IPv4 fragments on the way: `ip6_forward` answers, whatever the packet says.
#[test]
fn only_of_ipv4_it_is_assumed_that_fragments_are_forbidden() {
    let s = Files::new(&[
        "eth0 10.1.0.1/24 fd01::1/64",
        "pod0 10.3.0.1/24 fd03::1/64 mtu=1300",
    ])
    .snapshot();
    let large = IN.replace("\"dport\"", "\"length\":1400,\"dport\"");
    for (packet, fragments) in [
        (large.clone(), true),
        (
            large
                .replace("10.1.0.50", "fd01::50")
                .replace("10.3.0.10", "fd03::10"),
            false,
        ),
    ] {
        let ends = walk(&s, &packet);
        assert_eq!(ends[0].verdict.name(), "rejected", "{packet}");
        let said = ends[0].assumptions.iter().any(|a| a.contains("(DF)"));
        assert_eq!(said, fragments, "{packet}: {:?}", ends[0].assumptions);
    }
}

/// `fib4_rule_suppress` (`net/ipv4/fib_rules.c`): what a rule finds does not count where it leaves by a device of this group.
#[test]
fn a_rule_suppresses_routes_by_the_group_of_their_device() {
    for (group, out) in [("5", "pod0"), ("7", "pod1")] {
        let s = Files::new(&["eth0 10.1.0.1/24", "pod0 10.3.0.1/24 group=7", "pod1"])
            .route("10.3.0.0/24 dev pod1 table 100")
            .rule(&format!(
                "10: from all lookup main suppress_ifgroup {group}\n20: from all lookup 100"
            ))
            .snapshot();
        check(&s, IN, &[&format!("forwarded out={out}")]);
    }
}

/// Of routes to one prefix that name a source the longest source that fits counts (`CONFIG_IPV6_SUBTREES`).
#[test]
fn a_route_from_another_source_of_the_same_length_is_not_taken() {
    let s = Files::new(&[
        "eth0 fd01::1/64 fd02::1/64",
        "a0 fd0a::1/64",
        "b0 fd0b::1/64",
    ])
    .route(
        "fd50::/16 from fd01::/64 dev a0 metric 1024 pref medium
fd50::/16 from fd02::/64 dev b0 metric 1024 pref medium",
    )
    .snapshot();
    for (src, out) in [("fd01::50", "a0"), ("fd02::50", "b0")] {
        let packet =
            format!(r#"{{"src":"{src}","sport":40000,"dst":"fd50::1","dport":80,"iif":"eth0"}}"#);
        check(&s, &packet, &[&format!("forwarded out={out}")]);
    }
}

/// `__fib_validate_source`: what is no unicast route back is refused; `accept_local` lifts that for addresses of the node alone.
#[test]
fn accept_local_is_about_addresses_of_the_node() {
    let strict = "net.ipv4.conf.all.rp_filter=1\nnet.ipv4.conf.eth0.rp_filter=1";
    let accepting = format!("{strict}\nnet.ipv4.conf.eth0.accept_local=1");
    let from = |src: &str| IN.replace("10.1.0.50", src);
    let s = node().sysctl(strict).snapshot();
    check(&s, &from("10.1.0.1"), &["dropped why=martian"]);
    let s = node().sysctl(&accepting).snapshot();
    check(&s, &from("10.1.0.1"), &["forwarded"]);
    check(&s, &from("10.1.0.255"), &["dropped why=martian"]);
}

/// `inet_lookup_ifaddr_rcu` asks for the addresses, and of 127.0.0.0/8 only one is an address.
#[test]
fn another_loopback_source_is_no_address_of_the_node() {
    let s = node()
        .sysctl("net.ipv4.conf.eth0.route_localnet=1\nnet.ipv4.conf.all.route_localnet=1")
        .snapshot();
    check(&s, &IN.replace("10.1.0.50", "127.0.0.9"), &["forwarded"]);
    check(
        &s,
        &IN.replace("10.1.0.50", "127.0.0.1"),
        &["dropped why=martian"],
    );
}

/// JSON may stand on one line, which tells nothing; the rule is named by its chain.
#[test]
fn a_rule_of_json_is_named_by_chain_and_number() {
    let zone = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"table": {"family": "ip", "name": "t", "handle": 1}}, {"chain": {"family": "ip", "table": "t", "name": "early", "handle": 1, "type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}}, {"rule": {"family": "ip", "table": "t", "chain": "early", "handle": 2, "expr": [{"mangle": {"key": {"ct": {"key": "zone"}}, "value": 7}}]}}]}"#;
    let text = "table ip t {\n\tchain early {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\tct zone set 7\n\t}\n}\n";
    for (file, place) in [(zone, "nft:1 (t early, rule 1)"), (text, "nft:4")] {
        let s = node().without("iptables-save").file("nft", file).snapshot();
        let said = walk(&s, IN)[0].assumptions.join("; ");
        let ends = format!("that {place} sets");
        assert!(said.contains(&ends), "{said}");
    }
}

/// What comes in is for many where its address is; what the node sends has no frame yet (`skb->pkt_type` is 0 then, `PACKET_HOST`).
#[test]
fn what_the_node_sends_to_many_is_for_one_as_far_as_its_frame_is_known() {
    let rules = "-m pkttype --pkt-type multicast\n";
    let s = node()
        .table("mangle", &format!("-A PREROUTING {rules}-A OUTPUT {rules}"))
        .route("multicast 224.0.0.0/4 dev pod0")
        .route("224.0.0.0/4 dev pod0")
        .snapshot();
    let ends = walk(&s, &IN.replace("10.3.0.10", "239.1.2.3"));
    assert!(ends.iter().all(|e| e.hits().count() == 1), "comes in");
    let sent = r#"{"src":"10.3.0.1","sport":40000,"dst":"239.1.2.3","dport":80,"proto":"udp","origin":"local"}"#;
    let ends = walk(&s, sent);
    assert!(ends.iter().all(|e| e.hits().count() == 0), "goes out");
}

/// `--xor-tos` is kept as a value under an empty mask (`tos_tg` in `net/netfilter/xt_DSCP.c`).
#[test]
fn bits_of_tos_are_turned_over_and_not_only_set() {
    let s = node()
        .table(
            "mangle",
            "-A PREROUTING -j TOS --set-tos 0x10/0x00
             -A FORWARD -m tos --tos 0x00/0xff
             -A FORWARD -m tos --tos 0x10/0xff",
        )
        .snapshot();
    let marked = IN.replace("\"dport\"", "\"tos\":16,\"dport\"");
    check(
        &s,
        &marked,
        &["forwarded hit=mangle/FORWARD/1 no=mangle/FORWARD/2"],
    );
    check(
        &s,
        IN,
        &["forwarded no=mangle/FORWARD/1 hit=mangle/FORWARD/2"],
    );
}

/// `owner_mt` (`net/netfilter/xt_owner.c`): without a socket a rule fits where all that it asks is inverted.
#[test]
fn what_passes_through_has_no_owner_to_be_named() {
    let s = node()
        .table(
            "mangle",
            "-A POSTROUTING -m owner ! --uid-owner 5
             -A POSTROUTING -m owner ! --uid-owner 5 ! --gid-owner 7
             -A POSTROUTING -m owner ! --uid-owner 5 --gid-owner 7
             -A POSTROUTING -m owner --uid-owner 5 ! --gid-owner 7",
        )
        .snapshot();
    let hits = "forwarded hit=mangle/POSTROUTING/1 hit=mangle/POSTROUTING/2 no=mangle/POSTROUTING/3 no=mangle/POSTROUTING/4";
    check(&s, IN, &[hits]);
}

#[test]
fn an_owner_that_is_not_known_is_named_by_its_number() {
    let s = node()
        .table(
            "mangle",
            "-A OUTPUT -m owner --uid-owner 5\n-A OUTPUT -m owner --uid-owner 10-20",
        )
        .snapshot();
    let sent = r#"{"src":"10.1.0.1","sport":40000,"dst":"10.3.0.10","dport":80,"origin":"local"}"#;
    let said: Vec<String> = walk(&s, sent)
        .iter()
        .flat_map(|e| e.assumptions.clone())
        .collect();
    for who in ["user id 5", "user id 10-20"] {
        assert!(said.iter().any(|a| a.ends_with(who)), "{who}: {said:?}");
    }
}

/// `--xor-mark` is kept as a value under an empty mask (`mark_tg` in `net/netfilter/xt_mark.c`).
#[test]
fn bits_of_the_mark_are_turned_over_and_not_only_set() {
    let s = node()
        .table("mangle", "-A PREROUTING -j MARK --set-xmark 0x3/0x0")
        .snapshot();
    let marked = IN.replace("\"dport\"", "\"mark\":1,\"dport\"");
    check(&s, &marked, &["forwarded mark=0x2"]);
}
