//! What `calico-node -bpf` prints, and Felix' settings.

use super::{Affinity, Backend, Flow, Frontend, Maps, Mode, Route};
use crate::common::{Diagnostic, Parsed, Proto, Span};
use crate::recognise::lines::Lines;
use std::net::IpAddr;

/// A line of these.
#[derive(Debug)]
pub(crate) enum Line {
    Frontend(Frontend),
    Backend(Backend),
    /// A backend that a service counts and the map lacks.
    NoBackend,
    Affinity(Affinity),
    Route(Route),
    Flow(Flow),
    /// `bpfExternalServiceMode: DSR`; `None` where a value follows on the next line.
    Mode {
        dsr: Option<bool>,
        env: bool,
    },
    /// `kind: FelixConfiguration`.
    Configuration,
}

/// What a line says, if it is one of these. Its own place is not filled in.
pub(crate) fn line_of(text: &str) -> Option<Line> {
    let text = text.trim_ascii();
    setting(text)
        .or_else(|| frontend(text).map(Line::Frontend))
        .or_else(|| backend(text))
        .or_else(|| affinity(text).map(Line::Affinity))
        .or_else(|| raw_flow(text).map(Line::Flow))
        .or_else(|| flow(text).map(Line::Flow))
        .or_else(|| route(text).map(Line::Route))
}

pub(super) fn read(source: &str, out: &mut Parsed<Maps>) {
    let mut value_of_env = false;
    let mut configuration = None;
    let mut all = 0u32;
    // Of the configuration that is being read: it is `node.NAME`, for that node alone.
    let mut of_a_node = false;
    let mut nodes_own: Vec<Mode> = Vec::new();
    for line in Lines::new(source) {
        let text = line.text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let at = (line.number, line.span_of(text));
        let m = &mut out.value;
        let mode = |dsr, env, default| Mode {
            line: at.0,
            span: at.1,
            dsr,
            default,
            env,
        };
        // `- name: FELIX_BPFEXTERNALSERVICEMODE`, then `value: DSR`.
        if std::mem::take(&mut value_of_env)
            && let Some(dsr) = text.strip_prefix("value:").and_then(dsr)
        {
            m.modes.push(mode(dsr, true, false));
            continue;
        }
        // Entries of bpftool on one line are long.
        if text.contains("\"0x") {
            continue;
        }
        match line_of(text) {
            Some(Line::Frontend(mut f)) => {
                (f.line, f.span) = at;
                m.frontends.push(f);
            }
            Some(Line::Backend(mut b)) => {
                (b.line, b.span) = at;
                m.backends.push(b);
            }
            Some(Line::Affinity(mut a)) => {
                (a.line, a.span) = at;
                m.affinities.push(a);
            }
            Some(Line::Route(mut r)) => {
                (r.line, r.span) = at;
                m.routes.push(r);
            }
            Some(Line::Flow(mut f)) => {
                (f.line, f.span) = at;
                m.flows.push(f);
            }
            Some(Line::Mode { dsr: None, .. }) => value_of_env = true,
            Some(Line::Mode { dsr: Some(d), env }) => {
                let list = if of_a_node && !env {
                    &mut nodes_own
                } else {
                    &mut m.modes
                };
                list.push(mode(d, env, false));
            }
            Some(Line::Configuration) => {
                configuration = Some(mode(false, false, true));
                (all, of_a_node) = (all + 1, false);
            }
            Some(Line::NoBackend) => out.diagnostics.push(Diagnostic::warning(
                at.0,
                at.1,
                "the service counts a backend that is missing in the map",
            )),
            None if all > 0 && name_of(text).is_some_and(|n| n.starts_with("node.")) => {
                of_a_node = true;
            }
            None => {}
        }
    }
    // Alone it is what was captured with its node; in a list of all it is not known to be this one's.
    if all <= 1 {
        out.value.modes.append(&mut nodes_own);
    }
    for m in &nodes_own {
        out.diagnostics.push(Diagnostic::warning(
            m.line,
            m.span,
            "this FelixConfiguration is for one node alone and is left out: give it in that node's own capture",
        ));
    }
    // Without a word the mode is Tunnel (felix/config/config_params.go).
    if let Some(c) = configuration
        && !out.value.modes.iter().any(|m| !m.env)
    {
        out.value.modes.push(c);
    }
}

/// `name: default`, `"name": "node.n1",`.
fn name_of(text: &str) -> Option<&str> {
    let rest = text
        .strip_prefix("name:")
        .or_else(|| text.strip_prefix("\"name\":"))?;
    Some(rest.trim_matches([' ', '"', '\'', ',']))
}

/// `DSR` or `Tunnel`, in quotes or not.
fn dsr(value: &str) -> Option<bool> {
    let word = value.trim_start_matches(|c: char| {
        c.is_ascii_whitespace() || matches!(c, '"' | '\'' | ':' | '=')
    });
    let end = word
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(word.len());
    match word.get(..end)?.to_ascii_lowercase().as_str() {
        "dsr" => Some(true),
        "tunnel" => Some(false),
        _ => None,
    }
}

