//! Cases that a simulator of rule sets gets wrong easily, one test each, named after the wrong answer.
//!
//! What is expected is what the kernel does; most of it was seen there packet by packet.

#[path = "traps/bounds.rs"]
mod bounds;
#[path = "traps/clashes.rs"]
mod clashes;
mod common;
#[path = "traps/matches.rs"]
mod matches;
#[path = "traps/nat.rs"]
mod nat;
#[path = "traps/paths.rs"]
mod paths;
#[path = "traps/sets.rs"]
mod sets;
#[path = "traps/targets.rs"]
mod targets;
#[path = "traps/tools.rs"]
mod tools;
#[path = "traps/tracking.rs"]
mod tracking;
#[path = "traps/types.rs"]
mod types;

use common::{Files, check, walk};

/// A node with a pod network behind cni0 and the world behind eth0.
fn node() -> Files {
    Files::new(&["eth0 192.168.0.10/24", "cni0 10.244.0.1/24", "cali12 "])
        .route("default via 192.168.0.1 dev eth0\n10.244.1.9 dev cali12 scope link")
}

/// From outside to a pod.
const IN: &str =
    r#"{"src":"192.168.0.99","sport":40000,"dst":"10.244.0.4","dport":80,"iif":"eth0"}"#;
/// From a pod to the world.
const OUT: &str =
    r#"{"src":"10.244.0.4","sport":40000,"dst":"198.51.100.7","dport":443,"iif":"cni0"}"#;

#[test]
fn negated_destination_in_forward_is_not_lost() {
    let s = node()
        .table("filter", "-A FORWARD ! -d 10.244.0.0/16 -j DROP")
        .snapshot();
    check(&s, IN, &["forwarded out=cni0 no=filter/FORWARD/1"]);
    check(&s, OUT, &["dropped why=filter/FORWARD/1"]);
}

#[test]
fn a_new_packet_is_not_invalid() {
    let rules = "\
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
";
    let s = node().table("filter", rules).snapshot();
    check(
        &s,
        IN,
        &["forwarded no=filter/KUBE-FORWARD/1 no=filter/KUBE-FORWARD/2"],
    );
    let lone = |flags: &str| {
        format!(
            r#"{{"src":"192.168.0.99","dst":"10.244.0.4","dport":80,"iif":"eth0","flags":[{flags}]}}"#
        )
    };
    check(
        &s,
        &lone(r#""syn","ack""#),
        &["dropped why=filter/KUBE-FORWARD/1"],
    );
    check(
        &s,
        &lone(r#""rst""#),
        &["dropped why=filter/KUBE-FORWARD/1"],
    );
}

/// A Service by its cluster IP, its node port, and an external address under policy Local, all of one pod.
fn services() -> Files {
    node().table(
        "nat",
        "\
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -d 172.19.100.9/32 -p tcp -m tcp --dport 80 -j KUBE-EXT-L
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-A
-A KUBE-EXT-A -j KUBE-MARK-MASQ
-A KUBE-EXT-A -j KUBE-SVC-A
-A KUBE-EXT-L -s 10.244.0.0/16 -j KUBE-SVC-A
-A KUBE-EXT-L -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-L -m addrtype --src-type LOCAL -j KUBE-SVC-A
-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -j KUBE-SEP-A
-A KUBE-SEP-A -s 10.244.0.4/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.4:8080
",
    )
}

#[test]
fn cluster_ip_from_a_pod_reaches_the_endpoint_unmarked() {
    check(
        &services().snapshot(),
        r#"{"src":"10.244.1.9","dst":"10.96.0.10","dport":80,"iif":"cali12"}"#,
        &[
            "forwarded out=cni0 src=10.244.1.9 dst=10.244.0.4:8080 masq=no no=nat/KUBE-SVC-A/1 hit=nat/KUBE-SEP-A/2",
        ],
    );
}

#[test]
fn cluster_ip_and_node_port_from_outside_are_marked_translated_and_masqueraded() {
    let s = services().snapshot();
    for (dst, dport) in [("10.96.0.10", 80), ("192.168.0.10", 30080)] {
        let packet =
            format!(r#"{{"src":"192.168.0.99","dst":"{dst}","dport":{dport},"iif":"eth0"}}"#);
        check(
            &s,
            &packet,
            &[
                "forwarded out=cni0 src=10.244.0.1 dst=10.244.0.4:8080 masq=yes mark=0x0 hit=nat/KUBE-MARK-MASQ/1 hit=nat/KUBE-SEP-A/2 hit=nat/KUBE-POSTROUTING/3",
            ],
        );
    }
}

#[test]
fn mark_is_no_terminal_target() {
    let s = node()
        .table(
            "mangle",
            "-A PREROUTING -j MARK --set-xmark 0x1/0x1\n-A PREROUTING -m mark --mark 0x1/0x1 -j DROP",
        )
        .snapshot();
    check(&s, IN, &["dropped why=mangle/PREROUTING/2 mark=0x1"]);
}

#[test]
fn kube_postrouting_returns_the_unmarked_and_masquerades_the_marked() {
    let s = services().snapshot();
    check(
        &s,
        IN,
        &["forwarded src=192.168.0.99 hit=nat/KUBE-POSTROUTING/1 no=nat/KUBE-POSTROUTING/2"],
    );
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80,"iif":"eth0","mark":"0x4000"}"#,
        &["forwarded src=10.244.0.1 no=nat/KUBE-POSTROUTING/1 hit=nat/KUBE-POSTROUTING/3 mark=0x0"],
    );
}

#[test]
fn masquerade_is_source_nat_and_no_drop() {
    let s = node()
        .table(
            "nat",
            "-A POSTROUTING -s 10.244.0.0/16 -o eth0 -j MASQUERADE",
        )
        .snapshot();
    check(
        &s,
        OUT,
        &["forwarded out=eth0 src=192.168.0.10:40000 snat_by=masquerade sure=yes"],
    );
}

#[test]
fn reject_rejects() {
    for with in [
        "icmp-port-unreachable",
        "tcp-reset",
        "icmp-admin-prohibited",
    ] {
        let rule = format!(
            "-A FORWARD -d 10.244.0.4/32 -p tcp -m tcp --dport 80 -j REJECT --reject-with {with}"
        );
        let s = node().table("filter", &rule).snapshot();
        check(&s, IN, &["rejected why=filter/FORWARD/1 sure=yes"]);
    }
}

#[test]
fn the_end_of_a_chain_returns_to_its_caller_not_to_the_base_chain() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -j A\n-A A -j B\n-A A -j DROP\n-A B -s 1.2.3.4/32 -j ACCEPT",
        )
        .snapshot();
    check(&s, IN, &["dropped why=filter/A/2 hit=filter/A/1"]);
}

