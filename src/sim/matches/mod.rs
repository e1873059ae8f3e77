//! Matches, three-valued: yes, no, unknown (and why).

mod addrtype;
mod conntrack;
mod header;
mod origin;

pub(super) use conntrack::ct_status;

use super::run::{Flow, Run};
use crate::node::Table;
use crate::trace::{CtState, Hit, Missing, Port};
use nfwhy_parsers::common::{Neg, Range};
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::iptables::matches::{MultiportWhich, PacketType, TtlMatch};
use nfwhy_parsers::iptables::{Match, Rule, Target};
use nfwhy_parsers::{Family, Proto};
use std::net::IpAddr;

/// A question without an answer.
#[derive(Clone, Debug)]
pub(super) struct Unknown {
    /// What is asked; the same question gets the same answer all along a walk.
    pub fact: String,
    /// The match holds when the fact does not.
    pub not: bool,
    /// What is assumed where the fact holds.
    pub yes: String,
    /// What is assumed where it does not.
    pub no: String,
    /// What would tell.
    pub missing: Option<Missing>,
}

/// Yes, no, or unknown.
#[derive(Clone, Debug)]
pub(super) enum Tri {
    Yes,
    No,
    Unknown(Unknown),
}

impl Tri {
    pub(super) fn of(b: bool) -> Self {
        if b { Self::Yes } else { Self::No }
    }

    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            u @ Self::Unknown(_) => match other() {
                Self::No => Self::No,
                _ => u,
            },
        }
    }

    pub(super) fn not(self, not: bool) -> Self {
        match self {
            t if !not => t,
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown(mut u) => {
                u.not = !u.not;
                Self::Unknown(u)
            }
        }
    }
}

fn fact(what: &str, missing: Option<(&str, &str)>) -> Tri {
    Tri::Unknown(Unknown {
        fact: what.to_owned(),
        not: false,
        yes: what.to_owned(),
        no: format!("not: {what}"),
        missing: missing.map(|(w, c)| Missing {
            what: w.to_owned(),
            command: c.to_owned(),
        }),
    })
}

