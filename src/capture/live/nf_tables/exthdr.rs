//! TCP options, IP options, IPv6 extension headers, SCTP chunks.

use super::datatype::{Ty, integer, with_order};
use super::expr::{Ex, Needs};
use super::keys::{be32, within};
use crate::capture::live::attr::{Numbers as _, find};
use nfwhy_parsers::nft::Type;

/// Name, first bit, number of bits, type; [`Type::Invalid`] for a plain number.
type FieldOf = (&'static str, u32, u32, Type);

const N: Type = Type::Invalid;

#[rustfmt::skip]
const TCP: &[(u8, &str, &[FieldOf])] = &[
    (0, "eol", &[("kind", 0, 8, N)]),
    (1, "nop", &[("kind", 0, 8, N)]),
    (2, "maxseg", &[("kind", 0, 8, N), ("length", 8, 8, N), ("size", 16, 16, N)]),
    (3, "window", &[("kind", 0, 8, N), ("length", 8, 8, N), ("count", 16, 8, N)]),
    (4, "sack-perm", &[("kind", 0, 8, N), ("length", 8, 8, N)]),
    (5, "sack", &[("kind", 0, 8, N), ("length", 8, 8, N), ("left", 16, 32, N), ("right", 48, 32, N)]),
    (8, "timestamp", &[("kind", 0, 8, N), ("length", 8, 8, N), ("tsval", 16, 32, N), ("tsecr", 48, 32, N)]),
    (19, "md5sig", &[("kind", 0, 8, N), ("length", 8, 8, N)]),
    (30, "mptcp", &[("kind", 0, 8, N), ("length", 8, 8, N), ("subtype", 16, 4, N)]),
    (34, "fastopen", &[("kind", 0, 8, N), ("length", 8, 8, N)]),
];

#[rustfmt::skip]
const IP: &[(u8, &str, &[FieldOf])] = &[
    (131, "lsrr", &[("type", 0, 8, N), ("length", 8, 8, N), ("ptr", 16, 8, N), ("addr", 24, 32, Type::Ipv4Addr)]),
    (7, "rr", &[("type", 0, 8, N), ("length", 8, 8, N), ("ptr", 16, 8, N), ("addr", 24, 32, Type::Ipv4Addr)]),
    (137, "ssrr", &[("type", 0, 8, N), ("length", 8, 8, N), ("ptr", 16, 8, N), ("addr", 24, 32, Type::Ipv4Addr)]),
    (148, "ra", &[("type", 0, 8, N), ("length", 8, 8, N), ("value", 16, 16, N)]),
];

#[rustfmt::skip]
const IP6: &[(u8, &str, &[FieldOf])] = &[
    (0, "hbh", &[("nexthdr", 0, 8, Type::InetProto), ("hdrlength", 8, 8, N)]),
    (43, "rt", &[("nexthdr", 0, 8, Type::InetProto), ("hdrlength", 8, 8, N), ("type", 16, 8, N), ("seg-left", 24, 8, N)]),
    (43, "rt0", &[("reserved", 32, 32, N), ("addr[1]", 64, 128, Type::Ipv6Addr), ("addr[2]", 192, 128, Type::Ipv6Addr)]),
    (43, "srh", &[("last-entry", 32, 8, N), ("flags", 40, 8, N), ("tag", 48, 16, N)]),
    (44, "frag", &[("nexthdr", 0, 8, Type::InetProto), ("reserved", 8, 8, N), ("frag-off", 16, 13, N),
        ("reserved2", 29, 2, N), ("more-fragments", 31, 1, N), ("id", 32, 32, N)]),
    (60, "dst", &[("nexthdr", 0, 8, Type::InetProto), ("hdrlength", 8, 8, N)]),
    (135, "mh", &[("nexthdr", 0, 8, Type::InetProto), ("hdrlength", 8, 8, N), ("type", 16, 8, Type::MhType),
        ("reserved", 24, 8, N), ("checksum", 32, 16, N)]),
];

#[rustfmt::skip]
const SCTP: &[(u8, &str, &[FieldOf])] = &[
    (0, "data", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("tsn", 32, 32, N), ("stream", 64, 16, N), ("ssn", 80, 16, N), ("ppid", 96, 32, N)]),
    (1, "init", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("init-tag", 32, 32, N), ("a-rwnd", 64, 32, N), ("num-outbound-streams", 96, 16, N), ("num-inbound-streams", 112, 16, N), ("initial-tsn", 128, 32, N)]),
    (2, "init-ack", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("init-tag", 32, 32, N), ("a-rwnd", 64, 32, N), ("num-outbound-streams", 96, 16, N), ("num-inbound-streams", 112, 16, N), ("initial-tsn", 128, 32, N)]),
    (3, "sack", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("cum-tsn-ack", 32, 32, N), ("a-rwnd", 64, 32, N), ("num-gap-ack-blocks", 96, 16, N), ("num-dup-tsns", 112, 16, N)]),
    (4, "heartbeat", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (5, "heartbeat-ack", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (6, "abort", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (7, "shutdown", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("cum-tsn-ack", 32, 32, N)]),
    (8, "shutdown-ack", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (9, "error", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (10, "cookie-echo", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (11, "cookie-ack", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (12, "ecne", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("lowest-tsn", 32, 32, N)]),
    (13, "cwr", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("lowest-tsn", 32, 32, N)]),
    (14, "shutdown-complete", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N)]),
    (128, "asconf-ack", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("seqno", 32, 32, N)]),
    (192, "forward-tsn", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("new-cum-tsn", 32, 32, N)]),
    (193, "asconf", &[("type", 0, 8, N), ("flags", 8, 8, N), ("length", 16, 16, N), ("seqno", 32, 32, N)]),
];

