//! The way through the kernel: in by a device or from a process, hooks and routing, out or up.

use super::hooks::Func;
use super::route::{Lookup, NoWay};
use super::run::{End, Flow, Run};
use crate::node::DevId;
use crate::trace::{ForkKind, Hook, Origin, Out, Reason, RouteStep, StepKind, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::route::RouteType;
use std::net::{IpAddr, Ipv6Addr};

/// Where the packet goes next (`skb_dst`).
#[derive(Clone, Debug)]
pub(super) struct Dst {
    pub dev: Option<DevId>,
    pub via: Option<IpAddr>,
    pub local: bool,
    pub mtu: Option<u32>,
}

/// `ff02::1`.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// `addrconf_addr_solict_mult`: the group in which an address is asked for.
fn solicited(addr: IpAddr) -> Option<Ipv6Addr> {
    let IpAddr::V6(a) = addr else { return None };
    let [.., x, y, z] = a.octets();
    let low = u16::from_be_bytes([y, z]);
    let high = u16::from_be_bytes([0xff, x]);
    Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low))
}

impl Run<'_, '_> {
    pub(super) fn path(&mut self) -> Flow {
        match self.packet.origin {
            Origin::Device(dev) => self.ingress(dev),
            Origin::Local => {
                if let Some(dev) = self.what_if.tunnel {
                    return self.tunnel_sent(dev);
                }
                self.calico_connect()?;
                self.cilium_connect()?;
                self.locally_sent()
            }
        }
    }

    /// `ip_rcv`, `ipv6_rcv`.
    fn ingress(&mut self, dev: DevId) -> Flow {
        let node = self.node;
        let mut dev = dev;
        self.iif = Some(dev);
        // `sch_handle_ingress` comes before `nf_ingress` (`__netif_receive_skb_core`).
        self.calico_ingress(dev)?;
        self.cilium_ingress(dev)?;
        self.at_device(dev, false)?;
        // A port of a bridge or bond hands its frames to the master.
        while let Some(m) = node.device(dev).master {
            let kind = node.device(m).kind.clone().unwrap_or_default();
            if !matches!(kind.as_str(), "bridge" | "bond" | "team") {
                break;
            }
            let note = format!(
                "{} is a port of the {kind} {}: IP sees the packet come in there",
                node.device(dev).name,
                node.device(m).name
            );
            self.step(StepKind::Note(note));
            if kind == "bridge" {
                self.port = Some(dev);
            }
            dev = m;
            self.iif = Some(dev);
            self.at_device(dev, false)?;
        }
        if node.device(dev).is_up() == Some(false) {
            self.assume(format!(
                "{} receives although it is down in the capture",
                node.device(dev).name
            ));
        }
        if self.family == Family::V6 {
            self.sane6(dev)?;
        }
        if node.device(dev).is_bridge() {
            self.bridge_in(dev)?;
        } else {
            self.run_hook(Hook::Prerouting, false)?;
        }
        // `l3mdev_ip_rcv`: the VRF sees the packet once more as its own.
        if let Some(vrf) = node.l3_master(dev).filter(|v| *v != dev) {
            self.iif = Some(vrf);
            self.run_hook(Hook::Prerouting, false)?;
        }
        self.route_in(dev)
    }

    /// `ip6_rcv_core`.
    fn sane6(&mut self, dev: DevId) -> Flow {
        let IpAddr::V6(src) = self.skb.src else {
            return Ok(());
        };
        let IpAddr::V6(dst) = self.skb.dst else {
            return Ok(());
        };
        let lo = self.node.device(dev).is_loopback() || self.node.device(dev).is_vrf();
        if (src.is_loopback() || dst.is_loopback()) && !lo {
            return Err(Self::martian("::1 arrives by a device other than lo"));
        }
        if src.is_multicast() {
            return Err(Self::martian("the source is a multicast address"));
        }
        if dst.is_unspecified() {
            return Err(Self::martian("the destination is ::"));
        }
        // RFC 4291 2.7 and its erratum 3480: such groups do not leave their host.
        if dst.is_multicast() && super::masq::scope6(self.skb.dst) < 2 {
            return Err(Self::martian("the group is of its own host alone"));
        }
        Ok(())
    }

