//! What is worth knowing beside the answer: connections that outlive rules, IPVS without conntrack, two rule sets at once.

use super::names::{self, endpoint};
use super::path::{ipvs_service, service_name, setting};
use super::{Case, Cause, Code, Finding, Rank, owners, reply};
use crate::node::{Node, Origin, TableKind};
use crate::trace::{CtState, Hit, NatKind, Outcome, Port, StepKind, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Backend;
use std::net::IpAddr;

pub(super) fn findings(case: &Case<'_, '_>) -> Vec<(Rank, Finding)> {
    let mut list = Vec::new();
    list.extend(connection(case));
    list.extend(ipvs_untracked(case));
    list.extend(two_backends(case).map(|f| (Rank::Remark, f)));
    // Without the rules nothing said of the packet holds, and where outcomes differ in what becomes of the client there is no
    // answer to explain: that comes first.
    let rank = if rules_missing(case) || undecided(case) {
        Rank::Fails
    } else {
        Rank::MayFail
    };
    list.extend(depends(case).map(|f| (rank, f)));
    list
}

/// A captured connection decides: nat rules are asked only for the first packet (`nf_nat_inet_fn` in `net/netfilter/nf_nat_core.c`).
fn connection(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let (o, at) = case
        .trace
        .outcomes
        .iter()
        .filter(|o| !reply::is_reply(o))
        .find_map(|o| Some((o, entry(o)?)))?;
    let place = case.node.place(at);
    let to = o
        .dnat
        .as_ref()
        .filter(|d| d.by == NatKind::Conntrack)
        .and_then(|d| Some((d.ip?, d.port)));
    let packet = &case.trace.packet;
    let Some((ip, port)) = to else {
        let mut f = Finding::new(
            Code::KnownConnection,
            format!(
                "the connection is known ({place}), so the nat rules are not asked; a new one may go another way"
            ),
        );
        f.blame(Cause::Conntrack { at });
        return Some((Rank::Remark, f));
    };
    let target = endpoint(ip, port.map_or(Port::None, Port::Known));
    if named_now(case.node, ip) {
        let mut f = Finding::new(
            Code::KnownConnection,
            format!(
                "the connection is known ({place}): it stays with {target}, whatever the nat rules say of new ones"
            ),
        );
        f.blame(Cause::Conntrack { at });
        return Some((Rank::Remark, f));
    }
    let mut f = Finding::new(
        Code::StaleConntrack,
        format!(
            "sent to {target}, which no current rule names: a stale conntrack entry ({place}) rewrites {} before any filter rule sees it",
            packet.dst
        ),
    );
    f.blame(Cause::Conntrack { at });
    let port = packet
        .dport
        .known()
        .map_or_else(String::new, |p| format!(" --dport {p}"));
    f.advise(format!(
        "conntrack -D -p {} --orig-dst {}{port}",
        packet.proto, packet.dst
    ));
    f.advise("a new connection (another source port) is judged by the rules of now");
    Some((Rank::Stale, f))
}

fn entry(o: &Outcome) -> Option<Origin> {
    o.steps.iter().find_map(|s| match s.kind {
        StepKind::Conntrack { at, .. } => at,
        _ => None,
    })
}

/// Whether any nat rule or real server of now names an address.
pub(super) fn named_now(node: &Node<'_>, ip: IpAddr) -> bool {
    let text = ip.to_string();
    let in_rules = node
        .netfilter
        .tables
        .iter()
        .filter(|t| t.kind == TableKind::Nat)
        .any(|t| {
            t.chain_ids().any(|c| {
                let rules = t.chains.get(c.0 as usize).map_or(0, |c| c.rules.len());
                (0..rules).any(|r| names_address(t.rule_text(c, r), &text))
            })
        });
    in_rules
        || node
            .ipvs
            .services
            .iter()
            .any(|s| s.servers.iter().any(|r| r.addr == ip))
}

/// Whether `text` holds the address as a whole, not as part of a longer one.
fn names_address(text: &str, address: &str) -> bool {
    text.match_indices(address).any(|(at, _)| {
        let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_hexdigit() || c == '.');
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text
            .get(at + address.len()..)
            .and_then(|t| t.chars().next());
        !part(before) && !part(after)
    })
}

