//! Packets as bytes and back.

use std::net::IpAddr;

/// The fields that matter of an IPv4 or IPv6 packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol.
    pub proto: u8,
    /// Source port, or ICMP id.
    pub sport: u16,
    /// Destination port; 0 for ICMP.
    pub dport: u16,
    /// Type and code of ICMP.
    pub icmp: (u8, u8),
    /// TCP flags.
    pub flags: u8,
    /// TCP sequence number.
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// A number by which the packet is known again wherever it turns up; 0 = none.
    pub id: u32,
    /// Bytes of payload; from 8 on they hold the number.
    pub payload: usize,
    /// Sent in two fragments.
    pub split: bool,
}

/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `IPPROTO_ICMP`.
pub const ICMP: u8 = 1;
/// `IPPROTO_ICMPV6`.
pub const ICMPV6: u8 = 58;
/// `IPPROTO_GRE`.
pub const GRE: u8 = 47;
/// `IPPROTO_DCCP`.
pub const DCCP: u8 = 33;
/// `IPPROTO_ESP`.
pub const ESP: u8 = 50;
/// `IPPROTO_AH`.
pub const AH: u8 = 51;
/// `IPPROTO_SCTP`.
pub const SCTP: u8 = 132;
/// `IPPROTO_UDPLITE`.
pub const UDPLITE: u8 = 136;

/// Whether a protocol has ports.
pub fn has_ports(proto: u8) -> bool {
    matches!(proto, TCP | UDP | UDPLITE | SCTP | DCCP)
}

/// Whether two packets of a protocol can be of two connections: conntrack has the tuple of ports or ids for it.
pub fn is_flow(proto: u8) -> bool {
    matches!(proto, TCP | UDP | UDPLITE | SCTP | ICMP | ICMPV6)
}

/// Bytes of the transport header before the payload.
fn head(proto: u8) -> usize {
    match proto {
        TCP => 20,
        UDP | UDPLITE | ICMP | ICMPV6 | ESP => 8,
        GRE => 4,
        // With the INIT chunk.
        SCTP => 32,
        DCCP => 16,
        AH => 24,
        _ => 0,
    }
}

/// `CRC32c`, the checksum of SCTP.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for b in bytes {
        crc ^= u32::from(*b);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

/// The SPI of all ESP and AH packets.
const SPI: u32 = 256;

/// Bytes of the transport in the first of two fragments: all that a first fragment must have, and the number.
const FIRST: usize = 64;

const MAGIC: [u8; 4] = *b"lab!";

fn sum(bytes: &[u8], mut acc: u32) -> u32 {
    for c in bytes.chunks(2) {
        acc += u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0));
    }
    acc
}

fn fold(mut acc: u32) -> u16 {
    while acc >> 16 != 0 {
        acc = (acc & 0xffff) + (acc >> 16);
    }
    !u16::try_from(acc).unwrap_or(0)
}

