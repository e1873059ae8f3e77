//! `ip addr`, `ip -d link`, `ip route`, `ip rule`, `ip neigh`, `ip nexthop` as text and as `-j` JSON, and `route -n`.
//!
//! Text and JSON of the same thing give equal records but for `line` and `span`.

pub mod link;
pub mod neigh;
pub mod nexthop;
pub mod route;
pub mod rule;

use crate::common::Text;

/// A routing table as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TableRef<'a> {
    /// By number; `local` is 255, `main` 254, `default` 253.
    Id(u32),
    /// A name from rt_tables whose number the text does not tell.
    Name(Text<'a>),
}

impl TableRef<'_> {
    /// `local`.
    pub const LOCAL: Self = TableRef::Id(255);
    /// `main`.
    pub const MAIN: Self = TableRef::Id(254);
    /// `default`.
    pub const DEFAULT: Self = TableRef::Id(253);
}

/// Scope of an address or route, as `RT_SCOPE_*`: global 0, site 200, link 253, host 254, nowhere 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub u8);

impl Scope {
    /// Everywhere.
    pub const GLOBAL: Self = Self(0);
    /// Within the site.
    pub const SITE: Self = Self(200);
    /// On the link.
    pub const LINK: Self = Self(253);
    /// On this host.
    pub const HOST: Self = Self(254);
    /// Nowhere.
    pub const NOWHERE: Self = Self(255);
}
