//! What contradicts a prediction: packets that leave otherwise than they are to.

use super::Sight;
use super::passage::{Group, Point};
use super::sight::{Captures, Seen, fits, looks};
use super::token::{Token, opens};
use crate::node::DevId;
use crate::trace::{Port, View};
use nfwhy_parsers::Proto;
use nfwhy_parsers::tcpdump::Packet;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Kinds of contradictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It comes in by another device than was traced.
    ByAnotherDevice,
    /// It leaves although nothing is to leave.
    LeavesAnyway,
    /// It leaves by another device.
    LeavesElsewhere,
    /// It leaves as it came.
    NotTranslated,
    /// It leaves with another source.
    Source,
    /// It leaves for another destination.
    Destination,
    /// It comes in and does not leave.
    NeverLeaves,
    /// It is answered although it is to be dropped or refused, or the answer is.
    Answered,
    /// Its answer comes by here although it is to go past.
    AnswerReturns,
    /// The answer leaves from another address than the client asked.
    AnswerSource,
    /// It is refused although it is to be delivered: not by this node's rules.
    Refused,
}

/// A contradiction.
#[derive(Clone, Debug, PartialEq)]
pub struct Otherwise {
    /// Of which kind.
    pub kind: Kind,
    /// In one sentence.
    pub title: String,
    /// What it rests on where that is not sure, and what to do.
    pub help: Vec<String>,
    /// The packets that show it, the first ones.
    pub shown_by: Vec<Sight>,
    /// How many there are.
    pub count: usize,
}

/// Contradictions found, each once.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub list: Vec<Otherwise>,
    /// Packets that are of the connection, by their contradictions.
    pub touched: HashSet<usize>,
}

/// How many packets a contradiction names.
const NAMED: usize = 4;

impl Found {
    pub fn add(&mut self, kind: Kind, title: String, help: &[&str], shown_by: &[(usize, Sight)]) {
        self.touched.extend(shown_by.iter().map(|(i, _)| *i));
        let sights = || shown_by.iter().map(|(_, s)| *s);
        if let Some(o) = self
            .list
            .iter_mut()
            .find(|o| o.kind == kind && o.title == title)
        {
            o.count += 1;
            for s in sights() {
                if o.shown_by.len() < NAMED && !o.shown_by.contains(&s) {
                    o.shown_by.push(s);
                }
            }
            return;
        }
        self.list.push(Otherwise {
            kind,
            title,
            help: help.iter().map(|h| (*h).to_owned()).collect(),
            shown_by: sights().take(NAMED).collect(),
            count: 1,
        });
    }
}

/// The rules may have changed since.
pub(super) const ANOTHER_TIME: &str = "a capture is of another time than the rules: see whether they were changed between, and take both again; else this is a fault of nfwhy's model";

fn with_port(ip: IpAddr, port: Option<u16>) -> String {
    match (ip, port) {
        (_, None) => ip.to_string(),
        (IpAddr::V4(_), Some(n)) => format!("{ip}:{n}"),
        (IpAddr::V6(_), Some(n)) => format!("[{ip}]:{n}"),
    }
}

/// Where a view goes to or comes from; a port that is drawn is left out.
fn endpoint(ip: IpAddr, port: Port) -> String {
    with_port(ip, port.known())
}

/// `10.0.0.1:443`.
pub(super) fn from(p: &Packet) -> String {
    with_port(p.src, p.sport)
}

pub(super) fn to(p: &Packet) -> String {
    with_port(p.dst, p.dport)
}

pub(super) fn name<'n>(seen: &Captures<'n, '_>, dev: DevId) -> &'n str {
    &seen.node.device(dev).name
}

fn at_device(s: &Seen<'_>) -> String {
    s.dev.map_or_else(String::new, |d| format!(" by {d}"))
}

/// A view's source in words; `None` where it is not known.
fn source(v: &View) -> Option<String> {
    Some(endpoint(v.src?, v.sport))
}

