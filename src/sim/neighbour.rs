//! Whether the node answers a neighbour's question for an address: ARP (`arp_rcv`, `arp_process`, net/ipv4/arp.c) and neighbour
//! discovery (`ndisc_recv_ns`, net/ipv6/ndisc.c).

use super::WhatIf;
use super::choices::Choices;
use super::route::{NoWay, RouteKey};
use super::run::{End, Run};
use crate::node::{Addr, DevId, Node, Origin as Place};
use crate::trace::{ForkKind, Missing, Origin, Packet, Port, Reason};
use nfwhy_parsers::Proto;
use nfwhy_parsers::common::{Masked, bits};
use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::route::RouteType;
use std::net::{IpAddr, Ipv4Addr};

/// A question that arrives at a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address asked for.
    pub target: IpAddr,
    /// Who asks; `None` or unspecified for a probe without an address. Of ARP alone: in neighbour discovery nothing depends on it.
    pub asker: Option<IpAddr>,
    /// The device at which it arrives.
    pub dev: DevId,
}

/// What the kernel does with a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Whether it answers; `None` where that cannot be told.
    pub answers: Option<bool>,
    /// Why.
    pub why: Why,
    /// Settings that had a say, where they were captured.
    pub settings: Vec<Setting>,
    /// Whether every unknown was taken for what it is to be expected to be.
    pub expected: bool,
    /// What it rests on beyond the capture.
    pub assumptions: Vec<String>,
    /// What would tell.
    pub missing: Vec<Missing>,
}

/// A setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `net.ipv4.conf.all.arp_ignore`.
    pub name: String,
    /// Its value.
    pub value: i64,
    /// Where it was read.
    pub at: Place,
}

/// Why a node answers or keeps silent.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// The address is the device's own.
    Own {
        /// Where it was read.
        at: Place,
    },
    /// The address is one of another device, and `arp_ignore` lets that count.
    OwnElsewhere {
        /// That device; `None` where a local route makes it the node's own.
        dev: Option<DevId>,
        /// Where it was read.
        at: Place,
    },
    /// An anycast address of the device (IPv6).
    Anycast {
        /// Where its route was read.
        at: Place,
    },
    /// `proxy_arp`: the node has a route to it by another device.
    ProxyArp {
        /// The other device.
        out: DevId,
        /// The route.
        at: Place,
    },
    /// `proxy_arp_pvlan`: the node has a route to it by the same device.
    ProxyPvlan {
        /// The route.
        at: Place,
    },
    /// An entry of `ip neigh show proxy`.
    ProxyEntry {
        /// Where it was read.
        at: Place,
    },
    /// The device is down or has no carrier.
    Down,
    /// `NOARP`: the device takes no part in it.
    NoArp,
    /// Nobody else is at lo.
    Loopback,
    /// Its master takes what arrives at it.
    PortOf {
        /// The bridge or bond.
        master: DevId,
    },
    /// Nobody may ask for this: multicast, loopback.
    NotAsked(&'static str),
    /// The node's own, and `arp_ignore` forbids the answer.
    ArpIgnore {
        /// The device that has it.
        dev: Option<DevId>,
        /// The value that counts.
        value: i64,
    },
    /// The node's own, and `arp_filter` forbids the answer: the route to the asker goes by another device.
    ArpFilter {
        /// That device; `None` where there is no route.
        out: Option<DevId>,
    },
    /// The node's own, on a device other than the one asked at (IPv6).
    OnlyElsewhere {
        /// The device that has it.
        dev: DevId,
        /// Where it was read.
        at: Place,
    },
    /// The address is not confirmed yet (IPv6).
    Tentative {
        /// Where it was read.
        at: Place,
    },
    /// The asker is refused as a source.
    Refused(Reason),
    /// Neither its own nor one it answers for.
    NotOurs,
    /// The captures do not tell.
    NotCaptured,
}

