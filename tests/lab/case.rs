//! One node under test: made, captured, its packets judged.

use nfwhy::capture::Snapshot;
use nfwhy::node::Node;
use nfwhy::sim::Conn;
use nfwhy::trace::{Outcome, Reason, Trace, Verdict};
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::answers;
use super::connections;
use super::figures::{Figures, count};
use super::judge::{self, ask, delta, end_differences, hit_differences, hits};
use super::netns::Netns;
use super::nflog::Nflog;
use super::packets::Packets;
use super::probe::{From, Observed, Probe};
use super::spec::{Counters, Spec};

/// Packets between two readings of the counters.
const BATCH: usize = 40;

/// The same for packets with several ends.
const FEW: usize = 10;

/// A packet on which the two disagree.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The packet.
    pub probe: Probe,
    /// A packet of the same connection that went before.
    pub first: Option<Probe>,
    /// What differs.
    pub what: Vec<String>,
    /// What the kernel did.
    pub seen: Observed,
    /// Rules that the kernel counted.
    pub counted: Counters,
}

/// A node that is made, with its capture.
pub struct Case {
    /// As loaded.
    pub spec: Spec,
    net: Netns,
    log: Nflog,
    /// Its capture.
    pub snapshot: Snapshot,
    /// The same as files.
    pub files: Vec<(String, String)>,
    /// Makes packets with ports that are new to this node.
    pub packets: Packets,
    errors: BTreeMap<IpAddr, u32>,
    last: Option<(bool, Counters)>,
    policy: bool,
    /// Rules with state: every packet meets fresh rules.
    pub fresh: bool,
    /// Rules that the tools refused, and what they said.
    pub refused: Vec<String>,
}

impl Case {
    /// Makes the node. The thread is in its namespace then.
    pub fn new(spec: &Spec, fresh: bool) -> Result<Self, String> {
        let net = Netns::new()?;
        judge::new_node();
        let log = Nflog::new()?;
        super::nfacct::make();
        let mut ip = spec.ip.iter().chain(&spec.ip6);
        let policy = ip.any(|l| l.starts_with("rule "));
        let mut spec = spec.clone();
        let refused = spec
            .load()
            .into_iter()
            .map(|(r, why)| format!("-A {} {}: {}", r.chain, r.text, why.trim()))
            .collect();
        let files = spec.capture();
        let mut snapshot = Snapshot::default();
        for (name, text) in &files {
            snapshot.add(name.clone(), text.clone().into_bytes());
        }
        Ok(Self {
            spec,
            net,
            log,
            snapshot,
            files,
            packets: Packets::new(),
            errors: BTreeMap::new(),
            last: None,
            policy,
            fresh,
            refused,
        })
    }

    fn send(&mut self, p: &Probe, t: &Trace) -> Observed {
        // Waiting is for where something should come.
        let loud = |o: &Outcome| match o.verdict {
            Verdict::Dropped | Verdict::Queued => false,
            Verdict::Rejected => !judge::unanswerable(p, o),
            _ => true,
        };
        p.send(&self.net, &self.log, t.outcomes.iter().any(loud))
    }

    /// The counters now; read once for the end of one packet and the beginning of the next.
    fn before(&mut self, v6: bool) -> Counters {
        match self.last.take() {
            Some((family, c)) if family == v6 => c,
            _ => self.spec.counters(v6),
        }
    }

    fn after(&mut self, v6: bool) -> Counters {
        let c = self.spec.counters(v6);
        self.last = Some((v6, c.clone()));
        c
    }

    /// `ip_error` (net/ipv4/route.c) answers a source five times at once and then once a second.
    fn limited(&mut self, p: &Probe, o: &Outcome) -> bool {
        let routing = matches!(o.reason, Reason::NoRoute | Reason::RouteType { .. });
        // An answer is routed by the policy rules like any packet, and may be refused by them.
        if o.verdict == Verdict::Rejected && self.policy {
            return true;
        }
        if p.v6() || !routing || matches!(p.from, From::Local { .. }) {
            return false;
        }
        let sent = self.errors.entry(p.wire.src).or_default();
        *sent += 1;
        *sent > 4
    }

