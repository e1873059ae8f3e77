//! Random nodes of a cluster over the lab's pools of addresses, with the lab's random rules.

use super::lab::frame::{ICMP, ICMPV6, TCP, UDP, Wire};
use super::lab::prng::Prng;
use super::lab::spec::{Backend, Rule, Spec};
use super::lab::{kube, pool, rules, sets};
use super::net::{CLIENT_MAC, Far, mac, mac_text};
use super::tunnel::Tunnel;

/// Addresses of the nodes' `ext0`.
pub const UNDERLAY: [&str; 3] = ["10.1.0.1", "10.1.0.2", "10.1.0.51"];
/// The same of IPv6.
pub const UNDERLAY6: [&str; 3] = ["fd01::1", "fd01::2", "fd01::51"];

/// The addresses of a family.
struct Plan {
    v6: bool,
    underlay: [&'static str; 3],
    /// Of the nodes' `ext1`.
    vteps: [&'static str; 3],
    /// Behind their `pod0` and `pod1`.
    pods: [[&'static str; 2]; 3],
    /// The client's.
    clients: [&'static str; 3],
    router: &'static str,
}

const V4: Plan = Plan {
    v6: false,
    underlay: UNDERLAY,
    vteps: ["10.2.0.1", "10.2.0.60", "10.2.0.61"],
    pods: [
        ["10.3.0.10", "10.3.0.11"],
        ["10.3.0.20", "10.3.1.5"],
        ["10.9.9.9", "10.1.7.1"],
    ],
    clients: ["10.1.0.50", "192.0.2.7", "198.51.100.9"],
    router: "10.1.0.254",
};

const V6: Plan = Plan {
    v6: true,
    underlay: UNDERLAY6,
    vteps: ["fd02::1", "fd02::60", "fd02::61"],
    pods: [
        ["fd03::10", "fd03::11"],
        ["fd03::20", "fd03:1::5"],
        ["fd09::9", "fd01:7::1"],
    ],
    clients: ["fd01::50", "2001:db8::7", "2001:db8:1::9"],
    router: "fd01::254",
};

/// The plan of a family.
fn plan(v6: bool) -> &'static Plan {
    if v6 { &V6 } else { &V4 }
}

/// What the nodes of a cluster have in common.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// How many there are.
    pub count: usize,
    /// What `ext1` is.
    pub tunnel: Tunnel,
    /// They have IPv6 too.
    pub dual: bool,
}

impl Kind {
    /// The families that packets have.
    pub fn families(self) -> impl Iterator<Item = bool> {
        [false, true].into_iter().filter(move |v6| !v6 || self.dual)
    }
}

/// The nodes of a seed, and lines for `bridge` for each.
pub fn nodes(r: &mut Prng, kind: Kind) -> Vec<(Spec, Vec<String>)> {
    (0..kind.count).map(|i| node(r, i, kind)).collect()
}

fn node(r: &mut Prng, i: usize, kind: Kind) -> (Spec, Vec<String>) {
    let tunnel = kind.tunnel;
    let mut s = Spec::default();
    settings(r, &mut s, kind);
    s.ip.push(format!("link add ext1 {}", tunnel.link(r, i)));
    for dev in ["ext0", "ext1", "pod0", "pod1"] {
        s.ip.push(format!("link set {dev} up"));
    }
    if r.chance(40) {
        s.ip.push("link set dev pod0 group 5".into());
    }
    for v6 in kind.families() {
        let lines = ways(r, i, kind, plan(v6));
        if v6 {
            s.ip6 = lines;
        } else {
            s.ip.extend(lines);
        }
    }
    let over = plan(tunnel.over6());
    let fdb = (0..kind.count)
        .filter(|j| *j != i)
        .map(|j| {
            format!(
                "fdb append {} dev ext1 dst {}",
                mac_text(mac(j, 1)),
                over.underlay[j]
            )
        })
        .collect();
    let (mut set_specs, mut lines) = sets::make(r);
    if !tunnel.is_vxlan() {
        // Kernels in the emulator may be older than the tools are, which ipset does not take well.
        set_specs.clear();
        lines.clear();
    }
    s.sets = lines;
    if r.chance(40) {
        let backend = r.one(&[Backend::Legacy, Backend::Nft]);
        for v6 in [false, true] {
            s.tables.extend(kube::make(r, backend, v6));
        }
    } else {
        let mood = rules::Mood {
            random: r.chance(25),
            stateful: false,
            odd: false,
            rules: 4 + r.below(24),
        };
        s.tables = rules::make(r, &set_specs, mood);
    }
    s.tables.retain(|t| !t.v6 || kind.dual);
    // Where every node has all tables, little gets as far as the second one.
    if r.chance(60) {
        s.tables.retain(|_| r.chance(55));
    }
    congestion(r, &mut s, tunnel);
    (s, fdb)
}

fn settings(r: &mut Prng, s: &mut Spec, kind: Kind) {
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
    if kind.dual {
        set("ipv6/conf/all/forwarding".into(), 1);
        set("ipv6/conf/default/forwarding".into(), 1);
    }
}

/// A node's addresses, neighbours and routes of a family.
fn ways(r: &mut Prng, i: usize, kind: Kind, p: &Plan) -> Vec<String> {
    let (count, tunnel) = (kind.count, kind.tunnel);
    let (net, one) = if p.v6 { (64, 128) } else { (24, 32) };
    let mut ip = vec![
        format!("addr add {}/{net} dev ext0", p.underlay[i]),
        format!("addr add {}/{one} dev ext1", p.vteps[i]),
        format!("route add default via {} dev ext0", p.router),
    ];
    let beside = if p.v6 { Some(&pool::ODD6[6]) } else { None };
    // Where there is no third node its address is the client's too.
    for addr in [p.router, p.clients[0]]
        .iter()
        .chain(&p.underlay[count..])
        .chain(beside)
    {
        ip.push(format!(
            "neigh replace {addr} lladdr {} dev ext0 nud permanent",
            mac_text(CLIENT_MAC)
        ));
    }
    for (d, pod) in p.pods[i].iter().enumerate() {
        let scope = if p.v6 { "" } else { " scope link" };
        ip.push(format!("route add {pod} dev pod{d}{scope}"));
    }
    for j in (0..count).filter(|j| *j != i) {
        let by_tunnel = match tunnel {
            Tunnel::Vxlan | Tunnel::Vxlan6 | Tunnel::GreMany => {
                format!("via {} dev ext1 onlink", p.vteps[j])
            }
            Tunnel::Ipip => format!("via {} dev ext1 onlink", p.underlay[j]),
            Tunnel::Gre | Tunnel::Sit | Tunnel::Ip6tnl => "dev ext1".to_owned(),
        };
        let mut near = vec![(p.underlay[j], "ext0", mac(j, 0))];
        if tunnel.is_vxlan() {
            near.push((p.vteps[j], "ext1", mac(j, 1)));
        }
        if tunnel == Tunnel::GreMany {
            ip.push(format!(
                "neigh replace {} lladdr {} dev ext1 nud permanent",
                p.vteps[j], UNDERLAY[j]
            ));
        }
        for (addr, dev, m) in near {
            ip.push(format!(
                "neigh replace {addr} lladdr {} dev {dev} nud permanent",
                mac_text(m)
            ));
        }
        if tunnel.carries(p.v6) && r.chance(95) {
            ip.push(format!("route add {} {by_tunnel}", p.vteps[j]));
        }
        let overlay = tunnel.carries(p.v6) && r.chance(70);
        for pod in p.pods[j] {
            if r.chance(4) {
                continue;
            }
            ip.push(if overlay {
                format!("route add {pod} {by_tunnel}")
            } else {
                format!("route add {pod} via {} dev ext0", p.underlay[j])
            });
        }
    }
    ip
}

/// Sometimes a rule that marks outer packets as congested, or as of a host that could tell.
fn congestion(r: &mut Prng, s: &mut Spec, tunnel: Tunnel) {
    if !r.chance(30) {
        return;
    }
    let of_outer = |t: &&mut super::lab::spec::Table| t.name == "mangle" && t.v6 == tunnel.over6();
    let Some(t) = s.tables.iter_mut().find(of_outer) else {
        return;
    };
    let chain = r.one(&["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]);
    let bits = r.one(&["0x01", "0x02", "0x03"]);
    for header in tunnel.header() {
        let at = t.rules.iter().position(|x| x.chain == chain).unwrap_or(0);
        t.rules.insert(
            at,
            Rule {
                chain: chain.to_owned(),
                text: format!("{header} -j TOS --set-tos {bits}/0x03"),
            },
        );
    }
}

/// TOS bytes, also with bits of congestion.
const TOSES: [u8; 12] = [0, 0, 0, 0x10, 0xb8, 0x28, 0x50, 1, 2, 3, 0x2a, 0xbb];

/// A packet: from which far end, to which node's device, and what.
pub fn packet(r: &mut Prng, n: u16, kind: Kind) -> (Far, usize, Wire) {
    let count = kind.count;
    let v6 = kind.dual && r.chance(60);
    let p = plan(v6);
    let node = r.below(count);
    let (far, src) = if r.chance(45) {
        (Far::Client, r.one(&p.clients))
    } else {
        let d = r.below(2);
        (Far::Pod(node, d), p.pods[node][d])
    };
    let src = if r.chance(4) { pool::addr(r, v6) } else { src };
    let dst = match r.below(100) {
        0..60 => {
            let other = (node + 1 + r.below(count - 1)) % count;
            let j = if r.chance(70) { other } else { node };
            r.one(&p.pods[j])
        }
        60..84 => r.one(if v6 { &pool::VIP6 } else { &pool::VIP4 }),
        84..92 => r.one(&p.underlay[..count]),
        92..96 => r.one(&p.clients),
        _ => r.one(&p.vteps[..count]),
    };
    let proto = match r.below(10) {
        0..5 => TCP,
        5..9 => UDP,
        _ if v6 => ICMPV6,
        _ => ICMP,
    };
    let ports = !matches!(proto, ICMP | ICMPV6);
    let echo = if v6 { 128 } else { 8 };
    let wire = Wire {
        src: src.parse().expect("an address"),
        dst: dst.parse().expect("an address"),
        proto,
        sport: if ports { 20_000 + n % 9000 } else { n },
        dport: if ports { r.one(&pool::PORTS) } else { 0 },
        icmp: if ports { (0, 0) } else { (echo, 0) },
        flags: if proto == TCP { 2 } else { 0 },
        seq: 1000,
        ack: 0,
        tos: r.one(&TOSES),
        ttl: r.one(&[64, 64, 64, 64, 255, 3, 2]),
        id: u32::from(n) + 1,
        payload: r.one(&[8, 8, 20, 100, 1200]),
        split: false,
    };
    (far, node, wire)
}

/// The gateways by which a tunnel leads to the other nodes.
pub fn far_ends(node: usize, kind: Kind, v6: bool) -> impl Iterator<Item = &'static str> {
    let p = plan(v6);
    let by = if kind.tunnel == Tunnel::Ipip {
        p.underlay
    } else {
        p.vteps
    };
    let others = by.into_iter().take(kind.count).enumerate();
    others.filter(move |(j, _)| *j != node).map(|(_, a)| a)
}

/// Where [`knock`] goes.
pub fn far_away(v6: bool) -> &'static str {
    if v6 {
        "2001:db8:ffff::1"
    } else {
        "203.0.113.1"
    }
}

/// A packet of a pod to an address that a tunnel leads to, for the tunnel's own sake.
pub fn knock(node: usize, v6: bool) -> Wire {
    Wire {
        src: plan(v6).pods[node][0].parse().expect("an address"),
        dst: far_away(v6).parse().expect("an address"),
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
