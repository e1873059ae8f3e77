//! eBPF programs at devices. What they do is known of a datapath whose maps were captured ([`super::Calico`]).

use super::Origin;
use nfwhy_parsers::programs::Hook;

/// A program at a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The device's name.
    pub device: String,
    /// Where it is attached.
    pub hook: Hook<'static>,
    /// Its name, where captured.
    pub name: Option<String>,
    /// Its id.
    pub id: Option<u32>,
    /// Where it was read.
    pub origin: Origin,
}