/// Different predictions in one list.
pub(super) fn listed(mut all: Vec<String>) -> String {
    let mut seen = HashSet::new();
    all.retain(|s| seen.insert(s.clone()));
    match all.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [list @ .., last] if list.len() < 4 => format!("{} or {last}", list.join(", ")),
        list => format!("one of {} others, {} among them", list.len(), list[0]),
    }
}

/// Packets by their token.
pub(super) fn by_token(seen: &Captures<'_, '_>) -> HashMap<Token, Vec<usize>> {
    let mut map: HashMap<Token, Vec<usize>> = HashMap::new();
    for (i, s) in seen.all.iter().enumerate() {
        if s.of.is_elsewhere() {
            continue;
        }
        if let Some(t) = Token::of(s.packet) {
            map.entry(t).or_default().push(i);
        }
    }
    map
}

/// Packets of a group as they come in, that the prediction is about: first ones.
pub(super) fn beginnings<'s>(
    seen: &'s Captures<'_, '_>,
    comes: &'s Point,
) -> impl Iterator<Item = (usize, &'s Seen<'s>)> + 's {
    seen.at(comes)
        .filter_map(|i| Some((i, seen.all.get(i)?)))
        .filter(|(_, s)| s.plain() && s.out() != Some(true))
}

/// Whether a sighting of a packet that came in at `came` is one of its leaving.
fn is_leaving(seen: &Captures<'_, '_>, came: &Point, s: &Seen<'_>) -> bool {
    match s.out() {
        Some(out) => out,
        // Seen at a device alone: it cannot come in by two.
        None => s.id.is_some_and(|d| !seen.related(d, came.dev)),
    }
}

/// Packets that are known again where they leave, and leave otherwise than predicted.
pub(super) fn translated(seen: &Captures<'_, '_>, group: &Group<'_>, found: &mut Found) {
    let Some(comes) = group.comes.as_ref().filter(|_| group.firm()) else {
        return;
    };
    let tokens = by_token(seen);
    let mut done: HashSet<usize> = HashSet::new();
    for (_, seed) in beginnings(seen, comes) {
        let Some(token) = Token::of(seed.packet) else {
            continue;
        };
        let others: Vec<usize> = tokens
            .get(&token)
            .into_iter()
            .flatten()
            .copied()
            .filter(|i| {
                seen.all
                    .get(*i)
                    .is_some_and(|s| token.same(seed.packet, s.packet))
            })
            .collect();
        let sightings = || others.iter().filter_map(|i| Some((*i, seen.all.get(*i)?)));
        // It comes in a second time, by way of something else: what leaves then is another passage's.
        let again = sightings().any(|(_, s)| {
            let elsewhere = s.id.is_none_or(|d| !seen.related(d, comes.dev));
            s.out() == Some(false) && (elsewhere || !looks(&comes.view, s.packet))
        });
        if again {
            continue;
        }
        for (i, s) in sightings() {
            if !is_leaving(seen, comes, s) || done.contains(&i) {
                continue;
            }
            let at_home = s.id.is_some_and(|d| seen.related(d, comes.dev));
            let unchanged = same_ends(seed.packet, s.packet);
            // Bridged, not routed.
            if at_home && unchanged {
                continue;
            }
            if group.leaves.iter().any(|p| agrees_leaving(seen, p, s)) {
                continue;
            }
            done.insert(i);
            differs(seen, group, comes, seed, (i, s), found);
        }
    }
    uncorrelated(seen, group, comes, &tokens, &done, found);
}

fn same_ends(a: &Packet, b: &Packet) -> bool {
    (a.src, a.dst, a.sport, a.dport) == (b.src, b.dst, b.sport, b.dport)
}

/// Whether a leaving packet is as predicted, where its device is one that the node has.
fn agrees_leaving(seen: &Captures<'_, '_>, p: &Point, s: &Seen<'_>) -> bool {
    fits(p, s.packet) && (s.packet.depth > 0 || s.id.is_none() || seen.device_agrees(p.dev, s))
}

