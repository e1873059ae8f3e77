//! What becomes of a line that is not understood as a whole: opaque matches and targets, and what is missing at its end.

use super::cursor::{CUT, Cursor, Fault, Kind};
use super::{Reader, UNKNOWN};
use crate::iptables::lex::{Lexer, is_blank};
use crate::iptables::matches::Match;
use crate::iptables::targets::Target;
use std::borrow::Cow;

/// How a match or target was written, for when it turns out to be opaque.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written<'a> {
    /// Its name; empty where nothing of the kind was met yet.
    pub name: &'a str,
    /// Where the name starts.
    pub named_at: usize,
    /// Where its options start: one past its name.
    pub from: usize,
    /// One past its last option. An option of something else after that makes the text between no longer its own.
    pub to: usize,
}

impl Written<'_> {
    /// The option at the cursor is its own as well, if nothing of something else stands before it.
    #[inline]
    pub fn extend(&mut self, at: &Cursor<'_>) {
        let gap = at.lex.text().as_bytes().get(self.to..at.from);
        if gap.is_some_and(|gap| gap.iter().all(|b| is_blank(*b))) {
            self.to = at.lex.pos();
        }
    }
}

/// What the lexer takes for blanks.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

impl Reader<'_> {
    /// Makes the last match opaque, with all that was written of it up to the cursor, or gives the fault back where that is not
    /// possible: the line ends within it, or it is not the last thing written.
    pub(super) fn last_is_opaque(&mut self, fault: Fault) -> Result<(), Fault> {
        let line = self.at.lex.text();
        let mine = line
            .get(self.last.to..self.at.from)
            .is_some_and(|gap| gap.trim().is_empty());
        if matches!(fault.kind, Kind::Missing | Kind::Unclosed) || !mine {
            return Err(fault);
        }
        let Some(last) = self.rule.matches.last_mut() else {
            return Err(fault);
        };
        *last = Match::Opaque {
            name: Cow::Borrowed(self.last.name),
            args: Cow::Borrowed(
                line.get(self.last.from..self.at.lex.pos())
                    .unwrap_or_default()
                    .trim_matches(BLANKS),
            ),
        };
        let index = self.rule.matches.len() - 1;
        self.took(index);
        self.report(fault);
        Ok(())
    }

    /// The same for the target.
    pub(super) fn target_is_opaque(&mut self, fault: Fault) -> Result<(), Fault> {
        let line = self.at.lex.text();
        let mine = line
            .get(self.target.to..self.at.from)
            .is_some_and(|gap| gap.trim().is_empty());
        if matches!(fault.kind, Kind::Missing | Kind::Unclosed) || !mine {
            return Err(fault);
        }
        self.rule.target = Target::Opaque {
            name: Cow::Borrowed(self.target.name),
            args: Cow::Borrowed(
                line.get(self.target.from..self.at.lex.pos())
                    .unwrap_or_default()
                    .trim_matches(BLANKS),
            ),
        };
        self.target_lacks = false;
        self.report(fault);
        Ok(())
    }

    pub(super) fn report_target(&mut self) {
        self.report(Fault {
            start: self.target.named_at,
            end: self.target.from,
            kind: Kind::Other("is a target that is not known", UNKNOWN),
        });
    }

    pub(super) fn report(&mut self, fault: Fault) {
        let line = self.at.lex.text();
        self.diagnostics.push(fault.diagnostic(self.rule.at, line));
    }

    /// What can only be said at the end of the line.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        if self.lacking != 0 || self.target_lacks {
            return Err(self.incomplete());
        }
        for m in &mut self.rule.matches {
            if let Match::Connlimit(connlimit) = m {
                connlimit.mask = connlimit.mask.min(self.at.family.bits());
            }
        }
        Ok(())
    }

    #[cold]
    fn incomplete(&self) -> Fault {
        if self.target_lacks {
            return Fault {
                start: self.target.named_at,
                end: self.target.from,
                kind: Kind::Other("is a target without its option", CUT),
            };
        }
        // Matches that a protocol implied have no `-m`, but they never lack anything and stand last nearly always.
        let index = self.lacking.trailing_zeros() as usize;
        let mut words = Lexer::new(self.at.lex.text());
        let mut named = None;
        for _ in 0..=index {
            words.find(|word| matches!(word.raw, "-m" | "--match"));
            named = words.next().or(named);
        }
        let kind = Kind::Other("is a match without its option", CUT);
        Fault::at(&named.unwrap_or(self.at.option), kind)
    }
}
