//! Matches: what is compared, how, with what, and which of them others imply.

use super::elements::{self, Part};
use super::expr::{Ex, Kind, Needs, Op};
use super::lift::{Lift, Step};
use super::print::Env;
use super::protocols::{LINK, raw, run};
use super::read::Set;
use super::value::{self, Reads};
use super::words::{put, reads, set_text};
use nfwhy_parsers::nft::Type;
use nfwhy_parsers::nft::fields::Header;
use std::borrow::Cow;

/// `enum nft_cmp_ops`, and two for flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Any of the flags is set.
    Any,
    /// None of them is.
    None,
}

impl Cmp {
    pub fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Eq,
            1 => Self::Ne,
            2 => Self::Lt,
            3 => Self::Le,
            4 => Self::Gt,
            5 => Self::Ge,
            _ => return None,
        })
    }
}

/// The right side.
#[derive(Clone, Debug)]
pub(super) enum Right<'a> {
    Value(Cow<'a, [u8]>),
    Range(Cow<'a, [u8]>, Cow<'a, [u8]>),
    Set(&'a Set<'a>),
}

/// A match.
#[derive(Clone, Debug)]
pub(super) struct Match<'a> {
    pub left: Ex<'a>,
    pub op: Cmp,
    pub right: Right<'a>,
}

impl Match<'_> {
    /// In words.
    pub fn put(&self, out: &mut String, env: &Env<'_>) -> Option<()> {
        if let Some((flags, value, mask)) = self.flags() {
            put(out, flags, env)?;
            out.push_str(if self.op == Cmp::Ne { " != " } else { " " });
            value::one(out, value, reads(flags), env.devices)?;
            out.push_str(" / ");
            return value::one(out, mask, reads(flags), env.devices);
        }
        put(out, &self.left, env)?;
        let reads = reads(&self.left);
        let binary = matches!(inner(&self.left).kind, Kind::Binary(..));
        let single = matches!(self.right, Right::Value(_));
        let op = match self.op {
            Cmp::Eq if single && (binary || reads.ty.ty.is_bitmask()) => " == ",
            Cmp::Eq | Cmp::Any => " ",
            Cmp::Ne => " != ",
            Cmp::Lt => " < ",
            Cmp::Le => " <= ",
            Cmp::Gt => " > ",
            Cmp::Ge => " >= ",
            Cmp::None => " ! ",
        };
        out.push_str(op);
        match &self.right {
            Right::Set(set) => set_text(out, set, &self.left, env),
            Right::Range(from, to) => match &self.left.kind {
                Kind::Concat(_) => {
                    let parts = elements::ordered(elements::of_expression(&self.left));
                    elements::parts_text(out, from, Some(to), &parts, env)
                }
                _ => value::range(out, from, to, reads, env.devices),
            },
            Right::Value(v) => match &self.left.kind {
                Kind::Concat(_) => {
                    let parts: Vec<Part> = elements::of_expression(&self.left);
                    elements::parts_text(out, v, None, &parts, env)
                }
                _ if reads.ty.ty == Type::Ifname && v.last().is_some_and(|b| *b != 0) => {
                    value::begins(out, v)
                }
                _ if binary && (reads.ty.ty.is_bitmask() || number_like(reads)) => {
                    super::words::mask(out, v, reads, env)
                }
                _ => value::one(out, v, reads, env.devices),
            },
        }
    }
}

impl<'a> Match<'a> {
    /// Flags of which some are asked for and must be so: `tcp flags syn / syn,ack`.
    fn flags(&self) -> Option<(&Ex<'a>, &[u8], &[u8])> {
        let Kind::Binary(Op::And, flags, mask) = &self.left.kind else {
            return None;
        };
        let ty = flags.ty.ty;
        match &self.right {
            Right::Value(v)
                if matches!(self.op, Cmp::Eq | Cmp::Ne)
                    && ty.is_bitmask()
                    && ty != Type::CtLabel
                    && !matches!(flags.kind, Kind::Binary(..) | Kind::Swap(_)) =>
            {
                Some((flags, v, mask.bytes()?))
            }
            _ => None,
        }
    }
}

fn number_like(reads: Reads) -> bool {
    matches!(reads.ty.ty, Type::Integer(_))
}

