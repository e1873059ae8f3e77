//! Statements that count: elements, limits, quotas.

use super::{THROUGH, node};
use crate::common::check;

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
