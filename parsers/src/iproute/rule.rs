//! `ip rule`.

mod json;
mod print;
mod text;

use super::TableRef;
use super::words::{is_json, own, own_opt};
use crate::common::{Family, MarkMask, Parsed, Proto, Range, Span, Text};
use std::net::IpAddr;

/// One rule of the routing policy database.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRule<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Where an address tells; the text does not say otherwise.
    pub family: Option<Family>,
    /// Priority.
    pub priority: u32,
    /// `not`.
    pub not: bool,
    /// `from`, `None` = all.
    pub from: Option<(IpAddr, u8)>,
    /// `to`, `None` = all.
    pub to: Option<(IpAddr, u8)>,
    /// `iif`.
    pub iif: Option<Text<'a>>,
    /// `oif`.
    pub oif: Option<Text<'a>>,
    /// `fwmark v/m`.
    pub fwmark: Option<MarkMask>,
    /// `tos` / `dsfield`.
    pub tos: Option<u8>,
    /// `ipproto`.
    pub ipproto: Option<Proto>,
    /// `sport`.
    pub sport: Option<Range<u16>>,
    /// `dport`.
    pub dport: Option<Range<u16>>,
    /// `uidrange`.
    pub uidrange: Option<Range<u32>>,
    /// `l3mdev`: lookup in the VRF's table.
    pub l3mdev: bool,
    /// `suppress_prefixlength`.
    pub suppress_prefixlength: Option<u32>,
    /// `suppress_ifgroup`.
    pub suppress_ifgroup: Option<Text<'a>>,
    /// What it does.
    pub action: Action<'a>,
    /// Everything else as written: `proto`, `realms`, `tun_id`, `iif [detached]`, `[unresolved]`, ...
    pub rest: Option<Text<'a>>,
}

/// What a policy rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<'a> {
    /// `lookup TABLE` (also with `l3mdev`, where the table is the VRF's).
    Lookup(TableRef<'a>),
    /// `l3mdev` without a table.
    L3mdev,
    /// `goto PRIORITY`.
    Goto(u32),
    /// `nop`.
    Nop,
    /// `blackhole`.
    Blackhole,
    /// `unreachable`.
    Unreachable,
    /// `prohibit`.
    Prohibit,
    /// Not understood, as written; also where a selector of the rule is not (`tun_id`, `dscp`, ...; see `rest`), so that
    /// nobody takes the rule for one that matches more than it does.
    Other(Text<'a>),
}

impl PolicyRule<'_> {
    fn into_owned(self) -> PolicyRule<'static> {
        PolicyRule {
            line: self.line,
            span: self.span,
            family: self.family,
            priority: self.priority,
            not: self.not,
            from: self.from,
            to: self.to,
            iif: own_opt(self.iif),
            oif: own_opt(self.oif),
            fwmark: self.fwmark,
            tos: self.tos,
            ipproto: self.ipproto,
            sport: self.sport,
            dport: self.dport,
            uidrange: self.uidrange,
            l3mdev: self.l3mdev,
            suppress_prefixlength: self.suppress_prefixlength,
            suppress_ifgroup: own_opt(self.suppress_ifgroup),
            action: match self.action {
                Action::Lookup(t) => Action::Lookup(t.into_owned()),
                Action::L3mdev => Action::L3mdev,
                Action::Goto(n) => Action::Goto(n),
                Action::Nop => Action::Nop,
                Action::Blackhole => Action::Blackhole,
                Action::Unreachable => Action::Unreachable,
                Action::Prohibit => Action::Prohibit,
                Action::Other(t) => Action::Other(own(t)),
            },
            rest: own_opt(self.rest),
        }
    }
}

/// Reads `ip rule` output as text or JSON, with or without `-d`, `-s`, `-N`. Words and their order: `print_rule` in iproute2
/// ip/iprule.c.
pub fn parse(source: &str) -> Parsed<Vec<PolicyRule<'_>>> {
    if is_json(source) {
        json::parse(source)
    } else {
        text::parse(source)
    }
}
