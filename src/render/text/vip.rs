//! Who answers for an address, for a terminal.

use super::MARGIN;
use super::Options;
use super::paint::{Label, Line, Paper, columns, cut};
use crate::explain::Severity;
use crate::render::{escape, vip_words as words};
use crate::sim::Why;
use crate::vip::{At, OfNode, Place, Report};
use nfwhy_parsers::kube::Policy;
use nfwhy_parsers::speaker::What;
use std::io::{self, Write};

/// Devices named in a row.
const SHOWN: usize = 3;

/// Lines of the speakers' log that are shown.
const LOG_LINES: usize = 12;

/// Writes the answer.
pub fn vip(
    out: &mut impl Write,
    places: &[Place<'_, '_>],
    r: &Report,
    options: &Options,
) -> io::Result<()> {
    let mut paper = Paper::new(out, options.width, options.colour);
    let mut head = r.addr.to_string();
    if let Some(s) = &r.service {
        head += &format!(", {} of {}", s.kind.name(), s.name);
        match s.policy {
            Some(Policy::Local) => head += ", externalTrafficPolicy Local",
            Some(Policy::Cluster) => head += ", externalTrafficPolicy Cluster",
            None => {}
        }
    }
    paper.prose((Label::Heading, "vip"), (Label::Plain, &head), MARGIN)?;
    paper.blank()?;
    let (word, label) = match r.answered {
        Some(true) if r.findings.iter().any(|f| f.severity == Severity::Error) => {
            ("answered", Label::Bad)
        }
        Some(true) => ("answered", Label::Good),
        Some(false) => ("silent", Label::Bad),
        None => ("unknown", Label::Unsure),
    };
    let sentence = words::headline(places, r);
    paper.prose((label, word), (Label::Plain, &sentence), MARGIN)?;
    endpoints(&mut paper, r)?;
    nodes(&mut paper, places, r, options)?;
    why(&mut paper, places, r)?;
    log(&mut paper, places, r, options)?;
    findings(&mut paper, places, r)?;
    for (i, m) in r.missing.iter().enumerate() {
        if i == 0 {
            paper.blank()?;
        }
        let head = if i == 0 { "missing" } else { "" };
        let text = format!("{}: {}", m.what, m.command);
        paper.prose((Label::Heading, head), (Label::Plain, &text), MARGIN)?;
    }
    Ok(())
}

fn endpoints<W: Write>(paper: &mut Paper<'_, W>, r: &Report) -> io::Result<()> {
    let Some(list) = r.service.as_ref().and_then(|s| s.endpoints.as_ref()) else {
        return Ok(());
    };
    let policy = r.service.as_ref().and_then(|s| s.policy);
    let on: Vec<String> = list
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| {
            if *n == 1 {
                name.clone()
            } else {
                format!("{name} ({n})")
            }
        })
        .collect();
    let node = r
        .answerers
        .iter()
        .find_map(|a| a.node.clone())
        .filter(|name| !list.iter().any(|(n, count)| n == name && *count > 0));
    let mut text = if on.is_empty() {
        "its Service has no ready endpoint".to_owned()
    } else {
        format!("ready endpoints are on {}", words::listed(&on))
    };
    if let Some(name) = node {
        text += &match policy {
            Some(Policy::Local) => {
                format!("; {name} has none, and policy Local lets it use no other")
            }
            Some(Policy::Cluster) => format!("; {name} has none and sends on to them"),
            None => format!("; {name} has none and sends on to them, if the policy is Cluster"),
        };
    }
    paper.prose((Label::Heading, ""), (Label::Plain, &text), MARGIN)
}

struct Row {
    node: String,
    device: String,
    says: &'static str,
    why: String,
}

