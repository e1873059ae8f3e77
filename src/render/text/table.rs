//! The table of outcomes.

use super::fate::fate;
use super::groups::{letter, shares};
use super::paint::{Label, Line, Paper, columns};
use super::{Answer, Detail, MARGIN};
use crate::explain::names::{destination, device, endpoint};
use crate::explain::objects;
use crate::node::kube::Who;
use crate::render::escape;
use crate::trace::{Outcome, Port, StepKind};
use std::io::{self, Write};

/// Lines of the table in a normal answer.
const LINES: usize = 8;

struct Row {
    group: usize,
    head: bool,
    dst: String,
    dev: String,
    sees: String,
    fate: String,
    /// What Kubernetes calls the receiver.
    who: Option<Who>,
    /// Outcomes it stands for.
    count: usize,
}

/// Forms of a receiver's name, the longest first.
const FORMS: [fn(&Who) -> String; 4] = [
    |w| match &w.node {
        Some(n) => format!("{} on {n}", pod(w)),
        None => pod(w).to_owned(),
    },
    |w| match &w.node {
        Some(n) => format!("{} on {n}", bare(w)),
        None => bare(w).to_owned(),
    },
    |w| pod(w).to_owned(),
    |w| bare(w).to_owned(),
];

/// `default/web-1`; empty for what is no pod.
fn pod(w: &Who) -> &str {
    w.pod.as_deref().unwrap_or_default()
}

/// `web-1`.
fn bare(w: &Who) -> &str {
    pod(w).rsplit('/').next().unwrap_or_default()
}

/// Writes the table: one line per receiver, those that end alike under one letter.
pub(super) fn outcomes<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    let all = &answer.trace.outcomes;
    for (n, g) in answer.groups.iter().enumerate() {
        let start = rows.len();
        for o in g.members.iter().filter_map(|i| all.get(*i)) {
            let row = row(answer, n, o);
            let same = rows
                .iter_mut()
                .skip(start)
                .find(|r| r.dst == row.dst && r.fate == row.fate && r.dev == row.dev);
            match same {
                Some(r) => r.count += 1,
                None => rows.push(Row {
                    head: rows.len() == start,
                    ..row
                }),
            }
        }
    }
    let limit = if answer.detail == Detail::Detail {
        256
    } else {
        LINES
    };
    let shown = pick(&rows, limit);
    let hidden: usize = rows.len() - shown.len();
    let p: Vec<_> = answer.groups.iter().map(|g| g.probability).collect();
    let shares = match shares(&p) {
        one if one.len() == 1 => vec!["all".to_owned()],
        several => several,
    };
    let several = rows.len() > 1;
    let wide = |f: fn(&Row) -> &str, head: &str, most: usize| {
        shown
            .iter()
            .map(|r| columns(&escape(f(r))))
            .chain([columns(head)])
            .max()
            .unwrap_or(0)
            .min(most)
    };
    let heads = ["goes to", "leaves by", "seen as"];
    let (a, b, c) = (
        wide(|r| &r.dst, heads[0], 48),
        wide(|r| &r.dev, heads[1], 15),
        wide(|r| &r.sees, heads[2], 40),
    );
    let left = if several {
        2 + columns(&letter(answer.groups.len().saturating_sub(1)))
            + 2
            + shares.iter().map(|s| columns(s)).max().unwrap_or(0)
            + 2
    } else {
        2
    };
    let fates = wide(|r| &r.fate, "fate", usize::MAX);
    let room = (paper.width).saturating_sub(left + a + b + c + 6 + fates + 2);
    let names = names(&shown, room);
    // Where the names do not fit beside the addresses they stand below.
    let n = match &names {
        Some((_, n)) => n + 2,
        None => 0,
    };
    let mut head = Line::new().to(left).add(Label::Faint, heads[0]);
    if n > 0 {
        head = head.to(left + a + 2).add(Label::Faint, "pod");
    }
    let a = a + n;
    let head = head
        .to(left + a + 2)
        .add(Label::Faint, heads[1])
        .to(left + a + b + 4)
        .add(Label::Faint, heads[2])
        .to(left + a + b + c + 6)
        .add(Label::Faint, "fate");
    paper.line(&head)?;
    for (i, r) in shown.iter().enumerate() {
        let mut line = Line::new().to(2);
        if several && r.head {
            line = line
                .add(Label::Heading, &letter(r.group))
                .add(Label::Plain, "  ")
                .add(Label::Plain, shares.get(r.group).map_or("", String::as_str));
        }
        let line = line.to(left).add_cut(Label::Plain, &r.dst, a - n);
        let line = match names.as_ref().and_then(|(list, _)| list.get(i)) {
            Some(name) => line.to(left + a - n + 2).add(Label::Plain, name),
            None => line,
        };
        let line = line
            .to(left + a + 2)
            .add_cut(Label::Plain, &r.dev, b)
            .to(left + a + b + 4)
            .add_cut(Label::Plain, &r.sees, c)
            .to(left + a + b + c + 6)
            .add(Label::Plain, &r.fate);
        paper.line(&line)?;
    }
    if hidden > 0 {
        let line = Line::new()
            .to(left)
            .add(Label::Faint, &format!("and {hidden} more alike"));
        paper.line(&line)?;
    }
    if names.is_none() {
        below(paper, &shown)?;
    }
    Ok(())
}

