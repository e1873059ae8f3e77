//! What the kernel does with native rules of nftables, one test for each thing that the kernel lab found and the simulator did not know.
//! Linux 6.18, nftables 1.0.6.

mod common;

use common::{Files, check, warnings};
use nfwhy::capture::Snapshot;

fn node(listing: &str) -> Snapshot {
    Files::new(&["eth0 10.1.0.1/24 fd01::1/64", "pod0 10.3.0.1/24 fd03::1/64"])
        .without("iptables-save")
        .file("nft.txt", listing)
        .snapshot()
}

const THROUGH: &str =
    r#"{"src":"10.1.0.50","sport":40000,"dst":"10.3.0.10","dport":80,"iif":"eth0"}"#;
const THROUGH6: &str =
    r#"{"src":"fd01::50","sport":40000,"dst":"fd03::10","dport":80,"iif":"eth0"}"#;
/// What the node sends to itself.
const TO_ITSELF: &str = r#"{"src":"10.1.0.1","sport":40000,"dst":"10.3.0.1","dport":80,"origin":"local","uid":1000,"gid":1000}"#;
const OUT: &str = r#"{"src":"10.1.0.1","sport":40000,"dst":"10.3.0.10","dport":80,"origin":"local","uid":1000,"gid":1000}"#;

/// `nf_hook_entries_grow` (net/netfilter/core.c) puts a hook before those of the same priority.
#[test]
fn of_two_chains_with_one_priority_the_later_one_runs_first() {
    let s = node(
        "\
table ip t {
	chain first {
		type filter hook forward priority filter; policy accept;
		counter drop
	}

	chain second {
		type filter hook forward priority filter; policy accept;
		counter drop
	}
}
table inet u {
	chain third {
		type filter hook forward priority filter; policy accept;
		tcp dport 81 counter drop
	}
}
",
    );
    check(&s, THROUGH, &["dropped why=t/second/1"]);
    let to_81 = THROUGH.replace("\"dport\":80", "\"dport\":81");
    check(&s, &to_81, &["dropped why=u/third/1"]);
}

/// The same holds for the chains that run inside of NAT's own function: the first that translates is the last that was added.
#[test]
fn of_two_nat_chains_with_one_priority_the_later_one_translates() {
    let s = node(
        "\
table ip t {
	chain a {
		type nat hook prerouting priority dstnat; policy accept;
		counter packets 0 bytes 0 dnat to 10.3.0.11
	}
}
table ip u {
	chain b {
		type nat hook prerouting priority dstnat; policy accept;
		counter packets 0 bytes 0 dnat to 10.3.0.12
	}
}
",
    );
    check(&s, THROUGH, &["forwarded dst=10.3.0.12 no=t/a/1"]);
}

/// NAT leaves its mark in the status, also where it changed nothing (`IPS_DST_NAT_DONE`, `nf_nat_setup_info`).
#[test]
fn the_status_of_a_new_connection_behind_nat_is_not_0() {
    let s = node(
        "\
table inet t {
	chain nat {
		type nat hook prerouting priority dstnat; policy accept;
	}

	chain before {
		type filter hook prerouting priority mangle; policy accept;
		ct status != 0x0 counter packets 0 bytes 0
		ct status 0x0 counter packets 0 bytes 0
	}

	chain behind {
		type filter hook forward priority filter; policy accept;
		ct status != 0x0 counter packets 0 bytes 0
		ct status dnat counter packets 0 bytes 0
	}
}
",
    );
    let ends = "forwarded no=t/before/1 hit=t/behind/1 no=t/behind/2";
    check(&s, THROUGH, &[ends]);
    check(&s, THROUGH6, &[ends]);
}

/// `nft_ct_get_eval`: `NFT_CT_SRC_IP6` of a connection of IPv4 breaks the rule, whatever it is compared with.
#[test]
fn a_connection_has_addresses_of_its_family_alone() {
    let s = node(
        "\
table inet t {
	chain c {
		type filter hook forward priority filter; policy accept;
		ct original ip6 daddr != fd03::11 counter packets 0 bytes 0
		ct original ip daddr != 10.3.0.11 counter packets 0 bytes 0
	}
}
",
    );
    check(&s, THROUGH, &["forwarded no=t/c/1 hit=t/c/2"]);
    check(&s, THROUGH6, &["forwarded hit=t/c/1 no=t/c/2"]);
}

