//! Match and target extensions of `x_tables`, from the structures that the kernel keeps to the words that `iptables-save` prints.
//!
//! The legacy interface and `nf_tables` (its `match` and `target` expressions) hand out the same structures: those of
//! include/uapi/linux/netfilter*/ in the byte order of the machine. What each `save` function of iptables 1.8.9 (extensions/) prints for them
//! is printed here, with two exceptions. A value that the tool has a name for in a file of the machine (device groups, realms, connection
//! labels) is printed as its number. And where the tool leaves a negated test out because its value is all there is (`! --dport 0:65535`),
//! it is printed: such a rule never fits, and a reader must be told.

mod head;
mod matches;
mod sets;
mod targets;
mod words;

pub(super) use matches::{flags, limited, ports};
use nfwhy_parsers::Family;
pub(super) use sets::SetNames;
use std::collections::BTreeSet;
pub(super) use targets::Nflog;
pub(super) use words::{Words, dec, text};

/// Prints the extensions of one family's rules, and remembers those that it has no decoder for.
#[derive(Debug)]
pub(super) struct Decoder<'s> {
    family: Family,
    sets: &'s SetNames,
    /// `match foo (revision 1, 24 bytes)`
    undecoded: BTreeSet<String>,
}

impl<'s> Decoder<'s> {
    /// A decoder that names sets by `sets`.
    pub(super) fn new(family: Family, sets: &'s SetNames) -> Self {
        Self {
            family,
            sets,
            undecoded: BTreeSet::new(),
        }
    }

    /// Appends ` -m NAME` and the options.
    #[inline]
    pub(super) fn matching(&mut self, out: &mut String, name: &str, revision: u32, blob: &[u8]) {
        let start = out.len();
        let mut words = self.words(out);
        let decoded = matches::decode(&mut words, name, revision, blob);
        #[cfg(test)]
        let decoded = decoded.filter(|()| super::fallback::tests::WITHOUT.get() != name);
        if decoded.is_none() {
            self.opaque(out, start, "match", name, revision, blob.len());
        }
    }

    /// Appends ` -j NAME` and the options.
    #[inline]
    pub(super) fn target(&mut self, out: &mut String, name: &str, revision: u32, blob: &[u8]) {
        let start = out.len();
        let mut words = self.words(out);
        let decoded = targets::decode(&mut words, name, revision, blob);
        #[cfg(test)]
        let decoded = decoded.filter(|()| super::fallback::tests::WITHOUT.get() != name);
        if decoded.is_none() {
            self.opaque(out, start, "target", name, revision, blob.len());
        }
    }

    /// Something whose words are printed without the help of a structure.
    pub(super) fn words<'o>(&self, out: &'o mut String) -> Words<'o>
    where
        's: 'o,
    {
        Words::new(out, self.family, self.sets)
    }

    /// What has no decoder: a match or target of this name with options that no extension has, so that it stays opaque to every reader.
    #[cold]
    fn opaque(
        &mut self,
        out: &mut String,
        start: usize,
        what: &str,
        name: &str,
        revision: u32,
        size: usize,
    ) {
        out.truncate(start);
        out.push_str(if what == "match" { " -m" } else { " -j" });
        let mut words = self.words(out);
        words.word(name);
        words.word("--revision");
        words.num(revision);
        words.word("--size");
        words.num(u64::try_from(size).unwrap_or(0));
        self.undecoded
            .insert(format!("{what} {name} (revision {revision}, {size} bytes)"));
    }

    /// What had no decoder: `match foo (revision 1, 24 bytes)`.
    pub(super) fn undecoded(&self) -> impl Iterator<Item = &String> {
        self.undecoded.iter()
    }
}

#[cfg(test)]
mod tests;
