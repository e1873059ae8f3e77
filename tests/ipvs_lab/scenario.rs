//! A node to make: the lines given to each tool, and the packets to send. Drawn from a seed, the same everywhere.

use super::article;
use super::kube::{self, Settings};
use super::places::{Places, WIRED};
use super::prng::Prng;
use super::probes::{self, Probe};
use super::services::{self, Marked, Service};

/// A node and its packets.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed it was drawn from.
    pub seed: u64,
    /// Addresses.
    pub places: Places,
    /// `iptables-nft` instead of `iptables-legacy`.
    pub nft: bool,
    /// Devices in the order of their making.
    pub devices: Vec<&'static str>,
    /// Below `/proc/sys/net/`.
    pub sysctls: Vec<(String, String)>,
    /// Lines for `ip -batch`: addresses, then routes.
    pub ip: Vec<String>,
    /// Lines for `ipset restore`.
    pub sets: Vec<String>,
    /// Input of `iptables-restore`.
    pub rules: String,
    /// Lines for `ipvsadm -R`.
    pub ipvs: Vec<String>,
    /// What the lines for ipvsadm serve.
    pub services: Vec<Service>,
    /// What they serve by mark.
    pub marked: Option<Marked>,
    /// Calico's rules around kube-proxy's.
    pub article: bool,
    /// kube-proxy's settings.
    pub settings: Settings,
    /// Captured by `ipvsadm -S` instead of `ipvsadm -l`.
    pub saved: bool,
    /// Packets to send.
    pub probes: Vec<Probe>,
    /// More packets, to ask about and not to send.
    pub asked: Vec<Probe>,
}

fn shuffle<T>(r: &mut Prng, of: &mut [T]) {
    for i in (1..of.len()).rev() {
        of.swap(i, r.below(i + 1));
    }
}

impl Scenario {
    /// Draws one.
    pub fn draw(seed: u64) -> Self {
        let mut r = Prng::new(seed);
        let r = &mut r;
        let p = Places::of(r.chance(30));
        let tunnel = !p.v6 && r.chance(60);
        let mut devices = WIRED.to_vec();
        devices.push("kube-ipvs0");
        if tunnel {
            devices.push("tunl0");
        }
        if r.chance(60) {
            shuffle(r, &mut devices);
        } else {
            // As a node comes up.
            devices = vec!["ens3", "ens4"];
            devices.extend(tunnel.then_some("tunl0"));
            devices.extend(["kube-ipvs0", "cali1", "cali2"]);
        }
        let services = services::make(r, &p, tunnel);
        let marked = services::marked(r, &p, tunnel);
        let settings = Settings::draw(r);
        let mut ip = addresses(r, &p, tunnel);
        let mut vips: Vec<_> = services
            .iter()
            .flat_map(|s| [Some(s.cluster), s.balancer, s.external])
            .flatten()
            .chain(marked.as_ref().map(|m| m.addr))
            .collect();
        shuffle(r, &mut vips);
        for v in &vips {
            if !r.chance(7) {
                ip.push(format!("addr add {} dev kube-ipvs0", p.single(*v)));
            }
        }
        ip.extend(routes(r, &p, tunnel));
        if r.chance(25) {
            ip.extend(policy(r, &p));
        }
        let sysctls = settings_of_kernel(r);
        let article = tunnel && r.chance(35);
        let mut sets = kube::sets(&services, &p);
        let rules = if article {
            sets.extend(article::sets());
            article::rules(r, &p)
        } else {
            kube::rules(r, &settings, &services, marked.as_ref(), &p)
        };
        let probes = probes::draw(r, &p, &services, marked.as_ref(), tunnel);
        let mut other = Prng::new(!seed);
        let asked = probes::draw(&mut other, &p, &services, marked.as_ref(), tunnel);
        Self {
            seed,
            nft: r.chance(20),
            devices,
            sysctls,
            ip,
            sets,
            rules,
            ipvs: services::ipvs_lines(&services, marked.as_ref(), &p),
            services,
            marked,
            article,
            settings,
            saved: r.chance(50),
            probes,
            asked,
            places: p,
        }
    }

    /// Other nodes' pods are behind tunl0.
    pub fn tunnelled(&self) -> bool {
        self.devices.contains(&"tunl0")
    }

    /// The name of an iptables program.
    pub fn tool(&self, what: &str) -> String {
        let family = if self.places.v6 {
            "ip6tables"
        } else {
            "iptables"
        };
        let backend = if self.nft { "nft" } else { "legacy" };
        format!("{family}-{backend}-{what}")
    }
}

