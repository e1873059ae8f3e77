//! What else a pasted session shows of Services and pods, beside tables: selectors in commands, pieces of YAML, a policy that was
//! patched. It is taken only where it is plain whose it is.

use super::{ContainerPort, Objects, Policy, ServicePort, TargetPort, proto};
use crate::common::Proto;
use crate::recognise::lines::Line;

type Labels = Vec<(String, String)>;

/// A `kubectl` command.
#[derive(Clone, Debug, Default)]
pub(super) struct Command<'a> {
    /// `get`, `patch`.
    pub verb: &'a str,
    /// `-n`; empty where there is none.
    pub namespace: &'a str,
    /// `svc`, `pod`.
    kind: &'a str,
    /// The object's name.
    name: &'a str,
    /// `-l`, where it is made of equalities.
    selector: Labels,
}

impl<'a> Command<'a> {
    /// Reads a line that shows a command, with or without a prompt.
    pub fn read(line: &'a str) -> Option<Self> {
        const VERBS: &[&str] = &["get", "patch"];
        let mut words = line.split_ascii_whitespace();
        words.by_ref().take(16).find(|w| {
            let tool = w.rsplit('/').next().unwrap_or(w);
            matches!(tool, "kubectl" | "oc" | "k" | "k3s")
        })?;
        let words: Vec<&str> = words.take(64).collect();
        let mut c = Self::default();
        let mut plain: Vec<&str> = Vec::new();
        let mut at = words.iter().copied();
        while let Some(w) = at.next() {
            let (option, joined) = match w.split_once('=') {
                Some((o, v)) if o.starts_with("--") || o == "-l" || o == "-n" => (o, Some(v)),
                _ => (w, None),
            };
            match option {
                "-n" | "--namespace" => {
                    c.namespace = joined.or_else(|| at.next()).unwrap_or_default();
                }
                "-l" | "--selector" => {
                    let text = joined.or_else(|| at.next()).unwrap_or_default();
                    c.selector = labels(text).unwrap_or_default();
                }
                "-o" | "--output" | "-p" | "--patch" | "--type" | "-L" => {
                    if joined.is_none() {
                        at.next();
                    }
                }
                "|" | "\\" | ">" => break,
                _ if w.starts_with('-') => {}
                _ => plain.push(w),
            }
        }
        // A wrapper that names the cluster stands before the verb (`kubectl child get`).
        let verb = plain.iter().position(|w| VERBS.contains(w))?;
        c.verb = plain.get(verb)?;
        let about = plain.get(verb + 1).copied().unwrap_or_default();
        (c.kind, c.name) = match about.split_once('/') {
            Some((kind, name)) => (kind, name),
            None => (about, plain.get(verb + 2).copied().unwrap_or_default()),
        };
        Some(c)
    }

    fn about_services(&self) -> bool {
        matches!(self.kind, "svc" | "service" | "services")
    }
}

/// `a=b,c=d`; `None` for others (`a in (b)`, `!a`).
fn labels(text: &str) -> Option<Labels> {
    text.trim_matches(['"', '\''])
        .split(',')
        .map(|l| {
            let (k, v) = l.split_once('=')?;
            let v = v.strip_prefix('=').unwrap_or(v);
            (!k.is_empty() && !k.ends_with('!')).then(|| (k.to_owned(), v.to_owned()))
        })
        .collect()
}

/// What is collected on the way through a text.
#[derive(Debug, Default)]
pub(super) struct Pasted {
    /// Pods of a table and the selector of its command: places in the list of pods.
    selected: Vec<(usize, usize, Labels)>,
    service_ports: Vec<ServicePort>,
    /// Ports of containers, with the selector of the command above.
    container_ports: Vec<(Labels, ContainerPort)>,
    /// `selector:`, each with the Service's name, where a command says it.
    selectors: Vec<(String, Labels)>,
    /// Policies, each with the Service's name, where a command says it.
    policies: Vec<(String, Policy, u32)>,
    open: Open,
}

/// So many of each are kept.
const MOST: usize = 512;

/// What the lines before began.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    /// `selector:` at this indentation.
    Selector(usize, Labels),
    /// An item of a list of ports: its pairs.
    Port(Vec<(String, String)>),
}

impl Pasted {
    /// Takes a line that belongs to no table.
    pub fn line(&mut self, line: &Line<'_>, command: &Command<'_>) {
        let text = line.text.trim_end();
        let body = text.trim_start();
        let indent = text.len() - body.len();
        let (item, pair) = match body.strip_prefix("- ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, body),
        };
        let Some((key, value)) = pair.split_once(':') else {
            return self.close(command);
        };
        let value = value.trim().trim_matches(['"', '\'']);
        let plain = |t: &str| {
            !t.is_empty()
                && t.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
        };
        if !plain(key) {
            return self.close(command);
        }
        match &mut self.open {
            Open::Selector(at, list)
                if !item && indent > *at && plain(value) && list.len() < 64 =>
            {
                // `matchLabels:` is a ReplicaSet's, and its value is empty.
                list.push((key.to_owned(), value.to_owned()));
                return;
            }
            Open::Port(pairs) if !item && of_ports(key) && pairs.len() < 16 => {
                pairs.push((key.to_owned(), value.to_owned()));
                return;
            }
            _ => self.close(command),
        }
        if key == "selector" && value.is_empty() {
            self.open = Open::Selector(indent, Vec::new());
        } else if item && of_ports(key) {
            self.open = Open::Port(vec![(key.to_owned(), value.to_owned())]);
        } else if key == "externalTrafficPolicy"
            && let Some(p) = Policy::parse(value)
        {
            self.policy(command, p, line.number);
        }
    }

