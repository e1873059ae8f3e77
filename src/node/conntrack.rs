//! Flows the kernel already knows.

use super::Origin;
use nfwhy_parsers::Proto;
use std::net::IpAddr;

/// A direction's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CtTuple {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Source port, or ICMP id.
    pub sport: Option<u16>,
    /// Destination port; ICMP type and code.
    pub dport: Option<u16>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq)]
pub struct CtEntry {
    /// Protocol.
    pub proto: Proto,
    /// Original direction.
    pub orig: CtTuple,
    /// Reply direction.
    pub reply: CtTuple,
    /// A reply was seen.
    pub replied: bool,
    /// `[ASSURED]`.
    pub assured: bool,
    /// Connection mark.
    pub mark: u32,
    /// Zone of the original direction.
    pub zone_orig: u16,
    /// Zone of the reply direction.
    pub zone_reply: u16,
    /// TCP state.
    pub state: Option<String>,
    /// `helper=`.
    pub helper: Option<String>,
    /// Where it was read.
    pub origin: Origin,
}