fn nodes<W: Write>(
    paper: &mut Paper<'_, W>,
    places: &[Place<'_, '_>],
    r: &Report,
    options: &Options,
) -> io::Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    for n in &r.nodes {
        let before = rows.len();
        for h in r
            .holders
            .iter()
            .filter(|h| h.node.as_ref() == Some(&n.name))
        {
            let protocol = h.protocol.as_deref().unwrap_or("layer2");
            rows.push(Row {
                node: n.name.clone(),
                device: "speaker".to_owned(),
                says: if h.is_layer2() { "yes" } else { "routers" },
                why: format!(
                    "{} announces it ({protocol})",
                    h.pod.as_deref().unwrap_or("its speaker")
                ),
            });
        }
        of_node(
            &mut rows,
            places,
            n,
            options.detail == super::Detail::Detail,
        );
        for row in rows.iter_mut().skip(before + 1) {
            row.node.clear();
        }
    }
    for h in &r.holders {
        let shown = |name: &String| r.nodes.iter().any(|n| n.name == *name);
        if h.node.as_ref().is_some_and(shown) {
            continue;
        }
        rows.push(Row {
            node: h.node.clone().unwrap_or_else(|| "?".to_owned()),
            device: "speaker".to_owned(),
            says: if h.is_layer2() { "yes" } else { "routers" },
            why: format!(
                "{} announces it ({}); of the node itself nothing was captured",
                h.pod.as_deref().unwrap_or("a speaker"),
                h.protocol.as_deref().unwrap_or("layer2")
            ),
        });
    }
    if rows.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    let width = |f: fn(&Row) -> &str, least: usize| {
        rows.iter()
            .map(|r| columns(&escape(f(r))))
            .max()
            .unwrap_or(0)
            .max(least)
    };
    let node = MARGIN + width(|r| &r.node, 4).min(28) + 2;
    let device = node + width(|r| &r.device, 6).min(24) + 2;
    let says = device + 9;
    let head = Line::new()
        .add(Label::Heading, "nodes")
        .to(MARGIN)
        .add(Label::Faint, "node")
        .to(node)
        .add(Label::Faint, "device")
        .to(device)
        .add(Label::Faint, "answers")
        .to(says)
        .add(Label::Faint, "why");
    paper.line(&head)?;
    for r in &rows {
        let line = Line::new()
            .to(MARGIN)
            .add_cut(Label::Plain, &r.node, node - MARGIN - 2)
            .to(node)
            .add_cut(Label::Plain, &r.device, device - node - 2)
            .to(device)
            .add(
                if r.says == "yes" {
                    Label::Effect
                } else {
                    Label::Plain
                },
                r.says,
            )
            .to(says);
        let room = paper.width.saturating_sub(says);
        if columns(&escape(&r.why)) <= room {
            paper.line(&line.add(Label::Plain, &r.why))?;
        } else {
            let mut rest = broken(&r.why, room).into_iter();
            paper.line(&line.add(Label::Plain, &rest.next().unwrap_or_default()))?;
            for more in rest {
                paper.line(&Line::new().to(says).add(Label::Plain, &more))?;
            }
        }
    }
    Ok(())
}

/// Text in lines of at most `room` columns, broken at blanks.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut out = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = out.last_mut() else { break };
        if !last.is_empty() && columns(last) + 1 + columns(word) > room {
            out.push(cut(word, room));
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    out
}

