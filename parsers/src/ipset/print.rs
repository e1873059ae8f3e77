//! Sets as `ipset save` prints them.

use super::{IpSet, Member, Part};
use std::fmt;

/// The `create` line and the `add` lines, each with its line end, in the order of the options of ipset 7.
impl fmt::Display for IpSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "create {} {}", self.name, self.type_name)?;
        if !self.header.is_empty() {
            write!(f, " {}", self.header)?;
        }
        f.write_str("\n")?;
        for m in &self.members {
            writeln!(f, "add {} {m}", self.name)?;
        }
        Ok(())
    }
}

/// The element with its options, as it stands behind `add NAME` and in `Members:`.
impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)?;
        if let Some(p) = &self.placement {
            write!(f, " {p}")?;
        }
        if let Some(t) = self.timeout {
            write!(f, " timeout {t}")?;
        }
        if self.nomatch {
            f.write_str(" nomatch")?;
        }
        if self
            .parts
            .iter()
            .any(|p| matches!(p, Part::Iface { wildcard: true, .. }))
        {
            f.write_str(" wildcard")?;
        }
        if let Some(n) = self.packets {
            write!(f, " packets {n}")?;
        }
        if let Some(n) = self.bytes {
            write!(f, " bytes {n}")?;
        }
        if let Some(c) = &self.comment {
            write!(f, " comment \"{c}\"")?;
        }
        if let Some(s) = &self.skb {
            write!(f, " {s}")?;
        }
        Ok(())
    }
}
