//! Fields, constants and how nft lists them.

use super::{THROUGH, THROUGH6, node};
use crate::common::{check, warnings};

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
