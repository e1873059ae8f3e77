//! The same as JSON: `-o json` of `bpf lb list` (an object of lists of strings), of `service list` (a list of objects, api/v1/models), and of
//! `kubectl get cm cilium-config`.

use super::text::{Reader, endpoint};
use super::{Entry, Flags, Key, Kind, Listing, Row, Setting, State};
use crate::common::{Parsed, Proto, Span};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Whether an object is the `ConfigMap`, or a list that begins with it.
pub(crate) fn is_config_map(m: &Map<String, Value>) -> bool {
    let named = |v: Option<&Value>| {
        v.and_then(|m| m.get("name")).and_then(Value::as_str) == Some("cilium-config")
    };
    let kind = m.get("kind").and_then(Value::as_str);
    let first = m.get("items").and_then(|i| i.get(0));
    kind == Some("ConfigMap") && named(m.get("metadata"))
        || kind.is_some_and(|k| k.ends_with("List")) && named(first.and_then(|i| i.get("metadata")))
}

/// Whether an object is that of `bpf lb list -o json` or its like.
pub(crate) fn is_listing(m: &Map<String, Value>) -> bool {
    m.iter().take(4).any(|(key, list)| {
        let first = list.as_array().and_then(|l| l.first()?.as_str());
        first.is_some_and(|v| Reader::default().pair(key, v))
    })
}

/// Whether an object is of `service list -o json`.
pub(crate) fn is_services(m: &Map<String, Value>) -> bool {
    m.get("spec")
        .is_some_and(|s| s.get("frontend-address").is_some())
}

/// A piece of JSON. Strings are as they stand, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Key(&'a str),
    Value(&'a str),
}

/// Cuts JSON into pieces, each with its line and place. What is not JSON is passed over.
struct Tokens<'a> {
    source: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Tokens<'a> {
    fn byte(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    /// A string, behind its first quote; its lines are counted.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        let mut escaped = false;
        while let Some(b) = self.byte() {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => break,
                _ => {}
            }
            self.line = self.line.saturating_add(u32::from(b == b'\n'));
            self.at += 1;
        }
        let text = self.source.get(start..self.at).unwrap_or_default();
        self.at += 1;
        text
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (Token<'a>, u32, Span);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let b = self.byte()?;
            let (start, line) = (self.at, self.line);
            self.at += 1;
            let token = match b {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    continue;
                }
                b'{' | b'[' => Token::Open,
                b'}' | b']' => Token::Close,
                b'"' => {
                    let text = self.string();
                    let span = Span::new(start + 1, start + 1 + text.len());
                    let rest = self.source.get(self.at..).unwrap_or_default();
                    let blank = rest.len() - rest.trim_ascii_start().len();
                    // Between a key and its colon stands little.
                    let colon = rest.as_bytes().get(blank) == Some(&b':') && blank < 64;
                    let token = if colon {
                        Token::Key(text)
                    } else {
                        Token::Value(text)
                    };
                    return Some((token, line, span));
                }
                b'0'..=b'9' | b'-' | b'a'..=b'z' => {
                    while self.byte().is_some_and(|b| {
                        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+')
                    }) {
                        self.at += 1;
                    }
                    Token::Value(self.source.get(start..self.at).unwrap_or_default())
                }
                _ => continue,
            };
            return Some((token, line, Span::new(start, self.at)));
        }
    }
}

/// A service of `service list`, as far as it was read.
#[derive(Default)]
struct Spec {
    /// Of the object that it is.
    depth: usize,
    ip: String,
    port: String,
    protocol: String,
    internal: bool,
    kind: Kind,
    bits: u32,
    line: u32,
    span: Span,
    backends: Vec<([String; 3], u32, Span)>,
}

