//! Services as kube-proxy's IPVS mode knows them, and what it gives to ipvsadm.

use std::net::IpAddr;

use super::frame::{SCTP, TCP, UDP};
use super::places::Places;
use super::prng::Prng;

/// A real server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub addr: IpAddr,
    /// Weight.
    pub weight: u32,
    /// `m`, `g` or `i`, as ipvsadm calls the methods.
    pub method: char,
}

/// A Service with one port.
#[derive(Clone, Debug)]
pub struct Service {
    /// TCP, UDP or SCTP.
    pub proto: u8,
    /// Its cluster address.
    pub cluster: IpAddr,
    /// Its port.
    pub port: u16,
    /// The pods' port.
    pub target: u16,
    /// Everywhere.
    pub servers: Vec<Server>,
    /// Load balancer address.
    pub balancer: Option<IpAddr>,
    /// External address.
    pub external: Option<IpAddr>,
    /// Node port.
    pub node_port: Option<u16>,
    /// `externalTrafficPolicy: Local`.
    pub local: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// Sources that the load balancer address is open to.
    pub ranges: Vec<String>,
    /// Scheduler.
    pub scheduler: &'static str,
    /// Its flags, the persistence and one-packet scheduling, as ipvsadm takes them.
    pub options: String,
    /// Virtual servers of every port (port 0).
    pub every_port: bool,
}

impl Service {
    /// `tcp`, `udp` or `sctp`.
    pub fn proto(&self) -> &'static str {
        match self.proto {
            UDP => "udp",
            SCTP => "sctp",
            _ => "tcp",
        }
    }
}

/// Something that is served by mark.
#[derive(Clone, Debug)]
pub struct Marked {
    /// The mark.
    pub mark: u32,
    /// Packets to this address and port get the mark.
    pub addr: IpAddr,
    /// Port.
    pub port: u16,
    /// Real servers.
    pub servers: Vec<Server>,
    /// Scheduler and options.
    pub scheduler: String,
}

/// Schedulers of the kernel; `rr`, the usual one, more often.
const SCHEDULERS: [&str; 18] = [
    "rr", "rr", "rr", "rr", "wrr", "lc", "wlc", "sh", "sh", "dh", "sed", "nq", "mh", "mh", "lblc",
    "lblcr", "fo", "ovf",
];

/// What stays with one server: single addresses, or networks of them.
fn persistence(r: &mut Prng, p: &Places) -> String {
    let mask = match (r.below(3), p.v6) {
        (0, false) => " -M 255.255.255.0",
        (0, true) => " -M 64",
        _ => "",
    };
    format!(" -p {}{mask}", r.pick(&["300", "10800"]))
}

fn options(r: &mut Prng, p: &Places, scheduler: &str, proto: u8) -> String {
    let mut out = String::new();
    if r.chance(15) {
        out += &persistence(r, p);
    } else if proto == UDP && r.chance(15) {
        out += " -o";
    }
    if matches!(scheduler, "sh" | "mh") && r.chance(50) {
        let f = r.pick(&["port", "fallback", "both"]);
        out += &match f {
            "both" => format!(" -b {scheduler}-fallback,{scheduler}-port"),
            f => format!(" -b {scheduler}-{f}"),
        };
    }
    out
}

fn servers(r: &mut Prng, p: &Places, odd: bool, method: Option<char>) -> Vec<Server> {
    let mut out = Vec::new();
    let count = r.one(&[0, 1, 1, 2, 2, 3, 3, 4]);
    let mut pool = vec![
        p.pods[0],
        p.pods[1],
        p.pods[0],
        p.far_pods[0],
        p.far_pods[1],
        p.node[1],
        p.far_nodes[0],
    ];
    if odd {
        pool.extend([p.nowhere.1, p.node[0], p.clients[0], p.own]);
    }
    for _ in 0..count {
        let addr = r.one(&pool);
        if out.iter().any(|s: &Server| s.addr == addr) {
            continue;
        }
        out.push(Server {
            addr,
            weight: if r.chance(10) {
                0
            } else {
                r.one(&[1, 1, 1, 2, 5])
            },
            method: method.unwrap_or('m'),
        });
    }
    out
}

/// A tunnel of IPVS within a tunnel of the node's is left out: the simulator does not wrap twice.
fn untunnelled(method: char, tunnel: bool) -> char {
    if tunnel && method == 'i' { 'g' } else { method }
}

