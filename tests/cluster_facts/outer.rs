//! Outer packets of tunnels.

use super::{NOTHING, POD_TO_POD, captures, follow, last};
use nfwhy::capture::cluster::Captures;
use nfwhy::cluster::{End, Entry};
use nfwhy::trace::{Reason, Verdict};

/// An IPIP device without a TTL of its own gives the outer packet the inner one's (`ip_tunnel_xmit`, `net/ipv4/ip_tunnel.c`). Found on Linux 6.1 by
/// `tests/cluster_kernel.rs`.
#[test]
fn ipips_outer_packet_has_the_ttl_of_the_inner_one_as_it_left() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p 4 -m ttl --ttl-eq 63 -j DROP\nCOMMIT\n";
    let all = captures("ipip", [NOTHING, rules]);
    follow(&all, POD_TO_POD, |cluster, js| {
        assert_eq!(js[0].way.end, End::Stopped);
        let stop = js[0].way.stop().expect("a hop");
        assert!(stop.outer && cluster.name(stop.place) == "node2");
    });
}

/// Nor has it the inner one's TOS (`ip_tunnel_xmit`): the device's own is 0 unless it inherits. Found likewise.
#[test]
fn ipips_outer_packet_has_not_the_tos_of_the_inner_one() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p 4 -m dscp --dscp 0x0a -j DROP\nCOMMIT\n";
    let all = captures("ipip", [rules, rules]);
    let packet = POD_TO_POD.replace("\"iif\"", "\"tos\":40,\"iif\"");
    follow(&all, &packet, |_, js| assert_eq!(js[0].way.end, End::Pod));
}

/// What the outer packet of a device is like, as a rule of the receiver sees it. All of these were seen on kernels by `tests/cluster_kernel.rs`.
#[test]
fn a_devices_own_tos_and_ttl_are_on_its_outer_packets() {
    // The inner packet leaves with TOS 0x28 and TTL 63.
    for (kind, proto, matches) in [
        ("ipip tos inherit", "-p 4", "-m dscp --dscp 0x0a"),
        ("ipip tos 0xb8", "-p 4", "-m dscp --dscp 0x2e"),
        ("ipip ttl 5", "-p 4", "-m ttl --ttl-eq 5"),
        ("ipip ttl inherit", "-p 4", "-m ttl --ttl-eq 63"),
        ("gre tos inherit", "-p 47", "-m dscp --dscp 0x0a"),
        ("gre", "-p 47", "-m length --length 64"),
        ("vxlan ttl auto", "-p 17", "-m ttl --ttl-eq 64"),
        ("vxlan ttl inherit", "-p 17", "-m ttl --ttl-eq 63"),
        (
            "vxlan tos inherit ttl 5",
            "-p 17",
            "-m dscp --dscp 0x0a -m ttl --ttl-eq 5",
        ),
        ("vxlan tos 0x10", "-p 17", "-m dscp --dscp 0x04"),
    ] {
        let rules = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT {proto} {matches} -j DROP\nCOMMIT\n"
        );
        let packet = POD_TO_POD.replace("\"iif\"", "\"tos\":40,\"ttl\":64,\"iif\"");
        for (rules, stopped) in [(rules.as_str(), true), (NOTHING, false)] {
            let all = captures(kind, [NOTHING, rules]);
            follow(&all, &packet, |_, js| {
                let stop = js[0].way.stop().expect("a hop");
                assert_eq!(js[0].way.end == End::Stopped, stopped, "{kind} {matches}");
                assert_eq!(stop.outer, stopped, "{kind} {matches}");
            });
        }
    }
}

/// A rule of the sender's node may change them, and the receiver's rules see that.
#[test]
fn an_outer_packet_comes_as_the_senders_rules_left_it() {
    for (kind, proto) in [("vxlan", "-p 17"), ("ipip", "-p 4")] {
        let sends = format!(
            "*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT {proto} -j TTL --ttl-set 9\nCOMMIT\n"
        );
        let gets = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {proto} -m ttl --ttl-eq 9 -j DROP\nCOMMIT\n"
        );
        let all = captures(kind, [&sends, &gets]);
        follow(&all, POD_TO_POD, |cluster, js| {
            let stop = js[0].way.stop().expect("a hop");
            assert_eq!(js[0].way.end, End::Stopped, "{kind}");
            assert!(stop.outer && cluster.name(stop.place) == "node2", "{kind}");
        });
    }
}

/// `INET_ECN_encapsulate` and `INET_ECN_decapsulate` (`include/net/inet_ecn.h`).
#[test]
fn congestion_that_the_outer_packet_met_is_told_to_the_inner_one() {
    let marks = |proto: &str, bits: u8| {
        format!(
            "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {proto} -j TOS --set-tos {bits:#04x}/0x03\nCOMMIT\n"
        )
    };
    for (kind, proto) in [("vxlan", "-p 17"), ("ipip", "-p 4"), ("gre", "-p 47")] {
        // What the rules set on the outer packet, the inner one's TOS before and after; `None`: dropped.
        for (bits, sent, got) in [
            (3, 40, None),
            (3, 41, Some(43)),
            (3, 42, Some(43)),
            (1, 42, Some(41)),
            (1, 40, Some(40)),
            (2, 41, Some(41)),
        ] {
            let all = captures(kind, [NOTHING, &marks(proto, bits)]);
            let packet = POD_TO_POD.replace("\"iif\"", &format!("\"tos\":{sent},\"iif\""));
            follow(&all, &packet, |_, js| {
                let (end, o) = (&js[0].way.end, last(&js[0]));
                if let Some(tos) = got {
                    assert_eq!((end, o.tos), (&End::Pod, tos), "{kind} {bits} {sent}");
                } else {
                    assert_eq!(end, &End::Stopped, "{kind} {bits} {sent}");
                    assert_eq!(js[0].verdict(), Verdict::Dropped);
                    assert!(matches!(o.reason, Reason::Martian { .. }));
                }
            });
        }
    }
}

