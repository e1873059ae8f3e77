//! What a line says by where it stands in its file: masks apart from their addresses, settings, names that are declared.

use super::names::Names;
use super::scan::{Line, TRANSLATED};
use super::trie::Fixed;
use nfwhy_parsers::recognise::Kind;
use std::collections::HashMap;

/// Masks that stand apart from the addresses they are for.
#[derive(Default)]
pub struct Masks {
    /// Sets created with a mask.
    sets: HashMap<String, (Option<u8>, Option<Fixed>)>,
    /// That of the set whose members are listed.
    listed: (Option<u8>, Option<Fixed>),
}

fn after<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(word)?;
    rest.split([' ', '\n', '\r', '"', ',']).next()
}

impl Masks {
    /// What is said of the addresses of the next line.
    pub fn line(&mut self, line: &str, kind: Kind) -> Line {
        let mut facts = Line {
            kind: Some(kind),
            ..Line::default()
        };
        match kind {
            Kind::Nft => {
                if let Some(m) = after(line, " & ") {
                    facts.mask(m);
                }
                if line.contains(" prefix to ") {
                    facts.fixed = Some(TRANSLATED);
                }
            }
            Kind::RouteN => {
                if let Some(m) = line.split_ascii_whitespace().nth(2) {
                    facts.mask(m);
                }
            }
            Kind::IptablesSave | Kind::IptablesListing if line.contains("NETMAP") => {
                facts.fixed = Some(TRANSLATED);
            }
            Kind::Ipset => {
                facts.stem = member_device(line).and_then(|(at, _, wild)| wild.then_some(at));
                let name = |rest: &str| rest.split(' ').next().unwrap_or("").to_owned();
                if line.starts_with("create ") || line.starts_with("Header: ") {
                    let mut of_members = Line::default();
                    if let Some(m) = after(line, " bitmask ") {
                        of_members.mask(m);
                    }
                    if let Some(len) = after(line, " netmask ") {
                        of_members.len = len.parse().ok();
                    }
                    let known = (of_members.len, of_members.fixed);
                    self.listed = known;
                    if let Some(rest) = line.strip_prefix("create ")
                        && known != (None, None)
                    {
                        self.sets.insert(name(rest), known);
                    }
                } else if let Some(rest) = line.strip_prefix("add ") {
                    let known = self.sets.get(&name(rest)).copied();
                    (facts.len, facts.fixed) = known.unwrap_or_default();
                } else if line.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') {
                    (facts.len, facts.fixed) = self.listed;
                }
            }
            _ => {}
        }
        facts
    }
}

/// Where the device of a set's member stands, and whether it is the beginning of devices' names (`wildcard`, `hash_netiface4_data_equal` in
/// `net/netfilter/ipset/ip_set_hash_netiface.c`).
pub fn member_device(line: &str) -> Option<(usize, &str, bool)> {
    if line.starts_with("create ") {
        return None;
    }
    let start = match line.strip_prefix("add ") {
        Some(rest) => "add ".len() + rest.find(' ')? + 1,
        None => 0,
    };
    let member = line.get(start..)?;
    if !member.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') {
        return None;
    }
    let (member, options) = member.split_once([' ', '\n', '\r']).unwrap_or((member, ""));
    let (before, device) = member.rsplit_once(',')?;
    let bare = device.strip_prefix("physdev:").unwrap_or(device);
    if bare.contains(':') || !bare.bytes().any(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let at = start + before.len() + 1 + (device.len() - bare.len());
    // A comment has no quotes within.
    let mut bare_options = options.split('"').step_by(2);
    let wildcard = bare_options.any(|o| o.split_ascii_whitespace().any(|w| w == "wildcard"));
    Some((at, bare, wildcard))
}

