//! Rules back to text, as iptables-save prints them.
//!
//! What 1.8.9 prints, of either backend, comes back byte for byte once it has been parsed. Historic and hand-written forms come back in
//! that form too (`--syn` as `--tcp-flags FIN,SYN,RST,ACK SYN`).

mod matches;
mod targets;

use super::lex::is_blank;
use super::matches::Match;
use super::rule::names::REJECTS;
use super::targets::{RejectWith, Target};
use super::{Policy, Rule};
use crate::common::{Family, MarkMask, Masked, Neg, Range};
use std::fmt::{self, Display, Formatter, Write};
use std::net::{IpAddr, Ipv6Addr};

/// A rule as a line of iptables-save; made by [`Rule::display`].
#[derive(Clone, Copy, Debug)]
pub struct RuleText<'r, 'a> {
    rule: &'r Rule<'a>,
    chain: &'r str,
    family: Family,
    counters: bool,
}

impl<'a> Rule<'a> {
    /// The rule as iptables-save prints it: `-A CHAIN ...`, without a line end.
    ///
    /// A [`Rule::broken`] rule prints what was read of it; its line is in the source. The family is taken from the rule's own
    /// addresses and protocol, and is IPv4 where nothing tells: see [`RuleText::family`].
    pub fn display<'r>(&'r self, chain: &'r str) -> RuleText<'r, 'a> {
        RuleText {
            rule: self,
            chain,
            family: self.family_hint(),
            counters: false,
        }
    }

    fn family_hint(&self) -> Family {
        let v6 = [self.src, self.dst]
            .iter()
            .flatten()
            .any(|m| m.value.addr.is_ipv6())
            || self.matches.iter().any(|m| matches!(m, Match::Icmp6(_)));
        if v6 { Family::V6 } else { Family::V4 }
    }
}

impl RuleText<'_, '_> {
    /// Of this family: `ttl` is called `hl` in IPv6, and an address that is not given is printed as `::`.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// With `[packets:bytes]` in front, as `iptables-save -c` prints it, if the rule has counters.
    #[must_use]
    pub fn counters(mut self) -> Self {
        self.counters = true;
        self
    }
}

impl Display for RuleText<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rule = self.rule;
        if let Some((packets, bytes)) = rule.counters.filter(|_| self.counters) {
            write!(f, "[{packets}:{bytes}] ")?;
        }
        write!(f, "-A {}", self.chain)?;
        specification(f, rule, self.family)
    }
}

/// The rule without `-A CHAIN`: `-s 10.0.0.0/8 -p tcp -j ACCEPT`. The family is the one that [`Rule::display`] finds.
impl Display for Rule<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Each part brings the blank before it, and the first has nothing to stand apart from.
        let mut text = String::new();
        write!(text, "{}", self.display(""))?;
        f.write_str(text.strip_prefix("-A ").unwrap_or(&text).trim_start())
    }
}

/// Everything after the chain, each part with a blank before it.
fn specification(f: &mut Formatter<'_>, rule: &Rule<'_>, family: Family) -> fmt::Result {
    for (option, address) in [("-s", rule.src), ("-d", rule.dst)] {
        if let Some(Neg { not, value }) = address {
            write!(f, "{} {option} {}", Not(not), Net(value))?;
        }
    }
    for (option, device) in [("-i", &rule.iif), ("-o", &rule.oif)] {
        if let Some(Neg { not, value }) = device {
            write!(f, "{} {option} {}", Not(*not), Word(value))?;
        }
    }
    if let Some(Neg { not, value }) = rule.proto {
        write!(f, "{} -p {value}", Not(not))?;
    }
    if let Some(Neg { not, .. }) = rule.fragment {
        write!(f, "{} -f", Not(not))?;
    }
    for m in &rule.matches {
        f.write_char(' ')?;
        matches::write(f, m, family)?;
    }
    if !matches!(rule.target, Target::None) {
        f.write_char(' ')?;
        targets::write(f, &rule.target, family)?;
    }
    Ok(())
}

/// `-m NAME --option ...`; TTL matches in IPv4 spelling.
impl Display for Match<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        matches::write(f, self, Family::V4)
    }
}

