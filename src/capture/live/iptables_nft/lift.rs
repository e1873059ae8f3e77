//! One rule: a program over registers, back to the words that it was made of.
//!
//! What iptables-nft 1.8.0 to 1.8.13 writes without x_tables (`nft_ipv4_add`, `nft_ipv6_add`, `add_match` and `add_action` in iptables/) is read
//! here as these versions read it (iptables/nft-ruleparse.c), but for what they leave out.

use super::NATIVE;
use super::ports::{Ports, Transport};
use crate::capture::live::attr::{Numbers as _, attrs, find};
use crate::capture::live::nf_tables::read::{Data, Expression, Rule, counters, data, text};
use crate::capture::live::xt::{self, Decoder, Nflog};
use nfwhy_parsers::Family;
use std::borrow::Cow;

/// An address with its mask, of which IPv4 uses the first four bytes.
#[derive(Clone, Copy, Default)]
struct Net {
    not: bool,
    addr: [u8; 16],
    mask: [u8; 16],
}

/// A device's name or the beginning of one.
struct Device<'a> {
    not: bool,
    name: Cow<'a, str>,
    begins: bool,
}

/// What a register was loaded with.
#[derive(Clone, Copy)]
enum Loaded<'a> {
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
struct Register<'a> {
    number: u32,
    loaded: Loaded<'a>,
    /// `& mask ^ xor`
    bitwise: Option<(&'a [u8], &'a [u8])>,
}

/// What is known of the rule so far.
#[derive(Default)]
struct State<'a> {
    src: Option<Net>,
    dst: Option<Net>,
    iif: Option<Device<'a>>,
    oif: Option<Device<'a>>,
    proto: Option<(bool, u8)>,
    fragment: Option<bool>,
    counters: Option<(u64, u64)>,
    registers: Vec<Register<'a>>,
    transport: Option<Transport>,
    /// Something in it has no words.
    native: bool,
}

/// `NFT_CMP_*`
const EQ: u32 = 0;
const NEQ: u32 = 1;
const LT: u32 = 2;
const LTE: u32 = 3;
const GT: u32 = 4;
const GTE: u32 = 5;