fn ipvs_untracked(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let (o, service) = case
        .trace
        .outcomes
        .iter()
        .find_map(|o| Some((o, ipvs_service(o)?)))?;
    let ipvs_at = o
        .steps
        .iter()
        .position(|s| matches!(s.kind, StepKind::Ipvs { .. }))?;
    let untracked = o.steps.iter().skip(ipvs_at).any(|s| {
        matches!(
            s.kind,
            StepKind::Conntrack {
                state: CtState::Untracked,
                ..
            }
        )
    });
    if !untracked {
        return None;
    }
    let unmasked = o.masq_mark && o.snat.is_none();
    let masked = if unmasked {
        let src = o.delivered.and_then(|d| d.src);
        format!(
            ": the packet was marked for masquerade, but MASQUERADE does not touch it, so the real server sees {} and answers it directly",
            src.map_or_else(|| "the client".to_owned(), |s| s.to_string())
        )
    } else {
        ": iptables does not translate it any more".to_owned()
    };
    let mut f = Finding::new(
        Code::IpvsUntracked,
        format!(
            "IPVS takes {} out of conntrack (net.ipv4.vs.conntrack = 0){masked}",
            service_name(case.node, service)
        ),
    );
    f.blame(setting(case.node, "net.ipv4.vs.conntrack"));
    f.blame(super::path::ipvs(case.node, service));
    if unmasked {
        // The rule that marked, and the one that would have masqueraded.
        let story = case
            .outcomes()
            .find(|(x, _)| std::ptr::eq(*x, o))
            .map(|(_, s)| s)
            .unwrap_or_default();
        let marks = |c: &&super::story::Called| matches!(c.effect, crate::trace::Effect::Mark { old, new } if new & !old != 0);
        for c in story.iter().filter(marks) {
            f.blame_rules([super::marks::decider(case.node, c), c.hit]);
        }
    }
    f.advise("sysctl -w net.ipv4.vs.conntrack=1 (kube-proxy sets it; something set it back)");
    let rank = if unmasked { Rank::Fails } else { Rank::Remark };
    Some((rank, f))
}

/// Whether both backends have rules in a chain of one name.
fn twice(node: &Node<'_>) -> bool {
    let full = |backend| {
        let tables = node
            .netfilter
            .tables
            .iter()
            .filter(move |t| t.backend == backend);
        tables.flat_map(|t| {
            let named = |c: &&nfwhy_parsers::iptables::Chain<'_>| {
                c.name.starts_with("KUBE-") && !c.rules.is_empty()
            };
            let kind = (t.family, t.kind);
            t.chains.iter().filter(named).map(move |c| (kind, &c.name))
        })
    };
    full(Backend::Legacy).any(|c| full(Backend::Nft).any(|o| c == o))
}

