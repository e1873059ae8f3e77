//! An output in pieces: a set, a chain, a device, each of which is replaced as a whole where it is shown again.

use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::transcript::Block;

/// A piece of output that is replaced as a whole where it is shown again.
pub(super) struct Unit {
    pub(super) key: String,
    /// Which of the blocks.
    pub(super) block: usize,
    pub(super) rows: Vec<(u32, String)>,
}

pub(super) fn has_addresses(u: &Unit) -> bool {
    u.rows.iter().any(|(_, t)| t.contains("inet"))
}

/// The text without what changes from one moment to the next.
pub(super) fn without_counters(kind: Kind, text: &str) -> String {
    let t = text.trim();
    if kind != Kind::IptablesListing {
        return t.to_owned();
    }
    if t.starts_with("Chain ") {
        return t.split(" (").next().unwrap_or(t).to_owned();
    }
    t.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
}

/// Pieces of one output.
pub(super) fn split(b: &Block<'_>, block: usize) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut key = String::new();
    for row in &b.lines {
        if let Some(k) = key_of(b.kind, &row.text, &key) {
            key = k;
        }
        let r = (row.number, row.text.clone().into_owned());
        match units.last_mut() {
            Some(u) if u.key == key => u.rows.push(r),
            _ => units.push(Unit {
                key: key.clone(),
                block,
                rows: vec![r],
            }),
        }
    }
    units
}

/// The thing that begins with this line, where one does.
fn key_of(kind: Kind, text: &str, now: &str) -> Option<String> {
    let t = text.trim();
    let second = || t.split_whitespace().nth(1).map(str::to_owned);
    match kind {
        Kind::IptablesListing => t
            .strip_prefix("Chain ")
            .and_then(|r| r.split(" (").next())
            .map(|n| format!("chain {n}")),
        Kind::IptablesSave => {
            if let Some(table) = t.strip_prefix('*') {
                return Some(format!("table {table}"));
            }
            if now.starts_with("table ") {
                return None;
            }
            let words: Vec<&str> = t.split_whitespace().collect();
            match words.as_slice() {
                ["-P" | "-N" | "-A" | "-I", chain, ..] => Some(format!("chain {chain}")),
                [c, "-A", chain, ..] if c.starts_with('[') => Some(format!("chain {chain}")),
                _ => None,
            }
        }
        Kind::Ipset => {
            if let Some(n) = t.strip_prefix("Name: ") {
                return Some(format!("set {}", n.trim()));
            }
            if t.starts_with("create ") || t.starts_with("add ") {
                return second().map(|n| format!("set {n}"));
            }
            None
        }
        Kind::Ipvs => {
            let words: Vec<&str> = t.split_whitespace().collect();
            match words.as_slice() {
                [p @ ("TCP" | "UDP" | "SCTP" | "FWM"), a, ..] => Some(format!("{p} {a}")),
                ["-A" | "-a", p, a, ..] => Some(format!("{p} {a}")),
                _ => None,
            }
        }
        Kind::Link => {
            let index = t.split(':').next()?;
            let starts = !text.starts_with([' ', '\t'])
                && index.bytes().all(|b| b.is_ascii_digit())
                && !index.is_empty();
            starts.then(|| format!("device {index}"))
        }
        Kind::Sysctl => t.split(['=', ' ']).next().map(|k| format!("setting {k}")),
        Kind::Nft => t
            .starts_with("table ")
            .then(|| t.trim_end_matches([' ', '{']).to_owned()),
        _ => (!t.is_empty()).then(|| t.to_owned()),
    }
}
