//! Around one address: the others that a walk cannot tell from it.
//!
//! A walk that asks "is the source in 10.0.0.0/8" and hears no would hear the same from all sources up to that network. So every
//! place that compares an address tells a [`Region`] what it asked, and what is left of the region when the walk is over is answered by that
//! one walk: up to the address itself, which the answer may repeat.
//!
//! An address is known by its value: whatever equals the one that is watched is taken for it. An address that comes from
//! somewhere else (a rule's, a real server's) is held against it where it enters the walk ([`Region::meets`]), so equality by chance is a
//! region of its own.

use crate::trace::{Hit, Packet};
use nfwhy_parsers::Family;
use nfwhy_parsers::common::{Masked, bits};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Beginnings of the kinds of addresses that the kernel's functions tell apart: unspecified, zeronet, loopback, multicast,
/// broadcast.
const KINDS4: [u32; 9] = [
    0,
    1,
    0x0100_0000,
    0x7f00_0000,
    0x8000_0000,
    0xe000_0000,
    0xe000_0100,
    0xf000_0000,
    0xffff_ffff,
];

/// As [`KINDS4`]: unspecified, `::1`, IPv4-compatible and mapped, link-local, site-local, multicast, and the end of each.
const KINDS6: [u128; 10] = [
    0,
    1,
    2,
    1 << 32,
    0xffff << 32,
    0x1_0000 << 32,
    0xfe80 << 112,
    0xfec0 << 112,
    0xff00 << 112,
    u128::MAX,
];

/// A test of some bits of an address. Where they do not stand together, what fits lies scattered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BitTest {
    /// Which bits.
    pub mask: u128,
    /// What they are to be.
    pub value: u128,
}

impl BitTest {
    /// Whether an address has these bits.
    pub fn fits(self, n: u128) -> bool {
        n & self.mask == self.value
    }
}

/// An interval of addresses around one, which narrows.
#[derive(Debug)]
pub struct Region {
    x: IpAddr,
    n: u128,
    lo: Cell<u128>,
    hi: Cell<u128>,
    /// The rule under test.
    at: Cell<Option<Hit>>,
    /// The rule that drew the upper end.
    by: Cell<Option<Hit>>,
    /// Tests that all addresses answer alike which are spoken of at all.
    settled: Vec<BitTest>,
    /// Tests of scattered bits that were made beside those.
    asked: RefCell<Vec<BitTest>>,
}

impl Region {
    /// All addresses of the same kind.
    pub fn around(x: IpAddr) -> Self {
        Self::among(x, Vec::new())
    }

    /// All addresses of the same kind that answer some tests as this one does. The region's ends may answer otherwise.
    pub fn among(x: IpAddr, settled: Vec<BitTest>) -> Self {
        let n = bits(x);
        let region = Self {
            x,
            n,
            lo: Cell::new(0),
            hi: Cell::new(match Family::of(x) {
                Family::V4 => u128::from(u32::MAX),
                Family::V6 => u128::MAX,
            }),
            at: Cell::new(None),
            by: Cell::new(None),
            settled,
            asked: RefCell::default(),
        };
        match Family::of(x) {
            Family::V4 => region.cut(KINDS4.iter().map(|k| u128::from(*k))),
            Family::V6 => region.cut(KINDS6.iter().copied()),
        }
        region
    }

    /// The first address that is answered alike.
    pub fn first(&self) -> IpAddr {
        self.address(self.lo.get())
    }

    /// The last one.
    pub fn last(&self) -> IpAddr {
        self.address(self.hi.get())
    }

    /// Tests of scattered bits that were made, beside those that were settled.
    pub fn asked(&self) -> Vec<BitTest> {
        self.asked.borrow().clone()
    }

    /// The rule that tells the next address from this one; `None` where it is no rule but a route or an address.
    pub fn drawn_by(&self) -> Option<Hit> {
        self.by.get()
    }

