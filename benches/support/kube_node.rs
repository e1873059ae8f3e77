//! A large Kubernetes node, made up: the text that kube-proxy 1.30 in iptables mode leaves behind on it.
//!
//! The services and endpoints are numbered, so the same figures always give the same bytes. 10,000 services of five
//! endpoints give about 264,000 lines and 29 MB of rules. The rules load with iptables-legacy-restore and
//! iptables-nft-restore, and are ordered as `iptables-save` prints them: chains by name, rules by chain.
//!
//! Shapes follow kube-proxy (`pkg/proxy/iptables/proxier.go`, `syncProxyRules`). Three services of five have a
//! `NodePort`, one of five is a `LoadBalancer`; every tenth of those has `externalTrafficPolicy: Local`.

#![allow(
    dead_code,
    reason = "one user wants the rules in memory, another the whole folder"
)]

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

#[path = "kube_node/network.rs"]
mod network;
#[path = "kube_node/rules.rs"]
mod rules;
#[path = "kube_node/sha256.rs"]
mod sha256;

/// The pods of every node: `--cluster-cidr`.
const CLUSTER_CIDR: &str = "10.192.0.0/10";
/// The first pod network; node `n` (this one is 0) has the `/24` that starts `256 * (n + 1)` addresses later.
const FIRST_POD: u32 = 0x0ac0_0000;
/// The first `ClusterIP`, within the service network 10.96.0.0/12.
const FIRST_CLUSTER_IP: u32 = 0x0a60_000a;
/// The first address of a load balancer, within 198.18.0.0/15.
const FIRST_LOAD_BALANCER: u32 = 0xc612_0001;
/// The first node address, this node's own.
const FIRST_NODE: u32 = 0xac10_000a;
/// `--service-node-port-range` of this cluster; the usual 30000-32767 has too few ports for it.
const NODE_PORTS: std::ops::Range<usize> = 20_000..32_768;
/// Pods that one node runs.
const PODS_PER_NODE: usize = 100;

/// How a service can be reached from outside the cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    LoadBalancerLocal,
}

/// One endpoint of a service.
struct Endpoint {
    address: Ipv4Addr,
    node: usize,
    hash: String,
}

/// One service with its single TCP port.
struct Service {
    /// `namespace/name:port`, as kube-proxy writes it into comments and hashes.
    name: String,
    hash: String,
    kind: Kind,
    cluster_ip: Ipv4Addr,
    load_balancer: Ipv4Addr,
    port: u16,
    node_port: usize,
    endpoints: Vec<Endpoint>,
}

impl Service {
    fn new(index: usize, endpoints: usize, nodes: usize) -> Self {
        let node_port = NODE_PORTS.start + index;
        let kind = match (NODE_PORTS.contains(&node_port), index % 5, index % 50) {
            (false, ..) | (_, 4, _) => Kind::ClusterIp,
            (_, 3, 3) => Kind::LoadBalancerLocal,
            (_, 3, _) => Kind::LoadBalancer,
            _ => Kind::NodePort,
        };
        let name = format!("team-{:03}/app-{index:05}:web", index % 200);
        let hash = chain_hash(&[&name, "tcp"]);
        let endpoints = (index * endpoints..(index + 1) * endpoints)
            .map(|number| {
                let node = number % nodes;
                let address = address(FIRST_POD, 256 * (node + 1) + 2 + number / nodes);
                let hash = chain_hash(&[&name, "tcp", &format!("{address}:8080")]);
                Endpoint {
                    address,
                    node,
                    hash,
                }
            })
            .collect();
        Self {
            name,
            hash,
            kind,
            cluster_ip: address(FIRST_CLUSTER_IP, index),
            load_balancer: address(FIRST_LOAD_BALANCER, index),
            port: if kind == Kind::ClusterIp { 80 } else { 443 },
            node_port,
            endpoints,
        }
    }

    fn is_external(&self) -> bool {
        self.kind != Kind::ClusterIp
    }

