//! What the agent's commands print as tables, and the `ConfigMap` as YAML.

use super::{
    Endpoint, Entry, Flags, Key, Kind, Listing, Numbered, Prefix, Range, Row, Setting, State,
};
use crate::common::{Diagnostic, Parsed, Proto, Span};
use crate::recognise::lines::Lines;
use std::net::IpAddr;

/// The first line of a table or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// `SERVICE ADDRESS  BACKEND ADDRESS (REVNAT_ID) (SLOT)`, `SERVICE ADDRESS  BACKEND ID`.
    LbList,
    /// `ID  BACKEND ADDRESS (REVNAT_ID) (SLOT)`: of `--backends` and of `--revnat`.
    Numbers,
    /// `SOURCE RANGE (REVNAT_ID)`
    Ranges,
    /// `ID  Frontend  Service Type  Backend`
    Services,
    /// `IP ADDRESS  LOCAL ENDPOINT INFO`
    Endpoints,
    /// `IP PREFIX/ADDRESS  IDENTITY`
    IpCache,
    /// `KubeProxyReplacement: ...`, `KubeProxyReplacement Details:`
    Status,
    /// `name: cilium-config`
    ConfigMap,
}

/// What a line opens.
fn head_of(text: &str) -> Option<Head> {
    let text = text.trim_ascii();
    let mut words = text.split_ascii_whitespace();
    let first = [
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    ];
    Some(match first {
        ["SERVICE", "ADDRESS"] if text.contains("BACKEND") => Head::LbList,
        ["ID", "BACKEND"] if text.contains("(REVNAT_ID)") => Head::Numbers,
        ["SOURCE", "RANGE"] => Head::Ranges,
        ["ID", "Frontend"] if text.contains("Service Type") => Head::Services,
        ["IP", "ADDRESS"] if text.contains("LOCAL ENDPOINT") => Head::Endpoints,
        ["IP", "PREFIX/ADDRESS"] => Head::IpCache,
        ["KubeProxyReplacement:" | "KubeProxyReplacement", _] => Head::Status,
        ["name:", "cilium-config"] => Head::ConfigMap,
        _ => return None,
    })
}

/// How strongly a line speaks for its text being one of these; objects and status have many lines beside those that count.
pub(crate) fn weight(text: &str) -> Option<u32> {
    if let Some(head) = head_of(text) {
        return Some(match head {
            Head::ConfigMap => 120,
            Head::Status => 40,
            Head::IpCache | Head::Endpoints => 4,
            _ => 2,
        });
    }
    if let Some((key, _)) = Setting::of_config_map(text) {
        // Others of their names are anybody's.
        let known = key.starts_with("bpf-lb")
            || key.ends_with("native-routing-cidr")
            || key == "kube-proxy-replacement";
        return known.then_some(20);
    }
    let mut at = Reader::default();
    at.line(text).then_some(if at.sure { 2 } else { 1 })
}

pub(super) fn read(source: &str, out: &mut Parsed<Listing>) {
    let mut reader = Reader::default();
    let mut status = false;
    for line in Lines::new(source) {
        let text = line.text.trim_ascii();
        // Annotations have the whole object on one line.
        if text.is_empty() || text.starts_with('#') || text.starts_with('{') {
            continue;
        }
        let at = (line.number, line.span_of(text));
        if let Some(head) = head_of(text) {
            status |= head == Head::Status;
            reader = Reader::default();
        }
        let mut settings: Vec<_> = Setting::of_config_map(text).into_iter().collect();
        if status && settings.is_empty() {
            settings = Setting::of_status(text);
            for (key, value) in settings.drain(..) {
                out.value.settings.push(setting(at, key, value, true));
            }
        }
        for (key, value) in settings {
            out.value.settings.push(setting(at, key, value, false));
        }
        reader.at = at;
        if reader.line(text) {
            reader.give(out);
        }
    }
}

fn setting((line, span): (u32, Span), key: &'static str, value: String, status: bool) -> Setting {
    Setting {
        line,
        span,
        key,
        value,
        status,
    }
}

/// Reads rows; what stands above one tells whose backend it is.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Where the row stands.
    pub at: (u32, Span),
    /// The service that rows without one are of, and whether `service list` prints it.
    key: Option<(Key, bool)>,
    found: Vec<Found>,
    /// The row could not be anything else's.
    sure: bool,
}

#[derive(Debug)]
enum Found {
    Row(Row),
    Range(Range),
    Number(Numbered),
    Endpoint(Endpoint),
    Prefix(Prefix),
}

