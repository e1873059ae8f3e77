//! JSON with the place of every value: what is not understood is kept as it stands, and reports point at it.
//!
//! Strings with escapes are left to `serde_json`. Recursion ends at [`DEPTH`]; [`Cursor::skip`] needs none.

use crate::common::{Span, Text};
use std::borrow::Cow;

/// How deep values may nest, as in `serde_json`.
const DEPTH: u32 = 128;

/// The bytes at which something happens within a string: its end, an escape, a control character.
const ENDS: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 0x20 {
        table[b] = true;
        b += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Those at which something happens outside of strings, as far as brackets are concerned.
const BRACKETS: [bool; 256] = {
    let mut table = [false; 256];
    table[b'"' as usize] = true;
    table[b'{' as usize] = true;
    table[b'}' as usize] = true;
    table[b'[' as usize] = true;
    table[b']' as usize] = true;
    table
};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value<'a> {
    /// Its text.
    pub raw: &'a str,
    /// The offset of that in the source.
    pub at: usize,
    pub data: Data<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data<'a> {
    Null,
    Bool(bool),
    /// As written; [`Value::raw`] holds the digits.
    Number,
    Str(Text<'a>),
    Array(Vec<Value<'a>>),
    /// In the order of the text, repeated keys included.
    Object(Vec<(Text<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    pub fn span(&self) -> Span {
        Span::new(self.at, self.at + self.raw.len())
    }

    pub fn str(&self) -> Option<&Text<'a>> {
        match &self.data {
            Data::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn bool(&self) -> Option<bool> {
        match self.data {
            Data::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub fn number(&self) -> Option<u128> {
        match self.data {
            Data::Number => self.raw.parse().ok(),
            _ => None,
        }
    }

    pub fn u64(&self) -> Option<u64> {
        self.number().and_then(|n| u64::try_from(n).ok())
    }

    pub fn u32(&self) -> Option<u32> {
        self.number().and_then(|n| u32::try_from(n).ok())
    }

    pub fn i32(&self) -> Option<i32> {
        match self.data {
            Data::Number => self.raw.parse().ok(),
            _ => None,
        }
    }

    pub fn array(&self) -> Option<&[Value<'a>]> {
        match &self.data {
            Data::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The elements of an array, or the value itself: nft writes lists of one without brackets.
    pub fn list(&self) -> &[Value<'a>] {
        match &self.data {
            Data::Array(a) => a,
            Data::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The member of this name.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        match &self.data {
            Data::Object(o) => o.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The string of the member of this name.
    pub fn get_str(&self, key: &str) -> Option<&Text<'a>> {
        self.get(key).and_then(Value::str)
    }

    /// What is in `{"kind": what}`: the first member.
    pub fn tagged(&self) -> Option<(&str, &Value<'a>)> {
        match &self.data {
            Data::Object(o) => o.first().map(|(k, v)| (&**k, v)),
            _ => None,
        }
    }
}

/// Why a value could not be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: usize,
    pub what: &'static str,
}

type Result<T> = std::result::Result<T, Fault>;

/// Reads JSON from a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    source: &'a str,
    pub pos: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `source` from `pos` on; offsets are those of `source`.
    pub fn new(source: &'a str, pos: usize) -> Self {
        Self { source, pos }
    }

    /// The next byte that is no blank.
    pub fn peek(&mut self) -> Option<u8> {
        let rest = self.source.as_bytes().get(self.pos..).unwrap_or_default();
        let blanks = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        self.pos += blanks;
        rest.get(blanks).copied()
    }

    /// Whether the next byte is this one, which is then read.
    pub fn eat(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.pos += usize::from(is);
        is
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.pos, what }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.fault(self.or_end(what)))
        }
    }

    fn or_end(&self, what: &'static str) -> &'static str {
        if self.pos < self.source.len() {
            what
        } else {
            "the JSON ends too early"
        }
    }

    /// What has been read from there on.
    pub fn since(&self, start: usize) -> &'a str {
        self.source.get(start..self.pos).unwrap_or_default()
    }

    /// Reads a value.
    pub fn value(&mut self) -> Result<Value<'a>> {
        self.nested(DEPTH)
    }

    fn nested(&mut self, depth: u32) -> Result<Value<'a>> {
        let next = self.peek();
        let at = self.pos;
        let data = match next {
            Some(b'"') => Data::Str(self.string()?),
            Some(b'{' | b'[') if depth == 0 => return Err(self.fault("it nests too deep")),
            Some(b'[') => {
                let mut values = Vec::new();
                self.items(|c| {
                    values.push(c.nested(depth - 1)?);
                    Ok(())
                })?;
                Data::Array(values)
            }
            Some(b'{') => {
                let mut members = Vec::new();
                self.members(|c, key| {
                    members.push((key, c.nested(depth - 1)?));
                    Ok(())
                })?;
                Data::Object(members)
            }
            _ => self.scalar()?,
        };
        let raw = self.since(at);
        Ok(Value { raw, at, data })
    }

    /// Reads an array; `item` reads each of its elements.
    pub fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[', "no array")?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.eat(b']') {
                return Ok(());
            }
            self.expect(b',', "neither comma nor bracket after an element")?;
        }
    }

    /// Reads an object; `member` gets each key and reads its value.
    pub fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<()>,
    ) -> Result<()> {
        self.expect(b'{', "no object")?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "no colon after a key")?;
            member(self, key)?;
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',', "neither comma nor brace after a member")?;
        }
    }

    /// Reads a string.
    pub fn string(&mut self) -> Result<Text<'a>> {
        self.peek();
        let start = self.pos;
        let plain = self.skip_string()?;
        let raw = self.since(start);
        if plain {
            return Ok(Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default()));
        }
        let text: Option<String> = serde_json::from_str(raw).ok();
        text.map(Cow::Owned).ok_or(Fault {
            at: start,
            what: "a string that is none in JSON",
        })
    }

    /// Passes a string; tells whether it stands there as it is, without escapes. A string ends on its line.
    fn skip_string(&mut self) -> Result<bool> {
        let bytes = self.source.as_bytes();
        if bytes.get(self.pos) != Some(&b'"') {
            return Err(self.fault(self.or_end("no string")));
        }
        let start = self.pos;
        let mut plain = true;
        self.pos += 1;
        loop {
            let rest = bytes.get(self.pos..).unwrap_or_default();
            let Some(i) = rest.iter().position(|b| ENDS[usize::from(*b)]) else {
                self.pos = self.source.len();
                return Err(self.fault("the JSON ends too early"));
            };
            self.pos += i + 1;
            match rest.get(i) {
                Some(b'"') => return Ok(plain),
                // What is escaped may be a character of several bytes, of which none is special.
                Some(b'\\') => self.pos += 1,
                Some(b'\n') => {
                    self.pos = start;
                    return Err(self.fault("a string does not end on its line"));
                }
                _ => {}
            }
            plain = false;
        }
    }

    /// `null`, `true`, `false` or a number.
    fn scalar(&mut self) -> Result<Data<'a>> {
        let rest = self.source.get(self.pos..).unwrap_or_default();
        let len = rest
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            .count();
        let word = rest.get(..len).unwrap_or_default();
        let data = match word {
            "null" => Data::Null,
            "true" => Data::Bool(true),
            "false" => Data::Bool(false),
            _ if is_number(word) => Data::Number,
            _ => return Err(self.fault(self.or_end("no JSON value"))),
        };
        self.pos += len;
        Ok(data)
    }

    /// Passes a value and gives its start. Of arrays and objects only the brackets and strings are looked at.
    pub fn skip(&mut self) -> Result<usize> {
        let next = self.peek();
        let start = self.pos;
        match next {
            Some(b'"') => {
                self.skip_string()?;
            }
            Some(b'{' | b'[') => {
                let bytes = self.source.as_bytes();
                let mut depth = 0_usize;
                loop {
                    let rest = bytes.get(self.pos..).unwrap_or_default();
                    let Some(i) = rest.iter().position(|b| BRACKETS[usize::from(*b)]) else {
                        self.pos = self.source.len();
                        return Err(self.fault("the JSON ends too early"));
                    };
                    self.pos += i;
                    match rest.get(i) {
                        Some(b'"') => {
                            self.skip_string()?;
                            continue;
                        }
                        Some(b'{' | b'[') => depth += 1,
                        _ => depth -= 1,
                    }
                    self.pos += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                self.scalar()?;
            }
        }
        Ok(start)
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((w, f)) => (w, Some(f)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value as Known;

    /// The value without places. Of equal keys the last one counts, as in `serde_json`.
    fn plain(v: &Value<'_>) -> Known {
        match &v.data {
            Data::Null => Known::Null,
            Data::Bool(b) => (*b).into(),
            Data::Number => serde_json::from_str(v.raw).expect("a number"),
            Data::Str(s) => (&**s).into(),
            Data::Array(a) => a.iter().map(plain).collect(),
            Data::Object(o) => o.iter().map(|(k, v)| (k.to_string(), plain(v))).collect(),
        }
    }

    fn read(text: &str) -> Result<Value<'_>> {
        let mut cursor = Cursor::new(text, 0);
        let value = cursor.value()?;
        match cursor.peek() {
            None => Ok(value),
            Some(_) => Err(cursor.fault("more")),
        }
    }

    #[track_caller]
    fn same(text: &str) {
        let known = serde_json::from_str::<Known>(text);
        match (read(text), known) {
            (Ok(v), Ok(known)) => {
                assert_eq!(plain(&v), known, "{text:?}");
                let mut cursor = Cursor::new(text, 0);
                assert!(cursor.skip().is_ok(), "{text:?}");
                assert_eq!(cursor.peek(), None, "{text:?}");
            }
            (Err(_), Err(_)) => {}
            (ours, known) => panic!("{text:?}: {ours:?}, {known:?}"),
        }
    }

    #[test]
    fn as_serde_json_reads_it() {
        for text in [
            "",
            " ",
            "null",
            "nul",
            "[]",
            "[1]",
            "[1,]",
            "[,1]",
            "{\"a\":1}",
            "{\"a\" : [ ] , \"b\":{}}",
            "{\"a\"}",
            "{a:1}",
            "\"\\u00e9\\n\\\"\"",
            "\"\\x\"",
            "\"\\ü\"",
            "\"a\nb\"",
            "\"a\tb\"",
            "\"",
            "\"\\",
            "\"\\\"",
            "0",
            "-0",
            "01",
            "1.",
            "1.5e3",
            "1e",
            "-",
            "+1",
            "truefalse",
            "[true,false]",
            "[1 2]",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            "[[[[]]]",
            "18446744073709551615",
            "\u{feff}1",
        ] {
            same(text);
        }
        for depth in [1, 127, 128, 129, 10_000] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(read(&text).is_ok(), depth <= DEPTH as usize, "{depth}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_tokens_as_serde_json_reads_them(tokens in prop::collection::vec(prop::sample::select(vec![
            "[", "]", "{", "}", ",", ":", "\"a\"", "\"", "\\", "1", "-1.5", "null", "true", " ", "\n", "\"\\u00fc\"", "ü",
        ]), 0..12)) {
            same(&tokens.concat());
        }
    }
}
