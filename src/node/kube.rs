//! What Kubernetes calls the addresses of this node's rules.

use super::{FileId, Node, Origin};
use nfwhy_parsers::Proto;
use nfwhy_parsers::common::Masked;
use nfwhy_parsers::kube::{Endpoint, KubeNode, Meta, Pod, Service, ServicePort, Slice, TargetPort};
use std::collections::HashMap;
use std::net::IpAddr;

/// An object and its file.
#[derive(Clone, Debug)]
pub struct Of<T> {
    /// The object.
    pub object: T,
    /// Its file.
    pub file: FileId,
}

/// Objects of Kubernetes, as far as they were captured.
#[derive(Clone, Debug, Default)]
pub struct Kube {
    /// Services.
    pub services: Vec<Of<Service>>,
    /// Their endpoints.
    pub slices: Vec<Of<Slice>>,
    /// Pods.
    pub pods: Vec<Of<Pod>>,
    /// Nodes.
    pub nodes: Vec<Of<KubeNode>>,
    /// The name of the node that this is, where addresses tell.
    pub this_node: Option<String>,
    /// Services by address, protocol and port: their places, and those of their ports.
    by_address: HashMap<(IpAddr, Proto, u16), (usize, usize)>,
    /// Services by address alone.
    by_ip: HashMap<IpAddr, usize>,
    by_node_port: HashMap<(Proto, u16), (usize, usize)>,
    /// Pods with an address of their own.
    pod_by_ip: HashMap<IpAddr, usize>,
    node_by_ip: HashMap<IpAddr, usize>,
    /// Endpoints by address: slice and place in it.
    endpoint_by_ip: HashMap<IpAddr, Vec<(usize, usize)>>,
}

/// What kind of address of a Service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// `clusterIPs`.
    Cluster,
    /// `externalIPs`.
    External,
    /// Given by a load balancer.
    LoadBalancer,
    /// A node's own, with the `nodePort`.
    NodePort,
}

impl AddressKind {
    /// For sentences: `its ClusterIP`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterIP",
            Self::External => "external IP",
            Self::LoadBalancer => "load balancer address",
            Self::NodePort => "NodePort",
        }
    }
}

/// A Service, and how it was found.
#[derive(Clone, Copy, Debug)]
pub struct ServiceAt<'k> {
    /// Its place in [`Kube::services`].
    pub index: usize,
    /// The Service.
    pub service: &'k Service,
    /// Its port.
    pub port: &'k ServicePort,
    /// How it is asked.
    pub kind: AddressKind,
    /// Where it was read.
    pub at: Origin,
}

impl ServiceAt<'_> {
    /// `default/ng-svc:http`, as kube-proxy writes it; a table does not show names of ports, and gives the number.
    pub fn name(&self) -> String {
        service_port_name(self.service, self.port)
    }
}

/// `default/ng-svc:http`.
pub fn service_port_name(service: &Service, port: &ServicePort) -> String {
    let name = service.meta.full();
    if !port.name.is_empty() {
        format!("{name}:{}", port.name)
    } else if service.listed {
        format!("{name}:{}", port.port)
    } else {
        name
    }
}

/// An endpoint of a Service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Ready for new connections.
    pub ready: bool,
    /// Serving although it terminates.
    pub draining: bool,
    /// Its node.
    pub node: Option<String>,
    /// `default/ng-test-rs-cwqr5`.
    pub pod: Option<String>,
    /// Where its slice was read.
    pub at: Origin,
}

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// `default/ng-test-rs-cwqr5`, where it is a pod.
    pub pod: Option<String>,
    /// Its node.
    pub node: Option<String>,
    /// Whether that is the node that this is; `None` where it is not known.
    pub here: Option<bool>,
}

