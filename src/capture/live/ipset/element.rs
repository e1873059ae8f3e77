//! Members of sets.

use super::super::attr::{Numbers as _, attrs, find};
use nfwhy_parsers::common::Proto;
use nfwhy_parsers::ipset::icmp_name;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

/// One part of a member, by the set's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dim {
    /// Address or network; the first or the second of the member.
    Net(bool),
    Port,
    Mac,
    Mark,
    Iface,
    Set,
}

/// What members of a type consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    dims: [Option<Dim>; 3],
    /// A missing last part is none (bitmap:ip,mac: the MAC address comes with the first packet).
    last_is_optional: bool,
}

impl Shape {
    /// By the type's name; `None` for a type that is not known.
    pub(super) fn of(type_name: &str) -> Option<Self> {
        let (method, parts) = type_name.split_once(':')?;
        let mut dims = [None; 3];
        let mut second = false;
        for (i, part) in parts.split(',').enumerate() {
            *dims.get_mut(i)? = Some(match part {
                "ip" | "net" => Dim::Net(std::mem::replace(&mut second, true)),
                "port" => Dim::Port,
                "mac" => Dim::Mac,
                "mark" => Dim::Mark,
                "iface" => Dim::Iface,
                "set" => Dim::Set,
                _ => return None,
            });
        }
        let once = |dim| dims.iter().filter(|d| **d == Some(dim)).count() <= 1;
        (matches!(method, "hash" | "bitmap" | "list") && once(Dim::Port)).then_some(Self {
            dims,
            last_is_optional: method == "bitmap",
        })
    }
}

// Options of a member (`IPSET_ATTR_*` and `IPSET_FLAG_*` in include/uapi/linux/netfilter/ipset/ip_set.h).
const PHYSDEV: u32 = 1 << 1;
const NOMATCH: u32 = 1 << 2;
const WILDCARD: u32 = 1 << 7;

/// A member's attributes.
#[derive(Debug, Default)]
pub(super) struct Element<'a> {
    ip: [Option<&'a [u8]>; 2],
    ip_to: Option<&'a [u8]>,
    cidr: [Option<u8>; 2],
    port: Option<u16>,
    port_to: Option<u16>,
    proto: Option<u8>,
    timeout: Option<u32>,
    flags: u32,
    mark: Option<u32>,
    mac: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    iface: Option<&'a [u8]>,
    bytes: Option<u64>,
    packets: Option<u64>,
    comment: Option<&'a [u8]>,
    skbmark: Option<u64>,
    skbprio: Option<u32>,
    skbqueue: Option<u16>,
}

