//! The same rule set, printed as text and as JSON: the records are the same.
//!
//! What one form does not say is taken out of the other, see [`bare`] and [`as_json`].

use nfwhy_parsers::nft::{
    Chain, Element, Form, Object, Place, Rule, Ruleset, Set, Stmt, Table, Type, json, text,
};
use nfwhy_parsers::{Diagnostic, Parsed};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

/// One form of a rule set.
struct Source<'a> {
    text: &'a str,
    ruleset: Ruleset<'a>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str, form: Form) -> Self {
        let Parsed { value, .. } = match form {
            Form::Text => text::index(text),
            Form::Json => json::index(text),
        };
        assert_eq!(value.form, form);
        Self {
            text,
            ruleset: value,
        }
    }

    fn rule(&self, table: &Table<'_>, at: Place) -> (Rule<'a>, Vec<Diagnostic>) {
        match self.ruleset.form {
            Form::Text => text::parse_rule(self.text, at, table.family),
            Form::Json => json::parse_rule(self.text, at, table.family),
        }
    }

    fn elements(&self, table: &Table<'_>, set: &Set<'_>) -> Vec<Element<'a>> {
        let Some(at) = set.elements else {
            return Vec::new();
        };
        let (elements, _) = match self.ruleset.form {
            Form::Text => text::elements(self.text, at, set, table.family),
            Form::Json => json::elements(self.text, at, set, table.family),
        };
        elements.into_iter().map(bare_element).collect()
    }
}

/// Without what is counted, and without what each form words in its own way.
fn bare(stmt: Stmt<'_>) -> Stmt<'_> {
    match stmt {
        Stmt::Counter(_) => Stmt::Counter(None),
        Stmt::Quota { over, bytes, .. } => Stmt::Quota {
            over,
            bytes,
            used: None,
        },
        Stmt::Opaque(_) => Stmt::Opaque("...".into()),
        // Of a map, the text.
        Stmt::Named(kind, name) if name.contains(' ') => Stmt::Named(kind, "...".into()),
        Stmt::Aside(words) if words.contains("map") => Stmt::Aside("...".into()),
        Stmt::Queue(words) if words.contains("map") => Stmt::Queue("...".into()),
        Stmt::Aside(words) if words.starts_with("last") => Stmt::Aside("last".into()),
        Stmt::Update(mut update) => {
            update.stmts = update.stmts.into_iter().map(bare).collect();
            Stmt::Update(update)
        }
        other => other,
    }
}

/// JSON gives times in seconds.
fn bare_element(mut element: Element<'_>) -> Element<'_> {
    element.timeout = element.timeout.map(|ms| ms / 1000);
    element.expires = None;
    element.stmts = element.stmts.into_iter().map(bare).collect();
    element
}

/// Nothing but what it is.
fn heading<'a>(table: &Table<'a>) -> Table<'a> {
    Table {
        handle: None,
        // Before nft 1.1 JSON has no comments of tables and chains.
        comment: None,
        at: Place::default(),
        chains: Vec::new(),
        sets: Vec::new(),
        objects: Vec::new(),
        ..table.clone()
    }
}

fn chain<'a>(chain: &Chain<'a>) -> Chain<'a> {
    let mut chain = chain.clone();
    chain.handle = None;
    chain.comment = None;
    chain.at = Place::default();
    chain.rules = Vec::new();
    if let Some(base) = &mut chain.base {
        // Before nft 1.1 JSON has no devices.
        base.devices = Vec::new();
    }
    chain
}

fn object<'a>(o: &Object<'a>) -> Object<'a> {
    Object {
        handle: None,
        at: Place::default(),
        ..o.clone()
    }
}

/// As JSON says it. Before nft 1.1 it does not say how wide the integers of a set are.
fn as_json(text: &Set<'_>, json: &Set<'_>) -> String {
    let mut text = text.clone();
    for (t, j) in text.key.iter_mut().zip(&json.key) {
        if matches!(t, Type::Integer(_)) && *j == Type::Invalid {
            *t = Type::Invalid;
        }
    }
    text.timeout = text.timeout.map(|ms| ms / 1000 * 1000);
    bare_set(&text)
}

fn bare_set(set: &Set<'_>) -> String {
    let set = Set {
        handle: None,
        at: Place::default(),
        elements: None,
        ..set.clone()
    };
    format!("{set:?}")
}

