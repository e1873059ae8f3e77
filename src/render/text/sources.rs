//! Sources, and what becomes of packets from them.

use super::groups::shares;
use super::paint::{Label, Line, Paper};
use super::{MARGIN, Options, parting};
use crate::explain::Fate;
use crate::explain::names::{device, endpoint, list};
use crate::explain::sources::{self, Decision, End, Fare, Incoming, Kind, Parting, Seen, Sources};
use crate::node::Node;
use crate::render::ranges::{Ranges, incoming, joined, listed, of_class};
use crate::render::reason;
use crate::trace::{Origin, Packet, Trace, Verdict};
use std::io::{self, Write};

/// Ranges shown of a kind.
const RANGES: usize = 12;

/// Reasons shown of a kind.
const REASONS: usize = 4;

/// Servers shown of those that fare alike.
const SERVERS: usize = 3;

/// Writes the table of sources.
pub fn write_sources(
    out: &mut impl Write,
    node: &Node<'_>,
    all: &Sources,
    options: &Options,
) -> io::Result<()> {
    let mut paper = Paper::new(out, options.width, options.colour);
    let paper = &mut paper;
    let q = &all.question;
    let to = destination(&q.packet);
    let from = match q.dev {
        Some(d) => format!("from every source, in {}", device(node, d)),
        None => "from every source, each in by the device of its way back".to_owned(),
    };
    let line = Line::new()
        .add(Label::Heading, "packet")
        .to(MARGIN)
        .add(Label::Plain, &format!("{to}  {from}"));
    paper.line(&line)?;
    paper.blank()?;
    paper.prose(
        (Label::Heading, "answer"),
        (Label::Plain, &sentence(all)),
        MARGIN,
    )?;
    let base = all.kinds.last().and_then(|k| example(node, all, k));
    let count = all.kinds.len();
    let last = all.kinds.last();
    let is_last = |k: &Kind| last.is_some_and(|l| std::ptr::eq(l, k));
    // Sources that cannot be, and those of which nothing is known, stand behind what most people ask for.
    let aside = |k: &&Kind| !is_last(k) && (k.is_impossible() || k.fare == Fare::Nowhere);
    let order = all.kinds.iter().filter(|k| !aside(k));
    let order: Vec<&Kind> = order.chain(all.kinds.iter().filter(aside)).collect();
    for (i, kind) in order.into_iter().enumerate() {
        paper.blank()?;
        let others = is_last(kind);
        let ranges = if others && count > 1 {
            "all others".to_owned()
        } else {
            listed(&all.classes, kind, RANGES)
        };
        let text = format!("{ranges}  ({})", comes_in(node, kind));
        let head = (i + 1).to_string();
        paper.prose((Label::Heading, &head), (Label::Heading, &text), MARGIN)?;
        ends(paper, node, kind)?;
        if others {
            continue;
        }
        if aside(&kind) {
            continue;
        }
        if let Some(base) = &base {
            reasons(paper, node, all, kind, base)?;
        }
    }
    Ok(())
}

/// Why they fare otherwise than the others: the rule or route where they part.
fn reasons<W: Write>(
    paper: &mut Paper<'_, W>,
    node: &Node<'_>,
    all: &Sources,
    kind: &Kind,
    base: &Trace,
) -> io::Result<()> {
    let (mut groups, left_out) = sources::apart(node, &all.question, kind, base);
    // Who sends it is said above, and is all the difference there need be.
    let sent = |t: &Trace| t.packet.origin == Origin::Local;
    groups.retain(|a| sent(&a.walk) == sent(base));
    let one = groups.len() == 1 && left_out == 0;
    for a in groups.iter().take(REASONS) {
        let who = if one {
            "these".to_owned()
        } else {
            let ranges: Vec<String> = joined(&a.spans)
                .iter()
                .map(|r| of_class(&all.classes, *r))
                .collect();
            list(&ranges, 2)
        };
        if let Some(p) = &a.parting {
            blame(paper, node, &who, p)?;
        } else if let Some(p) = of_answers(node, &a.walk, base) {
            let text = if one {
                "the packets go one way, their answers do not:".to_owned()
            } else {
                format!("packets of {who} go as the others, their answers do not:")
            };
            paper.prose((Label::Plain, ""), (Label::Faint, &text), MARGIN)?;
            blame(paper, node, &who, &p)?;
        }
    }
    let more = groups.len().saturating_sub(REASONS);
    if more > 0 || left_out > 0 {
        let text = "more of them have reasons of their own: --compare A B tells for two sources";
        paper.prose((Label::Plain, ""), (Label::Faint, text), MARGIN)?;
    }
    Ok(())
}

