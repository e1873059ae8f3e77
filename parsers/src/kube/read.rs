//! JSON objects to records.

use super::raw::{
    RawAddress, RawEndpointPort, RawEndpoints, RawMeta, RawNode, RawPod, RawPort, RawRef,
    RawService, RawSlice, RawSubset,
};
use super::scan::{Document, Object, document};
use super::{
    ContainerPort, Endpoint, EndpointPort, KubeNode, Meta, Objects, Pod, Policy, Service,
    ServicePort, ServiceType, Slice, TargetPort, proto,
};
use crate::common::{Diagnostic, Parsed, Span};
use std::net::IpAddr;

/// Reads objects as JSON: lists and single ones, several after each other, also of a text that was cut off.
///
/// Objects of other kinds are passed over.
pub fn parse(text: &str) -> Parsed<Objects> {
    let mut r = Reader {
        text,
        out: Parsed::default(),
        counted: (0, 1),
    };
    let mut at = 0;
    while let Some(d) = document(text, at) {
        at = d.whole.end.max(at + 1);
        r.document(&d);
    }
    r.out
}

struct Reader<'a> {
    text: &'a str,
    out: Parsed<Objects>,
    /// A place and its line; later places are counted from there.
    counted: (usize, u32),
}

/// Why an object is no record.
type Refused = serde_json::Error;

impl<'a> Reader<'a> {
    fn document(&mut self, d: &Document<'a>) {
        match &d.items {
            Some(items) => {
                // `PodList` of `kubectl get --raw`: its items do not repeat their kind.
                let of_list = d.whole.kind.and_then(|k| k.strip_suffix("List"));
                for o in items {
                    self.object(*o, o.kind.or(of_list.filter(|k| !k.is_empty())));
                }
            }
            None if !d.cut => self.object(d.whole, d.whole.kind),
            None => {}
        }
        if d.cut {
            let line = self.line(d.whole.start);
            let span = Span::new(d.whole.start, d.whole.start + 1);
            self.out.diagnostics.push(
                Diagnostic::warning(line, span, "the text ends within this object")
                    .help("capture the whole of it: kubectl get svc,endpointslices,pods,nodes -A -o json > kube.json"),
            );
        }
    }

    fn object(&mut self, o: Object<'a>, kind: Option<&str>) {
        let Some(json) = self.text.get(o.start..o.end) else {
            return;
        };
        let done = match kind {
            Some("Service") => self.service(o, json),
            Some("EndpointSlice") => self.slice(o, json),
            Some("Endpoints") => self.endpoints(o, json),
            Some("Pod") => self.pod(o, json),
            Some("Node") => self.node(o, json),
            _ => Ok(()),
        };
        if let Err(e) = done {
            let line = self.line(o.start);
            let what = kind.unwrap_or("object");
            self.out.diagnostics.push(Diagnostic::warning(
                line,
                Span::new(o.start, o.start + 1),
                format!("this {what} is not as Kubernetes writes it, and is left out: {e}"),
            ));
        }
    }

    /// The line of a byte. Places come in order but for a few steps back, so counting from the last one is cheap.
    fn line(&mut self, at: usize) -> u32 {
        let (from, mut line) = self.counted;
        let bytes = self.text.as_bytes();
        let newlines = |a: usize, b: usize| {
            let n = memchr::memchr_iter(b'\n', bytes.get(a..b).unwrap_or_default()).count();
            u32::try_from(n).unwrap_or(u32::MAX)
        };
        if at >= from {
            line = line.saturating_add(newlines(from, at));
        } else {
            line = line.saturating_sub(newlines(at, from));
        }
        self.counted = (at, line);
        line
    }

    /// The line of a piece of the text; that of `else_at` where it is no piece of it (a string with escapes).
    fn line_of(&mut self, part: &str, else_at: usize) -> u32 {
        let at = (part.as_ptr() as usize)
            .checked_sub(self.text.as_ptr() as usize)
            .filter(|at| *at < self.text.len());
        self.line(at.unwrap_or(else_at))
    }

