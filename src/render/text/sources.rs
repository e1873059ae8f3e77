//! Sources, and what becomes of packets from them.

use super::groups::shares;
use super::paint::{Label, Line, Paper};
use super::{MARGIN, Options, parting};
use crate::explain::Fate;
use crate::explain::names::{device, endpoint, list};
use crate::explain::sources::{self, End, Fare, Incoming, Kind, Parting, Seen, Sources};
use crate::node::Node;
use crate::render::ranges::{incoming, listed};
use crate::render::reason;
use crate::trace::{Packet, Trace, Verdict};
use std::io::{self, Write};

/// Ranges shown of a kind.
const RANGES: usize = 12;

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
        (Label::Plain, &sentence(&all.kinds)),
        MARGIN,
    )?;
    let base = all.kinds.last().and_then(|k| example(node, all, k));
    let count = all.kinds.len();
    for (i, kind) in all.kinds.iter().enumerate() {
        paper.blank()?;
        let others = i + 1 == count;
        let ranges = if others && count > 1 {
            "all others".to_owned()
        } else {
            listed(kind, RANGES)
        };
        let text = format!("{ranges}  ({})", comes_in(node, kind));
        let head = (i + 1).to_string();
        paper.prose((Label::Heading, &head), (Label::Heading, &text), MARGIN)?;
        ends(paper, node, kind)?;
        if others {
            continue;
        }
        let Some(base) = &base else { continue };
        let Some(own) = example(node, all, kind) else {
            continue;
        };
        match sources::parting(&own, base) {
            Some(p) => blame(paper, node, &p)?,
            None => {
                if let Some(p) = of_answers(node, &own, base) {
                    let line = Line::new().to(MARGIN).add(
                        Label::Faint,
                        "the packets go one way, their answers do not:",
                    );
                    paper.line(&line)?;
                    blame(paper, node, &p)?;
                }
            }
        }
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
            crate::explain::Answer::Elsewhere { .. } => None,
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
fn blame<W: Write>(paper: &mut Paper<'_, W>, node: &Node<'_>, p: &Parting) -> io::Result<()> {
    let (who, what, text) = match p.rule {
        Some((0, hit)) => ("these", "match", parting::rule_lines(node, hit)),
        Some((_, hit)) => ("the others", "match", parting::rule_lines(node, hit)),
        None => {
            let [own, _] = &p.sides;
            ("these", "", parting::next(node, own.next.as_ref()))
        }
    };
    if p.devices && p.common == 0 && p.rule.is_none() {
        let line = Line::new().to(MARGIN).add(
            Label::Faint,
            "they come in by another device than the others",
        );
        return paper.line(&line);
    }
    let text = if what.is_empty() {
        format!("unlike the others: {text}")
    } else {
        format!("{who} {what} {text}")
    };
    paper.prose((Label::Plain, ""), (Label::Faint, &text), MARGIN)
}

/// `in ens4, cali1 and 3 more devices`.
fn comes_in(node: &Node<'_>, kind: &Kind) -> String {
    let names: Vec<String> = incoming(&kind.spans)
        .iter()
        .map(|i| match i {
            Incoming::Device(d) => format!("in {}", device(node, *d)),
            Incoming::Node => "sent by this node".to_owned(),
            Incoming::Nowhere => "no route back to them".to_owned(),
        })
        .collect();
    list(&names, 3)
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
    let mut text = match e.verdict {
        Verdict::Local => format!("{to}, this node itself"),
        _ => to,
    };
    match e.seen {
        Some(Seen::Client) => text += " sees the client",
        Some(Seen::Other(a)) => text += &format!(" sees {a}"),
        _ => text += " sees an address that is not known",
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
fn sentence(kinds: &[Kind]) -> String {
    let mut said: Vec<(&'static str, Vec<String>)> = Vec::new();
    let count = kinds.len();
    for (i, k) in kinds.iter().enumerate() {
        let who = if i + 1 < count {
            listed(k, 2)
        } else if count == 1 {
            "all sources".to_owned()
        } else {
            "all others".to_owned()
        };
        let what = summary(k);
        match said.iter_mut().find(|(w, _)| *w == what) {
            Some((_, list)) => list.push(who),
            None => said.push((what, vec![who])),
        }
    }
    // What becomes of most comes last, where it reads as the rest.
    let clauses: Vec<String> = said
        .iter()
        .map(|(what, who)| {
            let last = who.last().filter(|w| w.starts_with("all ")).cloned();
            let who = match last {
                Some(rest) => rest,
                None => list(who, 3),
            };
            format!("{what}: {who}")
        })
        .collect();
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