/// A rule asks for the protocol before it writes a field of it (`payload_gen_dependency` in nftables `src/payload.c`).
#[test]
fn a_field_of_ipv6_is_not_written_into_ipv4() {
    let s = node(
        "\
table inet t {
	chain c {
		type filter hook prerouting priority raw; policy accept;
		ip6 hoplimit set 1
		tcp dport set 8080
		ip ttl 1 counter packets 0 bytes 0
	}
}
",
    );
    let udp = r#"{"src":"10.1.0.50","sport":40000,"dst":"10.3.0.10","dport":80,"proto":"udp","iif":"eth0"}"#;
    check(
        &s,
        udp,
        &["forwarded dst=10.3.0.10:80 no=t/c/1 no=t/c/2 no=t/c/3"],
    );
    check(&s, THROUGH, &["forwarded no=t/c/1 hit=t/c/2"]);
}

/// `loopback_xmit` takes a packet from its socket (`skb_orphan`).
#[test]
fn what_comes_back_by_lo_has_no_owner() {
    let s = node(
        "\
table inet t {
	chain out {
		type filter hook output priority filter; policy accept;
		meta skuid 1000 counter packets 0 bytes 0
	}

	chain behind {
		type filter hook postrouting priority filter; policy accept;
		meta skgid 1000 counter packets 0 bytes 0
	}

	chain in {
		type filter hook prerouting priority filter; policy accept;
		meta skuid 1000 counter packets 0 bytes 0
		meta skgid != 1000 counter packets 0 bytes 0
	}

	chain here {
		type filter hook input priority filter; policy accept;
		meta skuid 1000 counter packets 0 bytes 0
	}
}
",
    );
    let end = "local hit=t/out/1 hit=t/behind/1 no=t/in/1 no=t/in/2 no=t/here/1";
    check(&s, TO_ITSELF, &[end]);
}

/// `NFT_META_IFTYPE` is of `skb->dev`, which `ip_output` sets before POSTROUTING; `iifname` is of the hook's device.
#[test]
fn iiftype_behind_routing_is_of_the_device_that_a_packet_leaves_by() {
    let s = node(
        "\
table inet t {
	chain out {
		type filter hook output priority filter; policy accept;
		meta iiftype loopback counter packets 0 bytes 0
		meta iiftype != ether counter packets 0 bytes 0
	}

	chain behind {
		type filter hook postrouting priority filter; policy accept;
		meta iiftype loopback counter packets 0 bytes 0
		meta iiftype ether counter packets 0 bytes 0
		iifname \"lo\" counter packets 0 bytes 0
		iif 0 counter packets 0 bytes 0
	}
}
",
    );
    let none = "no=t/out/1 no=t/out/2";
    check(
        &s,
        TO_ITSELF,
        &[&format!(
            "local {none} hit=t/behind/1 no=t/behind/2 no=t/behind/3"
        )],
    );
    check(
        &s,
        OUT,
        &[&format!(
            "forwarded {none} no=t/behind/1 hit=t/behind/2 no=t/behind/3"
        )],
    );
    check(&s, THROUGH, &["forwarded no=t/behind/1 hit=t/behind/2"]);
}

/// `nft_fib_can_skip`.
#[test]
fn fib_finds_a_way_for_what_the_node_sent_to_itself() {
    let s = node(
        "\
table inet t {
	chain in {
		type filter hook prerouting priority filter; policy accept;
		fib saddr oif missing counter packets 0 bytes 0
	}

	chain here {
		type filter hook input priority filter; policy accept;
		fib daddr oif missing counter packets 0 bytes 0
		fib saddr . iif oif exists counter packets 0 bytes 0
	}
}
",
    );
    check(&s, TO_ITSELF, &["local no=t/in/1 no=t/here/1 hit=t/here/2"]);
}

/// `nft_fib4_eval`: `flowi4_proto`.
#[test]
fn fib_asks_the_policy_rules_for_the_protocol_of_the_packet() {
    let listing = "\
table ip t {
	chain c {
		type filter hook forward priority filter; policy accept;
		fib saddr oif exists counter packets 0 bytes 0
	}
}
";
    let s = Files::new(&["eth0 10.1.0.1/24", "pod0 10.3.0.1/24"])
        .rule("100:\tnot from all ipproto tcp prohibit")
        .without("iptables-save")
        .file("nft.txt", listing)
        .snapshot();
    check(&s, THROUGH, &["forwarded hit=t/c/1"]);
}