impl Run<'_, '_> {
    /// One match; random and stateful ones are handled by the caller.
    pub(super) fn match_one(
        &mut self,
        t: &Table<'_>,
        rule: &Rule<'_>,
        m: &Match<'_>,
        hit: Hit,
    ) -> Flow<Tri> {
        let skb = &self.skb;
        Ok(match m {
            Match::Comment(_) | Match::Nfacct(_) => Tri::Yes,
            Match::StatisticRandom(_) | Match::StatisticNth { .. } | Match::Recent(_) => Tri::Yes,
            Match::Tcp(m) => {
                if skb.proto != Proto::TCP {
                    return Ok(Tri::No);
                }
                let flags = m
                    .flags
                    .is_none_or(|f| ((skb.flags.0 & f.value.mask) == f.value.value) != f.not);
                if !flags {
                    return Ok(Tri::No);
                }
                let ports = self.tcp_or_udp_ports(t, m.sport, m.dport);
                match m.option {
                    None => ports,
                    Some(o) => ports.and(|| {
                        fact(&format!("the packet carries TCP option {}", o.value), None).not(o.not)
                    }),
                }
            }
            Match::Udp(m) => {
                if skb.proto != Proto::UDP && skb.proto != Proto::UDPLITE {
                    return Ok(Tri::No);
                }
                self.tcp_or_udp_ports(t, m.sport, m.dport)
            }
            Match::Dccp(m, rest) => {
                if skb.proto != Proto::DCCP {
                    return Ok(Tri::No);
                }
                let ports = self.ports(m.sport, m.dport);
                match rest {
                    None => ports,
                    Some(r) => ports.and(|| fact(&format!("the DCCP packet is of {r}"), None)),
                }
            }
            Match::Sctp(m) => {
                if skb.proto != Proto::SCTP {
                    return Ok(Tri::No);
                }
                let ports = self.ports(m.ports.sport, m.ports.dport);
                match &m.chunks {
                    None => ports,
                    Some(c) => ports
                        .and(|| fact(&format!("the SCTP chunks are {}", c.value), None).not(c.not)),
                }
            }
            Match::Icmp(n) => self.icmp(*n, Proto::ICMP),
            Match::Icmp6(n) => self.icmp(*n, Proto::ICMPV6),
            Match::Conntrack(c) => self.match_conntrack(c),
            Match::State(n) => {
                // `state` is conntrack's state without SNAT and DNAT.
                Tri::of(self.ct_states_fit(n.value, false) != n.not)
            }
            Match::Mark(n) => Tri::of((skb.mark & n.value.mask == n.value.value) != n.not),
            Match::Connmark(n) => match &self.ct {
                // No connection: no match, whatever `!` says (`connmark_mt`).
                None => Tri::No,
                Some(ct) if matches!(ct.state, CtState::Untracked | CtState::Invalid) => Tri::No,
                Some(ct) if ct.made_up => fact(
                    &format!(
                        "the connection mark is {:#x}/{:#x}",
                        n.value.value, n.value.mask
                    ),
                    Some(("conntrack entry", "conntrack -L")),
                )
                .not(n.not),
                Some(ct) => Tri::of((ct.mark & n.value.mask == n.value.value) != n.not),
            },
            Match::Addrtype(a) => self.match_addrtype(a),
            Match::Set(s) => self.match_set(s),
            Match::Multiport(m) => {
                let one = |have: Port| -> Option<bool> {
                    let mut unsure = false;
                    for r in &m.ports {
                        match have.within(r) {
                            Some(true) => return Some(true),
                            Some(false) => {}
                            None => unsure = true,
                        }
                    }
                    if unsure { None } else { Some(false) }
                };
                if !skb.proto.has_ports() {
                    return Ok(Tri::No);
                }
                let (s, d) = (skb.sport, skb.dport);
                let r = match m.which {
                    MultiportWhich::Source => one(s),
                    MultiportWhich::Destination => one(d),
                    MultiportWhich::Either => match (one(s), one(d)) {
                        (Some(true), _) | (_, Some(true)) => Some(true),
                        (Some(false), Some(false)) => Some(false),
                        _ => None,
                    },
                };
                if let Some(b) = r {
                    Tri::of(b != m.not)
                } else {
                    let list: Vec<String> = m
                        .ports
                        .iter()
                        .map(|r| {
                            if r.lo == r.hi {
                                r.lo.to_string()
                            } else {
                                format!("{}:{}", r.lo, r.hi)
                            }
                        })
                        .collect();
                    fact(&format!("the port is one of {}", list.join(",")), None).not(m.not)
                }
            }
            Match::Owner(o) => self.match_owner(o),
            Match::Physdev(p) => self.match_physdev(p),
            Match::Rpfilter(r) => Tri::of(self.match_rpfilter(*r)),
            Match::Ipvs(i) => self.match_ipvs(i),
            Match::Limit(l) => {
                // Of a rule that only logs nothing depends.
                if !only_logs(&rule.target) {
                    self.assume(format!(
                        "the limit at {} is not used up",
                        self.node.place(t.rule_origin(hit.chain, hit.rule))
                    ));
                }
                Tri::of(self.passes(format!("limit {hit:?}"), l.burst))
            }
            Match::Hashlimit(h) => {
                self.assume(format!(
                    "hashlimit {} is not used up by this client",
                    h.name
                ));
                // Bytes are not counted here; a number of packets is 5 where none is written (`XT_HASHLIMIT_BURST`).
                let burst = match h.burst.as_deref() {
                    None if h.rate.contains("b/") => u32::MAX,
                    None => 5,
                    Some(n) => n.parse().unwrap_or(u32::MAX),
                };
                let within = self.passes(format!("hashlimit {}", h.name), burst);
                Tri::of(within == h.upto)
            }
            Match::Connlimit(c) => {
                self.assume("this is the client's only connection (connlimit)".to_owned());
                // The connection counts itself (`connlimit_mt`), and once more each time a packet asks the same rule again: within
                // one jiffy nobody looks whether it is there already (`list->last_gc` in net/netfilter/nf_conncount.c).
                let asked = self.passed.entry(format!("connlimit {hit:?}")).or_default();
                *asked = asked.saturating_add(1);
                Tri::of((*asked > c.limit) != c.upto)
            }
            Match::Quota(n) => {
                self.assume("the quota is not used up".to_owned());
                Tri::of((n.value >= u64::from(self.skb.length)) != n.not)
            }
            Match::Socket(s) => fact(
                &format!(
                    "a {}socket of this node has the packet's connection",
                    if s.transparent { "transparent " } else { "" }
                ),
                Some(("sockets", "ss -tuna")),
            ),
            Match::Policy(p) => {
                // No IPsec state is captured; without it every packet has policy none.
                self.assume("the packet is not part of an IPsec tunnel".to_owned());
                Tri::of(!p.ipsec)
            }
            Match::Esp(n) => {
                if skb.proto.0 == 50 {
                    fact(
                        &format!("the SPI is in {}:{}", n.value.lo, n.value.hi),
                        None,
                    )
                    .not(n.not)
                } else {
                    Tri::No
                }
            }
            Match::Ah(n) => {
                if skb.proto.0 == 51 {
                    fact(
                        &format!("the SPI is in {}:{}", n.value.lo, n.value.hi),
                        None,
                    )
                    .not(n.not)
                } else {
                    Tri::No
                }
            }
            Match::Length(n) => {
                // ip6's length match counts the header too (`length_mt6`).
                let len = u16::try_from(skb.length).unwrap_or(u16::MAX);
                Tri::of(n.value.contains(&len) != n.not)
            }
            Match::Dscp(n) => Tri::of((skb.tos >> 2 == n.value) != n.not),
            Match::Tos(n) => Tri::of((skb.tos & n.value.mask == n.value.value) != n.not),
            Match::Ttl(m) => {
                let ttl = skb.ttl;
                Tri::of(match *m {
                    TtlMatch::Eq(n) => ttl == n,
                    TtlMatch::Ne(n) => ttl != n,
                    TtlMatch::Lt(n) => ttl < n,
                    TtlMatch::Gt(n) => ttl > n,
                })
            }
            Match::Iprange { src, dst } => {
                let inside = |a: IpAddr, n: &Neg<Range<IpAddr>>| {
                    if let Some(r) = self.watched(a) {
                        r.range(n.value.lo, n.value.hi);
                    }
                    Family::of(a) == Family::of(n.value.lo) && n.value.contains(&a)
                };
                if dst.as_ref().is_some_and(|n| inside(skb.dst, n) == n.not) {
                    return Ok(Tri::No);
                }
                match src {
                    None => Tri::Yes,
                    Some(n) if skb.src_unknown => fact(
                        &format!("the source after NAT is in {}-{}", n.value.lo, n.value.hi),
                        None,
                    )
                    .not(n.not),
                    Some(n) => Tri::of(inside(skb.src, n) != n.not),
                }
            }
            Match::Mac(n) => match (skb.mac, self.iif) {
                // Packets without an Ethernet header have no such address and never match (`mac_mt`).
                (_, None) => Tri::No,
                (Some(m), _) => Tri::of((m == n.value) != n.not),
                (None, Some(d))
                    if self
                        .node
                        .device(d)
                        .link_type
                        .as_deref()
                        .is_some_and(|t| t != "ether") =>
                {
                    Tri::No
                }
                (None, _) => fact(
                    &format!("the frame's source is {}", mac_text(n.value)),
                    None,
                )
                .not(n.not),
            },
            Match::Pkttype(n) => {
                // The frame's address decides, which NAT does not change; the node's own packets have none yet
                // (`skb->pkt_type` is then 0, PACKET_HOST).
                let dst = self.packet.dst;
                let ty = if self.packet.origin == crate::trace::Origin::Local {
                    PacketType::Unicast
                } else if dst.is_multicast() {
                    PacketType::Multicast
                } else if self.addr_type4(dst, self.iif) == RouteType::Broadcast {
                    PacketType::Broadcast
                } else {
                    PacketType::Unicast
                };
                Tri::of((ty == n.value) != n.not)
            }
            // The helper of the connection that this one was expected by, never its own (`helper_mt`,
            // net/netfilter/xt_helper.c); a connection that a helper follows was itself expected by none.
            Match::Helper(n) => match &self.ct {
                Some(c) if c.at.is_some() && c.helper.is_none() => {
                    fact(&format!("helper {} expected the connection", n.value), None).not(n.not)
                }
                _ => Tri::of(n.not),
            },
            Match::Devgroup { src, dst } => {
                let group = |d: Option<crate::node::DevId>| -> Option<u32> {
                    match d.and_then(|d| self.node.device(d).group.clone()) {
                        None => Some(0),
                        Some(g) if g == "default" => Some(0),
                        Some(g) => g.parse().ok(),
                    }
                };
                let mut out = Tri::Yes;
                for (want, dev) in [(src, self.iif), (dst, self.oif)] {
                    let Some(n) = want else { continue };
                    out = out.and(|| match group(dev) {
                        Some(g) => Tri::of((g & n.value.mask == n.value.value) != n.not),
                        None => fact(&format!("the device group is {:#x}", n.value.value), None)
                            .not(n.not),
                    });
                }
                out
            }
            // Realms are not captured; without them the tag is 0.
            Match::Realm(n) => Tri::of((n.value.value == 0) != n.not),
            Match::Cpu(n) => fact(&format!("CPU {} handles the packet", n.value), None).not(n.not),
            Match::Bpf(_) | Match::U32(_) | Match::String(_) | Match::Time(_) => {
                let place = self.node.place(t.rule_origin(hit.chain, hit.rule));
                let what = match m {
                    Match::Bpf(_) => "bpf program",
                    Match::U32(_) => "u32 test",
                    Match::String(_) => "string in the payload",
                    _ => "time of day",
                };
                fact(&format!("the {what} at {place} matches"), None)
            }
            Match::Opaque { name, .. } => {
                let place = self.node.place(t.rule_origin(hit.chain, hit.rule));
                fact(
                    &format!("-m {name} at {place} matches (it is not simulated)"),
                    None,
                )
            }
        })
    }

    /// A packet that asks a limit again, in another rule or from another hook, takes from it again (`limit_mt`,
    /// `hashlimit_mt_common`).
    pub(super) fn passes(&mut self, limit: String, burst: u32) -> bool {
        let n = self.passed.entry(limit).or_default();
        let within = *n < burst;
        *n = n.saturating_add(1);
        within
    }
}

/// Targets after which the packet goes on as it was.
fn only_logs(target: &Target<'_>) -> bool {
    matches!(target, Target::None | Target::Continue { .. })
}

fn mac_text(m: [u8; 6]) -> String {
    m.iter()
        .map(|b| format!("{b:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}
