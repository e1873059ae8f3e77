//! Options of tunnels: the `print_opt` functions of iproute2 `ip/link_*.c`, `ip/iplink_vxlan.c` and `ip/iplink_geneve.c`.

use super::super::attr::Numbers as _;
use super::text::{AF_INET, AF_INET6, Attributes, Devices, Hex, address, host};
use std::fmt::Write as _;
use std::net::IpAddr;

type Data<'a> = Attributes<'a, 32>;

/// `remote 10.0.0.1 ` or `remote any `: `tnl_print_endpoint` of ip/tunnel.c.
fn endpoint(out: &mut String, word: &str, family: u8, bytes: Option<&[u8]>) {
    match bytes.and_then(|b| address(family, b)) {
        Some(a) if !a.is_unspecified() => {
            let _ = write!(out, "{word} {} ", super::text::Host(Some(a)));
        }
        _ => {
            let _ = write!(out, "{word} any ");
        }
    }
}

fn device(out: &mut String, index: Option<u32>, devices: &Devices) {
    if let Some(index) = index.filter(|i| *i != 0) {
        let _ = write!(out, "dev {} ", devices.name(index));
    }
}

/// `tos 0x10 `, `tos inherit `; nothing for 0.
fn tos(out: &mut String, tos: Option<u8>) {
    match tos.unwrap_or(0) {
        0 => {}
        1 => out.push_str("tos inherit "),
        n => {
            let _ = write!(out, "tos {n:#x} ");
        }
    }
}

/// `ttl 64 `, or the word for 0.
fn ttl(out: &mut String, word: &str, ttl: Option<u8>, none: &str) {
    match ttl.unwrap_or(0) {
        0 => {
            let _ = write!(out, "{word} {none} ");
        }
        n => {
            let _ = write!(out, "{word} {n} ");
        }
    }
}

fn mark(out: &mut String, mark: Option<u32>) {
    if let Some(mark) = mark.filter(|m| *m != 0) {
        let _ = write!(out, "fwmark {mark:#x} ");
    }
}

/// `udpcsum ` or `noudpcsum `.
fn yes_or_no(out: &mut String, word: &str, value: Option<u8>) {
    if let Some(on) = value {
        if on == 0 {
            out.push_str("no");
        }
        let _ = write!(out, "{word} ");
    }
}

/// `IFLA_*_ENCAP_TYPE` and the three behind it: `tnl_print_encap` of ip/tunnel.c.
fn encap(out: &mut String, tb: &Data<'_>, first: u16) {
    let kind = match tb.u16(first) {
        None | Some(0) => return,
        Some(1) => "fou",
        Some(2) => "gue",
        Some(_) => "unknown",
    };
    let port = |attr| tb.get(attr).and_then(|b| b.be16(0)).unwrap_or(0);
    let flags = tb.u16(first + 1).unwrap_or(0);
    let _ = write!(out, "encap {kind} ");
    match port(first + 2) {
        0 => out.push_str("encap-sport auto "),
        n => {
            let _ = write!(out, "encap-sport {n} ");
        }
    }
    let _ = write!(out, "encap-dport {} ", port(first + 3));
    for (bit, word) in ["encap-csum", "encap-csum6", "encap-remcsum"]
        .iter()
        .enumerate()
    {
        let no = if flags >> bit & 1 == 0 { "no" } else { "" };
        let _ = write!(out, "{no}{word} ");
    }
}

