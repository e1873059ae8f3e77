//! What NAT makes of addresses and ports.

use crate::common::{check, check_in, walk_one};
use crate::{Files, IN, node};

fn dnat(to: &str) -> nfwhy::capture::Snapshot {
    node()
        .table(
            "nat",
            &format!("-A PREROUTING -p tcp -j DNAT --to-destination {to}"),
        )
        .snapshot()
}

fn snat(to: &str) -> nfwhy::capture::Snapshot {
    node()
        .table("nat", &format!("-A POSTROUTING -p tcp -j {to}"))
        .snapshot()
}

#[test]
fn destinations() {
    for (to, ends) in [
        (
            "10.244.0.7",
            &["forwarded dst=10.244.0.7:80 src=192.168.0.99:40000"][..],
        ),
        ("10.244.0.7:8080", &["forwarded dst=10.244.0.7:8080"]),
        (":8080", &["forwarded dst=10.244.0.4:8080"]),
        ("10.244.0.7:81-90", &["forwarded dst=10.244.0.7:*"]),
        ("10.244.0.7:8000-8100/0", &["forwarded dst=10.244.0.7:8080"]),
        (
            "10.244.0.7:8000-8100/70",
            &["forwarded dst=10.244.0.7:8010"],
        ),
        (
            "10.244.0.7:8000-8004/70",
            &["forwarded dst=10.244.0.7:8000"],
        ),
        (
            "10.244.0.7-10.244.0.9",
            &[
                "forwarded dst=10.244.0.7:80 p=1/3",
                "forwarded dst=10.244.0.8:80 p=1/3",
                "forwarded dst=10.244.0.9:80 p=1/3",
            ],
        ),
        // The destination in it does not keep its place, as a source would.
        (
            "10.244.0.4-10.244.0.5",
            &[
                "forwarded dst=10.244.0.4:80 p=1/2",
                "forwarded dst=10.244.0.5:80 p=1/2",
            ],
        ),
    ] {
        check(&dnat(to), IN, ends);
    }
    check(&dnat("10.0.0.0-10.255.255.255"), IN, &["unknown"]);
    // One address is no choice; of up to 256 all are followed.
    check(&dnat("10.244.0.7"), IN, &["forwarded sure=yes"]);
    let many = |hi: &str| crate::common::walk(&dnat(&format!("10.244.0.0-{hi}")), IN).len();
    assert_eq!(many("10.244.0.255"), 256);
    assert_eq!(many("10.244.1.0"), 1);
}

#[test]
fn sources() {
    for (to, ends) in [
        (
            "SNAT --to-source 10.244.0.1",
            &["forwarded src=10.244.0.1:40000 dst=10.244.0.4:80"][..],
        ),
        (
            "SNAT --to-source 10.244.0.1:7777",
            &["forwarded src=10.244.0.1:7777"],
        ),
        (
            "SNAT --to-source 10.244.0.1:39000-41000",
            &["forwarded src=10.244.0.1:40000"],
        ),
        (
            "SNAT --to-source 10.244.0.1:50000-51000",
            &["forwarded src=10.244.0.1:*"],
        ),
        (
            "SNAT --to-source 10.244.0.1 --random",
            &["forwarded src=10.244.0.1:*"],
        ),
        (
            "SNAT --to-source 10.244.0.1 --random-fully",
            &["forwarded src=10.244.0.1:*"],
        ),
        (
            "SNAT --to-source 192.168.0.99-192.168.0.100:50000-51000",
            &[
                "forwarded src=192.168.0.99:* p=1/2",
                "forwarded src=192.168.0.100:* p=1/2",
            ],
        ),
        ("MASQUERADE", &["forwarded src=10.244.0.1:40000"]),
        (
            "MASQUERADE --to-ports 50000-51000",
            &["forwarded src=10.244.0.1:*"],
        ),
        ("MASQUERADE --random", &["forwarded src=10.244.0.1:*"]),
        (
            "NETMAP --to 172.20.0.0/16",
            &["forwarded src=172.20.0.99:40000"],
        ),
    ] {
        check(&snat(to), IN, ends);
    }
}

#[test]
fn redirect_and_netmap_in_prerouting() {
    let rule = |to: &str| {
        node()
            .table("nat", &format!("-A PREROUTING -p tcp -j {to}"))
            .snapshot()
    };
    check(&rule("REDIRECT"), IN, &["local dst=192.168.0.10:80"]);
    check(
        &rule("REDIRECT --to-ports 8080"),
        IN,
        &["local dst=192.168.0.10:8080"],
    );
    check(
        &rule("REDIRECT --to-ports 70-90"),
        IN,
        &["local dst=192.168.0.10:80"],
    );
    check(
        &rule("NETMAP --to 10.244.0.16/28"),
        IN,
        &["forwarded dst=10.244.0.20:80"],
    );
    check(
        &rule("NETMAP --to 10.244.0.9/32"),
        IN,
        &["forwarded dst=10.244.0.9:80"],
    );
}

