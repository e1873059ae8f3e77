//! `nft list ruleset` as text.

use super::{place, reports};
use nfwhy_parsers::Span;
use nfwhy_parsers::nft::{Place, TableFamily, text};

/// One rule, read where it stands and on its own.
fn rule(source: &str, at: Place, family: TableFamily) {
    place(source, at.line, at.span);
    let (rule, diagnostics) = text::parse_rule(source, at, family);
    reports(source, &diagnostics);
    let alone = at.span.of(source);
    let whole = Place {
        span: Span::new(0, alone.len()),
        line: 1,
    };
    let (again, _) = text::parse_rule(alone, whole, family);
    assert_eq!(again, rule, "{alone:?} reads otherwise on its own");
}

/// The line that a byte is on.
struct Lines<'a> {
    source: &'a str,
    at: usize,
    line: u32,
}

impl Lines<'_> {
    /// Of a byte that does not stand before the one asked for last.
    fn of(&mut self, at: usize) -> u32 {
        let between = &self.source[self.at..at];
        self.line += u32::try_from(between.matches('\n').count()).expect("few lines");
        self.at = at;
        self.line
    }
}

pub fn nft(source: &str) {
    let parsed = text::index(source);
    reports(source, &parsed.diagnostics);
    let mut lines = Lines {
        source,
        at: 0,
        line: 1,
    };
    let mut end = 0;
    for table in &parsed.value.tables {
        place(source, table.at.line, table.at.span);
        assert!(table.at.span.start >= end, "tables overlap in {source:?}");
        end = table.at.span.end;
        for object in &table.objects {
            place(source, object.at.line, object.at.span);
        }
        for set in &table.sets {
            place(source, set.at.line, set.at.span);
            assert!(!set.key.is_empty());
            let Some(at) = set.elements else { continue };
            place(source, at.line, at.span);
            assert!(at.span.end <= set.at.span.end, "{set:?} in {source:?}");
            let (_, diagnostics) = text::elements(source, at, set, table.family);
            reports(source, &diagnostics);
        }
        let mut before = table.at.span.start;
        for chain in &table.chains {
            place(source, chain.at.line, chain.at.span);
            for at in &chain.rules {
                let Span { start, end } = at.at.span;
                assert!(before <= start && start < end, "{at:?} in {source:?}");
                assert!(end <= table.at.span.end, "{at:?} in {source:?}");
                assert_eq!(at.at.line, lines.of(start as usize), "in {source:?}");
                before = end;
                rule(source, at.at, table.family);
            }
        }
    }
    for family in [TableFamily::Inet, TableFamily::Bridge] {
        let whole = Place {
            span: Span::new(0, source.len()),
            line: 1,
        };
        rule(source, whole, family);
    }
}
