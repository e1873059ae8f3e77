//! How an outcome ended, in a few words.

use crate::explain::names::{self, device, short_rule};
use crate::explain::place::{behind, to_local_pod};
use crate::node::Node;
use crate::trace::{Outcome, Reason, Refused, Verdict};

/// `forwarded via 10.10.4.141 (ipip)`, `dropped by KUBE-FIREWALL:1`.
pub(super) fn fate(node: &Node<'_>, o: &Outcome) -> String {
    let verb = o.verdict.name();
    match &o.reason {
        Reason::Sent { tunnel } => {
            let via = o
                .out
                .as_ref()
                .and_then(|out| out.via)
                .map_or_else(String::new, |v| format!(" via {v}"));
            let tunnel = tunnel
                .as_ref()
                .map_or_else(String::new, |t| format!(" ({t})"));
            let pod = match &o.out {
                Some(out) if to_local_pod(node, out) => {
                    format!(" to a local {}", behind(node, out.dev))
                }
                _ => String::new(),
            };
            format!("{verb}{pod}{via}{tunnel}")
        }
        Reason::Delivered => "delivered to this node".into(),
        Reason::Rule(h) => match o.verdict {
            Verdict::Queued => format!("queued by {}", short_rule(node, *h)),
            _ => format!("{verb} by {}", short_rule(node, *h)),
        },
        Reason::Policy { table, chain } => format!(
            "{verb} by the policy of {} {}",
            names::table_full(node, *table),
            names::chain(node, *table, *chain)
        ),
        Reason::NoRoute => format!("{verb}: no route"),
        Reason::RouteType { what, .. } => format!("{verb}: {what} route"),
        Reason::ForwardingOff { sysctl } => format!("{verb}: {sysctl} = 0"),
        Reason::HairpinOff { bridge, port } => format!(
            "{verb}: hairpin is off on {}",
            port.map_or_else(
                || format!("the ports of {}", device(node, *bridge)),
                |p| device(node, p).to_owned()
            )
        ),
        Reason::RpFilter { mode, reverse } => match reverse {
            Some(d) => format!(
                "{verb}: rp_filter = {mode}, the way back is {}",
                device(node, *d)
            ),
            None => format!("{verb}: rp_filter = {mode}, no way back"),
        },
        Reason::Martian { why } => format!("{verb}: martian, {why}"),
        Reason::Ttl => format!("{verb}: TTL used up"),
        Reason::NoMasqAddress(h) => {
            format!("{verb}: {} found no address", short_rule(node, *h))
        }
        Reason::MasqueradeElsewhere { then, now } => format!(
            "{verb}: masqueraded for {}, now leaves by {}",
            device(node, *then),
            device(node, *now)
        ),
        Reason::ConnectionClash { .. } => {
            format!("{verb} by conntrack: clashes with a known connection")
        }
        Reason::NoRedirectAddress(h) => {
            format!("{verb}: {} found no address", short_rule(node, *h))
        }
        Reason::NoRealServer { .. } => format!("{verb} by IPVS: no real server"),
        Reason::RealServerUnreachable { server, .. } => {
            format!("{verb} by IPVS: no route to {server}")
        }
        Reason::IpvsLoopback => format!("{verb} by IPVS: loopback source"),
        Reason::IpvsNotAsked => format!("{verb} by IPVS: a real server nobody asked"),
        Reason::TooBig { mtu } => format!("{verb}: larger than MTU {mtu}"),
        Reason::NoSuchSource => format!("{verb}: source is not the node's"),
        Reason::BeyondScope => format!("{verb}: link-local source"),
        Reason::Ebpf { why, .. } => {
            let why = match why {
                Refused::NoBackend => "no backend",
                Refused::NoLocalBackend => "no backend on this node",
                Refused::Source => "source not in the Service's ranges",
                Refused::NoRoute => "no route to the backend",
                Refused::Stranger => "VXLAN from a node it does not know",
                Refused::NoWayBack => "no route back to the source",
                Refused::Inside => "for clients in the cluster alone",
                Refused::NoPort => "no Service at this port",
                Refused::Elsewhere => "the pod is on another node",
            };
            format!("{verb} by {}'s eBPF program: {why}", node.datapath())
        }
        Reason::Unknown(why) => format!("cannot be told: {why}"),
    }
}