    /// Judges packets; gives the divergences.
    pub fn judge(&mut self, node: &Node<'_>, probes: &[Probe], f: &mut Figures) -> Vec<Divergence> {
        let mut out = Vec::new();
        for v6 in [false, true] {
            let mine: Vec<&Probe> = probes.iter().filter(|p| p.v6() == v6).collect();
            let mut plain = Vec::new();
            let mut forking = Vec::new();
            let mut single = Vec::new();
            for p in mine {
                match ask(node, p, None) {
                    // Without ports every packet is of the same connection.
                    Ok(t)
                        if t.outcomes.len() == 1
                            && !self.fresh
                            && super::frame::is_flow(p.wire.proto) =>
                    {
                        plain.push((p.clone(), t));
                    }
                    Ok(t) if self.is_batched(p, &t) => forking.push((p.clone(), t)),
                    Ok(t) => single.push((p.clone(), t)),
                    Err(_) => f.unknown += 1,
                }
            }
            for chunk in plain.chunks(BATCH) {
                if !self.batch(node, v6, chunk, f) {
                    out.extend(self.one_by_one(node, chunk, f));
                }
            }
            for chunk in forking.chunks(FEW) {
                f.forking += chunk.len() as u64;
                if self.batch_of_forks(node, v6, chunk, f).is_none() {
                    out.extend(self.one_by_one(node, chunk, f));
                }
            }
            for (p, t) in single {
                f.forking += 1;
                out.extend(self.single(node, &p, None, &t, f).err().map(|d| *d));
            }
        }
        out
    }

    /// Whether a packet of several ends may go between the same two readings as others of its kind. Without ports all of them are
    /// of one connection, and NAT decides once.
    fn is_batched(&self, p: &Probe, t: &Trace) -> bool {
        let known = |o: &Outcome| !matches!(o.verdict, Verdict::Unknown | Verdict::Queued);
        !self.fresh && super::frame::is_flow(p.wire.proto) && t.outcomes.iter().all(known)
    }

    /// The packets of a batch again, as new connections.
    fn one_by_one(
        &mut self,
        node: &Node<'_>,
        chunk: &[(Probe, Trace)],
        f: &mut Figures,
    ) -> Vec<Divergence> {
        f.again += 1;
        let mut out = Vec::new();
        for (p, _) in chunk {
            let p = self.packets.again(p);
            if let Ok(t) = ask(node, &p, None) {
                out.extend(self.single(node, &p, None, &t, f).err().map(|d| *d));
            }
        }
        out
    }

    /// An end for each packet of a batch that is as the kernel's, with all their hits as counted.
    pub fn batch_of_forks(
        &mut self,
        node: &Node<'_>,
        v6: bool,
        chunk: &[(Probe, Trace)],
        f: &mut Figures,
    ) -> Option<Vec<usize>> {
        // No flow of before may be in the way.
        connections::forget().expect("the table of connections");
        let before = self.before(v6);
        let mut ends: Vec<Vec<usize>> = Vec::new();
        for (p, t) in chunk {
            let seen = self.send(p, t);
            let mut fit = Vec::new();
            for (i, o) in t.outcomes.iter().enumerate() {
                let limited = self.limited(p, o);
                if end_differences(node, p, o, &seen, limited).is_empty() {
                    fit.push(i);
                }
            }
            ends.push(fit);
        }
        let did = delta(&before, &self.after(v6));
        let counters: Vec<Vec<Counters>> = ends
            .iter()
            .zip(chunk)
            .map(|(fit, (_, t))| fit.iter().map(|i| hits(node, &t.outcomes[*i])).collect())
            .collect();
        let chosen = super::combine::fit(&counters, &did)?;
        let taken: Vec<usize> = ends.iter().zip(chosen).map(|(fit, i)| fit[i]).collect();
        for (i, (_, t)) in taken.iter().zip(chunk) {
            f.packets += 1;
            count(node, &t.outcomes[*i], f);
        }
        Some(taken)
    }

