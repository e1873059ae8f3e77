//! What speakers wrote: who announced the address and withdrew it when, and who holds it now.

use super::{At, Place};
use nfwhy_parsers::speaker::What;
use std::net::IpAddr;

/// What a speaker did with the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What.
    pub what: What,
    /// Its pod.
    pub pod: Option<String>,
    /// Its node.
    pub node: Option<String>,
    /// Where that is said.
    pub node_at: Option<At>,
    /// When, as written.
    pub time: String,
    /// When, for the order.
    pub order: Option<i128>,
    /// `layer2`, `bgp`.
    pub protocol: Option<String>,
    /// Why it was withdrawn.
    pub reason: Option<String>,
    /// The line.
    pub at: At,
}

/// A speaker that announces the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its pod.
    pub pod: Option<String>,
    /// Its node.
    pub node: Option<String>,
    /// Where that is said.
    pub node_at: Option<At>,
    /// Since when.
    pub since: String,
    /// `layer2`, `bgp`.
    pub protocol: Option<String>,
    /// The line with which it began.
    pub at: At,
    /// Another speaker's withdrawal before that: its index in the history.
    pub after: Option<usize>,
    /// Another speaker announces it later: this one may be gone.
    pub overtaken: bool,
}

impl Told {
    /// Who it is.
    fn who(&self) -> (Option<&str>, Option<&str>, usize) {
        match (&self.pod, &self.node) {
            (None, None) => (None, None, self.at.place),
            (pod, node) => (pod.as_deref(), node.as_deref(), 0),
        }
    }

    /// Whether it is said of the second layer; of what is not said it is taken for that.
    pub fn is_layer2(&self) -> bool {
        self.protocol.as_deref().is_none_or(|p| p == "layer2")
    }
}

impl Holder {
    /// As of [`Told::is_layer2`].
    pub fn is_layer2(&self) -> bool {
        self.protocol.as_deref().is_none_or(|p| p == "layer2")
    }
}

/// The events of an address, each once, in the order of time.
pub(super) fn history(places: &[Place<'_, '_>], addr: IpAddr) -> Vec<Told> {
    let mut out: Vec<Told> = Vec::new();
    for (place, p) in places.iter().enumerate() {
        for a in &p.node.seen.announcements {
            let e = &a.event;
            if !e.ips.contains(&addr) {
                continue;
            }
            let at = At {
                place,
                origin: a.origin,
            };
            let found = e.pod.as_deref().and_then(|pod| node_of(places, pod));
            // A log that lies in a node's captures without a prefix is taken for the log of that node's speaker.
            let own = (e.pod.is_none() && !p.name.is_empty()).then(|| super::whom::node_name(p));
            let node = e
                .node
                .clone()
                .or_else(|| found.as_ref().map(|(n, _)| n.clone()))
                .or(own);
            let told = Told {
                what: e.what,
                pod: e.pod.clone(),
                node,
                node_at: found.map(|(_, at)| at),
                time: e.time.clone(),
                order: e.at,
                protocol: e.protocol.clone(),
                reason: e.reason.clone(),
                at,
            };
            // Objects beside a cluster's nodes are every node's: the same log may have been read more than once.
            let again = |o: &Told| {
                o.order.is_some()
                    && o.order == told.order
                    && o.what == told.what
                    && o.pod == told.pod
                    && o.node == told.node
            };
            if !out.iter().any(again) {
                out.push(told);
            }
        }
    }
    out.sort_by_key(|t| t.order);
    out
}

/// The node of a pod, and where that is said.
fn node_of(places: &[Place<'_, '_>], pod: &str) -> Option<(String, At)> {
    places.iter().enumerate().find_map(|(place, p)| {
        let of = p
            .node
            .kube
            .pods
            .iter()
            .find(|o| o.object.meta.name == pod && o.object.node.is_some())?;
        let at = At {
            place,
            origin: of.at(&of.object.meta),
        };
        Some((of.object.node.clone()?, at))
    })
}

/// Speakers whose last word is that they announce it.
pub(super) fn holders(history: &[Told]) -> Vec<Holder> {
    let mut out: Vec<Holder> = Vec::new();
    for (i, t) in history.iter().enumerate() {
        let last = !history.iter().skip(i + 1).any(|o| o.who() == t.who());
        if !last || t.what != What::Announced {
            continue;
        }
        // It began with the first word since it last withdrew.
        let begun = history
            .iter()
            .take(i)
            .rposition(|o| o.who() == t.who() && o.what == What::Withdrawn)
            .map_or(0, |w| w + 1);
        let first = history
            .iter()
            .enumerate()
            .skip(begun)
            .find(|(_, o)| o.who() == t.who());
        let (at, first) = first.unwrap_or((i, t));
        let after = history
            .iter()
            .take(at)
            .rposition(|o| o.who() != t.who() && o.what == What::Withdrawn);
        out.push(Holder {
            pod: t.pod.clone(),
            node: t.node.clone(),
            node_at: t.node_at,
            since: first.time.clone(),
            protocol: t.protocol.clone(),
            at: first.at,
            after,
            overtaken: false,
        });
    }
    let n = out.len();
    for (i, h) in out.iter_mut().enumerate() {
        h.overtaken = h.is_layer2() && i + 1 < n;
    }
    out
}
