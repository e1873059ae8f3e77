//! A snapshot's files into a [`Node`]: the same thing captured twice is one thing, the richer form counts.

use super::device::{Addr, DevId, Device};
use super::fib::{Fib, FibTable, NextHop, PolicyAction, PolicyRule, Route, TableId};
use super::ipvs::{IpvsState, RealServer, VirtualService};
use super::netfilter::{Netfilter, Table, TableKind};
use super::sets::{Set, SetState};
use super::{Captured, CtEntry, CtTuple, FileId, FileInfo, Node, Origin, Sysctls, Warning};
use crate::capture::Snapshot;
use nfwhy_parsers::conntrack::Tuple;
use nfwhy_parsers::iproute::link::{Link, Peer};
use nfwhy_parsers::iproute::nexthop::NextHopObject;
use nfwhy_parsers::iproute::route::{self, RouteType};
use nfwhy_parsers::iproute::rule::{self, Action};
use nfwhy_parsers::iproute::{Scope, TableRef};
use nfwhy_parsers::iptables::{self, Backend, Form};
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::{Diagnostic, Family, Parsed};
use nfwhy_parsers::{conntrack, ipset, ipvs, sysctl};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

struct Builder<'a> {
    files: Vec<FileInfo<'a>>,
    captured: Captured,
    devices: Vec<Device>,
    names: HashMap<String, DevId>,
    warnings: Vec<Warning>,
    table_names: HashMap<TableId, String>,
}

pub(super) fn build(snapshot: &Snapshot) -> Node<'_> {
    let mut b = Builder {
        files: snapshot
            .files
            .iter()
            .map(|f| FileInfo {
                name: f.name.clone(),
                text: &f.text,
            })
            .collect(),
        captured: Captured::default(),
        devices: Vec::new(),
        names: HashMap::new(),
        warnings: Vec::new(),
        table_names: HashMap::new(),
    };
    for (name, why) in &snapshot.skipped {
        b.warn(None, 0, format!("{name}: {why}"));
    }
    for (i, f) in snapshot.files.iter().enumerate() {
        if f.lossy {
            b.warn(
                Some(file_id(i)),
                0,
                "holds bytes that are not UTF-8; they were replaced".into(),
            );
        }
    }
    let of = |kind: Kind| {
        snapshot
            .files
            .iter()
            .enumerate()
            .filter(move |(_, f)| f.kind == kind)
            .map(|(i, f)| (file_id(i), f.text.as_str()))
            .collect::<Vec<_>>()
    };
    for (file, _) in of(Kind::Nft) {
        b.warn(
            Some(file),
            0,
            "native nftables rules are not simulated; rules of iptables-nft are taken from iptables-save".into(),
        );
    }

    b.links(&of(Kind::Link));
    let objects = b.nexthops(&of(Kind::Nexthop));
    let mut fib4 = Fib::default();
    let mut fib6 = Fib::default();
    b.routes(
        &of(Kind::Route),
        &of(Kind::RouteN),
        &objects,
        &mut fib4,
        &mut fib6,
    );
    b.derive_local(&mut fib4, &mut fib6);
    b.rules(&of(Kind::Rule), &mut fib4, &mut fib6);
    fib4.names.clone_from(&b.table_names);
    fib6.names.clone_from(&b.table_names);
    b.captured.neigh = !of(Kind::Neigh).is_empty();
    let netfilter = b.netfilter(&of(Kind::IptablesSave), &of(Kind::IptablesListing));
    let sets = b.sets(&of(Kind::Ipset));
    let ipvs = b.ipvs(&of(Kind::Ipvs));
    let sysctls = b.sysctls(&of(Kind::Sysctl));
    let conntrack = b.conntrack(&of(Kind::Conntrack));
    Node {
        files: b.files,
        captured: b.captured,
        devices: b.devices,
        fib4,
        fib6,
        netfilter,
        sets,
        ipvs,
        sysctls,
        conntrack,
        warnings: b.warnings,
    }
}

