//! Accounting objects for `-m nfacct`, which a rule needs before it can be loaded; there is no tool for them on every machine.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket,
};
use std::os::fd::AsRawFd;

/// The objects of every node; one is kube-proxy's.
pub const NAMES: [&str; 2] = ["ct_state_invalid_dropped_pkts", "lab"];

/// Makes them in the thread's namespace. Rules that name them are refused where that fails.
pub fn make() {
    let Ok(fd) = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    ) else {
        return;
    };
    for name in NAMES {
        // NFACCT_NAME, a string with its end.
        let len = u16::try_from(4 + name.len() + 1).unwrap_or(4);
        let mut attr = [len.to_ne_bytes(), 1u16.to_ne_bytes()].concat();
        attr.extend_from_slice(name.as_bytes());
        attr.push(0);
        attr.resize(attr.len().next_multiple_of(4), 0);
        // NFNL_SUBSYS_ACCT << 8 | NFNL_MSG_ACCT_NEW; NLM_F_REQUEST | NLM_F_CREATE.
        let mut m = u32::try_from(20 + attr.len())
            .unwrap_or(0)
            .to_ne_bytes()
            .to_vec();
        m.extend_from_slice(&(7u16 << 8).to_ne_bytes());
        m.extend_from_slice(&0x401u16.to_ne_bytes());
        m.extend_from_slice(&[0; 12]);
        m.extend_from_slice(&attr);
        let _ = sendto(
            fd.as_raw_fd(),
            &m,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        );
    }
}
