//! The cause, what else is to be said, and what to try.

use super::groups::letter;
use super::paint::{Label, Line, Paper, columns};
use super::{Answer, Detail, MARGIN, rule};
use crate::explain::marks::{because_of_mark, only_marks};
use crate::explain::names;
use crate::explain::owners::{self, Claim};
use crate::explain::source::how_chosen;
use crate::explain::story::{Called, last_of, rule as rule_of};
use crate::explain::{self, Cause, Code, Finding, Severity, Try};
use crate::render::escape;
use crate::trace::{Effect, Hit, NatKind, Origin, Verdict};
use nfwhy_parsers::iptables::Target;
use std::io::{self, Write};

/// Causes shown in a normal answer.
const CAUSES: usize = 5;

/// Rules that `why` shows, in its order.
pub(super) fn numbered(answer: &Answer<'_, '_, '_>) -> Vec<Hit> {
    // Rules that did not match are not on the way.
    let Some(f) = answer.findings.first().filter(|f| f.code != Code::Unserved) else {
        return Vec::new();
    };
    shown(answer, f)
        .into_iter()
        .filter_map(|c| match c {
            Cause::Rule(h) => Some(*h),
            _ => None,
        })
        .collect()
}

/// The causes worth a line: not the jumps on the way, unless there is nothing else, and not the rule of a chain that only
/// marks when the jump to it is named.
fn shown<'f>(answer: &Answer<'_, '_, '_>, f: &'f Finding) -> Vec<&'f Cause> {
    let all = answer.detail == Detail::Detail;
    let stories = answer.stories();
    let main: Vec<&Cause> = f
        .causes
        .iter()
        .filter(|c| match c {
            Cause::Rule(h) => all || is_main(answer, &stories, f, *h),
            _ => true,
        })
        .collect();
    let main = if main.is_empty() && f.severity != Severity::Info {
        f.causes.iter().collect()
    } else {
        main
    };
    main.into_iter()
        .take(if all { usize::MAX } else { CAUSES })
        .collect()
}

fn is_main(answer: &Answer<'_, '_, '_>, stories: &[Vec<Called>], f: &Finding, hit: Hit) -> bool {
    if marked_by(answer, stories, hit).is_some() {
        return true;
    }
    let lost = f.code == Code::ClientIpLost;
    let dnat = |h: Hit| {
        rule_of(answer.node, h)
            .is_some_and(|r| matches!(r.target, Target::Dnat(_) | Target::Redirect(_)))
    };
    if lost && dnat(hit) {
        return false;
    }
    match called(stories, hit) {
        Some(c) => {
            let first = f.title.contains("returns before that")
                && f.causes.first() == Some(&Cause::Rule(hit));
            let spared = c.effect == Effect::Return
                && (first || !names::chain(answer.node, hit.table, hit.chain).starts_with("KUBE-"));
            (spared || !matches!(c.effect, Effect::Jump | Effect::Return))
                && (c.stack.is_empty() || !only_marks(answer.node, hit.table, hit.chain))
        }
        // Of the answer's way, or of an outcome that ends like another.
        None => true,
    }
}

fn called(stories: &[Vec<Called>], hit: Hit) -> Option<&Called> {
    stories
        .iter()
        .find_map(|s| last_of(s, hit).and_then(|i| s.get(i)))
}

/// The marking rule that a jump leads to straight away.
fn marked_by<'s>(
    answer: &Answer<'_, '_, '_>,
    stories: &'s [Vec<Called>],
    hit: Hit,
) -> Option<&'s Called> {
    stories.iter().flatten().find(|c| {
        c.stack.last() == Some(&hit)
            && matches!(c.effect, Effect::Mark { .. })
            && only_marks(answer.node, c.hit.table, c.hit.chain)
    })
}

/// What a rule did, in a few words.
pub(super) fn effect(c: &Called) -> String {
    match &c.effect {
        Effect::None | Effect::Jump => String::new(),
        Effect::Return => "returns".into(),
        Effect::Mark { old, new } if old == new => format!("mark stays {new:#x}"),
        Effect::Mark { old, new } => format!("mark {old:#x} -> {new:#x}"),
        Effect::ConnMark { old, new } => format!("connmark {old:#x} -> {new:#x}"),
        Effect::Nat { kind, to } => match (c.rewrote_source(), kind) {
            (Some(_), _) => format!("src -> {}", address_only(to)),
            (None, NatKind::Redirect) => format!("redirected to {}", names::destination(to)),
            (None, _) => format!("dst -> {}", names::destination(to)),
        },
        Effect::Accept => "accepted".into(),
        Effect::Drop => "dropped".into(),
        Effect::Reject => "rejected".into(),
        Effect::Notrack => "not tracked".into(),
    }
}

