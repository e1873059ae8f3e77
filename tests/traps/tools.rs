//! Rules that mean what the program that loaded them made of them.

use crate::common::check;
use crate::node;

/// iptables-nft 1.8.8 to 1.8.10 compares two inverted ports in one go: the rule fits unless both are as named. The text of the rule is
/// the same with every version.
#[test]
fn two_inverted_ports_are_one_comparison_in_some_releases_of_iptables_nft() {
    let rule = "-A FORWARD -p tcp -m tcp ! --sport 80 ! --dport 80 -j DROP";
    let to = |sport: u16, dport: u16| {
        format!(
            r#"{{"src":"10.1.0.7","sport":{sport},"dst":"10.2.0.7","dport":{dport},"iif":"eth0"}}"#
        )
    };
    let node = || node().table("filter", rule);
    for (files, one, both) in [
        (node().nft(), "dropped", "forwarded sure=yes"),
        (
            node().header("iptables-nft-save v1.8.11 (nf_tables)"),
            "forwarded sure=yes",
            "forwarded sure=yes",
        ),
        (node(), "forwarded sure=yes", "forwarded sure=yes"),
    ] {
        let s = files.snapshot();
        check(&s, &to(4000, 80), &[one]);
        check(&s, &to(80, 80), &[both]);
        check(&s, &to(4000, 81), &["dropped sure=yes"]);
    }
}
