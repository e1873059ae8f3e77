//! What becomes of a line that is not understood as a whole: opaque matches and targets, and what is missing at its end.

use super::cursor::{CUT, Fault, Kind};
use super::{Reader, UNKNOWN};
use crate::iptables::lex::Lexer;
use crate::iptables::matches::Match;
use crate::iptables::targets::Target;
use std::borrow::Cow;

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
