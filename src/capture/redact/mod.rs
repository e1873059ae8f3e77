//! Addresses and names of a capture replaced, alike in all its files, so that it can be shown to others.
//!
//! Everything that a verdict rests on stays: what lies within which prefix, what comes before what, which wildcard holds a device, which
//! program made a rule. What cannot be replaced is named ([`Report::left`]).

mod collect;
mod lines;
mod names;
mod scan;
#[cfg(test)]
mod tests;
mod trie;
mod words;
mod write;

use collect::Collector;
use lines::{Masks, Special, special_line};
use names::Names;
use nfwhy_parsers::recognise::Kind;
use scan::scan;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use thiserror::Error;
use trie::{Addresses, Seed};
use write::Writer;

use names::Names;
use nfwhy_parsers::recognise::Kind;
use scan::{Handler, Line, TRANSLATED, scan};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;
use trie::{Addresses, Fixed, Seed, Shape};

/// Why a capture cannot be made ready to be shown.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RedactError {
    /// Every address beside it is in use as well.
    #[error(
        "{file}:{line}: {address} cannot be replaced: all addresses that it could become are in use"
    )]
    Crowded {
        /// The address.
        address: IpAddr,
        /// File it stands in.
        file: String,
        /// Line, from 1.
        line: usize,
    },
}

/// What became of addresses and names.
#[derive(Clone, Debug)]
pub struct Report {
    addresses: Addresses,
    names: Names,
    /// What may hold an address or a name and was left, each with file and line.
    pub left: Vec<String>,
}

impl Report {
    /// What an address became, or would have.
    pub fn address(&self, ip: IpAddr) -> IpAddr {
        self.addresses.map(ip, None).0
    }

    /// What a device is called now.
    pub fn device<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.device_now(name)
    }

    /// What a hardware address became, printed as it was.
    pub fn mac(&self, text: &str) -> String {
        self.names.mac_now(text).unwrap_or_else(|| text.to_owned())
    }
}

/// Replaces what tells of the site in the texts of one node: name, kind and text each.
///
/// On an error the texts are as they were.
pub fn redact(files: &mut [(String, Kind, String)]) -> Result<Report, RedactError> {
    let by_chance = RandomState::new();
    let seed = Seed(by_chance.hash_one(1), by_chance.hash_one(2));
    redact_with(files, seed)
}

fn redact_with(files: &mut [(String, Kind, String)], seed: Seed) -> Result<Report, RedactError> {
    let mut found = Collector {
        kind: Kind::Empty,
        addresses: Addresses::new(seed),
        names: Names::new(seed),
    };
    for (_, kind, text) in files.iter() {
        found.kind = *kind;
        let mut masks = Masks::default();
        for line in text.split_inclusive('\n') {
            lines::declared(&mut found.names, line, *kind);
            found.facts(line, *kind);
            scan(line, masks.line(line, *kind), &mut found);
        }
    }
    found.names.settle();
    let mut out = Writer {
        addresses: found.addresses,
        names: found.names,
        images: HashMap::new(),
        out: String::new(),
        left: Vec::new(),
        crowded: None,
        file: "",
        line: 0,
        ranges: Vec::new(),
    };
    let mut texts = Vec::with_capacity(files.len());
    for (name, kind, text) in files.iter() {
        out.file = name;
        out.out = String::with_capacity(text.len());
        let mut masks = Masks::default();
        for (n, line) in text.split_inclusive('\n').enumerate() {
            out.line = n + 1;
            out.note(line, *kind);
            let facts = masks.line(line, *kind);
            match special_line(line, *kind) {
                Some(Special::Key(before, device, after)) => {
                    let name = device.replace('/', ".");
                    let new = out.names.device_now(&name);
                    out.out += before;
                    if new == name {
                        out.out += device;
                    } else {
                        out.out += &new.replace('.', "/");
                    }
                    out.out += after;
                }
                Some(Special::Value(before, value, after)) => {
                    out.out += before;
                    let new = out.names.word(value);
                    out.out += new.as_deref().unwrap_or("removed");
                    out.out += after;
                }
                None => scan(line, facts, &mut out),
            }
        }
        texts.push(std::mem::take(&mut out.out));
    }
    if let Some(crowded) = out.crowded {
        return Err(crowded);
    }
    let report = Report {
        addresses: out.addresses,
        names: out.names,
        left: out.left,
    };
    for ((_, _, text), new) in files.iter_mut().zip(texts) {
        *text = new;
    }
    Ok(report)
}

