//! One rule line to a [`Rule`].
//!
//! Options are read as iptables reads them: an option belongs to the match loaded last that has it, so matches may interleave, and
//! `-p tcp --dport 80` loads `tcp` by itself. What is wrong with one match or target makes that one opaque; what is wrong
//! with the line makes the rule `broken`.

mod cursor;
mod faults;
mod general;
mod matching;
mod matching_more;
pub(super) mod names;
mod target;

use super::lex::Lexer;
use super::matches::{Match, NATIVE};
use super::targets::Target;
use super::{Form, Rule, RuleLine, listing};
use crate::common::{Diagnostic, Family};
use cursor::{Cursor, Fault, Kind, append};
use faults::Written;
pub(super) use general::counters;
use std::borrow::Cow;

/// Parses one rule line; total: what is not understood is opaque or `broken`, and reported.
///
/// `at` is the line's place in `source`, as [`super::save::index`] found it; a line without `-A CHAIN` at its front is read as a rule
/// all the same. Matches and targets that are not known, or that have an option or a value that is not known, become
/// [`Match::Opaque`] and [`Target::Opaque`] with one diagnostic each, and the rest of the rule stands. A line that is not a rule (a value
/// is missing, an address is no address, an option is nobody's) is [`Rule::broken`], with one diagnostic at the offending word.
pub fn parse_rule(
    source: &str,
    at: RuleLine,
    form: Form,
    family: Family,
) -> (Rule<'_>, Vec<Diagnostic>) {
    if let Form::Listing(columns) = form {
        return listing::parse_listing_rule(source, at, columns, family);
    }
    let line = at.span.of(source);
    let mut reader = Reader::new(line, at, family);
    if let Err(fault) = reader.read() {
        reader.rule.broken = Some(fault.message(line).into());
        reader.diagnostics.push(fault.diagnostic(at, line));
    }
    (reader.rule, reader.diagnostics)
}

struct Reader<'a> {
    at: Cursor<'a>,
    rule: Rule<'a>,
    diagnostics: Vec<Diagnostic>,
    /// The last match.
    last: Written<'a>,
    /// The target.
    target: Written<'a>,
    /// Bit per match (the first 64) that still lacks the option without which it means nothing.
    lacking: u64,
    /// The same of the target.
    target_lacks: bool,
}

const UNKNOWN: &str =
    "the rule may match or not: nfwhy follows both, and does not read this extension";

/// A rule is at most 64 KiB (`next_offset` of `struct ipt_entry`), a match at least 32 bytes of it (`struct xt_entry_match`). An
/// option that is nobody's is offered to all of them.
const MOST_MATCHES: usize = 2048;

impl<'a> Reader<'a> {
    fn new(line: &'a str, place: RuleLine, family: Family) -> Self {
        let lex = Lexer::new(line);
        Self {
            at: Cursor {
                lex,
                family,
                not: false,
                option: Lexer::nothing(line),
                from: 0,
            },
            rule: Rule {
                at: place,
                counters: None,
                src: None,
                dst: None,
                iif: None,
                oif: None,
                proto: None,
                fragment: None,
                matches: Vec::new(),
                target: Target::None,
                broken: None,
            },
            diagnostics: Vec::new(),
            last: Written::default(),
            target: Written::default(),
            lacking: 0,
            target_lacks: false,
        }
    }

    fn read(&mut self) -> Result<(), Fault> {
        self.head()?;
        while let Some(token) = self.at.lex.next() {
            self.at.from = token.start;
            self.at.not = false;
            self.at.option = token;
            if token.is_quoted() {
                self.stray()?;
                continue;
            }
            if token.raw == "!" {
                self.at.not = true;
                let Some(option) = self.at.lex.next() else {
                    return Err(Fault::at(&token, Kind::Missing));
                };
                self.at.option = option;
                if option.is_quoted() {
                    self.stray()?;
                    continue;
                }
            }
            match self.at.option.raw.as_bytes() {
                [b'-', b'-', _, ..] => self.long()?,
                [b'-', letter] => self.short(*letter)?,
                [b'-', letter, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9', ..] => {
                    self.glued(*letter)?;
                }
                _ => self.stray()?,
            }
        }
        self.finish()
    }

    /// A one-letter option.
    #[inline]
    fn short(&mut self, letter: u8) -> Result<(), Fault> {
        match letter {
            b'm' => self.load_match(),
            b'j' => self.jump(false),
            b's' => self.address(true),
            b'd' => self.address(false),
            b'p' => self.protocol(),
            b'i' => self.device(true),
            b'o' => self.device(false),
            b'g' => self.jump(true),
            b'f' => {
                self.rule.fragment = Some(self.at.flag());
                Ok(())
            }
            b'c' => self.set_counters(),
            // Lines for one family only, in files meant for both: the reader chose this file.
            b'4' | b'6' => Ok(()),
            b'A' => Err(Fault::at(
                &self.at.option,
                Kind::Other(
                    "starts a second rule on the same line",
                    "put each rule on a line of its own",
                ),
            )),
            _ => self.stray(),
        }
    }

