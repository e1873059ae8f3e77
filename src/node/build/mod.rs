//! A snapshot's files into a [`Node`]: the same thing captured twice is one thing, the richer form counts.

mod ebpf;
mod kube;
mod links;
mod netfilter;
mod nft;
mod partial;
mod routes;
mod rules;
mod same;
mod seen;
mod state;

use super::device::{DevId, Device};
use super::fib::{Fib, TableId};
use super::{Captured, FileId, FileInfo, Node, Warning};
use crate::capture::Snapshot;
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::{Diagnostic, Parsed};
use std::collections::HashMap;

struct Builder<'a> {
    files: Vec<FileInfo<'a>>,
    captured: Captured,
    devices: Vec<Device>,
    names: HashMap<String, DevId>,
    warnings: Vec<Warning>,
    /// Files of which it is known that they do not show all.
    in_part: Vec<FileId>,
    table_names: HashMap<TableId, String>,
    doubts: same::Doubts,
}

pub(super) fn build(snapshot: &Snapshot) -> Node<'_> {
    let mut b = Builder {
        files: snapshot
            .files
            .iter()
            .map(|f| FileInfo {
                name: f.name.clone(),
                text: &f.text,
            })
            .collect(),
        captured: Captured::default(),
        devices: Vec::new(),
        names: HashMap::new(),
        warnings: Vec::new(),
        in_part: partial::files(snapshot),
        table_names: HashMap::new(),
        doubts: same::Doubts::default(),
    };
    for (name, why) in &snapshot.skipped {
        b.warn(None, 0, format!("{name}: {why}"));
    }
    for u in &snapshot.unread {
        b.warnings.push(Warning {
            file: None,
            line: 0,
            columns: None,
            message: format!("not readable: {}: {}", u.what, u.why),
            help: Some(format!("`{}` shows it to root", u.command)),
        });
    }
    for remark in &snapshot.remarks {
        b.warn(None, 0, remark.clone());
    }
    for (i, f) in snapshot.files.iter().enumerate() {
        if f.lossy {
            b.warn(
                Some(file_id(i)),
                0,
                "holds bytes that are not UTF-8; they were replaced".into(),
            );
        }
    }
    let of = |kind: Kind| {
        snapshot
            .files
            .iter()
            .enumerate()
            .filter(move |(_, f)| f.kind == kind)
            .map(|(i, f)| (file_id(i), f.text.as_str()))
            .collect::<Vec<_>>()
    };

    b.links(&of(Kind::Link));
    let objects = b.nexthops(&of(Kind::Nexthop));
    let mut fib4 = Fib::default();
    let mut fib6 = Fib::default();
    b.routes(
        &of(Kind::Route),
        &of(Kind::RouteN),
        &objects,
        &mut fib4,
        &mut fib6,
    );
    // Of a live reading or a capture with a manifest: there are none, and that is known.
    for f in &snapshot.files {
        if f.kind == Kind::Route && f.text.is_empty() {
            let c = &mut b.captured;
            if f.name.contains("-6-") {
                (c.route6, c.local6) = (true, true);
            } else {
                (c.route4, c.local4) = (true, true);
            }
        }
    }
    b.derive_local(&mut fib4, &mut fib6);
    b.rules(&of(Kind::Rule), &mut fib4, &mut fib6);
    fib4.names.clone_from(&b.table_names);
    fib6.names.clone_from(&b.table_names);
    b.captured.neigh = !of(Kind::Neigh).is_empty();
    let mut netfilter = b.netfilter(&of(Kind::IptablesSave), &of(Kind::IptablesListing));
    netfilter.nft = b.nft(&of(Kind::Nft), &mut netfilter.tables);
    b.twins(&mut netfilter);
    let sets = b.sets(&of(Kind::Ipset));
    let ipvs = b.ipvs(&of(Kind::Ipvs));
    let in_part = partial::in_part(snapshot, &netfilter, &b.devices);
    let sysctls = b.sysctls(&of(Kind::Sysctl));
    let conntrack = b.conntrack(&of(Kind::Conntrack));
    let neighbours = b.neighbours(&of(Kind::Neigh));
    let seen = seen::seen(&of(Kind::Speaker), &of(Kind::Arping));
    let traffic = seen::traffic(&of(Kind::Tcpdump), &of(Kind::Pcap));
    let programs = b.programs(&of(Kind::Programs));
    let calico = b.calico(&of(Kind::CalicoBpf));
    let cilium = b.cilium(&of(Kind::Cilium));
    let kube = b.kube(&of(Kind::Kube), &of(Kind::KubeTable));
    let mut node = Node {
        files: b.files,
        captured: b.captured,
        in_part,
        assumed: partial::assumed(snapshot),
        devices: b.devices,
        fib4,
        fib6,
        netfilter,
        sets,
        ipvs,
        sysctls,
        conntrack,
        neighbours,
        seen,
        traffic,
        unread: snapshot.unread.clone(),
        programs,
        calico,
        cilium,
        kube,
        warnings: b.warnings,
    };
    node.kube.this_node = node.find_this_node();
    node
}

fn file_id(i: usize) -> FileId {
    FileId(u16::try_from(i).unwrap_or(u16::MAX))
}

fn owned(c: impl AsRef<str>) -> String {
    c.as_ref().to_owned()
}

impl Builder<'_> {
    pub(super) fn file_name(&self, file: FileId) -> &str {
        self.files
            .get(usize::from(file.0))
            .map_or("", |f| f.name.as_str())
    }

    pub(super) fn warn(&mut self, file: Option<FileId>, line: u32, message: String) {
        self.warnings.push(Warning {
            file,
            line,
            columns: None,
            message,
            help: None,
        });
    }

    pub(super) fn take<T>(&mut self, file: FileId, parsed: Parsed<T>) -> T {
        let text = self.files.get(usize::from(file.0)).map_or("", |f| f.text);
        // Of rules that a filter let through it goes without saying.
        let filtered = self.in_part.contains(&file);
        for d in parsed.diagnostics {
            let goes = ["is not declared", "has no COMMIT"];
            if filtered && goes.iter().any(|g| d.message.ends_with(g)) {
                continue;
            }
            self.warnings.push(warning_of(text, file, &d));
        }
        parsed.value
    }

    pub(super) fn dev(&mut self, name: &str) -> DevId {
        if let Some(d) = self.names.get(name) {
            return *d;
        }
        let id = DevId(u16::try_from(self.devices.len()).unwrap_or(u16::MAX));
        self.devices.push(Device::named(name));
        self.names.insert(name.to_owned(), id);
        id
    }
}

/// A parser's diagnostic with columns within its line.
fn warning_of(text: &str, file: FileId, d: &Diagnostic) -> Warning {
    let start = (d.span.start as usize).min(text.len());
    let line_start = text.as_bytes()[..start]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |p| p + 1);
    let col = |n: usize| u32::try_from(n.saturating_sub(line_start)).unwrap_or(0);
    Warning {
        file: Some(file),
        line: d.line,
        columns: Some((col(start), col((d.span.end as usize).max(start)))),
        message: d.message.clone(),
        help: d.help.clone(),
    }
}
