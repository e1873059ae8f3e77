//! Addresses that answer tests of scattered bits alike.

use super::address;
use crate::sim::{BitTest, Region};
use nfwhy_parsers::Family;
use std::net::IpAddr;

/// Steps by which the next address of a class is looked for.
const STEPS: usize = 4096;

/// All addresses that answer each of some tests so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// The tests, and whether the addresses pass them.
    pub tests: Vec<(BitTest, bool)>,
}

impl Class {
    /// The classes that tests make, among numbers of so many bits, but for those that nothing can be of.
    pub(super) fn of(tests: &[BitTest]) -> Vec<Self> {
        let mut all = vec![Self::default()];
        for test in tests {
            all = all
                .into_iter()
                .flat_map(|c| {
                    [true, false].map(|passes| {
                        let mut c = c.clone();
                        c.tests.push((*test, passes));
                        c
                    })
                })
                .filter(|c| c.cube().is_some())
                .collect();
        }
        all
    }

    /// The bits that the tests ask for which are passed; `None` where two ask for different ones.
    fn cube(&self) -> Option<BitTest> {
        let mut cube = BitTest { mask: 0, value: 0 };
        for (test, _) in self.tests.iter().filter(|(_, passes)| *passes) {
            if (cube.value ^ test.value) & cube.mask & test.mask != 0 {
                return None;
            }
            cube.mask |= test.mask;
            cube.value |= test.value;
        }
        Some(cube)
    }

    /// Bits that are the same in all its addresses.
    pub(super) fn fixed(&self) -> u32 {
        self.cube().map_or(0, |c| c.mask.count_ones().min(127))
    }

    /// Whether an address is of the class.
    pub fn holds(&self, n: u128) -> bool {
        self.tests.iter().all(|(t, passes)| t.fits(n) == *passes)
    }

    /// The first of the class from an address on; `Err` where it is not found soon.
    pub(super) fn next(&self, from: u128, end: u128) -> Result<Option<u128>, ()> {
        let Some(cube) = self.cube() else {
            return Ok(None);
        };
        let mut n = from;
        for _ in 0..STEPS {
            let Some(fits) = next_of(cube, n).filter(|f| *f <= end) else {
                return Ok(None);
            };
            let refused = self
                .tests
                .iter()
                .find(|(t, passes)| !passes && t.fits(fits));
            let Some((test, _)) = refused else {
                return Ok(Some(fits));
            };
            // All that differ in lower bits only are refused as well.
            let free = 1u128
                .checked_shl(test.mask.trailing_zeros())
                .map_or(u128::MAX, |b| b - 1);
            let Some(behind) = (fits | free).checked_add(1) else {
                return Ok(None);
            };
            n = behind;
        }
        Err(())
    }

    /// The tests that tell the class, without those that follow from the others: mask, value, and whether the bits are that.
    pub fn told_by(&self, like: IpAddr) -> Vec<(IpAddr, IpAddr, bool)> {
        let cube = self.cube().unwrap_or(BitTest { mask: 0, value: 0 });
        let follows = |t: &BitTest| (cube.value ^ t.value) & cube.mask & t.mask != 0;
        let family = Family::of(like);
        let told = self
            .tests
            .iter()
            .filter(|(t, passes)| *passes || !follows(t));
        told.filter_map(|(t, passes)| {
            let (mask, value) = (address(family, t.mask)?, address(family, t.value)?);
            Some((mask, value, *passes))
        })
        .collect()
    }

    /// The region around one of its addresses.
    pub(super) fn region(&self, x: IpAddr) -> Region {
        Region::among(x, self.tests.iter().map(|(t, _)| *t).collect())
    }
}

/// The lowest number from `from` on that has the bits.
fn next_of(cube: BitTest, from: u128) -> Option<u128> {
    if cube.fits(from) {
        return Some(from);
    }
    // Alike above a bit that turns from 0 to 1, as low as may be below it; the lowest such bit that is above all that differ.
    let wrong = 128 - ((from ^ cube.value) & cube.mask).leading_zeros();
    let from_bit = wrong.saturating_sub(1);
    for bit in from_bit..128 {
        let one = 1u128 << bit;
        let upper = !(one | (one - 1));
        let may = cube.mask & one == 0 || cube.value & one != 0;
        if from & one == 0 && may && (from ^ cube.value) & cube.mask & upper == 0 {
            return Some(from & upper | one | cube.value & (one - 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against every number of a small space.
    #[test]
    fn the_next_of_a_class_is_the_next_one() {
        let t = |mask, value| BitTest { mask, value };
        let tests = [t(0x0f, 0x01), t(0xa5, 0x05), t(0x81, 0x80), t(0x3c, 0x14)];
        let classes = Class::of(&tests);
        assert!(classes.len() < 16, "some contradict");
        for n in 0..=0xffu128 {
            let own: Vec<&Class> = classes.iter().filter(|c| c.holds(n)).collect();
            assert_eq!(own.len(), 1, "{n:x}");
        }
        for c in &classes {
            for from in 0..=0xffu128 {
                let want = (from..=0xff).find(|n| c.holds(*n));
                assert_eq!(c.next(from, 0xff), Ok(want), "{c:?} {from:x}");
            }
        }
    }
}
