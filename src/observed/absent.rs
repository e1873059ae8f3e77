//! What was not seen, where a capture would have shown it.

use super::otherwise::{ANOTHER_TIME, Found, Kind, beginnings, from, listed, name, to};
use super::passage::{Group, Point, ports};
use super::sight::{Captures, Seen};
use super::token::opens;
use crate::node::{DevId, Traffic};
use crate::trace::{Verdict, View};
use nfwhy_parsers::tcpdump::Asked;
use nfwhy_parsers::{Family, Proto};

/// A second: what comes in leaves long before.
const WAIT: i64 = 1_000_000_000;

/// Why nothing follows from what was not seen.
pub(super) fn why_silent(seen: &Captures<'_, '_>) -> Option<&'static str> {
    let all = || seen.node.traffic.iter();
    if all().all(|t| t.binary) {
        return Some("a binary capture does not tell its filter");
    }
    if all().any(|t| t.section.cut.is_some()) {
        return Some("text is cut out of the capture");
    }
    if all().all(|t| t.section.command.is_none()) {
        return Some("no command line tells what the capture let through");
    }
    None
}

/// Whether a capture shows all packets of a view at a device, or at all devices. `exact`: both ends are known.
pub(super) fn shows(
    seen: &Captures<'_, '_>,
    of: &Traffic,
    dev: Option<DevId>,
    view: &View,
    exact: bool,
) -> bool {
    let Some(c) = of.section.command.as_ref() else {
        return false;
    };
    let whole = !of.binary && !c.in_part && of.section.cut.is_none() && of.section.dropped == 0;
    if !whole || of.is_elsewhere() {
        return false;
    }
    let at = match (of.section.dev(), dev) {
        (Some("any"), _) => true,
        (Some(d), Some(dev)) => seen.node.device(dev).name == d,
        _ => false,
    };
    let asked = Asked {
        src: view.src,
        dst: exact.then_some(view.dst),
        family: Some(Family::of(view.dst)),
        proto: Some(view.proto),
        sport: ports(view.sport),
        dport: if exact { ports(view.dport) } else { None },
    };
    at && c
        .filter
        .as_ref()
        .is_none_or(|f| f.passes(&asked) == Some(true))
}

/// Packets that come in, are to leave and were not seen to.
pub(super) fn never_leaves(seen: &Captures<'_, '_>, group: &Group<'_>, found: &mut Found) {
    let Some(comes) = group.comes.as_ref().filter(|_| group.firm()) else {
        return;
    };
    let leave = group.all.iter().all(|p| p.verdict == Verdict::Forwarded);
    // Programs at devices may send packets on without the kernel's path.
    if !leave || group.reply() || group.leaves.is_empty() || !seen.node.programs.is_empty() {
        return;
    }
    for of in &seen.node.traffic {
        let all = |p: &Point| shows(seen, of, Some(p.dev), &p.view, true);
        if !group.leaves.iter().all(all) {
            continue;
        }
        let here = |s: &Seen<'_>| std::ptr::eq(s.of, of);
        let came: Vec<(usize, &Seen<'_>)> = beginnings(seen, comes)
            .filter(|(_, s)| here(s) && s.out() == Some(false))
            .filter(|(_, s)| comes.view.proto != Proto::TCP || opens(s.packet))
            .collect();
        let Some((i, first)) = came.first() else {
            continue;
        };
        // Of the client or of whomever else it belongs to: something left, or did so otherwise.
        let left = seen.all.iter().any(|s| {
            here(s)
                && s.out() != Some(false)
                && group.leaves.iter().any(|p| {
                    p.view.dst == s.packet.dst
                        && super::sight::port_fits(p.view.dport, s.packet.dport)
                })
        });
        let last = of.section.packets.iter().rev().find_map(|p| p.time);
        let waited = last
            .zip(first.packet.time)
            .is_some_and(|(l, f)| l.since(f).is_some_and(|d| d >= WAIT));
        let told = found.list.iter().any(|o| {
            matches!(
                o.kind,
                Kind::Destination | Kind::NotTranslated | Kind::Source | Kind::LeavesElsewhere
            )
        });
        if left || told || !(waited || came.len() > 1) {
            continue;
        }
        let devs = group
            .leaves
            .iter()
            .map(|p| name(seen, p.dev).to_owned())
            .collect();
        let title = format!(
            "seen otherwise: {} > {} comes in by {} and never leaves, where the trace has it leave by {}",
            from(first.packet),
            to(first.packet),
            name(seen, comes.dev),
            listed(devs)
        );
        let help = [
            "something that was not captured keeps it: a neighbour that does not answer (`ip neigh`), rules that were changed, a full table (`dmesg`)",
            ANOTHER_TIME,
        ];
        found.add(Kind::NeverLeaves, title, &help, &[(*i, first.sight())]);
    }
}
