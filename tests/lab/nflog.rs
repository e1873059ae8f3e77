//! What the kernel says of a packet at the ends of its hooks: a table of the lab's own logs every packet that is delivered
//! locally, every packet behind POSTROUTING, and every answer that the node itself makes, which then ends there.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

use super::sh;

/// The group that the lab's rules log to.
const GROUP: u16 = 7;

/// The lab's own table. It must be made before any rule asks for conntrack: of two hooks with the same number the one
/// registered later runs first (`nf_hook_entries_grow` in net/netfilter/core.c), so connections are confirmed
/// (`NF_IP_PRI_CONNTRACK_CONFIRM`, also the largest number) before the packet ends here.
/// Answers are told from the packets sent here by their socket: those of the kernel's own sockets have no file, hence no owner
/// (`nft_meta_get_eval_skugid`).
const RULES: &str = "\
table inet lab {
 chain answers {
  type filter hook output priority -2000000000; policy accept;
  meta skuid 0-4294967294 accept
  log group 7 queue-threshold 1
  drop
 }
 chain delivered {
  type filter hook input priority 2147483647; policy accept;
  log group 7 queue-threshold 1
  drop
 }
 chain sent {
  type filter hook postrouting priority 2147483647; policy accept;
  log group 7 queue-threshold 1
 }
}
";

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Behind INPUT: a socket would have it now.
    Delivered,
    /// The node's own answer to some packet.
    Answer,
    /// Behind POSTROUTING.
    Sent,
}

/// A packet as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Where.
    pub at: At,
    /// Its mark.
    pub mark: u32,
    /// The IP packet.
    pub bytes: Vec<u8>,
}

/// The log's socket.
#[derive(Debug)]
pub struct Nflog(OwnedFd);

fn attr(kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len() + 4).unwrap_or(4);
    let mut out = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// A configuration message (`struct nlmsghdr`, `struct nfgenmsg`, attributes).
fn config(attrs: &[u8]) -> Vec<u8> {
    // NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG; NLM_F_REQUEST | NLM_F_ACK.
    let kind: u16 = 4 << 8 | 1;
    let len = u32::try_from(20 + attrs.len()).unwrap_or(0);
    let mut m = len.to_ne_bytes().to_vec();
    m.extend_from_slice(&kind.to_ne_bytes());
    m.extend_from_slice(&5u16.to_ne_bytes());
    m.extend_from_slice(&[0; 8]);
    m.extend_from_slice(&[0, 0]);
    m.extend_from_slice(&GROUP.to_be_bytes());
    m.extend_from_slice(attrs);
    m
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

/// Keeps conntrack on, as on any node with a stateful rule: without one it is off, and nat chains are not run at all
/// (`nf_nat_inet_fn` returns where there is no connection).
const CONNTRACK: &str = "table inet labct {\n chain on {\n  ct state new\n }\n}\n";

impl Nflog {
    /// Loads the lab's table and listens to it, in the thread's namespace.
    pub fn new() -> Result<Self, String> {
        sh::must(&["nft", "-f", "-"], RULES);
        sh::must(&["nft", "-f", "-"], CONNTRACK);
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(|e| format!("a netfilter socket: {e}"))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(|e| format!("bind: {e}"))?;
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &(8 << 20));
        // NFULA_CFG_CMD = NFULNL_CFG_CMD_BIND; then NFULA_CFG_MODE: up to 64 KiB, NFULNL_COPY_PACKET.
        let mode = [&0xffffu32.to_be_bytes()[..], &[2, 0]].concat();
        for m in [config(&attr(1, &[1])), config(&attr(2, &mode))] {
            sendto(
                fd.as_raw_fd(),
                &m,
                &NetlinkAddr::new(0, 0),
                MsgFlags::empty(),
            )
            .map_err(|e| format!("nflog: {e}"))?;
            let mut buf = [0u8; 4096];
            let n = recv(fd.as_raw_fd(), &mut buf, MsgFlags::empty())
                .map_err(|e| format!("nflog answers: {e}"))?;
            // NLMSG_ERROR carries the error number, 0 for none.
            if u16_at(&buf[..n], 4) == Some(2) && u32_at(&buf[..n], 16) != Some(0) {
                return Err(format!("nflog refuses: {:?}", u32_at(&buf[..n], 16)));
            }
        }
        Ok(Self(fd))
    }

    /// What was logged since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        let mut out = Vec::new();
        let mut buf = vec![0u8; 1 << 16];
        while let Ok(n) = recv(self.0.as_raw_fd(), &mut buf, MsgFlags::MSG_DONTWAIT) {
            let mut at = 0;
            while let Some(len) = u32_at(&buf[..n], at) {
                let len = len as usize;
                if len < 16 || at + len > n {
                    break;
                }
                out.extend(one(&buf[at..at + len]));
                at += len.next_multiple_of(4);
            }
        }
        out
    }
}

/// One `NFULNL_MSG_PACKET`.
fn one(m: &[u8]) -> Option<Seen> {
    if u16_at(m, 4)? != 4 << 8 {
        return None;
    }
    let mut seen = None;
    let mut mark = 0;
    let mut bytes = Vec::new();
    let mut at = 20;
    while let (Some(len), Some(kind)) = (u16_at(m, at), u16_at(m, at + 2)) {
        let len = usize::from(len);
        let data = m.get(at + 4..at + len)?;
        match kind & 0x3fff {
            // NFULA_PACKET_HDR: protocol, hook, pad.
            1 => {
                seen = match data.get(2)? {
                    1 => Some(At::Delivered),
                    3 => Some(At::Answer),
                    4 => Some(At::Sent),
                    _ => None,
                };
            }
            // NFULA_MARK.
            2 => mark = u32::from_be_bytes(data.get(..4)?.try_into().ok()?),
            // NFULA_PAYLOAD.
            9 => bytes = data.to_vec(),
            _ => {}
        }
        at += len.next_multiple_of(4);
    }
    Some(Seen {
        at: seen?,
        mark,
        bytes,
    })
}
