//! Objects of Kubernetes: `kubectl get svc,endpointslices,endpoints,pods,nodes -A -o json`, and the tables that `kubectl get` prints.
//!
//! Only what says something about packets is kept. Objects are read one by one, so that a damaged one does not take the others with
//! it, and a list of any length needs no more memory than its records.

mod pasted;
mod raw;
mod read;
mod scan;
mod table;

pub use read::parse;
pub use table::{is_header, table};

use crate::common::{Proto, Span};
use std::net::IpAddr;

/// Where an object was read, and how it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Its namespace; empty where the text does not show it, and for nodes, which have none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The line of its name.
    pub line: u32,
    /// The object, or the row of a table.
    pub span: Span,
}

impl Meta {
    /// `default/ng-svc`, or the name alone where the namespace is not known.
    pub fn full(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

/// `spec.type` of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// An address within the cluster alone.
    #[default]
    ClusterIp,
    /// And a port on every node.
    NodePort,
    /// And an address outside.
    LoadBalancer,
    /// A name in DNS, without any address.
    ExternalName,
}

impl ServiceType {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::ClusterIp,
            Self::NodePort,
            Self::LoadBalancer,
            Self::ExternalName,
        ]
        .into_iter()
        .find(|t| t.name() == text)
    }
}

/// Which endpoints traffic may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Any.
    Cluster,
    /// Those of the node that the packet came to.
    Local,
}

impl Policy {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "Cluster" => Some(Self::Cluster),
            "Local" => Some(Self::Local),
            _ => None,
        }
    }
}

/// A port of a pod: its number, or the name by which a container declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// A name.
    Name(String),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where it has none, or the text does not show it.
    pub name: String,
    /// Its protocol.
    pub proto: Proto,
    /// Its number.
    pub port: u16,
    /// The port on every node.
    pub node_port: Option<u16>,
    /// The port of the pods, where the text shows it.
    pub target: Option<TargetPort>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Name and place.
    pub meta: Meta,
    /// Its type.
    pub kind: ServiceType,
    /// Addresses within the cluster; none where it is headless.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses that the load balancer gave it.
    pub ingress_ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `externalTrafficPolicy`, where it is written.
    pub external_policy: Option<Policy>,
    /// The line of `externalTrafficPolicy`.
    pub external_policy_line: u32,
    /// `internalTrafficPolicy`, where it is written.
    pub internal_policy: Option<Policy>,
    /// `sessionAffinity: ClientIP`.
    pub affinity: bool,
    /// `loadBalancerSourceRanges`.
    pub source_ranges: Vec<String>,
    /// `healthCheckNodePort`.
    pub health_port: Option<u16>,
    /// Labels of its pods; empty where it has none (its endpoints are then written by hand), or the text does not show them.
    pub selector: Vec<(String, String)>,
    /// From a table, which shows neither policies nor names of ports.
    pub listed: bool,
}

/// An endpoint of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its addresses: the first one counts.
    pub addresses: Vec<IpAddr>,
    /// Ready for new connections; where it is not written, it is ready.
    pub ready: bool,
    /// Serving, be it that it terminates.
    pub serving: bool,
    /// Terminating.
    pub terminating: bool,
    /// Its node.
    pub node: Option<String>,
    /// The namespace and name of its pod.
    pub pod: Option<(String, String)>,
    /// It is meant for some zones alone (`hints`).
    pub hinted: bool,
}

/// A port of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name of the Service's port.
    pub name: String,
    /// Its protocol.
    pub proto: Proto,
    /// Its number; `None` stands for every port.
    pub port: Option<u16>,
}

/// An `EndpointSlice`, or one subset of an `Endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Name and place.
    pub meta: Meta,
    /// The Service's name.
    pub service: String,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Their ports.
    pub ports: Vec<EndpointPort>,
    /// An `Endpoints`, which an `EndpointSlice` of the Service is better than.
    pub legacy: bool,
    /// Every endpoint is shown (a table ends in `+ 2 more...`).
    pub complete: bool,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its protocol.
    pub proto: Proto,
    /// Its number.
    pub port: u16,
    /// The port of the node that leads to it.
    pub host_port: Option<u16>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Name and place.
    pub meta: Meta,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// The address of its node.
    pub host_ip: Option<IpAddr>,
    /// Its node.
    pub node: Option<String>,
    /// It has the node's own network; `None` where the text does not show it.
    pub host_network: Option<bool>,
    /// Ports of its containers.
    pub ports: Vec<ContainerPort>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// It has ended: another pod may have its address now.
    pub ended: bool,
    /// From a table.
    pub listed: bool,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeNode {
    /// Name and place.
    pub meta: Meta,
    /// Addresses within the cluster.
    pub internal_ips: Vec<IpAddr>,
    /// Addresses outside.
    pub external_ips: Vec<IpAddr>,
    /// Networks of its pods (`10.244.1.0/24`).
    pub pod_cidrs: Vec<String>,
}

/// What a text holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Services.
    pub services: Vec<Service>,
    /// Endpoints.
    pub slices: Vec<Slice>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Nodes.
    pub nodes: Vec<KubeNode>,
}

impl Objects {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.slices.is_empty()
            && self.pods.is_empty()
            && self.nodes.is_empty()
    }
}

/// `TCP` as Kubernetes writes it; what is left out is TCP.
fn proto(text: &str) -> Proto {
    match text {
        "UDP" => Proto::UDP,
        "SCTP" => Proto::SCTP,
        _ => Proto::TCP,
    }
}
