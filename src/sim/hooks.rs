//! Hooks as data: what is registered where, sorted as the kernel sorts it.

use crate::node::{Node, TableKind};
use crate::trace::Hook;
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Backend;

/// What runs at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Func {
    /// `nf_conntrack_in`.
    Conntrack,
    /// A table's base chain.
    Table(usize),
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
    /// The nat tables by the order of their entries.
    pub nat: Vec<usize>,
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
        for l in &mut h.lists {
            // Stable: equal priorities keep the order of registration.
            l.sort_by_key(|(p, _)| *p);
        }
        h.nat = node
            .netfilter
            .tables
            .iter()
            .enumerate()
            .filter(|(_, t)| t.family == family && t.kind == TableKind::Nat)
            .map(|(i, _)| i)
            .collect();
        h
    }

    /// The functions of a hook in order.
    pub(super) fn at(&self, hook: Hook) -> Vec<(i32, Func)> {
        self.lists[hook as usize].clone()
    }
}
