//! Walking the rules of a table: `ipt_do_table` (`net/ipv4/netfilter/ip_tables.c`); `nft_do_chain` does the same for iptables-nft.

use super::matches::Tri;
use super::run::{End, Flow, Run};
use crate::node::{ChainId, Table};
use crate::trace::{Effect, ForkKind, Hit, Hook, Miss, Reason, StepKind};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::{Match, Policy, Rule};

/// What a table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableVerdict {
    /// Go on with the next hook function.
    Accept,
    /// A nat rule has set the connection up.
    Nat,
}

/// What a rule's target says.
pub(super) enum TargetVerdict<'n> {
    Continue,
    Accept,
    Nat,
    Return,
    Jump(&'n str),
    Goto(&'n str),
}

/// Jumps and gotos in one table before the walk is given up: chains that call others twice, level upon level, multiply.
pub(super) const MAX_JUMPS: u32 = 20_000;

pub(super) fn no_circle(path: &[ChainId], next: ChainId, name: &str) -> Flow {
    if path.contains(&next) {
        return Err(End::unknown(format!(
            "chains jump in a circle: {name} leads back to itself (the kernel does not load such rules; is the dump of one moment?)"
        )));
    }
    Ok(())
}

/// The command that shows all of a family.
fn save(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables-save",
        Family::V6 => "ip6tables-save",
    }
}

impl Run<'_, '_> {
    /// Whether tables of this family were shown one by one.
    pub(super) fn tables_in_part(&self) -> bool {
        match self.family {
            Family::V4 => self.node.in_part.tables4,
            Family::V6 => self.node.in_part.tables6,
        }
    }

    /// Runs a table's base chain for a hook.
    pub(super) fn run_table(
        &mut self,
        table: usize,
        hook: Hook,
        priority: i32,
    ) -> Flow<TableVerdict> {
        let node = self.node;
        let t = &node.netfilter.tables[table];
        let Some(base) = t.chain(hook.name()) else {
            // Every table has all of its built-in chains; a dump without one was trimmed by hand.
            if self.tables_in_part() {
                self.taint(
                    format!(
                        "chain {} of table {} is empty with policy ACCEPT (it is not shown)",
                        hook.name(),
                        t.kind.name()
                    ),
                    &format!("chain {} of table {}", hook.name(), t.kind.name()),
                    save(t.family),
                );
            } else if t.rule_count() > 0 {
                let place = node.file_name(t.file);
                self.assume(format!(
                    "chain {} of table {} is empty with policy ACCEPT (it is not in {place})",
                    hook.name(),
                    t.kind.name()
                ));
            }
            return Ok(TableVerdict::Accept);
        };
        let chain = &t.chains[base.0 as usize];
        if chain.rules.is_empty() && chain.policy != Some(Policy::Drop) {
            return Ok(TableVerdict::Accept);
        }
        self.step(StepKind::Chain {
            table,
            chain: base,
            priority,
        });
        let mut stack: Vec<(ChainId, usize, usize)> = Vec::new();
        // The chains between the base chain and this one, also those left by goto. The kernel loads no rule set whose jumps
        // or gotos lead back to one of them (`mark_source_chains`, `nft_chain_validate`).
        let mut path = vec![base];
        let mut at = (base, 0usize);
        let mut jumps = 0;
        loop {
            let rules = t.rules(at.0);
            let Some(rule) = rules.get(at.1) else {
                // The end of a chain: back to the caller, or the policy.
                match stack.pop() {
                    Some((chain, rule, len)) => {
                        at = (chain, rule);
                        path.truncate(len);
                        continue;
                    }
                    None => return self.policy(table, base, t),
                }
            };
            let hit = Hit {
                table,
                chain: at.0,
                rule: at.1,
            };
            let depth = stack.len();
            self.tested += 1;
            let verdict = if let Some((native, chain)) = node.netfilter.native(t, at.0, at.1) {
                let hit = Hit {
                    table: native,
                    chain,
                    rule: at.1,
                };
                self.native_rule(hit, hook, depth)?
            } else {
                if self.what_if.without.contains(&hit) || !self.rule_matches(t, rule, hit)? {
                    at.1 += 1;
                    continue;
                }
                if rule.broken.is_some() {
                    self.hit(hit, depth, Effect::None);
                    return Err(End::unknown(format!(
                        "the rule at {} was not understood, so what it does is not known",
                        node.place(t.rule_origin(at.0, at.1))
                    )));
                }
                self.run_target(t, rule, hit, hook, depth)?
            };
            match verdict {
                TargetVerdict::Continue => at.1 += 1,
                TargetVerdict::Accept => return Ok(TableVerdict::Accept),
                TargetVerdict::Nat => return Ok(TableVerdict::Nat),
                TargetVerdict::Return => match stack.pop() {
                    Some((chain, rule, len)) => {
                        at = (chain, rule);
                        path.truncate(len);
                    }
                    None => return self.policy(table, base, t),
                },
                TargetVerdict::Jump(name) => {
                    let Some(next) = self.target_chain(t, name)? else {
                        at.1 += 1;
                        continue;
                    };
                    no_circle(&path, next, name)?;
                    jumps += 1;
                    if jumps > MAX_JUMPS {
                        return Err(self.too_many_jumps(t, hit));
                    }
                    stack.push((at.0, at.1 + 1, path.len()));
                    path.push(next);
                    at = (next, 0);
                }
                TargetVerdict::Goto(name) => {
                    let Some(next) = self.target_chain(t, name)? else {
                        match stack.pop() {
                            Some((chain, rule, len)) => {
                                at = (chain, rule);
                                path.truncate(len);
                                continue;
                            }
                            None => return self.policy(table, base, t),
                        }
                    };
                    no_circle(&path, next, name)?;
                    jumps += 1;
                    if jumps > MAX_JUMPS {
                        return Err(self.too_many_jumps(t, hit));
                    }
                    path.push(next);
                    at = (next, 0);
                }
            }
        }
    }

