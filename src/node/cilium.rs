//! Cilium's eBPF datapath: what its agent says of services, addresses and its own configuration.

use super::{Device, FileId, Node, Origin};
use nfwhy_parsers::cilium::{
    Endpoint, Entry, Flags, Key, Kind, Prefix, Range, Row, Setting, State,
};
use nfwhy_parsers::{Family, Masked, Proto};
use std::collections::HashMap;
use std::net::IpAddr;

/// What was captured of it.
#[derive(Clone, Debug, Default)]
pub struct Cilium {
    /// Services by what clients ask.
    pub services: Vec<Service>,
    /// Addresses of this node and its pods.
    pub endpoints: Vec<(Endpoint, FileId)>,
    /// Where other addresses of the cluster are.
    pub prefixes: Vec<(Prefix, FileId)>,
    /// Sources that services are for.
    pub ranges: Vec<(Range, FileId)>,
    /// How it is configured, in the order of the files.
    pub settings: Vec<(Setting, FileId)>,
    /// Not all services are shown, as behind `| grep`.
    pub in_part: bool,
    by_key: HashMap<Key, usize>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// What clients ask.
    pub key: Key,
    /// Its number.
    pub id: u32,
    /// What it is.
    pub flags: Flags,
    /// Its flags are not known: the row that has them is not shown, or the agent's list, which has none, is all there is.
    pub bare: bool,
    /// The port of the proxy that takes it.
    pub proxy: Option<u16>,
    /// Where it was read.
    pub at: Origin,
    /// Its backends, by slot.
    pub backends: Vec<Backend>,
}

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its place.
    pub slot: Option<u32>,
    /// Where it is; `None` = the map lacks it.
    pub to: Option<(IpAddr, u16)>,
    /// Where captured.
    pub state: Option<State>,
    /// Where it was read.
    pub at: Origin,
}

/// How requests for backends on other nodes go there (`--bpf-lb-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With an address of this node as source.
    Snat,
    /// With the client's address; the backend's node answers the client.
    Dsr,
    /// TCP as `Dsr`, others as `Snat`.
    Hybrid,
    /// As each service's flags say (`bpf-lb-mode-annotation`).
    ByService,
}

