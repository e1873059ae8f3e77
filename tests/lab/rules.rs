//! Random tables: chains, jumps, gotos, returns, policies, and every target that a hook allows.

use super::matches::{FWD, IN, OUT, POST, PRE, Place, some};
use super::prng::Prng;
use super::sets::SetSpec;
use super::spec::{Backend, Rule, Table};
use super::targets::target;

const HOOKS: [(&str, u8); 5] = [
    ("PREROUTING", PRE),
    ("INPUT", IN),
    ("FORWARD", FWD),
    ("OUTPUT", OUT),
    ("POSTROUTING", POST),
];

/// What kinds of rules a node has.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// Rules that draw numbers.
    pub random: bool,
    /// Rules that keep state.
    pub stateful: bool,
    /// Rules of which a capture does not tell what they do.
    pub odd: bool,
    /// Rules per table, at most.
    pub rules: usize,
}

/// All tables of a node. Those of nft come first: of two hooks with the same number the one registered later runs first, and
/// legacy is to run before nft.
pub fn make(r: &mut Prng, sets: &[SetSpec], mood: Mood) -> Vec<Table> {
    let mut out = Vec::new();
    let nft = r.chance(55);
    let legacy = !nft || r.chance(55);
    for (backend, on) in [(Backend::Nft, nft), (Backend::Legacy, legacy)] {
        for v6 in [false, true] {
            for name in ["raw", "mangle", "nat", "filter", "security"] {
                let percent = match name {
                    "filter" => 100,
                    "nat" => 80,
                    "security" => 25,
                    _ => 50,
                };
                // There is always something to capture.
                let keep = name == "filter" && backend == Backend::Legacy;
                if on && r.chance(percent) {
                    out.push(table(r, backend, v6, name, sets, mood));
                } else if keep {
                    out.push(Table {
                        backend,
                        v6,
                        name,
                        chains: base_chains(name)
                            .map(|(c, _)| (c.to_owned(), Some("ACCEPT")))
                            .collect(),
                        rules: Vec::new(),
                    });
                }
            }
        }
    }
    out
}

fn base_chains(table: &str) -> impl Iterator<Item = (&'static str, u8)> + use<> {
    let hooks = match table {
        "raw" => PRE | OUT,
        "mangle" => PRE | IN | FWD | OUT | POST,
        "nat" => PRE | IN | OUT | POST,
        _ => IN | FWD | OUT,
    };
    HOOKS.into_iter().filter(move |(_, h)| hooks & h != 0)
}

fn table(
    r: &mut Prng,
    backend: Backend,
    v6: bool,
    name: &'static str,
    sets: &[SetSpec],
    mood: Mood,
) -> Table {
    let mut t = Table {
        backend,
        v6,
        name,
        chains: Vec::new(),
        rules: Vec::new(),
    };
    let mut all: Vec<(String, u8)> = Vec::new();
    for (chain, hook) in base_chains(name) {
        // nat chains that drop by policy are refused by nobody and used by nobody.
        let policy = if name != "nat" && r.chance(8) {
            "DROP"
        } else {
            "ACCEPT"
        };
        t.chains.push((chain.to_owned(), Some(policy)));
        all.push((chain.to_owned(), hook));
    }
    let whole = all.iter().fold(0, |a, (_, h)| a | h);
    let base = all.len();
    for i in 0..2 + r.below(5) {
        let hooks = match (name, r.below(4)) {
            ("nat", 0 | 1) => PRE | OUT,
            ("nat", _) => POST,
            (_, 0) => whole,
            _ => all[r.below(base)].1 | all[r.below(base)].1,
        };
        let chain = format!("C{i}");
        t.chains.push((chain.clone(), None));
        all.push((chain, hooks));
    }
    // Every base chain gets some, and so do the others.
    for (i, (chain, hooks)) in all.iter().enumerate() {
        let n = 1 + r.below((mood.rules / all.len()).max(2));
        for _ in 0..n {
            let place = Place {
                v6,
                table: name,
                hooks: *hooks,
                base: i < base,
                sets,
                random: mood.random,
                stateful: mood.stateful,
                odd: mood.odd,
            };
            let mut matches = some(r, &place);
            let target = target(r, &place, &all, i.max(base - 1) + 1);
            if target.contains("-p ") && matches.contains("-p ") {
                // A rule names its protocol once.
                matches.clear();
            }
            t.rules.push(Rule {
                chain: chain.clone(),
                text: format!("{matches}{target}").trim().to_owned(),
            });
        }
    }
    t.rules
        .sort_by_key(|rule| all.iter().position(|(c, _)| *c == rule.chain));
    t
}