/// `-j NAME --option ...`, or nothing for [`Target::None`]; TTL and TPROXY in IPv4 spelling.
impl Display for Target<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        targets::write(f, self, Family::V4)
    }
}

impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
        })
    }
}

impl Display for RejectWith {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = REJECTS.iter().find(|(_, with)| with == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// ` !` where something is negated.
struct Not(bool);

impl Display for Not {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " !" } else { "" })
    }
}

/// A string as `xtables_save_string` (libxtables/xtables.c) writes it: bare where all of it is `[A-Za-z0-9_-]`, else in
/// quotes, with `"`, `\` and `'` escaped.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !self.0.is_empty() && self.0.bytes().all(bare) {
            return f.write_str(self.0);
        }
        write!(f, "{}", InQuotes(self.0))
    }
}

/// A string in quotes, with `"`, `\` and `'` escaped.
struct InQuotes<'a>(&'a str);

impl Display for InQuotes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for part in self.0.split_inclusive(['"', '\\', '\'']) {
            match part.chars().next_back() {
                Some(last @ ('"' | '\\' | '\'')) => {
                    f.write_str(part.get(..part.len() - 1).unwrap_or_default())?;
                    f.write_char('\\')?;
                    f.write_char(last)?;
                }
                _ => f.write_str(part)?,
            }
        }
        f.write_char('"')
    }
}

/// A name, which iptables-save writes as it is. In quotes where it would not read back as one word: iptables takes such a name from
/// a file that has it in quotes, and then saves what it cannot restore.
struct Word<'a>(&'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty()
            && self.0 != "!"
            && !self.0.bytes().any(|b| is_blank(b) || b == b'"');
        if plain {
            return f.write_str(self.0);
        }
        write!(f, "{}", InQuotes(self.0))
    }
}

/// An address as glibc's `inet_ntop` prints it. Rust differs in one thing: it has no dotted form for the deprecated
/// IPv4-compatible addresses (`::1.2.3.4`).
struct Addr(IpAddr);

impl Display for Addr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let IpAddr::V6(v6) = self.0
            && let Some(v4) = compatible(v6)
        {
            return write!(f, "::{v4}");
        }
        write!(f, "{}", self.0)
    }
}

/// The IPv4 address in `::a.b.c.d`, where its first two bytes are not both 0.
fn compatible(v6: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let bits = u32::try_from(v6.to_bits()).ok()?;
    (bits > 0xffff).then(|| std::net::Ipv4Addr::from_bits(bits))
}

/// An address with its mask, which is always printed (`-s 10.0.0.1/32`).
struct Net(Masked);

impl Display for Net {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() {
            Some(len) => write!(f, "{}/{len}", Addr(self.0.addr)),
            None => write!(f, "{}/{}", Addr(self.0.addr), Addr(self.0.mask)),
        }
    }
}

/// An address with its mask unless it is a single address (`--ctorigdst 10.0.0.1`).
struct ShortNet(Masked);

impl Display for ShortNet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == Some(Family::of(self.0.addr).bits()) {
            return write!(f, "{}", Addr(self.0.addr));
        }
        write!(f, "{}", Net(self.0))
    }
}

/// `lo:hi`, or one value.
struct Span<T>(Range<T>);

impl<T: Display + PartialEq> Display for Span<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.lo)?;
        if self.0.lo != self.0.hi {
            write!(f, ":{}", self.0.hi)?;
        }
        Ok(())
    }
}

/// `0x5`, or `0x5/0xf` where some bits do not count.
struct Mark(MarkMask);

impl Display for Mark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0.value)?;
        if self.0.mask != u32::MAX {
            write!(f, "/{:#x}", self.0.mask)?;
        }
        Ok(())
    }
}

/// The names of the bits that are set, in the order of the table; `none` where no bit is.
struct Bits {
    set: u16,
    names: &'static [(&'static str, u16)],
    none: &'static str,
}

impl Display for Bits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut set = self.names.iter().filter(|(_, bit)| self.set & bit != 0);
        let Some((first, _)) = set.next() else {
            return f.write_str(self.none);
        };
        f.write_str(first)?;
        set.try_for_each(|(name, _)| write!(f, ",{name}"))
    }
}
