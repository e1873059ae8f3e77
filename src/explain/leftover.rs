//! Rules of a kube-proxy that is no more: of the other iptables, or of another mode.

use super::again::{End, end, ends, without};
use super::names::{self, endpoint, full_rule};
use super::owners;
use super::story::Called;
use super::{Case, Cause, Code, Finding, Rank, Severity};
use crate::node::{Node, VirtualKey};
use crate::trace::{Effect, Hit, Port, Reason, Verdict};
use nfwhy_parsers::iptables::Backend;
use std::collections::BTreeSet;

/// kube-proxy writes one of these, and no two of them at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Legacy,
    Nft,
    Native,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Legacy => "iptables-legacy",
            Self::Nft => "iptables-nft",
            Self::Native => "table kube-proxy of nftables",
        }
    }
}

fn kind(node: &Node<'_>, hit: Hit) -> Option<Kind> {
    if let Some(t) = node.netfilter.nft(hit.table) {
        return (t.def.name == "kube-proxy").then_some(Kind::Native);
    }
    let t = node.netfilter.tables.get(hit.table)?;
    let kube = owners::of_chain(names::chain(node, hit.table, hit.chain))
        .is_some_and(|o| o.name == "kube-proxy");
    kube.then_some(match t.backend {
        Backend::Legacy => Kind::Legacy,
        Backend::Nft => Kind::Nft,
    })
}

/// Which of them the node has chains of Services in.
fn present(node: &Node<'_>) -> BTreeSet<Kind> {
    let mut all = BTreeSet::new();
    for t in &node.netfilter.tables {
        let full = t
            .chain("KUBE-SERVICES")
            .and_then(|c| t.chains.get(c.0 as usize))
            .is_some_and(|c| !c.rules.is_empty());
        if full {
            all.insert(match t.backend {
                Backend::Legacy => Kind::Legacy,
                Backend::Nft => Kind::Nft,
            });
        }
    }
    if node
        .netfilter
        .nft_tables()
        .any(|(_, t)| t.def.name == "kube-proxy")
    {
        all.insert(Kind::Native);
    }
    all
}

pub(super) fn findings(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    beside_ipvs(case).or_else(|| two_sets(case))
}

/// Two rule sets, and one of them changes what becomes of the packet.
fn two_sets(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    if present(node).len() < 2 {
        return None;
    }
    let now = ends(case.trace);
    let mut decides: Vec<(Kind, BTreeSet<End>, Hit)> = Vec::new();
    for k in present(node) {
        let bases = bases(case, k);
        if bases.is_empty() {
            continue;
        }
        let then = ends(&without(node, &case.trace.packet, &bases)?);
        // What only these rules translate is theirs to translate: then the node has one half here and the other there.
        let only =
            now.iter().any(|(_, d, _)| d.is_some()) && then.iter().all(|(_, d, _)| d.is_none());
        if then != now && !only && !(fails(&then) && fails(&now)) {
            let by = decider(case, k)?;
            decides.push((k, then, by));
        }
    }
    // Where each has its part (the one translates, the other masquerades what is marked) the one that translates or drops is told.
    decides.sort_by_key(|(k, _, by)| (!ends_or_translates(case, *by), *k));
    let (k, then, by) = decides.into_iter().next()?;
    let others: Vec<Kind> = present(node).into_iter().filter(|o| *o != k).collect();
    let also: Vec<&str> = others.iter().map(|o| o.name()).collect();
    let mut f = Finding::new(
        Code::TwoRuleSets,
        format!(
            "kube-proxy's rules are in {} and in {}; {} decides: {}, where without those of {} {}",
            k.name(),
            also.join(" and "),
            full_rule(node, by),
            say(&now),
            k.name(),
            say(&then),
        ),
    );
    f.blame_rules([by]);
    for s in case.stories {
        if let Some(c) = s.iter().find(|c| c.hit == by) {
            f.blame_rules(c.stack.iter().rev().copied());
        }
    }
    for o in &case.trace.outcomes {
        if let Reason::Policy { table, chain } = o.reason {
            f.blame(Cause::Policy { table, chain });
        }
    }
    f.advise("only one of them is kept up to date: the other is left over from before a change of the iptables version or of kube-proxy's mode (see which one gets the rules of a new Service)");
    f.advise("remove the older one: `kube-proxy --cleanup` with the matching iptables, or reboot; `iptables -L` shows one of the two only");
    // Where others refuse it with and without these rules, that comes first.
    let refused = |all: &BTreeSet<End>| {
        all.iter()
            .any(|(v, ..)| matches!(v, Verdict::Dropped | Verdict::Rejected))
    };
    if !refused(&now) {
        f = f.with_severity(Severity::Warning);
    }
    let rank = if refused(&now) && refused(&then) {
        Rank::Stale
    } else {
        Rank::Fails
    };
    Some((rank, f))
}

