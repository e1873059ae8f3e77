//! What real servers say.

use super::common::{Files, check, check_in, hits, walk_one};
use super::{NEXT, ONE, REPLY, TO_V, VIP, counted, node};
use nfwhy::node::Node;

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
