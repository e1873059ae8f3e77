//! FROM and TO by the names of Kubernetes' objects.

use super::packet::{Number, PacketSpec};
use crate::explain::edits;
use crate::explain::place::leads_to_pods;
use crate::node::Node;
use crate::node::kube::{AddressKind, Kube, addresses};
use nfwhy_parsers::kube::{Meta, Pod, Service, ServicePort, ServiceType};
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;
use thiserror::Error;

/// Why a name gives no address.
#[derive(Debug, Error)]
pub enum NameError {
    /// Not of the form that names have.
    #[error("{text:?} is not a name: write {expected}")]
    Form {
        /// As written.
        text: String,
        /// What to write.
        expected: &'static str,
    },
    /// Nothing was captured that knows names.
    #[error(
        "{text} is a name, and no objects of Kubernetes were captured: put the output of `kubectl get svc,endpointslices,pods,nodes -A -o json` beside the other files, or give it as --kube FILE"
    )]
    NoObjects {
        /// As written.
        text: String,
    },
    /// No such object.
    #[error("no {what} {name} was captured; {near}")]
    Unknown {
        /// `Service` or `pod`.
        what: &'static str,
        /// As asked for.
        name: String,
        /// Names like it.
        near: String,
    },
    /// The Service has no such port, or which one is meant is not said.
    #[error("{service} has no port {port:?}; it has {have}")]
    Port {
        /// The Service.
        service: String,
        /// As asked for.
        port: String,
        /// Its ports.
        have: String,
    },
    /// No port is named, and there are several.
    #[error("which port of {service}? It has {have}")]
    WhichPort {
        /// The Service.
        service: String,
        /// Its ports.
        have: String,
    },
    /// There is nothing to send to.
    #[error("{name} has no address {why}")]
    NoAddress {
        /// The object.
        name: String,
        /// Why, and what it has instead.
        why: String,
    },
    /// The port is said twice.
    #[error("{text} names a port, and \"dport\" does so again")]
    TwoPorts {
        /// As written.
        text: String,
    },
    /// Objects do not say what a node does.
    #[error(
        "only objects of Kubernetes were captured, and these do not tell what a node does with a packet{known}. Ask on the node (nfwhy trace, as root), or add what `nfwhy capture` writes there"
    )]
    OnlyObjects {
        /// What they do tell.
        known: String,
    },
}

/// A name in the place of an address.
struct Asked<'t> {
    kind: Kind,
    namespace: &'t str,
    name: &'t str,
    port: Option<&'t str>,
    proto: Option<&'t str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Service,
    Pod,
}

const SERVICE: &str = "svc/NAMESPACE/NAME:PORT";
const POD: &str = "pod/NAMESPACE/NAME";

/// Whether a text is a name rather than an address: `svc/...`, `pod/...`, `NAMESPACE/NAME`.
pub(super) fn is_name(text: &str) -> bool {
    let Some((head, rest)) = text.split_once('/') else {
        return false;
    };
    // A namespace is a DNS label: no dot, no colon; an address with a protocol or a prefix has one of them.
    let label = |t: &str| {
        !t.is_empty()
            && t.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    label(head) && !rest.is_empty()
}

fn parse(text: &str) -> Result<Asked<'_>, NameError> {
    let form = |expected| NameError::Form {
        text: text.to_owned(),
        expected,
    };
    let (head, rest) = text.split_once('/').ok_or_else(|| form(SERVICE))?;
    let (kind, rest) = match head {
        "svc" | "service" | "services" => (Kind::Service, rest),
        "pod" | "pods" | "po" => (Kind::Pod, rest),
        _ => (Kind::Pod, text),
    };
    let expected = match kind {
        Kind::Service => SERVICE,
        Kind::Pod => POD,
    };
    let mut parts = rest.split('/');
    let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else {
        return Err(form(expected));
    };
    let proto = parts.next();
    let (name, port) = match name.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (name, None),
    };
    let empty = |t: &str| t.is_empty();
    if empty(namespace) || empty(name) || port.is_some_and(empty) || parts.next().is_some() {
        return Err(form(expected));
    }
    Ok(Asked {
        kind,
        namespace,
        name,
        port,
        proto,
    })
}