/// Prints rules of one family.
pub(super) struct Lifter<'d, 's> {
    family: Family,
    decoder: &'d mut Decoder<'s>,
    /// Of the rule at hand.
    matches: String,
    target: String,
    /// Whether a rule compares both ports at once and wants neither, and where other rules ask for ports that they do not want.
    joined: bool,
    apart: Vec<(usize, &'static str)>,
    /// The same within `matches`.
    apart_here: Vec<(usize, &'static str)>,
    native_rules: usize,
    xt_rules: usize,
}

impl<'d, 's> Lifter<'d, 's> {
    pub(super) fn new(family: Family, decoder: &'d mut Decoder<'s>) -> Self {
        Self {
            family,
            decoder,
            matches: String::new(),
            target: String::new(),
            joined: false,
            apart: Vec::new(),
            apart_here: Vec::new(),
            native_rules: 0,
            xt_rules: 0,
        }
    }

    /// How many rules there were that iptables cannot say, and how many with something of `x_tables`.
    pub(super) fn rules(&self) -> (usize, usize) {
        (self.native_rules, self.xt_rules)
    }

    /// Whether rules that iptables cannot say came since then, and none with something of `x_tables`.
    pub(super) fn since(&self, then: (usize, usize)) -> bool {
        self.native_rules > then.0 && self.xt_rules == then.1
    }

    /// Nothing that was printed from `start` on stays.
    pub(super) fn forget(&mut self, start: usize) {
        self.apart.retain(|(at, _)| *at < start);
    }

    /// Whether a rule compares both ports at once, and where `-m tcp` or `-m udp` is to be put in if text is read as if all did.
    pub(super) fn joins(self) -> (bool, Vec<(usize, &'static str)>) {
        (self.joined, self.apart)
    }

    /// Appends a rule's line.
    pub(super) fn print(&mut self, chain: &str, rule: &Rule<'_>, out: &mut String) {
        self.matches.clear();
        self.target.clear();
        self.apart_here.clear();
        let mut s = State::default();
        for e in rule.expressions() {
            if self.expression(&mut s, &e).is_none() {
                s.native = true;
            }
        }
        self.flush(&mut s);
        if let Some(comment) = comment(rule.userdata) {
            let mut w = self.decoder.words(&mut self.matches);
            w.raw("-m comment --comment");
            w.quoted(&comment);
        }
        if s.native {
            self.native_rules += 1;
            let mut w = self.decoder.words(&mut self.matches);
            w.raw("-m");
            w.raw(NATIVE);
        }
        self.line(chain, &s, out);
    }

    /// In the order of iptables-save: what belongs to no extension stands first.
    fn line(&mut self, chain: &str, s: &State<'_>, out: &mut String) {
        if let Some((packets, bytes)) = s.counters {
            out.push('[');
            xt::dec(out, packets);
            out.push(':');
            xt::dec(out, bytes);
            out.push_str("] ");
        }
        let len = match self.family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        out.push_str("-A");
        let mut w = self.decoder.words(out);
        w.word(chain);
        for (option, net) in [("-s", &s.src), ("-d", &s.dst)] {
            if let Some(net) = net {
                let (addr, mask) = (net.addr.get(..len), net.mask.get(..len));
                let (addr, mask) = (addr.unwrap_or_default(), mask.unwrap_or_default());
                let _ = w.address(net.not, option, addr, mask);
            }
        }
        for (option, device) in [("-i", &s.iif), ("-o", &s.oif)] {
            if let Some(device) = device {
                w.device_named(device.not, option, &device.name, device.begins);
            }
        }
        if let Some((not, proto)) = s.proto {
            w.of_protocol(not, proto.into());
        }
        if let Some(not) = s.fragment {
            w.option(not, "-f");
        }
        let from = out.len();
        let here = self.apart_here.iter();
        self.apart.extend(here.map(|(at, name)| (from + at, *name)));
        out.push_str(&self.matches);
        out.push_str(&self.target);
        out.push('\n');
    }

    /// Ports that were gathered become a match.
    fn flush(&mut self, s: &mut State<'_>) {
        let Some(transport) = s.transport.take() else {
            return;
        };
        self.joined |= transport.joined;
        let mut w = self.decoder.words(&mut self.matches);
        let middle = transport.print(&mut w);
        if let Some(at) = middle {
            self.apart_here.push((at, transport.name()));
        }
    }

    fn expression<'a>(&mut self, s: &mut State<'a>, e: &Expression<'a>) -> Option<()> {
        match e.name {
            b"payload" => Self::load(s, e.data, |v| {
                Some(Loaded::Payload {
                    base: be(v, 2)?,
                    offset: be(v, 3)?,
                    len: be(v, 4)?,
                })
            }),
            b"meta" if find(e.data, 3).is_some() => self.set_meta(s, e.data),
            b"meta" => Self::load(s, e.data, |v| Some(Loaded::Meta(be(v, 2)?))),
            b"bitwise" => bitwise(s, e.data),
            b"cmp" => self.compare(s, e.data),
            b"range" => self.range(s, e.data),
            b"counter" => {
                s.counters = counters(e.data);
                Some(())
            }
            b"immediate" => self.immediate(s, e.data),
            b"match" => self.matching(s, e.data),
            b"target" => {
                self.xt_rules += 1;
                let (name, revision, blob) = extension(e.data)?;
                self.only_target()?;
                self.decoder.target(&mut self.target, &name, revision, blob);
                Some(())
            }
            b"limit" => self.limit(s, e.data),
            b"log" => self.log(e.data),
            _ => {
                // What it may have put into a register is not known.
                s.registers.clear();
                None
            }
        }
    }

    fn load<'a>(
        s: &mut State<'a>,
        v: &'a [u8],
        loaded: impl FnOnce(&'a [u8]) -> Option<Loaded<'a>>,
    ) -> Option<()> {
        let number = register(be(v, 1)?);
        let loaded = loaded(v).unwrap_or(Loaded::Other);
        s.registers.retain(|r| r.number != number);
        s.registers.push(Register {
            number,
            loaded,
            bitwise: None,
        });
        Some(())
    }

    /// A rule has one target.
    fn only_target(&mut self) -> Option<()> {
        let only = self.target.is_empty();
        self.target.clear();
        only.then_some(())
    }

    /// `meta mark set` and `meta nftrace set`.
    fn set_meta(&mut self, s: &mut State<'_>, v: &[u8]) -> Option<()> {
        let from = loaded(s, be(v, 3)?)?;
        match (be(v, 2)?, from.loaded) {
            // NFT_META_NFTRACE
            (12, Loaded::Immediate(value)) if value.u8(0)? != 0 => {
                self.only_target()?;
                self.target.push_str(" -j TRACE");
            }
            // NFT_META_MARK
            (3, Loaded::Immediate(value)) if from.bitwise.is_none() => {
                self.set_mark(value.u32(0)?, u32::MAX)?;
            }
            (3, Loaded::Meta(3)) => {
                let (mask, xor) = from.bitwise?;
                self.set_mark(xor.u32(0)?, !mask.u32(0)?)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn set_mark(&mut self, value: u32, mask: u32) -> Option<()> {
        self.only_target()?;
        let mut w = self.decoder.words(&mut self.target);
        w.raw("-j MARK --set-xmark");
        w.hex_masked(value, mask);
        Some(())
    }

    fn matching<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
        self.xt_rules += 1;
        let (name, revision, blob) = extension(v)?;
        self.flush(s);
        let from = self.matches.len();
        self.decoder
            .matching(&mut self.matches, &name, revision, blob);
        let both = |at: usize| blob.u8(at).is_some_and(|inverted| inverted & 3 == 3);
        let name = match &*name {
            "tcp" if both(11) => " -m tcp",
            "udp" if both(8) => " -m udp",
            _ => return Some(()),
        };
        let text = self.matches.get(from..)?;
        if let Some(at) = text.find(" ! --dport") {
            self.apart_here.push((from + at, name));
        }
        Some(())
    }

    fn immediate<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
        match data(find(v, 2)?)? {
            Data::Value(value) => Self::load(s, v, |_| Some(Loaded::Immediate(value))),
            Data::Verdict { code, chain } => {
                let verb = match code {
                    0 => " -j DROP",
                    1 => " -j ACCEPT",
                    -5 => " -j RETURN",
                    -3 => " -j",
                    -4 => " -g",
                    // Continue: what a rule does by itself.
                    -1 => return Some(()),
                    _ => return None,
                };
                let only = self.only_target();
                self.target.push_str(verb);
                if let (Some(chain), -3 | -4) = (chain, code) {
                    self.decoder.words(&mut self.target).word(&chain);
                }
                only
            }
        }
    }

    /// So many packets in a unit of so many seconds.
    fn limit<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
        let number = |kind| find(v, kind)?.be64(0);
        let (rate, unit) = (number(1)?, number(2)?);
        // Bytes, or more than the limit.
        if be(v, 4).unwrap_or(0) != 0 || be(v, 5).unwrap_or(0) != 0 {
            return None;
        }
        let average = unit.checked_mul(10_000)?.checked_div(rate)?;
        self.flush(s);
        let mut w = self.decoder.words(&mut self.matches);
        w.raw("-m limit");
        xt::limited(&mut w, average, be(v, 3)?);
        Some(())
    }

    /// With a group it is `NFLOG`; without one it is a log of nft's, which has levels and flags.
    fn log(&mut self, v: &[u8]) -> Option<()> {
        let short = |kind| find(v, kind)?.be16(0);
        let snaplen = be(v, 3);
        let nflog = Nflog {
            prefix: find(v, 2).map(text).unwrap_or_default(),
            group: short(1)?,
            len: (snaplen.unwrap_or(0), snaplen.is_some()),
            threshold: short(4).unwrap_or(0),
        };
        self.only_target()?;
        let mut w = self.decoder.words(&mut self.target);
        w.raw("-j NFLOG");
        nflog.print(&mut w);
        Some(())
    }

    fn range<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
        let from = loaded(s, be(v, 1)?)?;
        let not = match be(v, 2)? {
            EQ => false,
            NEQ => true,
            _ => return None,
        };
        let (lo, hi) = (value(v, 3)?.be16(0)?, value(v, 4)?.be16(0)?);
        match (from.loaded, from.bitwise) {
            (
                Loaded::Payload {
                    base: 2,
                    offset: at @ (0 | 2),
                    len: 2,
                },
                None,
            ) => self.port(s, at == 0, Ports { not, lo, hi }),
            _ => None,
        }
    }

    fn compare<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
        let from = loaded(s, be(v, 1)?)?;
        let (op, value) = (be(v, 2)?, value(v, 3)?);
        match from.loaded {
            Loaded::Meta(key) => self.compare_meta(s, key, from.bitwise, op, value),
            Loaded::Payload {
                base: 1,
                offset,
                len,
            } => self.compare_header(s, (offset, len), from.bitwise, op, value),
            Loaded::Payload {
                base: 2,
                offset,
                len,
            } => self.compare_transport(s, (offset, len), from.bitwise, op, value),
            _ => None,
        }
    }

