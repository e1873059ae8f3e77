//! Chains: their heading and the places of their rules.

use super::index::{Heading, Line, Scanner, comment};
use super::lex::Tok;
use super::parser::Parser;
use super::scan::handle;
use crate::common::Span;
use crate::iptables::Policy;
use crate::nft::{Base, Chain, ChainType, Hook, Place, RuleAt, TableFamily};

impl<'a> Scanner<'a> {
    pub fn chain(
        &mut self,
        line: Line<'a>,
        heading: Heading<'a>,
        name: &'a str,
        family: TableFamily,
    ) -> Chain<'a> {
        let mut at = line.place();
        at.span.end = Span::new(0, line.start + heading.words.len()).end;
        let mut chain = Chain {
            name: name.into(),
            handle: heading.handle,
            comment: None,
            base: None,
            at,
            rules: Vec::new(),
        };
        if heading.closed {
            return chain;
        }
        while let Some(line) = self.body("the chain") {
            let first = chain.rules.is_empty();
            if first && line.text.starts_with("type ") {
                chain.base = self.base(line, family);
            } else if first && line.text.starts_with("comment ") {
                self.chain_comment(line, &mut chain);
            } else if first && line.text.starts_with("policy ") {
                if let Some(base) = &mut chain.base
                    && line.text.starts_with("policy drop")
                {
                    base.policy = Policy::Drop;
                }
            } else {
                chain.rules.push(self.rule(line));
            }
        }
        chain
    }

    fn chain_comment(&mut self, line: Line<'a>, chain: &mut Chain<'a>) {
        let end = self.extent(line);
        let text = self.source.get(line.start..end).unwrap_or_default();
        chain.comment = comment(text).map(Into::into);
        if end > line.start + line.text.len() {
            self.go_to_line_behind(line, end);
        }
    }

    fn rule(&mut self, line: Line<'a>) -> RuleAt {
        let end = self.extent(line);
        let mut text = line.text;
        if end > line.start + line.text.len() {
            text = self.source.get(line.start..end).unwrap_or_default();
            self.go_to_line_behind(line, end);
        }
        let (text, handle) = handle(text);
        RuleAt {
            at: Place {
                span: Span::new(line.start, line.start + text.len()),
                line: line.number,
            },
            handle,
        }
    }

    /// `type filter hook prerouting priority dstnat - 10; policy accept;`
    fn base(&mut self, line: Line<'a>, family: TableFamily) -> Option<Base<'a>> {
        let mut parser = Parser::new(self.source, line.place(), family);
        let base = base(&mut parser, family);
        if base.is_none() {
            self.report(
                line,
                "this heading of a base chain is not understood".into(),
                "its rules are taken for those of a chain that others jump to",
            );
        }
        base
    }
}

fn base<'a>(p: &mut Parser<'a>, family: TableFamily) -> Option<Base<'a>> {
    p.keyword("type")?;
    let kind = match p.word()? {
        "filter" => ChainType::Filter,
        "nat" => ChainType::Nat,
        "route" => ChainType::Route,
        _ => return None,
    };
    p.keyword("hook")?;
    let hook = Hook::parse(p.word()?)?;
    let mut base = Base {
        kind,
        hook,
        priority: 0,
        policy: Policy::Accept,
        devices: Vec::new(),
    };
    loop {
        match p.lex.tok {
            Tok::Word("device") => {
                p.lex.advance();
                base.devices.push(p.name()?.into());
            }
            Tok::Word("devices") => {
                p.lex.advance();
                p.keyword("=")?;
                p.expect(Tok::Open)?;
                while p.lex.tok != Tok::Close {
                    base.devices.push(p.name()?.into());
                    if p.lex.tok == Tok::Comma {
                        p.lex.advance();
                    }
                }
                p.lex.advance();
            }
            Tok::Word("priority") => {
                p.lex.advance();
                let start = p.lex.start;
                while let Tok::Word(_) = p.lex.tok {
                    p.lex.advance();
                }
                base.priority = priority(p.lex.since(start), family)?;
            }
            Tok::Word("policy") => {
                p.lex.advance();
                base.policy = match p.word()? {
                    "accept" => Policy::Accept,
                    "drop" => Policy::Drop,
                    _ => return None,
                };
            }
            Tok::Word("flags") => {
                p.lex.advance();
                p.word()?;
            }
            Tok::Semi => {
                p.lex.advance();
            }
            Tok::End => return Some(base),
            _ => return None,
        }
    }
}

/// A number, or a name with an offset (`std_prios` and `bridge_std_prios` in nftables `src/rule.c`).
fn priority(text: &str, family: TableFamily) -> Option<i32> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (name, offset) = text.split_at_checked(letters)?;
    let base = match (name, family) {
        ("", _) => 0,
        ("dstnat", TableFamily::Bridge) => -300,
        ("filter", TableFamily::Bridge) => -200,
        ("out", TableFamily::Bridge) => 100,
        ("srcnat", TableFamily::Bridge) => 300,
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("dstnat", _) => -100,
        ("filter", _) => 0,
        ("security", _) => 50,
        ("srcnat", _) => 100,
        _ => return None,
    };
    let offset: String = offset.split_ascii_whitespace().collect();
    if offset.is_empty() && !name.is_empty() {
        return Some(base);
    }
    offset.parse::<i32>().ok()?.checked_add(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_by_name() {
        use TableFamily::{Bridge, Inet, Ip};
        for (text, family, expected) in [
            ("dstnat - 10", Ip, Some(-110)),
            ("srcnat+10", Inet, Some(110)),
            ("raw", Ip, Some(-300)),
            ("filter", Inet, Some(0)),
            ("filter", Bridge, Some(-200)),
            ("out", Bridge, Some(100)),
            ("out", Ip, None),
            ("-110", Ip, Some(-110)),
            ("101", Inet, Some(101)),
            ("dstnat + 2147483647", Ip, Some(2_147_483_547)),
            ("srcnat + 2147483647", Ip, None),
            ("", Ip, None),
            ("first", Ip, None),
        ] {
            assert_eq!(priority(text, family), expected, "{text}");
        }
    }
}
