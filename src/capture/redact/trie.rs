//! Addresses to other addresses, so that what lies within a prefix and what comes before what stays as it is.
//!
//! A tree of the bits of all addresses that occur. Where only one of a node's two branches occurs, the bit may be turned over: no two
//! occurring addresses differ there for the first time, so their order and their common prefixes stay. The mapping of one bit rests on
//! the bits before it alone, so it is a bijection that keeps prefixes for addresses that do not occur as well.
//!
//! The first bit that may be turned over on the way of an address always is. Its image then lies in a branch in which no address occurs:
//! no image is an address of the capture.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No bit may be turned over here.
const FROZEN: u8 = 1;
/// On the way of an address whose interface identifier tells of a card or a person.
const IDENTIFIER: u8 = 4;

/// Interface identifiers below it are numbers that somebody counted.
const COUNTED: u64 = 1 << 24;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    children: [u32; 2],
    flags: u8,
    /// Below, no bit from this one on may be turned over; 0 where there is no such bound.
    until: u8,
}

/// What draws the bits. Without it an image does not tell its address.
#[derive(Clone, Copy, Debug)]
pub struct Seed(pub u64, pub u64);

/// The addresses of one family.
#[derive(Clone, Debug)]
struct Trie {
    nodes: Vec<Node>,
    bits: u8,
}

fn bit(key: u128, depth: u8) -> usize {
    usize::from(key >> (127 - u32::from(depth)) & 1 == 1)
}

/// `key` with `len` bits left.
fn cut(key: u128, len: u8) -> u128 {
    match len {
        0 => 0,
        128.. => key,
        n => key & (u128::MAX << (128 - u32::from(n))),
    }
}

impl Trie {
    fn new(bits: u8) -> Self {
        Self {
            nodes: vec![Node::default()],
            bits,
        }
    }

    /// Sets a bound for what is below the first `len` bits of `key`.
    fn bound(&mut self, key: u128, len: u8, until: u8) {
        let at = self.insert(key, len, |_| 0);
        if let Some(node) = self.nodes.get_mut(at) {
            let until = until.max(1);
            node.until = if node.until == 0 {
                until
            } else {
                node.until.min(until)
            };
        }
    }

    /// Adds the first `len` bits of `key`; `mark` gives a node at each depth its flags. Returns the last node.
    fn insert(&mut self, key: u128, len: u8, mark: impl Fn(u8) -> u8) -> usize {
        let mut at = 0usize;
        for depth in 0..=len.min(self.bits) {
            let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
            let Some(node) = self.nodes.get_mut(at) else {
                break;
            };
            node.flags |= mark(depth);
            if depth >= len {
                break;
            }
            let Some(child) = node.children.get_mut(bit(key, depth)) else {
                break;
            };
            let known = *child;
            if known == 0 {
                *child = next;
                self.nodes.push(Node::default());
            }
            at = usize::try_from(if known == 0 { next } else { known }).unwrap_or(0);
        }
        at
    }

    /// Whether a bit may be turned over here; `moved`: one before it was.
    fn free(&self, node: Node, depth: u8, moved: bool) -> bool {
        let one = (node.children[0] == 0) != (node.children[1] == 0);
        if !one || node.flags & FROZEN != 0 {
            return false;
        }
        if self.bits == 32 {
            return match depth {
                8..24 => true,
                24..32 => !moved,
                _ => false,
            };
        }
        match depth {
            16..64 => true,
            // ff:fe in the middle of an identifier made of a MAC stays.
            64..88 | 104..128 => !moved || node.flags & IDENTIFIER != 0,
            _ => false,
        }
    }

    /// The image of the first `len` bits, and whether it is another than they.
    fn map(&self, key: u128, len: u8, seed: Seed) -> (u128, bool) {
        let mut out = key;
        let mut moved = false;
        let mut until = self.bits;
        let mut at = 0usize;
        for depth in 0..len.min(self.bits) {
            let Some(node) = self.nodes.get(at).copied() else {
                break;
            };
            if node.until != 0 {
                until = until.min(node.until);
            }
            if depth >= until {
                break;
            }
            if self.free(node, depth, moved) && (!moved || draw(seed, cut(key, depth), depth)) {
                out ^= 1 << (127 - u32::from(depth));
                moved = true;
            }
            let next = node.children.get(bit(key, depth)).copied().unwrap_or(0);
            if next == 0 {
                break;
            }
            at = usize::try_from(next).unwrap_or(0);
        }
        (out, moved)
    }
}