    fn compare_meta<'a>(
        &mut self,
        s: &mut State<'a>,
        key: u32,
        bitwise: Option<(&[u8], &[u8])>,
        op: u32,
        value: &'a [u8],
    ) -> Option<()> {
        let not = inverted(op)?;
        match key {
            // NFT_META_MARK
            3 => {
                let mask = match bitwise {
                    Some((mask, xor)) if zero(xor) => mask.u32(0)?,
                    Some(_) => return None,
                    None => u32::MAX,
                };
                self.flush(s);
                let mut w = self.decoder.words(&mut self.matches);
                w.raw("-m mark");
                w.option(not, "--mark");
                w.mark(value.u32(0)?, mask);
                Some(())
            }
            _ if bitwise.is_some() => None,
            // NFT_META_IIFNAME, NFT_META_OIFNAME
            6 | 7 => {
                let slot = if key == 6 { &mut s.iif } else { &mut s.oif };
                let only = slot.is_none().then_some(());
                *slot = Some(device(not, value));
                only
            }
            // NFT_META_L4PROTO
            16 => protocol(s, not, value.u8(0)?),
            // NFT_META_PKTTYPE
            19 => {
                let name = match value.u8(0)? {
                    0 => "unicast",
                    1 => "broadcast",
                    2 => "multicast",
                    3 => "otherhost",
                    _ => return None,
                };
                self.flush(s);
                let mut w = self.decoder.words(&mut self.matches);
                w.raw("-m pkttype");
                w.option(not, "--pkt-type");
                w.raw(name);
                Some(())
            }
            _ => None,
        }
    }

    /// Of the IP header.
    fn compare_header<'a>(
        &mut self,
        s: &mut State<'a>,
        (offset, len): (u32, u32),
        bitwise: Option<(&[u8], &[u8])>,
        op: u32,
        value: &[u8],
    ) -> Option<()> {
        match (self.family, offset) {
            (Family::V4, 12) | (Family::V6, 8) => network(&mut s.src, len, bitwise, op, value),
            (Family::V4, 16) | (Family::V6, 24) => network(&mut s.dst, len, bitwise, op, value),
            (Family::V4, 9) | (Family::V6, 6) if bitwise.is_none() && len == 1 => {
                protocol(s, inverted(op)?, value.u8(0)?)
            }
            // The fragment offset, which is not 0 in a later fragment.
            (Family::V4, 6) => {
                let (mask, xor) = bitwise?;
                if mask.be16(0)? != 0x1fff || !zero(xor) || !zero(value) {
                    return None;
                }
                s.fragment = Some(!inverted(op)?);
                Some(())
            }
            (Family::V4, 8) | (Family::V6, 7) if bitwise.is_none() && len == 1 => {
                self.hops(s, op, value.u8(0)?)
            }
            _ => None,
        }
    }

    /// `ttl` and `hl` (`nft_parse_hl`).
    fn hops(&mut self, s: &mut State<'_>, op: u32, hops: u8) -> Option<()> {
        let (mode, hops) = match op {
            EQ => (0, hops),
            NEQ => (1, hops),
            LT => (2, hops),
            LTE => (2, hops.checked_add(1)?),
            GT => (3, hops),
            GTE => (3, hops.checked_sub(1)?),
            _ => return None,
        };
        let name = match self.family {
            Family::V4 => "ttl",
            Family::V6 => "hl",
        };
        self.flush(s);
        self.decoder
            .matching(&mut self.matches, name, 0, &[mode, hops]);
        Some(())
    }

    fn compare_transport<'a>(
        &mut self,
        s: &mut State<'a>,
        (offset, len): (u32, u32),
        bitwise: Option<(&[u8], &[u8])>,
        op: u32,
        value: &[u8],
    ) -> Option<()> {
        match (s.proto?, offset, len) {
            ((false, 6), 13, 1) => {
                let mask = match bitwise {
                    Some((mask, xor)) if zero(xor) => mask.u8(0)?,
                    Some(_) => return None,
                    None => u8::MAX,
                };
                let flags = (inverted(op)?, mask, value.u8(0)?);
                // iptables has no names for the two highest.
                let named = (mask | flags.2) & 0xc0 == 0;
                self.transport(s, |t| t.flags.is_none()).flags = Some(flags);
                named.then_some(())
            }
            (_, ..) if bitwise.is_some() => None,
            ((false, 6 | 17), 0 | 2, 2) => {
                let ports = Ports::compared(op, value.be16(0)?)?;
                self.port(s, offset == 0, ports)
            }
            ((false, 6 | 17), 0, 4) => {
                let not = inverted(op)?;
                let one = |at| Some(Ports::one(not, value.be16(at)?));
                let (sport, dport) = (one(0)?, one(2)?);
                let t = self.transport(s, |t| t.sport.is_none() && t.dport.is_none());
                (t.sport, t.dport, t.joined) = (Some(sport), Some(dport), not);
                Some(())
            }
            ((false, 1), 0, 1 | 2) if self.family == Family::V4 => self.icmp(s, "icmp", op, value),
            ((false, 58), 0, 1 | 2) if self.family == Family::V6 => {
                self.icmp(s, "icmp6", op, value)
            }
            _ => None,
        }
    }

    fn icmp(&mut self, s: &mut State<'_>, name: &str, op: u32, value: &[u8]) -> Option<()> {
        let (kind, not) = (value.u8(0)?, inverted(op)?);
        let (lo, hi) = value.u8(1).map_or((0, u8::MAX), |code| (code, code));
        // 255 is any type.
        if kind == u8::MAX {
            return None;
        }
        self.flush(s);
        let blob = [kind, lo, hi, not.into()];
        self.decoder.matching(&mut self.matches, name, 0, &blob);
        Some(())
    }

    fn port(&mut self, s: &mut State<'_>, source: bool, ports: Ports) -> Option<()> {
        if !matches!(s.proto?, (false, 6 | 17)) {
            return None;
        }
        if source {
            self.transport(s, |t| t.sport.is_none()).sport = Some(ports);
        } else {
            self.transport(s, |t| t.dport.is_none()).dport = Some(ports);
        }
        Some(())
    }

    /// The match of ports that is being gathered; another one if this one has no room.
    fn transport<'t>(
        &mut self,
        s: &'t mut State<'_>,
        has_room: impl FnOnce(&Transport) -> bool,
    ) -> &'t mut Transport {
        if s.transport.as_ref().is_some_and(|t| !has_room(t)) {
            self.flush(s);
        }
        let udp = s.proto == Some((false, 17));
        s.transport.get_or_insert_with(|| Transport::new(udp))
    }
}

