use super::trie::Seed;
use super::{RedactError, Report, redact_with};
use nfwhy_parsers::recognise::Kind;

fn redacted(kind: Kind, text: &str) -> (String, Report) {
    let mut files = [("file".to_owned(), kind, text.to_owned())];
    let report = redact_with(&mut files, Seed(11, 12)).unwrap_or_else(|e| panic!("{e}"));
    let [(_, _, text)] = files;
    (text, report)
}

/// The image of an address, as text.
fn at(report: &Report, address: &str) -> String {
    let ip = address
        .parse()
        .unwrap_or_else(|_| panic!("{address} is an address"));
    let image = report.address(ip);
    assert_ne!(image, ip);
    image.to_string()
}

/// `text` with `{address}` for the image of an address becomes what `text` without braces is redacted to.
fn check(kind: Kind, text: &str) {
    let original = text.replace(['{', '}'], "");
    let (new, report) = redacted(kind, &original);
    let mut expected = String::new();
    for part in text.split('{') {
        match part.split_once('}') {
            Some((a, rest)) => {
                expected += &at(&report, a);
                expected += rest;
            }
            None => expected += part,
        }
    }
    assert_eq!(new, expected);
}

#[test]
fn addresses_are_found_in_every_form() {
    for (kind, text) in [
        (
            Kind::IptablesSave,
            "-A X -s {10.1.2.3}/32 ! -d {10.9.2.0}/24 -j DNAT --to-destination {10.1.2.4}:80\n",
        ),
        (
            Kind::IptablesSave,
            "-A X -m iprange --src-range {10.1.2.3}-{10.1.2.9} -j DROP\n",
        ),
        (
            Kind::IptablesSave,
            "-A X -j DNAT --to-destination [{fd00:1::5}]:80\n",
        ),
        (
            Kind::IptablesSave,
            "-A X -j SNAT --to-source {fd00:1::5}-{fd00:1::9}\n",
        ),
        (
            Kind::IptablesListing,
            "1  DNAT  tcp  --  *  *  0.0.0.0/0  {10.1.2.3}  to:{10.1.2.4}:80\n",
        ),
        (
            Kind::IptablesListing,
            "1  DNAT  tcp  *  *  ::/0  {fd00:1::5}  to:[{fd00:1::6}]:80\n",
        ),
        (
            Kind::Ipset,
            "add S {10.1.2.3},tcp:80,{10.1.2.3}\nadd S {10.1.4.0}/24,eth0\nadd S {fd00:1::5},tcp:80\n",
        ),
        (
            Kind::Ipset,
            "create S bitmap:ip range {10.1.2.0}-{10.1.3.255}\nadd S {10.1.2.3}-{10.1.2.9}\n",
        ),
        (
            Kind::Ipvs,
            "-a -t [{fd00:1::5}]:80 -r [{fd00:1::6}]:8080 -m -w 1\n",
        ),
        (
            Kind::Ipvs,
            "TCP  {10.1.2.3}:80 rr persistent 10 mask 255.255.255.0\n  -> {10.1.2.4}:80  Masq 1 0 0\n",
        ),
        (
            Kind::Route,
            "default via {10.1.2.1} dev eth0 src {10.1.2.3}\n{fd00:1::}/64 via fe80::1 dev eth0\n",
        ),
        (
            Kind::Neigh,
            "{10.1.2.3} dev eth0 lladdr 01:00:5e:00:00:01 STALE\n",
        ),
        (
            Kind::Conntrack,
            "tcp 6 99 src={10.1.2.3} dst={fd00:1::5} sport=1 dport=2\n",
        ),
        (
            Kind::Nft,
            "\t\t{fd00:1::5} . tcp . 80 : accept, {10.1.2.3}-{10.1.2.9} : drop\n",
        ),
        (
            Kind::Nft,
            "\t\tip saddr & 255.255.0.0 == {10.1.2.3} accept\n",
        ),
        (
            Kind::RouteN,
            "{10.1.4.0}     {10.1.2.1}   255.255.255.0   UG  0 0 0 eth0\n",
        ),
    ] {
        check(kind, text);
    }
}

