//! What happens to packets between nodes, fact by fact. Those of VXLAN were seen on a kernel by `tests/cluster_kernel.rs`.

use nfwhy::capture::Snapshot;
use nfwhy::capture::cluster::{Captures, Member};
use nfwhy::cluster::{Cluster, End, Entry, Journey, Memory};
use nfwhy::explain::{Code, Fate};
use nfwhy::sim::simulate;
use nfwhy::trace::{Outcome, Reason, Verdict};

/// A node: `n` is 1 or 2, `kind` that of its tunnel, `rules` an iptables-save.
fn node(n: u8, kind: &str, rules: &str) -> Vec<(&'static str, String)> {
    let other = 3 - n;
    let tunnel = match kind {
        "vxlan" => format!(
            "5: tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450\n    link/ether 02:00:00:00:00:0{n} brd ff:ff:ff:ff:ff:ff\n    vxlan id 7 local 10.0.0.{n} srcport 0 0 dstport 4789\n"
        ),
        "ipip" => "5: tun0@NONE: <NOARP,UP,LOWER_UP> mtu 1480\n    link/ipip 0.0.0.0 brd 0.0.0.0\n    ipip any remote any local any ttl inherit\n".to_owned(),
        other => format!("5: tun0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420\n    link/none\n    {other}\n"),
    };
    let links = format!(
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n\
         2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n    link/ether 02:00:00:00:01:0{n} brd ff:ff:ff:ff:ff:ff\n    inet 10.0.0.{n}/24 brd 10.0.0.255 scope global eth0\n\
         3: pod0@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450\n    link/ether ee:ee:ee:ee:ee:ee brd ff:ff:ff:ff:ff:ff\n    veth\n\
         {tunnel}    inet 10.9.{n}.0/32 scope global tun0\n"
    );
    let via = if kind == "vxlan" {
        format!("via 10.9.{other}.0 dev tun0 onlink")
    } else if kind == "ipip" {
        format!("via 10.0.0.{other} dev tun0 onlink")
    } else {
        "dev tun0 scope link".to_owned()
    };
    let routes = format!(
        "default via 10.0.0.254 dev eth0\n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.{n}\n10.9.{other}.0/24 {via}\n10.9.{n}.5 dev pod0 scope link\n\
         local 10.0.0.{n} dev eth0 table local proto kernel scope host src 10.0.0.{n}\nlocal 10.9.{n}.0 dev tun0 table local proto kernel scope host src 10.9.{n}.0\n\
         local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1\n"
    );
    let mut sysctl = "net.ipv4.ip_forward = 1\n".to_owned();
    for dev in ["all", "default", "lo", "eth0", "pod0", "tun0"] {
        sysctl +=
            &format!("net.ipv4.conf.{dev}.rp_filter = 0\nnet.ipv4.conf.{dev}.forwarding = 1\n");
    }
    vec![
        ("ip-addr.txt", links),
        ("ip-route.txt", routes),
        ("ip-rule.txt", "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n".to_owned()),
        ("sysctl.txt", sysctl),
        ("iptables-save.txt", rules.to_owned()),
    ]
}

const NOTHING: &str =
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

fn captures(kind: &str, rules: [&str; 2]) -> Captures {
    let mut all = Captures::default();
    for (n, rules) in [(1, rules[0]), (2, rules[1])] {
        let mut snapshot = Snapshot::default();
        for (name, text) in node(n, kind, rules) {
            snapshot.add(name.to_owned(), text.into_bytes());
        }
        all.members.push(Member {
            name: format!("node{n}"),
            within: None,
            snapshot,
        });
    }
    all
}

