//! Services as kube-proxy's IPVS mode knows them, and what it gives to ipvsadm.

use std::net::IpAddr;

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
    /// UDP instead of TCP.
    pub udp: bool,
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
    /// Seconds of persistence.
    pub persistent: Option<u32>,
}

impl Service {
    /// `tcp` or `udp`.
    pub fn proto(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
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
        let udp = r.chance(25);
        out.push(Service {
            udp,
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
            scheduler: r.pick(&[
                "rr", "rr", "rr", "wrr", "lc", "wlc", "sh", "dh", "sed", "nq", "mh", "lblc",
                "lblcr", "fo",
            ]),
            persistent: r.chance(12).then_some(10_800),
        });
        let s = out.last_mut().expect("just made");
        let nat = s.servers.iter().all(|x| x.method == 'm');
        s.target = if nat && r.chance(60) { 8080 } else { s.port };
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
    Some(Marked {
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
    let flag = if s.udp { "-u" } else { "-t" };
    let v = end(addr, port);
    let stay = s.persistent.map(|n| format!(" -p {n}")).unwrap_or_default();
    out.push(format!("-A {flag} {v} -s {}{stay}", s.scheduler));
    for x in &s.servers {
        if local && !here.contains(&x.addr) {
            continue;
        }
        // The other methods leave the port.
        let to = if x.method == 'm' { s.target } else { port };
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
            for addr in p.node {
                virtual_server(s, addr, port, s.local, &here, &mut out);
            }
        }
    }
    if let Some(m) = marked {
        let family = if p.v6 { " -6" } else { "" };
        out.push(format!("-A -f {}{family} -s rr", m.mark));
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
