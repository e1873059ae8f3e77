//! `ip route show table all`: `print_route` in iproute2 ip/iproute.c.

use super::super::attr::{Numbers as _, find};
use super::dump::Message;
use super::encap;
use super::names::Names;
use super::text::{AF_INET, AF_INET6, AF_MPLS, Attributes, Devices, bits, general, host, line};
use std::fmt::Write as _;

/// `RTM_NEWROUTE`.
const NEWROUTE: u16 = 24;
/// `struct rtmsg`.
const HEADER: usize = 12;
/// `RTM_F_CLONED`: an exception or a cached route, which `ip route` leaves out unless asked.
const CLONED: u32 = 0x200;
/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

/// `RTN_*`, as `rtnl_rtntype_n2a` of `lib/rt_names.c`.
const TYPES: [&str; 12] = [
    "none",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
    "xresolve",
];

/// The name of a route's type or of a rule's action.
pub(super) fn type_name(n: u8) -> String {
    match TYPES.get(usize::from(n)) {
        Some(name) => (*name).to_owned(),
        None => n.to_string(),
    }
}

/// The routes of a dump; of one family, or of all.
pub(crate) fn print(
    messages: &[Message],
    family: Option<u8>,
    devices: &Devices,
    names: &Names,
) -> String {
    let mut out = String::with_capacity(messages.len() * 80);
    for m in messages.iter().filter(|m| m.kind == NEWROUTE) {
        if family.is_none_or(|f| m.payload.u8(0) == Some(f)) {
            route(&mut out, &m.payload, devices, names);
        }
    }
    out
}

/// `RTNH_F_*` and `RTM_F_*` in the order of `print_rt_flags`.
const FLAGS: [(u32, &str); 11] = [
    (0x1, "dead "),
    (0x4, "onlink "),
    (0x2, "pervasive "),
    (0x8, "offload "),
    (0x40, "trap "),
    (0x100, "notify "),
    (0x10, "linkdown "),
    (0x20, "unresolved "),
    (0x4000, "rt_offload "),
    (0x8000, "rt_trap "),
    (0x2000_0000, "rt_offload_failed "),
];

/// The flags of a next hop or route.
pub(super) fn flags(out: &mut String, flags: u32) {
    for (bit, word) in FLAGS {
        if flags & bit != 0 {
            out.push_str(word);
        }
    }
}

/// `RTAX_*`, as `mx_names` in ip/iproute.c.
const METRICS: [(u16, &str); 16] = [
    (2, "mtu"),
    (3, "window"),
    (4, "rtt"),
    (5, "rttvar"),
    (6, "ssthresh"),
    (7, "cwnd"),
    (8, "advmss"),
    (9, "reordering"),
    (10, "hoplimit"),
    (11, "initcwnd"),
    (12, "features"),
    (13, "rto_min"),
    (14, "initrwnd"),
    (15, "quickack"),
    (16, "congctl"),
    (17, "fastopen_no_cookie"),
];

fn metrics(out: &mut String, bytes: &[u8]) {
    let tb = Attributes::<18>::of(bytes);
    let locked = tb.u32(1).unwrap_or(0);
    for (attr, name) in METRICS {
        let lock = locked >> attr & 1 != 0;
        if tb.get(attr).is_none() && !lock {
            continue;
        }
        let value = tb.u32(attr).unwrap_or(0);
        if name == "hoplimit" && value == u32::MAX {
            continue;
        }
        let _ = write!(out, "{name} ");
        if lock {
            out.push_str("lock ");
        }
        match name {
            "features" => {
                if value & 1 != 0 {
                    out.push_str("ecn ");
                }
                if value & !1 != 0 {
                    let _ = write!(out, "{value:#x} ");
                }
            }
            "rtt" | "rttvar" | "rto_min" => {
                let value = match name {
                    "rtt" => value / 8,
                    "rttvar" => value / 4,
                    _ => value,
                };
                if value >= 1000 {
                    let _ = write!(out, "{}s ", general(f64::from(value) / 1e3));
                } else {
                    let _ = write!(out, "{value}ms ");
                }
            }
            "congctl" => {
                let _ = write!(out, "{} ", line(tb.get(attr).unwrap_or_default()));
            }
            _ => {
                let _ = write!(out, "{value} ");
            }
        }
    }
}

