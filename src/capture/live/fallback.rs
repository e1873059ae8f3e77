//! What has no decoder here, asked of the ordinary command, where that is there.
//!
//! A rule whose match or target is not known stays opaque, and so does a set whose type is not known. Whoever made them had a tool that knows
//! them: of its output that one rule or set is taken, if the rest of the chain or set is what was read. Nothing but printing is asked of a tool:
//! iptables-legacy-save only for tables that are there, as it makes the one that is asked for.

use super::xt::Decoder;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::process::{Command, Stdio};

#[cfg(test)]
pub(super) mod tests;

/// Standard output of a command in the namespace of the calling thread, or why there is none.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    #[cfg(test)]
    command.env("PATH", tests::PATH.get());
    let said = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|_| format!("`{program}` cannot be run"))?;
    if said.status.success() {
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    } else {
        Err(format!("`{program}` fails"))
    }
}

/// A rule that has no text of its own.
#[derive(Debug, PartialEq, Eq)]
struct Opaque<'t> {
    table: &'t str,
    chain: &'t str,
    /// Its place in the chain.
    index: usize,
    /// From `-A` to the end of the line.
    range: Range<usize>,
    /// `-m` or `-j`, and the name.
    names: Vec<(&'t str, &'t str)>,
}

/// Words between spaces, those within quotes with them.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |c: char| {
        let space = c == ' ' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        space
    })
}

/// What of a rule's line has no decoder (`Decoder::opaque`).
fn names(line: &str) -> Vec<(&str, &str)> {
    if !line.contains(" --revision ") {
        return Vec::new();
    }
    let all: Vec<&str> = words(line).collect();
    let found = all.windows(5).filter_map(|w| match w {
        [kind @ ("-m" | "-j"), name, "--revision", _, "--size"] => Some((*kind, *name)),
        _ => None,
    });
    found.collect()
}

/// The rules of every chain, as `f` sees them: table, chain, place of `-A`, the line from there on.
fn each_rule<'t>(text: &'t str, mut f: impl FnMut(&'t str, &'t str, usize, &'t str)) {
    let (mut table, mut at) = ("", 0);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches('\n');
        if let Some(name) = line.strip_prefix('*') {
            table = name;
            continue;
        }
        // Counters stand before it.
        let from = match line.strip_prefix('[') {
            Some(rest) => rest.find("] ").map_or(0, |i| i + 3),
            None => 0,
        };
        let rule = line.get(from..).unwrap_or_default();
        if let Some(rest) = rule.strip_prefix("-A ") {
            f(
                table,
                words(rest).next().unwrap_or_default(),
                start + from,
                rule,
            );
        }
    }
}

type Chains<'t> = BTreeMap<(&'t str, &'t str), Vec<&'t str>>;

fn opaque(text: &str) -> (Vec<Opaque<'_>>, BTreeMap<(&str, &str), usize>) {
    let (mut found, mut rules) = (Vec::new(), BTreeMap::new());
    each_rule(text, |table, chain, at, rule| {
        let count = rules.entry((table, chain)).or_insert(0);
        let names = names(rule);
        if !names.is_empty() {
            found.push(Opaque {
                table,
                chain,
                index: *count,
                range: at..at + rule.len(),
                names,
            });
        }
        *count += 1;
    });
    (found, rules)
}

/// Puts the rules that `ask` prints of a table in the places of those of `text` that are opaque, and says of each name whether one of
/// its rules stays so, and why.
fn fill(
    text: &str,
    ask: impl Fn(&str) -> Result<String, String>,
) -> (String, BTreeMap<(String, String), Option<String>>) {
    let (found, rules) = opaque(text);
    let tables: BTreeSet<&str> = found.iter().map(|o| o.table).collect();
    let said: BTreeMap<&str, Result<String, String>> =
        tables.into_iter().map(|t| (t, ask(t))).collect();
    let mut told: BTreeMap<&str, Result<Chains<'_>, &str>> = BTreeMap::new();
    for (table, text) in &said {
        let chains = text.as_deref().map_err(String::as_str).map(|text| {
            let mut chains = Chains::new();
            each_rule(text, |table, chain, _, rule| {
                chains.entry((table, chain)).or_default().push(rule);
            });
            chains
        });
        told.insert(table, chains);
    }
    let mut out = String::with_capacity(text.len());
    let mut fates: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    let mut from = 0;
    for o in &found {
        let key = (o.table, o.chain);
        let rule = match told.get(o.table) {
            Some(Ok(chains)) => chains
                .get(&key)
                .filter(|all| rules.get(&key) == Some(&all.len()))
                .and_then(|all| all.get(o.index))
                .filter(|rule| is_the_one(rule, &o.names))
                .ok_or("its rules are not those that were read"),
            Some(Err(why)) => Err(*why),
            None => Err("it was not asked"),
        };
        for (kind, name) in &o.names {
            let fate = fates.entry(((*kind).into(), (*name).into())).or_default();
            if let Err(why) = rule {
                fate.get_or_insert_with(|| why.into());
            }
        }
        if let Ok(rule) = rule {
            out.push_str(text.get(from..o.range.start).unwrap_or_default());
            out.push_str(rule);
            from = o.range.end;
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    (out, fates)
}

/// Whether a rule as the command prints it has these matches and targets, and they are not opaque to it.
fn is_the_one(rule: &str, wanted: &[(&str, &str)]) -> bool {
    let all: Vec<&str> = words(rule).collect();
    let has = |(kind, name): &(&str, &str)| all.windows(2).any(|w| w == [*kind, *name]);
    names(rule).is_empty() && wanted.iter().all(has)
}

/// Fills in what the decoder left open in the text of a backend, and gives the remarks on it. `program` prints that backend's rules.
pub(super) fn rules(
    text: &mut String,
    decoder: &Decoder<'_>,
    output: &str,
    program: &str,
) -> Vec<String> {
    if decoder.undecoded().next().is_none() {
        return Vec::new();
    }
    let (filled, fates) = fill(text, |table| run(program, &["-t", table]));
    *text = filled;
    let remark = |what: &String| {
        let mut parts = what.split(' ');
        let kind = if parts.next() == Some("match") {
            "-m"
        } else {
            "-j"
        };
        let name = parts.next().unwrap_or_default();
        match fates.get(&(kind.into(), name.into())) {
            Some(None) => format!("{output}: rules with {what} are as `{program}` prints them"),
            fate => {
                let why = fate.and_then(|f| f.as_deref());
                let why = why.map_or(String::new(), |w| format!(" ({w})"));
                format!(
                    "{output}: {what} is not read; rules that have it may match and do anything; `{program}` would show them{why}"
                )
            }
        }
    };
    decoder.undecoded().map(remark).collect()
}

/// A set as `ipset save` prints it, if it is of this type and has so many members.
pub(super) fn set(name: &str, type_name: &str, members: usize) -> Result<String, String> {
    let text = run("ipset", &["save", name])?;
    if is_set(&text, name, type_name, members) {
        Ok(text)
    } else {
        Err("`ipset save` prints another set than was read".into())
    }
}

fn is_set(text: &str, name: &str, type_name: &str, members: usize) -> bool {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let mut head = words(head);
    let created = [head.next(), head.next(), head.next()];
    let member = |l: &str| {
        let mut w = words(l);
        [w.next(), w.next()] == [Some("add"), Some(name)]
    };
    created == [Some("create"), Some(name), Some(type_name)]
        && lines.clone().all(member)
        && lines.count() == members
}
