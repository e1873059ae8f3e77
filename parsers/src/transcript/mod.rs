//! A pasted terminal session: prompts, outputs of several commands, prose between, parts cut out.
//!
//! Nothing is decided here about which machine is meant or which of two outputs counts; [`read`] tells apart what the text holds.

mod command;
mod prompt;
mod wrap;

pub(crate) use command::words;
pub use command::{Command, Part, Place, parse as parse_command};

use crate::recognise::Kind;
use crate::recognise::classify::{Classifier, Vote};
pub use crate::recognise::lines::is_cut;
use std::borrow::Cow;

/// A pasted session.
#[derive(Clone, Debug, Default)]
pub struct Transcript<'a> {
    /// Outputs, in the order of the text.
    pub blocks: Vec<Block<'a>>,
    /// Commands that change what others show, in the order of the text.
    pub changes: Vec<(Command, Option<String>)>,
    /// Whether a command stood at a prompt.
    pub prompts: bool,
}

/// One output, or a piece of one.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// What it is.
    pub kind: Kind,
    /// The command above it, where one stands at a prompt.
    pub command: Option<Command>,
    /// The machine whose prompt that was.
    pub host: Option<String>,
    /// About whom.
    pub place: Place,
    /// Text was left out, before, within or behind it: the line that says so.
    pub cut: Option<u32>,
    /// Its lines.
    pub lines: Vec<Row<'a>>,
}

impl Block<'_> {
    /// The first line, from 1.
    pub fn first_line(&self) -> u32 {
        self.lines.first().map_or(0, |l| l.number)
    }

    /// The last line, from 1.
    pub fn last_line(&self) -> u32 {
        self.lines.last().map_or(0, |l| l.number)
    }
}

/// A line of an output.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// From 1.
    pub number: u32,
    /// As the command printed it: without colours, joined where it was wrapped.
    pub text: Cow<'a, str>,
}

/// Where the reader is.
#[derive(Clone, Debug, Default)]
struct At {
    host: Option<String>,
    /// Prompt text, to see when an inner shell has been left.
    shape: String,
    place: Place,
    command: Option<Command>,
}

/// Reads a text. Every line belongs to at most one block.
pub fn read(text: &str) -> Transcript<'_> {
    let mut r = Reader::default();
    let quoted = is_quoted(text);
    for (number, line) in (1u32..).zip(text.split('\n')) {
        let line = if quoted { unquoted(line) } else { line };
        r.line(number, prompt::clean(line));
    }
    r.close();
    for b in &mut r.out.blocks {
        wrap::join(b);
    }
    r.out
}

/// Whether a mail client put `>` before the lines: at least as many have it as have not, and not all of them are commands at a
/// prompt of that shape.
fn is_quoted(text: &str) -> bool {
    let (mut with, mut without, mut output) = (0u32, 0u32, false);
    for line in text.split('\n').take(2000).filter(|l| !l.trim().is_empty()) {
        if line.starts_with('>') {
            with += 1;
            output |= prompt::prompt(line).is_none_or(|p| !p.shape.is_empty());
        } else {
            without += 1;
        }
    }
    output && with >= 3 && with >= without
}

/// The line without the marks of quotations, one in another.
fn unquoted(line: &str) -> &str {
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix('>') {
        rest = inner.strip_prefix(' ').unwrap_or(inner);
    }
    rest
}

#[derive(Default)]
struct Reader<'a> {
    out: Transcript<'a>,
    votes: Classifier,
    at: At,
    /// Shells that were entered, outermost first.
    outer: Vec<At>,
    open: Option<Block<'a>>,
    /// Lines that say nothing by themselves, behind the open block.
    loose: Vec<Row<'a>>,
    /// `Name: x`, which alone could be anything's.
    name: Option<Row<'a>>,
    /// A cut since the command.
    cut: Option<u32>,
    /// Lines of JSON.
    json: Option<Block<'a>>,
    depth: i64,
}

