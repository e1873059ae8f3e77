//! A rule's program in words.
//!
//! Registers are followed; a comparison becomes a match of what the register holds. What headers a rule asks for is remembered, so that
//! bytes of the packet get their names, and a match of a protocol that such a name implies is left out again, as nft does
//! (`src/netlink_delinearize.c`). Where nft's listing says something else than the program does, the program is written.

use super::expr::{Ex, Kind, Needs, Op, Registers};
use super::implied::Deps;
use super::matches::{Cmp, Match, Right};
use super::print::Env;
use super::protocols::Protocols;
use super::read::{Data, Expression, Rule, Set, data};
use super::words::{put, set_text};
use super::{keys, stmt, userdata};
use crate::capture::live::attr::{Numbers as _, find};
use keys::be32;
use nfwhy_parsers::nft::fields::Header;
use std::borrow::Cow;
use std::fmt::Write as _;

/// A step of the rule.
pub(super) enum Step<'a> {
    /// Left out: something behind it implies it.
    Gone,
    Match(Match<'a>),
    Words(String),
}

/// The state of reading a rule.
pub(super) struct Lift<'a> {
    pub env: &'a Env<'a>,
    pub registers: Registers<'a>,
    pub protocols: Protocols,
    pub deps: Deps,
    pub steps: Vec<Step<'a>>,
}

/// Writes a rule. Gives the name of the expression that was not understood; from there on the text is opaque.
pub(super) fn rule<'a>(out: &mut String, rule: &Rule<'a>, env: &'a Env<'a>) -> Option<String> {
    let mut lift = Lift {
        env,
        registers: Registers::default(),
        protocols: Protocols::of_family(env.family),
        deps: Deps::default(),
        steps: Vec::new(),
    };
    let mut stranger = None;
    for e in rule.expressions() {
        if lift.step(e).is_none() {
            stranger = Some(String::from_utf8_lossy(e.name).into_owned());
            break;
        }
    }
    let start = out.len();
    for step in &lift.steps {
        let before = out.len();
        if before > start {
            out.push(' ');
        }
        let said = match step {
            Step::Gone => {
                out.truncate(before);
                Some(())
            }
            Step::Words(text) => {
                out.push_str(text);
                Some(())
            }
            Step::Match(m) => m.put(out, env),
        };
        if said.is_none() {
            out.truncate(before);
            stranger = Some("cmp".into());
            break;
        }
    }
    if let Some(name) = &stranger {
        let plain: String = name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        let gap = if out.len() > start { " " } else { "" };
        let _ = write!(out, "{gap}unknown expression \"{plain}\"");
    }
    if let Some(text) = userdata::comment(rule.userdata) {
        let gap = if out.len() > start { " " } else { "" };
        let _ = write!(out, "{gap}comment \"{text}\"");
    }
    stranger
}

impl<'a> Lift<'a> {
    fn step(&mut self, e: Expression<'a>) -> Option<()> {
        let d = e.data;
        match e.name {
            b"immediate" => self.immediate(d),
            b"cmp" => {
                let left = self.registers.get(be32(d, 1)?)?.clone();
                let op = Cmp::of(be32(d, 2)?)?;
                let Data::Value(v) = data(find(d, 3)?)? else {
                    return None;
                };
                let left = self.sized(left, be32(d, 1)?, v.len())?;
                self.relate(left, op, Right::Value(Cow::Borrowed(v)))
            }
            b"range" => {
                let left = self.registers.get(be32(d, 1)?)?.clone();
                let op = match be32(d, 2)? {
                    0 => Cmp::Eq,
                    1 => Cmp::Ne,
                    _ => return None,
                };
                let (Data::Value(from), Data::Value(to)) = (data(find(d, 3)?)?, data(find(d, 4)?)?)
                else {
                    return None;
                };
                self.relate(left, op, Right::Range(from.into(), to.into()))
            }
            b"lookup" => self.lookup(d),
            b"bitwise" => self.bitwise(d),
            b"byteorder" => {
                let mut ex = self.registers.get(be32(d, 1)?)?.clone();
                ex = if let Kind::Swap(inner) = ex.kind {
                    *inner
                } else {
                    let (ty, bits) = (ex.ty, ex.bits);
                    Ex::new(Kind::Swap(Box::new(ex)), ty, bits)
                };
                self.registers.set(be32(d, 2)?, ex)
            }
            b"hash" => self.hash(d),
            b"payload" if find(d, 5).is_some() => self.write_payload(d),
            b"exthdr" if find(d, 7).is_some() => {
                let key = super::exthdr::of(d)?;
                let value = self.registers.get(be32(d, 7)?)?.clone();
                self.write(key, value)
            }
            b"exthdr" if find(d, 1).is_none() => {
                let key = super::exthdr::whole(d)?;
                self.say(format!("reset {key}"))
            }
            b"meta" if find(d, 3).is_some() => {
                let mut key = keys::meta(be32(d, 2)?)?;
                if let Kind::Meta(_, name) = &key.kind
                    && !name.starts_with("meta ")
                {
                    key = Ex::words(format!("meta {name}"), key.ty, key.bits);
                }
                let value = self.registers.get(be32(d, 3)?)?.clone();
                self.write(key, value)
            }
            b"ct" if find(d, 4).is_some() => {
                let direction = find(d, 3).and_then(|v| v.u8(0));
                let key = keys::ct(be32(d, 2)?, direction, self.v6(), self.env.v6().is_none())?;
                let value = self.registers.get(be32(d, 4)?)?.clone();
                self.write(key, value)
            }
            _ => {
                if let Some((dreg, ex)) = keys::of(e.name, d, self.v6(), self.env.v6().is_none()) {
                    return self.registers.set(dreg, ex);
                }
                stmt::statement(self, e)
            }
        }
    }

