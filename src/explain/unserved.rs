//! A packet to a Service's address that no Service rule takes: a wrong port or protocol.

use super::names::{self, comment, service_in};
use super::{Case, Cause, Code, Finding, Rank, reply};
use crate::node::{Device, NftTable, Node, Origin, TableKind, VirtualKey};
use crate::trace::{CtState, Hit, Outcome, Packet, Port, StepKind, Verdict};
use nfwhy_parsers::common::bits;
use nfwhy_parsers::iptables::{Match, Rule};
use nfwhy_parsers::nft::{Const, ElementData, Part, Verdict as NftVerdict};
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// What a Service's address is asked for: protocol, port, and where it was read.
struct Served {
    proto: Proto,
    port: u16,
    cause: Cause,
    service: Option<String>,
}

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    let packet = &case.trace.packet;
    let outcomes = &case.trace.outcomes;
    if !outcomes.iter().all(|o| untouched(o, packet.dst)) {
        return None;
    }
    let holder = holder(node, packet.dst);
    let local = outcomes.iter().all(|o| o.verdict == Verdict::Local);
    let icmp = matches!(packet.proto, Proto::ICMP | Proto::ICMPV6);
    // The node answers a ping to its own address, and other ports of its own address are its own programs'.
    if local && (holder.is_none() || icmp) || !local && holder.is_some() {
        return None;
    }
    let served = served(node, packet.dst);
    let asked = |s: &Served| s.proto == packet.proto && Port::Known(s.port) == packet.dport;
    if served.is_empty() || served.iter().any(asked) {
        return None;
    }
    let mut f = Finding::new(Code::Unserved, title(case, holder, &served));
    f.advise(ask_for(packet, &served));
    for s in served {
        f.blame(s.cause);
    }
    Some((Rank::Fails, f))
}

fn ask_for(packet: &Packet, served: &[Served]) -> String {
    // Who asks for a wrong UDP port means one of the UDP ports.
    let alike = served.iter().any(|s| s.proto == packet.proto);
    let mut ports: Vec<String> = Vec::new();
    for s in served {
        let port = format!("{} {}", s.proto, s.port);
        if (s.proto == packet.proto || !alike) && !ports.contains(&port) {
            ports.push(port);
        }
    }
    let ports = names::list(&ports, 4);
    if matches!(packet.proto, Proto::ICMP | Proto::ICMPV6) {
        format!("ping tells nothing of a Service: ask for {ports}")
    } else {
        format!("ask for {ports}, or add the port to the Service")
    }
}

/// What to ask for instead, where a rule refuses the port.
pub(super) fn ask_instead(node: &Node<'_>, packet: &Packet) -> Option<String> {
    let served = served(node, packet.dst);
    (!served.is_empty()).then(|| ask_for(packet, &served))
}

/// `no Service takes tcp 8080 at 10.96.0.7 (it has shop/front:https tcp 443)`.
pub(super) fn no_such_port(node: &Node<'_>, packet: &Packet) -> String {
    takes_none(packet, &served(node, packet.dst))
}

/// In nftables mode: that nothing rewrote the packet before it was refused, because the map of addresses does not have it.
pub(super) fn not_in_service_ips(
    node: &Node<'_>,
    packet: &Packet,
    hit: crate::trace::Hit,
) -> Option<String> {
    let t = node.netfilter.nft(hit.table)?;
    // From outside the refusal is what the policy asks for; the cluster's own is to be sent on.
    let own =
        packet.origin == crate::trace::Origin::Local || super::place::from_local_pod(node, packet);
    let internal = super::nft::asks_cluster_ip(node, packet, hit);
    if !own || internal || t.def.name != "kube-proxy" || t.set("service-ips").is_none() {
        return None;
    }
    let asked = |s: &Served| s.proto == packet.proto && Port::Known(s.port) == packet.dport;
    let mut list = Vec::new();
    served_by_map(t, packet.dst, &mut list);
    if list.iter().any(asked)
        || crate::sim::way_back(node, packet.dst, packet.dst) == crate::sim::WayBack::Local
    {
        return None;
    }
    Some(format!(
        "not rewritten first, because map service-ips has no element for {} {} {}",
        packet.dst,
        packet.proto,
        packet
            .dport
            .known()
            .map_or_else(String::new, |p| p.to_string())
    ))
}

/// Whether an outcome goes on with the destination it was sent to, judged as a first packet.
fn untouched(o: &Outcome, dst: IpAddr) -> bool {
    let judged = o.steps.iter().all(|s| match s.kind {
        StepKind::Conntrack { state, reply, .. } => !reply && state == CtState::New,
        _ => true,
    });
    judged
        && !reply::is_reply(o)
        && o.dnat.is_none()
        && o.probability.is_some()
        && matches!(o.verdict, Verdict::Forwarded | Verdict::Local)
        && o.delivered.is_some_and(|d| d.dst == dst)
}