/// Draws the Services of a node.
pub fn make(r: &mut Prng, p: &Places, tunnel: bool) -> Vec<Service> {
    let n = 2 + r.below(3);
    let mut out = Vec::new();
    for i in 0..n.min(4) {
        let odd = r.chance(25);
        let method = r
            .chance(12)
            .then(|| untunnelled(r.one(&['g', 'i']), tunnel));
        let proto = r.one(&[TCP, TCP, TCP, TCP, TCP, TCP, TCP, UDP, UDP, SCTP]);
        let scheduler = r.pick(&SCHEDULERS);
        let every_port = r.chance(5);
        let mut options = options(r, p, scheduler, proto);
        if every_port && !options.contains(" -p ") {
            options = persistence(r, p);
        }
        out.push(Service {
            proto,
            cluster: p.cluster[i],
            port: r.one(&[80, 80, 443, 53, 8080]),
            // Only NAT can change a port.
            target: 0,
            servers: servers(r, p, odd, method),
            balancer: r.chance(60).then_some(p.balancer[i]),
            external: (i < 2 && r.chance(30)).then(|| p.external[i % 2]),
            node_port: r.chance(60).then(|| 30_080 + u16::try_from(i).unwrap_or(0)),
            local: r.chance(35),
            internal_local: r.chance(10),
            ranges: if r.chance(20) {
                vec![r.one(&[
                    format!("{}/{}", p.clients[0], p.host),
                    format!("{}/{}", p.clients[1], p.link),
                    format!("{}/{}", p.clients[2], p.host),
                ])]
            } else {
                Vec::new()
            },
            scheduler,
            options,
            every_port,
        });
        let s = out.last_mut().expect("just made");
        if s.servers.iter().any(|x| x.method == 'i') {
            // Nothing tells whether an earlier packet went to the same server, and so whether the outer one is a first packet.
            s.options = s.options.replace(" -o", "");
        }
        if s.scheduler == "ovf" {
            // Of a weight that the connections of the lab do not reach.
            for x in &mut s.servers {
                x.weight *= 50;
            }
        }
        let nat = s.servers.iter().all(|x| x.method == 'm');
        s.target = if nat && !s.every_port && r.chance(60) {
            8080
        } else {
            s.port
        };
        if r.chance(8) && !s.servers.is_empty() {
            for x in &mut s.servers {
                x.weight = 0;
            }
        }
    }
    out
}

/// Draws a service by mark.
pub fn marked(r: &mut Prng, p: &Places, tunnel: bool) -> Option<Marked> {
    if !r.chance(25) {
        return None;
    }
    let method = untunnelled(r.one(&['m', 'm', 'i', 'g']), tunnel);
    let odd = r.chance(20);
    let scheduler = r.pick(&SCHEDULERS[..SCHEDULERS.len() - 1]);
    let options = options(r, p, scheduler, TCP);
    Some(Marked {
        scheduler: format!("{scheduler}{options}"),
        mark: r.one(&[0x1f00, 0x77, 0x4000_0000]),
        addr: p.balancer[3],
        port: 80,
        servers: servers(r, p, odd, Some(method)),
    })
}

fn end(addr: IpAddr, port: u16) -> String {
    match addr {
        IpAddr::V4(_) => format!("{addr}:{port}"),
        IpAddr::V6(_) => format!("[{addr}]:{port}"),
    }
}

/// One virtual address of a Service.
fn virtual_server(
    s: &Service,
    addr: IpAddr,
    port: u16,
    local: bool,
    here: &[IpAddr],
    out: &mut Vec<String>,
) {
    let flag = match s.proto {
        UDP => "-u",
        SCTP => "--sctp-service",
        _ => "-t",
    };
    let every = s.every_port && port == s.port;
    let port = if every { 0 } else { port };
    let v = end(addr, port);
    out.push(format!("-A {flag} {v} -s {}{}", s.scheduler, s.options));
    for x in &s.servers {
        if local && !here.contains(&x.addr) {
            continue;
        }
        // The other methods leave the port.
        let to = if x.method == 'm' && !every {
            s.target
        } else {
            port
        };
        out.push(format!(
            "-a {flag} {v} -r {} -{} -w {}",
            end(x.addr, to),
            x.method,
            x.weight
        ));
    }
}

/// Lines for `ipvsadm -R`.
pub fn ipvs_lines(services: &[Service], marked: Option<&Marked>, p: &Places) -> Vec<String> {
    let mut out = Vec::new();
    let here = [p.pods[0], p.pods[1], p.node[0], p.node[1], p.own];
    for s in services {
        virtual_server(s, s.cluster, s.port, s.internal_local, &here, &mut out);
        for addr in s.balancer.into_iter().chain(s.external) {
            virtual_server(s, addr, s.port, s.local, &here, &mut out);
        }
        if let Some(port) = s.node_port {
            for addr in p.node_ports() {
                virtual_server(s, addr, port, s.local, &here, &mut out);
            }
        }
    }
    if let Some(m) = marked {
        let family = if p.v6 { " -6" } else { "" };
        out.push(format!("-A -f {}{family} -s {}", m.mark, m.scheduler));
        for x in &m.servers {
            out.push(format!(
                "-a -f {}{family} -r {} -{} -w {}",
                m.mark,
                end(x.addr, 0),
                x.method,
                x.weight
            ));
        }
    }
    out
}