impl Cilium {
    /// Adds all rows, and what states backends are in. Rows of the agent's list stand for services of families that the map's do not show.
    pub(super) fn rows(
        &mut self,
        rows: Vec<(Row, FileId)>,
        mut states: HashMap<(IpAddr, u16), State>,
    ) {
        let (agents, maps): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(r, _)| r.agent);
        for (row, file) in maps {
            self.row(&row, file);
        }
        let shown = |family| {
            self.services
                .iter()
                .any(|s| Family::of(s.key.addr) == family)
        };
        let known = [shown(Family::V4), shown(Family::V6)];
        states.extend(agents.iter().filter_map(|(r, _)| match r.entry {
            Entry::Backend {
                addr, port, state, ..
            } => Some(((addr, port), state?)),
            _ => None,
        }));
        for (row, file) in agents {
            if !known[usize::from(row.key.addr.is_ipv6())] {
                self.row(&row, file);
            }
        }
        for s in &mut self.services {
            s.backends.sort_by_key(|b| b.slot);
            for b in &mut s.backends {
                b.state = b.state.or_else(|| states.get(&b.to?).copied());
            }
        }
    }

    fn row(&mut self, row: &Row, file: FileId) {
        let at = origin(file, row.line);
        let index = *self.by_key.entry(row.key).or_insert_with(|| {
            self.services.push(Service {
                key: row.key,
                id: 0,
                flags: Flags::default(),
                bare: true,
                proxy: None,
                at,
                backends: Vec::new(),
            });
            self.services.len() - 1
        });
        let Some(s) = self.services.get_mut(index) else {
            return;
        };
        match &row.entry {
            Entry::Service { id, flags, proxy } => {
                (s.id, s.flags, s.proxy, s.at) = (*id, *flags, *proxy, at);
                s.bare = row.agent;
            }
            Entry::Backend {
                slot,
                addr,
                port,
                state,
                id,
            } => s.add(
                Backend {
                    slot: *slot,
                    to: Some((*addr, *port)),
                    state: *state,
                    at,
                },
                *id,
            ),
            Entry::Missing(_) => s.add(
                Backend {
                    slot: None,
                    to: None,
                    state: None,
                    at,
                },
                None,
            ),
        }
    }

    /// Whether the services of a family are known.
    pub fn knows_services(&self, family: Family) -> bool {
        self.services
            .iter()
            .any(|s| Family::of(s.key.addr) == family)
    }

    /// Whether anything of it was captured.
    pub fn is_there(&self) -> bool {
        !self.services.is_empty() || !self.settings.is_empty() || !self.endpoints.is_empty()
    }

    /// The service of a key; those of releases without protocols are of any (`lb4_lookup_service` in bpf/lib/lb.h).
    pub fn service(
        &self,
        addr: IpAddr,
        port: u16,
        proto: Proto,
        internal: bool,
    ) -> Option<&Service> {
        let find = |proto| {
            let key = Key {
                addr,
                port,
                proto,
                internal,
            };
            self.services.get(*self.by_key.get(&key)?)
        };
        find(Some(proto)).or_else(|| find(None))
    }

    /// A setting: what the agent runs with counts before what it is told to, the later before the earlier.
    pub fn setting(&self, key: &str) -> Option<(&str, Origin)> {
        let all = || self.settings.iter().rev().filter(|(s, _)| s.key == key);
        all()
            .find(|(s, _)| s.status)
            .or_else(|| all().next())
            .map(|(s, file)| (s.value.as_str(), origin(*file, s.line)))
    }

    /// Whether a switch is on; `None` where it is not known.
    pub fn is_on(&self, key: &str) -> Option<bool> {
        match self.setting(key)?.0.to_ascii_lowercase().as_str() {
            "true" | "enabled" => Some(true),
            "false" | "disabled" => Some(false),
            _ => None,
        }
    }

    /// Whether the whole `ConfigMap` was captured, as far as can be told: then what it does not name is as by default.
    pub fn knows_config_map(&self) -> bool {
        self.settings
            .iter()
            .any(|(s, _)| !s.status && s.key == "kube-proxy-replacement")
            && self.settings.iter().filter(|(s, _)| !s.status).count() >= 3
    }

    /// The `ConfigMap`, as a whole.
    fn config_map(&self) -> Option<Origin> {
        let (_, file) = self.settings.iter().find(|(s, _)| !s.status)?;
        Some(origin(*file, 0))
    }

    /// Whether the mode is told, rather than what an untold one is by default.
    pub fn tells_mode(&self) -> bool {
        self.setting("bpf-lb-mode").is_some()
    }

    /// The ports that a rewritten source has (`NODEPORT_PORT_MIN_NAT` and `_MAX_NAT`): those above the node ports.
    pub fn source_ports(&self) -> (u16, u16) {
        let range = self.setting("node-port-range").map_or("", |(w, _)| w);
        let last = range.split_once('-').and_then(|(_, l)| l.parse().ok());
        (last.unwrap_or(32767u16).saturating_add(1), u16::MAX)
    }

    /// How requests go to other nodes, and where that was read (`NodePortMode` in pkg/option/config.go: snat by default).
    pub fn mode(&self) -> Option<(Mode, Origin)> {
        if self.is_on("bpf-lb-mode-annotation") == Some(true)
            && let Some((_, at)) = self.setting("bpf-lb-mode-annotation")
        {
            return Some((Mode::ByService, at));
        }
        if let Some((word, at)) = self.setting("bpf-lb-mode") {
            let mode = match word {
                "dsr" => Mode::Dsr,
                "hybrid" => Mode::Hybrid,
                "snat" => Mode::Snat,
                _ => return None,
            };
            return Some((mode, at));
        }
        let at = self.config_map().filter(|_| self.knows_config_map())?;
        Some((Mode::Snat, at))
    }

    /// How a request reaches the backend's node in `dsr`: `opt`, `ipip`, `geneve`.
    pub fn dispatch(&self) -> &str {
        self.setting("bpf-lb-dsr-dispatch")
            .map_or("opt", |(w, _)| w)
    }

    /// Whether services are served to clients outside (`ENABLE_NODEPORT`): with kube-proxy replaced, or by itself.
    pub fn serves_outside(&self) -> Option<bool> {
        let replaced = self
            .setting("kube-proxy-replacement")
            .map(|(w, _)| w.to_ascii_lowercase());
        match replaced.as_deref() {
            Some("true" | "strict") => return Some(true),
            Some("false" | "disabled") => {
                return Some(self.is_on("enable-node-port") == Some(true));
            }
            _ => {}
        }
        if let Some(on) = self.is_on("enable-node-port") {
            return Some(on);
        }
        // Others than ClusterIPs are in its maps where it serves them.
        self.services
            .iter()
            .any(|s| {
                !matches!(
                    s.flags.kind,
                    Kind::ClusterIp | Kind::None | Kind::LocalRedirect
                )
            })
            .then_some(true)
    }

    /// Whether what processes of the node connect to is translated (`EnableSocketLB`): always where kube-proxy is replaced.
    pub fn serves_processes(&self) -> Option<bool> {
        if let Some(on) = self.is_on("socket-lb") {
            return Some(on);
        }
        match self.setting("kube-proxy-replacement").map(|(w, _)| w) {
            Some("true" | "strict") => Some(true),
            Some("false" | "disabled") => Some(self.is_on("bpf-lb-sock") == Some(true)),
            _ => self
                .is_on("bpf-lb-sock")
                .filter(|on| *on)
                .or_else(|| self.serves_outside()),
        }
    }

    /// An endpoint of this node.
    pub fn endpoint(&self, addr: IpAddr) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .map(|(e, _)| e)
            .find(|e| e.addr == addr)
    }

    /// Whether all endpoints of this node are known.
    pub fn knows_endpoints(&self, family: Family) -> bool {
        self.endpoints
            .iter()
            .any(|(e, _)| Family::of(e.addr) == family)
    }

    /// What is known of an address: the longest prefix.
    pub fn prefix(&self, addr: IpAddr) -> Option<&Prefix> {
        self.prefixes
            .iter()
            .map(|(p, _)| p)
            .filter(|p| {
                let (net, len) = p.net;
                Family::of(net) == Family::of(addr) && Masked::prefix(net, len).contains(addr)
            })
            .max_by_key(|p| p.net.1)
    }

    /// The sources of a service.
    pub fn ranges_of<'c>(&'c self, s: &Service) -> impl Iterator<Item = &'c Range> + use<'c> {
        let (id, family) = (s.id, Family::of(s.key.addr));
        self.ranges
            .iter()
            .map(|(r, _)| r)
            .filter(move |r| r.id == id && Family::of(r.net.0) == family)
    }
}

