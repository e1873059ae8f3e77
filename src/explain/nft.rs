//! What sentences need to know of rules of nftables.

use crate::node::NftTable;
use nfwhy_parsers::nft::expr::{BinOp, CtKey, MapRef, Meta, RelOp};
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