/// `nft_dynset_eval`: statements are of an element. One that is there already has its own, or none (`nft_set_elem_update_expr`).
#[test]
fn an_element_that_is_there_does_not_get_the_statements_of_a_rule() {
    let s = node(
        "\
table ip t {
	set s {
		type ipv4_addr
		size 65535
		flags dynamic
		elements = { 10.1.0.50 }
	}

	chain c {
		type filter hook forward priority filter; policy accept;
		update @s { ip saddr limit rate over 1/second } counter packets 0 bytes 0
		ip saddr @s counter packets 0 bytes 0
		delete @s { ip saddr } counter packets 0 bytes 0
		ip saddr @s counter packets 0 bytes 0
	}
}
",
    );
    check(
        &s,
        THROUGH,
        &["forwarded hit=t/c/1 hit=t/c/2 hit=t/c/3 no=t/c/4"],
    );
    // The element that the rule makes has them, in every rule that finds it.
    check(
        &s,
        &THROUGH.replace("10.1.0.50", "10.1.0.51"),
        &["forwarded no=t/c/1 no=t/c/2 hit=t/c/3 no=t/c/4"],
    );
}

/// `nft_rt_get_eval`: a packet gets its route behind PREROUTING.
#[test]
fn before_routing_there_is_no_route_to_ask() {
    let s = node(
        "\
table ip t {
	chain in {
		type filter hook prerouting priority filter; policy accept;
		rt classid 0 counter packets 0 bytes 0
		meta rtclassid != 5 counter packets 0 bytes 0
	}

	chain through {
		type filter hook forward priority filter; policy accept;
		rt classid 0 counter packets 0 bytes 0
	}
}
",
    );
    check(
        &s,
        THROUGH,
        &["forwarded no=t/in/1 no=t/in/2 hit=t/through/1"],
    );
}

/// `__nf_conncount_add` looks for what it has counted once a tick.
#[test]
fn a_packet_that_comes_by_twice_is_two_connections_to_ct_count() {
    let s = node(
        "\
table ip t {
	chain c {
		type filter hook forward priority filter; policy accept;
		jump twice
		jump twice
	}

	chain twice {
		ct count over 2 counter packets 0 bytes 0
		ct count over 1 counter packets 0 bytes 0 drop
	}
}
",
    );
    check(&s, THROUGH, &["dropped why=t/twice/2 no=t/twice/1"]);
}

/// `nft_overquota` adds a packet each time that it comes by; each of several statements in a rule has its own account.
#[test]
fn each_limit_counts_for_itself_and_a_quota_counts_each_time() {
    let s = node(
        "\
table ip t {
	chain c {
		type filter hook forward priority filter; policy accept;
		limit rate 10/second burst 5 packets limit rate 1/minute burst 1 packets counter packets 0 bytes 0
		ct count 1 ct count over 0 counter packets 0 bytes 0
		jump twice
		jump twice
	}

	chain twice {
		quota over 100 bytes counter packets 0 bytes 0 drop
	}
}
",
    );
    let long = THROUGH.replace("\"dport\"", "\"length\":60,\"dport\"");
    check(
        &s,
        &long,
        &["dropped hit=t/c/1 hit=t/c/2 hit=t/c/4 why=t/twice/1"],
    );
}

/// `ip6_pol_route_lookup` takes one of several next hops by a hash.
#[test]
fn fib_of_ipv6_finds_any_of_several_next_hops() {
    let s = Files::new(&["eth0 fd01::1/64", "eth1 fd02::1/64", "pod0 fd03::1/64"])
        .route("default proto static metric 1024 pref medium\n\tnexthop via fd01::fe dev eth0 weight 1\n\tnexthop via fd02::fe dev eth1 weight 1")
        .without("iptables-save")
        .file(
            "nft.txt",
            "\
table ip6 t {
	chain in {
		type filter hook prerouting priority filter; policy accept;
		fib saddr oifname \"eth1\" counter packets 0 bytes 0
	}
}
",
        )
        .snapshot();
    let from_afar =
        r#"{"src":"2001:db8::7","sport":40000,"dst":"fd03::10","dport":80,"iif":"eth0"}"#;
    check(
        &s,
        from_afar,
        &["forwarded no=t/in/1 p=1/2", "forwarded hit=t/in/1 p=1/2"],
    );
}

/// nft 1.0.6 has lost the type of a port where the protocol is not one alone.
#[test]
fn numbers_without_a_type_are_numbers() {
    let rules = [
        "meta l4proto { tcp, udp } ct original proto-dst 0x50 [invalid type] counter packets 0 bytes 0",
        "meta l4proto { tcp, udp } ct original proto-dst { 0x35 [invalid type], 0x50 [invalid type] } counter packets 0 bytes 0",
        "meta l4proto { tcp, udp } ct original proto-src != 0x1 [invalid type]-0x3ff [invalid type] counter packets 0 bytes 0",
        "meta l4proto { tcp, udp } ct original proto-dst { 0x35 [invalid type], 0x51 [invalid type]-0x60 [invalid type] } counter packets 0 bytes 0",
    ];
    let mut listing = String::from(
        "table ip t {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy accept;\n",
    );
    for r in rules {
        listing += &format!("\t\t{r}\n");
    }
    let s = node(&(listing + "\t}\n}\n"));
    assert_eq!(warnings(&s), Vec::<String>::new());
    check(
        &s,
        THROUGH,
        &["forwarded hit=t/c/1 hit=t/c/2 hit=t/c/3 no=t/c/4"],
    );
}

