use super::*;
use crate::common::Proto;

const ANY: &str = include_str!("../../tests/data/tcpdump-any.txt");

#[track_caller]
fn one(text: &str) -> Packet {
    let all = parse(text);
    let list: Vec<&Packet> = all.iter().flat_map(|s| &s.packets).collect();
    assert_eq!(list.len(), 1, "{text}: {all:?}");
    list[0].clone()
}

fn ends(p: &Packet) -> String {
    let end = |ip: std::net::IpAddr, port: Option<u16>| {
        port.map_or_else(|| ip.to_string(), |n| format!("{ip} {n}"))
    };
    format!("{} > {}", end(p.src, p.sport), end(p.dst, p.dport))
}

#[test]
fn devices_ways_and_segments_of_a_cooked_capture() {
    let p = one(
        "12:12:44.576113 mlb   In  IP 192.168.22.253.52582 > 10.80.8.102.443: Flags [S], seq 3953098481, win 65535, options [mss 1460,nop,wscale 6,nop,nop,TS val 1301733900 ecr 0,sackOK,eol], length 0",
    );
    assert_eq!(p.dev, Dev::Name("mlb".into()));
    assert_eq!((p.way, p.line), (Some(Way::In), 1));
    assert_eq!(ends(&p), "192.168.22.253 52582 > 10.80.8.102 443");
    assert_eq!(
        p.tcp(),
        Some(&Tcp {
            flags: 2,
            seq: Some(3_953_098_481),
            ack: None,
            stamp: Some((1_301_733_900, 0)),
        })
    );
    assert_eq!(
        p.time.map(|t| t.to_string()).as_deref(),
        Some("12:12:44.576113")
    );
    assert_eq!((p.proto, p.length), (Some(Proto::TCP), Some(0)));
}

#[test]
fn times_of_all_options() {
    for (time, shown) in [
        ("04:47:43.5", Some("04:47:43.500000")),
        (
            "2026-11-26 04:47:54.675201",
            Some("2026-11-26 04:47:54.675201"),
        ),
        ("1795668480.236190", Some("2026-11-26 04:48:00.236190")),
        (
            "1795668480.236190001",
            Some("2026-11-26 04:48:00.236190001"),
        ),
        ("", None),
    ] {
        let p = one(&format!(
            "{time} IP 10.0.0.1.5 > 10.0.0.2.53: UDP, length 5"
        ));
        assert_eq!(p.time.map(|t| t.to_string()).as_deref(), shown, "{time}");
        assert_eq!((p.dev, p.way), (Dev::Unknown, None));
    }
    // Times that count from the packet before are none of a day.
    let p = one(
        "tcpdump -ttt -i va\n 00:00:00.000048 vb Out IP 10.0.0.1.5 > 10.0.0.2.53: UDP, length 5",
    );
    assert_eq!(p.time, None);
}

#[test]
fn what_stands_on_more_than_one_line() {
    let text = "04:47:45.721064 va    Out IP (tos 0xc0, ttl 64, id 31627, offset 0, flags [none], proto ICMP (1), length 88)
    10.1.0.1 > 10.1.0.2: ICMP net 10.80.8.102 unreachable, length 68
\tIP (tos 0x0, ttl 63, id 5195, offset 0, flags [DF], proto TCP (6), length 60)
    10.1.0.2.38246 > 10.80.8.102.444: Flags [S], cksum 0x1ce7 (incorrect -> 0xf817), seq 3614770755, win 64240, length 0
";
    let p = one(text);
    assert_eq!(
        (p.id, p.ttl, p.proto),
        (Some(31627), Some(64), Some(Proto::ICMP))
    );
    let What::Error { kind, about } = p.what else {
        panic!("{p:?}")
    };
    assert_eq!(kind, Error::Unreachable);
    assert_eq!(about.src, "10.1.0.2".parse().ok());
    assert_eq!(about.dst, "10.80.8.102".parse().ok());
    assert_eq!((about.sport, about.dport), (Some(38246), Some(444)));
    assert_eq!(about.proto, Some(Proto::TCP));
}

#[test]
fn errors_tell_what_they_are_about() {
    let p = one(
        "1.2.3.4 x\n04:47:44.4 va Out IP 10.1.0.1 > 10.1.0.2: ICMP 10.2.0.2 udp port 99 unreachable, length 41",
    );
    let What::Error { about, .. } = p.what else {
        panic!("{p:?}")
    };
    assert_eq!(about.src, "10.1.0.2".parse().ok());
    assert_eq!((about.proto, about.dport), (Some(Proto::UDP), Some(99)));
    let p = one(
        "04:47:44.4 va Out IP6 2001:db8:2::2 > 2001:db8:1::2: ICMP6, destination unreachable, unreachable port, 2001:db8:2::2 udp port 98, length 61",
    );
    let What::Error { about, .. } = p.what else {
        panic!("{p:?}")
    };
    assert_eq!(about.dst, "2001:db8:2::2".parse().ok());
    assert_eq!(about.dport, Some(98));
}

