//! One step of a trace as a line.

use super::why::effect;
use super::{Answer, rule};
use crate::explain::names::{self, destination, device, source};
use crate::explain::story::Called;
use crate::trace::{AddrChoice, Effect, Hook, RouteStep, Step, StepKind, View};
use std::fmt::Write as _;

/// A line of the trace before it is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// `PREROUTING`, `ROUTE`: at the margin.
    pub(super) head: String,
    /// `nat -100`: the table and its priority.
    pub(super) table: String,
    /// Depth of jumps.
    pub(super) depth: usize,
    /// The rule or the sentence.
    pub(super) what: String,
    /// What it did, or where it was read.
    pub(super) note: String,
}

/// Whether a step is shown in a folded trace. Jumps are shown where something shown comes of them; that is for the caller.
pub(super) fn matters(step: &Step) -> bool {
    match &step.kind {
        StepKind::Hook { .. }
        | StepKind::Route(_)
        | StepKind::Ipvs { .. }
        | StepKind::Ebpf { .. }
        | StepKind::EbpfSource { .. } => true,
        StepKind::IpvsReply { .. } | StepKind::Translate { .. } | StepKind::Encapsulated { .. } => {
            true
        }
        StepKind::Note(_) => true,
        StepKind::Hit { effect, .. } => {
            !matches!(effect, Effect::None | Effect::Jump | Effect::Return)
        }
        StepKind::Policy { accept, .. } => !accept,
        StepKind::Conntrack { state, reply, at } => {
            at.is_some() || *reply || *state != crate::trace::CtState::New
        }
        StepKind::RpFilter { ok, .. } => !ok,
        StepKind::Chain { .. } | StepKind::Address { .. } | StepKind::Fork { .. } => false,
    }
}

/// The step as text; `None` for steps that never have a line of their own. `called` is the hit's place in the story.
pub(super) fn text(
    answer: &Answer<'_, '_, '_>,
    step: &Step,
    called: Option<&Called>,
) -> Option<Text> {
    let node = answer.node;
    let plain = |head: &str, text: String| {
        Some(Text {
            head: head.to_owned(),
            what: text,
            ..Text::default()
        })
    };
    match &step.kind {
        StepKind::Hook {
            hook,
            reinjected,
            outer,
        } => {
            let mut text = device_of(answer, *hook, &step.view);
            if *reinjected {
                text.push_str(" (sent by IPVS)");
            }
            if *outer {
                text.push_str(" (the tunnel's outer packet)");
            }
            Some(Text {
                head: hook.name().to_owned(),
                what: text,
                note: format!("{} > {}", source(&step.view), destination(&step.view)),
                ..Text::default()
            })
        }
        StepKind::Hit { hit, depth, .. } => {
            let number = answer
                .note(*hit)
                .map_or_else(String::new, |n| format!("[{n}]"));
            let did = called.map_or_else(String::new, effect);
            let body = rule::body(node, *hit);
            // The note says where to.
            let body = match body.split_once(" --to-destination ") {
                Some((short, _)) if did.starts_with("dst -> ") => short,
                _ => body.as_str(),
            };
            Some(Text {
                depth: called.map_or(*depth, |c| c.stack.len()),
                what: format!("{} {body}", names::short_rule(node, *hit)),
                note: [did, number]
                    .into_iter()
                    .filter(|s| !s.is_empty())
                    .collect::<Vec<_>>()
                    .join(" "),
                ..Text::default()
            })
        }
        StepKind::Policy {
            table,
            chain,
            accept,
        } => Some(Text {
            what: format!("{} policy", names::chain(node, *table, *chain)),
            note: if *accept { "accepted" } else { "dropped" }.to_owned(),
            ..Text::default()
        }),
        StepKind::Conntrack { state, reply, at } => Some(Text {
            table: "conntrack".to_owned(),
            what: format!(
                "{}{}",
                state.name(),
                if *reply { ", reply direction" } else { "" }
            ),
            note: at.map_or_else(String::new, |o| node.place(o)),
            ..Text::default()
        }),
        StepKind::Route(r) => Some(route(answer, r)),
        StepKind::RpFilter { mode, reverse, ok } => {
            let way = reverse.map_or_else(
                || "no way back".to_owned(),
                |d| format!("the way back is {}", device(node, d)),
            );
            Some(Text {
                head: "RP_FILTER".to_owned(),
                what: format!("mode {mode}: {way}"),
                note: if *ok { "passed" } else { "dropped" }.to_owned(),
                ..Text::default()
            })
        }
        StepKind::Translate { source: src, to } => Some(Text {
            table: "conntrack".to_owned(),
            what: if *src {
                format!("src -> {}", source(to))
            } else {
                format!("dst -> {}", destination(to))
            },
            note: "as the connection says".to_owned(),
            ..Text::default()
        }),
        StepKind::Ipvs {
            service,
            server,
            to,
        } => Some(ipvs(answer, *service, *server, to)),
        StepKind::Ebpf {
            service,
            answer,
            to,
            ..
        } => Some(Text {
            head: "EBPF".to_owned(),
            what: if *answer {
                format!("answer: src -> {}", source(to))
            } else {
                format!("service -> {}", destination(to))
            },
            note: node.place(*service),
            ..Text::default()
        }),
        StepKind::EbpfSource { at, to } => Some(Text {
            head: "EBPF".to_owned(),
            what: format!("src -> {}", source(to)),
            note: node.place(*at),
            ..Text::default()
        }),
        StepKind::IpvsReply { to } => Some(Text {
            table: "ipvs".to_owned(),
            what: format!("answer: src -> {}", source(to)),
            ..Text::default()
        }),
        StepKind::Address { addr, how, at } => Some(Text {
            head: "ADDRESS".to_owned(),
            what: format!(
                "{}, {}",
                addr.map_or_else(|| "?".to_owned(), |a| a.to_string()),
                choice(answer, how)
            ),
            note: node.place(*at),
            ..Text::default()
        }),
        StepKind::Encapsulated { kind, src, dst } => {
            let src = src.map_or_else(|| "?".to_owned(), |s| s.to_string());
            plain("TUNNEL", format!("{kind}: {src} > {dst}"))
        }
        StepKind::Note(n) => plain("note", n.clone()),
        StepKind::Chain { .. } | StepKind::Fork { .. } => None,
    }
}

