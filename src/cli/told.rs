//! What objects of Kubernetes tell where nothing of a node was captured.

use super::names::NameError;
use crate::explain::names::{endpoint, list};
use crate::node::Node;
use crate::node::kube::{Kube, addresses, service_port_name};
use crate::trace::Port;
use nfwhy_parsers::Proto;
use nfwhy_parsers::kube::{Service, ServicePort, TargetPort};
use std::net::IpAddr;

/// Where nothing of a node was captured but its cluster's objects: no answer, but what they tell of the destination.
pub(super) fn only_objects(
    node: &Node<'_>,
    dst: IpAddr,
    proto: Proto,
    port: Option<u16>,
) -> Result<(), NameError> {
    let c = &node.captured;
    let something = c.links
        || c.route4
        || c.route6
        || c.iptables4
        || c.iptables6
        || c.nft
        || c.ipvs
        || c.sets
        || c.conntrack
        || c.rule4
        || c.rule6;
    if something || node.kube.is_empty() {
        return Ok(());
    }
    let known = port
        .and_then(|p| node.service_asked(dst, proto, p))
        .map(|s| told(&node.kube, s.service, s.port));
    let known = known.map_or_else(String::new, |k| format!(": {k}"));
    Err(NameError::OnlyObjects { known })
}

/// `default/ng-svc:http is tcp 80 at 172.19.100.2 (load balancer address); its targetPort 80 is at ...`.
fn told(kube: &Kube, s: &Service, port: &ServicePort) -> String {
    let at: Vec<String> = addresses(s)
        .map(|(ip, k)| format!("{ip} ({})", k.name()))
        .collect();
    let mut text = format!(
        "{} is {} {} at {}",
        service_port_name(s, port),
        port.proto,
        port.port,
        at.join(", ")
    );
    if let Some(n) = port.node_port {
        text += &format!(" and NodePort {n}");
    }
    let target = match &port.target {
        Some(TargetPort::Number(n)) => format!("targetPort {n}"),
        Some(TargetPort::Name(n)) => format!("targetPort {n}"),
        None => "endpoints".to_owned(),
    };
    let mut pods: Vec<String> = Vec::new();
    for b in kube.backends(s, port).unwrap_or_default() {
        let pod = b.pod.unwrap_or_default();
        let node = b.node.map_or_else(String::new, |n| format!(" on {n}"));
        let ready = if b.ready { "" } else { ", not ready" };
        let at = endpoint(b.ip, Port::Known(b.port));
        pods.push(format!("{pod} {at}{node}{ready}").trim_start().to_owned());
    }
    if pods.is_empty() {
        for p in kube.selected(s).map(|p| &p.object) {
            let number = Kube::target(port, p);
            let number = number.map_or_else(|| "no such port".to_owned(), |n| n.to_string());
            let ips: Vec<String> = p.ips.iter().map(ToString::to_string).collect();
            let node = p.node.as_ref();
            let node = node.map_or_else(String::new, |n| format!(" on {n}"));
            pods.push(format!(
                "{} {} port {number}{node}",
                p.meta.full(),
                ips.join(" ")
            ));
        }
    }
    text += &match pods.len() {
        0 => "; which pods are behind it was not captured".to_owned(),
        _ => format!("; its {target}: {}", list(&pods, 8)),
    };
    text
}
