//! Expressions.

use super::super::conntrack::Ct;
use super::super::run::{Flow, Run};
use super::At;
use super::value::{Val, What};
use crate::node::DevId;
use crate::trace::{CtState, ForkKind, Hook, Missing, Origin};
use nfwhy_parsers::common::bits;
use nfwhy_parsers::iproute::route::RouteType;
use nfwhy_parsers::nft::expr::{BinOp, CtKey, MapRef, Meta, RawBase};
use nfwhy_parsers::nft::fields::{FIELDS, Field, FieldDef, Header};
use nfwhy_parsers::nft::{Const, ElementData, Expr, Part};
use nfwhy_parsers::{Family, Proto};
use std::borrow::Cow;

/// Branches of a fork over a number that is drawn.
const MAX_DRAWN: u32 = 20_000;

impl<'n> Run<'_, 'n> {
    /// An expression's value; `None` = `NFT_BREAK`: the packet has no such thing, and the rule does not match.
    pub(super) fn nft_eval<'s>(&mut self, at: At<'s, 'n>, e: &'s Expr<'n>) -> Flow<Option<Val<'s>>>
    where
        'n: 's,
    {
        Ok(match e {
            Expr::Part(Part::One(Const::Num(n))) => Some(Val::Num(*n)),
            Expr::Part(Part::One(Const::Text(t))) => Some(Val::Text(Cow::Borrowed(t))),
            Expr::Part(Part::Range(lo, hi)) => Some(Val::Span(*lo, *hi)),
            Expr::Part(Part::Wild(t)) => Some(Val::Text(Cow::Borrowed(t))),
            Expr::Concat(list) => {
                let mut vals = Vec::with_capacity(list.len());
                for e in list {
                    let Some(v) = self.nft_eval(at, e)? else {
                        return Ok(None);
                    };
                    vals.push(v);
                }
                Some(Val::Many(vals))
            }
            Expr::Payload(f) => self.nft_field(f),
            Expr::Raw { base, offset, len } => self.nft_raw(*base, *offset, *len),
            Expr::Meta(m) => self.nft_meta(at, *m),
            Expr::Ct { reply, key } => self.nft_ct(*reply, *key),
            Expr::Fib(f) => Some(self.nft_fib(at, *f)),
            Expr::Numgen {
                random,
                modulus,
                offset,
            } => {
                if !random {
                    self.assume(format!(
                        "the counter of {} stands anywhere",
                        self.place(at.hit)
                    ));
                }
                Some(self.nft_drawn(at, *modulus, *offset, "the number drawn"))
            }
            Expr::Jhash {
                key,
                modulus,
                offset,
                ..
            } => {
                if self.nft_eval(at, key)?.is_none() {
                    return Ok(None);
                }
                self.assume(format!("the hash of {} falls anywhere", self.place(at.hit)));
                Some(self.nft_drawn(at, *modulus, *offset, "the hash"))
            }
            Expr::Symhash { modulus, offset } => {
                self.assume(format!("the hash of {} falls anywhere", self.place(at.hit)));
                Some(self.nft_drawn(at, *modulus, *offset, "the hash of the flow"))
            }
            Expr::Map { key, map } => self.nft_mapped(at, key, map)?,
            Expr::Binary { op, left, right } => {
                let (Some(l), Some(r)) = (self.nft_eval(at, left)?, self.nft_eval(at, right)?)
                else {
                    return Ok(None);
                };
                self.nft_binary(*op, &l, &r);
                Some(binary(*op, &l, &r))
            }
            Expr::Set(_) | Expr::SetRef(_) => None,
            // Before routing there is no route to ask (`nft_rt_get_eval`); what comes back by lo has kept its own.
            Expr::Rt(_) if self.nft_has_no_route(at) => None,
            // Routes' realms are not captured; without them it is 0.
            Expr::Rt(words) if words == "classid" => Some(Val::Num(0)),
            Expr::Rt(words)
            | Expr::Other(words)
            | Expr::TcpOption(words)
            | Expr::Exthdr(words)
            | Expr::Opaque(words) => {
                Some(Val::unknown(format!("`{words}` at {}", self.place(at.hit))))
            }
        })
    }

    /// A number below `modulus`, each equally likely.
    fn nft_drawn(&mut self, at: At<'_, 'n>, modulus: u32, offset: u32, noun: &str) -> Val<'static> {
        if modulus == 0 || modulus > MAX_DRAWN {
            let end = u128::from(modulus.saturating_sub(1)) + u128::from(offset);
            return match modulus {
                0 => Val::unknown(noun),
                _ => Val::Span(offset.into(), end),
            };
        }
        let n = self.fork(ForkKind::Statistic(at.hit), &vec![1.0; modulus as usize]);
        Val::Num(n as u128 + u128::from(offset))
    }

    /// What a map gives for a key.
    fn nft_mapped<'s>(
        &mut self,
        at: At<'s, 'n>,
        key: &'s Expr<'n>,
        map: &'s MapRef<'n>,
    ) -> Flow<Option<Val<'s>>> {
        let Some(key) = self.nft_eval(at, key)? else {
            return Ok(None);
        };
        let Some(e) = self.nft_find(at, &key, map)? else {
            return Ok(None);
        };
        let part = |p: &'s Part<'n>| match p {
            Part::One(Const::Num(n)) => Val::Num(*n),
            Part::One(Const::Text(t)) | Part::Wild(t) => Val::Text(Cow::Borrowed(t.as_ref())),
            Part::Range(lo, hi) => Val::Span(*lo, *hi),
        };
        Ok(match &e.data {
            Some(ElementData::Value(parts)) => match parts.as_slice() {
                [one] => Some(part(one)),
                many => Some(Val::Many(many.iter().map(part).collect())),
            },
            _ => None,
        })
    }

    fn nft_has_no_route(&self, at: At<'_, 'n>) -> bool {
        at.hook == Hook::Prerouting && self.packet.origin != Origin::Local
    }

    /// The test for the protocol that a rule has before it reads or writes a field (`payload_gen_dependency` in nftables).
    pub(super) fn nft_has(&self, header: Header) -> bool {
        let v4 = self.family == Family::V4;
        match header {
            Header::Ip | Header::Icmp if !v4 => false,
            Header::Ip6 | Header::Icmp6 if v4 => false,
            Header::Vlan | Header::Arp => false,
            _ => header.proto().is_none_or(|p| Proto(p) == self.skb.proto),
        }
    }

    /// A header field.
    fn nft_field(&self, f: Field) -> Option<Val<'static>> {
        let s = &self.skb;
        if !self.nft_has(f.header) {
            return None;
        }
        let num = |n: u32| Some(Val::Num(n.into()));
        let name = format!("{} {}", f.names.0, f.names.1);
        match (f.header, f.names.1) {
            (Header::Ip | Header::Ip6, "saddr") if s.src_unknown => {
                Some(Val::unknown("the source after NAT"))
            }
            (Header::Ip | Header::Ip6, "saddr") => Some(Val::Num(bits(s.src))),
            (Header::Ip | Header::Ip6, "daddr") => Some(Val::Num(bits(s.dst))),
            (Header::Ip, "version") => num(4),
            (Header::Ip6, "version") => num(6),
            (Header::Ip, "hdrlength") => num(5),
            (Header::Ip | Header::Ip6, "dscp") => num(u32::from(s.tos >> 2)),
            (Header::Ip | Header::Ip6, "ecn") => num(u32::from(s.tos & 3)),
            (Header::Ip, "length") => num(s.length),
            (Header::Ip6, "length") => num(s.length.saturating_sub(40)),
            (Header::Ip, "frag-off") => num(0),
            (Header::Ip, "ttl") | (Header::Ip6, "hoplimit") => num(u32::from(s.ttl)),
            (Header::Ip, "protocol") | (Header::Ip6, "nexthdr") => num(u32::from(s.proto.0)),
            (Header::Tcp, "flags") => num(u32::from(s.flags.0)),
            (Header::Icmp | Header::Icmp6, "type") => match s.icmp {
                Some((ty, _)) => num(u32::from(ty)),
                None => Some(Val::unknown("the ICMP type")),
            },
            (Header::Icmp | Header::Icmp6, "code") => match s.icmp {
                Some((_, code)) => num(u32::from(code)),
                None => Some(Val::unknown("the ICMP code")),
            },
            (Header::Ether, _) => self.nft_ether(f.names.1),
            (_, "sport") => Some(self.nft_port(true)),
            (_, "dport") => Some(self.nft_port(false)),
            _ => Some(Val::unknown(format!("the packet's {name}"))),
        }
    }

    /// Whatever stands where ports would be is read as such (`nft_payload_eval`).
    fn nft_port(&self, source: bool) -> Val<'static> {
        let (p, noun) = if source {
            (self.skb.sport, "the source port")
        } else {
            (self.skb.dport, "the destination port")
        };
        if let Some(v) = Val::port(p, noun) {
            return v;
        }
        match self.skb.icmp {
            Some((ty, code)) if source => Val::Num(u128::from(ty) << 8 | u128::from(code)),
            _ => Val::unknown(format!(
                "what stands in the place of {noun} (protocol {})",
                self.skb.proto.0
            )),
        }
    }

    /// `meta iiftype ether` goes with these.
    fn nft_ether(&self, field: &str) -> Option<Val<'static>> {
        let dev = self.iif?;
        let ty = self.node.device(dev).link_type.as_deref();
        if ty.is_some_and(|t| t != "ether") {
            return None;
        }
        Some(match (field, self.skb.mac) {
            ("saddr", Some(m)) => Val::Num(m.iter().fold(0, |n, b| n << 8 | u128::from(*b))),
            ("type", _) => Val::Num(self.nft_ethertype()),
            _ => Val::unknown(format!("the frame's {field}")),
        })
    }

    fn nft_ethertype(&self) -> u128 {
        match self.family {
            Family::V4 => 0x0800,
            Family::V6 => 0x86dd,
        }
    }

    /// Bits that are a field under another name.
    fn nft_raw(&self, base: RawBase, offset: u32, len: u32) -> Option<Val<'static>> {
        let header = match (base, self.family) {
            (RawBase::Network, Family::V4) => Header::Ip,
            (RawBase::Network, Family::V6) => Header::Ip6,
            (RawBase::Transport, _) => match self.skb.proto {
                Proto::TCP => Header::Tcp,
                Proto::UDP => Header::Udp,
                Proto::ICMP => Header::Icmp,
                Proto::ICMPV6 => Header::Icmp6,
                _ => Header::Th,
            },
            (RawBase::Link, _) => Header::Ether,
            (RawBase::Inner, _) => return Some(Val::unknown("the payload")),
        };
        let same = |f: &&FieldDef| f.header == header && f.offset == offset && f.len == len;
        match FIELDS.iter().find(same) {
            Some(f) => self.nft_field(f),
            None => Some(Val::unknown(format!("the {len} bits at {offset}"))),
        }
    }

    fn nft_dev(&self, dev: Option<DevId>) -> Cow<'n, str> {
        dev.map_or(Cow::Borrowed(""), |d| {
            Cow::Owned(self.node.device(d).name.clone())
        })
    }

    /// `nft_meta_get_eval` (`net/netfilter/nft_meta.c`).
    fn nft_meta<'s>(&mut self, at: At<'s, 'n>, m: Meta) -> Option<Val<'s>>
    where
        'n: 's,
    {
        let num = |n: u32| Some(Val::Num(n.into()));
        // Devices as the hook knows them: none goes out before routing, none came in for what the node sends.
        let iif = match at.hook {
            Hook::Output | Hook::Postrouting if self.skb.local => None,
            _ => self.iif,
        };
        let oif = match at.hook {
            Hook::Prerouting | Hook::Input => None,
            _ => self.oif,
        };
        match m {
            Meta::Length => num(self.skb.length),
            Meta::Protocol => Some(Val::Num(self.nft_ethertype())),
            Meta::Nfproto => num(match self.family {
                Family::V4 => 2,
                Family::V6 => 10,
            }),
            Meta::L4proto => num(u32::from(self.skb.proto.0)),
            Meta::Mark => num(self.skb.mark),
            Meta::Iif | Meta::Iifname => Some(Val::Text(self.nft_dev(iif))),
            Meta::Oif | Meta::Oifname => Some(Val::Text(self.nft_dev(oif))),
            // The kernel takes the device that the packet is at (`NFT_META_IFTYPE`, since 5.17): behind routing the one it leaves by, and
            // none in OUTPUT.
            Meta::Iiftype => {
                let dev = if at.hook == Hook::Postrouting {
                    oif
                } else {
                    iif
                };
                Some(self.nft_iftype(dev?))
            }
            Meta::Oiftype => Some(self.nft_iftype(oif?)),
            Meta::Iifgroup => Some(self.nft_group(iif?)),
            Meta::Oifgroup => Some(self.nft_group(oif?)),
            Meta::Skuid => self.nft_owner(at, self.skb.uid, "user id"),
            Meta::Skgid => self.nft_owner(at, self.skb.gid, "group id"),
            // `nft_meta_get_eval_cgroup` asks the socket as well.
            Meta::Cgroup => self.nft_owner(at, None, "cgroup"),
            Meta::Rtclassid if self.nft_has_no_route(at) => None,
            Meta::Rtclassid => num(0),
            Meta::Pkttype => num(self.nft_pkttype()),
            Meta::Ibrname | Meta::Obrname => None,
            Meta::Sdif | Meta::Sdifname => None,
            Meta::Nftrace => num(0),
            Meta::Ipsec => {
                self.assume("the packet is not part of an IPsec tunnel");
                num(0)
            }
            Meta::Iifkind | Meta::Oifkind => {
                let dev = if m == Meta::Iifkind { iif } else { oif };
                let kind = dev.and_then(|d| self.node.device(d).kind.clone());
                kind.map(|k| Val::Text(Cow::Owned(k)))
            }
            Meta::Priority
            | Meta::Secmark
            | Meta::Cpu
            | Meta::Random
            | Meta::Time
            | Meta::Day
            | Meta::Hour => {
                let names = nfwhy_parsers::nft::expr::META;
                let name = names.iter().find(|(_, k, _)| *k == m).map_or("", |n| n.0);
                Some(Val::unknown(format!("meta {name}")))
            }
        }
    }

    fn nft_iftype(&self, dev: DevId) -> Val<'static> {
        let ty = self.node.device(dev).link_type.as_deref();
        // ARPHRD_* (include/uapi/linux/if_arp.h).
        match ty {
            Some("ether") => Val::Num(1),
            Some("loopback") => Val::Num(772),
            Some("ipip") => Val::Num(768),
            Some("tunnel6") => Val::Num(769),
            Some("sit") => Val::Num(776),
            Some("gre") => Val::Num(778),
            Some("none") => Val::Num(65534),
            _ => Val::unknown(format!("the type of {}", self.node.device(dev).name)),
        }
    }

    fn nft_group(&self, dev: DevId) -> Val<'static> {
        match self.node.device(dev).group.as_deref() {
            None | Some("default") => Val::Num(0),
            Some(g) => g.parse::<u32>().map_or_else(
                |_| Val::unknown(format!("the number of device group {g}")),
                |n| Val::Num(n.into()),
            ),
        }
    }

    /// Only what a socket of this node sends has an owner (`nft_meta_get_eval_skugid`), and not any more once it has been looped
    /// back (`skb_orphan` in `loopback_xmit`). In INPUT a packet may have found the socket that it is for (`tcp_v4_early_demux`).
    fn nft_owner(&self, at: At<'_, 'n>, id: Option<u32>, what: &str) -> Option<Val<'static>> {
        let known = |c: &Ct| c.state == CtState::Established;
        match at.hook {
            Hook::Output | Hook::Postrouting if self.skb.local => Some(id.map_or_else(
                || Val::unknown(format!("the sending process's {what}")),
                |n| Val::Num(n.into()),
            )),
            Hook::Input
                if matches!(self.skb.proto, Proto::TCP | Proto::UDP)
                    && self.ct.as_ref().is_some_and(known) =>
            {
                Some(Val::unknown(format!("the receiving process's {what}")))
            }
            _ => None,
        }
    }

    /// As `-m pkttype`; what the node sends is known by its destination (`nft_meta_get_eval_pkttype_lo`), but only where it has
    /// been looped back.
    fn nft_pkttype(&mut self) -> u32 {
        let dst = self.packet.dst;
        if self.packet.origin == Origin::Local {
            return 0;
        }
        if dst.is_multicast() {
            2
        } else {
            u32::from(self.addr_type4(dst, self.iif) == RouteType::Broadcast)
        }
    }

    /// `nft_ct_get_eval` (`net/netfilter/nft_ct.c`).
    fn nft_ct(&mut self, reply: Option<bool>, key: CtKey) -> Option<Val<'static>> {
        let num = |n: u128| Some(Val::Num(n));
        if key == CtKey::State {
            let state = self.ct.as_ref().map_or(CtState::Invalid, |c| c.state);
            return num(match state {
                CtState::Invalid => 1,
                CtState::Established => 2,
                CtState::Related => 4,
                CtState::New => 8,
                CtState::Untracked => 64,
            });
        }
        if matches!(
            key,
            CtKey::Direction
                | CtKey::Saddr
                | CtKey::Saddr4
                | CtKey::Saddr6
                | CtKey::Daddr
                | CtKey::Daddr4
                | CtKey::Daddr6
                | CtKey::ProtoSrc
                | CtKey::ProtoDst
        ) {
            self.settle_direction();
        }
        // INVALID and untracked packets have no connection, and what `CT` in raw asks of the connection to come is none (`nf_ct_is_template`;
        // kernels before 2026 read zeros there).
        let tracked = |s| !matches!(s, CtState::Invalid | CtState::Untracked);
        let ct = self
            .ct
            .as_ref()
            .filter(|c| tracked(c.state) && c.template.is_none())?;
        let entry = |noun: String| {
            Some(Val::Unknown(What {
                noun,
                missing: Some(Missing {
                    what: "conntrack entry".into(),
                    command: "conntrack -L".into(),
                }),
            }))
        };
        let way = if reply.unwrap_or(false) {
            ct.reply
        } else {
            ct.orig
        };
        match key {
            CtKey::State => None,
            CtKey::Direction => num(u128::from(ct.is_reply)),
            CtKey::Status => num(super::super::matches::ct_status(ct).into()),
            CtKey::Mark if ct.made_up => entry("the connection mark".into()),
            CtKey::Mark => num(ct.mark.into()),
            CtKey::L3proto => num(match self.family {
                Family::V4 => 2,
                Family::V6 => 10,
            }),
            CtKey::Saddr4 | CtKey::Daddr4 if self.family == Family::V6 => None,
            CtKey::Saddr6 | CtKey::Daddr6 if self.family == Family::V4 => None,
            CtKey::Saddr | CtKey::Saddr4 | CtKey::Saddr6 => num(bits(way.src)),
            CtKey::Daddr | CtKey::Daddr4 | CtKey::Daddr6 => num(bits(way.dst)),
            CtKey::Protocol => num(self.skb.proto.0.into()),
            CtKey::ProtoSrc => Val::port(way.sport, "the connection's source port").or_else(|| {
                Some(Val::unknown(
                    "what conntrack keeps in place of a source port",
                ))
            }),
            CtKey::ProtoDst => {
                Val::port(way.dport, "the connection's destination port").or_else(|| {
                    Some(Val::unknown(
                        "what conntrack keeps in place of a destination port",
                    ))
                })
            }
            CtKey::Zone => num(match reply {
                Some(true) => ct.zones.reply.into(),
                Some(false) => ct.zones.orig.into(),
                None => ct.zones.orig.max(ct.zones.reply).into(),
            }),
            // Without a helper, a label or a secmark these are not there.
            CtKey::Helper => ct.helper.clone().map(|h| Val::Text(Cow::Owned(h))),
            CtKey::Label if ct.at.is_none() => num(0),
            CtKey::Expiration
            | CtKey::Label
            | CtKey::Bytes
            | CtKey::Packets
            | CtKey::Avgpkt
            | CtKey::Event
            | CtKey::Secmark
            | CtKey::Id
            | CtKey::Count => entry(format!("the connection's {key:?}").to_lowercase()),
        }
    }
}

/// `nft_bitwise_eval`.
fn binary(op: BinOp, l: &Val<'_>, r: &Val<'_>) -> Val<'static> {
    match (l.num(), r.num()) {
        (Some(l), Some(r)) => {
            let by = u32::try_from(r).unwrap_or(128);
            Val::Num(match op {
                BinOp::And => l & r,
                BinOp::Or => l | r,
                BinOp::Xor => l ^ r,
                BinOp::Shl => l.checked_shl(by).unwrap_or(0),
                BinOp::Shr => l.checked_shr(by).unwrap_or(0),
            })
        }
        _ => match (l, r) {
            (Val::Unknown(w), _) | (_, Val::Unknown(w)) => Val::Unknown(What {
                noun: format!("{} ({op:?})", w.noun),
                missing: w.missing.clone(),
            }),
            _ => Val::unknown("a number that is drawn"),
        },
    }
}
