//! What a program that owns a rule set never does otherwise: which side of an unknown is to be expected.
//!
//! It decides nothing. Both sides are walked; this only tells which of them an answer should speak of first.

use super::run::Run;
use crate::node::SetValue;

/// kube-proxy's sets of Service addresses with ports other than `ClusterIPs` (pkg/proxy/ipvs/proxier.go, `ipsetInfo`).
const FROM_OUTSIDE: &[&str] = &["KUBE-LOAD-BALANCER", "KUBE-EXTERNAL-IP"];

impl Run<'_, '_> {
    /// The expected side of a fact, and why; `None` where nothing is to be expected.
    pub(super) fn convention(&self, fact: &str) -> Option<(bool, &'static str)> {
        match fact {
            "net.ipv4.vs.conntrack" => self
                .node
                .devices
                .iter()
                .any(|d| d.name == "kube-ipvs0")
                // pkg/proxy/ipvs/proxier.go, `NewProxier`.
                .then_some((true, "kube-proxy sets it")),
            // Without it no pod of the node reaches another one.
            "net.ipv4.ip_forward" => self
                .has_rules_of_kubernetes()
                .then_some((true, "nodes of Kubernetes forward")),
            // Without it Services do not work between pods of one bridge; kubeadm refuses such a node.
            "net.bridge.bridge-nf-call-iptables" | "net.bridge.bridge-nf-call-ip6tables" => self
                .has_rules_of_kubernetes()
                .then_some((true, "nodes of Kubernetes show netfilter what is bridged")),
            "chain nat KUBE-NODE-PORT" => self
                .asks_for_a_service_address()
                // `KUBE-NODE-PORT` tests the ports of NodePorts; a Service's own port may be one of them only by configuration.
                .then_some((
                    true,
                    "it is for NodePorts, and the address is a load balancer's",
                )),
            _ => {
                let rest = fact.strip_prefix("set KUBE-CLUSTER-IP ")?;
                self.looks_at_destination();
                let port = self.packet.dport.known()?;
                let tuple = format!("{},{}:{port}", self.packet.dst, self.packet.proto);
                (rest == tuple && self.asks_for_a_service_address()).then_some((
                    false,
                    "kube-proxy puts ClusterIPs there, and this is in another of its sets",
                ))
            }
        }
    }

    fn looks_at_destination(&self) {
        if let Some(r) = self.watched(self.packet.dst) {
            r.alone();
        }
    }

    fn has_rules_of_kubernetes(&self) -> bool {
        let tables = &self.node.netfilter.tables;
        self.node.devices.iter().any(|d| d.name == "kube-ipvs0")
            || tables.iter().any(|t| {
                t.chain("KUBE-SERVICES").is_some() || t.chain("KUBE-POSTROUTING").is_some()
            })
    }

    /// Whether a set of kube-proxy is known to hold the destination as a load balancer's or external address.
    fn asks_for_a_service_address(&self) -> bool {
        self.looks_at_destination();
        let Some(port) = self.packet.dport.known() else {
            return false;
        };
        let values = [
            SetValue::Addr(self.packet.dst),
            SetValue::Port(self.packet.proto, port),
            SetValue::None,
        ];
        FROM_OUTSIDE.iter().any(|name| {
            self.node
                .sets
                .get(*name)
                .is_some_and(|s| s.set.find(&values, 2).is_some())
        })
    }
}
