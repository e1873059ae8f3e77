//! `ip -d addr`: `print_linkinfo` and `print_addrinfo` in iproute2 ip/ipaddress.c.

use super::super::attr::{Numbers as _, attrs};
use super::dump::Message;
use super::kinds;
use super::names::Names;
use super::text::{
    AF_INET, AF_INET6, Attributes, Device, Devices, hardware, host, line, link_type,
};
use std::collections::HashMap;
use std::fmt::Write as _;

/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
/// `RTM_NEWLINK`.
const NEWLINK: u16 = 16;
/// `RTM_NEWADDR`.
const NEWADDR: u16 = 20;

/// `IFLA_*`, up to the highest that is printed.
type LinkAttributes<'a> = Attributes<'a, 64>;

const ADDRESS: u16 = 1;
const BROADCAST: u16 = 2;
const IFNAME: u16 = 3;
const MTU: u16 = 4;
const LINK: u16 = 5;
const QDISC: u16 = 6;
const MASTER: u16 = 10;
const TXQLEN: u16 = 13;
const OPERSTATE: u16 = 16;
const LINKINFO: u16 = 18;
const IFALIAS: u16 = 20;
const GROUP: u16 = 27;
const LINK_NETNSID: u16 = 37;
const PROTO_DOWN: u16 = 39;
const XDP: u16 = 43;
const PROP_LIST: u16 = 52;
const ALT_IFNAME: u16 = 53;
const PERM_ADDRESS: u16 = 54;

/// Names of the devices in a dump.
pub(crate) fn devices(links: &[Message]) -> Devices {
    let mut all = HashMap::with_capacity(links.len());
    for m in links.iter().filter(|m| m.kind == NEWLINK) {
        let (Some(kind), Some(index), Some(flags)) =
            (m.payload.u16(2), m.payload.u32(4), m.payload.u32(8))
        else {
            continue;
        };
        let tb = LinkAttributes::of(m.payload.get(LINK_HEADER..).unwrap_or_default());
        if let Some(name) = tb.get(IFNAME) {
            let name = line(name);
            all.insert(index, Device { name, flags, kind });
        }
    }
    Devices(all)
}

/// Whether any device's peer is in another namespace, which may have a name.
pub(crate) fn name_other_namespaces(links: &[Message]) -> bool {
    links.iter().any(|m| {
        let tb = LinkAttributes::of(m.payload.get(LINK_HEADER..).unwrap_or_default());
        tb.get(LINK_NETNSID).is_some()
    })
}

/// `ip -d addr`.
pub(crate) fn print(
    links: &[Message],
    addresses: &[Message],
    devices: &Devices,
    namespaces: &HashMap<i32, String>,
    names: &Names,
) -> String {
    let mut of_link: HashMap<u32, Vec<&[u8]>> = HashMap::new();
    for m in addresses.iter().filter(|m| m.kind == NEWADDR) {
        if let Some(index) = m.payload.u32(4) {
            of_link.entry(index).or_default().push(&m.payload);
        }
    }
    let mut out = String::with_capacity(links.len() * 600 + addresses.len() * 120);
    for m in links.iter().filter(|m| m.kind == NEWLINK) {
        let Some(index) = link(&mut out, &m.payload, devices, namespaces, names) else {
            continue;
        };
        for a in of_link.get(&index).into_iter().flatten() {
            address(&mut out, a, names);
        }
    }
    out
}

