//! Who answers for an address: each node's kernel, the speakers' logs, and what was seen on the wire.
//!
//! A speaker of `MetalLB` in layer 2 mode answers from user space, whatever the node's own kernel does; the kernel answers for addresses
//! that it has, whatever the speakers agree on. Both are asked here.

mod announcer;
mod findings;
mod log;
mod whom;

pub use announcer::announcer;
pub use findings::{Cause, Finding};
pub use log::{Holder, Told};

use crate::explain::place::leads_to_pods;
use crate::node::kube::AddressKind;
use crate::node::{DevId, Node, Origin};
use crate::sim::{self, Question, Said, Why};
use crate::trace::Missing;
use nfwhy_parsers::Family;
use nfwhy_parsers::common::Masked;
use nfwhy_parsers::kube::Policy;
use std::net::IpAddr;

/// A node, or what lies beside the nodes of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Place<'n, 's> {
    /// Its name; empty for what lies beside.
    pub name: &'n str,
    /// Its state.
    pub node: &'n Node<'s>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The address.
    pub addr: IpAddr,
    /// Who asks for it, where that is given.
    pub from: Option<IpAddr>,
    /// The device at which, where that is given.
    pub dev: Option<String>,
}

/// A line of a place's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Index of the place.
    pub place: usize,
    /// The line.
    pub origin: Origin,
}

/// What a node does at one of its devices.
#[derive(Clone, Debug)]
pub struct AtDevice {
    /// The device.
    pub dev: DevId,
    /// Who was taken for the asker.
    pub asker: Option<IpAddr>,
    /// What the kernel does; further ways where something is not known.
    pub said: Vec<Said>,
    /// It leads to the node's own pods.
    pub to_pods: bool,
    /// The address lies in a subnet of the device, so neighbours there ask for it.
    pub on_link: bool,
}

/// What a node does.
#[derive(Clone, Debug)]
pub struct OfNode {
    /// Index of the place.
    pub place: usize,
    /// Its name in Kubernetes, or else that of its captures.
    pub name: String,
    /// Its devices.
    pub devices: Vec<AtDevice>,
    /// The device that has the address, and where that was read.
    pub has: Option<(DevId, Origin)>,
    /// Endpoints of the Service on this node that are ready; `None` where that is not known.
    pub endpoints: Option<usize>,
}

/// The Service of the address.
#[derive(Clone, Debug)]
pub struct OfService {
    /// `shop/front`.
    pub name: String,
    /// How the address belongs to it.
    pub kind: AddressKind,
    /// `externalTrafficPolicy`, where it is written.
    pub policy: Option<Policy>,
    /// Where the object was read.
    pub at: At,
    /// The line of the policy.
    pub policy_at: At,
    /// Ready endpoints by node; `None` where they are not known.
    pub endpoints: Option<Vec<(String, usize)>>,
}

/// A hardware address that was seen to have the address.
#[derive(Clone, Debug)]
pub struct MacSeen {
    /// The hardware address; `None` where nobody answered.
    pub mac: Option<String>,
    /// `arping` or `ip neigh`.
    pub by: &'static str,
    /// Where.
    pub at: At,
    /// The node and device that have it.
    pub owner: Option<(usize, DevId)>,
}

