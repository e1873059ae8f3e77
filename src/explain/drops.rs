//! What keeps a packet from arriving: rules, policies, and (through [`super::path`]) the kernel itself.

use super::marks::{self, because_of_mark};
use super::names::{self, comment, full_rule, service_in};
use super::story::{Called, last_of, rule};
use super::{Case, Code, Finding, Rank, owners, path, policies, refusals};
use crate::node::Node;
use crate::trace::{Hit, Origin, Outcome, Packet, Reason, Verdict, View};
use nfwhy_parsers::iptables::Target;

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let mut list: Vec<(Rank, Finding, Vec<usize>)> = Vec::new();
    let told = case
        .trace
        .outcomes
        .iter()
        .any(|o| o.verdict != Verdict::Unknown);
    for (i, (outcome, story)) in case.outcomes().enumerate() {
        // A server was chosen, and only the way to it is not known: the verdict says so.
        if told && outcome.verdict == Verdict::Unknown && outcome.dnat.is_some() {
            continue;
        }
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
                Code::Queued,
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
            let to = outcome.steps.last().map(|s| s.view);
            Some(policies::by_policy(node, packet, story, to, *table, *chain))
        }
        (reason, _) => path::failure(node, packet, outcome, story, reason),
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
        .filter(|o| !o.name.eq_ignore_ascii_case(names::table(node, hit.table)))
        .map_or_else(String::new, |o| format!(" ({})", o.name))
}

