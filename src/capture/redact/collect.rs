//! The first pass: what there is.

use super::names::Names;
use super::scan::Handler;
use super::trie::{Addresses, Shape};
use super::words::common_device;
use nfwhy_parsers::recognise::Kind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What was found.
pub struct Collector {
    pub kind: Kind,
    pub addresses: Addresses,
    pub names: Names,
}

/// Words before the name of a device.
fn before_device(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::IptablesSave | Kind::IptablesListing => &["i", "o", "physdev-in", "physdev-out"],
        Kind::Nft => &["iif", "oif", "iifname", "oifname"],
        Kind::Link => &["ifname", "altname", "master", "dev"],
        Kind::Route | Kind::Rule | Kind::Neigh | Kind::Nexthop => &["dev", "iif", "oif"],
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
