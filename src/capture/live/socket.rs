//! A netlink socket that asks for dumps and gets them whole.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd as _, OwnedFd};
use thiserror::Error;

/// Why the kernel did not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// `CAP_NET_ADMIN` in the user namespace that owns the network namespace is missing.
    #[error("not permitted: it needs CAP_NET_ADMIN")]
    NotPermitted,
    /// It changed under every reading.
    #[error("it changed while it was read, {TRIES} times in a row")]
    Changing,
    /// The system said no.
    #[error("{}", .0.desc())]
    Os(Errno),
    /// What came back is no netlink message.
    #[error("the kernel's answer has a form that is not known")]
    Malformed,
}

impl From<Errno> for Refusal {
    fn from(e: Errno) -> Self {
        match e {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted,
            e => Self::Os(e),
        }
    }
}

/// How often a dump is begun before it is given up.
const TRIES: usize = 20;

/// Of one receive: the kernel makes dump messages of at most 32 KiB (`netlink_dump` in `net/netlink/af_netlink.c`).
const BUFFER: usize = 128 << 10;

const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The messages of a dump, without their netlink headers.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// Type, start, end.
    spans: Vec<(u16, usize, usize)>,
}

impl Messages {
    /// Type and payload of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.spans
            .iter()
            .map(|(kind, from, to)| (*kind, self.bytes.get(*from..*to).unwrap_or_default()))
    }

    /// Made up ones, all of one type.
    #[cfg(test)]
    pub(super) fn of(payloads: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut all = Self::default();
        for payload in payloads {
            let from = all.bytes.len();
            all.bytes.extend(payload);
            all.spans.push((0, from, all.bytes.len()));
        }
        all
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }
}

/// An open socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens one; opening loads no module for the protocols of the kernel proper (route, netfilter, generic).
    pub(super) fn open(protocol: SockProtocol) -> Result<Self, Refusal> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )?;
        // Only a wish: what does not fit shows as ENOBUFS and is asked for again.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &(8 << 20));
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// All answers to a dump request; begun anew when the kernel says that the state changed under way.
    ///
    /// `body` is what follows the netlink header: the family's header and the attributes.
    pub(super) fn dump(&mut self, kind: u16, body: &[u8]) -> Result<Messages, Refusal> {
        let mut all = Messages::default();
        for _ in 0..TRIES {
            all.clear();
            self.send(kind, NLM_F_REQUEST | NLM_F_ACK | NLM_F_DUMP, body)?;
            match self.collect(&mut all) {
                Ok(true) => return Ok(all),
                Ok(false) | Err(Refusal::Os(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR)) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Refusal::Changing)
    }

    /// The answers to a request that is no dump.
    pub(super) fn ask(&mut self, kind: u16, body: &[u8]) -> Result<Messages, Refusal> {
        let mut all = Messages::default();
        self.send(kind, NLM_F_REQUEST | NLM_F_ACK, body)?;
        self.collect(&mut all)?;
        Ok(all)
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<(), Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let len = u32::try_from(HEADER + body.len()).map_err(|_| Refusal::Malformed)?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&len.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(body);
        send(self.fd.as_raw_fd(), &message, MsgFlags::empty())?;
        Ok(())
    }

    /// Whether it is whole and of one moment.
    fn collect(&mut self, all: &mut Messages) -> Result<bool, Refusal> {
        let mut whole = true;
        loop {
            let got = loop {
                match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                    Err(Errno::EINTR) => {}
                    other => break other?,
                }
            };
            let mut rest = self.buffer.get(..got).unwrap_or_default();
            if rest.is_empty() {
                return Err(Refusal::Malformed);
            }
            while let Some((header, after)) = Header::parse(rest) {
                rest = after;
                // Left over from a dump that was given up.
                if header.sequence != self.sequence {
                    continue;
                }
                whole &= header.flags & NLM_F_DUMP_INTR == 0;
                match header.kind {
                    NLMSG_NOOP => {}
                    NLMSG_DONE | NLMSG_ERROR => {
                        let code = header
                            .payload
                            .get(..4)
                            .map_or(0, |b| i32::from_ne_bytes(b.try_into().unwrap_or_default()));
                        if code != 0 {
                            return Err(Errno::from_raw(code.wrapping_neg()).into());
                        }
                        return Ok(whole);
                    }
                    kind => {
                        let from = all.bytes.len();
                        all.bytes.extend_from_slice(header.payload);
                        all.spans.push((kind, from, all.bytes.len()));
                    }
                }
            }
        }
    }
}

struct Header<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    /// The first message and what follows it.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        use super::attr::Numbers as _;
        let len = usize::try_from(bytes.u32(0)?).ok()?;
        let payload = bytes.get(HEADER..len)?;
        let next = len.checked_add(3)? & !3;
        Some((
            Self {
                kind: bytes.u16(4)?,
                flags: bytes.u16(6)?,
                sequence: bytes.u32(8)?,
                payload,
            },
            bytes.get(next..).unwrap_or_default(),
        ))
    }
}

/// A request's body: the family's header, then attributes.
#[derive(Debug, Default)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// For nfnetlink: `struct nfgenmsg` with this family, version 0, resource 0.
    pub(super) fn nfnetlink(family: u8) -> Self {
        Self(vec![family, 0, 0, 0])
    }

    /// For generic netlink: `struct genlmsghdr`.
    pub(super) fn generic(command: u8, version: u8) -> Self {
        Self(vec![command, version, 0, 0])
    }

    /// Adds an attribute.
    pub(super) fn attr(mut self, kind: u16, payload: &[u8]) -> Self {
        let len = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds text with its NUL.
    #[cfg(test)]
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// The bytes.
    pub(super) fn body(&self) -> &[u8] {
        &self.0
    }
}

/// The message type of an nfnetlink subsystem's command.
pub(super) const fn nfnetlink(subsystem: u8, command: u8) -> u16 {
    (subsystem as u16) << 8 | command as u16
}
