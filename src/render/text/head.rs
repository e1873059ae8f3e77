//! The packet, and what became of it.

use super::groups::{Class, shares};
use super::paint::{Label, Line, Paper};
use super::{Answer, MARGIN};
use crate::explain::Code;
use crate::explain::names::{self, device, endpoint};
use crate::explain::objects;
use crate::explain::source::receiver;
use crate::trace::{Origin, Outcome, Packet, StepKind};
use std::fmt::Write as _;
use std::io::{self, Write};

/// `tcp 10.10.6.91:* > 172.19.100.2:80  syn  in ens4  new`, and the Service, where rules name it.
pub(super) fn packet<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    let p = &answer.trace.packet;
    let src = client(answer).unwrap_or_else(|| "*".to_owned());
    let mut text = format!("{} {src} > {}", protocol(p), endpoint(p.dst, p.dport));
    let flags: Vec<&str> = p.flags.names().collect();
    if !flags.is_empty() {
        let _ = write!(text, "  {}", flags.join(","));
    }
    match p.origin {
        Origin::Device(d) => {
            let _ = write!(text, "  in {}", device(answer.node, d));
        }
        Origin::Local => text.push_str("  sent by this node"),
    }
    if let Some(state) = state(answer.trace.outcomes.first()) {
        let _ = write!(text, "  {state}");
    }
    if p.mark != 0 {
        let _ = write!(text, "  mark {:#x}", p.mark);
    }
    let line = Line::new()
        .add(Label::Heading, "packet")
        .to(MARGIN)
        .add(Label::Plain, &text);
    paper.line(&line)?;
    let service = answer.trace.outcomes.iter().take(64).find_map(|o| {
        let hits: Vec<_> = o.hits().copied().collect();
        objects::service_name(answer.node, p, &hits).or_else(|| {
            // Maps refuse without a rule that names the Service.
            let crate::trace::Reason::Rule(hit) = o.reason else {
                return None;
            };
            crate::explain::service_refused(answer.node, p, hit)
        })
    });
    if let Some(who) = objects::sender(answer.node, p) {
        let text = objects::called(&who);
        paper.prose((Label::Heading, "from"), (Label::Plain, &text), MARGIN)?;
    }
    if let Some(s) = service {
        let text = match objects::asked(answer.node, p) {
            Some(o) => format!("{s}, {}", objects::described(&o, p.dst)),
            None => s,
        };
        paper.prose((Label::Heading, "service"), (Label::Plain, &text), MARGIN)?;
    }
    Ok(())
}

fn protocol(p: &Packet) -> String {
    match p.icmp {
        Some((t, c)) => format!("{} type {t} code {c}", p.proto),
        None => p.proto.to_string(),
    }
}

fn state(o: Option<&Outcome>) -> Option<&'static str> {
    o?.steps.iter().find_map(|s| match s.kind {
        StepKind::Conntrack { state, reply, .. } => Some(if reply {
            "an answer of a known connection"
        } else {
            state.name()
        }),
        _ => None,
    })
}

/// The source with its port; the kernel's choice where the packet names none.
fn client(answer: &Answer<'_, '_, '_>) -> Option<String> {
    let p = &answer.trace.packet;
    Some(endpoint(client_address(answer)?, p.sport))
}

fn client_address(answer: &Answer<'_, '_, '_>) -> Option<std::net::IpAddr> {
    answer.trace.packet.src.or_else(|| {
        answer
            .trace
            .outcomes
            .first()?
            .steps
            .iter()
            .find_map(|s| match s.kind {
                StepKind::Address { addr, .. } => addr,
                _ => None,
            })
    })
}

/// The verdict's word and its sentence, and beside them how to read more: it never takes a line of its own, but the empty one before.
pub(super) fn verdict<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    let (word, label, text) = words(answer);
    let asides = answer.findings.first().map_or_else(Vec::new, |f| {
        vec![format!("nfwhy explain {}", f.code), f.code.to_string()]
    });
    let (head, body) = ((label, word), (Label::Plain, text.as_str()));
    match asides.first() {
        Some(hint) if !paper.has_room(head, body, MARGIN, &asides) => paper.aside(hint)?,
        _ => paper.blank()?,
    }
    paper.prose_with_aside(head, body, MARGIN, &asides)
}

/// The word for a packet that arrives somewhere, and not where it should, or whose answer does not.
fn astray(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::AnswerDropped | Code::AnswerNotTranslated | Code::VirtualSource => "one-way",
        Code::PortOfAnyAddress
        | Code::HostportBeforeService
        | Code::LeftoverMode
        | Code::HandedToOvn => "astray",
        Code::NoNeighbour => "stuck",
        Code::Unserved | Code::KubePortMissing => Code::Unserved.name(),
        _ => return None,
    })
}

/// Whether the verdict line holds the finding's title.
pub(super) fn says(answer: &Answer<'_, '_, '_>, title: &str) -> bool {
    let (_, _, text) = words(answer);
    !text.is_empty() && title.ends_with(&text)
}

