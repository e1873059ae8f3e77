//! Connection tracking: tuples, states, and the connection a packet belongs to.

use super::run::Run;
use super::tcp::{self, Segment, TcpState};
use super::zone::{Template, Zones};
use crate::node::{CtEntry, CtTuple, DevId, Origin};
use crate::trace::{CtState, ForkKind, Packet, Port, StepKind, TcpFlags};
use nfwhy_parsers::Proto;
use std::net::IpAddr;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Source port.
    pub sport: Port,
    /// Destination port.
    pub dport: Port,
}

impl Tuple {
    /// As captured: no port where the protocol has none.
    pub(super) fn of(t: &CtTuple) -> Self {
        let port = |p: Option<u16>| p.map_or(Port::None, Port::Known);
        Self {
            src: t.src,
            dst: t.dst,
            sport: port(t.sport),
            dport: port(t.dport),
        }
    }

    /// `nf_ct_invert_tuple`.
    #[must_use]
    pub fn inverted(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
        }
    }
}

/// What IPVS keeps of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpvsConn {
    /// Index into the node's services.
    pub service: usize,
    /// Index of the real server.
    pub server: usize,
    /// The client and the virtual address, as the packet that opened the connection came to IPVS.
    pub opened: Tuple,
}

/// A connection as an earlier packet left it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conn {
    /// Protocol.
    pub proto: Proto,
    /// Original direction.
    pub orig: Tuple,
    /// Reply direction.
    pub reply: Tuple,
    /// Source is translated.
    pub src_nat: bool,
    /// Destination is translated.
    pub dst_nat: bool,
    /// Connection mark.
    pub mark: u32,
    /// A reply was seen.
    pub replied: bool,
    /// `IPS_ASSURED`: traffic went both ways, and not just a handshake.
    pub assured: bool,
    /// State of a TCP connection; `None` where it is not known.
    pub tcp: Option<TcpState>,
    /// Known to IPVS, and as what.
    pub ipvs: Option<IpvsConn>,
    /// conntrack does not know it (`NOTRACK`, or IPVS without conntrack).
    pub untracked: bool,
    /// The source whose address could not be told after NAT.
    pub src_unknown: bool,
    /// The device by which it left when MASQUERADE chose its source (`masq_index`).
    pub masqueraded_on: Option<DevId>,
    /// Its conntrack zones.
    pub zones: Zones,
}

impl Conn {
    pub(super) fn of(ct: &Ct, packet: &Packet) -> Option<Self> {
        if ct.state == CtState::Invalid && ct.ipvs.is_none() || ct.template.is_some() {
            return None;
        }
        Some(Self {
            proto: packet.proto,
            orig: ct.orig,
            reply: ct.reply,
            src_nat: ct.src_nat,
            dst_nat: ct.dst_nat,
            mark: ct.mark,
            replied: ct.replied || ct.is_reply,
            assured: ct.assured,
            tcp: ct.tcp,
            ipvs: ct.ipvs,
            // IPVS keeps connections that conntrack finds INVALID.
            untracked: matches!(ct.state, CtState::Untracked | CtState::Invalid),
            src_unknown: ct.src_unknown,
            masqueraded_on: ct.masqueraded_on,
            zones: ct.zones,
        })
    }
}

/// The connection of the packet under way (`struct nf_conn` and `enum ip_conntrack_info`).
#[derive(Clone, Debug)]
pub(super) struct Ct {
    pub state: CtState,
    pub is_reply: bool,
    pub orig: Tuple,
    pub reply: Tuple,
    pub src_done: bool,
    pub dst_done: bool,
    pub src_nat: bool,
    pub dst_nat: bool,
    pub mark: u32,
    pub replied: bool,
    pub assured: bool,
    pub tcp: Option<TcpState>,
    pub confirmed: bool,
    pub ipvs: Option<IpvsConn>,
    /// The reply tuple's destination is not known.
    pub src_unknown: bool,
    pub masqueraded_on: Option<DevId>,
    /// Tuples are the packet's own and tell nothing (state given by the user without an entry).
    pub made_up: bool,
    /// Who opened it is not known: a tunnel's flow between two nodes is one connection for both directions.
    pub undirected: bool,
    pub helper: Option<String>,
    pub at: Option<Origin>,
    pub zones: Zones,
    /// No connection at all yet, only what `CT` asks of the one to come.
    pub template: Option<Template>,
}

