//! NAT: one source and one destination manip per connection (`net/netfilter/nf_nat_core.c`).

use super::chain::TargetVerdict;
use super::conntrack::{Ct, Tuple};
use super::run::{End, Flow, Run};
use crate::trace::{CtState, Effect, ForkKind, Hit, Hook, NatKind, Port, Reason, StepKind};
use nfwhy_parsers::Proto;
use nfwhy_parsers::common::{Masked, Range, bits};
use nfwhy_parsers::iptables::targets::Nat;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which end a hook manipulates: `HOOK2MANIP`.
fn is_source(hook: Hook) -> bool {
    matches!(hook, Hook::Postrouting | Hook::Input)
}

impl Run<'_, '_> {
    /// `nf_nat_inet_fn`.
    pub(super) fn nat_hook(&mut self, hook: Hook) -> Flow {
        let source = is_source(hook);
        let Some(ct) = &self.ct else { return Ok(()) };
        if matches!(ct.state, CtState::Invalid | CtState::Untracked) {
            return Ok(());
        }
        let done = if source { ct.src_done } else { ct.dst_done };
        if !done && matches!(ct.state, CtState::New | CtState::Related) {
            for (priority, func) in self.hooks.nat_at(hook) {
                self.run_func(hook, priority, func)?;
                let set_up = self
                    .ct
                    .as_ref()
                    .is_some_and(|ct| if source { ct.src_done } else { ct.dst_done });
                if set_up {
                    return Ok(());
                }
            }
            // The null binding: later nat chains of this manip do not run (`nf_nat_alloc_null_binding`).
            if let Some(ct) = &mut self.ct
                && self.hooks.has_nat()
            {
                if source {
                    ct.src_done = true;
                } else {
                    ct.dst_done = true;
                }
                if source {
                    self.leave_to_the_known();
                }
            }
        }
        // `nf_nat_oif_changed`: the address of one device is not for packets that leave by another. The connection is over.
        if let Some(ct) = &self.ct
            && hook == Hook::Postrouting
            && !ct.is_reply
            && let (Some(then), Some(now)) = (ct.masqueraded_on, self.oif)
            && then != now
        {
            return Err(End::dropped(Reason::MasqueradeElsewhere { then, now }));
        }
        self.translate(source);
        Ok(())
    }

    /// A null binding, too, makes the reply tuple unique, by another source port (`get_unique_tuple`).
    fn leave_to_the_known(&mut self) {
        let Some(ct) = &self.ct else { return };
        if ct.orig.sport.known().is_none() {
            return;
        }
        let Some(taken) = self.taken(ct.reply) else {
            return;
        };
        // UDP's answers to a flow that is not translated stay as they are (`nf_nat_used_tuple_new`, since Linux 6.12).
        let clashes = matches!(self.skb.proto, Proto::UDP | Proto::UDPLITE);
        if clashes && taken.reversed && !taken.translated {
            return;
        }
        if let Some(ct) = &mut self.ct {
            ct.reply.dport = another_port(ct.orig.sport);
            ct.src_nat = true;
        }
    }

    /// The source port with `addr`, where the one wanted is taken by a known connection: another of `ports`, those of the rule
    /// (`nf_nat_l4proto_unique_tuple`). A single one is kept.
    fn free_port(&self, addr: IpAddr, port: Port, ports: Option<Range<u16>>) -> Port {
        let Some(ct) = &self.ct else { return port };
        let mut new = ct.reply.inverted();
        (new.src, new.sport) = (addr, self.ct_port(port));
        if new.sport.known().is_none() || self.taken(new.inverted()).is_none() {
            return port;
        }
        match ports {
            None => another_port(port),
            Some(r) if r.lo == r.hi => port,
            Some(r) => Port::Random { lo: r.lo, hi: r.hi },
        }
    }

