//! What holds for every input, one check per format. The tests and the fuzz targets share it.
//!
//! A check reads the text, looks that every span lies within it and on the bounds of characters, prints what was read where the
//! format has a printed form, and asks that the print reads back as the same record.

#![allow(dead_code)] // Each test uses some of it.

mod iproute;
mod iptables;
mod kube;
mod nft;
mod nft_json;
mod others;
mod transcript;

pub use iproute::{fdb, link, neigh, nexthop, route, route_n, rule};
pub use iptables::{listing, save};
pub use kube::{kube, kube_table};
pub use nft::nft;
pub use nft_json::nft_json;
#[allow(unused_imports, reason = "it is no text: not among ALL")]
pub use others::pcap;
pub use others::{
    arping, calico_bpf, cilium, conntrack, ipset, ipvs, programs, recognise, speaker, sysctl,
    tcpdump,
};
pub use transcript::transcript;

use nfwhy_parsers::{Diagnostic, Span};

/// A check by the name of its fuzz target.
pub type Check = (&'static str, fn(&str));

/// Every check of text.
pub const ALL: &[Check] = &[
    ("calico_bpf", calico_bpf),
    ("cilium", cilium),
    ("conntrack", conntrack),
    ("fdb", fdb),
    ("ipset", ipset),
    ("iptables_listing", listing),
    ("iptables_save", save),
    ("ipvs", ipvs),
    ("kube", kube),
    ("kube_table", kube_table),
    ("link", link),
    ("neigh", neigh),
    ("nexthop", nexthop),
    ("nft", nft),
    ("nft_json", nft_json),
    ("route", route),
    ("route_n", route_n),
    ("rule", rule),
    ("sysctl", sysctl),
    ("programs", programs),
    ("speaker", speaker),
    ("arping", arping),
    ("tcpdump", tcpdump),
    ("transcript", transcript),
    ("recognise", |text| recognise(text.as_bytes())),
];

/// The span lies within the text and on the bounds of characters, and `line` is not beyond its end.
#[track_caller]
fn place(text: &str, line: u32, span: Span) {
    let (start, end) = (span.start as usize, span.end as usize);
    assert!(start <= end, "{span:?} in {text:?}");
    assert!(text.get(start..end).is_some(), "{span:?} in {text:?}");
    let lines = 1 + text[..end].bytes().filter(|b| *b == b'\n').count();
    assert!(
        line as usize <= lines,
        "line {line} at {span:?} in {text:?}"
    );
}

#[track_caller]
fn reports(text: &str, diagnostics: &[Diagnostic]) {
    // Finding the line of each is work; a text of nothing but faults has many.
    for d in diagnostics.iter().take(64) {
        place(text, d.line, d.span);
        assert!(!d.message.is_empty());
    }
}

/// Whether a parser of iproute2's output would take the text for JSON.
fn is_json(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
        .starts_with(['[', '{'])
}
