//! A connection through a service as Calico's programs keep it.

use crate::node::Origin;
use crate::node::calico::origin;
use crate::sim::Tuple;
use crate::sim::run::Run;
use crate::trace::{Packet, Port};
use nfwhy_parsers::calico_bpf::Flow;
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// What Calico's programs know of a packet beside its headers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CalicoSeen {
    /// It came in Calico's own VXLAN: the outer packet's source and destination.
    pub tunnel: Option<(IpAddr, IpAddr)>,
    /// The connection through a service that it belongs to, where an earlier trace made it.
    pub conn: Option<ServiceConn>,
}

/// `struct calico_ct_value` of type `CALI_CT_TYPE_NAT_REV` and its forward entry (`conntrack_types.h`, felix/bpf-gpl).
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConn {
    /// Protocol.
    pub proto: Proto,
    /// As the client asked.
    pub asked: Tuple,
    /// As the backend sees it.
    pub served: Tuple,
    /// `tun_ip`: the other node of a connection that goes through the tunnel.
    pub node: Option<IpAddr>,
    /// `CALI_CT_FLAG_NP_FWD`: this node is the one that the client asked, and forwarded it.
    pub forwarded: bool,
    /// Where the service, or the captured connection, was read.
    pub at: Origin,
}

impl ServiceConn {
    /// A captured one.
    pub(super) fn of(f: &Flow, file: crate::node::FileId) -> Option<Self> {
        let tuple = |src: (IpAddr, u16), dst: (IpAddr, u16)| Tuple {
            src: src.0,
            dst: dst.0,
            sport: Port::Known(src.1),
            dport: Port::Known(dst.1),
        };
        Some(Self {
            proto: f.proto,
            asked: tuple(f.src, f.service?),
            served: tuple(f.src, f.dst),
            node: f.tunnel,
            forwarded: f.forwarded == Some(true),
            at: origin(file, f.line),
        })
    }

    /// Whether a packet is the client's, not yet translated.
    pub(super) fn has_asked(&self, packet: &Packet) -> bool {
        self.proto == packet.proto
            && packet.src == Some(self.asked.src)
            && packet.dst == self.asked.dst
            && packet.dport == self.asked.dport
    }

    /// Whether a packet belongs to it, in either direction, before or after it was translated.
    pub fn has(&self, packet: &Packet) -> bool {
        let Some(src) = packet.src else { return false };
        let t = Tuple {
            src,
            dst: packet.dst,
            sport: packet.sport,
            dport: packet.dport,
        };
        self.proto == packet.proto
            && [self.asked, self.served]
                .into_iter()
                .any(|c| same(c, t) || same(c.inverted(), t))
    }
}

/// Whether they may be one: ports that are not known are taken to be the same.
fn same(a: Tuple, b: Tuple) -> bool {
    let port = |a: Port, b: Port| match (a, b) {
        (Port::Known(x), Port::Known(y)) => x == y,
        (Port::None, Port::None) => true,
        (Port::None, _) | (_, Port::None) => false,
        _ => true,
    };
    a.src == b.src && a.dst == b.dst && port(a.sport, b.sport) && port(a.dport, b.dport)
}

/// What a packet is to a known connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What the backend sent, as it sent it.
    Answer,
    /// The same with the service's address already: back from the backend's node.
    Returned,
}

impl Run<'_, '_> {
    /// The known connection that the packet is an answer of (`calico_ct_lookup`).
    pub(super) fn calico_known_answer(&self) -> Option<(ServiceConn, Part)> {
        let t = self.tuple();
        let part = |c: &ServiceConn| {
            if same(c.served.inverted(), t) {
                Some(Part::Answer)
            } else if same(c.asked.inverted(), t) {
                Some(Part::Returned)
            } else {
                None
            }
        };
        if let Some(c) = &self.packet.calico.conn
            && c.proto == self.skb.proto
            && let Some(p) = part(c)
        {
            return Some((c.clone(), p));
        }
        let calico = &self.node.calico;
        if calico.flows.is_empty() {
            return None;
        }
        let (sport, dport) = (t.sport.known()?, t.dport.known()?);
        let (src, dst) = ((t.src, sport), (t.dst, dport));
        let (f, file) = calico
            .answered(self.skb.proto, src, dst)
            .or_else(|| calico.flow(self.skb.proto, dst, src))?;
        let c = ServiceConn::of(f, *file)?;
        let p = part(&c)?;
        Some((c, p))
    }

    /// `conntrack_create`: what is kept of a packet that a service took.
    pub(super) fn calico_keeps(&mut self, asked: Tuple, node: Option<IpAddr>, forwarded: bool) {
        let at = self.served.map_or(Origin::default(), |s| s.service);
        self.calico = Some(ServiceConn {
            proto: self.skb.proto,
            asked,
            served: self.tuple(),
            node,
            forwarded,
            at,
        });
    }

    /// Whether the client's answers do not go by DSR (`CALI_CT_FLAG_NP_NO_DSR`: bpfDSROptoutCIDRs).
    pub(super) fn calico_opted_out(&self, client: IpAddr) -> bool {
        let route = self.node.calico.route(client);
        Family::of(client) == self.family
            && route.is_some_and(|(r, _)| r.has(nfwhy_parsers::calico_bpf::Route::NO_DSR))
    }
}