/// Follows a packet that starts at the first node.
fn follow<T>(
    captures: &Captures,
    packet: &str,
    then: impl FnOnce(&Cluster<'_>, &[Journey]) -> T,
) -> T {
    let cluster = Cluster::new(captures);
    let spec: nfwhy::cli::PacketSpec = serde_json::from_str(packet).expect("a packet");
    let packet = spec.resolve(&cluster.places[0].node).expect("resolved");
    let journeys = cluster.journeys(0, &packet).expect("followed");
    then(&cluster, &journeys)
}

/// From the first node's pod to the second's.
const POD_TO_POD: &str =
    r#"{"src":"10.9.1.5","dst":"10.9.2.5","proto":"tcp","sport":40000,"dport":80,"iif":"pod0"}"#;

fn last(j: &Journey) -> &Outcome {
    j.way.stop().and_then(|h| h.outcome()).expect("a hop")
}

#[test]
fn every_kind_of_tunnel_leads_to_the_other_pod_and_back() {
    for kind in ["vxlan", "ipip", "wireguard"] {
        let all = captures(kind, [NOTHING, NOTHING]);
        follow(&all, POD_TO_POD, |cluster, js| {
            assert_eq!(js.len(), 1, "{kind}");
            let hop = js[0].way.last().expect("a hop");
            assert_eq!(js[0].way.end, End::Pod, "{kind}");
            assert_eq!(cluster.name(hop.place), "node2", "{kind}");
            assert!(
                matches!(&hop.entry, Entry::Tunnel { kind: k, .. } if k == kind),
                "{kind}: {:?}",
                hop.entry
            );
            let back = js[0].back.as_ref().expect("an answer");
            assert_eq!(back.fate, Fate::Ok, "{kind}: {}", back.reason);
            let way = back.way.as_ref().expect("its way");
            assert_eq!(way.last().map(|h| cluster.name(h.place)), Some("node1"));
        });
    }
}

/// The mark that a rule gives the outer packet is still on what is unwrapped (`skb_scrub_packet`, net/core/skbuff.c).
#[test]
fn a_mark_on_the_outer_packet_stays_on_the_inner_one() {
    let rules = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -m udp --dport 4789 -j MARK --set-mark 0x7\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -m mark --mark 0x7 -j DROP\nCOMMIT\n";
    let all = captures("vxlan", [NOTHING, rules]);
    follow(&all, POD_TO_POD, |_, js| {
        assert_eq!(js[0].way.end, End::Stopped);
        let stop = js[0].way.stop().expect("a hop");
        assert!(!stop.outer && stop.trace.packet.mark == 7);
        assert_eq!(last(&js[0]).verdict, Verdict::Dropped);
    });
}

/// And the mark of a forwarded packet is on the outer one that its node makes.
#[test]
fn a_mark_on_the_inner_packet_is_on_the_outer_one() {
    let rules = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i pod0 -j MARK --set-mark 0x9\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -m udp --dport 4789 -m mark --mark 0x9 -j DROP\nCOMMIT\n";
    let all = captures("vxlan", [rules, NOTHING]);
    follow(&all, POD_TO_POD, |cluster, js| {
        assert_eq!(js[0].way.end, End::Stopped);
        let stop = js[0].way.stop().expect("a hop");
        assert!(stop.outer && cluster.name(stop.place) == "node1");
        assert!(matches!(last(&js[0]).reason, Reason::Rule(_)));
    });
}

/// VXLAN's source port is of each flow's own, and answers have another: an outer packet is never of an established connection.
#[test]
fn a_rule_for_established_connections_does_not_let_vxlan_pass() {
    let rules = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n";
    let all = captures("vxlan", [NOTHING, rules]);
    follow(&all, POD_TO_POD, |cluster, js| {
        let stop = js[0].way.stop().expect("a hop");
        assert!(stop.outer && cluster.name(stop.place) == "node2");
        assert!(matches!(last(&js[0]).reason, Reason::Policy { .. }));
    });
}

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

#[test]
fn a_random_rule_forks_the_outer_packet_alone() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -m udp --dport 4789 -m statistic --mode random --probability 0.25000000000 -j DROP\nCOMMIT\n";
    let all = captures("vxlan", [rules, NOTHING]);
    follow(&all, POD_TO_POD, |_, js| {
        let mut ends: Vec<(bool, Option<f64>)> = js
            .iter()
            .map(|j| (j.way.end == End::Pod, j.way.probability))
            .collect();
        ends.sort_by_key(|e| e.0);
        assert_eq!(ends, [(false, Some(0.25)), (true, Some(0.75))]);
    });
}

#[test]
fn an_outer_packet_that_is_sent_to_another_port_is_not_unwrapped() {
    let rules = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A OUTPUT -p udp -m udp --dport 4789 -j DNAT --to-destination :8080\nCOMMIT\n";
    let all = captures("vxlan", [rules, NOTHING]);
    follow(&all, POD_TO_POD, |_, js| {
        assert!(
            matches!(js[0].way.end, End::Unknown(_)),
            "{:?}",
            js[0].way.end
        );
    });
}

