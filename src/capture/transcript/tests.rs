//! Which outputs of a session count, and what is said of it.

use crate::capture::Snapshot;
use nfwhy_parsers::recognise::Kind;

fn session(text: &str) -> Snapshot {
    let mut s = Snapshot::default();
    s.add("ticket.txt".to_owned(), text.as_bytes().to_vec());
    s
}

/// The text of a kind with its line numbers, without empty lines.
fn lines(s: &Snapshot, kind: Kind) -> Vec<String> {
    s.files
        .iter()
        .filter(|f| f.kind == kind)
        .flat_map(|f| {
            (1..)
                .zip(f.text.lines())
                .filter(|(_, l)| !l.trim().is_empty())
                .map(|(n, l)| format!("{n} {}", l.trim_end()))
        })
        .collect()
}

fn remarks(s: &Snapshot) -> String {
    s.remarks.join("\n")
}

#[test]
fn outputs_stand_at_the_lines_of_the_session() {
    let s = session(
        "Look at this:\n\nroot@n1:~# ip route\ndefault via 10.0.0.1 dev eth0\n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.5\nroot@n1:~# ip rule\n0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
    );
    assert_eq!(
        lines(&s, Kind::Route),
        [
            "4 default via 10.0.0.1 dev eth0",
            "5 10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.5"
        ]
    );
    assert_eq!(lines(&s, Kind::Rule).len(), 2);
    assert!(s.partial.is_empty(), "{:?}", s.partial);
    assert!(s.remarks.is_empty(), "{:?}", s.remarks);
}

#[test]
fn the_last_of_two_outputs_counts_and_that_is_said() {
    let s = session(
        "# ipset list KUBE-LOAD-BALANCER-LOCAL\nName: KUBE-LOAD-BALANCER-LOCAL\nType: hash:ip,port\nHeader: family inet\nNumber of entries: 0\nMembers:\n\n# kubectl patch svc web -p '{\"spec\":{\"externalTrafficPolicy\":\"Local\"}}'\nservice/web patched\n# ipset list KUBE-LOAD-BALANCER-LOCAL\nName: KUBE-LOAD-BALANCER-LOCAL\nType: hash:ip,port\nHeader: family inet\nNumber of entries: 1\nMembers:\n192.0.2.10,tcp:80\n",
    );
    let text = lines(&s, Kind::Ipset);
    assert_eq!(
        text.first().map(String::as_str),
        Some("11 Name: KUBE-LOAD-BALANCER-LOCAL")
    );
    assert_eq!(
        text.last().map(String::as_str),
        Some("16 192.0.2.10,tcp:80")
    );
    assert!(
        remarks(&s).contains("set KUBE-LOAD-BALANCER-LOCAL (line 11, not 2)"),
        "{}",
        remarks(&s)
    );
}

#[test]
fn what_a_change_made_out_of_date_is_said() {
    let s = session(
        "# ipvsadm -ln\nTCP  192.0.2.10:80 rr\n  -> 10.244.1.5:80                Masq    1      0          0\n# kubectl scale deploy web --replicas 3\n# ipset list A\nName: A\nType: hash:ip\nHeader: family inet\nNumber of entries: 1\nMembers:\n10.0.0.1\n",
    );
    let r = remarks(&s);
    assert!(
        r.contains("ticket.txt:4: `kubectl scale deploy web --replicas 3` may have changed"),
        "{r}"
    );
    assert!(
        r.contains("IPVS (lines 2-3)") && !r.contains("ipsets"),
        "{r}"
    );
}

#[test]
fn a_filtered_or_cut_listing_is_known_to_be_one() {
    for (text, kind) in [
        (
            "$ ip route | grep 10.244\n10.244.1.0/24 via 10.0.0.7 dev eth0\n",
            Kind::Route,
        ),
        (
            "$ ip a show dev eth0\n2: eth0: <UP> mtu 1500\n    inet 10.0.0.5/24 scope global eth0\n",
            Kind::Link,
        ),
        (
            "$ ip a\n...\n2: eth0: <UP> mtu 1500\n    inet 10.0.0.5/24 scope global eth0\n",
            Kind::Link,
        ),
        (
            "$ ipvsadm -ln | head -3\nTCP  192.0.2.10:80 rr\n  -> 10.244.1.5:80                Masq    1      0          0\n",
            Kind::Ipvs,
        ),
    ] {
        let s = session(text);
        assert!(s.partial.iter().any(|p| p.kind == kind), "{text}");
    }
    let whole = session("$ ip route show table all\ndefault via 10.0.0.1 dev eth0\n");
    assert!(whole.partial.is_empty(), "{:?}", whole.partial);
}