impl<'a> Reader<'a> {
    fn line(&mut self, number: u32, text: Cow<'a, str>) {
        if self.json.is_some() {
            return self.json_line(number, text);
        }
        if let Some(p) = prompt::prompt(&text) {
            let (host, shape, command) = (
                p.host.map(str::to_owned),
                p.shape.to_owned(),
                p.command.to_owned(),
            );
            return self.prompt(number, host, shape, &command);
        }
        let trimmed = text.trim().to_owned();
        let trimmed = trimmed.as_str();
        if is_bare_command(trimmed) {
            return self.bare(number, trimmed);
        }
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            return self.forget();
        }
        if matches!(trimmed, "exit" | "logout") {
            self.forget();
            self.leave();
            return;
        }
        if trimmed.starts_with(['{', '[']) && self.open.is_none() && opens_json(trimmed) {
            self.json = Some(self.block(Kind::Unknown));
            self.depth = 0;
            return self.json_line(number, text);
        }
        if is_cut(trimmed) && !trimmed.contains(char::is_alphanumeric) {
            self.cut = Some(number);
            if let Some(b) = &mut self.open {
                b.cut = Some(number);
                b.lines.append(&mut self.loose);
                b.lines.push(Row { number, text });
            }
            return;
        }
        let expected = self.at.command.as_ref().and_then(|c| c.kind);
        // A device that an author put behind a hash, to say whose it is.
        let bare = trimmed.strip_prefix("# ").filter(|t| is_device(t));
        let vote = self.votes.vote(bare.unwrap_or(&text));
        let text = match bare {
            Some(t) => {
                self.close();
                self.votes.vote(t);
                self.at.command = None;
                self.at.place = Place::Here;
                self.at.host = None;
                Cow::Owned(t.to_owned())
            }
            None => text,
        };
        // What an agent says of itself is prose to who does not know the command, or like something else.
        let vote = match vote {
            Vote::For(_, _) | Vote::Other if expected == Some(Kind::Cilium) => {
                Vote::For(Kind::Cilium, 2)
            }
            other => other,
        };
        match vote {
            Vote::For(kind, votes) => {
                if self.open.as_ref().is_none_or(|b| b.kind != kind) {
                    let fits = votes >= 2 || expected == Some(kind) || kind == Kind::Sysctl;
                    if !fits {
                        // A row that could be anything's.
                        return self.odd(number, text);
                    }
                    let name = self.name.take();
                    self.close();
                    let mut block = self.block(kind);
                    if kind == Kind::Ipset {
                        block.lines.extend(name.filter(|r| r.number + 1 == number));
                    }
                    self.open = Some(block);
                }
                if let Some(b) = &mut self.open {
                    b.lines.append(&mut self.loose);
                    b.lines.push(Row { number, text });
                }
            }
            Vote::Nothing => {
                if trimmed.is_empty() && expected == Some(Kind::Cilium) && self.open.is_some() {
                    self.close();
                    self.at.command = None;
                }
                if trimmed.starts_with("Name: ") {
                    self.name = Some(Row {
                        number,
                        text: text.clone(),
                    });
                }
                if self.open.is_some() && self.loose.len() < 1000 {
                    self.loose.push(Row { number, text });
                }
            }
            // `    veth`, alone above `    bridge_slave ...`.
            Vote::Other
                if text.starts_with("    ")
                    && text.split_whitespace().count() == 1
                    && self.open.as_ref().is_some_and(|b| b.kind == Kind::Link) =>
            {
                self.loose.push(Row { number, text });
            }
            Vote::Other => self.odd(number, text),
        }
    }

    /// A line that fits nothing: the rest of a wrapped one, or prose.
    fn odd(&mut self, number: u32, text: Cow<'a, str>) {
        if let Some(b) = &mut self.open
            && self.loose.is_empty()
            && wrap::may_continue(b, &text)
        {
            b.lines.push(Row { number, text });
            return;
        }
        self.forget();
    }

    fn block(&self, kind: Kind) -> Block<'a> {
        Block {
            kind,
            command: self.at.command.clone(),
            host: self.at.host.clone(),
            place: self.place(),
            cut: self.cut,
            lines: Vec::new(),
        }
    }

    fn place(&self) -> Place {
        match &self.at.command {
            Some(c) if c.place != Place::Here => c.place.clone(),
            _ => self.at.place.clone(),
        }
    }

    fn close(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        if let Some(mut b) = self.open.take() {
            // The last device's details have nothing behind them that is known.
            if b.kind == Kind::Link {
                let details = loose.into_iter();
                b.lines
                    .extend(details.take_while(|r| r.text.starts_with("    ")));
            }
            if b.cut.is_none() {
                b.cut = self.cut;
            }
            self.out.blocks.push(b);
        }
    }

    /// Forgets what the lines so far opened.
    fn forget(&mut self) {
        self.close();
        self.votes = Classifier::default();
    }

    fn prompt(&mut self, number: u32, host: Option<String>, shape: String, command: &str) {
        self.forget();
        self.cut = None;
        self.out.prompts = true;
        // Back at the prompt of before: an inner shell has ended.
        if let Some(i) = self.outer.iter().rposition(|o| o.shape == shape)
            && shape != self.at.shape
        {
            self.at = self.outer.swap_remove(i);
            self.outer.truncate(i);
        }
        let mut c = parse_command(command, number);
        if self.at.command.as_ref().is_some_and(|c| c.enters) {
            // The first prompt of an inner shell.
            let place = self.place();
            let before = std::mem::take(&mut self.at);
            self.at.place = place;
            self.at.host.clone_from(&before.host);
            self.outer.push(before);
        }
        if matches!(command, "exit" | "logout") {
            self.leave();
            return;
        }
        match (&self.at.place, host) {
            // The name in a pod's prompt is the pod's.
            (Place::Namespace(_), _) => {}
            (_, Some(h)) => {
                self.at.place = Place::Here;
                self.at.host = Some(h);
            }
            // Without a name it can be any machine's.
            (Place::Here, None) => self.at.host = None,
            (Place::Host(_), None) => {}
        }
        self.at.shape = shape;
        if !c.changes.is_empty() {
            self.out.changes.push((c.clone(), self.at.host.clone()));
        }
        if c.part == Part::Filtered && c.kind.is_none() {
            c.part = Part::Whole;
        }
        self.at.command = Some(c);
    }

    /// A command without its prompt, as articles show them: of the shell before.
    fn bare(&mut self, number: u32, command: &str) {
        self.forget();
        self.cut = None;
        self.out.prompts = true;
        if self.at.command.as_ref().is_some_and(|c| c.enters) {
            let place = self.place();
            let before = std::mem::take(&mut self.at);
            self.at.place = place;
            self.at.host.clone_from(&before.host);
            self.outer.push(before);
        }
        self.at.command = Some(parse_command(command, number));
    }

    fn leave(&mut self) {
        if let Some(mut before) = self.outer.pop() {
            before.command = None;
            self.at = before;
        } else {
            self.at.command = None;
        }
    }

    /// Objects go on until their braces are closed.
    fn json_line(&mut self, number: u32, text: Cow<'a, str>) {
        let mut quoted = false;
        let mut escaped = false;
        for b in text.bytes() {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' | b'[' if !quoted => self.depth += 1,
                b'}' | b']' if !quoted => self.depth -= 1,
                _ => {}
            }
        }
        // A prompt within: the object was cut.
        let broken = prompt::prompt(&text).is_some();
        if let Some(b) = &mut self.json
            && !broken
        {
            b.lines.push(Row { number, text });
            if self.depth > 0 {
                return;
            }
        }
        let Some(mut b) = self.json.take() else {
            return;
        };
        let whole: String = b.lines.iter().flat_map(|l| [&*l.text, "\n"]).collect();
        b.kind = crate::recognise::recognise(whole.as_bytes());
        if !broken && !matches!(b.kind, Kind::Unknown | Kind::Empty | Kind::Binary) {
            self.out.blocks.push(b);
        }
        self.depth = 0;
    }
}

/// `tcpdump -n -i any host 10.0.0.1`, `nsenter -t 4711 -n`: what can be nothing but a command.
fn is_bare_command(text: &str) -> bool {
    let mut all = text.split_whitespace().skip_while(|w| *w == "sudo");
    match all.next() {
        Some("tcpdump") => all.next().is_some_and(|w| w.starts_with('-')),
        Some("nsenter") => all.any(|w| w.starts_with("-t") || w.starts_with("--target")),
        _ => false,
    }
}

/// A list of objects or an object, not `[root@node ~]#` nor `[0:0] -A INPUT`.
fn opens_json(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default().trim_start();
    match text.as_bytes().first() {
        Some(b'{') => rest.is_empty() || rest.starts_with(['"', '}']),
        _ => rest.is_empty() || rest.starts_with('{'),
    }
}

/// `15: calicaca1cdbf39@if4: <BROADCAST,...`
fn is_device(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let index = words.next().and_then(|w| w.strip_suffix(':'));
    let name = words.next();
    let flags = words.next();
    index.is_some_and(|i| !i.is_empty() && i.bytes().all(|b| b.is_ascii_digit()))
        && name.is_some_and(|n| n.ends_with(':'))
        && flags.is_some_and(|f| f.starts_with('<'))
}