/// `ipip` and `sit`: `IFLA_IPTUN_*`.
pub(super) fn ip(out: &mut String, data: &[u8], devices: &Devices) {
    let tb = Data::of(data);
    if tb.get(19).is_some() {
        out.push_str("external ");
    }
    match tb.u8(9) {
        Some(4) => out.push_str("ipip "),
        Some(41) => out.push_str("ip6ip "),
        Some(137) => out.push_str("mplsip "),
        Some(0) => out.push_str("any "),
        _ => {}
    }
    endpoint(out, "remote", AF_INET, tb.get(3));
    endpoint(out, "local", AF_INET, tb.get(2));
    device(out, tb.u32(1), devices);
    ttl(out, "ttl", tb.u8(4), "inherit");
    tos(out, tb.u8(5));
    out.push_str(if tb.on(10) {
        "pmtudisc "
    } else {
        "nopmtudisc "
    });
    if tb.u16(8).unwrap_or(0) & 1 != 0 {
        out.push_str("isatap ");
    }
    if let Some(len) = tb.u16(13).filter(|n| *n != 0) {
        let prefix = tb.get(11).unwrap_or_default();
        let _ = write!(out, "6rd-prefix {}/{len} ", host(AF_INET6, prefix));
        let relay = tb.get(12).unwrap_or_default();
        if relay.u32(0).is_some_and(|r| r != 0) {
            let len = tb.u16(14).unwrap_or(0);
            let _ = write!(out, "6rd-relay_prefix {}/{len} ", host(AF_INET, relay));
        }
    }
    mark(out, tb.u32(20));
    encap(out, &tb, 15);
}

/// What IPv6 tunnels and IPv6 GRE have alike, with the numbers of their attributes.
struct SixInFront {
    ttl: u16,
    limit: u16,
    flow: u16,
    flags: u16,
}

/// `IP6_TNL_F_*` of `linux/ip6_tunnel.h`.
fn ip6_options(out: &mut String, tb: &Data<'_>, at: &SixInFront) {
    let flags = tb.u32(at.flags).unwrap_or(0);
    ttl(out, "hoplimit", tb.u8(at.ttl), "inherit");
    if flags & 1 != 0 {
        out.push_str("encaplimit none ");
    } else if let Some(n) = tb.u8(at.limit) {
        let _ = write!(out, "encaplimit {n} ");
    }
    let flow = tb.get(at.flow).and_then(|b| b.be32(0));
    if flags & 2 != 0 {
        out.push_str("tclass inherit ");
    } else if let Some(f) = flow {
        let _ = write!(out, "tclass {:#04x} ", (f & 0x0ff0_0000) >> 20);
    }
    if flags & 4 != 0 {
        out.push_str("flowlabel inherit ");
    } else if let Some(f) = flow {
        let _ = write!(out, "flowlabel {:#07x} ", f & 0x000f_ffff);
    }
    if flags & 0x10 != 0 {
        out.push_str("dscp inherit ");
    }
}

fn ip6_mark(out: &mut String, flags: u32, value: Option<u32>) {
    if flags & 0x40 != 0 {
        out.push_str("allow-localremote ");
    }
    if flags & 0x20 != 0 {
        out.push_str("fwmark inherit ");
    } else {
        mark(out, value);
    }
}

/// `ip6tnl`: `IFLA_IPTUN_*`.
pub(super) fn ip6(out: &mut String, data: &[u8], devices: &Devices) {
    let tb = Data::of(data);
    let flags = tb.u32(8).unwrap_or(0);
    if tb.get(19).is_some() {
        out.push_str("external ");
    }
    match tb.u8(9) {
        Some(4) => out.push_str("ipip6 "),
        Some(41) => out.push_str("ip6ip6 "),
        Some(0) => out.push_str("any "),
        _ => {}
    }
    endpoint(out, "remote", AF_INET6, tb.get(3));
    endpoint(out, "local", AF_INET6, tb.get(2));
    device(out, tb.u32(1), devices);
    let at = SixInFront {
        ttl: 4,
        limit: 6,
        flow: 7,
        flags: 8,
    };
    ip6_options(out, &tb, &at);
    if flags & 8 != 0 {
        out.push_str("mip6 ");
    }
    ip6_mark(out, flags, tb.u32(20));
    encap(out, &tb, 15);
}

/// The keys and flags of GRE (`GRE_KEY`, `GRE_SEQ`, `GRE_CSUM` of `linux/if_tunnel.h`, network order).
fn gre_flags(out: &mut String, tb: &Data<'_>) {
    let flags = |attr| tb.get(attr).and_then(|b| b.be16(0)).unwrap_or(0);
    let (i, o) = (flags(2), flags(3));
    for (on, attr, word) in [(i, 4, "ikey"), (o, 5, "okey")] {
        if on & 0x2000 != 0
            && let Some(key) = tb.get(attr)
        {
            let _ = write!(out, "{word} {} ", host(AF_INET, key));
        }
    }
    for (on, bit, word) in [
        (i, 0x1000, "iseq "),
        (o, 0x1000, "oseq "),
        (i, 0x8000, "icsum "),
        (o, 0x8000, "ocsum "),
    ] {
        if on & bit != 0 {
            out.push_str(word);
        }
    }
}

