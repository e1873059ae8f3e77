//! Sets: what of a packet they look at.

use crate::common::check;
use crate::{IN, node};

#[test]
fn a_set_of_ports_alone_knows_tcp_and_udp_only() {
    // `ip_set_get_ip_port` says no to all others, whatever their ports.
    let s = node()
        .ipset("create PORTS bitmap:port range 0-65535\nadd PORTS 0-65535\n")
        .table("filter", "-A FORWARD -m set --match-set PORTS dst -j DROP")
        .snapshot();
    check(&s, IN, &["dropped why=filter/FORWARD/1"]);
    check(
        &s,
        &IN.replace('}', r#","proto":"sctp"}"#),
        &["forwarded no=filter/FORWARD/1"],
    );
    check(
        &s,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","iif":"eth0"}"#,
        &["forwarded no=filter/FORWARD/1"],
    );
}

#[test]
fn a_port_that_nat_draws_is_looked_up_as_the_port_it_is() {
    // The destination port is open, not the source port.
    let s = node()
        .ipset("create PORTS bitmap:port range 0-65535\nadd PORTS 8085\n")
        .table(
            "nat",
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.244.0.4:8080-8090 --random",
        )
        .table("filter", "-A FORWARD -m set --match-set PORTS dst -j DROP")
        .snapshot();
    check(&s, IN, &["dropped p=?", "forwarded p=?"]);
}

#[test]
fn a_member_of_a_bridge_port_is_none_of_the_device_of_that_name() {
    let s = node()
        .ipset(
            "create IFACES hash:net,iface family inet hashsize 1024 maxelem 65536\nadd IFACES 192.168.0.0/24,physdev:eth0\n",
        )
        .table("filter", "-A FORWARD -m set --match-set IFACES src,src -j DROP")
        .snapshot();
    check(&s, IN, &["forwarded no=filter/FORWARD/1"]);
    // Nor does it hide a wider network, as one of another device does.
    let wider = |member: &str| {
        let sets = format!(
            "create IFACES hash:net,iface family inet hashsize 1024 maxelem 65536\nadd IFACES 0.0.0.0/0,eth0\n\
             add IFACES 192.168.0.0/24,{member}\n"
        );
        let rule = "-A FORWARD -m set --match-set IFACES src,src -j DROP";
        node().ipset(&sets).table("filter", rule).snapshot()
    };
    check(
        &wider("physdev:eth0"),
        IN,
        &["dropped why=filter/FORWARD/1"],
    );
    check(&wider("cni0"), IN, &["forwarded no=filter/FORWARD/1"]);
}

#[test]
fn a_set_changed_by_a_rule_is_changed_for_the_rules_behind_it() {
    let s = node()
        .ipset("create IPS hash:ip family inet hashsize 1024 maxelem 65536\n")
        .table(
            "filter",
            "\
-A FORWARD -j SET --add-set IPS src
-A FORWARD -m set --match-set IPS src -j DROP
",
        )
        .snapshot();
    check(
        &s,
        IN,
        &["dropped why=filter/FORWARD/2 p=?", "forwarded p=?"],
    );
}

/// Each type by what of the packet it looks at: `ipset` lines, the flags, whether the packet from outside fits.
#[test]
fn sets_by_type() {
    use crate::matches::{says, with};
    let icmp = r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","iif":"eth0"}"#;
    let sctp = with(r#""proto":"sctp""#);
    let gre = r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"47","iif":"eth0"}"#;
    let mac = with(r#""mac":"02:00:00:00:00:07""#);
    let marked = with(r#""mark":"0x4001""#);
    for (create, members, flags, packet, expected) in [
        ("hash:ip family inet", "10.244.0.4", "dst", IN, "yes"),
        ("hash:ip family inet", "10.244.0.4", "src", IN, "no"),
        (
            "hash:ip family inet netmask 24",
            "10.244.0.0",
            "dst",
            IN,
            "yes",
        ),
        (
            "hash:ip family inet netmask 24",
            "10.244.1.0",
            "dst",
            IN,
            "no",
        ),
        ("hash:net family inet", "10.244.0.0/16", "dst", IN, "yes"),
        (
            "hash:net family inet",
            "10.244.0.0/16,10.244.0.0/24 nomatch",
            "dst",
            IN,
            "no",
        ),
        (
            "hash:net family inet",
            "10.244.0.0/24,10.244.0.0/16 nomatch",
            "dst",
            IN,
            "yes",
        ),
        (
            "hash:net family inet",
            "10.244.0.0/24 nomatch",
            "dst --return-nomatch",
            IN,
            "yes",
        ),
        (
            "hash:net family inet",
            "10.244.0.0/24",
            "dst --return-nomatch",
            IN,
            "no",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+tcp:80",
            "dst,dst",
            IN,
            "yes",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+tcp:80",
            "dst,src",
            IN,
            "no",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+udp:80",
            "dst,dst",
            IN,
            "no",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+sctp:80",
            "dst,dst",
            &sctp,
            "yes",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+icmp:8/0",
            "dst,dst",
            icmp,
            "yes",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+icmp:0/0",
            "dst,dst",
            icmp,
            "no",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+47:0",
            "dst,dst",
            gre,
            "yes",
        ),
        (
            "hash:ip,port family inet",
            "10.244.0.4+tcp:80",
            "dst",
            IN,
            "no",
        ),
        (
            "hash:ip,port,ip family inet",
            "10.244.0.4+tcp:80+192.168.0.99",
            "dst,dst,src",
            IN,
            "yes",
        ),
        (
            "hash:ip,port,ip family inet",
            "10.244.0.4+tcp:80+192.168.0.98",
            "dst,dst,src",
            IN,
            "no",
        ),
        (
            "hash:ip,port,net family inet",
            "10.244.0.4+tcp:80+192.168.0.0/24",
            "dst,dst,src",
            IN,
            "yes",
        ),
        (
            "hash:ip,port,net family inet",
            "10.244.0.4+tcp:80+192.168.0.0/24,10.244.0.4+tcp:80+192.168.0.96/28 nomatch",
            "dst,dst,src",
            IN,
            "no",
        ),
        (
            "hash:net,port family inet",
            "10.244.0.0/16+tcp:80",
            "dst,dst",
            IN,
            "yes",
        ),
        (
            "hash:net,port family inet",
            "10.244.0.0/16+tcp:81",
            "dst,dst",
            IN,
            "no",
        ),
        (
            "hash:net,net family inet",
            "192.168.0.0/24+10.244.0.0/16",
            "src,dst",
            IN,
            "yes",
        ),
        (
            "hash:net,net family inet",
            "192.168.0.0/24+10.245.0.0/16",
            "src,dst",
            IN,
            "no",
        ),
        (
            "hash:net,iface family inet",
            "192.168.0.0/24+eth0",
            "src,src",
            IN,
            "yes",
        ),
        (
            "hash:net,iface family inet",
            "192.168.0.0/24+cni0",
            "src,src",
            IN,
            "no",
        ),
        (
            "hash:net,iface family inet",
            "192.168.0.0/24+cni0",
            "src,dst",
            IN,
            "yes",
        ),
        (
            "hash:ip,mark family inet",
            "10.244.0.4+0x00004001",
            "dst,dst",
            &marked,
            "yes",
        ),
        (
            "hash:ip,mark family inet",
            "10.244.0.4+0x00004001",
            "dst,dst",
            IN,
            "no",
        ),
        ("hash:mac", "02:00:00:00:00:07", "src", &mac, "yes"),
        ("hash:mac", "02:00:00:00:00:08", "src", &mac, "no"),
        ("hash:mac", "02:00:00:00:00:07", "src", IN, "?"),
        (
            "bitmap:ip range 10.244.0.0/24",
            "10.244.0.4",
            "dst",
            IN,
            "yes",
        ),
        (
            "bitmap:ip range 10.244.0.0/24",
            "10.244.0.5",
            "dst",
            IN,
            "no",
        ),
        (
            "bitmap:ip,mac range 192.168.0.0/24",
            "192.168.0.99+02:00:00:00:00:07",
            "src,src",
            &mac,
            "yes",
        ),
        (
            "bitmap:ip,mac range 192.168.0.0/24",
            "192.168.0.99+02:00:00:00:00:08",
            "src,src",
            &mac,
            "no",
        ),
        (
            "bitmap:ip,mac range 192.168.0.0/24",
            "192.168.0.99+02:00:00:00:00:07",
            "src,dst",
            &mac,
            "no",
        ),
        // The frame was for the device's own address.
        (
            "bitmap:ip,mac range 10.244.0.0/24",
            "10.244.0.4+02:00:00:00:00:02",
            "dst,dst",
            &mac,
            "yes",
        ),
        (
            "bitmap:ip,mac range 10.244.0.0/24",
            "10.244.0.4+02:00:00:00:00:07",
            "dst,src",
            &mac,
            "yes",
        ),
        ("hash:mac", "02:00:00:00:00:02", "dst", IN, "yes"),
        ("hash:mac", "02:00:00:00:00:07", "dst", &mac, "no"),
        ("bitmap:port range 0-1023", "80", "dst", IN, "yes"),
        ("bitmap:port range 0-1023", "80", "src", IN, "no"),
    ] {
        let mut lines = format!("create S {create}\n");
        for m in members.split(',') {
            lines += &format!("add S {}\n", m.replace('+', ","));
        }
        for (not, expected) in [
            ("", expected),
            (
                "! ",
                match expected {
                    "yes" => "no",
                    "no" => "yes",
                    other => other,
                },
            ),
        ] {
            let said = says(
                node().ipset(&lines),
                &format!("-m set {not}--match-set S {flags}"),
                packet,
            );
            assert_eq!(
                said, expected,
                "{not}{create}: {members}, {flags}, {packet}"
            );
        }
    }
}

#[test]
fn a_list_is_the_union_of_its_sets() {
    use crate::matches::says;
    let sets = "\
create A hash:ip family inet
add A 10.244.0.4
create B hash:ip family inet
add B 10.244.0.5
create SIX hash:ip family inet6
add SIX 2001:db8::1
create ONE list:set size 8
add ONE B
add ONE A
create TWO list:set size 8
add TWO B
create DUAL list:set size 8
add DUAL SIX
add DUAL A
create HOLE list:set size 8
add HOLE B
add HOLE GONE
create EMPTY list:set size 8
create NEST list:set size 8
add NEST ONE
";
    for (name, expected) in [
        ("ONE", "yes"),
        ("TWO", "no"),
        ("DUAL", "yes"),
        ("HOLE", "?"),
        ("EMPTY", "no"),
        ("NEST", "?"),
        ("GONE", "?"),
    ] {
        let said = says(
            node().ipset(sets),
            &format!("-m set --match-set {name} dst"),
            IN,
        );
        assert_eq!(said, expected, "{name}");
    }
}

/// A port that nobody told is asked for only where it could decide.
#[test]
fn an_unknown_port_matters_only_where_a_member_could_have_it() {
    use crate::matches::says;
    let open = IN.replace(r#""sport":40000,"#, "");
    for (member, expected) in [
        ("192.168.0.99,tcp:40000", "?"),
        ("192.168.0.99,udp:40000", "no"),
    ] {
        let lines = format!("create S hash:ip,port family inet\nadd S {member}\n");
        let said = says(node().ipset(&lines), "-m set --match-set S src,src", &open);
        assert_eq!(said, expected, "{member}");
    }
}

/// A set nobody captured is asked for by what would be looked up in it, as `ipset test` takes it.
#[test]
fn what_is_asked_of_a_set_is_told_as_ipset_takes_it() {
    use crate::common::walk;
    use crate::matches::with;
    let said = |flags: &str, packet: &str| {
        let s = node()
            .table(
                "filter",
                &format!("-A FORWARD -m set --match-set GONE {flags} -j DROP"),
            )
            .snapshot();
        let ends = walk(&s, packet);
        assert_eq!(ends.len(), 2);
        ends[0].assumptions.join("; ")
    };
    for (flags, packet, what) in [
        ("dst", IN.to_owned(), "10.244.0.4 is in set GONE"),
        ("src", IN.to_owned(), "192.168.0.99 is in set GONE"),
        ("dst,dst", IN.to_owned(), "10.244.0.4,tcp:80 is in set GONE"),
        (
            "src,src",
            IN.to_owned(),
            "192.168.0.99,tcp:40000 is in set GONE",
        ),
        (
            "dst,dst,src",
            IN.to_owned(),
            "10.244.0.4,tcp:80,192.168.0.99 is in set GONE",
        ),
        (
            "dst,dst",
            with(r#""proto":"udp""#),
            "10.244.0.4,udp:80 is in set GONE",
        ),
        (
            "dst,dst",
            r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","iif":"eth0"}"#.to_owned(),
            "10.244.0.4,icmp:8/0 is in set GONE",
        ),
    ] {
        let text = said(flags, &packet);
        assert!(text.contains(what), "{flags}: {text}");
    }
}

/// Masks of a set are laid over the packet's address, of either family.
#[test]
fn netmasks_of_sets_of_ipv6() {
    use crate::common::{Files, check};
    let s = |member: &str| {
        Files::new(&["eth0 2001:db8::1/64", "cni0 2001:db8:7::1/64"])
            .ipset(&format!(
                "create S hash:ip family inet6 netmask 64\nadd S {member}\n"
            ))
            .table6("filter", "-A FORWARD -m set --match-set S dst -j DROP")
            .snapshot()
    };
    let packet = r#"{"src":"2001:db8::9","dst":"2001:db8:7::5","dport":80,"iif":"eth0"}"#;
    check(&s("2001:db8:7::"), packet, &["dropped"]);
    check(&s("2001:db8:8::"), packet, &["forwarded"]);
}

/// A frame to many has another destination than the device, what came by no Ethernet device has none.
#[test]
fn the_hardware_address_a_frame_was_for() {
    use crate::common::{Files, check};
    let files = |devices: &[&str]| {
        Files::new(devices)
            .ipset("create S hash:mac\nadd S 02:00:00:00:00:02\n")
            .table("mangle", "-A INPUT -m set --match-set S dst -j DROP")
    };
    let eth = files(&["eth0 192.168.0.10/24"]);
    let to = |dst: &str| {
        format!(r#"{{"src":"192.168.0.99","dst":"{dst}","proto":"udp","dport":80,"iif":"eth0"}}"#)
    };
    check(&eth.snapshot(), &to("192.168.0.10"), &["dropped"]);
    for many in ["224.0.0.1", "192.168.0.255", "255.255.255.255"] {
        check(&eth.snapshot(), &to(many), &["dropped p=?", "local p=?"]);
    }
    let tunnel = files(&["tunl0 kind=ipip 192.168.0.10/24"]);
    let packet = to("192.168.0.10").replace("eth0", "tunl0");
    check(&tunnel.snapshot(), &packet, &["local sure=yes"]);
    let to_self = r#"{"origin":"local","dst":"192.168.0.10","dport":80}"#;
    check(&eth.snapshot(), to_self, &["local sure=yes"]);
    let output = files(&["eth0 192.168.0.10/24"])
        .table("mangle", "-A OUTPUT -m set --match-set S dst -j DROP");
    check(&output.snapshot(), to_self, &["local sure=yes"]);
    // Nobody told which address the device has.
    let bare = eth
        .without("ip-addr")
        .route("192.168.0.0/24 dev eth0 scope link");
    check(
        &bare.snapshot(),
        &to("192.168.0.10"),
        &["dropped p=?", "local p=?"],
    );
}