impl Reader {
    /// Hands over what was found.
    pub fn give(&mut self, out: &mut Parsed<Listing>) {
        for found in self.found.drain(..) {
            match found {
                Found::Row(r) => {
                    if let Entry::Missing(id) = r.entry {
                        out.diagnostics.push(Diagnostic::warning(
                            r.line,
                            r.span,
                            format!(
                                "the service counts the backend {id}, which is missing in the map"
                            ),
                        ));
                    }
                    out.value.rows.push(r);
                }
                Found::Range(r) => out.value.ranges.push(r),
                Found::Number(n) => out.value.numbers.push(n),
                Found::Endpoint(e) => out.value.endpoints.push(e),
                Found::Prefix(p) => out.value.prefixes.push(p),
            }
        }
    }

    /// Reads a line; false where it is none of these.
    pub fn line(&mut self, text: &str) -> bool {
        self.found.clear();
        self.row(text).is_some() || self.other(text).is_some()
    }

    /// A key and a value of JSON's.
    pub fn pair(&mut self, key: &str, value: &str) -> bool {
        self.found.clear();
        self.key = None;
        let mut text = String::with_capacity(key.len() + value.len() + 1);
        text.push_str(key);
        text.push(' ');
        text.push_str(value);
        self.row(&text).is_some() || self.other(&text).is_some()
    }

    fn push(&mut self, key: Key, entry: Entry, agent: bool) {
        let (line, span) = self.at;
        self.found.push(Found::Row(Row {
            line,
            span,
            key,
            entry,
            agent,
        }));
    }

    fn row(&mut self, text: &str) -> Option<()> {
        let text = text.trim_ascii();
        let (first, rest) = word(text);
        // `service list`: `1    10.96.0.1:443/TCP   ClusterIP   1 => 10.0.0.3:6443/TCP (active)`.
        if let Ok(id) = first.parse::<u32>() {
            if let Some(b) = rest.strip_prefix("=>") {
                let (key, agent) = self.key.filter(|(_, agent)| *agent)?;
                self.push(key, of_agent(b)?, agent);
                return Some(());
            }
            let (second, rest) = word(rest);
            let (third, rest) = word(rest);
            let (key, kind) = (key(second)?, Kind::of(third)?);
            self.key = Some((key, true));
            let flags = Flags { kind, bits: 0 };
            let service = Entry::Service {
                id,
                flags,
                proxy: None,
            };
            self.push(key, service, true);
            let (number, rest) = word(rest);
            if number.parse::<u32>().is_ok()
                && let Some(b) = rest.strip_prefix("=>")
                && let Some(b) = of_agent(b)
            {
                self.push(key, b, true);
            }
            self.sure = true;
            return Some(());
        }
        // `10.96.0.1:443/TCP (0)   0.0.0.0:0 (1) (0) [ClusterIP, non-routable]`, and without the service below it.
        if let Some(k) = key(first) {
            let value = number(rest).map_or(rest, |(_, r)| r);
            if let Some(e) = entry(value) {
                self.key = Some((k, false));
                self.sure = true;
                self.push(k, e, false);
                return Some(());
            }
        }
        let (key, agent) = self.key.filter(|(_, agent)| !agent)?;
        self.push(key, entry(text)?, agent);
        Some(())
    }

    fn other(&mut self, text: &str) -> Option<()> {
        let text = text.trim_ascii();
        let (first, rest) = word(text);
        let (line, span) = self.at;
        if let Ok(id) = first.parse::<u32>() {
            let (backend, rest) = word(rest);
            let (_, address) = backend.split_once("://")?;
            let (addr, port) = endpoint(address)?;
            let (state, rest) = word(rest);
            rest.is_empty().then_some(())?;
            self.found.push(Found::Number(Numbered {
                line,
                span,
                id,
                addr,
                port,
                state: State::of(state.trim_matches(['(', ')'])),
            }));
            return Some(());
        }
        if let Some(net) = cidr(first) {
            if let Some((id, rest)) = number(rest) {
                rest.is_empty().then_some(())?;
                self.found.push(Found::Range(Range {
                    line,
                    span,
                    net,
                    id,
                }));
                return Some(());
            }
            let field = |name: &str| {
                rest.split_ascii_whitespace()
                    .find_map(|w| w.strip_prefix(name))
            };
            let identity = field("identity=")?.parse().ok()?;
            let tunnel: Option<IpAddr> = field("tunnelendpoint=").and_then(|t| t.parse().ok());
            self.sure = true;
            self.found.push(Found::Prefix(Prefix {
                line,
                span,
                net,
                identity,
                tunnel: tunnel.filter(|t| !t.is_unspecified()),
            }));
            return Some(());
        }
        let (addr, 0) = endpoint(first)? else {
            return None;
        };
        let host = rest.starts_with("(localhost)");
        let (id, _) = word(rest);
        if !host && !id.starts_with("id=") {
            return None;
        }
        self.sure = true;
        let ifindex = rest
            .split_ascii_whitespace()
            .find_map(|w| w.strip_prefix("ifindex="))
            .and_then(|n| n.parse().ok())
            .filter(|n| *n != 0 && !host);
        self.found.push(Found::Endpoint(Endpoint {
            line,
            span,
            addr,
            ifindex,
            host,
        }));
        Some(())
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    match text.split_once(|c: char| c.is_ascii_whitespace()) {
        Some((w, rest)) => (w, rest.trim_ascii_start()),
        None => (text, ""),
    }
}

/// `(3)`, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let (n, rest) = text.trim_ascii_start().strip_prefix('(')?.split_once(')')?;
    Some((n.parse().ok()?, rest.trim_ascii_start()))
}

