//! What keeps a packet from arriving: rules, policies, and (through [`super::path`]) the kernel itself.

use super::marks::{self, because_of_mark};
use super::names::{self, comment, full_rule, service_in, short_rule};
use super::story::{Called, last_of, rule};
use super::{Case, Cause, Finding, Rank, Severity, owners, path};
use crate::node::{ChainId, Node};
use crate::trace::{Effect, Hit, Origin, Outcome, Packet, Reason, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Target;

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let mut list: Vec<(Rank, Finding, Vec<usize>)> = Vec::new();
    for (i, (outcome, story)) in case.outcomes().enumerate() {
        let Some(f) = failure(case.node, &case.trace.packet, outcome, story) else {
            continue;
        };
        let rank = match outcome.verdict {
            Verdict::Unknown => Rank::MayFail,
            _ if outcome.probability.is_some() || case.trace.outcomes.len() == 1 => Rank::Fails,
            // It rests on something unknown.
            _ => Rank::MayFail,
        };
        match list
            .iter_mut()
            .find(|(_, g, _)| g.code == f.code && g.title == f.title)
        {
            Some((r, g, members)) => {
                *r = (*r).min(rank);
                for c in f.causes {
                    g.blame(c);
                }
                members.push(i);
            }
            None => list.push((rank, f, vec![i])),
        }
    }
    list.into_iter()
        .map(|(rank, mut f, members)| {
            if let Some(when) = condition(case, &members) {
                f.title = format!("{when}: {}", f.title);
            }
            (rank, f)
        })
        .collect()
}

/// When some but not all outcomes fail: how often, or what it depends on.
fn condition(case: &Case<'_, '_>, members: &[usize]) -> Option<String> {
    let all = &case.trace.outcomes;
    if members.len() == all.len() {
        return None;
    }
    let known: Option<f64> = members
        .iter()
        .map(|i| all.get(*i).and_then(|o| o.probability))
        .sum();
    if let Some(p) = known {
        return (p < 0.999).then(|| format!("for {:.0} % of connections", p * 100.0));
    }
    let mine = all.get(*members.first()?)?;
    let special: Vec<String> = mine
        .assumptions
        .iter()
        .filter(|a| !all.iter().all(|o| o.assumptions.contains(a)))
        .cloned()
        .collect();
    (!special.is_empty()).then(|| format!("if {}", names::list(&special, 2)))
}

/// The finding for one outcome that did not arrive; `None` for one that did.
pub(super) fn failure(
    node: &Node<'_>,
    packet: &Packet,
    outcome: &Outcome,
    story: &[Called],
) -> Option<Finding> {
    match (&outcome.reason, outcome.verdict) {
        (Reason::Sent { .. } | Reason::Delivered, _) => None,
        (Reason::Rule(hit), Verdict::Queued) => {
            let mut f = Finding::new(
                "queued",
                Severity::Info,
                format!(
                    "{} hands the packet to a program in user space, which decides",
                    full_rule(node, *hit)
                ),
            );
            f.blame_rules(path_to(story, *hit));
            Some(f)
        }
        (Reason::Rule(hit), v) => Some(by_rule(node, packet, story, *hit, v)),
        (Reason::Policy { table, chain }, _) => {
            Some(by_policy(node, packet, story, *table, *chain))
        }
        (reason, _) => Some(path::failure(node, packet, outcome, story, reason)),
    }
}

fn path_to(story: &[Called], hit: Hit) -> Vec<Hit> {
    let mut list = vec![hit];
    if let Some(c) = last_of(story, hit).and_then(|i| story.get(i)) {
        list.extend(c.stack.iter().rev());
    }
    list
}

/// ` (Calico)`, where the owner is known.
pub(super) fn by_owner(node: &Node<'_>, hit: Hit) -> String {
    owners::of_rule(node, hit)
        .filter(|o| o.name != names::table(node, hit.table))
        .map_or_else(String::new, |o| format!(" ({})", o.name))
}

