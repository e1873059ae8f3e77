//! The first pass: what there is.

use super::names::Names;
use super::scan::Handler;
use super::trie::{Addresses, Demand, Seed, Shape, stays};
use super::words::common_device;
use nfwhy_parsers::recognise::Kind;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What was found.
pub struct Collector {
    pub kind: Kind,
    pub addresses: HashSet<(IpAddr, Shape)>,
    pub ranges: HashSet<(IpAddr, IpAddr, bool)>,
    pub names: Names,
}

/// Demands that are tried one by one.
const TRIED: usize = 12;

impl Collector {
    fn mapping(&self, seed: Seed, relaxed: HashSet<Demand>) -> Addresses {
        let mut all = Addresses::new(seed, relaxed);
        for (ip, shape) in &self.addresses {
            all.insert(*ip, *shape);
        }
        for (low, high, translated) in &self.ranges {
            all.insert_range(*low, *high, *translated);
        }
        all
    }

    /// Addresses of hosts that would stay what they are.
    fn crowded(&self, mapping: &Addresses) -> Vec<IpAddr> {
        let hosts = self.addresses.iter().filter(|(ip, shape)| {
            let apart = shape.fixed.is_none() || shape.range_end;
            apart && network(*ip, *shape).is_none() && !stays(*ip, None)
        });
        let hosts = hosts.map(|(ip, _)| *ip);
        hosts.filter(|ip| !mapping.map(*ip, None).1).collect()
    }

    /// What all addresses become. Where what ranges and masks demand leaves an address nothing to become, few of the demands are
    /// given up: the ones that help most.
    pub fn settle(&self, seed: Seed) -> Addresses {
        let mut relaxed = HashSet::new();
        let mut mapping = self.mapping(seed, relaxed.clone());
        let mut crowded = self.crowded(&mapping);
        let ranges = self.ranges.iter();
        let ranges = ranges.map(|(a, b, t)| Demand::Range(*a, *b, *t));
        let fixed = self.addresses.iter();
        let fixed = fixed.filter_map(|(ip, s)| Some(Demand::fixed(*ip, s.fixed?)));
        let mut demands: Vec<Demand> = if crowded.is_empty() {
            Vec::new()
        } else {
            let all: HashSet<Demand> = ranges.chain(fixed).collect();
            all.into_iter().collect()
        };
        while !crowded.is_empty() {
            demands.retain(|d| !relaxed.contains(d) && crowded.iter().any(|ip| d.touches(*ip)));
            // A range that is given up still holds what it held of the addresses that occur.
            demands.sort_by_cached_key(|d| {
                let kept = crowded.iter().filter(|ip| !d.touches(**ip)).count();
                (matches!(d, Demand::Fixed(..)), kept, format!("{d:?}"))
            });
            let mut best = None;
            for d in demands.iter().take(TRIED) {
                let mut more = relaxed.clone();
                more.insert(*d);
                let other = self.mapping(seed, more);
                let still = self.crowded(&other);
                if best.as_ref().is_none_or(|(_, n, _)| still.len() < *n) {
                    best = Some((*d, still.len(), (other, still)));
                }
            }
            let Some((d, _, found)) = best else { break };
            relaxed.insert(d);
            (mapping, crowded) = found;
        }
        mapping
    }
}

/// Words before the name of a device.
fn before_device(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::IptablesSave | Kind::IptablesListing => &["i", "o", "physdev-in", "physdev-out"],
        Kind::Nft => &["iif", "oif", "iifname", "oifname"],
        Kind::Link => &["ifname", "altname", "master", "dev"],
        Kind::Route | Kind::Rule | Kind::Neigh | Kind::Nexthop => &["dev", "iif", "oif"],
        Kind::Fdb => &["dev", "via", "master"],
        _ => &[],
    }
}

/// Whether a word is a name of the domain name system.
fn domain(word: &str) -> bool {
    let mut labels = word.rsplit('.');
    let top = labels.next().unwrap_or("");
    top.len() >= 2
        && top.bytes().all(|b| b.is_ascii_alphabetic())
        && labels.next().is_some_and(|l| !l.is_empty())
        && !common_device(word)
}

/// How many bits count, where the others are zero; `None` for an address of a host.
pub fn network(ip: IpAddr, shape: Shape) -> Option<u8> {
    if shape.on_device {
        return None;
    }
    let len = shape.len?;
    if shape.range_end {
        return Some(len);
    }
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
        self.addresses.insert((ip, shape));
    }

    fn hexadecimal(&mut self, ip: Ipv4Addr, text: &str) {
        self.address(IpAddr::V4(ip), Shape::default(), text);
    }

    fn range(&mut self, low: IpAddr, high: IpAddr, translated: bool) {
        self.ranges.insert((low, high, translated));
    }

    fn mac(&mut self, text: &str) {
        self.names.mac(text);
    }

    fn word(&mut self, word: &str, before: &str, prose: bool) {
        self.names.saw(word);
        match self.kind {
            // Printed without -n.
            Kind::IptablesListing | Kind::Ipvs if !prose && domain(word) => self.names.host(word),
            Kind::IptablesSave if matches!(before, "name" | "hashlimit-name") && !prose => {
                self.names.chain(word);
            }
            _ => {}
        }
        if !prose && before_device(self.kind).contains(&before) {
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
pub fn endpoint(chain: &str) -> Option<(IpAddr, usize)> {
    let (head, tail) = chain.rsplit_once("__")?;
    let text = tail.split('/').next()?;
    let ip = match text.parse::<Ipv4Addr>() {
        Ok(a) => IpAddr::V4(a),
        Err(_) => IpAddr::V6(text.replace('.', ":").parse::<Ipv6Addr>().ok()?),
    };
    Some((ip, head.len() + 2))
}