    /// Whether packets are IPv6, as far as it is known here.
    fn v6(&self) -> Option<bool> {
        self.env.v6().or(match self.protocols.network {
            Some(Header::Ip) => Some(false),
            Some(Header::Ip6) => Some(true),
            _ => None,
        })
    }

    /// A step in words. What it does, it does for packets that got past the matches before it: none of these is left out for what comes
    /// behind (`rule_maybe_reset_payload_deps` in nftables `src/netlink_delinearize.c`).
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it ends steps that may fail before"
    )]
    pub fn say(&mut self, text: String) -> Option<()> {
        self.deps = Deps::default();
        self.steps.push(Step::Words(text));
        Some(())
    }

    /// A comparison with fewer bytes than the register holds looks at the first ones only; with more, at those behind as well.
    fn sized(&self, left: Ex<'a>, register: u32, bytes: usize) -> Option<Ex<'a>> {
        let bits = u32::try_from(bytes).ok()?.checked_mul(8)?;
        if bits > left.bits.next_multiple_of(32) {
            return self.registers.key(register, u32::try_from(bytes).ok()?);
        }
        if bits < left.bits
            && let Kind::Payload { .. } = left.kind
        {
            return Some(Ex { bits, ..left });
        }
        // Names that begin so, and the first bytes of what stands in the network's order: a prefix.
        let beginning = match left.kind {
            Kind::Words(..) | Kind::Meta(..) => {
                left.ty.ty == nfwhy_parsers::nft::Type::Ifname || !left.ty.host
            }
            _ => false,
        };
        (beginning || bits >= left.bits).then_some(left)
    }

    fn immediate(&mut self, d: &'a [u8]) -> Option<()> {
        match data(find(d, 2)?)? {
            Data::Verdict { code, chain } => {
                let mut text = String::new();
                if let Some(name) = chain.as_deref()
                    && let Some(bound) = self.env.bound(name)
                {
                    text.push_str(if code == -3 { "jump {\n" } else { "goto {\n" });
                    super::print::within(&mut text, bound, self.env);
                    text.push_str("\t\t}");
                } else {
                    stmt::verdict(&mut text, code, chain.as_deref())?;
                }
                self.say(text)
            }
            Data::Value(v) => self.registers.set(be32(d, 1)?, Ex::constant(v.into())),
        }
    }

    fn lookup(&mut self, d: &'a [u8]) -> Option<()> {
        let name = super::read::text(find(d, 1)?);
        let set: &'a Set<'a> = self.env.sets.get(name.as_ref())?;
        let key = self.registers.key(be32(d, 2)?, set.key_len)?;
        let Some(dreg) = be32(d, 3) else {
            let op = match be32(d, 5).unwrap_or_default() & 1 {
                0 => Cmp::Eq,
                _ => Cmp::Ne,
            };
            return self.relate(key, op, Right::Set(set));
        };
        let key = self.settle(key);
        if dreg != 0 {
            let ty = super::datatype::integer(0, false);
            let map = Ex::new(
                Kind::Map(Box::new(key), set),
                ty,
                set.data_len.saturating_mul(8),
            );
            return self.registers.set(dreg, map);
        }
        let mut text = String::new();
        put(&mut text, &key, self.env)?;
        text.push_str(" vmap ");
        set_text(&mut text, set, &key, self.env)?;
        self.say(text)
    }

    /// `dreg = sreg & mask ^ xor`, or a shift (`nft_bitwise_eval` in `net/netfilter/nft_bitwise.c`).
    fn bitwise(&mut self, d: &'a [u8]) -> Option<()> {
        let left = self.registers.key(be32(d, 1)?, be32(d, 3)?)?;
        let (ty, bits) = (left.ty, left.bits);
        let value = |kind| match data(find(d, kind)?)? {
            Data::Value(v) => Some(v),
            Data::Verdict { .. } => None,
        };
        let binary =
            |op, left, right| Ex::new(Kind::Binary(op, Box::new(left), Box::new(right)), ty, bits);
        let op = be32(d, 6).unwrap_or_default();
        let out = match op {
            0 => {
                let (mask, xor) = (value(4)?, value(5)?);
                let or: Vec<u8> = mask.iter().zip(xor).map(|(m, x)| x & !m).collect();
                let xor: Vec<u8> = mask.iter().zip(xor).map(|(m, x)| x & m).collect();
                let and: Vec<u8> = mask.iter().zip(&or).map(|(m, o)| m | o).collect();
                let mut ex = left;
                if and.iter().any(|b| *b != 0xff) {
                    ex = binary(Op::And, ex, Ex::constant(and.into()));
                }
                if xor.iter().any(|b| *b != 0) {
                    ex = binary(Op::Xor, ex, Ex::constant(xor.into()));
                }
                if or.iter().any(|b| *b != 0) {
                    ex = binary(Op::Or, ex, Ex::constant(or.into()));
                }
                ex
            }
            1 => binary(Op::Shl, left, Ex::constant(value(7)?.into())),
            2 => binary(Op::Shr, left, Ex::constant(value(7)?.into())),
            // Of two registers (`enum nft_bitwise_ops` of newer kernels).
            3..=5 => {
                let right = match be32(d, 8) {
                    Some(register) => self.registers.key(register, be32(d, 3)?)?,
                    None => Ex::constant(value(7)?.into()),
                };
                let op = match op {
                    3 => Op::And,
                    4 => Op::Or,
                    _ => Op::Xor,
                };
                binary(op, left, right)
            }
            _ => return None,
        };
        self.registers.set(be32(d, 2)?, out)
    }

    fn hash(&mut self, d: &'a [u8]) -> Option<()> {
        let mut text = format!(" mod {}", be32(d, 4)?);
        let seed = be32(d, 5);
        let ty = super::datatype::integer(32, true);
        let ex = match be32(d, 7).unwrap_or_default() {
            0 => {
                let key = self.registers.key(be32(d, 1)?, be32(d, 3)?)?;
                let key = self.settle(key);
                if let Some(seed) = seed {
                    let _ = write!(text, " seed 0x{seed:x}");
                }
                keys::offset(&mut text, be32(d, 6));
                Ex::new(Kind::Jhash(Box::new(key), text), ty, 32)
            }
            1 => {
                keys::offset(&mut text, be32(d, 6));
                Ex::words(format!("symhash{text}"), ty, 32)
            }
            _ => return None,
        };
        self.registers.set(be32(d, 2)?, ex)
    }

    /// `KEY set VALUE`.
    fn write(&mut self, key: Ex<'a>, value: Ex<'a>) -> Option<()> {
        let key = self.settle(key);
        let value = self.settle(value);
        let mut text = String::new();
        put(&mut text, &key, self.env)?;
        text.push_str(" set ");
        self.beside(&mut text, &value, &key)?;
        self.say(text)
    }

    /// An expression; of a constant, what it means beside another.
    pub fn beside(&self, out: &mut String, value: &Ex<'a>, key: &Ex<'_>) -> Option<()> {
        match value.bytes() {
            Some(bytes) => {
                let reads = super::words::reads(key);
                super::value::one(out, bytes, reads, self.env.devices)
            }
            None => put(out, value, self.env),
        }
    }

    /// What is written into the packet. Bits around a field are written back as they were.
    fn write_payload(&mut self, d: &'a [u8]) -> Option<()> {
        let base = u8::try_from(be32(d, 2)?).ok()?;
        let offset = be32(d, 3)?.checked_mul(8)?;
        let bits = be32(d, 4)?.checked_mul(8)?;
        let value = self.registers.get(be32(d, 5)?)?.clone();
        if let Some((mask, xor)) = super::matches::affine(&value, base, offset) {
            let changed: Vec<u8> = mask.iter().map(|m| !m).collect();
            let kept_as_it_is = mask.iter().zip(&xor).all(|(m, x)| m & x == 0);
            if kept_as_it_is && let Some(key) = self.protocols.masked(base, offset, bits, &changed)
            {
                self.imply(&key);
                let mut text = String::new();
                put(&mut text, &key, self.env)?;
                text.push_str(" set ");
                let reads = super::words::reads(&key);
                super::value::one(&mut text, &xor, reads, self.env.devices)?;
                return self.say(text);
            }
        }
        let key = self.named(base, offset, bits);
        self.write(key, value)
    }

    /// Gives the packet's bytes in an expression their names, and leaves out the matches that these imply.
    pub fn settle(&mut self, ex: Ex<'a>) -> Ex<'a> {
        self.settled(ex, 0)
    }

    /// The packet's bytes by name. Behind a match of a protocol that has no ports nft says no `th dport`.
    pub fn named(&self, base: u8, offset: u32, bits: u32) -> Ex<'a> {
        let ex = self.protocols.complete(base, offset, bits);
        match ex.kind {
            Kind::Field(f) if f.header == Header::Th && self.told_apart() => {
                super::protocols::raw(base, offset, bits)
            }
            _ => ex,
        }
    }

    fn settled(&mut self, ex: Ex<'a>, depth: u8) -> Ex<'a> {
        if depth > 250 {
            return ex;
        }
        let Ex {
            kind,
            ty,
            bits,
            shift,
        } = ex;
        let kind = match kind {
            Kind::Payload { base, offset } => {
                let named = self.named(base, offset, bits);
                self.imply(&named);
                return named;
            }
            Kind::Binary(op, left, right) => {
                if let Some(mask) = right.bytes()
                    && let Some(field) = self.picked(op, &left, mask)
                {
                    self.imply(&field);
                    return field;
                }
                let left = self.settled(*left, depth + 1);
                let right = self.settled(*right, depth + 1);
                let (ty, shift) = (left.ty, left.shift);
                let mut ex = Ex::new(Kind::Binary(op, Box::new(left), Box::new(right)), ty, bits);
                ex.shift = shift;
                return ex;
            }
            Kind::Swap(inner) => {
                let inner = self.settled(*inner, depth + 1);
                let ty = inner.ty;
                return Ex::new(Kind::Swap(Box::new(inner)), ty, bits);
            }
            Kind::Concat(parts) => Kind::Concat(
                parts
                    .into_iter()
                    .map(|p| self.settled(p, depth + 1))
                    .collect(),
            ),
            other => other,
        };
        let ex = Ex {
            kind,
            ty,
            bits,
            shift,
        };
        self.imply(&ex);
        ex
    }

    /// The field that a mask picks, with or without a shift behind it.
    pub fn picked(&self, op: Op, left: &Ex<'a>, right: &[u8]) -> Option<Ex<'a>> {
        match (op, &left.kind) {
            (Op::And, Kind::Payload { base, offset }) => {
                self.protocols.masked(*base, *offset, left.bits, right)
            }
            (Op::And, Kind::Words(text, Needs::Ip6 | Needs::Tcp)) => {
                let (first, len) = super::protocols::run(right)?;
                let mut field = super::exthdr::masked(text, first, len)?;
                field.shift = left.bits.checked_sub(first)?.checked_sub(len)?;
                field.bits = left.bits;
                Some(field)
            }
            (Op::Shr, inner) => {
                let inner = match inner {
                    Kind::Swap(inner) => &inner.kind,
                    other => other,
                };
                let Kind::Binary(Op::And, l, r) = inner else {
                    return None;
                };
                let mut field = self.picked(Op::And, l, r.bytes()?)?;
                let by = super::value::number(right, true)?;
                if u128::from(field.shift) != by {
                    return None;
                }
                field.shift = 0;
                Some(field)
            }
            _ => None,
        }
    }
}