/// The same packet with addresses in the place of names; `None` where it has no names.
pub(super) fn resolved(
    spec: &PacketSpec,
    node: &Node<'_>,
) -> Result<Option<PacketSpec>, NameError> {
    let from = spec.src.as_deref().filter(|t| is_name(t));
    let to = Some(spec.dst.as_str()).filter(|t| is_name(t));
    if from.is_none() && to.is_none() {
        return Ok(None);
    }
    if node.kube.is_empty() {
        let text = to.or(from).unwrap_or_default().to_owned();
        return Err(NameError::NoObjects { text });
    }
    let mut out = spec.clone();
    let sender = from.map(|t| pod(&node.kube, t)).transpose()?;
    // The family is that of the end which is written as an address, else of what both have.
    let written = |t: Option<&str>| t.and_then(|t| t.parse::<IpAddr>().ok()).map(Family::of);
    let mut family = written(spec.src.as_deref()).or(written(Some(&spec.dst)));
    if family.is_none()
        && let Some((p, _)) = &sender
    {
        family = p.ips.first().map(|a| Family::of(*a));
    }
    if let Some((p, port)) = sender {
        out.src = Some(pod_address(p, family)?.to_string());
        out.sport = port.map(|p| Number::Int(p.into())).or(out.sport);
    }
    if let Some(text) = to {
        destination(&mut out, node, text, family)?;
    }
    Ok(Some(out))
}

fn destination(
    out: &mut PacketSpec,
    node: &Node<'_>,
    text: &str,
    family: Option<Family>,
) -> Result<(), NameError> {
    let name = parse(text)?;
    if name.port.is_some() && out.dport.is_some() {
        let text = text.to_owned();
        return Err(NameError::TwoPorts { text });
    }
    if let Some(p) = name.proto {
        out.proto = Some(Number::Text(p.to_owned()));
    }
    if name.kind == Kind::Pod {
        let (p, port) = pod(&node.kube, text)?;
        out.dst = pod_address(p, family)?.to_string();
        out.dport = port.map(|p| Number::Int(p.into())).or(out.dport.take());
        return Ok(());
    }
    let service = service(&node.kube, &name)?;
    let port = service_port(service, &name, out)?;
    out.dst = address(service, from_outside(out, node), family)?.to_string();
    out.dport = Some(Number::Int(port.port.into()));
    if out.proto.is_none() {
        out.proto = Some(Number::Text(port.proto.contract_name()));
    }
    Ok(())
}

/// Whether the sender is neither a pod nor a node of the cluster, so far as the objects and this node's devices tell.
fn from_outside(spec: &PacketSpec, node: &Node<'_>) -> bool {
    let Some(src) = spec.src.as_deref().and_then(|s| s.parse::<IpAddr>().ok()) else {
        return false;
    };
    let pods = spec
        .device()
        .and_then(|name| node.device_by_name(name))
        .is_some_and(|d| leads_to_pods(node, d));
    let local = spec.origin.as_deref() == Some("local");
    !(local || pods || node.has_own(src) || node.kube.within(src))
}

/// The load balancer's address for those outside, else the `ClusterIP`.
fn address(s: &Service, outside: bool, family: Option<Family>) -> Result<IpAddr, NameError> {
    let fits = |ip: IpAddr| family.is_none_or(|f| f == Family::of(ip));
    let of = |kind: AddressKind| {
        addresses(s)
            .find(|(ip, k)| *k == kind && fits(*ip))
            .map(|(ip, _)| ip)
    };
    let order: &[AddressKind] = if outside {
        &[
            AddressKind::LoadBalancer,
            AddressKind::Cluster,
            AddressKind::External,
        ]
    } else {
        &[
            AddressKind::Cluster,
            AddressKind::LoadBalancer,
            AddressKind::External,
        ]
    };
    if let Some(ip) = order.iter().find_map(|k| of(*k)) {
        return Ok(ip);
    }
    let have: Vec<String> = addresses(s)
        .map(|(ip, k)| format!("{ip} ({})", k.name()))
        .collect();
    let why = if s.kind == ServiceType::ExternalName {
        "of its own: it is a name in DNS for something else (ExternalName)".to_owned()
    } else if have.is_empty() {
        "of its own: it is headless, and clients ask its pods".to_owned()
    } else {
        format!("of the sender's family; it has {}", have.join(", "))
    };
    Err(NameError::NoAddress {
        name: s.meta.full(),
        why,
    })
}

fn is(meta: &Meta, namespace: &str, name: &str) -> bool {
    meta.name == name && (meta.namespace == namespace || meta.namespace.is_empty())
}

fn service<'k>(kube: &'k Kube, name: &Asked<'_>) -> Result<&'k Service, NameError> {
    let all = || kube.services.iter().map(|s| &s.object);
    all()
        .find(|s| is(&s.meta, name.namespace, name.name))
        .ok_or_else(|| unknown("Service", name, all().map(|s| &s.meta)))
}

