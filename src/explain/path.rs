//! What the kernel itself refuses: routes, source validation, settings, IPVS.

use super::names::{self, device, full_rule};
use super::story::Called;
use super::{Cause, Code, Finding};
use crate::node::{DevId, Node, Origin as Place, VirtualKey};
use crate::trace::{Hit, Origin, Outcome, Packet, Reason, StepKind};

/// The finding for a reason that is no rule's and no policy's; `None` where the packet arrived.
pub(super) fn failure(
    node: &Node<'_>,
    packet: &Packet,
    outcome: &Outcome,
    story: &[Called],
    reason: &Reason,
) -> Option<Finding> {
    // Where the packet was heading when it ended: the last step may be the rule that rewrote it, which shows it as it was.
    let rewritten = outcome.dnat.as_ref().and_then(|d| d.ip);
    let last = || outcome.steps.last().map_or(packet.dst, |s| s.view.dst);
    let dst = rewritten.unwrap_or_else(last);
    Some(match reason {
        Reason::Sent { .. } | Reason::Delivered | Reason::Rule(_) | Reason::Policy { .. } => {
            return None;
        }
        Reason::NoRoute => {
            let mut f = Finding::new(
                Code::NoRoute,
                format!(
                    "this node has no route to {dst}{}",
                    sent_by(node, packet, story, dst)
                ),
            );
            f.blame_rules(destination_rules(story));
            f.advise(format!("`ip route get {dst}` shows the same; add the route, or see why the network plugin did not"));
            f
        }
        Reason::RouteType { what, at } => {
            let code = match *what {
                "blackhole" => Code::Blackhole,
                "prohibit" => Code::Prohibit,
                _ => Code::Unreachable,
            };
            let mut f = Finding::new(
                code,
                format!(
                    "the route or rule for {dst} says {what}{}{}{}",
                    at_place(node, *at),
                    own_block(node, dst, *at),
                    sent_by(node, packet, story, dst)
                ),
            );
            f.blame(Cause::Route { at: *at });
            f.blame_rules(destination_rules(story));
            f.advise(format!(
                "no more specific route to {dst} exists: the pod may be gone, or its route was never written"
            ));
            f
        }
        Reason::ForwardingOff { sysctl } => {
            let mut f = Finding::new(
                Code::ForwardingOff,
                format!("this node does not forward: {sysctl} = 0"),
            );
            f.blame(setting(node, sysctl));
            f.advise(format!("sysctl -w {}=1", general(sysctl)));
            f
        }
        Reason::HairpinOff { bridge, port } => {
            super::bridge::hairpin_off(node, packet, story, *bridge, *port)
        }
        Reason::RpFilter { mode, reverse } => {
            rp_filter(node, packet, outcome, story, *mode, *reverse)
        }
        Reason::Martian { why } => {
            let mut f = Finding::new(Code::Martian, format!("dropped as martian: {why}"));
            f.blame_rules(destination_rules(story));
            if why.contains("route_localnet") {
                // The device it came in by, or would leave by.
                let routed = |s: &crate::trace::Step| match &s.kind {
                    StepKind::Route(r) => r.dev,
                    _ => None,
                };
                let dev = match packet.origin {
                    Origin::Device(d) => Some(d),
                    Origin::Local => outcome.steps.iter().rev().find_map(routed),
                };
                let dev = dev.map_or("all", |d| device(node, d));
                f.blame(setting(
                    node,
                    &format!("net.ipv4.conf.{dev}.route_localnet"),
                ));
                f.advise("sysctl -w net.ipv4.conf.all.route_localnet=1 lets it pass (kube-proxy sets it while it serves NodePorts on 127.0.0.1)");
            } else if why.contains("accept_local") {
                f.advise("a source that this node owns cannot come in from outside: look for the same address on another node, or a packet that was sent back");
            }
            f
        }
        Reason::Ttl => {
            let mut f = Finding::new(
                Code::Ttl,
                format!("TTL {} does not reach past this node", packet.ttl),
            );
            f.advise(
                "a routing loop between nodes uses the TTL up: follow the packet to the next hop",
            );
            f
        }
        Reason::NoMasqAddress(hit) => {
            let mut f = rule_finding(
                node,
                Code::NoMasqueradeAddress,
                *hit,
                "found no address to masquerade with",
            );
            f.advise("give the device it leaves by, or any other, a global address");
            f
        }
        Reason::MasqueradeElsewhere { then, now } => {
            let (then, now) = (&node.device(*then).name, &node.device(*now).name);
            let mut f = Finding::new(
                Code::MasqueradeElsewhere,
                format!(
                    "the connection was masqueraded to leave by {then}; its later packets leave by {now}, and the kernel drops them"
                ),
            );
            f.advise("route every packet of a connection alike: a mark of the first packet alone must choose no route");
            f
        }
        Reason::ConnectionClash { at } => {
            let place = at.map_or_else(String::new, |o| format!(" ({})", node.place(o)));
            let mut f = Finding::new(
                Code::ConnectionClash,
                format!(
                    "conntrack knows another connection{place} with the addresses and ports of this one's answers, and drops the packet"
                ),
            );
            f.advise("delete the other connection (`conntrack -D`), or give the rule that translates the source a range of ports");
            f
        }
        Reason::NoRedirectAddress(hit) => rule_finding(
            node,
            Code::NoRedirectAddress,
            *hit,
            "found no address on the device the packet came in by",
        ),
        Reason::NoRealServer { service } => no_real_server(node, *service),
        Reason::RealServerUnreachable { service, server } => {
            let mut f = Finding::new(
                Code::IpvsUnreachable,
                format!(
                    "IPVS chose the real server {server} of {}, to which this node has no route",
                    service_name(node, *service)
                ),
            );
            f.blame(ipvs(node, *service));
            f.advise(format!("`ip route get {server}`"));
            f
        }
        Reason::IpvsLoopback => Finding::new(
            Code::IpvsLoopback,
            "IPVS does not send a packet from a loopback address to a real server elsewhere".into(),
        ),
        Reason::IpvsNotAsked => {
            let mut f = Finding::new(
                Code::IpvsNotAsked,
                "the sender is a real server of IPVS, and IPVS knows no connection of which this is a part"
                    .into(),
            );
            f.blame(setting(node, "net.ipv4.vs.nat_icmp_send"));
            f.advise("sysctl -w net.ipv4.vs.nat_icmp_send=0");
            f
        }
        Reason::TooBig { mtu } => {
            let mut f = Finding::new(
                Code::TooBig,
                format!(
                    "the packet ({} bytes) is larger than the MTU of the way out ({mtu})",
                    packet.length
                ),
            );
            f.advise("small packets pass; lower the pods' MTU, or clamp the TCP MSS");
            f
        }
        Reason::NoSuchSource => Finding::new(
            Code::NoSuchSource,
            match packet.src {
                Some(s) => {
                    format!("{s} is not an address of this node, so nothing here can send from it")
                }
                None => "the source is not an address of this node".into(),
            },
        ),
        Reason::BeyondScope => Finding::new(
            Code::BeyondScope,
            "a link-local source is not forwarded".into(),
        ),
        Reason::Ebpf { why, at } => super::ebpf::refused(node, packet, *why, *at),
        Reason::Unknown(why) => {
            let mut f = Finding::new(Code::Unknown, format!("it cannot be told: {why}"));
            for m in &outcome.missing {
                f.advise(format!("capture {}: {}", m.what, m.command));
            }
            f
        }
    })
}