    fn too_many_jumps(&self, t: &Table<'_>, hit: Hit) -> End {
        End::unknown(format!(
            "chains of table {} call each other too often near {}",
            t.kind.name(),
            self.node.place(t.rule_origin(hit.chain, hit.rule))
        ))
    }

    /// The chain of a jump. `None`: it is not in the dump, and is taken to let the packet go on.
    fn target_chain(&mut self, t: &Table<'_>, name: &str) -> Flow<Option<ChainId>> {
        if let Some(chain) = t.chain(name) {
            return Ok(Some(chain));
        }
        let kind = t.kind.name();
        self.lacks(format!("chain {name} of table {kind}"), save(t.family));
        let goes_on = self.fork_unknown(
            ForkKind::Unknown(format!("what chain {name} does")),
            &format!("chain {kind} {name}"),
            true,
            &format!("chain {name}, which is not shown, lets the packet go on as it is"),
            &format!("chain {name}, which is not shown, does something to the packet"),
        );
        if goes_on {
            Ok(None)
        } else {
            Err(End::unknown(format!(
                "what chain {name} of table {kind} does is not shown"
            )))
        }
    }

    fn policy(&mut self, table: usize, chain: ChainId, t: &Table<'_>) -> Flow<TableVerdict> {
        let accept = t.chains[chain.0 as usize].policy != Some(Policy::Drop);
        self.step(StepKind::Policy {
            table,
            chain,
            accept,
        });
        if accept {
            Ok(TableVerdict::Accept)
        } else {
            Err(End::dropped(Reason::Policy { table, chain }))
        }
    }

