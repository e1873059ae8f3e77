//! IPVS as kube-proxy sets it up: every row was measured on Linux 6.1 and 6.12.

use crate::common::{check, check_in, walk_one};
use crate::{LATER, MARKING, POD, REMOTE, SETS, TO_V, devices, ipvs, passes};

/// What the pod answers to the masquerading node.
const ANSWER: &str = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.1.142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;

#[test]
fn ipvs_client_to_a_pod_here() {
    let s = ipvs(POD).snapshot();
    let first = walk_one(&s, TO_V, None);
    passes(
        &s,
        &first,
        &[
            "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security INPUT in=ens4 out=- C>V m=0x4000",
            "raw mangle filter security OUTPUT in=- out=cali1 C>B m=0x4000",
            "mangle nat POSTROUTING in=ens4 out=cali1 C>B m=0x4000",
        ],
    );
    check(
        &s,
        TO_V,
        &[
            "forwarded out=cali1 src=10.10.1.142:40000 dst=10.233.98.39:80 dnat_by=ipvs mark=0x0 masq=yes client=lost p=1",
        ],
    );
    let answered = walk_one(&s, ANSWER, first.conn.as_ref());
    let later = walk_one(&s, LATER, answered.conn.as_ref());
    passes(
        &s,
        &later,
        &[
            "raw mangle PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security INPUT in=ens4 out=- C>V m=0x0",
            "raw mangle filter security OUTPUT in=- out=cali1 C>B m=0x0",
            "mangle POSTROUTING in=ens4 out=cali1 C>B m=0x0",
        ],
    );
    check_in(
        &s,
        LATER,
        answered.conn.as_ref(),
        &[
            "forwarded out=cali1 src=10.10.1.142:40000 dst=10.233.98.39:80 mark=0x0 masq=no client=lost",
        ],
    );
}

#[test]
fn ipvs_the_reply_of_a_pod_here() {
    let s = ipvs(POD).snapshot();
    let first = walk_one(&s, TO_V, None);
    let o = walk_one(&s, ANSWER, first.conn.as_ref());
    passes(
        &s,
        &o,
        &[
            "raw mangle PREROUTING in=cali1 out=- B>M m=0x0",
            "mangle filter security FORWARD in=cali1 out=ens4 B>C m=0x0",
            "mangle POSTROUTING in=cali1 out=ens4 V>C m=0x0",
        ],
    );
    check_in(
        &s,
        ANSWER,
        first.conn.as_ref(),
        &["forwarded out=ens4 src=172.19.100.2:80 dst=10.10.6.91:40000"],
    );
}

#[test]
fn ipvs_client_to_a_pod_elsewhere_passes_the_tunnel_as_a_packet_of_its_own() {
    let s = ipvs(REMOTE).snapshot();
    let first = walk_one(&s, TO_V, None);
    passes(
        &s,
        &first,
        &[
            "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security INPUT in=ens4 out=- C>V m=0x4000",
            "raw mangle filter security OUTPUT in=- out=tunl0 C>R m=0x4000",
            "mangle nat POSTROUTING in=ens4 out=tunl0 C>R m=0x4000",
            "raw mangle filter security OUTPUT in=- out=ens4 N>10.10.4.141 m=0x0",
            "mangle POSTROUTING in=tunl0 out=ens4 N>10.10.4.141 m=0x0",
        ],
    );
    check(
        &s,
        TO_V,
        &[
            "forwarded out=tunl0 via=10.10.4.141 src=10.233.98.0:40000 dst=10.233.110.33:80 client=lost",
        ],
    );
    let reply = r#"{"src":"10.233.110.33","sport":80,"dst":"10.233.98.0","dport":40000,"iif":"tunl0","flags":["syn","ack"]}"#;
    let o = walk_one(&s, reply, first.conn.as_ref());
    passes(
        &s,
        &o,
        &[
            "raw mangle PREROUTING in=tunl0 out=- R>T m=0x0",
            "mangle filter security FORWARD in=tunl0 out=ens4 R>C m=0x0",
            "mangle POSTROUTING in=tunl0 out=ens4 V>C m=0x0",
        ],
    );
}

