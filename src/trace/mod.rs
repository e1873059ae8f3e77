//! What happened to a packet: outcomes, each with the steps that led there.

mod packet;
mod step;

pub use packet::{CtState, Origin, Packet, Port, TcpFlags};
pub use step::{AddrChoice, Effect, ForkKind, Hit, Hook, NatKind, RouteStep, Step, StepKind, View};

use crate::node::{DevId, Origin as Place};
use std::net::IpAddr;

/// How a packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It left by a device.
    Forwarded,
    /// It was delivered to a socket of this node.
    Local,
    /// Nothing comes back.
    Dropped,
    /// The node answers with ICMP or RST.
    Rejected,
    /// It was handed to a program in user space.
    Queued,
    /// It cannot be told.
    Unknown,
}

impl Verdict {
    /// The contract's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Local => "local",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
            Self::Queued => "queued",
            Self::Unknown => "unknown",
        }
    }
}

/// Why it ended so.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Sent out by a device; the tunnel kind, if it is one.
    Sent {
        /// `ipip`, `vxlan`, ...
        tunnel: Option<String>,
    },
    /// Delivered to the address of this node.
    Delivered,
    /// A rule's target.
    Rule(Hit),
    /// A base chain's policy.
    Policy {
        /// Index into `Netfilter::tables`.
        table: usize,
        /// The chain.
        chain: crate::node::ChainId,
    },
    /// Routing: no route at all.
    NoRoute,
    /// Routing: a blackhole, unreachable or prohibit route or rule.
    RouteType {
        /// `blackhole`, `unreachable`, `prohibit`.
        what: &'static str,
        /// The route or rule.
        at: Place,
    },
    /// Forwarding is off on the ingress device (or for IPv6 as a whole).
    ForwardingOff {
        /// The setting.
        sysctl: String,
    },
    /// A bridge does not send a packet back by the port it came by.
    HairpinOff {
        /// The bridge.
        bridge: DevId,
        /// The port, where it is known.
        port: Option<DevId>,
    },
    /// Source validation failed.
    RpFilter {
        /// 1 strict, 2 loose.
        mode: i64,
        /// The device the reverse route uses, if there is a reverse route.
        reverse: Option<DevId>,
    },
    /// An impossible source or destination address.
    Martian {
        /// Which rule of the kernel's it broke.
        why: &'static str,
    },
    /// TTL or hop limit exceeded.
    Ttl,
    /// MASQUERADE found no address.
    NoMasqAddress(Hit),
    /// The connection was masqueraded for one device and now leaves by another.
    MasqueradeElsewhere {
        /// The device then.
        then: DevId,
        /// The device now.
        now: DevId,
    },
    /// conntrack knows another connection with the same addresses and ports in one direction.
    ConnectionClash {
        /// Where that one was read; `None` = it is the one the packet came with.
        at: Option<crate::node::Origin>,
    },
    /// REDIRECT found no address on the ingress device.
    NoRedirectAddress(Hit),
    /// IPVS: no real server with a weight.
    NoRealServer {
        /// Index into the services.
        service: usize,
    },
    /// IPVS: the real server cannot be reached.
    RealServerUnreachable {
        /// Index into the services.
        service: usize,
        /// The server.
        server: IpAddr,
    },
    /// IPVS refuses a loopback source to a real server elsewhere.
    IpvsLoopback,
    /// IPVS: a real server speaks without having been asked (`nat_icmp_send`).
    IpvsNotAsked,
    /// Larger than the MTU of the way out.
    TooBig {
        /// MTU in bytes.
        mtu: u32,
    },
    /// Source address does not exist on the node (locally sent packets).
    NoSuchSource,
    /// A link-local source cannot be forwarded (IPv6).
    BeyondScope,
    /// An eBPF datapath refuses it.
    Ebpf {
        /// Why.
        why: Refused,
        /// Where the service or the address was read.
        at: Place,
    },
    /// It depends on something not known.
    Unknown(String),
}

/// Why an eBPF datapath refuses a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The service has no backend.
    NoBackend,
    /// The service has no backend on this node and is to use no other.
    NoLocalBackend,
    /// The service is not for this source.
    Source,
    /// Where the backend is, it does not know.
    NoRoute,
    /// It came in Calico's VXLAN from what is not known to be a node.
    Stranger,
    /// The way back to the source is not known.
    NoWayBack,
    /// The service is for clients in the cluster alone.
    Inside,
    /// The address is a service's, and this port is not.
    NoPort,
    /// The host port is of a pod that is not on this node.
    Elsewhere,
}