/// The answer gets the addresses back, whichever hook meets it.
#[test]
fn answers_are_translated_back() {
    let s = node()
        .table(
            "nat",
            "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.7:8080\n-A POSTROUTING -p tcp -j SNAT --to-source 10.244.0.1:7777\n",
        )
        .table(
            "filter",
            "-A FORWARD -s 10.244.0.7/32 -d 192.168.0.99/32\n-A FORWARD -s 192.168.0.99/32 -d 10.244.0.7/32\n",
        )
        .snapshot();
    let first = walk_one(&s, IN, None);
    let end = "forwarded src=10.244.0.1:7777 dst=10.244.0.7:8080 no=filter/FORWARD/1 hit=filter/FORWARD/2";
    check(&s, IN, &[end]);
    let answer = r#"{"src":"10.244.0.7","sport":8080,"dst":"10.244.0.1","dport":7777,"iif":"cni0","flags":["syn","ack"]}"#;
    let end = "forwarded out=eth0 src=10.244.0.4:80 dst=192.168.0.99:40000 hit=filter/FORWARD/1 no=filter/FORWARD/2";
    check_in(&s, answer, first.conn.as_ref(), &[end]);
    // Another packet to that address is no answer.
    let other = answer.replace("7777", "7778");
    check_in(
        &s,
        &other,
        first.conn.as_ref(),
        &["local dst=10.244.0.1:7778"],
    );
}

/// A packet that is INVALID or UNTRACKED meets no nat chain, and one manip is all there is of each kind.
#[test]
fn one_manip_of_each_kind() {
    let s = node()
        .table(
            "nat",
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.244.0.7\n-A PREROUTING -p tcp -j DNAT --to-destination 10.244.0.8\n",
        )
        .snapshot();
    check(&s, IN, &["forwarded dst=10.244.0.7:80 no=nat/PREROUTING/2"]);
    let reset = IN.replace('}', r#","flags":["rst"]}"#);
    check(
        &s,
        &reset,
        &["forwarded dst=10.244.0.4:80 no=nat/PREROUTING/1"],
    );
}

/// NETMAP keeps the bits behind the mask, of either family and manip.
#[test]
fn netmap_keeps_the_hosts_bits() {
    let s = crate::common::Files::new(&["eth0 2001:db8::1/64", "cni0 2001:db8:7::1/64"])
        .route("2001:db8:8::/48 dev cni0 metric 1024 pref medium")
        .table6("nat", "-A PREROUTING -d 2001:db8:5::/64 -j NETMAP --to 2001:db8:8:9::/64\n-A POSTROUTING -s 2001:db8::/64 -j NETMAP --to 2001:db8:f::/64\n")
        .snapshot();
    let packet =
        r#"{"src":"2001:db8::a:b","dst":"2001:db8:5::1:2","dport":80,"sport":40000,"iif":"eth0"}"#;
    check(
        &s,
        packet,
        &["forwarded src=[2001:db8:f::a:b]:40000 dst=[2001:db8:8:9::1:2]:80"],
    );
}

/// `nf_nat_l4proto_unique_tuple`: a port that NAT draws is of the same privilege as the one it replaces.
#[test]
fn drawn_ports_keep_their_privilege() {
    for (sport, lo, hi) in [
        (100u16, 1u16, 511u16),
        (700, 600, 1023),
        (40000, 1024, 65535),
    ] {
        let s = snat("SNAT --to-source 10.244.0.1 --random");
        let first = walk_one(&s, &IN.replace("40000", &sport.to_string()), None);
        let port = first.delivered.expect("delivered").sport;
        assert_eq!(port, nfwhy::trace::Port::Random { lo, hi }, "{sport}");
    }
}

/// `nf_nat_oif_changed`: the answer of MASQUERADE is of one device; the connection that leaves by another one is killed.
#[test]
fn a_masqueraded_connection_that_changes_its_device_is_over() {
    let s = Files::new(&[
        "eth0 192.168.0.10/24",
        "eth1 192.168.1.10/24",
        "cni0 10.244.0.1/24",
    ])
    .route("default via 192.168.0.1 dev eth0\n198.51.100.0/24 via 192.168.1.1 dev eth1 table 7")
    .rule("100: from all fwmark 0x1 lookup 7")
    .table(
        "mangle",
        "-A PREROUTING -i cni0 -m conntrack --ctstate ESTABLISHED -j MARK --set-xmark 0x1/0x1",
    )
    .table("nat", "-A POSTROUTING -j MASQUERADE")
    .snapshot();
    let packet = |flags: &str| {
        format!(
            r#"{{"src":"10.244.0.4","sport":40000,"dst":"198.51.100.7","dport":443,"iif":"cni0","flags":[{flags}]}}"#
        )
    };
    let answer = r#"{"src":"198.51.100.7","sport":443,"dst":"192.168.0.10","dport":40000,"iif":"eth0","flags":["syn","ack"]}"#;
    let first = walk_one(&s, &packet("\"syn\""), None);
    let second = walk_one(&s, answer, first.conn.as_ref());
    let third = walk_one(&s, &packet("\"ack\""), second.conn.as_ref());
    check_in(
        &s,
        &packet("\"ack\""),
        second.conn.as_ref(),
        &["dropped why=masquerade-elsewhere"],
    );
    assert_eq!(third.conn, None);
}

/// Linux 6.18 has no NAT for DCCP's ports (`l4proto_manip_pkt`).
#[test]
fn a_port_that_conntrack_does_not_know_stays() {
    let s = node()
        .table(
            "nat",
            "-A PREROUTING -p dccp -j DNAT --to-destination 10.244.0.7:8080",
        )
        .sysctl("net.netfilter.nf_conntrack_tcp_loose = 1")
        .snapshot();
    let packet = IN.replacen('{', r#"{"proto":"33","#, 1);
    check(&s, &packet, &["forwarded dst=10.244.0.7:80"]);
}
