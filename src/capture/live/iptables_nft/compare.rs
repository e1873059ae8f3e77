//! Comparisons of what a register was loaded with.

use super::lift::Lifter;
use super::ports::{Ports, Transport};
use super::registers::{Device, Loaded, Net, State, be, loaded, value};
use crate::capture::live::attr::Numbers as _;
use crate::capture::live::nf_tables::read::text;
use nfwhy_parsers::Family;
use std::borrow::Cow;

/// `NFT_CMP_*`
const EQ: u32 = 0;
const NEQ: u32 = 1;
const LT: u32 = 2;
const LTE: u32 = 3;
const GT: u32 = 4;
const GTE: u32 = 5;

impl Lifter<'_, '_> {
    pub(super) fn range<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
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

    pub(super) fn compare<'a>(&mut self, s: &mut State<'a>, v: &'a [u8]) -> Option<()> {
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
    fn compare_header(
        &mut self,
        s: &mut State<'_>,
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

    fn compare_transport(
        &mut self,
        s: &mut State<'_>,
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
            (..) if bitwise.is_some() => None,
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
