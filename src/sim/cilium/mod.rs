//! Cilium's eBPF datapath, where its load balancer's listing was captured: services are looked up by a program at the device before netfilter
//! sees the packet, or as a process connects.
//!
//! What is cited is of cilium/cilium, bpf/: `nodeport_lb4` and `tail_nodeport_nat_egress_ipv4` (lib/nodeport.h), `lb4_local` and
//! `lb4_lookup_service` (lib/lb.h), `handle_ipv4_cont` (`bpf_host.c`), `__sock4_xlate_fwd` (`bpf_sock.c`), each with its twin of IPv6. Policies,
//! masquerade of pods by eBPF and encryption are not simulated.

mod service;
mod way;

use super::run::{End, Flow, Run};
use crate::node::cilium::Mode;
use crate::node::{DevId, Origin};
use crate::trace::{Back, ForkKind, NatKind, Port, Reason, Refused, Served, StepKind, Verdict};
use nfwhy_parsers::cilium::{Flags, Kind};
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// A command of the agent's on this node: `ds/cilium` would be any node's.
macro_rules! agent {
    ($command:literal) => {
        concat!(
            "crictl exec $(crictl ps -q --name cilium-agent) cilium-dbg ",
            $command
        )
    };
}

const LB_LIST: &str = agent!("bpf lb list");
const SOURCE_RANGES: &str = agent!("bpf lb list --source-ranges");
const ENDPOINT_LIST: &str = agent!("bpf endpoint list");
const IPCACHE_LIST: &str = agent!("bpf ipcache list");
const NAT_LIST: &str = agent!("bpf nat list");
const STATUS: &str = agent!("status --verbose");
const CONFIG_MAP: &str = "kubectl -n kube-system get cm cilium-config -o yaml";

/// What a device is to Cilium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// `cil_from_netdev`: the node's own.
    Host,
    /// `cil_from_container`: a pod's.
    Pod,
}

/// A service that was found.
#[derive(Clone, Copy, Debug)]
struct Service {
    at: Origin,
    flags: Flags,
    proxy: Option<u16>,
}

/// A backend that was drawn.
#[derive(Clone, Copy, Debug)]
struct Backend {
    addr: IpAddr,
    port: u16,
    at: Origin,
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// A pod of this node, behind a device where that is known.
    Pod(Option<DevId>),
    /// This node itself.
    Host,
    /// Elsewhere: on a node, where known; in a tunnel or not.
    Away { node: Option<IpAddr>, tunnel: bool },
}

impl Run<'_, '_> {
    /// What Cilium's program does at a device's ingress.
    pub(super) fn cilium_ingress(&mut self, dev: DevId) -> Flow {
        let node = self.node;
        if self.packet.conn.is_some() || !node.has_cilium() {
            return Ok(());
        }
        if !node.cilium.knows_services(self.family) {
            return self.cilium_unseen(Some(dev));
        }
        let Some(at) = self.cilium_at(dev) else {
            return Ok(());
        };
        self.cilium_asks();
        match at {
            At::Host => self.cilium_from_network(dev),
            At::Pod => {
                if self.cilium_serves_inside(false)? {
                    self.cilium_policies();
                }
                self.cilium_from_pod(dev)
            }
        }
    }

    /// Translates what a process of this node connects to (`__sock4_xlate_fwd`).
    pub(super) fn cilium_connect(&mut self) -> Flow {
        let node = self.node;
        if self.packet.conn.is_some() || !node.has_cilium() {
            return Ok(());
        }
        if !matches!(self.skb.proto, Proto::TCP | Proto::UDP)
            || node.cilium.serves_processes() == Some(false)
        {
            return Ok(());
        }
        if !node.cilium.knows_services(self.family) {
            return self.cilium_unseen(None);
        }
        self.cilium_asks();
        if node.cilium.serves_processes().is_none() {
            self.cilium_assumes_settings(
                "what processes of this node connect to is translated (socket load balancing)",
            );
        }
        self.cilium_serves_inside(true)?;
        Ok(())
    }

