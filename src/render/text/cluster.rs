//! One story through several nodes: the answer first, then a section per place, and the way back.

use super::groups::{groups, shares};
use super::paint::{Label, Line, Paper, columns};
use super::{Answer, Detail, MARGIN, Options, head, tree};
use crate::cluster::{Cluster, End, Entry, Found, Hop, Journey};
use crate::explain::names::{self, device, endpoint, full_rule, source};
use crate::explain::{Cause, Code, Fate, Finding, Severity};
use crate::trace::{Origin, Trace, Verdict};
use std::io::{self, Write};

/// Ways that a normal answer shows place by place.
const SHOWN: usize = 4;

/// Writes the answer. `first` is the trace at the place where the packet starts.
pub fn write_cluster(
    out: &mut impl Write,
    cluster: &Cluster<'_>,
    place: usize,
    first: &Trace,
    journeys: &[Journey],
    findings: &[Found],
    options: &Options,
) -> io::Result<()> {
    let Some(p) = cluster.places.get(place) else {
        return Ok(());
    };
    let mut paper = Paper::new(out, options.width, options.colour);
    let paper = &mut paper;
    let trace = first.expected();
    let answer = answer_of(&p.node, &trace, options.detail);
    head::packet(paper, &answer)?;
    let mut at = p.name.to_owned();
    if cluster.announcer(first.packet.dst) == Some(place) {
        at += &format!(", which answers for {}", first.packet.dst);
    }
    let line = Line::new()
        .add(Label::Heading, "at")
        .to(MARGIN)
        .add(Label::Plain, &at);
    paper.line(&line)?;
    let kinds = kinds(cluster, journeys);
    verdict(paper, cluster, first, &kinds)?;
    paper.blank()?;
    table(paper, &kinds)?;
    said(paper, cluster, findings)?;
    for (at, o) in cluster.observed(place, first, journeys) {
        if let Some(p) = cluster.places.get(at) {
            super::observed::observed(paper, &p.node, &o, Some(p.name), options.detail)?;
        }
    }
    if options.detail == Detail::Summary {
        return assumed(paper, cluster, journeys);
    }
    section(paper, p.name, &arrival(&answer), &answer)?;
    let limit = if options.detail == Detail::Detail {
        kinds.len()
    } else {
        SHOWN
    };
    for (n, kind) in kinds.iter().take(limit).enumerate() {
        let which = (kinds.len() > 1).then(|| format!("way {}", n + 1));
        for hop in kind.first.way.hops.iter().skip(1) {
            let stops = kind.first.way.end == End::Stopped
                && std::ptr::eq(hop, kind.first.way.stop().unwrap_or(hop));
            if hop.outer && options.detail != Detail::Detail && !stops {
                continue;
            }
            one(paper, cluster, hop, which.as_deref(), options)?;
        }
        let back = kind.first.back.as_ref().and_then(|b| b.way.as_ref());
        for hop in back.iter().flat_map(|w| &w.hops) {
            let stops = back
                .and_then(|w| w.stop())
                .is_some_and(|s| std::ptr::eq(s, hop));
            if hop.outer && options.detail != Detail::Detail && !stops {
                continue;
            }
            let which = match &which {
                Some(w) => format!("{w}, the answer"),
                None => "the answer".to_owned(),
            };
            one(paper, cluster, hop, Some(&which), options)?;
        }
    }
    if kinds.len() > limit {
        paper.blank()?;
        let text = format!("{} more ways: --detail", kinds.len() - limit);
        paper.line(&Line::new().to(MARGIN).add(Label::Faint, &text))?;
    }
    assumed(paper, cluster, journeys)
}

/// One line per way.
pub fn minimal_cluster(
    out: &mut impl Write,
    cluster: &Cluster<'_>,
    journeys: &[Journey],
) -> io::Result<()> {
    for kind in kinds(cluster, journeys) {
        let line = format!(
            "{} {}  {}  sees {}  answer {}",
            kind.share, kind.verdict, kind.receiver, kind.sees, kind.answer
        );
        writeln!(out, "{}", crate::render::escape(&line))?;
    }
    Ok(())
}

/// Journeys that end alike at one receiver.
struct Kind<'j> {
    first: &'j Journey,
    probability: Option<f64>,
    share: String,
    verdict: &'static str,
    receiver: String,
    sees: String,
    answer: String,
    path: String,
}

