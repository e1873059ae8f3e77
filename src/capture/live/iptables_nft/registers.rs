//! Registers, and what is known of a rule so far.

use super::ports::Transport;
use crate::capture::live::attr::{Numbers as _, find};
use crate::capture::live::nf_tables::read::{Data, data};
use std::borrow::Cow;

#[derive(Clone, Copy, Default)]
pub(super) struct Net {
    pub(super) not: bool,
    pub(super) addr: [u8; 16],
    pub(super) mask: [u8; 16],
}

/// A device's name or the beginning of one.
pub(super) struct Device<'a> {
    pub(super) not: bool,
    pub(super) name: Cow<'a, str>,
    pub(super) begins: bool,
}

/// What a register was loaded with.
#[derive(Clone, Copy)]
pub(super) enum Loaded<'a> {
    Meta(u32),
    Payload {
        base: u32,
        offset: u32,
        len: u32,
    },
    Immediate(&'a [u8]),
    /// Something that iptables does not know.
    Other,
}

#[derive(Clone, Copy)]
pub(super) struct Register<'a> {
    pub(super) number: u32,
    pub(super) loaded: Loaded<'a>,
    /// `& mask ^ xor`
    pub(super) bitwise: Option<(&'a [u8], &'a [u8])>,
}

/// What is known of the rule so far.
#[derive(Default)]
pub(super) struct State<'a> {
    pub(super) src: Option<Net>,
    pub(super) dst: Option<Net>,
    pub(super) iif: Option<Device<'a>>,
    pub(super) oif: Option<Device<'a>>,
    pub(super) proto: Option<(bool, u8)>,
    pub(super) fragment: Option<bool>,
    pub(super) counters: Option<(u64, u64)>,
    pub(super) registers: Vec<Register<'a>>,
    pub(super) transport: Option<Transport>,
    /// Something in it has no words.
    pub(super) native: bool,
}

/// A 32-bit number in an attribute.
pub(super) fn be(v: &[u8], kind: u16) -> Option<u32> {
    find(v, kind)?.be32(0)
}

/// A value in an attribute.
pub(super) fn value(v: &[u8], kind: u16) -> Option<&[u8]> {
    match data(find(v, kind)?)? {
        Data::Value(value) => Some(value),
        Data::Verdict { .. } => None,
    }
}

/// The four registers of 16 bytes are sixteen of 4 bytes as well (`enum nft_registers`).
pub(super) fn register(number: u32) -> u32 {
    match number {
        1..=4 => 8 + 4 * (number - 1),
        other => other,
    }
}

pub(super) fn loaded<'a>(s: &State<'a>, number: u32) -> Option<Register<'a>> {
    let number = register(number);
    s.registers.iter().find(|r| r.number == number).copied()
}

pub(super) fn bitwise<'a>(s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
    let number = register(be(v, 2)?);
    let from = loaded(s, be(v, 1)?);
    s.registers.retain(|r| r.number != number);
    let mut from = from?;
    from.number = number;
    // NFT_BITWISE_MASK_XOR, and not twice.
    let plain = be(v, 6).unwrap_or(0) == 0 && from.bitwise.is_none();
    match (value(v, 4), value(v, 5)) {
        (Some(mask), Some(xor)) if plain => from.bitwise = Some((mask, xor)),
        _ => from.loaded = Loaded::Other,
    }
    s.registers.push(from);
    Some(())
}