impl Kube {
    /// Whether nothing was captured.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.slices.is_empty()
            && self.pods.is_empty()
            && self.nodes.is_empty()
    }

    /// From objects, each once.
    pub fn new(
        services: Vec<Of<Service>>,
        slices: Vec<Of<Slice>>,
        pods: Vec<Of<Pod>>,
        nodes: Vec<Of<KubeNode>>,
    ) -> Self {
        let mut kube = Self {
            services,
            slices,
            pods,
            nodes,
            ..Self::default()
        };
        kube.index();
        kube
    }

    fn index(&mut self) {
        for (i, s) in self.services.iter().enumerate() {
            let s = &s.object;
            for ip in addresses(s).map(|(ip, _)| ip) {
                self.by_ip.entry(ip).or_insert(i);
                for (p, port) in s.ports.iter().enumerate() {
                    self.by_address
                        .entry((ip, port.proto, port.port))
                        .or_insert((i, p));
                }
            }
            for (p, port) in s.ports.iter().enumerate() {
                if let Some(n) = port.node_port {
                    self.by_node_port.entry((port.proto, n)).or_insert((i, p));
                }
            }
        }
        for (i, n) in self.nodes.iter().enumerate() {
            for ip in n.object.internal_ips.iter().chain(&n.object.external_ips) {
                self.node_by_ip.entry(*ip).or_insert(i);
            }
        }
        let host_ips: std::collections::HashSet<IpAddr> =
            self.pods.iter().filter_map(|p| p.object.host_ip).collect();
        for (i, p) in self.pods.iter().enumerate() {
            let p = &p.object;
            for ip in &p.ips {
                let shared = p
                    .host_network
                    .unwrap_or_else(|| self.node_by_ip.contains_key(ip) || host_ips.contains(ip));
                if !p.ended && !shared {
                    self.pod_by_ip.entry(*ip).or_insert(i);
                }
            }
        }
        for (i, s) in self.slices.iter().enumerate() {
            for (n, e) in s.object.endpoints.iter().enumerate() {
                for ip in &e.addresses {
                    self.endpoint_by_ip.entry(*ip).or_default().push((i, n));
                }
            }
        }
    }

    /// The Service that is asked at an address of its own.
    pub fn service_by(&self, ip: IpAddr, proto: Proto, port: u16) -> Option<ServiceAt<'_>> {
        let (i, p) = *self.by_address.get(&(ip, proto, port))?;
        let kind = self.kind_of(i, ip)?;
        self.service_at(i, p, kind)
    }

    /// The Service of a `NodePort`.
    pub fn service_by_node_port(&self, proto: Proto, port: u16) -> Option<ServiceAt<'_>> {
        let (i, p) = *self.by_node_port.get(&(proto, port))?;
        self.service_at(i, p, AddressKind::NodePort)
    }

    /// The Service that an address belongs to, whatever the port.
    pub fn service_with(&self, ip: IpAddr) -> Option<&Of<Service>> {
        self.services.get(*self.by_ip.get(&ip)?)
    }

    fn service_at(&self, index: usize, port: usize, kind: AddressKind) -> Option<ServiceAt<'_>> {
        let of = self.services.get(index)?;
        Some(ServiceAt {
            index,
            service: &of.object,
            port: of.object.ports.get(port)?,
            kind,
            at: of.at(&of.object.meta),
        })
    }

    fn kind_of(&self, index: usize, ip: IpAddr) -> Option<AddressKind> {
        let s = self.services.get(index)?;
        addresses(&s.object).find(|(a, _)| *a == ip).map(|(_, k)| k)
    }

    /// The pod that has an address for its own.
    pub fn pod_by_ip(&self, ip: IpAddr) -> Option<&Of<Pod>> {
        self.pods.get(*self.pod_by_ip.get(&ip)?)
    }

    /// The node that has an address.
    pub fn node_by_ip(&self, ip: IpAddr) -> Option<&Of<KubeNode>> {
        self.nodes.get(*self.node_by_ip.get(&ip)?)
    }

    /// Whether an address is a pod's or a node's, or of a node's pods.
    pub fn within(&self, ip: IpAddr) -> bool {
        let in_cidr = |cidr: &String| {
            let (addr, len) = cidr.split_once('/')?;
            Some(Masked::prefix(addr.parse().ok()?, len.parse().ok()?).contains(ip))
        };
        self.pod_by_ip.contains_key(&ip)
            || self.node_by_ip.contains_key(&ip)
            || self
                .nodes
                .iter()
                .any(|n| n.object.pod_cidrs.iter().any(|c| in_cidr(c) == Some(true)))
    }

    /// Who has an address; with a port also the pods that have their node's network are told apart.
    pub fn who(&self, ip: IpAddr, port: Option<u16>) -> Option<Who> {
        if let Some(p) = self.pod_by_ip(ip) {
            return Some(self.called(Some(p.object.meta.full()), p.object.node.clone()));
        }
        let named = self.endpoint_by_ip.get(&ip).and_then(|list| {
            list.iter().find_map(|(s, e)| {
                let slice = &self.slices.get(*s)?.object;
                let e = slice.endpoints.get(*e)?;
                let pod = e.pod.as_ref()?;
                let asked = |p: u16| slice.ports.iter().any(|x| x.port == Some(p));
                port.is_none_or(asked).then(|| (full(pod), e.node.clone()))
            })
        });
        // Without a port an address that pods share with their node is the node's.
        let host = self.node_by_ip(ip);
        if let Some((pod, node)) = named.filter(|_| port.is_some() || host.is_none()) {
            return Some(self.called(Some(pod), node));
        }
        host.map(|n| self.called(None, Some(n.object.meta.name.clone())))
    }

    fn called(&self, pod: Option<String>, node: Option<String>) -> Who {
        let here = self
            .this_node
            .as_ref()
            .zip(node.as_ref())
            .map(|(a, b)| a == b);
        Who { pod, node, here }
    }

    /// The slices of a Service, those of Endpoints only where there are no others.
    pub fn slices_of(&self, service: &Service) -> Vec<&Of<Slice>> {
        let of = |s: &&Of<Slice>| {
            let ns = &s.object.meta.namespace;
            s.object.service == service.meta.name
                && (*ns == service.meta.namespace
                    || ns.is_empty()
                    || service.meta.namespace.is_empty())
        };
        let (legacy, new): (Vec<_>, Vec<_>) =
            self.slices.iter().filter(of).partition(|s| s.object.legacy);
        if new.is_empty() { legacy } else { new }
    }

    /// The endpoints of a Service's port, each once; `None` where they were not captured whole, or by names that do not tell.
    pub fn backends(&self, service: &Service, port: &ServicePort) -> Option<Vec<Backend>> {
        let slices = self.slices_of(service);
        if slices.is_empty() || service.listed || slices.iter().any(|s| !s.object.complete) {
            return None;
        }
        let mut out: Vec<Backend> = Vec::new();
        for s in slices {
            let slice = &s.object;
            let named = |p: &&nfwhy_parsers::kube::EndpointPort| {
                p.name == port.name && p.proto == port.proto
            };
            let numbers = slice.ports.iter().filter(named).filter_map(|p| p.port);
            for number in numbers {
                for e in &slice.endpoints {
                    // discovery/v1: consumers take the first of several addresses.
                    let Some(ip) = e.addresses.first() else {
                        continue;
                    };
                    if out.iter().any(|b| b.ip == *ip && b.port == number) {
                        continue;
                    }
                    out.push(self.backend(s, e, *ip, number));
                }
            }
        }
        Some(out)
    }

    fn backend(&self, s: &Of<Slice>, e: &Endpoint, ip: IpAddr, port: u16) -> Backend {
        let own = || self.pod_by_ip(ip).map(|p| &p.object);
        Backend {
            ip,
            port,
            ready: e.ready && !e.terminating,
            draining: e.serving && e.terminating,
            node: e.node.clone().or_else(|| own()?.node.clone()),
            pod: e
                .pod
                .as_ref()
                .map(full)
                .or_else(|| Some(own()?.meta.full())),
            at: s.at(&s.object.meta),
        }
    }

    /// Whether some endpoint of a Service is meant for some zones alone.
    pub fn hinted(&self, service: &Service) -> bool {
        let slices = self.slices_of(service);
        let mut all = slices.iter().flat_map(|s| &s.object.endpoints);
        all.any(|e| e.hinted)
    }

    /// Pods that the selector of a Service selects.
    pub fn selected<'k>(&'k self, service: &'k Service) -> impl Iterator<Item = &'k Of<Pod>> {
        self.pods.iter().filter(|p| {
            let p = &p.object;
            !service.selector.is_empty()
                && !p.ended
                && p.meta.namespace == service.meta.namespace
                && service.selector.iter().all(|l| p.labels.contains(l))
        })
    }

    /// The number of a Service's port at a pod: a name is one that a container declares.
    pub fn target(service: &ServicePort, pod: &Pod) -> Option<u16> {
        match &service.target {
            Some(TargetPort::Number(n)) => Some(*n),
            Some(TargetPort::Name(name)) => pod
                .ports
                .iter()
                .find(|p| p.name == *name && p.proto == service.proto)
                .map(|p| p.port),
            // What is left out is the Service's own.
            None => Some(service.port),
        }
    }
}

