//! The simulator's answer beside the kernel's.

use nfwhy::node::{NftTable, Node};
use nfwhy::sim::{Conn, Limits, WhatIf, simulate_what_if};
use nfwhy::trace::{
    ForkKind, Hook, Origin, Outcome, Packet, Port, Reason, StepKind, TcpFlags, Trace, Verdict,
};
use nfwhy_parsers::iptables::Backend as ParsedBackend;
use nfwhy_parsers::nft::Stmt;
use nfwhy_parsers::{Family, Proto, Range};
use nix::errno::Errno;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

use super::frame::{DCCP, ICMP, ICMPV6, TCP, Wire, has_ports};
use super::netns::DEVICES;
use super::place::place;
use super::probe::{From, Observed, Probe};
use super::spec::{Backend, Counters, RuleKey};

/// The packet as the simulator takes it.
pub fn packet(node: &Node<'_>, p: &Probe, conn: Option<Conn>) -> Packet {
    let w = &p.wire;
    let ports = has_ports(w.proto);
    let port = |n: u16| if ports { Port::Known(n) } else { Port::None };
    let (origin, mark, mac, owner) = match p.from {
        From::Device { dev, mac } => {
            let dev = node
                .device_by_name(DEVICES[dev])
                .expect("the capture has all devices");
            (Origin::Device(dev), 0, Some(mac), None)
        }
        From::Local { mark, uid, gid, .. } => (Origin::Local, mark, None, Some((uid, gid))),
    };
    let bound = !matches!(p.from, From::Local { bound: false, .. });
    // A connecting socket sends options: 20 bytes of them.
    let local_syn = origin == Origin::Local && w.proto == TCP;
    let length = if local_syn {
        if w.dst.is_ipv4() { 60 } else { 80 }
    } else {
        w.length()
    };
    Packet {
        src: bound.then_some(w.src),
        dst: w.dst,
        proto: Proto(w.proto),
        sport: port(w.sport),
        dport: port(w.dport),
        icmp: matches!(w.proto, ICMP | ICMPV6).then_some(w.icmp),
        origin,
        mark,
        ct_state: None,
        tos: w.tos,
        ttl: w.ttl,
        flags: TcpFlags(w.flags),
        length: u32::try_from(length).unwrap_or(0),
        mac,
        uid: owner.map(|(u, _)| u),
        gid: owner.map(|(_, g)| g),
        conn,
        calico: nfwhy::sim::CalicoSeen::default(),
    }
}

/// All ends that the simulator gives a packet.
pub fn ask(node: &Node<'_>, p: &Probe, conn: Option<Conn>) -> Result<Trace, String> {
    let noting = WhatIf {
        note_misses: true,
        ..WhatIf::default()
    };
    simulate_what_if(node, &packet(node, p, conn), &noting, Limits::default())
        .map_err(|e| e.to_string())
}

/// Whether the packet may leave the node, so that there can be an answer.
pub fn leaves(node: &Node<'_>, p: &Probe) -> bool {
    let forwarded = |o: &Outcome| o.verdict == Verdict::Forwarded;
    ask(node, p, None).is_ok_and(|t| t.outcomes.iter().any(forwarded))
}

/// The rules an outcome says were counted.
pub fn hits(node: &Node<'_>, o: &Outcome) -> Counters {
    let mut out = Counters::new();
    for h in o.hits() {
        *out.entry(key(node, h)).or_default() += 1;
    }
    // A native rule counts as far as it comes.
    for m in &o.misses {
        let counted = |t: &NftTable<'_>| {
            let rule = t.rules(m.hit.chain).get(m.hit.rule)?;
            let is_counter = |s: &Stmt<'_>| matches!(s, Stmt::Counter(_));
            Some(m.by? > rule.stmts.iter().position(is_counter)?)
        };
        if node.netfilter.nft(m.hit.table).and_then(counted) == Some(true) {
            *out.entry(key(node, &m.hit)).or_default() += 1;
        }
    }
    out
}

/// A rule's place as the counters name it.
pub fn key(node: &Node<'_>, h: &nfwhy::trace::Hit) -> RuleKey {
    let (backend, table, chain, rule) = place(node, h);
    let backend = match backend {
        None => Backend::Native,
        Some(ParsedBackend::Legacy) => Backend::Legacy,
        Some(ParsedBackend::Nft) => Backend::Nft,
    };
    (backend, table, chain, rule)
}

/// Counters of rules that were counted between two readings.
pub fn delta(before: &Counters, after: &Counters) -> Counters {
    after
        .iter()
        .filter_map(|(k, n)| {
            let d = n.saturating_sub(before.get(k).copied().unwrap_or(0));
            (d != 0).then(|| (k.clone(), d))
        })
        .collect()
}

