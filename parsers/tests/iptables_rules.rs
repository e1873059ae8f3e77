//! Rule lines to records: what is tricky about them, and what is said about lines that are wrong.

use nfwhy_parsers::common::{MarkMask, Masked};
use nfwhy_parsers::iptables::matches::{ByteMask, Match, Ports, RecentMode, Tcp};
use nfwhy_parsers::iptables::targets::{Connmark, Nat, RejectWith, Target};
use nfwhy_parsers::iptables::{Form, Rule, RuleLine, rule};
use nfwhy_parsers::{Diagnostic, Family, Neg, Proto, Range, Span};

fn parse_as(line: &str, family: Family) -> (Rule<'_>, Vec<Diagnostic>) {
    let at = RuleLine {
        span: Span::new(0, line.len()),
        line: 7,
    };
    rule::parse_rule(line, at, Form::Save, family)
}

fn parse(line: &str) -> Rule<'_> {
    let (rule, diagnostics) = parse_as(line, Family::V4);
    assert_eq!(diagnostics, [], "{line}");
    assert_eq!(rule.broken, None, "{line}");
    rule
}

/// The canonical line that `line` means.
fn check(line: &str, expected: &str) {
    assert_eq!(parse(line).display("X").to_string(), expected, "{line}");
}

fn one<T>(value: T) -> Neg<Range<T>>
where
    T: Copy,
{
    Neg::yes(Range {
        lo: value,
        hi: value,
    })
}

#[test]
fn fields_of_a_service_rule() {
    let rule = parse(
        "[3:180] -A X ! -s 10.0.0.0/9 -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b:http cluster IP\" -m tcp --dport 80 -j KUBE-MARK-MASQ",
    );
    assert_eq!(rule.counters, Some((3, 180)));
    let src = Masked::prefix([10, 0, 0, 0].into(), 9);
    assert_eq!(
        rule.src,
        Some(Neg {
            not: true,
            value: src
        })
    );
    assert_eq!(rule.proto, Some(Neg::yes(Proto::TCP)));
    let tcp = Tcp {
        dport: Some(one(80)),
        ..Tcp::default()
    };
    let matches = [
        Match::Comment("a/b:http cluster IP".into()),
        Match::Tcp(tcp),
    ];
    assert_eq!(rule.matches, matches);
    assert_eq!(rule.target, Target::Jump("KUBE-MARK-MASQ".into()));
}

#[test]
fn negation_before_and_after_the_option() {
    check(
        "-A X -s ! 10.0.0.0/8 -j DROP",
        "-A X ! -s 10.0.0.0/8 -j DROP",
    );
    check("-A X -i ! lo -o ! eth0", "-A X ! -i lo ! -o eth0");
    check("-A X -p ! tcp", "-A X ! -p tcp");
    check(
        "-A X -p tcp -m tcp --dport ! 80 -j DROP",
        "-A X -p tcp -m tcp ! --dport 80 -j DROP",
    );
    check("-A X -m mark --mark ! 0x1", "-A X -m mark ! --mark 0x1");
    check(
        "-A X -m state --state ! NEW,RELATED",
        "-A X -m state ! --state NEW,RELATED",
    );
    check(
        "-A X -p tcp -m tcp --tcp-flags ! SYN,RST SYN",
        "-A X -p tcp -m tcp ! --tcp-flags SYN,RST SYN",
    );
    check(
        "-A X -m set --set ! blocked src,dst",
        "-A X -m set ! --match-set blocked src,dst",
    );
    // Twice is once.
    check("-A X ! -s ! 10.0.0.0/8", "-A X -s 10.0.0.0/8");
}

#[test]
fn options_find_their_match() {
    // Loaded by the protocol.
    check(
        "-A X -p udp -m comment --comment dns --dport 53",
        "-A X -p udp -m comment --comment dns -m udp --dport 53",
    );
    check(
        "-A X -p icmp --icmp-type ping",
        "-A X -p icmp -m icmp --icmp-type 8",
    );
    check(
        "-A X -p esp --espspi 1:2",
        "-A X -p esp -m esp --espspi 1:2",
    );
    // Interleaved with other options, and after the target.
    check(
        "-A X -p tcp -m tcp -i eth0 --dport 80 -m comment -j DROP --comment late --sport 1",
        "-A X -i eth0 -p tcp -m tcp --sport 1 --dport 80 -m comment --comment late -j DROP",
    );
    // `--proto` is the policy match's own here, and iptables' otherwise.
    check(
        "-A X -m policy --dir in --pol ipsec --proto esp",
        "-A X -m policy --dir in --pol ipsec --proto esp",
    );
    check(
        "-A X --proto tcp --source 10.0.0.1 --jump DROP",
        "-A X -s 10.0.0.1/32 -p tcp -j DROP",
    );
    // The same match twice.
    let rule = parse("-A X -p tcp -m tcp --dport 1 -m tcp --dport 2");
    assert_eq!(rule.matches.len(), 2);
}