/// The pod, and the port behind its name.
fn pod<'k>(kube: &'k Kube, text: &str) -> Result<(&'k Pod, Option<u16>), NameError> {
    let name = parse(text)?;
    let form = || NameError::Form {
        text: text.to_owned(),
        expected: POD,
    };
    if name.kind != Kind::Pod {
        return Err(form());
    }
    let all = || kube.pods.iter().map(|p| &p.object);
    let found = all()
        .find(|p| is(&p.meta, name.namespace, name.name))
        .ok_or_else(|| unknown("pod", &name, all().map(|p| &p.meta)))?;
    let port = name.port.map(|p| {
        let named = found.ports.iter().find(|c| c.name == p).map(|c| c.port);
        named.or_else(|| p.parse().ok()).ok_or_else(form)
    });
    Ok((found, port.transpose()?))
}

fn pod_address(p: &Pod, family: Option<Family>) -> Result<IpAddr, NameError> {
    let mut fitting = p.ips.iter();
    fitting
        .find(|ip| family.is_none_or(|f| f == Family::of(**ip)))
        .copied()
        .ok_or_else(|| NameError::NoAddress {
            name: format!("the pod {}", p.meta.full()),
            why: match p.ips.as_slice() {
                [] => "in what was captured (a table shows it with -o wide)".to_owned(),
                have => {
                    let have: Vec<String> = have.iter().map(ToString::to_string).collect();
                    format!("of the other end's family; it has {}", have.join(", "))
                }
            },
        })
}

fn service_port<'s>(
    s: &'s Service,
    name: &Asked<'_>,
    spec: &PacketSpec,
) -> Result<&'s ServicePort, NameError> {
    let proto = match &spec.proto {
        Some(Number::Text(t)) => Proto::parse(&t.to_ascii_lowercase()),
        Some(Number::Int(n)) => u8::try_from(*n).ok().map(Proto),
        None => None,
    };
    let mut fitting = s
        .ports
        .iter()
        .filter(|p| proto.is_none_or(|x| x == p.proto));
    let have = || {
        let list: Vec<String> = s.ports.iter().map(port_text).collect();
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(", ")
        }
    };
    let asked = name.port.map(str::to_owned).or_else(|| match &spec.dport {
        Some(Number::Int(n)) => Some(n.to_string()),
        Some(Number::Text(t)) => Some(t.clone()),
        None => None,
    });
    let Some(asked) = asked else {
        let first = fitting.next();
        return first
            .filter(|_| fitting.next().is_none())
            .ok_or_else(|| NameError::WhichPort {
                service: s.meta.full(),
                have: have(),
            });
    };
    fitting
        .find(|p| p.name == asked || p.port.to_string() == asked)
        .ok_or_else(|| NameError::Port {
            service: s.meta.full(),
            port: asked.clone(),
            have: have(),
        })
}

/// `http (tcp 80)`.
fn port_text(p: &ServicePort) -> String {
    if p.name.is_empty() {
        format!("{} {}", p.proto, p.port)
    } else {
        format!("{} ({} {})", p.name, p.proto, p.port)
    }
}

/// So many names are offered.
const OFFERED: usize = 5;

fn unknown<'k>(
    what: &'static str,
    asked: &Asked<'_>,
    all: impl Iterator<Item = &'k Meta>,
) -> NameError {
    let mut near: Vec<(usize, String)> = Vec::new();
    let mut count = 0usize;
    for m in all {
        count += 1;
        let far = edits(asked.name, &m.name);
        let within = m.name.contains(asked.name) || asked.name.contains(m.name.as_str());
        if far * 3 <= asked.name.len() || within && m.name.len() > 2 {
            let elsewhere = usize::from(m.namespace != asked.namespace);
            near.push((far * 2 + elsewhere, m.full()));
        }
    }
    near.sort();
    near.dedup();
    let names: Vec<String> = near.into_iter().take(OFFERED).map(|(_, n)| n).collect();
    let near = match (count, names.as_slice()) {
        (0, _) => "there is none at all in it".to_owned(),
        (n, []) => format!("none of the {n} there are is called alike"),
        (_, names) => format!("near it: {}", names.join(", ")),
    };
    NameError::Unknown {
        what,
        name: format!("{}/{}", asked.namespace, asked.name),
        near,
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_told_from_addresses() {
        for (text, name) in [
            ("svc/default/web:80", true),
            ("pod/default/web-0", true),
            ("default/web-0", true),
            ("10.96.0.10:53/udp", false),
            ("10.0.0.0/8", false),
            ("[fd00::1]:53/udp", false),
            ("fd00::1/udp", false),
            ("web", false),
        ] {
            assert_eq!(is_name(text), name, "{text}");
        }
    }
}
