//! `ipset save` and `ipset list`.

use nfwhy_parsers::common::{Family, Proto, Range};
use nfwhy_parsers::ipset::{IpSet, Member, Part, parse};
use proptest::prelude::*;
use std::fmt::Write as _;

const SAVE: &str = include_str!("data/ipset-save.txt");
const LIST: &str = include_str!("data/ipset-list.txt");
const TERSE: &str = include_str!("data/ipset-terse.txt");
const OTHER: &str = include_str!("data/ipset-other-types.txt");

/// The sets of a text that has nothing wrong with it.
#[track_caller]
fn clean(text: &str) -> Vec<IpSet<'_>> {
    let p = parse(text);
    assert_eq!(p.diagnostics, [], "in {text}");
    p.value
}

/// The parts of one member of a set of this type.
#[track_caller]
fn check_parts(set_type: &str, element: &str, expected: &[Part<'_>; 3]) {
    let text = format!("create s {set_type}\nadd s {element}\n");
    let sets = clean(&text);
    let m = sets
        .first()
        .and_then(|s| s.members.first())
        .expect("one member");
    assert_eq!(&m.parts, expected, "{element} in {set_type}");
}

/// Diagnostics as `line: text pointed at: message`.
fn problems(text: &str) -> Vec<String> {
    let p = parse(text);
    p.diagnostics
        .iter()
        .map(|d| format!("{}: {}: {}", d.line, d.span.of(text), d.message))
        .collect()
}

fn net(a: &str, n: u8) -> Part<'static> {
    Part::Net(a.parse().expect("an address"), n)
}

fn port(p: Proto, n: u16) -> Part<'static> {
    Part::Port(Some(p), Range { lo: n, hi: n })
}

#[test]
fn real_save_comes_back_byte_for_byte() {
    let printed: String = clean(SAVE).iter().map(ToString::to_string).collect();
    assert_eq!(printed, SAVE);
    assert!(
        clean(SAVE)
            .iter()
            .all(|s| s.complete && !s.listed && s.kind.is_some())
    );
}

#[test]
fn save_and_list_of_the_same_sets_agree() {
    let (saved, listed) = (clean(SAVE), clean(LIST));
    assert_eq!(saved.len(), listed.len());
    for (s, l) in saved.iter().zip(&listed) {
        assert!(l.listed && l.complete, "{}", l.name);
        assert_eq!(
            l.declared_entries.map(|n| n as usize),
            Some(l.members.len()),
            "{}",
            l.name
        );
        let plain = |s: &IpSet<'_>| {
            let members: Vec<String> = s
                .members
                .iter()
                .map(|m| format!("{m:?}").replace(&format!("line: {}", m.line), ""))
                .collect();
            (
                s.to_string(),
                s.family,
                s.timeout,
                s.size,
                s.ip_range,
                s.port_range,
                s.counters,
                s.comment,
                members,
            )
        };
        assert_eq!(plain(s), plain(l));
    }
}

#[test]
fn terse_listing_has_no_members_and_says_so() {
    let p = parse(TERSE);
    for s in &p.value {
        assert_eq!(s.complete, s.declared_entries == Some(0), "{}", s.name);
        assert!(s.members.is_empty());
    }
    assert_eq!(
        p.diagnostics.len(),
        p.value.iter().filter(|s| !s.complete).count()
    );
}

#[test]
fn header_options() {
    let sets = clean(SAVE);
    let get = |n: &str| sets.iter().find(|s| s.name == n).expect(n);
    let hip = get("hip");
    assert_eq!(
        (hip.family, hip.timeout, hip.size),
        (Some(Family::V4), Some(600), Some(65536))
    );
    assert!(hip.counters && hip.comment && hip.skbinfo);
    assert_eq!(get("hip6").netmask, Some(64));
    assert_eq!(get("hipbm").bitmask, "255.255.0.255".parse().ok());
    assert_eq!(get("bmport").port_range, Some(Range { lo: 0, hi: 1024 }));
    let range = get("bmip").ip_range.expect("a range");
    assert_eq!(
        (range.lo.to_string(), range.hi.to_string()),
        ("192.168.0.0".into(), "192.168.255.255".into())
    );
    assert_eq!(get("lst").size, Some(4));
    assert_eq!(get("name with space").members.len(), 1);
    let m: &Member<'_> = hip
        .members
        .iter()
        .find(|m| m.text == "10.0.0.1")
        .expect("10.0.0.1");
    assert_eq!(
        (m.timeout, m.packets, m.bytes, m.comment.as_deref()),
        (Some(0), Some(1), Some(2), Some("x y"))
    );
    assert_eq!(
        m.skb.as_deref(),
        Some("skbmark 0x10/0xff skbprio 2:20 skbqueue 3")
    );
}

