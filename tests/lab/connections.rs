//! The connection table of the thread's namespace.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::os::fd::AsRawFd;

/// Forgets all connections, as `conntrack -F` does: `IPCTNL_MSG_CT_DELETE` without a tuple.
pub fn forget() -> nix::Result<()> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    // struct nlmsghdr: length, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, no number, no port;
    // struct nfgenmsg: any family, version 0, no resource.
    let mut message = 20u32.to_ne_bytes().to_vec();
    message.extend_from_slice(&(1u16 << 8 | 2).to_ne_bytes());
    message.extend_from_slice(&5u16.to_ne_bytes());
    message.resize(20, 0);
    sendto(
        fd.as_raw_fd(),
        &message,
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut answer = [0u8; 256];
    recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    if error == 0 {
        Ok(())
    } else {
        Err(nix::errno::Errno::from_raw(-error))
    }
}
