//! `nft list ruleset` as text: tables, chains, sets and the places of rules; whole files.

use nfwhy_parsers::iptables::Policy;
use nfwhy_parsers::nft::{
    ChainType, Element, ElementData, Form, Hook, Part, Rule, SetData, Stmt, Type, Verdict, text,
};

mod nft_rules;

use nft_rules::{NET, element, one};

const RULESET: &str = r#"# Warning: table ip nat is managed by iptables-nft, do not touch!
table ip nat { # handle 7
	chain POSTROUTING { # handle 1
		type nat hook postrouting priority srcnat; policy accept;
		xt match "comment" counter packets 0 bytes 0 masquerade # handle 4
	}
}
table inet t { # handle 8 progname x
	comment "all of it"
	flags dormant

	ct helper ftp { # handle 5
		type "ftp" protocol tcp
		l3proto inet
	}

	set s { # handle 9
		typeof ip saddr . tcp dport
		size 100	# count 2
		flags interval,timeout
		timeout 1h30m
		comment "set { of"
		elements = { 10.0.0.0/8 . 80 timeout 1d expires 23h59m59s600ms comment "a, b",
			     10.0.0.1 . 90-99 counter packets 3 bytes 4 }
	}

	map m {
		type ifname : verdict
		elements = { "cali*" : jump c,
			     * : drop }
	}

	chain c { # handle 2
		comment "that others jump to"
		tcp dport { 80,
			     443 } accept comment "one
two" # handle 10
		drop # handle 11
	}

	chain ing {
		type filter hook ingress devices = { "eth0", "lo" } priority filter - 5; policy drop;
	}
}
"#;

#[test]
fn places_of_everything() {
    let parsed = text::index(RULESET);
    assert_eq!(parsed.diagnostics, []);
    assert_eq!(parsed.value.form, Form::Text);
    let [nat, t] = &*parsed.value.tables else {
        panic!("{} tables", parsed.value.tables.len());
    };
    assert!(nat.of_iptables && !t.of_iptables && t.dormant && !nat.dormant);
    assert_eq!((nat.handle, t.handle), (Some(7), Some(8)));
    assert_eq!(t.comment.as_deref(), Some("all of it"));
    assert_eq!((nat.at.line, t.at.line), (2, 8));
    assert!(t.at.span.of(RULESET).starts_with("table inet t {"));
    assert!(t.at.span.of(RULESET).ends_with("\n}"));

    let rule = nat.chains[0].rules[0];
    assert_eq!(
        rule.at.span.of(RULESET),
        r#"xt match "comment" counter packets 0 bytes 0 masquerade"#
    );
    assert_eq!((rule.at.line, rule.handle), (5, Some(4)));

    let [c, ing] = &*t.chains else {
        panic!("{} chains", t.chains.len());
    };
    assert_eq!(c.comment.as_deref(), Some("that others jump to"));
    assert_eq!((c.base.as_ref(), c.handle), (None, Some(2)));
    let found: Vec<_> = c
        .rules
        .iter()
        .map(|r| (r.at.line, r.handle, r.at.span.of(RULESET)))
        .collect();
    assert_eq!(
        found,
        [
            (
                35,
                Some(10),
                "tcp dport { 80,\n\t\t\t     443 } accept comment \"one\ntwo\""
            ),
            (38, Some(11), "drop")
        ]
    );
    let base = ing.base.as_ref().expect("a base chain");
    assert_eq!(
        (base.kind, base.hook, base.priority, base.policy),
        (ChainType::Filter, Hook::Ingress, -5, Policy::Drop)
    );
    assert_eq!(base.devices, ["eth0", "lo"]);

    let [helper] = &*t.objects else {
        panic!("{} objects", t.objects.len());
    };
    assert_eq!((&*helper.kind, &*helper.name), ("ct helper", "ftp"));
    assert_eq!((helper.handle, helper.at.line), (Some(5), 12));
}

