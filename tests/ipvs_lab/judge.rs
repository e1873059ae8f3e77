//! The simulator's answer beside what the kernel did.

use nfwhy::node::Node;
use nfwhy::sim::{Conn, simulate};
use nfwhy::trace::{Origin, Outcome, Packet, Port, Reason, StepKind, TcpFlags, Verdict};
use nfwhy_parsers::Proto;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::frame::{ICMP, ICMPV6, TCP, Wire, has_ports};
use super::outer::wrapping;
use super::places::WIRED;
use super::probes::{self, From, Probe, unwrapped};
use super::record::{Record, Seen};
use super::scenario::Scenario;
use super::table;
use super::tally::Tally;

/// Figures over scenarios.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Scenarios.
    pub scenarios: u64,
    /// Packets judged.
    pub packets: u64,
    /// Of these, replies and later packets.
    pub followed: u64,
    /// Packets whose end the simulator does not know.
    pub unknown: u64,
    /// What they were.
    pub tally: Tally,
    /// Rules counted.
    pub hits: u64,
}

/// A packet on which the two disagree.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Index of the packet in its scenario.
    pub probe: usize,
    /// `first`, `reply` or `later`.
    pub which: &'static str,
    /// What differs.
    pub what: Vec<String>,
    /// The packet and what was seen.
    pub text: String,
}

/// Rules and how often they counted.
pub(super) type Hits = BTreeMap<(String, String, usize), u64>;

pub(super) fn packet(node: &Node<'_>, p: &Probe, conn: Option<Conn>) -> Result<Packet, String> {
    let w = &p.wire;
    let ports = has_ports(w.proto);
    let port = |n: u16| if ports { Port::Known(n) } else { Port::None };
    let device = |name: &str| {
        node.device_by_name(name)
            .ok_or_else(|| format!("no device {name} was captured"))
    };
    let origin = match p.from {
        From::Device(i) => Origin::Device(device(WIRED[i])?),
        From::Tunnel(_) => Origin::Device(device("tunl0")?),
        From::Local { .. } | From::Raw => Origin::Local,
    };
    let (mark, bound) = match p.from {
        From::Local { mark, bound } => (mark, bound),
        _ => (0, true),
    };
    let mut length = w.length();
    if matches!(p.from, From::Local { .. }) && w.proto == TCP {
        // A connecting socket's options.
        length += 20;
    }
    Ok(Packet {
        src: bound.then_some(w.src),
        dst: w.dst,
        proto: Proto(w.proto),
        sport: port(w.sport),
        dport: port(w.dport),
        icmp: matches!(w.proto, ICMP | ICMPV6).then_some(w.icmp),
        origin,
        mark,
        ct_state: None,
        tos: 0,
        ttl: w.ttl,
        flags: TcpFlags(w.flags),
        length: u32::try_from(length).unwrap_or(0),
        mac: None,
        uid: (origin == Origin::Local).then_some(0),
        gid: (origin == Origin::Local).then_some(0),
        conn,
        calico: nfwhy::sim::CalicoSeen::default(),
    })
}

pub(super) fn hits(node: &Node<'_>, o: &Outcome, into: &mut Hits) {
    for h in o.hits() {
        let t = &node.netfilter.tables[h.table];
        let chain = t.chains[h.chain.0 as usize].name.to_string();
        *into
            .entry((t.kind.name().to_owned(), chain, h.rule))
            .or_default() += 1;
    }
}

fn rule<'a>(node: &Node<'a>, key: &(String, String, usize)) -> &'a str {
    for t in &node.netfilter.tables {
        if t.kind.name() == key.0
            && let Some(c) = t.chain(&key.1)
        {
            return t.rule_text(c, key.2);
        }
    }
    ""
}

pub(super) fn hit_differences(node: &Node<'_>, said: &Hits, did: &Hits, bad: &mut Vec<String>) {
    let keys: std::collections::BTreeSet<_> = said.keys().chain(did.keys()).collect();
    for k in keys {
        let (a, b) = (
            said.get(k).copied().unwrap_or(0),
            did.get(k).copied().unwrap_or(0),
        );
        if a != b {
            bad.push(format!(
                "{} {}:{} simulated {a}, kernel {b}: {}",
                k.0,
                k.1,
                k.2 + 1,
                rule(node, k)
            ));
        }
    }
}

