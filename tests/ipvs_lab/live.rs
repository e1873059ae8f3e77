//! IPVS and sets as nfwhy reads them beside what the commands of the same machine print.

use super::record::Record;
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
    /// Seeds and what differs.
    pub differing: Vec<String>,
}

impl Live {
    /// Compares one machine's two readings. Records of an older run have none.
    pub fn hold(&mut self, record: &Record) {
        if record.live.is_empty() {
            return;
        }
        self.scenarios += 1;
        let text = |name: &str| {
            let found = record.live.iter().chain(&record.files);
            found
                .into_iter()
                .find(|(n, _)| n == name)
                .map_or("", |(_, t)| t)
        };
        let unread = text("unread");
        if !unread.is_empty() {
            self.differing.push(format!("{}: {unread}", record.seed));
        }
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
        let file = services(text("ip_vs"));
        // A mark without real servers shows no family there.
        let told_there: Vec<_> = told
            .iter()
            .filter(|s| !s.servers.is_empty())
            .cloned()
            .collect();
        let file: Vec<_> = file.into_iter().filter(|s| !s.servers.is_empty()).collect();
        // Read in more than one piece it leaves services out here, where many namespaces have some (see `file` in the reader).
        let (file_pairs, all_pairs) = (pairs(&file), pairs(&told_there));
        let whole = text("ip_vs").len() < 2048;
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

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for d in self.differing.iter().take(3) {
            writeln!(f, "live: {d}")?;
        }
        write!(
            f,
            "read live: {} scenarios ({} services, {} real servers, {} members of sets; {} whole files), {} differ",
            self.scenarios,
            self.services,
            self.servers,
            self.members,
            self.files,
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
