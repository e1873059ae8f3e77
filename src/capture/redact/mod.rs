//! Addresses and names of a capture replaced, alike in all its files, so that it can be shown to others.
//!
//! Everything that a verdict rests on stays: what lies within which prefix, what comes before what, which wildcard holds a device, which
//! program made a rule. What cannot be replaced is named ([`Report::left`]).

mod collect;
mod lines;
mod names;
mod raw;
mod scan;
mod speaker;
#[cfg(test)]
mod tests;
mod trie;
mod words;
mod write;

use collect::Collector;
use lines::{Masks, Special, special_line};
use names::Names;
use nfwhy_parsers::recognise::Kind;
use raw::Within;
use scan::scan;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use thiserror::Error;
use trie::{Addresses, Seed, Shape};
use write::Writer;

/// Why a capture cannot be made ready to be shown.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RedactError {
    /// Every address beside it is in use as well.
    #[error(
        "{file}:{line}: {address} cannot be replaced: all addresses that it could become are in use"
    )]
    Crowded {
        /// The address.
        address: IpAddr,
        /// File it stands in.
        file: String,
        /// Line, from 1.
        line: usize,
    },
}

/// What became of addresses and names.
#[derive(Clone, Debug)]
pub struct Report {
    addresses: Addresses,
    names: Names,
    /// What may hold an address or a name and was left, each with file and line.
    pub left: Vec<String>,
}

impl Report {
    /// What an address became, or would have.
    pub fn address(&self, ip: IpAddr) -> IpAddr {
        self.addresses.map(ip, None).0
    }

    /// What a device is called now.
    pub fn device<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.device_now(name)
    }

    /// What a chain, set, table or device is called now. Chains that are named after a Service are not among them.
    pub fn name(&self, name: &str) -> String {
        self.names.name_now(name)
    }

    /// What a hardware address became, printed as it was.
    pub fn mac(&self, text: &str) -> String {
        self.names.mac_now(text).unwrap_or_else(|| text.to_owned())
    }
}

/// Replaces what tells of the site in the texts of one node: name, kind and text each.
///
/// On an error the texts are as they were.
pub fn redact(files: &mut [(String, Kind, String)]) -> Result<Report, RedactError> {
    let by_chance = RandomState::new();
    let seed = Seed(by_chance.hash_one(1), by_chance.hash_one(2));
    let as_bytes: Vec<String> = files.iter_mut().map(as_text).collect();
    let report = redact_with(files, seed);
    if report.is_err() {
        for ((_, _, text), old) in files.iter_mut().zip(as_bytes) {
            if !old.is_empty() {
                *text = old;
            }
        }
    }
    report
}

/// A map of Calico's that is shown as bytes is written as `calico-node -bpf` shows it, for its addresses stand in no words; of a speaker's log
/// stays what its events say. The old text is given back; empty where it stays as it is.
fn as_text((name, kind, text): &mut (String, Kind, String)) -> String {
    if *kind == Kind::Speaker {
        let reduced = speaker::reduced(text);
        return std::mem::replace(text, reduced);
    }
    let bytes = text.contains("\"0x") || text.lines().any(|l| l.trim_start().starts_with("key:"));
    if *kind != Kind::CalicoBpf || !bytes {
        return String::new();
    }
    let printed = nfwhy_parsers::calico_bpf::parse(name, text)
        .value
        .to_string();
    std::mem::replace(text, printed)
}

fn redact_with(files: &mut [(String, Kind, String)], seed: Seed) -> Result<Report, RedactError> {
    let mut found = Collector {
        kind: Kind::Empty,
        addresses: HashSet::new(),
        ranges: HashSet::new(),
        names: Names::new(seed),
    };
    for (name, kind, text) in files.iter() {
        found.kind = *kind;
        let mut masks = Masks::default();
        let mut within = Within::new(name, *kind, text);
        for line in text.split_inclusive('\n') {
            for (_, ip, len) in raw::found(line, *kind, within.line(line)) {
                let shape = Shape {
                    len,
                    ..Shape::default()
                };
                found.addresses.insert((ip, shape));
            }
            lines::declared(&mut found.names, line, *kind);
            scan(line, masks.line(line, *kind), &mut found);
        }
    }
    found.names.settle();
    let mut out = Writer {
        addresses: found.settle(seed),
        known: found.addresses.iter().map(|(ip, _)| *ip).collect(),
        names: found.names,
        images: HashMap::new(),
        out: String::new(),
        left: Vec::new(),
        crowded: None,
        file: "",
        kind: Kind::Empty,
        family: None,
        line: 0,
        ranges: Vec::new(),
    };
    let mut texts = Vec::with_capacity(files.len());
    for (name, kind, text) in files.iter() {
        out.file = name;
        out.kind = *kind;
        out.out = String::with_capacity(text.len());
        let mut masks = Masks::default();
        let mut within = Within::new(name, *kind, text);
        for (n, original) in text.split_inclusive('\n').enumerate() {
            out.line = n + 1;
            out.family = within.line(original);
            out.note(original, *kind);
            let rewritten = out.rewrite(original, *kind);
            let line = rewritten.as_deref().unwrap_or(original);
            let facts = masks.line(line, *kind);
            match special_line(line, *kind) {
                Some(Special::Key(before, device, after)) => {
                    let name = device.replace('/', ".");
                    let new = out.names.device_now(&name);
                    out.out += before;
                    if new == name {
                        out.out += device;
                    } else {
                        out.out += &new.replace('.', "/");
                    }
                    out.out += after;
                }
                Some(Special::Value(before, value, after)) => {
                    out.out += before;
                    let new = out.names.word(value);
                    out.out += match &new {
                        Some(new) => new,
                        None if words::known_name(value) => value,
                        None => "removed",
                    };
                    out.out += after;
                }
                None => scan(line, facts, &mut out),
            }
        }
        texts.push(std::mem::take(&mut out.out));
    }
    if let Some(crowded) = out.crowded {
        return Err(crowded);
    }
    let report = Report {
        addresses: out.addresses,
        names: out.names,
        left: out.left,
    };
    for ((_, _, text), new) in files.iter_mut().zip(texts) {
        *text = new;
    }
    Ok(report)
}