    /// `-ptcp`: a letter and its value in one word. Nothing prints it, people write it.
    fn glued(&mut self, letter: u8) -> Result<(), Fault> {
        if !matches!(
            letter,
            b'm' | b'j' | b's' | b'd' | b'p' | b'i' | b'o' | b'g'
        ) {
            return self.stray();
        }
        // The letter becomes an option of its own, and reading goes on right behind it.
        self.at.option = self.at.option.first(2);
        self.at.lex = self.at.lex.back_to(self.at.option.end);
        self.short(letter)
    }

    /// Whether the target was named after the last match, and so is what an option is first offered to.
    fn target_is_last(&self) -> bool {
        !self.target.name.is_empty() && self.target.named_at >= self.last.named_at
    }

    /// A `--long` option.
    #[inline]
    fn long(&mut self) -> Result<(), Fault> {
        // What was named last is right nearly always.
        if self.target_is_last() {
            if self.offer_target()? {
                return Ok(());
            }
        } else if let Some(last) = self.rule.matches.last_mut() {
            match matching::option(last, &mut self.at) {
                Ok(true) => {
                    let index = self.rule.matches.len() - 1;
                    self.took(index);
                    return Ok(());
                }
                Ok(false) => {}
                Err(fault) => return self.last_is_opaque(fault),
            }
        }
        self.long_elsewhere()
    }

    #[inline]
    fn offer_target(&mut self) -> Result<bool, Fault> {
        match target::option(&mut self.rule.target, &mut self.at) {
            Ok(false) => return Ok(false),
            Ok(true) => {
                self.target_lacks = false;
                self.target.extend(&self.at);
            }
            Err(fault) => self.target_is_opaque(fault)?,
        }
        Ok(true)
    }

    /// A long option that is not of what was named last.
    fn long_elsewhere(&mut self) -> Result<(), Fault> {
        for index in (0..self.rule.matches.len()).rev() {
            if let Some(earlier) = self.rule.matches.get_mut(index)
                && matching::option(earlier, &mut self.at)?
            {
                self.took(index);
                return Ok(());
            }
        }
        let letter = match self.at.option.raw {
            "--source" | "--src" => b's',
            "--destination" | "--dst" => b'd',
            "--protocol" | "--proto" => b'p',
            "--in-interface" => b'i',
            "--out-interface" => b'o',
            "--match" => b'm',
            "--jump" => b'j',
            "--goto" => b'g',
            "--fragment" | "--fragments" => b'f',
            "--set-counters" => b'c',
            "--ipv4" => b'4',
            "--ipv6" => b'6',
            "--append" => b'A',
            _ => return self.nobodys(),
        };
        self.short(letter)
    }

    /// A long option that no loaded match and not iptables itself has.
    fn nobodys(&mut self) -> Result<(), Fault> {
        if self.target_is_last() {
            return self.target_takes();
        }
        let option = self.at.option;
        if let Some(Match::Opaque { args, .. }) = self.rule.matches.last_mut() {
            append(args, self.at.lex.text(), self.at.from, option.end);
            return Ok(());
        }
        if !self.target.name.is_empty() && self.offer_target()? {
            return Ok(());
        }
        if self.load_implied()? {
            return Ok(());
        }
        // `--dport=80`.
        if let Some(equals) = option.raw.find('=') {
            self.at.option = option.first(equals);
            self.at.lex = self.at.lex.back_to(self.at.option.end + 1);
            return self.long();
        }
        if self.rule.matches.is_empty() {
            return Err(self.unknown_option());
        }
        let fault = Fault::at(
            &option,
            Kind::Other("is no option of the matches before it", UNKNOWN),
        );
        self.last_is_opaque(fault)
    }

    /// Loads the match of the rule's protocol for one of its options.
    fn load_implied(&mut self) -> Result<bool, Fault> {
        let proto = self.rule.proto.filter(|proto| !proto.not);
        let Some(name) = proto.and_then(|proto| matching::implicit(proto.value)) else {
            return Ok(false);
        };
        let Some((mut implied, _)) = matching::start(name) else {
            return Ok(false);
        };
        if !matching::option(&mut implied, &mut self.at)? {
            return Ok(false);
        }
        self.last = Written {
            name,
            named_at: self.at.from,
            from: self.at.from,
            to: self.at.lex.pos(),
        };
        self.rule.matches.push(implied);
        Ok(true)
    }

    fn unknown_option(&self) -> Fault {
        Fault::at(
            &self.at.option,
            Kind::Other(
                "is no option of iptables",
                "an extension's options follow its -m NAME or -j NAME",
            ),
        )
    }

    /// The target takes the option if it takes any.
    fn target_takes(&mut self) -> Result<(), Fault> {
        let line = self.at.lex.text();
        let (from, to) = (self.at.from, self.at.lex.pos());
        let was_jump = matches!(self.rule.target, Target::Jump(_));
        if let Some(args) = target::takes_anything(&mut self.rule.target) {
            append(args, line, from, to);
            self.target_lacks = false;
            self.target.extend(&self.at);
            if was_jump {
                self.report_target();
            }
            return Ok(());
        }
        match self.rule.target {
            Target::None
            | Target::Goto(_)
            | Target::Accept
            | Target::Drop
            | Target::Return
            | Target::Queue => Err(self.unknown_option()),
            _ => {
                let fault = Fault::at(
                    &self.at.option,
                    Kind::Other("is no option of the target", UNKNOWN),
                );
                self.target_is_opaque(fault)
            }
        }
    }

