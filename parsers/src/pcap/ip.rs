//! IP, and what is in it as far as it tells packets apart.

use super::bytes::Bytes;
use super::frame;
use crate::common::Proto;
use crate::tcpdump::packet::{About, Error, Packet, Tcp, What};

/// Tunnels in each other.
const DEPTH: u8 = 4;
/// Headers of IPv6 before the payload.
const EXTENSIONS: usize = 8;

pub(super) fn v4(data: &[u8], depth: u8) -> Option<Vec<Packet>> {
    let (p, rest) = v4_header(data)?;
    Some(inside(p, rest, depth))
}

pub(super) fn v6(data: &[u8], depth: u8) -> Option<Vec<Packet>> {
    let (p, rest) = v6_header(data)?;
    Some(inside(p, rest, depth))
}

/// The header's part, and the payload of a first fragment; nothing of later ones.
fn v4_header(data: &[u8]) -> Option<(Packet, &[u8])> {
    let mut b = Bytes::of_wire(data);
    let first = b.u8()?;
    if first >> 4 != 4 {
        return None;
    }
    b.skip(1)?;
    let total = usize::from(b.u16()?);
    let id = b.u16()?;
    let fragment = b.u16()? & 0x1fff;
    let ttl = b.u8()?;
    let proto = b.u8()?;
    b.skip(2)?;
    let (src, dst) = (b.v4()?, b.v4()?);
    let header = usize::from(first & 0xf) * 4;
    let mut p = Packet::between(src, dst);
    p.id = Some(id);
    p.ttl = Some(ttl);
    p.proto = Some(Proto(proto));
    // Offloaded segments have no length yet; frames are padded.
    let end = if total < header {
        data.len()
    } else {
        total.min(data.len())
    };
    let rest = data.get(header.max(20)..end).unwrap_or_default();
    let length = if total < header { data.len() } else { total };
    p.length = u32::try_from(length.saturating_sub(header)).ok();
    Some((p, if fragment == 0 { rest } else { &[] }))
}

fn v6_header(data: &[u8]) -> Option<(Packet, &[u8])> {
    let mut b = Bytes::of_wire(data);
    if b.u32()? >> 28 != 6 {
        return None;
    }
    let payload = usize::from(b.u16()?);
    let mut next = b.u8()?;
    let ttl = b.u8()?;
    let (src, dst) = (b.v6()?, b.v6()?);
    let mut p = Packet::between(src, dst);
    p.ttl = Some(ttl);
    let mut later = false;
    for _ in 0..EXTENSIONS {
        let (following, length) = match next {
            // Hop by hop, routing, destination options: units of 8 bytes behind the first.
            0 | 43 | 60 => {
                let n = b.u8()?;
                let length = usize::from(b.u8()?) * 8 + 6;
                (n, length)
            }
            // Fragment.
            44 => {
                let n = b.u8()?;
                b.skip(1)?;
                later |= b.u16()? >> 3 != 0;
                (n, 4)
            }
            _ => break,
        };
        b.skip(length)?;
        next = following;
    }
    p.proto = Some(Proto(next));
    let extensions = b.at().saturating_sub(40);
    let length = if payload == 0 {
        b.left()
    } else {
        payload.saturating_sub(extensions)
    };
    p.length = u32::try_from(length).ok();
    let rest = b.rest();
    let rest = rest.get(..length.min(rest.len())).unwrap_or_default();
    Some((p, if later { &[] } else { rest }))
}

/// The packet with what is in it, and packets within.
fn inside(mut p: Packet, data: &[u8], depth: u8) -> Vec<Packet> {
    p.depth = depth;
    let mut b = Bytes::of_wire(data);
    let proto = p.proto.unwrap_or(Proto(0));
    let deeper = depth + 1;
    let mut more = None;
    match proto {
        Proto::TCP => tcp(&mut p, &mut b),
        Proto::UDP | Proto::UDPLITE | Proto::SCTP | Proto::DCCP => {
            p.sport = b.u16();
            p.dport = b.u16();
            if proto == Proto::UDP && b.skip(4).is_some() {
                p.length = p.length.map(|l| l.saturating_sub(8));
                let to_vxlan = matches!(p.dport, Some(4789 | 8472));
                if to_vxlan && deeper <= DEPTH {
                    more = vxlan(b.rest(), deeper);
                }
            }
        }
        Proto::ICMP => icmp(&mut p, &mut b),
        Proto::ICMPV6 => icmp6(&mut p, &mut b),
        Proto(4) if deeper <= DEPTH => more = v4(data, deeper),
        Proto(41) if deeper <= DEPTH => more = v6(data, deeper),
        Proto(47) if deeper <= DEPTH => more = gre(data, deeper),
        _ => {}
    }
    let mut list = vec![p];
    list.extend(more.into_iter().flatten());
    list
}

