//! What a typed command prints, and about which machine or namespace: the command behind `ssh`, `nsenter`, `kubectl exec` and the like.

mod tools;

use crate::common::Family;
use crate::iptables::Backend;
use crate::recognise::Kind;

/// Whose network namespace an output is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The machine at whose prompt it was typed.
    #[default]
    Here,
    /// Another machine, by name.
    Host(String),
    /// Another namespace: a pod, a container, a process, a named namespace.
    Namespace(String),
}

/// Which rows of the whole output a command shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All.
    #[default]
    Whole,
    /// Those that the command itself selects (`ip addr show dev eth0`).
    Selected,
    /// Those that a filter behind a pipe lets through (`| grep x`).
    Filtered,
}

/// A command line, as far as its output can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Line of the text, from 1.
    pub line: u32,
    /// As typed, without prompt.
    pub text: String,
    /// What it prints; `None` for everything else.
    pub kind: Option<Kind>,
    /// About whom.
    pub place: Place,
    /// How much of it.
    pub part: Part,
    /// Table of iptables.
    pub table: Option<String>,
    /// The chain of iptables that is listed alone.
    pub chain: Option<String>,
    /// Of `iptables` or `ip6tables`.
    pub family: Option<Family>,
    /// Where the command's name tells.
    pub backend: Option<Backend>,
    /// A shell in `place` that goes on until it is left.
    pub enters: bool,
    /// What the command changes, for the outputs of before; empty where it changes nothing.
    pub changes: &'static [Kind],
}

/// Everything a change of Kubernetes objects makes its programs rewrite.
const BY_KUBERNETES: &[Kind] = &[
    Kind::IptablesSave,
    Kind::IptablesListing,
    Kind::Ipset,
    Kind::Ipvs,
    Kind::Nft,
];

/// Pods that live in their node's namespace.
const ON_THE_NODE: &[&str] = &[
    "kube-proxy",
    "calico-node",
    "cilium-",
    "kube-flannel",
    "aws-node",
    "weave-net",
    "antrea-agent",
    "kube-router",
    "node-local-dns",
    "nodelocaldns",
    "azure-npm",
    "ovnkube-node",
];

/// Words of a command line; quotes hold words together and `|` stands alone.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | ';' | '>' | '<') => {
                list.extend(word.take());
                list.push(c.to_string());
            }
            (None, c) if c.is_whitespace() => list.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
        if list.len() > 200 {
            break;
        }
    }
    list.extend(word);
    list
}

/// Reads a command line.
pub fn parse(text: &str, line: u32) -> Command {
    let mut c = Command {
        line,
        text: text.trim().to_owned(),
        ..Command::default()
    };
    // A comment behind the command.
    let text = text.split(" #").next().unwrap_or_default();
    let all = words(text);
    let mut rest: &[String] = &all;
    let end = rest
        .iter()
        .position(|w| matches!(w.as_str(), "|" | ";" | ">" | "<" | "&&" | "||"));
    let filters = end.and_then(|at| rest.get(at..)).unwrap_or_default();
    if let Some(at) = end {
        rest = rest.get(..at).unwrap_or_default();
    }
    if filters.first().is_some_and(|w| w == ">") {
        // Into a file: nothing is printed, but something may be changed.
        let to = filters.get(1).map_or("", String::as_str);
        if to.starts_with("/proc/sys/") {
            c.changes = &[Kind::Sysctl];
        }
        return c;
    }
    let narrows = |w: &String| {
        matches!(
            w.as_str(),
            "grep"
                | "egrep"
                | "fgrep"
                | "rg"
                | "head"
                | "tail"
                | "awk"
                | "sed"
                | "cut"
                | "sort"
                | "uniq"
        )
    };
    if filters.windows(2).any(|w| w[0] == "|" && narrows(&w[1])) {
        c.part = Part::Filtered;
    }
    if filters.windows(2).any(|w| w[0] == "|" && w[1] == "wc") {
        return c;
    }
    wrappers(&mut c, rest, 0);
    c
}

fn flag(w: &str) -> bool {
    w.starts_with('-') && w.len() > 1
}