#[test]
fn elements_by_type() {
    let none = || Part::None;
    let (tcp, udp) = (Proto::TCP, Proto::UDP);
    check_parts(
        "hash:ip",
        "10.0.0.1",
        &[net("10.0.0.1", 32), none(), none()],
    );
    check_parts(
        "hash:net",
        "0.0.0.0/0",
        &[net("0.0.0.0", 0), none(), none()],
    );
    check_parts(
        "hash:net",
        "10.1.2.3/8 nomatch",
        &[net("10.0.0.0", 8), none(), none()],
    );
    check_parts(
        "hash:net family inet6",
        "2001:db8::/32",
        &[net("2001:db8::", 32), none(), none()],
    );
    check_parts(
        "hash:net",
        "10.0.0.1-10.0.0.9",
        &[
            Part::Range([10, 0, 0, 1].into(), [10, 0, 0, 9].into()),
            none(),
            none(),
        ],
    );
    check_parts(
        "hash:ip,port",
        "10.0.0.1,80",
        &[net("10.0.0.1", 32), port(tcp, 80), none()],
    );
    check_parts(
        "hash:ip,port",
        "10.0.0.1,udp:1-5",
        &[
            net("10.0.0.1", 32),
            Part::Port(Some(udp), Range { lo: 1, hi: 5 }),
            none(),
        ],
    );
    check_parts(
        "hash:ip,port",
        "10.0.0.1,vrrp:0",
        &[net("10.0.0.1", 32), port(Proto(112), 0), none()],
    );
    check_parts(
        "hash:ip,port",
        "10.0.0.1,https",
        &[net("10.0.0.1", 32), port(tcp, 443), none()],
    );
    check_parts(
        "hash:ip,port",
        "10.0.0.1,icmp:echo-request",
        &[net("10.0.0.1", 32), Part::Icmp(Proto::ICMP, 8, 0), none()],
    );
    check_parts(
        "hash:ip,port",
        "10.0.0.1,icmp:3/9",
        &[net("10.0.0.1", 32), Part::Icmp(Proto::ICMP, 3, 9), none()],
    );
    check_parts(
        "hash:ip,port",
        "fd00::1,icmpv6:no-route",
        &[net("fd00::1", 128), Part::Icmp(Proto::ICMPV6, 1, 0), none()],
    );
    check_parts(
        "hash:ip,port",
        "fd00::1,ipv6-icmp:ping",
        &[
            net("fd00::1", 128),
            Part::Icmp(Proto::ICMPV6, 128, 0),
            none(),
        ],
    );
    check_parts(
        "hash:ip,port,net",
        "10.0.0.1,tcp:80,0.0.0.0/0",
        &[net("10.0.0.1", 32), port(tcp, 80), net("0.0.0.0", 0)],
    );
    check_parts(
        "bitmap:port",
        "80",
        &[Part::Port(None, Range { lo: 80, hi: 80 }), none(), none()],
    );
    check_parts(
        "bitmap:port",
        "tcp:80-90",
        &[Part::Port(None, Range { lo: 80, hi: 90 }), none(), none()],
    );
    check_parts(
        "bitmap:ip,mac",
        "10.0.0.1",
        &[net("10.0.0.1", 32), none(), none()],
    );
    check_parts(
        "bitmap:ip,mac",
        "10.0.0.1,02:00:5E:10:00:0a",
        &[
            net("10.0.0.1", 32),
            Part::Mac([2, 0, 0x5e, 0x10, 0, 10]),
            none(),
        ],
    );
    check_parts(
        "hash:ip,mark",
        "10.0.0.1,0x1200",
        &[net("10.0.0.1", 32), Part::Mark(0x1200), none()],
    );
    check_parts(
        "hash:ip,mark",
        "10.0.0.1,99",
        &[net("10.0.0.1", 32), Part::Mark(99), none()],
    );
    check_parts(
        "list:set",
        "inner before other",
        &[Part::Set("inner".into()), none(), none()],
    );
}

