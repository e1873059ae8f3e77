//! `ip addr`, `ip route`, `ip rule`, `ip neigh`, `ip nexthop`.

use super::{is_json, place, reports};
use nfwhy_parsers::iproute::{Scope, link as l, neigh as n, nexthop as h, route as r, rule as p};
use nfwhy_parsers::{Span, Text};
use std::net::IpAddr;

/// Words without a field keep no order among those with one: print orders them as `ip` does.
fn in_any_order(rest: &mut Option<Text<'_>>) {
    if let Some(text) = rest {
        let mut words: Vec<_> = text.split_ascii_whitespace().map(str::to_owned).collect();
        words.sort();
        *text = words.join(" ").into();
    }
}

/// Whether an encapsulation is followed by none of the words that end it: what is printed behind it becomes part of it.
fn swallows(encap: Option<&Text<'_>>, via: Option<IpAddr>, dev: Option<&Text<'_>>) -> bool {
    encap.is_some() && via.is_none() && dev.is_none()
}

/// Whether the records come of text, without a remark. Strings of JSON can hold anything, and words that are not understood may
/// stand anywhere.
fn is_plain<T>(text: &str, parsed: &nfwhy_parsers::Parsed<T>) -> bool {
    parsed.diagnostics.is_empty() && !is_json(text)
}

/// Without what a print does not keep.
fn bare_route<'a>(x: &r::Route<'a>) -> r::Route<'a> {
    let mut x = x.clone();
    (x.line, x.span) = (0, Span::default());
    // `-d` shows these two; print leaves them out as `ip route` does.
    x.proto = x.proto.filter(|p| p != "boot");
    x.scope = x.scope.filter(|s| *s != Scope::GLOBAL);
    // `default` does not say of which family, nor whether `0.0.0.0/0` was written.
    if x.dst_len == 0 {
        (x.dst, x.family) = (None, None);
    }
    in_any_order(&mut x.rest);
    for hop in &mut x.nexthops {
        in_any_order(&mut hop.rest);
    }
    x
}

pub fn route(text: &str) {
    let parsed = r::parse(text);
    reports(text, &parsed.diagnostics);
    let plain = is_plain(text, &parsed);
    for x in &parsed.value {
        place(text, x.line, x.span);
        let printed = x.to_string();
        let swallowed = x
            .nexthops
            .iter()
            .any(|h| swallows(h.encap.as_ref(), h.via, h.dev.as_ref()));
        // A line of its own, whose words are not looked at.
        let cached = x.rest.as_ref().is_some_and(|r| r.contains("cache"));
        if plain && !swallowed && !cached {
            let again = r::parse(&printed);
            assert_eq!(again.diagnostics, [], "printed {printed:?}");
            let bared: Vec<_> = again.value.iter().map(bare_route).collect();
            assert_eq!(bared, [bare_route(x)], "printed {printed:?}");
            assert_eq!(again.value[0].to_string(), printed);
        }
    }
}

pub fn route_n(text: &str) {
    let parsed = r::parse_route_n(text);
    reports(text, &parsed.diagnostics);
    for x in &parsed.value {
        place(text, x.line, x.span);
        assert!(!x.to_string().is_empty());
    }
}

/// Without what a print does not keep.
fn bare_rule<'a>(x: &p::PolicyRule<'a>) -> p::PolicyRule<'a> {
    let mut x = x.clone();
    (x.line, x.span) = (0, Span::default());
    if let Some(rest) = &mut x.rest {
        // Versions of `ip` spell these differently; what is said twice is said.
        let mut words: Vec<_> = rest
            .split_ascii_whitespace()
            .map(|word| match word {
                "realm" => "realms",
                "protocol" => "proto",
                other => other,
            })
            .map(str::to_owned)
            .collect();
        words.sort();
        words.dedup();
        *rest = words.join(" ").into();
    }
    x
}

pub fn rule(text: &str) {
    let parsed = p::parse(text);
    reports(text, &parsed.diagnostics);
    let plain = is_plain(text, &parsed);
    for x in &parsed.value {
        place(text, x.line, x.span);
        let printed = x.to_string();
        if plain {
            let again = p::parse(&printed);
            assert_eq!(again.diagnostics, [], "printed {printed:?}");
            let bared: Vec<_> = again.value.iter().map(bare_rule).collect();
            assert_eq!(bared, [bare_rule(x)], "printed {printed:?}");
            assert_eq!(again.value[0].to_string(), printed);
        }
    }
}

pub fn neigh(text: &str) {
    let parsed = n::parse(text);
    reports(text, &parsed.diagnostics);
    let plain = is_plain(text, &parsed);
    for x in &parsed.value {
        place(text, x.line, x.span);
        let printed = x.to_string();
        if plain {
            let mut first = x.clone();
            (first.line, first.span) = (0, Span::default());
            first.flags.sort();
            let again = n::parse(&printed);
            assert_eq!(again.diagnostics, [], "printed {printed:?}");
            let mut bared = again.value.clone();
            for y in &mut bared {
                (y.line, y.span) = (0, Span::default());
                y.flags.sort();
            }
            assert_eq!(bared, [first], "printed {printed:?}");
            assert_eq!(again.value[0].to_string(), printed);
        }
    }
}

/// Without what a print does not keep.
fn bare_nexthop<'a>(x: &h::NextHopObject<'a>) -> h::NextHopObject<'a> {
    let mut x = x.clone();
    (x.line, x.span) = (0, Span::default());
    in_any_order(&mut x.rest);
    x
}

pub fn nexthop(text: &str) {
    let parsed = h::parse(text);
    reports(text, &parsed.diagnostics);
    let plain = is_plain(text, &parsed);
    for x in &parsed.value {
        place(text, x.line, x.span);
        let printed = x.to_string();
        if plain && !swallows(x.encap.as_ref(), x.via, x.dev.as_ref()) {
            let again = h::parse(&printed);
            assert_eq!(again.diagnostics, [], "printed {printed:?}");
            let bared: Vec<_> = again.value.iter().map(bare_nexthop).collect();
            assert_eq!(bared, [bare_nexthop(x)], "printed {printed:?}");
            assert_eq!(again.value[0].to_string(), printed);
        }
    }
}

pub fn link(text: &str) {
    let parsed = l::parse(text);
    reports(text, &parsed.diagnostics);
    let plain = is_plain(text, &parsed);
    for device in &parsed.value {
        place(text, device.line, device.span);
        for a in &device.addresses {
            place(text, a.line, a.span);
            let printed = a.to_string();
            if !plain {
                continue;
            }
            let listing = format!("7: {}: <UP> mtu 1500\n    {printed}\n", device.name);
            let again = l::parse(&listing);
            assert_eq!(again.diagnostics, [], "printed {listing:?}");
            let mut again: Vec<_> = again
                .value
                .iter()
                .flat_map(|d| &d.addresses)
                .cloned()
                .collect();
            let mut first = a.clone();
            for x in again.iter_mut().chain([&mut first]) {
                (x.line, x.span) = (0, Span::default());
                x.flags.sort();
            }
            assert_eq!(again, [first], "printed {listing:?}");
        }
    }
}

pub fn fdb(text: &str) {
    let parsed = nfwhy_parsers::iproute::fdb::parse(text);
    reports(text, &parsed.diagnostics);
    for x in &parsed.value {
        place(text, x.line, x.span);
        let printed = x.to_string();
        let again = nfwhy_parsers::iproute::fdb::parse(&printed).value;
        assert_eq!(again.len(), 1, "{x}");
    }
}
