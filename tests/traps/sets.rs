//! Sets: what of a packet they look at.

use crate::common::check;
use crate::{IN, node};

#[test]
fn a_set_of_ports_alone_knows_tcp_and_udp_only() {
    // `ip_set_get_ip_port` says no to all others, whatever their ports.
    let s = node()
        .ipset("create PORTS bitmap:port range 0-65535\nadd PORTS 0-65535\n")
        .table("filter", "-A FORWARD -m set --match-set PORTS dst -j DROP")
        .snapshot();
    check(&s, IN, &["dropped why=filter/FORWARD/1"]);
    check(
        &s,
        &IN.replace('}', r#","proto":"sctp"}"#),
        &["forwarded no=filter/FORWARD/1"],
    );
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","iif":"eth0"}"#,
        &["forwarded no=filter/FORWARD/1"],
    );
}

#[test]
fn a_port_that_nat_draws_is_looked_up_as_the_port_it_is() {
    // The destination port is open, not the source port.
    let s = node()
        .ipset("create PORTS bitmap:port range 0-65535\nadd PORTS 8085\n")
        .table(
            "nat",
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.244.0.4:8080-8090 --random",
        )
        .table("filter", "-A FORWARD -m set --match-set PORTS dst -j DROP")
        .snapshot();
    check(&s, IN, &["dropped p=?", "forwarded p=?"]);
}

#[test]
fn a_member_of_a_bridge_port_is_none_of_the_device_of_that_name() {
    let s = node()
        .ipset(
            "create IFACES hash:net,iface family inet hashsize 1024 maxelem 65536\nadd IFACES 192.168.0.0/24,physdev:eth0\n",
        )
        .table("filter", "-A FORWARD -m set --match-set IFACES src,src -j DROP")
        .snapshot();
    check(&s, IN, &["forwarded no=filter/FORWARD/1"]);
    // Nor does it hide a wider network, as one of another device does.
    let wider = |member: &str| {
        let sets = format!(
            "create IFACES hash:net,iface family inet hashsize 1024 maxelem 65536\nadd IFACES 0.0.0.0/0,eth0\n\
             add IFACES 192.168.0.0/24,{member}\n"
        );
        let rule = "-A FORWARD -m set --match-set IFACES src,src -j DROP";
        node().ipset(&sets).table("filter", rule).snapshot()
    };
    check(
        &wider("physdev:eth0"),
        IN,
        &["dropped why=filter/FORWARD/1"],
    );
    check(&wider("cni0"), IN, &["forwarded no=filter/FORWARD/1"]);
}

#[test]
fn a_set_changed_by_a_rule_is_changed_for_the_rules_behind_it() {
    let s = node()
        .ipset("create IPS hash:ip family inet hashsize 1024 maxelem 65536\n")
        .table(
            "filter",
            "\
-A FORWARD -j SET --add-set IPS src
-A FORWARD -m set --match-set IPS src -j DROP
",
        )
        .snapshot();
    check(
        &s,
        IN,
        &["dropped why=filter/FORWARD/2 p=?", "forwarded p=?"],
    );
}
