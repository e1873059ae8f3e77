//! Who answers ARP for an address that kube-proxy's IPVS mode puts on every node.

use super::path::setting;
use super::{Case, Code, Finding, Rank, place};
use crate::node::{DevId, Node};
use crate::trace::Origin;
use nfwhy_parsers::Family;
use nfwhy_parsers::common::Masked;
use std::net::IpAddr;

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    let packet = &case.trace.packet;
    let Origin::Device(came) = packet.origin else {
        return None;
    };
    let holder = node.devices.iter().find(|d| {
        d.name.starts_with("kube-ipvs") && d.addrs.iter().any(|a| a.local == packet.dst)
    })?;
    if packet.family() != Family::V4
        || place::leads_to_pods(node, came)
        || !on_link(node, came, packet.dst)
    {
        return None;
    }
    let name = &node.devices.get(usize::from(came.0))?.name;
    // The larger of the two counts (`IN_DEV_ARP_IGNORE`, include/linux/inetdevice.h).
    let value = |dev: &str| {
        node.sysctls
            .get(&format!("net/ipv4/conf/{dev}/arp_ignore"))
            .map(|(v, _)| v)
    };
    let (all, own) = (value("all")?, value(name)?);
    if all.max(own) != 0 {
        return None;
    }
    let mut f = Finding::new(
        Code::StrictArpOff,
        format!(
            "every node that has {} on {} answers ARP for it at {name} (arp_ignore = 0): which of them gets the packet is chance",
            packet.dst, holder.name
        ),
    );
    f.blame(setting(node, "net.ipv4.conf.all.arp_ignore"));
    f.blame(setting(node, &format!("net.ipv4.conf.{name}.arp_ignore")));
    f.advise("kube-proxy: ipvs.strictARP: true (it sets net.ipv4.conf.all.arp_ignore=1 and arp_announce=2); MetalLB and others that announce in layer 2 need it");
    Some((Rank::Remark, f))
}

/// Whether hosts at the device ask for the address by ARP: it lies in a subnet of the device.
fn on_link(node: &Node<'_>, dev: DevId, addr: IpAddr) -> bool {
    node.devices.get(usize::from(dev.0)).is_some_and(|d| {
        d.addrs.iter().any(|a| {
            Family::of(a.local) == Family::of(addr)
                && Masked::prefix(a.local, a.prefix_len).contains(addr)
        })
    })
}