/// Masks that stand apart from the addresses they are for.
#[derive(Default)]
struct Masks {
    /// Sets created with a mask.
    sets: HashMap<String, (Option<u8>, Option<Fixed>)>,
}

fn after<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(word)?;
    rest.split([' ', '\n', '\r', '"', ',']).next()
}

impl Masks {
    fn line(&mut self, line: &str, kind: Kind) -> Line {
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
                if let Some(rest) = line.strip_prefix("create ") {
                    if let Some(m) = after(line, " bitmask ") {
                        facts.mask(m);
                    }
                    if let Some(len) = after(line, " netmask ") {
                        facts.len = len.parse().ok();
                    }
                    if facts.len.is_some() || facts.fixed.is_some() {
                        let name = rest.split(' ').next().unwrap_or("").to_owned();
                        self.sets.insert(name, (facts.len, facts.fixed));
                        facts.len = None;
                    }
                } else if let Some(rest) = line.strip_prefix("add ")
                    && let Some((len, fixed)) = self.sets.get(rest.split(' ').next().unwrap_or(""))
                {
                    facts.len = *len;
                    facts.fixed = *fixed;
                }
            }
            _ => {}
        }
        facts
    }
}

enum Special<'l> {
    /// `net.ipv4.conf.DEVICE.rp_filter = 1`.
    Key(&'l str, &'l str, &'l str),
    /// A setting outside of `net.` that is text.
    Value(&'l str, &'l str, &'l str),
}

fn special_line(line: &str, kind: Kind) -> Option<Special<'_>> {
    if kind != Kind::Sysctl {
        return None;
    }
    const PLACES: &[&str] = &["conf", "neigh"];
    let (key, _) = line.split_once('=').unwrap_or((line, ""));
    let key = key.trim_end();
    let sep = if key.starts_with("net/") { '/' } else { '.' };
    let mut parts = key.splitn(4, sep);
    if parts.next() == Some("net") {
        let (_, place, rest) = (parts.next()?, parts.next()?, parts.next()?);
        if !PLACES.contains(&place) {
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

/// First pass: what there is.
struct Collector {
    kind: Kind,
    addresses: Addresses,
    names: Names,
}

impl Collector {
    /// What a line says by its place in a file.
    fn facts(&mut self, line: &str, kind: Kind) {
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
                        self.names.device(n.trim());
                    }
                }
            }
            Kind::Sysctl => {
                if let Some(Special::Key(_, device, _)) = special_line(line, kind) {
                    self.names.device(&device.replace('/', "."));
                }
                if let Some(Special::Value(before, value, _)) = special_line(line, kind)
                    && before.starts_with("kernel.hostname")
                {
                    self.names.host(value);
                }
            }
            Kind::IptablesSave => {
                for p in [":", "-N "] {
                    if let Some(name) = line.strip_prefix(p) {
                        self.names.chain(&first(name));
                    }
                }
            }
            Kind::IptablesListing => {
                if let Some(name) = line.strip_prefix("Chain ") {
                    self.names.chain(&first(name));
                }
            }
            Kind::Ipset => {
                for p in ["create ", "Name: "] {
                    if let Some(name) = line.strip_prefix(p) {
                        self.names.chain(&first(name));
                    }
                }
            }
            Kind::Nft => {
                let line = line.trim_start();
                for p in ["chain ", "set ", "map ", "counter ", "quota ", "flowtable "] {
                    if let Some(name) = line.strip_prefix(p)
                        && line.trim_end().ends_with('{')
                    {
                        self.names.chain(&first(name));
                    }
                }
                if let Some(rest) = line.strip_prefix("table ")
                    && let Some(name) = rest.split(' ').nth(1)
                {
                    self.names.chain(&first(name));
                }
                for (_, rest) in line
                    .match_indices("\"name\": \"")
                    .filter_map(|(i, m)| line.get(i + m.len()..).map(|r| (i, r)))
                {
                    self.names.chain(&first(rest));
                }
            }
            _ => {}
        }
        if let Some(host) = prompt(line) {
            self.names.host(host);
        }
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

/// Words before the name of a device.
const BEFORE_DEVICE: &[&str] = &[
    "dev",
    "iif",
    "oif",
    "iifname",
    "oifname",
    "i",
    "o",
    "in-interface",
    "out-interface",
    "physdev-in",
    "physdev-out",
];

/// How many bits count, where the others are zero; `None` for an address of a host.
fn network(ip: IpAddr, shape: Shape) -> Option<u8> {
    if shape.on_device {
        return None;
    }
    let len = shape.len?;
    let host = match ip {
        IpAddr::V4(a) => {
            len >= 32 || a.to_bits() & u32::MAX.checked_shr(u32::from(len)).unwrap_or(0) != 0
        }
        IpAddr::V6(a) => {
            len >= 128 || a.to_bits() & u128::MAX.checked_shr(u32::from(len)).unwrap_or(0) != 0
        }
    };
    (!host).then_some(len)
}

impl Handler for Collector {
    fn text(&mut self, _text: &str) {}

    fn address(&mut self, ip: IpAddr, shape: Shape, _text: &str) {
        self.addresses.insert(ip, shape);
    }

    fn hexadecimal(&mut self, ip: Ipv4Addr, text: &str) {
        self.address(IpAddr::V4(ip), Shape::default(), text);
    }

    fn range(&mut self, low: IpAddr, high: IpAddr, translated: bool) {
        self.addresses.insert_range(low, high, translated);
    }

    fn mac(&mut self, text: &str) {
        self.names.mac(text);
    }

    fn word(&mut self, word: &str, before: &str, prose: bool) {
        self.names.saw(word);
        let place = match self.kind {
            Kind::Link => matches!(before, "ifname" | "altname" | "master" | "dev"),
            _ => BEFORE_DEVICE.contains(&before),
        };
        if !prose && place {
            self.names.device(word);
        }
    }

    fn stem(&mut self, stem: &str) {
        self.names.stem(stem);
    }

    fn service(&mut self, text: &str) {
        for part in text.split(['/', ':', '.']) {
            self.names.saw(part);
        }
    }

    fn kube_chain(&mut self, text: &str) {
        if let Some((ip, _)) = endpoint(text) {
            self.address(ip, Shape::default(), text);
        }
        self.service(text);
    }

    fn digest(&mut self, _text: &str) {}
}

/// The address of `endpoint-...__10.0.0.1/80`, where a colon of IPv6 is a stop, and where its text begins.
fn endpoint(chain: &str) -> Option<(IpAddr, usize)> {
    let (head, tail) = chain.rsplit_once("__")?;
    let text = tail.split('/').next()?;
    let ip = match text.parse::<Ipv4Addr>() {
        Ok(a) => IpAddr::V4(a),
        Err(_) => IpAddr::V6(text.replace('.', ":").parse::<Ipv6Addr>().ok()?),
    };
    Some((ip, head.len() + 2))
}

/// Second pass: the texts anew.
struct Writer<'f> {
    addresses: Addresses,
    names: Names,
    images: HashMap<(IpAddr, Option<u8>), (IpAddr, bool)>,
    out: String,
    left: Vec<String>,
    crowded: Option<RedactError>,
    file: &'f str,
    line: usize,
    /// Ends of ranges in this line.
    ranges: Vec<IpAddr>,
}