#[test]
fn outputs_of_pods_and_of_other_machines_are_left_out_and_named() {
    let s = session(
        "root@n1:~# kubectl exec -it web-0 -- ip a\n1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n4: eth0@if15: <UP> mtu 1450\n    inet 10.244.1.5/32 scope global eth0\nroot@n1:~# iptables-save\n*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 192.0.2.1/32 -j DNAT --to-destination 10.244.1.5\nCOMMIT\nroot@n2:~# ip route\ndefault via 10.9.9.9 dev eth0\n",
    );
    assert!(lines(&s, Kind::Link).is_empty());
    assert!(lines(&s, Kind::Route).is_empty());
    assert_eq!(lines(&s, Kind::IptablesSave).len(), 4);
    let r = remarks(&s);
    assert!(
        r.contains("ticket.txt:2: output of another network namespace (pod web-0)"),
        "{r}"
    );
    assert!(r.contains("n1 is the node") && r.contains("n2"), "{r}");
}

#[test]
fn a_shell_within_goes_on_until_it_is_left() {
    let s = session(
        "root@n1:~# kubectl -n shop exec -ti web-0 -- sh\n/ # ip route\ndefault via 169.254.1.1 dev eth0\n/ # exit\nroot@n1:~# ip route\ndefault via 10.0.0.1 dev ens3\n",
    );
    assert_eq!(lines(&s, Kind::Route), ["6 default via 10.0.0.1 dev ens3"]);
    assert!(remarks(&s).contains("pod shop/web-0"));
    let s = session(
        "root@n1:~# nsenter -t 4711 -n\nroot@n1:~# ip route\ndefault via 169.254.1.1 dev eth0\nroot@n1:~# exit\nroot@n1:~# ip route\ndefault via 10.0.0.1 dev ens3\n",
    );
    assert_eq!(lines(&s, Kind::Route), ["6 default via 10.0.0.1 dev ens3"]);
    // Process 1's namespace is the node's own.
    let s = session("$ nsenter -t 1 -n ip route\ndefault via 10.0.0.1 dev ens3\n");
    assert_eq!(lines(&s, Kind::Route), ["2 default via 10.0.0.1 dev ens3"]);
}

#[test]
fn chains_shown_one_by_one_are_one_table() {
    let s = session(
        "root@n1:~# iptables -nvL -t nat\nChain PREROUTING (policy ACCEPT 16 packets, 960 bytes)\n pkts bytes target     prot opt in     out     source               destination\n 302K   18M KUBE-SERVICES  all  --  *      *       0.0.0.0/0            0.0.0.0/0\n\nThe next chain:\n\nroot@n1:~# iptables -t nat -nvL KUBE-SERVICES\nChain KUBE-SERVICES (2 references)\n pkts bytes target     prot opt in     out     source               destination\n    0     0 KUBE-MARK-MASQ  all  --  *      *      !10.244.0.0/16       0.0.0.0/0\n\nAnd further down there is\n\nChain KUBE-MARK-MASQ (3 references)\n pkts bytes target     prot opt in     out     source               destination\n    0     0 MARK       all  --  *      *       0.0.0.0/0            0.0.0.0/0            MARK or 0x4000\n",
    );
    let listings = s.files.iter().filter(|f| f.kind == Kind::IptablesListing);
    assert_eq!(listings.count(), 1);
    let node = crate::node::Node::new(&s);
    let [nat] = node.netfilter.tables.as_slice() else {
        panic!("{} tables", node.netfilter.tables.len());
    };
    assert_eq!(nat.kind.name(), "nat");
    assert_eq!(nat.chains.len(), 3);
    assert!(node.in_part.tables4);
}

#[test]
fn rules_that_a_terminal_wrapped_are_whole_again() {
    let rule = "-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment \"kube-system/kube-dns:dns cluster IP\" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU";
    let (a, rest) = rule.split_at(80);
    for text in [
        format!(
            "$ iptables-save -t nat\n*nat\n:KUBE-SERVICES - [0:0]\n{a}\n{rest}\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n"
        ),
        // A mail client breaks at a blank.
        format!(
            "$ iptables-save -t nat\n*nat\n:KUBE-SERVICES - [0:0]\n{}\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n",
            rule.replacen(" -m udp", "\n-m udp", 1)
        ),
    ] {
        let s = session(&text);
        let l = lines(&s, Kind::IptablesSave);
        assert!(l.contains(&format!("4 {rule}")), "{l:#?}");
        assert!(
            l.contains(&"6 -A KUBE-SERVICES -j RETURN".to_owned()),
            "{l:#?}"
        );
    }
}

#[test]
fn tables_of_one_command_are_named_in_its_routes() {
    let s = session(
        "$ ip route show table 100\ndefault via 10.0.9.1 dev eth1\n$ ip route\ndefault via 10.0.0.1 dev eth0\n",
    );
    assert_eq!(
        lines(&s, Kind::Route),
        [
            "2 default via 10.0.9.1 dev eth1 table 100",
            "4 default via 10.0.0.1 dev eth0"
        ]
    );
}

