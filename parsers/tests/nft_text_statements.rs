//! Statements of `nft list ruleset` as text, and what broken ones report.

mod nft_rules;

use nft_rules::{NET, check, element, field, num, of_table, one, range, read, stmts};
use nfwhy_parsers::Family;
use nfwhy_parsers::nft::expr::{MapRef, Meta};
use nfwhy_parsers::nft::stmt::{Limit, Nat, NatKind, Reject, UpdateOp};
use nfwhy_parsers::nft::{ElementData, Expr, Stmt, TableFamily, Verdict};

/// Nothing said but which.
fn nat<'a>(kind: NatKind) -> Nat<'a> {
    Nat {
        kind,
        family: None,
        addr: None,
        port: None,
        random: false,
        fully_random: false,
        persistent: false,
        prefix: false,
    }
}

#[test]
fn translations() {
    let to = |addr, port| Nat {
        addr,
        port,
        ..nat(NatKind::Dnat)
    };
    check(
        "dnat to 10.0.0.1-10.0.0.9:80-90 random,persistent",
        Stmt::Nat(Nat {
            random: true,
            persistent: true,
            ..to(Some(range(NET + 1, NET + 9)), Some(range(80, 90)))
        }),
    );
    check("dnat to :80", Stmt::Nat(to(None, Some(num(80)))));
    check("dnat to ::1", Stmt::Nat(to(Some(num(1)), None)));
    check(
        "dnat ip6 to [::1]-[::5]:80",
        Stmt::Nat(Nat {
            family: Some(Family::V6),
            ..to(Some(range(1, 5)), Some(num(80)))
        }),
    );
    let map = |key, map| Expr::Map {
        key: Box::new(key),
        map: Box::new(map),
    };
    let both = Expr::Concat(vec![field("ip", "daddr"), field("tcp", "dport")]);
    check(
        "dnat ip to ip daddr . tcp dport map @m",
        Stmt::Nat(Nat {
            family: Some(Family::V4),
            ..to(Some(map(both, MapRef::Named("m".into()))), None)
        }),
    );
    let value = |n| Some(ElementData::Value(vec![one(n)]));
    check(
        "dnat ip to tcp dport map { 80 : 10.0.0.1 }:8080",
        Stmt::Nat(Nat {
            family: Some(Family::V4),
            ..to(
                Some(map(
                    field("tcp", "dport"),
                    MapRef::Literal(vec![element(vec![one(80)], value(NET + 1))]),
                )),
                Some(num(8080)),
            )
        }),
    );
    check(
        "redirect to :tcp dport map { 22 : 2222 }",
        Stmt::Nat(Nat {
            port: Some(map(
                field("tcp", "dport"),
                MapRef::Literal(vec![element(vec![one(22)], value(2222))]),
            )),
            ..nat(NatKind::Redirect)
        }),
    );
    check(
        "masquerade to :1024-65535 fully-random",
        Stmt::Nat(Nat {
            port: Some(range(1024, 65535)),
            fully_random: true,
            ..nat(NatKind::Masquerade)
        }),
    );
    check(
        "snat ip prefix to ip saddr map @nets",
        Stmt::Nat(Nat {
            family: Some(Family::V4),
            addr: Some(map(field("ip", "saddr"), MapRef::Named("nets".into()))),
            prefix: true,
            ..nat(NatKind::Snat)
        }),
    );
    check(
        "tproxy ip to 127.0.0.1:80",
        Stmt::Tproxy(Some(num(0x7f00_0001)), Some(num(80))),
    );
}

#[test]
fn a_masquerade_ends_where_the_next_statement_begins() {
    assert_eq!(
        stmts("masquerade counter drop"),
        [
            Stmt::Nat(nat(NatKind::Masquerade)),
            Stmt::Counter(None),
            Stmt::Verdict(Verdict::Drop)
        ]
    );
}

