//! Whose output it is: the machine that is the node, and others whose outputs are left out.

use super::{LIMIT, Session, is_of_the_cluster, lines_of, list};
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::transcript::{self, Block, Place};
use std::collections::BTreeMap;

/// Machines that are told apart; nobody pastes so many.
const MACHINES: usize = 200;

/// The machines whose outputs a text holds, the likeliest to be meant first.
pub(in crate::capture) fn machines(text: &str) -> Vec<String> {
    if text.len() > LIMIT {
        return Vec::new();
    }
    let mut hosts = hosts(&transcript::read(text).blocks);
    hosts.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    hosts.into_iter().map(|(name, _)| name).collect()
}

/// Whether one of those is meant by a name.
pub(in crate::capture) fn is_machine(machines: &[String], name: &str) -> bool {
    machines.iter().any(|m| same_host(m, name))
}

impl Session<'_> {
    /// Keeps the outputs of one machine.
    pub(super) fn choose(&mut self, node: Option<&str>) {
        let mut elsewhere: BTreeMap<String, u32> = BTreeMap::new();
        for b in &self.blocks {
            if let Place::Namespace(n) = &b.place
                && !is_of_any_namespace(b.kind)
            {
                elsewhere.entry(n.clone()).or_insert_with(|| b.first_line());
            }
        }
        self.blocks
            .retain(|b| !matches!(b.place, Place::Namespace(_)) || is_of_any_namespace(b.kind));
        for (n, line) in elsewhere {
            self.remarks.push(format!(
                "{}:{line}: output of another network namespace ({n}) is left out",
                self.name
            ));
        }
        let hosts = hosts(&self.blocks);
        let wanted = node.and_then(|n| hosts.iter().find(|(h, _)| same_host(h, n)));
        let best = wanted
            .or_else(|| hosts.iter().max_by_key(|(_, w)| *w))
            .cloned();
        let Some((host, _)) = best else { return };
        let others: Vec<&str> = hosts
            .iter()
            .filter(|(h, _)| *h != host)
            .map(|(h, _)| h.as_str())
            .collect();
        if !others.is_empty() {
            self.remarks.push(format!(
                "{0}: outputs of several machines; {host} is the node, those of {1} are left out (-s {0}/NAME takes another)",
                self.name,
                others.join(", ")
            ));
        }
        let unnamed: Vec<String> = self
            .blocks
            .iter()
            .filter(|b| host_of(b).is_none() && !is_of_the_cluster(b.kind))
            .map(|b| lines_of(b))
            .collect();
        if !unnamed.is_empty() {
            self.remarks.push(format!(
                "{}: the prompt above lines {} names no machine; they are taken for {host}'s",
                self.name,
                list(&unnamed)
            ));
        }
        let in_pods = self.blocks.iter().find_map(|b| match &b.place {
            Place::Host(pod) if is_agents(b.kind, pod) => Some((pod.clone(), lines_of(b))),
            _ => None,
        });
        if let Some((pod, lines)) = in_pods {
            self.remarks.push(format!(
                "{}:{lines}: maps that were asked for in {pod} are taken for {host}'s",
                self.name
            ));
        }
        self.blocks.retain(|b| {
            is_of_the_cluster(b.kind) || host_of(b).is_none_or(|h| same_host(&h, &host))
        });
    }
}

/// The same in all network namespaces: besides those, maps of eBPF, which are asked for in the agent's pod. What passes a pod's device
/// passes its node too.
fn is_of_any_namespace(kind: Kind) -> bool {
    is_of_the_cluster(kind) || matches!(kind, Kind::CalicoBpf | Kind::Cilium | Kind::Tcpdump)
}

/// Machines by name, each with how much of a node's state is shown of it.
fn hosts(blocks: &[Block<'_>]) -> Vec<(String, u64)> {
    let mut hosts: Vec<(String, u64)> = Vec::new();
    for b in blocks.iter().filter(|b| !is_of_the_cluster(b.kind)) {
        let Some(h) = host_of(b) else { continue };
        let weight = b.lines.len() as u64 * weight(b.kind);
        let room = hosts.len() < MACHINES;
        match hosts.iter_mut().find(|(name, _)| same_host(name, &h)) {
            Some((name, w)) => {
                *w += weight;
                if h.len() > name.len() {
                    *name = h;
                }
            }
            None if room => hosts.push((h, weight)),
            None => {}
        }
    }
    hosts
}

/// What makes a machine the node in question.
fn weight(kind: Kind) -> u64 {
    match kind {
        Kind::IptablesSave | Kind::IptablesListing | Kind::Ipset | Kind::Ipvs | Kind::Nft => 10,
        // Many lines that show no state.
        Kind::Tcpdump => 0,
        _ => 1,
    }
}

fn host_of(b: &Block<'_>) -> Option<String> {
    match &b.place {
        // An agent's pod has the network of its node, which its name does not tell: it is taken for the one that was asked on.
        Place::Host(pod) if is_agents(b.kind, pod) => b.host.clone(),
        Place::Host(h) => Some(h.clone()),
        _ => b.host.clone(),
    }
}

/// Maps of eBPF that were asked for in the pod of their agent: `calico-node-x7k2p`, `daemonset/calico-node`, `ds/cilium`, `cilium-9xk2p`.
fn is_agents(kind: Kind, pod: &str) -> bool {
    let name = pod.rsplit('/').next().unwrap_or_default();
    match kind {
        Kind::CalicoBpf => name.starts_with("calico-node"),
        Kind::Cilium => name == "cilium" || name.starts_with("cilium-"),
        _ => false,
    }
}

/// One name may be the short form of the other.
fn same_host(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let (long, short) = if a.len() >= b.len() {
        (&a, &b)
    } else {
        (&b, &a)
    };
    long == short
        || long.starts_with(&format!("{short}."))
        // `142:~#` of a machine called node142.
        || short.len() >= 2 && short.bytes().all(|c| c.is_ascii_digit()) && long.ends_with(short.as_str())
}
