//! Messages of ctnetlink to lines of `conntrack -L`.

use super::super::attr::{Numbers as _, attrs, find};
use nfwhy_parsers::common::Proto;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const GRE: Proto = Proto(47);

/// What a dump says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The lines.
    pub text: String,
    /// Flows that lack something.
    pub unreadable: usize,
}

/// Prints the flows; with `wanted` those alone that have one of these addresses, or are translated.
pub(super) fn list<'a>(
    messages: impl Iterator<Item = &'a [u8]>,
    wanted: Option<&HashSet<IpAddr>>,
) -> Said {
    let mut said = Said::default();
    for body in messages {
        let flow = Flow::of(body.get(4..).unwrap_or_default());
        let (Some(orig), Some(reply)) = (
            flow.orig.and_then(Tuple::of),
            flow.reply.and_then(Tuple::of),
        ) else {
            said.unreadable += 1;
            continue;
        };
        let matters = wanted.is_none_or(|w| {
            [orig.src, orig.dst, reply.src, reply.dst]
                .iter()
                .any(|a| w.contains(a))
                || !orig.is_answered_by(&reply)
        });
        if matters {
            flow.print(&orig, &reply, &mut said.text);
        }
    }
    said
}

/// A direction (`enum ctattr_tuple`, `enum ctattr_l4proto` in `include/uapi/linux/netfilter/nfnetlink_conntrack.h`).
#[derive(Clone, Copy, Debug)]
struct Tuple {
    src: IpAddr,
    dst: IpAddr,
    proto: Proto,
    /// Ports, or the keys of GRE.
    sport: u16,
    dport: u16,
    /// Type, code and number.
    icmp: (u8, u8, u16),
    zone: Option<u16>,
}

impl Tuple {
    fn of(bytes: &[u8]) -> Option<Self> {
        let addresses = find(bytes, 1)?;
        let protocol = find(bytes, 2)?;
        let v4 = |kind| {
            let bits = find(addresses, kind)?.be32(0)?;
            Some(IpAddr::V4(Ipv4Addr::from_bits(bits)))
        };
        let v6 = |kind| {
            let octets: [u8; 16] = find(addresses, kind)?.get(..16)?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        };
        let mut tuple = Self {
            src: v4(1).or_else(|| v6(3))?,
            dst: v4(2).or_else(|| v6(4))?,
            proto: Proto(0),
            sport: 0,
            dport: 0,
            icmp: (0, 0, 0),
            zone: find(bytes, 3).and_then(|z| z.be16(0)),
        };
        let mut known = false;
        for (kind, v) in attrs(protocol) {
            match kind {
                1 => (tuple.proto, known) = (Proto(v.u8(0)?), true),
                2 => tuple.sport = v.be16(0)?,
                3 => tuple.dport = v.be16(0)?,
                4 | 7 => tuple.icmp.2 = v.be16(0)?,
                5 | 8 => tuple.icmp.0 = v.u8(0)?,
                6 | 9 => tuple.icmp.1 = v.u8(0)?,
                _ => {}
            }
        }
        known.then_some(tuple)
    }

    /// Whether `reply` is this turned round: nothing was translated. (ICMP has one number for both ends.)
    fn is_answered_by(&self, reply: &Self) -> bool {
        (self.src, self.dst, self.sport, self.dport, self.icmp.2)
            == (reply.dst, reply.src, reply.dport, reply.sport, reply.icmp.2)
    }

    fn print(&self, out: &mut String) {
        let _ = write!(out, "src={} dst={} ", self.src, self.dst);
        let _ = match self.proto {
            Proto::TCP | Proto::UDP | Proto::UDPLITE | Proto::SCTP | Proto::DCCP => {
                write!(out, "sport={} dport={} ", self.sport, self.dport)
            }
            GRE => write!(out, "srckey=0x{:x} dstkey=0x{:x} ", self.sport, self.dport),
            Proto::ICMP | Proto::ICMPV6 => {
                let (kind, code, id) = self.icmp;
                write!(out, "type={kind} code={code} id={id} ")
            }
            _ => Ok(()),
        };
    }
}

/// The attributes of a flow (`enum ctattr_type`).
#[derive(Debug, Default)]
struct Flow<'a> {
    orig: Option<&'a [u8]>,
    reply: Option<&'a [u8]>,
    status: Option<u32>,
    state: Option<&'static str>,
    helper: Option<&'a [u8]>,
    timeout: Option<u32>,
    mark: Option<u32>,
    counters: [Option<(u64, u64)>; 2],
    in_use: Option<u32>,
    secmark: Option<u32>,
    zone: Option<u16>,
    secctx: Option<&'a [u8]>,
    start: Option<u64>,
}

// `enum ip_conntrack_status`.
const SEEN_REPLY: u32 = 1 << 1;
const ASSURED: u32 = 1 << 2;
const OFFLOAD: u32 = 1 << 14;
const HW_OFFLOAD: u32 = 1 << 15;

