//! Bridges: what passes from port to port, and whether netfilter sees it (`net/bridge/br_netfilter_hooks.c`).
//!
//! A frame for a station behind another port never comes up to IP. With `br_netfilter` it passes PREROUTING, FORWARD and POSTROUTING all the
//! same, in and out by the bridge, without a route, a source validation or a step of the TTL. A packet for the node itself that DNAT sends
//! back out of the same bridge is bridged, too, and then `should_deliver` (`net/bridge/br_forward.c`) keeps it from the port it came by.

use super::path::Dst;
use super::run::{End, Flow, Run};
use crate::node::DevId;
use crate::trace::{ForkKind, Hook, Reason, StepKind, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::Masked;
use nfwhy_parsers::iproute::route::RouteType;

/// Kinds of devices behind which containers or virtual machines stand.
const STATIONS: &[&str] = &["veth", "tun", "ifb", "netkit"];
/// How such are called.
const NAMES: &[&str] = &["veth", "vnet", "tap", "fwpr", "cali", "lxc"];

impl Run<'_, '_> {
    /// Whether bridged packets pass the hooks of IP, where it is known: a setting of the network namespace, or the bridge's own.
    pub(super) fn bridge_calls(&self, bridge: DevId) -> Option<bool> {
        let info = &self.node.device(bridge).info;
        let (key, own) = match self.family {
            Family::V4 => ("net/bridge/bridge-nf-call-iptables", info.nf_call_iptables),
            Family::V6 => (
                "net/bridge/bridge-nf-call-ip6tables",
                info.nf_call_ip6tables,
            ),
        };
        if own == Some(true) {
            return Some(true);
        }
        let sysctls = &self.node.sysctls;
        match sysctls.get(key) {
            Some((n, _)) => Some(n != 0),
            // The settings exist only while br_netfilter is loaded.
            None if sysctls.any_below("net/bridge/") => Some(false),
            None if sysctls.any_below("net/ipv4/neigh/") => Some(false),
            None => None,
        }
    }

    fn asks_bridge_calls(&mut self, bridge: DevId) -> bool {
        if let Some(known) = self.bridge_calls(bridge) {
            return known;
        }
        let key = match self.family {
            Family::V4 => "net.bridge.bridge-nf-call-iptables",
            Family::V6 => "net.bridge.bridge-nf-call-ip6tables",
        };
        self.lacks(format!("sysctl {key}"), "sysctl net.bridge");
        self.fork_unknown(
            ForkKind::Unknown(format!("whether {key} is 1")),
            key,
            true,
            &format!("what is bridged passes netfilter ({key} was not captured)"),
            &format!("what is bridged does not pass netfilter ({key} was not captured)"),
        )
    }

    /// Takes what came in by a bridge as far as PREROUTING and beyond where it is bridged; what comes back goes up to IP.
    pub(super) fn bridge_in(&mut self, bridge: DevId) -> Flow {
        let asked = self.skb.dst;
        let direct = self.is_between_ports(bridge);
        if direct {
            let name = self.node.device(bridge).name.clone();
            if !self.asks_bridge_calls(bridge) {
                self.step(StepKind::Note(format!(
                    "{name} hands the packet from port to port: no rule sees it (bridge-nf-call-iptables)"
                )));
                return self.bridge_out(bridge);
            }
            self.step(StepKind::Note(format!(
                "{name} hands the packet from port to port, through netfilter (bridge-nf-call-iptables)"
            )));
        }
        self.run_hook(Hook::Prerouting, false)?;
        if self.skb.dst == asked {
            return if direct {
                self.bridge_on(bridge)
            } else {
                Ok(())
            };
        }
        // `br_nf_pre_routing_finish`: out of the same bridge?
        let key = self.key_in(bridge);
        let back = match self.fib_lookup(&key) {
            Ok(l) if l.ty == RouteType::Unicast => {
                let hop = self.select_path(&l);
                hop.filter(|h| h.dev == bridge).map(|h| (l, h))
            }
            _ => None,
        };
        let Some((l, hop)) = back else { return Ok(()) };
        if !(direct || self.asks_bridge_calls(bridge)) {
            return Ok(());
        }
        self.route_step(&l, Some((hop.dev, hop.via)), false, false);
        if self.family == Family::V4 {
            self.validate_source(bridge, Some(bridge))?;
        }
        self.hairpin(bridge)?;
        self.gateway = hop.via;
        self.bridge_on(bridge)
    }

    /// Whether the frame is for another station of the bridge: both addresses are of its network, and behind its ports are pods.
    fn is_between_ports(&mut self, bridge: DevId) -> bool {
        let node = self.node;
        let d = node.device(bridge);
        let stations = node
            .devices
            .iter()
            .filter(|p| p.master == Some(bridge))
            .all(|p| match p.kind.as_deref() {
                Some(k) => STATIONS.contains(&k),
                // Without `-d` the name has to tell.
                None => NAMES.iter().any(|n| p.name.starts_with(n)),
            });
        let (src, dst) = (self.skb.src, self.skb.dst);
        if !stations || dst.is_multicast() || self.skb.src_unknown {
            return false;
        }
        let own = |run: &Self, a| d.addrs.iter().any(|x| run.is_same(a, x.local));
        let net = d.addrs.iter().find(|a| {
            let bits = Family::of(a.local).bits();
            Family::of(a.local) == self.family
                && a.prefix_len < bits
                && Masked::prefix(a.local, a.prefix_len).contains(dst)
        });
        let Some(net) = net else { return false };
        let net = Masked::prefix(net.local, net.prefix_len);
        self.in_net(&net, src)
            && !own(self, src)
            && !own(self, dst)
            && self.addr_type4(dst, Some(bridge)) == RouteType::Unicast
    }

    /// `should_deliver`: a packet does not leave by the port it came by, unless that has `hairpin on`. Which port it is to leave by tells its
    /// address: the one it came from.
    fn hairpin(&mut self, bridge: DevId) -> Flow {
        let itself = self.is_same(self.skb.src, self.skb.dst);
        let node = self.node;
        // A bridge that listens to everything takes it up to IP as well, which routes it.
        let promiscuous = node.device(bridge).flags.iter().any(|f| f == "PROMISC");
        if !itself || promiscuous {
            return Ok(());
        }
        let port = self.port;
        let ports: Vec<Option<bool>> = node
            .devices
            .iter()
            .enumerate()
            .filter(|(i, p)| {
                p.master == Some(bridge) && port.is_none_or(|one| usize::from(one.0) == *i)
            })
            .map(|(_, p)| p.info.hairpin)
            .collect();
        let on = ports.iter().all(|h| *h == Some(true)) && !ports.is_empty();
        let off = ports.iter().all(|h| *h == Some(false)) && !ports.is_empty();
        let reason = Reason::HairpinOff { bridge, port };
        if on {
            return Ok(());
        }
        if off {
            return Err(End::dropped(reason));
        }
        let name = node.device(bridge).name.clone();
        self.lacks(
            format!("hairpin of the ports of {name}"),
            format!("ip -d link show master {name}"),
        );
        let sends = self.fork_unknown(
            ForkKind::Unknown(format!("whether the pod's port of {name} has hairpin on")),
            &format!("hairpin {name}"),
            true,
            &format!("the pod's port of {name} has hairpin on (which port it is, or its setting, was not captured)"),
            &format!("the pod's port of {name} has hairpin off (which port it is, or its setting, was not captured)"),
        );
        if sends {
            Ok(())
        } else {
            Err(End::dropped(reason))
        }
    }

    /// `br_nf_forward_ip`, `br_nf_post_routing`.
    fn bridge_on(&mut self, bridge: DevId) -> Flow {
        self.bridged = true;
        self.oif = Some(bridge);
        self.run_hook(Hook::Forward, false)?;
        self.run_hook(Hook::Postrouting, false)?;
        self.confirm()?;
        self.bridge_out(bridge)
    }

    fn bridge_out(&mut self, bridge: DevId) -> Flow {
        self.sent(&Dst {
            dev: Some(bridge),
            via: None,
            local: false,
            mtu: None,
        });
        Err(End::new(Verdict::Forwarded, Reason::Sent { tunnel: None }))
    }
}
