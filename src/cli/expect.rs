//! `--expect`: what the outcomes must be.

use crate::node::Node;
use crate::trace::{Outcome, Trace};
use std::collections::BTreeSet;
use thiserror::Error;

/// An expectation as written.
#[derive(Debug)]
pub(crate) struct Expectation {
    wants: Vec<(Key, BTreeSet<String>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Src,
    Dnat,
    Verdict,
    ClientIp,
    Out,
    MasqMark,
}

const KEYS: [(&str, Key); 6] = [
    ("src", Key::Src),
    ("dnat", Key::Dnat),
    ("verdict", Key::Verdict),
    ("client_ip", Key::ClientIp),
    ("out", Key::Out),
    ("masq_mark", Key::MasqMark),
];

#[derive(Debug, Error)]
pub(crate) enum ExpectError {
    #[error("--expect: {0:?} is not KEY=VALUE")]
    NoValue(String),
    #[error("--expect: no key {0:?}; there are src, dnat, verdict, client_ip, out, masq_mark")]
    NoKey(String),
}

impl Expectation {
    pub(crate) fn parse(text: &str) -> Result<Self, ExpectError> {
        let mut wants = Vec::new();
        for part in text.split(',').filter(|p| !p.trim().is_empty()) {
            let (k, v) = part
                .split_once('=')
                .ok_or_else(|| ExpectError::NoValue(part.to_owned()))?;
            let (_, key) = KEYS
                .iter()
                .find(|(n, _)| *n == k.trim())
                .ok_or_else(|| ExpectError::NoKey(k.to_owned()))?;
            wants.push((*key, v.split('|').map(|s| s.trim().to_owned()).collect()));
        }
        Ok(Self { wants })
    }

    /// What differs, one line each: the values over all outcomes must be exactly those listed.
    pub(crate) fn differences(&self, node: &Node<'_>, trace: &Trace) -> Vec<String> {
        let mut out = Vec::new();
        for (key, want) in &self.wants {
            let have: BTreeSet<String> = trace
                .outcomes
                .iter()
                .map(|o| value(node, o, *key))
                .collect();
            if have != *want {
                let name = KEYS.iter().find(|(_, k)| k == key).map_or("", |(n, _)| *n);
                let list = |s: &BTreeSet<String>| s.iter().cloned().collect::<Vec<_>>().join("|");
                out.push(format!(
                    "{name} is {}, expected {}",
                    list(&have),
                    list(want)
                ));
            }
        }
        out
    }
}

fn value(node: &Node<'_>, o: &Outcome, key: Key) -> String {
    let none = || "none".to_owned();
    match key {
        Key::Src => o.delivered.map_or_else(none, |d| {
            d.src.map_or_else(|| "unknown".into(), |s| s.to_string())
        }),
        Key::Dnat => o.dnat.as_ref().map_or_else(none, |d| match (d.ip, d.port) {
            (Some(std::net::IpAddr::V6(a)), Some(p)) => format!("[{a}]:{p}"),
            (Some(a), Some(p)) => format!("{a}:{p}"),
            (Some(a), None) => a.to_string(),
            (None, _) => "unknown".into(),
        }),
        Key::Verdict => o.verdict.name().into(),
        Key::ClientIp => o
            .client_ip_kept
            .map_or_else(none, |k| if k { "kept" } else { "lost" }.into()),
        Key::Out => o
            .out
            .as_ref()
            .map_or_else(none, |x| node.device(x.dev).name.clone()),
        Key::MasqMark => o.masq_mark.to_string(),
    }
}