/// Where two multisets of hits differ.
pub fn hit_differences(node: &Node<'_>, v6: bool, said: &Counters, did: &Counters) -> Vec<String> {
    let mut out = Vec::new();
    let keys: std::collections::BTreeSet<&RuleKey> = said.keys().chain(did.keys()).collect();
    for k in keys {
        let (a, b) = (
            said.get(k).copied().unwrap_or(0),
            did.get(k).copied().unwrap_or(0),
        );
        if a != b {
            out.push(format!(
                "{:?} {} {}:{} simulated {a}, kernel {b}: {}",
                k.0,
                k.1,
                k.2,
                k.3 + 1,
                rule_text(node, v6, k)
            ));
        }
    }
    out
}

/// The rule's own line.
pub fn rule_text<'a>(node: &Node<'a>, v6: bool, k: &RuleKey) -> &'a str {
    for t in &node.netfilter.nft {
        if k.0 == Backend::Native
            && k.1 == format!("{} {}", t.def.family.name(), t.def.name)
            && let Some(c) = t.chain(&k.2)
        {
            return t.rule_text(c, k.3);
        }
    }
    for t in &node.netfilter.tables {
        if (t.family == Family::V6) != v6 {
            continue;
        }
        let same = matches!(
            (t.backend, k.0),
            (ParsedBackend::Legacy, Backend::Legacy) | (ParsedBackend::Nft, Backend::Nft)
        );
        if same
            && t.kind.name() == k.1
            && let Some(c) = t.chain(&k.2)
            && t.rule_count() > 0
        {
            let text = t.rule_text(c, k.3);
            if !text.is_empty() {
                return text;
            }
        }
    }
    ""
}

/// What of an outcome, its hits apart, the kernel did otherwise. `limited`: the kernel may leave out an error message.
pub fn end_differences(
    node: &Node<'_>,
    p: &Probe,
    o: &Outcome,
    seen: &Observed,
    limited: bool,
) -> Vec<String> {
    let mut bad = Vec::new();
    let kernel = kernel_verdict(p, seen);
    let said = match o.verdict {
        Verdict::Forwarded => "forwarded",
        Verdict::Local => "local",
        Verdict::Dropped => "dropped",
        Verdict::Rejected => "rejected",
        // Nobody listens to the queue.
        Verdict::Queued => "dropped",
        Verdict::Unknown => return bad,
    };
    if said != kernel {
        let silent = o.verdict == Verdict::Rejected
            && kernel == "dropped"
            && (limited || unanswerable(p, o));
        if !silent {
            bad.push(format!(
                "verdict: simulated {said} ({:?}), kernel {kernel}",
                o.reason
            ));
        }
        return bad;
    }
    match o.verdict {
        Verdict::Forwarded => {
            let [(dev, w)] = seen.left.as_slice() else {
                bad.push(format!("{} packets left", seen.left.len()));
                return bad;
            };
            let out = o
                .out
                .as_ref()
                .map_or("none", |x| node.device(x.dev).name.as_str());
            if out != DEVICES[*dev] {
                bad.push(format!("device: simulated {out}, kernel {}", DEVICES[*dev]));
            }
            same_packet(o, w, &mut bad);
            if let Some(m) = seen.sent_mark
                && m != o.mark
            {
                bad.push(format!("mark: simulated {:#x}, kernel {m:#x}", o.mark));
            }
        }
        Verdict::Local => {
            let [(mark, w)] = seen.delivered.as_slice() else {
                bad.push(format!("{} packets delivered", seen.delivered.len()));
                return bad;
            };
            same_packet(o, w, &mut bad);
            if *mark != o.mark {
                bad.push(format!("mark: simulated {:#x}, kernel {mark:#x}", o.mark));
            }
        }
        _ => {}
    }
    bad
}

/// The kernel's verdict in the simulator's words.
pub fn kernel_verdict(p: &Probe, seen: &Observed) -> &'static str {
    if !seen.left.is_empty() {
        return "forwarded";
    }
    if !seen.delivered.is_empty() {
        return "local";
    }
    if !seen.answers.is_empty() {
        return "rejected";
    }
    let local = matches!(p.from, From::Local { .. });
    match seen.error {
        // The sender is told that there is no way (`fib_props`), no such source, or too large.
        Some(
            Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::EACCES
            | Errno::EADDRNOTAVAIL
            | Errno::EMSGSIZE
            | Errno::ECONNREFUSED,
        ) if local => "rejected",
        _ => "dropped",
    }
}