/// `nft_counter_eval` runs where it stands.
#[test]
fn what_fails_behind_the_counter_has_been_counted() {
    let s = node(
        "\
table ip t {
	chain c {
		type filter hook forward priority filter; policy accept;
		counter packets 0 bytes 0 tcp dport 81 drop
		tcp dport 81 counter packets 0 bytes 0 drop
		counter packets 0 bytes 0 tcp dport vmap { 81 : drop }
	}
}
",
    );
    let end = "forwarded hit=t/c/1 no=t/c/2 hit=t/c/3";
    check(&s, THROUGH, &[end]);
}

/// `nft_notrack_eval`: a packet that conntrack found INVALID has no connection, and becomes untracked.
#[test]
fn notrack_behind_conntrack_is_for_invalid_packets() {
    let s = node(
        "\
table ip t {
	chain late {
		type filter hook prerouting priority filter; policy accept;
		notrack
	}

	chain c {
		type filter hook forward priority filter; policy accept;
		ct state invalid counter packets 0 bytes 0 drop
		ct state untracked counter packets 0 bytes 0
		ct state new counter packets 0 bytes 0
	}
}
",
    );
    let rst = THROUGH.replacen('{', r#"{"flags":["rst","ack"],"#, 1);
    check(&s, &rst, &["forwarded hit=t/c/2 no=t/c/3"]);
    check(&s, THROUGH, &["forwarded no=t/c/2 hit=t/c/3"]);
}

/// `nft_ct_set_zone_eval` (`net/netfilter/nft_ct.c`) asks whether the packet has a connection, not whether raw made it untracked, and hangs a
/// template on it, with which conntrack takes it. iptables' `CT` leaves it untracked (`xt_ct_target`).
#[test]
fn a_conntrack_zone_has_an_untracked_packet_tracked_after_all() {
    let chains = |zone: &str| {
        format!(
            "\
table ip t {{
	chain early {{
		type filter hook prerouting priority raw; policy accept;
		notrack
		{zone}
	}}

	chain later {{
		type filter hook forward priority filter; policy accept;
		ct state untracked counter packets 0 bytes 0
		ct mark 0x0 counter packets 0 bytes 0
	}}
}}
"
        )
    };
    let s = node(&chains("ct zone set 7"));
    check(&s, THROUGH, &["forwarded no=t/later/1 hit=t/later/2"]);
    let s = node(&chains("counter packets 0 bytes 0"));
    check(&s, THROUGH, &["forwarded hit=t/later/1 no=t/later/2"]);
}

/// A prefix with bits beyond its length is how nft lists `ip daddr & 255.0.0.0 == 10.3.0.10`.
#[test]
fn a_prefix_with_bits_beyond_its_length_never_fits() {
    let s = node(
        "\
table ip t {
	chain c {
		type filter hook forward priority filter; policy accept;
		ip daddr 10.3.0.10/8 counter packets 0 bytes 0
		ip daddr 10.3.0.0/16 counter packets 0 bytes 0
		ip daddr != 10.3.0.10/8 counter packets 0 bytes 0
	}
}
",
    );
    check(&s, THROUGH, &["forwarded no=t/c/1 hit=t/c/2 hit=t/c/3"]);
}

/// What `CT` in raw or `ct zone set` hangs on a packet is NEW and no connection: nothing else of it can be read before conntrack
/// (`nf_ct_is_template` in `nft_ct_get_eval`).
#[test]
fn a_template_has_no_mark_to_compare() {
    let s = node(
        "\
table ip t {
	chain early {
		type filter hook prerouting priority raw; policy accept;
		ct zone set 7
	}

	chain between {
		type filter hook prerouting priority -250; policy accept;
		ct state new counter packets 0 bytes 0
		ct mark 0x0 counter packets 0 bytes 0
		ct status != 0x1 counter packets 0 bytes 0
		ct protocol 0 counter packets 0 bytes 0
		ct zone 7 counter packets 0 bytes 0
	}

	chain later {
		type filter hook prerouting priority mangle; policy accept;
		ct mark 0x0 counter packets 0 bytes 0
		ct zone 7 counter packets 0 bytes 0
	}
}
",
    );
    let end = "forwarded hit=t/between/1 no=t/between/2 no=t/between/3 no=t/between/4 no=t/between/5 hit=t/later/1 hit=t/later/2";
    check(&s, THROUGH, &[end]);
}