impl Ct {
    pub(super) fn fresh(tuple: Tuple, state: CtState) -> Self {
        Self {
            state,
            is_reply: false,
            orig: tuple,
            reply: tuple.inverted(),
            src_done: false,
            dst_done: false,
            src_nat: false,
            dst_nat: false,
            mark: 0,
            replied: false,
            assured: false,
            tcp: None,
            confirmed: false,
            ipvs: None,
            src_unknown: false,
            masqueraded_on: None,
            made_up: false,
            undirected: false,
            helper: None,
            at: None,
            zones: Zones::default(),
            template: None,
        }
    }
}

impl Run<'_, '_> {
    pub(super) fn tuple(&self) -> Tuple {
        Tuple {
            src: self.skb.src,
            dst: self.skb.dst,
            sport: self.ct_port(self.skb.sport),
            dport: self.ct_port(self.skb.dport),
        }
    }

    /// A port as conntrack knows it. Of DCCP it knows none any more (`nf_ct_get_tuple`, Linux 6.18); kernels that do have a
    /// setting for it.
    pub(super) fn ct_port(&self, port: Port) -> Port {
        let sysctls = &self.node.sysctls;
        if self.skb.proto == Proto::DCCP
            && sysctls.any_below("net/netfilter/")
            && sysctls
                .get("net/netfilter/nf_conntrack_dccp_loose")
                .is_none()
        {
            Port::None
        } else {
            port
        }
    }

    /// `nf_conntrack_in` (`net/netfilter/nf_conntrack_core.c`).
    pub(super) fn conntrack_in(&mut self) {
        // Seen before: looped back, or untracked by raw.
        let Some(zones) = self.take_template() else {
            return;
        };
        let ct = if self.looks_damaged() {
            Ct::fresh(self.tuple(), CtState::Invalid)
        } else {
            self.resolve(zones)
        };
        // What is told of the connection is told of the packet's own, not of the tunnel's.
        let (reply, at) = if self.outer {
            (false, None)
        } else {
            (ct.is_reply, ct.at)
        };
        let state = ct.state;
        self.ct = Some(ct);
        self.step(StepKind::Conntrack { state, reply, at });
    }

    fn resolve(&mut self, zones: Zones) -> Ct {
        let tuple = self.tuple();
        if self.outer {
            let known = self.captured_connection(tuple, zones);
            if let Some(ct) = known.and_then(|ct| self.packet_of(ct, tuple)) {
                return ct;
            }
        } else {
            let known = self.known_connection(tuple, zones);
            let known = known.or_else(|| self.captured_connection(tuple, zones));
            if let Some(ct) = &known
                && self.is_of_the_other_end(ct)
            {
                let mut none = Ct::fresh(tuple, CtState::Invalid);
                none.ipvs = ct.ipvs;
                return none;
            }
            // It keeps the zones it was made in: its answers may come where no rule names one.
            if let Some(ct) = known.and_then(|ct| self.packet_of(ct, tuple)) {
                return ct;
            }
        }
        let mut ct = self.unknown_connection(tuple);
        ct.zones = zones;
        ct
    }

