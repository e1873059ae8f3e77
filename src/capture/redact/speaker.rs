//! Logs of `MetalLB`'s speakers: of each line what tells who announced which address when, and nothing else.

use nfwhy_parsers::speaker::{self, Event, What, nanoseconds};
use serde_json::json;
use std::collections::HashMap;

/// The log without names of pods, pools and Services, line for line; lines that are no events become empty.
pub(super) fn reduced(text: &str) -> String {
    let log = speaker::parse(text);
    let mut pods: HashMap<&str, usize> = HashMap::new();
    let mut events = log.events.iter().peekable();
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.lines().enumerate() {
        let number = u32::try_from(i + 1).unwrap_or(u32::MAX);
        if let Some((at, of)) = log.partial
            && at == number
        {
            out += &format!("Found {of} pods, using pod/speaker");
        } else if let Some(e) = events.next_if(|e| e.line == number) {
            if let Some(pod) = &e.pod {
                let next = pods.len() + 1;
                let n = pods.entry(pod).or_insert(next);
                out += &format!("[pod/speaker-{n}/speaker] ");
            }
            let head = line.find('{').and_then(|end| line.get(..end));
            let time = head
                .unwrap_or("")
                .split_whitespace()
                .find(|w| nanoseconds(w).is_some());
            if let Some(time) = time {
                out += time;
                out.push(' ');
            }
            out += &event(e);
        }
        out.push('\n');
    }
    out
}

fn event(e: &Event) -> String {
    let mut m = json!({
        "caller": "main.go",
        "event": match e.what {
            What::Announced => "serviceAnnounced",
            What::Withdrawn => "serviceWithdrawn",
        },
        "ips": e.ips,
        "level": "info",
        "ts": e.time,
    });
    if let Some(m) = m.as_object_mut() {
        let known = |v: &Option<String>, of: &[&str]| {
            v.as_deref().filter(|v| of.contains(v)).map(|v| json!(v))
        };
        m.extend(known(&e.protocol, &["layer2", "bgp"]).map(|v| ("protocol".to_owned(), v)));
        // The reasons that MetalLB knows are words of its own.
        let own = e
            .reason
            .clone()
            .filter(|r| r.bytes().all(|b| b.is_ascii_alphabetic()));
        m.extend(own.map(|v| ("reason".to_owned(), json!(v))));
        m.extend(e.node.as_ref().map(|v| ("node".to_owned(), json!(v))));
    }
    m.to_string()
}