/// A route of the address alone, as routers learn it by BGP.
#[derive(Clone, Debug)]
pub struct RouteSeen {
    /// Where; the place is the router's.
    pub at: At,
    /// Its next hops, and whose they are, where that is known.
    pub hops: Vec<(IpAddr, Option<String>)>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answerer {
    /// The node; `None` where only the speaker is known.
    pub node: Option<String>,
    /// The speaker's pod, where it is one that answers.
    pub pod: Option<String>,
    /// The device, where it is the kernel.
    pub dev: Option<String>,
    /// Since when.
    pub since: Option<String>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Report {
    /// The address.
    pub addr: IpAddr,
    /// Its Service.
    pub service: Option<OfService>,
    /// Nodes, in the order of their captures.
    pub nodes: Vec<OfNode>,
    /// What speakers did with the address, in the order of time.
    pub history: Vec<Told>,
    /// Speakers that announce it now.
    pub holders: Vec<Holder>,
    /// Hardware addresses seen.
    pub macs: Vec<MacSeen>,
    /// Routes of the address alone to other hosts.
    pub routes: Vec<RouteSeen>,
    /// All that answer.
    pub answerers: Vec<Answerer>,
    /// Whether a speaker's log was captured.
    pub logged: bool,
    /// Whether anybody does, or the one node that was captured; `None` where that is not known.
    pub answered: Option<bool>,
    /// Contradictions and their like, the gravest first.
    pub findings: Vec<Finding>,
    /// What would tell more.
    pub missing: Vec<Missing>,
}

impl AtDevice {
    /// The way it is to be expected to go.
    pub fn likeliest(&self) -> Option<&Said> {
        self.said.first()
    }

    /// Whether others can ask there at all.
    fn is_open(&self) -> bool {
        !self
            .likeliest()
            .is_none_or(|s| matches!(s.why, Why::Loopback | Why::NoArp | Why::PortOf { .. }))
    }

    /// Whether the kernel answers, as far as is to be expected.
    pub fn answers(&self) -> Option<bool> {
        self.likeliest()?.answers
    }
}

impl OfNode {
    /// Devices by which hosts outside ask: those in whose subnet the address lies, if there is one.
    pub fn outside(&self) -> impl Iterator<Item = &AtDevice> {
        let open = |d: &&AtDevice| !d.to_pods && d.is_open();
        let near = self.devices.iter().any(|d| open(&d) && d.on_link);
        self.devices
            .iter()
            .filter(open)
            .filter(move |d| d.on_link || !near)
    }

    /// Whether its kernel answers hosts outside.
    pub fn answers(&self) -> Option<bool> {
        let all: Vec<Option<bool>> = self.outside().map(AtDevice::answers).collect();
        if all.contains(&Some(true)) {
            Some(true)
        } else if all.contains(&None) || self.devices.is_empty() {
            None
        } else {
            Some(false)
        }
    }
}

/// Puts all that is known together.
pub fn answer(places: &[Place<'_, '_>], asked: &Asked) -> Report {
    let service = whom::service(places, asked.addr);
    let mut nodes: Vec<OfNode> = Vec::new();
    let mut missing: Vec<Missing> = Vec::new();
    for (i, p) in places.iter().enumerate() {
        if !is_node(p.node) {
            continue;
        }
        let of = of_node(places, i, asked, service.as_ref());
        let undecided = |d: &&AtDevice| {
            d.said
                .iter()
                .any(|s| s.answers.is_none() || s.answers != d.answers())
        };
        for m in of
            .outside()
            .filter(undecided)
            .flat_map(|d| d.said.iter())
            .flat_map(|s| &s.missing)
        {
            if !missing.contains(m) {
                missing.push(m.clone());
            }
        }
        nodes.push(of);
    }
    let history = log::history(places, asked.addr);
    let holders = log::holders(&history);
    let macs = whom::macs(places, asked.addr);
    let routes = whom::routes(places, asked.addr);
    let answerers = whom::answerers(places, &nodes, &holders);
    let logged = places.iter().any(|p| p.node.seen.log);
    let silent = macs.iter().any(|m| m.by == "arping" && m.mac.is_none());
    let known = !nodes.is_empty() && nodes.iter().all(|n| n.answers() == Some(false));
    let answered = if !answerers.is_empty() || macs.iter().any(|m| m.mac.is_some()) {
        Some(true)
    } else if routes.is_empty() && ((known && (logged || nodes.len() == 1)) || silent) {
        Some(false)
    } else {
        None
    };
    if history.is_empty() && !logged && service.is_some() {
        missing.push(Missing {
            what: "the log of MetalLB's speakers, if it is MetalLB that announces".to_owned(),
            command: "kubectl -n metallb-system logs -l app.kubernetes.io/component=speaker --prefix --timestamps --tail=-1".to_owned(),
        });
    }
    for h in holders.iter().filter(|h| h.node.is_none()) {
        if let Some(pod) = &h.pod {
            missing.push(Missing {
                what: format!("the node of {pod}"),
                command: format!("kubectl get pod -A -o wide | grep {pod}"),
            });
        }
    }
    let mut report = Report {
        addr: asked.addr,
        service,
        nodes,
        history,
        holders,
        macs,
        routes,
        answerers,
        logged,
        answered,
        findings: Vec::new(),
        missing,
    };
    report.findings = findings::findings(places, &report);
    report
}

/// Whether a node's devices were captured.
fn is_node(node: &Node<'_>) -> bool {
    node.captured.links && node.devices.iter().any(|d| d.known)
}

fn of_node(
    places: &[Place<'_, '_>],
    place: usize,
    asked: &Asked,
    service: Option<&OfService>,
) -> OfNode {
    let p = &places[place];
    let node = p.node;
    let name = whom::node_name(p);
    let has = node.device_ids().find_map(|id| {
        let mut addrs = node.device(id).addrs.iter();
        let a = addrs.find(|a| a.local == asked.addr)?;
        Some((id, a.origin))
    });
    let endpoints = service.and_then(|s| s.endpoints.as_ref()).map(|list| {
        list.iter()
            .filter(|(n, _)| *n == name)
            .map(|(_, count)| count)
            .sum()
    });
    let devices = node
        .device_ids()
        .filter(|id| {
            let d = node.device(*id);
            match &asked.dev {
                Some(name) => d.name == *name || d.altnames.contains(name),
                None => d.known,
            }
        })
        .map(|dev| {
            let asker = asked.from.or_else(|| whom::asker(node, dev, asked.addr));
            AtDevice {
                dev,
                asker,
                said: sim::neighbour(
                    node,
                    Question {
                        target: asked.addr,
                        asker,
                        dev,
                    },
                ),
                to_pods: asked.dev.is_none() && leads_to_pods(node, dev),
                on_link: on_link(node, dev, asked.addr),
            }
        })
        .collect();
    OfNode {
        place,
        name,
        devices,
        has,
        endpoints,
    }
}

/// Whether hosts at the device ask for the address by ARP: it lies in a subnet of the device.
fn on_link(node: &Node<'_>, dev: DevId, addr: IpAddr) -> bool {
    node.device(dev).addrs.iter().any(|a| {
        Family::of(a.local) == Family::of(addr)
            && a.prefix_len < Family::of(addr).bits()
            && Masked::prefix(a.peer, a.prefix_len).contains(addr)
    })
}
