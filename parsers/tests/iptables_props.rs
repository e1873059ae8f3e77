//! No input makes the iptables parsers panic, and what they print they read back.

mod checks;

use proptest::prelude::*;

const LINES: &str = concat!(
    include_str!("data/iptables/legacy4.txt"),
    include_str!("data/iptables/legacy6.txt"),
);

proptest! {
    #[test]
    fn texts_of_the_right_letters(text in "[-!A-Zmjspdcomentgark:*#\\[\\]0-9./,=\"\\\\ \n\rü]{0,120}") {
        checks::save(&text);
    }

    #[test]
    fn words_in_any_order(picks in prop::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let words: Vec<_> = LINES.split_ascii_whitespace().collect();
        let line: Vec<_> = picks.iter().map(|i| *i.get(&words)).collect();
        let line = format!("-A {}", line.join(" "));
        checks::save(&line);
    }

    #[test]
    fn matches_in_any_order(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let parts: Vec<_> = LINES
            .lines()
            .filter_map(|l| l.split_once(" -m ").map(|(_, m)| m.split(" -j ").next().unwrap_or(m)))
            .collect();
        let matches: Vec<_> = picks.iter().map(|i| *i.get(&parts)).collect();
        let line = format!("-A X -m {} -j DROP", matches.join(" -m "));
        checks::save(&line);
    }
}