fn file_id(i: usize) -> FileId {
    FileId(u16::try_from(i).unwrap_or(u16::MAX))
}

fn owned(c: &Cow<'_, str>) -> String {
    c.clone().into_owned()
}

impl<'a> Builder<'a> {
    fn warn(&mut self, file: Option<FileId>, line: u32, message: String) {
        self.warnings.push(Warning {
            file,
            line,
            columns: None,
            message,
            help: None,
        });
    }

    fn take<T>(&mut self, file: FileId, parsed: Parsed<T>) -> T {
        let text = self.files.get(usize::from(file.0)).map_or("", |f| f.text);
        for d in parsed.diagnostics {
            self.warnings.push(warning_of(text, file, &d));
        }
        parsed.value
    }

    fn dev(&mut self, name: &str) -> DevId {
        if let Some(d) = self.names.get(name) {
            return *d;
        }
        let id = DevId(u16::try_from(self.devices.len()).unwrap_or(u16::MAX));
        self.devices.push(Device {
            index: 0,
            name: name.to_owned(),
            altnames: Vec::new(),
            kind: None,
            link_type: None,
            mac: None,
            flags: Vec::new(),
            group: None,
            mtu: None,
            master: None,
            peer: Peer::None,
            info: Default::default(),
            xdp: None,
            addrs: Vec::new(),
            origin: Origin::default(),
            known: false,
        });
        self.names.insert(name.to_owned(), id);
        id
    }

