//! Contradictions between what nodes do, what speakers say, what was seen, and what the Service asks for.

use super::whom::{protocol, real_holder};
use super::{At, OfNode, Place, Report};
use crate::explain::{Code, Severity};
use crate::node::kube::AddressKind;
use crate::sim::Why;
use nfwhy_parsers::kube::Policy;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable code.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence.
    pub title: String,
    /// What is to blame, the first cause first.
    pub causes: Vec<Cause>,
    /// What to do.
    pub help: Vec<String>,
}

/// A line to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Where it stands.
    pub at: At,
    /// A setting's name and value, where it is one.
    pub setting: Option<(String, i64)>,
}

impl Finding {
    fn new(code: Code, title: String) -> Self {
        Self {
            code,
            severity: code.entry().severity,
            title,
            causes: Vec::new(),
            help: Vec::new(),
        }
    }

    fn blame(&mut self, at: At) {
        self.causes.push(Cause { at, setting: None });
    }

    fn advise(&mut self, text: impl Into<String>) {
        self.help.push(text.into());
    }

    /// The settings that let a node's kernel answer, and the line that gives it the address.
    fn blame_kernel(&mut self, n: &OfNode) {
        for s in n
            .outside()
            .filter(|d| d.answers() == Some(true))
            .take(1)
            .filter_map(super::AtDevice::likeliest)
            .flat_map(|s| &s.settings)
        {
            self.causes.push(Cause {
                at: At {
                    place: n.place,
                    origin: s.at,
                },
                setting: Some((s.name.clone(), s.value)),
            });
        }
        if let Some((_, origin)) = n.has {
            self.blame(At {
                place: n.place,
                origin,
            });
        }
    }
}

pub(super) fn findings(places: &[Place<'_, '_>], r: &Report) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(two_answer(r));
    all.extend(other_node(places, r));
    all.extend(announcer_silent(places, r));
    all.extend(no_local_endpoint(r));
    all.extend(unanswered(r));
    if all.iter().all(|f: &Finding| f.code != Code::VipTwoAnswer) {
        all.extend(strict_arp(places, r));
    }
    all.sort_by_key(|f| std::cmp::Reverse(f.severity));
    all
}

/// Nodes whose kernel answers because the address is on another device, for which `arp_ignore` is the remedy.
fn by_arp_ignore(n: &OfNode) -> bool {
    n.outside().any(|d| {
        d.likeliest()
            .is_some_and(|s| s.answers == Some(true) && matches!(s.why, Why::OwnElsewhere { .. }))
    })
}

fn strict_arp_help() -> String {
    "kube-proxy: ipvs.strictARP: true (it sets net.ipv4.conf.all.arp_ignore=1 and arp_announce=2), on every node"
        .to_owned()
}

fn two_answer(r: &Report) -> Option<Finding> {
    let names: Vec<String> = r
        .answerers
        .iter()
        .map(|a| a.node.clone().or_else(|| a.pod.clone()).unwrap_or_default())
        .collect();
    let macs: Vec<&str> = r
        .macs
        .iter()
        .filter(|m| m.by == "arping")
        .filter_map(|m| m.mac.as_deref())
        .collect();
    if names.len() < 2 && macs.len() < 2 {
        return None;
    }
    let who = if names.len() >= 2 {
        listed(&names)
    } else {
        macs.join(" and ")
    };
    let mut f = Finding::new(
        Code::VipTwoAnswer,
        format!(
            "{who} answer {} for {}: which of them gets a client's packets is chance",
            protocol(r.addr),
            r.addr
        ),
    );
    // Those that answer without announcing come first: theirs is the fault.
    let announces = |n: &OfNode| r.holders.iter().any(|h| h.node.as_ref() == Some(&n.name));
    let kernels = || r.nodes.iter().filter(|n| n.answers() == Some(true));
    for n in kernels()
        .filter(|n| !announces(n))
        .chain(kernels().filter(|n| announces(n)))
    {
        f.blame_kernel(n);
    }
    for h in &r.holders {
        f.blame(h.at);
    }
    if kernels().any(by_arp_ignore) {
        f.advise(strict_arp_help());
    } else if kernels().count() > 0 {
        f.advise("take the address off the devices of the nodes that are not to have it");
    }
    if names.len() < 2 {
        for m in r.macs.iter().filter(|m| m.by == "arping") {
            f.blame(m.at);
        }
        f.advise("find out whose the other hardware address is: another host may have the address");
    }
    Some(f)
}

