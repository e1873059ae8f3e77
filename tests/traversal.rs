//! The way of a packet: which chains of which hooks see it, and how it looks to them.
//!
//! The IPVS rows were measured on Linux 6.1 and 6.12, the others on 6.18: a rule without target stands first in every
//! built-in chain and counts. C is the client, V the virtual address, B the real server, M the masquerade address, N the node.

mod common;
#[path = "traversal/ipvs.rs"]
mod ipvs;

use common::{Files, check, check_in, check_passages, walk_one};
use nfwhy::capture::Snapshot;

const C: (&str, &str) = ("C", "10.10.6.91");
const V: (&str, &str) = ("V", "172.19.100.2");
const N: (&str, &str) = ("N", "10.10.4.142");
/// A pod of this node.
const B: (&str, &str) = ("B", "10.233.98.39");
/// A pod elsewhere, behind the tunnel.
const R: (&str, &str) = ("R", "10.233.110.33");
/// What MASQUERADE gives on the pod's device, which has no address.
const M: (&str, &str) = ("M", "10.10.1.142");
/// What it gives on the tunnel.
const T: (&str, &str) = ("T", "10.233.98.0");
const NAMES: [(&str, &str); 7] = [C, V, N, B, R, M, T];

const TO_V: &str =
    r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4"}"#;
const LATER: &str = r#"{"src":"10.10.6.91","sport":40000,"dst":"172.19.100.2","dport":80,"iif":"ens4","flags":["ack"]}"#;

/// kube-proxy's chains, as far as these services need them.
const MARKING: &str = "\
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES ! -s 10.233.64.0/18 -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE
";

const SETS: &str = "\
create KUBE-LOAD-BALANCER hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-LOAD-BALANCER 172.19.100.2,tcp:80
create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-CLUSTER-IP 10.96.0.10,tcp:80
create KUBE-LOOP-BACK hash:ip,port,ip family inet hashsize 1024 maxelem 65536
add KUBE-LOOP-BACK 10.233.98.39,tcp:80,10.233.98.39
add KUBE-LOOP-BACK 10.10.1.142,tcp:8080,10.10.1.142
";

fn devices(kube_ipvs0: &str) -> Files {
    Files::new(&[
        "ens3 10.10.1.142/24",
        "ens4 10.10.4.142/24",
        "tunl0 kind=ipip 10.233.98.0/32",
        kube_ipvs0,
        "cali1",
        "cali2",
    ])
    .route(
        "default via 10.10.4.1 dev ens4
10.233.98.39 dev cali1 scope link
10.233.98.40 dev cali2 scope link
10.233.110.0/26 via 10.10.4.141 dev tunl0 proto bird onlink",
    )
    .count_passages()
}

/// A node of an IPVS cluster where both services have this one real server.
fn ipvs(server: &str) -> Files {
    devices("kube-ipvs0 down kind=dummy 172.19.100.2/32 10.96.0.10/32")
        .table("nat", MARKING)
        .ipset(SETS)
        .ipvs(&format!(
            "TCP 172.19.100.2:80 rr\n-> {server} Masq 1\nTCP 10.96.0.10:80 rr\n-> {server} Masq 1"
        ))
}

const POD: &str = "10.233.98.39:80";
const REMOTE: &str = "10.233.110.33:80";

fn passes(s: &Snapshot, o: &nfwhy::trace::Outcome, expected: &[&str]) {
    check_passages(s, o, &NAMES, expected);
}

/// A node where iptables itself translates V to B.
fn iptables() -> Files {
    devices("dummy0 down kind=dummy").table(
        "nat",
        "\
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 172.19.100.2/32 -p tcp -m tcp --dport 80 -j KUBE-EXT-AAAAAAAAAAAAAAAA
-A KUBE-EXT-AAAAAAAAAAAAAAAA -j KUBE-MARK-MASQ
-A KUBE-EXT-AAAAAAAAAAAAAAAA -j KUBE-SEP-BBBBBBBBBBBBBBBB
-A KUBE-SEP-BBBBBBBBBBBBBBBB -p tcp -m tcp -j DNAT --to-destination 10.233.98.39:8080
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE
",
    )
}

