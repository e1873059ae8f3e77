//! Where OVN-Kubernetes' rules end and Open vSwitch begins.

use super::names::{device, endpoint, full_rule};
use super::{Case, Code, Finding, Rank, owners};
use crate::trace::{Port, Verdict};
use std::net::IpAddr;

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    case.outcomes().take(4).find_map(|(o, s)| {
        let c = s.iter().find(|c| !c.outer && c.rewrote_destination())?;
        let ovn = owners::of_rule(node, c.hit).is_some_and(|w| w.name == "OVN-Kubernetes");
        let (Verdict::Forwarded, Some(out), true) = (o.verdict, o.out.as_ref(), ovn) else {
            return None;
        };
        let to = o.dnat.as_ref()?;
        let ip = to.ip?;
        if !link_local(ip) {
            return None;
        }
        let mut f = Finding::new(
            Code::HandedToOvn,
            format!(
                "{} (OVN-Kubernetes) sends it to {}, an address that only OVN behind {} knows: rules end here, and where Open vSwitch has no flow for it the packet vanishes without a word",
                full_rule(node, c.hit),
                endpoint(ip, to.port.map_or(Port::None, Port::Known)),
                device(node, out.dev),
            ),
        );
        f.blame_rules([c.hit]);
        f.blame_rules(c.stack.iter().rev().copied());
        f.advise(format!("`ip neigh show {ip}`, `ovs-ofctl dump-flows {} | grep {ip}` and `ovn-nbctl lb-list` show whether OVN takes it", device(node, out.dev)));
        f.advise("OVN-KUBE-ETP is for Services with externalTrafficPolicy: Local: Cluster sends the packet by the ClusterIP instead (ovn-kubernetes/ovn-kubernetes#6249)");
        Some((Rank::Fails, f))
    })
}

fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => a.is_link_local(),
        // OVN-Kubernetes' own addresses of this kind are in fd69::/125.
        IpAddr::V6(a) => a.segments().first() == Some(&0xfd69),
    }
}
