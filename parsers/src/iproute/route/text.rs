//! `ip route` as text. Words and their order: `print_route` and `print_rta_multipath` in iproute2 ip/iproute.c.

use super::{NextHop, Route, RouteType};
use crate::common::{Diagnostic, Family, Parsed, Text};
use crate::iproute::words::{
    Line, Rest, Words, append, dsfield, encap, lines, not_understood, number, prefix, scope, table,
};
use std::net::IpAddr;

/// Reads the lines; families of bare defaults are left open.
pub(super) fn parse(source: &str) -> Parsed<Vec<Route<'_>>> {
    let mut out = Parsed::default();
    for line in lines(source) {
        for part in line.parts() {
            read_line(part, &mut out.value, &mut out.diagnostics);
        }
    }
    out
}

fn read_line<'a>(line: Line<'a>, routes: &mut Vec<Route<'a>>, diagnostics: &mut Vec<Diagnostic>) {
    let mut words = line.words();
    let Some(first) = words.next() else { return };
    match first {
        // `ip -d route` repeats the next hop object.
        "nh_info" => {}
        _ if first.starts_with('#') => {}
        "nexthop" => {
            if let Some(route) = routes.last_mut() {
                let hop = next_hop(&mut words, diagnostics);
                route.nexthops.push(hop);
                more_next_hops(&mut words, route, diagnostics);
                // So that a default whose hops are IPv6 is known as such.
                if route.family.is_none() {
                    route.family = hops_family(route);
                }
            } else {
                diagnostics.push(line.warning("a next hop without a route before it"));
            }
        }
        "cache" => match routes.last_mut() {
            Some(route) => append(&mut route.rest, line.text.trim()),
            None => diagnostics.push(line.warning("`cache` without a route before it")),
        },
        _ => match route(line, diagnostics) {
            Some(route) => routes.push(route),
            None => diagnostics.push(not_understood(&line, "route")),
        },
    }
}

fn hops_family(route: &Route<'_>) -> Option<Family> {
    route.nexthops.iter().find_map(|n| n.via).map(Family::of)
}

/// `default`, or an address with prefix length; `None` for anything else.
fn destination(word: &str) -> Option<(Option<IpAddr>, u8)> {
    match word {
        "default" | "any" | "all" => Some((None, 0)),
        _ => prefix(word).map(|(a, n)| (Some(a), n)),
    }
}

fn route<'a>(line: Line<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<Route<'a>> {
    let mut words = line.words();
    let mut word = words.next()?;
    let mut ty = RouteType::Unicast;
    if let Some(t) = RouteType::by_name(word) {
        ty = t;
        word = words.next()?;
    } else if let (Some(t), Some(_)) = (
        RouteType::by_number(word),
        words.peek().and_then(destination),
    ) {
        // `ip -N` prints the type's number.
        ty = t;
        word = words.next()?;
    }
    let (dst, dst_len) = destination(word)?;
    let mut route = Route::to(line, dst, dst_len);
    route.ty = ty;
    let mut hop = NextHop {
        weight: 1,
        ..NextHop::default()
    };
    let mut rest = Rest::default();
    // Of an address that must be of the route's own family, and of a gateway, which need not.
    let mut family = route.family;
    let mut via_family = None;
    let mut said = Said::default();
    while let Some(key) = words.next() {
        let start = words.word_start();
        said.note(key, &words, diagnostics);
        match key {
            "from" => {
                route.from = words.value(key, diagnostics, |w| match w {
                    "default" | "all" => Some((Family::V6.unspecified(), 0)),
                    _ => prefix(w),
                });
                family = family.or(route.from.map(|(a, _)| Family::of(a)));
            }
            "nhid" => route.nhid = words.value(key, diagnostics, |w| w.parse().ok()),
            "encap" => hop.encap = encap(&mut words),
            "tos" | "dsfield" => {
                route.tos = words.value(key, diagnostics, dsfield).unwrap_or_default();
            }
            "via" => {
                // `via inet6 A` stands only where the gateway's family is not the route's (RTA_VIA).
                let foreign = words.eat("inet6") || words.eat("inet");
                hop.via = words.value(key, diagnostics, |w| w.parse().ok());
                let of = hop.via.map(Family::of);
                via_family = if foreign { of.map(other) } else { of };
            }
            "dev" => hop.dev = words.text(key, diagnostics),
            "table" => {
                if let Some(t) = words.value(key, diagnostics, |w| Some(table(w))) {
                    route.table = t;
                }
            }
            "proto" | "protocol" => route.proto = words.text(key, diagnostics),
            "scope" => route.scope = words.value(key, diagnostics, scope),
            "src" => {
                route.prefsrc = words.value(key, diagnostics, |w| w.parse().ok());
                family = family.or(route.prefsrc.map(Family::of));
            }
            "metric" | "priority" | "preference" => {
                route.metric = words.value(key, diagnostics, number);
            }
            "pref" => route.pref = words.text(key, diagnostics),
            "error" => route.error = words.value(key, diagnostics, error),
            "mtu" => {
                let locked = words.eat("lock");
                route.mtu = words.value(key, diagnostics, number);
                if locked {
                    rest.push(&words, start);
                }
            }
            "weight" => hop.weight = words.value(key, diagnostics, number).unwrap_or(1),
            "nexthop" => {
                let inline = next_hop(&mut words, diagnostics);
                route.nexthops.push(inline);
                more_next_hops(&mut words, &mut route, diagnostics);
            }
            _ if hop_flag(key, &mut hop) => {}
            _ => other_word(key, &mut words, &mut rest, diagnostics),
        }
    }
    if hop.via.is_some() || hop.dev.is_some() || hop.encap.is_some() {
        if route.nexthops.is_empty() {
            // Exactly one: a vector that grows takes room for four.
            route.nexthops = vec![hop];
        } else {
            route.nexthops.insert(0, hop);
        }
    } else {
        // Flags of a route with several hops belong to none of them.
        for (on, name) in [
            (hop.dead, "dead"),
            (hop.onlink, "onlink"),
            (hop.linkdown, "linkdown"),
        ] {
            if on {
                rest.push_word(name);
            }
        }
    }
    route.rest = rest.finish();
    route.family = family.or(via_family).or_else(|| hops_family(&route));
    Some(route)
}

