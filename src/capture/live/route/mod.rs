//! Devices, addresses, routes, policy rules, neighbours and next hop objects, from rtnetlink.
//!
//! Printed as iproute2 6.1 prints them, whose files in `/etc/iproute2` give tables and protocols their names.

mod dump;
mod encap;
mod fdb;
mod kinds;
mod links;
mod names;
mod neighbours;
mod nexthops;
mod options;
mod routes;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod tunnels;

use super::Reading;
use super::attr::{Numbers as _, find};
use super::socket::Refusal;
use names::Names;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourMessage};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

pub(super) use dump::{Message, Rtnl};
pub(super) use links::Xdp;
pub(super) use text::Devices;

pub(super) fn read(reading: &mut Reading) {
    let rtnl = match Rtnl::open() {
        Ok(r) => r,
        Err(e) => {
            for (what, command) in [
                ("devices and addresses", "ip -d addr"),
                ("routes", "ip route show table all"),
                ("policy rules", "ip rule"),
                ("neighbours", "ip neigh"),
                ("forwarding databases", "bridge fdb show"),
                ("next hop objects", "ip nexthop"),
            ] {
                reading.cannot(what, &e, command);
            }
            return;
        }
    };
    let names = Names::of_this_machine();
    let devices = match devices_and_addresses(&rtnl, &names) {
        Ok((text, devices)) => {
            reading.put("ip-addr", "ip -d addr", Kind::Link, text);
            devices
        }
        Err(e) => {
            reading.cannot("devices and addresses", &e, "ip -d addr");
            Devices::default()
        }
    };
    match rtnl.dump(&all_routes()) {
        Ok(all) => {
            // Without -4, `ip route show table all` shows IPv6 as well (`iproute_list_flush_or_save` in ip/iproute.c).
            let text = routes::print(&all, None, &devices, &names);
            reading.put("ip-route", "ip route show table all", Kind::Route, text);
            let text = routes::print(&all, Some(text::AF_INET6), &devices, &names);
            reading.put(
                "ip-6-route",
                "ip -6 route show table all",
                Kind::Route,
                text,
            );
        }
        Err(e) => reading.cannot("routes", &e, "ip route show table all"),
    }
    for (family, name, what, command) in [
        (
            AddressFamily::Inet,
            "ip-rule",
            "policy rules (IPv4)",
            "ip rule",
        ),
        (
            AddressFamily::Inet6,
            "ip-6-rule",
            "policy rules (IPv6)",
            "ip -6 rule",
        ),
    ] {
        match or_none(rtnl.dump(&rules_of(family))) {
            Ok(all) => reading.put(name, command, Kind::Rule, rules::print(&all, &names)),
            Err(e) => reading.cannot(what, &e, command),
        }
    }
    match all_neighbours(&rtnl) {
        Ok(all) => {
            let text = neighbours::print(&all, &devices, &names);
            reading.put(
                "ip-neigh",
                "ip neigh; ip neigh show proxy",
                Kind::Neigh,
                text,
            );
        }
        Err(e) => reading.cannot("neighbours", &e, "ip neigh"),
    }
    match or_none(rtnl.dump(&forwarding_entries())) {
        Ok(all) => {
            let text = fdb::print(&all, &devices);
            reading.put("bridge-fdb", "bridge fdb show", Kind::Fdb, text);
        }
        Err(e) => reading.cannot("forwarding databases", &e, "bridge fdb show"),
    }
    match or_none(rtnl.dump(&next_hop_objects())) {
        Ok(all) => {
            let text = nexthops::print(&all, &devices, &names);
            reading.put("ip-nexthop", "ip nexthop", Kind::Nexthop, text);
        }
        Err(e) => reading.cannot("next hop objects", &e, "ip nexthop"),
    }
}

/// A kernel that does not know what is asked for has none of it: IPv6 that is left out, next hop objects before Linux 5.3.
fn or_none(dump: Result<Vec<Message>, Refusal>) -> Result<Vec<Message>, Refusal> {
    match dump {
        Err(Refusal::Os(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)) => Ok(Vec::new()),
        other => other,
    }
}

fn all_links() -> Message {
    let mut request = LinkMessage::default();
    // As `ip` asks, but for the counters, which would be most of the answer.
    let mask = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
    request.attributes.push(LinkAttribute::ExtMask(mask));
    Message::of(&RouteNetlinkMessage::GetLink(request))
}

fn all_addresses() -> Message {
    Message::of(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))
}