/// One device; gives its index.
fn link(
    out: &mut String,
    payload: &[u8],
    devices: &Devices,
    namespaces: &HashMap<i32, String>,
    names: &Names,
) -> Option<u32> {
    let (kind, index, flags) = (payload.u16(2)?, payload.u32(4)?, payload.u32(8)?);
    let tb = LinkAttributes::of(payload.get(LINK_HEADER..)?);
    let name = line(tb.get(IFNAME)?);
    let _ = write!(out, "{index}: {name}");
    let mut lower_is_down = false;
    if let Some(lower) = tb.u32(LINK) {
        if lower == 0 {
            out.push_str("@NONE");
        } else if tb.get(LINK_NETNSID).is_some() {
            let _ = write!(out, "@if{lower}");
        } else {
            let _ = write!(out, "@{}", devices.name(lower));
            lower_is_down = devices.0.get(&lower).is_none_or(|d| d.flags & IFF_UP == 0);
        }
    }
    out.push_str(": ");
    flag_list(out, flags, lower_is_down);
    if let Some(mtu) = tb.u32(MTU) {
        let _ = write!(out, "mtu {mtu} ");
    }
    let xdp = tb.get(XDP).and_then(Xdp::read);
    if let Some(x) = &xdp {
        out.push_str(x.mode_name());
        if x.id != 0 {
            let _ = write!(out, "/id:{}", x.id);
        }
        out.push(' ');
    }
    if let Some(q) = tb.get(QDISC) {
        let _ = write!(out, "qdisc {} ", line(q));
    }
    if let Some(master) = tb.u32(MASTER) {
        let _ = write!(out, "master {} ", devices.name(master));
    }
    if let Some(state) = tb.u8(OPERSTATE) {
        match OPER_STATES.get(usize::from(state)) {
            Some(s) => {
                let _ = write!(out, "state {s} ");
            }
            None => {
                let _ = write!(out, "state {state:#x}");
            }
        }
    }
    if let Some(group) = tb.u32(GROUP) {
        let _ = write!(out, "group {} ", names.group(group));
    }
    if let Some(qlen) = tb.u32(TXQLEN).filter(|n| *n != 0) {
        let _ = write!(out, "qlen {qlen}");
    }
    out.push_str("\n    link/");
    link_type(out, kind);
    out.push(' ');
    if let Some(a) = tb.get(ADDRESS) {
        hardware(out, a, kind);
    }
    if let Some(b) = tb.get(BROADCAST) {
        out.push_str(if flags & IFF_POINTOPOINT == 0 {
            " brd "
        } else {
            " peer "
        });
        hardware(out, b, kind);
    }
    if let Some(p) = tb.get(PERM_ADDRESS).filter(|p| tb.get(ADDRESS) != Some(*p)) {
        out.push_str(" permaddr ");
        hardware(out, p, kind);
    }
    if let Some(id) = tb.u32(LINK_NETNSID) {
        let id = id.cast_signed();
        match namespaces.get(&id) {
            Some(name) if id >= 0 => {
                let _ = write!(out, " link-netns {name}");
            }
            None if id >= 0 => {
                let _ = write!(out, " link-netnsid {id}");
            }
            _ => out.push_str(" link-netnsid unknown"),
        }
    }
    if tb.on(PROTO_DOWN) {
        out.push_str(" protodown on ");
    }
    for (attr, word) in [
        (30, " promiscuity"),
        (61, " allmulti"),
        (50, "minmtu"),
        (51, "maxmtu"),
    ] {
        if let Some(n) = tb.u32(attr) {
            let _ = write!(out, "{word} {n} ");
        }
    }
    if let Some(info) = tb.get(LINKINFO) {
        kinds::print(out, info, devices, names);
    }
    for (attr, word) in [
        (31, "numtxqueues"),
        (32, "numrxqueues"),
        (41, "gso_max_size"),
        (40, "gso_max_segs"),
        (59, "tso_max_size"),
        (60, "tso_max_segs"),
        (58, "gro_max_size"),
    ] {
        if let Some(n) = tb.u32(attr) {
            let _ = write!(out, "{word} {n} ");
        }
    }
    for (attr, word) in [(38, "portname"), (57, "parentbus"), (56, "parentdev")] {
        if let Some(text) = tb.get(attr) {
            let _ = write!(out, "{word} {} ", line(text));
        }
    }
    if let Some(alias) = tb.get(IFALIAS) {
        let _ = write!(out, "\n    alias {}", line(alias));
    }
    if let Some(x) = &xdp {
        x.details(out);
    }
    for (k, v) in attrs(tb.get(PROP_LIST).unwrap_or_default()) {
        if k == ALT_IFNAME {
            let _ = write!(out, "\n    altname {}", line(v));
        }
    }
    out.push('\n');
    Some(index)
}

/// Names of `oper_states` in ip/ipaddress.c.
const OPER_STATES: [&str; 7] = [
    "UNKNOWN",
    "NOTPRESENT",
    "DOWN",
    "LOWERLAYERDOWN",
    "TESTING",
    "DORMANT",
    "UP",
];

const IFF_UP: u32 = 1;
const IFF_POINTOPOINT: u32 = 0x10;
const IFF_RUNNING: u32 = 0x40;
/// `IFF_*` of linux/if.h in the order in which they are printed.
const FLAGS: [(u32, &str); 18] = [
    (0x8, "LOOPBACK"),
    (0x2, "BROADCAST"),
    (0x10, "POINTOPOINT"),
    (0x1000, "MULTICAST"),
    (0x80, "NOARP"),
    (0x200, "ALLMULTI"),
    (0x100, "PROMISC"),
    (0x400, "MASTER"),
    (0x800, "SLAVE"),
    (0x4, "DEBUG"),
    (0x8000, "DYNAMIC"),
    (0x4000, "AUTOMEDIA"),
    (0x2000, "PORTSEL"),
    (0x20, "NOTRAILERS"),
    (0x1, "UP"),
    (0x10000, "LOWER_UP"),
    (0x20000, "DORMANT"),
    (0x40000, "ECHO"),
];

fn flag_list(out: &mut String, flags: u32, lower_is_down: bool) {
    out.push('<');
    let start = out.len();
    let word = |out: &mut String, w: &str| {
        if out.len() > start {
            out.push(',');
        }
        out.push_str(w);
    };
    if flags & IFF_UP != 0 && flags & IFF_RUNNING == 0 {
        word(out, "NO-CARRIER");
    }
    let mut left = flags & !IFF_RUNNING;
    for (bit, name) in FLAGS {
        if left & bit != 0 {
            left &= !bit;
            word(out, name);
        }
    }
    if left != 0 {
        word(out, &format!("{left:x}"));
    }
    if lower_is_down {
        out.push_str(",M-DOWN");
    }
    out.push_str("> ");
}

