//! A masquerade for which the way out has no address: the kernel takes another device's.

use super::names::{device, full_rule};
use super::story::rewriter;
use super::{Case, Cause, Code, Finding, Rank, Severity, place};
use crate::node::DevId;
use crate::trace::{AddrChoice, Origin, StepKind};

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    case.outcomes().take(32).find_map(|(o, s)| {
        let out = o.out.as_ref()?;
        let src = o.delivered?.src?;
        let hit = s.get(rewriter(s)?)?.hit;
        let (holder, at) = o.steps.iter().find_map(|s| match &s.kind {
            StepKind::Address {
                addr: Some(a),
                how: AddrChoice::Fallback(d) | AddrChoice::Rfc6724(d),
                at,
            } if *a == src && *d != out.dev => Some((*d, *at)),
            _ => None,
        })?;
        let of_services = holds_services(case, holder);
        // The address of the card by which the client came in surprises nobody.
        if !of_services && !other_card(case, holder) {
            return None;
        }
        let mut f = Finding::new(
            Code::ForeignAddress,
            format!(
                "{src} is an address of {}, not of {}, which has none: {} takes the first that fits in the order of devices",
                device(node, holder),
                device(node, out.dev),
                full_rule(node, hit),
            ),
        );
        f.blame_rules([hit]);
        f.blame(Cause::Route { at });
        if of_services {
            f = f.with_severity(Severity::Warning);
            f.advise("it is a Service's address that every node has: who sees it in a log will look for the wrong sender");
        }
        f.advise(format!(
            "give {} an address of its own, or translate with `-j SNAT --to-source` instead",
            device(node, out.dev)
        ));
        Some((Rank::Remark, f))
    })
}

fn holds_services(case: &Case<'_, '_>, dev: DevId) -> bool {
    let name = device(case.node, dev);
    name.starts_with("kube-ipvs") || name == "kube-dummy-if" || name == "nodelocaldns"
}

fn other_card(case: &Case<'_, '_>, dev: DevId) -> bool {
    match case.trace.packet.origin {
        Origin::Device(came) => came != dev && !place::leads_to_pods(case.node, came),
        Origin::Local => false,
    }
}
