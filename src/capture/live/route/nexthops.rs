//! `ip nexthop`: `__print_nexthop_entry` in iproute2 ip/ipnexthop.c.

use super::super::attr::Numbers as _;
use super::dump::Message;
use super::encap;
use super::names::Names;
use super::routes;
use super::text::{Attributes, Devices, general, host};
use std::fmt::Write as _;

/// `RTM_NEWNEXTHOP`.
const NEWNEXTHOP: u16 = 104;
/// `RTM_GETNEXTHOP`; `netlink-packet-route` does not know next hop objects.
pub(crate) const GETNEXTHOP: u16 = 106;
/// `struct nhmsg`.
pub(crate) const HEADER: usize = 8;

/// The objects of a dump.
pub(crate) fn print(messages: &[Message], devices: &Devices, names: &Names) -> String {
    let mut out = String::with_capacity(messages.len() * 60);
    for m in messages.iter().filter(|m| m.kind == NEWNEXTHOP) {
        object(&mut out, &m.payload, devices, names);
    }
    out
}

/// Hundredths of seconds as seconds; `USER_HZ` is 100.
#[expect(clippy::cast_precision_loss, reason = "six digits are printed")]
fn seconds(ticks: u64) -> String {
    general(ticks as f64 / 100.0)
}

fn object(out: &mut String, payload: &[u8], devices: &Devices, names: &Names) -> Option<()> {
    let (family, scope, protocol, flags) = (
        payload.u8(0)?,
        payload.u8(1)?,
        payload.u8(2)?,
        payload.u32(4)?,
    );
    // `NHA_*`.
    let tb = Attributes::<16>::of(payload.get(HEADER..)?);
    let _ = write!(out, "id {} ", tb.u32(1).unwrap_or(0));
    if let Some(members) = tb.get(2) {
        let mut word = "group ";
        for m in members.chunks_exact(8) {
            // `struct nexthop_grp`: id, weight less one, and in newer kernels its upper byte.
            let weight = u32::from(m.u8(4)?) + (u32::from(m.u8(5)?) << 8) + 1;
            let _ = write!(out, "{word}{}", m.u32(0)?);
            if weight != 1 {
                let _ = write!(out, ",{weight}");
            }
            word = "/";
        }
        out.push(' ');
    }
    match tb.u16(3) {
        None | Some(0) => {}
        Some(1) => out.push_str("type resilient "),
        Some(_) => out.push_str("type <unknown type> "),
    }
    if let Some(resilient) = tb.get(12) {
        let tb = Attributes::<5>::of(resilient);
        let _ = write!(out, "buckets {} ", tb.u16(1).unwrap_or(0));
        for (attr, word) in [
            (2, "idle_timer"),
            (3, "unbalanced_timer"),
            (4, "unbalanced_time"),
        ] {
            let _ = write!(out, "{word} {} ", seconds(tb.number(attr).unwrap_or(0)));
        }
    }
    if let Some(e) = tb.get(8) {
        encap::print(out, tb.u16(7), e, devices, names);
    }
    if let Some(g) = tb.get(6) {
        let _ = write!(out, "via {} ", host(family, g));
    }
    if let Some(oif) = tb.u32(5).filter(|i| *i != 0) {
        let _ = write!(out, "dev {} ", devices.name(oif));
    }
    if scope != 0 {
        let _ = write!(out, "scope {} ", names.scope(scope));
    }
    if tb.get(4).is_some() {
        out.push_str("blackhole ");
    }
    if protocol != 0 {
        let _ = write!(out, "proto {} ", names.protocol(protocol));
    }
    routes::flags(out, flags);
    if tb.get(11).is_some() {
        out.push_str("fdb");
    }
    out.push('\n');
    Some(())
}