#[test]
fn goto_does_not_come_back() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -g A\n-A FORWARD -j DROP\n-A A -s 1.2.3.4/32 -j DROP",
        )
        .snapshot();
    check(
        &s,
        IN,
        &["forwarded hit=filter/FORWARD/1 no=filter/FORWARD/2"],
    );
    // From a chain that was called, it comes back to the caller of that chain.
    let s = node()
        .table(
            "filter",
            "-A FORWARD -j A\n-A FORWARD -j DROP\n-A A -g B\n-A A -j ACCEPT\n-A B -s 1.2.3.4/32 -j ACCEPT",
        )
        .snapshot();
    check(&s, IN, &["dropped why=filter/FORWARD/2 no=filter/A/2"]);
}

#[test]
fn src_type_tests_the_source() {
    let s = node()
        .table("filter", "-A INPUT -m addrtype --src-type LOCAL -j DROP")
        .snapshot();
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"192.168.0.10","dport":22,"iif":"eth0"}"#,
        &["local no=filter/INPUT/1"],
    );
    check(
        &s,
        r#"{"origin":"local","src":"10.244.0.1","dst":"192.168.0.10","dport":22}"#,
        &["dropped why=filter/INPUT/1"],
    );
}

#[test]
fn rpfilter_flags_are_one_match_and_look_the_source_up() {
    let spoofed = r#"{"src":"10.244.0.4","dst":"10.244.1.9","dport":80,"iif":"eth0"}"#;
    let world = r#"{"src":"8.8.8.8","dst":"10.244.0.4","dport":80,"iif":"eth0"}"#;
    for flags in ["--invert", "--validmark --invert"] {
        let s = node()
            .table("raw", &format!("-A PREROUTING -m rpfilter {flags} -j DROP"))
            .snapshot();
        check(&s, spoofed, &["dropped why=raw/PREROUTING/1"]);
        check(&s, world, &["forwarded out=cni0 no=raw/PREROUTING/1"]);
    }
    // Loose: any route to the source will do.
    let s = node()
        .table("raw", "-A PREROUTING -m rpfilter --loose --invert -j DROP")
        .snapshot();
    check(&s, spoofed, &["forwarded out=cali12"]);
}