#[test]
fn lengths_in_json_are_those_of_networks() {
    let text = r#"{"prefix": {"addr": "10.240.0.0", "len": 12}}, {"range": ["10.240.7.1", "10.240.7.9"]}, "10.251.0.0""#;
    let (new, report) = redacted(Kind::Nft, text);
    assert!(
        new.contains(&format!("[\"{}\"", at(&report, "10.240.7.1"))),
        "{new}"
    );
    let network = new.split('"').nth(5).unwrap_or("");
    let whole: ipnetwork::Ipv4Network = format!("{network}/12")
        .parse()
        .unwrap_or_else(|e| panic!("{e}: {new}"));
    assert_eq!(whole.network(), whole.ip(), "{new}");
    assert!(
        at(&report, "10.251.0.0")
            .parse()
            .is_ok_and(|a| whole.contains(a))
    );
}

#[test]
fn a_network_stays_a_network_and_a_host_of_zeros_moves() {
    let text = "10.1.0.0/16 dev eth0\n10.233.0.0/17 dev eth0\n10.233.98.0/32 dev eth0\nlocal 10.233.98.0 dev eth0\n10.233.98.7 dev eth0\n";
    let (new, report) = redacted(Kind::Route, text);
    let lines: Vec<&str> = new.lines().collect();
    assert!(
        lines[0].contains(".0.0/16 ") && !lines[0].starts_with("10.1.0.0"),
        "{new}"
    );
    assert!(lines[2].starts_with(&at(&report, "10.233.98.0")), "{new}");
    assert_eq!(
        lines[3],
        format!("local {} dev eth0", at(&report, "10.233.98.0"))
    );
}

/// Nothing that is compared with it may change sides, so little of it can change.
#[test]
fn what_is_compared_by_order_is_named_where_it_stays() {
    for text in [
        "\t\tip daddr < 10.2.0.0 accept\n",
        "\"op\": \"<\", \"left\": {\"payload\": {\"protocol\": \"ip\", \"field\": \"daddr\"}}, \"right\": \"10.2.0.0\"}\n",
    ] {
        let (_, report) = redacted(Kind::Nft, &format!("{text}\t\tip saddr 10.7.0.9 drop\n"));
        let limit: std::net::IpAddr = "10.2.0.0".parse().unwrap_or_else(|e| panic!("{e}"));
        for x in [
            "10.1.255.255",
            "10.2.0.1",
            "10.7.0.9",
            "10.0.0.1",
            "11.0.0.1",
        ] {
            let x: std::net::IpAddr = x.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(x < limit, report.address(x) < limit, "{x}");
        }
        assert!(
            report
                .left
                .iter()
                .any(|l| l.starts_with("file:1: 10.2.0.0")),
            "{:?}",
            report.left
        );
    }
}

#[test]
fn what_a_mask_leaves_out_stays_zero() {
    let text = "-A X -s 10.7.0.1/255.255.0.255 -j DROP\n-A X -s 10.7.0.5/255.0.255.255 -j DROP\n";
    let (new, report) = redacted(Kind::IptablesSave, text);
    assert!(
        !new.contains("10.7.0.1") && new.contains(".0.1/255.255.0.255 "),
        "{new}"
    );
    assert!(new.contains("/255.0.255.255 -j"), "{new}");
    let same = |t: &str| report.address(t.parse().unwrap_or_else(|e| panic!("{e}")));
    let (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) = (same("10.7.9.1"), same("10.7.77.1"))
    else {
        panic!("the family stays");
    };
    assert_eq!(
        (a.octets()[1], a.octets()[2], b.octets()[2]),
        (b.octets()[1], 9, 77)
    );
}

#[test]
fn hexadecimal_addresses_of_proc_are_rewritten() {
    let text = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\nTCP  0AE90001:01BB rr  \n  -> C0A83C0B:192B      Masq    1      0          0         \n";
    let (new, report) = redacted(Kind::Ipvs, text);
    let a: std::net::Ipv4Addr = at(&report, "10.233.0.1")
        .parse()
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(
        new.contains(&format!("TCP  {:08X}:01BB rr", a.to_bits())),
        "{new}"
    );
    assert!(!new.contains("C0A83C0B"), "{new}");
}

