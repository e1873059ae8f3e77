//! Routing: the policy database and the tables (`net/core/fib_rules.c`, `net/ipv4/fib_trie.c`, `net/ipv6/ip6_fib.c`).

use super::run::{End, Run};
use crate::node::{DevId, NextHop, Origin, PolicyAction, Route, TableId};
use crate::trace::{ForkKind, Port, Reason, Verdict};
use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// What a lookup is for (`struct flowi4`, `struct flowi6`).
#[derive(Clone, Copy, Debug)]
pub struct RouteKey {
    /// Destination.
    pub dst: IpAddr,
    /// Source; unspecified where none is chosen yet.
    pub src: IpAddr,
    /// TOS.
    pub tos: u8,
    /// Mark.
    pub mark: u32,
    /// Ingress device; `None` for packets of the node itself, which `iif lo` matches.
    pub iif: Option<DevId>,
    /// Device the lookup is bound to.
    pub oif: Option<DevId>,
    /// Device whose routes are preferred among those of a prefix, in lookups of IPv6 that are not bound to it.
    pub prefer: Option<DevId>,
    /// VRF of the lookup.
    pub l3: Option<DevId>,
    /// Protocol.
    pub proto: Option<Proto>,
    /// Source port.
    pub sport: Port,
    /// Destination port.
    pub dport: Port,
    /// User id of the sender; forwarded packets count as root.
    pub uid: u32,
    /// Next hops whose link is down count, whatever the settings say (`FIB_LOOKUP_IGNORE_LINKSTATE`).
    pub any_link: bool,
}

impl RouteKey {
    /// Whether a `tos` selector fits; 0 asks for none. IPv4 looks at three bits only, as it always did
    /// (`fib_dscp_masked_match` in `include/net/ip_fib.h`), IPv6 at the whole DSCP (`fib6_rule_match`).
    pub(super) fn tos_fits(&self, want: u8) -> bool {
        let bits = if self.dst.is_ipv4() { 0x1c } else { 0xfc };
        want == 0 || want & 0xfc == self.tos & bits
    }
}

impl RouteKey {
    /// By the destination alone.
    pub(super) fn bare(dst: IpAddr) -> Self {
        Self {
            dst,
            src: Family::of(dst).unspecified(),
            tos: 0,
            mark: 0,
            iif: None,
            oif: None,
            prefer: None,
            l3: None,
            proto: None,
            sport: Port::None,
            dport: Port::None,
            uid: 0,
            any_link: false,
        }
    }
}

/// A lookup's result.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Type.
    pub ty: RouteType,
    /// Usable next hops; more than one where the kernel picks by hash.
    pub nexthops: Vec<NextHop>,
    /// All next hops, also those not usable now.
    pub all_devs: Vec<DevId>,
    /// `src`.
    pub prefsrc: Option<IpAddr>,
    /// Scope.
    pub scope: Scope,
    /// Prefix length.
    pub dst_len: u8,
    /// Table.
    pub table: TableId,
    /// MTU of the route.
    pub mtu: Option<u32>,
    /// Where it was read.
    pub origin: Origin,
}

/// A lookup that gives no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// No route, or an unreachable rule: `-ENETUNREACH`.
    Network(Option<Origin>),
    /// An unreachable route: `-EHOSTUNREACH`.
    Unreachable(Origin),
    /// `prohibit`.
    Prohibit(Origin),
    /// `blackhole`.
    Blackhole(Origin),
    /// The routes that would tell were not captured.
    NotCaptured,
}