/// The second node's masquerade, not the first one's, takes the client's address away.
#[test]
fn the_second_nodes_masquerade_corrects_the_first_ones_answer() {
    let rules = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o pod0 -j MASQUERADE\nCOMMIT\n";
    let all = captures("ipip", [NOTHING, rules]);
    follow(&all, POD_TO_POD, |cluster, js| {
        let seen = js[0].delivered().expect("it arrives");
        assert_eq!(js[0].client_ip_kept(), Some(false));
        assert_eq!(seen.src, Some("10.0.0.2".parse().expect("an address")));
        assert_eq!(js[0].back.as_ref().map(|b| b.fate), Some(Fate::Ok));
        let first = simulate(
            &cluster.places[0].node,
            &js[0].way.hops[0].trace.packet.clone(),
        )
        .expect("simulated");
        let found = cluster.findings(0, &first, js);
        let (place, f) = found
            .iter()
            .find(|(_, f)| f.code == Code::ClientIpLost)
            .expect("it is said");
        assert_eq!(cluster.name(*place), "node2");
        assert!(f.title.starts_with("on node2: "), "{}", f.title);
    });
}

#[test]
fn the_second_nodes_drop_of_the_answer_is_told() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -i pod0 -j DROP\nCOMMIT\n";
    let all = captures("vxlan", [NOTHING, rules]);
    follow(&all, POD_TO_POD, |cluster, js| {
        let back = js[0].back.as_ref().expect("an answer");
        assert_eq!(back.fate, Fate::Dropped);
        let stop = back.way.as_ref().and_then(|w| w.stop()).expect("a hop");
        assert_eq!(cluster.name(stop.place), "node2");
    });
}

/// What conntrack knows of the outer flow decides whether nat rules are asked; its source port is a hash that the packet may bear since before it was
/// translated. Seen where an answer bounced at a node through the tunnel that it came by.
#[test]
fn a_second_outer_packet_to_the_same_node_is_not_said_to_be_a_new_flow() {
    let all = captures("vxlan", [NOTHING, NOTHING]);
    let cluster = Cluster::new(&all);
    let spec: nfwhy::cli::PacketSpec = serde_json::from_str(POD_TO_POD).expect("a packet");
    let packet = spec.resolve(&cluster.places[0].node).expect("resolved");
    let fresh = cluster.ways(0, &packet, &Memory::default()).expect("ways");
    assert!(fresh[0].assumed.is_empty() && fresh[0].probability == Some(1.0));
    let again = cluster.ways(0, &packet, &fresh[0].memory).expect("ways");
    assert!(!again[0].assumed.is_empty() && again[0].probability.is_none());
}

#[test]
fn a_pod_begins_at_its_node_and_an_address_at_who_has_it() {
    let all = captures("vxlan", [NOTHING, NOTHING]);
    let cluster = Cluster::new(&all);
    let ip = |t: &str| t.parse().expect("an address");
    assert_eq!(
        cluster.starts(Some(ip("10.9.2.5")), ip("10.9.1.5"), None),
        [1]
    );
    assert_eq!(
        cluster.starts(Some(ip("10.0.0.1")), ip("10.9.2.5"), None),
        [0]
    );
    assert_eq!(
        cluster.starts(Some(ip("192.0.2.1")), ip("10.0.0.2"), None),
        [1]
    );
    // Both could be asked for an address of nobody.
    assert_eq!(
        cluster.starts(Some(ip("192.0.2.1")), ip("10.0.0.99"), None),
        [0, 1]
    );
}

/// A pod's own namespace, with Calico's gateway that is nobody's address.
fn with_namespace(rules: &str) -> Captures {
    let mut all = captures("ipip", [NOTHING, NOTHING]);
    let mut snapshot = Snapshot::default();
    for (name, text) in [
        (
            "ip-addr.txt",
            "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n2: eth0@if3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450\n    link/ether 02:00:00:00:07:02 brd ff:ff:ff:ff:ff:ff\n    inet 10.9.2.5/32 scope global eth0\n",
        ),
        (
            "ip-route.txt",
            "default via 169.254.1.1 dev eth0\n169.254.1.1 dev eth0 scope link\nlocal 10.9.2.5 dev eth0 table local proto kernel scope host src 10.9.2.5\nlocal 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1\n",
        ),
        ("iptables-save.txt", rules),
    ] {
        snapshot.add(name.to_owned(), text.as_bytes().to_vec());
    }
    all.members.push(Member {
        name: "node2/web".to_owned(),
        within: Some(1),
        snapshot,
    });
    all
}