#[test]
fn rpfilter_uses_the_mark_only_where_it_is_told_to() {
    let files = |flags: &str| {
        node()
            .rule("100: from all fwmark 0x80/0x80 lookup 100")
            .route("default dev cali12 table 100 scope link")
            .table("raw", &format!("-A PREROUTING -m rpfilter {flags} -j DROP"))
            .snapshot()
    };
    let marked = r#"{"src":"8.8.8.8","dst":"10.244.0.4","dport":80,"iif":"cali12","mark":"0x80"}"#;
    check(
        &files("--invert"),
        marked,
        &["dropped why=raw/PREROUTING/1"],
    );
    let s = files("--validmark --invert");
    assert_eq!(
        walk(&s, marked)[0].hits().count(),
        0,
        "the mark's route is the way back"
    );
}

#[test]
fn a_plus_at_the_end_of_a_device_name_is_a_wildcard() {
    let s = node()
        .table("filter", "-A FORWARD -i cali+ -j DROP")
        .snapshot();
    check(
        &s,
        r#"{"src":"10.244.1.9","dst":"198.51.100.7","dport":443,"iif":"cali12"}"#,
        &["dropped why=filter/FORWARD/1"],
    );
    check(&s, OUT, &["forwarded no=filter/FORWARD/1"]);
    let s = node()
        .table("filter", "-A FORWARD ! -i cali+ -j DROP")
        .snapshot();
    check(&s, OUT, &["dropped why=filter/FORWARD/1"]);
    // Without the plus the whole name counts.
    let s = node()
        .table("filter", "-A FORWARD -i cali -j DROP")
        .snapshot();
    check(
        &s,
        r#"{"src":"10.244.1.9","dst":"198.51.100.7","dport":443,"iif":"cali12"}"#,
        &["forwarded out=eth0"],
    );
}

#[test]
fn forward_knows_the_device_the_packet_leaves_by() {
    let s = node()
        .table("filter", "-A FORWARD -o cni0 -j DROP")
        .snapshot();
    check(&s, IN, &["dropped why=filter/FORWARD/1"]);
    check(&s, OUT, &["forwarded no=filter/FORWARD/1"]);
}

#[test]
fn a_probability_splits_the_path() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m statistic --mode random --probability 0.10000000009 -j DROP",
        )
        .snapshot();
    check(
        &s,
        IN,
        &["dropped p=0.1 why=filter/FORWARD/1", "forwarded p=0.9"],
    );
    // Three endpoints: a third, then a half of the rest.
    let s = node()
        .table(
            "nat",
            "\
-A PREROUTING -d 10.244.0.4/32 -m statistic --mode random --probability 0.33333333349 -j DNAT --to-destination 10.244.0.5
-A PREROUTING -d 10.244.0.4/32 -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.244.0.6
-A PREROUTING -d 10.244.0.4/32 -j DNAT --to-destination 10.244.0.7
",
        )
        .snapshot();
    let ends = walk(&s, IN);
    let p: Vec<f64> = ends.iter().filter_map(|o| o.probability).collect();
    assert_eq!(ends.len(), 3);
    assert!(p.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6), "{p:?}");
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn the_highest_bit_of_a_mark_matches() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m mark --mark 0x80000000/0x80000000 -j DROP",
        )
        .snapshot();
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80,"iif":"eth0","mark":"0x80000001"}"#,
        &["dropped why=filter/FORWARD/1"],
    );
    check(&s, IN, &["forwarded"]);
}

#[test]
fn ranges_flags_log_redirect_recent_and_nfacct_do_not_blind_the_rule_set() {
    let s = node()
        .table(
            "filter",
            "\
-A FORWARD -m nfacct --nfacct-name ct_state_invalid_dropped_pkts
-A FORWARD -p tcp -m tcp --dport 30000:32767 -j ACCEPT
-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j LOG --log-prefix \"syn \"
-A FORWARD -m recent --rcheck --seconds 10800 --reap --name X --mask 255.255.255.255 --rsource -j ACCEPT
-A FORWARD -m recent --set --name X --mask 255.255.255.255 --rsource
-A FORWARD -m recent --rcheck --name X --mask 255.255.255.255 --rsource -j DROP
",
        )
        .table(
            "nat",
            "-A PREROUTING -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 22",
        )
        .snapshot();
    check(
        &s,
        IN,
        &[
            "dropped why=filter/FORWARD/6 no=filter/FORWARD/2 hit=filter/FORWARD/1 hit=filter/FORWARD/3 no=filter/FORWARD/4 hit=filter/FORWARD/5",
        ],
    );
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":30080,"iif":"eth0"}"#,
        &["forwarded hit=filter/FORWARD/2 no=filter/FORWARD/3"],
    );
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":8081,"iif":"eth0"}"#,
        &["local dst=192.168.0.10:22 dnat_by=redirect"],
    );
}