fn by_rule(node: &Node<'_>, packet: &Packet, story: &[Called], hit: Hit, v: Verdict) -> Finding {
    let done = if v == Verdict::Rejected {
        "rejected"
    } else {
        "dropped"
    };
    let mark = last_of(story, hit).and_then(|i| because_of_mark(node, story, i));
    let setters: Vec<&Called> = mark
        .iter()
        .flat_map(|m| m.setters.iter().filter_map(|i| story.get(*i)))
        .collect();
    let mut f = if let Some(first) = setters.first() {
        let by = marks::decider(node, first);
        let bits = mark.as_ref().map_or(0, |m| m.bits);
        let why = names::remark(node, by).map_or_else(String::new, |c| format!(" ({c})"));
        let mut f = Finding::new(
            "marked-for-drop",
            Severity::Error,
            format!(
                "{done} by {}{}, because {} marked it {bits:#x}{why}",
                full_rule(node, hit),
                by_owner(node, hit),
                full_rule(node, by),
            ),
        );
        f.blame_rules(setters.iter().map(|s| marks::decider(node, s)));
        f.blame_rules([hit]);
        for s in &setters {
            f.blame_rules([s.hit]);
            f.blame_rules(s.stack.iter().rev().copied());
        }
        advise_for(node, &mut f, packet, by);
        f
    } else {
        let mut f = plain_rule(node, packet, hit, done);
        f.blame_rules([hit]);
        f
    };
    f.blame_rules(path_to(story, hit));
    own_address(node, packet, &mut f);
    f
}

/// What a drop means, by kube-proxy's comments and chains (pkg/proxy/iptables/proxier.go, pkg/proxy/ipvs/proxier.go).
fn plain_rule(node: &Node<'_>, packet: &Packet, hit: Hit, done: &str) -> Finding {
    let service = service_at(node, packet, hit).unwrap_or_else(|| packet.dst.to_string());
    let at = full_rule(node, hit);
    let (code, title) = match meaning(node, hit) {
        Meaning::NoEndpoints => (
            "no-endpoints",
            format!("{done}: {service} has no endpoints ({at})"),
        ),
        Meaning::NoLocalEndpoints => (
            "no-local-endpoints",
            format!(
                "{done}: {service} has no endpoint on this node and its {} is Local ({at})",
                policy_name(node, hit)
            ),
        ),
        Meaning::SourceRanges => (
            "source-ranges",
            match packet.src {
                Some(src) => format!(
                    "{done}: {src} is not in the loadBalancerSourceRanges of {service} ({at})"
                ),
                None => format!("{done}: not in the loadBalancerSourceRanges of {service} ({at})"),
            },
        ),
        Meaning::Other => {
            let code = if done == "rejected" {
                "rejected-by-rule"
            } else {
                "dropped-by-rule"
            };
            let text = names::remark(node, hit).map_or_else(String::new, |t| format!(": {t}"));
            (
                code,
                format!(
                    "{done} by {at}{}{text}{}",
                    by_owner(node, hit),
                    answers(node, hit)
                ),
            )
        }
    };
    let mut f = Finding::new(code, Severity::Error, title);
    advise_for(node, &mut f, packet, hit);
    f
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    NoEndpoints,
    NoLocalEndpoints,
    SourceRanges,
    Other,
}

/// The Service that a refusing rule is about: from its comment, its chain, or the map that it asked.
fn service_at(node: &Node<'_>, packet: &Packet, hit: Hit) -> Option<String> {
    comment(node, hit)
        .and_then(service_in)
        .map(str::to_owned)
        .or_else(|| names::service_in_chain(names::chain(node, hit.table, hit.chain)))
        .or_else(|| super::nft::service_of_element(node, packet, hit))
}

