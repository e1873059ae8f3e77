//! Single rows of `iptables -L`, of this and older versions, against records made by hand and against iptables-save text.

use nfwhy_parsers::common::{Neg, Proto, Range};
use nfwhy_parsers::iptables::matches::{
    AddrTypes, Addrtype, ByteMask, Conntrack, CtStates, IcmpType, Ports, Recent, RecentMode,
    Rpfilter, SetMatch, Tcp,
};
use nfwhy_parsers::iptables::targets::{Connmark, CtTarget, Nat, RejectWith};
use nfwhy_parsers::iptables::{ListingColumns, Match, Rule, RuleLine, Target, listing};
use nfwhy_parsers::{Diagnostic, Family, Masked, Span, Text};

const PLAIN: ListingColumns = ListingColumns {
    numbers: false,
    verbose: false,
    ipv6: false,
};
const VERBOSE: ListingColumns = ListingColumns {
    verbose: true,
    ..PLAIN
};

fn parse(row: &str, columns: ListingColumns, family: Family) -> (Rule<'_>, Vec<Diagnostic>) {
    let at = RuleLine {
        span: Span::new(0, row.len()),
        line: 1,
    };
    listing::parse_listing_rule(row, at, columns, family)
}

/// The rule of a `-v` row that must be understood as a whole.
fn read(row: &str) -> Rule<'_> {
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(diagnostics, [], "{row}");
    assert_eq!(rule.broken, None, "{row}");
    rule
}

/// The matches and the target of a row with these words behind the addresses.
fn extras<'a>(row: &'a mut String, target: &str, text: &str) -> (Vec<Match<'a>>, Target<'a>) {
    *row = format!(
        "    0     0 {target:<9}  all  --  *      *       0.0.0.0/0            0.0.0.0/0            {text}"
    );
    let rule = read(row);
    (rule.matches, rule.target)
}

fn one_match(text: &str, expected: &Match<'_>) {
    let mut row = String::new();
    let (matches, target) = extras(&mut row, "ACCEPT", text);
    assert_eq!(matches, std::slice::from_ref(expected), "{text}");
    assert_eq!(target, Target::Accept, "{text}");
}

fn one_target(name: &str, text: &str, expected: &Target<'_>) {
    let mut row = String::new();
    let (matches, target) = extras(&mut row, name, text);
    assert_eq!(matches, [], "{text}");
    assert_eq!(&target, expected, "{text}");
}

fn v4(addr: [u8; 4], len: u8) -> Masked {
    Masked::prefix(addr.into(), len)
}

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
fn comments_are_not_escaped() {
    let cases: [(&str, &[&str], usize); 7] = [
        ("/* plain */", &["plain"], 0),
        ("/*  */ mark match 0x1", &[""], 1),
        ("/* ends */ early */", &["ends */ early"], 0),
        ("/* a */ b */ mark match 0x1", &["a */ b"], 1),
        (
            "/* cali:x_Y-z */ /* Policy admin */ mark match 0x1",
            &["cali:x_Y-z", "Policy admin"],
            1,
        ),
        ("/* /* twice */ */ mark match 0x1", &["/* twice */"], 1),
        (
            "/* one */ tcp dpt:80 /* two */ x */ mark match 0x1",
            &["one", "two */ x"],
            2,
        ),
    ];
    for (text, comments, others) in cases {
        let mut row = String::new();
        let (matches, _) = extras(&mut row, "ACCEPT", text);
        let found: Vec<&str> = matches
            .iter()
            .filter_map(|m| match m {
                Match::Comment(text) => Some(&**text),
                _ => None,
            })
            .collect();
        assert_eq!(found, comments, "{text}");
        assert_eq!(matches.len(), comments.len() + others, "{text}");
    }
}

#[test]
fn a_comment_without_end_leaves_the_rest_unknown() {
    let row = "    0     0 KUBE-SEP-A  all  --  *      *       0.0.0.0/0            0.0.0.0/0            /* default/web:htt";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(
        rule.matches,
        [Match::Opaque {
            name: "comment".into(),
            args: "default/web:htt".into()
        }]
    );
    assert_eq!(rule.target, Target::Jump("KUBE-SEP-A".into()));
    assert_eq!(
        diagnostics[0].message,
        "the comment has no end: the row is cut"
    );
    assert_eq!(diagnostics[0].span.of(row), "/* default/web:htt");
}

