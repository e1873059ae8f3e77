//! The options of iptables itself: chain, counters, addresses, devices, protocol.

use super::cursor::{Fault, Kind};
use super::{Reader, matching};
use crate::common::{Family, Neg, Proto, Text};
use crate::iptables::lex::Token;
use crate::iptables::value::{masked, number, whole};

impl<'a> Reader<'a> {
    /// `[packets:bytes]` and `-A CHAIN`, each if it is there.
    pub(super) fn head(&mut self) -> Result<(), Fault> {
        if let Some(token) = self.at.lex.peek()
            && token.raw.starts_with('[')
        {
            self.rule.counters = counters(token.raw);
            if self.rule.counters.is_none() {
                return Err(Fault::at(&token, Kind::Value("[packets:bytes]")));
            }
            self.at.lex.next();
        }
        if let Some(token) = self.at.lex.peek()
            && matches!(token.raw, "-A" | "--append")
        {
            self.at.lex.next();
            self.at.option = token;
            let chain = self.at.argument()?;
            if chain.raw.is_empty() || chain.raw.starts_with('-') {
                return Err(Fault::at(&chain, Kind::Value("the name of a chain")));
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn address(&mut self, source: bool) -> Result<(), Fault> {
        let option = self.at.option;
        let word = self.at.argument()?;
        let Some(value) = whole(masked, word.raw) else {
            return Err(Fault::at(&word, Kind::Value(matching::ADDRESS)));
        };
        if Family::of(value.addr) != self.at.family {
            let help = match self.at.family {
                Family::V4 => "an IPv6 address in an IPv4 rule set: is it ip6tables-save output?",
                Family::V6 => "an IPv4 address in an IPv6 rule set: is it iptables-save output?",
            };
            return Err(Fault::at(
                &word,
                Kind::Other("is of the other address family", help),
            ));
        }
        let value = Neg {
            not: self.at.not,
            value,
        };
        let slot = if source {
            &mut self.rule.src
        } else {
            &mut self.rule.dst
        };
        Self::once(slot, value, &option)
    }

    fn once<T>(slot: &mut Option<T>, value: T, option: &Token<'_>) -> Result<(), Fault> {
        if slot.is_some() {
            return Err(Fault::at(
                option,
                Kind::Other("is given twice", "put each rule on a line of its own"),
            ));
        }
        *slot = Some(value);
        Ok(())
    }

    pub(super) fn device(&mut self, input: bool) -> Result<(), Fault> {
        let option = self.at.option;
        let value: Text<'a> = self.at.text()?;
        let value = Neg {
            not: self.at.not,
            value,
        };
        let slot = if input {
            &mut self.rule.iif
        } else {
            &mut self.rule.oif
        };
        Self::once(slot, value, &option)
    }

    pub(super) fn protocol(&mut self) -> Result<(), Fault> {
        let option = self.at.option;
        let value = self.at.neg("a protocol", |s| match s {
            "all" => Some(Proto(0)),
            _ => Proto::parse(s),
        })?;
        // Protocol 0 stands for all of them (ip_packet_match in net/ipv4/netfilter/ip_tables.c).
        if value.value == Proto(0) {
            return Ok(());
        }
        Self::once(&mut self.rule.proto, value, &option)
    }

    /// `-c packets bytes`, which `-v -S` prints.
    pub(super) fn set_counters(&mut self) -> Result<(), Fault> {
        let packets = self.at.value("a number", |s| whole(number, s))?;
        let bytes = self.at.value("a number", |s| whole(number, s))?;
        self.rule.counters = Some((packets, bytes));
        Ok(())
    }
}

/// `[packets:bytes]`.
pub(in crate::iptables) fn counters(text: &str) -> Option<(u64, u64)> {
    let (packets, bytes) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some((packets.parse().ok()?, bytes.parse().ok()?))
}
