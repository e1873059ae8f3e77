//! The records as `calico-node -bpf` prints them.

use super::text::{FLAGS, ROUTE_FLAGS};
use super::{Affinity, Backend, Flow, Frontend, Maps, Mode, Route};
use crate::common::Proto;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

fn end((addr, port): (IpAddr, u16)) -> SocketAddr {
    SocketAddr::new(addr, port)
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count.map_or(-1, i64::from);
        write!(
            f,
            "{} port {} proto {} id {} count {count} local {}",
            self.addr, self.port, self.proto.0, self.id, self.local
        )?;
        let set = FLAGS.iter().filter(|(_, bit)| self.flags & bit != 0);
        for (i, (name, _)) in set.enumerate() {
            write!(f, "{}{name}", if i == 0 { " flags " } else { ", " })?;
        }
        match self.src {
            Some((addr, len)) => write!(f, " src {addr}/{len}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = end((self.addr, self.port));
        write!(f, "\t{}:{}\t {to}", self.id, self.ordinal)
    }
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "client {} svc proto {} {} -> {} ts 0s",
            self.client,
            self.proto.0,
            end(self.service),
            end(self.backend)
        )
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>15}:", format!("{}/{}", self.addr, self.len))?;
        let black = Self::BLACKHOLE_DROP | Self::BLACKHOLE_REJECT;
        if self.flags & (Self::LOCAL | black) == 0 {
            f.write_str(" remote")?;
        }
        for (name, bit) in ROUTE_FLAGS {
            if self.flags & bit != 0 {
                write!(f, " {name}")?;
            }
        }
        if let Some(i) = self.ifindex {
            write!(f, " idx {i}")?;
        }
        match self.next_hop {
            Some(n) => write!(f, " nh {n}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(dsr), Some(forwarded)) = (self.dsr, self.forwarded) {
            let flags = u32::from(dsr) << 1 | u32::from(forwarded) << 2;
            let kind = if self.service.is_some() { 2 } else { 0 };
            write!(
                f,
                "ConntrackKey{{proto={} {}:{} <-> {}:{}}} -> Entry{{Type:{kind}, LastSeen:0, Flags: {flags:#x}",
                self.proto.0, self.src.0, self.src.1, self.dst.0, self.dst.1
            )?;
            if let Some((addr, port)) = self.service {
                write!(f, " Data: {{OrigDst:{addr} OrigPort:{port}")?;
                match self.tunnel {
                    Some(t) => write!(f, " TunIP:{t}}}")?,
                    None => f.write_str("}")?,
                }
            }
            return f.write_str("} Active ago 0s");
        }
        match self.proto {
            Proto::TCP => f.write_str("TCP")?,
            Proto::UDP => f.write_str("UDP")?,
            Proto::ICMP => f.write_str("ICMP")?,
            Proto::ICMPV6 => f.write_str("ICMP6")?,
            Proto(n) => write!(f, "Proto-{n}")?,
        }
        write!(f, " {}:{}", self.src.0, self.src.1)?;
        if let Some((addr, port)) = self.service {
            write!(f, " -> {addr}:{port}")?;
        }
        write!(f, " -> {}:{} ", self.dst.0, self.dst.1)?;
        if let Some(t) = self.tunnel {
            write!(f, "external client, service forwarded to/from {t} ")?;
        }
        f.write_str(" Active ago 0s")
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.dsr { "DSR" } else { "Tunnel" };
        if self.env {
            write!(f, "FELIX_BPFEXTERNALSERVICEMODE={mode}")
        } else if self.default {
            f.write_str("kind: FelixConfiguration")
        } else {
            write!(f, "bpfExternalServiceMode: {mode}")
        }
    }
}

/// All of it, a record on each line.
impl fmt::Display for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn each<T: fmt::Display>(f: &mut fmt::Formatter<'_>, list: &[T]) -> fmt::Result {
            list.iter().try_for_each(|x| writeln!(f, "{x}"))
        }
        each(f, &self.frontends)?;
        each(f, &self.backends)?;
        each(f, &self.affinities)?;
        each(f, &self.routes)?;
        each(f, &self.flows)?;
        each(f, &self.modes)
    }
}