/// `realm 5 `, `realms 3/5 `.
fn realms(out: &mut String, flow: u32, names: &Names) {
    let (from, to) = (flow >> 16, flow & 0xffff);
    if from == 0 {
        let _ = write!(out, "realm {} ", names.realm(to));
    } else {
        let _ = write!(out, "realms {}/{} ", names.realm(from), names.realm(to));
    }
}

/// `struct rtvia`: a gateway of the other family.
fn via(out: &mut String, bytes: &[u8]) {
    let (Some(family), Some(addr)) = (bytes.u16(0), bytes.get(2..)) else {
        return;
    };
    let family = u8::try_from(family).unwrap_or(0);
    let name = match family {
        AF_INET => "inet",
        AF_INET6 => "inet6",
        AF_MPLS => "mpls",
        _ => "???",
    };
    let _ = write!(out, "via {name} {} ", host(family, addr));
}

/// `RTA_*` up to `RTA_NH_ID`.
type RouteAttributes<'a> = Attributes<'a, 32>;

const OIF: u16 = 4;
const GATEWAY: u16 = 5;
const FLOW: u16 = 11;
const VIA: u16 = 18;
const NEWDST: u16 = 19;
const ENCAP_TYPE: u16 = 21;
const ENCAP: u16 = 22;

fn address(out: &mut String, family: u8, bytes: &[u8], len: u8) {
    let label;
    let text: &dyn std::fmt::Display = if family == AF_MPLS {
        label = encap::labels(bytes);
        &label
    } else {
        label = host(family, bytes).to_string();
        &label
    };
    if len == bits(family) {
        let _ = write!(out, "{text} ");
    } else {
        let _ = write!(out, "{text}/{len} ");
    }
}

fn new_destination(out: &mut String, family: u8, bytes: &[u8]) {
    out.push_str("as to ");
    address(out, family, bytes, bits(family));
}

