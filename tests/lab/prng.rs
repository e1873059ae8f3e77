//! A small generator of numbers that gives the same sequence for the same seed, everywhere and for ever.

/// `SplitMix64`: one multiplication chain per number, and every seed is as good as any other.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (0 where `n` is 0).
    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    /// One of a list, which must not be empty.
    pub fn pick<'a, T: ?Sized + ToOwned>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// A copy of one of a list, which must not be empty.
    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// `! ` in `percent` of 100 cases.
    pub fn not(&mut self, percent: u32) -> &'static str {
        if self.chance(percent) { "! " } else { "" }
    }
}