/// The kernel's verdict in the simulator's words.
fn verdict(p: &Probe, seen: &Seen) -> &'static str {
    let errors = [
        Errno::ENETUNREACH,
        Errno::EHOSTUNREACH,
        Errno::EACCES,
        Errno::EADDRNOTAVAIL,
        Errno::ECONNREFUSED,
    ];
    if !seen.left.is_empty() {
        "forwarded"
    } else if !seen.delivered.is_empty() {
        "local"
    } else if !seen.answers.is_empty()
        || p.from.local()
            && seen
                .error
                .is_some_and(|e| errors.iter().any(|x| *x as i32 == e))
    {
        "rejected"
    } else {
        "dropped"
    }
}

fn same(said: &nfwhy::trace::View, did: &Wire, bad: &mut Vec<String>) {
    if said.src.is_some_and(|a| a != did.src) {
        bad.push(format!(
            "source: simulated {:?}, kernel {}",
            said.src, did.src
        ));
    }
    if said.dst != did.dst {
        bad.push(format!(
            "destination: simulated {}, kernel {}",
            said.dst, did.dst
        ));
    }
    if has_ports(did.proto) {
        for (what, a, b) in [
            ("source", said.sport, did.sport),
            ("destination", said.dport, did.dport),
        ] {
            if a.known().is_some_and(|n| n != b) {
                bad.push(format!("{what} port: simulated {a:?}, kernel {b}"));
            }
        }
    }
}

fn forwarded(node: &Node<'_>, o: &Outcome, seen: &Seen, bad: &mut Vec<String>) {
    let [(dev, bytes)] = seen.left.as_slice() else {
        bad.push(format!("{} packets left", seen.left.len()));
        return;
    };
    let Some((inner, outer)) = unwrapped(bytes) else {
        bad.push("what left is no IP packet".into());
        return;
    };
    let (Some(out), Some(view)) = (&o.out, &o.delivered) else {
        bad.push("nothing is simulated to leave".into());
        return;
    };
    let name = node.device(out.dev).name.as_str();
    let to: Option<IpAddr> = outer.as_ref().map(|w| w.dst);
    let tunnelled = o
        .steps
        .iter()
        .any(|s| matches!(s.kind, StepKind::Encapsulated { .. }));
    if tunnelled != outer.is_some() {
        bad.push(format!(
            "wrapped: simulated {tunnelled}, kernel towards {to:?}"
        ));
    } else if tunnelled && out.via != to {
        bad.push(format!("other end: simulated {:?}, kernel {to:?}", out.via));
    }
    // By whom it is sent, unless a rule has changed that.
    let sender = o.steps.iter().find_map(|s| match s.kind {
        StepKind::Encapsulated { src, .. } => src,
        _ => None,
    });
    let rewrites = |h: &nfwhy::trace::Hit| {
        let t = &node.netfilter.tables[h.table];
        let text = t.rule_text(h.chain, h.rule);
        text.contains("-j MASQUERADE") || text.contains("-j SNAT")
    };
    if let (Some(said), Some(w)) = (sender, &outer)
        && said != w.src
        && !o.hits().any(rewrites)
    {
        bad.push(format!("outer source: simulated {said}, kernel {}", w.src));
    }
    if name != "tunl0" && name != WIRED[*dev] {
        bad.push(format!("device: simulated {name}, kernel {}", WIRED[*dev]));
    }
    same(view, &inner, bad);
    if let Some(m) = seen.mark
        && m != o.mark
    {
        bad.push(format!("mark: simulated {:#x}, kernel {m:#x}", o.mark));
    }
}