/// Without what turns its bytes around.
fn inner<'e, 'a>(ex: &'e Ex<'a>) -> &'e Ex<'a> {
    match &ex.kind {
        Kind::Swap(inner) => inner,
        _ => ex,
    }
}

/// Places of matches that tell what header follows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deps {
    /// `meta iiftype ether`.
    link: Option<usize>,
    /// A VLAN tag.
    vlan: Option<usize>,
    /// `meta nfproto`, `meta protocol`, `ether type`.
    network: Option<usize>,
    /// `meta l4proto`, `ip protocol`.
    transport: Option<usize>,
    /// `icmp type`.
    icmp: Option<usize>,
}

/// Families whose tables see packets of more than one network protocol.
fn many(family: u8) -> bool {
    matches!(family, 1 | 5 | 7)
}

impl<'a> Lift<'a> {
    /// Adds a match.
    pub fn relate(&mut self, left: Ex<'a>, op: Cmp, right: Right<'a>) -> Option<()> {
        if let (Kind::Payload { base, offset }, Right::Value(v), Cmp::Eq | Cmp::Ne) =
            (&left.kind, &right, op)
        {
            let (base, offset, v) = (*base, *offset, v.clone());
            return self.expand(base, offset, op, &v, left);
        }
        if let Kind::Binary(Op::And, l, r) = &left.kind
            && let Some(mask) = r.bytes()
        {
            let (l, mask) = ((**l).clone(), mask.to_vec());
            if let Some(done) = self.masked(l, &mask, op, &right) {
                return done;
            }
        }
        let left = self.settle(left);
        if let Right::Value(v) = &right
            && left.ty.ty != Type::Ifname
            && let Some(missing) = left.bits.checked_sub(u32::try_from(v.len()).ok()? * 8)
            && missing >= 8
            && matches!(left.kind, Kind::Words(..) | Kind::Meta(..))
        {
            if !matches!(op, Cmp::Eq | Cmp::Ne) {
                return None;
            }
            let right = beginning(v, missing, left.bits)?;
            return self.push(left, op, right);
        }
        self.push(left, op, right)
    }

    /// A comparison of masked bits. `None` where nft has no shorter way to say it.
    fn masked(
        &mut self,
        left: Ex<'a>,
        mask: &[u8],
        op: Cmp,
        right: &Right<'a>,
    ) -> Option<Option<()>> {
        let whole = match left.kind {
            Kind::Payload { base, offset } => self.named(base, offset, left.bits),
            _ => left.clone(),
        };
        let ty = whole.ty.ty;
        if let Right::Value(v) = right {
            let outside = v.iter().zip(mask).any(|(v, m)| v & !m != 0);
            if ty.is_bitmask()
                && matches!(op, Cmp::Eq | Cmp::Ne)
                && v.iter().all(|b| *b == 0)
                && mask.iter().any(|b| *b != 0)
            {
                self.imply(&whole);
                let op = if op == Cmp::Eq { Cmp::None } else { Cmp::Any };
                let right = Right::Value(mask.to_vec().into());
                return Some(self.push(whole, op, right));
            }
            // The kernel compares all bits: with some outside of the mask it never holds, which no prefix says.
            if outside {
                return None;
            }
            let mut ordered = mask.to_vec();
            if whole.ty.host && cfg!(target_endian = "little") {
                ordered.reverse();
            }
            let none = mask.iter().all(|b| *b == 0);
            let prefix = none || run(&ordered).is_some_and(|(first, _)| first == 0);
            if matches!(ty, Type::Ipv4Addr | Type::Ipv6Addr | Type::Mark)
                && matches!(op, Cmp::Eq | Cmp::Ne)
                && prefix
                && !matches!(
                    whole.kind,
                    Kind::Raw { .. } | Kind::Swap(_) | Kind::Binary(..)
                )
            {
                self.imply(&whole);
                let to: Vec<u8> = v.iter().zip(mask).map(|(v, m)| v | !m).collect();
                return Some(self.push(whole, op, Right::Range(v.clone(), to.into())));
            }
        }
        let field = self.picked(Op::And, &left, mask)?;
        self.imply(&field);
        Some(self.push(field, op, right.clone()))
    }