#[test]
fn macs_are_numbered_and_groups_stay() {
    let text = "1: eth0: <UP>\n    link/ether 52:54:00:AB:CD:EF brd ff:ff:ff:ff:ff:ff\n    bridge bridge_id 8000.52:54:0:ab:cd:ef designated_root 8000.0:0:0:0:0:0\n    link/ether 02:00:00:00:00:01 brd 01:00:5e:00:00:01\n";
    let (new, _) = redacted(Kind::Link, text);
    assert!(
        new.contains("link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff"),
        "{new}"
    );
    assert!(
        new.contains("bridge_id 8000.2:0:0:0:0:2 designated_root 8000.0:0:0:0:0:0"),
        "{new}"
    );
    assert!(
        new.contains("link/ether 02:00:00:00:00:03 brd 01:00:5e:00:00:01"),
        "{new}"
    );
}

#[test]
fn devices_keep_what_wildcards_hold() {
    let text = "-A X -i cali+ -g Y\n-A Y -i cali5+ -g cali-from-wl-dispatch-5\n-A Z -i cali5e81d40a6c2 -g cali-fw-cali5e81d40a6c2\n-A Z -i cali6e81d40a6c2 -g Y\n-A Z -i acme-storage -o eth0 -j ACCEPT\n-A Z -i acme+ -j DROP\n";
    let (new, report) = redacted(Kind::IptablesSave, text);
    let (five, six) = (
        report.device("cali5e81d40a6c2"),
        report.device("cali6e81d40a6c2"),
    );
    assert!(five.starts_with("cali5") && five.len() == 15, "{five}");
    assert!(
        six.starts_with("cali") && !six.starts_with("cali5"),
        "{six}"
    );
    assert!(
        new.contains(&format!("-i {five} -g cali-fw-{five}")),
        "{new}"
    );
    let custom = report.device("acme-storage");
    let (stem, _) = new
        .rsplit_once("+ -j DROP")
        .and_then(|(l, _)| l.rsplit_once(' ').map(|(a, b)| (b, a)))
        .expect("a wildcard");
    assert!(custom.starts_with(stem) && stem.len() > 2, "{new}");
    assert!(!new.contains("storage") && !new.contains("acme"), "{new}");
    assert_eq!(report.left, Vec::<String>::new());
    assert_eq!(report.device("eth0"), "eth0");
}

#[test]
fn wildcards_within_wildcards_hold_what_they_held() {
    let stems = ["acme", "acme-in", "acme-inner", "shop"];
    let devices = [
        "acme0",
        "acme-in7",
        "acme-inner3",
        "shop1",
        "other9",
        "acme-i",
    ];
    let mut text = String::new();
    for s in stems {
        text += &format!("-A X -i {s}+ -j DROP\n");
    }
    for d in devices {
        text += &format!("-A X -i {d} -j DROP\n");
    }
    let (new, report) = redacted(Kind::IptablesSave, &text);
    let images: Vec<&str> = new
        .lines()
        .filter_map(|l| l.split(' ').nth(3)?.strip_suffix('+'))
        .collect();
    assert_eq!(images.len(), stems.len(), "{new}");
    for d in devices {
        let image = report.device(d);
        assert!(image != d && image.len() <= 15, "{new}");
        for (s, i) in stems.iter().zip(&images) {
            assert_eq!(d.starts_with(s), image.starts_with(i), "{d} {s}+: {new}");
        }
    }
    assert_eq!(report.left, Vec::<String>::new());
}