fn draw(seed: Seed, prefix: u128, depth: u8) -> bool {
    let mut h = DefaultHasher::new();
    (seed.0, seed.1, prefix, depth).hash(&mut h);
    h.finish() & 1 == 1
}

/// Bits that must not be turned over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fixed {
    /// Below the first so many bits of the address,
    pub below: u8,
    /// those from this one on.
    pub from: u8,
    /// Bits that count.
    pub mask: u128,
}

/// How an address stands in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// How many bits of it count.
    pub len: Option<u8>,
    /// It counts under a mask with gaps, or is translated bit by bit.
    pub fixed: Option<Fixed>,
    /// The end of a range: the bits behind `len` are all zeros or all ones, and stay.
    pub range_end: bool,
    /// An address of a device: its network's first and last address are what they are by their bits.
    pub on_device: bool,
}

/// All addresses of a capture.
#[derive(Clone, Debug)]
pub struct Addresses {
    v4: Trie,
    v6: Trie,
    seed: Seed,
    relaxed: HashSet<Demand>,
}

/// What has a meaning of its own, whose bits stay, and whether everything within stays.
const SPECIAL4: &[(Ipv4Addr, u8, bool)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, true),
    (Ipv4Addr::new(10, 0, 0, 0), 8, false),
    (Ipv4Addr::new(100, 64, 0, 0), 10, false),
    (Ipv4Addr::new(127, 0, 0, 0), 8, true),
    (Ipv4Addr::new(169, 254, 0, 0), 16, true),
    (Ipv4Addr::new(172, 16, 0, 0), 12, false),
    (Ipv4Addr::new(192, 168, 0, 0), 16, false),
    (Ipv4Addr::new(224, 0, 0, 0), 4, true),
    // Masks; of 240.0.0.0/4 the others are used as addresses.
    (Ipv4Addr::new(255, 0, 0, 0), 8, true),
];

/// Those that `net/ipv6/addrlabel.c` tells apart, and the one of documentation.
const SPECIAL6: &[(Ipv6Addr, u8, bool)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, false),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, false),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, false),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64, false),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, true),
];

fn key4(a: Ipv4Addr) -> u128 {
    u128::from(a.to_bits()) << 96
}

fn back4(key: u128) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(key >> 96).unwrap_or(0))
}

/// An IPv4 address within one of IPv6 (RFC 4291, RFC 6052), and the words before it.
fn embedded(a: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = a.segments();
    let mapped = s.get(..6) == Some(&[0, 0, 0, 0, 0, 0xffff]);
    let nat64 = s.get(..6) == Some(&[0x64, 0xff9b, 0, 0, 0, 0]);
    let low = u32::try_from(a.to_bits() & 0xffff_ffff).unwrap_or(0);
    (mapped || nat64).then_some(Ipv4Addr::from_bits(low))
}

/// What asks for bits to stay beyond those of the addresses that occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// The ends of a range, and whether addresses are drawn from it.
    Range(IpAddr, IpAddr, bool),
    /// A mask with gaps or a translation, and below what it is.
    Fixed(IpAddr, Fixed),
}

fn key(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(a) => key4(a),
        IpAddr::V6(a) => a.to_bits(),
    }
}

impl Demand {
    /// That of a mask with gaps or a translation, at an address.
    pub fn fixed(ip: IpAddr, fixed: Fixed) -> Self {
        let below = cut(key(ip), fixed.below);
        let below = match ip {
            IpAddr::V4(_) => IpAddr::V4(back4(below)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(below)),
        };
        Self::Fixed(below, fixed)
    }

    /// Whether it may take away what an address could become.
    pub fn touches(self, ip: IpAddr) -> bool {
        let near = |end: IpAddr, len: u8| {
            end.is_ipv4() == ip.is_ipv4() && cut(key(end), len) == cut(key(ip), len)
        };
        match self {
            Self::Range(low, high, _) => near(low, fork(low, high)),
            Self::Fixed(below, fixed) => near(below, fixed.below),
        }
    }
}

