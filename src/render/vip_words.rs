//! The words of `nfwhy vip`, for both forms of its answer.

use super::reason;
use crate::explain::Code;
use crate::node::{DevId, Node};
use crate::sim::{Said, Why};
use crate::vip::{Answerer, At, AtDevice, Holder, OfNode, Place, Report};
use nfwhy_parsers::Family;
use std::net::IpAddr;

/// `ARP`, or what it is in IPv6.
pub(super) fn protocol(addr: IpAddr) -> &'static str {
    match Family::of(addr) {
        Family::V4 => "ARP",
        Family::V6 => "neighbour discovery",
    }
}

/// Why the kernel answers or keeps silent, as a clause.
pub(super) fn why(node: &Node<'_>, said: &Said, asker: Option<IpAddr>) -> String {
    let name = |d: &DevId| node.device(*d).name.as_str();
    let ignore = || {
        let values = said
            .settings
            .iter()
            .filter(|s| s.name.ends_with(".arp_ignore"))
            .map(|s| s.value);
        values.max().map_or_else(
            || "arp_ignore=0, not captured,".to_owned(),
            |v| format!("arp_ignore={v}"),
        )
    };
    let who = || asker.map_or_else(|| "a host without an address".to_owned(), |a| a.to_string());
    match &said.why {
        Why::Own { .. } => "the device has the address".to_owned(),
        Why::OwnElsewhere { dev: Some(d), .. } => {
            format!(
                "{} has it, and {} lets every device answer",
                name(d),
                ignore()
            )
        }
        Why::OwnElsewhere { dev: None, .. } => format!(
            "a local route makes it the node's own, and {} lets every device answer",
            ignore()
        ),
        Why::Anycast { .. } => "an anycast address of the device".to_owned(),
        Why::ProxyArp { out, .. } => {
            format!("proxy_arp=1, and the route to it goes by {}", name(out))
        }
        Why::ProxyPvlan { .. } => {
            "proxy_arp_pvlan=1, and the route to it goes back by this device".to_owned()
        }
        Why::ProxyEntry { .. } => "ip neigh has a proxy entry for it".to_owned(),
        Why::Down => "the device is down or has no carrier".to_owned(),
        Why::NoArp => "the device has NOARP".to_owned(),
        Why::Loopback => "nobody else is there".to_owned(),
        Why::PortOf { master } => format!("a port of {}, which is asked instead", name(master)),
        Why::NotAsked(what) => format!("it is {what}"),
        Why::ArpIgnore { dev, value } => match dev {
            Some(d) => format!(
                "{} has it, and arp_ignore={value} forbids to answer here",
                name(d)
            ),
            None => format!("arp_ignore={value} forbids to answer here"),
        },
        Why::ArpFilter { out: Some(out) } => {
            format!(
                "arp_filter=1, and the way back to {} goes by {}",
                who(),
                name(out)
            )
        }
        Why::ArpFilter { out: None } => {
            format!("arp_filter=1, and no device leads back to {}", who())
        }
        Why::OnlyElsewhere { dev, .. } => {
            format!("{} has it; in IPv6 no other device answers", name(dev))
        }
        Why::Tentative { .. } => "the address is still tentative".to_owned(),
        Why::Refused(r) => format!("{} is refused as a source: {}", who(), reason(node, r)),
        Why::NotOurs => "no address of this node".to_owned(),
        Why::NotCaptured => "its addresses and routes were not captured".to_owned(),
    }
}

/// What is said of one device at a node by a packet: `answered`, `silent`, `unknown`.
pub(super) fn verdict(answers: Option<bool>) -> &'static str {
    match answers {
        Some(true) => "answered",
        Some(false) => "silent",
        None => "unknown",
    }
}

/// The device of a node at which hosts ask for the address.
fn asked_at<'n>(places: &[Place<'n, '_>], n: &OfNode) -> Option<&'n str> {
    let d = n.devices.iter().find(|d| d.on_link && !d.to_pods)?;
    Some(places[n.place].node.device(d.dev).name.as_str())
}

fn speaker(h: &Holder) -> String {
    h.pod.clone().unwrap_or_else(|| "its speaker".to_owned())
}

/// `mcc-metallb-speaker-8k5wl withdrew it (notOwner)`.
fn withdrawal(r: &Report, h: &Holder) -> Option<String> {
    let t = r.history.get(h.after?)?;
    let who = t.pod.as_deref().or(t.node.as_deref())?;
    let why = t
        .reason
        .as_ref()
        .map_or_else(String::new, |x| format!(" ({x})"));
    Some(format!("{who} withdrew it{why}"))
}

