//! stub
use super::*;
use crate::{Diagnostic, Parsed};
/// stub
pub fn index(_: &str) -> Parsed<Ruleset<'_>> {
    Parsed::default()
}
/// stub
pub fn parse_rule<'a>(_: &'a str, _: Place, _: TableFamily) -> (Rule<'a>, Vec<Diagnostic>) {
    (
        Rule {
            stmts: vec![],
            comment: None,
        },
        vec![],
    )
}
/// stub
pub fn elements<'a>(
    _: &'a str,
    _: Place,
    _: &Set<'_>,
    _: TableFamily,
) -> (Vec<Element<'a>>, Vec<Diagnostic>) {
    (vec![], vec![])
}