/// The ways in which one question can end: more than one where something was not captured or is chosen by hash.
pub fn neighbour(node: &Node<'_>, q: Question) -> Vec<Said> {
    let family_any = if q.target.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
    };
    let packet = Packet {
        src: Some(q.asker.unwrap_or(family_any)),
        // Of the flow there is nothing but the addresses (`fib4_rules_early_flow_dissect` finds no ports in ARP).
        proto: Proto(0),
        sport: Port::None,
        dport: Port::None,
        origin: Origin::Device(q.dev),
        ..Packet::plain(q.target)
    };
    let what_if = WhatIf::default();
    let mut choices = Choices::default();
    let mut all: Vec<Said> = Vec::new();
    loop {
        choices.rewind();
        let mut run = Run::new(node, &packet, &what_if, &mut choices);
        let mut settings = Vec::new();
        let (answers, why) = match (packet.src, q.target) {
            (Some(IpAddr::V4(sip)), IpAddr::V4(tip)) => run.arp(q.dev, sip, tip, &mut settings),
            _ => run.ndisc(q.dev, q.target, &mut settings),
        };
        let said = Said {
            answers,
            why,
            settings,
            expected: run.expected,
            assumptions: std::mem::take(&mut run.assumptions),
            missing: std::mem::take(&mut run.missing),
        };
        if !all.contains(&said) {
            all.push(said);
        }
        if !choices.advance() || all.len() >= 64 {
            break;
        }
    }
    all.sort_by_key(|s| !s.expected);
    all
}

type Verdict = (Option<bool>, Why);

const fn silent(why: Why) -> Verdict {
    (Some(false), why)
}

const fn answered(why: Why) -> Verdict {
    (Some(true), why)
}

impl Run<'_, '_> {
    /// What keeps a question from being heard at a device.
    fn unheard(&self, dev: DevId) -> Option<Why> {
        let d = self.node.device(dev);
        if d.is_loopback() {
            return Some(Why::Loopback);
        }
        if d.is_up() == Some(false) || d.has_flag("NO-CARRIER") {
            return Some(Why::Down);
        }
        // `rx_handler` of a bridge or bond takes the frame; a VRF has none (`br_handle_frame`, `bond_handle_frame`).
        let master = d.master.filter(|m| !self.node.device(*m).is_vrf())?;
        Some(Why::PortOf { master })
    }

    /// Which device has an address of the node, and where that was read.
    fn holder(&self, addr: IpAddr) -> Option<(DevId, Place)> {
        self.node.device_ids().find_map(|id| {
            let d = self.node.device(id);
            let a = d.addrs.iter().find(|a| a.local == addr)?;
            Some((id, a.origin))
        })
    }

    /// Notes `conf/all/KEY` and `conf/DEV/KEY`, as far as they were captured.
    fn note(&self, dev: DevId, key: &str, settings: &mut Vec<Setting>) {
        let name = &self.node.device(dev).name;
        let dir = if self.skb.dst.is_ipv4() {
            "ipv4"
        } else {
            "ipv6"
        };
        for of in ["all", name] {
            if let Some((value, at)) = self.node.sysctls.get(&format!("net/{dir}/conf/{of}/{key}"))
            {
                settings.push(Setting {
                    name: format!("net.{dir}.conf.{of}.{key}"),
                    value,
                    at,
                });
            }
        }
    }