/// `add S 10.0.0.0/8,acme wildcard`: the word that makes it one stands apart, and a device may be called `acme` too.
#[test]
fn a_sets_wildcard_holds_the_devices_that_it_held() {
    for text in [
        "add S {net}/8,acme wildcard\nadd S {net}/8,acme\nadd S {net}/8,acme0\nadd S {net}/8,other0 comment \"no wildcard\"\n",
        "add S {net}/8,physdev:acme nomatch wildcard\nadd S {net}/8,acme\nadd S {net}/8,physdev:acme0\nadd S {net}/8,other0\n",
        "{net}/8,acme wildcard comment \"a, wildcard b\"\n{net}/8,acme nomatch comment \"wildcard\"\n{net}/8,acme0\n{net}/8,other0\n",
    ] {
        for net in ["10.0.0.0", "fd00::"] {
            let text = text.replace("{net}", net);
            let (new, report) = redacted(Kind::Ipset, &text);
            let device = |l: &str| -> String {
                let word = l.split(' ').find(|w| w.contains(',')).unwrap_or("");
                word.rsplit([',', ':']).next().unwrap_or("").to_owned()
            };
            let all: Vec<String> = new.lines().map(device).collect();
            let [stem, same, held, apart] = all.as_slice() else {
                panic!("{new}");
            };
            assert!(!new.contains("acme") && !new.contains("other"), "{new}");
            assert!(
                same.starts_with(stem.as_str()) && held.starts_with(stem.as_str()),
                "{new}"
            );
            assert!(!apart.starts_with(stem.as_str()) && same != held, "{new}");
            assert_eq!(report.device("acme0"), held, "{new}");
            let count = |t: &str| t.matches("wildcard").count();
            assert_eq!(count(&new), count(&text), "{new}");
            assert_eq!(report.left, Vec::<String>::new());
        }
    }
}

#[test]
fn a_wildcard_that_holds_a_device_of_every_node_stays_and_is_named() {
    let text = "-A X -i cilium_h+ -j DROP\n-A X -i cilium_host -j DROP\n";
    let (new, report) = redacted(Kind::IptablesSave, text);
    assert_eq!(new, text);
    assert_eq!(
        report.left,
        ["file:1: the beginning of devices' names, which a wildcard holds"]
    );
}

#[test]
fn services_keep_their_form() {
    let text = "-A KUBE-SERVICES -m comment --comment \"acme/front:web cluster IP\" -j KUBE-SVC-ABCDEFGHIJKLMNO2\n-A KUBE-SVC-ABCDEFGHIJKLMNO2 -m comment --comment acme/front:web -j KUBE-SEP-ABCDEFGHIJKLMNO3\n-A KUBE-FW-ABCDEFGHIJKLMNO2 -m comment --comment \"acme/front:web -> 10.1.2.3:80\" -j RETURN\n";
    let (new, report) = redacted(Kind::IptablesSave, text);
    assert!(
        new.contains("--comment \"ns1/svc1:port1 cluster IP\" -j KUBE-SVC-"),
        "{new}"
    );
    assert!(
        new.contains("--comment ns1/svc1:port1 -j KUBE-SEP-"),
        "{new}"
    );
    assert!(
        new.contains(&format!("ns1/svc1:port1 -> {}:80", at(&report, "10.1.2.3"))),
        "{new}"
    );
    assert!(!new.contains("ABCDEFGHIJKLMNO"), "{new}");
    let hash = new
        .split("KUBE-SVC-")
        .nth(1)
        .and_then(|t| t.get(..16))
        .unwrap_or("");
    assert!(
        new.contains(&format!("-A KUBE-SVC-{hash} ")) && new.contains(&format!("KUBE-FW-{hash}")),
        "{new}"
    );
}

#[test]
fn chains_of_nftables_mode_hold_addresses() {
    let text = "\tchain endpoint-5OJB2KTY-acme/front/tcp/web__10.1.2.3/80 {\n\tchain endpoint-5OJB2KTA-acme/front/tcp/web__fd00.1..5/80 {\n\tchain service-5OJB2KTB-acme/front/tcp/ {\n";
    let (new, report) = redacted(Kind::Nft, text);
    let v4 = format!("-ns1/svc1/tcp/port1__{}/80 {{", at(&report, "10.1.2.3"));
    let v6 = format!(
        "-ns1/svc1/tcp/port1__{}/80 {{",
        at(&report, "fd00:1::5").replace(':', ".")
    );
    assert!(new.contains(&v4) && new.contains(&v6), "{new}");
    assert!(
        new.contains("-ns1/svc1/tcp/ {") && !new.contains("5OJB2"),
        "{new}"
    );
}

