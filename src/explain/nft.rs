//! What sentences need to know of rules of nftables.

use crate::node::{NftTable, Node};
use crate::trace::{Hit, Packet};
use nfwhy_parsers::common::bits;
use nfwhy_parsers::nft::expr::{BinOp, CtKey, MapRef, Meta, RelOp};
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
