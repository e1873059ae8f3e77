//! Lines of iproute2 and net-tools.

use super::Kind;
use super::classify::Vote;
use std::net::IpAddr;

/// Lines below `2: eth0: <...>`.
pub(super) fn device_detail(text: &str) -> Vote {
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    if word.starts_with("link/") || matches!(word, "inet" | "inet6" | "valid_lft" | "altname") {
        Vote::For(Kind::Link, 1)
    } else {
        // Details of the device's kind, statistics.
        Vote::Nothing
    }
}

/// An address, with or without a prefix length.
pub(super) fn network(text: &str) -> bool {
    let (a, n) = match text.split_once('/') {
        Some((a, n)) => (a, Some(n)),
        None => (text, None),
    };
    // iproute2 shortens nothing by default, but old versions print `10/8`.
    a.parse::<IpAddr>().is_ok() && n.is_none_or(|n| n.parse::<u8>().is_ok_and(|n| n <= 128))
}

/// `route -n`, `netstat -rn`.
pub(super) fn route_n(text: &str, words: &[&str]) -> Option<Vote> {
    if text == "Kernel IP routing table" || text == "Kernel IPv6 routing table" {
        return Some(Vote::For(Kind::RouteN, 2));
    }
    match words {
        ["Destination", "Gateway", "Genmask", ..] | ["Destination", "Next", "Hop", ..] => {
            Some(Vote::For(Kind::RouteN, 2))
        }
        // `-ee` has three columns more.
        [dst, gw, mask, flags, metric, _, _, _, rest @ ..]
            if matches!(rest.len(), 0 | 3)
                && (network(dst) || *dst == "default")
                && mask.parse::<IpAddr>().is_ok()
                && !gw.is_empty()
                && route_flags(flags)
                && number(metric) =>
        {
            Some(Vote::For(Kind::RouteN, 1))
        }
        // `route -6 -n`: destination, next hop, flags, metric, references, uses, device.
        [dst, gw, flags, metric, references, uses, _]
            if dst.contains("::")
                && network(dst)
                && network(gw)
                && route_flags(flags)
                && [metric, references, uses].into_iter().all(|n| number(n)) =>
        {
            Some(Vote::For(Kind::RouteN, 1))
        }
        _ => None,
    }
}

fn route_flags(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'!')
}

fn number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// `ip -br`: name, state, then addresses or a link layer address and flags.
pub(super) fn brief(words: &[&str]) -> Option<Vote> {
    const STATES: &[&str] = &[
        "UP",
        "DOWN",
        "UNKNOWN",
        "DORMANT",
        "LOWERLAYERDOWN",
        "NOTPRESENT",
        "TESTING",
    ];
    let [_, state, rest @ ..] = words else {
        return None;
    };
    let fits = match rest {
        // A device without addresses; alone it could be a line of any status report.
        [] => return STATES.contains(state).then_some(Vote::Nothing),
        [a, ..] if network(a) => true,
        [.., flags] => flags.starts_with('<') && flags.ends_with('>'),
    };
    (fits && STATES.contains(state)).then_some(Vote::For(Kind::Link, 1))
}

/// `ip neigh`.
pub(super) fn neigh(words: &[&str]) -> Option<Vote> {
    const STATES: &[&str] = &[
        "REACHABLE",
        "STALE",
        "DELAY",
        "PROBE",
        "FAILED",
        "INCOMPLETE",
        "PERMANENT",
        "NOARP",
        "NONE",
        "proxy",
    ];
    let (first, rest) = words.split_first()?;
    if first.parse::<IpAddr>().is_err() || !matches!(rest.first(), Some(&"dev" | &"lladdr")) {
        return None;
    }
    let state = words.last().is_some_and(|w| STATES.contains(w));
    (state || words.contains(&"lladdr")).then_some(Vote::For(Kind::Neigh, 2))
}

/// `bridge fdb show`.
pub(super) fn fdb(words: &[&str]) -> Option<Vote> {
    const KEYS: &[&str] = &[
        "dev",
        "dst",
        "vlan",
        "self",
        "master",
        "permanent",
        "static",
        "offload",
        "extern_learn",
    ];
    let (first, rest) = words.split_first()?;
    if !crate::iproute::fdb::is_mac(first) || !KEYS.contains(rest.first()?) {
        return None;
    }
    let own = rest.iter().any(|w| matches!(*w, "self" | "master" | "dst"));
    own.then_some(Vote::For(Kind::Fdb, 2))
}

/// `ip route`.
pub(super) fn route(words: &[&str]) -> Option<Vote> {
    const KEYS: &[&str] = &[
        "via", "dev", "proto", "scope", "src", "metric", "table", "nhid", "encap", "tos", "from",
        "mtu", "nexthop", "onlink", "linkdown", "dead", "pref", "advmss", "realms", "error",
        "expires",
    ];
    const TYPES: &[&str] = &[
        "unicast",
        "local",
        "broadcast",
        "anycast",
        "multicast",
        "unreachable",
        "prohibit",
        "blackhole",
        "throw",
        "nat",
    ];
    let (first, rest) = words.split_first()?;
    if *first == "nexthop" {
        return matches!(rest.first(), Some(&"via" | &"dev")).then_some(Vote::For(Kind::Route, 1));
    }
    let (typed, words) = if TYPES.contains(first) {
        (true, rest)
    } else {
        (false, words)
    };
    let (dst, rest) = words.split_first()?;
    if *dst != "default" && !network(dst) {
        return None;
    }
    let attribute = match rest {
        [] => return typed.then_some(Vote::For(Kind::Route, 1)),
        // "default via ..." starts a sentence as well as a route.
        ["via", gw, ..] => network(gw) || matches!(*gw, "inet" | "inet6"),
        ["dev", _, ..] => true,
        [k, ..] => KEYS.contains(k),
    };
    attribute.then_some(Vote::For(Kind::Route, 2))
}