    /// A word that is no option: a value of something opaque, or rubbish.
    fn stray(&mut self) -> Result<(), Fault> {
        let line = self.at.lex.text();
        let (from, to) = (self.at.from, self.at.lex.pos());
        if self.at.option.is_unclosed() {
            return Err(Fault::at(&self.at.option, Kind::Unclosed));
        }
        let args = if self.target_is_last() {
            match &mut self.rule.target {
                Target::Continue { args, .. } | Target::Opaque { args, .. } if !args.is_empty() => {
                    Some(args)
                }
                _ => None,
            }
        } else {
            match self.rule.matches.last_mut() {
                Some(Match::Opaque { args, .. }) => Some(args),
                _ => None,
            }
        };
        if let Some(args) = args {
            append(args, line, from, to);
            return Ok(());
        }
        let raw = self.at.option.raw;
        let what = if raw.starts_with('-') && !self.at.option.is_quoted() {
            "is no option of iptables"
        } else {
            "stands where an option is due"
        };
        Err(Fault::at(
            &self.at.option,
            Kind::Other(
                what,
                "each value follows its option; values with blanks need quotes",
            ),
        ))
    }

    fn took(&mut self, index: usize) {
        let means_nothing = match self.rule.matches.get(index) {
            Some(Match::Set(set)) => set.src.is_empty(),
            Some(Match::Hashlimit(hashlimit)) => hashlimit.rate.is_empty(),
            _ => false,
        };
        if !means_nothing {
            self.lacking &= !bit(index);
        }
        if index + 1 == self.rule.matches.len() {
            self.last.extend(&self.at);
        }
    }

    /// `-m NAME`.
    #[inline]
    fn load_match(&mut self) -> Result<(), Fault> {
        let word = self.at.argument()?;
        if self.rule.matches.len() >= MOST_MATCHES {
            let what = Kind::Other(
                "is one match too many for a rule",
                "no kernel takes such a rule",
            );
            return Err(Fault::at(&word, what));
        }
        if self.rule.matches.is_empty() {
            // Two matches are what most rules have: comment and one more.
            self.rule.matches.reserve_exact(2);
        }
        self.last = Written {
            name: word.raw,
            named_at: word.start,
            from: word.end,
            to: word.end,
        };
        if let Some((record, needs)) = matching::start(word.raw) {
            if needs {
                self.lacking |= bit(self.rule.matches.len());
            }
            self.rule.matches.push(record);
        } else {
            let name = word.text();
            // Quotes within the word, or a backslash, may hide the name of a match that is known: nobody writes it so.
            let hidden = matches!(name, Cow::Owned(_)) && matching::start(&name).is_some();
            if name.is_empty() || name.starts_with('-') || hidden {
                return Err(Fault::at(&word, Kind::Value("the name of a match")));
            }
            let native = name == NATIVE;
            self.rule.matches.push(Match::Opaque {
                name,
                args: Cow::Borrowed(""),
            });
            if !native {
                let unknown = Kind::Other("is a match that is not known", UNKNOWN);
                self.report(Fault::at(&word, unknown));
            }
        }
        Ok(())
    }

    /// `-j NAME` or `-g CHAIN`.
    #[inline]
    fn jump(&mut self, goto: bool) -> Result<(), Fault> {
        let option = self.at.option;
        let word = self.at.argument()?;
        if !self.target.name.is_empty() {
            return Err(Fault::at(
                &option,
                Kind::Other(
                    "names a second target",
                    "put each rule on a line of its own",
                ),
            ));
        }
        let name = word.text();
        let unfit = name.is_empty() || name.starts_with('-');
        let started = match &name {
            _ if unfit => None,
            Cow::Borrowed(name) => Some(target::start(name, self.at.family)),
            // Quotes within the word, or a backslash: nobody writes the name of a target so, and it may be a chain's.
            Cow::Owned(owned) => {
                let chain = matches!(target::start(owned, self.at.family).0, Target::Jump(_));
                chain.then(|| (Target::Jump(name.clone()), false))
            }
        };
        let Some((started, lacks)) = started else {
            return Err(Fault::at(
                &word,
                Kind::Value("the name of a target or chain"),
            ));
        };
        self.target = Written {
            name: word.raw,
            named_at: word.start,
            from: word.end,
            to: word.end,
        };
        if goto {
            self.rule.target = Target::Goto(name);
        } else {
            (self.rule.target, self.target_lacks) = (started, lacks);
            if matches!(self.rule.target, Target::Opaque { .. }) {
                self.report_target();
            }
        }
        Ok(())
    }
}

/// The bit of match number `index`; matches beyond the 64th are not checked for completeness.
fn bit(index: usize) -> u64 {
    u32::try_from(index)
        .ok()
        .and_then(|index| 1u64.checked_shl(index))
        .unwrap_or(0)
}
