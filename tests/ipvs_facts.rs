//! What IPVS does beyond kube-proxy's ordinary case. Each row was seen on Linux 6.1, by `tests/ipvs_kernel.rs`.

mod common;

use common::{Files, check, check_in, hits, walk, walk_one};
use nfwhy::node::Node;

const TO_V: &str =
    r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4"}"#;

fn node(vip: &str, services: &str) -> Files {
    Files::new(&[
        "ens4 10.10.4.142/24",
        &format!("kube-ipvs0 down kind=dummy {vip}"),
        "cali1",
        "cali2",
    ])
    .route(
        "default via 10.10.4.1 dev ens4
10.233.98.39 dev cali1 scope link
10.233.98.40 dev cali2 scope link",
    )
    .table(
        "nat",
        "-A POSTROUTING -p tcp\n-A POSTROUTING -p ipencap -j MASQUERADE\n",
    )
    .table("filter", "-A OUTPUT -p ipencap\n")
    .ipvs(services)
}

const VIP: &str = "172.19.100.2/32";

/// `ip_vs_sh_get` and `ip_vs_dh_schedule`: a place in the table that belongs to a server of weight 0 is a refusal.
#[test]
fn hashing_schedulers_refuse_who_meets_weight_0() {
    for (scheduler, refused) in [
        ("sh", 0.25),
        ("sh (sh-port)", 0.25),
        ("sh (sh-fallback)", 0.0),
        ("sh (flag-1)", 0.0),
        ("dh", 0.5),
        ("rr", 0.0),
        ("mh", 0.0),
    ] {
        let s = node(
            VIP,
            &format!(
                "TCP 172.19.100.2:80 {scheduler}\n-> 10.233.98.39:80 Masq 3\n-> 10.233.98.40:80 Masq 0"
            ),
        )
        .snapshot();
        let ends = walk(&s, TO_V);
        let share: f64 = ends
            .iter()
            .filter(|o| o.verdict.name() == "rejected")
            .filter_map(|o| o.probability)
            .sum();
        assert!((share - refused).abs() < 1e-9, "{scheduler}: {share}");
        let all: f64 = ends.iter().filter_map(|o| o.probability).sum();
        assert!((all - 1.0).abs() < 1e-9, "{scheduler}: {all}");
    }
}

/// `handle_response`: the reply of a connection that IPVS made without conntrack meets no nat chain either.
#[test]
fn replies_without_conntrack_meet_no_nat() {
    for conntrack in ["0", "1"] {
        let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Masq 1")
            .sysctl(&format!("net.ipv4.vs.conntrack = {conntrack}"))
            .snapshot();
        let first = walk_one(&s, TO_V, None);
        let reply = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.6.91","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
        let o = walk_one(&s, reply, first.conn.as_ref());
        let node = Node::new(&s);
        let met = hits(&node, &o)
            .iter()
            .any(|h| h.starts_with("nat/POSTROUTING"));
        assert!(!met, "vs.conntrack={conntrack}");
        check_in(
            &s,
            reply,
            first.conn.as_ref(),
            &["forwarded out=ens4 src=172.19.100.2:80 dst=10.10.6.91:40000"],
        );
        let later = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4","flags":["ack"]}"#;
        check_in(
            &s,
            later,
            o.conn.as_ref(),
            &["forwarded out=cali1 dst=10.233.98.39:80"],
        );
    }
}

/// `ip_vs_tunnel_xmit`: the outer packet has a connection of its own and passes OUTPUT and POSTROUTING, nat included.
#[test]
fn outer_packets_of_an_ipvs_tunnel_pass_the_hooks() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1").snapshot();
    let o = walk_one(&s, TO_V, None);
    assert_eq!(
        hits(&Node::new(&s), &o),
        ["filter/OUTPUT/1", "nat/POSTROUTING/2"]
    );
    check(
        &s,
        TO_V,
        &["forwarded out=ens4 src=10.10.6.91:40000 dst=172.19.100.2:80"],
    );
}