#[test]
fn what_is_unknown_stays_and_the_rest_stands() {
    let row = "    0     0 DNAT       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            mark match 0x1 newmatch left right to:192.0.2.1:80 random";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(rule.matches.len(), 2);
    assert_eq!(
        rule.matches[1],
        Match::Opaque {
            name: "newmatch".into(),
            args: "left right".into()
        }
    );
    let nat = Nat {
        addrs: Some(Range {
            lo: [192, 0, 2, 1].into(),
            hi: [192, 0, 2, 1].into(),
        }),
        ports: Some(Range { lo: 80, hi: 80 }),
        random: true,
        ..Nat::default()
    };
    assert_eq!(rule.target, Target::Dnat(nat));
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].span.of(row), "newmatch left right");

    let row = "    0     0 DNAT       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            to:nowhere";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(
        rule.target,
        Target::Opaque {
            name: "DNAT".into(),
            args: "to:nowhere".into()
        }
    );
    assert_eq!(diagnostics.len(), 1);

    // All options of MASQUERADE are known: what is left over belongs to a match.
    let row = "    0     0 MASQUERADE  all  --  *      *       0.0.0.0/0            0.0.0.0/0            newmatch 1 random-fully";
    let (rule, _) = parse(row, VERBOSE, Family::V4);
    let nat = Nat {
        random_fully: true,
        ..Nat::default()
    };
    assert_eq!(rule.target, Target::Masquerade(nat));
    assert_eq!(rule.matches.len(), 1);
}

#[test]
fn quota_may_hide_a_negation() {
    let row = "    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            quota: 4096 bytes";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(rule.matches, [Match::Quota(Neg::yes(4096))]);
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].span.of(row), "quota:");
}

