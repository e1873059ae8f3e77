//! What the kernel says of a packet inside: delivered, answered, behind POSTROUTING. By a table of the lab's own that logs.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

use super::sh;

/// Made before any rule asks for conntrack: of hooks with equal numbers the one registered later runs first
/// (`nf_hook_entries_grow` in net/netfilter/core.c), so that a connection is confirmed before its packet ends here.
/// What wraps a tunnel's packet goes on to be unwrapped. Error messages, and what IPv6 says of itself, end before any rule of the node counts them.
const RULES: &str = "\
table inet lab {
 chain answers {
  type filter hook output priority -2000000000; policy accept;
  icmp type { destination-unreachable, time-exceeded, parameter-problem } log group 9 queue-threshold 1 drop
  icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } log group 9 queue-threshold 1 drop
  icmpv6 type { mld-listener-report, mld2-listener-report, nd-router-solicit, nd-neighbor-solicit, nd-redirect } drop
 }
 chain delivered {
  type filter hook input priority 2147483647; policy accept;
  meta l4proto { 4, 41 } accept
  log group 9 queue-threshold 1 drop
 }
 chain sent {
  type filter hook postrouting priority 2147483647; policy accept;
  log group 9 queue-threshold 1
 }
}
";
const GROUP: u16 = 9;

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Behind INPUT.
    Delivered,
    /// An error message of the node.
    Answer,
    /// Behind POSTROUTING.
    Sent,
}

/// The log's socket.
#[derive(Debug)]
pub struct Watch(OwnedFd);

/// One attribute (`struct nlattr`).
fn attr(kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + data.len()).unwrap_or(4);
    let mut out = len.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn half(b: &[u8], at: usize) -> Option<usize> {
    let two = b.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_ne_bytes(two)))
}

fn word(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

impl Watch {
    /// Loads the table and listens, in the thread's namespace.
    pub fn new() -> Self {
        sh::must(&["nft", "-f", "-"], RULES);
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .expect("a netfilter socket");
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).expect("bind");
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &(4 << 20));
        // NFULA_CFG_CMD: NFULNL_CFG_CMD_BIND. NFULA_CFG_MODE: whole packets (NFULNL_COPY_PACKET).
        let whole = [&0xffff_u32.to_be_bytes()[..], &[2, 0]].concat();
        for setting in [attr(1, &[1]), attr(2, &whole)] {
            // struct nlmsghdr (NFULNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK), struct nfgenmsg.
            let len = u32::try_from(20 + setting.len()).unwrap_or(0);
            let mut m = len.to_ne_bytes().to_vec();
            m.extend(0x0401_u16.to_ne_bytes());
            m.extend(5_u16.to_ne_bytes());
            m.extend([0; 8]);
            m.extend([0, 0]);
            m.extend(GROUP.to_be_bytes());
            m.extend(setting);
            sendto(
                fd.as_raw_fd(),
                &m,
                &NetlinkAddr::new(0, 0),
                MsgFlags::empty(),
            )
            .expect("ask for the log");
            let mut buf = [0; 1024];
            let n = recv(fd.as_raw_fd(), &mut buf, MsgFlags::empty()).expect("an acknowledgement");
            assert_eq!(word(&buf[..n], 16), Some(0), "the log is refused");
        }
        Self(fd)
    }

    /// What was logged since the last call: where, mark, bytes.
    pub fn seen(&self) -> Vec<(At, u32, Vec<u8>)> {
        let mut out = Vec::new();
        let mut buf = vec![0; 1 << 16];
        while let Ok(n) = recv(self.0.as_raw_fd(), &mut buf, MsgFlags::MSG_DONTWAIT) {
            let mut rest = &buf[..n];
            while let Some(len) = word(rest, 0).and_then(|l| usize::try_from(l).ok()) {
                if len < 20 || len > rest.len() {
                    break;
                }
                out.extend(packet(&rest[..len]));
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        out
    }
}

/// One `NFULNL_MSG_PACKET`.
fn packet(m: &[u8]) -> Option<(At, u32, Vec<u8>)> {
    if half(m, 4)? != 0x0400 {
        return None;
    }
    let (mut at, mut mark, mut bytes) = (None, 0, Vec::new());
    let mut rest = m.get(20..)?;
    while let (Some(len), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let data = rest.get(4..len)?;
        match kind & 0x3fff {
            // NFULA_PACKET_HDR: protocol, then the hook.
            1 => {
                at = match data.get(2)? {
                    1 => Some(At::Delivered),
                    3 => Some(At::Answer),
                    4 => Some(At::Sent),
                    _ => None,
                };
            }
            // NFULA_MARK, NFULA_PAYLOAD.
            2 => mark = u32::from_be_bytes(data.try_into().ok()?),
            9 => bytes = data.to_vec(),
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((at?, mark, bytes))
}
