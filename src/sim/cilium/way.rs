//! Where an address is, and how the datapath sends a packet there.

use super::{Backend, ENDPOINT_LIST, NAT_LIST, STATUS, Where};
use crate::node::DevId;
use crate::sim::path::Dst;
use crate::sim::run::{End, Flow, Run};
use crate::trace::{ForkKind, Out, Port, Reason, StepKind, Verdict, View};
use nfwhy_parsers::cilium::Prefix;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::{Family, Masked, Proto};
use std::net::IpAddr;

/// `IPPROTO_IPIP`.
const IPIP: Proto = Proto(4);

impl Run<'_, '_> {
    /// Where a backend is; where that is not known, both ways.
    pub(super) fn cilium_backend_where(&mut self, b: Backend) -> Where {
        if let Some(found) = self.cilium_where(b.addr) {
            return found;
        }
        let addr = b.addr;
        self.lacks("the endpoints of this node", ENDPOINT_LIST);
        let here = self.fork_unknown(
            ForkKind::Unknown(format!("whether {addr} is a pod of this node")),
            &format!("cilium endpoint {addr}"),
            false,
            &format!("{addr} is a pod of this node (its endpoints were not captured)"),
            &format!("{addr} is not on this node (its endpoints were not captured)"),
        );
        if here {
            Where::Pod(None)
        } else {
            Where::Away {
                node: None,
                tunnel: self.cilium_has_tunnel() == Some(true),
            }
        }
    }

    /// Where an address is: by the endpoints and Cilium's addresses, else by the routes that it makes (`__lookup_ip4_endpoint`,
    /// `ipcache_lookup4`; pkg/datapath/linux/node.go).
    pub(super) fn cilium_where(&mut self, addr: IpAddr) -> Option<Where> {
        let node = self.node;
        let cilium = &node.cilium;
        if let Some(e) = cilium.endpoint(addr) {
            if e.host {
                return Some(Where::Host);
            }
            let dev = e.ifindex.and_then(|i| {
                node.device_ids()
                    .find(|d| node.device(*d).known && node.device(*d).index == i)
            });
            return Some(Where::Pod(dev));
        }
        if self.cilium_is_host(addr) {
            return Some(Where::Host);
        }
        let family = Family::of(addr);
        let by_route = self.cilium_route(addr);
        if cilium.knows_endpoints(family) {
            return Some(self.cilium_away(addr, by_route));
        }
        // `10.0.1.0/24 via 10.0.1.87 dev cilium_host` is of the node whose address on cilium_host is within it.
        let pods = node
            .devices
            .iter()
            .filter(|d| d.name == "cilium_host")
            .flat_map(|d| &d.addrs)
            .find(|a| {
                Family::of(a.local) == family
                    && !a.local.is_loopback()
                    && a.scope != nfwhy_parsers::iproute::Scope::LINK
            });
        match by_route {
            Some(Route { dev, .. }) if node.device(dev).is_ciliums_pod() => {
                Some(Where::Pod(Some(dev)))
            }
            Some(Route { dev, net, .. }) if node.device(dev).name == "cilium_host" => {
                let (base, len) = net;
                let own =
                    pods.is_some_and(|p| len > 0 && Masked::prefix(base, len).contains(p.local));
                if own {
                    return Some(Where::Pod(None));
                }
                (len > 0).then(|| self.cilium_away(addr, by_route))
            }
            Some(Route { net: (_, len), .. }) if len > 0 => Some(self.cilium_away(addr, by_route)),
            _ => cilium
                .prefix(addr)
                .filter(|p| p.tunnel.is_some() || p.identity == Prefix::REMOTE_NODE)
                .map(|_| self.cilium_away(addr, by_route)),
        }
    }