/// `IFLA_XDP`.
pub(crate) struct Xdp {
    /// `XDP_ATTACHED_*`: 1 driver, 2 generic, 3 offloaded, 4 several.
    pub mode: u8,
    /// The program's id; 0 where several are attached.
    pub id: u32,
    /// Of several: driver, generic, offloaded.
    pub several: [u32; 3],
}

impl Xdp {
    fn read(bytes: &[u8]) -> Option<Self> {
        let tb = Attributes::<9>::of(bytes);
        let mode = tb.u8(2).filter(|m| *m != 0)?;
        let id = |attr| tb.u32(attr).unwrap_or(0);
        Some(Self {
            mode,
            id: id(4),
            several: [id(5), id(6), id(7)],
        })
    }

    fn mode_name(&self) -> &'static str {
        match self.mode {
            2 => "xdpgeneric",
            3 => "xdpoffload",
            4 => "xdpmulti",
            _ => "xdp",
        }
    }

    fn details(&self, out: &mut String) {
        if self.id != 0 {
            let _ = write!(out, "\n    prog/xdp id {} ", self.id);
        }
        if self.mode == 4 {
            let [drv, skb, hw] = self.several;
            for (id, suffix) in [(skb, "generic"), (drv, "drv"), (hw, "offload")] {
                if id != 0 {
                    let _ = write!(out, "\n    prog/xdp{suffix} id {id} ");
                }
            }
        }
    }
}

/// The XDP programs in a dump: ifindex and what is attached there.
pub(crate) fn xdp(links: &[Message]) -> impl Iterator<Item = (u32, Xdp)> + '_ {
    links.iter().filter(|m| m.kind == NEWLINK).filter_map(|m| {
        let tb = LinkAttributes::of(m.payload.get(LINK_HEADER..)?);
        Some((m.payload.u32(4)?, Xdp::read(tb.get(XDP)?)?))
    })
}

/// `IFA_F_*` of `linux/if_addr.h` in the order of `ifa_flag_data`; secondary, permanent and dynamic stand apart.
const ADDRESS_FLAGS: [(u32, &str); 11] = [
    (0x2, "nodad"),
    (0x4, "optimistic"),
    (0x8, "dadfailed"),
    (0x10, "home"),
    (0x20, "deprecated"),
    (0x40, "tentative"),
    (0x80, ""),
    (0x100, "mngtmpaddr"),
    (0x200, "noprefixroute"),
    (0x400, "autojoin"),
    (0x800, "stable-privacy"),
];
const PERMANENT: u32 = 0x80;
const FOREVER: u32 = u32::MAX;

fn lifetime(out: &mut String, seconds: u32) {
    if seconds == FOREVER {
        out.push_str("forever");
    } else {
        let _ = write!(out, "{seconds}sec");
    }
}

/// The lines of one address; those of other families than IP are left out, as no parser knows them.
fn address(out: &mut String, payload: &[u8], names: &Names) -> Option<()> {
    let (family, len, scope) = (payload.u8(0)?, payload.u8(1)?, payload.u8(3)?);
    let tb = Attributes::<12>::of(payload.get(ADDRESS_HEADER..)?);
    let (local, address) = match (tb.get(2), tb.get(1)) {
        (Some(l), a) => (l, a.unwrap_or(l)),
        (None, a) => (a?, a?),
    };
    match family {
        AF_INET => out.push_str("    inet "),
        AF_INET6 => out.push_str("    inet6 "),
        _ => return None,
    }
    let _ = write!(out, "{}", host(family, local));
    if address != local {
        let _ = write!(out, " peer {}", host(family, address));
    }
    let _ = write!(out, "/{len} ");
    if let Some(metric) = tb.u32(9) {
        let _ = write!(out, "metric {metric} ");
    }
    if let Some(b) = tb.get(4) {
        let _ = write!(out, "brd {} ", host(family, b));
    }
    if let Some(a) = tb.get(5) {
        let _ = write!(out, "any {} ", host(family, a));
    }
    let _ = write!(out, "scope {} ", names.scope(scope));
    let flags = tb.u32(8).unwrap_or(payload.u8(2)?.into());
    if flags & 1 != 0 {
        out.push_str(if family == AF_INET6 {
            "temporary "
        } else {
            "secondary "
        });
    }
    let mut left = flags & !1;
    for (bit, name) in ADDRESS_FLAGS {
        if bit == PERMANENT {
            if left & bit == 0 {
                out.push_str("dynamic ");
            }
        } else if left & bit != 0 {
            out.push_str(name);
            out.push(' ');
        }
        left &= !bit;
    }
    if left != 0 {
        let _ = write!(out, "flags {left:02x} ");
    }
    if let Some(label) = tb.get(3) {
        out.push_str(&line(label));
    }
    if let Some(cache) = tb.get(6) {
        out.push_str("\n       valid_lft ");
        lifetime(out, cache.u32(4).unwrap_or(FOREVER));
        out.push_str(" preferred_lft ");
        lifetime(out, cache.u32(0).unwrap_or(FOREVER));
    }
    out.push('\n');
    Some(())
}
