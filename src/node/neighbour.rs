//! Neighbours and whom the node answers for.

use super::{DevId, Origin};
use std::net::IpAddr;

/// An entry of `ip neigh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub addr: IpAddr,
    /// The device; `None` where the output does not name it.
    pub dev: Option<DevId>,
    /// Hardware address.
    pub mac: Option<String>,
    /// `REACHABLE`, `FAILED`, ...
    pub state: Option<String>,
    /// An address the node answers for (`ip neigh show proxy`).
    pub proxy: bool,
    /// Where it was read.
    pub origin: Origin,
}

/// An event of a `MetalLB` speaker's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The event.
    pub event: nfwhy_parsers::speaker::Event,
    /// Where it was read.
    pub origin: Origin,
}

/// An answer that `arping` got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArpReply {
    /// The address asked for.
    pub addr: IpAddr,
    /// The hardware address that answered; `None` where nobody did.
    pub mac: Option<String>,
    /// Where it was read.
    pub origin: Origin,
}

/// What was seen of who answers for an address, beside the node's own state.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Events of speakers' logs.
    pub announcements: Vec<Announcement>,
    /// Whether a speaker's log was captured, with events or without.
    pub log: bool,
    /// Logs that are of one speaker of several: where that is said, and of how many.
    pub partial_logs: Vec<(Origin, u32)>,
    /// Answers to `arping`.
    pub replies: Vec<ArpReply>,
}
