//! Binary captures: pcap and pcapng, read into the packets that [`crate::tcpdump`] reads from text.
//!
//! Own code of a few hundred lines, like the decoding of headers in `frame`: the crates for it bring several more along, none knows
//! `LINUX_SLL2`, and only addresses, ports and what tells packets apart are needed.

mod bytes;
mod frame;
mod ip;

use crate::tcpdump::packet::{Dev, Packet, Time};
use bytes::Bytes;
use std::fmt::Write as _;

/// What a capture holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Packets of IP, each with its number as line; what is within a tunnel stands behind what is around it, with the same number.
    pub packets: Vec<Packet>,
    /// How many packets were read, of IP or not.
    pub count: u32,
    /// What could not be read: the offset in bytes, and why.
    pub problems: Vec<(usize, String)>,
}

/// Whether bytes begin as a capture does.
pub fn is_capture(bytes: &[u8]) -> bool {
    let Some(head) = bytes.get(..4) else {
        return false;
    };
    order(head).is_some()
        || head == SECTION && bytes.get(8..12).is_some_and(|m| m == MAGIC || m == SWAPPED)
}

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const MAGIC: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];
const SWAPPED: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
/// Interfaces of one file.
const INTERFACES: usize = 10_000;
/// Things that cannot be read and are listed.
const PROBLEMS: usize = 20;

/// Big endian, and how many nanoseconds a fraction counts.
fn order(magic: &[u8]) -> Option<(bool, i64)> {
    match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] => Some((true, 1000)),
        [0xd4, 0xc3, 0xb2, 0xa1] => Some((false, 1000)),
        [0xa1, 0xb2, 0x3c, 0x4d] => Some((true, 1)),
        [0x4d, 0x3c, 0xb2, 0xa1] => Some((false, 1)),
        _ => None,
    }
}

/// Reads a capture, of its packets at most so many.
pub fn read(bytes: &[u8], most: u32) -> Capture {
    let mut r = Reader {
        out: Capture::default(),
        most,
    };
    match bytes.get(..4).and_then(order) {
        Some((big, unit)) => r.classic(bytes, big, unit),
        None => r.blocks(bytes),
    }
    r.out
}

/// The packets as lines of `tcpdump`, each at its number, one more line per number that is not of IP.
pub fn as_text(capture: &Capture) -> String {
    let mut out = String::with_capacity(capture.packets.len().saturating_mul(140));
    let mut list = capture.packets.iter().peekable();
    for number in 1..=capture.count {
        let Some(first) = list.next_if(|p| p.line == number) else {
            out.push_str("ARP, or another protocol than IP\n");
            continue;
        };
        let head = crate::tcpdump::packet::Head(first);
        let _ = write!(out, "{head}{first}");
        while let Some(inner) = list.next_if(|p| p.line == number) {
            // What tcpdump says before what is within.
            let _ = write!(out, ": {inner}");
        }
        out.push('\n');
    }
    out
}

/// An interface of pcapng.
#[derive(Clone, Debug)]
struct Interface {
    link: u32,
    name: Option<String>,
    /// Units of time in a second.
    per_second: u64,
}

struct Reader {
    out: Capture,
    most: u32,
}

impl Reader {
    fn problem(&mut self, at: usize, why: &str) {
        if self.out.problems.len() < PROBLEMS {
            self.out.problems.push((at, why.to_owned()));
        }
    }

    /// Whether there is room for one more; says so where there is none.
    fn room(&mut self, at: usize) -> bool {
        if self.out.count < self.most {
            return true;
        }
        let why = format!("only the first {} packets are read", self.most);
        self.problem(at, &why);
        false
    }

    fn packet(
        &mut self,
        at: usize,
        link: u32,
        data: &[u8],
        time: Option<Time>,
        name: Option<&str>,
    ) {
        self.out.count += 1;
        let number = self.out.count;
        match frame::read(link, data) {
            Ok(list) => {
                for mut p in list {
                    p.line = number;
                    p.time = time;
                    if let (Dev::Unknown, Some(n)) = (&p.dev, name) {
                        p.dev = Dev::Name(n.to_owned());
                    }
                    self.out.packets.push(p);
                }
            }
            Err(frame::Unreadable::Link(n)) => {
                let why = format!("link type {n} is not read");
                if !self.out.problems.iter().any(|(_, w)| *w == why) {
                    self.problem(at, &why);
                }
            }
            Err(frame::Unreadable::NotIp) => {}
        }
    }