    /// `ip_route_input_slow` (net/ipv4/route.c) and `ip6_route_input`.
    fn route_in(&mut self, dev: DevId) -> Flow {
        let key = self.key_in(dev);
        match self.family {
            Family::V4 => {
                let (IpAddr::V4(src), IpAddr::V4(dst)) = (self.skb.src, self.skb.dst) else {
                    return Err(End::unknown("address families are mixed"));
                };
                if src.is_multicast() || src.is_broadcast() {
                    return Err(Self::martian(
                        "the source is a multicast or broadcast address",
                    ));
                }
                if dst.is_multicast() {
                    return self.multicast(dev);
                }
                if dst.is_broadcast() || (src.is_unspecified() && dst.is_unspecified()) {
                    return self.broadcast(dev, src);
                }
                // `ipv4_is_zeronet`: the rest of 0.0.0.0/8 is as good as any since Linux 5.3.
                if src.is_unspecified() {
                    return Err(Self::martian("the source is 0.0.0.0"));
                }
                if dst.is_unspecified() {
                    return Err(Self::martian("the destination is 0.0.0.0"));
                }
                if (dst.is_loopback() || src.is_loopback()) && !self.or_conf(dev, "route_localnet")
                {
                    return Err(Self::martian(if dst.is_loopback() {
                        "the destination is in 127.0.0.0/8 (route_localnet=0)"
                    } else {
                        "the source is in 127.0.0.0/8 (route_localnet=0)"
                    }));
                }
                match self.fib_lookup(&key) {
                    Err(way @ NoWay::NotCaptured) => Err(way.end()),
                    Err(way) => {
                        let (on, sysctl) = self.forwards4(dev);
                        if on {
                            Err(way.end())
                        } else {
                            // `ip_error`: without forwarding nothing is answered.
                            let _ = way;
                            Err(End::dropped(Reason::ForwardingOff { sysctl }))
                        }
                    }
                    Ok(l) => match l.ty {
                        RouteType::Broadcast => {
                            self.route_step(&l, None, true, false);
                            self.broadcast(dev, src)
                        }
                        RouteType::Local => {
                            self.route_step(&l, None, true, false);
                            self.validate_source(dev, None)?;
                            self.deliver()
                        }
                        RouteType::Unicast => {
                            let (on, sysctl) = self.forwards4(dev);
                            if !on {
                                return Err(End::dropped(Reason::ForwardingOff { sysctl }));
                            }
                            let dst = self.take_way(&l, false)?;
                            self.validate_source(dev, dst.dev)?;
                            self.forward(&dst)
                        }
                        _ => Err(Self::martian(
                            "the route to the destination is of an unusable type",
                        )),
                    },
                }
            }
            Family::V6 => {
                if self.skb.dst.is_multicast() {
                    return self.multicast(dev);
                }
                match self.fib_lookup(&key) {
                    // IPv6 answers whether it forwards or not (`ip6_pkt_drop`).
                    Err(way) => Err(way.end()),
                    Ok(l) if matches!(l.ty, RouteType::Local | RouteType::Anycast) => {
                        self.route_step(&l, None, true, false);
                        self.deliver()
                    }
                    Ok(l) => {
                        let dst = self.take_way(&l, false)?;
                        let (on, sysctl) = self.forwards6();
                        if !on {
                            return Err(End::dropped(Reason::ForwardingOff { sysctl }));
                        }
                        self.forward(&dst)
                    }
                }
            }
        }
    }

    /// `brd_input` in `ip_route_input_slow`: sources are validated, save those of a client that has none yet (DHCP).
    fn broadcast(&mut self, dev: DevId, src: std::net::Ipv4Addr) -> Flow {
        if !src.is_unspecified() {
            // The reverse lookup has no source then.
            let dst = std::mem::replace(&mut self.skb.dst, Family::V4.unspecified());
            let valid = self.validate_source(dev, None);
            self.skb.dst = dst;
            valid?;
        }
        self.deliver()
    }

