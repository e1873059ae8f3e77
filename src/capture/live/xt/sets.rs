//! Names of sets: a rule holds the number of its set.

use super::super::attr::Numbers as _;
use super::super::sockopt;
use nix::sys::socket::AddressFamily;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Names of the sets of the thread's network namespace, asked for one by one.
#[derive(Debug, Default)]
pub(in crate::capture::live) struct SetNames {
    socket: OnceCell<Option<OwnedFd>>,
    known: RefCell<HashMap<u16, Option<String>>>,
}

/// `SO_IP_SET` in `include/uapi/linux/netfilter/ipset/ip_set.h`.
const SO_IP_SET: i32 = 83;
/// `IP_SET_OP_GET_BYINDEX`
const BY_INDEX: u32 = 7;
/// `IPSET_PROTOCOL_MIN`: what every kernel takes.
const PROTOCOL: u32 = 6;

impl SetNames {
    /// Names that are known beforehand; nothing is asked of the kernel.
    #[cfg(test)]
    pub(in crate::capture::live) fn of(names: &[(u16, &str)]) -> Self {
        let names = names.iter().map(|(n, name)| (*n, Some((*name).to_owned())));
        Self {
            socket: OnceCell::from(None),
            known: RefCell::new(names.collect()),
        }
    }

    /// Appends the name of a set; nothing where there is no set of this number, or where the kernel does not tell.
    pub(super) fn append(&self, index: u16, out: &mut String) -> Option<()> {
        let mut known = self.known.borrow_mut();
        let name = known.entry(index).or_insert_with(|| self.ask(index));
        out.push_str(name.as_deref()?);
        Some(())
    }

    /// `ip_set_sockfn_get` in `net/netfilter/ipset/ip_set_core.c`; where that is not loaded, nobody answers.
    fn ask(&self, index: u16) -> Option<String> {
        let socket = self
            .socket
            .get_or_init(|| sockopt::socket(AddressFamily::Inet).ok());
        // struct ip_set_req_get_set: op, version, a name or a number.
        let mut request = [0u8; 40];
        request
            .get_mut(..4)?
            .copy_from_slice(&BY_INDEX.to_ne_bytes());
        request
            .get_mut(4..8)?
            .copy_from_slice(&PROTOCOL.to_ne_bytes());
        request
            .get_mut(8..10)?
            .copy_from_slice(&index.to_ne_bytes());
        let got = sockopt::get(socket.as_ref()?, libc::IPPROTO_IP, SO_IP_SET, &mut request).ok()?;
        let name = request.get(..got)?.get(8..)?.text();
        (!name.is_empty()).then_some(name)
    }
}
