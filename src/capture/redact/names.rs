//! Names to other names: devices, chains, Services, hosts, MACs, and the words of comments.

use super::trie::Seed;
use super::words::{
    calico, common_device, everywhere, known, known_name, made_prefix, programs_own,
};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};

mod stems;

/// Names found, and after [`Names::settle`] what they become.
#[derive(Clone, Debug)]
pub struct Names {
    seed: Seed,
    devices: HashMap<String, String>,
    found_devices: Vec<String>,
    stems: BTreeMap<String, String>,
    own: HashSet<String>,
    hosts: HashMap<String, String>,
    macs: HashMap<Vec<u8>, Vec<u8>>,
    found_macs: Vec<Vec<u8>>,
    parts: HashMap<(&'static str, String), String>,
    numbers: HashMap<&'static str, usize>,
    taken: HashSet<String>,
}

impl Names {
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            devices: HashMap::new(),
            found_devices: Vec::new(),
            stems: BTreeMap::new(),
            own: HashSet::new(),
            hosts: HashMap::new(),
            macs: HashMap::new(),
            found_macs: Vec::new(),
            parts: HashMap::new(),
            numbers: HashMap::new(),
            taken: HashSet::new(),
        }
    }

    /// A word of the capture: no new name may be one.
    pub fn saw(&mut self, word: &str) {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if letters.len() < word.len() && NEW.contains(&letters) {
            self.taken.insert(word.to_owned());
        }
        // A host of a cloud is called after its address.
        let digits =
            |p: &str| !p.is_empty() && p.len() <= 3 && p.bytes().all(|b| b.is_ascii_digit());
        let label = word.split('.').next().unwrap_or("");
        if label
            .strip_prefix("ip-")
            .is_some_and(|n| n.split('-').count() == 4 && n.split('-').all(digits))
        {
            self.host(word);
        }
        if made_prefix(word).is_some() {
            self.device(word);
        }
        if let Some((_, rest)) = calico(word)
            && made_prefix(rest).is_some()
        {
            self.device(rest);
        }
    }

    /// A device.
    pub fn device(&mut self, name: &str) {
        let letters = name
            .bytes()
            .any(|b| b.is_ascii_alphabetic() || !b.is_ascii());
        if !letters || name.len() < 2 || name.starts_with("0x") {
            return;
        }
        if !self.devices.contains_key(name) {
            self.devices.insert(name.to_owned(), name.to_owned());
            self.found_devices.push(name.to_owned());
        }
    }

    /// Devices that begin with it are matched together.
    pub fn stem(&mut self, stem: &str) {
        self.stems.insert(stem.to_owned(), stem.to_owned());
    }

    /// A chain, set or table.
    pub fn chain(&mut self, name: &str) {
        if !programs_own(name) && !known_name(name) && name.split(['-', '_', '.', '/']).any(tells) {
            self.own.insert(name.to_owned());
        }
    }

    /// A host.
    pub fn host(&mut self, name: &str) {
        let plain = name.is_empty() || name == "localhost" || known(name);
        if !plain && !self.hosts.contains_key(name) {
            let new = format!("host{}", self.hosts.len() + 1);
            self.hosts.insert(name.to_owned(), new);
        }
    }

    /// A hardware address.
    pub fn mac(&mut self, text: &str) {
        if let Some(mac) = bytes_of(text)
            && !plain_mac(&mac)
            && !self.macs.contains_key(&mac)
        {
            self.macs.insert(mac.clone(), Vec::new());
            self.found_macs.push(mac);
        }
    }

    /// Chooses the new names of devices and MACs.
    pub fn settle(&mut self) {
        self.stems = stems::settled(&self.stems, &self.found_devices, device_stays);
        let mut used: HashSet<String> = self.found_devices.iter().cloned().collect();
        let mut next: HashMap<(String, char), usize> = HashMap::new();
        for name in std::mem::take(&mut self.found_devices) {
            if device_stays(&name) {
                continue;
            }
            let new = self.new_device(&name, &used, &mut next);
            used.insert(new.clone());
            self.devices.insert(name, new);
        }
        let mut n = 0u64;
        for mac in std::mem::take(&mut self.found_macs) {
            let new = loop {
                n += 1;
                let mut new = vec![0u8; mac.len()];
                for (to, from) in new.iter_mut().rev().zip(n.to_le_bytes()) {
                    *to = from;
                }
                if let Some(first) = new.first_mut() {
                    *first = 2;
                }
                if !self.macs.contains_key(&new) {
                    break new;
                }
            };
            self.macs.insert(mac, new);
        }
    }

    /// What the beginning of devices' names is called now.
    pub fn stem_now<'a>(&'a self, stem: &'a str) -> &'a str {
        self.stems.get(stem).map_or(stem, String::as_str)
    }

    fn new_device(
        &self,
        name: &str,
        used: &HashSet<String>,
        next: &mut HashMap<(String, char), usize>,
    ) -> String {
        let stem = self
            .stems
            .iter()
            .filter(|(s, _)| name.starts_with(s.as_str()))
            .max_by_key(|(s, _)| s.len());
        let made = made_prefix(name);
        let mut base = made.unwrap_or("dev");
        if let Some((s, new)) = stem
            && (s.len() > base.len() || made.is_none() || s != new)
        {
            base = new;
        }
        let held = self.stems.keys();
        let held = held.filter(|s| name.starts_with(s.as_str())).count();
        let matched = |n: &str| {
            self.stems
                .values()
                .filter(|s| n.starts_with(s.as_str()))
                .count()
        };
        // As long as before where an identifier stands in it: columns and chains of limited length stay what they are.
        let width = if made.is_some() { name.len() } else { 0 };
        for fill in "0123456789abcdefghijklmnopqrstuvwxyz".chars() {
            for _ in 0..100 {
                let n = next.entry((base.to_owned(), fill)).or_default();
                *n += 1;
                let number = n.to_string();
                let pad = width.saturating_sub(base.len() + number.len());
                let pad = pad.max(usize::from(fill != '0'));
                let new: String = base
                    .chars()
                    .chain(std::iter::repeat_n(fill, pad))
                    .chain(number.chars())
                    .collect();
                if matched(&new) != held {
                    break;
                }
                if new.len() <= 15 && !used.contains(&new) {
                    return new;
                }
            }
        }
        // Digits by chance, as many as before.
        (0u64..)
            .map(|n| {
                let id = self.digest_of(&format!("{name} {n}"), b"0123456789abcdef", 15);
                let len = width.max(base.len() + 6).min(15);
                format!("{base}{id}").chars().take(len).collect::<String>()
            })
            .take(1000)
            .find(|new| !used.contains(new) && matched(new) == held)
            .unwrap_or_else(|| format!("{base}{}", self.devices.len()))
    }

    /// What a device is called now.
    pub fn device_now<'a>(&'a self, name: &'a str) -> &'a str {
        self.devices.get(name).map_or(name, String::as_str)
    }

    /// What a chain, set, table or device is called now.
    pub fn name_now(&self, name: &str) -> String {
        let mut me = self.clone();
        me.word(name).unwrap_or_else(|| name.to_owned())
    }

    /// A MAC's image as its text was printed.
    pub fn mac_now(&self, text: &str) -> Option<String> {
        let new = self.macs.get(&bytes_of(text)?).filter(|m| !m.is_empty())?;
        let (priority, mac) = match text.split_once('.') {
            Some((p, m)) => (format!("{p}."), m),
            None => (String::new(), text),
        };
        let upper = mac.bytes().any(|b| b.is_ascii_uppercase());
        let groups: Vec<String> = new
            .iter()
            .map(|b| match (priority.is_empty(), upper) {
                (false, _) => format!("{b:x}"),
                (true, true) => format!("{b:02X}"),
                (true, false) => format!("{b:02x}"),
            })
            .collect();
        Some(priority + &groups.join(":"))
    }

    /// Whether a word is a chain's, set's or table's name that is replaced.
    pub fn is_own(&self, word: &str) -> bool {
        self.own.contains(word)
    }

    /// What a word that stands outside of comments becomes.
    pub fn word(&mut self, word: &str) -> Option<String> {
        if let Some(new) = self.devices.get(word).or_else(|| self.hosts.get(word)) {
            return (new != word).then(|| new.clone());
        }
        if let Some(new) = self.structured(word) {
            return Some(new);
        }
        if self.own.contains(word) {
            return Some(self.by_parts(word, "name"));
        }
        None
    }

    /// What a word of a comment becomes.
    pub fn prose(&mut self, word: &str) -> Option<String> {
        if let Some(new) = self.word(word) {
            return Some(new);
        }
        if ["kns.", "ksa.", "knp.", "gnp."]
            .iter()
            .any(|p| word.starts_with(p))
        {
            return Some(self.policy(word));
        }
        let tells = word
            .bytes()
            .any(|b| b.is_ascii_alphabetic() || !b.is_ascii());
        if !tells
            || self.devices.contains_key(word)
            || known_name(word)
            || programs_own(word)
            || word.len() == 1
        {
            return None;
        }
        let hex = word
            .strip_prefix("0x")
            .is_some_and(|h| h.len() <= 8 && h.bytes().all(|b| b.is_ascii_hexdigit()));
        (!hex).then(|| self.part("word", word))
    }

    /// Names that programs build from others: chains, sets, namespaces of CNI plugins.
    fn structured(&mut self, word: &str) -> Option<String> {
        if let Some((head, rest)) = calico(word) {
            let new = self.devices.get(rest).cloned();
            let new = match new {
                Some(new) => new,
                None if rest.len() >= 16 && rest.starts_with('_') && !rest.contains(['.', '-']) => {
                    format!("_{}", self.digest(rest.get(1..).unwrap_or("")))
                }
                None => self.policy(rest),
            };
            return (new != rest).then(|| format!("{head}{new}"));
        }
        let (head, id) = word.rsplit_once('-')?;
        let upper = |s: &str| {
            s.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        if id.len() == 16 && upper(id) {
            let id = self.digest_of(id, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16);
            return Some(format!("{head}-{id}"));
        }
        let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
        if matches!(head, "CNI-DN" | "CNI-SN" | "CNI") && id.len() >= 12 && hex(id) {
            let new = self.digest_of(id, b"0123456789abcdef", id.len());
            return Some(format!("{head}-{new}"));
        }
        // `cni-1f6e2b90-a4d3-47c8-b0e5-92cc7d31f8a4`.
        let at = word.len().checked_sub(36)?;
        let uuid = word.get(at..)?;
        let shape = uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
        if shape && uuid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            let id = self.digest_of(uuid, b"0123456789abcdef", 32);
            let part = |a: usize, b: usize| id.get(a..b).unwrap_or("");
            let parts = [
                part(0, 8),
                part(8, 12),
                part(12, 16),
                part(16, 20),
                part(20, 32),
            ];
            return Some(format!(
                "{}{}",
                word.get(..at).unwrap_or(""),
                parts.join("-")
            ));
        }
        None
    }

    /// `kns.shop`, `ksa.shop.default`, `_db-clients`, `default.db-clients`.
    fn policy(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut class = "name";
        for (n, part) in text.split('.').enumerate() {
            if n > 0 {
                out.push('.');
            }
            let name = part.strip_prefix('_').unwrap_or(part);
            if name.len() < part.len() {
                out.push('_');
            }
            if everywhere(name) {
                out += name;
            } else {
                out += &self.part(class, name);
            }
            // A profile is that of a namespace, or of a namespace's service account.
            class = match part {
                "kns" | "ksa" => "ns",
                _ => "name",
            };
        }
        out
    }

    /// `namespace/name:port`, and what has a slash within it otherwise.
    pub fn service(&mut self, text: &str) -> String {
        let (path, port) = match text.split_once(':') {
            Some((p, port)) => (p, Some(port)),
            None => (text, None),
        };
        let mut out = String::with_capacity(text.len());
        for (n, part) in path.split('/').enumerate() {
            if n > 0 {
                out.push('/');
            }
            if n > 0 && part.contains('.') {
                out += &self.policy(part);
            } else {
                out += &self.component(if n == 0 { "ns" } else { "svc" }, part);
            }
        }
        if let Some(port) = port {
            out.push(':');
            out += &self.component("port", port);
        }
        out
    }

    fn component(&mut self, class: &'static str, part: &str) -> String {
        if part.is_empty() || everywhere(part) {
            part.to_owned()
        } else {
            self.part(class, part)
        }
    }

    /// `service-ULMVA6XW-ns1/svc1/tcp/p80` without what stands behind `__`.
    pub fn kube_chain(&mut self, text: &str) -> String {
        let Some((kind, (hash, rest))) = text
            .split_once('-')
            .and_then(|(k, r)| Some((k, r.split_once('-')?)))
        else {
            return text.to_owned();
        };
        let mut out = format!("{kind}-");
        out += &self.digest_of(hash, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", hash.len());
        out.push('-');
        for (part, class) in rest.split('/').zip(["ns", "svc", "protocol", "port"]) {
            if class != "ns" {
                out.push('/');
            }
            out += &self.component(class, part);
        }
        out
    }

    /// An identifier as long as `text`.
    pub fn digest(&self, text: &str) -> String {
        const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        self.digest_of(text, ALL, text.len())
    }

    /// As [`Names::digest`], of hexadecimal digits.
    pub fn digest_hex(&self, text: &str) -> String {
        self.digest_of(text, b"0123456789abcdef", text.len())
    }

    fn digest_of(&self, text: &str, letters: &[u8], len: usize) -> String {
        let mut out = String::with_capacity(len);
        let mut state = 0u64;
        for n in 0..len {
            if n % 8 == 0 {
                let mut h = DefaultHasher::new();
                (self.seed.1, self.seed.0, text, n).hash(&mut h);
                state = h.finish();
            }
            let at = usize::try_from(state & 0xff).unwrap_or(0) % letters.len().max(1);
            state >>= 8;
            out.push(char::from(letters.get(at).copied().unwrap_or(b'x')));
        }
        out
    }

    /// The name with each of its parts that tells something replaced: what its beginning says of its owner stays.
    fn by_parts(&mut self, name: &str, class: &'static str) -> String {
        let mut out = String::with_capacity(name.len());
        let mut rest = name;
        while !rest.is_empty() {
            let end = rest.find(['-', '_', '.', '/']).unwrap_or(rest.len());
            let (part, tail) = rest.split_at(end);
            if tells(part) {
                out += &self.part(class, part);
            } else {
                out += part;
            }
            let sep = tail.get(..1).unwrap_or("");
            out += sep;
            rest = tail.get(1..).unwrap_or("");
        }
        out
    }

    fn part(&mut self, class: &'static str, part: &str) -> String {
        if let Some(new) = self.parts.get(&(class, part.to_owned())) {
            return new.clone();
        }
        let n = self.numbers.entry(class).or_default();
        let new = loop {
            *n += 1;
            let new = format!("{class}{n}");
            if !self.taken.contains(&new) {
                break new;
            }
        };
        self.parts.insert((class, part.to_owned()), new.clone());
        new
    }
}

/// Whether a device's name tells nothing.
fn device_stays(name: &str) -> bool {
    common_device(name) || known(name) || programs_own(name) && made_prefix(name).is_none()
}

/// Beginnings of new names; a number stands behind.
const NEW: &[&str] = &[
    "ns", "svc", "port", "protocol", "name", "word", "host", "dev",
];

/// Whether a part of a name may be a word of the site.
fn tells(part: &str) -> bool {
    part.len() > 1 && part.bytes().any(|b| !b.is_ascii_digit()) && !known(part)
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let mac = text.split_once('.').map_or(text, |(_, m)| m);
    mac.split(':')
        .map(|g| u8::from_str_radix(g, 16).ok())
        .collect()
}

/// All zeros, broadcast and multicast name no card. InfiniBand's first octet is no such flag.
fn plain_mac(mac: &[u8]) -> bool {
    let group = mac.len() <= 8 && mac.first().is_some_and(|b| b & 1 == 1);
    group || mac.iter().all(|b| *b == 0) || mac.iter().all(|b| *b == 0xff)
}
