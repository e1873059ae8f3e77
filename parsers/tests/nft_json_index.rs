//! What `json::index` makes of whole, cut, broken and joined files.

use nfwhy_parsers::iptables::Policy;
use nfwhy_parsers::nft::{Base, ChainType, Form, Hook, Ruleset, SetData, TableFamily, Type, json};
use nfwhy_parsers::{Diagnostic, Parsed};

const NODE: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
{"table": {"family": "ip", "name": "t", "handle": 1}},
{"counter": {"family": "ip", "name": "hits", "table": "t", "handle": 4, "packets": 0, "bytes": 0}},
{"set": {"family": "ip", "name": "nets", "table": "t", "type": "ipv4_addr", "handle": 5, "comment": "some", "size": 1000, "flags": ["interval", "timeout"], "timeout": 3600, "elem": ["10.0.0.1",
  {"prefix": {"addr": "10.1.0.0", "len": 16}}]}},
{"map": {"family": "ip", "name": "svc", "table": "t", "type": ["ipv4_addr", "inet_service"], "handle": 6, "map": "verdict"}},
{"map": {"family": "ip", "name": "to", "table": "t", "type": "mark", "handle": 7, "map": "ipv4_addr . inet_service", "elem": []}},
{"chain": {"family": "ip", "table": "t", "name": "pre", "handle": 2, "type": "nat", "hook": "prerouting", "prio": -105, "policy": "drop"}},
{"chain": {"family": "ip", "table": "t", "name": "a/b", "handle": 3}},
{"rule": {"family": "ip", "table": "t", "chain": "pre", "handle": 8, "expr": [{"jump": {"target": "a/b"}}]}},
{"rule": {"family": "ip", "table": "t", "chain": "a/b", "handle": 9, "expr": [{"drop": null}]}},
{"rule": {"family": "ip", "table": "t", "chain": "a/b", "handle": 10, "comment": "why \"not\"", "expr": [{"accept": null}]}}]}
"#;

fn index(source: &str) -> (Ruleset<'_>, Vec<Diagnostic>) {
    let Parsed { value, diagnostics } = json::index(source);
    (value, diagnostics)
}

/// Names of the tables and chains, with the numbers of rules.
fn outline(ruleset: &Ruleset<'_>) -> Vec<String> {
    let tables = ruleset.tables.iter().map(|t| {
        let chains = t
            .chains
            .iter()
            .map(|c| format!(" {}:{}", c.name, c.rules.len()));
        format!("{}{}", t.name, chains.collect::<String>())
    });
    tables.collect()
}

/// Lines and messages.
fn said(reports: &[Diagnostic]) -> Vec<(u32, &str)> {
    reports.iter().map(|d| (d.line, &*d.message)).collect()
}

#[track_caller]
fn check(source: &str, tables: &[&str], reports: &[(u32, &str)]) {
    let (ruleset, found) = index(source);
    assert_eq!(outline(&ruleset), tables);
    assert_eq!(said(&found), reports);
}

#[test]
fn a_rule_set() {
    let (ruleset, reports) = index(NODE);
    assert_eq!(reports, []);
    assert_eq!(ruleset.form, Form::Json);
    let [table] = &*ruleset.tables else {
        panic!("{ruleset:?}");
    };
    assert_eq!((table.family, table.handle), (TableFamily::Ip, Some(1)));
    assert!(!table.dormant);
    let [counter] = &*table.objects else {
        panic!("{table:?}");
    };
    assert_eq!((&*counter.kind, &*counter.name), ("counter", "hits"));

    let [nets, svc, to] = &*table.sets else {
        panic!("{table:?}");
    };
    assert_eq!((&*nets.name, &nets.data), ("nets", &None));
    assert_eq!(nets.key, [Type::Ipv4Addr]);
    assert_eq!(nets.comment.as_deref(), Some("some"));
    assert_eq!(
        (nets.interval, nets.constant, nets.timeout, nets.size),
        (true, false, Some(3_600_000), Some(1000))
    );
    let at = nets.elements.expect("elements");
    assert_eq!(at.line, 4);
    assert!(at.span.of(NODE).starts_with("[\"10.0.0.1\","));
    let (elements, reports) = json::elements(NODE, at, nets, table.family);
    assert_eq!((elements.len(), reports), (2, vec![]));
    assert_eq!(svc.key, [Type::Ipv4Addr, Type::InetService]);
    assert_eq!((&svc.data, svc.elements), (&Some(SetData::Verdict), None));
    let pair = SetData::Value(vec![Type::Ipv4Addr, Type::InetService]);
    assert_eq!((&to.data, to.elements), (&Some(pair), None));

    let [pre, ab] = &*table.chains else {
        panic!("{table:?}");
    };
    let base = Base {
        kind: ChainType::Nat,
        hook: Hook::Prerouting,
        priority: -105,
        policy: Policy::Drop,
        devices: vec![],
    };
    assert_eq!((&pre.base, &ab.base), (&Some(base), &None));
    let rules: Vec<_> = ab.rules.iter().map(|r| (r.at.line, r.handle)).collect();
    assert_eq!(rules, [(11, Some(9)), (12, Some(10))]);
    let (rule, reports) = json::parse_rule(NODE, ab.rules[1].at, table.family);
    assert_eq!(reports, []);
    assert_eq!(rule.comment.as_deref(), Some("why \"not\""));
}

