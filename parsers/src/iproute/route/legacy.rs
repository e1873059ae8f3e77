//! `route -n`, `route -6 -n` and `netstat -rn` of net-tools.

use super::{NextHop, Route, RouteType};
use crate::common::{Diagnostic, Family, Parsed, Span};
use crate::iproute::TableRef;
use crate::iproute::words::{Line, lines, not_understood, prefix};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

/// Reads `route -n` (IPv4, table main; blackholes look usable there, see the diagnostics), `netstat -rn` and `route -6 -n`.
///
/// IPv4 comes from /proc/net/route. `fib_route_seq_show` in `net/ipv4/fib_trie.c` prints `*` for a route without a device
/// and flags only unreachable and prohibit routes with `RTF_REJECT`; so `*` is read as a blackhole, and `!` as unreachable.
pub fn parse_route_n(source: &str) -> Parsed<Vec<Route<'_>>> {
    let mut out: Parsed<Vec<Route<'_>>> = Parsed::default();
    let mut has_metric = true;
    let mut bad = Vec::new();
    for line in lines(source) {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with("Kernel IP") || text.starts_with('#') {
            continue;
        }
        if text.starts_with("Destination") {
            has_metric = text.contains("Met");
            continue;
        }
        match v4(line, has_metric).or_else(|| v6(line)) {
            Some(r) => out.value.push(r),
            None => bad.push(not_understood(&line, "line of `route -n`")),
        }
    }
    if let Some(first) = out.value.first() {
        out.diagnostics.push(
            Diagnostic::warning(
                first.line,
                Span::new(0, source.len()),
                "`route -n` shows table main only, one next hop of each route, no source address, and blackholes as usable routes",
            )
            .help("ip route show table all; ip -6 route show table all; ip rule"),
        );
    }
    out.diagnostics.extend(bad);
    out
}

/// `Destination Gateway Genmask Flags Metric Ref Use Iface`; with `-e` MSS, window and irtt stand for metric, ref and use.
fn v4(line: Line<'_>, has_metric: bool) -> Option<Route<'_>> {
    let mut words = line.words();
    let dst: Ipv4Addr = match words.next()? {
        "default" => Ipv4Addr::UNSPECIFIED,
        w => w.parse().ok()?,
    };
    let gateway = words.next()?;
    let mask: Ipv4Addr = words.next()?.parse().ok()?;
    let flags = words.next()?;
    let metric = words.next()?;
    let (_, _, dev) = (words.next()?, words.next()?, words.next()?);
    let len = u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32);
    let mut r = Route::to(line, Some(dst.into()), len);
    r.metric = metric.parse().ok().filter(|m| has_metric && *m != 0);
    if flags.contains('!') {
        r.ty = RouteType::Unreachable;
    } else if dev == "*" {
        r.ty = RouteType::Blackhole;
    } else {
        let via = match gateway {
            "0.0.0.0" | "*" | "-" => None,
            w => Some(w.parse().ok()?),
        };
        r.nexthops.push(hop(via, dev));
    }
    Some(r)
}

/// `Destination "Next Hop" Flag Met Ref Use If`, from `/proc/net/ipv6_route`: all tables; `n` without `!` is an address of this node.
fn v6(line: Line<'_>) -> Option<Route<'_>> {
    let mut words = line.words();
    let (dst, len) = prefix(words.next()?.trim_matches(['[', ']']))?;
    let via: IpAddr = words.next()?.trim_matches(['[', ']']).parse().ok()?;
    if Family::of(dst) != Family::V6 || Family::of(via) != Family::V6 {
        return None;
    }
    let flags = words.next()?;
    let metric: i64 = words.next()?.parse().ok()?;
    let (_, _, dev) = (words.next()?, words.next()?, words.next()?);
    let mut r = Route::to(line, Some(dst), len);
    // The kernel's metric is unsigned; route prints it as int, so that the null entry's 0xffffffff is -1.
    r.metric = u32::try_from(metric)
        .ok()
        .or_else(|| i32::try_from(metric).ok().map(i32::cast_unsigned));
    if flags.contains('!') {
        r.ty = RouteType::Unreachable;
        return Some(r);
    }
    if flags.contains('n') {
        r.ty = RouteType::Local;
        r.table = TableRef::LOCAL;
    } else if matches!(dst, IpAddr::V6(a) if a.is_multicast()) {
        r.ty = RouteType::Multicast;
        r.table = TableRef::LOCAL;
    }
    r.nexthops
        .push(hop(Some(via).filter(|a| !a.is_unspecified()), dev));
    Some(r)
}

fn hop(via: Option<IpAddr>, dev: &str) -> NextHop<'_> {
    NextHop {
        via,
        dev: Some(Cow::Borrowed(dev)),
        weight: 1,
        ..NextHop::default()
    }
}
