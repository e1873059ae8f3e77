//! What bridges do to packets between their own ports.

use super::names::device;
use super::path::{destination_rules, setting};
use super::story::Called;
use super::{Case, Code, Finding};
use crate::node::{DevId, Node};
use crate::trace::{Outcome, Packet, StepKind, Trace};
use std::net::IpAddr;

/// A pod that reaches itself through a Service, behind a port without hairpin.
pub(super) fn hairpin_off(
    node: &Node<'_>,
    packet: &Packet,
    story: &[Called],
    bridge: DevId,
    port: Option<DevId>,
) -> Finding {
    let of = port.map_or_else(
        || format!("the ports of {}", device(node, bridge)),
        |p| device(node, p).to_owned(),
    );
    let who = packet
        .src
        .map_or_else(|| "the pod".to_owned(), |a| a.to_string());
    let mut f = Finding::new(
        Code::HairpinOff,
        format!(
            "{who} is sent to itself, and {} does not send a packet back by the port it came by: hairpin is off on {of}",
            device(node, bridge)
        ),
    );
    f.blame_rules(destination_rules(story));
    let dev = port.map_or("DEVICE", |p| device(node, p));
    f.advise(format!(
        "bridge link set dev {dev} hairpin on; for pods to come, \"hairpinMode\": true in the CNI configuration of {}",
        device(node, bridge)
    ));
    f
}

/// An answer that goes from port to port without netfilter, and so with the endpoint's own address.
pub(super) fn answer(
    case: &Case<'_, '_>,
    reply: &Trace,
    o: &Outcome,
    src: IpAddr,
) -> Option<Finding> {
    let node = case.node;
    let bridge = o.out.as_ref().map(|out| out.dev)?;
    let hooks = o
        .steps
        .iter()
        .any(|s| matches!(s.kind, StepKind::Hook { .. }));
    if hooks || !node.device(bridge).is_bridge() {
        return None;
    }
    let (name, to) = (device(node, bridge), reply.packet.dst);
    let key = if to.is_ipv6() {
        "net.bridge.bridge-nf-call-ip6tables"
    } else {
        "net.bridge.bridge-nf-call-iptables"
    };
    let mut f = Finding::new(
        Code::AnswerBridged,
        format!(
            "the answer goes from {src} to {to} over {name} alone, where netfilter does not see it: the client gets it from {src}, not {}, and resets",
            case.trace.packet.dst
        ),
    );
    f.blame(setting(node, key));
    f.advise(format!("modprobe br_netfilter; sysctl -w {key}=1"));
    Some(f)
}
