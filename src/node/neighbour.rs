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