#[test]
fn matches_as_records() {
    one_match(
        "ctstate NEW ctdir ORIGINAL",
        &Match::Conntrack(Box::new(Conntrack {
            state: Some(Neg::yes(CtStates(CtStates::NEW))),
            dir_original: Some(true),
            ..Conntrack::default()
        })),
    );
    one_match(
        "! ctstate RELATED,ESTABLISHED,DNAT",
        &Match::Conntrack(Box::new(Conntrack {
            state: Some(Neg {
                not: true,
                value: CtStates(CtStates::RELATED | CtStates::ESTABLISHED | CtStates::DNAT),
            }),
            ..Conntrack::default()
        })),
    );
    one_match(
        "ADDRTYPE match src-type !LOCAL limit-out",
        &Match::Addrtype(Addrtype {
            src: Some(Neg {
                not: true,
                value: AddrTypes(1 << 2),
            }),
            limit_out: true,
            ..Addrtype::default()
        }),
    );
    one_match(
        "statistic mode random probability 0.33333333349",
        &Match::StatisticRandom(Neg::yes(715_827_883)),
    );
    one_match(
        "statistic mode random probability 1.00000000000",
        &Match::StatisticRandom(Neg::yes(1 << 31)),
    );
    one_match(
        "recent: CHECK seconds: 10800 reap name: KUBE-SEP-Q side: source mask: 255.255.255.255",
        &Match::Recent(Box::new(Recent {
            not: false,
            mode: RecentMode::Rcheck,
            seconds: Some(10800),
            hitcount: None,
            reap: true,
            rttl: false,
            name: "KUBE-SEP-Q".into(),
            mask: Some([255, 255, 255, 255].into()),
            source: true,
        })),
    );
    one_match(
        "rpfilter validmark invert",
        &Match::Rpfilter(Rpfilter {
            validmark: true,
            invert: true,
            ..Rpfilter::default()
        }),
    );
    one_match(
        "icmp !type 3 code 4",
        &Match::Icmp(Neg {
            not: true,
            value: IcmpType {
                ty: Some(3),
                codes: Range { lo: 4, hi: 4 },
            },
        }),
    );
    one_match(
        "udp spt:!53",
        &Match::Udp(Ports {
            sport: Some(Neg {
                not: true,
                value: Range { lo: 53, hi: 53 },
            }),
            dport: None,
        }),
    );
    // The byte at the end is printed by 1.8.9.
    one_match(
        "match bpf 48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\0",
        &Match::Bpf("--bytecode \"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"".into()),
    );
}

#[test]
fn targets_as_records() {
    let save = Connmark::Save {
        nf: 0xff,
        ct: 0xff00,
    };
    one_target(
        "CONNMARK",
        "CONNMARK save nfmask 0xff ctmask ~0xff00",
        &Target::Connmark(save),
    );
    one_target(
        "REJECT",
        "reject-with icmp-port-unreachable",
        &Target::Reject(RejectWith::IcmpPort),
    );
    let notrack = CtTarget {
        spelled_notrack: true,
        notrack: true,
        ..CtTarget::default()
    };
    one_target("CT", "NOTRACK", &Target::Ct(Box::new(notrack.clone())));
    one_target("NOTRACK", "", &Target::Ct(Box::new(notrack)));
    let nat = Nat {
        ports: Some(Range { lo: 8080, hi: 8080 }),
        ..Nat::default()
    };
    one_target("DNAT", "to::8080", &Target::Dnat(nat));
    one_target("BLUE", "[goto] ", &Target::Goto("BLUE".into()));
}

/// Rows of older versions and of matches that cannot be loaded everywhere, as iptables-save writes the rule.
#[test]
fn rows_as_save_lines() {
    let cases = [
        (
            "ACCEPT",
            "state RELATED,ESTABLISHED",
            "-m state --state RELATED,ESTABLISHED -j ACCEPT",
        ),
        (
            "ACCEPT",
            "#conn/32 > 5",
            "-m connlimit --connlimit-above 5 --connlimit-mask 32 --connlimit-saddr -j ACCEPT",
        ),
        (
            "ACCEPT",
            "recent: SET name: SSH side: source",
            "-m recent --set --name SSH --rsource -j ACCEPT",
        ),
        (
            "LOG",
            "LOG flags 0 level 4 prefix `in: '",
            "-j LOG --log-prefix \"in: \"",
        ),
        (
            "RETURN",
            "mark match ! 0x4000/0x4000",
            "-m mark ! --mark 0x4000/0x4000 -j RETURN",
        ),
        (
            "RETURN",
            "owner UID match ! 1337",
            "-m owner ! --uid-owner 1337 -j RETURN",
        ),
        (
            "RETURN",
            "! owner UID match 1337",
            "-m owner ! --uid-owner 1337 -j RETURN",
        ),
        (
            "MARK",
            "MARK or 0x4000",
            "-j MARK --set-xmark 0x4000/0x4000",
        ),
        ("MARK", "MARK xor 0x4000", "-j MARK --set-xmark 0x4000/0x0"),
        (
            "MARK",
            "MARK and 0xffffbfff",
            "-j MARK --set-xmark 0x0/0x4000",
        ),
        ("ACCEPT", "ipvs", "-m ipvs --ipvs -j ACCEPT"),
        (
            "ACCEPT",
            "! vaddr 10.96.0.0/16 vport 443 vdir ORIGINAL vmethod MASQ",
            "-m ipvs ! --vaddr 10.96.0.0/16 --vport 443 --vdir ORIGINAL --vmethod MASQ -j ACCEPT",
        ),
        (
            "DROP",
            "nfacct-name  dropped",
            "-m nfacct --nfacct-name dropped -j DROP",
        ),
        (
            "MASQUERADE",
            "/* kubernetes service traffic requiring SNAT */ random-fully",
            "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully",
        ),
        (
            "ACCEPT",
            "multiport sports  !53,1000:2000",
            "-m multiport ! --sports 53,1000:2000 -j ACCEPT",
        ),
    ];
    for (target, text, expected) in cases {
        let row = format!(
            "    0     0 {target:<9}  all  --  *      *       0.0.0.0/0            0.0.0.0/0            {text}"
        );
        let rule = read(&row);
        assert_eq!(
            rule.display("C").to_string(),
            format!("-A C {expected}"),
            "{text}"
        );
    }
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