    fn address(&self, n: u128) -> IpAddr {
        match self.x {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(n).unwrap_or(u32::MAX))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(n)),
        }
    }

    /// A walk begins. The end that is not watched is held against the one that is.
    pub(super) fn begins(&self, packet: &Packet) {
        self.at(None);
        if packet.src.is_some_and(|s| self.is(s)) {
            self.meets(packet.dst);
        } else if let Some(src) = packet.src {
            self.meets(src);
            if !self.is(packet.dst) {
                self.meets(packet.dst);
            }
        }
    }

    /// What is tested from here on.
    pub(super) fn at(&self, hit: Option<Hit>) {
        self.at.set(hit);
    }

    fn narrow(&self, lo: u128, hi: u128) {
        self.lo.set(self.lo.get().max(lo));
        if hi < self.hi.get() {
            self.hi.set(hi);
            self.by.set(self.at.get());
        }
    }

    /// Whether the address is the watched one.
    pub(super) fn is(&self, a: IpAddr) -> bool {
        a == self.x
    }

    /// Whether a number is the watched address.
    pub(super) fn is_number(&self, n: u128) -> bool {
        n == self.n
    }

    /// Somebody asked whether the watched address lies between these.
    pub(super) fn between(&self, lo: u128, hi: u128) {
        if hi < lo {
            return;
        }
        if self.n < lo {
            self.narrow(0, lo - 1);
        } else if self.n > hi {
            self.narrow(hi + 1, u128::MAX);
        } else {
            self.narrow(lo, hi);
        }
    }

    /// The same where both ends are addresses; those of the other family hold none of this one.
    pub(super) fn range(&self, lo: IpAddr, hi: IpAddr) {
        if Family::of(lo) == Family::of(self.x) {
            self.between(bits(lo), bits(hi));
        }
    }

    /// Somebody asked whether the watched address lies in a network.
    pub(super) fn net(&self, net: IpAddr, len: u8) {
        let family = Family::of(self.x);
        if Family::of(net) != family {
            return;
        }
        let host = host_bits(family.bits().saturating_sub(len));
        let lo = bits(net) & !host;
        self.between(lo, lo | host);
    }

    /// Somebody asked whether the watched address is this one, or will be able to: it enters the walk.
    pub(crate) fn meets(&self, other: IpAddr) {
        self.range(other, other);
    }

    /// Somebody made something else of the watched address.
    pub(super) fn alone(&self) {
        self.narrow(self.n, self.n);
    }

    /// Somebody looked at the bits above the lowest `free`.
    pub(super) fn above(&self, free: u32) {
        let host = host_bits(u8::try_from(free).unwrap_or(128));
        self.narrow(self.n & !host, self.n | host);
    }

    /// Somebody asked whether the bits of `mask` are those of `value`.
    pub(super) fn masked(&self, value: u128, mask: u128) {
        let width = u32::from(Family::of(self.x).bits());
        let value = value & mask;
        let test = BitTest { mask, value };
        if self.settled.contains(&test) {
            return;
        }
        let scattered = mask >> mask.trailing_zeros().min(127) != host_bits_from(mask, width);
        let mut asked = self.asked.borrow_mut();
        if scattered && !asked.contains(&test) {
            asked.push(test);
        }
        if self.n & mask == value {
            self.above(mask.trailing_zeros().min(width));
            return;
        }
        // The nearest below and above that would fit: alike down to a bit, the other way there, and beyond it as low or as high
        // as the mask lets.
        let (mut below, mut over) = (None, None);
        for bit in 0..width {
            let upper = !host_bits(u8::try_from(bit + 1).unwrap_or(128));
            if (self.n ^ value) & mask & upper != 0 {
                continue;
            }
            let one = 1u128 << bit;
            let lower = host_bits(u8::try_from(bit).unwrap_or(128));
            let free = mask & one == 0;
            if self.n & one == 0 && over.is_none() && (free || value & one != 0) {
                over = Some(self.n & upper | one | value & lower);
            }
            if self.n & one != 0 && below.is_none() && (free || value & one == 0) {
                below = Some(self.n & upper | (value | !mask) & lower);
            }
        }
        let lo = below.map_or(0, |b: u128| b + 1);
        let hi = over.map_or(u128::MAX, |o: u128| o - 1);
        self.narrow(lo, hi);
    }

    /// The same for an address with its mask.
    pub(super) fn mask(&self, m: &Masked) {
        if Family::of(m.addr) != Family::of(self.x) {
            return;
        }
        match m.prefix_len() {
            Some(len) => self.net(m.addr, len),
            None => self.masked(bits(m.addr), bits(m.mask)),
        }
    }

    /// Somebody looked the watched address up in a list of intervals: these are their beginnings, sorted.
    pub(super) fn edges(&self, sorted: &[u128]) {
        let next = sorted.partition_point(|e| *e <= self.n);
        let lo = next.checked_sub(1).and_then(|i| sorted.get(i));
        let hi = sorted.get(next);
        self.narrow(
            lo.copied().unwrap_or(0),
            hi.map_or(u128::MAX, |h| h.saturating_sub(1)),
        );
    }

    fn cut(&self, beginnings: impl Iterator<Item = u128>) {
        let sorted: Vec<u128> = beginnings.collect();
        self.edges(&sorted);
    }
}

