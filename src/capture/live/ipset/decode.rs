//! Messages of a dump to the text of `ipset save`.

use super::super::attr::{Numbers as _, attrs, find};
use super::element::{Element, Shape};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ATTR_SETNAME: u16 = 2;
const ATTR_TYPENAME: u16 = 3;
const ATTR_FAMILY: u16 = 5;
const ATTR_DATA: u16 = 7;
const ATTR_ADT: u16 = 8;

/// What a dump says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The lines.
    pub text: String,
    /// Sets that are left out because their type, or a member, is not understood. A set without one of its members would be another.
    pub unknown: Vec<Unknown>,
}

/// A set that is left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub name: String,
    pub type_name: String,
    /// How many members it has.
    pub members: usize,
    /// Where in the text it would stand.
    pub at: usize,
}

/// The set that the messages are at.
struct Current<'a> {
    raw_name: &'a [u8],
    name: String,
    type_name: String,
    /// `None`: left out.
    shape: Option<Shape>,
    /// Where its text begins.
    start: usize,
    members: usize,
}

impl Current<'_> {
    fn unknown(&self) -> Unknown {
        Unknown {
            name: self.name.clone(),
            type_name: self.type_name.clone(),
            members: self.members,
            at: self.start,
        }
    }
}

/// Prints the messages of a dump. A set may span several of them; only the first has its header (`ip_set_dump_do` in
/// `net/netfilter/ipset/ip_set_core.c`). Lists of sets come last there.
pub(super) fn save<'a>(messages: impl Iterator<Item = &'a [u8]>) -> Said {
    let mut said = Said::default();
    let mut current: Option<Current<'a>> = None;
    for body in messages {
        let attributes = body.get(4..).unwrap_or_default();
        let (mut name, mut kind, mut family) = (None, None, 0);
        let (mut header, mut members) = (None, None);
        for (k, value) in attrs(attributes) {
            match k {
                ATTR_SETNAME => name = Some(value),
                ATTR_TYPENAME => kind = Some(value),
                ATTR_FAMILY => family = value.u8(0).unwrap_or(0),
                ATTR_DATA => header = Some(value),
                ATTR_ADT => members = Some(value),
                _ => {}
            }
        }
        let Some(name) = name else {
            continue;
        };
        if let Some(kind) = kind {
            let type_name = kind.text();
            let shape = Shape::of(&type_name);
            #[cfg(test)]
            let shape = shape.filter(|_| super::super::fallback::tests::WITHOUT.get() != type_name);
            let set = Current {
                raw_name: name,
                name: name.text(),
                shape,
                type_name,
                start: said.text.len(),
                members: 0,
            };
            if set.shape.is_some() {
                create(
                    &mut said.text,
                    &set.name,
                    &set.type_name,
                    family,
                    header.unwrap_or_default(),
                );
            } else {
                said.unknown.push(set.unknown());
            }
            current = Some(set);
        }
        let Some(set) = current.as_mut().filter(|s| s.raw_name == name) else {
            continue;
        };
        let Some(members) = members else {
            continue;
        };
        set.members += attrs(members).count();
        let Some(shape) = &set.shape else {
            if let Some(u) = said.unknown.last_mut() {
                u.members = set.members;
            }
            continue;
        };
        let whole = attrs(members).all(|(_, member)| {
            said.text.push_str("add ");
            said.text.push_str(&set.name);
            said.text.push(' ');
            Element::of(member).print(shape, &mut said.text).is_some()
        });
        if !whole {
            said.text.truncate(set.start);
            said.unknown.push(set.unknown());
            set.shape = None;
        }
    }
    said
}

/// The header's attributes (`IPSET_ATTR_*` of `include/uapi/linux/netfilter/ipset/ip_set.h`).
#[derive(Default)]
struct Header<'a> {
    ip: Option<IpAddr>,
    ip_to: Option<IpAddr>,
    port: Option<u16>,
    port_to: Option<u16>,
    timeout: Option<u32>,
    flags: u32,
    markmask: Option<u32>,
    bitmask: Option<IpAddr>,
    initval: Option<&'a [u8]>,
    hashsize: Option<u32>,
    maxelem: Option<u32>,
    netmask: Option<u8>,
    bucketsize: Option<u8>,
    size: Option<u32>,
}

impl<'a> Header<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut h = Self::default();
        for (kind, v) in attrs(bytes) {
            match kind {
                1 => h.ip = address(v),
                2 => h.ip_to = address(v),
                4 => h.port = v.be16(0),
                5 => h.port_to = v.be16(0),
                6 => h.timeout = v.be32(0),
                8 => h.flags = v.be32(0).unwrap_or(0),
                11 => h.markmask = v.be32(0),
                12 => h.bitmask = address(v),
                17 => h.initval = Some(v),
                18 => h.hashsize = v.be32(0),
                19 => h.maxelem = v.be32(0),
                20 => h.netmask = v.u8(0),
                21 => h.bucketsize = v.u8(0),
                23 => h.size = v.be32(0),
                _ => {}
            }
        }
        h
    }
}

/// An address in an attribute of its own within another.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Some(v4) = find(bytes, 1) {
        return Some(IpAddr::V4(Ipv4Addr::from_bits(v4.be32(0)?)));
    }
    let v6: [u8; 16] = find(bytes, 2)?.get(..16)?.try_into().ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(v6)))
}

fn option(out: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(v) = value {
        let _ = write!(out, " {name} {v}");
    }
}

/// The `create` line. Options stand in the order of the tool's tables (`lib/ipset_hash_ip.c` and its like, 7.17); `forceadd` is not
/// among what the tool prints.
fn create(out: &mut String, name: &str, type_name: &str, family: u8, header: &[u8]) {
    let h = Header::of(header);
    let _ = write!(out, "create {name} {type_name}");
    match (family, type_name.starts_with("hash:")) {
        // The tool leaves out a family that the type has anyway: bitmaps are of IPv4, MAC addresses of none.
        (2, true) => out.push_str(" family inet"),
        (10, _) => out.push_str(" family inet6"),
        _ => {}
    }
    if let (Some(from), Some(to)) = (h.ip, h.ip_to) {
        let _ = write!(out, " range {from}-{to}");
    } else if let (Some(from), Some(to)) = (h.port, h.port_to) {
        let _ = write!(out, " range {from}-{to}");
    }
    if let Some(m) = h.markmask {
        let _ = write!(out, " markmask 0x{m:08x}");
    }
    option(out, "hashsize", h.hashsize);
    option(out, "maxelem", h.maxelem);
    option(out, "size", h.size);
    let masks_first = matches!(type_name, "hash:ip" | "bitmap:ip");
    if masks_first {
        option(out, "netmask", h.netmask);
        option(out, "bitmask", h.bitmask);
    }
    option(out, "timeout", h.timeout);
    for (flag, word) in [
        (1 << 3, " counters"),
        (1 << 4, " comment"),
        (1 << 6, " skbinfo"),
    ] {
        if h.flags & flag != 0 {
            out.push_str(word);
        }
    }
    option(out, "bucketsize", h.bucketsize);
    // The one number that the kernel writes in its own order (`mtype_head` in net/netfilter/ipset/ip_set_hash_gen.h).
    if let Some(v) = h.initval.and_then(|v| v.be32(0)) {
        let _ = write!(out, " initval 0x{v:08x}");
    }
    if !masks_first {
        option(out, "netmask", h.netmask);
        option(out, "bitmask", h.bitmask);
    }
    out.push('\n');
}