/// Takes `sudo`, `ssh HOST`, `kubectl exec POD --` and their like from the front.
fn wrappers(c: &mut Command, list: &[String], depth: u8) {
    let Some((first, rest)) = list.split_first() else {
        return;
    };
    if depth > 8 {
        return;
    }
    let name = first.rsplit('/').next().unwrap_or(first);
    let next = depth + 1;
    match name {
        "sudo" | "time" | "watch" | "env" | "command" | "nohup" | "timeout" | "\\" => {
            let skip = rest
                .iter()
                .take_while(|w| {
                    flag(w) || w.contains('=') || w.bytes().all(|b| b.is_ascii_digit() || b == b's')
                })
                .count();
            wrappers(c, rest.get(skip..).unwrap_or_default(), next);
        }
        "ssh" => {
            let mut i = 0;
            while let Some(w) = rest.get(i).filter(|w| flag(w)) {
                // Options with a value of their own.
                i += if matches!(w.as_str(), "-i" | "-p" | "-l" | "-o" | "-F" | "-J") {
                    2
                } else {
                    1
                };
            }
            let Some(host) = rest.get(i) else { return };
            let host = host.rsplit('@').next().unwrap_or(host);
            c.place = Place::Host(host.to_owned());
            inner(c, rest.get(i + 1..).unwrap_or_default(), next);
        }
        "kubectl" | "oc" | "k" | "k3s" | "microk8s" | "microk8s.kubectl" | "k0s" => {
            if matches!(name, "k3s" | "microk8s" | "k0s")
                && rest.first().is_none_or(|w| w != "kubectl")
            {
                return;
            }
            kubectl(c, rest, next);
        }
        "docker" | "crictl" | "podman" | "nerdctl" | "ctr" => {
            let Some(at) = rest.iter().position(|w| w == "exec") else {
                return;
            };
            let rest = rest.get(at + 1..).unwrap_or_default();
            let skip = rest.iter().take_while(|w| flag(w)).count();
            let Some(container) = rest.get(skip) else {
                return;
            };
            // Nodes of kind are containers.
            c.place = if container.contains("control-plane") || container.contains("-worker") {
                Place::Host(container.clone())
            } else {
                Place::Namespace(format!("container {container}"))
            };
            inner(c, rest.get(skip + 1..).unwrap_or_default(), next);
        }
        "nsenter" => nsenter(c, rest, next),
        "chroot" => wrappers(c, rest.get(1..).unwrap_or_default(), next),
        "sh" | "bash" | "ash" | "zsh" => {
            if let Some(script) = rest.iter().skip_while(|w| *w != "-c").nth(1) {
                let inner = parse(script, c.line);
                let (text, place) = (std::mem::take(&mut c.text), std::mem::take(&mut c.place));
                let part = std::mem::take(&mut c.part);
                *c = inner;
                c.text = text;
                if c.place == Place::Here {
                    c.place = place;
                }
                if part != Part::Whole {
                    c.part = part;
                }
            } else if c.place != Place::Here {
                c.enters = true;
            }
        }
        "ip" if netns_exec(rest).is_some() => {
            if let Some((ns, rest)) = netns_exec(rest) {
                c.place = Place::Namespace(ns.to_owned());
                inner(c, rest, next);
            }
        }
        _ => tools::tool(c, name, rest),
    }
}

/// A command elsewhere, or a shell there.
fn inner(c: &mut Command, rest: &[String], depth: u8) {
    let rest = if rest.first().is_some_and(|w| w == "--") {
        rest.get(1..).unwrap_or_default()
    } else {
        rest
    };
    if rest.is_empty() {
        c.enters = true;
    } else if let [one] = rest
        && one.contains(' ')
    {
        // `ssh node 'ip route'`.
        let split = words(one);
        wrappers(c, &split, depth);
    } else {
        wrappers(c, rest, depth);
    }
}

