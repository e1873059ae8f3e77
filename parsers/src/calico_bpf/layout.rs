//! Keys and values of the maps.

use super::{Affinity, Backend, Flow, Frontend, Maps, Route};
use crate::common::{Proto, Span};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A map of Calico's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// `cali_v4_nat_fe3`, `cali_v6_nat_fe3`.
    Frontends,
    /// `cali_v4_nat_be`, `cali_v6_nat_be`.
    Backends,
    /// `cali_v4_nat_aff`.
    Affinity,
    /// `cali_v4_routes`.
    Routes,
    /// `cali_v4_ct4`.
    Conntrack,
}

impl Map {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Frontends,
        Self::Backends,
        Self::Affinity,
        Self::Routes,
        Self::Conntrack,
    ];

    /// The map that a name, a path or a command speaks of.
    pub fn named(text: &str) -> Option<Self> {
        let at = text.find("cali_v4_").or_else(|| text.find("cali_v6_"))?;
        let name = text.get(at + "cali_v4_".len()..)?;
        let digits = |rest: &str| {
            rest.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .all(|c| c.is_ascii_digit())
        };
        [
            ("nat_fe", Self::Frontends),
            ("nat_be", Self::Backends),
            ("nat_aff", Self::Affinity),
            ("routes", Self::Routes),
            ("ct", Self::Conntrack),
        ]
        .into_iter()
        .find_map(|(n, map)| digits(name.strip_prefix(n)?).then_some(map))
    }

    /// The map whose entries have these sizes. Those of backends and routes of IPv4 are alike; what tells them apart is that routes begin
    /// with flags, of which there are few, and backends with an address.
    pub(super) fn guess(entries: &[(&[u8], &[u8])]) -> Option<Self> {
        let (key, value) = entries.first()?;
        Some(match (key.len(), value.len()) {
            (16 | 40, 20) => Self::Frontends,
            (8, 8) => {
                let flags = |v: &[u8]| u32_at(v, 0).is_some_and(|n| n < 0x0001_0000);
                if entries.iter().all(|(_, v)| flags(v)) {
                    Self::Routes
                } else {
                    Self::Backends
                }
            }
            (8, 20) => Self::Backends,
            (20, 20) => Self::Routes,
            (16, 16) | (40, 32) => Self::Affinity,
            (16, 88) | (40, 128) => Self::Conntrack,
            _ => return None,
        })
    }
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(b.get(at..)?.first_chunk().copied()?))
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..)?.first_chunk().copied()?))
}

fn addr_at(b: &[u8], at: usize, v6: bool) -> Option<IpAddr> {
    let b = b.get(at..)?;
    Some(if v6 {
        IpAddr::V6(Ipv6Addr::from(*b.first_chunk::<16>()?))
    } else {
        IpAddr::V4(Ipv4Addr::from(*b.first_chunk::<4>()?))
    })
}

pub(super) fn entry(
    map: Map,
    key: &[u8],
    value: &[u8],
    (line, span): (u32, Span),
    out: &mut Maps,
) -> Option<()> {
    match map {
        Map::Frontends => out.frontends.push(frontend(key, value, line, span)?),
        Map::Backends => {
            let v6 = match (key.len(), value.len()) {
                (8, 8) => false,
                (8, 20) => true,
                _ => return None,
            };
            let port = if v6 { 16 } else { 4 };
            out.backends.push(Backend {
                line,
                span,
                id: u32_at(key, 0)?,
                ordinal: u32_at(key, 4)?,
                addr: addr_at(value, 0, v6)?,
                port: u16_at(value, port)?,
            });
        }
        Map::Affinity => {
            let (v6, size) = match value.len() {
                16 => (false, 4),
                32 => (true, 16),
                _ => return None,
            };
            out.affinities.push(Affinity {
                line,
                span,
                // `struct calico_nat`, padded to a multiple of four, then the client.
                client: addr_at(key, size + 4, v6)?,
                proto: Proto(*key.get(size + 2)?),
                service: (addr_at(key, 0, v6)?, u16_at(key, size)?),
                backend: (addr_at(value, 0, v6)?, u16_at(value, size)?),
            });
        }
        Map::Routes => {
            let v6 = match (key.len(), value.len()) {
                (8, 8) => false,
                (20, 20) => true,
                _ => return None,
            };
            let flags = u32_at(value, 0)?;
            let workload = flags & Route::WORKLOAD != 0;
            let local = flags & Route::LOCAL != 0;
            let next_hop = addr_at(value, 4, v6)?;
            out.routes.push(Route {
                line,
                span,
                addr: addr_at(key, 4, v6)?,
                len: prefix(u32_at(key, 0)?, v6)?,
                flags,
                next_hop: (workload && !local).then_some(next_hop),
                ifindex: (workload && local).then(|| u32_at(value, 4)).flatten(),
            });
        }
        Map::Conntrack => {
            let v6 = match (key.len(), value.len()) {
                (16, 88) => false,
                (40, 128) => true,
                _ => return None,
            };
            // Entries of the forward direction only name the other one.
            if let Some(f) = flow(key, value, v6, line, span)? {
                out.flows.push(f);
            }
        }
    }
    Some(())
}

