//! Statements.

use super::expr::Data;
use super::lex::Tok;
use super::parser::{Parser, describe};
use crate::common::{Diagnostic, Text};
use crate::nft::expr::{BinOp, CtKey, RelOp};
use crate::nft::typing::{beyond_prefix, settle_fib};
use crate::nft::{Const, Expr, Part, Place, Rule, Stmt, TableFamily, Type, Verdict};

/// Reads one rule.
///
/// Of a rule that is not understood what stands before stays, and the rest is one [`Stmt::Opaque`] and one report.
pub fn parse_rule(source: &str, at: Place, family: TableFamily) -> (Rule<'_>, Vec<Diagnostic>) {
    let mut parser = Parser::new(source, at, family);
    let rule = parser.rule();
    (rule, parser.diagnostics)
}

impl<'a> Parser<'a> {
    fn rule(&mut self) -> Rule<'a> {
        let mut rule = Rule {
            stmts: Vec::new(),
            comment: None,
        };
        while self.lex.tok != Tok::End {
            if self.lex.tok == Tok::Word("comment")
                && let Tok::Str(text) = self.lex.peek()
            {
                rule.comment = Some(text.into());
                self.lex.advance();
                self.lex.advance();
                continue;
            }
            let start = self.lex.start;
            let stmt = self.stmt(0);
            rule.stmts
                .push(stmt.unwrap_or_else(|| self.opaque(start, &mut rule.comment)));
        }
        rule
    }

    /// What is left of a rule, from the start of the statement that is not understood.
    fn opaque(&mut self, start: usize, comment: &mut Option<Text<'a>>) -> Stmt<'a> {
        let chain = self.lex.tok == Tok::Open && matches!(self.lex.since(start), "jump" | "goto");
        let first = self.lex.rest(start).trim_ascii();
        if chain {
            self.report_here(
                "a chain within a rule is not read".into(),
                "what its rules do is left open",
            );
        } else if first.starts_with('#') {
            self.report(
                start,
                start + first.len(),
                "an extension of iptables that nft cannot print".into(),
                "capture `iptables-save` as well",
            );
        } else {
            let message = format!("{} is not understood here", describe(self.lex.tok));
            self.report_here(message, "what the rule does from there on is left open");
        }
        self.lex.finish();
        let Some((text, said)) = trailing_comment(first) else {
            return Stmt::Opaque(first.into());
        };
        *comment = Some(said.into());
        Stmt::Opaque(text.into())
    }

    pub fn stmt(&mut self, depth: u8) -> Option<Stmt<'a>> {
        let first = self.lex.word_here()?;
        let start = self.lex.start;
        let next = self.lex.peek();
        let named = next == Tok::Word("name");
        match first {
            "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
                self.verdict().map(Stmt::Verdict)
            }
            "counter" | "limit" | "quota" | "synproxy" | "secmark" | "tunnel" if named => {
                self.named(first, depth)
            }
            "counter" => self.counter(),
            "limit" => self.limit(),
            "quota" => self.quota(),
            "log" => self.log(start),
            "queue" => self.queue(start, depth),
            "reject" => self.reject(),
            "notrack" => {
                self.lex.advance();
                Some(Stmt::Notrack)
            }
            "dnat" | "snat" | "masquerade" | "redirect" => self.nat(first, depth),
            "tproxy" => self.tproxy(depth),
            "add" | "update" | "delete" | "set" | "meter" => self.update(first, depth),
            "flow" => {
                self.lex.advance();
                self.word().filter(|w| matches!(*w, "add" | "offload"))?;
                let table = self.lex.word_here()?.strip_prefix('@')?;
                self.lex.advance();
                Some(Stmt::Flow(table.into()))
            }
            "xt" => {
                self.lex.advance();
                let kind = self.word()?;
                // nft 1.0 prints the name without quotes.
                let name = self.name()?;
                Some(Stmt::Xt(kind.into(), name.into()))
            }
            "ct" if next == Tok::Word("count") => {
                self.lex.advance();
                self.lex.advance();
                let over = self.lex.eat("over");
                let count = self.number()?;
                Some(Stmt::Connlimit { over, count })
            }
            "ct" | "meta" if self.sets_object(next) => self.aside(start, depth),
            "reset" | "last" => self.aside(start, depth),
            "dup" | "fwd" | "synproxy" => self.elsewhere(first, start, depth),
            _ => self.relation(depth),
        }
    }

    pub fn verdict(&mut self) -> Option<Verdict<'a>> {
        let verdict = match self.lex.word_here()? {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "continue" => Verdict::Continue,
            "return" => Verdict::Return,
            "queue" => Verdict::Queue,
            word @ ("jump" | "goto") => {
                self.lex.advance();
                let chain = self.name()?.into();
                return Some(if word == "jump" {
                    Verdict::Jump(chain)
                } else {
                    Verdict::Goto(chain)
                });
            }
            _ => return None,
        };
        self.lex.advance();
        Some(verdict)
    }

    /// `EXPR OP VALUE`, `EXPR VALUE`, `EXPR vmap ...`, `EXPR set VALUE`.
    fn relation(&mut self, depth: u8) -> Option<Stmt<'a>> {
        let (mut left, types) = self.concat(&[], depth)?;
        if matches!(left, Expr::Part(_)) {
            return None;
        }
        if self.lex.eat("vmap") {
            let map = self.map_ref(&types, Data::Verdict, depth)?;
            return Some(Stmt::Vmap { key: left, map });
        }
        if self.lex.tok == Tok::Word("set") && Self::settable(&left) {
            self.lex.advance();
            let start = self.lex.start;
            let (value, _) = self.concat(&types, depth)?;
            let value = connmark(&left, self.lex.since(start)).unwrap_or(value);
            return Some(Stmt::Set { key: left, value });
        }
        let ty = types.first().copied().unwrap_or(Type::Invalid);
        let op = self.lex.word_here().and_then(|w| relop(w, ty));
        if op.is_some() {
            self.lex.advance();
        }
        let start = self.lex.start;
        let mut right = self.right(&types, depth)?;
        if let ([_], Some((addr, _))) = (&types[..], self.lex.since(start).split_once('/'))
            && let Some(addr) = ty.number(addr)
        {
            beyond_prefix(&mut left, &mut right, addr, ty.bits());
        }
        settle_fib(&mut left, &right);
        // `tcp flags syn / fin,syn,rst`.
        if self.lex.eat("/") {
            let mask = self.right(&types, depth)?;
            let left = Expr::Binary {
                op: BinOp::And,
                left: Box::new(left),
                right: Box::new(mask),
            };
            let op = op.unwrap_or(RelOp::Eq);
            return Some(Stmt::Match { left, op, right });
        }
        let flags = types.len() == 1
            && ty.is_bitmask()
            && !matches!(left, Expr::Binary { .. })
            && matches!(
                right,
                Expr::Part(Part::One(Const::Num(_))) | Expr::Opaque(_)
            );
        let op = op.unwrap_or(if flags { RelOp::Any } else { RelOp::Eq });
        Some(Stmt::Match { left, op, right })
    }
}

