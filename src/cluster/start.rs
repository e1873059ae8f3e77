//! At which node a packet begins.

use super::Cluster;
use crate::explain::place::leads_to_pods;
use crate::node::DevId;
use crate::sim;
use nfwhy_parsers::Family;
use nfwhy_parsers::common::bits;
use std::net::IpAddr;

impl Cluster<'_> {
    /// The places at which a packet may begin, judged by the first rule that names any: who has FROM, whose pod has it, who has the
    /// device it comes in by, who has TO, who has it on the subnet of a device, which nodes there are.
    pub fn starts(&self, from: Option<IpAddr>, to: IpAddr, device: Option<&str>) -> Vec<usize> {
        if let Some(from) = from {
            if let Some(o) = self.owner_of(from) {
                return vec![o.place];
            }
            if let Some(o) = self.node_of_pod(from) {
                return vec![o.place];
            }
        }
        let has_device =
            |p: &usize| device.is_none_or(|d| self.places[*p].node.device_by_name(d).is_some());
        let nodes: Vec<usize> = (0..self.places.len())
            .filter(|p| self.places[*p].within.is_none())
            .filter(has_device)
            .collect();
        if nodes.len() == 1 {
            return nodes;
        }
        if let Some(o) = self.owner_of(to).filter(|o| nodes.contains(&o.place)) {
            return vec![o.place];
        }
        if let Some(p) = self.announcer(to).filter(|p| nodes.contains(p)) {
            return vec![p];
        }
        // An address that nobody has is announced where it can be asked for: on its subnet.
        let near: Vec<usize> = nodes
            .iter()
            .copied()
            .filter(|p| self.is_on_link(*p, to))
            .filter(|p| {
                from.is_none_or(|f| {
                    matches!(
                        sim::way_back(&self.places[*p].node, f, to),
                        sim::WayBack::Device(_)
                    )
                })
            })
            .collect();
        if near.is_empty() { nodes } else { near }
    }

    /// Whether an address lies on the subnet of a device that leads to the world.
    fn is_on_link(&self, place: usize, ip: IpAddr) -> bool {
        let node = &self.places[place].node;
        let on = |dev: DevId| {
            let d = node.device(dev);
            !d.is_loopback()
                && d.tunnel().is_none()
                && !leads_to_pods(node, dev)
                && d.addrs.iter().any(|a| {
                    let family = Family::of(a.local);
                    let drop = u32::from(family.bits().saturating_sub(a.prefix_len));
                    family == Family::of(ip)
                        && a.prefix_len < family.bits()
                        && drop < 128
                        && bits(a.local) >> drop == bits(ip) >> drop
                })
        };
        node.device_ids().any(on)
    }
}
