//! Sets that rules change: `nft_dynset_eval` (`net/netfilter/nft_dynset.c`).

use super::super::matches::Tri;
use super::super::run::{Flow, Run};
use super::lookup::element;
use super::rule::Next;
use super::value::Val;
use super::{At, Changed};
use crate::trace::Effect;
use nfwhy_parsers::nft::Stmt;
use nfwhy_parsers::nft::expr::MapRef;
use nfwhy_parsers::nft::stmt::{Update, UpdateOp};

impl<'n> Run<'_, 'n> {
    /// `add @set { ... }` (`nft_dynset_eval`).
    pub(super) fn nft_update<'s>(&mut self, at: At<'s, 'n>, u: &'s Update<'n>) -> Flow<Next<'s>>
    where
        'n: 's,
    {
        let Some(key) = self.nft_eval(at, &u.key)? else {
            return Ok(Next::Break);
        };
        let name = element(at, &u.set, &key);
        if u.op == UpdateOp::Delete {
            self.nft_changed.insert(name, Changed::Deleted);
            return Ok(Next::On);
        }
        let there = match self.nft_changed.get(&name) {
            Some(Changed::Added(_)) => true,
            Some(Changed::Deleted) => false,
            None => self
                .nft_find(at, &key, &MapRef::Named(u.set.clone()))?
                .is_some(),
        };
        if !there {
            let by = (!u.stmts.is_empty()).then_some(at.hit);
            self.nft_changed.insert(name, Changed::Added(by));
        }
        if !self.nft_element_lets(at, &u.set, &key)? {
            return Ok(Next::Break);
        }
        Ok(Next::On)
    }

    /// Runs the statements of an element that was found; `false`, and the rule breaks. They are those that it was made with
    /// (`nft_set_elem_update_expr`).
    pub(super) fn nft_element_lets(
        &mut self,
        at: At<'_, 'n>,
        set: &str,
        key: &Val<'_>,
    ) -> Flow<bool> {
        let (hit, stmts) = match self.nft_changed.get(&element(at, set, key)) {
            Some(Changed::Added(Some(by))) => {
                let rule = at.table.rules(by.chain).get(by.rule);
                let stmts = rule.into_iter().flat_map(|r| &r.stmts);
                let mut updates = stmts.filter_map(|s| match s {
                    Stmt::Update(u) if u.set == set && !u.stmts.is_empty() => Some(&u.stmts),
                    _ => None,
                });
                (*by, updates.next())
            }
            Some(_) => return Ok(true),
            None => {
                let here = at.table.set(set).map(|s| at.table.elements(s));
                let mut found = here.into_iter().flatten().filter(|e| {
                    !e.stmts.is_empty() && matches!(self.nft_is_key(key, &e.key), Tri::Yes)
                });
                (at.hit, found.next().map(|e| &e.stmts))
            }
        };
        let at = At { hit, ..at };
        let mut ignored = Effect::None;
        let stmts = stmts.map_or(&[][..], Vec::as_slice);
        for (i, s) in stmts.iter().enumerate() {
            let later = &stmts[i + 1..];
            if matches!(self.nft_stmt(at, s, later, &mut ignored)?, Next::Break) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