impl Writer<'_> {
    fn leave(&mut self, what: &str) {
        let (file, line) = (self.file, self.line);
        self.left.push(format!("{file}:{line}: {what}"));
    }

    /// Notes what of the line cannot be read.
    fn note(&mut self, line: &str, kind: Kind) {
        const IN: &[(&[Kind], &str, &str)] = &[
            (
                &[Kind::IptablesSave],
                "--u32 ",
                "a test of raw words (u32), which may hold an address",
            ),
            (
                &[Kind::IptablesListing],
                "u32 ",
                "a test of raw words (u32), which may hold an address",
            ),
            (
                &[Kind::IptablesSave],
                "--bytecode ",
                "a BPF program, which may hold an address",
            ),
            (
                &[Kind::IptablesListing],
                "match bpf ",
                "a BPF program, which may hold an address",
            ),
            (
                &[Kind::IptablesSave],
                "--string ",
                "a string that is searched for",
            ),
            (
                &[Kind::IptablesSave],
                "--hex-string ",
                "a string that is searched for",
            ),
            (
                &[Kind::Nft],
                "@nh,",
                "raw bits of the network header, which may be an address",
            ),
            (
                &[Kind::Nft],
                "@ll,",
                "raw bits of the link header, which may be an address",
            ),
            (
                &[Kind::Nft],
                "@th,",
                "raw bits of the transport header, which may be an address",
            ),
            (
                &[Kind::Nft],
                "@ih,",
                "raw bits of the payload, which may be an address",
            ),
            (
                &[Kind::Nft],
                "\"base\": \"",
                "raw bits of a header, which may be an address",
            ),
        ];
        self.ranges.clear();
        for (kinds, word, what) in IN {
            if kinds.contains(&kind) && line.contains(word) {
                self.leave(what);
            }
        }
    }

    fn image(&mut self, ip: IpAddr, len: Option<u8>) -> Option<IpAddr> {
        if trie::stays(ip, len) {
            return None;
        }
        let addresses = &self.addresses;
        let (image, moved) = *self
            .images
            .entry((ip, len))
            .or_insert_with(|| addresses.map(ip, len));
        if moved {
            return Some(image);
        }
        if let Some(len) = len {
            self.leave(&format!(
                "{ip}/{len}: the networks beside it are in use as well"
            ));
        } else if self.ranges.contains(&ip) {
            self.leave(&format!("{ip}: the range that it ends is too wide"));
        } else if self.crowded.is_none() {
            self.crowded = Some(RedactError::Crowded {
                address: ip,
                file: self.file.to_owned(),
                line: self.line,
            });
        }
        None
    }
}