/// Where the answers to two packets part.
pub(super) fn of_answers(node: &Node<'_>, one: &Trace, other: &Trace) -> Option<Parting> {
    let answer = |t: &Trace| {
        let t = t.expected();
        let o = t.outcomes.first()?;
        match crate::explain::answer(node, &t, o)? {
            crate::explain::Answer::Here(back) => Some(back),
            _ => None,
        }
    };
    sources::parting(&*answer(one)?, &*answer(other)?)
}

fn example(node: &Node<'_>, all: &Sources, kind: &Kind) -> Option<Trace> {
    sources::trace(node, &all.question, kind.packet.src?)
}

/// `tcp 172.19.100.2:80`.
pub(super) fn destination(p: &Packet) -> String {
    format!("{} {}", p.proto, endpoint(p.dst, p.dport))
}

/// What differs from the others, with the rule or route that makes the difference.
fn blame<W: Write>(
    paper: &mut Paper<'_, W>,
    node: &Node<'_>,
    these: &str,
    p: &Parting,
) -> io::Result<()> {
    let [own, _] = &p.sides;
    let text = match p.rule {
        Some((0, hit)) => format!("{these} match {}", parting::rule_lines(node, hit)),
        Some((_, hit)) if these == "these" => {
            format!("the others match {}", parting::rule_lines(node, hit))
        }
        Some((_, hit)) => format!(
            "unlike {these}, the others match {}",
            parting::rule_lines(node, hit)
        ),
        None if these == "these" => {
            format!(
                "unlike the others: {}",
                parting::next(node, own.next.as_ref())
            )
        }
        None => format!("{these}: {}", parting::next(node, own.next.as_ref())),
    };
    let says_itself = match &own.next {
        None => true,
        Some(Decision::RpFilter { ok, .. }) => !ok,
        _ => false,
    };
    if says_itself && p.rule.is_none() {
        return Ok(());
    }
    if p.devices && p.common == 0 && p.rule.is_none() {
        let who = if these == "these" { "they" } else { these };
        let text = format!("{who} come in by another device than the others");
        return paper.prose((Label::Plain, ""), (Label::Faint, &text), MARGIN);
    }
    paper.prose((Label::Plain, ""), (Label::Faint, &text), MARGIN)
}

/// `in ens4, cali1 and 3 more devices`.
fn comes_in(node: &Node<'_>, kind: &Kind) -> String {
    let ways = incoming(&kind.spans);
    let devices: Vec<String> = ways
        .iter()
        .filter_map(|i| match i {
            Incoming::Device(d) => Some(device(node, *d).to_owned()),
            _ => None,
        })
        .collect();
    let mut said = Vec::new();
    if !devices.is_empty() {
        said.push(format!("in {}", list(&devices, 3)));
    }
    if ways.contains(&Incoming::Node) {
        said.push("sent by this node".to_owned());
    }
    if ways.contains(&Incoming::Nowhere) {
        said.push("no route back to them".to_owned());
    }
    said.join("; ")
}

/// Ends that differ in nothing but their server.
struct Row<'e> {
    end: &'e End,
    servers: Vec<String>,
    probability: Option<f64>,
}

fn ends<W: Write>(paper: &mut Paper<'_, W>, node: &Node<'_>, kind: &Kind) -> io::Result<()> {
    let line = |label, text: &str| Line::new().to(MARGIN).add(label, text);
    match &kind.fare {
        Fare::Nowhere => {
            let text = "where they come in is not known: say --in DEV";
            return paper.line(&line(Label::Unsure, text));
        }
        Fare::Unanswered(why) => return paper.line(&line(Label::Unsure, why)),
        Fare::Ends(_) => {}
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for e in kind.fare.expected() {
        let server = e.server.map(|(a, p)| endpoint(a, p));
        let alike = |r: &&mut Row<'_>| {
            (r.end.verdict, &r.end.reason, r.end.seen, r.end.reply)
                == (e.verdict, &e.reason, e.seen, e.reply)
        };
        match rows.iter_mut().find(alike) {
            Some(r) => {
                if let Some(s) = server
                    && !r.servers.contains(&s)
                {
                    r.servers.push(s);
                }
                r.probability = match (r.probability, e.probability) {
                    (Some(a), Some(b)) => Some(a + b),
                    _ => None,
                };
            }
            None => rows.push(Row {
                end: e,
                servers: server.into_iter().collect(),
                probability: e.probability,
            }),
        }
    }
    let shares = shares(&rows.iter().map(|r| r.probability).collect::<Vec<_>>());
    let many = rows.len() > 1;
    for (r, share) in rows.iter().zip(&shares) {
        let (label, word) = word(r.end);
        let mut text = fate(node, r);
        if many {
            text = format!("{text}  ({share})");
        }
        let head = format!("{:MARGIN$}{word}", "");
        paper.prose((label, &head), (Label::Plain, &text), MARGIN + 10)?;
    }
    Ok(())
}