/// A line of sysctl that is no plain text.
pub enum Special<'l> {
    /// `net.ipv4.conf.DEVICE.rp_filter = 1`.
    Key(&'l str, &'l str, &'l str),
    /// A setting outside of `net.` that is text.
    Value(&'l str, &'l str, &'l str),
}

/// Tells such a line.
pub fn special_line(line: &str, kind: Kind) -> Option<Special<'_>> {
    if kind != Kind::Sysctl {
        return None;
    }
    let (key, _) = line.split_once('=').unwrap_or((line, ""));
    let key = key.trim_end();
    let sep = if key.starts_with("net/") { '/' } else { '.' };
    let mut parts = key.splitn(4, sep);
    if parts.next() == Some("net") {
        let (_, place, rest) = (parts.next()?, parts.next()?, parts.next()?);
        if !matches!(place, "conf" | "neigh") {
            return None;
        }
        let (device, _) = rest.rsplit_once(sep)?;
        let at = key.len() - rest.len();
        let end = at + device.len();
        // With slashes between the parts, a device's own dots are dots.
        if sep == '/' {
            return None;
        }
        return Some(Special::Key(line.get(..at)?, device, line.get(end..)?));
    }
    let (_, value) = line.split_once('=')?;
    let start = line.len() - value.trim_start().len();
    let value = value.trim();
    let text = value
        .bytes()
        .any(|b| b.is_ascii_alphabetic() || !b.is_ascii());
    text.then(|| {
        let end = start + value.len();
        Some(Special::Value(line.get(..start)?, value, line.get(end..)?))
    })?
}

/// Notes the names that a line declares.
pub fn declared(names: &mut Names, line: &str, kind: Kind) {
    let first = |s: &str| -> String {
        let end = s.find([' ', '\t', '{', '\n', '\r', '"', ';', ',']);
        s.get(..end.unwrap_or(s.len())).unwrap_or("").to_owned()
    };
    match kind {
        Kind::Link => {
            let mut parts = line.splitn(3, ": ");
            let (index, name) = (parts.next().unwrap_or(""), parts.next());
            if index.bytes().all(|b| b.is_ascii_digit())
                && let Some(name) = name
            {
                for n in name.split('@') {
                    names.device(n.trim());
                }
            }
        }
        Kind::Sysctl => {
            if let Some(Special::Key(_, device, _)) = special_line(line, kind) {
                names.device(&device.replace('/', "."));
            }
            if let Some(Special::Value(before, value, _)) = special_line(line, kind)
                && before.starts_with("kernel.hostname")
            {
                names.host(value);
            }
        }
        Kind::Speaker => {
            for e in nfwhy_parsers::speaker::parse(line).events {
                names.host(e.node.as_deref().unwrap_or(""));
            }
        }
        Kind::IptablesSave => {
            for p in [":", "-N "] {
                if let Some(name) = line.strip_prefix(p) {
                    names.chain(&first(name));
                }
            }
        }
        Kind::IptablesListing => {
            if let Some(name) = line.strip_prefix("Chain ") {
                names.chain(&first(name));
            }
        }
        Kind::Ipset => {
            if let Some((_, device, false)) = member_device(line) {
                names.device(device);
            }
            for p in ["create ", "Name: "] {
                if let Some(name) = line.strip_prefix(p) {
                    names.chain(&first(name));
                }
            }
        }
        Kind::Nft => {
            let line = line.trim_start();
            for p in ["chain ", "set ", "map ", "counter ", "quota ", "flowtable "] {
                if let Some(name) = line.strip_prefix(p)
                    && name.contains(" {")
                {
                    names.chain(&first(name));
                }
            }
            if let Some(rest) = line.strip_prefix("table ")
                && let Some(name) = rest.split(' ').nth(1)
            {
                names.chain(&first(name));
            }
            for (at, key) in line.match_indices("\"name\":") {
                let rest = line.get(at + key.len()..).unwrap_or("").trim_start();
                if let Some(name) = rest.strip_prefix('"') {
                    names.chain(&first(name));
                }
            }
        }
        _ => {}
    }
    if let Some(host) = prompt(line) {
        names.host(host);
    }
}

/// The host of a shell's prompt.
fn prompt(line: &str) -> Option<&str> {
    let line = line.trim_start_matches('[');
    let (user, rest) = line.split_once('@')?;
    let end = rest.find([':', ' '])?;
    let (host, tail) = rest.split_at_checked(end)?;
    let plain = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    let shell = tail.contains("# ") || tail.contains("$ ");
    (plain(user) && plain(host) && shell).then_some(host)
}