    /// pcap: a header and records.
    fn classic(&mut self, bytes: &[u8], big: bool, unit: i64) {
        let mut b = Bytes::new(bytes, big);
        let Some(link) = b.skip(20).and_then(|()| b.u32()) else {
            return self.problem(b.at(), "the file ends within its header");
        };
        // The upper bits tell of a frame check sequence.
        let link = link & 0x0fff_ffff;
        while !b.is_empty() {
            let at = b.at();
            if !self.room(at) {
                return;
            }
            let head = (|| Some((b.u32()?, b.u32()?, b.u32()?, b.u32()?)))();
            let Some((seconds, fraction, length, _)) = head else {
                return self.problem(at, "the file ends within a packet's header");
            };
            let Some(data) = usize::try_from(length).ok().and_then(|n| b.take(n)) else {
                return self.problem(
                    at,
                    "the file ends within a packet, or its length is not one",
                );
            };
            let ns = i64::from(seconds)
                .checked_mul(1_000_000_000)
                .and_then(|s| s.checked_add(i64::from(fraction).checked_mul(unit)?));
            let time = ns.map(|ns| Time { dated: true, ns });
            self.packet(at, link, data, time, None);
        }
    }

    /// pcapng: blocks.
    fn blocks(&mut self, bytes: &[u8]) {
        let mut b = Bytes::new(bytes, false);
        let mut interfaces: Vec<Interface> = Vec::new();
        while !b.is_empty() {
            let at = b.at();
            if bytes.get(at..at.saturating_add(4)) == Some(&SECTION) {
                match bytes.get(at.saturating_add(8)..at.saturating_add(12)) {
                    Some(m) if m == MAGIC => b.big = true,
                    Some(m) if m == SWAPPED => b.big = false,
                    _ => return self.problem(at, "a section without its mark"),
                }
                interfaces.clear();
            }
            let Some((kind, length)) = (|| Some((b.u32()?, b.u32()?)))() else {
                return self.problem(at, "the file ends within a block");
            };
            let inner = usize::try_from(length)
                .ok()
                .and_then(|n| n.checked_sub(12))
                .and_then(|n| b.take(n));
            let (Some(inner), Some(())) = (inner, b.skip(4)) else {
                return self.problem(at, "the file ends within a block, or its length is not one");
            };
            let mut i = Bytes::new(inner, b.big);
            match kind {
                1 => {
                    if interfaces.len() >= INTERFACES {
                        return self.problem(at, "more interfaces than any file has");
                    }
                    match interface(&mut i) {
                        Some(found) => interfaces.push(found),
                        None => return self.problem(at, "an interface that is cut"),
                    }
                }
                2 | 3 | 6 => {
                    if !self.room(at) {
                        return;
                    }
                    if self.block(at, kind, &mut i, &interfaces).is_none() {
                        self.out.count += 1;
                        self.problem(at, "a packet that is cut, or of no interface");
                    }
                }
                _ => {}
            }
        }
    }

    /// An enhanced, a simple or an old packet block.
    fn block(
        &mut self,
        at: usize,
        kind: u32,
        i: &mut Bytes<'_>,
        interfaces: &[Interface],
    ) -> Option<()> {
        let of = match kind {
            6 => usize::try_from(i.u32()?).ok()?,
            2 => {
                let of = usize::from(i.u16()?);
                i.skip(2)?;
                of
            }
            _ => 0,
        };
        let interface = interfaces.get(of)?;
        let (time, length) = if kind == 3 {
            let original = usize::try_from(i.u32()?).ok()?;
            (None, original.min(i.left()))
        } else {
            let (high, low) = (i.u32()?, i.u32()?);
            let units = u64::from(high) << 32 | u64::from(low);
            let length = usize::try_from(i.u32()?).ok()?;
            i.skip(4)?;
            let ns = u128::from(units) * 1_000_000_000 / u128::from(interface.per_second.max(1));
            let time = i64::try_from(ns).ok().map(|ns| Time { dated: true, ns });
            (time, length)
        };
        let data = i.take(length)?;
        self.packet(at, interface.link, data, time, interface.name.as_deref());
        Some(())
    }
}

/// An interface description block with its options.
fn interface(i: &mut Bytes<'_>) -> Option<Interface> {
    let link = u32::from(i.u16()?);
    i.skip(6)?;
    let mut found = Interface {
        link,
        name: None,
        per_second: 1_000_000,
    };
    while let (Some(code), Some(length)) = (i.u16(), i.u16()) {
        let length = usize::from(length);
        let Some(value) = i.take(length) else { break };
        i.skip((4 - length % 4) % 4);
        match code {
            0 => break,
            2 => {
                let name = std::str::from_utf8(value).ok().and_then(plain);
                found.name = name.filter(|n| crate::tcpdump::is_device(n));
            }
            9 => {
                let n = u32::from(value.first().copied().unwrap_or(6));
                let power = if n & 0x80 == 0 {
                    10u64.checked_pow(n)
                } else {
                    2u64.checked_pow(n & 0x7f)
                };
                found.per_second = power.unwrap_or(1_000_000);
            }
            _ => {}
        }
    }
    Some(found)
}

/// A name that can stand in a line.
fn plain(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() < 512 && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