/// Whether an error message for a packet from outside has a way back.
fn answerable(node: &Node<'_>, p: &Probe) -> bool {
    if p.from.local() {
        return true;
    }
    // It comes from the address that was asked, where that is the node's (`icmp_send`, `icmp6_send`).
    let from = |bound: bool| {
        let mut back = p.clone();
        back.from = From::Local { mark: 0, bound };
        (back.wire.src, back.wire.dst) = (p.wire.dst, p.wire.src);
        packet(node, &back, None)
            .and_then(|q| simulate(node, &q).map_err(|e| e.to_string()))
            .map(|t| t.outcomes)
            .unwrap_or_default()
    };
    let mut ends = from(true);
    if ends.iter().all(|o| o.reason == Reason::NoSuchSource) {
        ends = from(false);
    }
    ends.iter()
        .any(|o| !matches!(o.reason, Reason::NoRoute | Reason::RouteType { .. }))
}

/// What of an end the kernel did otherwise.
pub(super) fn differences(node: &Node<'_>, p: &Probe, o: &Outcome, seen: &Seen) -> Vec<String> {
    let mut bad = Vec::new();
    let kernel = verdict(p, seen);
    let said = o.verdict.name();
    if said != kernel {
        if o.verdict == Verdict::Rejected && kernel == "dropped" && !answerable(node, p) {
            return bad;
        }
        bad.push(format!(
            "verdict: simulated {said} ({:?}), kernel {kernel}",
            o.reason
        ));
        return bad;
    }
    match o.verdict {
        Verdict::Forwarded => forwarded(node, o, seen, &mut bad),
        Verdict::Local => {
            let [(mark, bytes)] = seen.delivered.as_slice() else {
                bad.push(format!("{} packets delivered", seen.delivered.len()));
                return bad;
            };
            match (&o.delivered, Wire::parse(bytes)) {
                (Some(view), Some(w)) => same(view, &w, &mut bad),
                _ => bad.push("nothing simulated to be delivered".into()),
            }
            if *mark != o.mark {
                bad.push(format!("mark: simulated {:#x}, kernel {mark:#x}", o.mark));
            }
        }
        _ => {}
    }
    bad
}

/// The packets of a course, one after the other.
struct Walk<'a, 'n> {
    node: &'a Node<'n>,
    scenario: &'a Scenario,
    packets: &'a [(&'static str, Probe, &'a Seen)],
    did: Hits,
    /// How far it came at best, and what differed there.
    nearest: Option<(usize, Vec<String>)>,
}

/// An end that fits each packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Fit {
    pub ends: Vec<Outcome>,
    pub unknown: bool,
}

impl Walk<'_, '_> {
    fn differ(&mut self, at: usize, what: Vec<String>) {
        let nearer = self
            .nearest
            .as_ref()
            .is_none_or(|(n, bad)| at > *n || at == *n && what.len() < bad.len());
        if nearer {
            self.nearest = Some((at, what));
        }
    }

    /// Looks for ends of the packets from `at` on that together count what the kernel counted.
    fn from(&mut self, at: usize, conn: Option<&Conn>, said: &Hits, fit: &Fit) -> Option<Fit> {
        let Some((_, p, seen)) = self.packets.get(at) else {
            let mut bad = Vec::new();
            hit_differences(self.node, said, &self.did, &mut bad);
            if bad.is_empty() {
                return Some(fit.clone());
            }
            self.differ(at, bad);
            return None;
        };
        let answer = packet(self.node, p, conn.cloned())
            .and_then(|q| simulate(self.node, &q).map_err(|e| e.to_string()))
            .and_then(|t| Ok((t, wrapping(self.node, self.scenario, p)?)));
        let (trace, wrap) = match answer {
            Ok(x) => x,
            Err(e) => {
                self.differ(at, vec![e]);
                return None;
            }
        };
        // Where the tunnel's packet does not arrive, nothing comes out of it.
        let ends = match &wrap {
            Some(o) if o.verdict != Verdict::Local => std::slice::from_ref(o),
            _ => &trace.outcomes,
        };
        for o in ends {
            let mut fit = fit.clone();
            if o.verdict == Verdict::Unknown {
                fit.unknown = true;
                return Some(fit);
            }
            let bad = differences(self.node, p, o, seen);
            if !bad.is_empty() {
                self.differ(at, bad);
                continue;
            }
            fit.ends.push(o.clone());
            let mut said = said.clone();
            if let Some(w) = wrap.as_ref().filter(|w| w.verdict == Verdict::Local) {
                hits(self.node, w, &mut said);
            }
            hits(self.node, o, &mut said);
            // An answer that belongs to no connection known opens one of its own.
            let next = match (&o.conn, conn) {
                (Some(new), Some(old)) if new.orig != old.orig => conn,
                (Some(new), _) => Some(new),
                (None, old) => old,
            };
            if let Some(found) = self.from(at + 1, next, &said, &fit) {
                return Some(found);
            }
        }
        None
    }
}

