//! Hooks as data: what is registered where, sorted as the kernel sorts it.

use crate::node::{ChainId, Node, TableKind};
use crate::trace::Hook;
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Backend;
use nfwhy_parsers::nft;
use std::cmp::Reverse;

/// What runs at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Func {
    /// `nf_conntrack_in`.
    Conntrack,
    /// A table's base chain.
    Table(usize),
    /// A base chain of nftables.
    Nft(usize, ChainId),
    /// `nf_nat_inet_fn` with the nat tables.
    Nat,
    /// `ip_vs_out_hook`: replies of real servers.
    IpvsOut,
    /// `ip_vs_in_hook`: requests to virtual services.
    IpvsIn,
}

/// Per hook, the functions by priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Hooks {
    lists: [Vec<(i32, Func)>; 5],
    /// Per hook, the nat tables and chains by priority; they run inside of `Func::Nat`.
    nat: [Vec<(i32, Func)>; 5],
    /// Chains at devices, by priority: those a packet meets as it comes in, and as it leaves.
    devices: [Vec<(i32, usize, ChainId)>; 2],
}

/// `NF_IP_PRI_*` (`include/uapi/linux/netfilter_ipv4.h`; the same numbers for IPv6).
const CONNTRACK: i32 = -200;
pub(super) const NAT_DST: i32 = -100;
pub(super) const NAT_SRC: i32 = 100;

fn priority(kind: TableKind, backend: Backend) -> i32 {
    match kind {
        // iptables-nft gives its security chains 150, not the kernel's NF_IP_PRI_SECURITY (`xtables_ipv4` in iptables/nft.c):
        // they run after nat INPUT.
        TableKind::Security if backend == Backend::Nft => 150,
        TableKind::Raw => -300,
        TableKind::Mangle => -150,
        TableKind::Nat => NAT_DST,
        TableKind::Filter => 0,
        TableKind::Security => 50,
    }
}

fn table_hooks(kind: TableKind) -> &'static [Hook] {
    match kind {
        TableKind::Raw => &[Hook::Prerouting, Hook::Output],
        TableKind::Mangle => &Hook::ALL,
        TableKind::Filter | TableKind::Security => &[Hook::Input, Hook::Forward, Hook::Output],
        // nat runs inside of `Func::Nat`.
        TableKind::Nat => &[],
    }
}

impl Hooks {
    pub(super) fn new(node: &Node<'_>, family: Family) -> Self {
        let mut h = Self::default();
        let mut add = |hook: Hook, p: i32, f: Func| h.lists[hook as usize].push((p, f));
        for hook in [Hook::Prerouting, Hook::Output] {
            add(hook, CONNTRACK, Func::Conntrack);
            add(hook, NAT_DST, Func::Nat);
        }
        for hook in [Hook::Input, Hook::Postrouting] {
            add(hook, NAT_SRC, Func::Nat);
        }
        // `ip_vs_ops4` and `ip_vs_ops6` in net/netfilter/ipvs/ip_vs_core.c.
        add(Hook::Input, NAT_SRC - 2, Func::IpvsOut);
        add(Hook::Input, NAT_SRC - 1, Func::IpvsIn);
        add(Hook::Output, NAT_DST + 1, Func::IpvsOut);
        add(Hook::Output, NAT_DST + 2, Func::IpvsIn);
        add(Hook::Forward, 100, Func::IpvsOut);
        for (i, t) in node.netfilter.tables.iter().enumerate() {
            if t.family != family {
                continue;
            }
            for hook in table_hooks(t.kind) {
                add(*hook, priority(t.kind, t.backend), Func::Table(i));
            }
        }
        for (i, t) in node.netfilter.tables.iter().enumerate() {
            if t.family == family && t.kind == TableKind::Nat {
                for hook in Hook::ALL {
                    let p = if matches!(hook, Hook::Prerouting | Hook::Output) {
                        NAT_DST
                    } else {
                        NAT_SRC
                    };
                    h.nat[hook as usize].push((p, Func::Table(i)));
                }
            }
        }
        for (i, t) in node.netfilter.nft_tables() {
            if !t.sees(family) || t.def.dormant {
                continue;
            }
            // Where iptables-nft-save shows the table, only what it does not show is taken from here.
            let shown = node.netfilter.tables.iter().find(|x| x.twin == Some(i));
            for id in t.chain_ids() {
                let base = t.def.chains.get(id.0 as usize);
                let Some(b) = base.and_then(|c| c.base.as_ref()) else {
                    continue;
                };
                let name = base.map_or("", |c| c.name.as_ref());
                if shown.is_some_and(|x| x.chain(name).is_some()) {
                    continue;
                }
                let hook = match b.hook {
                    nft::Hook::Prerouting => Hook::Prerouting,
                    nft::Hook::Input => Hook::Input,
                    nft::Hook::Forward => Hook::Forward,
                    nft::Hook::Output => Hook::Output,
                    nft::Hook::Postrouting => Hook::Postrouting,
                    nft::Hook::Ingress | nft::Hook::Egress => {
                        let leaves = usize::from(b.hook == nft::Hook::Egress);
                        h.devices[leaves].push((b.priority, i, id));
                        continue;
                    }
                };
                if b.kind == nft::ChainType::Nat {
                    h.nat[hook as usize].push((b.priority, Func::Nft(i, id)));
                } else {
                    h.lists[hook as usize].push((b.priority, Func::Nft(i, id)));
                }
            }
        }
        // Of equal priorities the hook registered last runs first (`nf_hook_entries_grow` in net/netfilter/core.c puts it before the
        // first that is not of a lower number), and a listing shows tables and chains as they were registered. When those of
        // iptables-legacy were, nothing shows: they are taken for the last.
        let age = |f: &Func| match f {
            Func::Table(i) => {
                let table = node.netfilter.tables.get(*i);
                let nft = table.is_some_and(|t| t.backend == Backend::Nft);
                let twin = table.and_then(|t| t.twin).unwrap_or(0);
                (if nft { 2 } else { 1 }, Reverse(twin), Reverse(0))
            }
            Func::Nft(i, chain) => (2, Reverse(*i), Reverse(chain.0)),
            _ => (0, Reverse(0), Reverse(0)),
        };
        // The first nat chain brings the function that runs them all (`nf_nat_register_fn`).
        let nat = h.nat.iter().flatten().map(|(_, f)| age(f)).max();
        for l in &mut h.lists {
            l.sort_by_key(|(p, f)| match (f, nat) {
                (Func::Nat, Some(first)) => (*p, first),
                _ => (*p, age(f)),
            });
        }
        for l in &mut h.nat {
            l.sort_by_key(|(p, f)| (*p, age(f)));
        }
        for l in &mut h.devices {
            l.sort_by_key(|(p, i, chain)| (*p, Reverse(*i), Reverse(chain.0)));
        }
        h
    }

    /// The chains at devices, in order: table, chain and priority.
    pub(super) fn at_devices(&self, leaves: bool) -> Vec<(i32, usize, ChainId)> {
        self.devices[usize::from(leaves)].clone()
    }

    /// Whether anything translates: `nf_nat` has its hooks.
    pub(super) fn has_nat(&self) -> bool {
        self.nat.iter().any(|l| !l.is_empty())
    }

    /// The nat tables and chains of a hook, in order.
    pub(super) fn nat_at(&self, hook: Hook) -> Vec<(i32, Func)> {
        self.nat[hook as usize].clone()
    }

    /// The functions of a hook in order.
    pub(super) fn at(&self, hook: Hook) -> Vec<(i32, Func)> {
        self.lists[hook as usize].clone()
    }
}
