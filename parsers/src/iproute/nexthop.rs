//! `ip nexthop`.

use super::Scope;
use super::json::{Object, Writer, each_object};
use super::words::{
    Line, Rest, encap, is_json, lines, not_understood, own_opt, scope as read_scope,
};
use crate::common::{Diagnostic, Parsed, Span, Text};
use std::fmt;
use std::net::IpAddr;

/// A next hop object.
#[derive(Clone, Debug, PartialEq)]
pub struct NextHopObject<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Its id.
    pub id: u32,
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Device.
    pub dev: Option<Text<'a>>,
    /// `scope`.
    pub scope: Option<Scope>,
    /// `blackhole`.
    pub blackhole: bool,
    /// `onlink`.
    pub onlink: bool,
    /// `linkdown`.
    pub linkdown: bool,
    /// `dead`.
    pub dead: bool,
    /// `group 1,5/2,10/3`: id and weight.
    pub group: Vec<(u32, u32)>,
    /// `type resilient`.
    pub resilient: bool,
    /// `fdb`.
    pub fdb: bool,
    /// What stands behind `encap`, as written.
    pub encap: Option<Text<'a>>,
    /// Other words as written, in their order: `buckets 8 idle_timer 60`, `proto bgp`, `offload`.
    pub rest: Option<Text<'a>>,
}

/// Reads `ip nexthop` output as text or JSON, with or without `-d`. Words and their order: `print_nexthop` in iproute2
/// ip/ipnexthop.c.
pub fn parse(source: &str) -> Parsed<Vec<NextHopObject<'_>>> {
    if is_json(source) {
        parse_json(source)
    } else {
        parse_text(source)
    }
}

fn parse_text(source: &str) -> Parsed<Vec<NextHopObject<'_>>> {
    let mut out: Parsed<Vec<NextHopObject<'_>>> = Parsed::default();
    for line in lines(source) {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match object(line, &mut out.diagnostics) {
            Some(n) => out.value.push(n),
            None => out
                .diagnostics
                .push(not_understood(&line, "next hop object")),
        }
    }
    out
}

/// `1,5/2,10/3`; a weight of 1 is not printed.
fn group(word: &str) -> Option<Vec<(u32, u32)>> {
    word.split('/')
        .map(|m| match m.split_once(',') {
            Some((id, weight)) => Some((id.parse().ok()?, weight.parse().ok()?)),
            None => Some((m.parse().ok()?, 1)),
        })
        .collect()
}

fn object<'a>(line: Line<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<NextHopObject<'a>> {
    let mut words = line.words();
    if words.next()? != "id" {
        return None;
    }
    let mut n = NextHopObject {
        line: line.no,
        span: line.span(),
        id: words.next()?.parse().ok()?,
        via: None,
        dev: None,
        scope: None,
        blackhole: false,
        onlink: false,
        linkdown: false,
        dead: false,
        group: Vec::new(),
        resilient: false,
        fdb: false,
        encap: None,
        rest: None,
    };
    let mut rest = Rest::default();
    while let Some(key) = words.next() {
        let start = words.word_start();
        match key {
            "via" => {
                let _ = words.eat("inet6") || words.eat("inet");
                n.via = words.value(key, diagnostics, |w| w.parse().ok());
            }
            "dev" => n.dev = words.text(key, diagnostics),
            "scope" => n.scope = words.value(key, diagnostics, read_scope),
            "blackhole" => n.blackhole = true,
            "onlink" => n.onlink = true,
            "linkdown" => n.linkdown = true,
            "dead" => n.dead = true,
            "group" => n.group = words.value(key, diagnostics, group).unwrap_or_default(),
            "type" if words.peek() == Some("resilient") => {
                words.next();
                n.resilient = true;
            }
            "type" if matches!(words.peek(), Some("mpath" | "multipath")) => {
                words.next();
            }
            "fdb" => n.fdb = true,
            "encap" => n.encap = encap(&mut words),
            "buckets" | "idle_timer" | "unbalanced_timer" | "unbalanced_time" | "proto" => {
                words.text(key, diagnostics);
                rest.push(&words, start);
            }
            "pervasive" | "offload" | "trap" | "notify" | "unresolved" => {
                rest.push(&words, start);
            }
            _ => {
                diagnostics.push(
                    words.warning(format!("`{key}` of this next hop object is not understood")),
                );
                rest.push(&words, start);
            }
        }
    }
    n.rest = rest.finish();
    Some(n)
}

