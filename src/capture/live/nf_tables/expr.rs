//! What registers hold while a rule's program runs.

use super::datatype::{Ty, integer};
use super::read::Set;
use nfwhy_parsers::nft::Type;
use nfwhy_parsers::nft::fields::Field;
use std::borrow::Cow;

/// An expression, with the number of bits that it takes in registers.
#[derive(Clone, Debug)]
pub(super) struct Ex<'a> {
    pub kind: Kind<'a>,
    /// How constants beside it are read.
    pub ty: Ty,
    pub bits: u32,
    /// A field within its bytes: how far from the lowest bit.
    pub shift: u32,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Kind<'a> {
    /// Bytes given by the rule.
    Const(Cow<'a, [u8]>),
    /// Bytes of the packet whose name is not looked for yet. Offset in bits.
    Payload { base: u8, offset: u32 },
    /// A field of a header.
    Field(Field),
    /// Bits of the packet without a name.
    Raw { base: u8, offset: u32, len: u32 },
    /// `meta`, by number (`enum nft_meta_keys`).
    Meta(u32, &'static str),
    /// Whatever else has no parts: its words.
    Words(Cow<'static, str>, Needs),
    /// `A & B`. Left and right.
    Binary(Op, Box<Ex<'a>>, Box<Ex<'a>>),
    /// The bytes turned around.
    Swap(Box<Ex<'a>>),
    /// What a map gives.
    Map(Box<Ex<'a>>, &'a Set<'a>),
    /// `jhash KEY mod ...`: what stands behind the key.
    Jhash(Box<Ex<'a>>, String),
    /// `A . B`.
    Concat(Vec<Ex<'a>>),
}

/// Which header an expression looks into, as far as it tells it without a match of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// None.
    Nothing,
    /// A TCP header.
    Tcp,
    /// An IPv6 header.
    Ip6,
    /// An IPv4 header.
    Ip,
    /// A connection of IPv6, or of IPv4.
    Connection(bool),
    /// An SCTP or DCCP header, by protocol.
    Transport(u8),
}

/// An operator between values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

impl Op {
    /// As nft prints it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::And => "&",
            Self::Or => "|",
            Self::Xor => "^",
            Self::Shl => "<<",
            Self::Shr => ">>",
        }
    }

    /// The lower, the tighter.
    pub fn binds(self) -> u8 {
        match self {
            Self::Shl | Self::Shr => 1,
            Self::And => 2,
            Self::Xor => 3,
            Self::Or => 4,
        }
    }
}

impl<'a> Ex<'a> {
    pub fn new(kind: Kind<'a>, ty: Ty, bits: u32) -> Self {
        Self {
            kind,
            ty,
            bits,
            shift: 0,
        }
    }

    /// Bytes given by the rule; what they mean is told by what stands beside them.
    pub fn constant(bytes: Cow<'a, [u8]>) -> Self {
        let bits = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(8);
        let ty = integer(bits, false);
        Self::new(Kind::Const(bytes), ty, bits)
    }

    /// Words.
    pub fn words(text: impl Into<Cow<'static, str>>, ty: Ty, bits: u32) -> Self {
        Self::new(Kind::Words(text.into(), Needs::Nothing), ty, bits)
    }

    /// Registers that it takes, each of 32 bits.
    pub fn registers(&self) -> usize {
        usize::try_from(self.bits.div_ceil(32)).unwrap_or(usize::MAX)
    }

    /// How many parts it has.
    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::Binary(_, a, b) => a.size() + b.size(),
            Kind::Swap(a) | Kind::Map(a, _) | Kind::Jhash(a, _) => a.size(),
            Kind::Concat(all) => all.iter().map(Self::size).sum(),
            _ => 0,
        }
    }

    /// The bytes of a constant.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Const(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether both are the same expression; of what is not alike in kind, no.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Const(a), Kind::Const(b)) => a == b,
            (Kind::Payload { base, offset }, Kind::Payload { base: b, offset: o }) => {
                (base, offset, self.bits) == (b, o, other.bits)
            }
            (Kind::Field(a), Kind::Field(b)) => a == b,
            (
                Kind::Raw { base, offset, len },
                Kind::Raw {
                    base: b,
                    offset: o,
                    len: l,
                },
            ) => (base, offset, len) == (b, o, l),
            (Kind::Meta(a, _), Kind::Meta(b, _)) => a == b,
            (Kind::Words(a, _), Kind::Words(b, _)) => a == b,
            (Kind::Swap(a), Kind::Swap(b)) => a.same(b),
            (Kind::Binary(o, a, b), Kind::Binary(p, c, d)) => o == p && a.same(c) && b.same(d),
            _ => false,
        }
    }
}

/// How many parts an expression may have. Rules double them with each step that joins two registers.
const MOST: usize = 512;

/// Registers by their numbers of 32 bits (`nft_parse_register` in `net/netfilter/nf_tables_api.c`).
#[derive(Debug, Default)]
pub(super) struct Registers<'a> {
    all: [Option<Ex<'a>>; 20],
}

/// `NFT_REG_1` and `NFT_REG32_00` are the same; the kernel tells the former where it can (`nft_dump_register`).
fn place(number: u32) -> Option<usize> {
    let at = match number {
        1..=4 => (number - 1) * 4,
        8.. => number - 8,
        _ => return None,
    };
    usize::try_from(at).ok()
}

impl<'a> Registers<'a> {
    /// Puts something into a register; it covers those behind it. `None` for what no rule has.
    pub fn set(&mut self, number: u32, ex: Ex<'a>) -> Option<()> {
        if ex.size() > MOST {
            return None;
        }
        let at = place(number)?;
        let end = at.saturating_add(ex.registers()).min(self.all.len());
        for slot in self.all.get_mut(at..end)? {
            *slot = None;
        }
        *self.all.get_mut(at)? = Some(ex);
        Some(())
    }

    /// What was put into a register.
    pub fn get(&self, number: u32) -> Option<&Ex<'a>> {
        self.all.get(place(number)?)?.as_ref()
    }

    /// So many bytes from a register on: one expression or several.
    pub fn key(&self, number: u32, len: u32) -> Option<Ex<'a>> {
        let first = self.get(number)?;
        if first.bits.div_ceil(8).next_multiple_of(4) >= len.next_multiple_of(4) {
            return Some(first.clone());
        }
        let mut at = place(number)?;
        let mut left = usize::try_from(len.div_ceil(4)).ok()?;
        let mut parts = Vec::new();
        while left > 0 {
            let part = self.all.get(at)?.as_ref()?;
            let n = part.registers().max(1);
            at += n;
            left = left.checked_sub(n)?;
            parts.push(part.clone());
        }
        let ty = Ty {
            ty: Type::Invalid,
            host: false,
        };
        Some(Ex::new(Kind::Concat(parts), ty, len.saturating_mul(8)))
    }
}