/// A 32-bit number in an attribute.
fn be(v: &[u8], kind: u16) -> Option<u32> {
    find(v, kind)?.be32(0)
}

/// A value in an attribute.
fn value(v: &[u8], kind: u16) -> Option<&[u8]> {
    match data(find(v, kind)?)? {
        Data::Value(value) => Some(value),
        Data::Verdict { .. } => None,
    }
}

fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

fn inverted(op: u32) -> Option<bool> {
    match op {
        EQ => Some(false),
        NEQ => Some(true),
        _ => None,
    }
}

/// The four registers of 16 bytes are sixteen of 4 bytes as well (`enum nft_registers`).
fn register(number: u32) -> u32 {
    match number {
        1..=4 => 8 + 4 * (number - 1),
        other => other,
    }
}

fn loaded<'a>(s: &State<'a>, number: u32) -> Option<Register<'a>> {
    let number = register(number);
    s.registers.iter().find(|r| r.number == number).copied()
}

fn bitwise<'a>(s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
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

fn protocol(s: &mut State<'_>, not: bool, number: u8) -> Option<()> {
    let only = s.proto.is_none() && number != 0;
    s.proto = Some((not, number));
    only.then_some(())
}

/// All bytes of the address, its first bytes, or the bits that a mask leaves.
fn network(
    slot: &mut Option<Net>,
    len: u32,
    bitwise: Option<(&[u8], &[u8])>,
    op: u32,
    value: &[u8],
) -> Option<()> {
    let len = usize::try_from(len).ok()?;
    let mut net = Net {
        not: inverted(op)?,
        ..Net::default()
    };
    let only = slot.is_none();
    net.addr.get_mut(..len)?.copy_from_slice(value.get(..len)?);
    let mask = net.mask.get_mut(..len)?;
    match bitwise {
        Some((bits, xor)) if zero(xor) => mask.copy_from_slice(bits.get(..len)?),
        Some(_) => return None,
        None => mask.fill(0xff),
    }
    *slot = Some(net);
    only.then_some(())
}

/// With its NUL it is a whole name.
fn device(not: bool, value: &[u8]) -> Device<'_> {
    let name = text(value);
    let begins = name.len() == value.len();
    // What stands for a device that there is not: `! -i +` (`parse_invalid_iface`).
    if !not && !begins && name == "INVAL/D" {
        return Device {
            not: true,
            name: Cow::Borrowed(""),
            begins: true,
        };
    }
    Device { not, name, begins }
}

/// Name, revision and structure of a match or target of `x_tables` (`NFTA_MATCH_*`, `NFTA_TARGET_*`).
fn extension(v: &[u8]) -> Option<(Cow<'_, str>, u32, &[u8])> {
    Some((text(find(v, 1)?), be(v, 2)?, find(v, 3)?))
}

/// The comment among what a program has written to a rule for itself: pieces of type, length, bytes.
fn comment(mut userdata: &[u8]) -> Option<Cow<'_, str>> {
    loop {
        let (kind, len) = (userdata.u8(0)?, userdata.u8(1)?);
        let rest = userdata.get(2..)?;
        let (piece, rest) = rest.split_at_checked(len.into())?;
        if kind == 0 {
            return Some(text(piece));
        }
        userdata = rest;
    }
}