impl<'a> Flow<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut f = Self::default();
        for (kind, v) in attrs(bytes) {
            match kind {
                1 => f.orig = Some(v),
                2 => f.reply = Some(v),
                3 => f.status = v.be32(0),
                4 => f.state = state(v),
                5 => f.helper = find(v, 1),
                7 => f.timeout = v.be32(0),
                8 => f.mark = v.be32(0),
                9 => f.counters[0] = counters(v),
                10 => f.counters[1] = counters(v),
                11 => f.in_use = v.be32(0),
                17 => f.secmark = v.be32(0),
                18 => f.zone = v.be16(0),
                19 => f.secctx = find(v, 1),
                20 => f.start = find(v, 1).and_then(|t| t.be64(0)),
                _ => {}
            }
        }
        f
    }

    /// A line, in the order of `__snprintf_conntrack_default` (`libnetfilter_conntrack`).
    fn print(&self, orig: &Tuple, reply: &Tuple, out: &mut String) {
        let _ = write!(out, "{:<8} {} ", protocol(orig.proto), orig.proto.0);
        if let Some(t) = self.timeout {
            let _ = write!(out, "{t} ");
        }
        if let Some(s) = self.state {
            let _ = write!(out, "{s} ");
        }
        orig.print(out);
        option(out, "zone-orig", orig.zone);
        counted(out, self.counters[0]);
        let status = self.status.unwrap_or(SEEN_REPLY);
        if status & SEEN_REPLY == 0 {
            out.push_str("[UNREPLIED] ");
        }
        reply.print(out);
        option(out, "zone-reply", reply.zone);
        counted(out, self.counters[1]);
        out.push_str(if status & HW_OFFLOAD != 0 {
            "[HW_OFFLOAD] "
        } else if status & OFFLOAD != 0 {
            "[OFFLOAD] "
        } else if status & ASSURED != 0 {
            "[ASSURED] "
        } else {
            ""
        });
        option(out, "mark", self.mark);
        option(out, "secmark", self.secmark);
        option(out, "secctx", self.secctx.map(word));
        option(out, "zone", self.zone);
        // `delta-time=` would need the clock and says nothing about the packet; whether there is a time stamp neither.
        option(out, "helper", self.helper.map(word));
        option(out, "use", self.in_use);
        if out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
}

fn option(out: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(v) = value {
        let _ = write!(out, "{name}={v} ");
    }
}

fn counted(out: &mut String, counters: Option<(u64, u64)>) {
    if let Some((packets, bytes)) = counters {
        let _ = write!(out, "packets={packets} bytes={bytes} ");
    }
}

/// Text that ends at the next blank in the output.
fn word(bytes: &[u8]) -> String {
    let text = bytes.text();
    text.replace(|c: char| c.is_whitespace() || c.is_control(), "_")
}

fn counters(bytes: &[u8]) -> Option<(u64, u64)> {
    Some((find(bytes, 1)?.be64(0)?, find(bytes, 2)?.be64(0)?))
}

/// The name that `libnetfilter_conntrack` has for a protocol (`proto2str`).
fn protocol(proto: Proto) -> &'static str {
    match proto {
        Proto::TCP => "tcp",
        Proto::UDP => "udp",
        Proto::UDPLITE => "udplite",
        Proto::ICMP => "icmp",
        Proto::ICMPV6 => "icmpv6",
        Proto::SCTP => "sctp",
        GRE => "gre",
        Proto::DCCP => "dccp",
        _ => "unknown",
    }
}

/// The state in `CTA_PROTOINFO`; one that is not known prints as `NONE`, as in the tool.
fn state(bytes: &[u8]) -> Option<&'static str> {
    const TCP: &[&str] = &[
        "NONE",
        "SYN_SENT",
        "SYN_RECV",
        "ESTABLISHED",
        "FIN_WAIT",
        "CLOSE_WAIT",
        "LAST_ACK",
        "TIME_WAIT",
        "CLOSE",
        "SYN_SENT2",
    ];
    const DCCP: &[&str] = &[
        "NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT",
        "IGNORE", "INVALID",
    ];
    const SCTP: &[&str] = &[
        "NONE",
        "CLOSED",
        "COOKIE_WAIT",
        "COOKIE_ECHOED",
        "ESTABLISHED",
        "SHUTDOWN_SENT",
        "SHUTDOWN_RECD",
        "SHUTDOWN_ACK_SENT",
        "HEARTBEAT_SENT",
        "HEARTBEAT_ACKED",
    ];
    let (kind, nested) = attrs(bytes).next()?;
    let names = match kind {
        1 => TCP,
        2 => DCCP,
        3 => SCTP,
        _ => return None,
    };
    let n = usize::from(find(nested, 1)?.u8(0)?);
    Some(names.get(n).copied().unwrap_or("NONE"))
}
