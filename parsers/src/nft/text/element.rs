//! Elements of sets and maps, named and literal ones.

use super::expr::Data;
use super::lex::Tok;
use super::parser::{DEPTH, Parser, describe};
use super::scan::duration;
use super::value::Stands;
use crate::common::Diagnostic;
use crate::nft::{Element, ElementData, Part, Place, Set, SetData, TableFamily, Type};

/// The elements of a named set.
///
/// `at` is what [`Set::elements`] says. An element that is not understood is left out and reported.
pub fn elements<'a>(
    source: &'a str,
    at: Place,
    set: &Set<'_>,
    family: TableFamily,
) -> (Vec<Element<'a>>, Vec<Diagnostic>) {
    let mut parser = Parser::new(source, at, family);
    let data = match &set.data {
        None => Data::Nothing,
        Some(SetData::Verdict) => Data::Verdict,
        Some(SetData::Value(types)) => Data::Value(types),
        Some(SetData::Object(_)) => Data::Object,
    };
    let all = parser.list(&set.key, data, Tok::End, 0);
    (all, parser.diagnostics)
}

impl<'a> Parser<'a> {
    /// Behind the brace of `{ ... }`, up to and with the closing one.
    pub fn literal(
        &mut self,
        keys: &[Type],
        data: Data<'_>,
        depth: u8,
    ) -> Option<Vec<Element<'a>>> {
        if depth >= DEPTH {
            return None;
        }
        let all = self.list(keys, data, Tok::Close, depth + 1);
        self.expect(Tok::Close)?;
        Some(all)
    }

    fn list(&mut self, keys: &[Type], data: Data<'_>, end: Tok<'_>, depth: u8) -> Vec<Element<'a>> {
        let mut all = Vec::new();
        while self.lex.tok != end && self.lex.tok != Tok::End {
            if let Some(element) = self.element(keys, data, depth)
                && (self.lex.tok == Tok::Comma || self.lex.tok == end)
            {
                all.push(element);
            } else {
                let message = format!("{} is not understood in an element", describe(self.lex.tok));
                self.report_here(message, "the element is left out");
                self.skip_element(end);
            }
            if self.lex.tok == Tok::Comma {
                self.lex.advance();
            }
        }
        all
    }

    /// To the comma or the end behind the element here. A brace that nothing opened is part of what is skipped.
    fn skip_element(&mut self, end: Tok<'_>) {
        let mut open = 0usize;
        loop {
            match self.lex.tok {
                Tok::End => return,
                Tok::Comma if open == 0 => return,
                Tok::Close if open == 0 && end == Tok::Close => return,
                Tok::Open => open += 1,
                Tok::Close => open = open.saturating_sub(1),
                _ => {}
            }
            self.lex.advance();
        }
    }

    fn element(&mut self, keys: &[Type], data: Data<'_>, depth: u8) -> Option<Element<'a>> {
        let mut element = Element {
            key: Vec::new(),
            data: None,
            timeout: None,
            expires: None,
            comment: None,
            stmts: Vec::new(),
        };
        if !self.lex.eat("*") {
            element.key = self.parts(keys)?;
        }
        loop {
            match self.lex.tok {
                Tok::Word("timeout") => {
                    self.lex.advance();
                    element.timeout = self.time()?;
                }
                Tok::Word("expires") => {
                    self.lex.advance();
                    element.expires = self.time()?;
                }
                Tok::Word("comment") => {
                    self.lex.advance();
                    element.comment = Some(self.name()?.into());
                }
                Tok::Word(":") => {
                    self.lex.advance();
                    element.data = Some(self.data(data)?);
                }
                Tok::Word("counter" | "limit" | "quota" | "ct" | "last") => {
                    element.stmts.push(self.stmt(depth)?);
                }
                _ => return Some(element),
            }
        }
    }

    /// `1h`, or `never`.
    #[expect(clippy::option_option, reason = "not understood, never, a time")]
    fn time(&mut self) -> Option<Option<u64>> {
        if self.lex.eat("never") {
            return Some(None);
        }
        let ms = duration(self.lex.word_here()?)?;
        self.lex.advance();
        Some(Some(ms))
    }

    /// `A . B`.
    fn parts(&mut self, types: &[Type]) -> Option<Vec<Part<'a>>> {
        let mut all = Vec::with_capacity(types.len());
        loop {
            let ty = types.get(all.len()).copied().unwrap_or(Type::Invalid);
            all.push(self.constant(ty, Stands::Listed)?.part());
            if !self.lex.eat(".") {
                return Some(all);
            }
        }
    }

    fn data(&mut self, data: Data<'_>) -> Option<ElementData<'a>> {
        Some(match data {
            Data::Verdict => ElementData::Verdict(self.verdict()?),
            Data::Value(types) => ElementData::Value(self.parts(types)?),
            Data::Object => ElementData::Object(self.name()?.into()),
            Data::Nothing => return None,
        })
    }
}
