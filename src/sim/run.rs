//! One walk of one packet: its state, and how it ends.

use super::choices::Choices;
use super::conntrack::{Conn, Ct};
use super::hooks::Hooks;
use crate::node::{DevId, Node, TableKind, TableView};
use crate::trace::{
    Branch, Effect, ForkKind, Hit, Miss, Missing, NatKind, Origin, Out, Outcome, Packet, Port,
    Reason, Rewrite, Step, StepKind, TcpFlags, Verdict, View,
};
use nfwhy_parsers::common::bits;
use nfwhy_parsers::nft::Form;
use nfwhy_parsers::{Family, Proto};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// The packet as it is now (the fields of an skb that matter here).
#[derive(Clone, Debug)]
pub(super) struct Skb {
    pub src: IpAddr,
    /// NAT chose a source that cannot be told; `src` is then the one before.
    pub src_unknown: bool,
    pub dst: IpAddr,
    pub proto: Proto,
    pub sport: Port,
    pub dport: Port,
    pub icmp: Option<(u8, u8)>,
    pub mark: u32,
    pub tos: u8,
    pub ttl: u8,
    pub flags: TcpFlags,
    pub length: u32,
    pub mac: Option<[u8; 6]>,
    /// A socket of this node sent it.
    pub local: bool,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Set by IPVS: its hooks leave the packet alone.
    pub ipvs: bool,
}

/// A walk is over.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub verdict: Verdict,
    pub reason: Reason,
}

impl End {
    pub(super) fn new(verdict: Verdict, reason: Reason) -> Self {
        Self { verdict, reason }
    }

    pub(super) fn dropped(reason: Reason) -> Self {
        Self::new(Verdict::Dropped, reason)
    }

    pub(super) fn rejected(reason: Reason) -> Self {
        Self::new(Verdict::Rejected, reason)
    }

    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::new(Verdict::Unknown, Reason::Unknown(why.into()))
    }
}

/// Either goes on or is over.
pub(super) type Flow<T = ()> = Result<T, End>;

pub(super) struct Run<'s, 'n> {
    pub node: &'s Node<'n>,
    pub packet: &'s Packet,
    pub what_if: &'s super::WhatIf,
    /// What is watched, and what is left around it.
    pub region: Option<&'s super::Region>,
    pub choices: &'s mut Choices,
    pub hooks: Hooks,
    pub family: Family,
    pub skb: Skb,
    pub ct: Option<Ct>,
    pub iif: Option<DevId>,
    pub oif: Option<DevId>,
    /// The port of a bridge that it came in by, where that is known.
    pub port: Option<DevId>,
    /// It goes from port to port of a bridge.
    pub bridged: bool,
    /// Gateway of the current output route.
    pub gateway: Option<IpAddr>,
    pub first_src: Option<IpAddr>,
    pub steps: Vec<Step>,
    pub assumptions: Vec<String>,
    pub missing: Vec<Missing>,
    /// What is missing for the fork that comes next.
    pub wanted: Vec<usize>,
    pub branches: Vec<Branch>,
    pub facts: HashMap<String, bool>,
    pub probability: Option<f64>,
    /// No unknown was taken for what it is not to be expected to be.
    pub expected: bool,
    /// Entries of `recent` lists made by this packet.
    pub recent: HashSet<(String, IpAddr)>,
    /// How often this packet passed each limit.
    pub passed: HashMap<String, u32>,
    /// Sets that a rule has changed on the way.
    pub changed_sets: HashSet<String>,
    /// Elements that this packet put into sets of nftables.
    pub nft_changed: HashMap<String, super::nft::Changed>,
    pub tested: u64,
    pub misses: Vec<Miss>,
    pub dnat: Option<Rewrite>,
    pub snat: Option<Rewrite>,
    pub served: Option<crate::trace::Served>,
    /// The connection that Calico's programs made of it.
    pub calico: Option<super::ServiceConn>,
    pub masq_mark: bool,
    /// Passing a tunnel's outer packet: its rewrites are not the packet's.
    pub outer: bool,
    pub delivered: Option<View>,
    pub out: Option<Out>,
    /// The outer packet that left.
    pub envelope: Option<crate::trace::Envelope>,
    /// The connection by which IPVS sent the packet on.
    pub ipvs_conn: Option<super::conntrack::IpvsConn>,
    /// The route that a hook gave the packet, for whoever called the hook.
    pub rerouted: Option<super::path::Dst>,
}

