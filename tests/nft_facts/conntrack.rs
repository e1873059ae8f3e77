//! What rules read and write of connections.

use super::{THROUGH, THROUGH6, node};
use crate::common::check;

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