#[test]
fn iptables_client_to_a_pod_and_back() {
    let s = iptables().snapshot();
    let first = walk_one(&s, TO_V, None);
    passes(
        &s,
        &first,
        &[
            "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security FORWARD in=ens4 out=cali1 C>B m=0x4000",
            "mangle nat POSTROUTING in=ens4 out=cali1 C>B m=0x4000",
        ],
    );
    check(
        &s,
        TO_V,
        &[
            "forwarded out=cali1 src=10.10.1.142:40000 dst=10.233.98.39:8080 mark=0x0 masq=yes sure=yes",
        ],
    );
    let reply = r#"{"src":"10.233.98.39","sport":8080,"dst":"10.10.1.142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    let answered = walk_one(&s, reply, first.conn.as_ref());
    passes(
        &s,
        &walk_one(&s, LATER, answered.conn.as_ref()),
        &[
            "raw mangle PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security FORWARD in=ens4 out=cali1 C>B m=0x0",
            "mangle POSTROUTING in=ens4 out=cali1 C>B m=0x0",
        ],
    );
    passes(
        &s,
        &answered,
        &[
            "raw mangle PREROUTING in=cali1 out=- B>M m=0x0",
            "mangle filter security FORWARD in=cali1 out=ens4 B>C m=0x0",
            // The virtual address comes back behind mangle.
            "mangle POSTROUTING in=cali1 out=ens4 B>C m=0x0",
        ],
    );
    check_in(
        &s,
        reply,
        first.conn.as_ref(),
        &["forwarded out=ens4 src=172.19.100.2:80 dst=10.10.6.91:40000"],
    );
}

#[test]
fn iptables_output_filters_see_the_device_of_before_the_translation() {
    let s = iptables().snapshot();
    let packet = r#"{"origin":"local","dst":"172.19.100.2","sport":40000,"dport":80}"#;
    let first = walk_one(&s, packet, None);
    passes(
        &s,
        &first,
        &[
            "raw mangle nat OUTPUT in=- out=ens4 N>V m=0x0",
            "filter security OUTPUT in=- out=ens4 N>B m=0x4000",
            "mangle nat POSTROUTING in=- out=cali1 N>B m=0x4000",
        ],
    );
    let reply = r#"{"src":"10.233.98.39","sport":8080,"dst":"10.10.1.142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    passes(
        &s,
        &walk_one(&s, reply, first.conn.as_ref()),
        &[
            "raw mangle PREROUTING in=cali1 out=- B>M m=0x0",
            "mangle filter security INPUT in=cali1 out=- B>N m=0x0",
        ],
    );
    check_in(
        &s,
        reply,
        first.conn.as_ref(),
        &["local src=172.19.100.2:80 dst=10.10.4.142:40000"],
    );
}

#[test]
fn a_packet_between_sockets_of_the_node_passes_four_hooks() {
    let s = iptables().snapshot();
    let packet = r#"{"origin":"local","dst":"10.10.4.142","sport":40000,"dport":22}"#;
    passes(
        &s,
        &walk_one(&s, packet, None),
        &[
            "raw mangle nat filter security OUTPUT in=- out=lo N>N m=0x0",
            "mangle nat POSTROUTING in=- out=lo N>N m=0x0",
            "raw mangle PREROUTING in=lo out=- N>N m=0x0",
            "mangle filter security INPUT in=lo out=- N>N m=0x0",
        ],
    );
}

#[test]
fn untracked_and_invalid_packets_meet_no_nat_chain() {
    let s = iptables()
        .table("raw", "-A PREROUTING -s 10.10.6.91/32 -j CT --notrack")
        .snapshot();
    let ways = [
        "raw mangle PREROUTING in=ens4 out=- C>V m=0x0",
        "mangle filter security FORWARD in=ens4 out=ens4 C>V m=0x0",
        "mangle POSTROUTING in=ens4 out=ens4 C>V m=0x0",
    ];
    passes(&s, &walk_one(&s, TO_V, None), &ways);
    let invalid =
        r#"{"src":"10.10.6.91","dst":"172.19.100.2","dport":80,"iif":"ens4","ct_state":"invalid"}"#;
    let s = iptables().snapshot();
    passes(&s, &walk_one(&s, invalid, None), &ways);
}

