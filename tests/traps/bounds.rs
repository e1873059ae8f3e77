//! Work is bounded, and what was too much is named.

use crate::common::{Files, check};
use crate::{IN, node};
use nfwhy::cli::PacketSpec;
use nfwhy::node::Node;
use nfwhy::sim::{Limits, SimError, WayBack, WhatIf, simulate_what_if, way_back};

fn forks(files: &Files, limits: Limits) -> Result<usize, SimError> {
    let snapshot = files.snapshot();
    let node = Node::new(&snapshot);
    let spec: PacketSpec = serde_json::from_str(IN).expect("a packet");
    let packet = spec.resolve(&node).expect("a packet of this node");
    simulate_what_if(&node, &packet, &WhatIf::default(), limits).map(|t| t.outcomes.len())
}

#[test]
fn a_packet_that_forks_too_often_is_refused_with_the_rules_that_fork() {
    let rule = "-A FORWARD -m statistic --mode random --probability 0.50000000000 -j MARK --set-xmark 0x1/0x1\n";
    let files = node().table("filter", &rule.repeat(5));
    let enough = Limits::default();
    assert_eq!(forks(&files, enough), Ok(32));
    for limits in [
        Limits {
            branches: 20,
            ..enough
        },
        // Five rules are tested in each branch.
        Limits {
            rules: 50,
            ..enough
        },
    ] {
        let error = forks(&files, limits).expect_err("the limit is too low");
        let SimError::TooManyBranches { limit, places } = error;
        assert!((10..=20).contains(&limit), "{limit} branches were followed");
        assert!(
            places.iter().all(|p| p.starts_with("iptables-save.txt:")),
            "{places:?}"
        );
        assert_eq!(places.len(), 5, "{places:?}");
    }
}

#[test]
fn a_packet_without_device_comes_in_where_the_way_back_leads() {
    let snapshot = node().snapshot();
    let node = Node::new(&snapshot);
    let ip = |text: &str| text.parse().expect("an address");
    let back = |src: &str| way_back(&node, ip(src), ip("10.244.0.4"));
    let device = |name: &str| WayBack::Device(node.device_by_name(name).expect("a device"));
    assert_eq!(back("203.0.113.7"), device("eth0"));
    assert_eq!(back("10.244.0.9"), device("cni0"));
    assert_eq!(back("192.168.0.10"), WayBack::Local);
    let snapshot = Files::new(&["eth0 192.168.0.10/24"]).snapshot();
    let node = Node::new(&snapshot);
    assert_eq!(
        way_back(&node, ip("203.0.113.7"), ip("192.168.0.10")),
        WayBack::None
    );
    // A broadcast address is nobody's way in.
    assert_eq!(
        way_back(&node, ip("192.168.0.255"), ip("192.168.0.10")),
        WayBack::None
    );
}

/// Twenty thousand jumps and gotos in one table are walked, one more is given up.
#[test]
fn jumps_are_counted_to_their_bound() {
    let tree = |calls: usize, leaves: usize, leaf: &str, more: &str| {
        let mut rules = String::new();
        for _ in 0..calls {
            rules += "-A FORWARD -j A\n";
        }
        rules += more;
        for _ in 0..leaves {
            rules += "-A A -j B\n";
        }
        node().table("filter", &(rules + leaf)).snapshot()
    };
    // 200 calls of 1 + 99 jumps; 32 calls of 1 + 312 jumps and gotos.
    check(&tree(200, 99, "-A B\n", ""), IN, &["forwarded"]);
    check(&tree(32, 312, "-A B -g C\n-A C\n", ""), IN, &["forwarded"]);
    for more in ["-A FORWARD -j B\n", "-A FORWARD -g B\n"] {
        check(&tree(200, 99, "-A B\n", more), IN, &["unknown"]);
    }
}

/// Without addresses the packet's own destination may be the node's; what DNAT wrote is somebody else's.
#[test]
fn only_the_destination_asked_for_may_be_an_address_that_was_not_captured() {
    let s = |nat: &str| {
        node()
            .table("nat", nat)
            .without("ip-addr")
            .without("ip-route")
            .file(
                "ip-route.txt",
                "default via 192.168.0.1 dev eth0\n10.244.0.0/24 dev cni0\n",
            )
            .snapshot()
    };
    check(
        &s("-A PREROUTING -i lo"),
        IN,
        &["forwarded p=?", "local p=?"],
    );
    check(
        &s("-A PREROUTING -p tcp -j DNAT --to-destination 10.244.0.5"),
        IN,
        &["forwarded dst=10.244.0.5:80"],
    );
}

/// Where it is asked for, a walk tells the rules that said no, and which of their matches did.
#[test]
fn rules_that_say_no_are_told_with_the_match_that_did() {
    let snapshot = node()
        .table(
            "filter",
            "\
-A FORWARD -s 10.9.9.9/32 -j DROP
-A FORWARD -m mark --mark 0x0 -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m statistic --mode random --probability 0.50000000000 -j DROP
-A FORWARD -m recent --rcheck --name a --rsource -j DROP
-A FORWARD
",
        )
        .snapshot();
    let node = Node::new(&snapshot);
    let spec: PacketSpec = serde_json::from_str(IN).expect("a packet");
    let packet = spec.resolve(&node).expect("a packet of this node");
    let told = |note_misses: bool| -> Vec<Vec<(usize, Option<usize>)>> {
        let what_if = WhatIf {
            note_misses,
            ..WhatIf::default()
        };
        let trace = simulate_what_if(&node, &packet, &what_if, Limits::default()).expect("ends");
        let of = |o: &nfwhy::trace::Outcome| o.misses.iter().map(|m| (m.hit.rule, m.by)).collect();
        trace.outcomes.iter().map(of).collect()
    };
    let both = vec![(0, None), (1, Some(1))];
    let through = [&both[..], &[(2, Some(0)), (3, Some(0))]].concat();
    assert_eq!(told(true), [both, through]);
    assert_eq!(told(false), [vec![], vec![]]);
}

/// Where one branch has all the weight there is nothing to choose.
#[test]
fn one_branch_is_no_fork() {
    use crate::common::walk_one;
    use nfwhy::trace::StepKind;
    let s = node()
        .table(
            "filter",
            "-A FORWARD -m statistic --mode random --probability 1.00000000000\n-A FORWARD -m statistic --mode nth --every 1 --packet 0\n",
        )
        .snapshot();
    let o = walk_one(&s, IN, None);
    assert_eq!(o.hits().count(), 2);
    let fork = |k: &StepKind| matches!(k, StepKind::Fork { .. });
    assert!(!o.steps.iter().any(|s| fork(&s.kind)));
}
