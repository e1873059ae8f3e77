//! Rules of which nft's own listing says something else than they do.

use nfwhy_parsers::nft::expr::{BinOp, RawBase, RelOp};
use nfwhy_parsers::nft::stmt::Reject;
use nfwhy_parsers::nft::{Const, Expr, Part, Rule, Stmt};

/// Why nft's listing of a rule that is read so is wrong, if it is known to be.
pub fn nft_errs(live: &Rule<'_>) -> Option<&'static str> {
    let frame = |e: &Expr<'_>| {
        matches!(
            e,
            Expr::Raw {
                base: RawBase::Link,
                ..
            }
        )
    };
    let mut after_nexthdr = false;
    let mut after_frame = false;
    for s in &live.stmts {
        match s {
            Stmt::Match {
                left:
                    Expr::Binary {
                        op: BinOp::And,
                        right: mask,
                        ..
                    },
                op: RelOp::Eq | RelOp::Ne,
                right,
            } if outside(mask, right) => {
                return Some(
                    "an address with host bits behind its prefix, which no packet has, is listed as that prefix",
                );
            }
            Stmt::Match {
                left: Expr::Raw { .. },
                op: RelOp::Ne,
                ..
            } => return Some("not all of several fields are so: listed as none of them is"),
            Stmt::Match {
                left: Expr::Payload(f),
                op: RelOp::Eq,
                ..
            } if f.names == ("ip6", "nexthdr") => {
                after_nexthdr = true;
            }
            Stmt::Match { left, .. }
            | Stmt::Vmap { key: left, .. }
            | Stmt::Set { key: left, .. }
                if after_nexthdr && transport(left) =>
            {
                return Some(
                    "`ip6 nexthdr`, which extension headers keep from being the transport protocol, is not listed",
                );
            }
            Stmt::Match { left, .. } if frame(left) => after_frame = true,
            Stmt::Reject(Reject::Icmp(_) | Reject::Icmpv6(_)) if after_frame => {
                return Some("what an answer says is not listed behind bytes of the frame");
            }
            _ => {}
        }
    }
    None
}

fn transport(e: &Expr<'_>) -> bool {
    match e {
        Expr::Payload(f) => f.header.proto().is_some(),
        Expr::TcpOption(_)
        | Expr::Raw {
            base: RawBase::Transport,
            ..
        } => true,
        Expr::Binary { left, .. } => transport(left),
        Expr::Concat(all) => all.iter().any(transport),
        _ => false,
    }
}

fn outside(mask: &Expr<'_>, value: &Expr<'_>) -> bool {
    matches!((number(mask), number(value)), (Some(mask), Some(value)) if value & !mask != 0)
}

fn number(expr: &Expr<'_>) -> Option<u128> {
    match expr {
        Expr::Part(Part::One(Const::Num(n))) => Some(*n),
        _ => None,
    }
}
