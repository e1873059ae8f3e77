//! In which order chains of one priority run, and what NAT in them does.

use super::{THROUGH, node};
use crate::common::check;

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