impl NoWay {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Network(None) => Reason::NoRoute,
            Self::NotCaptured => {
                Reason::Unknown("where it goes is not known: the routes were not captured".into())
            }
            Self::Network(Some(at)) | Self::Unreachable(at) => Reason::RouteType {
                what: "unreachable",
                at,
            },
            Self::Prohibit(at) => Reason::RouteType {
                what: "prohibit",
                at,
            },
            Self::Blackhole(at) => Reason::RouteType {
                what: "blackhole",
                at,
            },
        }
    }

    /// The end of a packet that has no way: a blackhole says nothing, the others answer.
    pub(super) fn end(self) -> End {
        match self {
            Self::Blackhole(_) => End::dropped(self.reason()),
            Self::NotCaptured => End::new(Verdict::Unknown, self.reason()),
            _ => End::rejected(self.reason()),
        }
    }
}

/// Either a route or why there is none.
pub type RouteResult = Result<Lookup, NoWay>;

pub(super) enum TableResult {
    Found(Lookup),
    Error(NoWay),
    /// Nothing here, or `throw`: the next rule.
    Again,
}

impl Run<'_, '_> {
    /// A key with the current packet's fields for a packet that came in by `iif`.
    pub(super) fn key_in(&self, iif: DevId) -> RouteKey {
        RouteKey {
            dst: self.skb.dst,
            src: self.skb.src,
            tos: self.skb.tos,
            mark: self.skb.mark,
            iif: Some(iif),
            oif: None,
            prefer: None,
            l3: self.node.l3_master(iif),
            proto: Some(self.skb.proto),
            sport: self.skb.sport,
            dport: self.skb.dport,
            uid: 0,
            any_link: false,
        }
    }

    /// A key for a packet that the node sends.
    pub(super) fn key_out(&self, src: IpAddr) -> RouteKey {
        RouteKey {
            dst: self.skb.dst,
            src,
            tos: self.skb.tos,
            mark: self.skb.mark,
            iif: None,
            oif: None,
            prefer: None,
            l3: None,
            proto: Some(self.skb.proto),
            sport: self.skb.sport,
            dport: self.skb.dport,
            uid: self.skb.uid.unwrap_or(0),
            any_link: false,
        }
    }

    /// `fib_lookup` through all rules.
    pub(super) fn fib_lookup(&mut self, key: &RouteKey) -> RouteResult {
        let node = self.node;
        let fib = node.fib(Family::of(key.dst));
        let mut i = 0;
        while let Some(rule) = fib.rules.get(i) {
            i += 1;
            if !self.rule_applies(rule, key) {
                continue;
            }
            let table = match &rule.action {
                PolicyAction::Lookup(t) => *t,
                PolicyAction::L3mdev => {
                    let Some(t) = key.l3.and_then(|d| node.device(d).info.table) else {
                        continue;
                    };
                    TableId(t)
                }
                PolicyAction::Goto(p) => {
                    // Only a rule of exactly that priority is a target; else the rule is unresolved and does nothing
                    // (`fib_nl_newrule` in net/core/fib_rules.c). It leads onwards, never back.
                    if let Some(to) = fib.rules.iter().position(|r| r.priority == *p)
                        && to >= i
                    {
                        i = to;
                    }
                    continue;
                }
                PolicyAction::Nop => continue,
                PolicyAction::Blackhole => return Err(NoWay::Blackhole(rule.origin)),
                PolicyAction::Unreachable => return Err(NoWay::Network(Some(rule.origin))),
                PolicyAction::Prohibit => return Err(NoWay::Prohibit(rule.origin)),
                PolicyAction::Other(what) => {
                    self.taint(
                        format!("the ip rule `{what}` does nothing here (it was not understood)"),
                        "ip rules",
                        "ip rule",
                    );
                    continue;
                }
            };
            let result = match self.table_lookup(table, key) {
                TableResult::Again if table == TableId::LOCAL => self
                    .perhaps_local(key.dst)
                    .map_or(TableResult::Again, TableResult::Found),
                other => other,
            };
            match result {
                TableResult::Again => {}
                TableResult::Error(e) => return Err(e),
                TableResult::Found(l) => {
                    // `fib4_rule_suppress`, `fib6_rule_suppress`.
                    if rule
                        .suppress_prefixlength
                        .is_some_and(|n| u32::from(l.dst_len) <= n)
                    {
                        continue;
                    }
                    if let Some(g) = &rule.suppress_ifgroup
                        && l.nexthops
                            .first()
                            .is_some_and(|n| node.device(n.dev).group.as_deref() == Some(g))
                    {
                        continue;
                    }
                    if node.in_part.routes
                        && l.table != TableId::LOCAL
                        && l.dst_len < Family::of(key.dst).bits()
                    {
                        let cmd = match Family::of(key.dst) {
                            Family::V4 => "ip route show table all",
                            Family::V6 => "ip -6 route show table all",
                        };
                        self.taint(
                            format!(
                                "no route to {} is more specific than the /{} shown (not all routes are)",
                                key.dst, l.dst_len
                            ),
                            "the other routes",
                            cmd,
                        );
                    }
                    return Ok(l);
                }
            }
        }
        let captured = match Family::of(key.dst) {
            Family::V4 => node.captured.route4,
            Family::V6 => node.captured.route6,
        } && !node.in_part.routes;
        if node.in_part.routes {
            let cmd = match Family::of(key.dst) {
                Family::V4 => "ip route show table all",
                Family::V6 => "ip -6 route show table all",
            };
            self.lacks(format!("the route to {}", key.dst), cmd);
            if node.in_part.links {
                self.lacks("addresses of the other devices", "ip -d addr");
            }
        }
        Err(if captured {
            NoWay::Network(None)
        } else {
            NoWay::NotCaptured
        })
    }