    /// Of a connection whose two directions are one tuple all segments are taken for replies ([`Self::known_connection`]). Those of
    /// its opener lie in no window of replies, once there was one, and are INVALID (`tcp_in_window`,
    /// `net/netfilter/nf_conntrack_proto_tcp.c`). Numbers alone tell who sent a segment.
    fn is_of_the_other_end(&mut self, ct: &Ct) -> bool {
        let opens = self.skb.flags.has(TcpFlags::SYN);
        if self.skb.proto != Proto::TCP || ct.orig != ct.reply || !ct.replied || opens {
            return false;
        }
        self.fork_unknown(
            ForkKind::Unknown("which end of the connection sent the segment".into()),
            "opener of a connection with one tuple",
            true,
            "the segment is the opener's: both directions have the same addresses and ports, and its numbers are none of a reply",
            "the segment is the answerer's: both directions have the same addresses and ports",
        )
    }

    /// Of a packet that belongs to no connection that is known.
    fn unknown_connection(&mut self, tuple: Tuple) -> Ct {
        if self.outer {
            let mut ct = Ct::fresh(tuple, super::tunnel::OUTER_STATE);
            ct.confirmed = true;
            ct.src_done = true;
            ct.dst_done = true;
            // ESTABLISHED is what had an answer (`resolve_normal_ct`).
            ct.replied = true;
            ct.assured = self.skb.proto == Proto(47);
            (ct.made_up, ct.undirected) = (true, true);
            return ct;
        }
        match self.packet.ct_state {
            Some(CtState::Established) => {
                self.assume("the connection is known and not translated (no conntrack entry for it was captured)");
                let mut ct = Ct::fresh(tuple, CtState::Established);
                ct.confirmed = true;
                ct.src_done = true;
                ct.dst_done = true;
                ct.replied = true;
                ct.assured = self.skb.proto == Proto(47);
                (ct.made_up, ct.undirected) = (true, true);
                ct
            }
            Some(state) => Ct::fresh(tuple, state),
            None => {
                let mut ct = Ct::fresh(tuple, self.first_state());
                if self.skb.proto == Proto::TCP {
                    ct.tcp = tcp::first(self.skb.flags, self.tcp_loose());
                }
                ct
            }
        }
    }

    /// A rule asks who opened the connection.
    pub(super) fn settle_direction(&mut self) {
        let Some(ct) = self.ct.as_ref().filter(|ct| ct.undirected) else {
            return;
        };
        let (a, b) = (ct.orig.src, ct.orig.dst);
        self.lacks("conntrack entry".to_owned(), "conntrack -L".to_owned());
        let opened = self.fork_unknown(
            ForkKind::Unknown(format!("whether {a} opened the connection with {b}")),
            &format!("{a} opened the connection with {b}"),
            true,
            &format!("{a} opened the connection with {b}"),
            &format!("{b} opened the connection with {a}"),
        );
        if let Some(ct) = &mut self.ct {
            ct.undirected = false;
            if !opened {
                ct.is_reply = true;
                std::mem::swap(&mut ct.orig, &mut ct.reply);
            }
        }
    }

    fn tcp_loose(&self) -> bool {
        let loose = self
            .node
            .sysctls
            .get("net/netfilter/nf_conntrack_tcp_loose");
        loose.is_none_or(|(n, _)| n != 0)
    }

    /// UDP-Lite that comes in is INVALID, whatever its checksum: `udplite_error` (`net/netfilter/nf_conntrack_proto_udp.c`)
    /// computes it as if the pseudo header said UDP. Only `nf_conntrack_checksum=0` keeps it from looking.
    fn looks_damaged(&self) -> bool {
        self.skb.proto == Proto::UDPLITE
            && self.packet.origin != crate::trace::Origin::Local
            && self.packet.ct_state.is_none()
            && self
                .node
                .sysctls
                .get("net/netfilter/nf_conntrack_checksum")
                .is_none_or(|(n, _)| n != 0)
    }

