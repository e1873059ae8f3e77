//! Statements of `nft -j list ruleset`, and what is not understood.

mod nft_json_rules;

use nfwhy_parsers::nft::expr::{BinOp, Expr, RelOp};
use nfwhy_parsers::nft::stmt::{Limit, Reject, Stmt, Update, UpdateOp, Verdict};
use nfwhy_parsers::nft::{TableFamily, json};

use nft_json_rules::{field, num, rule, whole};

use TableFamily::{Inet, Ip, Ip6};

#[test]
fn other_statements() {
    let limit = |over, rate, per, burst, bytes| {
        Stmt::Limit(Limit {
            over,
            rate,
            per,
            burst,
            bytes,
        })
    };
    for (family, json, expected) in [
        (Ip, r#"{"counter": null}"#, Stmt::Counter(None)),
        (
            Ip,
            r#"{"counter": {"packets": 5, "bytes": 600}}"#,
            Stmt::Counter(Some((5, 600))),
        ),
        (
            Ip,
            r#"{"counter": "hits"}"#,
            Stmt::Named("counter".into(), "hits".into()),
        ),
        (
            Ip,
            r#"{"limit": {"rate": 10, "burst": 5, "per": "second"}}"#,
            limit(false, 10, 1, 5, false),
        ),
        (
            Ip,
            r#"{"limit": {"rate": 10, "per": "minute", "inv": true}}"#,
            limit(true, 10, 60, 5, false),
        ),
        (
            Ip,
            r#"{"limit": {"rate": 10, "burst": 512, "per": "second", "rate_unit": "mbytes", "burst_unit": "kbytes"}}"#,
            limit(false, 10 << 20, 1, 512 << 10, true),
        ),
        (
            Ip,
            r#"{"quota": {"val": 500, "val_unit": "mbytes", "inv": true, "used": 1, "used_unit": "kbytes"}}"#,
            Stmt::Quota {
                over: true,
                bytes: 500 << 20,
                used: Some(1024),
            },
        ),
        (
            Ip,
            r#"{"ct count": {"val": 10, "inv": true}}"#,
            Stmt::Connlimit {
                over: true,
                count: 10,
            },
        ),
        (Ip, r#"{"reject": null}"#, Stmt::Reject(Reject::Default)),
        (
            Ip,
            r#"{"reject": {"type": "icmp", "expr": "port-unreachable"}}"#,
            Stmt::Reject(Reject::Default),
        ),
        (
            Inet,
            r#"{"reject": {"type": "icmp", "expr": "port-unreachable"}}"#,
            Stmt::Reject(Reject::Icmp(3)),
        ),
        (
            Ip6,
            r#"{"reject": {"type": "icmpv6", "expr": "admin-prohibited"}}"#,
            Stmt::Reject(Reject::Icmpv6(1)),
        ),
        (
            Inet,
            r#"{"reject": {"type": "tcp reset"}}"#,
            Stmt::Reject(Reject::TcpReset),
        ),
        (
            Ip,
            r#"{"log": {"prefix": "a b: ", "group": 2, "snaplen": 80, "flags": ["tcp sequence", "tcp options", "skuid"]}}"#,
            Stmt::Log(
                "prefix \"a b: \" group 2 snaplen 80 flags tcp sequence,options flags skuid".into(),
            ),
        ),
        (Ip, r#"{"log": null}"#, Stmt::Log("".into())),
        (
            Ip,
            r#"{"queue": {"num": {"range": [1, 3]}, "flags": ["bypass", "fanout"]}}"#,
            Stmt::Queue("flags bypass,fanout to 1-3".into()),
        ),
        (Ip, r#"{"notrack": null}"#, Stmt::Notrack),
        (
            Ip,
            r#"{"flow": {"op": "add", "flowtable": "@ft"}}"#,
            Stmt::Flow("ft".into()),
        ),
        (
            Ip,
            r#"{"xt": {"type": "match", "name": "addrtype"}}"#,
            Stmt::Xt("match".into(), "addrtype".into()),
        ),
        (
            Ip,
            r#"{"ct helper": "ftp"}"#,
            Stmt::Aside("ct helper set \"ftp\"".into()),
        ),
        (
            Ip,
            r#"{"tproxy": {"port": 8080}}"#,
            Stmt::Tproxy(None, Some(num(8080))),
        ),
        (
            Ip,
            r#"{"fwd": {"dev": "lo"}}"#,
            Stmt::Opaque(r#"{"fwd": {"dev": "lo"}}"#.into()),
        ),
        (Ip, r#"{"break": null}"#, Stmt::Verdict(Verdict::Continue)),
        (
            Ip,
            r#"{"set": {"op": "update", "elem": {"elem": {"val": {"payload": {"protocol": "ip", "field": "saddr"}}, "timeout": 90}}, "set": "@recent", "stmt": [{"counter": null}]}}"#,
            Stmt::Update(Box::new(Update {
                op: UpdateOp::Update,
                set: "recent".into(),
                key: field("ip", "saddr"),
                data: None,
                timeout: Some(90_000),
                stmts: vec![Stmt::Counter(None)],
            })),
        ),
        // nft 1.0.6 has no JSON for it and prints the text.
        (
            Ip,
            r#""add @dyn { ip saddr : tcp dport }""#,
            Stmt::Update(Box::new(Update {
                op: UpdateOp::Add,
                set: "dyn".into(),
                key: field("ip", "saddr"),
                data: Some(field("tcp", "dport")),
                timeout: None,
                stmts: vec![],
            })),
        ),
    ] {
        assert_eq!(rule(family, json), [expected], "{json}");
    }
}

/// One thing that is not understood leaves the rest of its rule alone, and the report points at it.
#[test]
fn what_is_not_known_stays_as_text() {
    let saddr = || field("ip", "saddr");
    let opaque = |s: &'static str| Expr::Opaque(s.into());
    let equal = |left, right| Stmt::Match {
        left,
        op: RelOp::Eq,
        right,
    };
    for (json, expected, at) in [
        (
            r#"{"frobnicate": {"a": 1}}"#,
            Stmt::Opaque(r#"{"frobnicate": {"a": 1}}"#.into()),
            r#"{"a": 1}"#,
        ),
        (
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "quic", "field": "dcid"}}, "right": 5}}"#,
            equal(
                opaque(r#"{"payload": {"protocol": "quic", "field": "dcid"}}"#),
                num(5),
            ),
            r#"{"payload": {"protocol": "quic", "field": "dcid"}}"#,
        ),
        (
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "localhost"}}"#,
            equal(saddr(), opaque("localhost")),
            "\"localhost\"",
        ),
        (
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 33}}}}"#,
            equal(
                saddr(),
                opaque(r#"{"prefix": {"addr": "10.0.0.0", "len": 33}}"#),
            ),
            r#"{"prefix": {"addr": "10.0.0.0", "len": 33}}"#,
        ),
        (
            r#"{"match": {"op": "~", "left": {"meta": {"key": "mark"}}, "right": 5}}"#,
            Stmt::Opaque(
                r#"{"match": {"op": "~", "left": {"meta": {"key": "mark"}}, "right": 5}}"#.into(),
            ),
            r#"{"op": "~", "left": {"meta": {"key": "mark"}}, "right": 5}"#,
        ),
        (
            r#"{"limit": {"rate": 10, "per": "fortnight"}}"#,
            Stmt::Opaque(r#"{"limit": {"rate": 10, "per": "fortnight"}}"#.into()),
            r#"{"rate": 10, "per": "fortnight"}"#,
        ),
        ("17", Stmt::Opaque("17".into()), "17"),
        (
            "\"no such words\"",
            Stmt::Opaque("no such words".into()),
            "no",
        ),
        // nft 1.0.2 says no more of an extension of iptables.
        (
            r#"{"xt": null}"#,
            Stmt::Opaque(r#"{"xt": null}"#.into()),
            "null",
        ),
    ] {
        let source = format!("\n{{\"expr\": [{json}, {{\"accept\": null}}]}}");
        let (rule, reports) = json::parse_rule(&source, whole(&source), Ip);
        assert_eq!(
            rule.stmts,
            [expected, Stmt::Verdict(Verdict::Accept)],
            "{json}"
        );
        let [report] = &*reports else {
            panic!("{json}: {reports:?}");
        };
        assert_eq!(report.span.of(&source), at, "{json}: {report:?}");
        assert_eq!(report.line, 2, "{json}");
    }
}

/// However long a list of operands is, it makes no deep record.
#[test]
fn many_operands() {
    let list = vec![r#"{"meta": {"key": "mark"}}"#; 100_000].join(", ");
    let source = format!(
        r#"{{"expr": [{{"mangle": {{"key": {{"meta": {{"key": "mark"}}}}, "value": {{"|": [{list}]}}}}}}]}}"#
    );
    let (rule, reports) = json::parse_rule(&source, whole(&source), Ip);
    assert_eq!(reports.len(), 1);
    assert!(
        matches!(
            &*rule.stmts,
            [Stmt::Set {
                value: Expr::Opaque(_),
                ..
            }]
        ),
        "{:?}",
        rule.stmts.len()
    );
}

/// `ip6 daddr & ffff:: == ::1` of a rule, which nft lists as a prefix.
#[test]
fn a_prefix_with_bits_beyond_its_length_is_a_comparison_under_a_mask() {
    let json = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "daddr"}}, "right": {"prefix": {"addr": "::1", "len": 16}}}}"#;
    let expected = Stmt::Match {
        left: Expr::Binary {
            op: BinOp::And,
            left: Box::new(field("ip6", "daddr")),
            right: Box::new(num(0xffff << 112)),
        },
        op: RelOp::Eq,
        right: num(1),
    };
    assert_eq!(rule(Ip6, json), [expected]);
}
