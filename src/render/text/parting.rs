//! Two packets side by side: what their ways have in common, where they part, how they end.

use super::paint::{Label, Line, Paper, columns};
use super::sources::of_answers;
use super::{MARGIN, Options, rule};
use crate::explain::names::{self, device, endpoint};
use crate::explain::sources::{Decision, Parting, Side, parting};
use crate::node::{Node, Origin as Place, VirtualKey};
use crate::render::{json, reason};
use crate::trace::{Effect, Hit, Origin, Outcome, Port, Trace};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes where two packets to one destination part.
pub fn write_parting(
    out: &mut impl Write,
    node: &Node<'_>,
    pair: [&Trace; 2],
    options: &Options,
) -> io::Result<()> {
    let mut paper = Paper::new(out, options.width, options.colour);
    let paper = &mut paper;
    let [a, b] = pair;
    let line = |head: &str, text: &str| {
        Line::new()
            .add(Label::Heading, head)
            .to(MARGIN)
            .add(Label::Plain, text)
    };
    paper.line(&line("packet", &super::sources::destination(&a.packet)))?;
    paper.blank()?;
    columns_of(paper, "from", (&came(node, a), &came(node, b)))?;
    match parting(a, b) {
        Some(p) => shown(paper, node, &p, "")?,
        None => match of_answers(node, a, b) {
            Some(p) => {
                paper.line(&line("same", "the packets go the same way"))?;
                shown(paper, node, &p, "of the answers")?;
            }
            None => paper.line(&line(
                "same",
                "all decisions of their first paths are the same",
            ))?,
        },
    }
    paper.blank()?;
    let ends =
        |t: &Trace| -> Vec<String> { t.expected().outcomes.iter().map(|o| end(node, o)).collect() };
    let (left, right) = (ends(a), ends(b));
    for i in 0..left.len().max(right.len()).min(8) {
        let head = if i == 0 { "end" } else { "" };
        let cell = |list: &[String]| list.get(i).cloned().unwrap_or_default();
        columns_of(paper, head, (&cell(&left), &cell(&right)))?;
    }
    Ok(())
}

fn shown<W: Write>(
    paper: &mut Paper<'_, W>,
    node: &Node<'_>,
    p: &Parting,
    of: &str,
) -> io::Result<()> {
    let [a, b] = &p.sides;
    let steps = match p.common {
        0 => "none: they part at once".to_owned(),
        1 => format!("the first decision {of}"),
        n => format!("the first {n} decisions {of}"),
    };
    let line = Line::new()
        .add(Label::Heading, "common")
        .to(MARGIN)
        .add(Label::Plain, &steps);
    paper.line(&line)?;
    paper.blank()?;
    columns_of(paper, "then", (&side(node, a), &side(node, b)))?;
    paper.blank()?;
    if let Some((who, hit)) = p.rule {
        let text = format!(
            "the {} matches {}",
            if who == 0 { "left one" } else { "right one" },
            rule_lines(node, hit)
        );
        return paper.prose((Label::Heading, "because"), (Label::Rule, &text), MARGIN);
    }
    // Where one way ends, the other's next step explains nothing.
    let one = ends_here(a) || ends_here(b);
    let mut head = "because";
    for (who, s) in [("left", a), ("right", b)] {
        if one && !ends_here(s) {
            continue;
        }
        let text = format!("{who}: {}", next(node, s.next.as_ref()));
        paper.prose((Label::Heading, head), (Label::Rule, &text), MARGIN)?;
        head = "";
    }
    Ok(())
}

/// Whether a way ends at a parting, and not by a rule.
fn ends_here(s: &Side) -> bool {
    matches!(s.next, None | Some(Decision::RpFilter { ok: false, .. }))
}

/// A rule with its place.
pub(super) fn rule_lines(node: &Node<'_>, hit: Hit) -> String {
    let place = node.place(names::place_of(node, hit));
    format!("{} ({place})", rule::line(node, hit))
}