#[test]
fn a_pod_whose_namespace_was_captured_is_entered_and_answers_from_there() {
    follow(&with_namespace(NOTHING), POD_TO_POD, |cluster, js| {
        assert_eq!(js[0].way.end, End::Process);
        let names: Vec<&str> = js[0]
            .way
            .hops
            .iter()
            .filter(|h| !h.outer)
            .map(|h| cluster.name(h.place))
            .collect();
        assert_eq!(names, ["node1", "node2", "node2/web"]);
        let back = js[0].back.as_ref().expect("an answer");
        assert_eq!(back.fate, Fate::Ok, "{}", back.reason);
        let way = back.way.as_ref().expect("its way");
        let names: Vec<&str> = way
            .hops
            .iter()
            .filter(|h| !h.outer)
            .map(|h| cluster.name(h.place))
            .collect();
        assert_eq!(names, ["node2/web", "node2", "node1"]);
    });
}

#[test]
fn a_rule_in_the_pods_namespace_stops_the_packet() {
    let rules = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    follow(&with_namespace(rules), POD_TO_POD, |cluster, js| {
        assert_eq!(js[0].way.end, End::Stopped);
        let stop = js[0].way.stop().expect("a hop");
        assert_eq!(cluster.name(stop.place), "node2/web");
    });
}

/// Both nodes, of which the first has these entries and knows the next hop by its hardware address.
fn with_fdb(entries: &str) -> Captures {
    let mut all = captures("vxlan", [NOTHING, NOTHING]);
    let first = &mut all.members[0].snapshot;
    let neigh = "10.9.2.0 dev tun0 lladdr 02:00:00:00:00:02 PERMANENT\n";
    first.add("ip-neigh.txt".to_owned(), neigh.as_bytes().to_vec());
    first.add("fdb.txt".to_owned(), entries.as_bytes().to_vec());
    all
}

fn ends(all: &Captures) -> Vec<End> {
    follow(all, POD_TO_POD, |_, js| {
        js.iter().map(|j| j.way.end.clone()).collect()
    })
}

/// `vxlan_xmit` (`drivers/net/vxlan/vxlan_core.c`): `vxlan_find_mac` by the frame's destination.
#[test]
fn the_forwarding_database_says_to_whom_vxlan_sends() {
    let own = "02:00:00:00:00:02 dev tun0 dst 10.0.0.2 self permanent\n";
    assert_eq!(ends(&with_fdb(own)), [End::Pod]);
    // Another end, though the second node has the hardware address: it counts, and nobody has it.
    let other = "02:00:00:00:00:02 dev tun0 dst 10.0.0.7 self permanent\n";
    let list = ends(&with_fdb(other));
    assert!(
        matches!(&list[0], End::Unknown(why) if why.contains("10.0.0.7") && why.contains("forwarding database")),
        "{list:?}"
    );
    // Of another device, or of the bridge: not this one's.
    let else_where = "02:00:00:00:00:02 dev tun9 dst 10.0.0.7 self permanent\n02:00:00:00:00:02 dev tun0 master br0 permanent\n";
    assert_eq!(ends(&with_fdb(else_where)), [End::Pod]);
}

/// The outer destination is known with no other node captured.
#[test]
fn the_forwarding_database_names_the_other_end_without_its_capture() {
    let mut all = with_fdb("02:00:00:00:00:02 dev tun0 dst 10.0.0.2 self permanent\n");
    all.members.truncate(1);
    let list = ends(&all);
    assert!(
        matches!(&list[0], End::Unknown(why) if why.contains("goes to 10.0.0.2")),
        "{list:?}"
    );
}

/// `all_zeros_mac`: where the address has no entry, to each of those; without them the frame is dropped.
#[test]
fn an_address_without_an_entry_goes_by_that_of_all_zeros() {
    let zeros = "00:00:00:00:00:00 dev tun0 dst 10.0.0.2 self permanent\n";
    assert_eq!(ends(&with_fdb(zeros)), [End::Pod]);
    let flood = "00:00:00:00:00:00 dev tun0 dst 10.0.0.7 self permanent\n00:00:00:00:00:00 dev tun0 dst 10.0.0.2 self permanent\n";
    assert_eq!(ends(&with_fdb(flood)), [End::Pod]);
    let others = "00:00:00:00:00:00 dev tun0 dst 10.0.0.7 self permanent\n00:00:00:00:00:00 dev tun0 dst 10.0.0.8 self permanent\n";
    let list = ends(&with_fdb(others));
    assert!(
        matches!(&list[0], End::Unknown(why) if why.contains("sends to 2 other ends")),
        "{list:?}"
    );
    let none = "02:00:00:00:00:09 dev tun0 dst 10.0.0.2 self permanent\n";
    let list = ends(&with_fdb(none));
    assert!(
        matches!(&list[0], End::Unknown(why) if why.contains("the kernel drops the packet, unless it has learned one since")),
        "{list:?}"
    );
}
