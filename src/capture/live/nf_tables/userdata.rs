//! What nft keeps for itself beside tables, rules, sets and elements: comments, and the expressions of `typeof`.
//!
//! Type, length, value, each of one byte but the value (libnftnl `src/udata.c`).

use super::datatype::integer;
use super::expr::{Ex, Kind};
use super::keys;
use nfwhy_parsers::nft::Type;
use nfwhy_parsers::nft::fields::{FIELDS, Header};

/// The pairs of type and value.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [kind, len, after @ ..] = rest else {
            return None;
        };
        let (value, next) = after.split_at_checked(usize::from(*len))?;
        rest = next;
        Some((*kind, value))
    })
}

fn find(bytes: &[u8], kind: u8) -> Option<&[u8]> {
    entries(bytes).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

fn number(bytes: &[u8], kind: u8) -> Option<u32> {
    let value: [u8; 4] = find(bytes, kind)?.try_into().ok()?;
    Some(u32::from_ne_bytes(value))
}

/// Text up to its NUL, that can stand in quotes.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    (!text.contains('"')).then_some(text)
}

/// A comment of tables, chains, rules, objects and elements.
pub(super) fn comment(bytes: &[u8]) -> Option<&str> {
    text(find(bytes, 0)?)
}

/// A set's.
pub(super) fn set_comment(bytes: &[u8]) -> Option<&str> {
    text(find(bytes, 7)?)
}

/// `auto-merge`.
pub(super) fn merges(bytes: &[u8]) -> bool {
    number(bytes, 2).is_some_and(|n| n != 0)
}

/// What a map gives is a range (`typeof ... : interval ip daddr`).
pub(super) fn data_interval(bytes: &[u8]) -> bool {
    number(bytes, 6).is_some_and(|n| n != 0)
}

/// Whether plain numbers of the key (0) or of what it maps to (1) stand in this machine's order (`BYTEORDER_HOST_ENDIAN`).
pub(super) fn host_order(bytes: &[u8], which: u8) -> Option<bool> {
    number(bytes, which).filter(|n| *n != 0).map(|n| n == 1)
}

/// The expression that a set was declared with: of its key (3) or of what it maps to (4).
pub(super) fn type_of<'a>(bytes: &[u8], which: u8, v6: Option<bool>) -> Option<Ex<'a>> {
    let nest = find(bytes, which)?;
    let data = find(nest, 1).unwrap_or_default();
    expression(number(nest, 0)?, data, v6, 0)
}

/// `enum expr_types` in nftables `include/expression.h`. Its first part stays as it is, since it is kept in the kernel.
fn expression<'a>(kind: u32, data: &[u8], v6: Option<bool>, depth: u8) -> Option<Ex<'a>> {
    let at = |which| number(data, which);
    match kind {
        7 => payload(data),
        8 => exthdr(data),
        9 => keys::meta(at(0)?),
        10 => keys::socket(at(0)?, 0),
        23 => {
            let kind = if at(0)? == 0 { "inc" } else { "random" };
            let mut text = format!("numgen {kind} mod {}", at(1)?);
            keys::offset(&mut text, at(2));
            Some(Ex::words(text, integer(32, true), 32))
        }
        25 => keys::rt(at(0)?),
        // From here on numbers moved by one.
        26..=28 => match at(2) {
            Some(direction) => keys::xfrm(u8::try_from(direction).ok()?, at(1)?, at(0)?),
            None => keys::fib(at(0)?, at(1)?),
        },
        11 => Some(Ex::words(
            "osf name",
            super::datatype::with_order(Type::Ifname),
            128,
        )),
        12 => {
            let direction = at(1)?.cast_signed();
            keys::ct(at(0)?, u8::try_from(direction).ok(), v6, false)
        }
        13 if depth == 0 => {
            let mut parts = Vec::new();
            for (_, nest) in entries(data) {
                let data = find(nest, 1).unwrap_or_default();
                parts.push(expression(number(nest, 0)?, data, v6, 1)?);
            }
            if parts.is_empty() {
                return None;
            }
            let bits = parts.iter().map(|p| p.bits.next_multiple_of(32)).sum();
            Some(Ex::new(Kind::Concat(parts), integer(0, false), bits))
        }
        _ => None,
    }
}

/// `enum proto_desc_id`.
const HEADERS: &[(u32, Header)] = &[
    (1, Header::Ah),
    (2, Header::Esp),
    (3, Header::Comp),
    (4, Header::Icmp),
    (5, Header::Igmp),
    (6, Header::Udp),
    (7, Header::Udplite),
    (8, Header::Tcp),
    (9, Header::Dccp),
    (10, Header::Sctp),
    (11, Header::Th),
    (12, Header::Ip),
    (13, Header::Ip6),
    (14, Header::Icmp6),
    (15, Header::Arp),
    (16, Header::Vlan),
    (17, Header::Ether),
];

/// A header field by header and place among its fields, from 1 (`enum ip_hdr_fields` and the like), or bits of the packet.
fn payload<'a>(data: &[u8]) -> Option<Ex<'a>> {
    let (header, which) = (number(data, 0)?, number(data, 1)?);
    if header == 0 {
        let base = match number(data, 2)? {
            1 => 0,
            2 => 1,
            3 => 2,
            4 => 3,
            _ => return None,
        };
        let (offset, len) = (number(data, 3)?, number(data, 4)?);
        return Some(Ex::new(
            Kind::Raw { base, offset, len },
            integer(len, false),
            len,
        ));
    }
    let (_, header) = HEADERS.iter().find(|(n, _)| *n == header)?;
    let nth = usize::try_from(which.checked_sub(1)?).ok()?;
    let mut fields = FIELDS.iter().filter(|f| f.header == *header);
    let field = fields.nth(nth)?;
    let ty = super::datatype::with_order(field.ty);
    Some(Ex::new(Kind::Field(field), ty, field.len))
}

/// An extension header's field.
fn exthdr<'a>(data: &[u8]) -> Option<Ex<'a>> {
    let op = number(data, 2).unwrap_or(0);
    let (desc, which) = (number(data, 0)?, number(data, 1)?);
    super::exthdr::declared(op, desc, which)
}

/// Whether a type says nothing of the length of its values.
pub(super) fn vague(ty: Type) -> bool {
    matches!(ty, Type::Integer(_) | Type::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        assert_eq!(comment(&[0, 3, b'h', b'i', 0]), Some("hi"));
        assert_eq!(comment(&[1, 4, 0, 0, 0, 0, 0, 2, b'x', 0]), Some("x"));
        assert_eq!(comment(&[0, 9, b'h']), None);
        assert_eq!(comment(&[]), None);
    }
}
