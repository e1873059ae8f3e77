//! Which headers a rule knows of, and what bytes of the packet are called by that.
//!
//! As nft does (`src/proto.c`, `payload_expr_complete` and `payload_expr_trim` in `src/payload.c`): matches of `meta l4proto`,
//! `ip protocol`, `meta nfproto`, `ether type` tell what follows.

use super::datatype::{integer, with_order};
use super::expr::{Ex, Kind};
use nfwhy_parsers::nft::fields::{FIELDS, Field, Header};

/// `enum nft_payload_bases`.
pub(super) const LINK: u8 = 0;
pub(super) const NETWORK: u8 = 1;
pub(super) const TRANSPORT: u8 = 2;

/// Transport headers.
const TRANSPORTS: &[Header] = &[
    Header::Tcp,
    Header::Udp,
    Header::Icmp,
    Header::Icmp6,
    Header::Igmp,
    Header::Udplite,
    Header::Sctp,
    Header::Dccp,
    Header::Esp,
    Header::Ah,
    Header::Comp,
];

/// Headers as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Protocols {
    /// Ethernet, or not known.
    pub link: bool,
    /// How many VLAN tags follow the Ethernet header.
    pub vlan: u32,
    /// IPv4, IPv6, ARP.
    pub network: Option<Header>,
    /// Number of the transport protocol.
    pub transport: Option<u8>,
    /// ICMP's type.
    pub icmp: Option<u8>,
}

impl Protocols {
    /// What the family of a table tells.
    pub fn of_family(family: u8) -> Self {
        Self {
            link: matches!(family, 5 | 7),
            network: match family {
                2 => Some(Header::Ip),
                3 => Some(Header::Arp),
                10 => Some(Header::Ip6),
                _ => None,
            },
            ..Self::default()
        }
    }

    fn header(&self, base: u8, offset: u32) -> Option<(Header, u32)> {
        Some(match base {
            LINK if offset >= 112 && offset < 112 + 32 * self.vlan.min(8) => {
                (Header::Vlan, (offset - 112) % 32)
            }
            LINK if self.link => (Header::Ether, offset),
            NETWORK => (self.network?, offset),
            TRANSPORT => {
                let number = self.transport?;
                let header = TRANSPORTS.iter().find(|h| h.proto() == Some(number))?;
                (*header, offset)
            }
            _ => return None,
        })
    }

    /// The field with exactly these bits.
    pub fn field(&self, base: u8, offset: u32, len: u32) -> Option<Field> {
        let (header, offset) = self.header(base, offset)?;
        FIELDS.iter().find(|f| {
            f.header == header
                && (f.offset, f.len) == (offset, len)
                && self.icmp.is_none_or(|ty| of_icmp(f, ty))
        })
    }

    /// The field that begins here, whatever its length.
    fn beginning(&self, base: u8, offset: u32, most: u32) -> Option<Field> {
        let (header, offset) = self.header(base, offset)?;
        let here = |f: Field| {
            f.header == header && f.offset == offset && self.icmp.is_none_or(|ty| of_icmp(f, ty))
        };
        let mut all = FIELDS.iter().filter(|f| here(f));
        // The whole of one, or the beginning of an address.
        all.clone().find(|f| f.len <= most).or_else(|| all.next())
    }

    /// The fields that so many bits are, in order: each with its bits, the last one maybe in part.
    pub fn expand(&self, base: u8, offset: u32, len: u32) -> Option<Vec<(Field, u32)>> {
        let mut all = Vec::new();
        let mut done = 0;
        while done < len {
            let left = len - done;
            let field = self.beginning(base, offset.checked_add(done)?, left)?;
            let bits = field.len.min(left);
            all.push((field, bits));
            done += bits;
        }
        Some(all)
    }

    /// Gives bytes of the packet their name.
    pub fn complete<'a>(&self, base: u8, offset: u32, len: u32) -> Ex<'a> {
        if let Some(field) = self.field(base, offset, len) {
            return of_field(field, len, 0);
        }
        // A port of whatever transport there is.
        if base == TRANSPORT
            && len == 16
            && let Some(field) = FIELDS
                .iter()
                .find(|f| f.header == Header::Th && f.offset == offset)
        {
            return of_field(field, len, 0);
        }
        raw(base, offset, len)
    }