#[test]
fn sets_and_their_elements() {
    let parsed = text::index(RULESET);
    let t = &parsed.value.tables[1];
    let [s, m] = &*t.sets else {
        panic!("{} sets", t.sets.len());
    };
    assert_eq!(s.key, [Type::Ipv4Addr, Type::InetService]);
    assert_eq!((s.handle, s.size), (Some(9), Some(100)));
    assert_eq!(s.timeout, Some(5_400_000));
    assert_eq!(s.comment.as_deref(), Some("set { of"));
    assert!(s.interval && !s.constant);
    let at = s.elements.expect("elements");
    assert_eq!(at.line, 23);
    let (elements, diagnostics) = text::elements(RULESET, at, s, t.family);
    assert_eq!(diagnostics, []);
    let expected = [
        Element {
            timeout: Some(86_400_000),
            expires: Some(86_399_600),
            comment: Some("a, b".into()),
            ..element(vec![Part::Range(NET, NET + 0xff_ffff), one(80)], None)
        },
        Element {
            stmts: vec![Stmt::Counter(Some((3, 4)))],
            ..element(vec![one(NET + 1), Part::Range(90, 99)], None)
        },
    ];
    assert_eq!(elements, expected);

    assert_eq!(m.data, Some(SetData::Verdict));
    let at = m.elements.expect("elements");
    let (elements, diagnostics) = text::elements(RULESET, at, m, t.family);
    assert_eq!(diagnostics, []);
    let jump = ElementData::Verdict(Verdict::Jump("c".into()));
    let expected = [
        element(vec![Part::Wild("cali".into())], Some(jump)),
        element(Vec::new(), Some(ElementData::Verdict(Verdict::Drop))),
    ];
    assert_eq!(elements, expected);
}

/// nft writes warnings to its standard error, so they stand anywhere.
#[test]
fn warnings_are_no_rules() {
    let source = "table ip nat {\n# Warning: table ip nat is managed by iptables-nft, do not touch!\n\tchain c {\n# Warning: XT match x not found\n\t\taccept\n\t}\n}\n";
    let parsed = text::index(source);
    assert_eq!(parsed.diagnostics, []);
    let table = &parsed.value.tables[0];
    assert!(table.of_iptables);
    assert_eq!(table.chains[0].rules.len(), 1);
}

/// What is reported of a whole file: line, the text pointed at, the message.
fn reports(source: &str) -> Vec<(u32, &str, String)> {
    let parsed = text::index(source);
    let mut all = parsed.diagnostics;
    for table in &parsed.value.tables {
        for set in &table.sets {
            if let Some(at) = set.elements {
                all.extend(text::elements(source, at, set, table.family).1);
            }
        }
        for rule in table.chains.iter().flat_map(|c| &c.rules) {
            all.extend(text::parse_rule(source, rule.at, table.family).1);
        }
    }
    for d in &all {
        assert!(d.help.is_some(), "{d:?}");
    }
    all.into_iter()
        .map(|d| (d.line, d.span.of(source), d.message))
        .collect()
}

#[test]
fn real_rule_sets_are_understood() {
    for (source, tables, chains) in [
        (include_str!("data/nft/kube-blackhole.txt"), 1, 18),
        (include_str!("data/nft/docker-bridges.txt"), 1, 10),
        (include_str!("data/nft/json-kube-overallrules.txt"), 1, 32),
        (
            include_str!("data/nft/json-kube-clusteripgeneral.txt"),
            1,
            33,
        ),
        (include_str!("data/nft/json-kube-loadbalancer.txt"), 1, 20),
    ] {
        assert_eq!(reports(source), []);
        let found = text::index(source).value.tables;
        let count: usize = found.iter().map(|t| t.chains.len()).sum();
        assert_eq!((found.len(), count), (tables, chains));
    }
}

/// nft prints what iptables-nft loaded partly in libxtables' words.
#[test]
fn tables_of_iptables() {
    let source = include_str!("data/nft/iptables-nft.txt");
    assert_eq!(reports(source), []);
    let found = text::index(source).value.tables;
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|t| t.of_iptables));
}

#[test]
fn of_all_that_nft_takes_only_the_time_is_left_open() {
    let source = include_str!("data/nft/every.txt");
    let found = reports(source);
    assert_eq!(
        found,
        [(
            388,
            "\"2023-01-01 00:00:00\"",
            "`2023-01-01 00:00:00` is no constant that is known here".to_string()
        )]
    );
}

