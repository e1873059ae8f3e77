//! `nft -j list ruleset` as records.

mod nft_json_rules;

use nfwhy_parsers::nft::expr::{
    BinOp, Const, CtKey, Expr, Fib, FibResult, MapRef, Meta, Part, RawBase, RelOp,
};
use nfwhy_parsers::nft::stmt::{Nat, NatKind, Stmt, Verdict};
use nfwhy_parsers::nft::{Element, ElementData, Rule, Ruleset, TableFamily, json};
use nfwhy_parsers::{Diagnostic, Family, Parsed};

use nft_json_rules::{field, num, rule};

use TableFamily::{Inet, Ip};

/// A file, and everything in it read.
struct All<'a> {
    ruleset: Ruleset<'a>,
    /// Of each rule, in the order of tables and chains.
    rules: Vec<Rule<'a>>,
    /// Of each set that has some.
    elements: Vec<Vec<Element<'a>>>,
    diagnostics: Vec<Diagnostic>,
}

fn all(source: &str) -> All<'_> {
    let Parsed { value, diagnostics } = json::index(source);
    let mut all = All {
        ruleset: value,
        rules: Vec::new(),
        elements: Vec::new(),
        diagnostics,
    };
    for table in &all.ruleset.tables {
        for set in &table.sets {
            if let Some(at) = set.elements {
                let (elements, diagnostics) = json::elements(source, at, set, table.family);
                all.elements.push(elements);
                all.diagnostics.extend(diagnostics);
            }
        }
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            let (rule, diagnostics) = json::parse_rule(source, rule.at, table.family);
            all.rules.push(rule);
            all.diagnostics.extend(diagnostics);
        }
    }
    all
}

#[test]
fn kube_proxy() {
    for (source, chains, rules, elements) in [
        (
            include_str!("data/nft/json-kube-clusteripgeneral.json"),
            33,
            57,
            9,
        ),
        (
            include_str!("data/nft/json-kube-loadbalancer.json"),
            20,
            30,
            8,
        ),
        (
            include_str!("data/nft/json-kube-overallrules.json"),
            32,
            57,
            24,
        ),
    ] {
        let all = all(source);
        assert_eq!(all.diagnostics, []);
        let [table] = &*all.ruleset.tables else {
            panic!("{} tables", all.ruleset.tables.len());
        };
        let found = (
            table.chains.len(),
            all.rules.len(),
            all.elements.iter().map(Vec::len).sum::<usize>(),
        );
        assert_eq!(found, (chains, rules, elements));
    }
}

fn key(parts: &[u128]) -> Vec<Part<'static>> {
    parts.iter().map(|n| Part::One(Const::Num(*n))).collect()
}

fn element(key: Vec<Part<'static>>, data: Option<ElementData<'static>>) -> Element<'static> {
    Element {
        key,
        data,
        timeout: None,
        expires: None,
        comment: None,
        stmts: Vec::new(),
    }
}

const NAT: Nat<'static> = Nat {
    kind: NatKind::Dnat,
    family: None,
    addr: None,
    port: None,
    random: false,
    fully_random: false,
    persistent: false,
    prefix: false,
};

#[test]
fn matches() {
    let state = Expr::Ct {
        reply: None,
        key: CtKey::State,
    };
    for (json, left, op, right) in [
        (
            r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}"#,
            state.clone(),
            RelOp::Any,
            num(6),
        ),
        (
            r#"{"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": {"set": ["new", "untracked"]}}}"#,
            state.clone(),
            RelOp::Eq,
            Expr::Set(vec![element(key(&[8]), None), element(key(&[64]), None)]),
        ),
        (
            r#"{"match": {"op": "!", "left": {"ct": {"key": "status"}}, "right": "dnat"}}"#,
            Expr::Ct {
                reply: None,
                key: CtKey::Status,
            },
            RelOp::None,
            num(32),
        ),
        (
            r#"{"match": {"op": "==", "left": {"ct": {"key": "ip6 saddr", "dir": "reply"}}, "right": "::1"}}"#,
            Expr::Ct {
                reply: Some(true),
                key: CtKey::Saddr6,
            },
            RelOp::Eq,
            num(1),
        ),
        (
            r#"{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn"]]}, "right": "syn"}}"#,
            Expr::Binary {
                op: BinOp::And,
                left: Box::new(field("tcp", "flags")),
                right: Box::new(num(3)),
            },
            RelOp::Eq,
            num(2),
        ),
        (
            r#"{"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "cali*"}}"#,
            Expr::Meta(Meta::Oifname),
            RelOp::Ne,
            Expr::Part(Part::Wild("cali".into())),
        ),
        (
            r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@nets"}}"#,
            field("ip", "saddr"),
            RelOp::Eq,
            Expr::SetRef("nets".into()),
        ),
        (
            r#"{"match": {"op": "in", "left": {"payload": {"protocol": "ip6", "field": "daddr"}}, "right": {"prefix": {"addr": "2001:db8::", "len": 32}}}}"#,
            field("ip6", "daddr"),
            RelOp::Eq,
            Expr::Part(Part::Range(
                0x2001_0db8_u128 << 96,
                (0x2001_0db9_u128 << 96) - 1,
            )),
        ),
        (
            r#"{"match": {"op": "==", "left": {"payload": {"base": "th", "offset": 16, "len": 16}}, "right": 53}}"#,
            Expr::Raw {
                base: RawBase::Transport,
                offset: 16,
                len: 16,
            },
            RelOp::Eq,
            num(53),
        ),
        (
            r#"{"match": {"op": "==", "left": {"tcp option": {"name": "sack-perm"}}, "right": true}}"#,
            Expr::TcpOption("sack-perm".into()),
            RelOp::Eq,
            num(1),
        ),
        (
            r#"{"match": {"op": "<", "left": {"numgen": {"mode": "random", "mod": 10, "offset": 0}}, "right": 5}}"#,
            Expr::Numgen {
                random: true,
                modulus: 10,
                offset: 0,
            },
            RelOp::Lt,
            num(5),
        ),
    ] {
        assert_eq!(
            rule(Inet, json),
            [Stmt::Match { left, op, right }],
            "{json}"
        );
    }
}

