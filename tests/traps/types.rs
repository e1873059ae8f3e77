//! Types: of ICMP messages as part of tuples, and of IPv6 addresses.

use crate::common::{Files, walk};
use crate::matches::check;
use nfwhy::trace::Verdict;

/// Of ICMP, the id is the source port of a tuple and type and code the destination (`nf_conntrack_tuple`).
#[test]
fn tuples_of_icmp_hold_type_and_code() {
    let ping = |ty: u8| {
        format!(
            r#"{{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","icmp_type":{ty},"icmp_code":0,"iif":"eth0"}}"#
        )
    };
    check(&[
        ("-m conntrack --ctorigdstport 2048", &ping(8), "yes"),
        ("-m conntrack --ctorigdstport 2049", &ping(8), "no"),
        ("-m conntrack --ctrepldstport 0", &ping(8), "yes"),
        ("-m conntrack --ctrepldstport 2048", &ping(8), "no"),
        ("-m conntrack --ctrepldstport 3584", &ping(13), "yes"),
        ("-m conntrack --ctrepldstport 4096", &ping(15), "yes"),
        ("-m conntrack --ctrepldstport 4608", &ping(17), "yes"),
        ("-m conntrack --ctorigsrcport 1", &ping(8), "?"),
    ]);
    // Those of IPv6 (`invmap` in nf_conntrack_proto_icmpv6.c): echo and node information.
    let says6 = |matches: &str, ty: u8| {
        let s = Files::new(&["eth0 2001:db8::1/64", "cni0 2001:db8:7::1/64"])
            .table6("filter", &format!("-A FORWARD {matches} -j DROP"))
            .snapshot();
        let packet = format!(
            r#"{{"src":"2001:db8::9","dst":"2001:db8:7::5","proto":"icmpv6","icmp_type":{ty},"icmp_code":0,"iif":"eth0"}}"#
        );
        walk(&s, &packet)[0].verdict == Verdict::Dropped
    };
    for (ty, answer) in [(128u16, 129u16), (139, 140)] {
        for (asked, fits) in [(answer, true), (ty, false)] {
            let m = format!("-m conntrack --ctrepldstport {}", asked << 8);
            assert_eq!(says6(&m, u8::try_from(ty).unwrap_or(0)), fits, "{ty}: {m}");
        }
        let m = format!("-m conntrack --ctorigdstport {}", ty << 8);
        assert!(says6(&m, u8::try_from(ty).unwrap_or(0)), "{m}");
    }
}

/// A reply knows the request's type by its own.
#[test]
fn tuples_of_answers_hold_the_type_that_was_asked_for() {
    use crate::common::{check_in, walk_one};
    for (proto, src, dst, asked, answer) in [
        ("icmp", "192.168.0.99", "10.244.0.4", 8u16, 0u16),
        ("icmp", "192.168.0.99", "10.244.0.4", 13, 14),
        ("icmp", "192.168.0.99", "10.244.0.4", 15, 16),
        ("icmp", "192.168.0.99", "10.244.0.4", 17, 18),
        ("icmpv6", "2001:db8::9", "2001:db8:7::5", 128, 129),
        ("icmpv6", "2001:db8::9", "2001:db8:7::5", 139, 140),
    ] {
        let rules = format!(
            "-A FORWARD -m conntrack --ctorigdstport {} --ctrepldstport {}",
            asked << 8,
            answer << 8
        );
        let s = Files::new(&[
            "eth0 192.168.0.10/24 2001:db8::1/64",
            "cni0 10.244.0.1/24 2001:db8:7::1/64",
        ])
        .table("filter", &rules)
        .table6("filter", &rules)
        .snapshot();
        let packet = |src: &str, dst: &str, ty: u16, iif: &str| {
            format!(
                r#"{{"src":"{src}","dst":"{dst}","proto":"{proto}","icmp_type":{ty},"icmp_code":0,"iif":"{iif}"}}"#
            )
        };
        let end = &["forwarded hit=filter/FORWARD/1"];
        let ask = packet(src, dst, asked, "eth0");
        check_in(&s, &ask, None, end);
        let first = walk_one(&s, &ask, None);
        let back = packet(dst, src, answer, "cni0");
        check_in(&s, &back, first.conn.as_ref(), end);
    }
}

/// `match_type6` and `match_lookup_rt6`: IPv6 knows types by what the address is, and by the route to it; with `--limit-iface` by
/// the addresses of the device and the routes by it. Seen on Linux 6.18.
#[test]
fn addresses_of_ipv6_by_type() {
    use crate::common::check;
    let s = |matches: &str| {
        Files::new(&["eth0 2001:db8::1/64", "cni0 2001:db8:7::1/64"])
            .route("unreachable 2001:db8:9::/64 dev lo metric 1024 pref medium\nprohibit 2001:db8:a::/64 dev lo metric 1024 pref medium")
            .route("anycast 2001:db8:: dev eth0 table local proto kernel metric 0 pref medium\nanycast 2001:db8:7:: dev cni0 table local proto kernel metric 0 pref medium\nmulticast ff00::/8 dev eth0 table local proto kernel metric 256 pref medium\nmulticast ff00::/8 dev cni0 table local proto kernel metric 256 pref medium")
            .table6("raw", &format!("-A PREROUTING -m addrtype {matches}"))
            .snapshot()
    };
    let to =
        |dst: &str| format!(r#"{{"src":"2001:db8::9","dst":"{dst}","dport":80,"iif":"eth0"}}"#);
    let says = |matches: &str, dst: &str| {
        let ends = walk(&s(matches), &to(dst));
        ends.iter().all(|o| o.hits().next().is_some())
    };
    let asked = [
        "LOCAL",
        "LOCAL --limit-iface-in",
        "UNREACHABLE",
        "UNREACHABLE --limit-iface-in",
        "LOCAL,UNREACHABLE --limit-iface-in",
        "ANYCAST",
        "ANYCAST --limit-iface-in",
        "UNICAST",
        "MULTICAST",
        "UNICAST,LOCAL",
        "UNSPEC",
    ];
    for (dst, fits) in [
        ("2001:db8::1", "yy..y..y.y."),
        ("2001:db8::5", ".......y..."),
        ("2001:db8:7::5", "...yy..y..."),
        ("2001:db8:7::1", "y..yy..y.y."),
        ("2001:db8:9::5", "..yyy..y..."),
        ("2001:db8:a::5", "..yyy..y..."),
        ("2001:db8:ff::5", "..yyy..y..."),
        ("2001:db8::", ".....yyy..."),
        ("2001:db8:7::", "...yyy.y..."),
        ("ff02::1", "........y.."),
    ] {
        let said: String = asked
            .iter()
            .map(|a| {
                if says(&format!("--dst-type {a}"), dst) {
                    'y'
                } else {
                    '.'
                }
            })
            .collect();
        assert_eq!(said, fits, "{dst} by {asked:?}");
    }
    assert!(says("! --dst-type LOCAL", "2001:db8:7::5"));
    assert!(says("--src-type UNICAST", "2001:db8:7::5"));
    assert!(!says("--src-type LOCAL", "2001:db8:7::5"));
    check(
        &s("--dst-type LOCAL"),
        &to("2001:db8::1"),
        &["local hit=raw/PREROUTING/1"],
    );
}
