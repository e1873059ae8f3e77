//! Routes, next hop objects, and what the kernel's own routes must be where they were not captured.

use super::super::fib::{Fib, FibTable, NextHop, Route, TableId};
use super::super::{DevId, FileId, Origin};
use super::{Builder, owned};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::nexthop::NextHopObject;
use nfwhy_parsers::iproute::route::{self, RouteType};
use nfwhy_parsers::iproute::{Scope, TableRef};
use std::collections::{BTreeMap, HashMap};

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