fn meaning(node: &Node<'_>, hit: Hit) -> Meaning {
    let text = comment(node, hit).unwrap_or_default();
    let chain = names::chain(node, hit.table, hit.chain);
    let kube = node
        .netfilter
        .nft(hit.table)
        .is_some_and(|t| t.def.name == "kube-proxy");
    if kube {
        // pkg/proxy/nftables/proxier.go: a Service without endpoints goes to reject-chain, one whose policy is Local and which has none
        // here is dropped by the same maps.
        return match chain {
            "reject-chain" => Meaning::NoEndpoints,
            "service-endpoints-check" | "nodeport-endpoints-check" => Meaning::NoLocalEndpoints,
            _ if chain.starts_with("firewall-") => Meaning::SourceRanges,
            _ => Meaning::Other,
        };
    }
    if text.contains("has no local endpoints") {
        Meaning::NoLocalEndpoints
    } else if text.contains("has no endpoints") {
        Meaning::NoEndpoints
    } else if text.contains("traffic not accepted by KUBE-FW")
        || chain.starts_with("KUBE-PROXY-FIREWALL")
        || chain.starts_with("KUBE-SOURCE-RANGES-FIREWALL")
        || chain.starts_with("KUBE-FIRE-WALL")
        || (chain.starts_with("KUBE-FW-") && text.is_empty())
    {
        Meaning::SourceRanges
    } else {
        Meaning::Other
    }
}