/// The answer in one sentence or two.
pub(super) fn headline(places: &[Place<'_, '_>], r: &Report) -> String {
    let addr = r.addr;
    if let Some(f) = r
        .findings
        .iter()
        .find(|f| f.code == Code::VipAnnouncerSilent)
    {
        return f.title.clone();
    }
    let layer2: Vec<&Holder> = r.holders.iter().filter(|h| h.is_layer2()).collect();
    if let Some(h) = layer2.last() {
        return announced(places, r, h);
    }
    let routed: Vec<String> = r
        .holders
        .iter()
        .map(|h| h.node.clone().unwrap_or_else(|| speaker(h)))
        .collect();
    if !routed.is_empty() {
        let since = r.holders.last().map_or("", |h| h.since.as_str());
        let one = routed.len() == 1;
        let kernels = kernels(places, r, &r.answerers.iter().collect::<Vec<_>>());
        let also = if kernels.is_empty() {
            String::new()
        } else {
            format!("; {} for it all the same: {kernels}", protocol(addr))
        };
        return format!(
            "{} announce{} {addr} to routers ({}), the last since {since}: nobody has to answer {}{also}",
            listed(&routed),
            if one { "s" } else { "" },
            r.holders[0].protocol.as_deref().unwrap_or("bgp"),
            protocol(addr),
        );
    }
    if !r.answerers.is_empty() {
        let all: Vec<&Answerer> = r.answerers.iter().collect();
        let mut text = kernels(places, r, &all);
        if r.nodes.len() > 1 && all.len() == 1 {
            text += "; nobody else does";
        }
        return text;
    }
    if let Some(m) = r.macs.iter().find(|m| m.mac.is_some()) {
        let mac = m.mac.as_deref().unwrap_or_default();
        return match m.owner {
            Some((place, dev)) => {
                let p = &places[place];
                format!(
                    "{} answers for {addr} ({} shows {mac}, which is its {})",
                    node_name(p, r, place),
                    m.by,
                    p.node.device(dev).name
                )
            }
            None => format!(
                "{mac} answers for {addr} ({}); no link of that address was captured",
                m.by
            ),
        };
    }
    if let Some(x) = r.routes.first() {
        let hops: Vec<String> = x
            .hops
            .iter()
            .map(|(via, node)| match node {
                Some(n) => format!("{n} ({via})"),
                None => via.to_string(),
            })
            .collect();
        return format!(
            "{} is routed to {} by {}: nobody has to answer {}",
            addr,
            listed(&hops),
            node_name(&places[x.at.place], r, x.at.place),
            protocol(addr)
        );
    }
    match (r.answered, r.nodes.as_slice()) {
        (_, [one]) if !r.nodes.is_empty() && one.answers() == Some(false) => {
            let text = format!("{} does not answer for {addr}", one.name);
            let reason = reason_of_silence(places, one);
            match r.answered {
                Some(false) if places.iter().any(|p| p.node.seen.log) => {
                    format!("nobody answers for {addr}: {}", last_word(r))
                }
                _ if reason.is_empty() => text,
                _ => format!("{text}: {reason}"),
            }
        }
        (Some(false), _) => format!("nobody answers for {addr}: {}", last_word(r)),
        (None, []) => format!(
            "who answers for {addr} is not known: neither a node's devices nor a speaker's log was captured"
        ),
        (None, nodes) if !nodes.is_empty() && nodes.iter().all(|n| n.answers() == Some(false)) => {
            format!(
                "no node's kernel answers for {addr}; whether a speaker does is not known, no log was captured"
            )
        }
        _ => format!(
            "who answers for {addr} is not known: {}",
            "some of what tells was not captured"
        ),
    }
}

fn last_word(r: &Report) -> String {
    match r.history.last() {
        Some(t) => {
            let who = t
                .pod
                .as_deref()
                .or(t.node.as_deref())
                .unwrap_or("the speaker");
            let why = t
                .reason
                .as_ref()
                .map_or_else(String::new, |x| format!(" ({x})"));
            format!("{who} withdrew it at {}{why}", t.time)
        }
        None => "no node has it, and no speaker announces it".to_owned(),
    }
}

/// With a speaker that holds it.
fn announced(places: &[Place<'_, '_>], r: &Report, h: &Holder) -> String {
    let node = r.nodes.iter().find(|n| Some(&n.name) == h.node.as_ref());
    let on = node
        .and_then(|n| asked_at(places, n))
        .map_or_else(String::new, |d| format!(" on {d}"));
    let who = h
        .node
        .clone()
        .unwrap_or_else(|| format!("the node of {}", speaker(h)));
    let after = withdrawal(r, h).map_or_else(String::new, |w| format!(", after {w}"));
    let mut text = format!(
        "{who} answers for {}{on} since {}: {} announces it{after}",
        r.addr,
        h.since,
        speaker(h)
    );
    let others: Vec<&Answerer> = r
        .answerers
        .iter()
        .filter(|a| match (&a.node, &h.node) {
            (Some(a), Some(b)) => a != b,
            _ => a.pod != h.pod,
        })
        .collect();
    let earlier: Vec<String> = r
        .holders
        .iter()
        .filter(|o| o.overtaken)
        .map(|o| o.node.clone().unwrap_or_else(|| speaker(o)))
        .collect();
    if !others.is_empty() {
        text += &format!("; {}", kernels(places, r, &others));
    } else if r
        .nodes
        .iter()
        .filter(|n| Some(&n.name) != h.node.as_ref())
        .count()
        > 0
        && r.nodes
            .iter()
            .all(|n| n.answers() == Some(false) || Some(&n.name) == h.node.as_ref())
    {
        text += "; nobody else does";
    } else if earlier.is_empty() {
        text += "; nobody else announces it";
    }
    if !earlier.is_empty() {
        text += &format!(
            "; {} announced it before and did not say that it no longer does",
            listed(&earlier)
        );
    }
    text
}

