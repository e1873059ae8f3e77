//! Services and real servers from their attributes, and the listing of them.

use super::super::attr::{Numbers as _, attrs, find};
use super::super::socket::Request;
use nfwhy_parsers::common::Proto;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A virtual service (`IPVS_SVC_ATTR_*` in `include/uapi/linux/ip_vs.h`).
#[derive(Debug, Default)]
pub(super) struct Service {
    fwmark: u32,
    family: u16,
    proto: u16,
    /// As the kernel gave it: 16 bytes.
    addr: Vec<u8>,
    ip: Option<IpAddr>,
    port: u16,
    scheduler: String,
    flags: u32,
    timeout: u32,
    /// In the order of the wire; of IPv6 a prefix length in this machine's order.
    netmask: u32,
    engine: Option<String>,
}

// `IP_VS_SVC_F_*`.
const PERSISTENT: u32 = 1;
const ONE_PACKET: u32 = 4;
const SCHEDULER: [u32; 3] = [8, 0x10, 0x20];

impl Service {
    /// Reads the attributes; `None` where it has no identity.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut s = Self {
            netmask: u32::MAX,
            ..Self::default()
        };
        for (kind, v) in attrs(bytes) {
            match kind {
                1 => s.family = v.u16(0)?,
                2 => s.proto = v.u16(0)?,
                3 => s.addr = v.to_vec(),
                4 => s.port = v.be16(0)?,
                5 => s.fwmark = v.u32(0)?,
                6 => s.scheduler = v.text(),
                // `struct ip_vs_flags`: flags and mask.
                7 => s.flags = v.u32(0)?,
                8 => s.timeout = v.u32(0)?,
                9 => s.netmask = v.u32(0)?,
                11 => s.engine = Some(v.text()).filter(|t| !t.is_empty()),
                _ => {}
            }
        }
        if !matches!(s.family, AF_INET | AF_INET6) {
            return None;
        }
        s.ip = address(&s.addr, s.family);
        (s.fwmark != 0 || s.ip.is_some()).then_some(s)
    }

    /// What a request for its real servers names it by (`ip_vs_genl_parse_service`).
    pub(super) fn identity(&self) -> Request {
        let request = Request::default().attr(1, &self.family.to_ne_bytes());
        if self.fwmark != 0 {
            return request.attr(5, &self.fwmark.to_ne_bytes());
        }
        request
            .attr(2, &self.proto.to_ne_bytes())
            .attr(3, &self.addr)
            .attr(4, &self.port.to_be_bytes())
    }

    fn key(&self) -> (u32, u16, u16, Option<IpAddr>, u16) {
        (self.fwmark, self.family, self.proto, self.ip, self.port)
    }

    /// `print_service_entry` in ipvsadm.c.
    fn print(&self, out: &mut String) {
        if self.fwmark != 0 {
            let v6 = if self.family == AF_INET6 { " IPv6" } else { "" };
            let _ = write!(out, "FWM  {}{v6}", self.fwmark);
        } else if let Some(ip) = self.ip {
            let proto = match u8::try_from(self.proto).map(Proto) {
                Ok(Proto::TCP) => "TCP",
                Ok(Proto::UDP) => "UDP",
                Ok(Proto::SCTP) => "SCTP",
                _ => "?",
            };
            let _ = write!(out, "{proto:<4} ");
            endpoint(out, ip, self.port);
        }
        let _ = write!(out, " {}", self.scheduler);
        let mut names = match self.scheduler.as_str() {
            "sh" => ["sh-fallback", "sh-port", ""],
            "mh" => ["mh-fallback", "mh-port", ""],
            _ => ["flag-1", "flag-2", "flag-3"],
        };
        for (name, flag) in names.iter_mut().zip(SCHEDULER) {
            if self.flags & flag == 0 {
                *name = "";
            }
        }
        let set: Vec<&str> = names.into_iter().filter(|n| !n.is_empty()).collect();
        if !set.is_empty() {
            let _ = write!(out, " ({})", set.join(","));
        }
        if self.flags & PERSISTENT != 0 {
            let _ = write!(out, " persistent {}", self.timeout);
            if self.family == AF_INET && self.netmask != u32::MAX {
                let mask = Ipv4Addr::from(self.netmask.to_ne_bytes());
                let _ = write!(out, " mask {mask}");
            } else if self.family == AF_INET6 && self.netmask != 128 {
                let _ = write!(out, " mask {}", self.netmask);
            }
            if let Some(pe) = &self.engine {
                let _ = write!(out, " pe {pe}");
            }
        }
        if self.flags & ONE_PACKET != 0 {
            out.push_str(" ops");
        }
        out.push('\n');
    }
}

