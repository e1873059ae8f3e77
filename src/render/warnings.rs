//! What was wrong with the input: file, line, the line itself, a caret.

use super::escape;
use crate::node::{Node, Warning};
use std::io::{self, Write};

/// Shown of each file before the rest is only counted.
const SHOWN: usize = 8;

/// Writes the node's warnings; all of them with `all`.
pub fn write_warnings(out: &mut impl Write, node: &Node<'_>, all: bool) -> io::Result<()> {
    let mut shown = 0;
    for w in &node.warnings {
        if !all && shown == SHOWN {
            break;
        }
        shown += 1;
        write_one(out, node, w)?;
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

fn write_one(out: &mut impl Write, node: &Node<'_>, w: &Warning) -> io::Result<()> {
    let place = match (w.file, w.line) {
        (None, _) => String::new(),
        (Some(f), 0) => format!("{}: ", node.file_name(f)),
        (Some(f), n) => format!("{}:{n}: ", node.file_name(f)),
    };
    writeln!(out, "warning: {}{}", escape(&place), escape(&w.message))?;
    if let (Some(file), true) = (w.file, w.line > 0) {
        let line = node
            .files
            .get(usize::from(file.0))
            .and_then(|f| f.text.lines().nth(w.line as usize - 1));
        if let Some(line) = line
            && w.columns.is_some()
        {
            let (line, from, to) = window(line, w.columns.unwrap_or_default());
            writeln!(out, "  | {line}")?;
            writeln!(
                out,
                "  | {}{}",
                " ".repeat(from),
                "^".repeat(to.saturating_sub(from).max(1))
            )?;
        }
    }
    if let Some(h) = &w.help {
        writeln!(out, "  = help: {}", escape(h))?;
    }
    Ok(())
}

/// The part of a line around the columns, escaped, and the columns within it in characters.
fn window(line: &str, (from, to): (u32, u32)) -> (String, usize, usize) {
    const WIDTH: usize = 92;
    let chars: Vec<(usize, char)> = line.char_indices().collect();
    let at = |byte: u32| {
        chars
            .iter()
            .position(|(i, _)| *i >= byte as usize)
            .unwrap_or(chars.len())
    };
    let (from, to) = (at(from), at(to));
    let start = if to <= WIDTH {
        0
    } else {
        from.saturating_sub(20)
    };
    let mut text = String::new();
    let (mut a, mut b) = (0, 0);
    for (i, (_, c)) in chars.iter().enumerate().skip(start) {
        if i == from {
            a = text.chars().count();
        }
        if i == to {
            b = text.chars().count();
        }
        let piece = escape(&c.to_string());
        if text.chars().count() + piece.chars().count() > WIDTH {
            break;
        }
        text.push_str(&piece);
    }
    let end = text.chars().count();
    if from >= chars.len() {
        a = end;
    }
    if b == 0 || to >= chars.len() {
        b = end.max(a + 1);
    }
    (text, a, b)
}
