//! `nft list ruleset` as text: what rules, sets and headings become.

use nfwhy_parsers::iptables::Policy;
use nfwhy_parsers::nft::expr::{BinOp, CtKey, Fib, FibResult, MapRef, Meta, RawBase, RelOp};
use nfwhy_parsers::nft::stmt::{Limit, Nat, NatKind, Reject, UpdateOp};
use nfwhy_parsers::nft::{
    ChainType, Const, Element, ElementData, Expr, Form, Hook, Part, Place, Rule, SetData, Stmt,
    TableFamily, Type, Verdict, fields, text,
};
use nfwhy_parsers::{Diagnostic, Family, Span};

fn read(family: TableFamily, line: &str) -> (Rule<'_>, Vec<Diagnostic>) {
    let at = Place {
        span: Span::new(0, line.len()),
        line: 1,
    };
    text::parse_rule(line, at, family)
}

/// The statements of a rule of an inet table that is understood.
#[track_caller]
fn stmts(line: &str) -> Vec<Stmt<'_>> {
    of_table(TableFamily::Inet, line)
}

#[track_caller]
fn of_table(family: TableFamily, line: &str) -> Vec<Stmt<'_>> {
    let (rule, diagnostics) = read(family, line);
    assert_eq!(diagnostics, [], "{line}");
    rule.stmts
}

/// The rule is one statement.
#[track_caller]
fn check(line: &str, expected: Stmt<'_>) {
    assert_eq!(stmts(line), [expected], "{line}");
}

fn num<'a>(n: u128) -> Expr<'a> {
    Expr::Part(Part::One(Const::Num(n)))
}

fn range<'a>(lo: u128, hi: u128) -> Expr<'a> {
    Expr::Part(Part::Range(lo, hi))
}

fn word(text: &str) -> Expr<'_> {
    Expr::Part(Part::One(Const::Text(text.into())))
}

fn field<'a>(header: &str, name: &str) -> Expr<'a> {
    Expr::Payload(fields::find(header, name).expect("a field"))
}

fn ct<'a>(key: CtKey) -> Expr<'a> {
    Expr::Ct { reply: None, key }
}

fn is<'a>(left: Expr<'a>, op: RelOp, right: Expr<'a>) -> Stmt<'a> {
    Stmt::Match { left, op, right }
}

fn bin<'a>(op: BinOp, left: Expr<'a>, right: Expr<'a>) -> Expr<'a> {
    let (left, right) = (Box::new(left), Box::new(right));
    Expr::Binary { op, left, right }
}

fn element<'a>(key: Vec<Part<'a>>, data: Option<ElementData<'a>>) -> Element<'a> {
    Element {
        key,
        data,
        timeout: None,
        expires: None,
        comment: None,
        stmts: Vec::new(),
    }
}

fn one<'a>(n: u128) -> Part<'a> {
    Part::One(Const::Num(n))
}

const NET: u128 = 0x0a00_0000;

#[test]
fn prefixes_and_ranges_are_ranges() {
    let saddr = || field("ip", "saddr");
    check("ip saddr 10.0.0.1", is(saddr(), RelOp::Eq, num(NET + 1)));
    check("ip saddr 10.0.0.1/32", is(saddr(), RelOp::Eq, num(NET + 1)));
    let all = range(NET, NET + 0xff_ffff);
    check("ip saddr != 10.0.0.0/8", is(saddr(), RelOp::Ne, all));
    let some = range(NET + 1, NET + 9);
    check("ip saddr 10.0.0.1-10.0.0.9", is(saddr(), RelOp::Eq, some));
    let ports = range(1024, 65535);
    check(
        "tcp sport 1024-65535",
        is(field("tcp", "sport"), RelOp::Eq, ports),
    );
    check(
        "ip length > 100",
        is(field("ip", "length"), RelOp::Gt, num(100)),
    );
    check(
        "ip6 saddr ::/0",
        is(field("ip6", "saddr"), RelOp::Eq, range(0, u128::MAX)),
    );
}

