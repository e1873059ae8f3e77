//! One rule: a program over registers, back to the words that it was made of.
//!
//! What iptables-nft 1.8.0 to 1.8.13 writes without `x_tables` (`nft_ipv4_add`, `nft_ipv6_add`, `add_match` and `add_action` in iptables/) is read
//! here as these versions read it (iptables/nft-ruleparse.c), but for what they leave out.

use super::ports::is_one;
use super::registers::{Loaded, Register, State, be, bitwise, loaded, register};
use crate::capture::live::attr::{Numbers as _, find};
use crate::capture::live::nf_tables::read::{Data, Expression, Rule, counters, data, text};
use crate::capture::live::xt::{self, Decoder, Nflog};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::matches::NATIVE;
use std::borrow::Cow;

/// How many rules iptables has no words for, and how many matches and targets of `x_tables` there were.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) native: usize,
    pub(super) xt: usize,
}

/// Prints rules of one family.
pub(super) struct Lifter<'d, 's> {
    pub(super) family: Family,
    pub(super) decoder: &'d mut Decoder<'s>,
    /// Of the rule at hand.
    pub(super) matches: String,
    target: String,
    /// Whether a rule compares both ports at once and wants neither, and where other rules ask for ports that they do not want.
    joined: bool,
    apart: Vec<(usize, &'static str)>,
    /// The same within `matches`.
    apart_here: Vec<(usize, &'static str)>,
    count: Count,
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
            count: Count::default(),
        }
    }

    /// The rules that were printed so far.
    pub(super) fn rules(&self) -> Count {
        self.count
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
            self.count.native += 1;
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
    pub(super) fn flush(&mut self, s: &mut State<'_>) {
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
                self.count.xt += 1;
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
        self.count.xt += 1;
        let (name, revision, blob) = extension(v)?;
        self.flush(s);
        let from = self.matches.len();
        self.decoder
            .matching(&mut self.matches, &name, revision, blob);
        // Both unwanted, and one port each.
        let one = |at: usize| Some(is_one(blob.u16(at)?, blob.u16(at + 2)?));
        let both = |at: usize| {
            blob.u8(at).is_some_and(|inverted| inverted & 3 == 3)
                && one(0) == Some(true)
                && one(4) == Some(true)
        };
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
