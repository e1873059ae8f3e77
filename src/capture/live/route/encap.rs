//! Encapsulations of routes and next hops: `ip/iproute_lwtunnel.c` of iproute2.

use super::super::attr::Numbers as _;
use super::names::Names;
use super::text::{AF_INET, AF_INET6, Attributes, Devices, Hex, host, line};
use std::fmt::Write as _;

type Data<'a> = Attributes<'a, 16>;

/// ` encap ip id 5 src ... `; nothing where the type is not told.
pub(super) fn print(
    out: &mut String,
    kind: Option<u16>,
    data: &[u8],
    devices: &Devices,
    names: &Names,
) {
    let Some(kind) = kind else { return };
    // `LWTUNNEL_ENCAP_*` of linux/lwtunnel.h.
    let name = match kind {
        1 => "mpls",
        2 => "ip",
        3 => "ila",
        4 => "ip6",
        5 => "seg6",
        6 => "bpf",
        7 => "seg6local",
        8 => "rpl",
        9 => "ioam6",
        10 => "xfrm",
        _ => "unknown",
    };
    let _ = write!(out, " encap {name} ");
    let tb = Data::of(data);
    match kind {
        1 => mpls(out, &tb),
        2 => ip(out, &tb, AF_INET, ["ttl", "tos"]),
        3 => ila(out, &tb),
        4 => ip(out, &tb, AF_INET6, ["hoplimit", "tc"]),
        5 => seg6(out, &tb),
        6 => bpf(out, &tb),
        7 => seg6_local(out, &tb, devices, names),
        8 => rpl(out, &tb),
        9 => ioam6(out, &tb),
        10 => {
            if let Some(id) = tb.u32(1) {
                let _ = write!(out, "if_id {id} ");
            }
            if let Some(link) = tb.u32(2) {
                let _ = write!(out, "link_dev {} ", devices.name(link));
            }
        }
        _ => {}
    }
}

/// `100/200`: a stack of MPLS labels (`mpls_ntop` of `lib/mpls_ntop.c`).
pub(super) fn labels(bytes: &[u8]) -> String {
    let mut out = String::new();
    for entry in bytes.chunks_exact(4) {
        let entry = entry.be32(0).unwrap_or(0);
        let _ = write!(out, "{}", entry >> 12);
        if entry & 0x100 != 0 {
            break;
        }
        out.push('/');
    }
    out
}

fn mpls(out: &mut String, tb: &Data<'_>) {
    if let Some(dst) = tb.get(1) {
        let _ = write!(out, " {} ", labels(dst));
    }
    if let Some(ttl) = tb.u8(2) {
        let _ = write!(out, "ttl {ttl} ");
    }
}

/// `LWTUNNEL_IP_*`: id, dst, src, and two whose names differ by family, then flags and options. The numbers of the two differ as well:
/// `LWTUNNEL_IP6_HOPLIMIT` is 4 and `LWTUNNEL_IP6_TC` 5, as `LWTUNNEL_IP_TTL` and `LWTUNNEL_IP_TOS` are.
fn ip(out: &mut String, tb: &Data<'_>, family: u8, words: [&str; 2]) {
    if let Some(id) = tb.get(1).and_then(|b| b.be64(0)) {
        let _ = write!(out, "id {id} ");
    }
    for (attr, word) in [(3, "src"), (2, "dst")] {
        if let Some(a) = tb.get(attr) {
            let _ = write!(out, "{word} {} ", host(family, a));
        }
    }
    for (attr, word) in [4, 5].into_iter().zip(words) {
        if let Some(n) = tb.u8(attr) {
            let _ = write!(out, "{word} {n} ");
        }
    }
    if let Some(flags) = tb.get(6).and_then(|b| b.u16(0)) {
        // `TUNNEL_KEY`, `TUNNEL_CSUM`, `TUNNEL_SEQ` of linux/if_tunnel.h are in network order.
        let flags = u16::from_be(flags);
        for (bit, word) in [(0x0004, "key "), (0x0001, "csum "), (0x0008, "seq ")] {
            if flags & bit != 0 {
                out.push_str(word);
            }
        }
    }
    if let Some(options) = tb.get(8) {
        tunnel_options(out, options);
    }
}

