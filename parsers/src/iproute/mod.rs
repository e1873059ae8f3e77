//! `ip addr`, `ip -d link`, `ip route`, `ip rule`, `ip neigh`, `ip nexthop`, `bridge fdb` as text and as `-j` JSON, and `route -n`.
//!
//! Text and JSON of the same thing give equal records but for `line` and `span`, and for the little that only one of the
//! two forms holds: JSON has no `lock` of route metrics and numbers the namespaces that the text names.

pub mod fdb;
mod json;
pub mod link;
pub mod neigh;
pub mod nexthop;
pub mod route;
pub mod rule;
mod words;

use crate::common::Text;
use std::fmt;

/// A routing table as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TableRef<'a> {
    /// By number; `local` is 255, `main` 254, `default` 253.
    Id(u32),
    /// A name from `rt_tables` whose number the text does not tell.
    Name(Text<'a>),
}

impl TableRef<'_> {
    /// `local`.
    pub const LOCAL: Self = TableRef::Id(255);
    /// `main`.
    pub const MAIN: Self = TableRef::Id(254);
    /// `default`.
    pub const DEFAULT: Self = TableRef::Id(253);

    fn into_owned(self) -> TableRef<'static> {
        match self {
            TableRef::Id(n) => TableRef::Id(n),
            TableRef::Name(n) => TableRef::Name(words::own(n)),
        }
    }
}

/// As `ip` prints it: the reserved tables by name, others by number.
impl fmt::Display for TableRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableRef::Id(255) => f.write_str("local"),
            TableRef::Id(254) => f.write_str("main"),
            TableRef::Id(253) => f.write_str("default"),
            TableRef::Id(0) => f.write_str("unspec"),
            TableRef::Id(n) => write!(f, "{n}"),
            TableRef::Name(n) => f.write_str(n),
        }
    }
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

/// As `ip` prints it: by name, or the number.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::GLOBAL => f.write_str("global"),
            Self::SITE => f.write_str("site"),
            Self::LINK => f.write_str("link"),
            Self::HOST => f.write_str("host"),
            Self::NOWHERE => f.write_str("nowhere"),
            Self(n) => write!(f, "{n}"),
        }
    }
}