fn kinds<'j>(cluster: &Cluster<'_>, journeys: &'j [Journey]) -> Vec<Kind<'j>> {
    let mut list: Vec<Kind<'j>> = Vec::new();
    for j in journeys {
        let seen = j.delivered();
        let stop = j.way.stop().map_or("", |h| cluster.name(h.place));
        let receiver = match (&j.way.end, seen) {
            (End::Stopped, _) => format!("{} on {stop}", j.verdict().name()),
            (End::Unknown(_), _) => format!("not known beyond {stop}"),
            (End::Beyond, Some(v)) => format!("{} past {stop}", endpoint(v.dst, v.dport)),
            (_, Some(v)) => format!("{} on {stop}", endpoint(v.dst, v.dport)),
            (_, None) => stop.to_owned(),
        };
        let sees = seen.map_or_else(|| "-".to_owned(), |v| source(&v));
        let answer = match &j.back {
            None => "-".to_owned(),
            Some(b) => b.fate.name().to_owned(),
        };
        let mut names: Vec<&str> = Vec::new();
        for h in &j.way.hops {
            let name = cluster.name(h.place);
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        let path = names.join(" > ");
        let same = |k: &&mut Kind<'_>| {
            k.receiver == receiver && k.sees == sees && k.answer == answer && k.path == path
        };
        if let Some(k) = list.iter_mut().find(same) {
            k.probability = k.probability.zip(j.way.probability).map(|(a, b)| a + b);
            continue;
        }
        list.push(Kind {
            first: j,
            probability: j.way.probability,
            share: String::new(),
            verdict: j.verdict().name(),
            receiver,
            sees,
            answer,
            path,
        });
    }
    let all: Vec<Option<f64>> = list.iter().map(|k| k.probability).collect();
    for (k, share) in list.iter_mut().zip(shares(&all)) {
        k.share = share;
    }
    list
}

/// The answer to both questions: what the receiver sees, and whether the client gets its answer from the address it asked.
fn verdict<W: Write>(
    paper: &mut Paper<'_, W>,
    cluster: &Cluster<'_>,
    first: &Trace,
    kinds: &[Kind<'_>],
) -> io::Result<()> {
    let arrive = kinds.iter().filter(|k| k.first.arrives()).count();
    let stopped = kinds.iter().filter(|k| k.first.way.end == End::Stopped);
    let client = first
        .packet
        .src
        .map_or_else(|| "the sender".to_owned(), |s| s.to_string());
    let mut seen: Vec<String> = Vec::new();
    let mut lost = false;
    for k in kinds.iter().filter(|k| k.first.arrives()) {
        lost |= k.first.client_ip_kept() == Some(false) && first.packet.origin != Origin::Local;
        let s = k
            .first
            .delivered()
            .and_then(|v| v.src)
            .map_or_else(|| "?".to_owned(), |s| s.to_string());
        if !seen.contains(&s) {
            seen.push(s);
        }
    }
    let (word, label, text) =
        if arrive == 0 && kinds.iter().all(|k| k.first.way.end == End::Stopped) {
            let at: Vec<String> = stopped
                .filter_map(|k| Some(cluster.name(k.first.way.stop()?.place).to_owned()))
                .collect();
            let rejected = kinds.iter().all(|k| k.first.verdict() == Verdict::Rejected);
            let word = if rejected { "REJECTED" } else { "DROPPED" };
            (
                word,
                Label::Bad,
                format!("it does not get past {}", names::list(&at, 3)),
            )
        } else if let Some(why) = kinds.iter().find_map(|k| match &k.first.way.end {
            End::Unknown(why) => Some(why.clone()),
            _ => None,
        }) {
            ("UNKNOWN", Label::Unsure, why)
        } else if arrive < kinds.len() {
            let at: Vec<String> = stopped
                .filter_map(|k| {
                    let name = cluster.name(k.first.way.stop()?.place);
                    Some(format!("{} is {} on {name}", k.share, k.verdict))
                })
                .collect();
            ("MIXED", Label::Bad, names::list(&at, 4))
        } else if lost {
            (
                "LOST",
                Label::Bad,
                format!(
                    "the receiver does not see the client IP {client} but {}",
                    names::list(&seen, 4)
                ),
            )
        } else {
            (
                "KEPT",
                Label::Good,
                format!("the receiver sees {}", names::list(&seen, 4)),
            )
        };
    paper.prose((label, word), (Label::Plain, &text), MARGIN)?;
    let mut answers: Vec<(Fate, &str, Vec<String>)> = Vec::new();
    for (n, k) in kinds.iter().enumerate() {
        let Some(b) = &k.first.back else { continue };
        match answers
            .iter_mut()
            .find(|(f, r, _)| *f == b.fate && *r == b.reason)
        {
            Some((_, _, l)) => l.push((n + 1).to_string()),
            None => answers.push((b.fate, &b.reason, vec![(n + 1).to_string()])),
        }
    }
    let alone = answers.len() == 1;
    for (i, (fate, reason, letters)) in answers.iter().enumerate() {
        let label = match fate {
            Fate::Ok => Label::Good,
            Fate::Unknown | Fate::BypassesNode => Label::Unsure,
            _ => Label::Bad,
        };
        let head = if i == 0 { "ANSWER" } else { "" };
        let text = match (fate, alone) {
            (Fate::Ok | Fate::WrongAddress, true) => reason.to_string(),
            (Fate::Ok | Fate::WrongAddress, false) => {
                format!("way {}: {reason}", names::list(letters, 8))
            }
            (_, true) => format!("{}: {reason}", fate.name()),
            (_, false) => format!("way {}: {}: {reason}", names::list(letters, 8), fate.name()),
        };
        paper.prose((label, head), (Label::Plain, &text), MARGIN)?;
    }
    Ok(())
}

fn table<W: Write>(paper: &mut Paper<'_, W>, kinds: &[Kind<'_>]) -> io::Result<()> {
    let receivers = kinds.iter().map(|k| columns(&k.receiver)).max();
    let seen = kinds.iter().map(|k| columns(&k.sees)).max();
    let receiver = receivers.unwrap_or(0).max(8) + 2;
    let sees = seen.unwrap_or(0).max(4) + 2;
    let at = MARGIN + 8;
    let line = Line::new()
        .to(at)
        .add(Label::Faint, "receiver")
        .to(at + receiver)
        .add(Label::Faint, "sees")
        .to(at + receiver + sees)
        .add(Label::Faint, "answer");
    paper.line(&line)?;
    for (n, k) in kinds.iter().enumerate() {
        let label = match k.first.back.as_ref().map(|b| b.fate) {
            Some(Fate::Ok) => Label::Good,
            None | Some(Fate::Unknown | Fate::BypassesNode) => Label::Unsure,
            Some(_) => Label::Bad,
        };
        let line = Line::new()
            .add(Label::Heading, &format!("way {}", n + 1))
            .to(MARGIN)
            .add(Label::Plain, &k.share)
            .to(at)
            .add(Label::Plain, &k.receiver)
            .to(at + receiver)
            .add(Label::Plain, &k.sees)
            .to(at + receiver + sees)
            .add(label, &k.answer);
        paper.line(&line)?;
    }
    Ok(())
}