/// The internal policy is written into KUBE-SERVICES, the external one elsewhere.
fn policy_name(node: &Node<'_>, hit: Hit) -> &'static str {
    if names::chain(node, hit.table, hit.chain) == "KUBE-SERVICES" {
        "internalTrafficPolicy"
    } else {
        "externalTrafficPolicy"
    }
}

/// What REJECT answers.
fn answers(node: &Node<'_>, hit: Hit) -> &'static str {
    use nfwhy_parsers::iptables::targets::RejectWith;
    if let Some(t) = node.netfilter.nft(hit.table) {
        let rule = t.rules(hit.chain).get(hit.rule);
        return rule.map_or("", super::nft::answers);
    }
    match rule(node, hit).map(|r| &r.target) {
        Some(Target::Reject(RejectWith::TcpReset)) => "; it answers with a TCP reset",
        Some(Target::Reject(_)) => "; it answers with ICMP unreachable",
        _ => "",
    }
}

/// Chains that stand for the policies of one pod: Calico's (felix/rules/endpoints.go) and kube-router's
/// (pkg/controllers/netpol/pod.go).
const POLICY_CHAINS: &[(&str, &str)] = &[
    (
        "cali-tw-",
        "no ingress policy of the pod behind that device allows it: see `kubectl get networkpolicy -A` and Calico's own policies",
    ),
    (
        "cali-fw-",
        "no egress policy of the pod behind that device allows it: see `kubectl get networkpolicy -A` and Calico's own policies",
    ),
    (
        "KUBE-POD-FW-",
        "no NetworkPolicy that selects the pod allows it: see `kubectl get networkpolicy` in its namespace",
    ),
];

fn advise_for(node: &Node<'_>, f: &mut Finding, packet: &Packet, hit: Hit) {
    let service = service_at(node, packet, hit).map(|s| s.split(':').take(1).collect::<String>());
    match meaning(node, hit) {
        Meaning::NoEndpoints => f.advise(match &service {
            Some(s) => format!(
                "no pod of {s} is ready: see `kubectl get endpointslices` for it, its selector and readiness probes"
            ),
            None => "no pod of the Service is ready: see its endpointslices, selector and readiness probes".into(),
        }),
        Meaning::NoLocalEndpoints => f.advise(format!(
            "send the client to a node that runs a ready pod, or set {}: Cluster; if a pod does run here, kube-proxy's --hostname-override differs from the endpoint's nodeName",
            policy_name(node, hit)
        )),
        Meaning::SourceRanges => match packet.src {
            Some(src) => f.advise(format!(
                "add {src} to spec.loadBalancerSourceRanges, or clear the list{}",
                // kubernetes 1.10 marks every load balancer address that has no entry in -SOURCE-CIDR
                // (pkg/proxy/ipvs/proxier.go, KUBE-FIRE-WALL).
                if names::chain(node, hit.table, hit.chain).starts_with("KUBE-FIRE-WALL") {
                    "; if the Service has none, another Service's list makes this chain refuse all others: upgrade kube-proxy"
                } else {
                    ""
                }
            )),
            None => f.advise("change spec.loadBalancerSourceRanges"),
        },
        Meaning::Other => {
            let chain = names::chain(node, hit.table, hit.chain);
            if let Some((_, help)) = POLICY_CHAINS.iter().find(|(p, _)| chain.starts_with(p)) {
                f.advise(*help);
            } else if let Some(o) = owners::of_rule(node, hit).filter(|o| o.name != "kube-proxy") {
                f.advise(format!(
                    "the rule is {}'s: change its policy or configuration, not the rule",
                    o.name
                ));
            }
        }
    }
}

/// A refusal in INPUT of an address that only kube-ipvs0 holds: the node takes the packet for its own.
fn own_address(node: &Node<'_>, packet: &Packet, f: &mut Finding) {
    let Some(d) = node
        .devices
        .iter()
        .find(|d| d.name.starts_with("kube-ipvs") && d.addrs.iter().any(|a| a.local == packet.dst))
    else {
        return;
    };
    f.advise(format!(
        "{} is on {}, so this node takes packets to it for its own; only ports of Services go on from here",
        packet.dst, d.name
    ));
    let gateway = node.fib(packet.family()).tables.values().any(|t| {
        t.iter()
            .any(|r| r.nexthops.iter().any(|n| n.via == Some(packet.dst)))
    });
    if gateway {
        f.advise(format!(
            "{0} is also a gateway of routes here, that is, another node's own address: take {0} out of the Service's externalIPs",
            packet.dst
        ));
    }
}

fn by_policy(
    node: &Node<'_>,
    packet: &Packet,
    story: &[Called],
    table: usize,
    chain: ChainId,
) -> Finding {
    let name = names::chain(node, table, chain);
    let mut f = Finding::new(
        "dropped-by-policy",
        Severity::Error,
        format!(
            "dropped by the policy DROP of {} {name}: no rule accepted it",
            names::table(node, table)
        ),
    );
    f.blame(Cause::Policy { table, chain });
    // An ACCEPT for marked packets that this one missed for want of the mark.
    let visited: Vec<(usize, ChainId)> = story
        .iter()
        .filter(|c| c.hit.table == table && c.effect == Effect::Jump)
        .filter_map(|c| {
            let r = rule(node, c.hit)?;
            let (Target::Jump(to) | Target::Goto(to)) = &r.target else {
                return None;
            };
            Some((table, node.netfilter.tables.get(table)?.chain(to)?))
        })
        .collect();
    for (t, c) in visited {
        let Some(tb) = node.netfilter.tables.get(t) else {
            continue;
        };
        let missed = tb.rules(c).iter().enumerate().find_map(|(i, r)| {
            let hit = Hit {
                table: t,
                chain: c,
                rule: i,
            };
            (r.target == Target::Accept && marks::looks_at_mark(node, hit)).then_some(hit)
        });
        if let Some(hit) = missed {
            f.advise(format!(
                "{} accepts marked packets only, and this one has no such mark",
                short_rule(node, hit)
            ));
            break;
        }
    }
    let program = match packet.family() {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let ufw = node
        .netfilter
        .tables
        .get(table)
        .is_some_and(|t| t.chains.iter().any(|c| c.name.starts_with("ufw")));
    let docker = node
        .netfilter
        .tables
        .get(table)
        .is_some_and(|t| t.chain("DOCKER").is_some() || t.chain("DOCKER-USER").is_some());
    f.advise(match (name, docker) {
        ("INPUT", _) if ufw => format!("the policy is ufw's: {}", ufw_allow(packet)),
        ("FORWARD", true) => {
            "Docker sets this policy when it starts: `iptables -P FORWARD ACCEPT`, or accept the pod network with rules of your own".to_owned()
        }
        _ => format!("accept the packet with a rule, or `{program} -P {name} ACCEPT`"),
    });
    f
}

/// `ufw allow proto tcp from 192.0.2.1 to any port 443`.
fn ufw_allow(packet: &Packet) -> String {
    let from = packet
        .src
        .map_or_else(|| "any".to_owned(), |s| s.to_string());
    match packet.dport.known() {
        Some(p) => format!(
            "`ufw allow proto {} from {from} to any port {p}`",
            packet.proto
        ),
        None => format!("`ufw allow from {from}`"),
    }
}

/// How the packet came, for sentences.
pub(super) fn whose(packet: &Packet) -> &'static str {
    match packet.origin {
        Origin::Local => "the node's own",
        Origin::Device(_) => "the client's",
    }
}
