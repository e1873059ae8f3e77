//! `conntrack` and `state`.

use super::super::conntrack::Ct;
use super::super::run::Run;
use super::{Tri, fact};
use crate::trace::{CtState, Port};
use nfwhy_parsers::iptables::matches::{Conntrack, CtStates};

impl Run<'_, '_> {
    /// The state bits of the packet (`conntrack_mt`, `net/netfilter/xt_conntrack.c`).
    pub(in crate::sim) fn ct_states_fit(&self, want: CtStates, nat: bool) -> bool {
        let mut have = match &self.ct {
            None => CtStates::INVALID,
            Some(ct) => match ct.state {
                CtState::Invalid => CtStates::INVALID,
                CtState::Untracked => CtStates::UNTRACKED,
                CtState::New => CtStates::NEW,
                CtState::Established => CtStates::ESTABLISHED,
                CtState::Related => CtStates::RELATED,
            },
        };
        if nat
            && let Some(ct) = &self.ct
            && !matches!(ct.state, CtState::Invalid | CtState::Untracked)
        {
            if ct.src_nat {
                have |= CtStates::SNAT;
            }
            if ct.dst_nat {
                have |= CtStates::DNAT;
            }
        }
        have & want.0 != 0
    }

    pub(in crate::sim) fn match_conntrack(&mut self, c: &Conntrack) -> Tri {
        if let Some(n) = &c.state
            && self.ct_states_fit(n.value, true) == n.not
        {
            return Tri::No;
        }
        // Everything else asks a connection: none, none fits (`if (ct == NULL) return info->match_flags & XT_CONNTRACK_STATE`).
        let asks = c.dir_original.is_some()
            || c.orig_src.is_some()
            || c.orig_dst.is_some()
            || c.reply_src.is_some()
            || c.reply_dst.is_some()
            || c.orig_sport.is_some()
            || c.orig_dport.is_some()
            || c.reply_sport.is_some()
            || c.reply_dport.is_some();
        let others = asks || c.proto.is_some() || c.status.is_some() || c.expire.is_some();
        if !others {
            return Tri::Yes;
        }
        if asks {
            self.settle_direction();
        }
        let Some(ct) = self
            .ct
            .as_ref()
            .filter(|ct| !matches!(ct.state, CtState::Invalid | CtState::Untracked))
        else {
            return Tri::of(c.state.is_some());
        };
        if c.dir_original.is_some_and(|d| d == ct.is_reply) {
            return Tri::No;
        }
        let proto = if ct.template.is_some() {
            nfwhy_parsers::Proto(0)
        } else {
            self.skb.proto
        };
        if c.proto.is_some_and(|n| (n.value == proto) == n.not) {
            return Tri::No;
        }
        for (want, have) in [
            (c.orig_src, ct.orig.src),
            (c.orig_dst, ct.orig.dst),
            (c.reply_src, ct.reply.src),
            (c.reply_dst, ct.reply.dst),
        ] {
            if want.is_some_and(|n| self.in_net(&n.value, have) == n.not) {
                return Tri::No;
            }
        }
        let mut out = Tri::Yes;
        let icmp = self.skb.icmp.map(|(ty, code)| {
            let mine = Port::Known(u16::from_be_bytes([ty, code]));
            let other = Port::Known(u16::from_be_bytes([answer_type(ty), code]));
            if ct.is_reply {
                (other, mine)
            } else {
                (mine, other)
            }
        });
        for (want, have, what) in [
            (c.orig_sport, ct.orig.sport, "original source"),
            (c.orig_dport, ct.orig.dport, "original destination"),
            (c.reply_sport, ct.reply.sport, "reply source"),
            (c.reply_dport, ct.reply.dport, "reply destination"),
        ] {
            let have = match (have, icmp) {
                // The union's other members: the id as source, type and code as destination (`nf_conntrack_tuple`).
                (Port::None, Some((orig, reply))) => match what {
                    "original destination" => orig,
                    "reply destination" => reply,
                    _ => Port::Unknown,
                },
                // Protocols without ports compare their zero.
                (Port::None, None) => Port::Known(0),
                (p, _) => p,
            };
            match Self::port(have, want, what) {
                Tri::No => return Tri::No,
                Tri::Yes => {}
                u @ Tri::Unknown(_) => out = u,
            }
        }
        if let Some(n) = c.status {
            let have = ct_status(ct) & 0xf;
            // NONE is 0 and asks for no bit at all: `(status_mask & ct->status) ^ !(invert)`.
            if (have & n.value != 0) == n.not {
                return Tri::No;
            }
        }
        if let Some(n) = c.expire {
            // A connection that is not confirmed has no end yet: `nf_ct_expires` takes the time from a duration then, and what
            // comes out depends on how long the node is up.
            let which = if ct.confirmed { "" } else { "unconfirmed " };
            return fact(
                &format!(
                    "the {which}connection's timeout is in {}:{}",
                    n.value.lo, n.value.hi
                ),
                Some(("conntrack entry", "conntrack -L")),
            )
            .not(n.not);
        }
        out
    }
}

/// `IPS_*` of a connection (`include/uapi/linux/netfilter/nf_conntrack_common.h`), as far as they are known.
pub(in crate::sim) fn ct_status(ct: &Ct) -> u16 {
    [
        (2, ct.replied || ct.is_reply),
        (4, ct.assured),
        (8, ct.confirmed),
        (16, ct.src_nat),
        (32, ct.dst_nat),
        (128, ct.src_done),
        (256, ct.dst_done),
    ]
    .iter()
    .map(|(bit, on)| if *on { *bit } else { 0u16 })
    .sum()
}

/// `invmap` in `net/netfilter/nf_conntrack_proto_icmp.c` and `nf_conntrack_proto_icmpv6.c`.
fn answer_type(ty: u8) -> u8 {
    match ty {
        13 | 15 | 17 => ty + 1,
        14 | 16 | 18 => ty - 1,
        8 => 0,
        0 => 8,
        128 => 129,
        129 => 128,
        139 => 140,
        140 => 139,
        _ => ty,
    }
}
