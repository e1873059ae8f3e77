//! Where comments, matches and target options begin and end.

use super::{VERBOSE, extras, parse, read};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::{Neg, Range};
use nfwhy_parsers::iptables::targets::Nat;
use nfwhy_parsers::iptables::{Match, Target};

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

/// What the extensions cannot have printed is kept as text.
#[test]
fn impossible_values_stay_unknown() {
    for (target, text) in [
        ("DSCP", "DSCP set 0x4e"),
        ("ACCEPT", "DSCP match 0x40"),
        ("ACCEPT", "TIME until date 2024-01-01 \""),
    ] {
        let row = format!(
            "    0     0 {target:<10} all  --  *      *       0.0.0.0/0            0.0.0.0/0            {text}"
        );
        let (rule, diagnostics) = parse(&row, VERBOSE, Family::V4);
        let opaque = matches!(rule.target, Target::Opaque { .. })
            || matches!(rule.matches[..], [Match::Opaque { .. }]);
        assert!(opaque, "{text}: {rule:?}");
        assert_eq!(diagnostics.len(), 1, "{text}");
    }
}

/// As in a line of iptables-save: nothing prints these.
#[test]
fn ranges_out_of_order_and_odd_user_names_are_unknown() {
    for (target, text) in [
        ("MASQUERADE", "masq ports: 4324-2048"),
        ("ACCEPT", "multiport dports 90:80"),
        ("ACCEPT", "owner UID match 13371.4"),
        ("ACCEPT", "source IP range 10.0.0.9-10.0.0.1"),
    ] {
        let row = format!(
            "    0     0 {target}     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            {text}"
        );
        let (_, diagnostics) = parse(&row, VERBOSE, Family::V4);
        assert_eq!(diagnostics.len(), 1, "{row}");
        assert_eq!(diagnostics[0].span.of(&row), text, "{row}");
    }
}

/// `! -p 0` restricts as little as `-p 0` does.
#[test]
fn not_protocol_0_is_any_protocol() {
    let row = "    0     0 ACCEPT     !0  --  *      *       0.0.0.0/0            0.0.0.0/0";
    assert_eq!(read(row).proto, None);
}

/// A listing does not show the name of a hashlimit, and none is printed.
#[test]
fn a_hashlimit_without_a_name_is_printed_without_one() {
    let row = "    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            limit: up to 3/sec burst 5 mode srcip";
    assert_eq!(
        read(row).display("X").to_string(),
        "-A X -m hashlimit --hashlimit-upto 3/sec --hashlimit-burst 5 --hashlimit-mode srcip -j ACCEPT"
    );
}

#[test]
fn quota_may_hide_a_negation() {
    let row = "    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            quota: 4096 bytes";
    let (rule, diagnostics) = parse(row, VERBOSE, Family::V4);
    assert_eq!(rule.matches, [Match::Quota(Neg::yes(4096))]);
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].span.of(row), "quota: 4096 bytes");
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
