//! Connections of the thread's namespace, but for those of tunnels.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::os::fd::AsRawFd;

/// `NFNL_SUBSYS_CTNETLINK << 8` with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `NLM_F_REQUEST` with `NLM_F_DUMP` and `NLM_F_ACK`.
const DUMP: u16 = 0x301;
const ACK: u16 = 5;

/// Forgets all connections of other protocols than these.
pub fn forget_all_but(protocols: &[u8]) -> nix::Result<()> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let send = |message: &[u8]| {
        let to = NetlinkAddr::new(0, 0);
        sendto(fd.as_raw_fd(), message, &to, MsgFlags::empty())
    };
    send(&request(GET, DUMP, 0, &[]))?;
    let mut forgotten: Vec<Vec<u8>> = Vec::new();
    let mut buf = vec![0u8; 1 << 17];
    'dump: loop {
        let n = recv(fd.as_raw_fd(), &mut buf, MsgFlags::empty())?;
        let mut rest = &buf[..n];
        while rest.len() >= 16 {
            let len = usize::try_from(u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]))
                .unwrap_or(0);
            match u16::from_ne_bytes([rest[4], rest[5]]) {
                // NLMSG_DONE, NLMSG_ERROR.
                3 | 2 => break 'dump,
                _ => {}
            }
            let Some(message) = rest.get(16..len) else {
                break;
            };
            forgotten.extend(unless_of(message, protocols));
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    for message in forgotten {
        send(&message)?;
        let mut answer = [0u8; 256];
        recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
        // It may have ended meanwhile.
        if error != 0 && error != -(Errno::ENOENT as i32) {
            return Err(Errno::from_raw(-error));
        }
    }
    Ok(())
}

/// The request that deletes an entry, unless it is of one of these protocols.
fn unless_of(entry: &[u8], protocols: &[u8]) -> Option<Vec<u8>> {
    // CTA_TUPLE_ORIG, and therein CTA_TUPLE_PROTO, and therein CTA_PROTO_NUM; CTA_ZONE.
    let attributes = entry.get(4..)?;
    let tuple = attribute(attributes, 1)?;
    let protocol = attribute(attribute(tuple, 2)?, 1)?.first()?;
    if protocols.contains(protocol) {
        return None;
    }
    let mut body = Vec::new();
    for (ty, value) in [(1 | 0x8000, Some(tuple)), (18, attribute(attributes, 18))] {
        let Some(value) = value else { continue };
        body.extend_from_slice(&u16::try_from(value.len() + 4).ok()?.to_ne_bytes());
        body.extend_from_slice(&u16::to_ne_bytes(ty));
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    Some(request(DELETE, ACK, *entry.first()?, &body))
}

fn request(kind: u16, flags: u16, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(20 + body.len()).unwrap_or(0);
    let mut out = len.to_ne_bytes().to_vec();
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    // struct nfgenmsg.
    out.extend_from_slice(&[family, 0, 0, 0]);
    out.extend_from_slice(body);
    out
}

fn attribute(mut list: &[u8], ty: u16) -> Option<&[u8]> {
    while let [a, b, c, d, ..] = *list {
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let value = list.get(4..len)?;
        if u16::from_ne_bytes([c, d]) & 0x3fff == ty {
            return Some(value);
        }
        list = list.get(len.next_multiple_of(4)..)?;
    }
    None
}