impl<'s, 'n> Run<'s, 'n> {
    pub(super) fn new(
        node: &'s Node<'n>,
        packet: &'s Packet,
        what_if: &'s super::WhatIf,
        choices: &'s mut Choices,
    ) -> Self {
        let family = packet.family();
        let skb = Skb {
            src: packet.src.unwrap_or(family.unspecified()),
            src_unknown: false,
            dst: packet.dst,
            proto: packet.proto,
            sport: packet.sport,
            dport: packet.dport,
            icmp: packet.icmp,
            mark: packet.mark,
            tos: packet.tos,
            ttl: packet.ttl,
            flags: packet.flags,
            length: packet.length,
            mac: packet.mac,
            local: packet.origin == Origin::Local && what_if.tunnel.is_none(),
            uid: packet.uid,
            gid: packet.gid,
            ipvs: false,
        };
        let region = what_if.region.as_deref();
        if let Some(r) = region {
            r.begins(packet);
        }
        Self {
            node,
            packet,
            what_if,
            region,
            choices,
            hooks: Hooks::new(node, family),
            family,
            skb,
            ct: None,
            iif: match packet.origin {
                Origin::Device(d) => Some(d),
                Origin::Local => None,
            },
            oif: None,
            port: None,
            bridged: false,
            gateway: None,
            first_src: packet.src,
            steps: Vec::new(),
            assumptions: Vec::new(),
            missing: Vec::new(),
            wanted: Vec::new(),
            branches: Vec::new(),
            facts: HashMap::new(),
            probability: Some(1.0),
            expected: true,
            recent: HashSet::new(),
            passed: HashMap::new(),
            changed_sets: HashSet::new(),
            nft_changed: HashMap::new(),
            tested: 0,
            misses: Vec::new(),
            dnat: None,
            snat: None,
            served: None,
            calico: packet.calico.conn.clone(),
            masq_mark: false,
            outer: false,
            delivered: None,
            out: None,
            envelope: None,
            ipvs_conn: None,
            rerouted: None,
        }
    }

