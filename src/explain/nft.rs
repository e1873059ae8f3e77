//! What sentences need to know of rules of nftables.

use super::story::Called;
use crate::node::{ChainId, NftTable, Node};
use crate::trace::{Effect, Hit, Packet, View};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::bits;
use nfwhy_parsers::nft::expr::{BinOp, CtKey, FibResult, MapRef, Meta, RelOp};
use nfwhy_parsers::nft::stmt::Reject;
use nfwhy_parsers::nft::{Const, Element, ElementData, Expr, Part, Rule, Stmt, Verdict};

/// Whether a rule jumps or goes to the chain, perhaps among others.
pub fn may_jump_to(table: &NftTable<'_>, rule: &Rule<'_>, chain: &str) -> bool {
    let names = |v: &Verdict<'_>| matches!(v, Verdict::Jump(to) | Verdict::Goto(to) if to == chain);
    let any = |list: &[Element<'_>]| {
        list.iter()
            .any(|e| matches!(&e.data, Some(ElementData::Verdict(v)) if names(v)))
    };
    rule.stmts.iter().any(|s| match s {
        Stmt::Verdict(v) => names(v),
        Stmt::Vmap { map, .. } => match map {
            MapRef::Literal(list) => any(list),
            MapRef::Named(name) => table.set(name).is_some_and(|set| any(table.elements(set))),
        },
        _ => false,
    })
}

/// The bits of the packet's mark that a rule asks to be set, or those (`clear`) that it asks to be clear.
///
/// `meta mark & 0x4000 == 0x4000`, `meta mark & 0x4000 != 0` and `meta mark & 0x4000 == 0` are what programs write.
pub fn mark_bits(rule: &Rule<'_>, clear: bool) -> u32 {
    let mut out = 0;
    for s in &rule.stmts {
        let Stmt::Match { left, op, right } = s else {
            continue;
        };
        let Some(value) = number(right) else { continue };
        let mask = match left {
            Expr::Meta(Meta::Mark) => u32::MAX,
            Expr::Binary {
                op: BinOp::And,
                left,
                right,
            } if **left == Expr::Meta(Meta::Mark) => match number(right) {
                Some(mask) => mask,
                None => continue,
            },
            _ => continue,
        };
        out |= match (op, value, clear) {
            (RelOp::Eq, 0, true) | (RelOp::Ne, 0, false) if mask != u32::MAX => mask,
            (RelOp::Eq, v, false) | (RelOp::Ne, v, true) => v & mask,
            (RelOp::Any, v, false) | (RelOp::None, v, true) => v & mask,
            _ => 0,
        };
    }
    out
}

fn number(e: &Expr<'_>) -> Option<u32> {
    match e {
        Expr::Part(Part::One(Const::Num(n))) => u32::try_from(*n).ok(),
        _ => None,
    }
}

/// Whether a packet that hits the rule goes no further in its chain.
pub fn leaves_the_chain(rule: &Rule<'_>) -> bool {
    rule.stmts.iter().any(|s| match s {
        Stmt::Verdict(v) => !matches!(v, Verdict::Continue | Verdict::Jump(_)),
        Stmt::Reject(_) | Stmt::Nat(_) | Stmt::Queue(_) => true,
        _ => false,
    })
}

/// Whether a rule may refuse packets: by itself or by what its map says.
pub fn refuses(rule: &Rule<'_>) -> bool {
    rule.stmts.iter().any(|s| {
        matches!(
            s,
            Stmt::Verdict(Verdict::Drop) | Stmt::Reject(_) | Stmt::Vmap { .. }
        )
    })
}

/// The name of the hook at which a base chain runs, as iptables spells it.
fn hook_of(node: &Node<'_>, table: usize, chain: ChainId) -> Option<String> {
    let Some(t) = node.netfilter.nft(table) else {
        return Some(super::names::chain(node, table, chain).to_owned());
    };
    let base = t.def.chains.get(chain.0 as usize)?.base.as_ref()?;
    Some(format!("{:?}", base.hook).to_ascii_uppercase())
}

/// The last rule of another table that accepted the packet at the hook of this base chain.
///
/// An accept ends its own base chain and no more (`nf_hook_slow`, net/netfilter/core.c): whoever reads the rule that accepts wonders why the
/// packet does not arrive.
pub fn accepted_elsewhere(
    node: &Node<'_>,
    story: &[Called],
    table: usize,
    base: ChainId,
) -> Option<Hit> {
    node.netfilter.nft(table)?;
    let hook = hook_of(node, table, base)?;
    let accept = |c: &&Called| {
        let first = c.path().next().unwrap_or(c.hit);
        c.effect == Effect::Accept
            && !c.outer
            && c.hit.table != table
            && hook_of(node, first.table, first.chain).as_deref() == Some(hook.as_str())
    };
    story.iter().rfind(accept).map(|c| c.hit)
}

/// The command that lets such packets pass a base chain: `nft add rule inet filter forward ip daddr 10.0.0.7 tcp dport 80 accept`.
pub fn accept_command(node: &Node<'_>, table: usize, chain: ChainId, to: &View) -> Option<String> {
    let t = node.netfilter.nft(table)?;
    let chain = super::names::chain(node, table, chain);
    let ip = match Family::of(to.dst) {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    };
    let port = to
        .dport
        .known()
        .map_or_else(String::new, |p| format!(" {} dport {p}", to.proto));
    Some(format!(
        "nft add rule {} {} {chain} {ip} daddr {}{port} accept",
        t.def.family.name(),
        t.def.name,
        to.dst
    ))
}

