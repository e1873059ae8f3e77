//! `--expect`: what the outcomes must be.

use crate::cluster::{Cluster, Journey};
use crate::explain;
use crate::node::Node;
use crate::trace::{Outcome, Rewrite, Trace, View};
use std::collections::BTreeSet;
use std::net::IpAddr;
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
    Reply,
}

const KEYS: [(&str, Key); 7] = [
    ("src", Key::Src),
    ("dnat", Key::Dnat),
    ("verdict", Key::Verdict),
    ("client_ip", Key::ClientIp),
    ("out", Key::Out),
    ("masq_mark", Key::MasqMark),
    ("reply", Key::Reply),
];

#[derive(Debug, Error)]
pub(crate) enum ExpectError {
    #[error("--expect: {0:?} is not KEY=VALUE")]
    NoValue(String),
    #[error(
        "--expect: no key {0:?}; there are src, dnat, verdict, client_ip, out, masq_mark, reply"
    )]
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
        self.compared(|key| {
            let all = trace.outcomes.iter();
            all.map(|o| match key {
                Key::Src => source(o.delivered),
                Key::Dnat => rewrite(o.dnat.as_ref()),
                Key::Verdict => o.verdict.name().to_owned(),
                Key::ClientIp => client_ip(o.client_ip_kept),
                Key::Out => device(node, o),
                Key::MasqMark => o.masq_mark.to_string(),
                Key::Reply => {
                    let answer = explain::answer(node, trace, o);
                    answer.map_or_else(none, |a| a.fate(&trace.packet).name().to_owned())
                }
            })
            .collect()
        })
    }

    /// The same of ways through several nodes: what becomes of the packet at the last of them, the device it leaves the first by.
    pub(crate) fn differences_of_journeys(
        &self,
        cluster: &Cluster<'_>,
        journeys: &[Journey],
    ) -> Vec<String> {
        self.compared(|key| {
            let value = |j: &Journey| match key {
                Key::Src => source(j.delivered()),
                Key::Dnat => rewrite(j.dnat()),
                Key::Verdict => j.verdict().name().to_owned(),
                Key::ClientIp => client_ip(j.client_ip_kept()),
                Key::Out => {
                    let first = j.way.hops.first();
                    let at = first.and_then(|h| Some((cluster.places.get(h.place)?, h.outcome()?)));
                    at.map_or_else(none, |(p, o)| device(&p.node, o))
                }
                Key::MasqMark => j.outcomes().any(|o| o.masq_mark).to_string(),
                Key::Reply => j
                    .back
                    .as_ref()
                    .map_or_else(none, |b| b.fate.name().to_owned()),
            };
            journeys.iter().map(value).collect()
        })
    }

    fn compared(&self, values: impl Fn(Key) -> BTreeSet<String>) -> Vec<String> {
        let mut out = Vec::new();
        for (key, want) in &self.wants {
            let have = values(*key);
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

fn none() -> String {
    "none".to_owned()
}

fn source(seen: Option<View>) -> String {
    seen.map_or_else(none, |v| {
        v.src
            .map_or_else(|| "unknown".to_owned(), |s| s.to_string())
    })
}

fn rewrite(to: Option<&Rewrite>) -> String {
    to.map_or_else(none, |d| match (d.ip, d.port) {
        (Some(IpAddr::V6(a)), Some(p)) => format!("[{a}]:{p}"),
        (Some(a), Some(p)) => format!("{a}:{p}"),
        (Some(a), None) => a.to_string(),
        (None, _) => "unknown".to_owned(),
    })
}

fn client_ip(kept: Option<bool>) -> String {
    kept.map_or_else(none, |k| if k { "kept" } else { "lost" }.to_owned())
}

fn device(node: &Node<'_>, o: &Outcome) -> String {
    let out = o.out.as_ref();
    out.map_or_else(none, |x| node.device(x.dev).name.clone())
}