impl Service {
    fn add(&mut self, b: Backend, id: Option<u32>) {
        if let Some(id) = id.filter(|_| self.bare) {
            self.id = id;
        }
        // A map that is captured twice is one map.
        if !self
            .backends
            .iter()
            .any(|o| o.to == b.to && o.slot == b.slot)
        {
            self.backends.push(b);
        }
    }

    /// The backends that take new connections: the active ones, else those that are about to end (`svc->count` in the datapath).
    pub fn taking(&self) -> Vec<Backend> {
        let active = |b: &&Backend| b.state.is_none_or(|s| s == State::Active);
        let some: Vec<Backend> = self.backends.iter().filter(active).copied().collect();
        if some.is_empty() {
            let left = |b: &&Backend| b.state != Some(State::Maintenance);
            return self.backends.iter().filter(left).copied().collect();
        }
        some
    }

    /// Whether backends are missing that the slots count.
    pub fn is_cut(&self) -> bool {
        let last = self.backends.iter().filter_map(|b| b.slot).max();
        let shown = self.backends.iter().filter(|b| b.slot.is_some()).count();
        last.is_some_and(|n| {
            n as usize > shown + self.backends.iter().filter(|b| b.to.is_none()).count()
        })
    }
}

/// Where a record was read.
fn origin(file: FileId, line: u32) -> Origin {
    Origin { file, line }
}

impl Device {
    /// What Cilium calls a pod's device.
    pub fn is_ciliums_pod(&self) -> bool {
        self.name.starts_with("lxc")
    }

    /// One of those that Cilium makes for itself.
    pub fn is_ciliums_own(&self) -> bool {
        self.name.starts_with("cilium_")
    }
}

impl Node<'_> {
    /// Whether Cilium runs here: by its devices, programs, chains, or what was captured of it.
    pub fn has_cilium(&self) -> bool {
        self.cilium.is_there()
            || self.devices.iter().any(Device::is_ciliums_own)
            || self.programs.iter().any(super::Program::is_ciliums)
    }

    /// Whether packets go past the host's stack (`EnableHostLegacyRouting`). `daemon/cmd/kube_proxy_replacement.go` falls back to the stack where
    /// pods are masqueraded by iptables, which its chain shows, and where they have routes of their own.
    pub fn past_the_stack(&self) -> Option<bool> {
        let cilium = &self.cilium;
        if let Some((word, _)) = cilium.setting("host-routing") {
            return Some(word == "BPF");
        }
        if cilium.is_on("enable-host-legacy-routing") == Some(true)
            || cilium.is_on("enable-endpoint-routes") == Some(true)
            || cilium
                .setting("masquerading")
                .is_some_and(|(w, _)| w == "IPTables")
            || self.masquerades_by_iptables()
        {
            return Some(false);
        }
        let masquerades = cilium.is_on("enable-ipv4-masquerade") != Some(false);
        match cilium.is_on("enable-bpf-masquerade") {
            Some(on) => Some(on || !masquerades),
            None if cilium.knows_config_map() => Some(!masquerades),
            None => None,
        }
    }

    fn masquerades_by_iptables(&self) -> bool {
        self.netfilter.tables.iter().any(|t| {
            t.chain("CILIUM_POST_nat").is_some_and(|c| {
                t.rules(c)
                    .iter()
                    .any(|r| matches!(&r.target, nfwhy_parsers::iptables::Target::Masquerade(_)))
            })
        })
    }

    /// Whether kube-proxy's rules or virtual services are here.
    pub fn has_kube_proxy(&self) -> bool {
        let xt = |t: &super::Table<'_>| t.chain("KUBE-SERVICES").is_some();
        let nft = |t: &super::NftTable<'_>| t.def.name == "kube-proxy";
        !self.ipvs.services.is_empty()
            || self.netfilter.tables.iter().any(xt)
            || self.netfilter.nft_tables().any(|(_, t)| nft(t))
    }

    /// Whose eBPF datapath serves here.
    pub fn datapath(&self) -> &'static str {
        if self.cilium.services.is_empty() {
            "Calico"
        } else {
            "Cilium"
        }
    }
}