fn addresses(r: &mut Prng, p: &Places, tunnel: bool) -> Vec<String> {
    let mut out = Vec::new();
    let link = p.link;
    for (i, dev) in ["ens3", "ens4"].into_iter().enumerate() {
        let main = format!("addr add {}/{link} dev {dev}", p.node[i]);
        if i == 0 && r.chance(12) {
            out.push(main + " scope link");
        } else {
            out.push(main);
        }
    }
    let own_on = if tunnel { "tunl0" } else { "lo" };
    if tunnel || r.chance(25) {
        out.push(format!("addr add {} dev {own_on}", p.single(p.own)));
    }
    let (second, gate) = if p.v6 {
        ("fd10:1::200/64", "fd44::1/128")
    } else {
        ("10.20.1.200/24", "169.254.7.1/32 scope link")
    };
    if r.chance(20) {
        out.push(format!("addr add {second} dev ens3"));
    }
    if r.chance(20) {
        out.push(format!("addr add {gate} dev cali1"));
    }
    if r.chance(20) {
        shuffle(r, &mut out);
    }
    out
}

fn routes(r: &mut Prng, p: &Places, tunnel: bool) -> Vec<String> {
    let mut out = vec![format!("route add default via {} dev ens4", p.routers[1])];
    if r.chance(6) {
        out.clear();
    }
    for (i, pod) in p.pods.iter().enumerate() {
        // A hint, which MASQUERADE does not take.
        let src = if r.chance(10) {
            format!(" src {}", p.node[1])
        } else {
            String::new()
        };
        out.push(format!(
            "route add {} dev cali{}{src}",
            p.single(*pod),
            i + 1
        ));
    }
    for (net, node) in p.far_nets.iter().zip(p.far_nodes) {
        out.push(if tunnel {
            format!("route add {net} via {node} dev tunl0 onlink")
        } else {
            format!("route add {net} via {node} dev ens4")
        });
    }
    let kind = r.pick(&["unreachable", "blackhole", "prohibit"]);
    out.push(format!("route add {kind} {}", p.nowhere.0));
    if r.chance(40) {
        out.push(format!("route add blackhole {}", p.pod_nets[0]));
    }
    out
}

/// Policy routing: a way of its own for some sources, marks and devices.
fn policy(r: &mut Prng, p: &Places) -> Vec<String> {
    let mut out = Vec::new();
    let table = match r.below(8) {
        0 => vec!["route add unreachable default table 100".to_owned()],
        1 => vec!["route add blackhole default table 100".to_owned()],
        2 => vec![format!(
            "route add default dev ens3 src {} table 100",
            p.node[0]
        )],
        _ => vec![format!(
            "route add default via {} dev ens3 table 100",
            p.routers[0]
        )],
    };
    out.extend(table);
    for n in 0..=r.below(3) {
        let vip = r.one(&[p.cluster[0], p.cluster[1], p.balancer[0], p.balancer[1]]);
        let what = match r.below(9) {
            0..=2 => format!("from {}", p.single(vip)),
            3 => format!("from {}", p.pod_nets[1]),
            4 => "fwmark 0x4000/0x4000".into(),
            5 => format!("iif {}", r.pick(&["cali1", "ens4", "lo"])),
            6 => format!("to {}", p.single(p.clients[0])),
            7 => format!("from {} to {}", p.single(vip), p.single(p.clients[0])),
            _ => format!("to {}", p.far_nets[0]),
        };
        out.push(format!("rule add {what} lookup 100 priority {}", 100 + n));
    }
    out
}

fn settings_of_kernel(r: &mut Prng) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut set = |k: &str, v: u32| out.push((k.to_owned(), v.to_string()));
    let forwarding = u32::from(r.chance(94));
    set("ipv4/ip_forward", forwarding);
    set("ipv6/conf/all/forwarding", forwarding);
    set("ipv4/vs/conntrack", u32::from(r.chance(80)));
    for (key, value, percent) in [
        ("sloppy_tcp", 1, 10),
        ("sloppy_sctp", 1, 10),
        ("snat_reroute", 0, 25),
        ("nat_icmp_send", 1, 8),
        ("expire_nodest_conn", 1, 30),
        ("expire_quiescent_template", 1, 30),
        ("conn_reuse_mode", 0, 30),
    ] {
        if r.chance(percent) {
            set(&format!("ipv4/vs/{key}"), value);
        }
    }
    set("ipv4/conf/all/rp_filter", r.one(&[0, 0, 0, 0, 1, 2]));
    if r.chance(10) {
        set("ipv4/conf/all/route_localnet", 1);
    }
    if r.chance(10) {
        set("netfilter/nf_conntrack_tcp_loose", 0);
    }
    out
}
