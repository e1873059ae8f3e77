//! Whose an address is: the node's own, a broadcast, somebody else's.

use super::route::{Lookup, RouteKey, TableResult};
use super::run::Run;
use crate::node::{DevId, Origin, TableId};
use crate::trace::ForkKind;
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::route::RouteType;
use std::net::IpAddr;

impl Run<'_, '_> {
    /// Whether the capture tells which addresses of this one's family are the node's own.
    pub(super) fn knows_addresses(&self, addr: IpAddr) -> bool {
        let c = self.node.captured;
        let all = !self.node.in_part.links;
        match Family::of(addr) {
            Family::V4 => c.addr4 && all || c.local4 && !self.node.in_part.routes,
            Family::V6 => c.addr6 && all || c.local6 && !self.node.in_part.routes,
        }
    }

    /// Why it does not.
    pub(super) fn why_addresses_unknown(&self) -> &'static str {
        if self.node.in_part.links {
            "not all devices are shown"
        } else {
            "none were captured"
        }
    }

    /// Where neither addresses nor the local table were captured, the destination may be the node's own: both are followed.
    pub(super) fn perhaps_local(&mut self, addr: IpAddr) -> Option<Lookup> {
        if self.knows_addresses(addr) || addr != self.packet.dst || self.outer {
            return None;
        }
        let why = self.why_addresses_unknown();
        if self.node.in_part.links {
            self.lacks("addresses of the other devices", "ip -d addr");
        }
        let own = self.fork_unknown(
            ForkKind::Unknown(format!("whether {addr} is this node's")),
            &format!("local {addr}"),
            false,
            &format!("{addr} is an address of this node ({why})"),
            &format!("{addr} is not an address of this node ({why})"),
        );
        own.then(|| Lookup {
            ty: RouteType::Local,
            nexthops: Vec::new(),
            all_devs: Vec::new(),
            prefsrc: None,
            scope: Scope::HOST,
            dst_len: Family::of(addr).bits(),
            table: TableId::LOCAL,
            mtu: None,
            origin: Origin::default(),
        })
    }

    /// `__inet_dev_addr_type` (`net/ipv4/fib_frontend.c)`: what the local table says of an address, on `dev` if given.
    pub(super) fn addr_type4(&mut self, addr: IpAddr, dev: Option<DevId>) -> RouteType {
        let IpAddr::V4(a) = addr else {
            return RouteType::Unicast;
        };
        if a.is_unspecified() || a.is_broadcast() {
            return RouteType::Broadcast;
        }
        if a.is_multicast() {
            return RouteType::Multicast;
        }
        match self.local_table(addr) {
            Some(l) => {
                let on = l.all_devs.first().copied();
                if dev.is_none() || dev == on {
                    l.ty
                } else {
                    RouteType::Unicast
                }
            }
            None => RouteType::Unicast,
        }
    }

    /// The route for an address in table local alone.
    pub(super) fn local_table(&mut self, addr: IpAddr) -> Option<Lookup> {
        let key = RouteKey::bare(addr);
        match self.table_lookup(TableId::LOCAL, &key) {
            TableResult::Found(l) => Some(l),
            _ => self.perhaps_local(addr),
        }
    }

    /// Whether a device has an address.
    pub(super) fn has_address(&self, dev: DevId, addr: IpAddr) -> bool {
        let mut addrs = self.node.device(dev).addrs.iter();
        match self.watched(addr) {
            None => addrs.any(|a| a.local == addr),
            Some(r) => addrs.fold(false, |found, a| {
                r.meets(a.local);
                found || a.local == addr
            }),
        }
    }

    /// Whether an address is one of the node's own.
    pub(super) fn is_local_addr(&mut self, addr: IpAddr) -> bool {
        self.local_table(addr)
            .is_some_and(|l| matches!(l.ty, RouteType::Local | RouteType::Anycast))
    }
}
