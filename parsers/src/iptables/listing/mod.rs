//! `iptables -L` listings: lossy columns back to rules.
//!
//! A listing shows less than iptables-save: no table names, no quotes, no `-m` before a match, and interfaces only with `-v`. What it
//! shows is read back into the same records; [`parse_listing_rule`] says what is lost.

mod cursor;
mod extras;
mod index;
mod kept;
mod matches;
mod names;
mod proceeding;
mod protocols;
mod rare;
mod rebuilt;
mod row;
mod targets;

pub use index::index;
pub use row::parse_listing_rule;