fn erspan(out: &mut String, tb: &Data<'_>) {
    if let Some(n) = tb.u32(21) {
        let _ = write!(out, "erspan_index {n} ");
    }
    if let Some(n) = tb.u8(22) {
        let _ = write!(out, "erspan_ver {n} ");
    }
    if let Some(n) = tb.u8(23) {
        let way = if n == 0 { "ingress" } else { "egress" };
        let _ = write!(out, "erspan_dir {way} ");
    }
    if let Some(n) = tb.u16(24) {
        let _ = write!(out, "erspan_hwid {} ", Hex(n.into()));
    }
}

/// `gre` and its like: `IFLA_GRE_*`.
pub(super) fn gre(out: &mut String, data: &[u8], devices: &Devices) {
    let tb = Data::of(data);
    if tb.get(18).is_some() {
        out.push_str("external ");
    }
    endpoint(out, "remote", AF_INET, tb.get(7));
    endpoint(out, "local", AF_INET, tb.get(6));
    device(out, tb.u32(1), devices);
    ttl(out, "ttl", tb.u8(8), "inherit");
    tos(out, tb.u8(9));
    if tb.u8(10) == Some(0) {
        out.push_str("nopmtudisc ");
    }
    if tb.on(19) {
        out.push_str("ignore-df ");
    }
    gre_flags(out, &tb);
    mark(out, tb.u32(20));
    erspan(out, &tb);
    encap(out, &tb, 14);
}

/// `ip6gre` and its like.
pub(super) fn gre6(out: &mut String, data: &[u8], devices: &Devices) {
    let tb = Data::of(data);
    if tb.get(18).is_some() {
        out.push_str("external ");
    }
    endpoint(out, "remote", AF_INET6, tb.get(7));
    endpoint(out, "local", AF_INET6, tb.get(6));
    device(out, tb.u32(1), devices);
    let at = SixInFront {
        ttl: 8,
        limit: 11,
        flow: 12,
        flags: 13,
    };
    ip6_options(out, &tb, &at);
    gre_flags(out, &tb);
    ip6_mark(out, tb.u32(13).unwrap_or(0), tb.u32(20));
    erspan(out, &tb);
    encap(out, &tb, 14);
}

/// `vti` and `vti6`: `IFLA_VTI_*`.
pub(super) fn vti(out: &mut String, data: &[u8], v6: bool, devices: &Devices) {
    let tb = Data::of(data);
    let family = if v6 { AF_INET6 } else { AF_INET };
    endpoint(out, "remote", family, tb.get(5));
    endpoint(out, "local", family, tb.get(4));
    device(out, tb.u32(1), devices);
    for (attr, word) in [(2, "ikey"), (3, "okey")] {
        if tb.u32(attr).is_some_and(|k| k != 0) {
            let key = tb.get(attr).unwrap_or_default();
            let _ = write!(out, "{word} {} ", host(AF_INET, key));
        }
    }
    mark(out, tb.u32(6));
}

/// An address of VXLAN or GENEVE, if it says anything.
fn told(tb: &Data<'_>, v4: u16, v6: u16) -> Option<IpAddr> {
    let a = match (tb.get(v4), tb.get(v6)) {
        (Some(b), _) => address(AF_INET, b),
        (None, b) => address(AF_INET6, b?),
    };
    a.filter(|a| !a.is_unspecified())
}

fn fragment(out: &mut String, df: Option<u8>) {
    match df {
        Some(1) => out.push_str("df set "),
        Some(2) => out.push_str("df inherit "),
        _ => {}
    }
}