/// nft 1.0.6 prints the question whether there is a route as one for its device, nft 1.1 as `check`.
#[test]
fn routes_that_are_there() {
    let fib = Fib {
        result: FibResult::Check,
        saddr: true,
        daddr: false,
        mark: false,
        iif: true,
        oif: false,
    };
    for (result, right, number) in [
        ("oif", "false", 0),
        ("check", "false", 0),
        ("oif", "true", 1),
        ("oif", "\"0\"", 0),
    ] {
        let json = format!(
            r#"{{"match": {{"op": "==", "left": {{"fib": {{"result": "{result}", "flags": ["saddr", "iif"]}}}}, "right": {right}}}}}"#
        );
        let expected = Stmt::Match {
            left: Expr::Fib(fib),
            op: RelOp::Eq,
            right: num(number),
        };
        assert_eq!(rule(Ip, json.leak()), [expected], "{result} {right}");
    }
}

#[test]
fn verdict_maps() {
    let json = r#"{"vmap": {"key": {"concat": [{"payload": {"protocol": "ip", "field": "daddr"}}, {"payload": {"protocol": "th", "field": "dport"}}]},
        "data": {"set": [[{"concat": ["10.0.0.1", {"range": [80, 90]}]}, {"goto": {"target": "a"}}], ["*", {"drop": null}]]}}}"#;
    let goto = ElementData::Verdict(Verdict::Goto("a".into()));
    let expected = Stmt::Vmap {
        key: Expr::Concat(vec![field("ip", "daddr"), field("th", "dport")]),
        map: MapRef::Literal(vec![
            element(
                vec![Part::One(Const::Num(0x0a00_0001)), Part::Range(80, 90)],
                Some(goto),
            ),
            element(vec![], Some(ElementData::Verdict(Verdict::Drop))),
        ]),
    };
    assert_eq!(rule(Ip, json), [expected]);
}

#[test]
fn translations() {
    let numgen = |random, modulus| {
        Box::new(Expr::Numgen {
            random,
            modulus,
            offset: 0,
        })
    };
    let value = |parts: &[u128]| Some(ElementData::Value(key(parts)));
    for (family, json, nat) in [
        (
            Ip,
            r#"{"dnat": {"addr": "10.0.0.1", "port": 80}}"#,
            Nat {
                addr: Some(num(0x0a00_0001)),
                port: Some(num(80)),
                ..NAT
            },
        ),
        (
            Inet,
            r#"{"dnat": {"family": "ip6", "addr": {"range": ["::1", "::9"]}, "flags": ["random", "persistent"]}}"#,
            Nat {
                family: Some(Family::V6),
                addr: Some(Expr::Part(Part::Range(1, 9))),
                random: true,
                persistent: true,
                ..NAT
            },
        ),
        (
            Inet,
            r#"{"dnat": {"family": "ip", "addr": {"map": {"key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}}, "data": {"set": [[0, {"concat": ["10.0.0.1", 80]}], [1, {"concat": ["10.0.0.2", 81]}]]}}}}}"#,
            Nat {
                family: Some(Family::V4),
                addr: Some(Expr::Map {
                    key: numgen(true, 2),
                    map: Box::new(MapRef::Literal(vec![
                        element(key(&[0]), value(&[0x0a00_0001, 80])),
                        element(key(&[1]), value(&[0x0a00_0002, 81])),
                    ])),
                }),
                ..NAT
            },
        ),
        (
            Inet,
            r#"{"masquerade": {"port": {"range": [1024, 65535]}, "flags": "fully-random"}}"#,
            Nat {
                kind: NatKind::Masquerade,
                port: Some(Expr::Part(Part::Range(1024, 65535))),
                fully_random: true,
                ..NAT
            },
        ),
        (
            Ip,
            r#"{"redirect": null}"#,
            Nat {
                kind: NatKind::Redirect,
                ..NAT
            },
        ),
        (
            Ip,
            r#"{"snat": {"addr": {"map": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": "@nets"}}, "flags": "netmap", "type_flags": "prefix"}}"#,
            Nat {
                kind: NatKind::Snat,
                addr: Some(Expr::Map {
                    key: Box::new(field("ip", "saddr")),
                    map: Box::new(MapRef::Named("nets".into())),
                }),
                prefix: true,
                ..NAT
            },
        ),
    ] {
        assert_eq!(rule(family, json), [Stmt::Nat(nat)], "{json}");
    }
}

#[test]
fn marks() {
    // More than two operands stand for operations from the left; and what is written is of the key's type.
    let json = r#"{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"&": [{"ct": {"key": "mark"}}, 255]}, {"meta": {"key": "mark"}}, 16384]}}}"#;
    let ct = Expr::Ct {
        reply: None,
        key: CtKey::Mark,
    };
    let binary = |op, left, right| Expr::Binary {
        op,
        left: Box::new(left),
        right: Box::new(right),
    };
    let and = binary(BinOp::And, ct, num(255));
    let or = binary(BinOp::Or, and, Expr::Meta(Meta::Mark));
    let expected = Stmt::Set {
        key: Expr::Meta(Meta::Mark),
        value: binary(BinOp::Or, or, num(0x4000)),
    };
    assert_eq!(rule(Ip, json), [expected]);
}