    /// A group that no socket has joined on the device is not delivered (`ip_check_mc_rcu`, `ipv6_chk_mcast_addr`). All hosts
    /// join 224.0.0.1, `ff02::1` and the groups of their own addresses' solicited nodes; the others are not in a snapshot.
    fn multicast(&mut self, dev: DevId) -> Flow {
        let addrs = &self.node.device(dev).addrs;
        let always = match self.skb.dst {
            IpAddr::V4(a) => a.octets() == [224, 0, 0, 1],
            IpAddr::V6(a) => {
                a == ALL_NODES || addrs.iter().any(|own| solicited(own.local) == Some(a))
            }
        };
        if !always {
            let name = self.node.device(dev).name.clone();
            let group = self.skb.dst;
            self.lacks(
                format!("multicast groups of {name}"),
                format!("ip maddr show dev {name}"),
            );
            let joined = self.fork_unknown(
                ForkKind::Unknown(format!("group {group} on {name}")),
                &format!("multicast {group} {name}"),
                true,
                &format!("a socket of this node has joined {group} on {name} (not captured)"),
                &format!("no socket of this node has joined {group} on {name} (not captured)"),
            );
            if !joined {
                return Err(Self::martian(
                    "no socket of this node has joined the multicast group",
                ));
            }
        }
        self.deliver()
    }

    pub(super) fn take_way(&mut self, l: &Lookup, reroute: bool) -> Flow<Dst> {
        let hop = self.select_path(l);
        let Some(hop) = hop else {
            return Err(End::unknown(format!(
                "the route at {} has no device",
                self.node.place(l.origin)
            )));
        };
        self.route_step(l, Some((hop.dev, hop.via)), false, reroute);
        if hop.encap.is_some() {
            self.assume(
                "a lightweight tunnel (encap) wraps the packet without changing it".to_owned(),
            );
        }
        Ok(Dst {
            dev: Some(hop.dev),
            via: hop.via,
            local: false,
            mtu: l.mtu.or(self.node.device(hop.dev).mtu),
        })
    }

    pub(super) fn route_step(
        &mut self,
        l: &Lookup,
        hop: Option<(DevId, Option<IpAddr>)>,
        local: bool,
        reroute: bool,
    ) {
        let table = self.node.fib(self.family).table_name(l.table);
        let (dev, via) = match hop {
            Some((d, v)) => (Some(d), v),
            None => (l.all_devs.first().copied(), None),
        };
        self.step(StepKind::Route(RouteStep {
            dst: self.skb.dst,
            local,
            dev,
            via,
            table,
            at: l.origin,
            reroute,
        }));
    }

    /// `ip_local_deliver`, `ip6_input`.
    fn deliver(&mut self) -> Flow {
        self.oif = None;
        self.run_hook(Hook::Input, false)?;
        self.confirm()?;
        self.delivered = Some(self.view());
        Err(End::new(Verdict::Local, Reason::Delivered))
    }

    /// `skb->pkt_type != PACKET_HOST` (`ip_forward`, `ip6_forward`): NAT changes the address, not the frame.
    pub(super) fn came_to_many(&mut self) -> bool {
        let dst = self.packet.dst;
        matches!(self.packet.origin, Origin::Device(_))
            && (dst.is_multicast()
                || self.knows_addresses(dst)
                    && self.addr_type4(dst, self.iif) == RouteType::Broadcast)
    }