impl Handler for Writer<'_> {
    fn text(&mut self, text: &str) {
        self.out += text;
    }

    fn address(&mut self, ip: IpAddr, shape: Shape, text: &str) {
        if let Some(fixed) = shape.fixed {
            let image = self.addresses.map(ip, network(ip, shape)).0;
            let image = trie::masked(ip, image, fixed.mask);
            if image == ip && !trie::stays(ip, None) {
                self.leave(&format!(
                    "{ip}: its mask, or what is translated, leaves no bit to change"
                ));
            }
            self.out += &image.to_string();
            return;
        }
        match self.image(ip, network(ip, shape)) {
            Some(image) => self.out += &image.to_string(),
            None => self.out += text,
        }
    }

    fn hexadecimal(&mut self, ip: Ipv4Addr, text: &str) {
        match self.image(IpAddr::V4(ip), None) {
            Some(IpAddr::V4(a)) => self.out += &format!("{:08X}", a.to_bits()),
            _ => self.out += text,
        }
    }

    fn range(&mut self, low: IpAddr, high: IpAddr, _translated: bool) {
        self.ranges.extend([low, high]);
    }

    fn mac(&mut self, text: &str) {
        match self.names.mac_now(text) {
            Some(new) => self.out += &new,
            None => self.out += text,
        }
    }

    fn word(&mut self, word: &str, before: &str, prose: bool) {
        let opaque = matches!(
            before,
            "link-netns" | "portid" | "switchid" | "phys_port_id" | "phys_switch_id"
        );
        let new = if prose {
            self.names.prose(word)
        } else {
            self.names
                .word(word)
                .or_else(|| opaque.then(|| self.names.digest(word)))
        };
        self.out += new.as_deref().unwrap_or(word);
    }

    fn stem(&mut self, _stem: &str) {}

    fn service(&mut self, text: &str) {
        let new = self.names.service(text);
        self.out += &new;
    }

    fn kube_chain(&mut self, text: &str) {
        let Some((ip, at)) = endpoint(text) else {
            let new = self.names.kube_chain(text);
            self.out += &new;
            return;
        };
        let name = text.get(..at.saturating_sub(2)).unwrap_or("");
        let new = self.names.kube_chain(name);
        let image = self.image(ip, None).unwrap_or(ip);
        let port = text
            .get(at..)
            .and_then(|t| t.split_once('/'))
            .map_or(String::new(), |(_, p)| format!("/{p}"));
        let address = image.to_string().replace(':', ".");
        self.out += &format!("{new}__{address}{port}");
    }

    fn digest(&mut self, text: &str) {
        let new = self.names.digest(text);
        self.out += &new;
    }
}