/// Which policies admit no such packet, where a rule at the end of a pod's chain says it: Calico's chains, whose names in nftables tell the
/// part of the table first (`felix/nftables/table_layer.go`, `felix/rules/endpoints.go`).
pub fn policy(node: &Node<'_>, view: Option<&View>, hit: Hit) -> Option<String> {
    let chain = super::names::chain(node, hit.table, hit.chain);
    let said = super::names::remark(node, hit)?;
    let end = ["no profiles matched", "no policies passed"];
    if !said.starts_with("End of tier") && !end.iter().any(|e| said.contains(e)) {
        return None;
    }
    let chain = chain.strip_prefix("filter-").unwrap_or(chain);
    let what = view.map_or_else(
        || "it".to_owned(),
        |v| match v.dport.known() {
            Some(p) => format!("{} {p}", v.proto),
            None => v.proto.to_string(),
        },
    );
    let src = view.and_then(|v| v.src);
    let src = src.map_or_else(|| "the client".to_owned(), |s| s.to_string());
    let dst = view.map_or_else(|| "the receiver".to_owned(), |v| v.dst.to_string());
    if let Some(dev) = chain.strip_prefix("cali-tw-") {
        return Some(format!(
            "no ingress policy of the pod behind {dev} admits {src} to {what}"
        ));
    }
    let dev = chain.strip_prefix("cali-fw-")?;
    Some(format!(
        "no egress policy of the pod behind {dev} allows {what} to {dst}"
    ))
}

/// Whether the rule asks for the device on the way back to the source, as reverse path filters do.
pub fn asks_way_back(node: &Node<'_>, hit: Hit) -> bool {
    let rule = node
        .netfilter
        .nft(hit.table)
        .and_then(|t| t.rules(hit.chain).get(hit.rule));
    rule.is_some_and(|r| {
        r.stmts.iter().any(|s| {
            matches!(s, Stmt::Match { left: Expr::Fib(f), .. } if !f.daddr && f.result != FibResult::Type)
        })
    })
}

/// What such a rule found.
pub fn way_back(node: &Node<'_>, view: Option<&View>, hit: Hit) -> Option<String> {
    let src = view?.src.filter(|_| asks_way_back(node, hit))?;
    Some(format!(
        "the way back to {src} is not by the device it comes from"
    ))
}

/// Whether the packet asks a `ClusterIP` of kube-proxy's nftables mode.
pub fn asks_cluster_ip(node: &Node<'_>, packet: &Packet, hit: Hit) -> bool {
    let Some(t) = node.netfilter.nft(hit.table) else {
        return false;
    };
    let Some(set) = t.set("cluster-ips").filter(|_| t.def.name == "kube-proxy") else {
        return false;
    };
    let addr = Part::One(Const::Num(bits(packet.dst)));
    t.elements(set)
        .iter()
        .any(|e| e.key.as_slice() == [addr.clone()])
}

/// Whether a rule does nothing but change marks.
pub fn only_marks(rule: &Rule<'_>) -> bool {
    rule.stmts.iter().all(|s| match s {
        Stmt::Set { key, .. } => matches!(
            key,
            Expr::Meta(Meta::Mark)
                | Expr::Ct {
                    key: CtKey::Mark,
                    ..
                }
        ),
        Stmt::Match { .. } | Stmt::Counter(_) => true,
        Stmt::Verdict(v) => *v == Verdict::Return,
        _ => false,
    })
}

/// What a rule's `reject` answers.
pub fn answers(rule: &Rule<'_>) -> &'static str {
    let reject = rule.stmts.iter().find_map(|s| match s {
        Stmt::Reject(r) => Some(*r),
        _ => None,
    });
    match reject {
        None => "",
        Some(Reject::TcpReset) => "; it answers with a TCP reset",
        Some(_) => "; it answers with ICMP unreachable",
    }
}

/// The Service that kube-proxy's maps name for the packet's address and port, in the elements' comments.
///
/// Several maps may hold the same key; all of them name the same Service.
pub fn service_of_element(node: &Node<'_>, packet: &Packet, hit: Hit) -> Option<String> {
    let t = node.netfilter.nft(hit.table)?;
    let port = packet.dport.known()?;
    let is = |p: &Part<'_>, n: u128| *p == Part::One(Const::Num(n));
    let numbers = [u128::from(packet.proto.0), u128::from(port)];
    let addr = bits(packet.dst);
    let maps = ["no-endpoint-services", "no-endpoint-nodeports"];
    maps.iter().filter_map(|m| t.set(m)).find_map(|set| {
        let elements = t.elements(set).iter();
        let mut fitting = elements.filter(|e| match e.key.as_slice() {
            [a, p, d] => is(a, addr) && is(p, numbers[0]) && is(d, numbers[1]),
            [p, d] => is(p, numbers[0]) && is(d, numbers[1]),
            _ => false,
        });
        let comment = fitting.next()?.comment.as_deref()?;
        super::names::service_in(comment).map(str::to_owned)
    })
}