/// `enum nft_exthdr_op`.
const IPV6: u32 = 0;
const TCPOPT: u32 = 1;
const IPV4: u32 = 2;
const CHUNK: u32 = 3;
const DCCP: u32 = 4;

/// What an `exthdr` expression looks at.
pub(super) struct Place {
    op: u32,
    kind: u8,
    /// In bits.
    pub offset: u32,
    /// In bits.
    pub len: u32,
    present: bool,
}

impl Place {
    /// Of its attributes.
    pub fn of(data: &[u8]) -> Option<Self> {
        Some(Self {
            op: be32(data, 6).unwrap_or(IPV6),
            kind: find(data, 2)?.u8(0)?,
            offset: be32(data, 3)?.checked_mul(8)?,
            len: be32(data, 4)?.checked_mul(8)?,
            present: be32(data, 5).unwrap_or_default() & 1 == 1,
        })
    }

    fn needs(&self) -> Needs {
        match self.op {
            TCPOPT => Needs::Tcp,
            IPV6 => Needs::Ip6,
            IPV4 => Needs::Ip,
            CHUNK => Needs::Transport(132),
            DCCP => Needs::Transport(33),
            _ => Needs::Nothing,
        }
    }

    /// The field with exactly these bits, or the option as a whole.
    pub fn field<'a>(&self, offset: u32, len: u32) -> Option<Ex<'a>> {
        let (table, before) = match self.op {
            IPV6 => (IP6, ""),
            TCPOPT => (TCP, "tcp option "),
            IPV4 => (IP, "ip option "),
            CHUNK => (SCTP, "sctp chunk "),
            DCCP if self.present => {
                let text = format!("dccp option {}", self.kind);
                return Some(within(text, with_order(Type::Boolean), 8, self.needs()));
            }
            _ => return None,
        };
        let boolean = with_order(Type::Boolean);
        let known = || table.iter().filter(|(kind, ..)| *kind == self.kind);
        if self.present {
            let text = match known().next() {
                Some((_, name, _)) if self.op == IPV6 => format!("exthdr {name}"),
                Some((_, name, _)) => format!("{before}{name}"),
                None if self.op == TCPOPT => format!("{before}{}", self.kind),
                None => return None,
            };
            return Some(within(text, boolean, 8, self.needs()));
        }
        for (_, name, fields) in known() {
            let fits = |f: &&FieldOf| (f.1, f.2) == (offset, len);
            if let Some((field, _, bits, ty)) = fields.iter().find(fits) {
                let ty = match ty {
                    Type::Invalid => integer(*bits, false),
                    ty => with_order(*ty),
                };
                let text = format!("{before}{name} {field}");
                return Some(within(text, ty, *bits, self.needs()));
            }
            // `sack` has three more of each behind the first ones.
            if self.op == TCPOPT && *name == "sack" && len == 32 && offset >= 80 {
                let (block, field) = match (offset - 16) % 64 {
                    0 => ((offset - 16) / 64, "left"),
                    32 => ((offset - 16) / 64, "right"),
                    _ => continue,
                };
                let text = format!("{before}{name}{block} {field}");
                return Some(within(text, integer(32, false), 32, self.needs()));
            }
        }
        if self.op != TCPOPT {
            return None;
        }
        let text = format!("{before}@{},{offset},{len}", self.kind);
        Some(within(text, integer(len, false), len, self.needs()))
    }
}

