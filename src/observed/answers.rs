//! Answers that were seen: to what is to have none, from elsewhere than they are to come, and refusals.

use super::otherwise::{ANOTHER_TIME, Found, Kind, beginnings, from, to};
use super::passage::{Group, Passage, groups};
use super::sight::{Captures, Seen, fits, port_fits};
use super::token::{accepts, opens, refuses};
use crate::trace::{Verdict, View};
use nfwhy_parsers::Proto;
use nfwhy_parsers::tcpdump::{About, Error, What};

/// Holds answers to the first packet against what is predicted of them.
pub(super) fn answers(seen: &Captures<'_, '_>, passages: &[Passage], found: &mut Found) {
    let all = groups(passages);
    let first = all.iter().filter(|g| !g.reply() && g.firm());
    for group in first {
        if group.comes.is_some() {
            of_group(seen, group, passages, found);
        }
    }
}

/// The client's side as its answer has it.
fn turned(v: &View) -> View {
    View {
        src: Some(v.dst),
        sport: v.dport,
        dst: v.src.unwrap_or(v.dst),
        dport: v.sport,
        ..*v
    }
}

fn of_group(seen: &Captures<'_, '_>, group: &Group<'_>, passages: &[Passage], found: &mut Found) {
    let Some(comes) = &group.comes else { return };
    let back = turned(&comes.view);
    let asked: Vec<&Seen<'_>> = beginnings(seen, comes)
        .map(|(_, s)| s)
        .filter(|s| comes.view.proto != Proto::TCP || opens(s.packet))
        .collect();
    // The question itself was seen here, with the same port.
    let was_asked = |port: Option<u16>| asked.iter().any(|s| s.packet.sport == port);
    let stopped = |p: &&&Passage| matches!(p.verdict, Verdict::Dropped | Verdict::Rejected);
    let all_stop = group.all.iter().filter(stopped).count() == group.all.len();
    let rejected = group.all.iter().any(|p| p.verdict == Verdict::Rejected);
    let replies: Vec<&Passage> = passages.iter().filter(|p| p.reply).collect();
    let firm = replies.iter().all(|p| p.firm);
    let reply_point = super::Point {
        reply: true,
        outer: false,
        out: true,
        dev: comes.dev,
        view: back,
        echo_reply: true,
        outcomes: Vec::new(),
    };
    for (i, s) in seen.all.iter().enumerate() {
        if !s.plain() || s.out() == Some(false) {
            continue;
        }
        if let What::Error { kind, about } = s.packet.what {
            if s.packet.dst == back.dst && is_about(&about, &comes.view) {
                refused(
                    seen,
                    (i, s),
                    kind.name(),
                    (all_stop, rejected),
                    &group.all,
                    found,
                );
            }
            continue;
        }
        if s.out() != Some(true) || !fits(&reply_point, s.packet) || !was_asked(s.packet.dport) {
            continue;
        }
        if refuses(s.packet) {
            refused(seen, (i, s), "RST", (all_stop, rejected), &group.all, found);
            continue;
        }
        let answers = match comes.view.proto {
            Proto::TCP => accepts(s.packet),
            _ => true,
        };
        if !answers {
            continue;
        }
        let how = format!(
            "{} > {} leaves{}",
            from(s.packet),
            to(s.packet),
            s.dev.map_or_else(String::new, |d| format!(" by {d}"))
        );
        if all_stop {
            // That the packet leaves says enough.
            if found.list.iter().any(|o| o.kind == Kind::LeavesAnyway) {
                continue;
            }
            let title = format!(
                "seen otherwise: an answer, {how}, where the trace has the packet {}",
                if rejected { "rejected" } else { "dropped" }
            );
            found.add(Kind::Answered, title, &[ANOTHER_TIME], &[(i, s.sight())]);
            continue;
        }
        let here = |p: &&&Passage| {
            p.out
                .is_some_and(|(_, v)| super::sight::looks(&v, s.packet))
        };
        if !firm || replies.iter().any(|p| here(&p)) {
            continue;
        }
        let delivered = group
            .all
            .iter()
            .any(|p| matches!(p.verdict, Verdict::Forwarded | Verdict::Local));
        if replies.is_empty() {
            // Nothing is predicted of answers that go past this node but that.
            if group.all.iter().all(|p| p.verdict == Verdict::Forwarded) {
                let title = format!(
                    "seen otherwise: the answer comes back by here ({how}), where the trace has it go past this node"
                );
                found.add(
                    Kind::AnswerReturns,
                    title,
                    &[ANOTHER_TIME],
                    &[(i, s.sight())],
                );
            }
        } else if delivered {
            let title = format!(
                "seen otherwise: an answer, {how}, where the trace has the answer stopped, or leave as another"
            );
            found.add(Kind::Answered, title, &[ANOTHER_TIME], &[(i, s.sight())]);
        }
    }
}

/// Whether an ICMP error is about a packet that looks so.
fn is_about(a: &About, v: &View) -> bool {
    a.dst == Some(v.dst)
        && a.src == v.src
        && a.proto.is_none_or(|p| p == v.proto)
        && port_fits(v.sport, a.sport)
        && port_fits(v.dport, a.dport)
}

fn refused(
    seen: &Captures<'_, '_>,
    (i, s): (usize, &Seen<'_>),
    what: &str,
    (all_stop, rejected): (bool, bool),
    all: &[&Passage],
    found: &mut Found,
) {
    if what == Error::TooBig.name() || rejected {
        return;
    }
    let shown = [(i, s.sight())];
    let at = s.dev.map_or_else(String::new, |d| format!(" by {d}"));
    let who = s.packet.src;
    let ours = seen
        .node
        .devices
        .iter()
        .any(|d| d.addrs.iter().any(|a| a.local == who));
    if all_stop {
        let title = format!(
            "seen otherwise: {who} answers the client{at} that it is refused ({what}), where the trace has the packet dropped without a word"
        );
        return found.add(Kind::Answered, title, &[ANOTHER_TIME], &shown);
    }
    // As it came in from the receiver, before its address was put back.
    let receiver = seen.all.iter().enumerate().find(|(_, r)| {
        let of_leaving = |p: &&Passage| {
            p.out
                .is_some_and(|(_, v)| v.dst == r.packet.src && port_fits(v.dport, r.packet.sport))
        };
        r.plain()
            && r.out() == Some(false)
            && refuses(r.packet)
            && r.packet.tcp().map(|t| t.ack) == s.packet.tcp().map(|t| t.ack)
            && all.iter().any(of_leaving)
    });
    if let Some((n, r)) = receiver {
        let title = format!(
            "seen otherwise: the receiver {} gets the packet and refuses it: RST{}",
            from(r.packet),
            r.dev.map_or_else(String::new, |d| format!(" in by {d}"))
        );
        let help =
            "no process listens there, or its queue is full: what the rules do is not at fault";
        return found.add(Kind::Refused, title, &[help], &[(n, r.sight()), shown[0]]);
    }
    let local = all.iter().any(|p| p.verdict == Verdict::Local);
    let help = match (what, local, ours) {
        ("RST", true, _) => "no process of the node listens at that port, or its queue is full",
        ("RST", false, _) => {
            "see whether it comes in from the receiver (nothing listens there) or is made on this node"
        }
        (_, _, true) => {
            "this node itself says so: a neighbour that does not answer, or rules that were changed"
        }
        _ => "something beyond this node says so",
    };
    let title = format!(
        "seen otherwise: the client is told{at} that it is refused ({what} from {who}), where the trace has the packet delivered"
    );
    found.add(Kind::Refused, title, &[help], &shown);
}
