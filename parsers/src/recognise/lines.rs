//! The lines of a text with their numbers and byte offsets.

use crate::common::Span;
use memchr::memchr;

/// One line without its line end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub number: u32,
    /// Byte offset of `text` in the source.
    pub start: usize,
    /// The line; neither `\n` nor a `\r` before it belongs to it.
    pub text: &'a str,
}

impl Line<'_> {
    /// The span of the whole line.
    pub fn span(&self) -> Span {
        Span::new(self.start, self.start + self.text.len())
    }

    /// The span of a slice of this line; the whole line for text from elsewhere.
    pub fn span_of(&self, part: &str) -> Span {
        let at = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        // Text that lies a little before the line in memory gives a distance close to the largest number.
        match at.checked_add(part.len()) {
            Some(end) if end <= self.text.len() => Span::new(self.start + at, self.start + end),
            _ => self.span(),
        }
    }
}

/// Iterator over the lines of a text. A byte order mark at the start is skipped.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    source: &'a str,
    at: usize,
    number: u32,
}

impl<'a> Lines<'a> {
    /// The lines of `source`.
    pub fn new(source: &'a str) -> Self {
        Self {
            source,
            at: if source.starts_with('\u{feff}') { 3 } else { 0 },
            number: 0,
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.source.get(self.at..).filter(|r| !r.is_empty())?;
        let start = self.at;
        let end = memchr(b'\n', rest.as_bytes());
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.at += end.map_or(rest.len(), |n| n + 1);
        self.number = self.number.saturating_add(1);
        Some(Line {
            number: self.number,
            start,
            text: text.strip_suffix('\r').unwrap_or(text),
        })
    }
}

/// Whether a line says that text was left out: `...`, `…`, `[...]`, `(output omitted)`, or an end in dots.
pub fn is_cut(line: &str) -> bool {
    let t = line.trim();
    t.ends_with("...")
        || t.ends_with('…')
        || matches!(
            t,
            "[...]" | "<...>" | "(...)" | "[…]" | "[snip]" | "<snip>" | "--More--"
        )
        || (t.starts_with(['[', '(', '<']) && (t.contains("omitted") || t.contains("truncated")))
}

/// The command after a shell prompt: `root@node:~# ipset list`, `[root@node ~]$ sudo ipvsadm -ln`, `# ip route`, `node1 $ ip a`.
pub(crate) fn prompt(line: &str) -> Option<&str> {
    const TOOLS: &[&str] = &[
        "ip",
        "ipset",
        "ipvsadm",
        "iptables",
        "ip6tables",
        "iptables-save",
        "ip6tables-save",
        "iptables-nft",
        "iptables-legacy",
        "iptables-nft-save",
        "iptables-legacy-save",
        "ip6tables-nft-save",
        "ip6tables-legacy-save",
        "ipvsadm-save",
        "nft",
        "route",
        "sysctl",
        "conntrack",
        "tcpdump",
        "cat",
        "grep",
        "kubectl",
        "docker",
        "nsenter",
        "crictl",
        "exit",
        "logout",
        "echo",
        "arp",
        "netstat",
        "ls",
        "cd",
        "sudo",
        "uname",
        "hostname",
    ];
    let t = line.trim();
    // Prompts are short and end in one of these marks followed by a space.
    let (i, _) = t.char_indices().take(80).find(|(i, c)| {
        matches!(c, '#' | '$' | '%' | '>')
            && t.get(i + 1..)
                .is_some_and(|r| r.is_empty() || r.starts_with(' '))
    })?;
    let head = t.get(..i)?;
    let command = t.get(i + 1..)?.trim();
    let word = command
        .split_whitespace()
        .find(|w| *w != "sudo")
        .unwrap_or("");
    let tool = word.rsplit('/').next().unwrap_or(word);
    let host = head.contains('@') || head.ends_with(']') || head.ends_with('~');
    let known = TOOLS.contains(&tool);
    // A bare mark may also start a comment or a quotation, so there the command decides.
    if known && (host || head.split_whitespace().count() <= 1) || host && command.is_empty() {
        Some(command)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_line_has_a_span_and_other_text_has_the_lines() {
        let source = "before\nthe line\nbehind";
        let line = Lines::new(source).nth(1).expect("a second line");
        let of = |range: std::ops::Range<usize>| line.span_of(&source[range]).of(source);
        assert_eq!(of(11..15), "line");
        assert_eq!(of(7..7), "");
        // Neither is text around it, although it lies close in memory.
        for range in [0..6, 5..9, 0..source.len(), 10..20, 18..20] {
            assert_eq!(of(range), "the line");
        }
        assert_eq!(line.span_of("elsewhere").of(source), "the line");
    }
}