/// What an `exthdr` expression gives.
pub(super) fn of<'a>(data: &[u8]) -> Option<Ex<'a>> {
    let place = Place::of(data)?;
    let mut ex = place
        .field(place.offset, place.len)
        .or_else(|| unnamed(&place))?;
    ex.bits = if place.present { 8 } else { place.len };
    Some(ex)
}

/// Bytes that hold several fields of a header; a mask behind them tells which.
fn unnamed<'a>(place: &Place) -> Option<Ex<'a>> {
    // Only the fragment header has fields that are no bytes.
    if place.op != IPV6 || place.kind != 44 {
        return None;
    }
    let text = format!("frag @{},{}", place.offset, place.len);
    let ty: Ty = integer(place.len, false);
    Some(within(text, ty, place.len, Needs::Ip6))
}

/// The field of an extension header that a mask picks: `frag @16,16` and the mask's bits.
pub(super) fn masked<'a>(words: &str, first: u32, len: u32) -> Option<Ex<'a>> {
    let (op, kind, words) = if let Some(words) = words.strip_prefix("frag @") {
        (IPV6, 44, words)
    } else {
        let (kind, words) = words.strip_prefix("tcp option @")?.split_once(',')?;
        (TCPOPT, kind.parse().ok()?, words)
    };
    let (offset, all) = words.split_once(',')?;
    let (offset, all): (u32, u32) = (offset.parse().ok()?, all.parse().ok()?);
    let place = Place {
        op,
        kind,
        offset,
        len: all,
        present: false,
    };
    let field = place.field(offset.checked_add(first)?, len)?;
    // Bits without a name are no field.
    let named = !matches!(&field.kind, super::expr::Kind::Words(text, _) if text.contains(" @"));
    named.then_some(field)
}

/// The field that a set was declared with: kind of header, number of the option or header, place among its fields.
pub(super) fn declared<'a>(op: u32, desc: u32, which: u32) -> Option<Ex<'a>> {
    let kind = u8::try_from(desc).ok()?;
    let (table, kind, which) = match op {
        TCPOPT => (TCP, kind, which),
        IPV4 => (IP, kind, which),
        CHUNK => (SCTP, kind, which),
        // `enum exthdr_desc_id`, whose fields count from 1.
        IPV6 => {
            let kind = match desc {
                1 => 0,
                2 => 43,
                6 => 44,
                7 => 60,
                8 => 135,
                _ => return None,
            };
            (IP6, kind, which.checked_sub(1)?)
        }
        _ => return None,
    };
    let (_, _, fields) = table.iter().find(|(k, ..)| *k == kind)?;
    let (_, offset, len, _) = fields.get(usize::try_from(which).ok()?)?;
    let place = Place {
        op,
        kind,
        offset: *offset,
        len: *len,
        present: false,
    };
    place.field(*offset, *len)
}

/// The option that `reset` takes out.
pub(super) fn whole(data: &[u8]) -> Option<String> {
    let kind = find(data, 2)?.u8(0)?;
    if be32(data, 6)? != TCPOPT {
        return None;
    }
    let known = TCP.iter().find(|(k, ..)| *k == kind);
    Some(match known {
        Some((_, name, _)) => format!("tcp option {name}"),
        None => format!("tcp option {kind}"),
    })
}
