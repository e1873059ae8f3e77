//! `ip route show table all`, `ip -6 route`, and `route -n`.

mod json;
mod legacy;
mod print;
mod text;

use super::words::{Line, is_json, own, own_opt};
use super::{Scope, TableRef};
use crate::common::{Family, Parsed, Span, Text};
use std::net::IpAddr;

pub use legacy::parse_route_n;

/// Route type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RouteType {
    /// Unicast, which `ip` does not print.
    #[default]
    Unicast,
    /// Local.
    Local,
    /// Broadcast.
    Broadcast,
    /// Anycast.
    Anycast,
    /// Multicast.
    Multicast,
    /// Dropped silently.
    Blackhole,
    /// Answered with host unreachable.
    Unreachable,
    /// Answered with administratively prohibited.
    Prohibit,
    /// Lookup goes on with the next rule.
    Throw,
    /// NAT; historic.
    Nat,
}

impl RouteType {
    /// The kernel's number (`RTN_*` in `include/uapi/linux/rtnetlink.h`).
    pub fn number(self) -> u8 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
            Self::Broadcast => 3,
            Self::Anycast => 4,
            Self::Multicast => 5,
            Self::Blackhole => 6,
            Self::Unreachable => 7,
            Self::Prohibit => 8,
            Self::Throw => 9,
            Self::Nat => 10,
        }
    }
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Of its addresses; a bare `default via A` takes A's, a bare `default dev X` the command's (`None` where nothing tells).
    pub family: Option<Family>,
    /// Type.
    pub ty: RouteType,
    /// Destination; the unspecified address for `default`, `None` where the family of a `default` is not known.
    pub dst: Option<IpAddr>,
    /// Prefix length; 0 for `default`.
    pub dst_len: u8,
    /// `from` (IPv6 subtrees), with prefix length.
    pub from: Option<(IpAddr, u8)>,
    /// `tos`.
    pub tos: u8,
    /// `table`.
    pub table: TableRef<'a>,
    /// `proto`, as written.
    pub proto: Option<Text<'a>>,
    /// `scope` as printed; `ip` leaves it out where it is global.
    pub scope: Option<Scope>,
    /// `src`.
    pub prefsrc: Option<IpAddr>,
    /// `metric`; `None` = 0 for IPv4, 1024 for IPv6.
    pub metric: Option<u32>,
    /// `nhid`.
    pub nhid: Option<u32>,
    /// `mtu`, and `mtu lock`.
    pub mtu: Option<u32>,
    /// IPv6 `pref`.
    pub pref: Option<Text<'a>>,
    /// `error -113` of unreachable routes and the like.
    pub error: Option<i32>,
    /// Next hops as printed. Empty for blackhole and the like in IPv4; IPv6 prints `dev lo` there, which no packet takes.
    pub nexthops: Vec<NextHop<'a>>,
    /// Everything else as written (`expires`, `realm`, `cache`, `mtu lock 1400`, ...), in the order of the line.
    pub rest: Option<Text<'a>>,
}

impl<'a> Route<'a> {
    /// A line's route with nothing but a destination.
    fn to(line: Line<'a>, dst: Option<IpAddr>, dst_len: u8) -> Self {
        Self {
            line: line.no,
            span: line.span(),
            family: dst.map(Family::of),
            ty: RouteType::Unicast,
            dst,
            dst_len,
            from: None,
            tos: 0,
            table: TableRef::MAIN,
            proto: None,
            scope: None,
            prefsrc: None,
            metric: None,
            nhid: None,
            mtu: None,
            pref: None,
            error: None,
            nexthops: Vec::new(),
            rest: None,
        }
    }
}

/// One next hop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NextHop<'a> {
    /// Gateway; may be IPv6 for an IPv4 route.
    pub via: Option<IpAddr>,
    /// Device.
    pub dev: Option<Text<'a>>,
    /// Weight, from 1.
    pub weight: u32,
    /// `onlink`.
    pub onlink: bool,
    /// `linkdown`.
    pub linkdown: bool,
    /// `dead`.
    pub dead: bool,
    /// What stands behind `encap`, as written: `ip id 5 src 0.0.0.0 dst 192.0.2.9 ttl 0 tos 0`.
    pub encap: Option<Text<'a>>,
    /// Other words of a `nexthop` line as written (`realm 5`, `offload`).
    pub rest: Option<Text<'a>>,
}