fn words(answer: &Answer<'_, '_, '_>) -> (&'static str, Label, String) {
    let local = answer.trace.packet.origin == Origin::Local;
    let classes: Vec<Class> = answer
        .groups
        .iter()
        .filter_map(|g| g.first(&answer.trace.outcomes))
        .map(|o| Class::of(o, local))
        .collect();
    let first = answer.findings.first();
    let arrives = classes
        .iter()
        .all(|c| !matches!(c, Class::Dropped | Class::Rejected | Class::Unknown));
    if let Some((f, word)) = first.and_then(|f| Some((f, astray(f.code)?))) {
        let always = matches!(
            f.code,
            Code::AnswerDropped | Code::Unserved | Code::KubePortMissing
        );
        if always || arrives {
            return (word, Label::Bad, f.title.clone());
        }
    }
    let Some(class) = classes.first().copied() else {
        return ("unknown", Label::Unsure, "the packet has no outcome".into());
    };
    let told: Vec<Class> = classes
        .iter()
        .copied()
        .filter(|c| *c != Class::Unknown)
        .collect();
    if let Some(one) = told.first().copied()
        && told.len() < classes.len()
        && told.iter().all(|c| *c == one)
        && matches!(one, Class::Kept | Class::Lost | Class::Sent)
        && let Some(rest) = untold(answer)
    {
        let text = format!("{}; {rest}", sentence(answer, one));
        return (one.word(), Label::Unsure, text);
    }
    if classes.iter().any(|c| *c != class) {
        return mixed(answer, &classes);
    }
    if let Some(f) = first.filter(|f| matches!(f.code, Code::StaleConntrack | Code::Answer)) {
        let label = if f.code == Code::Answer {
            Label::Good
        } else {
            Label::Bad
        };
        let word = match f.code {
            Code::Answer => "answer",
            _ => "stale",
        };
        return (word, label, f.title.clone());
    }
    let sentence = sentence(answer, class);
    (class.word(), label(class), sentence)
}

/// Where all that is not known is the way to servers that are known.
fn untold(answer: &Answer<'_, '_, '_>) -> Option<String> {
    let mut servers: Vec<String> = Vec::new();
    let mut why = None;
    for o in &answer.trace.outcomes {
        if o.verdict != crate::trace::Verdict::Unknown {
            continue;
        }
        let ip = o.dnat.as_ref()?.ip?.to_string();
        if !servers.contains(&ip) {
            servers.push(ip);
        }
        if let crate::trace::Reason::Unknown(text) = &o.reason {
            why = Some(text.clone());
        }
    }
    let why = why?;
    let servers = names::list(&servers, 4);
    Some(match why.strip_prefix("where it goes is not known: ") {
        Some(why) => format!("where packets to {servers} go is not known: {why}"),
        None => format!("of {servers} it cannot be told: {why}"),
    })
}

fn label(class: Class) -> Label {
    match class {
        Class::Dropped | Class::Rejected | Class::Lost => Label::Bad,
        Class::Kept | Class::Sent | Class::Local => Label::Good,
        Class::Queued | Class::Unknown => Label::Unsure,
    }
}

fn sentence(answer: &Answer<'_, '_, '_>, class: Class) -> String {
    let outcomes = &answer.trace.outcomes;
    let arrived = outcomes
        .iter()
        .filter(|o| o.verdict != crate::trace::Verdict::Unknown);
    let who = receiver(answer.node, arrived);
    let client = client_address(answer).map_or_else(|| "?".to_owned(), |c| c.to_string());
    match class {
        Class::Lost => format!("{who} does not see the client IP {client}"),
        Class::Kept => format!("{who} sees the client IP {client}"),
        Class::Sent => {
            let mut seen: Vec<String> = Vec::new();
            for d in outcomes.iter().filter_map(|o| o.delivered) {
                let s = d.src.map_or_else(|| "?".to_owned(), |s| s.to_string());
                if !seen.contains(&s) {
                    seen.push(s);
                }
            }
            format!("{who} sees {}", names::list(&seen, 4))
        }
        Class::Local => {
            if outcomes.iter().any(|o| o.dnat.is_some()) {
                "delivered to this node, at another address than the one asked".into()
            } else {
                "delivered to this node, if a process listens there".into()
            }
        }
        Class::Dropped | Class::Rejected | Class::Queued | Class::Unknown => {
            let title = answer
                .findings
                .first()
                .map_or("no rule or setting is to blame", |f| f.title.as_str());
            strip_word(title, class.word())
        }
    }
}

/// The title without the word that stands before it already.
fn strip_word(title: &str, word: &str) -> String {
    title
        .strip_prefix(word)
        .map_or(title, |t| t.trim_start_matches([':', ' ', ',']))
        .to_owned()
}

fn mixed(answer: &Answer<'_, '_, '_>, classes: &[Class]) -> (&'static str, Label, String) {
    let mut sums: Vec<(Class, Option<f64>)> = Vec::new();
    for (g, c) in answer.groups.iter().zip(classes) {
        match sums.iter_mut().find(|(d, _)| d == c) {
            Some((_, p)) => *p = p.zip(g.probability).map(|(a, b)| a + b),
            None => sums.push((*c, g.probability)),
        }
    }
    let bad = sums.iter().any(|(c, _)| label(*c) == Label::Bad);
    if sums.iter().any(|(_, p)| p.is_none()) {
        let words: Vec<&str> = sums.iter().map(|(c, _)| c.word()).collect();
        let what: Vec<String> = answer
            .assumptions()
            .iter()
            .filter_map(|(who, a)| who.as_ref().map(|w| format!("{w} if {a}")))
            .collect();
        // More conditions than one can hold in mind are told by what would settle them (`why`).
        let why = match what.len() {
            1..=3 => names::list(&what, 3),
            _ => "it rests on what was not captured".into(),
        };
        return (
            "depends",
            Label::Unsure,
            format!("{}: {why}", words.join(" or ")),
        );
    }
    let p: Vec<_> = sums.iter().map(|(_, p)| *p).collect();
    let parts: Vec<String> = sums
        .iter()
        .zip(shares(&p))
        .map(|((c, _), share)| format!("{share} {}", c.word()))
        .collect();
    let label = if bad { Label::Bad } else { Label::Good };
    ("mixed", label, parts.join(", "))
}