fn address_only(to: &crate::trace::View) -> String {
    match (to.src, to.sport.known()) {
        (None, _) => "an address not captured".into(),
        (Some(s), Some(_)) => names::endpoint(s, to.sport),
        (Some(s), None) => s.to_string(),
    }
}

/// Writes the first finding and its causes.
pub(super) fn why<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    let Some(f) = answer.findings.first() else {
        return Ok(());
    };
    // Where the verdict line says it already, only the lines follow.
    let said = !matches!(f.code, Code::ClientIpLost | Code::ClientIpKept)
        && super::head::says(answer, &f.title);
    if said {
        if f.causes.is_empty() {
            return addresses(paper, answer);
        }
        paper.blank()?;
        paper.line(&Line::new().add(Label::Heading, "why"))?;
    } else {
        paper.blank()?;
        paper.prose((Label::Heading, "why"), (Label::Plain, &f.title), MARGIN)?;
    }
    let stories = answer.stories();
    let causes = shown(answer, f);
    let lines: Vec<(String, String, String)> =
        causes.iter().map(|c| cause(answer, &stories, c)).collect();
    let claims: Vec<Option<Claim>> = causes
        .iter()
        .map(|c| owners::of_cause(answer.node, c))
        .collect();
    cause_lines(paper, &lines, &claims)?;
    addresses(paper, answer)
}

/// Writes lines of place, rule and note, and behind them whose each is.
fn cause_lines<W: Write>(
    paper: &mut Paper<'_, W>,
    lines: &[(String, String, String)],
    claims: &[Option<Claim>],
) -> io::Result<()> {
    let widest = lines
        .iter()
        .map(|(p, ..)| columns(&escape(p)))
        .max()
        .unwrap_or(0)
        .min(40);
    let notes = lines
        .iter()
        .map(|(.., n)| columns(&escape(n)))
        .max()
        .unwrap_or(0);
    let width = paper.width;
    // Notes stand in one column where the rules leave room for that, else behind their own rule.
    let texts: Vec<String> = lines
        .iter()
        .map(|(_, text, note)| {
            let gap = if note.is_empty() { 0 } else { 2 };
            let own = width.saturating_sub(widest + 4 + gap + columns(&escape(note)));
            let short = rule::without_comment(text);
            match columns(text) + widest + 4 + 2 + notes {
                fits if fits <= width => text.clone(),
                _ => rule::fit(&short, own.max(20), 2),
            }
        })
        .collect();
    let column = texts.iter().map(|t| columns(t)).max().unwrap_or(0) + widest + 4 + 2;
    // Owners stand behind the notes where all of them fit there, else together on a line of their own: a rule is not cut for them.
    let behind = column + if notes == 0 { 0 } else { notes + 2 };
    let beside = claims
        .iter()
        .flatten()
        .all(|c| behind + columns(&c.to_string()) + 2 <= width);
    for (((place, _, note), text), claim) in lines.iter().zip(&texts).zip(claims) {
        let last = width.saturating_sub(columns(&escape(note)));
        let mut line = Line::new()
            .to(2)
            .add_cut(Label::Place, place, widest)
            .to(widest + 4)
            .add(Label::Rule, text)
            .to(column.min(last))
            .add(Label::Effect, note);
        if let Some(c) = claim.filter(|_| beside) {
            line = line.to(behind).add(Label::Faint, &format!("({c})"));
        }
        paper.line(&line)?;
    }
    if beside {
        return Ok(());
    }
    let list = claim_list(lines, claims);
    paper.prose((Label::Plain, ""), (Label::Faint, &list), 2)
}

