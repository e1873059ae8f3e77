//! Output of iproute2 6.1 on a real kernel: text and JSON of one moment, single lines, and everything cut short.

use nfwhy_parsers::iproute::{link, neigh, nexthop, route, rule};
use nfwhy_parsers::{Parsed, Span};
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn sample(name: &str) -> String {
    fs::read_to_string(data().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The records, after making sure that every line was understood.
fn whole<T: Debug>(parsed: Parsed<Vec<T>>, name: &str) -> Vec<T> {
    assert!(
        parsed.diagnostics.is_empty(),
        "{name}: {:#?}",
        parsed.diagnostics
    );
    assert!(!parsed.value.is_empty(), "{name}");
    parsed.value
}

/// Text and JSON of the same moment.
fn both<T>(name: &str, parse: impl for<'a> Fn(&'a str, &str) -> Vec<T>) -> (Vec<T>, Vec<T>) {
    let (text, json) = (format!("ip-{name}.txt"), format!("ip-{name}.json"));
    (parse(&sample(&text), &text), parse(&sample(&json), &json))
}

fn equal<T: Debug + PartialEq>(name: &str, (text, json): (Vec<T>, Vec<T>)) {
    assert_eq!(text.len(), json.len(), "{name}");
    for (a, b) in text.iter().zip(&json) {
        assert_eq!(a, b, "{name}");
    }
}

/// Without what only one of the forms has: the place, and `lock` of a metric.
fn routes(source: &str, name: &str) -> Vec<String> {
    whole(route::parse(source), name)
        .into_iter()
        .map(|mut r| {
            (r.line, r.span) = (0, Span::default());
            let rest = r.rest.take().map(|t| {
                let mtu = r.mtu.map(|m| format!("mtu lock {m}")).unwrap_or_default();
                t.replace(&mtu, "").replace(" lock", "").trim().to_owned()
            });
            format!("{r:?} rest {:?}", rest.filter(|t| !t.is_empty()))
        })
        .collect()
}

#[test]
fn routes_are_the_same_from_text_and_json() {
    for name in [
        "route-all",
        "route-d",
        "route6",
        "route-metrics",
        "route-get",
        "route-linkdown",
    ] {
        equal(name, both(name, routes));
    }
}

#[test]
fn rules_are_the_same_from_text_and_json() {
    for name in ["rule", "rule-d", "rule6", "rule-tos"] {
        let parse = |source: &str, name: &str| {
            whole(rule::parse(source), name)
                .into_iter()
                .map(|mut r| {
                    (r.line, r.span) = (0, Span::default());
                    // JSON of 6.1 has no word for a missing outgoing device.
                    r.rest = r.rest.filter(|t| t != "oif [detached]");
                    format!("{r:?}")
                })
                .collect()
        };
        equal(name, both(name, parse));
    }
}

#[test]
fn neighbours_are_the_same_from_text_and_json() {
    for name in ["neigh", "neigh-s", "neigh-proxy"] {
        let parse = |source: &str, name: &str| {
            whole(neigh::parse(source), name)
                .into_iter()
                .map(|mut n| {
                    (n.line, n.span) = (0, Span::default());
                    format!("{n:?}")
                })
                .collect()
        };
        equal(name, both(name, parse));
    }
}

#[test]
fn next_hop_objects_are_the_same_from_text_and_json() {
    for name in [
        "nexthop",
        "nexthop-d",
        "nexthop-resilient",
        "nexthop-resilient-d",
    ] {
        let parse = |source: &str, name: &str| {
            whole(nexthop::parse(source), name)
                .into_iter()
                .map(|mut n| {
                    (n.line, n.span) = (0, Span::default());
                    format!("{n:?}")
                })
                .collect()
        };
        equal(name, both(name, parse));
    }
}

/// Without what only one of the forms has: the place, the kind's words, and the namespace, which JSON gives by number.
fn links(source: &str, name: &str) -> Vec<String> {
    let mut parsed = link::parse(source);
    if name.contains("-br") {
        assert_eq!(parsed.diagnostics.len(), 1, "{:#?}", parsed.diagnostics);
        parsed.diagnostics.clear();
    }
    whole(parsed, name)
        .into_iter()
        .map(|mut l| {
            (l.line, l.span, l.info.rest) = (0, Span::default(), None);
            l.peer_netns = l.peer_netns.map(|_| "".into());
            for a in &mut l.addresses {
                (a.line, a.span) = (0, Span::default());
            }
            format!("{l:?}")
        })
        .collect()
}

#[test]
fn devices_are_the_same_from_text_and_json() {
    for name in [
        "addr",
        "addr-d",
        "addr-br",
        "addr4",
        "link",
        "link-d",
        "pod-addr-d",
    ] {
        equal(name, both(name, links));
    }
    let pretty = sample("ip-addr-p.json");
    assert_eq!(
        links(&pretty, "-p"),
        links(&sample("ip-addr.json"), "compact")
    );
    let second = link::parse(&pretty).value.into_iter().nth(1);
    let second = second.unwrap_or_else(|| panic!("two devices"));
    assert!(second.line > 2 && second.span.of(&pretty).starts_with('{'));
}

#[test]
fn one_line_output_gives_the_same_devices() {
    assert_eq!(
        links(&sample("ip-link-o-d.txt"), "-o -d"),
        links(&sample("ip-link-d.txt"), "-d")
    );
    assert_eq!(
        links(&sample("ip-link-o-s.txt"), "-o -s"),
        links(&sample("ip-link-s.txt"), "-s")
    );
    assert_eq!(
        routes(&sample("ip-route-o.txt"), "-o"),
        routes(&sample("ip-route-all.txt"), "all")
    );
    // `ip -o addr` shows addresses only: the devices without one are missing.
    let one = sample("ip-addr-o.txt");
    let one = link::parse(&one);
    let full = sample("ip-addr.txt");
    let mut full = link::parse(&full).value;
    full.retain(|l| !l.addresses.is_empty());
    assert_eq!(one.diagnostics, []);
    assert_eq!(one.value.len(), full.len());
    for (a, b) in one.value.iter().zip(&full) {
        let bare = |l: &link::Link<'_>| -> Vec<String> {
            l.addresses.iter().map(ToString::to_string).collect()
        };
        assert_eq!((a.index, &a.name, bare(a)), (b.index, &b.name, bare(b)));
    }
}

