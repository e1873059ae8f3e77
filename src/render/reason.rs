//! Why a packet ended as it did, in one clause.

use crate::explain::names;
use crate::node::Node;
use crate::trace::{Hit, Reason, Refused};

fn rule(node: &Node<'_>, h: Hit) -> String {
    let Some(t) = node.netfilter.view(h.table) else {
        return String::new();
    };
    format!(
        "{} {}:{} ({})",
        t.name(),
        t.chain_name(h.chain),
        h.rule + 1,
        node.place(t.rule_origin(h.chain, h.rule))
    )
}

/// One clause, without a full stop.
pub fn reason(node: &Node<'_>, r: &Reason) -> String {
    match r {
        Reason::Sent { tunnel: None } => "sent".into(),
        Reason::Sent { tunnel: Some(t) } => format!("sent through a tunnel ({t})"),
        Reason::Delivered => "delivered to this node".into(),
        Reason::Rule(h) => format!("by the rule {}", rule(node, *h)),
        Reason::Policy { table, chain } => {
            format!(
                "by the policy of {} {}",
                names::table_full(node, *table),
                names::chain(node, *table, *chain)
            )
        }
        Reason::NoRoute => "no route to the destination".into(),
        Reason::RouteType { what, at } => {
            let place = node.place(*at);
            if place.is_empty() {
                format!("the route is {what}")
            } else {
                format!("the route at {place} is {what}")
            }
        }
        Reason::ForwardingOff { sysctl } => format!("forwarding is off ({sysctl}=0)"),
        Reason::HairpinOff { bridge, port } => match port {
            Some(p) => format!("hairpin is off on {}", node.device(*p).name),
            None => format!(
                "hairpin is off on the ports of {}",
                node.device(*bridge).name
            ),
        },
        Reason::RpFilter { mode, reverse } => {
            let how = if *mode == 1 { "strict" } else { "loose" };
            match reverse {
                Some(d) => format!(
                    "rp_filter ({how}): the way back leaves by {}",
                    node.device(*d).name
                ),
                None => format!("rp_filter ({how}): there is no way back"),
            }
        }
        Reason::Martian { why } => format!("martian: {why}"),
        Reason::Ttl => "the TTL is used up".into(),
        Reason::NoMasqAddress(h) => {
            format!("MASQUERADE found no address ({})", rule(node, *h))
        }
        Reason::MasqueradeElsewhere { then, now } => format!(
            "the connection was masqueraded to leave by {} and now leaves by {}",
            node.device(*then).name,
            node.device(*now).name
        ),
        Reason::ConnectionClash { at } => format!(
            "another connection has the addresses and ports of its answers{}",
            at.map_or_else(String::new, |o| format!(" ({})", node.place(o)))
        ),
        Reason::NoRedirectAddress(h) => format!(
            "REDIRECT found no address on the ingress device ({})",
            rule(node, *h)
        ),
        Reason::NoRealServer { service } => format!(
            "IPVS: the virtual service at {} has no real server with a weight above 0",
            node.place(node.ipvs.services[*service].origin)
        ),
        Reason::RealServerUnreachable { service, server } => format!(
            "IPVS: no route to the real server {server} of the virtual service at {}",
            node.place(node.ipvs.services[*service].origin)
        ),
        Reason::IpvsLoopback => {
            "IPVS does not send a loopback source to a real server elsewhere".into()
        }
        Reason::IpvsNotAsked => {
            "IPVS: a real server speaks on its own, and net.ipv4.vs.nat_icmp_send is on".into()
        }
        Reason::TooBig { mtu } => format!("larger than the MTU of the way out ({mtu} bytes)"),
        Reason::NoSuchSource => "the source is not an address of this node".into(),
        Reason::BeyondScope => "a link-local source is not forwarded".into(),
        Reason::Ebpf { why, at } => {
            let place = node.place(*at);
            let whose = node.datapath();
            match why {
                Refused::NoBackend => format!("{whose}'s eBPF service has no backend ({place})"),
                Refused::NoLocalBackend => {
                    format!("{whose}'s eBPF service has no backend on this node ({place})")
                }
                Refused::Source => {
                    format!("{whose}'s eBPF service is not for this source ({place})")
                }
                Refused::NoRoute => {
                    format!("{whose}'s eBPF routes do not say where the backend is ({place})")
                }
                Refused::Inside => {
                    format!("{whose}'s eBPF service is for clients in the cluster ({place})")
                }
                Refused::NoPort => {
                    format!("{whose}'s eBPF services at this address have another port ({place})")
                }
                Refused::Elsewhere => {
                    format!("the pod of {whose}'s host port is on another node ({place})")
                }
                Refused::Stranger => {
                    "Calico's eBPF routes do not know who sent the VXLAN packet as a node".into()
                }
                Refused::NoWayBack => {
                    "no route leads back to the source, which Calico's eBPF program asks for".into()
                }
            }
        }
        Reason::Unknown(why) => why.clone(),
    }
}