#[test]
fn legacy_and_nft_rules_both_run() {
    let drop = "\
# Generated by iptables-nft-save v1.8.9 (nf_tables) on Sun Nov  2 10:00:00 2025
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p tcp -m tcp --dport 8080 -j DROP
COMMIT
# Completed on Sun Nov  2 10:00:00 2025
";
    let s = iptables().file("iptables-nft-save.txt", drop).snapshot();
    check(
        &s,
        TO_V,
        &["dropped why=filter/FORWARD/1 hit=mangle/FORWARD/1 no=nat/POSTROUTING/1"],
    );
    let marked = walk_one(&s, TO_V, None);
    let backends: std::collections::BTreeSet<String> = {
        let node = nfwhy::node::Node::new(&s);
        marked
            .hits()
            .map(|h| format!("{:?}", node.netfilter.tables[h.table].backend))
            .collect()
    };
    assert_eq!(backends.len(), 2, "{backends:?}");
}

/// `nf_hook_entries_grow` in net/netfilter/core.c; measured on 6.18.
#[test]
fn of_equal_priorities_the_chain_registered_last_runs_first() {
    let chains = |table: &str| {
        format!(
            "table ip {table} {{
\tchain one {{
\t\ttype filter hook forward priority filter; policy accept;
\t\taccept
\t}}

\tchain two {{
\t\ttype filter hook forward priority filter; policy accept;
\t\taccept
\t}}

\tchain post {{
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\tmeta l4proto tcp
\t}}
}}
"
        )
    };
    let text = chains("a") + &chains("b");
    let s = Files::new(&["eth0 192.0.2.10/24", "eth1 198.51.100.10/24"])
        .without("iptables-save.txt")
        .file("nft.txt", &text)
        .snapshot();
    let packet = r#"{"src":"192.0.2.7","dst":"198.51.100.7","dport":80,"iif":"eth0"}"#;
    let node = nfwhy::node::Node::new(&s);
    let names: Vec<String> = walk_one(&s, packet, None)
        .hits()
        .filter_map(|h| {
            let t = node.netfilter.view(h.table)?;
            Some(format!("{} {}", t.name(), t.chain_name(h.chain)))
        })
        .collect();
    let last_first = ["b two", "b one", "a two", "a one", "b post", "a post"];
    assert_eq!(names, last_first);
}

const V6_NAMES: [(&str, &str); 4] = [
    ("C", "2001:db8:6::91"),
    ("V", "2001:db8:100::2"),
    ("B", "fd00:98::39"),
    ("M", "2001:db8:4::142"),
];
const TO_V6: &str =
    r#"{"src":"2001:db8:6::91","sport":40000,"dst":"2001:db8:100::2","dport":80,"iif":"ens4"}"#;

fn devices6(kube_ipvs0: &str) -> Files {
    Files::new(&["ens4 2001:db8:4::142/64 fe80::4/64,link", kube_ipvs0, "cali1 fe80::ecee:eeff:feee:eeee/64,link"])
        .route(
            "default via fe80::1 dev ens4 metric 1024 pref medium\nfd00:98::39 dev cali1 metric 1024 pref medium",
        )
        .count_passages()
}