impl RouteType {
    /// Names by number: `RTN_*` of linux/rtnetlink.h, spelled as iproute2 `lib/rt_names.c` `rtnl_rtntype_n2a`.
    const NAMES: [(u32, &'static str, Self); 10] = [
        (1, "unicast", Self::Unicast),
        (2, "local", Self::Local),
        (3, "broadcast", Self::Broadcast),
        (4, "anycast", Self::Anycast),
        (5, "multicast", Self::Multicast),
        (6, "blackhole", Self::Blackhole),
        (7, "unreachable", Self::Unreachable),
        (8, "prohibit", Self::Prohibit),
        (9, "throw", Self::Throw),
        (10, "nat", Self::Nat),
    ];

    /// As `ip` spells it.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, _, t)| *t == self)
            .map_or("unicast", |(_, n, _)| n)
    }

    fn by_name(word: &str) -> Option<Self> {
        // Most lines start with an address.
        if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
            return None;
        }
        Self::NAMES
            .iter()
            .find(|(_, n, _)| *n == word)
            .map(|(_, _, t)| *t)
    }

    fn by_number(word: &str) -> Option<Self> {
        let n: u32 = word.parse().ok()?;
        Self::NAMES
            .iter()
            .find(|(x, _, _)| *x == n)
            .map(|(_, _, t)| *t)
    }
}

impl Route<'_> {
    fn into_owned(self) -> Route<'static> {
        Route {
            line: self.line,
            span: self.span,
            family: self.family,
            ty: self.ty,
            dst: self.dst,
            dst_len: self.dst_len,
            from: self.from,
            tos: self.tos,
            table: self.table.into_owned(),
            proto: own_opt(self.proto),
            scope: self.scope,
            prefsrc: self.prefsrc,
            metric: self.metric,
            nhid: self.nhid,
            mtu: self.mtu,
            pref: own_opt(self.pref),
            error: self.error,
            nexthops: self
                .nexthops
                .into_iter()
                .map(|n| NextHop {
                    dev: n.dev.map(own),
                    encap: n.encap.map(own),
                    rest: n.rest.map(own),
                    ..n
                })
                .collect(),
            rest: own_opt(self.rest),
        }
    }
}

/// Reads `ip route` output as text or JSON, with or without `-d`, `-N`, `-o`, `-4`, `-6`, `show table all`.
///
/// Routes keep the order of the text, which is the kernel's, and repeated ones stay. A table that the text does not name is
/// `main`; the output of `ip route show table 100` does not name its table either.
pub fn parse(source: &str) -> Parsed<Vec<Route<'_>>> {
    let mut parsed = if is_json(source) {
        json::parse(source)
    } else {
        text::parse(source)
    };
    settle_families(&mut parsed.value);
    parsed
}

/// Gives a family to each bare `default dev X` or `unreachable default`, which has no address to tell it.
///
/// Kernel and `ip` leave traces: only IPv6 routes carry `pref` (`rt6_fill_node` in net/ipv6/route.c puts `RTA_PREF` into
/// every one), and only IPv4 routes a scope other than global (there `rtm_scope` is always `RT_SCOPE_UNIVERSE`). Else the
/// routes around it decide; a dump holds one family after the other.
fn settle_families(routes: &mut [Route<'_>]) {
    let v6_has_pref = routes
        .iter()
        .any(|r| r.family == Some(Family::V6) && r.pref.is_some());
    for r in routes.iter_mut().filter(|r| r.family.is_none()) {
        if r.pref.is_some() {
            r.family = Some(Family::V6);
        } else if r.scope.is_some_and(|s| s != Scope::GLOBAL) {
            r.family = Some(Family::V4);
        }
    }
    let mut after = vec![None; routes.len()];
    let mut next = None;
    for (r, slot) in routes.iter().zip(after.iter_mut()).rev() {
        next = r.family.or(next);
        *slot = next;
    }
    let mut before = None;
    for (r, after) in routes.iter_mut().zip(after) {
        if r.family.is_none() {
            r.family = match (before, after) {
                (Some(a), Some(b)) if a == b => Some(a),
                (Some(Family::V4), Some(Family::V6)) if v6_has_pref => Some(Family::V4),
                (Some(_), Some(_)) => None,
                (a, b) => a.or(b),
            };
        } else {
            before = r.family;
        }
        if r.dst.is_none() {
            r.dst = r.family.map(Family::unspecified);
        }
    }
}