impl<T> Of<T> {
    /// Where it was read.
    pub fn at(&self, meta: &Meta) -> Origin {
        Origin {
            file: self.file,
            line: meta.line,
        }
    }
}

/// The addresses of a Service, those outside first.
pub fn addresses(s: &Service) -> impl Iterator<Item = (IpAddr, AddressKind)> + '_ {
    let of = |list: &'_ [IpAddr], kind| list.iter().map(move |a| (*a, kind)).collect::<Vec<_>>();
    of(&s.ingress_ips, AddressKind::LoadBalancer)
        .into_iter()
        .chain(of(&s.external_ips, AddressKind::External))
        .chain(of(&s.cluster_ips, AddressKind::Cluster))
}

fn full((namespace, name): &(String, String)) -> String {
    if namespace.is_empty() {
        name.clone()
    } else {
        format!("{namespace}/{name}")
    }
}

impl Node<'_> {
    /// The Service that a packet to this destination asks: by an address of the Service's own, or by a node's and the `NodePort`.
    pub fn service_asked(&self, dst: IpAddr, proto: Proto, port: u16) -> Option<ServiceAt<'_>> {
        if self.kube.is_empty() {
            return None;
        }
        self.kube.service_by(dst, proto, port).or_else(|| {
            let nodes = self.kube.node_by_ip(dst).is_some() || self.has_own(dst);
            if nodes {
                self.kube.service_by_node_port(proto, port)
            } else {
                None
            }
        })
    }

    /// Whether an address is on one of the node's own devices; those that kube-proxy keeps for Services are not.
    pub fn has_own(&self, ip: IpAddr) -> bool {
        self.devices
            .iter()
            .any(|d| !d.name.starts_with("kube-ipvs") && d.addrs.iter().any(|a| a.local == ip))
    }

    /// Which of the nodes this is: the one whose address is here; else the one whose pods are reached without a gateway.
    pub(super) fn find_this_node(&self) -> Option<String> {
        let by_address = self.kube.nodes.iter().find(|n| {
            let n = &n.object;
            n.internal_ips
                .iter()
                .chain(&n.external_ips)
                .any(|ip| self.has_own(*ip))
        });
        if let Some(n) = by_address {
            return Some(n.object.meta.name.clone());
        }
        let by_host = self.kube.pods.iter().find_map(|p| {
            let p = &p.object;
            p.host_ip.filter(|ip| self.has_own(*ip))?;
            p.node.clone()
        });
        by_host.or_else(|| self.node_of_near_pods())
    }

    /// A pod whose own address is routed to a device without a gateway runs here. Where pods of several nodes are, that says nothing:
    /// a flat network.
    fn node_of_near_pods(&self) -> Option<String> {
        let near = |ip: IpAddr| {
            let family = nfwhy_parsers::Family::of(ip);
            let mut tables = self.fib(family).tables.values();
            tables.any(|t| {
                t.candidates(ip).flatten().any(|r| {
                    r.dst_len == family.bits()
                        && r.nexthops
                            .iter()
                            .any(|n| n.via.is_none() && self.device(n.dev).tunnel().is_none())
                })
            })
        };
        let mut names = self.kube.pods.iter().filter_map(|p| {
            let p = &p.object;
            let node = p.node.as_ref()?;
            (!p.ended && p.ips.iter().any(|ip| !self.has_own(*ip) && near(*ip))).then_some(node)
        });
        let first = names.next()?;
        names.all(|n| n == first).then(|| first.clone())
    }
}