/// `crosses_local_route_boundary`: without NAT a packet on its way out cannot become one for the node itself.
#[test]
fn only_nat_turns_a_packet_on_its_way_out_back() {
    let local = r#"{"dst":"172.19.100.2","dport":80,"sport":40000,"origin":"local"}"#;
    let services = "TCP 172.19.100.2:80 rr\n-> 10.10.4.142:80 Route 1";
    check(&node("", services).snapshot(), local, &["dropped"]);
    check(&node(VIP, services).snapshot(), local, &["local"]);
}

/// `ip_vs_conn_in_get` goes before the reverse look-up: a client that is its own real server still asks.
#[test]
fn a_client_may_be_its_own_real_server() {
    let s = node(
        VIP,
        "TCP 172.19.100.2:0 rr persistent 300\n-> 10.10.6.91:0 Masq 1",
    )
    .sysctl("net.ipv4.vs.conntrack = 0")
    .snapshot();
    let first = walk_one(&s, TO_V, None);
    let later = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4","flags":["ack"]}"#;
    check_in(
        &s,
        later,
        first.conn.as_ref(),
        &["forwarded out=ens4 dst=10.10.6.91:80"],
    );
}

const REPLY: &str = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.6.91","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
const NEXT: &str = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4","flags":["ack"]}"#;
const ONE: &str = "TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Masq 1";

fn counted(s: &nfwhy::capture::Snapshot, o: &nfwhy::trace::Outcome, rules: &[&str]) -> Vec<bool> {
    let all = hits(&Node::new(s), o);
    rules.iter().map(|r| all.iter().any(|h| h == r)).collect()
}

/// `ip_vs_route_me_harder` in `handle_response`: a reply goes the way of packets from the virtual address.
#[test]
fn replies_leave_by_the_way_of_the_virtual_address() {
    for (reroute, out) in [("1", "ens3"), ("0", "ens4")] {
        let s = Files::new(&[
            "ens3 10.10.1.142/24",
            "ens4 10.10.4.142/24",
            "kube-ipvs0 down kind=dummy 172.19.100.2/32",
            "cali1",
        ])
        .route(
            "default via 10.10.4.1 dev ens4
10.233.98.39 dev cali1 scope link
default via 10.10.1.1 dev ens3 table 100",
        )
        .rule("100: from 172.19.100.2 lookup 100")
        .sysctl(&format!("net.ipv4.vs.snat_reroute = {reroute}"))
        .ipvs(ONE)
        .snapshot();
        let first = walk_one(&s, TO_V, None);
        check_in(
            &s,
            REPLY,
            first.conn.as_ref(),
            &[&format!("forwarded out={out} src=172.19.100.2:80")],
        );
    }
}

