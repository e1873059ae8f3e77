//! A next hop that does not answer: the packet leaves netfilter, and never leaves the node.

use super::names::{device, full_rule};
use super::{Case, Cause, Code, Finding, Rank, drops, path};
use crate::node::{FileId, Node, Origin};
use crate::trace::Verdict;
use std::net::IpAddr;

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    case.outcomes().take(16).find_map(|(o, s)| {
        let (Verdict::Forwarded, Some(out)) = (o.verdict, o.out.as_ref()) else {
            return None;
        };
        let dst = o.delivered?.dst;
        let hop = out.via.unwrap_or(dst);
        let (at, state) = entry(node, hop, device(node, out.dev))?;
        if !matches!(state, "FAILED" | "INCOMPLETE") {
            return None;
        }
        let sent = path::destination_rules(s).last();
        let by = sent.map_or_else(String::new, |h| {
            format!("; {}{} sends the packet to {dst}", full_rule(node, h), drops::by_owner(node, h))
        });
        let mut f = Finding::new(
            Code::NoNeighbour,
            format!(
                "nobody answers ARP for {hop} at {} ({} says {state}), so the packet does not leave{by}",
                device(node, out.dev),
                node.place(at),
            ),
        );
        f.blame_rules(sent);
        f.blame(Cause::Route { at });
        f.advise(if sent.is_some() {
            format!("the pod or host {hop} is gone, or not reachable by this device: the rule that still sends to it is out of date")
        } else {
            format!("the host {hop} is down, or not reachable by this device: `ip neigh show {hop}`, and the cable or tunnel behind {}", device(node, out.dev))
        });
        Some((Rank::Fails, f))
    })
}

/// The neighbour's line in `ip neigh`, and its state, the line's last word.
fn entry<'n>(node: &'n Node<'_>, hop: IpAddr, dev: &str) -> Option<(Origin, &'n str)> {
    let hop = hop.to_string();
    for (i, f) in node.files.iter().enumerate() {
        let file = FileId(u16::try_from(i).ok()?);
        for (n, line) in f.text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            if words.next() == Some(hop.as_str())
                && words.next() == Some("dev")
                && words.next() == Some(dev)
                && let Some(state) = line.split_ascii_whitespace().next_back()
            {
                let line = u32::try_from(n + 1).ok()?;
                return Some((Origin { file, line }, state));
            }
        }
    }
    None
}
