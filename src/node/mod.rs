//! One network namespace at one moment, as plain values. Every item knows the file and line it came from.

mod build;
pub mod calico;
pub mod cilium;
mod conntrack;
mod device;
mod fib;
mod ipvs;
pub mod kube;
mod neighbour;
mod netfilter;
mod nft;
mod programs;
mod sets;
mod sysctl;
mod traffic;

pub use calico::Calico;
pub use cilium::Cilium;
pub use conntrack::{CtEntry, CtTuple};
pub use device::{Addr, DevId, Device};
pub use fib::{Fib, FibTable, NextHop, PolicyAction, PolicyRule, Route, TableId};
pub use ipvs::{Forwarding, IpvsState, RealServer, VirtualKey, VirtualService};
pub use kube::Kube;
pub use neighbour::{Announcement, ArpReply, Neighbour, Seen};
pub use netfilter::{ChainId, Netfilter, Table, TableKind, TableView};
pub use nft::NftTable;
pub use programs::Program;
pub use sets::{Set, SetState, Value as SetValue};
pub use sysctl::Sysctls;
pub use traffic::Traffic;

use nfwhy_parsers::Family;
use std::collections::BTreeMap;

/// Which of the snapshot's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u16);

/// Where an item was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The file.
    pub file: FileId,
    /// Its line, from 1; 0 where the item was derived rather than read.
    pub line: u32,
}

/// A file that the node was built from.
#[derive(Clone, Debug)]
pub struct FileInfo<'a> {
    /// Its name relative to the snapshot.
    pub name: String,
    /// Its whole text.
    pub text: &'a str,
}

/// Something about the input that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file, where there is one.
    pub file: Option<FileId>,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// Columns to point at: byte offsets within the line.
    pub columns: Option<(u32, u32)>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// What was captured, so that an absent thing can be told from an empty one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Captured {
    /// Devices, with or without addresses.
    pub links: bool,
    /// IPv4 addresses (or a command that would have shown them).
    pub addr4: bool,
    /// IPv6 addresses.
    pub addr6: bool,
    /// Some IPv4 routes.
    pub route4: bool,
    /// Some IPv6 routes.
    pub route6: bool,
    /// IPv4 table local, that is, `ip route show table all`.
    pub local4: bool,
    /// IPv6 table local.
    pub local6: bool,
    /// `ip rule`.
    pub rule4: bool,
    /// `ip -6 rule`.
    pub rule6: bool,
    /// An IPv4 iptables rule set.
    pub iptables4: bool,
    /// An IPv6 iptables rule set.
    pub iptables6: bool,
    /// iptables-nft said that there are tables of iptables-legacy, and none was captured.
    pub legacy_unseen4: bool,
    /// The same of ip6tables.
    pub legacy_unseen6: bool,
    /// Any ipset output.
    pub sets: bool,
    /// Any ipvsadm output.
    pub ipvs: bool,
    /// Any sysctl output.
    pub sysctl: bool,
    /// Any conntrack output.
    pub conntrack: bool,
    /// Any neighbour output.
    pub neigh: bool,
    /// `nft list ruleset`.
    pub nft: bool,
    /// `bpftool net`.
    pub programs: bool,
}

/// What is there only in part, as pasted and cut listings are: what they do not show may be there all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InPart {
    /// Devices and their addresses.
    pub links: bool,
    /// Routes.
    pub routes: bool,
    /// `ip rule`.
    pub rules: bool,
    /// Virtual services.
    pub ipvs: bool,
    /// Tables of iptables: each was shown by a command of its own.
    pub tables4: bool,
    /// Tables of ip6tables.
    pub tables6: bool,
}

/// Rules that were not captured and are taken to be as their owner always writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumed {
    /// The file.
    pub file: FileId,
    /// From this line on.
    pub line: u32,
}

