//! What was wrong with the input: the message, file, line and column, the line itself with carets below, and what to do.

use super::{acts_on_terminal, escape};
use crate::node::{FileId, Node, Warning};
use annotate_snippets::{AnnotationKind, Group, Level, Message, Renderer, Snippet};
use std::collections::HashMap;
use std::io::{self, Write};

/// Shown of each file before the rest is only counted.
const SHOWN: usize = 8;

/// Columns for a line of input; with the line's number before it, it fits a terminal of 100.
const WIDTH: usize = 90;

/// The same for the renderer, which counts the blanks that stand for the start of a long line, and is not to cut once more.
const RENDERED: usize = WIDTH + 12;

/// How much of a long line stands before what is pointed at.
const BEFORE: usize = 30;

/// The lines of the files that warnings are about: a file may have very many of both.
type Lines<'n> = HashMap<FileId, Vec<&'n str>>;

/// Writes the node's warnings; all of them with `all`.
pub fn write_warnings(out: &mut impl Write, node: &Node<'_>, all: bool) -> io::Result<()> {
    let mut shown = 0;
    let mut lines = Lines::new();
    for w in &node.warnings {
        if !all && shown == SHOWN {
            break;
        }
        shown += 1;
        write_one(out, node, w, &mut lines)?;
    }
    let left = node.warnings.len() - shown;
    if left > 0 {
        writeln!(
            out,
            "warning: {left} more about the input (--detail shows all)"
        )?;
    }
    Ok(())
}

fn write_one<'n>(
    out: &mut impl Write,
    node: &'n Node<'_>,
    w: &Warning,
    lines: &mut Lines<'n>,
) -> io::Result<()> {
    let message = shortened(&escape(&w.message));
    let help = w.help.as_deref().map(escape);
    let excerpt = w.file.and_then(|f| excerpt(node, f, w, lines));
    let (Some(file), Some(excerpt)) = (w.file, excerpt) else {
        let place = match (w.file, w.line) {
            (None, _) => String::new(),
            (Some(f), 0) => format!("{}: ", node.file_name(f)),
            (Some(f), n) => format!("{}:{n}: ", node.file_name(f)),
        };
        writeln!(out, "warning: {}{message}", escape(&place))?;
        if let Some(h) = help {
            writeln!(out, "  = help: {h}")?;
        }
        return Ok(());
    };
    let name = escape(node.file_name(file));
    let line = w.line as usize;
    let mut group = Group::with_title(Level::WARNING.primary_title(message)).element(
        Snippet::source(excerpt.text)
            .path(name)
            .line_start(line)
            .annotation(AnnotationKind::Primary.span(excerpt.from..excerpt.to)),
    );
    if let Some(h) = help {
        group = group.element(help_of(h));
    }
    // Of the stream it is known whether colours are wanted, of a pipe's other end not; warnings have none.
    writeln!(
        out,
        "{}",
        Renderer::plain().term_width(RENDERED).render(&[group])
    )
}

/// A message may quote a word of any length.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut all = text.chars();
    let mut head: String = all.by_ref().take(LONGEST).collect();
    if all.next().is_some() {
        head.push_str("...");
    }
    head
}

fn help_of(text: String) -> Message<'static> {
    Level::HELP.message(text)
}

/// A line of the input as it is shown.
#[derive(Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// Bytes of `text` that are pointed at.
    from: usize,
    to: usize,
}

fn excerpt<'n>(
    node: &'n Node<'_>,
    file: FileId,
    w: &Warning,
    lines: &mut Lines<'n>,
) -> Option<Excerpt> {
    let columns = w.columns?;
    let number = (w.line as usize).checked_sub(1)?;
    let text = node.files.get(usize::from(file.0))?.text;
    let lines = lines.entry(file).or_insert_with(|| text.lines().collect());
    Some(window(lines.get(number)?, columns))
}