pub(super) fn read(source: &str, out: &mut Parsed<Listing>) {
    let config_map = source.contains("cilium-config");
    let tokens = Tokens {
        source,
        at: 0,
        line: 1,
    };
    let mut rows = Reader::default();
    // Keys of the objects that are open; a list has none of its own.
    let mut path: Vec<&str> = Vec::new();
    let mut key = "";
    let mut spec: Option<Spec> = None;
    let mut seen: HashSet<Key> = HashSet::new();
    for (token, line, span) in tokens {
        match token {
            Token::Open => {
                path.push(key);
                let of_a_service = ["frontend-address", "backend-addresses", "flags"];
                if of_a_service.contains(&key) {
                    let depth = path.len().saturating_sub(1);
                    let s = spec.get_or_insert_with(|| Spec {
                        depth,
                        ..Spec::default()
                    });
                    if key == "frontend-address" {
                        (s.line, s.span) = (line, span);
                    } else if path.iter().rev().nth(1) == Some(&"backend-addresses") {
                        s.backends.push((Default::default(), line, span));
                    }
                }
                // Objects of a list go by the list's key.
                key = path.last().copied().unwrap_or_default();
            }
            Token::Close => {
                path.pop();
                key = path.last().copied().unwrap_or_default();
                if spec.as_ref().is_some_and(|s| path.len() < s.depth)
                    && let Some(s) = spec.take()
                {
                    s.give(&mut seen, out);
                }
            }
            Token::Key(k) => key = k,
            Token::Value(v) => {
                if config_map
                    && let Some(k) = Setting::key_of(key)
                    && v.len() < 256
                    && !v.contains('\\')
                {
                    out.value.settings.push(Setting {
                        line,
                        span,
                        key: k,
                        value: v.to_owned(),
                        status: false,
                    });
                } else if let Some(s) = &mut spec {
                    s.field(&path, key, v);
                } else if path.len() == 2 && v.len() < 512 {
                    rows.at = (line, span);
                    if rows.pair(key, v) {
                        rows.give(out);
                    }
                }
            }
        }
    }
    if let Some(s) = spec {
        s.give(&mut seen, out);
    }
}

impl Spec {
    fn field(&mut self, path: &[&str], key: &str, value: &str) {
        match path.last().copied() {
            Some("frontend-address") => match key {
                "ip" => value.clone_into(&mut self.ip),
                "port" => value.clone_into(&mut self.port),
                "protocol" => value.clone_into(&mut self.protocol),
                "scope" => self.internal = value == "internal",
                _ => {}
            },
            Some("flags") => match key {
                "type" => self.kind = Kind::of(value).unwrap_or_default(),
                "extTrafficPolicy" | "trafficPolicy" if value == "Local" => {
                    self.bits |= Flags::LOCAL;
                }
                "intTrafficPolicy" if value == "Local" => self.bits |= Flags::INTERNAL_LOCAL,
                _ => {}
            },
            Some("backend-addresses") => {
                let Some((fields, ..)) = self.backends.last_mut() else {
                    return;
                };
                let [ip, port, state] = fields;
                match key {
                    "ip" => value.clone_into(ip),
                    "port" => value.clone_into(port),
                    "state" => value.clone_into(state),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// A service stands twice in its object, as it is wanted and as it is.
    fn give(self, seen: &mut HashSet<Key>, out: &mut Parsed<Listing>) {
        let Some((addr, port)) = place(&self.ip, &self.port) else {
            return;
        };
        let proto = match self.protocol.as_str() {
            "TCP" | "tcp" => Some(Proto::TCP),
            "UDP" | "udp" => Some(Proto::UDP),
            "SCTP" | "sctp" => Some(Proto::SCTP),
            _ => None,
        };
        let key = Key {
            addr,
            port,
            proto,
            internal: self.internal,
        };
        if !seen.insert(key) {
            return;
        }
        let mut row = |line, span, entry| {
            out.value.rows.push(Row {
                line,
                span,
                key,
                entry,
                agent: true,
            });
        };
        let flags = Flags {
            kind: self.kind,
            bits: self.bits,
        };
        let service = Entry::Service {
            id: 0,
            flags,
            proxy: None,
        };
        row(self.line, self.span, service);
        for ([ip, port, state], line, span) in self.backends {
            let Some((addr, port)) = place(&ip, &port) else {
                continue;
            };
            let backend = Entry::Backend {
                id: None,
                slot: None,
                addr,
                port,
                state: State::of(&state),
            };
            row(line, span, backend);
        }
    }
}

fn place(ip: &str, port: &str) -> Option<(std::net::IpAddr, u16)> {
    if ip.contains(':') {
        endpoint(&format!("[{ip}]:{port}"))
    } else {
        endpoint(&format!("{ip}:{port}"))
    }
}
