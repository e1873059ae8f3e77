//! The packet as asked for, and with its defaults filled in.

use super::names::{self, NameError};
use super::told;
use crate::node::Node;
use crate::sim;
use crate::trace::{CtState, Origin, Packet, Port, TcpFlags};
use ipnetwork::IpNetwork;
use nfwhy_parsers::{Family, Proto};
use serde::Deserialize;
use std::net::IpAddr;
use thiserror::Error;

/// What is wrong with a packet.
#[derive(Debug, Error)]
pub enum PacketError {
    /// Not the JSON asked for.
    #[error("not a packet: {0}")]
    Json(#[from] serde_json::Error),
    /// A name that gives no address.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not an address.
    #[error("{what} {text:?} is not an IP address{}", .hint)]
    Address {
        /// `source` or `destination`.
        what: &'static str,
        /// As written.
        text: String,
        /// What to write instead.
        hint: &'static str,
    },
    /// Not a port.
    #[error("{text:?} is not a port (1 to 65535)")]
    Port {
        /// As written.
        text: String,
    },
    /// Not a protocol.
    #[error("{text:?} is not a protocol (tcp, udp, sctp, icmp, icmpv6 or a number)")]
    Proto {
        /// As written.
        text: String,
    },
    /// IPv4 and IPv6 mixed.
    #[error("{src} and {dst} are of different address families")]
    Families {
        /// Source.
        src: IpAddr,
        /// Destination.
        dst: IpAddr,
    },
    /// ICMP of the other family.
    #[error("{proto} does not go with {dst}")]
    ProtoFamily {
        /// Protocol.
        proto: Proto,
        /// Destination.
        dst: IpAddr,
    },
    /// A port for a protocol that has none.
    #[error("{proto} has no ports")]
    NoPorts {
        /// Protocol.
        proto: Proto,
    },
    /// No such device.
    #[error("no device {name} in the snapshot; there are {have}")]
    Device {
        /// As written.
        name: String,
        /// Those there are.
        have: String,
    },
    /// Nothing tells where the packet comes in.
    #[error(
        "no route leads back to {src}, so it is not known where the packet comes in; say --in DEV (JSON: \"iif\")"
    )]
    NoReverse {
        /// Source.
        src: IpAddr,
    },
    /// The routes that would tell where it comes in were not captured.
    #[error(
        "where {src} comes in is not known, since no routes were captured: say --in DEV (JSON: \"iif\"), or add `{command}`"
    )]
    NoRoutes {
        /// Source.
        src: IpAddr,
        /// What prints them.
        command: &'static str,
    },
    /// No source, and not from the node.
    #[error(
        "the source is missing (only a packet of the node itself may leave it out: --from-node, JSON: \"origin\":\"local\")"
    )]
    NoSource,
    /// A value that means nothing.
    #[error("{key} {value:?} is not understood; {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// As written.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Source is another node's but the packet is said to be local.
    #[error("both \"iif\" and \"origin\":\"local\" are given")]
    TwoOrigins,
}

/// A number, or text that holds one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Int(u64),
    Text(String),
}

impl Number {
    fn get(&self, key: &'static str, max: u64) -> Result<u64, PacketError> {
        let n = match self {
            Self::Int(n) => Some(*n),
            Self::Text(t) => match t.strip_prefix("0x").or_else(|| t.strip_prefix("0X")) {
                Some(h) => u64::from_str_radix(h, 16).ok(),
                None => t.parse().ok(),
            },
        };
        n.filter(|n| *n <= max).ok_or_else(|| PacketError::Value {
            key,
            value: match self {
                Self::Int(n) => n.to_string(),
                Self::Text(t) => t.clone(),
            },
            expected: "a number in range, decimal or 0x…",
        })
    }
}

/// A packet as asked for: the contract's JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketSpec {
    pub(super) src: Option<String>,
    pub(super) dst: String,
    pub(super) proto: Option<Number>,
    pub(super) sport: Option<Number>,
    pub(super) dport: Option<Number>,
    iif: Option<String>,
    pub(super) origin: Option<String>,
    mark: Option<Number>,
    ct_state: Option<String>,
    tos: Option<Number>,
    ttl: Option<Number>,
    flags: Option<Vec<String>>,
    length: Option<Number>,
    icmp_type: Option<Number>,
    icmp_code: Option<Number>,
    mac: Option<String>,
    uid: Option<Number>,
    gid: Option<Number>,
}