    /// Whether a packet of no known connection may open one: `tcp_new` and the others in `nf_conntrack_proto`_*.c.
    fn first_state(&self) -> CtState {
        match self.skb.proto {
            Proto::TCP => match tcp::first(self.skb.flags, self.tcp_loose()) {
                Some(_) => CtState::New,
                None => CtState::Invalid,
            },
            // Only requests open (`icmp_new`, valid_new[] in nf_conntrack_proto_icmp.c): echo, timestamp, info, address mask.
            Proto::ICMP => match self.skb.icmp {
                Some((ty, _)) if !asks(Proto::ICMP, ty) => CtState::Invalid,
                _ => CtState::New,
            },
            // Echo and node information; neighbour discovery and MLD are not tracked
            // (`nf_conntrack_icmpv6_error`, noct_valid_new[] in nf_conntrack_proto_icmpv6.c).
            Proto::ICMPV6 => match self.skb.icmp {
                Some((ty, _)) if asks(Proto::ICMPV6, ty) => CtState::New,
                None => CtState::New,
                Some((130..=137 | 143, _)) => CtState::Untracked,
                _ => CtState::Invalid,
            },
            _ => CtState::New,
        }
    }

    /// `nf_conntrack_handle_packet`: the connection with what this packet makes of it; `None` where a TCP segment opens a new one.
    fn packet_of(&self, mut ct: Ct, tuple: Tuple) -> Option<Ct> {
        // `nf_conntrack_gre_packet`. UDP's is set after two seconds of traffic both ways, which only a captured entry can tell.
        if self.skb.proto == Proto(47) && ct.replied {
            ct.assured = true;
        }
        let Some(old) = ct.tcp else {
            return Some(ct);
        };
        match tcp::next(old, ct.is_reply, self.skb.flags) {
            Segment::Takes(state) => {
                // `nf_conntrack_tcp_packet`; IPS_SEEN_REPLY is of the packets before this one.
                if ct.replied
                    && matches!(old, TcpState::SynRecv | TcpState::Established)
                    && state == TcpState::Established
                {
                    ct.assured = true;
                }
                ct.tcp = Some(state);
            }
            Segment::Ignored => {}
            Segment::Invalid => {
                let mut none = Ct::fresh(tuple, CtState::Invalid);
                // IPVS asks its own table.
                none.ipvs = ct.ipvs;
                return Some(none);
            }
            Segment::Reopens => return None,
        }
        Some(ct)
    }

    fn known_connection(&mut self, tuple: Tuple, zones: Zones) -> Option<Ct> {
        let c = self.packet.conn.clone()?;
        if c.proto != self.skb.proto || c.untracked {
            return None;
        }
        let fits = |a: Tuple, src_unknown: bool| {
            a.src == tuple.src
                && (a.dst == tuple.dst || src_unknown)
                && ports_meet(a.sport, tuple.sport)
                && ports_meet(a.dport, tuple.dport)
        };
        // The type of an ICMP message is part of the tuple: a host that pings itself tells its answers apart by nothing else.
        let icmp = match self.skb.proto {
            Proto::ICMP | Proto::ICMPV6 => self.skb.icmp,
            _ => None,
        };
        let proto = self.skb.proto;
        // From a host to itself without ports both directions are the same tuple, and the reply's is found: it was put into the
        // list last (`__nf_conntrack_hash_insert`).
        let same = icmp.is_none() && c.orig == c.reply && zones.reply == c.zones.reply;
        let is_reply = if zones.orig == c.zones.orig
            && !same
            && fits(c.orig, false)
            && icmp.is_none_or(|(ty, _)| asks(proto, ty))
        {
            false
        } else if zones.reply == c.zones.reply
            && fits(c.reply, c.src_unknown)
            && icmp.is_none_or(|(ty, _)| answers(proto, ty))
        {
            true
        } else {
            return None;
        };
        let mut ct = Ct::fresh(
            c.orig,
            if is_reply || c.replied {
                CtState::Established
            } else {
                CtState::New
            },
        );
        ct.reply = c.reply;
        ct.is_reply = is_reply;
        ct.src_nat = c.src_nat;
        ct.dst_nat = c.dst_nat;
        ct.src_done = true;
        ct.dst_done = true;
        ct.mark = c.mark;
        ct.replied = c.replied;
        ct.assured = c.assured;
        ct.tcp = c.tcp;
        ct.confirmed = true;
        ct.ipvs = c.ipvs;
        ct.src_unknown = c.src_unknown;
        ct.masqueraded_on = c.masqueraded_on;
        ct.zones = c.zones;
        Some(ct)
    }