#[test]
fn hand_written_forms() {
    check(
        "-A X -ptcp --dport=80 -jDROP",
        "-A X -p tcp -m tcp --dport 80 -j DROP",
    );
    check("-s 10.0.0.1 -j DROP", "-A X -s 10.0.0.1/32 -j DROP");
    check("-A X -p all -j DROP", "-A X -j DROP");
    check("  -A  X\t-j  DROP \r", "-A X -j DROP");
    check("-A X", "-A X");
    check(
        "-A X -m limit -j DROP",
        "-A X -m limit --limit 3/hour -j DROP",
    );
    check(
        "-A X -p tcp -m connlimit ! --connlimit-above 3 -j DROP",
        "-A X -p tcp -m connlimit --connlimit-upto 3 --connlimit-mask 32 --connlimit-saddr -j DROP",
    );
    check(
        "-A X -m ipvs --vdir ORIGINAL --vproto tcp --vaddr 10.0.0.1 --vport http --vmethod MASQ --vportctl 21",
        "-A X -m ipvs --vproto 6 --vaddr 10.0.0.1 --vport 80 --vdir ORIGINAL --vmethod MASQ --vportctl 21",
    );
    check(
        "-A X -m ipvs ! --ipvs ! --vdir ORIGINAL",
        "-A X -m ipvs ! --ipvs --vdir REPLY",
    );
    check(
        "-A X -m nfacct --nfacct-name \"a b\"",
        "-A X -m nfacct --nfacct-name \"a b\"",
    );
    check(
        "-A X -j CT --helper ftp --zone 5",
        "-A X -j CT --helper ftp --zone 5",
    );
}