fn word(e: &End) -> (Label, &'static str) {
    match (e.verdict, e.seen) {
        (Verdict::Forwarded | Verdict::Local, Some(Seen::Client)) => (Label::Good, "kept"),
        (Verdict::Forwarded | Verdict::Local, Some(Seen::Other(_))) => (Label::Bad, "lost"),
        (Verdict::Forwarded | Verdict::Local, _) => (Label::Unsure, "arrives"),
        (Verdict::Dropped, _) => (Label::Bad, "dropped"),
        (Verdict::Rejected, _) => (Label::Bad, "rejected"),
        (Verdict::Queued, _) => (Label::Unsure, "queued"),
        (Verdict::Unknown, _) => (Label::Unsure, "unknown"),
    }
}

fn fate(node: &Node<'_>, r: &Row<'_>) -> String {
    let e = r.end;
    if !matches!(e.verdict, Verdict::Forwarded | Verdict::Local) {
        return reason(node, &e.reason);
    }
    let to = list(&r.servers, SERVERS);
    let see = if r.servers.len() > 1 { "see" } else { "sees" };
    let mut text = match e.verdict {
        Verdict::Local => format!("{to}, this node itself"),
        _ => to,
    };
    match e.seen {
        Some(Seen::Client) => text += &format!(" {see} the client"),
        Some(Seen::Other(a)) => text += &format!(" {see} {a}"),
        _ => text += &format!(" {see} an address that is not known"),
    }
    let answer = match e.reply {
        None => return text,
        Some(Fate::Ok) => "the answer comes back",
        Some(Fate::BypassesNode) => "answers past this node",
        Some(Fate::WrongAddress) => "the answer has an address that the client did not ask",
        Some(Fate::Dropped) => "the answer is dropped",
        Some(Fate::Rejected) => "the answer is rejected",
        Some(Fate::Unknown) => "what becomes of the answer is not known",
    };
    format!("{text}; {answer}")
}

/// What most want to know, first: whose address is kept, and who is not served at all.
fn sentence(all: &Sources) -> String {
    let Some((most, few)) = all.kinds.split_last() else {
        return String::new();
    };
    let rest = summary(most);
    let mut said: Vec<(&'static str, Ranges)> = Vec::new();
    let shown = |k: &&Kind| !k.is_impossible() && k.fare != Fare::Nowhere;
    for k in few.iter().filter(shown) {
        let (what, ranges) = (summary(k), joined(&k.spans));
        if what == rest {
            continue;
        }
        match said.iter_mut().find(|(w, _)| *w == what) {
            Some((_, list)) => list.extend(ranges),
            None => said.push((what, ranges)),
        }
    }
    let mut clauses: Vec<String> = said
        .iter_mut()
        .map(|(what, ranges)| {
            ranges.sort_unstable();
            let who: Vec<String> = ranges.iter().map(|r| of_class(&all.classes, *r)).collect();
            format!("{what}: {}", list(&who, 3))
        })
        .collect();
    // What becomes of most comes last, where it reads as the rest.
    let others = if clauses.is_empty() {
        "all sources"
    } else {
        "all others"
    };
    clauses.push(format!("{rest}: {others}"));
    clauses.join("; ")
}

/// A kind in a word or two.
fn summary(k: &Kind) -> &'static str {
    match &k.fare {
        Fare::Nowhere => return "no way back is known",
        Fare::Unanswered(_) => return "no answer",
        Fare::Ends(_) => {}
    }
    let ends = k.fare.expected();
    let arrives = |e: &&&End| matches!(e.verdict, Verdict::Forwarded | Verdict::Local);
    let arrived = ends.iter().filter(arrives).count();
    if arrived == 0 {
        let all = |v: Verdict| ends.iter().all(|e| e.verdict == v);
        return if all(Verdict::Dropped) {
            "dropped"
        } else if all(Verdict::Rejected) {
            "rejected"
        } else {
            "not delivered"
        };
    }
    let failing = |e: &&End| {
        matches!(
            e.reply,
            Some(Fate::WrongAddress | Fate::Dropped | Fate::Rejected)
        )
    };
    if arrived < ends.len() {
        "delivered in part"
    } else if ends.iter().all(failing) {
        "delivered, but no answer gets back"
    } else if ends.iter().all(|e| e.seen == Some(Seen::Client)) {
        "client IP kept"
    } else if ends.iter().all(|e| matches!(e.seen, Some(Seen::Other(_)))) {
        "client IP lost"
    } else {
        "client IP kept or lost"
    }
}