fn all_routes() -> Message {
    Message::of(&RouteNetlinkMessage::GetRoute(RouteMessage::default()))
}

fn rules_of(family: AddressFamily) -> Message {
    let mut request = RuleMessage::default();
    request.header.family = family;
    Message::of(&RouteNetlinkMessage::GetRule(request))
}

fn next_hop_objects() -> Message {
    Message {
        kind: nexthops::GETNEXTHOP,
        payload: vec![0; nexthops::HEADER],
    }
}

fn all_neighbours(rtnl: &Rtnl) -> Result<Vec<Message>, Refusal> {
    let mut request = NeighbourMessage::default();
    let mut all = rtnl.dump(&Message::of(&RouteNetlinkMessage::GetNeighbour(
        request.clone(),
    )))?;
    // Proxy entries come only where they are asked for (`neigh_dump_info` in net/core/neighbour.c).
    request.header.flags = NeighbourFlags::Proxy;
    all.extend(rtnl.dump(&Message::of(&RouteNetlinkMessage::GetNeighbour(request)))?);
    Ok(all)
}

/// Those of all devices (`rtnl_fdb_dump` in net/core/rtnetlink.c).
fn forwarding_entries() -> Message {
    let mut request = NeighbourMessage::default();
    request.header.family = AddressFamily::from(fdb::AF_BRIDGE);
    Message::of(&RouteNetlinkMessage::GetNeighbour(request))
}

fn devices_and_addresses(rtnl: &Rtnl, names: &Names) -> Result<(String, Devices), Refusal> {
    let links = rtnl.dump(&all_links())?;
    let addresses = rtnl.dump(&all_addresses())?;
    let devices = links::devices(&links);
    let namespaces = if links::name_other_namespaces(&links) {
        other_namespaces(rtnl)
    } else {
        HashMap::new()
    };
    let text = links::print(&links, &addresses, &devices, &namespaces, names);
    Ok((text, devices))
}

/// The named namespaces by the number that this one knows them by; `netns_map_init` in ip/ipnetns.c.
fn other_namespaces(rtnl: &Rtnl) -> HashMap<i32, String> {
    /// `RTM_GETNSID`, and `NETNSA_NSID` and `NETNSA_FD` of `linux/net_namespace.h`.
    const GETNSID: u16 = 90;
    const NSID: u16 = 1;
    const FD: u16 = 3;
    let mut all = HashMap::new();
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return all;
    };
    for entry in entries.flatten() {
        let Ok(file) = fs::File::open(entry.path()) else {
            continue;
        };
        let fd = file.as_raw_fd().cast_unsigned();
        // `struct rtgenmsg`, padded, and the attribute.
        let mut payload = vec![0; 4];
        payload.extend_from_slice(&8u16.to_ne_bytes());
        payload.extend_from_slice(&FD.to_ne_bytes());
        payload.extend_from_slice(&fd.to_ne_bytes());
        let request = Message {
            kind: GETNSID,
            payload,
        };
        let id = rtnl.get(&request).ok().flatten().and_then(|m| {
            let id = find(m.payload.get(4..)?, NSID)?.u32(0)?;
            Some(id.cast_signed())
        });
        if let Some(id) = id.filter(|id| *id >= 0) {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.entry(id).or_insert(name);
        }
    }
    all
}

/// The XDP programs of this namespace, and its devices.
pub(super) fn xdp(rtnl: &Rtnl) -> Result<(Vec<(u32, Xdp)>, Devices), Refusal> {
    let links = rtnl.dump(&all_links())?;
    Ok((links::xdp(&links).collect(), links::devices(&links)))
}

/// The addresses of this thread's namespace: device, address, prefix length.
pub(in crate::capture) fn addresses() -> Result<Vec<(String, IpAddr, u8)>, String> {
    let list = || -> Result<Vec<(String, IpAddr, u8)>, Refusal> {
        let rtnl = Rtnl::open()?;
        let devices = links::devices(&rtnl.dump(&all_links())?);
        let found = rtnl.dump(&all_addresses())?;
        let one = |m: &Message| {
            let tb = text::Attributes::<4>::of(m.payload.get(8..)?);
            let ip = text::address(m.payload.u8(0)?, tb.get(2).or(tb.get(1))?)?;
            let device = devices.name(m.payload.u32(4)?).to_string();
            Some((device, ip, m.payload.u8(1)?))
        };
        Ok(found.iter().filter_map(one).collect())
    };
    list().map_err(|e| e.to_string())
}