/// A real server (`IPVS_DEST_ATTR_*`).
#[derive(Debug)]
pub(super) struct Server {
    addr: IpAddr,
    port: u16,
    flags: u32,
    weight: u32,
    active: u32,
    inactive: u32,
    tunnel: u8,
    tunnel_port: u16,
    tunnel_flags: u16,
}

/// `IP_VS_CONN_F_TUNNEL` among `IP_VS_CONN_F_FWD_MASK`.
const TUNNEL: u32 = 2;
const FORWARD: u32 = 7;

impl Server {
    /// Reads the attributes. The family is told since Linux 3.18; before, it was the service's.
    pub(super) fn of(bytes: &[u8], service: &Service) -> Option<Self> {
        let number = |kind| find(bytes, kind).and_then(|v| v.u32(0));
        let family = find(bytes, 11)
            .and_then(|v| v.u16(0))
            .unwrap_or(service.family);
        Some(Self {
            addr: address(find(bytes, 1)?, family)?,
            port: find(bytes, 2)?.be16(0)?,
            flags: number(3)?,
            weight: number(4)?,
            active: number(7).unwrap_or(0),
            inactive: number(8).unwrap_or(0),
            tunnel: find(bytes, 13).and_then(|v| v.u8(0)).unwrap_or(0),
            tunnel_port: find(bytes, 14).and_then(|v| v.be16(0)).unwrap_or(0),
            tunnel_flags: find(bytes, 15).and_then(|v| v.u16(0)).unwrap_or(0),
        })
    }

    fn encapsulates(&self) -> bool {
        self.flags & FORWARD == TUNNEL && self.tunnel != 0
    }

    /// As `fwd_tun_info` in ipvsadm.c.
    fn tunnel(&self) -> String {
        let sum = match self.tunnel_flags {
            0 => "nocsum",
            1 => "csum",
            _ => "remcsum",
        };
        match (self.flags & FORWARD, self.tunnel) {
            (TUNNEL, 0) => "ipip".into(),
            (TUNNEL, 1) => format!("gue:{}:{sum}", self.tunnel_port),
            (TUNNEL, 2) => format!("gre:{sum}"),
            _ => "n/a".into(),
        }
    }

    fn print(&self, tunnels: bool, out: &mut String) {
        let mut name = String::new();
        endpoint(&mut name, self.addr, self.port);
        let method = match self.flags & FORWARD {
            0 => "Masq",
            1 => "Local",
            TUNNEL => "Tunnel",
            3 => "Route",
            // `IP_VS_CONN_F_BYPASS`: of connections, never of servers.
            _ => "Masq",
        };
        let _ = write!(out, "  -> {name:<28} {method:<7} ");
        if tunnels {
            let _ = write!(out, "{:<13} ", self.tunnel());
        }
        let _ = writeln!(
            out,
            "{:<6} {:<10} {:<10}",
            self.weight, self.active, self.inactive
        );
    }
}

/// An address: 16 bytes, of which IPv4 has the first four (`union nf_inet_addr`).
fn address(bytes: &[u8], family: u16) -> Option<IpAddr> {
    if family == AF_INET6 {
        let octets: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
        return Some(IpAddr::V6(Ipv6Addr::from(octets)));
    }
    Some(IpAddr::V4(Ipv4Addr::from_bits(bytes.be32(0)?)))
}

fn endpoint(out: &mut String, ip: IpAddr, port: u16) {
    let _ = match ip {
        IpAddr::V4(a) => write!(out, "{a}:{port}"),
        IpAddr::V6(a) => write!(out, "[{a}]:{port}"),
    };
}

/// The listing; in the form of `--tun-info` where a server is reached by a tunnel other than IPIP.
///
/// `info` is the answer to `IPVS_CMD_GET_INFO`. Sorted as the tool sorts.
pub(super) fn list(info: &[u8], mut services: Vec<(Service, Vec<Server>)>) -> String {
    let attributes = info.get(4..).unwrap_or_default();
    let number = |kind| find(attributes, kind).and_then(|v| v.u32(0)).unwrap_or(0);
    let (version, size) = (number(1), number(2));
    let tunnels = services
        .iter()
        .any(|(_, s)| s.iter().any(Server::encapsulates));
    let mut out = format!(
        "IP Virtual Server version {}.{}.{} (size={size})\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward ",
        version >> 16 & 0xff,
        version >> 8 & 0xff,
        version & 0xff,
    );
    if tunnels {
        out.push_str("TunnelInfo    ");
    }
    out.push_str("Weight ActiveConn InActConn\n");
    services.sort_by_key(|(s, _)| s.key());
    for (service, servers) in &mut services {
        service.print(&mut out);
        servers.sort_by_key(|s| (s.addr, s.port));
        for server in servers {
            server.print(tunnels, &mut out);
        }
    }
    out
}
