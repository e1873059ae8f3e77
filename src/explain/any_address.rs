//! A rule for a port of this node that takes the port of any address: packets that only pass through are caught.

use super::marks::{because_of_mark, decider};
use super::names::full_rule;
use super::story::{Called, rewriter, rule};
use super::{Case, Code, Finding, Rank, drops};
use crate::node::Node;
use crate::sim::{self, WayBack};
use crate::trace::{Hit, Outcome, Packet};
use nfwhy_parsers::iptables::matches::MultiportWhich;
use nfwhy_parsers::iptables::{Match, Rule, Target};

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    let packet = &case.trace.packet;
    if sim::way_back(node, packet.dst, packet.dst) == WayBack::Local || is_broadcast(packet) {
        return None;
    }
    case.outcomes().take(8).find_map(|(o, s)| {
        let by_dnat = s.iter().find(|c| !c.outer && c.rewrote_destination());
        let catcher = match by_dnat {
            Some(c) => anywhere(node, c).then_some(c)?,
            None => marked(node, o, s).filter(|c| anywhere(node, c))?,
        };
        let what = match o.dnat.as_ref().and_then(|d| d.ip) {
            Some(ip) => format!("is sent to {ip}"),
            None => "is masqueraded".to_owned(),
        };
        let hit = named(node, catcher);
        let mut f = Finding::new(
            Code::PortOfAnyAddress,
            format!(
                "{}{} takes {} {} whatever the address: {} is not this node's, yet the packet {what}",
                full_rule(node, hit),
                drops::by_owner(node, hit),
                packet.proto,
                packet.dport.known().map_or_else(String::new, |p| p.to_string()),
                packet.dst,
            ),
        );
        f.blame_rules([hit, catcher.hit]);
        f.blame_rules(catcher.stack.iter().rev().copied());
        if let Some(at) = rewriter(s).and_then(|i| s.get(i)) {
            f.blame_rules([at.hit]);
        }
        f.advise("a NodePort is a port of this node's own addresses: the rule that leads there has to ask `-m addrtype --dst-type LOCAL` (later releases do)");
        f.advise("until then no host behind this node can be reached at that port: give the Service another nodePort");
        Some((Rank::Fails, f))
    })
}

fn is_broadcast(packet: &Packet) -> bool {
    packet.dst.is_multicast() || packet.dport.known().is_none()
}

/// The rule that marks for the masquerade that is done.
fn marked<'s>(node: &Node<'_>, o: &Outcome, s: &'s [Called]) -> Option<&'s Called> {
    o.delivered?;
    let at = rewriter(s)?;
    let p = because_of_mark(node, s, at)?;
    p.setters.first().and_then(|i| s.get(*i))
}

/// The rule to name: of those on the way the one that asks for the port.
fn named(node: &Node<'_>, c: &Called) -> Hit {
    let ports = |h: &Hit| rule(node, *h).is_some_and(asks_port);
    c.path().find(ports).unwrap_or_else(|| decider(node, c))
}

/// Whether the rule and those that lead to it ask for a port, and for no address, device or type of address.
fn anywhere(node: &Node<'_>, c: &Called) -> bool {
    let rules: Vec<&Rule<'_>> = c.path().filter_map(|h| rule(node, h)).collect();
    let redirect = rules
        .last()
        .is_some_and(|r| matches!(r.target, Target::Redirect(_) | Target::Tproxy { .. }));
    !redirect
        && rules.len() == c.stack.len() + 1
        && rules.iter().any(|r| asks_port(r))
        && !rules.iter().any(|r| asks_where(r))
}

fn asks_port(r: &Rule<'_>) -> bool {
    r.matches.iter().any(|m| match m {
        Match::Tcp(t) => t.dport.as_ref().is_some_and(|p| !p.not),
        Match::Udp(p) => p.dport.as_ref().is_some_and(|p| !p.not),
        Match::Sctp(s) => s.ports.dport.as_ref().is_some_and(|p| !p.not),
        Match::Multiport(m) => !m.not && m.which != MultiportWhich::Source,
        // KUBE-NODE-PORT-TCP is a bitmap of ports.
        Match::Set(s) => s.src.as_slice() == [false] && s.name.contains("PORT"),
        _ => false,
    })
}

fn asks_where(r: &Rule<'_>) -> bool {
    r.dst.as_ref().is_some_and(|d| !d.not)
        || r.iif.as_ref().is_some_and(|i| !i.not)
        || r.matches.iter().any(|m| match m {
            Match::Addrtype(a) => a.dst.is_some(),
            Match::Set(s) => s.src.contains(&false) && !s.name.contains("NODE-PORT"),
            Match::Conntrack(c) => c.orig_dst.is_some(),
            // What cannot be told may ask for it.
            Match::Ipvs(_) | Match::Owner(_) | Match::Socket(_) => true,
            _ => false,
        })
}
