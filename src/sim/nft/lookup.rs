//! Sets and maps.

use super::super::matches::Tri;
use super::super::run::{Flow, Run};
use super::value::Val;
use super::{At, Changed};
use nfwhy_parsers::nft::expr::MapRef;
use nfwhy_parsers::nft::{Element, Expr};

impl<'n> Run<'_, 'n> {
    /// The element that a key finds, asking where that is not known.
    pub(super) fn nft_find<'s>(
        &mut self,
        at: At<'s, 'n>,
        key: &Val<'_>,
        of: &'s MapRef<'n>,
    ) -> Flow<Option<&'s Element<'n>>> {
        let Some(list) = elements_of(at, of) else {
            return Err(self.nft_no_set(at, of));
        };
        let mut unsure = Vec::new();
        let mut all = None;
        for e in list {
            if e.key.is_empty() {
                all = Some(e);
                continue;
            }
            match self.nft_is_key(key, &e.key) {
                Tri::No => {}
                Tri::Yes => {
                    self.nft_alive(at, e, of);
                    return Ok(Some(e));
                }
                Tri::Unknown(u) => unsure.push((e, u)),
            }
        }
        for (e, u) in unsure {
            if self.ask(at.hit, &u) {
                self.nft_alive(at, e, of);
                return Ok(Some(e));
            }
        }
        Ok(all)
    }

    /// Whether a key is in a set.
    pub(super) fn nft_in_set(
        &mut self,
        at: At<'_, 'n>,
        key: &Val<'_>,
        set: &Expr<'n>,
    ) -> Flow<Tri> {
        let (list, name) = match set {
            Expr::Set(list) => (list.as_slice(), None),
            Expr::SetRef(name) => match at.table.set(name) {
                Some(s) => (at.table.elements(s), Some(name)),
                None => return Err(self.nft_no_set(at, &MapRef::Named(name.clone()))),
            },
            _ => return Ok(Tri::No),
        };
        if let Some(name) = name {
            match self.nft_changed.get(&element(at, name, key)) {
                Some(Changed::Added(_)) => return Ok(Tri::Yes),
                Some(Changed::Deleted) => return Ok(Tri::No),
                None => {}
            }
        }
        let mut unsure = None;
        for e in list {
            if e.key.is_empty() {
                return Ok(Tri::Yes);
            }
            match self.nft_is_key(key, &e.key) {
                Tri::No => {}
                Tri::Yes => {
                    if let Some(name) = name {
                        self.nft_alive(at, e, &MapRef::Named(name.clone()));
                    }
                    return Ok(Tri::Yes);
                }
                Tri::Unknown(u) => unsure = unsure.or(Some(u)),
            }
        }
        Ok(match (unsure, name) {
            (None, _) => Tri::No,
            (Some(_), Some(name)) => key.ask(&format!("is in @{name}")),
            (Some(_), None) => key.ask(&format!("is in the set at {}", self.place(at.hit))),
        })
    }

    /// An element that a rule put there goes after its time.
    fn nft_alive(&mut self, at: At<'_, 'n>, e: &Element<'n>, of: &MapRef<'n>) {
        if (e.timeout.is_some() || e.expires.is_some())
            && let MapRef::Named(name) = of
        {
            self.assume(format!(
                "the element of set {name} in table {} has not expired since the capture",
                at.table.def.name
            ));
        }
    }

    fn nft_no_set(&self, at: At<'_, 'n>, of: &MapRef<'n>) -> super::super::run::End {
        let name = match of {
            MapRef::Named(name) => name.as_ref(),
            MapRef::Literal(_) => "",
        };
        super::super::run::End::unknown(format!(
            "{} asks set {name}, which is not in the listing",
            self.place(at.hit)
        ))
    }
}

/// The elements that a name or a literal stands for; `None` where the listing lacks the set.
fn elements_of<'s, 'n>(at: At<'s, 'n>, of: &'s MapRef<'n>) -> Option<&'s [Element<'n>]> {
    match of {
        MapRef::Literal(list) => Some(list),
        MapRef::Named(name) => Some(at.table.elements(at.table.set(name)?)),
    }
}

/// How an element that this packet changes is remembered.
pub(super) fn element(at: At<'_, '_>, set: &str, key: &Val<'_>) -> String {
    format!("{} {set} {key:?}", at.hit.table)
}