impl Addresses {
    /// Whether a demand was given up.
    pub fn relaxes(&self, demand: Demand) -> bool {
        self.relaxed.contains(&demand)
    }

    /// None yet. Also addresses that do not occur stay within or outside of ranges and of masks with gaps, and are translated
    /// bit by bit as they were; that leaves less to change. It is not so for the demands that are relaxed.
    pub fn new(seed: Seed, relaxed: HashSet<Demand>) -> Self {
        let mut me = Self {
            v4: Trie::new(32),
            v6: Trie::new(128),
            seed,
            relaxed,
        };
        for (a, len, whole) in SPECIAL4 {
            special(&mut me.v4, key4(*a), *len, *whole);
        }
        for (a, len, whole) in SPECIAL6 {
            special(&mut me.v6, a.to_bits(), *len, *whole);
        }
        me
    }

    /// Adds an address as it stands somewhere.
    pub fn insert(&mut self, ip: IpAddr, mut shape: Shape) {
        if shape
            .fixed
            .is_some_and(|f| self.relaxes(Demand::fixed(ip, f)))
        {
            shape.fixed = None;
        }
        match ip {
            IpAddr::V4(a) => {
                let len = shape.len.unwrap_or(32).min(32);
                let key = key4(a);
                add(&mut self.v4, key, len, shape, |_| 0);
            }
            IpAddr::V6(a) => {
                if let Some(v4) = embedded(a) {
                    let len = shape.len.map_or(32, |l| l.saturating_sub(96));
                    let shape = Shape {
                        len: Some(len),
                        ..shape
                    };
                    return self.insert(IpAddr::V4(v4), shape);
                }
                let key = a.to_bits();
                let id = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0);
                let local = key >> 118 == 0x3fa;
                let (counted, plain) = (id < COUNTED, id == 0 || local && id <= 0xffff);
                let len = shape.len.unwrap_or(128).min(128);
                add(&mut self.v6, key, len, shape, |depth| match depth {
                    64.. if plain => FROZEN,
                    64.. if !counted => IDENTIFIER,
                    _ => 0,
                });
            }
        }
    }

    /// Adds a range: what lies between its ends must stay there, also what does not occur. `translated`: its addresses are drawn from.
    pub fn insert_range(&mut self, low: IpAddr, high: IpAddr, translated: bool) {
        let exact = !self.relaxes(Demand::Range(low, high, translated));
        let (trie, a, b) = match (low, high) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (&mut self.v4, key4(a), key4(b)),
            (IpAddr::V6(a), IpAddr::V6(b)) => (&mut self.v6, a.to_bits(), b.to_bits()),
            _ => return,
        };
        let fork = fork(low, high);
        let bits = trie.bits;
        let frozen = if exact { FROZEN } else { 0 };
        for (key, len) in [(a, low_len(low, fork)), (b, high_len(high, fork))] {
            trie.insert(key, len, |depth| if depth >= fork { frozen } else { 0 });
        }
        if translated && fork < bits && exact {
            trie.bound(a, fork, fork);
        }
    }

    /// The image of an address, and whether it is another one.
    pub fn map(&self, ip: IpAddr, len: Option<u8>) -> (IpAddr, bool) {
        if stays(ip, len) {
            return (ip, false);
        }
        match ip {
            IpAddr::V4(a) => {
                let (key, moved) = self.v4.map(key4(a), len.unwrap_or(32), self.seed);
                (IpAddr::V4(back4(key)), moved)
            }
            IpAddr::V6(a) => {
                if let Some(v4) = embedded(a) {
                    let len = len.map(|l| l.saturating_sub(96));
                    let (key, moved) = self.v4.map(key4(v4), len.unwrap_or(32), self.seed);
                    let bits = a.to_bits() & !0xffff_ffff | key >> 96;
                    return (IpAddr::V6(Ipv6Addr::from_bits(bits)), moved);
                }
                let (key, moved) = self.v6.map(a.to_bits(), len.unwrap_or(128), self.seed);
                (IpAddr::V6(Ipv6Addr::from_bits(key)), moved)
            }
        }
    }
}