fn device_of(answer: &Answer<'_, '_, '_>, hook: Hook, v: &View) -> String {
    let name = |d: Option<crate::node::DevId>| d.map(|d| device(answer.node, d).to_owned());
    match hook {
        Hook::Prerouting | Hook::Input => {
            name(v.iif).map_or_else(String::new, |d| format!("in {d}"))
        }
        Hook::Forward => match (name(v.iif), name(v.oif)) {
            (Some(i), Some(o)) => format!("in {i}, out {o}"),
            (Some(i), None) => format!("in {i}"),
            (None, Some(o)) => format!("out {o}"),
            (None, None) => String::new(),
        },
        Hook::Output | Hook::Postrouting => {
            name(v.oif).map_or_else(String::new, |d| format!("out {d}"))
        }
    }
}

fn route(answer: &Answer<'_, '_, '_>, r: &RouteStep) -> Text {
    let node = answer.node;
    let dev = r.dev.map(|d| device(node, d));
    let mut text = if r.local {
        match dev {
            Some(d) => format!("{} is local ({d})", r.dst),
            None => format!("{} is local", r.dst),
        }
    } else {
        let mut t = r.dst.to_string();
        if let Some(v) = r.via {
            let _ = write!(t, " via {v}");
        }
        if let Some(d) = dev {
            let _ = write!(t, " dev {d}");
        }
        t
    };
    if r.table != "main" && r.table != "local" {
        let _ = write!(text, " (table {})", r.table);
    }
    Text {
        head: if r.reroute { "REROUTE" } else { "ROUTE" }.to_owned(),
        what: text,
        // A route that only addresses imply, or an answer that is assumed, was read nowhere.
        note: if r.at.line == 0 {
            String::new()
        } else {
            node.place(r.at)
        },
        ..Text::default()
    }
}

fn ipvs(answer: &Answer<'_, '_, '_>, service: usize, server: usize, to: &View) -> Text {
    let node = answer.node;
    let Some(s) = node.ipvs.services.get(service) else {
        return Text::default();
    };
    let key = match s.key {
        crate::node::VirtualKey::Addr { proto, addr, port } => format!(
            "{} {}",
            proto.to_string().to_ascii_uppercase(),
            names::endpoint(addr, crate::trace::Port::Known(port))
        ),
        crate::node::VirtualKey::Fwmark { mark, .. } => format!("FWM {mark}"),
    };
    let real = s.servers.get(server);
    let n = s.servers.len();
    Text {
        table: "ipvs".to_owned(),
        what: format!(
            "{key} {}, {n} real server{}",
            s.scheduler,
            if n == 1 { "" } else { "s" }
        ),
        note: match real {
            Some(r) if r.addr != to.dst => format!(
                "to {}",
                names::endpoint(r.addr, crate::trace::Port::Known(r.port))
            ),
            _ => format!("dst -> {}", destination(to)),
        },
        ..Text::default()
    }
}

fn choice(answer: &Answer<'_, '_, '_>, how: &AddrChoice) -> String {
    match how {
        AddrChoice::OnSubnet => "on the next hop's subnet".into(),
        AddrChoice::FirstOnDevice => "first of the device".into(),
        AddrChoice::Fallback(d) => format!(
            "first global one in device order, of {}",
            device(answer.node, *d)
        ),
        AddrChoice::Rfc6724(d) => format!("by RFC 6724, of {}", device(answer.node, *d)),
        AddrChoice::PrefSrc => "the route's src".into(),
        AddrChoice::Destination => "the destination itself".into(),
    }
}
