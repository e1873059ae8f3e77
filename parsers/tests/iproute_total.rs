//! No input makes the parsers panic, and what is printed reads back as what it was.

use nfwhy_parsers::iproute::{link, neigh, nexthop, route, rule};
use proptest::prelude::*;
use std::fmt::Write as _;

/// Words of all five formats, so that arbitrary lines reach the branches behind the keywords.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "default",
            "10.0.0.0/8",
            "fd00::/64",
            "::1",
            "10.0.0.1",
            "via",
            "inet6",
            "dev",
            "eth0",
            "table",
            "main",
            "proto",
            "scope",
            "link",
            "src",
            "metric",
            "nexthop",
            "weight",
            "1",
            "encap",
            "ip",
            "tos",
            "0x10",
            "from",
            "all",
            "to",
            "not",
            "fwmark",
            "0x4000/0x4000",
            "lookup",
            "goto",
            "[detached]",
            "iif",
            "dport",
            "80-90",
            "mtu",
            "lock",
            "1400",
            "pref",
            "medium",
            "cache",
            "error",
            "-101",
            "realm",
            "id",
            "group",
            "1,5/2",
            "2:",
            "eth0@if5:",
            "<UP>",
            "state",
            "UP",
            "inet",
            "peer",
            "brd",
            "link/ether",
            "vxlan",
            "veth_slave",
            "...",
            "\n",
            "\n    ",
            "\n\t",
            "\\",
            " #",
            "lladdr",
            "STALE",
            "blackhole",
            "UNKNOWN",
            "é",
            "prog/xdp",
            "xdp/id:3",
            "{",
            "}",
            "[",
            "]",
            "\"dst\":",
            "\"é\"",
            ",",
            "\\\"",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
        any::<u32>().prop_map(|n| n.to_string()),
    ]
}

fn everything(text: &str) -> usize {
    let mut spans = Vec::new();
    let links = link::parse(text);
    spans.extend(links.value.iter().map(|x| x.span));
    spans.extend(links.diagnostics.iter().map(|d| d.span));
    let routes = route::parse(text);
    spans.extend(routes.value.iter().map(|x| x.span));
    spans.extend(routes.diagnostics.iter().map(|d| d.span));
    let old = route::parse_route_n(text);
    spans.extend(old.diagnostics.iter().map(|d| d.span));
    let rules = rule::parse(text);
    spans.extend(rules.value.iter().map(|x| x.span));
    spans.extend(rules.diagnostics.iter().map(|d| d.span));
    spans.extend(neigh::parse(text).diagnostics.iter().map(|d| d.span));
    spans.extend(nexthop::parse(text).diagnostics.iter().map(|d| d.span));
    for s in &spans {
        assert!(
            s.start <= s.end && s.end as usize <= text.len(),
            "{s:?} of {text:?}"
        );
        assert!(
            text.get(s.start as usize..s.end as usize).is_some(),
            "{s:?} of {text:?}"
        );
    }
    // Printing is total as well.
    routes
        .value
        .iter()
        .map(|x| x.to_string().len())
        .sum::<usize>()
        + rules
            .value
            .iter()
            .map(|x| x.to_string().len())
            .sum::<usize>()
}

proptest! {
    #[test]
    fn any_words(words in prop::collection::vec(word(), 0..24), json in any::<bool>()) {
        let text = words.join(" ");
        everything(&if json { format!("[{{{text}}}]") } else { text });
    }

    #[test]
    fn routes_read_back(
        ty in prop::sample::select(vec!["", "local ", "blackhole ", "throw "]),
        addr in any::<[u8; 4]>(),
        len in 1u8..=32,
        via in prop::option::of(any::<[u8; 4]>()),
        table in prop::option::of(1u32..300),
        metric in prop::option::of(any::<u32>()),
        hops in 0usize..4,
        onlink in any::<bool>(),
    ) {
        let mut text = format!("{ty}{}/{len}", std::net::Ipv4Addr::from(addr));
        if hops < 2 {
            if let Some(v) = via {
                let _ = write!(text, " via {}", std::net::Ipv4Addr::from(v));
            }
            text += " dev eth0";
        }
        if let Some(t) = table {
            let _ = write!(text, " table {t}");
        }
        if let Some(m) = metric {
            let _ = write!(text, " metric {m}");
        }
        if onlink && hops < 2 {
            text += " onlink";
        }
        if hops >= 2 {
            for n in 0..hops {
                let _ = write!(text, "\n\tnexthop dev eth{n} weight {}", n + 1);
            }
        }
        let parsed = route::parse(&text);
        prop_assert_eq!(&parsed.diagnostics, &[]);
        let printed: Vec<String> = parsed.value.iter().map(ToString::to_string).collect();
        let again = printed.join("\n");
        let again = route::parse(&again);
        let bare = |r: &route::Route<'_>| format!("{:?}", (&r.ty, r.dst, r.dst_len, &r.table, r.metric, &r.nexthops));
        prop_assert_eq!(
            again.value.iter().map(bare).collect::<Vec<_>>(),
            parsed.value.iter().map(bare).collect::<Vec<_>>()
        );
    }
}

/// Every line of a large table is read.
#[test]
fn ten_thousand_lines_are_read() {
    let (mut routes, mut addrs) = (
        String::new(),
        String::from("9: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 state DOWN\n"),
    );
    for n in 0..10_000u32 {
        let (hi, lo) = (n >> 8, n & 255);
        let _ = writeln!(
            routes,
            "10.{hi}.{lo}.0/26 via 192.0.2.{} dev tunl0 proto bird src 192.0.2.1 metric 100 onlink ",
            n % 200 + 1
        );
        let _ = writeln!(
            addrs,
            "    inet 10.{hi}.{lo}.1/32 scope global kube-ipvs0\n       valid_lft forever preferred_lft forever"
        );
    }
    let parsed = route::parse(&routes);
    assert_eq!((parsed.value.len(), parsed.diagnostics.len()), (10_000, 0));
    let parsed = link::parse(&addrs);
    assert_eq!(
        parsed.value.first().map(|l| l.addresses.len()),
        Some(10_000)
    );
}
