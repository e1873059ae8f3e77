//! Chains of one table by name, with rules appended as they come.

use crate::common::Text;
use crate::iptables::{Chain, RuleLine};
use std::borrow::Cow;

/// Chain names to positions: open addressing over a slot per chain that keeps the upper half of the name's hash, so that a look-up
/// touches a chain's own name once. Node dumps have up to 60,000 chains, and reading one is little else than this.
#[derive(Debug, Default)]
pub(super) struct Chains<'a> {
    pub all: Vec<Chain<'a>>,
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

impl<'a> Chains<'a> {
    /// Room for the chains that a text of `len` bytes may declare, so that the largest dumps do not move them again and again;
    /// memory that stays untouched costs nothing.
    pub fn for_text(len: usize) -> Self {
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

    /// Position of the chain named `name`, and whether it was there.
    #[inline]
    pub fn find_or_add(&mut self, name: &'a str) -> (usize, bool) {
        if self.all.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let hash = hash(name);
        let (slot, found) = self.slot(name, hash);
        if let Some(index) = found {
            return (index, true);
        }
        let index = self.all.len();
        if let Some(free) = self.slots.get_mut(slot) {
            *free = u64::from(hash) << 32 | (index as u64 + 1);
        }
        self.all.push(Chain {
            name: Text::from(name),
            ..Chain::default()
        });
        (index, false)
    }

    /// Appends a rule to the chain named `name`; true where that chain was not known.
    #[inline]
    pub fn append(&mut self, name: &'a str, rule: RuleLine) -> bool {
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
