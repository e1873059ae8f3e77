//! What `kubectl get` prints for people: rows below a header, columns where the header has them.

use super::pasted::{Command, Pasted};
use super::read::without_suffix;
use super::{
    Endpoint, EndpointPort, KubeNode, Meta, Objects, Pod, Service, ServicePort, ServiceType, Slice,
    proto,
};
use crate::common::{Diagnostic, Parsed, Proto};
use crate::recognise::lines::{Line, Lines, is_cut, prompt};
use std::net::{IpAddr, SocketAddr};

/// What a table lists, told by the names of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Services,
    Slices,
    Endpoints,
    Pods,
    Nodes,
}

/// Whether a line is the header of a table that [`table`] reads.
pub fn is_header(line: &str) -> bool {
    Header::read(line).is_some_and(|h| h.listed.is_some())
}

/// Reads tables as `kubectl get svc`, `get pods`, `get nodes`, `get endpoints` and `get endpointslices` print them, with or without
/// `-A` and `-o wide`, several after each other.
///
/// Of lines around them those are used that say more of the objects and leave no doubt of which: the namespace and the selector
/// (`-n shop`, `-l app=web`) of the command above, pieces of YAML (`ports:`, `selector:`, `containerPort:`), a patched policy.
pub fn table(text: &str) -> Parsed<Objects> {
    let mut out = Parsed::<Objects>::default();
    let mut header: Option<Header<'_>> = None;
    let mut command = Command::default();
    let mut pasted = Pasted::default();
    let mut pods = 0;
    for line in Lines::new(text) {
        let t = line.text.trim_end();
        if let Some(c) = Command::read(t) {
            pasted.listed(pods, out.value.pods.len(), &command);
            pods = out.value.pods.len();
            pasted.command(&line, &command, &c);
            (header, command) = (None, c);
        } else if t.trim().is_empty() || prompt(t).is_some() {
            header = None;
            pasted.line(&line, &command);
        } else if let Some(h) = Header::read(t) {
            header = Some(h);
        } else if let Some(h) = &header
            && let Some(listed) = h.listed
        {
            if is_cut(t) && !t.contains("more...") {
                out.diagnostics.push(Diagnostic::warning(
                    line.number,
                    line.span(),
                    "rows were left out here",
                ));
                continue;
            }
            let read = h.cells(t).and_then(|cells| {
                let row = Row {
                    header: h,
                    cells,
                    line,
                    namespace: command.namespace,
                };
                row.read(listed, &mut out.value)
            });
            if read.is_none() {
                header = None;
                pasted.line(&line, &command);
            }
        } else {
            pasted.line(&line, &command);
        }
    }
    pasted.listed(pods, out.value.pods.len(), &command);
    pasted.apply(&command, &mut out.value);
    out
}

/// The names of columns, which may be of two words.
const TWO_WORDS: &[(&str, &str)] = &[("NOMINATED", "NODE"), ("READINESS", "GATES")];

struct Header<'a> {
    /// Names and where they begin, in characters.
    columns: Vec<(&'a str, usize)>,
    listed: Option<Listed>,
}

