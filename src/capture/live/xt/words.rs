//! Words of a rule, each with the blank before it.

use super::SetNames;
use nfwhy_parsers::{Family, Proto};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Appends words to a rule.
#[derive(Debug)]
pub(in crate::capture::live) struct Words<'o> {
    pub(in crate::capture::live) out: &'o mut String,
    pub(super) family: Family,
    pub(super) sets: &'o SetNames,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl<'o> Words<'o> {
    pub(super) fn new(out: &'o mut String, family: Family, sets: &'o SetNames) -> Self {
        Self { out, family, sets }
    }

    pub(super) fn is_v6(&self) -> bool {
        self.family == Family::V6
    }

    /// ` text`, as it is.
    #[inline]
    pub(in crate::capture::live) fn raw(&mut self, text: &str) {
        self.out.push(' ');
        self.out.push_str(text);
    }

    /// A name, which iptables prints as it is; in quotes where it would not read back as one word.
    pub(in crate::capture::live) fn word(&mut self, text: &str) {
        let splits = |b: u8| b.is_ascii_whitespace() || b == b'"';
        if text.is_empty() || text == "!" || text.bytes().any(splits) {
            self.in_quotes(text);
        } else {
            self.raw(text);
        }
    }

    /// A string as `xtables_save_string` (libxtables/xtables.c) prints it.
    #[inline]
    pub(in crate::capture::live) fn quoted(&mut self, text: &str) {
        let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !text.is_empty() && text.bytes().all(bare) {
            self.raw(text);
        } else {
            self.in_quotes(text);
        }
    }

    fn in_quotes(&mut self, text: &str) {
        self.out.push_str(" \"");
        if text.bytes().any(|b| b == b'"' || b == b'\\' || b == b'\'') {
            for c in text.chars() {
                if matches!(c, '"' | '\\' | '\'') {
                    self.out.push('\\');
                }
                self.out.push(c);
            }
        } else {
            self.out.push_str(text);
        }
        self.out.push('"');
    }

    /// ` --name`, or ` ! --name`.
    #[inline]
    pub(in crate::capture::live) fn option(&mut self, not: bool, name: &str) {
        if not {
            self.out.push_str(" !");
        }
        self.raw(name);
    }

    /// ` --name` if `on`.
    #[inline]
    pub(super) fn switch(&mut self, on: bool, name: &str) {
        if on {
            self.raw(name);
        }
    }

    /// A decimal number.
    #[inline]
    pub(in crate::capture::live) fn num(&mut self, n: impl Into<u64>) {
        self.out.push(' ');
        dec(self.out, n.into());
    }

    /// ` --name 5`, or ` ! --name 5`.
    #[inline]
    pub(in crate::capture::live) fn value(&mut self, not: bool, name: &str, n: impl Into<u64>) {
        self.option(not, name);
        self.num(n);
    }

    /// ` 5`, or ` 5:9`.
    #[inline]
    pub(in crate::capture::live) fn range(
        &mut self,
        lo: impl Into<u64>,
        hi: impl Into<u64>,
        between: char,
    ) {
        let (lo, hi) = (lo.into(), hi.into());
        self.num(lo);
        if lo != hi {
            self.out.push(between);
            dec(self.out, hi);
        }
    }

    /// A number as `0x1f`.
    #[inline]
    pub(super) fn hex(&mut self, n: u32) {
        self.out.push_str(" 0x");
        hex(self.out, n);
    }

    /// The same without a blank.
    pub(super) fn plain_hex(&mut self, n: u32) {
        self.out.push_str("0x");
        hex(self.out, n);
    }

    /// A protocol by the name that iptables knows it by, or its number.
    #[inline]
    pub(in crate::capture::live) fn protocol(&mut self, proto: Proto) {
        match proto.name() {
            Some(name) => self.raw(name),
            None => self.num(proto.0),
        }
    }

    /// ` 0x1f/0xff`.
    #[inline]
    pub(in crate::capture::live) fn hex_masked(&mut self, value: u32, mask: u32) {
        self.hex(value);
        self.out.push_str("/0x");
        hex(self.out, mask);
    }

    /// The mask is left out where all bits count (`xtables_print_mark_mask`).
    #[inline]
    pub(in crate::capture::live) fn mark(&mut self, value: u32, mask: u32) {
        if mask == u32::MAX {
            self.hex(value);
        } else {
            self.hex_masked(value, mask);
        }
    }

    /// Formatted, with a blank before it.
    pub(super) fn formatted(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.push(' ');
        let _ = self.out.write_fmt(text);
    }

    /// An address at the front of `bytes`, which may hold more than it (`union nf_inet_addr`), without a blank.
    pub(super) fn addr(&mut self, bytes: &[u8]) -> Option<()> {
        match self.family {
            Family::V4 => ipv4(self.out, *bytes.first_chunk()?),
            Family::V6 => ipv6(self.out, bytes.first_chunk()?),
        }
        Some(())
    }

    /// How many ones a mask begins with, and whether these are all: a prefix then.
    fn ones(&self, mask: &[u8]) -> Option<(u32, bool)> {
        let (leading, all) = match self.family {
            Family::V4 => {
                let bits = u32::from_be_bytes(*mask.first_chunk()?);
                (bits.leading_ones(), bits.count_ones())
            }
            Family::V6 => {
                let bits = u128::from_be_bytes(*mask.first_chunk()?);
                (bits.leading_ones(), bits.count_ones())
            }
        };
        Some((leading, leading == all))
    }

    /// The length of the prefix that a mask is; nothing for a mask with holes.
    pub(super) fn prefix_len(&self, mask: &[u8]) -> Option<u32> {
        let (len, is_prefix) = self.ones(mask)?;
        is_prefix.then_some(len)
    }

    /// `/24`, or `/255.0.255.0` for a mask with holes.
    pub(super) fn mask(&mut self, mask: &[u8]) -> Option<()> {
        self.out.push('/');
        let (len, is_prefix) = self.ones(mask)?;
        if is_prefix {
            dec(self.out, len.into());
            return Some(());
        }
        self.addr(mask)
    }

    /// ` ADDRESS/MASK`.
    pub(in crate::capture::live) fn net(&mut self, addr: &[u8], mask: &[u8]) -> Option<()> {
        self.out.push(' ');
        self.addr(addr)?;
        self.mask(mask)
    }

    /// The same without the mask of a single address.
    pub(super) fn short_net(&mut self, addr: &[u8], mask: &[u8]) -> Option<()> {
        self.out.push(' ');
        self.addr(addr)?;
        if self.prefix_len(mask) == Some(self.family.bits().into()) {
            return Some(());
        }
        self.mask(mask)
    }

    /// Names of the bits that are set, in the order of the table, separated by commas; `otherwise` where none is.
    pub(super) fn bits(&mut self, set: u32, names: &[(&str, u32)], otherwise: &str) {
        let mut between = ' ';
        for (name, bit) in names {
            if set & bit != 0 {
                self.out.push(between);
                self.out.push_str(name);
                between = ',';
            }
        }
        if between == ' ' {
            self.raw(otherwise);
        }
    }
}

