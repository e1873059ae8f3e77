//! Packets of other nodes' tunnels, which wrap what their pods say.

use nfwhy::node::Node;
use nfwhy::sim::{Conn, Tuple, simulate};
use nfwhy::trace::{Outcome, Port, Verdict};
use nfwhy_parsers::Proto;
use std::net::IpAddr;

use super::frame::{ICMP, Wire};
use super::judge::packet;
use super::places::UPLINK;
use super::probes::{From, Probe};
use super::scenario::Scenario;

/// The end of the packet that wraps this one: it belongs to a connection of two other nodes that is known.
pub(super) fn wrapping(
    node: &Node<'_>,
    s: &Scenario,
    p: &Probe,
) -> Result<Option<Outcome>, String> {
    let From::Tunnel(by) = p.from else {
        return Ok(None);
    };
    let outer = Probe {
        from: From::Device(UPLINK),
        wire: Wire {
            src: by,
            dst: s.places.node[1],
            proto: 4,
            ttl: 64,
            flags: 0,
            ..p.wire.clone()
        },
    };
    let mut packet = packet(node, &outer, None)?;
    let mut end = |conn| {
        packet.conn = conn;
        let mut t = simulate(node, &packet).map_err(|e| e.to_string())?;
        match (t.outcomes.pop(), t.outcomes.len()) {
            (Some(o), 0) => Ok::<_, String>(o),
            _ => Err("the outer packet forks".into()),
        }
    };
    let orig = Tuple {
        src: by,
        dst: s.places.node[1],
        sport: Port::None,
        dport: Port::None,
    };
    let known = |orig: Tuple, replied| Conn {
        proto: Proto(4),
        orig,
        reply: orig.inverted(),
        src_nat: false,
        dst_nat: false,
        mark: 0,
        replied,
        assured: false,
        tcp: None,
        ipvs: None,
        untracked: false,
        src_unknown: false,
        masqueraded_on: None,
        zones: nfwhy::sim::Zones::default(),
    };
    let replied = answers(node, s, by, &p.wire)?;
    let arrives = end(Some(known(orig, replied)))?;
    if arrives.verdict == Verdict::Local {
        return Ok(Some(arrives));
    }
    // What never arrives makes no connection. What the node sends to the other one makes its own, and this is a reply of it.
    Ok(Some(if replied {
        end(Some(known(orig.inverted(), true)))?
    } else {
        end(None)?
    }))
}

/// Whether what the node says to a pod behind this other node goes there by the tunnel, and not by a policy route.
fn answers(node: &Node<'_>, s: &Scenario, by: IpAddr, like: &Wire) -> Result<bool, String> {
    let mut pods = s.places.far_nodes.iter().zip(s.places.far_pods);
    let Some((_, pod)) = pods.find(|(far, _)| **far == by) else {
        return Ok(false);
    };
    let ask = Probe {
        from: From::Local {
            mark: 0,
            bound: false,
        },
        wire: Wire {
            dst: pod,
            proto: ICMP,
            icmp: (8, 0),
            ..like.clone()
        },
    };
    let t = simulate(node, &packet(node, &ask, None)?).map_err(|e| e.to_string())?;
    Ok(t.outcomes.iter().any(|o| {
        o.verdict == Verdict::Forwarded && o.out.as_ref().is_some_and(|x| x.via == Some(by))
    }))
}