fn fails(all: &BTreeSet<End>) -> bool {
    all.iter()
        .all(|(v, ..)| matches!(v, Verdict::Dropped | Verdict::Rejected))
}

/// The rules of base chains by which the packet came to chains of a kind.
fn bases(case: &Case<'_, '_>, k: Kind) -> Vec<Hit> {
    let mut list: Vec<Hit> = Vec::new();
    for c in case.stories.iter().flatten() {
        if kind(case.node, c.hit) == Some(k)
            && let Some(base) = c.path().next()
            && !list.contains(&base)
        {
            list.push(base);
        }
    }
    list
}

fn decider(case: &Case<'_, '_>, k: Kind) -> Option<Hit> {
    let of = |c: &&Called| !c.outer && kind(case.node, c.hit) == Some(k);
    let all = || case.stories.iter().flatten().filter(of);
    let ends = |c: &&Called| matches!(c.effect, Effect::Drop | Effect::Reject);
    all()
        .find(ends)
        .or_else(|| all().find(|c| c.rewrote_destination()))
        .or_else(|| all().find(|c| matches!(c.effect, Effect::Mark { .. } | Effect::Accept)))
        .map(|c| c.hit)
}

fn ends_or_translates(case: &Case<'_, '_>, hit: Hit) -> bool {
    case.stories.iter().flatten().any(|c| {
        c.hit == hit
            && (c.rewrote_destination() || matches!(c.effect, Effect::Drop | Effect::Reject))
    })
}

/// `it goes to 10.0.0.1:80`, `it is dropped`.
fn say(all: &BTreeSet<End>) -> String {
    let mut list: Vec<String> = Vec::new();
    for (v, dnat, _) in all {
        let s = match (v, dnat) {
            (Verdict::Forwarded | Verdict::Local, Some((ip, port))) => format!(
                "it goes to {}",
                endpoint(*ip, port.map_or(Port::None, Port::Known))
            ),
            (Verdict::Forwarded | Verdict::Local, None) => "it goes on untranslated".to_owned(),
            (v, Some((ip, _))) => format!("it is {} on its way to {ip}", v.name()),
            (v, None) => format!("it is {}", v.name()),
        };
        if !list.contains(&s) {
            list.push(s);
        }
    }
    names::list(&list, 3)
}

/// kube-proxy in IPVS mode has no chains per Service: those that decide are of its iptables mode.
fn beside_ipvs(case: &Case<'_, '_>) -> Option<(Rank, Finding)> {
    let node = case.node;
    if node.ipvs.services.is_empty() {
        return None;
    }
    let packet = &case.trace.packet;
    let (c, o) = case.outcomes().find_map(|(o, s)| {
        let of = |c: &&Called| {
            let chain = names::chain(node, c.hit.table, c.hit.chain);
            let per_service = [
                "KUBE-SVC-",
                "KUBE-SEP-",
                "KUBE-EXT-",
                "KUBE-XLB-",
                "KUBE-FW-",
            ]
            .iter()
            .any(|p| chain.starts_with(p));
            let refuses = matches!(c.effect, Effect::Drop | Effect::Reject)
                && names::table(node, c.hit.table) == "filter"
                && matches!(chain, "KUBE-SERVICES" | "KUBE-EXTERNAL-SERVICES")
                && super::names::comment(node, c.hit).is_some_and(|t| t.contains("endpoints"));
            !c.outer && (per_service && c.rewrote_destination() || refuses)
        };
        Some((s.iter().find(of)?, o))
    })?;
    let virtual_service = node.ipvs.services.iter().position(|s| {
        matches!(s.key, VirtualKey::Addr { proto, addr, port }
            if proto == packet.proto && addr == packet.dst && Port::Known(port) == packet.dport)
    });
    let then = match virtual_service {
        Some(i) => format!(
            "IPVS has {} ({} real servers)",
            super::path::service_name(node, i),
            node.ipvs.services.get(i).map_or(0, |s| s.servers.len())
        ),
        None => "IPVS serves the other Services".to_owned(),
    };
    let mut f = Finding::new(
        Code::LeftoverMode,
        format!(
            "{} is left over from kube-proxy's iptables mode and decides ({}), although kube-proxy runs in IPVS mode: {then}",
            full_rule(node, c.hit),
            say(&BTreeSet::from([end(o)])),
        ),
    );
    f.blame_rules([c.hit]);
    f.blame_rules(c.stack.iter().rev().copied());
    if let Some(i) = virtual_service {
        f.blame(super::path::ipvs(node, i));
    }
    f.advise("a change of mode does not remove the older rules: `kube-proxy --cleanup` and a restart of kube-proxy, or a reboot of the node");
    Some((Rank::Fails, f))
}