    fn has_load_balancer(&self) -> bool {
        matches!(self.kind, Kind::LoadBalancer | Kind::LoadBalancerLocal)
    }

    fn local_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.node == 0)
    }

    /// Whether traffic from outside is for local endpoints only and has one.
    fn has_local_chain(&self) -> bool {
        self.kind == Kind::LoadBalancerLocal && self.local_endpoints().next().is_some()
    }
}

/// The network of nodes that the services run on.
struct Cluster {
    services: Vec<Service>,
    nodes: usize,
}

impl Cluster {
    fn new(services: usize, endpoints: usize) -> Self {
        let nodes = (services * endpoints).div_ceil(PODS_PER_NODE).max(1);
        let services = (0..services)
            .map(|index| Service::new(index, endpoints, nodes))
            .collect();
        Self { services, nodes }
    }

    /// Services in the order of their chains' names, which is the order of `iptables-save`.
    fn by_hash(&self) -> Vec<&Service> {
        let mut services: Vec<_> = self
            .services
            .iter()
            .filter(|service| !service.endpoints.is_empty())
            .collect();
        services.sort_by(|a, b| a.hash.cmp(&b.hash));
        services
    }

    /// Every endpoint with its service, in the order of the endpoints' chains.
    fn endpoints_by_hash(&self) -> Vec<(&Service, &Endpoint)> {
        let mut endpoints: Vec<_> = self
            .services
            .iter()
            .flat_map(|service| service.endpoints.iter().map(move |e| (service, e)))
            .collect();
        endpoints.sort_by(|a, b| a.1.hash.cmp(&b.1.hash));
        endpoints
    }
}

/// The address `offset` places after `first`.
fn address(first: u32, offset: usize) -> Ipv4Addr {
    Ipv4Addr::from(first.wrapping_add(u32::try_from(offset).unwrap_or(u32::MAX)))
}

/// The 16 characters of a service's or endpoint's chain name: base32 of a SHA-256 (`portProtoHash` and
/// `servicePortEndpointChainName` in `pkg/proxy/iptables/proxier.go`).
fn chain_hash(parts: &[&str]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = sha256::digest(parts.concat().as_bytes());
    let bits = digest[..10]
        .iter()
        .fold(0u128, |bits, &byte| bits << 8 | u128::from(byte));
    (0..16)
        .rev()
        .map(|place| char::from(ALPHABET[(bits >> (5 * place)) as usize & 31]))
        .collect()
}

/// Writes the node's `iptables-save` output: `services` services of `endpoints` endpoints each.
///
/// # Errors
/// Only those of `out`.
pub fn iptables_save(services: usize, endpoints: usize, out: &mut impl Write) -> io::Result<()> {
    rules::write(&Cluster::new(services, endpoints), out)
}

/// Writes the node as a snapshot folder: `iptables-save.txt`, `ip-addr.txt`, `ip-route.txt` (of all tables),
/// `ip-rule.txt` and `sysctl.txt`. The folder is made if it is missing.
///
/// # Errors
/// Those of making the folder and writing the files.
pub fn write_node(dir: &Path, services: usize, endpoints: usize) -> io::Result<()> {
    let cluster = Cluster::new(services, endpoints);
    fs::create_dir_all(dir)?;
    let file = |name: &str, write: &dyn Fn(&mut BufWriter<File>) -> io::Result<()>| {
        let mut out = BufWriter::new(File::create(dir.join(name))?);
        write(&mut out)?;
        out.flush()
    };
    file("iptables-save.txt", &|out| {
        iptables_save(services, endpoints, out)
    })?;
    file("ip-addr.txt", &|out| {
        network::write_addresses(&cluster, out)
    })?;
    file("ip-route.txt", &|out| network::write_routes(&cluster, out))?;
    file("ip-rule.txt", &|out| network::write_policy(out))?;
    file("sysctl.txt", &|out| network::write_sysctls(&cluster, out))
}
