//! `bpftool map dump`: plain, `-j`, `-p`.

use super::Maps;
use super::layout::{Map, entry};
use crate::common::{Diagnostic, Parsed, Span};
use crate::recognise::lines::Lines;
use memchr::memmem;

/// Keys and values are at most so long; longer ones are of another map.
const LONGEST: usize = 512;

/// An entry's bytes and where they stand.
struct Entry {
    line: u32,
    span: Span,
    key: Vec<u8>,
    value: Vec<u8>,
}

pub(super) fn read(hint: &str, source: &str, out: &mut Parsed<Maps>) {
    let mut map = Map::named(hint);
    let mut group: Vec<Entry> = Vec::new();
    // Lines that name a map part the text.
    let mut from = 0;
    let mut number = 1;
    for line in Lines::new(source) {
        if let Some(named) = names_map(line.text) {
            let part = source.get(from..line.start).unwrap_or_default();
            entries(part, from, number, &mut group);
            flush(map, &mut group, out);
            map = Some(named);
            from = line.start;
            number = line.number;
        }
    }
    entries(
        source.get(from..).unwrap_or_default(),
        from,
        number,
        &mut group,
    );
    flush(map, &mut group, out);
}

/// A command or a comment that names a map.
fn names_map(line: &str) -> Option<Map> {
    // Entries are long; names stand in short lines.
    (line.len() < 400 && !line.contains("\"0x"))
        .then(|| Map::named(line))
        .flatten()
}

fn flush(map: Option<Map>, group: &mut Vec<Entry>, out: &mut Parsed<Maps>) {
    let bytes: Vec<(&[u8], &[u8])> = group.iter().map(|e| (&*e.key, &*e.value)).collect();
    let Some(map) = map.or_else(|| Map::guess(&bytes)) else {
        if let Some(e) = group.first() {
            out.diagnostics.push(Diagnostic::warning(
                e.line,
                e.span,
                "entries of a map that is not known",
            ));
        }
        group.clear();
        return;
    };
    for e in group.drain(..) {
        if entry(map, &e.key, &e.value, (e.line, e.span), &mut out.value).is_none() {
            out.diagnostics.push(Diagnostic::warning(
                e.line,
                e.span,
                "this is no entry of that map",
            ));
        }
    }
}

fn entries(part: &str, from: usize, number: u32, out: &mut Vec<Entry>) {
    if memmem::find(part.as_bytes(), b"\"0x").is_some() {
        json(part, from, number, out);
    } else {
        plain(part, from, number, out);
    }
}

/// `{"key":["0x58",...],"value":["0x03",...]}`; what BTF adds (`formatted`) is passed over.
fn json(part: &str, from: usize, number: u32, out: &mut Vec<Entry>) {
    let bytes = part.as_bytes();
    let mut counted = 0;
    let mut line = number;
    let mut after = 0;
    for at in memmem::find_iter(bytes, b"\"key\"") {
        if at < after {
            continue;
        }
        let skipped = bytes.get(counted..at).unwrap_or_default();
        line = line.saturating_add(
            u32::try_from(memchr::memchr_iter(b'\n', skipped).count()).unwrap_or(u32::MAX),
        );
        counted = at;
        let rest = bytes.get(at + 5..).unwrap_or_default();
        let Some((key, n)) = list(rest) else { continue };
        let rest = rest.get(n..).unwrap_or_default();
        let gap = rest
            .iter()
            .take_while(|b| b.is_ascii_whitespace() || **b == b',')
            .count();
        let Some(value) = rest.get(gap..).and_then(|r| r.strip_prefix(b"\"value\"")) else {
            continue;
        };
        let Some((value, m)) = list(value) else {
            continue;
        };
        after = at + 5 + n + gap + 7 + m;
        out.push(Entry {
            line,
            span: Span::new(from + at, from + after),
            key,
            value,
        });
    }
}

/// `:["0x58","0x00"]` and its length.
fn list(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut open = false;
    while let Some(b) = text.get(at) {
        match b {
            b':' | b',' | b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            b'[' if !open => {
                open = true;
                at += 1;
            }
            b']' if open => return Some((out, at + 1)),
            b'"' if open && out.len() < LONGEST => {
                let byte = text.get(at + 1..at + 6)?;
                let digits = byte.strip_prefix(b"0x")?.strip_suffix(b"\"")?;
                out.push(pair(digits)?);
                at += 6;
            }
            _ => return None,
        }
    }
    None
}

fn pair(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(text, 16).ok())
        .flatten()
}

/// Whether a line is of a dump in its plain form: `key: 58 00 00 00`, `Found 3 elements`, and bytes alone.
pub(crate) fn is_dump(text: &str) -> bool {
    let found = text.strip_prefix("Found ").and_then(|t| {
        t.strip_suffix(" elements")
            .or_else(|| t.strip_suffix(" element"))
    });
    if let Some(n) = found {
        return n.bytes().all(|b| b.is_ascii_digit());
    }
    let rest = text
        .strip_prefix("key:")
        .or_else(|| text.strip_prefix("value:"));
    let named = rest.is_some();
    let (key, value) = rest
        .unwrap_or(text)
        .split_once("value:")
        .unwrap_or((rest.unwrap_or(text), ""));
    let enough = |b: &[u8]| b.len() >= if named { 1 } else { 4 };
    match (bytes(key), bytes(value)) {
        (Some(k), Some(v)) => named && key.trim_ascii().is_empty() || enough(&k) || enough(&v),
        _ => false,
    }
}

/// The bytes of `58 00 00 00`; `None` where there is anything else.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let words = text.split_ascii_whitespace();
    words.take(LONGEST).map(|w| pair(w.as_bytes())).collect()
}

/// `key: 58 00 ..  value: 03 00 ..`, on one line or on several.
fn plain(part: &str, from: usize, number: u32, out: &mut Vec<Entry>) {
    let mut open: Option<Entry> = None;
    let mut in_value = false;
    let mut done = |e: Option<Entry>| out.extend(e.filter(|e| !e.value.is_empty()));
    for line in Lines::new(part) {
        let text = line.text.trim_ascii();
        let end = from + line.start + line.text.len();
        let mut rest = text;
        if let Some(key) = text.strip_prefix("key:") {
            done(open.take());
            in_value = false;
            rest = key;
            open = Some(Entry {
                line: number.saturating_add(line.number - 1),
                span: Span::new(from + line.start, end),
                key: Vec::new(),
                value: Vec::new(),
            });
        }
        let Some(e) = &mut open else { continue };
        let (before, behind) = match rest.split_once("value:") {
            Some((before, behind)) => (before, Some(behind)),
            None => (rest, None),
        };
        let mut take = |text: &str, value: bool| {
            let to = if value { &mut e.value } else { &mut e.key };
            let Some(more) = bytes(text).filter(|m| to.len() + m.len() <= LONGEST) else {
                return false;
            };
            to.extend(more);
            true
        };
        let mut fits = take(before, in_value);
        if let Some(behind) = behind {
            fits = fits && !in_value && take(behind, true);
            in_value = true;
        }
        if fits && !text.is_empty() {
            e.span = Span::new(e.span.start as usize, end);
        } else {
            let whole = if fits || in_value { open.take() } else { None };
            open = None;
            done(whole);
        }
    }
    done(open);
}
