//! A route as `ip route show table all` prints it, without the blanks at line ends.

use super::{NextHop, Route, RouteType};
use crate::common::Family;
use crate::iproute::words::dsfield_name;
use crate::iproute::{Scope, TableRef};
use std::fmt;

/// In the order of `print_route` in iproute2 ip/iproute.c. Routes with several hops print one more line for each.
impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ty != RouteType::Unicast {
            write!(f, "{} ", self.ty.name())?;
        }
        match self.dst {
            Some(a) if Family::of(a).bits() == self.dst_len => write!(f, "{a}")?,
            Some(a) if self.dst_len > 0 => write!(f, "{a}/{}", self.dst_len)?,
            _ => f.write_str("default")?,
        }
        if let Some((a, len)) = self.from {
            write!(f, " from {a}")?;
            if len != Family::of(a).bits() {
                write!(f, "/{len}")?;
            }
        }
        if let Some(id) = self.nhid {
            write!(f, " nhid {id}")?;
        }
        // One hop with a weight but 1 can only come from a route that lists its hops.
        let single = match self.nexthops.as_slice() {
            [hop] if hop.weight == 1 && hop.rest.is_none() => Some(hop),
            _ => None,
        };
        if let Some(e) = single.and_then(|h| h.encap.as_ref()) {
            write!(f, "  encap {e}")?;
        }
        if self.tos != 0 {
            write!(f, " tos {}", dsfield_name(self.tos))?;
        }
        if let Some(hop) = single {
            gateway(hop, self.family, f)?;
            if let Some(d) = &hop.dev {
                write!(f, " dev {d}")?;
            }
        }
        if self.table != TableRef::MAIN {
            write!(f, " table {}", self.table)?;
        }
        if let Some(p) = self.proto.as_deref().filter(|p| *p != "boot") {
            write!(f, " proto {p}")?;
        }
        if let Some(s) = self.scope.filter(|s| *s != Scope::GLOBAL) {
            write!(f, " scope {s}")?;
        }
        if let Some(a) = self.prefsrc {
            write!(f, " src {a}")?;
        }
        if let Some(m) = self.metric {
            write!(f, " metric {m}")?;
        }
        let rest = Rest::split(self.rest.as_deref().unwrap_or_default());
        if let Some(hop) = single {
            flags(hop, rest.flags, f)?;
        } else {
            words(rest.flags, f)?;
        }
        words(rest.before_metrics, f)?;
        if let Some(e) = self.error {
            write!(f, " error {e}")?;
        }
        if let Some(m) = self.mtu.filter(|_| !rest.metrics.starts_with("mtu lock")) {
            write!(f, " mtu {m}")?;
        }
        words(rest.metrics, f)?;
        if let Some(p) = &self.pref {
            write!(f, " pref {p}")?;
        }
        if single.is_none() {
            for hop in &self.nexthops {
                f.write_str("\n")?;
                hop_line(hop, self.family, f)?;
            }
        }
        Ok(())
    }
}

/// The line of one hop among several, with its leading tab (`print_rta_multipath`).
fn hop_line(hop: &NextHop<'_>, family: Option<Family>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\tnexthop")?;
    if let Some(e) = &hop.encap {
        write!(f, "  encap {e}")?;
    }
    gateway(hop, family, f)?;
    let rest = hop.rest.as_deref().unwrap_or_default();
    let (realm, others) = rest.split_at(if rest.starts_with("realm") {
        rest.match_indices(' ')
            .nth(1)
            .map_or(rest.len(), |(i, _)| i)
    } else {
        0
    });
    words(realm, f)?;
    if let Some(d) = &hop.dev {
        write!(f, " dev {d}")?;
    }
    write!(f, " weight {}", hop.weight)?;
    flags(hop, others, f)
}

/// `via`, with the family where it is not the route's.
fn gateway(hop: &NextHop<'_>, family: Option<Family>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(a) = hop.via {
        f.write_str(" via ")?;
        match (family, Family::of(a)) {
            (Some(Family::V4), Family::V6) => f.write_str("inet6 ")?,
            (Some(Family::V6), Family::V4) => f.write_str("inet ")?,
            _ => {}
        }
        write!(f, "{a}")?;
    }
    Ok(())
}

/// Flags as `print_rt_flags` orders them; `others` are the ones without a field.
fn flags(hop: &NextHop<'_>, others: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if hop.dead {
        f.write_str(" dead")?;
    }
    if hop.onlink {
        f.write_str(" onlink")?;
    }
    let mut linkdown = hop.linkdown;
    for w in others.split_ascii_whitespace() {
        if linkdown && !matches!(w, "pervasive" | "offload" | "trap" | "notify") {
            f.write_str(" linkdown")?;
            linkdown = false;
        }
        write!(f, " {w}")?;
    }
    if linkdown {
        f.write_str(" linkdown")?;
    }
    Ok(())
}

fn words(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if text.is_empty() {
        return Ok(());
    }
    write!(f, " {text}")
}

/// The words without a field, cut where fields stand between them.
struct Rest<'a> {
    flags: &'a str,
    before_metrics: &'a str,
    metrics: &'a str,
}

impl<'a> Rest<'a> {
    fn split(text: &'a str) -> Self {
        let (flags, text) = text.split_at(offset(text, |w| {
            !matches!(
                w,
                "dead"
                    | "onlink"
                    | "pervasive"
                    | "offload"
                    | "trap"
                    | "notify"
                    | "linkdown"
                    | "unresolved"
                    | "rt_offload"
                    | "rt_trap"
                    | "rt_offload_failed"
            )
        }));
        let (before_metrics, metrics) = text.split_at(offset(text, |w| {
            matches!(
                w,
                "mtu"
                    | "window"
                    | "rtt"
                    | "rttvar"
                    | "ssthresh"
                    | "cwnd"
                    | "advmss"
                    | "reordering"
                    | "hoplimit"
                    | "initcwnd"
                    | "features"
                    | "rto_min"
                    | "initrwnd"
                    | "quickack"
                    | "congctl"
                    | "fastopen_no_cookie"
                    | "iif"
                    | "ttl-propogate"
                    | "ttl-propagate"
            )
        }));
        Self {
            flags: flags.trim_ascii_end(),
            before_metrics: before_metrics.trim_ascii_end(),
            metrics,
        }
    }
}

/// Offset of the first word for which `hit` holds, or the length.
fn offset(text: &str, hit: impl Fn(&str) -> bool) -> usize {
    let mut at = 0;
    for w in text.split_inclusive(' ') {
        if hit(w.trim_ascii_end()) {
            return at;
        }
        at += w.len();
    }
    text.len()
}