fn other_node(places: &[Place<'_, '_>], r: &Report) -> Option<Finding> {
    let s = r.service.as_ref()?;
    if !matches!(s.kind, AddressKind::LoadBalancer | AddressKind::External) {
        return None;
    }
    let holder = real_holder(places, &r.nodes);
    let named = places.iter().enumerate().find_map(|(place, p)| {
        let of = p.node.kube.node_by_ip(r.addr)?;
        let at = At {
            place,
            origin: of.at(&of.object.meta),
        };
        Some((of.object.meta.name.clone(), at))
    });
    // Some load balancers give a Service the nodes' own addresses, each node answering for itself (klipper-lb): then there is no clash.
    let (name, at) = match (holder, named) {
        (Some(n), named) => {
            let (_, origin) = n.has?;
            let at = At {
                place: n.place,
                origin,
            };
            (named.map_or_else(|| n.name.clone(), |(name, _)| name), at)
        }
        (None, Some((name, at))) => (name, at),
        (None, None) => return None,
    };
    let holds = |h: &&super::Holder| h.node.as_ref() != Some(&name);
    let announcer = r.holders.iter().find(holds)?;
    let by = announcer
        .node
        .as_ref()
        .or(announcer.pod.as_ref())
        .map_or("a speaker", String::as_str);
    let mut f = Finding::new(
        Code::AddressOfAnotherNode,
        format!(
            "{} is the {} of {} and an address of {name} itself, while {by} announces it",
            r.addr,
            s.kind.name(),
            s.name
        ),
    );
    f.blame(at);
    f.blame(announcer.at);
    f.advise("take the node's address out of the pool, or give the Service another one");
    Some(f)
}

fn announcer_silent(places: &[Place<'_, '_>], r: &Report) -> Option<Finding> {
    let h = r.holders.iter().rfind(|h| h.is_layer2() && !h.overtaken)?;
    let name = h.node.as_ref()?;
    let node = r.nodes.iter().find(|n| n.name == *name)?;
    let heard: Vec<&super::MacSeen> = r.macs.iter().filter(|m| m.by == "arping").collect();
    let by = h.pod.as_deref().unwrap_or("its speaker");
    // Its links are known, and none of them is what answered.
    let others = !heard.is_empty()
        && heard
            .iter()
            .all(|m| m.owner.is_none_or(|(place, _)| place != node.place));
    if others {
        let who: Vec<String> = heard
            .iter()
            .filter_map(|m| {
                let mac = m.mac.as_deref()?;
                Some(match m.owner {
                    Some((place, dev)) => {
                        let p = &places[place];
                        format!(
                            "{} ({mac}, {})",
                            super::whom::node_name(p),
                            p.node.device(dev).name
                        )
                    }
                    None => format!("{mac}, which no captured node has"),
                })
            })
            .collect();
        let instead = if who.is_empty() {
            "nobody answers".to_owned()
        } else {
            format!("the answer comes from {}", listed(&who))
        };
        let mut f = Finding::new(
            Code::VipAnnouncerSilent,
            format!("{by} on {name} announces {}, but {instead}", r.addr),
        );
        f.blame(h.at);
        for m in heard {
            f.blame(m.at);
        }
        f.advise("ask again while `tcpdump -ni any arp` runs on the announcing node: do questions reach it, and does it answer?");
        f.advise(
            "MetalLB: an L2Advertisement with interfaces or nodeSelectors limits where it answers",
        );
        return Some(f);
    }
    let near: Vec<&super::AtDevice> = node
        .devices
        .iter()
        .filter(|d| d.on_link && !d.to_pods)
        .collect();
    let down = |d: &&super::AtDevice| d.likeliest().is_some_and(|s| s.why == Why::Down);
    let first = near.first().filter(|_| near.iter().all(down))?;
    let dev = places[node.place].node.device(first.dev);
    let mut f = Finding::new(
        Code::VipAnnouncerSilent,
        format!(
            "{by} on {name} announces {}, but {} is down there",
            r.addr, dev.name
        ),
    );
    f.blame(h.at);
    f.blame(At {
        place: node.place,
        origin: dev.origin,
    });
    f.advise(format!("`ip link show {}` on {name}", dev.name));
    Some(f)
}