#[test]
fn limits_and_quotas() {
    let limit = |over, rate, per, burst, bytes| {
        Stmt::Limit(Limit {
            over,
            rate,
            per,
            burst,
            bytes,
        })
    };
    check("limit rate 10/second", limit(false, 10, 1, 5, false));
    check(
        "limit rate over 10/minute burst 7 packets",
        limit(true, 10, 60, 7, false),
    );
    check(
        "limit rate 2 mbytes/day",
        limit(false, 2 << 20, 86400, 0, true),
    );
    check(
        "limit rate 1 kbytes/hour burst 3 kbytes",
        limit(false, 1024, 3600, 3072, true),
    );
    check(
        "quota over 25 mbytes used 1 kbytes",
        Stmt::Quota {
            over: true,
            bytes: 25 << 20,
            used: Some(1024),
        },
    );
    check(
        "ct count over 20",
        Stmt::Connlimit {
            over: true,
            count: 20,
        },
    );
}

#[test]
fn rejects() {
    use Reject::{Default, Icmp, Icmpv6, Icmpx, TcpReset};
    use TableFamily::{Inet, Ip, Ip6};
    for (family, line, expected) in [
        (Ip, "reject", Default),
        (Ip, "reject with icmp port-unreachable", Default),
        (Inet, "reject with icmp port-unreachable", Icmp(3)),
        (Ip, "reject with icmp type host-unreachable", Icmp(1)),
        (Ip6, "reject with icmpv6 no-route", Icmpv6(0)),
        (Inet, "reject with icmpx admin-prohibited", Icmpx(3)),
        (Inet, "reject with tcp reset", TcpReset),
    ] {
        assert_eq!(of_table(family, line), [Stmt::Reject(expected)], "{line}");
    }
}