    /// `nf_nat_packet`: the packet as the connection says, for this manip.
    fn translate(&mut self, source: bool) {
        let Some(ct) = &self.ct else { return };
        // In the reply direction the bits are swapped.
        let on = match (source, ct.is_reply) {
            (true, false) | (false, true) => ct.src_nat,
            (false, false) | (true, true) => ct.dst_nat,
        };
        if !on {
            return;
        }
        let target = if ct.is_reply {
            ct.orig.inverted()
        } else {
            ct.reply.inverted()
        };
        let was_reply = ct.is_reply;
        let unknown = ct.src_unknown;
        let before = self.tuple();
        if source {
            self.skb.src = target.src;
            if target.sport != Port::None {
                self.skb.sport = target.sport;
            }
            self.skb.src_unknown = unknown && !was_reply;
        } else {
            self.skb.dst = target.dst;
            if target.dport != Port::None {
                self.skb.dport = target.dport;
            }
        }
        if self.tuple() == before {
            return;
        }
        let to = self.view();
        self.step(StepKind::Translate { source, to });
        if !was_reply {
            if source {
                self.note_snat(NatKind::Conntrack);
            } else {
                self.note_dnat(NatKind::Conntrack);
            }
        }
    }

    /// Sets up a manip and applies it: `nf_nat_setup_info`.
    fn set_up(
        &mut self,
        source: bool,
        addr: IpAddr,
        port: Port,
        kind: NatKind,
        hit: Hit,
        depth: usize,
    ) {
        let view_before = self.steps.len();
        self.hit(hit, depth, Effect::None);
        let Some(ct) = &self.ct else { return };
        let mut new: Tuple = ct.reply.inverted();
        if source {
            (new.src, new.sport) = (addr, self.ct_port(port));
        } else {
            (new.dst, new.dport) = (addr, self.ct_port(port));
        }
        // The port of a protocol of which conntrack knows none stays (`l4proto_manip_pkt`, net/netfilter/nf_nat_proto.c).
        let tracked = self.ct_port(port) != Port::None;
        let Some(ct) = &mut self.ct else { return };
        let changed = new != ct.reply.inverted();
        ct.reply = new.inverted();
        if source {
            ct.src_done = true;
            ct.src_nat |= changed;
            self.skb.src = addr;
            if tracked {
                self.skb.sport = port;
            }
        } else {
            ct.dst_done = true;
            ct.dst_nat |= changed;
            self.skb.dst = addr;
            if tracked {
                self.skb.dport = port;
            }
        }
        let to = self.view();
        if let Some(s) = self.steps.get_mut(view_before)
            && let StepKind::Hit { effect, .. } = &mut s.kind
        {
            *effect = Effect::Nat { kind, to };
        }
        if source {
            self.note_snat(kind);
        } else {
            self.note_dnat(kind);
        }
    }

    /// A ping's identifier is drawn anew where ports would be (`nf_nat_l4proto_unique_tuple`), which makes the connection a translated one
    /// though its addresses stay; that the same one is drawn is left aside.
    fn draw_id(&mut self, n: &Nat, source: bool) {
        if !matches!(self.skb.proto, Proto::ICMP | Proto::ICMPV6) || !(n.random || n.random_fully) {
            return;
        }
        if let Some(ct) = &mut self.ct {
            if source {
                ct.src_nat = true;
            } else {
                ct.dst_nat = true;
            }
        }
    }

    /// Whether the packet's connection can be set up; targets in other states let the packet go on
    /// (they are reached only through `nf_nat_inet_fn`, so this guards broken dumps).
    fn can_nat(&self) -> bool {
        self.ct
            .as_ref()
            .is_some_and(|ct| matches!(ct.state, CtState::New | CtState::Related))
    }

    fn ports_of(n: &Nat, current: Port, source: bool) -> Port {
        if current == Port::None {
            return Port::None;
        }
        let drawn = |r: Range<u16>| Port::Random { lo: r.lo, hi: r.hi };
        match (n.ports, n.base) {
            (Some(r), Some(base)) if r.lo != r.hi || base != 0 => {
                // `--to-destination a-b/base`: dport - base + min (NF_NAT_RANGE_PROTO_OFFSET).
                match current {
                    Port::Known(p) => {
                        let span = u32::from(r.hi) - u32::from(r.lo) + 1;
                        let off = u32::from(p.wrapping_sub(base)) % span;
                        Port::Known(r.lo.wrapping_add(u16::try_from(off).unwrap_or(0)))
                    }
                    _ => drawn(r),
                }
            }
            (Some(r), _) if r.lo == r.hi => Port::Known(r.lo),
            (Some(r), _) => match current {
                // `get_unique_tuple`: a port already in range is kept unless --random. Which one it is otherwise is drawn for
                // sources, and depends on the kernel's version for destinations.
                Port::Known(p) if r.contains(&p) && !n.random && !n.random_fully => current,
                _ => drawn(r),
            },
            (None, _) if source && (n.random || n.random_fully) => {
                // `nf_nat_l4proto_unique_tuple` stays among the ports of the same privilege.
                another_port(current)
            }
            (None, _) => current,
        }
    }

