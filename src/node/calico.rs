//! Calico's eBPF datapath: what its maps say of services and addresses.

use super::{FileId, Origin, Program};
use nfwhy_parsers::calico_bpf::{Affinity, Backend, Flow, Frontend, Mode, Route};
use nfwhy_parsers::{Family, Masked, Proto};
use std::collections::HashMap;
use std::net::IpAddr;

/// The maps, as far as they were captured.
#[derive(Clone, Debug, Default)]
pub struct Calico {
    /// Services by what clients ask.
    pub frontends: Vec<(Frontend, FileId)>,
    /// Their backends.
    pub backends: Vec<(Backend, FileId)>,
    /// Clients that stay with a backend.
    pub affinities: Vec<(Affinity, FileId)>,
    /// What Calico knows of addresses.
    pub routes: Vec<(Route, FileId)>,
    /// Connections.
    pub flows: Vec<(Flow, FileId)>,
    /// How Felix was told to treat answers to clients outside.
    pub modes: Vec<(Mode, FileId)>,
    by_address: HashMap<(IpAddr, u16, Proto), Vec<usize>>,
    by_place: HashMap<(bool, u32, u32), usize>,
}

/// How a client outside is answered by a backend on another node than it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMode {
    /// Directly, else through the node that it asked.
    pub dsr: bool,
    /// Where that was read.
    pub at: Origin,
}

/// `NP_SPECIAL_IP`: any node's address, for node ports.
pub fn any_node(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([0xff; 4]),
        Family::V6 => IpAddr::from([0xff; 16]),
    }
}

impl Calico {
    /// Finds the services and backends by their keys, once all are there.
    pub(super) fn index(&mut self) {
        for (i, (f, _)) in self.frontends.iter().enumerate() {
            let key = (f.addr, f.port, f.proto);
            self.by_address.entry(key).or_default().push(i);
        }
        for (i, (b, _)) in self.backends.iter().enumerate() {
            let key = (b.addr.is_ipv6(), b.id, b.ordinal);
            self.by_place.entry(key).or_insert(i);
        }
    }

    /// Whether the services of a family are known.
    pub fn knows_services(&self, family: Family) -> bool {
        self.frontends
            .iter()
            .any(|(f, _)| Family::of(f.addr) == family)
    }

    /// Whether it is known where addresses of a family are.
    pub fn knows_routes(&self, family: Family) -> bool {
        self.routes
            .iter()
            .any(|(r, _)| Family::of(r.addr) == family)
    }

    /// The service at an address for a source: of those that fit the one with the longest source prefix, as an LPM trie has it.
    pub fn service(&self, dst: IpAddr, port: u16, proto: Proto, src: IpAddr) -> Option<usize> {
        let fits = |i: &&usize| {
            self.frontends.get(**i).is_some_and(|(f, _)| {
                f.src
                    .is_none_or(|(a, len)| Masked::prefix(a, len).contains(src))
            })
        };
        let len = |i: &&usize| self.frontends.get(**i).map_or(0, |(f, _)| f.src_len());
        let list = self.by_address.get(&(dst, port, proto))?;
        list.iter().filter(fits).max_by_key(len).copied()
    }

    /// A backend of a service.
    pub fn backend(&self, f: &Frontend, ordinal: u32) -> Option<usize> {
        let key = (f.addr.is_ipv6(), f.id, ordinal);
        self.by_place.get(&key).copied()
    }

    /// What is known of an address: the longest prefix.
    pub fn route(&self, addr: IpAddr) -> Option<&(Route, FileId)> {
        self.routes
            .iter()
            .filter(|(r, _)| {
                Family::of(r.addr) == Family::of(addr)
                    && Masked::prefix(r.addr, r.len).contains(addr)
            })
            .max_by_key(|(r, _)| r.len)
    }

    /// This node's address, as tunnels have it.
    pub fn host(&self, family: Family) -> Option<IpAddr> {
        self.routes
            .iter()
            .map(|(r, _)| r)
            .find(|r| {
                Family::of(r.addr) == family
                    && r.len == family.bits()
                    && r.has(Route::LOCAL | Route::HOST)
                    && !r.has(Route::TUNNELED)
            })
            .map(|r| r.addr)
    }

    /// How answers go: the environment counts before the configuration (felix/config), both before what connections show.
    pub fn answers(&self) -> Option<AnswerMode> {
        let told = self
            .modes
            .iter()
            .rev()
            .max_by_key(|(m, _)| (m.env, !m.default));
        if let Some((m, file)) = told {
            let at = origin(*file, m.line);
            return Some(AnswerMode { dsr: m.dsr, at });
        }
        self.flows.iter().find_map(|(f, file)| {
            let dsr = f.dsr.filter(|_| f.forwarded == Some(true))?;
            let at = origin(*file, f.line);
            Some(AnswerMode { dsr, at })
        })
    }

    /// A connection that a client opened, by what it sent.
    pub fn flow(
        &self,
        proto: Proto,
        src: (IpAddr, u16),
        dst: (IpAddr, u16),
    ) -> Option<&(Flow, FileId)> {
        self.flows
            .iter()
            .find(|(f, _)| f.proto == proto && f.src == src && f.service == Some(dst))
    }

    /// A connection through a service by what its backend answers.
    pub fn answered(
        &self,
        proto: Proto,
        src: (IpAddr, u16),
        dst: (IpAddr, u16),
    ) -> Option<&(Flow, FileId)> {
        self.flows
            .iter()
            .find(|(f, _)| f.proto == proto && f.dst == src && f.src == dst && f.service.is_some())
    }

    /// Where a service was read.
    pub fn place(&self, service: usize) -> Origin {
        self.frontends
            .get(service)
            .map_or(Origin::default(), |(f, file)| origin(*file, f.line))
    }
}

/// Where a record was read.
pub fn origin(file: FileId, line: u32) -> Origin {
    Origin { file, line }
}

impl Program {
    /// Whether it is of Calico's datapath, by its name: `cali_tc_preambl`, `calico_tc_main`, `from_hep_...` of older ones.
    pub fn is_calicos(&self) -> bool {
        const HOOKED: [&str; 6] = [
            "calico",
            "cali_tc",
            "from_hep",
            "to_hep",
            "from_host_ep",
            "to_host_ep",
        ];
        self.name
            .as_deref()
            .is_some_and(|n| HOOKED.iter().any(|h| n.contains(h)))
    }

    /// Whether it is of Cilium's, by its name.
    pub fn is_ciliums(&self) -> bool {
        self.name.as_deref().is_some_and(|n| {
            n.contains("cil_") || n.starts_with("bpf_lxc") || n.starts_with("bpf_host")
        })
    }
}
