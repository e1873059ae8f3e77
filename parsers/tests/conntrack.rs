//! `conntrack -L` and `/proc/net/nf_conntrack`.

use nfwhy_parsers::common::{Family, Proto};
use nfwhy_parsers::conntrack::{Flow, parse};
use proptest::prelude::*;

const LIST: &str = include_str!("data/conntrack-list.txt");
const V6: &str = include_str!("data/conntrack-v6.txt");
const EXTENDED: &str = include_str!("data/conntrack-extended.txt");
const PROC: &str = include_str!("data/conntrack-proc.txt");

#[track_caller]
fn clean(text: &str) -> Vec<Flow<'_>> {
    let p = parse(text);
    assert_eq!(p.diagnostics, [], "in {text}");
    p.value
}

/// What two forms of the same table have in common, in one order.
fn plain(flows: &[Flow<'_>]) -> Vec<String> {
    let mut v: Vec<String> = flows
        .iter()
        .map(|f| {
            format!(
                "{:?} {:?} {:?} {:?} {:?} {} {} {:#x} {} {} {:?}",
                f.family,
                f.proto,
                f.state,
                f.orig,
                f.reply,
                f.unreplied,
                f.assured,
                f.mark,
                f.zone_orig,
                f.zone_reply,
                f.packets
            )
        })
        .collect();
    v.sort();
    v
}

#[test]
fn all_forms_of_one_table_agree() {
    let list = clean(LIST);
    assert_eq!(list.len(), 16);
    assert_eq!(plain(&list), plain(&clean(EXTENDED)));
    // The kernel's file shows DCCP as unknown, without ports.
    let without_dccp = |flows: &[Flow<'_>]| -> Vec<String> {
        plain(
            &flows
                .iter()
                .filter(|f| f.proto != Proto::DCCP)
                .cloned()
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(without_dccp(&list), without_dccp(&clean(PROC)));
    let v6: Vec<Flow<'_>> = list
        .iter()
        .filter(|f| f.family == Family::V6)
        .cloned()
        .collect();
    assert_eq!(plain(&v6), plain(&clean(V6)));
}

#[test]
fn a_translated_connection() {
    let list = clean(LIST);
    let f = list
        .iter()
        .find(|f| f.orig.dport == Some(443))
        .expect("the flow to port 443");
    assert_eq!(
        (f.family, f.proto, f.state.as_deref()),
        (Family::V4, Proto::TCP, Some("ESTABLISHED"))
    );
    assert_eq!(
        (f.orig.dst.to_string(), f.reply.src.to_string()),
        ("10.96.0.1".into(), "127.0.0.1".into())
    );
    assert_eq!((f.reply.sport, f.reply.dport), (Some(8080), f.orig.sport));
    assert!(f.assured && !f.unreplied && !f.offload);
    assert_eq!((f.mark, f.zone_orig, f.zone_reply), (0x4000, 0, 0));
    assert!(f.packets.is_some_and(|(o, r)| o > 0 && r > 0));
}

#[test]
fn what_only_some_flows_have() {
    let list = clean(LIST);
    let by_port = |p: u16| {
        list.iter()
            .find(|f| f.orig.dport == Some(p))
            .expect("a flow to this port")
    };
    let zones = |port| (by_port(port).zone_orig, by_port(port).zone_reply);
    assert_eq!((zones(99), zones(96)), ((7, 7), (9, 0)));
    assert_eq!(by_port(21).helper.as_deref(), Some("ftp"));
    assert!(by_port(81).unreplied);
    let icmp: Vec<_> = list.iter().filter_map(|f| f.orig.icmp).collect();
    assert!(icmp.contains(&(8, 0, 77)) && icmp.contains(&(128, 0, 5)));
    // `-o id` puts another id= behind the tuples.
    let extended = clean(EXTENDED);
    let f = extended
        .iter()
        .find(|f| f.proto == Proto::ICMPV6)
        .expect("ICMPv6");
    assert!(
        f.reply
            .icmp
            .is_some_and(|(t, c, id)| (t, c) == (129, 0) && id < 10)
    );
    let gre = list.iter().find(|f| f.proto == Proto(47)).expect("GRE");
    assert_eq!((gre.state.as_deref(), gre.orig.sport), (None, None));
}

#[test]
fn lines_written_by_hand() {
    let f = clean(
        "tcp      6 src=10.0.0.1 dst=192.0.2.1 sport=5 dport=80 src=10.0.0.9 dst=10.0.0.1 sport=80 dport=5 [OFFLOAD] mark=0x10 use=2\n",
    );
    assert_eq!((f[0].timeout, f[0].offload, f[0].mark), (None, true, 16));
    let f = clean(
        "    [NEW] udp      17 30 src=10.0.0.1 dst=192.0.2.1 sport=5 dport=53 [UNREPLIED] src=192.0.2.1 dst=10.0.0.1 sport=53 dport=5\n",
    );
    assert_eq!(
        (f[0].proto, f[0].timeout, f[0].packets),
        (Proto::UDP, Some(30), None)
    );
}

#[test]
fn lines_that_are_not_understood_are_reported() {
    let problems = |text: &str| -> Vec<String> {
        let p = parse(text);
        assert!(p.value.is_empty(), "in {text}");
        p.diagnostics
            .iter()
            .map(|d| format!("{}: {}: {}", d.line, d.span.of(text), d.message))
            .collect()
    };
    assert_eq!(
        problems("node$ conntrack -L\n"),
        ["1: node$ conntrack -L: not a line of `conntrack -L`"]
    );
    assert_eq!(
        problems("\nudp 17 9 src=10.0.0.1 dst=10.0.0.2\n"),
        ["2: udp 17 9 src=10.0.0.1 dst=10.0.0.2: a flow without both of its directions"]
    );
    assert_eq!(
        problems("udp 17 9 src=10.0.0.1 dst=10.0.0.x\n"),
        ["1: dst=10.0.0.x: `dst=10.0.0.x` was not understood; the flow is left out"]
    );
    assert_eq!(
        problems("[DESTROY] udp 17 src=10.0.0.1\n"),
        ["1: [DESTROY]: a flow that is gone"]
    );
    assert_eq!(
        problems("udp 17 9 src=10.0.0.1 ...\n"),
        ["1: ...: the line was cut off"]
    );
    // Half of another line was pasted into this one.
    let mixed = "udp 17 9 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=fd00::1 dst=fd00::2 sport=2 dport=1";
    assert_eq!(
        problems(mixed),
        [format!(
            "1: {mixed}: a flow whose directions are of two families"
        )]
    );
}

#[test]
fn cut_lines_never_panic() {
    for line in [LIST, V6, EXTENDED, PROC].iter().flat_map(|s| s.lines()) {
        for (i, _) in line.char_indices() {
            let text = &line[..i];
            let p = parse(text);
            assert!(p.value.len() + p.diagnostics.len() <= 1, "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_of_the_grammar_in_any_order(words in prop::collection::vec(prop::sample::select(vec![
        "ipv4", "2", "tcp", "6", "600", "ESTABLISHED", "src=10.0.0.1", "dst=::1", "sport=1", "dport=70000", "[UNREPLIED]", "[start=Sun", "id=5",
        "type=8", "mark=0x", "zone=1", "zone-orig=2", "helper=", "=", "[", "...", "ü",
    ]), 0..20)) {
        let text = words.join(" ");
        let p = parse(&text);
        prop_assert!(p.value.len() + p.diagnostics.len() <= 1);
    }
}