/// The part of a line around the columns, nothing in it that a terminal acts on.
fn window(line: &str, (from, to): (u32, u32)) -> Excerpt {
    let boundary = |byte: u32| {
        let mut at = (byte as usize).min(line.len());
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (from, to) = (boundary(from), boundary(to.max(from)));
    let before = line.get(..from).unwrap_or_default();
    // The whole line, or as much of it as fits behind a little of what stands before.
    let mut start = 0;
    if line.len() > WIDTH && width(line) > WIDTH && width(before) + width_of(line, from, to) > WIDTH
    {
        let mut room = BEFORE;
        start = from;
        for (i, c) in before.char_indices().rev() {
            let Some(left) = room.checked_sub(char_width(c)) else {
                break;
            };
            (room, start) = (left, i);
        }
    }
    let mut text = String::new();
    // The renderer counts the column from the start of what it is given, and leaves blanks out.
    if start > 0 {
        let cut_off = line.get(..start).map_or(0, |t| t.chars().count());
        text.extend(std::iter::repeat_n(' ', cut_off));
    }
    let (mut a, mut b) = (None, None);
    let mut room = WIDTH;
    let mut cut = false;
    for (i, c) in line.char_indices().skip_while(|(i, _)| *i < start) {
        if i == from {
            a = Some(text.len());
        }
        if i == to {
            b = Some(text.len());
        }
        let Some(left) = room.checked_sub(char_width(c)) else {
            cut = true;
            break;
        };
        room = left;
        if c == '\t' {
            text.push(' ');
        } else if acts_on_terminal(c) {
            text.push_str(&escape(c.encode_utf8(&mut [0; 4])));
        } else {
            text.push(c);
        }
    }
    let end = text.len();
    if cut {
        text.push_str("...");
    }
    let from = a.unwrap_or(end);
    Excerpt {
        from,
        to: b.unwrap_or(end).max(from),
        text,
    }
}

fn width_of(line: &str, from: usize, to: usize) -> usize {
    line.get(from..to).map_or(0, width)
}

fn width(text: &str) -> usize {
    text.chars().take(2 * WIDTH).map(char_width).sum()
}

/// Columns that a character takes as it is shown; none takes more.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        9 => 1,
        n if acts_on_terminal(c) => {
            if n <= 0x7f {
                4
            } else {
                8
            }
        }
        // East Asian characters and emoji begin here, and take two.
        n if n >= 0x1100 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Snapshot;

    /// What is written of a file with these warnings' one.
    fn shown(text: &str) -> String {
        let mut snapshot = Snapshot::default();
        let head = "# Generated by iptables-save v1.8.9 on Thu Nov 26 02:06:13 2026\n*filter\n:FORWARD ACCEPT [0:0]\n";
        snapshot.add(
            "rules".into(),
            format!("{head}{text}\nCOMMIT\n").into_bytes(),
        );
        let node = Node::new(&snapshot);
        let mut out = Vec::new();
        write_warnings(&mut out, &node, true).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[track_caller]
    fn shows(rule: &str, want: &str) {
        assert_eq!(shown(rule), want.trim_start_matches('\n'));
    }

    #[test]
    fn a_line_with_carets_and_what_to_do() {
        shows(
            "-A FORWARD -p tcp -m tcp --dport eighty -j DROP",
            "
warning: `eighty` is not a port or a range of ports
 --> rules:4:34
  |
4 | -A FORWARD -p tcp -m tcp --dport eighty -j DROP
  |                                  ^^^^^^
  |
  = help: compare with the output of iptables-save on the node
",
        );
    }

    #[test]
    fn of_a_long_line_what_is_around_the_place() {
        let long = format!(
            "-A FORWARD -m comment --comment \"{}\" -p tcp -m tcp --dport eighty -m comment --comment \"{}\" -j DROP",
            "a".repeat(100_000),
            "b".repeat(100_000)
        );
        shows(
            &long, "
warning: `eighty` is not a port or a range of ports
 --> rules:4:100058
  |
4 | ...   aaaaaa\" -p tcp -m tcp --dport eighty -m comment --comment \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...
  |                                     ^^^^^^
  |
  = help: compare with the output of iptables-save on the node
",
        );
        // Of a word that is itself longer than a line, its beginning.
        let said = shown(&format!("-A FORWARD --{}", "x".repeat(100_000)));
        assert!(said.len() < 1000, "{said}");
        assert!(said.contains("4 | -A FORWARD --xxx"), "{said}");
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_by_its_number_and_the_carets_stay_in_place() {
        shows(
            "-A FORWARD -m comment --comment \"\u{4e2d}\u{6587}\tx\u{1b}[2J\u{202e}\" -p tcp -m tcp --dport eighty -j DROP",
            "
warning: `eighty` is not a port or a range of ports
 --> rules:4:77
  |
4 | -A FORWARD -m comment --comment \"中文 x\\x1b[2J\\u{202e}\" -p tcp -m tcp --dport eighty -j DR...
  |                                                                               ^^^^^^
  |
  = help: compare with the output of iptables-save on the node
",
        );
    }

    #[test]
    fn any_place_in_any_line() {
        for line in [
            "",
            "a",
            "\u{e9}\u{4e2d}\t\u{0}",
            &"\u{4e2d}".repeat(500),
            &"\u{1b}".repeat(300),
            &" ".repeat(500),
        ] {
            let len = u32::try_from(line.len()).expect("short");
            for from in 0..len + 3 {
                for to in [from, from + 1, len / 2, len, u32::MAX] {
                    let e = window(line, (from, to));
                    assert!(e.text.get(e.from..e.to).is_some(), "{line:?} {from} {to}");
                    assert!(!e.text.contains(acts_on_terminal), "{:?}", e.text);
                    assert!(
                        e.text.trim_start().chars().count() <= WIDTH + 3,
                        "{:?}",
                        e.text
                    );
                    let group = Group::with_title(Level::WARNING.primary_title("x")).element(
                        Snippet::source(e.text.as_str())
                            .path("f")
                            .line_start(1)
                            .annotation(AnnotationKind::Primary.span(e.from..e.to)),
                    );
                    assert!(
                        Renderer::plain()
                            .term_width(RENDERED)
                            .render(&[group])
                            .contains('^')
                    );
                }
            }
        }
    }
}