#[test]
fn a_mark_survives_the_tunnel() {
    let s = ipvs(REMOTE)
        .table(
            "mangle",
            "-A FORWARD -j MARK --set-xmark 0x10/0x10\n-A OUTPUT -j MARK --set-xmark 0x20/0x20",
        )
        .snapshot();
    let packet = r#"{"src":"10.233.98.39","dst":"10.233.110.33","dport":80,"iif":"cali1"}"#;
    passes(
        &s,
        &walk_one(&s, packet, None),
        &[
            "raw mangle nat PREROUTING in=cali1 out=- B>R m=0x0",
            "mangle FORWARD in=cali1 out=tunl0 B>R m=0x0",
            "filter security FORWARD in=cali1 out=tunl0 B>R m=0x10",
            "mangle nat POSTROUTING in=cali1 out=tunl0 B>R m=0x10",
            "raw mangle OUTPUT in=- out=ens4 N>10.10.4.141 m=0x10",
            "filter security OUTPUT in=- out=ens4 N>10.10.4.141 m=0x30",
            "mangle POSTROUTING in=tunl0 out=ens4 N>10.10.4.141 m=0x30",
        ],
    );
}

#[test]
fn ipvs_a_process_of_the_node_passes_output_twice_and_input_never() {
    let s = ipvs(POD).snapshot();
    let packet = r#"{"origin":"local","dst":"172.19.100.2","sport":40000,"dport":80}"#;
    let first = walk_one(&s, packet, None);
    passes(
        &s,
        &first,
        &[
            "raw mangle nat OUTPUT in=- out=lo V>V m=0x0",
            "raw mangle filter security OUTPUT in=- out=cali1 V>B m=0x4000",
            "mangle nat POSTROUTING in=- out=cali1 V>B m=0x4000",
        ],
    );
    check(
        &s,
        packet,
        &["forwarded out=cali1 src=10.10.1.142:40000 dst=10.233.98.39:80 snat_by=masquerade"],
    );
    let o = walk_one(&s, ANSWER, first.conn.as_ref());
    passes(
        &s,
        &o,
        &[
            "raw mangle PREROUTING in=cali1 out=- B>M m=0x0",
            "mangle filter security INPUT in=cali1 out=- B>V m=0x0",
        ],
    );
    check_in(
        &s,
        ANSWER,
        first.conn.as_ref(),
        &["local src=172.19.100.2:80 dst=172.19.100.2:40000"],
    );
}

#[test]
fn ipvs_a_pod_to_the_load_balancer_is_as_a_client() {
    let s = ipvs(REMOTE).snapshot();
    let packet = r#"{"src":"10.233.98.39","dst":"172.19.100.2","dport":80,"iif":"cali1"}"#;
    passes(
        &s,
        &walk_one(&s, packet, None),
        &[
            "raw mangle nat PREROUTING in=cali1 out=- B>V m=0x0",
            "mangle filter security INPUT in=cali1 out=- B>V m=0x4000",
            "raw mangle filter security OUTPUT in=- out=tunl0 B>R m=0x4000",
            "mangle nat POSTROUTING in=cali1 out=tunl0 B>R m=0x4000",
            "raw mangle filter security OUTPUT in=- out=ens4 N>10.10.4.141 m=0x0",
            "mangle POSTROUTING in=tunl0 out=ens4 N>10.10.4.141 m=0x0",
        ],
    );
    check(
        &s,
        packet,
        &["forwarded out=tunl0 src=10.233.98.0 masq=yes"],
    );
}

#[test]
fn ipvs_a_pod_to_itself_by_the_load_balancer_keeps_its_mark() {
    check(
        &ipvs(POD).snapshot(),
        r#"{"src":"10.233.98.39","dst":"172.19.100.2","dport":80,"iif":"cali1"}"#,
        &[
            "forwarded out=cali1 src=10.10.1.142 mark=0x4000 hit=nat/KUBE-POSTROUTING/1 no=nat/KUBE-POSTROUTING/3",
        ],
    );
}

