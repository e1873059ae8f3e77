//! `bpftool net`: eBPF programs at devices.
//!
//! Sections and their lines: `do_show` in the kernel's tools/bpf/bpftool/net.c, `do_xdp_dump_one` and `do_filter_dump` in `netlink_dumper.c`.

use crate::common::{Diagnostic, Parsed, Span, Text};
use crate::recognise::lines::Lines;
use std::borrow::Cow;
use std::fmt;

/// A program at a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// The device.
    pub device: Text<'a>,
    /// Its ifindex.
    pub ifindex: u32,
    /// Where it is attached.
    pub hook: Hook<'a>,
    /// Its name, where it is shown (not for XDP).
    pub name: Option<Text<'a>>,
    /// Its id; a filter of classic BPF has none.
    pub id: Option<u32>,
}

/// Where a program is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook<'a> {
    /// XDP: `driver`, `generic`, `offload`.
    Xdp(Text<'a>),
    /// `clsact/ingress`, or the qdisc `ingress`.
    TcIngress,
    /// `clsact/egress`.
    TcEgress,
    /// `tcx/ingress`.
    TcxIngress,
    /// `tcx/egress`.
    TcxEgress,
    /// `netkit/primary`: what is sent by the device.
    NetkitPrimary,
    /// `netkit/peer`: what the peer sends, before it comes in by the device.
    NetkitPeer,
    /// A queueing discipline by its name: what is sent by the device, as it is queued.
    Queue(Text<'a>),
}

impl Hook<'_> {
    /// Whether packets that come in by the device pass it.
    pub fn sees_incoming(&self) -> bool {
        matches!(
            self,
            Self::Xdp(_) | Self::TcIngress | Self::TcxIngress | Self::NetkitPeer
        )
    }

    /// Whether packets that leave by the device pass it.
    pub fn sees_outgoing(&self) -> bool {
        !self.sees_incoming()
    }

    fn into_owned(self) -> Hook<'static> {
        match self {
            Self::Xdp(m) => Hook::Xdp(Cow::Owned(m.into_owned())),
            Self::TcIngress => Hook::TcIngress,
            Self::TcEgress => Hook::TcEgress,
            Self::TcxIngress => Hook::TcxIngress,
            Self::TcxEgress => Hook::TcxEgress,
            Self::NetkitPrimary => Hook::NetkitPrimary,
            Self::NetkitPeer => Hook::NetkitPeer,
            Self::Queue(q) => Hook::Queue(Cow::Owned(q.into_owned())),
        }
    }
}

impl Program<'_> {
    /// The same, owned.
    pub fn into_owned(self) -> Program<'static> {
        Program {
            line: self.line,
            span: self.span,
            device: Cow::Owned(self.device.into_owned()),
            ifindex: self.ifindex,
            hook: self.hook.into_owned(),
            name: self.name.map(|n| Cow::Owned(n.into_owned())),
            id: self.id,
        }
    }
}

/// As people say it: `tc ingress`, `XDP (generic)`.
impl fmt::Display for Hook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xdp(mode) => write!(f, "XDP ({mode})"),
            Self::TcIngress => f.write_str("tc ingress"),
            Self::TcEgress => f.write_str("tc egress"),
            Self::TcxIngress => f.write_str("tcx ingress"),
            Self::TcxEgress => f.write_str("tcx egress"),
            Self::NetkitPrimary => f.write_str("netkit primary"),
            Self::NetkitPeer => f.write_str("netkit peer"),
            Self::Queue(q) => write!(f, "qdisc {q}"),
        }
    }
}

/// The line as `bpftool net` prints it.
impl fmt::Display for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}) ", self.device, self.ifindex)?;
        let (hook, id) = match &self.hook {
            Hook::Xdp(mode) => (mode.as_ref(), "id"),
            Hook::TcIngress => ("clsact/ingress", "id"),
            Hook::TcEgress => ("clsact/egress", "id"),
            Hook::TcxIngress => ("tcx/ingress", "prog_id"),
            Hook::TcxEgress => ("tcx/egress", "prog_id"),
            Hook::NetkitPrimary => ("netkit/primary", "prog_id"),
            Hook::NetkitPeer => ("netkit/peer", "prog_id"),
            Hook::Queue(q) => (q.as_ref(), "id"),
        };
        f.write_str(hook)?;
        if let Some(n) = &self.name {
            write!(f, " {n}")?;
        }
        match self.id {
            Some(n) => write!(f, " {id} {n}"),
            None => Ok(()),
        }
    }
}

/// The lines that begin a section.
pub(crate) const SECTIONS: [&str; 4] = ["xdp:", "tc:", "flow_dissector:", "netfilter:"];

/// Reads `bpftool net` as text.
pub fn parse(source: &str) -> Parsed<Vec<Program<'_>>> {
    let mut out: Parsed<Vec<Program<'_>>> = Parsed::default();
    let mut section = "";
    for line in Lines::new(source) {
        let text = line.text.trim_ascii();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if SECTIONS.contains(&text) {
            section = text;
            continue;
        }
        match section {
            // Programs that are at no device: flow dissectors are the namespace's, netfilter's stand among its hooks.
            "flow_dissector:" | "netfilter:" => {}
            _ => match program(text, section == "xdp:") {
                Some(mut p) => {
                    (p.line, p.span) = (line.number, line.span_of(text));
                    out.value.push(p);
                }
                None => out.diagnostics.push(Diagnostic::warning(
                    line.number,
                    line.span_of(text),
                    "this is no program at a device",
                )),
            },
        }
    }
    out
}

/// `eth0(2) clsact/ingress`: the device, its index, and what follows.
pub(crate) fn device(text: &str) -> Option<(&str, u32, &str)> {
    let (first, rest) = text.split_once(' ')?;
    let (name, index) = first.strip_suffix(')')?.rsplit_once('(')?;
    if name.is_empty() {
        return None;
    }
    Some((name, index.parse().ok()?, rest.trim_ascii_start()))
}

fn program(text: &str, xdp: bool) -> Option<Program<'_>> {
    let (device, ifindex, rest) = device(text)?;
    let mut words = rest.split_ascii_whitespace();
    let hook = words.next()?;
    let hook = match hook {
        // `multi:` stands before the modes of a device with several.
        "multi:" => Hook::Xdp(Cow::Borrowed(words.next()?)),
        _ if xdp => Hook::Xdp(Cow::Borrowed(hook)),
        "clsact/ingress" | "ingress" => Hook::TcIngress,
        "clsact/egress" => Hook::TcEgress,
        "tcx/ingress" => Hook::TcxIngress,
        "tcx/egress" => Hook::TcxEgress,
        "netkit/primary" => Hook::NetkitPrimary,
        "netkit/peer" => Hook::NetkitPeer,
        other => Hook::Queue(Cow::Borrowed(other)),
    };
    let (mut name, mut id) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "id" | "prog_id" if id.is_none() => id = words.next().and_then(|w| w.parse().ok()),
            // What a filter does beside running the program, and how it is attached.
            "act" | "link_id" | "prog_flags" | "link_flags" => break,
            _ if name.is_none() && id.is_none() => name = Some(Cow::Borrowed(word)),
            _ => {}
        }
    }
    Some(Program {
        line: 0,
        span: Span::default(),
        device: Cow::Borrowed(device),
        ifindex,
        hook,
        name,
        id,
    })
}
