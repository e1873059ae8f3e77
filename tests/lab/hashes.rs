//! Branches that a hash over the flow decides: which next hop, which address of a range. One packet always takes the same, many flows
//! share them as the probabilities say.

use nfwhy::node::Node;
use nfwhy::sim::Conn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::case::Case;
use super::figures::Figures;
use super::frame::{UDP, Wire};
use super::judge::ask;
use super::probe::{From, Probe};
use super::spec::{Backend, Rule, Spec, Table};

/// Flows sent.
const FLOWS: u16 = 480;

/// A node with two weighted ways out and a range of source addresses.
fn spec(v6: bool) -> Spec {
    let mut s = Spec::default();
    let range = if v6 {
        "fd01::a-fd01::d"
    } else {
        "10.1.0.10-10.1.0.13"
    };
    let lines = if v6 {
        [
            "addr add fd01::1/64 dev ext0 nodad",
            "addr add fd02::1/64 dev ext1 nodad",
            "addr add fd03::1/64 dev pod0 nodad",
            "route add default nexthop via fd01::fe weight 1 nexthop via fd02::fe weight 3",
        ]
    } else {
        [
            "addr add 10.1.0.1/24 dev ext0",
            "addr add 10.2.0.1/24 dev ext1",
            "addr add 10.3.0.1/24 dev pod0",
            "route add default nexthop via 10.1.0.254 weight 1 nexthop via 10.2.0.254 weight 3",
        ]
    };
    let lines = lines.map(str::to_owned).to_vec();
    if v6 {
        s.ip6 = lines;
    } else {
        s.ip = lines;
    }
    for (path, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // Ports as well: flows of one pair of hosts part.
        ("ipv4/fib_multipath_hash_policy", "1"),
        ("ipv6/fib_multipath_hash_policy", "1"),
    ] {
        s.sysctls.push((path.to_owned(), value.to_owned()));
    }
    s.tables.push(Table {
        backend: Backend::Legacy,
        v6,
        name: "nat",
        chains: vec![("POSTROUTING".into(), Some("ACCEPT"))],
        rules: vec![Rule {
            chain: "POSTROUTING".into(),
            text: format!("-j SNAT --to-source {range}"),
        }],
    });
    s
}

fn flow(v6: bool, n: u16) -> Probe {
    let host = |far: bool| -> IpAddr {
        let [a, b] = n.to_be_bytes();
        match (v6, far) {
            (false, false) => Ipv4Addr::new(10, 3, 0, b.clamp(2, 250)).into(),
            (false, true) => Ipv4Addr::new(192, 0, 2 + a, b).into(),
            (true, false) => Ipv6Addr::new(0xfd03, 0, 0, 0, 0, 0, 0, 0x100 + n).into(),
            (true, true) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + n).into(),
        }
    };
    Probe {
        from: From::Device {
            dev: 2,
            mac: [2, 0, 0, 0, 1, 1],
        },
        wire: Wire {
            src: host(false),
            dst: host(true),
            proto: UDP,
            sport: 20_000,
            dport: 53,
            icmp: (0, 0),
            flags: 0,
            seq: 0,
            ack: 0,
            tos: 0,
            ttl: 64,
            id: 0,
            payload: 8,
            split: false,
        },
    }
}

/// What does not share as it is said to.
pub fn misfits(v6: bool) -> Result<Vec<String>, String> {
    let mut case = Case::new(&spec(v6), false)?;
    let snapshot = case.snapshot.clone();
    let node = Node::new(&snapshot);
    let mut f = Figures::default();
    let mut said = Vec::new();
    let mut seen = Vec::new();
    let flows: Vec<Probe> = (0..FLOWS)
        .map(|n| case.packets.again(&flow(v6, n)))
        .collect();
    for few in flows.chunks(10) {
        let asked = few
            .iter()
            .map(|p| Ok((p.clone(), ask(&node, p, None::<Conn>)?)));
        let chunk: Vec<_> = asked.collect::<Result<_, String>>()?;
        let ends = case
            .batch_of_forks(&node, v6, &chunk, &mut f)
            .ok_or("a flow took no end that was simulated")?;
        for (end, (_, t)) in ends.into_iter().zip(&chunk) {
            if said.is_empty() {
                said = t
                    .outcomes
                    .iter()
                    .map(|o| o.probability.unwrap_or(0.0))
                    .collect();
                seen = vec![0u32; said.len()];
            }
            seen[end] += 1;
        }
    }
    let n = f64::from(FLOWS);
    let fits = |p: f64, seen: u32| {
        (f64::from(seen) - n * p).abs() <= 5.0 * (n * p * (1.0 - p)).sqrt() + 1.0
    };
    let bad = said
        .iter()
        .zip(&seen)
        .filter(|(p, seen)| !fits(**p, **seen))
        .map(|(p, seen)| {
            format!("v6={v6}: an end of probability {p:.3} was taken by {seen} of {FLOWS} flows")
        });
    let mut bad: Vec<String> = bad.collect();
    if said.len() != 8 {
        bad.push(format!(
            "v6={v6}: {} ends for 2 ways and 4 addresses",
            said.len()
        ));
    }
    Ok(bad)
}