#[test]
fn ipvs_a_pod_to_a_cluster_ip_is_not_marked() {
    let packet = r#"{"src":"10.233.98.39","dst":"10.96.0.10","dport":80,"iif":"cali1"}"#;
    check(
        &ipvs(REMOTE).snapshot(),
        packet,
        &["forwarded out=tunl0 src=10.233.98.39 dst=10.233.110.33:80 client=kept masq=no mark=0x0"],
    );
    // Itself as the real server: the hairpin rule decides, without the mark.
    check(
        &ipvs(POD).snapshot(),
        packet,
        &[
            "forwarded out=cali1 src=10.10.1.142 client=lost masq=no mark=0x0 hit=nat/KUBE-POSTROUTING/1",
        ],
    );
    // Another pod of this node to it: neither.
    check(
        &ipvs(POD).snapshot(),
        r#"{"src":"10.233.98.40","dst":"10.96.0.10","dport":80,"iif":"cali2"}"#,
        &["forwarded out=cali1 src=10.233.98.40 client=kept masq=no"],
    );
}

#[test]
fn ipvs_to_an_address_of_the_node_is_marked_but_not_masqueraded() {
    let s = ipvs("10.10.1.142:8080").snapshot();
    passes(
        &s,
        &walk_one(&s, TO_V, None),
        &[
            "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security INPUT in=ens4 out=- C>V m=0x4000",
            "nat INPUT in=ens4 out=- C>M m=0x4000",
        ],
    );
    check(
        &s,
        TO_V,
        &[
            "local src=10.10.6.91:40000 dst=10.10.1.142:8080 client=kept masq=yes snat=- mark=0x4000",
        ],
    );
}

#[test]
fn ipvs_without_conntrack_masquerades_nothing_and_runs_nat_on_every_packet() {
    let s = ipvs(POD).sysctl("net.ipv4.vs.conntrack = 0").snapshot();
    let ways = [
        "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
        "mangle filter security INPUT in=ens4 out=- C>V m=0x4000",
        "raw mangle filter security OUTPUT in=- out=cali1 C>B m=0x4000",
        "mangle POSTROUTING in=ens4 out=cali1 C>B m=0x4000",
    ];
    let first = walk_one(&s, TO_V, None);
    passes(&s, &first, &ways);
    check(
        &s,
        TO_V,
        &[
            "forwarded out=cali1 src=10.10.6.91:40000 dst=10.233.98.39:80 client=kept masq=yes snat=- mark=0x4000",
        ],
    );
    passes(&s, &walk_one(&s, LATER, first.conn.as_ref()), &ways);
    let reply = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.6.91","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    passes(
        &s,
        &walk_one(&s, reply, first.conn.as_ref()),
        &[
            "raw mangle PREROUTING in=cali1 out=- B>C m=0x0",
            "mangle filter security FORWARD in=cali1 out=ens4 B>C m=0x0",
            "mangle POSTROUTING in=cali1 out=ens4 V>C m=0x0",
        ],
    );
}

#[test]
fn ipvs_without_a_server_answers_before_nat_input() {
    for servers in [
        "",
        "\n-> 10.233.98.39:80 Masq 0\n-> 10.233.110.33:80 Masq 0",
    ] {
        let s = devices("kube-ipvs0 down kind=dummy 172.19.100.2/32")
            .table("nat", MARKING)
            .ipset(SETS)
            .ipvs(&format!("TCP 172.19.100.2:80 rr{servers}"))
            .snapshot();
        passes(
            &s,
            &walk_one(&s, TO_V, None),
            &[
                "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
                "mangle filter security INPUT in=ens4 out=- C>V m=0x4000",
            ],
        );
        check(&s, TO_V, &["rejected why=no-real-server dnat=- client=-"]);
    }
}

#[test]
fn ipvs_answers_for_a_server_that_no_route_leads_to() {
    let s = ipvs("10.99.0.1:80")
        .route("unreachable 10.99.0.0/16")
        .snapshot();
    check(&s, TO_V, &["rejected why=real-server-unreachable"]);
}

#[test]
fn ipvs_without_forwarding_the_request_leaves_and_the_reply_does_not() {
    let s = ipvs(POD)
        .sysctl("net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.forwarding = 0")
        .snapshot();
    let first = walk_one(&s, TO_V, None);
    check(&s, TO_V, &["forwarded out=cali1 src=10.10.1.142"]);
    let reply = r#"{"src":"10.233.98.39","sport":80,"dst":"10.10.1.142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    check_in(
        &s,
        reply,
        first.conn.as_ref(),
        &["dropped why=forwarding-off"],
    );
}