/// What a mask of the highest bits of so many would be, from its lowest one on.
fn host_bits_from(mask: u128, width: u32) -> u128 {
    let ones = width.saturating_sub(mask.trailing_zeros());
    host_bits(u8::try_from(ones).unwrap_or(128))
}

/// A mask of the lowest bits.
pub(super) fn host_bits(n: u8) -> u128 {
    1u128.checked_shl(u32::from(n)).map_or(u128::MAX, |b| b - 1)
}

impl super::run::Run<'_, '_> {
    /// The region that this walk narrows, where `a` is what it watches.
    pub(super) fn watched(&self, a: IpAddr) -> Option<&Region> {
        self.region.filter(|r| r.is(a))
    }

    /// An address enters the walk that does not come from the packet's source.
    pub(super) fn enters(&self, a: IpAddr) {
        if let Some(r) = self.region {
            r.meets(a);
        }
    }

    /// Whether a network holds an address.
    #[inline]
    pub(super) fn in_net(&self, m: &Masked, a: IpAddr) -> bool {
        if let Some(r) = self.watched(a) {
            r.mask(m);
        }
        m.contains(a)
    }

    /// Whether an address is the one that the node has.
    pub(super) fn is_same(&self, a: IpAddr, known: IpAddr) -> bool {
        if let Some(r) = self.watched(a) {
            r.meets(known);
        }
        a == known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn after(x: &str, ask: impl Fn(&Region)) -> (String, String) {
        let r = Region::around(v4(x));
        ask(&r);
        (r.first().to_string(), r.last().to_string())
    }

    fn ends(a: &str, b: &str) -> (String, String) {
        (a.into(), b.into())
    }

    #[test]
    fn a_network_is_an_end_from_both_sides() {
        let net = |r: &Region| r.net(v4("10.1.0.0"), 16);
        assert_eq!(after("10.0.0.1", net), ends("1.0.0.0", "10.0.255.255"));
        assert_eq!(after("10.1.0.0", net), ends("10.1.0.0", "10.1.255.255"));
        assert_eq!(after("10.2.0.0", net), ends("10.2.0.0", "126.255.255.255"));
        let all = |r: &Region| r.net(v4("0.0.0.0"), 0);
        assert_eq!(after("10.0.0.1", all), ends("1.0.0.0", "126.255.255.255"));
    }

    /// For every address of a small space: inside the region all fit as it does, and one further out does not.
    #[test]
    fn a_mask_with_gaps_gives_the_largest_interval() {
        for mask in [0u128, 0x01, 0x05, 0x0a, 0x11, 0x90, 0xa5, 0xf0, 0xff] {
            for value in 0..=0xffu128 {
                let value = value & mask;
                let m = mask | 0xffff_ff00;
                let base = 0x0a00_0000u128;
                for low in 0..=0xffu128 {
                    let x = base | low;
                    let r = Region::around(IpAddr::V4(Ipv4Addr::from_bits(
                        u32::try_from(x).expect("IPv4"),
                    )));
                    r.masked(base | value, m);
                    let fits = |n: u128| n & m == base | value;
                    let (lo, hi) = (r.lo.get(), r.hi.get());
                    for n in lo.max(base)..=hi.min(base | 0xff) {
                        assert_eq!(fits(n), fits(x), "{mask:x} {value:x} {x:x} {n:x}");
                    }
                    // A block that fits is not joined with the next one.
                    if !fits(x) {
                        assert!(
                            lo <= 0x0100_0000 || fits(lo - 1),
                            "{mask:x} {value:x} {x:x}"
                        );
                        assert!(
                            hi >= 0x7eff_ffff || fits(hi + 1),
                            "{mask:x} {value:x} {x:x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn kinds_of_addresses_are_apart() {
        let none = |_: &Region| {};
        assert_eq!(after("0.0.0.0", none), ends("0.0.0.0", "0.0.0.0"));
        assert_eq!(
            after("127.3.0.1", none),
            ends("127.0.0.0", "127.255.255.255")
        );
        assert_eq!(after("::1", none), ends("::1", "::1"));
        assert_eq!(
            after("fe80::7", none),
            ends("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
        );
        assert_eq!(
            after("255.255.255.255", none),
            ends("255.255.255.255", "255.255.255.255")
        );
    }

    #[test]
    fn an_address_of_the_other_family_says_nothing() {
        let other = |r: &Region| r.meets(v4("::a00:1"));
        assert_eq!(after("10.0.0.1", other), ends("1.0.0.0", "126.255.255.255"));
    }
}
