//! A cluster of nodes under test: made, captured, its packets sent there and back and held against the model.

pub mod draw;
pub mod figures;
pub mod flows;
pub mod net;
pub mod tunnel;

use super::lab;

use draw::Kind;
use figures::Figures;
use lab::judge::{delta, key};
use lab::prng::Prng;
use lab::spec::{Counters, Spec};
use lab::{answers, connections, frame, sh};
use net::{Far, Net, mac};
use nfwhy::capture::Snapshot;
use nfwhy::capture::cluster::{Captures, Member};
use nfwhy::cluster::{Cluster, End, Entry, Memory, Way};
use nfwhy::trace::{Origin, Packet, Port, TcpFlags};
use nfwhy_parsers::{Proto, Range};
use std::fmt::Write as _;

/// Packets between two readings of the counters.
const BATCH: usize = 25;

/// Lets a node send through its tunnel to every other one.
fn knock(net: &Net, node: usize, kind: Kind, v6: bool) {
    let far = draw::far_away(v6);
    let family = if v6 { "-6" } else { "-4" };
    let ways: Vec<String> = if kind.tunnel.is_pair() {
        vec!["dev ext1".to_owned()]
    } else {
        draw::far_ends(node, kind, v6)
            .map(|to| format!("via {to} dev ext1 onlink"))
            .collect()
    };
    for way in ways {
        let line = format!("route replace {far} {way}\n");
        let _ = sh::run(&["ip", family, "-batch", "-"], &line);
        net.inject(Far::Pod(node, 0), mac(node, 2), &draw::knock(node, v6));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let _ = sh::run(&["ip", family, "route", "del", far], "");
}

/// Packets counted by a node's rules, of IPv4 and of IPv6.
type Both = [Counters; 2];

/// Nodes that are made.
pub struct Made {
    net: Net,
    specs: Vec<Spec>,
    kind: Kind,
    pub captures: Captures,
}

/// A packet on its way from a far end to a node.
#[derive(Clone, Debug)]
struct Shot {
    far: Far,
    node: usize,
    wire: frame::Wire,
    memory: Memory,
    /// Whether it is an answer.
    reply: bool,
}

impl Made {
    /// Makes the nodes of a seed.
    pub fn new(r: &mut Prng, kind: Kind, f: &mut Figures) -> Self {
        let net = Net::new(kind.count, kind.dual);
        let mut captures = Captures::default();
        let mut specs = Vec::new();
        let drawn = draw::nodes(r, kind);
        // The ways first: flows of tunnels without ports are known before there are rules.
        for (i, (spec, fdb)) in drawn.iter().enumerate() {
            net.enter(i);
            let mut ways = Spec {
                sysctls: spec.sysctls.clone(),
                ip: spec.ip.clone(),
                ip6: spec.ip6.clone(),
                ..Spec::default()
            };
            ways.load();
            if kind.tunnel.is_vxlan() {
                sh::must(&["bridge", "-batch", "-"], &(fdb.join("\n") + "\n"));
            }
        }
        net.settle();
        if !kind.tunnel.is_vxlan() {
            for i in 0..kind.count {
                net.enter(i);
                for v6 in kind.families().filter(|v6| kind.tunnel.carries(*v6)) {
                    knock(&net, i, kind, v6);
                }
            }
        }
        for (i, (mut spec, _)) in drawn.into_iter().enumerate() {
            net.enter(i);
            let (sysctls, ip, ip6) = (
                spec.sysctls.split_off(0),
                spec.ip.split_off(0),
                spec.ip6.split_off(0),
            );
            spec.load();
            (spec.sysctls, spec.ip, spec.ip6) = (sysctls, ip, ip6);
            let mut snapshot = Snapshot::default();
            let mut files = spec.capture();
            files.push(("ip-neigh.txt".into(), sh::must(&["ip", "neigh"], "")));
            if kind.dual {
                files.push((
                    "ip-6-neigh.txt".into(),
                    sh::must(&["ip", "-6", "neigh"], ""),
                ));
            }
            for (name, text) in files {
                snapshot.add(name, text.into_bytes());
            }
            captures.members.push(Member {
                name: format!("node{i}"),
                within: None,
                snapshot,
            });
            f.rules += spec
                .tables
                .iter()
                .map(|t| t.rules.len() as u64)
                .sum::<u64>();
            specs.push(spec);
        }
        f.clusters += 1;
        Self {
            net,
            specs,
            kind,
            captures,
        }
    }

    fn counters(&self) -> Vec<Both> {
        self.specs
            .iter()
            .enumerate()
            .map(|(i, s)| {
                self.net.enter(i);
                [s.counters(false), s.counters(true)]
            })
            .collect()
    }

    fn forget(&self) {
        for i in 0..self.specs.len() {
            self.net.enter(i);
            // A tunnel's own flows are to stay.
            if self.kind.tunnel.is_vxlan() {
                connections::forget().expect("the table of connections");
            } else {
                flows::forget_all_but(&[4, 41, 47]).expect("the table of connections");
            }
        }
    }

    fn shoot(&self, s: &Shot, patient: bool) -> Vec<(Far, [u8; 6], frame::Wire)> {
        let dev = match s.far {
            Far::Client => 0,
            Far::Pod(_, d) => d + 2,
        };
        self.net.send(s.far, mac(s.node, dev), &s.wire, patient)
    }

    /// Sends packets there and back; gives what differs.
    pub fn judge(&self, r: &mut Prng, packets: u16, f: &mut Figures) -> Vec<String> {
        let cluster = Cluster::new(&self.captures);
        let mut bad = Vec::new();
        let mut single = Vec::new();
        let mut batch = Vec::new();
        for n in 0..packets {
            let (far, node, wire) = draw::packet(r, n, self.kind);
            let shot = Shot {
                far,
                node,
                wire,
                memory: Memory::default(),
                reply: false,
            };
            match ask(&cluster, &shot) {
                Some(ways) if ways.len() == 1 && certain(&ways) => batch.push((shot, ways)),
                Some(ways) if ways.len() <= 24 && certain(&ways) => single.push(shot),
                _ => f.unknown += 1,
            }
        }
        for chunk in batch.chunks(BATCH) {
            let replies = self.batch(&cluster, chunk, f, &mut single);
            let asked: Vec<(Shot, Vec<Way>)> = replies
                .into_iter()
                .filter_map(|s| {
                    let ways = ask(&cluster, &s).filter(|w| w.len() == 1 && certain(w))?;
                    Some((s, ways))
                })
                .collect();
            let mut failed = Vec::new();
            self.batch_kept(&cluster, &asked, f, &mut failed);
            // An answer alone cannot be sent again: its request goes first.
            for s in failed {
                let request = chunk
                    .iter()
                    .find(|(q, _)| q.wire.id + 1_000_000 == s.wire.id)
                    .map(|(q, _)| q.clone());
                single.extend(request);
            }
        }
        for (i, shot) in single.into_iter().enumerate() {
            // A connection of its own.
            let mut shot = shot;
            let n = packets + u16::try_from(i).unwrap_or(0);
            shot.wire.id = u32::from(n) + 1;
            shot.wire.sport = if frame::has_ports(shot.wire.proto) {
                20_000 + n % 9000
            } else {
                n
            };
            f.forking += 1;
            bad.extend(self.there_and_back(&cluster, &shot, f));
        }
        bad
    }

    fn batch(
        &self,
        cluster: &Cluster<'_>,
        chunk: &[(Shot, Vec<Way>)],
        f: &mut Figures,
        failed: &mut Vec<Shot>,
    ) -> Vec<Shot> {
        self.forget();
        self.batch_kept(cluster, chunk, f, failed)
    }

    /// One batch, with the connections that there are; gives the answers to what arrived.
    fn batch_kept(
        &self,
        cluster: &Cluster<'_>,
        chunk: &[(Shot, Vec<Way>)],
        f: &mut Figures,
        failed: &mut Vec<Shot>,
    ) -> Vec<Shot> {
        let before = self.counters();
        let mut said = vec![Both::default(); self.specs.len()];
        let mut ok = true;
        let mut replies = Vec::new();
        for (s, ways) in chunk {
            let way = &ways[0];
            add_hits(cluster, way, &mut said);
            let seen = self.shoot(s, expected(cluster, way).is_some());
            ok &= end_differences(cluster, way, &seen).is_empty();
            replies.extend(reply_to(s, way, &seen));
        }
        let after = self.counters();
        ok &= said
            .iter()
            .zip(before.iter().zip(&after))
            .all(|(said, (b, a))| *said == deltas(b, a));
        if !ok {
            f.again += 1;
            failed.extend(chunk.iter().map(|(s, _)| s.clone()));
            return Vec::new();
        }
        for (s, ways) in chunk {
            count(cluster, s, &ways[0], f);
        }
        replies
    }

    /// One packet between two readings, and its answer.
    fn there_and_back(
        &self,
        cluster: &Cluster<'_>,
        shot: &Shot,
        f: &mut Figures,
    ) -> Option<String> {
        self.forget();
        let reply = match self.single(cluster, shot, f) {
            Ok(r) => r?,
            Err(e) => return Some(e),
        };
        self.single(cluster, &reply, f).err()
    }

    fn single(
        &self,
        cluster: &Cluster<'_>,
        shot: &Shot,
        f: &mut Figures,
    ) -> Result<Option<Shot>, String> {
        let Some(ways) = ask(cluster, shot).filter(|w| certain(w)) else {
            f.unknown += 1;
            return Ok(None);
        };
        let before = self.counters();
        let loud = ways.iter().any(|w| expected(cluster, w).is_some());
        let seen = self.shoot(shot, loud);
        let after = self.counters();
        let did: Vec<Both> = before
            .iter()
            .zip(&after)
            .map(|(b, a)| deltas(b, a))
            .collect();
        let mut fit: Vec<&Way> = Vec::new();
        let mut best: Option<Vec<String>> = None;
        for way in &ways {
            let mut said = vec![Both::default(); self.specs.len()];
            add_hits(cluster, way, &mut said);
            let mut bad = end_differences(cluster, way, &seen);
            for (i, (said, did)) in said.iter().zip(&did).enumerate() {
                let node = &cluster.places[i].node;
                for (v6, (said, did)) in [false, true].into_iter().zip(said.iter().zip(did)) {
                    for d in lab::judge::hit_differences(node, v6, said, did) {
                        bad.push(format!("node{i}: {d}"));
                    }
                }
            }
            if bad.is_empty() {
                fit.push(way);
            } else if best.as_ref().is_none_or(|b| bad.len() < b.len()) {
                best = Some(bad);
            }
        }
        let Some(way) = fit.first() else {
            let mut text = format!("{shot:?}\n  none of {} ways; the nearest:\n", ways.len());
            for b in best.unwrap_or_default() {
                let _ = writeln!(text, "    {b}");
            }
            let _ = writeln!(text, "  seen: {seen:?}");
            for w in ways.iter().take(3) {
                for h in &w.hops {
                    let o = h.outcome();
                    let _ = writeln!(
                        text,
                        "  said: node{} {:?} outer={} {:?} {:?}",
                        h.place,
                        h.entry,
                        h.outer,
                        o.map(|o| (o.verdict, &o.reason, o.mark)),
                        o.and_then(|o| o.delivered)
                    );
                }
                let _ = writeln!(text, "  end: {:?}", w.end);
            }
            return Err(text);
        };
        count(cluster, shot, way, f);
        // Of ways that look alike it is not known which connection was made.
        Ok((fit.len() == 1)
            .then(|| reply_to(shot, way, &seen))
            .flatten())
    }
}

fn count(cluster: &Cluster<'_>, s: &Shot, way: &Way, f: &mut Figures) {
    let out = expected(cluster, way).is_some();
    let tunnel = way.hops.iter().any(|h| h.outer) && out;
    let v6 = u64::from(s.wire.dst.is_ipv6());
    if s.reply {
        f.replies += 1;
        f.replies6 += v6;
        f.returned6 += v6 * u64::from(out);
        f.returned_tunnelled6 += v6 * u64::from(tunnel);
        f.returned += u64::from(out);
        f.returned_tunnelled += u64::from(tunnel);
    } else {
        f.requests += 1;
        f.requests6 += v6;
        f.tunnelled6 += v6 * u64::from(tunnel);
        f.arrived += u64::from(out);
        f.tunnelled += u64::from(tunnel);
        let more = way.last().is_some_and(|h| h.place != s.node);
        f.crossed += u64::from(more && out);
        f.crossed6 += v6 * u64::from(more && out);
    }
}

/// What the model says of a packet.
fn ask(cluster: &Cluster<'_>, s: &Shot) -> Option<Vec<Way>> {
    let w = &s.wire;
    let dev = match s.far {
        Far::Client => "ext0".to_owned(),
        Far::Pod(_, d) => format!("pod{d}"),
    };
    let dev = cluster.places[s.node].node.device_by_name(&dev)?;
    let port = |n: u16| {
        if frame::has_ports(w.proto) {
            Port::Known(n)
        } else {
            Port::None
        }
    };
    let packet = Packet {
        src: Some(w.src),
        dst: w.dst,
        proto: Proto(w.proto),
        sport: port(w.sport),
        dport: port(w.dport),
        icmp: matches!(w.proto, frame::ICMP | frame::ICMPV6).then_some(w.icmp),
        origin: Origin::Device(dev),
        mark: 0,
        ct_state: None,
        tos: w.tos,
        ttl: w.ttl,
        flags: TcpFlags(w.flags),
        length: u32::try_from(w.length()).unwrap_or(0),
        mac: Some(net::CLIENT_MAC),
        uid: None,
        gid: None,
        conn: None,
        calico: nfwhy::sim::CalicoSeen::default(),
    };
    cluster.ways(s.node, &packet, &s.memory).ok()
}

fn certain(ways: &[Way]) -> bool {
    // The lab has no router that would hand on what nodes send to theirs.
    let routed = |w: &Way| {
        let hops = &mut w.hops.iter();
        hops.any(|h| matches!(h.entry, Entry::Routed { .. }))
    };
    // What the model does not claim to know (whether an outer flow is a new one) is not asked.
    let assumed = |w: &Way| !w.assumed.is_empty();
    ways.iter()
        .all(|w| !matches!(w.end, End::Unknown(_)) && !routed(w) && !assumed(w))
}

/// The far end at which a packet is to come out.
fn expected(cluster: &Cluster<'_>, way: &Way) -> Option<Far> {
    let hop = way.last()?;
    let out = hop.outcome()?.out.as_ref()?;
    let name = cluster.places[hop.place].node.device(out.dev).name.as_str();
    match (&way.end, name) {
        (End::Pod | End::Beyond, "pod0") => Some(Far::Pod(hop.place, 0)),
        (End::Pod | End::Beyond, "pod1") => Some(Far::Pod(hop.place, 1)),
        (End::Beyond, "ext0") => Some(Far::Client),
        _ => None,
    }
}

fn end_differences(
    cluster: &Cluster<'_>,
    way: &Way,
    seen: &[(Far, [u8; 6], frame::Wire)],
) -> Vec<String> {
    let mut bad = Vec::new();
    let want = expected(cluster, way);
    let (far, w) = match (want, seen) {
        (None, []) => return bad,
        (Some(far), [(at, by, w)]) if far == *at => {
            let hop = way.last().map_or(0, |h| h.place);
            if far == Far::Client && *by != mac(hop, 0) {
                bad.push(format!("left node{hop}, but comes from {by:?}"));
            }
            (far, w)
        }
        _ => {
            bad.push(format!("comes out at {want:?}, but was seen {seen:?}"));
            return bad;
        }
    };
    let Some(d) = way.last().and_then(|h| h.outcome()?.delivered) else {
        bad.push(format!("nothing is said to come out at {far:?}"));
        return bad;
    };
    if d.src.is_some_and(|s| s != w.src) || d.dst != w.dst {
        bad.push(format!(
            "addresses {:?} > {}, but {} > {}",
            d.src, d.dst, w.src, w.dst
        ));
    }
    if frame::has_ports(w.proto) {
        for (said, did) in [(d.sport, w.sport), (d.dport, w.dport)] {
            if said.within(&Range { lo: did, hi: did }) == Some(false) {
                bad.push(format!("port {said:?}, but {did}"));
            }
        }
    }
    bad
}

fn add_hits(cluster: &Cluster<'_>, way: &Way, said: &mut [Both]) {
    for h in &way.hops {
        let Some(o) = h.outcome() else { continue };
        let node = &cluster.places[h.place].node;
        for hit in o.hits() {
            let table = node.netfilter.view(hit.table).expect("a hit is of a table");
            let v6 = table.family() == "ip6";
            *said[h.place][usize::from(v6)]
                .entry(key(node, hit))
                .or_default() += 1;
        }
    }
}

fn deltas(before: &Both, after: &Both) -> Both {
    [0, 1].map(|i| delta(&before[i], &after[i]))
}

/// The answer to what came out, from where it came out.
fn reply_to(s: &Shot, way: &Way, seen: &[(Far, [u8; 6], frame::Wire)]) -> Option<Shot> {
    let [(far, _, w)] = seen else { return None };
    if s.reply {
        return None;
    }
    let reply = answers::reply_to(0, w)?;
    Some(Shot {
        far: *far,
        node: way.last()?.place,
        wire: reply.wire,
        memory: way.memory.clone(),
        reply: true,
    })
}
