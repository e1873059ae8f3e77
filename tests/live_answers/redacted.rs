//! A node once redacted: the same answers, and none of its addresses.
//!
//! What redaction could not replace it names by file and line. Such a node is compared like the others. A packet whose answer differs
//! is accepted only where the named rules are the reason: without them, in both nodes, its answer is the same. All such packets are counted.
//! An address may only be where it is named, in that line.

use crate::lab::judge;
use crate::lab::probe::Probe;
use nfwhy::capture::Snapshot;
use nfwhy::capture::redact::{Report, redact};
use nfwhy::node::Node;
use nfwhy::sim::simulate;
use nfwhy::trace::{Outcome, Packet};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Mutex;

/// What the run has met.
#[derive(Default)]
struct Tally {
    nodes: u64,
    whole: u64,
    packets: u64,
    /// Lines named, nodes that hold such, and packets they make the answer of differ, by what is said of them.
    left: BTreeMap<String, (u64, u64, u64)>,
}

static TALLY: Mutex<Tally> = Mutex::new(Tally {
    nodes: 0,
    whole: 0,
    packets: 0,
    left: BTreeMap::new(),
});

/// What the run has met, in words.
pub fn tally() -> String {
    let t = TALLY.lock().expect("no thread died");
    let apart: u64 = t.left.values().map(|(_, _, p)| p).sum();
    let mut text = format!(
        "redacted: {} nodes compared, {} with nothing left; {} packets, {apart} not comparable",
        t.nodes, t.whole, t.packets
    );
    for (what, (lines, nodes, packets)) in &t.left {
        let _ = write!(
            text,
            "\n  {lines} lines of {nodes} nodes, {packets} packets not comparable: {what}"
        );
    }
    text
}

/// What becomes of a packet, without what redaction replaces.
fn fate(node: &Node<'_>, packet: &Packet) -> Vec<String> {
    let fate = |o: &Outcome| {
        let hits: Vec<String> = o
            .hits()
            .map(|h| format!("{}/{}/{}", h.table, h.chain.0, h.rule))
            .collect();
        let (verdict, kept) = (o.verdict.name(), o.client_ip_kept);
        format!("{verdict} {:?} {kept:?} {}", o.probability, hits.join(" "))
    };
    simulate(node, packet).map_or_else(|_| Vec::new(), |t| t.outcomes.iter().map(fate).collect())
}

/// A frame's address as redaction writes it.
fn mac(report: &Report, mac: [u8; 6]) -> [u8; 6] {
    let text: Vec<String> = mac.iter().map(|b| format!("{b:02x}")).collect();
    let mut out = [0; 6];
    for (o, b) in out.iter_mut().zip(report.mac(&text.join(":")).split(':')) {
        *o = u8::from_str_radix(b, 16).expect("a byte");
    }
    out
}

/// Addresses of a text as words, but for those that everybody has.
fn addresses(text: &str) -> BTreeSet<IpAddr> {
    let tells = |ip: &IpAddr| match ip {
        IpAddr::V4(a) => {
            let o = a.octets();
            !(matches!(o[0], 0 | 127 | 224..) || a.is_link_local() || o[3] == 0 && o[2] == 0)
        }
        IpAddr::V6(a) => {
            let s = a.segments();
            s[0] & 0xff00 == 0xfd00 && s[1..].iter().any(|s| *s != 0)
        }
    };
    text.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
        .filter_map(|w| w.trim_matches(':').parse().ok())
        .filter(tells)
        .collect()
}

/// A thing that was left: its file, line from 1, and what is said of it.
struct Left<'r> {
    file: &'r str,
    line: usize,
    what: &'r str,
}

impl<'r> Left<'r> {
    fn new(text: &'r str) -> Self {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().expect("file:line: what");
        let (file, line) = (next(), next().parse().expect("a line's number"));
        Self {
            file,
            line,
            what: next().trim_start(),
        }
    }

    /// The address it is about, which may be in its line.
    fn address(&self) -> Option<IpAddr> {
        let (word, _) = self.what.split_once(": ")?;
        word.split('/').next()?.parse().ok()
    }

    /// What is said, without the address.
    fn sort(&self) -> &str {
        match self.address() {
            Some(_) => self.what.split_once(": ").map_or("", |(_, s)| s),
            None => self.what,
        }
    }
}

