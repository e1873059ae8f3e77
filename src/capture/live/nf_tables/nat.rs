//! Translations, and what sends a packet elsewhere.

use super::datatype::with_order;
use super::expr::{Ex, Kind};
use super::keys::be32;
use super::lift::Lift;
use super::value;
use super::words::put;
use nfwhy_parsers::nft::Type;
use std::fmt::Write as _;

/// `NF_NAT_RANGE_*` (`include/uapi/linux/netfilter/nf_nat.h`).
const RANDOM: u32 = 4;
const PERSISTENT: u32 = 8;
const FULLY_RANDOM: u32 = 16;
const NETMAP: u32 = 64;

fn flags(out: &mut String, flags: u32) {
    let mut gap = ' ';
    for (bit, name) in [
        (RANDOM, "random"),
        (FULLY_RANDOM, "fully-random"),
        (PERSISTENT, "persistent"),
    ] {
        if flags & bit != 0 {
            out.push(gap);
            out.push_str(name);
            gap = ',';
        }
    }
}

/// What a statement reads from a register: a constant of this type, or an expression.
fn operand<'a>(lift: &mut Lift<'a>, register: u32, ty: Type) -> Option<Ex<'a>> {
    let mut ex = lift.registers.get(register)?.clone();
    ex = lift.settle(ex);
    if let Kind::Const(bytes) = &mut ex.kind {
        let len = usize::try_from(ty.bits() / 8).ok()?;
        if bytes.len() < len {
            return None;
        }
        *bytes = bytes.get(..len)?.to_vec().into();
        ex.ty = with_order(ty);
    }
    Some(ex)
}

/// One value, or from one to another.
fn span<'a>(
    lift: &mut Lift<'a>,
    min: Option<u32>,
    max: Option<u32>,
    ty: Type,
) -> Option<(Ex<'a>, Option<Ex<'a>>)> {
    let from = operand(lift, min?, ty)?;
    let to = match max {
        Some(register) if Some(register) != min => Some(operand(lift, register, ty)?),
        _ => None,
    };
    Some((from, to))
}

/// As [`span`] gives it. `brackets`: around an IPv6 address, because a port follows.
fn put_span(
    out: &mut String,
    lift: &Lift<'_>,
    (from, to): &(Ex<'_>, Option<Ex<'_>>),
    ty: Type,
    brackets: bool,
) -> Option<()> {
    let devices = lift.env.devices;
    let (Some(lo), hi) = (from.bytes(), to.as_ref().map(Ex::bytes)) else {
        // From one expression to another has no words.
        return to
            .is_none()
            .then_some(())
            .and_then(|()| put(out, from, lift.env));
    };
    let hi = match hi {
        Some(hi) => hi?,
        None => lo,
    };
    let reads = with_order(ty).into();
    if brackets && ty == Type::Ipv6Addr {
        out.push('[');
        value::one(out, lo, reads, devices)?;
        if lo != hi {
            out.push_str("]-[");
            value::one(out, hi, reads, devices)?;
        }
        out.push(']');
        return Some(());
    }
    value::range(out, lo, hi, reads, devices)
}

/// Bytes that a map gives.
fn given(ex: &Ex<'_>) -> Option<u32> {
    match &ex.kind {
        Kind::Map(_, set) => Some(set.data_len),
        _ => None,
    }
}

/// `dnat ip to ADDR:PORT FLAGS`.
pub(super) fn nat<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    out.push_str(match be32(d, 1)? {
        0 => "snat",
        1 => "dnat",
        _ => return None,
    });
    let (name, ty, len) = match be32(d, 2)? {
        2 => ("ip", Type::Ipv4Addr, 4),
        10 => ("ip6", Type::Ipv6Addr, 16),
        // Of both, which have ports alone in common.
        1 if be32(d, 3).is_none() => ("", Type::Ipv4Addr, 4),
        _ => return None,
    };
    let bits = be32(d, 7).unwrap_or_default();
    let (min, max) = (be32(d, 3), be32(d, 4));
    let (port_min, port_max) = (be32(d, 5), be32(d, 6));
    let first = min.and_then(|r| lift.registers.get(r)).and_then(given);
    // A map that gives ports or ranges as well says the rest.
    let whole = first.is_some_and(|n| n > len);
    let addr = match min {
        Some(_) if whole => Some(span(lift, min, None, ty)?),
        Some(_) => Some(span(lift, min, max, ty)?),
        None => None,
    };
    let port = match port_min {
        Some(_) if !whole => Some(span(lift, port_min, port_max, Type::InetService)?),
        _ => None,
    };
    if addr.is_some() || port.is_some() {
        if (lift.env.family == 1 || whole) && !name.is_empty() {
            let _ = write!(out, " {name}");
        }
        if bits & NETMAP != 0 {
            out.push_str(" prefix");
        }
        out.push_str(" to ");
    }
    if let Some(addr) = &addr {
        put_span(out, lift, addr, ty, port.is_some())?;
    }
    if let Some(port) = &port {
        out.push(':');
        put_span(out, lift, port, Type::InetService, false)?;
    }
    flags(out, bits);
    Some(())
}