    /// One address of a range: forks over small ranges, else the choice is left open.
    fn address_of(&mut self, r: Range<IpAddr>, hit: Hit) -> Option<IpAddr> {
        let (lo, hi) = (bits(r.lo), bits(r.hi));
        if hi <= lo {
            return Some(r.lo);
        }
        let n = hi - lo + 1;
        if n > 256 {
            return None;
        }
        let n = usize::try_from(n).unwrap_or(1);
        self.assume("an address of a NAT range is picked by a hash of source and destination");
        let i = self.fork(ForkKind::NatRange(hit), &vec![1.0; n]);
        let x = lo + i as u128;
        Some(match r.lo {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(x).unwrap_or(0))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(x)),
        })
    }

    fn in_range(&self, r: Range<IpAddr>, addr: IpAddr) -> bool {
        if let Some(region) = self.watched(addr) {
            region.range(r.lo, r.hi);
        }
        r.contains(&addr)
    }

    fn too_wide(&self, hit: Hit) -> End {
        End::unknown(format!(
            "{} picks one of more than 256 addresses",
            self.place(hit)
        ))
    }

    /// `DNAT` and `SNAT`: addresses and ports as the rule says (`xt_nat_target_v2`).
    pub(super) fn nat_as_written<'r>(
        &mut self,
        n: &Nat,
        kind: NatKind,
        hit: Hit,
        depth: usize,
        hook: Hook,
    ) -> Flow<TargetVerdict<'r>> {
        let source = kind == NatKind::Snat;
        if !self.can_nat() || source != is_source(hook) {
            self.hit(hit, depth, Effect::None);
            return Ok(TargetVerdict::Continue);
        }
        let (addr, port) = if source {
            (self.skb.src, self.skb.sport)
        } else {
            (self.skb.dst, self.skb.dport)
        };
        let addr = match n.addrs {
            // `get_unique_tuple`: a source that is in the range already stays as it is.
            Some(r)
                if source && self.in_range(r, addr) && !n.random && !n.random_fully && {
                    let port = self.ct_port(port);
                    n.ports.is_none_or(|want| port.within(&want) == Some(true))
                } =>
            {
                addr
            }
            Some(r) => {
                let addr = self.address_of(r, hit).ok_or_else(|| self.too_wide(hit))?;
                self.enters(addr);
                addr
            }
            None => addr,
        };
        let mut port = Self::ports_of(n, port, source);
        if source {
            port = self.free_port(addr, port, n.ports);
        }
        self.set_up(source, addr, port, kind, hit, depth);
        self.draw_id(n, source);
        Ok(TargetVerdict::Nat)
    }

    pub(super) fn masquerade<'r>(
        &mut self,
        n: &Nat,
        hit: Hit,
        depth: usize,
    ) -> Flow<TargetVerdict<'r>> {
        let Some(out) = self.oif.filter(|_| self.can_nat()) else {
            self.hit(hit, depth, Effect::None);
            return Ok(TargetVerdict::Continue);
        };
        // "Source address is 0.0.0.0 - locally generated packet that is probably not supposed to be masqueraded"
        // (`nf_nat_masquerade_ipv4`, net/netfilter/nf_nat_masquerade.c).
        if self
            .ct
            .as_ref()
            .is_some_and(|ct| ct.orig.src.is_unspecified())
        {
            self.hit(hit, depth, Effect::Accept);
            return Ok(TargetVerdict::Accept);
        }
        let next_hop = self.gateway.unwrap_or(self.skb.dst);
        let port = Self::ports_of(n, self.skb.sport, true);
        if let Some(ct) = &mut self.ct {
            ct.masqueraded_on = Some(out);
        }
        match self.masquerade_address(out, next_hop) {
            super::masq::Found::Addr { addr, how, at } => {
                self.enters(addr);
                self.step(StepKind::Address {
                    addr: Some(addr),
                    how,
                    at,
                });
                let port = self.free_port(addr, port, n.ports);
                self.set_up(true, addr, port, NatKind::Masquerade, hit, depth);
                self.draw_id(n, true);
                Ok(TargetVerdict::Nat)
            }
            super::masq::Found::None => {
                self.hit(hit, depth, Effect::Drop);
                Err(End::dropped(Reason::NoMasqAddress(hit)))
            }
            super::masq::Found::NotCaptured(why) => {
                self.taint(why, "addresses of the devices", "ip -d addr");
                let src = self.skb.src;
                self.set_up(true, src, port, NatKind::Masquerade, hit, depth);
                self.skb.src_unknown = true;
                if let Some(ct) = &mut self.ct {
                    ct.src_nat = true;
                    ct.src_unknown = true;
                }
                self.note_snat(NatKind::Masquerade);
                Ok(TargetVerdict::Nat)
            }
        }
    }

    pub(super) fn redirect<'r>(
        &mut self,
        n: &Nat,
        hit: Hit,
        depth: usize,
        hook: Hook,
    ) -> Flow<TargetVerdict<'r>> {
        if !self.can_nat() || is_source(hook) {
            self.hit(hit, depth, Effect::None);
            return Ok(TargetVerdict::Continue);
        }
        let addr = if hook == Hook::Output {
            match self.family {
                nfwhy_parsers::Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                nfwhy_parsers::Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
            }
        } else if let Some(a) = self.redirect_address() {
            a
        } else {
            self.hit(hit, depth, Effect::Drop);
            return Err(End::dropped(Reason::NoRedirectAddress(hit)));
        };
        self.enters(addr);
        let port = Self::ports_of(n, self.skb.dport, false);
        self.set_up(false, addr, port, NatKind::Redirect, hit, depth);
        self.draw_id(n, false);
        Ok(TargetVerdict::Nat)
    }

    /// The network part is replaced (`xt_NETMAP.c`).
    pub(super) fn netmap<'r>(
        &mut self,
        m: Masked,
        hit: Hit,
        depth: usize,
        hook: Hook,
    ) -> TargetVerdict<'r> {
        if !self.can_nat() {
            self.hit(hit, depth, Effect::None);
            return TargetVerdict::Continue;
        }
        let map = |a: IpAddr| match (a, m.addr, m.mask) {
            (IpAddr::V4(a), IpAddr::V4(n), IpAddr::V4(k)) => {
                let (a, n, k) = (a.to_bits(), n.to_bits(), k.to_bits());
                IpAddr::V4(Ipv4Addr::from_bits(a ^ ((a ^ n) & k)))
            }
            (IpAddr::V6(a), IpAddr::V6(n), IpAddr::V6(k)) => {
                let (a, n, k) = (a.to_bits(), n.to_bits(), k.to_bits());
                IpAddr::V6(Ipv6Addr::from_bits(a ^ ((a ^ n) & k)))
            }
            (a, ..) => a,
        };
        if is_source(hook) {
            let a = map(self.skb.src);
            if let Some(r) = self.watched(self.skb.src) {
                r.alone();
            }
            self.enters(a);
            let p = self.free_port(a, self.skb.sport, None);
            self.set_up(true, a, p, NatKind::Netmap, hit, depth);
        } else {
            let (a, p) = (map(self.skb.dst), self.skb.dport);
            if let Some(r) = self.watched(self.skb.dst) {
                r.alone();
            }
            self.enters(a);
            self.set_up(false, a, p, NatKind::Netmap, hit, depth);
        }
        TargetVerdict::Nat
    }

    /// Raw's `NOTRACK`.
    pub(super) fn make_untracked(&mut self) {
        self.ct = Some(Ct::fresh(self.tuple(), CtState::Untracked));
        self.step(StepKind::Conntrack {
            state: CtState::Untracked,
            reply: false,
            at: None,
        });
    }
}

/// Another source port of the same range (`nf_nat_l4proto_unique_tuple`).
fn another_port(current: Port) -> Port {
    let (lo, hi) = match current {
        Port::Known(0..512) => (1, 511),
        Port::Known(512..1024) => (600, 1023),
        Port::Known(_) | Port::Ephemeral => (1024, 65535),
        _ => (1, 65535),
    };
    Port::Random { lo, hi }
}