impl<'a> Element<'a> {
    /// Reads the attributes.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut e = Self::default();
        for (kind, v) in attrs(bytes) {
            match kind {
                1 => e.ip[0] = Some(v),
                2 => e.ip_to = Some(v),
                3 => e.cidr[0] = v.u8(0),
                4 => e.port = v.be16(0),
                5 => e.port_to = v.be16(0),
                6 => e.timeout = v.be32(0),
                7 => e.proto = v.u8(0),
                8 => e.flags = v.be32(0).unwrap_or(0),
                10 => e.mark = v.be32(0),
                17 => e.mac = Some(v),
                18 => e.name = Some(v),
                20 => e.ip[1] = Some(v),
                21 => e.cidr[1] = v.u8(0),
                23 => e.iface = Some(v),
                24 => e.bytes = v.be64(0),
                25 => e.packets = v.be64(0),
                26 => e.comment = Some(v),
                27 => e.skbmark = v.be64(0),
                28 => e.skbprio = v.be32(0),
                29 => e.skbqueue = v.be16(0),
                _ => {}
            }
        }
        e
    }

    /// The member with its options and a line end; `None` where a part of it is missing.
    pub(super) fn print(&self, shape: &Shape, out: &mut String) -> Option<()> {
        for (i, dim) in shape.dims.iter().flatten().enumerate() {
            if i > 0 {
                if shape.last_is_optional && *dim == Dim::Mac && self.mac.is_none() {
                    break;
                }
                out.push(',');
            }
            self.part(*dim, out)?;
        }
        self.options(out);
        out.push('\n');
        Some(())
    }

    fn part(&self, dim: Dim, out: &mut String) -> Option<()> {
        match dim {
            Dim::Net(second) => {
                let [a, b] = self.ip;
                let [ca, cb] = self.cidr;
                let (ip, cidr) = if second { (b, cb) } else { (a, ca) };
                net(out, ip?, cidr)?;
                if let Some(to) = self.ip_to.filter(|_| !second) {
                    out.push('-');
                    net(out, to, cidr)?;
                }
            }
            Dim::Port => self.port(out)?,
            Dim::Mac => {
                for (i, b) in self.mac?.get(..6)?.iter().enumerate() {
                    let _ = write!(out, "{}{b:02X}", if i > 0 { ":" } else { "" });
                }
            }
            Dim::Mark => {
                let _ = write!(out, "0x{:08x}", self.mark?);
            }
            Dim::Iface => {
                if self.flags & PHYSDEV != 0 {
                    out.push_str("physdev:");
                }
                text(out, self.iface?);
            }
            Dim::Set => text(out, self.name?),
        }
        Some(())
    }

    fn port(&self, out: &mut String) -> Option<()> {
        let port = self.port?;
        if let Some(proto) = self.proto {
            let _ = write!(out, "{}:", Proto(proto));
            // `ipset_print_icmp`: the kernel keeps type and code in the port.
            if matches!(Proto(proto), Proto::ICMP | Proto::ICMPV6) {
                let [kind, code] = port.to_be_bytes();
                let _ = match icmp_name(Proto(proto), kind, code) {
                    Some(name) => write!(out, "{name}"),
                    None => write!(out, "{kind}/{code}"),
                };
                return Some(());
            }
        }
        decimal(out, u64::from(port));
        if let Some(to) = self.port_to {
            out.push('-');
            decimal(out, u64::from(to));
        }
        Some(())
    }

    fn options(&self, out: &mut String) {
        if let Some(t) = self.timeout {
            out.push_str(" timeout ");
            decimal(out, u64::from(t));
        }
        if self.flags & NOMATCH != 0 {
            out.push_str(" nomatch");
        }
        if self.flags & WILDCARD != 0 {
            out.push_str(" wildcard");
        }
        if let Some(n) = self.packets {
            out.push_str(" packets ");
            decimal(out, n);
        }
        if let Some(n) = self.bytes {
            out.push_str(" bytes ");
            decimal(out, n);
        }
        if let Some(c) = self.comment {
            out.push_str(" comment \"");
            // The tool refuses quotes and line ends; a program that talks to the kernel itself need not.
            out.extend(c.text().chars().map(|c| match c {
                '"' => '\'',
                c if c.is_control() => ' ',
                c => c,
            }));
            out.push('"');
        }
        if let Some(m) = self.skbmark {
            let (mark, mask) = (m >> 32, m & 0xffff_ffff);
            let _ = write!(out, " skbmark 0x{mark:x}");
            if mask != 0xffff_ffff {
                let _ = write!(out, "/0x{mask:x}");
            }
        }
        if let Some(p) = self.skbprio {
            let _ = write!(out, " skbprio {:x}:{:x}", p >> 16, p & 0xffff);
        }
        if let Some(q) = self.skbqueue {
            let _ = write!(out, " skbqueue {q}");
        }
    }
}

/// An address with its prefix length, where that is not the whole address.
fn net(out: &mut String, bytes: &[u8], cidr: Option<u8>) -> Option<()> {
    let full = if let Some(v4) = find(bytes, 1) {
        dotted(out, v4.get(..4)?);
        32
    } else {
        let v6: [u8; 16] = find(bytes, 2)?.get(..16)?.try_into().ok()?;
        let _ = write!(out, "{}", Ipv6Addr::from(v6));
        128
    };
    if let Some(n) = cidr.filter(|n| *n != full) {
        out.push('/');
        decimal(out, u64::from(n));
    }
    Some(())
}

/// `Ipv4Addr`'s form. Large sets consist of little else.
fn dotted(out: &mut String, octets: &[u8]) {
    for (i, b) in octets.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        decimal(out, u64::from(*b));
    }
}

fn decimal(out: &mut String, n: u64) {
    if n >= 10 {
        decimal(out, n / 10);
    }
    out.push(char::from_digit(u32::try_from(n % 10).unwrap_or(0), 10).unwrap_or('0'));
}

/// Text as it is, up to its NUL.
fn text(out: &mut String, bytes: &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    out.push_str(&String::from_utf8_lossy(
        bytes.get(..end).unwrap_or_default(),
    ));
}