fn tcp(p: &mut Packet, b: &mut Bytes<'_>) {
    let fixed = (|| {
        let ports = (b.u16()?, b.u16()?);
        let numbers = (b.u32()?, b.u32()?);
        let (offset, flags) = (b.u8()?, b.u8()?);
        b.skip(6)?;
        Some((ports, numbers, usize::from(offset >> 4) * 4, flags))
    })();
    let Some((ports, (seq, ack), header, flags)) = fixed else {
        return;
    };
    (p.sport, p.dport) = (Some(ports.0), Some(ports.1));
    let header = header.max(20);
    p.length = p
        .length
        .map(|l| l.saturating_sub(u32::try_from(header).unwrap_or(0)));
    let mut stamp = None;
    let options = b.take(header - 20).unwrap_or_default();
    let mut o = Bytes::of_wire(options);
    while let Some(kind) = o.u8() {
        match kind {
            0 => break,
            1 => {}
            _ => {
                let Some(length) = o.u8() else { break };
                if kind == 8 && length == 10 {
                    stamp = o.u32().zip(o.u32());
                } else if o.skip(usize::from(length).saturating_sub(2)).is_none() {
                    break;
                }
            }
        }
    }
    p.what = What::Tcp(Tcp {
        flags,
        seq: Some(seq),
        ack: (flags & 16 != 0).then_some(ack),
        stamp,
    });
}

/// The packet that an error quotes.
fn quoted(data: &[u8], v6: bool) -> About {
    let header = if v6 { v6_header(data) } else { v4_header(data) };
    let Some((q, rest)) = header else {
        return About::default();
    };
    let mut b = Bytes::of_wire(rest);
    let ports = q.proto.is_some_and(Proto::has_ports);
    let (sport, dport) = if ports {
        (b.u16(), b.u16())
    } else {
        (None, None)
    };
    About {
        src: Some(q.src),
        dst: Some(q.dst),
        proto: q.proto,
        sport,
        dport,
    }
}

fn icmp(p: &mut Packet, b: &mut Bytes<'_>) {
    let head = (|| {
        let (kind, code) = (b.u8()?, b.u8()?);
        b.skip(2)?;
        Some((kind, code, b.u16()?, b.u16()?))
    })();
    let Some((kind, code, id, seq)) = head else {
        return;
    };
    let error = match (kind, code) {
        (0 | 8, _) => {
            p.what = What::Echo {
                reply: kind == 0,
                id,
                seq,
            };
            return;
        }
        (3, 4) => Error::TooBig,
        (3, _) => Error::Unreachable,
        (11, _) => Error::Exceeded,
        (4 | 5 | 12, _) => Error::Other,
        _ => return,
    };
    error_about(p, error, quoted(b.rest(), false));
}

fn icmp6(p: &mut Packet, b: &mut Bytes<'_>) {
    let head = (|| {
        let (kind, _) = (b.u8()?, b.u8()?);
        b.skip(2)?;
        Some((kind, b.u16()?, b.u16()?))
    })();
    let Some((kind, id, seq)) = head else { return };
    let error = match kind {
        128 | 129 => {
            p.what = What::Echo {
                reply: kind == 129,
                id,
                seq,
            };
            return;
        }
        1 => Error::Unreachable,
        2 => Error::TooBig,
        3 => Error::Exceeded,
        4 => Error::Other,
        _ => return,
    };
    error_about(p, error, quoted(b.rest(), true));
}

fn error_about(p: &mut Packet, kind: Error, about: About) {
    p.length = None;
    p.what = What::Error { kind, about };
}

/// RFC 7348: flags with the bit of a valid id, then the frame.
fn vxlan(data: &[u8], depth: u8) -> Option<Vec<Packet>> {
    let mut b = Bytes::of_wire(data);
    if b.u32()? >> 24 & 0x08 == 0 {
        return None;
    }
    b.skip(4)?;
    frame::ethernet(b.rest(), depth)
}

/// RFC 2784 and 2890.
fn gre(data: &[u8], depth: u8) -> Option<Vec<Packet>> {
    let mut b = Bytes::of_wire(data);
    let (flags, proto) = (b.u16()?, b.u16()?);
    if flags & 0x7 != 0 {
        return None;
    }
    for bit in [0x8000, 0x2000, 0x1000] {
        if flags & bit != 0 {
            b.skip(4)?;
        }
    }
    match proto {
        0x0800 => v4(b.rest(), depth),
        0x86dd => v6(b.rest(), depth),
        0x6558 => frame::ethernet(b.rest(), depth),
        _ => None,
    }
}
