//! A kernel's own bytes, and bytes of any kind: they make text, and never more than that.

use super::print;
use super::read::{Dumps, Ruleset};
use super::value::Devices;
use crate::capture::live::socket::Messages;
use proptest::collection::vec;
use proptest::prelude::*;

/// What Linux 6.18 sent of a rule set, a message in a line; beside it lies what nft 1.0.6 printed of the same.
const SENT: &str = include_str!("../../../../tests/data/live/nf_tables.hex");
const PRINTED: &str = include_str!("../../../../tests/data/live/nf_tables.nft");

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(hex.get(at..at + 2).expect("two digits"), 16);
    let at = (0..hex.len()).step_by(2);
    at.map(|at| digit(at).expect("hexadecimal digits"))
        .collect()
}

#[test]
fn a_kernels_dumps_are_what_nft_lists() {
    let of = |what: &str| {
        let lines = SENT
            .lines()
            .filter_map(|l| l.strip_prefix(what)?.strip_prefix(' '));
        Messages::of(lines.map(bytes))
    };
    // Elements follow their set.
    let mut elements: Vec<Vec<Vec<u8>>> = Vec::new();
    for line in SENT.lines() {
        if line.starts_with("set ") {
            elements.push(Vec::new());
        } else if let Some(hex) = line.strip_prefix("elements ") {
            elements.last_mut().expect("a set before").push(bytes(hex));
        }
    }
    let elements = elements.into_iter().map(Messages::of).collect();
    let mut dumps = Dumps::of_messages(of("table"), of("chain"), of("rule"), of("set"), elements);
    dumps.objects = of("object");
    // nft lists the prefix that the address lies in, which no packet's bits are.
    let printed = PRINTED.replace(
        "ip saddr 10.0.0.1/24 drop",
        "ip saddr & 255.255.255.0 == 10.0.0.1 drop",
    );
    assert_eq!(in_order(&text_of(&dumps)), in_order(&printed));
}

/// The lines, with the elements of each set in order.
fn in_order(text: &str) -> Vec<String> {
    let text = text.replace(",\n\t\t\t     ", ", ");
    let line = |line: &str| match line.strip_prefix("\t\telements = { ") {
        Some(rest) => {
            let mut all: Vec<&str> = rest.trim_end_matches(" }").split(", ").collect();
            all.sort_unstable();
            all.join(", ")
        }
        None => line.to_owned(),
    };
    text.lines().map(line).collect()
}

/// An attribute.
fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 4).expect("short attributes");
    let mut out = len.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

const NAMES: [&str; 34] = [
    "immediate",
    "cmp",
    "range",
    "lookup",
    "bitwise",
    "byteorder",
    "payload",
    "meta",
    "ct",
    "fib",
    "rt",
    "socket",
    "xfrm",
    "osf",
    "numgen",
    "hash",
    "exthdr",
    "tunnel",
    "nat",
    "masq",
    "redir",
    "tproxy",
    "dup",
    "fwd",
    "reject",
    "log",
    "queue",
    "dynset",
    "objref",
    "counter",
    "limit",
    "quota",
    "connlimit",
    "last",
];

/// Numbers that mean something: registers, keys, lengths.
fn number() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..24).prop_map(|n| n.to_be_bytes().to_vec()),
        1 => any::<u32>().prop_map(|n| n.to_be_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
        1 => Just(b"s\0".to_vec()),
    ]
}

/// Attributes with numbers, values and verdicts in them.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let value = vec(any::<u8>(), 0..40).prop_map(|v| attr(1, &v));
    let verdict = (any::<u32>(), any::<bool>()).prop_map(|(code, chain)| {
        let mut inner = attr(1, &code.to_be_bytes());
        if chain {
            inner.extend(attr(2, b"c\0"));
        }
        attr(2, &inner)
    });
    let payload = prop_oneof![4 => number(), 2 => value, 1 => verdict];
    vec((1u16..12, payload), 0..9)
        .prop_map(|all| all.iter().flat_map(|(kind, v)| attr(*kind, v)).collect())
}

fn expression() -> impl Strategy<Value = Vec<u8>> {
    (0..NAMES.len(), attributes()).prop_map(|(name, data)| {
        let name = NAMES.get(name).copied().unwrap_or_default();
        let mut out = attr(1, name.as_bytes());
        out.extend(attr(2, &data));
        attr(1, &out)
    })
}

/// Messages of one kind: family and attributes.
fn message(parts: &[(u16, Vec<u8>)], family: u8) -> Vec<u8> {
    let mut out = vec![family, 0, 0, 0];
    for (kind, v) in parts {
        out.extend(attr(*kind, v));
    }
    out
}

fn text_of(dumps: &Dumps) -> String {
    let ruleset: Ruleset<'_> = dumps.ruleset();
    let devices = Devices::from([(1, "lo".to_owned())]);
    print::ruleset(&ruleset, &devices).0
}

proptest! {
    #[test]
    fn any_program_is_read(
        family in prop_oneof![Just(1u8), Just(2), Just(10), Just(5), any::<u8>()],
        rules in vec(vec(expression(), 0..24), 0..4),
        set in attributes(),
        elements in vec(attributes(), 0..4),
    ) {
        let name = (1, b"t\0".to_vec());
        let chain = message(&[name.clone(), (3, b"c\0".to_vec()), (10, 4u32.to_be_bytes().to_vec())], family);
        let rules = rules.into_iter().map(|r| {
            let list: Vec<u8> = r.concat();
            message(&[name.clone(), (2, b"c\0".to_vec()), (4, list)], family)
        });
        let mut set_message = message(&[name.clone(), (2, b"s\0".to_vec())], family);
        set_message.extend(set);
        let list: Vec<u8> = elements.iter().flat_map(|e| attr(1, e)).collect();
        let elements = message(&[name.clone(), (3, list)], family);
        let dumps = Dumps::of_messages(
            Messages::of([message(std::slice::from_ref(&name), family)]),
            Messages::of([chain, message(&[name.clone(), (3, b"d\0".to_vec())], family)]),
            Messages::of(rules),
            Messages::of([set_message]),
            vec![Messages::of([elements])],
        );
        text_of(&dumps);
    }

    #[test]
    fn any_bytes_are_read(all in vec(vec(any::<u8>(), 0..200), 5)) {
        let one = |i: usize| Messages::of(all.get(i).cloned());
        text_of(&Dumps::of_messages(one(0), one(1), one(2), one(3), vec![one(4)]));
    }
}

/// Programs that double what they hold with each step end all the same.
#[test]
fn what_grows_without_bound_is_left_open() {
    let step = |name: &str, data: &[(u16, u32)]| {
        let data: Vec<u8> = data
            .iter()
            .flat_map(|(k, v)| attr(*k, &v.to_be_bytes()))
            .collect();
        let mut out = attr(1, name.as_bytes());
        out.extend(attr(2, &data));
        attr(1, &out)
    };
    let mut list = step("meta", &[(1, 1), (2, 3)]);
    for _ in 0..200 {
        list.extend(step("bitwise", &[(1, 1), (2, 1), (3, 4), (6, 3), (8, 1)]));
    }
    let name = (1, b"t\0".to_vec());
    let dumps = Dumps::of_messages(
        Messages::of([message(std::slice::from_ref(&name), 2)]),
        Messages::of([message(&[name.clone(), (3, b"c\0".to_vec())], 2)]),
        Messages::of([message(&[name, (2, b"c\0".to_vec()), (4, list)], 2)]),
        Messages::default(),
        Vec::new(),
    );
    assert!(text_of(&dumps).contains("unknown expression \"bitwise\""));
}