impl<'a> Header<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let first = line.split_ascii_whitespace().next()?;
        if !matches!(first, "NAME" | "NAMESPACE") {
            return None;
        }
        let mut columns: Vec<(&'a str, usize)> = Vec::new();
        let mut chars = 0;
        let mut rest = line;
        while columns.len() < 32 {
            let trimmed = rest.trim_start();
            if trimmed.is_empty() {
                break;
            }
            chars += rest.chars().count() - trimmed.chars().count();
            let mut len = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
            let word = trimmed.get(..len)?;
            // `NOMINATED NODE` is one column.
            if let Some((_, second)) = TWO_WORDS.iter().find(|(a, _)| *a == word)
                && trimmed
                    .get(len + 1..)
                    .is_some_and(|r| r.starts_with(second))
            {
                len += 1 + second.len();
            }
            let name = trimmed.get(..len)?;
            columns.push((name, chars));
            chars += name.chars().count();
            rest = trimmed.get(len..)?;
        }
        let has = |name: &str| columns.iter().any(|(n, _)| *n == name);
        let listed = if has("TYPE") && has("CLUSTER-IP") && has("PORT(S)") {
            Some(Listed::Services)
        } else if has("ADDRESSTYPE") && has("ENDPOINTS") {
            Some(Listed::Slices)
        } else if has("ENDPOINTS") {
            Some(Listed::Endpoints)
        } else if has("READY") && has("STATUS") && has("RESTARTS") {
            Some(Listed::Pods)
        } else if has("STATUS") && has("ROLES") && has("VERSION") {
            Some(Listed::Nodes)
        } else {
            None
        };
        Some(Self { columns, listed })
    }

    /// A row's cells, as many as there are columns but for empty ones at the end.
    fn cells<'r>(&self, row: &'r str) -> Option<Vec<&'r str>> {
        self.by_place(row)
            .or_else(|| {
                // Columns out of line: whoever pasted it took tabs or blanks away.
                let wide: Vec<&str> = row
                    .split("  ")
                    .flat_map(|c| c.split('\t'))
                    .map(str::trim)
                    .filter(|c| !c.is_empty())
                    .collect();
                (wide.len() == self.columns.len()).then_some(wide)
            })
            .or_else(|| {
                let words = words(row);
                (words.len() <= self.columns.len() && words.len() > 1).then_some(words)
            })
    }

    /// Where the header has them: a blank stands before each, and no cell holds two blanks.
    fn by_place<'r>(&self, row: &'r str) -> Option<Vec<&'r str>> {
        if row.contains('\t') {
            return None;
        }
        // Names and numbers of Kubernetes are ASCII, so characters are bytes; other rows are none of a table.
        if !row.is_ascii() {
            return None;
        }
        let mut cells = Vec::with_capacity(self.columns.len());
        for (i, (_, start)) in self.columns.iter().enumerate() {
            let end = self.columns.get(i + 1).map_or(row.len(), |c| c.1);
            let cell = row
                .get(*start..end.min(row.len()))
                .unwrap_or_default()
                .trim_end();
            let before = start.checked_sub(1).and_then(|b| row.as_bytes().get(b));
            let shifted = cell.starts_with(' ') || cell.contains("  ");
            if shifted || before.is_some_and(|b| *b != b' ') {
                return None;
            }
            cells.push(cell);
        }
        Some(cells)
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(n, _)| *n == name)
    }
}

/// Words of a row; `3 (5h ago)` and `10.0.0.1:80 + 2 more...` are one.
fn words(row: &str) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    let mut rest = row.trim();
    while !rest.is_empty() && out.len() < 64 {
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let mut end = len;
        let after = rest.get(len..).unwrap_or_default();
        let next = after.trim_start();
        let more = if next.starts_with('(') {
            next.find(')').map(|i| i + 1)
        } else if next.starts_with("+ ") {
            next.find("more...").map(|i| i + "more...".len())
        } else {
            None
        };
        if let Some(n) = more {
            end = len + (after.len() - next.len()) + n;
        }
        out.push(rest.get(..end).unwrap_or_default());
        rest = rest.get(end..).unwrap_or_default().trim_start();
    }
    out
}

struct Row<'h, 'a> {
    header: &'h Header<'a>,
    cells: Vec<&'a str>,
    line: Line<'a>,
    namespace: &'a str,
}