    /// A client in the cluster: a pod, or a process of this node. True where a service took the packet.
    fn cilium_serves_inside(&mut self, process: bool) -> Flow<bool> {
        let Some(service) = self.cilium_inside()? else {
            return Ok(false);
        };
        let s = service.0;
        if service.1.is_none() {
            return Err(self.cilium_proxy(s));
        }
        let Some(backend) = service.1 else {
            return Ok(false);
        };
        if self.skb.src == backend.addr && !process {
            // `lb4_local`: `IPV4_LOOPBACK`, where the socket was not translated already.
            self.assume(
                "a pod that asks itself through a Service sees its own address (per-packet: 169.254.42.1)",
            );
        }
        self.cilium_translate(s, backend);
        self.served = Some(Served {
            service: s.at,
            node: None,
            answer: Back::Here,
        });
        Ok(true)
    }

    /// `nodeport_lb4`, then what `handle_ipv4_cont` does with what is for this node.
    fn cilium_from_network(&mut self, dev: DevId) -> Flow {
        let cilium = &self.node.cilium;
        match cilium.serves_outside() {
            Some(false) => return Ok(()),
            Some(true) => {}
            None => self.cilium_assumes_settings("kube-proxy is replaced"),
        }
        let Some((service, backend)) = self.cilium_outside()? else {
            return self.cilium_arrives(dev);
        };
        let Some(backend) = backend else {
            return Err(self.cilium_proxy(service));
        };
        self.cilium_policies();
        match self.cilium_backend_where(backend) {
            here @ (Where::Pod(_) | Where::Host) => {
                self.cilium_translate(service, backend);
                self.served = Some(Served {
                    service: service.at,
                    node: None,
                    answer: Back::Here,
                });
                match here {
                    Where::Pod(to) => self.cilium_to_pod(to),
                    // `ENDPOINT_F_HOST`: the node's own stack has it.
                    _ => Ok(()),
                }
            }
            Where::Away { node, tunnel } => {
                if service.flags.kind == Kind::HostPort {
                    return Err(Self::cilium_refuses(Refused::Elsewhere, service.at));
                }
                self.cilium_forward(dev, service, backend, node, tunnel)
            }
        }
    }

    /// A request for a backend on another node.
    fn cilium_forward(
        &mut self,
        dev: DevId,
        service: Service,
        backend: Backend,
        node: Option<IpAddr>,
        tunnel: bool,
    ) -> Flow {
        if self.cilium_is_direct(service) {
            self.served = Some(Served {
                service: service.at,
                node,
                answer: Back::Direct,
            });
            return match self.node.cilium.dispatch() {
                "ipip" => {
                    // `lb4_xlate`, `skip_l3_xlate`: the address of the service stays.
                    if self.skb.dport.known().is_some() {
                        self.skb.dport = Port::Known(backend.port);
                    }
                    self.cilium_wrap(dev, "ipip", backend.addr)
                }
                "geneve" => {
                    self.cilium_translate(service, backend);
                    self.cilium_tunnel("geneve", node)
                }
                _ => {
                    self.cilium_translate(service, backend);
                    // `dsr_set_opt4`: the service's address goes along in an option of the IP header.
                    self.cilium_native(dev)
                }
            };
        }
        self.cilium_translate(service, backend);
        self.served = Some(Served {
            service: service.at,
            node,
            answer: Back::Here,
        });
        self.cilium_source(service, tunnel);
        if tunnel {
            let kind = self.cilium_tunnel_kind();
            self.cilium_tunnel(kind, node)
        } else {
            self.cilium_native(dev)
        }
    }

