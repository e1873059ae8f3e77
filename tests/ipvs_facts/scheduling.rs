//! Which real server takes a connection.

use super::common::{Files, check, check_in, walk, walk_one};
use super::{TO_V, VIP, node};

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
