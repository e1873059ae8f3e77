//! To whom a VXLAN device sends: by the hardware address of the next hop, as the kernel does, or else by what the other nodes have.

use super::Cluster;
use crate::node::{DevId, Device};
use nfwhy_parsers::iproute::{fdb, neigh};
use nfwhy_parsers::recognise::Kind;
use std::net::IpAddr;

/// The other end of a VXLAN for a packet.
pub(super) enum FarEnd {
    /// It is at this address.
    At {
        addr: IpAddr,
        /// Where the entry names one of its own.
        port: Option<u16>,
        /// By what that is known.
        how: &'static str,
    },
    /// It cannot be told, or there is none.
    Unknown(String),
}

/// What the forwarding database says of a hardware address.
enum Told {
    Nothing,
    End(IpAddr, Option<u16>),
    /// Sent to each of them.
    All(Vec<IpAddr>),
    Unknown(String),
}

impl Cluster<'_> {
    /// The other end of a VXLAN for a next hop: what the forwarding database says, what the device names, else the node whose VXLAN device
    /// has the hardware address that the neighbour table tells, else the one whose device has the next hop's address.
    pub(super) fn far_end(&self, place: usize, dev: &Device, id: DevId, hop: IpAddr) -> FarEnd {
        let Some(p) = self.places.get(place) else {
            return FarEnd::Unknown("it has no place".to_owned());
        };
        let name = &p.node.device(id).name;
        let mac = self.neighbour(place, name, hop);
        let at = |addr, how| FarEnd::At {
            addr,
            port: None,
            how,
        };
        let told = match &mac {
            // One that is told by each packet where to send does not look there (`vxlan_xmit`).
            Some(mac) if !dev.info.external => self.forwarding(place, dev, name, mac),
            _ => Told::Nothing,
        };
        let all = match told {
            Told::End(addr, port) => {
                return FarEnd::At {
                    addr,
                    port,
                    how: "by the forwarding database",
                };
            }
            Told::Unknown(why) => return FarEnd::Unknown(why),
            Told::All(list) => Some(list),
            Told::Nothing => None,
        };
        if all.is_none()
            && let Some(remote) = dev.info.remote
            && !remote.is_unspecified()
            && !remote.is_multicast()
        {
            return at(remote, "the device names it");
        }
        let found = self.far_end_guessed(place, dev, mac.as_deref(), hop);
        match (found, all) {
            (Some((addr, _)), Some(list)) if list.contains(&addr) => at(
                addr,
                "one of those to which the forwarding database has all sent",
            ),
            (_, Some(list)) => FarEnd::Unknown(format!(
                "{name} has no entry for {} and sends to {} other ends: which of them is {hop} is not known",
                mac.unwrap_or_default(),
                list.len()
            )),
            (Some((addr, how)), None) => at(addr, how),
            (None, None) => FarEnd::Unknown(format!(
                "where {name} sends packets for {hop} is not known: no captured node has that address on a VXLAN device of the same id, and `bridge fdb show` was not captured"
            )),
        }
    }

    /// By what other nodes have.
    fn far_end_guessed(
        &self,
        place: usize,
        dev: &Device,
        mac: Option<&str>,
        hop: IpAddr,
    ) -> Option<(IpAddr, &'static str)> {
        let of_same_id = |place: usize, d: DevId| {
            let far = self.places.get(place)?.node.device(d);
            let same = far.tunnel() == Some("vxlan")
                && (far.info.id == dev.info.id || far.info.external || dev.info.external);
            same.then_some(far)
        };
        if let Some(mac) = mac
            && let Some(o) = self.link_of_mac(mac).filter(|o| o.place != place)
            && let Some(far) = of_same_id(o.place, o.dev)
            && let Some(local) = self.underlay(o.place, far)
        {
            return Some((local, "by its hardware address"));
        }
        let o = self
            .holders(hop)
            .into_iter()
            .find(|o| o.place != place && of_same_id(o.place, o.dev).is_some())?;
        let far = of_same_id(o.place, o.dev)?;
        Some((self.underlay(o.place, far)?, "by the next hop's address"))
    }

    /// `vxlan_xmit` (`drivers/net/vxlan/vxlan_core.c`): the entry of the address (`vxlan_find_mac`), else that of all zeros, to each of
    /// whose ends the packet is sent; without either it is dropped.
    fn forwarding(&self, place: usize, dev: &Device, name: &str, mac: &str) -> Told {
        let Some(p) = self.places.get(place) else {
            return Told::Nothing;
        };
        let files = &p.member.snapshot.files;
        let mut entries = Vec::new();
        for f in files.iter().filter(|f| f.kind == Kind::Fdb) {
            let theirs = fdb::parse(&f.text).value;
            entries.extend(theirs.into_iter().filter(|e| e.dev == *name));
        }
        // Where the device has none at all, its part of the output may be missing.
        entries.retain(|e| {
            e.flags.iter().any(|w| w == "self")
                && e.src_vni
                    .is_none_or(|v| dev.info.id.is_none_or(|id| id == v))
        });
        if entries.is_empty() {
            return Told::Nothing;
        }
        let of_it: Vec<_> = entries
            .iter()
            .filter(|e| e.mac.eq_ignore_ascii_case(mac))
            .collect();
        let ends = if of_it.is_empty() {
            entries.iter().filter(|e| e.is_default()).collect()
        } else {
            of_it
        };
        if let Some(n) = ends.iter().find_map(|e| e.nhid) {
            return Told::Unknown(format!(
                "{name} sends packets for {mac} to next hop object {n}, which is not followed"
            ));
        }
        let unicast: Vec<_> = ends
            .iter()
            .filter_map(|e| Some((e.dst.filter(|d| !d.is_multicast())?, e.port)))
            .collect();
        match unicast.as_slice() {
            [(addr, port)] => Told::End(*addr, *port),
            [] if ends.is_empty() => {
                let learns = if dev.info.learning == Some(false) {
                    ""
                } else {
                    ", unless it has learned one since"
                };
                Told::Unknown(format!(
                    "the forwarding database of {name} has no entry for {mac} and none for all: the kernel drops the packet{learns}"
                ))
            }
            // A multicast group.
            [] => Told::Nothing,
            several => Told::All(several.iter().map(|(a, _)| *a).collect()),
        }
    }

    /// The address at which a VXLAN device receives.
    fn underlay(&self, place: usize, far: &Device) -> Option<IpAddr> {
        let node = &self.places.get(place)?.node;
        if let Some(local) = far.info.local.filter(|l| !l.is_unspecified()) {
            return Some(local);
        }
        let lower = far.info.dev.as_deref()?;
        let lower = node.device(node.device_by_name(lower)?);
        lower.addrs.first().map(|a| a.local)
    }

    /// What the neighbour table of a place tells of an address.
    fn neighbour(&self, place: usize, dev: &str, addr: IpAddr) -> Option<String> {
        let files = &self.places.get(place)?.member.snapshot.files;
        files
            .iter()
            .filter(|f| f.kind == Kind::Neigh)
            .find_map(|f| {
                let list = neigh::parse(&f.text).value;
                let n = list
                    .into_iter()
                    .find(|n| n.addr == addr && (n.dev.is_empty() || n.dev == dev))?;
                n.lladdr.map(|m| m.to_string())
            })
    }
}
