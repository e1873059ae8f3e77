//! `bridge fdb show`.

use super::json::{Writer, each_object};
use super::words::{Line, is_json, lines, not_understood, own, own_opt};
use crate::common::{Diagnostic, Parsed, Span, Text};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// An entry of a forwarding database: of a bridge's ports, of a VXLAN device, of a device's own filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// The hardware address; all zeros for what has no entry of its own.
    pub mac: Text<'a>,
    /// The device; empty where the output does not name it (`bridge fdb show dev vxlan0`).
    pub dev: Text<'a>,
    /// VXLAN: the other end's address.
    pub dst: Option<IpAddr>,
    /// `vlan`.
    pub vlan: Option<u16>,
    /// VXLAN: the other end's UDP port, where it is not the device's.
    pub port: Option<u16>,
    /// VXLAN: the id that is sent, where it is not the device's.
    pub vni: Option<u32>,
    /// VXLAN: the id that the entry is for.
    pub src_vni: Option<u32>,
    /// VXLAN: the device to send by, by name or as `ifindex N`.
    pub via: Option<Text<'a>>,
    /// The next hop object that names the other ends.
    pub nhid: Option<u32>,
    /// The bridge whose entry it is.
    pub master: Option<Text<'a>>,
    /// `self`, `permanent`, `static`, `extern_learn`, ...
    pub flags: Vec<Text<'a>>,
}

impl Entry<'_> {
    /// Whether it is for what has no entry of its own (`all_zeros_mac` of `drivers/net/vxlan`).
    pub fn is_default(&self) -> bool {
        self.mac.bytes().all(|b| matches!(b, b'0' | b':'))
    }
}

/// Reads `bridge fdb show` output as text or JSON. Words: `print_fdb` in iproute2 bridge/fdb.c.
pub fn parse(source: &str) -> Parsed<Vec<Entry<'_>>> {
    if is_json(source) {
        parse_json(source)
    } else {
        parse_text(source)
    }
}

fn parse_text(source: &str) -> Parsed<Vec<Entry<'_>>> {
    let mut out: Parsed<Vec<Entry<'_>>> = Parsed::default();
    for line in lines(source) {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match entry(line, &mut out.diagnostics) {
            Some(e) => out.value.push(e),
            None => out
                .diagnostics
                .push(not_understood(&line, "forwarding entry")),
        }
    }
    out
}

fn entry<'a>(line: Line<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<Entry<'a>> {
    let mut words = line.words();
    let mac = words.next().filter(|w| is_mac(w))?;
    let mut e = Entry {
        line: line.no,
        span: line.span(),
        mac: Cow::Borrowed(mac),
        dev: Cow::Borrowed(""),
        dst: None,
        vlan: None,
        port: None,
        vni: None,
        src_vni: None,
        via: None,
        nhid: None,
        master: None,
        flags: Vec::new(),
    };
    while let Some(key) = words.next() {
        match key {
            "dev" => e.dev = words.text(key, diagnostics).unwrap_or_default(),
            "dst" => e.dst = words.text(key, diagnostics)?.parse().ok(),
            "vlan" => e.vlan = words.text(key, diagnostics)?.parse().ok(),
            "port" => e.port = words.text(key, diagnostics)?.parse().ok(),
            "vni" => e.vni = words.text(key, diagnostics)?.parse().ok(),
            "src_vni" => e.src_vni = words.text(key, diagnostics)?.parse().ok(),
            "nhid" => e.nhid = words.text(key, diagnostics)?.parse().ok(),
            "via" => {
                let start = words.word_end();
                let first = words.text(key, diagnostics)?;
                e.via = if first == "ifindex" {
                    words.text(key, diagnostics)?;
                    Some(Cow::Borrowed(words.slice(start, words.word_end()).trim()))
                } else {
                    Some(first)
                };
            }
            // A bridge's name, or the flag of an entry of the bridge itself.
            "master" => e.master = Some(words.next().map_or(Cow::Borrowed(""), Cow::Borrowed)),
            "link-netnsid" | "used" => {
                words.text(key, diagnostics);
            }
            _ => e.flags.push(Cow::Borrowed(key)),
        }
    }
    Some(e)
}

/// `66:00:00:00:00:01`, and longer ones of InfiniBand.
pub(crate) fn is_mac(word: &str) -> bool {
    let parts = word.split(':');
    parts.clone().count() >= 6
        && parts
            .into_iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The members as the words of the text form, which the text parser reads.
fn parse_json(source: &str) -> Parsed<Vec<Entry<'_>>> {
    let mut out = Parsed::default();
    let list: &mut Vec<Entry<'_>> = &mut out.value;
    each_object(source, &mut out.diagnostics, |at, object, diagnostics| {
        let mut w = Writer::default();
        for (key, value) in &object {
            match key.as_ref() {
                "mac" => w.word(value),
                "ifname" => w.pair("dev", value),
                "viaIf" => w.pair("via", value),
                "dst" | "vlan" | "port" | "vni" | "src_vni" | "nhid" | "master" => {
                    w.pair(key, value);
                }
                "flags" => w.words(value),
                "state" => w.word(value),
                _ => {}
            }
        }
        let parsed = parse_text(&w.out);
        at.adopt(parsed.diagnostics, diagnostics);
        list.extend(parsed.value.into_iter().map(|e| Entry {
            line: at.line,
            span: at.span,
            mac: own(e.mac),
            dev: own(e.dev),
            via: own_opt(e.via),
            master: own_opt(e.master),
            flags: e.flags.into_iter().map(own).collect(),
            ..e
        }));
    });
    out
}

/// As `bridge fdb show` prints it, without the blank at the line's end.
impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mac)?;
        if !self.dev.is_empty() {
            write!(f, " dev {}", self.dev)?;
        }
        if let Some(d) = self.dst {
            write!(f, " dst {d}")?;
        }
        for (word, n) in [
            ("vlan", self.vlan.map(u32::from)),
            ("port", self.port.map(u32::from)),
            ("vni", self.vni),
            ("src_vni", self.src_vni),
        ] {
            if let Some(n) = n {
                write!(f, " {word} {n}")?;
            }
        }
        if let Some(v) = &self.via {
            write!(f, " via {v}")?;
        }
        if let Some(n) = self.nhid {
            write!(f, " nhid {n}")?;
        }
        let (states, flags): (Vec<_>, Vec<_>) = self
            .flags
            .iter()
            .partition(|w| matches!(w.as_ref(), "permanent" | "static" | "stale"));
        for w in flags {
            write!(f, " {w}")?;
        }
        if let Some(m) = &self.master {
            f.write_str(" master")?;
            if !m.is_empty() {
                write!(f, " {m}")?;
            }
        }
        for w in states {
            write!(f, " {w}")?;
        }
        Ok(())
    }
}