/// A tunnel's flow between two nodes is one connection, whoever sent first. Found by `tests/cluster_kernel.rs`.
#[test]
fn who_opened_the_tunnels_flow_is_not_known() {
    for (matches, sides) in [
        ("--ctdir REPLY", 2),
        ("--ctstatus SEEN_REPLY", 1),
        ("--ctorigsrc 10.0.0.1", 2),
    ] {
        let rules = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p 4 -m conntrack {matches} -j DROP\nCOMMIT\n"
        );
        let all = captures("ipip", [&rules, NOTHING]);
        follow(&all, POD_TO_POD, |_, js| {
            assert_eq!(js.len(), sides, "{matches}");
            let stopped = js.iter().filter(|j| j.way.end == End::Stopped).count();
            assert_eq!(stopped, 1, "{matches}");
        });
    }
}

/// A captured entry tells who opened the tunnel's flow; the packet within is no answer for that.
#[test]
fn a_captured_flow_of_the_tunnel_is_not_the_packets_own() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p 4 -m conntrack --ctdir ORIGINAL -j DROP\nCOMMIT\n";
    let mut all = captures("ipip", [rules, NOTHING]);
    let flow = "unknown  4 595 src=10.0.0.2 dst=10.0.0.1 src=10.0.0.1 dst=10.0.0.2 mark=0 use=1\n";
    let snapshot = &mut all.members[0].snapshot;
    snapshot.add("conntrack.txt".to_owned(), flow.as_bytes().to_vec());
    follow(&all, POD_TO_POD, |_, js| {
        assert_eq!(js.len(), 1);
        assert_eq!(js[0].way.end, End::Pod);
        assert!(js[0].back.is_some(), "its answer is followed");
    });
}

/// The outer packet of an inner one of the other family passes the sender's OUTPUT, too.
#[test]
fn ipv6_in_ipv4_passes_the_hooks_of_ipv4() {
    let packet = r#"{"src":"fd09:1::5","dst":"fd09:2::5","proto":"tcp","sport":40000,"dport":80,"iif":"pod0"}"#;
    for (kind, proto) in [("sit", 41), ("gre", 47)] {
        let rules = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p {proto} -j DROP\nCOMMIT\n"
        );
        for (rules, end) in [(NOTHING, End::Pod), (rules.as_str(), End::Stopped)] {
            let all = captures(kind, [rules, NOTHING]);
            follow(&all, packet, |cluster, js| {
                assert_eq!(js[0].way.end, end, "{kind}");
                let outer: Vec<&str> = js[0]
                    .way
                    .hops
                    .iter()
                    .filter(|h| h.outer)
                    .map(|h| cluster.name(h.place))
                    .collect();
                let passed: &[&str] = if end == End::Pod {
                    &["node1", "node2"]
                } else {
                    &["node1"]
                };
                assert_eq!(outer, passed, "{kind}");
            });
        }
    }
}

/// `ip6_tnl_addr_conflict` (`net/ipv6/ip6_tunnel.c`). Found by `tests/cluster_kernel.rs`.
#[test]
fn what_comes_from_the_far_end_of_ip6tnl_does_not_go_into_it() {
    let all = captures("ip6tnl", [NOTHING, NOTHING]);
    for (src, dropped) in [("fd00::2", true), ("fd09:1::5", false)] {
        let packet = format!(
            r#"{{"src":"{src}","dst":"fd09:2::5","proto":"tcp","sport":40000,"dport":80,"iif":"pod0"}}"#
        );
        follow(&all, &packet, |_, js| {
            let first = js[0].way.hops[0].outcome().expect("an outcome");
            assert_eq!(first.verdict == Verdict::Dropped, dropped, "{src}");
        });
    }
}

/// A GRE device without a far end of its own sends to what the neighbour table has for a hardware address (`ipgre_header`, `net/ipv4/ip_gre.c`).
#[test]
fn gre_finds_its_far_end_among_the_neighbours() {
    let all = captures("nbma", [NOTHING, NOTHING]);
    follow(&all, POD_TO_POD, |cluster, js| {
        assert_eq!(js[0].way.end, End::Pod);
        let hop = js[0].way.last().expect("a hop");
        assert_eq!(cluster.name(hop.place), "node2");
        let far = Some("10.0.0.2".parse().expect("an address"));
        assert!(
            matches!(&hop.entry, Entry::Tunnel { kind, dst, .. } if kind == "gre" && *dst == far)
        );
    });
}

/// `WireGuard`'s outer packet is for peers that no capture names: the tunnel is named, and what it rests on.
#[test]
fn wireguard_is_named_and_no_more() {
    let all = captures("wireguard", [NOTHING, NOTHING]);
    follow(&all, POD_TO_POD, |_, js| {
        let way = &js[0].way;
        assert_eq!(way.end, End::Pod);
        assert!(way.hops.iter().all(|h| !h.outer));
        assert_eq!(
            way.assumed,
            [
                "tun0 leads to node2, which has 10.9.2.5; the wireguard packet around it is not followed"
            ]
        );
    });
    // A peer that was not captured.
    let alone = Captures {
        members: captures("wireguard", [NOTHING, NOTHING])
            .members
            .drain(..1)
            .collect(),
        ..Captures::default()
    };
    follow(&alone, POD_TO_POD, |_, js| {
        assert_eq!(
            js[0].way.end,
            End::Unknown("tun0 is of kind wireguard, and no other captured node with such a device has 10.9.2.5".to_owned())
        );
    });
}