fn told(p: &Probe, seen: &Seen) -> String {
    let left: Vec<_> = seen
        .left
        .iter()
        .map(|(d, b)| (WIRED[*d], unwrapped(b)))
        .collect();
    let delivered: Vec<_> = seen
        .delivered
        .iter()
        .map(|(m, b)| (m, Wire::parse(b)))
        .collect();
    format!(
        "{p:?}\n    left {left:?}\n    delivered {delivered:?}\n    {} answers, mark {:?}, error {:?}",
        seen.answers.len(),
        seen.mark,
        seen.error
    )
}

/// Judges a scenario.
pub fn judge(s: &Scenario, record: &Record, f: &mut Figures) -> Vec<Divergence> {
    let mut snapshot = nfwhy::capture::Snapshot::default();
    for (name, text) in &record.files {
        snapshot.add(name.clone(), text.clone().into_bytes());
    }
    let node = Node::new(&snapshot);
    let mut out = Vec::new();
    f.scenarios += 1;
    f.tally.scenario(s);
    for (i, (p, course)) in s.probes.iter().zip(&record.courses).enumerate() {
        let mut packets = vec![("first", p.clone(), &course.first)];
        if let (Some(seen), Some(r)) = (
            &course.reply,
            probes::reply(p, &course.first, s.tunnelled()),
        ) {
            packets.push(("reply", r, seen));
        }
        if let (Some(seen), Some(l)) = (&course.later, probes::later(p)) {
            packets.push(("later", l, seen));
        }
        f.packets += packets.len() as u64;
        f.followed += packets.len() as u64 - 1;
        let mut did = Hits::new();
        for (table, chain, at, n) in &course.hits {
            did.insert((table.clone(), chain.clone(), *at), *n);
            f.hits += n;
        }
        let mut walk = Walk {
            node: &node,
            scenario: s,
            packets: &packets,
            did,
            nearest: None,
        };
        if let Some(fit) = walk.from(0, None, &Hits::new(), &Fit::default()) {
            let what = table::later(s, &snapshot, course, &packets, &fit, &walk.did, f);
            if !what.is_empty() {
                out.push(Divergence {
                    probe: i,
                    which: "later, by conntrack's table",
                    what,
                    text: packets
                        .iter()
                        .map(|(_, p, seen)| told(p, seen))
                        .chain(course.table.clone())
                        .collect::<Vec<_>>()
                        .join("\n    "),
                });
            }
            f.unknown += u64::from(fit.unknown);
            for (o, (which, q, _)) in fit.ends.iter().zip(&packets) {
                f.tally.count("verdicts", o.verdict.name());
                let reason = format!("{:?}", o.reason);
                let reason = reason.split([' ', '(']).next().unwrap_or_default();
                f.tally.count("reasons", reason);
                f.tally.ipvs(&node, o);
                f.tally.packet(s, which, p, q);
            }
            continue;
        }
        let (at, what) = walk.nearest.unwrap_or_default();
        out.push(Divergence {
            probe: i,
            which: packets.get(at).map_or("hits", |x| x.0),
            what,
            text: packets
                .iter()
                .map(|(_, p, seen)| told(p, seen))
                .collect::<Vec<_>>()
                .join("\n    "),
        });
    }
    if record.courses.len() != s.probes.len() {
        out.push(Divergence {
            probe: record.courses.len(),
            which: "first",
            what: vec!["packets are missing from the record".into()],
            text: String::new(),
        });
    }
    out
}