fn same_packet(o: &Outcome, w: &Wire, bad: &mut Vec<String>) {
    let Some(d) = &o.delivered else {
        bad.push("nothing simulated to be delivered".into());
        return;
    };
    if d.src.is_some_and(|s| s != w.src) {
        bad.push(format!("source: simulated {:?}, kernel {}", d.src, w.src));
    }
    if d.dst != w.dst {
        bad.push(format!(
            "destination: simulated {}, kernel {}",
            d.dst, w.dst
        ));
    }
    if has_ports(w.proto) {
        for (what, said, did) in [
            ("source", d.sport, w.sport),
            ("destination", d.dport, w.dport),
        ] {
            let one = Range { lo: did, hi: did };
            if said.within(&one) == Some(false) {
                bad.push(format!("{what} port: simulated {said:?}, kernel {did}"));
            }
        }
    }
}

thread_local! {
    /// Addresses of the thread's node that were looked up, and whether there is a way to them.
    static ROUTES: RefCell<HashMap<IpAddr, Way>> = RefCell::default();
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// There is none.
    None,
    /// To the node itself, or to many.
    Near,
    /// By a device.
    Out,
}

/// Forgets what was looked up on another node.
pub fn new_node() {
    ROUTES.with_borrow_mut(HashMap::clear);
}

fn has_route(to: IpAddr) -> bool {
    route(to) != Way::None
}

/// Whether a packet to there is for the node itself, or for many.
fn is_near(to: IpAddr) -> bool {
    route(to) == Way::Near
}

fn route(to: IpAddr) -> Way {
    ROUTES.with_borrow_mut(|known| {
        *known.entry(to).or_insert_with(|| {
            let said = super::sh::run(&["ip", "route", "get", &to.to_string()], "");
            match said.out.split(' ').next() {
                _ if !said.ok => Way::None,
                Some("local" | "broadcast" | "multicast") => Way::Near,
                _ => Way::Out,
            }
        })
    })
}

/// Whether an error message or reset for this packet has nowhere to go or must not be sent.
pub fn unanswerable(p: &Probe, o: &Outcome) -> bool {
    let w = &p.wire;
    // "No RST for RST" (`nf_reject_ip_tcphdr_get`), no errors about errors (`icmp_send`).
    let reset = w.proto == TCP && w.flags & 4 != 0;
    let error = match w.proto {
        ICMP => !matches!(w.icmp.0, 0 | 8 | 13 | 14),
        ICMPV6 => w.icmp.0 < 128,
        _ => false,
    };
    // Nor about what came to many, and loopback addresses do not leave.
    let many = super::pool::BROADCASTS.contains(&w.dst.to_string().as_str());
    let odd = many
        || w.dst.is_loopback()
        || w.src.is_unspecified()
        || w.src.is_multicast()
        || w.dst.is_multicast();
    let nowhere = !matches!(p.from, From::Local { .. }) && !has_route(w.src);
    // In PREROUTING the way back is looked up by the source alone, and nothing is sent by one to the node itself or to many
    // (`nf_reject_fill_skb_dst`, `icmp_send`).
    let hook = o.steps.iter().rev().find_map(|s| match s.kind {
        StepKind::Hook { hook, .. } => Some(hook),
        _ => None,
    });
    let early = hook == Some(Hook::Prerouting) && is_near(w.src);
    // REJECT looks at the checksum first, and for protocols it does not know without the pseudo header that DCCP's covers
    // (`nf_reject_verify_csum`, `nf_ip_checksum`).
    let silent = reset || w.proto == DCCP;
    silent && matches!(o.reason, Reason::Rule(_)) || error || odd || nowhere || early
}

/// Whether the path forks only where a number is drawn for every packet anew.
pub fn drawn(o: &Outcome) -> bool {
    o.steps.iter().all(|s| match &s.kind {
        StepKind::Fork { what, .. } => matches!(what, ForkKind::Statistic(_)),
        _ => true,
    })
}

/// A rule that was counted more or less often in so many packets than the probabilities of their ends allow; by five standard
/// deviations, and one packet for what is rounded.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a few hundred packets"
)]
pub fn misfit(ends: &[(f64, Counters)], seen: &Counters, packets: u32) -> Option<String> {
    let rules: std::collections::BTreeSet<&RuleKey> =
        ends.iter().flat_map(|(_, hits)| hits.keys()).collect();
    rules.into_iter().find_map(|rule| {
        let times = |hits: &Counters| hits.get(rule).copied().unwrap_or(0) as f64;
        let mean: f64 = ends.iter().map(|(p, hits)| p * times(hits)).sum();
        let square: f64 = ends.iter().map(|(p, hits)| p * times(hits).powi(2)).sum();
        let n = f64::from(packets);
        let sigma = (n * (square - mean * mean).max(0.0)).sqrt();
        let counted = seen.get(rule).copied().unwrap_or(0) as f64;
        ((counted - n * mean).abs() > 5.0 * sigma + 1.0).then(|| {
            format!(
                "a rule to be hit {:.1} times in {packets} packets was hit {counted} times: {rule:?}",
                n * mean
            )
        })
    })
}