impl PacketSpec {
    /// Source and destination, where both are given.
    pub(crate) fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        Some((self.src.as_ref()?.parse().ok()?, self.dst.parse().ok()?))
    }

    /// Source and destination, each where it is an address.
    pub(crate) fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        let parse = |t: &str| t.parse::<IpAddr>().ok().map(|a| a.to_canonical());
        (self.src.as_deref().and_then(parse), parse(&self.dst))
    }

    /// Whether the node itself sends it.
    pub(crate) fn is_local(&self) -> bool {
        self.origin.is_some()
    }

    /// From the command line.
    pub(crate) fn from_args(
        from: Option<&str>,
        to: &str,
        iif: Option<&str>,
        local: bool,
    ) -> Result<Self, PacketError> {
        let mut spec = Self {
            dst: to.to_owned(),
            iif: iif.map(str::to_owned),
            origin: local.then(|| "local".to_owned()),
            ..Self::default()
        };
        if !names::is_name(to) {
            let (to, proto) = match to.rsplit_once('/') {
                Some((a, p)) => (a, Some(p)),
                None => (to, None),
            };
            let (dst, dport) = endpoint(to, "destination")?;
            spec.dst = dst.to_string();
            spec.dport = dport.map(|p| Number::Int(p.into()));
            spec.proto = proto.map(|p| Number::Text(p.to_owned()));
        }
        if let Some(from) = from.filter(|f| names::is_name(f)) {
            spec.src = Some(from.to_owned());
        } else if let Some(from) = from {
            let (src, sport) = endpoint(from, "source")?;
            spec.src = Some(src.to_string());
            spec.sport = sport.map(|p| Number::Int(p.into()));
        }
        Ok(spec)
    }

    pub(crate) fn set_mark(&mut self, mark: String) {
        self.mark = Some(Number::Text(mark));
    }

    pub(crate) fn set_ct_state(&mut self, state: String) {
        self.ct_state = Some(state);
    }

    /// Whether it is a question of ARP and no packet of IP.
    pub(super) fn is_arp(&self) -> bool {
        matches!(&self.proto, Some(Number::Text(t)) if t.eq_ignore_ascii_case("arp") || t.eq_ignore_ascii_case("ndp"))
    }

    /// Of such a question: who asks, and for what.
    pub(super) fn asked(&self) -> Result<(Option<IpAddr>, IpAddr), PacketError> {
        let src = self
            .src
            .as_deref()
            .map(|s| address(s, "source"))
            .transpose()?;
        Ok((src, address(&self.dst, "destination")?))
    }

    /// The device the packet is said to come in by.
    pub(crate) fn device(&self) -> Option<&str> {
        self.iif.as_deref()
    }

    /// Fills in what is left open, and addresses for names.
    pub fn resolve(&self, node: &Node<'_>) -> Result<Packet, PacketError> {
        match names::resolved(self, node)? {
            Some(spec) => spec.filled_in(node),
            None => self.filled_in(node),
        }
    }

    fn filled_in(&self, node: &Node<'_>) -> Result<Packet, PacketError> {
        let dst = address(&self.dst, "destination")?;
        let src = self
            .src
            .as_deref()
            .map(|s| address(s, "source"))
            .transpose()?;
        if let Some(src) = src
            && Family::of(src) != Family::of(dst)
        {
            return Err(PacketError::Families { src, dst });
        }
        let family = Family::of(dst);
        let icmp_proto = match family {
            Family::V4 => Proto::ICMP,
            Family::V6 => Proto::ICMPV6,
        };
        let proto = match &self.proto {
            None if self.dport.is_some() || self.sport.is_some() || self.flags.is_some() => {
                Proto::TCP
            }
            None => icmp_proto,
            Some(Number::Int(n)) => Proto(u8::try_from(*n).map_err(|_| PacketError::Proto {
                text: n.to_string(),
            })?),
            Some(Number::Text(t)) => Proto::parse(&t.to_ascii_lowercase())
                .ok_or_else(|| PacketError::Proto { text: t.clone() })?,
        };
        if matches!(proto, Proto::ICMP | Proto::ICMPV6) && proto != icmp_proto {
            return Err(PacketError::ProtoFamily { proto, dst });
        }
        let port = |n: &Option<Number>, absent| -> Result<Port, PacketError> {
            match n {
                None if proto.has_ports() => Ok(absent),
                None => Ok(Port::None),
                Some(_) if !proto.has_ports() => Err(PacketError::NoPorts { proto }),
                Some(n) => n
                    .get("port", 65535)
                    .ok()
                    .and_then(|n| u16::try_from(n).ok())
                    .filter(|n| *n > 0)
                    .map(Port::Known)
                    .ok_or_else(|| PacketError::Port {
                        text: match n {
                            Number::Int(n) => n.to_string(),
                            Number::Text(t) => t.clone(),
                        },
                    }),
            }
        };
        let sport = port(&self.sport, Port::Ephemeral)?;
        let dport = port(&self.dport, Port::Unknown)?;
        let number = |n: &Option<Number>, key, max| -> Result<Option<u64>, PacketError> {
            n.as_ref().map(|n| n.get(key, max)).transpose()
        };
        let byte = |n: &Option<Number>, key| -> Result<Option<u8>, PacketError> {
            Ok(number(n, key, 255)?.and_then(|n| u8::try_from(n).ok()))
        };
        let word = |n: &Option<Number>, key| -> Result<Option<u32>, PacketError> {
            Ok(number(n, key, u32::MAX.into())?.and_then(|n| u32::try_from(n).ok()))
        };
        let icmp = if proto == icmp_proto {
            let echo = match family {
                Family::V4 => 8,
                Family::V6 => 128,
            };
            Some((
                byte(&self.icmp_type, "icmp_type")?.unwrap_or(echo),
                byte(&self.icmp_code, "icmp_code")?.unwrap_or(0),
            ))
        } else {
            None
        };
        let ct_state = self
            .ct_state
            .as_deref()
            .map(|s| {
                CtState::parse(s).ok_or_else(|| PacketError::Value {
                    key: "ct_state",
                    value: s.to_owned(),
                    expected: "it is one of new, established, related, invalid, untracked",
                })
            })
            .transpose()?;
        let flags = match &self.flags {
            Some(list) => tcp_flags(list)?,
            None if proto == Proto::TCP => TcpFlags(match ct_state {
                Some(CtState::Established | CtState::Invalid) => TcpFlags::ACK,
                _ => TcpFlags::SYN,
            }),
            None => TcpFlags::default(),
        };
        let header = match family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        let length = word(&self.length, "length")?.unwrap_or(match proto {
            Proto::TCP => header + 20,
            Proto::UDP => header + 8,
            Proto::ICMP | Proto::ICMPV6 => header + 64,
            _ => header + 16,
        });
        told::only_objects(node, dst, proto, dport.known())?;
        let origin = self.origin(node, src, dst)?;
        if src.is_none() && origin != Origin::Local {
            return Err(PacketError::NoSource);
        }
        Ok(Packet {
            src,
            dst,
            proto,
            sport,
            dport,
            icmp,
            origin,
            mark: word(&self.mark, "mark")?.unwrap_or(0),
            ct_state,
            tos: byte(&self.tos, "tos")?.unwrap_or(0),
            ttl: byte(&self.ttl, "ttl")?.unwrap_or(64),
            flags,
            length,
            mac: self.mac.as_deref().map(mac).transpose()?,
            uid: word(&self.uid, "uid")?,
            gid: word(&self.gid, "gid")?,
            conn: None,
            calico: crate::sim::CalicoSeen::default(),
        })
    }

    fn origin(
        &self,
        node: &Node<'_>,
        src: Option<IpAddr>,
        dst: IpAddr,
    ) -> Result<Origin, PacketError> {
        let local = match self.origin.as_deref() {
            None => false,
            Some("local") => true,
            Some(other) => {
                return Err(PacketError::Value {
                    key: "origin",
                    value: other.to_owned(),
                    expected: "it is \"local\" or left out",
                });
            }
        };
        match (&self.iif, local) {
            (Some(_), true) => Err(PacketError::TwoOrigins),
            (None, true) => Ok(Origin::Local),
            (Some(name), false) => node
                .device_by_name(name)
                .map(Origin::Device)
                .ok_or_else(|| PacketError::Device {
                    name: name.clone(),
                    have: device_names(node),
                }),
            (None, false) => {
                let src = src.ok_or(PacketError::NoSource)?;
                match sim::way_back(node, src, dst) {
                    sim::WayBack::Local => Ok(Origin::Local),
                    sim::WayBack::Device(d) => Ok(Origin::Device(d)),
                    sim::WayBack::None => Err(match Family::of(src) {
                        Family::V4 if !node.captured.route4 => PacketError::NoRoutes {
                            src,
                            command: "ip route show table all",
                        },
                        Family::V6 if !node.captured.route6 => PacketError::NoRoutes {
                            src,
                            command: "ip -6 route show table all",
                        },
                        _ => PacketError::NoReverse { src },
                    }),
                }
            }
        }
    }
}