    /// Whether the backend's node answers the client (`nodeport_uses_dsr4`).
    fn cilium_is_direct(&mut self, service: Service) -> bool {
        if service.flags.has(Flags::DSR) {
            return true;
        }
        match self.node.cilium.mode() {
            Some((Mode::Dsr, _)) => true,
            Some((Mode::Snat | Mode::ByService, _)) => false,
            Some((Mode::Hybrid, _)) => self.skb.proto == Proto::TCP,
            None => {
                self.lacks(
                    "how Cilium sends requests to other nodes (bpf-lb-mode)",
                    CONFIG_MAP,
                );
                self.fork_unknown(
                    ForkKind::Unknown("Cilium's bpf-lb-mode".to_owned()),
                    "cilium bpf-lb-mode",
                    false,
                    "bpf-lb-mode is dsr (or hybrid, for TCP) (not captured: `cilium-dbg status --verbose` says Mode)",
                    "bpf-lb-mode is snat, Cilium's default (not captured: `cilium-dbg status --verbose` says Mode)",
                )
            }
        }
    }

    /// `snat_v4_nat` for a request from outside: through a tunnel with the address of `cilium_host`, else with the one of the device between
    /// nodes. The port stays where it is one of those above the node ports (`__snat_try_keep_port`).
    fn cilium_source(&mut self, service: Service, tunnel: bool) {
        match self.cilium_own_address(tunnel) {
            Some(addr) => self.skb.src = addr,
            None => self.skb.src_unknown = true,
        }
        let (lo, hi) = self.node.cilium.source_ports();
        self.skb.sport = match self.skb.sport {
            Port::Known(n) if n < lo => Port::Random { lo, hi },
            other => other,
        };
        let at = self.node.cilium.mode().map_or(service.at, |(_, at)| at);
        let to = self.view();
        self.step(StepKind::EbpfSource { at, to });
        self.note_snat(NatKind::Ebpf);
    }

    fn cilium_translate(&mut self, service: Service, backend: Backend) {
        self.skb.dst = backend.addr;
        // A backend without a port keeps the one asked.
        if self.skb.dport.known().is_some() && backend.port != 0 {
            self.skb.dport = Port::Known(backend.port);
        }
        let to = self.view();
        self.step(StepKind::Ebpf {
            service: service.at,
            backend: backend.at,
            answer: false,
            to,
        });
        self.note_dnat(NatKind::Ebpf);
    }

    /// `ctx_redirect_to_proxy_hairpin_ipv4`: Envoy on this node takes the connection and makes another one.
    fn cilium_proxy(&mut self, service: Service) -> End {
        let port = service
            .proxy
            .map_or_else(String::new, |p| format!(" at port {p}"));
        self.step(StepKind::Note(format!(
            "Cilium hands the packet to its proxy on this node{port} ({})",
            self.node.place(service.at)
        )));
        self.assume("the proxy (Envoy) connects to a backend itself: the pod sees the proxy's address, the client's is in X-Forwarded-For");
        self.delivered = Some(self.view());
        End::new(Verdict::Local, Reason::Delivered)
    }

    fn cilium_refuses(why: Refused, at: Origin) -> End {
        End::dropped(Reason::Ebpf { why, at })
    }

    fn cilium_policies(&mut self) {
        self.assume("Cilium's policies let the packet pass (they are not simulated)");
    }

    /// Something of the configuration is taken to be so.
    fn cilium_assumes_settings(&mut self, what: &str) {
        self.lacks("Cilium's configuration", CONFIG_MAP);
        self.assume(format!("{what} (Cilium's configuration was not captured)"));
        self.wanted.clear();
    }

