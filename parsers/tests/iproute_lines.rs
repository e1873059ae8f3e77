//! Routes, rules, neighbours and next hops that the samples do not have: other versions, odd and cut lines.

use nfwhy_parsers::iproute::link;
use nfwhy_parsers::iproute::route::{self, Route, RouteType};
use nfwhy_parsers::iproute::rule::{self, Action};
use nfwhy_parsers::iproute::{Scope, TableRef, neigh, nexthop};
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap_or_else(|e| panic!("{s}: {e}"))
}

fn one_route(text: &str) -> Route<'_> {
    let parsed = route::parse(text);
    assert_eq!(parsed.diagnostics, [], "{text}");
    assert_eq!(parsed.value.len(), 1, "{text}");
    parsed
        .value
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn route_lines_of_other_versions() {
    let r = one_route(
        "unreachable default dev lo  table unspec  proto kernel  metric 4294967295  error -101 pref medium",
    );
    assert_eq!(
        (r.ty, r.table, r.metric, r.error, r.family),
        (
            RouteType::Unreachable,
            TableRef::Id(0),
            Some(u32::MAX),
            Some(-101),
            Some(Family::V6)
        )
    );
    assert_eq!(
        one_route("unreachable fd00::/8 dev lo metric 1024 error 4294967183 pref medium").error,
        Some(-113)
    );
    let r = one_route("10.9.0.0/16 via 10.0.0.1 dev tunl0 proto bird onlink ");
    assert_eq!((r.proto.as_deref(), r.dst_len), (Some("bird"), 16));
    assert!(
        r.nexthops
            .iter()
            .all(|n| n.onlink && n.via == Some(ip("10.0.0.1")))
    );
    let r = one_route("10.9.0.0/16 dev eth0 table cilium scope link");
    assert_eq!(r.table, TableRef::Name("cilium".into()));
    let r = one_route("10.9.0.0/26 proto 80 nhid 7 pervasive offload rt_offload ");
    assert_eq!(
        (r.nhid, r.rest.as_deref(), r.nexthops.len()),
        (Some(7), Some("pervasive offload rt_offload"), 0)
    );
    let r = one_route(
        "10.9.0.0/16 nexthop via 10.0.0.1 dev a weight 2 nexthop via 10.0.0.2 dev b weight 3",
    );
    assert_eq!(
        r.nexthops.iter().map(|n| n.weight).collect::<Vec<_>>(),
        [2, 3]
    );
    let r = one_route(
        "10.9.0.0/16 \\\tnexthop via 10.0.0.1 dev a weight 1 dead linkdown \\\tnexthop via 10.0.0.2 dev b weight 1 offload",
    );
    assert_eq!(
        r.nexthops
            .iter()
            .map(|n| (n.dead, n.linkdown, n.rest.as_deref()))
            .collect::<Vec<_>>(),
        [(true, true, None), (false, false, Some("offload"))]
    );
    let r = one_route("10.9.0.0/16  encap mpls  100/200 via 10.0.0.1 dev a tos 0x10");
    assert_eq!(
        (r.nexthops.first().and_then(|n| n.encap.as_deref()), r.tos),
        (Some("mpls 100/200"), 0x10)
    );
    let r = one_route(
        r#"[{"dst":"10.9.0.0/16","encap":"mpls","dst":"100/200","gateway":"10.0.0.1","dev":"a","tos":"0x10","flags":[]}]"#,
    );
    assert_eq!(
        (
            r.nexthops.first().and_then(|n| n.encap.as_deref()),
            r.tos,
            r.dst
        ),
        (Some("mpls 100/200"), 0x10, Some(ip("10.9.0.0")))
    );
}