/// Who rewrote the destination to an address that cannot be reached.
fn sent_by(node: &Node<'_>, packet: &Packet, story: &[Called], dst: std::net::IpAddr) -> String {
    if dst == packet.dst {
        return String::new();
    }
    destination_rules(story)
        .last()
        .map_or_else(String::new, |h| {
            format!(
                "; {}{} sends the packet there",
                full_rule(node, h),
                super::drops::by_owner(node, h)
            )
        })
}

/// A blackhole for a block of addresses that the node keeps for its pods, as Calico writes it (`blackhole 10.0.0.0/26 proto bird`).
fn own_block(node: &Node<'_>, dst: std::net::IpAddr, at: Place) -> String {
    let fib = node.fib(nfwhy_parsers::Family::of(dst));
    let route = fib
        .tables
        .values()
        .flat_map(|t| t.candidates(dst).flatten())
        .find(|r| {
            let line = line_of(node, at);
            let calico = ["proto bird", "proto 80"].iter().any(|p| line.contains(p));
            r.origin == at && r.dst_len > 0 && calico
        });
    route.map_or_else(String::new, |r| {
        format!(
            ": {}/{} is a block of this node's own pods, and no pod here has {dst}",
            r.dst, r.dst_len
        )
    })
}

fn at_place(node: &Node<'_>, at: Place) -> String {
    let p = node.place(at);
    if p.is_empty() {
        String::new()
    } else {
        format!(" ({p})")
    }
}