fn multipath(out: &mut String, family: u8, mut rest: &[u8], devices: &Devices, names: &Names) {
    // `struct rtnexthop`: length, flags, hops, ifindex.
    while let (Some(len), Some(hop_flags), Some(hops), Some(index)) =
        (rest.u16(0), rest.u8(2), rest.u8(3), rest.u32(4))
    {
        let len = usize::from(len);
        let Some(attributes) = rest.get(8..len) else {
            break;
        };
        let tb = RouteAttributes::of(attributes);
        out.push_str("\n\tnexthop ");
        if let Some(e) = tb.get(ENCAP) {
            encap::print(out, tb.u16(ENCAP_TYPE), e, devices, names);
        }
        if let Some(d) = tb.get(NEWDST) {
            new_destination(out, family, d);
        }
        if let Some(g) = tb.get(GATEWAY) {
            let _ = write!(out, "via {} ", host(family, g));
        }
        if let Some(v) = tb.get(VIA) {
            via(out, v);
        }
        if let Some(f) = tb.u32(FLOW) {
            realms(out, f, names);
        }
        let _ = write!(out, "dev {} ", devices.name(index));
        if family != AF_MPLS {
            let _ = write!(out, "weight {} ", u16::from(hops) + 1);
        }
        flags(out, hop_flags.into());
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn cache_info(out: &mut String, info: &[u8]) {
    // `struct rta_cacheinfo`: references, last use, expires, error, used, id, timestamps. Times are in USER_HZ.
    let at = |n: usize| info.u32(n * 4).unwrap_or(0);
    if at(2) != 0 {
        let _ = write!(out, "expires {}sec ", at(2).cast_signed() / 100);
    }
    if at(3) != 0 {
        let _ = write!(out, "error {} ", at(3));
    }
    if at(5) != 0 {
        let _ = write!(out, "ipid {:#06x} ", at(5));
    }
    if at(6) != 0 || at(7) != 0 {
        let _ = write!(out, "ts {:#x}tsage {}sec ", at(6), at(7));
    }
}

/// One route, with the lines of its next hops.
fn route(out: &mut String, payload: &[u8], devices: &Devices, names: &Names) -> Option<()> {
    let attributes = payload.get(HEADER..)?;
    let [family, dst_len, src_len, tos, table, protocol, scope, kind] = *payload.first_chunk()?;
    let route_flags = payload.u32(8)?;
    if route_flags & CLONED != 0 {
        return None;
    }
    let tb = RouteAttributes::of(attributes);
    let table = tb.u32(15).unwrap_or(table.into());
    if kind != 1 {
        let _ = write!(out, "{} ", type_name(kind));
    }
    // Multicast routes of the kernel's forwarding cache have families of their own (`get_real_family`).
    let of = match family {
        128 => AF_INET,
        129 => AF_INET6,
        f => f,
    };
    match tb.get(1) {
        Some(dst) => address(out, of, dst, dst_len),
        None if dst_len != 0 => {
            let _ = write!(out, "0/{dst_len}  ");
        }
        None => out.push_str("default "),
    }
    match tb.get(2) {
        Some(src) => {
            out.push_str("from ");
            address(out, of, src, src_len);
        }
        None if src_len != 0 => {
            let _ = write!(out, "from 0/{src_len} ");
        }
        None => {}
    }
    if let Some(id) = tb.u32(30) {
        let _ = write!(out, "nhid {id} ");
    }
    if let Some(d) = tb.get(NEWDST) {
        new_destination(out, family, d);
    }
    if let Some(e) = tb.get(ENCAP) {
        encap::print(out, tb.u16(ENCAP_TYPE), e, devices, names);
    }
    if tos != 0 {
        let _ = write!(out, "tos {} ", names.field(tos));
    }
    if let Some(g) = tb.get(GATEWAY) {
        let _ = write!(out, "via {} ", host(family, g));
    }
    if let Some(v) = tb.get(VIA) {
        via(out, v);
    }
    if let Some(oif) = tb.u32(OIF) {
        let _ = write!(out, "dev {} ", devices.name(oif));
    }
    if table != 0 && table != MAIN {
        let _ = write!(out, "table {} ", names.table(table));
    }
    // RTPROT_BOOT is what a command that says nothing gives.
    if protocol != 3 {
        let _ = write!(out, "proto {} ", names.protocol(protocol));
    }
    if scope != 0 {
        let _ = write!(out, "scope {} ", names.scope(scope));
    }
    if let Some(src) = tb.get(7) {
        let _ = write!(out, "src {} ", host(family, src));
    }
    if let Some(metric) = tb.u32(6) {
        let _ = write!(out, "metric {metric} ");
    }
    flags(out, route_flags);
    match tb.u32(16) {
        None | Some(0) => {}
        Some(mark) if mark >= 16 => {
            let _ = write!(out, "mark {mark:#x} ");
        }
        Some(mark) => {
            let _ = write!(out, "mark {mark} ");
        }
    }
    if let Some(f) = tb.u32(FLOW) {
        realms(out, f, names);
    }
    if let Some(uid) = tb.u32(25) {
        let _ = write!(out, "uid {uid} ");
    }
    if matches!(family, AF_INET | AF_INET6)
        && let Some(info) = tb.get(12)
    {
        cache_info(out, info);
    }
    if let Some(m) = tb.get(8) {
        metrics(out, m);
    }
    if let Some(iif) = tb.u32(3) {
        let _ = write!(out, "iif {} ", devices.name(iif));
    }
    match tb.u8(20) {
        Some(0) => out.push_str("pref medium"),
        Some(1) => out.push_str("pref high"),
        Some(3) => out.push_str("pref low"),
        Some(n) => {
            let _ = write!(out, "{n}");
        }
        None => {}
    }
    if let Some(on) = tb.u8(26) {
        let word = if on == 0 { "disabled" } else { "enabled" };
        let _ = write!(out, "ttl-propogate {word}");
    }
    if let Some(hops) = find(attributes, 9) {
        multipath(out, family, hops, devices, names);
    }
    out.push('\n');
    Some(())
}