impl<'a> Row<'_, 'a> {
    /// A cell; `None` where it says that there is nothing.
    fn cell(&self, column: &str) -> Option<&'a str> {
        let c = *self.cells.get(self.header.at(column)?)?;
        Some(c).filter(|c| !c.is_empty() && !c.starts_with('<'))
    }

    fn meta(&self) -> Option<Meta> {
        // `kubectl get svc,pods` prints `service/web`.
        let name = self.cell("NAME")?;
        let name = name.rsplit_once('/').map_or(name, |(_, n)| n);
        let namespace = self.cell("NAMESPACE").unwrap_or(self.namespace);
        let plain = |t: &str| {
            t.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:_".contains(&b))
        };
        (!name.is_empty() && plain(name) && plain(namespace)).then(|| Meta {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            line: self.line.number,
            span: self.line.span(),
        })
    }

    fn read(&self, listed: Listed, out: &mut Objects) -> Option<()> {
        let meta = self.meta()?;
        match listed {
            Listed::Services => out.services.push(self.service(meta)?),
            Listed::Slices => out.slices.push(self.slice(meta)?),
            Listed::Endpoints => self.endpoints(&meta, &mut out.slices),
            Listed::Pods => out.pods.push(self.pod(meta)?),
            Listed::Nodes => out.nodes.push(self.node(meta)),
        }
        Some(())
    }

    fn service(&self, meta: Meta) -> Option<Service> {
        let kind = ServiceType::parse(self.cell("TYPE")?)?;
        let (outside, _) = addresses(self.cell("EXTERNAL-IP"));
        // The column shows both, and does not tell which is which.
        let (ingress_ips, external_ips) = if kind == ServiceType::LoadBalancer {
            (outside, Vec::new())
        } else {
            (Vec::new(), outside)
        };
        Some(Service {
            meta,
            kind,
            cluster_ips: addresses(self.cell("CLUSTER-IP")).0,
            external_ips,
            ingress_ips,
            ports: self
                .cell("PORT(S)")
                .unwrap_or_default()
                .split(',')
                .filter_map(service_port)
                .collect(),
            listed: true,
            ..Service::default()
        })
    }

    fn slice(&self, meta: Meta) -> Option<Slice> {
        self.cell("ADDRESSTYPE")?;
        let (all, complete) = addresses(self.cell("ENDPOINTS"));
        let ports = self.cell("PORTS").unwrap_or_default();
        Some(Slice {
            service: without_suffix(&meta.name).to_owned(),
            endpoints: all.into_iter().map(endpoint).collect(),
            ports: ports
                .split(',')
                .filter_map(|p| {
                    Some(EndpointPort {
                        name: String::new(),
                        proto: Proto::TCP,
                        port: Some(p.trim().parse().ok()?),
                    })
                })
                .collect(),
            legacy: false,
            // The column shows neither protocols nor who is ready.
            complete: complete && !ports.contains("more"),
            meta,
        })
    }

    /// `10.244.1.2:80,10.244.1.3:80 + 1 more...`: one slice for each port.
    fn endpoints(&self, meta: &Meta, out: &mut Vec<Slice>) {
        let text = self.cell("ENDPOINTS").unwrap_or_default();
        let (list, more) = text.split_once(" + ").map_or((text, ""), |(a, b)| (a, b));
        let mut by_port: Vec<(Option<u16>, Vec<IpAddr>)> = Vec::new();
        for word in list.split(',').map(str::trim) {
            let (ip, port) = match word.parse::<SocketAddr>() {
                Ok(a) => (a.ip(), Some(a.port())),
                Err(_) => match word.parse::<IpAddr>() {
                    Ok(ip) => (ip, None),
                    Err(_) => continue,
                },
            };
            match by_port.iter_mut().find(|(p, _)| *p == port) {
                Some((_, ips)) => ips.push(ip),
                None => by_port.push((port, vec![ip])),
            }
        }
        if by_port.is_empty() {
            by_port.push((None, Vec::new()));
        }
        out.extend(by_port.into_iter().map(|(port, ips)| Slice {
            meta: meta.clone(),
            service: meta.name.clone(),
            endpoints: ips.into_iter().map(endpoint).collect(),
            ports: vec![EndpointPort {
                name: String::new(),
                proto: Proto::TCP,
                port,
            }],
            legacy: true,
            complete: more.is_empty(),
        }));
    }

    fn pod(&self, meta: Meta) -> Option<Pod> {
        let ready = self.cell("READY")?;
        ready.split_once('/')?;
        let status = self.cell("STATUS").unwrap_or_default();
        Some(Pod {
            meta,
            ips: addresses(self.cell("IP")).0,
            node: self.cell("NODE").map(str::to_owned),
            ended: matches!(
                status,
                "Completed" | "Error" | "Evicted" | "Succeeded" | "Failed"
            ),
            listed: true,
            ..Pod::default()
        })
    }

    fn node(&self, meta: Meta) -> KubeNode {
        KubeNode {
            meta: Meta {
                namespace: String::new(),
                ..meta
            },
            internal_ips: addresses(self.cell("INTERNAL-IP")).0,
            external_ips: addresses(self.cell("EXTERNAL-IP")).0,
            pod_cidrs: Vec::new(),
        }
    }
}

/// Addresses with commas between, and whether they are all: `10.0.0.1,10.0.0.2 + 1 more...`.
fn addresses(cell: Option<&str>) -> (Vec<IpAddr>, bool) {
    let cell = cell.unwrap_or_default();
    let (list, complete) = match cell.split_once(" + ") {
        Some((list, _)) => (list, false),
        None => (cell, true),
    };
    let ips = list.split(',').filter_map(|a| a.trim().parse().ok());
    (ips.collect(), complete)
}

fn endpoint(ip: IpAddr) -> Endpoint {
    Endpoint {
        addresses: vec![ip],
        ready: true,
        serving: true,
        ..Endpoint::default()
    }
}

/// `80:31778/TCP`, `443/TCP`.
fn service_port(text: &str) -> Option<ServicePort> {
    let (ports, protocol) = text.trim().split_once('/')?;
    let (port, node_port) = match ports.split_once(':') {
        Some((p, n)) => (p, Some(n.parse().ok()?)),
        None => (ports, None),
    };
    Some(ServicePort {
        name: String::new(),
        proto: proto(protocol),
        port: port.parse().ok()?,
        node_port,
        target: None,
    })
}
