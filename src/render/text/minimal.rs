//! One line per outcome.

use super::fate::fate;
use super::groups::{Class, shares};
use crate::explain::names;
use crate::node::Node;
use crate::render::escape;
use crate::trace::{Origin, Outcome, Trace, Verdict};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes one line per outcome: share, verdict, what became of source and destination, way out, who gave the source.
pub fn minimal(out: &mut impl Write, node: &Node<'_>, trace: &Trace) -> io::Result<()> {
    let p: Vec<_> = trace.outcomes.iter().map(|o| o.probability).collect();
    let local = trace.packet.origin == Origin::Local;
    for (o, share) in trace.outcomes.iter().zip(shares(&p)) {
        let share = share.replace(" of ", "/").replace(' ', "");
        let class = Class::of(o, local);
        let tail = match class {
            Class::Lost | Class::Kept => format!(" {}", class.word()),
            _ => String::new(),
        };
        let line = format!("{share} {}{tail}", what(node, trace, o));
        writeln!(out, "{}", escape(&line))?;
    }
    Ok(())
}

fn what(node: &Node<'_>, trace: &Trace, o: &Outcome) -> String {
    let src = trace
        .packet
        .src
        .or(o.steps.first().and_then(|s| s.view.src))
        .map_or_else(|| "*".to_owned(), |s| s.to_string());
    let Some(d) = o
        .delivered
        .filter(|_| matches!(o.verdict, Verdict::Forwarded | Verdict::Local))
    else {
        let dst = o.steps.last().map_or_else(
            || names::endpoint(trace.packet.dst, trace.packet.dport),
            |s| names::destination(&s.view),
        );
        let why = fate(node, o);
        let why = why
            .strip_prefix(o.verdict.name())
            .map_or(why.as_str(), |w| w.trim_start_matches([' ', ':']));
        return format!("{} {src} -> {dst} {why}", o.verdict.name());
    };
    let mut line = format!("{} {src} -> {}", o.verdict.name(), names::destination(&d));
    if let Some(out) = &o.out {
        line.push_str(" via ");
        line.push_str(names::device(node, out.dev));
        if let Some(via) = out.via {
            let _ = write!(line, " {via}");
        }
    }
    if let Some(s) = &o.snat {
        let ip = s.ip.map_or_else(|| "?".to_owned(), |i| i.to_string());
        let _ = write!(line, " src {ip} ({})", s.by.name());
    }
    line
}