#[test]
fn comments_keep_what_programs_write() {
    for (text, expected) in [
        ("kubernetes service portals", "kubernetes service portals"),
        ("acme/front has no endpoints", "ns1/svc1 has no endpoints"),
        ("Acme's shop, ticket 4711", "word1's word2, word3 4711"),
        (
            "name: \\\"acme\\\" id: \\\"0123456789abcdef\\\"",
            "name: \\\"word1\\\" id: \\\"word2\\\"",
        ),
        ("Müller erlaubt das", "word1 word2 word3"),
    ] {
        let (new, _) = redacted(
            Kind::IptablesSave,
            &format!("-A X -m comment --comment \"{text}\" -j Y\n"),
        );
        assert_eq!(
            new,
            format!("-A X -m comment --comment \"{expected}\" -j Y\n")
        );
    }
    let (new, _) = redacted(
        Kind::IptablesSave,
        "-A X -j LOG --log-prefix \"acme-drop: \"\n-A X -j NFLOG --nflog-prefix acme\n",
    );
    assert_eq!(
        new,
        "-A X -j LOG --log-prefix \"word1: \"\n-A X -j NFLOG --nflog-prefix word2\n"
    );
    let (new, _) = redacted(
        Kind::Ipset,
        "create S hash:ip comment\nadd S 127.0.0.1 comment \"acme\"\n",
    );
    assert!(
        new.ends_with("comment \"word1\"\n") && new.starts_with("create S hash:ip comment\n"),
        "{new}"
    );
    let (new, _) = redacted(
        Kind::IptablesListing,
        "1 ACCEPT tcp -- 0.0.0.0/0 0.0.0.0/0 /* acme only */ tcp dpt:80\n",
    );
    assert!(new.contains("/* word1 only */ tcp dpt:80"), "{new}");
}

#[test]
fn chains_of_the_site_are_renamed_alike_everywhere() {
    let text = "*filter\n:ACME-IN - [0:0]\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACME-IN\n";
    let (new, _) = redacted(Kind::IptablesSave, text);
    assert_eq!(
        new,
        "*filter\n:name1-IN - [0:0]\n:INPUT ACCEPT [0:0]\n-A INPUT -j name1-IN\n"
    );
}