fn device_names(node: &Node<'_>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = node.devices.iter().map(|d| d.name.as_str()).collect();
    if names.is_empty() {
        return "none (ip -d addr was not captured)".into();
    }
    if names.len() <= SHOWN {
        return names.join(", ");
    }
    format!(
        "{} and {} more",
        names[..SHOWN].join(", "),
        names.len() - SHOWN
    )
}

fn address(text: &str, what: &'static str) -> Result<IpAddr, PacketError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|a| a.to_canonical())
        .map_err(|_| PacketError::Address {
            what,
            text: text.to_owned(),
            hint: if bare.contains('/') && bare.parse::<IpNetwork>().is_ok() {
                "; one address, not a range"
            } else if text.chars().any(|c| c.is_ascii_alphabetic()) && !text.contains(':') {
                "; names are not resolved"
            } else {
                ""
            },
        })
}

/// `IP`, `IP:PORT`, `[v6]:PORT`, `[v6]`, bare IPv6.
fn endpoint(text: &str, what: &'static str) -> Result<(IpAddr, Option<u16>), PacketError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (a, p) = rest.split_once(']').ok_or_else(|| PacketError::Address {
            what,
            text: text.to_owned(),
            hint: "; the ] is missing",
        })?;
        let a = address(a, what)?;
        return match p.strip_prefix(':') {
            None if p.is_empty() => Ok((a, None)),
            Some(p) => Ok((a, Some(port_number(p)?))),
            None => Err(PacketError::Port { text: p.to_owned() }),
        };
    }
    match text.matches(':').count() {
        1 => {
            let (a, p) = text.split_once(':').unwrap_or((text, ""));
            Ok((address(a, what)?, Some(port_number(p)?)))
        }
        _ => Ok((address(text, what)?, None)),
    }
}

fn port_number(p: &str) -> Result<u16, PacketError> {
    p.parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| PacketError::Port { text: p.to_owned() })
}

fn tcp_flags(list: &[String]) -> Result<TcpFlags, PacketError> {
    let mut bits = 0;
    for f in list {
        let lower = f.to_ascii_lowercase();
        let (_, b) = TcpFlags::NAMES
            .iter()
            .find(|(n, _)| *n == lower)
            .ok_or_else(|| PacketError::Value {
                key: "flags",
                value: f.clone(),
                expected: "they are fin, syn, rst, psh, ack, urg, ece, cwr",
            })?;
        bits |= b;
    }
    Ok(TcpFlags(bits))
}

fn mac(text: &str) -> Result<[u8; 6], PacketError> {
    let mut out = [0; 6];
    let parts: Vec<&str> = text.split(':').collect();
    let bad = || PacketError::Value {
        key: "mac",
        value: text.to_owned(),
        expected: "it is six bytes, aa:bb:cc:dd:ee:ff",
    };
    if parts.len() != 6 {
        return Err(bad());
    }
    for (o, p) in out.iter_mut().zip(parts) {
        *o = u8::from_str_radix(p, 16).map_err(|_| bad())?;
    }
    Ok(out)
}
