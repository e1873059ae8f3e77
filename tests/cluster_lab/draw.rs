//! Random nodes of a cluster over the lab's pools of addresses, with the lab's random rules.

use super::lab::frame::{ICMP, TCP, UDP, Wire};
use super::lab::prng::Prng;
use super::lab::spec::{Backend, Spec};
use super::lab::{kube, pool, rules, sets};
use super::net::{CLIENT_MAC, Far, mac, mac_text};

/// Addresses of the nodes' `ext0`.
pub const UNDERLAY: [&str; 3] = ["10.1.0.1", "10.1.0.2", "10.1.0.51"];
/// Addresses of their VXLAN devices.
const VTEPS: [&str; 3] = ["10.2.0.1", "10.2.0.60", "10.2.0.61"];
/// Pods behind their `pod0` and `pod1`.
const PODS: [[&str; 2]; 3] = [
    ["10.3.0.10", "10.3.0.11"],
    ["10.3.0.20", "10.3.1.5"],
    ["10.9.9.9", "10.1.7.1"],
];
/// The client's addresses.
const CLIENTS: [&str; 3] = ["10.1.0.50", "192.0.2.7", "198.51.100.9"];

/// What `ext1` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// With entries of the forwarding database for the other nodes.
    Vxlan,
    /// Its far end is the route's gateway, as Calico has it.
    Ipip,
}

/// The nodes of a seed, and lines for `bridge` for each.
pub fn nodes(r: &mut Prng, count: usize, tunnel: Tunnel) -> Vec<(Spec, Vec<String>)> {
    (0..count).map(|i| node(r, i, count, tunnel)).collect()
}

fn node(r: &mut Prng, i: usize, count: usize, tunnel: Tunnel) -> (Spec, Vec<String>) {
    let mut s = Spec::default();
    let mut set = |path: String, value: u32| s.sysctls.push((path, value.to_string()));
    set("ipv4/ip_forward".into(), 1);
    set("ipv4/conf/all/rp_filter".into(), r.one(&[0, 0, 0, 1, 2]));
    for dev in ["ext0", "pod0", "pod1"] {
        if r.chance(25) {
            set(format!("ipv4/conf/{dev}/rp_filter"), r.one(&[0, 1, 2]));
        }
    }
    set(
        "ipv4/conf/default/rp_filter".into(),
        r.one(&[0, 0, 0, 1, 2]),
    );
    let lower = if r.chance(30) { " dev ext0" } else { "" };
    let link = match tunnel {
        Tunnel::Vxlan => format!(
            "address {} type vxlan id 7 dstport 4789 local {}{lower} nolearning",
            mac_text(mac(i, 1)),
            UNDERLAY[i]
        ),
        Tunnel::Ipip => {
            let local = if r.chance(50) { UNDERLAY[i] } else { "any" };
            format!("type ipip local {local} remote any")
        }
    };
    let mut ip = vec![
        format!("addr add {}/24 dev ext0", UNDERLAY[i]),
        format!("link add ext1 {link}"),
        format!("addr add {}/32 dev ext1", VTEPS[i]),
    ];
    for dev in ["ext0", "ext1", "pod0", "pod1"] {
        ip.push(format!("link set {dev} up"));
    }
    if r.chance(40) {
        ip.push("link set dev pod0 group 5".into());
    }
    ip.push("route add default via 10.1.0.254 dev ext0".into());
    // Where there is no third node its address is the client's too.
    let others = &UNDERLAY[count..];
    for addr in ["10.1.0.254", CLIENTS[0]].iter().chain(others) {
        ip.push(format!(
            "neigh replace {addr} lladdr {} dev ext0 nud permanent",
            mac_text(CLIENT_MAC)
        ));
    }
    for (d, pod) in PODS[i].iter().enumerate() {
        ip.push(format!("route add {pod} dev pod{d} scope link"));
    }
    let mut fdb = Vec::new();
    for j in (0..count).filter(|j| *j != i) {
        let via = match tunnel {
            Tunnel::Vxlan => VTEPS[j],
            Tunnel::Ipip => UNDERLAY[j],
        };
        let near = [
            (UNDERLAY[j], "ext0", mac(j, 0)),
            (VTEPS[j], "ext1", mac(j, 1)),
        ];
        let known = if tunnel == Tunnel::Vxlan { 2 } else { 1 };
        for (addr, dev, m) in near.into_iter().take(known) {
            ip.push(format!(
                "neigh replace {addr} lladdr {} dev {dev} nud permanent",
                mac_text(m)
            ));
        }
        fdb.push(format!(
            "fdb append {} dev ext1 dst {}",
            mac_text(mac(j, 1)),
            UNDERLAY[j]
        ));
        if r.chance(95) {
            ip.push(format!("route add {} via {via} dev ext1 onlink", VTEPS[j]));
        }
        let overlay = r.chance(70);
        for pod in PODS[j] {
            if r.chance(4) {
                continue;
            }
            ip.push(if overlay {
                format!("route add {pod} via {via} dev ext1 onlink")
            } else {
                format!("route add {pod} via {} dev ext0", UNDERLAY[j])
            });
        }
    }
    s.ip = ip;
    let (mut set_specs, mut lines) = sets::make(r);
    if tunnel == Tunnel::Ipip {
        // Kernels in the emulator may be older than the tools are, which ipset does not take well.
        set_specs.clear();
        lines.clear();
    }
    s.sets = lines;
    if r.chance(40) {
        let backend = r.one(&[Backend::Legacy, Backend::Nft]);
        s.tables.extend(kube::make(r, backend, false));
    } else {
        let mood = rules::Mood {
            random: r.chance(25),
            stateful: false,
            odd: false,
            rules: 4 + r.below(24),
        };
        s.tables = rules::make(r, &set_specs, mood);
    }
    s.tables.retain(|t| !t.v6);
    // Where every node has all tables, little gets as far as the second one.
    if r.chance(60) {
        s.tables.retain(|_| r.chance(55));
    }
    (s, fdb)
}