    fn cilium_away(&self, addr: IpAddr, route: Option<Route>) -> Where {
        let tunnel = self.node.cilium.prefix(addr).and_then(|p| p.tunnel);
        let by_host = route.is_some_and(|r| self.node.device(r.dev).name == "cilium_host");
        let of_node = self
            .node
            .cilium
            .prefix(addr)
            .is_some_and(|p| matches!(p.identity, Prefix::REMOTE_NODE | Prefix::API_SERVER));
        let tunnelled = self.cilium_has_tunnel() != Some(false) && (tunnel.is_some() || by_host);
        // A gateway of this node's own is the way into the tunnel and no node.
        let via = route.and_then(|r| r.via).filter(|_| !by_host);
        let via = via.filter(|_| route.is_some_and(|r| r.net.1 > 0));
        Where::Away {
            node: tunnel.or(via).or(of_node.then_some(addr)),
            tunnel: tunnelled && !of_node,
        }
    }

    /// Whether pods of other nodes are reached through a tunnel.
    pub(super) fn cilium_has_tunnel(&self) -> Option<bool> {
        let cilium = &self.node.cilium;
        if let Some((mode, _)) = cilium.setting("routing-mode") {
            return Some(mode == "tunnel");
        }
        if let Some((kind, _)) = cilium.setting("tunnel") {
            return Some(kind != "disabled");
        }
        let has = |name| self.node.device_by_name(name).is_some();
        if has("cilium_vxlan") {
            return Some(true);
        }
        // Requests for DSR may need it without.
        (!has("cilium_geneve") && self.node.captured.links).then_some(false)
    }