/// The kernel asked with counters: `lo+` matched no packet of lo, `l wildcard` matched all of them.
#[test]
fn a_plus_is_part_of_the_name_and_wildcard_is_an_option() {
    let iface = |name: &'static str, physdev, wildcard| Part::Iface {
        name: name.into(),
        physdev,
        wildcard,
    };
    let n = || net("10.0.0.0", 8);
    check_parts(
        "hash:net,iface",
        "10.0.0.0/8,cali+",
        &[n(), iface("cali+", false, false), Part::None],
    );
    check_parts(
        "hash:net,iface",
        "10.0.0.0/8,cali wildcard",
        &[n(), iface("cali", false, true), Part::None],
    );
    check_parts(
        "hash:net,iface",
        "10.0.0.0/8,physdev:eth0",
        &[n(), iface("eth0", true, false), Part::None],
    );
}

#[test]
fn types_the_sample_kernel_lacks() {
    let p = parse(OTHER);
    let messages: Vec<&str> = p.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "set type `hash:ip,vlan` is not known",
            "`colour` is no option of a set",
            "`blue` is no option of a set",
            "member of set `future`: `shade` is no option of a member",
        ]
    );
    let marks = p.value.iter().find(|s| s.name == "marks").expect("marks");
    assert_eq!(marks.markmask, Some(0xff00));
    let future = p.value.iter().find(|s| s.name == "future").expect("future");
    assert!(future.kind.is_none() && !future.complete);
    let known = OTHER.split("create future").next().expect("a start");
    let printed: String = p
        .value
        .iter()
        .filter(|s| s.kind.is_some())
        .map(ToString::to_string)
        .collect();
    assert_eq!(printed, known);
}

#[test]
fn a_set_of_unknown_type_keeps_its_members_as_text() {
    let p = parse("create f hash:ip,vlan\nadd f 192.0.2.6,42 timeout 3\n");
    let f = p.value.first().expect("a set");
    let m = f.members.first().expect("a member");
    assert_eq!(
        (m.text, m.timeout, f.complete),
        ("192.0.2.6,42", Some(3), true)
    );
    assert_eq!(m.parts, [Part::None, Part::None, Part::None]);
}

#[test]
fn options_stand_in_any_order_and_comments_hold_anything_but_a_quote() {
    let text = "create s hash:net timeout 0 counters comment\n\
                add s 10.0.0.0/8 comment \"nomatch timeout 3 # a@b \\q\" nomatch packets 4 timeout 9 -exist\n";
    let sets = clean(text);
    let m = &sets[0].members[0];
    assert!(m.nomatch);
    assert_eq!((m.timeout, m.packets), (Some(9), Some(4)));
    assert_eq!(m.comment.as_deref(), Some("nomatch timeout 3 # a@b \\q"));
}

#[test]
fn restore_files_create_all_sets_first() {
    let sets = clean(
        "create a hash:ip\ncreate b hash:ip -exist\nadd a 10.0.0.1\nadd b 10.0.0.2\nadd a 10.0.0.3\nCOMMIT\n",
    );
    let texts: Vec<Vec<&str>> = sets
        .iter()
        .map(|s| s.members.iter().map(|m| m.text).collect())
        .collect();
    assert_eq!(texts, [vec!["10.0.0.1", "10.0.0.3"], vec!["10.0.0.2"]]);
}

#[test]
fn lines_that_are_not_understood_are_reported_where_they_stand() {
    assert_eq!(
        problems("add gone 10.0.0.1\nadd gone 10.0.0.2\n"),
        ["1: gone: members of set `gone`, which was not created before"]
    );
    assert_eq!(
        problems("create s hash:ip\nadd s host.example\n"),
        ["2: host.example: member of set `s`: `host.example` is no address, network or range"]
    );
    assert_eq!(
        problems("create s hash:ip\nadd s 10.0.0.1 comment \"cut\nadd s\n"),
        [
            "2: \"cut: member of set `s`: `\"cut` has no closing quote",
            "3: add s: `add` without a member"
        ]
    );
    assert_eq!(
        problems("create s hash:ip,port\nadd s 10.0.0.1,icmp:8\n"),
        ["2: icmp:8: member of set `s`: `icmp:8` is no protocol and port"]
    );
    assert_eq!(
        problems("create s hash:ip timeout\ncreate t\n"),
        [
            "1: timeout: `timeout` has no value",
            "2: create t: `create` without a set type"
        ]
    );
    assert_eq!(
        problems("root@node:~# ipset save\ncreate s hash:ip\n"),
        ["1: root@node:~# ipset save: not a line of `ipset save` or `ipset list`"]
    );
    assert_eq!(
        problems("<ipsets>\n<ipset name=\"x\">\n"),
        ["1: <ipsets>: XML output of ipset is not read"]
    );
}

