//! Chains of one table by name, with rules appended as they come.

use super::{Chain, RuleLine};
use crate::common::Text;
use std::borrow::Cow;
use std::ops::Deref;

/// The chains of a table in the order of the text, found by name.
///
/// Names lead to positions by open addressing over a slot per chain that keeps the upper half of the name's hash, so that a look-up
/// touches a chain's own name once. Node dumps have up to 60,000 chains, and reading one is little else than this; who uses the
/// table afterwards finds chains by the same slots.
#[derive(Clone, Debug, Default)]
pub struct Chains<'a> {
    all: Vec<Chain<'a>>,
    /// Hash in the upper half, position + 1 in the lower; 0 is free. The length is a power of two, or nothing.
    slots: Vec<u64>,
    /// Position of the chain that the last rule went to.
    last: usize,
}

/// A multiplicative hash, eight bytes at a time.
#[inline]
fn hash(name: &str) -> u32 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = name.len() as u64;
    let mut rest = name.as_bytes();
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        state = (state.rotate_left(29) ^ u64::from_le_bytes(*eight)).wrapping_mul(K);
        rest = after;
    }
    let tail = rest.iter().fold(0, |t, &b| t << 8 | u64::from(b));
    state = (state.rotate_left(29) ^ tail).wrapping_mul(K);
    (state >> 32) as u32
}

impl PartialEq for Chains<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl<'a> Deref for Chains<'a> {
    type Target = [Chain<'a>];

    fn deref(&self) -> &[Chain<'a>] {
        &self.all
    }
}

impl<'c, 'a> IntoIterator for &'c Chains<'a> {
    type Item = &'c Chain<'a>;
    type IntoIter = std::slice::Iter<'c, Chain<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl<'a> Chains<'a> {
    /// The position of the chain of this name; of several (a listing may show a chain twice), the first.
    pub fn find(&self, name: &str) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        self.slot(name, hash(name)).1
    }

    /// Room for the chains that a text of `len` bytes may declare, so that the largest dumps do not move them again and again;
    /// memory that stays untouched costs nothing.
    pub(super) fn for_text(len: usize) -> Self {
        // kube-proxy's dumps have a chain for every 400 to 500 bytes.
        let chains = len / 400;
        Self {
            all: Vec::with_capacity(chains),
            slots: vec![0; (chains * 2 + 64).next_power_of_two()],
            last: 0,
        }
    }

    /// The slot of `name`: taken by it, or the free one where it belongs. There is always one free slot.
    #[inline]
    fn slot(&self, name: &str, hash: u32) -> (usize, Option<usize>) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots.get(at).copied().unwrap_or(0);
            if slot == 0 {
                return (at, None);
            }
            if (slot >> 32) as u32 == hash {
                let index = (slot & 0xffff_ffff) as usize - 1;
                if self.all.get(index).is_some_and(|c| c.name == name) {
                    return (at, Some(index));
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(64);
        let mask = len - 1;
        let old = std::mem::replace(&mut self.slots, vec![0; len]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = (slot >> 32) as usize & mask;
            while self.slots.get(at).is_some_and(|taken| *taken != 0) {
                at = (at + 1) & mask;
            }
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }

    /// The slot where the next chain belongs if it is named `name`, with what is to be put there; or the position of the chain
    /// that has the name.
    #[inline]
    fn vacancy(&mut self, name: &str) -> Result<(usize, u64), usize> {
        if self.all.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = hash(name);
        match self.slot(name, hash) {
            (_, Some(index)) => Err(index),
            (slot, None) => Ok((slot, u64::from(hash) << 32 | (self.all.len() as u64 + 1))),
        }
    }

    #[inline]
    fn fill(&mut self, (slot, value): (usize, u64)) {
        if let Some(free) = self.slots.get_mut(slot) {
            *free = value;
        }
    }

    /// Position of the chain named `name`, and whether it was there.
    #[inline]
    pub(super) fn find_or_add(&mut self, name: &'a str) -> (usize, bool) {
        match self.vacancy(name) {
            Err(index) => (index, true),
            Ok(vacancy) => {
                self.fill(vacancy);
                self.all.push(Chain {
                    name: Text::from(name),
                    ..Chain::default()
                });
                (self.all.len() - 1, false)
            }
        }
    }

    /// Adds a chain as it is; one whose name is taken is found by position only.
    pub(super) fn push(&mut self, chain: Chain<'a>) {
        if let Ok(vacancy) = self.vacancy(&chain.name) {
            self.fill(vacancy);
        }
        self.all.push(chain);
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Chain<'a>> {
        self.all.last_mut()
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Chain<'a>> {
        self.all.get_mut(index)
    }

    /// Appends a rule to the chain named `name`; true where that chain was not known.
    #[inline]
    pub(super) fn append(&mut self, name: &'a str, rule: RuleLine) -> bool {
        let (mut index, mut known) = (self.last, true);
        // Rules stand chain by chain, and chains with rules mostly in the order of their declaration.
        let here = |index: usize| {
            self.all
                .get(index)
                .is_some_and(|c| matches!(c.name, Cow::Borrowed(n) if n == name))
        };
        if !here(index) {
            if here(index + 1) {
                index += 1;
            } else {
                (index, known) = self.find_or_add(name);
            }
            self.last = index;
        }
        if let Some(chain) = self.all.get_mut(index) {
            if chain.rules.capacity() == 0 {
                // Most of kube-proxy's chains are of endpoints and have two rules.
                chain.rules.reserve_exact(2);
            }
            chain.rules.push(rule);
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_is_found_again() {
        let names: Vec<_> = (0..5000).map(|i| format!("KUBE-SVC-{i:016X}")).collect();
        let mut chains = Chains::default();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(chains.find_or_add(name), (i, false));
        }
        for (i, name) in names.iter().enumerate() {
            assert_eq!(chains.find_or_add(name), (i, true));
        }
        assert!(chains.append("X", RuleLine::default()));
        assert!(!chains.append("X", RuleLine::default()));
        assert!(!chains.append("KUBE-SVC-0000000000000007", RuleLine::default()));
        assert_eq!(chains.all.get(5000).map(|c| c.rules.len()), Some(2));
        assert_eq!(chains.all.get(7).map(|c| c.rules.len()), Some(1));
    }

    #[test]
    fn hashes_spread() {
        let mut low: Vec<_> = (0..4096)
            .map(|i| hash(&format!("KUBE-SEP-{i}")) & 0xfff)
            .collect();
        low.sort_unstable();
        low.dedup();
        // A random function leaves about 63 % of the values taken.
        assert!(low.len() > 2300, "{}", low.len());
    }
}
