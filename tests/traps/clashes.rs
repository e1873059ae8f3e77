//! New connections whose reply tuple a known one has: `nf_conntrack_tuple_taken`, `nf_confirm`, and what NAT does about it.

use crate::common::{check, check_in, walk_one};
use crate::{IN, node};

/// The answer comes in a zone of its own, so it is a new connection, whose reply is what the first one came as.
#[test]
fn a_connection_in_the_way_drops_or_moves_a_port() {
    let answer = |proto: &str| {
        format!(
            r#"{{"src":"10.244.0.4","sport":80,"dst":"192.168.0.99","dport":40000,"proto":"{proto}","iif":"cni0"}}"#
        )
    };
    let request = |proto: &str| IN.replace('{', &format!(r#"{{"proto":"{proto}","#));
    for (proto, nat, end) in [
        ("udp", "", "dropped why=clash"),
        ("tcp", "", "dropped why=clash"),
        // NAT finds another source port, but not for UDP, which could be both sides starting at once.
        (
            "tcp",
            "-A POSTROUTING -o lo -j ACCEPT",
            "forwarded src=10.244.0.4:*",
        ),
        ("udp", "-A POSTROUTING -o lo -j ACCEPT", "dropped why=clash"),
        // The first one is translated: UDP moves, too.
        (
            "udp",
            "-A PREROUTING -i eth0 -j REDIRECT --to-ports 81",
            "forwarded src=10.244.0.4:*",
        ),
    ] {
        let raw = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -i eth0 -j CT --zone-reply 5\nCOMMIT\n";
        let nat = if nat.is_empty() {
            String::new()
        } else {
            format!(
                "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{nat}\nCOMMIT\n"
            )
        };
        let snapshot = node()
            .without("iptables-save")
            .file("iptables-save.txt", &format!("{raw}{nat}"))
            .snapshot();
        let first = walk_one(&snapshot, &request(proto), None);
        let second = walk_one(&snapshot, &answer(proto), first.conn.as_ref());
        assert_eq!(
            second.conn.is_some(),
            end.starts_with("forwarded"),
            "{proto} {nat}"
        );
        check_in(&snapshot, &answer(proto), first.conn.as_ref(), &[end]);
    }
}

/// Two clients whose packets would leave alike.
#[test]
fn a_captured_connection_holds_its_port() {
    let entry = |zone: &str| {
        format!(
            "udp      17 28 src=10.244.0.9 dst=192.0.2.7 sport=53000 dport=53 {zone}src=192.0.2.7 dst=192.168.0.10 sport=53 dport=53000 mark=0 use=1\n"
        )
    };
    let packet = r#"{"src":"10.244.0.4","sport":53000,"dst":"192.0.2.7","dport":53,"proto":"udp","iif":"cni0"}"#;
    let own = packet.replace("10.244.0.4", "10.244.0.9");
    let other = packet.replace("192.0.2.7", "192.0.2.8");
    for (target, packet, zone, end) in [
        ("MASQUERADE", packet, "", "forwarded src=192.168.0.10:*"),
        ("MASQUERADE", &other, "", "forwarded src=192.168.0.10:53000"),
        // Its own next packet.
        ("MASQUERADE", &own, "", "forwarded src=192.168.0.10:53000"),
        // In another zone it is in nobody's way.
        (
            "MASQUERADE",
            packet,
            "zone-reply=3 ",
            "forwarded src=192.168.0.10:53000",
        ),
        // Of one port there is no other.
        (
            "SNAT --to-source 192.168.0.10:53000",
            packet,
            "",
            "dropped why=clash",
        ),
        (
            "SNAT --to-source 192.168.0.10:52000-54000",
            packet,
            "",
            "forwarded src=192.168.0.10:*",
        ),
        (
            "NETMAP --to 192.168.0.10/32",
            packet,
            "",
            "forwarded src=192.168.0.10:*",
        ),
    ] {
        let s = node()
            .table("nat", &format!("-A POSTROUTING -o eth0 -p udp -j {target}"))
            .file("conntrack.txt", &entry(zone))
            .snapshot();
        check(&s, packet, &[end]);
    }
}

/// Which known connections are in the way, and which only look like it. Seen on Linux 6.18 save the zones.
#[test]
fn only_a_connection_of_the_same_reply_is_in_the_way() {
    let packet = r#"{"src":"10.244.0.4","sport":53000,"dst":"192.0.2.7","dport":53,"proto":"PROTO","iif":"cni0"}"#;
    let udp = "udp      17 28 src=10.244.0.9 dst=192.0.2.7 sport=53000 dport=53 ZO src=192.0.2.7 dst=192.168.0.10 sport=53 dport=53000 ZR mark=0 use=1\n";
    let esp = "unknown  50 596 src=10.244.0.9 dst=192.0.2.7 [UNREPLIED] src=192.0.2.7 dst=192.168.0.10 mark=0 use=1\n";
    let icmp = "icmp     1 25 src=10.244.0.9 dst=192.0.2.7 type=8 code=0 id=7 [UNREPLIED] src=192.0.2.7 dst=192.168.0.10 type=0 code=0 id=7 mark=0 use=1\n";
    let plain = udp.replace("ZO ", "").replace(" ZR", "");
    for (entry, proto, end) in [
        (plain.clone(), "udp", "forwarded src=192.168.0.10:*"),
        // Another protocol, destination or port.
        (plain.clone(), "tcp", "forwarded src=192.168.0.10:53000"),
        (
            plain.replace("192.0.2.7", "192.0.2.8"),
            "udp",
            "forwarded src=192.168.0.10:53000",
        ),
        (
            plain.replace("=53 ", "=54 "),
            "udp",
            "forwarded src=192.168.0.10:53000",
        ),
        (
            plain.replace("53000", "53001"),
            "udp",
            "forwarded src=192.168.0.10:53000",
        ),
        (
            plain.replace("192.168.0.10", "192.168.0.11"),
            "udp",
            "forwarded src=192.168.0.10:53000",
        ),
        // Without ports there is nothing to choose, and an echo has an id.
        (esp.to_owned(), "50", "dropped why=clash"),
        (icmp.to_owned(), "icmp", "forwarded src=192.168.0.10"),
    ] {
        let s = node()
            .table("nat", "-A POSTROUTING -o eth0 -j MASQUERADE")
            .file("conntrack.txt", &entry)
            .snapshot();
        let packet = packet.replace("PROTO", proto);
        let packet = if proto == "udp" || proto == "tcp" {
            packet
        } else {
            packet
                .replace(r#""sport":53000,"#, "")
                .replace(r#""dport":53,"#, "")
        };
        check(&s, &packet, &[end]);
    }
}

/// The same from a connection that was walked before.
#[test]
fn a_connection_of_an_earlier_packet_is_in_the_way_as_well() {
    let client = |last: u8, proto: &str, port: u16| {
        format!(
            r#"{{"src":"10.244.0.{last}","sport":{port},"dst":"192.0.2.7","dport":53,"proto":"{proto}","iif":"cni0"}}"#
        )
    };
    let s = node()
        .table("nat", "-A POSTROUTING -o eth0 -j MASQUERADE")
        .snapshot();
    let first = walk_one(&s, &client(9, "udp", 53000), None);
    for (packet, end) in [
        (client(4, "udp", 53000), "forwarded src=192.168.0.10:*"),
        (client(4, "udp", 53001), "forwarded src=192.168.0.10:53001"),
        (client(4, "tcp", 53000), "forwarded src=192.168.0.10:53000"),
    ] {
        check_in(&s, &packet, first.conn.as_ref(), &[end]);
    }
    // What conntrack does not know is in nobody's way.
    let raw = node()
        .table(
            "nat",
            "-A POSTROUTING -o eth0 -j SNAT --to-source 10.244.0.9:53000",
        )
        .table("raw", "-A PREROUTING -s 10.244.0.9/32 -j CT --notrack")
        .snapshot();
    let first = walk_one(&raw, &client(9, "udp", 53000), None);
    let end = "forwarded src=10.244.0.9:53000";
    check_in(&raw, &client(4, "udp", 53000), first.conn.as_ref(), &[end]);
    // Of ports that nobody told nobody can say that they are the same.
    let open = |last: u8| client(last, "udp", 1).replace(r#""sport":1,"#, "");
    let first = walk_one(&s, &open(9), None);
    check_in(
        &s,
        &open(4),
        first.conn.as_ref(),
        &["forwarded src=192.168.0.10:*"],
    );
}

/// A closed connection that a SYN opens anew is not in its own way.
#[test]
fn a_connection_that_opens_anew_keeps_its_port() {
    let entry = |src: &str| {
        format!(
            "tcp      6 100 TIME_WAIT src={src} dst=192.0.2.7 sport=53000 dport=80 src=192.0.2.7 dst=192.168.0.10 sport=80 dport=53000 [ASSURED] mark=0 use=1\n"
        )
    };
    let syn = r#"{"src":"10.244.0.4","sport":53000,"dst":"192.0.2.7","dport":80,"iif":"cni0"}"#;
    for (src, end) in [
        ("10.244.0.4", "forwarded src=192.168.0.10:53000"),
        ("10.244.0.9", "forwarded src=192.168.0.10:*"),
    ] {
        let s = node()
            .table("nat", "-A POSTROUTING -o eth0 -j MASQUERADE")
            .file("conntrack.txt", &entry(src))
            .snapshot();
        check(&s, syn, &[end]);
    }
}

/// The answer in a zone of its own, from a captured table: in the list of its zone the first connection is found or it is not.
#[test]
fn zones_decide_what_is_in_the_way() {
    let answer = r#"{"src":"10.244.0.4","sport":80,"dst":"192.168.0.99","dport":40000,"proto":"udp","iif":"cni0"}"#;
    for (zone, raw, end) in [
        // The reply of the first one is in zone 5, so the answer opens a connection, whose reply is the first one's request.
        ("zone-reply=5 ", "", "dropped why=clash"),
        // The request is of zone 5: what opens in zone 0 has its reply there.
        (
            "zone-orig=5 zone-reply=6 ",
            "",
            "forwarded src=10.244.0.4:80",
        ),
        // Requests in zone 5 with replies in 0 are in the list of another zone.
        (
            "zone-reply=5 ",
            "-A PREROUTING -j CT --zone-orig 7",
            "forwarded src=10.244.0.4:80",
        ),
        (
            "zone-reply=5 ",
            "-A PREROUTING -j CT --zone-reply 7",
            "forwarded src=10.244.0.4:80",
        ),
    ] {
        let entry = format!(
            "udp      17 28 src=192.168.0.99 dst=10.244.0.4 sport=40000 dport=80 {zone}src=10.244.0.4 dst=192.168.0.99 sport=80 dport=40000 mark=0 use=1\n"
        );
        let s = node()
            .table("raw", raw)
            .file("conntrack.txt", &entry)
            .snapshot();
        check(&s, answer, &[end]);
    }
}

/// What has no connection needs no place for one.
#[test]
fn an_untracked_packet_is_in_nobodys_way() {
    let entry = "udp      17 28 src=10.244.0.9 dst=192.0.2.7 sport=53000 dport=53 src=192.0.2.7 dst=192.168.0.10 sport=53 dport=53000 mark=0 use=1\n";
    let own = r#"{"origin":"local","src":"192.168.0.10","sport":53000,"dst":"192.0.2.7","dport":53,"proto":"udp"}"#;
    for (raw, end) in [
        ("", "dropped why=clash"),
        (
            "-A OUTPUT -j CT --notrack",
            "forwarded src=192.168.0.10:53000",
        ),
    ] {
        let files = node().without("iptables-save").file(
            "iptables-save.txt",
            &format!("*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{raw}\nCOMMIT\n"),
        );
        check(&files.file("conntrack.txt", entry).snapshot(), own, &[end]);
    }
}