fn setting(text: &str) -> Option<Line> {
    const ENV: &str = "FELIX_BPFEXTERNALSERVICEMODE";
    const FIELD: &str = "bpfExternalServiceMode";
    // Without regard to capitals, as Felix reads its environment.
    if let Some(at) = text.to_ascii_uppercase().find(ENV) {
        let rest = text.get(at + ENV.len()..).unwrap_or_default();
        // JSON: `"name": "FELIX_...", "value": "DSR"`.
        let value = rest
            .trim_start_matches(['"', '\'', ' ', ','])
            .trim_start_matches("value");
        let dsr = dsr(value);
        let ends = rest.trim_matches(['"', '\'', ' ', ',']).is_empty();
        return (dsr.is_some() || ends).then_some(Line::Mode { dsr, env: true });
    }
    if let Some(at) = text.find(FIELD) {
        let dsr = dsr(text.get(at + FIELD.len()..).unwrap_or_default())?;
        return Some(Line::Mode {
            dsr: Some(dsr),
            env: false,
        });
    }
    let configuration = [
        "kind: FelixConfiguration",
        "\"kind\": \"FelixConfiguration\"",
        "\"kind\":\"FelixConfiguration\"",
    ];
    let one = |c: &&str| {
        text.split_once(*c)
            .is_some_and(|(_, rest)| !rest.starts_with("List"))
    };
    configuration.iter().any(one).then_some(Line::Configuration)
}

/// `10.96.0.10 port 53 proto 17 id 3 count 2 local 1 flags external-local, maglev src 10.0.0.0/8`.
fn frontend(text: &str) -> Option<Frontend> {
    let mut words = text.split_ascii_whitespace();
    let addr: IpAddr = words.next()?.parse().ok()?;
    let mut number = |name: &str| {
        (words.next() == Some(name))
            .then(|| words.next()?.parse::<i64>().ok())
            .flatten()
    };
    let port = number("port")?;
    let proto = number("proto")?;
    let id = number("id")?;
    let count = number("count")?;
    let local = number("local")?;
    let (mut flags, mut src) = (0, None);
    let mut in_flags = false;
    while let Some(w) = words.next() {
        match w {
            "flags" => in_flags = true,
            "src" => {
                in_flags = false;
                src = Some(cidr(words.next()?)?);
            }
            _ if in_flags => flags |= flag(w.trim_end_matches(',')),
            _ => return None,
        }
    }
    Some(Frontend {
        line: 0,
        span: Span::default(),
        addr,
        port: u16::try_from(port).ok()?,
        proto: Proto(u8::try_from(proto).ok()?),
        id: u32::try_from(id).ok()?,
        count: if count == -1 {
            None
        } else {
            Some(u32::try_from(count).ok()?)
        },
        local: u32::try_from(local).ok()?,
        flags,
        src,
        affinity: None,
    })
}

pub(super) const FLAGS: [(&str, u32); 4] = [
    ("external-local", Frontend::EXTERNAL_LOCAL),
    ("internal-local", Frontend::INTERNAL_LOCAL),
    ("nat-exclude", Frontend::EXCLUDE),
    ("maglev", Frontend::MAGLEV),
];

fn flag(word: &str) -> u32 {
    FLAGS.iter().find(|(n, _)| *n == word).map_or(0, |f| f.1)
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, len) = text.split_once('/')?;
    let addr: IpAddr = addr.parse().ok()?;
    let len: u8 = len.parse().ok()?;
    (len <= if addr.is_ipv4() { 32 } else { 128 }).then_some((addr, len))
}

/// `1.2.3.4:80`, `[fd00::1]:80`, and as `conntrack dump` has it `fd00::1:80`.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (addr, port) = text.rsplit_once(':')?;
    let addr = addr
        .strip_prefix('[')
        .and_then(|a| a.strip_suffix(']'))
        .unwrap_or(addr);
    Some((addr.parse().ok()?, port.parse().ok()?))
}

/// `3:0  10.244.1.5:53`, `3:1  is missing`.
fn backend(text: &str) -> Option<Line> {
    let mut words = text.split_ascii_whitespace();
    let (id, ordinal) = words.next()?.split_once(':')?;
    let (id, ordinal) = (id.parse().ok()?, ordinal.parse().ok()?);
    let rest: Vec<&str> = words.take(3).collect();
    match rest.as_slice() {
        ["is", "missing"] => Some(Line::NoBackend),
        [one] => {
            let (addr, port) = endpoint(one)?;
            Some(Line::Backend(Backend {
                line: 0,
                span: Span::default(),
                id,
                ordinal,
                addr,
                port,
            }))
        }
        _ => None,
    }
}

/// `client 10.0.0.1 svc proto 6 10.96.0.1:443 -> 10.244.0.3:6443 ts 1h2m3s`.
fn affinity(text: &str) -> Option<Affinity> {
    let mut words = text.split_ascii_whitespace();
    let mut expect = |w: &str| (words.next()? == w).then(|| words.next()).flatten();
    let client = expect("client")?.parse().ok()?;
    (expect("svc")? == "proto").then_some(())?;
    let proto = Proto(words.next()?.parse().ok()?);
    let service = endpoint(words.next()?)?;
    (words.next()? == "->").then_some(())?;
    let backend = endpoint(words.next()?)?;
    Some(Affinity {
        line: 0,
        span: Span::default(),
        client,
        proto,
        service,
        backend,
    })
}

