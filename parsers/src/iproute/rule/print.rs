//! A rule as `ip rule` prints it.

use super::{Action, PolicyRule};
use crate::common::{Family, Range};
use crate::iproute::words::dsfield_name;
use std::fmt;
use std::net::IpAddr;

/// As `ip rule` prints it, without a line end.
impl fmt::Display for PolicyRule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.rest.as_deref().unwrap_or_default();
        let said: Vec<&str> = rest.split_ascii_whitespace().collect();
        let detached = |device: &str| said.windows(2).any(|w| w == [device, "[detached]"]);
        write!(f, "{}:\t", self.priority)?;
        if self.not {
            f.write_str("not ")?;
        }
        f.write_str("from ")?;
        match self.from {
            Some(p) => address(p, f)?,
            None => f.write_str("all")?,
        }
        if let Some(p) = self.to {
            f.write_str(" to ")?;
            address(p, f)?;
        }
        if let Some(t) = self.tos.filter(|t| *t != 0) {
            write!(f, " tos {}", dsfield_name(t))?;
        }
        if let Some(m) = self.fwmark {
            f.write_str(" fwmark ")?;
            hex(m.value, f)?;
            if m.mask != u32::MAX {
                f.write_str("/")?;
                hex(m.mask, f)?;
            }
        }
        if let Some(d) = &self.iif {
            write!(f, " iif {d}")?;
            if detached("iif") {
                f.write_str(" [detached]")?;
            }
        }
        if let Some(d) = &self.oif {
            write!(f, " oif {d}")?;
            if detached("oif") {
                f.write_str(" [detached]")?;
            }
        }
        if self.l3mdev && self.action != Action::L3mdev {
            f.write_str(" lookup [l3mdev-table]")?;
        }
        if self.action == Action::L3mdev {
            write!(f, " {}", self.action)?;
        }
        if let Some(u) = self.uidrange {
            write!(f, " uidrange {}-{}", u.lo, u.hi)?;
        }
        if let Some(p) = self.ipproto {
            write!(f, " ipproto {p}")?;
        }
        ports("sport", self.sport, f)?;
        ports("dport", self.dport, f)?;
        let (mut selectors, mut realms, mut proto) = (String::new(), String::new(), String::new());
        let mut words = said.iter().copied();
        while let Some(w) = words.next() {
            match w {
                "iif" | "oif" | "[detached]" | "[unresolved]" => {}
                "realms" | "realm" => {
                    let value = words.next();
                    // `lookup 10 realms 1/2 masquerade`: an action that is kept whole says it already.
                    if !value.is_some_and(|v| within(&self.action, [w, v])) {
                        pair(&mut realms, "realms", value);
                    }
                }
                "proto" | "protocol" => {
                    let value = words.next();
                    if !value.is_some_and(|v| within(&self.action, [w, v])) {
                        pair(&mut proto, "proto", value);
                    }
                }
                _ => pair(&mut selectors, w, None),
            }
        }
        f.write_str(&selectors)?;
        // `lookup` stands before the realms, other actions behind them.
        let first = match &self.action {
            Action::Lookup(_) => true,
            Action::Other(t) => t.starts_with("lookup"),
            _ => false,
        };
        if first {
            write!(f, " {}", self.action)?;
        }
        if let Some(n) = self.suppress_prefixlength {
            write!(f, " suppress_prefixlength {n}")?;
        }
        if let Some(g) = &self.suppress_ifgroup {
            write!(f, " suppress_ifgroup {g}")?;
        }
        f.write_str(&realms)?;
        if !first && self.action != Action::L3mdev {
            write!(f, " {}", self.action)?;
        }
        if said.contains(&"[unresolved]") {
            f.write_str(" [unresolved]")?;
        }
        f.write_str(&proto)
    }
}

/// Whether the text of an action without a field of its own holds the two words.
fn within(action: &Action<'_>, two: [&str; 2]) -> bool {
    let Action::Other(text) = action else {
        return false;
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    words.windows(2).any(|w| w == two)
}

/// Adds a key and its value, if it has one, each with a blank before it.
fn pair(to: &mut String, key: &str, value: Option<&str>) {
    for word in [Some(key), value].into_iter().flatten() {
        to.push(' ');
        to.push_str(word);
    }
}

/// As `ip rule` prints it.
impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Lookup(t) => write!(f, "lookup {t}"),
            Action::L3mdev => f.write_str("lookup [l3mdev-table]"),
            Action::Goto(p) => write!(f, "goto {p}"),
            Action::Nop => f.write_str("nop"),
            Action::Blackhole => f.write_str("blackhole"),
            Action::Unreachable => f.write_str("unreachable"),
            Action::Prohibit => f.write_str("prohibit"),
            Action::Other(t) => f.write_str(t),
        }
    }
}

fn address((addr, len): (IpAddr, u8), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{addr}")?;
    if len != Family::of(addr).bits() {
        write!(f, "/{len}")?;
    }
    Ok(())
}

/// C's `%#x`, which prints zero without `0x`.
fn hex(n: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if n == 0 {
        return f.write_str("0");
    }
    write!(f, "{n:#x}")
}

fn ports(key: &str, range: Option<Range<u16>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match range {
        Some(r) if r.lo == r.hi => write!(f, " {key} {}", r.lo),
        Some(r) => write!(f, " {key} {}-{}", r.lo, r.hi),
        None => Ok(()),
    }
}
