//! What conntrack knows of connections that IPVS has, and what IPVS knows without it.

use super::common::{Files, check, check_in, walk_one};
use super::{NEXT, ONE, TO_V, VIP, counted, node};

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

/// `ip_vs_conn_in_get`: an ACK that conntrack finds INVALID, as nobody has answered (`nf_conntrack_tcp_packet`), is of a connection
/// that IPVS knows. Without NAT nothing but the captured entry tells of it. What opened no such connection is the node's own.
#[test]
fn an_ack_before_any_answer_reaches_a_server_without_nat_by_the_table() {
    let entry = "tcp 6 119 SYN_SENT src=10.10.6.91 dst=172.19.100.2 sport=40000 dport=80 [UNREPLIED] src=172.19.100.2 dst=10.10.6.91 sport=80 dport=40000 mark=0 use=1\n";
    let invalid = "-A PREROUTING -m conntrack --ctstate INVALID\n";
    for method in ["Route", "Tunnel"] {
        let ends = |entry: &str, packet: &str, end: &str| {
            let services = format!("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 {method} 1");
            let s = node(VIP, &services)
                .table("mangle", invalid)
                .file("conntrack.txt", entry)
                .snapshot();
            check(&s, packet, &[&format!("{end} hit=mangle/PREROUTING/1")]);
        };
        ends(entry, NEXT, "forwarded out=cali1 dst=172.19.100.2:80");
        // Its source was masqueraded on its way out.
        let masqueraded = entry.replace(
            "dst=10.10.6.91 sport=80 dport=40000",
            "dst=10.10.4.142 sport=80 dport=57398",
        );
        ends(&masqueraded, NEXT, "forwarded out=cali1");
        // What opened none is not IPVS's, nor is what NAT has sent elsewhere.
        let reset = NEXT.replace("40000", "40001").replace("ack", "rst");
        ends(entry, &reset, "local");
        let elsewhere = entry.replace("src=172.19.100.2", "src=10.233.98.40");
        ends(&elsewhere, NEXT, "local");
    }
}

/// `__nf_conntrack_find_get`: what the node itself sends to another node by a tunnel makes a connection, of which that node's own
/// packets are answers: ESTABLISHED, and none for nat rules, though a rule may drop every one of them.
#[test]
fn what_another_node_wraps_answers_what_this_node_wrapped() {
    let sent = "unknown 4 581 src=10.10.4.142 dst=10.10.4.141 [UNREPLIED] src=10.10.4.141 dst=10.10.4.142 mark=0 use=1\n";
    let outer = r#"{"src":"10.10.4.141","dst":"10.10.4.142","proto":"ipencap","iif":"ens4"}"#;
    for (table, ends) in [
        (sent, "hit=mangle/PREROUTING/1 no=nat/PREROUTING/1"),
        ("", "no=mangle/PREROUTING/1 hit=nat/PREROUTING/1"),
    ] {
        let s = node(VIP, ONE)
            .table(
                "mangle",
                "-A PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED\n",
            )
            .table("nat", "-A PREROUTING -p ipencap\n")
            .table("filter", "-A INPUT -p ipencap -j DROP\n")
            .file("conntrack.txt", table)
            .snapshot();
        check(&s, outer, &[&format!("dropped {ends}")]);
    }
}
