//! `getsockopt` with options of netfilter, which have structures of their own.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// A socket of the family. Any will do: `ip_getsockopt` and `ipv6_getsockopt` pass on what they do not know to
/// `nf_getsockopt` (`net/netfilter/nf_sockopt.c`), which loads no module.
pub(super) fn socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    nix::sys::socket::socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
}

/// Asks for an option; `bytes` holds the request and then the answer. Gives the answer's length.
#[expect(unsafe_code, reason = "nix has no way to ask for options of netfilter")]
pub(super) fn get(
    socket: &OwnedFd,
    level: i32,
    option: i32,
    bytes: &mut [u8],
) -> Result<usize, Errno> {
    let mut len = libc::socklen_t::try_from(bytes.len()).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the kernel writes at most `len` bytes to `bytes`, which is that long, and a length to `len`; both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            bytes.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(done)?;
    Ok(usize::try_from(len).unwrap_or(0).min(bytes.len()))
}
