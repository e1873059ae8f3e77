//! What the far end sends back, and how a connection goes on.

use super::frame::{AH, DCCP, ESP, GRE, ICMP, ICMPV6, TCP, UDP, UDPLITE, Wire};
use super::probe::{From, Probe};

/// How a TCP connection that was opened ends or goes on: a FIN or a RST of the client, or data or a RST of the server.
pub fn last_of(p: &Probe, reply: &Probe) -> Option<Probe> {
    if p.wire.proto != TCP || p.wire.flags != 2 {
        return None;
    }
    let (mut next, flags) = match p.wire.id % 4 {
        0 => (p.clone(), 0x11),
        1 => (p.clone(), 0x04),
        2 => (reply.clone(), 0x14),
        _ => (reply.clone(), 0x18),
    };
    if p.wire.id % 4 < 2 {
        next.wire.seq = reply.wire.ack;
        next.wire.ack = REPLY_SEQ + 1;
    } else {
        next.wire.seq = REPLY_SEQ + 1;
    }
    next.wire.flags = flags;
    next.wire.payload = 8;
    Some(next)
}

/// Where the far ends' sequence numbers begin.
const REPLY_SEQ: u32 = 5000;

/// The answer of the far end to a packet that left.
pub fn reply_to(dev: usize, left: &Wire) -> Option<Probe> {
    let mut w = left.clone();
    std::mem::swap(&mut w.src, &mut w.dst);
    std::mem::swap(&mut w.sport, &mut w.dport);
    w.ttl = 64;
    w.ack = left
        .seq
        .wrapping_add(1)
        .wrapping_add(u32::try_from(left.payload).unwrap_or(0));
    w.seq = REPLY_SEQ;
    w.payload = 8;
    w.id += 1_000_000;
    match w.proto {
        TCP if w.flags == 2 => {
            w.flags = 0x12;
            w.payload = 0;
        }
        UDP | UDPLITE | DCCP | ESP | AH | GRE => {}
        ICMP if w.icmp.0 == 8 => {
            w.icmp = (0, 0);
            std::mem::swap(&mut w.sport, &mut w.dport);
        }
        ICMPV6 if w.icmp.0 == 128 => {
            w.icmp = (129, 0);
            std::mem::swap(&mut w.sport, &mut w.dport);
        }
        _ => return None,
    }
    Some(Probe {
        from: From::Device {
            dev,
            mac: [2, 0, 0, 0, 1, 1],
        },
        wire: w,
    })
}