    /// Bytes of the packet compared with others: one field, several, or the beginning of one.
    fn expand(&mut self, base: u8, offset: u32, op: Cmp, v: &[u8], left: Ex<'a>) -> Option<()> {
        let len = u32::try_from(v.len()).ok()?.checked_mul(8)?;
        let fields = self.protocols.expand(base, offset, len);
        // Of several fields, all must be as given; that not all are is no match of one field.
        let Some(fields) = fields.filter(|f| f.len() == 1 || op == Cmp::Eq) else {
            let left = match self.protocols.expand(base, offset, len) {
                Some(_) => raw(base, offset, len),
                None => self.settle(left),
            };
            return self.push(left, op, Right::Value(v.to_vec().into()));
        };
        let mut at = 0;
        for (field, bits) in fields {
            let ty = super::datatype::with_order(field.ty);
            let field = Ex::new(Kind::Field(field), ty, field.len);
            let value = slice(v, at, bits);
            at += bits;
            self.imply(&field);
            let missing = field.bits.checked_sub(bits)?;
            let right = if missing == 0 {
                Right::Value(value.into())
            } else {
                beginning(&value, missing, field.bits)?
            };
            self.push(field, op, right)?;
        }
        Some(())
    }

    /// Adds a match of settled parts, and learns from it.
    fn push(&mut self, left: Ex<'a>, op: Cmp, right: Right<'a>) -> Option<()> {
        if let Right::Value(hi) = &right
            && op == Cmp::Le
            && let Some(Step::Match(Match {
                left: before,
                op: Cmp::Ge,
                right: Right::Value(lo),
            })) = self.steps.last()
            && before.same(&left)
            && let Some(order) = self.order(&left, lo, hi)
            && order
        {
            let right = Right::Range(lo.clone(), hi.clone());
            self.steps.pop();
            let op = Cmp::Eq;
            self.steps.push(Step::Match(Match { left, op, right }));
            return Some(());
        }
        if op == Cmp::Eq
            && let Right::Value(v) = &right
        {
            self.learn(&left, v);
            if let Kind::Words(_, Needs::Connection(v6)) = left.kind {
                let network = if v6 { Header::Ip6 } else { Header::Ip };
                self.imply_header(network, "");
            }
        }
        self.steps.push(Step::Match(Match { left, op, right }));
        Some(())
    }

    fn order(&self, left: &Ex<'_>, lo: &[u8], hi: &[u8]) -> Option<bool> {
        let host = reads(left).ty.host;
        Some(value::number(lo, host)? <= value::number(hi, host)?)
    }