#[test]
fn options_are_kept_as_written() {
    check(
        "log prefix \"a { b }, c; \" group 2 flags tcp sequence,options flags skuid",
        Stmt::Log(r#"prefix "a { b }, c; " group 2 flags tcp sequence,options flags skuid"#.into()),
    );
    check("log", Stmt::Log("".into()));
    check(
        "queue num 0-3 bypass,fanout",
        Stmt::Queue("num 0-3 bypass,fanout".into()),
    );
    check(
        "queue flags bypass to numgen inc mod 3",
        Stmt::Queue("flags bypass to numgen inc mod 3".into()),
    );
    check(
        r#"counter name "hits""#,
        Stmt::Named("counter".into(), "hits".into()),
    );
    check(
        r#"ct helper set "ftp""#,
        Stmt::Aside(r#"ct helper set "ftp""#.into()),
    );
    check("last used 5m", Stmt::Aside("last".into()));
    check(
        r#"xt match "addrtype""#,
        Stmt::Xt("match".into(), "addrtype".into()),
    );
    check(
        "xt target NETMAP",
        Stmt::Xt("target".into(), "NETMAP".into()),
    );
    check("flow add @ft", Stmt::Flow("ft".into()));
    check("flow offload @ft", Stmt::Flow("ft".into()));
}

#[test]
fn updates_of_sets() {
    for line in [
        "update @s { ip saddr timeout 1m limit rate over 10/second burst 5 packets counter }",
        "set update ip saddr timeout 1m limit rate over 10/second counter @s",
    ] {
        let found = stmts(line);
        let [Stmt::Update(update)] = &*found else {
            panic!("{found:?}");
        };
        assert_eq!(update.op, UpdateOp::Update);
        assert_eq!(update.set, "s");
        assert_eq!(update.key, field("ip", "saddr"));
        assert_eq!(update.timeout, Some(60_000));
        assert_eq!(update.stmts.len(), 2);
    }
    let found = stmts("add @m { ip saddr . 22 : meta mark }");
    let [Stmt::Update(update)] = &*found else {
        panic!("{found:?}");
    };
    assert_eq!(
        update.key,
        Expr::Concat(vec![field("ip", "saddr"), num(22)])
    );
    assert_eq!(update.data, Some(Expr::Meta(Meta::Mark)));
}

#[test]
fn a_comment_belongs_to_the_rule() {
    let (rule, diagnostics) = read(
        TableFamily::Ip,
        "ip daddr 10.0.0.1 drop comment \"two\nlines, \\ and { ; # }\"",
    );
    assert_eq!(diagnostics, []);
    assert_eq!(rule.stmts.len(), 2);
    assert_eq!(rule.comment.as_deref(), Some("two\nlines, \\ and { ; # }"));
}

/// The reports of one rule: the text pointed at and the message.
#[track_caller]
fn broken(line: &str, expected: &[(&str, &str)], kept: usize) {
    let (rule, diagnostics) = read(TableFamily::Inet, line);
    let found: Vec<_> = diagnostics
        .iter()
        .map(|d| (d.span.of(line), &*d.message))
        .collect();
    assert_eq!(found, expected, "{line}");
    assert!(diagnostics.iter().all(|d| d.line == 1 && d.help.is_some()));
    let opaque = rule
        .stmts
        .iter()
        .filter(|s| matches!(s, Stmt::Opaque(_)))
        .count();
    assert_eq!(rule.stmts.len() - opaque, kept, "{:?}", rule.stmts);
}

#[test]
fn broken_rules() {
    broken(
        "ip saddr 10.0.0.1 frobnicate 5 drop",
        &[("frobnicate", "`frobnicate` is not understood here")],
        1,
    );
    broken(
        "ip saddr 10.0.0.256 drop",
        &[(
            "10.0.0.256",
            "`10.0.0.256` is no constant that is known here",
        )],
        2,
    );
    broken(
        "tcp dport http accept",
        &[("http", "`http` is no constant that is known here")],
        2,
    );
    broken("ip saddr", &[("", "the end is not understood here")], 0);
    broken(
        "tcp dport { 80, 443 drop",
        &[
            ("drop", "`drop` is not understood in an element"),
            ("", "the end is not understood here"),
        ],
        0,
    );
    broken(
        "ip protocol tcp jump {\n\tcounter\n}",
        &[("{", "a chain within a rule is not read")],
        1,
    );
    broken(
        "meta l4proto udp # match-set x src counter accept",
        &[(
            "# match-set x src counter accept",
            "an extension of iptables that nft cannot print",
        )],
        1,
    );
    broken(
        "meta hour \"22:00\"-\"02:00\" drop",
        &[(
            "\"22:00\"-\"02:00\"",
            "`\"22:00\"-\"02:00\"` is no constant that is known here",
        )],
        2,
    );
    broken(
        "dnat to 10.0.0.300:80",
        &[("10.0.0.300", "`10.0.0.300` is no address")],
        1,
    );
    broken(
        "iifname \"eth0 accept",
        &[("\"eth0", "`\"eth0` is no constant that is known here")],
        2,
    );
}

#[test]
fn what_follows_a_statement_that_is_not_understood_is_kept_as_text() {
    let (rule, _) = read(
        TableFamily::Inet,
        "counter frobnicate { 1, 2 } drop comment \"x y\"",
    );
    assert_eq!(
        rule.stmts,
        [
            Stmt::Counter(None),
            Stmt::Opaque("frobnicate { 1, 2 } drop".into())
        ]
    );
    assert_eq!(rule.comment.as_deref(), Some("x y"));
}

#[test]
fn nesting_has_an_end() {
    for line in [
        "(".repeat(100_000),
        format!("ip saddr {}", "{ ".repeat(100_000)),
        format!("{} 5", "jhash ".repeat(100_000)),
        format!("meta mark set {}meta mark", "(".repeat(100_000)),
        format!("meta mark set meta mark{}", " & meta mark".repeat(100_000)),
        format!("{}1", "vxlan ip ".repeat(100_000)),
    ] {
        let (rule, diagnostics) = read(TableFamily::Inet, &line);
        assert!(!diagnostics.is_empty());
        drop(rule);
    }
}
