//! Sending one packet and seeing what becomes of it.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    sendto, setsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::frame::{ICMP, TCP, UDP, Wire};
use super::netns::{Netns, mac_of};
use super::nflog::{At, Nflog};

/// Where a packet comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// By one of the node's devices.
    Device {
        /// Which.
        dev: usize,
        /// Source hardware address.
        mac: [u8; 6],
    },
    /// A process of the node.
    Local {
        /// `SO_MARK`.
        mark: u32,
        /// The process's user.
        uid: u32,
        /// And group.
        gid: u32,
        /// Bound to the source address; else the kernel chooses, and the packet's `src` says nothing.
        bound: bool,
    },
}

/// A packet to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Where from.
    pub from: From,
    /// What.
    pub wire: Wire,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Frames that left, by device.
    pub left: Vec<(usize, Wire)>,
    /// Delivered locally: mark and packet.
    pub delivered: Vec<(u32, Wire)>,
    /// Answers of the node.
    pub answers: Vec<Wire>,
    /// The mark behind POSTROUTING.
    pub sent_mark: Option<u32>,
    /// What the sender was told.
    pub error: Option<Errno>,
}

impl Probe {
    /// IPv6.
    pub fn v6(&self) -> bool {
        self.wire.dst.is_ipv6()
    }

    /// Sends the packet and gathers what is to be seen of it; patiently where something should be.
    pub fn send(&self, net: &Netns, log: &Nflog, patient: bool) -> Observed {
        let mut o = Observed::default();
        // What a late earlier packet left is not this one's.
        let _ = (net.frames(), log.seen());
        match &self.from {
            From::Device { dev, mac } => {
                // As a host of that link would send it.
                let to = match self.wire.dst {
                    IpAddr::V4(a) if a.is_multicast() => {
                        let [_, b, c, d] = a.octets();
                        [1, 0, 0x5e, b & 0x7f, c, d]
                    }
                    IpAddr::V4(a) if a.is_broadcast() => [0xff; 6],
                    // The broadcast address of ext0's subnet.
                    IpAddr::V4(a) if a.octets()[3] == 255 && *dev == 0 => [0xff; 6],
                    IpAddr::V6(a) if a.is_multicast() => {
                        let [.., a, b, c, d] = a.octets();
                        [0x33, 0x33, a, b, c, d]
                    }
                    _ => mac_of(*dev),
                };
                for frame in self.wire.frames(to, *mac) {
                    o.error = net.inject(*dev, &frame).err();
                }
            }
            From::Local {
                mark,
                uid,
                gid,
                bound,
            } => {
                o.error = self.send_locally(*mark, (*uid, *gid), *bound).err();
            }
        }
        for wait in [0, 100, 200, 1000, 5000, 20_000] {
            if wait > 200 && !patient {
                break;
            }
            if wait > 0 {
                std::thread::sleep(Duration::from_micros(wait));
            }
            self.gather(net, log, &mut o);
            if !(o.left.is_empty() && o.delivered.is_empty() && o.answers.is_empty())
                || o.error.is_some()
            {
                break;
            }
        }
        o
    }

    fn ours(&self, w: &Wire) -> bool {
        w.proto == self.wire.proto && (w.id == self.wire.id || w.id == 0 && w.proto == TCP)
    }

    fn gather(&self, net: &Netns, log: &Nflog, o: &mut Observed) {
        for f in net.frames() {
            if let Some(w) = f.bytes.get(14..).and_then(Wire::parse)
                && self.ours(&w)
            {
                o.left.push((f.dev, w));
            }
        }
        for s in log.seen() {
            let Some(w) = Wire::parse(&s.bytes) else {
                continue;
            };
            match s.at {
                At::Answer if w.says_no() => o.answers.push(w),
                At::Delivered if self.ours(&w) => o.delivered.push((s.mark, w)),
                At::Sent if self.ours(&w) => o.sent_mark = Some(s.mark),
                _ => {}
            }
        }
    }

    /// As a process would: an ordinary socket, so that routing sees ports and protocol.
    fn send_locally(&self, mark: u32, (uid, gid): (u32, u32), bound: bool) -> Result<(), Errno> {
        let w = &self.wire;
        let v4 = w.dst.is_ipv4();
        let family = if v4 {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let (kind, proto) = match w.proto {
            TCP => (SockType::Stream, SockProtocol::Tcp),
            UDP => (SockType::Datagram, SockProtocol::Udp),
            ICMP => (SockType::Raw, SockProtocol::Icmp),
            _ => (SockType::Raw, SockProtocol::IcmpV6),
        };
        // The owner of a socket is the one who opened it (`sk_uid`, `f_cred->fsuid`).
        setfsgid(Gid::from_raw(gid));
        setfsuid(Uid::from_raw(uid));
        let fd = socket(
            family,
            kind,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            proto,
        );
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
        let fd: OwnedFd = fd?;
        setsockopt(&fd, sockopt::Mark, &mark)?;
        if v4 {
            setsockopt(&fd, sockopt::Ipv4Ttl, &i32::from(w.ttl))?;
            setsockopt(&fd, sockopt::Ipv4Tos, &i32::from(w.tos))?;
            setsockopt(&fd, sockopt::Broadcast, &true)?;
        } else {
            setsockopt(&fd, sockopt::Ipv6Ttl, &i32::from(w.ttl))?;
            setsockopt(&fd, sockopt::Ipv6TClass, &i32::from(w.tos))?;
        }
        let icmp = w.proto != TCP && w.proto != UDP;
        let sport = if icmp { 0 } else { w.sport };
        let from = match (bound, w.dst) {
            (true, _) => w.src,
            (false, IpAddr::V4(_)) => IpAddr::from([0u8; 4]),
            (false, IpAddr::V6(_)) => IpAddr::from([0u8; 16]),
        };
        bind(fd.as_raw_fd(), &storage(from, sport))?;
        let to = storage(w.dst, if icmp { 0 } else { w.dport });
        if w.proto == TCP {
            return match connect(fd.as_raw_fd(), &to) {
                Err(Errno::EINPROGRESS) | Ok(()) => Ok(()),
                Err(e) => Err(e),
            };
        }
        // The transport header is the kernel's but for ICMP.
        let packet = w.packet();
        let head = if v4 { 20 } else { 40 };
        let skip = if icmp { head } else { head + 8 };
        sendto(fd.as_raw_fd(), &packet[skip..], &to, MsgFlags::empty()).map(|_| ())
    }
}

fn storage(ip: IpAddr, port: u16) -> SockaddrStorage {
    match SocketAddr::new(ip, port) {
        SocketAddr::V4(a) => SockaddrStorage::from(a),
        SocketAddr::V6(a) => SockaddrStorage::from(a),
    }
}
