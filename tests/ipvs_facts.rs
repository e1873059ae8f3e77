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
    for (scheduler, refused) in [("sh", 0.25), ("dh", 0.5), ("rr", 0.0), ("mh", 0.0)] {
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
