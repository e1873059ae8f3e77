//! Packets of the node itself: the way out, the kernel's choice of source, OUTPUT and what it routes again.

use super::hooks::Func;
use super::path::Dst;
use super::route::{Lookup, NoWay};
use super::run::{End, Flow, Run};
use crate::node::{DevId, TableKind};
use crate::trace::{AddrChoice, CtState, Hook, Port, Reason, Step, StepKind, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::nft::ChainType;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// `__ip_route_output_key`, `ip_local_out`, `ip6_xmit`.
    pub(super) fn locally_sent(&mut self) -> Flow {
        let given = self.packet.src;
        let any = self.family.unspecified();
        if let Some(src) = given
            && !self.is_local_addr(src)
        {
            if self.knows_addresses(src) {
                // `ip_route_output_key_hash_rcu`: the source must be the node's own.
                return Err(End::rejected(Reason::NoSuchSource));
            }
            let why = self.why_addresses_unknown();
            self.assume(format!("{src} is an address of this node ({why})"));
        }
        let mut key = self.key_out(given.unwrap_or(any));
        let mut found = self.fib_lookup(&key);
        let mut early = None;
        // Routes for one source only are found once there is one (`ip6_dst_lookup_tail`, net/ipv6/ip6_output.c).
        if self.family == Family::V6
            && given.is_none()
            && found.as_ref().is_err_and(|way| *way != NoWay::NotCaptured)
            && let super::masq::Found::Addr { addr, how, at } = self.ipv6_source(None, self.skb.dst)
        {
            key.src = addr;
            found = self.fib_lookup(&key);
            early = Some((addr, how, at));
        }
        let l = match found {
            Ok(l) => l,
            Err(way) => return Err(way.end()),
        };
        let mut dst = self.output_dst(&l, false)?;
        if let Some((addr, how, at)) = early {
            self.skb.src = addr;
            self.step(StepKind::Address {
                addr: Some(addr),
                how,
                at,
            });
        } else if given.is_none() {
            self.choose_source(&l, &dst);
            // A connecting TCP socket asks once more with the source it was given (`ip_route_connect`, include/net/route.h).
            if self.family == Family::V4
                && self.skb.proto == nfwhy_parsers::Proto::TCP
                && !self.skb.src_unknown
            {
                let key = self.key_out(self.skb.src);
                match self.fib_lookup(&key) {
                    Ok(again) if again.origin == l.origin => {}
                    Ok(again) => dst = self.output_dst(&again, false)?,
                    Err(way) => return Err(way.end()),
                }
            }
        }
        self.first_src = (!self.skb.src_unknown).then_some(self.skb.src);
        self.send(dst)
    }

    /// The way out of a locally sent packet: lo for the node's own addresses.
    pub(super) fn output_dst(&mut self, l: &Lookup, reroute: bool) -> Flow<Dst> {
        if matches!(l.ty, RouteType::Local | RouteType::Anycast) {
            self.route_step(l, None, true, reroute);
            let on = l.all_devs.first().copied();
            let dev = on
                .and_then(|d| self.node.l3_master(d))
                .or_else(|| self.node.loopback())
                .or(on);
            return Ok(Dst {
                dev,
                via: None,
                local: true,
                mtu: None,
            });
        }
        let dst = self.take_way(l, reroute)?;
        // `__mkroute_output`: a loopback source does not leave by another device (-EINVAL).
        if let (IpAddr::V4(src), Some(dev)) = (self.skb.src, dst.dev)
            && src.is_loopback()
            && !self.node.device(dev).is_loopback()
            && !self.or_conf(dev, "route_localnet")
        {
            return Err(Self::martian(
                "a source in 127.0.0.0/8 leaves by lo only (route_localnet=0)",
            ));
        }
        Ok(dst)
    }

    /// The kernel's own choice of source.
    fn choose_source(&mut self, l: &Lookup, dst: &Dst) {
        use super::masq::Found;
        let found = if let Some(p) = l.prefsrc {
            Found::Addr {
                addr: p,
                how: AddrChoice::PrefSrc,
                at: l.origin,
            }
        } else if dst.local && self.family == Family::V4 {
            Found::Addr {
                addr: self.skb.dst,
                how: AddrChoice::Destination,
                at: l.origin,
            }
        } else if let Some(dev) = dst.dev {
            match self.family {
                Family::V4 => self.source_of_hop(l, dev, dst.via),
                Family::V6 => self.ipv6_source(Some(dev), self.skb.dst),
            }
        } else {
            Found::None
        };
        match found {
            Found::Addr { addr, how, at } => {
                self.skb.src = addr;
                self.step(StepKind::Address {
                    addr: Some(addr),
                    how,
                    at,
                });
            }
            Found::None => self.skb.src_unknown = true,
            Found::NotCaptured(why) => {
                self.taint(why, "addresses of the devices", "ip -d addr");
                self.skb.src_unknown = true;
            }
        }
    }

    /// `fib_info_update_nhc_saddr`: `inet_select_addr` with the next hop's device, its gateway and the route's scope.
    pub(super) fn source_of_hop(
        &mut self,
        l: &Lookup,
        dev: DevId,
        via: Option<IpAddr>,
    ) -> super::masq::Found {
        let near = via.filter(|g| !g.is_unspecified());
        let scope = if l.scope >= Scope::LINK {
            Scope::LINK
        } else {
            l.scope
        };
        self.inet_select_addr(dev, near, scope)
    }

    /// `ip_local_out`: OUTPUT, then POSTROUTING by whatever route the packet has then.
    pub(super) fn send(&mut self, dst: Dst) -> Flow {
        let dst = self.local_out(dst, false)?;
        self.output(&dst)
    }

    /// The OUTPUT hook; gives the route the packet has afterwards.
    pub(super) fn local_out(&mut self, dst: Dst, reinjected: bool) -> Flow<Dst> {
        self.oif = dst.dev;
        let rerouted = self.run_output(reinjected)?;
        Ok(rerouted.unwrap_or(dst))
    }

    /// OUTPUT, where mangle and nat look the route up again. The functions behind still see the device of before
    /// (`nf_hook_state.out`).
    fn run_output(&mut self, reinjected: bool) -> Flow<Option<Dst>> {
        self.enter(Hook::Output, reinjected);
        let mut rerouted = None;
        for (priority, func) in self.hooks.at(Hook::Output) {
            let before = (
                self.skb.src,
                self.skb.dst,
                self.skb.mark,
                self.skb.tos,
                self.skb.ttl,
            );
            self.run_func(Hook::Output, priority, func)?;
            let again = match func {
                // `ipt_mangle_out`, `ip6t_mangle_out`.
                func if self.reroutes(func) => {
                    let s = &self.skb;
                    s.src != before.0
                        || s.dst != before.1
                        || s.mark != before.2
                        || s.tos != before.3
                        || (s.ttl != before.4 && self.family == Family::V6)
                }
                Func::Nat => self.skb.dst != before.1 || self.has_another_destination(),
                _ => false,
            };
            if again {
                rerouted = Some(if reinjected {
                    self.route_again_silently()?
                } else {
                    self.route_again()?
                });
            } else if let Some(dst) = self.rerouted.take() {
                rerouted = Some(dst);
            }
        }
        Ok(rerouted)
    }

    /// Whether the packet is routed again where this function changes it in OUTPUT: table mangle (`ipt_mangle_out`), and chains of
    /// type route (`nf_route_table_hook4`, `net/netfilter/nft_chain_route.c`).
    fn reroutes(&self, func: Func) -> bool {
        match func {
            Func::Table(t) => self.node.netfilter.tables[t].kind == TableKind::Mangle,
            Func::Nft(t, chain) => self.node.netfilter.nft(t).is_some_and(|t| {
                let chain = t.def.chains.get(chain.0 as usize);
                let base = chain.and_then(|c| c.base.as_ref());
                base.is_some_and(|b| b.kind == ChainType::Route)
            }),
            _ => false,
        }
    }

    /// `nf_nat_ipv4_local_fn` (`net/netfilter/nf_nat_proto.c`) asks the connection, not the packet: the destination that IPVS has
    /// put into the connection counts as well (`ip_vs_update_conntrack`), and the packet is routed once more, this time by mark
    /// and source too.
    fn has_another_destination(&self) -> bool {
        self.ct.as_ref().is_some_and(|ct| {
            let (there, back) = if ct.is_reply {
                (ct.reply, ct.orig)
            } else {
                (ct.orig, ct.reply)
            };
            ct.ipvs.is_some()
                && !matches!(ct.state, CtState::Invalid | CtState::Untracked)
                && self.hooks.has_nat()
                && there.dst != back.src
        })
    }

    /// The same for what IPVS sends on: no socket learns of an error, and the way it has already is not told again.
    pub(super) fn route_again_silently(&mut self) -> Flow<Dst> {
        let before = self.steps.len();
        let found = self.route_again().map_err(|end| {
            if end.verdict == Verdict::Rejected {
                End::dropped(end.reason)
            } else {
                end
            }
        });
        let routes = |s: &Step| match &s.kind {
            StepKind::Route(r) => Some((r.dev, r.via, r.local)),
            _ => None,
        };
        let (old, new) = self.steps.split_at(before);
        if let [step] = new
            && routes(step).is_some()
            && routes(step) == old.iter().rev().find_map(routes)
        {
            self.steps.truncate(before);
        }
        found
    }

    /// `ip_route_me_harder`.
    pub(super) fn route_again(&mut self) -> Flow<Dst> {
        let src = self.skb.src;
        let mut key = self.key_out(src);
        if self.family == Family::V4 {
            // IPv4's names no user.
            key.uid = 0;
        }
        if !self.dissects_flows() {
            // Protocol and ports are there only where some policy rule makes the kernel look for them
            // (`fib4_rules_early_flow_dissect`, `include/net/ip_fib.h`; `fib6_rules_early_flow_dissect`).
            key.proto = None;
            (key.sport, key.dport) = (Port::None, Port::None);
        }
        match self.fib_lookup(&key) {
            Ok(l) => self.output_dst(&l, true),
            // The sender learns the error of NF_DROP_ERR, but `tcp_connect` does not look at it.
            Err(way)
                if self.skb.proto == nfwhy_parsers::Proto::TCP && way != NoWay::NotCaptured =>
            {
                Err(End::dropped(way.reason()))
            }
            Err(way) => Err(way.end()),
        }
    }
}
