//! Tables of `nft`: their text, and loading them.

use std::collections::BTreeSet;

use super::super::sh;
use super::super::spec::Rule;

/// A named set or map.
#[derive(Clone, Debug)]
pub struct NamedSet {
    /// `set NAME` or `map NAME`.
    pub head: String,
    /// `type ...; flags ...`.
    pub body: String,
    /// Its elements.
    pub elements: Vec<String>,
}

/// A table, with what it takes to load it line by line.
#[derive(Clone, Debug)]
pub struct Table {
    /// `ip`, `ip6`, `inet`.
    pub family: &'static str,
    /// Its name.
    pub name: String,
    /// Sets and maps.
    pub sets: Vec<NamedSet>,
    /// Chains in order; `type ... hook ...; policy ...;` makes a base chain.
    pub chains: Vec<(String, Option<String>)>,
    /// Rules, each by its chain.
    pub rules: Vec<Rule>,
}

/// What a line of the text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Frame,
    Element(usize, usize),
    Rule(usize),
}

impl Table {
    fn lines(&self, rules: bool) -> (Vec<Line>, String) {
        let mut of = Vec::new();
        let mut text = String::new();
        let mut add = |what: Line, line: &str| {
            of.push(what);
            text += line;
            text.push('\n');
        };
        add(
            Line::Frame,
            &format!("table {} {} {{", self.family, self.name),
        );
        for (s, set) in self.sets.iter().enumerate() {
            add(Line::Frame, &format!(" {} {{", set.head));
            add(Line::Frame, &format!("  {}", set.body));
            if !set.elements.is_empty() {
                add(Line::Frame, "  elements = {");
                for (e, element) in set.elements.iter().enumerate() {
                    add(Line::Element(s, e), &format!("   {element},"));
                }
                add(Line::Frame, "  }");
            }
            add(Line::Frame, " }");
        }
        for (name, base) in &self.chains {
            add(Line::Frame, &format!(" chain {name} {{"));
            if let Some(base) = base {
                add(Line::Frame, &format!("  {base}"));
            }
            for (i, r) in self.rules.iter().enumerate() {
                if rules && r.chain == *name {
                    add(Line::Rule(i), &format!("  {}", r.text));
                }
            }
            add(Line::Frame, " }");
        }
        add(Line::Frame, "}");
        (of, text)
    }

    /// Adds rules; where something of them is refused, half of them at a time.
    fn add(&mut self, rules: Vec<Rule>, refused: &mut Vec<(Rule, String)>) {
        let line = |r: &Rule| {
            format!(
                "add rule {} {} {} {}\n",
                self.family, self.name, r.chain, r.text
            )
        };
        let said = sh::run(
            &["nft", "-f", "-"],
            &rules.iter().map(line).collect::<String>(),
        );
        if said.ok {
            self.rules.extend(rules);
            return;
        }
        let mut first = rules;
        if let [one] = first.as_slice() {
            refused.push((one.clone(), said.err));
            return;
        }
        let second = first.split_off(first.len() / 2);
        self.add(first, refused);
        self.add(second, refused);
    }

    /// As `nft -f` reads it.
    pub fn text(&self) -> String {
        self.lines(true).1
    }
}

/// Loads tables in one transaction. What the tool refuses is dropped, and given back with what it said.
pub fn load(tables: &mut Vec<Table>) -> Vec<(Rule, String)> {
    let mut refused = Vec::new();
    for _ in 0..60 {
        let mut of = Vec::new();
        let mut text = String::new();
        for (i, t) in tables.iter().enumerate() {
            let (lines, more) = t.lines(true);
            of.extend(lines.into_iter().map(|l| (i, l)));
            text += &more;
        }
        let said = sh::run(&["nft", "-f", "-"], &text);
        if said.ok {
            return refused;
        }
        let bad = faults(&said.err);
        if bad.iter().any(|(_, why)| why.contains("not supported")) {
            break;
        }
        let mut drop: Vec<(usize, Line, String)> = bad
            .iter()
            .filter_map(|(n, why)| {
                let (table, line) = *of.get(n.checked_sub(1)?)?;
                (line != Line::Frame).then(|| (table, line, why.clone()))
            })
            .collect();
        if drop.is_empty() {
            break;
        }
        // From the back, so that the places stay right.
        drop.sort_by_key(|(t, l, _)| match l {
            Line::Element(s, e) => (*t, 0, *s, *e),
            Line::Rule(n) => (*t, 1, *n, 0),
            Line::Frame => (*t, 2, 0, 0),
        });
        drop.dedup_by_key(|(t, l, _)| (*t, *l));
        for (t, line, why) in drop.into_iter().rev() {
            match line {
                Line::Rule(n) => refused.push((tables[t].rules.remove(n), why)),
                Line::Element(s, e) => {
                    let set = &mut tables[t].sets[s];
                    let text = set.elements.remove(e);
                    let chain = set.head.clone();
                    refused.push((Rule { chain, text }, why));
                }
                Line::Frame => {}
            }
        }
    }
    // Not to be told what of it is refused: the kernel says no to a table as a whole.
    let mut kept = Vec::new();
    for mut t in std::mem::take(tables) {
        let said = sh::run(&["nft", "-f", "-"], &t.lines(false).1);
        if !said.ok {
            let chain = t.name.clone();
            let text = t.lines(false).1;
            refused.push((Rule { chain, text }, said.err));
            continue;
        }
        let rules = std::mem::take(&mut t.rules);
        t.add(rules, &mut refused);
        kept.push(t);
    }
    *tables = kept;
    refused
}

/// Rules, and elements that rules change, once more as at the beginning; tables and chains stay, and with them the order of the hooks.
/// The other sets stay too: nft 1.0.6 dies where intervals are flushed and added in one call.
pub fn reload(tables: &[Table]) {
    let mut text = String::new();
    for t in tables {
        text += &format!("flush table {} {}\n", t.family, t.name);
    }
    for t in tables {
        let at = format!("{} {}", t.family, t.name);
        for s in t.sets.iter().filter(|s| s.body.contains("dynamic")) {
            let name = s.head.split(' ').nth(1).unwrap_or_default();
            text += &format!("flush set {at} {name}\n");
            if !s.elements.is_empty() {
                text += &format!("add element {at} {name} {{ {} }}\n", s.elements.join(", "));
            }
        }
        for (chain, _) in &t.chains {
            for r in t.rules.iter().filter(|r| r.chain == *chain) {
                text += &format!("add rule {at} {chain} {}\n", r.text);
            }
        }
    }
    sh::must(&["nft", "-f", "-"], &text);
}

/// `/dev/stdin:12:5-20: Error: why`, by line.
fn faults(err: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in err.lines() {
        let Some((place, why)) = line.split_once(": Error: ") else {
            continue;
        };
        let n = place.split(':').nth(1).and_then(|n| n.parse().ok());
        if let Some(n) = n
            && seen.insert(n)
        {
            out.push((n, why.to_owned()));
        }
    }
    out
}