/// Nodes whose kernel answers, with the reason where it is the same for all.
fn kernels(places: &[Place<'_, '_>], r: &Report, all: &[&Answerer]) -> String {
    let kernel: Vec<&&Answerer> = all.iter().filter(|a| a.dev.is_some()).collect();
    let one_device = kernel.windows(2).all(|w| w[0].dev == w[1].dev);
    let names: Vec<String> = kernel
        .iter()
        .enumerate()
        .map(|(i, a)| {
            let name = a.node.clone().unwrap_or_default();
            match &a.dev {
                // What all share is said once.
                Some(d) if !one_device || i + 1 == kernel.len() => format!("{name} on {d}"),
                _ => name,
            }
        })
        .collect();
    let reason = kernel
        .first()
        .and_then(|a| r.nodes.iter().find(|n| Some(&n.name) == a.node.as_ref()))
        .and_then(|n| {
            let d = n.outside().find(|d| d.answers() == Some(true))?;
            Some(why(places[n.place].node, d.likeliest()?, d.asker))
        });
    let announced = all.len() < r.answerers.len();
    let verb = match (names.len(), announced) {
        (0, _) => return String::new(),
        (1, false) => "answers",
        (_, false) => "answer",
        (1, true) => "answers as well",
        (_, true) => "answer as well",
    };
    let of = if announced {
        String::new()
    } else {
        format!(" for {}", r.addr)
    };
    let reason = reason.map_or_else(String::new, |x| format!(": {x}"));
    format!("{} {verb}{of}{reason}", listed(&names))
}

/// Why a node is silent: as at the device where hosts ask.
fn reason_of_silence(places: &[Place<'_, '_>], n: &OfNode) -> String {
    let node = places[n.place].node;
    let telling = |d: &&AtDevice| {
        d.likeliest()
            .is_some_and(|s| !matches!(s.why, Why::NoArp | Why::Loopback | Why::PortOf { .. }))
    };
    let d = n.outside().find(telling).or_else(|| n.outside().next());
    d.and_then(|d| Some(why(node, d.likeliest()?, d.asker)))
        .unwrap_or_default()
}

fn node_name(p: &Place<'_, '_>, r: &Report, place: usize) -> String {
    r.nodes
        .iter()
        .find(|n| n.place == place)
        .map_or_else(|| p.name.to_owned(), |n| n.name.clone())
}

/// `a, b and c`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The name of the captures that a line is of; empty where there is one only, or the file is one of all.
pub(super) fn capture<'n>(places: &[Place<'n, '_>], at: At) -> &'n str {
    let Some(p) = places.get(at.place) else {
        return "";
    };
    let file = usize::from(at.origin.file.0);
    let kube = &p.node.kube;
    let of_objects = kube.services.iter().any(|o| o.file == at.origin.file)
        || kube.pods.iter().any(|o| o.file == at.origin.file)
        || kube.nodes.iter().any(|o| o.file == at.origin.file);
    let shared = of_objects
        && p.node.files.get(file).is_some_and(|f| {
            let same = |o: &Place<'_, '_>| {
                let mut files = o.node.files.iter();
                files.any(|x| x.name == f.name && x.text == f.text)
            };
            places.iter().filter(|o| !o.name.is_empty()).all(same)
        });
    if shared { "" } else { p.name }
}

/// Where a line stands, with the captures' name before it.
pub(super) fn place(places: &[Place<'_, '_>], at: At) -> String {
    let Some(p) = places.get(at.place) else {
        return String::new();
    };
    let file = p.node.place(at.origin);
    match capture(places, at) {
        "" => file,
        name => format!("{name}/{file}"),
    }
}

/// The text of a line.
pub(super) fn line_text<'s>(places: &[Place<'_, 's>], at: At) -> Option<&'s str> {
    let node = places.get(at.place)?.node;
    let file = node.files.get(usize::from(at.origin.file.0))?;
    let n = usize::try_from(at.origin.line).ok()?.checked_sub(1)?;
    file.text.lines().nth(n)
}