/// `[1] and [3] kube-proxy: one endpoint; [2] Calico`.
fn claim_list(lines: &[(String, String, String)], claims: &[Option<Claim>]) -> String {
    let mut groups: Vec<(Claim, Vec<String>)> = Vec::new();
    for ((place, _, note), claim) in lines.iter().zip(claims) {
        let Some(claim) = claim else { continue };
        let number = note.split(' ').next().filter(|n| n.starts_with('['));
        let name = number.unwrap_or(place).to_owned();
        match groups.iter_mut().find(|(c, _)| c == claim) {
            Some((_, names)) => names.push(name),
            None => groups.push((*claim, vec![name])),
        }
    }
    groups
        .iter()
        .map(|(claim, names)| format!("{} {claim}", names::list(names, 5)))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Place, the line itself, a note.
fn cause(
    answer: &Answer<'_, '_, '_>,
    stories: &[Vec<Called>],
    c: &Cause,
) -> (String, String, String) {
    let node = answer.node;
    let text_at = |at| {
        crate::render::json::line_text(node, at)
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text_at = |at| escape(&text_at(at));
    match c {
        Cause::Rule(hit) => {
            let number = answer
                .note(*hit)
                .map_or_else(String::new, |n| format!("[{n}] "));
            (
                node.place(names::place_of(node, *hit)),
                rule::line(node, *hit),
                format!("{number}{}", note(answer, stories, *hit)),
            )
        }
        Cause::Policy { table, chain } => {
            let t = node.netfilter.view(*table);
            let place = t.map_or_else(String::new, |t| node.place(t.chain_origin(*chain)));
            (
                place,
                format!(
                    "{} {} policy DROP",
                    names::table_full(node, *table),
                    names::chain(node, *table, *chain)
                ),
                String::new(),
            )
        }
        Cause::Sysctl { name, value, at } => (
            node.place(*at),
            match value {
                Some(v) => format!("{name} = {v}"),
                None => format!("{name} (not captured)"),
            },
            String::new(),
        ),
        Cause::Route { at }
        | Cause::Ipvs { at, .. }
        | Cause::Conntrack { at }
        | Cause::Program { at }
        | Cause::Packet { at }
        | Cause::Map { at } => (node.place(*at), text_at(*at), String::new()),
        Cause::Set { name, at } => (node.place(*at), format!("set {name}"), String::new()),
        Cause::Object { name, at } => (
            node.place(*at),
            format!("{name}: {}", text_at(*at).trim_end_matches(',')),
            String::new(),
        ),
    }
}

fn note(answer: &Answer<'_, '_, '_>, stories: &[Vec<Called>], hit: Hit) -> String {
    if let Some(m) = marked_by(answer, stories, hit) {
        return effect(m);
    }
    let found = stories
        .iter()
        .find_map(|s| last_of(s, hit).map(|i| (s.as_slice(), i)));
    let Some((story, at)) = found else {
        return String::new();
    };
    let Some(c) = story.get(at) else {
        return String::new();
    };
    if matches!(c.effect, Effect::Nat { .. } | Effect::Drop | Effect::Reject)
        && let Some(p) = because_of_mark(answer.node, story, at)
    {
        let setters: Vec<String> = p
            .setters
            .iter()
            .filter_map(|i| story.get(*i))
            .filter_map(|s| {
                answer
                    .note(crate::explain::marks::decider(answer.node, s))
                    .map(|n| format!("[{n}]"))
            })
            .collect();
        if !setters.is_empty() {
            return format!("because {} set {:#x}", setters.join(" or "), p.bits);
        }
    }
    if c.rewrote_source().is_some() {
        let mut all: Vec<String> = stories
            .iter()
            .filter_map(|s| last_of(s, hit).and_then(|i| s.get(i)))
            .map(effect)
            .collect();
        all.dedup();
        if all.len() > 1 {
            return "src -> as below".into();
        }
    }
    if c.rewrote_destination() && answer.trace.outcomes.len() > 1 {
        return String::new();
    }
    effect(c)
}

/// How the address was chosen that the receiver sees.
fn addresses<W: Write>(paper: &mut Paper<'_, W>, answer: &Answer<'_, '_, '_>) -> io::Result<()> {
    let mut list: Vec<(Vec<String>, String)> = Vec::new();
    for (n, g) in answer.groups.iter().enumerate() {
        let Some((text, at)) = g
            .first(&answer.trace.outcomes)
            .and_then(|o| how_chosen(answer.node, o))
        else {
            continue;
        };
        let place = answer.node.place(at);
        let text = if place.is_empty() {
            text
        } else {
            format!("{text} ({place})")
        };
        match list.iter_mut().find(|(_, t)| *t == text) {
            Some((l, _)) => l.push(letter(n)),
            None => list.push((vec![letter(n)], text)),
        }
    }
    let one = answer.groups.len() == 1;
    for (letters, text) in list.iter().take(4) {
        let text = if one {
            text.clone()
        } else {
            format!("{}: {text}", names::list(letters, 4))
        };
        paper.prose((Label::Plain, ""), (Label::Plain, &text), 2)?;
    }
    if list.len() > 4 {
        let line = format!("and {} other addresses", list.len() - 4);
        paper.line(&Line::new().to(2).add(Label::Faint, &line))?;
    }
    Ok(())
}

/// Writes what becomes of the answers.
pub(super) fn answers<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    let mut list: Vec<(Vec<String>, String)> = Vec::new();
    for (n, g) in answer.groups.iter().enumerate().take(8) {
        let Some(o) = g.first(&answer.trace.outcomes) else {
            continue;
        };
        let text = match explain::answer(answer.node, answer.trace, o) {
            None => continue,
            Some(explain::Answer::Elsewhere { .. }) => {
                "goes to the client directly unless its node routes it here; then nothing undoes the rewrite".to_owned()
            }
            Some(explain::Answer::FromItself) => {
                "none leaves the receiver, which sees its own address as the client's".to_owned()
            }
            Some(explain::Answer::Served(s)) => {
                let nodes = explain::nodes_of(answer.trace, s.answer);
                explain::served_back(&answer.trace.packet, s.answer, &nodes)
            }
            Some(explain::Answer::Here(t)) => back(answer, &t),
        };
        match list.iter_mut().find(|(_, t)| *t == text) {
            Some((l, _)) => l.push(letter(n)),
            None => list.push((vec![letter(n)], text)),
        }
    }
    for (i, (letters, text)) in list.iter().enumerate() {
        if i == 0 {
            paper.blank()?;
        }
        let head = if i == 0 { "answer" } else { "" };
        let text = if list.len() == 1 {
            text.clone()
        } else {
            format!("{}: {text}", names::list(letters, 8))
        };
        paper.prose((Label::Heading, head), (Label::Plain, &text), MARGIN)?;
    }
    Ok(())
}

fn back(answer: &Answer<'_, '_, '_>, t: &crate::trace::Trace) -> String {
    let by = match t.packet.origin {
        Origin::Device(d) => format!("comes back by {}", names::device(answer.node, d)),
        Origin::Local => "is sent by this node".into(),
    };
    // Where branches differ by something unknown (a port that the kernel picks at random may be any), the answer comes back in
    // the one that the request's own passing speaks for.
    let arrives = t.outcomes.iter().find(|o| o.delivered.is_some());
    let Some(o) = arrives.or(t.outcomes.first()) else {
        return by;
    };
    match (o.verdict, o.delivered) {
        (Verdict::Forwarded | Verdict::Local, Some(d)) => {
            let who = if answer.trace.packet.origin == Origin::Local {
                "the process"
            } else {
                "the client"
            };
            let out = o.out.as_ref().map_or_else(String::new, |x| {
                format!(", leaves by {}", names::device(answer.node, x.dev))
            });
            format!("{by}{out}: {who} gets it from {}", names::source(&d))
        }
        (Verdict::Unknown, _) => format!("{by}; {}", super::fate::fate(answer.node, o)),
        _ => format!("{by} and is {}", super::fate::fate(answer.node, o)),
    }
}

/// Writes the other findings.
pub(super) fn also<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
) -> io::Result<()> {
    // Under an unknown nothing can be said of the source but what the table shows; and astray the source matters to nobody.
    let beside = |f: &&Finding| {
        let open = answer
            .findings
            .first()
            .is_some_and(|g| matches!(g.code, Code::Unknown | Code::Unserved));
        // Who keeps its address stands in the table.
        f.code != Code::ClientIpKept && !(open && f.code == Code::ClientIpLost)
    };
    let rest: Vec<&Finding> = answer.findings.iter().skip(1).filter(beside).collect();
    let limit = if answer.detail == Detail::Detail {
        usize::MAX
    } else {
        3
    };
    for (i, f) in rest.iter().take(limit).enumerate() {
        if i == 0 {
            paper.blank()?;
        }
        let head = if i == 0 { "also" } else { "" };
        let code = [f.code.to_string()];
        paper.prose_with_aside(
            (Label::Heading, head),
            (Label::Plain, &f.title),
            MARGIN,
            &code,
        )?;
    }
    super::more(paper, rest.len(), limit)
}