    /// `fib_table_lookup`.
    pub(super) fn table_lookup(&mut self, table: TableId, key: &RouteKey) -> TableResult {
        let node = self.node;
        let family = Family::of(key.dst);
        let fib = node.fib(family);
        let Some(t) = fib.tables.get(&table) else {
            let whole = match family {
                Family::V4 => node.captured.local4,
                Family::V6 => node.captured.local6,
            };
            if !whole && table != TableId::DEFAULT {
                let name = fib.table_name(table);
                let cmd = match family {
                    Family::V4 => "ip route show table all",
                    Family::V6 => "ip -6 route show table all",
                };
                self.taint(
                    format!("routing table {name} is empty (it was not captured)"),
                    &format!("routing table {name}"),
                    cmd,
                );
            }
            return TableResult::Again;
        };
        if let Some(r) = self.watched(key.dst) {
            r.edges(t.edges(family));
        }
        for routes in t.candidates(key.dst) {
            if let Some(r) = self.watched(key.src) {
                for (a, n) in routes.iter().filter_map(|route| route.from) {
                    r.net(a, n);
                }
            }
            // IPv6 source prefixes: the longest that holds the source.
            let longest_from = routes
                .iter()
                .filter_map(|r| r.from.filter(|(a, n)| Self::same_net(*a, key.src, *n)))
                .map(|(_, n)| n)
                .max();
            let of_source = |r: &Route| match (r.from, longest_from) {
                (None, None) => true,
                (Some((a, n)), Some(m)) => n == m && Self::same_net(a, key.src, n),
                _ => false,
            };
            if let Some(dev) = key.prefer
                && let Some(l) = routes
                    .iter()
                    .filter(|r| of_source(r))
                    .find_map(|r| Self::by_device(r, dev))
            {
                return TableResult::Found(l);
            }
            for r in routes.iter().filter(|r| of_source(r)) {
                if !key.tos_fits(r.tos) {
                    continue;
                }
                if let Some(result) = self.try_route(r, key) {
                    return result;
                }
            }
        }
        TableResult::Again
    }