#[test]
fn strings_are_unquoted() {
    let comment = |line| match parse(line).matches.into_iter().next() {
        Some(Match::Comment(text)) => text.into_owned(),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(
        comment(r#"-A X -m comment --comment "a \"b\" \\ \'c""#),
        r#"a "b" \ 'c"#
    );
    assert_eq!(comment("-A X -m comment --comment \"a\nb\""), "a\nb");
    assert_eq!(comment("-A X -m comment --comment \"\""), "");
    assert_eq!(
        comment("-A X -m comment --comment \"-j DROP ! -s\""),
        "-j DROP ! -s"
    );
    assert_eq!(comment("-A X -m comment --comment \"!\""), "!");
}

/// iptables takes names in quotes from a file. They are printed so that they read back.
#[test]
fn names_with_blanks_stay_in_quotes() {
    for line in [
        r#"-A X -i "a b" -m set --match-set "a b" src -m recent --set --name "a b" --rsource -j "a b""#,
        r#"-A X -m physdev --physdev-in "a \"b" -g "!""#,
        r#"-A X -m limit --limit "1 /s" -m hashlimit --hashlimit-upto "1 /s" --hashlimit-burst "" --hashlimit-name "a b""#,
        r#"-A X -m u32 --u32 "a \"b\"""#,
    ] {
        check(line, line);
    }
    check(r#"-A X -j KUBE-"a b""#, r#"-A X -j "KUBE-a b""#);
    check(r#"-A X -g KUBE-"a b""#, r#"-A X -g "KUBE-a b""#);
    let line = r#"-A X -m "no such match" -j "no such" --target"#;
    let (rule, diagnostics) = parse_as(line, Family::V4);
    assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
    assert_eq!(rule.display("X").to_string(), line);
}

#[test]
fn numbers_as_the_kernel_keeps_them() {
    let target = |line| parse(line).target;
    let mark = |value, mask| Target::Mark(MarkMask { value, mask });
    assert_eq!(target("-j MARK --set-mark 0x5/0xf0"), mark(5, 0xf5));
    assert_eq!(target("-j MARK --set-xmark 0x5/0xf0"), mark(5, 0xf0));
    assert_eq!(target("-j MARK --and-mark 0xff"), mark(0, 0xffff_ff00));
    assert_eq!(
        target("-j CONNMARK --restore-mark --mask 0x80"),
        Target::Connmark(Connmark::Restore { nf: 0x80, ct: 0x80 })
    );
    let random = parse("-m statistic --mode random --probability 0.33333333349");
    assert_eq!(
        random.matches,
        [Match::StatisticRandom(Neg::yes(715_827_883))]
    );
    let always = parse("-m statistic --mode random --probability 1.0");
    assert_eq!(
        always.matches,
        [Match::StatisticRandom(Neg::yes(0x8000_0000))]
    );
    let syn = parse("-p tcp ! --syn").matches;
    let flags = Some(Neg {
        not: true,
        value: ByteMask {
            value: 0x02,
            mask: 0x17,
        },
    });
    assert_eq!(
        syn,
        [Match::Tcp(Tcp {
            flags,
            ..Tcp::default()
        })]
    );
    let high = parse("-m mark --mark 0x80000000/0x80000000").matches;
    let bit = MarkMask {
        value: 1 << 31,
        mask: 1 << 31,
    };
    assert_eq!(high, [Match::Mark(Neg::yes(bit))]);
}

#[test]
fn masks_with_holes() {
    let rule = parse("-s 10.0.0.5/255.0.0.255 -j DROP");
    let expected = Masked {
        addr: [10, 0, 0, 5].into(),
        mask: [255, 0, 0, 255].into(),
    };
    assert_eq!(rule.src, Some(Neg::yes(expected)));
}

#[test]
fn defaults_depend_on_the_family() {
    let (rule, _) = parse_as("-A X -j REJECT", Family::V6);
    assert_eq!(rule.target, Target::Reject(RejectWith::Icmp6Port));
    let (rule, _) = parse_as("-A X -j REJECT --reject-with port-unreach", Family::V4);
    assert_eq!(rule.target, Target::Reject(RejectWith::IcmpPort));
    let (rule, _) = parse_as("-A X -j TPROXY --on-port 1 --on-ip ::", Family::V6);
    let expected = Target::Tproxy {
        ip: None,
        port: 1,
        mark: MarkMask { value: 0, mask: 0 },
    };
    assert_eq!(rule.target, expected);
    let (rule, _) = parse_as("-A X -m hl --hl-lt 3 -j HL --hl-dec 1", Family::V6);
    assert_eq!(
        rule.display("X").family(Family::V6).to_string(),
        "-A X -m hl --hl-lt 3 -j HL --hl-dec 1"
    );
}

#[test]
fn recent_and_udp_records() {
    let rule = parse("-p udp -m udp -m recent ! --rcheck --seconds 9 --rdest");
    let Some(Match::Recent(recent)) = rule.matches.last() else {
        panic!("{rule:?}");
    };
    assert_eq!((recent.mode, recent.not), (RecentMode::Rcheck, true));
    assert_eq!((&*recent.name, recent.source), ("DEFAULT", false));
    assert_eq!(rule.matches.first(), Some(&Match::Udp(Ports::default())));
}

#[test]
fn several_destinations_are_told() {
    let line = "-j DNAT --to-destination 10.0.0.1 --to-destination 10.0.0.2";
    let Target::Dnat(Nat { addrs, more, .. }) = parse(line).target else {
        panic!("no DNAT");
    };
    assert!(more);
    assert_eq!(addrs.map(|r| r.lo.to_string()).as_deref(), Some("10.0.0.1"));
}

/// The rule stands, with `expected` opaque parts, and one diagnostic for each at `words`.
fn check_opaque(line: &str, expected: &[(&str, &str)], words: &[&str]) {
    let (rule, diagnostics) = parse_as(line, Family::V4);
    assert_eq!(rule.broken, None, "{line}");
    let mut found: Vec<(&str, &str)> = Vec::new();
    for m in &rule.matches {
        if let Match::Opaque { name, args } = m {
            found.push((name, args));
        }
    }
    if let Target::Opaque { name, args } = &rule.target {
        found.push((name, args));
    }
    assert_eq!(found, expected, "{line}");
    let spans: Vec<_> = diagnostics.iter().map(|d| d.span.of(line)).collect();
    assert_eq!(spans, words, "{line}");
    assert!(diagnostics.iter().all(|d| d.line == 7 && d.help.is_some()));
    // Nothing is lost: the line comes back.
    assert_eq!(rule.display("X").to_string(), line);
}

#[test]
fn what_is_not_known_is_opaque_and_the_rest_stands() {
    check_opaque(
        "-A X -p tcp -m foo --bar \"a b\" ! --baz 1,2 -m tcp --dport 80 -j DROP",
        &[("foo", "--bar \"a b\" ! --baz 1,2")],
        &["foo"],
    );
    check_opaque("-A X -m foo -j DROP", &[("foo", "")], &["foo"]);
    check_opaque(
        "-A X -m conntrack --ctstate NEW --ctfuture 1 --ctdir REPLY -m mark --mark 0x1 -j DROP",
        &[("conntrack", "--ctstate NEW --ctfuture 1 --ctdir REPLY")],
        &["--ctfuture"],
    );
    check_opaque(
        "-A X -m conntrack --ctstate NEW,LATER -j DROP",
        &[("conntrack", "--ctstate NEW,LATER")],
        &["NEW,LATER"],
    );
    check_opaque(
        "-A X -s 10.0.0.1/32 -j FOO --bar 1 --baz",
        &[("FOO", "--bar 1 --baz")],
        &["FOO"],
    );
    check_opaque(
        "-A X -j DNAT --to-destination pod.example:80 --random",
        &[("DNAT", "--to-destination pod.example:80 --random")],
        &["pod.example:80"],
    );
    check_opaque(
        "-A X -j MASQUERADE --random --fully-new 3",
        &[("MASQUERADE", "--random --fully-new 3")],
        &["--fully-new"],
    );
    check_opaque(
        "-A X -p sctp -m sctp --chunk-types most DATA -j DROP",
        &[("sctp", "--chunk-types most DATA")],
        &["DATA"],
    );
    check_opaque(
        "-A X -j SYNPROXY --mss 1460",
        &[("SYNPROXY", "--mss 1460")],
        &["SYNPROXY"],
    );
}

/// The line is broken at `word`, on line `number`, for `reason`.
fn check_broken(line: &str, word: &str, number: u32, reason: &str) {
    let (rule, diagnostics) = parse_as(line, Family::V4);
    assert_eq!(rule.broken.as_deref(), Some(reason), "{line}");
    let [.., last] = &*diagnostics else {
        panic!("{line}: nothing is reported");
    };
    assert_eq!(last.message, reason, "{line}");
    assert_eq!(last.span.of(line), word, "{line}");
    assert_eq!(last.line, number, "{line}");
    assert!(last.help.is_some(), "{line}");
}

#[test]
fn broken_lines_say_where() {
    let table = [
        ("-A X -s", "-s", "`-s` lacks its value"),
        ("-A X -m mark --mark", "--mark", "`--mark` lacks its value"),
        ("-A X -p tcp -m", "-m", "`-m` lacks its value"),
        ("-A X !", "!", "`!` lacks its value"),
        (
            "-A X -s 10.0.0.256/32 -j DROP",
            "10.0.0.256/32",
            "`10.0.0.256/32` is not an address with an optional mask",
        ),
        (
            "-A X -d fd00::1/128 -j DROP",
            "fd00::1/128",
            "`fd00::1/128` is of the other address family",
        ),
        ("-A X -p nope", "nope", "`nope` is not a protocol"),
        (
            "-A X --frobnicate",
            "--frobnicate",
            "`--frobnicate` is no option of iptables",
        ),
        ("-A X -q 3", "-q", "`-q` is no option of iptables"),
        (
            "-A X --dport 80",
            "--dport",
            "`--dport` is no option of iptables",
        ),
        (
            "-A X -j DROP --now",
            "--now",
            "`--now` is no option of iptables",
        ),
        (
            "-A X stray",
            "stray",
            "`stray` stands where an option is due",
        ),
        (
            "-A X -j A -A X -j B",
            "-A",
            "`-A` starts a second rule on the same line",
        ),
        ("-A X -j A -j B", "-j", "`-j` names a second target"),
        (
            "-A X -m mark -j DROP",
            "mark",
            "`mark` is a match without its option",
        ),
        (
            "-A X -m mark -m comment --comment x -j DROP",
            "mark",
            "`mark` is a match without its option",
        ),
        (
            "-A X -m set --packets-eq 5 -j DROP",
            "set",
            "`set` is a match without its option",
        ),
        (
            "-A X -m hashlimit --hashlimit-name a -j DROP",
            "hashlimit",
            "`hashlimit` is a match without its option",
        ),
        (
            "-A X -j \"-x\"",
            "\"-x\"",
            "`\"-x\"` is not the name of a target or chain",
        ),
        (
            "-A X -j AC\"CEPT\"",
            "AC\"CEPT\"",
            "`AC\"CEPT\"` is not the name of a target or chain",
        ),
        (
            "-A X -m ma\"rk\" -j DROP",
            "ma\"rk\"",
            "`ma\"rk\"` is not the name of a match",
        ),
        (
            "-A X -j MARK",
            "MARK",
            "`MARK` is a target without its option",
        ),
        (
            "-A X -m comment --comment \"cut o",
            "\"cut o",
            "`\"cut o` has no closing quote",
        ),
        (
            "-A X -m odd ! --opt\"ion -j DROP",
            "--opt\"ion -j DROP",
            "`--opt\"ion -j DROP` has no closing quote",
        ),
        ("-A", "-A", "`-A` lacks its value"),
        ("[1:x] -A X", "[1:x]", "`[1:x]` is not [packets:bytes]"),
    ];
    for (line, word, reason) in table {
        check_broken(line, word, 7, reason);
    }
    // The word stands on the second physical line of the rule.
    check_broken(
        "-A X -m comment --comment \"two\nlines\" -p nope",
        "nope",
        8,
        "`nope` is not a protocol",
    );
}

/// A vertical tab is a blank to Unicode and none to iptables.
#[test]
fn what_is_opaque_keeps_its_last_word_whole() {
    let line = "-A X -m owner --uid-owner 1337\x0b -j ACCEPT";
    let (rule, diagnostics) = parse_as(line, Family::V4);
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(rule.display("X").to_string(), line);
}

#[test]
fn what_is_opaque_holds_no_option_of_something_else() {
    // `-o` between the options of one match: the text from the first to the last is not all its own.
    for line in [
        "-A X -m policy --dir in -o eth0 --pol ipsec --odd -j DROP",
        "-A X -j DNAT --to-destination 10.0.0.1 -o eth0 --random --odd",
    ] {
        let (rule, diagnostics) = parse_as(line, Family::V4);
        assert!(rule.broken.is_some(), "{line}");
        assert_eq!(diagnostics.len(), 1, "{line}");
        assert_eq!(diagnostics[0].span.of(line), "--odd");
    }
}

#[test]
fn a_second_mode_of_a_hashlimit_stays_the_second() {
    let line = "-A X -m hashlimit --hashlimit-upto 1/sec --hashlimit-mode srcip --hashlimit-name h --hashlimit-mode dstip -j DROP";
    check(line, line);
}

/// An unknown option is offered to every match before it: their number has to have an end.
#[test]
fn a_rule_has_no_more_matches_than_the_kernel_could_hold() {
    let line = format!("-A X{}", " -m x --y".repeat(2049));
    check_broken(&line, "x", 7, "`x` is one match too many for a rule");
    let line = format!("-A X{}", " -m x --y".repeat(2048));
    let (rule, _) = parse_as(&line, Family::V4);
    assert_eq!((rule.broken, rule.matches.len()), (None, 2048));
}

#[test]
fn spans_count_from_the_start_of_the_source() {
    let source = "*filter\n-A X -p nope\n";
    let at = RuleLine {
        span: Span::new(8, 20),
        line: 2,
    };
    let (_, diagnostics) = rule::parse_rule(source, at, Form::Save, Family::V4);
    let spans: Vec<_> = diagnostics.iter().map(|d| (d.line, d.span)).collect();
    assert_eq!(spans, [(2, Span::new(16, 20))]);
}

/// Where iproute2's own files are, iptables-save prints their names for 0: `xtables_lmap_id2name` in `libxt_devgroup.c`, `libxt_realm.c`.
#[test]
fn the_names_of_group_and_realm_0() {
    check(
        "-A X -m devgroup --src-group default -j ACCEPT",
        "-A X -m devgroup --src-group 0x0 -j ACCEPT",
    );
    check(
        "-A X -m realm ! --realm cosmos -j ACCEPT",
        "-A X -m realm ! --realm 0x0 -j ACCEPT",
    );
}