#[test]
fn family_of_a_bare_default() {
    use Family::{V4, V6};
    let table: &[(&str, &[Option<Family>])] = &[
        ("default dev ppp0", &[None]),
        ("default dev ppp0 scope link", &[Some(V4)]),
        ("default dev tun0 metric 1024 pref medium", &[Some(V6)]),
        ("default via fe80::1 dev eth0", &[Some(V6)]),
        ("default via inet6 fe80::1 dev eth0", &[Some(V4)]),
        ("default dev a\nfd00::/8 dev b", &[Some(V6), Some(V6)]),
        (
            "10.0.0.0/8 dev b\nthrow default table 7",
            &[Some(V4), Some(V4)],
        ),
        (
            "10.0.0.0/8 dev b\nthrow default table 7\nfd00::/8 dev b metric 1 pref medium",
            &[Some(V4), Some(V4), Some(V6)],
        ),
        (
            "10.0.0.0/8 dev b\nthrow default table 7\nfd00::/8 dev b",
            &[Some(V4), None, Some(V6)],
        ),
        (
            "default \n\tnexthop via fe80::1 dev a weight 1\n",
            &[Some(V6)],
        ),
        ("default dev a src 10.0.0.1", &[Some(V4)]),
    ];
    for (text, want) in table {
        let parsed = route::parse(text);
        assert_eq!(parsed.diagnostics, [], "{text}");
        let got: Vec<_> = parsed.value.iter().map(|r| r.family).collect();
        assert_eq!(got, *want, "{text}");
        for r in &parsed.value {
            assert_eq!(r.dst.is_some(), r.family.is_some(), "{text}");
        }
    }
}