/// nft up to 1.0.6 sends two inequalities of neighbouring fields as one, and lists them as two (`stmt_reduce` in nftables `src/rule.c`).
#[test]
fn two_inequalities_side_by_side_may_be_one_in_the_kernel() {
    let chain = |rule: &str| {
        node(&format!(
            "\
table inet t {{
	chain c {{
		type filter hook forward priority filter; policy accept;
		{rule} counter packets 0 bytes 0
	}}
}}
"
        ))
    };
    // One of them holds: both ways.
    let s = chain("tcp sport != 40000 tcp dport != 81");
    check(
        &s,
        THROUGH,
        &["forwarded p=? hit=t/c/1", "forwarded p=? no=t/c/1"],
    );
    let s = chain("ip6 nexthdr != tcp ip6 hoplimit != 9");
    check(
        &s,
        THROUGH6,
        &["forwarded p=? hit=t/c/1", "forwarded p=? no=t/c/1"],
    );
    // Both or none: it is the same.
    let s = chain("tcp sport != 40001 tcp dport != 81");
    check(&s, THROUGH, &["forwarded sure=yes hit=t/c/1"]);
    let s = chain("tcp sport != 40000 tcp dport != 80");
    check(&s, THROUGH, &["forwarded sure=yes no=t/c/1"]);
    // Not side by side, or longer than nft takes together.
    let s = chain("ip saddr != 10.1.0.50 tcp dport != 81");
    check(&s, THROUGH, &["forwarded sure=yes no=t/c/1"]);
    let s = chain("ip saddr != 10.1.0.50 ip daddr != 10.3.0.99");
    check(&s, THROUGH, &["forwarded sure=yes no=t/c/1"]);
    // What comes behind them decides alone.
    let s = chain("tcp sport != 40000 tcp dport != 81 meta mark 1");
    check(&s, THROUGH, &["forwarded sure=yes no=t/c/1"]);
}

/// Only to link-local addresses the device is part of the question (`nft_fib6_flowi_init`); `::1` has the scope of one and is none.
#[test]
fn the_type_of_loopback_is_asked_without_a_device() {
    let s = node(
        "\
table ip6 t {
	chain there {
		type nat hook output priority -95; policy accept;
		redirect
	}

	chain behind {
		type filter hook output priority filter; policy accept;
		fib daddr . oif type != unreachable counter packets 0 bytes 0
	}
}
",
    );
    let out6 = OUT
        .replace("10.1.0.1", "fd01::1")
        .replace("10.3.0.10", "fd03::10");
    check(&s, &out6, &["local hit=t/behind/1"]);
}

/// The identifier of a ping takes the place of its ports (`nf_nat_l4proto_unique_tuple` in `net/netfilter/nf_nat_core.c`).
#[test]
fn a_ping_whose_identifier_is_drawn_is_translated_though_its_address_stays() {
    for (flags, seen) in [(" random", "hit"), ("", "no")] {
        let s = node(&format!(
            "\
table ip t {{
	chain nat {{
		type nat hook postrouting priority srcnat; policy accept;
		masquerade{flags}
	}}

	chain behind {{
		type filter hook postrouting priority 200; policy accept;
		ct status snat counter packets 0 bytes 0
	}}
}}
"
        ));
        let ping = r#"{"src":"10.3.0.1","dst":"10.3.0.10","proto":"icmp","origin":"local"}"#;
        check(&s, ping, &[&format!("forwarded {seen}=t/behind/1")]);
    }
}

/// Only what a socket of the node sends has a cgroup (`nft_meta_get_eval_cgroup`).
#[test]
fn what_passes_through_is_of_no_cgroup() {
    let s = node(
        "\
table inet t {
	chain on_the_way {
		type filter hook postrouting priority filter; policy accept;
		meta cgroup 5 counter packets 0 bytes 0
		meta cgroup != 5 counter packets 0 bytes 0
	}
}
",
    );
    let none = "forwarded sure=yes no=t/on_the_way/1 no=t/on_the_way/2";
    check(&s, THROUGH, &[none]);
    let either = [
        "forwarded hit=t/on_the_way/1 no=t/on_the_way/2",
        "forwarded no=t/on_the_way/1 hit=t/on_the_way/2",
    ];
    check(&s, OUT, &either);
}
