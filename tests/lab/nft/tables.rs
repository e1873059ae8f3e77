//! Whole tables: base chains, the chains they jump to, sets and rules.

use super::super::matches::{FWD, IN, OUT, POST, PRE};
use super::super::prng::Prng;
use super::super::rules::Mood;
use super::super::spec::Rule;
use super::matches::{Said, some};
use super::native::Table;
use super::{Place, sets, stmts};

const HOOKS: [(&str, u8); 5] = [
    ("prerouting", PRE),
    ("input", IN),
    ("forward", FWD),
    ("output", OUT),
    ("postrouting", POST),
];

/// A chain while its table is made.
struct Chain {
    name: String,
    kind: &'static str,
    hooks: u8,
    early: bool,
    base: Option<String>,
    leaf: bool,
}

/// Tables of a node.
pub fn make(r: &mut Prng, mood: Mood) -> Vec<Table> {
    let mut out = Vec::new();
    let n = 1 + r.below(3);
    for i in 0..n {
        let family = r.one(&["ip", "ip", "ip6", "inet", "inet"]);
        let name = match i {
            0 if family == "inet" => r.one(&["filter", "fw", "t0"]).to_owned(),
            _ => format!("t{i}"),
        };
        out.push(table(r, family, name, mood));
    }
    out
}

/// A priority of a filter or route chain, and whether conntrack comes later. Not at conntrack's own number: which of two runs first is
/// told by nothing in a listing.
fn priority(r: &mut Prng, hook: u8) -> (String, bool) {
    let (text, early) = r.one(&[
        ("raw", true),
        ("raw + 5", true),
        ("-250", true),
        ("mangle", false),
        ("mangle - 1", false),
        ("-110", false),
        ("-90", false),
        ("filter", false),
        ("filter", false),
        ("filter", false),
        ("filter", false),
        ("filter - 10", false),
        ("filter + 5", false),
        ("security", false),
        ("90", false),
        ("110", false),
        ("300", false),
    ]);
    let text = match (hook, r.below(8)) {
        (PRE, 0) => "dstnat - 10",
        (PRE, 1) => "dstnat + 5",
        (POST, 0) => "srcnat - 5",
        (POST, 1) => "srcnat + 10",
        _ => return (text.to_owned(), early),
    };
    (text.to_owned(), false)
}

fn bases(r: &mut Prng) -> Vec<Chain> {
    let mut out = Vec::new();
    for i in 0..2 + r.below(7) {
        let kind = r.one(&["filter", "filter", "filter", "nat", "nat", "route"]);
        let (hook, bit) = match kind {
            "route" => ("output", OUT),
            "nat" => r.one(&[HOOKS[0], HOOKS[0], HOOKS[1], HOOKS[3], HOOKS[4], HOOKS[4]]),
            _ => r.one(&HOOKS),
        };
        let (priority, early) = if kind == "nat" {
            let p = match bit {
                PRE => r.pick(&["dstnat", "dstnat", "dstnat - 5", "-90", "0"]),
                POST => r.pick(&["srcnat", "srcnat", "srcnat + 5", "90", "0"]),
                OUT => r.pick(&["-100", "-100", "-95", "0"]),
                _ => r.pick(&["100", "100", "95", "0"]),
            };
            (p.to_owned(), false)
        } else {
            priority(r, bit)
        };
        let policy = if r.chance(9) { "drop" } else { "accept" };
        out.push(Chain {
            name: format!("b{i}-{hook}"),
            kind,
            hooks: bit,
            early,
            base: Some(format!(
                "type {kind} hook {hook} priority {priority}; policy {policy};"
            )),
            leaf: false,
        });
    }
    out
}

fn table(r: &mut Prng, family: &'static str, name: String, mood: Mood) -> Table {
    let mut chains = bases(r);
    let base = chains.len();
    // Chains of the kind and the hooks of some base chains.
    for i in 0..=r.below(4) {
        let a = r.below(base);
        let (kind, early) = (chains[a].kind, chains[a].early);
        let same: Vec<u8> = chains[..base]
            .iter()
            .filter(|c| c.kind == kind)
            .map(|c| c.hooks)
            .collect();
        let hooks = chains[a].hooks | r.one(&same);
        let hooks = match (kind, hooks) {
            // Destinations and sources are not translated in one chain.
            ("nat", h) if h & (PRE | OUT) != 0 && h & (IN | POST) != 0 => chains[a].hooks,
            (_, h) => h,
        };
        chains.push(Chain {
            name: format!("C{i}"),
            kind,
            hooks,
            early,
            base: None,
            leaf: false,
        });
    }
    let mut leaves = Vec::new();
    for i in 0..=r.below(3) {
        let leaf_name = format!("leaf{i}");
        leaves.push(leaf_name.clone());
        chains.push(Chain {
            name: leaf_name,
            kind: "",
            hooks: 31,
            early: false,
            base: None,
            leaf: true,
        });
    }
    let families: &[bool] = match family {
        "ip" => &[false],
        "ip6" => &[true],
        _ => &[false, true],
    };
    let (defs, named) = sets::make(r, families, &leaves, mood.stateful);
    let mut rules = Vec::new();
    for (i, c) in chains.iter().enumerate() {
        let to: Vec<String> = chains
            .iter()
            .enumerate()
            .filter(|(j, d)| {
                *j > i
                    && d.base.is_none()
                    && !c.leaf
                    && (d.leaf || d.kind == c.kind && c.hooks & !d.hooks == 0)
            })
            .map(|(_, d)| d.name.clone())
            .collect();
        let place = Place {
            family,
            kind: c.kind,
            hooks: c.hooks,
            early: c.early,
            sets: &defs,
            leaves: if c.leaf { &[] } else { &leaves },
            mood,
        };
        for _ in 0..=r.below((mood.rules / chains.len()).max(2) + 2) {
            let mut said = Said {
                v6: r.one(families),
                proto: None,
            };
            // nft lists `dport < 80 dport > 443`, which nothing matches, as `dport != 80-443`.
            let matches = loop {
                let m = some(r, &place, &mut said);
                if !(m.contains('<') && m.contains('>')) {
                    break m;
                }
            };
            let rest = stmts::rest(r, &place, &mut said, &to);
            rules.push(Rule {
                chain: c.name.clone(),
                text: format!("{matches}{rest}"),
            });
        }
    }
    Table {
        family,
        name,
        sets: named,
        chains: chains.into_iter().map(|c| (c.name, c.base)).collect(),
        rules,
    }
}
