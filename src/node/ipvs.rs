//! IPVS services.

use super::Origin;
pub use nfwhy_parsers::ipvs::{Forwarding, VirtualKey};
use std::net::IpAddr;

/// What is known of IPVS.
#[derive(Clone, Debug, Default)]
pub struct IpvsState {
    /// Virtual services in the order captured.
    pub services: Vec<VirtualService>,
}

/// A virtual service.
#[derive(Clone, Debug)]
pub struct VirtualService {
    /// What it is known by.
    pub key: VirtualKey,
    /// Scheduler.
    pub scheduler: String,
    /// Scheduler flags.
    pub flags: Vec<String>,
    /// Persistence in seconds.
    pub persistent: Option<u32>,
    /// One-packet scheduling.
    pub ops: bool,
    /// Real servers in the order captured.
    pub servers: Vec<RealServer>,
    /// Whether all servers were captured.
    pub complete: bool,
    /// Where it was read.
    pub origin: Origin,
}

/// A real server.
#[derive(Clone, Debug)]
pub struct RealServer {
    /// Address.
    pub addr: IpAddr,
    /// Port; 0 with port-0 services keeps the packet's.
    pub port: u16,
    /// Forwarding method.
    pub method: Forwarding,
    /// Weight; `None` where the capture does not show it.
    pub weight: Option<u32>,
    /// Active connections, where the capture shows them.
    pub active: Option<u32>,
    /// Where it was read.
    pub origin: Origin,
}
