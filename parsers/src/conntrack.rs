//! `conntrack -L` and `/proc/net/nf_conntrack`.
//!
//! The form is that of `ct_seq_show` in `net/netfilter/nf_conntrack_standalone.c` and of conntrack-tools 1.4.7.

use crate::common::{Diagnostic, Family, Parsed, Proto, Span, Text};
use crate::ipset::member::{addr, cut_at};
use crate::recognise::lines::{Line, Lines, is_cut};
use std::net::IpAddr;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Source port.
    pub sport: Option<u16>,
    /// Destination port.
    pub dport: Option<u16>,
    /// ICMP type, code, id.
    pub icmp: Option<(u8, u8, u16)>,
}

/// One flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow<'a> {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// Of its addresses.
    pub family: Family,
    /// Protocol.
    pub proto: Proto,
    /// Seconds left; `None` for a flow that is offloaded.
    pub timeout: Option<u32>,
    /// `ESTABLISHED`, `SYN_SENT`, ...: TCP, SCTP, DCCP only.
    pub state: Option<Text<'a>>,
    /// Original direction.
    pub orig: Tuple,
    /// Reply direction.
    pub reply: Tuple,
    /// `[UNREPLIED]`.
    pub unreplied: bool,
    /// `[ASSURED]`.
    pub assured: bool,
    /// `[OFFLOAD]` or `[HW_OFFLOAD]`.
    pub offload: bool,
    /// Connection mark.
    pub mark: u32,
    /// `zone=`, or `zone-orig=` of a zone that only the original direction has; 0 where neither is written.
    pub zone_orig: u16,
    /// `zone=`, or `zone-reply=` of a zone that only the reply direction has; 0 where neither is written.
    pub zone_reply: u16,
    /// Packets of the original and of the reply direction; `None` without `nf_conntrack_acct`.
    pub packets: Option<(u64, u64)>,
    /// `helper=`.
    pub helper: Option<Text<'a>>,
}

/// Reads `conntrack -L` in any of its forms (`-o extended`, `-o id,ktimestamp`, ...) or `/proc/net/nf_conntrack`.
///
/// What is not modelled (`bytes=`, `use=`, `secctx=`, labels, time stamps) is skipped in silence.
pub fn parse(source: &str) -> Parsed<Vec<Flow<'_>>> {
    let mut out: Parsed<Vec<Flow<'_>>> = Parsed::default();
    for line in Lines::new(source) {
        let text = line.text.trim_ascii();
        // The trailer goes to standard error and so may stand anywhere.
        if text.is_empty() || text.starts_with("conntrack v") || text.starts_with('#') {
            continue;
        }
        match flow(&line, text) {
            Ok(f) => out.value.push(f),
            Err((at, message)) => {
                let d = Diagnostic::warning(line.number, line.span_of(at), message);
                out.diagnostics.push(if is_cut(text) {
                    d.help("capture the whole of `conntrack -L`")
                } else {
                    d
                });
            }
        }
    }
    out
}

/// A direction while it is read.
#[derive(Default)]
struct Direction {
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    sport: Option<u16>,
    dport: Option<u16>,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    icmp_id: Option<u16>,
    packets: Option<u64>,
}

impl Direction {
    fn tuple(&self) -> Option<Tuple> {
        let icmp = match (self.icmp_type, self.icmp_code, self.icmp_id) {
            (Some(t), Some(c), Some(i)) => Some((t, c, i)),
            _ => None,
        };
        let (src, dst) = (self.src?, self.dst?);
        (Family::of(src) == Family::of(dst)).then_some(Tuple {
            src,
            dst,
            sport: self.sport,
            dport: self.dport,
            icmp,
        })
    }
}

