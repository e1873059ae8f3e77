//! What conntrack knows of a packet, and from when on.

use crate::common::{check, check_in, walk_one};
use crate::{IN, node};

#[test]
fn after_ct_in_raw_the_packet_has_a_connection_without_addresses() {
    // Seen on Linux 6.18: `CT` hangs a template on the packet (`xt_ct_target`), which is NEW and matches 0.0.0.0.
    let rules = "\
-A PREROUTING -m conntrack --ctstate INVALID
-A PREROUTING -p tcp -j CT --helper ftp
-A PREROUTING -m conntrack --ctstate INVALID
-A PREROUTING -m conntrack --ctstate NEW
-A PREROUTING -m conntrack ! --ctstate DNAT --ctorigdst 10.244.0.0/16
-A PREROUTING -m conntrack --ctorigdst 0.0.0.0/32
-A PREROUTING -m conntrack --ctproto 6
";
    check(
        &node().table("raw", rules).snapshot(),
        IN,
        &[
            "forwarded hit=raw/PREROUTING/1 hit=raw/PREROUTING/2 no=raw/PREROUTING/3 hit=raw/PREROUTING/4 \
             no=raw/PREROUTING/5 hit=raw/PREROUTING/6 no=raw/PREROUTING/7",
        ],
    );
}

#[test]
fn notrack_after_another_ct_comes_too_late() {
    let rules = |first: &str| {
        node()
            .table(
                "raw",
                &format!("-A PREROUTING -j CT{first}\n-A PREROUTING -j NOTRACK\n"),
            )
            .table(
                "filter",
                "-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP",
            )
            .snapshot()
    };
    check(&rules(" --zone 5"), IN, &["forwarded"]);
    check(&rules(""), IN, &["forwarded"]);
    check(&rules(" --notrack"), IN, &["dropped why=filter/FORWARD/1"]);
}

#[test]
fn a_connection_of_another_zone_is_another_connection() {
    let rules = "-A PREROUTING -i eth0 -j CT --zone 5";
    let snapshot = node()
        .table("raw", rules)
        .table("filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED")
        .snapshot();
    let first = walk_one(&snapshot, IN, None);
    // The answer comes by cni0, where no rule names the zone.
    let answer = r#"{"src":"10.244.0.4","sport":80,"dst":"192.168.0.99","dport":40000,"iif":"cni0","flags":["syn","ack"]}"#;
    check_in(
        &snapshot,
        answer,
        first.conn.as_ref(),
        &["forwarded no=filter/FORWARD/1"],
    );
    // A zone of one direction: the answer belongs to the connection, and so does what comes after it.
    let one = node()
        .table("raw", "-A PREROUTING -i eth0 -j CT --zone-orig 5")
        .table("filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED")
        .snapshot();
    let first = walk_one(&one, IN, None);
    let second = walk_one(&one, answer, first.conn.as_ref());
    for (packet, conn) in [(answer, &first.conn), (IN, &second.conn)] {
        check_in(
            &one,
            packet,
            conn.as_ref(),
            &["forwarded hit=filter/FORWARD/1"],
        );
    }
    // The same from a captured table.
    let entry = "tcp      6 431998 ESTABLISHED src=192.168.0.99 dst=10.244.0.4 sport=40000 dport=80 zone-orig=5 src=10.244.0.4 dst=192.168.0.99 sport=80 dport=40000 [ASSURED] mark=0 use=1\n";
    let known = node()
        .table("raw", "-A PREROUTING -i eth0 -j CT --zone-orig 5")
        .table("filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED")
        .file("conntrack.txt", entry)
        .snapshot();
    check(&known, IN, &["forwarded hit=filter/FORWARD/1"]);
    check(&known, answer, &["forwarded hit=filter/FORWARD/1"]);
    let both = node()
        .table("raw", "-A PREROUTING -j CT --zone 5")
        .table("filter", "-A FORWARD -m conntrack --ctstate ESTABLISHED")
        .snapshot();
    let first = walk_one(&both, IN, None);
    check_in(
        &both,
        answer,
        first.conn.as_ref(),
        &["forwarded hit=filter/FORWARD/1"],
    );
}