fn by_rule(node: &Node<'_>, packet: &Packet, story: &[Called], hit: Hit, v: Verdict) -> Finding {
    let done = if v == Verdict::Rejected {
        "rejected"
    } else {
        "dropped"
    };
    let mark = last_of(story, hit)
        .filter(|_| {
            let own = matches!(meaning(node, hit), Meaning::WrongWay | Meaning::Invalid);
            !own && !super::nft::asks_way_back(node, hit)
        })
        .and_then(|i| because_of_mark(node, story, i));
    let setters: Vec<&Called> = mark
        .iter()
        .flat_map(|m| m.setters.iter().filter_map(|i| story.get(*i)))
        .collect();
    let mut f = if let Some(first) = setters.first() {
        let by = marks::decider(node, first);
        let bits = mark.as_ref().map_or(0, |m| m.bits);
        let mut why = names::remark(node, by).map_or_else(String::new, |c| format!(" ({c})"));
        if meaning(node, by) == Meaning::NoLocalEndpoints
            && let Some(more) = super::here::clause(node, by)
        {
            why = format!("{why}, {more}");
        }
        if let Some(more) = refusals::catch_all(node, packet, by) {
            why = more;
        }
        let mut f = Finding::new(
            Code::MarkedForDrop,
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
        let view = last_of(story, hit)
            .and_then(|i| story.get(i))
            .map(|c| c.view);
        let mut f = plain_rule(node, packet, view.as_ref(), hit, done);
        f.blame_rules([hit]);
        f
    };
    f.blame_rules(path_to(story, hit));
    let base = last_of(story, hit)
        .and_then(|i| story.get(i)?.path().next())
        .unwrap_or(hit);
    policies::not_enough(node, story, &mut f, hit.table, base.chain);
    refusals::own_address(node, packet, &mut f);
    f
}

/// What a drop means, by kube-proxy's comments and chains (pkg/proxy/iptables/proxier.go, pkg/proxy/ipvs/proxier.go).
fn plain_rule(
    node: &Node<'_>,
    packet: &Packet,
    view: Option<&View>,
    hit: Hit,
    done: &str,
) -> Finding {
    let service = service_at(node, packet, hit).unwrap_or_else(|| packet.dst.to_string());
    let at = full_rule(node, hit);
    let (code, title) = match meaning(node, hit) {
        Meaning::NoEndpoints => (
            Code::NoEndpoints,
            format!("{done}: {service} has no endpoints ({at})"),
        ),
        Meaning::NoLocalEndpoints => (
            Code::NoLocalEndpoints,
            format!(
                "{done}: {service} has no endpoint on this node and its {} is Local ({at}){}",
                policy_name(node, packet, hit),
                super::here::clause(node, hit)
                    .or_else(|| super::unserved::not_in_service_ips(node, packet, hit))
                    .map_or_else(String::new, |c| format!(", {c}"))
            ),
        ),
        Meaning::SourceRanges => (
            Code::SourceRanges,
            match packet.src {
                Some(src) => format!(
                    "{done}: {src} is not in the loadBalancerSourceRanges of {service} ({at})"
                ),
                None => format!("{done}: not in the loadBalancerSourceRanges of {service} ({at})"),
            },
        ),
        Meaning::NoSuchPort => (
            Code::Unserved,
            format!(
                "{}: {done} by {at}{}",
                super::unserved::no_such_port(node, packet),
                if node.netfilter.nft(hit.table).is_some() {
                    ""
                } else {
                    answers(node, hit)
                }
            ),
        ),
        Meaning::NoService => (
            Code::Unserved,
            format!(
                "no Service has the address {}, which is of the Service network: {done} by {at}",
                packet.dst
            ),
        ),
        Meaning::Invalid => (
            Code::DroppedInvalid,
            format!(
                "{done} by {at}{}: conntrack knows no connection that this packet belongs to (INVALID)",
                by_owner(node, hit)
            ),
        ),
        Meaning::WrongWay => (
            Code::SpoofedSource,
            format!(
                "{done} by {at}{}: the way back to {} is not by {}, so the source counts as forged",
                by_owner(node, hit),
                view.and_then(|v| v.src)
                    .or(packet.src)
                    .map_or_else(|| "the source".to_owned(), |s| s.to_string()),
                view.and_then(|v| v.iif)
                    .map_or("the device it came by", |d| names::device(node, d)),
            ),
        ),
        Meaning::Other => {
            let code = if done == "rejected" {
                Code::RejectedByRule
            } else {
                Code::DroppedByRule
            };
            let text = names::remark(node, hit).map_or_else(String::new, |t| format!(": {t}"));
            let of_nft = super::nft::policy(node, view, hit)
                .or_else(|| super::nft::way_back(node, view, hit));
            let title = match of_nft {
                Some(why) => format!("{done}: {why} ({at})"),
                None => format!(
                    "{done} by {at}{}{text}{}{}",
                    by_owner(node, hit),
                    refusals::rest(node, hit),
                    answers(node, hit)
                ),
            };
            (code, title)
        }
    };
    let mut f = Finding::new(code, title);
    advise_for(node, &mut f, packet, hit);
    f
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    NoEndpoints,
    NoLocalEndpoints,
    SourceRanges,
    /// A `ClusterIP` on a port that its Service does not have.
    NoSuchPort,
    /// An address of the Service network that is nobody's.
    NoService,
    /// conntrack does not know it.
    Invalid,
    /// A reverse path filter written as a rule.
    WrongWay,
    Other,
}

/// The Service that a refusing rule is about: from its comment, its chain, or the map that it asked.
fn service_at(node: &Node<'_>, packet: &Packet, hit: Hit) -> Option<String> {
    super::objects::object_name(node, packet)
        .or_else(|| comment(node, hit).and_then(service_in).map(str::to_owned))
        .or_else(|| names::service_in_chain(names::chain(node, hit.table, hit.chain)))
        .or_else(|| super::nft::service_of_element(node, packet, hit))
        .or_else(|| super::objects::asked(node, packet).map(|s| s.name()))
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
            "cluster-ips-check" if text.contains("invalid ports") => Meaning::NoSuchPort,
            "cluster-ips-check" if text.contains("unallocated") => Meaning::NoService,
            _ => Meaning::Other,
        };
    }
    if let Some(m) = rule(node, hit).and_then(by_match) {
        return m;
    }
    // pkg/proxy/ipvs/proxier.go: what its address set holds and no Service's set has.
    if matches!(chain, "KUBE-IPVS-FILTER" | "KUBE-IPVS-OUT-FILTER") {
        return Meaning::NoSuchPort;
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

/// What a rule of any program means by a match of its own kind.
fn by_match(r: &nfwhy_parsers::iptables::Rule<'_>) -> Option<Meaning> {
    use nfwhy_parsers::iptables::Match;
    use nfwhy_parsers::iptables::matches::CtStates;
    let only = |s: CtStates, not: bool| !not && s == CtStates(CtStates::INVALID);
    r.matches.iter().find_map(|m| match m {
        Match::State(n) if only(n.value, n.not) => Some(Meaning::Invalid),
        Match::Conntrack(c) => {
            let n = c.state.as_ref()?;
            only(n.value, n.not).then_some(Meaning::Invalid)
        }
        Match::Rpfilter(p) if p.invert => Some(Meaning::WrongWay),
        _ => None,
    })
}

/// The internal policy is written into KUBE-SERVICES, the external one elsewhere; in nftables mode one map holds both.
fn policy_name(node: &Node<'_>, packet: &Packet, hit: Hit) -> &'static str {
    if names::chain(node, hit.table, hit.chain) == "KUBE-SERVICES"
        || super::nft::asks_cluster_ip(node, packet, hit)
    {
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
            policy_name(node, packet, hit)
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
        Meaning::NoSuchPort => {
            if let Some(help) = super::unserved::ask_instead(node, packet) {
                f.advise(help);
            }
        }
        Meaning::NoService => f.advise(
            "the Service is gone or has another address now: see `kubectl get services -A`, and who still asks for the old one",
        ),
        Meaning::Invalid => {
            f.advise("an answer whose request went another way is INVALID here: look for a second path (asymmetric routing, direct return, another node's SNAT), and send both directions through this node");
            f.advise("segments out of the window are INVALID as well: sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1 lets them pass (kubernetes/kubernetes#94861)");
        }
        Meaning::WrongWay => f.advise(
            "a pod may only send with its own address: who routes or tunnels for others in a pod needs a route to those addresses by that device; sysctl rp_filter has no say in it",
        ),
        Meaning::Other => {
            let chain = names::chain(node, hit.table, hit.chain);
            let chain = if super::nft::policy(node, None, hit).is_some() {
                chain.strip_prefix("filter-").unwrap_or(chain)
            } else {
                chain
            };
            let weave = owners::of_rule(node, hit).is_some_and(|o| o.name == "Weave Net");
            if weave {
                f.advise("no NetworkPolicy that selects the pod admits it: the chain WEAVE-NPC is asked before this rule; see `kubectl get networkpolicy` in the pod's namespace");
            } else if let Some((_, help)) =
                POLICY_CHAINS.iter().find(|(p, _)| chain.starts_with(p))
            {
                f.advise(*help);
            } else if refusals::is_rest(node, hit) {
                f.advise(format!(
                    "a firewall of the distribution ends so: accept {} before {} (firewall-cmd, or the file it is loaded from)",
                    packet.dport.known().map_or_else(|| packet.proto.to_string(), |p| format!("{} {p}", packet.proto)),
                    names::short_rule(node, hit)
                ));
            } else if let Some(o) = owners::of_rule(node, hit).filter(|o| o.name != "kube-proxy") {
                f.advise(format!(
                    "the rule is {}'s: change its policy or configuration, not the rule",
                    o.name
                ));
            }
        }
    }
}

/// How the packet came, for sentences.
pub(super) fn whose(packet: &Packet) -> &'static str {
    match packet.origin {
        Origin::Local => "the node's own",
        Origin::Device(_) => "the client's",
    }
}
