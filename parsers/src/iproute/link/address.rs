//! The `inet` and `inet6` lines. Words and their order: `print_addrinfo` and `print_ifa_flags` in iproute2 ip/ipaddress.c.

use super::Address;
use crate::common::{Diagnostic, Family, Span};
use crate::iproute::Scope;
use crate::iproute::words::{Words, number, prefix, scope};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// Flags without a field, in the order of `ifa_flag_data`; those with a field stand among them in [`Address`]'s `Display`.
pub(super) const FLAGS: &[&str] = &[
    "nodad",
    "optimistic",
    "home",
    "permanent",
    "dynamic",
    "mngtmpaddr",
    "noprefixroute",
    "autojoin",
    "stable-privacy",
];

/// An address without flags; the scope is the kernel's default.
pub(super) fn plain<'a>(line: u32, span: Span, local: IpAddr, prefix_len: u8) -> Address<'a> {
    Address {
        line,
        span,
        local,
        peer: None,
        prefix_len,
        broadcast: None,
        scope: default_scope(local),
        secondary: false,
        tentative: false,
        deprecated: false,
        dadfailed: false,
        temporary: false,
        flags: Vec::new(),
        label: None,
        metric: None,
    }
}

/// The scope an address gets where nobody names one: `default_scope` in iproute2 ip/ipaddress.c for IPv4, `ipv6_addr_scope`
/// in the kernel's `net/ipv6/addrconf_core.c` for IPv6.
fn default_scope(addr: IpAddr) -> Scope {
    match addr {
        IpAddr::V4(a) if a.is_loopback() => Scope::HOST,
        IpAddr::V6(a) if a.is_loopback() => Scope::HOST,
        IpAddr::V6(a) if a.is_unicast_link_local() => Scope::LINK,
        _ => Scope::GLOBAL,
    }
}

/// Sets the flag a word names, if it is one that takes no value.
pub(super) fn set_flag<'a>(a: &mut Address<'a>, word: &'a str) -> bool {
    match word {
        "secondary" => a.secondary = true,
        "temporary" => a.temporary = true,
        "tentative" => a.tentative = true,
        "deprecated" => a.deprecated = true,
        "dadfailed" => a.dadfailed = true,
        _ if FLAGS.contains(&word) => a.flags.push(Cow::Borrowed(word)),
        _ => return false,
    }
    true
}

/// `10.0.0.1/24`, or `10.0.0.1 peer 10.0.0.2/32`, with `first` taken from `words`; `None` where it is no address.
pub(super) fn head<'a>(
    line: u32,
    span: Span,
    first: &str,
    words: &mut Words<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Address<'a>> {
    let (local, len) = prefix(first)?;
    let mut a = plain(line, span, local, len);
    if words.eat("peer")
        && let Some((peer, len)) = words.value("peer", diagnostics, prefix)
    {
        a.peer = Some(peer);
        a.prefix_len = len;
    }
    Some(a)
}

/// The line, of which `inet` or `inet6` was taken.
pub(super) fn read<'a>(
    line: u32,
    span: Span,
    words: &mut Words<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Address<'a>> {
    let first = words.next()?;
    let mut a = head(line, span, first, words, diagnostics)?;
    while let Some(key) = words.next() {
        let start = words.word_start();
        match key {
            "brd" => a.broadcast = words.value(key, diagnostics, |w| w.parse().ok()),
            "metric" => a.metric = words.value(key, diagnostics, number),
            "scope" => {
                if let Some(s) = words.value(key, diagnostics, scope) {
                    a.scope = s;
                }
            }
            "any" => {
                words.text(key, diagnostics);
            }
            "flags" | "proto" => {
                words.text(key, diagnostics);
                a.flags
                    .push(Cow::Borrowed(words.slice(start, words.word_end())));
            }
            "..." => {}
            // `ip -o addr` of some versions has the lifetimes here.
            "valid_lft" | "preferred_lft" => {
                words.text(key, diagnostics);
            }
            _ if set_flag(&mut a, key) => {}
            _ => {
                if a.label.is_some() {
                    diagnostics
                        .push(words.warning(format!("`{key}` of this address is not understood")));
                }
                a.label = Some(Cow::Borrowed(key));
            }
        }
    }
    Some(a)
}

/// The line from `inet` on, as `ip addr` prints it, without indentation and blanks at its end.
impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match Family::of(self.local) {
            Family::V4 => "inet",
            Family::V6 => "inet6",
        })?;
        write!(f, " {}", self.local)?;
        if let Some(p) = self.peer {
            write!(f, " peer {p}")?;
        }
        write!(f, "/{}", self.prefix_len)?;
        if let Some(m) = self.metric {
            write!(f, " metric {m}")?;
        }
        if let Some(b) = self.broadcast {
            write!(f, " brd {b}")?;
        }
        write!(f, " scope {}", self.scope)?;
        let flag = |name: &str| self.flags.iter().any(|x| x == name);
        for (on, name) in [
            (self.secondary, "secondary"),
            (self.temporary, "temporary"),
            (flag("nodad"), "nodad"),
            (flag("optimistic"), "optimistic"),
            (self.dadfailed, "dadfailed"),
            (flag("home"), "home"),
            (self.deprecated, "deprecated"),
            (self.tentative, "tentative"),
            (flag("permanent"), "permanent"),
            (flag("dynamic"), "dynamic"),
            (flag("mngtmpaddr"), "mngtmpaddr"),
            (flag("noprefixroute"), "noprefixroute"),
            (flag("autojoin"), "autojoin"),
            (flag("stable-privacy"), "stable-privacy"),
        ] {
            if on {
                write!(f, " {name}")?;
            }
        }
        for other in self.flags.iter().filter(|x| x.contains(' ')) {
            write!(f, " {other}")?;
        }
        if let Some(l) = &self.label {
            write!(f, " {l}")?;
        }
        Ok(())
    }
}
