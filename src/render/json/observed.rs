//! What captured packets show.

use crate::node::Node;
use crate::observed::{Observed, Sight, Step};
use serde::Serialize;
use std::net::IpAddr;

#[derive(Serialize)]
pub(super) struct ObservedView {
    /// Of a cluster: whose captures.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    packets: usize,
    belong: usize,
    steps: Vec<StepView>,
    /// Why nothing follows from what was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<&'static str>,
}

#[derive(Serialize)]
struct StepView {
    reply: bool,
    dev: String,
    direction: &'static str,
    outer: bool,
    src: Option<IpAddr>,
    sport: Option<u16>,
    dst: IpAddr,
    dport: Option<u16>,
    count: usize,
    first: Option<SightView>,
    last: Option<SightView>,
}

#[derive(Serialize)]
struct SightView {
    file: String,
    line: u32,
    time: Option<String>,
}

pub(super) fn view(node: &Node<'_>, o: &Observed, name: Option<&str>) -> ObservedView {
    ObservedView {
        node: name.map(str::to_owned),
        packets: o.packets,
        belong: o.belong,
        steps: o.steps.iter().map(|s| step(node, s)).collect(),
        silent: o.silent,
    }
}

fn step(node: &Node<'_>, s: &Step) -> StepView {
    let v = &s.point.view;
    let sight = |s: Sight| SightView {
        file: node.file_name(s.at.file).to_owned(),
        line: s.at.line,
        time: s.time.map(|t| t.to_string()),
    };
    StepView {
        reply: s.point.reply,
        dev: node.device(s.point.dev).name.clone(),
        direction: if s.point.out { "out" } else { "in" },
        outer: s.point.outer,
        src: v.src,
        sport: v.sport.known(),
        dst: v.dst,
        dport: v.dport.known(),
        count: s.count,
        first: s.first.map(sight),
        last: s.last.map(sight),
    }
}