/// Says how a leaving packet differs.
fn differs(
    seen: &Captures<'_, '_>,
    group: &Group<'_>,
    comes: &Point,
    seed: &Seen<'_>,
    (i, s): (usize, &Seen<'_>),
    found: &mut Found,
) {
    let what = if group.reply() { "the answer" } else { "it" };
    let shown = [(i, s.sight())];
    let at = at_device(s);
    let leaves = &group.leaves;
    if leaves.is_empty() {
        let verdicts: Vec<String> = group
            .all
            .iter()
            .map(|p| p.verdict.name().to_owned())
            .collect();
        let title = format!(
            "seen otherwise: what comes in by {} as {} > {} leaves{at} as {} > {}, where the trace has it {}",
            name(seen, comes.dev),
            from(seed.packet),
            to(seed.packet),
            from(s.packet),
            to(s.packet),
            listed(verdicts)
        );
        return found.add(Kind::LeavesAnyway, title, &[ANOTHER_TIME], &shown);
    }
    if leaves.iter().any(|p| fits(p, s.packet)) {
        let devs = leaves.iter().map(|p| name(seen, p.dev).to_owned());
        let title = format!(
            "seen otherwise: {what} leaves{at}, where the trace has it leave by {} ({} > {})",
            listed(devs.collect()),
            from(s.packet),
            to(s.packet)
        );
        return found.add(Kind::LeavesElsewhere, title, &[ANOTHER_TIME], &shown);
    }
    let to_same = |p: &&Point| {
        p.view.dst == s.packet.dst && super::sight::port_fits(p.view.dport, s.packet.dport)
    };
    let same: Vec<&Point> = leaves.iter().filter(to_same).collect();
    if same.is_empty() {
        let predicted = leaves
            .iter()
            .map(|p| endpoint(p.view.dst, p.view.dport))
            .collect();
        let (kind, how) = if same_ends(seed.packet, s.packet) {
            (Kind::NotTranslated, " as it came,")
        } else {
            (Kind::Destination, "")
        };
        let title = format!(
            "seen otherwise: {what} leaves{at}{how} for {}, where the trace has {}",
            to(s.packet),
            listed(predicted)
        );
        return found.add(kind, title, &[ANOTHER_TIME], &shown);
    }
    let kind = if group.reply() {
        Kind::AnswerSource
    } else {
        Kind::Source
    };
    let title = source_title(what, s, &same, comes);
    found.add(kind, title, &[ANOTHER_TIME], &shown);
}

fn source_title(what: &str, s: &Seen<'_>, predicted: &[&Point], comes: &Point) -> String {
    let own = comes.view.src == Some(s.packet.src);
    let whose = match (own, what) {
        (true, "it") => "the client's own address ",
        _ => "the source ",
    };
    let sources: Vec<String> = predicted.iter().filter_map(|p| source(&p.view)).collect();
    format!(
        "seen otherwise: {what} leaves{} for {} with {whose}{}, where the trace has {}",
        at_device(s),
        to(s.packet),
        from(s.packet),
        listed(sources)
    )
}

/// What a capture of one device shows: the client's own address leaves for a receiver that is to see another. Without the packet as it
/// came in this rests on its address and port.
fn uncorrelated(
    seen: &Captures<'_, '_>,
    group: &Group<'_>,
    comes: &Point,
    tokens: &HashMap<Token, Vec<usize>>,
    done: &HashSet<usize>,
    found: &mut Found,
) {
    let Some(client) = comes.view.src.filter(|_| !group.reply()) else {
        return;
    };
    let masked = |p: &Point| p.view.src.is_some_and(|s| s != client);
    if group.leaves.is_empty() || !group.leaves.iter().all(masked) {
        return;
    }
    // All that came in of the client, by its port.
    let mut came: HashMap<(Option<u16>, IpAddr, Option<u16>), bool> = HashMap::new();
    let mut ports: HashSet<Option<u16>> = HashSet::new();
    for s in seen.all.iter().filter(|s| s.plain()) {
        let p = s.packet;
        if p.src == client && p.proto == Some(comes.view.proto) && s.out() != Some(true) {
            came.insert((p.sport, p.dst, p.dport), true);
            if looks(&comes.view, p) {
                ports.insert(p.sport);
            }
        }
    }
    for (i, s) in seen.all.iter().enumerate() {
        let p = s.packet;
        let ours = p.src == client
            && p.proto == Some(comes.view.proto)
            && s.out() == Some(true)
            && !s.of.is_elsewhere()
            && super::sight::port_fits(comes.view.sport, p.sport);
        if !ours || done.contains(&i) {
            continue;
        }
        let to_same: Vec<&Point> = group
            .leaves
            .iter()
            .filter(|q| {
                q.view.dst == p.dst
                    && super::sight::port_fits(q.view.dport, p.dport)
                    && (s.packet.depth > 0 || seen.device_agrees(q.dev, s))
            })
            .collect();
        // What came in for this receiver itself, or with this port for somebody else, is no packet of this connection.
        let others = came.keys().any(|(sport, dst, dport)| {
            *sport == p.sport && (*dst, *dport) != (comes.view.dst, comes.view.dport.known())
        });
        if to_same.is_empty() || others {
            continue;
        }
        let mine = ports.contains(&p.sport) && comes.view.proto != Proto::ICMP;
        // A first segment that was not seen to come in by any view is another than those that were.
        let token = Token::of(p).filter(|_| opens(p));
        let known = token.is_some_and(|t| tokens.get(&t).is_some_and(|l| l.len() > 1));
        if mine && token.is_some() && !known {
            continue;
        }
        let sure = mine;
        if !sure && shows_all_of(seen, s, client, p.sport, comes.view.proto) {
            continue;
        }
        let doubt = format!(
            "the capture does not show how it came in: it may be a connection of {client} straight to {}, or by another address of the Service",
            p.dst
        );
        let help: &[&str] = if sure {
            &[ANOTHER_TIME]
        } else {
            &[&doubt, ANOTHER_TIME]
        };
        let title = source_title("it", s, &to_same, comes);
        found.add(Kind::Source, title, help, &[(i, s.sight())]);
    }
}

/// Whether the capture of a sighting would have shown all that came in with a source.
fn shows_all_of(
    seen: &Captures<'_, '_>,
    s: &Seen<'_>,
    src: IpAddr,
    sport: Option<u16>,
    proto: Proto,
) -> bool {
    let view = View {
        src: Some(src),
        sport: sport.map_or(Port::Unknown, Port::Known),
        dst: src,
        dport: Port::Unknown,
        proto,
        mark: 0,
        iif: None,
        oif: None,
    };
    super::absent::shows(seen, s.of, None, &view, false)
}

/// The client's packets come in, but by another device than was traced.
pub(super) fn by_another_device(seen: &Captures<'_, '_>, group: &Group<'_>, found: &mut Found) {
    let Some(comes) = group.comes.as_ref().filter(|c| !c.reply && !c.outer) else {
        return;
    };
    if seen.at(comes).next().is_some() {
        return;
    }
    for (i, s) in seen.all.iter().enumerate() {
        let other = s.id.is_some_and(|d| !seen.related(d, comes.dev));
        if other && s.plain() && s.out() == Some(false) && fits(comes, s.packet) {
            let (seen_at, traced) = (s.dev.unwrap_or_default(), name(seen, comes.dev));
            let title = format!(
                "seen otherwise: {} > {} comes in by {seen_at}, where the trace has it come in by {traced}",
                s.packet.src,
                to(s.packet)
            );
            let help = format!("trace it with --in {seen_at}");
            found.add(Kind::ByAnotherDevice, title, &[&help], &[(i, s.sight())]);
        }
    }
}