/// The device on which kube-proxy's IPVS mode keeps the addresses of Services.
fn holder<'n>(node: &'n Node<'_>, addr: IpAddr) -> Option<&'n Device> {
    node.devices
        .iter()
        .find(|d| d.name.starts_with("kube-ipvs") && d.addrs.iter().any(|a| a.local == addr))
}

fn title(case: &Case<'_, '_>, holder: Option<&Device>, served: &[Served]) -> String {
    let then = match holder {
        Some(d) => format!(
            "; the address is on {}, so the packet is delivered to this node itself",
            d.name
        ),
        None => "; the packet goes on as if there were no Service".to_owned(),
    };
    format!("{}{then}", takes_none(&case.trace.packet, served))
}

fn takes_none(packet: &Packet, served: &[Served]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for s in served {
        let name = s
            .service
            .as_deref()
            .map_or_else(String::new, |n| format!("{n} "));
        let part = format!("{name}{} {}", s.proto, s.port);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let what = match packet.dport {
        Port::Known(p) => format!("{} {p}", packet.proto),
        _ => packet.proto.to_string(),
    };
    let has = match parts.as_slice() {
        [] => String::new(),
        parts => format!(" (it has {})", names::list(parts, 3)),
    };
    format!("no Service takes {what} at {}{has}", packet.dst)
}

/// What kube-proxy serves at an address: its rules in KUBE-SERVICES (pkg/proxy/iptables/proxier.go), and virtual services.
fn served(node: &Node<'_>, addr: IpAddr) -> Vec<Served> {
    let mut list: Vec<Served> = Vec::new();
    let family = Family::of(addr);
    for (at, s) in node.ipvs.services.iter().enumerate() {
        if let VirtualKey::Addr {
            proto,
            addr: a,
            port,
        } = s.key
            && a == addr
            && port != 0
        {
            list.push(Served {
                proto,
                port,
                cause: super::path::ipvs(node, at),
                service: node.kube.service_by(a, proto, port).map(|s| s.name()),
            });
        }
    }
    for (_, t) in node.netfilter.nft_tables() {
        served_by_map(t, addr, &mut list);
    }
    for (table, t) in node.netfilter.tables.iter().enumerate() {
        if t.family != family || !matches!(t.kind, TableKind::Nat | TableKind::Filter) {
            continue;
        }
        let Some(chain) = t.chain("KUBE-SERVICES") else {
            continue;
        };
        for (rule, r) in t.rules(chain).iter().enumerate() {
            let whole = r.dst.as_ref().is_some_and(|d| {
                !d.not && d.value.addr == addr && d.value.prefix_len() == Some(family.bits())
            });
            let Some((proto, port)) = whole.then(|| port_of(r)).flatten() else {
                continue;
            };
            let hit = Hit { table, chain, rule };
            list.push(Served {
                proto,
                port,
                cause: Cause::Rule(hit),
                service: comment(node, hit).and_then(service_in).map(str::to_owned),
            });
        }
    }
    list
}

/// kube-proxy's nftables mode keeps its addresses in a map (pkg/proxy/nftables/proxier.go).
fn served_by_map(t: &NftTable<'_>, addr: IpAddr, list: &mut Vec<Served>) {
    let Some(set) = t.set("service-ips").filter(|_| t.def.name == "kube-proxy") else {
        return;
    };
    let number = |p: &Part<'_>| match p {
        Part::One(Const::Num(n)) => Some(*n),
        _ => None,
    };
    let Some(def) = t.def.sets.get(set) else {
        return;
    };
    let from = list.len();
    for e in t.elements(set) {
        let [a, proto, port] = e.key.as_slice() else {
            continue;
        };
        let (Some(a), Some(proto), Some(port)) = (number(a), number(proto), number(port)) else {
            continue;
        };
        let (Ok(proto), Ok(port)) = (u8::try_from(proto), u16::try_from(port)) else {
            continue;
        };
        if a != bits(addr) || !t.sees(Family::of(addr)) {
            continue;
        }
        let service = match &e.data {
            Some(ElementData::Verdict(NftVerdict::Goto(to) | NftVerdict::Jump(to))) => {
                names::service_in_chain(to)
            }
            _ => None,
        };
        list.push(Served {
            proto: Proto(proto),
            port,
            cause: Cause::Set {
                name: def.name.to_string(),
                at: Origin {
                    file: t.file,
                    line: def.at.line,
                },
            },
            service,
        });
    }
    // The kernel tells elements in the order of a hash, which is another one in each listing.
    if let Some(found) = list.get_mut(from..) {
        found.sort_by_key(|s| (s.proto.0, s.port));
    }
}

/// The one port a rule asks for.
fn port_of(r: &Rule<'_>) -> Option<(Proto, u16)> {
    let proto = r.proto.as_ref().filter(|p| !p.not)?.value;
    let port = r.matches.iter().find_map(|m| match m {
        Match::Tcp(t) => t.dport.as_ref(),
        Match::Udp(p) => p.dport.as_ref(),
        Match::Sctp(s) => s.ports.dport.as_ref(),
        _ => None,
    })?;
    (!port.not && port.value.lo == port.value.hi).then_some((proto, port.value.lo))
}
