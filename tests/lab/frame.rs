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
        let l4 = match self.proto {
            TCP => 20,
            UDP | ICMP | ICMPV6 => 8,
            GRE => 4,
            _ => 0,
        };
        ip + l4 + self.payload
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
            GRE => {
                // Version 0, no key, IPv4 inside: conntrack reads it (`gre_pkt_to_tuple`).
                b.extend_from_slice(&[0, 0, 8, 0]);
                None
            }
            _ => None,
        };
        b.extend_from_slice(&data);
        if let Some(at) = at {
            let mut acc = 0;
            if self.proto != ICMP {
                acc = sum(&octets(self.src), acc);
                acc = sum(&octets(self.dst), acc);
                acc += u32::from(self.proto) + u32::try_from(b.len()).unwrap_or(0);
            }
            let mut check = fold(sum(&b, acc));
            if check == 0 && self.proto == UDP {
                check = 0xffff;
            }
            b[at..at + 2].copy_from_slice(&check.to_be_bytes());
        }
        b
    }

    /// The IP packet.
    pub fn packet(&self) -> Vec<u8> {
        let l4 = self.l4();
        let mut b = Vec::new();
        match (self.src, self.dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                let len = u16::try_from(20 + l4.len()).unwrap_or(0);
                b.extend_from_slice(&[0x45, self.tos]);
                b.extend_from_slice(&len.to_be_bytes());
                // Don't fragment.
                b.extend_from_slice(&[0, 1, 0x40, 0, self.ttl, self.proto, 0, 0]);
                b.extend_from_slice(&s.octets());
                b.extend_from_slice(&d.octets());
                let check = fold(sum(&b, 0));
                b[10..12].copy_from_slice(&check.to_be_bytes());
            }
            (s, d) => {
                let len = u16::try_from(l4.len()).unwrap_or(0);
                b.extend_from_slice(&[0x60 | self.tos >> 4, self.tos << 4, 0, 0]);
                b.extend_from_slice(&len.to_be_bytes());
                b.extend_from_slice(&[self.proto, self.ttl]);
                b.extend_from_slice(&octets(s));
                b.extend_from_slice(&octets(d));
            }
        }
        b.extend_from_slice(&l4);
        b
    }

    /// The Ethernet frame.
    pub fn frame(&self, to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
        let mut b = to.to_vec();
        b.extend_from_slice(&from);
        b.extend_from_slice(if self.dst.is_ipv4() {
            &[0x08, 0x00]
        } else {
            &[0x86, 0xdd]
        });
        b.extend_from_slice(&self.packet());
        b
    }

    /// Reads an IP packet.
    pub fn parse(b: &[u8]) -> Option<Self> {
        let (src, dst, proto, tos, ttl, l4): (IpAddr, IpAddr, u8, u8, u8, &[u8]) =
            match b.first()? >> 4 {
                4 => {
                    let s: [u8; 4] = b.get(12..16)?.try_into().ok()?;
                    let d: [u8; 4] = b.get(16..20)?.try_into().ok()?;
                    let head = usize::from(b[0] & 15) * 4;
                    (s.into(), d.into(), b[9], b[1], b[8], b.get(head..)?)
                }
                6 => {
                    let s: [u8; 16] = b.get(8..24)?.try_into().ok()?;
                    let d: [u8; 16] = b.get(24..40)?.try_into().ok()?;
                    (
                        s.into(),
                        d.into(),
                        b[6],
                        b[0] << 4 | b[1] >> 4,
                        b[7],
                        &b[40..],
                    )
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
            UDP => {
                w.sport = u16_at(0)?;
                w.dport = u16_at(2)?;
                l4.get(8..)?
            }
            ICMP | ICMPV6 => {
                w.icmp = (*l4.first()?, *l4.get(1)?);
                w.sport = u16_at(4)?;
                l4.get(8..)?
            }
            GRE => l4.get(4..)?,
            _ => l4,
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
