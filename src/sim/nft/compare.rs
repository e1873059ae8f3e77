//! Comparisons of nftables' rules (`net/netfilter/nft_cmp.c`, `nft_lookup.c`, `nft_range.c`).

use super::super::matches::{Tri, Unknown};
use super::super::run::{Flow, Run};
use super::At;
use super::value::Val;
use crate::trace::ForkKind;
use nfwhy_parsers::nft::expr::RelOp;
use nfwhy_parsers::nft::fields::Field;
use nfwhy_parsers::nft::{Const, Expr, Part, Stmt};

impl<'n> Run<'_, 'n> {
    /// `tcp sport != 1 tcp dport != 2` as the first of `rest`, where the two hold differently: whether the rule goes on behind them.
    ///
    /// nft up to 1.0.6 sends two inequalities of neighbouring fields as one of both (`stmt_reduce` in nftables `src/rule.c`), which fits unless
    /// both fields are as named, and lists it as it lists two. So nobody can tell from a listing which of them the kernel has.
    pub(super) fn nft_joined(&mut self, at: At<'_, 'n>, rest: &[Stmt<'n>]) -> Flow<Option<bool>> {
        let [first, second, ..] = rest else {
            return Ok(None);
        };
        let (Some((a, x)), Some((b, y))) = (unequal(first), unequal(second)) else {
            return Ok(None);
        };
        if !neighbours(a, b) && !neighbours(b, a) {
            return Ok(None);
        }
        let one = self.nft_compare(at, x.0, RelOp::Ne, x.1)?;
        let other = self.nft_compare(at, y.0, RelOp::Ne, y.1)?;
        if !matches!((one, other), (Tri::Yes, Tri::No) | (Tri::No, Tri::Yes))
            || !self.nft_has(a.header)
        {
            return Ok(None);
        }
        let place = self.place(at.hit);
        let names = format!("{} {} and {}", a.names.0, a.names.1, b.names.1);
        let u = Unknown {
            yes: format!("{names} at {place} are compared at once (as nft up to 1.0.6 loads them)"),
            no: format!("{names} at {place} are compared one by one"),
            fact: format!("{names} at {place} are compared at once"),
            not: false,
            missing: None,
        };
        if self.nft_surely_not(at, rest.get(2..).unwrap_or_default())? {
            return Ok(Some(false));
        }
        Ok(Some(self.ask(at.hit, &u)))
    }

    /// Whether a match further on, with nothing but matches before it, fails for certain.
    pub(super) fn nft_surely_not(&mut self, at: At<'_, 'n>, later: &[Stmt<'n>]) -> Flow<bool> {
        for s in later {
            match s {
                Stmt::Match { left, op, right } if !draws(left) => {
                    if matches!(self.nft_compare(at, left, *op, right)?, Tri::No) {
                        return Ok(true);
                    }
                }
                Stmt::Match { .. } => {}
                // Whether the packet is counted is to be told as well.
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    pub(super) fn nft_compare(
        &mut self,
        at: At<'_, 'n>,
        left: &Expr<'n>,
        op: RelOp,
        right: &Expr<'n>,
    ) -> Flow<Tri> {
        if let (
            Expr::Numgen {
                modulus, offset, ..
            },
            Expr::Part(part),
        ) = (left, right)
        {
            return Ok(self.nft_share(at, (*modulus, *offset), op, part));
        }
        if let Some(fits) = self.nft_watched_bits(at, left, op, right)? {
            return Ok(fits);
        }
        let Some(val) = self.nft_eval(at, left)? else {
            return Ok(Tri::No);
        };
        let ordered = |n: u128, m: u128| match op {
            RelOp::Lt => n < m,
            RelOp::Le => n <= m,
            RelOp::Gt => n > m,
            _ => n >= m,
        };
        Ok(match (op, right) {
            (RelOp::Eq | RelOp::Ne, Expr::Set(_) | Expr::SetRef(_)) => {
                let mut found = self.nft_in_set(at, &val, right)?;
                if let (Tri::Yes, RelOp::Eq, Expr::SetRef(set)) = (&found, op, right)
                    && !self.nft_element_lets(at, set, &val)?
                {
                    found = Tri::No;
                }
                found.not(op == RelOp::Ne)
            }
            (RelOp::Eq | RelOp::Ne, Expr::Part(p)) => self.nft_fits(&val, p).not(op == RelOp::Ne),
            (RelOp::Eq | RelOp::Ne, Expr::Concat(list)) => {
                let parts: Vec<Part<'_>> = list
                    .iter()
                    .filter_map(|e| match e {
                        Expr::Part(p) => Some(p.clone()),
                        _ => None,
                    })
                    .collect();
                self.nft_is_key(&val, &parts).not(op == RelOp::Ne)
            }
            (RelOp::Any | RelOp::None, r) => {
                let Some(want) = self.nft_eval(at, r)? else {
                    return Ok(Tri::No);
                };
                for (a, b) in [(&val, &want), (&want, &val)] {
                    self.nft_bits(a, b);
                }
                match (val.num(), want.num()) {
                    (Some(n), Some(m)) => Tri::of((n & m != 0) == (op == RelOp::Any)),
                    (_, Some(m)) => val
                        .ask(&format!("has any of the flags {m:#x}"))
                        .not(op == RelOp::None),
                    _ => val.ask("has any of the flags").not(op == RelOp::None),
                }
            }
            (_, r) => {
                let Some(want) = self.nft_eval(at, r)? else {
                    return Ok(Tri::No);
                };
                for (a, b) in [(&val, &want), (&want, &val)] {
                    self.nft_threshold(a, b);
                }
                let equality = matches!(op, RelOp::Eq | RelOp::Ne);
                match (&val, &want) {
                    (Val::Num(n), Val::Num(m)) if equality => {
                        Tri::of((n == m) == (op == RelOp::Eq))
                    }
                    (Val::Num(n), Val::Num(m)) => Tri::of(ordered(*n, *m)),
                    (Val::Span(lo, hi), Val::Num(m))
                        if !equality && ordered(*lo, *m) == ordered(*hi, *m) =>
                    {
                        Tri::of(ordered(*lo, *m))
                    }
                    (Val::Text(t), Val::Text(u)) if equality => {
                        Tri::of((t == u) == (op == RelOp::Eq))
                    }
                    _ => val.ask(&format!("compares as asked at {}", self.place(at.hit))),
                }
            }
        })
    }

    /// `numgen random mod 100 < 30`: two branches, not a hundred.
    fn nft_share(
        &mut self,
        at: At<'_, 'n>,
        (modulus, offset): (u32, u32),
        op: RelOp,
        part: &Part<'_>,
    ) -> Tri {
        let (lo, hi) = match part {
            Part::One(Const::Num(n)) => (*n, *n),
            Part::Range(lo, hi) => (*lo, *hi),
            _ => return Tri::No,
        };
        let holds = |n: u128| match op {
            RelOp::Eq => (lo..=hi).contains(&n),
            RelOp::Ne => !(lo..=hi).contains(&n),
            RelOp::Lt => n < lo,
            RelOp::Le => n <= lo,
            RelOp::Gt => n > lo,
            RelOp::Ge => n >= lo,
            RelOp::Any => n & lo != 0,
            RelOp::None => n & lo == 0,
        };
        // Past a million the share is that of the first million.
        let drawn = modulus.min(1 << 20);
        let first = u128::from(offset);
        let yes = (0..drawn).fold(0u32, |sum, n| sum + u32::from(holds(u128::from(n) + first)));
        let share = f64::from(yes) / f64::from(drawn.max(1));
        Tri::of(self.fork(ForkKind::Statistic(at.hit), &[share, 1.0 - share]) == 0)
    }
}

/// A field that is to differ from one value.
fn unequal<'s, 'n>(s: &'s Stmt<'n>) -> Option<(Field, (&'s Expr<'n>, &'s Expr<'n>))> {
    match s {
        Stmt::Match {
            left: left @ Expr::Payload(f),
            op: RelOp::Ne,
            right: right @ Expr::Part(Part::One(Const::Num(_))),
        } => Some((f, (left, right))),
        _ => None,
    }
}

/// Whether one field ends where the other begins, and nft takes them together (`payload_can_merge` in nftables `src/payload.c`).
fn neighbours(a: Field, b: Field) -> bool {
    let bytes = |f: Field| f.offset.is_multiple_of(8) && f.len.is_multiple_of(8);
    let both = a.len + b.len;
    a.header == b.header
        && a.offset + a.len == b.offset
        && bytes(a)
        && bytes(b)
        && (both <= 32 || both <= 128 && (a.len > 32 || b.len > 32 || a.names.0 == "ether"))
}

/// Whether evaluating it forks.
fn draws(e: &Expr<'_>) -> bool {
    match e {
        Expr::Numgen { .. } | Expr::Jhash { .. } | Expr::Symhash { .. } | Expr::Map { .. } => true,
        Expr::Concat(list) => list.iter().any(draws),
        Expr::Binary { left, right, .. } => draws(left) || draws(right),
        _ => false,
    }
}