    /// Whether a batch of packets with one end each went as simulated.
    fn batch(
        &mut self,
        node: &Node<'_>,
        v6: bool,
        chunk: &[(Probe, Trace)],
        f: &mut Figures,
    ) -> bool {
        let before = self.before(v6);
        let mut said = Counters::new();
        let mut ok = true;
        let mut unknown = 0;
        for (p, t) in chunk {
            let o = &t.outcomes[0];
            if o.verdict == Verdict::Unknown {
                unknown += 1;
                continue;
            }
            for (k, n) in hits(node, o) {
                *said.entry(k).or_default() += n;
            }
            let seen = self.send(p, t);
            let limited = self.limited(p, o);
            ok &= end_differences(node, p, o, &seen, limited).is_empty();
        }
        let did = delta(&before, &self.after(v6));
        ok &= hit_differences(node, v6, &said, &did).is_empty();
        if ok {
            f.unknown += unknown;
            for (_, t) in chunk {
                f.packets += 1;
                count(node, &t.outcomes[0], f);
            }
        }
        ok
    }

    /// One packet between two readings; gives which end it took.
    pub fn single(
        &mut self,
        node: &Node<'_>,
        p: &Probe,
        first: Option<&Probe>,
        t: &Trace,
        f: &mut Figures,
    ) -> Result<(usize, Observed), Box<Divergence>> {
        if self.fresh && first.is_none() {
            self.spec.reload_rules();
            self.last = None;
        }
        if first.is_none() {
            // No flow of before may be in the way: one that SNAT gave the same port, or another GRE packet.
            connections::forget().expect("the table of connections");
        }
        f.packets += 1;
        f.singly += 1;
        let before = self.before(p.v6());
        let seen = self.send(p, t);
        let did = delta(&before, &self.after(p.v6()));
        let mut best: Option<Vec<String>> = None;
        // Ends that are told wholly come first: the others fit more than they say.
        let open = |o: &Outcome| matches!(o.verdict, Verdict::Unknown | Verdict::Queued);
        let mut ends: Vec<(usize, &Outcome)> = t.outcomes.iter().enumerate().collect();
        ends.sort_by_key(|(_, o)| open(o));
        for (i, o) in ends {
            // Whether somebody listens to a queue is not in a capture.
            if open(o) {
                // The hits up to there must still be among the kernel's.
                let early = hits(node, o);
                if early
                    .iter()
                    .all(|(k, n)| did.get(k).copied().unwrap_or(0) >= *n)
                {
                    f.unknown += 1;
                    f.tally.add(node, o);
                    return Ok((i, seen));
                }
            }
            let limited = self.limited(p, o);
            let mut bad = end_differences(node, p, o, &seen, limited);
            bad.extend(hit_differences(node, p.v6(), &hits(node, o), &did));
            if bad.is_empty() {
                count(node, o, f);
                return Ok((i, seen));
            }
            if best.as_ref().is_none_or(|b| bad.len() < b.len()) {
                best = Some(bad);
            }
        }
        let mut what = best.unwrap_or_default();
        if t.outcomes.len() > 1 {
            what.insert(
                0,
                format!("none of {} ends; the nearest:", t.outcomes.len()),
            );
        }
        Err(Box::new(Divergence {
            probe: p.clone(),
            first: first.cloned(),
            what,
            seen,
            counted: did,
        }))
    }