#[test]
fn a_cut_file_keeps_what_was_read() {
    let cut = &NODE[..NODE.find("{\"accept\"").expect("there")];
    check(cut, &["t pre:1 a/b:1"], &[(12, "the JSON ends too early")]);
    check(
        "{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"t\"}},",
        &["t"],
        &[(1, "the JSON ends too early")],
    );
}

#[test]
fn an_entry_that_is_broken_or_not_known_leaves_the_others_alone() {
    let broken = NODE
        .replace("\"prio\": -105", "\"prio\": -1o5")
        .replace("\"counter\": {", "\"gadget\": {\"x\": [],")
        .replace(
            "\"family\": \"ip\", \"name\": \"svc\"",
            "\"family\": \"ipx\", \"name\": \"svc\"",
        );
    let (ruleset, reports) = index(&broken);
    // The chain is made up: its rules are kept, but where they are hooked in is not known.
    assert_eq!(outline(&ruleset), ["t a/b:2 pre:1"]);
    assert_eq!(ruleset.tables[0].sets.len(), 2);
    assert_eq!(ruleset.tables[0].objects[0].kind, "gadget");
    assert_eq!(
        said(&reports),
        [
            (
                6,
                "map of no table: {\"family\": \"ipx\", \"name\": \"svc\", \"table\": \"t\", \"type\": [\"ipv..."
            ),
            (8, "no JSON value"),
            (10, "chain ip t pre is not in the file"),
        ]
    );
}

#[test]
fn a_broken_rule_is_read_as_one_that_is_not_known() {
    let broken = NODE.replace("{\"drop\": null}", "{\"drop\": nil}");
    let (ruleset, reports) = index(&broken);
    assert_eq!(reports, []);
    let at = ruleset.tables[0].chains[1].rules[0].at;
    let (rule, reports) = json::parse_rule(&broken, at, TableFamily::Ip);
    assert_eq!(said(&reports), [(11, "no JSON value")]);
    assert_eq!(
        format!("{:?}", rule.stmts),
        format!("[Opaque({:?})]", at.span.of(&broken))
    );
}

#[test]
fn joined_files() {
    let other = NODE.replace("\"t\"", "\"u\"");
    check(
        &format!("{NODE}{other}"),
        &["t pre:1 a/b:2", "u pre:1 a/b:2"],
        &[],
    );
    // `nft -j list table ip u` behind a file that is cut.
    let cut = &NODE[..NODE.find("{\"accept\"").expect("there")];
    check(
        &format!("{cut}\n{other}"),
        &["t pre:1 a/b:1", "u pre:1 a/b:2"],
        &[(12, "the JSON ends too early")],
    );
    // The same table twice is one table.
    let (ruleset, reports) = index(NODE.repeat(2).leak());
    assert_eq!(outline(&ruleset), ["t pre:1 a/b:2"]);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].line, 14);
}

#[test]
fn what_stands_around_json() {
    let source = format!("root@node:~# nft -j list ruleset\nWarning: old\n{NODE}root@node:~# \n");
    check(
        &source,
        &["t pre:1 a/b:2"],
        &[
            (1, "passed over, no JSON: root@node:~# nft -j list ruleset"),
            (15, "passed over, no JSON: root@node:~#"),
        ],
    );
    check(&format!("\u{feff}{NODE}"), &["t pre:1 a/b:2"], &[]);
    check("", &[], &[]);
    check("[1]\n", &[], &[(1, "passed over, no JSON: [1]")]);
    check(
        "{\"route\": [1]}\n",
        &[],
        &[(1, "\"route\" instead of a list \"nftables\"")],
    );
}