fn octets(a: IpAddr) -> Vec<u8> {
    match a {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

impl Wire {
    /// Length of the IP packet.
    pub fn length(&self) -> usize {
        let ip = if self.dst.is_ipv4() { 20 } else { 40 };
        ip + head(self.proto) + self.payload
    }

    fn l4(&self) -> Vec<u8> {
        let mut data = MAGIC.to_vec();
        data.extend_from_slice(&self.id.to_be_bytes());
        data.resize(self.payload, 0);
        let mut b = Vec::new();
        let at = match self.proto {
            TCP => {
                b.extend_from_slice(&self.sport.to_be_bytes());
                b.extend_from_slice(&self.dport.to_be_bytes());
                b.extend_from_slice(&self.seq.to_be_bytes());
                b.extend_from_slice(&self.ack.to_be_bytes());
                b.extend_from_slice(&[5 << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
                Some(16)
            }
            UDP => {
                b.extend_from_slice(&self.sport.to_be_bytes());
                b.extend_from_slice(&self.dport.to_be_bytes());
                let len = u16::try_from(8 + data.len()).unwrap_or(0);
                b.extend_from_slice(&len.to_be_bytes());
                b.extend_from_slice(&[0, 0]);
                Some(6)
            }
            ICMP | ICMPV6 => {
                b.extend_from_slice(&[self.icmp.0, self.icmp.1, 0, 0]);
                b.extend_from_slice(&self.sport.to_be_bytes());
                b.extend_from_slice(&[0, 1]);
                Some(2)
            }
            UDPLITE => {
                b.extend_from_slice(&self.sport.to_be_bytes());
                b.extend_from_slice(&self.dport.to_be_bytes());
                // The checksum covers all.
                b.extend_from_slice(&[0; 4]);
                Some(6)
            }
            SCTP => {
                b.extend_from_slice(&self.sport.to_be_bytes());
                b.extend_from_slice(&self.dport.to_be_bytes());
                // No verification tag, no checksum yet; INIT, with the payload as its parameters.
                b.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
                let len = u16::try_from(20 + data.len()).unwrap_or(0);
                b.extend_from_slice(&len.to_be_bytes());
                b.extend_from_slice(&[0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
                None
            }
            DCCP => {
                b.extend_from_slice(&self.sport.to_be_bytes());
                b.extend_from_slice(&self.dport.to_be_bytes());
                // 16 bytes of header, a REQUEST with a long sequence number.
                b.extend_from_slice(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
                Some(6)
            }
            ESP => {
                b.extend_from_slice(&SPI.to_be_bytes());
                b.extend_from_slice(&[0, 0, 0, 1]);
                None
            }
            AH => {
                // Six words less two, and what follows would be UDP.
                b.extend_from_slice(&[UDP, 4, 0, 0]);
                b.extend_from_slice(&SPI.to_be_bytes());
                b.extend_from_slice(&[0; 16]);
                None
            }
            GRE => {
                // Version 0, no key, IPv4 inside: conntrack reads it (`gre_pkt_to_tuple`).
                b.extend_from_slice(&[0, 0, 8, 0]);
                None
            }
            _ => None,
        };
        b.extend_from_slice(&data);
        if self.proto == SCTP {
            let crc = crc32c(&b);
            b[8..12].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(at) = at {
            let mut acc = 0;
            if self.proto != ICMP {
                acc = sum(&octets(self.src), acc);
                acc = sum(&octets(self.dst), acc);
                acc += u32::from(self.proto) + u32::try_from(b.len()).unwrap_or(0);
            }
            let mut check = fold(sum(&b, acc));
            if check == 0 && matches!(self.proto, UDP | UDPLITE) {
                check = 0xffff;
            }
            b[at..at + 2].copy_from_slice(&check.to_be_bytes());
        }
        b
    }

    /// The IP packet.
    pub fn packet(&self) -> Vec<u8> {
        self.ip(&self.l4(), None)
    }

    /// The IP packet, or a part of it: from which byte on, and whether more follow.
    fn ip(&self, l4: &[u8], part: Option<(usize, bool)>) -> Vec<u8> {
        let mut b = Vec::new();
        let field = part.map_or(0, |(from, more)| {
            u16::try_from(from).unwrap_or(0) | u16::from(more)
        });
        // Two packets of an id would be one.
        let id = self.id.to_be_bytes();
        match (self.src, self.dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                let len = u16::try_from(20 + l4.len()).unwrap_or(0);
                b.extend_from_slice(&[0x45, self.tos]);
                b.extend_from_slice(&len.to_be_bytes());
                b.extend_from_slice(&[id[2], id[3]]);
                // Don't fragment; or the offset in units of eight bytes, with "more fragments" above it.
                let field = match part {
                    None => 0x4000,
                    Some((_, more)) => field >> 3 | u16::from(more) << 13,
                };
                b.extend_from_slice(&field.to_be_bytes());
                b.extend_from_slice(&[self.ttl, self.proto, 0, 0]);
                b.extend_from_slice(&s.octets());
                b.extend_from_slice(&d.octets());
                let check = fold(sum(&b, 0));
                b[10..12].copy_from_slice(&check.to_be_bytes());
            }
            (s, d) => {
                let more = if part.is_some() { 8 } else { 0 };
                let len = u16::try_from(l4.len() + more).unwrap_or(0);
                b.extend_from_slice(&[0x60 | self.tos >> 4, self.tos << 4, 0, 0]);
                b.extend_from_slice(&len.to_be_bytes());
                let next = if part.is_some() { 44 } else { self.proto };
                b.extend_from_slice(&[next, self.ttl]);
                b.extend_from_slice(&octets(s));
                b.extend_from_slice(&octets(d));
                if part.is_some() {
                    b.extend_from_slice(&[self.proto, 0]);
                    b.extend_from_slice(&field.to_be_bytes());
                    b.extend_from_slice(&id);
                }
            }
        }
        b.extend_from_slice(l4);
        b
    }

    /// The Ethernet frames: one, or two where the packet goes in fragments.
    pub fn frames(&self, to: [u8; 6], from: [u8; 6]) -> Vec<Vec<u8>> {
        let l4 = self.l4();
        let packets = if self.split && l4.len() > FIRST {
            let (a, b) = l4.split_at(FIRST);
            vec![
                self.ip(a, Some((0, true))),
                self.ip(b, Some((FIRST, false))),
            ]
        } else {
            vec![self.ip(&l4, None)]
        };
        let ether: [u8; 2] = if self.dst.is_ipv4() {
            [0x08, 0x00]
        } else {
            [0x86, 0xdd]
        };
        packets
            .into_iter()
            .map(|p| [&to[..], &from[..], &ether[..], &p[..]].concat())
            .collect()
    }

    /// Reads an IP packet.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let (src, dst, proto, tos, ttl, l4): (IpAddr, IpAddr, u8, u8, u8, &[u8]) =
            match b.first()? >> 4 {
                // A later fragment has no transport header.
                4 if b.get(6)? & 0x1f != 0 || *b.get(7)? != 0 => return None,
                4 => {
                    let s: [u8; 4] = b.get(12..16)?.try_into().ok()?;
                    let d: [u8; 4] = b.get(16..20)?.try_into().ok()?;
                    let head = usize::from(b[0] & 15) * 4;
                    (s.into(), d.into(), b[9], b[1], b[8], b.get(head..)?)
                }
                6 => {
                    let s: [u8; 16] = b.get(8..24)?.try_into().ok()?;
                    let d: [u8; 16] = b.get(24..40)?.try_into().ok()?;
                    // A fragment header stands before the transport; only first fragments are read.
                    let (proto, at) = match (b[6], b.get(40..48)) {
                        (44, Some(f)) if f[2] == 0 && f[3] & 0xf8 == 0 => (f[0], 48),
                        (44, _) => return None,
                        (proto, _) => (proto, 40),
                    };
                    let tos = b[0] << 4 | b[1] >> 4;
                    (s.into(), d.into(), proto, tos, b[7], &b[at..])
                }
                _ => return None,
            };
        let mut w = Self {
            src,
            dst,
            proto,
            sport: 0,
            dport: 0,
            icmp: (0, 0),
            flags: 0,
            seq: 0,
            ack: 0,
            tos,
            ttl,
            id: 0,
            payload: 0,
            split: false,
        };
        let u16_at = |at: usize| Some(u16::from_be_bytes(l4.get(at..at + 2)?.try_into().ok()?));
        let data = match proto {
            TCP => {
                w.sport = u16_at(0)?;
                w.dport = u16_at(2)?;
                w.seq = u32::from_be_bytes(l4.get(4..8)?.try_into().ok()?);
                w.ack = u32::from_be_bytes(l4.get(8..12)?.try_into().ok()?);
                w.flags = *l4.get(13)?;
                l4.get(usize::from(l4[12] >> 4) * 4..)?
            }
            UDP | UDPLITE | SCTP | DCCP => {
                w.sport = u16_at(0)?;
                w.dport = u16_at(2)?;
                l4.get(head(proto)..)?
            }
            ICMP | ICMPV6 => {
                w.icmp = (*l4.first()?, *l4.get(1)?);
                w.sport = u16_at(4)?;
                l4.get(8..)?
            }
            _ => l4.get(head(proto)..)?,
        };
        w.payload = data.len();
        if data.get(..4) == Some(&MAGIC) {
            w.id = u32::from_be_bytes(data.get(4..8)?.try_into().ok()?);
        }
        Some(w)
    }

    /// Whether this is an error message or a reset, and so an answer that says no.
    pub fn says_no(&self) -> bool {
        match self.proto {
            ICMP => matches!(self.icmp.0, 3 | 11 | 12),
            ICMPV6 => matches!(self.icmp.0, 1..=4),
            TCP => self.flags & 4 != 0,
            _ => false,
        }
    }
}
