//! Programs as releases of iptables-nft write them.

use super::*;
use crate::capture::live::nf_tables::read::Dumps;
use crate::capture::live::socket::Messages;
use proptest::prelude::*;

fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 4).expect("short attributes");
    let mut out = len.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// An expression of numbers and values.
fn e(name: &str, numbers: &[(u16, u32)], values: &[(u16, &[u8])]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|(k, v)| attr(*k, &v.to_be_bytes()));
    let values = values.iter().flat_map(|(k, v)| attr(*k, &attr(1, v)));
    let data: Vec<u8> = numbers.chain(values).collect();
    attr(1, &[attr(1, name.as_bytes()), attr(2, &data)].concat())
}

fn payload(base: u32, offset: u32, len: u32) -> Vec<u8> {
    e("payload", &[(1, 1), (2, base), (3, offset), (4, len)], &[])
}

fn meta(key: u32) -> Vec<u8> {
    e("meta", &[(1, 1), (2, key)], &[])
}

fn mask(mask: &[u8]) -> Vec<u8> {
    let xor = vec![0; mask.len()];
    e("bitwise", &[(1, 1), (2, 1)], &[(4, mask), (5, &xor)])
}

fn cmp(op: u32, value: &[u8]) -> Vec<u8> {
    e("cmp", &[(1, 1), (2, op)], &[(3, value)])
}

fn message(attrs: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0];
    for (kind, payload) in attrs {
        out.extend(attr(*kind, payload));
    }
    out
}

/// Table `filter` of IPv4 with a chain of these rules, as text; another chain has a rule of `x_tables`.
fn printed(rules: &[Vec<Vec<u8>>], userdata: &[u8]) -> String {
    let name: (u16, &[u8]) = (1, b"filter\0");
    let data = [attr(1, b"TRACE\0"), attr(2, &[0; 4]), attr(3, &[])].concat();
    let list = attr(1, &[attr(1, b"target\0"), attr(2, &data)].concat());
    let other = message(&[name, (2, b"Y\0"), (4, &list)]);
    let rules = rules.iter().map(|r| {
        let list = r.concat();
        message(&[name, (2, b"X\0"), (4, &list), (7, userdata)])
    });
    let dumps = Dumps::of_messages(
        Messages::of([message(&[name])]),
        Messages::of([message(&[name, (3, b"X\0")]), message(&[name, (3, b"Y\0")])]),
        Messages::of(rules.chain([other])),
        Messages::default(),
        Vec::new(),
    );
    let sets = SetNames::of(&[]);
    text(
        &dumps.ruleset(),
        Family::V4,
        &mut Decoder::new(Family::V4, &sets),
    )
}

fn check(rule: Vec<Vec<u8>>, expected: &str) {
    let text = printed(&[rule], &[]);
    let line = text.lines().find_map(|l| l.strip_prefix("-A X"));
    assert_eq!(line.map(str::trim_start), Some(expected), "{text}");
}

#[test]
fn addresses_of_every_length() {
    for (len, bytes, net) in [
        (1, &[10][..], "10.0.0.0/8"),
        (3, &[10, 1, 2], "10.1.2.0/24"),
        (4, &[10, 1, 2, 3], "10.1.2.3/32"),
    ] {
        check(
            vec![payload(1, 12, len), cmp(0, bytes)],
            &format!("-s {net}"),
        );
    }
    // Up to 1.8.5 and from then on for what is no whole byte.
    let masked = vec![
        payload(1, 16, 4),
        mask(&[255, 255, 240, 0]),
        cmp(1, &[10, 1, 16, 0]),
    ];
    check(masked, "! -d 10.1.16.0/20");
    // Not the whole byte, nor from its beginning.
    check(vec![payload(1, 13, 1), cmp(0, &[1])], "-m nft");
}

#[test]
fn devices_protocols_and_fragments() {
    check(vec![meta(6), cmp(0, b"eth0\0")], "-i eth0");
    check(
        vec![meta(6), cmp(0, b"eth0\0\0\0\0\0\0\0\0\0\0\0")],
        "-i eth0",
    );
    check(vec![meta(7), cmp(1, b"cali")], "! -o cali+");
    check(vec![meta(7), cmp(0, b"INVAL/D\0")], "! -o +");
    check(vec![payload(1, 9, 1), cmp(1, &[17])], "! -p udp");
    check(
        vec![payload(1, 6, 2), mask(&[0x1f, 0xff]), cmp(1, &[0, 0])],
        "-f",
    );
    check(vec![payload(1, 8, 1), cmp(2, &[9])], "-m ttl --ttl-lt 9");
}

