//! What the kernel answered and what `ipset save` (7.17) printed for it, in a namespace of Linux 6.18.

use super::super::attr::Numbers as _;
use super::decode::{self, Said};
use proptest::prelude::*;

const DUMP: &str = include_str!("../../../../tests/data/live/ipset.hex");
const SAVED: &str = include_str!("../../../../tests/data/live/ipset.txt");

/// One message a line.
fn bodies(hex: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("digits")
    };
    hex.lines()
        .map(|l| l.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

fn save(bodies: &[Vec<u8>]) -> Said {
    decode::save(bodies.iter().map(Vec::as_slice))
}

#[test]
fn sets_print_as_ipset_prints_them() {
    let said = save(&bodies(DUMP));
    assert!(said.unknown.is_empty());
    assert_eq!(said.text, SAVED);
}

#[test]
fn a_set_of_an_unknown_type_is_named_and_left_out() {
    let mut messages = bodies(DUMP);
    let first = &mut messages[0];
    let at = first
        .windows(7)
        .position(|w| w == b"hash:ip")
        .expect("the type's name");
    first[at..at + 7].copy_from_slice(b"hash:qq");
    let said = save(&messages);
    let left: Vec<_> = said
        .unknown
        .iter()
        .map(|u| (&*u.name, &*u.type_name, u.members, u.at))
        .collect();
    assert_eq!(left, [("a", "hash:qq", 2, 0)]);
    let others: String = SAVED
        .split_inclusive('\n')
        .filter(|l| !l.starts_with("create a ") && !l.starts_with("add a "))
        .collect();
    assert_eq!(said.text, others);
}

#[test]
fn a_set_with_a_member_that_is_not_understood_is_named_and_left_out() {
    let mut messages = bodies(DUMP);
    let at = |m: &[u8]| m.windows(8).position(|w| w.starts_with(b"eth0"));
    let (message, i) = messages
        .iter_mut()
        .find_map(|m| at(m).map(|i| (m, i)))
        .expect("a device");
    // The type of the attribute that holds the name.
    message[i - 2] = 63;
    let said = save(&messages);
    let [u] = &*said.unknown else {
        panic!("{:?}", said.unknown);
    };
    assert_eq!((&*u.name, &*u.type_name), ("c", "hash:net,iface"));
    let members = SAVED.lines().filter(|l| l.starts_with("add c ")).count();
    assert_eq!(u.members, members);
    assert_eq!(SAVED.find("create c "), Some(u.at));
    assert!(!said.text.contains("create c ") && !said.text.contains("add c "));
    assert!(said.text.contains("create d "));
}

#[test]
fn a_comment_that_the_tool_would_refuse_stays_one_line() {
    let mut messages = bodies(DUMP);
    let at = |m: &[u8]| m.windows(3).position(|w| w == b"a b");
    let comment = messages
        .iter_mut()
        .find_map(|m| at(m).map(|i| &mut m[i..i + 3]))
        .expect("the comment");
    comment.copy_from_slice(b"\"\nb");
    assert!(save(&messages).text.contains(" comment \"' b\" "));
}

#[test]
fn numbers_of_a_dump_cut_short_are_no_panic() {
    for m in bodies(DUMP) {
        for n in 0..m.len() {
            let _ = save(&[m[..n].to_vec()]);
        }
        assert!(m.u16(0).is_some());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
        let _ = save(&messages);
    }

    #[test]
    fn no_bent_dump_panics(bends in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..9)) {
        let mut messages = bodies(DUMP);
        for (message, at, value) in bends {
            let m = message.index(messages.len());
            let bytes = &mut messages[m];
            let i = at.index(bytes.len());
            bytes[i] = value;
        }
        let _ = save(&messages);
    }
}