fn rule_finding(node: &Node<'_>, code: Code, hit: Hit, what: &str) -> Finding {
    let mut f = Finding::new(code, format!("{} {what}", full_rule(node, hit)));
    f.blame_rules([hit]);
    f
}

/// The rules that rewrote the destination: without them the packet would have gone another way.
pub(super) fn destination_rules(story: &[Called]) -> impl Iterator<Item = Hit> + '_ {
    story
        .iter()
        .filter(|c| !c.outer && c.rewrote_destination())
        .map(|c| c.hit)
}

/// A setting with its value, where captured.
pub(super) fn setting(node: &Node<'_>, name: &str) -> Cause {
    // Only the device's own name may hold dots (`eth0.100`).
    let path = match name
        .split_once(".conf.")
        .and_then(|(a, b)| Some((a, b.rsplit_once('.')?)))
    {
        Some((family, (dev, key))) => format!("{}/conf/{dev}/{key}", family.replace('.', "/")),
        None => name.replace('.', "/"),
    };
    let found = node.sysctls.get(&path);
    Cause::Sysctl {
        name: name.to_owned(),
        value: found.map(|(v, _)| v),
        at: found.map_or_else(Place::default, |(_, o)| o),
    }
}

/// `ip_forward` sets every device; a device's own switch is rarely what was meant.
fn general(sysctl: &str) -> &str {
    if sysctl.starts_with("net.ipv4.conf.") {
        "net.ipv4.ip_forward"
    } else {
        sysctl
    }
}

fn rp_filter(
    node: &Node<'_>,
    packet: &Packet,
    outcome: &Outcome,
    story: &[Called],
    mode: i64,
    reverse: Option<DevId>,
) -> Finding {
    let last = outcome.steps.last().map(|s| s.view);
    let dst = last.map_or(packet.dst, |v| v.dst);
    let came = last.and_then(|v| v.iif).or(match packet.origin {
        Origin::Device(d) => Some(d),
        Origin::Local => None,
    });
    let dev = came.map_or("?", |d| device(node, d));
    let src = packet
        .src
        .map_or_else(|| "the source".to_owned(), |s| s.to_string());
    let how = if mode == 1 { "strict" } else { "loose" };
    let way = match reverse {
        Some(d) => format!("the way back to {src} is by {}", device(node, d)),
        None => format!("there is no route back to {src}"),
    };
    let by_rule = node.fib(packet.family()).rules.iter().find(|r| {
        r.from.is_some_and(|(a, len)| {
            len > 0 && nfwhy_parsers::common::Masked::prefix(a, len).contains(dst)
        })
    });
    let by_rule = by_rule.map_or_else(String::new, |r| {
        let text = line_of(node, r.origin);
        format!(", by `ip rule` {text}{}", at_place(node, r.origin))
    });
    let after = if dst == packet.dst {
        String::new()
    } else {
        format!(
            " (looked up from the endpoint {dst}, as the destination was rewritten before{by_rule})"
        )
    };
    let mut f = Finding::new(
        Code::RpFilter,
        format!(
            "dropped by the reverse path filter of {dev} (rp_filter = {mode}, {how}): {way}{after}"
        ),
    );
    // The larger of the two counts (`IN_DEV_RPFILTER`, include/linux/inetdevice.h).
    for scope in [dev, "all"] {
        let cause = setting(node, &format!("net.ipv4.conf.{scope}.rp_filter"));
        if matches!(&cause, Cause::Sysctl { value: Some(v), .. } if *v == mode) {
            f.blame(cause);
            break;
        }
    }
    for r in &node.fib(packet.family()).rules {
        let from_receiver = r.from.is_some_and(|(a, len)| {
            len > 0 && nfwhy_parsers::common::Masked::prefix(a, len).contains(dst)
        });
        if from_receiver {
            f.blame(Cause::Route { at: r.origin });
        }
    }
    f.blame_rules(destination_rules(story));
    f.advise(if reverse.is_some() {
        format!("sysctl -w net.ipv4.conf.{dev}.rp_filter=2 and net.ipv4.conf.all.rp_filter no higher than 2 (loose: any route back will do), or route {src} by {dev}")
    } else {
        format!("add a route to {src}, or sysctl -w net.ipv4.conf.{dev}.rp_filter=0 with net.ipv4.conf.all.rp_filter=0")
    });
    f
}

