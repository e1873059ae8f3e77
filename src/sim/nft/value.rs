//! Values of expressions, and how they compare with constants.

use super::super::matches::{Tri, Unknown};
use crate::trace::{Missing, Port};
use nfwhy_parsers::nft::{Const, Part};
use std::borrow::Cow;

/// What an expression gives.
#[derive(Clone, Debug)]
pub(super) enum Val<'v> {
    /// A number, as one reads it.
    Num(u128),
    /// A number between these, both included.
    Span(u128, u128),
    /// A device's name; empty where there is none.
    Text(Cow<'v, str>),
    /// Of a concatenation.
    Many(Vec<Val<'v>>),
    /// Something that is not known.
    Unknown(What),
}

/// Something that is not known, as a noun: "the CPU".
#[derive(Clone, Debug)]
pub(super) struct What {
    /// What.
    pub noun: String,
    /// What would tell.
    pub missing: Option<Missing>,
}

impl Val<'_> {
    pub(super) fn unknown(noun: impl Into<String>) -> Self {
        Self::Unknown(What {
            noun: noun.into(),
            missing: None,
        })
    }

    /// A port; `None` where the protocol has none.
    pub(super) fn port(p: Port, noun: &str) -> Option<Self> {
        Some(match p {
            Port::Known(n) => Self::Num(n.into()),
            Port::Ephemeral => Self::Span(32768, 60999),
            Port::Random { lo, hi } => Self::Span(lo.into(), hi.into()),
            Port::Unknown => Self::unknown(noun),
            Port::None => return None,
        })
    }

    pub(super) fn num(&self) -> Option<u128> {
        match self {
            Self::Num(n) => Some(*n),
            _ => None,
        }
    }

    /// What to call it where it is not known.
    fn noun(&self) -> String {
        match self {
            Self::Unknown(w) => w.noun.clone(),
            Self::Span(lo, hi) => format!("the number between {lo} and {hi}"),
            Self::Num(n) => n.to_string(),
            Self::Text(t) => t.to_string(),
            Self::Many(_) => "the key".into(),
        }
    }

    /// "NOUN VERB" as a question, where the answer is not known.
    pub(super) fn ask(&self, verb: &str) -> Tri {
        let noun = self.noun();
        let missing = match self {
            Self::Unknown(w) => w.missing.clone(),
            _ => None,
        };
        Tri::Unknown(Unknown {
            fact: format!("{noun} {verb}"),
            not: false,
            yes: format!("{noun} {verb}"),
            no: format!("not: {noun} {verb}"),
            missing,
        })
    }

    /// Whether it is the constant, or lies among them.
    pub(super) fn fits(&self, part: &Part<'_>) -> Tri {
        match (self, part) {
            (Self::Unknown(_) | Self::Many(_), p) => self.ask(&format!("is {}", shown(p))),
            (Self::Num(n), Part::One(Const::Num(m))) => Tri::of(n == m),
            (Self::Num(n), Part::Range(lo, hi)) => Tri::of((lo..=hi).contains(&n)),
            (Self::Span(lo, hi), p) => {
                let (a, b) = match p {
                    Part::One(Const::Num(m)) => (*m, *m),
                    Part::Range(a, b) => (*a, *b),
                    _ => return Tri::No,
                };
                if a <= *lo && *hi <= b {
                    Tri::Yes
                } else if b < *lo || *hi < a {
                    Tri::No
                } else {
                    self.ask(&format!("is {}", shown(p)))
                }
            }
            (Self::Text(t), Part::One(Const::Text(u))) => Tri::of(t == u),
            (Self::Text(t), Part::Wild(start)) => Tri::of(t.starts_with(start.as_ref())),
            // `fib ... oif 0`, as nft prints a missing device.
            (Self::Text(t), Part::One(Const::Num(0))) => Tri::of(t.is_empty()),
            (Self::Num(_) | Self::Text(_), _) => Tri::No,
        }
    }

    /// Whether a key's components are those of an element. An element for all (`*`) has none and is not asked here.
    pub(super) fn is_key(&self, parts: &[Part<'_>]) -> Tri {
        match (self, parts) {
            (Self::Many(vals), parts) if vals.len() == parts.len() => {
                let mut out = Tri::Yes;
                for (v, p) in vals.iter().zip(parts) {
                    out = out.and(|| v.fits(p));
                }
                out
            }
            (Self::Many(_), _) | (_, []) => Tri::No,
            (v, [one]) => v.fits(one),
            (v, _) => v.ask("is a concatenation"),
        }
    }
}

/// A constant for a sentence.
fn shown(p: &Part<'_>) -> String {
    match p {
        Part::One(Const::Num(n)) => n.to_string(),
        Part::One(Const::Text(t)) => t.to_string(),
        Part::Range(lo, hi) => format!("in {lo}-{hi}"),
        Part::Wild(t) => format!("{t}*"),
    }
}