/// What `complete` is after `text`, and how many members were read.
#[track_caller]
fn check_complete(text: &str, complete: bool, members: usize) {
    let p = parse(text);
    let s = p.value.first().expect("a set");
    assert_eq!(
        (s.complete, s.members.len()),
        (complete, members),
        "in {text}"
    );
}

#[test]
fn incomplete_sets_know_it() {
    let head = |n| {
        format!("Name: s\nType: hash:ip\nHeader: family inet\nNumber of entries: {n}\nMembers:\n")
    };
    check_complete(&format!("{}10.0.0.1\n10.0.0.2\n", head(2)), true, 2);
    check_complete(&format!("{}10.0.0.1\n", head(2)), false, 1);
    // The number of entries says that nothing of this set was left out.
    check_complete(&format!("{}10.0.0.1\n...\n", head(1)), true, 1);
    check_complete(&format!("{}10.0.0.1\n...\n", head(2)), false, 1);
    check_complete(&format!("{}10.0.0.1\n10.0.0...\n", head(2)), false, 1);
    check_complete(&format!("{}10.0.0.1\nroot@n:~# ip a\n", head(1)), true, 1);
    check_complete(&format!("{}10.0.0.1\n[root@n ~]# \n", head(1)), true, 1);
    // Listings of old versions lack the number of entries.
    check_complete(
        "Name: s\nType: hash:ip\nHeader: family inet\nMembers:\n10.0.0.1\n",
        true,
        1,
    );
    check_complete(
        "Name: s\nType: hash:ip\nHeader: family inet\nMembers:\nnode.example\n10.0.0.1\n",
        false,
        1,
    );
    check_complete("Name: s\n", false, 0);
    check_complete(
        "create s hash:ip\nadd s 10.0.0.1\nadd s 10.0.0...\n",
        false,
        1,
    );
    check_complete("create s hash:net\nadd s 10.0.0.0/8 nom", false, 0);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let text = format!("\u{feff}{}", SAVE.replace('\n', "\r\n"));
    let printed: String = clean(&text).iter().map(ToString::to_string).collect();
    assert_eq!(printed, SAVE);
    let text = LIST.replace('\n', "\r\n");
    assert_eq!(clean(&text).len(), clean(LIST).len());
}

/// Every prefix of every line, with the lines before it.
#[test]
fn cut_lines_never_panic() {
    for sample in [SAVE, LIST, TERSE, OTHER] {
        let mut at = 0;
        let mut from = 0;
        for line in sample.split_inclusive('\n') {
            // A set's own lines are context enough.
            if line.starts_with("create ") || line.starts_with("Name: ") {
                from = at;
            }
            for (i, _) in line.char_indices() {
                let text = &sample[from..at + i];
                let p = parse(text);
                assert!(p.value.len() <= 1);
                assert!(
                    p.diagnostics
                        .iter()
                        .all(|d| d.span.end as usize <= text.len())
                );
            }
            at += line.len();
        }
    }
}

/// A large capture is read whole.
#[test]
fn sixty_thousand_members() {
    let mut save =
        String::from("create big hash:ip,port,net family inet hashsize 1024 maxelem 65536\n");
    for i in 0..60_000u32 {
        writeln!(
            save,
            "add big 10.{}.{}.{},tcp:{},192.0.2.0/24",
            i >> 16,
            i >> 8 & 255,
            i & 255,
            i & 0x7fff
        )
        .expect("a String takes all");
    }
    let sets = clean(&save);
    assert_eq!(sets[0].members.len(), 60_000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_of_the_grammar_in_any_order(lines in prop::collection::vec(prop::sample::select(vec![
        "create a hash:ip,port", "create a b list:set size 3", "add a 10.0.0.1,80", "add a", "add a b x before y", "create", "Name: a",
        "Type: hash:net", "Type: list:set", "Members:", "10.0.0.0/8 nomatch", "Header: family inet timeout", "", "...",
        "Number of entries: 7", "fd00::/200", "10.0.0.1,", ",,,", "comment \"", "add a 1.1.1.1,icmp:/", "ü", "# ip a",
    ]), 0..24)) {
        let text = lines.join("\n");
        let p = parse(&text);
        for s in &p.value {
            prop_assert!(s.span.of(&text).len() > 5);
            let again = s.to_string();
            let back = parse(&again);
            if s.kind.is_some() && !s.name.is_empty() {
                prop_assert_eq!(back.value.first().map(|b| b.members.len()), Some(s.members.len()), "{}", again);
            }
        }
    }
}