/// The receivers' names in the longest form that fits, and their width; `None` where none does, or there are no names.
fn names(shown: &[&Row], room: usize) -> Option<(Vec<String>, usize)> {
    let named = |r: &&Row| r.who.as_ref().is_some_and(|w| w.pod.is_some());
    if !shown.iter().any(named) {
        return None;
    }
    FORMS.iter().find_map(|form| {
        let list: Vec<String> = shown
            .iter()
            .map(|r| match &r.who {
                Some(w) if w.pod.is_some() => form(w),
                _ => String::new(),
            })
            .collect();
        let width = list.iter().map(|n| columns(&escape(n))).max().unwrap_or(0);
        (width.max(columns("pod")) <= room).then_some((list, width.max(columns("pod"))))
    })
}

/// Names that stand below the table.
const BELOW: usize = 4;

fn below<W: Write>(paper: &mut Paper<'_, W>, shown: &[&Row]) -> io::Result<()> {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for r in shown {
        let Some(w) = r.who.as_ref().filter(|w| w.pod.is_some()) else {
            continue;
        };
        if !lines.iter().any(|(dst, _)| *dst == r.dst) {
            lines.push((&r.dst, objects::called(w)));
        }
    }
    let width = lines.iter().map(|(d, _)| columns(d)).max().unwrap_or(0);
    for (i, (dst, name)) in lines.iter().take(BELOW).enumerate() {
        let line = Line::new()
            .add(Label::Heading, if i == 0 { "pods" } else { "" })
            .to(MARGIN)
            .add(Label::Plain, dst)
            .to(MARGIN + width + 2)
            .add(Label::Plain, name);
        paper.line(&line)?;
    }
    super::more(paper, lines.len(), BELOW)
}

/// Every group's first line before further lines of any.
fn pick(rows: &[Row], limit: usize) -> Vec<&Row> {
    if rows.len() <= limit {
        return rows.iter().collect();
    }
    let heads = rows.iter().filter(|r| r.head).count().min(limit);
    let mut room = limit - heads;
    let mut heads_left = heads;
    rows.iter()
        .filter(|r| {
            let left = if r.head { &mut heads_left } else { &mut room };
            if *left == 0 {
                return false;
            }
            *left -= 1;
            true
        })
        .collect()
}

fn row(answer: &Answer<'_, '_, '_>, group: usize, o: &Outcome) -> Row {
    let node = answer.node;
    let last = o
        .steps
        .iter()
        .rev()
        // The outer packet of a tunnel is not what the table is about.
        .find(|s| !matches!(s.kind, StepKind::Encapsulated { .. }))
        .map(|s| s.view);
    // A packet that ended at the routing behind its rewrite has no step that shows it rewritten.
    let rewritten = o.dnat.as_ref().and_then(|d| Some((d.ip?, d.port)));
    let dst = match (o.delivered, last) {
        (None, Some(_)) if let Some((ip, port)) = rewritten => {
            endpoint(ip, port.map_or(Port::None, Port::Known))
        }
        (Some(d), _) | (None, Some(d)) => destination(&d),
        (None, None) => answer.trace.packet.dst.to_string(),
    };
    Row {
        group,
        head: false,
        dst,
        dev: o
            .out
            .as_ref()
            .map_or_else(|| "-".to_owned(), |x| device(node, x.dev).to_owned()),
        sees: match o.delivered {
            Some(d) => d.src.map_or_else(|| "?".to_owned(), |s| s.to_string()),
            None => "-".into(),
        },
        fate: fate(node, o),
        who: objects::receiver(node, o),
        count: 1,
    }
}
