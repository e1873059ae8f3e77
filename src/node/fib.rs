//! Routing tables and the routing policy database.

use super::{DevId, Origin};
use nfwhy_parsers::common::{MarkMask, bits};
use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::{Family, Proto, Range};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::OnceLock;

/// Number of a routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

impl TableId {
    /// `local`.
    pub const LOCAL: Self = Self(255);
    /// `main`.
    pub const MAIN: Self = Self(254);
    /// `default`.
    pub const DEFAULT: Self = Self(253);
}

/// Routing of one family.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    /// Rules by priority, in the order of the kernel's list.
    pub rules: Vec<PolicyRule>,
    /// Tables.
    pub tables: BTreeMap<TableId, FibTable>,
    /// Names of tables whose number is not known.
    pub names: HashMap<TableId, String>,
    /// There is a local route that somebody added, not the kernel for an address.
    pub custom_local: bool,
}

/// One table: prefixes from the longest to the shortest.
#[derive(Clone, Debug, Default)]
pub struct FibTable {
    /// By prefix length, longest first.
    lens: Vec<(u8, HashMap<u128, Vec<Route>>)>,
    /// Number of routes.
    pub len: usize,
    edges: OnceLock<Vec<u128>>,
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Type.
    pub ty: RouteType,
    /// Destination prefix.
    pub dst: IpAddr,
    /// Its length.
    pub dst_len: u8,
    /// IPv6 source prefix.
    pub from: Option<(IpAddr, u8)>,
    /// TOS; 0 = any.
    pub tos: u8,
    /// Metric.
    pub metric: u32,
    /// Scope.
    pub scope: Scope,
    /// `src`.
    pub prefsrc: Option<IpAddr>,
    /// Table.
    pub table: TableId,
    /// Next hops.
    pub nexthops: Vec<NextHop>,
    /// A next hop object that drops.
    pub blackhole_nexthop: bool,
    /// MTU.
    pub mtu: Option<u32>,
    /// IPv6 router preference: 1 high, 0 medium, -1 low.
    pub pref: i8,
    /// `error` the route answers with, where printed.
    pub error: Option<i32>,
    /// Where it was read.
    pub origin: Origin,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq)]
pub struct NextHop {
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Device.
    pub dev: DevId,
    /// Weight.
    pub weight: u32,
    /// `onlink`.
    pub onlink: bool,
    /// `dead`.
    pub dead: bool,
    /// `linkdown`.
    pub linkdown: bool,
    /// Lightweight tunnel, as printed.
    pub encap: Option<String>,
}

/// A rule of the routing policy database.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRule {
    /// Priority.
    pub priority: u32,
    /// `not`.
    pub not: bool,
    /// `from`.
    pub from: Option<(IpAddr, u8)>,
    /// `to`.
    pub to: Option<(IpAddr, u8)>,
    /// `iif`: a device, or `Err(name)` where it does not exist (detached: never matches).
    pub iif: Option<Result<DevId, String>>,
    /// `oif`.
    pub oif: Option<Result<DevId, String>>,
    /// `fwmark`.
    pub fwmark: Option<MarkMask>,
    /// `tos`.
    pub tos: Option<u8>,
    /// `ipproto`.
    pub ipproto: Option<Proto>,
    /// `sport`.
    pub sport: Option<Range<u16>>,
    /// `dport`.
    pub dport: Option<Range<u16>>,
    /// `uidrange`.
    pub uidrange: Option<Range<u32>>,
    /// `l3mdev`.
    pub l3mdev: bool,
    /// `suppress_prefixlength`.
    pub suppress_prefixlength: Option<u32>,
    /// `suppress_ifgroup`.
    pub suppress_ifgroup: Option<String>,
    /// What it does.
    pub action: PolicyAction,
    /// Where it was read; line 0 for the defaults.
    pub origin: Origin,
}

/// What a policy rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyAction {
    /// Look the table up.
    Lookup(TableId),
    /// The VRF's table.
    L3mdev,
    /// Go on at the rule with this priority.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drop.
    Blackhole,
    /// Network unreachable.
    Unreachable,
    /// Administratively prohibited.
    Prohibit,
    /// Not understood.
    Other(String),
}

impl FibTable {
    /// Adds a route behind those of the same prefix, ordered as the kernel orders aliases: TOS downwards, metric upwards
    /// (`fib_find_alias` in `net/ipv4/fib_trie.c`); equal ones keep the order given.
    pub fn insert(&mut self, route: Route) {
        let family = Family::of(route.dst);
        let key = prefix(bits(route.dst), route.dst_len, family);
        let at = match self.lens.binary_search_by(|(l, _)| route.dst_len.cmp(l)) {
            Ok(i) => i,
            Err(i) => {
                self.lens.insert(i, (route.dst_len, HashMap::new()));
                i
            }
        };
        let list = self.lens[at].1.entry(key).or_default();
        let pos = list
            .iter()
            .position(|r| {
                (r.tos, std::cmp::Reverse(r.metric)) < (route.tos, std::cmp::Reverse(route.metric))
            })
            .unwrap_or(list.len());
        list.insert(pos, route);
        self.len += 1;
        self.edges = OnceLock::new();
    }

    /// Candidate routes for an address: prefix by prefix, longest first.
    pub fn candidates(&self, addr: IpAddr) -> impl Iterator<Item = &[Route]> {
        let family = Family::of(addr);
        let a = bits(addr);
        self.lens
            .iter()
            .filter_map(move |(len, map)| map.get(&prefix(a, *len, family)).map(Vec::as_slice))
    }

    /// Where the table's prefixes begin, and where what follows them does, in order: between two of these all addresses have the same
    /// candidates.
    pub fn edges(&self, family: Family) -> &[u128] {
        self.edges.get_or_init(|| {
            let width = u32::from(family.bits());
            let mut out = vec![0];
            for (len, map) in &self.lens {
                let drop = width.saturating_sub(u32::from(*len));
                for key in map.keys() {
                    let (Some(lo), Some(next)) = (key.checked_shl(drop), key.checked_add(1)) else {
                        continue;
                    };
                    out.push(lo);
                    // The last prefix has nothing behind it.
                    if next.checked_shr(u32::from(*len)).unwrap_or(0) == 0 {
                        out.push(next << drop);
                    }
                }
            }
            out.sort_unstable();
            out.dedup();
            out
        })
    }

    /// All routes, longest prefix first, in no order within a length.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.lens
            .iter()
            .flat_map(|(_, m)| m.values().flat_map(|v| v.iter()))
    }
}

fn prefix(a: u128, len: u8, family: Family) -> u128 {
    let drop = u32::from(family.bits().saturating_sub(len));
    if drop >= 128 { 0 } else { a >> drop }
}

impl Fib {
    /// How `ip` names a table.
    pub fn table_name(&self, id: TableId) -> String {
        match id {
            TableId::LOCAL => "local".into(),
            TableId::MAIN => "main".into(),
            TableId::DEFAULT => "default".into(),
            TableId(n) => self
                .names
                .get(&id)
                .cloned()
                .unwrap_or_else(|| n.to_string()),
        }
    }
}