fn two_backends(case: &Case<'_, '_>) -> Option<Finding> {
    let mut first = [None, None];
    let mut chosen_by: Vec<&str> = Vec::new();
    for story in case.stories {
        for c in story {
            let Some(t) = case.node.netfilter.tables.get(c.hit.table) else {
                continue;
            };
            let kube = owners::of_chain(names::chain(case.node, c.hit.table, c.hit.chain))
                .is_some_and(|o| o.name == "kube-proxy");
            if kube {
                let slot = match t.backend {
                    Backend::Legacy => 0,
                    Backend::Nft => 1,
                };
                if c.rewrote_destination() {
                    let backend = ["iptables-legacy", "iptables-nft"][slot];
                    if !chosen_by.contains(&backend) {
                        chosen_by.push(backend);
                    }
                }
                if let Some(s) = first.get_mut(slot) {
                    s.get_or_insert(c.hit);
                }
            }
        }
    }
    let [Some(legacy), Some(nft)] = first else {
        return None;
    };
    let named = |hit: Hit| {
        let table = names::table(case.node, hit.table);
        format!("{table} {}", names::short_rule(case.node, hit))
    };
    let mut f = Finding::new(
        Code::TwoBackends,
        format!(
            "kube-proxy's chains {} and both are hit: {} in iptables-legacy, {} in iptables-nft{}",
            if twice(case.node) {
                "exist twice"
            } else {
                "are half in the one and half in the other iptables"
            },
            named(legacy),
            named(nft),
            match chosen_by.as_slice() {
                // iptables-legacy is asked first.
                ["iptables-nft"] => "; the endpoint is that of iptables-nft, for iptables-legacy translates no such packet".to_owned(),
                [one] => format!("; the endpoint is that of {one}"),
                _ => String::new(),
            }
        ),
    );
    f.blame_rules([legacy, nft]);
    let nat = |h: Hit| names::table(case.node, h.table) == "nat";
    if nat(legacy) && nat(nft) {
        f.advise("of two nat tables the one loaded last is asked first, and what it translates the other does not see; nothing captured tells which that is: iptables-legacy is taken for it");
    }
    f.advise("one of them is left over from before a change of the iptables version: flush its KUBE chains (`kube-proxy --cleanup` with the matching iptables, or reboot)");
    Some(f)
}

/// No netfilter rules of the packet's family were captured.
fn rules_missing(case: &Case<'_, '_>) -> bool {
    let c = case.node.captured;
    match case.trace.packet.family() {
        Family::V4 => !c.iptables4 && !c.nft,
        Family::V6 => !c.iptables6 && !c.nft,
    }
}

/// Whether what is unknown decides what becomes of the packet or its source.
fn undecided(case: &Case<'_, '_>) -> bool {
    let all = &case.trace.outcomes;
    let kind = |o: &Outcome| (o.verdict, o.client_ip_kept);
    // A server was chosen, and only the way to it is not known: of the others something can be said.
    let told: Vec<&Outcome> = all
        .iter()
        .filter(|o| o.verdict != Verdict::Unknown || o.dnat.is_none())
        .collect();
    let told = if told.is_empty() {
        all.iter().collect()
    } else {
        told
    };
    all.iter().any(|o| o.probability.is_none())
        && told
            .first()
            .is_some_and(|a| told.iter().any(|b| kind(a) != kind(b)))
}

/// What the answer rests on and was not captured.
fn depends(case: &Case<'_, '_>) -> Option<Finding> {
    let lacks = super::missing::ranked(case.trace);
    let missing: Vec<_> = lacks
        .iter()
        .filter(|l| l.matters())
        .map(|l| l.missing)
        .collect();
    if missing.is_empty() {
        return None;
    }
    let what: Vec<String> = missing.iter().map(|m| m.what.clone()).collect();
    let mut f = Finding::new(
        Code::Unknown,
        format!(
            "the answer depends on what was not captured: {}",
            names::list(&what, 3)
        ),
    );
    let mut commands: Vec<String> = Vec::new();
    for m in missing {
        let c = format!("`{}`", m.command);
        if !commands.contains(&c) {
            commands.push(c);
        }
    }
    f.advise(format!(
        "run {} on the node and put the output beside the other files",
        names::list(&commands, 4)
    ));
    Some(f)
}

#[cfg(test)]
mod tests {
    use super::names_address;

    #[test]
    fn an_address_is_not_found_within_a_longer_one() {
        let rule = "-A KUBE-SEP-X -p tcp -m tcp -j DNAT --to-destination 10.244.1.22:80";
        assert!(names_address(rule, "10.244.1.22"));
        assert!(!names_address(rule, "10.244.1.2"));
        assert!(!names_address(rule, "0.244.1.22"));
    }
}
