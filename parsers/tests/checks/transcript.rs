//! Pasted sessions.

use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::transcript::{parse_command, read};

/// Every line belongs to at most one output, in the order of the text; outputs are of a kind and have lines.
pub fn transcript(text: &str) {
    let t = read(text);
    let lines = u32::try_from(text.split('\n').count()).expect("a short text");
    let mut last = 0;
    for b in &t.blocks {
        assert!(!b.lines.is_empty(), "an empty output in {text:?}");
        assert!(
            !matches!(b.kind, Kind::Unknown | Kind::Empty | Kind::Binary),
            "an output of no kind in {text:?}"
        );
        if let Some(c) = &b.command {
            assert!(c.line > 0 && c.line < b.first_line(), "{c:?} in {text:?}");
        }
        for row in &b.lines {
            assert!(
                row.number > last && row.number <= lines,
                "{row:?} in {text:?}"
            );
            last = row.number;
            assert!(!row.text.contains('\n'), "{row:?} in {text:?}");
        }
    }
    // Any line may be typed at a prompt.
    for line in text.lines().take(64) {
        let _ = parse_command(line, 1);
    }
}
