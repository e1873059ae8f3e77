//! `simulate(&Node, &Packet) -> Trace`: pure, total and bounded.
//!
//! One `run::Run` walks one packet along one path, straight down as the kernel does. Where the path forks it asks
//! `choices::Choices`; the walk is repeated until every combination of choices has been taken. Nothing is undone and no
//! state is shared between branches, so the code of a walk reads as the kernel's own functions do.

mod addresses;
mod bridge;
mod calico;
mod chain;
mod choices;
mod cilium;
mod clash;
mod conntrack;
mod convention;
mod fact;
mod hooks;
mod ipvs;
mod ipvs_conn;
mod ipvs_reply;
mod ipvs_tunnel;
mod local;
mod masq;
mod matches;
mod nat;
mod neighbour;
mod nft;
mod path;
mod policy;
mod region;
mod route;
mod rpfilter;
mod run;
mod set;
mod target;
mod tcp;
mod tunnel;
mod zone;

pub use calico::{CALICO_VXLAN, CalicoSeen, ServiceConn};
pub use conntrack::{Conn, IpvsConn, Tuple};
pub use neighbour::{Question, Said, Setting, Why, neighbour};
pub use region::{BitTest, Region};
pub use route::{Lookup, NoWay, RouteKey, RouteResult};
pub use tcp::TcpState;
pub(crate) use tunnel::{around, envelope, protocol, unwrapped_tos};
pub use zone::Zones;

use crate::node::Node;
use crate::trace::{Hit, Outcome, Packet, StepKind, Trace};
use choices::Choices;
use run::Run;
use thiserror::Error;

/// Why there is no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SimError {
    /// The path forks more often than can be followed.
    #[error("the path forks into more than {limit} branches; most forks are at {}", .places.join(", "))]
    TooManyBranches {
        /// The bound.
        limit: usize,
        /// Where it forks most.
        places: Vec<String>,
    },
}

/// Bounds of the work on one packet.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Branches followed.
    pub branches: usize,
    /// Rules tested in all branches together.
    pub rules: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            branches: 20_000,
            rules: 200_000_000,
        }
    }
}

/// What would be otherwise in a walk that asks "what if".
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// Rules taken as absent.
    pub without: Vec<Hit>,
    /// Keep which rules did not match, and why.
    pub note_misses: bool,
    /// Watch an address: which others get the same answer.
    pub region: Option<std::rc::Rc<Region>>,
    /// The packet is the outer one that this tunnel device makes, and no process's.
    pub tunnel: Option<crate::node::DevId>,
    /// The packet is followed to other nodes: how a backend there answers is seen there.
    pub followed: bool,
}

/// Walks a packet through a node.
pub fn simulate(node: &Node<'_>, packet: &Packet) -> Result<Trace, SimError> {
    simulate_what_if(node, packet, &WhatIf::default(), Limits::default())
}

/// The same with something changed, and with bounds of one's own.
pub fn simulate_what_if(
    node: &Node<'_>,
    packet: &Packet,
    what_if: &WhatIf,
    limits: Limits,
) -> Result<Trace, SimError> {
    let mut choices = Choices::default();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut tested = 0;
    loop {
        choices.rewind();
        let outcome = Run::new(node, packet, what_if, &mut choices).walk();
        tested += outcome.tested;
        if outcome.probability != Some(0.0) {
            outcomes.push(outcome);
        }
        if !choices.advance() {
            break;
        }
        if outcomes.len() >= limits.branches || tested >= limits.rules {
            return Err(SimError::TooManyBranches {
                limit: outcomes.len(),
                places: busiest_forks(node, &outcomes),
            });
        }
    }
    // What is to be expected first; the order is otherwise that of the walks.
    outcomes.sort_by_key(|o| !o.expected);
    Ok(Trace {
        packet: packet.clone(),
        outcomes,
    })
}

fn busiest_forks(node: &Node<'_>, outcomes: &[Outcome]) -> Vec<String> {
    use crate::trace::ForkKind;
    let mut counts: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for o in outcomes {
        for s in &o.steps {
            let StepKind::Fork { what, .. } = &s.kind else {
                continue;
            };
            let place = match what {
                ForkKind::Statistic(h) | ForkKind::UnknownMatch(h) | ForkKind::NatRange(h) => {
                    let t = node.netfilter.view(h.table);
                    t.map_or_else(String::new, |t| node.place(t.rule_origin(h.chain, h.rule)))
                }
                ForkKind::Unknown(what) => what.clone(),
                ForkKind::Schedule { service } => node.place(node.ipvs.services[*service].origin),
                ForkKind::Multipath(at) | ForkKind::Backend { service: at } => node.place(*at),
            };
            *counts.entry(place).or_default() += 1;
        }
    }
    let mut list: Vec<_> = counts.into_iter().collect();
    list.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    list.into_iter().take(5).map(|(p, _)| p).collect()
}

/// Where a packet from `src` comes in, judged by the route back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// `src` is one of the node's own addresses.
    Local,
    /// By this device.
    Device(crate::node::DevId),
    /// There is no route back.
    None,
}

/// The device that the route back to `src` names, for a packet to `dst`.
pub fn way_back(node: &Node<'_>, src: std::net::IpAddr, dst: std::net::IpAddr) -> WayBack {
    way_back_what_if(node, src, dst, &WhatIf::default())
}

/// The same with something changed.
pub fn way_back_what_if(
    node: &Node<'_>,
    src: std::net::IpAddr,
    dst: std::net::IpAddr,
    what_if: &WhatIf,
) -> WayBack {
    use nfwhy_parsers::iproute::route::RouteType;
    let packet = Packet::plain(dst);
    let mut choices = Choices::default();
    let mut run = Run::new(node, &packet, what_if, &mut choices);
    if run.is_local_addr(src) {
        return WayBack::Local;
    }
    let mut key = run.key_out(dst);
    key.dst = src;
    match run.fib_lookup(&key) {
        Ok(l) if l.ty == RouteType::Unicast => l
            .nexthops
            .first()
            .map_or(WayBack::None, |n| WayBack::Device(n.dev)),
        _ => WayBack::None,
    }
}