/// `LWTUNNEL_IP_OPTS_*`; each stands on a line of its own.
fn tunnel_options(out: &mut String, bytes: &[u8]) {
    let tb = Attributes::<4>::of(bytes);
    if let Some(geneve) = tb.get(1) {
        out.push_str("\n\tgeneve_opts ");
        // One after the other without a frame: class, type, data.
        let mut separator = "";
        let mut list = super::super::attr::attrs(geneve).peekable();
        while list.peek().is_some() {
            let mut class = 0;
            let mut kind = 0;
            let mut data = String::new();
            for (attr, value) in list.by_ref() {
                match attr {
                    1 => class = value.be16(0).unwrap_or(0),
                    2 => kind = value.u8(0).unwrap_or(0),
                    _ => {
                        for b in value {
                            let _ = write!(data, "{b:02x}");
                        }
                        break;
                    }
                }
            }
            let _ = write!(out, "{separator}{class}:{kind}:{data}");
            separator = ",";
        }
        out.push(' ');
    } else if let Some(vxlan) = tb.get(2) {
        let gbp = Attributes::<2>::of(vxlan).u32(1).unwrap_or(0);
        let _ = write!(out, "\n\tvxlan_opts {gbp} ");
    } else if let Some(erspan) = tb.get(3) {
        let tb = Attributes::<5>::of(erspan);
        let ver = tb.u8(1).unwrap_or(0);
        let index = tb.get(2).and_then(|b| b.be32(0)).unwrap_or(0);
        let (dir, hwid) = (tb.u8(3).unwrap_or(0), tb.u8(4).unwrap_or(0));
        let _ = write!(out, "\n\terspan_opts {ver}:{index}:{dir}:{hwid} ");
    }
}

fn ila(out: &mut String, tb: &Data<'_>) {
    if let Some(b) = tb.get(1) {
        let words: Vec<String> = b
            .chunks_exact(2)
            .take(4)
            .map(|w| format!("{:x}", w.be16(0).unwrap_or(0)))
            .collect();
        let _ = write!(out, " {} ", words.join(":"));
    }
    for (attr, word, values) in [
        (
            7,
            "csum-mode",
            &[
                "adj-transport",
                "neutral-map",
                "no-action",
                "neutral-map-auto",
            ][..],
        ),
        (
            8,
            "ident-type",
            &[
                "use-format",
                "luid",
                "virt-v4",
                "virt-uni-v6",
                "virt-multi-v6",
                "nonlocal-addr",
            ],
        ),
        (9, "hook-type", &["output", "input"]),
    ] {
        if let Some(n) = tb.u8(attr) {
            let value = values.get(usize::from(n)).unwrap_or(&"unknown");
            let _ = write!(out, " {word} {value} ");
        }
    }
}

/// `struct ipv6_sr_hdr`: eight bytes, then the segments, the last one first.
fn segments(out: &mut String, header: &[u8]) {
    let Some(first) = header.u8(4) else { return };
    let list = header.get(8..).unwrap_or_default();
    let _ = write!(out, "segs {} [ ", u16::from(first) + 1);
    for i in (0..=usize::from(first)).rev() {
        if let Some(a) = list.get(i * 16..) {
            let _ = write!(out, "{} ", host(AF_INET6, a));
        }
    }
    out.push_str("] ");
    // SR6_FLAG1_HMAC; its TLV stands at the end.
    if header.u8(5).is_some_and(|f| f & 8 != 0) {
        let len = (usize::from(header.u8(1).unwrap_or(0)) + 1) * 8;
        let key = len.checked_sub(40 - 4).and_then(|at| header.be32(at));
        let _ = write!(out, "hmac {:#X} ", key.unwrap_or(0));
    }
}

fn seg6(out: &mut String, tb: &Data<'_>) {
    let Some(info) = tb.get(1) else { return };
    let names = ["inline", "encap", "l2encap", "encap.red", "l2encap.red"];
    let mode = info.u32(0).and_then(|n| usize::try_from(n).ok());
    let mode = mode.and_then(|n| names.get(n)).unwrap_or(&"<unknown>");
    let _ = write!(out, "mode {mode} ");
    segments(out, info.get(4..).unwrap_or_default());
}

