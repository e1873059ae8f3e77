//! Named sets and maps: what stands before their elements.

use super::index::{Heading, Line, Scanner, comment};
use super::lex::Tok;
use super::parser::Parser;
use super::scan::duration;
use crate::common::Span;
use crate::nft::{Place, Set, SetData, TableFamily, Type};
use memchr::{memchr, memchr_iter};

/// Kinds of objects that a map can give.
const OBJECTS: &[&str] = &[
    "counter", "quota", "limit", "ct", "synproxy", "secmark", "tunnel",
];

impl<'a> Scanner<'a> {
    pub fn set(
        &mut self,
        line: Line<'a>,
        heading: Heading<'a>,
        name: &'a str,
        family: TableFamily,
    ) -> Set<'a> {
        let mut set = Set {
            name: name.into(),
            handle: heading.handle,
            comment: None,
            key: Vec::new(),
            data: None,
            interval: false,
            constant: false,
            timeout: None,
            size: None,
            at: line.place(),
            elements: None,
        };
        let mut end = line.start + line.text.len();
        while !heading.closed
            && let Some(line) = self.body("the set")
        {
            end = self.property(line, &mut set, family);
        }
        // The brace that closes it stands on the line behind the last one.
        let closing = self.source.as_bytes().get(end..).unwrap_or_default();
        let brace = closing.iter().position(|b| !b.is_ascii_whitespace());
        if let Some(at) = brace.filter(|at| closing.get(*at) == Some(&b'}')) {
            end += at + 1;
        }
        set.at.span.end = Span::new(0, end).end;
        if set.key.is_empty() {
            set.key.push(Type::Invalid);
            self.report(
                line,
                "this set has no type that is known".into(),
                "what it holds is left open",
            );
        }
        set
    }

    /// One line of a set, or the lines of its elements; gives its end.
    fn property(&mut self, line: Line<'a>, set: &mut Set<'a>, family: TableFamily) -> usize {
        let end = line.start + line.text.len();
        let (word, rest) = line.text.split_once([' ', '\t']).unwrap_or((line.text, ""));
        let value = rest.trim_ascii().trim_end_matches(';').trim_ascii_end();
        match word {
            "type" => (set.key, set.data) = types(value),
            "typeof" => {
                let place = Place {
                    span: Span::new(end - rest.len(), end),
                    line: line.number,
                };
                let mut parser = Parser::new(self.source, place, family);
                match type_of(&mut parser) {
                    Some((key, data)) => (set.key, set.data) = (key, data),
                    None => set.data = rest.contains(" : ").then(|| SetData::Value(Vec::new())),
                }
            }
            "flags" => {
                for flag in value.split([',', ' ']) {
                    set.interval |= flag == "interval";
                    set.constant |= flag == "constant";
                }
            }
            "timeout" => set.timeout = duration(value),
            "size" => {
                let number = value.split(['#', ' ', '\t']).next().unwrap_or_default();
                set.size = number.parse().ok();
            }
            "comment" => set.comment = comment(line.text).map(Into::into),
            "elements" => return self.elements(line, set),
            // What has no bearing on which element is found: `gc-interval`, `policy`, `auto-merge`, `counter`, `limit`, ...
            _ => {}
        }
        end
    }

    /// `elements = { ... }`.
    fn elements(&mut self, line: Line<'a>, set: &mut Set<'a>) -> usize {
        let bytes = self.source.as_bytes();
        let end = self.extent(line);
        self.go_to_line_behind(line, end);
        let all = bytes.get(line.start..end).unwrap_or_default();
        let Some(open) = memchr(b'{', all).map(|i| i + 1) else {
            self.report(
                line,
                "the elements are not understood".into(),
                "what the set holds is left open",
            );
            return end;
        };
        // The brace is the last byte but for blanks and `;`; without it the listing is cut off, which the set reports.
        let inner = self.source.get(line.start + open..end).unwrap_or_default();
        let inner = inner.trim_ascii_end().trim_end_matches(';');
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        let text = inner.trim_ascii_start();
        if text.is_empty() {
            return end;
        }
        let start = line.start + open + inner.len() - text.len();
        let before = bytes.get(line.start..start).unwrap_or_default();
        let lines = u32::try_from(memchr_iter(b'\n', before).count()).unwrap_or(u32::MAX);
        set.elements = Some(Place {
            span: Span::new(start, start + text.trim_ascii_end().len()),
            line: line.number.saturating_add(lines),
        });
        end
    }
}

/// `ipv4_addr . inet_service : verdict`.
fn types(text: &str) -> (Vec<Type>, Option<SetData>) {
    let list = |text: &str| -> Vec<Type> {
        text.split('.')
            .map(|name| Type::parse(name.trim_ascii()).unwrap_or(Type::Invalid))
            .collect()
    };
    let Some((key, data)) = text.split_once(" : ") else {
        return (list(text), None);
    };
    let data = data.trim_ascii();
    let data = data.strip_prefix("interval ").unwrap_or(data);
    let kind = data.split(' ').next().unwrap_or_default();
    let data = match kind {
        "verdict" => SetData::Verdict,
        _ if OBJECTS.contains(&kind) => SetData::Object(data.to_string()),
        _ => SetData::Value(list(data)),
    };
    (list(key), Some(data))
}

/// `ip saddr . tcp dport : ip daddr`.
fn type_of(p: &mut Parser<'_>) -> Option<(Vec<Type>, Option<SetData>)> {
    let (_, key) = p.concat(&[], 0)?;
    let data = if p.lex.eat(":") {
        p.lex.eat("interval");
        let start = p.lex.start;
        let word = p.lex.word_here()?;
        // `ct` is a key as well: `ct mark`, `ct helper`.
        let object = match p.lex.peek() {
            _ if word == "ct" => matches!(
                p.lex.peek(),
                Tok::Word("helper" | "timeout" | "expectation")
            ),
            _ => OBJECTS.contains(&word),
        };
        Some(if p.lex.eat("verdict") {
            SetData::Verdict
        } else if object {
            let data = p
                .lex
                .rest(start)
                .trim_ascii()
                .trim_end_matches(';')
                .to_string();
            p.lex.finish();
            SetData::Object(data)
        } else if p.lex.eat("queue") {
            SetData::Value(vec![Type::Integer(16)])
        } else {
            SetData::Value(p.concat(&[], 0)?.1)
        })
    } else {
        None
    };
    while p.lex.tok == Tok::Semi {
        p.lex.advance();
    }
    (p.lex.tok == Tok::End).then_some((key, data))
}