#[test]
fn sets_of_three_dimensions_of_plain_addresses_and_of_sets_match() {
    let s = node()
        .ipset(
            "\
create SRC-CIDR hash:ip,port,net family inet hashsize 1024 maxelem 65536
add SRC-CIDR 10.244.0.4,tcp:80,192.168.0.0/24
create IPS hash:ip family inet hashsize 1024 maxelem 65536
add IPS 10.244.0.4
create NETS hash:net family inet hashsize 1024 maxelem 65536
add NETS 198.51.100.0/24
create BOTH list:set size 8
add BOTH NETS
add BOTH IPS
",
        )
        .table(
            "filter",
            "\
-A FORWARD -m set --match-set SRC-CIDR dst,dst,src
-A FORWARD -m set --match-set IPS dst
-A FORWARD -m set --match-set BOTH dst
-A FORWARD -m set ! --match-set BOTH src
",
        )
        .snapshot();
    check(
        &s,
        IN,
        &[
            "forwarded hit=filter/FORWARD/1 hit=filter/FORWARD/2 hit=filter/FORWARD/3 hit=filter/FORWARD/4 sure=yes",
        ],
    );
    check(
        &s,
        OUT,
        &[
            "forwarded no=filter/FORWARD/1 no=filter/FORWARD/2 hit=filter/FORWARD/3 no=filter/FORWARD/4",
        ],
    );
}

#[test]
fn a_nomatch_member_takes_out_what_a_wider_one_holds() {
    let s = node()
        .ipset(
            "\
create NETS hash:net family inet hashsize 1024 maxelem 65536
add NETS 192.168.0.0/16
add NETS 192.168.0.0/25 nomatch
",
        )
        .table("filter", "-A FORWARD -m set --match-set NETS src -j DROP")
        .snapshot();
    check(&s, IN, &["forwarded no=filter/FORWARD/1"]);
    check(
        &s,
        r#"{"src":"192.168.0.200","dst":"10.244.0.4","dport":80,"iif":"eth0"}"#,
        &["dropped why=filter/FORWARD/1"],
    );
}

#[test]
fn owner_with_suppl_groups_never_matches_what_no_socket_sent() {
    // `owner_mt`: all bits of the match would have to be inverted, and that one cannot be.
    let rules = "\
-A POSTROUTING -m owner ! --gid-owner 1000
-A POSTROUTING -m owner ! --gid-owner 1000 --suppl-groups
";
    let s = node().table("mangle", rules).snapshot();
    check(
        &s,
        IN,
        &["forwarded hit=mangle/POSTROUTING/1 no=mangle/POSTROUTING/2"],
    );
    let own = |gid: u32| {
        format!(r#"{{"dst":"198.51.100.7","dport":80,"origin":"local","uid":0,"gid":{gid}}}"#)
    };
    check(
        &s,
        &own(1000),
        &["forwarded no=mangle/POSTROUTING/1 no=mangle/POSTROUTING/2"],
    );
    // Whether the process has group 1000 beside its own is not known.
    check(
        &s,
        &own(0),
        &[
            "forwarded hit=mangle/POSTROUTING/1 hit=mangle/POSTROUTING/2 p=?",
            "forwarded hit=mangle/POSTROUTING/1 no=mangle/POSTROUTING/2 p=?",
        ],
    );
}

#[test]
fn a_packet_that_asks_a_limit_again_takes_from_it_again() {
    let rules = "\
-A FORWARD -m hashlimit --hashlimit-upto 5/min --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name h
-A FORWARD -m hashlimit --hashlimit-upto 5/min --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name h
-A FORWARD -m hashlimit --hashlimit-above 5/min --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name h
-A FORWARD -j ONCE
-A FORWARD -j ONCE
-A ONCE -m limit --limit 1/hour --limit-burst 1 -j RETURN
-A ONCE -j DROP
";
    check(
        &node().table("filter", rules).snapshot(),
        IN,
        &[
            "dropped why=filter/ONCE/2 hit=filter/FORWARD/1 hit=filter/FORWARD/2 hit=filter/FORWARD/3 hit=filter/ONCE/1",
        ],
    );
}

#[test]
fn a_masquerade_mark_is_set_only_where_it_was_not() {
    let rules =
        "-A PREROUTING -j KUBE-MARK-MASQ\n-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n";
    let s = node().table("nat", rules).snapshot();
    check(&s, IN, &["forwarded mark=0x4000 masq=yes"]);
    let marked = IN.replace('}', r#","mark":"0x4000"}"#);
    check(&s, &marked, &["forwarded mark=0x4000 masq=no"]);
    let other = IN.replace('}', r#","mark":"0x1"}"#);
    check(&s, &other, &["forwarded mark=0x4001 masq=yes"]);
}