#[test]
fn ipvs_drops_a_loopback_source_silently() {
    let node_port = "TCP 10.10.1.142:30080 rr\n-> 10.233.98.39:80 Masq 1";
    let s = devices("kube-ipvs0 down kind=dummy")
        .table("nat", MARKING)
        .ipset(SETS)
        .ipvs(node_port)
        .snapshot();
    check(
        &s,
        r#"{"origin":"local","src":"127.0.0.1","dst":"10.10.1.142","dport":30080}"#,
        &["dropped why=ipvs-loopback"],
    );
    check(
        &s,
        r#"{"origin":"local","dst":"10.10.1.142","dport":30080}"#,
        &["forwarded out=cali1 dst=10.233.98.39:80"],
    );
}

#[test]
fn ipvs_a_virtual_address_on_no_device_is_forwarded_past_but_not_from_the_node() {
    let s = devices("kube-ipvs0 down kind=dummy")
        .table("nat", MARKING)
        .ipset(SETS)
        .ipvs("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 Masq 1")
        .snapshot();
    check(&s, TO_V, &["forwarded out=ens4 dst=172.19.100.2:80 dnat=-"]);
    let local = r#"{"origin":"local","dst":"172.19.100.2","dport":80}"#;
    passes(
        &s,
        &walk_one(&s, local, None),
        &[
            "raw mangle nat OUTPUT in=- out=ens4 N>V m=0x0",
            "raw mangle filter security OUTPUT in=- out=cali1 N>B m=0x4000",
            "mangle nat POSTROUTING in=- out=cali1 N>B m=0x4000",
        ],
    );
}

#[test]
fn ipvs_schedules_a_syn_ack_without_nat_and_leaves_a_lone_ack_to_tcp() {
    let s = ipvs(POD).snapshot();
    let syn_ack = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4","flags":["syn","ack"]}"#;
    passes(
        &s,
        &walk_one(&s, syn_ack, None),
        &[
            "raw mangle PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security INPUT in=ens4 out=- C>V m=0x0",
            "raw mangle filter security OUTPUT in=- out=cali1 C>B m=0x0",
            "mangle POSTROUTING in=ens4 out=cali1 C>B m=0x0",
        ],
    );
    check(
        &s,
        LATER,
        &["local src=10.10.6.91:40000 dst=172.19.100.2:80 dnat=-"],
    );
}

#[test]
fn ipvs_any_server_with_a_weight_is_chosen_and_weights_count_for_wrr() {
    let servers =
        "-> 10.233.98.39:80 Masq 3\n-> 10.233.110.33:80 Masq 1\n-> 10.233.98.40:80 Masq 0";
    let node = |scheduler: &str| {
        devices("kube-ipvs0 down kind=dummy 172.19.100.2/32")
            .table("nat", MARKING)
            .ipset(SETS)
            .ipvs(&format!("TCP 172.19.100.2:80 {scheduler}\n{servers}"))
            .snapshot()
    };
    check(
        &node("rr"),
        TO_V,
        &[
            "forwarded dst=10.233.98.39:80 p=1/2",
            "forwarded dst=10.233.110.33:80 p=1/2",
        ],
    );
    check(
        &node("wrr"),
        TO_V,
        &[
            "forwarded dst=10.233.98.39:80 p=3/4",
            "forwarded dst=10.233.110.33:80 p=1/4",
        ],
    );
}

/// `skb_scrub_packet`: what a tunnel device wraps is not IPVS's any more (always since Linux 6.14; before, between namespaces).
#[test]
fn the_outer_packet_of_a_tunnel_device_is_not_of_ipvs() {
    let s = ipvs(REMOTE)
        .table(
            "security",
            "-A OUTPUT -p ipencap\n-A OUTPUT -p ipencap -m ipvs --ipvs\n-A OUTPUT -p tcp -m ipvs --ipvs\n",
        )
        .snapshot();
    let end =
        "forwarded out=tunl0 hit=security/OUTPUT/2 no=security/OUTPUT/3 hit=security/OUTPUT/4";
    check(&s, TO_V, &[end]);
}