#[test]
fn ipv6_ipvs_client_to_a_pod_and_back() {
    let s = devices6("kube-ipvs0 down kind=dummy 2001:db8:100::2/128,deprecated")
        .table6(
            "nat",
            "\
-A PREROUTING -d 2001:db8:100::2/128 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
",
        )
        .ipvs("TCP [2001:db8:100::2]:80 rr\n-> [fd00:98::39]:8080 Masq 1")
        .snapshot();
    let first = walk_one(&s, TO_V6, None);
    check_passages(
        &s,
        &first,
        &V6_NAMES,
        &[
            "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security INPUT in=ens4 out=- C>V m=0x4000",
            "raw mangle filter security OUTPUT in=- out=cali1 C>B m=0x4000",
            "mangle nat POSTROUTING in=ens4 out=cali1 C>B m=0x4000",
        ],
    );
    check(
        &s,
        TO_V6,
        &["forwarded out=cali1 src=[2001:db8:4::142]:40000 dst=[fd00:98::39]:8080 dnat_by=ipvs"],
    );
    let reply = r#"{"src":"fd00:98::39","sport":8080,"dst":"2001:db8:4::142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    check_passages(
        &s,
        &walk_one(&s, reply, first.conn.as_ref()),
        &V6_NAMES,
        &[
            "raw mangle PREROUTING in=cali1 out=- B>M m=0x0",
            "mangle filter security FORWARD in=cali1 out=ens4 B>C m=0x0",
            "mangle POSTROUTING in=cali1 out=ens4 V>C m=0x0",
        ],
    );
}

#[test]
fn ipv6_iptables_client_to_a_pod_and_back() {
    let s = devices6("dummy0 down kind=dummy")
        .table6(
            "nat",
            "\
-A PREROUTING -d 2001:db8:100::2/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00:98::39]:8080
-A POSTROUTING -o cali1 -j MASQUERADE
",
        )
        .snapshot();
    let first = walk_one(&s, TO_V6, None);
    check_passages(
        &s,
        &first,
        &V6_NAMES,
        &[
            "raw mangle nat PREROUTING in=ens4 out=- C>V m=0x0",
            "mangle filter security FORWARD in=ens4 out=cali1 C>B m=0x0",
            "mangle nat POSTROUTING in=ens4 out=cali1 C>B m=0x0",
        ],
    );
    let reply = r#"{"src":"fd00:98::39","sport":8080,"dst":"2001:db8:4::142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    check_in(
        &s,
        reply,
        first.conn.as_ref(),
        &["forwarded out=ens4 src=[2001:db8:100::2]:80 dst=[2001:db8:6::91]:40000"],
    );
}

/// `tcp_conntracks`: in `SYN_SENT` an ACK of the original direction is INVALID. A client whose SYN+ACK came back past conntrack (another
/// way, or NOTRACK) sends just that, and its packets are then neither translated nor accepted as established.
#[test]
fn an_ack_after_an_answer_that_conntrack_did_not_see_is_invalid() {
    let s = iptables()
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
        )
        .snapshot();
    let first = walk_one(&s, TO_V, None);
    check_in(
        &s,
        LATER,
        first.conn.as_ref(),
        &["dropped hit=filter/FORWARD/2 no=nat/PREROUTING/1"],
    );
}

/// `IPS_ASSURED` is set by the packet that completes the handshake, before the rules see it (`nf_conntrack_tcp_packet`).
#[test]
fn the_ack_of_the_handshake_is_of_an_assured_connection() {
    let s = iptables()
        .table(
            "mangle",
            "-A FORWARD -m conntrack --ctstatus ASSURED -j DROP",
        )
        .snapshot();
    let first = walk_one(&s, TO_V, None);
    let reply = r#"{"src":"10.233.98.39","sport":8080,"dst":"10.10.1.142","dport":40000,"iif":"cali1","flags":["syn","ack"]}"#;
    let answered = walk_one(&s, reply, first.conn.as_ref());
    check_in(&s, reply, first.conn.as_ref(), &["forwarded"]);
    check_in(&s, LATER, answered.conn.as_ref(), &["dropped"]);
}

/// A host that pings itself through a router: both tuples are the same but for the type of the message.
#[test]
fn the_answer_to_a_ping_of_oneself_is_an_answer() {
    let s = iptables()
        .table("filter", "-A FORWARD -m conntrack --ctstate NEW -j DROP")
        .snapshot();
    let ping = |ty: u8| {
        format!(
            r#"{{"src":"10.233.98.39","dst":"10.233.98.39","proto":"icmp","icmp_type":{ty},"iif":"cali1"}}"#
        )
    };
    let asked = iptables().snapshot();
    let first = walk_one(&asked, &ping(8), None);
    check_in(&s, &ping(8), first.conn.as_ref(), &["dropped"]);
    check_in(&s, &ping(0), first.conn.as_ref(), &["forwarded"]);
}