    fn links(&mut self, files: &[(FileId, &'a str)]) {
        let mut by_index: BTreeMap<u32, Vec<(FileId, Link<'a>)>> = BTreeMap::new();
        for (file, text) in files {
            let links = self.take(*file, nfwhy_parsers::iproute::link::parse(text));
            for l in links {
                by_index.entry(l.index).or_default().push((*file, l));
            }
        }
        self.captured.links = !by_index.is_empty();
        // Devices first, so that masters find theirs whatever the order.
        for list in by_index.values() {
            if let Some((_, l)) = list.first() {
                self.dev(&l.name);
            }
        }
        for (index, list) in by_index {
            let Some(name) = list.first().map(|(_, l)| l.name.clone()) else {
                continue;
            };
            let id = self.dev(&name);
            for (file, l) in list {
                if l.name != name {
                    self.warn(
                        Some(file),
                        l.line,
                        format!("device {index} is called {} here and {name} elsewhere; the captures are of different moments or nodes", l.name),
                    );
                }
                self.merge_link(id, file, &l);
            }
        }
    }

    fn merge_link(&mut self, id: DevId, file: FileId, l: &Link<'a>) {
        let master = l.master.as_deref().map(|m| self.dev(m));
        let origin = Origin { file, line: l.line };
        let d = &mut self.devices[usize::from(id.0)];
        if !d.known {
            d.origin = origin;
        }
        d.known = true;
        d.index = l.index;
        let fill = |slot: &mut Option<String>, v: &Option<Cow<'_, str>>| {
            if slot.is_none() {
                *slot = v.as_ref().map(owned);
            }
        };
        fill(&mut d.kind, &l.kind);
        fill(&mut d.link_type, &l.link_type);
        fill(&mut d.mac, &l.address);
        fill(&mut d.group, &l.group);
        fill(&mut d.xdp, &l.xdp);
        d.mtu = d.mtu.or(l.mtu);
        d.master = d.master.or(master);
        if d.flags.is_empty() {
            d.flags = l.flags.iter().map(owned).collect();
        }
        for a in &l.altnames {
            if !d.altnames.iter().any(|x| x == a) {
                d.altnames.push(owned(a));
            }
        }
        if d.peer == Peer::None {
            d.peer = match &l.peer {
                Peer::None => Peer::None,
                Peer::Unbound => Peer::Unbound,
                Peer::Name(n) => Peer::Name(Cow::Owned(owned(n))),
                Peer::Index(i) => Peer::Index(*i),
            };
        }
        if d.info == Default::default() {
            let i = &l.info;
            d.info = nfwhy_parsers::iproute::link::LinkInfo {
                dev: i.dev.as_ref().map(|x| Cow::Owned(owned(x))),
                rest: i.rest.as_ref().map(|x| Cow::Owned(owned(x))),
                id: i.id,
                local: i.local,
                remote: i.remote,
                dstport: i.dstport,
                learning: i.learning,
                table: i.table,
                external: i.external,
                nf_call_iptables: i.nf_call_iptables,
                nf_call_ip6tables: i.nf_call_ip6tables,
                hairpin: i.hairpin,
            };
        }
        if !l.shows_addresses {
            return;
        }
        let mut contradiction = None;
        for family in [Family::V4, Family::V6] {
            let new: Vec<Addr> = l
                .addresses
                .iter()
                .filter(|a| Family::of(a.local) == family)
                .map(|a| Addr {
                    local: a.local,
                    peer: a.peer.unwrap_or(a.local),
                    prefix_len: a.prefix_len,
                    scope: a.scope,
                    secondary: a.secondary,
                    tentative: a.tentative,
                    deprecated: a.deprecated,
                    temporary: a.temporary,
                    optimistic: a.flags.iter().any(|f| f == "optimistic"),
                    noprefixroute: a.flags.iter().any(|f| f == "noprefixroute"),
                    broadcast: a.broadcast,
                    origin: Origin { file, line: a.line },
                })
                .collect();
            let d = &mut self.devices[usize::from(id.0)];
            let old: Vec<_> = d
                .addrs
                .iter()
                .filter(|a| Family::of(a.local) == family)
                .cloned()
                .collect();
            if old.is_empty() {
                d.addrs.extend(new);
                continue;
            }
            let key = |v: &[Addr]| {
                v.iter()
                    .map(|a| (a.local, a.prefix_len))
                    .collect::<Vec<_>>()
            };
            if !new.is_empty() && key(&old) != key(&new) {
                contradiction = Some(d.name.clone());
                if new.len() > old.len() {
                    d.addrs.retain(|a| Family::of(a.local) != family);
                    d.addrs.extend(new);
                }
            }
        }
        if let Some(name) = contradiction {
            self.warn(
                Some(file),
                l.line,
                format!(
                    "{name} has other addresses here than in another file; the longer list is used"
                ),
            );
        }
        // `ip -4 addr` shows no IPv6 address; a whole capture shows at least one on some device.
        self.captured.addr4 = true;
        if l.addresses
            .iter()
            .any(|a| Family::of(a.local) == Family::V6)
        {
            self.captured.addr6 = true;
        }
    }

    fn nexthops(&mut self, files: &[(FileId, &'a str)]) -> HashMap<u32, NextHopObject<'a>> {
        let mut out = HashMap::new();
        for (file, text) in files {
            for o in self.take(*file, nfwhy_parsers::iproute::nexthop::parse(text)) {
                out.insert(o.id, o);
            }
        }
        out
    }

    fn table_id(&mut self, t: &TableRef<'_>) -> TableId {
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

    fn routes(
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
                let r = self.lower_route(&r, family, table, file, objects);
                target.insert(r);
            }
        }
    }

    fn lower_route(
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
    /// (`fib_add_ifaddr` in net/ipv4/fib_frontend.c, `addrconf_add_ifaddr` in net/ipv6/addrconf.c).
    fn derive_local(&mut self, fib4: &mut Fib, fib6: &mut Fib) {
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
                if need {
                    let t = fib.tables.entry(TableId::LOCAL).or_default();
                    t.insert(local(
                        a.local,
                        family.bits(),
                        RouteType::Local,
                        Scope::HOST,
                        Some(a.local),
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

    fn rules(&mut self, files: &[(FileId, &'a str)], fib4: &mut Fib, fib6: &mut Fib) {
        let mut lists: Vec<(FileId, Option<Family>, Vec<rule::PolicyRule<'a>>)> = Vec::new();
        for (file, text) in files {
            let rules = self.take(*file, rule::parse(text));
            // The text of `ip rule` does not name the family. An address in a rule does; the default table is IPv4's alone.
            let family = rules.iter().find_map(|r| r.family).or_else(|| {
                let has_default = rules
                    .iter()
                    .any(|r| r.action == Action::Lookup(TableRef::DEFAULT));
                has_default.then_some(Family::V4)
            });
            lists.push((*file, family, rules));
        }
        let v4_told = lists.iter().any(|(_, f, _)| *f == Some(Family::V4));
        for (file, family, rules) in lists {
            let family = family.unwrap_or(if v4_told { Family::V6 } else { Family::V4 });
            let (have, seen) = match family {
                Family::V4 => (fib4.rules.len(), self.captured.rule4),
                Family::V6 => (fib6.rules.len(), self.captured.rule6),
            };
            if seen {
                if have != rules.len() {
                    let message =
                        "the rules are captured twice and differ; the longer list is used"
                            .to_owned();
                    self.warn(Some(file), 0, message);
                }
                if have >= rules.len() {
                    continue;
                }
            }
            match family {
                Family::V4 => self.captured.rule4 = true,
                Family::V6 => self.captured.rule6 = true,
            }
            let lowered: Vec<PolicyRule> = rules.iter().map(|r| self.lower_rule(r, file)).collect();
            let fib = match family {
                Family::V4 => &mut *fib4,
                Family::V6 => &mut *fib6,
            };
            fib.rules = lowered;
            fib.rules.sort_by_key(|r| r.priority);
        }
        let default = |priority, table| PolicyRule {
            priority,
            not: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            fwmark: None,
            tos: None,
            ipproto: None,
            sport: None,
            dport: None,
            uidrange: None,
            l3mdev: false,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
            action: PolicyAction::Lookup(table),
            origin: Origin::default(),
        };
        if !self.captured.rule4 {
            fib4.rules = vec![
                default(0, TableId::LOCAL),
                default(32766, TableId::MAIN),
                default(32767, TableId::DEFAULT),
            ];
        }
        if !self.captured.rule6 {
            fib6.rules = vec![default(0, TableId::LOCAL), default(32766, TableId::MAIN)];
        }
        // The kernel makes the VRF rule at 1000 with the first VRF (`vrf_add_fib_rules` in drivers/net/vrf.c).
        if self.devices.iter().any(Device::is_vrf) {
            for (captured, fib) in [(self.captured.rule4, fib4), (self.captured.rule6, fib6)] {
                if !captured {
                    let mut r = default(1000, TableId::MAIN);
                    r.l3mdev = true;
                    r.action = PolicyAction::L3mdev;
                    fib.rules.insert(1, r);
                }
            }
        }
    }

    fn lower_rule(&mut self, r: &rule::PolicyRule<'a>, file: FileId) -> PolicyRule {
        let dev = |b: &Self, n: &Option<Cow<'a, str>>| {
            n.as_ref()
                .map(|n| b.names.get(n.as_ref()).copied().ok_or_else(|| owned(n)))
        };
        let iif = dev(self, &r.iif);
        let oif = dev(self, &r.oif);
        PolicyRule {
            priority: r.priority,
            not: r.not,
            from: r.from,
            to: r.to,
            iif,
            oif,
            fwmark: r.fwmark,
            tos: r.tos,
            ipproto: r.ipproto,
            sport: r.sport,
            dport: r.dport,
            uidrange: r.uidrange,
            l3mdev: r.l3mdev,
            suppress_prefixlength: r.suppress_prefixlength,
            suppress_ifgroup: r.suppress_ifgroup.as_ref().map(owned),
            action: match &r.action {
                Action::Lookup(_) if r.l3mdev => PolicyAction::L3mdev,
                Action::Lookup(t) => PolicyAction::Lookup(self.table_id(t)),
                Action::L3mdev => PolicyAction::L3mdev,
                Action::Goto(p) => PolicyAction::Goto(*p),
                Action::Nop => PolicyAction::Nop,
                Action::Blackhole => PolicyAction::Blackhole,
                Action::Unreachable => PolicyAction::Unreachable,
                Action::Prohibit => PolicyAction::Prohibit,
                Action::Other(t) => PolicyAction::Other(owned(t)),
            },
            origin: Origin { file, line: r.line },
        }
    }

    fn netfilter(
        &mut self,
        saves: &[(FileId, &'a str)],
        listings: &[(FileId, &'a str)],
    ) -> Netfilter<'a> {
        let mut tables: Vec<Table<'a>> = Vec::new();
        for (file, text) in saves {
            for set in self.take(*file, index_all_stub(text)) {
                self.add_rule_set(set, *file, &mut tables);
            }
        }
        for (file, text) in listings {
            let set = self.take(*file, iptables::listing::index(text));
            self.add_rule_set(set, *file, &mut tables);
        }
        tables.sort_by_key(|t| (t.backend, t.family, t.kind));
        for t in &tables {
            match t.family {
                Family::V4 => self.captured.iptables4 = true,
                Family::V6 => self.captured.iptables6 = true,
            }
        }
        self.check_rules(&tables);
        Netfilter { tables }
    }

    fn add_rule_set(
        &mut self,
        set: iptables::RuleSet<'a>,
        file: FileId,
        tables: &mut Vec<Table<'a>>,
    ) {
        let family = set.family.unwrap_or(Family::V4);
        let backend = set.backend.unwrap_or(Backend::Legacy);
        let info = self.files[usize::from(file.0)].clone();
        for t in set.tables {
            let name: Cow<'_, str> = if t.name.is_empty() {
                let guess = guess_table(&t);
                self.warn(
                    Some(file),
                    t.chains.first().map_or(0, |c| c.line),
                    format!(
                        "the text does not name the table; its chains are those of table {guess}"
                    ),
                );
                Cow::Borrowed(guess)
            } else {
                t.name.clone()
            };
            let Some(kind) = TableKind::parse(&name) else {
                self.warn(
                    Some(file),
                    t.line,
                    format!("table {name} is not one of raw, mangle, nat, filter, security; it is left out"),
                );
                continue;
            };
            let line = t.line;
            let table = Table::new(t, kind, family, backend, set.form, (file, &info));
            let old = tables
                .iter()
                .position(|o| o.kind == kind && o.family == family && o.backend == backend);
            let Some(old) = old else {
                tables.push(table);
                continue;
            };
            // The same table twice: a save beats a listing, else the later one is the newer one.
            let keep_old = (tables[old].form_is_save() && set.form != Form::Save)
                || (tables[old].file == file && table.rule_count() == 0);
            let same = tables[old].rule_count() == table.rule_count();
            if !same && set.form == Form::Save {
                let other = self.files[usize::from(tables[old].file.0)].name.clone();
                self.warn(
                    Some(file),
                    line,
                    format!("table {} is captured again (also in {other}:{}) and has {} rules instead of {}; the {} is used", kind.name(), tables[old].line, table.rule_count(), tables[old].rule_count(), if keep_old { "first" } else { "last" }),
                );
            }
            if !keep_old {
                tables[old] = table;
            }
        }
    }

    /// Rules are parsed when a packet enters their chain. A rule set of ordinary size is read whole at once all the same, so
    /// that what is wrong in it is reported whichever chains the packet takes.
    fn check_rules(&mut self, tables: &[Table<'a>]) {
        const EAGER_RULES: usize = 20_000;
        if tables.iter().map(Table::rule_count).sum::<usize>() > EAGER_RULES {
            return;
        }
        for t in tables {
            let text = self.files[usize::from(t.file.0)].text;
            for id in t.chain_ids() {
                for rule in t.rules(id) {
                    self.check_jump(t, rule);
                }
                for d in t.diagnostics(id) {
                    self.warnings.push(warning_of(text, t.file, d));
                }
            }
        }
    }

    fn check_jump(&mut self, t: &Table<'a>, rule: &iptables::Rule<'a>) {
        let (iptables::Target::Jump(name) | iptables::Target::Goto(name)) = &rule.target else {
            return;
        };
        if t.chain(name).is_some() {
            return;
        }
        self.warnings.push(Warning {
            file: Some(t.file),
            line: rule.at.line,
            columns: None,
            message: format!("jumps to {name}, which is neither a chain of table {} in this file nor a known target", t.kind.name()),
            help: Some("the dump is cut, or the target is an extension; the rule's effect is unknown".into()),
        });
    }

    fn sets(&mut self, files: &[(FileId, &'a str)]) -> BTreeMap<String, SetState<'a>> {
        let mut out: BTreeMap<String, SetState<'a>> = BTreeMap::new();
        for (file, text) in files {
            self.captured.sets = true;
            for record in self.take(*file, ipset::parse(text)) {
                if record.kind.is_none() {
                    self.warn(
                        Some(*file),
                        record.line,
                        format!("set {} has the type {}, which is not modelled; whether something is in it is unknown", record.name, record.type_name),
                    );
                }
                let name = owned(&record.name);
                let origin = Origin {
                    file: *file,
                    line: record.line,
                };
                if let Some(old) = out.get(&name) {
                    let (a, b) = (&old.set.record, &record);
                    let count = |r: &ipset::IpSet<'_>| r.members.len();
                    if a.complete && b.complete && count(a) != count(b) {
                        let message = format!(
                            "set {name} has {} members here and {} elsewhere; the longer list is used",
                            count(b),
                            count(a)
                        );
                        self.warn(Some(*file), record.line, message);
                    }
                    if (a.complete, count(a)) >= (record.complete, count(&record)) {
                        continue;
                    }
                }
                out.insert(
                    name,
                    SetState {
                        set: Set::new(record),
                        origin,
                    },
                );
            }
        }
        out
    }

    fn ipvs(&mut self, files: &[(FileId, &'a str)]) -> IpvsState {
        let mut services: Vec<VirtualService> = Vec::new();
        for (file, text) in files {
            self.captured.ipvs = true;
            for v in self.take(*file, ipvs::parse(text)) {
                let new = VirtualService {
                    key: v.key,
                    scheduler: owned(&v.scheduler),
                    flags: v.flags.iter().map(owned).collect(),
                    persistent: v.persistent,
                    ops: v.ops,
                    complete: v.complete,
                    origin: Origin {
                        file: *file,
                        line: v.line,
                    },
                    servers: v
                        .servers
                        .iter()
                        .map(|s| RealServer {
                            addr: s.addr,
                            port: s.port,
                            method: s.method,
                            weight: s.weight,
                            origin: Origin {
                                file: *file,
                                line: s.line,
                            },
                        })
                        .collect(),
                };
                let Some(old) = services.iter_mut().find(|o| o.key == new.key) else {
                    services.push(new);
                    continue;
                };
                let servers = |v: &VirtualService| {
                    let mut s: Vec<_> = v.servers.iter().map(|s| (s.addr, s.port)).collect();
                    s.sort_unstable();
                    s
                };
                let differ = servers(old) != servers(&new);
                let weights = |v: &VirtualService| v.servers.iter().all(|s| s.weight.is_some());
                if (new.complete, new.servers.len(), weights(&new))
                    > (old.complete, old.servers.len(), weights(old))
                {
                    *old = new;
                }
                if differ {
                    self.warn(Some(*file), v.line, "this virtual service has other real servers elsewhere in the snapshot; the longer list is used".into());
                }
            }
        }
        IpvsState { services }
    }

    fn sysctls(&mut self, files: &[(FileId, &'a str)]) -> Sysctls {
        let mut out = Sysctls::default();
        for (file, text) in files {
            self.captured.sysctl = true;
            for s in self.take(*file, sysctl::parse(text)) {
                let origin = Origin {
                    file: *file,
                    line: s.line,
                };
                if let Some((old, at)) = out.set(s.path().join("/"), s.value.to_owned(), origin) {
                    let place = format!("{}:{}", self.files[usize::from(at.file.0)].name, at.line);
                    self.warn(
                        Some(*file),
                        s.line,
                        format!(
                            "{} = {} here, {old} in {place}; the later one is used",
                            s.key, s.value
                        ),
                    );
                }
            }
        }
        out
    }

    fn conntrack(&mut self, files: &[(FileId, &'a str)]) -> Vec<CtEntry> {
        let tuple = |t: &Tuple| match t.icmp {
            Some((ty, code, id)) => CtTuple {
                src: t.src,
                dst: t.dst,
                sport: Some(id),
                dport: Some(u16::from(ty) << 8 | u16::from(code)),
            },
            None => CtTuple {
                src: t.src,
                dst: t.dst,
                sport: t.sport,
                dport: t.dport,
            },
        };
        let mut out: Vec<CtEntry> = Vec::new();
        for (file, text) in files {
            self.captured.conntrack = true;
            for f in self.take(*file, conntrack::parse(text)) {
                let e = CtEntry {
                    proto: f.proto,
                    orig: tuple(&f.orig),
                    reply: tuple(&f.reply),
                    replied: !f.unreplied,
                    assured: f.assured,
                    mark: f.mark,
                    zone: f.zone,
                    state: f.state.as_ref().map(owned),
                    helper: f.helper.as_ref().map(owned),
                    origin: Origin {
                        file: *file,
                        line: f.line,
                    },
                };
                out.push(e);
            }
        }
        out
    }
}

impl Table<'_> {
    fn form_is_save(&self) -> bool {
        !self.from_listing
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

/// `-S` and listings do not name the table; its built-in chains tell.
fn guess_table(t: &iptables::Table<'_>) -> &'static str {
    let has = |n: &str| t.chains.iter().any(|c| c.name == n && c.policy.is_some());
    match (
        has("PREROUTING"),
        has("FORWARD"),
        has("POSTROUTING"),
        has("INPUT"),
    ) {
        (true, true, _, _) | (_, true, true, _) => "mangle",
        (true, _, true, _) | (_, false, true, _) => "nat",
        (true, false, false, false) => "raw",
        (_, true, _, _) => "filter",
        _ => {
            let nat = t.chains.iter().any(|c| {
                matches!(
                    c.name.as_ref(),
                    "KUBE-MARK-MASQ" | "KUBE-POSTROUTING" | "KUBE-LOAD-BALANCER" | "KUBE-NODE-PORT"
                ) || c.name.starts_with("KUBE-SVC-")
                    || c.name.starts_with("KUBE-SEP-")
                    || c.name == "PREROUTING"
            });
            if nat { "nat" } else { "filter" }
        }
    }
}

/// A parser's diagnostic with columns within its line.
fn warning_of(text: &str, file: FileId, d: &Diagnostic) -> Warning {
    let start = (d.span.start as usize).min(text.len());
    let line_start = text.as_bytes()[..start]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |p| p + 1);
    let col = |n: usize| u32::try_from(n.saturating_sub(line_start)).unwrap_or(0);
    Warning {
        file: Some(file),
        line: d.line,
        columns: Some((col(start), col((d.span.end as usize).max(start)))),
        message: d.message.clone(),
        help: d.help.clone(),
    }
}
fn index_all_stub(text: &str) -> Parsed<Vec<iptables::RuleSet<'_>>> {
    let p = iptables::save::index(text);
    Parsed {
        value: vec![p.value],
        diagnostics: p.diagnostics,
    }
}
