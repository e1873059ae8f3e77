//! Where the objects of a JSON text begin and end, without reading what is in them.

/// An object of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object<'a> {
    /// Its `{`.
    pub start: usize,
    /// One past its `}`.
    pub end: usize,
    /// `kind`, where it is written.
    pub kind: Option<&'a str>,
}

/// A document: an object alone, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// The whole.
    pub whole: Object<'a>,
    /// `items`, where it has such.
    pub items: Option<Vec<Object<'a>>>,
    /// The text ends before the document does.
    pub cut: bool,
}

/// The next document at or behind `at`. Every byte is looked at once: a document that does not end is the last one.
pub(super) fn document(text: &str, at: usize) -> Option<Document<'_>> {
    let start = opening(text, at)?;
    let mut w = Walk {
        text,
        at: start,
        items: None,
    };
    let (kind, closed) = w.object(true);
    Some(Document {
        whole: Object {
            start,
            end: w.at,
            kind,
        },
        items: w.items,
        cut: !closed,
    })
}

/// The next `{` that can begin an object: `"` or `}` follows. Prose and templates (`jsonpath={.items}`) have others.
fn opening(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at += memchr::memchr(b'{', bytes.get(at..)?)?;
        let next = bytes
            .get(at + 1..)?
            .iter()
            .find(|b| !b.is_ascii_whitespace());
        match next {
            Some(b'"' | b'}') => return Some(at),
            Some(_) => at += 1,
            None => return None,
        }
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    items: Option<Vec<Object<'a>>>,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// From a `"` to behind its partner; the text between, `None` where it does not end.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            let Some(n) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return None;
            };
            at += n;
            if self.text.as_bytes().get(at) == Some(&b'"') {
                self.at = at + 1;
                return self.text.get(start..at);
            }
            at += 2;
        }
    }

    /// From a `{` to behind its `}`: its kind, and whether it ends. Of the outer one, `items` are taken one by one.
    fn object(&mut self, outer: bool) -> (Option<&'a str>, bool) {
        let mut depth = 0usize;
        let mut kind = None;
        while let Some(b) = self.peek() {
            match b {
                b'"' => {
                    let Some(key) = self.string() else {
                        return (kind, false);
                    };
                    if depth != 1 {
                        continue;
                    }
                    self.blanks();
                    if self.peek() != Some(b':') {
                        continue;
                    }
                    self.at += 1;
                    self.blanks();
                    if key == "items" && outer && self.peek() == Some(b'[') {
                        self.at += 1;
                        if !self.list() {
                            return (kind, false);
                        }
                    } else if self.peek() == Some(b'"') {
                        // A value must not be taken for the next key.
                        let Some(value) = self.string() else {
                            return (kind, false);
                        };
                        if key == "kind" {
                            kind = Some(value);
                        }
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                    if depth == 0 {
                        return (kind, true);
                    }
                }
                _ => self.at += 1,
            }
        }
        (kind, false)
    }

    /// Objects up to the `]`.
    fn list(&mut self) -> bool {
        let mut list = self.items.take().unwrap_or_default();
        let mut closed = false;
        while let Some(b) = self.peek() {
            match b {
                b'{' => {
                    let start = self.at;
                    let (kind, ended) = self.object(false);
                    if !ended {
                        break;
                    }
                    list.push(Object {
                        start,
                        end: self.at,
                        kind,
                    });
                }
                b']' => {
                    self.at += 1;
                    closed = true;
                    break;
                }
                b'"' => {
                    if self.string().is_none() {
                        break;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.items = Some(list);
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn items_of_a_list_are_found_with_their_kinds() {
        let text = r#"# kubectl get -o jsonpath={.items}
{"apiVersion":"v1","items":[{"kind":"Service","x":"}{"},{"a":{"kind":"No"},"kind":"Pod"}],"kind":"List"} rest {"kind":"Node"}"#;
        let d = document(text, 0).expect("a list");
        assert_eq!(d.whole.kind, Some("List"));
        let kinds: Vec<_> = d.items.iter().flatten().map(|o| o.kind).collect();
        assert_eq!(kinds, [Some("Service"), Some("Pod")]);
        let next = document(text, d.whole.end).expect("another");
        assert_eq!(next.whole.kind, Some("Node"));
        assert_eq!(document(text, next.whole.end), None);
    }

    #[test]
    fn of_a_list_cut_off_the_whole_items_are_kept() {
        let text = r#"{"items":[{"kind":"Service"},{"kind":"Po"#;
        let d = document(text, 0).expect("a list");
        assert!(d.cut);
        assert_eq!(d.items.map(|i| i.len()), Some(1));
    }
}
