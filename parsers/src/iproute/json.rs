//! iproute2's JSON, object by object, with keys in their order.
//!
//! Order and repetition matter: `ip -j route` prints the words of an encapsulation flat into the route's own object, so
//! that `dst` and `tos` stand there twice (`print_encap_ip` in iproute2 `ip/iproute_lwtunnel.c`).

use crate::common::{Diagnostic, Span, Text};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Members of an object in their order, repeated keys included.
pub(super) type Object<'a> = Vec<(Text<'a>, Value<'a>)>;

/// A JSON value, borrowed where the source has no escapes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text<'a>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// The string, if it is one.
    pub fn str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The string, taken.
    pub fn into_text(self) -> Option<Text<'a>> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// A number, also one that is written as a string.
    pub fn u32(&self) -> Option<u32> {
        match self {
            Value::Int(n) => u32::try_from(*n).ok(),
            Value::Str(s) => super::words::number(s),
            _ => None,
        }
    }

    /// True for `true`, for `null` (`"external": null` only tells that the word stands in the text) and numbers but 0.
    pub fn truthy(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Str(s) => s == "on" || s == "true",
            _ => false,
        }
    }

    /// The members, if it is an object.
    pub fn object(&self) -> &[(Text<'a>, Value<'a>)] {
        match self {
            Value::Object(o) => o,
            _ => &[],
        }
    }

    /// The elements, if it is an array.
    pub fn array(&self) -> &[Value<'a>] {
        match self {
            Value::Array(a) => a,
            _ => &[],
        }
    }
}

/// As the text form prints a scalar; nothing for `null`, arrays and objects.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(b) => f.write_str(if *b { "on" } else { "off" }),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(n) => write!(f, "{n}"),
            Value::Str(s) => f.write_str(s),
            Value::Null | Value::Array(_) | Value::Object(_) => Ok(()),
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(Value::Int(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Str(Cow::Borrowed(v)))
    }

    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Value::Str(Cow::Owned(v.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element()? {
            out.push(v);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some((k, v)) = map.next_entry::<Value<'de>, Value<'de>>()? {
            if let Value::Str(k) = k {
                out.push((k, v));
            }
        }
        Ok(Value::Object(out))
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Where an object stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Line of its `{`, from 1.
    pub line: u32,
    /// From `{` to `}`.
    pub span: Span,
}

impl At {
    /// A warning about the object.
    pub fn warning(self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.line, self.span, message)
    }

    /// Takes over what the text parser said about the object's text form; only the place changes.
    pub fn adopt(self, from: Vec<Diagnostic>, into: &mut Vec<Diagnostic>) {
        into.extend(from.into_iter().map(|d| Diagnostic {
            line: self.line,
            span: self.span,
            ..d
        }));
    }
}

/// Hands every outermost object of the source to `f`: those of one array, of several arrays behind each other, or bare
/// ones. Empty objects are left out; old versions print them for devices that a filter hid.
pub(super) fn each_object<'a>(
    source: &'a str,
    diagnostics: &mut Vec<Diagnostic>,
    mut f: impl FnMut(At, Object<'a>, &mut Vec<Diagnostic>),
) {
    let bytes = source.as_bytes();
    let (mut pos, mut line) = (0, 1u32);
    while let Some(byte) = bytes.get(pos) {
        match byte {
            b'\n' => line += 1,
            b'{' => {
                let Some(end) = object_end(bytes, pos) else {
                    diagnostics.push(
                        Diagnostic::warning(
                            line,
                            Span::new(pos, bytes.len()),
                            "the JSON ends in the middle of an object",
                        )
                        .help("the output looks cut; capture it again"),
                    );
                    return;
                };
                let at = At {
                    line,
                    span: Span::new(pos, end),
                };
                let text = source.get(pos..end).unwrap_or_default();
                match serde_json::from_str(text) {
                    Ok(Value::Object(o)) if o.is_empty() => {}
                    Ok(Value::Object(o)) => f(at, o, diagnostics),
                    Ok(_) => {}
                    Err(e) => diagnostics.push(at.warning(format!("this is no valid JSON: {e}"))),
                }
                line += u32::try_from(memchr::memchr_iter(b'\n', text.as_bytes()).count())
                    .unwrap_or_default();
                pos = end;
                continue;
            }
            b if b.is_ascii_whitespace() || b"[],".contains(b) => {}
            _ => {
                let end = memchr::memchr(b'\n', &bytes[pos..]).map_or(bytes.len(), |n| pos + n);
                diagnostics.push(Diagnostic::warning(
                    line,
                    Span::new(pos, end),
                    "this is no JSON object",
                ));
                pos = end;
                continue;
            }
        }
        pos += 1;
    }
}

/// One past the `}` that closes the object at `start`.
fn object_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut pos = start;
    while let Some(byte) = bytes.get(pos) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(pos + 1);
                }
            }
            b'"' => {
                pos += 1;
                while *bytes.get(pos)? != b'"' {
                    pos += if bytes.get(pos) == Some(&b'\\') { 2 } else { 1 };
                }
            }
            _ => {}
        }
        pos += 1;
    }
    None
}

/// Writes members of a JSON object as the words the text form has.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The line or lines.
    pub out: String,
}

impl Writer {
    /// A word.
    pub fn word(&mut self, word: impl fmt::Display) {
        use fmt::Write as _;
        if !self.out.is_empty() && !self.out.ends_with(['\t', '\n', ' ']) {
            self.out.push(' ');
        }
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{word}");
    }

    /// A keyword and its value.
    pub fn pair(&mut self, key: &str, value: impl fmt::Display) {
        self.word(key);
        self.word(value);
    }

    /// The strings of an array as words.
    pub fn words(&mut self, value: &Value<'_>) {
        for w in value.array() {
            self.word(w);
        }
    }

    /// A member of a flattened encapsulation; false where the key is the route's own again.
    ///
    /// Keys by iproute2 `ip/iproute_lwtunnel.c` `lwt_print_encap`. The route's own `tos` is a string, the encapsulation's a number.
    pub fn encap_member(&mut self, kind: &str, key: &str, value: &Value<'_>) -> bool {
        match (key, value) {
            ("gateway" | "via" | "dev" | "flags" | "flow" | "weight" | "nexthops" | "scope", _) => {
                return false;
            }
            ("tos", Value::Str(_)) => return false,
            ("dst", v) if kind == "mpls" => self.word(v),
            (k, Value::Null | Value::Bool(true)) => self.word(k),
            (_, Value::Bool(false)) => {}
            (k, Value::Array(list)) => {
                self.pair(k, list.len());
                self.word("[");
                self.words(value);
                self.word("]");
            }
            (k, v) => self.pair(k, v),
        }
        true
    }

    /// A gateway: a string, or family and host.
    pub fn via(&mut self, value: &Value<'_>) {
        self.word("via");
        match value {
            Value::Object(o) => {
                for (_, v) in o {
                    self.word(v);
                }
            }
            v => self.word(v),
        }
    }

    /// `realm TO`, `realms FROM/TO`, as `print_rta_flow` in iproute2 ip/iproute.c.
    pub fn flow(&mut self, value: &Value<'_>) {
        let get = |k| value.object().iter().find(|(n, _)| n == k).map(|(_, v)| v);
        match (get("from"), get("to")) {
            (Some(from), Some(to)) => self.pair("realms", format_args!("{from}/{to}")),
            (None, Some(to)) => self.pair("realm", to),
            _ => {}
        }
    }
}