/// The members as the words of the text form, which the text parser reads.
fn parse_json(source: &str) -> Parsed<Vec<NextHopObject<'_>>> {
    let mut out = Parsed::default();
    let list: &mut Vec<NextHopObject<'_>> = &mut out.value;
    each_object(source, &mut out.diagnostics, |at, object, diagnostics| {
        let mut w = Writer::default();
        write(&mut w, &object);
        let parsed = parse_text(&w.out);
        at.adopt(parsed.diagnostics, diagnostics);
        list.extend(parsed.value.into_iter().map(|n| NextHopObject {
            line: at.line,
            span: at.span,
            dev: own_opt(n.dev),
            encap: own_opt(n.encap),
            rest: own_opt(n.rest),
            ..n
        }));
    });
    out
}

fn write(w: &mut Writer, object: &Object<'_>) {
    let mut encap: Option<&str> = None;
    for (key, value) in object {
        if let Some(kind) = encap {
            if w.encap_member(kind, key, value) {
                continue;
            }
            encap = None;
        }
        match key.as_ref() {
            "group" => {
                let members: Vec<String> = value
                    .array()
                    .iter()
                    .map(|m| {
                        let numbers: Vec<String> = m
                            .object()
                            .iter()
                            .filter(|(k, _)| k == "id" || k == "weight")
                            .map(|(_, v)| v.to_string())
                            .collect();
                        numbers.join(",")
                    })
                    .collect();
                w.pair("group", members.join("/"));
            }
            "resilient_args" => {
                for (k, v) in value.object() {
                    w.pair(k, v);
                }
            }
            "encap" => {
                w.pair("encap", value);
                encap = value.str();
            }
            "gateway" | "via" => w.via(value),
            "protocol" => w.pair("proto", value),
            "flags" => w.words(value),
            "blackhole" | "fdb" => w.word(key),
            "deleted" => {}
            _ => w.pair(key, value),
        }
    }
}

/// As `ip nexthop` prints it, without the blank at the line's end.
impl fmt::Display for NextHopObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id {}", self.id)?;
        for (i, (id, weight)) in self.group.iter().enumerate() {
            write!(f, "{}{id}", if i == 0 { " group " } else { "/" })?;
            if *weight != 1 {
                write!(f, ",{weight}")?;
            }
        }
        let (mut buckets, mut proto, mut flags) = (String::new(), String::new(), String::new());
        let mut words = self
            .rest
            .as_deref()
            .unwrap_or_default()
            .split_ascii_whitespace();
        while let Some(w) = words.next() {
            match w {
                "buckets" | "idle_timer" | "unbalanced_timer" | "unbalanced_time" => {
                    for w in [Some(w), words.next()].into_iter().flatten() {
                        buckets.push(' ');
                        buckets.push_str(w);
                    }
                }
                "proto" => {
                    for w in [Some(w), words.next()].into_iter().flatten() {
                        proto.push(' ');
                        proto.push_str(w);
                    }
                }
                _ => {
                    flags.push(' ');
                    flags.push_str(w);
                }
            }
        }
        if self.resilient {
            f.write_str(" type resilient")?;
        }
        f.write_str(&buckets)?;
        if let Some(e) = &self.encap {
            write!(f, "  encap {e}")?;
        }
        if let Some(a) = self.via {
            write!(f, " via {a}")?;
        }
        if let Some(d) = &self.dev {
            write!(f, " dev {d}")?;
        }
        if let Some(s) = self.scope {
            write!(f, " scope {s}")?;
        }
        if self.blackhole {
            f.write_str(" blackhole")?;
        }
        f.write_str(&proto)?;
        if self.dead {
            f.write_str(" dead")?;
        }
        if self.onlink {
            f.write_str(" onlink")?;
        }
        f.write_str(&flags)?;
        if self.linkdown {
            f.write_str(" linkdown")?;
        }
        if self.fdb {
            f.write_str(" fdb")?;
        }
        Ok(())
    }
}