    fn try_route(&mut self, r: &Route, key: &RouteKey) -> Option<TableResult> {
        // A destination that means something only on its link is looked up on the device the packet came in by (`rt6_need_strict` in
        // `ip6_route_input`, net/ipv6/route.c), and routes that refuse, which are lo's, are passed over. So ::1 is not found where NAT
        // put it into a packet that came in elsewhere.
        let link = match key.dst {
            IpAddr::V6(a) if a.is_loopback() || a.is_multicast() || a.is_unicast_link_local() => {
                key.iif
            }
            _ => None,
        };
        let bound = link.is_some() || (key.oif.is_some() && key.dst.is_ipv6());
        if bound
            && matches!(
                r.ty,
                RouteType::Blackhole
                    | RouteType::Unreachable
                    | RouteType::Prohibit
                    | RouteType::Throw
            )
        {
            return None;
        }
        match r.ty {
            RouteType::Blackhole => return Some(TableResult::Error(NoWay::Blackhole(r.origin))),
            RouteType::Unreachable => {
                return Some(TableResult::Error(NoWay::Unreachable(r.origin)));
            }
            RouteType::Prohibit => return Some(TableResult::Error(NoWay::Prohibit(r.origin))),
            RouteType::Throw => return Some(TableResult::Again),
            _ => {}
        }
        if r.blackhole_nexthop {
            return Some(TableResult::Error(NoWay::Blackhole(r.origin)));
        }
        let mut usable = Vec::new();
        for n in &r.nexthops {
            if !self.is_alive(n, key) {
                continue;
            }
            if key.oif.is_some_and(|o| o != n.dev && key.l3 != Some(o)) {
                continue;
            }
            if link.is_some_and(|i| i != n.dev && key.l3 != Some(n.dev)) {
                continue;
            }
            usable.push(n.clone());
        }
        if usable.is_empty() && !r.nexthops.is_empty() {
            return None;
        }
        if key.prefer.is_some() {
            // No hash where a device is asked for (`have_oif_match` of `fib6_select_path`, net/ipv6/route.c).
            usable.truncate(1);
        }
        Some(TableResult::Found(Self::found(r, usable)))
    }

    fn found(r: &Route, nexthops: Vec<NextHop>) -> Lookup {
        Lookup {
            ty: r.ty,
            nexthops,
            all_devs: r.nexthops.iter().map(|n| n.dev).collect(),
            prefsrc: r.prefsrc,
            scope: r.scope,
            dst_len: r.dst_len,
            table: r.table,
            mtu: r.mtu,
            origin: r.origin,
        }
    }

    /// The route's next hop by a device (`rt6_device_match`, net/ipv6/route.c).
    fn by_device(r: &Route, dev: DevId) -> Option<Lookup> {
        let hop = r.nexthops.iter().find(|n| n.dev == dev && !n.dead)?;
        let refuses = matches!(
            r.ty,
            RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
        );
        (!refuses).then(|| Self::found(r, vec![hop.clone()]))
    }

    /// A next hop without a link is printed `dead linkdown` where the setting says so (`fib_nexthop_info`,
    /// `net/ipv4/fib_semantics.c`); that of a device that is down is dead for all.
    fn is_alive(&self, n: &NextHop, key: &RouteKey) -> bool {
        if n.linkdown && self.node.device(n.dev).is_up() != Some(false) {
            key.any_link || !(n.dead || self.ignores_linkdown(n.dev))
        } else {
            !n.dead
        }
    }

    fn ignores_linkdown(&self, dev: DevId) -> bool {
        let key = "ignore_routes_with_linkdown";
        self.all_conf(key).unwrap_or(0) != 0 || self.dev_conf(dev, key).unwrap_or(0) != 0
    }

    /// Picks a next hop: `fib_select_multipath` goes by a hash over the flow, so over flows by weight.
    pub(super) fn select_path(&mut self, l: &Lookup) -> Option<NextHop> {
        match l.nexthops.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => {
                let weights: Vec<f64> = many.iter().map(|n| f64::from(n.weight)).collect();
                let many = many.to_vec();
                let i = self.fork(ForkKind::Multipath(l.origin), &weights);
                many.get(i).cloned()
            }
        }
    }
}