#[test]
fn bad_route_lines_are_told_and_the_rest_stands() {
    for (text, routes, message) in [
        ("10.0.0.0/33 dev a", 0, "no route"),
        ("10.0.0.0/8 via", 1, "ends after `via`"),
        ("10.0.0.0/8 via nowhere dev a", 1, "`nowhere` is no value"),
        ("10.0.0.0/8 dev a sideways", 1, "`sideways`"),
        (
            "\tnexthop via 10.0.0.1 dev a weight 1",
            0,
            "without a route",
        ),
        ("root@node:~# ip route", 0, "no route"),
        (
            r#"[{"dst":"10.0.0.0/8","dev":"a","sideways":1}]"#,
            1,
            "`sideways`",
        ),
        (
            r#"[{"dst":"10.0.0.0/8","dev":"a"},{"dst":"10.1"#,
            1,
            "ends in the middle",
        ),
        (r#"[{"dst":"10.0.0.0/8",,}]"#, 0, "no valid JSON"),
    ] {
        let parsed = route::parse(text);
        assert_eq!(parsed.value.len(), routes, "{text}");
        assert_eq!(
            parsed.diagnostics.len(),
            1,
            "{text}: {:?}",
            parsed.diagnostics
        );
        assert!(
            parsed
                .diagnostics
                .iter()
                .all(|d| d.message.contains(message)),
            "{text}: {:?}",
            parsed.diagnostics
        );
    }
}

#[test]
fn repeated_routes_keep_their_order() {
    let text = "10.0.0.0/8 dev b\n10.0.0.0/8 dev a\n10.0.0.0/8 dev b\n";
    let devs: Vec<_> = route::parse(text)
        .value
        .into_iter()
        .filter_map(|r| r.nexthops.into_iter().next()?.dev)
        .collect();
    assert_eq!(devs, ["b", "a", "b"]);
}

#[test]
fn route_n() {
    let text = "\
Kernel IP routing table
Destination     Gateway         Genmask         Flags Metric Ref    Use Iface
0.0.0.0         192.0.2.1       0.0.0.0         UG    100    0        0 eth0
10.96.1.0       0.0.0.0         255.255.255.192 U     0      0        0 *
10.96.2.0       -               255.255.255.0   !     0      -        0 -
10.96.3.7       0.0.0.0         255.255.255.255 UH    0      0        0 cali1
";
    let parsed = route::parse_route_n(text);
    assert_eq!(parsed.diagnostics.len(), 1);
    let printed: Vec<String> = parsed.value.iter().map(ToString::to_string).collect();
    assert_eq!(
        printed,
        [
            "default via 192.0.2.1 dev eth0 metric 100",
            "blackhole 10.96.1.0/26",
            "unreachable 10.96.2.0/24",
            "10.96.3.7 dev cali1",
        ]
    );
    assert_eq!(
        route::parse_route_n("Kernel IP routing table\n").diagnostics,
        []
    );
    assert_eq!(route::parse_route_n("eth0 is up\n").diagnostics.len(), 1);
}

#[test]
fn route_n_of_a_real_node() {
    let all = include_str!("data/ip-route-all.txt");
    let main: Vec<_> = route::parse(all)
        .value
        .into_iter()
        .filter(|r| {
            r.table == TableRef::MAIN
                && r.family == Some(Family::V4)
                && r.ty != RouteType::Multicast
        })
        .collect();
    for (text, metric) in [
        (include_str!("data/ip-legacy-route-n.txt"), true),
        (include_str!("data/ip-legacy-route-nee.txt"), true),
        (include_str!("data/ip-legacy-netstat-rn.txt"), false),
    ] {
        let old = route::parse_route_n(text);
        assert_eq!(old.diagnostics.len(), 1, "{:?}", old.diagnostics);
        assert_eq!(old.value.len(), main.len());
        for (a, b) in old.value.iter().zip(&main) {
            assert_eq!((a.dst, a.dst_len), (b.dst, b.dst_len), "{b}");
            assert_eq!(a.metric, if metric { b.metric } else { None }, "{b}");
            if b.ty == RouteType::Unicast {
                assert_eq!(
                    a.nexthops.first().map(|n| &n.dev),
                    b.nexthops.first().map(|n| &n.dev),
                    "{b}"
                );
            }
        }
    }
    let six = route::parse_route_n(include_str!("data/ip-legacy-route-6-n.txt"));
    assert_eq!(six.diagnostics.len(), 1, "{:?}", six.diagnostics);
    assert!(
        six.value
            .iter()
            .any(|r| r.to_string() == "2001:db8:1::/48 via fe80::1 dev eth0 metric 1024")
    );
    assert!(
        six.value
            .iter()
            .any(|r| r.to_string() == "local ::1 dev lo table local metric 0")
    );
}

#[test]
fn rule_words() {
    let text = "\
0:      from all lookup local
100:    from all fwmark 0x200/0xf00 lookup 2004
110:    from 10.0.0.0/8 to fd00::1 iif eth0 oif wg0 tos 0x10 ipproto 17 sport 5 dport 80-90 uidrange 0-9 lookup main suppress_prefixlength 0 suppress_ifgroup default proto bird
1000:   from all lookup [l3mdev-table]
32765:  not from all fwmark 0xca6c lookup 51820
";
    let parsed = rule::parse(text);
    assert_eq!(parsed.diagnostics, []);
    let [_, mark, long, vrf, wg] = parsed.value.as_slice() else {
        panic!("{parsed:?}")
    };
    assert_eq!(mark.fwmark.map(|m| (m.value, m.mask)), Some((0x200, 0xf00)));
    assert_eq!(
        (long.from, long.to),
        (Some((ip("10.0.0.0"), 8)), Some((ip("fd00::1"), 128)))
    );
    assert_eq!(
        (long.ipproto, long.tos, long.suppress_prefixlength),
        (Some(Proto::UDP), Some(0x10), Some(0))
    );
    assert_eq!(long.dport.map(|p| (p.lo, p.hi)), Some((80, 90)));
    assert_eq!(
        (long.rest.as_deref(), &long.action),
        (Some("proto bird"), &Action::Lookup(TableRef::MAIN))
    );
    assert!(vrf.l3mdev && vrf.action == Action::L3mdev);
    assert!(wg.not && wg.fwmark.map(|m| m.mask) == Some(u32::MAX) && wg.from.is_none());
}

/// A selector that is not understood must not make the rule match more than it does.
#[test]
fn a_protocol_without_a_name_in_a_rule_is_its_number() {
    let parsed = rule::parse("9: from all ipproto ipproto-253 lookup 100");
    assert_eq!(parsed.diagnostics, []);
    assert_eq!(parsed.value[0].ipproto, Some(Proto(253)));
    assert_eq!(
        parsed.value[0].action,
        rule::Action::Lookup(TableRef::Id(100))
    );
}

#[test]
fn rules_with_unknown_selectors_are_opaque() {
    for (text, diagnostics) in [
        ("9: from all tun_id 5 lookup 100", 0),
        ("9: from all dscp 10 lookup 100", 0),
        ("9: from all flowlabel 0x5 lookup 100", 0),
        ("9: from all sideways lookup 100", 1),
        ("9: from all dport 80/0xfff0 lookup 100", 1),
        ("9: from elsewhere lookup 100", 1),
        (
            r#"[{"priority":9,"src":"all","tun_id":5,"table":"100"}]"#,
            0,
        ),
        (
            r#"[{"priority":9,"src":"all","dport":80,"dport_mask":"0xfff0","table":"100"}]"#,
            1,
        ),
    ] {
        let parsed = rule::parse(text);
        assert_eq!(parsed.diagnostics.len(), diagnostics, "{text}");
        let actions: Vec<_> = parsed.value.iter().map(|r| &r.action).collect();
        assert_eq!(actions, [&Action::Other("lookup 100".into())], "{text}");
        assert!(parsed.value.iter().all(|r| r.rest.is_some()), "{text}");
    }
    let joined = rule::parse("9: from all goto 20 10: from all nop");
    let actions: Vec<_> = joined.value.iter().map(|r| &r.action).collect();
    assert_eq!(
        actions,
        [&Action::Other("goto 20 10: from all nop".into())],
        "two lines in one"
    );
    assert_eq!(joined.diagnostics.len(), 2);
    let vrf = rule::parse("9: from all lookup [l3mdev-table] unreachable");
    assert_eq!(vrf.diagnostics, []);
    assert_eq!(vrf.value[0].action, Action::Unreachable);
    let cut = rule::parse("9: from all fwmark 0x1");
    assert_eq!((cut.value.len(), cut.diagnostics.len()), (1, 1));
    assert_eq!(rule::parse("from all lookup 5").value.len(), 0);
}

#[test]
fn neighbour_words() {
    let text = "fe80::1 dev eth0 lladdr 02:00:00:00:00:01 router STALE\n10.0.0.9 dev eth0 FAILED\n10.0.0.8 dev eth0 lladdr 02:00:00:00:00:08 used 5/5/5 probes 1 REACHABLE proto zebra\n10.0.0.7 dev vxlan.calico lladdr 66:00:00:00:00:07 PERMANENT \n";
    let parsed = neigh::parse(text);
    assert_eq!(parsed.diagnostics, []);
    let states: Vec<_> = parsed.value.iter().map(|n| n.state.as_deref()).collect();
    assert_eq!(
        states,
        [
            Some("STALE"),
            Some("FAILED"),
            Some("REACHABLE"),
            Some("PERMANENT")
        ]
    );
    assert!(parsed.value.first().is_some_and(|n| n.router));
    assert_eq!(
        parsed.value.get(2).map(|n| n.flags.clone()),
        Some(vec!["proto zebra".into()])
    );
    let bare = neigh::parse("10.0.0.8 lladdr 02:00:00:00:00:08 REACHABLE\n");
    assert_eq!((bare.value.len(), bare.diagnostics.len()), (1, 1));
}

#[test]
fn next_hop_words() {
    let parsed = nexthop::parse(
        "id 3 group 1,5/2 type resilient buckets 32 idle_timer 120 proto static dead offload linkdown \nid 4 via fe80::1 dev eth0 scope link onlink \nid 5 sideways\nno 6\n",
    );
    assert_eq!(
        parsed
            .diagnostics
            .iter()
            .map(|d| d.line)
            .collect::<Vec<_>>(),
        [3, 4]
    );
    let [g, v, _] = parsed.value.as_slice() else {
        panic!("{parsed:?}")
    };
    assert!(g.resilient && g.dead && g.linkdown && !g.onlink);
    assert_eq!(
        (g.group.as_slice(), g.rest.as_deref()),
        (
            [(1, 5), (2, 1)].as_slice(),
            Some("buckets 32 idle_timer 120 proto static offload")
        )
    );
    assert_eq!(
        (v.via, v.scope, v.onlink),
        (Some(ip("fe80::1")), Some(Scope::LINK), true)
    );
}

/// Two lines that were pasted into one: nothing of them is lost when they are printed.
#[test]
fn repeated_words_are_printed_again() {
    let line = "27:\tfrom all lookup 100 realms 1 realms 2 proto a proto b";
    let printed: Vec<_> = rule::parse(line)
        .value
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(printed, [line]);
    let line = "id 3 group 1/2 buckets 8 proto a proto b";
    let printed: Vec<_> = nexthop::parse(line)
        .value
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(printed, [line]);
}

/// What a paste did: the last of both would be taken without a word.
#[test]
fn joined_routes_are_told() {
    let line =
        "10.207.0.0/24 dev br0 scope link mtu lock 1400 10.208.0.0/24 dev br1 scope link mtu 1300";
    let said: Vec<_> = route::parse(line)
        .diagnostics
        .iter()
        .map(|d| (d.message.clone(), d.span.of(line).to_owned()))
        .collect();
    let twice = |w: &str| (format!("`{w}` stands twice in this route"), w.to_owned());
    let unknown = (
        "`10.208.0.0/24` of this route is not understood".to_owned(),
        "10.208.0.0/24".to_owned(),
    );
    assert_eq!(said, [unknown, twice("dev"), twice("scope"), twice("mtu")]);
    // Each hop has its own.
    let hops = "default proto bgp metric 20\n\tnexthop via 10.0.0.1 dev eth0 weight 1\n\tnexthop via 10.0.0.2 dev eth1 weight 1\n";
    assert_eq!(route::parse(hops).diagnostics, []);
}

/// A NAT rule is kept as its words, which hold the realms; they are printed once.
#[test]
fn an_action_kept_as_text_repeats_nothing() {
    let line = "27:\tfrom 10.6.0.0/16 lookup 10 realms 4/5 masquerade proto static";
    assert_eq!(rule::parse(line).value[0].to_string(), line);
}

/// A vertical tab is a blank to Unicode and none to the parsers.
#[test]
fn words_stay_whole_when_printed() {
    let line = "id 4 via 10.0.0.1 dev eth0 scope link proto a\x0bb";
    let printed: Vec<_> = nexthop::parse(line)
        .value
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(printed, [line]);
    let line = "27:\tfrom all lookup 100 realms 4[unresolved]";
    assert_eq!(rule::parse(line).value[0].to_string(), line);
    let line = "27:\tfrom all lookup 100 realms a\x0bb proto a\u{85}b";
    let printed: Vec<_> = rule::parse(line)
        .value
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(printed, [line]);
}

#[test]
fn a_comment_starts_behind_any_blank() {
    for blank in [" ", "\t", "\x0c"] {
        let line = format!("id 4 via 10.0.0.1 dev eth0{blank}# the old one");
        let parsed = nexthop::parse(&line);
        assert_eq!(parsed.diagnostics, [], "{line:?}");
        assert_eq!(parsed.value.len(), 1, "{line:?}");
    }
    let parsed = nexthop::parse("id 4 dev eth#0");
    assert_eq!(parsed.value[0].dev.as_deref(), Some("eth#0"));
}

#[test]
fn nothing_is_nothing() {
    for text in ["", "\n\n", "[]", "[ ]\n", "[{}]", "[][]"] {
        assert_eq!(
            link::parse(text),
            nfwhy_parsers::Parsed::default(),
            "{text}"
        );
        assert_eq!(
            route::parse(text),
            nfwhy_parsers::Parsed::default(),
            "{text}"
        );
        assert_eq!(
            rule::parse(text),
            nfwhy_parsers::Parsed::default(),
            "{text}"
        );
        assert_eq!(
            neigh::parse(text),
            nfwhy_parsers::Parsed::default(),
            "{text}"
        );
        assert_eq!(
            nexthop::parse(text),
            nfwhy_parsers::Parsed::default(),
            "{text}"
        );
    }
}