/// Text up to the first NUL.
pub(in crate::capture::live) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default())
}

/// A decimal number without a blank.
#[inline]
pub(in crate::capture::live) fn dec(out: &mut String, mut n: u64) {
    // 2^64 has twenty digits.
    let mut digits = [0u8; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
        used += 1;
        if n == 0 {
            break;
        }
    }
    for digit in digits.iter().skip(digits.len() - used) {
        out.push(char::from(*digit));
    }
}

#[inline]
fn hex(out: &mut String, n: u32) {
    let digits = (32 - n.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let nibble = usize::try_from(n >> (4 * place) & 0xf).unwrap_or(0);
        out.push(HEX.get(nibble).copied().map_or('?', char::from));
    }
}

#[inline]
pub(in crate::capture::live) fn ipv4(out: &mut String, bytes: [u8; 4]) {
    for (i, byte) in bytes.into_iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        dec(out, byte.into());
    }
}

/// As glibc's `inet_ntop` prints it, which has a dotted form for `::1.2.3.4`.
pub(in crate::capture::live) fn ipv6(out: &mut String, bytes: &[u8; 16]) {
    let addr = Ipv6Addr::from(*bytes);
    let _ = match u32::try_from(addr.to_bits()) {
        Ok(low) if low > 0xffff => write!(out, "::{}", Ipv4Addr::from_bits(low)),
        _ => write!(out, "{addr}"),
    };
}