    /// Whether a rule matches; forks where that is random or unknown.
    fn rule_matches(&mut self, t: &Table<'_>, rule: &Rule<'_>, hit: Hit) -> Flow<bool> {
        if let Some(r) = self.region {
            r.at(Some(hit));
        }
        // The header first, cheapest test first: most rules end here.
        let mut unknown = match self.header_matches(rule) {
            Tri::No => return Ok(self.miss(hit, None)),
            Tri::Yes => None,
            Tri::Unknown(u) => Some(u),
        };
        if rule.broken.is_some() {
            let place = self.node.place(t.rule_origin(hit.chain, hit.rule));
            self.lacks(
                format!("the meaning of the rule at {place}"),
                "iptables-save (the rule as the kernel prints it)",
            );
            return Ok(self.ask(
                hit,
                &super::matches::Unknown {
                    fact: format!("rule {place}"),
                    not: false,
                    yes: format!("the rule at {place}, which was not understood, matches"),
                    no: format!("the rule at {place}, which was not understood, does not match"),
                    missing: None,
                },
            ));
        }
        if rule.matches.is_empty() && unknown.is_none() {
            return Ok(true);
        }
        // What is certain first: an unknown beside a certain "no" is no fork. State that matches keep is touched in order.
        let mut later = Vec::new();
        let mut unknown_at = None;
        for (i, m) in rule.matches.iter().enumerate() {
            match m {
                Match::Comment(_) | Match::Nfacct(_) => {}
                Match::StatisticRandom(_) | Match::StatisticNth { .. } | Match::Recent(_) => {
                    later.push((i, m));
                }
                m => match self.match_one(t, rule, m, hit)? {
                    Tri::No => return Ok(self.miss(hit, Some(i))),
                    Tri::Yes => {}
                    Tri::Unknown(u) => {
                        if unknown.is_none() {
                            unknown_at = Some(i);
                            unknown = Some(u);
                        } else {
                            later.push((i, m));
                        }
                    }
                },
            }
        }
        if let Some(u) = unknown
            && !self.ask(hit, &u)
        {
            return Ok(self.miss(hit, unknown_at));
        }
        for (i, m) in later {
            match m {
                Match::StatisticRandom(p) => {
                    // `get_random_u32() & 0x7FFFFFFF < threshold` (net/netfilter/xt_statistic.c).
                    let yes = f64::from(p.value.min(1 << 31)) / f64::from(1u32 << 31);
                    let yes = if p.not { 1.0 - yes } else { yes };
                    if self.fork(ForkKind::Statistic(hit), &[yes, 1.0 - yes]) == 1 {
                        return Ok(self.miss(hit, Some(i)));
                    }
                }
                Match::StatisticNth { not, every, .. } => {
                    let every = (*every).max(1);
                    self.assume(format!(
                        "the nth counter of {} stands anywhere",
                        self.node.place(t.rule_origin(hit.chain, hit.rule))
                    ));
                    let yes = 1.0 / f64::from(every);
                    let yes = if *not { 1.0 - yes } else { yes };
                    if self.fork(ForkKind::Statistic(hit), &[yes, 1.0 - yes]) == 1 {
                        return Ok(self.miss(hit, Some(i)));
                    }
                }
                Match::Recent(r) => {
                    if !self.match_recent(r) {
                        return Ok(self.miss(hit, Some(i)));
                    }
                }
                m => match self.match_one(t, rule, m, hit)? {
                    Tri::No => return Ok(self.miss(hit, Some(i))),
                    Tri::Yes => {}
                    Tri::Unknown(u) => {
                        if !self.ask(hit, &u) {
                            return Ok(self.miss(hit, Some(i)));
                        }
                    }
                },
            }
        }
        Ok(true)
    }

    /// Says no, and keeps why where that is asked for.
    fn miss(&mut self, hit: Hit, by: Option<usize>) -> bool {
        if self.what_if.note_misses {
            self.misses.push(Miss { hit, by });
        }
        false
    }

    /// Takes both sides of an unknown match.
    pub(super) fn ask(&mut self, hit: Hit, u: &super::matches::Unknown) -> bool {
        if let Some(m) = &u.missing {
            self.lacks(m.what.clone(), m.command.clone());
        }
        self.fork_unknown(ForkKind::UnknownMatch(hit), &u.fact, !u.not, &u.yes, &u.no) != u.not
    }
}