fn no_local_endpoint(r: &Report) -> Option<Finding> {
    let s = r.service.as_ref()?;
    if s.policy != Some(Policy::Local) {
        return None;
    }
    let list = s.endpoints.as_ref()?;
    let has = |name: &str| list.iter().any(|(n, count)| n == name && *count > 0);
    // Of all that answer, announcers first.
    let names = r
        .holders
        .iter()
        .filter(|h| !h.overtaken)
        .filter_map(|h| h.node.clone())
        .chain(r.answerers.iter().filter_map(|a| a.node.clone()));
    let name = names.into_iter().find(|n| !has(n))?;
    let where_they_are: Vec<String> = list
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(name, _)| name.clone())
        .collect();
    let mut f = Finding::new(
        Code::VipNoLocalEndpoint,
        format!(
            "{name} answers for {} and has no ready endpoint of {}, whose externalTrafficPolicy is Local: it drops what comes{}",
            r.addr,
            s.name,
            if where_they_are.is_empty() {
                "; no node has one".to_owned()
            } else {
                format!("; ready endpoints are on {}", listed(&where_they_are))
            }
        ),
    );
    f.blame(s.policy_at);
    for h in r.holders.iter().filter(|h| h.node.as_ref() == Some(&name)) {
        f.blame(h.at);
    }
    if let Some(n) = r.nodes.iter().find(|n| n.name == name)
        && n.answers() == Some(true)
    {
        f.blame_kernel(n);
        if by_arp_ignore(n) {
            f.advise(strict_arp_help());
        }
    }
    f.advise(
        "externalTrafficPolicy: Cluster lets every node forward, and costs the client's address",
    );
    f.advise("with policy Local only nodes with a ready endpoint may answer: is a pod's readiness newer than the speaker's log?");
    Some(f)
}

fn unanswered(r: &Report) -> Option<Finding> {
    if r.answered != Some(false) || r.service.is_none() && r.history.is_empty() {
        return None;
    }
    // Of a speaker without a log nothing is known.
    if !r.logged && r.macs.iter().all(|m| m.mac.is_some()) {
        return None;
    }
    // Where BGP announces it, nobody has to answer.
    if !r.holders.is_empty() {
        return None;
    }
    let last = r.history.last();
    let why = match last {
        Some(t) => format!(
            ": {} withdrew it at {}{}",
            t.pod
                .as_deref()
                .or(t.node.as_deref())
                .unwrap_or("the speaker"),
            t.time,
            t.reason
                .as_ref()
                .map_or_else(String::new, |x| format!(" ({x})"))
        ),
        None => String::new(),
    };
    let mut f = Finding::new(
        Code::VipUnanswered,
        format!("nobody answers {} for {}{why}", protocol(r.addr), r.addr),
    );
    if let Some(t) = last {
        f.blame(t.at);
    }
    for m in r.macs.iter().filter(|m| m.mac.is_none()) {
        f.blame(m.at);
    }
    if let Some(s) = &r.service {
        f.blame(s.at);
    }
    f.advise("kubectl -n metallb-system get pods -o wide; kubectl describe svc: events say who may announce it, and why not");
    Some(f)
}

/// One node alone: it answers whether or not it is the one that announces.
fn strict_arp(places: &[Place<'_, '_>], r: &Report) -> Option<Finding> {
    let n = r.nodes.iter().find(|n| {
        by_arp_ignore(n)
            && n.has.is_some_and(|(dev, _)| {
                let name = &places[n.place].node.device(dev).name;
                name.starts_with("kube-ipvs") || name.starts_with("kube-dummy")
            })
    })?;
    let dev = places[n.place].node.device(n.has?.0);
    let mut f = Finding::new(
        Code::StrictArpOff,
        format!(
            "{} has {} on {} and answers for it (arp_ignore=0), and so does every node that has it there, whoever announces it",
            n.name, r.addr, dev.name
        ),
    );
    f.blame_kernel(n);
    f.advise(strict_arp_help());
    Some(f)
}

/// `a, b and c`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
