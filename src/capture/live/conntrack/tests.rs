//! What the kernel answered and what `conntrack -L` (1.4.7) printed for it, in a namespace of Linux 6.18.

use super::decode::{self, Said};
use proptest::prelude::*;
use std::collections::HashSet;
use std::net::IpAddr;

const DUMP: &str = include_str!("../../../../tests/data/live/conntrack.hex");
const LISTED: &str = include_str!("../../../../tests/data/live/conntrack.txt");

/// One message a line.
fn bodies() -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("digits")
    };
    DUMP.lines()
        .map(|l| l.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

fn list(bodies: &[Vec<u8>], wanted: Option<&[&str]>) -> Said {
    let wanted: Option<HashSet<IpAddr>> =
        wanted.map(|w| w.iter().map(|a| a.parse().expect("an address")).collect());
    decode::list(bodies.iter().map(Vec::as_slice), wanted.as_ref())
}

#[test]
fn flows_print_as_conntrack_prints_them() {
    let said = list(&bodies(), None);
    assert_eq!(said.unreadable, 0);
    assert_eq!(said.text, LISTED);
}

#[test]
fn flows_of_other_addresses_are_left_out_but_translated_ones_stay() {
    let said = list(&bodies(), Some(&["fd00::5"]));
    assert!(said.text.lines().count() < LISTED.lines().count());
    for line in LISTED.lines() {
        let translated = line.contains("10.96.0.1");
        let kept = said.text.lines().any(|l| l == line);
        assert_eq!(kept, translated || line.contains("fd00::5"), "{line}");
    }
    assert_eq!(
        list(&bodies(), Some(&["10.0.0.2", "fd00::2", "fd00::5"])).text,
        LISTED
    );
}

#[test]
fn a_flow_without_a_direction_is_counted() {
    let mut messages = bodies();
    messages[0].truncate(8);
    assert_eq!(list(&messages, None).unreadable, 1);
}

proptest! {
    #[test]
    fn no_bytes_panic(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
        let _ = list(&messages, None);
    }

    #[test]
    fn no_bent_dump_panics(bends in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..9)) {
        let mut messages = bodies();
        for (message, at, value) in bends {
            let m = message.index(messages.len());
            let bytes = &mut messages[m];
            let i = at.index(bytes.len());
            bytes[i] = value;
        }
        let said = list(&messages, None);
        prop_assert!(said.text.lines().count() <= messages.len());
    }
}
