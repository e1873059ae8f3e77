//! One rule line to a [`Rule`].

use super::{Family, Form, Rule, RuleLine};
use crate::common::Diagnostic;

/// Parses one rule line; total: what is not understood is opaque or `broken`, and reported.
pub fn parse_rule<'a>(
    source: &'a str,
    at: RuleLine,
    form: Form,
    family: Family,
) -> (Rule<'a>, Vec<Diagnostic>) {
    let _ = (source, form, family);
    (
        Rule {
            at,
            counters: None,
            src: None,
            dst: None,
            iif: None,
            oif: None,
            proto: None,
            fragment: None,
            matches: Vec::new(),
            target: super::Target::None,
            broken: None,
        },
        Vec::new(),
    )
}
