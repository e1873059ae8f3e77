//! What is missing comes in the order of what it would settle, and what would change nothing is not spoken of.

mod common;

use common::Files;
use nfwhy::cli::PacketSpec;
use nfwhy::explain::missing::ranked;
use nfwhy::explain::{Code, explain};
use nfwhy::node::Node;
use nfwhy::render::text;
use nfwhy::sim::simulate;

const PACKET: &str =
    r#"{"src":"203.0.113.9","dst":"10.7.0.5","proto":"tcp","sport":40000,"dport":80,"iif":"eth0"}"#;

fn node() -> Files {
    Files::new(&["eth0 192.0.2.10/24", "veth7 10.7.0.1/24"]).route("default via 192.0.2.1 dev eth0")
}

/// What is missing with the two shares, in hundredths; whether the finding `unknown` is there; and the text.
fn answer(files: &Files) -> (Vec<(String, u32, u32)>, bool, String) {
    let snapshot = files.snapshot();
    let node = Node::new(&snapshot);
    let spec: PacketSpec = serde_json::from_str(PACKET).expect("a packet");
    let packet = spec.resolve(&node).expect("a packet of this node");
    let trace = simulate(&node, &packet).expect("an answer");
    let findings = explain(&node, &trace);
    let mut out = Vec::new();
    text::write(
        &mut out,
        &node,
        &trace,
        &findings,
        &text::Options::default(),
    )
    .expect("memory");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share lies between 0 and 1"
    )]
    let hundredths = |f: f64| (f * 100.0).round() as u32;
    let list = ranked(&trace)
        .iter()
        .map(|l| {
            let what = l.missing.what.clone();
            (what, hundredths(l.decides), hundredths(l.changes))
        })
        .collect();
    let unknown = findings.iter().any(|f| f.code == Code::Unknown);
    (list, unknown, String::from_utf8(out).expect("UTF-8"))
}

fn names(list: &[(String, u32, u32)]) -> Vec<(&str, u32, u32)> {
    list.iter().map(|(w, d, c)| (w.as_str(), *d, *c)).collect()
}

/// A set on every path settles more than one that half of the packets come to, and that more than one behind it.
#[test]
fn what_more_packets_depend_on_comes_first() {
    let (list, unknown, text) = answer(&node().table(
        "filter",
        "-A FORWARD -m set --match-set A src -j DROP
         -A FORWARD -m statistic --mode random --probability 0.50000000000 -j ACCEPT
         -A FORWARD -m set --match-set B src -j DROP",
    ));
    // B is asked where A does not drop: a half of a half, and drops half of that.
    assert_eq!(
        names(&list),
        [("ipset A", 75, 75), ("ipset B", 25, 25)],
        "{text}"
    );
    assert!(unknown, "{text}");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(at("unknown  ipset A and ipset B: run ipset") > 0, "{text}");
}

#[test]
fn what_changes_nothing_is_not_spoken_of() {
    let (list, unknown, text) =
        answer(&node().table("filter", "-A FORWARD -m set --match-set A src -j ACCEPT"));
    assert_eq!(names(&list), [("ipset A", 0, 0)], "{text}");
    assert!(!unknown, "{text}");
    assert!(!text.contains("run ipset"), "{text}");
    assert!(
        text.contains("unknown  nothing that would change what becomes of the packet"),
        "{text}"
    );
}

/// Where the destination goes is less than whether the client's address is lost.
#[test]
fn the_verdict_and_the_clients_address_come_before_the_way() {
    let (list, _, text) = answer(&node().table(
        "nat",
        "-A PREROUTING -m set --match-set WAY src -j DNAT --to-destination 10.7.0.6
                 -A POSTROUTING -m set --match-set SOURCE src -j MASQUERADE",
    ));
    assert_eq!(
        names(&list),
        [("ipset SOURCE", 100, 100), ("ipset WAY", 0, 100)],
        "{text}"
    );
}

/// Two questions of which each alone seems to change nothing: together they do.
#[test]
fn questions_that_matter_only_together_are_both_named() {
    let (list, unknown, text) = answer(&node().table(
        "filter",
        "-A FORWARD -m set --match-set A src -m set --match-set B src -j DROP
         -A FORWARD -m set ! --match-set A src -m set ! --match-set B src -j DROP",
    ));
    let mut found: Vec<&str> = list.iter().map(|(w, ..)| w.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["ipset A", "ipset B"], "{text}");
    assert!(unknown, "{text}");
    assert!(
        text.contains("ipset A") && text.contains("ipset B"),
        "{text}"
    );
    let tail = text.rfind("unknown ").map(|i| &text[i..]);
    let tail = tail.expect("what is unknown");
    assert!(tail.contains("ipset B and ipset A"), "{text}");
}

/// Without the rules nothing can be said: they come before all else.
#[test]
fn rules_come_before_a_setting() {
    let (list, _, text) = answer(&node().without("iptables-save").without("sysctl"));
    let first = list.first().map(|(w, d, _)| (w.as_str(), *d));
    assert_eq!(first, Some(("netfilter rules", 100)), "{list:?}\n{text}");
    assert!(
        list.iter().any(|(w, ..)| w.contains("ip_forward")),
        "{list:?}"
    );
}
