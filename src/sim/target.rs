//! What targets do.

use super::chain::TargetVerdict;
use super::run::{End, Flow, Run};
use crate::node::Table;
use crate::trace::{CtState, Effect, Hit, Hook, NatKind, Reason, Verdict};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::targets::{Connmark, TtlTarget};
use nfwhy_parsers::iptables::{Rule, Target};

impl<'n> Run<'_, 'n> {
    pub(super) fn run_target<'r>(
        &mut self,
        t: &Table<'n>,
        rule: &'r Rule<'n>,
        hit: Hit,
        hook: Hook,
        depth: usize,
    ) -> Flow<TargetVerdict<'r>> {
        let go_on = |me: &mut Self, effect| {
            me.hit(hit, depth, effect);
            Ok(TargetVerdict::Continue)
        };
        match &rule.target {
            Target::Continue { name, .. } => {
                if name == "TCPMSS" {
                    self.add_mss();
                }
                go_on(self, Effect::None)
            }
            Target::None => go_on(self, Effect::None),
            Target::Set(args) => {
                // add-set and del-set act at once: a later rule sees it (`set_target_v3` in net/netfilter/xt_set.c).
                let mut words = args.split_ascii_whitespace();
                while let Some(w) = words.next() {
                    if matches!(w, "--add-set" | "--del-set")
                        && let Some(name) = words.next()
                    {
                        self.changed_sets.insert(name.to_owned());
                    }
                }
                go_on(self, Effect::None)
            }
            Target::Accept => {
                self.hit(hit, depth, Effect::Accept);
                Ok(TargetVerdict::Accept)
            }
            Target::Drop => {
                self.hit(hit, depth, Effect::Drop);
                Err(End::dropped(Reason::Rule(hit)))
            }
            Target::Reject(_) => {
                self.hit(hit, depth, Effect::Reject);
                Err(End::rejected(Reason::Rule(hit)))
            }
            Target::Return => {
                self.hit(hit, depth, Effect::Return);
                Ok(TargetVerdict::Return)
            }
            Target::Queue | Target::Nfqueue { .. } => {
                self.hit(hit, depth, Effect::None);
                Err(End::new(Verdict::Queued, Reason::Rule(hit)))
            }
            Target::Jump(name) => {
                self.hit(hit, depth, Effect::Jump);
                Ok(TargetVerdict::Jump(name))
            }
            Target::Goto(name) => {
                self.hit(hit, depth, Effect::Jump);
                Ok(TargetVerdict::Goto(name))
            }
            Target::Mark(m) => {
                let new = (self.skb.mark & !m.mask) ^ m.value;
                // The hit shows the packet as it came to the rule.
                let at = self.steps.len();
                self.hit(hit, depth, Effect::None);
                let effect = self.set_mark(new, hit);
                if let Some(s) = self.steps.get_mut(at)
                    && let crate::trace::StepKind::Hit { effect: e, .. } = &mut s.kind
                {
                    *e = effect;
                }
                Ok(TargetVerdict::Continue)
            }
            Target::Connmark(c) => {
                // Untracked and INVALID packets have no connection: `connmark_tg` leaves them alone.
                let tracked = self
                    .ct
                    .as_ref()
                    .filter(|ct| !matches!(ct.state, CtState::Untracked | CtState::Invalid));
                let Some(old) = tracked.map(|ct| ct.mark) else {
                    return go_on(self, Effect::None);
                };
                match *c {
                    Connmark::Set(m) => {
                        let new = (old & !m.mask) ^ m.value;
                        self.set_connmark(new);
                        go_on(self, Effect::ConnMark { old, new })
                    }
                    // xt_connmark.c: newmark = (ct->mark & ~ctmask) ^ (skb->mark & nfmask).
                    Connmark::Save { nf, ct } => {
                        let new = (old & !ct) ^ (self.skb.mark & nf);
                        self.set_connmark(new);
                        go_on(self, Effect::ConnMark { old, new })
                    }
                    Connmark::Restore { nf, ct } => {
                        let before = self.skb.mark;
                        let new = (before & !nf) ^ (old & ct);
                        self.hit(hit, depth, Effect::Mark { old: before, new });
                        let _ = self.set_mark(new, hit);
                        Ok(TargetVerdict::Continue)
                    }
                }
            }
            Target::Ct(c) => {
                if self.ct.is_some() {
                    // Only before conntrack (raw) and only the first; later it does nothing (`xt_ct_target`: "Previously seen
                    // (loopback)? Ignore").
                    return go_on(self, Effect::None);
                }
                if c.notrack {
                    self.make_untracked();
                    return go_on(self, Effect::Notrack);
                }
                self.hang_template(c.zone.as_deref());
                if c.zone.is_some() {
                    self.assume(format!(
                        "no connection is known in the conntrack zone that {} sets",
                        self.node.place(t.rule_origin(hit.chain, hit.rule))
                    ));
                }
                go_on(self, Effect::None)
            }
            Target::Dnat(n) => self.nat_as_written(n, NatKind::Dnat, hit, depth, hook),
            Target::Redirect(n) => self.redirect(n, hit, depth, hook),
            Target::Snat(n) => self.nat_as_written(n, NatKind::Snat, hit, depth, hook),
            Target::Masquerade(n) => self.masquerade(n, hit, depth),
            Target::Netmap(m) => Ok(self.netmap(*m, hit, depth, hook)),
            Target::Tproxy { port, mark, .. } => {
                // Takes the packet if a transparent socket listens (xt_TPROXY.c); sockets are not in a snapshot.
                self.lacks("listening sockets", "ss -lntup");
                let place = self.node.place(t.rule_origin(hit.chain, hit.rule));
                let taken = self.fork_unknown(
                    crate::trace::ForkKind::UnknownMatch(hit),
                    &format!("tproxy {port}"),
                    true,
                    &format!("a transparent socket listens on port {port} ({place})"),
                    &format!("no transparent socket listens on port {port} ({place})"),
                );
                let old = self.skb.mark;
                if !taken {
                    // Without a socket the target drops.
                    self.hit(hit, depth, Effect::Drop);
                    return Err(End::dropped(Reason::Rule(hit)));
                }
                let new = (old & !mark.mask) ^ mark.value;
                self.hit(hit, depth, Effect::Mark { old, new });
                let _ = self.set_mark(new, hit);
                Ok(TargetVerdict::Accept)
            }
            Target::Dscp(d) => {
                self.skb.tos = (self.skb.tos & 3) + (d << 2);
                go_on(self, Effect::None)
            }
            Target::Tos(m) => {
                self.skb.tos = (self.skb.tos & !m.mask) ^ m.value;
                go_on(self, Effect::None)
            }
            Target::Ttl(change) => {
                self.skb.ttl = match *change {
                    TtlTarget::Set(n) => n,
                    TtlTarget::Inc(n) => self.skb.ttl.saturating_add(n),
                    TtlTarget::Dec(n) => self.skb.ttl.saturating_sub(n),
                };
                go_on(self, Effect::None)
            }
            Target::Opaque { name, .. } => {
                self.hit(hit, depth, Effect::None);
                Err(End::unknown(format!(
                    "{} has the target {name}, which is not simulated",
                    self.node.place(t.rule_origin(hit.chain, hit.rule))
                )))
            }
        }
    }

    /// TCPMSS puts its option into a header that has none, where no data follows (`tcpmss_mangle_packet`, `net/netfilter/xt_TCPMSS.c`);
    /// a packet as long as the plain headers is such a one, and longer by four bytes from here on. The rule is of TCP, else it does
    /// not load (`tcpmss_tg4_check`).
    fn add_mss(&mut self) {
        let headers = match self.family {
            Family::V4 => 20 + 20,
            Family::V6 => 40 + 20,
        };
        if self.skb.length == headers {
            self.skb.length += 4;
        }
    }

    pub(super) fn set_connmark(&mut self, new: u32) {
        if let Some(ct) = &mut self.ct
            && ct.state != CtState::Untracked
        {
            ct.mark = new;
        }
    }
}