fn program(out: &mut String, word: &str, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return };
    let _ = write!(out, "{word} ");
    if let Some(name) = Attributes::<3>::of(bytes).get(2) {
        let _ = write!(out, "{} ", line(name));
    }
}

fn bpf(out: &mut String, tb: &Data<'_>) {
    program(out, "in", tb.get(1));
    program(out, "out", tb.get(2));
    program(out, "xmit", tb.get(3));
    if let Some(n) = tb.u32(4) {
        let _ = write!(out, " {n} ");
    }
}

const ACTIONS: [&str; 17] = [
    "<unknown>",
    "End",
    "End.X",
    "End.T",
    "End.DX2",
    "End.DX6",
    "End.DX4",
    "End.DT6",
    "End.DT4",
    "End.B6",
    "End.B6.Encaps",
    "End.BM",
    "End.S",
    "End.AS",
    "End.AM",
    "End.BPF",
    "End.DT46",
];

fn seg6_local(out: &mut String, tb: &Data<'_>, devices: &Devices, names: &Names) {
    let Some(action) = tb.u32(1) else { return };
    let name = usize::try_from(action).ok().and_then(|n| ACTIONS.get(n));
    let _ = write!(out, "action {} ", name.unwrap_or(&"<invalid>"));
    if let Some(header) = tb.get(2) {
        segments(out, header);
    }
    for (attr, word) in [(3, "table"), (9, "vrftable")] {
        if let Some(n) = tb.u32(attr) {
            let _ = write!(out, "{word} {} ", names.table(n));
        }
    }
    if let Some(a) = tb.get(4) {
        let _ = write!(out, "nh4 {} ", host(AF_INET, a));
    }
    if let Some(a) = tb.get(5) {
        let _ = write!(out, "nh6 {} ", host(AF_INET6, a));
    }
    for (attr, word) in [(6, "iif"), (7, "oif")] {
        if let Some(n) = tb.u32(attr) {
            let _ = write!(out, "{word} {} ", devices.name(n));
        }
    }
    program(out, "endpoint", tb.get(8));
}

/// `struct ipv6_rpl_sr_hdr`: eight bytes, then the segments.
fn rpl(out: &mut String, tb: &Data<'_>) {
    let Some(header) = tb.get(1) else { return };
    let left = usize::from(header.u8(3).unwrap_or(0));
    let list = header.get(8..).unwrap_or_default();
    let _ = write!(out, "segs {left} [ ");
    for i in (0..left).rev() {
        if let Some(a) = list.get(i * 16..) {
            let _ = write!(out, "{} ", host(AF_INET6, a));
        }
    }
    out.push_str("] ");
}

/// `IOAM6_IPTUNNEL_*`.
fn ioam6(out: &mut String, tb: &Data<'_>) {
    let (Some(mode), Some(trace), Some(k), Some(n)) = (tb.u8(1), tb.get(3), tb.u32(4), tb.u32(5))
    else {
        return;
    };
    let _ = write!(out, "freq {k}/{n} ");
    let name = ["<unknown>", "inline", "encap", "auto"]
        .get(usize::from(mode))
        .unwrap_or(&"<unknown>");
    if mode != 1 && tb.get(2).is_none() {
        return;
    }
    let _ = write!(out, "mode {name} ");
    if mode != 1
        && let Some(dst) = tb.get(2)
    {
        let _ = write!(out, "tundst {} ", host(AF_INET6, dst));
    }
    // `struct ioam6_trace_hdr`: namespace, bits with the remaining length, type.
    let kind = trace.be32(4).unwrap_or(0) >> 8;
    let remaining = u32::from(trace.u8(3).unwrap_or(0) & 0x7f) * 4;
    let _ = write!(
        out,
        "trace prealloc type {} ns {} size {remaining} ",
        Hex(kind.into()),
        trace.be16(0).unwrap_or(0)
    );
}
