//! Explains what netfilter and IPVS on a Kubernetes node do to one packet.
//!
//! The modules stand in the order in which data passes through them; a module uses only those above it:
//! capture (bytes in) → node (model) → trace (what happened) → sim (pure) → observed (captured packets) → explain (findings) → cluster (several nodes) →
//! vip (who answers for an address) → render (text, JSON) → cli.

pub mod capture;
pub mod node;
pub mod trace;

#[cfg(test)]
mod sample;
pub mod sim;

pub mod observed;

pub mod explain;

pub mod cluster;
pub mod vip;

pub mod render;

pub mod cli;
