//! A packet that leaves by a tunnel device is wrapped, and the outer packet passes OUTPUT and POSTROUTING on its own.

use super::conntrack::Ct;
use super::route::RouteKey;
use super::run::{Flow, Run};
use crate::node::DevId;
use crate::trace::{CtState, Port, StepKind, TcpFlags};
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

impl Run<'_, '_> {
    /// IPIP and its kin name the other end by the device's remote or by the route's gateway (`ip_tunnel_xmit`,
    /// `net/ipv4/ip_tunnel.c`). VXLAN's depends on the forwarding database and the other nodes (`cluster::fdb`).
    pub(super) fn encapsulate(&mut self, dev: DevId, kind: &str, via: Option<IpAddr>) -> Flow {
        let d = self.node.device(dev);
        if !matches!(kind, "ipip" | "sit" | "gre") {
            return Ok(());
        }
        let remote = d
            .info
            .remote
            .filter(|r| !r.is_unspecified())
            .or(via)
            .unwrap_or(self.skb.dst);
        if !remote.is_ipv4() {
            return Ok(());
        }
        let local = d.info.local.filter(|l| !l.is_unspecified());
        let mut key = RouteKey::bare(remote);
        // The device's own mark, which few have, and not the packet's (`ip_tunnel_xmit`, `ipip6_tunnel_xmit`); where the route names
        // the other end it is the packet's (`ip_md_tunnel_xmit`).
        if d.info.external {
            key.mark = self.skb.mark;
        }
        if let Some(local) = local {
            key.src = local;
        }
        let inner_family = self.family;
        self.family = Family::V4;
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(super::route::NoWay::NotCaptured) => {
                // The packet itself has got through; only its envelope's way is not known.
                self.family = inner_family;
                self.taint(
                    format!(
                        "the {kind} packet around it reaches {remote} (no route to it is shown)"
                    ),
                    &format!("the route to {remote}"),
                    "ip route show table all",
                );
                self.step(StepKind::Encapsulated {
                    kind: kind.to_owned(),
                    src: local,
                    dst: remote,
                });
                return Ok(());
            }
            Err(way) => {
                self.family = inner_family;
                return Err(way.end());
            }
        };
        let hop = self.select_path(&l);
        let src = local.or(l.prefsrc).or_else(|| {
            let hop = hop.as_ref()?;
            match self.source_of_hop(&l, hop.dev, hop.via) {
                super::masq::Found::Addr { addr, .. } => Some(addr),
                _ => None,
            }
        });
        self.step(StepKind::Encapsulated {
            kind: kind.to_owned(),
            src,
            dst: remote,
        });
        let (Some(hop), Some(src)) = (hop, src) else {
            self.family = inner_family;
            return Ok(());
        };
        if inner_family == Family::V6 {
            // The hooks of the other family are not laid out for this walk.
            self.family = inner_family;
            return Ok(());
        }
        self.assume(
            "conntrack knows the tunnel's own flow, so its outer packets meet no nat rule"
                .to_owned(),
        );
        self.outer_packet(
            Some(dev),
            None,
            kind,
            (src, remote),
            super::path::Dst {
                dev: Some(hop.dev),
                via: hop.via,
                local: false,
                mtu: None,
            },
        )
    }

    /// The outer packet of a UDP tunnel (`udp_tunnel_dst_lookup`, `iptunnel_xmit`): its way is found by its addresses and ports, without the
    /// mark that it keeps of the packet within, and conntrack sees it as any other flow.
    pub(super) fn tunnel_sent(&mut self, dev: DevId) -> Flow {
        let mut key = RouteKey::bare(self.skb.dst);
        key.src = self.skb.src;
        key.proto = Some(self.skb.proto);
        key.sport = self.skb.sport;
        key.dport = self.skb.dport;
        let l = match self.fib_lookup(&key) {
            Ok(l) => l,
            Err(way) => return Err(way.end()),
        };
        let way = self.output_dst(&l, false)?;
        if self.packet.src.is_none() {
            let found = way.dev.map(|d| self.source_of_hop(&l, d, way.via));
            if let Some(src) = l.prefsrc {
                self.skb.src = src;
            } else if let Some(super::masq::Found::Addr { addr, .. }) = found {
                self.skb.src = addr;
            }
            self.first_src = Some(self.skb.src);
        }
        let way = self.local_out(way, false)?;
        // `ip_output` takes skb->dev, the tunnel, for the ingress device.
        self.iif = Some(dev);
        self.output(&way)
    }

    /// OUTPUT and POSTROUTING of an outer packet. `dev`: what POSTROUTING sees as the ingress device; `ct`: its connection, else
    /// the one that conntrack finds.
    pub(super) fn outer_packet(
        &mut self,
        dev: Option<DevId>,
        ct: Option<Ct>,
        kind: &str,
        ends: (IpAddr, IpAddr),
        dst: super::path::Dst,
    ) -> Flow {
        let inner = (
            self.skb.clone(),
            self.ct.take(),
            self.iif,
            self.oif,
            self.gateway,
        );
        self.enters(ends.0);
        // Without a gateway it may be the packet's own destination.
        if ends.1 != self.skb.dst {
            self.enters(ends.1);
        }
        self.skb.src = ends.0;
        self.skb.dst = ends.1;
        self.skb.src_unknown = false;
        self.skb.proto = protocol(kind, self.family);
        self.skb.sport = Port::None;
        self.skb.dport = Port::None;
        self.skb.icmp = None;
        self.skb.flags = TcpFlags::default();
        if dev.is_some() {
            // A device's own TOS is 0 but for the bits of congestion (`ip_tunnel_xmit`); IPVS keeps the packet's.
            self.skb.tos &= 3;
        }
        self.skb.length += match (kind, self.family) {
            ("gre", _) => 20 + 4,
            (_, Family::V4) => 20,
            (_, Family::V6) => 40,
        };
        // Tunnel devices take the flag off (`skb_scrub_packet`, since Linux 6.14); IPVS's own tunnel has no device.
        self.skb.ipvs &= ct.is_some();
        self.skb.local = false;
        self.iif = None;
        self.outer = true;
        self.ct = ct;
        let result = self.local_out(dst, false).and_then(|dst| {
            // `ip_output` takes skb->dev, the tunnel, for the ingress device.
            self.iif = dev;
            self.output(&dst)
        });
        self.outer = false;
        (self.skb, self.ct, self.iif, self.oif, self.gateway) = inner;
        match result {
            Err(end) if end.verdict == crate::trace::Verdict::Forwarded => Ok(()),
            other => other,
        }
    }
}

/// The protocol of a tunnel's outer packets, by what is inside.
pub(super) fn protocol(kind: &str, inner: Family) -> Proto {
    match (kind, inner) {
        ("gre", _) => Proto(47),
        (_, Family::V4) => Proto(4),
        (_, Family::V6) => Proto(41),
    }
}

/// The state of a tunnel's outer flow.
pub(super) const OUTER_STATE: CtState = CtState::Established;
