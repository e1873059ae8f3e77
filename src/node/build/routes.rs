//! Routes, next hop objects, and what the kernel's own routes must be where they were not captured.

use super::super::fib::{Fib, FibTable, NextHop, Route, TableId};
use super::super::{DevId, FileId, Origin};
use super::{Builder, owned};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::nexthop::NextHopObject;
use nfwhy_parsers::iproute::route::{self, RouteType};
use nfwhy_parsers::iproute::{Scope, TableRef};
use std::collections::{BTreeMap, HashMap};

impl<'a> Builder<'a> {
    pub(super) fn nexthops(
        &mut self,
        files: &[(FileId, &'a str)],
    ) -> HashMap<u32, NextHopObject<'a>> {
        let mut out = HashMap::new();
        for (file, text) in files {
            for o in self.take(*file, nfwhy_parsers::iproute::nexthop::parse(text)) {
                out.insert(o.id, o);
            }
        }
        out
    }

    pub(super) fn table_id(&mut self, t: &TableRef<'_>) -> TableId {
        match t {
            TableRef::Id(n) => TableId(*n),
            TableRef::Name(n) => {
                if let Some((id, _)) = self.table_names.iter().find(|(_, x)| *x == n) {
                    return *id;
                }
                // Numbers of named tables are not in the text; the top of the range is never used by hand.
                let id = TableId(u32::MAX - u32::try_from(self.table_names.len()).unwrap_or(0));
                self.table_names.insert(id, owned(n));
                id
            }
        }
    }

    pub(super) fn routes(
        &mut self,
        files: &[(FileId, &'a str)],
        route_n: &[(FileId, &'a str)],
        objects: &HashMap<u32, NextHopObject<'a>>,
        fib4: &mut Fib,
        fib6: &mut Fib,
    ) {
        type Group<'r> = Vec<(FileId, bool, Vec<route::Route<'r>>)>;
        let mut groups: BTreeMap<(Family, TableId), Group<'a>> = BTreeMap::new();
        for (file, text, lossy) in files
            .iter()
            .map(|(f, t)| (*f, *t, false))
            .chain(route_n.iter().map(|(f, t)| (*f, *t, true)))
        {
            let parsed = if lossy {
                route::parse_route_n(text)
            } else {
                route::parse(text)
            };
            let mut mine: BTreeMap<(Family, TableId), Vec<route::Route<'a>>> = BTreeMap::new();
            for r in self.take(file, parsed) {
                let family = r.family.unwrap_or(Family::V4);
                let t = self.table_id(&r.table);
                mine.entry((family, t)).or_default().push(r);
            }
            for (k, v) in mine {
                groups.entry(k).or_default().push((file, lossy, v));
            }
        }
        for ((family, table), mut list) in groups {
            match family {
                Family::V4 => {
                    self.captured.route4 = true;
                    self.captured.local4 |= table == TableId::LOCAL;
                }
                Family::V6 => {
                    self.captured.route6 = true;
                    self.captured.local6 |= table == TableId::LOCAL;
                }
            }
            list.sort_by_key(|(_, lossy, v)| (*lossy, std::cmp::Reverse(v.len())));
            let mut list = list.into_iter();
            let Some((file, _, best)) = list.next() else {
                continue;
            };
            let keys: std::collections::HashSet<RouteId> = best.iter().map(route_key).collect();
            for (other, lossy, v) in list {
                if lossy {
                    continue;
                }
                if let Some(extra) = v.iter().find(|r| !keys.contains(&route_key(r))) {
                    self.warn(
                        Some(other),
                        extra.line,
                        format!("this route is not in {}, which also shows the table; that file is used", self.files[usize::from(file.0)].name),
                    );
                }
            }
            let fib = match family {
                Family::V4 => &mut *fib4,
                Family::V6 => &mut *fib6,
            };
            let target = fib.tables.entry(table).or_default();
            for r in best {
                // `ip` leaves "proto boot" out, which is what a route of the command line has.
                let made_by_kernel = r.proto.as_deref() == Some("kernel");
                fib.custom_local |= r.ty == route::RouteType::Local && !made_by_kernel;
                let r = self.lower_route(&r, family, table, file, objects);
                target.insert(r);
            }
        }
    }

    pub(super) fn lower_route(
        &mut self,
        r: &route::Route<'a>,
        family: Family,
        table: TableId,
        file: FileId,
        objects: &HashMap<u32, NextHopObject<'a>>,
    ) -> Route {
        let mut nexthops: Vec<NextHop> = Vec::new();
        let mut blackhole_nexthop = false;
        for n in &r.nexthops {
            let dev = self.dev(n.dev.as_deref().unwrap_or("(no device)"));
            nexthops.push(NextHop {
                via: n.via,
                dev,
                weight: n.weight.max(1),
                onlink: n.onlink,
                dead: n.dead,
                linkdown: n.linkdown,
                encap: n.encap.as_ref().map(owned),
            });
        }
        if nexthops.is_empty()
            && let Some(o) = r.nhid.and_then(|id| objects.get(&id))
        {
            let members: Vec<(u32, u32)> = if o.group.is_empty() {
                vec![(o.id, 1)]
            } else {
                o.group.clone()
            };
            for (id, weight) in members {
                let Some(m) = objects.get(&id) else { continue };
                if m.blackhole {
                    blackhole_nexthop = true;
                    continue;
                }
                let dev = self.dev(m.dev.as_deref().unwrap_or("(no device)"));
                nexthops.push(NextHop {
                    via: m.via,
                    dev,
                    weight: weight.max(1),
                    onlink: m.onlink,
                    dead: m.dead,
                    linkdown: m.linkdown,
                    encap: m.encap.as_ref().map(owned),
                });
            }
        }
        // `ip` prints no scope where it is global; IPv6 has no scopes.
        let scope = r.scope.unwrap_or(Scope::GLOBAL);
        Route {
            ty: r.ty,
            dst: r.dst.unwrap_or(family.unspecified()),
            dst_len: r.dst_len,
            from: r.from,
            tos: r.tos,
            metric: r.metric.unwrap_or(match family {
                Family::V4 => 0,
                Family::V6 => 1024,
            }),
            scope,
            prefsrc: r.prefsrc,
            table,
            nexthops,
            blackhole_nexthop,
            mtu: r.mtu,
            pref: match r.pref.as_deref() {
                Some("high") => 1,
                Some("low") => -1,
                _ => 0,
            },
            error: r.error,
            origin: Origin { file, line: r.line },
        }
    }

    /// Without `table all` the kernel's own entries are missing: what it adds for each address is known
    /// (`fib_add_ifaddr` in `net/ipv4/fib_frontend.c`, `addrconf_add_ifaddr` in net/ipv6/addrconf.c).
    pub(super) fn derive_local(&mut self, fib4: &mut Fib, fib6: &mut Fib) {
        let need4 = !self.captured.local4;
        let need6 = !self.captured.local6;
        let connected4 = !self.captured.route4;
        let connected6 = !self.captured.route6;
        let local = |dst, len, ty, scope, prefsrc, dev, origin: Origin, table| Route {
            ty,
            dst,
            dst_len: len,
            from: None,
            tos: 0,
            metric: 0,
            scope,
            prefsrc,
            table,
            nexthops: vec![NextHop {
                via: None,
                dev,
                weight: 1,
                onlink: false,
                dead: false,
                linkdown: false,
                encap: None,
            }],
            blackhole_nexthop: false,
            mtu: None,
            pref: 0,
            error: None,
            origin: Origin {
                file: origin.file,
                line: origin.line,
            },
        };
        for (i, d) in self.devices.iter().enumerate() {
            let id = DevId(u16::try_from(i).unwrap_or(u16::MAX));
            for a in &d.addrs {
                let family = Family::of(a.local);
                let (fib, need, connected) = match family {
                    Family::V4 => (&mut *fib4, need4, connected4),
                    Family::V6 => (&mut *fib6, need6, connected6),
                };
                let prefix = nfwhy_parsers::Masked::prefix(a.peer, a.prefix_len);
                let net = and(prefix.addr, prefix.mask);
                // A secondary's local route prefers the primary of its subnet (`fib_add_ifaddr`: `prim`).
                let source = if a.secondary {
                    d.addrs
                        .iter()
                        .find(|p| {
                            !p.secondary && p.prefix_len == a.prefix_len && prefix.contains(p.peer)
                        })
                        .map_or(a.local, |p| p.local)
                } else {
                    a.local
                };
                if need {
                    let t = fib.tables.entry(TableId::LOCAL).or_default();
                    t.insert(local(
                        a.local,
                        family.bits(),
                        RouteType::Local,
                        Scope::HOST,
                        Some(source),
                        id,
                        a.origin,
                        TableId::LOCAL,
                    ));
                    if family == Family::V4 {
                        if d.is_loopback() && a.prefix_len < 32 {
                            t.insert(local(
                                net,
                                a.prefix_len,
                                RouteType::Local,
                                Scope::HOST,
                                Some(a.local),
                                id,
                                a.origin,
                                TableId::LOCAL,
                            ));
                        }
                        if let Some(b) = a.broadcast.filter(|_| a.prefix_len < 31) {
                            t.insert(local(
                                b,
                                32,
                                RouteType::Broadcast,
                                Scope::LINK,
                                Some(a.local),
                                id,
                                a.origin,
                                TableId::LOCAL,
                            ));
                        }
                    }
                }
                if connected && !a.noprefixroute && !d.is_loopback() && a.prefix_len < family.bits()
                {
                    let t = fib.tables.entry(TableId::MAIN).or_default();
                    t.insert(local(
                        net,
                        a.prefix_len,
                        RouteType::Unicast,
                        Scope::LINK,
                        Some(a.local),
                        id,
                        a.origin,
                        TableId::MAIN,
                    ));
                }
            }
        }
        for fib in [fib4, fib6] {
            fib.tables.entry(TableId::LOCAL).or_default();
            fib.tables
                .entry(TableId::MAIN)
                .or_insert_with(FibTable::default);
            fib.tables.entry(TableId::DEFAULT).or_default();
        }
    }
}

fn and(a: std::net::IpAddr, m: std::net::IpAddr) -> std::net::IpAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    match (a, m) {
        (IpAddr::V4(a), IpAddr::V4(m)) => {
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & m.to_bits()))
        }
        (IpAddr::V6(a), IpAddr::V6(m)) => {
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & m.to_bits()))
        }
        (a, _) => a,
    }
}

type RouteId = (
    RouteType,
    Option<std::net::IpAddr>,
    u8,
    u8,
    Option<u32>,
    Option<(Option<std::net::IpAddr>, Option<String>)>,
);

fn route_key(r: &route::Route<'_>) -> RouteId {
    (
        r.ty,
        r.dst,
        r.dst_len,
        r.tos,
        r.metric,
        r.nexthops
            .first()
            .map(|n| (n.via, n.dev.as_deref().map(str::to_owned))),
    )
}
