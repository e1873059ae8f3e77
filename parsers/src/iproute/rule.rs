//! `ip rule`.

use super::TableRef;
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
    /// Everything else as written.
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
    /// Not understood, as written.
    Other(Text<'a>),
}

/// Reads `ip rule` output as text or JSON.
pub fn parse(source: &str) -> Parsed<Vec<PolicyRule<'_>>> {
    let _ = source;
    Parsed::default()
}
