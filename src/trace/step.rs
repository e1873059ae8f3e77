//! The steps of a trace.

use super::Port;
use crate::node::{ChainId, DevId, Origin};
use nfwhy_parsers::Proto;
use std::net::IpAddr;

/// A netfilter hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// `NF_INET_PRE_ROUTING`.
    Prerouting,
    /// `NF_INET_LOCAL_IN`.
    Input,
    /// `NF_INET_FORWARD`.
    Forward,
    /// `NF_INET_LOCAL_OUT`.
    Output,
    /// `NF_INET_POST_ROUTING`.
    Postrouting,
}

impl Hook {
    /// Name of the built-in chain.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }

    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
    ];
}

/// The packet as it looks at some point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Source; `None` where NAT chose one that cannot be told.
    pub src: Option<IpAddr>,
    /// Source port.
    pub sport: Port,
    /// Destination.
    pub dst: IpAddr,
    /// Destination port.
    pub dport: Port,
    /// Protocol.
    pub proto: Proto,
    /// Mark.
    pub mark: u32,
    /// Device it came in by.
    pub iif: Option<DevId>,
    /// Device it goes out by.
    pub oif: Option<DevId>,
}

/// A rule that counted the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hit {
    /// Index into `Netfilter::tables`.
    pub table: usize,
    /// The chain.
    pub chain: ChainId,
    /// Index of the rule within it, from 0.
    pub rule: usize,
}

/// Who rewrote an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// `DNAT`.
    Dnat,
    /// `SNAT`.
    Snat,
    /// `MASQUERADE`.
    Masquerade,
    /// `REDIRECT`.
    Redirect,
    /// `NETMAP`.
    Netmap,
    /// IPVS.
    Ipvs,
    /// A connection known before.
    Conntrack,
    /// `TPROXY`.
    Tproxy,
    /// A program of an eBPF datapath.
    Ebpf,
}

impl NatKind {
    /// The contract's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dnat => "dnat",
            Self::Snat => "snat",
            Self::Masquerade => "masquerade",
            Self::Redirect => "redirect",
            Self::Netmap => "netmap",
            Self::Ipvs => "ipvs",
            Self::Conntrack => "conntrack",
            Self::Tproxy => "tproxy",
            Self::Ebpf => "ebpf",
        }
    }
}

/// What a hit rule did, beyond jumping.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Nothing that changes the packet.
    None,
    /// The mark changed.
    Mark {
        /// Before.
        old: u32,
        /// After.
        new: u32,
    },
    /// The connection mark changed.
    ConnMark {
        /// Before.
        old: u32,
        /// After.
        new: u32,
    },
    /// An address was rewritten.
    Nat {
        /// How.
        kind: NatKind,
        /// The packet afterwards.
        to: View,
    },
    /// Accepted.
    Accept,
    /// Dropped.
    Drop,
    /// Answered.
    Reject,
    /// Not tracked from here on.
    Notrack,
    /// Jumped to a chain.
    Jump,
    /// Back to the calling chain.
    Return,
}

/// How an address for masquerading or sending was found.
#[derive(Clone, Debug, PartialEq)]
pub enum AddrChoice {
    /// On the way out's device, on the next hop's subnet.
    OnSubnet,
    /// First usable address of the way out's device.
    FirstOnDevice,
    /// The device has none: first global address in device order, on this device.
    Fallback(DevId),
    /// By the rules of RFC 6724, on this device.
    Rfc6724(DevId),
    /// The route's `src`.
    PrefSrc,
    /// The destination is local: itself.
    Destination,
}

/// A routing decision.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteStep {
    /// Address looked up.
    pub dst: IpAddr,
    /// Delivered here.
    pub local: bool,
    /// Device.
    pub dev: Option<DevId>,
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Table's name.
    pub table: String,
    /// The route.
    pub at: Origin,
    /// A lookup again, because mark or destination changed.
    pub reroute: bool,
}

/// What a fork is about.
#[derive(Clone, Debug, PartialEq)]
pub enum ForkKind {
    /// `statistic` at a rule.
    Statistic(Hit),
    /// Something unknown at a rule.
    UnknownMatch(Hit),
    /// Something unknown elsewhere, described.
    Unknown(String),
    /// A backend of an eBPF datapath, drawn at random.
    Backend {
        /// Where the service was read.
        service: Origin,
    },
    /// IPVS scheduling.
    Schedule {
        /// Index into the services.
        service: usize,
    },
    /// Next hops of a multipath route.
    Multipath(Origin),
    /// A range of NAT addresses.
    NatRange(Hit),
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The packet at that point.
    pub view: View,
    /// What happened.
    pub kind: StepKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// A hook is entered.
    Hook {
        /// Which.
        hook: Hook,
        /// The second pass through OUTPUT that IPVS makes.
        reinjected: bool,
        /// The packet is the outer one of a tunnel.
        outer: bool,
    },
    /// A base chain is entered.
    Chain {
        /// Index into `Netfilter::tables`.
        table: usize,
        /// The chain.
        chain: ChainId,
        /// Priority of its hook.
        priority: i32,
    },
    /// A rule matched.
    Hit {
        /// Which.
        hit: Hit,
        /// Depth of jumps; a goto goes no deeper, as nothing comes back to it.
        depth: usize,
        /// What it did.
        effect: Effect,
    },
    /// The end of a base chain.
    Policy {
        /// Index into `Netfilter::tables`.
        table: usize,
        /// The chain.
        chain: ChainId,
        /// Whether it accepts.
        accept: bool,
    },
    /// Conntrack's view of the packet.
    Conntrack {
        /// State.
        state: super::CtState,
        /// Reply direction.
        reply: bool,
        /// The captured entry.
        at: Option<Origin>,
    },
    /// Routing.
    Route(RouteStep),
    /// Source validation passed or failed.
    RpFilter {
        /// Mode.
        mode: i64,
        /// Device of the reverse route.
        reverse: Option<DevId>,
        /// Passed.
        ok: bool,
    },
    /// An address was translated as the connection says.
    Translate {
        /// Source (true) or destination.
        source: bool,
        /// The packet afterwards.
        to: View,
    },
    /// IPVS chose a real server.
    Ipvs {
        /// Index into the services.
        service: usize,
        /// Index of the server.
        server: usize,
        /// The packet afterwards.
        to: View,
    },
    /// An eBPF datapath translated the packet, before any hook.
    Ebpf {
        /// Where the service was read.
        service: Origin,
        /// Where the backend was read.
        backend: Origin,
        /// What was rewritten is the source: of an answer.
        answer: bool,
        /// The packet afterwards.
        to: View,
    },
    /// An eBPF datapath put an address of this node in the client's place.
    EbpfSource {
        /// Where it is said that it does so.
        at: Origin,
        /// The packet afterwards.
        to: View,
    },
    /// IPVS put the virtual address back into a reply.
    IpvsReply {
        /// The packet afterwards.
        to: View,
    },
    /// An address was chosen.
    Address {
        /// Which.
        addr: Option<IpAddr>,
        /// How.
        how: AddrChoice,
        /// Where the address was read.
        at: Origin,
    },
    /// The path forks.
    Fork {
        /// About what.
        what: ForkKind,
        /// The branch taken, from 0.
        taken: usize,
        /// Its probability.
        probability: Option<f64>,
    },
    /// The packet was wrapped for a tunnel.
    Encapsulated {
        /// Kind.
        kind: String,
        /// Outer source.
        src: Option<IpAddr>,
        /// Outer destination.
        dst: IpAddr,
    },
    /// A remark.
    Note(String),
}