#[test]
fn names_of_devices() {
    let name = || Expr::Meta(Meta::Iifname);
    check(r#"iifname "lo""#, is(name(), RelOp::Eq, word("lo")));
    check(r#"iifname "a\*""#, is(name(), RelOp::Eq, word("a*")));
    let wild = Expr::Part(Part::Wild("cali".into()));
    check(r#"meta iifname != "cali*""#, is(name(), RelOp::Ne, wild));
    // An index is printed as the name of its device, or as a number where there is none any more.
    let index = || Expr::Meta(Meta::Iif);
    check(r#"iif "lo""#, is(index(), RelOp::Eq, word("lo")));
    check("iif lo", is(index(), RelOp::Eq, word("lo")));
    check("iif 77", is(index(), RelOp::Eq, num(77)));
}

#[test]
fn flags() {
    let state = || ct(CtKey::State);
    check("ct state new", is(state(), RelOp::Any, num(8)));
    check(
        "ct state established,related",
        is(state(), RelOp::Any, num(6)),
    );
    check(
        "ct state established, related",
        is(state(), RelOp::Any, num(6)),
    );
    check("ct state == established", is(state(), RelOp::Eq, num(2)));
    check("ct state != invalid", is(state(), RelOp::Ne, num(1)));
    check(
        "ct state @s",
        is(state(), RelOp::Eq, Expr::SetRef("s".into())),
    );
    check(
        "ct status ! dnat",
        is(ct(CtKey::Status), RelOp::None, num(32)),
    );
    let literal = Expr::Set(vec![
        element(vec![one(2)], None),
        element(vec![one(8)], None),
    ]);
    check(
        "ct state { established, new }",
        is(state(), RelOp::Eq, literal),
    );
    // A label is the number of its bit.
    check("ct label 3", is(ct(CtKey::Label), RelOp::Any, num(8)));
}

#[test]
fn tcp_flags_with_a_mask_are_spelt_in_many_ways() {
    let tcp = || field("tcp", "flags");
    let masked = || bin(BinOp::And, tcp(), num(0x17));
    check("tcp flags syn", is(tcp(), RelOp::Any, num(2)));
    check("tcp flags != syn", is(tcp(), RelOp::Ne, num(2)));
    for line in [
        "tcp flags syn / fin,syn,rst,ack",
        "tcp flags & (fin | syn | rst | ack) == syn",
        "tcp flags & (fin|syn|rst|ack) == syn",
        "tcp flags & 0x17 == 0x2",
    ] {
        check(line, is(masked(), RelOp::Eq, num(2)));
    }
    check(
        "tcp flags != syn / fin,syn,rst,ack",
        is(masked(), RelOp::Ne, num(2)),
    );
    check(
        "tcp flags & (syn | ack) == syn | ack",
        is(bin(BinOp::And, tcp(), num(18)), RelOp::Eq, num(18)),
    );
}

#[test]
fn operators_bind_as_in_c() {
    let mark = || Expr::Meta(Meta::Mark);
    let expected = || Stmt::Set {
        key: mark(),
        value: bin(BinOp::Or, bin(BinOp::And, mark(), num(0xff)), num(1)),
    };
    check("meta mark set meta mark & 0xff | 0x1", expected());
    check("meta mark set meta mark and 0xff or 0x1", expected());
    check("meta mark set (meta mark & 0xff) | 0x1", expected());
    check(
        "meta mark set meta mark & (0xff | 0x100)",
        Stmt::Set {
            key: mark(),
            value: bin(BinOp::And, mark(), num(0x1ff)),
        },
    );
    check(
        "meta mark set 0x1 | meta mark & 0x2",
        Stmt::Set {
            key: mark(),
            value: bin(BinOp::Or, num(1), bin(BinOp::And, mark(), num(2))),
        },
    );
    check(
        "mark and 0x4000 == 0x4000",
        is(bin(BinOp::And, mark(), num(0x4000)), RelOp::Eq, num(0x4000)),
    );
    check(
        "ct mark set ip dscp << 2 | 0x100",
        Stmt::Set {
            key: ct(CtKey::Mark),
            value: bin(
                BinOp::Or,
                bin(BinOp::Shl, field("ip", "dscp"), num(2)),
                num(0x100),
            ),
        },
    );
}

/// What libxtables makes of iptables' `CONNMARK --set-xmark 0x1/0xff`; the kernel masks first.
#[test]
fn a_connection_mark_of_iptables_is_masked_first() {
    let masked = bin(BinOp::And, ct(CtKey::Mark), num(0xffff_ff00));
    check(
        "ct mark set ct mark xor 0x1 and 0xffffff00",
        Stmt::Set {
            key: ct(CtKey::Mark),
            value: bin(BinOp::Xor, masked, num(1)),
        },
    );
}

#[test]
fn keys() {
    let at = |base, offset, len| Expr::Raw { base, offset, len };
    check(
        "@th,16,16 0x50",
        is(at(RawBase::Transport, 16, 16), RelOp::Eq, num(0x50)),
    );
    check(
        "ct original ip6 saddr ::1",
        is(
            Expr::Ct {
                reply: Some(false),
                key: CtKey::Saddr,
            },
            RelOp::Eq,
            num(1),
        ),
    );
    let fib = |result, iif| {
        Expr::Fib(Fib {
            result,
            saddr: iif,
            daddr: !iif,
            mark: false,
            iif,
            oif: false,
        })
    };
    check(
        "fib daddr type local",
        is(fib(FibResult::Type, false), RelOp::Eq, num(2)),
    );
    // nft 1.1 and the versions before.
    for line in [
        "fib saddr . iif check missing",
        "fib saddr . iif oif missing",
    ] {
        check(line, is(fib(FibResult::Check, true), RelOp::Eq, num(0)));
    }
    check(
        "meta skuid root",
        is(Expr::Meta(Meta::Skuid), RelOp::Eq, num(0)),
    );
    check(
        "tcp option maxseg size set rt mtu",
        Stmt::Set {
            key: Expr::TcpOption("maxseg size".into()),
            value: Expr::Rt("mtu".into()),
        },
    );
    check(
        "arp saddr ip 10.0.0.1",
        is(field("arp", "saddr ip"), RelOp::Eq, num(NET + 1)),
    );
    check(
        "jhash ip saddr . tcp sport mod 4 seed 0x1 == 2",
        is(
            Expr::Jhash {
                key: Box::new(Expr::Concat(vec![
                    field("ip", "saddr"),
                    field("tcp", "sport"),
                ])),
                modulus: 4,
                seed: Some(1),
                offset: 0,
            },
            RelOp::Eq,
            num(2),
        ),
    );
}

#[test]
fn maps_of_verdicts() {
    let key = || Expr::Numgen {
        random: true,
        modulus: 2,
        offset: 0,
    };
    let verdict = |v| Some(ElementData::Verdict(v));
    check(
        "numgen random mod 2 vmap { 0 : goto a/b__10.0.0.1/80,\n\t\t\t     1 : drop, * : accept }",
        Stmt::Vmap {
            key: key(),
            map: MapRef::Literal(vec![
                element(
                    vec![one(0)],
                    verdict(Verdict::Goto("a/b__10.0.0.1/80".into())),
                ),
                element(vec![one(1)], verdict(Verdict::Drop)),
                element(Vec::new(), verdict(Verdict::Accept)),
            ]),
        },
    );
    check(
        "ip daddr . meta l4proto . th dport vmap @service-ips",
        Stmt::Vmap {
            key: Expr::Concat(vec![
                field("ip", "daddr"),
                Expr::Meta(Meta::L4proto),
                field("th", "dport"),
            ]),
            map: MapRef::Named("service-ips".into()),
        },
    );
}

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