    fn meta(&mut self, o: Object<'_>, m: RawMeta<'a>) -> Meta {
        Meta {
            line: self.line_of(&m.name.0, o.start),
            namespace: m.namespace.unwrap_or_default(),
            name: m.name.0.into_owned(),
            span: Span::new(o.start, o.end),
        }
    }

    fn service(&mut self, o: Object<'_>, json: &'a str) -> Result<(), Refused> {
        let raw: RawService<'a> = serde_json::from_str(json)?;
        let spec = raw.spec;
        let meta = self.meta(o, raw.metadata);
        let mut cluster_ips = addresses(spec.cluster_ips);
        if cluster_ips.is_empty() {
            cluster_ips = addresses(spec.cluster_ip.map(|a| vec![a]));
        }
        let policy_line = match &spec.external_policy {
            Some(p) => self.line_of(&p.0, o.start),
            None => 0,
        };
        let ingress = raw.status.unwrap_or_default().load_balancer;
        let ingress = ingress.unwrap_or_default().ingress.unwrap_or_default();
        self.out.value.services.push(Service {
            meta,
            kind: spec
                .kind
                .as_deref()
                .and_then(ServiceType::parse)
                .unwrap_or_default(),
            cluster_ips,
            external_ips: addresses(spec.external_ips),
            ingress_ips: addresses(Some(ingress.into_iter().filter_map(|i| i.ip).collect())),
            ports: spec
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(|p| ServicePort {
                    name: p.name.unwrap_or_default(),
                    proto: proto(&p.protocol.unwrap_or_default()),
                    port: p.port,
                    node_port: p.node_port.filter(|p| *p != 0),
                    target: p.target_port.map(|t| match t {
                        RawPort::Number(n) => TargetPort::Number(n),
                        RawPort::Name(n) => TargetPort::Name(n),
                    }),
                })
                .collect(),
            external_policy: spec.external_policy.and_then(|p| Policy::parse(&p.0)),
            external_policy_line: policy_line,
            internal_policy: spec.internal_policy.and_then(|p| Policy::parse(&p)),
            affinity: spec.affinity.as_deref() == Some("ClientIP"),
            source_ranges: spec.source_ranges.unwrap_or_default(),
            health_port: spec.health_port.filter(|p| *p != 0),
            selector: spec.selector.unwrap_or_default().into_iter().collect(),
            listed: false,
        });
        Ok(())
    }

    fn slice(&mut self, o: Object<'_>, json: &'a str) -> Result<(), Refused> {
        let raw: RawSlice<'a> = serde_json::from_str(json)?;
        let labels = raw.metadata.labels.as_ref();
        let owner = raw.metadata.owners.as_ref().and_then(|o| {
            let o = o.iter().find(|o| o.kind.as_deref() == Some("Service"))?;
            o.name.clone()
        });
        let service = labels
            .and_then(|l| l.get("kubernetes.io/service-name").cloned())
            .or(owner)
            .unwrap_or_else(|| without_suffix(&raw.metadata.name.0).to_owned());
        let meta = self.meta(o, raw.metadata);
        let endpoints = raw.endpoints.unwrap_or_default();
        self.out.value.slices.push(Slice {
            service,
            endpoints: endpoints
                .into_iter()
                .map(|e| {
                    let c = e.conditions.unwrap_or_default();
                    // discovery/v1: ready is true where it is unknown, serving then as ready.
                    let ready = c.ready.unwrap_or(true);
                    Endpoint {
                        addresses: addresses(e.addresses),
                        ready,
                        serving: c.serving.unwrap_or(ready),
                        terminating: c.terminating.unwrap_or(false),
                        node: e.node,
                        pod: e.target.and_then(RawRef::pod),
                        hinted: e.hints.is_some(),
                    }
                })
                .collect(),
            ports: endpoint_ports(raw.ports),
            legacy: false,
            complete: true,
            meta,
        });
        Ok(())
    }