/// `ct mark set ct mark xor 0x1 and 0xffffff00` is how libxtables words iptables' `--set-xmark 0x1/0xff` (`connmark_tg_xlate` in
/// iptables `extensions/libxt_CONNMARK.c`). The kernel masks first (`connmark_tg_shift` in `net/netfilter/xt_connmark.c`), and nft itself
/// prints `^` and `&`.
fn connmark<'a>(key: &Expr<'a>, value: &str) -> Option<Expr<'a>> {
    if !matches!(
        key,
        Expr::Ct {
            key: CtKey::Mark,
            ..
        }
    ) {
        return None;
    }
    let rest = value.strip_prefix("ct mark xor ")?;
    let (mark, mask) = rest.split_once(" and ")?;
    let number = |t| {
        let n = Type::Mark.number(t)?;
        Some(Box::new(Expr::Part(Part::One(Const::Num(n)))))
    };
    let (mark, mask) = (number(mark)?, number(mask)?);
    let masked = Expr::Binary {
        op: BinOp::And,
        left: Box::new(key.clone()),
        right: mask,
    };
    Some(Expr::Binary {
        op: BinOp::Xor,
        left: Box::new(masked),
        right: mark,
    })
}

fn relop(word: &str, ty: Type) -> Option<RelOp> {
    Some(match word {
        "==" | "eq" => RelOp::Eq,
        "!=" | "ne" => RelOp::Ne,
        "<" | "lt" => RelOp::Lt,
        "<=" | "le" => RelOp::Le,
        ">" | "gt" => RelOp::Gt,
        ">=" | "ge" => RelOp::Ge,
        "!" if ty.is_bitmask() => RelOp::None,
        _ => return None,
    })
}

/// Text before ` comment "..."` at its end, and the comment.
fn trailing_comment(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix('"')?;
    let (before, comment) = inner.rsplit_once('"')?;
    let before = before.trim_ascii_end().strip_suffix("comment")?;
    before
        .ends_with([' ', '\t', '\n'])
        .then(|| (before.trim_ascii_end(), comment))
}