/// `ip_vs_conn_out_get`: an answer is from the real server and to the client, ports included.
#[test]
fn what_only_looks_like_a_reply_keeps_its_source() {
    let s = node(VIP, ONE).snapshot();
    let first = walk_one(&s, TO_V, None);
    let reply = REPLY.replace(r#""syn","ack""#, r#""syn""#);
    for (from, to, end) in [
        ("", "", "forwarded src=172.19.100.2:80 dst=10.10.6.91:40000"),
        ("40000", "40001", "forwarded src=10.233.98.39:80"),
        ("10.10.6.91", "10.10.6.92", "forwarded src=10.233.98.39:80"),
        (":80,", ":81,", "forwarded src=10.233.98.39:81"),
        (
            "10.233.98.39",
            "10.233.98.40",
            "forwarded src=10.233.98.40:80",
        ),
    ] {
        let packet = match from {
            "" => REPLY.to_owned(),
            from => reply.replace(from, to),
        };
        check_in(&s, &packet, first.conn.as_ref(), &[end]);
    }
}

/// What rules have translated to a real server is theirs: IPVS changes only what came to its own service and server.
#[test]
fn captured_connections_of_nat_are_not_of_ipvs() {
    let entry = "tcp 6 431999 ESTABLISHED src=10.10.6.91 dst=172.19.100.2 sport=40000 dport=80 src=10.233.98.39 dst=10.10.6.91 sport=80 dport=40000 [ASSURED] mark=0 use=1\n";
    for (from, to, by) in [
        ("", "", "ipvs"),
        ("172.19.100.2", "172.19.100.3", "conntrack"),
        ("dport=80 ", "dport=81 ", "conntrack"),
        ("sport=80 ", "sport=8080 ", "conntrack"),
        ("10.233.98.39", "10.233.98.40", "conntrack"),
    ] {
        let change = |text: &str| match from {
            "" => text.to_owned(),
            from => text.replace(from, to),
        };
        let s = node(VIP, ONE)
            .file("conntrack.txt", &change(entry))
            .snapshot();
        let packet = match from {
            "172.19.100.2" => NEXT.replace(from, to),
            "dport=80 " => NEXT.replace(":80,", ":81,"),
            _ => NEXT.to_owned(),
        };
        check(&s, &packet, &[&format!("forwarded dnat_by={by}")]);
    }
    // Of another protocol.
    let udp = "udp 17 100 src=10.10.6.91 dst=172.19.100.2 sport=40000 dport=80 src=10.233.98.39 dst=10.10.6.91 sport=80 dport=40000 [ASSURED] mark=0 use=1\n";
    let s = node(VIP, ONE).file("conntrack.txt", udp).snapshot();
    let packet = TO_V.replace('}', r#","proto":"udp"}"#);
    check(&s, &packet, &["forwarded dnat_by=conntrack"]);
    // A service by mark has any address, and one with port 0 any port.
    let any = entry
        .replace("172.19.100.2", "172.19.100.3")
        .replace(" dport=80 ", " dport=81 ");
    let any = any.replace("sport=80 ", "sport=81 ");
    let packet = NEXT
        .replace("172.19.100.2", "172.19.100.3")
        .replace(":80,", ":81,");
    for services in [
        "FWM 7 rr\n-> 10.233.98.39:0 Masq 1",
        "TCP 172.19.100.3:0 rr\n-> 10.233.98.39:0 Masq 1",
    ] {
        let s = node("172.19.100.3/32", services)
            .file("conntrack.txt", &any)
            .snapshot();
        check(&s, &packet, &["forwarded dnat_by=ipvs"]);
    }
}

/// `nf_nat_ipv4_local_fn` looks at the connection, whose destination IPVS has changed: the request is routed again with its mark.
/// `nf_nat_oif_changed`: the next packet has no mark, takes the other way, and is dropped.
#[test]
fn a_mark_routes_what_ipvs_sends_on_and_ends_the_connection() {
    let node = |conntrack: &str| {
        Files::new(&[
            "ens3 10.10.1.142/24",
            "ens4 10.10.4.142/24",
            "kube-ipvs0 down kind=dummy 172.19.100.2/32",
            "cali1",
        ])
        .route(
            "default via 10.10.4.1 dev ens4
10.233.98.39 dev cali1 scope link
default via 10.10.1.1 dev ens3 table 100",
        )
        .rule("100: from all fwmark 0x4000/0x4000 lookup 100")
        .table(
            "nat",
            "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n-A POSTROUTING -j MASQUERADE\n",
        )
        .sysctl(&format!("net.ipv4.vs.conntrack = {conntrack}"))
        .ipvs(ONE)
        .snapshot()
    };
    let s = node("1");
    let first = walk_one(&s, TO_V, None);
    check(
        &s,
        TO_V,
        &["forwarded out=ens3 src=10.10.1.142 dst=10.233.98.39:80"],
    );
    let reply = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.1.142","dport":40000,"iif":"ens3","flags":["syn","ack"]}"#;
    let second = walk_one(&s, reply, first.conn.as_ref());
    // No mark this time: the nat chain is for first packets.
    check_in(
        &s,
        NEXT,
        second.conn.as_ref(),
        &["dropped why=masquerade-elsewhere"],
    );
    // Without conntrack there is no connection to ask.
    check(
        &node("0"),
        TO_V,
        &["forwarded out=cali1 dst=10.233.98.39:80"],
    );
}

/// `ipvs_mt` asks `ip_vs_conn_out_get` for the packet turned round: it finds requests that carry the client's address still, those
/// of NAT by the real server and the others by the virtual address. Replies it never finds. `--ipvs` beside others says nothing.
#[test]
fn the_ipvs_match_finds_requests_before_masquerading() {
    let rules = "-A POSTROUTING -m ipvs --vaddr 172.19.100.2 --vdir ORIGINAL
-A POSTROUTING -m ipvs --ipvs --vport 80
-A POSTROUTING -m ipvs ! --vmethod MASQ
-A POSTROUTING -m ipvs ! --vportctl 443
-A POSTROUTING -m ipvs --ipvs
";
    let names = [1, 2, 3, 4, 5].map(|n| format!("mangle/POSTROUTING/{n}"));
    let names = names.each_ref().map(String::as_str);
    for (method, route) in [("Masq", false), ("Route", true)] {
        let s = node(
            VIP,
            &format!("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 {method} 1"),
        )
        .table("mangle", rules)
        .snapshot();
        let first = walk_one(&s, TO_V, None);
        assert_eq!(
            counted(&s, &first, &names),
            [true, true, route, true, true],
            "{method}"
        );
        if !route {
            let reply = walk_one(&s, REPLY, first.conn.as_ref());
            assert_eq!(
                counted(&s, &reply, &names),
                [false, false, false, false, true]
            );
        }
    }
}

/// `ip_vs_conn_hash` and `ip_vs_update_conntrack`: with one-packet scheduling each packet is scheduled, and the reply is nobody's.
#[test]
fn one_packet_scheduling_keeps_nothing() {
    let s = node(VIP, "")
        .file(
            "ipvsadm-save.txt",
            "-A -u 172.19.100.2:53 -s rr -o\n-a -u 172.19.100.2:53 -r 10.233.98.39:53 -m -w 1\n",
        )
        .snapshot();
    let ask = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":53,"proto":"udp","iif":"ens4"}"#;
    let first = walk_one(&s, ask, None);
    check(&s, ask, &["forwarded out=cali1 dst=10.233.98.39:53"]);
    assert!(
        first
            .conn
            .as_ref()
            .is_some_and(|c| c.ipvs.is_none() && !c.dst_nat)
    );
    check_in(
        &s,
        r#"{"src":"10.233.98.39","sport":53,"dst":"10.10.6.91","dport":40000,"proto":"udp","iif":"cali1"}"#,
        first.conn.as_ref(),
        &["forwarded out=ens4 src=10.233.98.39:53"],
    );
}

/// `ip_vs_out_hook` with `nat_icmp_send`: a real server of NAT that IPVS has not asked is answered.
#[test]
fn real_servers_that_speak_first_may_be_refused() {
    let speaks = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.6.91","dport":40000,"iif":"cali1","flags":["ack"]}"#;
    for (on, end) in [
        ("1", "rejected why=ipvs-not-asked"),
        ("0", "forwarded out=ens4"),
    ] {
        let s = node(VIP, ONE)
            .sysctl(&format!("net.ipv4.vs.nat_icmp_send = {on}"))
            .snapshot();
        check(&s, speaks, &[end]);
        // Another port, another address and another protocol are none of its.
        for other in [
            speaks.replace("80,", "81,"),
            speaks
                .replace("10.233.98.39", "10.233.98.40")
                .replace("cali1", "cali2"),
            speaks.replace('}', r#","proto":"udp"}"#),
        ] {
            check(&s, &other, &["forwarded out=ens4"]);
        }
    }
}

/// `ip_vs_notrack` takes a connection off; a packet that has none stays INVALID.
#[test]
fn replies_that_conntrack_does_not_know_stay_invalid() {
    let s = node(VIP, ONE)
        .table(
            "mangle",
            "-A POSTROUTING -m conntrack --ctstate INVALID\n-A POSTROUTING -m conntrack --ctstate UNTRACKED\n",
        )
        .sysctl("net.ipv4.vs.conntrack = 0")
        .snapshot();
    let both = ["mangle/POSTROUTING/1", "mangle/POSTROUTING/2"];
    let first = walk_one(&s, TO_V, None);
    assert_eq!(counted(&s, &first, &both), [false, true]);
    // SYN+ACK opens no connection in conntrack, and none of this one is known there.
    let reply = walk_one(&s, REPLY, first.conn.as_ref());
    assert_eq!(counted(&s, &reply, &both), [true, false]);
    check_in(
        &s,
        NEXT,
        reply.conn.as_ref(),
        &["forwarded out=cali1 dst=10.233.98.39:80"],
    );
}

/// `ip_vs_tunnel_xmit`: the outer packet keeps IPVS's flag, which a tunnel device would take off (`skb_scrub_packet`); nat rules
/// see the first one only.
#[test]
fn outer_packets_of_an_ipvs_tunnel_are_ipvs_and_meet_nat_once() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1")
        .table("raw", "-A OUTPUT -m ipvs --ipvs\n")
        .snapshot();
    let first = walk_one(&s, TO_V, None);
    let two = ["raw/OUTPUT/1", "nat/POSTROUTING/2"];
    assert_eq!(counted(&s, &first, &two), [true, true]);
    let next = walk_one(&s, NEXT, first.conn.as_ref());
    assert_eq!(counted(&s, &next, &two), [true, false]);
}

/// `ip_vs_conn_in_get` does not take an answer for a request. `ip_vs_conn_out_get` finds it by the virtual address, so that
/// `handle_response` has it, too: it is IPVS's, and without conntrack no connection's.
#[test]
fn answers_of_servers_without_nat_are_answers() {
    for conntrack in ["1", "0"] {
        let s = node("", "TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Route 1")
            .table(
                "mangle",
                "-A POSTROUTING -m ipvs --ipvs\n-A POSTROUTING -m conntrack --ctstate UNTRACKED\n",
            )
            .sysctl(&format!("net.ipv4.vs.conntrack = {conntrack}"))
            .snapshot();
        let ask = r#"{"dst":"172.19.100.2","dport":80,"sport":40000,"origin":"local"}"#;
        let first = walk_one(&s, ask, None);
        check(&s, ask, &["forwarded out=cali1 dst=172.19.100.2:80"]);
        check_in(
            &s,
            r#"{"src":"172.19.100.2","sport":80,"dst":"10.10.4.142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#,
            first.conn.as_ref(),
            &["local src=172.19.100.2:80 dst=10.10.4.142:40000"],
        );
    }
}

/// A captured entry that answers from a real server was changed by IPVS, not by NAT: later packets pass INPUT and OUTPUT. One to a
/// service without NAT does not tell the server.
#[test]
fn captured_connections_of_ipvs_are_its_own() {
    let entry = "tcp 6 431999 ESTABLISHED src=10.10.6.91 dst=172.19.100.2 sport=40000 dport=80 src=10.233.98.40 dst=10.10.6.91 sport=80 dport=40000 [ASSURED] mark=0 use=1\n";
    let nat = "TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Masq 1\n-> 10.233.98.40:80 Masq 1";
    let s = node(VIP, nat)
        .table("mangle", "-A INPUT\n-A OUTPUT\n")
        .file("conntrack.txt", entry)
        .snapshot();
    check(
        &s,
        NEXT,
        &["forwarded out=cali2 dst=10.233.98.40:80 dnat_by=ipvs p=1"],
    );
    let next = walk_one(&s, NEXT, None);
    let both = ["mangle/INPUT/1", "mangle/OUTPUT/1"];
    assert_eq!(counted(&s, &next, &both), [true, true]);
    check(
        &s,
        r#"{"src":"10.233.98.40","sport":80,"dst":"10.10.6.91","dport":40000,"iif":"cali2","flags":["ack"]}"#,
        &["forwarded out=ens4 src=172.19.100.2:80"],
    );
    let same = entry.replace("src=10.233.98.40", "src=172.19.100.2");
    let s = node(VIP, &nat.replace("Masq", "Route"))
        .file("conntrack.txt", &same)
        .snapshot();
    check(
        &s,
        NEXT,
        &[
            "forwarded out=cali1 dst=172.19.100.2:80 p=1/2",
            "forwarded out=cali2 dst=172.19.100.2:80 p=1/2",
        ],
    );
}

/// `ip_vs_conn_in_get`: IPVS has a table of its own, and sends on what conntrack finds INVALID (here an ACK before any answer).
/// `nf_conntrack_in` looks at it again in OUTPUT, where it opens a connection to the real server; the first connection has that
/// one's reply tuple already, so `get_unique_tuple` gives it another source port.
#[test]
fn an_ack_before_any_answer_reaches_the_server_from_another_port() {
    let s = node(VIP, ONE)
        .table(
            "mangle",
            "-A PREROUTING -m conntrack --ctstate INVALID\n-A OUTPUT -m conntrack --ctstate NEW\n",
        )
        .snapshot();
    let first = walk_one(&s, TO_V, None);
    let next = walk_one(&s, NEXT, first.conn.as_ref());
    let rules = [
        "mangle/PREROUTING/1",
        "mangle/OUTPUT/1",
        "nat/POSTROUTING/1",
    ];
    assert_eq!(counted(&s, &next, &rules), [true, true, true]);
    check_in(
        &s,
        NEXT,
        first.conn.as_ref(),
        &["forwarded out=cali1 src=10.10.6.91:* dst=10.233.98.39:80"],
    );
}

/// `ip_tunnel_xmit` routes the outer packet by the device's mark, not by the packet's.
#[test]
fn a_mark_does_not_route_the_packet_that_wraps() {
    let s = Files::new(&[
        "ens3 10.10.1.142/24",
        "ens4 10.10.4.142/24",
        "tunl0 kind=ipip 10.233.98.0/32",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
    ])
    .route(
        "default via 10.10.4.1 dev ens4
10.233.110.0/26 via 10.10.4.141 dev tunl0 proto bird onlink
default via 10.10.1.1 dev ens3 table 100
10.233.110.0/26 via 10.10.4.141 dev tunl0 onlink table 100",
    )
    .rule("100: from all fwmark 0x4000/0x4000 lookup 100")
    .table("nat", "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n")
    .table(
        "filter",
        "-A OUTPUT -o ens3 -p ipencap\n-A OUTPUT -o ens4 -p ipencap\n",
    )
    .ipvs("TCP 172.19.100.2:80 rr\n-> 10.233.110.33:80 Masq 1")
    .snapshot();
    let o = walk_one(&s, TO_V, None);
    assert_eq!(
        counted(&s, &o, &["filter/OUTPUT/1", "filter/OUTPUT/2"]),
        [false, true]
    );
}

/// `fib_info_update_nhc_saddr`: the outer packet's source is chosen for the scope of the route to the real server.
#[test]
fn the_outer_source_may_be_of_scope_link() {
    use nfwhy::trace::StepKind;
    let s = Files::new(&[
        "ens4 10.10.4.142/24",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
        "cali1 169.254.7.1/32,link",
    ])
    .route("default via 10.10.4.1 dev ens4\n10.233.98.39 dev cali1 scope link")
    .ipvs("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Tunnel 1")
    .snapshot();
    let o = walk_one(&s, TO_V, None);
    let source = o.steps.iter().find_map(|s| match s.kind {
        StepKind::Encapsulated { src, .. } => src,
        _ => None,
    });
    assert_eq!(source, Some([169, 254, 7, 1].into()));
}

/// `ip_vs_fo_schedule` and `ip_vs_ovf_schedule`: the heaviest server; ovf passes over who has more active connections than weight.
#[test]
fn fo_and_ovf_take_the_heaviest() {
    for (scheduler, active, chosen) in [
        ("fo", 0, "10.233.98.40"),
        ("fo", 9, "10.233.98.40"),
        ("ovf", 5, "10.233.98.40"),
        ("ovf", 6, "10.233.98.39"),
    ] {
        let s = node(VIP, "")
            .file(
                "ipvsadm.txt",
                &format!(
                    "IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  172.19.100.2:80 {scheduler}
  -> 10.233.98.39:80              Masq    2      0          0
  -> 10.233.98.40:80              Masq    5      {active}          0
"
                ),
            )
            .snapshot();
        check(&s, TO_V, &[&format!("forwarded dst={chosen}:80 p=1")]);
    }
}

/// `ip -6 rule` without an address in it and without a default table is told by the name of its file.
#[test]
fn ip_6_rules_are_told_by_the_file() {
    let s = Files::new(&["ens3 fd10:1::142/64", "ens4 fd10:4::142/64"])
        .route("default via fd10:4::1 dev ens4 metric 1024 pref medium\ndefault via fd10:1::1 dev ens3 table 100 metric 1024 pref medium")
        .without("ip-rule")
        .file(
            "ip-6-rule.txt",
            "0:\tfrom all lookup local\n100:\tfrom all iif lo lookup 100\n32766:\tfrom all lookup main\n",
        )
        .snapshot();
    check(
        &s,
        r#"{"dst":"fd72::1","dport":80,"origin":"local"}"#,
        &["forwarded out=ens3"],
    );
}

/// Without ipvsadm's output nobody knows what serves the addresses of kube-ipvs0, nor which node ports there are.
#[test]
fn services_that_were_not_captured_are_unknown_where_there_may_be_some() {
    let s = Files::new(&[
        "ens4 10.10.4.142/24",
        "kube-ipvs0 down kind=dummy 172.19.100.2/32",
        "cali1",
    ])
    .route("default via 10.10.4.1 dev ens4\n10.233.98.39 dev cali1 scope link")
    .snapshot();
    check(&s, TO_V, &["unknown p=?"]);
    let to = |dst: &str| TO_V.replace("172.19.100.2", dst);
    check(&s, &to("10.10.4.142"), &["local p=?", "unknown p=?"]);
    check(&s, &to("10.233.98.39"), &["forwarded p=1"]);
    let plain = Files::new(&["ens4 10.10.4.142/24"]).snapshot();
    check(&plain, &to("10.10.4.142"), &["local p=1"]);
}

/// `ip_vs_tunnel_xmit`: the outer packet leaves with the address that the way to the real server gives it.
#[test]
fn the_outer_packet_of_a_tunnel_has_an_address_of_its_way() {
    let s = node(VIP, "TCP 172.19.100.2:80 rr\n-> 10.10.4.143:80 Tunnel 1")
        .table(
            "raw",
            "-A OUTPUT -s 10.10.4.142/32 -d 10.10.4.143/32 -p ipencap\n-A OUTPUT ! -s 10.10.4.142/32 -p ipencap\n",
        )
        .snapshot();
    let end = "forwarded out=ens4 hit=raw/OUTPUT/1 no=raw/OUTPUT/2";
    check(&s, TO_V, &[end]);
}

/// `ipvs_mt`: each option, said and inverted, of a request on its way to its real server.
#[test]
fn the_ipvs_match_by_option() {
    let services = "TCP 172.19.100.2:80 rr persistent 300\n-> 10.233.98.39:80 Masq 1";
    for (matches, fits) in [
        ("--ipvs", true),
        ("! --ipvs", false),
        ("--vproto 6", true),
        ("--vproto 17", false),
        ("! --vproto 17", true),
        ("--vaddr 172.19.100.2", true),
        ("--vaddr 172.19.100.3", false),
        ("! --vaddr 172.19.100.0/24", false),
        ("--vport 80", true),
        ("--vport 81", false),
        ("! --vport 80", false),
        ("! --vport 81", true),
        ("--vdir ORIGINAL", true),
        ("--vdir REPLY", false),
        ("--vmethod MASQ", true),
        ("--vmethod GATE", false),
        ("! --vmethod MASQ", false),
        ("! --vmethod IPIP", true),
        ("--vportctl 80", true),
        ("--vportctl 81", false),
        ("! --vportctl 81", true),
        ("--vaddr 172.19.100.2 --vport 81", false),
        ("--vaddr 172.19.100.3 --vport 80", false),
        // Beside others the flag alone is not enough.
        ("--ipvs --vproto 6", true),
        ("--ipvs --vproto 17", false),
        ("--ipvs --vaddr 172.19.100.3", false),
        ("--ipvs --vport 81", false),
        ("--ipvs --vdir REPLY", false),
        ("--ipvs --vmethod GATE", false),
        ("--ipvs --vportctl 81", false),
    ] {
        let s = node(VIP, services)
            .table("mangle", &format!("-A POSTROUTING -m ipvs {matches}"))
            .snapshot();
        let key = if fits { "hit" } else { "no" };
        let end = format!("forwarded {key}=mangle/POSTROUTING/1");
        check(&s, TO_V, &[&end]);
    }
}

/// `ip_vs_tunnel_xmit_v6`: the outer packet is IPv6 in IPv6, 40 bytes longer, and has an address of its way.
#[test]
fn the_outer_packet_of_an_ipv6_tunnel() {
    let s = Files::new(&[
        "ens4 2001:db8:4::142/64 fe80::4/64,link",
        "kube-ipvs0 down kind=dummy 2001:db8:100::2/128,deprecated",
    ])
    .route("default via fe80::1 dev ens4 metric 1024 pref medium")
    .table6(
        "raw",
        "-A OUTPUT -s 2001:db8:4::142/128 -d 2001:db8:4::143/128 -p ipv6 -m length --length 100\n-A OUTPUT -p ipv6\n",
    )
    .ipvs("TCP [2001:db8:100::2]:80 rr\n-> [2001:db8:4::143]:80 Tunnel 1")
    .snapshot();
    let packet = r#"{"src":"2001:db8:6::91","sport":40000,"dst":"2001:db8:100::2","dport":80,"iif":"ens4","length":60}"#;
    check(
        &s,
        packet,
        &["forwarded out=ens4 hit=raw/OUTPUT/1 hit=raw/OUTPUT/2"],
    );
}

/// `ip_vs_update_conntrack` makes conntrack expect the real server's answers only where IPVS translates (`IP_VS_FWD_MASQ`); a server that is
/// reached by routing answers with the Service's address.
#[test]
fn conntrack_expects_answers_of_a_routed_server_from_the_service() {
    for (method, expected) in [("Masq", "10.233.98.39"), ("Route", "172.19.100.2")] {
        let s = node(
            VIP,
            &format!("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 {method} 1"),
        )
        .table(
            "mangle",
            &format!("-A POSTROUTING -m conntrack --ctreplsrc {expected}"),
        )
        .snapshot();
        check(&s, TO_V, &["forwarded hit=mangle/POSTROUTING/1"]);
    }
}

/// A client that is its own real server, asks from the Service's port and is masqueraded as the Service: both directions of its
/// connection are one tuple, and conntrack takes all segments for replies. The opener's are INVALID as such
/// (`tcp_in_window`), so IPVS's own OUTPUT begins another connection, whose port is taken by the first (`nf_nat_used_tuple`).
#[test]
fn who_is_answered_by_itself_gets_another_port() {
    let s = Files::new(&["kube-ipvs0 down kind=dummy 172.19.100.2/32", "cali1"])
        .route("10.233.98.39 dev cali1 scope link")
        .table(
            "nat",
            "-A POSTROUTING -s 10.233.98.39 -d 10.233.98.39 -j MASQUERADE\n",
        )
        .ipvs(ONE)
        .snapshot();
    let ask = |flags: &str| {
        format!(
            r#"{{"src":"10.233.98.39","sport":80,"dst":"172.19.100.2","dport":80,"iif":"cali1","flags":[{flags}]}}"#
        )
    };
    let first = walk_one(&s, &ask(r#""syn""#), None);
    let answer = ask(r#""syn","ack""#);
    check_in(
        &s,
        &answer,
        first.conn.as_ref(),
        &["forwarded out=cali1 src=172.19.100.2:80 dst=10.233.98.39:80"],
    );
    let second = walk_one(&s, &answer, first.conn.as_ref());
    check_in(
        &s,
        &ask(r#""ack""#),
        second.conn.as_ref(),
        &[
            "forwarded out=cali1 src=172.19.100.2:* dst=10.233.98.39:80",
            "forwarded out=cali1 src=172.19.100.2:80 dst=10.233.98.39:80",
        ],
    );
}

/// A server of a Service of all ports keeps the port that was asked for (`ip_vs_conn_fill_param` of a persistent service's packets).
#[test]
fn a_rule_that_asks_for_the_service_finds_connections_of_all_ports() {
    let s = node(
        VIP,
        "TCP 172.19.100.2:0 rr persistent 300\n-> 10.233.98.39:0 Masq 1",
    )
    .table(
        "mangle",
        "-A POSTROUTING -m ipvs --vaddr 172.19.100.2/32\n-A POSTROUTING -m ipvs --vaddr 172.19.100.3/32",
    )
    .snapshot();
    let hits = "forwarded hit=mangle/POSTROUTING/1 no=mangle/POSTROUTING/2";
    check(&s, TO_V, &[hits]);
}
