//! Sets, virtual services, settings, flows.

use super::super::ipvs::{IpvsState, RealServer, VirtualService};
use super::super::sets::{Set, SetState};
use super::super::{CtEntry, CtTuple, FileId, Neighbour, Origin, Program, Sysctls};
use super::{Builder, owned};
use nfwhy_parsers::conntrack::Tuple;
use nfwhy_parsers::iproute::neigh;
use nfwhy_parsers::{conntrack, ipset, ipvs, programs, sysctl};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl<'a> Builder<'a> {
    pub(super) fn sets(&mut self, files: &[(FileId, &'a str)]) -> BTreeMap<String, SetState<'a>> {
        let mut out: BTreeMap<String, SetState<'a>> = BTreeMap::new();
        for (file, text) in files {
            self.captured.sets = true;
            for record in self.take(*file, ipset::parse(text)) {
                if record.kind.is_none() {
                    self.warn(
                        Some(*file),
                        record.line,
                        format!("set {} has the type {}, which is not modelled; whether something is in it is unknown", record.name, record.type_name),
                    );
                }
                let name = owned(&record.name);
                let origin = Origin {
                    file: *file,
                    line: record.line,
                };
                if let Some(old) = out.get(&name) {
                    let (a, b) = (&old.set.record, &record);
                    let count = |r: &ipset::IpSet<'_>| r.members.len();
                    if a.complete && b.complete && count(a) != count(b) {
                        let message = format!(
                            "set {name} has {} members here and {} elsewhere; the longer list is used",
                            count(b),
                            count(a)
                        );
                        self.warn(Some(*file), record.line, message);
                    }
                    if (a.complete, count(a)) >= (record.complete, count(&record)) {
                        continue;
                    }
                }
                out.insert(
                    name,
                    SetState {
                        set: Set::new(record),
                        origin,
                    },
                );
            }
        }
        out
    }

    /// Entries of `ip neigh`; what of them is not understood says nothing about packets.
    pub(super) fn neighbours(&mut self, files: &[(FileId, &'a str)]) -> Vec<Neighbour> {
        let mut out: Vec<Neighbour> = Vec::new();
        for (file, text) in files {
            for n in neigh::parse(text).value {
                let dev = self.names.get(&*n.dev).copied();
                let text = |t: Option<nfwhy_parsers::Text<'_>>| t.map(owned);
                out.push(Neighbour {
                    addr: n.addr,
                    dev,
                    mac: text(n.lladdr),
                    state: text(n.state),
                    proxy: n.proxy,
                    origin: Origin {
                        file: *file,
                        line: n.line,
                    },
                });
            }
        }
        out
    }

    pub(super) fn programs(&mut self, files: &[(FileId, &'a str)]) -> Vec<Program> {
        let mut out: Vec<Program> = Vec::new();
        for (file, text) in files {
            self.captured.programs = true;
            for p in self.take(*file, programs::parse(text)) {
                let origin = Origin {
                    file: *file,
                    line: p.line,
                };
                let p = p.into_owned();
                let program = Program {
                    device: p.device.into_owned(),
                    hook: p.hook,
                    name: p.name.map(Cow::into_owned),
                    id: p.id,
                    origin,
                };
                // The same thing captured twice is one thing.
                let known = |q: &Program| {
                    (&q.device, &q.hook, q.id) == (&program.device, &program.hook, program.id)
                };
                if !out.iter().any(known) {
                    out.push(program);
                }
            }
        }
        out
    }

    pub(super) fn ipvs(&mut self, files: &[(FileId, &'a str)]) -> IpvsState {
        let mut services: Vec<VirtualService> = Vec::new();
        for (file, text) in files {
            self.captured.ipvs = true;
            for v in self.take(*file, ipvs::parse(text)) {
                let new = VirtualService {
                    key: v.key,
                    scheduler: owned(&v.scheduler),
                    flags: v.flags.iter().map(owned).collect(),
                    persistent: v.persistent,
                    ops: v.ops,
                    complete: v.complete,
                    origin: Origin {
                        file: *file,
                        line: v.line,
                    },
                    servers: v
                        .servers
                        .iter()
                        .map(|s| RealServer {
                            addr: s.addr,
                            port: s.port,
                            method: s.method,
                            weight: s.weight,
                            active: s.active,
                            origin: Origin {
                                file: *file,
                                line: s.line,
                            },
                        })
                        .collect(),
                };
                let Some(old) = services.iter_mut().find(|o| o.key == new.key) else {
                    services.push(new);
                    continue;
                };
                let servers = |v: &VirtualService| {
                    let mut s: Vec<_> = v.servers.iter().map(|s| (s.addr, s.port)).collect();
                    s.sort_unstable();
                    s
                };
                let differ = servers(old) != servers(&new);
                let weights = |v: &VirtualService| v.servers.iter().all(|s| s.weight.is_some());
                if (new.complete, new.servers.len(), weights(&new))
                    > (old.complete, old.servers.len(), weights(old))
                {
                    *old = new;
                }
                if differ {
                    self.warn(Some(*file), v.line, "this virtual service has other real servers elsewhere in the snapshot; the longer list is used".into());
                }
            }
        }
        IpvsState { services }
    }

    pub(super) fn sysctls(&mut self, files: &[(FileId, &'a str)]) -> Sysctls {
        let mut out = Sysctls::default();
        for (file, text) in files {
            self.captured.sysctl = true;
            for s in self.take(*file, sysctl::parse(text)) {
                let origin = Origin {
                    file: *file,
                    line: s.line,
                };
                if let Some((old, at)) = out.set(s.path().join("/"), s.value, origin) {
                    let place = format!("{}:{}", self.files[usize::from(at.file.0)].name, at.line);
                    self.warn(
                        Some(*file),
                        s.line,
                        format!(
                            "{} = {} here, {old} in {place}; the later one is used",
                            s.key, s.value
                        ),
                    );
                }
            }
        }
        out
    }

    pub(super) fn conntrack(&mut self, files: &[(FileId, &'a str)]) -> Vec<CtEntry> {
        let tuple = |t: &Tuple| match t.icmp {
            Some((ty, code, id)) => CtTuple {
                src: t.src,
                dst: t.dst,
                sport: Some(id),
                dport: Some(u16::from(ty) << 8 | u16::from(code)),
            },
            None => CtTuple {
                src: t.src,
                dst: t.dst,
                sport: t.sport,
                dport: t.dport,
            },
        };
        let mut out: Vec<CtEntry> = Vec::new();
        for (file, text) in files {
            self.captured.conntrack = true;
            for f in self.take(*file, conntrack::parse(text)) {
                let e = CtEntry {
                    proto: f.proto,
                    orig: tuple(&f.orig),
                    reply: tuple(&f.reply),
                    replied: !f.unreplied,
                    assured: f.assured,
                    mark: f.mark,
                    zone_orig: f.zone_orig,
                    zone_reply: f.zone_reply,
                    state: f.state.as_ref().map(owned),
                    helper: f.helper.as_ref().map(owned),
                    origin: Origin {
                        file: *file,
                        line: f.line,
                    },
                };
                out.push(e);
            }
        }
        out
    }
}
