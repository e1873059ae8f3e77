//! Messages of the kernel's beside what iproute2 6.1 printed for them, and messages of nobody's.

use super::dump::Message;
use super::names::Names;
use super::text::Devices;
use super::{fdb, links, neighbours, nexthops, routes, rules};
use proptest::prelude::*;
use std::collections::HashMap;

/// Linux 6.18, one namespace: `WHAT RTM_NUMBER PAYLOAD`.
const MESSAGES: &str = include_str!("../../../../tests/data/live/route.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    hex.as_bytes()
        .chunks(2)
        .filter_map(|c| Some(digit(*c.first()?)? * 16 + digit(*c.get(1)?)?))
        .collect()
}

fn messages(what: &str) -> Vec<Message> {
    MESSAGES
        .lines()
        .filter_map(|l| {
            let mut words = l.split(' ');
            (words.next()? == what).then_some(())?;
            Some(Message {
                kind: words.next()?.parse().ok()?,
                payload: bytes(words.next()?),
            })
        })
        .collect()
}

/// The text of everything there is a printer for.
fn all(m: &[Message], devices: &Devices) -> String {
    let names = Names::built_in();
    links::print(m, m, devices, &HashMap::new(), &names)
        + &routes::print(m, None, devices, &names)
        + &rules::print(m, &names)
        + &neighbours::print(m, devices, &names)
        + &fdb::print(m, devices)
        + &nexthops::print(m, devices, &names)
}

/// Without what a clock moves.
fn still(text: &str) -> String {
    let mut out = Vec::new();
    let mut words = text.split(' ').filter(|w| !w.is_empty());
    while let Some(w) = words.next() {
        out.push(w);
        if w.ends_with("_timer") {
            words.next();
        }
    }
    out.join(" ").replace(" \n", "\n")
}

fn check(live: &str, command: &str) {
    let (live, command) = (still(live), still(command));
    for (a, b) in live.lines().zip(command.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(live, command);
}

#[test]
fn devices_and_addresses_are_printed_as_ip_does() {
    let all = messages("link");
    let devices = links::devices(&all);
    let names = Names::built_in();
    let text = links::print(&all, &messages("addr"), &devices, &HashMap::new(), &names);
    check(
        &text,
        include_str!("../../../../tests/data/live/ip-addr.txt"),
    );
}

#[test]
fn routes_are_printed_as_ip_does() {
    let devices = links::devices(&messages("link"));
    let text = routes::print(&messages("route"), None, &devices, &Names::built_in());
    check(
        &text,
        include_str!("../../../../tests/data/live/ip-route.txt"),
    );
}

#[test]
fn rules_neighbours_and_objects_are_printed_as_ip_does() {
    let devices = links::devices(&messages("link"));
    let names = Names::built_in();
    check(
        &rules::print(&messages("rule"), &names),
        include_str!("../../../../tests/data/live/ip-rule.txt"),
    );
    check(
        &neighbours::print(&messages("neigh"), &devices, &names),
        include_str!("../../../../tests/data/live/ip-neigh.txt"),
    );
    check(
        &nexthops::print(&messages("nexthop"), &devices, &names),
        include_str!("../../../../tests/data/live/ip-nexthop.txt"),
    );
}

#[test]
fn messages_that_are_cut_anywhere_print_something_or_nothing() {
    for what in ["link", "addr", "route", "rule", "neigh", "nexthop"] {
        for m in messages(what) {
            for len in 0..m.payload.len() {
                let cut = Message {
                    kind: m.kind,
                    payload: m.payload.iter().take(len).copied().collect(),
                };
                let cut = [cut];
                let devices = links::devices(&cut);
                let _ = all(&cut, &devices);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_print_something_or_nothing(
        kind in prop::sample::select(vec![16u16, 20, 24, 28, 32, 104]),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let m = [Message { kind, payload }];
        let devices = links::devices(&m);
        let _ = all(&m, &devices);
    }

    #[test]
    fn a_bent_byte_in_a_message_prints_something_or_nothing(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut m: Vec<Message> = ["link", "addr", "route", "rule", "neigh", "nexthop"]
            .iter()
            .flat_map(|w| messages(w))
            .collect();
        let which = which.index(m.len());
        if let Some(m) = m.get_mut(which) {
            let at = at.index(m.payload.len());
            if let Some(b) = m.payload.get_mut(at) {
                *b = byte;
            }
        }
        let devices = links::devices(&m);
        let _ = all(&m, &devices);
    }
}
