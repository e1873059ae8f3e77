//! A rule's own line, shortened for display.

use super::paint::{columns, cut};
use crate::node::Node;
use crate::render::escape;
use crate::trace::Hit;

/// The rule's line, escaped, with its blanks run together and without counters in front.
pub(super) fn line(node: &Node<'_>, hit: Hit) -> String {
    let text = node
        .netfilter
        .tables
        .get(hit.table)
        .map_or("", |t| t.rule_text(hit.chain, hit.rule));
    let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    match text.strip_prefix('[').and_then(|t| t.split_once("] ")) {
        Some((counters, rest)) if counters.contains(':') => escape(rest),
        _ => escape(&text),
    }
}

/// The same without its comment.
pub(super) fn without_comment(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("-m comment --comment ") {
        out.push_str(before);
        rest = skip_argument(after).trim_start();
    }
    out.push_str(rest);
    // A listing shows comments between /* and */.
    if let (Some(a), Some(b)) = (out.find("/* "), out.rfind(" */"))
        && a < b
    {
        out.replace_range(a..b + 3, "");
        out = out.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    out.trim_end().to_owned()
}

/// The line cut to `width` columns such that the target stays: `-A X -s 10.… -j DROP`.
pub(super) fn fit(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let at = line.rfind(" -j ").or_else(|| line.rfind(" -g "));
    match at.map(|i| line.split_at(i)) {
        Some((head, tail)) if columns(tail) + 12 <= width => {
            format!("{}{tail}", cut(head, width - columns(tail)))
        }
        _ => cut(line, width),
    }
}

/// What follows one argument, which may be quoted with backslash escapes.
fn skip_argument(text: &str) -> &str {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_once(' ').map_or("", |(_, r)| r);
    };
    let mut escaped = false;
    for (i, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return quoted.get(i + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

/// What follows `-A CHAIN`, without the comment.
pub(super) fn body(node: &Node<'_>, hit: Hit) -> String {
    let line = without_comment(&line(node, hit));
    match line.strip_prefix("-A ").and_then(|l| l.split_once(' ')) {
        Some((_, rest)) => rest.to_owned(),
        None if line.starts_with("-A ") => String::new(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::without_comment;

    #[test]
    fn comments_are_left_out() {
        for (line, short) in [
            (
                r#"-A X -m comment --comment "kubernetes \"portals\"" -m mark --mark 0x1/0x1 -j Y"#,
                "-A X -m mark --mark 0x1/0x1 -j Y",
            ),
            ("-A X -m comment --comment word -j Y", "-A X -j Y"),
            ("-A X -m comment --comment word", "-A X"),
            (r#"-A X -m comment --comment "not closed -j Y"#, "-A X"),
            ("-A X -j Y", "-A X -j Y"),
            ("ACCEPT all -- * * 0.0.0.0/0 /* why */ mark match 0x1", "ACCEPT all -- * * 0.0.0.0/0 mark match 0x1"),
        ] {
            assert_eq!(without_comment(line), short);
        }
    }
}
