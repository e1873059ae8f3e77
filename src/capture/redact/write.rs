//! The second pass: the texts anew.

use super::RedactError;
use super::collect::{endpoint, network};
use super::names::Names;
use super::raw::{self, Family};
use super::scan::Handler;
use super::trie::{self, Addresses, Demand, Shape};
use nfwhy_parsers::recognise::Kind;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// Words of iptables before a chain, set or list.
const NAMED_AFTER: &[&str] = &[
    "A",
    "N",
    "I",
    "P",
    "j",
    "g",
    "jump",
    "goto",
    "match-set",
    "add-set",
    "del-set",
    "map-set",
    "name",
    "hashlimit-name",
];

/// Said where exactness had to be given up.
const LOOSE_RANGE: &str =
    "a range holds what it held of the addresses that occur, perhaps not of others";
const LOOSE_MASK: &str = "a mask with gaps, or a translation, may hold or make other addresses";

/// The texts anew.
pub struct Writer<'f> {
    pub addresses: Addresses,
    pub names: Names,
    /// Addresses that occur.
    pub known: HashSet<IpAddr>,
    pub images: HashMap<(IpAddr, Option<u8>), (IpAddr, bool)>,
    pub out: String,
    pub left: Vec<String>,
    pub crowded: Option<RedactError>,
    pub file: &'f str,
    pub kind: Kind,
    /// The protocol that the lines are about, where it is known.
    pub family: Option<Family>,
    pub line: usize,
    /// Ends of ranges in this line.
    pub ranges: Vec<IpAddr>,
}

impl Writer<'_> {
    fn leave(&mut self, what: &str) {
        let (file, line) = (self.file, self.line);
        self.left.push(format!("{file}:{line}: {what}"));
    }

    /// Notes what of the line cannot be read.
    pub fn note(&mut self, line: &str, kind: Kind) {
        self.ranges.clear();
        let known = |ip| self.known.contains(&ip);
        for what in raw::may_hold(line, kind, self.family, known) {
            self.leave(what);
        }
    }

    /// The line with its raw bits replaced, where there are such.
    pub fn rewrite(&mut self, line: &str, kind: Kind) -> Option<String> {
        let found = raw::found(line, kind, self.family);
        let edits = found.into_iter().filter_map(|(at, ip, len)| {
            let image = self.image(ip, len)?;
            Some((at, image))
        });
        let edits: Vec<_> = edits.collect();
        raw::rewrite(line, kind, &edits, &self.names)
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
        if self.ranges.contains(&ip) {
            self.leave(&format!("{ip}: the range that it ends is too wide"));
        } else if let Some(len) = len {
            self.leave(&format!(
                "{ip}/{len}: the networks beside it are in use as well"
            ));
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
        if let Some(fixed) = shape.fixed
            && !shape.range_end
        {
            if self.addresses.relaxes(Demand::fixed(ip, fixed)) {
                self.leave(LOOSE_MASK);
            }
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

    fn range(&mut self, low: IpAddr, high: IpAddr, translated: bool) {
        let demand = Demand::Range(low, high, translated);
        if self.addresses.relaxes(demand) {
            self.leave(LOOSE_RANGE);
        }
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
        } else if self.names.is_own(word)
            && self.kind == Kind::IptablesSave
            && !NAMED_AFTER.contains(&before)
            && !self.out.ends_with("\n:")
            && !(self.out.is_empty() || self.out == ":")
        {
            None
        } else {
            self.names
                .word(word)
                .or_else(|| opaque.then(|| self.names.digest(word)))
        };
        self.out += new.as_deref().unwrap_or(word);
    }

    fn stem(&mut self, stem: &str) {
        let new = self.names.stem_now(stem).to_owned();
        if new == stem && !super::words::plain_stem(stem) {
            self.leave("the beginning of devices' names, which a wildcard holds");
        }
        self.out += &new;
    }

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
