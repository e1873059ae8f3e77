//! Connections in each other's way: a new one whose tuple a known one holds.

use super::conntrack::{Tuple, zones_of};
use super::run::{End, Flow, Run};
use super::zone::Zones;
use crate::node::Origin;
use crate::trace::{CtState, Port, Reason};
use nfwhy_parsers::Proto;

/// A known connection in the way of a new one.
pub(super) struct Taken {
    /// Its original direction is the other's reply.
    pub reversed: bool,
    /// Its addresses or ports are translated.
    pub translated: bool,
    /// Where it was read.
    pub at: Option<Origin>,
}

impl Run<'_, '_> {
    /// The known connection that a new one with this reply tuple would clash with (`nf_conntrack_tuple_taken`), other than that
    /// of the same packets. An ICMP message finds another id (`nf_nat_l4proto_unique_tuple`), which is not told.
    pub(super) fn taken(&self, reply: Tuple) -> Option<Taken> {
        let ct = self.ct.as_ref()?;
        let zones = ct.zones;
        let exact = |p: Port| matches!(p, Port::Known(_) | Port::None);
        let icmp = matches!(self.skb.proto, Proto::ICMP | Proto::ICMPV6);
        if icmp || !exact(reply.sport) || !exact(reply.dport) {
            return None;
        }
        if let Some(r) = self.region {
            for (_, orig, theirs, taken) in self.others() {
                // What the packet came with has the watched address from there.
                if taken.at.is_none() {
                    continue;
                }
                let near = |t: Tuple| {
                    (t.sport, t.dport) == (reply.sport, reply.dport)
                        || (t.sport, t.dport) == (ct.orig.sport, ct.orig.dport)
                };
                if near(orig) || near(theirs) {
                    for a in [orig.src, orig.dst, theirs.src, theirs.dst] {
                        r.meets(a);
                    }
                }
            }
        }
        self.others().find_map(|(its, orig, theirs, taken)| {
            // Tuples are found in the list of their own zone, and compared in that of their direction.
            let own = orig == ct.orig && its.orig == zones.orig;
            let reversed = orig == reply && its.orig == zones.orig && its.orig == zones.reply;
            let alike = theirs == reply && its.reply == zones.reply;
            (!own && (reversed || alike)).then_some(Taken { reversed, ..taken })
        })
    }

    /// All known connections of the packet's protocol: zones, tuples, and the rest.
    fn others(&self) -> impl Iterator<Item = (Zones, Tuple, Tuple, Taken)> {
        let held = self.packet.conn.as_ref().filter(|k| !k.untracked);
        let held = held.map(|k| {
            let taken = Taken {
                reversed: false,
                translated: k.src_nat || k.dst_nat,
                at: None,
            };
            (k.proto, (k.zones, k.orig, k.reply, taken))
        });
        let captured = self.node.conntrack.iter().map(|e| {
            let (orig, reply) = (Tuple::of(&e.orig), Tuple::of(&e.reply));
            let taken = Taken {
                reversed: false,
                translated: reply != orig.inverted(),
                at: Some(e.origin),
            };
            (e.proto, (zones_of(e), orig, reply, taken))
        });
        held.into_iter()
            .chain(captured)
            .filter(|(proto, _)| *proto == self.skb.proto)
            .map(|(_, known)| known)
    }

    /// `nf_confirm`: a connection whose reply tuple another has is not taken in, and its packet dropped.
    pub(super) fn confirm(&mut self) -> Flow {
        let Some(ct) = &self.ct else { return Ok(()) };
        let new = matches!(ct.state, CtState::New | CtState::Related);
        if !new || ct.confirmed {
            return Ok(());
        }
        match self.taken(ct.reply) {
            Some(t) => Err(End::dropped(Reason::ConnectionClash { at: t.at })),
            None => Ok(()),
        }
    }
}