/// Devices that say the same for the same reason share a row; where hosts ask for the address stands first.
fn of_node(rows: &mut Vec<Row>, places: &[Place<'_, '_>], n: &OfNode, all: bool) {
    let node = places[n.place].node;
    let near = n.outside().any(|d| d.on_link);
    let mut groups: Vec<(bool, &'static str, String, Vec<&str>)> = Vec::new();
    for d in &n.devices {
        let Some(said) = d.likeliest() else { continue };
        let outside = n.outside().any(|o| o.dev == d.dev);
        // Elsewhere silence is the rule.
        let told = said.answers != Some(false) && !d.to_pods;
        if !all && !outside && !told {
            continue;
        }
        let says = match said.answers {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        let why = words::why(node, said, d.asker);
        let name = node.device(d.dev).name.as_str();
        let first = near && d.on_link;
        let same = groups
            .iter_mut()
            .find(|g| g.0 == first && g.1 == says && g.2 == why);
        match same {
            Some(g) => g.3.push(name),
            None => groups.push((first, says, why, vec![name])),
        }
    }
    groups.sort_by_key(|g| !g.0);
    for (_, says, why, names) in groups {
        let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
        let more = match names.len() - shown.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        rows.push(Row {
            node: n.name.clone(),
            device: format!("{}{more}", shown.join(", ")),
            says,
            why,
        });
    }
    if let Some(text) = asks_with(places, n) {
        rows.push(Row {
            node: n.name.clone(),
            device: String::new(),
            says: "",
            why: text,
        });
    }
}

/// A node that has the address may tell neighbours so by its own questions: `arp_solicit` (net/ipv4/arp.c) takes the source of the
/// packet that waits, unless `arp_announce` forbids it.
fn asks_with(places: &[Place<'_, '_>], n: &OfNode) -> Option<String> {
    let node = places[n.place].node;
    let (dev, _) = n.has?;
    let first = n.outside().next()?;
    if first.dev == dev || !node.device(dev).addrs.iter().any(|a| a.local.is_ipv4()) {
        return None;
    }
    let of = |d: &str| {
        node.sysctls
            .get(&format!("net/ipv4/conf/{d}/arp_announce"))
            .map(|(v, _)| v)
    };
    let name = &node.device(first.dev).name;
    match [of("all"), of(name)].into_iter().flatten().max()? {
        0 => {
            Some("its own ARP questions may name the address as theirs (arp_announce=0)".to_owned())
        }
        _ => None,
    }
}

fn evidence<W: Write>(
    paper: &mut Paper<'_, W>,
    places: &[Place<'_, '_>],
    r: &Report,
    at: At,
    head: &str,
) -> io::Result<()> {
    let text = words::line_text(places, at).unwrap_or_default().trim();
    // A line of JSON tells where a pod is named, not where it runs.
    let text = match r.holders.iter().find(|h| h.node_at == Some(at)) {
        Some(h) if text.starts_with('"') => {
            format!("{text}  on {}", h.node.as_deref().unwrap_or_default())
        }
        _ => text.to_owned(),
    };
    let place = words::place(places, at);
    let line = Line::new()
        .add(Label::Heading, head)
        .to(MARGIN)
        .add(Label::Place, &place)
        .add(Label::Plain, "  ");
    let room = paper.width.saturating_sub(line.width());
    paper.line(&line.add_cut(Label::Rule, &text, room))
}

fn why<W: Write>(paper: &mut Paper<'_, W>, places: &[Place<'_, '_>], r: &Report) -> io::Result<()> {
    let mut lines: Vec<At> = Vec::new();
    let mut add = |at: At| {
        if at.origin.line > 0 && !lines.contains(&at) {
            lines.push(at);
        }
    };
    // The speakers' own lines stand in the log.
    for h in r.holders.iter().rev() {
        h.node_at.into_iter().for_each(&mut add);
    }
    for n in &r.nodes {
        let of = |origin| At {
            place: n.place,
            origin,
        };
        let shown = n.has.is_some() || n.answers() == Some(true);
        let first = n
            .outside()
            .find(|d| d.answers() == Some(true))
            .or_else(|| n.outside().find(|d| d.on_link))
            .or_else(|| n.outside().next());
        if let Some(said) = first.and_then(|d| d.likeliest()).filter(|_| shown) {
            let at = match &said.why {
                Why::ProxyArp { at, .. }
                | Why::ProxyPvlan { at }
                | Why::ProxyEntry { at }
                | Why::Anycast { at } => Some(*at),
                _ => None,
            };
            at.map(of).into_iter().for_each(&mut add);
            if let Some((_, origin)) = n.has {
                add(of(origin));
            }
            for s in &said.settings {
                add(of(s.at));
            }
        }
    }
    for m in &r.macs {
        add(m.at);
        if let Some((place, dev)) = m.owner {
            add(At {
                place,
                origin: places[place].node.device(dev).origin,
            });
        }
    }
    r.routes.iter().for_each(|x| add(x.at));
    if lines.is_empty() {
        return Ok(());
    }
    paper.blank()?;
    for (i, at) in lines.into_iter().take(16).enumerate() {
        evidence(paper, places, r, at, if i == 0 { "why" } else { "" })?;
    }
    Ok(())
}

/// An event of the log, and how often it stands there in a row.
struct Event {
    text: String,
    place: String,
    count: usize,
}

fn log<W: Write>(
    paper: &mut Paper<'_, W>,
    places: &[Place<'_, '_>],
    r: &Report,
    options: &Options,
) -> io::Result<()> {
    let mut rows: Vec<Event> = Vec::new();
    for t in &r.history {
        let place = words::place(places, t.at);
        let who = match (&t.pod, &t.node) {
            (Some(p), Some(n)) => format!("{p} on {n}"),
            (Some(p), None) => p.clone(),
            (None, Some(n)) => n.clone(),
            (None, None) => "a speaker".to_owned(),
        };
        let mut what = match t.what {
            What::Announced => "announced it".to_owned(),
            What::Withdrawn => "withdrew it".to_owned(),
        };
        let more: Vec<&str> = [t.protocol.as_deref(), t.reason.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        if !more.is_empty() {
            what += &format!(" ({})", more.join(", "));
        }
        let text = format!("{}  {who} {what}", t.time);
        match rows.last_mut() {
            Some(e) if e.text == text => e.count += 1,
            _ => rows.push(Event {
                text,
                place,
                count: 1,
            }),
        }
    }
    let partial = places.iter().enumerate().find_map(|(place, p)| {
        let (origin, n) = p.node.seen.partial_logs.first()?;
        Some((
            At {
                place,
                origin: *origin,
            },
            *n,
        ))
    });
    if rows.is_empty() && partial.is_none() {
        return Ok(());
    }
    paper.blank()?;
    let most = if options.detail == super::Detail::Detail {
        usize::MAX
    } else {
        LOG_LINES
    };
    let left_out = rows.len().saturating_sub(most);
    let mut head = "log";
    if left_out > 0 {
        let text = format!("{left_out} earlier events (--detail shows them)");
        paper.line(
            &Line::new()
                .add(Label::Heading, head)
                .to(MARGIN)
                .add(Label::Faint, &text),
        )?;
        head = "";
    }
    for e in rows.iter().skip(left_out) {
        let times = if e.count > 1 {
            format!(", {} times", e.count)
        } else {
            String::new()
        };
        let text = format!("{}{times}", e.text);
        let line = Line::new()
            .add(Label::Heading, head)
            .to(MARGIN)
            .add(Label::Place, &e.place)
            .add(Label::Plain, "  ");
        let room = paper.width.saturating_sub(line.width());
        let text = escape(&text);
        let (indent, room) = if room >= 60 {
            (line.width(), room)
        } else {
            (MARGIN + 2, paper.width - MARGIN - 2)
        };
        let mut parts = broken(&text, room).into_iter();
        if indent == line.width() {
            let first = parts.next().unwrap_or_default();
            paper.line(&line.add(Label::Plain, &first))?;
        } else {
            paper.line(&line)?;
        }
        for part in parts {
            paper.line(&Line::new().to(indent).add(Label::Plain, &part))?;
        }
        head = "";
    }
    if let Some((at, n)) = partial {
        let text = format!(
            "the log at {} is that of one of {n} speakers: ask by label (-l app.kubernetes.io/component=speaker), not by daemonset",
            words::place(places, at)
        );
        paper.prose((Label::Heading, head), (Label::Unsure, &text), MARGIN)?;
    }
    Ok(())
}

fn findings<W: Write>(
    paper: &mut Paper<'_, W>,
    places: &[Place<'_, '_>],
    r: &Report,
) -> io::Result<()> {
    for f in &r.findings {
        paper.blank()?;
        let (head, label) = match f.severity {
            Severity::Error => ("error", Label::Bad),
            Severity::Warning => ("warning", Label::Unsure),
            Severity::Info => ("note", Label::Plain),
        };
        let text = format!("{} [{}]", f.title, f.code);
        paper.prose((label, head), (Label::Plain, &text), MARGIN)?;
        for c in f.causes.iter().take(8) {
            evidence(paper, places, r, c.at, "")?;
        }
        for h in &f.help {
            paper.prose((Label::Heading, "try"), (Label::Plain, h), MARGIN)?;
        }
    }
    Ok(())
}