    /// A first packet, its reply, and a later packet of the same flow.
    pub fn follow(&mut self, node: &Node<'_>, p: &Probe, f: &mut Figures) -> Option<Divergence> {
        let p = self.packets.again(p);
        let t = ask(node, &p, None).ok()?;
        let (end, seen) = match self.single(node, &p, None, &t, f) {
            Ok(x) => x,
            Err(d) => return Some(*d),
        };
        let [(dev, left)] = seen.left.as_slice() else {
            return None;
        };
        // A source that the kernel chose among several and then masqueraded is not to be seen from here.
        if t.outcomes.len() > 1 && matches!(p.from, From::Local { bound: false, .. }) {
            return None;
        }
        let conn: Option<Conn> = t.outcomes[end].conn.clone();
        conn.as_ref()?;
        let reply = answers::reply_to(*dev, left)?;
        let later = Probe {
            wire: super::frame::Wire {
                flags: if p.wire.flags & 2 != 0 {
                    0x10
                } else {
                    p.wire.flags
                },
                ..p.wire.clone()
            },
            from: p.from.clone(),
        };
        let mut conn = conn;
        let local = matches!(p.from, From::Local { .. });
        let last = (!local).then(|| answers::last_of(&p, &reply)).flatten();
        for next in [Some(reply), (!local).then_some(later), last]
            .into_iter()
            .flatten()
        {
            f.followed += 1;
            let t = ask(node, &next, conn.clone()).ok()?;
            match self.single(node, &next, Some(&p), &t, f) {
                Err(d) => return Some(*d),
                // What conntrack did not take leaves the connection as it is.
                Ok((i, _)) => {
                    let o = &t.outcomes[i];
                    let next = o.conn.clone().filter(|c| !c.untracked);
                    // A second connection beside the first, in another zone: only one is remembered here.
                    let other = |(a, b): (&Conn, &Conn)| a.orig != b.orig || a.zones != b.zones;
                    if conn.as_ref().zip(next.as_ref()).is_some_and(other) {
                        return None;
                    }
                    conn = match o.reason {
                        Reason::MasqueradeElsewhere { .. } => None,
                        _ => next.or(conn),
                    };
                }
            }
        }
        None
    }

    /// Whether the packet has a few ends between which numbers drawn for every packet anew decide.
    pub fn is_drawn(&self, node: &Node<'_>, p: &Probe) -> bool {
        !self.fresh
            && super::frame::is_flow(p.wire.proto)
            && ask(node, p, None).is_ok_and(|t| {
                (2..=12).contains(&t.outcomes.len())
                    && t.outcomes
                        .iter()
                        .all(|o| judge::drawn(o) && o.probability.is_some())
            })
    }

    /// Sends a packet with drawn forks many times; a message where a rule's share of them does not fit the probabilities.
    ///
    /// Of several packets between two readings the ends cannot always be told apart, but their hits together can be counted.
    pub fn shares(
        &mut self,
        node: &Node<'_>,
        p: &Probe,
        times: usize,
        f: &mut Figures,
    ) -> Option<String> {
        let ends: Vec<(f64, Counters)> = ask(node, p, None)
            .ok()?
            .outcomes
            .iter()
            .map(|o| (o.probability.unwrap_or(0.0), hits(node, o)))
            .collect();
        let mut seen = Counters::new();
        let mut sent = 0u32;
        while (sent as usize) < times {
            let again = (0..FEW).map(|_| {
                let p = self.packets.again(p);
                let t = ask(node, &p, None)?;
                Ok((p, t))
            });
            let chunk: Vec<(Probe, Trace)> = again.collect::<Result<_, String>>().ok()?;
            f.forking += chunk.len() as u64;
            let mut taken: Vec<Counters> = Vec::new();
            if let Some(ends) = self.batch_of_forks(node, p.v6(), &chunk, f) {
                for (i, (_, t)) in ends.iter().zip(&chunk) {
                    taken.push(hits(node, &t.outcomes[*i]));
                }
            } else {
                f.again += 1;
                for (p, _) in &chunk {
                    let p = self.packets.again(p);
                    let t = ask(node, &p, None).ok()?;
                    if let Ok((i, _)) = self.single(node, &p, None, &t, f) {
                        taken.push(hits(node, &t.outcomes[i]));
                    }
                }
            }
            sent += u32::try_from(taken.len()).ok()?;
            if taken.is_empty() {
                return None;
            }
            for (rule, n) in taken.into_iter().flatten() {
                *seen.entry(rule).or_default() += n;
            }
        }
        judge::misfit(&ends, &seen, sent).map(|what| {
            let dump = self.files.iter().filter(|(name, _)| name.contains("save"));
            let rules: String = dump.map(|(_, text)| text.as_str()).collect();
            format!("{what}\n  {p:?}\n{rules}")
        })
    }
}
