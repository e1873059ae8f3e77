//! What a device leads to: a pod of this node, or the rest of the world.

use crate::node::{DevId, Device, Node};
use crate::trace::{Origin, Out, Packet};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::link::Peer;

/// Names that CNI plugins give to a pod's end on the node, and to bridges that pods are ports of.
const POD_DEVICES: &[&str] = &[
    "cali",
    "veth",
    "lxc",
    "cni",
    "cbr",
    "azv",
    "weave",
    "vethwe",
    "kube-bridge",
    "docker",
    "br-",
    "gke",
    "eni",
    "kind",
    "flannel-br",
    "podman",
    "antrea-gw",
    "nodelocaldns",
];

/// Whether a device leads straight to pods (or containers) of this node.
pub fn leads_to_pods(node: &Node<'_>, dev: DevId) -> bool {
    node.devices
        .get(usize::from(dev.0))
        .is_some_and(is_pod_device)
        && !leads_to_the_world(node, dev)
}

/// Whether a default route goes by the device: a veth or bridge is then the node's own uplink, as in kind or on a host whose
/// network card is a port of a bridge.
fn leads_to_the_world(node: &Node<'_>, dev: DevId) -> bool {
    [Family::V4, Family::V6].into_iter().any(|family| {
        node.fib(family).tables.values().any(|t| {
            t.candidates(family.unspecified())
                .flatten()
                .filter(|r| r.dst_len == 0)
                .any(|r| r.nexthops.iter().any(|n| n.dev == dev && n.via.is_some()))
        })
    })
}

fn is_pod_device(d: &Device) -> bool {
    if d.tunnel().is_some() || d.is_loopback() || is_card(d) {
        return false;
    }
    match d.kind.as_deref() {
        Some("veth" | "bridge" | "netkit") => true,
        Some(_) => false,
        // Without `ip -d` the other end in another namespace tells (`@if5`), or the name.
        None => {
            matches!(d.peer, Peer::Index(_)) || POD_DEVICES.iter().any(|p| d.name.starts_with(p))
        }
    }
}

/// Whether the device bears a network card's name and an address of a subnet: in a node that is itself a container it may be a veth.
fn is_card(d: &Device) -> bool {
    let named = ["eth", "ens", "enp", "eno", "enx", "bond"]
        .iter()
        .any(|p| d.name.starts_with(p));
    let subnet = |a: &crate::node::Addr| a.local.is_ipv4() && a.prefix_len < 32;
    named && d.addrs.iter().any(subnet)
}

/// Whether the packet left straight to a pod of this node: without gateway, by a device of a pod.
pub fn to_local_pod(node: &Node<'_>, out: &Out) -> bool {
    out.via.is_none() && leads_to_pods(node, out.dev)
}

/// What stands behind a device that leads to pods: Docker's and Podman's bridges hold containers of their own.
pub fn behind(node: &Node<'_>, dev: DevId) -> &'static str {
    let name = node
        .devices
        .get(usize::from(dev.0))
        .map_or("", |d| d.name.as_str());
    let container = ["docker", "podman", "cni-podman"];
    // Docker's own networks: `br-` and twelve digits of the network's id.
    let network = name
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    if network || container.iter().any(|p| name.starts_with(p)) {
        "container"
    } else {
        "pod"
    }
}

/// Whether the packet came from a pod of this node.
pub fn from_local_pod(node: &Node<'_>, packet: &Packet) -> bool {
    match packet.origin {
        Origin::Device(d) => leads_to_pods(node, d),
        Origin::Local => false,
    }
}
