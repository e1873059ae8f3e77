//! What Calico's eBPF datapath has in its maps: `calico-node -bpf nat dump`, `nat aff`, `conntrack dump`, `routes dump`, and the same maps as
//! `bpftool map dump` prints them (plain, `-j`, `-p`); and the settings of Felix that say how answers go.
//!
//! Formats: felix/cmd/calico-bpf/commands/{nat,conntrack,routes}.go. Layouts: felix/bpf/{nat,conntrack,routes}/ (the frontends of
//! `cali_v4_nat_fe3`, connections of `cali_v4_ct3` and `cali_v4_ct4`), all little-endian but for addresses.

mod hex;
mod layout;
mod print;
mod text;

use crate::common::{Parsed, Proto, Span};
use std::collections::HashSet;
use std::net::IpAddr;

pub(crate) use hex::is_dump;
pub use layout::Map;
pub(crate) use text::{Line, line_of};

/// Everything that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    /// Services by what clients ask.
    pub frontends: Vec<Frontend>,
    /// Their backends.
    pub backends: Vec<Backend>,
    /// Clients that stay with a backend.
    pub affinities: Vec<Affinity>,
    /// What Calico knows of addresses.
    pub routes: Vec<Route>,
    /// Connections.
    pub flows: Vec<Flow>,
    /// How Felix was told to treat answers to clients outside.
    pub modes: Vec<Mode>,
}

/// A service as a client asks it: `10.96.0.10 port 53 proto 17 id 3 count 2 local 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the entry.
    pub span: Span,
    /// The address; 255.255.255.255 stands for any node's (a node port).
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// The service's number.
    pub id: u32,
    /// How many backends; `None`: sources of this entry are refused.
    pub count: Option<u32>,
    /// How many of them are on this node; they stand first.
    pub local: u32,
    /// Flags as in the map.
    pub flags: u32,
    /// Sources it is for, as address and prefix length.
    pub src: Option<(IpAddr, u8)>,
    /// How long a client stays with its backend, in seconds; `nat dump` does not show it.
    pub affinity: Option<u32>,
}

impl Frontend {
    /// `externalTrafficPolicy: Local`.
    pub const EXTERNAL_LOCAL: u32 = 1;
    /// `internalTrafficPolicy: Local`.
    pub const INTERNAL_LOCAL: u32 = 2;
    /// Left to others, as node-local DNS is.
    pub const EXCLUDE: u32 = 4;
    /// The backend is found by consistent hashing.
    pub const MAGLEV: u32 = 8;

    /// The length of the source prefix; 0 where it is for all.
    pub fn src_len(&self) -> u8 {
        self.src.map_or(0, |(_, len)| len)
    }
}

/// `3:0  10.244.1.5:53`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the entry.
    pub span: Span,
    /// The service's number.
    pub id: u32,
    /// Its place among the service's backends.
    pub ordinal: u32,
    /// The address.
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
}

/// A client that stays with a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the entry.
    pub span: Span,
    /// The client.
    pub client: IpAddr,
    /// The protocol.
    pub proto: Proto,
    /// What it asked.
    pub service: (IpAddr, u16),
    /// Where it is sent.
    pub backend: (IpAddr, u16),
}

/// What Calico knows of addresses: `10.244.1.5/32: remote workload in-pool nh 10.10.5.12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the entry.
    pub span: Span,
    /// The addresses.
    pub addr: IpAddr,
    /// The prefix length.
    pub len: u8,
    /// Flags as in the map.
    pub flags: u32,
    /// Of workloads elsewhere: their node.
    pub next_hop: Option<IpAddr>,
    /// Of workloads here: their device's index.
    pub ifindex: Option<u32>,
}

impl Route {
    /// The address is of a pool.
    pub const IN_POOL: u32 = 0x01;
    /// Its pool masquerades what leaves the cluster.
    pub const NAT_OUT: u32 = 0x02;
    /// A pod's.
    pub const WORKLOAD: u32 = 0x04;
    /// On this node.
    pub const LOCAL: u32 = 0x08;
    /// A node's.
    pub const HOST: u32 = 0x10;
    /// On a network of this node's.
    pub const SAME_SUBNET: u32 = 0x20;
    /// Reached through a tunnel.
    pub const TUNNELED: u32 = 0x40;
    /// Clients that are answered through the node they asked.
    pub const NO_DSR: u32 = 0x80;
    /// What goes there is dropped.
    pub const BLACKHOLE_DROP: u32 = 0x100;
    /// What goes there is refused.
    pub const BLACKHOLE_REJECT: u32 = 0x200;

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

/// A connection through a service, or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the entry.
    pub span: Span,
    /// The protocol.
    pub proto: Proto,
    /// Who opened it.
    pub src: (IpAddr, u16),
    /// What it asked, where that was translated.
    pub service: Option<(IpAddr, u16)>,
    /// Who serves it.
    pub dst: (IpAddr, u16),
    /// The other node of a forwarded one.
    pub tunnel: Option<IpAddr>,
    /// Its answers go to the client directly; `None` where the text does not say.
    pub dsr: Option<bool>,
    /// This node forwarded it to another; `None` where the text does not say.
    pub forwarded: Option<bool>,
}

/// How clients outside are answered by backends on other nodes than they asked (`bpfExternalServiceMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Directly (`DSR`), else through the node that they asked (`Tunnel`).
    pub dsr: bool,
    /// It is the default of a configuration that does not name it.
    pub default: bool,
    /// From the environment, which counts before the configuration.
    pub env: bool,
}

/// Reads all of these from one text. A hint, such as the file's name, tells which map a dump of `bpftool` is of; else a line before it does
/// (`# bpftool map dump pinned /sys/fs/bpf/tc/globals/cali_v4_nat_fe3`), else the sizes of its entries.
pub fn parse(hint: &str, source: &str) -> Parsed<Maps> {
    let mut out = Parsed::default();
    text::read(source, &mut out);
    hex::read(hint, source, &mut out);
    // A service's backends stand below each of its addresses; a map has one entry for a key.
    let mut seen = HashSet::new();
    out.value
        .backends
        .retain(|b| seen.insert((b.addr.is_ipv6(), b.id, b.ordinal)));
    out
}

/// The entry of a map, from its bytes; `None` where they are not as such a map's.
pub fn entry(map: Map, key: &[u8], value: &[u8], out: &mut Maps) -> Option<()> {
    layout::entry(map, key, value, (0, Span::default()), out)
}
