//! Endpoints that kube-proxy does not count as this node's, although they are.

use super::names::{self, comment, device, service_in};
use super::place;
use crate::node::{ChainId, Node, TableKind};
use crate::sim::{self, WayBack};
use crate::trace::Hit;
use nfwhy_parsers::iptables::Target;
use std::net::IpAddr;

/// ` although 10.44.0.56 is behind weave of this node: ...`, where a Service refuses for want of an endpoint here.
pub(super) fn clause(node: &Node<'_>, by: Hit) -> Option<String> {
    let (ip, dev) = endpoints(node, by)
        .into_iter()
        .find_map(|ip| Some((ip, behind(node, ip)?)))?;
    Some(format!(
        "although its endpoint {ip} is behind {dev} of this node: if the pod runs here, the endpoint's nodeName is not kube-proxy's --hostname-override"
    ))
}

/// The device of this node that leads straight to a pod.
fn behind<'n>(node: &'n Node<'_>, ip: IpAddr) -> Option<&'n str> {
    match sim::way_back(node, ip, ip) {
        WayBack::Device(d) if place::leads_to_pods(node, d) => Some(device(node, d)),
        _ => None,
    }
}

/// All endpoints of the Service that a rule is about, by its chain or its comment (pkg/proxy/iptables/proxier.go names the chains of
/// a Service's port alike: KUBE-SVC-X, KUBE-EXT-X, KUBE-XLB-X).
fn endpoints(node: &Node<'_>, by: Hit) -> Vec<IpAddr> {
    let chain = names::chain(node, by.table, by.chain);
    let hash = ["KUBE-XLB-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SVL-"]
        .iter()
        .find_map(|p| chain.strip_prefix(p));
    let service = comment(node, by).and_then(service_in);
    let family = node.netfilter.tables.get(by.table).map(|t| t.family);
    let mut found = Vec::new();
    for (table, t) in node.netfilter.tables.iter().enumerate() {
        if t.kind != TableKind::Nat || Some(t.family) != family {
            continue;
        }
        let named = |name: &str| t.chain(name);
        let by_hash = hash.and_then(|h| named(&format!("KUBE-SVC-{h}")));
        let by_name = || {
            let chain = named("KUBE-SERVICES")?;
            t.rules(chain).iter().enumerate().find_map(|(rule, r)| {
                let hit = Hit { table, chain, rule };
                let same = comment(node, hit).and_then(service_in).is_some_and(|s| {
                    // A rule of filter names the Service with its port as the rule of nat does.
                    Some(s) == service
                });
                match &r.target {
                    Target::Jump(to) if same && to.starts_with("KUBE-SVC-") => named(to),
                    _ => None,
                }
            })
        };
        let Some(svc) = by_hash.or_else(by_name) else {
            continue;
        };
        for r in t.rules(svc) {
            let Target::Jump(to) = &r.target else {
                continue;
            };
            let sep: Option<ChainId> = to.starts_with("KUBE-SEP-").then(|| named(to)).flatten();
            for r in sep.map(|c| t.rules(c)).unwrap_or_default() {
                if let Target::Dnat(n) = &r.target
                    && let Some(a) = n.addrs
                {
                    found.push(a.lo);
                }
            }
        }
    }
    found
}