    /// Walks to the end.
    pub(super) fn walk(mut self) -> Outcome {
        self.note_uncaptured();
        let end = match self.path() {
            Err(end) => end,
            Ok(()) => End::unknown("the walk did not end"),
        };
        let delivered = match end.verdict {
            Verdict::Forwarded | Verdict::Local => self.delivered.or(Some(self.view())),
            _ => None,
        };
        let client_ip_kept = delivered.map(|d| match (d.src, self.first_src) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        });
        let (mark, tos, ttl) = (self.skb.mark, self.skb.tos, self.skb.ttl);
        // conntrack keeps no connection whose first packet did not get through; IPVS does. One that leaves by another device than it was
        // masqueraded for is killed (`nf_nat_inet_fn`).
        let ended = matches!(end.verdict, Verdict::Dropped | Verdict::Rejected);
        let kept = |ct: &&Ct| ct.confirmed || ct.ipvs.is_some() || !ended;
        let killed = matches!(end.reason, Reason::MasqueradeElsewhere { .. });
        let conn = self
            .ct
            .as_ref()
            .filter(|ct| kept(ct) && (!killed || ct.ipvs.is_some()));
        let conn = conn.and_then(|ct| Conn::of(ct, self.packet));
        let mut steps = self.steps;
        steps.shrink_to_fit();
        Outcome {
            probability: self.probability,
            expected: self.expected,
            verdict: end.verdict,
            reason: end.reason,
            delivered,
            dnat: self.dnat,
            snat: self.snat,
            client_ip_kept,
            served: self.served,
            masq_mark: self.masq_mark,
            out: match end.verdict {
                Verdict::Forwarded => self.out,
                _ => None,
            },
            mark,
            tos,
            ttl,
            envelope: self.envelope,
            assumptions: self.assumptions,
            missing: self.missing,
            branches: self.branches,
            steps,
            tested: self.tested,
            conn,
            calico: if ended { None } else { self.calico },
            misses: self.misses,
        }
    }

    /// The packet as it is now.
    pub(super) fn view(&self) -> View {
        View {
            src: (!self.skb.src_unknown).then_some(self.skb.src),
            sport: self.skb.sport,
            dst: self.skb.dst,
            dport: self.skb.dport,
            proto: self.skb.proto,
            mark: self.skb.mark,
            iif: self.iif,
            oif: self.oif,
        }
    }

    pub(super) fn step(&mut self, kind: StepKind) {
        let view = self.view();
        // What was wanted for something that did not fork is wanted for its own sake.
        self.wanted.clear();
        self.steps.push(Step { view, kind });
    }

    pub(super) fn hit(&mut self, hit: Hit, depth: usize, effect: Effect) {
        self.assumed_rule(hit);
        self.step(StepKind::Hit { hit, depth, effect });
    }

    /// A rule that a filter left out and that its owner always writes.
    fn assumed_rule(&mut self, hit: Hit) {
        let node = self.node;
        if node.assumed.is_empty() {
            return;
        }
        let Some(t) = node.netfilter.tables.get(hit.table) else {
            return;
        };
        let at = t.rule_origin(hit.chain, hit.rule);
        if !node
            .assumed
            .iter()
            .any(|a| a.file == at.file && at.line >= a.line)
        {
            return;
        }
        let chain = t.chains.get(hit.chain.0 as usize).map_or("?", |c| &c.name);
        let cmd = match t.family {
            Family::V4 => "iptables-save",
            Family::V6 => "ip6tables-save",
        };
        self.taint(
            format!("chain {chain} has the rule that kube-proxy always writes there (not shown)"),
            &format!("chain {chain} of table {}", t.kind.name()),
            cmd,
        );
    }

    pub(super) fn assume(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.assumptions.contains(&what) {
            self.assumptions.push(what);
        }
    }

    pub(super) fn lacks(&mut self, what: impl Into<String>, command: impl Into<String>) {
        let m = Missing {
            what: what.into(),
            command: command.into(),
        };
        let at = self.missing.iter().position(|o| *o == m);
        let at = at.unwrap_or_else(|| {
            self.missing.push(m);
            self.missing.len() - 1
        });
        self.wanted.push(at);
    }

    /// Where a rule stands, as `file:line`.
    pub(super) fn place(&self, hit: Hit) -> String {
        let t = self.node.netfilter.view(hit.table);
        t.map_or_else(String::new, |t| {
            let place = self.node.place(t.rule_origin(hit.chain, hit.rule));
            match t {
                // JSON may stand on one line as a whole.
                TableView::Nft(n) if n.form == Form::Json => {
                    let chain = t.chain_name(hit.chain);
                    format!("{place} ({} {chain}, rule {})", t.name(), hit.rule + 1)
                }
                _ => place,
            }
        })
    }

    /// The rest of this walk rests on something unknown, though it goes on as if it were as assumed.
    pub(super) fn taint(&mut self, assumption: impl Into<String>, what: &str, command: &str) {
        self.assume(assumption);
        self.lacks(what, command);
        self.wanted.clear();
        self.probability = None;
    }

    /// Takes one of several branches whose probabilities are known; those of probability 0 are left out by the caller.
    pub(super) fn fork(&mut self, what: ForkKind, weights: &[f64]) -> usize {
        let live: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
        match live.as_slice() {
            [] => return 0,
            [one] => return *one,
            _ => {}
        }
        let Some(&taken) = live.get(self.choices.choose(live.len())) else {
            return 0;
        };
        let total: f64 = weights.iter().sum();
        let p = weights[taken] / total;
        self.probability = self.probability.map(|q| q * p);
        self.branches.push(Branch {
            over: 0,
            taken,
            probability: Some(p),
            told_by: Vec::new(),
        });
        self.step(StepKind::Fork {
            what,
            taken,
            probability: Some(p),
        });
        taken
    }

    /// Takes both sides of something unknown; the same question is answered the same way all along a walk.
    pub(super) fn fork_unknown(
        &mut self,
        what: ForkKind,
        fact: &str,
        likely: bool,
        if_yes: &str,
        if_no: &str,
    ) -> bool {
        let told_by = std::mem::take(&mut self.wanted);
        if let Some(known) = self.facts.get(fact) {
            return *known;
        }
        let convention = self.convention(fact);
        let likely = convention.map_or(likely, |(side, _)| side);
        let taken = self.choices.choose(2);
        let yes = (taken == 0) == likely;
        let mut over = std::hash::DefaultHasher::new();
        fact.hash(&mut over);
        self.branches.push(Branch {
            over: over.finish(),
            taken: usize::from(!yes),
            probability: None,
            told_by,
        });
        self.facts.insert(fact.to_owned(), yes);
        self.probability = None;
        let assumption = if yes { if_yes } else { if_no };
        match convention {
            Some((side, why)) if side == yes => self.assume(format!("{assumption}; {why}")),
            Some(_) => {
                self.expected = false;
                self.assume(assumption);
            }
            None => self.assume(assumption),
        }
        self.step(StepKind::Fork {
            what,
            taken,
            probability: None,
        });
        yes
    }

    /// Changes the mark and notes whether a masquerade mark came with it.
    pub(super) fn set_mark(&mut self, new: u32, hit: Hit) -> Effect {
        let old = self.skb.mark;
        self.skb.mark = new;
        if !self.outer && new & !old != 0 && self.marks_for_masquerade(hit) {
            self.masq_mark = true;
        }
        Effect::Mark { old, new }
    }

    /// kube-proxy and the portmap plugin mark in chains of their own, whatever bit is configured.
    fn marks_for_masquerade(&self, hit: Hit) -> bool {
        let Some(t) = self.node.netfilter.view(hit.table) else {
            return false;
        };
        let name = t.chain_name(hit.chain);
        name.contains("MARK-MASQ")
            || name.ends_with("HOSTPORT-SETMARK")
            || name == "mark-for-masquerade"
    }

    pub(super) fn note_dnat(&mut self, by: NatKind) {
        if self.outer {
            return;
        }
        self.dnat = Some(Rewrite {
            ip: Some(self.skb.dst),
            port: self.skb.dport.known(),
            by,
        });
    }

    pub(super) fn note_snat(&mut self, by: NatKind) {
        if self.outer {
            return;
        }
        self.snat = Some(Rewrite {
            ip: (!self.skb.src_unknown).then_some(self.skb.src),
            port: self.skb.sport.known(),
            by,
        });
    }

    /// What was not captured at all and bears on every path.
    fn note_uncaptured(&mut self) {
        let c = self.node.captured;
        let (ipt, route, rule, addr) = match self.family {
            Family::V4 => (c.iptables4, c.route4, c.rule4, c.addr4),
            Family::V6 => (c.iptables6, c.route6, c.rule6, c.addr6),
        };
        let v6 = self.family == Family::V6;
        if !ipt && !c.nft {
            let (what, cmd) = if v6 {
                ("IPv6 netfilter rules", "ip6tables-save")
            } else {
                ("netfilter rules", "iptables-save")
            };
            self.taint("no netfilter rules (none were captured)", what, cmd);
            self.lacks("nftables rules", "nft list ruleset");
        }
        let unseen = if v6 {
            c.legacy_unseen6.then_some("ip6tables-legacy-save")
        } else {
            c.legacy_unseen4.then_some("iptables-legacy-save")
        };
        if let Some(cmd) = unseen {
            self.taint(
                "the tables of iptables-legacy change nothing",
                "tables of iptables-legacy",
                cmd,
            );
        }
        if self.tables_in_part() {
            let shown = |kind| {
                let mut tables = self.node.netfilter.tables.iter();
                tables.any(|t| t.family == self.family && t.kind == kind)
            };
            let hidden: Vec<&str> = [
                TableKind::Raw,
                TableKind::Mangle,
                TableKind::Nat,
                TableKind::Filter,
            ]
            .into_iter()
            .filter(|k| !shown(*k))
            .map(TableKind::name)
            .collect();
            if !hidden.is_empty() {
                let list = hidden.join(", ");
                let cmd = if v6 {
                    "ip6tables-save"
                } else {
                    "iptables-save"
                };
                self.taint(
                    format!("no rules in tables {list} (not shown)"),
                    &format!("tables {list}"),
                    cmd,
                );
            }
        }
        // What there may be beside what is known.
        for u in &self.node.unread {
            let of_family = if v6 {
                u.command.starts_with("ip6tables")
            } else {
                u.command.starts_with("iptables")
            };
            if (of_family || u.command.starts_with("nft ")) && (ipt || c.nft) {
                self.taint(format!("no {} (not readable)", u.what), &u.what, &u.command);
            }
        }
        if !route {
            let cmd = if v6 {
                "ip -6 route show table all"
            } else {
                "ip route show table all"
            };
            self.taint(
                "only the routes that the addresses imply (none were captured)",
                "routes",
                cmd,
            );
        }
        if !rule {
            let cmd = if v6 { "ip -6 rule" } else { "ip rule" };
            self.taint("the default ip rules (none were captured)", "ip rules", cmd);
        }
        let routes6 = || self.node.fib6.tables.values().any(|t| t.len > 0);
        if !addr && (!v6 || !c.addr4 || !routes6()) {
            self.taint(
                "addresses as the routes imply (none were captured)",
                "addresses",
                "ip -d addr",
            );
        }
    }

    /// Whether two addresses share a prefix.
    pub(super) fn in_same_net(&self, net: IpAddr, addr: IpAddr, len: u8) -> bool {
        if let Some(r) = self.watched(addr) {
            r.net(net, len);
        }
        Self::same_net(net, addr, len)
    }

    pub(super) fn same_net(a: IpAddr, b: IpAddr, len: u8) -> bool {
        if Family::of(a) != Family::of(b) {
            return false;
        }
        let drop = u32::from(Family::of(a).bits().saturating_sub(len));
        drop >= 128 || (bits(a) ^ bits(b)) >> drop == 0
    }
}
