//! Routes, devices and sockets that expressions ask for.

use super::{OUT, THROUGH, TO_ITSELF, node};
use crate::common::{Files, check};

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
