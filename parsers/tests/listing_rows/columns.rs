//! The columns before the extras.

use super::{PLAIN, VERBOSE, parse, read, v4};
use nfwhy_parsers::common::{Neg, Proto, Range};
use nfwhy_parsers::iptables::matches::{ByteMask, SetMatch, Tcp};
use nfwhy_parsers::iptables::{ListingColumns, Match, Target};
use nfwhy_parsers::{Family, Text};

#[test]
fn columns() {
    let rule = read(
        " 417K   29M KUBE-SERVICES  all  --  *      *       0.0.0.0/0            0.0.0.0/0            /* kubernetes service portals */",
    );
    assert_eq!(rule.counters, Some((417_000, 29_000_000)));
    assert_eq!(
        (rule.src, rule.dst, &rule.iif, &rule.oif),
        (None, None, &None, &None)
    );
    assert_eq!(rule.proto, None);
    assert_eq!(
        rule.matches,
        [Match::Comment("kubernetes service portals".into())]
    );
    assert_eq!(rule.target, Target::Jump("KUBE-SERVICES".into()));

    let rule = read(
        "    3   180 KUBE-MARK-MASQ  tcp  -f  !lo    cali+  !10.41.0.0/18        10.96.0.10           /* cluster IPs */ ! match-set KUBE-CLUSTER-IP dst,src",
    );
    assert_eq!(rule.counters, Some((3, 180)));
    assert_eq!(
        rule.src,
        Some(Neg {
            not: true,
            value: v4([10, 41, 0, 0], 18)
        })
    );
    assert_eq!(rule.dst, Some(Neg::yes(v4([10, 96, 0, 10], 32))));
    assert_eq!(
        rule.iif,
        Some(Neg {
            not: true,
            value: Text::Borrowed("lo")
        })
    );
    assert_eq!(rule.oif, Some(Neg::yes(Text::Borrowed("cali+"))));
    assert_eq!(rule.proto, Some(Neg::yes(Proto::TCP)));
    assert_eq!(rule.fragment, Some(Neg::yes(())));
    let set = SetMatch {
        not: true,
        name: "KUBE-CLUSTER-IP".into(),
        src: vec![false, true],
        return_nomatch: false,
        no_update_counters: false,
        no_update_subcounters: false,
        counters: None,
    };
    assert_eq!(
        rule.matches,
        [
            Match::Comment("cluster IPs".into()),
            Match::Set(Box::new(set))
        ]
    );
}

#[test]
fn target_column_may_be_empty() {
    let rule =
        read("   12   720            tcp  --  eth0   *       0.0.0.0/0            192.0.2.0/24");
    assert_eq!(rule.target, Target::None);
    assert_eq!(rule.iif, Some(Neg::yes(Text::Borrowed("eth0"))));
    assert_eq!(rule.proto, Some(Neg::yes(Proto::TCP)));

    // A chain may be called like a protocol.
    let rule =
        read("   12   720 tcp        all  --  *      *       0.0.0.0/0            192.0.2.0/24");
    assert_eq!(rule.target, Target::Jump("tcp".into()));
    assert_eq!(rule.proto, None);
}

#[test]
fn ipv6_option_column_may_be_blank() {
    let rows = [
        "    7   560 ACCEPT     tcp      eth0   *       fd00:41::/56         ::/0                 tcp dpt:22",
        "    7   560 ACCEPT     6    --  eth0   *       fd00:41::/56         ::/0                 tcp dpt:22",
    ];
    for row in rows {
        let (rule, diagnostics) = parse(row, VERBOSE, Family::V6);
        assert_eq!(diagnostics, []);
        assert_eq!(rule.target, Target::Accept);
        assert_eq!(rule.iif, Some(Neg::yes(Text::Borrowed("eth0"))));
        assert_eq!(
            rule.src.map(|s| s.value.to_string()).as_deref(),
            Some("fd00:41::/56")
        );
        assert_eq!(rule.dst, None);
        assert_eq!(rule.proto, Some(Neg::yes(Proto::TCP)));
    }
    // Neither a target nor an option.
    let row = "    7   560            all      *      *       ::/0                 fd00::1";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V6);
    assert_eq!(diagnostics, []);
    assert_eq!(rule.target, Target::None);
    assert_eq!(
        rule.dst.map(|d| d.value.to_string()).as_deref(),
        Some("fd00::1/128")
    );
}

#[test]
fn line_numbers() {
    let columns = ListingColumns {
        numbers: true,
        ..PLAIN
    };
    let row = "14   DROP      !17   --  0.0.0.0/0           !192.0.2.7            ctstate INVALID";
    let (rule, diagnostics) = parse(row, columns, Family::V4);
    assert_eq!(diagnostics, []);
    assert_eq!(rule.target, Target::Drop);
    assert_eq!(
        rule.proto,
        Some(Neg {
            not: true,
            value: Proto::UDP
        })
    );
    assert_eq!(rule.counters, None);
}

#[test]
fn names_where_numbers_are_missing() {
    let row = "ACCEPT     tcp  --  localhost            anywhere             tcp dpts:ssh:http-alt flags:FIN,SYN,RST,ACK/SYN";
    let (rule, diagnostics) = parse(row, PLAIN, Family::V4);
    assert_eq!(diagnostics, []);
    assert_eq!(rule.src, Some(Neg::yes(v4([127, 0, 0, 1], 32))));
    assert_eq!(rule.dst, None);
    let tcp = Tcp {
        dport: Some(Neg::yes(Range { lo: 22, hi: 8080 })),
        flags: Some(Neg::yes(ByteMask {
            value: 0x02,
            mask: 0x17,
        })),
        ..Tcp::default()
    };
    assert_eq!(rule.matches, [Match::Tcp(tcp)]);

    let row = "ACCEPT     tcp  --  gateway.example.net  anywhere             tcp dpt:http";
    let (rule, diagnostics) = parse(row, PLAIN, Family::V4);
    assert_eq!(
        rule.broken.as_deref(),
        Some("`gateway.example.net` is not an address")
    );
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(
        diagnostics[0].help.as_deref(),
        Some("list with -n, so that numbers are printed instead of names")
    );

    let row = "ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:some-service";
    let (rule, diagnostics) = parse(row, PLAIN, Family::V4);
    assert_eq!(rule.broken, None);
    assert_eq!(
        rule.matches,
        [
            Match::Tcp(Tcp::default()),
            Match::Opaque {
                name: "dpt:some-service".into(),
                args: "".into()
            }
        ]
    );
    assert_eq!(diagnostics.len(), 1);
}

#[test]
fn no_target_starts_with_a_hyphen() {
    let row = "    0     0 --timestop all  --  *      *       0.0.0.0/0            0.0.0.0/0";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    let why = "`--timestop` is not the name of a target or chain";
    assert_eq!(rule.broken.as_deref(), Some(why));
    assert_eq!(diagnostics.len(), 1);
}

#[test]
fn lines_that_are_no_rows_are_broken() {
    for row in [
        "",
        "...",
        "root@node-1:~# ",
        "    0     0 ACCEPT     all  --  *      *",
    ] {
        let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
        assert_eq!(
            rule.broken.as_deref(),
            Some("not a row of an iptables listing"),
            "{row:?}"
        );
        assert_eq!(diagnostics.len(), 1);
    }
}