#[test]
fn links_shown_with_their_addresses() {
    for text in [
        "04:47:49.8 ce:76:00:29:9a:31 > b2:0b:0f:fc:4d:8e, ethertype IPv4 (0x0800), length 74: 10.1.0.2.4379 > 10.80.8.102.443: Flags [S], seq 1, length 0",
        "04:47:53.2 va    In  ifindex 3 ce:76:00:29:9a:31 ethertype IPv4 (0x0800), length 80: 10.1.0.2.4379 > 10.80.8.102.443: Flags [S], seq 1, length 0",
        "04:47:53.2  In ce:76:00:29:9a:31 ethertype IPv4 (0x0800), length 76: 10.1.0.2.4379 > 10.80.8.102.443: Flags [S], seq 1, length 0",
        "04:47:53.2 ce:76:00:29:9a:31 > b2:0b:0f:fc:4d:8e, ethertype 802.1Q (0x8100), length 78: vlan 5, p 0, ethertype IPv4 (0x0800), 10.1.0.2.4379 > 10.80.8.102.443: Flags [S], seq 1, length 0",
        "04:47:53.2 ce:76:00:29:9a:31 > b2:0b:0f:fc:4d:8e, ethertype IPv4 (0x0800), length 74: (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 60)\n    10.1.0.2.4379 > 10.80.8.102.443: Flags [S], cksum 0x1 (correct), seq 1, length 0",
    ] {
        assert_eq!(
            ends(&one(text)),
            "10.1.0.2 4379 > 10.80.8.102 443",
            "{text}"
        );
    }
}

#[test]
fn packets_within_packets() {
    let vxlan =
        "04:47:43.1 vb    In  IP 10.2.0.2.34792 > 10.2.0.1.4789: VXLAN, flags [I] (0x08), vni 4096
IP 10.3.0.1.7 > 10.3.0.2.80: Flags [.], ack 1, length 0
04:47:43.2 vx0   In  IP 10.3.0.1.7 > 10.3.0.2.80: Flags [.], ack 1, length 0
";
    let all = parse(vxlan);
    let list: Vec<(u8, u32, String)> = all[0]
        .packets
        .iter()
        .map(|p| (p.depth, p.line, ends(p)))
        .collect();
    assert_eq!(
        list,
        [
            (0, 1, "10.2.0.2 34792 > 10.2.0.1 4789".to_owned()),
            (1, 1, "10.3.0.1 7 > 10.3.0.2 80".to_owned()),
            (0, 3, "10.3.0.1 7 > 10.3.0.2 80".to_owned()),
        ]
    );
    assert_eq!(all[0].packets[1].way, Some(Way::In));
    let ipip = parse(
        "04:47:43.1 IP 10.0.0.1 > 10.0.0.2: IP 10.3.0.1.7 > 10.3.0.2.80: Flags [S], seq 5, length 0",
    );
    let depths: Vec<u8> = ipip[0].packets.iter().map(|p| p.depth).collect();
    assert_eq!(depths, [0, 1]);
    assert_eq!(ipip[0].packets[0].proto, Some(Proto(4)));
}

#[test]
fn a_whole_output_with_head_and_tail() {
    let all = parse(ANY);
    assert_eq!(all.len(), 1);
    let s = &all[0];
    assert_eq!(s.dev(), Some("any"));
    assert!(s.captured.is_some());
    assert_eq!((s.dropped, s.cut), (0, None));
    // Every line that begins with a time is a packet of IP or another.
    let lines = ANY.lines().filter(|l| l.get(2..3) == Some(":")).count();
    let outer = s.packets.iter().filter(|p| p.depth == 0).count();
    assert_eq!(outer + s.others as usize, lines);
    assert!(
        s.packets
            .iter()
            .all(|p| p.dev != Dev::Unknown && p.way.is_some())
    );
}

#[test]
fn commands_divide_a_text() {
    let text = "$ tcpdump -n -i any host 10.0.0.1
...
12:00:00.1 eth0 In IP 10.0.0.1.5 > 10.0.0.2.80: Flags [S], seq 1, length 0
$ tcpdump -n -i eth1
12:00:00.1 IP 10.0.0.1.5 > 10.0.0.2.80: Flags [S], seq 1, length 0
";
    let all = parse(text);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].cut, all[0].dev()), (Some(2), Some("any")));
    assert_eq!((all[1].cut, all[1].dev()), (None, Some("eth1")));
}

#[test]
fn other_text_is_no_packet() {
    for text in [
        "10.0.0.0/8 via 10.0.0.1 dev eth0",
        "-A INPUT -s 10.0.0.1/32 -j ACCEPT",
        "IP Virtual Server version 1.2.1 (size=4096)",
        "  -> 10.0.0.1:80                  Masq    1      0          0",
        "root@node:~# ls",
        "12:00:00 up 3 days,  2:00,  1 user",
        "default via 10.0.0.1 dev eth0 proto static",
    ] {
        assert!(parse(text).iter().all(|s| s.packets.is_empty()), "{text}");
        assert_eq!(votes(text), None, "{text}");
    }
}