/// A service of an eBPF datapath took the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Where the service was read.
    pub service: Place,
    /// The node that the packet is forwarded to; `None` = the backend is reached from here.
    pub node: Option<IpAddr>,
    /// How the answer goes.
    pub answer: Back,
}

/// How the answer of a service of an eBPF datapath goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// Through this node, which puts the service's address back.
    Here,
    /// From the backend's node to the client, with the service's address, past this node.
    Direct,
    /// From the backend's node through the tunnel to this one, and from here to the client.
    Tunnel,
}

/// An address rewritten.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The new address; `None` where it cannot be told.
    pub ip: Option<IpAddr>,
    /// The new port; `None` where the kernel picks it, or the protocol has none.
    pub port: Option<u16>,
    /// Who did it.
    pub by: NatKind,
}

/// Where it left.
#[derive(Clone, Debug, PartialEq)]
pub struct Out {
    /// Device.
    pub dev: DevId,
    /// Gateway.
    pub via: Option<IpAddr>,
}

/// What a tunnel's outer packet has beside its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// Something that was not captured and matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Missing {
    /// What.
    pub what: String,
    /// The command that shows it.
    pub command: String,
}

/// One end of the packet.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Probability; `None` where it rests on an unknown.
    pub probability: Option<f64>,
    /// Whether every unknown was taken for what its owner makes of it, where that is known.
    pub expected: bool,
    /// How it ends.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The packet as its receiver sees it.
    pub delivered: Option<View>,
    /// Destination rewritten.
    pub dnat: Option<Rewrite>,
    /// Source rewritten.
    pub snat: Option<Rewrite>,
    /// Whether the receiver sees the client's address.
    pub client_ip_kept: Option<bool>,
    /// A service of an eBPF datapath that took it.
    pub served: Option<Served>,
    /// A masquerade mark was set on the way.
    pub masq_mark: bool,
    /// Way out.
    pub out: Option<Out>,
    /// The mark at the end.
    pub mark: u32,
    /// TOS or traffic class at the end.
    pub tos: u8,
    /// TTL or hop limit at the end.
    pub ttl: u8,
    /// The packet that a tunnel device put around it, as that left, where its way out was walked too.
    pub envelope: Option<Envelope>,
    /// What it rests on beyond the snapshot.
    pub assumptions: Vec<String>,
    /// What was not captured and matters here.
    pub missing: Vec<Missing>,
    /// The branches taken, in order. Outcomes that agree up to a fork fork there over the same.
    pub branches: Vec<Branch>,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// Rules whose matches were evaluated.
    pub tested: u64,
    /// The connection as the kernel would keep it.
    pub conn: Option<crate::sim::Conn>,
    /// The connection through a service as Calico's programs would keep it.
    pub calico: Option<crate::sim::ServiceConn>,
    /// Rules that were tested and did not match, in order; only where asked for.
    pub misses: Vec<Miss>,
}

/// One branch taken on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// What the fork is over: equal for the same question; 0 where it is chance.
    pub over: u64,
    /// Which of them, from 0; of a question 0 is yes.
    pub taken: usize,
    /// Its probability; `None` where the fork is over an unknown.
    pub probability: Option<f64>,
    /// What would tell, as indices into the outcome's `missing`.
    pub told_by: Vec<usize>,
}

/// A rule that was tested and did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The rule.
    pub hit: Hit,
    /// Index of the match that said no; `None` = the rule's own part, addresses, protocol and devices.
    pub by: Option<usize>,
}

impl Trace {
    /// The outcomes to speak of: those that take every unknown for what its owner makes of it; all where there are none.
    pub fn expected(&self) -> std::borrow::Cow<'_, Self> {
        let some = self.outcomes.iter().any(|o| o.expected);
        if !some || self.outcomes.iter().all(|o| o.expected) {
            return std::borrow::Cow::Borrowed(self);
        }
        std::borrow::Cow::Owned(Self {
            packet: self.packet.clone(),
            outcomes: self
                .outcomes
                .iter()
                .filter(|o| o.expected)
                .cloned()
                .collect(),
        })
    }
}

impl Outcome {
    /// The rules that counted the packet, in order.
    pub fn hits(&self) -> impl Iterator<Item = &Hit> {
        self.steps.iter().filter_map(|s| match &s.kind {
            StepKind::Hit { hit, .. } => Some(hit),
            _ => None,
        })
    }
}

/// All ends of one packet.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The packet with its defaults filled in.
    pub packet: Packet,
    /// The ends, likeliest choices first.
    pub outcomes: Vec<Outcome>,
}
