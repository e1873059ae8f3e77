//! Objects as Kubernetes writes them, with the fields that are used; all others are passed over.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A string that is borrowed where the text has it unescaped: its place tells its line.
#[derive(Deserialize)]
pub(super) struct Placed<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[derive(Deserialize)]
pub(super) struct RawMeta<'a> {
    #[serde(borrow)]
    pub name: Placed<'a>,
    pub namespace: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "ownerReferences")]
    pub owners: Option<Vec<RawRef>>,
}

#[derive(Deserialize)]
pub(super) struct RawRef {
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
}

impl RawRef {
    pub fn pod(self) -> Option<(String, String)> {
        let pod = self.kind.as_deref().is_none_or(|k| k == "Pod");
        Some((self.namespace.unwrap_or_default(), self.name?)).filter(|_| pod)
    }
}

#[derive(Deserialize)]
pub(super) struct RawService<'a> {
    #[serde(borrow)]
    pub metadata: RawMeta<'a>,
    #[serde(borrow)]
    pub spec: RawServiceSpec<'a>,
    pub status: Option<RawServiceStatus>,
}

#[derive(Deserialize)]
pub(super) struct RawServiceSpec<'a> {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    pub external_ips: Option<Vec<String>>,
    pub ports: Option<Vec<RawServicePort>>,
    #[serde(rename = "externalTrafficPolicy", borrow)]
    pub external_policy: Option<Placed<'a>>,
    #[serde(rename = "internalTrafficPolicy")]
    pub internal_policy: Option<String>,
    #[serde(rename = "sessionAffinity")]
    pub affinity: Option<String>,
    #[serde(rename = "loadBalancerSourceRanges")]
    pub source_ranges: Option<Vec<String>>,
    #[serde(rename = "healthCheckNodePort")]
    pub health_port: Option<u16>,
    pub selector: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
pub(super) struct RawServicePort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    pub port: u16,
    #[serde(rename = "nodePort")]
    pub node_port: Option<u16>,
    #[serde(rename = "targetPort")]
    pub target_port: Option<RawPort>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawPort {
    Number(u16),
    Name(String),
}

#[derive(Default, Deserialize)]
pub(super) struct RawServiceStatus {
    #[serde(rename = "loadBalancer")]
    pub load_balancer: Option<RawLoadBalancer>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawLoadBalancer {
    pub ingress: Option<Vec<RawIp>>,
}

#[derive(Deserialize)]
pub(super) struct RawIp {
    pub ip: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawSlice<'a> {
    #[serde(borrow)]
    pub metadata: RawMeta<'a>,
    pub endpoints: Option<Vec<RawEndpoint>>,
    pub ports: Option<Vec<RawEndpointPort>>,
}

#[derive(Deserialize)]
pub(super) struct RawEndpoint {
    pub addresses: Option<Vec<String>>,
    pub conditions: Option<RawConditions>,
    #[serde(rename = "nodeName")]
    pub node: Option<String>,
    #[serde(rename = "targetRef")]
    pub target: Option<RawRef>,
    pub hints: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawConditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct RawEndpointPort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    pub port: Option<u16>,
}

#[derive(Deserialize)]
pub(super) struct RawEndpoints<'a> {
    #[serde(borrow)]
    pub metadata: RawMeta<'a>,
    pub subsets: Option<Vec<RawSubset>>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawSubset {
    pub addresses: Option<Vec<RawAddress>>,
    #[serde(rename = "notReadyAddresses")]
    pub not_ready: Option<Vec<RawAddress>>,
    pub ports: Option<Vec<RawEndpointPort>>,
}

#[derive(Deserialize)]
pub(super) struct RawAddress {
    pub ip: Option<String>,
    #[serde(rename = "nodeName")]
    pub node: Option<String>,
    #[serde(rename = "targetRef")]
    pub target: Option<RawRef>,
}

#[derive(Deserialize)]
pub(super) struct RawPod<'a> {
    #[serde(borrow)]
    pub metadata: RawMeta<'a>,
    pub spec: RawPodSpec,
    pub status: Option<RawPodStatus>,
}

#[derive(Deserialize)]
pub(super) struct RawPodSpec {
    #[serde(rename = "nodeName")]
    pub node: Option<String>,
    #[serde(rename = "hostNetwork")]
    pub host_network: Option<bool>,
    pub containers: Option<Vec<RawContainer>>,
    #[serde(rename = "initContainers")]
    pub init_containers: Option<Vec<RawContainer>>,
}

#[derive(Deserialize)]
pub(super) struct RawContainer {
    pub ports: Option<Vec<RawContainerPort>>,
}

#[derive(Deserialize)]
pub(super) struct RawContainerPort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    #[serde(rename = "containerPort")]
    pub container_port: u16,
    #[serde(rename = "hostPort")]
    pub host_port: Option<u16>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawPodStatus {
    pub phase: Option<String>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Option<Vec<RawIp>>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawNode<'a> {
    #[serde(borrow)]
    pub metadata: RawMeta<'a>,
    pub spec: Option<RawNodeSpec>,
    pub status: Option<RawNodeStatus>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawNodeSpec {
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
pub(super) struct RawNodeStatus {
    pub addresses: Option<Vec<RawNodeAddress>>,
}

#[derive(Deserialize)]
pub(super) struct RawNodeAddress {
    #[serde(rename = "type")]
    pub kind: String,
    pub address: String,
}
