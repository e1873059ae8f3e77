//! What nftables' rules ask of the address that is watched ([`crate::sim::Region`]). A value is known by its number.

use super::super::matches::Tri;
use super::super::region::Region;
use super::super::run::{Flow, Run};
use super::At;
use super::value::Val;
use nfwhy_parsers::nft::expr::{BinOp, RelOp};
use nfwhy_parsers::nft::{Const, Expr, Part};

impl<'n> Run<'_, 'n> {
    fn nft_watched(&self, val: &Val<'_>) -> Option<&Region> {
        let r = self.region?;
        val.num().filter(|n| r.is_number(*n)).map(|_| r)
    }

    /// [`Val::fits`].
    pub(super) fn nft_fits(&self, val: &Val<'_>, part: &Part<'_>) -> Tri {
        if let Some(r) = self.nft_watched(val) {
            match part {
                Part::One(Const::Num(n)) => r.between(*n, *n),
                Part::Range(lo, hi) => r.between(*lo, *hi),
                Part::One(Const::Text(_)) | Part::Wild(_) => {}
            }
        }
        val.fits(part)
    }

    /// [`Val::is_key`]. An element that differs in something else draws no line.
    pub(super) fn nft_is_key(&self, key: &Val<'_>, parts: &[Part<'_>]) -> Tri {
        if self.region.is_none() {
            return key.is_key(parts);
        }
        let vals = match key {
            Val::Many(vals) => vals.as_slice(),
            one => std::slice::from_ref(one),
        };
        if vals.len() == parts.len() {
            let differs = |(v, p): (&Val<'_>, &Part<'_>)| {
                self.nft_watched(v).is_none() && matches!(v.fits(p), Tri::No)
            };
            if !vals.iter().zip(parts).any(differs) {
                for (v, p) in vals.iter().zip(parts) {
                    self.nft_fits(v, p);
                }
            }
        }
        key.is_key(parts)
    }

    /// `val` is held against a number, by order or equality.
    pub(super) fn nft_threshold(&self, val: &Val<'_>, with: &Val<'_>) {
        if let (Some(r), Some(n)) = (self.nft_watched(val), with.num()) {
            r.between(n, n);
        }
    }

    /// Somebody asks for some of its bits.
    pub(super) fn nft_bits(&self, val: &Val<'_>, mask: &Val<'_>) {
        if let Some(r) = self.nft_watched(val) {
            r.above(mask.num().map_or(0, u128::trailing_zeros));
        }
    }

    /// Something else is made of it.
    pub(super) fn nft_binary(&self, op: BinOp, left: &Val<'_>, right: &Val<'_>) {
        match op {
            BinOp::And => {
                self.nft_bits(left, right);
                self.nft_bits(right, left);
            }
            _ => {
                for v in [left, right] {
                    if let Some(r) = self.nft_watched(v) {
                        r.alone();
                    }
                }
            }
        }
    }

    /// `ip saddr & MASK == VALUE` of the watched address; `None` where it is something else.
    pub(super) fn nft_watched_bits(
        &mut self,
        at: At<'_, 'n>,
        left: &Expr<'n>,
        op: RelOp,
        right: &Expr<'n>,
    ) -> Flow<Option<Tri>> {
        let (
            Some(r),
            Expr::Binary {
                op: BinOp::And,
                left,
                right: mask,
            },
            RelOp::Eq | RelOp::Ne,
            Expr::Part(Part::One(Const::Num(value))),
        ) = (self.region, left, op, right)
        else {
            return Ok(None);
        };
        let Expr::Part(Part::One(Const::Num(mask))) = mask.as_ref() else {
            return Ok(None);
        };
        let Some(n) = self.nft_eval(at, left)?.and_then(|v| v.num()) else {
            return Ok(None);
        };
        if !r.is_number(n) {
            return Ok(None);
        }
        if value & !mask == 0 {
            r.masked(*value, *mask);
        }
        Ok(Some(Tri::of((n & mask == *value) == (op == RelOp::Eq))))
    }
}