/// `masquerade to :PORT FLAGS`, `redirect`. Attributes of flags, first and last port.
pub(super) fn simple<'a>(
    lift: &mut Lift<'a>,
    out: &mut String,
    word: &str,
    d: &'a [u8],
    (kind, min, max): (u16, u16, u16),
) -> Option<()> {
    out.push_str(word);
    if let Some(register) = be32(d, min) {
        let port = span(lift, Some(register), be32(d, max), Type::InetService)?;
        out.push_str(" to :");
        put_span(out, lift, &port, Type::InetService, false)?;
    }
    flags(out, be32(d, kind).unwrap_or_default());
    Some(())
}

/// `tproxy ip to ADDR:PORT`.
pub(super) fn tproxy<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    out.push_str("tproxy");
    let family = be32(d, 1)?;
    let v6 = family == 10 || family == 0 && lift.env.family == 10;
    let ty = if v6 { Type::Ipv6Addr } else { Type::Ipv4Addr };
    if lift.env.family == 1 && family != 0 {
        out.push_str(if v6 { " ip6" } else { " ip" });
    }
    out.push_str(" to ");
    let port = match be32(d, 3) {
        Some(_) => Some(span(lift, be32(d, 3), None, Type::InetService)?),
        None => None,
    };
    if let Some(register) = be32(d, 2) {
        let addr = span(lift, Some(register), None, ty)?;
        put_span(out, lift, &addr, ty, port.is_some() || v6)?;
    }
    if let Some(port) = &port {
        out.push(':');
        put_span(out, lift, port, Type::InetService, false)?;
    }
    Some(())
}

/// `dup to ADDR device DEV`; `dup to DEV` in netdev tables.
pub(super) fn dup<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    out.push_str("dup to ");
    let device = match be32(d, 2) {
        Some(register) => Some(span(lift, Some(register), None, Type::IfaceIndex)?),
        None => None,
    };
    let Some(register) = be32(d, 1) else {
        return put_span(out, lift, &device?, Type::IfaceIndex, false);
    };
    let v6 = lift.env.v6().unwrap_or_default();
    let ty = if v6 { Type::Ipv6Addr } else { Type::Ipv4Addr };
    let addr = span(lift, Some(register), None, ty)?;
    put_span(out, lift, &addr, ty, false)?;
    if let Some(device) = &device {
        out.push_str(" device ");
        put_span(out, lift, device, Type::IfaceIndex, false)?;
    }
    Some(())
}

/// `fwd to DEV`, `fwd ip to ADDR device DEV`.
pub(super) fn fwd<'a>(lift: &mut Lift<'a>, out: &mut String, d: &'a [u8]) -> Option<()> {
    let device = span(lift, be32(d, 1), None, Type::IfaceIndex)?;
    let Some(register) = be32(d, 2) else {
        out.push_str("fwd to ");
        return put_span(out, lift, &device, Type::IfaceIndex, false);
    };
    let (name, ty) = match be32(d, 3)? {
        2 => ("ip", Type::Ipv4Addr),
        10 => ("ip6", Type::Ipv6Addr),
        _ => return None,
    };
    let addr = span(lift, Some(register), None, ty)?;
    let _ = write!(out, "fwd {name} to ");
    put_span(out, lift, &addr, ty, false)?;
    out.push_str(" device ");
    put_span(out, lift, &device, Type::IfaceIndex, false)
}