/// Which node sees what is told of all of them alone.
fn tells_of_nodes(f: &Finding) -> bool {
    matches!(f.code, Code::EbpfDsr | Code::EbpfDecides)
}

fn said<W: Write>(
    paper: &mut Paper<'_, W>,
    cluster: &Cluster<'_>,
    findings: &[Found],
) -> io::Result<()> {
    for (place, f) in findings
        .iter()
        .filter(|(_, f)| f.severity != Severity::Info || tells_of_nodes(f))
    {
        let Some(p) = cluster.places.get(*place) else {
            continue;
        };
        paper.blank()?;
        let (label, head) = match f.severity {
            Severity::Error => (Label::Bad, "why"),
            Severity::Warning => (Label::Unsure, "why"),
            Severity::Info => (Label::Heading, "also"),
        };
        paper.prose((label, head), (Label::Plain, &f.title), MARGIN)?;
        for c in f.causes.iter().take(6) {
            let text = match c {
                Cause::Rule(h) => {
                    let at = p.node.place(names::place_of(&p.node, *h));
                    format!("{} ({}/{at})", full_rule(&p.node, *h), p.name)
                }
                Cause::Policy { table, chain } => format!(
                    "policy of {} {} ({})",
                    names::table_full(&p.node, *table),
                    names::chain(&p.node, *table, *chain),
                    p.name
                ),
                Cause::Sysctl { name, value, .. } => {
                    let value = value.map_or_else(|| "?".to_owned(), |v| v.to_string());
                    format!("{name} = {value} ({})", p.name)
                }
                Cause::Route { at }
                | Cause::Set { at, .. }
                | Cause::Ipvs { at, .. }
                | Cause::Conntrack { at }
                | Cause::Program { at }
                | Cause::Map { at }
                | Cause::Packet { at }
                | Cause::Object { at, .. } => {
                    format!("{}/{}", p.name, p.node.place(*at))
                }
            };
            paper.prose((Label::Heading, ""), (Label::Rule, &text), MARGIN + 2)?;
        }
        let head = if f.severity == Severity::Info {
            ""
        } else {
            "fix"
        };
        for h in f.help.iter().take(2) {
            paper.prose((Label::Heading, head), (Label::Plain, h), MARGIN)?;
        }
    }
    Ok(())
}

