//! What the large node's network looks like beside its rules: devices, routes, policy rules and sysctls, as
//! iproute2 6.1 and sysctl print them (iproute2 leaves a space at the end of a route and of some addresses).

use std::io::{self, Write};

use super::{Cluster, Endpoint, FIRST_NODE, FIRST_POD, address, sha256};

/// A pod's device on this node and the last two bytes of its hardware address.
fn pod_device(endpoint: &Endpoint) -> (String, [u8; 2]) {
    let digest = sha256::digest(endpoint.hash.as_bytes());
    let name = digest[..4].iter().fold(String::from("veth"), |name, byte| {
        format!("{name}{byte:02x}")
    });
    (name, [digest[4], digest[5]])
}

fn local_pods(cluster: &Cluster) -> impl Iterator<Item = &Endpoint> {
    cluster
        .services
        .iter()
        .flat_map(|service| &service.endpoints)
        .filter(|endpoint| endpoint.node == 0)
}

/// `ip addr`: lo, eth0, the pods' bridge cni0 and one device of each local pod.
pub(super) fn write_addresses(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
    let (node, bridge) = (address(FIRST_NODE, 0), address(FIRST_POD, 257));
    write!(
        out,
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
    inet6 ::1/128 scope host \n       valid_lft forever preferred_lft forever
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP group default qlen 1000
    link/ether 02:00:ac:10:00:0a brd ff:ff:ff:ff:ff:ff
    inet {node}/16 brd 172.16.255.255 scope global eth0
       valid_lft forever preferred_lft forever
    inet6 fe80::acff:fe10:a/64 scope link \n       valid_lft forever preferred_lft forever
3: cni0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether 02:00:0a:c0:01:01 brd ff:ff:ff:ff:ff:ff
    inet {bridge}/24 brd 10.192.1.255 scope global cni0
       valid_lft forever preferred_lft forever
    inet6 fe80::aff:fec0:101/64 scope link \n       valid_lft forever preferred_lft forever
"
    )?;
    for (place, endpoint) in local_pods(cluster).enumerate() {
        let (name, [high, low]) = pod_device(endpoint);
        write!(
            out,
            "{}: {name}@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master cni0 state UP group default \n    \
             link/ether 02:00:0a:c0:{high:02x}:{low:02x} brd ff:ff:ff:ff:ff:ff link-netnsid {place}\n",
            place + 4
        )?;
    }
    Ok(())
}

/// `ip route show table all`: a route to every other node's pods, as flannel's host-gw backend sets them.
pub(super) fn write_routes(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
    let (node, bridge) = (address(FIRST_NODE, 0), address(FIRST_POD, 257));
    writeln!(out, "default via 172.16.0.1 dev eth0 ")?;
    writeln!(
        out,
        "10.192.1.0/24 dev cni0 proto kernel scope link src {bridge} "
    )?;
    for other in 1..cluster.nodes {
        let (pods, gateway) = (
            address(FIRST_POD, 256 * (other + 1)),
            address(FIRST_NODE, other),
        );
        writeln!(out, "{pods}/24 via {gateway} dev eth0 ")?;
    }
    write!(
        out,
        "172.16.0.0/16 dev eth0 proto kernel scope link src {node} 
local {bridge} dev cni0 table local proto kernel scope host src {bridge} 
broadcast 10.192.1.255 dev cni0 table local proto kernel scope link src {bridge} 
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1 
local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 
broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1 
local {node} dev eth0 table local proto kernel scope host src {node} 
broadcast 172.16.255.255 dev eth0 table local proto kernel scope link src {node} 
fe80::/64 dev eth0 proto kernel metric 256 pref medium
fe80::/64 dev cni0 proto kernel metric 256 pref medium
local ::1 dev lo table local proto kernel metric 0 pref medium
local fe80::acff:fe10:a dev eth0 table local proto kernel metric 0 pref medium
local fe80::aff:fec0:101 dev cni0 table local proto kernel metric 0 pref medium
multicast ff00::/8 dev eth0 table local proto kernel metric 256 pref medium
multicast ff00::/8 dev cni0 table local proto kernel metric 256 pref medium
"
    )
}

/// `ip rule`: a fresh kernel's three rules.
pub(super) fn write_policy(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n")
}

/// `sysctl`, the keys that decide about a packet.
pub(super) fn write_sysctls(cluster: &Cluster, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "net.ipv4.ip_forward = 1")?;
    let mut devices: Vec<_> = ["all", "cni0", "default", "eth0", "lo"]
        .map(String::from)
        .into();
    devices.extend(local_pods(cluster).map(|endpoint| pod_device(endpoint).0));
    for device in &devices {
        let loose = if device == "eth0" { 2 } else { 0 };
        writeln!(
            out,
            "net.ipv4.conf.{device}.accept_local = 0\nnet.ipv4.conf.{device}.arp_ignore = 0\n\
             net.ipv4.conf.{device}.forwarding = 1\nnet.ipv4.conf.{device}.route_localnet = {}\n\
             net.ipv4.conf.{device}.rp_filter = {loose}\nnet.ipv4.conf.{device}.src_valid_mark = 0",
            u8::from(device == "all"),
        )?;
    }
    writeln!(out, "net.ipv6.conf.all.forwarding = 1")
}
