//! Walking the rules of nftables: `nft_do_chain` (`net/netfilter/nf_tables_core.c`).

mod compare;
mod dynset;
mod eval;
mod fib;
mod lookup;
mod nat;
mod region;
mod rule;
mod value;

use super::chain::{MAX_JUMPS, TableVerdict, TargetVerdict, no_circle};
use super::run::{End, Flow, Run};
use crate::node::{ChainId, DevId, NftTable};
use crate::trace::{ForkKind, Hit, Hook, Reason, StepKind};
use nfwhy_parsers::iptables::Policy;

/// What a rule looks at while it is evaluated.
#[derive(Clone, Copy)]
pub(super) struct At<'s, 'n> {
    /// Its table.
    pub table: &'s NftTable<'n>,
    /// The rule.
    pub hit: Hit,
    /// The hook under way.
    pub hook: Hook,
    /// Depth of jumps.
    pub depth: usize,
}

/// What the packet has made of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// It is there now; the rule whose statements it has.
    Added(Option<Hit>),
    /// It is gone.
    Deleted,
}

/// What a rule comes to.
pub(super) enum RuleEnd<'s> {
    /// `NFT_BREAK`: something did not match.
    Break,
    /// To the end, and on to the next rule.
    Continue,
    /// A verdict.
    Verdict(TargetVerdict<'s>),
}

impl<'s, 'n> Run<'s, 'n> {
    /// Runs a base chain.
    pub(super) fn run_nft(
        &mut self,
        table: usize,
        base: ChainId,
        hook: Hook,
        priority: i32,
    ) -> Flow<TableVerdict> {
        let node = self.node;
        let Some(t) = node.netfilter.nft(table) else {
            return Ok(TableVerdict::Accept);
        };
        self.step(StepKind::Chain {
            table,
            chain: base,
            priority,
        });
        let mut stack: Vec<(ChainId, usize, usize)> = Vec::new();
        // As for iptables: the kernel loads no rule set whose jumps lead back (`nft_chain_validate`).
        let mut path = vec![base];
        let mut chain = base;
        let mut rule = 0;
        let mut depth = 0;
        let mut jumps = 0;
        loop {
            let Some(r) = t.rules(chain).get(rule) else {
                match stack.pop() {
                    Some((c, r, len)) => {
                        (chain, rule) = (c, r);
                        path.truncate(len);
                        depth = stack.len();
                        continue;
                    }
                    None => return self.nft_policy(t, table, base),
                }
            };
            let at = At {
                table: t,
                hit: Hit { table, chain, rule },
                hook,
                depth,
            };
            self.tested += 1;
            let end = if self.what_if.without.contains(&at.hit) {
                RuleEnd::Break
            } else {
                self.nft_rule(at, r)?
            };
            let (next, goes) = match end {
                RuleEnd::Break | RuleEnd::Continue | RuleEnd::Verdict(TargetVerdict::Continue) => {
                    rule += 1;
                    continue;
                }
                RuleEnd::Verdict(TargetVerdict::Accept) => return Ok(TableVerdict::Accept),
                RuleEnd::Verdict(TargetVerdict::Nat) => return Ok(TableVerdict::Nat),
                RuleEnd::Verdict(TargetVerdict::Return) => match stack.pop() {
                    Some((c, r, len)) => {
                        (chain, rule) = (c, r);
                        path.truncate(len);
                        depth = stack.len();
                        continue;
                    }
                    None => return self.nft_policy(t, table, base),
                },
                RuleEnd::Verdict(TargetVerdict::Jump(name)) => (name, false),
                RuleEnd::Verdict(TargetVerdict::Goto(name)) => (name, true),
            };
            let Some(to) = t.chain(next) else {
                return Err(End::unknown(format!(
                    "{} jumps to {next}, which is not in the listing",
                    self.place(at.hit)
                )));
            };
            no_circle(&path, to, next)?;
            jumps += 1;
            if jumps > MAX_JUMPS {
                return Err(End::unknown(format!(
                    "chains of table {} call each other too often near {}",
                    t.def.name,
                    self.place(at.hit)
                )));
            }
            if goes {
                path.push(to);
                depth += 1;
            } else {
                stack.push((chain, rule + 1, path.len()));
                path.push(to);
                depth = stack.len();
            }
            (chain, rule) = (to, 0);
        }
    }

    /// `nf_ingress` and `nf_hook_egress` (`net/core/dev.c`): the chains that are hooked in at a device.
    pub(super) fn at_device(&mut self, dev: DevId, leaves: bool) -> Flow {
        let name = self.node.device(dev).name.clone();
        let mut told = false;
        for (priority, table, chain) in self.hooks.at_devices(leaves) {
            let base = self.node.netfilter.nft(table).and_then(|t| {
                let chain = t.def.chains.get(chain.0 as usize)?;
                Some((&t.def.name, &chain.name, chain.base.as_ref()?))
            });
            let Some((table_name, chain_name, base)) = base else {
                continue;
            };
            // `nft -j` up to 1.0.6 does not print the devices of a chain.
            let here = if base.devices.is_empty() {
                self.fork_unknown(
                    ForkKind::Unknown(format!("devices of {chain_name}")),
                    &format!("{table_name} {chain_name} at {name}"),
                    true,
                    &format!("chain {chain_name} of table {table_name} is hooked in at {name}"),
                    &format!("chain {chain_name} of table {table_name} is not hooked in at {name}"),
                )
            } else {
                base.devices.iter().any(|d| *d == name)
            };
            if !here {
                continue;
            }
            if !told {
                let way = if leaves { "egress" } else { "ingress" };
                self.step(StepKind::Note(format!("nftables at the {way} of {name}")));
                told = true;
            }
            let iif = self.iif;
            let hook = if leaves {
                self.iif = None;
                Hook::Postrouting
            } else {
                Hook::Prerouting
            };
            let end = self.run_nft(table, chain, hook, priority);
            self.iif = iif;
            end?;
        }
        Ok(())
    }

    /// A rule of a table that iptables-nft-save shows, where only nft can say what it does.
    pub(super) fn native_rule(
        &mut self,
        hit: Hit,
        hook: Hook,
        depth: usize,
    ) -> Flow<TargetVerdict<'s>> {
        let node = self.node;
        let found = node
            .netfilter
            .nft(hit.table)
            .and_then(|t| Some((t, t.rules(hit.chain).get(hit.rule)?)));
        let Some((table, rule)) = found else {
            return Ok(TargetVerdict::Continue);
        };
        if self.what_if.without.contains(&hit) {
            return Ok(TargetVerdict::Continue);
        }
        let at = At {
            table,
            hit,
            hook,
            depth,
        };
        Ok(match self.nft_rule(at, rule)? {
            RuleEnd::Break | RuleEnd::Continue => TargetVerdict::Continue,
            RuleEnd::Verdict(v) => v,
        })
    }

    fn nft_policy(&mut self, t: &NftTable<'n>, table: usize, chain: ChainId) -> Flow<TableVerdict> {
        let base = t
            .def
            .chains
            .get(chain.0 as usize)
            .and_then(|c| c.base.as_ref());
        let accept = base.is_none_or(|b| b.policy != Policy::Drop);
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
}
