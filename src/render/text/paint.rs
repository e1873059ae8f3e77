//! Lines of labelled text, their width, and the stylesheet.

use crate::render::escape;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

/// What a piece of text is; the stylesheet says how it looks. Colour never carries meaning alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Plain,
    /// The word at the left that names a section.
    Heading,
    Good,
    Bad,
    Unsure,
    /// A rule or another line of the input.
    Rule,
    /// Where something was read.
    Place,
    /// What a rule did.
    Effect,
    /// What matters less.
    Faint,
}

fn style(label: Label) -> Style {
    let colour = |c: AnsiColor| Style::new().fg_color(Some(c.into()));
    match label {
        Label::Plain | Label::Rule => Style::new(),
        Label::Heading => Style::new().bold(),
        Label::Good => colour(AnsiColor::Green).bold(),
        Label::Bad => colour(AnsiColor::Red).bold(),
        Label::Unsure => colour(AnsiColor::Yellow).bold(),
        Label::Place => colour(AnsiColor::Cyan),
        Label::Effect => colour(AnsiColor::Yellow),
        Label::Faint => Style::new().dimmed(),
    }
}

/// Columns a character takes on a terminal: two for East Asian wide ones, none for combining marks.
fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Columns of a text.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The text cut to `width` columns, the cut shown by `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        if used + columns_of(c) + 1 > width {
            break;
        }
        used += columns_of(c);
        out.push(c);
    }
    out.push('…');
    out
}

/// One line under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    spans: Vec<(Label, String)>,
    width: usize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds text, escaped.
    pub(super) fn add(mut self, label: Label, text: &str) -> Self {
        let text = escape(text);
        self.width += columns(&text);
        self.spans.push((label, text));
        self
    }

    /// Adds text, escaped and cut to `width` columns.
    pub(super) fn add_cut(mut self, label: Label, text: &str, width: usize) -> Self {
        let text = cut(&escape(text), width);
        self.width += columns(&text);
        self.spans.push((label, text));
        self
    }

    /// Fills up with blanks to a column.
    pub(super) fn to(mut self, column: usize) -> Self {
        if self.width < column {
            let fill = " ".repeat(column - self.width);
            self.width = column;
            self.spans.push((Label::Plain, fill));
        }
        self
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// Where lines are written.
pub(super) struct Paper<'w, W: Write> {
    out: &'w mut W,
    pub(super) width: usize,
    colour: bool,
}

impl<'w, W: Write> Paper<'w, W> {
    pub(super) fn new(out: &'w mut W, width: usize, colour: bool) -> Self {
        Self {
            out,
            // Narrower than this nothing can be laid out; the terminal then wraps.
            width: width.max(40),
            colour,
        }
    }

    /// Writes a line, cut to the width, without blanks at its end.
    pub(super) fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut left = self.width;
        let last = line.spans.iter().rposition(|(_, t)| !t.trim().is_empty());
        let shown = last.map_or(0, |i| i + 1);
        for (i, (label, text)) in line.spans.iter().take(shown).enumerate() {
            let text = if i + 1 == shown {
                text.trim_end()
            } else {
                text.as_str()
            };
            let text = cut(text, left);
            left -= columns(&text).min(left);
            let style = style(*label);
            if self.colour && style != Style::new() {
                write!(self.out, "{style}{text}{style:#}")?;
            } else {
                self.out.write_all(text.as_bytes())?;
            }
            if left == 0 {
                break;
            }
        }
        self.out.write_all(b"\n")
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    /// Writes prose: broken at blanks, further lines indented by `indent`. A word longer than the line stands alone.
    pub(super) fn prose(
        &mut self,
        head: (Label, &str),
        body: (Label, &str),
        indent: usize,
    ) -> io::Result<()> {
        for line in self.broken(head, body, indent) {
            self.line_uncut(&line)?;
        }
        Ok(())
    }

    /// The lines of [`Paper::prose`].
    fn broken(&self, head: (Label, &str), body: (Label, &str), indent: usize) -> Vec<Line> {
        let (head_label, head) = head;
        let (label, text) = body;
        let text = escape(text);
        let mut lines = Vec::new();
        let mut line = Line::new().add(head_label, head).to(indent);
        let mut begun = false;
        for word in text.split(' ').filter(|w| !w.is_empty()) {
            let wide = columns(word);
            if begun && line.width + 1 + wide > self.width {
                lines.push(line);
                line = Line::new().to(indent);
                begun = false;
            }
            if begun {
                line = line.add_raw(label, " ");
            }
            line = line.add_raw(label, word);
            begun = true;
        }
        lines.push(line);
        lines
    }

    /// Prose with an aside at the right of its last line: the first of `asides` that fits there.
    pub(super) fn prose_with_aside(
        &mut self,
        head: (Label, &str),
        body: (Label, &str),
        indent: usize,
        asides: &[String],
    ) -> io::Result<()> {
        let mut lines = self.broken(head, body, indent);
        let used = lines.last().map_or(0, Line::width);
        let fits = |a: &&String| used + 2 + columns(a) <= self.width;
        if let (Some(a), Some(last)) = (asides.iter().find(fits), lines.last_mut()) {
            let column = self.width - columns(a);
            *last = std::mem::take(last).to(column).add(Label::Faint, a);
        }
        for line in lines {
            self.line_uncut(&line)?;
        }
        Ok(())
    }

    /// Whether [`Paper::prose_with_aside`] finds room for one of them.
    pub(super) fn has_room(
        &self,
        head: (Label, &str),
        body: (Label, &str),
        indent: usize,
        asides: &[String],
    ) -> bool {
        let used = self
            .broken(head, body, indent)
            .last()
            .map_or(0, Line::width);
        asides.iter().any(|a| used + 2 + columns(a) <= self.width)
    }

    /// An empty line but for an aside at its right.
    pub(super) fn aside(&mut self, text: &str) -> io::Result<()> {
        let column = self.width.saturating_sub(columns(text));
        let line = Line::new().to(column).add(Label::Faint, text);
        self.line(&line)
    }

    fn line_uncut(&mut self, line: &Line) -> io::Result<()> {
        let width = self.width;
        self.width = usize::MAX;
        let done = self.line(line);
        self.width = width;
        done
    }
}

impl Line {
    /// Text that is escaped already.
    fn add_raw(mut self, label: Label, text: &str) -> Self {
        self.width += columns(text);
        match self.spans.last_mut() {
            Some((l, t)) if *l == label => t.push_str(text),
            _ => self.spans.push((label, text.to_owned())),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Label, Line, Paper, columns, cut};

    fn written(width: usize, colour: bool, f: impl Fn(&mut Paper<'_, Vec<u8>>)) -> String {
        let mut out = Vec::new();
        f(&mut Paper::new(&mut out, width, colour));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn cuts_are_shown() {
        assert_eq!(cut("calico", 6), "calico");
        assert_eq!(cut("calicaca1cdbf39", 6), "calic…");
        assert_eq!(columns("日本"), 4);
        assert_eq!(cut("日本語", 5), "日本…");
    }

    #[test]
    fn a_line_never_exceeds_the_width() {
        let line = Line::new()
            .add(Label::Heading, "why")
            .to(9)
            .add(Label::Rule, &"x".repeat(100));
        let text = written(50, false, |p| p.line(&line).unwrap_or_default());
        assert_eq!(text.trim_end().chars().count(), 50);
        assert!(text.ends_with("…\n"));
    }

    #[test]
    fn colour_is_only_around_text() {
        let line = Line::new()
            .add(Label::Bad, "dropped")
            .add(Label::Plain, "  ");
        assert_eq!(
            written(80, false, |p| p.line(&line).unwrap_or_default()),
            "dropped\n"
        );
        let text = written(80, true, |p| p.line(&line).unwrap_or_default());
        assert!(
            text.contains("dropped") && text.starts_with('\u{1b}'),
            "{text:?}"
        );
    }

    #[test]
    fn prose_hangs_and_escapes() {
        let text = written(40, false, |p| {
            let body = "a comment with \u{1b}[31m and \u{202e} in it, longer than one line";
            p.prose((Label::Heading, "why"), (Label::Plain, body), 9)
                .unwrap_or_default();
        });
        assert_eq!(
            text,
            "why      a comment with \\x1b[31m and\n         \\u{202e} in it, longer than one\n         line\n"
        );
    }
}