    /// A command: what was open has ended, and a patch may set a policy.
    pub fn command(&mut self, line: &Line<'_>, before: &Command<'_>, new: &Command<'_>) {
        self.close(before);
        if new.verb != "patch" {
            return;
        }
        let Some((_, rest)) = line.text.split_once("externalTrafficPolicy") else {
            return;
        };
        let word = rest
            .split(|c: char| !c.is_ascii_alphabetic())
            .find(|w| !w.is_empty());
        if let Some(p) = word.and_then(Policy::parse) {
            self.policy(new, p, line.number);
        }
    }

    fn policy(&mut self, command: &Command<'_>, policy: Policy, line: u32) {
        if self.policies.len() < MOST {
            let name = if command.about_services() {
                command.name
            } else {
                ""
            };
            self.policies.push((name.to_owned(), policy, line));
        }
    }

    /// Pods of a table from `from` on were listed by this command.
    pub fn listed(&mut self, from: usize, to: usize, command: &Command<'_>) {
        if from < to && !command.selector.is_empty() && self.selected.len() < MOST {
            self.selected.push((from, to, command.selector.clone()));
        }
    }

    fn close(&mut self, command: &Command<'_>) {
        match std::mem::take(&mut self.open) {
            Open::Selector(_, list) if !list.is_empty() && self.selectors.len() < MOST => {
                let name = if command.about_services() {
                    command.name
                } else {
                    ""
                };
                self.selectors.push((name.to_owned(), list));
            }
            Open::Port(pairs) => self.port(&pairs, command),
            _ => {}
        }
    }

    fn port(&mut self, pairs: &[(String, String)], command: &Command<'_>) {
        let get = |key: &str| {
            pairs
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, v)| v.as_str())
        };
        let number = |key: &str| get(key).and_then(|v| v.parse::<u16>().ok());
        let name = get("name").unwrap_or_default().to_owned();
        let proto = get("protocol").map_or(Proto::TCP, proto);
        if let Some(port) = number("containerPort") {
            if self.container_ports.len() < MOST {
                let port = ContainerPort {
                    name,
                    proto,
                    port,
                    host_port: number("hostPort"),
                };
                self.container_ports.push((command.selector.clone(), port));
            }
        } else if let Some(port) = number("port")
            && self.service_ports.len() < MOST
        {
            let target = get("targetPort").map(|t| match t.parse() {
                Ok(n) => TargetPort::Number(n),
                Err(_) => TargetPort::Name(t.to_owned()),
            });
            self.service_ports.push(ServicePort {
                name,
                proto,
                port,
                node_port: number("nodePort"),
                target,
            });
        }
    }

    /// Adds what was collected to the objects it can only belong to.
    pub fn apply(mut self, last: &Command<'_>, out: &mut Objects) {
        self.close(last);
        for (from, to, labels) in &self.selected {
            for p in out.pods.get_mut(*from..*to).into_iter().flatten() {
                p.labels.clone_from(labels);
            }
        }
        self.of_containers(out);
        // Without a name a piece belongs to a Service where the text shows one alone.
        let mut names: Vec<&str> = out.services.iter().map(|s| s.meta.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let only = match names.as_slice() {
            [one] => Some((*one).to_owned()),
            _ => None,
        };
        for s in &mut out.services {
            let mine = |name: &str| {
                name == s.meta.name || name.is_empty() && only.as_ref() == Some(&s.meta.name)
            };
            if let Some((_, l)) = self.selectors.iter().rev().find(|(n, _)| mine(n)) {
                s.selector.clone_from(l);
            }
            if let Some((_, p, line)) = self.policies.iter().rev().find(|(n, ..)| mine(n)) {
                (s.external_policy, s.external_policy_line) = (Some(*p), *line);
            }
            if self.service_ports.is_empty() {
                continue;
            }
            for port in &mut s.ports {
                let same = |p: &&ServicePort| {
                    let by_number = p.node_port.is_some() && p.node_port == port.node_port;
                    p.proto == port.proto
                        && p.port == port.port
                        && (by_number || p.node_port.is_none() && only.is_some())
                };
                if let Some(p) = self.service_ports.iter().rev().find(same) {
                    port.name.clone_from(&p.name);
                    port.target.clone_from(&p.target);
                }
            }
        }
    }

    fn of_containers(&self, out: &mut Objects) {
        if self.container_ports.is_empty() {
            return;
        }
        for p in out.pods.iter_mut().filter(|p| !p.labels.is_empty()) {
            for (labels, port) in &self.container_ports {
                if *labels == p.labels && !p.ports.contains(port) {
                    p.ports.push(port.clone());
                }
            }
        }
    }
}

fn of_ports(key: &str) -> bool {
    matches!(
        key,
        "name"
            | "port"
            | "nodePort"
            | "protocol"
            | "targetPort"
            | "containerPort"
            | "hostPort"
            | "appProtocol"
    )
}