fn prefix(len: u32, v6: bool) -> Option<u8> {
    let most = if v6 { 128 } else { 32 };
    u8::try_from(len).ok().filter(|l| *l <= most)
}

/// `struct calico_nat_v4_key` and `_value`. The prefix counts address, port and protocol, then the source's.
fn frontend(key: &[u8], value: &[u8], line: u32, span: Span) -> Option<Frontend> {
    let v6 = match (key.len(), value.len()) {
        (16, 20) => false,
        (40, 20) => true,
        _ => return None,
    };
    let (size, without) = if v6 { (16, 152) } else { (4, 56) };
    let len = prefix(u32_at(key, 0)?.checked_sub(without)?, v6)?;
    let count = u32_at(value, 4)?;
    Some(Frontend {
        line,
        span,
        addr: addr_at(key, 4, v6)?,
        port: u16_at(key, 4 + size)?,
        proto: Proto(*key.get(4 + size + 2)?),
        id: u32_at(value, 0)?,
        count: (count != u32::MAX).then_some(count),
        local: u32_at(value, 8)?,
        flags: u32_at(value, 16)?,
        src: (len > 0)
            .then(|| Some((addr_at(key, 4 + size + 3, v6)?, len)))
            .flatten(),
        affinity: Some(u32_at(value, 12)?),
    })
}

/// `struct calico_ct_value`, versions 3 and 4; `Ok(None)` of an entry that is of the other direction.
#[expect(clippy::option_option, reason = "not an entry, or none to keep")]
fn flow(key: &[u8], value: &[u8], v6: bool, line: u32, span: Span) -> Option<Option<Flow>> {
    const NORMAL: u8 = 0;
    const FORWARD: u8 = 1;
    const REVERSE: u8 = 2;
    const DSR: u32 = 1 << 1;
    const FORWARDED: u32 = 1 << 2;
    /// The opener is the second of the key.
    const SECOND: u32 = 1 << 8;
    let size = if v6 { 16 } else { 4 };
    let kind = *value.get(16)?;
    if kind == FORWARD {
        return Some(None);
    }
    if kind != NORMAL && kind != REVERSE {
        return None;
    }
    let byte = |at: usize| value.get(at).copied().map(u32::from);
    let flags = byte(17)? | byte(23)? << 8;
    let ports = 4 + 2 * size;
    let a = (addr_at(key, 4, v6)?, u16_at(key, ports)?);
    let b = (addr_at(key, 4 + size, v6)?, u16_at(key, ports + 2)?);
    let (src, dst) = if flags & SECOND == 0 { (a, b) } else { (b, a) };
    let tunnel = addr_at(value, 72, v6)?;
    let asked = (
        addr_at(value, 72 + size, v6)?,
        u16_at(value, 72 + 2 * size)?,
    );
    let reverse = kind == REVERSE;
    Some(Some(Flow {
        line,
        span,
        proto: Proto(u8::try_from(u32_at(key, 0)?).ok()?),
        src,
        service: reverse.then_some(asked),
        dst,
        tunnel: (reverse && !tunnel.is_unspecified()).then_some(tunnel),
        dsr: Some(flags & DSR != 0),
        forwarded: Some(flags & FORWARDED != 0),
    }))
}
