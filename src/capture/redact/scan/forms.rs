//! The forms in which addresses and MACs are printed, and what stands beside them: lengths, masks, the other end of a range.

use super::{Handler, LONGEST, Scanner, mask_len};
use crate::capture::redact::trie::Shape;
use nfwhy_parsers::recognise::Kind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl<'l, H: Handler> Scanner<'l, '_, H> {
    /// How the address from `i` to `j` stands there, and where its length or mask ends.
    pub(super) fn shape(&self, i: usize, j: usize, ip: IpAddr) -> (Shape, usize) {
        let mut shape = Shape {
            len: self.facts.len,
            fixed: self.facts.fixed,
            range_end: false,
            on_device: self.facts.kind == Some(Kind::Link),
        };
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let mut next = j;
        if self.get(j) == b'/' {
            if let Some((mask, end)) = self.address(j + 1) {
                next = end;
                match mask_len(mask) {
                    Ok(len) => shape.len = Some(len),
                    Err(fixed) => shape.fixed = Some(fixed),
                }
            } else {
                let digits = self.digits(j + 1);
                let len = digits.parse::<u8>().ok().filter(|l| *l <= most);
                if len.is_some() {
                    shape.len = len;
                    next = j + 1 + digits.len();
                }
            }
        } else if self.get(j) == b'"' && self.prev(i, 1) == b'"' {
            shape.len = self.json_len(j + 1).filter(|l| *l <= most).or(shape.len);
        }
        if let (Some(fixed), Some(len)) = (&mut shape.fixed, shape.len) {
            fixed.below = fixed.below.min(len);
            fixed.from = fixed.from.min(len);
        }
        (shape, next)
    }

    fn digits(&self, from: usize) -> &'l str {
        let rest = self.slice(from, (from + 4).min(self.line.len()));
        let len = rest
            .bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(rest.len());
        rest.get(..len).unwrap_or("")
    }

    /// `, "len": 16` behind an address in JSON.
    fn json_len(&self, from: usize) -> Option<u8> {
        let rest = self.line.get(from..)?.trim_start().strip_prefix(',')?;
        let rest = rest.trim_start().strip_prefix('"')?;
        let keys = ["len", "prefixlen", "srclen", "dstlen"];
        let rest = keys
            .iter()
            .find_map(|k| rest.strip_prefix(k)?.strip_prefix('"'))?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let len = rest
            .bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(rest.len());
        rest.get(..len)?.parse().ok()
    }

    /// What `<`, `>`, `<=` or `>=` of nft before the address at `i` makes it the end of.
    pub(super) fn compared(&self, i: usize, ip: IpAddr) -> Option<(IpAddr, IpAddr)> {
        if self.facts.kind != Some(Kind::Nft) {
            return None;
        }
        let near = self.slice(i.saturating_sub(3), i).trim_end();
        let op = if self.prev(i, 1) == b'"' {
            let before = self.slice(0, i - 1).trim_end().strip_suffix(':')?;
            let rest = before.trim_end().strip_suffix("\"right\"")?;
            // The operator stands first in a match, some words before.
            let mut from = rest.len().saturating_sub(400);
            while !rest.is_char_boundary(from) {
                from += 1;
            }
            let rest = rest.get(from..)?;
            let at = rest.rfind("\"op\"")?;
            rest.get(at + 4..)?.trim_start_matches([':', ' ', '"'])
        } else {
            near.trim_start_matches(|c| !matches!(c, '<' | '>'))
        };
        let (least, most) = match ip {
            IpAddr::V4(_) => (
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V4(Ipv4Addr::BROADCAST),
            ),
            IpAddr::V6(_) => (
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)),
            ),
        };
        match (op.as_bytes().first()?, op.as_bytes().get(1)) {
            (b'<', Some(b'=')) => Some((least, ip)),
            (b'>', Some(b'=')) | (b'<', _) => Some((ip, most)),
            (b'>', _) => Some((least, ip)),
            _ => None,
        }
    }

    /// The other end of the range whose first end stands from `i` to `j`.
    pub(super) fn range_end(&self, i: usize, j: usize) -> Option<(IpAddr, usize)> {
        if self.get(j) == b'-' {
            return self.address(j + 1).map(|(a, _)| (a, j + 1));
        }
        if self.get(j) != b'"' || self.prev(i, 1) != b'"' {
            return None;
        }
        let before = self.slice(i.saturating_sub(24), i - 1).trim_end();
        let before = before.strip_suffix('[')?.trim_end().strip_suffix(':')?;
        before.trim_end().strip_suffix("\"range\"")?;
        let rest = self.line.get(j + 1..)?;
        let at = rest.find('"')?;
        let comma = rest.get(..at)?.trim();
        let at = j + 1 + at + 1;
        (comma == ",").then(|| self.address(at).map(|(a, _)| (a, at)))?
    }

    pub(super) fn hexadecimal(&self, i: usize) -> Option<Ipv4Addr> {
        let text = self.line.get(i..i + 13)?;
        let (ip, port) = text.split_once(':')?;
        let all = ip.len() == 8 && text.bytes().all(|b| b == b':' || b.is_ascii_hexdigit());
        let apart =
            !self.prev(i, 1).is_ascii_alphanumeric() && !self.get(i + 13).is_ascii_alphanumeric();
        if !all || !apart || port.contains(':') || self.prev(i, 1) == b':' {
            return None;
        }
        u32::from_str_radix(ip, 16).ok().map(Ipv4Addr::from_bits)
    }

    /// Where the run of hexadecimal digits, colons and stops from `i` ends.
    fn run(&self, i: usize) -> usize {
        let mut j = i;
        while j < self.line.len()
            && j - i < LONGEST
            && (self.get(j).is_ascii_hexdigit() || matches!(self.get(j), b':' | b'.'))
        {
            j += 1;
        }
        j
    }

    pub(super) fn mac(&self, i: usize) -> Option<usize> {
        let p = self.prev(i, 1);
        if p.is_ascii_alphanumeric() || p == b'.' {
            return None;
        }
        let mut j = self.run(i);
        while j > i && matches!(self.prev(j, 1), b':' | b'.') {
            j -= 1;
        }
        let text = self.slice(i, j);
        // A bridge's identifier is `PRIORITY.MAC`, its bytes without leading zeros.
        let (mac, short) = match text.split_once('.') {
            Some((priority, mac)) if priority.len() == 4 => (mac, true),
            Some(_) => return None,
            None => (text, false),
        };
        let mut count = 0;
        for group in mac.split(':') {
            count += 1;
            if group.is_empty() || group.len() > 2 || !short && group.len() != 2 {
                return None;
            }
        }
        let right = self.get(j);
        let apart = !(right.is_ascii_alphanumeric() || right == b'_');
        ((6..=20).contains(&count) && apart && (!short || count == 6)).then_some(j)
    }

    pub(super) fn address(&self, i: usize) -> Option<(IpAddr, usize)> {
        if let Some((a, j)) = self.v4(i) {
            return Some((IpAddr::V4(a), j));
        }
        let p = self.prev(i, 1);
        if p.is_ascii_alphanumeric() || p == b'.' || p == b'_' {
            return None;
        }
        let end = self.run(i);
        let right = self.get(end);
        if right.is_ascii_alphanumeric() || right == b'_' || !right.is_ascii() {
            return None;
        }
        let mut j = end;
        for _ in 0..3 {
            let text = self.slice(i, j);
            if text.len() < 2 || !text.contains(':') {
                return None;
            }
            if let Ok(a) = text.parse::<Ipv6Addr>() {
                return Some((IpAddr::V6(a), j));
            }
            if self.facts.kind == Some(Kind::Tcpdump)
                && let Some((a, port)) = text.rsplit_once('.')
                && let Ok(ip) = a.parse::<Ipv6Addr>()
            {
                return Some((IpAddr::V6(ip), j - port.len() - 1));
            }
            if !matches!(self.prev(j, 1), b':' | b'.') {
                return None;
            }
            j -= 1;
        }
        None
    }

    pub(super) fn v4(&self, i: usize) -> Option<(Ipv4Addr, usize)> {
        let p = self.prev(i, 1);
        if p.is_ascii_alphanumeric() || p == b'.' && self.prev(i, 2).is_ascii_digit() {
            return None;
        }
        let mut j = i;
        let mut octets = [0u8; 4];
        for (n, octet) in octets.iter_mut().enumerate() {
            if n > 0 {
                if self.get(j) != b'.' {
                    return None;
                }
                j += 1;
            }
            let digits = self.digits(j);
            *octet = digits.parse().ok()?;
            j += digits.len();
        }
        let right = self.get(j);
        // tcpdump joins the port by a stop.
        let joined = self.facts.kind == Some(Kind::Tcpdump);
        let more = right.is_ascii_alphanumeric()
            || right == b'.' && self.get(j + 1).is_ascii_digit() && !joined
            || !right.is_ascii();
        (!more).then_some((Ipv4Addr::from(octets), j))
    }
}