/// Without what `nft -s` leaves out.
fn stateless(stmt: Stmt<'_>) -> Stmt<'_> {
    match stmt {
        Stmt::Counter(_) => Stmt::Counter(None),
        Stmt::Quota { over, bytes, .. } => Stmt::Quota {
            over,
            bytes,
            used: None,
        },
        other => other,
    }
}

/// Every rule and every element, by what they belong to.
fn records(source: &str) -> Vec<(String, Vec<Rule<'_>>, Vec<Element<'_>>)> {
    let mut all = Vec::new();
    for table in text::index(source).value.tables {
        for set in &table.sets {
            let Some(at) = set.elements else { continue };
            let (mut elements, _) = text::elements(source, at, set, table.family);
            for e in &mut elements {
                e.expires = None;
                e.stmts = e.stmts.drain(..).map(stateless).collect();
            }
            all.push((set.name.to_string(), Vec::new(), elements));
        }
        for chain in &table.chains {
            let rules = chain.rules.iter().map(|r| {
                let (mut rule, _) = text::parse_rule(source, r.at, table.family);
                rule.stmts = rule.stmts.drain(..).map(stateless).collect();
                rule
            });
            let name = format!("{} {:?}", chain.name, chain.base);
            all.push((name, rules.collect(), Vec::new()));
        }
    }
    all
}

#[test]
fn the_options_of_nft_change_no_record() {
    let expected = records(include_str!("data/nft/every.txt"));
    assert!(expected.len() > 50);
    for source in [
        include_str!("data/nft/every-handles.txt"),
        include_str!("data/nft/every-numeric.txt"),
        include_str!("data/nft/every-stateless.txt"),
    ] {
        let found = records(source);
        for (e, f) in expected.iter().zip(&found) {
            assert_eq!(e, f);
        }
        assert_eq!(expected.len(), found.len());
    }
    let source = include_str!("data/nft/every-handles.txt");
    for t in text::index(source).value.tables {
        assert!(t.handle.is_some() && t.objects.iter().all(|o| o.handle.is_some()));
        assert!(t.sets.iter().all(|s| s.handle.is_some()));
        assert!(t.chains.iter().all(|c| c.handle.is_some()));
        let mut rules = t.chains.iter().flat_map(|c| &c.rules);
        assert!(rules.all(|r| r.handle.is_some()));
    }
}

#[test]
fn broken_files() {
    let nothing: [(u32, &str, &str); 0] = [];
    let check = |source: &str, expected: &[(u32, &str, &str)]| {
        let found = reports(source);
        let found: Vec<_> = found.iter().map(|(l, t, m)| (*l, *t, &**m)).collect();
        assert_eq!(found, expected, "{source}");
    };
    check("", &nothing);
    check("root@node:~# nft list ruleset\n", &nothing);
    check(
        "oops\nand more\ntable ip t {\n}\n",
        &[(1, "oops", "this is no part of a rule set")],
    );
    check(
        "table ip t {\n\tchain a {\n\t\taccept\n",
        &[
            (3, "", "the chain is not closed"),
            (3, "", "table ip t is not closed"),
        ],
    );
    check(
        "table ip t {\n\tchain a {\n\t\taccept\n\n\tchain b {\n\t}\n}\n",
        &[(5, "chain b {", "the chain is not closed before this")],
    );
    check(
        "table ip t {\n\tchain a {\n\t\ttype filter hook input priority soon; policy accept;\n\t}\n}\n",
        &[(
            3,
            "type filter hook input priority soon; policy accept;",
            "this heading of a base chain is not understood",
        )],
    );
    check(
        "table ip t {\n\tset s {\n\t\telements = { 1 }\n\t}\n}\n",
        &[(2, "set s {", "this set has no type that is known")],
    );
    check(
        "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1, 10.0.0.2 nonsense,\n\t\t\t10.0.0.3 }\n\t}\n}\n",
        &[(4, "nonsense", "`nonsense` is not understood in an element")],
    );
    // A brace that nothing opened ends no set.
    check(
        "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 }until\n\t}\n}\n",
        &[(4, "}", "`}` is not understood in an element")],
    );
    check(
        "table ip t {\n\tgadget g {\n\t\tx\n\t}\n\tchain a {\n\t}\n}\n",
        &[(2, "gadget g {", "this is no chain, no set and no object")],
    );
}

/// A brace that a damaged line lost does not take what stands behind it.
#[test]
fn a_lost_brace_takes_one_chain_at_most() {
    let source = "table ip t {\n\tchain a {\n\t\ttcp dport { 80, 443 accept\n\t}\n\n\tchain b {\n\t\tdrop\n\t}\n}\n";
    let parsed = text::index(source);
    let [table] = &*parsed.value.tables else {
        panic!("{} tables", parsed.value.tables.len());
    };
    let names: Vec<_> = table
        .chains
        .iter()
        .map(|c| (&*c.name, c.rules.len()))
        .collect();
    assert_eq!(names, [("a", 1), ("b", 1)]);
}