    /// Cilium is here, and what services it knows is not captured: where the packet may be for one, it is not known what becomes of it.
    fn cilium_unseen(&mut self, dev: Option<DevId>) -> Flow {
        let node = self.node;
        let served = node.cilium.serves_outside();
        // Its devices tell more than a program's name; and with kube-proxy's rules somebody else serves.
        if !node.devices.iter().any(crate::node::Device::is_ciliums_own)
            || served == Some(false)
            || served.is_none() && node.has_kube_proxy()
        {
            return Ok(());
        }
        let at = match dev {
            Some(d) => match self.cilium_at(d) {
                Some(at) => at,
                None => return Ok(()),
            },
            None => At::Pod,
        };
        if !self.cilium_may_serve(at) {
            return Ok(());
        }
        let what = match self.family {
            Family::V4 => "Cilium's services",
            Family::V6 => "Cilium's services of IPv6",
        };
        self.wanted.clear();
        self.lacks(what, LB_LIST);
        let asked = match self.skb.dport.known() {
            Some(port) => std::net::SocketAddr::new(self.skb.dst, port).to_string(),
            None => self.skb.dst.to_string(),
        };
        let serves = self.fork_unknown(
            ForkKind::Unknown(format!("whether Cilium has a Service at {asked}")),
            &format!("cilium service {asked} {}", self.skb.proto.0),
            true,
            &format!("Cilium has a Service at {asked} (its load balancer was not captured)"),
            &format!("Cilium has no Service at {asked} (its load balancer was not captured)"),
        );
        if serves {
            return Err(End::unknown(
                "Cilium's eBPF datapath decides, not netfilter; what it knows was not captured",
            ));
        }
        Ok(())
    }

    /// Whether an address is one that a Service may have: not a pod's, of the node's own only node ports, and for clients in the cluster one of
    /// a private network.
    fn cilium_may_serve(&mut self, at: At) -> bool {
        let Some(port) = self.cilium_port() else {
            return false;
        };
        let dst = self.skb.dst;
        if self.cilium_is_host(dst) {
            // A host port may be any.
            let node_port = (30000..=32767).contains(&port);
            if !node_port && port >= 1024 {
                self.taint(
                    "no host port of a pod is asked (Cilium's load balancer was not captured)",
                    "Cilium's services",
                    LB_LIST,
                );
            }
            return !dst.is_loopback() && node_port;
        }
        if let Some(Where::Pod(_) | Where::Away { tunnel: true, .. }) = self.cilium_where(dst) {
            return false;
        }
        let private = match dst {
            IpAddr::V4(a) => a.is_private(),
            IpAddr::V6(a) => a.is_unique_local(),
        };
        !dst.is_multicast() && (at == At::Host || private)
    }

    /// What a device is to Cilium; `None` where it has no program there.
    fn cilium_at(&mut self, dev: DevId) -> Option<At> {
        let node = self.node;
        let d = node.device(dev);
        let name = d.name.as_str();
        if d.is_loopback() || d.is_ciliums_own() {
            return None;
        }
        let at = if d.is_ciliums_pod() {
            At::Pod
        } else {
            At::Host
        };
        if node.captured.programs {
            let mut there = node.programs.iter().filter(|p| p.device == name);
            return there
                .any(|p| p.hook.sees_incoming() && (p.is_ciliums() || p.name.is_none()))
                .then_some(at);
        }
        // A port's program is the master's matter, and other pods' devices are not Cilium's.
        if d.master.is_some() || at == At::Host && d.kind.as_deref() == Some("veth") {
            return None;
        }
        self.lacks("eBPF programs at devices", "bpftool net");
        self.assume(format!(
            "Cilium's eBPF program is attached to {name} (not captured)"
        ));
        self.wanted.clear();
        Some(at)
    }

    /// Tells the region of addresses that this walk answers for what the listing compares.
    fn cilium_asks(&self) {
        let cilium = &self.node.cilium;
        for a in [self.skb.src, self.skb.dst] {
            let Some(r) = self.watched(a) else { continue };
            for s in &cilium.services {
                r.meets(s.key.addr);
                for (addr, _) in s.backends.iter().filter_map(|b| b.to) {
                    r.meets(addr);
                }
            }
            for (e, _) in &cilium.endpoints {
                r.meets(e.addr);
            }
            for (p, _) in &cilium.prefixes {
                r.net(p.net.0, p.net.1);
            }
            for (range, _) in &cilium.ranges {
                r.net(range.net.0, range.net.1);
            }
            for d in &self.node.devices {
                for own in &d.addrs {
                    r.meets(own.local);
                }
            }
        }
    }
}