/// `tcpmss_mangle_packet`: a SYN without options gets one, and is four bytes longer for the rules behind.
#[test]
fn tcpmss_makes_a_bare_syn_longer() {
    for (length, end) in [(40, "dropped"), (60, "forwarded"), (48, "forwarded")] {
        let s = devices("dummy0 down kind=dummy")
            .table(
                "mangle",
                "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000",
            )
            .table(
                "filter",
                "-A FORWARD -m length --length 44 -j DROP\n-A FORWARD -m length --length 64 -j DROP\n",
            )
            .snapshot();
        let syn = format!(
            r#"{{"src":"10.10.6.91","sport":40000,"dst":"10.233.98.39","dport":80,"iif":"ens4","length":{length}}}"#
        );
        check(&s, &syn, &[end]);
    }
}

/// `ip_tunnel_xmit`: the outer packet leaves with the device's own address, else with one of its way.
#[test]
fn the_outer_packet_of_a_tunnel_device_has_a_source() {
    let s = |tunnel: &str| {
        Files::new(&["eth0 10.10.4.142/24", tunnel, "cali1"])
            .route("10.233.110.0/26 via 10.10.4.141 dev tunl0 proto bird onlink\n10.233.98.39 dev cali1 scope link")
            .table(
                "filter",
                "-A OUTPUT -s 10.10.4.142/32 -d 10.10.4.141/32 -p ipencap\n-A OUTPUT -s 10.10.4.200/32 -p ipencap\n-A OUTPUT -m conntrack --ctstate NEW -p ipencap\n",
            )
            .snapshot()
    };
    let packet =
        r#"{"src":"10.233.98.39","sport":40000,"dst":"10.233.110.33","dport":80,"iif":"cali1"}"#;
    let end = "forwarded out=tunl0 hit=filter/OUTPUT/1 no=filter/OUTPUT/2 no=filter/OUTPUT/3";
    check(&s("tunl0 kind=ipip 10.233.98.0/32"), packet, &[end]);
    let end = "forwarded out=tunl0 no=filter/OUTPUT/1 hit=filter/OUTPUT/2";
    check(
        &s("tunl0 kind=ipip local=10.10.4.200 10.233.98.0/32"),
        packet,
        &[end],
    );
}

/// The other end is the device's remote, else the gateway; the header adds its bytes, and GRE's four.
#[test]
fn the_outer_packet_of_a_tunnel_device_has_an_end_and_a_length() {
    for (tunnel, proto, end, length) in [
        ("tunl0 kind=ipip", "ipencap", "10.10.4.141", 60),
        // The way there names no source: the address on the gateway's subnet.
        (
            "tunl0 kind=ipip remote=198.51.100.9",
            "ipencap",
            "198.51.100.9",
            60,
        ),
        ("tunl0 kind=sit", "ipencap", "10.10.4.141", 60),
        // Of GRE without a remote the neighbour table names the other end (`ipgre_header`): tests/cluster_facts has it.
        (
            "tunl0 kind=ipip remote=10.10.4.150",
            "ipencap",
            "10.10.4.150",
            60,
        ),
    ] {
        let s = Files::new(&["eth0 10.10.4.142/24", tunnel, "cali1"])
            .route("10.233.110.0/26 via 10.10.4.141 dev tunl0 proto bird onlink\n10.233.98.39 dev cali1 scope link\ndefault via 10.10.4.1 dev eth0")
            .table(
                "filter",
                &format!("-A OUTPUT -s 10.10.4.142/32 -p {proto}\n-A OUTPUT -d {end}/32 -m length --length {length}\n"),
            )
            .snapshot();
        let packet = r#"{"src":"10.233.98.39","sport":40000,"dst":"10.233.110.33","dport":80,"iif":"cali1"}"#;
        let end = "forwarded out=tunl0 hit=filter/OUTPUT/1 hit=filter/OUTPUT/2";
        check(&s, packet, &[end]);
    }
}