#[test]
fn an_echo_reply_to_oneself_is_a_reply() {
    // Both directions have the same addresses; the types tell them apart.
    let snapshot = node()
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstate NEW\n-A FORWARD -m conntrack --ctstate ESTABLISHED\n",
        )
        .snapshot();
    let echo = |ty: u8| {
        format!(
            r#"{{"src":"10.244.0.4","dst":"10.244.0.4","proto":"icmp","icmp_type":{ty},"icmp_code":0,"iif":"cni0"}}"#
        )
    };
    let first = walk_one(&snapshot, &echo(8), None);
    check_in(
        &snapshot,
        &echo(0),
        first.conn.as_ref(),
        &["forwarded no=filter/FORWARD/1 hit=filter/FORWARD/2"],
    );
    check_in(
        &snapshot,
        &echo(8),
        first.conn.as_ref(),
        &["forwarded hit=filter/FORWARD/1 no=filter/FORWARD/2"],
    );
}

#[test]
fn without_ports_the_second_packet_to_oneself_is_a_reply() {
    // Both directions are one tuple, and the reply's is found first.
    let snapshot = node()
        .table("filter", "-A FORWARD -m conntrack --ctdir REPLY")
        .snapshot();
    let esp = r#"{"src":"10.244.0.4","dst":"10.244.0.4","proto":"50","iif":"cni0"}"#;
    let first = walk_one(&snapshot, esp, None);
    check(&snapshot, esp, &["forwarded no=filter/FORWARD/1"]);
    check_in(
        &snapshot,
        esp,
        first.conn.as_ref(),
        &["forwarded hit=filter/FORWARD/1"],
    );
}

