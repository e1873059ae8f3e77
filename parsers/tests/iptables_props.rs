//! No input makes the iptables parsers panic, and what they print they read back.

use nfwhy_parsers::iptables::{Form, RuleLine, rule, save};
use nfwhy_parsers::{Family, Span};
use proptest::prelude::*;

const LINES: &str = concat!(
    include_str!("data/iptables/legacy4.txt"),
    include_str!("data/iptables/legacy6.txt"),
);

fn whole(text: &str) -> RuleLine {
    RuleLine {
        span: Span::new(0, text.len()),
        line: 1,
    }
}

/// Indexes and parses all of it, and checks what holds for any input; gives the number of rules.
fn survives(text: &str) -> usize {
    let mut count = 0;
    for set in save::index_all(text).value {
        for chain in set.tables.iter().flat_map(|t| &t.chains) {
            for at in &chain.rules {
                assert!((at.span.end as usize) <= text.len());
                count += parse(text, *at);
            }
        }
    }
    count + parse(text, whole(text))
}

fn parse(text: &str, at: RuleLine) -> usize {
    for family in [Family::V4, Family::V6] {
        let (rule, diagnostics) = rule::parse_rule(text, at, Form::Save, family);
        assert!(rule.broken.is_none() || !diagnostics.is_empty());
        for diagnostic in diagnostics {
            assert!(diagnostic.span.start <= diagnostic.span.end);
            assert!(diagnostic.span.end <= at.span.end);
        }
        let printed = rule.display("X").family(family).to_string();
        assert!(printed.starts_with("-A X"));
    }
    1
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        prop_assert!(survives(&text) > 0);
    }

    #[test]
    fn texts_of_the_right_letters(text in "[-!A-Zmjspdcomentgark:*#\\[\\]0-9./,=\"\\\\ \n\rü]{0,120}") {
        prop_assert!(survives(&text) > 0);
    }

    #[test]
    fn words_in_any_order(picks in prop::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let words: Vec<_> = LINES.split_ascii_whitespace().collect();
        let line: Vec<_> = picks.iter().map(|i| *i.get(&words)).collect();
        let line = format!("-A {}", line.join(" "));
        prop_assert!(survives(&line) > 0);
    }

    #[test]
    fn lines_with_a_change(
        line in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        instead in "[ \"\\\\!\n:/,x0-]{0,3}",
        cut in 0usize..6,
    ) {
        let lines: Vec<_> = LINES.lines().collect();
        let mut text: Vec<char> = line.get(&lines).chars().collect();
        let from = place.index(text.len() + 1);
        let to = (from + cut).min(text.len());
        text.splice(from..to, instead.chars());
        let text: String = text.into_iter().collect();
        prop_assert!(survives(&text) > 0);
    }

    /// A rule that was read, printed, is the same rule.
    #[test]
    fn printing_is_stable(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let parts: Vec<_> = LINES
            .lines()
            .filter_map(|l| l.split_once(" -m ").map(|(_, m)| m.split(" -j ").next().unwrap_or(m)))
            .collect();
        let matches: Vec<_> = picks.iter().map(|i| *i.get(&parts)).collect();
        let line = format!("-A X -m {} -j DROP", matches.join(" -m "));
        for family in [Family::V4, Family::V6] {
            let (first, _) = rule::parse_rule(&line, whole(&line), Form::Save, family);
            if first.broken.is_some() {
                continue;
            }
            let printed = first.display("X").family(family).to_string();
            let (mut again, _) = rule::parse_rule(&printed, whole(&printed), Form::Save, family);
            again.at = first.at;
            prop_assert_eq!(&again, &first, "{}", printed);
        }
    }
}