/// A packet: from which far end, to which node's device, and what.
pub fn packet(r: &mut Prng, n: u16, count: usize) -> (Far, usize, Wire) {
    let node = r.below(count);
    let (far, src) = if r.chance(45) {
        (Far::Client, r.one(&CLIENTS))
    } else {
        let d = r.below(2);
        (Far::Pod(node, d), PODS[node][d])
    };
    let src = if r.chance(4) {
        pool::addr(r, false)
    } else {
        src
    };
    let dst = match r.below(100) {
        0..60 => {
            let other = (node + 1 + r.below(count - 1)) % count;
            let j = if r.chance(70) { other } else { node };
            r.one(&PODS[j])
        }
        60..84 => r.one(&pool::VIP4),
        84..92 => r.one(&UNDERLAY[..count]),
        92..96 => r.one(&CLIENTS),
        _ => r.one(&VTEPS[..count]),
    };
    let proto = match r.below(10) {
        0..5 => TCP,
        5..9 => UDP,
        _ => ICMP,
    };
    let ports = proto != ICMP;
    let wire = Wire {
        src: src.parse().expect("an address"),
        dst: dst.parse().expect("an address"),
        proto,
        sport: if ports { 20_000 + n % 9000 } else { n },
        dport: if ports { r.one(&pool::PORTS) } else { 0 },
        icmp: if ports { (0, 0) } else { (8, 0) },
        flags: if proto == TCP { 2 } else { 0 },
        seq: 1000,
        ack: 0,
        tos: r.one(&pool::TOSES),
        ttl: r.one(&[64, 64, 64, 64, 255, 3, 2]),
        id: u32::from(n) + 1,
        payload: r.one(&[8, 8, 20, 100, 1200]),
        split: false,
    };
    (far, node, wire)
}

/// The underlay's addresses of the other nodes.
pub fn others(node: usize, count: usize) -> impl Iterator<Item = &'static str> {
    UNDERLAY
        .into_iter()
        .take(count)
        .enumerate()
        .filter(move |(j, _)| *j != node)
        .map(|(_, a)| a)
}

/// A packet of a pod to an address that a tunnel leads to, for the tunnel's own sake.
pub fn knock(node: usize) -> Wire {
    Wire {
        src: PODS[node][0].parse().expect("an address"),
        dst: "203.0.113.1".parse().expect("an address"),
        proto: UDP,
        sport: 9,
        dport: 9,
        icmp: (0, 0),
        flags: 0,
        seq: 0,
        ack: 0,
        tos: 0,
        ttl: 2,
        id: 0,
        payload: 8,
        split: false,
    }
}