/// The words of a route that were there already: `ip` prints each once.
#[derive(Default)]
struct Said(u16);

impl Said {
    fn note(&mut self, key: &str, words: &Words<'_>, diagnostics: &mut Vec<Diagnostic>) {
        const ONCE: [&str; 13] = [
            "from", "nhid", "tos", "via", "dev", "table", "proto", "scope", "src", "metric",
            "pref", "mtu", "weight",
        ];
        let Some(i) = ONCE.iter().position(|w| *w == key) else {
            return;
        };
        if self.0 & 1 << i != 0 {
            diagnostics.push(
                words
                    .warning(format!("`{key}` stands twice in this route"))
                    .help("two lines were joined: put each route on a line of its own"),
            );
        }
        self.0 |= 1 << i;
    }
}

fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

/// Newer versions print `error -113`, others the same as an unsigned number.
fn error(word: &str) -> Option<i32> {
    let n: i64 = word.parse().ok()?;
    i32::try_from(n)
        .ok()
        .or_else(|| u32::try_from(n).ok().map(u32::cast_signed))
}

fn hop_flag(word: &str, hop: &mut NextHop<'_>) -> bool {
    match word {
        "dead" => hop.dead = true,
        "onlink" => hop.onlink = true,
        "linkdown" => hop.linkdown = true,
        _ => return false,
    }
    true
}

/// One hop; ends before the next `nexthop`, or at the end of the line.
fn next_hop<'a>(words: &mut Words<'a>, diagnostics: &mut Vec<Diagnostic>) -> NextHop<'a> {
    let mut hop = NextHop {
        weight: 1,
        ..NextHop::default()
    };
    let mut rest = Rest::default();
    let mut said = Said::default();
    while words.peek().is_some_and(|w| w != "nexthop") {
        let Some(key) = words.next() else { break };
        said.note(key, words, diagnostics);
        match key {
            "via" => {
                let _ = words.eat("inet6") || words.eat("inet");
                hop.via = words.value(key, diagnostics, |w| w.parse().ok());
            }
            "dev" => hop.dev = words.text(key, diagnostics),
            "weight" => hop.weight = words.value(key, diagnostics, number).unwrap_or(1),
            "encap" => hop.encap = encap(words),
            _ if hop_flag(key, &mut hop) => {}
            _ => other_word(key, words, &mut rest, diagnostics),
        }
    }
    hop.rest = rest.finish();
    hop
}

fn more_next_hops<'a>(
    words: &mut Words<'a>,
    route: &mut Route<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    while words.eat("nexthop") {
        let hop = next_hop(words, diagnostics);
        route.nexthops.push(hop);
    }
}

/// Words that are kept as written, with the number of their values; metrics may have `lock` before theirs.
const KEPT: &[(&str, u8)] = &[
    ("pervasive", 0),
    ("offload", 0),
    ("trap", 0),
    ("notify", 0),
    ("unresolved", 0),
    ("rt_offload", 0),
    ("rt_trap", 0),
    ("rt_offload_failed", 0),
    ("as", 2),
    ("mark", 1),
    ("realm", 1),
    ("realms", 1),
    ("uid", 1),
    ("cache", 0),
    ("expires", 1),
    ("users", 1),
    ("used", 1),
    ("age", 1),
    ("ipid", 1),
    ("ts", 1),
    ("tsage", 1),
    ("window", 1),
    ("rtt", 1),
    ("rttvar", 1),
    ("ssthresh", 1),
    ("cwnd", 1),
    ("advmss", 1),
    ("reordering", 1),
    ("hoplimit", 1),
    ("initcwnd", 1),
    ("features", 1),
    ("rto_min", 1),
    ("initrwnd", 1),
    ("quickack", 1),
    ("congctl", 1),
    ("fastopen_no_cookie", 1),
    ("iif", 1),
    ("ttl-propogate", 1),
    ("ttl-propagate", 1),
];

fn other_word<'a>(
    key: &str,
    words: &mut Words<'a>,
    rest: &mut Rest<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let start = words.word_start();
    if let Some((_, values)) = KEPT.iter().find(|(w, _)| *w == key) {
        if *values > 0 {
            words.eat("lock");
        }
        for _ in 0..*values {
            let _: Option<Text<'_>> = words.text(key, diagnostics);
        }
    } else if !(key.starts_with('<') && key.ends_with('>')) {
        diagnostics.push(words.warning(format!("`{key}` of this route is not understood")));
    }
    rest.push(words, start);
}