/// The snapshot without the rules of those lines; what is no rule is kept.
fn without(snapshot: &Snapshot, left: &[&Left<'_>]) -> Snapshot {
    let mut out = snapshot.clone();
    for f in &mut out.files {
        let lines: BTreeSet<usize> = left
            .iter()
            .filter(|l| l.file == f.name)
            .map(|l| l.line)
            .collect();
        if lines.is_empty() {
            continue;
        }
        let rule = |l: &str| {
            let l = l.trim();
            // A rule of nft ends in its handle; so do the first lines of chains and sets.
            let nft = l
                .split_once(" # handle ")
                .is_some_and(|(r, _)| !r.ends_with('{'));
            l.starts_with("-A ") || l.starts_with('[') || nft
        };
        let text = f.text.split_inclusive('\n').enumerate();
        f.text = text
            .map(|(n, l)| {
                if lines.contains(&(n + 1)) && rule(l) {
                    "\n"
                } else {
                    l
                }
            })
            .collect();
    }
    out
}

/// The numbers of a line in which raw bits are compared.
fn raw_numbers(line: &str) -> BTreeSet<u128> {
    let raw = ["--u32 ", "--bytecode ", "@nh,", "@th,", "@ih,", "@ll,"];
    if !raw.iter().any(|w| line.contains(w)) {
        return BTreeSet::new();
    }
    let number = |w: &str| match w.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None => w.parse().ok(),
    };
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(number)
        .collect()
}

/// Addresses of the node that are in a line of the redacted one, and not named there.
fn leaks(live: &Snapshot, other: &Snapshot, left: &[Left<'_>]) -> Vec<String> {
    let mut known = BTreeSet::new();
    for f in &live.files {
        known.extend(addresses(&f.text));
    }
    let numbers: BTreeSet<u128> = known
        .iter()
        .map(|a| match a {
            IpAddr::V4(a) => u128::from(a.to_bits()),
            IpAddr::V6(a) => a.to_bits(),
        })
        .collect();
    let mut found = Vec::new();
    for f in &other.files {
        for (n, line) in f.text.lines().enumerate() {
            let here = || left.iter().filter(|l| l.file == f.name && l.line == n + 1);
            for a in addresses(line) {
                if known.contains(&a) && !here().any(|l| l.address() == Some(a)) {
                    found.push(format!("{a} is left in {}:{}", f.name, n + 1));
                }
            }
            let raw = raw_numbers(line);
            if raw.intersection(&numbers).next().is_some()
                && !here().any(|l| {
                    l.sort().contains("may hold an address")
                        || l.sort().contains("may be an address")
                })
            {
                found.push(format!(
                    "an address as a number is left in {}:{}: {line}",
                    f.name,
                    n + 1
                ));
            }
        }
    }
    found
}

/// What is wrong with the node once redacted.
pub fn wrong(seed: u64, live: &Snapshot, probes: &[Probe]) -> Vec<String> {
    let mut files: Vec<_> = live
        .files
        .iter()
        .map(|f| (f.name.clone(), f.kind, f.text.clone()))
        .collect();
    let report = redact(&mut files).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let mut other = live.clone();
    for (f, (_, _, text)) in other.files.iter_mut().zip(files) {
        f.text = text;
    }
    let left: Vec<Left<'_>> = report.left.iter().map(|l| Left::new(l)).collect();
    let mut bad: Vec<String> = leaks(live, &other, &left)
        .into_iter()
        .map(|l| format!("seed {seed}, redacted: {l}"))
        .collect();
    let mut sorts: BTreeMap<&str, Vec<&Left<'_>>> = BTreeMap::new();
    for l in &left {
        sorts.entry(l.sort()).or_default().push(l);
    }
    let mut apart: BTreeMap<String, u64> = BTreeMap::new();
    let (before, after) = (Node::new(live), Node::new(&other));
    for p in probes {
        let packet = judge::packet(&before, p, None);
        // Devices have the same numbers.
        let mapped = Packet {
            src: packet.src.map(|a| report.address(a)),
            dst: report.address(packet.dst),
            mac: packet.mac.map(|m| mac(&report, m)),
            ..packet.clone()
        };
        let (a, b) = (fate(&before, &packet), fate(&after, &mapped));
        if a == b {
            continue;
        }
        let alike = |left: &[&Left<'_>]| {
            let (x, y) = (without(live, left), without(&other, left));
            fate(&Node::new(&x), &packet) == fate(&Node::new(&y), &mapped)
        };
        let all: Vec<&Left<'_>> = left.iter().collect();
        if let Some((sort, _)) = sorts.iter().find(|(_, of)| alike(of)) {
            *apart.entry((*sort).to_owned()).or_default() += 1;
        } else if !left.is_empty() && alike(&all) {
            *apart.entry("several of these".to_owned()).or_default() += 1;
        } else {
            bad.push(format!("seed {seed}, redacted: {p:?}\n  {a:?}\n  {b:?}"));
        }
    }
    let mut t = TALLY.lock().expect("no thread died");
    t.nodes += 1;
    t.whole += u64::from(left.is_empty());
    t.packets += u64::try_from(probes.len()).unwrap_or(0);
    for (sort, of) in &sorts {
        let e = t.left.entry((*sort).to_owned()).or_default();
        e.0 += u64::try_from(of.len()).unwrap_or(0);
        e.1 += 1;
    }
    for (sort, packets) in apart {
        t.left.entry(sort).or_default().2 += packets;
    }
    bad
}