    /// The field that a mask picks of these bits, and how far it lies from the lowest one.
    pub fn masked<'a>(&self, base: u8, offset: u32, len: u32, mask: &[u8]) -> Option<Ex<'a>> {
        let (first, bits) = run(mask)?;
        let field = self.field(base, offset.checked_add(first)?, bits)?;
        let shift = len.checked_sub(first)?.checked_sub(bits)?;
        Some(of_field(field, len, shift))
    }
}

/// Bits without a name.
pub(super) fn raw<'a>(base: u8, offset: u32, len: u32) -> Ex<'a> {
    Ex::new(Kind::Raw { base, offset, len }, integer(len, false), len)
}

/// A field in so many bits of registers.
fn of_field<'a>(field: Field, bits: u32, shift: u32) -> Ex<'a> {
    let mut ex = Ex::new(Kind::Field(field), with_order(field.ty), bits);
    ex.shift = shift;
    ex
}

/// The one run of ones in a mask: its first bit, counted from the highest, and its length.
pub(super) fn run(mask: &[u8]) -> Option<(u32, u32)> {
    let total = u32::try_from(mask.len()).ok()?.checked_mul(8)?;
    let bit = |i: u32| {
        let byte = usize::try_from(i / 8).ok().and_then(|at| mask.get(at));
        byte.is_some_and(|b| b >> (7 - i % 8) & 1 == 1)
    };
    let first = (0..total).find(|i| bit(*i))?;
    let end = (first..total).find(|i| !bit(*i)).unwrap_or(total);
    (!(end..total).any(bit)).then(|| (first, end - first))
}

/// Whether a field that only some ICMP messages have is one of this type's (`icmp_dep_type_match` in nftables `src/payload.c`).
fn of_icmp(field: Field, ty: u8) -> bool {
    match field.names {
        ("icmp", "id" | "sequence") => matches!(ty, 0 | 8),
        ("icmp", "gateway") => ty == 5,
        ("icmp", "mtu") => ty == 3,
        ("icmpv6", "id" | "sequence") => matches!(ty, 128 | 129),
        ("icmpv6", "mtu") => ty == 2,
        ("icmpv6", "parameter-problem") => ty == 4,
        ("icmpv6", "max-delay") => ty == 130,
        ("icmpv6", "daddr") => ty == 137,
        ("icmpv6", "taddr") => matches!(ty, 130 | 131 | 132 | 135 | 136 | 137),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_ones() {
        assert_eq!(run(&[0xfc]), Some((0, 6)));
        assert_eq!(run(&[0x0f, 0xff, 0]), Some((4, 12)));
        assert_eq!(run(&[0xf0, 0x0f]), None);
        assert_eq!(run(&[0]), None);
        assert_eq!(run(&[0xff; 4]), Some((0, 32)));
    }

    #[test]
    fn names_of_bytes() {
        let mut p = Protocols::of_family(2);
        let name = |ex: Ex<'_>| match ex.kind {
            Kind::Field(f) => format!("{f:?}"),
            other => format!("{other:?}"),
        };
        assert_eq!(name(p.complete(NETWORK, 128, 32)), "ip daddr");
        assert_eq!(name(p.complete(TRANSPORT, 16, 16)), "th dport");
        p.transport = Some(6);
        assert_eq!(name(p.complete(TRANSPORT, 16, 16)), "tcp dport");
        let dscp = p.masked(NETWORK, 8, 8, &[0xfc]);
        assert_eq!(dscp.as_ref().map(|d| d.shift), Some(2));
        assert_eq!(dscp.map(name).as_deref(), Some("ip dscp"));
        let all = p.expand(NETWORK, 96, 64).unwrap_or_default();
        assert_eq!(format!("{all:?}"), "[(ip saddr, 32), (ip daddr, 32)]");
    }
}