#[test]
fn dccp_is_tracked_without_ports_unless_the_kernel_has_a_setting_for_it() {
    let rules = "\
-A FORWARD -m conntrack --ctorigdstport 80
-A FORWARD -m conntrack --ctorigdstport 0
-A FORWARD -p dccp -m dccp --dport 80
";
    let packet = IN.replace('}', r#","proto":"33"}"#);
    let on = |setting: &str| {
        let setting = format!("net.netfilter.{setting} = 1");
        node().table("filter", rules).sysctl(&setting).snapshot()
    };
    check(
        &on("nf_conntrack_tcp_loose"),
        &packet,
        &["forwarded no=filter/FORWARD/1 hit=filter/FORWARD/2 hit=filter/FORWARD/3"],
    );
    check(
        &on("nf_conntrack_dccp_loose"),
        &packet,
        &["forwarded hit=filter/FORWARD/1 no=filter/FORWARD/2 hit=filter/FORWARD/3"],
    );
}

#[test]
fn udp_lite_from_outside_is_invalid() {
    // `udplite_error` computes the checksum as if it were UDP's.
    let files = node().table(
        "filter",
        "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
    );
    let packet = IN.replace('}', r#","proto":"136"}"#);
    check(
        &files.snapshot(),
        &packet,
        &["dropped why=filter/FORWARD/1"],
    );
    check(
        &files
            .sysctl("net.netfilter.nf_conntrack_checksum = 0")
            .snapshot(),
        &packet,
        &["forwarded"],
    );
}

#[test]
fn the_helper_match_asks_who_expected_the_connection() {
    // `helper_mt` looks at the master of the connection, not at the helper that follows it.
    let files = node()
        .table(
            "filter",
            "-A FORWARD -m helper --helper ftp\n-A FORWARD -m helper ! --helper ftp\n",
        )
        .file(
            "conntrack.txt",
            "tcp      6 431999 ESTABLISHED src=192.168.0.99 dst=10.244.0.4 sport=40000 dport=80 src=10.244.0.4 \
             dst=192.168.0.99 sport=80 dport=40000 [ASSURED] mark=0 helper=ftp use=1\n",
        );
    check(
        &files.snapshot(),
        &IN.replace('}', r#","flags":["ack"]}"#),
        &["forwarded no=filter/FORWARD/1 hit=filter/FORWARD/2"],
    );
}

#[test]
fn a_destination_port_that_is_in_the_range_is_kept() {
    let rules = |extra: &str| {
        node()
            .table(
                "nat",
                &format!("-A PREROUTING -p tcp -j DNAT --to-destination 10.244.0.4:80-90{extra}"),
            )
            .snapshot()
    };
    check(&rules(""), IN, &["forwarded dst=10.244.0.4:80"]);
    check(&rules(" --random"), IN, &["forwarded dst=10.244.0.4:*"]);
}

#[test]
fn a_source_that_is_in_the_range_is_kept() {
    let rules = |extra: &str| {
        node()
            .table(
                "nat",
                &format!(
                    "-A POSTROUTING -p tcp -j SNAT --to-source 192.168.0.98-192.168.0.99{extra}"
                ),
            )
            .snapshot()
    };
    check(&rules(""), IN, &["forwarded src=192.168.0.99:40000"]);
    check(
        &rules(" --random"),
        IN,
        &[
            "forwarded src=192.168.0.98:* p=1/2",
            "forwarded src=192.168.0.99:* p=1/2",
        ],
    );
}

#[test]
fn a_port_that_is_drawn_stays_in_its_range() {
    // Ports below 512 are drawn below 512, those below 1024 from 600 on (`nf_nat_l4proto_unique_tuple`).
    let rules = |target: &str| {
        node()
            .table("nat", &format!("-A POSTROUTING -p tcp -j {target}"))
            .table(
                "security",
                "-A INPUT -p tcp -m tcp --sport 1:511\n-A INPUT -p tcp -m tcp --sport 1024:65535\n",
            )
            .snapshot()
    };
    let to_self = |sport: u16| {
        format!(
            r#"{{"origin":"local","src":"192.168.0.10","sport":{sport},"dst":"192.168.0.10","dport":80}}"#
        )
    };
    let random = rules("MASQUERADE --random");
    check(
        &random,
        &to_self(84),
        &["local hit=security/INPUT/1 no=security/INPUT/2"],
    );
    check(
        &random,
        &to_self(700),
        &["local no=security/INPUT/1 no=security/INPUT/2"],
    );
    check(
        &random,
        &to_self(40000),
        &["local no=security/INPUT/1 hit=security/INPUT/2"],
    );
    check(
        &rules("MASQUERADE --to-ports 100-200"),
        &to_self(40000),
        &["local hit=security/INPUT/1 no=security/INPUT/2"],
    );
}

#[test]
fn the_timeout_of_a_connection_is_asked_anew_once_it_is_confirmed() {
    let rule = |chain: &str| format!("-A {chain} -m conntrack --ctexpire 10:40\n");
    let s = node()
        .table("filter", &(rule("OUTPUT") + &rule("INPUT")))
        .snapshot();
    check(
        &s,
        r#"{"origin":"local","src":"192.168.0.10","dst":"192.168.0.10","dport":80}"#,
        &[
            "local hit=filter/OUTPUT/1 hit=filter/INPUT/1",
            "local hit=filter/OUTPUT/1 no=filter/INPUT/1",
            "local no=filter/OUTPUT/1 hit=filter/INPUT/1",
            "local no=filter/OUTPUT/1 no=filter/INPUT/1",
        ],
    );
}

#[test]
fn traffic_one_way_makes_no_connection_assured() {
    // A connection picked up in the middle is ESTABLISHED to TCP, but IPS_SEEN_REPLY is what counts.
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstatus ASSURED -j DROP",
        )
        .snapshot();
    let ack = IN.replace('}', r#","flags":["ack"]}"#);
    let first = walk_one(&s, &ack, None);
    check_in(&s, &ack, first.conn.as_ref(), &["forwarded"]);
}

#[test]
fn an_error_message_is_no_answer_to_a_ping() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP",
        )
        .snapshot();
    let ping = r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","iif":"eth0"}"#;
    let first = walk_one(&s, ping, None);
    let back = |ty: u8| {
        format!(
            r#"{{"src":"10.244.0.4","dst":"192.168.0.99","proto":"icmp","icmp_type":{ty},"iif":"cni0"}}"#
        )
    };
    check_in(&s, &back(0), first.conn.as_ref(), &["dropped"]);
    check_in(&s, &back(3), first.conn.as_ref(), &["forwarded"]);
}

#[test]
fn a_captured_entry_tells_what_was_translated() {
    let entry = |reply: &str| {
        format!(
            "tcp      6 431999 ESTABLISHED src=192.168.0.99 dst=10.244.0.4 sport=40000 dport=80 {reply} [ASSURED] mark=0 use=1\n"
        )
    };
    let ack = IN.replace('}', r#","flags":["ack"]}"#);
    for (reply, snat, dnat) in [
        (
            "src=10.244.0.4 dst=192.168.0.99 sport=80 dport=40000",
            "no",
            "no",
        ),
        (
            "src=10.244.0.4 dst=192.168.0.10 sport=80 dport=40000",
            "yes",
            "no",
        ),
        (
            "src=10.244.0.4 dst=192.168.0.99 sport=80 dport=40001",
            "yes",
            "no",
        ),
        (
            "src=10.244.0.5 dst=192.168.0.99 sport=80 dport=40000",
            "no",
            "yes",
        ),
        (
            "src=10.244.0.4 dst=192.168.0.99 sport=8080 dport=40000",
            "no",
            "yes",
        ),
    ] {
        let s = node()
            .table(
                "mangle",
                "-A FORWARD -m conntrack --ctstate SNAT\n-A FORWARD -m conntrack --ctstate DNAT\n",
            )
            .file("conntrack.txt", &entry(reply))
            .snapshot();
        let rule = |n: u8, said: &str| {
            let key = if said == "yes" { "hit" } else { "no" };
            format!("{key}=mangle/FORWARD/{n}")
        };
        let end = format!("forwarded {} {}", rule(1, snat), rule(2, dnat));
        check(&s, &ack, &[&end]);
    }
}

#[test]
fn an_entry_without_ports_is_found() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP",
        )
        .file(
            "conntrack.txt",
            "unknown  50 599 src=192.168.0.99 dst=10.244.0.4 src=10.244.0.4 dst=192.168.0.99 mark=0 use=1\n",
        )
        .snapshot();
    let esp = r#"{"src":"SRC","dst":"10.244.0.4","proto":"50","iif":"eth0"}"#;
    check(&s, &esp.replace("SRC", "192.168.0.99"), &["dropped"]);
    check(&s, &esp.replace("SRC", "192.168.0.98"), &["forwarded"]);
}