/// In the order in which they are printed.
pub(super) const ROUTE_FLAGS: [(&str, u32); 12] = [
    ("local", Route::LOCAL),
    ("host", Route::HOST),
    ("workload", Route::WORKLOAD),
    ("in-pool", Route::IN_POOL),
    ("nat-out", Route::NAT_OUT),
    ("same-subnet", Route::SAME_SUBNET),
    ("no-dsr", Route::NO_DSR),
    ("tunneled", Route::TUNNELED),
    ("vxlan", 0x400),
    ("skip-ingress-redir", 0x800),
    ("blackhole-drop", Route::BLACKHOLE_DROP),
    ("blackhole-reject", Route::BLACKHOLE_REJECT),
];

/// `10.65.1.2/32: local workload in-pool nat-out idx 12`.
fn route(text: &str) -> Option<Route> {
    let (dest, words) = text.split_once(": ")?;
    let (addr, len) = cidr(dest)?;
    let mut r = Route {
        line: 0,
        span: Span::default(),
        addr,
        len,
        flags: 0,
        next_hop: None,
        ifindex: None,
    };
    let mut words = words.split_ascii_whitespace();
    let mut some = false;
    while let Some(w) = words.next() {
        match w {
            "remote" => {}
            "idx" => r.ifindex = Some(words.next()?.parse().ok()?),
            "nh" => r.next_hop = Some(words.next()?.parse().ok()?),
            _ => r.flags |= ROUTE_FLAGS.iter().find(|(n, _)| *n == w)?.1,
        }
        some = true;
    }
    some.then_some(r)
}

fn proto(name: &str) -> Option<Proto> {
    Some(match name {
        "TCP" => Proto::TCP,
        "UDP" => Proto::UDP,
        "ICMP" => Proto::ICMP,
        "ICMP6" => Proto::ICMPV6,
        other => Proto(other.strip_prefix("Proto-")?.parse().ok()?),
    })
}

/// `TCP 10.0.0.1:40000 -> 10.10.100.200:80 -> 10.244.2.5:8080 external client, service forwarded to/from 10.10.5.12  Active ago 3s ESTABLISHED`.
fn flow(text: &str) -> Option<Flow> {
    if !text.contains(" Active ago ") {
        return None;
    }
    let mut words = text.split_ascii_whitespace().peekable();
    let proto = proto(words.next()?)?;
    let mut ends = vec![endpoint(words.next()?)?];
    while words.peek() == Some(&"->") && ends.len() < 3 {
        words.next();
        ends.push(endpoint(words.next()?)?);
    }
    let tunnel = text
        .split_once("forwarded to/from ")
        .and_then(|(_, t)| t.split_ascii_whitespace().next()?.parse().ok());
    let (src, service, dst) = match ends.as_slice() {
        [a, b] => (*a, None, *b),
        [a, s, b] => (*a, Some(*s), *b),
        _ => return None,
    };
    Some(Flow {
        line: 0,
        span: Span::default(),
        proto,
        src,
        service,
        dst,
        tunnel,
        dsr: None,
        forwarded: None,
    })
}

/// `ConntrackKey{proto=6 10.0.0.1:4 <-> 10.0.0.2:80} -> Entry{Type:2, LastSeen:5, Flags: 0x104 np-fwd B-A Data: {.. OrigDst:.. TunIP:..}}`.
fn raw_flow(text: &str) -> Option<Flow> {
    let rest = text.strip_prefix("ConntrackKey{proto=")?;
    let (key, value) = rest.split_once("} -> Entry{")?;
    let (number, ends) = key.split_once(' ')?;
    let (a, b) = ends.split_once(" <-> ")?;
    let (a, b) = (endpoint(a)?, endpoint(b)?);
    let after = |name: &str| {
        let (_, rest) = value.split_once(name)?;
        rest.split([' ', ',', '}', '{']).find(|w| !w.is_empty())
    };
    let reverse = match after("Type:")? {
        "0" => false,
        "2" => true,
        // The other direction's entry has it all.
        _ => return None,
    };
    let flags = after("Flags:")
        .and_then(|f| u32::from_str_radix(f.strip_prefix("0x")?, 16).ok())
        .unwrap_or(0);
    let (src, dst) = if flags & 0x100 == 0 { (a, b) } else { (b, a) };
    let addr = |name: &str| after(name)?.parse::<IpAddr>().ok();
    let asked = addr("OrigDst:").zip(after("OrigPort:").and_then(|p| p.parse().ok()));
    Some(Flow {
        line: 0,
        span: Span::default(),
        proto: Proto(number.parse().ok()?),
        src,
        service: asked.filter(|_| reverse),
        dst,
        tunnel: addr("TunIP:").filter(|t| reverse && !t.is_unspecified()),
        dsr: Some(flags & 2 != 0),
        forwarded: Some(flags & 4 != 0),
    })
}