/// What differs between both forms, and how many rules were compared.
#[derive(Default)]
struct Comparison {
    rules: usize,
    different: Vec<String>,
}

impl Comparison {
    fn same<T: Debug + PartialEq>(&mut self, what: &str, text: &T, json: &T) -> bool {
        let same = text == json;
        if !same {
            self.different
                .push(format!("{what}\n  text: {text:?}\n  json: {json:?}"));
        }
        same
    }

    fn ruleset(&mut self, name: &str, text: &str, json: &str) {
        let (text, json) = (Source::new(text, Form::Text), Source::new(json, Form::Json));
        let tables = |s: &Source<'_>| {
            let tables = s.ruleset.tables.iter().map(heading);
            tables.map(|t| format!("{t:?}")).collect::<Vec<_>>()
        };
        if self.same(name, &tables(&text), &tables(&json)) {
            for (t, j) in text.ruleset.tables.iter().zip(&json.ruleset.tables) {
                self.table(&format!("{name} {}", t.name), (&text, t), (&json, j));
            }
        }
    }

    fn table(
        &mut self,
        name: &str,
        (text, t): (&Source<'_>, &Table<'_>),
        (json, j): (&Source<'_>, &Table<'_>),
    ) {
        if self.same(name, &t.sets.len(), &j.sets.len()) {
            for (ts, js) in t.sets.iter().zip(&j.sets) {
                let name = format!("{name} {}", ts.name);
                self.same(&name, &as_json(ts, js), &bare_set(js));
                self.same(&name, &text.elements(t, ts), &json.elements(j, js));
            }
        }
        let objects = |t: &Table<'_>| {
            let objects = t.objects.iter().map(|o| format!("{:?}", object(o)));
            let mut objects: Vec<String> = objects.collect();
            objects.sort();
            objects
        };
        self.same(name, &objects(t), &objects(j));
        if !self.same(name, &t.chains.len(), &j.chains.len()) {
            return;
        }
        for (tc, jc) in t.chains.iter().zip(&j.chains) {
            let name = format!("{name} {}", tc.name);
            self.same(&name, &chain(tc), &chain(jc));
            if !self.same(&name, &tc.rules.len(), &jc.rules.len()) {
                continue;
            }
            for (tr, jr) in tc.rules.iter().zip(&jc.rules) {
                let (tt, jt) = (tr.at.span.of(text.text), jr.at.span.of(json.text));
                let name = format!("{name}\n  {tt}\n  {jt}");
                let (a, a_reports) = text.rule(t, tr.at);
                let (b, b_reports) = json.rule(j, jr.at);
                self.same(&name, &bare_rule(a), &bare_rule(b));
                if a_reports.is_empty() != b_reports.is_empty() {
                    self.same(&name, &a_reports, &b_reports);
                }
                self.rules += 1;
            }
        }
    }
}

fn bare_rule(mut rule: Rule<'_>) -> Rule<'_> {
    rule.stmts = rule.stmts.into_iter().map(bare).collect();
    rule
}

/// The folder's samples, `NAME.json` and `NAME.txt`.
fn samples() -> Vec<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nft");
    let files = fs::read_dir(folder).expect("the samples");
    let files = files.map(|entry| entry.expect("an entry").path());
    let json = files.filter(|f| f.extension().is_some_and(|e| e == "json"));
    json.map(|json| (json.with_extension("txt"), json))
        .filter(|(text, _)| text.exists())
        .collect()
}

/// Snapshots of nodes that were captured in both forms.
fn snapshots() -> Vec<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots");
    let nodes = fs::read_dir(folder).expect("the snapshots");
    let nodes = nodes.map(|entry| entry.expect("an entry").path());
    nodes
        .map(|node| (node.join("nft.txt"), node.join("json/nft.json")))
        .filter(|(text, json)| text.exists() && json.exists())
        .collect()
}

#[track_caller]
fn check(pairs: &[(PathBuf, PathBuf)], rules: usize) {
    let mut all = Comparison::default();
    for (text, json) in pairs {
        let read = |path: &Path| fs::read_to_string(path).expect("a sample");
        all.ruleset(&text.display().to_string(), &read(text), &read(json));
    }
    assert!(all.different.is_empty(), "{}", all.different.join("\n"));
    assert!(all.rules >= rules, "{} rules", all.rules);
}

#[test]
fn samples_give_the_same_records() {
    check(&samples(), 1000);
}

#[test]
fn nodes_give_the_same_records() {
    check(&snapshots(), 100);
}