#[test]
fn neighbour_discovery_and_mld_are_not_tracked() {
    // `nf_conntrack_icmpv6_error`, `nf_conntrack_icmpv6_redirect`.
    let s = crate::common::Files::new(&["eth0 2001:db8::1/64", "cni0 2001:db8:7::1/64"])
        .table6(
            "mangle",
            "-A PREROUTING -m conntrack --ctstate UNTRACKED\n-A PREROUTING -m conntrack --ctstate INVALID\n-A PREROUTING -m conntrack --ctstate NEW\n",
        )
        .snapshot();
    for (ty, state) in [
        (135, 1),
        (136, 1),
        (143, 1),
        (1, 2),
        (129, 2),
        (128, 3),
        (139, 3),
    ] {
        let packet = format!(
            r#"{{"src":"2001:db8::2","dst":"2001:db8::1","proto":"icmpv6","icmp_type":{ty},"iif":"eth0"}}"#
        );
        let rows: Vec<String> = (1..4)
            .map(|n| {
                format!(
                    "{}=mangle/PREROUTING/{n}",
                    if n == state { "hit" } else { "no" }
                )
            })
            .collect();
        check(&s, &packet, &[&format!("local {}", rows.join(" "))]);
    }
}

#[test]
fn an_answered_udp_flow_is_not_assured_at_once() {
    // `nf_conntrack_udp_packet` waits two seconds; GRE's is set by the first packet after an answer.
    for (proto, third) in [("udp", "forwarded"), ("47", "dropped")] {
        let s = node()
            .table(
                "filter",
                "-A FORWARD -m conntrack --ctstatus ASSURED -j DROP",
            )
            .snapshot();
        let ports = |s: u16, d: u16| {
            if proto == "udp" {
                format!(r#""sport":{s},"dport":{d},"#)
            } else {
                String::new()
            }
        };
        let out = format!(
            r#"{{"src":"192.168.0.99","dst":"10.244.0.4","proto":"{proto}",{}"iif":"eth0"}}"#,
            ports(4000, 53)
        );
        let back = format!(
            r#"{{"src":"10.244.0.4","dst":"192.168.0.99","proto":"{proto}",{}"iif":"cni0"}}"#,
            ports(53, 4000)
        );
        let first = walk_one(&s, &out, None);
        check_in(&s, &out, first.conn.as_ref(), &["forwarded"]);
        let second = walk_one(&s, &back, first.conn.as_ref());
        check_in(&s, &out, second.conn.as_ref(), &[third]);
    }
}

#[test]
fn an_entry_is_of_its_protocol_and_ports() {
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP",
        )
        .file(
            "conntrack.txt",
            "udp      17 29 src=192.168.0.99 dst=10.244.0.4 sport=40000 dport=80 src=10.244.0.4 dst=192.168.0.99 sport=80 dport=40000 mark=0 use=1\n",
        )
        .snapshot();
    check(&s, IN, &["forwarded"]);
    let udp = IN.replace('}', r#","proto":"udp"}"#);
    check(&s, &udp, &["dropped"]);
    check(&s, &udp.replace("40000", "40001"), &["forwarded"]);
    // So is a connection that was walked before.
    let s = node()
        .table("filter", "-A FORWARD -m conntrack --ctstate NEW -j DROP")
        .snapshot();
    let open = node().snapshot();
    let first = walk_one(&open, IN, None);
    let back = |port: u16| {
        format!(
            r#"{{"src":"10.244.0.4","sport":80,"dst":"192.168.0.99","dport":{port},"iif":"cni0","flags":["syn","ack"]}}"#
        )
    };
    check_in(&s, &back(40000), first.conn.as_ref(), &["forwarded"]);
    let other = back(40001).replace(r#""syn","ack""#, r#""ack""#);
    check_in(&s, &other, first.conn.as_ref(), &["dropped"]);
}

/// `CT --zone mark`: the zone is the lower half of the mark (`nf_ct_zone_tmpl`).
#[test]
fn a_zone_may_be_told_by_the_mark() {
    let entry = "udp      17 29 src=192.168.0.99 dst=10.244.0.4 sport=40000 dport=80 src=10.244.0.4 dst=192.168.0.99 sport=80 dport=40000 mark=0 zone=5 use=1\n";
    let s = node()
        .table("raw", "-A PREROUTING -j CT --zone mark")
        .table(
            "filter",
            "-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP",
        )
        .file("conntrack.txt", entry)
        .snapshot();
    for (mark, end) in [
        ("0x5", "dropped"),
        ("0x10005", "dropped"),
        ("0x4", "forwarded"),
        ("0x0", "forwarded"),
    ] {
        let packet = IN.replace('}', &format!(r#","proto":"udp","mark":"{mark}"}}"#));
        check(&s, &packet, &[end]);
    }
}

/// `IPS_CONFIRMED`, `IPS_SEEN_REPLY` and `IPS_ASSURED`, each by the packet from which on it is set.
#[test]
fn the_status_of_a_connection_grows() {
    let s = node()
        .table(
            "mangle",
            "\
-A FORWARD -m conntrack --ctstatus CONFIRMED
-A FORWARD -m conntrack --ctstatus SEEN_REPLY
-A FORWARD -m conntrack --ctstatus ASSURED
-A FORWARD -m conntrack --ctstatus SEEN_REPLY,ASSURED
",
        )
        .snapshot();
    let there = |flags: &str| IN.replace('}', &format!(r#","flags":[{flags}]}}"#));
    let back = r#"{"src":"10.244.0.4","sport":80,"dst":"192.168.0.99","dport":40000,"iif":"cni0","flags":["syn","ack"]}"#.to_owned();
    let mut conn = None;
    for (packet, set) in [
        (there(r#""syn""#), "...."),
        (there(r#""syn""#), "y..."),
        (back, "yy.y"),
        (there(r#""ack""#), "yyyy"),
    ] {
        let o = walk_one(&s, &packet, conn.as_ref());
        let hit: Vec<usize> = o.hits().map(|h| h.rule).collect();
        let have: String = (0..4)
            .map(|r| if hit.contains(&r) { 'y' } else { '.' })
            .collect();
        assert_eq!(have, set, "{packet}");
        conn = o.conn;
    }
}
