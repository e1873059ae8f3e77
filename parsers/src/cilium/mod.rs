//! What Cilium's eBPF datapath knows of services and addresses, as its agent prints it: `cilium-dbg bpf lb list` (also `--source-ranges`,
//! `--backends`, `--revnat`), `service list`, `bpf endpoint list`, `bpf ipcache list`, `status --verbose`, and the `ConfigMap` `cilium-config`.
//! Releases before 1.15 call the program `cilium`.
//!
//! Formats, all of cilium/cilium: `dumpSVC` in `cilium-dbg/cmd/bpf_lb_list.go`, `TablePrinter` in cilium-dbg/cmd/helpers.go, `serviceKey` in
//! pkg/maps/lbmap/ipv4.go, `ServiceFlags.String` in pkg/loadbalancer/loadbalancer.go, `SourceRangeKey4.String` in
//! `pkg/maps/lbmap/source_range.go`, `FormatStatusResponse` in pkg/client/client.go.

mod flags;
mod json;
mod print;
mod settings;
mod text;

use crate::common::{Parsed, Proto, Span};
use std::net::IpAddr;

pub use flags::{Flags, Kind};
pub(crate) use json::{is_config_map, is_listing, is_services};
pub use settings::Setting;
pub(crate) use text::{is_key, weight};

/// Everything that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Services and their backends, row by row.
    pub rows: Vec<Row>,
    /// Sources that services are for.
    pub ranges: Vec<Range>,
    /// Backends by number, of `--backends`.
    pub numbers: Vec<Numbered>,
    /// Addresses of this node and its pods.
    pub endpoints: Vec<Endpoint>,
    /// Where other addresses of the cluster are.
    pub prefixes: Vec<Prefix>,
    /// How the datapath is configured.
    pub settings: Vec<Setting>,
}

/// What clients ask: `10.96.0.10:53/UDP`, `[fd00::1]:80/TCP/i`, and without a protocol in older releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The address.
    pub addr: IpAddr,
    /// The port; 0 stands for all that are not listed.
    pub port: u16,
    /// The protocol; `None` = any.
    pub proto: Option<Proto>,
    /// For clients in the cluster alone (`/i`, `LB_LOOKUP_SCOPE_INT`).
    pub internal: bool,
}

/// A service, or one of its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the string in JSON.
    pub span: Span,
    /// The service.
    pub key: Key,
    /// What of it.
    pub entry: Entry,
    /// The agent's word (`service list`), which knows states and no flags; else the map's.
    pub agent: bool,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `0.0.0.0:0 (3) (0) [LoadBalancer, Local, two-scopes]`.
    Service {
        /// The service's number (`rev_nat_index`).
        id: u32,
        /// What it is.
        flags: Flags,
        /// The port of the proxy that takes it (`l7-load-balancer`).
        proxy: Option<u16>,
    },
    /// `10.244.1.5:8080/TCP (3) (1)`.
    Backend {
        /// The service's number; `service list` has none.
        id: Option<u32>,
        /// Its place; older releases print none.
        slot: Option<u32>,
        /// The address.
        addr: IpAddr,
        /// The port.
        port: u16,
        /// `active`, `terminating`, `quarantined`, `maintenance`, where printed.
        state: Option<State>,
    },
    /// `backend 5 not found`.
    Missing(u32),
}

/// What state a backend is in (`BE_STATE_ACTIVE` and its like in bpf/lib/common.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It takes connections.
    Active,
    /// It takes connections where none is active.
    Terminating,
    /// A health check failed: no new connections, where others are active.
    Quarantined,
    /// Taken out by hand.
    Maintenance,
}

impl State {
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("active", Self::Active),
        ("terminating", Self::Terminating),
        ("quarantined", Self::Quarantined),
        ("maintenance", Self::Maintenance),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, s)| *s == self)
            .map_or("", |s| s.0)
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == word).map(|s| s.1)
    }
}

/// `10.0.0.0/8 (3)`: sources of a service, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the string in JSON.
    pub span: Span,
    /// The sources, as address and prefix length.
    pub net: (IpAddr, u8),
    /// The service's number.
    pub id: u32,
}

/// `5    TCP://10.244.1.5:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Line, from 1.
    pub line: u32,
    /// That line, or the string in JSON.
    pub span: Span,
    /// The backend's number.
    pub id: u32,
    /// The address.
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
    /// Where printed.
    pub state: Option<State>,
}

/// `10.244.3.168:0   id=1371  sec_id=16771 flags=0x0000 ifindex=8 ...`, `172.18.0.2:0 (localhost)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// The address.
    pub addr: IpAddr,
    /// The device on the node, of pods.
    pub ifindex: Option<u32>,
    /// The node's own.
    pub host: bool,
}

/// `10.244.1.0/24  identity=2 encryptkey=0 tunnelendpoint=192.168.76.2 flags=hastunnel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// The addresses, as address and prefix length.
    pub net: (IpAddr, u8),
    /// Who they are: 1 is this node, 2 the world, 6 another node (pkg/identity/numericidentity.go).
    pub identity: u32,
    /// The node that tunnels to it end at.
    pub tunnel: Option<IpAddr>,
}

impl Prefix {
    /// `HOST_ID`.
    pub const HOST: u32 = 1;
    /// `WORLD_ID`.
    pub const WORLD: u32 = 2;
    /// `REMOTE_NODE_ID`.
    pub const REMOTE_NODE: u32 = 6;
    /// `KUBE_APISERVER_NODE_ID`: a node that runs the API server.
    pub const API_SERVER: u32 = 7;
}

/// Reads all of these from one text.
pub fn parse(source: &str) -> Parsed<Listing> {
    let mut out = Parsed::default();
    // The command may stand above it, behind `#`.
    let mut lines = source.lines().map(str::trim_start);
    let first = lines.find(|l| !l.is_empty() && !l.starts_with('#'));
    if first.is_some_and(|l| l.starts_with(['{', '['])) {
        json::read(source, &mut out);
    } else {
        text::read(source, &mut out);
    }
    out
}