fn flow<'a>(line: &Line<'a>, text: &'a str) -> Result<Flow<'a>, (&'a str, String)> {
    let mut words = text.split_ascii_whitespace().peekable();
    let mut name = words.next().unwrap_or_default();
    // `-E` puts the event before each line.
    if matches!(name, "[NEW]" | "[UPDATE]") {
        name = words.next().unwrap_or_default();
    } else if name == "[DESTROY]" {
        return Err((name, "a flow that is gone".into()));
    }
    if matches!(name, "ipv4" | "ipv6") {
        words.next();
        name = words.next().unwrap_or_default();
    }
    let proto = words.next().and_then(|n| n.parse().ok().map(Proto));
    let (Some(proto), true) = (
        proto,
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
    ) else {
        return Err((text, "not a line of `conntrack -L`".into()));
    };
    let timeout = words.peek().and_then(|w| w.parse().ok());
    if timeout.is_some() {
        words.next();
    }
    let state = words
        .peek()
        .filter(|w| {
            w.bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        })
        .copied();
    if state.is_some() {
        words.next();
    }
    let mut f = Flow {
        line: line.number,
        span: line.span(),
        family: Family::V4,
        proto,
        timeout,
        state: state.map(Text::Borrowed),
        orig: Tuple {
            src: Family::V4.unspecified(),
            dst: Family::V4.unspecified(),
            sport: None,
            dport: None,
            icmp: None,
        },
        reply: Tuple {
            src: Family::V4.unspecified(),
            dst: Family::V4.unspecified(),
            sport: None,
            dport: None,
            icmp: None,
        },
        unreplied: false,
        assured: false,
        offload: false,
        mark: 0,
        zone_orig: 0,
        zone_reply: 0,
        packets: None,
        helper: None,
    };
    let (mut orig, mut reply) = (Direction::default(), Direction::default());
    let mut in_reply = false;
    let (mut zone, mut zone_orig, mut zone_reply) = (None, None, None);
    while let Some(w) = words.next() {
        match w {
            "[UNREPLIED]" => f.unreplied = true,
            "[ASSURED]" => f.assured = true,
            "[OFFLOAD]" | "[HW_OFFLOAD]" => f.offload = true,
            _ if w.starts_with('[') => {
                // `[start=Sun Nov 22 05:33:29 2026]`.
                if !w.ends_with(']') {
                    for w in words.by_ref() {
                        if w.ends_with(']') {
                            break;
                        }
                    }
                }
            }
            _ => {
                let Some((key, value)) = cut_at(w, b'=') else {
                    if is_cut(w) {
                        return Err((w, "the line was cut off".into()));
                    }
                    continue;
                };
                if key == "src" {
                    in_reply = orig.src.is_some();
                }
                let d = if in_reply { &mut reply } else { &mut orig };
                let ok = match key {
                    "src" => fill_addr(&mut d.src, value),
                    "dst" => fill_addr(&mut d.dst, value),
                    "sport" => fill(&mut d.sport, value),
                    "dport" => fill(&mut d.dport, value),
                    "type" => fill(&mut d.icmp_type, value),
                    "code" => fill(&mut d.icmp_code, value),
                    // Behind the tuples `id=` is the flow's own number (`-o id`).
                    "id" if d.icmp_type.is_some() && d.icmp_id.is_none() => {
                        fill(&mut d.icmp_id, value)
                    }
                    "packets" => fill(&mut d.packets, value),
                    "mark" => number(value).map(|n| f.mark = n).is_some(),
                    "zone" => fill(&mut zone, value),
                    "zone-orig" => fill(&mut zone_orig, value),
                    "zone-reply" => fill(&mut zone_reply, value),
                    "helper" => {
                        f.helper = Some(Text::Borrowed(value));
                        true
                    }
                    _ => true,
                };
                if !ok {
                    return Err((w, format!("`{w}` was not understood; the flow is left out")));
                }
            }
        }
    }
    f.zone_orig = zone_orig.or(zone).unwrap_or(0);
    f.zone_reply = zone_reply.or(zone).unwrap_or(0);
    let (Some(o), Some(r)) = (orig.tuple(), reply.tuple()) else {
        return Err((text, "a flow without both of its directions".into()));
    };
    f.family = Family::of(o.src);
    // Both tuples of an entry share `l3num` (`nf_ct_invert_tuple` in net/netfilter/nf_conntrack_core.c).
    if Family::of(r.src) != f.family {
        return Err((text, "a flow whose directions are of two families".into()));
    }
    f.orig = o;
    f.reply = r;
    f.packets = orig.packets.zip(reply.packets);
    Ok(f)
}

/// Stores the first value of a key; a later one of the same key belongs to something else.
fn fill<T: std::str::FromStr>(slot: &mut Option<T>, value: &str) -> bool {
    match value.parse() {
        Ok(v) => {
            slot.get_or_insert(v);
            true
        }
        Err(_) => false,
    }
}

fn fill_addr(slot: &mut Option<IpAddr>, value: &str) -> bool {
    let read = addr(value);
    if let Some(a) = read {
        slot.get_or_insert(a);
    }
    read.is_some()
}

/// A mark: decimal as the tools print it, or hexadecimal.
fn number(value: &str) -> Option<u32> {
    match value.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => value.parse().ok(),
    }
}
