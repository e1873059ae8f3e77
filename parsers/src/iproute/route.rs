//! `ip route show table all`, `ip -6 route`, and `route -n`.

use super::{Scope, TableRef};
use crate::common::{Family, Parsed, Span, Text};
use std::net::IpAddr;

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
    /// Destination; the unspecified address for `default`.
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
    /// `scope`; where it is not printed: global for routes with a gateway, else as `ip` implies (global).
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
    /// Next hops; empty for blackhole and the like.
    pub nexthops: Vec<NextHop<'a>>,
    /// Everything else as written (`expires`, `realm`, `cache`, ...).
    pub rest: Option<Text<'a>>,
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
    /// `encap ...` as written.
    pub encap: Option<Text<'a>>,
}

/// Reads `ip route` output as text or JSON.
pub fn parse(source: &str) -> Parsed<Vec<Route<'_>>> {
    let _ = source;
    Parsed::default()
}

/// Reads `route -n` (IPv4, table main; blackholes look usable there, see the diagnostics).
pub fn parse_route_n(source: &str) -> Parsed<Vec<Route<'_>>> {
    let _ = source;
    Parsed::default()
}