/// A node: one network namespace.
#[derive(Debug)]
pub struct Node<'a> {
    /// The files it was built from.
    pub files: Vec<FileInfo<'a>>,
    /// What was captured at all.
    pub captured: Captured,
    /// What was captured in part.
    pub in_part: InPart,
    /// Rules that are assumed.
    pub assumed: Vec<Assumed>,
    /// Devices in registration order, as far as ifindex order shows it.
    pub devices: Vec<Device>,
    /// IPv4 routing.
    pub fib4: Fib,
    /// IPv6 routing.
    pub fib6: Fib,
    /// Tables and chains.
    pub netfilter: Netfilter<'a>,
    /// ipsets by name.
    pub sets: BTreeMap<String, SetState<'a>>,
    /// Virtual services.
    pub ipvs: IpvsState,
    /// Settings.
    pub sysctls: Sysctls,
    /// Known flows.
    pub conntrack: Vec<CtEntry>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Who was seen to answer or to announce.
    pub seen: Seen,
    /// Packets that were seen.
    pub traffic: Vec<Traffic>,
    /// What could not be read where the node was captured.
    pub unread: Vec<crate::capture::Unread>,
    /// eBPF programs at devices.
    pub programs: Vec<Program>,
    /// The maps of Calico's eBPF datapath.
    pub calico: Calico,
    /// What was captured of Cilium's.
    pub cilium: Cilium,
    /// What Kubernetes calls things.
    pub kube: Kube,
    /// What was wrong with the input.
    pub warnings: Vec<Warning>,
}

impl<'a> Node<'a> {
    /// Builds the node from a snapshot's files.
    pub fn new(snapshot: &'a crate::capture::Snapshot) -> Self {
        build::build(snapshot)
    }

    /// Routing of a family.
    pub fn fib(&self, family: Family) -> &Fib {
        match family {
            Family::V4 => &self.fib4,
            Family::V6 => &self.fib6,
        }
    }

    /// A device by name or alternative name.
    pub fn device_by_name(&self, name: &str) -> Option<DevId> {
        self.devices
            .iter()
            .position(|d| d.name == name)
            .or_else(|| {
                self.devices
                    .iter()
                    .position(|d| d.altnames.iter().any(|a| a == name))
            })
            .and_then(|i| u16::try_from(i).ok())
            .map(DevId)
    }

    /// Makes a device of that name known where not all devices were captured, so that a packet can come in by it.
    pub fn assume_device(&mut self, name: &str) {
        let full = self.devices.len() >= usize::from(u16::MAX);
        if (!self.captured.links || self.in_part.links)
            && !full
            && self.device_by_name(name).is_none()
        {
            self.devices.push(Device::named(name));
        }
    }

    /// The device.
    pub fn device(&self, id: DevId) -> &Device {
        &self.devices[usize::from(id.0)]
    }

    /// The loopback device, if captured.
    pub fn loopback(&self) -> Option<DevId> {
        self.device_ids().find(|d| self.device(*d).is_loopback())
    }

    /// All devices in registration order.
    pub fn device_ids(&self) -> impl Iterator<Item = DevId> + use<> {
        (0..u16::try_from(self.devices.len()).unwrap_or(u16::MAX)).map(DevId)
    }

    /// The VRF a device belongs to (itself for a VRF), as `l3mdev_master_ifindex_rcu` in include/net/l3mdev.h.
    pub fn l3_master(&self, id: DevId) -> Option<DevId> {
        let d = self.device(id);
        if d.is_vrf() {
            return Some(id);
        }
        let m = d.master?;
        if self.device(m).is_vrf() {
            return Some(m);
        }
        // A port of a bridge or bond that is itself in a VRF has no layer-3 life of its own.
        None
    }

    /// `file:line` of an origin, or the file alone.
    pub fn place(&self, o: Origin) -> String {
        // Its line is beyond the end of the file: it was never there.
        let assumed = |a: &Assumed| a.file == o.file && o.line >= a.line;
        match (self.files.get(usize::from(o.file.0)), o.line) {
            (Some(f), 0) => f.name.clone(),
            (Some(f), _) if self.assumed.iter().any(assumed) => format!("{} (assumed)", f.name),
            (Some(f), n) => format!("{}:{n}", f.name),
            (None, _) => String::new(),
        }
    }

    /// The name of the file of an origin.
    pub fn file_name(&self, f: FileId) -> &str {
        self.files
            .get(usize::from(f.0))
            .map_or("", |f| f.name.as_str())
    }
}
