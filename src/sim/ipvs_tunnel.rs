//! IPVS's own tunnel, which no device makes: `ip_vs_tunnel_xmit` (`net/netfilter/ipvs/ip_vs_xmit.c`).

use super::conntrack::{Ct, IpvsConn, Tuple};
use super::masq::Found;
use super::path::Dst;
use super::route::{Lookup, NoWay, RouteKey};
use super::run::{Flow, Run};
use crate::node::DevId;
use crate::trace::{CtState, Port, StepKind};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::route::RouteType;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// `do_output_route4` with `IP_VS_RT_MODE_CONNECT`: the first route gives the outer packet its source, and with that source the
    /// way is looked up again, by rules with `from`, too. IPv6 looks it up once (`__ip_vs_route_output_v6`). Kernels without
    /// "ipvs: fix uninit-value for saddr in `do_output_route4`" do it where allocated memory is cleared (`init_on_alloc`).
    pub(super) fn route_of_its_source(
        &mut self,
        l: &Lookup,
        server: IpAddr,
    ) -> Result<(Lookup, Option<IpAddr>), NoWay> {
        let local = matches!(l.ty, RouteType::Local | RouteType::Anycast);
        if self.family == Family::V6 || local {
            return Ok((l.clone(), None));
        }
        let Some(source) = self.first_source(l) else {
            return Ok((l.clone(), None));
        };
        let mut key = RouteKey::bare(server);
        key.src = source;
        Ok((self.fib_lookup(&key)?, Some(source)))
    }

    /// The source that a route gives; of several next hops one is picked where their sources differ.
    fn first_source(&mut self, l: &Lookup) -> Option<IpAddr> {
        if l.prefsrc.is_some() {
            return l.prefsrc;
        }
        let sources: Vec<_> = l
            .nexthops
            .iter()
            .map(|hop| self.address_of_hop(l, hop.dev, hop.via))
            .collect();
        let first = *sources.first()?;
        if sources.iter().all(|s| *s == first) {
            return first;
        }
        let hop = self.select_path(l)?;
        self.address_of_hop(l, hop.dev, hop.via)
    }

    fn address_of_hop(&mut self, l: &Lookup, dev: DevId, via: Option<IpAddr>) -> Option<IpAddr> {
        match self.source_of_hop(l, dev, via) {
            Found::Addr { addr, .. } => Some(addr),
            _ => None,
        }
    }

    /// The outer packet: `ip_vs_tunnel_xmit_prepare` takes the inner connection off (`nf_reset_ct`), and `ip_local_out` sends it
    /// through OUTPUT and POSTROUTING with a connection of its own. It is taken as new, save where an earlier packet of
    /// this connection went there. `ends`: its source where the route was looked up with it, and the real server.
    pub(super) fn ipvs_encapsulate(
        &mut self,
        c: IpvsConn,
        ends: (Option<IpAddr>, IpAddr),
        l: &Lookup,
        dst: Dst,
    ) -> Flow {
        let (bound, server) = ends;
        // IPv6 asks for an address and not the route for its `src` (`ipv6_dev_get_saddr` in `__ip_vs_route_output_v6`).
        let found = match (self.family, bound.or(l.prefsrc), dst.dev) {
            (Family::V6, _, dev) => match self.ipv6_source(dev, server) {
                Found::Addr { addr, .. } => Some(addr),
                _ => None,
            },
            (Family::V4, Some(addr), _) => Some(addr),
            (Family::V4, None, dev) => dev.and_then(|dev| self.address_of_hop(l, dev, dst.via)),
        };
        self.step(StepKind::Encapsulated {
            kind: "ipvs tunnel".into(),
            src: found,
            dst: server,
        });
        let Some(src) = found else { return Ok(()) };
        let known = self
            .packet
            .conn
            .as_ref()
            .and_then(|k| k.ipvs)
            .is_some_and(|k| (k.service, k.server) == (c.service, c.server));
        let kind = match self.family {
            Family::V4 => "ipip",
            Family::V6 => "sit",
        };
        let proto = super::tunnel::protocol(kind, self.family);
        let known = known
            || self
                .node
                .conntrack
                .iter()
                .any(|e| (e.proto, e.orig.src, e.orig.dst) == (proto, src, server));
        let tuple = Tuple {
            src,
            dst: server,
            sport: Port::None,
            dport: Port::None,
        };
        if !known {
            self.assume(format!(
                "no outer packet went to {server} lately, so nat rules see this one"
            ));
        }
        let mut ct = Ct::fresh(tuple, CtState::New);
        (ct.src_done, ct.dst_done, ct.confirmed) = (known, known, known);
        // Earlier packets may have left a mark.
        ct.made_up = known;
        self.outer_packet((self.iif, None), Some(ct), kind, (src, server), dst)
    }
}