#[test]
fn ports_flags_and_types() {
    let tcp = |rest: Vec<Vec<u8>>| [vec![meta(16), cmp(0, &[6])], rest].concat();
    check(
        tcp(vec![payload(2, 2, 2), cmp(3, &[3, 255])]),
        "-p tcp -m tcp --dport 0:1023",
    );
    check(
        tcp(vec![
            payload(2, 13, 1),
            mask(&[0x17]),
            cmp(0, &[2]),
            payload(2, 0, 4),
            cmp(0, &[0, 80, 1, 187]),
        ]),
        "-p tcp -m tcp --sport 80 --dport 443 --tcp-flags FIN,SYN,RST,ACK SYN",
    );
    let range = e("range", &[(1, 1), (2, 1)], &[(3, &[0, 1]), (4, &[0, 9])]);
    check(
        tcp(vec![payload(2, 0, 2), range]),
        "-p tcp -m tcp ! --sport 1:9",
    );
    check(
        vec![meta(16), cmp(0, &[1]), payload(2, 0, 2), cmp(1, &[3, 4])],
        "-p icmp -m icmp ! --icmp-type 3/4",
    );
    // Ports of no protocol.
    check(vec![payload(2, 2, 2), cmp(0, &[0, 80])], "-m nft");
}

/// Of 1.8.8 to 1.8.10; the header makes readers take it so.
#[test]
fn ports_that_are_compared_at_once_have_a_header_that_says_so() {
    let udp = || vec![meta(16), cmp(0, &[17])];
    let joined = [udp(), vec![payload(2, 0, 4), cmp(1, &[0, 53, 0, 54])]].concat();
    let apart = [
        udp(),
        vec![
            payload(2, 0, 2),
            cmp(1, &[0, 53]),
            payload(2, 2, 2),
            cmp(1, &[0, 54]),
        ],
    ]
    .concat();
    let alone = printed(std::slice::from_ref(&apart), &[]);
    assert!(!alone.contains("v1.8.9"), "{alone}");
    assert!(
        alone.contains("-m udp ! --sport 53 ! --dport 54\n"),
        "{alone}"
    );
    let both = printed(&[apart, joined], &[]);
    assert!(
        both.starts_with("# Generated by iptables-nft-save v1.8.9 "),
        "{both}"
    );
    assert!(
        both.contains("-m udp ! --sport 53 -m udp ! --dport 54\n"),
        "{both}"
    );
    assert!(
        both.contains("-m udp ! --sport 53 ! --dport 54\n"),
        "{both}"
    );
}

#[test]
fn comments_of_userdata_stand_last() {
    let rule = vec![meta(6), cmp(0, b"eth0\0")];
    let text = printed(&[rule], b"\x01\x01z\x00\x08a remark");
    assert!(
        text.contains("-A X -i eth0 -m comment --comment \"a remark\"\n"),
        "{text}"
    );
}

const NAMES: [&str; 12] = [
    "payload",
    "meta",
    "bitwise",
    "cmp",
    "range",
    "counter",
    "immediate",
    "match",
    "target",
    "limit",
    "log",
    "lookup",
];

proptest! {
    /// Whatever a program is, it is one line.
    #[test]
    fn any_program_is_one_rule(
        steps in proptest::collection::vec(
            (0usize..12, proptest::collection::vec((1u16..7, proptest::collection::vec(0u8..24, 0..20)), 0..6)),
            0..12,
        ),
    ) {
        let rule = steps.iter().map(|(which, attrs)| {
            let data: Vec<u8> = attrs.iter().flat_map(|(k, v)| {
                // A number, or a value within.
                if v.len() % 2 == 0 { attr(*k, v) } else { attr(*k, &attr(1, v)) }
            }).collect();
            attr(1, &[attr(1, NAMES[*which].as_bytes()), attr(2, &data)].concat())
        }).collect();
        let text = printed(&[rule], &[]);
        prop_assert_eq!(text.lines().filter(|l| l.contains("-A X")).count(), 1, "{}", text);
    }
}
