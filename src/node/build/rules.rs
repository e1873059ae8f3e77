//! The routing policy database.

use super::super::fib::{Fib, PolicyAction, PolicyRule, TableId};
use super::super::{Device, FileId, Origin};
use super::{Builder, owned};
use nfwhy_parsers::Family;
use nfwhy_parsers::iproute::TableRef;
use nfwhy_parsers::iproute::rule::{self, Action};
use std::borrow::Cow;

impl<'a> Builder<'a> {
    pub(super) fn rules(&mut self, files: &[(FileId, &'a str)], fib4: &mut Fib, fib6: &mut Fib) {
        let mut lists: Vec<(FileId, Option<Family>, Vec<rule::PolicyRule<'a>>)> = Vec::new();
        for (file, text) in files {
            let rules = self.take(*file, rule::parse(text));
            // The text of `ip rule` does not name the family. An address in a rule does; the default table is IPv4's alone.
            let family = rules.iter().find_map(|r| r.family).or_else(|| {
                let has_default = rules
                    .iter()
                    .any(|r| r.action == Action::Lookup(TableRef::DEFAULT));
                // Of a pasted session, the command.
                let v6 = text.trim_start().starts_with("# ip -6 ");
                let by_name = || (v6 || self.named_6(*file)).then_some(Family::V6);
                has_default.then_some(Family::V4).or_else(by_name)
            });
            lists.push((*file, family, rules));
        }
        let v4_told = lists.iter().any(|(_, f, _)| *f == Some(Family::V4));
        for (file, family, rules) in lists {
            let family = family.unwrap_or(if v4_told { Family::V6 } else { Family::V4 });
            let (have, seen) = match family {
                Family::V4 => (fib4.rules.len(), self.captured.rule4),
                Family::V6 => (fib6.rules.len(), self.captured.rule6),
            };
            if seen {
                if have != rules.len() {
                    let message =
                        "the rules are captured twice and differ; the longer list is used"
                            .to_owned();
                    self.warn(Some(file), 0, message);
                }
                if have >= rules.len() {
                    continue;
                }
            }
            match family {
                Family::V4 => self.captured.rule4 = true,
                Family::V6 => self.captured.rule6 = true,
            }
            let lowered: Vec<PolicyRule> = rules.iter().map(|r| self.lower_rule(r, file)).collect();
            let fib = match family {
                Family::V4 => &mut *fib4,
                Family::V6 => &mut *fib6,
            };
            fib.rules = lowered;
            fib.rules.sort_by_key(|r| r.priority);
        }
        let default = |priority, table| PolicyRule {
            priority,
            not: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            fwmark: None,
            tos: None,
            ipproto: None,
            sport: None,
            dport: None,
            uidrange: None,
            l3mdev: false,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
            action: PolicyAction::Lookup(table),
            origin: Origin::default(),
        };
        if !self.captured.rule4 {
            fib4.rules = vec![
                default(0, TableId::LOCAL),
                default(32766, TableId::MAIN),
                default(32767, TableId::DEFAULT),
            ];
        }
        if !self.captured.rule6 {
            fib6.rules = vec![default(0, TableId::LOCAL), default(32766, TableId::MAIN)];
        }
        // The kernel makes the VRF rule at 1000 with the first VRF (`vrf_add_fib_rules` in drivers/net/vrf.c).
        if self.devices.iter().any(Device::is_vrf) {
            for (captured, fib) in [(self.captured.rule4, fib4), (self.captured.rule6, fib6)] {
                if !captured {
                    let mut r = default(1000, TableId::MAIN);
                    r.l3mdev = true;
                    r.action = PolicyAction::L3mdev;
                    fib.rules.insert(1, r);
                }
            }
        }
    }

    /// A file whose name has a 6 of its own: `ip-6-rule.txt`, `ip6-rule`, `ip_-6_rule_show`.
    fn named_6(&self, file: FileId) -> bool {
        let name = self
            .files
            .get(usize::from(file.0))
            .map_or("", |f| f.name.as_str());
        let name = name.rsplit('/').next().unwrap_or_default();
        name.split(|c: char| !c.is_ascii_digit()).any(|n| n == "6")
    }

    pub(super) fn lower_rule(&mut self, r: &rule::PolicyRule<'a>, file: FileId) -> PolicyRule {
        let dev = |b: &Self, n: &Option<Cow<'a, str>>| {
            n.as_ref()
                .map(|n| b.names.get(n.as_ref()).copied().ok_or_else(|| owned(n)))
        };
        let iif = dev(self, &r.iif);
        let oif = dev(self, &r.oif);
        PolicyRule {
            priority: r.priority,
            not: r.not,
            from: r.from,
            to: r.to,
            iif,
            oif,
            fwmark: r.fwmark,
            tos: r.tos,
            ipproto: r.ipproto,
            sport: r.sport,
            dport: r.dport,
            uidrange: r.uidrange,
            l3mdev: r.l3mdev,
            suppress_prefixlength: r.suppress_prefixlength,
            suppress_ifgroup: r.suppress_ifgroup.as_ref().map(owned),
            action: match &r.action {
                Action::Lookup(_) if r.l3mdev => PolicyAction::L3mdev,
                Action::Lookup(t) => PolicyAction::Lookup(self.table_id(t)),
                Action::L3mdev => PolicyAction::L3mdev,
                Action::Goto(p) => PolicyAction::Goto(*p),
                Action::Nop => PolicyAction::Nop,
                Action::Blackhole => PolicyAction::Blackhole,
                Action::Unreachable => PolicyAction::Unreachable,
                Action::Prohibit => PolicyAction::Prohibit,
                Action::Other(t) => PolicyAction::Other(owned(t)),
            },
            origin: Origin { file, line: r.line },
        }
    }
}
