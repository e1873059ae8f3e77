//! IPVS over generic netlink, as `ipvsadm -ln` prints it.
//!
//! `ipvsadm -ln` rather than `ipvsadm-save`: it tells the method `Local` and the connections of real servers, which the other leaves out.

mod decode;
#[cfg(test)]
mod tests;

use super::attr::{Numbers as _, attrs};
use super::socket::{Refusal, Request, Socket};
use super::{Reading, has_module, procfs};
use decode::{Server, Service};
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::io::Read as _;

// include/uapi/linux/genetlink.h
const CONTROL: u16 = 16;
const CONTROL_GETFAMILY: u8 = 3;
const CONTROL_FAMILY_ID: u16 = 1;
const CONTROL_FAMILY_NAME: u16 = 2;

// include/uapi/linux/ip_vs.h
const VERSION: u8 = 1;
const GET_SERVICE: u8 = 4;
const GET_DEST: u8 = 8;
const GET_INFO: u8 = 15;
const ATTR_SERVICE: u16 = 1;
const ATTR_DEST: u16 = 2;
const NESTED: u16 = 1 << 15;

const NAME: &str = "ipvsadm";
const COMMAND: &str = "ipvsadm -ln";

/// Reads all services with their real servers.
pub(super) fn read(reading: &mut Reading) {
    match list() {
        Ok(Some(text)) => reading.put(NAME, COMMAND, Kind::Ipvs, text),
        // The family is registered with the module: a kernel that has one and not the other has no IPVS.
        Ok(None) => {
            let text = file().unwrap_or_default();
            reading.put(NAME, COMMAND, Kind::Ipvs, text);
        }
        // Everybody may read the file.
        Err(e) => match file() {
            Some(text) => {
                reading.remarks.push(format!(
                    "IPVS was read from /proc/net/ip_vs, which shows no flags of schedulers ({e})"
                ));
                // A service more might not have fitted into the piece.
                if text.len() > PIECE / 2 {
                    let why = "/proc/net/ip_vs leaves services out where other network namespaces have some as well";
                    reading.cannot("some IPVS services, maybe", &why, COMMAND);
                }
                reading.put(NAME, COMMAND, Kind::Ipvs, text);
            }
            None => reading.cannot("IPVS", &e, COMMAND),
        },
    }
}

/// The file comes in pieces of a page, and of less where less is asked for. Where a piece ends, the kernel notes how many services it
/// has passed, those of other namespaces counted (`ip_vs_info_seq_next`), and goes on after as many of this one's (`ip_vs_info_array`,
/// both in `net/netfilter/ipvs/ip_vs_ctl.c`).
const PIECE: usize = 4096;

/// The file of the thread's own namespace, in the largest pieces that there are. (`std::fs::read` begins with 32 bytes.)
fn file() -> Option<String> {
    let mut file = std::fs::File::open(procfs::path("thread-self/net/ip_vs")).ok()?;
    let mut all = Vec::new();
    let mut piece = vec![0; 16 * PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(piece.get(..n)?),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    String::from_utf8(all).ok()
}

/// `None` where the kernel has no IPVS.
fn list() -> Result<Option<String>, Refusal> {
    if !has_module("ip_vs", "ip_vs_genl_dump_services") {
        return Ok(None);
    }
    let mut socket = Socket::open(SockProtocol::NetlinkGeneric)?;
    let Some(family) = family(&mut socket)? else {
        return Ok(None);
    };
    let said = socket.dump(family, Request::generic(GET_SERVICE, VERSION).body())?;
    let mut services: Vec<(Service, Vec<Server>)> = Vec::new();
    for (_, body) in said.iter() {
        for (kind, value) in attrs(body.get(4..).unwrap_or_default()) {
            if kind == ATTR_SERVICE {
                let service = Service::of(value).ok_or(Refusal::Malformed)?;
                services.push((service, Vec::new()));
            }
        }
    }
    for (service, servers) in &mut services {
        let request = Request::generic(GET_DEST, VERSION)
            .attr(ATTR_SERVICE | NESTED, service.identity().body());
        let said = match socket.dump(family, request.body()) {
            // Gone in between: none of its servers is there any more.
            Err(Refusal::Os(Errno::ESRCH | Errno::ENOENT)) => continue,
            other => other?,
        };
        for (_, body) in said.iter() {
            for (kind, value) in attrs(body.get(4..).unwrap_or_default()) {
                if kind == ATTR_DEST {
                    servers.push(Server::of(value, service).ok_or(Refusal::Malformed)?);
                }
            }
        }
    }
    let info = socket
        .ask(family, Request::generic(GET_INFO, VERSION).body())
        .ok();
    let info = info.as_ref().and_then(|m| m.iter().next()).map(|(_, b)| b);
    Ok(Some(decode::list(info.unwrap_or_default(), services)))
}

/// The number of the family `IPVS`. All families are asked for: a question for one by name would load its module
/// (`ctrl_getfamily` in net/netlink/genetlink.c).
fn family(socket: &mut Socket) -> Result<Option<u16>, Refusal> {
    let said = socket.dump(CONTROL, Request::generic(CONTROL_GETFAMILY, 1).body())?;
    for (_, body) in said.iter() {
        let (mut id, mut ours) = (None, false);
        for (kind, value) in attrs(body.get(4..).unwrap_or_default()) {
            match kind {
                CONTROL_FAMILY_ID => id = value.u16(0),
                CONTROL_FAMILY_NAME => ours = value.text() == "IPVS",
                _ => {}
            }
        }
        if ours {
            return Ok(id);
        }
    }
    Ok(None)
}
