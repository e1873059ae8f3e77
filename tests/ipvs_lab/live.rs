//! A node as nfwhy reads it beside what the commands of the same machine print: the records of IPVS and of sets, and the answers to packets.

use super::beside;
use super::judge::packet;
use super::probes::{self, Probe};
use super::record::Record;
use super::scenario::Scenario;
use nfwhy::capture::{Snapshot, SourceFile, manifest};
use nfwhy::node::Node;
use nfwhy::sim::simulate;
use nfwhy::trace::Trace;
use nfwhy_parsers::common::Span;
use nfwhy_parsers::ipset::{self, IpSet};
use nfwhy_parsers::ipvs::{self, VirtualService};
use std::fmt;

/// What was compared.
#[derive(Debug, Default)]
pub struct Live {
    scenarios: usize,
    services: usize,
    servers: usize,
    members: usize,
    files: usize,
    packets: usize,
    replies: usize,
    /// Packets with an answer that IPVS has a part in.
    served: usize,
    /// Seeds and what differs.
    pub differing: Vec<String>,
}

impl Live {
    /// Compares one machine's two readings. Records of an older run have none.
    pub fn hold(&mut self, s: &Scenario, record: &Record) {
        if record.live.outputs.is_empty() {
            return;
        }
        self.scenarios += 1;
        self.records(record);
        self.answers(s, record);
    }

    /// Asks both about all packets: those that were sent, replies to them, and others.
    fn answers(&mut self, s: &Scenario, record: &Record) {
        let mut by_commands = Snapshot::default();
        for (name, text) in &record.commands {
            by_commands.add(name.clone(), text.clone().into_bytes());
        }
        let files = record.live.outputs.iter().map(|(name, text)| SourceFile {
            name: name.clone(),
            kind: manifest::kind(name).expect("a name of an output"),
            text: text.clone(),
            lossy: false,
        });
        let live = Snapshot {
            files: files.collect(),
            unread: record.live.unread.clone(),
            remarks: record.live.remarks.clone(),
            ..Snapshot::default()
        };
        let replies = s.probes.iter().zip(&record.courses).filter_map(|(p, c)| {
            let reply = probes::reply(p, &c.first, s.tunnelled())?;
            Some((reply, Some(p.clone())))
        });
        let first = s.probes.iter().chain(&s.asked).map(|p| (p.clone(), None));
        let asked: Vec<Asked> = first.chain(replies).collect();
        self.packets += asked.len();
        self.replies += asked.iter().filter(|(_, after)| after.is_some()).count();
        let node = Node::new(&live);
        let served = |a: &&Asked| {
            use nfwhy::trace::StepKind::{Ipvs, IpvsReply};
            let by_ipvs = |t: Trace| {
                let mut steps = t.outcomes.iter().flat_map(|o| &o.steps);
                steps.any(|s| matches!(s.kind, Ipvs { .. } | IpvsReply { .. }))
            };
            ask(&node, a).is_ok_and(by_ipvs)
        };
        self.served += asked.iter().filter(served).count();
        let found = beside::differences(record.seed, &by_commands, &live, &asked, ask);
        self.differing.extend(found);
    }

    fn records(&mut self, record: &Record) {
        let text = |name: &str| {
            let found = record.live.outputs.iter().chain(&record.files);
            found
                .into_iter()
                .find(|(n, _)| n == name)
                .map_or("", |(_, t)| t)
        };
        let (live, told) = (services(text("ipvsadm")), services(&record.listing));
        self.services += told.len();
        self.servers += told.iter().map(|s| s.servers.len()).sum::<usize>();
        if live != told {
            let all = format!("{}: {live:#?}\nipvsadm: {told:#?}", record.seed);
            self.differing.push(all);
        }
        // The file tells no flags, and the time in ticks; who serves whom it tells.
        let pairs = |all: &[VirtualService<'_>]| -> Vec<String> {
            let one = |s: &VirtualService<'_>| {
                let servers = s
                    .servers
                    .iter()
                    .map(|r| (r.addr, r.port, r.method, r.weight));
                let servers: Vec<_> = servers.collect();
                format!("{:?} {} {servers:?}", s.key, s.scheduler)
            };
            let mut all: Vec<String> = all.iter().map(one).collect();
            all.sort();
            all
        };
        let file = services(&record.live.file);
        // A mark without real servers shows no family there.
        let told_there: Vec<_> = told
            .iter()
            .filter(|s| !s.servers.is_empty())
            .cloned()
            .collect();
        let file: Vec<_> = file.into_iter().filter(|s| !s.servers.is_empty()).collect();
        // Read in more than one piece it leaves services out here, where many namespaces have some (see `file` in the reader).
        let (file_pairs, all_pairs) = (pairs(&file), pairs(&told_there));
        let whole = record.live.file.len() < 2048;
        self.files += usize::from(whole);
        if file_pairs.iter().any(|p| !all_pairs.contains(p)) || whole && file_pairs != all_pairs {
            let all = format!("{}: /proc/net/ip_vs {file:#?}\n{told:#?}", record.seed);
            self.differing.push(all);
        }
        let (live, told) = (sets(text("ipset-save")), sets(text("ipset.txt")));
        self.members += told.iter().map(|s| s.members.len()).sum::<usize>();
        if live != told {
            let all = format!("{}: {live:#?}\nipset: {told:#?}", record.seed);
            self.differing.push(all);
        }
    }
}

/// A packet, and for a reply the packet it replies to.
type Asked = (Probe, Option<Probe>);

/// All ends of a packet, or of a reply to what the first end of a packet made.
fn ask(node: &Node<'_>, (p, after): &Asked) -> Result<Trace, String> {
    let one = |p: &Probe, conn| {
        packet(node, p, conn).and_then(|q| simulate(node, &q).map_err(|e| e.to_string()))
    };
    let conn = match after {
        None => None,
        Some(first) => one(first, None)?.outcomes.into_iter().find_map(|o| o.conn),
    };
    one(p, conn)
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for d in self.differing.iter().take(3) {
            writeln!(f, "live: {d}")?;
        }
        write!(
            f,
            "read live: {} scenarios ({} services, {} real servers, {} members of sets; {} whole files; {} packets, {} of them replies, {} that IPVS has a part in), {} differ",
            self.scenarios,
            self.services,
            self.servers,
            self.members,
            self.files,
            self.packets,
            self.replies,
            self.served,
            self.differing.len()
        )
    }
}

/// Services without places in the text, sorted: ipvsadm compares numbers by the sign of a difference, which may wrap.
fn services(text: &str) -> Vec<VirtualService<'_>> {
    let mut all = ipvs::parse(text).value;
    for s in &mut all {
        (s.line, s.span) = (0, Span::default());
        for r in &mut s.servers {
            (r.line, r.span) = (0, Span::default());
        }
        s.servers.sort_by_key(|r| (r.addr, r.port));
    }
    all.sort_by_key(|s| format!("{:?}", s.key));
    all
}

fn sets(text: &str) -> Vec<IpSet<'_>> {
    let mut all = ipset::parse(text).value;
    for s in &mut all {
        (s.line, s.span) = (0, Span::default());
        for m in &mut s.members {
            m.line = 0;
            // Seconds go by.
            m.timeout = m.timeout.map(|t| t.min(1));
        }
        s.members.sort_by_key(|m| format!("{m:?}"));
    }
    all.sort_by_key(|s| s.name.clone());
    all
}
