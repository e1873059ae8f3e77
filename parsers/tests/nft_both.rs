//! The same rule set, printed as text and as JSON: the records are the same.
//!
//! What one form does not say is taken out of the other, see [`bare`] and [`same_set`].

use nfwhy_parsers::nft::{
    Chain, Element, Form, Object, Place, Rule, Ruleset, Set, Stmt, Table, Type, json, text,
};
use nfwhy_parsers::{Diagnostic, Parsed};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

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
        Stmt::Named(kind, name) => Stmt::Named(
            kind,
            match name.contains(' ') {
                true => Cow::Borrowed("..."),
                false => name,
            },
        ),
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
        of_iptables: false,
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

/// JSON before nft 1.1 does not say how wide the integers of a set are.
fn same_set(text: &Set<'_>, json: &Set<'_>) {
    let key = text.key.iter().zip(&json.key).map(|(t, j)| match (t, j) {
        (Type::Integer(_), Type::Invalid) => Type::Invalid,
        (t, _) => *t,
    });
    let expected = Set {
        key: key.collect(),
        handle: None,
        timeout: text.timeout.map(|ms| ms / 1000 * 1000),
        at: Place::default(),
        elements: None,
        ..text.clone()
    };
    let found = Set {
        handle: None,
        at: Place::default(),
        elements: None,
        ..json.clone()
    };
    assert_eq!(expected, found);
    assert_eq!(text.key.len(), json.key.len(), "{}", text.name);
}

/// Statements that nft 1.0.6 prints as text into JSON, having no other form for them.
fn is_text(json: &str) -> bool {
    json.contains("\"add @dyn ") || json.contains("\"update @dyn ")
}

/// Compares both forms and gives the number of rules.
fn compare(name: &str, text: &str, json: &str) -> usize {
    let (text, json) = (Source::new(text, Form::Text), Source::new(json, Form::Json));
    let tables = |s: &Source<'_>| s.ruleset.tables.len();
    assert_eq!(tables(&text), tables(&json), "{name}");
    let mut rules = 0;
    for (t, j) in text.ruleset.tables.iter().zip(&json.ruleset.tables) {
        assert_eq!(heading(t), heading(j), "{name}");
        assert_eq!(t.sets.len(), j.sets.len(), "{name} {}", t.name);
        for (ts, js) in t.sets.iter().zip(&j.sets) {
            same_set(ts, js);
            assert_eq!(
                text.elements(t, ts),
                json.elements(j, js),
                "{name} {}",
                ts.name
            );
        }
        let objects = |t: &Table<'_>| {
            let mut all: Vec<String> = t
                .objects
                .iter()
                .map(|o| format!("{:?}", object(o)))
                .collect();
            all.sort();
            all
        };
        assert_eq!(objects(t), objects(j), "{name} {}", t.name);
        assert_eq!(t.chains.len(), j.chains.len(), "{name} {}", t.name);
        for (tc, jc) in t.chains.iter().zip(&j.chains) {
            assert_eq!(chain(tc), chain(jc), "{name}");
            assert_eq!(tc.rules.len(), jc.rules.len(), "{name} {}", tc.name);
            for (tr, jr) in tc.rules.iter().zip(&jc.rules) {
                let ((mut a, a_reports), (mut b, b_reports)) =
                    (text.rule(t, tr.at), json.rule(j, jr.at));
                let (ta, tb) = (tr.at.span.of(text.text), jr.at.span.of(json.text));
                if is_text(tb) {
                    continue;
                }
                a.stmts = a.stmts.into_iter().map(bare).collect();
                b.stmts = b.stmts.into_iter().map(bare).collect();
                assert_eq!(a, b, "{name}\n{ta}\n{tb}");
                assert_eq!(
                    a_reports.is_empty(),
                    b_reports.is_empty(),
                    "{ta}\n{a_reports:?}\n{b_reports:?}"
                );
                rules += 1;
            }
        }
    }
    rules
}

#[test]
fn text_and_json_give_the_same_records() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nft");
    let mut pairs = 0;
    let mut rules = 0;
    for entry in fs::read_dir(&folder).expect("the samples") {
        let json = entry.expect("an entry").path();
        let text = json.with_extension("txt");
        if json.extension().is_none_or(|e| e != "json") || !text.exists() {
            continue;
        }
        let read = |path: &Path| fs::read_to_string(path).expect("a sample");
        rules += compare(&json.display().to_string(), &read(&text), &read(&json));
        pairs += 1;
    }
    assert!(pairs >= 4, "{pairs} pairs");
    assert!(rules >= 500, "{rules} rules");
}
