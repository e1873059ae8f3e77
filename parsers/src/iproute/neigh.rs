//! `ip neigh`.

use super::json::{Writer, each_object};
use super::words::{Line, is_json, lines, not_understood, own, own_opt};
use crate::common::{Diagnostic, Parsed, Span, Text};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// A neighbour entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Its address.
    pub addr: IpAddr,
    /// Device; empty where the output does not name it (`ip neigh show dev eth0`).
    pub dev: Text<'a>,
    /// Link-layer address.
    pub lladdr: Option<Text<'a>>,
    /// `REACHABLE`, `STALE`, `FAILED`, ...
    pub state: Option<Text<'a>>,
    /// `proxy`.
    pub proxy: bool,
    /// `router`.
    pub router: bool,
    /// `extern_learn`, `managed`, `proto zebra`, ...
    pub flags: Vec<Text<'a>>,
}

/// Reads `ip neigh` output as text or JSON, with or without `-s`. Words: `print_neigh` in iproute2 ip/ipneigh.c.
pub fn parse(source: &str) -> Parsed<Vec<Neighbour<'_>>> {
    let mut out = if is_json(source) {
        parse_json(source)
    } else {
        parse_text(source)
    };
    if let Some(n) = out.value.iter().find(|n| n.dev.is_empty()) {
        out.diagnostics.push(
            Diagnostic::warning(
                n.line,
                n.span,
                "the device of these neighbours is not shown",
            )
            .help("run `ip neigh` without `dev`"),
        );
    }
    out
}

fn parse_text(source: &str) -> Parsed<Vec<Neighbour<'_>>> {
    let mut out: Parsed<Vec<Neighbour<'_>>> = Parsed::default();
    for line in lines(source) {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match neighbour(line, &mut out.diagnostics) {
            Some(n) => out.value.push(n),
            None => out.diagnostics.push(not_understood(&line, "neighbour")),
        }
    }
    out
}

/// `NUD_*` of linux/neighbour.h.
const STATES: &[&str] = &[
    "INCOMPLETE",
    "REACHABLE",
    "STALE",
    "DELAY",
    "PROBE",
    "FAILED",
    "NOARP",
    "PERMANENT",
    "NONE",
];

fn neighbour<'a>(line: Line<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<Neighbour<'a>> {
    let mut words = line.words();
    let mut n = Neighbour {
        line: line.no,
        span: line.span(),
        addr: words.next()?.parse().ok()?,
        dev: Cow::Borrowed(""),
        lladdr: None,
        state: None,
        proxy: false,
        router: false,
        flags: Vec::new(),
    };
    while let Some(key) = words.next() {
        let start = words.word_start();
        match key {
            "dev" => n.dev = words.text(key, diagnostics).unwrap_or_default(),
            "lladdr" => n.lladdr = words.text(key, diagnostics),
            "proxy" => n.proxy = true,
            "router" => n.router = true,
            "extern_learn" | "offload" | "managed" | "nomaster" | "extern_valid" | "locked"
            | "ext_managed" => n.flags.push(Cow::Borrowed(key)),
            "proto" => {
                words.text(key, diagnostics);
                n.flags
                    .push(Cow::Borrowed(words.slice(start, words.word_end())));
            }
            // `-s`: `ref 1 used 0/60/0probes 4`, without the blank (`print_cacheinfo`).
            "ref" | "used" | "probes" => {
                words.text(key, diagnostics);
            }
            _ if key.starts_with("probes") || key.ends_with("probes") => {}
            _ if STATES.contains(&key) => n.state = Some(Cow::Borrowed(key)),
            // `-s` without a reference count prints two blanks; the value of `used probes` is left.
            _ if key.bytes().all(|b| b.is_ascii_digit()) => {}
            _ => diagnostics
                .push(words.warning(format!("`{key}` of this neighbour is not understood"))),
        }
    }
    Some(n)
}

/// The members as the words of the text form, which the text parser reads.
fn parse_json(source: &str) -> Parsed<Vec<Neighbour<'_>>> {
    let mut out = Parsed::default();
    let list: &mut Vec<Neighbour<'_>> = &mut out.value;
    each_object(source, &mut out.diagnostics, |at, object, diagnostics| {
        let mut w = Writer::default();
        for (key, value) in &object {
            match key.as_ref() {
                "dst" => w.word(value),
                "dev" | "lladdr" => w.pair(key, value),
                "protocol" => w.pair("proto", value),
                "state" => w.words(value),
                "refcnt" | "used" | "confirmed" | "updated" | "probes" | "deleted" | "miss" => {}
                _ => w.word(key),
            }
        }
        let parsed = parse_text(&w.out);
        at.adopt(parsed.diagnostics, diagnostics);
        list.extend(parsed.value.into_iter().map(|n| Neighbour {
            line: at.line,
            span: at.span,
            addr: n.addr,
            dev: own(n.dev),
            lladdr: own_opt(n.lladdr),
            state: own_opt(n.state),
            proxy: n.proxy,
            router: n.router,
            flags: n.flags.into_iter().map(own).collect(),
        }));
    });
    out
}

/// As `ip neigh` prints it, without the blank at the line's end.
impl fmt::Display for Neighbour<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addr)?;
        if !self.dev.is_empty() {
            write!(f, " dev {}", self.dev)?;
        }
        if let Some(l) = &self.lladdr {
            write!(f, " lladdr {l}")?;
        }
        if self.router {
            f.write_str(" router")?;
        }
        if self.proxy {
            f.write_str(" proxy")?;
        }
        let (proto, flags): (Vec<_>, Vec<_>) =
            self.flags.iter().partition(|w| w.starts_with("proto "));
        for w in flags {
            write!(f, " {w}")?;
        }
        if let Some(s) = &self.state {
            write!(f, " {s}")?;
        }
        for w in proto {
            write!(f, " {w}")?;
        }
        Ok(())
    }
}