    /// Whether a tuple is the known one.
    pub(super) fn is_tuple(&self, known: &Tuple, tuple: &Tuple) -> bool {
        if let Some(r) = self.region
            && (known.sport, known.dport) == (tuple.sport, tuple.dport)
        {
            // What differs whatever the watched address is, draws no line.
            let apart = |known: IpAddr, a: IpAddr| known != a && !r.is(a);
            if !apart(known.src, tuple.src) && !apart(known.dst, tuple.dst) {
                self.is_same(tuple.src, known.src);
                self.is_same(tuple.dst, known.dst);
            }
        }
        known == tuple
    }

    fn captured_connection(&mut self, tuple: Tuple, zones: Zones) -> Option<Ct> {
        let fits = |t: &CtTuple| self.is_tuple(&Tuple::of(t), &tuple);
        if matches!(self.skb.proto, Proto::ICMP | Proto::ICMPV6) {
            return None;
        }
        let (e, is_reply) = self.node.conntrack.iter().find_map(|e| {
            if e.proto != self.skb.proto {
                return None;
            }
            if e.zone_orig == zones.orig && e.orig != e.reply && fits(&e.orig) {
                Some((e, false))
            } else if e.zone_reply == zones.reply && fits(&e.reply) {
                Some((e, true))
            } else {
                None
            }
        })?;
        let mut ct = from_entry(e, is_reply);
        for a in [e.orig.src, e.orig.dst, e.reply.src, e.reply.dst] {
            self.enters(a);
        }
        self.recognise_ipvs(&mut ct);
        Some(ct)
    }
}

/// Types that open a connection: echo, timestamp, information and address mask requests; echo and node information.
fn asks(proto: Proto, ty: u8) -> bool {
    if proto == Proto::ICMP {
        matches!(ty, 8 | 13 | 15 | 17)
    } else {
        matches!(ty, 128 | 139)
    }
}

/// The answers to these.
fn answers(proto: Proto, ty: u8) -> bool {
    if proto == Proto::ICMP {
        matches!(ty, 0 | 14 | 16 | 18)
    } else {
        matches!(ty, 129 | 140)
    }
}

/// A captured entry as the packet's connection. `nf_ct_get_tuple` state: a packet of the original direction is NEW until a
/// reply was seen (`resolve_normal_ct`: `IPS_SEEN_REPLY` decides).
fn from_entry(e: &CtEntry, is_reply: bool) -> Ct {
    let (orig, reply) = (Tuple::of(&e.orig), Tuple::of(&e.reply));
    let plain = orig.inverted();
    let mut ct = Ct::fresh(orig, CtState::New);
    ct.state = if is_reply || e.replied {
        CtState::Established
    } else {
        CtState::New
    };
    ct.is_reply = is_reply;
    ct.reply = reply;
    ct.src_nat = reply.dst != plain.dst || reply.dport != plain.dport;
    ct.dst_nat = reply.src != plain.src || reply.sport != plain.sport;
    ct.src_done = true;
    ct.dst_done = true;
    ct.mark = e.mark;
    ct.replied = e.replied;
    ct.assured = e.assured;
    ct.tcp = e.state.as_deref().and_then(TcpState::parse);
    ct.confirmed = true;
    ct.helper.clone_from(&e.helper);
    ct.at = Some(e.origin);
    ct.zones = zones_of(e);
    ct
}

pub(super) fn zones_of(e: &CtEntry) -> Zones {
    Zones {
        orig: e.zone_orig,
        reply: e.zone_reply,
    }
}

fn ports_meet(a: Port, b: Port) -> bool {
    match (a, b) {
        (Port::Known(x), Port::Known(y)) => x == y,
        (Port::None, Port::None) => true,
        (Port::None, _) | (_, Port::None) => false,
        _ => true,
    }
}