/// `1.2.3.4:80`, `[fd00::1]:80`.
pub(super) fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (addr, port) = text.rsplit_once(':')?;
    let bare = addr.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    // Without brackets an IPv6 address has no port.
    let addr = match bare {
        Some(a) => IpAddr::V6(a.parse().ok()?),
        None => IpAddr::V4(addr.parse().ok()?),
    };
    Some((addr, port.parse().ok()?))
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, len) = text.split_once('/')?;
    let addr: IpAddr = addr.parse().ok()?;
    let len: u8 = len.parse().ok()?;
    (len <= if addr.is_ipv4() { 32 } else { 128 }).then_some((addr, len))
}

pub(super) const PROTOCOLS: [(&str, Option<Proto>); 4] = [
    ("TCP", Some(Proto::TCP)),
    ("UDP", Some(Proto::UDP)),
    ("SCTP", Some(Proto::SCTP)),
    ("ANY", None),
];

/// `/TCP`, or nothing, which is any; an error where it is no protocol.
fn proto(text: &str) -> Result<Option<Proto>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let known = PROTOCOLS.iter().find(|(n, _)| *n == text);
    known.map(|p| p.1).ok_or(())
}

/// `10.96.0.10:53/UDP/i`.
fn key(text: &str) -> Option<Key> {
    let (text, internal) = match text.strip_suffix("/i") {
        Some(t) => (t, true),
        None => (text, false),
    };
    let (address, protocol) = text.split_once('/').unwrap_or((text, ""));
    let (addr, port) = endpoint(address)?;
    Some(Key {
        addr,
        port,
        proto: proto(protocol).ok()?,
        internal,
    })
}

/// Whether a key of JSON's is a service of `bpf lb list`.
pub(crate) fn is_key(text: &str) -> bool {
    key(word(text).0).is_some()
}

/// What stands behind a service's address.
fn entry(text: &str) -> Option<Entry> {
    let text = text.trim_ascii();
    if let Some(rest) = text.strip_prefix("backend ") {
        let id = rest.strip_suffix(" not found")?.parse().ok()?;
        return Some(Entry::Missing(id));
    }
    let (address, rest) = word(text);
    let (address, protocol) = address.split_once('/').unwrap_or((address, ""));
    let (addr, port) = endpoint(address)?;
    proto(protocol).ok()?;
    let (id, rest) = number(rest)?;
    let (slot, rest) = match number(rest) {
        Some((n, r)) => (Some(n), r),
        None => (None, rest),
    };
    let (flags, rest) = match rest.strip_prefix('[') {
        Some(r) => {
            let (f, r) = r.split_once(']')?;
            (Some(f), r.trim_ascii())
        }
        None => (None, rest),
    };
    if addr.is_unspecified() && port == 0 && protocol.is_empty() && slot.is_none_or(|s| s == 0) {
        let proxy = rest
            .strip_prefix("(L7LB Proxy Port: ")
            .and_then(|p| p.strip_suffix(')'))
            .and_then(|p| p.parse().ok());
        return Some(Entry::Service {
            id,
            flags: Flags::parse(flags.unwrap_or_default()),
            proxy,
        });
    }
    (flags.is_none() && rest.is_empty()).then_some(Entry::Backend {
        id: Some(id),
        slot,
        addr,
        port,
        state: None,
    })
}

/// `10.0.0.3:6443/TCP (active) (preferred)`.
fn of_agent(text: &str) -> Option<Entry> {
    let (address, rest) = word(text.trim_ascii());
    let (address, protocol) = address.split_once('/').unwrap_or((address, ""));
    proto(protocol).ok()?;
    let (addr, port) = endpoint(address)?;
    let (state, _) = word(rest);
    Some(Entry::Backend {
        id: None,
        slot: None,
        addr,
        port,
        state: State::of(state.trim_matches(['(', ')'])),
    })
}