/// How many bits the ends of a range have in common.
fn fork(low: IpAddr, high: IpAddr) -> u8 {
    let n = match (low, high) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    };
    u8::try_from(n).unwrap_or(128)
}

/// How many bits of a range's first address count: nothing is before the zeros behind them.
fn low_len(low: IpAddr, fork: u8) -> u8 {
    let (bits, zeros) = match low {
        IpAddr::V4(a) => (32, a.to_bits().trailing_zeros()),
        IpAddr::V6(a) => (128, a.to_bits().trailing_zeros()),
    };
    let len = bits - u8::try_from(zeros).unwrap_or(0).min(bits);
    len.max(fork.saturating_add(1)).min(bits)
}

/// As [`low_len`] of its last address and ones.
fn high_len(high: IpAddr, fork: u8) -> u8 {
    let (bits, ones) = match high {
        IpAddr::V4(a) => (32, a.to_bits().trailing_ones()),
        IpAddr::V6(a) => (128, a.to_bits().trailing_ones()),
    };
    let len = bits - u8::try_from(ones).unwrap_or(0).min(bits);
    len.max(fork.saturating_add(1)).min(bits)
}

/// How many bits count of a range's first and last address.
pub fn range_lens(low: IpAddr, high: IpAddr) -> (u8, u8) {
    let fork = fork(low, high);
    (low_len(low, fork), high_len(high, fork))
}

fn special(trie: &mut Trie, key: u128, len: u8, whole: bool) {
    trie.insert(key, len, |depth| if depth < len { FROZEN } else { 0 });
    if whole {
        trie.bound(key, len, len);
    }
}

fn add(trie: &mut Trie, key: u128, len: u8, shape: Shape, flags: impl Fn(u8) -> u8) {
    let whole = trie.bits;
    let host = len < whole && cut(key, len) != cut(key, whole);
    let full = if (host || shape.on_device) && !shape.range_end {
        whole
    } else {
        len
    };
    trie.insert(key, full, &flags);
    if let Some(fixed) = shape.fixed {
        trie.bound(key, fixed.below, fixed.from);
    }
    // Who derives a network's broadcast address takes its bits.
    if shape.on_device && whole == 32 && (8..31).contains(&len) {
        let ones = key | (cut(u128::MAX, 32) & !cut(u128::MAX, len));
        trie.insert(ones, 32, |d| if d >= len { FROZEN } else { 0 });
    }
}

/// The image under a mask: bits that do not count stay zero where they were.
pub fn masked(ip: IpAddr, image: IpAddr, mask: u128) -> IpAddr {
    match (ip, image) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let clean = key4(a) & mask == key4(a);
            IpAddr::V4(if clean { back4(key4(b) & mask) } else { b })
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let clean = a.to_bits() & mask == a.to_bits();
            let bits = if clean {
                b.to_bits() & mask
            } else {
                b.to_bits()
            };
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        _ => image,
    }
}

/// Whether the address stays what it is by what it means.
pub fn stays(ip: IpAddr, len: Option<u8>) -> bool {
    match ip {
        IpAddr::V4(a) => {
            let len = len.unwrap_or(32);
            let within = |(net, n, whole): &(Ipv4Addr, u8, bool)| {
                let same = cut(key4(a), *n) == key4(*net);
                same && (*whole || len <= *n)
            };
            len <= 8 || SPECIAL4.iter().any(within)
        }
        IpAddr::V6(a) => {
            if let Some(v4) = embedded(a) {
                return stays(IpAddr::V4(v4), len.map(|l| l.saturating_sub(96)));
            }
            let key = a.to_bits();
            let len = len.unwrap_or(128);
            let local = key >> 64 == 0xfe80_0000_0000_0000;
            let within = |(net, n, whole): &(Ipv6Addr, u8, bool)| {
                cut(key, *n) == net.to_bits() && (*whole || len <= *n)
            };
            len <= 16
                || key <= 1
                || local && key & u128::from(u64::MAX) <= 0xffff
                || SPECIAL6.iter().any(within)
        }
    }
}

#[cfg(test)]
#[path = "trie_tests.rs"]
mod tests;
