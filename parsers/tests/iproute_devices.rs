//! Devices that the samples do not have: other kernels, other versions, pasted and cut listings.

use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::link::{self, Link, Outer, Peer};
use std::net::IpAddr;

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap_or_else(|e| panic!("{s}: {e}"))
}

fn one_link(text: &str) -> Link<'_> {
    let parsed = link::parse(text);
    assert_eq!(parsed.diagnostics, [], "{text}");
    assert_eq!(parsed.value.len(), 1, "{text}");
    parsed
        .value
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("{text}"))
}

type Check = fn(&Link<'_>) -> bool;

/// Details of the kinds, as iproute2's `print_opt` functions print them.
#[test]
fn kinds_and_their_details() {
    let head = "9: x0: <UP,LOWER_UP> mtu 1480 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/ether 02:00:00:00:00:31 brd ff:ff:ff:ff:ff:ff promiscuity 0 minmtu 0 maxmtu 0 \n";
    let table: &[(&str, &str, Check)] = &[
        (
            "vlan protocol 802.1Q id 100 <REORDER_HDR> addrgenmode eui64 ",
            "vlan",
            |l| l.info.id == Some(100),
        ),
        (
            "vxlan id 42 local 10.0.0.4 dev eth0 srcport 0 0 dstport 8472 nolearning ttl auto ageing 300 ",
            "vxlan",
            |l| {
                l.info.id == Some(42)
                    && l.info.local == Some(ip("10.0.0.4"))
                    && l.info.dev.as_deref() == Some("eth0")
                    && l.info.dstport == Some(8472)
                    && l.info.learning == Some(false)
                    && (l.info.tos, l.info.ttl) == (None, None)
            },
        ),
        (
            "vxlan id 42 remote 10.0.0.5 srcport 0 0 dstport 4789 ageing 300 ",
            "vxlan",
            |l| l.info.remote == Some(ip("10.0.0.5")) && l.info.learning == Some(true),
        ),
        (
            "ipip ipip remote any local 10.0.0.4 dev eth0 ttl inherit nopmtudisc ",
            "ipip",
            |l| l.info.remote.is_none() && l.info.local == Some(ip("10.0.0.4")),
        ),
        (
            "vxlan id 6 local 10.0.0.1 srcport 0 0 dstport 4790 tos 0x10 ttl 5 ageing 300 ",
            "vxlan",
            |l| (l.info.tos, l.info.ttl) == (Some(Outer::Own(16)), Some(Outer::Own(5))),
        ),
        (
            "ipip ipip remote any local any ttl inherit tos inherit nopmtudisc ",
            "ipip",
            |l| (l.info.tos, l.info.ttl) == (Some(Outer::Inherit), Some(Outer::Inherit)),
        ),
        (
            "ip6tnl any remote fd00::5 local fd00::4 encaplimit none hoplimit 64 tclass 0x28 ",
            "ip6tnl",
            |l| (l.info.tos, l.info.ttl) == (Some(Outer::Own(40)), Some(Outer::Own(64))),
        ),
        (
            "ipip external ipip remote any local any ttl inherit ",
            "ipip",
            |l| l.info.external,
        ),
        (
            "gre remote 10.0.0.5 local 10.0.0.4 ttl inherit ikey 0.0.0.5 okey 0.0.0.5 ",
            "gre",
            |l| l.info.remote == Some(ip("10.0.0.5")),
        ),
        (
            "sit ip6ip remote 10.0.0.5 local 10.0.0.4 ttl 64 pmtudisc 6rd-prefix 2002::/16 ",
            "sit",
            |l| l.info.remote == Some(ip("10.0.0.5")),
        ),
        (
            "ip6tnl ip6ip6 remote fd00::5 local fd00::4 encaplimit 4 hoplimit inherit tclass 0x00 ",
            "ip6tnl",
            |l| l.info.local == Some(ip("fd00::4")),
        ),
        (
            "geneve id 7 remote 10.0.0.5 ttl auto dstport 6081 noudpcsum ",
            "geneve",
            |l| l.info.id == Some(7) && l.info.dstport == Some(6081),
        ),
        ("geneve external ttl auto dstport 6081 ", "geneve", |l| {
            l.info.external && l.info.id.is_none()
        }),
        ("vrf table 1001 addrgenmode eui64 ", "vrf", |l| {
            l.info.table == Some(1001)
        }),
        ("wireguard numtxqueues 1 numrxqueues 1 ", "wireguard", |l| {
            l.info.rest.is_none()
        }),
        ("dummy numtxqueues 1 ", "dummy", |l| l.info.rest.is_none()),
        (
            "bond mode active-backup miimon 100 active_slave eth1 ",
            "bond",
            |l| l.info.rest.as_deref() == Some("mode active-backup miimon 100 active_slave eth1"),
        ),
        (
            "netkit mode l3 type primary policy forward ",
            "netkit",
            |l| l.info.rest.is_some(),
        ),
        ("openvswitch numtxqueues 1 ", "openvswitch", |l| {
            l.slave_kind.is_none()
        }),
    ];
    for (detail, kind, holds) in table {
        let text = format!("{head}    {detail}\n    inet 10.0.0.4/32 scope global x0\n");
        let l = one_link(&text);
        assert_eq!(l.kind.as_deref(), Some(*kind), "{detail}");
        assert!(holds(&l), "{detail}: {:?}", l.info);
        assert_eq!(l.addresses.len(), 1, "{detail}");
    }
}

#[test]
fn details_of_kind_and_port_in_any_order() {
    for lines in [
        [
            "    veth ",
            "    bridge_slave state forwarding priority 32 hairpin on guard off",
        ],
        [
            "    bridge_slave state forwarding priority 32 hairpin on guard off",
            "    veth ",
        ],
    ] {
        let text = format!(
            "4: v@if2: <UP> mtu 1500 qdisc noqueue master cni0 state UP mode DEFAULT group default\n    link/ether 02:00:00:00:00:04 brd ff:ff:ff:ff:ff:ff link-netnsid 3 promiscuity 1\n{}\n",
            lines.join("\n")
        );
        let l = one_link(&text);
        assert_eq!(
            (l.kind.as_deref(), l.slave_kind.as_deref()),
            (Some("veth"), Some("bridge"))
        );
        assert_eq!(
            (l.info.hairpin, l.peer_netns.as_deref(), l.peer.clone()),
            (Some(true), Some("3"), Peer::Index(2))
        );
        assert!(!l.shows_addresses);
    }
    let l = one_link(
        "5: p@eth0: <UP> mtu 1500 master blue state UP\n    link/ether 02:00:00:00:00:05 brd ff:ff:ff:ff:ff:ff\n    vlan protocol 802.1Q id 5\n    vrf_slave table 1001\n",
    );
    assert_eq!(
        (l.info.id, l.info.table, l.slave_kind.as_deref()),
        (Some(5), Some(1001), Some("vrf"))
    );
    assert_eq!(l.peer, Peer::Name("eth0".into()));
}

#[test]
fn devices_without_hardware_address_and_tunnels() {
    let l = one_link(
        "7: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\n    link/none promiscuity 0 \n    wireguard addrgenmode none\n",
    );
    assert_eq!(
        (l.link_type.as_deref(), l.address, l.kind.as_deref()),
        (Some("none"), None, Some("wireguard"))
    );
    let l = one_link(
        "8: tunl0@NONE: <NOARP,UP,LOWER_UP> mtu 1480 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/ipip 0.0.0.0 brd 0.0.0.0\n    inet 10.1.2.0/32 scope global tunl0\n",
    );
    assert_eq!(
        (l.peer, l.link_type.as_deref(), l.address.as_deref()),
        (Peer::Unbound, Some("ipip"), Some("0.0.0.0"))
    );
    let l = one_link(
        "8: t6: <UP> mtu 1452 state UNKNOWN\n    link/tunnel6 fd00::4 peer fd00::5 permaddr 2a3b:4c5d:6e7f::\n",
    );
    assert_eq!(l.address.as_deref(), Some("fd00::4"));
}

#[test]
fn programs_on_the_device() {
    for (line, more, want) in [
        ("xdp/id:12 qdisc mq", "", "xdp id 12"),
        ("xdpgeneric/id:5 qdisc mq", "", "xdpgeneric id 5"),
        (
            "xdpgeneric qdisc mq",
            "    prog/xdp id 5 tag 3b185187f1855c4c jited \n",
            "xdpgeneric id 5",
        ),
        (
            "xdp qdisc mq",
            "    prog/xdp id 9 name cil_xdp_entry tag 3b185187f1855c4c\n",
            "xdp id 9",
        ),
    ] {
        let text = format!(
            "2: eth0: <UP> mtu 1500 {line} state UP\n    link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff\n{more}"
        );
        assert_eq!(one_link(&text).xdp.as_deref(), Some(want), "{line}");
    }
    for (json, want) in [
        (
            r#"{"mode":2,"prog":{"id":5,"tag":"3b","jited":1},"attached":[]}"#,
            "xdpgeneric id 5",
        ),
        (r#"{"mode":1,"prog":{"id":9}}"#, "xdp id 9"),
    ] {
        let text = format!(r#"[{{"ifindex":2,"ifname":"eth0","xdp":{json}}}]"#);
        assert_eq!(one_link(&text).xdp.as_deref(), Some(want));
    }
}

#[test]
fn what_json_says_of_outer_packets() {
    for (data, tos, ttl) in [
        (
            r#""tos":"0x1","df":"unset""#,
            Some(Outer::Inherit),
            Some(Outer::Inherit),
        ),
        (
            r#""tos":"0x10","ttl":5,"df":"unset""#,
            Some(Outer::Own(16)),
            Some(Outer::Own(5)),
        ),
        (r#""ttl":0,"df":"unset""#, None, None),
        (r#""learning":true"#, None, None),
    ] {
        let text = format!(
            r#"[{{"ifindex":2,"ifname":"x0","linkinfo":{{"info_kind":"vxlan","info_data":{{"id":5,"port":4789,{data}}}}}}}]"#
        );
        let l = one_link(&text);
        assert_eq!((l.info.tos, l.info.ttl), (tos, ttl), "{data}");
    }
}

#[test]
fn json_of_other_devices() {
    let l = one_link(
        r#"[{"ifindex":6,"link":null,"ifname":"tunl0","flags":["NOARP"],"mtu":1480,"link_type":"ipip","address":"0.0.0.0","linkinfo":{"info_kind":"ipip","info_data":{"proto":"ipip","remote":"any","local":"10.0.0.4","link":"eth0","ttl":0,"external":true}}}]"#,
    );
    assert_eq!(
        (l.peer, l.info.local, l.info.remote),
        (Peer::Unbound, Some(ip("10.0.0.4")), None)
    );
    assert!(l.info.external && !l.shows_addresses);
    // Older versions leave empty objects for what `-4` hid.
    let l = one_link(
        r#"[{},{"ifindex":3,"ifname":"e","addr_info":[{},{"family":"inet","local":"10.0.0.1","prefixlen":8}]},{}]"#,
    );
    assert_eq!((l.index, l.addresses.len()), (3, 1));
    let l = one_link(
        r#"[{"ifindex":3,"ifname":"v","linkinfo":{"info_kind":"dummy","info_slave_kind":"vrf","info_slave_data":{"table":7}}}]"#,
    );
    assert_eq!(
        (l.info.table, l.slave_kind.as_deref()),
        (Some(7), Some("vrf"))
    );
    let bad = link::parse(r#"[{"mtu":1},{"ifname":"a","ifindex":1},{"ifname":"b","#);
    assert_eq!(bad.value.len(), 1);
    assert_eq!(bad.diagnostics.len(), 2, "{:?}", bad.diagnostics);
}

#[test]
fn pasted_listings() {
    let text = "\
# 15: cali0c1@if4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP group default\r
    link/ether ee:ee:ee:ee:ee:ee brd ff:ff:ff:ff:ff:ff link-netnsid 0\r
    inet6 fe80::ecee:eeff:feee:eeee/64 scope link \r
       valid_lft forever preferred_lft forever\r
...\r
21: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN group default
    link/ether 02:00:00:00:00:21 brd ff:ff:ff:ff:ff:ff
    inet 10.96.3.4/32 scope global kube-ipvs0  #<--- Cluster IP
    inet 192.0.2.80/32 scope global kube-ipvs0\t# load balancer
# a remark
";
    let parsed = link::parse(text);
    assert_eq!(parsed.diagnostics.len(), 1, "{:?}", parsed.diagnostics);
    assert_eq!(parsed.diagnostics.first().map(|d| d.line), Some(5));
    let got: Vec<_> = parsed
        .value
        .iter()
        .map(|l| (l.line, l.index, l.name.as_ref(), l.addresses.len()))
        .collect();
    assert_eq!(got, [(1, 15, "cali0c1", 1), (6, 21, "kube-ipvs0", 2)]);
    let last = parsed
        .value
        .last()
        .and_then(|l| l.addresses.last())
        .map(|a| (a.line, a.span.of(text), a.label.as_deref()));
    assert_eq!(
        last,
        Some((
            9,
            "inet 192.0.2.80/32 scope global kube-ipvs0",
            Some("kube-ipvs0")
        ))
    );
}

#[test]
fn lines_that_are_no_device_are_told() {
    let text = "eth0      Link encap:Ethernet\n1: lo: <UP> mtu 9\n    Something else entirely\n    inet nowhere/8 scope host\n";
    let parsed = link::parse(text);
    assert_eq!(parsed.value.len(), 1);
    let lines: Vec<u32> = parsed.diagnostics.iter().map(|d| d.line).collect();
    assert_eq!(lines, [1, 3, 4]);
}

#[test]
fn address_words() {
    let text = "2: e: <UP> mtu 1500 state UP\n    inet6 fd00::7/64 scope global temporary dadfailed deprecated tentative dynamic mngtmpaddr stable-privacy proto kernel_ra \n    inet 10.1.0.7/16 metric 5 brd 10.1.255.255 scope site secondary noprefixroute e:x\n    inet 10.2.0.7 peer 10.2.0.8/30 scope 77 e\n";
    let l = one_link(text);
    let [a, b, c] = l.addresses.as_slice() else {
        panic!("{l:?}")
    };
    assert!(a.temporary && a.dadfailed && a.deprecated && a.tentative && !a.secondary);
    assert_eq!(
        a.flags,
        ["dynamic", "mngtmpaddr", "stable-privacy", "proto kernel_ra"]
    );
    assert_eq!(
        (a.label.as_deref(), b.metric, b.scope, b.label.as_deref()),
        (None, Some(5), Scope::SITE, Some("e:x"))
    );
    assert!(b.secondary && b.broadcast == Some(ip("10.1.255.255")));
    assert_eq!(
        (c.local, c.peer, c.prefix_len, c.scope),
        (ip("10.2.0.7"), Some(ip("10.2.0.8")), 30, Scope(77))
    );
}

#[test]
fn brief_listing() {
    let parsed = link::parse(
        "lo               UNKNOWN        127.0.0.1/8 ::1/128 \nwg0              UNKNOWN        10.0.0.1 peer 10.0.0.2/32 metric 4 \ncali1@if3        UP             \n",
    );
    assert_eq!(parsed.diagnostics.len(), 1);
    let [lo, wg, cali] = parsed.value.as_slice() else {
        panic!("{parsed:?}")
    };
    assert_eq!(
        lo.addresses.iter().map(|a| a.scope).collect::<Vec<_>>(),
        [Scope::HOST, Scope::HOST]
    );
    assert_eq!(
        wg.addresses
            .iter()
            .map(|a| (a.peer, a.metric))
            .collect::<Vec<_>>(),
        [(Some(ip("10.0.0.2")), Some(4))]
    );
    assert!(cali.shows_addresses && cali.addresses.is_empty() && cali.peer == Peer::Index(3));
    let parsed = link::parse(
        "wg0              UNKNOWN        <POINTOPOINT,UP> \neth0 UP 02:00:00:00:00:01 <UP> \n",
    );
    let got: Vec<_> = parsed
        .value
        .iter()
        .map(|l| (l.address.as_deref(), l.flags.len(), l.shows_addresses))
        .collect();
    assert_eq!(
        got,
        [(None, 2, false), (Some("02:00:00:00:00:01"), 1, false)]
    );
}
