//! A rule's matches and statements, in order.

use super::super::chain::TargetVerdict;
use super::super::conntrack::Ct;
use super::super::matches::{Tri, Unknown};
use super::super::run::{End, Flow, Run};
use super::value::Val;
use super::{At, RuleEnd};
use crate::trace::{CtState, Effect, ForkKind, Reason, Step, StepKind, Verdict as End_};
use nfwhy_parsers::nft::expr::{CtKey, Meta};
use nfwhy_parsers::nft::fields::Header;
use nfwhy_parsers::nft::stmt::Reject;
use nfwhy_parsers::nft::{ElementData, Expr, Rule, Stmt, Verdict};
use nfwhy_parsers::{Family, Proto};

/// What a statement comes to.
pub(super) enum Next<'s> {
    /// On to the next one.
    On,
    Break,
    Verdict(TargetVerdict<'s>, Effect),
    /// A verdict, and the hit is recorded already.
    Done(TargetVerdict<'s>),
    /// The walk is over, with this effect of the rule.
    End(End, Effect),
}

impl<'n> Run<'_, 'n> {
    /// Evaluates a rule; a hit is recorded where it comes to its end.
    pub(super) fn nft_rule<'s>(&mut self, at: At<'s, 'n>, rule: &'s Rule<'n>) -> Flow<RuleEnd<'s>>
    where
        'n: 's,
    {
        if let Some(r) = self.region {
            r.at(Some(at.hit));
        }
        let begin = self.steps.len();
        let view = self.view();
        let mut effect = Effect::None;
        let record = |me: &mut Self, effect: Effect| {
            let kind = StepKind::Hit {
                hit: at.hit,
                depth: at.depth,
                effect,
            };
            // A fork that the rule made comes before it: the branches part there.
            let forks = me.steps[begin.min(me.steps.len())..]
                .iter()
                .rposition(|s| matches!(s.kind, StepKind::Fork { .. }));
            let place = forks.map_or(begin, |n| begin + n + 1);
            me.steps.insert(place, Step { view, kind });
        };
        let mut done = 0;
        for (i, stmt) in rule.stmts.iter().enumerate() {
            if i < done {
                continue;
            }
            let joined = self.nft_joined(at, rule.stmts.get(i..).unwrap_or_default())?;
            let next = match joined {
                Some(true) => {
                    done = i + 2;
                    continue;
                }
                Some(false) => Next::Break,
                None => self.nft_stmt(at, stmt, &rule.stmts[i + 1..], &mut effect)?,
            };
            match next {
                Next::On => {}
                Next::Break => {
                    // What stands behind the counter fails after the packet was counted.
                    let counter = |s: &Stmt<'_>| matches!(s, Stmt::Counter(_));
                    if rule.stmts.iter().take(i).any(counter) {
                        record(self, effect);
                    } else {
                        self.nft_miss(at, i);
                    }
                    return Ok(RuleEnd::Break);
                }
                Next::Verdict(v, e) => {
                    let e = if e == Effect::None || e == Effect::Jump && effect != Effect::None {
                        effect
                    } else {
                        e
                    };
                    record(self, e);
                    return Ok(RuleEnd::Verdict(v));
                }
                Next::Done(v) => return Ok(RuleEnd::Verdict(v)),
                Next::End(end, e) => {
                    record(self, e);
                    return Err(end);
                }
            }
        }
        record(self, effect);
        Ok(RuleEnd::Continue)
    }

    fn nft_miss(&mut self, at: At<'_, 'n>, by: usize) {
        if self.what_if.note_misses {
            self.misses.push(crate::trace::Miss {
                hit: at.hit,
                by: Some(by),
            });
        }
    }

    pub(super) fn nft_stmt<'s>(
        &mut self,
        at: At<'s, 'n>,
        stmt: &'s Stmt<'n>,
        later: &'s [Stmt<'n>],
        effect: &mut Effect,
    ) -> Flow<Next<'s>>
    where
        'n: 's,
    {
        Ok(match stmt {
            Stmt::Match { left, op, right } => {
                let fits = match self.nft_compare(at, left, *op, right)? {
                    Tri::Yes => true,
                    Tri::No => false,
                    // An unknown beside a certain "no" is no fork.
                    Tri::Unknown(u) => !self.nft_surely_not(at, later)? && self.ask(at.hit, &u),
                };
                if fits { Next::On } else { Next::Break }
            }
            Stmt::Verdict(v) => verdict(at, v),
            Stmt::Vmap { key, map } => {
                let Some(key) = self.nft_eval(at, key)? else {
                    return Ok(Next::Break);
                };
                match self.nft_find(at, &key, map)?.map(|e| &e.data) {
                    Some(Some(ElementData::Verdict(v))) => verdict(at, v),
                    _ => Next::Break,
                }
            }
            Stmt::Counter(_) | Stmt::Log(_) | Stmt::Aside(_) | Stmt::Flow(_) => Next::On,
            Stmt::Named(kind, name) => match kind.as_ref() {
                "counter" => Next::On,
                "limit" | "quota" => {
                    self.assume(format!("the {kind} {name} is not used up"));
                    Next::On
                }
                _ => self.nft_not_simulated(at, &format!("{kind} name {name}")),
            },
            Stmt::Set { key, value } => self.nft_set(at, key, value, effect)?,
            Stmt::Nat(n) => match self.nft_nat(at, n)? {
                Some(v) => Next::Done(v),
                None => Next::On,
            },
            Stmt::Tproxy(_, port) => self.nft_tproxy(at, port.as_ref())?,
            Stmt::Notrack => {
                // "Previously seen (loopback or untracked)? Ignore." (`nft_notrack_eval`) An INVALID packet has no connection either.
                let none = |ct: &Ct| ct.state == CtState::Invalid && ct.template.is_none();
                if self.ct.as_ref().is_none_or(none) {
                    self.make_untracked();
                    *effect = Effect::Notrack;
                }
                Next::On
            }
            Stmt::Reject(r) => {
                let there = match r {
                    Reject::Default | Reject::Icmpx(_) => true,
                    Reject::Icmp(_) => self.family == Family::V4,
                    Reject::Icmpv6(_) => self.family == Family::V6,
                    Reject::TcpReset => self.skb.proto == Proto::TCP,
                };
                if there {
                    Next::End(End::rejected(Reason::Rule(at.hit)), Effect::Reject)
                } else {
                    Next::Break
                }
            }
            Stmt::Queue(_) => Next::End(End::new(End_::Queued, Reason::Rule(at.hit)), Effect::None),
            Stmt::Update(u) => self.nft_update(at, u)?,
            Stmt::Limit(l) => {
                // Of a rule that only logs nothing depends.
                let only_logs = |s: &Stmt<'_>| matches!(s, Stmt::Log(_) | Stmt::Counter(_));
                if !later.iter().all(only_logs) {
                    self.assume(format!(
                        "the limit at {} is not used up",
                        self.place(at.hit)
                    ));
                }
                let within = if l.bytes {
                    let key = format!("limit {:?} {}", at.hit, later.len());
                    let times = self.passed.entry(key).or_default();
                    *times = times.saturating_add(1);
                    let seen = u64::from(*times) * u64::from(self.skb.length);
                    seen <= l.rate.saturating_add(l.burst)
                } else {
                    let burst = u32::try_from(l.burst).unwrap_or(u32::MAX);
                    // A rule may have several.
                    let key = format!("limit {:?} {}", at.hit, later.len());
                    self.passes(key, burst)
                };
                if within == l.over {
                    Next::Break
                } else {
                    Next::On
                }
            }
            Stmt::Quota { over, bytes, used } => {
                if used.is_none() {
                    self.assume("the quota is not used up".to_owned());
                }
                // `nft_overquota` (net/netfilter/nft_quota.c).
                let key = format!("quota {:?} {}", at.hit, later.len());
                let times = self.passed.entry(key).or_default();
                *times = times.saturating_add(1);
                let seen = u64::from(*times) * u64::from(self.skb.length);
                let have = used.unwrap_or(0).saturating_add(seen);
                if (have >= *bytes) == *over {
                    Next::On
                } else {
                    Next::Break
                }
            }
            Stmt::Connlimit { over, count } => {
                self.assume("this is the only connection that ct count counts".to_owned());
                // A packet that comes by again within one tick is counted again (`__nf_conncount_add`: `last_gc`).
                let key = format!("ct count {:?} {}", at.hit, later.len());
                let within = self.passes(key, *count);
                if within == *over {
                    Next::Break
                } else {
                    Next::On
                }
            }
            Stmt::Xt(kind, name) => {
                if kind == "match" {
                    let what = format!(
                        "the {name} match at {} fits (nft does not print its options)",
                        self.place(at.hit)
                    );
                    self.lacks(
                        format!("the options of {name} at {}", self.place(at.hit)),
                        "iptables-save",
                    );
                    let u = Unknown {
                        yes: what.clone(),
                        no: format!("not: {what}"),
                        fact: what,
                        not: false,
                        missing: None,
                    };
                    if !self.nft_surely_not(at, later)? && self.ask(at.hit, &u) {
                        Next::On
                    } else {
                        Next::Break
                    }
                } else {
                    self.lacks(
                        format!("the options of {name} at {}", self.place(at.hit)),
                        "iptables-save",
                    );
                    self.nft_not_simulated(
                        at,
                        &format!("the target {name}, whose options nft does not print"),
                    )
                }
            }
            Stmt::Opaque(text) => {
                let what = format!("`{text}` at {} matches", self.place(at.hit));
                let u = Unknown {
                    yes: what.clone(),
                    no: format!("not: {what}"),
                    fact: what,
                    not: false,
                    missing: None,
                };
                if self.ask(at.hit, &u) {
                    self.nft_not_simulated(at, &format!("`{text}`"))
                } else {
                    Next::Break
                }
            }
        })
    }

    fn nft_not_simulated<'s>(&self, at: At<'_, 'n>, what: &str) -> Next<'s> {
        Next::End(
            End::unknown(format!(
                "{} has {what}, which is not simulated",
                self.place(at.hit)
            )),
            Effect::None,
        )
    }

    /// `meta mark set ...` and the like.
    fn nft_set<'s>(
        &mut self,
        at: At<'s, 'n>,
        key: &'s Expr<'n>,
        value: &'s Expr<'n>,
        effect: &mut Effect,
    ) -> Flow<Next<'s>>
    where
        'n: 's,
    {
        // In a table of both families a field of the other one is no such thing.
        if matches!(key, Expr::Payload(f) if !self.nft_has(f.header)) {
            return Ok(Next::Break);
        }
        let Some(val) = self.nft_eval(at, value)? else {
            return Ok(Next::Break);
        };
        let known = match &val {
            Val::Num(n) => Some(*n),
            _ => None,
        };
        let low = |n: u128| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
        let byte = |n: u128| u8::try_from(n & 0xff).unwrap_or(0);
        match (key, known) {
            (Expr::Meta(Meta::Mark), Some(n)) => *effect = self.set_mark(low(n), at.hit),
            (
                Expr::Ct {
                    key: CtKey::Mark, ..
                },
                Some(n),
            ) => {
                let old = self
                    .ct
                    .as_ref()
                    .filter(|c| is_tracked(c) && c.template.is_none());
                if let Some(old) = old.map(|c| c.mark) {
                    self.set_connmark(low(n));
                    *effect = Effect::ConnMark { old, new: low(n) };
                }
            }
            (
                Expr::Ct {
                    key: CtKey::Zone,
                    reply,
                },
                Some(n),
            ) if !self.ct.as_ref().is_some_and(is_tracked) => {
                let option = match reply {
                    None => "--zone",
                    Some(false) => "--zone-orig",
                    Some(true) => "--zone-reply",
                };
                self.hang_template(Some(&format!("{option} {n}")));
                self.assume(format!(
                    "no connection is known in the conntrack zone that {} sets",
                    self.place(at.hit)
                ));
            }
            (Expr::Payload(f), Some(n)) => match (f.header, f.names.1) {
                (Header::Ip | Header::Ip6, "dscp") => {
                    self.skb.tos = (self.skb.tos & 3) | byte(n) << 2;
                }
                (Header::Ip | Header::Ip6, "ecn") => {
                    self.skb.tos = (self.skb.tos & !3) | (byte(n) & 3);
                }
                (Header::Ip, "ttl") | (Header::Ip6, "hoplimit") => self.skb.ttl = byte(n),
                (Header::Ip | Header::Ip6, "saddr") => {
                    if let Some(a) = super::nat::address(self.family, n) {
                        self.enters(a);
                        self.skb.src = a;
                    }
                }
                (Header::Ip | Header::Ip6, "daddr") => {
                    if let Some(a) = super::nat::address(self.family, n) {
                        self.enters(a);
                        self.skb.dst = a;
                    }
                }
                (_, "sport") if self.skb.proto.has_ports() => {
                    self.skb.sport = crate::trace::Port::Known(u16::try_from(n).unwrap_or(0));
                }
                (_, "dport") if self.skb.proto.has_ports() => {
                    self.skb.dport = crate::trace::Port::Known(u16::try_from(n).unwrap_or(0));
                }
                _ => {}
            },
            (
                Expr::Meta(Meta::Mark)
                | Expr::Ct {
                    key: CtKey::Mark | CtKey::Zone,
                    ..
                }
                | Expr::Payload(_),
                None,
            ) => {
                return Ok(self.nft_not_simulated(at, "a value that is not known"));
            }
            // Priority, packet type, trace flag, labels: nothing on the way asks for them again but what is unknown there anyway.
            _ => {}
        }
        Ok(Next::On)
    }

    /// Takes the packet where a transparent socket listens, else the rule does not match (`nft_tproxy_eval_v4`).
    fn nft_tproxy<'s>(&mut self, at: At<'s, 'n>, port: Option<&'s Expr<'n>>) -> Flow<Next<'s>>
    where
        'n: 's,
    {
        if !matches!(self.skb.proto, Proto::TCP | Proto::UDP) {
            return Ok(Next::Break);
        }
        let port = match port {
            None => None,
            Some(e) => self.nft_eval(at, e)?.and_then(|v| v.num()),
        };
        let port = port.map_or_else(|| "the packet's port".to_owned(), |p| format!("port {p}"));
        self.lacks("listening sockets", "ss -lntup");
        let place = self.place(at.hit);
        let taken = self.fork_unknown(
            ForkKind::UnknownMatch(at.hit),
            &format!("tproxy {port}"),
            true,
            &format!("a transparent socket listens on {port} ({place})"),
            &format!("no transparent socket listens on {port} ({place})"),
        );
        Ok(if taken { Next::On } else { Next::Break })
    }
}

fn verdict<'s>(at: At<'s, '_>, v: &'s Verdict<'_>) -> Next<'s> {
    match v {
        Verdict::Accept => Next::Verdict(TargetVerdict::Accept, Effect::Accept),
        Verdict::Drop => Next::End(End::dropped(Reason::Rule(at.hit)), Effect::Drop),
        Verdict::Continue => Next::Verdict(TargetVerdict::Continue, Effect::None),
        Verdict::Return => Next::Verdict(TargetVerdict::Return, Effect::Return),
        Verdict::Jump(to) => Next::Verdict(TargetVerdict::Jump(to), Effect::Jump),
        Verdict::Goto(to) => Next::Verdict(TargetVerdict::Goto(to), Effect::Jump),
        Verdict::Queue => Next::End(End::new(End_::Queued, Reason::Rule(at.hit)), Effect::None),
    }
}

/// Whether the packet points at a connection or at a template; one that raw made untracked does not, so that `ct zone set` has it tracked after
/// all (`nft_ct_set_zone_eval` in `net/netfilter/nft_ct.c`), where iptables' `CT` leaves it (`xt_ct_target`).
fn is_tracked(ct: &Ct) -> bool {
    !matches!(ct.state, CtState::Untracked | CtState::Invalid)
}
