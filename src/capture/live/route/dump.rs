//! Dumps through rtnetlink.
//!
//! The connection carries messages as bytes. `netlink-packet-route` makes the requests, but does not decode the replies: it
//! refuses a message as a whole where one attribute has a form that it does not know, and a route would be gone without a word.

use super::super::socket::Refusal;
use futures_util::StreamExt as _;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use rtnetlink::proto::sys::protocols::NETLINK_ROUTE;
use rtnetlink::proto::sys::{AsyncSocket as _, SocketAddr};
use rtnetlink::proto::{ConnectionHandle, new_connection};
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The reply's header says that what is dumped changed meanwhile.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// How often a dump is begun before it is given up.
const TRIES: usize = 20;
/// A kernel that does not answer within this time does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message without its netlink header.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// `RTM_*`.
    pub kind: u16,
    /// The family's header and the attributes.
    pub payload: Vec<u8>,
}

impl Message {
    /// A request of the crate's making.
    pub(super) fn of(request: &RouteNetlinkMessage) -> Self {
        let mut payload = vec![0; request.buffer_len()];
        request.serialize(&mut payload);
        Self {
            kind: request.message_type(),
            payload,
        }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }
    fn buffer_len(&self) -> usize {
        self.payload.len()
    }
    fn serialize(&self, buffer: &mut [u8]) {
        for (to, from) in buffer.iter_mut().zip(&self.payload) {
            *to = *from;
        }
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            payload: payload.to_vec(),
        })
    }
}

fn refused(e: &io::Error) -> Refusal {
    Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)).into()
}

/// A connection in the network namespace of the thread that opened it.
pub(crate) struct Rtnl {
    // Dropped first: its task holds the socket.
    runtime: Runtime,
    handle: ConnectionHandle<Message>,
}

impl Rtnl {
    /// Opens it. The runtime is this thread alone, so that the socket stays in this thread's namespace.
    pub(crate) fn open() -> Result<Self, Refusal> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| refused(&e))?;
        let handle = {
            let _inside = runtime.enter();
            let (mut connection, handle, _unasked) =
                new_connection::<Message>(NETLINK_ROUTE).map_err(|e| refused(&e))?;
            // The end of a dump has flags and a code of its own.
            connection.set_forward_done(true);
            // Older kernels dump more than asked for then, which is left out later.
            let _ = connection
                .socket_mut()
                .socket_mut()
                .set_netlink_get_strict_chk(true);
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    /// All answers to a dump request; begun anew where the kernel says that the state changed under way.
    pub(crate) fn dump(&self, request: &Message) -> Result<Vec<Message>, Refusal> {
        for _ in 0..TRIES {
            match self.ask(request, NLM_F_REQUEST | NLM_F_DUMP) {
                Ok((all, true)) => return Ok(all),
                Ok((_, false))
                | Err(Refusal::Os(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR)) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Refusal::Changing)
    }

    /// The answer to a request that is no dump.
    pub(super) fn get(&self, request: &Message) -> Result<Option<Message>, Refusal> {
        let (all, _) = self.ask(request, NLM_F_REQUEST)?;
        Ok(all.into_iter().next())
    }

    /// The answers, and whether they are of one moment.
    fn ask(&self, request: &Message, flags: u16) -> Result<(Vec<Message>, bool), Refusal> {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.answers(request, flags))
                .await
                .unwrap_or(Err(Refusal::Os(Errno::ETIMEDOUT)))
        })
    }

    async fn answers(
        &self,
        request: &Message,
        flags: u16,
    ) -> Result<(Vec<Message>, bool), Refusal> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.message_type = request.kind;
        let message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request.clone()));
        let mut replies = self
            .handle
            .request(message, SocketAddr::new(0, 0))
            .map_err(|_| Refusal::Os(Errno::EPIPE))?;
        let mut all = Vec::new();
        let mut whole = true;
        let mut ended = flags & NLM_F_DUMP == 0;
        while let Some(reply) = replies.next().await {
            whole &= reply.header.flags & NLM_F_DUMP_INTR == 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(m) => all.push(m),
                NetlinkPayload::Done(d) if d.code != 0 => {
                    return Err(Errno::from_raw(d.code.wrapping_neg()).into());
                }
                NetlinkPayload::Done(_) => ended = true,
                NetlinkPayload::Error(e) => {
                    if let Some(code) = e.code {
                        return Err(Errno::from_raw(code.get().wrapping_neg()).into());
                    }
                }
                NetlinkPayload::Overrun(_) => return Err(Refusal::Os(Errno::ENOBUFS)),
                _ => {}
            }
        }
        if !ended {
            return Err(Refusal::Malformed);
        }
        Ok((all, whole))
    }
}
