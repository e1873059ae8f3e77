//! `-m bpf --bytecode`: programs of the classic BPF (`include/uapi/linux/bpf_common.h`), run at the network header.

use super::{Family, Part, is_address, number, prefix, touches};
use std::ops::Range;

/// What A holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum A {
    /// Not reached yet.
    Nothing,
    /// No bit of an address that is changed.
    Plain,
    /// An IPv4 address under a mask of its first bits.
    Address(u32),
    /// What may be part of an address.
    Unknown,
}

impl A {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, a) | (a, Self::Nothing) => a,
            (a, b) if a == b => a,
            _ => Self::Unknown,
        }
    }
}

/// What the numbers of `text`, which stands at `start`, are.
pub(super) fn parts(text: &str, start: usize, family: Option<Family>) -> Vec<Part> {
    read(text, start, family).unwrap_or_else(|| vec![Part::Opaque])
}

struct Instruction {
    code: u32,
    jumps: [usize; 2],
    k: u32,
    /// Where `k` stands.
    at: Range<usize>,
}

fn instruction(text: &str, start: usize) -> Option<Instruction> {
    let bare = text.trim();
    let mut words = bare.split(' ');
    let mut next = || words.next();
    let code = number(next()?)?;
    let jumps = [next()?.parse().ok()?, next()?.parse().ok()?];
    let k = next()?;
    let end = start + (text.len() - text.trim_start().len()) + bare.len();
    let at = end.checked_sub(k.len())?..end;
    let k = number(k)?;
    Some(Instruction { code, jumps, k, at })
}

fn read(text: &str, start: usize, family: Option<Family>) -> Option<Vec<Part>> {
    let (count, _) = text.split_once(',')?;
    let mut at = start + count.len() + 1;
    let mut program = Vec::new();
    for t in text
        .get(count.len() + 1..)?
        .split(',')
        .filter(|t| !t.trim().is_empty())
    {
        program.push(instruction(t, at)?);
        at += t.len() + 1;
    }
    let mut states = vec![A::Nothing; program.len() + 1];
    if let Some(first) = states.first_mut() {
        *first = A::Plain;
    }
    let mut out = Vec::new();
    // Jumps lead forward alone.
    for (n, i) in program.iter().enumerate() {
        let a = states.get(n).copied().unwrap_or(A::Nothing);
        let mut next = vec![n + 1];
        let after = match i.code {
            // ld, ldh and ldb at a fixed place.
            0x20 | 0x28 | 0x30 => load(i, family)?,
            // ld #k, ld #len.
            0x00 | 0x80 => A::Plain,
            // and #k.
            0x54 => match a {
                A::Address(mask) if prefix(mask & i.k).is_some() => A::Address(mask & i.k),
                A::Plain => A::Plain,
                _ => return None,
            },
            // Arithmetic with a constant.
            0x04 | 0x14 | 0x24 | 0x34 | 0x44 | 0x64 | 0x74 | 0x84 | 0x94 | 0xa4
                if a == A::Plain =>
            {
                a
            }
            // ja.
            0x05 => {
                next = vec![(n + 1).checked_add(usize::try_from(i.k).ok()?)?];
                a
            }
            // jeq #k, jgt #k, jge #k, jset #k.
            0x15 | 0x25 | 0x35 | 0x45 => {
                next = i.jumps.iter().map(|j| n + 1 + j).collect();
                match a {
                    A::Plain | A::Nothing => {}
                    A::Address(mask) if i.code == 0x15 && i.k & !mask == 0 => {
                        let len = prefix(mask).filter(|l| *l >= 8)?;
                        out.push(Part::Address(i.at.clone(), i.k, len));
                    }
                    _ => return None,
                }
                a
            }
            // ret #k, ret a.
            0x06 => continue,
            0x16 if a == A::Plain => continue,
            _ => return None,
        };
        for to in next {
            let state = states.get_mut(to)?;
            *state = state.join(after);
        }
    }
    Some(out)
}

/// What a load at a fixed place gives. Places below zero are others than the packet's bytes (`SKF_AD_OFF`).
fn load(i: &Instruction, family: Option<Family>) -> Option<A> {
    let size = match i.code {
        0x20 => 32,
        0x28 => 16,
        _ => 8,
    };
    if i.k > 0xffff {
        return None;
    }
    let from = u64::from(i.k) * 8;
    if !touches(family, from, from + size) {
        Some(A::Plain)
    } else if size == 32 && is_address(family, from) {
        Some(A::Address(u32::MAX))
    } else {
        None
    }
}
