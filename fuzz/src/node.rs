//! The program as a whole, without its arguments.

use nfwhy::capture::Snapshot;
use nfwhy::cli::PacketSpec;
use nfwhy::explain::explain;
use nfwhy::node::Node;
use nfwhy::render;
use nfwhy::render::text::{Detail, Options};
use nfwhy::sim::{Limits, WhatIf, simulate_what_if};

/// Each is asked of every node; most are refused by a node that does not know the address or the device.
const PACKETS: &[&str] = &[
    r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80}"#,
    r#"{"src":"10.10.6.91","dst":"172.19.100.2","dport":80,"iif":"eth0"}"#,
    r#"{"dst":"10.96.0.1","dport":443,"proto":"tcp","origin":"local"}"#,
    r#"{"src":"10.244.0.5","dst":"10.96.0.10","dport":53,"proto":"udp","iif":"cni0"}"#,
    r#"{"src":"2001:db8::99","dst":"fd00:10:96::1","dport":443}"#,
    r#"{"dst":"fe80::1","origin":"local"}"#,
    r#"{"src":"10.0.0.1","dst":"10.0.0.2","ct_state":"established","mark":"0x4000"}"#,
];

/// Files are cut at NUL. What is printed must not act on a terminal.
pub fn check(bytes: &[u8]) {
    let mut snapshot = Snapshot::default();
    for (i, file) in bytes.split(|b| *b == 0).take(9).enumerate() {
        snapshot.add(format!("file{i}.txt"), file.to_vec());
    }
    let node = Node::new(&snapshot);
    let mut out = Vec::new();
    render::write_warnings(&mut out, &node, true).expect("a vector takes all");
    for packet in PACKETS {
        let spec: PacketSpec = serde_json::from_str(packet).expect("a packet");
        one(&node, &spec, &mut out);
    }
    if let Some(bad) = out
        .iter()
        .position(|b| (*b < b' ' && *b != b'\n') || *b == 0x7f)
    {
        let from = bad.saturating_sub(80);
        let around =
            String::from_utf8_lossy(out.get(from..(bad + 20).min(out.len())).unwrap_or_default());
        panic!("a raw control character: {around:?}");
    }
    std::str::from_utf8(&out).expect("text");
}

fn one(node: &Node<'_>, spec: &PacketSpec, out: &mut Vec<u8>) {
    let packet = match spec.resolve(node) {
        Ok(p) => p,
        Err(e) => return out.extend(render::escape(&e.to_string()).bytes()),
    };
    // Rules that fork without end are refused at a bound; a lower one leaves time for other inputs.
    let limits = Limits {
        branches: 64,
        rules: 100_000,
    };
    let trace = match simulate_what_if(node, &packet, &WhatIf::default(), limits) {
        Ok(t) => t,
        Err(e) => return out.extend(render::escape(&e.to_string()).bytes()),
    };
    let findings = explain(node, &trace);
    let mut json = Vec::new();
    render::json::write(&mut json, node, &trace, &findings).expect("a vector takes all");
    let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(value["schema"], "nfwhy.trace/1");
    out.append(&mut json);
    for detail in [Detail::Normal, Detail::Detail] {
        let options = Options {
            detail,
            ..Options::default()
        };
        render::text::write(out, node, &trace, &findings, &options).expect("a vector takes all");
    }
    render::text::minimal(out, node, &trace).expect("a vector takes all");
}
