//! Where strings end, and other small things that more than one of the readers needs.

use memchr::memchr;

/// No string that nft prints is longer: a comment has up to 128 bytes, a log prefix up to 127.
const LONGEST: usize = 512;

/// Behind the quote that closes the string whose text begins at `start`; `None` where it is not closed.
///
/// nft knows no escape for a quote (`src/scanner.l`: `\"[^"]*\"`), and a string may hold line ends. So that one lost quote does not turn
/// the rest of the rule set inside out, a quote on a later line closes only if it stands as one that closes.
pub(super) fn string_end(source: &str, start: usize, limit: usize) -> Option<usize> {
    let text = source.as_bytes().get(start..limit)?;
    let text = text.get(..LONGEST).unwrap_or(text);
    let quote = memchr(b'"', text)?;
    let line = memchr(b'\n', text.get(..quote)?).is_none();
    let closes = || {
        matches!(
            text.get(quote + 1),
            None | Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b';')
        )
    };
    (line || closes()).then_some(start + quote + 1)
}

/// A line without `# handle N` and blanks at its end, and the handle.
pub(super) fn handle(line: &str) -> (&str, Option<u64>) {
    let line = line.trim_ascii_end();
    let digits = line
        .bytes()
        .rev()
        .take_while(u8::is_ascii_digit)
        .take(20)
        .count();
    if digits > 0
        && let Some((rest, number)) = line.split_at_checked(line.len() - digits)
        && let Some(rest) = rest.strip_suffix("# handle ")
        && (rest.is_empty() || rest.ends_with([' ', '\t']))
        && let Ok(number) = number.parse()
    {
        return (rest.trim_ascii_end(), Some(number));
    }
    (line, None)
}

/// What stands behind the brace of a heading: `# handle 3`, `# handle 3 progname x`.
pub(super) fn heading_handle(comment: &str) -> Option<u64> {
    let (_, rest) = comment.split_once("handle ")?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// A span of time, in milliseconds: `1d2h3m4s500ms` (`time_print` in `src/datatype.c`). A bare number is seconds.
pub(super) fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at_checked(digits)?;
        let unit = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at_checked(unit)?;
        let factor: u64 = match unit {
            "w" => 604_800_000,
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" | "" => 1000,
            "ms" => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

/// Factor of `bytes`, `kbytes`, `mbytes`.
pub(super) fn byte_unit(word: &str) -> Option<u64> {
    Some(match word {
        "bytes" => 1,
        "kbytes" => 1 << 10,
        "mbytes" => 1 << 20,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_quote() {
        let end = |text: &str| string_end(text, 0, text.len());
        assert_eq!(end("abc\" drop"), Some(4));
        assert_eq!(end("two\nlines\" drop"), Some(10));
        assert_eq!(end("\"x"), Some(1));
        assert_eq!(
            end("lost\n\tip saddr 10.0.0.1 comment \"next\""),
            None,
            "the quote opens the next comment"
        );
        assert_eq!(end("never closed"), None);
    }

    #[test]
    fn handles_stand_at_the_end_of_a_line() {
        assert_eq!(handle("drop # handle 12"), ("drop", Some(12)));
        assert_eq!(handle("drop # handle 12\r"), ("drop", Some(12)));
        assert_eq!(handle("drop"), ("drop", None));
        assert_eq!(handle("drop# handle 12"), ("drop# handle 12", None));
        assert_eq!(handle("meta mark 12"), ("meta mark 12", None));
        assert_eq!(handle("# handle 3"), ("", Some(3)));
    }

    #[test]
    fn spans_of_time() {
        for (text, ms) in [
            ("3h", Some(10_800_000)),
            ("1d2h3m4s500ms", Some(93_784_500)),
            ("45", Some(45_000)),
            ("1w", Some(604_800_000)),
            ("", None),
            ("h", None),
            ("3y", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text), ms, "{text}");
        }
    }
}