    /// What a match that holds tells of headers. Its place is where the next step goes.
    fn learn(&mut self, left: &Ex<'_>, v: &[u8]) {
        let here = Some(self.steps.len());
        let Some(n) = value::number(v, reads(left).ty.host) else {
            return;
        };
        let network = |n| match n {
            0x0800 => Some(Header::Ip),
            0x86dd => Some(Header::Ip6),
            0x0806 => Some(Header::Arp),
            _ => None,
        };
        match &left.kind {
            Kind::Meta(8, _) if n == 1 => {
                self.protocols.link = true;
                self.deps.link = here;
            }
            Kind::Meta(1, _) => {
                self.protocols.network = network(n);
                if n == 0x8100 {
                    self.protocols.vlan = 1;
                    self.deps.vlan = here;
                } else {
                    self.deps.network = here;
                }
            }
            Kind::Meta(15, _) => {
                self.protocols.network = match n {
                    2 => Some(Header::Ip),
                    10 => Some(Header::Ip6),
                    3 => Some(Header::Arp),
                    _ => None,
                };
                self.deps.network = here;
            }
            Kind::Meta(16, _) => {
                let number = u8::try_from(n).ok();
                let implied = match (number, self.protocols.network) {
                    (_, Some(Header::Ip)) if self.env.family == 2 => true,
                    (_, Some(Header::Ip6)) if self.env.family == 10 => true,
                    (Some(1), Some(Header::Ip)) | (Some(58), Some(Header::Ip6)) => {
                        many(self.env.family)
                    }
                    _ => false,
                };
                let place = self.deps.network;
                let frames = matches!(self.env.family, 5 | 7);
                if implied && (frames || self.told_by_meta(place) || self.asks_for_frames(place)) {
                    drop_step(&mut self.steps, self.deps.network.take());
                }
                self.protocols.transport = number;
                self.deps.transport = here;
            }
            // Source address and ether type at once.
            Kind::Raw {
                base: LINK,
                offset,
                len,
            } if offset.checked_add(*len) == Some(112) && *len > 16 => {
                self.protocols.network = network(n & 0xffff);
            }
            Kind::Field(f) => match f.names {
                ("ip", "protocol") | ("ip6", "nexthdr") => {
                    self.protocols.transport = u8::try_from(n).ok();
                    self.deps.transport = here;
                }
                ("ether" | "vlan", "type") => {
                    if matches!(n, 0x8100 | 0x88a8) {
                        self.protocols.vlan += 1;
                        // One tag is what `vlan id` asks for; with others it is not told.
                        let plain = n == 0x8100 && f.header == Header::Ether;
                        self.deps.vlan = here.filter(|_| plain);
                    } else {
                        self.protocols.network = network(n);
                        self.deps.network = here;
                    }
                }
                ("icmp" | "icmpv6", "type") => {
                    self.protocols.icmp = u8::try_from(n).ok();
                    self.deps.icmp = here;
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn told_by_meta(&self, place: Option<usize>) -> bool {
        let step = place.and_then(|at| self.steps.get(at));
        matches!(step, Some(Step::Match(m)) if matches!(m.left.kind, Kind::Meta(..)))
    }

    /// Whether a match before tells the transport protocol, and does no more than that (`payload_may_dependency_kill`).
    pub fn told_apart(&self) -> bool {
        let step = self.deps.transport.and_then(|at| self.steps.get(at));
        match step {
            Some(Step::Match(m)) => {
                !many(self.env.family) || !matches!(m.left.kind, Kind::Field(_))
            }
            _ => false,
        }
    }

    /// Whether a match other than the one at this place looks at the frame.
    fn asks_for_frames(&self, but: Option<usize>) -> bool {
        let ether = |ex: &Ex<'_>| matches!(&ex.kind, Kind::Field(f) if f.header == Header::Ether);
        let looks = |step: &Step<'_>| match step {
            Step::Match(m) => match &inner(&m.left).kind {
                Kind::Concat(all) => all.iter().any(ether),
                Kind::Binary(_, left, _) => ether(left),
                _ => ether(&m.left),
            },
            Step::Words(text) => text.contains("ether "),
            Step::Gone => false,
        };
        let mut steps = self.steps.iter().enumerate();
        steps.any(|(i, step)| Some(i) != but && looks(step))
    }

    /// Leaves out the matches that an expression implies (`payload_dependency_kill` in nftables `src/payload.c`).
    pub fn imply(&mut self, ex: &Ex<'a>) {
        match &ex.kind {
            Kind::Field(f) => self.imply_header(f.header, f.names.1),
            Kind::Words(_, Needs::Tcp) => self.imply_header(Header::Tcp, ""),
            Kind::Words(_, Needs::Ip6) => self.imply_header(Header::Ip6, ""),
            Kind::Words(_, Needs::Ip) => self.imply_header(Header::Ip, ""),
            Kind::Words(_, Needs::Transport(132)) => self.imply_header(Header::Sctp, ""),
            Kind::Words(_, Needs::Transport(33)) => self.imply_header(Header::Dccp, ""),
            _ => {}
        }
    }

    fn imply_header(&mut self, header: Header, field: &str) {
        match header {
            Header::Ether => drop_step(&mut self.steps, self.deps.link.take()),
            Header::Vlan if field != "type" => {
                drop_step(&mut self.steps, self.deps.link.take());
                drop_step(&mut self.steps, self.deps.vlan.take());
            }
            Header::Ip | Header::Ip6 | Header::Arp => {
                // Frames alone have an ether type: it says more than the header behind it where packets come from elsewhere too,
                // unless something else of the frame is asked for.
                let frames = matches!(self.env.family, 5 | 7);
                if self.protocols.network == Some(header)
                    && (frames
                        || self.told_by_meta(self.deps.network)
                        || self.asks_for_frames(self.deps.network))
                {
                    drop_step(&mut self.steps, self.deps.network.take());
                }
            }
            Header::Vlan | Header::Th => {}
            transport => {
                if self.protocols.transport != transport.proto() {
                    return;
                }
                if matches!(field, "mtu" | "gateway" | "max-delay" | "parameter-problem") {
                    drop_step(&mut self.steps, self.deps.icmp.take());
                }
                // `ip6 nexthdr` is not the transport protocol where extension headers stand between; `ip protocol` says that it is IPv4.
                let step = self.deps.transport.and_then(|at| self.steps.get(at));
                let implied = match step {
                    Some(Step::Match(m)) => match &m.left.kind {
                        Kind::Meta(..) => true,
                        Kind::Field(f) => f.header == Header::Ip && self.env.family == 2,
                        _ => false,
                    },
                    _ => false,
                };
                if implied {
                    drop_step(&mut self.steps, self.deps.transport.take());
                }
            }
        }
    }
}

impl Lift<'_> {
    /// An answer by TCP is one to TCP.
    pub fn imply_tcp(&mut self) {
        self.imply_header(Header::Tcp, "");
    }

    /// A step that only packets of this family get through implies it.
    pub fn imply_network(&mut self, header: Header) {
        self.imply_header(header, "");
    }
}

/// All values of so many bits that begin with these, with so many missing.
fn beginning<'a>(value: &[u8], missing: u32, bits: u32) -> Option<Right<'a>> {
    let from = value::number(value, false)?.checked_shl(missing)?;
    let to = from | 1u128.checked_shl(missing)?.wrapping_sub(1);
    Some(Right::Range(
        bytes(from, bits).into(),
        bytes(to, bits).into(),
    ))
}

fn drop_step(steps: &mut [Step<'_>], place: Option<usize>) {
    if let Some(step) = place.and_then(|at| steps.get_mut(at)) {
        *step = Step::Gone;
    }
}

/// So many bits from one on, as bytes whose last bit is the last one.
fn slice(v: &[u8], at: u32, len: u32) -> Vec<u8> {
    let bit = |i: u32| {
        let byte = usize::try_from(i / 8).ok().and_then(|at| v.get(at));
        byte.is_some_and(|b| b >> (7 - i % 8) & 1 == 1)
    };
    let mut n = 0u128;
    for i in at..at.saturating_add(len.min(128)) {
        n = n << 1 | u128::from(bit(i));
    }
    bytes(n, len)
}

/// A number as bytes, in network order.
fn bytes(n: u128, bits: u32) -> Vec<u8> {
    let len = usize::try_from(bits.div_ceil(8)).unwrap_or(16).min(16);
    let all = n.to_be_bytes();
    all.get(16 - len..).unwrap_or_default().to_vec()
}

/// A value that is what stands at a place of the packet, masked and with bits turned: mask and turned bits.
pub(super) fn affine(value: &Ex<'_>, base: u8, offset: u32) -> Option<(Vec<u8>, Vec<u8>)> {
    match &value.kind {
        Kind::Payload { base: b, offset: o } if (*b, *o) == (base, offset) => {
            let len = usize::try_from(value.bits / 8).ok()?;
            (len <= 64).then(|| (vec![0xff; len], vec![0; len]))
        }
        Kind::Binary(op, left, right) => {
            let (mut mask, mut xor) = affine(left, base, offset)?;
            for ((m, x), b) in mask.iter_mut().zip(&mut xor).zip(right.bytes()?) {
                match op {
                    Op::And => {
                        *m &= b;
                        *x &= b;
                    }
                    Op::Or => {
                        *m &= !b;
                        *x |= b;
                    }
                    Op::Xor => *x ^= b,
                    Op::Shl | Op::Shr => return None,
                }
            }
            Some((mask, xor))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_bytes() {
        assert_eq!(slice(&[0x45, 0xb8], 4, 4), vec![5]);
        assert_eq!(slice(&[0x45, 0xb8], 8, 6), vec![0x2e]);
        assert_eq!(slice(&[1, 2, 3, 4], 8, 16), vec![2, 3]);
        assert_eq!(slice(&[], 0, 8), vec![0]);
    }
}