/// Writes what to change, and what the simulation says of it.
pub(super) fn advice<W: Write>(
    paper: &mut Paper<'_, W>,
    answer: &Answer<'_, '_, '_>,
    tries: &[Try],
) -> io::Result<()> {
    let help: &[String] = answer.findings.first().map_or(&[], |f| f.help.as_slice());
    let mut texts: Vec<String> = Vec::new();
    let mut used = vec![false; tries.len()];
    for h in help {
        let fits = tries
            .iter()
            .position(|t| h.starts_with(&t.change))
            .filter(|i| used.get(*i) == Some(&false));
        match fits.and_then(|i| Some((i, tries.get(i)?))) {
            Some((i, t)) => {
                if let Some(u) = used.get_mut(i) {
                    *u = true;
                }
                texts.push(format!("{h} (simulated: {})", t.effect));
            }
            None => texts.push(h.clone()),
        }
    }
    for (t, _) in tries.iter().zip(&used).filter(|(_, u)| !**u) {
        texts.push(format!("{} (simulated): {}", t.change, t.effect));
    }
    let limit = if answer.detail == Detail::Detail {
        usize::MAX
    } else {
        4
    };
    for (i, t) in texts.iter().take(limit).enumerate() {
        if i == 0 {
            paper.blank()?;
        }
        let head = if i == 0 { "try" } else { "" };
        paper.prose((Label::Heading, head), (Label::Plain, t), MARGIN)?;
    }
    super::more(paper, texts.len(), limit)
}
