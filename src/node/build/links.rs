//! Devices and addresses.

use super::super::device::{Addr, DevId};
use super::super::{FileId, Origin};
use super::{Builder, owned};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::link::{Link, LinkInfo, Peer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How bridges of containers and virtual machines are called, or begin.
const BRIDGES: &[&str] = &[
    "cni0",
    "docker0",
    "docker_gwbridge",
    "br-",
    "kube-bridge",
    "cbr0",
    "virbr",
    "lxcbr",
    "podman",
    "vmbr",
    "br",
];

impl<'a> Builder<'a> {
    pub(super) fn links(&mut self, files: &[(FileId, &'a str)]) {
        // `ip -br` shows no index: such devices are told apart by name and come behind the others.
        type Key = (bool, u32, Option<String>);
        let mut by_index: BTreeMap<Key, Vec<(FileId, Link<'a>)>> = BTreeMap::new();
        for (file, text) in files {
            let links = self.take(*file, nfwhy_parsers::iproute::link::parse(text));
            for l in links {
                let key = if l.index == 0 {
                    (true, 0, Some(owned(&l.name)))
                } else {
                    (false, l.index, None)
                };
                by_index.entry(key).or_default().push((*file, l));
            }
        }
        self.captured.links = !by_index.is_empty();
        // Devices first, so that masters find theirs whatever the order.
        for list in by_index.values() {
            if let Some((_, l)) = list.first() {
                self.dev(&l.name);
            }
        }
        for ((_, index, _), list) in by_index {
            let Some(name) = list.first().map(|(_, l)| l.name.clone()) else {
                continue;
            };
            let id = self.dev(&name);
            for (file, l) in list {
                if l.name != name {
                    self.warn(
                        Some(file),
                        l.line,
                        format!("device {index} is called {} here and {name} elsewhere; the captures are of different moments or nodes", l.name),
                    );
                }
                self.merge_link(id, file, &l);
            }
        }
        self.bridges_by_name();
    }

    /// Without `-d`, `ip` does not say what a device is. What has ports and such a name is a bridge.
    fn bridges_by_name(&mut self) {
        let masters: Vec<DevId> = self.devices.iter().filter_map(|d| d.master).collect();
        for m in masters {
            let Some(d) = self.devices.get_mut(usize::from(m.0)) else {
                continue;
            };
            let named = |b: &str| {
                let rest = d.name.strip_prefix(b);
                rest.is_some_and(|r| !b.ends_with("br") || r.bytes().all(|c| c.is_ascii_digit()))
            };
            if d.kind.is_none() && BRIDGES.iter().any(|b| named(b)) {
                d.kind = Some("bridge".to_owned());
            }
        }
    }

    pub(super) fn merge_link(&mut self, id: DevId, file: FileId, l: &Link<'a>) {
        let master = l.master.as_deref().map(|m| self.dev(m));
        let origin = Origin { file, line: l.line };
        let d = &mut self.devices[usize::from(id.0)];
        if !d.known {
            d.origin = origin;
        }
        d.known = true;
        d.index = d.index.max(l.index);
        let fill = |slot: &mut Option<String>, v: &Option<Cow<'_, str>>| {
            if slot.is_none() {
                *slot = v.as_ref().map(owned);
            }
        };
        fill(&mut d.kind, &l.kind);
        fill(&mut d.link_type, &l.link_type);
        fill(&mut d.mac, &l.address);
        fill(&mut d.group, &l.group);
        fill(&mut d.xdp, &l.xdp);
        d.mtu = d.mtu.or(l.mtu);
        d.master = d.master.or(master);
        if d.flags.is_empty() {
            d.flags = l.flags.iter().map(owned).collect();
        }
        for a in &l.altnames {
            if !d.altnames.iter().any(|x| x == a) {
                d.altnames.push(owned(a));
            }
        }
        if d.peer == Peer::None {
            d.peer = match &l.peer {
                Peer::None => Peer::None,
                Peer::Unbound => Peer::Unbound,
                Peer::Name(n) => Peer::Name(Cow::Owned(owned(n))),
                Peer::Index(i) => Peer::Index(*i),
            };
        }
        if d.info == LinkInfo::default() {
            let i = &l.info;
            d.info = LinkInfo {
                dev: i.dev.as_ref().map(|x| Cow::Owned(owned(x))),
                rest: i.rest.as_ref().map(|x| Cow::Owned(owned(x))),
                id: i.id,
                local: i.local,
                remote: i.remote,
                dstport: i.dstport,
                learning: i.learning,
                table: i.table,
                external: i.external,
                tos: i.tos,
                ttl: i.ttl,
                nf_call_iptables: i.nf_call_iptables,
                nf_call_ip6tables: i.nf_call_ip6tables,
                hairpin: i.hairpin,
            };
        }
        if !l.shows_addresses {
            return;
        }
        let mut contradiction = None;
        for family in [Family::V4, Family::V6] {
            let new: Vec<Addr> = l
                .addresses
                .iter()
                .filter(|a| Family::of(a.local) == family)
                .map(|a| Addr {
                    local: a.local,
                    peer: a.peer.unwrap_or(a.local),
                    prefix_len: a.prefix_len,
                    scope: a.scope,
                    secondary: a.secondary,
                    tentative: a.tentative,
                    deprecated: a.deprecated,
                    temporary: a.temporary,
                    optimistic: a.flags.iter().any(|f| f == "optimistic"),
                    noprefixroute: a.flags.iter().any(|f| f == "noprefixroute"),
                    broadcast: a.broadcast,
                    origin: Origin { file, line: a.line },
                })
                .collect();
            let d = &mut self.devices[usize::from(id.0)];
            let old: Vec<_> = d
                .addrs
                .iter()
                .filter(|a| Family::of(a.local) == family)
                .cloned()
                .collect();
            if old.is_empty() {
                d.addrs.extend(new);
                continue;
            }
            let key = |v: &[Addr]| {
                v.iter()
                    .map(|a| (a.local, a.prefix_len))
                    .collect::<Vec<_>>()
            };
            if !new.is_empty() && key(&old) != key(&new) {
                contradiction = Some(d.name.clone());
                if new.len() > old.len() {
                    d.addrs.retain(|a| Family::of(a.local) != family);
                    d.addrs.extend(new);
                }
            }
        }
        if let Some(name) = contradiction {
            self.warn(
                Some(file),
                l.line,
                format!(
                    "{name} has other addresses here than in another file; the longer list is used"
                ),
            );
        }
        // `ip -4 addr` shows no IPv6 address; a whole capture shows at least one on some device.
        self.captured.addr4 = true;
        if l.addresses
            .iter()
            .any(|a| Family::of(a.local) == Family::V6)
        {
            self.captured.addr6 = true;
        }
    }
}