/// `nft -j list chain` prints no table.
#[test]
fn a_chain_alone() {
    check(
        r#"{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1}},
{"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 8, "expr": [{"accept": null}]}}]}"#,
        &["t c:1"],
        &[(1, "table ip t is not in the file")],
    );
}

/// One after another: what is not there is said once.
#[test]
fn chains_alone() {
    let one = |chain: &str| {
        format!(
            r#"{{"nftables": [{{"set": {{"family": "ip", "table": "t", "name": "s", "type": "mark"}}}}, {{"chain": {{"family": "ip", "table": "t", "name": "{chain}"}}}}, {{"rule": {{"family": "ip", "table": "t", "chain": "{chain}", "expr": []}}}}]}}
"#
        )
    };
    let source = one("c") + &one("d") + &one("c");
    let (ruleset, reports) = index(&source);
    assert_eq!(outline(&ruleset), ["t c:1 d:1"]);
    assert_eq!(ruleset.tables[0].sets.len(), 1);
    let lines: Vec<_> = reports.iter().map(|r| r.line).collect();
    assert_eq!(lines, [1, 2, 3, 3], "{reports:?}");
}

/// As nft says it above the text of such a table.
#[test]
fn tables_of_iptables() {
    let with = |stmt: &str| NODE.replace(r#"{"drop": null}"#, stmt);
    for (source, expected) in [
        (NODE.to_owned(), false),
        (
            with(r#"{"xt": {"type": "match", "name": "addrtype"}}"#),
            true,
        ),
        (with("{ \"xt\" : null}"), true),
        (with(r#"{"log": {"prefix": "xt"}}"#), false),
    ] {
        let (ruleset, _) = index(&source);
        assert_eq!(ruleset.tables[0].of_iptables, expected, "{source}");
    }
}

/// nft 1.0.6 prints the flag of a table from memory that it has freed.
#[test]
fn dormant_tables() {
    for (flags, dormant, reports) in [
        ("\"dormant\"", true, 0),
        ("[\"dormant\"]", true, 0),
        ("[\"owner\", \"persist\"]", false, 0),
        ("\"sleeping\"", true, 1),
        ("[]", false, 0),
    ] {
        let source = format!(
            r#"{{"nftables": [{{"table": {{"family": "inet", "name": "sleeping", "handle": 5, "flags": {flags}}}}}]}}"#
        );
        let (ruleset, found) = index(&source);
        assert_eq!(ruleset.tables[0].dormant, dormant, "{flags}");
        assert_eq!(found.len(), reports, "{flags} {found:?}");
    }
}

/// nft 1.1 says of a set what its `typeof` stands for, and names devices and comments.
#[test]
fn as_nft_1_1_prints_it() {
    let source = r#"{"nftables": [{"metainfo": {"version": "1.1.3"}},
{"table": {"family": "netdev", "name": "t", "handle": 1, "comment": "of the edge"}},
{"chain": {"family": "netdev", "table": "t", "name": "in", "handle": 1, "comment": "first", "dev": ["eth0", "eth1"], "type": "filter", "hook": "ingress", "prio": 0, "policy": "accept"}},
{"set": {"family": "netdev", "name": "s", "table": "t", "type": {"typeof": {"concat": [{"payload": {"protocol": "vlan", "field": "id"}}, {"meta": {"key": "iifname"}}]}}, "handle": 2, "elem": [{"concat": [5, "eth0"]}]}},
{"map": {"family": "netdev", "name": "m", "table": "t", "type": {"typeof": {"payload": {"protocol": "ip", "field": "daddr"}}}, "handle": 3, "map": ["ipv4_addr", "inet_service"]}}]}"#;
    let (ruleset, reports) = index(source);
    assert_eq!(reports, []);
    let table = &ruleset.tables[0];
    assert_eq!(table.comment.as_deref(), Some("of the edge"));
    let chain = &table.chains[0];
    assert_eq!(chain.comment.as_deref(), Some("first"));
    let base = chain.base.as_ref().expect("a base chain");
    assert_eq!(base.devices, ["eth0", "eth1"]);
    assert_eq!(table.sets[0].key, [Type::Integer(12), Type::Ifname]);
    let pair = SetData::Value(vec![Type::Ipv4Addr, Type::InetService]);
    assert_eq!(table.sets[1].data, Some(pair));
}

/// One element that is broken or of another kind leaves the others.
#[test]
fn elements_that_are_not_understood() {
    let source = r#"{"nftables": [{"table": {"family": "ip", "name": "t"}},
{"map": {"family": "ip", "name": "m", "table": "t", "type": "ipv4_addr", "map": "verdict", "elem": [["10.0.0.1", {"accept": null}], "10.0.0.2", ["10.0.0.3", nil],
 ["10.0.0.4", {"fly": null}], ["10.0.0.5", {"drop": null}], [{"elem": {"val": "ten", "comment": "c", "timeout": 5}}, {"drop": null}]]}}]}"#;
    let (ruleset, reports) = index(source);
    assert_eq!(reports, []);
    let set = &ruleset.tables[0].sets[0];
    let at = set.elements.expect("elements");
    let (elements, reports) = json::elements(source, at, set, TableFamily::Ip);
    assert_eq!(
        said(&reports),
        [
            (2, "an element of a map that is no pair: \"10.0.0.2\""),
            (2, "no JSON value"),
            (3, "a verdict that is not known: {\"fly\": null}"),
            (3, "a constant that is not known: \"ten\""),
        ]
    );
    let keys: Vec<_> = elements.iter().map(|e| format!("{:?}", e.key)).collect();
    assert_eq!(
        keys,
        [
            "[One(Num(167772161))]",
            "[One(Num(167772165))]",
            "[One(Text(\"ten\"))]"
        ]
    );
    assert_eq!(elements[2].timeout, Some(5000));
}