#[test]
fn hosts_and_settings_are_replaced() {
    let text = "kernel.hostname = acme-7\nkernel.core_pattern = |/opt/acme\nnet.ipv4.ip_forward = 1\nnet.ipv4.conf.acme/100.rp_filter = 1\nnet.ipv4.tcp_congestion_control = cubic\n";
    let (new, _) = redacted(Kind::Sysctl, text);
    assert_eq!(
        new,
        "kernel.hostname = host1\nkernel.core_pattern = removed\nnet.ipv4.ip_forward = 1\nnet.ipv4.conf.dev1.rp_filter = 1\nnet.ipv4.tcp_congestion_control = cubic\n"
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let (_, report) = redacted(
        Kind::IptablesSave,
        "-A X -j Y\n-A X -m u32 --u32 \"0x0>>0x16&0x3c@0x14=0xa010203\" -j DROP\n",
    );
    assert_eq!(
        report.left,
        ["file:2: a test of raw words (u32), which may hold an address"]
    );
}

#[test]
fn a_full_network_is_refused_and_nothing_is_changed() {
    let mut text = String::new();
    for n in 0..65536 {
        text += &format!("add S 192.168.{}.{}\n", n / 256, n % 256);
    }
    let mut files = [("s".to_owned(), Kind::Ipset, text.clone())];
    let e = redact_with(&mut files, Seed(1, 2)).map(|_| ());
    assert!(
        matches!(e, Err(RedactError::Crowded { line: 1, .. })),
        "{e:?}"
    );
    assert_eq!(files[0].2, text);
}

#[test]
fn no_text_makes_it_panic() {
    let odd = [
        "",
        "\u{fc}",
        "comment \"\\\u{fc}",
        "--comment \\\u{fc}\u{fc}x \u{fc}",
        "a:\u{fc}",
        "::",
        ":::::",
        "1.2.3.",
        "1.2.3.4.5",
        "1.2.3.4/",
        "1.2.3.4/999",
        "1.2.3.4-",
        "endpoint-ABCDEFGH-",
        "endpoint-ABCDEFGH-a__",
        "cali:",
        "8000.1:2",
        "\"range\": [\"1.2.3.4",
        "@ # ",
        "net.ipv4.conf.",
        "net.ipv4.conf.x",
        "= ",
        "create ",
        "create S netmask 99\nadd S 1.2.3.4",
        "/* ",
        "/* \u{fc} */",
        "alias ",
        "fe80::%",
        "1: ",
        "service-\u{fc}\u{fc}\u{fc}\u{fc}-x",
        "0AE90001:01BB",
        "\u{fc}AE90001:01BB\u{fc}",
        " & 255.0.255.0",
        "x & ::",
        "1.2.3.4/0.0.0.0",
        "add S 1.2.3.4,\u{fc}x wildcard",
        "1.2.3.4,physdev: wildcard",
        "::/ffff::",
        "::1.2.3.4",
    ];
    for kind in [
        Kind::IptablesSave,
        Kind::IptablesListing,
        Kind::Ipset,
        Kind::Ipvs,
        Kind::Link,
        Kind::Route,
        Kind::RouteN,
        Kind::Nft,
        Kind::Sysctl,
        Kind::Conntrack,
        Kind::Unknown,
    ] {
        for a in odd {
            for b in odd {
                let text = format!("{a}{b}\n{b} {a}");
                let mut files = [("file".to_owned(), kind, text)];
                // Refusal is no panic.
                let _ = redact_with(&mut files, Seed(1, 2));
            }
        }
    }
}

#[test]
fn what_has_nothing_to_replace_stays_byte_for_byte() {
    let text = "-A X -m comment --comment \"\" \u{fc} -j\t\tY\r\n\r\n # \\\" \" [0:0] 1:2:3 v1.8.9 \u{1f600}\n";
    assert_eq!(redacted(Kind::Conntrack, text).0, text);
}

#[test]
fn addresses_in_the_bytes_of_a_map_do_not_stay() {
    let map = include_str!("../../../parsers/tests/data/cali-v4-nat-be.json");
    let mut files = [("file".to_owned(), Kind::CalicoBpf, map.to_owned())];
    super::redact(&mut files).unwrap_or_else(|e| panic!("{e}"));
    let [(_, _, text)] = files;
    let parse = |t: &str| nfwhy_parsers::calico_bpf::parse("cali_v4_nat_be", t).value;
    let (old, new) = (parse(map), parse(&text));
    assert_eq!(new.backends.len(), old.backends.len());
    for b in &old.backends {
        assert!(!new.backends.iter().any(|n| n.addr == b.addr), "{}", b.addr);
    }
}

#[test]
fn of_a_speakers_log_stays_who_announced_which_address_when() {
    let log = concat!(
        "[pod/acme-speaker-8k5wl/speaker] 2025-01-02T10:24:15.767871702Z {\"caller\":\"main.go:409\",\"event\":\"serviceAnnounced\",\"ips\":[\"10.80.8.102\"],\"msg\":\"acme\",\"level\":\"info\",\"pool\":\"acme\",\"protocol\":\"layer2\",\"service\":\"acme/front\",\"node\":\"acme-3\",\"ts\":\"2025-01-02T10:24:15Z\"}\n",
        "[pod/acme-speaker-8k5wl/speaker] {\"caller\":\"main.go:1\",\"event\":\"nodeJoined\",\"level\":\"info\",\"node\":\"acme-4\"}\n",
        "{\"caller\":\"main.go:453\",\"event\":\"serviceWithdrawn\",\"ips\":[\"10.80.8.102\"],\"level\":\"info\",\"reason\":\"notOwner\",\"ts\":\"2025-01-02T10:26:10Z\"}\n",
    );
    let mut files = [("speaker.log".to_owned(), Kind::Speaker, log.to_owned())];
    super::redact(&mut files).unwrap_or_else(|e| panic!("{e}"));
    let [(_, _, text)] = files;
    assert!(
        !text.contains("acme") && !text.contains("10.80.8.102"),
        "{text}"
    );
    let parse = |t: &str| nfwhy_parsers::speaker::parse(t).events;
    let (old, new) = (parse(log), parse(&text));
    let times = |all: &[nfwhy_parsers::speaker::Event]| -> Vec<_> {
        all.iter()
            .map(|e| (e.line, e.what, e.at, e.protocol.clone(), e.reason.clone()))
            .collect()
    };
    assert_eq!(times(&new), times(&old));
    assert_eq!(new[0].node.as_deref(), Some("host1"));
    assert_eq!(new[0].ips, new[1].ips);
}
