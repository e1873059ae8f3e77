//! What a backend answers to a known connection.

use super::conn::{Part, ServiceConn};
use super::{At, SEEN};
use crate::node::DevId;
use crate::sim::run::{Flow, Run};
use crate::trace::{Back, ForkKind, NatKind, StepKind};
use std::net::IpAddr;

impl Run<'_, '_> {
    /// The answer of a backend at a device's ingress (`do_nat`, `CALI_CT_ESTABLISHED_SNAT`). Through the tunnel it goes with the service's
    /// address already; else it is routed as it is, and translated where it leaves. Which, is this node's mode: `CALI_F_DSR` is a flag
    /// of its own programs, and nothing of it travels with the request.
    pub(super) fn calico_answer(&mut self, dev: DevId, at: At, conn: &ServiceConn) -> Flow {
        self.skb.mark |= SEEN;
        if at == At::Workload
            && !conn.forwarded
            && let Some(node) = conn.node
        {
            if self.calico_back(conn.asked.src, true) == Back::Tunnel {
                self.calico_untranslate(conn);
                return self.calico_wrap(dev, node);
            }
            self.step(StepKind::Note(
                "DSR: straight to the client, translated where it leaves".to_owned(),
            ));
        }
        self.calico_redirect(dev)
    }

    /// A program at the egress of a device: the answer gets the service's address (`snat` in `calico_ct_lookup`: "Packet is heading away
    /// from the host namespace").
    pub(in crate::sim) fn calico_egress(&mut self, dev: DevId) -> Flow {
        if !self.node.calico.knows_services(self.family) {
            return Ok(());
        }
        let Some((conn, Part::Answer)) = self.calico_known_answer() else {
            return Ok(());
        };
        let Some(at) = self.calico_at(dev) else {
            let name = &self.node.device(dev).name;
            let note =
                format!("Calico has no program at {name}: the answer keeps the backend's address");
            self.step(StepKind::Note(note));
            return Ok(());
        };
        // Towards another node's pod the answer is translated on that node.
        if at == At::Other {
            return Ok(());
        }
        self.calico_untranslate(&conn);
        match conn.node {
            // `CALI_F_TO_HEP && !CALI_F_DSR`: of a process of this node; a pod's was wrapped where it came in.
            Some(node)
                if at == At::Host
                    && self.iif.is_none()
                    && !conn.forwarded
                    && self.calico_back(conn.asked.src, true) == Back::Tunnel =>
            {
                self.calico_wrap_here(dev, node)
            }
            _ => Ok(()),
        }
    }

    fn calico_untranslate(&mut self, conn: &ServiceConn) {
        (self.skb.src, self.skb.sport) = (conn.asked.dst, conn.asked.dport);
        (self.skb.dst, self.skb.dport) = (conn.asked.src, conn.asked.sport);
        let to = self.view();
        self.step(StepKind::Ebpf {
            service: conn.at,
            backend: conn.at,
            answer: true,
            to,
        });
        self.note_snat(NatKind::Ebpf);
    }

    /// How a client outside is answered from another node than it asked, as this node's programs have it. `decides`: it is this
    /// node that answers; else where the packet is followed the backend's is asked.
    pub(super) fn calico_back(&mut self, client: IpAddr, decides: bool) -> Back {
        if self.calico_opted_out(client) {
            return Back::Tunnel;
        }
        let dsr = if let Some(mode) = self.node.calico.answers() {
            mode.dsr
        } else if self.what_if.followed && !decides {
            false
        } else {
            self.lacks(
                "how Calico has clients outside answered",
                "kubectl get felixconfiguration default -o yaml",
            );
            self.fork_unknown(
                ForkKind::Unknown("Calico's bpfExternalServiceMode".to_owned()),
                "calico bpfExternalServiceMode",
                false,
                "bpfExternalServiceMode is DSR (not captured)",
                "bpfExternalServiceMode is Tunnel, Calico's default (not captured)",
            )
        };
        if dsr { Back::Direct } else { Back::Tunnel }
    }
}