#[test]
fn clean_captures_are_no_sessions() {
    for text in [
        "# Generated by iptables-save v1.8.9 on Mon Mar  4 10:00:00 2024\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n# Completed on Mon Mar  4 10:00:00 2024\n",
        "default via 10.0.0.1 dev eth0\nblackhole 10.0.0.0/8\n",
        "# ip route\ndefault via 10.0.0.1 dev eth0\n",
    ] {
        let s = session(text);
        assert_eq!(s.files.len(), 1, "{text}");
        assert!(s.remarks.is_empty(), "{text}: {:?}", s.remarks);
    }
}

#[test]
fn of_filtered_rules_the_usual_ones_are_taken_as_always_and_that_is_said() {
    let s = session(
        "$ iptables-save | grep web\n-A KUBE-NODEPORTS -p tcp -m comment --comment \"shop/web\" -m tcp --dport 30080 -j KUBE-EXT-AAAAAAAAAAAAAAAA\n-A KUBE-EXT-AAAAAAAAAAAAAAAA -m comment --comment \"masquerade traffic for shop/web external destinations\" -j KUBE-MARK-MASQ\n-A KUBE-EXT-AAAAAAAAAAAAAAAA -j KUBE-SVC-AAAAAAAAAAAAAAAA\n-A KUBE-SVC-AAAAAAAAAAAAAAAA -m comment --comment \"shop/web -> 10.244.1.5:80\" -j KUBE-SEP-AAAAAAAAAAAAAAAA\n-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m comment --comment \"shop/web\" -m tcp -j DNAT --to-destination 10.244.1.5:80\n-A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment \"shop/web has no endpoints\" -m tcp --dport 81 -j REJECT --reject-with icmp-port-unreachable\n$ ip -4 addr\n1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n2: eth0: <UP> mtu 1500\n    inet 192.0.2.12/24 scope global eth0\n5: cni0: <UP> mtu 1450\n    inet 10.244.1.1/24 scope global cni0\n",
    );
    let node = crate::node::Node::new(&s);
    let tables: Vec<&str> = node
        .netfilter
        .tables
        .iter()
        .map(|t| t.kind.name())
        .collect();
    assert_eq!(tables, ["nat", "filter"]);
    assert!(
        remarks(&s).contains("taken to be as it always writes them"),
        "{}",
        remarks(&s)
    );
    let spec: crate::cli::PacketSpec = serde_json::from_str(
        r#"{"src":"198.51.100.7","dst":"192.0.2.12","proto":"tcp","dport":30080,"iif":"eth0"}"#,
    )
    .expect("a packet");
    let trace =
        crate::sim::simulate(&node, &spec.resolve(&node).expect("a packet")).expect("an answer");
    let o = trace.outcomes.first().expect("an outcome");
    let d = o.delivered.expect("it arrives");
    assert_eq!(d.dst.to_string(), "10.244.1.5");
    assert_eq!(d.src.map(|s| s.to_string()).as_deref(), Some("10.244.1.1"));
    assert!(o.masq_mark);
    // Nothing of it is certain, and it is said what it rests on.
    assert_eq!(o.probability, None);
    assert!(
        o.assumptions
            .iter()
            .any(|a| a.contains("KUBE-POSTROUTING") && a.contains("not shown"))
    );
    assert!(o.missing.iter().any(|m| m.command == "iptables-save"));
}

/// A set's name behind `@`, and a comparison or a handle behind it, look like the prompt of a shell.
#[test]
fn rules_of_nft_that_name_sets_are_no_prompts() {
    let text = "table inet f { # handle 1\n\tset banned { # handle 2\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.9 }\n\t}\n\n\tchain input { # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n\t\tip saddr @banned drop # handle 3\n\t\toifname @out ip6 hoplimit > 63 accept # handle 4\n\t\ttcp dport 22 accept # handle 5\n\t}\n}\n";
    let s = session(text);
    assert_eq!(s.files.len(), 1);
    for f in &s.files {
        assert_eq!((f.kind, f.text.as_str()), (Kind::Nft, text));
    }
}

#[test]
fn a_quoted_mail_is_read_as_what_it_quotes() {
    let s = session(
        "On Monday somebody wrote:\n> kube-w3:~ # ip r\n> default via 192.0.2.1 dev eth0\n> 192.0.2.0/24 dev eth0 scope link\n> kube-w3:~ # ip rule\n> 0:\tfrom all lookup local\n\nThanks\n",
    );
    assert_eq!(
        lines(&s, Kind::Route),
        [
            "3 default via 192.0.2.1 dev eth0",
            "4 192.0.2.0/24 dev eth0 scope link"
        ]
    );
    assert_eq!(lines(&s, Kind::Rule).len(), 1);
    // A prompt may have that shape.
    let s =
        session("> ip r\ndefault via 192.0.2.1 dev eth0\n> ip rule\n0:\tfrom all lookup local\n");
    assert_eq!(lines(&s, Kind::Route).len(), 1);
}
