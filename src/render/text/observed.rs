//! What captured packets show, step by step.

use super::paint::{Label, Line, Paper, columns};
use super::{Detail, MARGIN};
use crate::explain::names::{endpoint, source};
use crate::explain::observed::place;
use crate::node::Node;
use crate::observed::{Observed, Step};
use std::io::{self, Write};

/// Steps that nothing was seen of, and are shown.
const UNSEEN: usize = 6;

/// Writes the section; `name` is the place's in a cluster.
pub(super) fn observed<W: Write>(
    paper: &mut Paper<'_, W>,
    node: &Node<'_>,
    o: &Observed,
    name: Option<&str>,
    detail: Detail,
) -> io::Result<()> {
    paper.blank()?;
    let of = name.map_or_else(String::new, |n| format!("{n}: "));
    let packets = match o.packets {
        1 => "packet is",
        _ => "packets are",
    };
    let head = format!(
        "{of}{} of {} captured {packets} of this way; they may be of another time than the rules",
        o.belong, o.packets
    );
    paper.prose((Label::Heading, "observed"), (Label::Plain, &head), MARGIN)?;
    if o.belong == 0 && detail != Detail::Detail {
        return Ok(());
    }
    let name = |s: &Step| columns(&node.device(s.point.dev).name);
    let shown: Vec<&Step> = shown(o, detail);
    let device = shown.iter().map(|s| name(s)).max().unwrap_or(0).min(24) + 2;
    for s in &shown {
        let p = &s.point;
        let which = match (p.reply, p.outer) {
            (false, false) => "",
            (true, false) => "answer ",
            (false, true) => "outer ",
            (true, true) => "answer, outer ",
        };
        let ends = format!(
            "{which}{} > {}",
            source(&p.view),
            endpoint(p.view.dst, p.view.dport)
        );
        let line = Line::new()
            .to(MARGIN)
            .add(Label::Faint, if p.out { "out" } else { "in" })
            .to(MARGIN + 4)
            .add(Label::Plain, &node.device(p.dev).name)
            .to(MARGIN + 4 + device)
            .add(Label::Plain, &ends);
        let (label, said) = seen(node, s);
        let line = if line.width() + 2 + columns(&said) <= 100 {
            line.add(Label::Plain, "  ").add(label, &said)
        } else {
            paper.line(&line)?;
            Line::new().to(MARGIN + 6 + device).add(label, &said)
        };
        paper.line(&line)?;
    }
    let left = o.steps.len() - shown.len();
    if left > 0 {
        let text = format!("and {left} more that were not seen (--detail)");
        paper.line(&Line::new().to(MARGIN).add(Label::Faint, &text))?;
    }
    if let Some(ip) = o.others() {
        let text = format!(
            "packets from {ip} may be of other clients as well: it masquerades them, and nothing captured ties these to the traced one"
        );
        paper.prose((Label::Heading, ""), (Label::Faint, &text), MARGIN)?;
    }
    if let Some(why) = o.silent {
        let text = format!("what was not seen says nothing: {why}");
        paper.prose((Label::Heading, ""), (Label::Faint, &text), MARGIN)?;
    }
    Ok(())
}

/// Steps with packets, and some without.
fn shown(o: &Observed, detail: Detail) -> Vec<&Step> {
    let mut room = if detail == Detail::Detail {
        usize::MAX
    } else {
        UNSEEN
    };
    o.steps
        .iter()
        .filter(|s| {
            // Tunnels' outer packets only where some were seen.
            if s.count > 0 || detail == Detail::Detail {
                return true;
            }
            let take = room > 0 && !s.point.outer;
            room -= usize::from(take);
            take
        })
        .collect()
}

/// How many were seen, where and when.
fn seen(node: &Node<'_>, s: &Step) -> (Label, String) {
    let (Some(first), Some(last)) = (s.first, s.last) else {
        return (Label::Faint, "not seen".to_owned());
    };
    let mut said = format!("{} seen, {}", s.count, place(node, first));
    if last.at != first.at {
        if last.at.file == first.at.file {
            said += &format!("-{}", last.at.line);
        } else {
            said += &format!(" to {}", place(node, last));
        }
    }
    if let Some(t) = first.time {
        said += &format!(", {t}");
        let passed = last.time.and_then(|l| l.since(t)).filter(|d| *d > 0);
        if let Some(d) = passed {
            said += &format!(" and {} later", duration(d));
        }
    }
    if s.doubtful {
        said += ", by a capture that does not show the device";
    }
    (Label::Good, said)
}

/// A time in the largest unit of which there is one.
fn duration(ns: i64) -> String {
    for (unit, name) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")] {
        if ns >= unit {
            return format!("{} {name}", (ns + unit / 2) / unit);
        }
    }
    format!("{ns} ns")
}