fn answer_of<'t, 'n, 'a>(
    node: &'n crate::node::Node<'a>,
    trace: &'t Trace,
    detail: Detail,
) -> Answer<'t, 'n, 'a> {
    Answer {
        node,
        trace,
        findings: &[],
        groups: groups(&trace.outcomes),
        notes: Vec::new(),
        detail,
    }
}

fn one<W: Write>(
    paper: &mut Paper<'_, W>,
    cluster: &Cluster<'_>,
    hop: &Hop,
    which: Option<&str>,
    options: &Options,
) -> io::Result<()> {
    let Some(p) = cluster.places.get(hop.place) else {
        return Ok(());
    };
    let answer = answer_of(&p.node, &hop.trace, options.detail);
    let mut how = match &hop.entry {
        Entry::Tunnel {
            kind,
            src: Some(src),
            dst: Some(dst),
        } => format!("{}, out of {kind} {src} > {dst}", arrival(&answer)),
        Entry::Tunnel { kind, .. } => format!("{}, out of {kind}", arrival(&answer)),
        Entry::Routed { via } => format!("{}, routed by {via}", arrival(&answer)),
        Entry::Start | Entry::Link => arrival(&answer),
    };
    if hop.outer {
        how += ", the tunnel's outer packet";
    }
    if let Some(w) = which {
        how = format!("{w}: {how}");
    }
    section(paper, p.name, &how, &answer)
}

/// How the packet came to a place.
fn arrival(answer: &Answer<'_, '_, '_>) -> String {
    let p = &answer.trace.packet;
    let ends = format!(
        "{} > {}",
        p.src
            .map_or_else(|| "*".to_owned(), |s| endpoint(s, p.sport)),
        endpoint(p.dst, p.dport)
    );
    match p.origin {
        Origin::Device(d) => format!("{ends} in by {}", device(answer.node, d)),
        Origin::Local => format!("{ends} sent there"),
    }
}

fn section<W: Write>(
    paper: &mut Paper<'_, W>,
    name: &str,
    how: &str,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    paper.blank()?;
    let indent = MARGIN.max(columns(name) + 2);
    paper.prose((Label::Heading, name), (Label::Plain, how), indent)?;
    tree::tree(paper, answer)
}

fn assumed<W: Write>(
    paper: &mut Paper<'_, W>,
    cluster: &Cluster<'_>,
    journeys: &[Journey],
) -> io::Result<()> {
    let mut list: Vec<&str> = Vec::new();
    for j in journeys {
        let back = j.back.iter().flat_map(|b| b.way.iter().chain(&b.also));
        for way in std::iter::once(&j.way).chain(back) {
            let theirs = way.hops.iter().filter_map(Hop::outcome);
            for a in theirs.flat_map(|o| &o.assumptions).chain(&way.assumed) {
                if !list.contains(&a.as_str()) {
                    list.push(a);
                }
            }
        }
    }
    if !list.is_empty() {
        paper.blank()?;
    }
    for (i, a) in list.iter().take(8).enumerate() {
        let head = if i == 0 { "assumed" } else { "" };
        paper.prose((Label::Heading, head), (Label::Plain, a), MARGIN)?;
    }
    lacking(paper, cluster, journeys)
}

/// What was not captured where something is not sure for the lack of it, with the node where the command shows it.
fn lacking<W: Write>(
    paper: &mut Paper<'_, W>,
    cluster: &Cluster<'_>,
    journeys: &[Journey],
) -> io::Result<()> {
    let mut list: Vec<String> = Vec::new();
    for j in journeys {
        let back = j.back.iter().flat_map(|b| b.way.iter().chain(&b.also));
        let hops = std::iter::once(&j.way).chain(back).flat_map(|w| &w.hops);
        for (hop, o) in hops.filter_map(|h| Some((h, h.outcome()?))) {
            if o.probability.is_some() && o.verdict != Verdict::Unknown {
                continue;
            }
            for m in &o.missing {
                let name = cluster.name(hop.place);
                let text = format!("{}: on {name} run {}", m.what, m.command);
                if !list.contains(&text) {
                    list.push(text);
                }
            }
        }
    }
    for (i, text) in list.iter().take(4).enumerate() {
        let head = if i == 0 { "unknown" } else { "" };
        paper.prose((Label::Unsure, head), (Label::Plain, text), MARGIN)?;
    }
    Ok(())
}
