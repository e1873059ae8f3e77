//! ipsets over nfnetlink, as `ipset save` prints them.

mod decode;
mod element;
#[cfg(test)]
mod tests;

use super::attr::{Numbers as _, attrs, find};
use super::socket::{Messages, Refusal, Request, Socket, nfnetlink};
use super::{Reading, fallback, has_module};
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::collections::HashMap;

// include/uapi/linux/netfilter/ipset/ip_set.h
const SUBSYSTEM: u8 = 6;
const CMD_PROTOCOL: u8 = 1;
const CMD_LIST: u8 = 7;
const ATTR_PROTOCOL: u16 = 1;
const ATTR_SETNAME: u16 = 2;
const ATTR_FLAGS: u16 = 6;
const ATTR_INDEX: u16 = 11;
const FLAG_LIST_HEADER: u32 = 1 << 2;

/// The newest protocol that is spoken here, and the oldest.
const PROTOCOLS: std::ops::RangeInclusive<u8> = 6..=7;

const WHAT: &str = "ipsets";
const COMMAND: &str = "ipset save";

/// Reads all sets of the namespace.
pub(super) fn read(reading: &mut Reading) {
    match dump(0) {
        Ok(messages) => {
            let mut said = decode::save(messages.iter().flat_map(Messages::iter).map(|(_, b)| b));
            // From the last on, so that places before it stay.
            for u in said.unknown.iter().rev() {
                let set = format!("ipset {} of type `{}`", u.name, u.type_name);
                match fallback::set(&u.name, &u.type_name, u.members) {
                    Ok(text) => {
                        said.text.insert_str(u.at, &text);
                        let remark = format!("{set} is as `{COMMAND}` prints it");
                        reading.remarks.push(remark);
                    }
                    Err(e) => {
                        let why = format!(
                            "its type `{}` or one of its members is not known ({e})",
                            u.type_name
                        );
                        reading.cannot(&format!("ipset {}", u.name), &why, COMMAND);
                    }
                }
            }
            reading.put("ipset-save", COMMAND, Kind::Ipset, said.text);
        }
        Err(e) => reading.cannot(WHAT, &e, COMMAND),
    }
}

/// The sets' names by the index that rules of `xt_set` know them by; empty where the kernel has no ipsets.
#[allow(dead_code, reason = "rules that ask sets are read elsewhere")]
pub(super) fn names() -> Result<HashMap<u16, String>, Refusal> {
    Ok(dump(FLAG_LIST_HEADER)?
        .map(|m| names_in(&m))
        .unwrap_or_default())
}

fn names_in(messages: &Messages) -> HashMap<u16, String> {
    let mut out = HashMap::new();
    for (_, body) in messages.iter() {
        let attributes = body.get(4..).unwrap_or_default();
        let (mut name, mut index) = (None, None);
        for (kind, value) in attrs(attributes) {
            match kind {
                ATTR_SETNAME => name = Some(value),
                ATTR_INDEX => index = value.be16(0),
                _ => {}
            }
        }
        if let (Some(name), Some(index)) = (name, index) {
            out.insert(index, name.text());
        }
    }
    out
}

/// All sets, or their headers alone; `None` where the kernel has no ipsets.
fn dump(flags: u32) -> Result<Option<Messages>, Refusal> {
    if !has_module("ip_set", "ip_set_init") {
        return Ok(None);
    }
    let mut socket = match Socket::open(SockProtocol::NetlinkNetFilter) {
        // A kernel that can load nothing and has no nfnetlink.
        Err(Refusal::Os(Errno::EPROTONOSUPPORT)) => return Ok(None),
        other => other?,
    };
    let protocol = match protocol(&mut socket) {
        // `nfnetlink_rcv_msg` where the subsystem is not registered: a kernel that can load nothing.
        Err(Refusal::Os(Errno::EINVAL)) => return Ok(None),
        other => other?,
    };
    let mut request = Request::nfnetlink(0).attr(ATTR_PROTOCOL, &[protocol]);
    if flags != 0 {
        request = request.attr(ATTR_FLAGS, &flags.to_be_bytes());
    }
    socket
        .dump(nfnetlink(SUBSYSTEM, CMD_LIST), request.body())
        .map(Some)
}

/// The newest protocol that both sides speak. Only the 7th tells indices (Linux 4.20).
fn protocol(socket: &mut Socket) -> Result<u8, Refusal> {
    let request = Request::nfnetlink(0).attr(ATTR_PROTOCOL, &[*PROTOCOLS.end()]);
    let said = socket.ask(nfnetlink(SUBSYSTEM, CMD_PROTOCOL), request.body())?;
    let newest = said
        .iter()
        .find_map(|(_, b)| find(b.get(4..)?, ATTR_PROTOCOL)?.u8(0))
        .ok_or(Refusal::Malformed)?;
    Ok(newest.clamp(*PROTOCOLS.start(), *PROTOCOLS.end()))
}