    fn endpoints(&mut self, o: Object<'_>, json: &'a str) -> Result<(), Refused> {
        let raw: RawEndpoints<'a> = serde_json::from_str(json)?;
        let meta = self.meta(o, raw.metadata);
        let subsets = raw.subsets.unwrap_or_default();
        // Without endpoints it is still known that there are none.
        let subsets = if subsets.is_empty() {
            vec![RawSubset::default()]
        } else {
            subsets
        };
        for s in subsets {
            let list = |all: Option<Vec<RawAddress>>, ready: bool| {
                all.unwrap_or_default().into_iter().map(move |a| Endpoint {
                    addresses: addresses(a.ip.map(|ip| vec![ip])),
                    ready,
                    serving: ready,
                    terminating: false,
                    node: a.node,
                    pod: a.target.and_then(RawRef::pod),
                    hinted: false,
                })
            };
            self.out.value.slices.push(Slice {
                service: meta.name.clone(),
                endpoints: list(s.addresses, true)
                    .chain(list(s.not_ready, false))
                    .collect(),
                ports: endpoint_ports(s.ports),
                legacy: true,
                complete: true,
                meta: meta.clone(),
            });
        }
        Ok(())
    }

    fn pod(&mut self, o: Object<'_>, json: &'a str) -> Result<(), Refused> {
        let mut raw: RawPod<'a> = serde_json::from_str(json)?;
        let labels = raw.metadata.labels.take().unwrap_or_default();
        let meta = self.meta(o, raw.metadata);
        let status = raw.status.unwrap_or_default();
        let mut ips = addresses(Some(
            status
                .pod_ips
                .unwrap_or_default()
                .into_iter()
                .filter_map(|i| i.ip)
                .collect(),
        ));
        if ips.is_empty() {
            ips = addresses(status.pod_ip.map(|ip| vec![ip]));
        }
        let containers = raw.spec.containers.unwrap_or_default();
        // Those with restartPolicy Always run beside the others (side cars) and may have ports.
        let inits = raw.spec.init_containers.unwrap_or_default();
        self.out.value.pods.push(Pod {
            meta,
            ips,
            host_ip: status.host_ip.and_then(|a| address(&a)),
            node: raw.spec.node,
            host_network: Some(raw.spec.host_network.unwrap_or(false)),
            ports: containers
                .into_iter()
                .chain(inits)
                .flat_map(|c| c.ports.unwrap_or_default())
                .map(|p| ContainerPort {
                    name: p.name.unwrap_or_default(),
                    proto: proto(&p.protocol.unwrap_or_default()),
                    port: p.container_port,
                    host_port: p.host_port.filter(|p| *p != 0),
                })
                .collect(),
            labels: labels.into_iter().collect(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            listed: false,
        });
        Ok(())
    }

    fn node(&mut self, o: Object<'_>, json: &'a str) -> Result<(), Refused> {
        let raw: RawNode<'a> = serde_json::from_str(json)?;
        let meta = self.meta(o, raw.metadata);
        let spec = raw.spec.unwrap_or_default();
        let all = raw.status.unwrap_or_default().addresses.unwrap_or_default();
        let of = |kind: &str| {
            all.iter()
                .filter(|a| a.kind == kind)
                .filter_map(|a| address(&a.address))
                .collect()
        };
        self.out.value.nodes.push(KubeNode {
            meta,
            internal_ips: of("InternalIP"),
            external_ips: of("ExternalIP"),
            pod_cidrs: spec
                .pod_cidrs
                .or(spec.pod_cidr.map(|c| vec![c]))
                .unwrap_or_default(),
        });
        Ok(())
    }
}

/// The Service's name in that of an `EndpointSlice`: `web-x7k2p`.
pub(super) fn without_suffix(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(service, _)| service)
}

/// `None` stands for a headless Service's address, and names of hosts may stand where addresses do.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|a| a.to_canonical())
}

fn addresses(list: Option<Vec<String>>) -> Vec<IpAddr> {
    list.unwrap_or_default()
        .iter()
        .filter_map(|a| address(a))
        .collect()
}

fn endpoint_ports(list: Option<Vec<RawEndpointPort>>) -> Vec<EndpointPort> {
    list.unwrap_or_default()
        .into_iter()
        .map(|p| EndpointPort {
            name: p.name.unwrap_or_default(),
            proto: proto(&p.protocol.unwrap_or_default()),
            port: p.port,
        })
        .collect()
}
