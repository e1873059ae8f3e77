//! What was judged, by kind: a scheduler or a policy that never turns up is not tested.

use nfwhy::node::{Forwarding, Node, VirtualKey};
use nfwhy::trace::{Outcome, StepKind};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::frame::{ICMP, ICMPV6, SCTP, TCP, UDP};
use super::probes::{From, Probe};
use super::scenario::Scenario;

/// Counts by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<&'static str, BTreeMap<String, u64>>);

impl Tally {
    /// Counts one.
    pub fn count(&mut self, kind: &'static str, name: impl Into<String>) {
        *self
            .0
            .entry(kind)
            .or_default()
            .entry(name.into())
            .or_default() += 1;
    }

    /// A scenario.
    pub fn scenario(&mut self, s: &Scenario) {
        let rules = if s.article {
            "Calico".to_owned()
        } else {
            format!("{:?}", s.settings.form)
        };
        self.count("rule sets", rules);
        self.count("backends", if s.nft { "nft" } else { "legacy" });
        self.count("families", if s.places.v6 { "IPv6" } else { "IPv4" });
        for (key, value) in &s.sysctls {
            if key.starts_with("ipv4/vs/") || key.ends_with("rp_filter") {
                let key = key.rsplit('/').next().unwrap_or_default();
                self.count("settings", format!("{key}={value}"));
            }
        }
        if s.ip.iter().any(|l| l.starts_with("rule add")) {
            self.count("settings", "ip rules");
        }
    }

    /// A packet on which both agree.
    pub fn packet(&mut self, s: &Scenario, which: &'static str, first: &Probe, p: &Probe) {
        self.count("packets", which);
        let proto = match p.wire.proto {
            TCP => "tcp",
            UDP => "udp",
            SCTP => "sctp",
            ICMP | ICMPV6 => "echo",
            _ => "other",
        };
        self.count(
            "protocols",
            format!("{proto}{}", if s.places.v6 { "6" } else { "" }),
        );
        if which == "first" {
            self.count("from", from(s, p));
            self.count("to", to(s, first));
        }
    }

    /// Counts what IPVS did with a packet.
    pub fn ipvs(&mut self, node: &Node<'_>, o: &Outcome) {
        for s in &o.steps {
            match s.kind {
                StepKind::Ipvs {
                    service, server, ..
                } => {
                    let Some(v) = node.ipvs.services.get(service) else {
                        continue;
                    };
                    let Some(to) = v.servers.get(server) else {
                        continue;
                    };
                    let method = match to.method {
                        Forwarding::Masq => "masq",
                        Forwarding::Local => "local",
                        Forwarding::Tunnel => "tunnel",
                        Forwarding::Route => "route",
                    };
                    let here = node
                        .devices
                        .iter()
                        .any(|d| d.addrs.iter().any(|a| a.local == to.addr));
                    let here = if here { ", the node itself" } else { "" };
                    self.count("methods", format!("{method}{here}"));
                    self.count("schedulers", v.scheduler.clone());
                    for f in &v.flags {
                        self.count("options", f.clone());
                    }
                    let key = match v.key {
                        VirtualKey::Fwmark { .. } => "by mark",
                        VirtualKey::Addr { port: 0, .. } => "every port",
                        VirtualKey::Addr { .. } => "by address",
                    };
                    self.count("services", key);
                    if v.persistent.is_some() {
                        self.count("options", "persistent");
                    }
                    if v.ops {
                        self.count("options", "one packet");
                    }
                }
                StepKind::IpvsReply { .. } => self.count("methods", "reply"),
                _ => {}
            }
        }
    }
}

fn from(s: &Scenario, p: &Probe) -> &'static str {
    let hosts = &s.places;
    match p.from {
        From::Local { mark: 1.., .. } => "the node, marked",
        From::Local { bound: true, .. } => "the node, bound",
        From::Local { .. } => "the node",
        From::Raw => "the node, raw",
        From::Tunnel(_) => "a pod elsewhere, by the tunnel",
        From::Device(_) if hosts.pods.contains(&p.wire.src) => "a pod here",
        From::Device(_) if hosts.far_pods.contains(&p.wire.src) => "a pod elsewhere",
        From::Device(_) => "a client",
    }
}

/// What a packet is sent to, and under which policy.
fn to(s: &Scenario, p: &Probe) -> String {
    let w = &p.wire;
    let policy = |local: bool| if local { "Local" } else { "Cluster" };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for x in &s.services {
        addresses.extend(
            [Some(x.cluster), x.balancer, x.external]
                .into_iter()
                .flatten(),
        );
        let here = w.proto == x.proto && w.dport == x.port;
        if here && w.dst == x.cluster {
            return format!("cluster address, {}", policy(x.internal_local));
        }
        if here && Some(w.dst) == x.balancer {
            let guarded = if x.ranges.is_empty() { "" } else { ", ranges" };
            return format!("load balancer, {}{guarded}", policy(x.local));
        }
        if here && Some(w.dst) == x.external {
            return format!("external address, {}", policy(x.local));
        }
        if w.proto == x.proto && Some(w.dport) == x.node_port {
            return format!("node port, {}", policy(x.local));
        }
    }
    if let Some(m) = &s.marked
        && m.addr == w.dst
    {
        return "served by mark".into();
    }
    if addresses.contains(&w.dst) {
        return "virtual address, port not served".into();
    }
    "other".into()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, names) in &self.0 {
            let list: Vec<_> = names.iter().map(|(n, c)| format!("{n} {c}")).collect();
            writeln!(f, "{kind}: {}", list.join(" | "))?;
        }
        Ok(())
    }
}