fn netns_exec(rest: &[String]) -> Option<(&str, &[String])> {
    let rest = rest.get(rest.iter().take_while(|w| flag(w)).count()..)?;
    match rest {
        [a, b, ns, rest @ ..] if a.starts_with("netn") && b.starts_with('e') => Some((ns, rest)),
        _ => None,
    }
}

fn nsenter(c: &mut Command, rest: &[String], depth: u8) {
    let mut pid: Option<&str> = None;
    let mut i = 0;
    while let Some(w) = rest.get(i).filter(|w| flag(w)) {
        i += 1;
        if w == "--" {
            break;
        }
        if matches!(w.as_str(), "-t" | "--target") {
            pid = rest.get(i).map(String::as_str);
            i += 1;
        } else if let Some(p) = w.strip_prefix("--target=").or_else(|| w.strip_prefix("-t")) {
            pid = Some(p);
        } else if let Some(p) = w.strip_prefix("--net=").or_else(|| w.strip_prefix("-n")) {
            let name = p.rsplit('/').next().unwrap_or(p);
            if !name.is_empty() {
                c.place = Place::Namespace(name.to_owned());
            }
        }
    }
    match pid {
        // Process 1's namespace is the node's.
        Some("1") => {}
        Some(p) => c.place = Place::Namespace(format!("process {p}")),
        None => {}
    }
    inner(c, rest.get(i..).unwrap_or_default(), depth);
}

fn kubectl(c: &mut Command, rest: &[String], depth: u8) {
    let mut namespace = None;
    let mut plain: Vec<&String> = Vec::new();
    let mut i = 0;
    let mut behind: &[String] = &[];
    while let Some(w) = rest.get(i) {
        i += 1;
        if w == "--" {
            behind = rest.get(i..).unwrap_or_default();
            break;
        }
        if matches!(w.as_str(), "-n" | "--namespace") {
            namespace = rest.get(i);
            i += 1;
        } else if matches!(
            w.as_str(),
            "-c" | "--container"
                | "-l"
                | "--selector"
                | "-o"
                | "--output"
                | "--kubeconfig"
                | "--context"
                | "-p"
                | "--image"
                | "-f"
        ) {
            i += 1;
        } else if !flag(w) {
            plain.push(w);
        }
    }
    if plain.first().is_some_and(|w| *w == "kubectl") {
        plain.remove(0);
    }
    // A wrapper that names the cluster stands before the verb (`kubectl child get`).
    let verb = plain.iter().position(|w| VERBS.contains(&w.as_str()));
    let Some(verb) = verb else { return };
    let about = plain.get(verb + 1).map_or("", |w| w.as_str());
    match plain.get(verb).map_or("", |w| w.as_str()) {
        "exec" | "debug" | "node-shell" | "attach" => {
            let behind: Vec<String> = if behind.is_empty() {
                plain.iter().skip(verb + 2).map(|w| (*w).clone()).collect()
            } else {
                behind.to_vec()
            };
            let name = about.rsplit('/').next().unwrap_or(about);
            let node = about.starts_with("node/")
                || about.starts_with("no/")
                || plain.get(verb).is_some_and(|v| *v == "node-shell");
            // `exec ds/cilium`.
            let agent = name == "cilium" || ON_THE_NODE.iter().any(|p| name.starts_with(p));
            c.place = if node || agent {
                Place::Host(name.to_owned())
            } else {
                let ns = namespace.map_or("", |n| n.as_str());
                Place::Namespace(if ns.is_empty() {
                    format!("pod {name}")
                } else {
                    format!("pod {ns}/{name}")
                })
            };
            inner(c, &behind, depth);
        }
        "patch" | "apply" | "edit" | "delete" | "scale" | "create" | "replace" | "set"
        | "rollout" | "drain" | "annotate" | "expose" => c.changes = BY_KUBERNETES,
        _ => {}
    }
}

const VERBS: &[&str] = &[
    "get",
    "describe",
    "exec",
    "debug",
    "node-shell",
    "attach",
    "patch",
    "apply",
    "edit",
    "delete",
    "scale",
    "create",
    "replace",
    "set",
    "rollout",
    "drain",
    "annotate",
    "expose",
    "logs",
    "label",
];