    pub(super) fn cilium_tunnel_kind(&self) -> &'static str {
        let cilium = &self.node.cilium;
        let told = cilium
            .setting("tunnel-protocol")
            .or_else(|| cilium.setting("tunnel"))
            .map(|(w, _)| w);
        match told {
            Some("geneve") => "geneve",
            None if self.node.device_by_name("cilium_geneve").is_some() => "geneve",
            _ => "vxlan",
        }
    }

    fn cilium_route(&mut self, addr: IpAddr) -> Option<Route> {
        let mut key = self.key_out(Family::of(addr).unspecified());
        key.dst = addr;
        let l = self.fib_lookup(&key).ok()?;
        if l.ty != RouteType::Unicast {
            return None;
        }
        let hop = l.nexthops.first()?;
        Some(Route {
            dev: hop.dev,
            via: hop.via,
            net: (addr, l.dst_len),
        })
    }

    /// `IPV4_GATEWAY` through a tunnel, else `IPV4_DIRECT_ROUTING`.
    pub(super) fn cilium_own_address(&mut self, tunnel: bool) -> Option<IpAddr> {
        let node = self.node;
        let family = self.family;
        let of = |name: &str| {
            let d = node.devices.iter().find(|d| d.name == name)?;
            let global = |a: &&crate::node::Addr| {
                Family::of(a.local) == family
                    && a.scope != nfwhy_parsers::iproute::Scope::LINK
                    && !a.secondary
            };
            d.addrs.iter().find(global).map(|a| a.local)
        };
        if tunnel {
            let found = of("cilium_host");
            if found.is_none() {
                self.lacks("the address of cilium_host", "ip addr show cilium_host");
                self.assume("the receiver sees the address of cilium_host (not captured)");
                self.wanted.clear();
            }
            return found;
        }
        let told = node
            .cilium
            .settings
            .iter()
            .filter(|(s, _)| s.key == "direct-routing-address")
            .filter_map(|(s, _)| s.value.parse::<IpAddr>().ok())
            .find(|a| Family::of(*a) == family);
        if told.is_some() {
            return told;
        }
        if let Some((dev, _)) = node.cilium.setting("direct-routing-device")
            && let Some(addr) = of(dev)
        {
            return Some(addr);
        }
        // By default that of the node's address in Kubernetes; with one device there is no other.
        let kube = self.cilium_kube_address();
        let native = |d: &&crate::node::Device| {
            !d.is_loopback() && !d.is_ciliums_own() && !d.is_ciliums_pod() && d.tunnel().is_none()
        };
        let mut own = node
            .devices
            .iter()
            .filter(native)
            .filter_map(|d| of(&d.name));
        let (first, second) = (own.next(), own.next());
        if second.is_none() || kube.is_some() {
            return kube.or(first);
        }
        let mut key = self.key_out(family.unspecified());
        key.dst = self.skb.dst;
        let out = self.fib_lookup(&key).ok();
        let dev = out.and_then(|l| l.nexthops.first().map(|h| h.dev));
        let addr = dev.and_then(|d| of(&node.device(d).name)).or(first);
        self.lacks("the device that Cilium takes between nodes", STATUS);
        self.assume(
            "Cilium's direct routing device is the one by which the backend is reached (not captured)",
        );
        self.wanted.clear();
        addr
    }

    /// The node's address in Kubernetes.
    fn cilium_kube_address(&self) -> Option<IpAddr> {
        let family = self.family;
        let mut own = self.node.devices.iter().flat_map(|d| &d.addrs);
        own.find(|a| Family::of(a.local) == family && self.node.kube.node_by_ip(a.local).is_some())
            .map(|a| a.local)
    }

    /// A packet from the network that no service took (`handle_ipv4_cont`): what is for a pod goes to its device, past the stack where the
    /// datapath does the routing.
    pub(super) fn cilium_arrives(&mut self, _dev: DevId) -> Flow {
        if self.node.past_the_stack() != Some(true) {
            return Ok(());
        }
        match self.node.cilium.endpoint(self.skb.dst) {
            Some(e) if !e.host => match self.cilium_where(self.skb.dst) {
                Some(Where::Pod(to)) => {
                    self.cilium_policies();
                    self.cilium_to_pod(to)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// To a pod of this node: by `bpf_redirect_peer`, or through the stack, whose routes lead there.
    pub(super) fn cilium_to_pod(&mut self, dev: Option<DevId>) -> Flow {
        match self.node.past_the_stack() {
            Some(true) => {
                self.skb.ttl = self.skb.ttl.saturating_sub(1);
                self.cilium_hand_over(dev)
            }
            Some(false) => Ok(()),
            None => {
                self.taint(
                    "packets for pods go through the host's stack (Cilium's host routing was not captured)",
                    "whether Cilium goes past the host's stack (host routing)",
                    STATUS,
                );
                Ok(())
            }
        }
    }

    /// `cil_from_host`, at the egress of `cilium_host`: what the routes lead there for goes to its pod, or into the tunnel.
    pub(in crate::sim) fn cilium_from_host(&mut self, dev: DevId) -> Flow {
        let node = self.node;
        if self.outer || node.device(dev).name != "cilium_host" || !node.cilium.is_there() {
            return Ok(());
        }
        match self.cilium_where(self.skb.dst) {
            Some(Where::Pod(to)) => self.cilium_hand_over(to.or(Some(dev))),
            Some(Where::Away { node, tunnel: true }) => {
                let kind = self.cilium_tunnel_kind();
                self.cilium_tunnel(kind, node)
            }
            _ => Ok(()),
        }
    }

    fn cilium_hand_over(&mut self, dev: Option<DevId>) -> Flow {
        if !dev.is_some_and(|d| self.node.device(d).is_ciliums_pod()) {
            self.taint(
                "the pod is behind a device of this node (its endpoints were not captured)",
                "the endpoints of this node",
                ENDPOINT_LIST,
            );
        }
        self.delivered = Some(View {
            oif: dev,
            ..self.view()
        });
        self.out = dev.map(|dev| Out { dev, via: None });
        Err(End::new(Verdict::Forwarded, Reason::Sent { tunnel: None }))
    }

    /// `handle_ipv4_from_lxc`, once services are dealt with.
    pub(super) fn cilium_from_pod(&mut self, dev: DevId) -> Flow {
        let dst = self.skb.dst;
        match self.cilium_where(dst) {
            // `ipv4_local_delivery`, unless pods have routes of their own.
            Some(Where::Pod(to))
                if self.node.cilium.is_on("enable-endpoint-routes") != Some(true) =>
            {
                let out = to.filter(|d| *d != dev || self.served.is_none());
                self.cilium_policies();
                self.skb.ttl = self.skb.ttl.saturating_sub(1);
                self.cilium_hand_over(out.or(to))
            }
            Some(Where::Away { node, tunnel: true }) => {
                self.cilium_policies();
                let kind = self.cilium_tunnel_kind();
                self.cilium_tunnel(kind, node)
            }
            Some(Where::Away { .. }) | None if self.node.past_the_stack().is_none() => {
                self.taint(
                    "packets of pods go through the host's stack (Cilium's host routing was not captured)",
                    "whether Cilium goes past the host's stack (host routing)",
                    STATUS,
                );
                Ok(())
            }
            Some(Where::Away { .. }) | None if self.node.past_the_stack() == Some(true) => {
                self.cilium_policies();
                self.taint(
                    "Cilium does not masquerade the packet by eBPF (that is not simulated)",
                    "what Cilium masquerades",
                    NAT_LIST,
                );
                self.cilium_native(dev)
            }
            _ => Ok(()),
        }
    }

    /// `fib_redirect_v4`: by the kernel's routes, without its hooks.
    pub(super) fn cilium_native(&mut self, dev: DevId) -> Flow {
        let way = self.cilium_way(dev)?;
        if way.local {
            return Ok(());
        }
        if self.skb.ttl <= 1 {
            return Err(End::rejected(Reason::Ttl));
        }
        self.skb.ttl -= 1;
        self.oif = way.dev;
        self.leave(&way)
    }

    /// `bpf_fib_lookup`.
    fn cilium_way(&mut self, dev: DevId) -> Flow<Dst> {
        let key = self.key_in(dev);
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(way) => return Err(way.end()),
        };
        if l.ty == RouteType::Local {
            return Ok(Dst {
                dev: None,
                via: None,
                local: true,
                mtu: None,
            });
        }
        self.take_way(&l, false)
    }

    /// `__encap_with_nodeid`: into the tunnel's device, which wraps the packet.
    pub(super) fn cilium_tunnel(&mut self, kind: &str, node: Option<IpAddr>) -> Flow {
        let name = if kind == "geneve" {
            "cilium_geneve"
        } else {
            "cilium_vxlan"
        };
        let dev = self.node.device_by_name(name);
        let inner = View {
            oif: dev,
            ..self.view()
        };
        self.delivered = Some(inner);
        self.out = dev.map(|dev| Out { dev, via: node });
        if node.is_none() {
            self.taint(
                "the tunnel leads to the backend's node (Cilium's addresses were not captured)",
                "where addresses are to Cilium",
                super::IPCACHE_LIST,
            );
        }
        if let Some(node) = node {
            self.step(StepKind::Encapsulated {
                kind: kind.to_owned(),
                src: None,
                dst: node,
            });
        }
        self.assume(
            "the packet around it reaches the backend's node (its own way is not followed)",
        );
        Err(End::new(
            Verdict::Forwarded,
            Reason::Sent {
                tunnel: Some(kind.to_owned()),
            },
        ))
    }

    /// `dsr_set_ipip4`: the packet as it is, wrapped for the backend.
    pub(super) fn cilium_wrap(&mut self, dev: DevId, kind: &str, to: IpAddr) -> Flow {
        let inner = self.view();
        self.outer = true;
        self.skb.dst = to;
        self.skb.proto = IPIP;
        self.skb.dport = Port::None;
        let way = self.cilium_way(dev)?;
        self.step(StepKind::Encapsulated {
            kind: kind.to_owned(),
            src: None,
            dst: to,
        });
        let Some(out) = way.dev else {
            return Err(End::unknown("the packet has no device to leave by"));
        };
        self.delivered = Some(View {
            oif: Some(out),
            ..inner
        });
        self.out = Some(Out {
            dev: out,
            via: way.via,
        });
        Err(End::new(
            Verdict::Forwarded,
            Reason::Sent {
                tunnel: Some(kind.to_owned()),
            },
        ))
    }
}

/// The route to an address, its own prefix around that address.
#[derive(Clone, Copy, Debug)]
struct Route {
    dev: DevId,
    via: Option<IpAddr>,
    net: (IpAddr, u8),
}