    /// `ip_forward`, `ip6_forward`.
    fn forward(&mut self, dst: &Dst) -> Flow {
        if self.came_to_many() {
            return Err(Self::martian(
                "what comes in a broadcast or multicast frame is not forwarded",
            ));
        }
        if self.skb.ttl <= 1 {
            return Err(End::rejected(Reason::Ttl));
        }
        // `ip6_forward` looks at the source only where the packet changes its link.
        if self.family == Family::V6
            && self.iif != dst.dev
            && let IpAddr::V6(src) = self.skb.src
        {
            if src.is_loopback() || src.is_unspecified() || src.is_multicast() {
                return Err(Self::martian("an address of this kind is not forwarded"));
            }
            if super::masq::scope6(self.skb.src) == 2 {
                return Err(End::rejected(Reason::BeyondScope));
            }
        }
        if let Some(mtu) = dst.mtu.filter(|m| self.skb.length > *m) {
            if self.family == Family::V4 {
                self.assume("the packet must not be fragmented (DF)".to_owned());
            }
            return Err(End::rejected(Reason::TooBig { mtu }));
        }
        self.skb.ttl -= 1;
        self.oif = dst.dev;
        self.run_hook(Hook::Forward, false)?;
        let rerouted = self.rerouted.take();
        self.output(rerouted.as_ref().unwrap_or(dst))
    }

    /// `ip_output`, `ip6_output`: POSTROUTING, then the device.
    pub(super) fn output(&mut self, dst: &Dst) -> Flow {
        self.oif = dst.dev;
        self.gateway = dst.via;
        self.run_hook(Hook::Postrouting, false)?;
        self.confirm()?;
        self.leave(dst)
    }

    pub(super) fn leave(&mut self, dst: &Dst) -> Flow {
        let Some(dev) = dst.dev else {
            return Err(End::unknown("the packet has no device to leave by"));
        };
        if dst.local {
            return self.loop_back(dev);
        }
        if !self.outer {
            // `sch_handle_egress`
            self.calico_egress(dev)?;
        }
        self.sent(dst);
        self.at_device(dev, true)?;
        self.cilium_from_host(dev)?;
        let tunnel = self.node.device(dev).tunnel().map(str::to_owned);
        if let Some(kind) = &tunnel
            && !self.outer
        {
            self.encapsulate(dev, kind, dst.via)?;
        }
        Err(End::new(Verdict::Forwarded, Reason::Sent { tunnel }))
    }

    /// Notes how the packet leaves.
    pub(super) fn sent(&mut self, dst: &Dst) {
        if let (Some(dev), false) = (dst.dev, self.outer) {
            self.delivered = Some(self.view());
            self.out = Some(Out { dev, via: dst.via });
        }
    }

    /// `loopback_xmit`: the packet comes in again by lo, with its connection and its route.
    fn loop_back(&mut self, dev: DevId) -> Flow {
        self.iif = Some(dev);
        self.oif = None;
        self.gateway = None;
        // POSTROUTING has confirmed it (`nf_confirm`).
        if let Some(ct) = &mut self.ct {
            ct.confirmed = true;
        }
        self.run_hook(Hook::Prerouting, false)?;
        self.deliver()
    }

    pub(super) fn enter(&mut self, hook: Hook, reinjected: bool) {
        if let Some(r) = self.region {
            r.at(None);
        }
        let outer = self.outer;
        self.step(StepKind::Hook {
            hook,
            reinjected,
            outer,
        });
    }

    /// All functions of a hook but OUTPUT, by priority.
    pub(super) fn run_hook(&mut self, hook: Hook, reinjected: bool) -> Flow {
        self.enter(hook, reinjected);
        for (priority, func) in self.hooks.at(hook) {
            self.run_func(hook, priority, func)?;
        }
        Ok(())
    }

    pub(super) fn run_func(&mut self, hook: Hook, priority: i32, func: Func) -> Flow {
        match func {
            Func::Conntrack => {
                self.conntrack_in();
                Ok(())
            }
            Func::Table(t) => self.run_table(t, hook, priority).map(|_| ()),
            Func::Nft(t, chain) => self.run_nft(t, chain, hook, priority).map(|_| ()),
            Func::Nat => self.nat_hook(hook),
            Func::IpvsIn => self.ipvs_in(),
            Func::IpvsOut => self.ipvs_out(hook),
        }
    }
}
