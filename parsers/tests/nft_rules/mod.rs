//! Rules, and the records they become.

#![allow(dead_code)] // Each test uses some of it.

use nfwhy_parsers::nft::expr::{BinOp, CtKey, RelOp};
use nfwhy_parsers::nft::{
    Const, Element, ElementData, Expr, Part, Place, Rule, Stmt, TableFamily, fields, text,
};
use nfwhy_parsers::{Diagnostic, Span};

pub fn read(family: TableFamily, line: &str) -> (Rule<'_>, Vec<Diagnostic>) {
    let at = Place {
        span: Span::new(0, line.len()),
        line: 1,
    };
    text::parse_rule(line, at, family)
}

/// The statements of a rule of an inet table that is understood.
#[track_caller]
pub fn stmts(line: &str) -> Vec<Stmt<'_>> {
    of_table(TableFamily::Inet, line)
}

#[track_caller]
pub fn of_table(family: TableFamily, line: &str) -> Vec<Stmt<'_>> {
    let (rule, diagnostics) = read(family, line);
    assert_eq!(diagnostics, [], "{line}");
    rule.stmts
}

/// The rule is one statement.
#[track_caller]
pub fn check(line: &str, expected: Stmt<'_>) {
    assert_eq!(stmts(line), [expected], "{line}");
}

pub fn num<'a>(n: u128) -> Expr<'a> {
    Expr::Part(Part::One(Const::Num(n)))
}

pub fn range<'a>(lo: u128, hi: u128) -> Expr<'a> {
    Expr::Part(Part::Range(lo, hi))
}

pub fn word(text: &str) -> Expr<'_> {
    Expr::Part(Part::One(Const::Text(text.into())))
}

pub fn field<'a>(header: &str, name: &str) -> Expr<'a> {
    Expr::Payload(fields::find(header, name).expect("a field"))
}

pub fn ct<'a>(key: CtKey) -> Expr<'a> {
    Expr::Ct { reply: None, key }
}

pub fn is<'a>(left: Expr<'a>, op: RelOp, right: Expr<'a>) -> Stmt<'a> {
    Stmt::Match { left, op, right }
}

pub fn bin<'a>(op: BinOp, left: Expr<'a>, right: Expr<'a>) -> Expr<'a> {
    let (left, right) = (Box::new(left), Box::new(right));
    Expr::Binary { op, left, right }
}

pub fn element<'a>(key: Vec<Part<'a>>, data: Option<ElementData<'a>>) -> Element<'a> {
    Element {
        key,
        data,
        timeout: None,
        expires: None,
        comment: None,
        stmts: Vec::new(),
    }
}

pub fn one<'a>(n: u128) -> Part<'a> {
    Part::One(Const::Num(n))
}

pub const NET: u128 = 0x0a00_0000;
