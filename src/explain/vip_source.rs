//! A packet that leaves with an address which every node holds as its source: the answer does not find its way back here.

use super::names::{device, full_rule};
use super::story::rewriter;
use super::{Case, Cause, Code, Finding, Rank, place};
use crate::node::{Device, Node};
use crate::trace::{AddrChoice, StepKind, Verdict};
use std::net::IpAddr;

/// Devices on which addresses of Services are kept.
fn holder<'n>(node: &'n Node<'_>, addr: IpAddr) -> Option<&'n Device> {
    node.devices.iter().find(|d| {
        (d.name.starts_with("kube-ipvs") || d.name == "kube-dummy-if" || d.name == "nodelocaldns")
            && d.addrs.iter().any(|a| a.local == addr)
    })
}

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    case.outcomes().find_map(|(o, s)| {
        let (Verdict::Forwarded, Some(out)) = (o.verdict, o.out.as_ref()) else {
            return None;
        };
        let src = o.delivered?.src?;
        let dev = holder(node, src)?;
        // The answer of a pod of this node comes to this node in any case.
        if place::to_local_pod(node, out) || case.trace.packet.src == Some(src) && o.snat.is_none() {
            let own = case.trace.packet.origin == crate::trace::Origin::Local;
            if place::to_local_pod(node, out) || !own {
                return None;
            }
        }
        let chosen = o.steps.iter().rev().find_map(|s| match &s.kind {
            StepKind::Address { addr: Some(a), how, at } if *a == src => Some((how.clone(), *at)),
            _ => None,
        });
        let by = rewriter(s).and_then(|i| s.get(i)).map(|c| c.hit);
        let why = match (&chosen, by) {
            (Some((AddrChoice::Fallback(_), _)), Some(hit)) => format!(
                "{} has no address, so {} took the first of any device",
                device(node, out.dev),
                full_rule(node, hit)
            ),
            (_, Some(hit)) => format!("{} chose it", full_rule(node, hit)),
            _ => "the kernel takes the address of the route to a local address, and no rule masquerades it".to_owned(),
        };
        let mut f = Finding::new(
            Code::VirtualSource,
            format!(
                "leaves with source {src}, an address of {} that every node holds: the answer does not come back here ({why})",
                dev.name
            ),
        );
        f.blame_rules(by);
        if let Some((_, at)) = chosen {
            f.blame(Cause::Route { at });
        }
        f.advise(if by.is_some() {
            format!("give {} an address, or masquerade with `-j SNAT --to-source` and a node address", device(node, out.dev))
        } else {
            "kube-proxy masquerades what the node sends to a Service only where it knows the pod network: set --cluster-cidr (clusterCIDR), or --masquerade-all".to_owned()
        });
        Some((Rank::Fails, f))
    })
}
