//! A packet that leaves by a tunnel device is wrapped, and the outer packet passes OUTPUT and POSTROUTING on its own.

use super::conntrack::Ct;
use super::route::RouteKey;
use super::run::{End, Flow, Run};
use crate::node::{DevId, Device};
use crate::trace::{CtState, Envelope, Port, Reason, StepKind, TcpFlags};
use nfwhy_parsers::iproute::link::Outer;
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

impl Run<'_, '_> {
    /// IPIP and its kin name the other end by the device's remote or by the route's gateway (`ip_tunnel_xmit`,
    /// `net/ipv4/ip_tunnel.c`). VXLAN's depends on the forwarding database and the other nodes (`cluster::fdb`).
    pub(super) fn encapsulate(&mut self, dev: DevId, kind: &str, via: Option<IpAddr>) -> Flow {
        let d = self.node.device(dev);
        let family = match kind {
            "ipip" | "sit" | "gre" => Family::V4,
            "ip6tnl" => Family::V6,
            _ => return Ok(()),
        };
        let named = d.info.remote.filter(|r| !r.is_unspecified());
        let hop = via.unwrap_or(self.skb.dst);
        let remote = match named {
            Some(remote) => remote,
            // The neighbour table names it, by what stands there for a hardware address (`ipgre_header`).
            None if kind == "gre" && !d.info.external => match self.gre_neighbour(dev, hop) {
                Some(remote) => remote,
                None => return Ok(()),
            },
            None => hop,
        };
        if Family::of(remote) != family {
            return Ok(());
        }
        // `ip6_tnl_addr_conflict`.
        if kind == "ip6tnl" && named.is_some_and(|far| self.is_same(self.skb.src, far)) {
            return Err(End::dropped(Reason::Martian {
                why: "the source is the far end of the tunnel that it goes into",
            }));
        }
        let envelope = envelope(d, kind, self.skb.tos, self.skb.ttl);
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
        // `init_tunnel_flow`, `ip6_tnl_link_config`: the device's lower one, its TOS, and what the outer packet carries.
        key.proto = Some(protocol(kind, inner_family));
        key.tos = envelope.tos;
        key.oif = d
            .info
            .dev
            .as_deref()
            .and_then(|lower| self.node.device_by_name(lower));
        self.family = family;
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
        if inner_family != family {
            // The hooks of the other family are not laid out for this walk.
            self.family = inner_family;
            return Ok(());
        }
        self.assume(
            "conntrack knows the tunnel's own flow, so its outer packets meet no nat rule"
                .to_owned(),
        );
        self.outer_packet(
            (Some(dev), Some(envelope)),
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

    fn gre_neighbour(&self, dev: DevId, hop: IpAddr) -> Option<IpAddr> {
        let list = &self.node.neighbours;
        let entry = list.iter().find(|n| n.addr == hop && n.dev == Some(dev))?;
        entry.mac.as_deref()?.parse().ok()
    }

    /// The outer packet of a UDP tunnel (`udp_tunnel_dst_lookup`, `iptunnel_xmit`): its way is found by its addresses and ports, without the
    /// mark that it keeps of the packet within, and conntrack sees it as any other flow.
    pub(super) fn tunnel_sent(&mut self, dev: DevId) -> Flow {
        let mut key = RouteKey::bare(self.skb.dst);
        key.src = self.skb.src;
        key.proto = Some(self.skb.proto);
        key.sport = self.skb.sport;
        key.dport = self.skb.dport;
        key.tos = self.skb.tos;
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

    /// OUTPUT and POSTROUTING of an outer packet. `by`: what POSTROUTING sees as the ingress device, and what a tunnel device gives the
    /// packet; IPVS keeps the inner one's. `ct`: its connection, else the one that conntrack finds.
    pub(super) fn outer_packet(
        &mut self,
        by: (Option<DevId>, Option<Envelope>),
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
        let (dev, envelope) = by;
        if let Some(e) = envelope {
            (self.skb.tos, self.skb.ttl) = (e.tos, e.ttl);
        }
        self.skb.length += match (dev.filter(|_| envelope.is_some()), self.family) {
            (Some(dev), family) => around(self.node.device(dev), kind, family),
            (None, Family::V4) => 20,
            (None, Family::V6) => 40,
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
        if envelope.is_some() {
            let (tos, ttl) = (self.skb.tos, self.skb.ttl);
            self.envelope = Some(Envelope { tos, ttl });
        }
        (self.skb, self.ct, self.iif, self.oif, self.gateway) = inner;
        match result {
            Err(end) if end.verdict == crate::trace::Verdict::Forwarded => Ok(()),
            other => other,
        }
    }
}

/// What a tunnel device gives its outer packets: its own TOS or the inner one's, with the inner one's bits of congestion (`ip_tunnel_xmit`,
/// `INET_ECN_encapsulate`); its own TTL, or else VXLAN and GENEVE that of any packet of the node, the others the inner one's.
pub(crate) fn envelope(d: &Device, kind: &str, tos: u8, ttl: u8) -> Envelope {
    let by_udp = matches!(kind, "vxlan" | "geneve");
    let own = match d.info.tos {
        Some(Outer::Inherit) => tos,
        // The lowest bit is the kernel's word for `inherit`.
        Some(Outer::Own(n)) if n == 1 || !by_udp && n & 1 == 1 => tos,
        Some(Outer::Own(n)) => n,
        None => 0,
    };
    let congestion = match tos & ECN {
        CONGESTED => CAPABLE,
        bits => bits,
    };
    let ttl = match d.info.ttl {
        Some(Outer::Own(n)) if n != 0 => n,
        None if by_udp => DEFAULT_TTL,
        _ => ttl,
    };
    Envelope {
        tos: own & !ECN | congestion,
        ttl,
    }
}

/// Bytes that a tunnel device puts before a packet.
pub(crate) fn around(d: &Device, kind: &str, outer: Family) -> u32 {
    let header = match outer {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    header
        + match kind {
            // UDP, VXLAN, and the Ethernet header within.
            "vxlan" => 8 + 8 + 14,
            "gre" => 4,
            // An option tells how often more it may be wrapped (`ip6_tnl_xmit`), unless the device does without.
            "ip6tnl" => {
                let rest = d.info.rest.as_deref();
                let without = rest.is_some_and(|r| r.contains("encaplimit none"));
                if without { 0 } else { 8 }
            }
            _ => 0,
        }
}

/// What is unwrapped has the TOS that it had, with the congestion that the outer packet met: `INET_ECN_decapsulate`. `None`: it knows nothing of
/// congestion, and is dropped.
pub(crate) fn unwrapped_tos(outer: u8, inner: u8) -> Option<u8> {
    match (outer & ECN, inner & ECN) {
        (CONGESTED, 0) => None,
        (CONGESTED, _) => Some(inner | CONGESTED),
        // RFC 6040: ECT(1) stays.
        (1, CAPABLE) => Some(inner & !ECN | 1),
        _ => Some(inner),
    }
}

/// Bits of congestion in a TOS.
const ECN: u8 = 3;
/// "Congestion encountered".
const CONGESTED: u8 = 3;
/// ECT(0).
const CAPABLE: u8 = 2;
/// `net.ipv4.ip_default_ttl`, and the hop limit of IPv6, as nearly every node has them.
const DEFAULT_TTL: u8 = 64;

/// The protocol of a tunnel's outer packets, by what is inside.
pub(crate) fn protocol(kind: &str, inner: Family) -> Proto {
    match (kind, inner) {
        ("gre", _) => Proto(47),
        (_, Family::V4) => Proto(4),
        (_, Family::V6) => Proto(41),
    }
}

/// The state of a tunnel's outer flow.
pub(super) const OUTER_STATE: CtState = CtState::Established;
