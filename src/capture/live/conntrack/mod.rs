//! The kernel's known flows over ctnetlink, as `conntrack -L` prints them.

mod decode;
#[cfg(test)]
mod tests;

use super::socket::{Messages, Refusal, Request, Socket, nfnetlink};
use super::{Reading, has_module, procfs};
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::collections::HashSet;
use std::net::IpAddr;

/// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_GET`.
const SUBSYSTEM: u8 = 1;
const GET: u8 = 1;

const NAME: &str = "conntrack";
const COMMAND: &str = "conntrack -L";

/// Reads the flows that can matter for packets with these sources and destinations; all of them for `None`.
///
/// Flows matter in two ways. `nf_conntrack_in` looks the packet's tuple up: what it finds has the packet's addresses in one of its
/// directions. And NAT looks whether the tuple of the answers is taken (`nf_nat_used_tuple`): those are the addresses after NAT, which the
/// rules choose. Where but one of them is changed, the other is the packet's. Where both are, the flow in the way is one that was
/// translated itself, or one of an address to which a rule translates, which is mostly an address of this node. So kept are: flows with
/// one of the packets' addresses in either direction, flows that are translated, and flows with an address of this node.
///
/// What this leaves out and might matter: an untranslated flow, forwarded for an address of another machine that a rule of this node
/// names in `SNAT` (or `NETMAP`). Callers whose rules do that add those addresses to `packets`.
pub(super) fn read_for(reading: &mut Reading, packets: Option<&[(IpAddr, IpAddr)]>) {
    match dump() {
        Ok(Some(messages)) => {
            let wanted = match packets.map(wanted) {
                None => None,
                Some(Ok(w)) => Some(w),
                // Which addresses are this node's is not known: all flows can matter.
                Some(Err(_)) => None,
            };
            let bodies = messages.iter().map(|(_, b)| b);
            let said = decode::list(bodies, wanted.as_ref());
            if said.unreadable > 0 {
                let why = format!("{} flows have a form that is not known", said.unreadable);
                reading.cannot("some flows of conntrack", &why, COMMAND);
            }
            reading.put(NAME, COMMAND, Kind::Conntrack, said.text);
        }
        Ok(None) => reading.put(NAME, COMMAND, Kind::Conntrack, String::new()),
        Err(e) => match without_netlink(e) {
            Some(text) => reading.put(NAME, COMMAND, Kind::Conntrack, text),
            None => reading.cannot("flows of conntrack", &e, COMMAND),
        },
    }
}

/// The packets' addresses and this node's.
fn wanted(packets: &[(IpAddr, IpAddr)]) -> nix::Result<HashSet<IpAddr>> {
    let mut all: HashSet<IpAddr> = packets.iter().flat_map(|(a, b)| [*a, *b]).collect();
    for interface in nix::ifaddrs::getifaddrs()? {
        let Some(address) = interface.address else {
            continue;
        };
        if let Some(v4) = address.as_sockaddr_in() {
            all.insert(v4.ip().into());
        } else if let Some(v6) = address.as_sockaddr_in6() {
            all.insert(v6.ip().into());
        }
    }
    Ok(all)
}

/// All flows of both families; `None` where the kernel tracks nothing. A dump registers no hooks: only rules do (`nf_ct_netns_get`).
fn dump() -> Result<Option<Messages>, Refusal> {
    if !has_module("nf_conntrack", "nf_conntrack_find_get") {
        return Ok(None);
    }
    // Asking would load it.
    if !has_module("nf_conntrack_netlink", "ctnetlink_dump_table") {
        return Err(Refusal::Os(Errno::EOPNOTSUPP));
    }
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
    socket
        .dump(
            nfnetlink(SUBSYSTEM, GET),
            Request::nfnetlink(0 /* AF_UNSPEC */).body(),
        )
        .map(Some)
}

/// The file that shows the flows too, where netlink is not there. Not where it is refused: the file is for
/// root alone as well.
fn without_netlink(why: Refusal) -> Option<String> {
    match why {
        Refusal::Os(Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EINVAL) => {
            std::fs::read_to_string(procfs::path("thread-self/net/nf_conntrack")).ok()
        }
        _ => None,
    }
}