/// What comes next on a way, with the line of the input that says so.
pub(in crate::render) fn next(node: &Node<'_>, d: Option<&Decision>) -> String {
    let read = |at: Place| {
        if at.line == 0 {
            return String::new();
        }
        let text = json::line_text(node, at).trim();
        format!(" ({}: {text})", node.place(at))
    };
    match d {
        None => "the way ends".to_owned(),
        Some(Decision::Rule(hit)) => format!("rule {}", rule_lines(node, *hit)),
        Some(Decision::Policy {
            table,
            chain,
            accept,
        }) => format!(
            "policy of {} {}: {}",
            names::table_full(node, *table),
            names::chain(node, *table, *chain),
            if *accept { "accepted" } else { "dropped" }
        ),
        Some(Decision::Conntrack { state, reply }) => format!(
            "conntrack: {}{}",
            state.name(),
            if *reply { ", an answer" } else { "" }
        ),
        Some(Decision::Route {
            at,
            table,
            dev,
            via,
            local,
        }) => {
            let mut text = "route".to_owned();
            if *local {
                text += " to this node";
            }
            if let Some(v) = via {
                let _ = write!(text, " via {v}");
            }
            if let Some(d) = dev {
                let _ = write!(text, " dev {}", device(node, *d));
            }
            let _ = write!(text, " (table {table}){}", read(*at));
            text
        }
        Some(Decision::RpFilter { ok, reverse }) => {
            let back = reverse.map_or_else(
                || "there is no way back".to_owned(),
                |d| format!("the way back is {}", device(node, d)),
            );
            let did = if *ok { "passed" } else { "dropped" };
            format!("rp_filter: {back}, {did}")
        }
        Some(Decision::Ipvs { service, server }) => {
            let service = node.ipvs.services.get(*service);
            let to = service.and_then(|s| {
                let at = match s.key {
                    VirtualKey::Addr { addr, port, .. } => endpoint(addr, Port::Known(port)),
                    VirtualKey::Fwmark { mark, .. } => format!("mark {mark:#x}"),
                };
                let to = s.servers.get(*server)?;
                Some(format!(
                    "{at} to {}",
                    endpoint(to.addr, Port::Known(to.port))
                ))
            });
            format!("ipvs {}", to.unwrap_or_default())
        }
    }
}

/// The same in a cell.
fn side(node: &Node<'_>, s: &Side) -> String {
    match &s.next {
        Some(Decision::Rule(hit)) => {
            let did = match &s.effect {
                Some(Effect::Nat { .. }) => ": NAT",
                Some(Effect::Drop) => ": drop",
                Some(Effect::Reject) => ": reject",
                Some(Effect::Mark { .. }) => ": mark",
                Some(Effect::Accept) => ": accept",
                _ => "",
            };
            format!("{}{did}", names::short_rule(node, *hit))
        }
        other => {
            let text = next(node, other.as_ref());
            text.split_once(" (")
                .map_or(text.clone(), |(t, _)| t.to_owned())
        }
    }
}

fn came(node: &Node<'_>, t: &Trace) -> String {
    let src = t.packet.src.map_or_else(String::new, |s| s.to_string());
    match t.packet.origin {
        Origin::Device(d) => format!("{src} in {}", device(node, d)),
        Origin::Local => format!("{src} sent by this node"),
    }
}

fn end(node: &Node<'_>, o: &Outcome) -> String {
    match (o.delivered, o.client_ip_kept) {
        (Some(d), kept) => {
            let seen = match (kept, d.src) {
                (Some(true), _) => "sees the client".to_owned(),
                (_, Some(a)) => format!("sees {a}"),
                _ => "sees an address not known".to_owned(),
            };
            format!("{}: {} {seen}", o.verdict.name(), endpoint(d.dst, d.dport))
        }
        (None, _) => format!("{}: {}", o.verdict.name(), reason(node, &o.reason)),
    }
}

/// Two cells; below each other where they do not fit beside each other.
fn columns_of<W: Write>(
    paper: &mut Paper<'_, W>,
    head: &str,
    (left, right): (&str, &str),
) -> io::Result<()> {
    let half = paper.width.saturating_sub(MARGIN) / 2;
    if left == right {
        let text = format!("both: {left}");
        return paper.prose((Label::Heading, head), (Label::Plain, &text), MARGIN);
    }
    if columns(left) + 2 <= half && columns(right) <= half {
        let line = Line::new()
            .add(Label::Heading, head)
            .to(MARGIN)
            .add(Label::Plain, left)
            .to(MARGIN + half)
            .add(Label::Plain, right);
        return paper.line(&line);
    }
    let mut head = head;
    for (who, text) in [("left", left), ("right", right)] {
        if text.is_empty() {
            continue;
        }
        let text = format!("{who}: {text}");
        paper.prose((Label::Heading, head), (Label::Plain, &text), MARGIN)?;
        head = "";
    }
    Ok(())
}
