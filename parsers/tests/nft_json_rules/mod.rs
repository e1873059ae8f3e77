//! What the tests of nft JSON rules share.
#![allow(dead_code, reason = "every test program uses a part of it")]

use nfwhy_parsers::Span;
use nfwhy_parsers::nft::expr::{Const, Expr, Part};
use nfwhy_parsers::nft::stmt::Stmt;
use nfwhy_parsers::nft::{Place, TableFamily, fields, json};

/// A rule of a table of this family, without reports.
#[track_caller]
pub fn rule(family: TableFamily, stmts: &'static str) -> Vec<Stmt<'static>> {
    let source = format!("{{\"expr\": [{stmts}]}}").leak();
    let (rule, diagnostics) = json::parse_rule(source, whole(source), family);
    assert_eq!(diagnostics, [], "{source}");
    rule.stmts
}

pub fn whole(source: &str) -> Place {
    Place {
        span: Span::new(0, source.len()),
        line: 1,
    }
}

pub fn num(n: u128) -> Expr<'static> {
    Expr::Part(Part::One(Const::Num(n)))
}

pub fn field(header: &str, name: &str) -> Expr<'static> {
    Expr::Payload(fields::find(header, name).expect("a field"))
}