/// The line at a place, as `ip` printed it.
pub(super) fn line_of(node: &Node<'_>, at: Place) -> String {
    let text = node
        .files
        .get(usize::from(at.file.0))
        .map_or("", |f| f.text);
    let line = (at.line as usize)
        .checked_sub(1)
        .and_then(|n| text.lines().nth(n));
    line.map_or_else(
        || "0 (default)".to_owned(),
        |l| l.split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

/// The virtual service as `ipvsadm` prints it, behind the Service's name where its object was captured.
pub(super) fn service_name(node: &Node<'_>, service: usize) -> String {
    match node.ipvs.services.get(service).map(|s| s.key) {
        Some(VirtualKey::Addr { proto, addr, port }) => {
            let key = format!(
                "{} {}",
                proto.to_string().to_ascii_uppercase(),
                names::endpoint(addr, crate::trace::Port::Known(port))
            );
            match node.service_asked(addr, proto, port) {
                Some(s) => format!("{} ({key})", s.name()),
                None => key,
            }
        }
        Some(VirtualKey::Fwmark { mark, .. }) => format!("FWM {mark}"),
        None => "a virtual service".into(),
    }
}

/// A virtual service as a cause.
pub(super) fn ipvs(node: &Node<'_>, service: usize) -> Cause {
    Cause::Ipvs {
        service,
        at: node
            .ipvs
            .services
            .get(service)
            .map_or_else(Place::default, |s| s.origin),
    }
}

fn no_real_server(node: &Node<'_>, service: usize) -> Finding {
    let listed = node
        .ipvs
        .services
        .get(service)
        .map_or(0, |s| s.servers.len());
    let what = if listed == 0 {
        "has no real server".to_owned()
    } else {
        format!("has {listed} real servers, all of weight 0 (draining)")
    };
    let holder = match node.ipvs.services.get(service).map(|s| s.key) {
        Some(VirtualKey::Addr { addr, .. }) => node
            .devices
            .iter()
            .find(|d| d.addrs.iter().any(|a| a.local == addr))
            .map(|d| {
                format!(
                    "; the address is this node's ({}), so the packet goes no further",
                    d.name
                )
            }),
        _ => None,
    };
    let mut f = Finding::new(
        Code::IpvsNoRealServer,
        format!(
            "rejected by IPVS: {} {what}{}",
            service_name(node, service),
            holder.unwrap_or_default()
        ),
    );
    f.blame(ipvs(node, service));
    f.advise("policy Local without a ready pod on this node leaves the virtual service empty here: run a pod here, send clients to a node that has one, or externalTrafficPolicy: Cluster");
    f.advise("with policy Cluster: no pod of the Service is ready (see its endpointslices)");
    f
}

/// Whether any IPVS step was taken, and the index of its service.
pub(super) fn ipvs_service(outcome: &Outcome) -> Option<usize> {
    outcome.steps.iter().find_map(|s| match s.kind {
        StepKind::Ipvs { service, .. } => Some(service),
        _ => None,
    })
}