    /// `arp_rcv` and `arp_process` for a request.
    fn arp(
        &mut self,
        dev: DevId,
        sip: Ipv4Addr,
        tip: Ipv4Addr,
        settings: &mut Vec<Setting>,
    ) -> Verdict {
        let target = IpAddr::V4(tip);
        if self.node.device(dev).has_flag("NOARP") {
            return silent(Why::NoArp);
        }
        if let Some(why) = self.unheard(dev) {
            return silent(why);
        }
        if tip.is_multicast() {
            return silent(Why::NotAsked("a multicast address"));
        }
        if tip.is_loopback() && !self.or_conf(dev, "route_localnet") {
            self.note(dev, "route_localnet", settings);
            return silent(Why::NotAsked(
                "an address of 127.0.0.0/8 (route_localnet=0)",
            ));
        }
        if sip == tip && self.or_conf(dev, "drop_gratuitous_arp") {
            self.note(dev, "drop_gratuitous_arp", settings);
            return silent(Why::NotAsked("the asker's own (drop_gratuitous_arp=1)"));
        }
        if self.has_arp_rules() {
            self.assume("the rules of table arp let it pass (they are not modelled)");
        }
        // RFC 2131: is the address taken? It is answered without a look at the routes.
        if sip.is_unspecified() {
            if self.addr_type4(target, None) != RouteType::Local {
                return silent(Why::NotOurs);
            }
            return self.may_answer(dev, sip, tip, settings, false);
        }
        // `ip_route_input_slow`.
        if sip.is_multicast() || sip.is_broadcast() {
            return silent(Why::Refused(Reason::Martian {
                why: "the source is a multicast or broadcast address",
            }));
        }
        if tip.is_broadcast() || tip.is_unspecified() {
            return silent(Why::NotAsked("no host's address"));
        }
        if sip.is_loopback() && !self.or_conf(dev, "route_localnet") {
            return silent(Why::Refused(Reason::Martian {
                why: "the source is in 127.0.0.0/8 (route_localnet=0)",
            }));
        }
        let key = RouteKey {
            proto: Some(Proto(0)),
            ..self.key_in(dev)
        };
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(NoWay::NotCaptured) if self.may_be_proxy(dev, target) => {
                return (None, Why::NotCaptured);
            }
            // `no_route`: the route is one of type unreachable, which is neither local nor unicast.
            Err(_) => return silent(Why::NotOurs),
        };
        match l.ty {
            RouteType::Local => {
                if let Err(End { reason, .. }) = self.validate_source(dev, None) {
                    self.note(dev, "rp_filter", settings);
                    return silent(Why::Refused(reason));
                }
                self.may_answer(dev, sip, tip, settings, true)
            }
            RouteType::Unicast => self.proxies(dev, sip, tip, &l, settings),
            _ => silent(Why::NotOurs),
        }
    }

    /// For an address of the node: `arp_ignore`, then `arp_filter`.
    fn may_answer(
        &mut self,
        dev: DevId,
        sip: Ipv4Addr,
        tip: Ipv4Addr,
        settings: &mut Vec<Setting>,
        routed: bool,
    ) -> Verdict {
        let target = IpAddr::V4(tip);
        let holder = self.holder(target);
        let here = self.node.device(dev).addrs.iter();
        let here = here.clone().find(|a| a.local == target).map(|a| a.origin);
        self.note(dev, "arp_ignore", settings);
        let value = self.arp_ignore_value(dev, here.is_some());
        let confirmed = match value {
            1 => self.confirmed(Some(dev), None, tip, Scope::HOST),
            2 => self.confirmed(Some(dev), Some(sip), tip, Scope::HOST),
            3 => self.confirmed(None, None, tip, Scope::LINK),
            8 => false,
            _ => true,
        };
        if !confirmed {
            return silent(Why::ArpIgnore {
                dev: holder.map(|(d, _)| d),
                value,
            });
        }
        if routed && self.or_conf(dev, "arp_filter") {
            self.note(dev, "arp_filter", settings);
            // `arp_filter`: `ip_route_output` from the target to the asker.
            let l3 = self.node.l3_master(dev);
            let key = RouteKey {
                src: target,
                l3,
                ..RouteKey::bare(IpAddr::V4(sip))
            };
            let out = if self.is_local_addr(target) {
                match self.fib_lookup(&key) {
                    // To an address of the node itself it is lo.
                    Ok(l) if matches!(l.ty, RouteType::Unicast | RouteType::Broadcast) => {
                        self.select_path(&l).map(|n| n.dev)
                    }
                    _ => None,
                }
            } else {
                None
            };
            if out != Some(dev) {
                return silent(Why::ArpFilter { out });
            }
        }
        answered(match (here, holder) {
            (Some(at), _) => Why::Own { at },
            (None, Some((dev, at))) => Why::OwnElsewhere { dev: Some(dev), at },
            (None, None) => Why::OwnElsewhere {
                dev: None,
                at: self
                    .local_table(target)
                    .map(|l| l.origin)
                    .unwrap_or_default(),
            },
        })
    }

    /// `IN_DEV_ARP_IGNORE`: the larger of the two. Where neither was captured, it matters for addresses of other devices.
    fn arp_ignore_value(&mut self, dev: DevId, own: bool) -> i64 {
        let known = [
            self.all_conf("arp_ignore"),
            self.dev_conf(dev, "arp_ignore"),
        ];
        if let Some(v) = known.into_iter().flatten().max() {
            return v;
        }
        if own {
            return 0;
        }
        let what = "net.ipv4.conf.*.arp_ignore";
        self.lacks(format!("sysctl {what}"), "sysctl -a -r arp_ignore");
        i64::from(self.fork_unknown(
            ForkKind::Unknown(what.to_owned()),
            "arp_ignore",
            false,
            "arp_ignore=1 (not captured; kube-proxy's strictARP sets it)",
            "arp_ignore=0 (not captured; the kernel's default)",
        ))
    }

    /// `inet_confirm_addr`: some device, or the one, has the address and, if asked for, the asker in its subnet.
    fn confirmed(
        &self,
        dev: Option<DevId>,
        asker: Option<Ipv4Addr>,
        local: Ipv4Addr,
        scope: Scope,
    ) -> bool {
        match dev {
            Some(d) => self.confirmed_at(d, asker, local, scope),
            None => self
                .node
                .device_ids()
                .any(|d| self.confirmed_at(d, asker, local, scope)),
        }
    }

    /// `confirm_addr_indev` (net/ipv4/devinet.c). The subnet is that of the peer's address, so an address with a peer need not lie
    /// in its own.
    fn confirmed_at(
        &self,
        dev: DevId,
        asker: Option<Ipv4Addr>,
        local: Ipv4Addr,
        scope: Scope,
    ) -> bool {
        let of = |key: &str| {
            self.all_conf(key).unwrap_or(0) != 0 || self.dev_conf(dev, key).unwrap_or(0) != 0
        };
        let localnet = if of("route_localnet") {
            Scope::LINK
        } else {
            Scope::HOST
        };
        let within =
            |a: &Addr, x: Ipv4Addr| Masked::prefix(a.peer, a.prefix_len).contains(IpAddr::V4(x));
        // The kernel takes 0.0.0.0 for nobody.
        let asker = asker.filter(|a| !a.is_unspecified());
        let (mut addr, mut same) = (false, false);
        for a in self
            .node
            .device(dev)
            .addrs
            .iter()
            .filter(|a| a.local.is_ipv4())
        {
            let min = a.scope.min(localnet);
            if !addr && a.local == IpAddr::V4(local) && min <= scope {
                addr = true;
                if same {
                    break;
                }
            }
            if !same {
                same = within(a, local) && asker.is_none_or(|x| within(a, x));
                if same && addr {
                    break;
                }
            }
        }
        same && addr
    }

    /// Whether the node may answer for addresses of others at all, as far as was captured.
    fn may_be_proxy(&self, dev: DevId, target: IpAddr) -> bool {
        let on = |key: &str| {
            self.all_conf(key).unwrap_or(0) != 0 || self.dev_conf(dev, key).unwrap_or(0) != 0
        };
        on("proxy_arp") || on("proxy_arp_pvlan") || self.proxy_entry(dev, target).is_some()
    }

    /// For an address to which there is a way: `arp_fwd_proxy`, `arp_fwd_pvlan`, `pneigh_lookup`.
    fn proxies(
        &mut self,
        dev: DevId,
        sip: Ipv4Addr,
        tip: Ipv4Addr,
        l: &super::route::Lookup,
        settings: &mut Vec<Setting>,
    ) -> Verdict {
        let target = IpAddr::V4(tip);
        let (forwards, _) = self.forwards4(dev);
        let Some(out) = self.select_path(l).map(|n| n.dev) else {
            return silent(Why::NotOurs);
        };
        if !forwards {
            return silent(Why::NotOurs);
        }
        let at = l.origin;
        let why = if out == dev {
            self.note(dev, "proxy_arp_pvlan", settings);
            (self.or_conf(dev, "proxy_arp_pvlan") && sip != tip).then_some(Why::ProxyPvlan { at })
        } else if self.or_conf(dev, "proxy_arp") && self.other_medium(dev, out) {
            self.note(dev, "proxy_arp", settings);
            Some(Why::ProxyArp { out, at })
        } else {
            self.note(dev, "proxy_arp", settings);
            self.proxy_entry(dev, target)
                .map(|at| Why::ProxyEntry { at })
        };
        let Some(why) = why else {
            return silent(Why::NotOurs);
        };
        // `__mkroute_input` validates the source of what is to be forwarded.
        if let Err(End { reason, .. }) = self.validate_source(dev, Some(out)) {
            self.note(dev, "rp_filter", settings);
            return silent(Why::Refused(reason));
        }
        answered(why)
    }

    /// `medium_id` in `arp_fwd_proxy`.
    fn other_medium(&self, dev: DevId, out: DevId) -> bool {
        let id = |d: DevId| {
            let name = &self.node.device(d).name;
            let path = format!("net/ipv4/conf/{name}/medium_id");
            self.node.sysctls.get(&path).map_or(0, |(v, _)| v)
        };
        match id(dev) {
            0 => true,
            -1 => false,
            mine => id(out) != mine && id(out) != -1,
        }
    }

    /// An entry of `ip neigh show proxy` for the device (`pneigh_lookup`, net/core/neighbour.c).
    fn proxy_entry(&self, dev: DevId, target: IpAddr) -> Option<Place> {
        let entry = self
            .node
            .neighbours
            .iter()
            .find(|n| n.proxy && n.addr == target && n.dev.is_none_or(|d| d == dev))?;
        Some(entry.origin)
    }

    fn has_arp_rules(&self) -> bool {
        self.node.captured.nft
            && self
                .node
                .files
                .iter()
                .any(|f| f.text.contains("table arp ") && f.text.contains("hook input"))
    }

    /// `ndisc_recv_ns`. The question goes to the solicited-node group of the target, of which a device is a member only for its own
    /// addresses and proxy entries (`addrconf_join_solict`, `pndisc_constructor`): no `arp_ignore` is needed here.
    fn ndisc(&mut self, dev: DevId, target: IpAddr, settings: &mut Vec<Setting>) -> Verdict {
        if let Some(why) = self.unheard(dev) {
            return silent(why);
        }
        if target.is_multicast() || target.is_loopback() || target.is_unspecified() {
            return silent(Why::NotAsked("no host's address"));
        }
        let find = |me: &Self, d: DevId| -> Option<Addr> {
            let mut addrs = me.node.device(d).addrs.iter();
            addrs.find(|a| a.local == target).cloned()
        };
        // A device with NOARP does not join the groups of its addresses (`addrconf_join_solict`, net/ipv6/addrconf.c).
        if self.node.device(dev).has_flag("NOARP") && self.proxy_entry(dev, target).is_none() {
            return silent(Why::NoArp);
        }
        let own = find(self, dev).or_else(|| {
            let master = self.node.l3_master(dev).filter(|m| *m != dev)?;
            find(self, master)
        });
        if let Some(a) = own {
            if a.tentative && !a.optimistic {
                return silent(Why::Tentative { at: a.origin });
            }
            return answered(Why::Own { at: a.origin });
        }
        if self.dev_conf(dev, "disable_ipv6") == Some(1) {
            self.note(dev, "disable_ipv6", settings);
            return silent(Why::NotOurs);
        }
        // `ipv6_chk_acast_addr`.
        let anycast = self.anycast(dev, target);
        if let Some(at) = anycast {
            return answered(Why::Anycast { at });
        }
        if let Some(at) = self.proxy_entry(dev, target) {
            self.note(dev, "proxy_ndp", settings);
            self.note(dev, "forwarding", settings);
            let on = self.dev_conf(dev, "forwarding").unwrap_or(0) != 0
                && self.or_conf(dev, "proxy_ndp");
            return if on {
                answered(Why::ProxyEntry { at })
            } else {
                silent(Why::NotOurs)
            };
        }
        match self.holder(target) {
            Some((dev, at)) => silent(Why::OnlyElsewhere { dev, at }),
            None if !self.knows_addresses(target) => {
                self.lacks("addresses of the devices", "ip -d addr");
                (None, Why::NotCaptured)
            }
            None => silent(Why::NotOurs),
        }
    }

    /// An anycast route of the local table by the device.
    fn anycast(&self, dev: DevId, target: IpAddr) -> Option<Place> {
        let table = self.node.fib6.tables.get(&crate::node::TableId::LOCAL)?;
        table
            .candidates(target)
            .flatten()
            .find(|r| {
                r.ty == RouteType::Anycast
                    && bits(r.dst) == bits(target)
                    && r.nexthops.iter().any(|n| n.dev == dev)
            })
            .map(|r| r.origin)
    }
}