/// `vxlan`: `IFLA_VXLAN_*`.
pub(super) fn vxlan(out: &mut String, data: &[u8], devices: &Devices) {
    let tb = Data::of(data);
    if tb.on(25) {
        out.push_str("external ");
    }
    if tb.on(30) {
        out.push_str("vnifilter");
    }
    if let Some(id) = tb.u32(1) {
        let _ = write!(out, "id {id} ");
    }
    if let Some(a) = told(&tb, 2, 16) {
        let word = if a.is_multicast() { "group" } else { "remote" };
        let _ = write!(out, "{word} {} ", super::text::Host(Some(a)));
    }
    if let Some(a) = told(&tb, 4, 17) {
        let _ = write!(out, "local {} ", super::text::Host(Some(a)));
    }
    device(out, tb.u32(3), devices);
    if let Some(range) = tb.get(10) {
        let (low, high) = (range.be16(0).unwrap_or(0), range.be16(2).unwrap_or(0));
        let _ = write!(out, "srcport {low} {high} ");
    }
    if let Some(port) = tb.get(15).and_then(|b| b.be16(0)) {
        let _ = write!(out, "dstport {port} ");
    }
    if tb.u8(7) == Some(0) {
        out.push_str("nolearning ");
    }
    for (attr, word) in [
        (11, "proxy "),
        (12, "rsc "),
        (13, "l2miss "),
        (14, "l3miss "),
    ] {
        if tb.on(attr) {
            out.push_str(word);
        }
    }
    tos(out, tb.u8(6));
    if tb.on(28) {
        out.push_str("ttl inherit ");
    } else if tb.get(5).is_some() {
        ttl(out, "ttl", tb.u8(5), "auto");
    }
    fragment(out, tb.u8(29));
    if let Some(label) = tb.get(26).and_then(|b| b.be32(0)).filter(|l| *l != 0) {
        let _ = write!(out, "flowlabel {label:#x} ");
    }
    match tb.u32(8) {
        Some(0) => out.push_str("ageing none "),
        Some(n) => {
            let _ = write!(out, "ageing {n} ");
        }
        None => {}
    }
    if let Some(n) = tb.u32(9).filter(|n| *n != 0) {
        let _ = write!(out, "maxaddr {n} ");
    }
    yes_or_no(out, "udpcsum", tb.u8(18));
    yes_or_no(out, "udp6zerocsumtx", tb.u8(19));
    yes_or_no(out, "udp6zerocsumrx", tb.u8(20));
    for (attr, word) in [(21, "remcsumtx "), (22, "remcsumrx ")] {
        if tb.on(attr) {
            out.push_str(word);
        }
    }
    for (attr, word) in [(23, "gbp "), (27, "gpe ")] {
        if tb.get(attr).is_some() {
            out.push_str(word);
        }
    }
}

/// `geneve`: `IFLA_GENEVE_*`.
pub(super) fn geneve(out: &mut String, data: &[u8]) {
    let tb = Data::of(data);
    if tb.get(6).is_some() {
        out.push_str("external ");
    }
    if let Some(id) = tb.u32(1) {
        let _ = write!(out, "id {id} ");
    }
    if let Some(a) = told(&tb, 2, 7).filter(|a| a.is_ipv4() || !a.is_multicast()) {
        let _ = write!(out, "remote {} ", super::text::Host(Some(a)));
    }
    if tb.on(12) {
        out.push_str("ttl inherit ");
    } else if tb.get(3).is_some() {
        ttl(out, "ttl", tb.u8(3), "auto");
    }
    tos(out, tb.u8(4));
    fragment(out, tb.u8(13));
    if let Some(label) = tb.get(11).and_then(|b| b.be32(0)).filter(|l| *l != 0) {
        let _ = write!(out, "flowlabel {label:#x} ");
    }
    if let Some(port) = tb.get(5).and_then(|b| b.be16(0)) {
        let _ = write!(out, "dstport {port} ");
    }
    yes_or_no(out, "udpcsum", tb.u8(8));
    yes_or_no(out, "udp6zerocsumtx", tb.u8(9));
    yes_or_no(out, "udp6zerocsumrx", tb.u8(10));
    if tb.get(14).is_some() {
        out.push_str("innerprotoinherit ");
    }
}
