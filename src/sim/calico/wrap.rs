//! Calico's own VXLAN between the node that a client asks and that of the backend.

use super::conn::ServiceConn;
use super::{At, SEEN, Service, VXLAN_PORT};
use crate::node::{DevId, Origin};
use crate::sim::Tuple;
use crate::sim::path::Dst;
use crate::sim::run::{End, Flow, Run};
use crate::trace::{Out, Port, Reason, Refused, Served, StepKind, Verdict, View};
use nfwhy_parsers::Proto;
use nfwhy_parsers::calico_bpf::Route;
use std::net::IpAddr;

/// What it is called in steps; the kernel's own VXLAN makes no such step.
pub const VXLAN: &str = "vxlan";

impl Run<'_, '_> {
    /// `do_nat`, `encap_needed`: the request goes to the backend's node in VXLAN, as it came from the client: with the service's address,
    /// for that node chooses among its own backends.
    pub(super) fn calico_forward(
        &mut self,
        dev: DevId,
        service: &Service,
        node: IpAddr,
        asked: Tuple,
    ) -> Flow {
        if self.skb.ttl <= 1 {
            return Err(End::rejected(Reason::Ttl));
        }
        let answer = self.calico_back(asked.src, false);
        self.served = Some(Served {
            service: service.at,
            node: Some(node),
            answer,
        });
        self.calico_keeps(asked, Some(node), true);
        if self.what_if.followed {
            // On one node alone it is told what the other is expected to do.
            (self.skb.dst, self.skb.dport) = (asked.dst, asked.dport);
            self.dnat = None;
        }
        self.calico_wrap(dev, node)
    }

    /// The packet as it is goes to another node in VXLAN.
    pub(super) fn calico_wrap(&mut self, dev: DevId, node: IpAddr) -> Flow {
        let inner = self.view();
        let host = self.calico_envelope(node);
        let way = self.calico_way(dev)?;
        self.step(StepKind::Encapsulated {
            kind: VXLAN.to_owned(),
            src: host,
            dst: node,
        });
        self.calico_sent(inner, &way)
    }

    /// `nat_encap` at a host device: what a process of the node answers was routed to the client and goes to the other node by the same
    /// device all the same.
    pub(super) fn calico_wrap_here(&mut self, dev: DevId, node: IpAddr) -> Flow {
        let inner = self.view();
        let host = self.calico_envelope(node);
        self.step(StepKind::Encapsulated {
            kind: VXLAN.to_owned(),
            src: host,
            dst: node,
        });
        let way = Dst {
            dev: Some(dev),
            via: None,
            local: false,
            mtu: None,
        };
        self.calico_sent(inner, &way)
    }

    /// `vxlan_encap`. The source is `HOST_IP`.
    fn calico_envelope(&mut self, node: IpAddr) -> Option<IpAddr> {
        let host = self.node.calico.host(self.family);
        self.outer = true;
        (self.skb.dst, self.skb.proto) = (node, Proto::UDP);
        self.skb.dport = Port::Known(VXLAN_PORT);
        if let Some(h) = host {
            self.skb.src = h;
        }
        host
    }

    fn calico_sent(&mut self, inner: View, way: &Dst) -> Flow {
        let Some(dev) = way.dev else {
            return Err(End::unknown("the packet has no device to leave by"));
        };
        self.delivered = Some(View {
            oif: Some(dev),
            ..inner
        });
        self.out = Some(Out { dev, via: way.via });
        self.at_device(dev, true)?;
        Err(End::new(
            Verdict::Forwarded,
            Reason::Sent {
                tunnel: Some(VXLAN.to_owned()),
            },
        ))
    }

    /// `vxlan_attempt_decap` (nat.h): only for an address of this node, and only from what the routes know as another one.
    pub(super) fn calico_unwrap(
        &mut self,
        dev: DevId,
        at: At,
        (from, to): (IpAddr, IpAddr),
    ) -> Flow {
        let calico = &self.node.calico;
        let name = &self.node.device(dev).name;
        // `dnat_should_decap`: not at tunnels' devices.
        if at != At::Host {
            return Err(End::unknown(format!(
                "Calico's program at {name} does not unwrap VXLAN"
            )));
        }
        if calico.knows_routes(self.family) {
            let flags = |a: IpAddr| calico.route(a).map_or(0, |(r, _)| r.flags);
            let is = |a: IpAddr, local: u32| {
                flags(a) & (Route::HOST | Route::LOCAL) == Route::HOST | local
            };
            let place = calico.routes.first();
            let place = place.map_or(Origin::default(), |(r, file)| {
                crate::node::calico::origin(*file, r.line)
            });
            if !is(to, Route::LOCAL) {
                return Err(End::unknown(format!(
                    "Calico's routes do not know {to} as this node's, so the VXLAN packet stays as it is"
                )));
            }
            if !is(from, 0) {
                return Err(End::dropped(Reason::Ebpf {
                    why: Refused::Stranger,
                    at: place,
                }));
            }
        } else {
            self.calico_lacks_routes(&format!("{from} is a node of the cluster to this one"));
        }
        self.step(StepKind::Note(format!(
            "out of Calico's own VXLAN from {from}, at {name}, before netfilter"
        )));
        Ok(())
    }

    /// An answer that comes back from the backend's node (`do_nat`, `ct_result_np_node`): it has the service's address already, and is sent on
    /// to the client.
    pub(super) fn calico_returned(&mut self, dev: DevId, from: IpAddr, conn: &ServiceConn) -> Flow {
        // `CT_RES_TUN_SRC_CHANGED`: from another node than it was forwarded to.
        if conn.node.is_some_and(|n| n != from) {
            return Err(End::dropped(Reason::Ebpf {
                why: Refused::Stranger,
                at: conn.at,
            }));
        }
        self.step(StepKind::Note(format!(
            "the answer of {from} has the service's address already"
        )));
        self.skb.mark |= SEEN;
        self.calico_redirect(dev)
    }
}