#[test]
fn numeric_output_gives_the_same_routes() {
    let (numeric, named) = (sample("ip-route-N.txt"), sample("ip-route-all.txt"));
    let (numeric, named) = (route::parse(&numeric), route::parse(&named));
    assert_eq!(numeric.diagnostics, []);
    assert_eq!(numeric.value.len(), named.value.len());
    for (a, b) in numeric.value.iter().zip(&named.value) {
        assert_eq!(
            (a.ty, a.dst, &a.table, a.scope),
            (b.ty, b.dst, &b.table, b.scope),
            "{b}"
        );
    }
}

/// Printing what was read gives the file back but for blanks at line ends.
fn round_trip(name: &str, records: impl FnOnce(&str) -> String) {
    let source = sample(name);
    let want: Vec<&str> = source.lines().map(str::trim_end).collect();
    let printed = records(&source);
    let got: Vec<&str> = printed.lines().collect();
    for (g, w) in got.iter().zip(&want) {
        assert_eq!(g, w, "{name}");
    }
    assert_eq!(got.len(), want.len(), "{name}");
}

fn printed<T: std::fmt::Display>(records: &[T]) -> String {
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn routes_round_trip() {
    for name in ["route-all", "route6", "route-metrics", "route-linkdown"] {
        round_trip(&format!("ip-{name}.txt"), |s| {
            printed(&route::parse(s).value)
        });
    }
}

#[test]
fn rules_round_trip() {
    for name in ["rule", "rule-d", "rule6", "rule-tos"] {
        round_trip(&format!("ip-{name}.txt"), |s| {
            printed(&rule::parse(s).value)
        });
    }
}

#[test]
fn next_hop_objects_round_trip() {
    for name in [
        "nexthop",
        "nexthop-d",
        "nexthop-resilient",
        "nexthop-resilient-d",
    ] {
        round_trip(&format!("ip-{name}.txt"), |s| {
            printed(&nexthop::parse(s).value)
        });
    }
}

#[test]
fn neighbours_round_trip() {
    for name in ["neigh", "neigh-proxy"] {
        round_trip(&format!("ip-{name}.txt"), |s| {
            printed(&neigh::parse(s).value)
        });
    }
}

#[test]
fn addresses_round_trip_and_know_their_line() {
    let source = sample("ip-addr-d.txt");
    let links = link::parse(&source).value;
    let lines: Vec<&str> = source.lines().collect();
    let printed: Vec<String> = links
        .iter()
        .flat_map(|l| &l.addresses)
        .map(ToString::to_string)
        .collect();
    let want: Vec<&str> = lines
        .iter()
        .map(|l| l.trim())
        .filter(|l| l.starts_with("inet"))
        .collect();
    assert_eq!(printed, want);
    for a in links.iter().flat_map(|l| &l.addresses) {
        assert_eq!(a.span.of(&source), a.to_string());
        assert_eq!(
            lines.get(a.line as usize - 1).map(|l| l.trim()),
            Some(a.to_string().as_str())
        );
    }
}

#[test]
fn every_route_and_rule_knows_its_line() {
    let source = sample("ip-route-all.txt");
    for r in route::parse(&source).value {
        let first = r.to_string();
        assert_eq!(r.span.of(&source), first.lines().next().unwrap_or_default());
    }
    let source = sample("ip-rule.txt");
    for r in rule::parse(&source).value {
        assert_eq!(r.span.of(&source), r.to_string());
    }
}

#[test]
fn statistics_are_passed_over() {
    let source = sample("ip-addr-s-d.txt");
    let (with, without) = (links(&source, "-s"), links(&sample("ip-addr-d.txt"), "-d"));
    assert_eq!(with.len(), without.len());
    for (a, b) in with.iter().zip(&without) {
        // IPv6 addresses lose `tentative` between the two commands.
        assert_eq!(
            a.replace("tentative: true", "tentative: false"),
            b.replace("tentative: true", "tentative: false")
        );
    }
}

fn everything(text: &str) {
    link::parse(text);
    route::parse(text);
    route::parse_route_n(text);
    rule::parse(text);
    neigh::parse(text);
    nexthop::parse(text);
}

#[test]
fn no_cut_of_any_line_panics() {
    let mut lines = 0;
    for entry in fs::read_dir(data()).unwrap_or_else(|e| panic!("{e}")) {
        let path = entry.unwrap_or_else(|e| panic!("{e}")).path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default()
            .to_owned();
        if !name.starts_with("ip-") {
            continue;
        }
        let text = sample(&name);
        let json = path.extension().is_some_and(|e| e == "json");
        // A JSON sample is one line; its objects are cut instead.
        let split = if json { "},{" } else { "\n" };
        for line in text.split(split) {
            lines += 1;
            let line = if json {
                format!("[{{{}", line.trim_start_matches("[{"))
            } else {
                line.to_owned()
            };
            // The words of a bridge port's details are all alike.
            let step = 1 + line.len() / 200;
            for end in (0..=line.len())
                .step_by(step)
                .filter(|i| line.is_char_boundary(*i))
            {
                everything(&line[..end]);
            }
        }
    }
    assert!(lines > 500, "{lines}");
}

#[test]
fn a_wrong_command_is_told() {
    for text in [
        "RTNETLINK answers: Operation not permitted",
        "Object \"nexthop\" is unknown, try \"ip help\".",
    ] {
        for diagnostics in [
            route::parse(text).diagnostics,
            rule::parse(text).diagnostics,
            link::parse(text).diagnostics,
            neigh::parse(text).diagnostics,
            nexthop::parse(text).diagnostics,
        ] {
            assert_eq!(diagnostics.len(), 1, "{text}");
            assert!(
                diagnostics
                    .iter()
                    .all(|d| d.help.is_some() && d.span.of(text) == text)
            );
        }
    }
}
