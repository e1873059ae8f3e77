//! How Kubernetes calls what a packet asks and whom it reaches, where its objects were captured.

use super::names;
use crate::node::Node;
use crate::node::kube::{AddressKind, ServiceAt, Who};
use crate::trace::{Hit, Outcome, Packet, Port};
use nfwhy_parsers::kube::{Policy, ServiceType};
use std::net::IpAddr;

/// The Service that a packet asks, by its object.
pub fn asked<'n>(node: &'n Node<'_>, packet: &Packet) -> Option<ServiceAt<'n>> {
    let Port::Known(port) = packet.dport else {
        return None;
    };
    node.service_asked(packet.dst, packet.proto, port)
}

/// The name of the Service: its object's, else what comments and chains of the rules call it. A table does not show the names of
/// ports, so comments come before it.
pub fn service_name(node: &Node<'_>, packet: &Packet, hits: &[Hit]) -> Option<String> {
    let object = asked(node, packet);
    if let Some(s) = object.filter(|s| !s.service.listed) {
        return Some(s.name());
    }
    names::service_of(node, hits).or_else(|| Some(object?.name()))
}

/// The name by the object alone, where that shows it whole.
pub(super) fn object_name(node: &Node<'_>, packet: &Packet) -> Option<String> {
    asked(node, packet)
        .filter(|s| !s.service.listed)
        .map(|s| s.name())
}

/// What the object says of a Service: `LoadBalancer; 172.19.100.2 is its load balancer address; externalTrafficPolicy: Cluster`.
pub fn described(s: &ServiceAt<'_>, dst: IpAddr) -> String {
    let kind = s.service.kind.name();
    let mut text = match s.kind {
        AddressKind::NodePort => {
            let port = s.port.node_port.unwrap_or_default();
            format!("{kind}; {port} is its NodePort")
        }
        AddressKind::Cluster if s.service.kind == ServiceType::ClusterIp => kind.to_owned(),
        k => format!("{kind}; {dst} is its {}", k.name()),
    };
    if let Some((name, p)) = policy(s) {
        text += &format!("; {name}: {}", p.name());
    }
    if s.service.affinity {
        text += "; sessionAffinity: ClientIP";
    }
    text
}

/// The policy that holds for the address asked, with its field; `None` where the text does not show it.
///
/// What is not written is `Cluster` (`SetDefaults_Service` in kubernetes' pkg/apis/core/v1/defaults.go), but nobody asks for the
/// internal one then.
pub fn policy(s: &ServiceAt<'_>) -> Option<(&'static str, Policy)> {
    if s.kind == AddressKind::Cluster {
        let local = s.service.internal_policy == Some(Policy::Local);
        return local.then_some(("internalTrafficPolicy", Policy::Local));
    }
    let p = match s.service.external_policy {
        None if s.service.listed => return None,
        p => p.unwrap_or(Policy::Cluster),
    };
    Some(("externalTrafficPolicy", p))
}

/// Who receives the packet of an outcome.
pub fn receiver(node: &Node<'_>, o: &Outcome) -> Option<Who> {
    if node.kube.is_empty() {
        return None;
    }
    if let Some(d) = &o.delivered {
        return node.kube.who(d.dst, d.dport.known());
    }
    let d = o.dnat.as_ref()?;
    node.kube.who(d.ip?, d.port)
}

/// Who sends a packet.
pub fn sender(node: &Node<'_>, packet: &Packet) -> Option<Who> {
    node.kube.who(packet.src?, None)
}

/// `default/ng-test-rs-cwqr5 on cy01-ceph142 (this node)`, `node cy01-ceph142`.
pub fn called(who: &Who) -> String {
    let here = if who.here == Some(true) {
        " (this node)"
    } else {
        ""
    };
    match (&who.pod, &who.node) {
        (Some(p), Some(n)) => format!("{p} on {n}{here}"),
        (Some(p), None) => p.clone(),
        (None, Some(n)) => format!("node {n}{here}"),
        (None, None) => String::new(),
    }
}

/// The one pod that all outcomes reach.
pub(super) fn one_pod<'o>(
    node: &Node<'_>,
    outcomes: impl Iterator<Item = &'o Outcome>,
) -> Option<String> {
    if node.kube.is_empty() {
        return None;
    }
    let mut found: Option<String> = None;
    for o in outcomes.filter(|o| o.delivered.is_some()) {
        let pod = receiver(node, o)?.pod?;
        if found.as_ref().is_some_and(|f| *f != pod) {
            return None;
        }
        found = Some(pod);
    }
    found
}
