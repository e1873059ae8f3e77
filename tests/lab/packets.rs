//! Random packets over the same pools as the rules.

use super::frame::{AH, DCCP, ESP, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Wire, has_ports};
use super::netns::DEVICES;
use super::pool;
use super::prng::Prng;
use super::probe::{From, Probe};

/// Makes packets with ports and ids that were not used before in this node.
#[derive(Debug)]
pub struct Packets {
    next: u16,
}

impl Packets {
    /// None used yet.
    pub fn new() -> Self {
        Self { next: 0 }
    }

    /// The same packet as a new connection.
    pub fn again(&mut self, p: &Probe) -> Probe {
        let mut p = p.clone();
        self.next = self.next.wrapping_add(1);
        let band = p.wire.sport / 1000;
        let low = if has_ports(p.wire.proto) {
            match band {
                0 => 1 + self.next % 1000,
                20..25 => 20_000 + self.next % 5000,
                _ => 25_000 + self.next % 5000,
            }
        } else {
            self.next
        };
        p.wire.sport = low;
        p.wire.id = u32::from(self.next) + 1;
        p
    }

    /// Any packet.
    pub fn any(&mut self, r: &mut Prng) -> Probe {
        let v6 = r.chance(45);
        let local = r.chance(28);
        let dev = r.below(DEVICES.len());
        let src = if local {
            own(r, v6)
        } else {
            match (dev, r.below(100)) {
                (_, 80..) => pool::addr(r, v6),
                (0 | 1, _) if v6 => pool::OUTSIDE6[r.below(3) + 3 * dev],
                (0 | 1, _) => pool::OUTSIDE4[r.below(3) + 3 * dev],
                (_, _) if v6 => pool::POD6[r.below(2) + 2 * (dev - 2)],
                _ => pool::POD4[r.below(2) + 2 * (dev - 2)],
            }
        };
        let (src, mut dst) = (ip(src), ip(pool::addr(r, v6)));
        // A link-local destination needs a device named beside it, which a packet does not.
        let far = dst.to_string().starts_with("fe80");
        if local
            && (far || dst.is_multicast() || pool::BROADCASTS.contains(&dst.to_string().as_str()))
        {
            // What a process sends to many also loops back to itself, as a second packet (`ip_mc_output`).
            dst = ip(if v6 { "fd01::50" } else { "10.1.0.50" });
        }
        let proto = match r.below(10) {
            0..5 => TCP,
            5..8 => UDP,
            8 if v6 => ICMPV6,
            8 => ICMP,
            _ if local => UDP,
            _ => {
                let ah = if v6 { ESP } else { AH };
                let icmp = if v6 { ICMPV6 } else { ICMP };
                r.one(&[TCP, UDP, icmp, SCTP, SCTP, UDPLITE, DCCP, GRE, ESP, ah])
            }
        };
        let flags = if local || r.chance(75) {
            2
        } else {
            r.one(&[
                0x10, 0x12, 0x04, 0x03, 0x00, 0x29, 0x11, 0x18, 0x14, 0x3f, 0xc2, 0x20, 0x01, 0x06,
            ])
        };
        let echo = if v6 { (128, 0) } else { (8, 0) };
        let icmp = if local || r.chance(80) {
            echo
        } else if v6 {
            r.one(&[(129, 0), (1, 0), (3, 0), (100, 0)])
        } else {
            r.one(&[(0, 0), (3, 1), (11, 0), (13, 0), (42, 0)])
        };
        if r.chance(10) {
            dst = ip(if v6 {
                r.one(&pool::VIP6)
            } else {
                r.one(&pool::VIP4)
            });
        }
        let sport = match r.below(5) {
            0 => 500,
            1 | 2 => 20_000,
            _ => 25_000,
        };
        let ttl = match r.below(20) {
            0 => 1,
            1 => 2,
            2 => 3,
            3 => 255,
            _ => 64,
        };
        let payload = r.one(&[8, 8, 20, 100, 1200]);
        let wire = Wire {
            src,
            dst,
            proto,
            sport: if has_ports(proto) { sport } else { 0 },
            dport: if has_ports(proto) {
                r.one(&pool::PORTS)
            } else {
                0
            },
            icmp: if matches!(proto, ICMP | ICMPV6) {
                icmp
            } else {
                (0, 0)
            },
            flags: if proto == TCP { flags } else { 0 },
            seq: 1000,
            ack: 0,
            tos: r.one(&pool::TOSES),
            ttl,
            id: 0,
            payload,
            split: !local && payload >= 100 && r.chance(20),
        };
        let from = if local {
            From::Local {
                mark: if r.chance(60) { 0 } else { r.one(&pool::MARKS) },
                uid: r.one(&[0, 0, 1000]),
                gid: r.one(&[0, 0, 1000]),
                bound: r.chance(60),
            }
        } else {
            From::Device {
                dev,
                mac: [2, 0, 0, 0, 1, r.one(&[1, 2])],
            }
        };
        self.again(&Probe { from, wire })
    }
}

fn own(r: &mut Prng, v6: bool) -> &'static str {
    if v6 {
        r.one(&pool::OWN6)
    } else {
        r.one(&pool::OWN4)
    }
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is in a pool of addresses"))
}
